//! Connections to the file, each as it is needed. None takes the log away when it goes.

use proto::own::beside;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use std::path::Path;
use std::time::Duration;

/// How long a connection waits for another one. Nobody else writes here, so only a stray tool can hold one up.
const BUSY: Duration = Duration::from_secs(2);
/// Statements kept prepared; more than there are.
const STATEMENTS: usize = 64;

/// A connection with this setting leaves the log as it is when it goes. Without it the last one brings the log into the file
/// and removes it. Every connection has it, until the file says of itself that it is closed.
pub(super) const NO_CKPT: DbConfig = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;

/// The settings of a store.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// The most pages the file may have; a write that needs more fails as on a full disk.
    pub max_pages: Option<u32>,
}

pub(super) fn writer(path: &Path, options: Options) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.set_db_config(NO_CKPT, true)?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // An acknowledged write survives a power cut.
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    if let Some(pages) = options.max_pages {
        connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?;
    }
    Ok(connection)
}

/// One that neither reads nor writes for anybody: it brings the log into the file.
pub(super) fn beside_writer(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.set_db_config(NO_CKPT, true)?;
    connection.busy_timeout(Duration::ZERO)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    Ok(connection)
}

pub(super) fn reader(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.set_db_config(NO_CKPT, true)?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.pragma_update(None, "cell_size_check", true)?;
    Ok(connection)
}

/// Rolls back what a killed process was writing into the file itself. Nothing is done where the journal is that of one that
/// runs: SQLite knows by its locks. `true`: there was one.
pub(super) fn roll_back(path: &Path) -> rusqlite::Result<bool> {
    if std::fs::metadata(beside(path, "-journal")).map_or(0, |journal| journal.len()) == 0 {
        return Ok(false);
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    db.busy_timeout(Duration::from_secs(2))?;
    db.set_db_config(NO_CKPT, true)?; // a log beside it is not judged yet
    db.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    Ok(true)
}

/// `immutable`: the file as it is, without locks and without the log; nothing is made beside it.
pub(super) fn without_log(path: &Path) -> rusqlite::Result<Connection> {
    let mut uri = "file:".to_owned();
    for &byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => uri.push(byte.into()),
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(format!("{uri}?immutable=1"), flags)
}
