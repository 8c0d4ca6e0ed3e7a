//! What is kept for how long, how the rest goes, and what is not indexed yet: a little at a time, so that no write waits
//! for it.

use super::{audit, fault, hosts, read, tags, write};
use crate::kept;
use crate::model::StoreFault;
use crate::port::TidyReport;
use journal::{Intent, Item, Request};
use link::{Key, Seq};
use rusqlite::{Connection, params};

pub(super) fn tidy(db: &Connection, now: i64) -> Result<TidyReport, StoreFault> {
    let before = now - kept::TOMBSTONES;
    let buried = buried(db, before).map_err(|e| fault(&e))?;
    let purge = |key: &Vec<u8>| {
        let key = Key::from_bytes(key).map_err(|e| StoreFault::Corrupt(format!("a deleted link: {e}")))?;
        Ok(Request::from(Item { key, intent: Intent::Purge { before } }))
    };
    let items = buried.iter().map(purge).collect::<Result<Vec<_>, StoreFault>>()?;
    if !items.is_empty() {
        write::commit(db, &items, now)?;
    }
    let head = read::head(db)?;
    let cut = cut(db, head.seq, now - kept::LOG).map_err(|e| fault(&e))?;
    let forgotten = audit::cut(db, "audit", "seq", now).map_err(|e| fault(&e))?;
    let notes = audit::cut(db, "admin_audit", "number", now).map_err(|e| fault(&e))?;
    let tagged = tags::catch_up(db)?;
    let indexed = hosts::index_some(db).map_err(|e| fault(&e))?;
    let gone = [
        (items.len(), kept::TOMBSTONES_AT_ONCE),
        (cut, kept::CHANGES_AT_ONCE),
        (forgotten.max(notes), kept::AUDITS_AT_ONCE),
        (tagged, kept::TAGGED_AT_ONCE),
        (indexed, kept::HOSTS_AT_ONCE),
    ];
    Ok(TidyReport { head, more: gone.iter().any(|(gone, most)| *gone == *most as usize) })
}

fn buried(db: &Connection, before: i64) -> rusqlite::Result<Vec<Vec<u8>>> {
    db.prepare_cached("SELECT key FROM links WHERE delete_time <= ?1 ORDER BY delete_time LIMIT ?2")?
        .query_map(params![before, kept::TOMBSTONES_AT_ONCE], |row| row.get(0))?
        .collect()
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
