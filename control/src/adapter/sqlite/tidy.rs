//! What is kept for how long, and how the rest goes: a little at a time, so that no write waits for it.

use super::{fault, read, write};
use crate::journal::{Intent, Item};
use crate::port::{StoreFault, Tidied};
use link::{Key, Seq};
use rusqlite::{Connection, params};

const DAY: i64 = 24 * 60 * 60 * 1000;
/// Milliseconds for which a change stays in the log. An edge that was away for longer begins anew.
const LOG_KEPT: i64 = 7 * DAY;
/// Milliseconds for which a deleted link answers 410 and its code stays taken.
const TOMBSTONES_KEPT: i64 = 30 * DAY;
const _: () =
    assert!(TOMBSTONES_KEPT >= LOG_KEPT, "a deletion is in the log for as long as anybody may resume there");
/// Of the changes that go, every so manieth is kept as a proof of its history.
const MARKED: Seq = 10_000;
/// Changes that go at once: some milliseconds.
const CHANGES_AT_ONCE: u32 = 1_000;
/// Tombstones that go at once; each is a change of its own.
const TOMBSTONES_AT_ONCE: u32 = 256;

pub(super) fn tidy(db: &Connection, now: i64) -> Result<Tidied, StoreFault> {
    let before = now - TOMBSTONES_KEPT;
    let buried = buried(db, before).map_err(|e| fault(&e))?;
    let purge = |key: &Vec<u8>| {
        let key = Key::from_bytes(key).map_err(|e| StoreFault::Corrupt(format!("a deleted link: {e}")))?;
        Ok(Item { key, intent: Intent::Purge { before }, retry: None })
    };
    let items = buried.iter().map(purge).collect::<Result<Vec<_>, StoreFault>>()?;
    if !items.is_empty() {
        write::commit(db, &items, now)?;
    }
    let head = read::head(db)?;
    let cut = cut(db, head.seq, now - LOG_KEPT).map_err(|e| fault(&e))?;
    Ok(Tidied { head, more: items.len() == TOMBSTONES_AT_ONCE as usize || cut == CHANGES_AT_ONCE as usize })
}

fn buried(db: &Connection, before: i64) -> rusqlite::Result<Vec<Vec<u8>>> {
    db.prepare_cached("SELECT key FROM links WHERE delete_time <= ?1 ORDER BY delete_time LIMIT ?2")?
        .query_map(params![before, TOMBSTONES_AT_ONCE], |row| row.get(0))?
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
        .query_row(params![head, CHANGES_AT_ONCE, before], |row| row.get(0))?;
    let Some(last) = last else { return Ok(0) };
    db.prepare_cached(
        "INSERT OR IGNORE INTO log_marks SELECT seq, tag FROM change_log WHERE seq <= ?1 AND seq % ?2 = 0",
    )?
    .execute(params![last, MARKED])?;
    db.prepare_cached("DELETE FROM change_log WHERE seq <= ?1")?.execute([last])
}
