//! What a run came to, in the form that is kept: as JSON, and for people.

mod files;
mod html;
mod text;

use crate::law::ClickLaw;
use crate::measure::{Fate, Measurement};
use crate::server::{self, Reading, Tiers};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub use files::write_all;
pub use html::sweep_plot;
pub use text::print;

/// A run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// Layout of this report: 1.
    pub layout: u32,
    /// Version of the program.
    pub version: String,
    /// The server's URL.
    pub target: String,
    /// How it was loaded, in words: the options that matter.
    pub load: BTreeMap<String, String>,
    /// Requests a second that were meant to be sent; absent for a closed loop.
    pub offered: Option<f64>,
    /// The warm-up, if there was one.
    pub cold: Option<Phase>,
    /// The run.
    pub warm: Phase,
    /// What became of its clicks, warm-up included; absent where the server counts none.
    #[serde(default)]
    pub clicks: Option<ClickLaw>,
    /// Why nothing may be concluded from the latencies; absent when something may.
    pub void: Option<String>,
}

/// A part of a run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Phase {
    /// Seconds.
    pub seconds: f64,
    /// Requests that ended, however.
    pub requests: u64,
    /// Right answers.
    pub right: u64,
    /// Right answers a second.
    pub rate: f64,
    /// Requests by what became of them; zeros left out.
    pub fates: BTreeMap<String, u64>,
    /// Answers by hundreds of the status; zeros left out.
    pub statuses: BTreeMap<String, u64>,
    /// Connections that ended in it; all that are left end with the run.
    #[serde(default)]
    pub connections: u64,
    /// Those of them that began with a TLS session of an earlier one.
    #[serde(default)]
    pub resumed: u64,
    /// From the intended send: what a visitor waits.
    pub corrected: Latency,
    /// From the actual send: what a load test that waits for answers would have said.
    pub uncorrected: Latency,
    /// The generator's own: from when a request could have been sent until it was.
    pub lateness: Latency,
    /// From the intended send, less what the generator was late, with this request and with those before it on its connection.
    #[serde(default)]
    pub served: Latency,
    /// CPU time of the server for each request, microseconds.
    pub cpu_us: Option<f64>,
    /// That of an edge's workers alone.
    #[serde(default)]
    pub worker_cpu_us: Option<f64>,
    /// System calls of the server for each request.
    pub syscalls: Option<f64>,
    /// Answers about links by the tier that gave them.
    pub tiers: Tiers,
    /// The same over time: intervals, each with its end in seconds from the start of the phase.
    #[serde(default)]
    pub tiers_over_time: Vec<(f64, Tiers)>,
    /// What the edge counted for each worker.
    pub workers: BTreeMap<String, BTreeMap<String, u64>>,
    /// Right answers, others, and the longest latency (µs) of each second.
    pub each_second: Vec<(u64, u64, f64)>,
}

/// A distribution, in microseconds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Latency {
    pub mean: f64,
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p999: f64,
    pub p9999: f64,
    pub max: f64,
    /// Quantile and value, for plots.
    pub curve: Vec<(f64, f64)>,
}

impl Latency {
    /// Of a histogram of nanoseconds.
    pub fn of(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
        let mut curve = Vec::new();
        let mut left = 1.0f64;
        while left > 0.000_005 && !histogram.is_empty() {
            curve.push((1.0 - left, at(1.0 - left)));
            left *= 0.8;
        }
        let mean = if histogram.is_empty() { 0.0 } else { histogram.mean() / 1e3 };
        let max = histogram.max() as f64 / 1e3;
        Self {
            mean,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            p9999: at(0.9999),
            max,
            curve,
        }
    }
}

impl Phase {
    /// Of what was measured between two readings.
    pub fn of(measured: &Measurement, seconds: f64, before: &Reading, after: &Reading) -> Self {
        let requests = measured.all();
        let each = |seconds: f64| (seconds > 0.0 && requests > 0).then(|| seconds / requests as f64 * 1e6);
        let counted = |pairs: Vec<(String, u64)>| pairs.into_iter().filter(|(_, count)| *count > 0).collect();
        let fates = Fate::ALL.iter().map(|(fate, name)| ((*name).to_owned(), measured.fates[*fate as usize]));
        let statuses =
            measured.statuses.iter().enumerate().map(|(hundred, &count)| (format!("{hundred}xx"), count));
        Self {
            seconds,
            requests,
            right: measured.right(),
            rate: if seconds > 0.0 { measured.right() as f64 / seconds } else { 0.0 },
            fates: counted(fates.collect()),
            statuses: counted(statuses.collect()),
            connections: measured.connections,
            resumed: measured.resumed,
            corrected: Latency::of(&measured.corrected),
            uncorrected: Latency::of(&measured.uncorrected),
            lateness: Latency::of(&measured.lateness),
            served: Latency::of(&measured.served),
            cpu_us: each(after.cpu - before.cpu),
            worker_cpu_us: each(after.worker_cpu - before.worker_cpu),
            syscalls: None,
            tiers: server::between(&before.tiers(), &after.tiers()),
            tiers_over_time: Vec::new(),
            workers: server::workers(before, after),
            each_second: measured
                .seconds
                .iter()
                .map(|s| (s.right, s.wrong, s.longest as f64 / 1e3))
                .collect(),
        }
    }

    /// The part of the answers about links that came from memory.
    pub fn hit_rate(&self) -> Option<f64> {
        let all: u64 = self.tiers.values().sum();
        (all > 0).then(|| self.tiers.get("hot").copied().unwrap_or(0) as f64 / all as f64)
    }
}

/// Why nothing may be concluded from the latencies of an open loop: the generator itself was late by more than a tenth
/// of what it reports.
pub fn void(open: bool, phase: &Phase) -> Option<String> {
    let (late, p99) = (phase.lateness.p99, phase.corrected.p99);
    (open && late > p99 / 10.0).then(|| {
        format!(
            "the generator was late by {late:.0} µs at p99, more than a tenth of the {p99:.0} µs it reports"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_generator_voids_its_latencies() {
        let phase = |late, p99| Phase {
            lateness: Latency { p99: late, ..Latency::default() },
            corrected: Latency { p99, ..Latency::default() },
            ..Phase::default()
        };
        assert!(void(true, &phase(11.0, 100.0)).is_some());
        assert!(void(true, &phase(9.0, 100.0)).is_none());
        assert!(void(false, &phase(90.0, 100.0)).is_none(), "a closed loop has no intended send");
    }
}
