//! What is under way between edges and controls, and what an edge makes of an answer.

use bytes::Bytes;
use feed::{Event, Hello, Proof};
use hot::{StoredValue, TierReading};
use link::{Epoch, Seq};

/// A message to control.
#[derive(Clone, Debug)]
pub enum UpMessage {
    Hello(Hello),
    Applied { seq: Seq, page: u64 },
    Ping(u64),
}

/// A message from control, and the history that it was sent in.
#[derive(Clone, Debug)]
pub struct DownMessage {
    /// The message.
    pub event: Event,
    /// For the judge only.
    pub branch: usize,
    /// What the edge can show of it.
    pub proof: Option<Proof>,
}

/// A question of an edge, on its way.
#[derive(Clone, Debug)]
pub struct Fetch {
    /// Whose.
    pub edge: usize,
    /// Which process of that edge.
    pub incarnation: u64,
    /// A reader's, or the ask list's.
    pub reader: Option<usize>,
    /// Which keys.
    pub keys: Vec<usize>,
    /// The answer must be current at this seq or later.
    pub min_seq: Seq,
    /// Only the database itself may answer: the client has met a history that the edge does not know.
    pub primary: bool,
    /// The set's generation when it was asked.
    pub generation: u64,
    /// `applied`, and how many answers the set had taken, then.
    pub then: (Seq, u64),
    /// Set once control has answered.
    pub answer: Option<(Proof, Vec<Bytes>)>,
}

/// An answer that the set took, or that agrees with what it holds.
#[derive(Clone, Debug)]
pub struct AcceptedReading {
    /// Of which history.
    pub epoch: Epoch,
    /// Current at.
    pub as_of: Seq,
    /// Made by.
    pub version: Seq,
    /// What it is.
    pub value: Option<StoredValue>,
}

impl AcceptedReading {
    /// As the set and the hot path take it.
    pub fn told(&self) -> TierReading<'_> {
        TierReading {
            epoch: self.epoch,
            as_of: self.as_of,
            version: self.version,
            value: self.value.as_ref(),
        }
    }
}
