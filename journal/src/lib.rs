//! What becomes of a write: which items of a group are accepted, and with which numbers (the deciding half of R1). No I/O,
//! no clock, no chance here.

#![warn(missing_docs)]

mod blocked;
pub mod blocks;
mod decide;
pub mod domains;
mod external_ids;
mod model;
pub mod names;
mod rejection;
mod request;
mod state;
#[cfg(test)]
mod tests;

pub use blocked::{BlockedHosts, given_hosts, hosts_of, returning_hosts};
pub use decide::*;
pub use external_ids::{ExternalId, given_ids, returning_ids};
pub use model::{Author, DomainRow, Info, MAX_DOMAINS, MAX_DOMAINS_BYTES, Row, TOMBSTONES};
pub use rejection::Rejection;
pub use request::*;
pub use state::{next_state, set};
