//! What was noted of a call, and the spans of OTLP that are made of it when its trace is kept.

use super::cause::KeepCause;
use exposition::TraceContext;
use otlp::span::SpanKind;
use otlp::{Span, SpanFlags, Status, int, status, text, truth};
use std::time::Duration;

/// Reasons of [`crate::Fault`] that are no caller's fault.
const FAILURES: [&str; 7] = [
    "DEADLINE_EXCEEDED",
    "INTERNAL",
    "OVERLOADED",
    "UNAVAILABLE",
    "STORE_UNAVAILABLE",
    "DISK_FULL",
    "STORE_CORRUPT",
];
/// Reasons of whoever was not let in.
const TURNED_AWAY: [&str; 2] = ["UNAUTHENTICATED", "FORBIDDEN"];
/// Parts of a call that are noted, the first ones; others are counted.
pub const PARTS: usize = 63;

/// A call as its trace has it.
#[derive(Debug)]
pub struct TracedCall {
    /// Its trace.
    pub trace: [u8; 16],
    /// Whoever asked, if its trace began there.
    pub asker: Option<TraceContext>,
    /// What the asker passes on with the trace.
    pub state: Option<Box<str>>,
    /// Nanoseconds of the Unix time at which it began.
    pub began_unix_ns: u64,
    /// How long it took, once it has ended.
    pub took: Duration,
    /// Its method, once it is known.
    pub method: &'static str,
    /// It goes on behind its answer.
    pub streams: bool,
    /// Rows that it brought.
    pub rows: Option<u64>,
    pub(super) code: Option<&'static str>,
    pub(super) failed: bool,
    pub(super) parts: Vec<CallPart>,
    pub(super) left_out: u64,
}

/// A part of a call.
#[derive(Debug)]
pub struct CallPart {
    /// Of what kind it is.
    pub name: &'static str,
    /// When it began, counted from when the call did.
    pub after: Duration,
    /// How long it took.
    pub took: Duration,
    /// Rows that it read or wrote, where that is known.
    pub rows: Option<u64>,
    /// Whether it failed.
    pub failed: bool,
}

impl Default for TracedCall {
    fn default() -> Self {
        Self {
            trace: [0; 16],
            asker: None,
            state: None,
            began_unix_ns: 0,
            took: Duration::ZERO,
            method: "call",
            streams: false,
            rows: None,
            code: None,
            failed: false,
            parts: Vec::new(),
            left_out: 0,
        }
    }
}

impl TracedCall {
    /// What it came to.
    pub fn came_to(&mut self, code: &'static str) {
        self.code = Some(code);
        self.failed |= FAILURES.contains(&code);
    }

    /// A part of it has ended.
    pub fn has(&mut self, part: CallPart) {
        if self.parts.len() < PARTS {
            self.parts.push(part);
        } else {
            self.left_out += 1;
        }
    }

    /// It failed, and not by its caller's fault.
    pub fn failed(&self) -> bool {
        self.failed
    }

    /// Its caller was not let in.
    pub fn is_turned_away(&self) -> bool {
        self.code.is_some_and(|code| TURNED_AWAY.contains(&code))
    }

    /// Its caller keeps its part of the trace. That is a flag that anybody may set: it counts from whoever was let in.
    pub fn is_asked_for(&self) -> bool {
        self.asker.is_some_and(|asker| asker.sampled) && self.code.is_some() && !self.is_turned_away()
    }

    /// How many spans are made of it.
    pub fn span_count(&self) -> usize {
        1 + self.parts.len()
    }

    /// The call and its parts. `why` its trace is kept, unless that was said before; `id`: ids for spans.
    pub fn spans(self, why: Option<KeepCause>, mut id: impl FnMut() -> [u8; 8]) -> Vec<Span> {
        let (own, state) = (id(), self.state.as_deref().unwrap_or_default());
        let span = |name: &str, after: Duration, took: Duration, failed: bool| {
            let began = self.began_unix_ns + after.as_nanos() as u64;
            Span {
                trace_id: self.trace.to_vec(),
                trace_state: state.to_owned(),
                name: name.to_owned(),
                start_time_unix_nano: began,
                end_time_unix_nano: began + took.as_nanos() as u64,
                status: failed
                    .then(|| Status { code: status::StatusCode::Error.into(), message: String::new() }),
                ..Span::default()
            }
        };
        let code = self.code.map(|code| text("rpc.code", code));
        let rows = self.rows.map(|rows| int("linkr.rows", rows));
        let streams = self.streams.then(|| truth("linkr.streams", true));
        let left_out = (self.left_out > 0).then(|| int("linkr.left_out", self.left_out));
        let why = why.map(|why| [text("linkr.reason", why.reason.label()), int("linkr.weight", why.weight)]);
        let root = Span {
            span_id: own.to_vec(),
            parent_span_id: self.asker.map_or_else(Vec::new, |asker| asker.span.to_vec()),
            flags: flags(self.asker.is_some()),
            kind: SpanKind::Server.into(),
            attributes: [code, rows, streams, left_out]
                .into_iter()
                .flatten()
                .chain(why.into_iter().flatten())
                .collect(),
            ..span(self.method, Duration::ZERO, self.took, self.failed)
        };
        let parts = self.parts.iter().map(|part| Span {
            span_id: id().to_vec(),
            parent_span_id: own.to_vec(),
            flags: flags(false),
            kind: SpanKind::Internal.into(),
            attributes: part.rows.map(|rows| int("linkr.rows", rows)).into_iter().collect(),
            ..span(part.name, part.after, part.took, part.failed)
        });
        std::iter::once(root).chain(parts).collect()
    }
}

/// Flags of a span that is sampled, by whether what is above it is in another process.
fn flags(remote: bool) -> u32 {
    let known = 1 | SpanFlags::ContextHasIsRemoteMask as u32;
    if remote { known | SpanFlags::ContextIsRemoteMask as u32 } else { known }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traces::cause::KeepReason;

    const MS: Duration = Duration::from_millis(1);

    fn ids() -> impl FnMut() -> [u8; 8] {
        let mut last = 0;
        move || {
            last += 1;
            [last; 8]
        }
    }

    #[test]
    fn a_call_and_its_parts_are_one_trace_below_whoever_asked() {
        let asker = TraceContext { trace: [7; 16], span: [3; 8], sampled: false };
        let mut call = TracedCall {
            trace: [7; 16],
            asker: Some(asker),
            state: Some("a=1".into()),
            began_unix_ns: 1_000_000_000,
            took: 9 * MS,
            method: "Fetch",
            rows: Some(2),
            ..TracedCall::default()
        };
        call.came_to("OK");
        call.has(CallPart { name: "records", after: MS, took: 2 * MS, rows: Some(2), failed: true });
        let why = KeepCause { reason: KeepReason::Edge, weight: 4 };
        let [root, part] = <[Span; 2]>::try_from(call.spans(Some(why), ids())).unwrap();
        assert_eq!((&root.trace_id, &root.parent_span_id), (&vec![7; 16], &vec![3; 8]));
        assert_eq!((&*root.name, &*root.trace_state, root.flags), ("Fetch", "a=1", 0x301));
        assert_eq!((root.kind, root.status.is_none()), (SpanKind::Server.into(), true));
        assert_eq!((root.start_time_unix_nano, root.end_time_unix_nano), (1_000_000_000, 1_009_000_000));
        for attribute in [
            text("rpc.code", "OK"),
            int("linkr.rows", 2),
            text("linkr.reason", "edge"),
            int("linkr.weight", 4),
        ] {
            assert!(root.attributes.contains(&attribute), "{attribute:?}");
        }
        assert_eq!(root.attributes.len(), 4);
        assert_eq!((&part.trace_id, &part.parent_span_id), (&root.trace_id, &root.span_id));
        assert_eq!((&*part.name, &*part.trace_state, part.flags), ("records", "a=1", 0x101));
        assert_eq!((part.kind, part.span_id == root.span_id), (SpanKind::Internal.into(), false));
        assert_eq!((part.start_time_unix_nano, part.end_time_unix_nano), (1_001_000_000, 1_003_000_000));
        assert_eq!(part.attributes, [int("linkr.rows", 2)]);
        assert_eq!(part.status.unwrap().code, i32::from(status::StatusCode::Error));
    }

    #[test]
    fn a_call_that_nobody_is_above_begins_a_trace_and_more_parts_than_are_noted_are_counted() {
        let mut call = TracedCall { streams: true, ..TracedCall::default() };
        for _ in 0..PARTS + 5 {
            call.has(CallPart { name: "list", after: MS, took: MS, rows: None, failed: false });
        }
        call.came_to("STORE_UNAVAILABLE");
        assert_eq!(call.span_count(), PARTS + 1);
        let spans = call.spans(None, ids());
        assert_eq!(spans.len(), PARTS + 1);
        let root = &spans[0];
        assert!(root.parent_span_id.is_empty() && root.flags == 0x101 && root.trace_state.is_empty());
        assert!(root.attributes.contains(&int("linkr.left_out", 5)) && root.status.is_some());
        assert!(root.attributes.contains(&truth("linkr.streams", true)));
        assert!(root.attributes.iter().all(|attribute| attribute.key != "linkr.reason"));
    }
}
