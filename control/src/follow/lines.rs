//! How often the log tells of streams that come and go.

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};

/// In a second, and at once after a pause.
const LINES: [u32; 2] = [10, 1_000];

/// Lines of the log about streams that come and go, whoever lets them: all of them when many edges come back at once, and
/// few in the long run.
pub struct StreamLog {
    left: DefaultDirectRateLimiter,
    untold: AtomicU64,
}

impl Default for StreamLog {
    fn default() -> Self {
        let [rate, burst] = LINES.map(|number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN));
        let quota = Quota::per_second(rate).allow_burst(burst);
        Self { left: RateLimiter::direct(quota), untold: AtomicU64::default() }
    }
}

impl StreamLog {
    /// Whether there is to be a line, and how many there were not since the last one: nothing inside if none.
    #[allow(clippy::option_option)]
    pub fn tell(&self) -> Option<Option<u64>> {
        if self.left.check().is_err() {
            self.untold.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(Some(self.untold.swap(0, Ordering::Relaxed)).filter(|untold| *untold > 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_that_come_and_go_without_end_fill_no_log() {
        let lines = StreamLog::default();
        let told = (0..100_000).filter(|_| lines.tell().is_some()).count();
        assert!((1_000..1_100).contains(&told), "{told}");
        let left = lines.untold.load(Ordering::Relaxed);
        std::thread::sleep(std::time::Duration::from_millis(150)); // one more in 100 ms
        assert_eq!(
            (lines.tell(), lines.tell().is_none_or(|untold| untold.is_none())),
            (Some(Some(left)), true)
        );
    }
}
