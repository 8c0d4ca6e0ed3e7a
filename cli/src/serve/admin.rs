//! The admin listener of control when it runs alone. Together with an edge, the edge's listener answers for both.

use super::VERSION;
use crate::fault::Fault;
use axum::Router;
use control::{Metrics, Readiness};
use exposition::{Admin, Health, Registry, Verdict, cannot_listen};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;

/// A bound listener and its address.
pub struct Bound(TcpListener, SocketAddr);

/// Binds it, before anything else starts: a taken port is found early.
pub async fn bind(address: SocketAddr) -> Result<Bound, Fault> {
    let cannot = |fault| Fault::new(cannot_listen("--admin", address, fault));
    let listener = TcpListener::bind(address).await.map_err(cannot)?;
    let address = listener.local_addr().map_err(cannot)?;
    Ok(Bound(listener, address))
}

/// Answers on it until the process ends. Control has started before this.
pub fn serve(Bound(listener, address): Bound, metrics: Arc<Metrics>, ready: Readiness) -> SocketAddr {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(metrics));
    registry.register_collector(Box::new(super::numbers::Process));
    registry.register_collector(Box::new(super::numbers::BUILD));
    let admin = Admin { registry, health: Arc::new(Standing(ready)), version: VERSION, more: Router::new() };
    tokio::spawn(admin.serve(listener));
    address
}

/// How control stands.
struct Standing(Readiness);

impl Health for Standing {
    fn started(&self) -> Result<(), String> {
        Ok(())
    }

    fn ready(&self, to_write: bool) -> Verdict<'_> {
        Box::pin(async move { if to_write { self.0.writes().await } else { self.0.serves() } })
    }
}
