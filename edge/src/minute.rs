//! The answers of the last minute: how many there were of each kind, and how long they took. No clock here.

use crate::latency::{Durations, PublishedDurations};
use hdrhistogram::Histogram;
use hot::{Outcome, Tier};
use std::collections::VecDeque;

/// How many looks a minute has.
const LOOKS: usize = 12;

/// All answers so far, at some moment.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Milliseconds of the boot clock.
    at: u64,
    answers: [[u64; Outcome::ALL.len()]; Tier::ALL.len()],
    durations: Durations,
}

/// The answers since about a minute ago.
#[derive(Clone, Debug)]
pub struct Minute {
    /// Seconds that it lasted; 0: nothing was looked at yet.
    pub seconds: u32,
    answers: [[u64; Outcome::ALL.len()]; Tier::ALL.len()],
    /// Nanoseconds that they took.
    pub durations: Histogram<u64>,
}

impl Default for Minute {
    fn default() -> Self {
        let (answers, durations) = (Totals::default().answers, Durations::default().histogram);
        Self { seconds: 0, answers, durations }
    }
}

impl Totals {
    /// Those that the workers have counted, and how long they took.
    pub fn of(at: u64, counted: impl Fn(Tier, Outcome) -> u64, durations: &[PublishedDurations]) -> Self {
        let mut all = Self { at, ..Self::default() };
        durations.iter().for_each(|published| published.add_to(&mut all.durations));
        for (tier, counts) in Tier::ALL.into_iter().zip(&mut all.answers) {
            for (outcome, count) in Outcome::ALL.into_iter().zip(counts) {
                *count = counted(tier, outcome);
            }
        }
        all
    }

    /// What came behind `before`.
    fn since(&self, before: &Self) -> Minute {
        let mut minute = Minute { durations: self.durations.histogram.clone(), ..Minute::default() };
        minute.seconds = u32::try_from(self.at.saturating_sub(before.at).div_ceil(1_000)).unwrap_or(u32::MAX);
        // It holds all of those from before.
        if minute.durations.subtract(&before.durations.histogram).is_err() {
            minute.durations.reset();
        }
        for (tier, counts) in minute.answers.iter_mut().enumerate() {
            for (outcome, count) in counts.iter_mut().enumerate() {
                *count = self.answers[tier][outcome].saturating_sub(before.answers[tier][outcome]);
            }
        }
        minute
    }
}

impl Minute {
    /// How often this came up.
    pub fn count(&self, tier: Tier, outcome: Outcome) -> u64 {
        self.answers[tier as usize][outcome as usize]
    }

    #[cfg(test)]
    pub fn with(durations: Durations) -> Self {
        Self { seconds: 60, durations: durations.histogram, ..Self::default() }
    }

    #[cfg(test)]
    pub fn counted(mut self, tier: Tier, outcome: Outcome, count: u64) -> Self {
        self.answers[tier as usize][outcome as usize] = count;
        self
    }
}

/// The looks of the last minute.
#[derive(Debug)]
pub struct Looks(VecDeque<Totals>);

impl Looks {
    /// From this one on.
    pub fn from(first: Totals) -> Self {
        Self(VecDeque::from([first]))
    }

    /// Another one: what came since the one about a minute ago.
    pub fn look(&mut self, now: Totals) -> Minute {
        if self.0.len() > LOOKS {
            self.0.pop_front();
        }
        let minute = self.0.front().map(|before| now.since(before)).unwrap_or_default();
        self.0.push_back(now);
        minute
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn what_came_more_than_a_minute_ago_does_not_count() {
        let (redirects, published) = (Cell::new(0), [PublishedDurations::default()]);
        let counted = |tier, outcome| {
            if (tier, outcome) == (Tier::Hot, Outcome::Redirect) { redirects.get() } else { 0 }
        };
        let answer = |ns| {
            redirects.set(redirects.get() + 1);
            let mut own = Durations::default();
            own.record(ns, 1);
            published[0].take(&mut own);
        };
        answer(50_000_000);
        let mut looks = Looks::from(Totals::of(1_000, counted, &published));
        answer(10_000);
        let minute = looks.look(Totals::of(6_000, counted, &published));
        assert_eq!((minute.seconds, minute.count(Tier::Hot, Outcome::Redirect)), (5, 1));
        assert_eq!((minute.durations.len(), minute.durations.count_at(10_000)), (1, 1));
        for at in 2..=13 {
            let minute = looks.look(Totals::of(1_000 + at * 5_000, counted, &published));
            let (seconds, count) = (minute.seconds, minute.count(Tier::Hot, Outcome::Redirect));
            assert_eq!((u64::from(seconds), count), if at == 13 { (60, 0) } else { (at * 5, 1) });
        }
    }
}
