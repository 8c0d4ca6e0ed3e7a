//! The admin listener, the same for both halves: probes, `/metrics`, `/version`, and what its owner adds. It has few
//! places and short deadlines, so that it takes no descriptors from those whom the process is there for.

use crate::health::{Findings, Health};
use crate::host::allowed;
use crate::places::{Place, Places, network};
use crate::{Format, Registry, file_limit};
use axum::Router;
use axum::body::Body;
use axum::extract::RawQuery;
use axum::http::{HeaderMap, Request, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;
use tower::ServiceExt;

/// Connections at once. Probes and scrapers are few; whoever is one too many takes the place of the oldest.
pub const PLACES: usize = 64;
/// For a request's head, and between two requests of a connection.
const HEAD: Duration = Duration::from_secs(20);
/// Bytes of a request's head.
const HEAD_BYTES: usize = 16 * 1024;
/// A connection ends after so long, whatever it does: one that never reads its answer, too.
const LIFE: Duration = Duration::from_secs(300);
/// The share of the process's descriptors that it may have: one in so many.
const SHARE: usize = 8;
/// Between two lines about the same trouble.
const TOLD_AGAIN: Duration = Duration::from_secs(60);
/// After an error of accept, such as too few file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What the listener answers with.
pub struct Admin {
    /// Everything that the process counts.
    pub registry: Registry,
    /// How it stands.
    pub health: Arc<dyn Health>,
    /// The version of the program.
    pub version: &'static str,
    /// Paths that only one half has.
    pub more: Router,
}

impl Admin {
    /// Answers until the runtime ends.
    pub async fn serve(self, listener: TcpListener) {
        let own = listener.local_addr().ok();
        if let Some(address) = own.filter(|address| !address.ip().to_canonical().is_loopback()) {
            tracing::warn!(
                name: "admin_exposed",
                %address,
                "whoever reaches the admin listener reads metrics and where links lead: let only probes and scrapers through"
            );
        }
        tokio::spawn(crate::clock::watch());
        let (router, places) = (self.router(), Places::new(PLACES.min(file_limit() / SHARE)));
        let mut told: Option<Instant> = None;
        loop {
            places.settled().await;
            match listener.accept().await {
                Ok((stream, peer)) => {
                    tokio::spawn(converse(stream, places.take(network(peer.ip())).0, own, router.clone()));
                }
                Err(error) => {
                    if told.is_none_or(|at| at.elapsed() >= TOLD_AGAIN) {
                        told = Some(Instant::now());
                        tracing::warn!(name: "admin_cannot_accept", %error, "the admin listener can take no connection now; it is tried again");
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn router(self) -> Router {
        // Its lock lets one scrape through at a time.
        let registry = Arc::new(Mutex::new(self.registry));
        let (live, started, ready) = (self.health.clone(), self.health.clone(), self.health);
        let version = serde_json::json!({ "version": self.version }).to_string() + "\n";
        Router::new()
            .route("/livez", get(move || async move { answer(&live.live()) }))
            .route("/startupz", get(move || async move { answer(&started.started()) }))
            .route(
                "/readyz",
                get(move |RawQuery(query)| async move { answer(&ready.ready(asks_to_write(query)).await) }),
            )
            .route(
                "/version",
                get(move || async move { ([(header::CONTENT_TYPE, "application/json")], version) }),
            )
            .route("/metrics", get(move |fields: HeaderMap| scrape(registry.clone(), fields)))
            .merge(self.more)
    }
}

fn asks_to_write(query: Option<String>) -> bool {
    query.is_some_and(|query| query.split('&').any(|word| word == "write" || word.starts_with("write=")))
}

fn answer(findings: &Findings) -> (StatusCode, String) {
    let status = if findings.is_good() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, findings.to_string())
}

/// Encodes on a thread of its own: the one that serves may have a log to follow.
async fn scrape(registry: Arc<Mutex<Registry>>, fields: HeaderMap) -> impl IntoResponse {
    let registry = registry.lock_owned().await;
    let accept = fields.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let format = Format::accepted(accept);
    match tokio::task::spawn_blocking(move || format.encode(&registry)).await {
        Ok(Ok(body)) => Ok(([(header::CONTENT_TYPE, format.content_type())], body)),
        _ => Err(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

/// One connection to its end, or until another has its place.
async fn converse(stream: TcpStream, place: Place<IpAddr>, own: Option<SocketAddr>, router: Router) {
    let service = service_fn(move |request: Request<Incoming>| {
        let (allowed, router) = (allowed(own, &request), router.clone());
        async move {
            match allowed {
                Ok(()) => router.oneshot(request.map(Body::new)).await,
                Err(refused) => Ok(refused.into_response()),
            }
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(HEAD_BYTES);
    let connection = http.serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        _ = connection => {} // whatever the client did, it has ended
        () = place.lost() => {}
        () = tokio::time::sleep(LIFE) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::HealthFuture;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    struct LoadingHealth;

    impl Health for LoadingHealth {
        fn live(&self) -> Findings {
            Findings::from(Err("worker 1 has not turned for 12 s".into()))
        }

        fn started(&self) -> Findings {
            Findings::default()
        }

        fn ready(&self, to_write: bool) -> HealthFuture<'_> {
            Box::pin(async move {
                let mut findings =
                    Findings::from(if to_write { Err("the disk is full".into()) } else { Ok(()) });
                findings.note("clicks are not counted now".into());
                findings
            })
        }
    }

    async fn served() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (registry, health, more) = (Registry::default(), Arc::new(LoadingHealth), Router::new());
        tokio::spawn(Admin { registry, health, version: "1.2.3", more }.serve(listener));
        address
    }

    async fn ask(address: SocketAddr, path: &str) -> String {
        say(address, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n")).await
    }

    async fn say(address: SocketAddr, head: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn probes_say_why() {
        let address = served().await;
        for (path, status, body) in [
            ("/livez", 503, "worker 1 has not turned for 12 s\n"),
            ("/startupz", 200, "ok\n"),
            ("/readyz", 200, "ok\nclicks are not counted now\n"),
            ("/readyz?write", 503, "the disk is full\nclicks are not counted now\n"),
            ("/readyz?a=b&write=1", 503, "the disk is full\nclicks are not counted now\n"),
            ("/version", 200, "{\"version\":\"1.2.3\"}\n"),
            ("/other", 404, ""),
        ] {
            let answer = ask(address, path).await;
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.ends_with(body),
                "{path}: {answer}"
            );
        }
    }

    /// Found by attack: a page whose name leads to 127.0.0.1 (DNS rebinding) had its visitor's browser read /metrics.
    #[tokio::test]
    async fn pages_of_other_names_read_nothing() {
        let address = served().await;
        for (host, status) in [
            (format!("Host: {address}\r\n"), 200),
            ("Host: evil.example\r\n".to_owned(), 421),
            ("Host: localhost\r\nHost: evil.example\r\n".to_owned(), 400),
            (String::new(), 400),
        ] {
            for path in ["/metrics", "/version", "/nothing"] {
                let answer = say(address, &format!("GET {path} HTTP/1.1\r\n{host}")).await;
                let status = if (path, status) == ("/nothing", 200) { 404 } else { status };
                assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{host}{path}: {answer}");
            }
        }
        let answer = say(address, "GET /metrics HTTP/1.1\r\nHost: evil.example\r\n").await;
        assert!(answer.contains("answers no host evil.example"), "{answer}");
        let post = "POST /version HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\n";
        assert!(say(address, post).await.starts_with("HTTP/1.1 403 "));
    }

    /// Found by attack: half heads on the admin listener took the descriptors of the whole process.
    #[tokio::test]
    async fn half_heads_keep_nobody_out() {
        let address = served().await;
        let mut held = Vec::new();
        for at in 0..5 * PLACES {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: a").await; // it may have lost its place by now
            held.push(stream);
            if at % PLACES == 0 {
                assert!(ask(address, "/readyz").await.starts_with("HTTP/1.1 200 "));
            }
        }
        let mut ended = 0;
        for stream in &mut held[..4 * PLACES] {
            let end = stream.read(&mut [0]).await;
            ended += usize::from(end.is_err() || end.is_ok_and(|count| count == 0));
        }
        assert_eq!(ended, 4 * PLACES, "whoever was one too many was let go");
    }
}
