//! What a judgement counts, and the violations it found.

use super::MOST_PRINTED;
use crate::history::{History, Micros};
use serde::Serialize;
use std::collections::BTreeMap;

/// A broken promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Violation {
    /// Marked fresh, and misses a write acknowledged more than B before.
    FreshMissed,
    /// A redirect of a strict link that misses one.
    StrictMissed,
    /// Marked fresh or of a strict link, and shows what a restore took away more than B before.
    Outlived,
    /// Shows what was never committed.
    NeverCommitted,
    /// Shows less than an earlier answer on the same connection.
    WentBack,
    /// No answer for a normal link from an edge that was alive.
    Failed,
    /// Shows less than an acknowledgement said this edge had applied.
    PropagatedMissed,
    /// Taken away by a restore, and not named by the new history.
    LostUnnamed,
    /// The fault ended, and an edge did not come back.
    NotRecovered,
}

/// All of them, so that a report shows a zero for each.
pub const ALL: [Violation; 9] = [
    Violation::FreshMissed,
    Violation::StrictMissed,
    Violation::Outlived,
    Violation::NeverCommitted,
    Violation::WentBack,
    Violation::Failed,
    Violation::PropagatedMissed,
    Violation::LostUnnamed,
    Violation::NotRecovered,
];

/// Counts of what was seen, wrong or not.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Sightings {
    /// Answered requests.
    pub reads: u64,
    /// Of them, those that were not asked to say how fresh they are.
    pub unmarked: u64,
    /// Marked fresh.
    pub fresh: u64,
    /// Marked stale.
    pub stale: u64,
    /// 503 for a strict link.
    pub strict_refused: u64,
    /// Older answers without a mark, of normal links.
    pub older_unmarked: u64,
    /// Without an answer, by an edge that was dead or stopped.
    pub failed_on_downed_edges: u64,
    /// Writes by what became of them.
    pub writes_acknowledged: u64,
    /// Nobody said.
    pub writes_unknown: u64,
    /// Refused.
    pub writes_refused: u64,
    /// `PROPAGATED`.
    pub propagated: u64,
    /// `PARTIAL`.
    pub partial: u64,
    /// Of both, those begun while an edge was cut off.
    pub waited_in_cuts: u64,
    /// Acknowledged writes that a restore took away.
    pub lost_to_restores: u64,
}

/// Counts of what was seen inside one fault.
#[derive(Clone, Debug, Serialize)]
pub struct WindowSightings {
    /// Which.
    pub fault: String,
    /// Its length, recovery included.
    pub seconds: f64,
    /// Answered requests that were sent inside it.
    pub reads: u64,
    /// Marked fresh.
    pub fresh: u64,
    /// Marked stale.
    pub stale: u64,
    /// 503 for a strict link.
    pub strict_refused: u64,
    /// Broken promises; those between two faults count for the one before.
    pub violations: u64,
}

/// How old the older answers were: the time since the first write they miss was acknowledged.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Ages {
    /// How many were younger than each of [`Ages::ENDS`] seconds and no younger than the one before; last, the rest.
    pub classes: [u64; 8],
    /// The oldest, in milliseconds.
    pub most_ms: u64,
}

impl Ages {
    /// Seconds.
    pub const ENDS: [u64; 7] = [2, 3, 5, 10, 20, 40, 80];

    pub(super) fn add(&mut self, age: Micros) {
        let class = Self::ENDS.iter().position(|end| age < end * 1_000_000);
        self.classes[class.unwrap_or(Self::ENDS.len())] += 1;
        self.most_ms = self.most_ms.max(age / 1000);
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.classes.iter().sum()
    }
}

/// What the checker says.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Verdict {
    /// How often each promise was broken.
    pub violations: BTreeMap<Violation, u64>,
    /// The first of them, each with its write and its read.
    pub texts: Vec<String>,
    /// What was seen.
    pub seen: Sightings,
    /// The same for each fault.
    pub windows: Vec<WindowSightings>,
    /// Older answers that said that they may be.
    pub ages: Ages,
}

impl Verdict {
    pub(super) fn new(history: &History) -> Self {
        let window = |window: &crate::history::Window| WindowSightings {
            fault: window.fault.clone(),
            seconds: (window.to - window.from) as f64 / 1e6,
            reads: 0,
            fresh: 0,
            stale: 0,
            strict_refused: 0,
            violations: 0,
        };
        Self {
            violations: ALL.map(|violation| (violation, 0)).into(),
            windows: history.windows.iter().map(window).collect(),
            ..Self::default()
        }
    }

    /// `window`: inside or behind which fault.
    pub(super) fn add(&mut self, violation: Violation, window: Option<usize>, text: impl FnOnce() -> String) {
        if let Some(window) = window {
            self.windows[window].violations += 1;
        }
        let count = self.violations.entry(violation).or_default();
        *count += 1;
        if *count <= MOST_PRINTED {
            self.texts.push(format!("{violation:?}: {}", text()));
        }
    }

    /// Whether every promise was kept.
    pub fn clean(&self) -> bool {
        self.violations.values().all(|&count| count == 0)
    }
}
