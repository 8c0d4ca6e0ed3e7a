//! `linkr`: the one binary people start. Reads what was asked, does it, and says a fault in one line.

mod address;
mod admin;
mod args;
mod certs;
mod client;
mod config;
mod copies;
mod doctor;
mod fault;
mod health;
mod line;
mod log;
mod man;
mod out;
mod secret;
mod serve;
mod settings;
mod tail;

use args::{Command, ConfigCommand, FeedCommand};
use clap::CommandFactory;
use fault::CommandFault;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    edge::ignore_signals_of_writing();
    let status = match line::asked().and_then(|asked| asked.map_or(Ok(()), run)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            if !fault.message().is_empty() {
                out::last_word(fault.message());
            }
            fault.status()
        }
    };
    log::finish();
    status
}

fn run(command: Command) -> Result<(), CommandFault> {
    let traces = serve::traces(&command)?;
    if let Some(form) = serve::log_form(&command) {
        log::start(form)?; // before anything is said: a server waits for no reader
    }
    line::warn();
    serve::check(&command)?;
    match command {
        Command::Up(args) => serve::up(args, traces),
        Command::Edge(args) => serve::edge(args),
        Command::Control(args) => serve::control(args, traces),
        Command::Link { command } => client::run(client::links(command)),
        Command::Tag { command } => client::run(client::tags(command)),
        Command::Domain { command } => client::run(client::domains(command)),
        Command::Target { command } => client::run(client::targets(command)),
        Command::Clicks(args) => client::run(client::clicks(*args)),
        Command::Feed { command: FeedCommand::Status { api } } => client::run(client::feed_status(api)),
        Command::Feed { command: FeedCommand::Forget { name, api } } => {
            client::run(client::feed_forget(api, name))
        }
        Command::Keys { command } => client::run(client::keys(command)),
        Command::Certs(args) => certs::make(&args),
        Command::Import(args) => client::run(client::import(args)),
        Command::Export(args) => client::run(client::export(args)),
        Command::Conform(args) => client::conform(&args),
        Command::Backup(args) => copies::backup(&args),
        Command::Restore(args) => copies::restore(&args),
        Command::Healthcheck(args) => health::check(args.admin.as_deref()),
        Command::Doctor(args) => doctor::examine(*args),
        Command::Tail(args) => tail::tail(&args),
        Command::Config { command: ConfigCommand::Check } => config::check(),
        Command::Config { command: ConfigCommand::Print } => config::print(),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut args::Linkr::command(), "linkr", &mut script);
            out::write(&script)
        }
        Command::Man { dir } => man::write(&dir),
    }
}
