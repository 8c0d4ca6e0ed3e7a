//! The one thread that writes: what queued while the last commit ran becomes the next one. No rule of a link is here.

use crate::Fault;
use crate::tail::Tail;
use crate::traces::{CallSpan, PartSpan};
use journal::blocks::{BlockItem, BlockVerdict};
use journal::domains::DomainItem;
use journal::{Request, RequestKind, Verdict};
use link::{Epoch, Position, Seq};
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use store::clock::unix_ms;
use store::model::StoreFault;
use store::port::domains::DomainCommitReport;
use store::port::{Repository, SessionRow};
use tokio::sync::{Notify, oneshot, watch};

/// Items of small writes in one commit, unless one batch has more.
const GROUP_ITEMS: usize = 256;
/// Items of small writes that wait when no more may come.
const WAITING_ITEMS: usize = 2_048;
/// Import chunks that may wait: each import keeps at most two under way.
const WAITING_CHUNKS: usize = 256;

/// Between two looks for what is too old to be kept.
const TIDY: Duration = Duration::from_secs(60);
/// Between two steps of forgetting while there is more: others want the disk, too.
const TIDY_STEP: Duration = Duration::from_millis(50);

/// What a commit made of one request.
#[derive(Debug)]
pub struct WriteOutcome {
    /// The history.
    pub epoch: Epoch,
    /// One for each item.
    pub verdicts: Vec<Verdict>,
}

type StoreResult<T> = Result<T, StoreFault>;

/// The way back to whoever asked, and what is dropped just before he is answered.
struct ReplySender<T> {
    to: oneshot::Sender<StoreResult<T>>,
    held: Box<dyn Send>,
    /// The call, and its wait for this thread.
    call: CallSpan,
    wait: PartSpan,
}

impl<T> ReplySender<T> {
    fn new(held: impl Send + 'static) -> (Self, PendingAnswer<T>) {
        let (to, answer) = oneshot::channel();
        let call = CallSpan::current();
        let wait = call.part("wait for the writer");
        (Self { to, held: Box::new(held), call, wait }, PendingAnswer(answer))
    }

    /// Its turn has come: a span that lasts until it is dropped.
    fn begin(&mut self, name: &'static str) -> PartSpan {
        self.wait = PartSpan::default();
        self.call.part(name)
    }

    fn send(self, answer: StoreResult<T>) -> Result<(), StoreResult<T>> {
        let Self { to, held, call, wait } = self;
        drop((held, wait, call));
        to.send(answer)
    }
}

enum Job {
    Write(Request, ReplySender<WriteOutcome>),
    Fork(u32, Seq, ReplySender<Position>),
    Domain(DomainItem, ReplySender<DomainCommitReport>),
    Block(BlockItem, ReplySender<BlockVerdict>),
    Sessions(Vec<SessionRow>, ReplySender<Vec<SessionRow>>),
    Probe(ReplySender<()>),
}

impl Job {
    /// What is no write counts as one.
    fn items(&self) -> usize {
        if let Self::Write(request, _) = self { request.items.len() } else { 1 }
    }
}

#[derive(Default)]
struct Queue {
    small: VecDeque<Job>,
    /// Of the small ones.
    items: usize,
    chunks: VecDeque<Job>,
    closed: bool,
    dead: bool,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    filled: Condvar,
    blocks: Notify,
}

/// The way to the writing thread.
pub struct Writer {
    shared: Arc<Shared>,
    head: watch::Receiver<Position>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

impl Writer {
    /// Starts the thread. `head` is where the log ends now; `tail` is offered what is committed.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start(store: Arc<dyn Repository>, head: Position, tail: Arc<Tail>) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let (committed, head) = watch::channel(head);
        let own = ClosingGuard(shared.clone());
        let thread = std::thread::Builder::new()
            .name("writer".into())
            .spawn(move || run(&own.0, &*store, &tail, &committed))?;
        Ok(Self { shared, head, thread: Mutex::new(Some(thread)) })
    }

    /// The end of the log after the last commit. It is set before that commit is acknowledged to anybody.
    pub fn head(&self) -> watch::Receiver<Position> {
        self.head.clone()
    }

    /// Queues a request; it is committed as one. The answer comes when it is on disk. What it holds is dropped just before,
    /// whether anybody still waits or not.
    ///
    /// # Errors
    /// [`Fault::Overloaded`] when too much waits already.
    pub fn submit(
        &self,
        request: Request,
        held: impl Send + 'static,
    ) -> Result<PendingAnswer<WriteOutcome>, Fault> {
        let (reply, answer) = ReplySender::new(held);
        self.push(Job::Write(request, reply))?;
        Ok(answer)
    }

    /// Begins a new history above `counter` that shares the changes up to `shared` with this one.
    ///
    /// # Errors
    /// As for any write.
    pub async fn fork(&self, counter: u32, shared: Seq) -> Result<Position, Fault> {
        let (reply, answer) = ReplySender::new(());
        self.push(Job::Fork(counter, shared, reply))?;
        answer.answer().await
    }

    /// Writes a domain. What it holds is dropped as with [`Self::submit`].
    ///
    /// # Errors
    /// As for any write.
    pub async fn domain(
        &self,
        item: DomainItem,
        held: impl Send + 'static,
    ) -> Result<DomainCommitReport, Fault> {
        let (reply, answer) = ReplySender::new(held);
        self.push(Job::Domain(item, reply))?;
        let done = answer.answer().await?;
        crate::call::wrote(&Position::revision(done.head.epoch, done.head.seq));
        Ok(done)
    }

    /// Writes a block, and wakes whoever waits in [`Self::block_written`].
    ///
    /// # Errors
    /// As for any write.
    pub async fn block(&self, item: BlockItem) -> Result<BlockVerdict, Fault> {
        let (reply, answer) = ReplySender::new(WakeGuard(self.shared.clone()));
        self.push(Job::Block(item, reply))?;
        answer.answer().await
    }

    /// Returns when a block was written, be it before this call.
    pub async fn block_written(&self) {
        self.shared.blocks.notified().await;
    }

    /// Writes down which edges there are; answers with those of every control.
    ///
    /// # Errors
    /// As for any write.
    pub async fn sessions(&self, own: Vec<SessionRow>) -> Result<Vec<SessionRow>, Fault> {
        let (reply, answer) = ReplySender::new(());
        self.push(Job::Sessions(own, reply))?;
        answer.answer().await
    }

    /// Looks whether anything can be written.
    ///
    /// # Errors
    /// As for any write.
    pub async fn probe(&self) -> Result<(), Fault> {
        let (reply, answer) = ReplySender::new(());
        self.push(Job::Probe(reply))?;
        answer.answer().await
    }

    /// Whether its thread has panicked: nothing is written any more.
    pub fn is_dead(&self) -> bool {
        self.shared.lock().dead
    }

    fn push(&self, job: Job) -> Result<(), Fault> {
        let mut queue = self.shared.lock();
        if queue.dead {
            return Err(died());
        }
        if queue.closed {
            return Err(stopping());
        }
        let chunk = matches!(&job, Job::Write(request, _) if request.kind == RequestKind::Chunk);
        let (waiting, most) =
            if chunk { (queue.chunks.len(), WAITING_CHUNKS) } else { (queue.items, WAITING_ITEMS) };
        if waiting >= most {
            return Err(Fault::Overloaded);
        }
        if chunk {
            queue.chunks.push_back(job);
        } else {
            queue.items += job.items();
            queue.small.push_back(job);
        }
        drop(queue);
        self.shared.filled.notify_one();
        Ok(())
    }

    /// Takes nothing more, finishes what waits, and ends the thread. Blocks.
    pub fn close(&self) {
        self.shared.lock().closed = true;
        self.shared.filled.notify_one();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let _ = thread.map(std::thread::JoinHandle::join); // of a panic its own end has told
    }
}

/// Wakes whoever waits for blocks when it is dropped: behind the write, whether its caller is still there or not.
struct WakeGuard(Arc<Shared>);

impl Drop for WakeGuard {
    fn drop(&mut self) {
        self.0.blocks.notify_one();
    }
}

/// An answer that comes when the write is on disk.
pub struct PendingAnswer<T>(oneshot::Receiver<Result<T, StoreFault>>);

impl<T> PendingAnswer<T> {
    /// Waits for it.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn answer(self) -> Result<T, Fault> {
        Ok(self.0.await.map_err(|_| died())??)
    }
}

fn stopping() -> Fault {
    Fault::Unavailable("this control is stopping")
}

/// A thread that stops answers everything first: only one that panicked leaves somebody without an answer.
fn died() -> Fault {
    Fault::Unavailable("the writing thread has died: restart control")
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whatever ends the thread, a panic too: nobody may go on waiting for it.
struct ClosingGuard(Arc<Shared>);

impl Drop for ClosingGuard {
    fn drop(&mut self) {
        let mut queue = self.0.lock();
        queue.closed = true;
        if std::thread::panicking() {
            queue.dead = true;
            tracing::error!(name: "writer_died", "the writing thread has died: every write is refused until control is restarted");
        }
        queue.small.clear();
        queue.items = 0;
        queue.chunks.clear();
    }
}

fn run(shared: &Shared, store: &dyn Repository, tail: &Tail, committed: &watch::Sender<Position>) {
    let mut tidy_at = Instant::now();
    loop {
        let mut queue = shared.lock();
        while queue.small.is_empty() && queue.chunks.is_empty() {
            if queue.closed {
                return;
            }
            let wait = tidy_at.saturating_duration_since(Instant::now());
            if wait.is_zero() {
                break;
            }
            queue = shared.filled.wait_timeout(queue, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
        // Small writes first, then one chunk: a person never waits for a whole import, and an import never starves.
        let small = group(&mut queue.small);
        queue.items -= small.iter().map(Job::items).sum::<usize>();
        let chunk: Vec<Job> = queue.chunks.pop_front().into_iter().collect();
        drop(queue);
        perform(store, tail, committed, small);
        perform(store, tail, committed, chunk);
        if Instant::now() >= tidy_at {
            tidy_at = Instant::now() + tidy(store, committed);
        }
    }
}

/// One step; how long the next one has time.
fn tidy(store: &dyn Repository, committed: &watch::Sender<Position>) -> Duration {
    match store.tidy(unix_ms()) {
        Ok(done) => {
            committed.send_if_modified(|head| std::mem::replace(head, done.head) != done.head);
            if done.more { TIDY_STEP } else { TIDY }
        }
        Err(fault) => {
            tracing::debug!(name: "not_tidied", %fault, "what is too old cannot be forgotten now");
            TIDY
        }
    }
}

/// The next requests up to the limit, none of them split; what is no request goes alone.
fn group(line: &mut VecDeque<Job>) -> Vec<Job> {
    let (mut taken, mut items) = (Vec::new(), 0);
    while let Some(job) = line.front() {
        let more = if let Job::Write(..) = job { job.items() } else { GROUP_ITEMS };
        if items > 0 && items + more > GROUP_ITEMS {
            break;
        }
        items += more;
        taken.extend(line.pop_front());
    }
    taken
}

/// A request of the commit under way.
struct PendingReply {
    items: usize,
    reply: ReplySender<WriteOutcome>,
    commit: PartSpan,
}

fn perform(store: &dyn Repository, tail: &Tail, committed: &watch::Sender<Position>, jobs: Vec<Job>) {
    let (mut requests, mut replies) = (Vec::new(), Vec::new());
    for job in jobs {
        match job {
            Job::Write(request, mut reply) => {
                let (items, mut commit) = (request.items.len(), reply.begin("commit"));
                commit.rows(items);
                replies.push(PendingReply { items, reply, commit });
                requests.push(request);
            }
            Job::Sessions(own, reply) => {
                let _ = reply.send(store.sessions(Some(&own))); // whoever asked may have gone
            }
            Job::Probe(reply) => {
                let _ = reply.send(store.probe().unwrap_or(Ok(()))); // whoever asked may have gone
            }
            Job::Domain(item, mut reply) => {
                let _commit = reply.begin("commit");
                let answer = store.write_domain(&item, unix_ms());
                if let Ok(done) = &answer {
                    committed.send_if_modified(|head| std::mem::replace(head, done.head) != done.head);
                }
                let _ = reply.send(answer); // whoever asked may have gone
            }
            Job::Block(item, mut reply) => {
                let _commit = reply.begin("commit");
                let _ = reply.send(store.write_block(&item, unix_ms())); // whoever asked may have gone
            }
            Job::Fork(counter, shared, reply) => {
                let answer = store.fork(counter, shared, unix_ms());
                if let Ok(head) = answer {
                    committed.send_replace(head);
                }
                let _ = reply.send(answer); // whoever asked may have gone
            }
        }
    }
    if requests.is_empty() {
        return;
    }
    match store.commit(&requests, unix_ms()) {
        Ok(done) => {
            tail.offer(done.changes, done.head);
            committed.send_if_modified(|head| std::mem::replace(head, done.head) != done.head);
            let mut verdicts = done.verdicts.into_iter();
            for PendingReply { items, reply, commit } in replies {
                drop(commit);
                let verdicts = verdicts.by_ref().take(items).collect();
                let _ = reply.send(Ok(WriteOutcome { epoch: done.head.epoch, verdicts }));
            }
        }
        Err(fault) => {
            tracing::debug!(name: "commit_failed", %fault, requests = requests.len(), "nothing of a commit was written");
            for PendingReply { reply, mut commit, .. } in replies {
                commit.failed();
                drop(commit);
                let _ = reply.send(Err(fault.clone()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::FakeStore;
    use journal::{Intent, Item};
    use link::Key;
    use std::sync::mpsc::{Receiver, Sender, channel};
    use store::port::CommitReport;

    /// One that notes the size of each group; the first commit waits until the test has queued everything.
    fn noting() -> (Arc<FakeStore>, Receiver<usize>, Sender<()>) {
        let (note, noted) = channel();
        let (go, wait) = channel();
        let (forked, wait) = (note.clone(), Mutex::new(Some(wait)));
        let commit = move |group: &[Request]| {
            if let Some(go) = wait.lock().unwrap().take() {
                go.recv().unwrap();
            }
            let items = group.iter().map(|request| request.items.len()).sum();
            note.send(items).unwrap();
            if items == 44 {
                return Err(StoreFault::Full);
            }
            let verdicts = vec![Verdict::Same; items];
            Ok(CommitReport { head: Position::default(), verdicts, changes: Vec::new() })
        };
        let fork = move || {
            forked.send(0).unwrap();
            Position::default()
        };
        (
            Arc::new(FakeStore { commit: Box::new(commit), fork: Box::new(fork), ..FakeStore::default() }),
            noted,
            go,
        )
    }

    fn items(kind: RequestKind, count: usize) -> Request {
        let key = Key::from_bytes(b"\0\0\0\0a").unwrap();
        let items = vec![Item { key, intent: Intent::Delete { etag: None } }; count];
        Request { items, kind, by: None, retry: None }
    }

    #[tokio::test]
    async fn small_writes_go_between_any_two_chunks_and_a_failed_group_stops_nobody_else() {
        let (store, noted, go) = noting();
        let tail = Arc::new(Tail::new(store.clone(), Position::default()));
        let writer = Writer::start(store, Position::default(), tail).unwrap();
        let first = writer.submit(items(RequestKind::Batch, 7), ()).unwrap();
        while !writer.shared.lock().small.is_empty() {
            std::thread::yield_now();
        }
        let chunks: Vec<_> =
            (0..3).map(|_| writer.submit(items(RequestKind::Chunk, 5_000), ()).unwrap()).collect();
        let small: Vec<_> =
            (0..300).map(|_| writer.submit(items(RequestKind::One, 1), ()).unwrap()).collect();
        let fork = {
            let (reply, answer) = ReplySender::new(());
            writer.push(Job::Fork(1, 0, reply)).unwrap();
            answer
        };
        go.send(()).unwrap();
        assert_eq!(first.answer().await.unwrap().verdicts.len(), 7);
        fork.answer().await.unwrap();
        let mut failed = 0;
        for one in small {
            failed += usize::from(one.answer().await.is_err());
        }
        for chunk in chunks {
            assert_eq!(chunk.answer().await.unwrap().verdicts.len(), 5_000);
        }
        writer.close();
        assert_eq!(failed, 44);
        let groups: Vec<usize> = noted.try_iter().collect();
        assert_eq!(groups, [7, 256, 5_000, 44, 5_000, 0, 5_000]);
        assert!(matches!(writer.submit(items(RequestKind::One, 1), ()), Err(Fault::Unavailable(_))));
    }

    #[tokio::test]
    async fn a_batch_is_never_split_and_its_items_count_in_the_line() {
        let (store, noted, go) = noting();
        let tail = Arc::new(Tail::new(store.clone(), Position::default()));
        let writer = Writer::start(store, Position::default(), tail).unwrap();
        let mut waiting = vec![writer.submit(items(RequestKind::One, 1), ()).unwrap()];
        while !writer.shared.lock().small.is_empty() {
            std::thread::yield_now();
        }
        for (kind, count) in [
            (RequestKind::One, 1),
            (RequestKind::Batch, 200),
            (RequestKind::Batch, 100),
            (RequestKind::One, 1),
        ] {
            waiting.push(writer.submit(items(kind, count), ()).unwrap());
        }
        for _ in 0..2 {
            waiting.push(writer.submit(items(RequestKind::Batch, 1_000), ()).unwrap());
        }
        let full = writer.submit(items(RequestKind::One, 1), ()).err();
        go.send(()).unwrap();
        for one in waiting {
            one.answer().await.unwrap();
        }
        assert_eq!(full, Some(Fault::Overloaded));
        writer.submit(items(RequestKind::One, 1), ()).unwrap().answer().await.unwrap();
        writer.close();
        assert_eq!(noted.try_iter().collect::<Vec<_>>(), [1, 201, 101, 1_000, 1_000, 1]);
    }
}
