//! The admin listener of control when it runs alone. Together with an edge, the edge's listener answers for both.

use super::VERSION;
use crate::fault::Fault;
use axum::Router;
use control::Metrics;
use exposition::{Admin, Build, Health, Registry};
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

/// Answers on it until the process ends. Control has started before this.
pub fn serve(
    Bound(listener, address): Bound,
    metrics: Arc<Metrics>,
    ready: impl Fn() -> bool + Send + Sync + 'static,
) -> SocketAddr {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(metrics));
    registry.register_collector(Box::new(super::numbers::Process));
    registry.register_collector(Box::new(Build(VERSION)));
    let admin = Admin { registry, health: Arc::new(Standing(ready)), version: VERSION, more: Router::new() };
    tokio::spawn(admin.serve(listener));
    address
}

/// Whether control goes on.
struct Standing<F>(F);

impl<F: Fn() -> bool + Send + Sync + 'static> Health for Standing<F> {
    fn started(&self) -> Result<(), String> {
        Ok(())
    }

    fn ready(&self, _to_write: bool) -> Result<(), String> {
        match (self.0)() {
            true => Ok(()),
            false => Err("draining: a signal asked this control to stop".to_owned()),
        }
    }
}
