//! What counts as slow, and what this edge says of the traces that it kept: to whoever asks it, and in its log.

use crate::minute::{Looks, Totals};
use crate::shared::Shared;
use crate::sys;
use crate::traces::{BucketTrace, Hop, KeptTrace, TurnEvent};
use axum::Json;
use axum::extract::Query;
use exposition::Hex;
use hdrhistogram::Histogram;
use hot::Outcome;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// How often the answers of the last minute are looked at.
const LOOK: Duration = Duration::from_secs(5);
/// With fewer answers than this there is no telling what the slowest thousandth is.
const ENOUGH: u64 = 1_000;
/// The share of answers that are not slow.
const QUICK: f64 = 0.999;

/// Keeps the answers of the last minute at hand, sets by them which ones are slow, and tells in the log that there were some.
pub async fn watch(shared: Arc<Shared>) {
    let totals =
        || Totals::of(sys::boottime_ms(), |tier, outcome| shared.count(tier, outcome), &shared.durations);
    let (mut looks, mut told) = (Looks::from(totals()), 0);
    loop {
        tokio::time::sleep(LOOK).await;
        let minute = looks.look(totals());
        shared.traces.set_slow_ns(slowest(&minute.durations));
        *shared.minute.lock().unwrap_or_else(PoisonError::into_inner) = minute;
        told = tell(&shared, told);
    }
}

/// Nanoseconds that all but a thousandth of these answers did not take; 0: they are too few.
fn slowest(minute: &Histogram<u64>) -> u64 {
    if minute.len() < ENOUGH { 0 } else { minute.value_at_quantile(QUICK) }
}

/// One line about slow turns, ever more seldom while there are some. Returns when the last one ended that is known.
fn tell(shared: &Shared, told: u64) -> u64 {
    let slow = shared.traces.last(true);
    let Some(last) = slow.last().filter(|last| last.ended_unix_ns() > told) else {
        shared.troubles.slow.over(sys::boottime_ms());
        return told;
    };
    let new = slow.iter().filter(|one| one.ended_unix_ns() > told);
    let slowest = new.max_by_key(|one| one.ns).unwrap_or(last);
    if let Some(tell) = shared.troubles.slow.met(sys::boottime_ms(), slowest.cause.label()) {
        let (ms, trace_id) = (slowest.ns / 1_000_000, Hex(&slowest.ids.trace));
        let (reason, cause, untold) = (slowest.reason.label(), slowest.cause.label(), tell.untold);
        let (path, code) = (&*slowest.request.path, slowest.request.status);
        tracing::info!(
            name: "slow_answers", %trace_id, reason, cause, ms, path, code, untold,
            "some answers were slow; this one took longest of the last ones: linkr tail --slow shows them"
        );
    }
    last.ended_unix_ns()
}

/// Answers what is kept: those with a trouble, or with `?all=1` every one, the oldest first.
pub async fn kept(shared: Arc<Shared>, Query(words): Query<HashMap<String, String>>) -> Json<Value> {
    let all = words.get("all").is_some_and(|word| word == "1");
    let traces = shared.traces.last(!all);
    let traces: Vec<Value> = traces.iter().map(|trace| described(trace)).collect();
    let buckets = shared.traces.of_buckets();
    let buckets: Vec<Value> = buckets.iter().flatten().map(of_bucket).collect();
    Json(json!({ "slow_us": shared.traces.slow_ns() / 1_000, "traces": traces, "buckets": buckets }))
}

/// The last trace of one bucket of the durations.
fn of_bucket(last: &BucketTrace) -> Value {
    let (trace_id, us) = (Hex(&last.trace).to_string(), (last.seconds * 1e6).round());
    json!({ "trace_id": trace_id, "us": us, "ended_unix_us": last.ended_unix_ns / 1_000 })
}

fn described(trace: &KeptTrace) -> Value {
    let KeptTrace { request, began_unix_ns, .. } = trace;
    let since = |at: u64| (at as i64 - *began_unix_ns as i64) / 1_000; // 292 years
    let hop = |hop: &Hop| {
        json!({
            "tier": hop.cause().label(), "after_us": since(hop.began_unix_ns), "us": hop.ns / 1_000,
            "outcome": hop.outcome, "joined": hop.joined.map(|joined| Hex(&joined.trace).to_string()),
        })
    };
    let event = |event: &TurnEvent| {
        let outcomes: Vec<&str> = event.marks.outcomes().map(Outcome::label).collect();
        json!({
            "what": event.name(), "after_us": since(event.began_unix_ns), "us": event.ns / 1_000,
            "outcomes": outcomes.join(","),
        })
    };
    json!({
        "trace_id": Hex(&trace.ids.trace).to_string(),
        "reason": trace.reason.label(),
        "weight": trace.weight,
        "cause": trace.cause.label(),
        "worker": trace.worker,
        "began_unix_us": began_unix_ns / 1_000,
        "us": trace.ns / 1_000,
        "answers": trace.answers,
        "outcome": trace.outcome(),
        "method": request.method,
        "host": request.host,
        "path": request.path,
        "status": request.status,
        "hops": trace.hops.iter().map(hop).collect::<Vec<_>>(),
        "before": trace.before.iter().map(event).collect::<Vec<_>>(),
        "left_out": trace.left_out,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::Durations;

    #[test]
    fn the_slowest_thousandth_of_the_last_minute_is_slow() {
        let mut minute = Durations::default();
        assert_eq!(slowest(&minute.histogram), 0, "no answers");
        minute.record(20_000, 999);
        assert_eq!(slowest(&minute.histogram), 0, "too few");
        minute.record(20_000, 98_001);
        minute.record(3_000_000, 1_000);
        let ns = slowest(&minute.histogram);
        assert!((2_900_000..3_100_000).contains(&ns), "{ns}");
    }

    #[test]
    fn what_is_kept_is_described_with_what_came_before() {
        let marks = hot::TurnMarks::of(Outcome::NotFound);
        let before = TurnEvent { began_unix_ns: 999_000_000, ns: 40_000_000, marks };
        let trace = KeptTrace { before: vec![before], ..KeptTrace::example() };
        let said = described(&trace);
        assert_eq!(said["trace_id"], "07070707070707070707070707070707");
        assert_eq!((&said["reason"], &said["cause"]), (&"slow".into(), &"worker".into()));
        assert_eq!((&said["us"], &said["path"], &said["weight"]), (&5_000.into(), &"/a".into(), &1.into()));
        let event = json!({ "what": "turn", "after_us": -1_000, "us": 40_000, "outcomes": "not_found" });
        assert_eq!(said["before"], json!([event]));
    }
}
