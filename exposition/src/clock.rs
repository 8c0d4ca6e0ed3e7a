//! The system's clock beside the one that is never set: a step of it is told and counted. Nothing here goes by it.

use crate::Families;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);
/// A step, in milliseconds: a clock that is kept in step by NTP is moved by far less in a second.
const STEP: i64 = 2_000;
/// Between two lines about steps.
const TOLD_AGAIN: Duration = Duration::from_secs(10);

/// Steps back, and forward.
static STEPS: [AtomicU64; 2] = [AtomicU64::new(0), AtomicU64::new(0)];
const DIRECTIONS: [&str; 2] = ["back", "forward"];

/// Both clocks at one moment.
#[derive(Clone, Copy)]
struct Reading {
    steady: Instant,
    unix_ms: i64,
}

impl Reading {
    fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { steady: Instant::now(), unix_ms: i64::try_from(since.as_millis()).unwrap_or(i64::MAX) }
    }

    /// Milliseconds that the system's clock was set by since an earlier reading; below 0: back.
    fn set_since(self, earlier: Self) -> i64 {
        let passed = self.steady.saturating_duration_since(earlier.steady).as_millis();
        self.unix_ms - earlier.unix_ms - i64::try_from(passed).unwrap_or(i64::MAX)
    }
}

/// Looks for steps until the runtime ends.
pub(crate) async fn watch() {
    let (mut last, mut told, mut untold) = (Reading::now(), None::<Instant>, 0_u64);
    loop {
        tokio::time::sleep(LOOK).await;
        let now = Reading::now();
        let step = now.set_since(std::mem::replace(&mut last, now));
        if step.abs() < STEP {
            continue;
        }
        let forward = usize::from(step > 0);
        STEPS[forward].fetch_add(1, Relaxed);
        if told.is_some_and(|at| at.elapsed() < TOLD_AGAIN) {
            untold += 1;
            continue;
        }
        told = Some(Instant::now());
        tracing::warn!(
            name: "clock_stepped", reason = DIRECTIONS[forward], by_ms = step, untold = std::mem::take(&mut untold),
            "the clock of this machine was set, or the machine slept: links expire by it, and control keeps retries and \
             history by it; freshness does not go by it. If it is wrong now, set it right, and keep it in step (NTP)"
        );
    }
}

/// Writes the family.
///
/// # Errors
/// The encoder failed.
pub fn encode(families: &mut Families<'_>) -> fmt::Result {
    let help = "Times that the clock of this machine was set by 2 s or more while this process ran.";
    families.counters("linkr_clock_steps_total", help, |series| {
        DIRECTIONS
            .iter()
            .zip(&STEPS)
            .try_for_each(|(direction, count)| series(&[("direction", *direction)], count.load(Relaxed)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_is_told_from_one_that_goes() {
        let first = Reading { steady: Instant::now(), unix_ms: 1_000_000 };
        let later =
            |steady_ms, unix_ms| Reading { steady: first.steady + Duration::from_millis(steady_ms), unix_ms };
        assert_eq!(later(1_000, 1_001_000).set_since(first), 0);
        assert_eq!(later(60_000, 1_060_100).set_since(first), 100);
        assert_eq!(later(1_000, 4_601_000).set_since(first), 3_600_000);
        assert_eq!(later(1_000, 0).set_since(first), -1_001_000);
    }
}
