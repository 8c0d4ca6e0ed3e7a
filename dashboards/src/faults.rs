//! The faults of docs/reliability.md, and which alert tells of each.

/// What tells of a fault.
#[derive(Clone, Copy, Debug)]
pub enum Told {
    /// This alert.
    By(&'static str),
    /// No alert, for this reason.
    ByNone(&'static str),
}

use Told::{By, ByNone};

/// By the names of the table there.
pub const FAULTS: [(&str, Told); 29] = [
    ("control gone", By("LinkrEdgeBlind")),
    ("no such name", By("LinkrControlAway")),
    ("unknown authority", By("LinkrControlAway")),
    ("wrong name", By("LinkrControlAway")),
    ("http to a TLS port", By("LinkrControlAway")),
    ("TLS to a plain port", By("LinkrControlAway")),
    ("wrong key", By("LinkrControlAway")),
    ("key revoked", By("LinkrEdgeBlind")),
    ("snapshot unreadable", By("LinkrSnapshotFails")),
    ("certificate revoked", By("LinkrEdgeBlind")),
    ("edge refused", By("LinkrEdgeLost")),
    ("certificate file broken", By("LinkrCertificateUnusable")),
    ("API certificate broken", By("LinkrCertificateUnusable")),
    ("certificate expires", By("LinkrCertificateExpired")),
    ("clock set back", By("LinkrClockOff")),
    ("clock set forward", By("LinkrClockOff")),
    ("descriptors used up", By("LinkrEdgeCrowded")),
    ("Redis down, edge", By("LinkrRedisAway")),
    ("Redis down, control", By("LinkrRedisCopyBehind")),
    ("Redis without rights", By("LinkrRedisCopyBehind")),
    ("Redis with another policy", By("LinkrRedisPolicy")),
    (
        "history begun",
        ByNone(
            "A control on SQLite begins a history at each start: that is no fault. One that begins while control runs is told by \
             LinkrHistoryBegun.",
        ),
    ),
    ("store locked", By("LinkrStoreUnwritable")),
    ("SQLite full", By("LinkrStoreFull")),
    ("SQLite read-only", By("LinkrStoreUnwritable")),
    ("PostgreSQL full", By("LinkrStoreFull")),
    ("PostgreSQL down", By("LinkrStoreUnreadable")),
    ("PostgreSQL read-only", By("LinkrStoreUnreadable")),
    ("rate limit hit", By("LinkrCallersLimited")),
];
