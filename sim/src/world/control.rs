//! Two control processes over one database: what they do with hellos, streams, questions and Redis.

use super::World;
use crate::database::WalkPage;
use crate::messages::{DownMessage, UpMessage};
use crate::plan::{EDGES, Fault};
use crate::redis::SHARD;
use bytes::Bytes;
use feed::edges::Arrival;
use feed::relay::{CopyPosition, Offer, Relay, RelayStep, Script, ScriptOutcome};
use feed::{
    Admission, Event, HeadReads, Hello, LogView, NextMessage, Session, admit, proves_another_history,
};
use link::rule::{Rule, off};
use link::{Epoch, Position, Seq};

/// Changes of a batch and entries of a page.
const BATCH: u64 = 4;
const PAGE: usize = 2;
/// How far behind a replica may be that answers questions.
const REPLICA_LAG_MS: u64 = 400;

/// One process.
#[derive(Debug)]
pub struct Control {
    /// It runs.
    pub up: bool,
    /// It has a connection to the database, and has compared histories on it.
    pub attached: bool,
    /// The history and seq it knew last; nothing after a start.
    pub memory: Option<(usize, Seq)>,
    /// How far its tail has read.
    pub tail: (usize, Seq),
    /// By edge.
    pub streams: Vec<Option<Stream>>,
    reads: HeadReads,
    /// The reading of the log's head that is under way, and what it saw.
    reading: Option<(u64, Position)>,
    relay: Relay,
    script: Option<Script>,
    offers: Vec<Offer>,
}

/// One stream to one edge.
#[derive(Debug)]
pub struct Stream {
    id: u64,
    connection: u64,
    epoch: Epoch,
    session: Session,
    walked: Vec<u8>,
    /// The edge's number among those that writes wait for (R10).
    number: u64,
    /// A ping that is not answered, and the reading of the head that may answer it.
    asked: Option<(u64, u64)>,
}

/// A write whose acknowledgement waits for edges.
#[derive(Clone, Copy, Debug)]
pub struct PendingWrite {
    /// Which.
    pub commit: u32,
    /// Since when.
    pub since: u64,
}

impl Control {
    /// One that has just started.
    pub fn new() -> Self {
        Self {
            up: true,
            attached: false,
            memory: None,
            tail: (0, 0),
            streams: (0..EDGES).map(|_| None).collect(),
            reads: HeadReads::default(),
            reading: None,
            relay: Relay::new(SHARD),
            script: None,
            offers: Vec::new(),
        }
    }
}

impl World {
    /// R2: a new connection to the database. What this process knew is compared with what is there.
    pub fn attach(&mut self, c: usize) {
        let now = self.store.now();
        if let Some((branch, seq)) = self.controls[c].memory {
            let own = &self.store.branches[branch];
            let (theirs, counter) = (now.epoch.counter, own.epoch.counter);
            let other = now.tag(seq) != own.tag(seq);
            if (other && !off(Rule::HolderTag)) || counter > theirs {
                let confirmed = now.shared(own).min(seq);
                self.fork(c, confirmed, counter);
            }
        } else if self.redis.up {
            // A start: Redis may know better than this process.
            self.attach_relay(c);
            self.controls[c].relay = Relay::new(SHARD);
        }
        let head = self.store.now().head().seq;
        let control = &mut self.controls[c];
        (control.attached, control.memory) = (true, Some((self.store.current, head)));
        control.tail = (self.store.current, head);
    }

    /// R2: a new history begins, and both processes hear of it when they look next.
    pub fn fork(&mut self, c: usize, confirmed: Seq, counter: u32) {
        // A history that went on under its old name after a restore: nobody can say what its edges share with it.
        let fork_seq = if self.suspect { 0 } else { confirmed };
        self.suspect = false;
        self.store.fork(&mut self.rng, fork_seq, counter);
        self.counters.forks += 1;
        let head = self.store.now().head().seq;
        self.controls[c].memory = Some((self.store.current, head));
        self.note(|w| {
            format!("control {c} begins history {:?}, fork {fork_seq}, head {head}", w.store.now().epoch)
        });
    }

    /// Somebody begins a new history by hand; nothing is lost.
    pub fn bump(&mut self, c: usize) {
        let control = &self.controls[c];
        if control.attached && control.memory.is_some_and(|(branch, _)| branch == self.store.current) {
            let head = self.store.now().head().seq;
            self.fork(c, head, 0);
        }
    }

    /// R3: reads the log on. Streams of another history end.
    pub fn tail(&mut self, c: usize) {
        if !self.controls[c].attached {
            return;
        }
        let (current, now) = (self.store.current, self.store.now());
        let (head, epoch) = (now.head().seq, now.epoch);
        let control = &mut self.controls[c];
        control.tail = (current, head);
        control.memory = Some((current, head));
        for e in 0..EDGES {
            if control.streams[e].as_ref().is_some_and(|stream| stream.epoch != epoch) {
                control.streams[e] = None;
                self.edges[e].close(c);
            }
        }
    }

    /// Hears one message of an edge.
    pub fn hear(&mut self, e: usize, at: usize) {
        let c = self.edges[e].link.control;
        let Some((connection, message)) = self.edges[e].link.up.remove(at) else { return };
        if !self.controls[c].up {
            self.edges[e].close(c);
            return;
        }
        let same = |stream: &Stream| stream.connection == connection;
        let known = self.controls[c].streams[e].as_ref().is_some_and(same);
        match message {
            UpMessage::Hello(hello) => self.greet(c, e, connection, &hello),
            UpMessage::Applied { seq, page } if known => {
                let Some(stream) = &mut self.controls[c].streams[e] else { return };
                if stream.session.acked(seq, page).is_err() {
                    self.controls[c].streams[e] = None;
                    self.edges[e].close(c);
                } else {
                    self.known.applied(stream.number, stream.id, seq);
                }
            }
            UpMessage::Ping(id) if known => {
                let control = &mut self.controls[c];
                let Some(stream) = &mut control.streams[e] else { return };
                stream.asked = Some((id, control.reads.wanted()));
                if self.rng.percent(50) {
                    (0..2).for_each(|_| self.read_head(c));
                }
            }
            _ => {}
        }
    }

    /// The log as a hello finds it; another history has begun before if the hello proves that it has to (R2).
    pub fn look_for(&mut self, c: usize, hello: &Hello) -> LogView {
        let applied = hello.position.map_or(0, |position| position.seq);
        let mut log = self.store.view(applied);
        // A process may read from a replica that is behind; it has compared histories, and knows that nothing is lost.
        let (branch, tail) = self.controls[c].tail;
        let late = self.faults.has(Fault::Lag) && c == 1 && branch == self.store.current && !self.suspect;
        if late && tail < log.head.seq {
            log.head = Position { seq: tail, tag: self.store.now().tag(tail).unwrap_or(0), ..log.head };
            log.tag_at_applied = log.tag_at_applied.filter(|_| applied <= tail);
            return log;
        }
        let proven = hello.proven(|proof| self.store.prove(proof.position) == *proof);
        let view = |own: &Position| self.store.view(own.seq);
        if let Some(own) = proven.filter(|own| proves_another_history(*own, &view(own))) {
            let same = view(&own).tag_at_applied == Some(own.tag);
            self.judge_proof(own);
            self.fork(c, if same { own.seq } else { 0 }, own.epoch.counter);
            log = self.store.view(applied);
        }
        log
    }

    /// The process of an edge has given its last answer, and says so if its stream is up.
    pub fn goodbye(&mut self, e: usize) {
        let c = self.edges[e].link.control;
        let Some(stream) = self.controls[c].streams[e].take() else { return };
        let gone = self.known.goodbye(stream.number, stream.id).is_some();
        self.counters.goodbyes += u64::from(gone);
        self.note(|_| format!("edge {e} says goodbye"));
    }

    fn greet(&mut self, c: usize, e: usize, connection: u64, hello: &Hello) {
        if !self.controls[c].attached {
            self.edges[e].close(c);
            return;
        }
        let applied = hello.position.map_or(0, |position| position.seq);
        let log = self.look_for(c, hello);
        let (id, number) = (self.rng.next(), hello.number);
        let (epoch, branch) = (log.head.epoch, self.store.current);
        let (event, session, walked) = match (admit(hello, &log), hello.position) {
            (Admission::Resume { fork_seq, walk }, Some(own)) => {
                if fork_seq.is_none() {
                    self.edges[e].branch = branch; // proved to be the same up to here
                }
                let event = Event::Resume {
                    session: id,
                    hello: number,
                    epoch,
                    fork_seq: fork_seq.unwrap_or(0),
                    walk,
                };
                (event, Session::new(own.seq, walk), hello.walk_after.clone())
            }
            (Admission::Reset { start }, _) => (
                Event::Reset { session: id, hello: number, start },
                Session::new(start.seq, true),
                Vec::new(),
            ),
            _ => {
                self.counters.behind += 1;
                self.edges[e].close(c);
                return;
            }
        };
        self.note(|_| {
            format!("control {c} greets edge {e} at {:?} seen {}: {event:?}", hello.position, hello.seen)
        });
        // A resume proves what was applied.
        let applied = matches!(event, Event::Resume { .. }).then_some(applied);
        let (who, at) = ((&*hello.edge, hello.incarnation), (epoch, applied));
        let Some((number, _)) = self.known.join(who, id, at, self.now) else { return };
        self.controls[c].streams[e] =
            Some(Stream { id, connection, epoch, session, walked, number, asked: None });
        let proof = Some(self.store.prove(log.head));
        self.edges[e].link.down.push_back(DownMessage { event, branch, proof });
    }

    /// R9: a reading of the head begins, or the one under way ends, and answers whom it may.
    pub fn read_head(&mut self, c: usize) {
        let head = self.store.now().head();
        let control = &mut self.controls[c];
        if !control.up || !control.attached {
            return;
        }
        let Some((reading, saw)) = control.reading.take() else {
            control.reading = control.reads.begin().map(|number| (number, head));
            return;
        };
        control.reads.end();
        for e in 0..EDGES {
            let Some(stream) = &mut control.streams[e] else { continue };
            let Some((id, _)) = stream.asked.take_if(|(_, wanted)| *wanted <= reading) else { continue };
            // R10: noted before it is answered. Whoever was given up for lost says hello again.
            if stream.epoch != saw.epoch || !self.known.pong(stream.number, self.now) {
                control.streams[e] = None;
                self.edges[e].close(c);
                continue;
            }
            let event = Event::Pong { session: stream.id, id, head: saw.seq };
            self.edges[e].link.down.push_back(DownMessage { event, branch: self.store.current, proof: None });
        }
    }

    /// Sends what a stream wants to send next.
    pub fn send(&mut self, c: usize, e: usize) {
        let control = &mut self.controls[c];
        let (branch, seq) = control.tail;
        let epoch = self.store.branches[branch].epoch;
        let Some(stream) = control.streams[e].as_mut().filter(|stream| stream.epoch == epoch) else { return };
        match stream.session.next(seq) {
            NextMessage::Nothing => {}
            NextMessage::Changes { after } => {
                let rows = &self.store.branches[branch].rows;
                let last = seq.min(after + self.rng.between(1, BATCH));
                let changes: Vec<_> =
                    rows[after as usize..last as usize].iter().map(|row| row.change.clone()).collect();
                stream.session.sent_changes(last);
                let tag = changes.last().map_or(0, |change| change.tag);
                let proof = Some(self.store.prove(Position { epoch, seq: last, tag }));
                let event = Event::Batch { session: stream.id, epoch, prev_seq: after, changes };
                self.edges[e].link.down.push_back(DownMessage { event, branch, proof });
            }
            NextMessage::Page { number } => {
                if !control.attached || self.store.now().epoch != epoch {
                    return;
                }
                let WalkPage { head, entries, more } = self.store.walk(&stream.walked, PAGE);
                stream.walked = entries.last().map(|entry| entry.key.to_vec()).unwrap_or_default();
                stream.session.sent_page(!more);
                let (session, as_of) = (stream.id, head.seq);
                let event = Event::Page { session, epoch, number, as_of, entries, last: !more };
                let proof = Some(self.store.prove(head));
                self.edges[e].link.down.push_back(DownMessage { event, branch: self.store.current, proof });
            }
        }
    }

    /// Answers a question, or leaves it where it is; `false`: it will never be answered.
    pub fn answer(&mut self, number: usize) -> bool {
        let fetch = &self.fetches[number];
        let c = self.edges[fetch.edge].link.control;
        let control = &self.controls[c];
        if !control.up || !control.attached || self.edges[fetch.edge].unproved {
            return false;
        }
        let now = self.store.now();
        let head = now.head();
        if head.seq < fetch.min_seq {
            return false;
        }
        // A replica may answer that is a little behind, but never behind what was acknowledged as propagated.
        let recent = now.rows.iter().rev().take_while(|row| {
            let commit = self.store.commits.get(row.commit as usize);
            row.change.seq > fetch.min_seq.max(now.began)
                && commit.is_none_or(|c| c.acked + REPLICA_LAG_MS > self.now && c.propagated.is_none())
        });
        let least = head.seq - recent.count() as Seq;
        let seq = if self.faults.has(Fault::Lag) && !fetch.primary {
            self.rng.between(least, head.seq)
        } else {
            head.seq
        };
        let record = |&key: &usize| match now.at(key, seq).seq {
            0 => Bytes::new(),
            made => now.rows[made as usize - 1].change.record.clone(),
        };
        let records: Vec<_> = fetch.keys.iter().map(record).collect();
        let (key, record) = (fetch.keys[0], records[0].clone());
        let at = Position { epoch: head.epoch, seq, tag: now.tag(seq).unwrap_or(0) };
        self.fetches[number].answer = Some((self.store.prove(at), records));
        self.offer(c, head.epoch, seq, key, &record);
        true
    }

    fn offer(&mut self, c: usize, epoch: Epoch, seq: Seq, key: usize, record: &Bytes) {
        let control = &mut self.controls[c];
        let Some(copied) = control.relay.at().filter(|copied| copied.at.epoch == epoch) else { return };
        if !record.is_empty() && control.offers.len() < 4 {
            control.offers.push(Offer::new(SHARD, copied, seq, self.store.name(key), record));
        }
    }

    /// One thing between this process and Redis.
    pub fn relay(&mut self, c: usize) {
        if !self.redis.up || !self.controls[c].up || self.now < self.relays_stalled_until {
            return;
        }
        if let Some(script) = self.controls[c].script.take() {
            let moved = self.redis.run(&script);
            self.redis.unproved &= !moved;
            self.counters.redis_refused += u64::from(!moved);
            let ran = if self.faults.has(Fault::Redis) && self.rng.percent(10) {
                ScriptOutcome::Unknown
            } else if moved {
                ScriptOutcome::Moved
            } else {
                ScriptOutcome::Refused
            };
            self.controls[c].relay.ran(&script, ran);
            return;
        }
        if !self.controls[c].offers.is_empty() && self.rng.percent(50) {
            let offer = self.controls[c].offers.remove(0);
            self.counters.redis_offers += u64::from(self.redis.take(&offer));
            return;
        }
        if !self.controls[c].attached {
            return;
        }
        let script = match self.controls[c].relay.at() {
            None => self.attach_relay(c),
            Some(CopyPosition { at, .. }) => self.carry(c, at),
        };
        self.controls[c].script = script;
    }

    fn attach_relay(&mut self, c: usize) -> Option<Script> {
        let stored = self.redis.position().cloned();
        let copied = stored.as_deref().and_then(CopyPosition::decode);
        let log = self.store.view(copied.map_or(0, |copied| copied.at.seq));
        let copy = self.rng.next();
        match self.controls[c].relay.attach(stored.as_deref(), &log, copy) {
            RelayStep::Follow => {
                self.redis.unproved = false;
                None
            }
            RelayStep::StartOver(script) => {
                self.counters.redis_starts += 1;
                Some(script)
            }
            RelayStep::Replaced | RelayStep::Behind => {
                self.fork(c, 0, copied.map_or(0, |copied| copied.at.epoch.counter));
                None
            }
        }
    }

    fn carry(&mut self, c: usize, at: Position) -> Option<Script> {
        let now = self.store.now();
        let head = now.head();
        // This relay's own history may not be there any more: then it looks again.
        if head.epoch != at.epoch || head.seq < at.seq || now.oldest > at.seq + 1 {
            self.controls[c].relay = Relay::new(SHARD);
            return None;
        }
        let last = head.seq.min(at.seq + self.rng.between(1, BATCH));
        let rows = &now.rows[at.seq as usize..last as usize];
        let changes: Vec<_> = rows.iter().map(|row| row.change.clone()).collect();
        let end = Position { epoch: head.epoch, seq: last, tag: now.tag(last).unwrap_or(0) };
        self.controls[c].relay.carry(end, &changes)
    }

    /// R10: ends the wait of writes that every edge has applied which is not blind.
    pub fn acknowledge(&mut self) {
        let now = self.now;
        self.known.clean(now);
        for PendingWrite { commit, since } in std::mem::take(&mut self.waiting) {
            let written = self.store.commits[commit as usize];
            let epoch = self.store.branches[written.branch].epoch;
            let Arrival::Done(judged) = self.known.arrival(epoch, written.seq, since, now) else {
                self.waiting.push(PendingWrite { commit, since });
                continue;
            };
            let partial = !judged.blind.is_empty() || !judged.waiting.is_empty();
            self.counters.partial += u64::from(partial);
            self.counters.propagated += u64::from(!partial);
            let mut blind = [0; EDGES];
            for row in judged.blind.iter().chain(&judged.waiting).filter_map(|number| self.known.get(*number))
            {
                // The liar is no edge of ours.
                let Some(e) = (0..EDGES).find(|e| row.edge == format!("e{e}")) else { continue };
                blind[e] = row.incarnation.max(blind[e]);
            }
            let commit_of = &mut self.store.commits[commit as usize];
            (commit_of.propagated, commit_of.blind) = (Some(now), blind);
            self.note(|_| format!("write {commit} is acknowledged as propagated"));
        }
    }
}
