//! `linkr.v1.Feed`: who is let in, and what the streams share. What goes over one stream is below.

mod stream;

use crate::heads::Heads;
use crate::metrics::Metrics;
use crate::port::{Fetched, Repository, StoreFault};
use crate::relay::Offers;
use crate::service::blocking;
use crate::sessions::Sessions;
use crate::tail::Tail;
use crate::transport::grpc::status;
use crate::writer::Writer;
use crate::{Caller, Fault, clock};
use ::feed::{Admission, Hello, Trouble, admit, proves_another_history};
use link::{Epoch, Position, Seq};
use proto::epoch_to_wire;
use proto::v1::{self, feed_server::Feed};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};
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
/// Reads of the store for streams at once: others read, too.
const READS: usize = 4;
/// How far the number of a history may jump. There are 2³² of them, and none comes back: one mistaken or forged hello
/// must not use them up.
const FORK_JUMP: u32 = 1_000;
/// Between two new histories.
const FORK_PAUSE: Duration = Duration::from_secs(10);

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
    /// Who may make a new history begin.
    pub forks: Forks,
    /// The edges.
    pub sessions: Arc<Sessions>,
    /// What the streams take turns at.
    pub turns: Turns,
    /// Readings of the head, on a store that others write to as well.
    pub heads: Option<Arc<Heads>>,
    /// Where what was read for an edge is offered to Redis.
    pub offers: Offers,
}

/// What the streams take turns at.
pub struct Turns {
    parts: Arc<Semaphore>,
    of_one: Mutex<HashMap<String, Weak<Semaphore>>>,
    /// Reads of the store, those for Redis too.
    pub reads: Semaphore,
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            parts: Arc::new(Semaphore::new(PARTS)),
            of_one: Mutex::default(),
            reads: Semaphore::new(READS),
        }
    }
}

impl Turns {
    /// What all streams of an edge share.
    fn of(&self, edge: &str) -> Arc<Semaphore> {
        let mut of_one = self.of_one.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = of_one.get(edge).and_then(Weak::upgrade) {
            return own;
        }
        of_one.retain(|_, own| own.strong_count() > 0);
        let own = Arc::new(Semaphore::new(PARTS_OF_ONE));
        of_one.insert(edge.to_owned(), Arc::downgrade(&own));
        own
    }
}

/// Keeps hellos from using up the histories.
#[derive(Default)]
pub struct Forks {
    last: Mutex<Option<Instant>>,
    told: AtomicBool,
    /// Edges have seen what is gone.
    lost: Trouble,
}

impl Forks {
    /// Whether an edge of the history `theirs` may make the one above it begin after `own`, now.
    fn allow(&self, own: u32, theirs: u32, now: Instant) -> Result<(), Status> {
        if theirs > own.saturating_add(FORK_JUMP) {
            if !self.told.swap(true, Ordering::Relaxed) {
                let why = "an edge names a history too far ahead: it follows another store, or lies";
                tracing::error!(name: "history_too_far", own, theirs, "{why}");
            }
            let text = format!("history {theirs} is too far ahead of {own}: this edge follows another store");
            return Err(Status::failed_precondition(text));
        }
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_some_and(|last| now.saturating_duration_since(last) < FORK_PAUSE) {
            return Err(Status::unavailable("a new history has only just begun: say hello again later"));
        }
        *last = Some(now);
        Ok(())
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
                ended = stream.serve() => ended,
                _ = stop.wait_for(|&stop| stop) => Err(Status::unavailable("control is stopping")),
            };
            if let Err(status) = ended {
                let why = status.message();
                // Unknown is what h2 makes of a connection that ended, Cancelled what we make of a stream.
                if matches!(status.code(), Code::Unknown | Code::Cancelled) || *feeder.stop.borrow() {
                    tracing::debug!(name: "edge_gone", why, "an edge has gone");
                } else {
                    tracing::info!(name: "stream_ended", why, "an edge's stream ended");
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
        let (mut committed, mut read) = (self.writer.head(), self.tail.head());
        let end = tokio::time::Instant::now() + FETCH_WAIT;
        let (keys, least) = (request.keys, request.min_seq);
        let Fetched { head, entries, domains } = loop {
            let asked = keys.clone();
            committed.mark_unchanged();
            read.mark_unchanged();
            let fetched = blocking(&self.store, move |store| store.records(&asked)).await?;
            if fetched.head.seq >= least {
                break fetched;
            }
            let more = async {
                tokio::select! {
                    more = committed.changed() => more.is_ok(),
                    more = read.changed() => more.is_ok(),
                }
            };
            if !matches!(tokio::time::timeout_at(end, more).await, Ok(true)) {
                return Err(behind(least).into());
            }
        };
        self.offers.make(head, &entries);
        let entries = entries.into_iter().map(stream::entry).collect();
        Ok(v1::FetchResponse { epoch: Some(epoch_to_wire(head.epoch)), as_of: head.seq, entries, domains })
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
    pub async fn fork(&self, own: Epoch, theirs: Epoch, shared: Seq) -> Result<Position, Status> {
        if self.store.standing().is_some_and(|standing| !standing.auto_fork) {
            tracing::error!(
                name: "history_refused",
                "somebody has seen writes of history {} that this database does not hold, and is refused. If the \
                 database was put back on purpose: linkr control bump-epoch --above {}",
                told(theirs),
                theirs.counter,
            );
            return Err(Status::failed_precondition("another history was seen than the database holds"));
        }
        self.forks.allow(own.counter, theirs.counter, Instant::now())?;
        let new = self.writer.fork(theirs.counter, shared).await.map_err(|fault| status(&fault))?;
        Ok(new)
    }

    /// Lets an edge in. One that proves that this store's history was replaced (a restored backup, a copied file)
    /// makes a new history begin at once (R2), where the store belongs to this process alone, so that nobody else can
    /// know better, or control may do so by itself. Without it such an edge would wait for ever, and others would keep
    /// what is no longer true.
    async fn admit(&self, hello: &Hello) -> Result<(Admission, Epoch), Status> {
        let applied = hello.position.map_or(0, |position| position.seq);
        let of = hello.position.map(|position| position.epoch);
        let view = || self.read(move |store| store.log_view(applied, of));
        let mut log = view().await?;
        if let Some(own) = hello.position.filter(|_| proves_another_history(hello, &log)) {
            let old = log.head;
            // What this edge has of the other history and can prove is all that is known to be in both.
            let shared = if log.tag_at_applied == Some(own.tag) { own.seq } else { 0 };
            let new = self.fork(old.epoch, own.epoch, shared).await?;
            tracing::warn!(
                name: "writes_lost",
                edge = hello.edge,
                seen = hello.seen.max(own.seq),
                head = old.seq,
                fork_seq = shared,
                "an edge has seen writes that this store does not hold: history {} takes the place of history {}, \
                 and acknowledged writes behind {shared} of history {} that are not here are gone",
                told(new.epoch),
                told(old.epoch),
                told(own.epoch),
            );
            log = view().await?;
        }
        let has_more = |own: &Position| {
            let shared = log.ancestor.filter(|(epoch, _)| *epoch == own.epoch).map(|(_, shared)| shared);
            own.epoch.counter < log.head.epoch.counter
                && shared.is_none_or(|shared| hello.seen.max(own.seq) > shared)
        };
        if let Some(own) = hello.position.filter(has_more)
            && self.forks.lost.met(clock::ms(), "edge").is_some()
        {
            tracing::warn!(
                name: "writes_lost",
                edge = hello.edge,
                seen = hello.seen.max(own.seq),
                "an edge has seen more of history {} than this store came from: an older state of it was put back, and \
                 what was acknowledged behind that is gone",
                told(own.epoch),
            );
        }
        Ok((admit(hello, &log), log.head.epoch))
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
    fn no_hello_uses_up_the_histories() {
        let (forks, now) = (Forks::default(), Instant::now());
        let code = |own, theirs, now| forks.allow(own, theirs, now).map_err(|status| status.code());
        assert_eq!(code(1, u32::MAX - 1, now), Err(Code::FailedPrecondition));
        assert_eq!(code(1, 1_002, now), Err(Code::FailedPrecondition));
        assert_eq!(code(1, 1_001, now), Ok(()), "what was refused does not count");
        assert_eq!(code(1_002, 1_003, now + FORK_PAUSE / 2), Err(Code::Unavailable));
        assert_eq!(code(1_002, 1_003, now + FORK_PAUSE), Ok(()));
    }
}
