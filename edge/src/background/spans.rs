//! Kept traces as spans of OTLP, and their way to a receiver.

use crate::shared::Shared;
use crate::traces::{Hop, KeptTrace, TraceIds, TurnEvent};
use hot::Outcome;
use otlp::span::{Event, Link, SpanKind};
use otlp::{KeyValue, Outbox, Span, Status, int, status, text};
use std::sync::Arc;
use std::time::Duration;
use tonic::transport::Endpoint;

/// How often it is looked whether a trace was kept.
const LOOK: Duration = Duration::from_millis(100);
/// Traces that are made into spans at a stretch: each takes some hundred microseconds.
const AT_ONCE: usize = 4;
/// At a stop, for the last spans to be taken.
const LAST_SPANS: Duration = Duration::from_millis(500);

/// Hands over what is kept, for as long as this runs. `name`: of this edge.
pub async fn hand_over(shared: Arc<Shared>, endpoint: Endpoint, name: String) {
    shared.traces.begin_sending();
    let service = vec![
        text("service.name", "linkr-edge"),
        text("service.version", env!("CARGO_PKG_VERSION")),
        text("service.instance.id", name),
    ];
    let sender = Arc::clone(&shared);
    tokio::spawn(async move { sender.outbox.send_to(endpoint, service).await });
    loop {
        let traces = shared.traces.to_send(AT_ONCE);
        if traces.is_empty() {
            tokio::time::sleep(LOOK).await;
        }
        offer(&shared.outbox, &traces);
        tokio::task::yield_now().await; // to what follows the log
    }
}

/// Hands over what is left, once no worker keeps any more.
pub async fn hand_over_last(shared: &Shared) {
    offer(&shared.outbox, &shared.traces.to_send(usize::MAX));
    shared.outbox.settle(LAST_SPANS).await;
}

fn offer(outbox: &Outbox, traces: &[Arc<KeptTrace>]) {
    traces.iter().for_each(|trace| outbox.offer(spans(trace)));
}

/// The turn, and below it whom it asked.
fn spans(trace: &KeptTrace) -> Vec<Span> {
    let hops = trace.hops.iter().map(|hop| of_hop(trace, hop));
    std::iter::once(of_turn(trace)).chain(hops).collect()
}

fn of_turn(trace: &KeptTrace) -> Span {
    let KeptTrace { request, ids, .. } = trace;
    let mut attributes = vec![
        text("linkr.outcome", trace.outcome()),
        text("linkr.reason", trace.reason.label()),
        text("linkr.cause", trace.cause.label()),
        int("linkr.weight", trace.weight),
        int("linkr.worker", trace.worker),
        int("linkr.answers", trace.answers),
    ];
    if !request.method.is_empty() {
        attributes.extend([
            text("http.request.method", request.method),
            text("server.address", &*request.host),
            text("url.path", &*request.path),
        ]);
    }
    if request.status != 0 {
        attributes.push(int("http.response.status_code", request.status));
    }
    let name = if request.method.is_empty() { "HTTP" } else { request.method };
    Span {
        trace_state: trace.state.clone().unwrap_or_default(),
        parent_span_id: trace.parent.map_or_else(Vec::new, |parent| parent.to_vec()),
        attributes,
        events: trace.before.iter().map(of_event).collect(),
        dropped_events_count: trace.left_out.try_into().unwrap_or(u32::MAX),
        status: (request.status >= 500).then(failed),
        ..span(*ids, name, SpanKind::Server, trace.began_unix_ns, trace.ns)
    }
}

fn of_hop(trace: &KeptTrace, hop: &Hop) -> Span {
    let name = match hop.tier {
        hot::Source::Redis => "redis MGET",
        hot::Source::Origin => "linkr.v1.Feed/Fetch",
    };
    let link = |joined: TraceIds| Link {
        trace_id: joined.trace.to_vec(),
        span_id: joined.span.to_vec(),
        ..Link::default()
    };
    let ids = TraceIds { trace: trace.ids.trace, span: hop.span };
    Span {
        trace_state: trace.state.clone().unwrap_or_default(),
        parent_span_id: trace.ids.span.to_vec(),
        attributes: vec![text("linkr.outcome", hop.outcome)],
        links: hop.joined.map(link).into_iter().collect(),
        status: (hop.outcome == Hop::SILENT).then(failed),
        ..span(ids, name, SpanKind::Client, hop.began_unix_ns, hop.ns)
    }
}

/// When it ended: then the worker was free again.
fn of_event(event: &TurnEvent) -> Event {
    let outcomes: Vec<&str> = event.marks.outcomes().map(Outcome::label).collect();
    let took: KeyValue = int("linkr.took_us", event.ns / 1_000);
    Event {
        time_unix_nano: event.began_unix_ns + event.ns,
        name: event.name().to_owned(),
        attributes: if outcomes.is_empty() {
            vec![took]
        } else {
            vec![took, text("linkr.outcomes", outcomes.join(","))]
        },
        ..Event::default()
    }
}

fn span(ids: TraceIds, name: &str, kind: SpanKind, began_unix_ns: u64, ns: u64) -> Span {
    Span {
        trace_id: ids.trace.to_vec(),
        span_id: ids.span.to_vec(),
        flags: 1, // sampled
        name: name.to_owned(),
        kind: kind.into(),
        start_time_unix_nano: began_unix_ns,
        end_time_unix_nano: began_unix_ns + ns,
        ..Span::default()
    }
}

fn failed() -> Status {
    Status { code: status::StatusCode::Error.into(), message: String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traces::SeenRequest;
    use hot::{Source, TurnMarks};

    #[test]
    fn a_turn_its_hops_and_what_came_before_are_one_trace() {
        let marks = TurnMarks::of(Outcome::Unavailable).and(TurnMarks::of(Outcome::Redirect));
        let joined = Some(TraceIds { trace: [5; 16], span: [6; 8] });
        let hop = |tier, span, outcome, joined| Hop {
            tier,
            span: [span; 8],
            began_unix_ns: 1_001,
            ns: 7,
            outcome,
            joined,
        };
        let trace = KeptTrace {
            parent: Some([3; 8]),
            state: Some("a=1".into()),
            weight: 4,
            marks,
            request: SeenRequest { status: 503, ..KeptTrace::example().request },
            hops: vec![hop(Source::Redis, 1, Hop::SILENT, None), hop(Source::Origin, 2, "answered", joined)],
            before: vec![TurnEvent { began_unix_ns: 10, ns: 5_000, marks: TurnMarks::LATE }],
            left_out: 9,
            ..KeptTrace::example()
        };
        let [turn, redis, control] = <[Span; 3]>::try_from(spans(&trace)).unwrap();
        assert_eq!((&turn.trace_id, &turn.parent_span_id), (&vec![7; 16], &vec![3; 8]));
        assert_eq!((turn.end_time_unix_nano, &*turn.trace_state), (1_005_000_000, "a=1"));
        assert!(turn.attributes.contains(&text("linkr.outcome", "unavailable")));
        assert!(turn.attributes.contains(&int("linkr.weight", 4)) && turn.status.is_some());
        assert_eq!((&*turn.events[0].name, turn.events[0].time_unix_nano), ("worker_late", 5_010));
        assert_eq!(turn.dropped_events_count, 9);
        for (span, id) in [(&redis, 1), (&control, 2)] {
            assert_eq!((&span.trace_id, &span.span_id), (&turn.trace_id, &vec![id; 8]));
            assert_eq!(span.parent_span_id, turn.span_id);
        }
        assert!(redis.status.is_some() && redis.links.is_empty());
        assert!(control.status.is_none() && control.links[0].trace_id == [5; 16]);
    }

    #[test]
    fn one_whose_head_could_not_be_read_says_so_little() {
        let request = SeenRequest { status: 400, ..SeenRequest::default() };
        let turn = of_turn(&KeptTrace { request, ..KeptTrace::example() });
        assert_eq!(turn.name, "HTTP");
        assert!(turn.attributes.iter().all(|attribute| !attribute.key.starts_with("url")));
        assert!(turn.attributes.contains(&int("http.response.status_code", 400)));
    }
}
