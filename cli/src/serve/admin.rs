//! The admin listener of control when it runs alone. Together with an edge, the edge's listener answers for both.

use crate::fault::Fault;
use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use control::Metrics;
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

/// Answers on it until the process ends. Control has started before this: it is alive and ready.
pub fn serve(Bound(listener, address): Bound, metrics: Arc<Metrics>) -> SocketAddr {
    let version = format!("{{\"version\":\"{}\"}}\n", env!("CARGO_PKG_VERSION"));
    let text = [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    let json = [(CONTENT_TYPE, "application/json")];
    let router = Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(|| async { "ok\n" }))
        .route("/startupz", get(|| async { "ok\n" }))
        .route("/metrics", get(async move || (text, metrics.encode())))
        .route("/version", get(async move || (json, version.clone())));
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}
