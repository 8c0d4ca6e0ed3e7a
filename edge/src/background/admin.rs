//! What the admin listener says of this edge: is it ready, what does it count, what would it answer.

use super::explain::explain;
use super::metrics::EdgeFamilies;
use super::slow::kept;
use super::watching::tail;
use crate::shared::Shared;
use crate::{MoreMetrics, sys};
use axum::Router;
use axum::routing::get;
use exposition::{Admin, Collector, Encoder, Findings, Health, HealthFuture, Registry};
use std::sync::Arc;
use std::sync::atomic::Ordering;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Serves until the runtime ends.
pub async fn serve(
    listener: std::net::TcpListener,
    host: String,
    shared: Arc<Shared>,
    more: Vec<MoreMetrics>,
    control: Option<Arc<dyn Health>>,
) {
    let [explained, slow, tailed] = [(); 3].map(|()| Arc::clone(&shared));
    let admin = Admin {
        registry: registry(Arc::clone(&shared), more),
        health: health(shared, control),
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
struct EdgeHealth {
    shared: Arc<Shared>,
    control: Option<Arc<dyn Health>>,
}

/// How an edge stands, with the control in its process.
pub fn health(shared: Arc<Shared>, control: Option<Arc<dyn Health>>) -> Arc<dyn Health> {
    Arc::new(EdgeHealth { shared, control })
}

impl EdgeHealth {
    fn of_control(&self, found: impl FnOnce(&dyn Health) -> Findings) -> Findings {
        self.control.as_deref().map_or_else(Findings::default, found)
    }

    fn loaded(&self) -> Result<(), String> {
        match self.shared.feed.loaded.load(Ordering::Acquire) {
            true => Ok(()),
            false => Err("loading: control has not sent all links yet".to_owned()),
        }
    }

    fn not_draining(&self) -> Result<(), String> {
        // Who asks at this address finds the process that goes on from now on: that one is ready.
        match self.shared.is_draining() && !self.shared.has_heir() {
            true => Err("draining: a signal asked this edge to stop".to_owned()),
            false => Ok(()),
        }
    }

    /// An outage of control must never look like a sick edge to the balancer in front while this edge can still redirect: it is
    /// told, and no reason to fail.
    fn blind(&self) -> Option<String> {
        let freshness = self.shared.set.freshness(sys::boottime_ms());
        let since = freshness.stale_ms().map_or_else(String::new, |ms| format!(" for {} s", ms / 1000));
        freshness.is_blind().then(|| {
            format!("blind: control was not heard{since}; links are answered as they were then, strict ones with 503")
        })
    }
}

impl Health for EdgeHealth {
    fn live(&self) -> Findings {
        Findings::from(self.shared.pulses.all_turn()).and(self.of_control(Health::live))
    }

    fn started(&self) -> Findings {
        Findings::from(self.loaded()).and(self.of_control(Health::started))
    }

    /// Ready from the first whole load on, and then for good, until it drains. With `to_write`: whether the control in this
    /// process takes writes, too.
    fn ready(&self, to_write: bool) -> HealthFuture<'_> {
        Box::pin(async move {
            let mut findings = Findings::from(self.not_draining());
            findings.check(self.loaded());
            if let Some(line) = self.blind().filter(|_| self.loaded().is_ok()) {
                findings.note(line);
            }
            match &self.control {
                Some(control) if to_write => findings.and(control.ready(true).await),
                Some(control) => findings.and(control.ready(false).await.notes_alone()),
                None => findings,
            }
        })
    }
}
