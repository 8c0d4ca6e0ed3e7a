//! Which traces are kept: judged when a call has ended, or when an edge says that it has kept its part. Bounded in memory and in
//! rate. No clock here.

use super::slowness::Slowness;
use opentelemetry::Value;
use opentelemetry::trace::{SpanId, Status, TraceId};
use opentelemetry_sdk::trace::SpanData;
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, SystemTime};

/// For so long an edge may say that it has kept its part of a trace.
const HOLD: Duration = Duration::from_secs(10);
/// Traces that are under way or held; of more the oldest are given up.
const TRACES: usize = 2_048;
/// The same with those that were given up before their time.
const ORDER: usize = 8 * TRACES;
/// Spans of one trace; more are left out.
const SPANS: usize = 64;
/// Calls that were kept and are remembered by their method.
const CALLS: usize = 256;
/// Kept traces that are remembered: spans that end later go the same way.
const KEPT: usize = 256;
/// Traces kept at once, and in each second; of these, so many for calls that failed or were slow alone.
const AT_ONCE: f64 = 20.0;
const RESERVED: f64 = 10.0;

/// Attributes of a call's span: its caller keeps its part; it goes on behind its answer; what it came to.
pub const ASKED: &str = "linkr.asked";
pub const STREAMS: &str = "linkr.streams";
pub const CODE: &str = "rpc.code";

/// Why a trace was kept: the `reason` label of `linkr_control_traces_kept_total`.
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

/// What becomes of a span that has ended.
#[derive(Debug)]
pub enum Verdict {
    /// It is held, or given up.
    Wait,
    /// The trace is kept: these are its spans so far. It stands for so many.
    Keep { spans: Vec<SpanData>, reason: KeepReason, weight: u64 },
    /// Its trace was kept before.
    Late(Box<SpanData>),
}

/// A call that was kept.
#[derive(Clone, Debug, PartialEq)]
pub struct CallTrace {
    /// Its method.
    pub method: String,
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
    traces: HashMap<TraceId, HeldTrace>,
    /// In the order of their first spans.
    order: VecDeque<(Duration, TraceId)>,
    kept: VecDeque<TraceId>,
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

#[derive(Debug, Default)]
struct HeldTrace {
    spans: Vec<SpanData>,
}

/// Whether nothing of this process is above a span.
pub fn is_root(span: &SpanData) -> bool {
    span.parent_span_is_remote || span.parent_span_id == SpanId::INVALID
}

impl HeldTraces {
    /// A span has ended.
    pub fn ended(&mut self, span: SpanData, now: Duration) -> Verdict {
        self.forget(now);
        let id = span.span_context.trace_id();
        if self.kept.contains(&id) {
            return Verdict::Late(Box::new(span));
        }
        let is_root = is_root(&span);
        let judged = is_root.then(|| self.judge(&span, now)).flatten();
        if judged.is_some() {
            self.note(&span);
        } else if is_root && !span.parent_span_is_remote {
            // No edge is above it, so that none will say that it has kept its part.
            self.give_up(id);
            return Verdict::Wait;
        }
        let held = self.traces.entry(id).or_insert_with(|| {
            self.order.push_back((now, id));
            HeldTrace::default()
        });
        if held.spans.len() < SPANS {
            held.spans.push(span);
        }
        match judged {
            Some((reason, weight)) => Verdict::Keep { spans: self.keep(id), reason, weight },
            None => Verdict::Wait,
        }
    }

    /// An edge has kept this trace: its spans so far, if they are held.
    pub fn take(&mut self, id: TraceId, now: Duration) -> Vec<SpanData> {
        self.forget(now);
        if self.kept.contains(&id) {
            return Vec::new(); // they are on their way
        }
        let spans = self.keep(id);
        if !spans.is_empty() {
            self.kept_count[KeepReason::Edge as usize] += 1;
        }
        spans
    }

    fn note(&mut self, root: &SpanData) {
        if self.calls.len() == CALLS {
            self.calls.pop_front();
        }
        self.calls.push_back(CallTrace {
            method: root.name.clone().into_owned(),
            trace: root.span_context.trace_id().to_bytes(),
            seconds: root.end_time.duration_since(root.start_time).unwrap_or_default().as_secs_f64(),
            ended: root.end_time,
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

    fn keep(&mut self, id: TraceId) -> Vec<SpanData> {
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(id);
        self.traces.remove(&id).map(|held| held.spans).unwrap_or_default()
    }

    fn give_up(&mut self, id: TraceId) {
        // What is not the last of them goes with its time.
        if self.traces.remove(&id).is_some() && self.order.back().is_some_and(|(_, last)| *last == id) {
            self.order.pop_back();
        }
    }

    /// Gives up what nobody has asked for in time, and the oldest of too many.
    fn forget(&mut self, now: Duration) {
        while let Some((since, id)) = self.order.front().copied() {
            if now < since + HOLD && self.traces.len() < TRACES && self.order.len() < ORDER {
                break;
            }
            self.order.pop_front();
            self.traces.remove(&id);
        }
    }

    /// Whether a call that has ended is kept, why, and for how many it stands.
    fn judge(&mut self, root: &SpanData, now: Duration) -> Option<(KeepReason, u64)> {
        self.calls_since += 1;
        let took = root.end_time.duration_since(root.start_time).unwrap_or_default();
        let has = |name: &str| root.attributes.iter().find(|attribute| attribute.key.as_str() == name);
        let streams = has(STREAMS).is_some();
        // A flag that anybody may set counts from whoever was let in.
        let let_in = has(CODE).is_some_and(|code| {
            matches!(&code.value, Value::String(code) if !matches!(code.as_str(), "UNAUTHENTICATED" | "FORBIDDEN"))
        });
        let asked = has(ASKED).is_some() && let_in;
        let slow = !streams && self.slowness.is_slow(took, now);
        let pick = self.picked.is_none_or(|picked| now >= picked + Duration::from_secs(1));
        let reason = if matches!(root.status, Status::Error { .. }) {
            KeepReason::Failed
        } else if slow {
            KeepReason::Slow
        } else if asked {
            KeepReason::Asked
        } else if pick {
            KeepReason::Random
        } else {
            return None;
        };
        let tokens = self.tokens.unwrap_or(AT_ONCE) + (now - self.refilled).as_secs_f64() * AT_ONCE;
        (self.tokens, self.refilled) = (Some(tokens.min(AT_ONCE)), now);
        let reserved = if matches!(reason, KeepReason::Failed | KeepReason::Slow) { 0.0 } else { RESERVED };
        let passed_since = &mut self.passed_since[reason as usize];
        if tokens.min(AT_ONCE) < reserved + 1.0 {
            *passed_since += 1;
            self.passed_over[reason as usize] += 1;
            return None;
        }
        self.tokens = Some(tokens.min(AT_ONCE) - 1.0);
        self.kept_count[reason as usize] += 1;
        let weight = match reason {
            KeepReason::Random => {
                self.picked = Some(now);
                std::mem::take(&mut self.calls_since)
            }
            _ => 1 + std::mem::take(passed_since),
        };
        Some((reason, weight))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry::trace::{SpanContext, SpanKind, TraceFlags, TraceState};
    use opentelemetry::{InstrumentationScope, KeyValue};
    use opentelemetry_sdk::trace::{SpanEvents, SpanLinks};
    use std::time::UNIX_EPOCH;

    const SECOND: Duration = Duration::from_secs(1);

    /// A span of a trace; a root if nothing is above it.
    fn span(trace: u128, above: u64, took: Duration) -> SpanData {
        let (trace, own) = (TraceId::from_bytes(trace.to_be_bytes()), SpanId::from_bytes([9; 8]));
        SpanData {
            span_context: SpanContext::new(trace, own, TraceFlags::default(), false, TraceState::default()),
            parent_span_id: SpanId::from_bytes(above.to_be_bytes()),
            parent_span_is_remote: false,
            span_kind: SpanKind::Server,
            name: "x".into(),
            start_time: UNIX_EPOCH,
            end_time: UNIX_EPOCH + took,
            attributes: Vec::new(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: InstrumentationScope::default(),
        }
    }

    fn kept(verdict: Verdict) -> Option<(usize, KeepReason, u64)> {
        match verdict {
            Verdict::Keep { spans, reason, weight } => Some((spans.len(), reason, weight)),
            _ => None,
        }
    }

    /// With the one of this second picked already.
    fn held() -> HeldTraces {
        let mut held = HeldTraces::default();
        assert_eq!(
            kept(held.ended(span(1, 0, Duration::ZERO), Duration::ZERO)),
            Some((1, KeepReason::Random, 1))
        );
        held
    }

    #[test]
    fn a_slow_call_is_kept_with_what_ended_before_it_and_what_ends_later() {
        let mut held = held();
        assert!(kept(held.ended(span(2, 9, SECOND), Duration::ZERO)).is_none());
        assert_eq!(kept(held.ended(span(2, 0, SECOND), Duration::ZERO)), Some((2, KeepReason::Slow, 1)));
        let call = held.calls().last().unwrap();
        assert_eq!((&*call.method, call.seconds, call.ended), ("x", 1.0, UNIX_EPOCH + SECOND));
        assert!(matches!(held.ended(span(2, 9, SECOND), Duration::ZERO), Verdict::Late(_)));
    }

    #[test]
    fn failures_are_kept_and_flags_count_from_whoever_was_let_in() {
        let mut held = held();
        let failed = SpanData { status: Status::error(""), ..span(2, 0, Duration::ZERO) };
        assert_eq!(kept(held.ended(failed, Duration::ZERO)), Some((1, KeepReason::Failed, 1)));
        let asked = |trace: u128, code: &'static str| SpanData {
            parent_span_is_remote: true,
            attributes: vec![KeyValue::new(ASKED, true), KeyValue::new(CODE, code)],
            ..span(trace, 7, Duration::ZERO)
        };
        let not_asked = SpanData { parent_span_is_remote: true, ..span(6, 7, Duration::ZERO) };
        assert!(kept(held.ended(not_asked, Duration::ZERO)).is_none());
        assert_eq!(kept(held.ended(asked(3, "OK"), Duration::ZERO)), Some((1, KeepReason::Asked, 1)));
        assert!(kept(held.ended(asked(4, "UNAUTHENTICATED"), Duration::ZERO)).is_none());
    }

    #[test]
    fn what_an_edge_has_kept_is_kept_for_ten_seconds() {
        let mut held = held();
        for trace in [2, 3] {
            held.ended(span(trace, 9, Duration::ZERO), SECOND / 2);
            let call = SpanData { parent_span_is_remote: true, ..span(trace, 7, Duration::ZERO) };
            held.ended(call, SECOND / 2);
        }
        let id = |trace: u128| TraceId::from_bytes(trace.to_be_bytes());
        assert_eq!(held.take(id(2), HOLD).len(), 2);
        assert_eq!(held.take(id(2), HOLD).len(), 0, "once");
        assert_eq!(held.take(id(3), HOLD + SECOND).len(), 0, "too late");
        assert_eq!((held.kept(KeepReason::Edge), held.traces.len()), (1, 0));
    }

    #[test]
    fn what_no_edge_can_ask_for_is_not_held() {
        let mut held = held();
        held.ended(span(2, 9, Duration::ZERO), Duration::ZERO);
        held.ended(span(3, 9, Duration::ZERO), Duration::ZERO);
        held.ended(span(2, 0, Duration::ZERO), Duration::ZERO);
        assert_eq!(held.traces.len(), 1, "the other call is under way");
        held.ended(span(3, 0, Duration::ZERO), Duration::ZERO);
        assert_eq!(held.traces.len(), 0);
        for trace in 10..10 + 3 * ORDER as u128 {
            // One that is under way all the time keeps the others from being the last.
            held.ended(span(trace, 9, Duration::ZERO), Duration::ZERO);
            held.ended(span(trace + 1, 9, Duration::ZERO), Duration::ZERO);
            held.ended(span(trace, 0, Duration::ZERO), Duration::ZERO);
        }
        assert!(held.order.len() <= ORDER && held.traces.len() <= TRACES, "{}", held.order.len());
    }

    #[test]
    fn a_flood_is_bounded_in_memory_and_in_rate_and_failures_have_room_of_their_own() {
        let mut held = held();
        for trace in 10..10 + 3 * TRACES as u128 {
            (0..2 * SPANS).for_each(|_| drop(held.ended(span(trace, 9, Duration::ZERO), Duration::ZERO)));
        }
        assert!(held.traces.len() <= TRACES && held.order.len() <= TRACES + 1);
        assert!(held.traces.values().all(|trace| trace.spans.len() <= SPANS));
        let slow =
            (0..100).filter(|at| kept(held.ended(span(1 << 40 | at, 0, SECOND), Duration::ZERO)).is_some());
        assert_eq!(slow.count(), AT_ONCE as usize - 1);
        assert_eq!(held.passed_over(KeepReason::Slow), 81);
        assert_eq!(kept(held.ended(span(5, 0, SECOND), SECOND)), Some((1, KeepReason::Slow, 82)));
    }
}
