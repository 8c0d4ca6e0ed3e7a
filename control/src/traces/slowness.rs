//! From when on a call is slow: nearly all of the last minute were quicker.

use std::time::Duration;

/// No call that is quicker is slow, however quick the others are.
const LEAST: Duration = Duration::from_millis(10);
/// Buckets for each power of two, from 1 µs on; a call takes 30 s at most, and a stream is none.
const EACH: f64 = 8.0;
const BUCKETS: usize = 26 * EACH as usize;
const MINUTE: Duration = Duration::from_secs(60);
/// With fewer calls than this there is no telling what the slowest thousandth is.
const ENOUGH: u64 = 1_000;

/// See the module.
#[derive(Debug)]
pub struct Slowness {
    buckets: [u64; BUCKETS],
    since: Duration,
    threshold: Duration,
}

impl Default for Slowness {
    fn default() -> Self {
        Self { buckets: [0; BUCKETS], since: Duration::ZERO, threshold: LEAST }
    }
}

impl Slowness {
    /// Whether a call that took so long was slow. It counts for the next minute.
    pub fn is_slow(&mut self, took: Duration, now: Duration) -> bool {
        if now >= self.since + MINUTE {
            self.threshold = self.slowest();
            (self.buckets, self.since) = ([0; BUCKETS], now);
        }
        let octaves = (took.as_secs_f64() * 1e6).log2().max(0.0);
        self.buckets[((octaves * EACH).ceil() as usize).min(BUCKETS - 1)] += 1;
        took >= self.threshold
    }

    /// What all but a thousandth did not take.
    fn slowest(&self) -> Duration {
        let all: u64 = self.buckets.iter().sum();
        if all < ENOUGH {
            return LEAST;
        }
        let mut beyond = all / 1_000;
        let at = self.buckets.iter().rposition(|count| {
            let within = *count > beyond;
            beyond = beyond.saturating_sub(*count);
            within
        });
        let longest = (at.unwrap_or(0) as f64 / EACH).exp2() / 1e6;
        Duration::from_secs_f64(longest).max(LEAST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_thousandth_of_the_last_minute_is_slow_and_none_below_10_ms() {
        let mut slowness = Slowness::default();
        let ms = Duration::from_millis;
        assert!(!slowness.is_slow(ms(9), ms(0)) && slowness.is_slow(ms(10), ms(0)));
        for at in 0..10_000 {
            slowness.is_slow(if at % 100 == 0 { ms(200) } else { ms(1) }, ms(1));
        }
        let later = MINUTE + ms(1);
        assert!(!slowness.is_slow(ms(150), later), "a hundredth takes 200 ms");
        assert!(slowness.is_slow(ms(220), later));
        assert!(slowness.is_slow(ms(10), later + MINUTE), "too few to tell");
    }
}
