//! The audit: its rows beside what they tell of, and what is asked of them.

use super::{fault, read, row};
use crate::model::StoreFault;
use crate::notes::Note;
use crate::port::{LinkPast, LinkWrite, Moment, NotedAuthor, ResourceWrite};
use crate::{audit_row, kept};
use journal::Audit;
use link::{Key, Seq};
use rusqlite::{Connection, OptionalExtension, Params, params};

const COLUMNS: &str = "principal, method, request_id, seq, before, after";

pub(super) fn put(db: &Connection, audits: &[Audit], now: i64) -> rusqlite::Result<()> {
    let mut statement = db.prepare_cached(
        "INSERT INTO audit (seq, first, key, at, principal, method, request_id, before, after) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?;
    for Audit { seq, first, key, by, before, after } in audits {
        statement.execute(params![
            seq,
            first,
            key.as_ref().map(Key::as_bytes),
            now,
            &*by.principal,
            by.method,
            &*by.request_id,
            before.as_ref().map(audit_row::to_bytes).as_deref(),
            after.as_ref().map(audit_row::to_bytes).as_deref(),
        ])?;
    }
    Ok(())
}

pub(super) fn writes(db: &Connection, key: &Key, most: Seq, limit: usize) -> Result<LinkPast, StoreFault> {
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rest = "WHERE key = ?1 AND seq <= ?2 ORDER BY seq DESC LIMIT ?3";
    traced(db, key, rest, params![key.as_bytes(), most, limit])
}

pub(super) fn write_after(db: &Connection, key: &Key, moment: Moment) -> Result<LinkPast, StoreFault> {
    let (column, value) = moment.column();
    let rest = format!("WHERE key = ?1 AND {column} > ?2 ORDER BY seq LIMIT 1");
    traced(db, key, &rest, params![key.as_bytes(), value])
}

fn traced(db: &Connection, key: &Key, rest: &str, asked: impl Params) -> Result<LinkPast, StoreFault> {
    let read = || {
        let mut statement = db.prepare_cached(&format!("SELECT {COLUMNS} FROM audit {rest}"))?;
        let read = |row: &rusqlite::Row<'_>| {
            Ok((who(row)?, row.get(3)?, row.get::<_, Option<Vec<u8>>>(4)?, row.get::<_, Vec<u8>>(5)?))
        };
        statement.query_map(asked, read)?.collect::<rusqlite::Result<Vec<_>>>()
    };
    let mut writes = Vec::new();
    for (who, seq, before, after) in read().map_err(|e| fault(&e))? {
        let before = before.map(|bytes| audit_row::from_bytes(key, &bytes)).transpose()?;
        writes.push(LinkWrite { seq, who, before, after: audit_row::from_bytes(key, &after)? });
    }
    Ok(LinkPast { epoch: read::head(db)?.epoch, row: row::one(db, key)?, writes })
}

pub(super) fn chunk(db: &Connection, seq: Seq) -> rusqlite::Result<Option<NotedAuthor>> {
    let sql = "SELECT principal, method, request_id, first FROM audit \
               WHERE first IS NOT NULL AND seq >= ?1 ORDER BY seq LIMIT 1";
    let read = |row: &rusqlite::Row<'_>| Ok((who(row)?, row.get::<_, Seq>(3)?));
    let found = db.prepare_cached(sql)?.query_row([seq], read).optional()?;
    Ok(found.filter(|(_, first)| *first <= seq).map(|(who, _)| who))
}

fn who(row: &rusqlite::Row<'_>) -> rusqlite::Result<NotedAuthor> {
    Ok(NotedAuthor { principal: row.get(0)?, method: row.get(1)?, request_id: row.get(2)? })
}

pub(super) fn note(db: &Connection, note: &Note, now: i64) -> rusqlite::Result<()> {
    let Note { name, by, before, after } = note;
    db.execute(
        "INSERT INTO admin_audit (name, at, principal, method, request_id, before, after) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![name, now, &*by.principal, by.method, &*by.request_id, before.as_deref(), &after[..]],
    )
    .map(drop)
}

pub(super) fn noted(
    db: &Connection,
    name: &str,
    below: i64,
    limit: usize,
) -> rusqlite::Result<Vec<ResourceWrite>> {
    let sql = "SELECT principal, method, request_id, number, name, at, before, after FROM admin_audit \
               WHERE number < ?1 AND (?2 = '' OR name = ?2) ORDER BY number DESC LIMIT ?3";
    let read = |row: &rusqlite::Row<'_>| {
        let (before, after): (Option<Vec<u8>>, Vec<u8>) = (row.get(6)?, row.get(7)?);
        Ok(ResourceWrite {
            number: row.get(3)?,
            name: row.get(4)?,
            at: row.get(5)?,
            who: who(row)?,
            before: before.map(Into::into),
            after: after.into(),
        })
    };
    db.prepare_cached(sql)?.query_map(params![below, name, limit as i64], read)?.collect()
}

/// How many rows of a table went: as with the log, one is as old as the oldest behind it.
pub(super) fn cut(db: &Connection, table: &str, number: &str, now: i64) -> rusqlite::Result<usize> {
    db.prepare_cached(&format!(
        "DELETE FROM {table} WHERE {number} <= (SELECT max({number}) FROM \
         (SELECT {number}, at FROM {table} ORDER BY {number} LIMIT ?1) WHERE at <= ?2)"
    ))?
    .execute([i64::from(kept::AUDITS_AT_ONCE), now - kept::AUDIT])
}
