//! Batches of clicks from edges on their way into the store: held against what they say of themselves, clamped to our clock,
//! and those of many edges written in one commit. What of them counts, the store decides by `clicks::ledger`.

use crate::Fault;
use crate::call::blocking;
use crate::metrics::ClickNumbers;
use bytes::Bytes;
use clicks::UIDS;
use clicks::batch::{self, Batch};
use clicks::ledger::Offer;
use std::sync::Arc;
use std::time::Duration;
use store::clock::unix_ms;
use store::model::StoreFault;
use store::port::Repository;
use store::port::clicks::{AppendOutcome, Appended, BatchSender, TakenBehindHole};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::time::Instant;

/// Between two commits, so that there are at most 20 a second, whatever the number of edges.
const PACE: Duration = Duration::from_millis(50);
/// Batches of one commit, and bytes of them.
const GROUP: usize = 256;
const GROUP_BYTES: usize = 8 * 1024 * 1024;
/// Bytes of clicks in memory, as they are unpacked, of all batches that wait.
const WAITING_BYTES: usize = 128 * 1024 * 1024;
/// Of a click there, with its texts, which it shares with others as a rule; and of anything else in a batch.
const CLICK_BYTES: usize = 256;
const NOTE_BYTES: usize = 640;
/// Batches that are unpacked at once: others need the cores.
const UNPACKING: usize = 2;
/// How far the clock of an edge may be behind or ahead: what is beyond counts as if it were there.
const BEHIND: i64 = 40 * 24 * HOUR;
const AHEAD: i64 = 5 * MINUTE;
/// Milliseconds.
const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

/// A batch as an edge offers it.
pub struct OfferedBatch {
    /// Who offers it: the edge's name has been held against its key.
    pub sender: BatchSender,
    /// Random for each spool.
    pub spool: u64,
    /// What it says of itself.
    pub offer: Offer,
    /// The clicks.
    pub bytes: Bytes,
}

/// A batch that waits for the next commit.
struct WaitingBatch {
    appended: Appended,
    numbers: BatchNumbers,
    reply: oneshot::Sender<Result<AppendOutcome, StoreFault>>,
    /// Of what may wait; given back with the answer.
    room: OwnedSemaphorePermit,
}

/// A batch that was read.
struct UnpackedBatch {
    appended: Appended,
    numbers: BatchNumbers,
}

/// What is counted of a batch once it is taken.
struct BatchNumbers {
    edge: Arc<str>,
    batch: Arc<Batch>,
    clamped: u64,
}

/// The way in.
pub struct Intake {
    line: mpsc::Sender<WaitingBatch>,
    room: Arc<Semaphore>,
    unpacking: Semaphore,
    numbers: Arc<ClickNumbers>,
    /// Raised by every commit that took something.
    taken: watch::Sender<u64>,
}

/// The other end: whoever has it commits.
pub struct Commits {
    line: mpsc::Receiver<WaitingBatch>,
    store: Arc<dyn Repository>,
    intake: Arc<Intake>,
}

impl Intake {
    /// Into this store.
    pub fn new(store: Arc<dyn Repository>, numbers: Arc<ClickNumbers>) -> (Arc<Self>, Commits) {
        let (sender, line) = mpsc::channel(GROUP);
        let intake = Arc::new(Self {
            line: sender,
            room: Arc::new(Semaphore::new(WAITING_BYTES)),
            unpacking: Semaphore::new(UNPACKING),
            numbers,
            taken: watch::Sender::new(0),
        });
        (intake.clone(), Commits { line, store, intake })
    }

    /// Tells when clicks were taken here. Another control of the store may have taken others.
    pub fn taken(&self) -> watch::Receiver<u64> {
        self.taken.subscribe()
    }

    /// Takes a batch, and answers when what came of it is on disk.
    ///
    /// # Errors
    /// [`Fault::Invalid`] of a batch that no edge of ours makes, and those of the store.
    pub async fn take(&self, offered: OfferedBatch) -> Result<AppendOutcome, Fault> {
        let outcome = self.try_take(offered).await;
        if let Err(Fault::Invalid { .. }) = &outcome {
            self.numbers.refused();
        }
        outcome
    }

    async fn try_take(&self, offered: OfferedBatch) -> Result<AppendOutcome, Fault> {
        let (reply, answer) = oneshot::channel();
        {
            // Kept until there is room for what was unpacked: a few bytes may be many clicks. Nobody closes either.
            let _turn = self.unpacking.acquire().await;
            let unpacked = tokio::task::spawn_blocking(move || unpacked(offered, unix_ms())).await;
            let UnpackedBatch { appended, numbers } = unpacked.map_err(|_| Fault::Internal)??;
            let cost = memory(&numbers.batch, &appended.bytes).min(WAITING_BYTES / 4);
            let room = self.room.clone().acquire_many_owned(cost as u32).await.map_err(|_| stopping())?;
            let waiting = WaitingBatch { appended, numbers, reply, room };
            self.line.send(waiting).await.map_err(|_| stopping())?;
        }
        Ok(answer.await.map_err(|_| stopping())??)
    }
}

/// Bytes that a batch takes while it waits, about.
fn memory(batch: &Batch, bytes: &Bytes) -> usize {
    let notes = batch.totals.len() + batch.losses.len() + batch.unknown.len() + batch.agents.len();
    bytes.len() + batch.clicks.len() * CLICK_BYTES + notes * NOTE_BYTES + NOTE_BYTES
}

fn stopping() -> Fault {
    Fault::Unavailable("this control is stopping")
}

/// The batch in the form that the store takes.
fn unpacked(offered: OfferedBatch, now: i64) -> Result<UnpackedBatch, Fault> {
    let OfferedBatch { sender, spool, offer, bytes } = offered;
    let mut batch =
        batch::decode(&bytes).map_err(|why| Fault::invalid("batch", format!("cannot be read: {why}")))?;
    if !offer.fits(&batch) {
        return Err(Fault::invalid("batch", "holds other numbers than first_no and last_no say"));
    }
    // Counted under such a number, it would be in what the store keeps of some domain itself.
    if batch.clicks.iter().any(|click| !UIDS.contains(&click.uid)) {
        return Err(Fault::invalid("batch", "holds a click on what cannot be a link"));
    }
    let clamped = clamp(&mut batch, now);
    let bytes = if clamped > 0 { batch::encode(&batch).into() } else { bytes };
    let batch = Arc::new(batch);
    let numbers = BatchNumbers { edge: sender.edge.clone(), batch: batch.clone(), clamped };
    Ok(UnpackedBatch { appended: Appended { sender, spool, offer, batch, bytes }, numbers })
}

/// Moves every time of a batch into the days that clicks are taken of; how many clicks that concerned.
fn clamp(batch: &mut Batch, now: i64) -> u64 {
    let mut moved = 0;
    // Times are in units of so many milliseconds.
    let mut clamp = |at: &mut i64, unit: i64, clicks: u64| {
        let within = (*at).clamp((now - BEHIND).div_euclid(unit), (now + AHEAD).div_euclid(unit));
        if std::mem::replace(at, within) != within {
            moved += clicks;
        }
    };
    batch.clicks.iter_mut().for_each(|click| clamp(&mut click.at, 1, 1));
    batch.totals.iter_mut().for_each(|total| clamp(&mut total.minute, MINUTE, total.count));
    batch.losses.iter_mut().for_each(|loss| clamp(&mut loss.minute, MINUTE, loss.count));
    // A request for a code that there is not is counted as one, too, so that the batch is encoded anew.
    batch.unknown.iter_mut().for_each(|unknown| clamp(&mut unknown.hour, HOUR, unknown.count));
    moved
}

impl Commits {
    /// Commits until `stop`. What was answered is on disk; what was not is sent again, here or elsewhere.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut next = Instant::now();
        loop {
            let first = tokio::select! {
                first = self.line.recv() => first,
                _ = stop.wait_for(|&stop| stop) => return,
            };
            let Some(first) = first else { return };
            tokio::time::sleep_until(next).await;
            next = Instant::now() + PACE;
            let group = self.group(first);
            self.commit(group).await;
        }
    }

    /// The batches of the next commit, in the order in which they came.
    fn group(&mut self, first: WaitingBatch) -> Vec<WaitingBatch> {
        let mut bytes = first.appended.bytes.len();
        let mut group = vec![first];
        while group.len() < GROUP && bytes < GROUP_BYTES {
            let Ok(more) = self.line.try_recv() else { break };
            bytes += more.appended.bytes.len();
            group.push(more);
        }
        group
    }

    async fn commit(&self, group: Vec<WaitingBatch>) {
        let (mut batches, mut waiting) = (Vec::new(), Vec::new());
        for WaitingBatch { appended, numbers, reply, room } in group {
            batches.push(appended);
            waiting.push((numbers, reply, room));
        }
        let append = move |store: &dyn Repository| store.clicks().append(&batches, unix_ms());
        match blocking(&self.store, append).await {
            Ok(outcomes) => {
                for ((numbers, reply, _), outcome) in waiting.into_iter().zip(outcomes) {
                    self.intake.numbers.judged(&outcome, &numbers.batch, numbers.clamped);
                    tell_hole(&numbers.edge, &outcome);
                    let _ = reply.send(Ok(outcome)); // the edge may have gone
                }
                self.intake.numbers.committed();
                self.intake.taken.send_modify(|taken| *taken += 1);
            }
            Err(fault) => {
                tracing::debug!(name: "clicks_not_taken", %fault, batches = waiting.len(), "batches of clicks were not written: their edges send them again");
                for (_, reply, _) in waiting {
                    let _ = reply.send(Err(fault.clone())); // the edge may have gone
                }
            }
        }
    }
}

/// Numbers that no edge holds any more are told.
fn tell_hole(edge: &str, outcome: &AppendOutcome) {
    let AppendOutcome::TakenBehindHole(TakenBehindHole { told, unbelieved, .. }) = outcome else { return };
    tracing::warn!(
        name: "clicks_missing", edge, told, unbelieved,
        "an edge has left out numbers of clicks that it does not hold any more, as behind a restore of the store: they are told as \
         lost, but for those beyond what an edge can have recorded in the time"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{FakeClicks, FakeStore, raw};
    use clicks::batch::UnknownCode;
    use link::DomainId;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const NOW: i64 = 20_000 * 24 * HOUR;

    /// A batch with one click at this time.
    fn offered(edge: &str, at: i64) -> OfferedBatch {
        let mut batch = Batch::new(1, 1);
        batch.clicks.push(clicks::Click { at, ..raw(0).click });
        let offer = Offer { seq: 1, first_no: 1, last_no: 1, first: false };
        let sender = BatchSender { edge: edge.into(), key: "".into(), bound: false };
        OfferedBatch { sender, spool: 1, offer, bytes: batch::encode(&batch).into() }
    }

    #[test]
    fn a_clock_that_is_wrong_counts_at_its_bound() {
        let of = |at: i64| unpacked(offered("a", at), NOW).unwrap();
        let right = of(NOW - HOUR);
        assert_eq!((right.numbers.clamped, right.appended.batch.clicks[0].at), (0, NOW - HOUR));
        assert_eq!(right.appended.bytes, offered("a", NOW - HOUR).bytes, "as it came");
        for (at, want) in [(NOW + 2 * HOUR, NOW + AHEAD), (NOW - 41 * 24 * HOUR, NOW - BEHIND)] {
            let moved = of(at);
            assert_eq!((moved.numbers.clamped, moved.appended.batch.clicks[0].at), (1, want));
            assert_eq!(batch::decode(&moved.appended.bytes).as_ref(), Ok(&*moved.appended.batch));
        }
        let mut batch = Batch::new(1, 1);
        let code = UnknownCode { domain: DomainId::DEFAULT, hour: i64::MAX, code: None, count: 3 };
        batch.unknown.push(code);
        assert_eq!((clamp(&mut batch, NOW), batch.unknown[0].hour), (3, NOW / HOUR));
    }

    #[test]
    fn a_batch_that_says_other_numbers_than_it_holds_is_refused() {
        for offer in [
            Offer { seq: 1, first_no: 1, last_no: 2, first: false },
            Offer { seq: 1, first_no: 0, last_no: 0, first: false },
        ] {
            let refused = unpacked(OfferedBatch { offer, ..offered("a", NOW) }, NOW).err().unwrap();
            assert_eq!(refused.field(), Some("batch"));
        }
        let torn = OfferedBatch { bytes: Bytes::from_static(b"\xff\xff"), ..offered("a", NOW) };
        assert_eq!(unpacked(torn, NOW).err().unwrap().field(), Some("batch"));
    }

    #[test]
    fn a_click_on_what_cannot_be_a_link_is_refused() {
        for (uid, refused) in
            [(0, true), (1, false), (UIDS.into_inner().1, false), (1 << 63, true), (u64::MAX, true)]
        {
            let mut batch = Batch::new(1, 1);
            batch.clicks.push(clicks::Click { at: NOW, uid, ..raw(0).click });
            let offered = OfferedBatch { bytes: batch::encode(&batch).into(), ..offered("a", NOW) };
            let field = unpacked(offered, NOW).err().map(|fault| fault.field().map(str::to_owned));
            assert_eq!(field, refused.then(|| Some("batch".to_owned())), "{uid}");
        }
    }

    /// A store that notes how many batches each commit has, and takes all; its first commit fails if it is told to.
    fn noting(fails: bool) -> (Arc<dyn Repository>, Arc<Mutex<Vec<usize>>>) {
        let (commits, fails) = (Arc::new(Mutex::new(Vec::new())), AtomicUsize::new(usize::from(fails)));
        let noted = commits.clone();
        let append = move |batches: &[Appended]| {
            noted.lock().unwrap().push(batches.len());
            if fails.fetch_min(0, Ordering::Relaxed) > 0 {
                return Err(StoreFault::Full);
            }
            Ok(batches.iter().map(|own| AppendOutcome::Taken(own.offer.seq)).collect())
        };
        let clicks = FakeClicks { append: Box::new(append), ..FakeClicks::default() };
        (Arc::new(FakeStore { clicks, ..FakeStore::default() }), commits)
    }

    #[tokio::test]
    async fn what_many_edges_send_meanwhile_is_one_commit() {
        let (store, commits) = noting(false);
        let (intake, line) = Intake::new(store, Arc::default());
        let mut taken = intake.taken();
        let waiting: Vec<_> = (0..7)
            .map(|edge| {
                let intake = intake.clone();
                tokio::spawn(async move { intake.take(offered(&edge.to_string(), unix_ms())).await })
            })
            .collect();
        while intake.line.capacity() > GROUP - 7 {
            tokio::task::yield_now().await;
        }
        let (end, stop) = watch::channel(false);
        let running = tokio::spawn(line.run(stop));
        for one in waiting {
            assert_eq!(one.await.unwrap(), Ok(AppendOutcome::Taken(1)));
        }
        assert_eq!(*commits.lock().unwrap(), [7]);
        assert!(taken.has_changed().unwrap() && *taken.borrow_and_update() == 1);
        end.send_replace(true);
        running.await.unwrap();
        let late = intake.take(offered("late", unix_ms())).await;
        assert!(matches!(late, Err(Fault::Unavailable(_))), "{late:?}");
    }

    #[tokio::test]
    async fn a_commit_that_fails_is_told_and_the_next_one_is_tried() {
        let (store, commits) = noting(true);
        let (intake, line) = Intake::new(store, Arc::default());
        let (_end, stop) = watch::channel(false);
        tokio::spawn(line.run(stop));
        let failed = intake.take(offered("a", unix_ms())).await;
        assert_eq!(failed, Err(Fault::Store(StoreFault::Full)));
        assert_eq!(intake.take(offered("a", unix_ms())).await, Ok(AppendOutcome::Taken(1)));
        assert_eq!(*commits.lock().unwrap(), [1, 1]);
        assert_eq!(intake.room.available_permits(), WAITING_BYTES);
    }

    /// 300 edges of 5 clicks a second each would be 1,500 commits a second if each batch were one.
    #[tokio::test(start_paused = true)]
    async fn three_hundred_edges_of_five_clicks_a_second_commit_at_most_twenty_times_a_second() {
        const SECONDS: u64 = 2;
        let (store, commits) = noting(false);
        let (intake, line) = Intake::new(store, Arc::default());
        let (_end, stop) = watch::channel(false);
        let running = tokio::spawn(line.run(stop));
        let began = Instant::now();
        let edge = |edge: u64| {
            let intake = intake.clone();
            tokio::spawn(async move {
                // Not all at the same moment.
                tokio::time::sleep(Duration::from_micros(edge * 661)).await;
                for _ in 0..5 * SECONDS {
                    let next = Instant::now() + Duration::from_millis(200);
                    let taken = intake.take(offered(&edge.to_string(), unix_ms())).await;
                    assert_eq!(taken, Ok(AppendOutcome::Taken(1)));
                    tokio::time::sleep_until(next).await;
                }
            })
        };
        let edges: Vec<_> = (0..300).map(edge).collect();
        for edge in edges {
            edge.await.unwrap();
        }
        let commits = commits.lock().unwrap();
        assert_eq!(commits.iter().sum::<usize>() as u64, 300 * 5 * SECONDS);
        let most = began.elapsed().as_millis() / PACE.as_millis() + 1;
        assert!(commits.len() as u128 <= most, "{} commits in {:?}", commits.len(), began.elapsed());
        assert!(began.elapsed() < Duration::from_secs(2 * SECONDS), "{:?}: they wait", began.elapsed());
        running.abort();
    }
}
