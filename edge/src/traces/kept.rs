//! One trace that was kept: a turn of a worker, what it was about, whom it asked, and what the worker did before.

use super::KeepReason;
use hot::{Source, TurnMarks};

/// A trace, and a span of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TraceIds {
    /// The trace.
    pub trace: [u8; 16],
    /// The span.
    pub span: [u8; 8],
}

/// See the module.
#[derive(Clone, Debug)]
pub struct KeptTrace {
    /// Its own span.
    pub ids: TraceIds,
    /// The span of whoever asked, and what it wants passed on.
    pub parent: Option<[u8; 8]>,
    /// `tracestate`, as a trusted peer said it.
    pub state: Option<String>,
    /// Why it was kept.
    pub reason: KeepReason,
    /// For so many turns of this reason it stands, itself included.
    pub weight: u64,
    /// The worker.
    pub worker: usize,
    /// When its bytes were looked at.
    pub began_unix_ns: u64,
    /// From then until the kernel had the answers.
    pub ns: u64,
    /// Answers of the turn.
    pub answers: u64,
    /// What they came to.
    pub marks: TurnMarks,
    /// The one that the turn is told by: the first that was refused or unavailable, or else the first.
    pub request: SeenRequest,
    /// Where the time went, as far as it is known.
    pub cause: Cause,
    /// Tiers below memory that were asked.
    pub hops: Vec<Hop>,
    /// What the worker did before and meanwhile, the oldest first.
    pub before: Vec<TurnEvent>,
    /// More of these that were left out: the shortest.
    pub left_out: usize,
}

/// Where the time of a turn went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Redis was asked, and that took longest.
    Redis,
    /// Control was asked, and that took longest.
    Control,
    /// The worker served others meanwhile: the kernel had no room for the answer, whose client reads slowly.
    Client,
    /// The worker did not run: something else had its core, or the process was stopped.
    Stopped,
    /// The worker itself, in one go.
    Worker,
}

impl Cause {
    /// In one word.
    pub fn label(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::Control => "control",
            Self::Client => "client",
            Self::Stopped => "stopped",
            Self::Worker => "worker",
        }
    }
}

/// A request, and its answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeenRequest {
    /// `GET`, and others; empty: the head could not be read.
    pub method: &'static str,
    /// The host that it names.
    pub host: String,
    /// The path, raw, with its slash.
    pub path: String,
    /// The status; 0: no answer was seen.
    pub status: u16,
}

/// A tier below memory that was asked.
#[derive(Clone, Debug)]
pub struct Hop {
    /// Which.
    pub tier: Source,
    /// Its span.
    pub span: [u8; 8],
    /// When it was asked.
    pub began_unix_ns: u64,
    /// How long that took.
    pub ns: u64,
    /// What it came to.
    pub outcome: &'static str,
    /// The question had been asked already for another request, in this trace.
    pub joined: Option<TraceIds>,
}

/// A turn of the same worker, or a time in which it did not run.
#[derive(Clone, Copy, Debug)]
pub struct TurnEvent {
    /// When it began.
    pub began_unix_ns: u64,
    /// How long it took.
    pub ns: u64,
    /// What it came to.
    pub marks: TurnMarks,
}

impl Hop {
    /// An outcome: there was no answer in time.
    pub const SILENT: &'static str = "silent";

    /// The tier in one word.
    pub fn cause(&self) -> Cause {
        match self.tier {
            Source::Redis => Cause::Redis,
            Source::Origin => Cause::Control,
        }
    }
}

impl TurnEvent {
    /// The worker did not run.
    pub fn is_late(&self) -> bool {
        self.marks.has(TurnMarks::LATE)
    }

    /// What it was, for people.
    pub fn name(&self) -> &'static str {
        if self.is_late() { "worker_late" } else { "turn" }
    }
}

impl KeptTrace {
    /// What the turn came to, in one word; of several the worst.
    pub fn outcome(&self) -> &'static str {
        use hot::Outcome::{Refused, Unavailable};
        let worst = [Unavailable, Refused].into_iter().find(|one| self.marks.has(TurnMarks::of(*one)));
        worst.or_else(|| self.marks.outcomes().next()).map_or("none", hot::Outcome::label)
    }

    /// When the kernel had the answers.
    pub fn ended_unix_ns(&self) -> u64 {
        self.began_unix_ns + self.ns
    }

    #[cfg(test)]
    pub fn example() -> Self {
        Self {
            ids: TraceIds { trace: [7; 16], span: [8; 8] },
            parent: None,
            state: None,
            reason: KeepReason::Slow,
            weight: 1,
            worker: 0,
            began_unix_ns: 1_000_000_000,
            ns: 5_000_000,
            answers: 1,
            marks: TurnMarks::of(hot::Outcome::Redirect),
            request: SeenRequest { method: "GET", host: "go.test".into(), path: "/a".into(), status: 302 },
            cause: Cause::Worker,
            hops: Vec::new(),
            before: Vec::new(),
            left_out: 0,
        }
    }
}
