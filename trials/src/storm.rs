//! `linkr-trials storm`: storms of misses on one edge with Redis beside it, and what they cost: bounded memory, bounded
//! questions to Redis and to control, hits that are not slowed.

use crate::fleet::{Edge, Fleet, OTHER_CORE};
use crate::hits::{self, Hits};
use crate::http::metric;
use crate::load::{LoadProcess, begin};
use crate::redis::{links, row};
use clap::Args;
use serde_json::Value;
use services::stats::median;
use std::time::{Duration, Instant};

/// Links that are always asked for, and stay in the set.
const HOT: usize = 200;
/// Of the hits: the time is parted among them.
const ROUNDS: usize = 7;

/// The flags.
#[derive(Args)]
pub struct Storm {
    /// How many links there are
    #[arg(long, default_value_t = 200_000, value_name = "N")]
    links: usize,
    /// How long each part takes
    #[arg(long, default_value_t = 7, value_name = "SECONDS")]
    time: u64,
    /// Hits a second beside the storm
    #[arg(long, default_value_t = 5_000.0, value_name = "N")]
    hits: f64,
}

/// What an edge has asked so far, and what it holds.
struct EdgeReading {
    at: Instant,
    redis: f64,
    control: f64,
    resident: u64,
}

impl EdgeReading {
    async fn of(fleet: &Fleet, edge: &Edge) -> Result<Self, String> {
        let mut redis = 0.0;
        for outcome in ["answered", "unknown", "refused", "poisoned", "failed", "timed_out"] {
            redis += edge.metric(&format!("linkr_redis_requests_total{{outcome=\"{outcome}\"}}")).await?;
        }
        let control = metric(fleet.admin, "linkr_control_requests_total{method=\"Fetch\",code=\"OK\"}").await;
        let (control, resident) = (control.unwrap_or(0.0), edge.resident());
        Ok(Self { at: Instant::now(), redis, control, resident })
    }

    async fn say(&self, fleet: &Fleet, edge: &Edge) -> Result<(), String> {
        let now = Self::of(fleet, edge).await?;
        let seconds = (now.at - self.at).as_secs_f64();
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        println!(
            "  questions to Redis {:.0} ({:.0} a second), calls to control {:.0} ({:.0} a second); the edge's memory {:.1} → {:.1} MiB",
            now.redis - self.redis,
            (now.redis - self.redis) / seconds,
            now.control - self.control,
            (now.control - self.control) / seconds,
            mib(self.resident),
            mib(now.resident)
        );
        Ok(())
    }
}

impl Storm {
    /// `true`: every hit was answered right, and one missing key was not asked for again and again.
    ///
    /// # Errors
    /// The trial itself failed.
    pub async fn run(self) -> Result<bool, String> {
        let Some(mut fleet) = Fleet::start(true)? else { return Ok(true) };
        fleet.pin_redis(OTHER_CORE, true)?;
        let file = links(&fleet, 0..self.links)?;
        fleet.import(&file)?;
        fleet.copied(self.links).await?;
        let file = file.to_string_lossy().into_owned();
        let time = self.time.to_string();
        let load = ["--time", &time, "--core", OTHER_CORE];
        let known = [&load[..], &["--links", &file]].concat();
        let dir = fleet.path().to_owned();

        println!(
            "a cold edge, {} links, 64 connections, Zipf draws, flat out from its first moment:",
            self.links
        );
        let edge = fleet.begin_edge(1 << 30)?;
        let before = EdgeReading::of(&fleet, &edge).await?;
        let report = begin(&edge.url(), &known, &dir, "cold")?.end()?;
        println!(
            "  {}; right, others, longest (µs) of each second: {}",
            fates(&report),
            report["warm"]["each_second"]
        );
        before.say(&fleet, &edge).await?;
        let cold = report["warm"]["right"] == report["warm"]["requests"];
        drop(edge);

        // Room for a tenth, so that what is not there may exist.
        let edge = fleet.edge(self.links * 20).await?;
        println!("one code that nobody made, 64 connections, flat out:");
        let before = EdgeReading::of(&fleet, &edge).await?;
        let words = [&load[..], &["--code", "nobody"]].concat();
        let report = begin(&edge.url(), &words, &dir, "one")?.end()?;
        println!("  {}", fates(&report));
        before.say(&fleet, &edge).await?;
        let asked = EdgeReading::of(&fleet, &edge).await?;
        let once = asked.redis - before.redis <= 64.0 * 2.0 * self.time as f64;

        let codes: Vec<String> = (0..HOT).map(|link| row(link).0).collect();
        hits::prefer(OTHER_CORE)?;
        let mut good = cold && once;
        let part = Duration::from_secs_f64(self.time as f64 / ROUNDS as f64);
        let longer = (part + Duration::from_millis(500)).as_secs_f64().to_string();
        let flood = ["--time", &longer, "--core", OTHER_CORE, "--links", &file];
        hits::drive(edge.address, &codes, self.hits, part)?; // they are in the set from here on
        // In turn, so that what else the machine does happens to all of them.
        let mut all: [Vec<Hits>; 3] = Default::default();
        let mut last = Vec::new();
        for _ in 0..ROUNDS {
            for (beside, all) in [None, Some("0"), Some("1")].into_iter().zip(&mut all) {
                let before = EdgeReading::of(&fleet, &edge).await?;
                let storm = beside.map(|unknown| {
                    begin(&edge.url(), &[&flood[..], &["--unknown", unknown]].concat(), &dir, "storm")
                });
                let hits = hits::drive(edge.address, &codes, self.hits, part)?;
                good &= hits.right == hits.all;
                all.push(hits);
                last.push((before, storm.transpose()?.map(LoadProcess::end).transpose()?));
                if beside.is_some_and(|unknown| unknown == "1") && all.len() == ROUNDS {
                    let (before, report) = &last[last.len() - 1];
                    println!("unknown codes, flat out on 64 connections, in the last round:");
                    println!("  {}", report.as_ref().map(fates).unwrap_or_default());
                    before.say(&fleet, &edge).await?;
                }
            }
        }
        let names = ["alone", "beside known codes flat out", "beside unknown codes flat out"];
        for (name, own) in names.into_iter().zip(&all) {
            let right: usize = own.iter().map(|hits| hits.right).sum();
            let at = |part: f64| median(&own.iter().map(|hits| hits.at(part)).collect::<Vec<_>>());
            let times = |part: f64| {
                median(
                    &own.iter()
                        .zip(&all[0])
                        .map(|(own, alone)| own.at(part) / alone.at(part))
                        .collect::<Vec<_>>(),
                )
            };
            println!(
                "{:.0} hits a second {name}: {right} right; p50 {:.0}, p99 {:.0} µs; ÷ alone: p50 {:.2}, p99 {:.2}",
                self.hits,
                at(0.5),
                at(0.99),
                times(0.5),
                times(0.99)
            );
        }
        println!("{}", if good { "clean" } else { "BROKEN" });
        Ok(good)
    }
}

fn fates(report: &Value) -> String {
    let warm = &report["warm"];
    let rate = warm["requests"].as_f64().unwrap_or(0.0) / warm["seconds"].as_f64().unwrap_or(1.0);
    format!("{rate:.0} a second: {}", warm["fates"])
}
