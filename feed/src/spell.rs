//! A trouble that lasts, such as a control that cannot be reached: when it is told, and how seldom again. Nothing is
//! written here.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// Milliseconds until it is told again that one still lasts; then twice as long, and so on up to the longest.
const AGAIN: u64 = 10_000;
const LONGEST: u64 = 3_600_000;
/// Of troubles that come and go, so many are told at once, and then one in so many milliseconds.
const AT_ONCE: u64 = 8;
const EACH: u64 = 10_000;
/// Reasons of one trouble that are told as soon as they are met.
const REASONS: usize = 8;

/// One kind of trouble of one thing. Times are milliseconds of any clock that does not go back.
#[derive(Debug, Default)]
pub struct Spell {
    now: Option<OpenSpell>,
    /// Milliseconds of telling that were used up, until when they count.
    spent: u64,
    spent_at: u64,
    untold: u64,
}

#[derive(Debug)]
struct OpenSpell {
    since: u64,
    times: u64,
    reasons: Vec<&'static str>,
    /// When it is told again; `None`: it was not told at all yet.
    again_at: Option<u64>,
    pause: u64,
}

/// A line to log: a trouble began, goes on, or has another reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TroubleReport {
    /// Milliseconds since it began.
    pub lasts_ms: u64,
    /// Times that it was met since it was last told.
    pub untold: u64,
}

/// A line to log: a trouble that was told is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecoveryReport {
    /// Milliseconds that it lasted.
    pub lasted_ms: u64,
    /// Times that it was met.
    pub times: u64,
}

impl Spell {
    /// It is met, for this reason.
    pub fn met(&mut self, now: u64, reason: &'static str) -> Option<TroubleReport> {
        let may = self.may_tell(now);
        let current = self.now.get_or_insert_with(|| OpenSpell {
            since: now,
            times: 0,
            reasons: Vec::new(),
            again_at: None,
            pause: AGAIN,
        });
        current.times += 1;
        let other = !current.reasons.contains(&reason) && current.reasons.len() < REASONS;
        let tells = match current.again_at {
            None => may,
            Some(at) => now >= at || (other && may),
        };
        if !tells {
            self.untold += 1;
            return None;
        }
        if other {
            current.reasons.push(reason);
        }
        if let Some(at) = current.again_at.filter(|at| now >= *at) {
            current.pause = (current.pause * 2).min(LONGEST);
            current.again_at = Some(at.max(now) + current.pause);
        }
        current.again_at.get_or_insert(now + current.pause);
        let tell = TroubleReport { lasts_ms: now.saturating_sub(current.since), untold: self.untold };
        self.spend(now);
        self.untold = 0;
        Some(tell)
    }

    /// It is not there (any more).
    pub fn over(&mut self, now: u64) -> Option<RecoveryReport> {
        let ended = self.now.take()?;
        ended
            .again_at
            .map(|_| RecoveryReport { lasted_ms: now.saturating_sub(ended.since), times: ended.times })
    }

    /// Whether it is there.
    pub fn lasts(&self) -> bool {
        self.now.is_some()
    }

    fn may_tell(&self, now: u64) -> bool {
        self.spent.saturating_sub(now.saturating_sub(self.spent_at)) <= (AT_ONCE - 1) * EACH
    }

    fn spend(&mut self, now: u64) {
        self.spent = self.spent.saturating_sub(now.saturating_sub(self.spent_at)) + EACH;
        self.spent_at = now;
    }
}

/// One that any thread may meet.
#[derive(Debug, Default)]
pub struct Trouble {
    /// Looked at without the lock: as a rule nothing is wrong.
    lasts: AtomicBool,
    spell: Mutex<Spell>,
}

impl Trouble {
    /// See [`Spell::met`].
    pub fn met(&self, now: u64, reason: &'static str) -> Option<TroubleReport> {
        self.lasts.store(true, Ordering::Relaxed);
        self.spell.lock().unwrap_or_else(PoisonError::into_inner).met(now, reason)
    }

    /// See [`Spell::over`].
    pub fn over(&self, now: u64) -> Option<RecoveryReport> {
        if !self.lasts.load(Ordering::Relaxed) {
            return None;
        }
        self.lasts.store(false, Ordering::Relaxed);
        self.spell.lock().unwrap_or_else(PoisonError::into_inner).over(now)
    }

    /// Whether it is there.
    pub fn lasts(&self) -> bool {
        self.lasts.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_lasts_is_told_ever_more_seldom_and_its_end_once() {
        let mut spell = Spell::default();
        assert_eq!(spell.over(0), None, "nothing was wrong");
        let told: Vec<(u64, u64)> = (0..100_000)
            .map(|tick| tick * 100)
            .filter_map(|now| spell.met(now, "refused").map(|tell| (now, tell.untold)))
            .collect();
        let times: Vec<u64> = told.iter().map(|(now, _)| *now / 1_000).collect();
        assert_eq!(times, [0, 10, 30, 70, 150, 310, 630, 1_270, 2_550, 5_110, 8_710]);
        assert_eq!(told[1], (10_000, 99), "what was not told is counted");
        assert!(spell.lasts());
        assert_eq!(spell.over(10_000_000), Some(RecoveryReport { lasted_ms: 10_000_000, times: 100_000 }));
        assert_eq!((spell.over(10_000_001), spell.lasts()), (None, false));
        assert!(spell.met(10_000_100, "refused").is_some(), "another one is told at once");
    }

    #[test]
    fn another_reason_is_told_at_once_and_no_reason_twice() {
        let mut spell = Spell::default();
        let mut met = |now, reason| spell.met(now, reason).is_some();
        assert!(met(0, "refused"));
        assert!(met(1, "timed out"));
        for now in 2..1_000 {
            assert!(!met(now, ["refused", "timed out"][now as usize % 2]));
        }
    }

    #[test]
    fn one_that_comes_and_goes_does_not_fill_the_log() {
        let mut spell = Spell::default();
        let (mut begun, mut ended) = (0, 0);
        for now in (0..600_000).step_by(200) {
            begun += u32::from(spell.met(now, "cut").is_some());
            ended += u32::from(spell.over(now + 100).is_some());
        }
        assert!((60..=68).contains(&begun), "{begun}");
        assert_eq!(begun, ended, "an end is told if its beginning was");
    }

    #[test]
    fn one_that_was_not_told_at_its_beginning_is_told_while_it_lasts() {
        let mut spell = Spell::default();
        for now in 0..200 {
            spell.met(now, "cut");
            spell.over(now);
        }
        let told = (200..60_000).find_map(|now| spell.met(now, "cut").map(|tell| (now, tell)));
        let (now, tell) = told.unwrap();
        assert!(now <= 10_000 && tell.lasts_ms == now - 200 && tell.untold > 190, "{now} {tell:?}");
    }
}
