//! The admin listener of control when it runs alone. Together with an edge, the edge's listener answers for both.

use crate::fault::Fault;
use axum::Router;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::get;
use control::Metrics;
use proto::exposition::{Build, Format, Registry};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;

/// A bound listener and its address.
pub struct Bound(TcpListener, SocketAddr);

/// Binds it, before anything else starts: a taken port is found early.
pub async fn bind(address: SocketAddr) -> Result<Bound, Fault> {
    let cannot = |fault| Fault::new(format_args!("cannot listen on {address} (admin): {fault}: see --admin"));
    let listener = TcpListener::bind(address).await.map_err(cannot)?;
    let address = listener.local_addr().map_err(cannot)?;
    Ok(Bound(listener, address))
}

/// Answers on it until the process ends. Control has started before this: it is alive.
pub fn serve(
    Bound(listener, address): Bound,
    metrics: Arc<Metrics>,
    ready: impl Fn() -> bool + Clone + Send + Sync + 'static,
) -> SocketAddr {
    let version = format!("{{\"version\":\"{}\"}}\n", env!("CARGO_PKG_VERSION"));
    let mut registry = Registry::default();
    registry.register_collector(Box::new(metrics));
    registry.register_collector(Box::new(super::numbers::Process));
    registry.register_collector(Box::new(Build(env!("CARGO_PKG_VERSION"))));
    let registry = Arc::new(registry);
    let json = [(CONTENT_TYPE, "application/json")];
    let router = Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(async move || readiness(ready())))
        .route("/startupz", get(|| async { "ok\n" }))
        .route("/metrics", get(async move |fields: HeaderMap| scrape(&registry, &fields)))
        .route("/version", get(async move || (json, version.clone())));
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

fn readiness(ready: bool) -> (StatusCode, &'static str) {
    match ready {
        true => (StatusCode::OK, "ok\n"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "draining: a signal asked this control to stop\n"),
    }
}

fn scrape(registry: &Registry, fields: &HeaderMap) -> impl IntoResponse + use<> {
    let format = Format::accepted(fields.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()));
    let body = format.encode(registry).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR);
    body.map(|body| ([(CONTENT_TYPE, format.content_type())], body))
}
