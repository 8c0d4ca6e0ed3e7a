//! The store of clicks as a fake: it takes what the ledger says, and looks whether that was right.

use super::messages::{Answer, SentBatch};
use clicks::ledger::{Cursor, Judgement, judge};
use std::collections::{BTreeMap, HashSet};

/// What became of a batch.
#[derive(Clone, Copy, Debug)]
pub enum Outcome {
    /// It was written, with a hole of so many clicks in front of it.
    Taken { hole: u64 },
    /// It was there.
    Known,
    /// An earlier one is missing.
    Wanted,
}

/// An invariant that does not hold.
#[derive(Debug)]
pub struct Wrong {
    /// By name.
    pub invariant: &'static str,
    /// What was seen.
    pub seen: String,
}

/// What is kept of a spool.
#[derive(Clone, Debug, Default)]
struct SpoolSums {
    cursor: Option<Cursor>,
    /// Clicks in counts.
    counted: u64,
    /// Told as lost by the edge.
    lost: u64,
    /// Holes.
    restored: u64,
}

impl SpoolSums {
    fn told(&self) -> u64 {
        self.lost + self.restored
    }
}

/// One state of the store.
#[derive(Clone, Debug, Default)]
pub struct ClickTable {
    spools: BTreeMap<(usize, u64), SpoolSums>,
    clicks: HashSet<u64>,
}

impl ClickTable {
    /// Takes a batch, or not. `held`: whether the edge could still send these numbers.
    pub fn append(
        &mut self,
        batch: &SentBatch,
        held: impl FnOnce(u64, u64) -> bool,
    ) -> Result<(Answer, Outcome), Wrong> {
        let sums = self.spools.entry((batch.edge, batch.spool)).or_default();
        let acked = sums.cursor.map_or(0, |cursor| cursor.seq);
        let (cursor, hole) = match judge(sums.cursor, batch.offer) {
            Judgement::Known { acked } => return Ok((Answer { acked, want: 0 }, Outcome::Known)),
            Judgement::Want { seq } => return Ok((Answer { acked, want: seq }, Outcome::Wanted)),
            Judgement::Refuse(why) => {
                let seen = format!("{why}; the cursor is {:?}", sums.cursor);
                return Err(Wrong { invariant: "C8 no batch of an honest edge is refused", seen });
            }
            Judgement::Take { cursor, hole } => (cursor, hole),
        };
        let restored = hole.map_or(0, clicks::ledger::Hole::count);
        if let Some(hole) = hole.filter(|hole| held(hole.first_no, hole.last_no)) {
            let seen = format!("a hole of {} from {} on", hole.count(), hole.first_no);
            return Err(Wrong { invariant: "C4 what an edge can still send is no hole", seen });
        }
        for id in &batch.clicks {
            if !self.clicks.insert(*id) {
                let seen = format!("click {id} is counted twice");
                return Err(Wrong { invariant: "C1 a click is counted once", seen });
            }
        }
        sums.cursor = Some(cursor);
        sums.counted += batch.clicks.len() as u64;
        sums.lost += batch.lost;
        sums.restored += restored;
        let told = sums.counted + sums.lost + sums.restored;
        if told != cursor.last_no {
            let seen = format!("{told} of {} numbers are counted or told", cursor.last_no);
            return Err(Wrong { invariant: "C2 every number of a spool is counted or told", seen });
        }
        Ok((Answer { acked: cursor.seq, want: 0 }, Outcome::Taken { hole: restored }))
    }

    /// Whether a click is in a count.
    pub fn has(&self, id: u64) -> bool {
        self.clicks.contains(&id)
    }

    /// Clicks that are told as lost.
    pub fn told(&self) -> u64 {
        self.spools.values().map(SpoolSums::told).sum()
    }

    /// Those of one spool.
    pub fn told_of(&self, edge: usize, spool: u64) -> u64 {
        self.spools.get(&(edge, spool)).map_or(0, SpoolSums::told)
    }

    /// What it has of a spool.
    pub fn cursor(&self, edge: usize, spool: u64) -> Option<Cursor> {
        self.spools.get(&(edge, spool))?.cursor
    }
}
