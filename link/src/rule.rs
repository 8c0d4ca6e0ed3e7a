//! The rules of propagation by name, each of which a simulation can switch off to prove that it would notice.
//!
//! Without the feature `rules` every question is a constant `false` and nothing of this is left in the code.

macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// One rule of the protocol (docs/propagation.md).
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Rule {
            $($(#[$doc])* $name,)*
        }

        impl Rule {
            /// Every rule there is, in the order of the protocol.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Its name as the command line spells it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }
        }
    };
}

rules! {
    /// R1: of a batch with an item that is refused nothing is written.
    BatchWhole,
    /// R1: what such a batch made is not seen by the writes behind it.
    BatchStates,
    /// R1: the numbers of such a batch are given out again.
    BatchNumbers,
    /// R1: a request that comes again is answered as the first time.
    RetryOnce,
    /// R1: another request under the same id is refused.
    RetrySame,
    /// R1: a write with an etag happens only at that version.
    EtagMatches,
    /// R1: only what is deleted is undeleted.
    UndeleteDeleted,
    /// R1: the code of a deleted link stays taken.
    TombstoneHolds,
    /// R1: only what is deleted is purged.
    PurgeDeleted,
    /// R1: nothing is written to a domain that there is not.
    DomainThere,
    /// R1: the number of a domain that was deleted is not given to another.
    DomainNumberOnce,
    /// R1: one link of a domain that is not deleted has an external id.
    ExternalIdOnce,
    /// R1: no link is led to a blocked host, and none that leads there is enabled.
    TargetBlocked,
    /// R6: an applied change raises its key's fence.
    FenceRaise,
    /// R6: an incomplete set stores a pushed value only if the fence is not higher.
    FenceOnStore,
    /// R6: an applied change replaces a cached entry only if that one knows less.
    ApplyOlder,
    /// R7: a fill's S reaches the fence.
    FillFence,
    /// R7: a fill is of the set's epoch.
    FillEpoch,
    /// R7: a version ahead of the stream raises the fence.
    FillAhead,
    /// R7: an accepted fill raises `seen`.
    SeenOnFill,
    /// R5: a reset starts a new generation.
    ResetGeneration,
    /// R4: a reset within one epoch starts at `seen` or later.
    StartAtSeen,
    /// R4: a resume across a fork needs `seen <= fork_seq`, as control sees it.
    ForkSeen,
    /// R4: the edge checks that again when the resume arrives.
    ForkRecheck,
    /// R6c: an eviction ends completeness.
    EvictIncomplete,
    /// R6c: a change that was refused ends completeness.
    RefusedIncomplete,
    /// R6c: an entry of a walk that was refused is asked for.
    AskList,
    /// R6c: complete only once `applied` reaches the S of the last page.
    WalkAppliedBeforeComplete,
    /// R5: what is unconfirmed is dropped when the set is complete.
    CompleteDropsUnconfirmed,
    /// R5: an unconfirmed entry counts as absent for apply and fill.
    UnconfirmedAbsent,
    /// R4: a batch that leaves a hole is answered with a hello.
    Contiguous,
    /// R4: a batch of another epoch is answered with a hello.
    EpochCheck,
    /// R4: a batch of another session is ignored.
    SessionCheck,
    /// R4: a change that was applied is skipped.
    SkipApplied,
    /// R9: fresh only once `applied` reaches the head that the pong names.
    FreshHead,
    /// R9: the age of freshness counts from the ping's sending.
    FreshPingTime,
    /// R9: the head of a pong was read after its ping arrived.
    FreshReadAfter,
    /// R9: freshness does not survive a restart.
    FreshRestart,
    /// A blind edge does not serve a strict link from memory.
    StrictBlind,
    /// A blind edge's normal links end at `max_stale`.
    MaxStale,
    /// R7: origin is asked with the least position that will be accepted.
    MinSeq,
    /// R11: a request with a token is not answered from an older position.
    Token,
    /// R8b: the file names `applied` of the start of its dump.
    SnapshotAppliedAtStart,
    /// R8b: the file names `seen` of the end of its dump.
    SnapshotSeenAtEnd,
    /// R8b: the file's completeness is that of the end of its dump.
    SnapshotCompleteAtEnd,
    /// R8b: a reset during a dump discards it.
    SnapshotReset,
    /// R8b: after a restart every fence starts at `seen`.
    RestoreFences,
    /// R12: a record that cannot be read becomes a quarantined entry.
    QuarantineOnBad,
    /// R1: a kind of change that must be understood stops the edge.
    MustUnderstand,
    /// R2: a holder's tag is compared with the log's.
    HolderTag,
    /// R2: a lower epoch counter is never accepted.
    LowerEpoch,
    /// R2: only a position that a control has sealed makes a history begin.
    SealedProof,
    /// R2: an edge relies on a value out of Redis only as far as it can prove.
    ProvableCopy,
    /// R8: the relay's script applies only onto the position it expects.
    RedisExpected,
    /// R8: nil is unknown, never absent.
    RedisNilUnknown,
    /// R8: starting over takes a new copy.
    RedisCopy,
    /// R8: a lazy fill writes only what reaches the position and is newer than what is there.
    RedisLazyFill,
    /// R8: the position is read before the values.
    RedisPositionFirst,
    /// R10: `propagated` waits for every edge that is not blind, or for 1.01 B.
    AckWait,
    /// R10: an edge says goodbye behind its last answer.
    LeaveLast,
    /// A batch of clicks that was taken is not taken again.
    ClickOnce,
    /// Of one spool the batch behind the last one is taken, and no later one.
    ClickInOrder,
    /// Clicks that no edge holds any more are told as a hole.
    ClickHoleTold,
    /// A batch of clicks is sent only once it is on the edge's disk.
    ClickFsyncFirst,
}

/// Whether this thread has switched the rule off: never, without the feature `rules`.
#[cfg(not(feature = "rules"))]
#[must_use]
#[inline(always)]
pub const fn off(_rule: Rule) -> bool {
    false
}

#[cfg(feature = "rules")]
thread_local! {
    static OFF: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

#[cfg(feature = "rules")]
const _: () = assert!(Rule::ALL.len() <= 64);

/// Whether this thread has switched the rule off.
#[cfg(feature = "rules")]
#[must_use]
#[inline]
pub fn off(rule: Rule) -> bool {
    OFF.get() & (1 << rule as u8) != 0
}

/// Switches off exactly these rules for this thread, and every other on.
#[cfg(feature = "rules")]
pub fn switch_off(rules: &[Rule]) {
    OFF.set(rules.iter().fold(0, |bits, rule| bits | 1 << *rule as u8));
}

#[cfg(all(test, feature = "rules"))]
mod tests {
    use super::*;

    #[test]
    fn exactly_the_named_rules_are_off() {
        switch_off(&[Rule::FenceRaise, Rule::AckWait]);
        let off_now: Vec<_> = Rule::ALL.iter().filter(|rule| off(**rule)).collect();
        assert_eq!(off_now, [&Rule::FenceRaise, &Rule::AckWait]);
        switch_off(&[]);
        assert!(!Rule::ALL.iter().any(|rule| off(*rule)));
    }
}
