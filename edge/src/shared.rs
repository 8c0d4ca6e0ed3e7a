//! The little that the threads of an edge share: the set, the state of the feed, counters that each has one writer,
//! and the way by which a worker asks the background thread.

mod latency;

use crate::worker::Driver;
use futures_channel::{mpsc, oneshot};
use hot::{Counts, Outcome, Set, Stored};
use link::{Epoch, Key};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

pub use latency::{Durations, Published};

/// Questions that wait for the background thread; one more is answered with 503.
pub const MAX_QUESTIONS: usize = 1_024;

/// See the module.
pub struct Shared {
    /// Every link that this edge holds.
    pub set: Set,
    /// Where it stands in the log.
    pub feed: Feed,
    /// One for each worker.
    pub meters: Box<[Meters]>,
    /// How long answers took, up to each worker's last tick.
    pub durations: Box<[Published]>,
    ask: mpsc::Sender<Question>,
    stopping: AtomicBool,
    driver: AtomicU8,
}

/// A worker's question for the origin.
pub struct Question {
    /// Which link.
    pub key: Key,
    /// Where the answer goes; the worker may have given up.
    pub answer: oneshot::Sender<Told>,
}

/// What the origin says of a link.
#[derive(Clone, Debug)]
pub enum Told {
    /// Its state.
    Known(Arc<Stored>),
    /// There is none.
    Absent,
    /// Nobody could say in time.
    Unavailable,
}

impl Shared {
    pub fn new(hot_set_bytes: usize, workers: usize, ask: mpsc::Sender<Question>) -> Self {
        Self {
            set: Set::new(hot_set_bytes),
            feed: Feed::default(),
            meters: (0..workers).map(|_| Meters::default()).collect(),
            durations: (0..workers).map(|_| Published::default()).collect(),
            ask,
            stopping: AtomicBool::new(false),
            driver: AtomicU8::new(Driver::IoUring as u8),
        }
    }

    /// A worker's own end of the questions.
    pub fn ask(&self) -> mpsc::Sender<Question> {
        self.ask.clone()
    }

    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    pub fn set_driver(&self, driver: Driver) {
        self.driver.store(driver as u8, Ordering::Relaxed);
    }

    pub fn driver(&self) -> Driver {
        Driver::ALL[usize::from(self.driver.load(Ordering::Relaxed))]
    }
}

/// Where the edge stands in the log. Written by the background thread only.
#[derive(Default)]
pub struct Feed {
    /// Changes that control has and this edge has not applied.
    pub lag: AtomicU64,
    /// Boot-clock milliseconds as of which everything acknowledged was applied; 0: never.
    pub fresh_as_of: AtomicU64,
    /// Streams that had to begin again because a message was missing.
    pub gaps: AtomicU64,
    /// Times that control said to begin again.
    pub resets: AtomicU64,
    /// Records that could not be understood.
    pub quarantined: AtomicU64,
    /// A stream is up.
    pub connected: AtomicBool,
    /// A walk was finished at least once, so that this edge can answer.
    pub loaded: AtomicBool,
    epoch: Mutex<Option<Epoch>>,
}

impl Feed {
    /// The history that the set follows.
    pub fn epoch(&self) -> Option<Epoch> {
        *self.epoch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn set_epoch(&self, epoch: Epoch) {
        *self.epoch.lock().unwrap_or_else(PoisonError::into_inner) = Some(epoch);
    }
}

/// Where the answer to a request came from: the `tier` label of `linkr_edge_requests_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Tier {
    /// Memory: nobody was asked.
    Hot,
    /// Control was asked; with [`Outcome::Unavailable`], and did not say.
    Origin,
    /// Memory from before a reset, because control was asked and did not say.
    Stale,
    /// Nothing was looked up.
    None,
}

impl Tier {
    /// In the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Hot, Self::Origin, Self::Stale, Self::None];

    /// The label.
    pub fn label(self) -> &'static str {
        ["hot", "origin", "stale", "none"][self as usize]
    }

    /// Where an answer of this outcome counts, if it came up while requests were answered from here.
    pub fn of(self, outcome: Outcome) -> Self {
        match outcome {
            Outcome::Method | Outcome::Reserved | Outcome::Refused | Outcome::TimedOut => Self::None,
            Outcome::Unavailable if self == Self::Stale => Self::Origin,
            Outcome::Unavailable | Outcome::Redirect | Outcome::NotFound | Outcome::Gone => self,
        }
    }
}

/// What one worker counts. It alone writes, so an update is a load and a store; others read at any time. Padded, so
/// that no two workers write the same cache line (two lines: processors fetch pairs).
#[derive(Default)]
#[repr(align(128))]
pub struct Meters {
    outcomes: [[AtomicU64; Outcome::ALL.len()]; Tier::ALL.len()],
    misses: AtomicU64,
    turns: AtomicU64,
    accepted: AtomicU64,
    closed: AtomicU64,
}

fn add(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Ordering::Relaxed) + more, Ordering::Relaxed);
}

impl Meters {
    /// Takes over what a turn counted, and returns how many answers it gave.
    pub fn turned(&self, tier: Tier, counts: &mut Counts) -> u64 {
        add(&self.turns, 1);
        let mut answers = 0;
        counts.drain(|outcome, count| {
            answers += count;
            add(&self.outcomes[tier.of(outcome) as usize][outcome as usize], count);
        });
        answers
    }

    pub fn missed(&self) {
        add(&self.misses, 1);
    }

    pub fn accepted(&self) {
        add(&self.accepted, 1);
    }

    pub fn closed(&self) {
        add(&self.closed, 1);
    }

    /// Requests that came to this outcome from this tier.
    pub fn outcome(&self, tier: Tier, outcome: Outcome) -> u64 {
        self.outcomes[tier as usize][outcome as usize].load(Ordering::Relaxed)
    }

    /// Requests that had to ask the origin.
    pub fn misses(&self) -> u64 {
        self.misses.load(Ordering::Relaxed)
    }

    /// Times that this worker took bytes from a connection and answered them.
    pub fn turns(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }

    /// Connections so far.
    pub fn accepted_total(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Requests so far, whatever they came to.
    pub fn answered(&self) -> u64 {
        self.outcomes.iter().flatten().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// Connections now.
    pub fn connections(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed).saturating_sub(self.closed.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_counts_once_under_its_tier() {
        let meters = Meters::default();
        for tier in [Tier::Hot, Tier::Origin, Tier::Stale] {
            let mut counts = Counts::default();
            Outcome::ALL.into_iter().for_each(|outcome| counts.add(outcome));
            assert_eq!(meters.turned(tier, &mut counts), 8);
        }
        for tier in Tier::ALL {
            let counted = Outcome::ALL.map(|outcome| meters.outcome(tier, outcome));
            // redirect, not_found, gone, method, reserved, refused, timed_out, unavailable
            let expected = match tier {
                Tier::Hot => [1, 1, 1, 0, 0, 0, 0, 1],
                Tier::Origin => [1, 1, 1, 0, 0, 0, 0, 2],
                Tier::Stale => [1, 1, 1, 0, 0, 0, 0, 0],
                Tier::None => [0, 0, 0, 3, 3, 3, 3, 0],
            };
            assert_eq!(counted, expected, "{}", tier.label());
        }
    }
}
