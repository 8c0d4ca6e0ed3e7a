//! R9: which reading of the log's head may answer which ping. One reading serves all that wait for it.

use link::rule::{Rule, off};

/// Readings of the head by number, one after the other.
#[derive(Debug, Default)]
pub struct HeadReads {
    begun: u64,
    ended: u64,
}

impl HeadReads {
    /// A ping has arrived: the number of the first reading that may answer it. Not one that is under way: it may have
    /// looked before a write that was acknowledged since, and before the ping was sent.
    pub fn wanted(&self) -> u64 {
        if off(Rule::FreshReadAfter) && self.begun > self.ended { self.begun } else { self.begun + 1 }
    }

    /// A reading begins, unless one is under way: its number.
    pub fn begin(&mut self) -> Option<u64> {
        (self.begun == self.ended).then(|| {
            self.begun += 1;
            self.begun
        })
    }

    /// It is over, well or not: pings that want this number or an earlier one can be answered with what it saw.
    pub fn end(&mut self) {
        self.ended = self.begun;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ping_waits_for_a_reading_that_begins_after_it() {
        let mut reads = HeadReads::default();
        assert_eq!((reads.wanted(), reads.begin()), (1, Some(1)));
        assert_eq!((reads.wanted(), reads.begin()), (2, None));
        reads.end();
        assert_eq!((reads.wanted(), reads.begin(), reads.wanted()), (2, Some(2), 3));
    }
}
