//! The last turns of a worker, and which of them has to be looked at: too slow, or with an outcome that somebody will ask about.

use crate::Outcome;

/// Turns that are remembered; older ones are overwritten.
pub const TURNS: usize = 4_096;

/// What a turn came to, as bits: one for each outcome, and why it has to be looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TurnMarks(u64);

impl TurnMarks {
    /// The turn had to ask a tier below memory.
    pub const ASKED: Self = Self(1 << 11);
    /// A tier below memory was slow, or did not answer.
    pub const SLOW_TIER: Self = Self(1 << 12 | Self::LOOK);
    /// A request said that it belongs to a trace.
    pub const TRACED: Self = Self(1 << 13 | Self::LOOK);
    /// No turn at all: for so long the worker did not come to look at its clock when it should have.
    pub const LATE: Self = Self(1 << 14);
    /// Above any duration: a turn with it is never below a threshold.
    const LOOK: u64 = 1 << 63;

    /// The mark of an outcome.
    #[inline(always)]
    pub const fn of(outcome: Outcome) -> Self {
        let look = match outcome {
            Outcome::Unavailable | Outcome::Refused => Self::LOOK,
            _ => 0,
        };
        Self(1 << outcome as u64 | look)
    }

    /// Both.
    #[inline(always)]
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` are among them.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The outcomes, in the order of their numbers.
    pub fn outcomes(self) -> impl Iterator<Item = Outcome> {
        Outcome::ALL.into_iter().filter(move |outcome| self.has(Self::of(*outcome)))
    }
}

/// One turn: when it began, how long it took, and what it came to. `I`: a point in time, which is only kept here.
#[derive(Clone, Copy, Debug)]
pub struct Turn<I> {
    /// When its bytes were looked at.
    pub began: I,
    /// Nanoseconds in the middle, marks around them.
    word: u64,
}

/// Below the duration.
const MARK_BITS: u32 = 15;
/// Between the marks and the bit that makes a turn to be looked at: 2⁴⁸ ns are three days.
const MOST_NS: u64 = (1 << (63 - MARK_BITS)) - 1;
const MARKS: u64 = ((1 << MARK_BITS) - 1) | TurnMarks::LOOK;

impl<I> Turn<I> {
    /// Nanoseconds from its beginning until the kernel had its answers.
    pub const fn ns(&self) -> u64 {
        (self.word & !MARKS) >> MARK_BITS
    }

    /// What it came to.
    pub const fn marks(&self) -> TurnMarks {
        TurnMarks(self.word & MARKS)
    }
}

/// The last turns of one worker.
#[derive(Debug)]
pub struct Turns<I> {
    ring: Box<[Turn<I>; TURNS]>,
    ended: u64,
    threshold: u64,
}

impl<I: Copy> Turns<I> {
    /// None yet; `now` stands where nothing was. Everything has to be looked at until [`Self::look_at`] says otherwise.
    pub fn new(now: I) -> Self {
        let ring = vec![Turn { began: now, word: 0 }; TURNS].into_boxed_slice();
        let ring = ring.try_into().unwrap_or_else(|_| unreachable!("it has TURNS turns"));
        Self { ring, ended: 0, threshold: 0 }
    }

    /// From now on turns that take so many nanoseconds, or longer, have to be looked at.
    pub fn look_at(&mut self, ns: u64) {
        self.threshold = ns.min(MOST_NS) << MARK_BITS;
    }

    /// A turn has ended. Whether it has to be looked at.
    #[inline(always)]
    pub fn end(&mut self, began: I, ns: u64, marks: TurnMarks) -> bool {
        // Longer than three days it would end up among the marks; no answer waits for longer than a minute.
        debug_assert!(ns <= MOST_NS);
        let word = ns << MARK_BITS | marks.0;
        self.ring[self.ended as usize % TURNS] = Turn { began, word };
        self.ended += 1;
        word >= self.threshold
    }

    /// Turns so far.
    pub fn ended(&self) -> u64 {
        self.ended
    }

    /// Those that are remembered, the newest first.
    pub fn newest(&self) -> impl Iterator<Item = &Turn<I>> {
        let kept = self.ended.min(TURNS as u64);
        (1..=kept).map(|back| &self.ring[(self.ended - back) as usize % TURNS])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_is_looked_at_when_it_is_slow_or_came_to_what_somebody_asks_about() {
        let mut turns = Turns::new(0_u64);
        assert!(turns.end(1, 0, TurnMarks::default()), "before anything was said of it");
        turns.look_at(1_000_000);
        for (ns, marks, looked_at) in [
            (999_999, TurnMarks::of(Outcome::Redirect), false),
            (999_999, TurnMarks::of(Outcome::NotFound).and(TurnMarks::ASKED), false),
            (1_000_000, TurnMarks::of(Outcome::Redirect), true),
            (60_000_000_000, TurnMarks::default(), true),
            (1, TurnMarks::of(Outcome::Unavailable), true),
            (1, TurnMarks::of(Outcome::Redirect).and(TurnMarks::of(Outcome::Refused)), true),
            (1, TurnMarks::TRACED, true),
            (1, TurnMarks::SLOW_TIER, true),
        ] {
            assert_eq!(turns.end(ns, ns, marks), looked_at, "{ns} {marks:?}");
            let last = *turns.newest().next().unwrap();
            assert_eq!((last.began, last.ns(), last.marks()), (ns, ns, marks));
        }
        turns.look_at(u64::MAX);
        assert!(!turns.end(1, 60_000_000_000, TurnMarks::of(Outcome::Redirect)), "slower than anything");
        assert!(turns.end(1, 0, TurnMarks::TRACED), "and still looked at");
    }

    #[test]
    fn the_last_ones_are_remembered_and_the_newest_comes_first() {
        let mut turns = Turns::new(0_u64);
        for at in 0..TURNS as u64 + 3 {
            assert_eq!(turns.newest().count() as u64, at.min(TURNS as u64));
            turns.end(at, at * 2, TurnMarks::default());
        }
        let began: Vec<u64> = turns.newest().map(|turn| turn.began).collect();
        assert!(began.iter().copied().eq((3..TURNS as u64 + 3).rev()));
        assert!(turns.newest().all(|turn| turn.ns() == turn.began * 2));
        assert_eq!(turns.ended(), TURNS as u64 + 3);
    }

    #[test]
    fn every_outcome_has_a_mark_of_its_own() {
        for outcome in Outcome::ALL {
            let marks = TurnMarks::of(outcome).and(TurnMarks::ASKED);
            assert!(marks.outcomes().eq([outcome]), "{outcome:?}");
            assert!(marks.has(TurnMarks::ASKED) && !marks.has(TurnMarks::TRACED));
        }
    }
}
