//! Which traces are kept: judged when a call has ended, or when an edge says that it has kept its part. Bounded in memory and in
//! rate. No clock here.

use super::cause::{KeepCause, KeepReason};
use super::slowness::Slowness;
use super::traced::{PARTS, TracedCall};
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// For so long an edge may say that it has kept its part of a trace.
const HOLD: Duration = Duration::from_secs(10);
/// Traces that are held, or were until they were kept; of more the oldest are given up. If all of them are as large as they can
/// be they take 20 MiB: 64 parts of 72 bytes, and 8 calls of 176 with 512 that are passed on.
const TRACES: usize = 2_048;
/// Spans of one trace, and calls among them; of more the first are held.
const SPANS: usize = PARTS + 1;
const CALLS_OF_ONE: usize = 8;
/// Calls that were kept and are remembered by their method.
const CALLS: usize = 256;
/// Kept traces that are remembered: calls that end later go the same way.
const KEPT: usize = 256;
/// Traces kept at once, and in each second; of these, so many for calls that failed or were slow alone.
const AT_ONCE: f64 = 20.0;
const RESERVED: f64 = 10.0;

/// Calls of a trace that is kept.
#[derive(Debug)]
pub struct KeptCalls {
    pub calls: Vec<TracedCall>,
    /// `None`: the trace was kept before.
    pub why: Option<KeepCause>,
}

/// A call that was kept.
#[derive(Clone, Debug, PartialEq)]
pub struct CallTrace {
    /// Its method.
    pub method: &'static str,
    /// Its trace.
    pub trace: [u8; 16],
    /// How long it took.
    pub seconds: f64,
    /// When it ended.
    pub ended: SystemTime,
}

/// See the module.
#[derive(Debug, Default)]
pub struct HeldTraces {
    /// Calls by their trace, which an edge may still ask for.
    traces: HashMap<[u8; 16], Vec<TracedCall>>,
    /// In the order of their first calls.
    order: VecDeque<HeldSince>,
    kept: VecDeque<KeptTrace>,
    calls: VecDeque<CallTrace>,
    slowness: Slowness,
    tokens: Option<f64>,
    refilled: Duration,
    picked: Option<Duration>,
    calls_since: u64,
    kept_count: [u64; KeepReason::ALL.len()],
    passed_over: [u64; KeepReason::ALL.len()],
    /// Since the last one that was kept for this reason.
    passed_since: [u64; KeepReason::ALL.len()],
}

#[derive(Debug)]
struct HeldSince {
    since: Duration,
    trace: [u8; 16],
}

/// A trace that others share in, and that was kept.
#[derive(Debug)]
struct KeptTrace {
    trace: [u8; 16],
    /// An edge has asked for it, and no call of it has ended yet.
    awaited: bool,
}

impl HeldTraces {
    /// A call has ended: what is kept by that.
    pub fn ended(&mut self, call: TracedCall, now: Duration) -> Option<KeptCalls> {
        self.forget(now);
        let is_shared = call.asker.is_some();
        let known = match call.asker {
            Some(_) => self.kept.iter_mut().find(|kept| kept.trace == call.trace),
            None => None, // a trace that began here nobody else knows
        };
        if let Some(kept) = known {
            if std::mem::take(&mut kept.awaited) {
                self.kept_count[KeepReason::Edge as usize] += 1;
                return Some(KeptCalls { calls: vec![call], why: Some(KeepCause::EDGE) });
            }
            // Who makes many calls in one trace has no more room than others.
            let has_room = self.has_room(KeepReason::Asked, now);
            return has_room.then(|| KeptCalls { calls: vec![call], why: None });
        }
        match self.judge(&call, now) {
            Some(why) => {
                self.note(&call);
                let mut calls = if is_shared { self.keep(call.trace) } else { Vec::new() };
                calls.push(call);
                Some(KeptCalls { calls, why: Some(why) })
            }
            None => {
                if is_shared && !call.is_turned_away() {
                    self.hold(call, now);
                }
                None
            }
        }
    }

    /// An edge has kept this trace: its calls so far, if they are held.
    pub fn take(&mut self, trace: [u8; 16], now: Duration) -> Option<KeptCalls> {
        self.forget(now);
        if self.kept.iter().any(|kept| kept.trace == trace) {
            return None; // they are on their way, or awaited
        }
        let calls = self.keep(trace);
        if let (true, Some(kept)) = (calls.is_empty(), self.kept.back_mut()) {
            kept.awaited = true;
            return None;
        }
        self.kept_count[KeepReason::Edge as usize] += 1;
        Some(KeptCalls { calls, why: Some(KeepCause::EDGE) })
    }

    fn note(&mut self, call: &TracedCall) {
        if self.calls.len() == CALLS {
            self.calls.pop_front();
        }
        self.calls.push_back(CallTrace {
            method: call.method,
            trace: call.trace,
            seconds: call.took.as_secs_f64(),
            ended: UNIX_EPOCH + Duration::from_nanos(call.began_unix_ns) + call.took,
        });
    }

    /// The last calls that were kept, the oldest first.
    pub fn calls(&self) -> impl Iterator<Item = &CallTrace> {
        self.calls.iter()
    }

    /// Traces kept for a reason.
    pub fn kept(&self, reason: KeepReason) -> u64 {
        self.kept_count[reason as usize]
    }

    /// Traces that there was a reason to keep, when too many had been kept just before.
    pub fn passed_over(&self, reason: KeepReason) -> u64 {
        self.passed_over[reason as usize]
    }

    fn hold(&mut self, call: TracedCall, now: Duration) {
        let held = self.traces.entry(call.trace).or_insert_with(|| {
            self.order.push_back(HeldSince { since: now, trace: call.trace });
            Vec::new()
        });
        let spans: usize = held.iter().map(TracedCall::span_count).sum();
        if held.len() < CALLS_OF_ONE && spans + call.span_count() <= SPANS {
            held.push(call);
        }
    }

    fn keep(&mut self, trace: [u8; 16]) -> Vec<TracedCall> {
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(KeptTrace { trace, awaited: false });
        self.traces.remove(&trace).unwrap_or_default()
    }

    /// Gives up what nobody has asked for in time, and the oldest of too many.
    fn forget(&mut self, now: Duration) {
        while let Some(HeldSince { since, trace }) = self.order.front() {
            if now < *since + HOLD && self.order.len() < TRACES {
                break;
            }
            self.traces.remove(trace);
            self.order.pop_front();
        }
    }

    /// Whether a call that has ended is kept, why, and for how many it stands.
    fn judge(&mut self, call: &TracedCall, now: Duration) -> Option<KeepCause> {
        self.calls_since += 1;
        let slow = !call.streams && self.slowness.is_slow(call.took, now);
        let pick = self.picked.is_none_or(|picked| now >= picked + Duration::from_secs(1));
        let reason = if call.failed() {
            KeepReason::Failed
        } else if slow {
            KeepReason::Slow
        } else if call.is_asked_for() {
            KeepReason::Asked
        } else if pick {
            KeepReason::Random
        } else {
            return None;
        };
        if !self.has_room(reason, now) {
            return None;
        }
        self.kept_count[reason as usize] += 1;
        let weight = match reason {
            KeepReason::Random => {
                self.picked = Some(now);
                std::mem::take(&mut self.calls_since)
            }
            _ => 1 + std::mem::take(&mut self.passed_since[reason as usize]),
        };
        Some(KeepCause { reason, weight })
    }

    /// Takes room for one that there is this reason to keep; if there is none, it is passed over.
    fn has_room(&mut self, reason: KeepReason, now: Duration) -> bool {
        let tokens = self.tokens.unwrap_or(AT_ONCE) + (now - self.refilled).as_secs_f64() * AT_ONCE;
        let tokens = tokens.min(AT_ONCE);
        let reserved = if matches!(reason, KeepReason::Failed | KeepReason::Slow) { 0.0 } else { RESERVED };
        let has_room = tokens >= reserved + 1.0;
        self.tokens = Some(if has_room { tokens - 1.0 } else { tokens });
        self.refilled = now;
        if !has_room {
            self.passed_since[reason as usize] += 1;
            self.passed_over[reason as usize] += 1;
        }
        has_room
    }
}

#[cfg(test)]
mod tests {
    use super::super::traced::CallPart;
    use super::*;
    use exposition::TraceContext;

    const SECOND: Duration = Duration::from_secs(1);

    fn trace(number: u128) -> [u8; 16] {
        number.to_be_bytes()
    }

    /// A call that took so long, in a trace of its own.
    fn call(number: u128, took: Duration) -> TracedCall {
        let mut call = TracedCall { trace: trace(number), took, method: "x", ..TracedCall::default() };
        call.came_to("OK");
        call
    }

    /// A call in the trace of an edge.
    fn below(number: u128) -> TracedCall {
        let asker = TraceContext { trace: trace(number), span: [7; 8], sampled: false };
        TracedCall { asker: Some(asker), ..call(number, Duration::ZERO) }
    }

    fn kept(kept: Option<KeptCalls>) -> Option<(usize, KeepReason, u64)> {
        let KeptCalls { calls, why } = kept?;
        why.map(|why| (calls.len(), why.reason, why.weight))
    }

    /// With the one of this second picked already.
    fn held() -> HeldTraces {
        let mut held = HeldTraces::default();
        let first = held.ended(call(1, Duration::ZERO), Duration::ZERO);
        assert_eq!(kept(first), Some((1, KeepReason::Random, 1)));
        held
    }

    #[test]
    fn a_slow_call_is_kept_with_what_ended_before_it_and_what_ends_later() {
        let mut held = held();
        assert!(held.ended(below(2), Duration::ZERO).is_none());
        let slow = TracedCall { took: SECOND, ..below(2) };
        assert_eq!(kept(held.ended(slow, Duration::ZERO)), Some((2, KeepReason::Slow, 1)));
        let last = held.calls().last().unwrap();
        assert_eq!((last.method, last.seconds, last.ended), ("x", 1.0, UNIX_EPOCH + SECOND));
        let late = held.ended(below(2), Duration::ZERO).unwrap();
        assert!(late.calls.len() == 1 && late.why.is_none());
    }

    #[test]
    fn failures_are_kept_and_flags_count_from_whoever_was_let_in() {
        let mut held = held();
        let mut failed = call(2, Duration::ZERO);
        failed.came_to("STORE_UNAVAILABLE");
        assert_eq!(kept(held.ended(failed, Duration::ZERO)), Some((1, KeepReason::Failed, 1)));
        let asked = |number: u128, code: &'static str| {
            let asker = TraceContext { trace: trace(number), span: [7; 8], sampled: true };
            let mut call = TracedCall { asker: Some(asker), ..call(number, Duration::ZERO) };
            call.came_to(code);
            call
        };
        assert!(held.ended(below(6), Duration::ZERO).is_none());
        assert_eq!(kept(held.ended(asked(3, "OK"), Duration::ZERO)), Some((1, KeepReason::Asked, 1)));
        for (number, code) in [(4, "UNAUTHENTICATED"), (5, "FORBIDDEN")] {
            assert!(held.ended(asked(number, code), Duration::ZERO).is_none(), "{code}");
            assert!(held.take(trace(number), Duration::ZERO).is_none(), "nor is a stranger's call held");
        }
    }

    #[test]
    fn what_an_edge_has_kept_is_kept_for_ten_seconds() {
        let mut held = held();
        for number in [2, 2, 3] {
            held.ended(below(number), SECOND / 2);
        }
        assert_eq!(kept(held.take(trace(2), HOLD)), Some((2, KeepReason::Edge, 1)));
        assert!(held.take(trace(2), HOLD).is_none(), "once");
        assert!(held.take(trace(3), HOLD + SECOND).is_none(), "too late");
        assert_eq!((held.kept(KeepReason::Edge), held.traces.len()), (1, 0));
    }

    #[test]
    fn a_call_that_ends_behind_the_word_of_its_edge_is_kept_for_it() {
        let mut held = held();
        assert!(held.take(trace(2), SECOND).is_none() && held.take(trace(2), SECOND).is_none());
        assert_eq!(held.kept(KeepReason::Edge), 0);
        assert_eq!(kept(held.ended(below(2), SECOND)), Some((1, KeepReason::Edge, 1)));
        let later = held.ended(below(2), SECOND).unwrap();
        assert!(later.why.is_none() && held.kept(KeepReason::Edge) == 1);
    }

    #[test]
    fn a_trace_of_many_calls_has_no_more_room_than_others() {
        let mut held = held();
        let asker = TraceContext { trace: trace(2), span: [7; 8], sampled: true };
        let kept = (0..100).filter(|_| {
            let call = TracedCall { asker: Some(asker), ..call(2, Duration::ZERO) };
            held.ended(call, Duration::ZERO).is_some()
        });
        assert_eq!(kept.count(), 9, "half of the room but for the first of this test");
        assert_eq!((held.kept(KeepReason::Asked), held.passed_over(KeepReason::Asked)), (1, 91));
    }

    #[test]
    fn what_no_edge_can_ask_for_is_not_held() {
        let mut held = held();
        assert!(held.ended(call(2, Duration::ZERO), Duration::ZERO).is_none());
        assert_eq!((held.traces.len(), held.order.len(), held.kept.len()), (0, 0, 0));
    }

    #[test]
    fn a_flood_is_bounded_in_memory_and_in_rate_and_failures_have_room_of_their_own() {
        let mut held = held();
        for number in 10..10 + 3 * TRACES as u128 {
            (0..2 * CALLS_OF_ONE).for_each(|_| drop(held.ended(below(number), Duration::ZERO)));
        }
        assert!(held.traces.len() <= TRACES && held.order.len() <= TRACES);
        assert!(held.traces.values().all(|calls| calls.len() == CALLS_OF_ONE));
        assert!(
            size_of::<TracedCall>() <= 176 && size_of::<CallPart>() <= 72,
            "what the bound on memory is made of"
        );
        for number in 10..10 + 3 * KEPT as u128 {
            held.take(trace(number), Duration::ZERO);
        }
        assert!(held.kept.len() <= KEPT && held.order.len() <= TRACES);
        let slow = (0..100).filter(|at| held.ended(call(1 << 40 | at, SECOND), Duration::ZERO).is_some());
        assert_eq!(slow.count(), AT_ONCE as usize - 1);
        assert_eq!(held.passed_over(KeepReason::Slow), 81);
        assert_eq!(kept(held.ended(call(5, SECOND), SECOND)), Some((1, KeepReason::Slow, 82)));
    }
}
