//! The hosts that links lead to: which of them are blocked, which links lead to one, and which a block keeps disabled.

use super::{fault, row};
use crate::kept;
use crate::model::{self, StoreFault};
use crate::port::blocks::{HostIndexPlace, HostLinks};
use crate::raw::{self, LinkColumns};
use journal::blocks::BlockState;
use link::TargetHost;
use rusqlite::{Connection, Params, Row, params};
use std::collections::{BTreeMap, BTreeSet};

/// Whether there is any block. As a rule there is none, and then nobody has to name the hosts of thousands of links.
pub(super) fn are_blocked(db: &Connection) -> Result<bool, StoreFault> {
    let any = db.prepare_cached("SELECT 1 FROM blocked_targets").and_then(|mut any| any.exists([]));
    any.map_err(|e| fault(&e))
}

pub(super) fn blocked(
    db: &Connection,
    asked: &BTreeSet<TargetHost>,
) -> Result<BTreeSet<TargetHost>, StoreFault> {
    let read = || {
        let mut one = db.prepare_cached("SELECT 1 FROM blocked_targets WHERE host = ?1 AND state <> ?2")?;
        let lifting = BlockState::Lifting as u8;
        let mut found = BTreeSet::new();
        for host in asked {
            if one.exists(params![host.turned(), lifting])? {
                found.insert(host.clone());
            }
        }
        Ok(found)
    };
    read().map_err(|e| fault(&e))
}

/// Counts what a commit made of the links that blocks keep disabled.
pub(super) fn count(db: &Connection, disabled: &BTreeMap<TargetHost, i64>) -> rusqlite::Result<()> {
    for (host, more) in disabled {
        db.prepare_cached("UPDATE blocked_targets SET disabled = disabled + ?2 WHERE host = ?1")?
            .execute(params![host.turned(), more])?;
    }
    Ok(())
}

pub(super) fn count_led_to(db: &Connection, host: &TargetHost) -> Result<u64, StoreFault> {
    let sql = "SELECT count(*) FROM links INDEXED BY links_host \
               WHERE host >= ?1 AND host < ?2 AND delete_time IS NULL";
    let read = || db.prepare_cached(sql)?.query_row([host.turned(), &host.end()], |row| row.get(0));
    read().map_err(|e| fault(&e))
}

pub(super) fn led_to(
    db: &Connection,
    host: &TargetHost,
    after: Option<&HostIndexPlace>,
    most: usize,
) -> Result<HostLinks, StoreFault> {
    // No key is empty: behind this place comes the first link of the host.
    let first = HostIndexPlace { host: host.turned().to_owned(), key: Vec::new() };
    let HostIndexPlace { host: from, key } = after.unwrap_or(&first);
    let sql = format!(
        "SELECT {}, host FROM links INDEXED BY links_host WHERE (host, key) > (?1, ?2) AND host < ?3 \
         AND delete_time IS NULL ORDER BY host, key LIMIT ?4",
        row::COLUMNS
    );
    let read = || {
        let mut statement = db.prepare_cached(&sql)?;
        let read = |row: &Row<'_>| Ok((row::raw(row)?, row.get::<_, String>(row::COUNT)?));
        let found = statement.query_map(params![from, key, host.end(), most as i64], read)?;
        found.collect::<rusqlite::Result<Vec<_>>>()
    };
    let found = read().map_err(|e| fault(&e))?;
    let last = found.last().map(|(raw, host)| HostIndexPlace { host: host.clone(), key: raw.key.clone() });
    let rows = found.into_iter().map(|(raw, _)| raw.parse()).collect::<Result<_, _>>()?;
    Ok(HostLinks { rows, last })
}

pub(super) fn not_indexed(db: &Connection, after: &[u8], most: usize) -> Result<Vec<model::Row>, StoreFault> {
    let Some(behind) = behind(db).map_err(|e| fault(&e))? else { return Ok(Vec::new()) };
    let sql = row::select(" WHERE key > ?1 AND host IS NULL ORDER BY key LIMIT ?2");
    links(db, &sql, params![behind.as_slice().max(after), most as i64])
}

pub(super) fn kept_by(
    db: &Connection,
    host: &TargetHost,
    after: &[u8],
    most: usize,
) -> Result<Vec<model::Row>, StoreFault> {
    let sql = row::select(
        " INDEXED BY links_blocked_by WHERE blocked_by = ?1 AND key > ?2 AND delete_time IS NULL \
         ORDER BY key LIMIT ?3",
    );
    links(db, &sql, params![host.turned(), after, most as i64])
}

fn links(db: &Connection, sql: &str, given: impl Params) -> Result<Vec<model::Row>, StoreFault> {
    let read = || {
        let mut statement = db.prepare_cached(sql)?;
        statement.query_map(given, row::raw)?.collect::<rusqlite::Result<Vec<_>>>()
    };
    read().map_err(|e| fault(&e))?.into_iter().map(LinkColumns::parse).collect()
}

/// The key behind which hosts of links of before are still to be read, if there are any.
fn behind(db: &Connection) -> rusqlite::Result<Option<Vec<u8>>> {
    db.prepare_cached("SELECT behind FROM hosts_read")?.query_row([], |row| row.get(0))
}

/// Reads the hosts of some links of before into the index; how many it looked at.
pub(super) fn index_some(db: &Connection) -> rusqlite::Result<usize> {
    let Some(behind) = behind(db)? else { return Ok(0) };
    let found = db
        .prepare_cached(
            "SELECT key, coalesce(kept, record), host IS NULL FROM links WHERE key > ?1 ORDER BY key LIMIT ?2",
        )?
        .query_map(params![behind, kept::HOSTS_AT_ONCE], |row| {
            Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?, row.get::<_, bool>(2)?))
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let mut put = db.prepare_cached("UPDATE links SET host = ?2 WHERE key = ?1")?;
    for (key, record, _) in found.iter().filter(|(.., missing)| *missing) {
        if let Some(host) = raw::host_in(record) {
            put.execute(params![key, host])?;
        }
    }
    let more = found.len() == kept::HOSTS_AT_ONCE as usize;
    let last = found.last().map(|(key, ..)| key).filter(|_| more);
    db.prepare_cached("UPDATE hosts_read SET behind = ?1")?.execute([last])?;
    Ok(found.len())
}
