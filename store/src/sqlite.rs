//! SQLite as a store: one write connection behind a lock, read connections beside it. No rule of a link is here.

mod audit;
mod blocks;
mod check;
mod clicks;
mod connect;
mod copies;
mod domains;
mod file;
mod foreign;
mod hosts;
mod identity;
mod index;
mod judge;
mod keeper;
mod keys;
mod mark;
mod open;
mod pool;
mod read;
mod row;
mod sessions;
mod tags;
mod tidy;
mod witness;
mod write;

pub use connect::Options;
pub use copies::{RestoreReport, backup, restore};
pub use file::OpenFault;
pub use open::{can_open, survey};

use self::clicks::ClickFile;
use super::ROOM;
use crate::kept;
use crate::model::PoolCounts as Connections;
use crate::model::{DomainRow, Row, StoreFault};
use crate::port::blocks::{BlockRows, HostIndexPlace, HostLinks};
use crate::port::clicks::ClickStore;
use crate::port::domains::{DomainCommitReport, DomainRows};
use crate::port::{
    Audits, CommitReport, EdgeReports, EntryBatch, History, KeyRows, Limit, LinkPast, ListPage, Moment,
    NotedAuthor, Repository, ResourceWrite, SessionRow, TidyReport, TimeOrder, WalkPage,
};
use crate::tombstones::TombstoneFates;
use bytes::Bytes;
use feed::LogView;
use journal::blocks::{BlockItem, BlockRow, BlockVerdict};
use journal::domains::DomainItem;
use journal::{ExternalId, Request};
use keeper::{FileHealth, Keeper};
use link::{Change, DomainId, Epoch, Key, Position, Seq, TargetHost};
use pool::Pool;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use std::collections::BTreeSet;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use witness::WitnessState;

/// Read connections at once. A read takes well under a millisecond and runs on a core: more would only take turns.
const READERS: usize = 8;

/// An SQLite file that belongs to this process alone. Fields are dropped in their order: the claim on the files goes last.
#[derive(Debug)]
pub struct Sqlite {
    path: PathBuf,
    keeper: Mutex<Option<Keeper>>,
    clicks: ClickFile,
    readers: Pool,
    /// A write found the disk full, and none has shown since that there is room.
    full: AtomicBool,
    writer: Mutex<Option<Connection>>,
    health: Arc<FileHealth>,
}

impl Sqlite {
    /// Opens or makes the file, brings its tables up to date and claims it.
    ///
    /// # Errors
    /// [`OpenFault`] says what to do about it.
    pub fn open(path: &Path, options: Options) -> Result<Self, OpenFault> {
        let (connection, files) = open::open(path, options)?;
        let clicks = ClickFile::of(&connection, &files.path, options)?;
        let health = Arc::new(FileHealth::new(files));
        let keeper = Keeper::start(health.clone())
            .map_err(|e| OpenFault::new(format!("cannot open the store {}: {e}", path.display())))?;
        let of_readers = health.clone();
        let reader = move || {
            let opened = connect::reader(&of_readers.files.path).map_err(|e| fault(&e))?;
            of_readers.files.check()?; // else it may be of another file than those that are open
            Ok(opened)
        };
        Ok(Self {
            path: path.to_owned(),
            keeper: Mutex::new(Some(keeper)),
            clicks,
            readers: Pool::new(READERS, Box::new(reader)),
            writer: Mutex::new(Some(connection)),
            full: AtomicBool::new(false),
            health,
        })
    }

    /// One snapshot on a read connection: reads go on while something is written, and when nothing can be.
    fn read<T>(&self, f: impl FnOnce(&Transaction) -> Result<T, StoreFault>) -> Result<T, StoreFault> {
        let connection = self.readers.take()?;
        let snapshot = connection.unchecked_transaction().map_err(|e| fault(&e))?;
        let answer = self.suspected(f(&snapshot))?;
        snapshot.commit().map_err(|e| fault(&e))?;
        Ok(answer)
    }

    fn write<T>(&self, f: impl FnOnce(&Transaction) -> Result<T, StoreFault>) -> Result<T, StoreFault> {
        let answer = self.written(f).map_err(|fault| self.cause(fault));
        if matches!(answer, Err(StoreFault::Full)) {
            self.full.store(true, Ordering::Relaxed);
        }
        answer
    }

    /// What is behind SQLite's "disk I/O error": the system says that of another file at the same place.
    fn cause(&self, fault: StoreFault) -> StoreFault {
        let StoreFault::Unavailable(why) = fault else { return fault };
        if self.health.good().is_err() {
            return StoreFault::Unavailable(why);
        }
        match self.has_room(1) {
            Ok(()) => StoreFault::Unavailable(why),
            Err(StoreFault::Unavailable(cause)) => StoreFault::Unavailable(format!("{why}: {cause}")),
            Err(fault) => fault,
        }
    }

    /// Whether the disk takes so many bytes. Where it was full, the log still takes a few rows.
    fn has_room(&self, bytes: usize) -> Result<(), StoreFault> {
        let path = proto::own::beside(&self.path, ".room");
        let tried = proto::own::open(&path).and_then(|mut file| {
            file.set_len(0)?; // left by one that was killed
            file.write_all(&vec![0; bytes])?;
            file.sync_data()
        });
        if proto::own::look(&path).is_ok() {
            let _ = std::fs::remove_file(&path); // a full disk does not keep anybody from that
        }
        tried.map_err(|e| match e.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => StoreFault::Full,
            _ => StoreFault::Unavailable(format!("cannot write {}: {e}", path.display())),
        })
    }

    fn written<T>(&self, f: impl FnOnce(&Transaction) -> Result<T, StoreFault>) -> Result<T, StoreFault> {
        let mut writer = locked(&self.writer);
        let connection = writer.as_mut().ok_or_else(closed)?;
        self.health.good()?;
        // Immediate: a writer that begins as a reader could fail in the middle of its work.
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(|e| fault(&e))?;
        let answer = self.suspected(f(&transaction))?; // dropped on an error, which rolls back
        transaction.commit().map_err(|e| fault(&e))?;
        self.health.commits.fetch_add(1, Ordering::Relaxed);
        self.health.good()?; // what went into a file that nobody will find again is not acknowledged
        Ok(answer)
    }

    /// The log goes only where the file says of itself that it is closed.
    fn noted_at_the_end(&self, writer: &Connection, closed: bool) {
        let files = &self.health.files;
        let state = if closed { WitnessState::Closed } else { WitnessState::Left };
        if let Ok(head) = read::head(writer) {
            let noted = files.note(|witness| (witness.state, witness.seq) = (state, head.seq));
            let _ = noted.and_then(|()| files.note_is_kept()); // open beside a closed store says nothing wrong
        }
        if closed {
            let _ = writer.set_db_config(connect::NO_CKPT, false); // else an empty log stays
        }
    }

    /// After something that cannot be, the whole store is looked through.
    fn suspected<T>(&self, answer: Result<T, StoreFault>) -> Result<T, StoreFault> {
        if matches!(answer, Err(StoreFault::Corrupt(_))) {
            self.health.suspect.store(true, Ordering::Relaxed);
        }
        answer
    }

    /// What is absent is so only in a file that is whole.
    fn absent<T>(&self, answer: T, absent: impl FnOnce(&T) -> bool) -> Result<T, StoreFault> {
        if absent(&answer) {
            self.health.whole()?;
        }
        Ok(answer)
    }
}

impl Repository for Sqlite {
    fn name(&self) -> String {
        format!("sqlite {}", self.path.display())
    }

    fn probe(&self) -> Option<Result<(), StoreFault>> {
        // There and back: a row that is given what it holds is not written at all.
        let there_and_back = "UPDATE log_head SET head = head + 1; UPDATE log_head SET head = head - 1";
        let probed =
            self.write(|transaction| transaction.execute_batch(there_and_back).map_err(|e| fault(&e)));
        if self.full.load(Ordering::Relaxed) {
            return Some(
                probed
                    .and_then(|()| self.has_room(ROOM))
                    .inspect(|()| self.full.store(false, Ordering::Relaxed)),
            );
        }
        Some(probed)
    }

    fn pool(&self) -> Connections {
        self.readers.connections()
    }

    fn head(&self) -> Result<Position, StoreFault> {
        self.read(|snapshot| read::head(snapshot))
    }

    fn commit(&self, group: &[Request], now: i64) -> Result<CommitReport, StoreFault> {
        self.write(|transaction| write::commit(transaction, group, now))
    }

    fn secret(&self) -> Result<[u8; 32], StoreFault> {
        let sql = "SELECT secret FROM secret";
        self.read(|snapshot| snapshot.query_row(sql, [], |row| row.get(0)).map_err(|e| fault(&e)))
    }

    fn fork(&self, counter: u32, shared: Seq, now: i64) -> Result<Position, StoreFault> {
        self.write(|transaction| write::fork(transaction, counter, shared, now))
    }

    fn histories(&self) -> Result<Vec<History>, StoreFault> {
        self.read(|snapshot| read::histories(snapshot).map_err(|e| fault(&e)))
    }

    fn sessions(&self, own: Option<&[SessionRow]>) -> Result<Vec<SessionRow>, StoreFault> {
        match own {
            // This process alone has the file: all of them are its own.
            Some(own) => self.write(|transaction| sessions::replace(transaction, own).map_err(|e| fault(&e))),
            None => self.read(|snapshot| sessions::all(snapshot).map_err(|e| fault(&e))),
        }
    }

    fn forget_sessions(&self, _: &[(String, u64)]) -> Result<(), StoreFault> {
        Ok(()) // the table is written as a whole
    }

    fn tidy(&self, now: i64) -> Result<TidyReport, StoreFault> {
        let before = now - kept::TOMBSTONES;
        let buried = self.read(|snapshot| tidy::buried(snapshot, before))?;
        let was_clicked = |uid: Seq| self.clicks.was_clicked(uid);
        let fates = TombstoneFates::of(buried, before, was_clicked)?;
        self.write(|transaction| tidy::tidy(transaction, &fates, now))
    }

    fn link(&self, key: &Key) -> Result<(Epoch, Option<Row>), StoreFault> {
        let found = self.read(|snapshot| Ok((read::head(snapshot)?.epoch, row::one(snapshot, key)?)))?;
        self.absent(found, |(_, row)| row.is_none())
    }

    fn links_with_uids(&self, uids: &[Seq]) -> Result<Vec<Row>, StoreFault> {
        self.health.whole()?;
        self.read(|snapshot| row::with_uids(snapshot, uids))
    }

    fn list(&self, prefix: &[u8], after: &[u8], deleted: bool, limit: Limit) -> Result<ListPage, StoreFault> {
        self.health.whole()?;
        self.read(|snapshot| read::list(snapshot, prefix, after, deleted, limit))
    }

    fn newest(
        &self,
        domain: DomainId,
        time: TimeOrder,
        behind: (i64, &[u8]),
        deleted: bool,
        limit: Limit,
    ) -> Result<ListPage, StoreFault> {
        self.health.whole()?;
        self.read(|snapshot| read::newest(snapshot, domain, time, behind, deleted, limit))
    }

    fn with_external_id(
        &self,
        id: &ExternalId,
        after: &[u8],
        deleted: bool,
        limit: Limit,
    ) -> Result<ListPage, StoreFault> {
        self.health.whole()?;
        self.read(|snapshot| read::with_external_id(snapshot, id, after, deleted, limit))
    }

    fn log_view(&self, applied: Seq, of: Option<Epoch>) -> Result<LogView, StoreFault> {
        self.read(|snapshot| read::log_view(snapshot, applied, of))
    }

    fn changes(&self, after: Seq, limit: Limit) -> Result<(Position, Vec<Change>), StoreFault> {
        self.read(|snapshot| read::changes(snapshot, after, limit))
    }

    fn walk(&self, after: &[u8], limit: Limit) -> Result<WalkPage, StoreFault> {
        self.health.whole()?;
        self.read(|snapshot| read::walk(snapshot, after, limit))
    }

    fn records(&self, keys: &[Bytes]) -> Result<EntryBatch, StoreFault> {
        let found = self.read(|snapshot| read::records(snapshot, keys))?;
        self.absent(found, |found| found.entries.iter().any(|entry| entry.record.is_empty()))
    }

    fn key_rows(&self) -> &dyn KeyRows {
        self
    }

    fn clicks(&self) -> &dyn ClickStore {
        &self.clicks
    }

    fn writable(&self) -> Result<(), StoreFault> {
        self.health.good()
    }

    fn close(&self) {
        self.clicks.close();
        locked(&self.keeper).take();
        // Readers first: the last connection to go removes the write-ahead log.
        self.readers.close();
        let Some(writer) = locked(&self.writer).take() else { return };
        let store = self.path.display();
        if self.health.good().is_ok() {
            let closed = mark::close(&writer);
            self.noted_at_the_end(&writer, matches!(closed, Ok(true)));
            let why = match closed {
                Ok(true) => None,
                Ok(false) => Some("another program reads it".to_owned()),
                Err(fault) => Some(fault.to_string()),
            };
            if let Some(why) = why {
                tracing::warn!(name: "store_not_closed", %store, %why, "store not closed: the next start recovers it, and a copy of it is refused");
            }
        }
        drop(writer);
        self.health.files.release();
    }
}

/// Whoever forgets to close it, by an early return perhaps, leaves a store that is closed.
impl Drop for Sqlite {
    fn drop(&mut self) {
        self.close();
    }
}

impl DomainRows for Sqlite {
    fn domains(&self) -> Result<(Position, Vec<DomainRow>), StoreFault> {
        self.read(|snapshot| domains::all(snapshot))
    }

    fn domains_version(&self) -> Result<(Epoch, Seq), StoreFault> {
        self.read(|snapshot| domains::version(snapshot))
    }

    fn last_domain_gone(&self) -> Result<Seq, StoreFault> {
        self.read(|snapshot| domains::last_gone(snapshot))
    }

    fn write_domain(&self, item: &DomainItem, now: i64) -> Result<DomainCommitReport, StoreFault> {
        self.write(|transaction| domains::commit(transaction, item, now))
    }
}

/// One process has the file: nobody else is there to read what its edges say.
impl EdgeReports for Sqlite {}

impl BlockRows for Sqlite {
    fn blocked(&self, asked: &BTreeSet<TargetHost>) -> Result<BTreeSet<TargetHost>, StoreFault> {
        self.read(|snapshot| hosts::blocked(snapshot, asked))
    }

    fn blocks(&self, after: &str, most: usize) -> Result<Vec<BlockRow>, StoreFault> {
        self.read(|snapshot| blocks::after(snapshot, after, most))
    }

    fn block(&self, host: &TargetHost) -> Result<Option<BlockRow>, StoreFault> {
        self.read(|snapshot| blocks::one(snapshot, host))
    }

    fn unfinished_blocks(&self) -> Result<Vec<BlockRow>, StoreFault> {
        self.read(|snapshot| blocks::unfinished(snapshot))
    }

    fn write_block(&self, item: &BlockItem, now: i64) -> Result<BlockVerdict, StoreFault> {
        self.write(|transaction| blocks::commit(transaction, item, now))
    }

    fn count_led_to(&self, host: &TargetHost) -> Result<u64, StoreFault> {
        self.read(|snapshot| hosts::count_led_to(snapshot, host))
    }

    fn led_to(
        &self,
        host: &TargetHost,
        after: Option<&HostIndexPlace>,
        most: usize,
    ) -> Result<HostLinks, StoreFault> {
        self.health.whole()?;
        self.read(|snapshot| hosts::led_to(snapshot, host, after, most))
    }

    fn not_indexed(&self, after: &[u8], most: usize) -> Result<Vec<Row>, StoreFault> {
        self.health.whole()?;
        self.read(|snapshot| hosts::not_indexed(snapshot, after, most))
    }

    fn kept_by(&self, host: &TargetHost, after: &[u8], most: usize) -> Result<Vec<Row>, StoreFault> {
        self.health.whole()?;
        self.read(|snapshot| hosts::kept_by(snapshot, host, after, most))
    }
}

impl Audits for Sqlite {
    fn writes(&self, key: &Key, most: Seq, limit: usize) -> Result<LinkPast, StoreFault> {
        self.read(|snapshot| audit::writes(snapshot, key, most, limit))
    }

    fn write_after(&self, key: &Key, moment: Moment) -> Result<LinkPast, StoreFault> {
        self.read(|snapshot| audit::write_after(snapshot, key, moment))
    }

    fn chunk(&self, seq: Seq) -> Result<Option<NotedAuthor>, StoreFault> {
        self.read(|snapshot| audit::chunk(snapshot, seq).map_err(|e| fault(&e)))
    }

    fn noted(&self, name: &str, below: i64, limit: usize) -> Result<Vec<ResourceWrite>, StoreFault> {
        self.read(|snapshot| audit::noted(snapshot, name, below, limit).map_err(|e| fault(&e)))
    }
}

/// A panic while the lock was held left no transaction behind: dropping one rolls it back.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn closed() -> StoreFault {
    StoreFault::Unavailable("it is closed".into())
}

fn fault(error: &rusqlite::Error) -> StoreFault {
    use rusqlite::ErrorCode::{DatabaseCorrupt, DiskFull, NotADatabase};
    match error.sqlite_error_code() {
        Some(DiskFull) => StoreFault::Full,
        Some(DatabaseCorrupt | NotADatabase) => StoreFault::Corrupt(error.to_string()),
        Some(_) => StoreFault::Unavailable(error.to_string()),
        None => StoreFault::Corrupt(error.to_string()), // a column of another type than the tables say
    }
}
