//! The edges and the log they follow, for the people who run them.

use super::Service;
use crate::{Caller, Fault};
use proto::{epoch_to_wire, v1};
use store::wire;

impl Service {
    /// See `ListEdges`.
    pub async fn edges(&self, _: &Caller, _: &v1::ListEdgesRequest) -> Result<v1::ListEdgesResponse, Fault> {
        let (log, histories) = self.reach.histories().await?;
        let history = |history: store::port::History| v1::History {
            epoch: Some(epoch_to_wire(history.epoch)),
            parent: Some(epoch_to_wire(history.parent)),
            fork_seq: history.fork_seq,
            head: history.head,
            begin_time: history.at.map(wire::timestamp),
        };
        Ok(v1::ListEdgesResponse {
            edges: self.sessions.list(log.head.seq),
            log: Some(v1::Log {
                epoch: Some(epoch_to_wire(log.head.epoch)),
                head: log.head.seq,
                oldest: log.oldest,
                histories: histories.into_iter().map(history).collect(),
            }),
        })
    }

    /// See `ForgetEdge`.
    pub async fn forget_edge(
        &self,
        caller: &Caller,
        request: &v1::ForgetEdgeRequest,
    ) -> Result<v1::ForgetEdgeResponse, Fault> {
        // An edge serves every domain.
        let forgotten = match caller.bound.is_some() {
            true => Err(Fault::Forbidden("edges: it is for some domains".into())),
            false => self.sessions.forget(&request.edge).await,
        };
        if forgotten.is_ok() {
            // What it still holds of clicks is not waited for any more.
            self.clicks.horizon.forget(&request.edge).await?;
        }
        if let Ok(processes) = forgotten {
            let (edge, by) = (&request.edge, &caller.principal);
            tracing::info!(name: "edge_forgotten", edge, processes, %by, "an edge is forgotten");
        }
        forgotten.map(|processes| v1::ForgetEdgeResponse { processes })
    }
}
