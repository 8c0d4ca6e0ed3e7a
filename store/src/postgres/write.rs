//! R1: a group of items in one transaction, in two round trips. Which items are accepted is decided by `journal`.

use super::connection::{BEGIN, COMMIT, Db, Params, TryFault, corrupt};
use super::read::{self, LINK, LINK_COLUMNS, get, raw};
use super::{audit, history, hosts, position, tags};
use crate::model;
use crate::model::StoreFault;
use crate::port::CommitReport;
use crate::{answers, kept, raw, stored_info};
use bytes::Bytes;
use journal::{
    CommitPoint, Decision, ExternalId, Holdings, Request, Retry, RetryName, StoredAnswer, Write, decide,
    given_hosts, given_ids, returning_hosts, returning_ids,
};
use link::{Change, DomainId, Key, Position};
use std::collections::{BTreeSet, HashMap, HashSet};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

/// `tag` is the same for every try of one group, and `tried` is what the last one had asked to be committed: whether it
/// was cannot be known from here when the connection breaks, but is seen in the log once the head is locked.
pub(super) async fn commit(
    db: &Db<'_>,
    group: &[Request],
    tag: u64,
    now: i64,
    tried: &mut Option<CommitReport>,
) -> Result<CommitReport, TryFault> {
    let known = db.all().known().last();
    let keys = group.iter().flat_map(|request| &request.items).map(|item| item.key.as_bytes());
    let keys: Vec<&[u8]> = keys.collect::<BTreeSet<_>>().into_iter().collect();
    let retries: Vec<&Retry> = group.iter().filter_map(|request| request.retry.as_ref()).collect();
    let seq = |position: Option<Position>| position.map_or(0, |position| position.seq.cast_signed());
    let seqs = (seq(known), seq(tried.as_ref().map(|tried| tried.head)));
    // Statement by statement, each sees what was committed before it began: only the lock has to come first.
    let after = format!(
        "SELECT epoch_counter, epoch_random, head, tag, {}, {} FROM log_head",
        position::tag_of("$1"),
        position::tag_of("$2")
    );
    // Key by key, in the order of the index: thousands at once would have the planner read the whole table.
    let find = format!(
        "SELECT l.*, b.tags FROM unnest($1::bytea[]) a(key) CROSS JOIN LATERAL \
         (SELECT {LINK} FROM links WHERE links.key = a.key LIMIT 1) l LEFT JOIN LATERAL \
         (SELECT tags FROM tags_behind WHERE link = a.key LIMIT 1) b ON true"
    );
    let asked: Params<'_> = &[(&keys, Type::BYTEA_ARRAY)];
    let items = group.iter().flat_map(|request| &request.items);
    let domains: BTreeSet<DomainId> = items.map(|item| item.key.domain()).collect();
    let positions: Params<'_> = &[(&seqs.0, Type::INT8), (&seqs.1, Type::INT8)];
    let (given, hosts) = (given_ids(group), given_hosts(group));
    let (begun, locked, head, rows, domains, holders, blocked, answers) = tokio::join!(
        biased;
        db.run(BEGIN),
        db.rows("SELECT FROM log_head FOR UPDATE", &[]),
        db.rows(&after, positions),
        db.rows(&find, asked),
        names_of(db, domains),
        read::holders(db, &given),
        hosts::blocked(db, &hosts),
        answers(db, &retries, now),
    );
    begun?;
    locked?;
    let head = head?;
    let row = head.first().ok_or_else(|| StoreFault::Corrupt("the log has no head".into()))?;
    let start = history::check(db, known, row).await?;
    if row.try_get::<_, Option<i64>>(5).map_err(|e| corrupt(&e))? == Some(tag.cast_signed())
        && let Some(done) = tried
    {
        // The connection may break here, too: then the next try still has to know what to look for.
        db.run("ROLLBACK").await?;
        return Ok(done.clone());
    }
    let (answers, domains, external_ids) = (answers?, domains?, holders?);
    let blocked = blocked?.into_iter().collect();
    let mut found = Holdings { rows: HashMap::new(), domains, answers, external_ids, blocked };
    let mut tagged = tags::IndexedTags::default();
    for found_row in &rows? {
        let row = raw(found_row, 0)?;
        tagged.found(&row, get(found_row, LINK_COLUMNS)?);
        found.rows.insert(row.key.clone(), row);
    }
    found.external_ids.extend(read::holders(db, &returning_ids(group, &found.rows)).await?);
    found.blocked.extend(hosts::blocked(db, &returning_hosts(group, &found.rows)).await?);
    let there = GroupHoldings::new(&found.rows, tagged);
    let mut decided = decide(group, found, CommitPoint { head: start, tag, now }, answers::links);
    let head = decided.head;
    let changes: Vec<_> = decided.writes.iter().map(|write| write.change(tag)).collect();
    let done = CommitReport { head, verdicts: std::mem::take(&mut decided.verdicts), changes };
    if head.seq == start.seq {
        db.run("ROLLBACK").await?;
        return Ok(done);
    }
    let done = tried.insert(done);
    let stored = Box::pin(store(db, &decided, &done.changes, &there, now)).await;
    settled(stored, tried)?;
    db.note(head);
    Ok(tried.take().expect("it was put there"))
}

/// Forgets a try that the server has surely rolled back, since it had no room and goes on: nothing is looked for then.
pub(super) fn settled<T>(stored: Result<(), TryFault>, tried: &mut Option<T>) -> Result<(), TryFault> {
    if let Err(TryFault::Fault(StoreFault::Full)) = stored {
        *tried = None;
    }
    stored
}

/// Why a write is refused: for a full disk alone only if no try before this one can have been committed.
pub(super) fn refused<T>(fault: StoreFault, tried: Option<&T>) -> StoreFault {
    match (fault, tried) {
        (StoreFault::Full, Some(_)) => StoreFault::Unavailable(
            "its disk is full, and whether this was written before that is not known".into(),
        ),
        (fault, _) => fault,
    }
}

/// The names of those domains that there are, but for the default one, which has always the same.
async fn names_of(db: &Db<'_>, domains: BTreeSet<DomainId>) -> Result<HashMap<DomainId, String>, TryFault> {
    let ids: Vec<i64> =
        domains.into_iter().filter(|id| *id != DomainId::DEFAULT).map(|id| id.0.into()).collect();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let sql = "SELECT id, name FROM domains WHERE id = ANY($1)";
    let name = |row: &Row| Ok((DomainId(row.try_get::<_, i64>(0)? as u32), row.try_get(1)?));
    let rows = db.rows(sql, &[(&ids, Type::INT8_ARRAY)]).await?;
    rows.iter().map(name).collect::<Result<_, _>>().map_err(|e: tokio_postgres::Error| corrupt(&e))
}

pub(super) type StoredAnswers = HashMap<RetryName, StoredAnswer>;

pub(super) async fn answers(db: &Db<'_>, retries: &[&Retry], now: i64) -> Result<StoredAnswers, TryFault> {
    if retries.is_empty() {
        return Ok(StoredAnswers::new());
    }
    let (principals, methods, ids) = names(retries.iter().copied());
    let before = now - kept::ANSWERS;
    let params: Params<'_> = &[
        (&principals, Type::TEXT_ARRAY),
        (&methods, Type::TEXT_ARRAY),
        (&ids, Type::TEXT_ARRAY),
        (&before, Type::INT8),
    ];
    let sql = "SELECT number, request_hash, response FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY \
               a(principal, method, key, number) JOIN idempotency USING (principal, method, key) WHERE created > $4";
    let rows = db.rows(sql, params);
    let answer = |row: &Row| {
        let number: i64 = row.try_get(0).map_err(|e| corrupt(&e))?;
        let retry = retries[number as usize - 1];
        let hash: &[u8] = row.try_get(1).map_err(|e| corrupt(&e))?;
        let wrong = |_| StoreFault::Corrupt("a stored answer: its hash".into());
        let hash = hash.try_into().map_err(wrong)?;
        let response: Vec<u8> = row.try_get(2).map_err(|e| corrupt(&e))?;
        Ok((retry.name(), StoredAnswer { hash, response: response.into() }))
    };
    rows.await?.iter().map(answer).collect()
}

fn names<'a>(retries: impl Iterator<Item = &'a Retry>) -> (Vec<&'a str>, Vec<&'a str>, Vec<&'a str>) {
    let mut all = (Vec::new(), Vec::new(), Vec::new());
    for retry in retries {
        all.0.push(retry.principal.as_str());
        all.1.push(retry.method);
        all.2.push(retry.id.as_str());
    }
    all
}

/// One round trip, the commit with it: when a statement fails those behind it fail, too, and the commit is a rollback.
async fn store(
    db: &Db<'_>,
    Decision { head, writes, audits, disabled, .. }: &Decision,
    changes: &[Change],
    there: &GroupHoldings,
    now: i64,
) -> Result<(), TryFault> {
    let head = *head;
    // Of several writes to one key the last one stays; the log has them all.
    let last: HashMap<&Key, &Write> = writes.iter().map(|write| (&write.row.key, write)).collect();
    let answered: Vec<_> =
        writes.iter().filter_map(|w| w.answer.as_ref().map(|a| (a, w.row.version))).collect();
    let purged: Vec<&[u8]> = last.values().filter(|w| w.purge).map(|w| w.row.key.as_bytes()).collect();
    let stays = |write: &&Write| !write.purge && std::ptr::eq(last[&write.row.key], *write);
    let mut rows: Vec<_> = writes.iter().zip(changes).filter(|(write, _)| stays(write)).collect();
    let given_up = there.given_up(rows.iter().map(|(write, _)| &write.row));
    rows.sort_unstable_by_key(|(write, _)| &write.row.key); // as the index has them
    let (old, new): (Vec<_>, Vec<_>) = rows
        .into_iter()
        .map(|(write, change)| (&write.row, &change.record))
        .partition(|(row, _)| there.keys.contains(&row.key));
    let moved = tags::IndexMoves::new(&there.tagged, last.values().copied());
    let (logged, freed, made, changed, gone, tagged, remembered, noted, counted, committed) = tokio::join!(
        biased;
        log(db, changes, head, now),
        async {
            if given_up.is_empty() {
                return Ok(Vec::new());
            }
            let keys = [(&given_up as _, Type::BYTEA_ARRAY)];
            db.rows("UPDATE links SET external_id = NULL WHERE key = ANY($1)", &keys).await
        },
        links(db, &new, false),
        links(db, &old, true),
        async {
            if purged.is_empty() {
                return Ok(Vec::new());
            }
            let keys = [(&purged as _, Type::BYTEA_ARRAY)];
            db.rows("DELETE FROM links WHERE key = ANY($1)", &keys).await
        },
        tags::put(db, &moved),
        remember(db, &answered, now),
        audit::put(db, audits, now),
        hosts::count(db, disabled),
        async {
            let (moved, committed) = tokio::join!(biased; move_head(db, head), db.run(COMMIT));
            moved.and(committed)
        },
    );
    logged.and(freed.map(drop)).and(made).and(changed).and(tagged).and(remembered).and(noted).and(counted)?;
    gone?;
    committed
}

/// The keys and holders that a group found in the store.
struct GroupHoldings {
    keys: HashSet<Key>,
    /// The links that had an external id.
    holders: HashMap<ExternalId, Key>,
    /// Under which tags the links stand.
    tagged: tags::IndexedTags,
}

impl GroupHoldings {
    fn new(rows: &HashMap<Key, model::Row>, tagged: tags::IndexedTags) -> Self {
        let holder = |row: &model::Row| Some((ExternalId::held_by(row)?, row.key.clone()));
        let (keys, holders) = (rows.keys().cloned().collect(), rows.values().filter_map(holder).collect());
        Self { keys, holders, tagged }
    }

    /// Links that had what another one of these has now. The index looks at each row as it is written, in whatever order.
    fn given_up<'a>(&'a self, rows: impl Iterator<Item = &'a model::Row>) -> Vec<&'a [u8]> {
        let had = rows.filter_map(|row| {
            self.holders.get(&ExternalId::held_by(row)?).filter(|holder| **holder != row.key)
        });
        had.map(Key::as_bytes).collect()
    }
}

pub(super) async fn move_head(db: &Db<'_>, head: Position) -> Result<(), TryFault> {
    let (seq, tag) = (head.seq.cast_signed(), head.tag.cast_signed());
    let to = [(&seq as _, Type::INT8), (&tag as _, Type::INT8)];
    db.rows("UPDATE log_head SET head = $1, tag = $2", &to).await.map(drop)
}

pub(super) async fn log(db: &Db<'_>, changes: &[Change], head: Position, now: i64) -> Result<(), TryFault> {
    let seqs: Vec<i64> = changes.iter().map(|change| change.seq.cast_signed()).collect();
    let kinds: Vec<i16> = changes.iter().map(|change| i16::from(change.kind.0)).collect();
    let keys: Vec<&[u8]> = changes.iter().map(|change| &change.key[..]).collect();
    let records: Vec<&[u8]> = changes.iter().map(|change| &change.record[..]).collect();
    let sql = "INSERT INTO change_log (seq, kind, key, record, tag, epoch_counter, epoch_random, committed_at) \
               SELECT *, $5, $6, $7, $8 FROM unnest($1::bigint[], $2::smallint[], $3::bytea[], $4::bytea[])";
    db.rows(
        sql,
        &[
            (&seqs, Type::INT8_ARRAY),
            (&kinds, Type::INT2_ARRAY),
            (&keys, Type::BYTEA_ARRAY),
            (&records, Type::BYTEA_ARRAY),
            (&head.tag.cast_signed(), Type::INT8),
            (&i64::from(head.epoch.counter), Type::INT8),
            (&i64::from(head.epoch.random), Type::INT8),
            (&now, Type::INT8),
        ],
    )
    .await
    .map(drop)
}

/// Nobody else writes between the look at what is there and this: only for those is a conflict looked for.
async fn links<'a>(db: &Db<'_>, rows: &[(&'a model::Row, &'a Bytes)], there: bool) -> Result<(), TryFault> {
    if rows.is_empty() {
        return Ok(());
    }
    let all = |of: fn(&'a model::Row) -> &'a [u8]| rows.iter().map(|(row, _)| of(row)).collect::<Vec<_>>();
    let tags: Vec<Vec<u8>> =
        rows.iter().map(|(row, _)| serde_json::json!(row.info.tags).to_string().into()).collect();
    let kept: Vec<Option<Bytes>> = rows.iter().map(|(row, _)| raw::kept(row)).collect();
    let kept: Vec<Option<&[u8]>> = kept.iter().map(Option::as_deref).collect();
    let records: Vec<&[u8]> = rows.iter().map(|(_, record)| &record[..]).collect();
    let times = |of: fn(&model::Row) -> i64| rows.iter().map(|(row, _)| of(row)).collect::<Vec<_>>();
    let deleted: Vec<Option<i64>> = rows.iter().map(|(row, _)| row.delete_time).collect();
    let more: Vec<Vec<u8>> = rows.iter().map(|(row, _)| stored_info::more(&row.info)).collect();
    let ids: Vec<Option<&[u8]>> =
        rows.iter().map(|(row, _)| raw::external_id(row).map(str::as_bytes)).collect();
    let hosts: Vec<Option<Vec<u8>>> =
        rows.iter().map(|(row, _)| raw::host(row).map(String::into_bytes)).collect();
    let blocked: Vec<Option<&[u8]>> =
        rows.iter().map(|(row, _)| raw::blocked_by(row).map(str::as_bytes)).collect();
    let uids: Vec<Option<i64>> = rows.iter().map(|(row, _)| raw::uid(row).map(u64::cast_signed)).collect();
    let mut sql = "INSERT INTO links (key, record, kept, title, tags, note, more, create_time, update_time, delete_time, \
                   version, external_id, host, blocked_by, uid, host_version) SELECT a.*, a.version FROM unnest($1::bytea[], $2::bytea[], \
                   $3::bytea[], $4::bytea[], $5::bytea[], $6::bytea[], $7::bytea[], $8::bigint[], $9::bigint[], $10::bigint[], \
                   $11::bigint[], $12::bytea[], $13::bytea[], $14::bytea[], $15::bigint[]) a(key, record, kept, title, tags, \
                   note, more, create_time, update_time, delete_time, version, external_id, host, blocked_by, uid)"
        .to_owned();
    if there {
        sql += " ON CONFLICT (key) DO UPDATE SET record = EXCLUDED.record, kept = EXCLUDED.kept, \
                title = EXCLUDED.title, tags = EXCLUDED.tags, note = EXCLUDED.note, more = EXCLUDED.more, \
                create_time = EXCLUDED.create_time, update_time = EXCLUDED.update_time, \
                delete_time = EXCLUDED.delete_time, version = EXCLUDED.version, \
                external_id = EXCLUDED.external_id, host = EXCLUDED.host, blocked_by = EXCLUDED.blocked_by, \
                host_version = EXCLUDED.host_version, uid = EXCLUDED.uid";
    }
    db.rows(
        &sql,
        &[
            (&all(|row| row.key.as_bytes()), Type::BYTEA_ARRAY),
            (&records, Type::BYTEA_ARRAY),
            (&kept, Type::BYTEA_ARRAY),
            (&all(|row| row.info.title.as_bytes()), Type::BYTEA_ARRAY),
            (&tags, Type::BYTEA_ARRAY),
            (&all(|row| row.info.note.as_bytes()), Type::BYTEA_ARRAY),
            (&more, Type::BYTEA_ARRAY),
            (&times(|row| row.create_time), Type::INT8_ARRAY),
            (&times(|row| row.update_time), Type::INT8_ARRAY),
            (&deleted, Type::INT8_ARRAY),
            (&times(|row| row.version.cast_signed()), Type::INT8_ARRAY),
            (&ids, Type::BYTEA_ARRAY),
            (&hosts, Type::BYTEA_ARRAY),
            (&blocked, Type::BYTEA_ARRAY),
            (&uids, Type::INT8_ARRAY),
        ],
    )
    .await
    .map(drop)
}

/// The answers for retries. Those that are too old to count are replaced, or go in small numbers.
pub(super) async fn remember(
    db: &Db<'_>,
    answered: &[(&(Retry, Bytes), u64)],
    now: i64,
) -> Result<(), TryFault> {
    if answered.is_empty() {
        return Ok(());
    }
    let (principals, methods, ids) = names(answered.iter().map(|((retry, _), _)| retry));
    let hashes: Vec<&[u8]> = answered.iter().map(|((retry, _), _)| &retry.hash[..]).collect();
    let responses: Vec<&[u8]> = answered.iter().map(|((_, response), _)| &response[..]).collect();
    let seqs: Vec<i64> = answered.iter().map(|(_, seq)| seq.cast_signed()).collect();
    let put = "INSERT INTO idempotency (principal, method, key, request_hash, response, seq, created) \
               SELECT *, $7 FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::bytea[], $6::bigint[]) \
               ON CONFLICT (principal, method, key) DO UPDATE SET request_hash = EXCLUDED.request_hash, \
               response = EXCLUDED.response, seq = EXCLUDED.seq, created = EXCLUDED.created";
    let clear = "DELETE FROM idempotency WHERE (principal, method, key) IN \
                 (SELECT principal, method, key FROM idempotency WHERE created <= $1 ORDER BY created LIMIT $2)";
    let (before, most) = (now - kept::ANSWERS, i64::from(kept::ANSWERS_AT_ONCE));
    let params: Params<'_> = &[
        (&principals, Type::TEXT_ARRAY),
        (&methods, Type::TEXT_ARRAY),
        (&ids, Type::TEXT_ARRAY),
        (&hashes, Type::BYTEA_ARRAY),
        (&responses, Type::BYTEA_ARRAY),
        (&seqs, Type::INT8_ARRAY),
        (&now, Type::INT8),
    ];
    let old: Params<'_> = &[(&before, Type::INT8), (&most, Type::INT8)];
    let (put, cleared) = tokio::join!(biased; db.rows(put, params), db.rows(clear, old));
    put.and(cleared).map(drop)
}
