//! The stores that `Repository` is implemented on. A driver is named below here and nowhere else.

mod answers;
mod audit_row;
mod kept;
mod notes;
pub mod postgres;
mod raw;
mod schema;
pub mod sqlite;
mod unfinished;

pub use unfinished::left;

/// Bytes that a disk which was full has to take before writes are said to be taken again: a group of writes.
const ROOM: usize = 1 << 20;
