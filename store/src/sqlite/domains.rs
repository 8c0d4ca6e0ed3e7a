//! Domains: rows of their own, changes in the log that links have. What becomes of a write is decided by `journal`.

use super::{audit, fault, hosts, read, write};
use crate::model::{DomainRow, StoreFault};
use crate::notes::Note;
use crate::port::domains::DomainCommitReport;
use crate::{answers, raw};
use journal::domains::{
    DomainHoldings, DomainIntent, DomainItem, DomainLinks, DomainVerdict, LOOKED_AT, decide,
};
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
    Ok((read::head(db)?.epoch, last(db, read::LAST_OF_DOMAINS)?))
}

pub(super) fn last_gone(db: &Connection) -> Result<Seq, StoreFault> {
    last(db, "(SELECT coalesce(max(version), 0) FROM domains_gone)")
}

/// A seq, by an expression.
pub(super) fn last(db: &Connection, expression: &str) -> Result<Seq, StoreFault> {
    let asked = db.prepare_cached(&format!("SELECT {expression}"));
    asked.and_then(|mut asked| asked.query_row([], |row| row.get(0))).map_err(|e| fault(&e))
}

fn columns(row: &Row<'_>) -> rusqlite::Result<raw::DomainColumns> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, (row.get(3)?, row.get(4)?)))
}

pub(super) fn commit(db: &Connection, item: &DomainItem, now: i64) -> Result<DomainCommitReport, StoreFault> {
    let start = read::head(db)?;
    let found = find(db, item, now)?;
    let verdict = decide(item, &found, start, now);
    let (DomainVerdict::Written(row) | DomainVerdict::Gone(row)) = &verdict else {
        return Ok(DomainCommitReport { head: start, verdict });
    };
    let head = Position { seq: row.version, tag: crate::random::u64(), ..start };
    let stored = match &verdict {
        DomainVerdict::Gone(_) => remove(db, item, row, head, now),
        _ => store(db, item, (found.row.as_ref(), row), head, now),
    };
    stored.map_err(|e| fault(&e))?;
    Ok(DomainCommitReport { head, verdict })
}

fn find(db: &Connection, item: &DomainItem, now: i64) -> Result<DomainHoldings, StoreFault> {
    let read = || {
        let sql = format!("SELECT {COLUMNS} FROM domains WHERE name = ?1");
        let row = db.prepare_cached(&sql)?.query_row([item.name.as_str()], columns).optional()?;
        let id_taken = match &item.intent {
            DomainIntent::Create { id, .. } => {
                let sql =
                    "SELECT 1 FROM domains WHERE id = ?1 UNION ALL SELECT 1 FROM domains_gone WHERE id = ?1";
                db.prepare_cached(sql)?.exists([id.0])?
            }
            DomainIntent::Update { .. } | DomainIntent::Delete { .. } => false,
        };
        let first = row.as_ref().map_or([0; 4], |(id, ..)| DomainId(*id).prefix());
        let next: Option<Vec<u8>> = db
            .prepare_cached("SELECT key FROM links WHERE key > ?1 ORDER BY key LIMIT 1")?
            .query_row([&first[..]], |row| row.get(0))
            .optional()?;
        let links = match &item.intent {
            DomainIntent::Delete { .. } => links(db, &first)?,
            DomainIntent::Create { .. } | DomainIntent::Update { .. } => DomainLinks::default(),
        };
        let sums = "SELECT count(*), coalesce(sum(length(record)), 0) FROM domains";
        let (count, bytes): (u32, u32) = db.query_row(sums, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let answer = item.retry.as_ref().map(|retry| write::answer(db, retry, now)).transpose()?.flatten();
        let has_links = next.is_some_and(|key| key.starts_with(&first));
        let (count, bytes) = (count as usize, bytes as usize);
        let found =
            DomainHoldings { has_links, links, id_taken, count, bytes, answer, ..DomainHoldings::default() };
        Ok((row, found))
    };
    let (row, found) = read().map_err(|e| fault(&e))?;
    let row = row.map(raw::domain).transpose()?;
    let asks = row.as_ref().filter(|row| item.turns_punctuation_on(row));
    let ending = asks.map(|row| ending(db, row)).transpose().map_err(|e| fault(&e))?.flatten();
    let blocked = hosts::blocked(db, &item.hosts())?.into_iter().collect();
    Ok(DomainHoldings { row, ending, blocked, ..found })
}

/// The first links of a domain.
fn links(db: &Connection, prefix: &[u8; 4]) -> rusqlite::Result<DomainLinks> {
    let sql = "SELECT key, delete_time FROM links WHERE key > ?1 ORDER BY key LIMIT ?2";
    let read = |row: &Row<'_>| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Option<i64>>(1)?));
    let mut statement = db.prepare_cached(sql)?;
    let all = statement.query_map(params![&prefix[..], LOOKED_AT as i64], read)?;
    let all = all.collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(DomainLinks::of(
        all.into_iter().filter(|(key, _)| key.starts_with(prefix)).map(|(_, deleted)| deleted),
    ))
}

/// The end of a domain.
fn remove(
    db: &Connection,
    item: &DomainItem,
    row: &DomainRow,
    head: Position,
    now: i64,
) -> rusqlite::Result<()> {
    db.execute("DELETE FROM domains WHERE id = ?1", [row.id.0])?;
    db.execute("INSERT INTO domains_gone (id, version) VALUES (?1, ?2)", params![row.id.0, row.version])?;
    write::log(db, head.epoch, &row.gone(head.tag), now)?;
    if let Some(retry) = &item.retry {
        write::put_answer(db, retry, &answers::domain_gone(row, head), row.version, now)?;
    }
    if let Some(by) = &item.by {
        audit::note(db, &Note::domain_gone(by, row, head.epoch), now)?;
    }
    write::move_head(db, head)
}

/// The name of a link of this domain whose code ends in punctuation. Reads all of its keys.
fn ending(db: &Connection, row: &DomainRow) -> rusqlite::Result<Option<String>> {
    let first = row.id.prefix();
    let mut statement = db.prepare_cached("SELECT key FROM links WHERE key > ?1 ORDER BY key")?;
    let mut keys = statement.query([&first[..]])?;
    while let Some(key) = keys.next()? {
        let key = key.get_ref(0)?.as_blob()?;
        match key.strip_prefix(&first) {
            Some(code) if raw::ends_in_punctuation(code) => {
                return Ok(Some(raw::name_of(code, row)));
            }
            Some(_) => {}
            None => return Ok(None),
        }
    }
    Ok(None)
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
