//! The admin listener of control when it runs alone. Together with an edge, the edge's listener answers for both.

use super::VERSION;
use crate::fault::CommandFault;
use axum::Router;
use control::{Metrics, Readiness};
use exposition::{Admin, Findings, Health, HealthFuture, Registry, cannot_listen};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;

/// A bound listener and its address.
pub struct BoundListener(TcpListener, SocketAddr);

/// Binds it unless it was given, before anything else starts: a taken port is found early.
pub async fn bind(
    address: SocketAddr,
    given: Option<std::net::TcpListener>,
) -> Result<BoundListener, CommandFault> {
    let cannot = |fault| CommandFault::new(cannot_listen("--admin", address, fault));
    let listener = match given {
        None => TcpListener::bind(address).await,
        Some(given) => given.set_nonblocking(true).and_then(|()| TcpListener::from_std(given)),
    };
    let listener = listener.map_err(cannot)?;
    let address = listener.local_addr().map_err(cannot)?;
    Ok(BoundListener(listener, address))
}

/// Answers on it until the process ends. Control has started before this.
pub fn serve(
    BoundListener(listener, address): BoundListener,
    metrics: Arc<Metrics>,
    health: Arc<dyn Health>,
) -> SocketAddr {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(metrics));
    registry.register_collector(Box::new(super::numbers::Process));
    registry.register_collector(Box::new(super::numbers::BUILD));
    let admin = Admin { registry, health, version: VERSION, more: Router::new() };
    tokio::spawn(admin.serve(listener));
    address
}

/// How a control that has started stands.
pub fn health(ready: Readiness) -> Arc<dyn Health> {
    Arc::new(ControlHealth(ready))
}

struct ControlHealth(Readiness);

impl Health for ControlHealth {
    fn live(&self) -> Findings {
        Findings::from(self.0.lives())
    }

    fn started(&self) -> Findings {
        Findings::default()
    }

    fn ready(&self, to_write: bool) -> HealthFuture<'_> {
        Box::pin(async move {
            let mut findings = Findings::from(if to_write { self.0.writes().await } else { self.0.serves() });
            self.0.notes().into_iter().for_each(|note| findings.note(note));
            findings
        })
    }
}
