//! The one port: who may bind it, what arrives on a connection, how it all ends. What a call does is not here.

use crate::asks::Asks;
use crate::call::blocking;
use crate::day_keys::DayKeys;
use crate::follow::{Feeder, Proofs, StreamLog, StreamQuotas};
use crate::heads::Heads;
use crate::horizon::Horizon;
use crate::intake::Intake;
use crate::keys::{Keys, Secret};
use crate::limits::Limits;
use crate::live_clicks::LiveClicks;
use crate::metrics::Metrics;
use crate::places::ConnectionPlaces;
use crate::relay::{self, RedisConfig};
use crate::reports::Reports;
use crate::seal::Seal;
use crate::service::{BaseUrl, ClickSources, EdgeSources, InstallationRules, OwnListeners, Service, Watches};
use crate::sessions::Sessions;
use crate::stack::{Cors, Guard, Refusals, around};
use crate::sweep::Sweeps;
use crate::tail::Tail;
use crate::traces::Traces;
use crate::transport::calls::{self, ApiCalls};
use crate::transport::rest;
use crate::upkeep::Upkeep;
use crate::watched_store::WatchedStore;
use crate::writer::Writer;
use exposition::{Network, StartFault, cannot_listen};
use link::{Epoch, Position, Seq};
use sockets::OpenSockets;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use store::model::StoreFault;
use store::port::{History, Repository};
use store::postgres::{self, Postgres};
use store::sqlite::{Options, Sqlite};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

mod connection;
mod readiness;
mod sockets;
mod tls;

pub use readiness::Readiness;
pub use sockets::{ApiSockets, HeldSockets, ReservedAddress, take};
pub use tls::TlsConfig;

use connection::{EarlyConnection, ShutdownPhase, accept};
use tls::ServedTls;

/// How long calls that are under way may still take when control stops, unless somebody says otherwise.
const GRACE: Duration = Duration::from_secs(5);

/// For a client that has just connected to send its call, when another process is going to go on at the listeners.
const LEAVING: Duration = Duration::from_millis(500);

/// How control is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the links are kept.
    pub store: StoreLocation,
    /// Where gRPC and REST are bound; port 0 picks a free one.
    pub api: SocketAddr,
    /// Whether nobody is asked for a key, and the API may be bound to more than loopback without TLS.
    pub insecure: bool,
    /// The certificates of the API; without them it has no TLS.
    pub tls: Option<TlsConfig>,
    /// What the edge in this process shows instead of a key of the store.
    pub own_edge: Option<Secret>,
    /// Schemes that targets may have besides http and https.
    pub more_schemes: Vec<String>,
    /// Hosts of our own edges besides domains: targets there are targets of ours, in the default domain.
    pub own_hosts: Vec<String>,
    /// Codes that no link may be made under.
    pub reserved_codes: Vec<String>,
    /// Where visitors of the default domain come in.
    pub base_url: Option<BaseUrl>,
    /// The Redis that a copy of the log is kept in.
    pub redis: Option<RedisConfig>,
    /// Sites whose pages may read the answers of REST.
    pub cors_origins: Vec<String>,
    /// Proxies in front of the API: the client that they name in `X-Forwarded-For` is counted for its calls.
    pub trusted_peers: Vec<Network>,
    /// What reads and writes files of links for the pages; `None`: they offer no files.
    pub link_files: Option<ui::LinkFiles>,
    /// What takes the spans of this process; `None`: there are none.
    pub traces: Option<Traces>,
    /// Where the edge in this process answers: no target may lead there.
    pub own_listeners: OwnListeners,
}

/// Where links are kept.
#[derive(Clone, Debug)]
pub enum StoreLocation {
    /// An SQLite file; it and its folder are made if they are not there.
    Sqlite(PathBuf),
    /// A database of PostgreSQL.
    Postgres(postgres::Options),
}

impl StoreLocation {
    /// Opens it. Blocks.
    ///
    /// # Errors
    /// What to do about it, in one line.
    pub fn open(self) -> Result<Arc<dyn Repository>, String> {
        match self {
            Self::Sqlite(path) => {
                let opened = Sqlite::open(&path, Options::default());
                opened.map(|store| Arc::new(store) as _).map_err(|e| e.to_string())
            }
            Self::Postgres(options) => Postgres::open(&options).map(|store| Arc::new(store) as _),
        }
    }
}

impl Config {
    /// What can be said without touching anything: [`start`] says the same.
    ///
    /// # Errors
    /// [`StartFault`]
    pub fn check(&self) -> Result<(), StartFault> {
        if let StoreLocation::Postgres(options) = &self.store {
            options.check().map_err(StartFault::new)?;
        }
        relay::open(self.redis.as_ref(), &Arc::default()).map_err(StartFault::new)?;
        if let Some(tls) = &self.tls {
            ServedTls::new(tls).map_err(StartFault::new)?;
        }
        Cors::of(&self.cors_origins).map_err(StartFault::new)?;
        if self.api.ip().is_loopback() || self.insecure || self.tls.is_some() {
            return Ok(());
        }
        Err(StartFault::new(format!(
            "will not bind the API to {} without TLS: everyone on the way could read its keys; give --api-tls-cert and \
             --api-tls-key, bind it to 127.0.0.1, or give --insecure if something else protects it",
            self.api
        )))
    }
}

/// A control that runs. Dropping it ends it without waiting for anything: use [`ControlServer::stop`].
pub struct ControlServer {
    api: SocketAddr,
    own_api: String,
    metrics: Arc<Metrics>,
    store: Arc<dyn Repository>,
    writer: Arc<Writer>,
    stop: watch::Sender<bool>,
    ending: watch::Sender<ShutdownPhase>,
    early: mpsc::Receiver<Infallible>,
    readiness: Readiness,
    tickets: ui::SignInTickets,
    tasks: Vec<JoinHandle<()>>,
    traces: Option<Traces>,
    /// Sends them up to the end: the last calls are among them.
    _sending: JoinSet<()>,
}

/// Opens the store, brings its tables up to date, binds the API and serves it.
///
/// # Errors
/// [`StartFault`]
pub async fn start(config: Config) -> Result<ControlServer, StartFault> {
    config.check()?; // before a file is made
    let api = take(config.api)?;
    start_at(config, api).await
}

/// The same at addresses that are ours already.
///
/// # Errors
/// [`StartFault`]
pub async fn start_at(config: Config, sockets: impl Into<ApiSockets>) -> Result<ControlServer, StartFault> {
    let sockets = sockets.into();
    config.check()?;
    let at = config.store.clone();
    let opened = tokio::task::spawn_blocking(move || at.open()).await;
    let store =
        opened.map_err(|e| StartFault::because("the store was not opened", e))?.map_err(StartFault::new)?;
    start_on(config, sockets, store).await
}

/// The same on a store that is open already; `config.store` is not looked at. The store is closed if it does not start.
///
/// # Errors
/// [`StartFault`]
pub async fn start_on(
    config: Config,
    sockets: impl Into<ApiSockets>,
    store: Arc<dyn Repository>,
) -> Result<ControlServer, StartFault> {
    let started = start_with(config, sockets.into(), store.clone()).await;
    if started.is_err() {
        let _ = tokio::task::spawn_blocking(move || store.close()).await; // it tells itself what fails
    }
    started
}

async fn start_with(
    config: Config,
    sockets: ApiSockets,
    store: Arc<dyn Repository>,
) -> Result<ControlServer, StartFault> {
    config.check()?;
    let metrics = Arc::new(Metrics::with(config.traces.clone()));
    let store = WatchedStore::over(store, metrics.store.clone());
    let unread = |e: StoreFault| StartFault::because(format!("cannot read {}", store.name()), e);
    let unbound = |e: std::io::Error| cannot_listen("--api", config.api, e);
    let first = blocking(&store, Repository::head).await;
    let first = first.map_err(unread)?;
    let known = blocking(&store, |store| store.sessions(None)).await;
    let known = known.map_err(unread)?;
    let secret = blocking(&store, Repository::secret).await;
    let secret = secret.map_err(unread)?;
    let (offers, relays) = relay::open(config.redis.as_ref(), &metrics).map_err(StartFault::new)?;
    let OpenSockets { api: listener, own } = sockets.listen().map_err(unbound)?;
    let api = listener.listener.local_addr().map_err(unbound)?;
    let offered = config.tls.as_ref().map(ServedTls::new).transpose().map_err(StartFault::new)?.map(Arc::new);
    let own_api = sockets::own_address(api, own.as_ref()).map_err(unbound)?;
    let own_edge = config.own_edge.clone();
    let keys_of = store.clone();
    let keys = tokio::task::spawn_blocking(move || Keys::open(keys_of, own_edge.as_ref())).await;
    let keys = keys.map_err(|e| StartFault::because("the keys were not read", e))?;
    let keys =
        keys.map_err(|e| StartFault::because(format!("cannot read the keys of {}", store.name()), e))?;
    let keys = Arc::new(keys);
    let tail = Arc::new(Tail::new(store.clone(), first));
    let writer = Writer::start(store.clone(), first, tail.clone())
        .map_err(|e| StartFault::because("cannot start the writing thread", e))?;

    let writer = Arc::new(writer);
    let (stop, stopped) = watch::channel(false);
    let (ending, ends) = watch::channel(ShutdownPhase::NotYet);
    let (held, early) = mpsc::channel(1);
    let standing = store.standing();
    if standing.is_some_and(|standing| !standing.certified) {
        tracing::warn!(
            name: "not_certified",
            "a failover of the database is not waited for (no synchronous standby, no --fenced): what is promised of \
             fresh answers holds up to one"
        );
    }
    let heads = standing.map(|_| Arc::new(Heads::new(store.clone())));
    let sessions = Sessions::new(known, standing.is_some());
    let (reports, asks) = (Arc::<Reports>::default(), Arc::<Asks>::default());
    let (intake, commits) = Intake::new(store.clone(), metrics.clicks.clone());
    let day_keys = Arc::new(DayKeys::new(store.clone()));
    let horizon = Arc::new(Horizon::new(store.clone(), metrics.clicks.clone()));
    let live = Arc::new(LiveClicks::new(store.clone()));
    let service = Service::new(
        store.clone(),
        writer.clone(),
        metrics.clone(),
        EdgeSources { sessions: sessions.clone(), reports: reports.clone(), asks: asks.clone() },
        Watches::new(tail.clone(), stopped.clone()),
        ClickSources { horizon: horizon.clone(), live: live.clone(), stop: stopped.clone() },
        InstallationRules::new(&config.more_schemes, &config.own_hosts, &config.reserved_codes)
            .at(config.base_url)
            .beside(config.own_listeners),
    );
    let prepared = service.prepare().await;
    prepared.map_err(|e| StartFault::because(format!("cannot read {}", store.name()), e))?;
    let feeder = Feeder {
        store: store.clone(),
        writer: writer.clone(),
        tail: tail.clone(),
        metrics: metrics.clone(),
        stop: stopped.clone(),
        seal: Seal::new(&secret),
        proofs: Proofs::default(),
        sessions: sessions.clone(),
        turns: StreamQuotas::default(),
        lines: StreamLog::default(),
        heads: heads.clone(),
        offers,
        intake: intake.clone(),
        day_keys: day_keys.clone(),
        horizon: horizon.clone(),
        reports: reports.clone(),
        asks,
    };
    let feeder = Arc::new(feeder);
    let made_on = ApiCalls { service: Arc::new(service), keys: keys.clone(), metrics: metrics.clone() };
    let calls = calls::router(made_on.clone(), feeder.clone())
        .await
        .map_err(|e| StartFault::because("cannot describe the API", e))?;
    let limits = Arc::<Limits>::default();
    let asked = (!config.insecure).then(|| keys.clone());
    let guard = Guard {
        keys: asked.clone(),
        limits: limits.clone(),
        metrics: metrics.clone(),
        refusals: Refusals::default(),
        trusted: config.trusted_peers,
    };
    let cors = Cors::of(&config.cors_origins).map_err(StartFault::new)?;
    let (stack, site) = around(calls, rest::router(made_on), Arc::new(guard), cors, config.link_files);

    let files = exposition::file_limit();
    let (hint, until, shown) = (writer.head(), stopped.clone(), tail.head());
    let gauges = Gauges {
        store: store.clone(),
        writer: writer.clone(),
        sessions: sessions.clone(),
        metrics: metrics.clone(),
    };
    let known_edges = sessions.clone();
    let readiness = Readiness {
        metrics: metrics.clone(),
        tail: tail.clone(),
        writer: writer.clone(),
        ending: ending.subscribe(),
    };
    let mut tasks = vec![
        tokio::spawn({
            let hint = hint.clone();
            async move { tail.run(hint, until).await }
        }),
        tokio::spawn({
            let (store, writer, until) = (store.clone(), writer.clone(), stopped.clone());
            async move { sessions.run(store, writer, until).await }
        }),
        tokio::spawn({
            let (store, sessions, until) = (store.clone(), known_edges, stopped.clone());
            async move { reports.run(store, sessions, until).await }
        }),
        tokio::spawn(commits.run(stopped.clone())),
        tokio::spawn(Upkeep::new(store.clone(), metrics.clicks.clone()).run(stopped.clone())),
        tokio::spawn({
            let until = stopped.clone();
            async move { day_keys.run(until).await }
        }),
        tokio::spawn({
            let until = stopped.clone();
            async move { horizon.run(until).await }
        }),
        tokio::spawn({
            let until = stopped.clone();
            async move { live.run(intake.taken(), until).await }
        }),
        tokio::spawn(Sweeps::new(store.clone(), writer.clone()).run(stopped.clone())),
        tokio::spawn({
            let until = stopped.clone();
            async move {
                if let Some(heads) = heads {
                    heads.run(until).await;
                }
            }
        }),
        tokio::spawn(relays.run(feeder, stopped.clone())),
        tokio::spawn(gauges.run(shown, first, stopped.clone())),
        tokio::spawn(accept(
            listener,
            offered.clone(),
            stack.clone(),
            ConnectionPlaces::new(files),
            ends.clone(),
            EarlyConnection::clone(&held),
        )),
    ];
    let mut sending = JoinSet::new();
    if let Some(traces) = config.traces.clone() {
        sending.spawn(traces.send());
    }
    tasks.extend(
        own.map(|own| tokio::spawn(accept(own, None, stack, ConnectionPlaces::new(files), ends, held))),
    );
    tasks.extend(offered.map(|offered| tokio::spawn(offered.run(stopped.clone()))));
    tasks.extend(asked.map(|keys| keys.start(limits, stopped)));
    Ok(ControlServer {
        api,
        own_api,
        metrics,
        store,
        writer,
        stop,
        ending,
        early,
        readiness,
        tickets: site.tickets(),
        tasks,
        traces: config.traces,
        _sending: sending,
    })
}

/// Keeps the metrics of the log, the store and the edges current, and tells every history that begins.
struct Gauges {
    store: Arc<dyn Repository>,
    writer: Arc<Writer>,
    sessions: Arc<Sessions>,
    metrics: Arc<Metrics>,
}

/// A history that took the place of another, as the log has it.
struct Succession {
    history: String,
    parent: String,
    /// The last change that both share.
    seq: Seq,
}

impl Gauges {
    async fn run(
        self,
        mut head: watch::Receiver<Position>,
        first: Position,
        mut stop: watch::Receiver<bool>,
    ) {
        let mut known = first.epoch;
        // A start on a store that this process has alone begins one, unless the store is new.
        if self.store.standing().is_none()
            && let Some(history) = begun(&self.store, known).await
        {
            self.metrics.history();
            let Succession { history, parent, seq } = Succession::of(&history);
            tracing::info!(
                name: "history_begins", history, parent, seq,
                "a start begins a history: if the file was put back, what was acknowledged after it is gone"
            );
        }
        loop {
            let now = *head.borrow_and_update();
            if now.epoch != known {
                known = now.epoch;
                self.metrics.history();
                history_began(&self.store, known).await;
            }
            self.metrics.set_head(now.seq);
            self.metrics.set_standing(self.store.standing());
            self.metrics.store.set_pool(self.store.pool());
            self.metrics.set_edges(self.sessions.positions(now.seq));
            if self.metrics.store.unwritable.lasts() {
                let _ = tokio::time::timeout(Duration::from_secs(1), self.writer.probe()).await; // what came of it is told there
            }
            tokio::select! {
                changed = head.changed() => if changed.is_err() { return },
                () = idle(&self.store) => {}
                _ = stop.wait_for(|&stop| stop) => return,
            }
        }
    }
}

impl Succession {
    fn of(history: &History) -> Self {
        let name = |epoch: Epoch| format!("{}-{:08x}", epoch.counter, epoch.random);
        Self { history: name(history.epoch), parent: name(history.parent), seq: history.fork_seq }
    }
}

/// A second without a write. A store that takes none any more is noticed here; its watcher tells.
async fn idle(store: &Arc<dyn Repository>) {
    tokio::time::sleep(Duration::from_secs(1)).await;
    let _ = blocking(store, Repository::writable).await;
}

async fn history_began(store: &Arc<dyn Repository>, epoch: Epoch) {
    let Some(begun) = begun(store, epoch).await else { return };
    let Succession { history, parent, seq } = Succession::of(&begun);
    tracing::warn!(
        name: "history_begins", history, parent, seq, store_ended_at = begun.head,
        "a history takes the place of another: what was acknowledged in that one after this seq, and is not here, is gone"
    );
}

/// The history of this epoch, if it took another's place.
async fn begun(store: &Arc<dyn Repository>, epoch: Epoch) -> Option<History> {
    let all = blocking(store, Repository::histories).await.ok()?;
    all.into_iter().find(|history| history.epoch == epoch)
}

impl ControlServer {
    /// Where the API is bound.
    pub fn api(&self) -> SocketAddr {
        self.api
    }

    /// Where the edge in this process finds it.
    pub fn own_api(&self) -> &str {
        &self.own_api
    }

    /// The numbers.
    pub fn metrics(&self) -> Arc<Metrics> {
        self.metrics.clone()
    }

    /// What and where the store is, for people: `sqlite ./linkr-data/linkr.db`.
    pub fn store_name(&self) -> String {
        self.store.name()
    }

    /// Whether it is there for whoever comes; no more from [`ControlServer::drain`] on.
    pub fn readiness(&self) -> Readiness {
        self.readiness.clone()
    }

    /// Makes addresses that sign in to the pages once.
    pub fn sign_in_tickets(&self) -> ui::SignInTickets {
        self.tickets.clone()
    }

    /// Answers as before, and tells who asks to connect elsewhere from now on: `Connection: close` in HTTP/1, GOAWAY in
    /// HTTP/2. The streams of the edges stay.
    pub fn drain(&self) {
        self.ending.send_replace(ShutdownPhase::Draining);
    }

    /// [`ControlServer::stop_within`] 5 s.
    pub async fn stop(self) {
        self.stop_within(GRACE).await;
    }

    /// Takes no more connections, ends the streams of the edges, lets calls that are under way finish for so long, writes
    /// what was accepted, and closes the store.
    pub async fn stop_within(self, grace: Duration) {
        self.end(ShutdownPhase::By(tokio::time::Instant::now() + grace)).await;
    }

    /// Ends for another process that goes on at the same listeners, which are left as they are. First whoever is connected is
    /// told to connect anew with his next answer, and waited for, for `within` at most, while others are answered. Then calls
    /// wait in the queues of the listeners: this control ends those under way, within a second, and closes the store.
    pub async fn leave_within(mut self, within: Duration) {
        self.drain();
        let _ = tokio::time::timeout(within, self.early.recv()).await; // who has not asked by then is closed
        self.end(ShutdownPhase::Left(tokio::time::Instant::now() + LEAVING)).await;
    }

    async fn end(self, how: ShutdownPhase) {
        self.ending.send_replace(how);
        self.stop.send_replace(true);
        for task in self.tasks {
            let _ = task.await; // a panic in one must not keep the store open
        }
        let (writer, store) = (self.writer, self.store);
        let closing = move || {
            writer.close();
            store.close();
        };
        let _ = tokio::task::spawn_blocking(closing).await; // fails only if it panicked, and then it has ended too
        if let Some(traces) = self.traces {
            traces.settle().await;
        }
    }
}
