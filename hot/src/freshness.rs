//! How old the newest proof is that everything acknowledged has been applied.

/// What an edge knows of its own staleness, read before the look-up that it judges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freshness {
    stale_ms: u64,
}

impl Freshness {
    /// No proof since the start.
    pub const NEVER: Self = Self { stale_ms: u64::MAX };

    /// The newest proof is so many milliseconds old.
    pub fn aged(stale_ms: u64) -> Self {
        Self { stale_ms }
    }

    /// Milliseconds since everything acknowledged was known to be applied; `None` when it never was.
    pub fn stale_ms(self) -> Option<u64> {
        (self.stale_ms != u64::MAX).then_some(self.stale_ms)
    }

    /// The same, or blind.
    #[must_use]
    pub fn at_best_blind(self) -> Self {
        Self { stale_ms: self.stale_ms.max(feed::BOUND_MS) }
    }

    /// The proof is as old as the bound: a write acknowledged longer ago may be missing.
    #[inline]
    pub fn is_blind(self) -> bool {
        self.stale_ms >= feed::BOUND_MS
    }

    /// Whether the proof is older than so many milliseconds, or there is none.
    pub fn is_older_than(self, ms: u64) -> bool {
        self.stale_ms > ms
    }
}
