//! The words of the command line, and the plan that they make.

use crate::keys::{Draw, Expect, Key, Keys, read_links};
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
    Sweep(Run),
    /// Measures servers in turn, round by round, and says how they differ.
    Compare(Compare),
    /// Compares two results: exit status 1 when the second is worse beyond the tolerance.
    Gate(Gate),
    /// Serves a fixed answer to everything: what the kernel alone costs.
    Floor(FloorArgs),
}

#[derive(Args, Clone)]
pub struct Run {
    /// http://HOST:PORT or https://HOST:PORT; or a server to start here: linkr, linkr-epoll, nginx, haproxy, floor,
    /// floor-epoll.
    pub url: String,
    #[command(flatten)]
    pub load: LoadArgs,
    /// Requests a second over all connections; without it each connection sends when it has its answer.
    #[arg(long)]
    pub rate: Option<f64>,
    #[command(flatten)]
    pub watch: WatchArgs,
}

#[derive(Args, Clone)]
pub struct Replay {
    /// http://HOST:PORT or https://HOST:PORT.
    pub url: String,
    /// CSV with `unix_time,code`, in time order.
    #[arg(long)]
    pub clicks: String,
    /// So many times as fast as they were; without it flat out.
    #[arg(long)]
    pub speed: Option<f64>,
    #[command(flatten)]
    pub load: LoadArgs,
    #[command(flatten)]
    pub watch: WatchArgs,
}

#[derive(Args, Clone)]
pub struct Compare {
    /// NAME=URL of a running server, or one to start here: floor, floor-epoll, linkr, linkr-epoll, nginx, haproxy. The
    /// first is what the others are compared with.
    #[arg(long = "server", required = true, num_args = 1)]
    pub servers: Vec<String>,
    /// Rounds; each measures every server once.
    #[arg(long, default_value_t = 15)]
    pub rounds: usize,
    /// Requests a second, the same for all; without it all at saturation.
    #[arg(long)]
    pub rate: Option<f64>,
    #[command(flatten)]
    pub load: LoadArgs,
    /// Writes NAME.json for each server into this folder.
    #[arg(long)]
    pub out: Option<PathBuf>,
}

#[derive(Args, Clone)]
pub struct Gate {
    /// A result of `run` (report.json) or `compare` (NAME.json).
    pub before: PathBuf,
    /// Another one.
    pub after: PathBuf,
    /// How much worse is still the same.
    #[arg(long, default_value_t = 0.02)]
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
    /// Corrected p99.
    P99,
    /// Right answers a second.
    Rate,
}

#[derive(Args, Clone)]
pub struct FloorArgs {
    /// Where.
    #[arg(long, default_value = "127.0.0.1:18090")]
    pub listen: SocketAddr,
    /// epoll instead of io_uring.
    #[arg(long)]
    pub epoll: bool,
    /// Nanoseconds of CPU time to burn for each answer: to see whether a comparison finds it.
    #[arg(long, default_value_t = 0)]
    pub burn_ns: u64,
    /// Milliseconds to pause at the start of each second: to see whether a latency shows it.
    #[arg(long, default_value_t = 0)]
    pub stall_ms: u64,
}

#[derive(Args, Clone)]
pub struct LoadArgs {
    /// Seconds.
    #[arg(long, default_value_t = 10.0)]
    pub time: f64,
    /// Seconds before, measured apart.
    #[arg(long, default_value_t = 0.0)]
    pub warmup: f64,
    /// Connections.
    #[arg(short, long, default_value_t = 64)]
    pub connections: usize,
    /// Sending threads.
    #[arg(short, long, default_value_t = 1)]
    pub threads: usize,
    /// The core of the first sending thread; the next one takes the next.
    #[arg(long)]
    pub core: Option<usize>,
    /// A new connection for each request.
    #[arg(long)]
    pub new_connections: bool,
    /// Requests under way on one connection.
    #[arg(long, default_value_t = 1)]
    pub pipeline: usize,
    /// Resume TLS sessions instead of a full handshake each.
    #[arg(long)]
    pub resume: bool,
    /// Believe any certificate.
    #[arg(long)]
    pub trust_any: bool,
    /// Heads of about 700 bytes, as a browser sends them.
    #[arg(long)]
    pub browser: bool,
    /// Seconds until a request counts as lost.
    #[arg(long, default_value_t = 10.0)]
    pub timeout: f64,
    /// CSV with `code` and `location` or `target`: what to ask for, and what must come back.
    #[arg(long)]
    pub links: Option<String>,
    /// Links to make for a server that is started here, when no file is given.
    #[arg(long, default_value_t = 100_000)]
    pub make_links: usize,
    /// The core to pin servers to that are started here.
    #[arg(long, default_value_t = 0)]
    pub server_core: usize,
    /// A code to ask for, when there is no file; any answer below 500 is right.
    #[arg(long)]
    pub code: Vec<String>,
    /// `zipf` (exponent 0.99), `zipf:E`, `even` or `order`.
    #[arg(long, default_value = "zipf")]
    pub draw: String,
    /// Part of the requests that ask for one key, from 0 to 1.
    #[arg(long, default_value_t = 0.0)]
    pub hot: f64,
    /// Part of the requests that ask for codes which do not exist, from 0 to 1.
    #[arg(long, default_value_t = 0.0)]
    pub unknown: f64,
    /// The same seed draws the same requests.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

#[derive(Args, Clone)]
pub struct WatchArgs {
    /// HOST:PORT of the edge's admin listener: hit rates and what each worker did.
    #[arg(long)]
    pub admin: Option<SocketAddr>,
    /// Count the server's system calls (perf): slows it, so not for figures of time.
    #[arg(long)]
    pub syscalls: bool,
    /// Writes report.json, report.html, *.hgrm and latency.hlog into this folder.
    #[arg(long)]
    pub out: Option<PathBuf>,
}

impl LoadArgs {
    /// The plan for a server.
    pub fn plan(&self, url: &str, pace: Pace) -> Result<Plan, String> {
        if self.connections == 0 || self.threads == 0 || self.pipeline == 0 {
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
            warmup: seconds(self.warmup)?,
            connections: self.connections,
            threads: self.threads,
            core: self.core,
            keep: if self.new_connections { Connections::One } else { Connections::Keep },
            pipeline: if self.new_connections { 1 } else { self.pipeline },
            sessions: if self.resume { Sessions::Resumed } else { Sessions::Full },
            trust_any: self.trust_any,
            heads: if self.browser { Heads::Browser } else { Heads::Bare },
            timeout: seconds(self.timeout)?,
        })
    }

    /// What to ask for, before it is mixed.
    pub fn read(&self) -> Result<Vec<Key>, String> {
        let anything = |code: &String| Key { code: code.as_str().into(), expect: Expect::Anything };
        match &self.links {
            Some(path) => read_links(path),
            None => Ok(self.code.iter().map(anything).collect()),
        }
    }

    /// The same for a server that is started here: links are made when none are given. 107 bytes of code and target
    /// each, as usual.
    pub fn read_or_make(&self) -> Result<Vec<Key>, String> {
        let key = |n: usize| {
            let target = format!(
                "https://www.example.com/articles/2026/{n:07}/some-title-of-medium-length-here?utm_source=linkr&id=1"
            );
            Key { code: format!("c{n:07}").into(), expect: Expect::To(target.into()) }
        };
        let given = self.read()?;
        Ok(if given.is_empty() { (0..self.make_links.max(1)).map(key).collect() } else { given })
    }

    /// The keys, mixed as asked.
    pub fn mix(&self, keys: Vec<Key>) -> Result<Arc<Keys>, String> {
        let draw = match self.draw.split_once(':') {
            None if self.draw == "zipf" => Draw::Zipf(0.99),
            None if self.draw == "even" => Draw::Even,
            None if self.draw == "order" => Draw::Order,
            Some(("zipf", exponent)) => {
                Draw::Zipf(exponent.parse().map_err(|_| "--draw zipf:E takes a number")?)
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
            ("connections".to_owned(), self.connections.to_string()),
            ("threads".to_owned(), self.threads.to_string()),
            ("heads".to_owned(), if self.browser { "browser" } else { "bare" }.to_owned()),
            ("draw".to_owned(), self.draw.clone()),
            ("seed".to_owned(), self.seed.to_string()),
        ]);
        let mut add = |name: &str, value: String| words.insert(name.to_owned(), value);
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
        if self.pipeline > 1 {
            add("pipeline", self.pipeline.to_string());
        }
        if self.new_connections {
            add("connection", "new for each request".into());
        }
        words
    }
}
