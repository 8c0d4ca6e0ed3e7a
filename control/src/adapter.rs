//! The stores that `Repository` is implemented on. A driver is named below here and nowhere else.

pub(crate) mod kept;
pub mod postgres;
mod raw;
mod schema;
pub mod sqlite;
mod unfinished;
