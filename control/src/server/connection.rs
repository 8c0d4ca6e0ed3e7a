//! One connection: TLS if there is any, HTTP/1.1 and HTTP/2, and how long they may be silent. What becomes of a request is
//! in `stack`.

use super::tls::{ServedTls, edge_of};
use crate::clock;
use crate::places::{ConnectionPlace, ConnectionPlaces};
use crate::stack::{Peer, Stack};
use axum::body::Body;
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, Request, Version};
use feed::Spell;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tower::ServiceExt;

/// For everything before the first call that is let in, and for each head of HTTP/1.1.
const HEAD: Duration = Duration::from_secs(15);
/// HTTP/2 pings to a quiet peer, and how long an answer may take: half-open streams would hang for ever.
const KEEPALIVE: Duration = Duration::from_secs(10);
/// After an error of accept, such as too few file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// When control stops, for handshakes that have begun.
const LAST_HANDSHAKES: Duration = Duration::from_millis(200);

/// When control stops, for whoever was just let in and has not asked yet.
const FIRST_REQUEST: Duration = Duration::from_secs(1);

/// When the time is over, for those that are closed then and for what is being answered.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The same when another process goes on at the listeners: whoever comes waits for it meanwhile.
const LEAVING_WORDS: Duration = Duration::from_millis(250);

/// How far the end of this control has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShutdownPhase {
    /// It has not begun.
    NotYet,
    /// Whoever asks is answered, and told to connect elsewhere.
    Draining,
    /// Calls that are under way have until then, and so has whoever may still ask over HTTP/1.
    By(Instant),
    /// The same, and another process goes on at the listeners: they are left as they are, with whoever is in their queues.
    Left(Instant),
}

/// What a connection was used for, the most telling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
enum ConnectionUse {
    Nothing,
    Http1,
    Http2,
    /// By an edge, whose stream would have to begin again: it stays until control stops.
    Feed,
}

/// Where connections are taken.
pub struct OwnListener {
    pub listener: TcpListener,
    /// By somebody who holds it, too: it is left as it is, with whoever is in its queue.
    pub given: bool,
}

/// Held by each connection that was taken before a drain, but those of edges: when all are gone, whoever was told to connect
/// anew has.
pub type EarlyConnection = mpsc::Sender<Infallible>;

/// Takes connections until it stops; then waits for those under way.
pub async fn accept(
    OwnListener { listener, given }: OwnListener,
    tls: Option<Arc<ServedTls>>,
    stack: Stack,
    floor: Arc<ConnectionPlaces>,
    mut ending: watch::Receiver<ShutdownPhase>,
    early: EarlyConnection,
) {
    let (mut connections, mut last, mut trouble) = (JoinSet::new(), None, Spell::default());
    let (mut early, mut drain) = (Some(early), ending.clone());
    loop {
        floor.settled().await;
        let taken = tokio::select! {
            taken = listener.accept() => taken,
            () = draining(&mut drain), if early.is_some() => {
                early = None;
                continue;
            }
            _ = stopped(&mut ending) => {
                if given || matches!(*ending.borrow(), ShutdownPhase::Left(_)) {
                    break;
                }
                let last = *last.get_or_insert_with(|| last_handshake(&listener));
                // Tried once more behind that moment: it ends with an empty queue.
                match tokio::time::timeout_at(last, listener.accept()).await {
                    Ok(taken) => taken,
                    Err(_) => break,
                }
            }
        };
        match taken {
            Ok((stream, peer)) => {
                if let Some(over) = trouble.over(clock::ms()) {
                    let lasted_ms = over.lasted_ms;
                    tracing::info!(name: "accepts_again", lasted_ms, "connections are taken again");
                }
                let _ = stream.set_nodelay(true); // only slower without
                if last.is_some() {
                    exposition::hear_again(&stream);
                }
                let (tls, stack, ending) = (tls.clone(), stack.clone(), ending.clone());
                let (seat, early) = (floor.seat(peer.ip()), early.clone());
                connections.spawn(async move {
                    let peer = Peer { address: peer.ip(), edge: None, tls: tls.is_some(), seat };
                    match tls {
                        Some(tls) => serve_tls(stream, peer, &tls, stack, ending, early).await,
                        None => serve(stream, peer, stack, ending, early).await,
                    }
                });
            }
            Err(error) => {
                if let Some(tell) = trouble.met(clock::ms(), "accept") {
                    let (lasts_ms, untold) = (tell.lasts_ms, tell.untold);
                    tracing::warn!(name: "accept_failed", %error, lasts_ms, untold, "the API can take no connection now; it is tried again");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    let by = stopped(&mut ending).await;
    let by = by + if matches!(*ending.borrow(), ShutdownPhase::Left(_)) { LEAVING_WORDS } else { LAST_WORDS };
    let ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout_at(by, ended).await.is_err() {
        tracing::warn!(name: "calls_cut", "calls are cut off that had not ended within the time of a stop (--drain-timeout)");
        connections.shutdown().await;
    }
}

/// Waits until control stops, or until nobody is left who could say so: until when calls may take then.
async fn stopped(ending: &mut watch::Receiver<ShutdownPhase>) -> Instant {
    let ends = |ending: &ShutdownPhase| matches!(ending, ShutdownPhase::By(_) | ShutdownPhase::Left(_));
    match ending.wait_for(ends).await.as_deref() {
        Ok(&(ShutdownPhase::By(by) | ShutdownPhase::Left(by))) => by,
        _ => Instant::now(),
    }
}

/// Waits until whoever is answered is told to connect elsewhere, or until nobody is left who could say so.
async fn draining(ending: &mut watch::Receiver<ShutdownPhase>) {
    let _ = ending.wait_for(|&ending| ending != ShutdownPhase::NotYet).await;
}

/// The same, and then until something was asked, for a while: hyper ends a connection without an answer before that. One of
/// HTTP/1 ends with its next answer, which says so; hyper would end it between two requests, and meet the second.
async fn stopped_and_asked(
    ending: &mut watch::Receiver<ShutdownPhase>,
    used: &mut watch::Receiver<ConnectionUse>,
) {
    let by = stopped(ending).await;
    let first = by.min(Instant::now() + FIRST_REQUEST);
    let _ = tokio::time::timeout_at(first, used.wait_for(|&used| used != ConnectionUse::Nothing)).await;
    if *used.borrow() == ConnectionUse::Http1 {
        tokio::time::sleep_until(by).await;
    }
}

/// No handshake begins any more; those that have begun have until then.
fn last_handshake(listener: &TcpListener) -> Instant {
    if let Err(fault) = exposition::begin_no_handshake(listener) {
        tracing::warn!(name: "handshakes_cut", %fault, "connections to the API that begin now may be reset");
    }
    Instant::now() + LAST_HANDSHAKES
}

/// Waits until a connection can be told to end while others are still answered: only HTTP/2 has words for that.
async fn dismissed(ending: &mut watch::Receiver<ShutdownPhase>, used: &mut watch::Receiver<ConnectionUse>) {
    let draining = ending.wait_for(|&ending| ending != ShutdownPhase::NotYet).await.is_ok();
    if !draining || used.wait_for(|&used| used == ConnectionUse::Http2).await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn serve_tls(
    stream: TcpStream,
    peer: Peer,
    tls: &ServedTls,
    stack: Stack,
    mut ending: watch::Receiver<ShutdownPhase>,
    early: Option<EarlyConnection>,
) {
    let shaken = tokio::select! {
        shaken = tokio::time::timeout(HEAD, tls.acceptor().accept(stream)) => shaken,
        () = peer.seat.lost() => return,
        () = async { stopped(&mut ending).await; tokio::time::sleep(FIRST_REQUEST).await } => return,
    };
    let address = peer.address;
    match shaken {
        Ok(Ok(stream)) => {
            let peer = Peer { edge: edge_of(stream.get_ref().1), ..peer };
            serve(stream, peer, stack, ending, early).await;
        }
        Ok(Err(error)) => {
            tracing::debug!(name: "tls_refused", %error, peer = %address, "a connection is not let in by TLS");
        }
        Err(_) => {
            tracing::debug!(name: "tls_unfinished", peer = %address, "a connection does not finish its TLS handshake");
        }
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    peer: Peer,
    stack: Stack,
    mut ending: watch::Receiver<ShutdownPhase>,
    mut early: Option<EarlyConnection>, // until its last call has ended
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
    let (using, used) = watch::channel(ConnectionUse::Nothing);
    let seat: Arc<ConnectionPlace> = peer.seat.clone();
    let service = service_fn({
        let ending = ending.clone();
        move |request: Request<Incoming>| {
            let this = ConnectionUse::of(&request);
            using.send_if_modified(|used| std::mem::replace(used, this.most(*used)) != *used);
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(peer.clone());
            let (answered, ending) = (stack.clone().oneshot(request), ending.clone());
            async move {
                let mut answer = answered.await?;
                if this == ConnectionUse::Http1 && *ending.borrow() != ShutdownPhase::NotYet {
                    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<_, Infallible>(answer)
            }
        }
    });
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    // hyper times heads, but neither the bytes that tell HTTP/1.1 from HTTP/2 nor the first stream of HTTP/2. And whoever
    // is only ever refused must not stay because he asks on.
    let unknown = async {
        tokio::time::sleep(HEAD).await;
        if seat.is_known() {
            std::future::pending::<()>().await;
        }
    };
    let (mut end, mut told, mut first) = (ending.clone(), used.clone(), used.clone());
    let mut of_edge = used.clone();
    let not_waited_for = async {
        let is_feed = of_edge.wait_for(|&used| used == ConnectionUse::Feed).await.is_ok();
        if is_feed {
            early.take();
        }
        std::future::pending::<()>().await;
    };
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = not_waited_for => return,
        () = stopped_and_asked(&mut ending, &mut first) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
        () = dismissed(&mut end, &mut told) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
        () = seat.lost() => {
            // A call that is under way is still answered, if it was let in.
            connection.as_mut().graceful_shutdown();
            let most = if seat.is_known() { KEEPALIVE } else { Duration::ZERO };
            tokio::time::timeout(most, connection.as_mut()).await.unwrap_or_else(|_| Err("its place is another's".into()))
        }
        () = unknown => {
            // Politely: a request that is on its way now is still answered.
            connection.as_mut().graceful_shutdown();
            let leaving = async {
                tokio::time::sleep(KEEPALIVE).await;
                if seat.is_known() {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                ended = connection.as_mut() => ended,
                () = leaving => Err("no call was let in".into()),
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(name: "connection_broke", error, "a connection broke");
    }
}

impl ConnectionUse {
    fn of(request: &Request<Incoming>) -> Self {
        match request.version() {
            Version::HTTP_2 if request.uri().path().starts_with("/linkr.v1.Feed/") => Self::Feed,
            Version::HTTP_2 => Self::Http2,
            _ => Self::Http1,
        }
    }

    fn most(self, other: Self) -> Self {
        if other > self { other } else { self }
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

    fn served() -> (DuplexStream, JoinHandle<()>, watch::Sender<ShutdownPhase>) {
        let (client, task, end, seat) = served_to_a_stranger();
        seat.let_in(None);
        (client, task, end)
    }

    fn served_to_a_stranger()
    -> (DuplexStream, JoinHandle<()>, watch::Sender<ShutdownPhase>, Arc<ConnectionPlace>) {
        let address = IpAddr::from([127, 0, 0, 1]);
        let seat = ConnectionPlaces::new(1_024).seat(address);
        let peer = Peer { address, edge: None, tls: false, seat: seat.clone() };
        let stuck = Router::new().route("/stuck", post(std::future::pending::<()>));
        let (client, server) = tokio::io::duplex(1 << 16);
        let (end, ending) = watch::channel(ShutdownPhase::NotYet);
        let task = tokio::spawn(serve(server, peer, outer(stuck, None), ending, None));
        (client, task, end, seat)
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_asks_nothing_is_let_go() {
        let mut settings = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        settings.extend([0, 0, 0, 4, 0, 0, 0, 0, 0]);
        for start in [&b""[..], b"P", b"PRI", &settings[..24], &settings, b"GET / HTTP/1.1\r\nhost:"] {
            let (mut client, task, _end, _seat) = served_to_a_stranger();
            client.write_all(start).await.unwrap();
            let began = Instant::now();
            tokio::time::timeout(HEAD * 9, task).await.expect("it ends").unwrap();
            assert!(began.elapsed() <= HEAD + KEEPALIVE, "{start:?}: {:?}", began.elapsed());
        }
    }

    /// Found by attack: one refused call and then pings kept a place for ever.
    #[tokio::test(start_paused = true)]
    async fn whoever_was_never_let_in_is_let_go_whatever_he_asks() {
        let (client, task, _end, _seat) = served_to_a_stranger();
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(client)).await.unwrap();
        tokio::spawn(connection);
        let began = Instant::now();
        let mut answers = 0;
        while !task.is_finished() {
            let request = Request::get("http://a/elsewhere").body(Body::empty()).unwrap();
            match sender.send_request(request).await {
                Ok(answer) => answers += usize::from(answer.status() == 404),
                Err(_) => break,
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        tokio::time::timeout(KEEPALIVE * 2, task).await.expect("it ends").unwrap();
        assert!(answers > 10 && began.elapsed() <= HEAD + KEEPALIVE * 2, "{answers}, {:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_grpc_call_over_http1_is_refused_without_its_body() {
        let (mut client, task, _end) = served();
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
        let (client, _task, _end) = served();
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(client)).await.unwrap();
        tokio::spawn(connection);
        let request = Request::post("http://a/stuck").header("content-type", "application/grpc");
        let began = Instant::now();
        let answer = sender.send_request(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(answer.headers()["grpc-status"], "4");
        assert!(began.elapsed() >= CALL && began.elapsed() < CALL * 2, "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn http2_is_told_to_go_elsewhere_and_the_stream_of_an_edge_later() {
        for (path, stays) in [("/elsewhere", false), ("/linkr.v1.Feed/Follow", true)] {
            for asked_before in [true, false] {
                let (client, task, end) = served();
                let (mut sender, connection) =
                    hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(client))
                        .await
                        .unwrap();
                let connection = tokio::spawn(connection);
                let mut ask = async || {
                    let request = Request::get(format!("http://a{path}")).body(Body::empty()).unwrap();
                    sender.send_request(request).await.unwrap()
                };
                if asked_before {
                    ask().await;
                }
                end.send_replace(ShutdownPhase::Draining);
                if !asked_before {
                    assert_eq!(ask().await.status(), 404, "who comes late is answered, too");
                }
                let ended = tokio::time::timeout(HEAD, connection).await;
                assert_eq!(ended.is_err(), stays, "{path}, asked before: {asked_before}");
                end.send_replace(ShutdownPhase::By(Instant::now() + HEAD));
                tokio::time::timeout(HEAD, task).await.expect("it ends").unwrap();
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_just_let_in_is_answered_though_control_stops() {
        let (mut client, task, end) = served();
        end.send_replace(ShutdownPhase::By(Instant::now() + HEAD));
        tokio::time::sleep(FIRST_REQUEST / 2).await;
        client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 404 ") && answer.contains("connection: close"), "{answer}");
        task.await.unwrap();
        let (_silent, task, end) = served();
        let began = Instant::now();
        end.send_replace(ShutdownPhase::By(began + HEAD));
        task.await.unwrap();
        assert_eq!(began.elapsed().as_secs(), FIRST_REQUEST.as_secs());
    }

    /// Found by attack: what was sent while control closed the idle had no answer.
    #[tokio::test(start_paused = true)]
    async fn an_idle_caller_over_http1_is_answered_until_the_end_and_then_closed() {
        for ask_late in [true, false] {
            let (mut client, task, end) = served();
            let request = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
            client.write_all(request).await.unwrap();
            let mut first = [0; 1024];
            assert!(client.read(&mut first).await.unwrap() > 0);
            let began = Instant::now();
            end.send_replace(ShutdownPhase::By(began + HEAD / 2));
            tokio::time::sleep(HEAD / 3).await;
            assert!(!task.is_finished());
            if ask_late {
                client.write_all(request).await.unwrap();
            }
            let mut rest = String::new();
            client.read_to_string(&mut rest).await.unwrap();
            assert_eq!(rest.contains("connection: close"), ask_late, "{rest}");
            task.await.unwrap();
            let took = if ask_late { HEAD / 3 } else { HEAD / 2 };
            assert_eq!(began.elapsed().as_secs(), took.as_secs());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn http1_is_told_with_the_next_answer() {
        let (mut client, task, end) = served();
        let mut ask = async || {
            client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
            let (mut answer, mut byte) = (String::new(), [0]);
            while !answer.ends_with("\r\n\r\n") {
                assert_eq!(client.read(&mut byte).await.unwrap(), 1, "{answer}");
                answer.push(char::from(byte[0]));
            }
            answer
        };
        assert!(!ask().await.contains("connection: close"));
        end.send_replace(ShutdownPhase::Draining);
        assert!(ask().await.contains("connection: close"));
        tokio::time::timeout(HEAD, task).await.expect("it ends").unwrap();
    }

    /// Another process goes on at the listener: who was there before is told to connect anew and waited for, and who connects
    /// behind that waits in the queue.
    #[tokio::test]
    async fn a_listener_that_is_left_keeps_its_queue_and_who_was_there_is_waited_for() {
        let bound = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        bound.set_nonblocking(true).unwrap();
        let (address, held) = (bound.local_addr().unwrap(), bound.try_clone().unwrap());
        let own = OwnListener { listener: TcpListener::from_std(bound).unwrap(), given: false };
        let (end, ending) = watch::channel(ShutdownPhase::NotYet);
        let (early, mut gone) = mpsc::channel(1);
        let places = ConnectionPlaces::new(1_024);
        let task = tokio::spawn(accept(own, None, outer(Router::new(), None), places, ending, early));
        let mut kept = TcpStream::connect(address).await.unwrap();
        let mut ask = async || {
            kept.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
            let (mut answer, mut byte) = (String::new(), [0]);
            while !answer.ends_with("\r\n\r\n") {
                assert_eq!(kept.read(&mut byte).await.unwrap(), 1, "{answer}");
                answer.push(char::from(byte[0]));
            }
            answer
        };
        assert!(!ask().await.contains("connection: close"));
        end.send_replace(ShutdownPhase::Draining);
        assert_eq!(gone.try_recv(), Err(mpsc::error::TryRecvError::Empty), "it has not been told yet");
        assert!(ask().await.contains("connection: close"));
        let none_left = tokio::time::timeout(HEAD, gone.recv()).await.expect("it is gone");
        assert_eq!(none_left, None);
        end.send_replace(ShutdownPhase::Left(Instant::now()));
        tokio::time::timeout(HEAD, task).await.expect("it ends").unwrap();
        let waits = TcpStream::connect(address).await.unwrap();
        let (_, from) = TcpListener::from_std(held).unwrap().accept().await.unwrap();
        assert_eq!(from, waits.local_addr().unwrap());
    }
}
