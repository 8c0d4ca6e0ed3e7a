//! Private throwaway servers for tests and development: each in a folder of its own, on loopback, gone when dropped.

mod disk;
mod pgbouncer;
mod postgres;
mod process;
mod redis;

pub use disk::{Disk, Place};
pub use pgbouncer::PgBouncer;
pub use postgres::Postgres;
pub use process::{Fault, Folder, Process, free_port, program};
pub use redis::{Certificates, Redis, RedisCluster};
