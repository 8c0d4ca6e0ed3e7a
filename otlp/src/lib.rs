//! The way of finished spans to a receiver: OTLP over gRPC. What a span says is decided by whoever makes it. Nobody here ever
//! waits for a receiver: what it does not take in time is dropped, and counted.

#![warn(missing_docs)]

mod text;

use feed::Trouble;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans};
use prost::Message;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

pub use opentelemetry_proto::tonic::common::v1::KeyValue;
pub use opentelemetry_proto::tonic::trace::v1::{Span, SpanFlags, Status, span, status};
pub use text::{int, text, truth};

/// Bytes of spans that wait; a trace that does not fit is dropped.
const WAITING_BYTES: usize = 8 << 20;
/// Bytes of spans in one call: a receiver of gRPC takes 4 MiB unless it says something else.
const CALL_BYTES: usize = 1 << 20;
/// For so long spans are gathered for one call.
const GATHER: Duration = Duration::from_millis(200);
/// A call that takes longer is given up.
const DEADLINE: Duration = Duration::from_secs(5);
const CONNECT: Duration = Duration::from_secs(2);
/// Times that spans are sent, and the pause behind the first time; each later one is twice as long.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_secs(1);
/// An answer says how many spans were refused, and why.
const ANSWER_BYTES: usize = 64 << 10;
const HEADER_BYTES: u32 = 16 << 10;

/// What became of spans and of calls.
#[derive(Debug, Default)]
pub struct OutboxCounts {
    /// Spans that the receiver has taken.
    pub sent: AtomicU64,
    /// Spans for which there was no room.
    pub dropped: AtomicU64,
    /// Spans that the receiver refused, or did not take in any of the tries.
    pub failed: AtomicU64,
    /// Calls that were given up after their deadline.
    pub slow_calls: AtomicU64,
    /// Calls that failed otherwise.
    pub failed_calls: AtomicU64,
}

fn add(counter: &AtomicU64, count: usize) {
    counter.fetch_add(count as u64, Ordering::Relaxed);
}

/// Spans on their way.
#[derive(Debug, Default)]
pub struct Outbox {
    waiting: Mutex<WaitingSpans>,
    more: Notify,
    /// A call has ended, with or without success.
    ended: Notify,
    /// See there.
    pub counts: OutboxCounts,
    trouble: Trouble,
}

#[derive(Debug, Default)]
struct WaitingSpans {
    spans: VecDeque<Span>,
    bytes: usize,
    /// Spans of the call that is under way.
    under_way: usize,
}

impl Outbox {
    /// Takes the spans of a trace: all, or none where there is no room.
    pub fn offer(&self, spans: Vec<Span>) {
        let bytes: usize = spans.iter().map(Message::encoded_len).sum();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.bytes + bytes > WAITING_BYTES {
            add(&self.counts.dropped, spans.len());
            return;
        }
        waiting.bytes += bytes;
        waiting.spans.extend(spans);
        drop(waiting);
        self.more.notify_one();
    }

    /// As many as one call takes.
    fn take(&self) -> Vec<Span> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while let Some(span) = waiting.spans.front() {
            bytes += span.encoded_len();
            if bytes > CALL_BYTES && !taken.is_empty() {
                break;
            }
            taken.extend(waiting.spans.pop_front());
        }
        waiting.bytes -= taken.iter().map(Message::encoded_len).sum::<usize>();
        waiting.under_way = taken.len();
        taken
    }

    /// Waits until nothing is on its way any more, but no longer than this: for the end of a process, behind the last offer. What
    /// the receiver has not taken then is lost, and told.
    pub async fn settle(&self, within: Duration) {
        let settled = async {
            while self.left() > 0 {
                self.ended.notified().await; // also if it ended just before
            }
        };
        if tokio::time::timeout(within, settled).await.is_err() {
            let spans = self.left();
            tracing::warn!(
                name: "traces_lost", spans,
                "the receiver of --otlp did not take the last spans in time: they end with this process"
            );
        }
    }

    /// Spans of which nobody knows yet what becomes of them.
    fn left(&self) -> usize {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.spans.len() + waiting.under_way
    }

    /// Sends what is offered, for as long as this runs. `service`: what the receiver is told of who sends.
    pub async fn send_to(&self, endpoint: Endpoint, service: Vec<KeyValue>) {
        let endpoint = endpoint.connect_timeout(CONNECT).http2_max_header_list_size(HEADER_BYTES);
        let client = TraceServiceClient::new(endpoint.connect_lazy()).max_decoding_message_size(ANSWER_BYTES);
        let resource = Resource { attributes: service, ..Resource::default() };
        let began = Instant::now();
        loop {
            let spans = self.take();
            if spans.is_empty() {
                self.more.notified().await;
                tokio::time::sleep(GATHER).await;
            } else {
                self.deliver(&client, &resource, spans, began).await;
                self.waiting.lock().unwrap_or_else(PoisonError::into_inner).under_way = 0;
                self.ended.notify_one();
            }
        }
    }

    async fn deliver(
        &self,
        client: &TraceServiceClient<Channel>,
        resource: &Resource,
        spans: Vec<Span>,
        began: Instant,
    ) {
        let (count, mut pause) = (spans.len(), PAUSE);
        let scope = InstrumentationScope { name: "linkr".to_owned(), ..InstrumentationScope::default() };
        let scope_spans = vec![ScopeSpans { scope: Some(scope), spans, schema_url: String::new() }];
        let all = ResourceSpans { resource: Some(resource.clone()), scope_spans, schema_url: String::new() };
        let request = ExportTraceServiceRequest { resource_spans: vec![all] };
        for attempt in 1..=TRIES {
            let answer = tokio::time::timeout(DEADLINE, client.clone().export(request.clone())).await;
            let now = began.elapsed().as_millis() as u64; // 584 million years
            let code = match answer {
                Ok(Ok(answer)) => {
                    let refused = answer.into_inner().partial_success;
                    let refused =
                        refused.map_or(0, |partial| partial.rejected_spans.max(0) as usize).min(count);
                    add(&self.counts.failed, refused);
                    add(&self.counts.sent, count - refused);
                    if let Some(over) = self.trouble.over(now) {
                        let lasted_ms = over.lasted_ms;
                        tracing::info!(name: "traces_sent_again", lasted_ms, "the receiver of --otlp takes traces again");
                    }
                    return;
                }
                Ok(Err(status)) => {
                    add(&self.counts.failed_calls, 1);
                    status.code()
                }
                Err(_) => {
                    add(&self.counts.slow_calls, 1);
                    Code::DeadlineExceeded
                }
            };
            if let Some(tell) = self.trouble.met(now, code.description()) {
                let (why, lasts_ms, untold) = (code.description(), tell.lasts_ms, tell.untold);
                tracing::warn!(
                    name: "traces_not_sent", why, lasts_ms, untold,
                    "the receiver of --otlp does not take traces: they are tried again for a while and dropped then; nothing \
                     else waits for it"
                );
            }
            if !is_worth_another(code) || attempt == TRIES {
                break;
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        add(&self.counts.failed, count);
    }
}

/// Whether the same spans may be taken another time (OTLP 1.5, "Failures").
fn is_worth_another(code: Code) -> bool {
    matches!(
        code,
        Code::Cancelled
            | Code::DeadlineExceeded
            | Code::ResourceExhausted
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unavailable
            | Code::DataLoss
            | Code::Unknown // what tonic makes of a connection that ends
    )
}

#[cfg(test)]
mod tests;
