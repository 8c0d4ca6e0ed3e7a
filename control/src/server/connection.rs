//! One connection: HTTP/1.1 and HTTP/2 without TLS, deadlines, request ids, and which half of the API a request
//! belongs to. No call is known by name here.

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Request, Response, header};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tower::ServiceExt;

/// Connections at once; more wait in the kernel's queue.
const CONNECTIONS: usize = 4_096;
/// For the first byte, and for each head of HTTP/1.1.
const HEAD: Duration = Duration::from_secs(15);
/// A REST call, its body included.
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

async fn serve(stream: TcpStream, entrance: Entrance, mut stop: watch::Receiver<bool>) {
    let _ = stream.set_nodelay(true); // only slower without
    // Before the first byte nobody has timed anything yet.
    let first = tokio::select! {
        first = tokio::time::timeout(HEAD, stream.readable()) => first,
        () = stopped(&mut stop) => return,
    };
    if !matches!(first, Ok(Ok(()))) {
        return;
    }
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE)
        .initial_stream_window_size(1024 * 1024)
        .initial_connection_window_size(4 * 1024 * 1024);
    let service = service_fn(move |request| {
        let entrance = entrance.clone();
        async move { Ok::<_, Infallible>(entrance.answer(request).await) }
    });
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopped(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
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
        let request = request.map(Body::new);
        let mut response = if is_grpc {
            into_response(self.grpc.oneshot(request).await)
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
