//! Features: what records say in fields that an edge of before passes over. An edge names those it knows in its hello, and
//! control sets no such field while an edge follows that would answer as if it were not there.
//!
//! They are another thing than the `required features` of a record, which a reader has to know to use it at all.

use crate::{decode, decode_domain};
use link::{ChangeKind, DomainRules, LinkRef, LinkState, Stats, placeholders};
use std::ops::{BitAnd, BitOr, BitOrAssign, Not};

/// A set of them, as it travels: one bit each. A bit is never given out again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features(pub u64);

impl Features {
    /// `root_target` of a domain.
    pub const ROOT_TARGET: Self = Self(1);
    /// `expired_target` of a domain or a link.
    pub const EXPIRED_TARGET: Self = Self(1 << 1);
    /// `trailing_slash` and `punctuation` of a domain.
    pub const ENDINGS: Self = Self(1 << 2);
    /// `robots` of a domain.
    pub const ROBOTS: Self = Self(1 << 3);
    /// `{path}` and `{query}` in a target of a domain.
    pub const PLACEHOLDERS: Self = Self(1 << 4);
    /// `files` of a domain.
    pub const FILES: Self = Self(1 << 5);
    /// A change that deletes a domain. No record needs it: where an edge lacks it, control refuses the deletion, and an edge
    /// that comes later begins anew.
    pub const DOMAINS_GO: Self = Self(1 << 6);
    /// `stats` of a domain: an edge that passes it over would keep more of a click than the domain allows.
    pub const STATS: Self = Self(1 << 7);

    /// Each with what it is called.
    const NAMES: [(Self, &'static str); 8] = [
        (Self::ROOT_TARGET, "root_target"),
        (Self::EXPIRED_TARGET, "expired_target"),
        (Self::ENDINGS, "trailing_slash and punctuation"),
        (Self::ROBOTS, "robots"),
        (Self::PLACEHOLDERS, "placeholders in targets of domains"),
        (Self::FILES, "files"),
        (Self::DOMAINS_GO, "that a domain is deleted"),
        (Self::STATS, "stats"),
    ];

    /// Those that this program knows.
    pub const KNOWN: Self = Self((1 << 8) - 1);

    /// Those that links may need; the others are of domains alone.
    pub const OF_LINKS: Self = Self::EXPIRED_TARGET;

    /// What this domain needs.
    pub fn of_domain(rules: &DomainRules) -> Self {
        let filled = rules.targets().any(|(_, target)| placeholders(target) == Ok(true));
        Self::ROOT_TARGET.where_so(rules.root_target.is_some())
            | Self::EXPIRED_TARGET.where_so(rules.expired_target.is_some())
            | Self::ENDINGS.where_so(rules.endings.any())
            | Self::ROBOTS.where_so(rules.robots.is_some())
            | Self::PLACEHOLDERS.where_so(filled)
            | Self::FILES.where_so(!rules.files.all().is_empty())
            | Self::STATS.where_so(rules.stats != Stats::Counts)
    }

    /// What this link needs.
    pub fn of_link(link: &LinkRef<'_>) -> Self {
        Self::EXPIRED_TARGET.where_so(link.expired_target.is_some())
    }

    /// What a record of this kind needs; nothing where it cannot be read.
    pub fn of_record(kind: ChangeKind, record: &[u8]) -> Self {
        match kind {
            ChangeKind::DOMAIN => {
                decode_domain(record).map_or_else(|_| Self::default(), |(_, rules)| Self::of_domain(&rules))
            }
            ChangeKind::LINK => match decode(record).map(|versioned| versioned.state) {
                Ok(LinkState::Live(link)) => Self::of_link(&link.as_ref()),
                _ => Self::default(),
            },
            _ => Self::default(),
        }
    }

    /// Whether there is any.
    pub fn any(self) -> bool {
        self.0 != 0
    }

    /// What they are called, in words.
    pub fn names(self) -> String {
        let known = Self::NAMES.into_iter().filter(|(feature, _)| (self & *feature).any());
        known.map(|(_, name)| name).collect::<Vec<_>>().join(", ")
    }

    fn where_so(self, so: bool) -> Self {
        if so { self } else { Self::default() }
    }
}

impl BitOr for Features {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Features {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl BitAnd for Features {
    type Output = Self;
    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl Not for Features {
    type Output = Self;
    fn not(self) -> Self {
        Self(!self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{encode, encode_domain};
    use link::{Endings, Link, LinkParts, Target};

    fn target(text: &str) -> Option<Target> {
        Some(Target::stored(text.as_bytes()).unwrap())
    }

    #[test]
    fn every_odd_field_needs_its_feature() {
        let of = |change: fn(&mut DomainRules)| {
            let mut rules = DomainRules::default();
            change(&mut rules);
            assert_eq!(
                Features::of_record(ChangeKind::DOMAIN, &encode_domain(1, &rules)),
                Features::of_domain(&rules)
            );
            Features::of_domain(&rules)
        };
        assert_eq!(of(|_| ()), Features::default());
        assert_eq!(of(|r| r.not_found = target("https://a.example/")), Features::default());
        assert_eq!(of(|r| r.query = link::QueryPolicy::Append), Features::default(), "control applies it");
        assert_eq!(of(|r| r.root_target = target("https://a.example/")), Features::ROOT_TARGET);
        assert_eq!(of(|r| r.expired_target = target("https://a.example/")), Features::EXPIRED_TARGET);
        assert_eq!(
            of(|r| r.endings = Endings { trailing_slash: true, punctuation: false }),
            Features::ENDINGS
        );
        assert_eq!(of(|r| r.robots = Some("x".into())), Features::ROBOTS);
        assert_eq!(of(|r| r.stats = Stats::Off), Features::STATS);
        assert_eq!(of(|r| r.not_found = target("https://a.example/{path}")), Features::PLACEHOLDERS);
        let link = |expired_target| {
            let parts = LinkParts { expired_target, ..LinkParts::to(target("https://a.example/").unwrap()) };
            Features::of_record(ChangeKind::LINK, &encode(1, &LinkState::Live(Link::new(parts).unwrap())))
        };
        assert_eq!(link(None), Features::default());
        assert_eq!(link(target("https://b.example/")), Features::EXPIRED_TARGET);
        assert_eq!(Features::of_record(ChangeKind::LINK, b"none"), Features::default());
        assert_eq!(Features::of_record(ChangeKind::PURGE, b""), Features::default());
    }

    #[test]
    fn every_known_feature_has_one_bit_and_a_name() {
        let mut all = Features::default();
        for (feature, name) in Features::NAMES {
            assert!(feature.0.is_power_of_two() && !(all & feature).any(), "{name}");
            assert_eq!(feature.names(), name);
            all |= feature;
        }
        assert_eq!((all, (Features::OF_LINKS & !all).any()), (Features::KNOWN, false));
    }
}
