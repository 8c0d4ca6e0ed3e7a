//! The little that the threads of an edge share: the set, the state of the feed, counters that each has one writer,
//! and the way by which a worker asks the background thread.

use crate::clicks::Clicks;
use crate::driver::Driver;
use crate::latency::PublishedDurations;
use crate::listen::Address;
use crate::minute::Minute;
use crate::pulse::Pulses;
use crate::redis::SharedRedis;
use crate::rings::Rings;
use crate::snapshot::{AppliedPosition, Group, GroupGuard, Snapshot};
use crate::tails::Tails;
use crate::traces::{TraceIds, Traces};
use feed::Trouble;
use feed::{Effect, Proof};
use futures_channel::{mpsc, oneshot};
use hot::{Counts, Domains, Outcome, Set, StoredValue, Tier, TurnMarks};
use link::{Epoch, Key, Seq};
use otlp::Outbox;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

/// Questions that wait for the background thread; one more is answered with 503.
pub const MAX_QUESTIONS: usize = 1_024;

pub struct Shared {
    /// Every link that this edge holds.
    pub set: Set,
    /// Whose they are.
    pub domains: Arc<Domains>,
    /// Where it stands in the log.
    pub feed: FeedState,
    /// The file that keeps the links over a restart.
    pub snapshot: Option<Snapshot>,
    /// The positioned copy between this edge and control.
    pub redis: Option<Arc<SharedRedis>>,
    /// Where workers note clicks; `None`: they do not.
    pub rings: Option<Rings>,
    /// What is known of the clicks that they noted; there if the rings are.
    pub clicks: Option<Clicks>,
    /// What goes wrong for all of it.
    pub troubles: Troubles,
    /// One for each worker.
    pub meters: Box<[Meters]>,
    /// When each thread turned last.
    pub pulses: Pulses,
    /// How long answers took, up to each worker's last tick.
    pub durations: Box<[PublishedDurations]>,
    /// The answers of the last minute, as they were last looked at.
    pub minute: Mutex<Minute>,
    /// Those that took long, and others that were kept.
    pub traces: Traces,
    /// Those on their way to a receiver.
    pub outbox: Outbox,
    /// Who watches what is answered.
    pub tails: Tails,
    ask: mpsc::Sender<OriginQuestion>,
    /// Connections are accepted.
    open: AtomicBool,
    draining: AtomicBool,
    /// The addresses at which another process goes on; empty until there is one.
    passed_on: OnceLock<Vec<Address>>,
    /// Until when the idle make room: milliseconds of the boot clock.
    full_until: AtomicU64,
    stop_by: OnceLock<Instant>,
    driver: AtomicU8,
}

/// Each is told when it begins, and when it ends.
#[derive(Debug, Default)]
pub struct Troubles {
    /// There are as many connections as the file limit allows.
    pub crowded: Trouble,
    /// Connections cannot be accepted.
    pub not_accepting: Trouble,
    /// Records cannot be read.
    pub quarantined: Trouble,
    /// Control lets this edge follow, and does not answer its questions.
    pub unanswered: Trouble,
    /// Connections do not begin as `--proxy-protocol` says.
    pub unproxied: Trouble,
    /// Answers are slow.
    pub slow: Trouble,
}

/// A worker's question for the origin.
pub struct OriginQuestion {
    /// Which link.
    pub key: Key,
    /// The answer must be current at this seq or later.
    pub token: Seq,
    /// It must have been asked for after this request came: the client has met another history.
    pub alone: bool,
    /// In which trace it is asked; `None`: in none.
    pub trace: Option<TraceIds>,
    /// Where the answer goes; the worker may have given up.
    pub answer: oneshot::Sender<OriginTold>,
}

/// What a question came to.
#[derive(Clone, Debug)]
pub struct OriginTold {
    /// The answer.
    pub reply: OriginReply,
    /// The span under which control was asked; of another trace if the question went along with others.
    pub asked_in: Option<TraceIds>,
}

impl From<OriginReply> for OriginTold {
    fn from(reply: OriginReply) -> Self {
        Self { reply, asked_in: None }
    }
}

/// The reply of the origin to a question.
#[derive(Clone, Debug)]
pub enum OriginReply {
    /// Its state, or that there is none: current when it was asked for.
    Known(Arc<AcceptedReading>),
    /// Nobody could say in time.
    Unavailable,
}

/// An answer of the origin that the set took, or that agrees with what the set holds.
#[derive(Debug)]
pub struct AcceptedReading {
    /// The history that it speaks of.
    pub epoch: Epoch,
    /// It was current at this seq.
    pub as_of: Seq,
    /// The seq of the change that made the value.
    pub version: Seq,
    /// `None`: there is no such link.
    pub value: Option<StoredValue>,
}

impl AcceptedReading {
    /// As the set takes it.
    pub fn told(&self) -> hot::TierReading<'_> {
        let (epoch, as_of, version) = (self.epoch, self.as_of, self.version);
        hot::TierReading { epoch, as_of, version, value: self.value.as_ref() }
    }
}

impl Shared {
    pub fn new(
        hot_set_bytes: usize,
        workers: usize,
        ask: mpsc::Sender<OriginQuestion>,
        snapshot: Option<Snapshot>,
        redis: Option<Arc<SharedRedis>>,
    ) -> Self {
        Self {
            set: Set::new(hot_set_bytes),
            domains: Arc::default(),
            feed: FeedState::default(),
            snapshot,
            redis,
            rings: None,
            clicks: None,
            troubles: Troubles::default(),
            meters: (0..workers).map(|_| Meters::default()).collect(),
            pulses: Pulses::new(workers),
            durations: (0..workers).map(|_| PublishedDurations::default()).collect(),
            minute: Mutex::default(),
            traces: Traces::default(),
            outbox: Outbox::default(),
            tails: Tails::default(),
            ask,
            open: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            passed_on: OnceLock::new(),
            full_until: AtomicU64::new(0),
            stop_by: OnceLock::new(),
            driver: AtomicU8::new(Driver::IoUring as u8),
        }
    }

    /// With these to note clicks in.
    pub fn with_rings(self, rings: Option<Rings>) -> Self {
        Self { rings, ..self }
    }

    /// These records are going to be read, until what is returned is dropped: whatever ends the process meanwhile is
    /// known at the next start.
    pub fn under_way(&self, group: impl FnOnce() -> Group) -> Option<GroupGuard<'_>> {
        self.snapshot.as_ref().map(|snapshot| snapshot.note.begin(group()))
    }

    /// A worker's own end of the questions.
    pub fn ask(&self) -> mpsc::Sender<OriginQuestion> {
        self.ask.clone()
    }

    /// Requests that came to this outcome from this tier, at all workers.
    pub fn count(&self, tier: Tier, outcome: Outcome) -> u64 {
        self.meters.iter().map(|meters| meters.outcome(tier, outcome)).sum()
    }

    /// From now on connections are accepted.
    pub fn open(&self) {
        self.open.store(true, Ordering::Release);
    }

    pub fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// From now on another process accepts at these addresses.
    pub fn pass_on(&self, addresses: Vec<Address>) {
        let _ = self.passed_on.set(addresses);
    }

    /// Whether another process goes on in the place of this one.
    pub fn has_heir(&self) -> bool {
        self.passed_on.get().is_some()
    }

    /// Whether another process goes on at this address.
    pub fn is_passed_on(&self, address: &Address) -> bool {
        self.passed_on.get().is_some_and(|addresses| addresses.contains(address))
    }

    /// From now on this edge is not ready, and every answer is the last of its connection.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// A worker has no room for somebody who waits: until then those of all workers who are idle make some.
    pub fn full_until(&self, boot_ms: u64) {
        self.full_until.store(boot_ms, Ordering::Relaxed);
    }

    pub fn is_full(&self, boot_ms: u64) -> bool {
        boot_ms < self.full_until.load(Ordering::Relaxed)
    }

    /// From now on no connection is accepted, and those there are have until then.
    pub fn stop(&self, by: Instant) {
        self.drain();
        self.stop_by.get_or_init(|| by);
    }

    pub fn is_stopping(&self) -> bool {
        self.stop_by.get().is_some()
    }

    /// Until when connections may take, once it stops.
    pub fn stop_by(&self) -> Option<Instant> {
        self.stop_by.get().copied()
    }

    pub fn set_driver(&self, driver: Driver) {
        self.driver.store(driver as u8, Ordering::Relaxed);
    }

    pub fn driver(&self) -> Driver {
        Driver::ALL[usize::from(self.driver.load(Ordering::Relaxed))]
    }
}

/// Where the edge stands in the log. Written by the background thread only.
#[derive(Default)]
pub struct FeedState {
    /// Changes that control has and this edge has not applied.
    pub lag: AtomicU64,
    /// Streams that had to begin again because a message was missing.
    pub gaps: AtomicU64,
    /// Times that control said to begin again.
    pub resets: AtomicU64,
    /// Records that could not be understood.
    pub quarantined: AtomicU64,
    /// A stream is up.
    pub connected: AtomicBool,
    /// A walk was finished at least once, so that this edge can answer.
    pub loaded: AtomicBool,
    standing: Mutex<Option<AppliedPosition>>,
    proof: Mutex<Option<Proof>>,
}

impl FeedState {
    /// Where everything in the set stands; `None` before the first load.
    pub fn standing(&self) -> Option<AppliedPosition> {
        *self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What this edge can show of its history: at least as late as what it has seen, if that was read before.
    pub fn proof(&self) -> Option<Proof> {
        *self.lock_proof()
    }

    /// A proof came with an answer; kept before the answer is relied on.
    pub fn keep_proof(&self, proof: Option<Proof>) {
        Proof::keep(&mut self.lock_proof(), proof);
    }

    /// A proof came with a message of the stream; kept before its effect is carried out.
    pub fn proof_came(&self, proof: Option<Proof>, effect: &Effect) {
        effect.keep_proof(&mut self.lock_proof(), proof);
    }

    fn lock_proof(&self) -> MutexGuard<'_, Option<Proof>> {
        self.proof.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What came from the log so far is carried out on the set.
    pub fn stands_at(&self, standing: AppliedPosition) {
        *self.standing.lock().unwrap_or_else(PoisonError::into_inner) = Some(standing);
    }
}

/// What one worker counts. It alone writes, so an update is a load and a store; others read at any time. Padded, so
/// that no two workers write the same cache line (two lines: processors fetch pairs).
#[derive(Default)]
#[repr(align(128))]
pub struct Meters {
    outcomes: [[AtomicU64; Outcome::ALL.len()]; Tier::ALL.len()],
    misses: AtomicU64,
    turns: AtomicU64,
    accepted: AtomicU64,
    closed: AtomicU64,
    handshakes: [AtomicU64; 3],
}

fn add(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Ordering::Relaxed) + more, Ordering::Relaxed);
}

impl Meters {
    /// Takes over what a turn counted, and returns how many answers it gave, and what they came to.
    pub fn turned(&self, counts: &mut Counts) -> (u64, TurnMarks) {
        add(&self.turns, 1);
        let tier = counts.tier;
        let (mut answers, mut marks) = (0, TurnMarks::default());
        counts.drain(|outcome, count| {
            answers += count;
            marks = marks.and(TurnMarks::of(outcome));
            add(&self.outcomes[tier.of(outcome) as usize][outcome as usize], count);
        });
        (answers, marks)
    }

    pub fn missed(&self) {
        add(&self.misses, 1);
    }

    pub fn accepted(&self) {
        add(&self.accepted, 1);
    }

    pub fn closed(&self) {
        add(&self.closed, 1);
    }

    /// A TLS handshake is over, with a session of before or not; `None`: nothing came of it.
    pub fn shaken(&self, resumed: Option<bool>) {
        add(&self.handshakes[resumed.map_or(2, usize::from)], 1);
    }

    /// TLS handshakes: in full, resumed, failed.
    pub fn handshakes(&self) -> [u64; 3] {
        self.handshakes.each_ref().map(|count| count.load(Ordering::Relaxed))
    }

    /// Requests that came to this outcome from this tier.
    pub fn outcome(&self, tier: Tier, outcome: Outcome) -> u64 {
        self.outcomes[tier as usize][outcome as usize].load(Ordering::Relaxed)
    }

    /// Requests that had to ask the origin.
    pub fn misses(&self) -> u64 {
        self.misses.load(Ordering::Relaxed)
    }

    /// Times that this worker took bytes from a connection and answered them.
    pub fn turns(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }

    /// Connections so far.
    pub fn accepted_total(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Requests so far, whatever they came to.
    pub fn answered(&self) -> u64 {
        self.outcomes.iter().flatten().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// Connections now.
    pub fn connections(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed).saturating_sub(self.closed.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_counts_once_under_its_tier() {
        let meters = Meters::default();
        for tier in [Tier::Hot, Tier::Redis, Tier::Origin, Tier::Stale] {
            let mut counts = Counts::default();
            counts.tier = tier;
            Outcome::ALL.into_iter().for_each(|outcome| counts.add(outcome));
            let (answers, marks) = meters.turned(&mut counts);
            assert!(answers == 11 && marks.outcomes().eq(Outcome::ALL));
        }
        for tier in Tier::ALL {
            let counted = Outcome::ALL.map(|outcome| meters.outcome(tier, outcome));
            // redirect, not_found, gone, method, reserved, refused, timed_out, unavailable, file, root, expired
            let expected = match tier {
                Tier::Hot | Tier::Redis | Tier::Origin | Tier::Stale => [1, 1, 1, 0, 0, 0, 0, 1, 0, 0, 1],
                Tier::None => [0, 0, 0, 4, 4, 4, 4, 0, 4, 4, 0],
            };
            assert_eq!(counted, expected, "{}", tier.label());
        }
    }
}
