//! What a store keeps and how: links, domains, keys, the log of changes, the audit, clicks. [`port`] says what a store has to do,
//! [`sqlite`] and [`postgres`] do it, and no driver is named anywhere else. Which writes are accepted is decided by `journal`.

mod answers;
mod audit_row;
mod clicks;
pub mod clock;
mod kept;
pub mod model;
mod notes;
pub mod port;
pub mod postgres;
pub mod random;
mod raw;
mod schema;
pub mod sqlite;
mod stored_info;
mod tags;
mod tombstones;
mod unfinished_file;
pub mod wire;

pub use schema::{OlderTables, TableSurvey};
pub use unfinished_file::left;

/// Bytes that a disk which was full has to take before writes are said to be taken again: a group of writes.
const ROOM: usize = 1 << 20;
