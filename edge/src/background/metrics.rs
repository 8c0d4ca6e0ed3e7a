//! What this edge counts, as families for `exposition`. docs/metrics.md says what each means.

use crate::latency::{Durations, LADDER};
use crate::records::staleness;
use crate::redis::{RedisMeters, RedisOutcome};
use crate::shared::{Meters, Shared};
use crate::traces::{BucketTrace, KeepReason, TraceparentUse};
use clicks::{Kind, LossReason};
use exposition::{Collector, Encoder, Exemplar, Families, Histogram};
use hot::{Outcome, Tier};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

/// All families of the edge.
pub struct EdgeFamilies(pub Arc<Shared>);

impl fmt::Debug for EdgeFamilies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Edge")
    }
}

impl Collector for EdgeFamilies {
    fn encode(&self, encoder: Encoder<'_>) -> fmt::Result {
        let (shared, mut families) = (&*self.0, Families::new(encoder));
        requests(&mut families, shared)?;
        durations(&mut families, shared)?;
        traces(&mut families, shared)?;
        workers(&mut families, shared)?;
        set(&mut families, shared)?;
        feed(&mut families, shared)?;
        snapshot(&mut families, shared)?;
        redis(&mut families, shared)?;
        clicks(&mut families, shared)?;
        let driver = shared.driver().name();
        families.info("linkr_runtime_info", "The driver that the workers run on.", &[("driver", driver)])
    }
}

fn sum(shared: &Shared, of: impl Fn(&Meters) -> u64) -> u64 {
    shared.meters.iter().map(of).sum()
}

fn requests(families: &mut Families<'_>, shared: &Shared) -> fmt::Result {
    let help = "Requests by what they came to and where the answer came from.";
    families.counters("linkr_edge_requests_total", help, |series| {
        for (tier, outcome) in
            Tier::ALL.into_iter().flat_map(|tier| Outcome::ALL.map(|outcome| (tier, outcome)))
        {
            if can_be(tier, outcome) {
                let count = shared.count(tier, outcome);
                series(&[("outcome", outcome.label()), ("tier", tier.label())], count)?;
            }
        }
        Ok(())
    })?;
    let misses = sum(shared, Meters::misses);
    families.counter(
        "linkr_edge_misses_total",
        "Requests whose link was not in memory: Redis or control was asked.",
        misses,
    )?;
    let turns = sum(shared, Meters::turns);
    families.counter("linkr_edge_turns_total", "Times that bytes of a connection were answered.", turns)
}

/// Whether a request can come to this at all: the other pairs are no series.
fn can_be(tier: Tier, outcome: Outcome) -> bool {
    tier.of(outcome) == tier && (tier != Tier::None || Tier::Hot.of(outcome) == Tier::None)
}

fn durations(families: &mut Families<'_>, shared: &Shared) -> fmt::Result {
    let mut all = Durations::default();
    shared.durations.iter().for_each(|published| published.add_to(&mut all));
    let help = "Seconds from the first look at a request's bytes to the kernel's taking of the answer.";
    let exemplar = |kept: &BucketTrace| Exemplar {
        trace_id: u128::from_be_bytes(kept.trace),
        value: kept.seconds,
        at: SystemTime::UNIX_EPOCH + Duration::from_nanos(kept.ended_unix_ns),
    };
    let exemplars = shared.traces.of_buckets().iter().flatten().map(exemplar).collect();
    let histogram = histogram(&all).with_exemplars(exemplars);
    families.histogram("linkr_edge_request_duration_seconds", help, &histogram)
}

/// Each value counts as the longest of those that are not told apart from it (less than 0.8 % longer): no bucket
/// claims that an answer was quicker than it was.
fn histogram(durations: &Durations) -> Histogram {
    let seconds = |ns: u64| ns as f64 / 1e9;
    let values = durations.histogram.iter_recorded();
    let values = values.map(|at| (seconds(at.value_iterated_to()), at.count_at_value()));
    Histogram::new(&LADDER, seconds(durations.sum_ns), values)
}

fn traces(families: &mut Families<'_>, shared: &Shared) -> fmt::Result {
    let (traces, counts) = (&shared.traces, &shared.traces.counts);
    let help = "Seconds from which on a turn is slow: all but a thousandth of the last minute were quicker.";
    families.gauge("linkr_edge_slow_threshold_seconds", help, traces.slow_ns() as f64 / 1e9)?;
    let help = "Turns that were kept as traces, by why.";
    let mut each = |name: &str, help: &str, of: fn((u64, u64)) -> u64| {
        families.counters(name, help, |series| {
            KeepReason::ALL
                .into_iter()
                .try_for_each(|reason| series(&[("reason", reason.label())], of(counts.of(reason))))
        })
    };
    each("linkr_edge_traces_kept_total", help, |(kept, _)| kept)?;
    let help =
        "Turns that were not kept as traces, though there was a reason: too many had been just before.";
    each("linkr_edge_traces_passed_over_total", help, |(_, passed_over)| passed_over)?;
    let help = "Requests that said to which trace they belong, by what became of that.";
    families.counters("linkr_edge_traceparents_total", help, |series| {
        TraceparentUse::ALL
            .into_iter()
            .try_for_each(|used| series(&[("outcome", used.label())], counts.parents(used)))
    })?;
    let help = "Traces that were kept and not sent: too many waited.";
    let crowded_out = counts.crowded_out.load(Ordering::Relaxed);
    families.counter("linkr_edge_traces_crowded_out_total", help, crowded_out)?;
    let sent = &shared.outbox.counts;
    let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let help = "Spans for the receiver of --otlp by what became of them.";
    families.counters("linkr_edge_otlp_spans_total", help, |series| {
        series(&[("outcome", "sent")], load(&sent.sent))?;
        series(&[("outcome", "dropped")], load(&sent.dropped))?;
        series(&[("outcome", "failed")], load(&sent.failed))
    })?;
    let help = "Calls of the receiver of --otlp that came to nothing: slow ones were given up after 5 s.";
    families.counters("linkr_edge_otlp_failures_total", help, |series| {
        series(&[("outcome", "slow")], load(&sent.slow_calls))?;
        series(&[("outcome", "failed")], load(&sent.failed_calls))
    })
}

fn workers(families: &mut Families<'_>, shared: &Shared) -> fmt::Result {
    let names: Vec<String> = (0..shared.meters.len()).map(|worker| worker.to_string()).collect();
    let each = || names.iter().zip(&shared.meters);
    families.gauges("linkr_edge_connections", "Open connections by worker.", |series| {
        each().try_for_each(|(name, meters)| series(&[("worker", name)], meters.connections() as f64))
    })?;
    families.counters("linkr_edge_accepted_total", "Connections accepted by worker.", |series| {
        each().try_for_each(|(name, meters)| series(&[("worker", name)], meters.accepted_total()))
    })?;
    families.counters("linkr_edge_answered_total", "Requests answered by worker.", |series| {
        each().try_for_each(|(name, meters)| series(&[("worker", name)], meters.answered()))
    })?;
    let help = "1: as many connections are open as the limit of descriptors allows, and others wait.";
    families.gauge("linkr_edge_crowded", help, flag(shared.troubles.crowded.lasts()))?;
    families.counters("linkr_edge_tls_handshakes_total", "TLS handshakes by what came of them.", |series| {
        ["full", "resumed", "failed"].into_iter().enumerate().try_for_each(|(at, outcome)| {
            series(&[("outcome", outcome)], sum(shared, |meters| meters.handshakes()[at]))
        })
    })
}

fn set(families: &mut Families<'_>, shared: &Shared) -> fmt::Result {
    let set = &shared.set;
    families.gauge("linkr_hot_set_entries", "Links in memory.", set.entries() as f64)?;
    let help = "Bytes that the links in memory take, everything counted.";
    families.gauge("linkr_hot_set_bytes", help, set.bytes() as f64)?;
    families.gauge("linkr_hot_set_budget_bytes", "The bound of linkr_hot_set_bytes.", set.budget() as f64)?;
    let help = "Links evicted because the budget was full.";
    families.counter("linkr_hot_set_evictions_total", help, set.evictions())?;
    let help = "1: every link is in memory, so an absent one is a 404.";
    families.gauge("linkr_hot_set_complete", help, flag(set.is_complete()))
}

fn feed(families: &mut Families<'_>, shared: &Shared) -> fmt::Result {
    let feed = &shared.feed;
    let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    families.gauge("linkr_feed_applied_seq", "The last change applied.", shared.set.applied() as f64)?;
    let lag = load(&feed.lag);
    let help = "Changes that are known to exist and are not applied yet.";
    families.gauge("linkr_feed_lag_changes", help, lag as f64)?;
    let staleness = staleness(shared).unwrap_or(f64::INFINITY);
    let help = "Seconds since no known change was missing; 0 while none is.";
    families.gauge("linkr_feed_lag_seconds", help, lag_seconds(lag, staleness))?;
    let connected = feed.connected.load(Ordering::Relaxed);
    families.gauge("linkr_feed_connected", "1: a stream from control is up.", flag(connected))?;
    let help = "Streams begun again because a message was missing.";
    families.counter("linkr_feed_gaps_total", help, load(&feed.gaps))?;
    families.counter("linkr_feed_resets_total", "Times that the edge began anew.", load(&feed.resets))?;
    let help = "Records that could not be read: their codes are answered with 503.";
    families.counter("linkr_feed_quarantined_total", help, load(&feed.quarantined))?;
    let help = "Seconds since everything acknowledged was known to be applied.";
    families.gauge("linkr_edge_staleness_seconds", help, staleness)
}

/// Only of an edge that keeps a file.
fn snapshot(families: &mut Families<'_>, shared: &Shared) -> fmt::Result {
    let Some(counts) = shared.snapshot.as_ref().map(|snapshot| &snapshot.counts) else { return Ok(()) };
    let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let help = "Seconds since the snapshot was written; +Inf: there is none.";
    families.gauge("linkr_edge_snapshot_age_seconds", help, counts.age_seconds())?;
    families.gauge(
        "linkr_edge_snapshot_bytes",
        "Bytes that the snapshot takes on disk.",
        load(&counts.bytes) as f64,
    )?;
    let help = "Seconds that writing the snapshot took, or reading it at the start.";
    families.gauge("linkr_edge_snapshot_duration_seconds", help, load(&counts.took_ns) as f64 / 1e9)?;
    let help = "Times that the snapshot could not be written; the one before stays.";
    families.counter("linkr_edge_snapshot_write_failures_total", help, load(&counts.write_failures))?;
    let help = "Times that the snapshot could not be read: this edge began with nothing.";
    families.counter("linkr_edge_snapshot_load_failures_total", help, load(&counts.load_failures))
}

/// Only of an edge that has one.
fn redis(families: &mut Families<'_>, shared: &Shared) -> fmt::Result {
    let Some(meters) = shared.redis.as_ref().map(|redis| &redis.meters) else { return Ok(()) };
    let up = meters.iter().filter(|meters| meters.is_up()).count();
    families.gauge("linkr_redis_up", "1: at least one worker asks Redis.", flag(up > 0))?;
    let help = "Workers that do not ask Redis for now.";
    families.gauge("linkr_redis_breaker_open", help, (meters.len() - up) as f64)?;
    let help = "Questions to Redis whose replies are awaited.";
    let in_flight: u64 = meters.iter().map(RedisMeters::in_flight).sum();
    families.gauge("linkr_redis_in_flight", help, in_flight as f64)?;
    let help = "Questions to Redis by what they came to.";
    families.counters("linkr_redis_requests_total", help, |series| {
        RedisOutcome::ALL.into_iter().try_for_each(|came| {
            series(&[("outcome", came.label())], meters.iter().map(|meters| meters.count(came)).sum())
        })
    })?;
    let mut all = Durations::default();
    meters.iter().for_each(|meters| meters.add_durations(&mut all));
    let help = "Seconds from a question to Redis to what came of it.";
    families.histogram("linkr_redis_request_duration_seconds", help, &histogram(&all))
}

/// Only of an edge that counts clicks. All of one moment, so that they add up in every scrape.
fn clicks(families: &mut Families<'_>, shared: &Shared) -> fmt::Result {
    let Some(clicks) = &shared.clicks else { return Ok(()) };
    let counts = clicks.counts();
    let help = "Clicks recorded: acknowledged, lost and pending ones.";
    families.counter("linkr_clicks_recorded_total", help, counts.recorded)?;
    families.counters("linkr_clicks_total", "Clicks by what they are.", |series| {
        let mut kinds = Kind::ALL.into_iter();
        kinds.try_for_each(|kind| series(&[("kind", kind.label())], counts.kinds[kind as usize]))
    })?;
    let help = "Clicks that control has acknowledged: it has them on disk.";
    families.counter("linkr_clicks_acknowledged_total", help, counts.acknowledged)?;
    families.counters("linkr_clicks_lost_total", "Clicks that are in no count, by why.", |series| {
        let mut reasons = LossReason::ALL.into_iter();
        reasons.try_for_each(|reason| series(&[("reason", reason.label())], counts.lost_for(reason)))
    })?;
    let help = "Clicks recorded that are neither acknowledged nor lost.";
    families.gauge("linkr_clicks_pending", help, counts.pending as f64)?;
    let help = "Bytes of the spool of clicks, with what is kept after it was acknowledged.";
    families.gauge("linkr_clicks_spool_bytes", help, counts.spool_bytes as f64)?;
    let help = "Of those, bytes of files with clicks that control lacks: they cannot go without a loss.";
    families.gauge("linkr_clicks_spool_owed_bytes", help, counts.spool_owed_bytes as f64)?;
    let help = "Bytes that the spool of clicks may take.";
    families.gauge("linkr_clicks_spool_budget_bytes", help, clicks.config.spool_bytes as f64)?;
    let help = "Times that the spool of clicks could not be written or read.";
    families.counter("linkr_clicks_spool_failures_total", help, counts.spool_failures)?;
    let help = "Batches of clicks that control refused.";
    families.counter("linkr_clicks_refused_total", help, counts.refused)?;
    let help = "1: a database of countries is in use.";
    families.gauge("linkr_clicks_geo_in_use", help, flag(counts.geo_in_use))?;
    let help = "Times that the database of countries could not be used; one before stays in use.";
    families.counter("linkr_clicks_geo_failures_total", help, counts.geo_failures)
}

fn flag(on: bool) -> f64 {
    f64::from(u8::from(on))
}

fn lag_seconds(lag: u64, staleness: f64) -> f64 {
    if lag == 0 { 0.0 } else { staleness }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traces::{KeptTrace, TraceIds};
    use exposition::{Format, Registry};
    use hot::Counts;

    fn shared() -> Arc<Shared> {
        Arc::new(Shared::new(1 << 20, 2, futures_channel::mpsc::channel(1).0, None, None))
    }

    fn text(shared: &Arc<Shared>, format: Format) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(EdgeFamilies(Arc::clone(shared))));
        String::from_utf8(format.encode(&registry).unwrap()).unwrap()
    }

    #[test]
    fn every_line_is_a_comment_or_a_sample_and_nothing_stands_twice() {
        for format in [Format::Classic, Format::OpenMetrics] {
            let text = text(&shared(), format);
            let mut seen = std::collections::HashSet::new();
            for line in text.lines().filter(|line| !line.starts_with("# ")) {
                let (name, value) = line.rsplit_once(' ').unwrap();
                assert!(name.starts_with("linkr_") && value.parse::<f64>().is_ok(), "{line}");
                assert!(seen.insert(name), "{line}");
            }
            for line in text.lines().filter(|line| line.starts_with("# TYPE ")) {
                assert!(seen.insert(line.rsplit_once(' ').unwrap().0), "{line}");
            }
            assert!(text.contains("\nlinkr_edge_staleness_seconds +Inf\n"), "never fresh yet: {text}");
            assert!(text.contains("\nlinkr_feed_lag_seconds 0"), "and nothing known to be missing");
        }
    }

    #[test]
    fn requests_have_a_series_for_what_can_be_and_no_other() {
        let shared = shared();
        let mut counts = Counts::default();
        counts.add(Outcome::Redirect);
        counts.add(Outcome::Redirect);
        counts.add(Outcome::Refused);
        shared.meters[1].turned(&mut counts);
        let text = text(&shared, Format::Classic);
        for line in [
            "linkr_edge_requests_total{outcome=\"redirect\",tier=\"hot\"} 2\n",
            "linkr_edge_requests_total{outcome=\"refused\",tier=\"none\"} 1\n",
            "linkr_edge_requests_total{outcome=\"gone\",tier=\"stale\"} 0\n",
        ] {
            assert!(text.contains(line), "{text}");
        }
        assert!(
            text.contains("{outcome=\"root\",tier=\"none\"} 0\n")
                && !text.contains("{outcome=\"root\",tier=\"hot\"}")
        );
        assert!(text.contains("{outcome=\"expired\",tier=\"redis\"} 0\n"), "{text}");
        // Each outcome of a look-up by four tiers, any other one once.
        let series = |outcome: Outcome| if Tier::Hot.of(outcome) == Tier::None { 1 } else { 4 };
        let all: usize = Outcome::ALL.into_iter().map(series).sum();
        assert_eq!(text.matches("linkr_edge_requests_total{").count(), all);
    }

    #[test]
    fn the_duration_of_a_kept_trace_is_shown_with_it() {
        let shared = shared();
        let ids = TraceIds { trace: 0xfe_u128.to_be_bytes(), span: [1; 8] };
        let kept = KeptTrace { ids, ns: 20_000_000, began_unix_ns: 0, ..KeptTrace::example() };
        shared.traces.take(&mut vec![kept]);
        let text = text(&shared, Format::OpenMetrics);
        let shown = "bucket{le=\"0.025\"} 0 # {trace_id=\"000000000000000000000000000000fe\"} 0.02 0.020\n";
        assert!(text.contains(shown) && text.matches(" # {").count() == 1, "{text}");
    }

    #[test]
    fn durations_of_all_workers_are_one_histogram() {
        let shared = shared();
        let mut own = Durations::default();
        for (worker, ns) in [(0, 6_000), (1, 6_000), (1, 200_000)] {
            own.record(ns, 5);
            shared.durations[worker].take(&mut own);
        }
        let text = text(&shared, Format::Classic);
        for (le, count) in [("0.000025", 10), ("0.0001", 10), ("0.00025", 15), ("+Inf", 15)] {
            let line = format!("linkr_edge_request_duration_seconds_bucket{{le=\"{le}\"}} {count}\n");
            assert!(text.contains(&line), "{line}{text}");
        }
        assert!(text.contains("linkr_edge_request_duration_seconds_sum 0.00106\n"), "{text}");
        assert!(text.contains("linkr_edge_request_duration_seconds_count 15\n"), "{text}");
    }

    #[test]
    fn no_answer_is_said_to_be_quicker_than_it_was() {
        for ns in [1, 24_999, 25_000, 25_001, 999_999, 1_000_000_000, u64::from(u32::MAX)] {
            let mut own = Durations::default();
            own.record(ns, 1);
            let le = own.histogram.iter_recorded().next().unwrap().value_iterated_to();
            assert!((ns..=ns + ns / 128).contains(&le), "{ns}: {le}");
        }
    }

    #[test]
    fn lag_in_seconds() {
        assert_eq!(lag_seconds(0, 12.0), 0.0);
        assert_eq!(lag_seconds(3, 12.0), 12.0);
        assert_eq!(lag_seconds(3, f64::INFINITY), f64::INFINITY);
    }
}
