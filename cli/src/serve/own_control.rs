//! The control of `linkr up`: closed for another process that takes its place, and opened again where that one does not.

use super::admin;
use super::data::{self, DirectoryLock};
use crate::fault::CommandFault;
use control::keys::Secret;
use control::{ApiSockets, Config, ControlServer, HeldSockets, Metrics};
use edge::{Companion, CompanionOffer};
use exposition::{Collector, Encoder, Findings, Health, HealthFuture};
use serde_json::{Value, json};
use std::fmt;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;

/// Who is connected to the API has so long to connect anew, of what `--drain-timeout` gives: the other process waits for a
/// minute.
const MOST: Duration = Duration::from_secs(30);
/// Between two tries to open the store again.
const AGAIN: Duration = Duration::from_millis(100);
/// At a stop, for a try that is under way.
const TRIES: Duration = Duration::from_secs(2);

/// See the module.
pub struct OwnControl {
    config: Config,
    data_dir: PathBuf,
    /// For whoever is connected, before this control is closed for another process.
    drain: Duration,
    runtime: Handle,
    running: tokio::sync::Mutex<Option<ControlServer>>,
    /// `None`: another process has taken over, or this one stops.
    held: Mutex<Option<Held>>,
    shown: Mutex<Shown>,
    stopping: AtomicBool,
}

/// What this process has for as long as it has a control, and passes on.
struct Held {
    sockets: HeldSockets,
    lock: DirectoryLock,
}

/// The parts of control that the admin listener of this process shows.
#[derive(Default)]
struct Shown {
    metrics: Option<Arc<Metrics>>,
    /// `None`: it is closed.
    health: Option<Arc<dyn Health>>,
    api: Option<SocketAddr>,
    own_api: String,
}

/// The control of another process, as it is offered to this one.
pub struct OfferedControl {
    /// What the edges of both processes show.
    pub key: Secret,
    /// Where the API listens.
    pub api: SocketAddr,
    /// Where the edges of both processes find it.
    pub own_api: String,
    /// Whether the API has TLS.
    pub has_tls: bool,
    /// Of both.
    pub sockets: HeldSockets,
    /// Of the data directory.
    pub lock: DirectoryLock,
}

impl OwnControl {
    /// One that does not run yet.
    pub fn new(
        config: Config,
        data_dir: PathBuf,
        drain: Duration,
        sockets: HeldSockets,
        lock: DirectoryLock,
    ) -> Arc<Self> {
        Arc::new(Self {
            config,
            data_dir,
            drain: drain.min(MOST),
            runtime: Handle::current(),
            running: tokio::sync::Mutex::default(),
            held: Mutex::new(Some(Held { sockets, lock })),
            shown: Mutex::default(),
            stopping: AtomicBool::new(false),
        })
    }

    /// Opens the store, and serves the API.
    pub async fn start(&self, sockets: ApiSockets) -> Result<(), CommandFault> {
        let control = self.open(sockets).await?;
        self.show(&control);
        *self.running.lock().await = Some(control);
        Ok(())
    }

    /// The same at the sockets that this process holds, where another control listened until now.
    pub async fn start_again(&self, within: Duration) -> Result<(), CommandFault> {
        let late = |_| CommandFault::new(format_args!("the store is not open after {within:?}"));
        tokio::time::timeout(within, self.start(self.sockets()?)).await.map_err(late)?
    }

    fn sockets(&self) -> Result<ApiSockets, CommandFault> {
        let held = self.held();
        let held = held.as_ref().map(|held| held.sockets.sockets());
        held.unwrap_or_else(|| Err(ErrorKind::NotConnected.into())).map_err(CommandFault::new)
    }

    async fn open(&self, sockets: ApiSockets) -> Result<ControlServer, CommandFault> {
        let (store, dir, insecure) = (self.config.store.clone(), self.data_dir.clone(), self.config.insecure);
        let opened = tokio::task::spawn_blocking(move || {
            let store = store.open().map_err(CommandFault::new)?;
            if !insecure {
                data::first_key(&dir, &*store)?;
            }
            Ok(store)
        });
        let store =
            opened.await.map_err(|fault| CommandFault::new(format_args!("cannot start: {fault}")))??;
        control::start_on(self.config.clone(), sockets, store).await.map_err(CommandFault::new)
    }

    fn show(&self, control: &ControlServer) {
        let mut shown = self.shown();
        shown.metrics = Some(control.metrics());
        shown.health = Some(admin::health(control.readiness()));
        shown.api = Some(control.api());
        shown.own_api = control.own_api().to_owned();
    }

    /// Where the edge in this process answers, for this control and every other that is opened in its place.
    pub fn knows_edge_at(&self, listeners: Vec<SocketAddr>) {
        self.config.own_listeners.set(listeners);
    }

    /// Where the edge in this process finds it.
    pub fn own_api(&self) -> String {
        self.shown().own_api.clone()
    }

    /// What the edge in this process shows.
    pub fn own_key(&self) -> &str {
        self.config.own_edge.as_ref().map_or("", Secret::reveal)
    }

    /// The control, unless it is closed for another process.
    pub async fn running(&self) -> tokio::sync::MutexGuard<'_, Option<ControlServer>> {
        self.running.lock().await
    }

    /// The control, to be stopped with this process; it is not opened again.
    pub async fn take(&self) -> Option<ControlServer> {
        self.stopping.store(true, Ordering::Release);
        self.let_go();
        // Another process may be taking over right now: then it is closed for that one.
        tokio::time::timeout(TRIES, self.running.lock()).await.ok()?.take()
    }

    /// Another process has everything.
    pub fn let_go(&self) {
        self.held().take();
    }

    /// Closed as at the end of a process whose place another one keeps: the listeners stay as they are.
    pub async fn leave(&self) {
        if let Some(control) = self.running().await.take() {
            control.leave_within(Duration::ZERO).await;
        }
    }

    async fn open_again(&self) {
        let mut running = self.running.lock().await;
        let mut told = None;
        while running.is_none() && !self.stopping.load(Ordering::Acquire) {
            let opened = match self.sockets() {
                Ok(sockets) => self.open(sockets).await,
                Err(fault) => Err(fault),
            };
            match opened {
                Ok(control) => {
                    self.show(&control);
                    *running = Some(control);
                    tracing::info!(name: "control_again", "the API is served by this process again");
                }
                Err(fault) => {
                    if told.as_ref() != Some(&fault) {
                        let why = fault.message();
                        tracing::error!(
                            name: "control_closed", why,
                            "the store was closed for another process and cannot be opened again: redirects go on, calls of the \
                             API wait, and it is tried again; if that does not help, restart this process"
                        );
                        told = Some(fault);
                    }
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }

    fn held(&self) -> MutexGuard<'_, Option<Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn health(&self) -> Option<Arc<dyn Health>> {
        self.shown().health.clone()
    }
}

impl Companion for OwnControl {
    fn offer(&self) -> io::Result<CompanionOffer> {
        let held = self.held();
        let held = held.as_ref().ok_or(ErrorKind::NotConnected)?;
        let shown = self.shown();
        let words = json!({
            "key": self.own_key(),
            "api": shown.api.map(|api| api.to_string()),
            "own_api": shown.own_api,
            "has_tls": self.config.tls.is_some(),
            "is_given": held.sockets.is_given(),
        });
        let mut files = vec![held.lock.handed()?];
        files.extend(held.sockets.descriptors()?);
        Ok(CompanionOffer { words: words.to_string(), files })
    }

    fn close(&self) -> Result<(), String> {
        self.runtime.block_on(async {
            let mut running = self.running.lock().await;
            let Some(control) = running.take() else {
                return Err("its store is closed and being opened again: try again".to_owned());
            };
            tracing::info!(name: "control_leaves", "the API is left to another process: callers connect anew, and the store is closed");
            control.leave_within(self.drain).await;
            self.shown().health = None;
            Ok(())
        })
    }

    fn reopen(self: Arc<Self>) {
        let runtime = self.runtime.clone();
        runtime.spawn(async move { self.open_again().await });
    }
}

impl OfferedControl {
    /// What another process says, and its descriptors.
    pub fn of(CompanionOffer { words, files }: CompanionOffer) -> Result<Self, CommandFault> {
        let said: Value = serde_json::from_str(&words).unwrap_or_default();
        let word = |name: &str| said.get(name).and_then(Value::as_str);
        let is = |name: &str| said.get(name).and_then(Value::as_bool);
        let mut files = files.into_iter();
        let mut whole = || {
            let (lock, api, own) = (files.next()?, files.next()?, files.next());
            Some(Self {
                key: Secret::parse(word("key")?)?,
                api: word("api")?.parse().ok()?,
                own_api: word("own_api")?.to_owned(),
                has_tls: is("has_tls")?,
                sockets: HeldSockets::of(api, is("is_given")?, own),
                lock: DirectoryLock::inherit(lock),
            })
        };
        whole().ok_or_else(|| {
            CommandFault::new(
                "what the process that runs offers of its control cannot be understood by this version: stop that one and start \
                 this one",
            )
        })
    }
}

impl fmt::Debug for OwnControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnControl").finish_non_exhaustive()
    }
}

/// Those of the control that runs, or ran last.
impl Collector for OwnControl {
    fn encode(&self, encoder: Encoder<'_>) -> fmt::Result {
        let metrics = self.shown().metrics.clone();
        metrics.map_or(Ok(()), |metrics| metrics.encode(encoder))
    }
}

impl Health for OwnControl {
    fn live(&self) -> Findings {
        self.health().map_or_else(Findings::default, |control| control.live())
    }

    fn started(&self) -> Findings {
        self.health().map_or_else(Findings::default, |control| control.started())
    }

    fn ready(&self, to_write: bool) -> HealthFuture<'_> {
        Box::pin(async move {
            match self.health() {
                Some(control) => control.ready(to_write).await,
                None => {
                    Findings::from(Err("closed: the API is being handed over to another process".to_owned()))
                }
            }
        })
    }
}
