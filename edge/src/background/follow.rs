//! Follows the log: drives `feed::Follower` over a gRPC stream and carries its effects out on the set.

use super::contact::Contact;
use super::explain::explained;
use super::origin::{MAX_KEYS, Origin};
use super::report::report;
use crate::clicks::Clicks;
use crate::keep::LoadedSnapshot;
use crate::records;
use crate::shared::Shared;
use crate::snapshot::{AppliedPosition, Group};
use crate::sys;
use bytes::Bytes;
use exposition::Build;
use feed::{Effect, Entry, Event, Follower, Proof};
use hot::{FillOutcome, Fork, LoadProgress, StoredValue};
use link::{Change, ChangeKind, DomainId, Epoch, Key, Position, Seq};
use proto::client::ClientFault;
use proto::v1;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use v1::follow_request::Message as Say;
use v1::follow_response::Message as Hear;

/// How often the edge asks for the head: its knowledge of its own staleness is at most this much older.
const PING: Duration = Duration::from_millis(100);
/// Kept traces that one of these names.
const KEPT_TRACES: usize = 64;
/// How often control is told what this edge says of itself.
const REPORT: Duration = Duration::from_secs(5);
/// Questions of control that are answered at once.
const EXPLAINING: usize = 4;
/// Pause before a stream is opened again; the first attempt has none.
const FIRST_BACKOFF: Duration = Duration::from_millis(20);
const LONGEST_BACKOFF: Duration = Duration::from_secs(1);
/// A walk that did not end with a complete set is begun anew at most this often.
const WALK_AGAIN: Duration = Duration::from_secs(600);
/// Of many changes or entries, those that are carried out before others of this core have a turn: a worker that has just
/// had one would otherwise wait for the end of this thread's.
const AT_ONCE: usize = 32;

/// Who this edge is for control.
pub struct OwnIdentity {
    /// Its name.
    pub name: String,
    /// Where redirects are answered.
    pub host: String,
    /// Its program.
    pub build: Build,
}

/// Follows until `leave`, which comes behind the last answer of this process: then it says goodbye, if a stream is up.
pub async fn follow(
    own: OwnIdentity,
    shared: Arc<Shared>,
    origin: Origin,
    restored: Option<LoadedSnapshot>,
    leave: oneshot::Receiver<()>,
) {
    let (name, begun) = (own.name, sys::boottime_ms());
    let incarnation = getrandom::u64().unwrap_or_else(|_| sys::boottime_ms());
    let follower = match restored {
        Some(LoadedSnapshot { position, complete }) => {
            Follower::restored(name, incarnation, position, complete)
        }
        None => Follower::new(name, incarnation),
    };
    let mut loading = LoadProgress::default();
    loading.begin(&shared.set);
    let mut driver = FollowDriver {
        follower,
        shared,
        origin,
        contact: Contact::default(),
        let_in: None,
        loading,
        pages: 0,
        stuck_at: None,
        asked_again: tokio::time::Instant::now(),
        host: own.host.into(),
        build: own.build,
        begun,
        explaining: Arc::new(Semaphore::new(EXPLAINING)),
        leave,
        left: false,
    };
    let mut backoff = Duration::ZERO;
    loop {
        tokio::select! {
            () = tokio::time::sleep(backoff) => {}
            _ = &mut driver.leave => return,
        }
        let heard = driver.stream().await;
        if driver.left {
            return;
        }
        driver.shared.feed.connected.store(false, Ordering::Release);
        backoff = match heard {
            StreamUse::Progress => Duration::ZERO,
            StreamUse::Nothing => {
                driver.origin.next();
                // A part of it by chance, so that edges cut together do not come back together.
                let backoff = (backoff * 2).clamp(FIRST_BACKOFF, LONGEST_BACKOFF);
                backoff.mul_f64(0.75 + f64::from(getrandom::u32().unwrap_or(0) % 512) / 1024.0)
            }
        };
    }
}

/// Whether a stream was of any use before it ended: something was applied or loaded, or it lived for a while. A stream
/// that is let in and ends at once, again and again, is not.
enum StreamUse {
    Progress,
    Nothing,
}

/// A stream that lived this long was of use.
const LIVED: Duration = Duration::from_secs(1);
/// A stream that brings and proves nothing for so long has lost something, if only the answer to the hello: another
/// hello finds out what.
const SILENCE: Duration = Duration::from_secs(3);

/// When control let this edge in. Whether it stays is not known yet: a control that is stopping may let edges in, too.
struct AdmissionMark {
    at: u64,
    progress: Progress,
}

/// Changes with everything that a stream is good for.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Progress {
    applied: u64,
    pages: u64,
    fresh_as_of: Option<u64>,
}

struct FollowDriver {
    follower: Follower,
    shared: Arc<Shared>,
    origin: Origin,
    contact: Contact,
    let_in: Option<AdmissionMark>,
    loading: LoadProgress,
    pages: u64,
    stuck_at: Option<u64>,
    asked_again: tokio::time::Instant,
    host: Arc<str>,
    build: Build,
    /// When this edge began: milliseconds of the boot clock.
    begun: u64,
    explaining: Arc<Semaphore>,
    leave: oneshot::Receiver<()>,
    /// It has come.
    left: bool,
}

impl FollowDriver {
    /// One stream, from hello to its end, and whether it was of use.
    async fn stream(&mut self) -> StreamUse {
        let (began, applied, pages) = (tokio::time::Instant::now(), self.follower.applied(), self.pages);
        let ended = self.one_stream().await;
        let moved = self.follower.applied() != applied || self.pages != pages;
        match ended {
            Ok(()) => StreamUse::Progress,
            Err(why) if moved || began.elapsed() >= LIVED => {
                tracing::debug!(name: "stream_ended", %why, "the stream from control ended");
                StreamUse::Progress
            }
            Err(why) => {
                self.lost(why).await;
                StreamUse::Nothing
            }
        }
    }

    async fn lost(&mut self, why: ClientFault) {
        let url = self.origin.url().to_owned();
        let looked = tokio::task::spawn_blocking(move || (why.looked_at(&url), url)).await;
        if let Ok((why, url)) = looked {
            self.contact.lost(&url, &why);
        }
    }

    /// `Ok`: it ended because this edge wants another one.
    async fn one_stream(&mut self) -> Result<(), ClientFault> {
        self.let_in = None;
        let mut client = self.origin.connect().await?;
        let (say, said) = mpsc::channel(64);
        let gone = |_| ClientFault::Broken;
        say.send(request(Say::Hello(self.hello()))).await.map_err(gone)?;
        let answer = client.follow(ReceiverStream::new(said)).await;
        let mut hear = answer.map_err(|status| ClientFault::of_status(&status))?.into_inner();
        let mut ping = tokio::time::interval(PING);
        ping.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut heard = (self.progress(), tokio::time::Instant::now());
        let mut reported: Option<tokio::time::Instant> = None;
        loop {
            tokio::select! {
                biased;
                _ = &mut self.leave => {
                    self.left = true;
                    // What another process goes on to gather is pending, too.
                    let pending = |clicks: &Clicks| clicks.owes() || !clicks.gathers();
                    let clicks_pending = self.shared.clicks.as_ref().is_some_and(pending);
                    say.send(request(Say::Leave(v1::Leave { clicks_pending }))).await.map_err(gone)?;
                    drop(say);
                    // The end of the stream says that control has heard it.
                    while let Ok(Some(_)) = hear.message().await {}
                    return Ok(());
                }
                message = hear.message() => match message {
                    Ok(Some(v1::FollowResponse { message: Some(Hear::Explain(asked)) })) => {
                        self.explain(asked, say.clone());
                    }
                    Ok(Some(message)) => {
                        if let Some(answer) = self.take(message)? {
                            // Control does not read: it is as good as gone.
                            say.try_send(request(answer)).map_err(|_| ClientFault::TimedOut)?;
                        }
                        // After the acknowledgement, which a write may be waiting for.
                        self.complete().await;
                    }
                    Ok(None) => return Err(ClientFault::Broken),
                    Err(status) => return Err(ClientFault::of_status(&status)),
                },
                _ = ping.tick() => {
                    if heard.0 != self.progress() {
                        heard = (self.progress(), tokio::time::Instant::now());
                    } else if heard.1.elapsed() >= SILENCE {
                        return Err(ClientFault::TimedOut);
                    }
                    self.stays();
                    if let Some(id) = self.follower.ping(sys::boottime_ms()) {
                        let clicks = self.shared.clicks.as_ref().filter(|clicks| clicks.gathers());
                        let clicks_until = clicks.map_or(0, Clicks::complete_until);
                        let kept = self.shared.traces.for_control(KEPT_TRACES);
                        let kept_traces = kept.into_iter().map(|id| id.to_vec().into()).collect();
                        let mut ping = v1::Ping { id, clicks_until, kept_traces, report: Bytes::new() };
                        if reported.is_none_or(|at| at.elapsed() >= REPORT) {
                            reported = Some(tokio::time::Instant::now());
                            ping.report = report(&self.shared, self.build, self.begun).into();
                        }
                        say.try_send(request(Say::Ping(ping))).map_err(|_| ClientFault::TimedOut)?;
                    }
                    if self.walk_again() {
                        return Ok(());
                    }
                }
            }
        }
    }

    fn progress(&self) -> Progress {
        Progress {
            applied: self.follower.applied(),
            pages: self.pages,
            fresh_as_of: self.follower.fresh_as_of(),
        }
    }

    /// Says that control is followed again, once the stream has lived for a while and was of use.
    fn stays(&mut self) {
        let long_ago = |let_in: &AdmissionMark| sys::boottime_ms() >= let_in.at + LIVED.as_millis() as u64;
        let progress = self.progress();
        if let Some(let_in) = self.let_in.take_if(|let_in| long_ago(let_in) && let_in.progress != progress) {
            self.contact.found(self.origin.url(), let_in.at);
        }
    }

    /// Answers a question of control beside everything else. With too many at once, or where the way to control is full, there is
    /// no explanation.
    fn explain(&self, asked: v1::Explain, say: mpsc::Sender<v1::FollowRequest>) {
        let (shared, host) = (Arc::clone(&self.shared), Arc::clone(&self.host));
        let place = Arc::clone(&self.explaining).try_acquire_owned();
        tokio::spawn(async move {
            let explanation = match place {
                Ok(_place) => explained(&shared, &host, &asked).await,
                Err(_) => None,
            };
            let told = v1::Explained { id: asked.id, explanation };
            let _ = say.try_send(request(Say::Explained(told))); // whoever asked waits for 2 s at most
        });
    }

    fn hello(&mut self) -> v1::Hello {
        let hello = self.follower.hello(self.shared.set.seen(), self.shared.feed.proof());
        v1::Hello {
            protocol: feed::PROTOCOL,
            features: record::Features::KNOWN.0,
            edge: hello.edge,
            incarnation: hello.incarnation,
            epoch: hello.position.map(|position| proto::epoch_to_wire(position.epoch)),
            applied: hello.position.map_or(0, |position| position.seq),
            tag: hello.position.map_or(0, |position| position.tag),
            seen: hello.seen,
            want_walk: hello.want_walk,
            walk_after: hello.walk_after.into(),
            number: hello.number,
            proof: hello.proof.as_ref().map(proto::proof_to_wire),
            explains: true,
        }
    }

    /// Carries out what a message means. `Err`: this stream is no use any more.
    fn take(&mut self, message: v1::FollowResponse) -> Result<Option<Say>, ClientFault> {
        if let Some(Hear::DayKey(key)) = &message.message {
            self.day_key(key);
            return Ok(None);
        }
        let (domains, proof) = (domains(&message), proof(&message));
        let event = event(message)
            .map_err(|fault| ClientFault::Other(format!("it sends what no control does: {fault}")))?;
        let effect = self.follower.handle(event);
        self.shared.feed.proof_came(proof, &effect);
        let answer = match effect {
            Effect::Nothing => None,
            Effect::Hello => {
                self.shared.feed.gaps.fetch_add(1, Ordering::Relaxed);
                return Err(ClientFault::Other("a message was missing".into()));
            }
            Effect::Reset(start) => {
                self.reset(start, domains);
                None
            }
            Effect::Resume { epoch, fork_seq } => self.resume(epoch, fork_seq)?,
            Effect::Apply(changes) => {
                let last = self.follower.applied();
                let epoch = self.follower.position().map(|position| position.epoch).unwrap_or_default();
                let _under_way = self
                    .shared
                    .under_way(|| Group::Changes(changes.first().map_or(last, |change| change.seq), last));
                for (at, change) in changes.iter().enumerate() {
                    give_way(at);
                    if apply(&self.shared, change) == FillOutcome::Refused
                        && let Ok(key) = Key::from_bytes(&change.key)
                    {
                        self.loading.refused(key);
                    }
                    tracing::debug!(
                        name: "applied", target: "edge::changes",
                        revision = Position::revision(epoch, change.seq), "a change was applied"
                    );
                }
                Some(v1::Applied { seq: self.follower.applied(), page: 0 })
            }
            Effect::Load { as_of, entries, number } => {
                self.load(as_of, &entries);
                self.pages += 1;
                Some(v1::Applied { seq: self.follower.applied(), page: number })
            }
            Effect::Stuck(seq) => {
                if self.stuck_at.replace(seq) != Some(seq) {
                    tracing::error!(
                        name: "change_not_understood",
                        behind = seq,
                        "the next change needs a newer edge: this one stays where it is and turns blind; start a newer one"
                    );
                }
                return Err(ClientFault::Other("the next change needs a newer edge".into()));
            }
        };
        self.shared.feed.lag.store(self.follower.lag(), Ordering::Release);
        if let Some(at) = self.follower.fresh_as_of() {
            self.shared.set.freshen(at);
        }
        if let Some(position) = self.follower.position() {
            let generation = self.shared.set.generation();
            self.shared.feed.stands_at(AppliedPosition { generation, position });
        }
        Ok(answer.map(Say::Applied))
    }

    /// What visitors of a day are told apart by. It is part of no history.
    fn day_key(&self, key: &v1::DayKey) {
        let Some(clicks) = &self.shared.clicks else { return };
        if !clicks.days.put(key.day, &key.key) {
            tracing::warn!(name: "day_key_unusable", day = key.day, "control sent a key of a day that is none: visitors of that day are not told apart");
        }
    }

    /// `domains`: all that there are, and the seq that they were read at.
    fn reset(&mut self, start: Position, (as_of, entries): (Seq, Vec<v1::Entry>)) {
        tracing::info!(name: "begins_anew", seq = start.seq, "the edge begins anew: control sends it all links, as at a first start");
        self.shared.feed.resets.fetch_add(1, Ordering::Relaxed);
        let (shared, as_of) = (&self.shared, as_of.max(start.seq));
        let entry = |entry: &v1::Entry| records::domain(shared, &entry.key, &entry.record, as_of);
        // First: what the set holds by then is known to be old, what it takes from then on is of these domains.
        shared.domains.replace(as_of, entries.iter().filter_map(entry).collect());
        shared.set.reset(start);
        shared.set.rely_on(as_of);
        // What is loaded from now on is at least as new as this hello, though nothing proves it current yet.
        let now = sys::boottime_ms();
        if self.shared.set.freshness(now).stale_ms().is_none() {
            self.shared.set.stale_since(now, 0);
        }
        self.let_in();
        self.loading.begin(&self.shared.set);
    }

    /// `Err`: what this edge relied on is not part of the new history; it says hello again and will be reset.
    fn resume(&mut self, epoch: Epoch, fork_seq: Option<Seq>) -> Result<Option<v1::Applied>, ClientFault> {
        if let Some(fork_seq) = fork_seq {
            tracing::info!(
                name: "other_history", epoch = epoch.counter, fork_seq, "the edge goes on in another history"
            );
            if self.shared.set.fork(epoch, fork_seq) == Fork::Beyond {
                self.follower.beyond_fork();
                return Err(ClientFault::Other("what was relied on is not part of the new history".into()));
            }
        }
        self.let_in();
        Ok(None)
    }

    fn let_in(&mut self) {
        self.shared.feed.connected.store(true, Ordering::Release);
        self.let_in = Some(AdmissionMark { at: sys::boottime_ms(), progress: self.progress() });
    }

    fn load(&mut self, as_of: u64, entries: &[Entry]) {
        let Some(epoch) = self.shared.set.epoch() else { return };
        let keys = entries.iter().map(|entry| &entry.key[..]);
        let _under_way = self.shared.under_way(|| Group::of_keys(keys));
        for (at, entry) in entries.iter().enumerate() {
            give_way(at);
            let Ok(key) = Key::from_bytes(&entry.key) else { continue }; // a newer kind of key: not for this edge
            let stored = records::stored(&self.shared, &entry.key, &entry.record, as_of);
            let Some((stored, version)) = stored else { continue };
            let told = hot::TierReading { epoch, as_of, version, value: Some(&stored) };
            let set = &self.shared.set;
            if set.load(&entry.key, &told) == FillOutcome::Refused && set.version(&entry.key).is_none() {
                self.loading.refused(key);
            }
        }
    }

    /// R6c: once every page is in and nothing is left to ask, an absent key is an honest absence.
    async fn complete(&mut self) {
        if !self.follower.walked() {
            return;
        }
        // Ready once it has also heard that this was everything: until then its answers would be stale.
        if self.follower.fresh_as_of().is_some() {
            self.shared.feed.loaded.store(true, Ordering::Release);
        }
        let set = &self.shared.set;
        loop {
            let keys = self.loading.questions(set, MAX_KEYS);
            if keys.is_empty() {
                break;
            }
            let told = self.origin.fetch(keys, 0, None).await;
            if told.iter().any(|told| matches!(told, crate::shared::OriginReply::Unavailable)) {
                return; // again with the next message
            }
            let count = keys.len();
            self.loading.answered(count);
        }
        if self.loading.finish(set, true) {
            tracing::info!(name: "complete", entries = set.entries(), "every link is in memory");
        }
    }

    /// A set that has room again asks for a new walk, now and then.
    fn walk_again(&mut self) -> bool {
        let set = &self.shared.set;
        let has_room = set.bytes() < set.budget() / 10 * 9;
        if !self.follower.walked()
            || set.is_complete()
            || !has_room
            || self.asked_again.elapsed() < WALK_AGAIN
        {
            return false;
        }
        self.asked_again = tokio::time::Instant::now();
        self.loading.begin(set);
        self.follower.want_walk();
        true
    }
}

fn give_way(at: usize) {
    if at % AT_ONCE == AT_ONCE - 1 {
        std::thread::yield_now();
    }
}

/// R6 for one change.
fn apply(shared: &Shared, change: &Change) -> FillOutcome {
    match change.kind {
        ChangeKind::LINK => match records::stored(shared, &change.key, &change.record, change.seq) {
            Some((stored, _)) => {
                let apply = |stored: &StoredValue| shared.set.apply(&change.key, change.seq, Some(stored));
                records::guarded(|| apply(&stored)).unwrap_or_else(|| apply(&StoredValue::Quarantined))
            }
            None => FillOutcome::Accepted,
        },
        ChangeKind::PURGE => shared.set.apply(&change.key, change.seq, None),
        ChangeKind::DOMAIN => {
            if let Some(entry) = records::domain(shared, &change.key, &change.record, change.seq) {
                shared.domains.apply(entry);
            }
            shared.set.pass(change.seq);
            FillOutcome::Accepted
        }
        ChangeKind::DOMAIN_GONE => {
            if let Some(id) = DomainId::of_entry(&change.key) {
                shared.domains.remove(id, change.seq);
            }
            shared.set.pass(change.seq);
            FillOutcome::Accepted
        }
        _ => {
            shared.set.pass(change.seq);
            FillOutcome::Accepted
        }
    }
}

/// The domains that come with a reset, and the seq that they were read at.
fn domains(message: &v1::FollowResponse) -> (Seq, Vec<v1::Entry>) {
    match &message.message {
        Some(Hear::Reset(reset)) => (reset.domains_as_of, reset.domains.clone()),
        _ => Default::default(),
    }
}

fn proof(message: &v1::FollowResponse) -> Option<Proof> {
    proto::proof_from_wire(match message.message.as_ref()? {
        Hear::Resume(m) => m.proof.as_ref(),
        Hear::Reset(m) => m.proof.as_ref(),
        Hear::Batch(m) => m.proof.as_ref(),
        Hear::Page(m) => m.proof.as_ref(),
        Hear::Pong(_) | Hear::DayKey(_) | Hear::Explain(_) => None,
    })
}

fn request(message: Say) -> v1::FollowRequest {
    v1::FollowRequest { message: Some(message) }
}

fn event(message: v1::FollowResponse) -> Result<Event, proto::MalformedMessage> {
    let epoch = |epoch: &Option<v1::Epoch>| proto::epoch_from_wire(epoch.as_ref());
    Ok(match message.message.ok_or(proto::MalformedMessage("message"))? {
        Hear::Resume(m) => Event::Resume {
            session: m.session,
            hello: m.hello,
            epoch: epoch(&m.epoch)?,
            fork_seq: m.fork_seq,
            walk: m.walk,
        },
        Hear::Reset(m) => Event::Reset {
            session: m.session,
            hello: m.hello,
            start: Position { epoch: epoch(&m.epoch)?, seq: m.start, tag: m.tag },
        },
        Hear::Batch(m) => Event::Batch {
            session: m.session,
            epoch: epoch(&m.epoch)?,
            prev_seq: m.prev_seq,
            changes: m.changes.into_iter().map(proto::change_from_wire).collect::<Result<_, _>>()?,
        },
        Hear::Page(m) => Event::Page {
            session: m.session,
            epoch: epoch(&m.epoch)?,
            number: m.number,
            as_of: m.as_of,
            entries: m
                .entries
                .into_iter()
                .map(|entry| Entry { key: entry.key, record: entry.record })
                .collect(),
            last: m.last,
        },
        Hear::Pong(m) => Event::Pong { session: m.session, id: m.id, head: m.head },
        // Of no session: see `take` and `one_stream`.
        Hear::DayKey(_) | Hear::Explain(_) => return Err(proto::MalformedMessage("message")),
    })
}
