//! A Redis that executes what `feed::relay` says: scripts in one piece, reads name by name. It forgets, evicts and goes
//! back to older copies of itself.

use bytes::Bytes;
use feed::relay::{Offer, RedisQuestion, Script, Shard, position_key};
use services::Random;
use std::collections::BTreeMap;

/// The one shard.
pub const SHARD: Shard = Shard::ONE;

#[derive(Debug)]
pub struct FakeRedis {
    /// Whether anybody reaches it.
    pub up: bool,
    /// The database was put back, and no control has compared histories since.
    pub unproved: bool,
    data: BTreeMap<Bytes, Bytes>,
    /// What a rollback goes back to.
    older: BTreeMap<Bytes, Bytes>,
    position: Bytes,
}

impl FakeRedis {
    /// An empty one.
    pub fn new() -> Self {
        Self {
            up: true,
            unproved: false,
            data: BTreeMap::new(),
            older: BTreeMap::new(),
            position: position_key(SHARD),
        }
    }

    /// The stored position.
    pub fn position(&self) -> Option<&Bytes> {
        self.data.get(&self.position)
    }

    /// Runs a script in one piece; `false`: it found another position.
    pub fn run(&mut self, script: &Script) -> bool {
        if !script.may_run(self.position().map(|bytes| &bytes[..])) {
            return false;
        }
        for put in &script.puts {
            match &put.value {
                Some(value) => self.data.insert(put.name.clone(), value.clone()),
                None => self.data.remove(&put.name),
            };
        }
        self.data.insert(self.position.clone(), script.new.encode());
        true
    }

    /// Takes an offer of origin, or not.
    pub fn take(&mut self, offer: &Offer) -> bool {
        let held = self.data.get(&offer.put.name).map(|bytes| &bytes[..]);
        let may = offer.may_run(self.position().map(|bytes| &bytes[..]), held);
        if let (true, Some(value)) = (may, &offer.put.value) {
            self.data.insert(offer.put.name.clone(), value.clone());
        }
        may
    }

    /// One name of a question.
    pub fn read(&self, question: &RedisQuestion, at: usize) -> Option<Bytes> {
        self.data.get(&question.names[at]).cloned()
    }

    /// Something happens to its memory; `true` when it is another one afterwards.
    pub fn suffer(&mut self, rng: &mut Random) -> bool {
        if !self.up {
            self.up = true;
            return false;
        }
        let kind = rng.below(20);
        match kind {
            0 => self.data.clear(),
            1..5 => self.older = self.data.clone(),
            5 | 6 if !self.older.is_empty() => self.data = self.older.clone(),
            7 => self.up = false,
            _ => {
                // What has a lifetime may be evicted; the position has none.
                let at = rng.below(self.data.len() + 1);
                let name = self.data.keys().nth(at).filter(|name| **name != self.position).cloned();
                if let Some(name) = name {
                    self.data.remove(&name);
                }
            }
        }
        matches!(kind, 0 | 5 | 6)
    }
}
