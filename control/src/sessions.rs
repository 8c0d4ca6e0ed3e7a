//! The edges that follow this store: known on disk before they are answered, waited for by writes that ask for it.

use crate::Fault;
use crate::call::blocking;
use crate::features::Gate;
use crate::metrics::EdgeProgress;
use crate::writer::Writer;
use feed::edges::{Arrival, EdgeProcess, EdgeTable, ForgetRefusal, PATIENCE_MS, SharedEdge};
use link::{Epoch, Seq};
use proto::v1::{self, propagation};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use store::clock::unix_ms;
use store::model::StoreFault;
use store::port::{Repository, SessionRow};
use store::wire;
use tokio::sync::watch;
use tokio::time::Instant;

/// How often those who are gone are looked for, and a write that failed is tried again.
const PERIOD: Duration = Duration::from_secs(1);
/// How long somebody waits for an edge to be forgotten on disk.
const FORGET: Duration = Duration::from_secs(3);
/// Between two writes where they take their turn with those of links: edges that come and go without end would have each
/// of them wait.
const PACE: Duration = Duration::from_millis(10);
/// How often a control that shares its store writes its own down.
const SHARED_PERIOD: Duration = Duration::from_millis(200);
/// Milliseconds for which others may rely on a row: without a later one no ping is answered behind that (R10).
const ROW_HOLDS: u64 = 250;

/// All edges that this control knows.
pub struct Sessions {
    begun: Instant,
    /// Whether other controls write to the store.
    shared: bool,
    state: Mutex<SessionsState>,
    /// Somebody applied something: for those who wait for that.
    moved: watch::Sender<()>,
    /// How often the members have changed.
    changed: watch::Sender<u64>,
    /// How many of those changes are on disk.
    written: watch::Sender<u64>,
    /// How many of them the last write that failed would have brought there, and why it failed.
    failed: watch::Sender<Option<(u64, Fault)>>,
    /// What they know of the features of records.
    pub gate: Arc<Gate>,
}

#[derive(Default)]
struct SessionsState {
    table: EdgeTable,
    /// The change with which each that is not on disk yet came in, by number.
    fresh: HashMap<u64, u64>,
    /// Of a shared store: who is gone and may still have a row.
    gone: Vec<(String, u64)>,
    /// Of a shared store: when the last rows that are written were taken down, whom they call answered just then, and
    /// who was answered since.
    wrote: u64,
    covered: HashSet<u64>,
    answered: HashSet<u64>,
    /// The names that two live edges say, as far as that was told.
    doubled: BTreeSet<String>,
}

/// What becomes of a ping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pong {
    /// It is answered, and that is noted.
    Give,
    /// It has to wait until its edge is known on disk ([`Sessions::written`]).
    Later,
    /// It was given up for lost: it has to say hello again.
    Never,
}

impl Sessions {
    /// With those that an earlier process knew: it may have answered them until now.
    pub fn new(known: Vec<SessionRow>, shared: bool) -> Arc<Self> {
        let mut table = EdgeTable::default();
        for row in known {
            table.remember(row.edge, row.incarnation, 0);
        }
        Arc::new(Self {
            begun: Instant::now(),
            shared,
            state: Mutex::new(SessionsState { table, ..SessionsState::default() }),
            moved: watch::Sender::new(()),
            changed: watch::Sender::new(0),
            written: watch::Sender::new(0),
            failed: watch::Sender::new(None),
            gate: Arc::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, SessionsState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Milliseconds since the start. A clock that stands still with the machine makes control wait longer, never less.
    fn now(&self) -> u64 {
        self.begun.elapsed().as_millis() as u64
    }

    /// An edge was let in on the stream `id`; `None` when there are too many to know one more.
    pub fn join(self: &Arc<Self>, who: (&str, u64), id: u64, at: (Epoch, Option<Seq>)) -> Option<Membership> {
        let mut guard = self.lock();
        let state = &mut *guard;
        let (number, new) = state.table.join(who, id, at, self.now())?;
        if new {
            let change = self.change();
            state.fresh.insert(number, change);
        }
        drop(guard);
        self.moved.send_replace(());
        Some(Membership { sessions: self.clone(), number, id })
    }

    /// The number of this change of the members. Under the lock, so that a writer sees both or neither.
    fn change(&self) -> u64 {
        self.changed.send_modify(|changes| *changes += 1);
        *self.changed.borrow()
    }

    /// Tells when more is on disk.
    pub fn written(&self) -> watch::Receiver<u64> {
        self.written.subscribe()
    }

    /// Keeps what is in the store and in memory the same until `stop`.
    pub async fn run(
        &self,
        store: Arc<dyn Repository>,
        writer: Arc<Writer>,
        mut stop: watch::Receiver<bool>,
    ) {
        let mut changed = self.changed.subscribe();
        loop {
            tokio::select! {
                _ = changed.changed() => {}
                () = tokio::time::sleep(if self.shared { SHARED_PERIOD } else { PERIOD }) => {}
                _ = stop.wait_for(|&stop| stop) => return,
            }
            let tried = *changed.borrow();
            let written = match self.shared {
                true => self.share(&store, &mut changed).await,
                false => self.write(&writer, &mut changed).await,
            };
            if let Err(fault) = written {
                tracing::debug!(name: "edges_not_noted", %fault, "edges are not answered: it cannot be noted that they are there");
                self.failed.send_replace(Some((tried, fault)));
            }
            self.tell_doubled();
            if !self.shared {
                tokio::time::sleep(PACE).await;
            }
        }
    }

    /// Says once of each name that two live edges have it.
    fn tell_doubled(&self) {
        let (mut state, now) = (self.lock(), self.now());
        let doubled: BTreeSet<String> = state.table.doubled(now).into_iter().map(str::to_owned).collect();
        let told = std::mem::replace(&mut state.doubled, doubled.clone());
        drop(state);
        for edge in doubled.difference(&told) {
            tracing::warn!(
                name: "edge_doubled", edge,
                "two edges say this name: what is said of one holds for either, and clicks are complete up to the earlier of their \
                 times; give each a --name of its own"
            );
        }
    }

    async fn write(&self, writer: &Writer, changed: &mut watch::Receiver<u64>) -> Result<(), Fault> {
        let (rows, upto) = {
            let mut state = self.lock();
            if state.table.clean(self.now()) {
                self.change();
            }
            let upto = *changed.borrow_and_update();
            if upto == *self.written.borrow() {
                return Ok(());
            }
            let age = |row: &EdgeProcess| self.now().saturating_sub(row.last_pong);
            (state.table.all().map(|row| stored(row, age(row))).collect(), upto)
        };
        let written = writer.sessions(rows).await;
        if let Err(fault) = &written
            && writer.probe().await.is_ok()
        {
            return Err(fault.clone()); // others' writes may be acknowledged
        }
        self.lock().fresh.retain(|_, change| *change > upto);
        if let Err(fault) = written {
            // Nobody's write is acknowledged either, and a later process waits until all of these are blind.
            self.written.send_modify(|_| {});
            return Err(fault);
        }
        self.written.send_replace(upto);
        Ok(())
    }

    /// Writes those whose streams are here, and reads everybody's. No pong goes out later than [`ROW_HOLDS`] after the
    /// time of its edge's row: whoever was answered since the last rows is called answered now, and who was not has to
    /// wait for a row of its own before it is.
    async fn share(
        &self,
        store: &Arc<dyn Repository>,
        changed: &mut watch::Receiver<u64>,
    ) -> Result<(), Fault> {
        let (rows, covered, gone, upto, began) = {
            let mut guard = self.lock();
            let (state, now, upto) = (&mut *guard, self.now(), *changed.borrow_and_update());
            let (fresh, answered) = (&state.fresh, std::mem::take(&mut state.answered));
            let (mut rows, mut covered) = (Vec::new(), HashSet::new());
            for (number, row) in state.table.numbered().filter(|(_, row)| row.since.is_some()) {
                let now_answered = fresh.contains_key(&number) || answered.contains(&number);
                covered.extend(now_answered.then_some(number));
                rows.push(stored(row, if now_answered { 0 } else { now.saturating_sub(row.last_pong) }));
            }
            (rows, covered, state.gone.clone(), upto, now)
        };
        let forgotten = gone.len();
        let write = move |store: &dyn Repository| {
            if !gone.is_empty() {
                store.forget_sessions(&gone)?;
            }
            store.sessions(Some(&rows))
        };
        let all = blocking(store, write).await?;
        let mut state = self.lock();
        state.gone.drain(..forgotten);
        let now = self.now();
        let row = |row: SessionRow| SharedEdge {
            last_pong: (now + ROW_HOLDS).saturating_sub(row.age),
            edge: row.edge,
            incarnation: row.incarnation,
            epoch: row.epoch,
            applied: row.applied,
        };
        // Who left since then is still among the rows.
        let gone = std::mem::take(&mut state.gone);
        let left =
            |row: &SessionRow| gone.iter().any(|(edge, of)| (edge, *of) == (&row.edge, row.incarnation));
        state.table.shared(all.into_iter().filter(|row| !left(row)).map(row), now);
        state.gone = gone;
        state.fresh.retain(|_, change| *change > upto);
        (state.covered, state.wrote) = (covered, began);
        drop(state);
        self.written.send_replace(upto);
        self.moved.send_replace(());
        Ok(())
    }

    /// In Unix milliseconds.
    fn wall(&self, at: u64) -> i64 {
        unix_ms() - self.now().saturating_sub(at) as i64
    }

    /// Waits until every edge has applied the write or is blind; called right after its commit.
    pub async fn propagated(&self, epoch: Epoch, seq: Seq) -> v1::Propagation {
        let committed = self.now();
        let mut moved = self.moved.subscribe();
        if self.shared {
            // An edge that another control has let in is known to those who have read the table since the commit.
            let mut read = self.written();
            let after = {
                let _state = self.lock();
                self.change()
            };
            let end = self.begun + Duration::from_millis(committed + PATIENCE_MS);
            let _ = tokio::time::timeout_at(end, read.wait_for(|read| *read >= after)).await;
        }
        let mut after: HashMap<u64, u32> = HashMap::new();
        loop {
            let now = self.now();
            let arrival = self.lock().table.arrival(epoch, seq, committed, now);
            let (Arrival::Wait(judged, _) | Arrival::Done(judged)) = &arrival;
            for number in &judged.applied {
                after.entry(*number).or_insert((now - committed) as u32);
            }
            match arrival {
                // An earlier process may have answered edges that it could not write down.
                Arrival::Done(_) if !self.shared && now < PATIENCE_MS => {
                    tokio::time::sleep_until(self.begun + Duration::from_millis(PATIENCE_MS)).await;
                }
                Arrival::Done(judged) => {
                    let late: Vec<u64> = judged.blind.into_iter().chain(judged.waiting).collect();
                    return self.answer(&after, &late);
                }
                Arrival::Wait(_, wake) => tokio::select! {
                    _ = moved.changed() => {}
                    () = tokio::time::sleep_until(self.begun + Duration::from_millis(wake)) => {}
                },
            }
        }
    }

    fn answer(&self, after: &HashMap<u64, u32>, late: &[u64]) -> v1::Propagation {
        let state = self.lock();
        let by = after.iter().filter(|(number, _)| !late.contains(number));
        let by = by.filter_map(|(number, after)| Some((state.table.get(*number)?, *after)));
        let mut applied_by: Vec<_> =
            by.map(|(row, after_ms)| propagation::AppliedBy { edge: row.edge.clone(), after_ms }).collect();
        applied_by.sort_by(|a, b| (a.after_ms, &a.edge).cmp(&(b.after_ms, &b.edge)));
        let mut blind: Vec<_> = late
            .iter()
            .filter_map(|number| state.table.get(*number))
            .map(|row| propagation::Blind {
                edge: row.edge.clone(),
                last_seen: Some(wire::timestamp(self.wall(row.last_pong))),
            })
            .collect();
        blind.sort_by(|a, b| a.edge.cmp(&b.edge));
        let status = match blind.is_empty() {
            true => propagation::Status::Propagated,
            false => propagation::Status::Partial,
        };
        v1::Propagation { status: status.into(), applied_by, blind }
    }

    /// Where each edge stands, for the metrics: by name, the process that was answered last.
    pub fn positions(&self, head: Seq) -> Vec<EdgeProgress> {
        let (state, now) = (self.lock(), self.now());
        let doubled = state.table.doubled(now);
        let mut latest: HashMap<&str, &EdgeProcess> = HashMap::new();
        for row in state.table.all() {
            let known = latest.entry(&row.edge).or_insert(row);
            if row.last_pong >= known.last_pong {
                *known = row;
            }
        }
        let at = |row: &EdgeProcess| EdgeProgress {
            name: row.edge.clone(),
            applied: row.applied.unwrap_or(0),
            lag: head.saturating_sub(row.applied.unwrap_or(0)),
            blind: row.blind(now),
            doubled: doubled.contains(&*row.edge),
        };
        let mut edges: Vec<EdgeProgress> = latest.into_values().map(at).collect();
        edges.sort_by(|a, b| a.name.cmp(&b.name));
        edges
    }

    /// Every process that is known, with the name of its edge.
    pub fn processes(&self) -> HashSet<(String, u64)> {
        self.lock().table.all().map(|row| (row.edge.clone(), row.incarnation)).collect()
    }

    /// All of them, for people; `head` is the end of the log.
    pub fn list(&self, head: Seq) -> Vec<v1::Edge> {
        let (state, now) = (self.lock(), self.now());
        let doubled = state.table.doubled(now);
        let edge = |row: &EdgeProcess| v1::Edge {
            edge: row.edge.clone(),
            incarnation: format!("{:016x}", row.incarnation),
            applied: row.applied,
            lag: head.saturating_sub(row.applied.unwrap_or(0)),
            last_pong: Some(wire::timestamp(self.wall(row.last_pong))),
            blind: row.blind(now),
            session_since: row.since.map(|since| wire::timestamp(self.wall(since))),
            doubled: doubled.contains(&*row.edge),
            report: None,
            report_time: None,
        };
        let mut edges: Vec<_> = state.table.all().map(edge).collect();
        edges.sort_by(|a, b| a.edge.cmp(&b.edge)); // stable: of one name, the earlier first
        edges
    }
}

fn stored(row: &EdgeProcess, age: u64) -> SessionRow {
    let (edge, incarnation, epoch) = (row.edge.clone(), row.incarnation, row.epoch);
    SessionRow { edge, incarnation, epoch, applied: row.applied, age, own: true }
}

impl Sessions {
    /// Forgets the edge `name`, which is gone for good, and waits until that is on disk. Returns how many processes of
    /// it were known. If the store does not take it, they are known as before.
    ///
    /// # Errors
    /// It is not known, or may still call an answer fresh; or those of the store.
    pub async fn forget(&self, name: &str) -> Result<u32, Fault> {
        let (gone, change) = {
            let mut state = self.lock();
            let gone = state.table.forget(name, self.now()).map_err(|kept| match kept {
                ForgetRefusal::Unknown => Fault::EdgeNotFound(name.to_owned()),
                ForgetRefusal::Connected => Fault::EdgeConnected(name.to_owned()),
                ForgetRefusal::Fresh => Fault::EdgeFresh(name.to_owned()),
            })?;
            state.left(self.shared, gone.iter().map(|(_, row)| row.clone()));
            (gone, self.change())
        };
        self.moved.send_replace(());
        let forgotten = gone.len() as u32;
        if let Err(fault) = self.on_disk(change).await {
            self.remember(gone);
            return Err(fault);
        }
        Ok(forgotten)
    }

    /// Waits until this change of the members is on disk.
    async fn on_disk(&self, change: u64) -> Result<(), Fault> {
        let (mut written, mut failed) = (self.written(), self.failed.subscribe());
        let late = || StoreFault::Unavailable(format!("nothing was written within {} s", FORGET.as_secs()));
        tokio::select! {
            _ = written.wait_for(|written| *written >= change) => Ok(()), // its other end is here
            failed = failed.wait_for(|failed| failed.as_ref().is_some_and(|(tried, _)| *tried >= change)) => {
                let fault = failed.ok().and_then(|failed| failed.as_ref().map(|(_, fault)| fault.clone()));
                Err(fault.unwrap_or(Fault::Internal))
            }
            () = tokio::time::sleep(FORGET) => Err(late().into()),
        }
    }

    /// Those whom the store still names: it may be that nobody else remembers that a write has to wait for them.
    fn remember(&self, gone: Vec<(u64, EdgeProcess)>) {
        let mut state = self.lock();
        state
            .gone
            .retain(|(edge, of)| !gone.iter().any(|(_, row)| (&row.edge, row.incarnation) == (edge, *of)));
        gone.into_iter().for_each(|(number, row)| state.table.put_back(number, row));
        self.change();
    }
}

impl SessionsState {
    fn left(&mut self, shared: bool, gone: impl IntoIterator<Item = EdgeProcess>) {
        if shared {
            self.gone.extend(gone.into_iter().map(|row| (row.edge, row.incarnation)));
        }
    }
}

/// One stream's place among the edges; its end is noted when this is dropped.
pub struct Membership {
    sessions: Arc<Sessions>,
    number: u64,
    id: u64,
}

impl Membership {
    /// Asks for the right to answer a ping, which has to be sent after this and not before.
    pub fn pong(&self) -> Pong {
        let mut state = self.sessions.lock();
        if state.fresh.contains_key(&self.number) {
            return Pong::Later;
        }
        let now = self.sessions.now();
        if self.sessions.shared {
            if !state.covered.contains(&self.number) {
                let change = self.sessions.change();
                state.fresh.insert(self.number, change);
                return Pong::Later;
            }
            if now.saturating_sub(state.wrote) > ROW_HOLDS {
                return Pong::Later; // until the next rows are written, which is soon
            }
            state.answered.insert(self.number);
        }
        if state.table.pong(self.number, now) { Pong::Give } else { Pong::Never }
    }

    /// Its process has given its last answer: no write has to wait for it any more. `false`: it was not its to say.
    pub fn goodbye(&self) -> bool {
        let mut state = self.sessions.lock();
        let Some(gone) = state.table.goodbye(self.number, self.id) else { return false };
        state.fresh.remove(&self.number);
        state.left(self.sessions.shared, [gone]);
        self.sessions.change();
        drop(state);
        self.sessions.moved.send_replace(());
        true
    }

    /// The edge has applied everything up to `seq`.
    pub fn applied(&self, seq: Seq) {
        let more = self.sessions.lock().table.applied(self.number, self.id, seq);
        // Who says the same again and again wakes nobody.
        if more && self.sessions.moved.receiver_count() > 0 {
            self.sessions.moved.send_replace(());
        }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.sessions.lock().table.left(self.number, self.id);
    }
}
