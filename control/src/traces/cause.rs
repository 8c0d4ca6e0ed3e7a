//! Why a trace is kept.

/// The `reason` label of `linkr_control_traces_kept_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum KeepReason {
    /// The call failed, and not by its caller's fault.
    Failed,
    /// It took longer than nearly all calls of the last minute.
    Slow,
    /// Its caller keeps its part.
    Asked,
    /// An edge has kept its part.
    Edge,
    /// One of each second, whatever it was.
    Random,
}

impl KeepReason {
    /// In the order of their numbers.
    pub const ALL: [Self; 5] = [Self::Failed, Self::Slow, Self::Asked, Self::Edge, Self::Random];

    /// The label.
    pub fn label(self) -> &'static str {
        ["failed", "slow", "asked", "edge", "random"][self as usize]
    }
}

/// A reason, and how many calls the trace stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepCause {
    /// The reason.
    pub reason: KeepReason,
    /// That many, this one among them.
    pub weight: u64,
}

impl KeepCause {
    /// An edge has kept its part.
    pub const EDGE: Self = Self { reason: KeepReason::Edge, weight: 1 };
}
