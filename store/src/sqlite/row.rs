//! Between a row of `links` and the type. No transaction is begun here.

use super::fault;
use crate::model::{Row, StoreFault};
use crate::raw::{Raw, kept};
use link::Key;
use rusqlite::{Connection, OptionalExtension, params};

pub(super) const COLUMNS: &str =
    "key, record, kept, title, tags, note, create_time, update_time, delete_time, version";

pub(super) fn raw(row: &rusqlite::Row<'_>) -> rusqlite::Result<Raw> {
    Ok(Raw {
        key: row.get(0)?,
        record: row.get(1)?,
        kept: row.get(2)?,
        info: (row.get(3)?, row.get(4)?, row.get(5)?),
        times: (row.get(6)?, row.get(7)?, row.get(8)?),
        version: row.get(9)?,
    })
}

pub(super) fn one(snapshot: &Connection, key: &Key) -> Result<Option<Row>, StoreFault> {
    let sql = select(" WHERE key = ?1");
    let mut statement = snapshot.prepare_cached(&sql).map_err(|e| fault(&e))?;
    let found = statement.query_row([key.as_bytes()], raw).optional().map_err(|e| fault(&e))?;
    found.map(Raw::parse).transpose()
}

pub(super) fn select(rest: &str) -> String {
    format!("SELECT {COLUMNS} FROM links{rest}")
}

pub(super) fn put(transaction: &Connection, row: &Row, record: &[u8]) -> rusqlite::Result<()> {
    let mut statement = transaction.prepare_cached(
        "INSERT OR REPLACE INTO links (key, record, kept, title, tags, note, create_time, update_time, \
         delete_time, version) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?;
    statement.execute(params![
        row.key.as_bytes(),
        record,
        kept(row).as_deref(),
        row.info.title,
        serde_json::json!(row.info.tags).to_string(),
        row.info.note,
        row.create_time,
        row.update_time,
        row.delete_time,
        row.version,
    ])?;
    Ok(())
}
