//! From the bytes of a record to what the set holds.

use crate::shared::Shared;
use crate::sys;
use hot::Stored;
use link::{Seq, Versioned};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;

/// What the set should hold for these bytes, and their version; see [`Stored::of`].
pub fn stored(shared: &Shared, key: &[u8], record: &[u8], as_of: Seq) -> Option<(Stored, Seq)> {
    let aside = shared.snapshot.as_ref().is_some_and(|snapshot| !snapshot.note.enter(key, record, as_of));
    let decoded = if aside { Err("it ended this process twice".into()) } else { decode(record) };
    let why = decoded.as_ref().err().cloned();
    let stored = Stored::of(decoded, as_of);
    if let Some((Stored::Quarantined, _)) = stored {
        shared.feed.quarantined.fetch_add(1, Ordering::Relaxed);
        let why = why.as_deref().unwrap_or("it is from the future");
        tracing::error!(key = %key.escape_ascii(), why, "record quarantined");
    }
    stored
}

/// The state in a record; a panic is as bad a fault as any.
pub fn decode(record: &[u8]) -> Result<Versioned, String> {
    let decoded = guarded(|| proto::decode(record)).ok_or("this program cannot read it")?;
    decoded.map_err(|fault| fault.to_string())
}

/// What `work` returns; `None` when it panics, which is on stderr then.
pub fn guarded<R>(work: impl FnOnce() -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(work)).ok()
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
