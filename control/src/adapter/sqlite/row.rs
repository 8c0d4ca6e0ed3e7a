//! Between a row of `links` and the type. No transaction is begun here.

use super::fault;
use crate::port::{Info, Row, StoreFault};
use link::{Key, State};
use rusqlite::{Connection, OptionalExtension, params};

pub(super) const COLUMNS: &str =
    "key, record, kept, title, tags, note, create_time, update_time, delete_time, version";

/// The columns, not yet understood.
pub(super) struct Raw {
    key: Vec<u8>,
    record: Vec<u8>,
    kept: Option<Vec<u8>>,
    info: (String, String, String),
    times: (i64, i64, Option<i64>),
    version: u64,
}

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

impl Raw {
    pub(super) fn size(&self) -> usize {
        self.key.len() + self.record.len() + self.kept.as_ref().map_or(0, Vec::len) + self.info.2.len()
    }

    pub(super) fn parse(self) -> Result<Row, StoreFault> {
        let shown = String::from_utf8_lossy(self.key.get(4..).unwrap_or_default()).into_owned();
        let wrong = |what: &dyn std::fmt::Display| StoreFault::Corrupt(format!("link {shown}: {what}"));
        let versioned = proto::decode(self.kept.as_deref().unwrap_or(&self.record)).map_err(|e| wrong(&e))?;
        let State::Live(link) = versioned.state else { return Err(wrong(&"nothing is kept of it")) };
        let (title, tags, note) = self.info;
        let tags = serde_json::from_str(&tags).map_err(|e| wrong(&e))?;
        let (create_time, update_time, delete_time) = self.times;
        Ok(Row {
            key: Key::from_bytes(&self.key).map_err(|e| wrong(&e))?,
            version: self.version,
            link,
            info: Info { title, tags, note },
            create_time,
            update_time,
            delete_time,
        })
    }
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
    let kept = row.delete_time.map(|_| proto::encode(row.version, &State::Live(row.link.clone())));
    let mut statement = transaction.prepare_cached(
        "INSERT OR REPLACE INTO links (key, record, kept, title, tags, note, create_time, update_time, \
         delete_time, version) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?;
    statement.execute(params![
        row.key.as_bytes(),
        record,
        kept.as_deref(),
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
