//! The mark in the database: open or closed, and as which file. By it a copy of an open store is known as one
//! (docs/decisions/0006). It is read through the write-ahead log beside the file, as all else is: without it a file whose
//! log was being brought into it is neither the one before nor the one after.

use super::file::{Identity, beside, is_same};
use super::read;
use super::witness::{Noted, State};
use link::{Epoch, Position, Seq};
use proto::own::folder_of;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Bytes of the head of a log.
const LOG_HEAD: u64 = 32;

/// Behind the name of a store, in front of a time: what a restore gives to the file that was there.
pub(super) const KEPT: &str = ".before-";

/// What a file says about itself.
#[derive(Clone, Debug)]
pub(super) struct Mark {
    /// In its first page; `row` stands in another one. They differ where pages of two moments are together.
    header: u32,
    row: u32,
    file: Option<Identity>,
    closed_at: Option<Position>,
}

/// The write-ahead log beside a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Log {
    Missing,
    Empty,
    /// It holds writes, which may be in the file, too.
    Holds,
}

/// What is to be done about a file that is to be opened.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Judged {
    Good,
    /// It was closed as another file: moved or copied. It is looked through once, and has to end here.
    Moved(Position),
    /// It was closed, and its log is still there, as where a stop is killed. It is looked through, and has to end here.
    Cut(Position),
    /// Why it is not opened.
    Refused(String),
}

/// The mark. `None`: there is none, as in a new store and in one from before there were marks. Nothing is written into the
/// file, and a log that does not belong to it stays as it is.
pub(super) fn of(path: &Path) -> rusqlite::Result<Option<Mark>> {
    if std::fs::metadata(path).map_or(0, |file| file.len()) == 0 {
        return Ok(None);
    }
    let db = match beside(path, "-wal").exists() {
        true => super::open::reader(path)?,
        false => without_log(path)?, // else SQLite makes one, and nobody misses the one that was there
    };
    let moment = db.unchecked_transaction()?;
    let known = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'opened'";
    if moment.query_row(known, [], |_| Ok(())).optional()?.is_none() {
        return Ok(None);
    }
    let header: i32 = moment.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let sql = "SELECT nonce, inode, device, born, boot, epoch_counter, epoch_random, head, tag FROM opened";
    let read = |row: &Row<'_>| Mark::of_row(row, header.cast_unsigned());
    moment.query_row(sql, [], read).optional()
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
    db.set_db_config(super::open::NO_CKPT, true)?; // a log beside it is not judged yet
    db.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))
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
}

/// The log beside a file.
pub(super) fn log_of(path: &Path) -> std::io::Result<Log> {
    match std::fs::symlink_metadata(beside(path, "-wal")) {
        Ok(log) if log.len() <= LOG_HEAD => Ok(Log::Empty), // a head alone holds nothing
        Ok(_) => Ok(Log::Holds),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Log::Missing),
        Err(e) => Err(e),
    }
}

/// Whether the file `now` may be opened by what its mark says, and what was noted beside it.
pub(super) fn judge(path: &Path, mark: &Mark, now: &Identity, log: Log, noted: Option<&Noted>) -> Judged {
    let same = mark.file.as_ref().is_some_and(|file| is_same(file, now));
    match mark.closed_at() {
        Some(at) if log == Log::Holds => closed_with_log(path, at, same, noted),
        Some(at) => closed(path, mark, at, same, noted),
        None => opened(path, mark, now, log, noted),
    }
}

/// Out of what is refused after a crash.
pub(super) fn way_out(path: &Path) -> String {
    let shown = path.display();
    let other = match std::fs::metadata(path).is_ok_and(|file| file.nlink() > 1) {
        true => format!("{shown} has another name, and its log may lie beside that: start linkr there; "),
        false => String::new(),
    };
    format!(
        "{other}put back what belongs together, or restore a backup; linkr restore --accept {shown} takes this one for what it is, \
         after a check"
    )
}

fn closed_with_log(path: &Path, at: Position, same: bool, noted: Option<&Noted>) -> Judged {
    let shown = path.display();
    if noted.is_some_and(Noted::left) {
        return Judged::Cut(at);
    }
    Judged::Refused(match same {
        true => format!(
            "{shown}-wal is a write-ahead log of another moment than {shown}, which was closed with all of its own: it would \
             be written over {shown}, and destroy it; move {shown}-wal away"
        ),
        false => format!(
            "{shown}-wal holds writes of another file than {shown}, which was closed with all of its own: together they \
             would be neither; remove {shown}-wal, or put back what belongs together"
        ),
    })
}

fn closed(path: &Path, mark: &Mark, at: Position, same: bool, noted: Option<&Noted>) -> Judged {
    let least =
        noted.filter(|noted| noted.witness.state != State::Closed).map_or(0, |noted| noted.witness.seq);
    match same {
        // After a clean stop an older one may be put back; after a crash nobody has said that it is meant.
        true if at.seq < least => {
            Judged::Refused(format!("{}; {}", older(path, at.seq, least), way_out(path)))
        }
        true => Judged::Good,
        false if mark.file.is_none() => Judged::Good,
        false => Judged::Moved(at),
    }
}

/// A store that may lack writes, and the way out.
pub(super) fn lacks(path: &Path, why: &str) -> String {
    format!("{why}: writes that were acknowledged may be missing; {}", way_out(path))
}

/// What is wrong with a store that ends before it did.
pub(super) fn older(path: &Path, seq: Seq, least: Seq) -> String {
    let shown = path.display();
    format!(
        "the store {shown} ends with change {seq}, and got to {least} before: it is an older copy, or its log {shown}-wal is, \
         and writes that were acknowledged are missing"
    )
}

fn opened(path: &Path, mark: &Mark, now: &Identity, log: Log, noted: Option<&Noted>) -> Judged {
    let shown = path.display();
    if !mark.is_open_as(now) {
        return Judged::Refused(format!(
            "the store {shown} is a copy of one that was open in a running linkr: writes that were acknowledged may be \
             missing, and parts of it may be of different moments; take copies with linkr backup; linkr restore --accept \
             {shown} takes this one for what it is, after a check"
        ));
    }
    let refused = |why: &str| Judged::Refused(lacks(path, why));
    let Some(noted) = noted else {
        return refused(&format!(
            "the store {shown} was open when its linkr ended, and {shown}.lock does not say any more how far it got"
        ));
    };
    if mark.header != mark.row {
        return refused(&format!("parts of {shown} and of its log {shown}-wal are of different moments"));
    }
    if let Some(why) = noted.denies(mark, now) {
        return refused(&why);
    }
    match log {
        // Before the log of an opening is noted, nothing was acknowledged.
        Log::Missing if noted.witness.log.is_some() && noted.witness.state != State::Left => {
            log_is_gone(path, now)
        }
        _ => Judged::Good,
    }
}

fn log_is_gone(path: &Path, now: &Identity) -> Judged {
    let shown = path.display();
    Judged::Refused(match moved_log(path, now) {
        Some([there, back]) => format!(
            "the store {shown} was open when its linkr ended, and a linkr restore that did not come to its end has moved its \
             write-ahead log to {there}, with writes that were acknowledged: mv {there} {back} and start, or run that restore \
             again",
            there = there.display(),
            back = back.display()
        ),
        None => lacks(
            path,
            &format!(
                "the store {shown} was open when its linkr ended, and its write-ahead log {shown}-wal is gone"
            ),
        ),
    })
}

/// Whether a file without a mark may be opened.
pub(super) fn unmarked(path: &Path, log: Log) -> Judged {
    let shown = path.display();
    match std::fs::metadata(path).map_or(0, |file| file.len()) {
        0 if log == Log::Holds => Judged::Refused(format!(
            "{shown} holds nothing, and its write-ahead log {shown}-wal does: put {shown} back, or restore a backup, or move \
             {shown}-wal away to begin anew"
        )),
        _ => Judged::Good,
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
