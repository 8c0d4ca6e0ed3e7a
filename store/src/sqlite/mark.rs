//! The mark in the database: open or closed, and as which file. By it a copy of an open store is known as one
//! (docs/decisions/0006). It is read through the write-ahead log beside the file, as all else is: without it a file whose
//! log was being brought into it is neither the one before nor the one after.

use super::identity::{Identity, is_same};
use super::{connect, read};
use link::{Epoch, Position};
use proto::own::beside;
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::path::Path;

/// Bytes of the head of a log.
const LOG_HEAD: u64 = 32;

/// What a file says about itself.
#[derive(Clone, Debug)]
pub(super) struct FileMark {
    /// In its first page; `row` stands in another one. They differ where pages of two moments are together.
    header: u32,
    row: u32,
    file: Option<Identity>,
    closed_at: Option<Position>,
}

/// The state of the write-ahead log beside a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WalState {
    Missing,
    Empty,
    /// It holds writes, which may be in the file, too.
    Holds,
}

/// The mark. `None`: there is none, as in a new store and in one from before there were marks. Nothing is written into the
/// file, and a log that does not belong to it stays as it is.
pub(super) fn of(path: &Path) -> rusqlite::Result<Option<FileMark>> {
    if std::fs::metadata(path).map_or(0, |file| file.len()) == 0 {
        return Ok(None);
    }
    read_by(&match beside(path, "-wal").exists() {
        true => connect::reader(path)?,
        false => connect::without_log(path)?, // else SQLite makes one, and nobody misses the one that was there
    })
}

/// The mark in the file alone, whatever lies beside it.
pub(super) fn alone(path: &Path) -> rusqlite::Result<Option<FileMark>> {
    read_by(&connect::without_log(path)?)
}

fn read_by(db: &Connection) -> rusqlite::Result<Option<FileMark>> {
    let moment = db.unchecked_transaction()?;
    let known = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'opened'";
    if moment.query_row(known, [], |_| Ok(())).optional()?.is_none() {
        return Ok(None);
    }
    let header: i32 = moment.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let sql = "SELECT nonce, inode, device, born, boot, epoch_counter, epoch_random, head, tag FROM opened";
    let read = |row: &Row<'_>| FileMark::of_row(row, header.cast_unsigned());
    moment.query_row(sql, [], read).optional()
}

impl FileMark {
    fn of_row(row: &Row<'_>, header: u32) -> rusqlite::Result<Self> {
        let inode: Option<i64> = row.get(1)?;
        let file = match inode {
            Some(inode) => Some(Identity {
                inode: inode.cast_unsigned(),
                device: row.get::<_, i64>(2)?.cast_unsigned(),
                born: row.get(3)?,
                boot: row.get(4)?,
            }),
            None => None,
        };
        let counter: Option<u32> = row.get(5)?;
        let closed_at = match counter {
            Some(counter) => Some(Position {
                epoch: Epoch { counter, random: row.get(6)? },
                seq: row.get(7)?,
                tag: row.get::<_, i64>(8)?.cast_unsigned(),
            }),
            None => None,
        };
        Ok(Self { header, row: row.get(0)?, file, closed_at })
    }

    /// Whether it was closed by whoever had it open.
    pub(super) fn is_closed(&self) -> bool {
        self.header == 0 && self.row == 0 && self.closed_at.is_some()
    }

    /// Where its log ended when it was closed.
    pub(super) fn closed_at(&self) -> Option<Position> {
        self.closed_at.filter(|_| self.is_closed())
    }

    /// Whether it was opened or closed as this very file.
    pub(super) fn is_of(&self, now: &Identity) -> bool {
        self.file.as_ref().is_some_and(|file| is_same(file, now))
    }

    /// Whether the first page and the row are of one moment.
    pub(super) fn is_of_one_moment(&self) -> bool {
        self.header == self.row
    }

    /// Whether a process that has it open has this very file.
    pub(super) fn is_open_as(&self, now: &Identity) -> bool {
        !self.is_closed() && self.is_of(now)
    }

    /// Whether it is of no place: it may be opened wherever it is put.
    pub(super) fn is_released(&self) -> bool {
        self.file.is_none()
    }

    /// The number of its opening.
    pub(super) fn nonce(&self) -> u32 {
        self.row
    }

    /// Whether it was opened under the kernel that runs now.
    pub(super) fn is_of_boot(&self, now: &Identity) -> bool {
        self.file.as_ref().is_some_and(|file| file.boot == now.boot)
    }
}

/// The log beside a file.
pub(super) fn log_of(path: &Path) -> std::io::Result<WalState> {
    match std::fs::symlink_metadata(beside(path, "-wal")) {
        Ok(log) if log.len() <= LOG_HEAD => Ok(WalState::Empty), // a head alone holds nothing
        Ok(_) => Ok(WalState::Holds),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(WalState::Missing),
        Err(e) => Err(e),
    }
}

/// A number for an opening.
pub(super) fn new_nonce() -> u32 {
    crate::random::u32() >> 1 | 1
}

/// Marks the file as open, in the transaction of `db`.
pub(super) fn open(db: &Connection, now: &Identity, nonce: u32) -> rusqlite::Result<()> {
    db.pragma_update(None, "user_version", nonce)?;
    db.execute(
        "INSERT OR REPLACE INTO opened (one, nonce, inode, device, born, boot) VALUES (1, ?1, ?2, ?3, ?4, ?5)",
        params![nonce, now.inode.cast_signed(), now.device.cast_signed(), now.born, now.boot],
    )?;
    Ok(())
}

/// Marks the file as closed where it ends now. All else is in the file before: the mark may not be ahead of anything.
/// `false`: somebody reads an older state of it, and it is not closed.
pub(super) fn close(db: &Connection) -> Result<bool, crate::model::StoreFault> {
    if !fold(db).map_err(|e| super::fault(&e))? {
        return Ok(false);
    }
    let head = read::head(db)?;
    let write = || {
        let whole = db.unchecked_transaction()?;
        whole.pragma_update(None, "user_version", 0)?;
        whole.execute(
            "UPDATE opened SET nonce = 0, salt = NULL, epoch_counter = ?1, epoch_random = ?2, head = ?3, tag = ?4",
            params![head.epoch.counter, head.epoch.random, head.seq, head.tag.cast_signed()],
        )?;
        whole.commit()?;
        fold(db)
    };
    write().map_err(|e| super::fault(&e))
}

/// Marks the file as closed and of no place: it may be opened wherever it is put.
pub(super) fn release(db: &Connection) -> Result<Position, crate::model::StoreFault> {
    let head = read::head(db)?;
    let write = || {
        let whole = db.unchecked_transaction()?;
        whole.pragma_update(None, "user_version", 0)?;
        whole.execute(
            "INSERT OR REPLACE INTO opened (one, nonce, epoch_counter, epoch_random, head, tag) \
             VALUES (1, 0, ?1, ?2, ?3, ?4)",
            params![head.epoch.counter, head.epoch.random, head.seq, head.tag.cast_signed()],
        )?;
        whole.commit()
    };
    write().map_err(|e| super::fault(&e))?;
    Ok(head)
}

/// Brings everything from the log into the file, and empties the log. `false`: somebody else reads an older state of it,
/// and what is left stays in the log.
pub(super) fn fold(db: &Connection) -> rusqlite::Result<bool> {
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, bool>(0)).map(|busy| !busy)
}

#[cfg(test)]
#[path = "mark_tests.rs"]
mod tests;
