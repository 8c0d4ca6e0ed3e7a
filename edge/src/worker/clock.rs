//! What time it is on this thread: one cheap reading a turn, set right by the system's clock at every tick.

use hot::Stamp;
use std::time::{SystemTime, UNIX_EPOCH};

pub struct Clock {
    counter: quanta::Clock,
    anchor: quanta::Instant,
    anchor_ms: i64,
    second: i64,
    stamp: Stamp,
    last: quanta::Instant,
}

impl Clock {
    pub fn new() -> Self {
        let counter = quanta::Clock::new();
        let anchor = counter.now();
        let mut clock =
            Self { counter, anchor, anchor_ms: 0, second: i64::MIN, stamp: Stamp::new(""), last: anchor };
        clock.anchor();
        clock.now();
        clock
    }

    /// Sets this clock by the system's.
    pub fn anchor(&mut self) {
        self.anchor = self.counter.now();
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.anchor_ms = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
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

    /// Nanoseconds since an earlier reading: a reading of its own.
    pub fn ns_since(&self, earlier: quanta::Instant) -> u64 {
        self.counter.now().saturating_duration_since(earlier).as_nanos() as u64 // 584 years
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
    }
}
