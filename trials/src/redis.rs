//! `linkr-trials redis`: what an answer from Redis costs beside a hit, and how long it takes beside a plain GET.

use crate::fleet::{EDGE_CORE, Fleet, OTHER_CORE};
use crate::load::{begin, compare, ratio};
use clap::Args;
use std::fmt::Write as _;
use std::ops::Range;
use std::path::PathBuf;

/// CPU of an answer from Redis, in hits.
const CPU: f64 = 2.5;
/// p99 of an answer from Redis at half load, in plain GETs at the same rate.
const P99: f64 = 1.5;
/// Keys set by one command.
const AT_ONCE: usize = 500;

/// The flags.
#[derive(Args)]
pub struct RedisReads {
    /// How many links there are
    #[arg(long, default_value_t = 100_000, value_name = "N")]
    links: usize,
    /// Rounds of each comparison
    #[arg(long, default_value = "15", value_name = "N")]
    rounds: String,
    /// How long a round takes for each server
    #[arg(long, default_value = "1", value_name = "SECONDS")]
    time: String,
    /// Redis on the core of the edge; otherwise it is with the generator, which it interrupts whenever it has something
    /// to do
    #[arg(long)]
    beside_edge: bool,
}

impl RedisReads {
    /// `true`: within both limits.
    ///
    /// # Errors
    /// The trial itself failed.
    pub async fn run(self) -> Result<bool, String> {
        let Some(mut fleet) = Fleet::start(true)? else { return Ok(true) };
        if self.beside_edge {
            fleet.pin_redis(EDGE_CORE, false)?;
        } else {
            fleet.pin_redis(OTHER_CORE, true)?;
        }
        let file = links(&fleet, 0..self.links)?;
        fleet.import(&file)?;
        fleet.copied(self.links).await?;
        plain(&fleet, self.links)?;
        // A byte a link is room for one in 120: asked in their order, next to none is there when its turn comes again.
        let small = fleet.edge(self.links).await?;
        let large = fleet.edge(1 << 30).await?;
        let links = file.to_string_lossy();
        let load = ["--links", &links, "--draw", "order", "--core", OTHER_CORE];

        let admin = small.admin.to_string();
        let words = [&load[..], &["--time", "4", "--warmup", "1", "--admin", &admin]].concat();
        let most = begin(&small.url(), &words, fleet.path(), "most")?.end()?;
        let (tiers, all) = (&most["warm"]["tiers"], most["warm"]["requests"].as_f64().unwrap_or(0.0));
        let part = tiers["redis"].as_f64().unwrap_or(0.0) / all;
        let half = most["warm"]["rate"].as_f64().unwrap_or(0.0) / 2.0;
        println!("at most {:.0} a second, {:.2} % of them from Redis: {tiers}", half * 2.0, part * 100.0);
        if part < 0.99 {
            return Err("this edge does not answer from Redis".into());
        }

        let out = fleet.path().join("out");
        let (hit, redis) = (("hit", large.url()), ("redis", small.url()));
        let get = ("get", fleet.redis.as_ref().map(|redis| redis.url().to_owned()).unwrap_or_default());
        let words = [&load[..], &["--rounds", &self.rounds, "--time", &self.time]].concat();
        println!("\nat saturation:");
        let flat = compare(&[hit.clone(), redis.clone()], &words, &out)?;
        let rate = format!("{half:.0}");
        let words = [&words[..], &["--rate", &rate]].concat();
        println!("\nat half load:");
        let even = compare(&[get, redis, hit], &words, &out)?;
        let cpu = (ratio(&flat[1], &flat[0], "cpu_us"), ratio(&even[1], &even[2], "cpu_us"));
        let (p50, p99) = (ratio(&even[1], &even[0], "p50"), ratio(&even[1], &even[0], "p99"));
        println!(
            "\nCPU of an answer from Redis ÷ of a hit: {:.2} at saturation, {:.2} at half load (limit {CPU})",
            cpu.0, cpu.1
        );
        println!(
            "its p99 at half load ÷ of a plain GET: {p99:.2} (limit {P99}); its p50 ÷ of that: {p50:.2}"
        );
        let good = cpu.0.max(cpu.1) <= CPU && p99 <= P99;
        println!("{}", if good { "within the limits" } else { "BEYOND A LIMIT" });
        Ok(good)
    }
}

/// A link: code and target.
pub fn row(link: usize) -> (String, String) {
    let target = format!("https://www.example.com/articles/2026/{link:07}/some-title-of-medium-length?id=1");
    (format!("c{link:07}"), target)
}

/// These links as a file: 95 bytes of code and target each.
pub fn links(fleet: &Fleet, links: Range<usize>) -> Result<PathBuf, String> {
    let mut rows = String::from("code,target\n");
    for (code, target) in links.map(row) {
        let _ = writeln!(rows, "{code},{target}");
    }
    let file = fleet.path().join("links.csv");
    std::fs::write(&file, rows).map_err(|fault| fault.to_string())?;
    Ok(file)
}

/// The same under their bare codes, for a plain GET.
fn plain(fleet: &Fleet, count: usize) -> Result<(), String> {
    let redis = fleet.redis.as_ref().ok_or("there is no Redis")?;
    for from in (0..count).step_by(AT_ONCE) {
        let rows: Vec<_> = (from..count.min(from + AT_ONCE)).map(row).collect();
        let words = rows.iter().flat_map(|(code, target)| [code.as_str(), target]);
        let words: Vec<&str> = std::iter::once("MSET").chain(words).collect();
        redis.cli(&words).map_err(|fault| fault.to_string())?;
    }
    Ok(())
}
