//! Which answer may be given from what is held, and who is asked when none may.
//!
//! Pure: the classes of docs/propagation.md in one place, for the hot path, for misses, and for the simulation.

use crate::{Absence, EntryState, Freshness, Lookup, Set, Tier};
use link::rule::{Rule, off};
use link::{Class, Seq};

/// What a domain lets a blind edge do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Of links that do not say it themselves, and of what is no link.
    pub class: Class,
    /// A normal link is served by a blind edge up to this age of its newest proof.
    pub max_stale_ms: u64,
}

impl Default for Policy {
    /// Keeps redirecting for a day.
    fn default() -> Self {
        Self { class: Class::Normal, max_stale_ms: 24 * 3600 * 1000 }
    }
}

/// What to do with what is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// Answer: it reflects everything acknowledged longer than the bound ago.
    Fresh,
    /// Answer, and say that it may be old.
    Stale,
    /// Ask who knows.
    Ask,
}

/// What to do with what a look-up found.
#[inline]
pub fn judge(held: &Lookup<'_>, freshness: Freshness, policy: Policy) -> Judgement {
    if !held.confirmed || held.found == EntryState::Absent(Absence::Unknown) {
        Judgement::Ask
    } else if freshness.is_blind() {
        stale(held, freshness, policy)
    } else {
        Judgement::Fresh
    }
}

/// What to do when everybody was asked and nobody answered; [`Judgement::Ask`]: nothing may be said.
pub fn last_resort(held: &Lookup<'_>, freshness: Freshness, policy: Policy) -> Judgement {
    match judge(held, freshness, policy) {
        Judgement::Ask => stale(held, freshness, policy),
        answer => answer,
    }
}

#[cold]
fn stale(held: &Lookup<'_>, freshness: Freshness, policy: Policy) -> Judgement {
    let class = match held.found {
        EntryState::Absent(Absence::Unknown) => return Judgement::Ask,
        // Of another history, perhaps: not even the set's completeness speaks for it.
        EntryState::Absent(Absence::Certain) if !held.confirmed => return Judgement::Ask,
        EntryState::Live(link) if link.terms.class != Class::Inherit => link.terms.class,
        _ => policy.class,
    };
    let strict = class == Class::Strict && !off(Rule::StrictBlind);
    let too_old = freshness.is_older_than(policy.max_stale_ms) && !off(Rule::MaxStale);
    if strict || too_old { Judgement::Ask } else { Judgement::Stale }
}

/// Who can be asked, nearest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The positioned copy.
    Redis,
    /// Control.
    Origin,
}

impl Source {
    /// Where its answers count.
    pub fn tier(self) -> Tier {
        match self {
            Self::Redis => Tier::Redis,
            Self::Origin => Tier::Origin,
        }
    }
}

/// The sources that one miss still has to ask, in their order.
#[derive(Clone, Debug)]
pub struct MissRoute {
    left: &'static [Source],
    token: Seq,
    asked_again: bool,
}

const BOTH: &[Source] = &[Source::Redis, Source::Origin];

impl MissRoute {
    /// A miss that needs an answer at `token` or later (0: any). `redis`: there is one, and it is believed to be well.
    pub fn new(token: Seq, redis: bool) -> Self {
        Self { left: if redis { BOTH } else { &BOTH[1..] }, token, asked_again: false }
    }

    /// Whom to ask next, and the least seq that the answer must be current at; `None`: everybody was asked. An answer
    /// that the set refused, an error and a timeout all lead on. Origin's answer cannot be refused twice.
    pub fn next(&mut self, set: &Set, key: &[u8]) -> Option<(Source, Seq)> {
        let (&source, left) = self.left.split_first()?;
        self.left = left;
        Some((source, self.token.max(set.min_seq(key))))
    }

    /// Redis was asked under the name of a copy that is no more, and told the one that is: it is asked again, once.
    pub fn other_copy(&mut self) {
        if !std::mem::replace(&mut self.asked_again, true) {
            self.left = BOTH;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StoredValue;
    use link::{Link, LinkParts, LinkTerms, Target};

    fn held(found: EntryState<'_>, confirmed: bool) -> Lookup<'_> {
        Lookup { found, confirmed, version: 1, uid: 1, as_of: 1 }
    }

    fn live(class: Class) -> StoredValue {
        let target = Target::stored(b"https://a.example/").unwrap();
        StoredValue::live(
            Link::new(LinkParts::on(LinkTerms { class, ..LinkTerms::default() }, target)).unwrap(),
        )
    }

    #[test]
    fn the_table_of_classes() {
        use Judgement::{Ask, Fresh, Stale};
        let (fresh, blind) = (Freshness::aged(999), Freshness::aged(1000));
        let (normal, strict, inherits) = (live(Class::Normal), live(Class::Strict), live(Class::Inherit));
        let certain = EntryState::Absent(Absence::Certain);
        let unknown = EntryState::Absent(Absence::Unknown);
        let open = Policy::default();
        let shut = Policy { class: Class::Strict, ..open };
        // (what, its domain's policy, when fresh, when blind, when blind and nobody answers)
        let table = [
            (normal.found(), open, Fresh, Stale, Stale),
            (normal.found(), shut, Fresh, Stale, Stale),
            (strict.found(), open, Fresh, Ask, Ask),
            (inherits.found(), open, Fresh, Stale, Stale),
            (inherits.found(), shut, Fresh, Ask, Ask),
            (EntryState::Deleted, open, Fresh, Stale, Stale),
            (EntryState::Deleted, shut, Fresh, Ask, Ask),
            (EntryState::Quarantined, open, Fresh, Stale, Stale),
            (certain, open, Fresh, Stale, Stale),
            (certain, shut, Fresh, Ask, Ask),
            (unknown, open, Ask, Ask, Ask),
            (unknown, shut, Ask, Ask, Ask),
        ];
        for (found, policy, when_fresh, when_blind, at_last) in table {
            let confirmed = held(found, true);
            assert_eq!(judge(&confirmed, fresh, policy), when_fresh, "{found:?}");
            assert_eq!(judge(&confirmed, blind, policy), when_blind, "{found:?}");
            assert_eq!(last_resort(&confirmed, blind, policy), at_last, "{found:?}");
            // Before it is confirmed it is asked for whatever it is, and served only as a last resort.
            let unconfirmed = held(found, false);
            let at_last = if found == certain { Ask } else { at_last };
            for freshness in [fresh, blind] {
                assert_eq!(judge(&unconfirmed, freshness, policy), Ask, "{found:?}");
                assert_eq!(last_resort(&unconfirmed, freshness, policy), at_last, "{found:?}");
            }
        }
    }

    #[test]
    fn a_normal_link_is_served_up_to_its_greatest_age() {
        let policy = Policy { max_stale_ms: 5000, ..Policy::default() };
        let (normal, at) = (live(Class::Inherit), |ms| Freshness::aged(ms));
        let held = held(normal.found(), true);
        assert_eq!(judge(&held, at(5000), policy), Judgement::Stale);
        assert_eq!(judge(&held, at(5001), policy), Judgement::Ask);
        assert_eq!(last_resort(&held, at(5001), policy), Judgement::Ask);
        assert_eq!(last_resort(&held, Freshness::NEVER, policy), Judgement::Ask);
        assert_eq!((at(7).stale_ms(), Freshness::NEVER.stale_ms()), (Some(7), None));
    }

    #[test]
    fn a_hunt_ends_at_the_origin() {
        let set = Set::new(1 << 16);
        set.apply(b"\0\0\0\0a", 5, None);
        let mut hunt = MissRoute::new(3, true);
        for _ in 0..2 {
            assert_eq!(hunt.next(&set, b"\0\0\0\0a"), Some((Source::Redis, 5)));
            hunt.other_copy(); // heard once
        }
        assert_eq!(hunt.next(&set, b"\0\0\0\0a"), Some((Source::Origin, 5)));
        assert_eq!(hunt.next(&set, b"\0\0\0\0a"), None);
        assert_eq!(MissRoute::new(9, false).next(&set, b"\0\0\0\0a"), Some((Source::Origin, 9)));
    }
}
