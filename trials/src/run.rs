//! `linkr-trials run`: load, faults, judgement, report.

use crate::faults::Fault;
use crate::history::{History, now};
use crate::judge::judge;
use crate::keyring::ADMIN;
use crate::liar;
use crate::links::Links;
use crate::probe::Probe;
use crate::reader::Reader;
use crate::report::Report;
use crate::stack::Stack;
use crate::world::{World, WorldPlan};
use crate::writer::{WriteRecord, Writer};
use clap::{Args, ValueEnum};
use services::Random;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tonic::transport::Endpoint;

const EDGES: u8 = 3;

/// The flags.
#[derive(Args)]
pub struct Run {
    /// For how long at least; every fault is done once at least
    #[arg(long, default_value_t = 480, value_name = "N")]
    seconds: u64,
    /// Every fault so many times instead
    #[arg(long, value_name = "N", conflicts_with = "seconds", value_parser = clap::value_parser!(u32).range(1..))]
    trials: Option<u32>,
    /// What stands behind control
    #[arg(long, value_enum, default_value_t)]
    stack: Stack,
    /// Controls on one database: not on SQLite
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=8))]
    controls: u8,
    /// Which faults, in which order [default: all that this stack can have]
    #[arg(long, value_delimiter = ',', value_name = "FAULT")]
    faults: Vec<Fault>,
    /// How long a fault lasts, in milliseconds
    #[arg(long, default_value_t = 6_000, value_name = "MS")]
    window: u64,
    /// Decides what is written, read and broken [default: another one each time]
    #[arg(long)]
    seed: Option<u64>,
    /// Requests a second on each edge
    #[arg(long, default_value_t = 1_000, value_name = "N")]
    reads: u32,
    /// Writes a second
    #[arg(long, default_value_t = 500, value_name = "N")]
    writes: u32,
    /// Connections to each edge
    #[arg(long, default_value_t = 16, value_name = "N")]
    connections: u32,
    /// Links before the first fault
    #[arg(long, default_value_t = 2_000, value_name = "N")]
    links: u32,
    /// The report as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

impl Run {
    /// `true`: nothing was found.
    ///
    /// # Errors
    /// The trial itself failed.
    pub async fn run(self) -> Result<bool, String> {
        let seed = self.seed.unwrap_or_else(|| u64::from(std::process::id()) ^ crate::process::unix_ms());
        println!("seed {seed}");
        let began = now();
        self.chosen()?;
        let (stack, controls) = (self.stack, self.controls.into());
        let wanted = WorldPlan { edges: EDGES, seed, snapshots: true, stack, controls, keys: true };
        let mut world = World::start(wanted).await?;
        let mut ways = Vec::new();
        for api in &world.apis {
            let channel = Endpoint::from_shared(api.url()).map_err(|fault| fault.to_string())?;
            ways.push(world.keys.way(channel.tcp_nodelay(true).connect_lazy(), ADMIN)?);
        }
        let links = Arc::new(Links::new());
        let edges = world.edges.iter().map(|edge| edge.name.clone());
        let names = edges.chain([liar::NAME.to_owned()]).collect();
        let writer = Writer::new(ways.clone(), links.clone(), names);
        writer.populate(self.links).await;
        world.recovered().await?;

        let (end, stop) = watch::channel(false);
        let answers = Arc::new(AtomicU64::new(0));
        let readers = self.readers(&world, seed, &links, &answers, &stop);
        let writes = {
            let (writer, stop, random) = (writer.clone(), stop.clone(), Random::of(seed, 1));
            let rate = f64::from(self.writes);
            tokio::spawn(async move { writer.run(rate, random, stop).await })
        };
        let probe = Probe::start(ways.remove(0), world.edges[1].address, f64::from(self.writes) / 10.0, stop);

        let mut history = History::default();
        let faulted = self.faults(began, &mut world, &writer, &mut history, seed, &answers).await;
        let _ = end.send(true);
        writes.await.map_err(|fault| fault.to_string())?;
        for reader in readers {
            history.reads.extend(reader.await.map_err(|fault| fault.to_string())?);
        }
        let samples = probe.end();
        let WriteRecord { writes, skipped, strange } = writer.record();
        (history.writes, history.downs, history.births) = (writes, world.downs.clone(), world.births.clone());
        history.small = world.small();
        let report = Report::new(
            seed,
            (now() - began) as f64 / 1e6,
            judge(&history),
            &history,
            &samples,
            skipped,
            strange,
        );
        print!("{}", report.text());
        if let Some(file) = &self.json {
            std::fs::write(file, report.json())
                .map_err(|fault| format!("cannot write {}: {fault}", file.display()))?;
        }
        if !report.clean() {
            println!("the logs are in {}", world.dir().keep().display());
        }
        faulted?;
        Ok(report.clean())
    }

    fn chosen(&self) -> Result<Vec<Fault>, String> {
        let fits = |fault: &Fault| fault.fits(self.stack, self.controls.into());
        if let Some(wrong) = self.faults.iter().find(|fault| !fits(fault)) {
            return Err(format!("{} needs another --stack, or more --controls", wrong.name()));
        }
        let all = || Fault::value_variants().iter().copied().filter(fits).collect();
        Ok(if self.faults.is_empty() { all() } else { self.faults.clone() })
    }

    fn readers(
        &self,
        world: &World,
        seed: u64,
        links: &Arc<Links>,
        answers: &Arc<AtomicU64>,
        stop: &watch::Receiver<bool>,
    ) -> Vec<tokio::task::JoinHandle<Vec<crate::history::Read>>> {
        let connections = Arc::new(AtomicU32::new(0));
        let mut readers = Vec::new();
        for (edge, own) in (0..).zip(&world.edges) {
            for number in 0..self.connections {
                let reader = Reader {
                    edge,
                    address: own.address,
                    rate: f64::from(self.reads) / f64::from(self.connections),
                    links: links.clone(),
                    connections: connections.clone(),
                    answers: answers.clone(),
                    stop: stop.clone(),
                };
                let random = Random::of(seed, u64::from(edge) << 32 | u64::from(number) | 1 << 16);
                readers.push(tokio::spawn(reader.run(random)));
            }
        }
        readers
    }

    async fn faults(
        &self,
        began: u64,
        world: &mut World,
        writer: &Writer,
        history: &mut History,
        seed: u64,
        answers: &AtomicU64,
    ) -> Result<(), String> {
        let faults = self.chosen()?;
        let mut random = Random::of(seed, 2);
        for round in 0.. {
            for fault in &faults {
                let enough = match self.trials {
                    Some(trials) => round >= trials,
                    None => round > 0 && now() - began > self.seconds * 1_000_000,
                };
                if enough {
                    return Ok(());
                }
                let before = answers.load(Ordering::Relaxed);
                let length = Duration::from_millis(self.window);
                fault.run(world, writer, history, length, &mut random).await?;
                let after = answers.load(Ordering::Relaxed);
                println!(
                    "{:7.1} s  {:16} {:6} reads",
                    (now() - began) as f64 / 1e6,
                    fault.name(),
                    after - before
                );
            }
        }
        Ok(())
    }
}
