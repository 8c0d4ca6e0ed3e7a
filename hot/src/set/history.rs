//! How a set begins again: resets (R5), another history (R4), completeness (R6c), and a start from a file (R8b).

use super::eviction::Entrance;
use super::put::PutDecision;
use super::slot::{GENERATIONS, Measure, Slot};
use super::{Set, StoredValue};
use crate::sync::AtomicU64;
use link::rule::{Rule, off};
use link::{Epoch, Position, Seq};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

/// What a resume across a fork came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fork {
    /// Everything held belongs to both histories.
    Clean,
    /// Something behind the fork was relied on: everything is unconfirmed, in the old history.
    Beyond,
}

impl Set {
    /// R5: everything held becomes unconfirmed, and the stream begins again at `start`.
    ///
    /// While the generation is odd no fill is taken: one that asked under the new generation must find its fences,
    /// and one that asked under the old must not see them.
    pub fn reset(&self, start: Position) {
        self.incomplete();
        if self.entries() > 0 {
            self.unconfirmed.store(true, Ordering::Release);
        }
        // Within one history a fill may have been accepted since the hello: behind it, too, nothing is known.
        let same = self.epoch() == Some(start.epoch);
        let base = if same && !off(Rule::StartAtSeen) { start.seq.max(self.seen()) } else { start.seq };
        self.unconfirm();
        self.epoch.store(word(start.epoch), Ordering::Release);
        self.fences.new_epoch(base);
        self.applied.store(start.seq, Ordering::Release);
        self.seen.store(base, Ordering::Release);
        self.settle();
    }

    /// R4: the history is `epoch` now, which shares everything up to `fork_seq` with the one so far. The generation
    /// stays: a clean failover must not turn hits into misses.
    pub fn fork(&self, epoch: Epoch, fork_seq: Seq) -> Fork {
        let before = self.epoch.swap(0, Ordering::AcqRel); // no fill is taken meanwhile
        self.pass_every_shard();
        if self.seen() > fork_seq && !off(Rule::ForkRecheck) {
            self.incomplete();
            self.unconfirmed.store(true, Ordering::Release);
            self.unconfirm();
            self.settle();
            self.epoch.store(before, Ordering::Release);
            return Fork::Beyond;
        }
        self.epoch.store(word(epoch), Ordering::Release);
        Fork::Clean
    }

    /// New generation first, then every shard's lock once: whoever still held one under the old is through.
    ///
    /// Entries carry sixteen bits of it: after 65,536 resets of one process what none of them confirmed goes.
    fn unconfirm(&self) {
        let mut generation = self.generation.load(Ordering::Acquire);
        if !off(Rule::ResetGeneration) {
            generation = self.generation.fetch_add(1, Ordering::AcqRel) + 1;
        }
        self.pass_every_shard();
        if (generation + 1).is_multiple_of(GENERATIONS) {
            self.drop_all(|_| true);
        }
    }

    /// Fills are taken again.
    fn settle(&self) {
        if !off(Rule::ResetGeneration) {
            self.generation.fetch_add(1, Ordering::AcqRel);
        }
    }

    fn pass_every_shard(&self) {
        for (index, shard) in self.map.shards().iter().enumerate() {
            let _turn = self.turns.of(|| index);
            drop(shard.write());
        }
    }

    /// R6c: every key is here, and nothing goes meanwhile.
    pub fn set_complete(&self) {
        self.complete_since(self.evictions());
    }

    /// R6c: every key is here, unless more than so many links were evicted by now. Entries that a walk did not confirm
    /// are gone for good.
    pub fn complete_since(&self, evictions: u64) -> bool {
        if self.unconfirmed.swap(false, Ordering::AcqRel) && !off(Rule::CompleteDropsUnconfirmed) {
            let number = self.slot_generation();
            self.drop_all(|slot| slot.generation() != number);
        }
        let _none = self.evicting.lock().unwrap_or_else(PoisonError::into_inner);
        let all = self.evictions() == evictions || off(Rule::EvictIncomplete);
        if all {
            add_to(&self.complete, 0);
        }
        all
    }

    fn drop_all(&self, gone: impl Fn(&Slot) -> bool) {
        let _turns = self.turns.all();
        self.map.retain(|slot, ()| {
            let gone = gone(slot);
            if gone {
                self.recount(None, Some(slot.measure()));
            }
            !gone
        });
    }

    /// An absent key means nothing any more.
    pub(super) fn incomplete(&self) {
        add_to(&self.complete, 1);
    }

    /// R8b: as the file was left, before any thread uses the set. What the file relied on in any way, up to `seen`, is
    /// what every fill must be as new as.
    pub fn restore(&self, at: Position, seen: Seq) {
        self.epoch.store(word(at.epoch), Ordering::Release);
        if !off(Rule::RestoreFences) {
            self.fences.new_epoch(seen);
        }
        self.applied.store(at.seq, Ordering::Release);
        self.seen.store(seen, Ordering::Release);
    }

    /// R8b: what takes the entries of the file. Still before any thread uses the set.
    pub fn restoration(&self) -> Restoration<'_> {
        Restoration { set: self, shards: self.map.shards().iter().map(|_| Vec::new()).collect(), bytes: 0 }
    }
}

/// Entries of a file on their way into a set, which has all of them when this is dropped. They wait until many can go into one shard
/// behind another: its table is made once, as large as it has to be, and is in the cache for as long as it is filled.
pub struct Restoration<'a> {
    set: &'a Set,
    shards: Vec<Vec<WaitingEntry>>,
    /// Bytes of all entries that wait.
    bytes: usize,
}

/// An entry that waits. Nothing of its slot is read any more: that would be a way to memory for each.
struct WaitingEntry {
    hash: u64,
    measure: Measure,
    slot: Slot,
}

impl Restoration<'_> {
    /// Entries that wait take at most one of so many parts of the set's budget.
    const PARTS: usize = 8;

    /// Takes one entry.
    pub fn put_back(&mut self, key: &[u8], version: Seq, as_of: Seq, value: &StoredValue) {
        let slot = Slot::new(key, value, version, as_of, self.set.slot_generation());
        let (hash, measure) = (self.set.hash(key), slot.measure());
        self.shards[self.set.map.determine_shard(hash as usize)].push(WaitingEntry { hash, measure, slot });
        self.bytes += measure.cost;
        if self.bytes > self.set.budget() / Self::PARTS {
            self.settle();
        }
    }

    /// All that waits goes into the set.
    fn settle(&mut self) {
        let (set, shards) = (self.set, self.set.map.shards());
        for (waiting, shard) in self.shards.iter_mut().zip(shards) {
            let hasher = |(held, _): &(Slot, _)| held.hash_by(set.map.hasher());
            shard.write().reserve(waiting.len(), hasher);
            for WaitingEntry { hash, measure, slot } in waiting.drain(..) {
                set.exchange((slot, measure), hash, Entrance::Known, |_| PutDecision::Put);
                set.shrink(hash);
            }
        }
        self.bytes = 0;
    }
}

impl Drop for Restoration<'_> {
    fn drop(&mut self) {
        self.settle();
    }
}

/// Counts the word up if it is even (`parity` 0) or odd (1). Lost only to another thread that does the same.
fn add_to(word: &AtomicU64, parity: u64) {
    let now = word.load(Ordering::Acquire);
    if now % 2 == parity {
        let _ = word.compare_exchange(now, now + 1, Ordering::AcqRel, Ordering::Acquire);
    }
}

/// Never 0: counters begin at 1.
fn word(epoch: Epoch) -> u64 {
    (u64::from(epoch.counter) << 32) + u64::from(epoch.random)
}
