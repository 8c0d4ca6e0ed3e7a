//! `linkr-trials`: starts a real control and real edges, breaks things, and judges from outside what was answered.

mod attacks;
mod beside;
mod bulk;
mod connection;
mod cores;
mod faults;
mod fleet;
mod handovers;
mod history;
mod hits;
mod http;
mod import;
mod judge;
mod keyring;
mod liar;
mod links;
mod load;
mod meddler;
mod outage;
mod pages;
mod probe;
mod process;
mod questions;
mod reader;
mod redis;
mod report;
mod run;
mod stack;
mod storm;
mod trace;
mod wire;
mod world;
mod writer;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Trials of linkr: real processes under faults, judged from outside.
#[derive(Parser)]
#[command(name = "linkr-trials", version, disable_help_subcommand = true)]
struct Trials {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// One control, three edges, writers, readers, and one fault after the other
    Run(run::Run),
    /// Control dead behind an HAProxy that takes sick servers out
    Outage(outage::Outage),
    /// Single writes while a large import is under way
    Import(import::Import),
    /// Real clicks on an edge with room for 5 % of the links, new ones pushed: what memory and Redis answer
    Clicks(trace::Clicks),
    /// What an answer from Redis costs and takes, beside a hit and a plain GET
    Redis(redis::RedisReads),
    /// A cold edge, one missing key, and unknown codes without end
    Storm(storm::Storm),
    /// Hostile clients of eleven kinds, and what others notice of them
    Attacks(attacks::Attacks),
    #[command(hide = true)]
    Attacker(attacks::attacker::Attacker),
    #[command(hide = true)]
    Liar(liar::Liar),
    /// What visitors wait while their edge takes a large import, and while it writes its snapshot
    Beside(beside::Interference),
    /// Questions about clicks on a large store of them, and what visitors wait beside a storm of them
    Questions(questions::Questions),
    /// Pages in a browser on a large store, and what visitors wait while fifty people click through them
    Pages(pages::Pages),
    #[command(hide = true)]
    People(pages::People),
    /// One process of an edge in the place of another, again and again under load
    Handovers(handovers::HandOvers),
    /// A large import into Postgres, beside psql's \copy of the same rows
    Bulk(bulk::Bulk),
}

fn main() -> ExitCode {
    let command = Trials::parse().command;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    // The world's own errands block: they run here, on no thread that anything else waits for.
    let done = runtime.map_err(|fault| fault.to_string()).and_then(|runtime| {
        let done = runtime.block_on(async {
            match command {
                Command::Run(run) => run.run().await,
                Command::Outage(outage) => outage.run().await,
                Command::Import(import) => import.run().await,
                Command::Clicks(clicks) => clicks.run().await,
                Command::Redis(redis) => redis.run().await,
                Command::Storm(storm) => storm.run().await,
                Command::Attacks(attacks) => attacks.run().await,
                Command::Attacker(attacker) => attacker.run().await,
                Command::Liar(liar) => liar.run().await,
                Command::Beside(beside) => beside.run().await,
                Command::Questions(questions) => questions.run().await,
                Command::Pages(pages) => pages.run().await,
                Command::People(people) => people.run(),
                Command::Handovers(handovers) => handovers.run().await,
                Command::Bulk(bulk) => bulk.run().await,
            }
        });
        runtime.shutdown_background();
        done
    });
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("linkr-trials: {why}");
            ExitCode::from(2)
        }
    }
}
