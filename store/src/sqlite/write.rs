//! The two writes: a group of items, and a new history. Which items are accepted is decided by `journal`.

use super::{audit, fault, hosts, read, row, tags};
use crate::model::StoreFault;
use crate::port::CommitReport;
use crate::{answers, kept};
use bytes::Bytes;
use journal::{
    CommitPoint, Decision, Holdings, Request, Retry, StoredAnswer, decide, given_hosts, given_ids,
    returning_hosts, returning_ids,
};
use link::{Change, DomainId, Epoch, Position, Seq};
use rusqlite::{Connection, OptionalExtension, params};

pub(super) fn commit(db: &Connection, group: &[Request], now: i64) -> Result<CommitReport, StoreFault> {
    let start = read::head(db)?;
    let tag = crate::random::u64();
    let found = find(db, group, now)?;
    let decided = decide(group, found, CommitPoint { head: start, tag, now }, answers::links);
    let changes: Vec<_> = decided.writes.iter().map(|write| write.change(tag)).collect();
    if !changes.is_empty() {
        store(db, &decided, &changes, now).map_err(|e| fault(&e))?;
    }
    Ok(CommitReport { head: decided.head, verdicts: decided.verdicts, changes })
}

/// What the group needs to know, by lookups: no verdict is ever an SQL error, which would end the whole group.
fn find(db: &Connection, group: &[Request], now: i64) -> Result<Holdings, StoreFault> {
    let mut found = Holdings::default();
    for item in group.iter().flat_map(|request| &request.items) {
        let domain = item.key.domain();
        if domain != DomainId::DEFAULT && !found.domains.contains_key(&domain) {
            let name = db
                .prepare_cached("SELECT name FROM domains WHERE id = ?1")
                .and_then(|mut one| one.query_row([domain.0], |row| row.get::<_, String>(0)).optional());
            found.domains.extend(name.map_err(|e| fault(&e))?.map(|name| (domain, name)));
        }
        if !found.rows.contains_key(&item.key)
            && let Some(row) = row::one(db, &item.key)?
        {
            found.rows.insert(item.key.clone(), row);
        }
    }
    let returning = returning_ids(group, &found.rows);
    for asked in given_ids(group).into_iter().chain(returning) {
        let holder = read::holder(db, &asked)?;
        found.external_ids.extend(holder.map(|holder| (asked, holder)));
    }
    if hosts::are_blocked(db)? {
        let mut asked = given_hosts(group);
        asked.extend(returning_hosts(group, &found.rows));
        found.blocked.extend(hosts::blocked(db, &asked)?);
    }
    for retry in group.iter().filter_map(|request| request.retry.as_ref()) {
        if let Some(answer) = answer(db, retry, now).map_err(|e| fault(&e))? {
            found.answers.insert(retry.name(), answer);
        }
    }
    Ok(found)
}

pub(super) fn answer(db: &Connection, retry: &Retry, now: i64) -> rusqlite::Result<Option<StoredAnswer>> {
    db.prepare_cached(
        "SELECT request_hash, response FROM idempotency \
         WHERE principal = ?1 AND method = ?2 AND key = ?3 AND created > ?4",
    )?
    .query_row(params![retry.principal, retry.method, retry.id, now - kept::ANSWERS], |row| {
        Ok(StoredAnswer { hash: row.get(0)?, response: Bytes::from(row.get::<_, Vec<u8>>(1)?) })
    })
    .optional()
}

fn store(db: &Connection, decided: &Decision, changes: &[Change], now: i64) -> rusqlite::Result<()> {
    let head = decided.head;
    let behind = tags::are_behind(db)?;
    for (write, change) in decided.writes.iter().zip(changes) {
        let row = &write.row;
        if write.purge {
            db.prepare_cached("DELETE FROM links WHERE key = ?1")?.execute([row.key.as_bytes()])?;
        } else {
            row::put(db, row, &change.record)?;
        }
        tags::put(db, write, behind)?;
        log(db, head.epoch, change, now)?;
        if let Some((retry, response)) = &write.answer {
            put_answer(db, retry, response, row.version, now)?;
        }
    }
    audit::put(db, &decided.audits, now)?;
    hosts::count(db, &decided.disabled)?;
    move_head(db, head)
}

/// One line of the log.
pub(super) fn log(db: &Connection, epoch: Epoch, change: &Change, now: i64) -> rusqlite::Result<()> {
    let mut statement = db.prepare_cached(
        "INSERT INTO change_log (seq, tag, epoch_counter, epoch_random, kind, key, record, committed_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    let Change { seq, tag, kind, key, record } = change;
    let (tag, key, record) = (tag.cast_signed(), &key[..], &record[..]);
    statement.execute(params![seq, tag, epoch.counter, epoch.random, kind.0, key, record, now]).map(drop)
}

pub(super) fn move_head(db: &Connection, head: Position) -> rusqlite::Result<()> {
    let mut statement = db.prepare_cached("UPDATE log_head SET head = ?1, tag = ?2")?;
    statement.execute(params![head.seq, head.tag.cast_signed()]).map(drop)
}

pub(super) fn put_answer(
    db: &Connection,
    retry: &Retry,
    response: &[u8],
    seq: Seq,
    now: i64,
) -> rusqlite::Result<()> {
    // Replaces one that is too old to count.
    db.prepare_cached(
        "INSERT OR REPLACE INTO idempotency (principal, method, key, request_hash, response, seq, created) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![retry.principal, retry.method, retry.id, retry.hash, response, seq, now])?;
    db.prepare_cached(
        "DELETE FROM idempotency WHERE (principal, method, key) IN \
         (SELECT principal, method, key FROM idempotency WHERE created <= ?1 ORDER BY created LIMIT ?2)",
    )?
    .execute(params![now - kept::ANSWERS, kept::ANSWERS_AT_ONCE])?;
    Ok(())
}

pub(super) fn fork(db: &Connection, counter: u32, shared: Seq, now: i64) -> Result<Position, StoreFault> {
    let old = read::head(db)?;
    let counter = counter.max(old.epoch.counter).checked_add(1);
    let counter = counter.ok_or_else(|| StoreFault::Unavailable("histories are used up".into()))?;
    let write = || {
        db.execute(
            "UPDATE log_head SET parent_counter = epoch_counter, parent_random = epoch_random, fork_seq = ?1, \
             epoch_counter = ?2, epoch_random = ?3",
            params![shared.min(old.seq), counter, crate::random::u32()],
        )?;
        db.execute(
            "INSERT INTO epochs SELECT epoch_counter, epoch_random, parent_counter, parent_random, fork_seq, head, ?1 \
             FROM log_head",
            [now],
        )
    };
    write().map_err(|e| fault(&e))?;
    read::head(db)
}
