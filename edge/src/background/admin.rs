//! The admin listener: is this edge alive, is it ready, what does it count.

use super::metrics;
use crate::MoreMetrics;
use crate::shared::Shared;
use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Serves until the runtime ends.
pub async fn serve(listener: std::net::TcpListener, shared: Arc<Shared>, more: Option<MoreMetrics>) {
    let ready = Arc::clone(&shared);
    let router = Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(move || async move { readiness(&ready) }))
        .route("/startupz", {
            let shared = Arc::clone(&shared);
            get(move || async move { readiness(&shared) })
        })
        .route("/version", get(|| async { concat!("linkr ", env!("CARGO_PKG_VERSION"), "\n") }))
        .route(
            "/metrics",
            get(move || async move {
                let mut text = metrics::encode(&shared);
                text.extend(more.iter().map(|more| more()));
                ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
            }),
        );
    let served = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => axum::serve(listener, router).await,
        Err(fault) => Err(fault),
    };
    if let Err(fault) = served {
        tracing::error!(%fault, "the admin listener ended");
    }
}

/// Ready from the first whole load on, and then for good: an outage of control must never look like a sick edge to
/// the balancer in front, while this edge can still redirect.
fn readiness(shared: &Shared) -> impl IntoResponse + use<> {
    if shared.is_stopping() {
        (StatusCode::SERVICE_UNAVAILABLE, "stopping\n")
    } else if shared.feed.loaded.load(Ordering::Acquire) {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "loading: control has not sent all links yet\n")
    }
}
