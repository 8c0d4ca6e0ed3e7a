//! R8: what control writes into Redis, and what an edge makes of what it reads there. The scripts are run elsewhere.
//!
//! A shard's position and the values under it move together or not at all, so a Redis that lost its memory, went back
//! to an older one or has two writers is only ever late: its position says how late.

use crate::LogView;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use link::rule::{Rule, off};
use link::{Change, ChangeKind, Epoch, Position, Seq};

/// The position of one shard of Redis: how far it follows the log, and under which name its values lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyPosition {
    /// The last change that was carried over.
    pub at: Position,
    /// Part of every key's name; drawn anew whenever a shard starts over, so that what lay there before is out of
    /// reach and expires.
    pub copy: u64,
}

const COPIED: usize = 32;

impl CopyPosition {
    /// Numbers of a fixed width, highest byte first: Lua compares them as strings, its own numbers end at 2⁵³.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(COPIED);
        out.put_u32(self.at.epoch.counter);
        out.put_u32(self.at.epoch.random);
        out.put_u64(self.at.seq);
        out.put_u64(self.at.tag);
        out.put_u64(self.copy);
        out.freeze()
    }

    /// The inverse; `None` for bytes that it cannot have made: somebody else's key, and as good as none.
    #[must_use]
    pub fn decode(mut bytes: &[u8]) -> Option<Self> {
        if bytes.len() != COPIED {
            return None;
        }
        let epoch = Epoch { counter: bytes.get_u32(), random: bytes.get_u32() };
        let at = Position { epoch, seq: bytes.get_u64(), tag: bytes.get_u64() };
        (at.seq >> 48 == 0).then(|| Self { at, copy: bytes.get_u64() })
    }
}

/// A value under its key: the seq it was known to be current at, then record v1.
#[must_use]
pub fn value(as_of: Seq, record: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(8 + record.len());
    out.put_u64(as_of);
    out.put_slice(record);
    out.freeze()
}

/// A part of the keys with a position of its own; all its names lie on one node of a Redis Cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// From 0 on.
    pub number: u16,
    /// Of so many. Part of every name: a position says nothing about keys that lay elsewhere when it moved.
    pub of: u16,
}

impl Shard {
    /// The only one.
    pub const ONE: Self = Self { number: 0, of: 1 };
}

impl std::fmt::Display for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

/// The shard of a key, of so many (at least 1): by FNV-1a (64 bits), for ever. Both ends go by it.
#[must_use]
pub fn shard_of(key: &[u8], of: u16) -> Shard {
    let hash = key.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    Shard { number: (hash % u64::from(of.max(1))) as u16, of: of.max(1) }
}

/// The name of a shard's position.
#[must_use]
pub fn position_key(shard: Shard) -> Bytes {
    format!("linkr:{{{shard}}}:position").into()
}

/// The name of a link's value in a copy.
#[must_use]
pub fn value_key(shard: Shard, copy: u64, key: &[u8]) -> Bytes {
    let mut name = format!("linkr:{{{shard}}}:{copy:016x}:").into_bytes();
    name.extend_from_slice(key);
    name.into()
}

/// A write of one value in Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueWrite {
    /// See [`value_key`].
    pub name: Bytes,
    /// See [`value`]; `None` removes it.
    pub value: Option<Bytes>,
}

/// One atomic step: if the position is still the expected one, put these and move it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// The position as it must be stored; `None`: there is none.
    pub expected: Option<Bytes>,
    /// The position afterwards.
    pub new: CopyPosition,
    /// The values, in the order of the log.
    pub puts: Vec<ValueWrite>,
}

impl Script {
    /// Whether the script goes on, given the position that is stored: the first lines of the Lua. To it no position,
    /// an empty one and one that is no string are the same.
    #[must_use]
    pub fn may_run(&self, stored: Option<&[u8]>) -> bool {
        stored.unwrap_or_default() == self.expected.as_deref().unwrap_or_default() || off(Rule::RedisExpected)
    }
}

/// The outcome of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScriptOutcome {
    /// Everything is there.
    Moved,
    /// The position was another one: nothing was changed.
    Refused,
    /// The connection broke: it may have run or not.
    Unknown,
}

/// The step that a relay has to take next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RelayStep {
    /// Carry over what is behind [`Relay::at`].
    Follow,
    /// Run this.
    StartOver(Script),
    /// Redis proves that the log was replaced within its epoch: a new one has to begin (R2).
    Replaced,
    /// Redis has met a later epoch than this log holds: look at the database again.
    Behind,
}

/// Control's end of one shard. Two relays of one shard are harmless: one of them is refused and attaches again.
#[derive(Debug)]
pub struct Relay {
    shard: Shard,
    at: Option<CopyPosition>,
}

impl Relay {
    /// One that has not looked yet.
    #[must_use]
    pub fn new(shard: Shard) -> Self {
        Self { shard, at: None }
    }

    /// Where Redis stood when this relay last knew; `None`: read the position and call [`Relay::attach`].
    #[must_use]
    pub fn at(&self) -> Option<CopyPosition> {
        self.at
    }

    /// What the stored position means. `log` is the view for its seq (0 if there is none); `copy` is drawn at random,
    /// for a start over.
    pub fn attach(&mut self, stored: Option<&[u8]>, log: &LogView, copy: u64) -> RelayStep {
        self.at = None;
        let start_over = |copy| {
            let new = CopyPosition { at: log.head, copy };
            RelayStep::StartOver(Script {
                expected: stored.map(Bytes::copy_from_slice),
                new,
                puts: Vec::new(),
            })
        };
        let Some(copied) = stored.and_then(CopyPosition::decode) else { return start_over(copy) };
        let copy = if off(Rule::RedisCopy) { copied.copy } else { copy };
        let (own, head) = (copied.at, log.head);
        if own.epoch.counter > head.epoch.counter {
            return RelayStep::Behind;
        }
        // Across a fork, too: values that origin filled in ahead of the position may be of the lost end.
        if own.epoch != head.epoch {
            return start_over(copy);
        }
        let other_tag = log.tag_at_applied.is_some_and(|tag| tag != own.tag);
        if own.seq > head.seq || (other_tag && !off(Rule::HolderTag)) {
            return RelayStep::Replaced;
        }
        if log.tag_at_applied.is_none() || log.oldest > own.seq + 1 {
            return start_over(copy);
        }
        self.at = Some(copied);
        RelayStep::Follow
    }

    /// Carries these changes over: contiguous, the first right behind [`Relay::at`]. With none, the position moves
    /// to `end` all the same when that is ahead: a quiet shard of several would otherwise look old. `None`: nothing
    /// to do, or not attached.
    #[must_use]
    pub fn carry(&self, end: Position, changes: &[Change]) -> Option<Script> {
        let from = self.at?;
        if end.epoch != from.at.epoch || end.seq <= from.at.seq {
            return None;
        }
        let put = |change: &Change| {
            let name = value_key(self.shard, from.copy, &change.key);
            match change.kind {
                ChangeKind::LINK => Some(ValueWrite { name, value: Some(value(change.seq, &change.record)) }),
                ChangeKind::DOMAIN | ChangeKind::DOMAIN_GONE => None,
                ChangeKind::PURGE => Some(ValueWrite { name, value: None }),
                // Whatever it did to its key, what lies there may be wrong now.
                _ => (!change.key.is_empty()).then_some(ValueWrite { name, value: None }),
            }
        };
        let puts = changes.iter().filter_map(put).collect();
        Some(Script { expected: Some(from.encode()), new: CopyPosition { at: end, copy: from.copy }, puts })
    }

    /// A script came to this.
    pub fn ran(&mut self, script: &Script, ran: ScriptOutcome) {
        self.at = (ran == ScriptOutcome::Moved).then_some(script.new);
    }
}

/// A value that origin read from the database and offers to Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The history it is of.
    pub epoch: Epoch,
    /// The seq it is current at.
    pub as_of: Seq,
    /// What goes where; never a removal.
    pub put: ValueWrite,
    /// The copy it is for.
    pub copy: u64,
}

impl Offer {
    /// An offer to the copy that [`Relay::at`] names.
    #[must_use]
    pub fn new(shard: Shard, copied: CopyPosition, as_of: Seq, key: &[u8], record: &[u8]) -> Self {
        let put = ValueWrite { name: value_key(shard, copied.copy, key), value: Some(value(as_of, record)) };
        Self { epoch: copied.at.epoch, as_of, put, copy: copied.copy }
    }

    /// Whether it is taken, given the position and the value that are stored: it must know as much as the position
    /// claims for every value, and more than the value that is there.
    #[must_use]
    pub fn may_run(&self, stored: Option<&[u8]>, held: Option<&[u8]>) -> bool {
        let Some(copied) = stored.and_then(CopyPosition::decode) else { return false };
        let newer = held
            .and_then(|held| held.first_chunk())
            .is_none_or(|&as_of| u64::from_be_bytes(as_of) < self.as_of);
        let reaches = self.as_of >= copied.at.seq;
        copied.copy == self.copy
            && copied.at.epoch == self.epoch
            && ((reaches && newer) || off(Rule::RedisLazyFill))
    }
}

/// One question of an edge: the names that one `MGET` reads, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisQuestion {
    /// The copy the edge believes in.
    pub copy: u64,
    /// The position first: a value that is read later is at least as new.
    pub names: [Bytes; 2],
}

impl RedisQuestion {
    /// About one key.
    #[must_use]
    pub fn new(shard: Shard, copy: u64, key: &[u8]) -> Self {
        let mut names = [position_key(shard), value_key(shard, copy, key)];
        if off(Rule::RedisPositionFirst) {
            names.reverse();
        }
        Self { copy, names }
    }
}

/// The record of a key as Redis told it to an edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisReading {
    /// The history.
    pub epoch: Epoch,
    /// The seq at which the value was current.
    pub as_of: Seq,
    /// Record v1; `None` never leaves this module: nil is unknown.
    pub record: Option<Bytes>,
}

/// What the replies to a [`RedisQuestion`] mean, in the order of its names; and the copy to believe in from now on.
#[must_use]
pub fn told(question: &RedisQuestion, replies: &[Option<Bytes>; 2]) -> (Option<u64>, Option<RedisReading>) {
    let [mut position, mut value] = [&replies[0], &replies[1]];
    if off(Rule::RedisPositionFirst) {
        std::mem::swap(&mut position, &mut value);
    }
    let Some(copied) = position.as_deref().and_then(CopyPosition::decode) else { return (None, None) };
    if copied.copy != question.copy {
        return (Some(copied.copy), None);
    }
    let told =
        |as_of: Seq, record| RedisReading { epoch: copied.at.epoch, as_of: as_of.max(copied.at.seq), record };
    let told = match value {
        Some(bytes) => {
            bytes.first_chunk().map(|&as_of| told(u64::from_be_bytes(as_of), Some(bytes.slice(8..))))
        }
        // A value may have expired, been evicted or never been carried over.
        None => off(Rule::RedisNilUnknown).then(|| told(0, None)),
    };
    (Some(copied.copy), told)
}

#[cfg(test)]
#[path = "relay_tests.rs"]
mod tests;
