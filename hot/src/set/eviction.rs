//! Which entry goes when the budget is full: three queues, whose shares of the set follow what each is missed for.
//!
//! What the log pushed, and what was asked for once, wait on probation in a queue each, first in, first out. Who is
//! asked for meanwhile moves on to the main queue and goes round there once for each time that it was asked for, up to
//! three; the others go. So neither an import nor a scan gets past its own queue. Which queue has to give is decided
//! by shares: each remembers the last that went, and when one of those is asked for, its share grows at the cost of
//! the other two. Links that are clicked soon after they were made keep the first one long; an import that nobody
//! clicks does not. The figures are in docs/perf.md.
//!
//! Queues hold hashes, eight bytes an entry, and only from the first time that the budget is full: a set in which
//! everything fits pays nothing for it.

use super::queue::{Ghosts, Queue};
use super::slot::Slot;
use crate::limits::MAX_EVICTION_STEPS;
use crate::unchecked;
use dashmap::DashMap;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// How an entry came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entrance {
    /// Somebody asked for it.
    Demand,
    /// A change of the log brought it.
    Pushed,
    /// A walk or a file brought it.
    Known,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Eviction {
    /// Nobody waits for a shard while holding this: whoever holds a shard may wait for it.
    parts: Mutex<Segments>,
    /// What `parts` take; 0 until the budget is full for the first time.
    bytes: AtomicUsize,
    count: AtomicU64,
}

impl Eviction {
    /// An entry with this hash came in.
    pub fn joined(&self, hash: u64, entrance: Entrance) {
        if self.bytes() > 0 {
            self.with(|parts| parts.join(hash, entrance));
        }
    }

    /// Removes and returns the next entry to go; `None` when there is none. `spare` goes only when it is the last one.
    /// Entries that do not belong here are another queue's.
    pub fn pick<S: BuildHasher + Clone>(
        &self,
        map: &DashMap<Slot, (), S>,
        spare: u64,
        belongs: impl Fn(&Slot) -> bool,
    ) -> Option<Slot> {
        if self.bytes() == 0 {
            let entries = map.len();
            self.with(|parts| parts.begin(entries));
        }
        self.seed(map, &belongs);
        let (mut spared, mut given) = (None, 0);
        loop {
            let (part, hash) = self.with(|parts| parts.pop(spared))?;
            if hash == spare && spared.is_none() {
                spared = Some(part);
                self.with(|parts| parts.put(part, hash));
                continue;
            }
            let chances_left = given < MAX_EVICTION_STEPS && hash != spare;
            let mut shard = map.shards()[map.determine_shard(hash as usize)].write();
            let same = |(slot, _): &(Slot, _)| slot.hash_by(map.hasher()) == hash && belongs(slot);
            let again = match shard.get(hash, same) {
                None => continue, // removed meanwhile
                Some((slot, _)) if part == MAIN => slot.spend(),
                Some((slot, _)) => slot.take(),
            };
            if again && chances_left {
                drop(shard);
                given += 1;
                self.with(|parts| parts.put(MAIN, hash));
                continue;
            }
            let (slot, _) = shard.remove_entry(hash, same)?;
            drop(shard);
            self.count.fetch_add(1, Ordering::Relaxed);
            self.with(|parts| parts.0[part].ghosts.note(hash));
            return Some(slot);
        }
    }

    /// Takes in entries from before the first eviction, some shards at a time: all at once would hold up a request.
    fn seed<S: BuildHasher + Clone>(&self, map: &DashMap<Slot, (), S>, belongs: &impl Fn(&Slot) -> bool) {
        let (shards, mut hashes) = (map.shards().len(), Vec::new());
        while hashes.len() < SEEDS
            && let Some(shard) = self.with(|parts| parts.next_shard(shards))
        {
            unchecked::each_key(map, shard, |slot| {
                if belongs(slot) {
                    hashes.push(slot.hash_by(map.hasher()));
                }
            });
        }
        if !hashes.is_empty() {
            self.with(|parts| hashes.iter().for_each(|&hash| parts.put(ONCE, hash)));
        }
    }

    fn with<R>(&self, then: impl FnOnce(&mut Segments) -> R) -> R {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        let result = then(&mut parts);
        self.bytes.store(parts.bytes(), Ordering::Relaxed);
        result
    }

    /// What the queues themselves take, but for the page that each fills.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Entries that had to go so far.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

/// Pushed and not asked for yet.
const PUSHED: usize = 0;
/// Asked for once. What was there before the first eviction waits here, too.
const ONCE: usize = 1;
const MAIN: usize = 2;

/// No share is less.
const LEAST: f64 = 0.02;
/// Entries by which a share grows when one that went from its queue is asked for.
const STEP: f64 = 2.0;
/// Entries from before the first eviction that each of the first ones takes in, at least.
const SEEDS: usize = 64;

/// The queues, and how far into the map the entries from before the first eviction were taken in.
#[derive(Debug)]
struct Segments([Segment; 3], usize);

#[derive(Debug)]
struct Segment {
    queue: Queue,
    ghosts: Ghosts,
    /// Of all entries, the part that may be in this queue; all are 1 together.
    share: f64,
}

impl Default for Segments {
    fn default() -> Self {
        let part = |share| Segment { queue: Queue::default(), ghosts: Ghosts::default(), share };
        Self([part(0.3), part(0.1), part(0.6)], 0)
    }
}

impl Segments {
    /// The budget is full, and there are so many entries.
    fn begin(&mut self, entries: usize) {
        if self.bytes() == 0 {
            self.0.iter_mut().for_each(|part| part.ghosts = Ghosts::new(entries / 8));
        }
    }

    fn next_shard(&mut self, shards: usize) -> Option<usize> {
        let next = self.1;
        self.1 = (next + 1).min(shards);
        (next < shards).then_some(next)
    }

    fn join(&mut self, hash: u64, entrance: Entrance) {
        if entrance != Entrance::Demand {
            return self.put(PUSHED, hash);
        }
        match (0..3).find(|&part| self.0[part].ghosts.take(hash)) {
            Some(missed) => {
                self.grow(missed);
                self.put(MAIN, hash);
            }
            None => self.put(ONCE, hash),
        }
    }

    fn put(&mut self, part: usize, hash: u64) {
        self.0[part].queue.push(hash);
    }

    /// The next of the queue that is furthest over its share; of `last` only when the others are empty.
    fn pop(&mut self, last: Option<usize>) -> Option<(usize, u64)> {
        let total = self.entries();
        let over = |part: usize| self.0[part].queue.len() as f64 - self.0[part].share * total;
        let others = (0..3).filter(|&part| Some(part) != last && self.0[part].queue.len() > 0);
        let part = others.max_by(|&one, &other| over(one).total_cmp(&over(other))).or(last)?;
        self.0[part].queue.pop().map(|hash| (part, hash))
    }

    /// The others give in proportion to what they have.
    fn grow(&mut self, part: usize) {
        let others = 1.0 - self.0[part].share;
        let step = (STEP / self.entries().max(1.0)).min(others);
        let mut gained = 0.0;
        for (_, other) in self.0.iter_mut().enumerate().filter(|(other, _)| *other != part) {
            let give = (step * other.share / others).min(other.share - LEAST);
            other.share -= give;
            gained += give;
        }
        self.0[part].share += gained;
    }

    fn entries(&self) -> f64 {
        self.0.iter().map(|part| part.queue.len() as f64).sum()
    }

    fn bytes(&self) -> usize {
        self.0.iter().map(|part| part.queue.len() * size_of::<u64>() + part.ghosts.bytes()).sum()
    }
}

#[cfg(test)]
#[path = "eviction_tests.rs"]
mod tests;
