//! What time it is on this thread: one cheap reading a turn, set right by the system's clock at every tick.

use hot::Stamp;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

/// Does something, and measures meanwhile how fast the processor's counter goes. The first clock of a process waits for that, some
/// ms and up to 0.2 s of a core that is busy: a worker would answer nobody meanwhile.
pub fn measured_beside<R>(then: impl FnOnce() -> R) -> R {
    thread::scope(|scope| {
        // Where there is no room for a thread, the first worker measures.
        let _ = thread::Builder::new().name("counter".to_owned()).spawn_scoped(scope, quanta::Clock::new);
        then()
    })
}

pub struct Clock {
    counter: quanta::Clock,
    anchor: quanta::Instant,
    anchor_ms: i64,
    anchor_ns: u64,
    second: i64,
    stamp: Stamp,
    last: quanta::Instant,
}

impl Clock {
    pub fn new() -> Self {
        let counter = quanta::Clock::new();
        let anchor = counter.now();
        let mut clock = Self {
            counter,
            anchor,
            anchor_ms: 0,
            anchor_ns: 0,
            second: i64::MIN,
            stamp: Stamp::new(""),
            last: anchor,
        };
        clock.anchor();
        clock.now();
        clock
    }

    /// Sets this clock by the system's.
    pub fn anchor(&mut self) {
        self.anchor = self.counter.now();
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.anchor_ms = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
        self.anchor_ns = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
    }

    /// Unix milliseconds, and the parts of a response that change with the second.
    pub fn now(&mut self) -> (i64, &Stamp) {
        self.last = self.counter.now();
        let since = self.last.saturating_duration_since(self.anchor);
        let now = self.anchor_ms + since.as_millis() as i64; // an anchor is a tenth of a second old
        let second = now.div_euclid(1000);
        if second != self.second {
            self.second = second;
            let time = UNIX_EPOCH + std::time::Duration::from_secs(u64::try_from(second).unwrap_or(0));
            self.stamp = Stamp::new(&httpdate::fmt_http_date(time));
        }
        (now, &self.stamp)
    }

    /// The reading of the last [`Clock::now`].
    pub fn last(&self) -> quanta::Instant {
        self.last
    }

    /// The counter that all readings are of.
    pub fn counter(&self) -> quanta::Clock {
        self.counter.clone()
    }

    #[cfg(test)]
    pub fn anchored(&self) -> quanta::Instant {
        self.anchor
    }

    /// When a reading was taken: nanoseconds of Unix time.
    pub fn unix_ns(&self, at: quanta::Instant) -> u64 {
        let (behind, before) =
            (at.saturating_duration_since(self.anchor), self.anchor.saturating_duration_since(at));
        (self.anchor_ns + behind.as_nanos() as u64).saturating_sub(before.as_nanos() as u64) // 584 years
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_agrees_with_the_system() {
        let mut clock = Clock::new();
        let system = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
        assert!((clock.now().0 - system).abs() < 1000);
        let (before, _) = clock.now();
        clock.anchor();
        assert!(clock.now().0 >= before - 1);
        let (anchored, later) = (clock.anchored(), clock.anchored() + std::time::Duration::from_millis(1));
        assert_eq!(clock.unix_ns(later), clock.unix_ns(anchored) + 1_000_000);
        clock.anchor();
        let moved = clock.unix_ns(later).abs_diff(system as u64 * 1_000_000 + 1_000_000);
        assert!(moved < 1_000_000_000, "a reading from before an anchor: {moved} ns");
    }
}
