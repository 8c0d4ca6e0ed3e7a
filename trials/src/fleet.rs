//! Control, Redis and edges on cores of their own, for what is measured and not broken.

use crate::cores::{self, cpu_seconds};
use crate::http::{get, metric};
use crate::keyring::{ADMIN, Keyring};
use crate::process::{Dir, command, linkr};
use services::Process;
use services::{Redis, ServerFault};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// For anything to be as it should.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(5);
/// Control counts as idle when it uses less than `IDLE` seconds of CPU in a second, in `SETTLED` seconds in a row.
const IDLE: f64 = 0.03;
const SETTLED: u32 = 5;
/// Control has so long to tidy up: a hundred million clicks that were never tidied take two minutes.
const TIDIES: Duration = Duration::from_secs(900);
/// The edges' core; everything else is on the other one.
pub const EDGE_CORE: &str = "0";
/// The core of the generator, of control, and of Redis.
pub const OTHER_CORE: &str = "1";

/// A control with SQLite behind it and Redis beside it.
pub struct Fleet {
    /// Its API.
    pub api: SocketAddr,
    /// Its admin listener.
    pub admin: SocketAddr,
    /// The copy; empty where it is not asked for.
    pub redis: Option<Redis>,
    /// Words in front of the edges that are started from now on: what they run under.
    pub under: Vec<String>,
    /// Words behind theirs.
    pub words: Vec<String>,
    keys: Keyring,
    control: Process,
    dir: Dir,
    binary: PathBuf,
    edges: usize,
}

/// One edge.
pub struct Edge {
    /// Where it answers.
    pub address: SocketAddr,
    /// Where it answers over TLS, if its words say so.
    pub tls: Option<SocketAddr>,
    /// Its admin listener.
    pub admin: SocketAddr,
    process: Process,
}

impl Fleet {
    /// Starts it. `Ok(None)`, and why was said, where there is no redis-server.
    ///
    /// # Errors
    /// One line: what did not start.
    pub fn start(with_redis: bool) -> Result<Option<Self>, String> {
        Self::start_on("sqlite:links.db", with_redis)
    }

    /// The same on this store.
    ///
    /// # Errors
    /// As [`Fleet::start`].
    pub fn start_on(store: &str, with_redis: bool) -> Result<Option<Self>, String> {
        let redis = match with_redis.then(|| Redis::start(&["maxmemory-policy volatile-lru"])).transpose() {
            Err(missing @ ServerFault::Missing(_)) => {
                println!("SKIPPED: {missing}");
                return Ok(None);
            }
            redis => redis.map_err(|fault| fault.to_string())?,
        };
        Self::started(Dir::new()?, store, redis, Keyring::default()).map(Some)
    }

    /// The same without Redis and in a folder that is there; everybody shows a key of these.
    ///
    /// # Errors
    /// As [`Fleet::start`].
    pub fn start_with_keys(dir: Dir, store: &str, keys: Keyring) -> Result<Self, String> {
        Self::started(dir, store, None, keys)
    }

    fn started(dir: Dir, store: &str, redis: Option<Redis>, keys: Keyring) -> Result<Self, String> {
        let binary = linkr()?;
        let any = "127.0.0.1:0";
        let mut words = vec!["control", "--store", store, "--api", any, "--admin", any];
        if keys.file(ADMIN).is_none() {
            words.push("--insecure");
        }
        if let Some(redis) = &redis {
            words.extend(["--redis", redis.url()]);
        }
        let name = format!("control{}", if redis.is_some() { "" } else { "-alone" });
        let log = dir.path().join(format!("{name}.log"));
        let control =
            Process::hear(&pinned(OTHER_CORE, &[], &binary, dir.path(), &words), &log, &["api", "admin"])?;
        let (api, admin) = (control.address("api")?, control.address("admin")?);
        let (under, words) = (Vec::new(), Vec::new());
        Ok(Self { api, admin, redis, under, words, keys, control, dir, binary, edges: 0 })
    }

    /// Waits until control has tidied up what was written into its store: that takes a part of its core for minutes, and comes once.
    ///
    /// # Errors
    /// Control still uses its core after 900 s.
    pub async fn settle(&self) -> Result<(), String> {
        let (began, mut quiet, mut before) = (Instant::now(), 0, cpu_seconds(self.control.id()));
        while quiet < SETTLED {
            if began.elapsed() > TIDIES {
                return Err(format!("control still tidies up after {TIDIES:?}"));
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            let now = cpu_seconds(self.control.id());
            quiet = if now - before < IDLE { quiet + 1 } else { 0 };
            before = now;
        }
        Ok(())
    }

    /// Where its files are.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// An edge of one worker with so much room, when it has heard everything.
    ///
    /// # Errors
    /// It does not start.
    pub async fn edge(&mut self, room: usize) -> Result<Edge, String> {
        let edge = self.begin_edge(room)?;
        until("the edge is ready", async || {
            get(edge.admin, "/readyz").await.is_some_and(|answer| answer.starts_with("HTTP/1.1 200"))
        })
        .await?;
        if self.redis.is_some() {
            let asks = async || metric(edge.admin, "linkr_redis_up").await == Some(1.0);
            until("the edge asks Redis", asks).await?;
        }
        self.followed(&edge).await?;
        Ok(edge)
    }

    /// The same as soon as it listens; it asks Redis if there is one.
    ///
    /// # Errors
    /// It does not start.
    pub fn begin_edge(&mut self, room: usize) -> Result<Edge, String> {
        self.edges += 1;
        let (name, control, room) =
            (format!("edge-{}", self.edges), format!("http://{}", self.api), room.to_string());
        let any = "127.0.0.1:0";
        let mut words = vec!["edge", "--control", &control, "--name", &name, "--listen", any, "--admin", any];
        words.extend(["--workers", "1", "--hot-set-bytes", &room]);
        if let Some(redis) = &self.redis {
            words.extend(["--redis", redis.url()]);
        }
        let key = self.keys.file(&name).map(|key| key.to_string_lossy().into_owned());
        words.extend(key.iter().flat_map(|key| ["--control-key-file", key]));
        words.extend(self.words.iter().map(String::as_str));
        let log = self.path().join(format!("{name}.log"));
        let command = pinned(EDGE_CORE, &self.under, &self.binary, self.path(), &words);
        let process = Process::hear(&command, &log, &["edge", "admin"])?;
        let tls = process.address("tls").ok(); // said before the last word
        Ok(Edge { address: process.address("edge")?, tls, admin: process.address("admin")?, process })
    }

    /// Imports a file; how many rows it took, and how many it did not.
    ///
    /// # Errors
    /// It cannot be imported at all.
    pub fn import(&self, file: &Path) -> Result<String, String> {
        let (file, api) = (file.to_string_lossy(), format!("http://{}", self.api));
        let mut words = vec!["import", &file, "--server", &api];
        let key = self.keys.file(ADMIN).map(|key| key.to_string_lossy().into_owned());
        words.extend(key.iter().flat_map(|key| ["--key-file", key]));
        let done = command(&self.binary, self.path(), &words).output().map_err(|fault| fault.to_string())?;
        let said = String::from_utf8_lossy(&done.stdout).trim().to_owned();
        // Rows that are no links are said to be a failure.
        if said.starts_with("created ") {
            Ok(said)
        } else {
            Err(String::from_utf8_lossy(&done.stderr).into())
        }
    }

    /// Waits until an edge has applied what the log holds now.
    ///
    /// # Errors
    /// It does not get there.
    pub async fn followed(&self, edge: &Edge) -> Result<(), String> {
        let head =
            metric(self.admin, "linkr_control_log_head").await.ok_or("control does not say its head")?;
        until("the edge has everything", async || {
            metric(edge.admin, "linkr_feed_applied_seq").await.is_some_and(|applied| applied >= head)
                && metric(edge.admin, "linkr_edge_staleness_seconds").await.is_some_and(|age| age < 1.0)
        })
        .await
    }

    /// Waits until Redis holds this many links, and its position is the log's.
    ///
    /// # Errors
    /// It does not get there.
    pub async fn copied(&self, links: usize) -> Result<(), String> {
        let redis = self.redis.as_ref().ok_or("there is no Redis")?;
        until("Redis has everything", async || {
            let size = redis.cli(&["DBSIZE"]).ok().and_then(|size| size.trim().parse::<usize>().ok());
            size.is_some_and(|size| size > links)
                && metric(self.admin, "linkr_redis_lag_changes").await == Some(0.0)
        })
        .await
    }

    /// Ties Redis to a core. `first`: it runs as soon as it has something to do, whatever else is on that core.
    ///
    /// # Errors
    /// The system does not let us.
    pub fn pin_redis(&self, core: &str, first: bool) -> Result<(), String> {
        let redis = self.redis.as_ref().ok_or("there is no Redis")?;
        let info = redis.cli(&["INFO", "server"]).map_err(|fault| fault.to_string())?;
        let id = info.lines().find_map(|line| line.strip_prefix("process_id:")).unwrap_or_default().trim();
        say("taskset", &["-a", "-p", "-c", core, id])?;
        if first { say("chrt", &["-a", "-f", "-p", "1", id]) } else { Ok(()) }
    }
}

impl Edge {
    /// Bytes of memory that the process holds.
    pub fn resident(&self) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok()).unwrap_or(0) * 1024
    }

    /// Seconds of a core that the process has used (in hundredths, as the kernel says them).
    pub fn cpu_seconds(&self) -> f64 {
        cores::cpu_seconds(self.process.id())
    }

    /// A metric, by its whole name.
    ///
    /// # Errors
    /// It has none of this name.
    pub async fn metric(&self, name: &str) -> Result<f64, String> {
        metric(self.admin, name).await.ok_or_else(|| format!("the edge does not say {name}"))
    }

    /// Where it answers.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// A command that stays on one core, behind the words that it runs under.
pub fn pinned(core: &str, under: &[String], program: &Path, dir: &Path, words: &[&str]) -> Command {
    let mut pinned = command(Path::new("taskset"), dir, &["-c", core]);
    pinned.args(under).arg(program).args(words);
    pinned
}

/// Runs a program that says nothing.
///
/// # Errors
/// It fails.
pub fn say(program: &str, words: &[&str]) -> Result<(), String> {
    let done = Command::new(program).args(words).output();
    match done {
        Ok(done) if done.status.success() => Ok(()),
        Ok(done) => Err(format!("{program}: {}", String::from_utf8_lossy(&done.stderr).trim())),
        Err(fault) => Err(format!("{program}: {fault}")),
    }
}

async fn until(what: &str, mut is: impl AsyncFnMut() -> bool) -> Result<(), String> {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !is().await {
            tokio::time::sleep(POLL).await;
        }
    });
    waited.await.map_err(|_| format!("not within {PATIENCE:?}: {what}"))
}
