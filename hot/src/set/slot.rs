//! One entry in one allocation: numbers, key and target side by side. Read in place, replaced whole.
//!
//! ```text
//! length, and how often it was asked for: see [`ThinBox`]
//! 0  version u48 · 6 as_of less version u24 · 9 generation u16 · 11 key length u8 · 12 flags u16
//!    key · uid u48? · max_age u32? · not_before i64? · expire i64? · (length u16 · target once it has expired)? · target
//! ```
//!
//! Nothing is wider than it must be: a byte here is a megabyte of a million links. The version of a known absence is the
//! seq that it is known at, for it has none.

use super::{Absence, EntryState};
use crate::unchecked::ThinBox;
use link::rule::{Rule, off};
use link::{
    Class, DomainId, Key, Link, LinkIdentity, LinkRef, LinkState, LinkTerms, QueryPolicy, Seq, Status,
    VersionedState,
};
use std::hash::{BuildHasher, Hash, Hasher};

/// A value to be held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoredValue {
    /// A link.
    Live {
        /// What it is.
        link: Link,
        /// The seq of the change that created it; `None`: that of the change which made this state.
        uid: Option<Seq>,
    },
    /// The tombstone of one.
    Deleted,
    /// A record that cannot be understood.
    Quarantined,
}

impl StoredValue {
    /// A link as the change left it that created it.
    pub fn live(link: Link) -> Self {
        Self::Live { link, uid: None }
    }

    /// Which link this is, as the change at `version` left it.
    pub fn identity(&self, version: Seq) -> LinkIdentity {
        match self {
            Self::Live { uid: Some(uid), .. } => LinkIdentity { uid: *uid, version },
            _ => LinkIdentity::created(version),
        }
    }

    /// What to hold for a record and its version, as decoded from what a source gave out at `as_of`. One that cannot be
    /// understood is quarantined (R12): its code answers 503, and everything else goes on. `None`: pass it over.
    pub fn of<E>(decoded: Result<VersionedState, E>, as_of: Seq) -> Option<(Self, Seq)> {
        match decoded {
            Ok(VersionedState { version, uid, state: LinkState::Live(link) }) if version <= as_of => {
                Some((Self::Live { link, uid: Some(uid).filter(|uid| *uid != version) }, version))
            }
            Ok(VersionedState { version, state: LinkState::Deleted, .. }) if version <= as_of => {
                Some((Self::Deleted, version))
            }
            _ if off(Rule::QuarantineOnBad) => None,
            _ => Some((Self::Quarantined, as_of)),
        }
    }

    /// As a look-up would find it.
    pub fn found(&self) -> EntryState<'_> {
        match self {
            Self::Live { link, .. } => EntryState::Live(link.as_ref()),
            Self::Deleted => EntryState::Deleted,
            Self::Quarantined => EntryState::Quarantined,
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Slot(ThinBox<HEAD>);

const HEAD: usize = 14;
const SEQ_MASK: u64 = (1 << 48) - 1;
const SINCE_MASK: u64 = (1 << 24) - 1;

/// The lowest three bits of the flags are the status.
const QUERY: u32 = 3;
const CLASS: u32 = 5;
const DISABLED: u16 = 1 << 7;
const MAX_AGE: u16 = 1 << 8;
const NOT_BEFORE: u16 = 1 << 9;
const EXPIRE: u16 = 1 << 10;
const KIND: u16 = 3 << 11;
const LIVE: u16 = 0;
const DELETED: u16 = 1 << 11;
const QUARANTINED: u16 = 2 << 11;
const ABSENT: u16 = 3 << 11;
const EXPIRED_TARGET: u16 = 1 << 13;
/// The uid is another than the version.
const UID: u16 = 1 << UID_BIT;
const UID_BIT: u32 = 14;
/// Bytes of a uid.
const UID_BYTES: usize = 6;

/// Bytes that an entry takes in the table and in pages that are not full, on the average. Measured on one to two million
/// links, at sizes over one doubling; see docs/perf.md.
const TABLE: usize = 20;

/// What the allocator makes of so many bytes: four sizes to a doubling, none closer than sixteen bytes.
const fn allocated(bytes: usize) -> usize {
    let step = bytes.next_power_of_two() / 8;
    bytes.next_multiple_of(if step > 16 { step } else { 16 })
}

/// What an entry counts as.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measure {
    /// Bytes, everything counted.
    pub cost: usize,
    /// A key known to be absent has a budget of its own.
    pub absent: bool,
}

/// Resets after which the number that an entry carries comes round, by two: see [`Slot::generation`].
pub(super) const GENERATIONS: u64 = 1 << 17;

impl Slot {
    /// The knowledge that there is no such link.
    pub fn absent(key: &[u8], as_of: Seq, generation: u32) -> Self {
        Self::build(&[key], ABSENT, (as_of, as_of), generation)
    }

    pub fn is_absent(&self) -> bool {
        self.flags() & KIND == ABSENT
    }

    pub fn measure(&self) -> Measure {
        Measure { cost: self.cost(), absent: self.is_absent() }
    }

    pub fn new(key: &[u8], value: &StoredValue, version: Seq, as_of: Seq, generation: u32) -> Self {
        let (link, uid) = match value {
            StoredValue::Live { link, uid } => (link, uid.filter(|uid| *uid != version)),
            StoredValue::Deleted => return Self::build(&[key], DELETED, (version, as_of), generation),
            StoredValue::Quarantined => {
                return Self::build(&[key], QUARANTINED, (version, as_of), generation);
            }
        };
        let parts = link.parts();
        let LinkTerms { status, query, class, disabled, max_age, not_before, expire } = parts.terms;
        let mut flags = LIVE | status as u16 | (query as u16) << QUERY | (class as u16) << CLASS;
        if disabled {
            flags |= DISABLED;
        }
        let (mut more, mut length) = ([0; 28], 0);
        let mut put = |flag: u16, bytes: &[u8]| {
            flags |= flag;
            more[length..][..bytes.len()].copy_from_slice(bytes);
            length += bytes.len();
        };
        uid.into_iter().for_each(|uid| put(UID, &uid.min(SEQ_MASK).to_le_bytes()[..UID_BYTES]));
        max_age.into_iter().for_each(|seconds| put(MAX_AGE, &seconds.to_le_bytes()));
        not_before.into_iter().for_each(|at| put(NOT_BEFORE, &at.to_le_bytes()));
        expire.into_iter().for_each(|at| put(EXPIRE, &at.to_le_bytes()));
        let expired_target = parts.expired_target.as_ref().map(link::Target::as_bytes);
        let lengths = expired_target.map(|target| target.len() as u16); // 1,024 at most
        lengths.into_iter().for_each(|length| put(EXPIRED_TARGET, &length.to_le_bytes()));
        let rest = [key, &more[..length], expired_target.unwrap_or_default(), parts.target.as_bytes()];
        Self::build(&rest, flags, (version, as_of), generation)
    }

    /// `rest`: the key first.
    fn build(rest: &[&[u8]], flags: u16, (version, as_of): (Seq, Seq), generation: u32) -> Self {
        debug_assert!(rest[0].len() <= Key::MAX_LEN);
        let (version, as_of) = (version.min(SEQ_MASK), as_of.min(SEQ_MASK)); // as far as any store counts
        // So many changes after its own it says less than is known, which is no fault: what the stream applied since then
        // did not touch it anyway.
        let since = as_of.saturating_sub(version).min(SINCE_MASK);
        let mut head = [0; HEAD];
        head[..6].copy_from_slice(&version.to_le_bytes()[..6]);
        head[6..9].copy_from_slice(&since.to_le_bytes()[..3]);
        head[9..11].copy_from_slice(&((generation >> 1) as u16).to_le_bytes());
        head[11] = rest[0].len() as u8; // at most 132
        head[12..].copy_from_slice(&flags.to_le_bytes());
        Self(ThinBox::new(&head, rest))
    }

    #[inline]
    pub fn key(&self) -> &[u8] {
        &self.0.rest()[..usize::from(self.0.head()[11])]
    }

    #[inline(always)]
    pub fn has_key(&self, domain: DomainId, code: &[u8]) -> bool {
        self.key().split_first_chunk().is_some_and(|(own, rest)| *own == domain.prefix() && same(rest, code))
    }

    /// See [`hash`].
    pub fn hash_by(&self, hasher: &impl BuildHasher) -> u64 {
        let (domain, code) = parts(self.key());
        hash(hasher, domain, code)
    }

    pub fn version(&self) -> Seq {
        if self.is_absent() { 0 } else { self.first() }
    }

    /// Which link it is; of what is none, of no meaning.
    #[inline(always)]
    pub fn identity(&self) -> LinkIdentity {
        let version = self.first();
        let uid = if self.flags() & UID == 0 { version } else { self.uid() };
        LinkIdentity { uid, version }
    }

    /// The uid behind the key, where there is one.
    #[inline]
    fn uid(&self) -> Seq {
        let mut bytes = [0; 8];
        let own = self.0.rest()[usize::from(self.0.head()[11])..].first_chunk::<UID_BYTES>();
        bytes[..UID_BYTES].copy_from_slice(own.unwrap_or(&[0; UID_BYTES]));
        Seq::from_le_bytes(bytes)
    }

    pub fn as_of(&self) -> Seq {
        self.first() + (Seq::from_le_bytes(self.array(6)) & SINCE_MASK)
    }

    fn first(&self) -> Seq {
        Seq::from_le_bytes(self.array(0)) & SEQ_MASK
    }

    /// The even number of the set's generations that it belongs to, less whole rounds of [`GENERATIONS`]: no entry
    /// outlives a round.
    pub fn generation(&self) -> u32 {
        u32::from(u16::from_le_bytes(self.array(9))) << 1
    }

    fn flags(&self) -> u16 {
        u16::from_le_bytes(self.array(12))
    }

    /// Has the processor fetch the bytes of the slot, which somebody will read soon.
    pub fn fetch(&self) {
        self.0.fetch();
    }

    /// Bytes, everything counted.
    pub fn cost(&self) -> usize {
        allocated(self.0.bytes()) + TABLE
    }

    #[inline]
    pub fn found(&self) -> EntryState<'_> {
        match self.flags() & KIND {
            LIVE => EntryState::Live(self.link()),
            DELETED => EntryState::Deleted,
            ABSENT => EntryState::Absent(Absence::Certain),
            _ => EntryState::Quarantined,
        }
    }

    /// The target of a link whose answer is 302 with it, at any time, for no time. `query`: one was asked with.
    #[inline(always)]
    pub fn usual(&self, query: bool) -> Option<&[u8]> {
        const CLASSES: u16 = 3 << CLASS;
        const QUERIES: u16 = 3 << QUERY;
        // Everything else is 0 in such a link: live, enabled, 302, no number but perhaps a uid.
        let flags = self.flags();
        let usual = flags & !(CLASSES | QUERIES | UID) == 0 && (!query || flags & QUERIES == 0);
        let behind = usize::from(self.0.head()[11]) + usize::from(flags >> UID_BIT & 1) * UID_BYTES;
        usual.then(|| &self.0.rest()[behind..])
    }

    fn link(&self) -> LinkRef<'_> {
        let flags = self.flags();
        let mut rest = &self.0.rest()[usize::from(self.0.head()[11])..];
        let _: Option<[u8; UID_BYTES]> = next(&mut rest, flags & UID);
        let terms = LinkTerms {
            status: Status::ALL[usize::from(flags & 7)],
            query: QueryPolicy::ALL[usize::from(flags >> QUERY & 3)],
            class: Class::ALL[usize::from(flags >> CLASS & 3)],
            disabled: flags & DISABLED != 0,
            // In the order in which they lie there.
            max_age: next(&mut rest, flags & MAX_AGE).map(u32::from_le_bytes),
            not_before: next(&mut rest, flags & NOT_BEFORE).map(i64::from_le_bytes),
            expire: next(&mut rest, flags & EXPIRE).map(i64::from_le_bytes),
        };
        let length = next(&mut rest, flags & EXPIRED_TARGET).map(u16::from_le_bytes);
        let expired_target = length.and_then(|length| {
            let (target, behind) = rest.split_at_checked(length.into())?;
            rest = behind;
            Some(target)
        });
        LinkRef { target: rest, terms, expired_target }
    }

    fn array<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut array = [0; N];
        array.copy_from_slice(&self.0.head()[at..at + N]);
        array
    }

    /// Takes over how often the one whose place it takes was asked for: a change does not make a key asked for.
    pub fn succeed(&self, old: &Self) {
        self.0.set_number(if self.is_absent() { 0 } else { old.0.number() });
    }

    /// Counts up how often it was asked for since eviction last looked at it, up to three. Reads before it writes: a hit
    /// on a hot key must not dirty a line that every core reads. That two at once may count as one does no harm.
    #[inline]
    pub fn touch(&self) {
        self.0.raise_number();
    }

    /// Whether it was touched; not any more. Eviction holds the lock of the shard, so nobody touches meanwhile.
    pub fn take(&self) -> bool {
        let times = self.0.number();
        self.0.set_number(0);
        times > 0
    }

    /// Whether it was touched; once less now. As [`Slot::take`].
    pub fn spend(&self) -> bool {
        let times = self.0.number();
        self.0.set_number(times.saturating_sub(1));
        times > 0
    }
}

/// The number in front, if the flag says that there is one.
fn next<const N: usize>(rest: &mut &[u8], flag: u16) -> Option<[u8; N]> {
    let (number, behind) = rest.split_first_chunk().filter(|_| flag != 0)?;
    *rest = behind;
    Some(*number)
}

impl Hash for Slot {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let (domain, code) = parts(self.key());
        write(state, domain, code);
    }
}

impl PartialEq for Slot {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Slot {}

/// The hash that the map uses for this key.
#[inline(always)]
pub(super) fn hash(hasher: &impl BuildHasher, domain: DomainId, code: &[u8]) -> u64 {
    let mut state = hasher.build_hasher();
    write(&mut state, domain, code);
    state.finish()
}

#[inline(always)]
fn write(state: &mut impl Hasher, domain: DomainId, code: &[u8]) {
    state.write_u32(domain.0);
    state.write(code);
}

/// Whether two codes are the same: most are of 4 to 8 bytes, which are two numbers.
#[inline(always)]
fn same(one: &[u8], other: &[u8]) -> bool {
    #[inline(always)]
    fn ends<const N: usize>(code: &[u8]) -> Option<(&[u8; N], &[u8; N])> {
        Some((code.first_chunk()?, code.last_chunk()?))
    }
    if one.len() != other.len() {
        false
    } else if (4..=8).contains(&one.len()) {
        ends::<4>(one) == ends(other)
    } else {
        one == other
    }
}

/// Of a key, which is four bytes long at least.
pub(super) fn parts(key: &[u8]) -> (DomainId, &[u8]) {
    let (domain, code) = key.split_first_chunk().unwrap_or((&[0; 4], &[]));
    (DomainId(u32::from_be_bytes(*domain)), code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use link::{LinkParts, Target};

    #[test]
    fn a_link_is_read_back_in_place_and_a_usual_one_answers_with_its_target_and_nothing_else() {
        let target = Target::stored(b"https://a.example/").unwrap();
        let mut usual = 0;
        for number in 0..5 * 3 * 3 * 2 * 3 * 3 * 3 * 2 * 3 {
            let mut left = number;
            let mut pick = |of: usize| {
                let one = left % of;
                left /= of;
                one
            };
            let terms = LinkTerms {
                status: Status::ALL[pick(5)],
                query: QueryPolicy::ALL[pick(3)],
                class: Class::ALL[pick(3)],
                disabled: pick(2) == 1,
                max_age: [None, Some(0), Some(Link::MAX_AGE)][pick(3)],
                not_before: [None, Some(5), Some(i64::MIN)][pick(3)],
                expire: [None, Some(7000), Some(i64::MAX)][pick(3)],
            };
            let late = Target::stored(b"https://late.example/").unwrap();
            let expired_target = [None, Some(late)][pick(2)].clone();
            let parts = LinkParts { expired_target, ..LinkParts::on(terms, target.clone()) };
            let Ok(link) = Link::new(parts) else { continue };
            let uid = [None, Some(2), Some(3)][pick(3)];
            let value = StoredValue::Live { link: link.clone(), uid };
            let slot = Slot::new(b"\0\0\0\0abc", &value, 3, 4, 6);
            assert_eq!(slot.found(), EntryState::Live(link.as_ref()));
            let identity = LinkIdentity { uid: uid.unwrap_or(3), version: 3 };
            assert_eq!((slot.identity(), value.identity(3)), (identity, identity));
            assert_eq!(
                (slot.key(), slot.version(), slot.as_of(), slot.generation()),
                (&b"\0\0\0\0abc"[..], 3, 4, 6)
            );
            for query in [None, Some(&b"x"[..])] {
                let Some(target) = slot.usual(query.is_some()) else { continue };
                usual += 1;
                for now in [0, 6, 8000] {
                    let link::Resolution::To(to) =
                        link::redirect(&link.as_ref(), link::VisitorRequest { query }, now)
                    else {
                        panic!("{link:?} at {now}")
                    };
                    let mut location = Vec::new();
                    to.write_location(&mut location);
                    assert_eq!(
                        (to.status, to.max_age, &location[..]),
                        (Status::Found, 0, target),
                        "{link:?}"
                    );
                }
            }
        }
        let every = "of every class, by every policy without a query, by one with, as created and as changed";
        assert_eq!(usual, 3 * (3 + 1) * 3, "{every}");
        for value in [StoredValue::Deleted, StoredValue::Quarantined] {
            assert_eq!(Slot::new(b"\0\0\0\0abc", &value, 3, 4, 6).usual(false), None);
        }
        assert_eq!(Slot::absent(b"\0\0\0\0abc", 4, 6).usual(false), None);
    }

    #[test]
    fn codes_are_the_same_only_byte_for_byte() {
        let code: [u8; 40] = std::array::from_fn(|at| b'a' + at as u8 % 26);
        for length in 0..=code.len() {
            let own = &code[..length];
            assert!(same(own, own) && (length == 0 || !same(own, &own[1..])));
            for at in 0..length {
                let mut other = own.to_vec();
                other[at] ^= 1;
                assert!(!same(own, &other), "{length} at {at}");
            }
        }
    }

    #[test]
    fn what_is_no_link_takes_little() {
        for (value, found) in
            [(StoredValue::Deleted, EntryState::Deleted), (StoredValue::Quarantined, EntryState::Quarantined)]
        {
            let slot = Slot::new(b"\0\0\0\0abc", &value, 3, 4, 5);
            assert_eq!((slot.found(), slot.cost()), (found, 32 + TABLE));
        }
    }

    #[test]
    fn sizes_are_those_of_the_allocator() {
        let sizes = [1, 16, 17, 64, 65, 80, 81, 128, 129, 161, 193, 225, 257, 8192, 8193].map(allocated);
        assert_eq!(sizes, [16, 16, 32, 64, 80, 80, 96, 128, 160, 192, 224, 256, 320, 8192, 10_240]);
    }

    #[test]
    fn numbers_are_read_back_up_to_their_ends() {
        let far = SINCE_MASK;
        for (version, as_of, read) in [
            (0, 0, 0),
            (7, 7, 7),
            (SEQ_MASK, SEQ_MASK, SEQ_MASK),
            (5, 5 + far, 5 + far),
            (5, 9 + far, 5 + far),
        ] {
            let slot = Slot::new(b"\0\0\0\0abc", &StoredValue::Deleted, version, as_of, 0x1_fffe);
            assert_eq!((slot.version(), slot.as_of(), slot.generation()), (version, read, 0x1_fffe));
        }
        let slot = Slot::absent(b"\0\0\0\0abc", SEQ_MASK, 0);
        assert_eq!(
            (slot.version(), slot.as_of(), slot.found()),
            (0, SEQ_MASK, EntryState::Absent(Absence::Certain))
        );
    }

    #[test]
    fn the_longest_of_all_fits() {
        let target = format!("https://{}", "a".repeat(link::MAX_TARGET - 8));
        let terms =
            LinkTerms { max_age: Some(1), not_before: Some(2), expire: Some(3), ..LinkTerms::default() };
        let link = Link::new(LinkParts::on(terms, Target::stored(target.as_bytes()).unwrap())).unwrap();
        let slot = Slot::new(&[b'a'; Key::MAX_LEN], &StoredValue::live(link.clone()), 1, 1, 0);
        assert_eq!((slot.key().len(), slot.found()), (Key::MAX_LEN, EntryState::Live(link.as_ref())));
    }

    #[test]
    fn how_often_it_was_asked_for_goes_up_to_three() {
        let slot = Slot::new(b"\0\0\0\0abc", &StoredValue::Deleted, 1, 1, 0);
        assert!(!slot.take() && !slot.spend());
        (0..9).for_each(|_| slot.touch());
        let next = Slot::new(b"\0\0\0\0abc", &StoredValue::Quarantined, 2, 2, 0);
        next.succeed(&slot);
        assert_eq!([(); 4].map(|()| next.spend()), [true, true, true, false]);
        assert!(slot.take() && !slot.take());
        next.succeed(&slot);
        assert_eq!(
            (next.spend(), next.key(), next.found()),
            (false, &b"\0\0\0\0abc"[..], EntryState::Quarantined)
        );
    }

    #[test]
    fn the_map_and_we_hash_alike() {
        let hasher = foldhash::fast::RandomState::default();
        let slot = Slot::new(b"\0\0\0\0abc", &StoredValue::Deleted, 1, 1, 0);
        assert_eq!(hasher.hash_one(&slot), hash(&hasher, DomainId::DEFAULT, b"abc"));
        assert_eq!(hasher.hash_one(&slot), slot.hash_by(&hasher));
    }
}
