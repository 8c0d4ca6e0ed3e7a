//! What the admin listener says of this edge: is it ready, what does it count, what would it answer.

use super::explain::explain;
use super::metrics::Edge;
use crate::MoreMetrics;
use crate::shared::Shared;
use axum::Router;
use axum::routing::get;
use exposition::{Admin, Build, Collector, Encoder, Health, Registry};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Serves until the runtime ends.
pub async fn serve(
    listener: std::net::TcpListener,
    listen: SocketAddr,
    shared: Arc<Shared>,
    more: Vec<MoreMetrics>,
) {
    let explained = Arc::clone(&shared);
    let admin = Admin {
        registry: registry(Arc::clone(&shared), more),
        health: shared,
        version: VERSION,
        more: Router::new()
            .route("/debug/explain", get(move |words| explain(Arc::clone(&explained), listen, words))),
    };
    match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => admin.serve(listener).await,
        Err(fault) => tracing::error!(name: "admin_ended", %fault, "the admin listener cannot be served"),
    }
}

/// Everything that this process counts.
fn registry(shared: Arc<Shared>, more: Vec<MoreMetrics>) -> Registry {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Edge(shared)));
    for more in more {
        registry.register_collector(Box::new(More(more)));
    }
    registry.register_collector(Box::new(Build(VERSION)));
    registry
}

/// What shares the process.
#[derive(Debug)]
struct More(MoreMetrics);

impl Collector for More {
    fn encode(&self, encoder: Encoder<'_>) -> std::fmt::Result {
        self.0.encode(encoder)
    }
}

impl Health for Shared {
    fn started(&self) -> Result<(), String> {
        self.ready(false)
    }

    /// Ready from the first whole load on, and then for good: an outage of control must never look like a sick edge to
    /// the balancer in front, while this edge can still redirect.
    fn ready(&self, _to_write: bool) -> Result<(), String> {
        if self.is_draining() {
            Err("draining: a signal asked this edge to stop".to_owned())
        } else if self.feed.loaded.load(Ordering::Acquire) {
            Ok(())
        } else {
            Err("loading: control has not sent all links yet".to_owned())
        }
    }
}
