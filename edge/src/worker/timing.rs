//! What a worker knows of time: its clock, how long its turns took, and which of them are kept as traces.

use super::clock::Clock;
use super::keeper::TraceKeeper;
use crate::latency::{Durations, PublishedDurations};
use crate::traces::Traces;
use hot::{TurnMarks, Turns};
use std::cell::RefCell;

pub struct Timing {
    /// One reading a turn.
    pub clock: RefCell<Clock>,
    /// The same counter, to be read at the end of a turn.
    counter: quanta::Clock,
    timed: RefCell<TimedTurns>,
    /// Untouched by a turn that is not looked at.
    pub keeper: RefCell<TraceKeeper>,
}

/// Everything that each turn touches.
struct TimedTurns {
    durations: Durations,
    turns: Turns<quanta::Instant>,
}

impl Timing {
    pub fn new() -> Self {
        let clock = Clock::new();
        let counter = clock.counter();
        let timed = TimedTurns { durations: Durations::default(), turns: Turns::new(counter.now()) };
        let keeper = RefCell::new(TraceKeeper::new());
        Self { clock: RefCell::new(clock), counter, timed: RefCell::new(timed), keeper }
    }

    /// What time it is.
    pub fn now(&self) -> quanta::Instant {
        self.counter.now()
    }

    /// So many answers are with the kernel, whose requests were here at `began`. How long that took, if the turn has to be
    /// looked at.
    #[inline]
    pub fn end(&self, began: quanta::Instant, answers: u64, marks: TurnMarks) -> Option<u64> {
        let ns = self.counter.now().saturating_duration_since(began).as_nanos() as u64; // 584 years
        let mut timed = self.timed.borrow_mut();
        timed.durations.record(ns, answers);
        timed.turns.end(began, ns, marks).then_some(ns)
    }

    /// From now on a turn that takes so many nanoseconds has to be looked at.
    pub fn look_at(&self, ns: u64) {
        self.timed.borrow_mut().turns.look_at(ns);
    }

    /// The turns that ended so far, the newest first.
    pub fn with_turns<R>(&self, then: impl FnOnce(&Turns<quanta::Instant>) -> R) -> R {
        then(&self.timed.borrow().turns)
    }

    /// Ten times a second. `watched`: somebody wants to see every turn.
    pub fn tick(&self, published: &PublishedDurations, traces: &Traces, watched: bool) {
        self.clock.borrow_mut().anchor();
        let mut timed = self.timed.borrow_mut();
        published.take(&mut timed.durations);
        self.keeper.borrow_mut().tick(self.counter.now(), &mut timed.turns, traces, watched);
    }

    /// Behind the last turn: what is kept and not handed over goes now.
    pub fn hand_over_last(&self, traces: &Traces) {
        self.keeper.borrow_mut().hand_over_last(traces);
    }
}
