//! `linkr-trials import`: single writes while a large import is under way.

use crate::history::now;
use crate::keyring::ADMIN;
use crate::probe::Probe;
use crate::process::command;
use crate::report::Times;
use crate::stack::Stack;
use crate::world::{World, WorldPlan};
use clap::Args;
use services::Process;
use std::fmt::Write as _;
use std::time::Duration;
use tokio::sync::watch;
use tonic::transport::Endpoint;

/// No single write takes longer.
const MOST_MS: f64 = 250.0;

/// The flags.
#[derive(Args)]
pub struct Import {
    /// How many links are imported
    #[arg(long, default_value_t = 1_000_000, value_name = "N")]
    links: u32,
    /// Single writes a second
    #[arg(long, default_value_t = 25, value_name = "N")]
    writes: u32,
    /// What stands behind control
    #[arg(long, value_enum, default_value_t)]
    stack: Stack,
}

impl Import {
    /// `true`: no write was too slow.
    ///
    /// # Errors
    /// The trial itself failed.
    pub async fn run(self) -> Result<bool, String> {
        let mut world = World::start(WorldPlan {
            edges: 3,
            seed: 0,
            snapshots: false,
            stack: self.stack,
            controls: 1,
            keys: false,
        })
        .await?;
        let mut rows = String::from("code,target\n");
        for link in 0..self.links {
            let _ = writeln!(rows, "i{link:07},https://t.example/import/{link}");
        }
        std::fs::write(world.path().join("links.csv"), rows).map_err(|fault| fault.to_string())?;
        let channel = Endpoint::from_shared(world.apis[0].url()).map_err(|fault| fault.to_string())?;
        let (end, stop) = watch::channel(false);
        let channel = channel.tcp_nodelay(true).connect_lazy();
        let probe = Probe::start(
            world.keys.way(channel, ADMIN)?,
            world.edges[1].address,
            f64::from(self.writes),
            stop,
        );
        tokio::time::sleep(Duration::from_secs(2)).await;

        let began = now();
        let words = ["import", "links.csv", "--server", &world.apis[0].url()];
        let command = command(world.binary(), world.path(), &words);
        let mut import = Process::hear(&command, &world.path().join("import.log"), &[])?;
        while !import.ended()? {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let imported = now();
        let followed = world.recovered().await;
        let recovered = now();
        let _ = end.send(true);
        let samples = probe.end();
        let inside = || samples.iter().filter(|sample| began <= sample.begun && sample.begun < imported);
        let took = Times::new(inside().map(|sample| sample.acked - sample.begun).collect());
        let seen = Times::new(inside().map(|sample| sample.seen.saturating_sub(sample.acked)).collect());
        let seconds = |micros: u64| micros as f64 / 1e6;
        println!(
            "{} links in {:.1} s, on every edge {:.1} s later",
            self.links,
            seconds(imported - began),
            seconds(recovered - imported)
        );
        println!("single writes meanwhile: {took}\nfrom acknowledged to seen: {seen}");
        followed?;
        let good = took.count > 0 && took.most <= MOST_MS;
        println!(
            "{}",
            if good { "clean" } else { "BROKEN: a write took more than 250 ms, or none was made" }
        );
        if !good {
            println!("the logs are in {}", world.dir().keep().display());
        }
        Ok(good)
    }
}
