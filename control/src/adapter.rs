//! The stores that `Repository` is implemented on. A driver is named below here and nowhere else.

pub mod sqlite;
