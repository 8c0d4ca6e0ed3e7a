//! What the admin listener says of this edge: is it ready, what does it count, what would it answer.

use super::explain::explain;
use super::metrics::EdgeFamilies;
use super::slow::kept;
use super::watching::tail;
use crate::shared::Shared;
use crate::{MoreMetrics, NotesProbe, WriteProbe};
use axum::Router;
use axum::routing::get;
use exposition::{Admin, Collector, Encoder, Health, HealthFuture, Registry};
use std::sync::Arc;
use std::sync::atomic::Ordering;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Serves until the runtime ends.
pub async fn serve(
    listener: std::net::TcpListener,
    host: String,
    health: EdgeHealth,
    more: Vec<MoreMetrics>,
) {
    let [explained, slow, tailed] = [(); 3].map(|()| Arc::clone(&health.shared));
    let admin = Admin {
        registry: registry(Arc::clone(&health.shared), more),
        health: Arc::new(health),
        version: VERSION,
        more: Router::new()
            .route("/debug/explain", get(move |words| explain(Arc::clone(&explained), host.clone(), words)))
            .route("/debug/slow", get(move |words| kept(Arc::clone(&slow), words)))
            .route("/debug/tail", get(move |words| tail(Arc::clone(&tailed), words))),
    };
    match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => admin.serve(listener).await,
        Err(fault) => tracing::error!(
            name: "admin_ended", %fault,
            "the admin listener cannot be served: no probe and no scrape is answered; start this edge again"
        ),
    }
}

/// Everything that this process counts.
fn registry(shared: Arc<Shared>, more: Vec<MoreMetrics>) -> Registry {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(EdgeFamilies(shared)));
    for more in more {
        registry.register_collector(Box::new(MoreCollector(more)));
    }
    registry
}

/// What shares the process.
#[derive(Debug)]
struct MoreCollector(MoreMetrics);

impl Collector for MoreCollector {
    fn encode(&self, encoder: Encoder<'_>) -> std::fmt::Result {
        self.0.encode(encoder)
    }
}

/// How this edge stands, and the control in its process.
pub struct EdgeHealth {
    pub shared: Arc<Shared>,
    pub writes: Option<WriteProbe>,
    pub notes: Option<NotesProbe>,
}

/// Ready from the first whole load on, and then for good: an outage of control must never look like a sick edge to
/// the balancer in front, while this edge can still redirect.
fn loaded(shared: &Shared) -> Result<(), String> {
    if shared.is_draining() {
        Err("draining: a signal asked this edge to stop".to_owned())
    } else if shared.feed.loaded.load(Ordering::Acquire) {
        Ok(())
    } else {
        Err("loading: control has not sent all links yet".to_owned())
    }
}

impl Health for EdgeHealth {
    fn started(&self) -> Result<(), String> {
        loaded(&self.shared)
    }

    /// With `to_write`: whether the control in this process takes writes, too.
    fn ready(&self, to_write: bool) -> HealthFuture<'_> {
        Box::pin(async move {
            loaded(&self.shared)?;
            match &self.writes {
                Some(writes) if to_write => writes().await,
                _ => Ok(()),
            }
        })
    }

    /// Of the control in this process.
    fn notes(&self) -> Vec<String> {
        self.notes.as_ref().map(|notes| notes()).unwrap_or_default()
    }
}
