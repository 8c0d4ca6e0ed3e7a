//! What a trial says at its end, for people and for programs.

use crate::history::{History, Micros, Promise};
use crate::judge::{Ages, Verdict, Violation, WindowSightings};
use crate::probe::Sample;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Times in milliseconds.
#[derive(Debug, Serialize)]
pub struct Times {
    /// How many.
    pub count: usize,
    p50: f64,
    p99: f64,
    /// The longest.
    pub most: f64,
}

impl Times {
    /// Of these.
    pub fn new(mut micros: Vec<Micros>) -> Self {
        micros.sort_unstable();
        let at = |share: f64| {
            let last = micros.len().saturating_sub(1);
            let index = (micros.len() as f64 * share) as usize;
            micros.get(index.min(last)).map_or(0.0, |&micros| micros as f64 / 1e3)
        };
        Self { count: micros.len(), p50: at(0.5), p99: at(0.99), most: at(1.0) }
    }
}

impl std::fmt::Display for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { count, p50, p99, most } = self;
        write!(f, "{count}: p50 {p50:.1}, p99 {p99:.1}, most {most:.1} ms")
    }
}

/// From a write to the first answer that shows it, by the fault it fell into.
#[derive(Debug, Serialize)]
struct Latency {
    /// From the acknowledgement's arrival: a lower bound of what passes from commit to answer.
    acknowledged_to_seen: Times,
    /// From before the call: an upper bound.
    begun_to_seen: Times,
}

/// How often a fault was done, and what that says.
#[derive(Debug, Serialize)]
struct FaultTally {
    fault: String,
    trials: usize,
    /// Without a broken promise, inside or up to the next fault.
    clean: usize,
    /// If all were clean: at 95 % the chance that one is not is less than this (3/n).
    bound_95: Option<f64>,
}

/// The whole report.
#[derive(Debug, Serialize)]
pub struct Report {
    seed: u64,
    seconds: f64,
    clean: bool,
    faults: Vec<FaultTally>,
    verdict: Verdict,
    latency_ms: BTreeMap<String, Latency>,
    write_ms: Times,
    propagated_ms: Times,
    writes_skipped: u64,
    strange: Vec<String>,
}

impl Report {
    /// Of a judged history.
    pub fn new(
        seed: u64,
        seconds: f64,
        verdict: Verdict,
        history: &History,
        samples: &[Sample],
        writes_skipped: u64,
        strange: Vec<String>,
    ) -> Self {
        let took = |told: Promise| {
            let all = history.writes.iter().filter(move |write| write.told == told);
            Times::new(all.map(|write| write.ended - write.begun).collect())
        };
        let (write_ms, propagated_ms) = (took(Promise::Durable), took(Promise::Everywhere { but: 0 }));
        let clean = verdict.clean() && strange.is_empty();
        let latency_ms = latencies(history, samples);
        let faults = trials(&verdict.windows);
        Self {
            seed,
            seconds,
            clean,
            faults,
            verdict,
            latency_ms,
            write_ms,
            propagated_ms,
            writes_skipped,
            strange,
        }
    }

    /// Whether every promise was kept.
    pub fn clean(&self) -> bool {
        self.clean
    }

    /// For programs.
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let seen = &self.verdict.seen;
        self.windows(&mut text);
        let _ = writeln!(
            text,
            "\nreads {} (unmarked {}, fresh {}, stale {}), strict 503 {}, failed on dead or stopped edges {}",
            seen.reads,
            seen.unmarked,
            seen.fresh,
            seen.stale,
            seen.strict_refused,
            seen.failed_on_downed_edges
        );
        let _ = writeln!(
            text,
            "writes {} acknowledged, {} unknown, {} refused, {} not begun; taken away by restores {}\n\
             PROPAGATED {}, PARTIAL {}; while an edge was cut off {}",
            seen.writes_acknowledged,
            seen.writes_unknown,
            seen.writes_refused,
            self.writes_skipped,
            seen.lost_to_restores,
            seen.propagated,
            seen.partial,
            seen.waited_in_cuts
        );
        self.ages(&mut text);
        let _ = writeln!(text, "writes without waiting for edges {}", self.write_ms);
        let _ = writeln!(text, "writes that were PROPAGATED {}", self.propagated_ms);
        for (fault, latency) in &self.latency_ms {
            let Latency { acknowledged_to_seen, begun_to_seen } = latency;
            let _ = writeln!(
                text,
                "{fault}: acknowledged to seen {acknowledged_to_seen}; begun to seen {begun_to_seen}"
            );
        }
        let _ = writeln!(text);
        for (violation, count) in &self.verdict.violations {
            let _ = writeln!(text, "{count:9} {}", promise(*violation));
        }
        for strange in &self.strange {
            let _ = writeln!(text, "the store holds what nobody wrote: {strange}");
        }
        for violation in &self.verdict.texts {
            let _ = writeln!(text, "VIOLATION {violation}");
        }
        let _ = writeln!(
            text,
            "{} (seed {}, {:.0} s)",
            if self.clean { "clean" } else { "BROKEN" },
            self.seed,
            self.seconds
        );
        text
    }

    /// One line for each fault.
    fn windows(&self, text: &mut String) {
        let _ = writeln!(
            text,
            "\nfault            trials clean  bound   seconds     reads  at least     fresh     stale  strict 503"
        );
        for FaultTally { fault, trials, clean, bound_95 } in &self.faults {
            let own: Vec<&WindowSightings> =
                self.verdict.windows.iter().filter(|own| own.fault == *fault).collect();
            let sum = |of: fn(&WindowSightings) -> u64| own.iter().map(|window| of(window)).sum::<u64>();
            let bound = bound_95.map_or_else(|| "-".to_owned(), |bound| format!("{bound:.2}"));
            let _ = writeln!(
                text,
                "{fault:16} {trials:6} {clean:5} {bound:>6} {:9.1} {:9} {:9} {:9} {:9} {:11}",
                own.iter().map(|window| window.seconds).sum::<f64>(),
                sum(|window| window.reads),
                own.iter().map(|window| window.reads).min().unwrap_or(0),
                sum(|window| window.fresh),
                sum(|window| window.stale),
                sum(|window| window.strict_refused)
            );
        }
    }

    fn ages(&self, text: &mut String) {
        let ages = &self.verdict.ages;
        let _ = write!(
            text,
            "older answers, marked stale: {} (without a mark {})",
            ages.count(),
            self.verdict.seen.older_unmarked
        );
        for (end, count) in Ages::ENDS.iter().zip(&ages.classes).filter(|(_, count)| **count > 0) {
            let _ = write!(text, "; under {end} s: {count}");
        }
        let _ = writeln!(text, "; oldest {:.1} s", ages.most_ms as f64 / 1e3);
    }
}

/// In the order in which they were first done.
fn trials(windows: &[WindowSightings]) -> Vec<FaultTally> {
    let mut faults: Vec<FaultTally> = Vec::new();
    for window in windows {
        let at = faults.iter().position(|own| own.fault == window.fault).unwrap_or_else(|| {
            let fault = window.fault.clone();
            faults.push(FaultTally { fault, trials: 0, clean: 0, bound_95: None });
            faults.len() - 1
        });
        let own = &mut faults[at];
        own.trials += 1;
        own.clean += usize::from(window.violations == 0);
        // Of three at most it says nothing.
        own.bound_95 = (own.clean == own.trials).then(|| (3.0 / own.trials as f64).min(1.0));
    }
    faults
}

/// Those of no fault and of the delays: what the others do to a probe is no latency.
fn latencies(history: &History, samples: &[Sample]) -> BTreeMap<String, Latency> {
    let mut found = BTreeMap::new();
    for fault in ["none", "delay80", "delay200"] {
        let inside: Vec<Sample> = samples
            .iter()
            .filter(|sample| {
                history.windows.iter().any(|window| {
                    window.fault == fault && window.from <= sample.begun && sample.seen <= window.to
                })
            })
            .copied()
            .collect();
        if !inside.is_empty() {
            let acknowledged_to_seen = inside.iter().map(|sample| sample.seen.saturating_sub(sample.acked));
            let begun_to_seen = inside.iter().map(|sample| sample.seen - sample.begun);
            found.insert(
                fault.to_owned(),
                Latency {
                    acknowledged_to_seen: Times::new(acknowledged_to_seen.collect()),
                    begun_to_seen: Times::new(begun_to_seen.collect()),
                },
            );
        }
    }
    found
}

fn promise(violation: Violation) -> &'static str {
    match violation {
        Violation::FreshMissed => "answers marked fresh that miss a write acknowledged more than B before",
        Violation::StrictMissed => "redirects of a strict link that miss one",
        Violation::Outlived => "such answers that show what a restore took away more than B before",
        Violation::NeverCommitted => "targets or deletions never committed",
        Violation::WentBack => "versions that went back on a connection",
        Violation::Failed => "failed normal hits on an edge that was alive",
        Violation::PropagatedMissed => "answers older than what PROPAGATED or PARTIAL promised",
        Violation::LostUnnamed => "acknowledged writes that a restore took away without naming them",
        Violation::NotRecovered => "faults that did not end as they must",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_given_for_clean_trials_only() {
        let window = |fault: &str, violations| WindowSightings {
            fault: fault.to_owned(),
            seconds: 1.0,
            reads: 1,
            fresh: 1,
            stale: 0,
            strict_refused: 0,
            violations,
        };
        let mut windows = vec![window("cut", 0), window("drop", 0)];
        windows.extend((0..19).map(|trial| window("cut", u64::from(trial == 7))));
        windows.extend((0..19).map(|_| window("drop", 0)));
        let told: Vec<_> = trials(&windows)
            .into_iter()
            .map(|FaultTally { fault, trials, clean, bound_95 }| (fault, trials, clean, bound_95))
            .collect();
        assert_eq!(told, [("cut".to_owned(), 20, 19, None), ("drop".to_owned(), 20, 20, Some(0.15))]);
    }
}
