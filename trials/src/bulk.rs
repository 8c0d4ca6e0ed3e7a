//! `linkr-trials bulk`: a large import into Postgres, with every row checked, numbered and logged, beside psql's `\copy`
//! of the rows that it made into a bare table with the same indexes.

use crate::process::{Dir, command, linkr};
use clap::Args;
use services::Process;
use services::stats::median;
use services::{Postgres, ServerFault};
use std::fmt::Write as _;
use std::path::Path;
use std::time::Instant;

/// An import takes at most so many times as long.
const MOST: f64 = 4.0;

/// The flags.
#[derive(Args)]
pub struct Bulk {
    /// How many links are imported
    #[arg(long, default_value_t = 1_000_000, value_name = "N")]
    links: usize,
    /// How often, each time into a new database
    #[arg(long, default_value_t = 3, value_name = "N")]
    rounds: usize,
}

impl Bulk {
    /// `true`: the median is within the limit.
    ///
    /// # Errors
    /// The trial itself failed.
    pub async fn run(self) -> Result<bool, String> {
        let postgres = match Postgres::start(&[]) {
            Err(missing @ ServerFault::Missing(_)) => {
                println!("SKIPPED: {missing}");
                return Ok(true);
            }
            postgres => postgres.map_err(text)?,
        };
        let (binary, dir) = (linkr()?, Dir::new()?);
        let mut rows = String::from("code,target\n");
        for link in 0..self.links {
            let _ = writeln!(rows, "i{link:07},https://www.example.com/articles/2026/{link:07}/some-title");
        }
        std::fs::write(dir.path().join("links.csv"), rows).map_err(text)?;
        let mut ratios = Vec::new();
        for round in 1..=self.rounds.max(1) {
            let (import, copy) = one(&postgres, &binary, &dir, self.links)?;
            ratios.push(import / copy);
            println!("round {round}: import {import:.2} s, \\copy {copy:.2} s, ÷ {:.2}", import / copy);
        }
        let ratio = median(&ratios);
        let good = ratio <= MOST;
        println!(
            "{} links, median ÷ {ratio:.2}: {}",
            self.links,
            if good { "within the limit" } else { "BEYOND THE LIMIT" }
        );
        Ok(good)
    }
}

/// Seconds of an import, and of a copy of its rows.
fn one(postgres: &Postgres, binary: &Path, dir: &Dir, links: usize) -> Result<(f64, f64), String> {
    let store = postgres.create("bulk").map_err(text)?;
    let psql = |sql: &str| postgres.psql("bulk", sql).map_err(text);
    let any = "127.0.0.1:0";
    let words = ["control", "--insecure", "--store", &store, "--api", any, "--admin", any];
    let log = dir.path().join("control.log");
    let mut control = Process::hear(&command(binary, dir.path(), &words), &log, &["api", "admin"])?;
    let api = format!("http://{}", control.address("api")?);
    psql("CHECKPOINT")?;
    let began = Instant::now();
    let words = ["import", "links.csv", "--server", &api];
    let done = command(binary, dir.path(), &words).output().map_err(text)?;
    let import = began.elapsed().as_secs_f64();
    if !done.status.success() {
        return Err(String::from_utf8_lossy(&done.stderr).into());
    }
    control.stop()?;
    let file = dir.path().join("rows");
    psql(&format!("\\copy links TO '{}'", file.display()))?;
    psql("CREATE TABLE bare (LIKE links INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES)")?;
    psql("CHECKPOINT")?;
    let began = Instant::now();
    psql(&format!("\\copy bare FROM '{}'", file.display()))?;
    let copy = began.elapsed().as_secs_f64();
    let counted = psql("SELECT count(*) FROM bare")?;
    if counted != links.to_string() { Err(format!("{counted} rows were copied")) } else { Ok((import, copy)) }
}

#[allow(clippy::needless_pass_by_value)] // as errors are mapped
fn text(fault: impl std::fmt::Display) -> String {
    fault.to_string()
}
