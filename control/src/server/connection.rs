//! One connection: HTTP/1.1 and HTTP/2 without TLS, deadlines, request ids, and which half of the API a request
//! belongs to. No call is known by name here.

use crate::Caller;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Request, Response, StatusCode, Version, header};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tonic::Status;
use tower::ServiceExt;

/// Connections at once; more wait in the kernel's queue.
const CONNECTIONS: usize = 4_096;
/// For everything before the first request, and for each head of HTTP/1.1.
const HEAD: Duration = Duration::from_secs(15);
/// A call, its body included; of a call that streams, the time until its stream begins.
const CALL: Duration = Duration::from_secs(30);
/// HTTP/2 pings to a quiet peer, and how long an answer may take: half-open streams would hang for ever.
const KEEPALIVE: Duration = Duration::from_secs(10);
/// After an error of accept, such as too few file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Both halves of the API.
#[derive(Clone)]
pub struct Entrance {
    grpc: Router,
    rest: Router,
}

/// Takes connections until `stop`; then waits for those under way, at most for `grace`.
pub async fn accept(
    listener: TcpListener,
    entrance: Entrance,
    mut stop: watch::Receiver<bool>,
    grace: Duration,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { break };
        let taken = tokio::select! {
            taken = listener.accept() => taken,
            () = stopped(&mut stop) => break,
        };
        match taken {
            Ok((stream, _)) => {
                let _ = stream.set_nodelay(true); // only slower without
                let (entrance, stop) = (entrance.clone(), stop.clone());
                connections.spawn(async move {
                    serve(stream, entrance, stop).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot take a connection now");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(grace, ended).await.is_err() {
        tracing::warn!("calls that were still under way are cut off");
        connections.shutdown().await;
    }
}

/// Waits until control stops, or until nobody is left who could say so.
pub async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|&stop| stop).await;
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    entrance: Entrance,
    mut stop: watch::Receiver<bool>,
) {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE)
        .initial_stream_window_size(1024 * 1024)
        .initial_connection_window_size(4 * 1024 * 1024);
    let asked = Arc::new(AtomicBool::new(false));
    let service = service_fn({
        let asked = asked.clone();
        move |request| {
            asked.store(true, Ordering::Relaxed);
            let entrance = entrance.clone();
            async move { Ok::<_, Infallible>(entrance.answer(request).await) }
        }
    });
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    // hyper times heads, but neither the bytes that tell HTTP/1.1 from HTTP/2 nor the first stream of HTTP/2.
    let silent = async {
        tokio::time::sleep(HEAD).await;
        if asked.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    };
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopped(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
        () = silent => {
            // Politely: a request that is on its way now is still answered.
            connection.as_mut().graceful_shutdown();
            let leaving = async {
                tokio::time::sleep(KEEPALIVE).await;
                if asked.load(Ordering::Relaxed) {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                ended = connection.as_mut() => ended,
                () = leaving => Err("nothing was asked".into()),
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error, "a connection broke");
    }
}

impl Entrance {
    /// The API in two halves.
    pub fn new(grpc: Router, rest: Router) -> Self {
        Self { grpc, rest }
    }

    async fn answer(self, request: Request<Incoming>) -> Response<Body> {
        let id = request_id(request.headers().get(REQUEST_ID));
        let kind = request.headers().get(header::CONTENT_TYPE);
        let is_grpc = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Caller::anyone(id.to_str().unwrap_or_default()));
        let mut response = if is_grpc && request.version() < Version::HTTP_2 {
            let mut response = Response::new(Body::from("gRPC needs HTTP/2\n"));
            *response.status_mut() = StatusCode::HTTP_VERSION_NOT_SUPPORTED;
            response
        } else if is_grpc {
            // Calls that stream answer at once and go on behind it.
            match tokio::time::timeout(CALL, self.grpc.oneshot(request)).await {
                Ok(response) => into_response(response),
                Err(_) => {
                    let why = "the call did not end within 30 s; a write may still happen";
                    Status::deadline_exceeded(why).into_http()
                }
            }
        } else {
            match tokio::time::timeout(CALL, self.rest.oneshot(request)).await {
                Ok(response) => into_response(response),
                Err(_) => crate::transport::rest::problem(&too_slow()),
            }
        };
        response.headers_mut().insert(REQUEST_ID, id);
        response
    }
}

fn too_slow() -> crate::Fault {
    let why = "the call did not end within 30 s; a write may still happen".to_owned();
    crate::port::StoreFault::Unavailable(why).into()
}

fn into_response(response: Result<Response<Body>, Infallible>) -> Response<Body> {
    response.unwrap_or_else(|never| match never {})
}

/// The caller's id if it is a legal one, else one of ours.
fn request_id(given: Option<&HeaderValue>) -> HeaderValue {
    let legal = |id: &&HeaderValue| {
        let good = |b: &u8| b.is_ascii_alphanumeric() || b"._-".contains(b);
        (1..=64).contains(&id.len()) && id.as_bytes().iter().all(good)
    };
    given.filter(legal).cloned().unwrap_or_else(|| {
        let own = format!("{:016x}", crate::random::u64());
        HeaderValue::from_str(&own).unwrap_or_else(|_| HeaderValue::from_static("-"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::post;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
    use tokio::task::JoinHandle;
    use tokio::time::Instant;

    fn served() -> (DuplexStream, JoinHandle<()>, watch::Sender<bool>) {
        let stuck = || Router::new().route("/stuck", post(std::future::pending::<()>));
        let (client, server) = tokio::io::duplex(1 << 16);
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(serve(server, Entrance::new(stuck(), stuck()), stopped));
        (client, task, stop)
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_asks_nothing_is_let_go() {
        let mut settings = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        settings.extend([0, 0, 0, 4, 0, 0, 0, 0, 0]);
        for start in [&b""[..], b"P", b"PRI", &settings[..24], &settings, b"GET / HTTP/1.1\r\nhost:"] {
            let (mut client, task, _stop) = served();
            client.write_all(start).await.unwrap();
            let began = Instant::now();
            tokio::time::timeout(HEAD * 9, task).await.expect("it ends").unwrap();
            assert!(began.elapsed() <= HEAD + KEEPALIVE, "{start:?}: {:?}", began.elapsed());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_grpc_call_over_http1_is_refused_without_its_body() {
        let (mut client, task, _stop) = served();
        let head =
            "POST /stuck HTTP/1.1\r\nhost: a\r\ncontent-type: application/grpc\r\ncontent-length: 9\r\n\r\n";
        client.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 505 "), "{answer}");
        task.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_unary_grpc_call_that_does_not_end_is_ended() {
        let (client, _task, _stop) = served();
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(client)).await.unwrap();
        tokio::spawn(connection);
        let request = Request::post("http://a/stuck").header("content-type", "application/grpc");
        let began = Instant::now();
        let answer = sender.send_request(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(answer.headers()["grpc-status"], "4");
        assert!(began.elapsed() >= CALL && began.elapsed() < CALL * 2, "{:?}", began.elapsed());
    }
}
