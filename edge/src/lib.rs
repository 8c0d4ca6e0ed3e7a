//! The half that reads: redirects from memory on pinned threads, kept current by one thread that follows the log.
//!
//! `worker` holds what runs on the monoio threads, one per core; `background` what runs on the one tokio thread;
//! `keep` what keeps the links over a restart; `gather` what counts clicks; `handover` what passes all of it to the next process.

mod addresses;
mod background;
mod clicks;
mod driver;
mod gather;
mod handover;
mod keep;
mod latency;
mod listen;
mod minute;
mod proxy;
mod pulse;
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
use background::{AdminState, Inboxes};
use exposition::{Health, StartFault};
use handover::{Answer, Estate, EstateListeners, Giver, Heir, Inheritance};
use keep::Keeper;
use listen::InheritedListener;
use redis::SharedRedis;
use rings::{InheritedRings, Rings};
use shared::{OriginQuestion, Shared};
use snapshot::Snapshot;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use worker::{Listeners, WorkerOptions};

pub use crate::clicks::ClicksConfig;
pub use driver::Driver;
pub use handover::{Companion, CompanionOffer, SharedProcess};
pub use listen::QUEUE as ACCEPT_QUEUE;
pub use listen::{Address, GivenSockets, ListenAddress};
pub use proxy::{Proxies, ProxyProtocol};
pub use redis::{RedisConfig, RedisUrl};
pub use sys::{clock_is_kept, file_limit, ignore_signals_of_writing, raise_file_limit};
pub use tls::{ServedTls, TlsConfig, TlsSession};
pub use worker::best_driver;

/// Families for `/metrics` from whoever shares the process.
pub type MoreMetrics = Arc<dyn exposition::Collector>;

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
    /// The program, for control and for people.
    pub build: exposition::Build,
    /// Added to `/metrics`.
    pub more_metrics: Vec<MoreMetrics>,
    /// How the control that shares the process stands.
    pub control_health: Option<Arc<dyn Health>>,
    /// What is handed over with this edge, because it shares the process.
    pub shares: Option<SharedProcess>,
}

/// A running edge. Dropped without [`EdgeServer::stop`], its threads go on until the process ends.
pub struct EdgeServer {
    listen: Vec<Address>,
    listen_tls: Vec<Address>,
    admin: SocketAddr,
    driver: Driver,
    estate: Arc<Estate>,
    workers: Vec<JoinHandle<()>>,
    background: background::BackgroundThread,
    keeper: Option<Keeper>,
    giver: Option<Giver>,
    control_health: Option<Arc<dyn Health>>,
}

/// For the kernel to give back what a process had that was killed.
const FREED: Duration = Duration::from_secs(5);
/// At a stop, for the last clicks to be handed over.
const LAST_CLICKS: Duration = Duration::from_secs(2);

/// Starts an edge: binds what was not given, reads its snapshot, starts the workers, and follows control from the background thread.
///
/// # Errors
/// [`StartFault`] when a certificate cannot be used, an address cannot be bound, a socket was given that no
/// address asks for, the snapshot or the folder of clicks is another
/// process's, or a thread cannot be started.
/// A snapshot that cannot be read is none.
pub fn start(config: Config, given: GivenSockets) -> Result<EdgeServer, StartFault> {
    let file = links_of(&config);
    if let Some(shares) = &config.shares {
        Snapshot::for_heirs(&shares.links).remove(); // of a hand-over that was cut
    }
    let edge = prepare(config, Inheritance::default(), given)?;
    edge.open(file.as_deref())
}

/// Beside this file another process finds the one that runs.
fn links_of(config: &Config) -> Option<PathBuf> {
    let shares = config.shares.as_ref().map(|shares| &shares.links);
    shares.or(config.snapshot.as_ref()).cloned()
}

/// Starts an edge that goes on in the place of the process that runs with the same snapshot file, if there is one: with its
/// sockets, its links, its clicks and the keys of its tickets. That process answers its last connections and ends. `began` is
/// called once it has agreed.
///
/// # Errors
/// [`StartFault`] as of [`start`]; or the process that runs refuses, or this one is not ready within a minute. The process
/// that runs serves on then.
pub fn take_over(
    config: Config,
    given: GivenSockets,
    began: impl FnOnce(),
) -> Result<EdgeServer, StartFault> {
    let Some(snapshot) = config.snapshot.clone() else {
        return Err(StartFault::new(
            "--upgrade wants --snapshot: beside that file the process that runs is found",
        ));
    };
    let (heir, inheritance) = match handover::ask(&handover::path(&snapshot), &config.name, false)? {
        Answer::Offered(offered) => *offered,
        Answer::Nobody => {
            tell_nobody();
            return start(config, given);
        }
        Answer::Ended => return start_behind(&config),
    };
    began();
    let (heir, edge) = load(config, heir, inheritance, given, |_| false)?;
    let takes = edge.takes();
    heir.take_over(&takes)?;
    edge.open_as_heir(&snapshot)
}

fn tell_nobody() {
    tracing::info!(name: "nobody_to_take_over_from", "no process runs that could be taken over from: this one just starts");
}

/// The links of a process that has offered them, and what has changed since; that is not waited for once `in_vain`.
fn load(
    config: Config,
    heir: Heir,
    inheritance: Inheritance,
    given: GivenSockets,
    in_vain: impl Fn(&Heir) -> bool,
) -> Result<(Heir, EdgeServer), StartFault> {
    let ready = prepare(config, inheritance, given).and_then(|edge| {
        edge.wait_current(heir.until(), || in_vain(&heir))?;
        Ok(edge)
    });
    match ready {
        Ok(edge) => Ok((heir, edge)),
        Err(fault) => {
            heir.give_up(&fault.to_string());
            Err(fault)
        }
    }
}

/// What comes of the question whether a process may go on in the place of another that has a companion.
pub enum Asked {
    /// No process runs that could be asked: just start.
    Nobody,
    /// One has been killed meanwhile: what it had is free within a moment.
    Ended,
    /// One has agreed.
    Agreed(Box<Newcomer>),
}

/// A process with a companion that another one has offered everything. Where it ends before it has taken over, the other one
/// serves on.
pub struct Newcomer {
    heir: Heir,
    inheritance: Inheritance,
    links: PathBuf,
}

/// The same with all links. It answers nobody yet, and the companion of the other process is closed.
pub struct LoadedNewcomer {
    heir: Heir,
    edge: EdgeServer,
    links: PathBuf,
}

impl Newcomer {
    /// Asks the process that runs with this file of links ([`SharedProcess::links`]) and name.
    ///
    /// # Errors
    /// [`StartFault`], in words, when it refuses, or cannot be understood.
    pub fn ask(links: &Path, name: &str) -> Result<Asked, StartFault> {
        Ok(match handover::ask(&handover::path(links), name, true)? {
            Answer::Nobody => {
                tell_nobody();
                Asked::Nobody
            }
            Answer::Ended => Asked::Ended,
            Answer::Offered(offered) => {
                let (heir, inheritance) = *offered;
                Asked::Agreed(Box::new(Self { heir, inheritance, links: links.to_owned() }))
            }
        })
    }

    /// What the companion of the other process offers; the first time.
    pub fn companion(&mut self) -> CompanionOffer {
        self.inheritance.companion.take().unwrap_or_default()
    }

    /// This process ends, and says why.
    pub fn give_up(self, why: &str) {
        self.heir.give_up(why);
    }

    /// Loads all links and follows control, that of the other process, until this one is current or that process has ended. When this returns, the companion
    /// of the other process is closed.
    ///
    /// # Errors
    /// [`StartFault`] as of [`take_over`].
    pub fn load(self, config: Config, given: GivenSockets) -> Result<LoadedNewcomer, StartFault> {
        let Self { heir, inheritance, links } = self;
        // The control that is followed here ends with that process.
        let (mut heir, edge) = load(config, heir, inheritance, given, Heir::has_ended)?;
        Snapshot::for_heirs(&links).remove();
        heir.wait_closed(&edge.takes())?;
        Ok(LoadedNewcomer { heir, edge, links })
    }
}

impl LoadedNewcomer {
    /// The edge, which answers nobody yet.
    pub fn edge(&self) -> &EdgeServer {
        &self.edge
    }

    /// Whether the other process has ended without a word: nobody serves on if this one does not.
    pub fn is_alone(&self) -> bool {
        self.heir.is_alone()
    }

    /// This process ends, and says why. Its companion is closed.
    pub fn give_up(self, why: &str) {
        self.heir.give_up(why);
    }

    /// Takes over: the companion of this process serves.
    ///
    /// # Errors
    /// [`StartFault`], in words: this edge cannot follow the companion by then, or the other process serves on.
    pub fn serve(self, by: Instant) -> Result<EdgeServer, StartFault> {
        let Self { heir, edge, links } = self;
        if let Err(fault) = edge.wait_current(by, || false) {
            heir.give_up(&fault.to_string());
            return Err(fault);
        }
        heir.take_over_opened()?;
        edge.open_as_heir(&links)
    }
}

/// Behind a process that has just been killed. What it had is free when the kernel has ended all its threads and rings.
fn start_behind(config: &Config) -> Result<EdgeServer, StartFault> {
    tracing::warn!(name: "handover_cut", "the process that ran has ended before it handed over: this one just starts");
    let until = Instant::now() + FREED;
    loop {
        match start(config.clone(), GivenSockets::default()) {
            Err(_) if Instant::now() < until => std::thread::sleep(Duration::from_millis(50)),
            started => return started,
        }
    }
}

/// Everything but what changes what another process still uses: nobody is accepted, and no click is gathered.
fn prepare(
    config: Config,
    inherited: Inheritance,
    mut given: GivenSockets,
) -> Result<EdgeServer, StartFault> {
    sys::raise_file_limit();
    let workers = config.workers.max(1);
    background::check(&config)?;
    let Inheritance { mut listen, mut listen_tls, mut admin, note, rings, ticket_keys, companion: _ } =
        inherited;
    let is_heir = !listen.is_empty();
    let offered = config.tls.as_ref().map(|tls| ServedTls::new(tls, &ticket_keys)).transpose();
    let offered = offered.map_err(StartFault::new)?;
    listen.extend(given.take("--listen", &config.listen));
    listen_tls.extend(given.take("--listen-tls", over_tls(&config)));
    admin.extend(given.take("--admin", &[ListenAddress::At(config.admin)]));
    given.all_taken("--listen, --listen-tls and --admin")?;
    let plain = listen::open_all("--listen", &config.listen, workers, &mut listen)?;
    let admin = listen::open_admin(config.admin, &mut admin)?;
    let tls = listen::open_all("--listen-tls", over_tls(&config), workers, &mut listen_tls)?;
    let cannot = |fault| StartFault::because("cannot keep the listeners", fault);
    let address = admin.local_addr().map_err(cannot)?.as_socket();
    let listeners = EstateListeners {
        listen: plain.handed().map_err(cannot)?,
        listen_tls: tls.handed().map_err(cannot)?,
        admin: vec![InheritedListener {
            address: Address::Tcp(address.unwrap_or(config.admin)),
            sockets: vec![admin.try_clone().map_err(cannot)?],
            given: false, // it is never ended, whoever has it
        }],
    };
    let tls_config = offered.as_ref().map(|offered| Arc::clone(&offered.config));
    let tickets = offered.as_ref().map(|offered| Arc::clone(&offered.tickets));
    let (ask, questions) = futures_channel::mpsc::channel::<OriginQuestion>(shared::MAX_QUESTIONS);
    let snapshot = config.snapshot.as_deref().map(|path| match note {
        Some(note) => Ok(Snapshot::inherit(path, note)),
        None => Snapshot::open(path),
    });
    let redis = config.redis.clone().map(|redis| SharedRedis::new(redis, workers));
    let redis = redis.transpose().map_err(StartFault::new)?.map(Arc::new);
    let rings = open_rings(config.clicks.as_ref(), workers, rings)?;
    let mut shared =
        Shared::new(config.hot_set_bytes, workers, ask, snapshot.transpose()?, redis).with_rings(rings);
    shared.clicks = config.clicks.clone().map(Clicks::new);
    let shared = Arc::new(shared);
    let shares = config.shares.clone();
    let handed = shares.as_ref().filter(|_| is_heir).map(|shares| Snapshot::for_heirs(&shares.links));
    let restore = || {
        offered.iter().for_each(ServedTls::prepare);
        shared.snapshot.as_ref().or(handed.as_ref()).and_then(|file| keep::restore(file, &shared))
    };
    let restored = match is_heir {
        true => sys::behind_others(|| {
            shared.clicks.iter().for_each(Clicks::prepare); // not when it takes over
            worker::measured_beside(restore)
        })
        .map_err(|fault| StartFault::because("cannot start the thread that loads links", fault))?,
        false => worker::measured_beside(restore),
    };
    let keeper = shared.snapshot.as_ref().map(|_| Keeper::start(Arc::clone(&shared), restored.is_some()));
    let keeper = keeper.transpose()?;
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
    let (name, control_health) = (config.name.clone(), config.control_health.clone());
    let background =
        background::start(config, host, admin.into(), offered, Arc::clone(&shared), inboxes, restored)?;
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
    let door = Arc::clone(background.door());
    let estate = Arc::new(Estate::new(name, shared, tickets, listeners, offer, door, shares)?);
    let workers = threads;
    let giver = None;
    Ok(EdgeServer {
        listen,
        listen_tls,
        admin,
        driver,
        estate,
        workers,
        background,
        keeper,
        giver,
        control_health,
    })
}

/// Where workers note clicks. Those that another process has noted have to be gathered by this one.
fn open_rings(
    clicks: Option<&ClicksConfig>,
    workers: usize,
    inherited: Option<(PathBuf, InheritedRings)>,
) -> Result<Option<Rings>, StartFault> {
    let Some((dir, inherited)) = inherited else {
        return clicks.map(|clicks| Rings::open(&clicks.dir, workers)).transpose();
    };
    let own = clicks.filter(|clicks| clicks.dir.canonicalize().is_ok_and(|own| own == dir));
    let Some(clicks) = own else {
        return Err(StartFault::new(format!(
            "the process that runs keeps its clicks in {}, and they would be left there: give this one the same --clicks-dir",
            dir.display()
        )));
    };
    Rings::inherit(&clicks.dir, workers, inherited).map(Some)
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
        while !self.estate.shared.feed.loaded.load(Ordering::Acquire) {
            if Instant::now() >= deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        true
    }

    /// How it stands, with the control in its process.
    pub fn health(&self) -> Arc<dyn Health> {
        background::health(Arc::clone(&self.estate.shared), self.control_health.clone())
    }

    /// Waits until this edge answers as well as any other: it has all links and hears of each change. Once that is `in_vain`, it
    /// is not waited for.
    fn wait_current(&self, until: Instant, in_vain: impl Fn() -> bool) -> Result<(), StartFault> {
        let shared = &self.estate.shared;
        loop {
            let loaded = shared.feed.loaded.load(Ordering::Acquire);
            let blind = shared.set.freshness(sys::boottime_ms()).is_blind();
            if loaded && !blind && shared.feed.connected.load(Ordering::Acquire) || in_vain() {
                return Ok(());
            }
            if Instant::now() >= until {
                let lacks =
                    if loaded { "control cannot be followed" } else { "control has not sent all links" };
                return Err(StartFault::new(format!("this edge is not ready in time: {lacks}")));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Where this edge answers.
    fn takes(&self) -> Vec<Address> {
        self.listen.iter().chain(&self.listen_tls).cloned().collect()
    }

    fn open_as_heir(self, links: &Path) -> Result<Self, StartFault> {
        let edge = self.open(Some(links))?;
        tracing::info!(name: "taken_over", "this process goes on in the place of the one that ran");
        Ok(edge)
    }

    /// Accepts, gathers clicks and keeps the snapshot: from here on this is the edge.
    fn open(mut self, links: Option<&Path>) -> Result<Self, StartFault> {
        let shared = &self.estate.shared;
        if let Some(snapshot) = &shared.snapshot {
            snapshot.note.take_over();
            snapshot.keep(true);
        }
        shared.open();
        self.estate.admin.send_replace(AdminState::Open);
        self.estate.gather()?;
        self.giver = links.and_then(|links| Giver::start(&handover::path(links), &self.estate));
        Ok(self)
    }

    /// Waits until another process goes on in the place of this one, which is then to be stopped.
    pub async fn handed_over(&self) {
        self.estate.handed_over.notified().await;
    }

    /// Not ready any more, and each answer says that its connection ends; goes on accepting and answering.
    pub fn drain(&self) {
        self.estate.shared.drain();
    }

    /// Accepts no more, lets connections end with their next answer, for `within` at most, ends all threads, puts the last
    /// clicks on disk, and writes the snapshot a last time. Clicks and snapshot are left to another process if that goes on in
    /// the place of this one.
    pub fn stop(self, within: Duration) {
        let by = Instant::now() + within;
        match self.giver {
            Some(giver) => giver.stop(),
            None => self.estate.close(),
        }
        self.estate.shared.stop(by);
        // A worker that is stuck must not keep the process: everything it holds ends with it.
        let deadline = by + worker::LAST_WORDS + Duration::from_secs(1);
        while Instant::now() < deadline && !self.workers.iter().all(JoinHandle::is_finished) {
            std::thread::sleep(Duration::from_millis(5));
        }
        if self.estate.shared.has_heir() {
            // That one answers on the same cores. A million links that are freed one by one take a tenth of a second of one; with
            // the process they end at once.
            sys::go_behind_others_from_now_on();
            std::mem::forget(Arc::clone(&self.estate.shared));
        }
        // While there is a way to control.
        if let Some(gatherer) = self.estate.take_gatherer() {
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
pub fn check(config: &Config, given: &GivenSockets) -> Result<(), StartFault> {
    config.tls.as_ref().map_or(Ok(()), TlsConfig::check).map_err(StartFault::new)?;
    listen::check("--listen", &config.listen, given)?;
    listen::check("--admin", &[ListenAddress::At(config.admin)], given)?;
    listen::check("--listen-tls", over_tls(config), given)
}

fn over_tls(config: &Config) -> &[ListenAddress] {
    config.tls.as_ref().map_or(&[], |tls| tls.listen.as_slice())
}
