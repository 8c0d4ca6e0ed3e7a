//! From the bytes of a record to what the set holds.

use crate::shared::Shared;
use crate::sys;
use hot::Stored;
use link::Seq;
use std::sync::atomic::Ordering;

/// What the set should hold for these bytes, and their version; see [`Stored::of`].
pub fn stored(shared: &Shared, key: &[u8], record: &[u8], as_of: Seq) -> Option<(Stored, Seq)> {
    let stored = Stored::of(proto::decode(record), as_of);
    if let Some((Stored::Quarantined, _)) = stored {
        shared.feed.quarantined.fetch_add(1, Ordering::Relaxed);
        let why =
            proto::decode(record).err().map_or("it is from the future".to_owned(), |fault| fault.to_string());
        tracing::error!(key = %key.escape_ascii(), why, "record quarantined");
    }
    stored
}

/// Seconds since everything acknowledged was known to be applied; `None` when it never was.
pub fn staleness(shared: &Shared) -> Option<f64> {
    shared.set.freshness(sys::boottime_ms()).stale_ms().map(|ms| ms as f64 / 1000.0)
}
