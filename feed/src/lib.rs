//! How changes travel: the state machines of both ends of the feed. Events and `now` in, effects out; no I/O, no
//! clock, no randomness here. The rules (R3, R4, R4b, R9, R10) are stated in docs/architecture.md.

#![warn(missing_docs)]

pub mod edges;
mod follower;
mod heads;
mod hello;
mod proof;
pub mod relay;
mod session;
mod spell;

pub use follower::{Effect, Event, Follower};
pub use heads::HeadReads;
pub use hello::{Admission, Hello, LogView, PROTOCOL, admit, proves_another_history};
pub use proof::Proof;
pub use session::{NextMessage, Overrun, Session};
pub use spell::{RecoveryReport, Spell, Trouble, TroubleReport};

/// B, in milliseconds: an answer marked fresh reflects every write acknowledged longer ago than this. An edge whose last
/// proof of freshness is as old is blind.
pub const BOUND_MS: u64 = 1_000;

/// A key and the bytes of its record, as a snapshot page carries them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// See [`link::Key`].
    pub key: bytes::Bytes,
    /// Record v1.
    pub record: bytes::Bytes,
}
