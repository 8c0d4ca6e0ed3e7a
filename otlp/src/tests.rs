//! A receiver that takes, refuses, is away, hangs, or answers what no receiver does.

use super::*;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status as Refusal};

/// Long enough for a slow machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Answers calls in this order, the last of them for good.
struct Receiver {
    answers: Vec<Result<i64, Code>>,
    calls: AtomicUsize,
    taken: Mutex<Vec<Span>>,
}

struct Shared(Arc<Receiver>);

#[tonic::async_trait]
impl TraceService for Shared {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Refusal> {
        let at = self.0.calls.fetch_add(1, Ordering::Relaxed).min(self.0.answers.len() - 1);
        let rejected_spans = self.0.answers[at].map_err(|code| Refusal::new(code, "as it was told to"))?;
        let all = request.into_inner().resource_spans;
        let spans = all.into_iter().flat_map(|of| of.scope_spans).flat_map(|of| of.spans);
        self.0.taken.lock().unwrap().extend(spans);
        let partial = ExportTracePartialSuccess { rejected_spans, error_message: String::new() };
        Ok(Response::new(ExportTraceServiceResponse { partial_success: Some(partial) }))
    }
}

fn span(number: u8, bytes: usize) -> Span {
    Span { span_id: vec![number; 8], name: "x".repeat(bytes), ..Span::default() }
}

fn counted(outbox: &Outbox) -> [u64; 5] {
    let OutboxCounts { sent, dropped, failed, slow_calls, failed_calls } = &outbox.counts;
    [sent, dropped, failed, slow_calls, failed_calls].map(|count| count.load(Ordering::Relaxed))
}

/// An outbox that sends to a listener.
async fn sending() -> (Arc<Outbox>, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint::from_shared(format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let outbox = Arc::new(Outbox::default());
    let sender = Arc::clone(&outbox);
    tokio::spawn(async move { sender.send_to(endpoint, vec![text("service.name", "test")]).await });
    (outbox, listener)
}

fn serve(listener: TcpListener, answers: Vec<Result<i64, Code>>) -> Arc<Receiver> {
    let receiver = Arc::new(Receiver { answers, calls: AtomicUsize::default(), taken: Mutex::default() });
    let server = Server::builder().add_service(TraceServiceServer::new(Shared(Arc::clone(&receiver))));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    receiver
}

async fn until(mut condition: impl FnMut() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("it never came");
}

#[tokio::test]
async fn spans_come_in_their_order_and_what_is_refused_is_counted() {
    let (outbox, listener) = sending().await;
    let receiver = serve(listener, vec![Ok(0), Ok(1)]);
    outbox.offer(vec![span(1, 1), span(2, 1)]);
    until(|| counted(&outbox) == [2, 0, 0, 0, 0]).await;
    outbox.offer(vec![span(3, 1), span(4, 1)]);
    until(|| counted(&outbox) == [3, 0, 1, 0, 0]).await;
    let ids: Vec<u8> = receiver.taken.lock().unwrap().iter().map(|span| span.span_id[0]).collect();
    assert_eq!(ids, [1, 2, 3, 4]);
}

#[tokio::test]
async fn what_fails_for_a_while_is_sent_again_and_what_is_refused_for_good_is_not() {
    let (outbox, listener) = sending().await;
    let receiver = serve(listener, vec![Err(Code::Unavailable), Ok(0), Err(Code::InvalidArgument)]);
    outbox.offer(vec![span(1, 1)]);
    until(|| counted(&outbox) == [1, 0, 0, 0, 1]).await;
    outbox.offer(vec![span(2, 1)]);
    until(|| counted(&outbox) == [1, 0, 1, 0, 2]).await;
    assert_eq!(receiver.calls.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn what_waits_is_bounded_and_goes_in_calls_that_a_receiver_takes() {
    let (outbox, listener) = sending().await;
    drop(listener); // it is away
    let kib = |number| span(number, 1_000 << 10);
    (0..12).for_each(|number| outbox.offer(vec![kib(number)]));
    assert!((3..=4).contains(&counted(&outbox)[1]), "{:?}", counted(&outbox));
    until(|| counted(&outbox)[4] > 0).await;
    let taken = Outbox::default();
    taken.offer((0..3).map(kib).collect());
    assert_eq!(
        (taken.take().len(), taken.take().len(), taken.take().len(), taken.take().len()),
        (1, 1, 1, 0)
    );
    assert_eq!(taken.waiting.lock().unwrap().bytes, 0);
}

#[tokio::test(start_paused = true)]
async fn one_that_hangs_costs_counters_alone() {
    let (outbox, listener) = sending().await;
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream); // and says nothing
        }
    });
    outbox.offer(vec![span(1, 1)]);
    until(|| counted(&outbox)[2] == 1).await;
    let [sent, dropped, failed, slow, other] = counted(&outbox);
    assert_eq!((sent, dropped, failed, slow + other), (0, 0, 1, u64::from(TRIES)));
}

#[tokio::test(start_paused = true)]
async fn one_that_answers_rubbish_costs_counters_alone() {
    let (outbox, listener) = sending().await;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 64]).await;
            let _ = stream.write_all(&[0xff; 1 << 16]).await;
        }
    });
    outbox.offer(vec![span(1, 1)]);
    until(|| counted(&outbox)[2] == 1).await;
    assert_eq!(counted(&outbox)[..2], [0, 0]);
}

#[tokio::test]
async fn the_end_of_a_process_waits_for_its_last_spans() {
    let (outbox, listener) = sending().await;
    let receiver = serve(listener, vec![Ok(0)]);
    outbox.settle(Duration::ZERO).await; // nothing is on its way
    outbox.offer(vec![span(1, 1), span(2, 1)]);
    outbox.settle(PATIENCE).await;
    assert_eq!(receiver.taken.lock().unwrap().len(), 2);
    assert_eq!((counted(&outbox), outbox.left()), ([2, 0, 0, 0, 0], 0));
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_is_away_keeps_no_process_from_its_end() {
    let (outbox, listener) = sending().await;
    drop(listener);
    outbox.offer(vec![span(1, 1)]);
    let began = tokio::time::Instant::now();
    outbox.settle(Duration::from_secs(1)).await;
    assert_eq!((began.elapsed().as_secs(), outbox.left()), (1, 1));
}
