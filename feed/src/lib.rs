//! How changes travel: the state machines of both ends of the feed. Events and `now` in, effects out; no I/O, no
//! clock, no randomness here. The rules (R3, R4, R4b, R9) are stated in docs/architecture.md.

mod follower;
mod hello;
mod session;

pub use follower::{Effect, Event, Follower};
pub use hello::{Admission, Hello, LogView, PROTOCOL, admit};
pub use session::{Next, Overrun, Session};

/// B, in milliseconds: an edge that has had no answer to a ping for this long no longer knows that it is current.
pub const BOUND_MS: u64 = 1_000;

/// A key and the bytes of its record, as a snapshot page carries them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// See [`link::Key`].
    pub key: bytes::Bytes,
    /// Record v1.
    pub record: bytes::Bytes,
}
