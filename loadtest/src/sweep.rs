//! `sweep`: the maximum, then open loops at parts of it, and where latency begins to climb.

use crate::args::{Sweep, WatchArgs};
use crate::plan::Pace;
use crate::report::{Report, sweep_plot};
use crate::run::{Target, measure};
use std::process::ExitCode;

/// Percent of the maximum.
const STEPS: [u32; 10] = [10, 20, 30, 40, 50, 60, 70, 80, 90, 100];
/// A step whose p99 is more than so many times that of the quietest step is behind the knee.
const CLIMB: f64 = 5.0;

/// `sweep`.
pub fn sweep(args: &Sweep) -> Result<ExitCode, String> {
    let target = Target::new(&args.target, &args.load, &args.watch)?;
    let watch = WatchArgs { out: None, ..target.watch.clone() }; // one file for all steps, at the end
    let one = |pace| {
        let plan = target.plan(&args.load, pace)?;
        measure(&plan, &args.load, &watch, &target.keys, None, true).map(|(report, _)| report)
    };
    let most = one(Pace::Flat)?.warm.rate;
    println!("maximum        {most:.0} /s, each connection waiting for its answer");
    println!(
        "{:>4} {:>10} {:>10} {:>9} {:>9} {:>9} {:>9} {:>7}",
        "%", "offered", "right /s", "p50", "p99", "p99.9", "max", ""
    );
    let mut steps = Vec::new();
    for percent in STEPS {
        let report = one(Pace::Rate(most * f64::from(percent) / 100.0))?;
        let (warm, void) = (&report.warm, if report.void.is_some() { "void" } else { "" });
        let offered = report.offered.unwrap_or(0.0);
        let c = &warm.corrected;
        println!(
            "{percent:>4} {offered:>10.0} {:>10.0} {:>9.0} {:>9.0} {:>9.0} {:>9.0} {void:>7}",
            warm.rate, c.p50, c.p99, c.p999, c.max
        );
        steps.push((percent, report));
    }
    match knee(&steps) {
        Some(percent) => println!(
            "knee           {percent} % of the maximum is the last step before p99 climbs {CLIMB} times"
        ),
        None => println!(
            "knee           none found: the first step did not keep its rate, or another one was much quieter"
        ),
    }
    if let Some(dir) = &args.watch.out {
        std::fs::create_dir_all(dir).map_err(|fault| format!("cannot make {}: {fault}", dir.display()))?;
        let reports: Vec<&Report> = steps.iter().map(|(_, report)| report).collect();
        let json = serde_json::to_string_pretty(&reports).map_err(|fault| fault.to_string())?;
        for (file, text) in [("sweep.json", json), ("sweep.svg", sweep_plot(&reports)?)] {
            let path = dir.join(file);
            std::fs::write(&path, text)
                .map_err(|fault| format!("cannot write {}: {fault}", path.display()))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The last step that kept its rate and whose p99 had not climbed.
fn knee(steps: &[(u32, Report)]) -> Option<u32> {
    let kept = |report: &Report| report.offered.is_some_and(|offered| report.warm.rate > offered * 0.99);
    let quiet =
        steps.iter().filter(|(_, r)| kept(r)).map(|(_, r)| r.warm.corrected.p99).fold(f64::MAX, f64::min);
    let before =
        steps.iter().take_while(|(_, report)| kept(report) && report.warm.corrected.p99 <= quiet * CLIMB);
    before.last().map(|(percent, _)| *percent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Latency, Phase};

    #[test]
    fn the_knee_is_the_last_quiet_step_that_kept_its_rate() {
        let step = |percent, offered: f64, rate, p99| {
            let corrected = Latency { p99, ..Latency::default() };
            let warm = Phase { rate, corrected, ..Phase::default() };
            let report = Report {
                layout: 1,
                version: String::new(),
                target: String::new(),
                load: std::collections::BTreeMap::default(),
                offered: Some(offered),
                cold: None,
                warm,
                clicks: None,
                void: None,
            };
            (percent, report)
        };
        let steps = [step(10, 10.0, 10.0, 100.0), step(50, 50.0, 50.0, 400.0), step(70, 70.0, 70.0, 600.0)];
        assert_eq!(knee(&steps), Some(50));
        let plot = sweep_plot(&steps.iter().map(|(_, report)| report).collect::<Vec<_>>()).unwrap();
        assert!(plot.starts_with("<svg") && plot.contains("p99.9"));
        let steps = [step(10, 10.0, 10.0, 100.0), step(50, 50.0, 40.0, 100.0)];
        assert_eq!(knee(&steps), Some(10));
    }
}
