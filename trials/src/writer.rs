//! Open-loop writers over gRPC. Every write names the version it builds on, so what the log holds of a link is one
//! chain, and each acknowledgement says which of the doubtful writes before it cannot be there.

use crate::history::{Micros, Op, Outcome, Promise, Write, code, now, strict, target};
use crate::links::Links;
use link::Position;
use prost_types::FieldMask;
use proto::client::KeyedChannel;
use proto::v1::links_client::LinksClient;
use proto::v1::propagation::Status;
use proto::v1::{self, Ack, LinkClass};
use services::Random;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use tonic::Code;

/// A call that takes longer has an unknown outcome.
const DEADLINE: Duration = Duration::from_secs(3);
/// Writes under way at once; while there are so many, none is begun.
const UNDER_WAY: usize = 256;
/// Between two questions what became of a doubtful write.
const PAUSE: Duration = Duration::from_millis(100);
/// Of a thousand writes.
const CREATES: u32 = 30;
const DELETES: u32 = 25;

/// What is known of a link's state in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
enum KnownState {
    /// Nothing: it has to be asked for.
    Unsure,
    Absent,
    Live {
        etag: String,
    },
    Deleted,
}

#[derive(Clone, Debug)]
struct LinkRecord {
    stored: KnownState,
    busy: bool,
    /// Versions drawn; none is drawn twice.
    versions: u32,
    /// Its writes, as places in the list of all.
    writes: Vec<usize>,
}

#[derive(Default)]
struct WriterState {
    states: Vec<LinkRecord>,
    writes: Vec<Write>,
    /// Whatever the store holds and nobody wrote.
    strange: Vec<String>,
}

/// What the writers did and met.
pub struct WriteRecord {
    /// All writes.
    pub writes: Vec<Write>,
    /// Writes that were due at a tick and not begun, because too many were under way.
    pub skipped: u64,
    /// What the store held and nobody had written.
    pub strange: Vec<String>,
}

/// The writers. Clones are the same.
#[derive(Clone)]
pub struct Writer(Arc<Shared>);

struct Shared {
    /// Of each control.
    clients: Vec<LinksClient<KeyedChannel>>,
    calls: AtomicUsize,
    links: Arc<Links>,
    inner: Mutex<WriterState>,
    slots: Arc<Semaphore>,
    paused: AtomicBool,
    /// Of a thousand writes, those that wait until every edge has them.
    propagated: AtomicU32,
    life: AtomicU32,
    skipped: AtomicU64,
    refused_full: AtomicU64,
    /// The names of the edges, in the order of their numbers.
    edges: Vec<String>,
}

impl Writer {
    /// Writers that go these ways in turn.
    pub fn new(ways: Vec<KeyedChannel>, links: Arc<Links>, edges: Vec<String>) -> Self {
        Self(Arc::new(Shared {
            clients: ways.into_iter().map(LinksClient::new).collect(),
            calls: AtomicUsize::new(0),
            links,
            inner: Mutex::default(),
            slots: Arc::new(Semaphore::new(UNDER_WAY)),
            paused: AtomicBool::new(false),
            propagated: AtomicU32::new(0),
            life: AtomicU32::new(0),
            skipped: AtomicU64::new(0),
            refused_full: AtomicU64::new(0),
            edges,
        }))
    }

    /// Makes the first links, as fast as it goes.
    pub async fn populate(&self, count: u32) {
        for _ in 0..count {
            let key = self.new_link();
            self.begin(key, Op::To(1), Promise::Durable).await;
        }
        self.settle().await;
    }

    /// Writes at this rate until it is stopped.
    pub async fn run(&self, rate: f64, mut random: Random, mut stop: watch::Receiver<bool>) {
        let mut tick = tokio::time::interval(Duration::from_secs_f64(1.0 / rate));
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                _ = stop.wait_for(|&stop| stop) => break,
            }
            if self.0.paused.load(Ordering::Relaxed) {
                continue;
            }
            if self.0.slots.available_permits() == 0 {
                self.0.skipped.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            let told = match random.chance(self.0.propagated.load(Ordering::Relaxed)) {
                true => Promise::Everywhere { but: 0 },
                false => Promise::Durable,
            };
            if let Some((key, op)) = self.choose(&mut random) {
                self.begin(key, op, told).await;
            }
        }
        self.settle().await;
    }

    /// Of a thousand writes, so many wait for the edges from now on.
    pub fn wait_for_edges(&self, per_mille: u32) {
        self.0.propagated.store(per_mille, Ordering::Relaxed);
    }

    /// Begins no more writes, and returns when none is under way and none is in doubt.
    pub async fn pause(&self) {
        self.0.paused.store(true, Ordering::Relaxed);
        self.settle().await;
    }

    /// Goes on; in the next life if the database was put back, where nothing is known of what was written since.
    pub fn resume(&self, put_back_to: Option<Micros>) {
        if let Some(copied) = put_back_to {
            self.0.life.fetch_add(1, Ordering::Relaxed);
            let mut inner = self.lock();
            let newer: Vec<u32> =
                inner.writes.iter().filter(|write| write.begun >= copied).map(|write| write.key).collect();
            for key in newer {
                inner.states[key as usize].stored = KnownState::Unsure;
            }
        }
        self.0.paused.store(false, Ordering::Relaxed);
    }

    /// What was written so far.
    pub fn record(&self) -> WriteRecord {
        let inner = self.lock();
        let skipped = self.0.skipped.load(Ordering::Relaxed);
        WriteRecord { writes: inner.writes.clone(), skipped, strange: inner.strange.clone() }
    }

    /// Writes that waited for the edges and were told where they are.
    pub fn arrived(&self) -> usize {
        self.lock().writes.iter().filter(|write| write.told != Promise::Durable).count()
    }

    /// Writes refused because the disk of the store was full.
    pub fn refused_full(&self) -> u64 {
        self.0.refused_full.load(Ordering::Relaxed)
    }

    fn client(&self) -> LinksClient<KeyedChannel> {
        let call = self.0.calls.fetch_add(1, Ordering::Relaxed);
        self.0.clients[call % self.0.clients.len()].clone()
    }

    fn lock(&self) -> MutexGuard<'_, WriterState> {
        self.0.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until nothing is under way.
    async fn settle(&self) {
        let all = u32::try_from(UNDER_WAY).unwrap_or(u32::MAX);
        drop(self.0.slots.acquire_many(all).await);
    }

    fn new_link(&self) -> u32 {
        let state = LinkRecord { stored: KnownState::Absent, busy: false, versions: 1, writes: Vec::new() };
        let mut inner = self.lock();
        inner.states.push(state);
        self.0.links.add()
    }

    /// What to write next; a link in doubt is asked for instead.
    fn choose(&self, random: &mut Random) -> Option<(u32, Op)> {
        if random.chance(CREATES) {
            return Some((self.new_link(), Op::To(1)));
        }
        let delete = random.chance(DELETES);
        for _ in 0..16 {
            let key = random.below(self.0.links.count());
            let mut inner = self.lock();
            let state = &mut inner.states[key as usize];
            if state.busy || state.stored == KnownState::Deleted {
                continue;
            }
            if delete && matches!(state.stored, KnownState::Live { .. }) {
                return Some((key, Op::Delete));
            }
            state.versions += 1;
            return Some((key, Op::To(state.versions)));
        }
        None
    }

    async fn begin(&self, key: u32, op: Op, told: Promise) {
        let Ok(slot) = self.0.slots.clone().acquire_owned().await else { return };
        self.lock().states[key as usize].busy = true;
        let own = self.clone();
        tokio::spawn(async move {
            own.write(key, op, told).await;
            own.lock().states[key as usize].busy = false;
            drop(slot);
        });
    }

    async fn write(&self, key: u32, op: Op, told: Promise) {
        let stored = self.lock().states[key as usize].stored.clone();
        if stored == KnownState::Unsure {
            return self.look(key).await;
        }
        self.0.links.touched(key);
        let (begun, life) = (now(), self.0.life.load(Ordering::Relaxed));
        let called = tokio::time::timeout(DEADLINE, self.call(key, op, &stored, told)).await;
        let ended = now();
        let (outcome, told) = match &called {
            Ok(Ok(link)) => match Position::parse_revision(&link.revision) {
                Some((epoch, seq)) => (Outcome::Acked { epoch, seq }, self.told(told, link)),
                None => (Outcome::Unknown, Promise::Durable),
            },
            Ok(Err(status)) if full(status) => {
                self.0.refused_full.fetch_add(1, Ordering::Relaxed);
                (Outcome::Refused, Promise::Durable)
            }
            Ok(Err(status)) if refused(status) => (Outcome::Refused, Promise::Durable),
            Ok(Err(_)) | Err(_) => (Outcome::Unknown, Promise::Durable),
        };
        {
            let mut inner = self.lock();
            let at = inner.writes.len();
            inner.writes.push(Write { key, op, begun, ended, outcome, life, told });
            let state = &mut inner.states[key as usize];
            state.writes.push(at);
            state.stored = match (&called, op, outcome) {
                (Ok(Ok(_)), Op::Delete, Outcome::Acked { .. }) => KnownState::Deleted,
                (Ok(Ok(link)), Op::To(_), Outcome::Acked { .. }) => {
                    KnownState::Live { etag: link.etag.clone() }
                }
                _ => KnownState::Unsure,
            };
        }
        if !matches!(outcome, Outcome::Acked { .. }) {
            self.look(key).await;
        }
    }

    async fn call(
        &self,
        key: u32,
        op: Op,
        stored: &KnownState,
        told: Promise,
    ) -> Result<v1::Link, tonic::Status> {
        let mut client = self.client();
        let name = format!("domains/-/links/{}", code(key));
        let ack = if told == Promise::Durable { Ack::Durable } else { Ack::Propagated }.into();
        let class = if strict(key) { LinkClass::Strict } else { LinkClass::Normal }.into();
        match (op, stored) {
            (Op::To(n), KnownState::Live { etag }) => {
                let link =
                    v1::Link { name, target: target(key, n), etag: etag.clone(), ..v1::Link::default() };
                let mask = FieldMask { paths: vec!["target".into()] };
                let (link, update_mask) = (Some(link), Some(mask));
                let request = v1::UpdateLinkRequest { link, update_mask, ack, ..Default::default() };
                client.update_link(request).await
            }
            (Op::To(n), _) => {
                let link = v1::Link { target: target(key, n), class, ..v1::Link::default() };
                let (link_id, link) = (code(key), Some(link));
                client.create_link(v1::CreateLinkRequest { link_id, link, ack, ..Default::default() }).await
            }
            (Op::Delete, KnownState::Live { etag }) => {
                let request = v1::DeleteLinkRequest { name, etag: etag.clone(), ack, ..Default::default() };
                client.delete_link(request).await
            }
            (Op::Delete, _) => return Err(tonic::Status::not_found("there is nothing to delete")),
        }
        .map(tonic::Response::into_inner)
    }

    /// Asks the store until it answers: what it holds tells which doubtful write is there.
    async fn look(&self, key: u32) {
        let request = v1::GetLinkRequest { name: format!("domains/-/links/{}", code(key)) };
        let found = loop {
            let mut client = self.client();
            match tokio::time::timeout(DEADLINE, client.get_link(request.clone())).await {
                Ok(Ok(link)) => break Some(link.into_inner()),
                Ok(Err(status)) if status.code() == Code::NotFound => break None,
                Ok(Err(_)) | Err(_) => tokio::time::sleep(PAUSE).await,
            }
        };
        self.found(key, found.as_ref(), now());
    }

    fn found(&self, key: u32, found: Option<&v1::Link>, at: Micros) {
        let life = self.0.life.load(Ordering::Relaxed);
        let mut inner = self.lock();
        let stored = match found {
            None => KnownState::Absent,
            Some(link) if link.delete_time.is_some() => KnownState::Deleted,
            Some(link) => KnownState::Live { etag: link.etag.clone() },
        };
        inner.states[key as usize].stored = stored.clone();
        let Some(link) = found else { return };
        let op = match crate::history::version_of(key, &link.target) {
            _ if stored == KnownState::Deleted => Op::Delete,
            Some(n) => Op::To(n),
            None => return inner.strange.push(format!("{link:?}")),
        };
        let own = inner.states[key as usize].writes.clone();
        let made = own.into_iter().rev().find(|&at| {
            let write = &inner.writes[at];
            write.op == op && write.outcome != Outcome::Refused
        });
        let Some(made) = made else { return inner.strange.push(format!("{link:?}")) };
        let write = &mut inner.writes[made];
        if let (Outcome::Unknown, Some((epoch, seq))) =
            (write.outcome, Position::parse_revision(&link.revision))
            && write.life == life
        {
            (write.outcome, write.ended) = (Outcome::Acked { epoch, seq }, at);
        }
    }

    /// What the answer promises about the edges. One that does not say, or not clearly, is noted.
    fn told(&self, asked: Promise, link: &v1::Link) -> Promise {
        if asked == Promise::Durable {
            return asked;
        }
        let propagation = link.propagation.clone().unwrap_or_default();
        let number = |name: &String| self.0.edges.iter().position(|own| own == name);
        let blind: Option<u32> =
            propagation.blind.iter().map(|blind| number(&blind.edge).map(|at| 1 << at)).sum();
        match (propagation.status(), blind) {
            (Status::Propagated, Some(0)) => Promise::Everywhere { but: 0 },
            (Status::Partial, Some(but)) if but != 0 => Promise::Everywhere { but },
            _ => {
                self.lock().strange.push(format!("an acknowledgement that does not fit: {propagation:?}"));
                Promise::Durable
            }
        }
    }
}

/// Surely not done. Anything else may have been.
fn refused(status: &tonic::Status) -> bool {
    matches!(status.code(), Code::Aborted | Code::AlreadyExists | Code::NotFound | Code::InvalidArgument)
}

/// Refused because the disk is full: what was begun is rolled back.
fn full(status: &tonic::Status) -> bool {
    let reason = b"DISK_FULL";
    status.code() == Code::ResourceExhausted && status.details().windows(reason.len()).any(|at| at == reason)
}
