//! The admin listener of control when it runs alone. Together with an edge, the edge's listener answers for both.

use super::VERSION;
use crate::fault::CommandFault;
use axum::Router;
use control::{Metrics, Readiness};
use exposition::{Admin, Health, HealthFuture, Registry, cannot_listen};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;

/// A bound listener and its address.
pub struct BoundListener(TcpListener, SocketAddr);

/// Binds it, before anything else starts: a taken port is found early.
pub async fn bind(address: SocketAddr) -> Result<BoundListener, CommandFault> {
    let cannot = |fault| CommandFault::new(cannot_listen("--admin", address, fault));
    let listener = TcpListener::bind(address).await.map_err(cannot)?;
    let address = listener.local_addr().map_err(cannot)?;
    Ok(BoundListener(listener, address))
}

/// Answers on it until the process ends. Control has started before this.
pub fn serve(
    BoundListener(listener, address): BoundListener,
    metrics: Arc<Metrics>,
    ready: Readiness,
) -> SocketAddr {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(metrics));
    registry.register_collector(Box::new(super::numbers::Process));
    registry.register_collector(Box::new(super::numbers::BUILD));
    let admin =
        Admin { registry, health: Arc::new(ControlHealth(ready)), version: VERSION, more: Router::new() };
    tokio::spawn(admin.serve(listener));
    address
}

/// How control stands.
struct ControlHealth(Readiness);

impl Health for ControlHealth {
    fn started(&self) -> Result<(), String> {
        Ok(())
    }

    fn ready(&self, to_write: bool) -> HealthFuture<'_> {
        Box::pin(async move { if to_write { self.0.writes().await } else { self.0.serves() } })
    }

    fn notes(&self) -> Vec<String> {
        self.0.notes()
    }
}
