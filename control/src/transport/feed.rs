//! `linkr.v1.Feed`: who is let in, and what the streams share. What goes over one stream is below.

mod stream;

use crate::by_name::ByName;
use crate::heads::Heads;
use crate::metrics::Metrics;
use crate::port::{Fetched, Repository, StoreFault};
use crate::relay::Offers;
use crate::seal::Seal;
use crate::service::blocking;
use crate::sessions::Sessions;
use crate::tail::Tail;
use crate::transport::grpc::status;
use crate::writer::Writer;
use crate::{Caller, Fault, clock};
use ::feed::{Admission, Hello, LogView, Trouble, admit, proves_another_history};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use link::{Epoch, Key, Position, Seq};
use proto::v1::{self, feed_server::Feed};
use proto::{epoch_to_wire, proof_to_wire};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use stream::Stream;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Response, Status, Streaming};

/// Keys of one fetch.
const FETCH_KEYS: usize = proto::bounds::FETCH;
/// How long a fetch waits for the log to reach what it asks for.
const FETCH_WAIT: Duration = Duration::from_millis(50);
/// Messages between a session and its connection; what is sent without acknowledgement is bounded by the session.
const UNDER_WAY: usize = 4;
/// Parts read from the store, pages of walks or changes that are no longer in memory, that all edges together may have
/// without acknowledging them: of 1 MiB each. 500 edges that come back at once take turns.
const PARTS: usize = 64;
/// The same of one edge, by its name: one that takes its time does not keep the others waiting.
const PARTS_OF_ONE: usize = 16;
/// Reads of the store for streams at once: others read, too. Those of one edge are one after the other, so that sixteen
/// streams of one get no more than one stream of another.
const READS: usize = 4;
/// The same for questions.
const FETCHES: usize = 3;
/// In a second, and at once after a pause.
const LINES: [u32; 2] = [10, 1_000];

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
    pub turns: Turns,
    /// What is told of streams that come and go.
    pub lines: Lines,
    /// Readings of the head, on a store that others write to as well.
    pub heads: Option<Arc<Heads>>,
    /// Where what was read for an edge is offered to Redis.
    pub offers: Offers,
}

/// What the streams take turns at.
pub struct Turns {
    parts: Arc<Semaphore>,
    of_one: ByName<Share>,
    /// Reads of the store, those for Redis too.
    pub reads: Semaphore,
    fetches: Semaphore,
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            parts: Arc::new(Semaphore::new(PARTS)),
            of_one: ByName::default(),
            reads: Semaphore::new(READS),
            fetches: Semaphore::new(FETCHES),
        }
    }
}

/// What all streams of an edge share.
struct Share {
    parts: Arc<Semaphore>,
    reads: Semaphore,
}

impl Turns {
    fn of(&self, edge: &str) -> Arc<Share> {
        let share = || Share { parts: Arc::new(Semaphore::new(PARTS_OF_ONE)), reads: Semaphore::new(1) };
        self.of_one.of(edge, share)
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

/// Lines of the log about streams that come and go, whoever lets them: all of them when many edges come back at once, and
/// few in the long run.
pub struct Lines {
    left: DefaultDirectRateLimiter,
    untold: AtomicU64,
}

impl Default for Lines {
    fn default() -> Self {
        let [rate, burst] = LINES.map(|number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN));
        let quota = Quota::per_second(rate).allow_burst(burst);
        Self { left: RateLimiter::direct(quota), untold: AtomicU64::default() }
    }
}

impl Lines {
    /// Whether there is to be a line, and how many there were not since the last one: nothing inside if none.
    #[allow(clippy::option_option)]
    fn tell(&self) -> Option<Option<u64>> {
        if self.left.check().is_err() {
            self.untold.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(Some(self.untold.swap(0, Ordering::Relaxed)).filter(|untold| *untold > 0))
    }
}

/// The calls.
pub struct Calls(pub Arc<Feeder>);

#[tonic::async_trait]
impl Feed for Calls {
    type FollowStream = ReceiverStream<Result<v1::FollowResponse, Status>>;

    async fn follow(
        &self,
        call: Request<Streaming<v1::FollowRequest>>,
    ) -> Result<Response<Self::FollowStream>, Status> {
        let (out, messages) = mpsc::channel(UNDER_WAY);
        let feeder = self.0.clone();
        let edge = call.extensions().get::<Caller>().and_then(|caller| caller.edge.clone());
        tokio::spawn(async move {
            let _guard = feeder.metrics.session();
            let mut stop = feeder.stop.clone();
            let mut stream = Stream::new(&feeder, edge, call.into_inner(), out.clone());
            let ended = tokio::select! {
                biased; // nobody is let in by a control that is stopping
                _ = stop.wait_for(|&stop| stop) => Err(Status::unavailable("control is stopping")),
                ended = stream.serve() => ended,
            };
            if let Err(status) = ended {
                let (why, edge) = (status.message(), stream.named());
                // Unknown is what h2 makes of a connection that ended, Cancelled what we make of a stream.
                if matches!(status.code(), Code::Unknown | Code::Cancelled) || *feeder.stop.borrow() {
                    tracing::debug!(name: "edge_gone", edge, why, "an edge has gone");
                } else if let Some(untold) = feeder.lines.tell() {
                    tracing::info!(
                        name: "stream_ended", edge, why, untold, "the stream of an edge ended; it says hello again"
                    );
                }
                let _ = out.try_send(Err(status)); // the edge may have gone
            }
        });
        Ok(Response::new(ReceiverStream::new(messages)))
    }

    async fn fetch(&self, call: Request<v1::FetchRequest>) -> Result<Response<v1::FetchResponse>, Status> {
        let answer = self.0.fetch(call.into_inner()).await;
        let code = answer.as_ref().map_or_else(|fault| fault.names().reason, |_| "OK");
        self.0.metrics.count("Fetch", code);
        answer.map(Response::new).map_err(|fault| status(&fault))
    }
}

impl Feeder {
    async fn fetch(&self, request: v1::FetchRequest) -> Result<v1::FetchResponse, Fault> {
        if request.keys.len() > FETCH_KEYS {
            return Err(Fault::invalid("keys", format!("are more than {FETCH_KEYS}")));
        }
        if request.keys.iter().any(|key| key.len() > Key::MAX_LEN) {
            return Err(Fault::invalid("keys", format!("are not all of {} bytes at most", Key::MAX_LEN)));
        }
        let (keys, least) = (request.keys, request.min_seq);
        let mut fetched = self.records(keys.clone()).await?;
        if fetched.head.seq < least {
            let (mut committed, mut read) = (self.writer.head(), self.tail.head());
            let there = async {
                tokio::select! {
                    there = committed.wait_for(|head| head.seq >= least) => there.is_ok(),
                    there = read.wait_for(|head| head.seq >= least) => there.is_ok(),
                }
            };
            if let Ok(true) = tokio::time::timeout(FETCH_WAIT, there).await {
                fetched = self.records(keys).await?;
            }
        }
        let Fetched { head, entries, domains } = fetched;
        if head.seq < least {
            return Err(behind(least).into());
        }
        self.offers.make(head, &entries);
        let entries = entries.into_iter().map(stream::entry).collect();
        let proof = Some(self.proof(head));
        Ok(v1::FetchResponse {
            epoch: Some(epoch_to_wire(head.epoch)),
            as_of: head.seq,
            entries,
            domains,
            proof,
        })
    }

    async fn records(&self, keys: Vec<bytes::Bytes>) -> Result<Fetched, StoreFault> {
        let _turn = self.turns.fetches.acquire().await; // it is never closed
        blocking(&self.store, move |store| store.records(&keys)).await
    }

    /// What an edge can show of this position.
    fn proof(&self, position: Position) -> v1::Proof {
        proof_to_wire(&self.seal.prove(position))
    }

    /// A read for a stream, in its turn.
    async fn read<T: Send + 'static>(
        &self,
        call: impl FnOnce(&dyn Repository) -> Result<T, StoreFault> + Send + 'static,
    ) -> Result<T, Status> {
        let _turn = self.turns.reads.acquire().await; // an error would mean that it was closed, which it never is
        blocking(&self.store, call).await.map_err(|fault| status(&fault.into()))
    }

    /// Makes a new history begin above `theirs`, which somebody has proved to have been in this one's place; both are
    /// known to share the changes up to `shared`.
    pub async fn fork(&self, theirs: Epoch, shared: Seq) -> Result<Position, Status> {
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
            return Err(Status::failed_precondition("another history was seen than the database holds"));
        }
        let new = self.writer.fork(theirs.counter, shared).await.map_err(|fault| status(&fault))?;
        Ok(new)
    }

    /// Lets an edge in. One that proves that this store's history was replaced (a restored backup, a copied file)
    /// makes a new history begin at once (R2), where the store belongs to this process alone, so that nobody else can
    /// know better, or control may do so by itself. Without it such an edge would wait for ever, and others would keep
    /// what is no longer true.
    async fn admit(&self, hello: &Hello) -> Result<(Admission, Position), Status> {
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
                 what was acknowledged behind that is gone",
                told(own.epoch),
            );
        }
        Ok((admit(hello, &log), log.head))
    }

    /// The log as whoever stands there sees it.
    async fn view(&self, own: Position) -> Result<LogView, Status> {
        let of = (own.epoch != Epoch::default()).then_some(own.epoch);
        self.read(move |store| store.log_view(own.seq, of)).await
    }

    /// A new history begins, unless one has while this edge waited: it has proved `own`.
    async fn replace(&self, hello: &Hello, own: Position) -> Result<(), Status> {
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

fn behind(seq: Seq) -> StoreFault {
    StoreFault::Unavailable(format!("the log has not reached {seq}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_that_come_and_go_without_end_fill_no_log() {
        let lines = Lines::default();
        let told = (0..100_000).filter(|_| lines.tell().is_some()).count();
        assert!((1_000..1_100).contains(&told), "{told}");
        let left = lines.untold.load(Ordering::Relaxed);
        std::thread::sleep(std::time::Duration::from_millis(150)); // one more in 100 ms
        assert_eq!(
            (lines.tell(), lines.tell().is_none_or(|untold| untold.is_none())),
            (Some(Some(left)), true)
        );
    }
}
