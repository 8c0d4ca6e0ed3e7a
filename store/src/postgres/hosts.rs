//! The hosts that links lead to: which of them are blocked, which links lead to one, and which a block keeps disabled.

use super::connection::{Db, Params, TryFault, number};
use super::read::{LINK, LINK_COLUMNS, LIVE, get, raw};
use crate::model::{self, StoreFault};
use crate::port::blocks::{HostIndexPlace, HostLinks};
use crate::{kept, raw as rows};
use journal::blocks::BlockState;
use link::TargetHost;
use std::collections::{BTreeMap, BTreeSet};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

pub(super) async fn blocked(
    db: &Db<'_>,
    asked: &BTreeSet<TargetHost>,
) -> Result<BTreeSet<TargetHost>, TryFault> {
    if asked.is_empty() {
        return Ok(BTreeSet::new());
    }
    let asked: Vec<&[u8]> = asked.iter().map(|host| host.turned().as_bytes()).collect();
    let lifting = BlockState::Lifting as i16;
    let sql = "SELECT host FROM blocked_targets WHERE host = ANY($1) AND state <> $2";
    let found = db.rows(sql, &[(&asked, Type::BYTEA_ARRAY), (&lifting, Type::INT2)]).await?;
    found.iter().map(|row| text(row, 0).map(TargetHost::stored)).collect()
}

/// Counts what a commit made of the links that blocks keep disabled.
pub(super) async fn count(db: &Db<'_>, disabled: &BTreeMap<TargetHost, i64>) -> Result<(), TryFault> {
    if disabled.is_empty() {
        return Ok(());
    }
    let hosts: Vec<&[u8]> = disabled.keys().map(|host| host.turned().as_bytes()).collect();
    let more: Vec<i64> = disabled.values().copied().collect();
    let sql = "UPDATE blocked_targets b SET disabled = disabled + a.more \
               FROM unnest($1::bytea[], $2::bigint[]) a(host, more) WHERE b.host = a.host";
    db.rows(sql, &[(&hosts, Type::BYTEA_ARRAY), (&more, Type::INT8_ARRAY)]).await.map(drop)
}

pub(super) async fn count_led_to(db: &Db<'_>, host: &TargetHost) -> Result<u64, TryFault> {
    let sql = format!("SELECT count(*) FROM links WHERE host >= $1 AND host < $2 AND {LIVE}");
    let end = host.end();
    let params: Params<'_> = &[(&host.turned().as_bytes(), Type::BYTEA), (&end.as_bytes(), Type::BYTEA)];
    db.rows(&sql, params).await?.first().map_or(Ok(0), |row| number(row, 0))
}

pub(super) async fn led_to(
    db: &Db<'_>,
    host: &TargetHost,
    after: Option<&HostIndexPlace>,
    most: usize,
) -> Result<HostLinks, TryFault> {
    // No key is empty: behind this place comes the first link of the host.
    let first = HostIndexPlace { host: host.turned().to_owned(), key: Vec::new() };
    let HostIndexPlace { host: from, key } = after.unwrap_or(&first);
    // One bound, in the order of the index: of two the planner believes that little is between them, and sorts it all.
    let sql = format!(
        "SELECT {LINK}, host FROM links WHERE (host, key) > ($1, $2) AND host IS NOT NULL AND {LIVE} \
         ORDER BY host, key LIMIT $3"
    );
    let params: Params<'_> =
        &[(&from.as_bytes(), Type::BYTEA), (&key.as_slice(), Type::BYTEA), (&(most as i64), Type::INT8)];
    let mut part = HostLinks::default();
    for row in &db.rows(&sql, params).await? {
        let place = HostIndexPlace { host: text(row, LINK_COLUMNS)?, key: get(row, 0)? };
        if !place.host.starts_with(host.turned()) {
            break;
        }
        part.rows.push(raw(row, 0)?);
        part.last = Some(place);
    }
    Ok(part)
}

pub(super) async fn not_indexed(db: &Db<'_>, after: &[u8], most: usize) -> Result<Vec<model::Row>, TryFault> {
    let which = match behind(db).await? {
        // All that there was is read: only what a control of before wrote is left, and has an index of its own.
        None => "host_version <> version",
        Some(_) => "host_version IS DISTINCT FROM version",
    };
    let sql = format!("SELECT {LINK} FROM links WHERE key > $1 AND {which} ORDER BY key LIMIT $2");
    links(db, &sql, &[(&after, Type::BYTEA), (&(most as i64), Type::INT8)]).await
}

pub(super) async fn kept_by(
    db: &Db<'_>,
    host: &TargetHost,
    after: &[u8],
    most: usize,
) -> Result<Vec<model::Row>, TryFault> {
    let sql = format!(
        "SELECT {LINK} FROM links WHERE blocked_by = $1 AND key > $2 AND {LIVE} ORDER BY key LIMIT $3"
    );
    let params: Params<'_> =
        &[(&host.turned().as_bytes(), Type::BYTEA), (&after, Type::BYTEA), (&(most as i64), Type::INT8)];
    links(db, &sql, params).await
}

async fn links(db: &Db<'_>, sql: &str, params: Params<'_>) -> Result<Vec<model::Row>, TryFault> {
    db.rows(sql, params).await?.iter().map(|row| raw(row, 0)).collect()
}

/// The key behind which hosts of links of before are still to be read, if there are any.
async fn behind(db: &Db<'_>) -> Result<Option<Vec<u8>>, TryFault> {
    let found = db.rows("SELECT behind FROM hosts_read", &[]).await?;
    found.first().map_or(Ok(None), |row| get(row, 0))
}

/// Reads the hosts of some links into the index: of those of before, and of what a control of before wrote meanwhile. Says
/// whether there may be more.
pub(super) async fn index_some(db: &Db<'_>) -> Result<bool, TryFault> {
    let most = i64::from(kept::HOSTS_AT_ONCE);
    let columns = "SELECT key, coalesce(kept, record), version FROM links";
    let sql = format!("{columns} WHERE host_version <> version ORDER BY key LIMIT $1");
    let stale = db.rows(&sql, &[(&most, Type::INT8)]).await?;
    index(db, &stale).await?;
    let mut more = stale.len() as i64 == most;
    if let Some(behind) = behind(db).await? {
        let sql = format!("{columns} WHERE key > $1 AND host_version IS NULL ORDER BY key LIMIT $2");
        let before = db.rows(&sql, &[(&behind.as_slice(), Type::BYTEA), (&most, Type::INT8)]).await?;
        index(db, &before).await?;
        let is_part = before.len() as i64 == most;
        let last = before.last().filter(|_| is_part).map(|row| get::<Vec<u8>>(row, 0)).transpose()?;
        // Two controls do the same work twice, and the one behind does not set the other back by more than a part.
        db.rows("UPDATE hosts_read SET behind = $1 WHERE behind IS NOT NULL", &[(&last, Type::BYTEA)])
            .await?;
        more |= is_part;
    }
    Ok(more)
}

/// Of links that have changed since they were read nothing is written: they are stale, and read again.
async fn index(db: &Db<'_>, read: &[Row]) -> Result<(), TryFault> {
    if read.is_empty() {
        return Ok(());
    }
    let (mut keys, mut hosts, mut versions) = (Vec::new(), Vec::new(), Vec::new());
    for row in read {
        let record: Vec<u8> = get(row, 1)?;
        keys.push(get::<Vec<u8>>(row, 0)?);
        hosts.push(rows::host_in(&record).map(String::into_bytes));
        versions.push(get::<i64>(row, 2)?);
    }
    // In turn with the writers: in another order than theirs, rows would be waited for in a circle.
    db.rows("SELECT FROM log_head FOR UPDATE", &[]).await?;
    let sql = "UPDATE links l SET host = a.host, host_version = a.version \
               FROM unnest($1::bytea[], $2::bytea[], $3::bigint[]) a(key, host, version) \
               WHERE l.key = a.key AND l.version = a.version";
    let params: Params<'_> =
        &[(&keys, Type::BYTEA_ARRAY), (&hosts, Type::BYTEA_ARRAY), (&versions, Type::INT8_ARRAY)];
    db.rows(sql, params).await.map(drop)
}

pub(super) fn text(row: &Row, column: usize) -> Result<String, TryFault> {
    let bytes: Vec<u8> = get(row, column)?;
    String::from_utf8(bytes).map_err(|e| StoreFault::Corrupt(format!("a text of a block: {e}")).into())
}
