//! Which entry goes when the budget is full: first in, first out, with a second chance for what was asked for.
//!
//! The queue holds hashes, eight bytes an entry, and only from the first time that the budget is full: a set in which
//! everything fits pays nothing for it.

use super::slot::{self, Mark, Slot};
use crate::limits::MAX_EVICTION_STEPS;
use dashmap::DashMap;
use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};
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
    queue: Mutex<Option<VecDeque<u64>>>,
    count: AtomicU64,
}

impl Eviction {
    /// An entry with this hash came in. Called while its shard is not locked.
    pub fn joined(&self, hash: u64, _entrance: Entrance) {
        if let Some(queue) = self.queue.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            queue.push_back(hash);
        }
    }

    /// Removes and returns the next entry to go; `None` when there is none but `spare`.
    pub fn pick<S: BuildHasher + Clone>(
        &self,
        map: &DashMap<Slot, Mark, S>,
        spare: u64,
        belongs: impl Fn(&Slot) -> bool,
    ) -> Option<Slot> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = queue.get_or_insert_with(|| {
            let own = map.iter().filter(|entry| belongs(entry.key()));
            own.map(|entry| slot::hash(map.hasher(), entry.key().key())).collect()
        });
        let mut spared = false;
        for step in 0.. {
            let hash = queue.pop_front()?;
            if hash == spare && !spared {
                (spared, _) = (true, queue.push_back(hash));
                continue;
            }
            let last_chance = step >= MAX_EVICTION_STEPS || hash == spare;
            let mut shard = map.shards()[map.determine_shard(hash as usize)].write();
            let same = |entry: &(Slot, _)| slot::hash(map.hasher(), entry.0.key()) == hash;
            match shard.get(hash, same) {
                None => {} // removed meanwhile
                Some((slot, _)) if !belongs(slot) => {}
                Some((_, mark)) if !last_chance && mark.get().take() => queue.push_back(hash),
                Some(_) => {
                    self.count.fetch_add(1, Ordering::Relaxed);
                    return shard.remove_entry(hash, same).map(|(slot, _)| slot);
                }
            }
        }
        None
    }

    /// What the queue itself takes.
    pub fn bytes(&self) -> usize {
        0
    }

    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}
