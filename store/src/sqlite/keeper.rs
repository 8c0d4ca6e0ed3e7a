//! What is done for the files when nobody waits: the log goes into the file while nothing is written, and the
//! whole store is read through once. On a plain thread; no write waits for it.

use super::file::ClaimedFile;
use super::{check, connect, read};
use crate::model::StoreFault;
use rusqlite::Connection;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often it is looked; a store that was not written for so long is idle.
const LOOK: Duration = Duration::from_secs(1);

/// The state of a store's files.
#[derive(Debug)]
pub(super) struct FileHealth {
    pub files: ClaimedFile,
    pub commits: AtomicU64,
    /// Something was read that cannot be: all is looked through again.
    pub suspect: AtomicBool,
    damage: OnceLock<String>,
}

impl FileHealth {
    pub fn new(files: ClaimedFile) -> Self {
        let (commits, suspect) = (AtomicU64::new(0), AtomicBool::new(true));
        Self { files, commits, suspect, damage: OnceLock::new() }
    }

    /// Whether a write may be acknowledged.
    pub fn good(&self) -> Result<(), StoreFault> {
        self.whole()?;
        self.files.check()
    }

    /// Whether what is not found is not there: in a damaged file it may be, where nobody finds it.
    pub fn whole(&self) -> Result<(), StoreFault> {
        match self.damage.get() {
            Some(damage) => {
                Err(StoreFault::Corrupt(format!("the file is damaged, restore a backup: {damage}")))
            }
            None => Ok(()),
        }
    }
}

/// The thread. It ends when this is dropped.
pub(super) struct Keeper {
    stop: Option<Sender<()>>,
    interrupt: rusqlite::InterruptHandle,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeper").finish_non_exhaustive()
    }
}

impl Keeper {
    pub fn start(health: Arc<FileHealth>) -> rusqlite::Result<Self> {
        let db = connect::beside_writer(&health.files.path)?;
        let interrupt = db.get_interrupt_handle();
        let (stop, stopped) = channel();
        let run = move || run(&db, &health, &stopped);
        let thread = std::thread::Builder::new().name("store".into()).spawn(run);
        let thread = thread.map_err(|e| rusqlite::Error::ToSqlConversionFailure(Box::new(e)))?;
        Ok(Self { stop: Some(stop), interrupt, thread: Some(thread) })
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.stop.take();
        self.interrupt.interrupt();
        let _ = self.thread.take().map(JoinHandle::join); // its panic has told of itself
    }
}

fn run(db: &Connection, health: &FileHealth, stopped: &Receiver<()>) {
    let (mut seen, mut folded) = (0, 0);
    while stopped.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
        if health.files.check().is_err() {
            continue; // whatever lies there now, nothing of ours goes into it
        }
        let commits = health.commits.load(Ordering::Relaxed);
        if std::mem::replace(&mut seen, commits) != commits {
            note(db, health);
            continue;
        }
        if folded != commits && fold(db) {
            folded = commits;
            note(db, health);
        }
        if health.suspect.swap(false, Ordering::Relaxed) && health.damage.get().is_none() {
            look_through(db, health);
        }
    }
}

/// How far the store got: it is on disk, since nobody reads what is not.
fn note(db: &Connection, health: &FileHealth) {
    if let Ok(head) = read::head(db) {
        let _ = health.files.note(|witness| witness.seq = head.seq); // the one before says less, and is true
    }
}

/// First what takes long, beside whoever writes; then nothing is left to do but to empty the log.
fn fold(db: &Connection) -> bool {
    let folded = db
        .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
        .and_then(|()| db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, bool>(0)));
    matches!(folded, Ok(false)) // else somebody reads or writes: at the next look
}

fn look_through(db: &Connection, health: &FileHealth) {
    let began = Instant::now();
    match check::pages(db) {
        Ok(None) => {
            let took_ms = began.elapsed().as_millis() as u64;
            tracing::debug!(name: "store_whole", took_ms, "the store is whole");
        }
        Ok(Some(damage)) => {
            let file = health.files.path.display();
            tracing::error!(
                name: "store_damaged", %file, %damage,
                "the store is damaged: writes are refused, and so is whatever is not found; restore a backup"
            );
            let _ = health.damage.set(damage);
        }
        Err(_) => health.suspect.store(true, Ordering::Relaxed), // cut off: at the next look
    }
}
