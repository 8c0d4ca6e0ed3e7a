//! Traces that were kept: what the workers hand over, what is remembered of it, and what is counted. No clock and no runtime
//! here.

mod kept;

pub use kept::{Cause, Hop, KeptTrace, SeenRequest, TraceIds, TurnEvent};

use crate::latency::LADDER;
use hot::Source;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// No turn that is quicker is called slow, however quick the others are.
pub const LEAST_SLOW_NS: u64 = 1_000_000;
/// Traces that are remembered for whoever asks this edge itself: of slow ones, and as many of others.
const REMEMBERED: usize = 64;
/// Traces that wait to be sent; one more is dropped.
const WAITING: usize = 256;
/// Trace ids that control has not been told yet; of more the oldest are forgotten.
const FOR_CONTROL: usize = 256;

/// Why a trace was kept: the `reason` label of `linkr_edge_traces_kept_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum KeepReason {
    /// Nobody who knows could be asked in time.
    Unavailable,
    /// A tier below memory was slow, or did not answer.
    SlowTier,
    /// It took longer than nearly all turns of the last minute.
    Slow,
    /// The worker did not run for a while, and this is the first turn behind that.
    Late,
    /// A trusted peer wants the trace.
    Asked,
    /// A request that is not served.
    Refused,
    /// One of each second, whatever it was.
    Random,
}

impl KeepReason {
    /// In the order of their numbers.
    pub const ALL: [Self; 7] =
        [Self::Unavailable, Self::SlowTier, Self::Slow, Self::Late, Self::Asked, Self::Refused, Self::Random];

    /// The label.
    pub fn label(self) -> &'static str {
        ["unavailable", "slow_tier", "slow", "late", "asked", "refused", "random"][self as usize]
    }

    /// Whether somebody waited, or got nothing: `linkr tail --slow` shows it.
    pub fn is_trouble(self) -> bool {
        matches!(self, Self::Unavailable | Self::SlowTier | Self::Slow | Self::Late)
    }
}

/// What became of the `traceparent` of a request: the `outcome` label of `linkr_edge_traceparents_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum TraceparentUse {
    /// A trusted peer said it.
    Taken,
    /// A trusted peer said what is none, or said it twice.
    Illegal,
    /// Somebody else said it.
    Untrusted,
}

impl TraceparentUse {
    /// In the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Taken, Self::Illegal, Self::Untrusted];

    /// The label.
    pub fn label(self) -> &'static str {
        ["taken", "illegal", "untrusted"][self as usize]
    }
}

/// What is counted of traces.
#[derive(Debug, Default)]
pub struct TraceCounts {
    kept: [AtomicU64; KeepReason::ALL.len()],
    passed_over: [AtomicU64; KeepReason::ALL.len()],
    parents: [AtomicU64; TraceparentUse::ALL.len()],
    /// Kept, and dropped because too many waited to be sent.
    pub crowded_out: AtomicU64,
}

impl TraceCounts {
    /// One was kept.
    pub fn kept(&self, reason: KeepReason) {
        self.kept[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// There was a reason to keep one, and too many had been kept just before.
    pub fn passed_over(&self, reason: KeepReason) {
        self.passed_over[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// A request said that it belongs to a trace.
    pub fn met_parent(&self, used: TraceparentUse) {
        self.parents[used as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Kept so far, and passed over.
    pub fn of(&self, reason: KeepReason) -> (u64, u64) {
        let load = |counts: &[AtomicU64]| counts[reason as usize].load(Ordering::Relaxed);
        (load(&self.kept), load(&self.passed_over))
    }

    /// Requests whose `traceparent` was used so.
    pub fn parents(&self, used: TraceparentUse) -> u64 {
        self.parents[used as usize].load(Ordering::Relaxed)
    }
}

/// The last kept trace whose duration falls into one bucket of `linkr_edge_request_duration_seconds`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BucketTrace {
    /// Its trace id.
    pub trace: [u8; 16],
    /// How long it took.
    pub seconds: f64,
    /// When it ended: nanoseconds of Unix time.
    pub ended_unix_ns: u64,
}

/// Everything that the threads of an edge share of its traces.
#[derive(Debug)]
pub struct Traces {
    slow_ns: AtomicU64,
    /// See there.
    pub counts: TraceCounts,
    remembered: Mutex<RememberedTraces>,
}

#[derive(Debug, Default)]
struct RememberedTraces {
    troubles: VecDeque<Arc<KeptTrace>>,
    others: VecDeque<Arc<KeptTrace>>,
    /// For whoever sends them; `None`: nobody does.
    waiting: Option<VecDeque<Arc<KeptTrace>>>,
    /// Traces of which control may hold a part, for the next word to it.
    for_control: VecDeque<[u8; 16]>,
    /// By the bucket of their duration.
    buckets: [Option<BucketTrace>; LADDER.len() + 1],
}

impl Default for Traces {
    fn default() -> Self {
        Self {
            slow_ns: AtomicU64::new(LEAST_SLOW_NS),
            counts: TraceCounts::default(),
            remembered: Mutex::default(),
        }
    }
}

impl Traces {
    /// A turn that takes so many nanoseconds is slow.
    pub fn slow_ns(&self) -> u64 {
        self.slow_ns.load(Ordering::Relaxed)
    }

    /// From now on one is slow that takes so many nanoseconds, if that is not too few.
    pub fn set_slow_ns(&self, ns: u64) {
        self.slow_ns.store(ns.max(LEAST_SLOW_NS), Ordering::Relaxed);
    }

    /// Takes over what a worker has kept. A worker does not wait: if somebody reads just now, its next tick does it.
    pub fn take(&self, kept: &mut Vec<KeptTrace>) {
        if kept.is_empty() {
            return;
        }
        if let Ok(mut remembered) = self.remembered.try_lock() {
            self.remember(&mut remembered, kept);
        }
    }

    /// The same of a worker that has no next tick: it waits.
    pub fn take_last(&self, kept: &mut Vec<KeptTrace>) {
        self.remember(&mut self.lock(), kept);
    }

    fn remember(&self, remembered: &mut RememberedTraces, kept: &mut Vec<KeptTrace>) {
        for trace in kept.drain(..) {
            if !remembered.remember(trace) {
                self.counts.crowded_out.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// The last ones with a trouble, or all, the oldest first.
    pub fn last(&self, troubles_only: bool) -> Vec<Arc<KeptTrace>> {
        let remembered = self.lock();
        let others = remembered.others.iter().filter(|_| !troubles_only);
        let mut all: Vec<_> = remembered.troubles.iter().chain(others).cloned().collect();
        all.sort_by_key(|trace| trace.began_unix_ns + trace.ns);
        all
    }

    /// For each bucket of `linkr_edge_request_duration_seconds`, in their order, the last kept trace in it.
    pub fn of_buckets(&self) -> [Option<BucketTrace>; LADDER.len() + 1] {
        self.lock().buckets
    }

    /// From now on what is kept waits for [`Self::to_send`].
    pub fn begin_sending(&self) {
        self.lock().waiting.get_or_insert_default();
    }

    /// What waits to be sent, so many at most.
    pub fn to_send(&self, most: usize) -> Vec<Arc<KeptTrace>> {
        let mut remembered = self.lock();
        let Some(waiting) = &mut remembered.waiting else { return Vec::new() };
        let most = most.min(waiting.len());
        waiting.drain(..most).collect()
    }

    /// Traces that were kept since this was last asked, and of which control may hold a part: so many at most.
    pub fn for_control(&self, most: usize) -> Vec<[u8; 16]> {
        let mut remembered = self.lock();
        let most = most.min(remembered.for_control.len());
        remembered.for_control.drain(..most).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, RememberedTraces> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RememberedTraces {
    /// `false`: too many wait to be sent, and it will not be.
    fn remember(&mut self, trace: KeptTrace) -> bool {
        let trace = Arc::new(trace);
        let seconds = trace.ns as f64 / 1e9;
        let bucket = LADDER.iter().position(|most| seconds <= *most).unwrap_or(LADDER.len());
        let ended_unix_ns = trace.began_unix_ns + trace.ns;
        self.buckets[bucket] = Some(BucketTrace { trace: trace.ids.trace, seconds, ended_unix_ns });
        let kind = if trace.reason.is_trouble() { &mut self.troubles } else { &mut self.others };
        if kind.len() == REMEMBERED {
            kind.pop_front();
        }
        kind.push_back(Arc::clone(&trace));
        for hop in trace.hops.iter().filter(|hop| hop.tier == Source::Origin) {
            if self.for_control.len() == FOR_CONTROL {
                self.for_control.pop_front();
            }
            self.for_control.push_back(hop.joined.unwrap_or(trace.ids).trace);
        }
        let Some(waiting) = &mut self.waiting else { return true };
        let room = waiting.len() < WAITING;
        if room {
            waiting.push_back(trace);
        }
        room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(number: u8, reason: KeepReason, ns: u64) -> KeptTrace {
        let ids = TraceIds { trace: [number; 16], span: [number; 8] };
        KeptTrace { ids, reason, ns, began_unix_ns: u64::from(number), ..KeptTrace::example() }
    }

    #[test]
    fn troubles_are_not_pushed_out_by_what_is_kept_for_other_reasons() {
        let traces = Traces::default();
        traces.take(&mut vec![trace(1, KeepReason::Slow, 2_000_000)]);
        for _ in 0..3 * REMEMBERED {
            traces.take(&mut vec![trace(2, KeepReason::Refused, 10_000)]);
        }
        let ids = |all: Vec<Arc<KeptTrace>>| -> Vec<u8> { all.iter().map(|one| one.ids.trace[0]).collect() };
        assert_eq!(ids(traces.last(true)), [1]);
        assert_eq!(traces.last(false).len(), REMEMBERED + 1);
    }

    #[test]
    fn the_last_trace_of_a_bucket_is_found_there() {
        let traces = Traces::default();
        let kept = [(1, 25_000), (2, 25_001), (3, 49_000), (4, 1_000_000_000), (5, 1_000_000_001)];
        traces.take(&mut kept.map(|(number, ns)| trace(number, KeepReason::Random, ns)).into());
        let found = traces.of_buckets().map(|one| one.map_or(0, |one| one.trace[0]));
        assert_eq!((found[0], found[1], found[LADDER.len() - 1], found[LADDER.len()]), (1, 3, 4, 5));
        assert_eq!(found.iter().filter(|one| **one == 0).count(), LADDER.len() + 1 - 4);
        let last = traces.of_buckets()[1].unwrap();
        assert_eq!((last.seconds, last.ended_unix_ns), (0.000_049, 49_003));
    }

    #[test]
    fn what_waits_to_be_sent_is_bounded_and_nothing_waits_where_nobody_sends() {
        let traces = Traces::default();
        let many = |count| (0..count).map(|_| trace(1, KeepReason::Slow, 2_000_000)).collect::<Vec<_>>();
        traces.take(&mut many(WAITING * 2));
        assert_eq!((traces.to_send(10).len(), traces.counts.crowded_out.load(Ordering::Relaxed)), (0, 0));
        traces.begin_sending();
        traces.take(&mut many(WAITING + 7));
        assert_eq!(traces.counts.crowded_out.load(Ordering::Relaxed), 7);
        assert_eq!((traces.to_send(10).len(), traces.to_send(WAITING).len()), (10, WAITING - 10));
    }

    #[test]
    fn a_worker_does_not_wait_for_a_reader() {
        let traces = Traces::default();
        let mut kept = vec![trace(1, KeepReason::Slow, 2_000_000)];
        {
            let _reader = traces.remembered.lock().unwrap();
            traces.take(&mut kept);
            assert_eq!(kept.len(), 1, "kept for the next tick");
        }
        traces.take(&mut kept);
        assert_eq!((kept.len(), traces.last(true).len()), (0, 1));
    }
}
