//! The words of the command line, and the plan that they make.

use crate::keys::{Distribution, Expectation, Key, Keys, read_links};
use crate::plan::{Connections, Heads, Pace, Plan, Sessions, Url};
use clap::{Args, Parser, Subcommand};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Loads a redirector and says what came back, how fast, and how sure that is.
#[derive(Parser)]
#[command(name = "linkr-loadtest", version)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Sends requests at a rate (open loop) or flat out.
    Run(Run),
    /// Sends recorded clicks: at their own speed, faster, or flat out.
    Replay(Replay),
    /// Finds the maximum, then measures at 10 to 100 % of it.
    Sweep(Sweep),
    /// Measures servers in turn, round by round, and says how they differ.
    Compare(Compare),
    /// Compares two results: exit status 1 when the second is worse beyond the tolerance.
    Gate(Gate),
    /// Serves a fixed answer to everything: what the kernel alone costs.
    Floor(FloorArgs),
}

#[derive(Args, Clone)]
pub struct Run {
    #[command(flatten)]
    pub target: TargetArgs,
    /// Requests a second over all connections; without it each connection sends when it has its answer.
    #[arg(long, value_name = "PER_SECOND")]
    pub rate: Option<f64>,
    #[command(flatten)]
    pub load: LoadArgs,
    #[command(flatten)]
    pub watch: WatchArgs,
}

#[derive(Args, Clone)]
pub struct Sweep {
    #[command(flatten)]
    pub target: TargetArgs,
    #[command(flatten)]
    pub load: LoadArgs,
    #[command(flatten)]
    pub watch: WatchArgs,
}

#[derive(Args, Clone)]
pub struct TargetArgs {
    /// http://HOST:PORT or https://HOST:PORT; or a server to start here: linkr, linkr-epoll, nginx (each also with
    /// -tls behind, and linkr with -uncounted: without its clicks), haproxy, floor, floor-epoll.
    #[arg(value_name = "URL|SERVER")]
    pub url: String,
}

#[derive(Args, Clone)]
pub struct Replay {
    /// http://HOST:PORT or https://HOST:PORT.
    pub url: String,
    /// CSV with `unix_time,code`, in time order.
    #[arg(long, value_name = "FILE")]
    pub clicks: String,
    /// So many times as fast as they were; without it flat out.
    #[arg(long, value_name = "TIMES")]
    pub speed: Option<f64>,
    #[command(flatten)]
    pub wire: WireArgs,
    #[command(flatten)]
    pub watch: WatchArgs,
}

#[derive(Args, Clone)]
pub struct Compare {
    /// NAME=URL of a running server (redis://… is asked for each code by a plain GET), or one to start here: floor,
    /// floor-epoll, linkr, linkr-epoll, nginx, haproxy, linkr-tls, linkr-epoll-tls, nginx-tls; linkr-uncounted and
    /// linkr-epoll-uncounted note no clicks. The first is what the others are compared with.
    #[arg(long = "server", required = true, num_args = 1, value_name = "NAME=URL|SERVER")]
    pub servers: Vec<String>,
    /// Rounds; each measures every server once. One more comes before, to warm up, and is not counted.
    #[arg(long, default_value_t = 15)]
    pub rounds: usize,
    /// Requests a second, the same for all; without it all at saturation.
    #[arg(long, value_name = "PER_SECOND")]
    pub rate: Option<f64>,
    #[command(flatten)]
    pub load: LoadArgs,
    /// Writes NAME.json for each server into this folder.
    #[arg(long, value_name = "FOLDER")]
    pub out: Option<PathBuf>,
}

#[derive(Args, Clone)]
pub struct Gate {
    /// A result of `run` (report.json) or `compare` (NAME.json).
    pub before: PathBuf,
    /// Another one.
    pub after: PathBuf,
    /// How much worse is still the same: 0.02 is 2 %.
    #[arg(long, default_value_t = 0.02, value_name = "PART")]
    pub tolerance: f64,
    /// What is compared.
    #[arg(long, value_enum, default_value = "cpu")]
    pub metric: Metric,
}

/// What a gate compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Metric {
    /// CPU time of the server for each request.
    Cpu,
    /// That of an edge's workers alone.
    WorkerCpu,
    /// Corrected p99.
    P99,
    /// Right answers a second.
    Rate,
}

#[derive(Args, Clone)]
pub struct FloorArgs {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:18090", value_name = "HOST:PORT")]
    pub listen: SocketAddr,
    /// epoll instead of io_uring.
    #[arg(long)]
    pub epoll: bool,
    /// End each connection behind its answer: the floor of one connection per request.
    #[arg(long)]
    pub close: bool,
    /// Nanoseconds of CPU time to burn for each answer: to see whether a comparison finds it.
    #[arg(long, default_value_t = 0, value_name = "NS")]
    pub burn_ns: u64,
    /// Milliseconds to pause at the start of each second: to see whether a latency shows it.
    #[arg(long, default_value_t = 0, value_name = "MS")]
    pub stall_ms: u64,
}

// What is sent, for how long. (No doc comments on flattened groups: clap would take them for the command's own.)
#[derive(Args, Clone)]
pub struct LoadArgs {
    /// How long to measure.
    #[arg(long, default_value_t = 10.0, value_name = "SECONDS")]
    pub time: f64,
    /// `zipf` (exponent 0.99), `zipf:E`, `even` or `order`: how codes are drawn.
    #[arg(long, default_value = "zipf", value_name = "HOW")]
    pub draw: String,
    /// Part of the requests that ask for one key, from 0 to 1.
    #[arg(long, default_value_t = 0.0, value_name = "PART")]
    pub hot: f64,
    /// Part of the requests that ask for codes which do not exist, from 0 to 1.
    #[arg(long, default_value_t = 0.0, value_name = "PART")]
    pub unknown: f64,
    /// The same seed draws the same requests.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Links to make for a server that is started here, when no file is given.
    #[arg(long, default_value_t = 100_000, value_name = "COUNT")]
    pub make_links: usize,
    /// The core to pin servers to that are started here.
    #[arg(long, default_value_t = 0, value_name = "CORE")]
    pub server_core: usize,
    #[command(flatten)]
    pub wire: WireArgs,
}

// How it is sent, and what must come back.
#[derive(Args, Clone)]
pub struct WireArgs {
    /// CSV with `code` and `location` or `target`: what to ask for, and what must come back.
    #[arg(long, value_name = "FILE")]
    pub links: Option<String>,
    /// A code to ask for, when there is no file; any answer below 500 is right.
    #[arg(long)]
    pub code: Vec<String>,
    /// How long to send before that, measured apart.
    #[arg(long, default_value_t = 0.0, value_name = "SECONDS")]
    pub warmup: f64,
    /// How long until a request counts as lost.
    #[arg(long, default_value_t = 10.0, value_name = "SECONDS")]
    pub timeout: f64,
    /// Connections over all threads.
    #[arg(short, long, default_value_t = 64, value_name = "COUNT")]
    pub connections: usize,
    /// Sending threads.
    #[arg(short, long, default_value_t = 1, value_name = "COUNT")]
    pub threads: usize,
    /// The core to pin the first sending thread to; the next one takes the next.
    #[arg(long)]
    pub core: Option<usize>,
    /// Sleep until a request is due instead of spinning, and then go before all others on the core, if this is root; an answer
    /// has come when the kernel took it in, not when a thread here had its turn to read it. For a core that others use, too.
    #[arg(long)]
    pub shares_core: bool,
    /// A new connection for each request.
    #[arg(long, conflicts_with = "pipeline")]
    pub new_connections: bool,
    /// Requests under way on one connection.
    #[arg(long, default_value_t = 1, value_name = "COUNT")]
    pub pipeline: usize,
    /// Heads of about 700 bytes, as a browser sends them.
    #[arg(long)]
    pub browser: bool,
    /// Resume TLS sessions of earlier connections, instead of a full handshake each.
    #[arg(long)]
    pub resume: bool,
    /// Believe any certificate, not only what this machine (or SSL_CERT_FILE) believes.
    #[arg(long)]
    pub trust_any: bool,
}

// What is looked at besides, and kept.
#[derive(Args, Clone)]
pub struct WatchArgs {
    /// The edge's admin listener: hit rates and what each worker did.
    #[arg(long, value_name = "HOST:PORT")]
    pub admin: Option<SocketAddr>,
    /// Count the server's system calls (perf): slows it, so not for figures of time.
    #[arg(long)]
    pub syscalls: bool,
    /// Writes report.json, report.html, *.hgrm and latency.hlog into this folder; `sweep` writes sweep.json and sweep.svg.
    #[arg(long, value_name = "FOLDER")]
    pub out: Option<PathBuf>,
}

impl LoadArgs {
    /// The plan for a server.
    pub fn plan(&self, url: &str, pace: Pace) -> Result<Plan, String> {
        let wire = &self.wire;
        if wire.connections == 0 || wire.threads == 0 || wire.pipeline == 0 {
            return Err("--connections, --threads and --pipeline are at least 1".into());
        }
        if matches!(pace, Pace::Rate(rate) if !(rate > 0.0 && rate.is_finite())) {
            return Err("--rate is a number above 0".into());
        }
        let seconds = |seconds: f64| {
            Duration::try_from_secs_f64(seconds).map_err(|_| format!("'{seconds}' is no number of seconds"))
        };
        Ok(Plan {
            url: Url::new(url)?,
            pace,
            time: seconds(self.time)?,
            warmup: seconds(wire.warmup)?,
            connections: wire.connections,
            threads: wire.threads,
            core: wire.core,
            shares_core: wire.shares_core,
            keep: if wire.new_connections { Connections::One } else { Connections::Keep },
            pipeline: wire.pipeline,
            sessions: if wire.resume { Sessions::Resumed } else { Sessions::Full },
            trust_any: wire.trust_any,
            heads: if wire.browser { Heads::Browser } else { Heads::Bare },
            timeout: seconds(wire.timeout)?,
        })
    }

    /// The same for a server that is started here: links are made when none are given. 107 bytes of code and target
    /// each, as usual.
    pub fn read_or_make(&self) -> Result<Vec<Key>, String> {
        let key = |n: usize| {
            let target = format!(
                "https://www.example.com/articles/2026/{n:07}/some-title-of-medium-length-here?utm_source=linkr&id=1"
            );
            Key { code: format!("c{n:07}").into(), expect: Expectation::To(target.into()) }
        };
        let given = self.wire.read()?;
        Ok(if given.is_empty() { (0..self.make_links.max(1)).map(key).collect() } else { given })
    }

    /// The keys, mixed as asked.
    pub fn mix(&self, keys: Vec<Key>) -> Result<Arc<Keys>, String> {
        let draw = match self.draw.split_once(':') {
            None if self.draw == "zipf" => Distribution::Zipf(0.99),
            None if self.draw == "even" => Distribution::Even,
            None if self.draw == "order" => Distribution::Order,
            Some(("zipf", exponent)) => {
                Distribution::Zipf(exponent.parse().map_err(|_| "--draw zipf:E takes a number")?)
            }
            _ => return Err(format!("--draw {} is none of zipf, zipf:E, even, order", self.draw)),
        };
        if !(0.0..=1.0).contains(&self.hot) || !(0.0..=1.0).contains(&self.unknown) {
            return Err("--hot and --unknown are parts from 0 to 1".into());
        }
        Keys::new(keys, draw, self.hot, self.unknown, self.seed)
    }

    /// For the report.
    pub fn describe(&self, pace: Pace) -> BTreeMap<String, String> {
        let mut words = BTreeMap::from([
            ("connections".to_owned(), self.wire.connections.to_string()),
            ("threads".to_owned(), self.wire.threads.to_string()),
            ("heads".to_owned(), if self.wire.browser { "browser" } else { "bare" }.to_owned()),
        ]);
        let mut add = |name: &str, value: String| words.insert(name.to_owned(), value);
        if self.draw != "order" {
            add("draw", self.draw.clone());
            add("seed", self.seed.to_string());
        }
        match pace {
            Pace::Rate(rate) => add("rate", rate.to_string()),
            Pace::Recorded(speed) if speed.is_finite() => add("speed", speed.to_string()),
            _ => add("rate", "flat out".into()),
        };
        for (name, part) in [("hot", self.hot), ("unknown", self.unknown)] {
            if part > 0.0 {
                add(name, part.to_string());
            }
        }
        if self.wire.pipeline > 1 {
            add("pipeline", self.wire.pipeline.to_string());
        }
        if self.wire.new_connections {
            add("connection", "new for each request".into());
        }
        if self.wire.resume {
            add("TLS sessions", "resumed".into());
        }
        words
    }
}

impl WireArgs {
    /// What to ask for, before it is mixed.
    ///
    /// # Errors
    /// One line about the file.
    pub fn read(&self) -> Result<Vec<Key>, String> {
        let anything = |code: &String| Key { code: code.as_str().into(), expect: Expectation::Anything };
        match &self.links {
            Some(path) => read_links(path),
            None => Ok(self.code.iter().map(anything).collect()),
        }
    }

    /// For recorded clicks: codes come in their order, as long as there are any.
    pub fn recorded(&self) -> LoadArgs {
        LoadArgs {
            time: 0.0,
            draw: "order".into(),
            hot: 0.0,
            unknown: 0.0,
            seed: 1,
            make_links: 0,
            server_core: 0,
            wire: self.clone(),
        }
    }
}
