//! The hot set: every link that this edge holds, one shared, sharded map bounded in bytes.
//!
//! Workers look up and fill while one thread applies. The orders in which each touches the words below are part of
//! the protocol (R5, R6, R7 in docs/architecture.md).

mod eviction;
mod fences;
mod slot;

use crate::limits::SET_SHARDS;
use dashmap::{DashMap, Entry};
use eviction::Eviction;
use fences::Fences;
use link::{LinkRef, Seq};
use slot::{Mark, Slot};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

pub use slot::Stored;

/// See the module.
#[derive(Debug)]
pub struct Set {
    map: DashMap<Slot, Mark, foldhash::fast::RandomState>,
    fences: Fences,
    eviction: Eviction,
    generation: AtomicU64,
    /// Odd: complete. Counted up at every change, so that a reader can tell that it stayed so.
    complete: AtomicU64,
    applied: AtomicU64,
    seen: AtomicU64,
    bytes: AtomicUsize,
    entries: AtomicUsize,
    budget: usize,
    /// Entries of an older generation may be there.
    unconfirmed: AtomicBool,
}

/// What a look-up found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found<'a> {
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

/// What became of a fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    /// The set now says what was filled in.
    Accepted,
    /// A change that the filled value may not know was noticed, or a newer value is there: ask again.
    Refused,
}

impl Set {
    /// An empty set that holds at most `budget` bytes, everything counted.
    pub fn new(budget: usize) -> Self {
        let capacity = (budget / 256).min(1 << 20); // more grows shard by shard, a few microseconds each
        let hasher = foldhash::fast::RandomState::default();
        Self {
            map: DashMap::with_capacity_and_hasher_and_shard_amount(capacity, hasher, SET_SHARDS),
            fences: Fences::new(),
            eviction: Eviction::default(),
            generation: AtomicU64::new(0),
            complete: AtomicU64::new(0),
            applied: AtomicU64::new(0),
            seen: AtomicU64::new(0),
            bytes: AtomicUsize::new(0),
            entries: AtomicUsize::new(0),
            budget,
            unconfirmed: AtomicBool::new(false),
        }
    }

    /// Looks `key` up and hands what is there to `then`, under the shard's read lock: copy, never wait.
    #[inline]
    pub fn look_up<R>(&self, key: &[u8], then: impl FnOnce(Found<'_>) -> R) -> R {
        let before = self.complete.load(Ordering::Acquire);
        if let Some(entry) = self.map.get(key)
            && u64::from(entry.key().generation()) == self.generation.load(Ordering::Acquire)
        {
            entry.value().touch();
            return then(entry.key().found());
        }
        let certain = before % 2 == 1 && self.complete.load(Ordering::Acquire) == before;
        then(Found::Absent(if certain { Absence::Certain } else { Absence::Unknown }))
    }

    /// What is there whether or not it was confirmed since the last reset: for when nobody can be asked.
    pub fn look_up_unconfirmed<R>(&self, key: &[u8], then: impl FnOnce(Found<'_>) -> R) -> R {
        match self.map.get(key) {
            Some(entry) => then(entry.key().found()),
            None => then(Found::Absent(Absence::Unknown)),
        }
    }

    /// R6: carries out one change, in order; `None` purges the key. Only one thread applies. A refused change must be
    /// asked for: the set is not complete until then.
    pub fn apply(&self, key: &[u8], seq: Seq, value: Option<&Stored>) -> Fill {
        let hash = self.hash(key);
        self.fences.raise(hash, seq);
        let applied = match value {
            None => {
                self.remove_older(key, seq);
                Fill::Accepted
            }
            Some(value) => {
                let slot = Slot::new(key, value, seq, seq, self.generation_number());
                self.apply_slot(slot, seq, hash)
            }
        };
        self.pass(seq);
        self.shrink(hash);
        applied
    }

    /// R6 for a change that is about no link: only the position moves.
    pub fn pass(&self, seq: Seq) {
        self.applied.store(seq, Ordering::Release);
        self.seen.fetch_max(seq, Ordering::AcqRel);
    }

    fn apply_slot(&self, slot: Slot, seq: Seq, hash: u64) -> Fill {
        let (generation, cost) = (slot.generation(), slot.cost());
        match self.map.entry(slot) {
            Entry::Occupied(old) if old.key().generation() != generation || old.key().as_of() < seq => {
                let freed = old.key().cost();
                let (old, _) = old.replace_entry(Mark::touched());
                drop(old);
                self.recount(cost, freed);
            }
            Entry::Occupied(_) => {}
            // An older change must not bring back a key whose newer value was served and evicted.
            Entry::Vacant(place) if self.fences.get(hash) <= seq => {
                drop(place.insert(Mark::default()));
                self.eviction.joined(hash);
                self.recount(cost, 0);
            }
            // Something newer was seen in this slot, of this key or of another: whoever looks meanwhile must ask.
            Entry::Vacant(_) => {
                self.incomplete();
                return Fill::Refused;
            }
        }
        Fill::Accepted
    }

    /// R7: takes a value that a tier knew to be current at `as_of`, asked for while the set was at `generation`.
    pub fn fill(
        &self,
        key: &[u8],
        generation: u64,
        as_of: Seq,
        version: Seq,
        value: Option<&Stored>,
    ) -> Fill {
        let hash = self.hash(key);
        let number = self.generation_number();
        let Some(value) = value else { return self.fill_absent(key, hash, generation, as_of) };
        let slot = Slot::new(key, value, version, as_of, number);
        let cost = slot.cost();
        let entry = self.map.entry(slot);
        if self.generation.load(Ordering::Acquire) != generation || as_of < self.fences.get(hash) {
            return Fill::Refused;
        }
        let freed = match entry {
            Entry::Occupied(old) if old.key().generation() == number && old.key().as_of() >= as_of => {
                return Fill::Refused;
            }
            Entry::Occupied(old) => {
                self.relied_on(hash, as_of, version);
                let freed = old.key().cost();
                drop(old.replace_entry(Mark::touched()));
                freed
            }
            Entry::Vacant(place) => {
                self.relied_on(hash, as_of, version);
                drop(place.insert(Mark::default()));
                self.eviction.joined(hash);
                0
            }
        };
        self.recount(cost, freed);
        self.shrink(hash);
        Fill::Accepted
    }

    /// Absence is not stored, but it removes what it is newer than. Everything is checked under the shard's lock.
    fn fill_absent(&self, key: &[u8], hash: u64, generation: u64, as_of: Seq) -> Fill {
        let current =
            || self.generation.load(Ordering::Acquire) == generation && as_of >= self.fences.get(hash);
        let number = self.generation_number();
        let older = |slot: &Slot| slot.generation() != number || slot.as_of() < as_of;
        if let Some((slot, _)) = self.map.remove_if(key, |slot, _| current() && older(slot)) {
            self.recount(0, slot.cost());
        }
        if !current() {
            return Fill::Refused;
        }
        self.relied_on(hash, as_of, as_of);
        Fill::Accepted
    }

    /// A fill may run ahead of the stream: then nothing older may be stored for that slot any more.
    fn relied_on(&self, hash: u64, as_of: Seq, version: Seq) {
        self.seen.fetch_max(as_of, Ordering::AcqRel);
        if version > self.applied() {
            self.fences.raise(hash, version);
        }
    }

    fn remove_older(&self, key: &[u8], seq: Seq) {
        let number = self.generation_number();
        let older = |slot: &Slot, _: &Mark| slot.generation() != number || slot.as_of() < seq;
        if let Some((slot, _)) = self.map.remove_if(key, older) {
            self.recount(0, slot.cost());
        }
    }

    /// R5: everything held becomes unconfirmed, and the stream begins again at `start`.
    pub fn reset(&self, start: Seq) {
        self.incomplete();
        self.unconfirmed.store(self.entries() > 0, Ordering::Release);
        self.fences.new_epoch(start);
        self.generation.fetch_add(1, Ordering::AcqRel);
        for shard in self.map.shards() {
            drop(shard.write()); // whoever still held one under the old generation is through
        }
        self.applied.store(start, Ordering::Release);
        self.seen.store(start, Ordering::Release);
    }

    /// R6c: every key is here. Entries that a walk did not confirm are gone for good.
    pub fn set_complete(&self) {
        if self.unconfirmed.swap(false, Ordering::AcqRel) {
            let number = self.generation_number();
            self.map.retain(|slot, _| {
                let keep = slot.generation() == number;
                if !keep {
                    self.recount(0, slot.cost());
                }
                keep
            });
        }
        let now = self.complete.load(Ordering::Acquire);
        if now.is_multiple_of(2) {
            self.complete.store(now + 1, Ordering::Release);
        }
    }

    /// An absent key means nothing any more.
    fn incomplete(&self) {
        let now = self.complete.load(Ordering::Acquire);
        if now % 2 == 1 {
            // Lost only to another thread that does the same.
            let _ = self.complete.compare_exchange(now, now + 1, Ordering::AcqRel, Ordering::Acquire);
        }
    }

    /// Evicts until the budget is kept. What was just put in (`spare`) is the last to go.
    fn shrink(&self, spare: u64) {
        if self.bytes() <= self.budget {
            return;
        }
        self.incomplete(); // before anything is removed
        while self.bytes() > self.budget {
            let Some(slot) = self.eviction.pick(&self.map, spare) else { return };
            self.recount(0, slot.cost());
        }
    }

    /// An entry of so many bytes came, one of so many went; 0: none did.
    fn recount(&self, more: usize, less: usize) {
        // Both wrap back: never below zero in sum.
        self.bytes.fetch_add(more.wrapping_sub(less), Ordering::Relaxed);
        let (came, went) = (usize::from(more > 0), usize::from(less > 0));
        if came != went {
            self.entries.fetch_add(came.wrapping_sub(went), Ordering::Relaxed);
        }
    }

    fn hash(&self, key: &[u8]) -> u64 {
        slot::hash(self.map.hasher(), key)
    }

    /// The part of the generation that an entry carries; entries live for far fewer than 2³² resets.
    fn generation_number(&self) -> u32 {
        self.generation.load(Ordering::Acquire) as u32
    }

    /// Counts the resets: a fill carries the one from when it asked.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The last change applied.
    pub fn applied(&self) -> Seq {
        self.applied.load(Ordering::Acquire)
    }

    /// The highest seq relied on in any way.
    pub fn seen(&self) -> Seq {
        self.seen.load(Ordering::Acquire)
    }

    /// Whether the entry of this key is confirmed and of exactly this version.
    pub fn holds(&self, key: &[u8], version: Seq) -> bool {
        self.confirmed_version(key) == Some(version)
    }

    /// Whether there is a confirmed entry of this key.
    pub fn holds_any(&self, key: &[u8]) -> bool {
        self.confirmed_version(key).is_some()
    }

    fn confirmed_version(&self, key: &[u8]) -> Option<Seq> {
        let entry = self.map.get(key)?;
        (entry.key().generation() == self.generation_number()).then(|| entry.key().version())
    }

    /// The least seq that a fill of this key must be current at.
    pub fn min_seq(&self, key: &[u8]) -> Seq {
        self.applied().max(self.fences.get(self.hash(key)))
    }

    /// Whether an absent key is an honest absence.
    pub fn is_complete(&self) -> bool {
        self.complete.load(Ordering::Acquire) % 2 == 1
    }

    /// Entries held, unconfirmed ones included, by our own count.
    pub fn entries(&self) -> usize {
        self.entries.load(Ordering::Relaxed)
    }

    /// Bytes held, by our own count.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The bound of [`Set::bytes`].
    pub fn budget(&self) -> usize {
        self.budget
    }

    /// Entries evicted so far.
    pub fn evictions(&self) -> u64 {
        self.eviction.count()
    }

    /// States what must hold when nothing is under way.
    ///
    /// # Panics
    /// When it does not.
    pub fn validate(&self) {
        let counted: usize = self.map.iter().map(|entry| entry.key().cost()).sum();
        assert_eq!(counted, self.bytes(), "bytes are counted");
        assert_eq!(self.map.len(), self.entries(), "entries are counted");
        assert!(self.bytes() <= self.budget || self.entries() <= 1, "the budget is kept");
        assert!(self.seen() >= self.applied(), "what was applied was seen");
        let number = self.generation_number();
        for entry in &self.map {
            let slot = entry.key();
            assert!(slot.version() <= slot.as_of(), "no value is from the future");
            assert!(slot.generation() <= number);
            if self.is_complete() {
                assert_eq!(slot.generation(), number, "a complete set holds nothing unconfirmed");
            }
        }
    }
}

#[cfg(test)]
#[path = "set_tests.rs"]
mod tests;
