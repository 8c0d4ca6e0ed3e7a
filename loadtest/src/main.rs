//! linkr-loadtest: an open-loop stranger with a socket. Honest about time, about itself, about noise, and about what
//! came back.

mod args;
mod compare;
mod engine;
mod floor;
mod gate;
mod keys;
mod law;
mod measure;
mod peers;
mod plan;
mod report;
mod run;
mod server;
mod sweep;
mod sys;

use args::{Cli, Command};
use clap::Parser;
use std::process::ExitCode;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run(args) => run::run(&args),
        Command::Replay(args) => run::replay(&args),
        Command::Sweep(args) => sweep::sweep(&args),
        Command::Compare(args) => compare::compare(&args),
        Command::Gate(args) => gate::gate(&args),
        Command::Floor(args) => {
            let floor = floor::Floor {
                epoll: args.epoll,
                close: args.close,
                burn: Duration::from_nanos(args.burn_ns),
                stall: Duration::from_millis(args.stall_ms),
            };
            let say = |at| println!("floor http://{at}");
            floor::serve(args.listen, floor, say).map(|()| ExitCode::SUCCESS)
        }
    };
    done.unwrap_or_else(|why| {
        eprintln!("linkr-loadtest: {why}");
        ExitCode::from(2)
    })
}
