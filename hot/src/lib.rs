//! hot.
