//! R8b: what the edge's own file says of itself, taken at the start of a dump and at its end.

use crate::Set;
use link::rule::{Rule, off};
use link::{Position, Seq};

/// A dump of a set under way. The entries between its two ends come from [`Set::dump`].
#[derive(Clone, Copy, Debug)]
pub struct Dump {
    /// The file's position: what is applied from here on is applied again after a restart, whatever of it was dumped.
    pub position: Position,
    generation: u64,
    completeness: u64,
}

/// What is known only at the end of a dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DumpEnd {
    /// The highest seq that anything in it can have been relied on at.
    pub seen: Seq,
    /// Whether a key that is not in it is absent.
    pub complete: bool,
}

impl Dump {
    /// Begins. `standing`: the generation and position of the stream, taken together; `None` when the set has begun
    /// anew since.
    pub fn begin(set: &Set, standing: (u64, Position)) -> Option<Self> {
        let (generation, position) = standing;
        let dump = Self { position, generation, completeness: set.completeness() };
        dump.is_of(set).then_some(dump)
    }

    /// Ends. `all`: everything that the set held could be written. `None`: the set began anew meanwhile, or goes on in
    /// another history; what was dumped belongs to neither.
    pub fn end(&self, set: &Set, all: bool) -> Option<DumpEnd> {
        let now = set.completeness();
        let stayed = now == self.completeness || off(Rule::SnapshotCompleteAtEnd);
        let complete = all && self.completeness % 2 == 1 && stayed;
        let seen = if off(Rule::SnapshotSeenAtEnd) { self.position.seq } else { set.seen() };
        self.is_of(set).then_some(DumpEnd { seen, complete })
    }

    fn is_of(&self, set: &Set) -> bool {
        let same = set.generation() == self.generation && set.epoch() == Some(self.position.epoch);
        same || off(Rule::SnapshotReset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StoredValue;
    use link::Epoch;

    fn at(counter: u32, seq: Seq) -> Position {
        Position { epoch: Epoch { counter, random: 1 }, seq, tag: 1 }
    }

    #[test]
    fn a_dump_says_what_was_so_all_the_time() {
        let set = Set::with_fences(1 << 16, 4);
        set.reset(at(1, 5));
        let begin = || Dump::begin(&set, (set.generation(), at(1, set.applied())));
        let incomplete = begin().unwrap();
        set.set_complete();
        assert_eq!(incomplete.end(&set, true), Some(DumpEnd { seen: 5, complete: false }));
        let dump = begin().unwrap();
        set.apply(b"\0\0\0\0a", 6, Some(&StoredValue::Deleted));
        assert_eq!(
            (dump.position, dump.end(&set, true)),
            (at(1, 5), Some(DumpEnd { seen: 6, complete: true }))
        );
        assert_eq!(dump.end(&set, false), Some(DumpEnd { seen: 6, complete: false }));
    }

    #[test]
    fn a_dump_that_was_overtaken_is_none() {
        let set = Set::with_fences(1 << 16, 4);
        set.reset(at(1, 5));
        let generation = set.generation();
        let dump = Dump::begin(&set, (generation, at(1, 5))).unwrap();
        set.fork(at(2, 0).epoch, 5);
        assert_eq!(dump.end(&set, true), None);
        assert!(Dump::begin(&set, (generation, at(1, 5))).is_none());
        let dump = Dump::begin(&set, (generation, at(2, 5))).unwrap();
        set.reset(at(2, 9));
        assert_eq!(dump.end(&set, true), None);
    }
}
