//! The hot set: every link that this edge holds, one shared, sharded map bounded in bytes.
//!
//! Workers look up and fill while one thread applies. The orders in which each touches the words below are part of
//! the protocol ("Threads" in docs/propagation.md); `tests/threads.rs` runs them in every order.

mod check;
mod eviction;
mod fences;
mod hasher;
mod history;
mod put;
mod queue;
mod slot;

use crate::Freshness;
use crate::limits::{ABSENT_SHARE, FENCE_SLOTS, SET_SHARDS};
use crate::sync::{AtomicBool, AtomicU64, AtomicUsize, Mutex, ShardTurn, ShardTurns};
use crate::unchecked;
use dashmap::DashMap;
use eviction::Eviction;
use fences::Fences;
use hasher::UnevenHashing;
use link::rule::{Rule, off};
use link::{DomainId, Epoch, LinkIdentity, LinkRef, Seq};
use slot::{GENERATIONS, Slot};
use std::sync::atomic::Ordering;

pub use history::{Fork, Restoration};
pub use put::{FillOutcome, TierReading};
pub use slot::StoredValue;

/// See the module.
#[derive(Debug)]
pub struct Set {
    map: DashMap<Slot, (), UnevenHashing>,
    turns: ShardTurns,
    fences: Fences,
    /// Who goes first when links need room, and when known-absent keys do.
    eviction: Eviction,
    absent_eviction: Eviction,
    /// Held while links go, from the set's being incomplete to the count of them: whoever completes it meets none of that
    /// half done. A shard may be waited for while holding this, and never the other way round.
    evicting: Mutex<()>,
    /// Counts the resets, by two: odd while one is under way.
    generation: AtomicU64,
    /// Counter and random part of the history, in one word; 0 while it changes.
    epoch: AtomicU64,
    /// Odd: complete. Counted up at every change, so that a reader can tell that it stayed so.
    complete: AtomicU64,
    applied: AtomicU64,
    seen: AtomicU64,
    /// Boot-clock milliseconds (and [`BEFORE_BOOT_MS`]) as of which everything acknowledged was applied; 0: never.
    fresh_as_of: AtomicU64,
    /// Of links, and of known-absent keys.
    bytes: AtomicUsize,
    absent_bytes: AtomicUsize,
    entries: AtomicUsize,
    budget: usize,
    /// Entries of an older generation may be there.
    unconfirmed: AtomicBool,
}

/// The result of a look-up: the entry, and how much is known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lookup<'a> {
    /// The entry.
    pub found: EntryState<'a>,
    /// Whether it was confirmed since the last reset; what was not is asked for again.
    pub confirmed: bool,
    /// The seq of the change that made it; 0 for an absence.
    pub version: Seq,
    /// Of a link, the seq of the change that created it.
    pub uid: Seq,
    /// The seq that it is known to have been unchanged at. What the stream applied since did not touch it.
    pub as_of: Seq,
}

impl Lookup<'_> {
    /// Which link was found, and which state of it; of what is no link, of no meaning.
    pub fn identity(&self) -> LinkIdentity {
        LinkIdentity { uid: self.uid, version: self.version }
    }
}

/// The entry of a key, or what its absence means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryState<'a> {
    /// A link.
    Live(LinkRef<'a>),
    /// The tombstone of one.
    Deleted,
    /// A record that cannot be understood: 503 until another change comes.
    Quarantined,
    /// No entry.
    Absent(Absence),
}

/// What the absence of an entry means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absence {
    /// There is no such link.
    Certain,
    /// Somebody else has to be asked.
    Unknown,
}

/// The slot that a look-up came upon, while it holds the shard.
#[derive(Clone, Copy)]
pub(crate) struct SlotView<'a> {
    slot: Option<&'a Slot>,
    /// [`Set::complete`], read before the look-up.
    before: u64,
}

impl<'a> SlotView<'a> {
    /// What it is.
    #[inline(never)]
    pub fn held(self, set: &Set) -> Lookup<'a> {
        let Some(slot) = self.slot else { return set.absent(self.before) };
        let confirmed = slot.generation() == set.slot_generation();
        if confirmed {
            slot.touch();
        }
        let LinkIdentity { uid, version: _ } = self.identity();
        Lookup { found: slot.found(), confirmed, version: slot.version(), uid, as_of: slot.as_of() }
    }

    /// Which link it is, and which state of it; where there is none, of no meaning.
    #[inline(always)]
    pub fn identity(self) -> LinkIdentity {
        self.slot.map(Slot::identity).unwrap_or_default()
    }

    /// The target of a confirmed link that answers with it at all times, by 302, for no time. `query`: one was asked
    /// with.
    #[inline(always)]
    pub fn usual(self, set: &Set, query: bool) -> Option<&'a [u8]> {
        let slot = self.slot.filter(|slot| slot.generation() == set.slot_generation())?;
        let target = slot.usual(query)?;
        slot.touch();
        Some(target)
    }
}

impl Set {
    /// An empty set that holds at most `budget` bytes, everything counted.
    pub fn new(budget: usize) -> Self {
        Self::sized(budget, FENCE_SLOTS, SET_SHARDS)
    }

    /// One with so few fences (a power of two) and shards that keys meet in them.
    #[cfg(any(test, feature = "rules"))]
    pub fn with_fences(budget: usize, fences: usize) -> Self {
        Self::sized(budget, fences, 4)
    }

    fn sized(budget: usize, fences: usize, shards: usize) -> Self {
        Self {
            map: DashMap::with_hasher_and_shard_amount(UnevenHashing::default(), shards),
            turns: ShardTurns::new(shards),
            fences: Fences::new(fences),
            eviction: Eviction::default(),
            absent_eviction: Eviction::default(),
            evicting: Mutex::new(()),
            generation: AtomicU64::new(0),
            epoch: AtomicU64::new(0),
            complete: AtomicU64::new(0),
            applied: AtomicU64::new(0),
            seen: AtomicU64::new(0),
            fresh_as_of: AtomicU64::new(0),
            bytes: AtomicUsize::new(0),
            absent_bytes: AtomicUsize::new(0),
            entries: AtomicUsize::new(0),
            budget,
            unconfirmed: AtomicBool::new(false),
        }
    }

    /// Looks `key` up and hands what is there to `then`, under the shard's read lock: copy, never wait. Whoever judges
    /// by freshness takes it before ([`Set::freshness`]).
    pub fn look_up<R>(&self, key: &[u8], then: impl FnOnce(Lookup<'_>) -> R) -> R {
        let (domain, code) = slot::parts(key);
        self.look_up_code(domain, code, |seen| then(seen.held(self)))
    }

    /// The same for a key in parts, as far as somebody asks.
    #[inline(always)]
    pub(crate) fn look_up_code<R>(
        &self,
        domain: DomainId,
        code: &[u8],
        then: impl FnOnce(SlotView<'_>) -> R,
    ) -> R {
        let before = self.complete.load(Ordering::Acquire);
        let hash = slot::hash(self.map.hasher(), domain, code);
        let _turn = self.turn(hash);
        let shard = self.map.shards()[self.map.determine_shard(hash as usize)].read();
        let slot = shard.get(hash, |(slot, _)| slot.has_key(domain, code)).map(|(slot, _)| slot);
        then(SlotView { slot, before })
    }

    /// `before`: [`Set::complete`], read before the look-up.
    #[cold]
    fn absent(&self, before: u64) -> Lookup<'static> {
        // Read between the two: a position that the absence is known at.
        let as_of = self.applied();
        let certain = before % 2 == 1 && self.complete.load(Ordering::Acquire) == before;
        let absence = if certain { Absence::Certain } else { Absence::Unknown };
        Lookup { found: EntryState::Absent(absence), confirmed: true, version: 0, uid: 0, as_of }
    }

    /// How old this edge's newest proof is that it knew everything acknowledged, at `now` (boot-clock milliseconds).
    /// Read before the look-up that is judged by it: read after, it could vouch for an entry from before.
    #[inline]
    pub fn freshness(&self, now: u64) -> Freshness {
        match self.fresh_as_of.load(Ordering::Acquire) {
            0 => Freshness::NEVER,
            at => Freshness::aged((now + BEFORE_BOOT_MS).saturating_sub(at)),
        }
    }

    /// R9: everything acknowledged before `at` (boot-clock milliseconds) was applied.
    pub fn freshen(&self, at: u64) {
        self.fresh_as_of.store(at + BEFORE_BOOT_MS, Ordering::Release);
    }

    /// R8b: a proof of freshness of an earlier process, `age_ms` old by now. It only says how old what is held may be:
    /// freshness does not survive a restart.
    pub fn stale_since(&self, now: u64, age_ms: u64) {
        let age_ms = if off(Rule::FreshRestart) { age_ms } else { age_ms.max(feed::BOUND_MS) };
        self.fresh_as_of.store((now + BEFORE_BOOT_MS).saturating_sub(age_ms).max(1), Ordering::Release);
    }

    /// Entries of one shard that are confirmed and no mere absences, as (key, identity, as_of, entry), under its read
    /// lock: copy, never wait. Of what is no link the uid has no meaning.
    pub fn dump(&self, shard: usize, mut each: impl FnMut(&[u8], LinkIdentity, Seq, EntryState<'_>)) {
        let _turn = self.turns.of(|| shard);
        let generation = self.slot_generation();
        // Entries lie anywhere in memory: the ways to them are gone all at once, and not one behind the other.
        unchecked::each_key(&self.map, shard, Slot::fetch);
        unchecked::each_key(&self.map, shard, |slot| {
            if slot.generation() == generation && !slot.is_absent() {
                each(slot.key(), slot.identity(), slot.as_of(), slot.found());
            }
        });
    }

    /// How many there are for [`Set::dump`].
    pub fn shards(&self) -> usize {
        self.map.shards().len()
    }

    fn hash(&self, key: &[u8]) -> u64 {
        let (domain, code) = slot::parts(key);
        slot::hash(self.map.hasher(), domain, code)
    }

    /// See [`ShardTurns`].
    #[inline(always)]
    fn turn(&self, hash: u64) -> ShardTurn<'_> {
        self.turns.of(|| self.map.determine_shard(hash as usize))
    }

    /// What an entry of this generation carries; while a reset is under way, what none does.
    #[inline]
    fn slot_generation(&self) -> u32 {
        (self.generation.load(Ordering::Acquire) % GENERATIONS) as u32
    }

    /// Counts the resets, by two; odd while one is under way.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The history that the entries belong to; `None` before the first, and while it changes.
    pub fn epoch(&self) -> Option<Epoch> {
        let word = self.epoch.load(Ordering::Acquire);
        (word != 0).then_some(Epoch { counter: (word >> 32) as u32, random: word as u32 })
    }

    /// The last change applied.
    pub fn applied(&self) -> Seq {
        self.applied.load(Ordering::Acquire)
    }

    /// The highest seq relied on in any way.
    pub fn seen(&self) -> Seq {
        self.seen.load(Ordering::Acquire)
    }

    /// The version of the confirmed entry of this key, if there is one.
    pub fn version(&self, key: &[u8]) -> Option<Seq> {
        self.look_up(key, |held| {
            let entry = held.confirmed && !matches!(held.found, EntryState::Absent(_));
            entry.then_some(held.version)
        })
    }

    /// The least seq that a fill of this key must be current at.
    pub fn min_seq(&self, key: &[u8]) -> Seq {
        if off(Rule::MinSeq) { 0 } else { self.applied().max(self.fences.get(self.hash(key))) }
    }

    /// Whether an absent key is an honest absence.
    pub fn is_complete(&self) -> bool {
        self.complete.load(Ordering::Acquire) % 2 == 1
    }

    /// Odd while complete, and another number after each change: equal and odd twice is complete all the time between.
    pub fn completeness(&self) -> u64 {
        self.complete.load(Ordering::Acquire)
    }

    /// Entries held, unconfirmed and known-absent ones included, by our own count.
    pub fn entries(&self) -> usize {
        count(&self.entries)
    }

    /// Bytes held, by our own count.
    pub fn bytes(&self) -> usize {
        self.link_bytes() + self.known_absent_bytes()
    }

    fn link_bytes(&self) -> usize {
        count(&self.bytes) + self.eviction.bytes()
    }

    /// The part of [`Set::bytes`] that keys known to be absent take.
    pub fn known_absent_bytes(&self) -> usize {
        count(&self.absent_bytes) + self.absent_eviction.bytes()
    }

    /// The bound of [`Set::bytes`].
    pub fn budget(&self) -> usize {
        self.budget
    }

    /// The part of the budget that known-absent keys may take, so that random codes never push out links.
    fn absent_budget(&self) -> usize {
        self.budget / ABSENT_SHARE
    }

    /// Links evicted so far.
    pub fn evictions(&self) -> u64 {
        self.eviction.count()
    }
}

/// What went may be counted before what it took the place of: never below zero for long.
fn count(word: &AtomicUsize) -> usize {
    word.load(Ordering::Relaxed).cast_signed().max(0).cast_unsigned()
}

/// Added to every boot-clock time that is kept, so that one before the boot can be: some 35 years.
const BEFORE_BOOT_MS: u64 = 1 << 40;

#[cfg(test)]
#[path = "set_tests.rs"]
mod tests;
