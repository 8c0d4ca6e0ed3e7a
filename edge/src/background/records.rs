//! From the bytes of a record to what the set holds.

use crate::shared::Shared;
use crate::sys;
use hot::Stored;
use link::{Seq, State};
use std::sync::atomic::Ordering;

/// What the set should hold for these bytes, and their version. A record that cannot be understood is quarantined:
/// its code answers 503, and everything else goes on.
pub fn stored(shared: &Shared, key: &[u8], record: &[u8], as_of: Seq) -> (Stored, Seq) {
    match proto::decode(record) {
        Ok(versioned) if versioned.version <= as_of => match versioned.state {
            State::Live(link) => (Stored::Live(link), versioned.version),
            State::Deleted => (Stored::Deleted, versioned.version),
        },
        other => {
            let fault =
                other.err().map_or_else(|| "it is from the future".to_owned(), |fault| fault.to_string());
            shared.feed.quarantined.fetch_add(1, Ordering::Relaxed);
            tracing::error!(key = %key.escape_ascii(), %fault, "record quarantined");
            (Stored::Quarantined, as_of)
        }
    }
}

/// Seconds since everything acknowledged was known to be applied; `None` when it never was.
pub fn staleness(shared: &Shared) -> Option<f64> {
    match shared.feed.fresh_as_of.load(Ordering::Acquire) {
        0 => None,
        at => Some(sys::boottime_ms().saturating_sub(at) as f64 / 1000.0),
    }
}
