//! From the bytes of a record to what the set holds, and what the set takes of an answer.

use crate::shared::{AcceptedReading, OriginReply, Shared};
use crate::sys;
use hot::{Absence, DomainEntry, EntryState, FillOutcome, ReadableRules, StoredValue};
use link::{DomainId, Key, Seq, VersionedState};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What the set should hold for these bytes, and their version; see [`StoredValue::of`].
pub fn stored(shared: &Shared, key: &[u8], record: &[u8], as_of: Seq) -> Option<(StoredValue, Seq)> {
    let aside = shared.snapshot.as_ref().is_some_and(|snapshot| !snapshot.note.enter(key, record, as_of));
    let decoded = if aside { Err("it ended this process twice".into()) } else { decode(record) };
    let why = decoded.as_ref().err().cloned();
    let stored = StoredValue::of(decoded, as_of);
    if let Some((StoredValue::Quarantined, _)) = stored {
        shared.feed.quarantined.fetch_add(1, Ordering::Relaxed);
        let why = why.as_deref().unwrap_or("it is from the future");
        if let Some(tell) = shared.troubles.quarantined.met(sys::boottime_ms(), "record") {
            let (key, untold) = (key.escape_ascii(), tell.untold);
            tracing::error!(name: "record_quarantined", %key, why, untold, "a record cannot be read: its code is answered with 503");
        }
    }
    stored
}

/// The entry of a domain, true at `as_of`; `None` when not even its name can be read, or it is none.
pub fn domain(shared: &Shared, key: &[u8], record: &[u8], as_of: Seq) -> Option<DomainEntry> {
    let id = DomainId::of_entry(key)?;
    let decoded = guarded(|| record::decode_domain(record).ok()).flatten();
    let (version, told) = match decoded {
        Some((version, rules)) if version <= as_of => (version, ReadableRules::All(rules)),
        _ => {
            shared.feed.quarantined.fetch_add(1, Ordering::Relaxed);
            let name = record::domain_name(record);
            let shown = name.as_ref().map_or("?", link::Domain::as_str);
            tracing::error!(
                name: "domain_quarantined",
                domain = shown,
                "the record of a domain cannot be read: its host is answered with 503"
            );
            (as_of, ReadableRules::Name(name?))
        }
    };
    Some(DomainEntry { id, as_of, version, told, record: record.into() })
}

/// A record as it lay in Redis.
pub enum RedisRecord {
    /// What the set should hold, and its version.
    Good(StoredValue, Seq),
    /// Nothing that can be believed: whoever holds the original has to be asked.
    Poisoned,
}

/// What a record in Redis says. Every one of them came through the log first, so none is noted as under way here; what
/// was set aside there is kept away from here, too.
pub fn copied(shared: &Shared, key: &Key, record: &[u8], as_of: Seq) -> RedisRecord {
    let key = key.as_bytes();
    let aside = shared.snapshot.as_ref().is_some_and(|snapshot| !snapshot.note.enter(key, record, as_of));
    let decoded = if aside { Err("it ended this process twice".into()) } else { decode(record) };
    match StoredValue::of(decoded, as_of) {
        Some((stored @ (StoredValue::Live { .. } | StoredValue::Deleted), version)) => {
            RedisRecord::Good(stored, version)
        }
        _ => RedisRecord::Poisoned,
    }
}

/// The state in a record; a panic is as bad a fault as any.
pub fn decode(record: &[u8]) -> Result<VersionedState, String> {
    let decoded = guarded(|| record::decode(record)).ok_or("this program cannot read it")?;
    decoded.map_err(|fault| fault.to_string())
}

/// What `work` returns; `None` when it panics, which is on stderr then.
pub fn guarded<R>(work: impl FnOnce() -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}

/// Fills one answer in. A refused one is older than what this edge has noticed, and must not be given out either,
/// unless the set says the same.
pub fn fill(shared: &Shared, key: &Key, answer: AcceptedReading) -> OriginReply {
    let set = &shared.set;
    let agrees = || {
        set.look_up(key.as_bytes(), |held| match held.found {
            EntryState::Absent(absence) => answer.value.is_none() && absence == Absence::Certain,
            _ => held.confirmed && answer.value.is_some() && held.version == answer.version,
        })
    };
    match set.fill(key.as_bytes(), &answer.told()) {
        FillOutcome::Accepted => OriginReply::Known(Arc::new(answer)),
        FillOutcome::Refused if set.epoch() == Some(answer.epoch) && agrees() => {
            OriginReply::Known(Arc::new(answer))
        }
        FillOutcome::Refused => OriginReply::Unavailable,
    }
}

/// Seconds since everything acknowledged was known to be applied; `None` when it never was.
pub fn staleness(shared: &Shared) -> Option<f64> {
    shared.set.freshness(sys::boottime_ms()).stale_ms().map(|ms| ms as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_fault() {
        assert_eq!(guarded(|| 7), Some(7));
        assert_eq!(guarded(|| -> u8 { panic!("planted") }), None);
        assert!(decode(b"no record").is_err());
    }
}
