//! How long answers take: a histogram of its own for each worker, which no other thread touches, and a copy of it that
//! is read.
//!
//! Recording is an index and three additions to memory of this core. What was recorded goes over to the copy at the
//! worker's tick, so a reader is at most a tick behind and never in the way.

use hdrhistogram::Histogram;
use std::sync::{Mutex, PoisonError};

/// Upper bounds of the classic buckets of `linkr_edge_request_duration_seconds`, in seconds.
pub const LADDER: [f64; 15] = [
    0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
    0.5, 1.0,
];
/// Nanoseconds; what takes longer counts as this. An answer may wait 1 s for control and 10 s for its client.
const MOST_NS: u64 = 60_000_000_000;
/// Values are told apart to 1 in 128: enough for native buckets, which are 9 % wide, in 30 KiB.
const DIGITS: u8 = 2;

/// Durations of answers.
#[derive(Clone, Debug)]
pub struct Durations {
    /// In nanoseconds.
    pub histogram: Histogram<u64>,
    /// All of them together, exactly.
    pub sum_ns: u64,
}

impl Default for Durations {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(1, MOST_NS, DIGITS).expect("bounds that are in order");
        Self { histogram, sum_ns: 0 }
    }
}

impl Durations {
    /// So many answers took so long.
    #[inline]
    pub fn record(&mut self, ns: u64, answers: u64) {
        self.histogram.saturating_record_n(ns.max(1), answers);
        self.sum_ns += ns * answers;
    }

    /// Adds others.
    pub fn add(&mut self, other: &Self) {
        let added = self.histogram.add(&other.histogram);
        debug_assert!(added.is_ok(), "all have the same bounds");
        self.sum_ns += other.sum_ns;
    }

    fn reset(&mut self) {
        self.histogram.reset();
        self.sum_ns = 0;
    }
}

/// A worker's durations up to its last tick.
#[derive(Debug, Default)]
pub struct PublishedDurations(Mutex<Durations>);

impl PublishedDurations {
    /// Takes over what the worker has recorded since it last did. A worker does not wait: if somebody reads just now,
    /// the next tick does it.
    pub fn take(&self, own: &mut Durations) {
        if !own.histogram.is_empty()
            && let Ok(mut published) = self.0.try_lock()
        {
            published.add(own);
            own.reset();
        }
    }

    /// Adds all of it to `sum`.
    pub fn add_to(&self, sum: &mut Durations) {
        sum.add(&self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_recorded_is_read_once_and_nothing_is_lost_to_a_reader() {
        let (published, mut own) = (PublishedDurations::default(), Durations::default());
        own.record(10_000, 3);
        own.record(0, 1);
        own.record(u64::from(u32::MAX) * 1_000, 1); // 71 minutes
        {
            let _reader = published.0.lock().unwrap();
            published.take(&mut own);
            assert_eq!(own.histogram.len(), 5, "kept for the next tick");
        }
        published.take(&mut own);
        published.take(&mut own);
        own.record(10_000, 1);
        published.take(&mut own);
        let mut sum = Durations::default();
        published.add_to(&mut sum);
        assert_eq!(sum.histogram.len(), 6);
        assert_eq!(sum.histogram.count_at(10_000), 4);
        assert_eq!(sum.histogram.count_at(1), 1);
        assert_eq!(sum.histogram.count_at(MOST_NS), 1);
        assert_eq!(sum.sum_ns, 4 * 10_000 + u64::from(u32::MAX) * 1_000);
    }
}
