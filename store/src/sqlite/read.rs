//! Everything that is read, each in the snapshot it is given. Nothing is written here.

use super::{fault, row};
use crate::model;
use crate::model::StoreFault;
use crate::port::{EntryBatch, History, Limit, ListPage, TimeOrder, WalkPage};
use crate::raw::LinkColumns;
use bytes::Bytes;
use feed::{Entry, LogView};
use journal::ExternalId;
use link::{Change, ChangeKind, DomainId, Epoch, Key, Position, Seq};
use rusqlite::{Connection, OptionalExtension, Params, Row, Rows, params};

/// The last change of a domain, as an expression.
pub(super) const LAST_OF_DOMAINS: &str = "max((SELECT coalesce(max(version), 0) FROM domains), \
                               (SELECT coalesce(max(version), 0) FROM domains_gone))";

pub(super) fn head(db: &Connection) -> Result<Position, StoreFault> {
    let sql = "SELECT epoch_counter, epoch_random, head, tag FROM log_head";
    let read = |row: &Row<'_>| {
        Ok(Position {
            epoch: Epoch { counter: row.get(0)?, random: row.get(1)? },
            seq: row.get(2)?,
            tag: row.get::<_, i64>(3)?.cast_unsigned(),
        })
    };
    db.prepare_cached(sql).and_then(|mut s| s.query_row([], read)).map_err(|e| fault(&e))
}

pub(super) fn list(
    db: &Connection,
    prefix: &[u8],
    after: &[u8],
    deleted: bool,
    limit: Limit,
) -> Result<ListPage, StoreFault> {
    let epoch = head(db)?.epoch;
    // One bound for the index; behind a key is not at it.
    let sql = row::select(" WHERE key >= ?1 AND key <> ?2 AND (?3 OR delete_time IS NULL) ORDER BY key");
    let (mut rows, mut more) = links(db, &sql, params![after.max(prefix), after, deleted], limit)?;
    let inside = rows.iter().take_while(|row| row.key.as_bytes().starts_with(prefix)).count();
    more &= inside == rows.len();
    rows.truncate(inside);
    Ok(ListPage { epoch, rows, more })
}

pub(super) fn newest(
    db: &Connection,
    domain: DomainId,
    time: TimeOrder,
    (at, key): (i64, &[u8]),
    deleted: bool,
    limit: Limit,
) -> Result<ListPage, StoreFault> {
    let epoch = head(db)?.epoch;
    let column = time.column();
    // By name: without statistics the planner might sort all links instead.
    let sql = row::select(&format!(
        " INDEXED BY links_{column} WHERE substr(key, 1, 4) = ?1 AND ({column}, key) < (?2, ?3) \
         AND (?4 OR delete_time IS NULL) ORDER BY {column} DESC, key DESC"
    ));
    let (rows, more) = links(db, &sql, params![domain.0.to_be_bytes(), at, key, deleted], limit)?;
    Ok(ListPage { epoch, rows, more })
}

pub(super) fn with_external_id(
    db: &Connection,
    ExternalId { domain, id }: &ExternalId,
    after: &[u8],
    deleted: bool,
    limit: Limit,
) -> Result<ListPage, StoreFault> {
    let epoch = head(db)?.epoch;
    let sql = row::select(
        " INDEXED BY links_external_id WHERE substr(key, 1, 4) = ?1 AND external_id = ?2 AND key > ?3 \
         AND (?4 OR delete_time IS NULL) ORDER BY key",
    );
    let (rows, more) = links(db, &sql, params![domain.prefix(), id, after, deleted], limit)?;
    Ok(ListPage { epoch, rows, more })
}

/// The link that has it.
pub(super) fn holder(
    db: &Connection,
    ExternalId { domain, id }: &ExternalId,
) -> Result<Option<Key>, StoreFault> {
    let sql = "SELECT key FROM links INDEXED BY links_external_id_once \
               WHERE substr(key, 1, 4) = ?1 AND external_id = ?2 AND delete_time IS NULL";
    let read = || {
        let mut statement = db.prepare_cached(sql)?;
        statement.query_row(params![domain.prefix(), id], |row| row.get::<_, Vec<u8>>(0)).optional()
    };
    let key = read().map_err(|e| fault(&e))?.map(|bytes| Key::from_bytes(&bytes));
    key.transpose().map_err(|e| StoreFault::Corrupt(format!("the link with external_id {id:?}: {e}")))
}

pub(super) fn links(
    db: &Connection,
    sql: &str,
    given: impl Params,
    limit: Limit,
) -> Result<(Vec<model::Row>, bool), StoreFault> {
    let read = || {
        let mut statement = db.prepare_cached(sql)?;
        bounded(statement.query(given)?, limit, |row| {
            let raw = row::raw(row)?;
            let size = raw.size();
            Ok((raw, size))
        })
    };
    let (raws, more) = read().map_err(|e| fault(&e))?;
    Ok((raws.into_iter().map(LinkColumns::parse).collect::<Result<_, _>>()?, more))
}

pub(super) fn log_view(db: &Connection, applied: Seq, of: Option<Epoch>) -> Result<LogView, StoreFault> {
    let head = head(db)?;
    let read = || {
        let ancestor = of.map_or(Ok(None), |of| shared_with(db, head.epoch, of))?;
        let oldest: Option<Seq> = db.query_row("SELECT min(seq) FROM change_log", [], |row| row.get(0))?;
        let tag: Option<i64> = db
            .prepare_cached(
                "SELECT tag FROM change_log WHERE seq = ?1 UNION ALL SELECT tag FROM log_marks WHERE seq = ?1",
            )?
            .query_row([applied], |row| row.get(0))
            .optional()?;
        let tag_at_applied = if applied == 0 { Some(0) } else { tag.map(i64::cast_unsigned) };
        Ok(LogView { head, ancestor, oldest: oldest.unwrap_or(head.seq + 1), tag_at_applied })
    };
    read().map_err(|e| fault(&e))
}

/// The last seq that this history shares with an earlier one, if it came from that: by one fork or by several.
fn shared_with(db: &Connection, mut epoch: Epoch, of: Epoch) -> rusqlite::Result<Option<(Epoch, Seq)>> {
    let mut statement = db.prepare_cached(
        "SELECT parent_counter, parent_random, fork_seq FROM epochs WHERE counter = ?1 AND random = ?2",
    )?;
    let mut shared = Seq::MAX;
    // Counters only fall on this way.
    while epoch.counter > of.counter {
        let row = |row: &Row<'_>| {
            Ok((Epoch { counter: row.get(0)?, random: row.get(1)? }, row.get::<_, Option<Seq>>(2)?))
        };
        let Some((parent, fork_seq)) = statement.query_row([epoch.counter, epoch.random], row).optional()?
        else {
            return Ok(None);
        };
        (epoch, shared) = (parent, shared.min(fork_seq.unwrap_or(0)));
    }
    Ok((epoch == of && shared != Seq::MAX).then_some((of, shared)))
}

pub(super) fn histories(db: &Connection) -> rusqlite::Result<Vec<History>> {
    let sql = "SELECT counter, random, parent_counter, parent_random, fork_seq, head, at FROM epochs \
               ORDER BY counter DESC";
    db.prepare_cached(sql)?
        .query_map([], |row| {
            Ok(History {
                epoch: Epoch { counter: row.get(0)?, random: row.get(1)? },
                parent: Epoch { counter: row.get(2)?, random: row.get(3)? },
                fork_seq: row.get(4)?,
                head: row.get(5)?,
                at: row.get(6)?,
            })
        })?
        .collect()
}

pub(super) fn changes(
    db: &Connection,
    after: Seq,
    limit: Limit,
) -> Result<(Position, Vec<Change>), StoreFault> {
    let head = head(db)?;
    let read = || {
        let mut statement = db.prepare_cached(
            "SELECT seq, tag, kind, key, record FROM change_log WHERE seq > ?1 ORDER BY seq",
        )?;
        bounded(statement.query([after])?, limit, |row| {
            let change = Change {
                seq: row.get(0)?,
                tag: row.get::<_, i64>(1)?.cast_unsigned(),
                kind: ChangeKind(row.get(2)?),
                key: row.get::<_, Vec<u8>>(3)?.into(),
                record: row.get::<_, Vec<u8>>(4)?.into(),
            };
            let size = change.key.len() + change.record.len();
            Ok((change, size))
        })
    };
    let (changes, _) = read().map_err(|e| fault(&e))?;
    Ok((head, changes))
}

pub(super) fn walk(db: &Connection, after: &[u8], limit: Limit) -> Result<WalkPage, StoreFault> {
    let head = head(db)?;
    let read = || {
        let mut statement = db.prepare_cached("SELECT key, record FROM links WHERE key > ?1 ORDER BY key")?;
        bounded(statement.query([after])?, limit, |row| {
            let (key, record) = (row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?);
            let size = key.len() + record.len();
            Ok((Entry { key: key.into(), record: record.into() }, size))
        })
    };
    let (entries, more) = read().map_err(|e| fault(&e))?;
    Ok(WalkPage { head, entries, more })
}

pub(super) fn records(db: &Connection, keys: &[Bytes]) -> Result<EntryBatch, StoreFault> {
    let head = head(db)?;
    let read = || {
        let mut statement = db.prepare_cached("SELECT record FROM links WHERE key = ?1")?;
        keys.iter()
            .map(|key| {
                let record: Option<Vec<u8>> = statement.query_row([&key[..]], |row| row.get(0)).optional()?;
                Ok(Entry { key: key.clone(), record: record.unwrap_or_default().into() })
            })
            .collect::<rusqlite::Result<Vec<_>>>()
    };
    let entries = read().map_err(|e| fault(&e))?;
    let domains = db
        .prepare_cached(&format!("SELECT {LAST_OF_DOMAINS}"))
        .and_then(|mut last| last.query_row([], |row| row.get(0)));
    Ok(EntryBatch { head, entries, domains: domains.map_err(|e| fault(&e))? })
}

/// The rows up to the limit, and whether there are more. Stops stepping there: rows are read as they are needed.
fn bounded<T>(
    mut rows: Rows<'_>,
    limit: Limit,
    mut read: impl FnMut(&Row<'_>) -> rusqlite::Result<(T, usize)>,
) -> rusqlite::Result<(Vec<T>, bool)> {
    let (mut taken, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        if taken.len() >= limit.rows {
            return Ok((taken, true));
        }
        let (item, size) = read(row)?;
        bytes += size;
        if bytes > limit.bytes && !taken.is_empty() {
            return Ok((taken, true));
        }
        taken.push(item);
    }
    Ok((taken, false))
}
