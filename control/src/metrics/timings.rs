//! How long something took, counted so that it can be shown as a classic and as a native histogram.

use exposition::Histogram;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Upper bounds of the classic buckets, in seconds.
const LADDER: [f64; 14] =
    [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];
/// Buckets for each power of two, as native histograms have them.
const EACH: f64 = 8.0;
/// From 1 µs to 67 s; what is shorter or longer counts as that.
const OCTAVES: usize = 26;
const BUCKETS: usize = OCTAVES * EACH as usize + 1;

#[derive(Debug)]
pub struct Timings {
    buckets: [AtomicU64; BUCKETS],
    sum_ns: AtomicU64,
}

impl Default for Timings {
    fn default() -> Self {
        Self { buckets: [const { AtomicU64::new(0) }; BUCKETS], sum_ns: AtomicU64::new(0) }
    }
}

impl Timings {
    /// It took so long.
    pub fn record(&self, took: Duration) {
        let octaves = (took.as_secs_f64() * 1e6).log2().max(0.0);
        let bucket = ((octaves * EACH).ceil() as usize).min(BUCKETS - 1);
        self.buckets[bucket].fetch_add(1, Relaxed);
        self.sum_ns.fetch_add(took.as_nanos() as u64, Relaxed); // 584 years
    }

    /// Each counts as the longest of its bucket: none is said to be quicker than it was.
    pub fn histogram(&self) -> Histogram {
        let longest = |bucket: usize| (bucket as f64 / EACH).exp2() / 1e6;
        let counts = self.buckets.iter().map(|count| count.load(Relaxed)).enumerate();
        let counted = counts.filter(|(_, count)| *count > 0).map(|(at, count)| (longest(at), count));
        Histogram::new(&LADDER, self.sum_ns.load(Relaxed) as f64 / 1e9, counted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_said_to_be_quicker_than_it_was() {
        for ns in [1, 999, 1_000, 1_001, 123_456, 1_000_000_000, 66_000_000_000] {
            let timings = Timings::default();
            timings.record(Duration::from_nanos(ns));
            let at = timings.buckets.iter().position(|count| count.load(Relaxed) == 1).unwrap();
            let longest = (at as f64 / EACH).exp2() * 1e3;
            assert!(longest >= ns as f64 && longest <= (ns as f64).max(1_000.0) * 1.1, "{ns} {longest}");
        }
        Timings::default().record(Duration::from_secs(1_000_000));
    }
}
