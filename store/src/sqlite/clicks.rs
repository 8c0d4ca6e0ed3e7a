//! The clicks of a store: a file of their own beside it, with a write connection of its own, so that a write of a link never
//! waits for clicks. Whoever has claimed the store has this file, too. It is made by the first batch.
//!
//! It needs no mark as the store has (docs/decisions/0006): whatever older state of it is put back, every batch that an edge
//! still holds is asked for again, and what none holds is told.

mod copies;
mod day_keys;
mod rows;

pub(super) use copies::{ClicksCopy, copy, keep, put_back};

use super::connect::{self, NO_CKPT, Options};
use super::file::{CLICKS, DAY_KEYS, OpenFault, look, private};
use super::mark;
use super::pool::Pool;
use super::{closed, fault, locked};
use crate::clicks::{self, Memory};
use crate::model::StoreFault;
use crate::port::SECRET;
use crate::port::clicks::{
    AppendOutcome, Appended, ClickAnswer, ClickDeletion, ClickQuestion, ClickStore, DAY_KEY, EdgeUntil,
    FoldReport, LossRow, RawPage, RawQuestion, Reclassified, TopAnswer, TopQuestion, UnknownCodes,
    UnknownQuestion,
};
use crate::schema;
use ::clicks::Agents;
use aws_lc_rs::digest::{SHA256, digest};
use day_keys::DayKeys;
use link::Seq;
use proto::own::beside;
use rows::{Rows, ready};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

mod migrations {
    refinery::embed_migrations!("../migrations/clicks");
}

/// Read connections at once. A question about clicks may take long, and edges and links have the cores, too.
const READERS: usize = 4;
/// Statements kept prepared; more than there are.
const STATEMENTS: usize = 128;
/// Pages of the log after which a commit brings it into the file: 16 MB. A fold writes some MB at once.
const CHECKPOINT: u32 = 4_000;
/// Kilobytes of the writer's cache: the rows of the quarters that are folded.
const CACHE: i32 = -32_000;

/// The clicks beside a store that this process has.
#[derive(Debug)]
pub(super) struct ClickFile {
    path: PathBuf,
    options: Options,
    /// Of the store that they are of.
    store: [u8; 32],
    open: Mutex<FileState>,
    memory: Memory,
    day_keys: DayKeys,
}

#[derive(Debug)]
enum FileState {
    /// Nobody has asked for it yet, or it is not there.
    Unopened,
    Open(Arc<OpenFile>),
    Closed,
}

#[derive(Debug)]
struct OpenFile {
    path: PathBuf,
    /// Device and inode.
    file: (u64, u64),
    readers: Pool,
    writer: Mutex<Connection>,
}

impl ClickFile {
    /// Those of a store that is open. Where there are some, they are opened now: what is wrong with them is told at the start.
    pub fn of(store: &Connection, path: &Path, options: Options) -> Result<Self, OpenFault> {
        let secret: [u8; SECRET] = store
            .query_row("SELECT secret FROM secret", [], |row| row.get(0))
            .map_err(|e| OpenFault::new(format!("cannot open the store {}: {e}", path.display())))?;
        let mut name = [0; 32];
        name.copy_from_slice(digest(&SHA256, &secret).as_ref());
        let clicks = Self {
            path: beside(path, CLICKS),
            options,
            store: name,
            open: Mutex::new(FileState::Unopened),
            memory: Memory::default(),
            day_keys: DayKeys::new(beside(path, DAY_KEYS)),
        };
        clicks.there().map_err(|fault| {
            OpenFault::new(format!("cannot open the clicks of the store {}: {fault}", clicks.path.display()))
        })?;
        Ok(clicks)
    }

    /// The open file; `None`: no click was ever taken.
    fn there(&self) -> Result<Option<Arc<OpenFile>>, StoreFault> {
        let is_there = self.path.symlink_metadata().is_ok();
        let mut state = locked(&self.open);
        match &*state {
            FileState::Open(file) => return Ok(Some(file.clone())),
            FileState::Closed => return Err(closed()),
            FileState::Unopened if !is_there => return Ok(None),
            FileState::Unopened => {}
        }
        let file = Arc::new(open(&self.path, self.options, &self.store)?);
        *state = FileState::Open(file.clone());
        Ok(Some(file))
    }

    /// The open file, which is made if there is none.
    fn made(&self) -> Result<Arc<OpenFile>, StoreFault> {
        if let Some(file) = self.there()? {
            return Ok(file);
        }
        let mut state = locked(&self.open);
        match &*state {
            FileState::Open(file) => return Ok(file.clone()), // somebody was faster
            FileState::Closed => return Err(closed()),
            FileState::Unopened => {}
        }
        let file = Arc::new(open(&self.path, self.options, &self.store)?);
        *state = FileState::Open(file.clone());
        Ok(file)
    }

    /// What is in a file that is there, or else nothing.
    fn read<T: Default>(&self, f: impl FnOnce(&Rows<'_>) -> Result<T, StoreFault>) -> Result<T, StoreFault> {
        self.there()?.map_or_else(|| Ok(T::default()), |file| file.read(f))
    }

    /// The same of what is written: where there is no click, nothing is to be done.
    fn change<T: Default>(
        &self,
        f: impl FnOnce(&Rows<'_>) -> Result<T, StoreFault>,
    ) -> Result<T, StoreFault> {
        self.there()?.map_or_else(|| Ok(T::default()), |file| file.write(f))
    }

    /// Brings everything into the file, and gives it back.
    pub fn close(&self) {
        let FileState::Open(file) = std::mem::replace(&mut *locked(&self.open), FileState::Closed) else {
            return;
        };
        // Readers first: the last connection to go removes the write-ahead log.
        file.readers.close();
        let writer = locked(&file.writer);
        if mark::fold(&writer).is_ok_and(|folded| folded) {
            let _ = writer.set_db_config(NO_CKPT, false); // else an empty log stays, which does no harm
        }
    }
}

impl OpenFile {
    fn read<T>(&self, f: impl FnOnce(&Rows<'_>) -> Result<T, StoreFault>) -> Result<T, StoreFault> {
        let connection = self.readers.take()?;
        let snapshot = connection.unchecked_transaction().map_err(|e| fault(&e))?;
        let answer = f(&Rows(&snapshot))?;
        snapshot.commit().map_err(|e| fault(&e))?;
        Ok(answer)
    }

    fn write<T>(&self, f: impl FnOnce(&Rows<'_>) -> Result<T, StoreFault>) -> Result<T, StoreFault> {
        let mut writer = locked(&self.writer);
        look(&self.path, self.file)?;
        let transaction =
            writer.transaction_with_behavior(TransactionBehavior::Immediate).map_err(|e| fault(&e))?;
        let answer = f(&Rows(&transaction))?; // dropped on an error, which rolls back
        transaction.commit().map_err(|e| fault(&e))?;
        look(&self.path, self.file)?; // what went into a file that nobody will find again is not acknowledged
        Ok(answer)
    }
}

/// Opens or makes the file, brings its tables up to date, and sees that it is of this store.
fn open(path: &Path, options: Options, store: &[u8; 32]) -> Result<OpenFile, StoreFault> {
    let file = private(path).and_then(|file| file.metadata());
    let file = file.map_err(|e| StoreFault::Unavailable(format!("cannot open {}: {e}", path.display())))?;
    let mut writer = connect::writer(path, options).map_err(|e| fault(&e))?;
    let refused = |why: String| StoreFault::Unavailable(format!("{}: {why}", path.display()));
    let runner = migrations::migrations::runner().set_grouped(true);
    let there = version(&writer).map_err(|e| fault(&e))?;
    schema::check(there, schema::latest(&runner)).map_err(refused)?;
    runner.run(&mut writer).map_err(|e| {
        let why = schema::told(&e);
        why.map_or_else(|| StoreFault::Unavailable(format!("cannot make {}: {e}", path.display())), refused)
    })?;
    let tuned = || {
        writer.set_prepared_statement_cache_capacity(STATEMENTS);
        writer.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
        writer.pragma_update_and_check(None, "wal_autocheckpoint", CHECKPOINT, |_| Ok(()))?;
        writer.pragma_update(None, "cache_size", CACHE)?;
        writer.execute("INSERT OR IGNORE INTO clicks_of VALUES (1, ?1, 1, 1)", params![store])?;
        writer.query_row("SELECT store FROM clicks_of", [], |row| row.get::<_, [u8; 32]>(0))
    };
    if tuned().map_err(|e| fault(&e))? != *store {
        return Err(refused(
            "it holds the clicks of another store, and counts of two links would run together: move it away, or put \
             the store back with which it belongs together"
                .into(),
        ));
    }
    let of_readers = (path.to_owned(), (file.dev(), file.ino()));
    let reader = move || {
        let (path, file) = &of_readers;
        let opened = connect::reader(path).map_err(|e| fault(&e))?;
        opened.set_prepared_statement_cache_capacity(STATEMENTS);
        look(path, *file)?; // else it may be of another file than the one that is open
        Ok(opened)
    };
    Ok(OpenFile {
        path: path.to_owned(),
        file: (file.dev(), file.ino()),
        readers: Pool::new(READERS, Box::new(reader)),
        writer: Mutex::new(writer),
    })
}

/// The schema that the file has.
fn version(connection: &Connection) -> rusqlite::Result<Option<i32>> {
    let there = "SELECT 1 FROM sqlite_schema WHERE name = 'refinery_schema_history'";
    match connection.query_row(there, [], |_| Ok(())).optional()? {
        Some(()) => {
            connection.query_row("SELECT max(version) FROM refinery_schema_history", [], |row| row.get(0))
        }
        None => Ok(None),
    }
}

impl ClickStore for ClickFile {
    fn append(&self, offered: &[Appended], now: i64) -> Result<Vec<AppendOutcome>, StoreFault> {
        let done = self.made()?.write(|rows| ready(clicks::append(rows, offered, now)))?;
        self.memory.taken(done.taken);
        Ok(done.outcomes)
    }

    fn fold(&self, now: i64) -> Result<FoldReport, StoreFault> {
        let done = self.change(|rows| ready(clicks::fold(rows, &self.memory, now)))?;
        done.note(&self.memory);
        Ok(done.report)
    }

    fn tidy(&self, now: i64) -> Result<bool, StoreFault> {
        self.day_keys.forget(now)?;
        let done = self.change(|rows| ready(clicks::tidy(rows, &self.memory, now)))?;
        done.note(&self.memory);
        Ok(done.more)
    }

    fn counts(&self, question: &ClickQuestion) -> Result<ClickAnswer, StoreFault> {
        self.read(|rows| ready(clicks::counts(rows, &self.memory, question)))
    }

    fn top_links(&self, question: &TopQuestion) -> Result<TopAnswer, StoreFault> {
        self.read(|rows| ready(clicks::top_links(rows, &self.memory, question)))
    }

    fn raw(&self, question: &RawQuestion) -> Result<RawPage, StoreFault> {
        self.read(|rows| ready(clicks::raw_page(rows, &self.memory, question)))
    }

    fn raw_end(&self) -> Result<u64, StoreFault> {
        self.read(|rows| ready(clicks::raw_end(rows)))
    }

    fn agents(&self, hashes: &[u64]) -> Result<Vec<Option<String>>, StoreFault> {
        let known = self.read(|rows| ready(clicks::agents(rows, hashes)))?;
        Ok(if known.is_empty() { vec![None; hashes.len()] } else { known })
    }

    fn unknown_codes(&self, question: &UnknownQuestion) -> Result<UnknownCodes, StoreFault> {
        self.read(|rows| ready(clicks::unknown_codes(rows, &self.memory, question)))
    }

    fn losses(&self, from: i64, until: i64) -> Result<Vec<LossRow>, StoreFault> {
        self.read(|rows| ready(clicks::losses(rows, &self.memory, from, until)))
    }

    fn delete_clicks(&self, deletion: &ClickDeletion, now: i64) -> Result<u64, StoreFault> {
        // Also where there is no click yet: an edge may still have some that were answered before.
        let deleted = self.made()?.write(|rows| ready(clicks::delete(rows, &self.memory, deletion, now)))?;
        for _ in 0..clicks::STEPS {
            if !self.change(|rows| ready(clicks::work(rows)))? {
                break;
            }
        }
        Ok(deleted)
    }

    fn reclassify(&self, agents: &Agents, place: u64, now: i64) -> Result<Reclassified, StoreFault> {
        let done = self.change(|rows| ready(clicks::reclassify(rows, &self.memory, agents, place, now)))?;
        done.note(&self.memory);
        Ok(done.report)
    }

    fn day_key(&self, day: u32, fresh: [u8; DAY_KEY], now: i64) -> Result<[u8; DAY_KEY], StoreFault> {
        self.day_keys.key(day, fresh, now)
    }

    fn was_clicked(&self, uid: Seq) -> Result<bool, StoreFault> {
        self.read(|rows| ready(clicks::was_clicked(rows, &self.memory, uid)))
    }

    fn note_until(&self, edges: &[EdgeUntil], now: i64) -> Result<(), StoreFault> {
        self.made()?.write(|rows| ready(clicks::note_until(rows, edges, now)))
    }

    fn until(&self) -> Result<Vec<EdgeUntil>, StoreFault> {
        self.read(|rows| ready(clicks::until(rows)))
    }

    fn forget_edge(&self, edge: &str, process: Option<u64>) -> Result<(), StoreFault> {
        self.change(|rows| ready(clicks::forget_edge(rows, edge, process)))
    }
}
