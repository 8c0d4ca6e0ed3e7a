//! How the file is opened, claimed and brought up to date. Nothing is read or written for anybody here.

use crate::adapter::schema;
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};
use std::error::Error;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

mod migrations {
    refinery::embed_migrations!("../migrations/sqlite");
}

/// How long a connection waits for another one. Nobody else writes here, so only a stray tool can hold one up.
const BUSY: Duration = Duration::from_secs(2);
/// Statements kept prepared; more than there are.
const STATEMENTS: usize = 64;

/// What may be set about a store.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// The most pages the file may have; a write that needs more fails as on a full disk.
    pub max_pages: Option<u32>,
}

/// Why the file cannot be used, and how to mend it.
#[derive(Debug)]
pub struct OpenFault(String);

impl std::fmt::Display for OpenFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for OpenFault {}

pub(super) fn open(path: &Path, options: Options) -> Result<(Connection, File), OpenFault> {
    let shown = path.display();
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)
            .map_err(|e| OpenFault(format!("cannot make the folder of the store {shown}: {e}")))?;
    }
    let lock = claim(path)?;
    let broken = |e: &dyn std::fmt::Display| {
        OpenFault(format!("cannot open the store {shown}: {e}; give another file or restore a backup"))
    };
    let mut connection = writer(path, options).map_err(|e| broken(&e))?;
    let runner = migrations::migrations::runner();
    let refused = |why: String| OpenFault(format!("cannot use the store {shown}: {why}"));
    let there = version(&connection).map_err(|e| broken(&e))?;
    schema::check(there, schema::latest(&runner)).map_err(refused)?;
    runner.run(&mut connection).map_err(|e| match schema::told(&e) {
        Some(why) => refused(why),
        None => broken(&e.source().map_or_else(|| e.to_string(), ToString::to_string)),
    })?;
    begin_history(&connection).map_err(|e| broken(&e))?;
    Ok((connection, lock))
}

/// The log has one writer: a second process on the same file would number its changes past this one's memory. The
/// lock lies beside the file because SQLite's own locks belong to transactions, and it ends with the process.
fn claim(path: &Path) -> Result<File, OpenFault> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".lock");
    let beside = PathBuf::from(beside);
    let failed = |e: &dyn std::fmt::Display| {
        OpenFault(format!("cannot lock the store with {}: {e}", beside.display()))
    };
    let file =
        File::options().create(true).write(true).truncate(false).open(&beside).map_err(|e| failed(&e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenFault(format!(
            "the store {} is in use by another linkr: stop that one, or give this one another store",
            path.display()
        ))),
        Err(TryLockError::Error(e)) => Err(failed(&e)),
    }
}

fn writer(path: &Path, options: Options) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.pragma_update(None, "journal_mode", "wal")?;
    // An acknowledged write survives a power cut.
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    if let Some(pages) = options.max_pages {
        connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?;
    }
    Ok(connection)
}

pub(super) fn reader(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

/// The schema that the file has.
fn version(connection: &Connection) -> rusqlite::Result<Option<i32>> {
    let there = "SELECT 1 FROM sqlite_master WHERE name = 'refinery_schema_history'";
    match connection.query_row(there, [], |_| Ok(())).optional()? {
        Some(()) => {
            connection.query_row("SELECT max(version) FROM refinery_schema_history", [], |row| row.get(0))
        }
        None => Ok(None),
    }
}

/// A fresh store begins history 1 with a random number of its own: two stores never share one. One that is opened
/// again begins a new history at its head (R2): it may have been put back to an older state meanwhile, and then nobody
/// who has seen more may take what follows for what was there. Whoever has not goes on across the fork.
fn begin_history(connection: &Connection) -> rusqlite::Result<()> {
    let begun = connection.query_row("SELECT 1 FROM log_head", [], |_| Ok(())).optional()?;
    if begun.is_none() {
        connection.execute(
            "INSERT INTO log_head (one, epoch_counter, epoch_random, head, tag) VALUES (1, 1, ?1, 0, 0)",
            params![crate::random::u32()],
        )?;
        return Ok(());
    }
    let whole = connection.unchecked_transaction()?;
    whole.execute(
        "UPDATE log_head SET parent_counter = epoch_counter, parent_random = epoch_random, fork_seq = head, \
         epoch_counter = epoch_counter + 1, epoch_random = ?1",
        params![crate::random::u32()],
    )?;
    whole.execute(
        "INSERT INTO epochs SELECT epoch_counter, epoch_random, parent_counter, parent_random, fork_seq, head, ?1 \
         FROM log_head",
        [crate::writer::unix_ms()],
    )?;
    whole.commit()
}
