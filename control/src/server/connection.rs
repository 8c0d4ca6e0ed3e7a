//! One connection: TLS if there is any, HTTP/1.1 and HTTP/2, and how long they may be silent. What becomes of a request is
//! in `stack`.

use super::tls::{Offered, edge_of};
use crate::stack::{Peer, Stack};
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tower::ServiceExt;

/// Connections at once; more wait in the kernel's queue.
const CONNECTIONS: usize = 4_096;
/// For everything before the first request, and for each head of HTTP/1.1.
const HEAD: Duration = Duration::from_secs(15);
/// HTTP/2 pings to a quiet peer, and how long an answer may take: half-open streams would hang for ever.
const KEEPALIVE: Duration = Duration::from_secs(10);
/// After an error of accept, such as too few file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Takes connections until `stop`; then waits for those under way, at most for `grace`.
pub async fn accept(
    listener: TcpListener,
    tls: Option<Arc<Offered>>,
    stack: Stack,
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
            Ok((stream, peer)) => {
                let _ = stream.set_nodelay(true); // only slower without
                let (tls, stack, stop) = (tls.clone(), stack.clone(), stop.clone());
                connections.spawn(async move {
                    match tls {
                        Some(tls) => serve_tls(stream, peer, &tls, stack, stop).await,
                        None => serve(stream, Peer { address: peer.ip(), edge: None }, stack, stop).await,
                    }
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

async fn serve_tls(
    stream: TcpStream,
    peer: SocketAddr,
    tls: &Offered,
    stack: Stack,
    mut stop: watch::Receiver<bool>,
) {
    let shaken = tokio::select! {
        shaken = tokio::time::timeout(HEAD, tls.acceptor().accept(stream)) => shaken,
        () = stopped(&mut stop) => return,
    };
    match shaken {
        Ok(Ok(stream)) => {
            let peer = Peer { address: peer.ip(), edge: edge_of(stream.get_ref().1) };
            serve(stream, peer, stack, stop).await;
        }
        Ok(Err(error)) => tracing::debug!(%error, %peer, "a connection is not let in by TLS"),
        Err(_) => tracing::debug!(%peer, "a connection does not finish its TLS handshake"),
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    peer: Peer,
    stack: Stack,
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
        move |request: Request<Incoming>| {
            asked.store(true, Ordering::Relaxed);
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(peer.clone());
            stack.clone().oneshot(request)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::{CALL, outer};
    use axum::Router;
    use axum::routing::post;
    use std::net::IpAddr;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
    use tokio::task::JoinHandle;
    use tokio::time::Instant;

    fn served() -> (DuplexStream, JoinHandle<()>, watch::Sender<bool>) {
        let peer = Peer { address: IpAddr::from([127, 0, 0, 1]), edge: None };
        let stuck = Router::new().route("/stuck", post(std::future::pending::<()>));
        let (client, server) = tokio::io::duplex(1 << 16);
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(serve(server, peer, outer(stuck), stopped));
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
