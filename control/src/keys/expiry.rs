//! The time by which keys expire: the latest that this process or its store has seen. A clock that goes back revives none.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};
use store::clock::unix_ms;

/// How far the system's clock may be behind before that is told.
const TOLD_MS: i64 = 60_000;

/// See the module. Times are Unix milliseconds.
#[derive(Debug, Default)]
pub struct Clock {
    latest: AtomicI64,
    told: AtomicBool,
}

impl Clock {
    /// The latest time that was seen, now included.
    pub fn now(&self) -> i64 {
        self.seen(unix_ms())
    }

    /// Somebody else saw this time.
    pub fn note(&self, at: i64) {
        self.compare(unix_ms(), self.seen(at));
    }

    /// Says when the system's clock falls behind what was seen, and when it has caught up.
    pub fn look(&self) {
        self.compare(unix_ms(), self.now());
    }

    fn compare(&self, now: i64, latest: i64) {
        let behind = latest - now > TOLD_MS;
        if self.told.swap(behind, Relaxed) == behind {
            return;
        }
        if behind {
            tracing::warn!(
                name: "clock_behind",
                "the clock of this machine is {} s behind the latest time that the store has seen: keys expire by the \
                 later one. If it is the clock that is wrong, set it; if it was ahead before, keys without an expiry and \
                 keys that expire later than that go on working",
                (latest - now) / 1000
            );
        } else {
            tracing::info!(name: "clock_caught_up", "the clock of this machine is as late as the store again");
        }
    }

    fn seen(&self, at: i64) -> i64 {
        self.latest.fetch_max(at, Relaxed).max(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_never_goes_back() {
        let (clock, ahead) = (Clock::default(), unix_ms() + 3_600_000);
        assert!(clock.now() < ahead);
        clock.note(ahead);
        assert_eq!(clock.now(), ahead);
        clock.note(5);
        assert_eq!((clock.now(), clock.seen(7)), (ahead, ahead));
    }
}
