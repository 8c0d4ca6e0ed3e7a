//! Who takes part in a run, and what goes wrong in it.

/// One that must evict, one that can be complete, one between.
pub const EDGES: usize = 3;
/// Processes over one database.
pub const CONTROLS: usize = 2;

/// What can go wrong in a run. Each seed draws its own mixture: faults hide one another.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    Cut,
    Drop,
    Repeat,
    Shuffle,
    Late,
    Restart,
    Snapshot,
    Control,
    Restore,
    Cold,
    Bump,
    Redis,
    Pause,
    Jump,
    Lag,
    Bad,
    Strange,
    Retention,
    Liar,
}

/// The mixture of a seed.
#[derive(Clone, Copy, Debug)]
pub struct Faults(pub u64);

impl Faults {
    /// Whether this goes wrong here.
    #[must_use]
    pub fn has(self, fault: Fault) -> bool {
        self.0 & 1 << fault as u64 != 0
    }
}
