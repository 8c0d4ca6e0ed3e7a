//! How entries come and go: changes of the stream (R6), answers of the tiers (R7), and eviction.

use super::eviction::{Entrance, Eviction};
use super::slot::{Measure, Slot};
use super::{Set, StoredValue};
use dashmap::SharedValue;
use link::rule::{Rule, off};
use link::{Epoch, Seq};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

/// The value of a key as a tier read it.
#[derive(Clone, Copy, Debug)]
pub struct TierReading<'a> {
    /// The history that it speaks of.
    pub epoch: Epoch,
    /// It knows the value to have been current at this seq.
    pub as_of: Seq,
    /// The seq of the change that made the value.
    pub version: Seq,
    /// `None`: there is none.
    pub value: Option<&'a StoredValue>,
}

/// What the set did with a fill or a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FillOutcome {
    /// The set now says this, or something that knows more.
    Accepted,
    /// A change that the value may not know was noticed, or something newer is there: ask again.
    Refused,
}

/// What a put does with the entry that is there, decided while its shard is locked.
pub(super) enum PutDecision {
    Put,
    /// Nothing takes the place of what is there.
    Remove,
    Leave(FillOutcome),
}

impl Set {
    /// R6: carries out one change, in order; `None` purges the key. Only one thread applies. A refused change must be
    /// asked for: the set is not complete until then.
    pub fn apply(&self, key: &[u8], seq: Seq, value: Option<&StoredValue>) -> FillOutcome {
        let hash = self.hash(key);
        if !off(Rule::FenceRaise) {
            self.fences.raise(hash, seq);
        }
        let applied = match value {
            None => {
                self.remove_older(key, hash, seq);
                FillOutcome::Accepted
            }
            Some(value) => self.apply_slot(Slot::new(key, value, seq, seq, self.slot_generation()), hash),
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

    /// Something besides links was relied on at this seq.
    pub fn rely_on(&self, seq: Seq) {
        self.seen.fetch_max(seq, Ordering::AcqRel);
    }

    fn apply_slot(&self, slot: Slot, hash: u64) -> FillOutcome {
        let (seq, measure) = (slot.as_of(), slot.measure());
        self.exchange((slot, measure), hash, Entrance::Pushed, |old| match old {
            Some(old) if self.confirmed(old) => match old.as_of() < seq || off(Rule::ApplyOlder) {
                true => PutDecision::Put,
                false => PutDecision::Leave(FillOutcome::Accepted),
            },
            // An older change must not bring back a key whose newer value was served and evicted.
            _ if self.fences.get(hash) <= seq || off(Rule::FenceOnStore) => PutDecision::Put,
            // Something newer was seen in this slot, of this key or of another: whoever looks meanwhile must ask.
            _ => {
                if !off(Rule::RefusedIncomplete) {
                    self.incomplete();
                }
                PutDecision::Leave(FillOutcome::Refused)
            }
        })
    }

    /// R7: takes what a tier said.
    pub fn fill(&self, key: &[u8], told: &TierReading<'_>) -> FillOutcome {
        self.take(key, told, Entrance::Demand)
    }

    /// R7 for an entry of a walk: nobody asked for it here.
    pub fn load(&self, key: &[u8], told: &TierReading<'_>) -> FillOutcome {
        self.take(key, told, Entrance::Known)
    }

    /// An absence takes the place of what it is newer than; a complete set knows it without an entry.
    fn take(&self, key: &[u8], told: &TierReading<'_>, entrance: Entrance) -> FillOutcome {
        let (hash, number) = (self.hash(key), self.slot_generation());
        let (slot, version, entrance) = match told.value {
            Some(value) => (Slot::new(key, value, told.version, told.as_of, number), told.version, entrance),
            // Which change made it absent is not known: it may be any up to as_of.
            None => (Slot::absent(key, told.as_of, number), told.as_of, Entrance::Demand),
        };
        let measure = slot.measure();
        let fill = self.exchange((slot, measure), hash, entrance, |old| {
            if !self.is_current(hash, told, number) || self.knows_as_much(old, told.as_of) {
                return PutDecision::Leave(FillOutcome::Refused);
            }
            self.relied_on(hash, told.as_of, version);
            if told.value.is_none() && self.is_complete() { PutDecision::Remove } else { PutDecision::Put }
        });
        if fill == FillOutcome::Accepted {
            self.shrink(hash);
        }
        fill
    }

    /// R7, asked under the lock of the key's shard. What was asked for before a reset is of another history, or below
    /// the fences that the reset left; an entry that was made before it carries another `number`.
    fn is_current(&self, hash: u64, told: &TierReading<'_>, number: u32) -> bool {
        let settled = number.is_multiple_of(2) && number == self.slot_generation();
        let history = self.epoch() == Some(told.epoch) || off(Rule::FillEpoch);
        settled && history && (told.as_of >= self.fences.get(hash) || off(Rule::FillFence))
    }

    /// Economy, not a rule: both would say the same.
    fn knows_as_much(&self, old: Option<&Slot>, as_of: Seq) -> bool {
        old.is_some_and(|old| self.confirmed(old) && old.as_of() >= as_of)
    }

    /// R5: what was not confirmed since the last reset counts as absent.
    fn confirmed(&self, slot: &Slot) -> bool {
        slot.generation() == self.slot_generation() || off(Rule::UnconfirmedAbsent)
    }

    /// A fill may run ahead of the stream: then nothing older may be stored for that slot any more.
    fn relied_on(&self, hash: u64, as_of: Seq, version: Seq) {
        if !off(Rule::SeenOnFill) {
            self.seen.fetch_max(as_of, Ordering::AcqRel);
        }
        if version > self.applied() && !off(Rule::FillAhead) {
            self.fences.raise(hash, version);
        }
    }

    /// Locks the key's shard, asks what is to become of this entry and its measure, and does that. Whatever goes is given back to the
    /// allocator when the shard is free again. The queues have a lock of their own, and whoever evicts takes shards while
    /// holding it: so the shard goes first.
    pub(super) fn exchange(
        &self,
        (slot, new): (Slot, Measure),
        hash: u64,
        entrance: Entrance,
        judge: impl FnOnce(Option<&Slot>) -> PutDecision,
    ) -> FillOutcome {
        let _turn = self.turn(hash);
        let mut shard = self.map.shards()[self.map.determine_shard(hash as usize)].write();
        let same = |(held, _): &(Slot, _)| held.key() == slot.key();
        let old = shard.get_mut(hash, same).map(|(slot, _)| slot);
        match (judge(old.as_deref()), old) {
            (PutDecision::Put, Some(old)) => {
                slot.succeed(old);
                let old = std::mem::replace(old, slot);
                let before = old.measure();
                self.recount(Some(new), Some(before));
                drop(shard);
                if before.absent != new.absent {
                    self.queue(new).joined(hash, Entrance::Demand);
                }
            }
            (PutDecision::Put, None) => {
                let hasher = |(held, _): &(Slot, _)| held.hash_by(self.map.hasher());
                // Places of what went are not free. With no other left the table would double, however much went.
                if shard.len() == shard.capacity() && shard.len() < shard.buckets() / 4 * 3 {
                    let old = std::mem::take(&mut *shard);
                    shard.reserve(old.len() / 8 * 9 + 1, hasher);
                    for held in old {
                        shard.insert(hasher(&held), held, hasher);
                    }
                }
                shard.insert(hash, (slot, SharedValue::new(())), hasher);
                self.recount(Some(new), None); // before anybody can take it out again
                drop(shard);
                self.queue(new).joined(hash, entrance);
            }
            (PutDecision::Remove, Some(_)) => {
                let old = shard.remove_entry(hash, same);
                self.recount(None, old.as_ref().map(|(old, _)| old.measure()));
                drop(shard);
            }
            (PutDecision::Remove, None) => {}
            (PutDecision::Leave(fill), _) => return fill,
        }
        FillOutcome::Accepted
    }

    fn queue(&self, of: Measure) -> &Eviction {
        if of.absent { &self.absent_eviction } else { &self.eviction }
    }

    fn remove_older(&self, key: &[u8], hash: u64, seq: Seq) {
        let _turn = self.turn(hash);
        let mut shard = self.map.shards()[self.map.determine_shard(hash as usize)].write();
        let older =
            |(slot, _): &(Slot, _)| slot.key() == key && (!self.confirmed(slot) || slot.as_of() < seq);
        let gone = shard.remove_entry(hash, older);
        drop(shard);
        if let Some((slot, _)) = gone {
            self.recount(None, Some(slot.measure()));
        }
    }

    /// Evicts until both budgets are kept. What was just put in (`spare`) is the last to go.
    pub(super) fn shrink(&self, spare: u64) {
        while self.known_absent_bytes() > self.absent_budget() {
            if self.is_complete() {
                self.incomplete(); // the absence could be ahead of the stream
            }
            let _turns = self.turns.all();
            let Some(slot) = self.absent_eviction.pick(&self.map, spare, Slot::is_absent) else { break };
            self.recount(None, Some(slot.measure()));
        }
        let budget = self.budget - self.absent_budget();
        if self.link_bytes() <= budget {
            return;
        }
        let _evicting = self.evicting.lock().unwrap_or_else(PoisonError::into_inner);
        if !off(Rule::EvictIncomplete) {
            self.incomplete(); // before anything is removed
        }
        while self.link_bytes() > budget {
            let _turns = self.turns.all();
            let Some(slot) = self.eviction.pick(&self.map, spare, |slot| !slot.is_absent()) else { return };
            self.recount(None, Some(slot.measure()));
        }
    }

    /// An entry came, one went.
    pub(super) fn recount(&self, came: Option<Measure>, went: Option<Measure>) {
        for (one, there) in [(came, true), (went, false)] {
            let Some(one) = one else { continue };
            let bytes = if one.absent { &self.absent_bytes } else { &self.bytes };
            if there {
                bytes.fetch_add(one.cost, Ordering::Relaxed);
                self.entries.fetch_add(1, Ordering::Relaxed);
            } else {
                bytes.fetch_sub(one.cost, Ordering::Relaxed);
                self.entries.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }
}
