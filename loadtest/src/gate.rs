//! `gate`: is the second result worse than the first, beyond the tolerance and beyond the noise?

use crate::args::{Gate, Metric};
use crate::compare::{Round, Series, ratios};
use crate::report::Report;
use services::stats::{Interval, interval, median};
use std::path::Path;
use std::process::ExitCode;

/// `gate`.
pub fn gate(args: &Gate) -> Result<ExitCode, String> {
    let (before, after) = (read(&args.before)?, read(&args.after)?);
    let found = judge(&before, &after, args.metric, args.tolerance)?;
    let Comparison { ratio, wrong, worse } = found;
    println!(
        "{:?}: second ÷ first {:.4} (95 %: {:.4}–{:.4}), tolerance {} %, {wrong} wrong answers",
        args.metric,
        ratio.median,
        ratio.low,
        ratio.high,
        args.tolerance * 100.0
    );
    println!("{}", if worse { "WORSE" } else { "not worse" });
    Ok(if worse { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

struct Comparison {
    ratio: Interval,
    wrong: u64,
    worse: bool,
}

/// Worse: wrong answers, or the whole interval of the ratio beyond the tolerance. A single pair has no interval.
fn judge(before: &Series, after: &Series, metric: Metric, tolerance: f64) -> Result<Comparison, String> {
    let of = |round: &Round| match metric {
        Metric::Cpu => round.cpu_us,
        Metric::WorkerCpu => round.worker_cpu_us,
        Metric::P99 => (!round.void).then_some(round.p99),
        Metric::Rate => Some(1.0 / round.rate), // more is better: time for each
    };
    // Rounds that were measured in turn are compared one by one: what the machine did then cancels out.
    let ratios = if before.comparison == after.comparison {
        ratios(&after.rounds, &before.rounds, of)
    } else {
        let middle = median(&before.rounds.iter().filter_map(of).collect::<Vec<_>>());
        after
            .rounds
            .iter()
            .filter_map(of)
            .map(|value| value / middle)
            .filter(|ratio| ratio.is_finite())
            .collect()
    };
    if ratios.is_empty() {
        return Err(format!("there is nothing to compare: no round of both has a value for {metric:?}"));
    }
    let (ratio, wrong) = (interval(&ratios), after.rounds.iter().map(|round| round.wrong).sum());
    Ok(Comparison { ratio, wrong, worse: wrong > 0 || ratio.low > 1.0 + tolerance })
}

/// A series as it is, or a report as a series of one round.
fn read(path: &Path) -> Result<Series, String> {
    let text =
        std::fs::read_to_string(path).map_err(|fault| format!("cannot read {}: {fault}", path.display()))?;
    if let Ok(series) = serde_json::from_str::<Series>(&text) {
        return Ok(series);
    }
    let report: Report = serde_json::from_str(&text)
        .map_err(|fault| format!("{} is no result of this program: {fault}", path.display()))?;
    let round = Round::of(&report);
    Ok(Series { name: report.target, comparison: 0, rounds: vec![round] })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(values: &[f64]) -> Series {
        let round = |&cpu| Round { cpu_us: Some(cpu), rate: 1.0 / cpu, ..Round::default() };
        Series { name: "x".into(), comparison: 7, rounds: values.iter().map(round).collect() }
    }

    #[test]
    fn noise_is_no_change_and_a_change_is_found_through_noise() {
        let mut dice = services::Random::new(5);
        // The machine slows down over the rounds, and each round has noise of its own.
        let drift = |n: usize| 5.0 + n as f64 * 0.1;
        let mut rounds = |factor: f64| {
            (0..15).map(|n| drift(n) * factor * (0.985 + 0.03 * dice.unit())).collect::<Vec<_>>()
        };
        let (a, b, slow) = (series(&rounds(1.0)), series(&rounds(1.0)), series(&rounds(1.05)));
        assert!(!judge(&a, &b, Metric::Cpu, 0.02).unwrap().worse);
        assert!(judge(&a, &slow, Metric::Cpu, 0.02).unwrap().worse);
        assert!(!judge(&slow, &a, Metric::Cpu, 0.02).unwrap().worse, "better is not worse");
        assert!(judge(&a, &slow, Metric::Rate, 0.02).unwrap().worse);
    }

    #[test]
    fn a_wrong_answer_is_worse_however_fast() {
        let (a, mut b) = (series(&[5.0; 6]), series(&[1.0; 6]));
        b.rounds[3].wrong = 1;
        assert!(judge(&a, &b, Metric::Cpu, 0.5).unwrap().worse);
    }

    #[test]
    fn nothing_to_compare_is_an_error() {
        let mut a = series(&[5.0]);
        a.rounds[0].cpu_us = None;
        assert!(judge(&a, &a, Metric::Cpu, 0.02).is_err());
    }
}
