//! The positions that this process has seen committed, by which a database that was replaced is told.

use link::{Epoch, Position, Seq};
use std::collections::VecDeque;

/// Positions that are remembered, to find the last one that is shared: those of the last commits.
const REMEMBERED: usize = 4_096;

/// The latest positions that this process knows to be committed.
#[derive(Debug, Default)]
pub(super) struct SeenPositions {
    last: Option<Position>,
    pub(super) tags: VecDeque<(Seq, u64)>,
    /// The last history whose beginning was told: several connections find it at once.
    pub(super) told: Option<Epoch>,
}

impl SeenPositions {
    /// Answers may arrive in another order than they were given: what is older says nothing new.
    pub(super) fn note(&mut self, head: Position) {
        let newer = |last: Position| match head.epoch == last.epoch {
            true => head.seq > last.seq,
            false => head.epoch.counter > last.epoch.counter,
        };
        if self.last.is_none_or(newer) {
            self.last = Some(head);
            self.tags.push_back((head.seq, head.tag));
            if self.tags.len() > REMEMBERED {
                self.tags.pop_front();
            }
        }
    }

    /// A new history shares no more than this with what was known: nothing behind it proves anything about the new one.
    pub(super) fn leave(&mut self, shared: Seq) {
        self.tags.retain(|(seq, _)| *seq <= shared);
    }

    /// The last of it.
    pub(super) fn last(&self) -> Option<Position> {
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_never_goes_back() {
        let at = |counter, seq| Position { epoch: Epoch { counter, random: 7 }, seq, tag: seq };
        let mut known = SeenPositions::default();
        for (head, last) in
            [(at(1, 5), at(1, 5)), (at(1, 4), at(1, 5)), (at(2, 3), at(2, 3)), (at(1, 9), at(2, 3))]
        {
            known.note(head);
            assert_eq!(known.last(), Some(last));
        }
        assert_eq!(known.tags, [(5, 5), (3, 3)]);
        known.leave(4);
        assert_eq!(known.tags, [(3, 3)], "what another history holds there proves nothing in this one");
    }
}
