//! `linkr.v1.Feed`: one task for each edge drives a `feed::Session`. Which way an edge is let in is decided there.

use crate::Fault;
use crate::metrics::Metrics;
use crate::port::{Limit, Repository};
use crate::service::blocking;
use crate::tail::Tail;
use crate::transport::grpc::status;
use crate::writer::{Writer, unix_ms};
use ::feed::{Admission, Hello, Next, PROTOCOL, Session, admit};
use link::{Epoch, Position, Seq};
use proto::v1::{self, feed_server::Feed, follow_request, follow_response};
use proto::{change_to_wire, epoch_to_wire};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Response, Status, Streaming};

/// One page of a walk.
const PAGE: Limit = Limit { rows: 2_000, bytes: 1024 * 1024 };
/// Keys of one fetch.
const FETCH_KEYS: usize = 256;
/// How long a fetch waits for the log to reach what it asks for.
const FETCH_WAIT: Duration = Duration::from_millis(50);
/// Messages between a session and its connection; what is sent without acknowledgement is bounded by the session.
const UNDER_WAY: usize = 4;
/// An edge that takes nothing for this long is let go, and comes again when it can.
const STALL: Duration = Duration::from_secs(10);
/// For the first message of a stream.
const GREETING: Duration = Duration::from_secs(5);
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
}

/// Keeps hellos from using up the histories.
#[derive(Default)]
pub struct Forks {
    last: Mutex<Option<Instant>>,
    told: AtomicBool,
}

impl Forks {
    /// Whether an edge of the history `theirs` may make the one above it begin after `own`, now.
    fn allow(&self, own: u32, theirs: u32, now: Instant) -> Result<(), Status> {
        if theirs > own.saturating_add(FORK_JUMP) {
            if !self.told.swap(true, Ordering::Relaxed) {
                let why = "an edge names a history too far ahead: it follows another store, or lies";
                tracing::error!(own, theirs, "{why}");
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
        tokio::spawn(async move {
            let _guard = feeder.metrics.session();
            let mut stop = feeder.stop.clone();
            let mut stream = Stream { feeder: &feeder, inbound: call.into_inner(), out: out.clone() };
            let ended = tokio::select! {
                ended = stream.serve() => ended,
                _ = stop.wait_for(|&stop| stop) => Err(Status::unavailable("control is stopping")),
            };
            if let Err(status) = ended {
                let (code, why) = (status.code(), status.message());
                // Unknown is what h2 makes of a connection that ended, Cancelled what we make of a stream.
                if matches!(code, Code::Unknown | Code::Cancelled) || *feeder.stop.borrow() {
                    tracing::debug!(?code, why, "an edge has gone");
                } else {
                    tracing::info!(?code, why, "an edge's stream ended");
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
        let mut head = self.writer.head();
        let reached = head.wait_for(|head| head.seq >= request.min_seq);
        if !matches!(tokio::time::timeout(FETCH_WAIT, reached).await, Ok(Ok(_))) {
            return Err(behind(request.min_seq).into());
        }
        let keys = request.keys;
        let (head, entries) = blocking(&self.store, move |store| store.records(&keys)).await?;
        let entries = entries.into_iter().map(entry).collect();
        Ok(v1::FetchResponse { epoch: Some(epoch_to_wire(head.epoch)), as_of: head.seq, entries })
    }

    /// Lets an edge in. One that proves that this store's history was replaced (a restored backup, a copied file)
    /// makes a new history begin at once: the store belongs to this process alone, so nobody else can know better
    /// (R2). Without it such an edge would wait for ever, and others would keep what is no longer true.
    async fn admit(&self, hello: &Hello) -> Result<(Admission, Epoch), Status> {
        let applied = hello.position.map_or(0, |position| position.seq);
        let view = async || {
            let log = blocking(&self.store, move |store| store.log_view(applied)).await;
            log.map_err(|fault| status(&fault.into()))
        };
        let mut log = view().await?;
        if let Some(own) = hello.position {
            let same = own.epoch == log.head.epoch;
            let other_tag = log.tag_at_applied.is_some_and(|tag| tag != own.tag);
            let beyond = own.seq.max(hello.seen) > log.head.seq;
            if own.epoch.counter > log.head.epoch.counter || (same && (other_tag || beyond)) {
                self.forks.allow(log.head.epoch.counter, own.epoch.counter, Instant::now())?;
                tracing::warn!(
                    edge = hello.edge,
                    seq = own.seq,
                    head = log.head.seq,
                    "an edge has seen another history than this store holds: a new one begins"
                );
                self.writer.fork(own.epoch.counter).await.map_err(|fault| status(&fault))?;
                log = view().await?;
            }
        }
        Ok((admit(hello, &log), log.head.epoch))
    }
}

fn behind(seq: Seq) -> crate::port::StoreFault {
    crate::port::StoreFault::Unavailable(format!("the log has not reached {seq}"))
}

/// One stream from one edge.
struct Stream<'a> {
    feeder: &'a Feeder,
    inbound: Streaming<v1::FollowRequest>,
    out: mpsc::Sender<Result<v1::FollowResponse, Status>>,
}

/// What the edge was told who it is.
struct Course {
    id: u64,
    epoch: Epoch,
    session: Session,
    walked: Vec<u8>,
}

impl Stream<'_> {
    async fn serve(&mut self) -> Result<(), Status> {
        let first = tokio::time::timeout(GREETING, self.inbound.message()).await;
        let first = first.map_err(|_| Status::deadline_exceeded("no hello came"))??;
        let Some(follow_request::Message::Hello(hello)) = first.and_then(|first| first.message) else {
            return Err(Status::invalid_argument("the first message is not a hello"));
        };
        let mut course = self.greet(hello).await?;
        let mut tail = self.feeder.tail.head();
        loop {
            let head = *tail.borrow_and_update();
            // The tail may still be reading towards the history that the hello was answered with.
            if head.epoch.counter > course.epoch.counter {
                return Err(Status::aborted("a new history has begun: say hello again"));
            }
            let next = course.session.next(head.seq);
            tokio::select! {
                message = self.inbound.message() => match message? {
                    None => return Ok(()),
                    Some(message) => self.heard(&mut course, message).await?,
                },
                _ = tail.changed(), if next == Next::Nothing => {}
                () = std::future::ready(()), if next != Next::Nothing => self.advance(&mut course, next).await?,
            }
        }
    }

    async fn greet(&mut self, hello: v1::Hello) -> Result<Course, Status> {
        if hello.protocol != PROTOCOL {
            let text = format!("this control speaks protocol {PROTOCOL}, not {}", hello.protocol);
            return Err(Status::failed_precondition(text));
        }
        let hello = parsed(hello);
        let (admission, epoch) = self.feeder.admit(&hello).await?;
        let id = crate::random::u64();
        let wire_epoch = Some(epoch_to_wire(epoch));
        tracing::info!(edge = hello.edge, ?admission, "an edge says hello");
        let (message, session, walked) = match (admission, hello.position) {
            (Admission::Resume { fork_seq, walk }, Some(own)) => {
                let fork_seq = fork_seq.unwrap_or(0);
                let resume = v1::Resume { session: id, epoch: wire_epoch, fork_seq, walk };
                let session = Session::new(own.seq, walk);
                (follow_response::Message::Resume(resume), session, hello.walk_after)
            }
            (Admission::Reset { start }, _) => {
                let reset = v1::Reset { session: id, epoch: wire_epoch, start: start.seq, tag: start.tag };
                (follow_response::Message::Reset(reset), Session::new(start.seq, true), Vec::new())
            }
            (Admission::Behind | Admission::Resume { .. }, _) => {
                return Err(Status::unavailable("this control's log is older than what the edge has seen"));
            }
        };
        self.send(message).await?;
        Ok(Course { id, epoch, session, walked })
    }

    async fn heard(&mut self, course: &mut Course, message: v1::FollowRequest) -> Result<(), Status> {
        match message.message {
            Some(follow_request::Message::Hello(hello)) => {
                *course = self.greet(hello).await?;
                Ok(())
            }
            Some(follow_request::Message::Applied(applied)) => course
                .session
                .acked(applied.seq, applied.page)
                .map_err(|_| Status::invalid_argument("acknowledges what was never sent")),
            // R9 asks for a head from a read that began after the ping arrived. This process is the only writer of
            // its store, and the writer publishes a commit's head before it acknowledges that commit to anybody: so
            // every write acknowledged before now is at or below the number read here.
            Some(follow_request::Message::Ping(ping)) => {
                let head = self.feeder.writer.head().borrow().seq;
                let pong = v1::Pong { id: ping.id, head, session: course.id, unix_ms: unix_ms() };
                self.send(follow_response::Message::Pong(pong)).await
            }
            None => Ok(()), // of a newer edge
        }
    }

    async fn advance(&mut self, course: &mut Course, next: Next) -> Result<(), Status> {
        let epoch = Some(epoch_to_wire(course.epoch));
        let store_fault = |fault| status(&Fault::Store(fault));
        match next {
            Next::Nothing => Ok(()),
            Next::Changes { after } => {
                let changes = self.feeder.tail.changes(after).await.map_err(store_fault)?;
                let Some(last) = changes.last().map(|change| change.seq) else {
                    return Err(status(&behind(after + 1).into()));
                };
                if changes[0].seq != after + 1 {
                    return Err(Status::data_loss("the log has a hole"));
                }
                let changes = changes.iter().map(change_to_wire).collect();
                let batch = v1::Batch { session: course.id, epoch, prev_seq: after, changes };
                self.send(follow_response::Message::Batch(batch)).await?;
                course.session.sent_changes(last);
                Ok(())
            }
            Next::Page { number } => {
                let after = std::mem::take(&mut course.walked);
                let page = blocking(&self.feeder.store, move |store| store.walk(&after, PAGE));
                let page = page.await.map_err(store_fault)?;
                if page.head.epoch != course.epoch {
                    return Err(Status::aborted("a new history has begun: say hello again"));
                }
                course.walked = page.entries.last().map(|entry| entry.key.to_vec()).unwrap_or_default();
                let message = v1::Page {
                    session: course.id,
                    epoch,
                    number,
                    as_of: page.head.seq,
                    entries: page.entries.into_iter().map(entry).collect(),
                    last: !page.more,
                };
                self.send(follow_response::Message::Page(message)).await?;
                course.session.sent_page(!page.more);
                Ok(())
            }
        }
    }

    async fn send(&self, message: follow_response::Message) -> Result<(), Status> {
        let message = v1::FollowResponse { message: Some(message) };
        match self.out.send_timeout(Ok(message), STALL).await {
            Ok(()) => Ok(()),
            Err(mpsc::error::SendTimeoutError::Closed(_)) => Err(Status::cancelled("the edge has gone")),
            Err(mpsc::error::SendTimeoutError::Timeout(_)) => {
                Err(Status::resource_exhausted("the edge takes nothing any more"))
            }
        }
    }
}

fn parsed(hello: v1::Hello) -> Hello {
    let position = hello.epoch.map(|epoch| Position {
        epoch: Epoch { counter: epoch.counter, random: epoch.random },
        seq: hello.applied,
        tag: hello.tag,
    });
    Hello {
        edge: hello.edge,
        incarnation: hello.incarnation,
        position,
        seen: hello.seen,
        want_walk: hello.want_walk,
        walk_after: hello.walk_after.into(),
    }
}

fn entry(entry: ::feed::Entry) -> v1::Entry {
    v1::Entry { key: entry.key, record: entry.record }
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
