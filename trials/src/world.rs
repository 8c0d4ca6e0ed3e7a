//! One control or several, some edges, and a wire between each of them and each control.

mod seen;

pub use seen::Pulse;

use crate::history::{Birth, Downtime, now};
use crate::http::metric;
use crate::keyring::Keyring;
use crate::liar;
use crate::meddler::{Meddler, Mischief};
use crate::process::{Dir, command, linkr};
use crate::stack::{Servers, Stack};
use crate::wire::{Mode, Wire};
use services::Process;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// For an edge to be ready, or to have everything again.
const PATIENCE: Duration = Duration::from_secs(15);
/// An edge that last knew to be current longer ago is blind.
pub const BLIND_SECONDS: f64 = 1.0;
/// The edge that has no room for all links, where there is a Redis, and its room: a fourth of 2,000 links.
const LAST: &str = "edge-2";
const SMALL: &str = "96KiB";
const POLL: Duration = Duration::from_millis(5);

/// An edge and its wires.
pub struct Edge {
    /// As it calls itself.
    pub name: String,
    /// Where it answers; the same after a restart.
    pub address: SocketAddr,
    /// Its admin listener.
    pub admin: SocketAddr,
    /// Between it and each control, in the order of the controls.
    wires: Vec<Wire>,
    process: Process,
}

impl Edge {
    /// On all of its wires.
    pub fn set(&self, mode: Mode) {
        self.wires.iter().for_each(|wire| wire.set(mode));
    }

    /// It has to say hello again.
    pub fn cut_once(&self) {
        self.wires.iter().for_each(Wire::cut_once);
    }
}

struct Control {
    /// None while it is lost.
    process: Option<Process>,
    api: SocketAddr,
    admin: SocketAddr,
}

/// Everything that runs.
pub struct World {
    /// In the order of their numbers.
    pub edges: Vec<Edge>,
    /// Every start of an edge.
    pub births: Vec<Birth>,
    /// Every time an edge was down.
    pub downs: Vec<Downtime>,
    /// Between the writers and each control: never at fault, always at the same addresses.
    pub apis: Vec<Wire>,
    controls: Vec<Control>,
    binary: PathBuf,
    dir: Dir,
    meddler: Option<Meddler>,
    seed: u64,
    snapshots: bool,
    servers: Option<Servers>,
    /// What control asks callers for, if it does.
    pub keys: Keyring,
}

/// The parts that a world is made of.
#[derive(Clone, Copy)]
pub struct WorldPlan {
    /// How many edges.
    pub edges: u8,
    /// Decides what is random.
    pub seed: u64,
    /// Whether edges have files.
    pub snapshots: bool,
    /// What stands behind control.
    pub stack: Stack,
    /// How many controls.
    pub controls: usize,
    /// Whether control asks for keys.
    pub keys: bool,
}

impl World {
    /// Starts all of it.
    ///
    /// # Errors
    /// One line: what did not start.
    pub async fn start(wanted: WorldPlan) -> Result<Self, String> {
        let WorldPlan { edges, seed, snapshots, stack, controls, keys } = wanted;
        let (binary, dir) = (linkr()?, Dir::new()?);
        let servers = match stack {
            Stack::Sqlite if controls > 1 => return Err("SQLite has one control".to_owned()),
            Stack::Sqlite => None,
            Stack::Production | Stack::Cluster => Some(Servers::start(stack).await?),
        };
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut world = Self {
            edges: Vec::new(),
            births: Vec::new(),
            downs: Vec::new(),
            apis: wires(controls).await?,
            controls: (0..controls)
                .map(|_| Control { process: None, api: nowhere, admin: nowhere })
                .collect(),
            binary,
            dir,
            meddler: None,
            seed,
            snapshots,
            servers,
            keys: Keyring::default(),
        };
        if keys {
            let names: Vec<String> = (0..edges).map(name).chain([liar::NAME.to_owned()]).collect();
            world.keys = Keyring::new(&world.binary, world.dir.path(), &world.store(), &names)?;
        }
        for control in 0..controls {
            world.start_control(control)?;
        }
        for edge in 0..edges {
            world.new_edge(edge).await?;
        }
        world.recovered().await?;
        Ok(world)
    }

    /// Where everything lies.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The same, to be kept.
    pub fn dir(&mut self) -> &mut Dir {
        &mut self.dir
    }

    /// The binary under trial.
    pub fn binary(&self) -> &PathBuf {
        &self.binary
    }

    /// Starts a control; everyone finds it.
    ///
    /// # Errors
    /// It does not start.
    pub fn start_control(&mut self, number: usize) -> Result<(), String> {
        let any = "127.0.0.1:0";
        let store = self.store();
        let mut words = vec!["control", "--store", &store, "--api", any, "--admin", any];
        if self.keys.file("").is_none() {
            words.push("--insecure");
        }
        if let Some(servers) = &self.servers {
            words.extend(servers.redis_words());
            words.push("--auto-fork");
        }
        let command = command(&self.binary, self.dir.path(), &words);
        let log = self.dir.path().join(format!("control-{number}.log"));
        let process = Process::hear(&command, &log, &["api", "admin"])?;
        let (api, admin) = (process.address("api")?, process.address("admin")?);
        self.controls[number] = Control { process: Some(process), api, admin };
        self.apis[number].lead(api);
        self.lead_edges();
        Ok(())
    }

    fn store(&self) -> String {
        self.servers.as_ref().map_or("sqlite:links.db".to_owned(), Servers::store)
    }

    /// Messages are meddled with on their way to the first control only: then everybody is led there.
    fn lead_edges(&self) {
        let meddler = self.meddler.as_ref().map(|meddler| meddler.address);
        for edge in &self.edges {
            for (wire, control) in edge.wires.iter().zip(&self.controls) {
                wire.lead(meddler.unwrap_or(control.api));
            }
        }
    }

    /// The process of the first control.
    ///
    /// # Errors
    /// There is none.
    pub fn control(&mut self) -> Result<&mut Process, String> {
        self.controls[0].process.as_mut().ok_or_else(|| "control does not run".to_owned())
    }

    /// How many there are, with those that are lost.
    pub fn controls(&self) -> usize {
        self.controls.len()
    }

    /// kill -9 of a control that nobody waits for until it is started again.
    pub fn lose_control(&mut self, number: usize) {
        self.controls[number].process = None;
    }

    /// Messages of the stream go through a meddler from now on, or no more.
    ///
    /// # Errors
    /// It does not start.
    pub async fn meddle(&mut self, mischief: Option<Mischief>) -> Result<(), String> {
        match (&self.meddler, mischief) {
            (Some(meddler), Some(mischief)) => meddler.set(mischief),
            (None, Some(mischief)) => {
                self.seed += 1;
                let meddler = Meddler::start(format!("http://{}", self.controls[0].api), self.seed).await;
                let meddler = meddler.map_err(|fault| fault.to_string())?;
                meddler.set(mischief);
                self.meddler = Some(meddler);
            }
            (_, None) => self.meddler = None,
        }
        self.lead_edges();
        Ok(())
    }

    /// Messages that the meddler did something to.
    pub fn meddled(&self) -> u64 {
        self.meddler.as_ref().map_or(0, Meddler::hits)
    }

    async fn new_edge(&mut self, edge: u8) -> Result<(), String> {
        let wires = wires(self.controls.len()).await?;
        wires.iter().zip(&self.controls).for_each(|(wire, control)| wire.lead(control.api));
        let name = name(edge);
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let spawned = now();
        let process = self.edge_process(edge, &name, &wires, any, any)?;
        let (address, admin) = (process.address("edge")?, process.address("admin")?);
        self.edges.push(Edge { name, address, admin, wires, process });
        self.births.push(Birth { edge, spawned, ready: u64::MAX });
        self.ready(edge).await
    }

    fn edge_process(
        &self,
        number: u8,
        name: &str,
        wires: &[Wire],
        address: SocketAddr,
        admin: SocketAddr,
    ) -> Result<Process, String> {
        // Each prefers another control.
        let mut urls: Vec<String> = wires.iter().map(Wire::url).collect();
        urls.rotate_left(usize::from(number) % wires.len());
        let (control, listen, admin) = (urls.join(","), address.to_string(), admin.to_string());
        let file = format!("{name}.snapshot");
        let mut words = vec!["edge", "--control", &control, "--name", name, "--listen", &listen];
        // With Redis the last edge has no room for all links, and asks.
        let small = self.servers.is_some() && name == LAST;
        let room = if small { SMALL } else { "256MiB" };
        words.extend(["--admin", &admin, "--workers", "1", "--unpinned", "--hot-set-bytes", room]);
        let key = self.keys.file(name).map(|file| file.to_string_lossy().into_owned());
        if let Some(key) = &key {
            words.extend(["--control-key-file", key]);
        }
        if let Some(servers) = &self.servers {
            words.extend(servers.redis_words());
        }
        if self.snapshots {
            words.extend(["--snapshot", &file]);
        }
        let log = self.dir.path().join(format!("{name}.log"));
        Ok(Process::hear(&command(&self.binary, self.dir.path(), &words), &log, &["edge", "admin"])?)
    }

    /// Waits until an edge says that it is.
    async fn ready(&mut self, edge: u8) -> Result<(), String> {
        let admin = self.edges[usize::from(edge)].admin;
        let waited = tokio::time::timeout(PATIENCE, async {
            loop {
                let answer = crate::http::get(admin, "/readyz").await;
                if answer.is_some_and(|answer| answer.starts_with("HTTP/1.1 200")) {
                    return;
                }
                tokio::time::sleep(POLL).await;
            }
        });
        waited.await.map_err(|_| format!("edge {edge} is not ready within {PATIENCE:?}"))?;
        if let Some(birth) = self.births.iter_mut().rev().find(|birth| birth.edge == edge) {
            birth.ready = now();
        }
        Ok(())
    }

    /// Waits until an edge knows that it is current.
    async fn fresh(&self, edge: u8) -> Result<(), String> {
        let admin = self.edges[usize::from(edge)].admin;
        let waited = tokio::time::timeout(PATIENCE, async {
            while metric(admin, "linkr_edge_staleness_seconds").await.is_none_or(|age| age >= BLIND_SECONDS) {
                tokio::time::sleep(POLL).await;
            }
        });
        waited.await.map_err(|_| format!("edge {edge} does not hear of control within {PATIENCE:?}"))
    }

    /// kill -9 of an edge.
    pub fn kill_edge(&mut self, edge: u8) {
        self.downs.push(Downtime { edge, from: now(), to: u64::MAX });
        self.edges[usize::from(edge)].process.kill();
    }

    /// SIGTERM of an edge, and its end.
    ///
    /// # Errors
    /// It does not end, or not well.
    pub fn stop_edge_cleanly(&mut self, edge: u8) -> Result<(), String> {
        self.downs.push(Downtime { edge, from: now(), to: u64::MAX });
        Ok(self.edges[usize::from(edge)].process.stop()?)
    }

    /// A new process where the old one was, without the file of the old one if it is to begin `cold`. Up to when it
    /// knows that it is current it counts as down: what was made since its file was written it cannot have.
    ///
    /// # Errors
    /// It does not start.
    pub async fn restart_edge(&mut self, edge: u8, cold: bool) -> Result<(), String> {
        self.spawn_edge(edge, cold).await?;
        self.fresh(edge).await?;
        self.up(edge);
        Ok(())
    }

    /// The same, but it counts as down until it is declared [`World::up`], and control may be dead.
    ///
    /// # Errors
    /// It does not start.
    pub async fn spawn_edge(&mut self, edge: u8, cold: bool) -> Result<(), String> {
        let own = &self.edges[usize::from(edge)];
        let (spawned, name) = (now(), own.name.clone());
        if cold {
            let _ = std::fs::remove_file(self.path().join(format!("{name}.snapshot")));
        }
        let process = self.edge_process(edge, &name, &own.wires, own.address, own.admin)?;
        self.edges[usize::from(edge)].process = process;
        self.births.push(Birth { edge, spawned, ready: u64::MAX });
        self.ready(edge).await
    }

    /// SIGSTOP.
    pub fn stop_edge(&mut self, edge: u8) {
        self.downs.push(Downtime { edge, from: now(), to: u64::MAX });
        let _ = self.edges[usize::from(edge)].process.signal("STOP"); // one that has ended answers as little
    }

    /// SIGCONT.
    pub fn continue_edge(&mut self, edge: u8) {
        let _ = self.edges[usize::from(edge)].process.signal("CONT");
        self.up(edge);
    }

    fn up(&mut self, edge: u8) {
        for down in self.downs.iter_mut().filter(|down| down.edge == edge && down.to == u64::MAX) {
            down.to = now();
        }
    }

    /// Waits until every edge has what the controls that are not lost have now, and knows it.
    ///
    /// # Errors
    /// One of them does not get there.
    pub async fn recovered(&self) -> Result<(), String> {
        let mut head = 0.0_f64;
        for control in self.controls.iter().filter(|control| control.process.is_some()) {
            let said = async {
                loop {
                    if let Some(head) = metric(control.admin, "linkr_control_log_head").await {
                        return head;
                    }
                    tokio::time::sleep(POLL).await;
                }
            };
            let said = tokio::time::timeout(PATIENCE, said).await;
            head = head.max(said.map_err(|_| format!("control does not say its head within {PATIENCE:?}"))?);
        }
        for edge in &self.edges {
            let mut said = (None, None);
            let there = async {
                loop {
                    let applied = metric(edge.admin, "linkr_feed_applied_seq").await;
                    let staleness = metric(edge.admin, "linkr_edge_staleness_seconds").await;
                    said = (applied, staleness);
                    if applied.is_some_and(|applied| applied >= head)
                        && staleness.is_some_and(|staleness| staleness < BLIND_SECONDS)
                    {
                        return;
                    }
                    tokio::time::sleep(POLL).await;
                }
            };
            if tokio::time::timeout(PATIENCE, there).await.is_err() {
                let (applied, staleness) = said;
                return Err(format!(
                    "{} has {applied:?} of {head} and is {staleness:?} s old after {PATIENCE:?}",
                    edge.name
                ));
            }
        }
        Ok(())
    }

    /// Waits until all of the copy in Redis follows the log again.
    ///
    /// # Errors
    /// Some of it does not.
    pub async fn copied(&self) -> Result<(), String> {
        for control in self.controls.iter().filter(|control| control.process.is_some()) {
            let waited = tokio::time::timeout(PATIENCE, async {
                loop {
                    let all = metric(control.admin, "linkr_redis_shards").await;
                    let follow = metric(control.admin, "linkr_redis_shards_connected").await;
                    if all.is_some() && all == follow {
                        return;
                    }
                    tokio::time::sleep(POLL).await;
                }
            });
            waited.await.map_err(|_| format!("the copy in Redis does not follow within {PATIENCE:?}"))?;
        }
        Ok(())
    }

    /// The files of the database, as they lie beside each other.
    const FILES: [&'static str; 3] = ["links.db", "links.db-wal", "links.db-shm"];

    /// Whether there are servers behind control.
    pub fn has_servers(&self) -> bool {
        self.servers.is_some()
    }

    /// As bits: the edges that have no room for all links.
    pub fn small(&self) -> u32 {
        let last = self.edges.iter().position(|edge| self.servers.is_some() && edge.name == LAST);
        last.map_or(0, |last| 1 << last)
    }

    /// The servers behind control.
    ///
    /// # Errors
    /// There are none.
    pub fn servers(&mut self) -> Result<&mut Servers, String> {
        self.servers.as_mut().ok_or_else(|| "this fault needs --stack production or cluster".to_owned())
    }

    /// Copies the database of a control that has stopped.
    ///
    /// # Errors
    /// The disk.
    pub fn copy_database(&mut self) -> Result<(), String> {
        match &mut self.servers {
            Some(servers) => servers.copy_database(),
            None => self.move_files("", ".old"),
        }
    }

    /// Puts the copy in its place.
    ///
    /// # Errors
    /// The disk.
    pub fn put_database_back(&self) -> Result<(), String> {
        match &self.servers {
            Some(servers) => servers.put_database_back(),
            None => self.move_files(".old", ""),
        }
    }

    fn move_files(&self, from: &str, to: &str) -> Result<(), String> {
        for file in Self::FILES {
            let path = |suffix: &str| self.dir.path().join(format!("{file}{suffix}"));
            let _ = std::fs::remove_file(path(to));
            if path(from).is_file() {
                std::fs::copy(path(from), path(to))
                    .map_err(|fault| format!("cannot copy {file}: {fault}"))?;
            }
        }
        Ok(())
    }
}

fn name(edge: u8) -> String {
    format!("edge-{edge}")
}

async fn wires(count: usize) -> Result<Vec<Wire>, String> {
    let mut wires = Vec::new();
    for _ in 0..count {
        wires.push(Wire::start().await.map_err(|fault| fault.to_string())?);
    }
    Ok(wires)
}
