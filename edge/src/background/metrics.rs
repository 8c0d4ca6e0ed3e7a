//! What this edge counts, in the classic text format of Prometheus (version 0.0.4).

use super::records::staleness;
use crate::shared::{Meters, Shared};
use hot::Outcome;
use std::fmt::Write;
use std::sync::atomic::Ordering;

/// All families of the edge.
pub fn encode(shared: &Shared) -> String {
    let mut text = Text(String::with_capacity(8 * 1024));
    requests(&mut text, shared);
    workers(&mut text, shared);
    set(&mut text, shared);
    feed(&mut text, shared);
    text.family("linkr_runtime_info", "gauge", "The driver that the workers run on.");
    text.sample("linkr_runtime_info", &[("driver", shared.driver().name())], 1);
    text.family("linkr_build_info", "gauge", "The version of this program.");
    text.sample("linkr_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    text.0
}

fn sum(shared: &Shared, of: impl Fn(&Meters) -> u64) -> u64 {
    shared.meters.iter().map(of).sum()
}

fn requests(text: &mut Text, shared: &Shared) {
    const NAME: &str = "linkr_edge_requests_total";
    text.family(NAME, "counter", "Requests by what they came to.");
    for outcome in Outcome::ALL {
        let count = sum(shared, |meters| meters.outcome(outcome));
        text.sample(NAME, &[("outcome", outcome.label())], count);
    }
    text.single(
        "linkr_edge_misses_total",
        "counter",
        "Requests that had to ask control.",
        sum(shared, Meters::misses),
    );
    let turns = sum(shared, Meters::turns);
    text.single(
        "linkr_edge_turns_total",
        "counter",
        "Times that bytes of a connection were answered.",
        turns,
    );
}

fn workers(text: &mut Text, shared: &Shared) {
    let mut each = |name, kind, help, of: &dyn Fn(&Meters) -> u64| {
        text.family(name, kind, help);
        for (worker, meters) in shared.meters.iter().enumerate() {
            text.sample(name, &[("worker", &worker.to_string())], of(meters));
        }
    };
    each("linkr_edge_connections", "gauge", "Open connections by worker.", &Meters::connections);
    let total = "linkr_edge_connections_total";
    each(total, "counter", "Connections accepted by worker.", &Meters::connections_total);
}

fn set(text: &mut Text, shared: &Shared) {
    let set = &shared.set;
    text.single("linkr_hot_set_entries", "gauge", "Links in memory.", set.entries());
    text.single("linkr_hot_set_bytes", "gauge", "Bytes that they take, everything counted.", set.bytes());
    text.single("linkr_hot_set_budget_bytes", "gauge", "The bound of linkr_hot_set_bytes.", set.budget());
    let evictions = set.evictions();
    text.single(
        "linkr_hot_set_evictions_total",
        "counter",
        "Links evicted because the budget was full.",
        evictions,
    );
    let complete = u8::from(set.is_complete());
    text.single(
        "linkr_hot_set_complete",
        "gauge",
        "1: every link is in memory, so an absent one is a 404.",
        complete,
    );
}

fn feed(text: &mut Text, shared: &Shared) {
    let feed = &shared.feed;
    let load = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    let applied = shared.set.applied();
    text.single("linkr_feed_applied_seq", "gauge", "The last change applied.", applied);
    text.single(
        "linkr_feed_lag_changes",
        "gauge",
        "Changes that exist and are not applied yet.",
        load(&feed.lag),
    );
    let connected = u8::from(feed.connected.load(Ordering::Relaxed));
    text.single("linkr_feed_connected", "gauge", "1: a stream from control is up.", connected);
    text.single(
        "linkr_feed_gaps_total",
        "counter",
        "Streams begun again because a message was missing.",
        load(&feed.gaps),
    );
    text.single("linkr_feed_resets_total", "counter", "Times that the edge began anew.", load(&feed.resets));
    let quarantined = load(&feed.quarantined);
    text.single(
        "linkr_feed_quarantined_total",
        "counter",
        "Records that could not be understood.",
        quarantined,
    );
    let staleness = staleness(shared).map_or("+Inf".to_owned(), |seconds| format!("{seconds:.3}"));
    let help = "Seconds since everything acknowledged was known to be applied.";
    text.single("linkr_edge_staleness_seconds", "gauge", help, staleness);
}

struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}"); // a String takes everything
    }

    /// Label values are ours: none needs escaping.
    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        let _ = writeln!(self.0, "{name}{{{}}} {value}", labels.join(","));
    }

    fn single(&mut self, name: &str, kind: &str, help: &str, value: impl std::fmt::Display) {
        self.family(name, kind, help);
        let _ = writeln!(self.0, "{name} {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_a_comment_or_a_sample_and_no_series_stands_twice() {
        let shared = Shared::new(1 << 20, 2, futures_channel::mpsc::channel(1).0);
        let text = encode(&shared);
        let mut series = std::collections::HashSet::new();
        for line in text.lines().filter(|line| !line.starts_with("# ")) {
            let (name, value) = line.rsplit_once(' ').unwrap();
            assert!(name.starts_with("linkr_") && value.parse::<f64>().is_ok(), "{line}");
            assert!(series.insert(name), "{line}");
        }
        assert!(series.contains("linkr_edge_requests_total{outcome=\"redirect\"}"));
        assert!(text.contains("\nlinkr_edge_staleness_seconds +Inf\n"), "never fresh yet");
    }
}
