//! The thread that gathers clicks: from the workers' rings into the spool, and from there, batch by batch, to the background
//! thread, which sends them. No request ever waits for it.

mod disk;
mod drain;
mod files;
mod found;
mod geo;
mod repair;
#[cfg(test)]
mod tests;

use crate::clicks::{
    AnswerWay, ClickCounts, ClickOffer, Clicks, ControlAnswer, GatherMessage, NOTHING_KNOWN, SentId,
};
use crate::rings::{Rings, random};
use crate::shared::Shared;
use crate::snapshot::unix_ms;
use crate::sys;
use bytes::Bytes;
use drain::{Chunk, Drain};
use exposition::StartFault;
use feed::Spell;
use files::{HeardAnswer, SpoolFiles};
use link::Epoch;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, mpsc::RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::mpsc as offers;

/// Between two looks into the rings.
const TICK: Duration = Duration::from_millis(100);
/// Between two syncs, while there is something to sync.
const SYNC: Duration = Duration::from_millis(250);
/// Between two looks at the spool's bounds.
const LOOK: Duration = Duration::from_secs(1);
/// Chunks that wait for the disk. With more, clicks stay in the rings, and what finds no room there is counted as lost.
const MAX_READY: usize = 16;
/// Before a batch is offered again that control did not take.
const FIRST_BACKOFF: Duration = Duration::from_millis(250);
const LONGEST_BACKOFF: Duration = Duration::from_secs(10);
/// Before one is offered again that control refused: somebody has to do something.
const REFUSED_BACKOFF: Duration = Duration::from_secs(60);
/// A batch whose answer is not there by then is offered again.
const PATIENCE: Duration = Duration::from_secs(60);
/// A spool that cannot be opened is tried again so often.
const OPEN_AGAIN: Duration = Duration::from_secs(5);
/// Every click answered so long before a look is in the ring by then, if its client takes its answer.
const SETTLED_MS: i64 = 1_000;
/// Tries to write the last clicks of a process.
const LAST_TRIES: usize = 3;

/// The thread, as long as the edge runs.
pub struct Gatherer {
    to: Sender<GatherMessage>,
    thread: JoinHandle<()>,
}

impl Gatherer {
    /// Starts it, if clicks are counted.
    ///
    /// # Errors
    /// [`StartFault`]
    pub fn start(
        shared: &Arc<Shared>,
        offers: offers::Sender<ClickOffer>,
    ) -> Result<Option<Self>, StartFault> {
        let gatherer = Self::prepare(Arc::clone(shared), offers)?;
        gatherer.iter().for_each(|gatherer| gatherer.begin(shared));
        Ok(gatherer)
    }

    /// The same, and it waits: another process gathers what is in the rings. A thread and its memory are there already when this
    /// one goes on.
    ///
    /// # Errors
    /// [`StartFault`]
    pub fn prepare(
        shared: Arc<Shared>,
        offers: offers::Sender<ClickOffer>,
    ) -> Result<Option<Self>, StartFault> {
        if shared.clicks.is_none() || shared.rings.is_none() {
            return Ok(None);
        }
        let (to, inbox) = channel();
        let own = to.clone();
        let run = move || {
            let (Some(clicks), Some(rings)) = (&shared.clicks, &shared.rings) else { return };
            if !matches!(inbox.recv(), Ok(GatherMessage::Begin)) {
                return; // it was never this process's turn
            }
            let way = Way { shared: &shared, clicks, rings, offers, to: own, inbox };
            while catch_unwind(AssertUnwindSafe(|| way.run())).is_err() {
                // The panic is on stderr. Redirects go on, and what is in the rings is taken up again.
                tracing::error!(
                    name: "clicks_interrupted",
                    "counting clicks was interrupted by a fault of this program, and begins again after what is on disk"
                );
                if way.stopped_within(OPEN_AGAIN).is_some() {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("clicks".into()).spawn(run);
        let thread =
            thread.map_err(|fault| StartFault::because("cannot start the thread of clicks", fault))?;
        Ok(Some(Self { to, thread }))
    }

    /// From here on this process gathers; once is enough.
    pub fn begin(&self, shared: &Shared) {
        if let Some(clicks) = &shared.clicks {
            clicks.gather(true);
        }
        let _ = self.to.send(GatherMessage::Begin); // it has ended by itself
    }

    /// Puts on disk what the workers have left, once they have ended; and hands to control what it takes `within` that time.
    pub fn stop(self, within: Duration) {
        let _ = self.to.send(GatherMessage::Stop(within)); // it has ended by itself
        let _ = self.thread.join();
    }
}

/// What the thread works with.
struct Way<'a> {
    shared: &'a Shared,
    clicks: &'a Clicks,
    rings: &'a Rings,
    offers: offers::Sender<ClickOffer>,
    /// For answers, which come back the same way.
    to: Sender<GatherMessage>,
    inbox: Receiver<GatherMessage>,
}

impl Way<'_> {
    /// Until the edge stops.
    fn run(&self) {
        let (mut spell, mut failures) = (Spell::default(), 0);
        let files = loop {
            match self.open() {
                Ok(files) => break files,
                Err(fault) => {
                    failures += 1;
                    let failed = ClickCounts { spool_failures: failures, ..self.clicks.counts() };
                    self.clicks.publish(&failed);
                    tell_disk(&mut spell, self.clicks, &fault);
                }
            }
            if self.stopped_within(OPEN_AGAIN).is_some() {
                return;
            }
        };
        if let Some(over) = spell.over(sys::boottime_ms()) {
            tracing::info!(name: "spool_usable", lasted_ms = over.lasted_ms, "the spool of clicks can be used");
        }
        let drain = Drain::new(self.shared, self.rings, self.clicks, files.places(), files.next_no());
        Gather::new(self, files, drain, failures).run();
    }

    fn open(&self) -> io::Result<SpoolFiles> {
        let config = &self.clicks.config;
        SpoolFiles::open(&config.dir, self.rings.boot().to_be_bytes(), config.spool_bytes, random()?)
    }

    /// Waits; `Some`: the edge stops meanwhile.
    fn stopped_within(&self, time: Duration) -> Option<Duration> {
        let until = Instant::now() + time;
        loop {
            match self.inbox.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(GatherMessage::Stop(within)) => return Some(within),
                Ok(_) => {} // an answer to somebody who is gone
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return None,
            }
        }
    }
}

/// A batch whose answer is awaited.
struct SentBatch {
    id: SentId,
    at: Instant,
}

struct Gather<'a> {
    way: &'a Way<'a>,
    files: SpoolFiles,
    drain: Drain,
    /// Chunks that are not on disk yet, in order.
    ready: Vec<Chunk>,
    synced: Instant,
    looked: Instant,
    /// Every click answered before is in a chunk or taken.
    drained_until: i64,
    sent: Option<SentBatch>,
    retry_at: Option<Instant>,
    backoff: Duration,
    connected: bool,
    epoch: Option<Epoch>,
    counts: ClickCounts,
    disk: Spell,
    control: Spell,
}

impl<'a> Gather<'a> {
    fn new(way: &'a Way<'a>, files: SpoolFiles, drain: Drain, spool_failures: u64) -> Self {
        let now = Instant::now();
        let counts = ClickCounts { spool_failures, ..ClickCounts::default() };
        // Of rings that were not read yet nothing is known.
        let drained_until = files.last_until().unwrap_or(NOTHING_KNOWN);
        Self {
            way,
            files,
            drain,
            ready: Vec::new(),
            synced: now,
            looked: now,
            drained_until,
            sent: None,
            retry_at: None,
            backoff: Duration::ZERO,
            connected: false,
            epoch: way.shared.set.epoch(),
            counts,
            disk: Spell::default(),
            control: Spell::default(),
        }
    }

    fn run(&mut self) {
        let mut next = Instant::now();
        loop {
            match self.way.inbox.recv_timeout(next.saturating_duration_since(Instant::now())) {
                Ok(GatherMessage::Stop(within)) => return self.end(within),
                Ok(GatherMessage::Answer { sent, said }) => self.hear(sent, said),
                Ok(GatherMessage::Begin) => {} // it has
                Err(_) => {
                    let all = self.tick();
                    // What was taken is on disk, and there is more.
                    let at_once = !all && self.ready.is_empty() && !self.drain.waits();
                    next = Instant::now() + if at_once { Duration::ZERO } else { TICK };
                }
            }
            self.offer();
            self.publish();
        }
    }

    /// Whether the rings were read to their ends.
    fn tick(&mut self) -> bool {
        let now = unix_ms();
        self.look_at_control();
        self.take_found(Duration::ZERO);
        let all = self.take(now);
        if all && self.ready.is_empty() && self.drain.open_recorded() == 0 {
            // Nothing of it has to be on disk: clicks that count for nothing, and texts.
            self.drain.release(&self.drain.places());
        }
        if self.synced.elapsed() >= SYNC {
            if all && self.drain.is_due() {
                self.ready.push(self.drain.end_chunk(self.drained_until));
            }
            self.write();
        }
        if self.looked.elapsed() >= LOOK {
            self.looked = Instant::now();
            let kept = self.files.keep_bounds(now);
            self.tell(kept);
            if all {
                self.drain.let_go(self.way.rings);
            }
        }
        all
    }

    /// Takes over spools of processes before that were read since, waiting for one for so long. `true`: there are others.
    fn take_found(&mut self, wait: Duration) -> bool {
        match self.files.take_found(wait) {
            Ok(found) => {
                if found.any {
                    // A store or a disk that was put back is found out by what is known to both.
                    self.files.ask_again(None);
                }
                found.more
            }
            Err(fault) => {
                self.tell::<()>(Err(fault));
                true
            }
        }
    }

    /// Takes what the workers have settled, as far as there is room: whether that was all. However fast they are, answers and the
    /// bounds of the spool have their turn behind it.
    fn take(&mut self, now: i64) -> bool {
        let &Way { clicks, rings, .. } = self.way;
        if self.ready.len() >= MAX_READY || self.drain.waits() {
            return false; // the disk has not taken them yet, or nobody knows how they count
        }
        while self.ready.len() < MAX_READY {
            if self.drain.take(rings, clicks, now) {
                self.drained_until = now - SETTLED_MS;
                return true;
            }
            self.ready.push(self.drain.end_chunk(self.drained_until));
        }
        self.write();
        false
    }

    /// Puts on disk what is ready, and gives the workers the room that it took in their rings.
    fn write(&mut self) {
        let Some(places) = self.ready.last().map(|chunk| chunk.head.places.clone()) else { return };
        self.synced = Instant::now();
        let written = self.files.write(&self.ready);
        if self.tell(written).is_some() {
            self.ready.clear();
            self.drain.release(&places);
        }
    }

    /// Says what is wrong with the disk, and when it is over.
    fn tell<T>(&mut self, done: io::Result<T>) -> Option<T> {
        match done {
            Ok(done) => {
                if let Some(over) = self.disk.over(sys::boottime_ms()) {
                    let lasted_ms = over.lasted_ms;
                    tracing::info!(name: "spool_usable", lasted_ms, "the spool of clicks can be written again");
                }
                Some(done)
            }
            Err(fault) => {
                self.counts.spool_failures += 1;
                tell_disk(&mut self.disk, self.way.clicks, &fault);
                None
            }
        }
    }

    /// A control that is followed again, or another history, is a reason to ask at once.
    fn look_at_control(&mut self) {
        let shared = self.way.shared;
        let connected = shared.feed.connected.load(Ordering::Acquire);
        if connected && !std::mem::replace(&mut self.connected, connected) {
            (self.retry_at, self.backoff) = (None, Duration::ZERO);
        }
        (self.connected, self.files.connected) = (connected, connected);
        let epoch = shared.set.epoch();
        if epoch != self.epoch && epoch.is_some() {
            // The store may have been put back to an earlier state: whether it lacks clicks is found out by asking.
            self.files.ask_again(None);
            self.epoch = epoch;
        }
        if self.sent.as_ref().is_some_and(|sent| sent.at.elapsed() >= PATIENCE) {
            self.take_answer(ControlAnswer::Unanswered);
        }
    }

    /// Hands over the next batch, if none is on its way.
    fn offer(&mut self) {
        if self.sent.is_some() || self.retry_at.is_some_and(|at| Instant::now() < at) {
            return;
        }
        let next = self.files.next_batch();
        let Some(next) = self.tell(next) else {
            self.retry_at = Some(Instant::now() + LOOK);
            return;
        };
        let Some(batch) = next else { return };
        let seal = batch.offering.seal;
        let id = SentId { spool: batch.spool, seq: seal.seq };
        let offer = ClickOffer {
            spool: batch.spool,
            seq: seal.seq,
            first_no: seal.first_no,
            last_no: seal.last_no,
            first: batch.offering.first,
            batch: Bytes::from(batch.bytes),
            answer: AnswerWay { to: self.way.to.clone(), sent: id },
        };
        match self.way.offers.try_send(offer) {
            Ok(()) => self.sent = Some(SentBatch { id, at: Instant::now() }),
            Err(_) => self.again_later("not_sent", "the background thread takes no batch"),
        }
    }

    /// An answer to a batch that was given up says nothing of the one that is on its way now: it may be of another spool.
    fn hear(&mut self, to: SentId, said: ControlAnswer) {
        if self.sent.as_ref().is_some_and(|sent| sent.id == to) {
            self.take_answer(said);
        }
    }

    fn take_answer(&mut self, said: ControlAnswer) {
        let Some(SentBatch { id: sent, .. }) = self.sent.take() else { return };
        let before = self.files.next_no();
        match said {
            ControlAnswer::Told { acked, want, last_no } => {
                let heard = HeardAnswer { spool: sent.spool, seq: sent.seq, acked, want, last_no };
                let again = Instant::now() + REFUSED_BACKOFF;
                let taken = random().and_then(|id| self.files.answered(heard, again, id));
                if self.files.next_no() != before {
                    self.renumber();
                }
                if self.tell(taken) == Some(false) {
                    return self.again_later("wanted_again", "control wants the same batch again");
                }
                (self.retry_at, self.backoff) = (None, Duration::ZERO);
                if let Some(over) = self.control.over(sys::boottime_ms()) {
                    tracing::info!(name: "clicks_taken", lasted_ms = over.lasted_ms, "control takes clicks again");
                }
            }
            ControlAnswer::Refused(why) => {
                self.counts.refused += 1;
                self.again_later("refused", &why);
                let again = Instant::now() + REFUSED_BACKOFF;
                let refused = random().map(|id| self.files.refused(sent.spool, sent.seq, again, id));
                if self.files.next_no() != before {
                    self.renumber();
                }
                self.tell(refused);
                (self.retry_at, self.backoff) = (None, Duration::ZERO);
            }
            ControlAnswer::Unanswered => {
                self.again_later(
                    "unanswered",
                    "control cannot be reached, or its store does not take clicks now",
                );
            }
        }
    }

    fn again_later(&mut self, reason: &'static str, why: &str) {
        self.backoff = (self.backoff * 2).clamp(FIRST_BACKOFF, LONGEST_BACKOFF);
        self.retry_at = Some(Instant::now() + self.backoff);
        let Some(tell) = self.control.met(sys::boottime_ms(), reason) else { return };
        let (pending, lasts_ms) = (self.files.sums().pending, tell.lasts_ms);
        tracing::warn!(
            name: "clicks_not_taken", reason, why, pending, lasts_ms,
            "control does not take clicks: they are kept in the spool until it does, up to --clicks-spool-bytes"
        );
    }

    /// Another spool goes on: what is not on disk yet gets its numbers.
    fn renumber(&mut self) {
        let mut next_no = self.files.next_no();
        for chunk in &mut self.ready {
            let Ok(mut batch) = clicks::batch::decode(&chunk.batch) else { continue };
            batch.first_no = next_no;
            next_no = batch.last_no() + 1;
            (chunk.head.first_no, chunk.head.last_no) = (batch.first_no, batch.last_no());
            chunk.batch = clicks::batch::encode(&batch);
        }
        self.drain.renumber(next_no);
    }

    /// Everybody may see what was counted.
    fn publish(&mut self) {
        let sums = self.files.sums();
        let counts = &mut self.counts;
        (counts.recorded, counts.lost) = (sums.recorded, sums.lost);
        for chunk in &self.ready {
            counts.recorded += chunk.head.last_no + 1 - chunk.head.first_no;
            counts.lost.add(chunk.head.lost);
        }
        counts.recorded += self.drain.open_recorded();
        counts.lost.add(self.drain.open_lost());
        counts.acknowledged = sums.acknowledged;
        counts.pending =
            counts.recorded.saturating_sub(counts.acknowledged).saturating_sub(counts.lost.total());
        counts.kinds = self.drain.kinds;
        (counts.spool_bytes, counts.spool_owed_bytes) = (sums.bytes, sums.owed_bytes);
        (counts.geo_in_use, counts.geo_failures) = (self.drain.geo.is_in_use(), self.drain.geo.failures());
        self.way.clicks.publish(counts);
        let in_memory = !self.ready.is_empty() || self.drain.open_recorded() > 0;
        let until = match self.files.complete_until() {
            Some(until) => until,
            None if in_memory => 0,
            None => self.drained_until,
        };
        self.way.clicks.is_complete_until(until, sums.owes || in_memory, unix_ms());
    }

    /// The last clicks of this process.
    fn end(&mut self, within: Duration) {
        let deadline = Instant::now() + within;
        let mut tries = LAST_TRIES;
        while tries > 0 {
            let all = self.take(unix_ms());
            if all && !self.drain.is_empty() {
                self.ready.push(self.drain.end_chunk(self.drained_until));
            }
            self.write();
            match self.ready.is_empty() {
                true if self.drain.waits() => break, // the next process finds what is in the rings
                true if all && self.drain.is_empty() => break,
                true => {}           // there is more
                false => tries -= 1, // the disk does not take it
            }
        }
        // What processes before have left is sent, too, if it is read by then.
        while self.take_found(deadline.saturating_duration_since(Instant::now())) && Instant::now() < deadline
        {
        }
        // What a control takes now needs no disk to come back to.
        while self.files.sums().owes && !within.is_zero() {
            self.retry_at = None;
            self.offer();
            let left = deadline.saturating_duration_since(Instant::now());
            if self.sent.is_none() || left.is_zero() {
                break;
            }
            match self.way.inbox.recv_timeout(left) {
                Ok(GatherMessage::Answer { sent, said: said @ ControlAnswer::Told { .. } }) => {
                    self.hear(sent, said);
                }
                _ => break,
            }
            if self.retry_at.is_some() {
                break;
            }
        }
        self.publish();
        let (pending, unwritten) = (self.counts.pending, self.ready.len());
        tracing::info!(
            name: "clicks_stopped", pending, unwritten,
            "this process counts no more clicks; those that control lacks are on disk for the next one"
        );
    }
}

fn tell_disk(spell: &mut Spell, clicks: &Clicks, fault: &io::Error) {
    let Some(tell) = spell.met(sys::boottime_ms(), "disk") else { return };
    let (dir, lasts_ms) = (clicks.config.dir.display(), tell.lasts_ms);
    tracing::error!(
        name: "spool_failed", %dir, %fault, lasts_ms,
        "the spool of clicks cannot be written or read: redirects go on, and clicks that find no room are counted as lost; \
         make room in --clicks-dir"
    );
}
