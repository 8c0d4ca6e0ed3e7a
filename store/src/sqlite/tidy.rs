//! What is kept for how long, how the rest goes, and what is not indexed yet: a little at a time, so that no write waits
//! for it.

use super::{audit, fault, hosts, read, tags, write};
use crate::kept;
use crate::model::StoreFault;
use crate::port::TidyReport;
use crate::tombstones::{Tombstone, TombstoneFates};
use link::Seq;
use rusqlite::{Connection, params};

/// `fates`: of what [`buried`] found.
pub(super) fn tidy(db: &Connection, fates: &TombstoneFates, now: i64) -> Result<TidyReport, StoreFault> {
    keep(db, &fates.clicked).map_err(|e| fault(&e))?;
    if !fates.purges.is_empty() {
        write::commit(db, &fates.purges, now)?;
    }
    let head = read::head(db)?;
    let cut = cut(db, head.seq, now - kept::LOG).map_err(|e| fault(&e))?;
    let forgotten = audit::cut(db, "audit", "seq", now).map_err(|e| fault(&e))?;
    let notes = audit::cut(db, "admin_audit", "number", now).map_err(|e| fault(&e))?;
    let tagged = tags::catch_up(db)?;
    let indexed = hosts::index_some(db).map_err(|e| fault(&e))?;
    let gone = [
        (fates.count, kept::TOMBSTONES_AT_ONCE),
        (cut, kept::CHANGES_AT_ONCE),
        (forgotten.max(notes), kept::AUDITS_AT_ONCE),
        (tagged, kept::TAGGED_AT_ONCE),
        (indexed, kept::HOSTS_AT_ONCE),
    ];
    Ok(TidyReport { head, more: gone.iter().any(|(gone, most)| *gone == *most as usize) })
}

/// The oldest tombstones of before this time, but for those that stay.
pub(super) fn buried(db: &Connection, before: i64) -> Result<Vec<Tombstone>, StoreFault> {
    let sql = "SELECT key, coalesce(uid, version) FROM links WHERE delete_time <= ?1 AND clicked IS NULL \
               ORDER BY delete_time LIMIT ?2";
    let read = || {
        db.prepare_cached(sql)?
            .query_map(params![before, kept::TOMBSTONES_AT_ONCE], |row| {
                Ok(Tombstone { key: row.get(0)?, uid: row.get(1)? })
            })?
            .collect::<rusqlite::Result<Vec<_>>>()
    };
    read().map_err(|e| fault(&e))
}

/// Notes that these stay: they were clicked.
fn keep(db: &Connection, keys: &[Vec<u8>]) -> rusqlite::Result<()> {
    let mut note = db.prepare_cached("UPDATE links SET clicked = 1 WHERE key = ?1")?;
    keys.iter().try_for_each(|key| note.execute([key]).map(drop))
}

/// How many changes went. The last change of all stays, so that whoever has applied it can prove so. A change is as old
/// as the oldest behind it: a clock that was ahead for a while does not keep what came before.
fn cut(db: &Connection, head: Seq, before: i64) -> rusqlite::Result<usize> {
    let last: Option<Seq> = db
        .prepare_cached(
            "SELECT max(seq) FROM (SELECT seq, committed_at FROM change_log WHERE seq < ?1 ORDER BY seq LIMIT ?2) \
             WHERE committed_at <= ?3",
        )?
        .query_row(params![head, kept::CHANGES_AT_ONCE, before], |row| row.get(0))?;
    let Some(last) = last else { return Ok(0) };
    db.prepare_cached(
        "INSERT OR IGNORE INTO log_marks SELECT seq, tag FROM change_log WHERE seq <= ?1 AND seq % ?2 = 0",
    )?
    .execute(params![last, kept::MARKED])?;
    db.prepare_cached("DELETE FROM change_log WHERE seq <= ?1")?.execute([last])
}
