//! The edges, what they say of themselves, and the log they follow, for the people who run them.

use super::{Service, edge_report};
use crate::asks::{AskFault, Asks};
use crate::metrics::RedisNumbers;
use crate::reports::Reports;
use crate::sessions::Sessions;
use crate::{Caller, Fault};
use feed::LogView;
use journal::names;
use proto::{epoch_to_wire, v1};
use std::sync::Arc;
use store::clock::unix_ms;
use store::port::History;
use store::wire;

/// What is known of edges, and the way to them.
pub struct EdgeSources {
    /// Which there are.
    pub sessions: Arc<Sessions>,
    /// What they say of themselves.
    pub reports: Arc<Reports>,
    /// What they are asked.
    pub asks: Arc<Asks>,
}

impl EdgeSources {
    fn with_report(&self, edge: v1::Edge) -> v1::Edge {
        let incarnation = u64::from_str_radix(&edge.incarnation, 16).unwrap_or_default();
        let Some(kept) = self.reports.of(&edge.edge, incarnation) else { return edge };
        let report = edge_report::read(&kept.report);
        let at = unix_ms() - kept.at.elapsed().as_millis() as i64;
        v1::Edge { report_time: report.is_some().then(|| wire::timestamp(at)), report, ..edge }
    }
}

impl Service {
    /// See `ListEdges`.
    pub async fn edges(
        &self,
        caller: &Caller,
        _: &v1::ListEdgesRequest,
    ) -> Result<v1::ListEdgesResponse, Fault> {
        let log = self.reach.histories().await;
        let head = log.as_ref().map_or_else(|_| self.metrics.head(), |(log, _)| log.head.seq);
        let mut edges = self.edges.sessions.list(head);
        let trouble = log.as_ref().err().map(Fault::told);
        let (mut store, mut redis) = (None, None);
        // They are about the links of every domain.
        if !caller.bound.is_some() {
            edges = edges.into_iter().map(|edge| self.edges.with_report(edge)).collect();
            store = Some(self.store_state(trouble));
            redis = redis_state(&self.metrics.relay, head);
        }
        Ok(v1::ListEdgesResponse { edges, log: log.ok().map(log_on_wire), store, redis })
    }

    /// `trouble`: why it could not be read just now.
    fn store_state(&self, trouble: Option<String>) -> v1::StoreState {
        let [read, written] = [false, true].map(|writes| self.metrics.store.good(writes));
        let reads = trouble.is_none() && read.is_ok();
        let writes = reads && written.is_ok();
        let trouble = trouble.or(read.err()).or(written.err()).unwrap_or_default();
        let replaced = self.metrics.is_replaced();
        v1::StoreState { kind: self.reach.store_kind(), reads, writes, trouble, replaced }
    }

    /// See `ExplainLink`.
    pub async fn explain_link(
        &self,
        caller: &Caller,
        request: &v1::ExplainLinkRequest,
    ) -> Result<v1::Explanation, Fault> {
        if request.edge.is_empty() {
            return Err(Fault::invalid("edge", "is missing: name the edge that is to be asked"));
        }
        let key = self.key(caller, &request.name).await?;
        let domain = self.reach.name(key.domain());
        let host = if domain == "-" { String::new() } else { domain };
        let explain = v1::Explain { id: 0, host, path: format!("/{}", names::code(&key)) };
        match self.edges.asks.ask(&request.edge, explain).await {
            Ok(told) => Ok(edge_report::explanation(told)),
            Err(fault) => Err(self.unreachable(&request.edge, fault)),
        }
    }

    fn unreachable(&self, edge: &str, fault: AskFault) -> Fault {
        let known = self.edges.sessions.list(0);
        let mut own = known.iter().filter(|known| known.edge == edge).peekable();
        if own.peek().is_none() {
            return Fault::EdgeNotFound(edge.to_owned());
        }
        let (here, sees) = own.fold((false, false), |(here, sees), known| {
            (here || known.session_since.is_some(), sees || !known.blind)
        });
        let why = match fault {
            AskFault::Busy => "has too many questions to answer: ask again in a moment",
            AskFault::Silent => "did not answer within 2 s: linkr feed status says whether it is blind",
            AskFault::NotHere if here => {
                "is of an older linkr, which is not asked through control: linkr link explain asks its admin listener"
            }
            AskFault::NotHere if sees => {
                "follows another control: ask that one, or its admin listener with linkr link explain"
            }
            AskFault::NotHere => "is away: linkr feed status says when it was last heard",
        };
        Fault::EdgeUnreachable { edge: edge.to_owned(), why }
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
            false => self.edges.sessions.forget(&request.edge).await,
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

fn log_on_wire((log, histories): (LogView, Vec<History>)) -> v1::Log {
    let history = |history: History| v1::History {
        epoch: Some(epoch_to_wire(history.epoch)),
        parent: Some(epoch_to_wire(history.parent)),
        fork_seq: history.fork_seq,
        head: history.head,
        begin_time: history.at.map(wire::timestamp),
    };
    v1::Log {
        epoch: Some(epoch_to_wire(log.head.epoch)),
        head: log.head.seq,
        oldest: log.oldest,
        histories: histories.into_iter().map(history).collect(),
    }
}

fn redis_state(relay: &RedisNumbers, head: u64) -> Option<v1::RedisState> {
    let standing = relay.standing(head)?;
    let number = |shards: usize| u32::try_from(shards).unwrap_or(u32::MAX);
    Some(v1::RedisState {
        shards: number(standing.shards),
        following: number(standing.following),
        lag: standing.lag,
    })
}
