//! The half that writes: links over gRPC and REST into a store, every change into one log, the log to every edge.
//! Nothing here answers a visitor's request.

pub mod adapter;
mod bound;
mod by_name;
mod call;
mod caller;
mod clock;
mod fault;
mod follow;
mod heads;
mod heavy;
pub mod keys;
mod lanes;
mod limits;
mod metrics;
pub mod model;
mod page;
mod places;
pub mod port;
mod random;
mod relay;
mod routes;
mod seal;
mod server;
mod service;
mod sessions;
mod stack;
mod tail;
mod transport;
mod watched;
mod wire;
mod writer;

pub use caller::Caller;
pub use fault::{Fault, Names};
pub use metrics::Metrics;
pub use places::descriptors;
pub use relay::Redis;
pub use server::{Config, Readiness, Running, StartFault, StoreAt, Taken, Tls, start, start_on, take};
