//! Domains: rows of their own, changes in the log that links have. What becomes of a write is decided by `journal`.

use super::{audit, fault, read, write};
use crate::model::{DomainRow, StoreFault};
use crate::notes::Note;
use crate::port::domains::DomainCommitted;
use crate::{answers, raw};
use journal::domains::{DomainFound, DomainIntent, DomainItem, DomainVerdict, decide};
use link::{DomainId, Epoch, Position, Seq};
use rusqlite::{Connection, OptionalExtension, Row, params};

const COLUMNS: &str = "id, name, record, create_time, update_time";

pub(super) fn all(db: &Connection) -> Result<(Position, Vec<DomainRow>), StoreFault> {
    let head = read::head(db)?;
    let read = || {
        let mut statement = db.prepare_cached(&format!("SELECT {COLUMNS} FROM domains ORDER BY name"))?;
        statement.query_map([], columns)?.collect::<rusqlite::Result<Vec<_>>>()
    };
    let rows = read().map_err(|e| fault(&e))?;
    Ok((head, rows.into_iter().map(raw::domain).collect::<Result<_, _>>()?))
}

pub(super) fn version(db: &Connection) -> Result<(Epoch, Seq), StoreFault> {
    let last = db
        .prepare_cached("SELECT coalesce(max(version), 0) FROM domains")
        .and_then(|mut last| last.query_row([], |row| row.get(0)));
    Ok((read::head(db)?.epoch, last.map_err(|e| fault(&e))?))
}

fn columns(row: &Row<'_>) -> rusqlite::Result<raw::Domain> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, (row.get(3)?, row.get(4)?)))
}

pub(super) fn commit(db: &Connection, item: &DomainItem, now: i64) -> Result<DomainCommitted, StoreFault> {
    let start = read::head(db)?;
    let found = find(db, item, now)?;
    let verdict = decide(item, &found, start, now);
    let DomainVerdict::Written(row) = &verdict else { return Ok(DomainCommitted { head: start, verdict }) };
    let head = Position { seq: row.version, tag: crate::random::u64(), ..start };
    store(db, item, (found.row.as_ref(), row), head, now).map_err(|e| fault(&e))?;
    Ok(DomainCommitted { head, verdict })
}

fn find(db: &Connection, item: &DomainItem, now: i64) -> Result<DomainFound, StoreFault> {
    let read = || {
        let sql = format!("SELECT {COLUMNS} FROM domains WHERE name = ?1");
        let row = db.prepare_cached(&sql)?.query_row([item.name.as_str()], columns).optional()?;
        let id_taken = match &item.intent {
            DomainIntent::Create { id, .. } => {
                db.prepare_cached("SELECT 1 FROM domains WHERE id = ?1")?.exists([id.0])?
            }
            DomainIntent::Update { .. } => false,
        };
        let first = row.as_ref().map_or([0; 4], |(id, ..)| DomainId(*id).prefix());
        let next: Option<Vec<u8>> = db
            .prepare_cached("SELECT key FROM links WHERE key > ?1 ORDER BY key LIMIT 1")?
            .query_row([&first[..]], |row| row.get(0))
            .optional()?;
        let count: u32 = db.query_row("SELECT count(*) FROM domains", [], |row| row.get(0))?;
        let answer = item.retry.as_ref().map(|retry| write::answer(db, retry, now)).transpose()?.flatten();
        Ok((row, next.is_some_and(|key| key.starts_with(&first)), id_taken, count as usize, answer))
    };
    let (row, has_links, id_taken, count, answer) = read().map_err(|e| fault(&e))?;
    Ok(DomainFound { row: row.map(raw::domain).transpose()?, has_links, id_taken, count, answer })
}

fn store(
    db: &Connection,
    item: &DomainItem,
    (before, row): (Option<&DomainRow>, &DomainRow),
    head: Position,
    now: i64,
) -> rusqlite::Result<()> {
    let change = row.change(head.tag);
    db.execute(
        "INSERT INTO domains (id, name, record, version, create_time, update_time) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
         ON CONFLICT (id) DO UPDATE SET record = excluded.record, version = excluded.version, \
         create_time = excluded.create_time, update_time = excluded.update_time",
        params![row.id.0, row.rules.name.as_str(), &change.record[..], row.version, row.create_time, row.update_time],
    )?;
    write::log(db, head.epoch, &change, now)?;
    if let Some(retry) = &item.retry {
        write::put_answer(db, retry, &answers::domain(row, head), row.version, now)?;
    }
    if let Some(by) = &item.by {
        audit::note(db, &Note::domain(by, before, row, head.epoch), now)?;
    }
    write::move_head(db, head)
}
