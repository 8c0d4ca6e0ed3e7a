//! Control's spans: a call, its wait for the writer, its statements and its commit; which traces are kept is known when the call
//! has ended. Nothing here is done without a receiver.

mod held;
mod slowness;

pub use held::CallTrace;

use exposition::{Families, TraceContext};
use held::{HeldTraces, KeepReason, Verdict};
use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState, TracerProvider,
};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    Sampler, SdkTracer, SdkTracerProvider, Span as SdkSpan, SpanData, SpanProcessor,
};
use otlp::{Outbox, int, text};
use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tonic::transport::Endpoint;
use tracing::Span;
use tracing::field::Empty;
use tracing::span::EnteredSpan;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;

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

/// At a stop, for the last spans to be taken.
const LAST_SPANS: Duration = Duration::from_millis(500);

/// Whether a layer takes spans: then, and only then, they are made.
static ON: AtomicBool = AtomicBool::new(false);

/// Kept and held traces of this process, and their way to the receiver.
#[derive(Clone, Debug)]
pub struct Traces(Arc<TracesState>);

#[derive(Debug)]
struct TracesState {
    held: Mutex<HeldTraces>,
    outbox: Outbox,
    endpoint: Endpoint,
    began: Instant,
}

impl Traces {
    /// Traces for a receiver, as `http://host:port` or `https://…`.
    ///
    /// # Errors
    /// Why it is none, in one line.
    pub fn to(url: &str) -> Result<Self, String> {
        let endpoint = proto::client::Access::default().endpoint(url)?;
        let (held, outbox) = Default::default();
        Ok(Self(Arc::new(TracesState { held, outbox, endpoint, began: Instant::now() })))
    }

    /// What takes the spans. From here on they are made.
    pub fn layer<S>(&self) -> impl Layer<S> + Send + Sync + use<S>
    where
        S: tracing::Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    {
        // Whoever asks may say that it keeps nothing of its own: whether we do is known at the end.
        let provider = SdkTracerProvider::builder()
            .with_sampler(Sampler::AlwaysOn)
            .with_span_processor(Processor(self.clone()))
            .build();
        let tracer: SdkTracer = provider.tracer("linkr");
        ON.store(true, Ordering::Release);
        tracing_opentelemetry::layer()
            .with_tracer(tracer)
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_level(false)
            .with_target(false)
            .with_context_activation(false) // nothing here asks for the current one but through its span
            .with_filter(filter_fn(|metadata| metadata.is_span() && metadata.target() == module_path!()))
    }

    /// Sends what is kept, for as long as this runs.
    pub(crate) async fn send(self) {
        let service = vec![
            text("service.name", "linkr-control"),
            text("service.version", env!("CARGO_PKG_VERSION")),
            text("service.instance.id", format!("{:016x}", store::random::u64())),
        ];
        self.0.outbox.send_to(self.0.endpoint.clone(), service).await;
    }

    /// At a stop, behind the last call: what is kept goes to the receiver, if it takes it soon.
    pub(crate) async fn settle(&self) {
        self.0.outbox.settle(LAST_SPANS).await;
    }

    /// An edge has kept these traces.
    pub(crate) fn kept_by_edge<'a>(&self, ids: impl IntoIterator<Item = &'a [u8]>) {
        for id in ids {
            let Ok(id) = <[u8; 16]>::try_from(id) else { continue };
            let spans = self.held().take(TraceId::from_bytes(id), self.now());
            self.offer(spans, Some((KeepReason::Edge, 1)));
        }
    }

    /// The last calls that were kept, the oldest first.
    pub fn calls(&self) -> Vec<CallTrace> {
        self.held().calls().cloned().collect()
    }

    /// What is counted of traces.
    pub(crate) fn encode(&self, families: &mut Families<'_>) -> fmt::Result {
        let kept = KeepReason::ALL.map(|reason| (reason.label(), self.held().kept(reason)));
        let passed_over = KeepReason::ALL.map(|reason| (reason.label(), self.held().passed_over(reason)));
        for (name, help, counts) in [
            ("linkr_control_traces_kept_total", "Calls that were kept as traces, by why.", kept),
            (
                "linkr_control_traces_passed_over_total",
                "Calls that were not kept as traces, though there was a reason: too many had been just before.",
                passed_over,
            ),
        ] {
            families.counters(name, help, |series| {
                counts.iter().try_for_each(|(reason, count)| series(&[("reason", reason)], *count))
            })?;
        }
        let counts = &self.0.outbox.counts;
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let help = "Spans for the receiver of --otlp by what became of them.";
        families.counters("linkr_control_otlp_spans_total", help, |series| {
            series(&[("outcome", "sent")], load(&counts.sent))?;
            series(&[("outcome", "dropped")], load(&counts.dropped))?;
            series(&[("outcome", "failed")], load(&counts.failed))
        })?;
        let help = "Calls of the receiver of --otlp that came to nothing: slow ones were given up after 5 s.";
        families.counters("linkr_control_otlp_failures_total", help, |series| {
            series(&[("outcome", "slow")], load(&counts.slow_calls))?;
            series(&[("outcome", "failed")], load(&counts.failed_calls))
        })
    }

    fn held(&self) -> std::sync::MutexGuard<'_, HeldTraces> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
        self.0.began.elapsed()
    }

    fn offer(&self, spans: Vec<SpanData>, kept: Option<(KeepReason, u64)>) {
        let spans = spans.into_iter().map(|data| {
            let is_root = held::is_root(&data);
            let mut span = otlp::Span::from(data);
            if let (Some((reason, weight)), true) = (kept, is_root) {
                span.attributes.extend([text("linkr.reason", reason.label()), int("linkr.weight", weight)]);
            }
            span
        });
        let spans: Vec<otlp::Span> = spans.collect();
        if !spans.is_empty() {
            self.0.outbox.offer(spans);
        }
    }
}

/// Takes spans when they have ended.
#[derive(Debug)]
struct Processor(Traces);

impl SpanProcessor for Processor {
    fn on_start(&self, _: &mut SdkSpan, _: &opentelemetry::Context) {}

    fn on_end(&self, span: SpanData) {
        let verdict = self.0.held().ended(span, self.0.now());
        match verdict {
            Verdict::Wait => {}
            Verdict::Keep { spans, reason, weight } => self.0.offer(spans, Some((reason, weight))),
            Verdict::Late(span) => self.0.offer(vec![*span], None),
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

fn is_on() -> bool {
    ON.load(Ordering::Relaxed)
}

/// The span of a call, in the trace that its caller says it belongs to.
pub(crate) fn call(context: Option<TraceContext>, state: Option<&str>) -> Span {
    if !is_on() {
        return Span::none();
    }
    let span = tracing::error_span!(
        "call",
        otel.kind = "server",
        otel.status_code = Empty,
        rpc.code = Empty,
        linkr.asked = Empty,
        linkr.streams = Empty,
        linkr.rows = Empty
    );
    if let Some(TraceContext { trace, span: asker, sampled }) = context {
        let state = state.and_then(|state| TraceState::from_str(state).ok()).unwrap_or_default();
        if sampled {
            span.record(held::ASKED, true); // the flag of the span itself says what our sampler says
        }
        let flags = if sampled { TraceFlags::SAMPLED } else { TraceFlags::default() };
        let asker =
            SpanContext::new(TraceId::from_bytes(trace), SpanId::from_bytes(asker), flags, true, state);
        let parent = opentelemetry::Context::new().with_remote_span_context(asker);
        let _ = span.set_parent(parent); // it has not begun
    }
    span
}

/// The id of the trace that a span belongs to; `None`: there are none.
pub(crate) fn trace_id(span: &Span) -> Option<String> {
    let context = (!span.is_none()).then(|| span.context())?;
    let id = context.span().span_context().trace_id();
    (id != TraceId::INVALID).then(|| id.to_string())
}

/// The call of this task is this method.
pub(crate) fn named(method: &'static str) {
    if is_on() {
        // A field of this name counts only until a span is entered.
        Span::current().context().span().update_name(method);
    }
}

/// What a call came to.
pub(crate) fn came_to(span: &Span, code: &'static str) {
    if is_on() {
        span.record(held::CODE, code);
        if FAILURES.contains(&code) {
            span.record("otel.status_code", "ERROR");
        }
    }
}

/// The call goes on behind its answer: that it takes long says nothing.
pub(crate) fn streams(span: &Span) {
    if is_on() {
        span.record(held::STREAMS, true);
    }
}

/// A part of what is under way on this thread or in this task.
pub(crate) fn part(name: &'static str) -> Span {
    part_of(&Span::current(), name)
}

/// A part of another span.
pub(crate) fn part_of(whole: &Span, name: &'static str) -> Span {
    if !is_on() || whole.is_none() {
        return Span::none();
    }
    tracing::error_span!(parent: whole, "part", otel.name = name, otel.status_code = Empty, linkr.rows = Empty)
}

/// A statement of the store, until it is dropped.
pub(crate) fn statement(name: &'static str) -> StatementSpan {
    StatementSpan(part(name).entered())
}

/// A statement under way on this thread.
pub(crate) struct StatementSpan(EnteredSpan);

impl StatementSpan {
    /// It failed.
    pub fn failed(&self) {
        failed(&self.0);
    }
}

/// What a span stands for failed.
pub(crate) fn failed(span: &Span) {
    span.record("otel.status_code", "ERROR");
}

/// So many rows were read or written.
pub(crate) fn rows(span: &Span, count: u64) {
    if is_on() {
        span.record("linkr.rows", count);
    }
}
