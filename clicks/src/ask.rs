//! What is asked about clicks, and how roll-ups and clicks become the answer. Zones are not known here: whoever asks names
//! the boundaries of its days.

mod filter;
mod grouping;
mod slots;
mod sums;
mod tally;

pub use filter::ClickFilter;
pub use tally::Tally;

use crate::Kind;
use crate::rollup::{Dimension, RollupFault};
use link::Seq;
use std::sync::Arc;

/// Milliseconds of the span that a roll-up counts while it is young. Every zone's days begin with one.
pub const QUARTER_MS: i64 = 900_000;
/// An answer has no more rows.
pub const MAX_ROWS: usize = 100_000;
/// A question groups by no more.
pub const MAX_GROUPS: usize = 4;

/// Start of the quarter of an hour in which a time lies, both in Unix milliseconds.
pub fn quarter_start(at: i64) -> i64 {
    at - at.rem_euclid(QUARTER_MS)
}

/// What the rows of an answer are told apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClickGroup {
    /// The interval between two of the boundaries in which its quarter begins.
    Time,
    /// From where.
    Country,
    /// What the agent runs on.
    Device,
    /// The agent's family.
    Browser,
    /// The system.
    Os,
    /// The host that led there.
    Referrer,
    /// Which language is asked for first.
    Language,
    /// What it is.
    Kind,
    /// Which link.
    Link,
}

impl ClickGroup {
    /// What of a tuple says it; `None`: it is the same for a whole roll-up.
    fn dimension(self) -> Option<Dimension> {
        Some(match self {
            Self::Time | Self::Link => return None,
            Self::Country => Dimension::Country,
            Self::Device => Dimension::Device,
            Self::Browser => Dimension::Browser,
            Self::Os => Dimension::Os,
            Self::Referrer => Dimension::Referrer,
            Self::Language => Dimension::Language,
            Self::Kind => Dimension::Kind,
        })
    }
}

/// What a row of an answer has for one group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GroupKey {
    /// The boundary with which its interval begins.
    Time(i64),
    /// A country, a device, a browser, a system, a referrer or a language; empty: unknown, or none.
    Text(Arc<str>),
    /// What it is.
    Kind(Kind),
    /// The seq that created the link; 0 for totals, which do not know their links.
    Link(Seq),
}

/// One row of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CountRow {
    /// One for each group, in the order of the question.
    pub keys: Vec<GroupKey>,
    /// How many clicks, at least 1.
    pub count: u64,
}

/// An answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// The highest count first; of the same count in the order of their keys.
    pub rows: Vec<CountRow>,
    /// All clicks that were counted, those of rows that were left out among them.
    pub total: u64,
    /// Whether rows were left out.
    pub more: bool,
}

/// Why a question cannot be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TallyFault {
    /// A roll-up cannot be read.
    Rollup(RollupFault),
    /// The answer has more than [`MAX_ROWS`] rows.
    TooManyRows,
    /// The question has more than [`MAX_GROUPS`] groups, or one twice.
    TooManyGroups,
}

impl std::fmt::Display for TallyFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Rollup(fault) => fault.fmt(f),
            Self::TooManyRows => {
                write!(f, "the answer has more than {MAX_ROWS} rows: ask for less time, or group by less")
            }
            Self::TooManyGroups => write!(f, "at most {MAX_GROUPS} groups are told apart, each once"),
        }
    }
}

impl std::error::Error for TallyFault {}

impl From<RollupFault> for TallyFault {
    fn from(fault: RollupFault) -> Self {
        Self::Rollup(fault)
    }
}
