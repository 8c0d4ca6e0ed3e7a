//! Private throwaway servers for tests and development: each in a folder of its own, on loopback, gone when dropped.

mod process;
mod redis;

pub use process::{Fault, Folder, Process, free_port, program};
pub use redis::{Certificates, Redis, RedisCluster};
