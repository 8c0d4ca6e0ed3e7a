//! Whether the threads of an edge that answer make progress: each says so as it turns. Nothing here waits for a store, a file or
//! another half, so whoever is late hangs by itself.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A thread turns ten times a second. One that has not for so long hangs: also a busy machine lets each run sooner.
const LATE: Duration = Duration::from_secs(10);
/// In the place of a time: this thread has ended as it should.
const ENDED: u64 = u64::MAX;

/// When each thread turned last: the workers, and the background thread behind them.
pub struct Pulses {
    began: Instant,
    /// Milliseconds since then. (Of a clock that stands still while the machine is suspended: nobody is late by that.)
    turned: Box<[AtomicU64]>,
}

impl Pulses {
    /// Of so many workers.
    pub fn new(workers: usize) -> Self {
        Self { began: Instant::now(), turned: (0..=workers).map(|_| AtomicU64::new(0)).collect() }
    }

    /// A worker turns.
    pub fn worker_turns(&self, index: usize) {
        self.turned[index].store(self.now(), Ordering::Relaxed);
    }

    /// A worker will answer nobody any more.
    pub fn worker_ended(&self, index: usize) {
        self.turned[index].store(ENDED, Ordering::Relaxed);
    }

    /// The background thread turns.
    pub fn background_turns(&self) {
        self.worker_turns(self.turned.len() - 1);
    }

    fn now(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }

    /// The first thread that hangs, as a fault in words.
    pub fn all_turn(&self) -> Result<(), String> {
        self.all_turn_at(self.now())
    }

    fn all_turn_at(&self, now: u64) -> Result<(), String> {
        let late = LATE.as_millis() as u64;
        let since = |turned: &AtomicU64| now.saturating_sub(turned.load(Ordering::Relaxed));
        let Some(hangs) = self.turned.iter().position(|turned| since(turned) >= late) else { return Ok(()) };
        let name = match hangs + 1 == self.turned.len() {
            true => "the background thread".to_owned(),
            false => format!("worker {hangs}"),
        };
        Err(format!(
            "hangs: {name} has not turned for {} s: start this process again",
            since(&self.turned[hangs]) / 1000
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_does_not_turn_is_named_and_who_has_ended_is_not() {
        let pulses = Pulses::new(2);
        assert_eq!(pulses.all_turn(), Ok(()));
        pulses.worker_turns(0);
        let (soon, late) = (9_999, 13_000);
        assert_eq!(pulses.all_turn_at(soon), Ok(()));
        pulses.worker_ended(0);
        let why = pulses.all_turn_at(late).unwrap_err();
        assert!(why.starts_with("hangs: worker 1 has not turned for 13 s"), "{why}");
        pulses.worker_ended(1);
        assert!(pulses.all_turn_at(late).unwrap_err().contains("the background thread"));
        pulses.turned[2].store(late, Ordering::Relaxed);
        assert_eq!(pulses.all_turn_at(late), Ok(()));
    }
}
