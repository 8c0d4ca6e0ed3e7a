//! Private throwaway servers for tests and development: each in a folder of its own, on loopback, gone when dropped.

mod process;

pub use process::{Fault, Folder, Process, free_port, program};
