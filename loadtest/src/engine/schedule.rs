//! When each request is meant to be sent. Known before anything is sent, so that a slow server cannot move it.

use crate::plan::{Pace, Plan};
use std::sync::Arc;

/// Recorded clicks: nanoseconds from the first one, at the speed of the plan, and the number of a key.
pub type Clicks = Arc<Vec<(u64, u32)>>;

/// One thread's part of the schedule. Times are nanoseconds from the start of the run.
pub enum Schedule {
    /// Every `step`, from `first` on.
    Even { first: f64, step: f64, sent: u64, end: u64 },
    /// Whenever there is room.
    Flat { end: u64 },
    /// As recorded: each `step`th click.
    Recorded { clicks: Clicks, next: usize, step: usize, flat: bool },
}

impl Schedule {
    pub fn new(plan: &Plan, clicks: Option<&Clicks>, at: usize, of: usize) -> Self {
        let end = (plan.warmup + plan.time).as_nanos() as u64; // centuries
        match (plan.pace, clicks) {
            (Pace::Recorded(speed), Some(clicks)) => {
                Self::Recorded { clicks: Arc::clone(clicks), next: at, step: of, flat: speed.is_infinite() }
            }
            (Pace::Rate(rate), _) => {
                let step = 1e9 * of as f64 / rate;
                Self::Even { first: step * at as f64 / of as f64, step, sent: 0, end }
            }
            _ => Self::Flat { end },
        }
    }

    /// When the next request is due; `None` when there is none any more.
    #[inline]
    pub fn due(&self, now: u64) -> Option<u64> {
        match self {
            Self::Even { first, step, sent, end } => {
                let due = (first + step * *sent as f64) as u64;
                (due < *end).then_some(due)
            }
            Self::Flat { end } => (now < *end).then_some(now),
            Self::Recorded { clicks, next, flat, .. } => {
                clicks.get(*next).map(|&(due, _)| if *flat { now } else { due })
            }
        }
    }

    /// The request that was due is taken; the key, if the schedule names one.
    #[inline]
    pub fn take(&mut self) -> Option<u32> {
        match self {
            Self::Even { sent, .. } => {
                *sent += 1;
                None
            }
            Self::Flat { .. } => None,
            Self::Recorded { clicks, next, step, .. } => {
                let key = clicks.get(*next).map(|&(_, key)| key);
                *next += *step;
                key
            }
        }
    }

    /// Whether requests wait for answers instead of the clock: then a latency says nothing about a visitor's.
    pub fn is_closed_loop(&self) -> bool {
        matches!(self, Self::Flat { .. } | Self::Recorded { flat: true, .. })
    }

    /// Requests due by `now` and not taken.
    pub fn behind(&self, now: u64) -> u64 {
        match self {
            Self::Even { first, step, sent, end } => {
                (((now.min(*end) as f64 - first) / step).max(0.0) as u64).saturating_sub(*sent)
            }
            Self::Flat { .. } | Self::Recorded { flat: true, .. } => 0,
            Self::Recorded { clicks, next, step, .. } => {
                let due = clicks.partition_point(|&(due, _)| due <= now);
                (due.saturating_sub(*next) / step) as u64
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_interleave_and_a_slow_server_moves_nothing() {
        let mut all = Vec::new();
        for at in 0..2 {
            let mut schedule = Schedule::Even { first: 500.0 * at as f64, step: 1000.0, sent: 0, end: 3_000 };
            while let Some(due) = schedule.due(u64::MAX) {
                all.push(due);
                schedule.take();
            }
        }
        all.sort_unstable();
        assert_eq!(all, [0, 500, 1000, 1500, 2000, 2500]);
    }

    #[test]
    fn recorded_clicks_keep_their_times_and_keys() {
        let clicks: Clicks = Arc::new(vec![(0, 7), (10, 8), (20, 9)]);
        let mut schedule = Schedule::Recorded { clicks, next: 0, step: 2, flat: false };
        assert_eq!((schedule.due(0), schedule.behind(15)), (Some(0), 1));
        assert_eq!(schedule.take(), Some(7));
        assert_eq!((schedule.due(0), schedule.take(), schedule.due(0)), (Some(20), Some(9), None));
    }
}
