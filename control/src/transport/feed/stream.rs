//! One stream of one edge: drives a `feed::Session`. Which way the edge is let in was decided before.

mod admitted;

use super::{behind, refused};
use crate::asks::{Ask, AskPlace};
use crate::follow::{Feeder, HELLOS};
use crate::sessions::Pong;
use crate::transport::status::status;
use ::feed::{Admission, Hello, NextMessage, PROTOCOL, Session};
use admitted::{AdmittedStream, Permits, SentPart};
use link::{ChangeKind, Epoch, Key, Position, Seq};
use proto::v1::{self, follow_request, follow_response};
use proto::{change_to_wire, epoch_to_wire, proof_to_wire};
use record::Features;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use store::clock::unix_ms;
use store::model::{DomainRow, StoreFault};
use store::port::Limit;
use store::port::domains::DomainRows;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tonic::{Status, Streaming};

/// One page of a walk.
const PAGE: Limit = Limit { rows: 2_000, bytes: 1024 * 1024 };
/// An edge that takes nothing for this long is let go, and comes again when it can.
const STALL: Duration = Duration::from_secs(10);
/// For the first message of a stream.
const GREETING: Duration = Duration::from_secs(5);
/// Pings of one stream that wait: the oldest is forgotten.
const PINGS: usize = 8;
/// No seq is so high: a million changes a second for nine years.
const SEQ_END: Seq = 1 << 48;
/// Bytes of an edge's name.
const NAME: usize = 255;

/// One stream from one edge.
pub struct Stream<'a> {
    feeder: &'a Feeder,
    /// The only edge that may speak here, if its key or certificate says so.
    edge: Option<Arc<str>>,
    /// As it calls itself in its hello.
    name: Option<String>,
    inbound: Streaming<v1::FollowRequest>,
    out: mpsc::Sender<Result<v1::FollowResponse, Status>>,
}

impl<'a> Stream<'a> {
    pub fn new(
        feeder: &'a Feeder,
        edge: Option<Arc<str>>,
        inbound: Streaming<v1::FollowRequest>,
        out: mpsc::Sender<Result<v1::FollowResponse, Status>>,
    ) -> Self {
        Self { feeder, edge, name: None, inbound, out }
    }

    /// The edge, as far as it is known.
    pub fn named(&self) -> Option<&str> {
        self.name.as_deref().or(self.edge.as_deref())
    }

    /// Serves it to its end.
    pub async fn serve(&mut self) -> Result<(), Status> {
        let first = tokio::time::timeout(GREETING, self.inbound.message()).await;
        let first = first.map_err(|_| Status::deadline_exceeded("no hello came"))??;
        let Some(follow_request::Message::Hello(hello)) = first.and_then(|first| first.message) else {
            return Err(Status::invalid_argument("the first message is not a hello"));
        };
        let mut keys = self.feeder.day_keys.known();
        let mut course = self.greet(hello).await?;
        let mut tail = self.feeder.tail.head();
        let mut written = self.feeder.sessions.written();
        let mut read = self.feeder.heads.as_ref().map(|heads| heads.read());
        loop {
            let head = *tail.borrow_and_update();
            // The tail may still be reading towards the history that the hello was answered with.
            if head.epoch.counter > course.epoch.counter {
                return Err(replaced());
            }
            // Until then its numbers mean nothing in this one.
            let next = course.session.next(if head.epoch == course.epoch { head.seq } else { 0 });
            let from_store = match next {
                NextMessage::Nothing => false,
                NextMessage::Changes { after } => !self.feeder.tail.holds(course.epoch, after),
                NextMessage::Page { .. } => true,
            };
            if next == NextMessage::Nothing {
                course.turn = None; // others wait for it
            } else if from_store && course.turn.is_none() {
                let (own, all) = (course.share.parts.clone(), self.feeder.turns.parts.clone());
                course.turn =
                    Some(Box::pin(
                        async move { Ok((own.acquire_owned().await?, all.acquire_owned().await?)) },
                    ));
            }
            let stalled = (!course.parts.is_empty()).then(|| course.progress + STALL);
            tokio::select! {
                message = self.inbound.message() => match message? {
                    None => return Ok(()),
                    Some(v1::FollowRequest { message: Some(follow_request::Message::Leave(leave)) }) => {
                        self.left(&course, &leave);
                        return Ok(());
                    }
                    Some(message) => self.heard(&mut course, message).await?,
                },
                _ = tail.changed(), if next == NextMessage::Nothing || from_store => {}
                turn = or_never(course.turn.as_mut()), if from_store => {
                    course.turn = None;
                    self.advance(&mut course, next, turn.ok()).await?;
                }
                () = std::future::ready(()), if next != NextMessage::Nothing && !from_store => {
                    self.advance(&mut course, next, None).await?;
                }
                _ = keys.changed() => self.tell_day_keys(course.knows).await?,
                ask = or_never(asked(&mut course.asks)) => self.ask(&mut course, ask).await?,
                _ = written.changed(), if !course.asked.is_empty() => self.pong(&mut course).await?,
                _ = or_never(read.as_mut().map(watch::Receiver::changed)), if !course.asked.is_empty() => {
                    self.pong(&mut course).await?;
                }
                () = or_never(stalled.map(tokio::time::sleep_until)) => return Err(stall()),
            }
        }
    }

    async fn greet(&mut self, hello: v1::Hello) -> Result<AdmittedStream, Status> {
        let edge = self.edge.as_deref().unwrap_or(&hello.edge);
        if !self.feeder.turns.hello(edge).await {
            return Err(Status::resource_exhausted(format!(
                "edge {edge} says hello more than {} times a second, on all its streams: say it again later",
                HELLOS.0,
            )));
        }
        if hello.protocol != PROTOCOL {
            let text = format!("this control speaks protocol {PROTOCOL}, not {}", hello.protocol);
            return Err(Status::failed_precondition(text));
        }
        let (knows, explains) = (Features(hello.features), hello.explains);
        let hello = parsed(hello);
        if !is_name(&hello.edge) {
            return Err(Status::invalid_argument(
                "the edge's name is not 1 to 255 bytes without control characters and without a space at its ends: start \
                 the edge with another --name",
            ));
        }
        self.name = Some(hello.edge.clone());
        let proven = hello.proof.map_or(0, |proof| proof.position.seq);
        if hello.position.map_or(0, |own| own.seq).max(hello.seen).max(proven) >= SEQ_END {
            return Err(Status::invalid_argument("the hello names a seq that no log reaches"));
        }
        if hello.walk_after.len() > Key::MAX_LEN {
            return Err(Status::invalid_argument("the hello names a key that no link has"));
        }
        if let Some(own) = self.edge.as_deref().filter(|own| *own != hello.edge) {
            return Err(Status::permission_denied(format!(
                "this key or certificate is that of edge {own}: start the edge with --name {own}, or give it one of its own"
            )));
        }
        let share = self.feeder.turns.of(&hello.edge);
        let own_turn = share.reads.acquire().await;
        let place = self.feeder.place(&hello.edge, knows).await.map_err(failed)?;
        let place = place.map_err(|lacks| too_old(&hello.edge, lacks))?;
        let (admission, head) = self.feeder.admit(&hello).await.map_err(|refusal| refused(&refusal))?;
        let admission = self.without_ends(admission, &hello, knows, head).await.map_err(failed)?;
        let epoch = head.epoch;
        let (id, number) = (store::random::u64(), hello.number);
        let wire_epoch = Some(epoch_to_wire(epoch));
        let way = match admission {
            Admission::Resume { .. } => "resume",
            Admission::Reset { .. } => "reset",
            Admission::Behind => "behind",
        };
        let applied = hello.position.map(|position| position.seq);
        if let Some(untold) = self.feeder.lines.tell() {
            tracing::info!(
                name: "edge_hello", edge = hello.edge, way, applied, untold,
                "an edge says hello (way reset: it is sent all links, as at a first start)"
            );
        }
        let (message, session, walked, applied) = match (admission, hello.position) {
            (Admission::Resume { fork_seq, walk }, Some(own)) => {
                let fork_seq = fork_seq.unwrap_or(0);
                let proof = Some(proof_to_wire(&self.feeder.proof(head)));
                let resume =
                    v1::Resume { session: id, epoch: wire_epoch, fork_seq, walk, hello: number, proof };
                let session = Session::new(own.seq, walk);
                (follow_response::Message::Resume(resume), session, hello.walk_after, Some(own.seq))
            }
            (Admission::Reset { start }, _) => {
                let (read, domains) = self.feeder.read(DomainRows::domains).await.map_err(failed)?;
                if read.epoch != epoch {
                    return Err(replaced());
                }
                for domain in &domains {
                    self.understood(&hello.edge, knows, Features::of_domain(&domain.rules))?;
                }
                // The default one as it always is needs no entry.
                let written = domains.iter().filter(|domain| domain.version > 0);
                let reset = v1::Reset {
                    session: id,
                    epoch: wire_epoch,
                    start: start.seq,
                    tag: start.tag,
                    hello: number,
                    domains: written.map(domain).collect(),
                    domains_as_of: read.seq,
                    proof: Some(proof_to_wire(&self.feeder.proof(read))),
                };
                // It goes on as before until the reset arrives: what it has applied is known when it says so.
                (follow_response::Message::Reset(reset), Session::new(start.seq, true), Vec::new(), None)
            }
            (Admission::Behind | Admission::Resume { .. }, _) => {
                return Err(Status::unavailable(
                    "this control's log does not hold what the edge says it has seen, and the edge shows no proof of it",
                ));
            }
        };
        drop(own_turn);
        let membership = self.feeder.sessions.join((&hello.edge, hello.incarnation), id, (epoch, applied));
        let membership = membership.ok_or_else(|| {
            Status::resource_exhausted(
                "too many processes of this edge are known, or too many edges: say hello again later",
            )
        })?;
        self.send(message).await?;
        self.tell_day_keys(knows).await?;
        Ok(AdmittedStream {
            id,
            epoch,
            session,
            walked,
            membership,
            _place: place,
            knows,
            asked: Vec::new(),
            explaining: VecDeque::new(),
            asks: explains.then(|| self.feeder.asks.enter(&hello.edge, id)),
            asked_ever: 0,
            turn: None,
            share,
            who: (hello.edge, hello.incarnation),
            parts: Vec::new(),
            progress: Instant::now(),
        })
    }

    /// The same for an edge that does not know that a domain can be deleted: where it would come upon that in the log, it
    /// begins again, since a reset tells which domains there are.
    async fn without_ends(
        &self,
        admission: Admission,
        hello: &Hello,
        knows: Features,
        head: Position,
    ) -> Result<Admission, StoreFault> {
        let Admission::Resume { .. } = admission else { return Ok(admission) };
        if (knows & Features::DOMAINS_GO).any() {
            return Ok(admission);
        }
        let gone = self.feeder.read(DomainRows::last_domain_gone).await?;
        let behind = hello.position.is_some_and(|own| gone > own.seq);
        Ok(if behind { Admission::Reset { start: head } } else { admission })
    }

    /// An edge that knows what `stats` of a domain are counts clicks, and takes the message; one from before ends its stream.
    async fn tell_day_keys(&self, knows: Features) -> Result<(), Status> {
        if !(knows & Features::STATS).any() {
            return Ok(());
        }
        let known = self.feeder.day_keys.known().borrow().clone();
        for key in known.iter() {
            let key = v1::DayKey { day: key.day, key: key.key.to_vec().into() };
            self.send(follow_response::Message::DayKey(key)).await?;
        }
        Ok(())
    }

    fn left(&self, course: &AdmittedStream, leave: &v1::Leave) {
        let edge = &course.who.0;
        if !course.membership.goodbye() {
            return;
        }
        if !leave.clicks_pending {
            self.feeder.horizon.left(edge, course.who.1);
        }
        if let Some(untold) = self.feeder.lines.tell() {
            tracing::info!(name: "edge_goodbye", edge, untold, "an edge says goodbye");
        }
    }

    async fn heard(&mut self, course: &mut AdmittedStream, message: v1::FollowRequest) -> Result<(), Status> {
        match message.message {
            Some(follow_request::Message::Hello(hello)) => {
                // Its place would be left behind, and waited for as if it had crashed.
                if (&hello.edge, hello.incarnation) != (&course.who.0, course.who.1) {
                    return Err(Status::invalid_argument(format!(
                        "this stream is that of edge {}, process {:016x}: another one says hello on a stream of its own",
                        course.who.0, course.who.1,
                    )));
                }
                *course = self.greet(hello).await?;
                Ok(())
            }
            Some(follow_request::Message::Applied(applied)) => {
                let good = course.session.acked(applied.seq, applied.page);
                good.map_err(|_| Status::invalid_argument("acknowledges what was never sent"))?;
                course.acknowledged(&applied);
                Ok(())
            }
            Some(follow_request::Message::Ping(ping)) => {
                let (edge, process) = &course.who;
                self.feeder.horizon.heard(edge, *process, ping.clicks_until, std::time::Instant::now());
                if let Some(traces) = &self.feeder.metrics.traces {
                    traces.kept_by_edge(ping.kept_traces.iter().map(|id| &id[..]));
                }
                self.feeder.reports.heard(edge, *process, &ping.report);
                course.asked.push((ping.id, None));
                if course.asked.len() > PINGS {
                    course.asked.remove(0);
                }
                self.pong(course).await
            }
            Some(follow_request::Message::Explained(told)) => {
                course.explained(told);
                Ok(())
            }
            Some(follow_request::Message::Leave(_)) | None => Ok(()), // heard before, or of a newer edge
        }
    }

    /// Passes a question on to the edge; `None`: nobody can ask any more, which does not happen while the place is held.
    async fn ask(&mut self, course: &mut AdmittedStream, ask: Option<Ask>) -> Result<(), Status> {
        let Some(Ask { explain, answer }) = ask else { return Ok(()) };
        let id = course.explains(answer);
        self.send(follow_response::Message::Explain(v1::Explain { id, ..explain })).await
    }

    /// Answers the latest ping that can be, once the edge is known on disk (R10).
    ///
    /// R9 asks for a head from a read that began after the ping arrived. Where this process is the only writer of its
    /// store, the writer publishes a commit's head before it acknowledges that commit to anybody: so every write
    /// acknowledged before now is at or below the number read here. Elsewhere the store is read, once the edge's row is
    /// written: who has not seen the row by then has not acknowledged anything that the reading lacks.
    async fn pong(&mut self, course: &mut AdmittedStream) -> Result<(), Status> {
        if course.asked.is_empty() {
            return Ok(());
        }
        match course.membership.pong() {
            Pong::Later => {
                course.asked.iter_mut().for_each(|(_, number)| *number = None);
                return Ok(());
            }
            Pong::Never => return Err(Status::aborted("this edge was given up for lost: say hello again")),
            Pong::Give => {}
        }
        let (upto, head) = match &self.feeder.heads {
            None => (course.asked.len(), *self.feeder.writer.head().borrow()),
            Some(heads) => {
                for (_, number) in &mut course.asked {
                    number.get_or_insert_with(|| heads.ask());
                }
                let (read, head) = *heads.read().borrow();
                (course.asked.partition_point(|(_, number)| *number <= Some(read)), head)
            }
        };
        if head.epoch.counter > course.epoch.counter {
            return Err(replaced());
        }
        if head.epoch != course.epoch {
            // Read where this history is not known yet: it says nothing of it.
            course.asked.iter_mut().for_each(|(_, number)| *number = None);
            return Ok(());
        }
        let Some((id, _)) = course.asked.drain(..upto).next_back() else { return Ok(()) };
        let pong = v1::Pong { id, head: head.seq, session: course.id, unix_ms: unix_ms() };
        self.send(follow_response::Message::Pong(pong)).await
    }

    async fn advance(
        &mut self,
        course: &mut AdmittedStream,
        next: NextMessage,
        turn: Option<Permits>,
    ) -> Result<(), Status> {
        let epoch = Some(epoch_to_wire(course.epoch));
        let share = course.share.clone();
        let own_turn = if turn.is_some() { share.reads.acquire().await.ok() } else { None };
        match next {
            NextMessage::Nothing => Ok(()),
            NextMessage::Changes { after } => {
                let read = self.feeder.tail.changes(course.epoch, after, &self.feeder.turns.reads).await;
                drop(own_turn);
                let changes = read.map_err(failed)?.ok_or_else(replaced)?;
                let Some((last, tag)) = changes.last().map(|change| (change.seq, change.tag)) else {
                    return Err(failed(behind(after + 1)));
                };
                if changes[0].seq != after + 1 {
                    return Err(Status::data_loss("the log has a hole"));
                }
                let ends = |change: &link::Change| change.kind == ChangeKind::DOMAIN_GONE;
                if !(course.knows & Features::DOMAINS_GO).any() && changes.iter().any(ends) {
                    return Err(Status::aborted(
                        "a domain was deleted, which this edge does not understand: say hello again, and begin anew; a newer \
                         linkr goes on",
                    ));
                }
                let records = changes.iter().map(|change| (change.kind, &change.record[..]));
                self.all_understood(course, records)?;
                let changes = changes.iter().map(change_to_wire).collect();
                let end = Position { epoch: course.epoch, seq: last, tag };
                let proof = Some(proof_to_wire(&self.feeder.proof(end)));
                let batch = v1::Batch { session: course.id, epoch, prev_seq: after, changes, proof };
                self.send(follow_response::Message::Batch(batch)).await?;
                course.session.sent_changes(last);
                course.under_way(SentPart::Changes(last), turn);
                Ok(())
            }
            NextMessage::Page { number } => {
                let after = std::mem::take(&mut course.walked);
                let page = self.feeder.read(move |store| store.walk(&after, PAGE)).await.map_err(failed)?;
                drop(own_turn);
                if page.head.epoch != course.epoch {
                    return Err(replaced());
                }
                let records = page.entries.iter().map(|entry| (ChangeKind::LINK, &entry.record[..]));
                self.all_understood(course, records)?;
                course.walked = page.entries.last().map(|entry| entry.key.to_vec()).unwrap_or_default();
                let message = v1::Page {
                    session: course.id,
                    epoch,
                    number,
                    as_of: page.head.seq,
                    entries: page.entries.into_iter().map(entry).collect(),
                    last: !page.more,
                    proof: Some(proof_to_wire(&self.feeder.proof(page.head))),
                };
                self.send(follow_response::Message::Page(message)).await?;
                course.session.sent_page(!page.more);
                course.under_way(SentPart::Page(number), turn);
                Ok(())
            }
        }
    }

    /// Ends the stream of an edge that does not know what a record needs: another control has written it since the edge was
    /// let in. An edge that knows all features is not looked at.
    fn all_understood<'r>(
        &self,
        course: &AdmittedStream,
        records: impl Iterator<Item = (ChangeKind, &'r [u8])>,
    ) -> Result<(), Status> {
        if !(Features::KNOWN & !course.knows).any() {
            return Ok(());
        }
        for (kind, record) in records {
            self.understood(&course.who.0, course.knows, Features::of_record(kind, record))?;
        }
        Ok(())
    }

    fn understood(&self, edge: &str, knows: Features, needed: Features) -> Result<(), Status> {
        let lacks = needed & !knows;
        if lacks.any() {
            self.feeder.sessions.gate.met(needed);
            return Err(too_old(edge, lacks));
        }
        Ok(())
    }

    async fn send(&self, message: follow_response::Message) -> Result<(), Status> {
        let message = v1::FollowResponse { message: Some(message) };
        match self.out.send_timeout(Ok(message), STALL).await {
            Ok(()) => Ok(()),
            Err(mpsc::error::SendTimeoutError::Closed(_)) => Err(Status::cancelled("the edge has gone")),
            Err(mpsc::error::SendTimeoutError::Timeout(_)) => Err(stall()),
        }
    }
}

/// One that people can tell from every other.
pub(super) fn is_name(name: &str) -> bool {
    (1..=NAME).contains(&name.len()) && name.trim() == name && !name.contains(char::is_control)
}

fn failed(fault: StoreFault) -> Status {
    status(&fault.into())
}

fn too_old(edge: &str, lacks: Features) -> Status {
    Status::failed_precondition(format!(
        "edge {edge} does not know {}, which links or domains of this store need: start a newer linkr there",
        lacks.names()
    ))
}

fn replaced() -> Status {
    Status::aborted("a new history has begun: say hello again")
}

fn stall() -> Status {
    Status::resource_exhausted("the edge takes nothing any more")
}

/// The next question, of an edge that takes some.
fn asked(asks: &mut Option<AskPlace>) -> Option<impl Future<Output = Option<Ask>>> {
    asks.as_mut().map(|place| place.inbox.recv())
}

/// Waits for what may not be there.
async fn or_never<T>(wait: Option<impl Future<Output = T>>) -> T {
    match wait {
        Some(wait) => wait.await,
        None => std::future::pending().await,
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
        number: hello.number,
        proof: proto::proof_from_wire(hello.proof.as_ref()),
    }
}

fn domain(row: &DomainRow) -> v1::Entry {
    v1::Entry { key: row.id.prefix().to_vec().into(), record: row.record() }
}

/// As it travels.
pub fn entry(entry: ::feed::Entry) -> v1::Entry {
    v1::Entry { key: entry.key, record: entry.record }
}
