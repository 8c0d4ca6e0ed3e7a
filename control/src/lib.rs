//! The half that writes: links over gRPC and REST into a store, every change into one log, the log to every edge.
//! Nothing here answers a visitor's request.

mod asks;
mod bound;
mod by_name;
mod call;
mod caller;
mod clock;
mod day_keys;
#[cfg(test)]
mod fake;
mod fault;
mod features;
mod follow;
mod heads;
mod heavy;
mod horizon;
mod intake;
pub mod keys;
mod lanes;
mod limits;
mod live_clicks;
mod metrics;
mod page;
mod places;
mod relay;
mod reports;
mod routes;
mod seal;
mod server;
mod service;
mod sessions;
mod stack;
mod sweep;
mod tail;
mod traces;
mod transport;
mod upkeep;
mod watched_store;
mod writer;

pub use caller::Caller;
pub use fault::{Fault, FaultNames};
pub use metrics::Metrics;
pub use places::descriptors;
pub use relay::{RedisConfig, RedisSurvey, RedisUse, survey as redis_survey};
pub use server::{
    ApiSockets, Config, ControlServer, HeldSockets, Readiness, ReservedAddress, StoreLocation, TlsConfig,
    start, start_at, start_on, take,
};
pub use service::{BaseUrl, OwnListeners};
pub use traces::{CallTrace, Traces};
