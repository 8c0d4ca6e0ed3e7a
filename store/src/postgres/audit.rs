//! The audit: its rows beside what they tell of, and what is asked of them.

use super::connection::{Db, Param, Params, TryFault, number};
use super::position::{self, HEAD};
use super::read::{LINK, LINK_COLUMNS, get, raw};
use crate::audit_row;
use crate::model::{self, StoreFault};
use crate::notes::Note;
use crate::port::{LinkPast, LinkWrite, Moment, NotedAuthor, ResourceWrite};
use journal::Audit;
use link::{Key, Seq};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

/// The first of the columns of a write: behind the head and the link.
const BEHIND: usize = 4 + LINK_COLUMNS;

pub(super) async fn put(db: &Db<'_>, audits: &[Audit], now: i64) -> Result<(), TryFault> {
    if audits.is_empty() {
        return Ok(());
    }
    let seqs: Vec<i64> = audits.iter().map(|audit| audit.seq.cast_signed()).collect();
    let firsts: Vec<Option<i64>> = audits.iter().map(|audit| audit.first.map(u64::cast_signed)).collect();
    let keys: Vec<Option<&[u8]>> = audits.iter().map(|audit| audit.key.as_ref().map(Key::as_bytes)).collect();
    let principals: Vec<&str> = audits.iter().map(|audit| &*audit.by.principal).collect();
    let methods: Vec<&str> = audits.iter().map(|audit| audit.by.method).collect();
    let ids: Vec<&str> = audits.iter().map(|audit| &*audit.by.request_id).collect();
    let bytes = |row: &Option<model::Row>| row.as_ref().map(audit_row::to_bytes);
    let befores: Vec<_> = audits.iter().map(|audit| bytes(&audit.before)).collect();
    let afters: Vec<_> = audits.iter().map(|audit| bytes(&audit.after)).collect();
    let befores: Vec<Option<&[u8]>> = befores.iter().map(Option::as_deref).collect();
    let afters: Vec<Option<&[u8]>> = afters.iter().map(Option::as_deref).collect();
    let sql = "INSERT INTO audit (seq, first, key, principal, method, request_id, before, after, at) \
               SELECT *, $9 FROM unnest($1::bigint[], $2::bigint[], $3::bytea[], $4::text[], $5::text[], $6::text[], \
               $7::bytea[], $8::bytea[])";
    let params: Params<'_> = &[
        (&seqs, Type::INT8_ARRAY),
        (&firsts, Type::INT8_ARRAY),
        (&keys, Type::BYTEA_ARRAY),
        (&principals, Type::TEXT_ARRAY),
        (&methods, Type::TEXT_ARRAY),
        (&ids, Type::TEXT_ARRAY),
        (&befores, Type::BYTEA_ARRAY),
        (&afters, Type::BYTEA_ARRAY),
        (&now, Type::INT8),
    ];
    db.rows(sql, params).await.map(drop)
}

pub(super) async fn writes(db: &Db<'_>, key: &Key, most: Seq, limit: usize) -> Result<LinkPast, TryFault> {
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let params: Params<'_> = &[(&key.as_bytes(), Type::BYTEA), (&most, Type::INT8), (&limit, Type::INT8)];
    traced(db, key, "seq <= $2", "seq DESC", "$3", params).await
}

pub(super) async fn write_after(db: &Db<'_>, key: &Key, moment: Moment) -> Result<LinkPast, TryFault> {
    let (column, value) = moment.column();
    let params: Params<'_> = &[(&key.as_bytes(), Type::BYTEA), (&value, Type::INT8)];
    traced(db, key, &format!("{column} > $2"), "seq", "1", params).await
}

async fn traced(
    db: &Db<'_>,
    key: &Key,
    which: &str,
    order: &str,
    limit: &str,
    params: Params<'_>,
) -> Result<LinkPast, TryFault> {
    let sql = format!(
        "{HEAD}, {LINK}, a.* FROM log_head h LEFT JOIN links ON key = $1 LEFT JOIN \
         (SELECT seq AS number, principal, method, request_id, before, after FROM audit \
         WHERE key = $1 AND {which} ORDER BY {order} LIMIT {limit}) a ON true ORDER BY {}",
        order.replace("seq", "number")
    );
    let rows = db.rows(&sql, params).await?;
    let first = rows.first().ok_or_else(|| StoreFault::Corrupt("the log has no head".into()))?;
    let epoch = db.note(position::of(first)?).epoch;
    let row = get::<Option<&[u8]>>(first, 4)?.map(|_| raw(first, 4)).transpose()?;
    let none = get::<Option<i64>>(first, BEHIND)?.is_none();
    let written = |row: &Row| {
        let state = |bytes: &[u8]| audit_row::from_bytes(key, bytes);
        Ok(LinkWrite {
            seq: number(row, BEHIND)?,
            who: who(row, BEHIND + 1)?,
            before: get::<Option<&[u8]>>(row, BEHIND + 4)?.map(state).transpose()?,
            after: state(get(row, BEHIND + 5)?)?,
        })
    };
    let writes = rows.iter().filter(|_| !none).map(written).collect::<Result<_, TryFault>>()?;
    Ok(LinkPast { epoch, row, writes })
}

pub(super) async fn chunk(db: &Db<'_>, seq: Seq) -> Result<Option<NotedAuthor>, TryFault> {
    let sql = "SELECT principal, method, request_id, first FROM audit \
               WHERE first IS NOT NULL AND seq >= $1 ORDER BY seq LIMIT 1";
    let rows = db.rows(sql, &[(&seq.cast_signed(), Type::INT8)]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    Ok((number(row, 3)? <= seq).then_some(who(row, 0)?))
}

/// Notes a write of a key, a domain or a block.
pub(super) const NOTE: &str = "INSERT INTO admin_audit (name, at, principal, method, request_id, before, after) SELECT $1, $2, $3, $4, $5, $6, $7";

/// The parameters of [`NOTE`].
pub(super) struct NoteParams<'a> {
    note: &'a Note,
    principal: &'a str,
    request_id: &'a str,
    before: Option<&'a [u8]>,
    after: &'a [u8],
    at: i64,
}

impl<'a> NoteParams<'a> {
    pub(super) fn new(note: &'a Note, at: i64) -> Self {
        let (principal, request_id) = (&*note.by.principal, &*note.by.request_id);
        Self { note, principal, request_id, before: note.before.as_deref(), after: &note.after, at }
    }

    pub(super) fn params(&self) -> Vec<Param<'_>> {
        vec![
            (&self.note.name, Type::TEXT),
            (&self.at, Type::INT8),
            (&self.principal, Type::TEXT),
            (&self.note.by.method, Type::TEXT),
            (&self.request_id, Type::TEXT),
            (&self.before, Type::BYTEA),
            (&self.after, Type::BYTEA),
        ]
    }
}

pub(super) async fn noted(
    db: &Db<'_>,
    name: &str,
    below: i64,
    limit: usize,
) -> Result<Vec<ResourceWrite>, TryFault> {
    let sql = "SELECT principal, method, request_id, number, name, at, before, after FROM admin_audit \
               WHERE number < $1 AND ($2 = '' OR name = $2) ORDER BY number DESC LIMIT $3";
    let limit = limit as i64;
    let rows = db.rows(sql, &[(&below, Type::INT8), (&name, Type::TEXT), (&limit, Type::INT8)]).await?;
    let read = |row: &Row| {
        Ok(ResourceWrite {
            number: get(row, 3)?,
            name: get(row, 4)?,
            at: get(row, 5)?,
            who: who(row, 0)?,
            before: get::<Option<Vec<u8>>>(row, 6)?.map(Into::into),
            after: get::<Vec<u8>>(row, 7)?.into(),
        })
    };
    rows.iter().map(read).collect()
}

fn who(row: &Row, at: usize) -> Result<NotedAuthor, TryFault> {
    Ok(NotedAuthor { principal: get(row, at)?, method: get(row, at + 1)?, request_id: get(row, at + 2)? })
}
