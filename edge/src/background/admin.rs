//! The admin listener: is this edge alive, is it ready, what does it count, what would it answer.

use super::explain::explain;
use super::metrics::Edge;
use crate::MoreMetrics;
use crate::shared::Shared;
use axum::Router;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use proto::exposition::{Build, Collector, Encoder, Format, Registry};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::Mutex;

/// Serves until the runtime ends.
pub async fn serve(
    listener: std::net::TcpListener,
    listen: SocketAddr,
    shared: Arc<Shared>,
    more: Vec<MoreMetrics>,
) {
    let (ready, explained) = (Arc::clone(&shared), Arc::clone(&shared));
    let router = Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(move || async move { readiness(&ready) }))
        .route("/startupz", {
            let shared = Arc::clone(&shared);
            get(move || async move { readiness(&shared) })
        })
        .route("/debug/explain", get(move |words| explain(Arc::clone(&explained), listen, words)))
        .route("/version", get(|| async { concat!("linkr ", env!("CARGO_PKG_VERSION"), "\n") }))
        .route(
            "/metrics",
            get({
                let registry = registry(shared, more);
                move |fields: HeaderMap| scrape(Arc::clone(&registry), fields)
            }),
        );
    let served = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => axum::serve(listener, router).await,
        Err(fault) => Err(fault),
    };
    if let Err(fault) = served {
        tracing::error!(name: "admin_ended", %fault, "the admin listener ended");
    }
}

/// Everything that this process counts. Its lock lets one scrape through at a time.
fn registry(shared: Arc<Shared>, more: Vec<MoreMetrics>) -> Arc<Mutex<Registry>> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Edge(shared)));
    for more in more {
        registry.register_collector(Box::new(More(more)));
    }
    registry.register_collector(Box::new(Build(env!("CARGO_PKG_VERSION"))));
    Arc::new(Mutex::new(registry))
}

/// What shares the process.
#[derive(Debug)]
struct More(MoreMetrics);

impl Collector for More {
    fn encode(&self, encoder: Encoder<'_>) -> std::fmt::Result {
        self.0.encode(encoder)
    }
}

/// Encodes on a thread of its own: this one has a log to follow.
async fn scrape(registry: Arc<Mutex<Registry>>, fields: HeaderMap) -> impl IntoResponse {
    let registry = registry.lock_owned().await;
    let accept = fields.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let format = Format::accepted(accept);
    match tokio::task::spawn_blocking(move || format.encode(&registry)).await {
        Ok(Ok(body)) => Ok(([(header::CONTENT_TYPE, format.content_type())], body)),
        _ => Err(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

/// Ready from the first whole load on, and then for good: an outage of control must never look like a sick edge to
/// the balancer in front, while this edge can still redirect.
fn readiness(shared: &Shared) -> impl IntoResponse + use<> {
    if shared.is_draining() {
        (StatusCode::SERVICE_UNAVAILABLE, "draining: a signal asked this edge to stop\n")
    } else if shared.feed.loaded.load(Ordering::Acquire) {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "loading: control has not sent all links yet\n")
    }
}
