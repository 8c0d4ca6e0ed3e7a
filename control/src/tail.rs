//! The end of the log in memory, read once for all sessions (R3). Nothing is sent here.

use crate::call::blocking;
use link::{Change, Epoch, Position, Seq};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use store::model::StoreFault;
use store::port::{Limit, Repository};
use tokio::sync::{Semaphore, watch};

/// One batch: what a session sends at once, and what the tail reads at once.
pub const BATCH: Limit = Limit { rows: 1_000, bytes: 1024 * 1024 };
/// Changes kept in memory. A session that is further behind reads the store.
const KEPT_CHANGES: usize = 65_536;
/// Bytes of keys and records kept in memory.
const KEPT_BYTES: usize = 16 * 1024 * 1024;
/// A lost hint costs this much.
const PERIOD: Duration = Duration::from_millis(100);

/// The last changes.
pub struct Tail {
    store: Arc<dyn Repository>,
    recent: RwLock<RecentChanges>,
    read: watch::Sender<Position>,
    broken: AtomicBool,
}

#[derive(Default)]
struct RecentChanges {
    epoch: Epoch,
    changes: VecDeque<Change>,
    bytes: usize,
}

impl Tail {
    /// A tail that begins behind `head`: older changes are in the store.
    pub fn new(store: Arc<dyn Repository>, head: Position) -> Self {
        Self {
            store,
            recent: RwLock::new(RecentChanges { epoch: head.epoch, ..RecentChanges::default() }),
            read: watch::channel(head).0,
            broken: AtomicBool::new(false),
        }
    }

    /// How far it has read.
    pub fn head(&self) -> watch::Receiver<Position> {
        self.read.subscribe()
    }

    /// Whether a hole ended it.
    pub fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    /// Reads on at each hint, and at least every 100 ms, until `stop`. A hole ends it: changes behind one would be
    /// applied by edges that never heard of those in it, so edges rather learn that they are blind.
    pub async fn run(&self, mut hint: watch::Receiver<Position>, mut stop: watch::Receiver<bool>) {
        let mut hinted = true;
        loop {
            match self.read_on().await {
                Ok(true) => {}
                Ok(false) => return self.broken.store(true, Ordering::Relaxed),
                Err(fault) => tracing::debug!(name: "log_unread", %fault, "the log cannot be read now"),
            }
            tokio::select! {
                // Once the writer has gone this is ready at once, for ever: the timer is enough then.
                changed = hint.changed(), if hinted => hinted = changed.is_ok(),
                () = tokio::time::sleep(PERIOD) => {}
                _ = stop.wait_for(|&stop| stop) => return,
            }
        }
    }

    /// Reads up to the end of the log; `false` at a hole.
    async fn read_on(&self) -> Result<bool, StoreFault> {
        loop {
            let last = *self.read.borrow();
            let (head, changes) = blocking(&self.store, move |store| store.changes(last.seq, BATCH)).await?;
            if head.epoch != last.epoch {
                // What is in memory need not be in the new history: whoever follows says hello, and reads the store.
                let mut recent = self.recent.write().unwrap_or_else(PoisonError::into_inner);
                *recent = RecentChanges { epoch: head.epoch, ..RecentChanges::default() };
                self.read.send_replace(head);
                return Ok(true);
            }
            if let Some((change, want)) = changes.iter().zip(last.seq + 1..).find(|(c, want)| c.seq != *want)
            {
                tracing::error!(
                    name: "log_hole",
                    missing = want,
                    found = change.seq,
                    "the log has a hole: no edge is sent more; restore the store, and start control again"
                );
                return Ok(false);
            }
            let Some(end) =
                changes.last().map(|last| Position { epoch: head.epoch, seq: last.seq, tag: last.tag })
            else {
                if head.seq > last.seq {
                    tracing::error!(
                        name: "log_hole",
                        missing = last.seq + 1,
                        "the log ends before its head: no edge is sent more; restore the store, and start control again"
                    );
                    return Ok(false);
                }
                return Ok(true);
            };
            self.append(last, changes, end);
            if end.seq >= head.seq {
                return Ok(true);
            }
        }
    }

    /// Takes what this process has just committed, so that nobody has to read it back. What does not follow at once on
    /// what is known, because another control has written in between, is read from the store.
    pub fn offer(&self, changes: Vec<Change>, end: Position) {
        let last = *self.read.borrow();
        let follows = changes.iter().zip(last.seq + 1..).all(|(change, want)| change.seq == want);
        if follows && end.seq == last.seq + changes.len() as Seq && end.epoch == last.epoch {
            self.append(last, changes, end);
        }
    }

    /// Unless the end is not `last` any more: the store or the writer was quicker, and it is here already.
    fn append(&self, last: Position, changes: Vec<Change>, end: Position) {
        let mut recent = self.recent.write().unwrap_or_else(PoisonError::into_inner);
        if *self.read.borrow() != last {
            return;
        }
        recent.bytes += changes.iter().map(size).sum::<usize>();
        recent.changes.extend(changes);
        while recent.changes.len() > KEPT_CHANGES || recent.bytes > KEPT_BYTES {
            let Some(oldest) = recent.changes.pop_front() else { break };
            recent.bytes -= size(&oldest);
        }
        self.read.send_replace(end);
    }

    /// Whether the changes of a history behind `after` are in memory.
    pub fn holds(&self, epoch: Epoch, after: Seq) -> bool {
        let recent = self.recent.read().unwrap_or_else(PoisonError::into_inner);
        recent.epoch == epoch && recent.changes.front().is_some_and(|first| first.seq <= after + 1)
    }

    /// The changes of a history behind `after`, one batch at most: those in memory, or else of the store, in the turn of
    /// those who read it. `None` if that holds another history.
    pub async fn changes(
        &self,
        epoch: Epoch,
        after: Seq,
        turns: &Semaphore,
    ) -> Result<Option<Vec<Change>>, StoreFault> {
        if let Some(changes) = self.recent(epoch, after) {
            return Ok(Some(changes));
        }
        let _turn = turns.acquire().await; // an error would mean that it was closed, which it never is
        let (head, changes) = blocking(&self.store, move |store| store.changes(after, BATCH)).await?;
        Ok((head.epoch == epoch).then_some(changes))
    }

    /// Those in memory. Of another history the same numbers mean other changes.
    fn recent(&self, epoch: Epoch, after: Seq) -> Option<Vec<Change>> {
        let recent = self.recent.read().unwrap_or_else(PoisonError::into_inner);
        if recent.epoch != epoch {
            return None;
        }
        let first = recent.changes.front()?.seq;
        let skip = usize::try_from((after + 1).checked_sub(first)?).ok()?;
        let mut bytes = 0;
        let fits = |change: &&Change| {
            let alone = bytes == 0;
            bytes += size(change);
            alone || bytes <= BATCH.bytes
        };
        Some(recent.changes.iter().skip(skip).take(BATCH.rows).take_while(fits).cloned().collect())
    }
}

fn size(change: &Change) -> usize {
    change.key.len() + change.record.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::FakeStore;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn only_what_follows_at_once_is_taken_from_the_writer() {
        let at = |seq| Position { seq, tag: 9, ..Position::default() };
        let changes = |from: Seq, to: Seq| -> Vec<Change> {
            let (key, record) = (bytes::Bytes::from_static(b"\0\0\0\0a"), bytes::Bytes::new());
            let change = |seq| Change {
                seq,
                tag: 9,
                kind: link::ChangeKind::LINK,
                key: key.clone(),
                record: record.clone(),
            };
            (from..=to).map(change).collect()
        };
        let tail = Tail::new(Arc::new(FakeStore::default()), at(4));
        let numbers = |after| -> Option<Vec<Seq>> {
            Some(tail.recent(Epoch::default(), after)?.iter().map(|change| change.seq).collect())
        };
        tail.offer(changes(6, 7), at(7)); // somebody else has written 5
        assert_eq!((numbers(4), *tail.head().borrow()), (None, at(4)));
        tail.offer(changes(5, 6), at(6));
        tail.offer(changes(5, 6), at(6)); // read from the store meanwhile
        tail.offer(changes(7, 7), Position { epoch: Epoch { counter: 2, random: 1 }, ..at(7) });
        assert_eq!((numbers(4), *tail.head().borrow()), (Some(vec![5, 6]), at(6)));
        tail.append(at(4), changes(5, 5), at(5)); // a read that was overtaken
        assert_eq!(numbers(5), Some(vec![6]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_writer_that_died_does_not_make_the_tail_spin() {
        // Far too many reads end it with a hole.
        let reads = Arc::new(AtomicUsize::new(0));
        let counted = reads.clone();
        let changes = move || {
            let seq = if counted.fetch_add(1, Ordering::Relaxed) > 500 { 7 } else { 0 };
            (Position { seq, ..Position::default() }, Vec::new())
        };
        let store = FakeStore { changes: Box::new(changes), ..FakeStore::default() };
        let tail = Tail::new(Arc::new(store), Position::default());
        let (writer, hint) = watch::channel(Position::default());
        let (_stop, stopped) = watch::channel(false);
        drop(writer);
        let ended = tokio::time::timeout(PERIOD * 10, tail.run(hint, stopped)).await;
        let reads = reads.load(Ordering::Relaxed);
        assert!(ended.is_err() && (5..=12).contains(&reads), "{reads} reads");
    }
}
