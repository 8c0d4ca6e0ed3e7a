//! One entry in one allocation: numbers, key and target side by side. Read in place, replaced whole.
//!
//! ```text
//! 0  version u64 · 8 as_of u64 · 16 generation u32 · 20 key length u8 · 21 kind u8 · 22 flags u16
//! 24 key · max_age u32? · not_before i64? · expire i64? · target
//! ```

use super::{Absence, Found};
use link::rule::{Rule, off};
use link::{Class, Key, Link, LinkRef, QueryPolicy, Seq, State, Status, Versioned};
use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU8, Ordering};

/// A value to be held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stored {
    /// A link.
    Live(Link),
    /// The tombstone of one.
    Deleted,
    /// A record that cannot be understood.
    Quarantined,
}

impl Stored {
    /// What to hold for a record and its version, as decoded from what a source gave out at `as_of`. One that cannot be
    /// understood is quarantined (R12): its code answers 503, and everything else goes on. `None`: pass it over.
    pub fn of<E>(decoded: Result<Versioned, E>, as_of: Seq) -> Option<(Self, Seq)> {
        match decoded {
            Ok(Versioned { version, state: State::Live(link) }) if version <= as_of => {
                Some((Self::Live(link), version))
            }
            Ok(Versioned { version, state: State::Deleted }) if version <= as_of => {
                Some((Self::Deleted, version))
            }
            _ if off(Rule::QuarantineOnBad) => None,
            _ => Some((Self::Quarantined, as_of)),
        }
    }

    /// As a look-up would find it.
    pub fn found(&self) -> Found<'_> {
        match self {
            Self::Live(link) => Found::Live(link.as_ref()),
            Self::Deleted => Found::Deleted,
            Self::Quarantined => Found::Quarantined,
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Slot(Box<[u8]>);

const HEAD: usize = 24;
const LIVE: u8 = 0;
const DELETED: u8 = 1;
const QUARANTINED: u8 = 2;
const ABSENT: u8 = 3;
const DISABLED: u16 = 1 << 7;
const MAX_AGE: u16 = 1 << 8;
const NOT_BEFORE: u16 = 1 << 9;
const EXPIRE: u16 = 1 << 10;

/// Bytes an entry costs besides its allocation: its place in the table at the usual filling, and what the allocator
/// rounds up. Measured on a million links; see docs/perf.md.
const OVERHEAD: usize = 48;

/// What an entry counts as.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measure {
    /// Bytes, everything counted.
    pub cost: usize,
    /// A key known to be absent has a budget of its own.
    pub absent: bool,
}

impl Slot {
    /// The knowledge that there is no such link.
    pub fn absent(key: &[u8], as_of: Seq, generation: u32) -> Self {
        let mut slot = Self::new(key, &Stored::Deleted, 0, as_of, generation);
        slot.0[21] = ABSENT;
        slot
    }

    pub fn is_absent(&self) -> bool {
        self.0[21] == ABSENT
    }

    pub fn measure(&self) -> Measure {
        Measure { cost: self.cost(), absent: self.is_absent() }
    }

    pub fn new(key: &[u8], value: &Stored, version: Seq, as_of: Seq, generation: u32) -> Self {
        debug_assert!(key.len() <= Key::MAX_LEN);
        let mut bytes = Vec::with_capacity(HEAD + key.len() + 20 + 96);
        bytes.extend_from_slice(&version.to_le_bytes());
        bytes.extend_from_slice(&as_of.to_le_bytes());
        bytes.extend_from_slice(&generation.to_le_bytes());
        bytes.push(key.len() as u8); // at most 132
        let kind = match value {
            Stored::Live(_) => LIVE,
            Stored::Deleted => DELETED,
            Stored::Quarantined => QUARANTINED,
        };
        bytes.push(kind);
        let Stored::Live(link) = value else {
            bytes.extend_from_slice(&[0, 0]);
            bytes.extend_from_slice(key);
            return Self(bytes.into());
        };
        let parts = link.parts();
        let flags = parts.status as u16
            | (parts.query as u16) << 3
            | (parts.class as u16) << 5
            | if parts.disabled { DISABLED } else { 0 }
            | parts.max_age.map_or(0, |_| MAX_AGE)
            | parts.not_before.map_or(0, |_| NOT_BEFORE)
            | parts.expire.map_or(0, |_| EXPIRE);
        bytes.extend_from_slice(&flags.to_le_bytes());
        bytes.extend_from_slice(key);
        bytes.extend(parts.max_age.into_iter().flat_map(u32::to_le_bytes));
        bytes.extend(parts.not_before.into_iter().flat_map(i64::to_le_bytes));
        bytes.extend(parts.expire.into_iter().flat_map(i64::to_le_bytes));
        bytes.extend_from_slice(parts.target.as_bytes());
        Self(bytes.into())
    }

    pub fn key(&self) -> &[u8] {
        &self.0[HEAD..HEAD + usize::from(self.0[20])]
    }

    pub fn version(&self) -> Seq {
        Seq::from_le_bytes(self.array(0))
    }

    pub fn as_of(&self) -> Seq {
        Seq::from_le_bytes(self.array(8))
    }

    pub fn generation(&self) -> u32 {
        u32::from_le_bytes(self.array(16))
    }

    /// Bytes, everything counted.
    pub fn cost(&self) -> usize {
        self.0.len() + OVERHEAD
    }

    #[inline]
    pub fn found(&self) -> Found<'_> {
        match self.0[21] {
            LIVE => Found::Live(self.link()),
            DELETED => Found::Deleted,
            ABSENT => Found::Absent(Absence::Certain),
            _ => Found::Quarantined,
        }
    }

    fn link(&self) -> LinkRef<'_> {
        let flags = u16::from_le_bytes(self.array(22));
        let mut at = HEAD + usize::from(self.0[20]);
        let mut next = |flag: u16, width: usize| {
            let here = at;
            (flags & flag != 0).then(|| {
                at += width;
                here
            })
        };
        let max_age = next(MAX_AGE, 4).map(|at| u32::from_le_bytes(self.array(at)));
        let not_before = next(NOT_BEFORE, 8).map(|at| i64::from_le_bytes(self.array(at)));
        let expire = next(EXPIRE, 8).map(|at| i64::from_le_bytes(self.array(at)));
        LinkRef {
            target: &self.0[at..],
            status: Status::ALL[usize::from(flags & 7)],
            query: QueryPolicy::ALL[usize::from(flags >> 3 & 3)],
            class: Class::ALL[usize::from(flags >> 5 & 3)],
            disabled: flags & DISABLED != 0,
            max_age,
            not_before,
            expire,
        }
    }

    fn array<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut array = [0; N];
        array.copy_from_slice(&self.0[at..at + N]);
        array
    }
}

/// The map is asked by the key's bytes: hash and equality are those of the bytes.
impl Borrow<[u8]> for Slot {
    fn borrow(&self) -> &[u8] {
        self.key()
    }
}

impl Hash for Slot {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

impl PartialEq for Slot {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Slot {}

/// The hash that the map uses for this key.
pub(super) fn hash(hasher: &impl BuildHasher, key: &[u8]) -> u64 {
    hasher.hash_one(key)
}

/// How often an entry was asked for since eviction last looked at it, up to three.
#[derive(Debug, Default)]
pub(super) struct Mark(AtomicU8);

const MOST: u8 = 3;

impl Mark {
    /// For the value that takes this one's place: a change does not make a key asked for.
    pub fn again(&self) -> Self {
        Self(AtomicU8::new(self.0.load(Ordering::Relaxed)))
    }

    /// Reads before it writes: a hit on a hot key must not dirty a line that every core reads. That two at once may
    /// count as one does no harm.
    #[inline]
    pub fn touch(&self) {
        let times = self.0.load(Ordering::Relaxed);
        if times < MOST {
            self.0.store(times + 1, Ordering::Relaxed);
        }
    }

    /// Whether it was touched; not any more.
    pub fn take(&self) -> bool {
        self.0.swap(0, Ordering::Relaxed) > 0
    }

    /// Whether it was touched; once less now. Eviction holds the lock of the shard, so nobody touches meanwhile.
    pub fn spend(&self) -> bool {
        let times = self.0.load(Ordering::Relaxed);
        self.0.store(times.saturating_sub(1), Ordering::Relaxed);
        times > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use link::{LinkParts, Target};

    #[test]
    fn a_link_is_read_back_in_place() {
        let target = Target::stored(b"https://a.example/").unwrap();
        for bits in 0..8 {
            let parts = LinkParts {
                status: Status::PermanentRedirect,
                query: QueryPolicy::Override,
                class: Class::Strict,
                disabled: bits == 5,
                max_age: (bits & 1 != 0 || bits == 0).then_some(77),
                not_before: (bits & 2 != 0).then_some(-5),
                expire: (bits & 4 != 0).then_some(i64::MAX),
                ..LinkParts::to(target.clone())
            };
            let parts = LinkParts {
                status: if parts.max_age.is_some() { parts.status } else { Status::SeeOther },
                ..parts
            };
            let link = Link::new(parts).unwrap();
            let slot = Slot::new(b"\0\0\0\0abc", &Stored::Live(link.clone()), 3, 4, 5);
            assert_eq!(slot.found(), Found::Live(link.as_ref()));
            assert_eq!(
                (slot.key(), slot.version(), slot.as_of(), slot.generation()),
                (&b"\0\0\0\0abc"[..], 3, 4, 5)
            );
        }
    }

    #[test]
    fn what_is_no_link_takes_little() {
        for (value, found) in [(Stored::Deleted, Found::Deleted), (Stored::Quarantined, Found::Quarantined)] {
            let slot = Slot::new(b"\0\0\0\0abc", &value, 3, 4, 5);
            assert_eq!((slot.found(), slot.cost()), (found, HEAD + 7 + OVERHEAD));
        }
    }

    #[test]
    fn the_map_and_we_hash_alike() {
        let hasher = foldhash::fast::RandomState::default();
        let slot = Slot::new(b"\0\0\0\0abc", &Stored::Deleted, 1, 1, 0);
        assert_eq!(hasher.hash_one(&slot), hash(&hasher, b"\0\0\0\0abc"));
    }
}
