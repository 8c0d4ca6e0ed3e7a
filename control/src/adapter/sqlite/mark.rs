//! The mark in the database file itself: open or closed, and as which file. By it a copy of an open store is known as
//! one (docs/decisions/0006). It is read without the write-ahead log, since a copy may lack that or have another's.

use super::file::{Identity, beside, folder_of, is_same};
use super::read;
use super::witness::Noted;
use link::{Epoch, Position};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Logs of one opening follow each other by a count in their heads; one that is further away is another's. A log is begun
/// anew after 1,000 pages at the soonest, so this is years of writing.
const LOGS: u32 = 1 << 28;
/// The highest count of a log that a start writes after a crash that left an empty one; others begin at random.
const ANEW: u32 = 8;
/// Bytes of the head of a log, and where in it that count stands.
const LOG_HEAD: usize = 32;
const COUNT: std::ops::Range<usize> = 16..20;

/// Behind the name of a store, in front of a time: what a restore gives to the file that was there.
pub(super) const KEPT: &str = ".before-";

/// What a file says about itself.
#[derive(Clone, Debug)]
pub(super) struct Mark {
    /// In its first page; `row` stands in another one. They differ only while one of them is being written.
    header: u32,
    row: u32,
    file: Option<Identity>,
    salt: Option<u32>,
    closed_at: Option<Position>,
}

/// The write-ahead log beside a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Log {
    Missing,
    Empty,
    /// It holds writes; the count in its head.
    Holds(u32),
}

/// What is to be done about a file that is to be opened.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Judged {
    Good,
    /// It was closed as another file: moved or copied. It is looked through once, and has to end here.
    Moved(Position),
    /// Why it is not opened.
    Refused(String),
}

/// The mark, without looking at a write-ahead log. `None`: there is none, as in a new store and in one from before there
/// were marks.
pub(super) fn of(path: &Path) -> rusqlite::Result<Option<Mark>> {
    if std::fs::metadata(path).map_or(0, |file| file.len()) == 0 {
        return Ok(None);
    }
    let db = without_log(path)?;
    let known = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'opened'";
    if db.query_row(known, [], |_| Ok(())).optional()?.is_none() {
        return Ok(None);
    }
    let header: i32 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let sql =
        "SELECT nonce, inode, device, born, boot, salt, epoch_counter, epoch_random, head, tag FROM opened";
    let read = |row: &Row<'_>| Mark::of_row(row, header.cast_unsigned());
    db.query_row(sql, [], read).optional()
}

/// Rolls back what a killed process was writing into the file itself. Nothing is done where the journal is that of one that
/// runs: SQLite knows by its locks.
pub(super) fn roll_back(path: &Path) -> rusqlite::Result<()> {
    if std::fs::metadata(beside(path, "-journal")).map_or(0, |journal| journal.len()) == 0 {
        return Ok(());
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    db.busy_timeout(Duration::from_secs(2))?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?; // a log beside it is not judged yet
    db.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))
}

/// `immutable`: the file as it is, without locks and without the log.
fn without_log(path: &Path) -> rusqlite::Result<Connection> {
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

impl Mark {
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
        let counter: Option<u32> = row.get(6)?;
        let closed_at = match counter {
            Some(counter) => Some(Position {
                epoch: Epoch { counter, random: row.get(7)? },
                seq: row.get(8)?,
                tag: row.get::<_, i64>(9)?.cast_unsigned(),
            }),
            None => None,
        };
        Ok(Self { header, row: row.get(0)?, file, salt: row.get(5)?, closed_at })
    }

    /// Whether it was closed by whoever had it open.
    pub(super) fn is_closed(&self) -> bool {
        self.header == 0 && self.row == 0 && self.closed_at.is_some()
    }

    /// Where its log ended when it was closed.
    pub(super) fn closed_at(&self) -> Option<Position> {
        self.closed_at.filter(|_| self.is_closed())
    }

    /// Whether a process that has it open has this very file.
    pub(super) fn is_open_as(&self, now: &Identity) -> bool {
        !self.is_closed() && self.file.as_ref().is_some_and(|file| is_same(file, now))
    }

    /// The number of its opening.
    pub(super) fn nonce(&self) -> u32 {
        self.row
    }

    /// Whether it was opened under the kernel that runs now.
    pub(super) fn is_of_boot(&self, now: &Identity) -> bool {
        self.file.as_ref().is_some_and(|file| file.boot == now.boot)
    }

    /// Whether the count of the log follows that of the first one. A process that found the index of another one in memory
    /// begins at random: then the file of the log has to do, and what is in it is looked through.
    pub(super) fn fits(&self, log: Log) -> bool {
        match (log, self.salt) {
            (Log::Holds(count), Some(first)) => count.wrapping_sub(first) < LOGS || count <= ANEW,
            _ => true,
        }
    }
}

/// The log beside a file, by its head.
pub(super) fn log_of(path: &Path) -> std::io::Result<Log> {
    let mut file = match proto::own::shared(&beside(path, "-wal"), std::fs::File::options().read(true)) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Log::Missing),
        Err(e) => return Err(e),
    };
    let mut head = [0; LOG_HEAD];
    if file.metadata()?.len() <= LOG_HEAD as u64 {
        return Ok(Log::Empty); // a head alone holds nothing
    }
    file.read_exact(&mut head)?;
    let count = head[COUNT].try_into().map(u32::from_be_bytes);
    Ok(count.map_or(Log::Empty, Log::Holds))
}

/// Whether the file `now` may be opened by what its mark says, and what was noted beside it.
pub(super) fn judge(path: &Path, mark: &Mark, now: &Identity, log: Log, noted: Option<&Noted>) -> Judged {
    let shown = path.display();
    let same = mark.file.as_ref().is_some_and(|file| is_same(file, now));
    let way_out = format!(
        "take copies with linkr backup; linkr restore --accept {shown} takes this one for what it is, after a check"
    );
    let denied = noted.and_then(|noted| noted.denies(mark, now)).unwrap_or_default();
    match (mark.closed_at(), same) {
        // Also what was left by a stop that was killed before it could empty it.
        (Some(_), true) if !matches!(log, Log::Holds(_)) || noted.is_some_and(Noted::left) => Judged::Good,
        (Some(_), true) => Judged::Refused(format!(
            "{shown}-wal is a write-ahead log of another moment than {shown}, which was closed with all of its own: it would \
             be written over {shown}, and destroy it; move {shown}-wal away"
        )),
        (Some(_), false) if matches!(log, Log::Holds(_)) => Judged::Refused(format!(
            "{shown}-wal holds writes of another file than {shown}, which was closed with all of its own: together they \
             would be neither; remove {shown}-wal, or put back what belongs together"
        )),
        (Some(_), false) if mark.file.is_none() => Judged::Good,
        (Some(at), false) => Judged::Moved(at),
        (None, false) => Judged::Refused(format!(
            "the store {shown} is a copy of one that was open in a running linkr: writes that were acknowledged may be \
             missing, and parts of it may be of different moments; {way_out}"
        )),
        (None, true) if !denied.is_empty() => Judged::Refused(format!(
            "{denied}: writes that were acknowledged may be missing; put back what belongs together, or restore a backup; \
             {way_out}"
        )),
        // Before the log of an opening is known, nothing was acknowledged.
        (None, true) if log == Log::Missing && mark.salt.is_some() => {
            Judged::Refused(match moved_log(path, now) {
                Some([there, back]) => format!(
                    "the store {shown} was open when its linkr ended, and a linkr restore that did not come to its end has \
                 moved its write-ahead log to {there}, with writes that were acknowledged: mv {there} {back} and start, or \
                 run that restore again",
                    there = there.display(),
                    back = back.display()
                ),
                None => format!(
                    "the store {shown} was open when its linkr ended, and its write-ahead log {shown}-wal is gone: writes that \
                 were acknowledged may be missing; put {shown}-wal back, or restore a backup; linkr restore --accept {shown} \
                 goes on without them"
                ),
            })
        }
        (None, true) if !mark.fits(log) && !noted.is_some_and(Noted::left) => Judged::Refused(format!(
            "{shown}-wal is the write-ahead log of another opening than the last one of {shown}: together they would be \
             neither; put back what belongs together, or restore a backup; {way_out}"
        )),
        (None, true) => Judged::Good,
    }
}

/// Where a restore that was killed left the log, beside the other name that it gave this very file; and its place.
fn moved_log(path: &Path, now: &Identity) -> Option<[PathBuf; 2]> {
    let path = path.canonicalize().ok()?;
    let mut front = path.file_name()?.to_owned();
    front.push(KEPT);
    let kept = std::fs::read_dir(folder_of(&path)).ok()?.flatten().find(|entry| {
        entry.file_name().as_encoded_bytes().starts_with(front.as_encoded_bytes())
            && entry.metadata().is_ok_and(|file| file.ino() == now.inode)
            && beside(&entry.path(), "-wal").exists()
    });
    kept.map(|kept| [beside(&kept.path(), "-wal"), beside(&path, "-wal")])
}

/// A number for an opening.
pub(super) fn new_nonce() -> u32 {
    crate::random::u32() >> 1 | 1
}

/// Whether the opening goes on in the log, too: a stop that somebody who reads kept from its end has closed it there.
pub(super) fn goes_on(db: &Connection, nonce: u32) -> rusqlite::Result<bool> {
    let header: i32 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let row: u32 = db.query_row("SELECT nonce FROM opened", [], |row| row.get(0))?;
    Ok(header.cast_unsigned() == nonce && row == nonce)
}

/// Marks the file as open, in the transaction of `db`; the log that follows is not known yet.
pub(super) fn open(db: &Connection, now: &Identity, nonce: u32) -> rusqlite::Result<()> {
    db.pragma_update(None, "user_version", nonce)?;
    db.execute(
        "INSERT OR REPLACE INTO opened (one, nonce, inode, device, born, boot) VALUES (1, ?1, ?2, ?3, ?4, ?5)",
        params![nonce, now.inode.cast_signed(), now.device.cast_signed(), now.born, now.boot],
    )?;
    Ok(())
}

/// Says which logs belong to this opening, and brings that into the file itself, unless somebody reads an older state of it.
pub(super) fn say_log(db: &Connection, path: &Path) -> rusqlite::Result<()> {
    db.execute("UPDATE opened SET salt = 0", [])?; // the log has a head after the first write
    if let Ok(Log::Holds(count)) = log_of(path) {
        db.execute("UPDATE opened SET salt = ?1", [count])?;
    }
    fold(db).map(drop)
}

/// Marks the file as closed where it ends now. All else is in the file before: the mark may not be ahead of anything.
/// `false`: somebody reads an older state of it, and it is not closed.
pub(super) fn close(db: &Connection) -> Result<bool, crate::port::StoreFault> {
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
pub(super) fn release(db: &Connection) -> Result<Position, crate::port::StoreFault> {
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
