//! How a request is answered from memory: bytes in, bytes out. No socket, no runtime, no logger, no clock here.

#![warn(missing_docs)]

mod answer;
mod domains;
mod dump;
mod freshness;
mod head;
mod host;
pub mod limits;
mod load;
pub mod miss;
mod outcome;
mod response;
mod scan;
mod set;
mod sync;
mod unchecked;

pub use answer::{
    Asked, Conversation, Miss, Reply, Step, Turn, answer, finish, key_of, refuse_plain, time_out,
};
pub use domains::{DomainEntry, Domains, Lead, Place, Rules, Site, View};
pub use dump::{Dump, Dumped};
pub use freshness::Freshness;
pub use head::{Head, Method, Parsed, Refusal, parse};
pub use load::Loading;
pub use miss::{Hunt, Policy, Source};
pub use outcome::{Counts, Outcome, Tier};
pub use response::{Debug, Extra, Stamp, write_redirect};
pub use set::{Absence, Fill, Fork, Found, Held, Set, Stored, Told};
