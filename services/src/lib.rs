//! What tests, trials and load share: private throwaway servers, each in a folder of its own, on loopback, gone when
//! dropped; numbers that a seed decides; what may be said of noisy numbers; when an answer arrived. Nothing of linkr is known here.

mod arrival;
mod disk;
mod pgbouncer;
mod postgres;
mod process;
mod random;
mod redis;
pub mod stats;
mod zipf;

pub use arrival::{Received, go_first, receive, stamp_arrivals};
pub use disk::{Disk, Volume};
pub use pgbouncer::PgBouncer;
pub use postgres::Postgres;
pub use process::{Folder, Process, ServerFault, command, free_port, program, signal};
pub use random::{Random, WholeNumber};
pub use redis::{Certificates, Redis, RedisCluster};
pub use zipf::Zipf;
