//! Everything that is read: position and values in one statement, so of one snapshot. Nothing is written here.

use super::connection::{Db, Params, TryFault, corrupt, half, number};
use super::history;
use super::position::{self, HEAD, first, tag_of};
use crate::model;
use crate::model::StoreFault;
use crate::port::{EntryBatch, History, Limit, ListPage, TimeOrder, WalkPage};
use crate::raw::LinkColumns;
use bytes::Bytes;
use feed::{Entry, LogView};
use journal::ExternalId;
use link::{Change, ChangeKind, DomainId, Epoch, Key, Position, Seq};
use std::collections::{BTreeSet, HashMap};
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, Type};

/// The last change of a domain, as an expression.
pub(super) const LAST_OF_DOMAINS: &str = "greatest((SELECT coalesce(max(version), 0) FROM domains), \
                               (SELECT coalesce(max(version), 0) FROM domains_gone))";
/// What [`raw`] reads.
pub(super) const LINK: &str =
    "key, record, kept, title, tags, note, more, create_time, update_time, delete_time, version";
/// How many these are.
pub(super) const LINK_COLUMNS: usize = 11;
/// What a row of [`LINK`] is counted by.
pub(super) const LINK_BYTES: &str = "length(key) + length(record) + coalesce(length(kept), 0) + length(title) + length(tags) \
     + length(note) + length(more)";
/// Whether a link is not deleted. Of `IS NULL` the planner believes that it holds for few, as long as there are no
/// statistics, and would read and sort them all.
pub(super) const LIVE: &str = "coalesce(delete_time, -1) < 0";
/// The first of the columns behind the head, the tag of what is known, and two that bound a part.
pub(super) const BEHIND: usize = 7;

pub(super) fn get<'a, T: FromSql<'a>>(row: &'a Row, column: usize) -> Result<T, TryFault> {
    row.try_get(column).map_err(|e| corrupt(&e))
}

/// The head and the rows of `from` in the order of `order`, up to the limit but at least one; whether there are more.
/// `size` is what a row's bytes are counted by, `$1` is free for `from`, as are `$5` and above.
pub(super) async fn bounded(
    db: &Db<'_>,
    (columns, from, order, size): (&str, &str, &str, &str),
    (given, more): ((&(dyn tokio_postgres::types::ToSql + Sync), Type), Params<'_>),
    limit: Limit,
) -> Result<(Position, Vec<Row>, bool), TryFault> {
    let known = db.all().known().last();
    let sql = format!(
        "{HEAD}, {}, part.* FROM log_head h LEFT JOIN (SELECT * FROM (SELECT count(*) OVER () AS total, \
         row_number() OVER (ORDER BY {order}) AS number, {columns}, sum({size}) OVER (ORDER BY {order}) AS bytes \
         FROM (SELECT {columns} FROM {from} ORDER BY {order} LIMIT $2 + 1) a) b \
         WHERE number <= $2 AND (number = 1 OR bytes <= $3)) part ON true ORDER BY number",
        tag_of("$4")
    );
    let clamped = |most: usize| i64::try_from(most).unwrap_or(i64::MAX - 1);
    let (count, bytes) = (clamped(limit.rows), clamped(limit.bytes));
    let seq = known.map_or(0, |known| known.seq.cast_signed());
    let own: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 4] =
        [given, (&count, Type::INT8), (&bytes, Type::INT8), (&seq, Type::INT8)];
    let params: Vec<_> = own.into_iter().chain(more.iter().cloned()).collect();
    let mut rows = db.rows(&sql, &params).await?;
    let head = history::check(db, known, first(&rows)?).await?;
    let total: Option<i64> = get(first(&rows)?, 5)?;
    if total.is_none() {
        rows.clear();
    }
    let more = total.unwrap_or(0) > rows.len() as i64;
    Ok((head, rows, more))
}

pub(super) async fn changes(
    db: &Db<'_>,
    after: Seq,
    limit: Limit,
) -> Result<(Position, Vec<Change>), TryFault> {
    let what =
        ("seq, tag, kind, key, record", "change_log WHERE seq > $1", "seq", "length(key) + length(record)");
    let (head, rows, _) = bounded(db, what, ((&after.cast_signed(), Type::INT8), &[]), limit).await?;
    let change = |row: &Row| {
        let kind: i16 = get(row, BEHIND + 2)?;
        Ok(Change {
            seq: number(row, BEHIND)?,
            tag: get::<i64>(row, BEHIND + 1)?.cast_unsigned(),
            kind: ChangeKind(kind as u8),
            key: get::<Vec<u8>>(row, BEHIND + 3)?.into(),
            record: get::<Vec<u8>>(row, BEHIND + 4)?.into(),
        })
    };
    Ok((head, rows.iter().map(change).collect::<Result<_, TryFault>>()?))
}

pub(super) async fn walk(db: &Db<'_>, after: &[u8], limit: Limit) -> Result<WalkPage, TryFault> {
    let what = ("key, record", "links WHERE key > $1", "key", "length(key) + length(record)");
    let (head, rows, more) = bounded(db, what, ((&after, Type::BYTEA), &[]), limit).await?;
    let entries = rows.iter().map(|row| entry(row, BEHIND)).collect::<Result<_, _>>()?;
    Ok(WalkPage { head, entries, more })
}

fn entry(row: &Row, column: usize) -> Result<Entry, TryFault> {
    let record: Option<Vec<u8>> = get(row, column + 1)?;
    Ok(Entry { key: get::<Vec<u8>>(row, column)?.into(), record: record.unwrap_or_default().into() })
}

pub(super) async fn list(
    db: &Db<'_>,
    prefix: &[u8],
    after: &[u8],
    deleted: bool,
    limit: Limit,
) -> Result<ListPage, TryFault> {
    // One bound for the index; behind a key is not at it.
    let links = format!("links WHERE key >= $1 AND key <> $6 AND ($5 OR {LIVE})");
    let what = (LINK, links.as_str(), "key", LINK_BYTES);
    let from = after.max(prefix);
    let more = &[(&deleted as _, Type::BOOL), (&after as _, Type::BYTEA)][..];
    let (head, rows, mut more) = bounded(db, what, ((&from as _, Type::BYTEA), more), limit).await?;
    let mut rows = rows.iter().map(|row| raw(row, BEHIND)).collect::<Result<Vec<_>, _>>()?;
    let inside = rows.iter().take_while(|row| row.key.as_bytes().starts_with(prefix)).count();
    more &= inside == rows.len();
    rows.truncate(inside);
    Ok(ListPage { epoch: head.epoch, rows, more })
}

pub(super) async fn newest(
    db: &Db<'_>,
    domain: DomainId,
    time: TimeOrder,
    (at, key): (i64, &[u8]),
    deleted: bool,
    limit: Limit,
) -> Result<ListPage, TryFault> {
    let column = time.column();
    // One range in the order of the index: of how many links there are in a domain the planner may have no idea yet, and
    // would rather sort what it takes for a few. Behind the last link come those of domains with lower numbers.
    let from = format!("links WHERE (substr(key, 1, 4), {column}, key) < ($1, $5, $6) AND ($7 OR {LIVE})");
    let order = format!("substr(key, 1, 4) DESC, {column} DESC, key DESC");
    let domain = &domain.0.to_be_bytes()[..];
    let more = &[(&at as _, Type::INT8), (&key as _, Type::BYTEA), (&deleted as _, Type::BOOL)][..];
    let what = (LINK, from.as_str(), order.as_str(), LINK_BYTES);
    let (head, rows, mut more) = bounded(db, what, ((&domain as _, Type::BYTEA), more), limit).await?;
    let mut rows = rows.iter().map(|row| raw(row, BEHIND)).collect::<Result<Vec<_>, _>>()?;
    let inside = rows.iter().take_while(|row| row.key.as_bytes().starts_with(domain)).count();
    more &= inside == rows.len();
    rows.truncate(inside);
    Ok(ListPage { epoch: head.epoch, rows, more })
}

pub(super) async fn with_external_id(
    db: &Db<'_>,
    ExternalId { domain, id }: &ExternalId,
    after: &[u8],
    deleted: bool,
    limit: Limit,
) -> Result<ListPage, TryFault> {
    let from =
        format!("links WHERE substr(key, 1, 4) = $1 AND external_id = $5 AND key > $6 AND ($7 OR {LIVE})");
    let prefix = domain.prefix();
    let (domain, id) = (&prefix[..], id.as_bytes());
    let more = &[(&id as _, Type::BYTEA), (&after as _, Type::BYTEA), (&deleted as _, Type::BOOL)][..];
    let what = (LINK, from.as_str(), "key", LINK_BYTES);
    let (head, rows, more) = bounded(db, what, ((&domain as _, Type::BYTEA), more), limit).await?;
    let rows = rows.iter().map(|row| raw(row, BEHIND)).collect::<Result<Vec<_>, _>>()?;
    Ok(ListPage { epoch: head.epoch, rows, more })
}

/// The links that have these.
pub(super) async fn holders(
    db: &Db<'_>,
    asked: &BTreeSet<ExternalId>,
) -> Result<HashMap<ExternalId, Key>, TryFault> {
    if asked.is_empty() {
        return Ok(HashMap::new());
    }
    let prefixes: Vec<[u8; 4]> = asked.iter().map(|asked| asked.domain.prefix()).collect();
    let prefixes: Vec<&[u8]> = prefixes.iter().map(|prefix| &prefix[..]).collect();
    let ids: Vec<&[u8]> = asked.iter().map(|asked| asked.id.as_bytes()).collect();
    // One by one by the index, as links are looked for by their keys.
    let sql = "SELECT l.key, a.number FROM unnest($1::bytea[], $2::bytea[]) WITH ORDINALITY a(domain, id, number) \
               CROSS JOIN LATERAL (SELECT key FROM links WHERE substr(key, 1, 4) = a.domain AND external_id = a.id \
               AND delete_time IS NULL LIMIT 1) l";
    let found = db.rows(sql, &[(&prefixes, Type::BYTEA_ARRAY), (&ids, Type::BYTEA_ARRAY)]).await?;
    let asked: Vec<&ExternalId> = asked.iter().collect();
    let holder = |row: &Row| {
        let key = Key::from_bytes(get(row, 0)?);
        let key = key.map_err(|e| StoreFault::Corrupt(format!("a link with an external_id: {e}")))?;
        Ok((asked[number(row, 1)? as usize - 1].clone(), key))
    };
    found.iter().map(holder).collect()
}

/// The columns of [`LINK`] from `at` on, understood.
pub(super) fn raw(row: &Row, at: usize) -> Result<model::Row, TryFault> {
    let text = |column| -> Result<String, TryFault> {
        let bytes: Vec<u8> = get(row, at + column)?;
        String::from_utf8(bytes).map_err(|e| StoreFault::Corrupt(format!("a text of a link: {e}")).into())
    };
    let raw = LinkColumns {
        key: get(row, at)?,
        record: get(row, at + 1)?,
        kept: get(row, at + 2)?,
        title: text(3)?,
        tags: text(4)?,
        note: text(5)?,
        more: get(row, at + 6)?,
        times: (get(row, at + 7)?, get(row, at + 8)?, get(row, at + 9)?),
        version: number(row, at + 10)?,
    };
    Ok(raw.parse()?)
}

pub(super) async fn link(db: &Db<'_>, key: &Key) -> Result<(Epoch, Option<model::Row>), TryFault> {
    let sql = format!("{HEAD}, {LINK} FROM log_head h LEFT JOIN links ON key = $1");
    let rows = db.rows(&sql, &[(&key.as_bytes(), Type::BYTEA)]).await?;
    let row = first(&rows)?;
    let epoch = db.note(position::of(row)?).epoch;
    let found = get::<Option<&[u8]>>(row, 4)?.map(|_| raw(row, 4)).transpose()?;
    Ok((epoch, found))
}

/// Those of these uids that there are, deleted or not.
pub(super) async fn links_with_uids(db: &Db<'_>, uids: &[Seq]) -> Result<Vec<model::Row>, TryFault> {
    let uids: Vec<i64> = uids.iter().map(|uid| uid.cast_signed()).collect();
    let sql = format!("SELECT {LINK} FROM links WHERE coalesce(uid, version) = ANY($1)");
    let rows = db.rows(&sql, &[(&uids, Type::INT8_ARRAY)]).await?;
    rows.iter().map(|row| raw(row, 0)).collect()
}

pub(super) async fn records(db: &Db<'_>, keys: &[Bytes]) -> Result<EntryBatch, TryFault> {
    let sql = format!(
        "{HEAD}, a.key, l.record, {LAST_OF_DOMAINS} FROM log_head h LEFT JOIN unnest($1::bytea[]) WITH ORDINALITY a(key, number) ON true \
         LEFT JOIN links l ON l.key = a.key ORDER BY number"
    );
    let asked: Vec<&[u8]> = keys.iter().map(|key| &key[..]).collect();
    let rows = db.rows(&sql, &[(&asked, Type::BYTEA_ARRAY)]).await?;
    let head = db.note(position::of(first(&rows)?)?);
    let entries = rows.iter().take(keys.len()).map(|row| entry(row, 4)).collect::<Result<_, _>>()?;
    Ok(EntryBatch { head, entries, domains: number(first(&rows)?, 6)? })
}

/// By one fork or by several: counters only fall on that way.
pub(super) async fn log_view(db: &Db<'_>, applied: Seq, of: Option<Epoch>) -> Result<LogView, TryFault> {
    let sql = format!(
        "WITH RECURSIVE line AS (SELECT e.parent_counter, e.parent_random, e.fork_seq FROM epochs e \
         JOIN log_head ON (counter, random) = (epoch_counter, epoch_random) \
         UNION ALL SELECT e.parent_counter, e.parent_random, least(line.fork_seq, e.fork_seq) FROM line \
         JOIN epochs e ON (e.counter, e.random) = (line.parent_counter, line.parent_random)) \
         {HEAD}, {}, (SELECT min(seq) FROM change_log), (SELECT min(line.fork_seq) FROM line \
         WHERE (line.parent_counter, line.parent_random) = ($2, $3)) FROM log_head h",
        tag_of("$1")
    );
    let given = of.unwrap_or_default();
    let (counter, random) = (i64::from(given.counter), i64::from(given.random));
    let params: Params<'_> =
        &[(&applied.cast_signed(), Type::INT8), (&counter, Type::INT8), (&random, Type::INT8)];
    let rows = db.rows(&sql, params).await?;
    let row = first(&rows)?;
    let head = db.note(position::of(row)?);
    let seq = |column| Ok::<_, TryFault>(get::<Option<i64>>(row, column)?.map(i64::cast_unsigned));
    Ok(LogView {
        head,
        ancestor: of.zip(seq(6)?),
        oldest: seq(5)?.unwrap_or(head.seq + 1),
        tag_at_applied: if applied == 0 { Some(0) } else { seq(4)? },
    })
}

pub(super) async fn histories(db: &Db<'_>) -> Result<Vec<History>, TryFault> {
    let sql = "SELECT counter, random, parent_counter, parent_random, fork_seq, head, at FROM epochs \
               ORDER BY counter DESC";
    let history = |row: &Row| {
        Ok(History {
            epoch: Epoch { counter: half(row, 0)?, random: half(row, 1)? },
            parent: Epoch { counter: half(row, 2)?, random: half(row, 3)? },
            fork_seq: number(row, 4)?,
            head: number(row, 5)?,
            at: get(row, 6)?,
        })
    };
    db.rows(sql, &[]).await?.iter().map(history).collect()
}
