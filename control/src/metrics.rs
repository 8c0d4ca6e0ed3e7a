//! What control counts, as families for `exposition`. Nothing is served here.

mod clicks;
mod redis;
mod store;
mod timings;

use crate::traces::{CallTrace, Traces};
use ::store::model::StoreStanding;
use exposition::{Collector, Encoder, Exemplar, Families};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use timings::Timings;

pub(crate) use clicks::ClickNumbers;
pub(crate) use redis::RedisNumbers;
pub(crate) use store::StoreNumbers;

/// The numbers of one control.
#[derive(Debug, Default)]
pub struct Metrics {
    requests: Mutex<BTreeMap<(&'static str, &'static str), u64>>,
    head: AtomicU64,
    sessions: AtomicI64,
    histories: AtomicU64,
    standing: Mutex<Option<StoreStanding>>,
    durations: Mutex<BTreeMap<&'static str, Arc<Timings>>>,
    refusals: Mutex<BTreeMap<&'static str, u64>>,
    /// Whether edges are shown by name, and where each stands.
    edges: Mutex<Vec<EdgeProgress>>,
    /// What is counted of the store.
    pub(crate) store: Arc<StoreNumbers>,
    /// What is counted of clicks.
    pub(crate) clicks: Arc<ClickNumbers>,
    /// What the relay to Redis counts.
    pub(crate) relay: RedisNumbers,
    /// The traces of this process, if they have a receiver.
    pub(crate) traces: Option<Traces>,
}

impl Metrics {
    /// None yet, and these traces.
    pub(crate) fn with(traces: Option<Traces>) -> Self {
        Self { traces, ..Self::default() }
    }

    /// A call was answered. Both labels come from the program, never from a caller.
    pub(crate) fn count(&self, method: &'static str, code: &'static str) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        *requests.entry((method, code)).or_default() += 1;
        drop(requests);
        crate::call::came_to(code);
    }

    /// A call was answered after so long; of one that streams, its stream began.
    pub(crate) fn took(&self, method: &'static str, took: Duration) {
        let mut durations = self.durations.lock().unwrap_or_else(PoisonError::into_inner);
        let timings = durations.entry(method).or_default().clone();
        drop(durations);
        timings.record(took);
    }

    /// A call was refused at the door, or a connection was.
    pub(crate) fn refused(&self, reason: &'static str) {
        *self.refusals.lock().unwrap_or_else(PoisonError::into_inner).entry(reason).or_default() += 1;
    }

    /// Where the edges stand, at most [`MOST_EDGES`] of them.
    pub(crate) fn set_edges(&self, mut edges: Vec<EdgeProgress>) {
        edges.truncate(MOST_EDGES);
        *self.edges.lock().unwrap_or_else(PoisonError::into_inner) = edges;
    }

    pub(crate) fn set_head(&self, seq: u64) {
        self.head.store(seq, Relaxed);
    }

    /// The end of the log, as it was last seen.
    pub(crate) fn head(&self) -> u64 {
        self.head.load(Relaxed)
    }

    /// Whether the store holds another history than this control has seen, and nobody said that it was meant.
    pub(crate) fn is_replaced(&self) -> bool {
        let standing = *self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        standing.is_some_and(|standing| standing.replaced)
    }

    pub(crate) fn set_standing(&self, standing: Option<StoreStanding>) {
        *self.standing.lock().unwrap_or_else(PoisonError::into_inner) = standing;
    }

    /// A new history took the place of another one.
    pub(crate) fn history(&self) {
        self.histories.fetch_add(1, Relaxed);
    }

    /// One more session, until the guard is dropped.
    pub(crate) fn session(self: &std::sync::Arc<Self>) -> SessionGuard {
        self.sessions.fetch_add(1, Relaxed);
        SessionGuard(self.clone())
    }
}

fn exemplar(call: &CallTrace) -> Exemplar {
    Exemplar { trace_id: u128::from_be_bytes(call.trace), value: call.seconds, at: call.ended }
}

/// Refusals that alerts are about: they are shown at 0, so that the first one is seen to be more.
const ALWAYS_SHOWN: [&str; 4] = ["UNAUTHENTICATED", "RATE_LIMITED", "SHARE_USED_UP", "OVERLOADED"];

/// Edges that are shown by name: theirs is the only label that comes from outside, so there is a bound.
pub(crate) const MOST_EDGES: usize = 1_000;

/// Where an edge stands.
#[derive(Clone, Debug)]
pub(crate) struct EdgeProgress {
    pub name: String,
    pub applied: u64,
    pub lag: u64,
    pub blind: bool,
    /// Two live processes say its name.
    pub doubled: bool,
}

impl Collector for Metrics {
    fn encode(&self, encoder: Encoder<'_>) -> fmt::Result {
        let mut families = Families::new(encoder);
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone();
        families.counters(
            "linkr_control_requests_total",
            "Calls answered, over gRPC and REST.",
            |series| {
                requests.iter().try_for_each(|((method, code), count)| {
                    series(&[("method", *method), ("code", *code)], *count)
                })
            },
        )?;
        let durations = self.durations.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let kept = self.traces.as_ref().map(Traces::calls).unwrap_or_default();
        families.histograms(
            "linkr_control_request_duration_seconds",
            "Seconds from a call's entrance to its answer; of one that streams, to the beginning of its stream.",
            |series| {
                durations.iter().try_for_each(|(method, timings)| {
                    let of_method = kept.iter().filter(|call| call.method == *method);
                    let histogram = timings.histogram().with_exemplars(of_method.map(exemplar).collect());
                    series(&[("method", *method)], &histogram)
                })
            },
        )?;
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for reason in ALWAYS_SHOWN {
            refusals.entry(reason).or_default();
        }
        families.counters(
            "linkr_control_refusals_total",
            "Calls refused at the door, by reason.",
            |series| refusals.iter().try_for_each(|(reason, count)| series(&[("reason", *reason)], *count)),
        )?;
        self.store.encode(&mut families)?;
        let edges = self.edges.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (name, help, of) in [
            (
                "linkr_control_edge_position",
                "The last change that an edge has applied.",
                (|edge| edge.applied as f64) as fn(&EdgeProgress) -> f64,
            ),
            ("linkr_control_edge_lag_changes", "Changes that an edge has not applied.", |edge| {
                edge.lag as f64
            }),
            ("linkr_control_edge_blind", "1: the edge was not answered for a second.", |edge| {
                f64::from(u8::from(edge.blind))
            }),
        ] {
            families.gauges(name, help, |series| {
                edges.iter().try_for_each(|edge| series(&[("edge", &edge.name)], of(edge)))
            })?;
        }
        families.gauge(
            "linkr_control_click_edges_doubled",
            "Names that two live edges say, at whichever controls: their clicks are complete up to the earlier of their times.",
            edges.iter().filter(|edge| edge.doubled).count() as f64,
        )?;
        let head = self.head.load(Relaxed) as f64;
        families.gauge("linkr_control_log_head", "The number of the last change in the log.", head)?;
        families.counter(
            "linkr_control_histories_total",
            "Histories of the log that began since the start, the one of a start on SQLite included.",
            self.histories.load(Relaxed),
        )?;
        families.gauge(
            "linkr_control_store_replaced",
            "1 while the store holds another history than this control has seen, and nobody said that it was meant.",
            f64::from(self.is_replaced()),
        )?;
        let standing = *self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        families.gauge(
            "linkr_control_freshness_certified",
            "1: fresh answers hold over a failover of the store, too; 0: up to one.",
            f64::from(standing.is_none_or(|standing| standing.certified)),
        )?;
        let sessions = self.sessions.load(Relaxed) as f64;
        families.gauge("linkr_control_feed_sessions", "Edges that follow the log here.", sessions)?;
        if let Some(traces) = &self.traces {
            traces.encode(&mut families)?;
        }
        self.clicks.encode(&mut families)?;
        self.relay.encode(&mut families, self.head.load(Relaxed))
    }
}

/// A session that is under way.
#[derive(Debug)]
pub(crate) struct SessionGuard(std::sync::Arc<Metrics>);

impl Drop for SessionGuard {
    fn drop(&mut self) {
        self.0.sessions.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use exposition::{Format, Registry};

    #[test]
    fn text() {
        let metrics = std::sync::Arc::new(Metrics::default());
        metrics.count("GetLink", "OK");
        metrics.count("GetLink", "OK");
        metrics.set_head(7);
        let guard = metrics.session();
        let mut registry = Registry::default();
        registry.register_collector(Box::new(metrics.clone()));
        let encode = || String::from_utf8(Format::Classic.encode(&registry).unwrap()).unwrap();
        let text = encode();
        for line in [
            "linkr_control_requests_total{method=\"GetLink\",code=\"OK\"} 2\n",
            "linkr_control_log_head 7\n",
            "linkr_control_feed_sessions 1\n",
        ] {
            assert!(text.contains(line), "{text}");
        }
        drop(guard);
        assert!(encode().contains("feed_sessions 0"));
    }

    #[test]
    fn refusals_that_alerts_are_about_are_there_before_the_first() {
        let metrics = std::sync::Arc::new(Metrics::default());
        metrics.refused("RATE_LIMITED");
        let mut registry = Registry::default();
        registry.register_collector(Box::new(metrics));
        let text = String::from_utf8(Format::Classic.encode(&registry).unwrap()).unwrap();
        for line in ["{reason=\"RATE_LIMITED\"} 1\n", "{reason=\"UNAUTHENTICATED\"} 0\n"] {
            assert!(text.contains(&format!("linkr_control_refusals_total{line}")), "{text}");
        }
    }
}
