//! The half that reads: redirects from memory on pinned threads, kept current by one thread that follows the log.
//!
//! `worker` holds what runs on the monoio threads, one per core; `background` what runs on the one tokio thread;
//! `keep` what keeps the links over a restart; `gather` what counts clicks.

mod addresses;
mod background;
mod clicks;
mod driver;
mod gather;
mod keep;
mod latency;
mod listen;
mod proxy;
mod records;
mod redis;
mod rings;
mod shared;
mod snapshot;
mod sys;
mod tails;
mod tls;
mod traces;
mod worker;

use crate::clicks::Clicks;
use background::Inboxes;
use exposition::StartFault;
use gather::Gatherer;
use keep::Keeper;
use redis::SharedRedis;
use rings::Rings;
use shared::{OriginQuestion, Shared};
use snapshot::Snapshot;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use worker::{Listeners, WorkerOptions};

pub use crate::clicks::ClicksConfig;
pub use driver::Driver;
pub use listen::{Address, ListenAddress};
pub use proxy::{Proxies, ProxyProtocol};
pub use redis::{RedisConfig, RedisUrl};
pub use sys::{file_limit, ignore_signals_of_writing, raise_file_limit};
pub use tls::{ServedTls, TlsConfig, TlsSession};

/// Families for `/metrics` from whoever shares the process.
pub type MoreMetrics = Arc<dyn exposition::Collector>;

/// What does not work of the control that shares the process though it serves, a line each.
pub type NotesProbe = Arc<dyn Fn() -> Vec<String> + Send + Sync>;
/// Whether the control that shares the process takes writes now; why not.
pub type WriteProbe = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> + Send + Sync>;

/// What an edge needs to know.
#[derive(Clone)]
pub struct Config {
    /// Where redirects are answered.
    pub listen: Vec<ListenAddress>,
    /// How long a connection may wait between two requests.
    pub idle_timeout: Duration,
    /// The proxies in front.
    pub proxies: Proxies,
    /// Where they are answered over TLS.
    pub tls: Option<TlsConfig>,
    /// Where `/livez`, `/readyz` and `/metrics` are. Port 0: any free one.
    pub admin: SocketAddr,
    /// The control instances to follow, as `http://host:port`; the next one is tried when one fails.
    pub control: Vec<String>,
    /// How they are reached, and who this edge is for them.
    pub access: proto::client::Access,
    /// Worker threads.
    pub workers: usize,
    /// They are not pinned to cores: for several edges on one machine.
    pub unpinned: bool,
    /// Bytes that the hot set may take, everything counted.
    pub hot_set_bytes: usize,
    /// This edge's name, for control and for people.
    pub name: String,
    /// The file that keeps the links over a restart.
    pub snapshot: Option<PathBuf>,
    /// The copy that is asked for what memory lacks.
    pub redis: Option<RedisConfig>,
    /// Descriptors that no client gets: for whoever looks after this edge, for control, Redis, the snapshot, and for what
    /// else is in this process.
    pub files_kept_back: usize,
    /// How clicks are counted; `None`: they are not.
    pub clicks: Option<ClicksConfig>,
    /// The receiver of traces by OTLP over gRPC, as `http://host:port` or `https://…`; `None`: they are remembered alone.
    pub otlp: Option<String>,
    /// Added to `/metrics`.
    pub more_metrics: Vec<MoreMetrics>,
    /// Asked by `/readyz?write`.
    pub writes: Option<WriteProbe>,
    /// Words behind the verdict of `/readyz`.
    pub notes: Option<NotesProbe>,
}

/// A running edge. Dropped without [`EdgeServer::stop`], its threads go on until the process ends.
pub struct EdgeServer {
    listen: Vec<Address>,
    listen_tls: Vec<Address>,
    admin: SocketAddr,
    driver: Driver,
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    background: background::BackgroundThread,
    gatherer: Option<Gatherer>,
    keeper: Option<Keeper>,
}

/// At a stop, for the last clicks to be handed over.
const LAST_CLICKS: Duration = Duration::from_secs(2);

/// Starts an edge: binds, reads its snapshot, starts the workers, and follows control from the background thread.
///
/// # Errors
/// [`StartFault`] when a certificate cannot be used, an address cannot be bound, the snapshot or the folder of clicks is another
/// process's, or a thread cannot be started.
/// A snapshot that cannot be read is none.
pub fn start(config: Config) -> Result<EdgeServer, StartFault> {
    sys::raise_file_limit();
    let workers = config.workers.max(1);
    background::check(&config)?;
    let offered = config.tls.as_ref().map(ServedTls::new).transpose().map_err(StartFault::new)?;
    let plain = listen::open_all("--listen", &config.listen, workers)?;
    // Its queue is as long as that of visitors: a probe must not be lost among strangers.
    let admin = listen::listener(config.admin, false);
    let admin = admin.map_err(|fault| exposition::cannot_listen("--admin", config.admin, fault))?;
    let tls = listen::open_all("--listen-tls", over_tls(&config), workers)?;
    let tls_config = offered.as_ref().map(|offered| Arc::clone(&offered.config));
    let (ask, questions) = futures_channel::mpsc::channel::<OriginQuestion>(shared::MAX_QUESTIONS);
    let snapshot = config.snapshot.as_deref().map(Snapshot::open).transpose()?;
    let redis = config.redis.clone().map(|redis| SharedRedis::new(redis, workers));
    let redis = redis.transpose().map_err(StartFault::new)?.map(Arc::new);
    let rings = config.clicks.as_ref().map(|clicks| Rings::open(&clicks.dir, workers)).transpose()?;
    let mut shared = Shared::new(config.hot_set_bytes, workers, ask, snapshot, redis).with_rings(rings);
    shared.clicks = config.clicks.clone().map(Clicks::new);
    let shared = Arc::new(shared);
    let (mut restored, mut keeper) = (None, None);
    if let Some(snapshot) = &shared.snapshot {
        restored = keep::restore(snapshot, &shared);
        keeper = Some(Keeper::start(Arc::clone(&shared), restored.is_some())?);
    }
    let manner = WorkerOptions {
        pinned: !config.unpinned,
        files_kept_back: config.files_kept_back,
        idle_timeout: config.idle_timeout,
        proxies: config.proxies.clone(),
    };
    let (listen, listen_tls) = (plain.addresses, tls.addresses);
    let host = listen.iter().find_map(Address::tcp).map_or("localhost".to_owned(), |own| own.to_string());
    let (offer, offers) = tokio::sync::mpsc::channel(1); // one is on its way at a time
    let inboxes = Inboxes { questions, offers };
    let background =
        background::start(config, host, admin.into(), offered, Arc::clone(&shared), inboxes, restored)?;
    let gatherer = Gatherer::start(Arc::clone(&shared), offer)?;
    let (report, reports) = mpsc::channel();
    let mut threads = Vec::new();
    for (index, (plain, tls)) in plain.listeners.into_iter().zip(tls.listeners).enumerate() {
        let listeners = Listeners { plain, tls, config: tls_config.clone() };
        let (shared, report, manner) = (Arc::clone(&shared), report.clone(), manner.clone());
        let thread = std::thread::Builder::new()
            .name(format!("worker-{index}"))
            .spawn(move || {
                let run = AssertUnwindSafe(|| worker::run(index, manner, listeners, shared, &report));
                // One of connections is contained there. Otherwise its clients would be sent nowhere for good, and nobody
                // would restart it.
                catch_unwind(run).unwrap_or_else(|_| sys::die());
            })
            .map_err(|fault| StartFault::because("cannot start a worker thread", fault))?;
        threads.push(thread);
    }
    drop(report);
    let mut driver = Driver::IoUring;
    for _ in 0..workers {
        // Every worker reports once; one that cannot start drops its end instead.
        let own = reports.recv().map_err(|_| StartFault::new("a worker could not start a runtime"))?;
        let own = own.map_err(|fault| StartFault::because("a worker could not start a runtime", fault))?;
        driver = driver.max(own);
    }
    shared.set_driver(driver);
    let admin = background.admin();
    Ok(EdgeServer {
        listen,
        listen_tls,
        admin,
        driver,
        shared,
        workers: threads,
        background,
        gatherer,
        keeper,
    })
}

impl EdgeServer {
    /// Where redirects are answered.
    pub fn listen(&self) -> &[Address] {
        &self.listen
    }

    /// Where they are answered over TLS.
    pub fn listen_tls(&self) -> &[Address] {
        &self.listen_tls
    }

    /// Where the admin listener is.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// The driver in use: `io_uring` or `epoll`, with the flags that the kernel granted.
    pub fn driver(&self) -> &'static str {
        self.driver.name()
    }

    /// Worker threads.
    pub fn workers(&self) -> usize {
        self.workers.len()
    }

    /// Waits until this edge has loaded all links, at most so long; `false` if it still has not.
    pub fn wait_ready(&self, at_most: Duration) -> bool {
        let deadline = Instant::now() + at_most;
        while !self.shared.feed.loaded.load(Ordering::Acquire) {
            if Instant::now() >= deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        true
    }

    /// Not ready any more, and each answer says that its connection ends; goes on accepting and answering.
    pub fn drain(&self) {
        self.shared.drain();
    }

    /// Accepts no more, lets connections end with their next answer, for `within` at most, ends all threads, puts the last
    /// clicks on disk, and writes the snapshot a last time.
    pub fn stop(self, within: Duration) {
        let by = Instant::now() + within;
        self.shared.stop(by);
        // A worker that is stuck must not keep the process: everything it holds ends with it.
        let deadline = by + worker::LAST_WORDS + Duration::from_secs(1);
        while Instant::now() < deadline && !self.workers.iter().all(JoinHandle::is_finished) {
            std::thread::sleep(Duration::from_millis(5));
        }
        // While there is a way to control.
        if let Some(gatherer) = self.gatherer {
            gatherer.stop(LAST_CLICKS);
        }
        // Said earlier, a write would be called propagated that an answer of ours may still miss.
        self.background.stop(self.workers.iter().all(JoinHandle::is_finished));
        if let Some(keeper) = self.keeper {
            keeper.stop();
        }
    }
}

/// Whether the certificates can be used and the addresses be had: for whoever would open a store in vain. Nobody can
/// connect meanwhile.
///
/// # Errors
/// What [`start`] would say.
pub fn check(config: &Config) -> Result<(), StartFault> {
    config.tls.as_ref().map_or(Ok(()), TlsConfig::check).map_err(StartFault::new)?;
    listen::check("--listen", &config.listen)?;
    listen::check("--admin", &[ListenAddress::At(config.admin)])?;
    listen::check("--listen-tls", over_tls(config))
}

fn over_tls(config: &Config) -> &[ListenAddress] {
    config.tls.as_ref().map_or(&[], |tls| tls.listen.as_slice())
}
