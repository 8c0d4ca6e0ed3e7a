//! Following the log: who is let in, and what all who follow share, edges on their streams and the copy in Redis.

mod lines;
mod offers;

pub use lines::StreamLog;
pub use offers::{Offers, OriginValue, offers};

use crate::asks::Asks;
use crate::by_name::ByName;
use crate::call::blocking;
use crate::day_keys::DayKeys;
use crate::features::GatePlace;
use crate::heads::Heads;
use crate::horizon::Horizon;
use crate::intake::Intake;
use crate::metrics::Metrics;
use crate::reports::Reports;
use crate::seal::Seal;
use crate::sessions::Sessions;
use crate::tail::Tail;
use crate::writer::Writer;
use crate::{Fault, clock};
use feed::{Admission, Hello, LogView, Proof, Trouble, admit, proves_another_history};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use link::{ChangeKind, Epoch, Position, Seq};
use record::Features;
use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;
use store::model::StoreFault;
use store::port::domains::DomainRows;
use store::port::{Limit, Repository};
use tokio::sync::{Semaphore, watch};

/// Parts read from the store, pages of walks or changes that are no longer in memory, that all edges together may have
/// without acknowledging them: of 1 MiB each. 500 edges that come back at once take turns.
const PARTS: usize = 64;
/// The same of one edge, by its name: one that takes its time does not keep the others waiting.
const PARTS_OF_ONE: usize = 16;
/// Hellos of one edge in a second, and at once after a pause, on all its streams: each costs reads of the store, and on a
/// store that controls share a write. An edge of ours says one for each stream and waits longer after each that fails.
pub const HELLOS: (u32, u32) = (5, 16);
/// The longest that one waits for its turn: an edge of ours leaves a stream that brings nothing for 3 s.
const HELLO_WAIT: Duration = Duration::from_secs(1);
/// Links that are read at once for the features that they need.
const WALK: Limit = Limit { rows: 5_000, bytes: 4 * 1024 * 1024 };
/// Buckets for them.
const NAMES: u64 = 16_384;
/// Reads of the store for streams at once: others read, too. Those of one edge are one after the other, so that sixteen
/// streams of one get no more than one stream of another.
const READS: usize = 4;
/// The same for questions.
const FETCHES: usize = 3;

/// What every session works with.
pub struct Feeder {
    /// The store.
    pub store: Arc<dyn Repository>,
    /// The way to the writing thread.
    pub writer: Arc<Writer>,
    /// The end of the log.
    pub tail: Arc<Tail>,
    /// The numbers.
    pub metrics: Arc<Metrics>,
    /// Turns true when control stops.
    pub stop: watch::Receiver<bool>,
    /// What edges show of the history that they follow.
    pub seal: Seal,
    /// Hellos that prove another history, and when it was last told of one that only says so.
    pub proofs: Proofs,
    /// The edges.
    pub sessions: Arc<Sessions>,
    /// What the streams take turns at.
    pub turns: StreamQuotas,
    /// What is told of streams that come and go.
    pub lines: StreamLog,
    /// Readings of the head, on a store that others write to as well.
    pub heads: Option<Arc<Heads>>,
    /// Where what was read for an edge is offered to Redis.
    pub offers: Offers,
    /// Where edges hand over clicks.
    pub intake: Arc<Intake>,
    /// What edges tell visitors apart by.
    pub day_keys: Arc<DayKeys>,
    /// Up to when edges have handed over everything.
    pub horizon: Arc<Horizon>,
    /// What edges say of themselves.
    pub reports: Arc<Reports>,
    /// What edges are asked.
    pub asks: Arc<Asks>,
}

/// The quotas that all streams share.
pub struct StreamQuotas {
    /// Parts that are read from the store and not acknowledged.
    pub parts: Arc<Semaphore>,
    of_one: ByName<EdgeQuotas>,
    /// What is left of [`HELLOS`] to each edge.
    hellos: DefaultKeyedRateLimiter<u64>,
    hasher: RandomState,
    /// Reads of the store, those for Redis too.
    pub reads: Semaphore,
    /// Questions to the store.
    pub fetches: Semaphore,
}

impl Default for StreamQuotas {
    fn default() -> Self {
        let some = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        Self {
            parts: Arc::new(Semaphore::new(PARTS)),
            of_one: ByName::default(),
            hellos: RateLimiter::keyed(Quota::per_second(some(HELLOS.0)).allow_burst(some(HELLOS.1))),
            hasher: RandomState::new(),
            reads: Semaphore::new(READS),
            fetches: Semaphore::new(FETCHES),
        }
    }
}

/// The quotas that all streams of one edge share.
pub struct EdgeQuotas {
    /// Such parts.
    pub parts: Arc<Semaphore>,
    /// Reads of the store.
    pub reads: Semaphore,
}

impl StreamQuotas {
    /// What all streams of this edge share.
    pub fn of(&self, edge: &str) -> Arc<EdgeQuotas> {
        let share = || EdgeQuotas { parts: Arc::new(Semaphore::new(PARTS_OF_ONE)), reads: Semaphore::new(1) };
        self.of_one.of(edge, share)
    }

    /// Waits until this edge may say hello, good or not; `false` when others of its own wait as well. Who is refused at once
    /// says the next at once. Two edges whose names share a bucket are rare, and wait for each other a little.
    pub async fn hello(&self, edge: &str) -> bool {
        let name = self.hasher.hash_one(edge) % NAMES;
        tokio::time::timeout(HELLO_WAIT, self.hellos.until_key_ready(&name)).await.is_ok()
    }
}

/// Of hellos that say or prove that there was more than the store holds.
#[derive(Default)]
pub struct Proofs {
    /// Of many edges that prove the same at once the first makes a history begin.
    turn: tokio::sync::Mutex<()>,
    /// Edges have seen what is gone.
    lost: Trouble,
    /// Edges say what they cannot prove.
    unproven: Trouble,
    /// A history that may not begin was asked for.
    refused: Trouble,
}

impl Proofs {
    /// An edge says what it cannot prove. It is told so itself; people are told now and then.
    fn tell_unproven(&self, hello: &Hello, head: Position) {
        if self.unproven.met(clock::ms(), "edge").is_none() {
            return;
        }
        let own = hello.position.unwrap_or_default();
        tracing::warn!(
            name: "history_unproven",
            edge = hello.edge,
            says = Position::revision(own.epoch, own.seq.max(hello.seen)),
            head = Position::revision(head.epoch, head.seq),
            "an edge says that it has seen what this store does not hold, and shows no proof that a control of this store \
             can have given it: nothing is changed because of that. It follows another store, or its proof is from before \
             the store had a secret, or it lies. Start it without its --snapshot file, and it begins anew"
        );
    }
}

/// Why nobody may follow the log now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FollowRefusal {
    /// Another history was seen than the database holds, and none may begin by itself.
    OtherHistory,
    /// Something failed.
    Failed(Fault),
}

impl From<StoreFault> for FollowRefusal {
    fn from(fault: StoreFault) -> Self {
        Self::Failed(fault.into())
    }
}

impl From<Fault> for FollowRefusal {
    fn from(fault: Fault) -> Self {
        Self::Failed(fault)
    }
}

impl std::fmt::Display for FollowRefusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::OtherHistory => f.write_str("another history was seen than the database holds"),
            Self::Failed(fault) => f.write_str(&fault.told()),
        }
    }
}

impl Feeder {
    /// What an edge can show of this position.
    pub fn proof(&self, position: Position) -> Proof {
        self.seal.prove(position)
    }

    /// A read for a stream, in its turn.
    pub async fn read<T: Send + 'static>(
        &self,
        call: impl FnOnce(&dyn Repository) -> Result<T, StoreFault> + Send + 'static,
    ) -> Result<T, StoreFault> {
        let _turn = self.turns.reads.acquire().await; // an error would mean that it was closed, which it never is
        blocking(&self.store, call).await
    }

    /// Makes a new history begin above `theirs`, which somebody has proved to have been in this one's place; both are
    /// known to share the changes up to `shared`.
    pub async fn fork(&self, theirs: Epoch, shared: Seq) -> Result<Position, FollowRefusal> {
        if self.store.standing().is_some_and(|standing| !standing.auto_fork) {
            if let Some(tell) = self.proofs.refused.met(clock::ms(), "history") {
                let untold = tell.untold;
                tracing::error!(
                    name: "history_refused",
                    untold,
                    "somebody has seen writes of history {} that this database does not hold, and is refused. If the \
                     database was put back on purpose: linkr control bump-epoch --above {}",
                    told(theirs),
                    theirs.counter,
                );
            }
            return Err(FollowRefusal::OtherHistory);
        }
        Ok(self.writer.fork(theirs.counter, shared).await?)
    }

    /// A place for a stream of an edge that knows these features of records.
    ///
    /// # Errors
    /// Those of the store; and inside, what it lacks of those in use. Domains are read at each such hello, links once.
    pub async fn place(
        &self,
        edge: &str,
        knows: Features,
    ) -> Result<Result<GatePlace, Features>, StoreFault> {
        let gate = &self.sessions.gate;
        if (Features::KNOWN & !knows).any() {
            let (_, domains) = self.read(DomainRows::domains).await?;
            domains.iter().for_each(|domain| gate.met(Features::of_domain(&domain.rules)));
        }
        if (Features::OF_LINKS & !knows).any() {
            let mut walked = gate.walked.lock().await;
            while !walked.whole {
                let after = walked.after.clone();
                let page = self.read(move |store| store.walk(&after, WALK)).await?;
                let records = page.entries.iter().map(|entry| &entry.record);
                records.for_each(|record| gate.met(Features::of_record(ChangeKind::LINK, record)));
                walked.whole = !page.more;
                walked.after = page.entries.last().map(|entry| entry.key.to_vec()).unwrap_or_default();
            }
        }
        Ok(gate.enter(edge, knows))
    }

    /// Lets an edge in. One that proves that this store's history was replaced (a restored backup, a copied file)
    /// makes a new history begin at once (R2), where the store belongs to this process alone, so that nobody else can
    /// know better, or control may do so by itself. Without it such an edge would wait for ever, and others would keep
    /// what is no longer true.
    pub async fn admit(&self, hello: &Hello) -> Result<(Admission, Position), FollowRefusal> {
        let proven = hello.proven(|proof| self.seal.is_good(proof));
        if let Some(own) = proven
            && proves_another_history(own, &self.view(own).await?)
        {
            let _turn = self.proofs.turn.lock().await;
            self.replace(hello, own).await?;
        }
        let log = self.view(hello.position.unwrap_or_default()).await?;
        if hello.is_ahead(log.head) {
            self.proofs.tell_unproven(hello, log.head);
        }
        if let Some(own) = proven
            && own.epoch.counter < log.head.epoch.counter
            && self.view(own).await?.ancestor.is_none_or(|(_, shared)| own.seq > shared)
            && self.proofs.lost.met(clock::ms(), "edge").is_some()
        {
            tracing::warn!(
                name: "writes_lost",
                edge = hello.edge,
                seen = own.seq,
                "an edge has seen more of history {} than this store came from: an older state of it was put back, and \
                 what was acknowledged after that is gone",
                told(own.epoch),
            );
        }
        Ok((admit(hello, &log), log.head))
    }

    /// The log as whoever stands there sees it.
    async fn view(&self, own: Position) -> Result<LogView, StoreFault> {
        let of = (own.epoch != Epoch::default()).then_some(own.epoch);
        self.read(move |store| store.log_view(own.seq, of)).await
    }

    /// A new history begins, unless one has while this edge waited: it has proved `own`.
    async fn replace(&self, hello: &Hello, own: Position) -> Result<(), FollowRefusal> {
        let log = self.view(own).await?;
        if !proves_another_history(own, &log) {
            return Ok(());
        }
        let old = log.head;
        // A tag is drawn for each commit: where it is the same, everything up to there is. What else this edge says of
        // itself may be of either history.
        let shared = if log.tag_at_applied == Some(own.tag) { own.seq } else { 0 };
        let new = self.fork(own.epoch, shared).await?;
        tracing::warn!(
            name: "writes_lost",
            edge = hello.edge,
            seen = own.seq,
            head = old.seq,
            fork_seq = shared,
            "an edge has seen writes that this store does not hold: history {} takes the place of history {}, \
             and acknowledged writes behind {shared} of history {} that are not here are gone",
            told(new.epoch),
            told(old.epoch),
            told(own.epoch),
        );
        Ok(())
    }
}

/// As a revision begins.
fn told(epoch: Epoch) -> String {
    format!("{}-{:08x}", epoch.counter, epoch.random)
}
