//! Between a row of `links` and the type. No transaction is begun here.

use super::fault;
use crate::model::{Row, StoreFault};
use crate::raw::{LinkColumns, blocked_by, external_id, host, kept, uid};
use crate::stored_info;
use link::{Key, Seq};
use rusqlite::{Connection, OptionalExtension, params};

pub(super) const COLUMNS: &str =
    "key, record, kept, title, tags, note, more, create_time, update_time, delete_time, version";

/// How many these are.
pub(super) const COUNT: usize = 11;

pub(super) fn raw(row: &rusqlite::Row<'_>) -> rusqlite::Result<LinkColumns> {
    Ok(LinkColumns {
        key: row.get(0)?,
        record: row.get(1)?,
        kept: row.get(2)?,
        title: row.get(3)?,
        tags: row.get(4)?,
        note: row.get(5)?,
        more: row.get(6)?,
        times: (row.get(7)?, row.get(8)?, row.get(9)?),
        version: row.get(10)?,
    })
}

pub(super) fn one(snapshot: &Connection, key: &Key) -> Result<Option<Row>, StoreFault> {
    let sql = select(" WHERE key = ?1");
    let mut statement = snapshot.prepare_cached(&sql).map_err(|e| fault(&e))?;
    let found = statement.query_row([key.as_bytes()], raw).optional().map_err(|e| fault(&e))?;
    found.map(LinkColumns::parse).transpose()
}

/// Those of these uids that there are, deleted or not.
pub(super) fn with_uids(snapshot: &Connection, uids: &[Seq]) -> Result<Vec<Row>, StoreFault> {
    let sql = select(" INDEXED BY links_uid WHERE coalesce(uid, version) = ?1");
    let mut statement = snapshot.prepare_cached(&sql).map_err(|e| fault(&e))?;
    let mut rows = Vec::new();
    // The others are numbers that SQLite does not have.
    for uid in uids.iter().filter_map(|uid| i64::try_from(*uid).ok()) {
        let found = statement.query_map([uid], raw).and_then(Iterator::collect::<rusqlite::Result<Vec<_>>>);
        for raw in found.map_err(|e| fault(&e))? {
            rows.push(raw.parse()?);
        }
    }
    Ok(rows)
}

pub(super) fn select(rest: &str) -> String {
    format!("SELECT {COLUMNS} FROM links{rest}")
}

pub(super) fn put(transaction: &Connection, row: &Row, record: &[u8]) -> rusqlite::Result<()> {
    let mut statement = transaction.prepare_cached(
        // No REPLACE, which would take another link away where this one has its external id.
        "INSERT INTO links (key, record, kept, title, tags, note, more, create_time, update_time, delete_time, version, \
         external_id, host, blocked_by, uid) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15) \
         ON CONFLICT (key) DO UPDATE SET record = excluded.record, kept = excluded.kept, title = excluded.title, \
         tags = excluded.tags, note = excluded.note, more = excluded.more, create_time = excluded.create_time, \
         update_time = excluded.update_time, delete_time = excluded.delete_time, version = excluded.version, \
         external_id = excluded.external_id, host = excluded.host, blocked_by = excluded.blocked_by, \
         uid = excluded.uid",
    )?;
    statement.execute(params![
        row.key.as_bytes(),
        record,
        kept(row).as_deref(),
        row.info.title,
        serde_json::json!(row.info.tags).to_string(),
        row.info.note,
        stored_info::more(&row.info),
        row.create_time,
        row.update_time,
        row.delete_time,
        row.version,
        external_id(row),
        host(row),
        blocked_by(row),
        uid(row),
    ])?;
    Ok(())
}
