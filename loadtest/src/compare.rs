//! `compare`: servers in turn, round by round, so that what the machine does meanwhile happens to all of them.

use crate::args::{Compare, LoadArgs, WatchArgs};
use crate::keys::Key;
use crate::peers::{self, Peer};
use crate::plan::{Pace, Plan};
use crate::report::Report;
use crate::run::measure;
use serde::{Deserialize, Serialize};
use services::stats::{interval, median};
use std::process::ExitCode;

/// A server's rounds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Series {
    /// What it was called.
    pub name: String,
    /// The same for all servers that were measured in turn.
    pub comparison: u64,
    /// In time order.
    pub rounds: Vec<Round>,
}

/// One measurement.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Round {
    pub rate: f64,
    pub wrong: u64,
    pub cpu_us: Option<f64>,
    #[serde(default)]
    pub worker_cpu_us: Option<f64>,
    pub p50: f64,
    pub p99: f64,
    pub p999: f64,
    pub void: bool,
}

impl Round {
    /// What a report says in short.
    pub fn of(report: &Report) -> Self {
        let warm = &report.warm;
        Self {
            rate: warm.rate,
            wrong: warm.requests - warm.right,
            cpu_us: warm.cpu_us,
            worker_cpu_us: warm.worker_cpu_us,
            p50: warm.corrected.p50,
            p99: warm.corrected.p99,
            p999: warm.corrected.p999,
            void: report.void.is_some(),
        }
    }
}

enum ComparedServer {
    Started(Peer),
    Running { name: String, url: String },
}

impl ComparedServer {
    fn name(&self) -> &str {
        match self {
            Self::Started(peer) => &peer.name,
            Self::Running { name, .. } => name,
        }
    }

    fn plan(&self, load: &LoadArgs, pace: Pace) -> Result<Plan, String> {
        match self {
            Self::Started(peer) => peer.plan(load, pace),
            Self::Running { url, .. } => load.plan(url, pace),
        }
    }
}

/// `compare`.
pub fn compare(args: &Compare) -> Result<ExitCode, String> {
    let keys = args.load.read_or_make()?;
    let mut servers = Vec::new();
    for word in &args.servers {
        servers.push(match word.split_once('=') {
            Some((name, url)) => ComparedServer::Running { name: name.into(), url: url.into() },
            None => match peers::start(word, &keys, &args.load) {
                Ok(peer) => ComparedServer::Started(peer),
                Err(why) => {
                    println!("left out: {word}: {why}");
                    continue;
                }
            },
        });
    }
    let series = rounds(args, &keys, &servers)?;
    print(args, &series);
    if let Some(dir) = &args.out {
        std::fs::create_dir_all(dir).map_err(|fault| format!("cannot make {}: {fault}", dir.display()))?;
        for one in &series {
            let path = dir.join(format!("{}.json", one.name));
            let json = serde_json::to_string_pretty(one).map_err(|fault| fault.to_string())?;
            std::fs::write(&path, json)
                .map_err(|fault| format!("cannot write {}: {fault}", path.display()))?;
        }
    }
    let wrong: u64 = series.iter().flat_map(|one| &one.rounds).map(|round| round.wrong).sum();
    Ok(if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn rounds(args: &Compare, keys: &[Key], servers: &[ComparedServer]) -> Result<Vec<Series>, String> {
    let pace = args.rate.map_or(Pace::Flat, Pace::Rate);
    let comparison =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |t| t.as_nanos() as u64);
    let mut series: Vec<Series> =
        servers.iter().map(|s| Series { name: s.name().into(), comparison, rounds: Vec::new() }).collect();
    let mut mixed = Vec::new();
    for server in servers {
        mixed.push(args.load.mix(match server {
            ComparedServer::Started(peer) => peer.keys(keys.to_vec()),
            ComparedServer::Running { .. } => keys.to_vec(),
        })?);
    }
    for round in 0..=args.rounds {
        for ((server, keys), own) in servers.iter().zip(&mixed).zip(&mut series) {
            let admin = if let ComparedServer::Started(peer) = server { peer.admin } else { None };
            let watch = WatchArgs { admin, syscalls: false, out: None };
            let plan = server.plan(&args.load, pace)?;
            let (report, _) = measure(&plan, &args.load, &watch, keys, None, false)?;
            if round > 0 {
                // The first round warms caches and branch predictors, and is not counted.
                own.rounds.push(Round::of(&report));
            }
        }
        eprint!("\rround {round} of {}", args.rounds);
    }
    eprintln!();
    Ok(series)
}

/// Ratios of each round to the same round of the first server.
pub fn ratios(own: &[Round], base: &[Round], of: impl Fn(&Round) -> Option<f64>) -> Vec<f64> {
    own.iter()
        .zip(base)
        .filter_map(|(own, base)| Some(of(own)? / of(base)?))
        .filter(|r| r.is_finite())
        .collect()
}

fn print(args: &Compare, series: &[Series]) {
    let Some(base) = series.first() else { return };
    let load: Vec<String> = args
        .load
        .describe(args.rate.map_or(Pace::Flat, Pace::Rate))
        .iter()
        .map(|(n, v)| format!("{n} {v}"))
        .collect();
    println!("{}, {} rounds of {} s", load.join(", "), args.rounds, args.load.time);
    println!(
        "{:<12} {:>10} {:>9} {:>24} {:>9} {:>24} {:>6}",
        "", "right /s", "µs CPU", "÷ first (95 %)", "p99 µs", "÷ first (95 %)", "wrong"
    );
    for one in series {
        let of = |get: fn(&Round) -> f64| median(&one.rounds.iter().map(get).collect::<Vec<_>>());
        let cpu: Vec<f64> = one.rounds.iter().filter_map(|round| round.cpu_us).collect();
        let shown = |ratios: Vec<f64>| {
            let i = interval(&ratios);
            if ratios.is_empty() {
                "-".into()
            } else {
                format!("{:.3} ({:.3}–{:.3})", i.median, i.low, i.high)
            }
        };
        println!(
            "{:<12} {:>10.0} {:>9.2} {:>24} {:>9.0} {:>24} {:>6}",
            one.name,
            of(|r| r.rate),
            median(&cpu),
            shown(ratios(&one.rounds, &base.rounds, |r| r.cpu_us)),
            of(|r| r.p99),
            shown(ratios(&one.rounds, &base.rounds, |r| Some(r.p99))),
            one.rounds.iter().map(|round| round.wrong).sum::<u64>(),
        );
        let workers: Vec<f64> = one.rounds.iter().filter_map(|round| round.worker_cpu_us).collect();
        if !workers.is_empty() {
            let ratios = shown(ratios(&one.rounds, &base.rounds, |r| r.worker_cpu_us));
            println!("{:<12} {:>10} {:>9.3} {ratios:>24}", "", "workers", median(&workers));
        }
        let void = one.rounds.iter().filter(|round| round.void).count();
        if void > 0 {
            println!("{:<12} {void} rounds are void: the generator was late", "");
        }
    }
}
