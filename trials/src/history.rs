//! What happened: every write, every read, every fault, by one clock. Nothing is judged here.

use link::{Epoch, Seq};
use std::sync::LazyLock;
use std::time::Instant;

/// Microseconds since the trial began, by the monotonic clock of this process.
pub type Micros = u64;

/// B: what an edge may lag behind an acknowledgement and still call its answer fresh.
pub const BOUND: Micros = 1_000_000;

/// Now.
pub fn now() -> Micros {
    static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
    u64::try_from(BEGAN.elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// The code of the link with this number.
pub fn code(key: u32) -> String {
    format!("t{key:06}")
}

/// Half of the links are strict.
pub fn strict(key: u32) -> bool {
    key % 2 == 1
}

/// Where version `n` of a link leads: each version is told from every other by its target alone.
pub fn target(key: u32, n: u32) -> String {
    format!("https://t.example/{}/{n}", code(key))
}

/// The inverse of [`target`], for the link that was asked for.
pub fn version_of(key: u32, location: &str) -> Option<u32> {
    let n = location.strip_prefix("https://t.example/")?.strip_prefix(&code(key))?.strip_prefix('/')?;
    n.parse().ok().filter(|n: &u32| n.to_string().len() == location.rsplit('/').next().map_or(0, str::len))
}

/// What a write makes of its link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// It leads to version `n`, which no other write of this link makes.
    To(u32),
    /// It is deleted.
    Delete,
}

/// What is known of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Acknowledged, or found in the store afterwards: then `ended` is when it was found.
    Acked {
        /// Its history.
        epoch: Epoch,
        /// Its number there.
        seq: Seq,
    },
    /// Nobody said. It may be there, until a later write of the same link is acknowledged: each names the version it
    /// builds on, so of two that build on the same one only one can be there.
    Unknown,
    /// Refused: it is not there.
    Refused,
}

/// What an acknowledgement promised about edges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// Nothing.
    Durable,
    /// `PROPAGATED`, or `PARTIAL` with these edges (as bits) blind.
    Everywhere {
        /// Edges about which nothing is promised.
        but: u32,
    },
}

/// One write. Writes of one link never overlap.
#[derive(Clone, Debug)]
pub struct Write {
    /// Which link.
    pub key: u32,
    /// What it makes of it.
    pub op: Op,
    /// Just before the call.
    pub begun: Micros,
    /// When its answer had arrived.
    pub ended: Micros,
    /// What the answer was.
    pub outcome: Outcome,
    /// How often the database had been put back before.
    pub life: u32,
    /// What it promised.
    pub told: Promise,
}

/// What an edge answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A redirect to a version of this link.
    To(u32),
    /// A redirect to anywhere else.
    Foreign(Box<str>),
    /// 404.
    NotFound,
    /// 410.
    Gone,
    /// 503.
    Unavailable,
    /// Any other status.
    Other(u16),
    /// None: refused, cut, late, or no HTTP.
    Failed(&'static str),
}

/// What an answer says of itself (`X-Linkr-Tier`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// It was not asked to say.
    None,
    /// hot, redis or origin: fresh.
    Fresh,
    /// stale.
    Stale,
}

/// One read. Those of one connection stand in the order of their answers.
#[derive(Clone, Debug)]
pub struct Read {
    /// Which link.
    pub key: u32,
    /// By which edge.
    pub edge: u8,
    /// On which connection.
    pub connection: u32,
    /// Just before its bytes were handed to the kernel.
    pub sent: Micros,
    /// When its answer had arrived.
    pub answered: Micros,
    /// What it was.
    pub answer: Answer,
    /// What it said of itself.
    pub mark: Mark,
    /// `X-Linkr-Staleness-Ms`.
    pub staleness_ms: Option<u64>,
}

/// A process of an edge.
#[derive(Clone, Copy, Debug)]
pub struct Birth {
    /// Which edge.
    pub edge: u8,
    /// Just before.
    pub spawned: Micros,
    /// When it was known to be ready.
    pub ready: Micros,
}

/// The time for which an edge was dead, not yet ready, or stopped.
#[derive(Clone, Copy, Debug)]
pub struct Downtime {
    /// Which.
    pub edge: u8,
    /// Just before it was done to it.
    pub from: Micros,
    /// When it was known to be well again.
    pub to: Micros,
}

/// An older database was put back: what was written in this life after the copy is gone.
#[derive(Clone, Debug)]
pub struct Restore {
    /// While no write was under way.
    pub copied: Micros,
    /// When the control of this life was known to be dead.
    pub dead: Micros,
    /// Just before a control started on the older database.
    pub started: Micros,
    /// Each history that has taken the place of another one since: the other's epoch, and the last seq both share.
    pub forks: Vec<(Epoch, Seq)>,
}

/// One fault, from just before it was done until every edge was well and had everything again.
#[derive(Clone, Debug)]
pub struct Window {
    /// Which.
    pub fault: String,
    /// Just before.
    pub from: Micros,
    /// After recovery.
    pub to: Micros,
    /// What did not recover.
    pub unrecovered: Option<String>,
}

/// Everything that happened in one trial.
#[derive(Debug, Default)]
pub struct History {
    /// In the order of their beginnings, for each link.
    pub writes: Vec<Write>,
    /// Grouped by connection.
    pub reads: Vec<Read>,
    /// In any order.
    pub downs: Vec<Downtime>,
    /// Each process of an edge.
    pub births: Vec<Birth>,
    /// In order: the first ended life 0.
    pub restores: Vec<Restore>,
    /// In order.
    pub windows: Vec<Window>,
    /// As bits: edges that have no room for all links, and nobody to ask while control or its database is away.
    pub small: u32,
}

impl History {
    /// The last fault that had begun by then.
    pub fn begun_by(&self, at: Micros) -> Option<usize> {
        self.windows.partition_point(|window| window.from <= at).checked_sub(1)
    }
}
