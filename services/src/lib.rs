//! Private throwaway servers for tests and development: each in a folder of its own, on loopback, gone when dropped.

mod postgres;
mod process;

pub use postgres::Postgres;
pub use process::{Fault, Folder, Process, free_port, program};
