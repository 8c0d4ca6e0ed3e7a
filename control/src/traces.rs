//! Control's spans: a call, its wait for the writer, its statements and its commit; which traces are kept is known when the call
//! has ended. Nothing here is done without a receiver.

mod cause;
mod held;
mod slowness;
mod span;
mod traced;

pub use held::CallTrace;
pub(crate) use span::{CallSpan, PartSpan};

use cause::KeepReason;
use exposition::{Families, TraceContext};
use held::{HeldTraces, KeptCalls};
use otlp::{Outbox, text};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tonic::transport::Endpoint;
use traced::TracedCall;

/// At a stop, for the last spans to be taken.
const LAST_SPANS: Duration = Duration::from_millis(500);

/// Kept and held traces of this process, and their way to the receiver.
#[derive(Clone, Debug)]
pub struct Traces(Arc<TracesState>);

#[derive(Debug)]
struct TracesState {
    held: Mutex<HeldTraces>,
    outbox: Outbox,
    endpoint: Endpoint,
    began: Instant,
    /// What ids are drawn from.
    random: AtomicU64,
}

impl Traces {
    /// Traces for a receiver, as `http://host:port` or `https://…`.
    ///
    /// # Errors
    /// Why it is none, in one line.
    pub fn to(url: &str) -> Result<Self, String> {
        let endpoint = proto::client::Access::default().endpoint(url)?;
        let (held, outbox) = Default::default();
        let (began, random) = (Instant::now(), AtomicU64::new(store::random::u64()));
        Ok(Self(Arc::new(TracesState { held, outbox, endpoint, began, random })))
    }

    /// The span of a call that begins now, in the trace `context` that its caller says it belongs to, or in one of its own.
    /// `state`: what the caller passes on with it.
    pub(crate) fn call(&self, context: Option<TraceContext>, state: Option<&str>) -> CallSpan {
        let trace = context.map_or_else(|| self.trace_id(), |context| context.trace);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let call = TracedCall {
            trace,
            asker: context,
            state: state.filter(|_| context.is_some()).map(Box::from),
            began_unix_ns: now.as_nanos() as u64, // until the year 2554
            ..TracedCall::default()
        };
        CallSpan::begin(self.clone(), call)
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
            let kept = self.held().take(id, self.now());
            self.offer(kept);
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

    /// A call has ended.
    fn ended(&self, call: TracedCall) {
        let kept = self.held().ended(call, self.now());
        self.offer(kept);
    }

    fn offer(&self, kept: Option<KeptCalls>) {
        let Some(KeptCalls { calls, why }) = kept else { return };
        let id = || self.draw().to_be_bytes();
        self.0.outbox.offer(calls.into_iter().flat_map(|call| call.spans(why, id)).collect());
    }

    fn trace_id(&self) -> [u8; 16] {
        (u128::from(self.draw()) << 64 | u128::from(self.draw())).to_be_bytes()
    }

    /// SplitMix64 (Steele, Lea, Flood 2014), without its zero. Nobody has to be unable to guess an id.
    fn draw(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let state = self.0.random.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31).max(1)
    }
}
