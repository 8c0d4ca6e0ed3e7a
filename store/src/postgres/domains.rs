//! Domains: rows of their own, changes in the log that links have. What becomes of a write is decided by `journal`.

use super::audit::{NOTE, NoteParams};
use super::connection::{BEGIN, COMMIT, Db, Params, TryFault, corrupt};
use super::position::{self, HEAD};
use super::{history, hosts, read, write};
use crate::model::{DomainRow, StoreFault};
use crate::notes::Note;
use crate::port::domains::DomainCommitReport;
use crate::{answers, raw};
use bytes::Bytes;
use journal::domains::{
    DomainHoldings, DomainIntent, DomainItem, DomainLinks, DomainVerdict, LOOKED_AT, decide,
};
use link::{DomainId, Endings, Epoch, Position, Seq};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

const COLUMNS: &str = "d.id, d.name, d.record, d.create_time, d.update_time";

pub(super) async fn all(db: &Db<'_>) -> Result<(Position, Vec<DomainRow>), TryFault> {
    // The default domain is always there.
    let sql = format!("{HEAD}, {COLUMNS} FROM log_head h, domains d ORDER BY d.name COLLATE \"C\"");
    let rows = db.rows(&sql, &[]).await?;
    let first = rows.first().ok_or_else(|| StoreFault::Corrupt("the log has no head".into()))?;
    let head = db.note(position::of(first)?);
    Ok((head, rows.iter().map(|row| domain(row, 4)).collect::<Result<_, _>>()?))
}

pub(super) async fn version(db: &Db<'_>) -> Result<(Epoch, Seq), TryFault> {
    last(db, read::LAST_OF_DOMAINS).await
}

pub(super) async fn last_gone(db: &Db<'_>) -> Result<Seq, TryFault> {
    Ok(last(db, "(SELECT coalesce(max(version), 0) FROM domains_gone)").await?.1)
}

/// A seq, by an expression, and the history that it is of.
async fn last(db: &Db<'_>, expression: &str) -> Result<(Epoch, Seq), TryFault> {
    let rows = db.rows(&format!("{HEAD}, {expression} FROM log_head h"), &[]).await?;
    let first = rows.first().ok_or_else(|| StoreFault::Corrupt("the log has no head".into()))?;
    let head = db.note(position::of(first)?);
    let version: i64 = first.try_get(4).map_err(|e| corrupt(&e))?;
    Ok((head.epoch, version.cast_unsigned()))
}

fn domain(row: &Row, at: usize) -> Result<DomainRow, TryFault> {
    let read = || {
        let times = (row.try_get(at + 3)?, row.try_get(at + 4)?);
        Ok((row.try_get::<_, i64>(at)? as u32, row.try_get(at + 1)?, row.try_get(at + 2)?, times))
    };
    Ok(raw::domain(read().map_err(|e: tokio_postgres::Error| corrupt(&e))?)?)
}

/// `tag` and `tried` are as in a commit of links.
pub(super) async fn commit(
    db: &Db<'_>,
    item: &DomainItem,
    tag: u64,
    now: i64,
    tried: &mut Option<DomainCommitReport>,
) -> Result<DomainCommitReport, TryFault> {
    let known = db.all().known().last();
    let seq = |position: Option<Position>| position.map_or(0, |position| position.seq.cast_signed());
    let seqs = (seq(known), seq(tried.as_ref().map(|tried| tried.head)));
    db.run(BEGIN).await?;
    db.rows("SELECT FROM log_head FOR UPDATE", &[]).await?;
    let after = format!(
        "SELECT epoch_counter, epoch_random, head, tag, {}, {} FROM log_head",
        position::tag_of("$1"),
        position::tag_of("$2")
    );
    let head = db.rows(&after, &[(&seqs.0, Type::INT8), (&seqs.1, Type::INT8)]).await?;
    let row = head.first().ok_or_else(|| StoreFault::Corrupt("the log has no head".into()))?;
    let start = history::check(db, known, row).await?;
    if row.try_get::<_, Option<i64>>(5).map_err(|e| corrupt(&e))? == Some(tag.cast_signed())
        && let Some(done) = tried
    {
        // The connection may break here, too: then the next try still has to know what to look for.
        db.run("ROLLBACK").await?;
        return Ok(done.clone());
    }
    let found = find(db, item, now).await?;
    let verdict = decide(item, &found, start, now);
    let (DomainVerdict::Written(row) | DomainVerdict::Gone(row)) = verdict.clone() else {
        db.run("ROLLBACK").await?;
        return Ok(DomainCommitReport { head: start, verdict });
    };
    let head = Position { seq: row.version, tag, ..start };
    let gone = matches!(verdict, DomainVerdict::Gone(_));
    *tried = Some(DomainCommitReport { head, verdict });
    let stored = match gone {
        true => remove(db, item, &row, head, now).await,
        false => store(db, item, (found.row.as_ref(), &row), head, now).await,
    };
    write::settled(stored, tried)?;
    db.note(head);
    Ok(tried.take().expect("it was put there"))
}

async fn find(db: &Db<'_>, item: &DomainItem, now: i64) -> Result<DomainHoldings, TryFault> {
    let sql = format!("SELECT {COLUMNS} FROM domains d WHERE name = $1");
    let rows = db.rows(&sql, &[(&item.name.as_str(), Type::TEXT)]).await?;
    let row = rows.first().map(|row| domain(row, 0)).transpose()?;
    let first = row.as_ref().map_or(DomainId::DEFAULT, |row| row.id).prefix();
    let id = match &item.intent {
        DomainIntent::Create { id, .. } => i64::from(id.0),
        DomainIntent::Update { .. } | DomainIntent::Delete { .. } => -1,
    };
    let sql = "SELECT (SELECT count(*) FROM domains), \
               EXISTS (SELECT FROM domains WHERE id = $1) OR EXISTS (SELECT FROM domains_gone WHERE id = $1), \
               (SELECT key FROM links WHERE key > $2 ORDER BY key LIMIT 1), \
               (SELECT coalesce(sum(octet_length(record)), 0)::bigint FROM domains)";
    let rows = db.rows(sql, &[(&id, Type::INT8), (&&first[..], Type::BYTEA)]).await?;
    let read = |row: &Row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?));
    let told = rows.first().map(read).transpose().map_err(|e: tokio_postgres::Error| corrupt(&e))?;
    let (count, id_taken, next, bytes): (i64, bool, Option<Vec<u8>>, i64) = told.unwrap_or_default();
    let links = match &item.intent {
        DomainIntent::Delete { .. } => links(db, &first).await?,
        DomainIntent::Create { .. } | DomainIntent::Update { .. } => DomainLinks::default(),
    };
    let retries: Vec<_> = item.retry.iter().collect();
    let answer = write::answers(db, &retries, now).await?.into_values().next();
    let has_links = next.is_some_and(|key| key.starts_with(&first));
    let ending = match row.as_ref().filter(|row| item.turns_punctuation_on(row)) {
        Some(row) => ending(db, row).await?,
        None => None,
    };
    let blocked = hosts::blocked(db, &item.hosts()).await?.into_iter().collect();
    let (count, bytes) = (count as usize, bytes as usize);
    Ok(DomainHoldings { row, has_links, links, ending, id_taken, count, bytes, blocked, answer })
}

/// The first links of a domain.
async fn links(db: &Db<'_>, prefix: &[u8; 4]) -> Result<DomainLinks, TryFault> {
    let sql = "SELECT key, delete_time FROM links WHERE key > $1 ORDER BY key LIMIT $2";
    let rows = db.rows(sql, &[(&&prefix[..], Type::BYTEA), (&(LOOKED_AT as i64), Type::INT8)]).await?;
    let read = |row: &Row| Ok((row.try_get::<_, Vec<u8>>(0)?, row.try_get::<_, Option<i64>>(1)?));
    let all: Vec<_> =
        rows.iter().map(read).collect::<Result<_, _>>().map_err(|e: tokio_postgres::Error| corrupt(&e))?;
    Ok(DomainLinks::of(
        all.into_iter().filter(|(key, _)| key.starts_with(prefix)).map(|(_, deleted)| deleted),
    ))
}

/// The end of a domain.
async fn remove(
    db: &Db<'_>,
    item: &DomainItem,
    row: &DomainRow,
    head: Position,
    now: i64,
) -> Result<(), TryFault> {
    let id = i64::from(row.id.0);
    db.rows("DELETE FROM domains WHERE id = $1", &[(&id, Type::INT8)]).await?;
    let params: Params<'_> = &[(&id, Type::INT8), (&row.version.cast_signed(), Type::INT8)];
    db.rows("INSERT INTO domains_gone (id, version) VALUES ($1, $2)", params).await?;
    write::log(db, &[row.gone(head.tag)], head, now).await?;
    let note = item.by.as_ref().map(|by| Note::domain_gone(by, row, head.epoch));
    finish(db, item, answers::domain_gone(row, head), note, head, now).await
}

/// What every write of a domain ends with: the answer for a retry, the note, the head, the commit.
async fn finish(
    db: &Db<'_>,
    item: &DomainItem,
    answer: Bytes,
    note: Option<Note>,
    head: Position,
    now: i64,
) -> Result<(), TryFault> {
    let answered: Vec<_> = item.retry.iter().map(|retry| (retry.clone(), answer.clone())).collect();
    let answered: Vec<_> = answered.iter().map(|answered| (answered, head.seq)).collect();
    write::remember(db, &answered, now).await?;
    if let Some(note) = note {
        db.rows(NOTE, &NoteParams::new(&note, now).params()).await?;
    }
    write::move_head(db, head).await?;
    db.run(COMMIT).await
}

/// The name of a link of this domain whose code ends in punctuation. The database reads all of its keys, and sends those
/// whose last byte may be of a mark.
async fn ending(db: &Db<'_>, row: &DomainRow) -> Result<Option<String>, TryFault> {
    let last: Vec<String> = Endings::last_bytes().iter().map(u8::to_string).collect();
    let sql = format!(
        "SELECT key FROM links WHERE key > $1 AND substring(key FROM 1 FOR 4) = $1 \
         AND get_byte(key, length(key) - 1) IN ({})",
        last.join(", ")
    );
    let first = row.id.prefix();
    let keys = db.rows(&sql, &[(&&first[..], Type::BYTEA)]).await?;
    for key in &keys {
        let key: &[u8] = key.try_get(0).map_err(|e| corrupt(&e))?;
        let code = key.get(first.len()..).unwrap_or_default();
        if raw::ends_in_punctuation(code) {
            return Ok(Some(raw::name_of(code, row)));
        }
    }
    Ok(None)
}

async fn store(
    db: &Db<'_>,
    item: &DomainItem,
    (before, row): (Option<&DomainRow>, &DomainRow),
    head: Position,
    now: i64,
) -> Result<(), TryFault> {
    let change = row.change(head.tag);
    let sql = "INSERT INTO domains (id, name, record, version, create_time, update_time) \
               VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (id) DO UPDATE SET record = EXCLUDED.record, \
               version = EXCLUDED.version, create_time = EXCLUDED.create_time, update_time = EXCLUDED.update_time";
    let params: Params<'_> = &[
        (&i64::from(row.id.0), Type::INT8),
        (&row.rules.name.as_str(), Type::TEXT),
        (&&change.record[..], Type::BYTEA),
        (&row.version.cast_signed(), Type::INT8),
        (&row.create_time, Type::INT8),
        (&row.update_time, Type::INT8),
    ];
    db.rows(sql, params).await?;
    write::log(db, &[change], head, now).await?;
    let note = item.by.as_ref().map(|by| Note::domain(by, before, row, head.epoch));
    finish(db, item, answers::domain(row, head), note, head, now).await
}
