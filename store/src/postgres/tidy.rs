//! What is older than it is kept, and what links of before lack: a little at a time, so that no write waits for it.

use super::connection::{BEGIN, COMMIT, Db, TryFault, corrupt, number};
use super::read::get;
use super::{hosts, position};
use crate::kept;
use crate::tombstones::Tombstone;
use link::Position;
use tokio_postgres::types::Type;

/// Tombstones that go at once.
pub(super) const AT_ONCE: usize = kept::TOMBSTONES_AT_ONCE as usize;

/// The oldest tombstones of before this time, but for those that stay.
pub(super) async fn buried(db: &Db<'_>, before: i64) -> Result<Vec<Tombstone>, TryFault> {
    let most = i64::from(kept::TOMBSTONES_AT_ONCE);
    let sql = "SELECT key, coalesce(uid, version) FROM links WHERE delete_time <= $1 AND clicked IS NULL \
               ORDER BY delete_time LIMIT $2";
    let rows = db.rows(sql, &[(&before, Type::INT8), (&most, Type::INT8)]).await?;
    let read = |row: &tokio_postgres::Row| Ok(Tombstone { key: get(row, 0)?, uid: number(row, 1)? });
    rows.iter().map(read).collect()
}

/// Notes that these stay: they were clicked.
pub(super) async fn keep(db: &Db<'_>, keys: &[Vec<u8>]) -> Result<(), TryFault> {
    let keys: Vec<&[u8]> = keys.iter().map(|key| &key[..]).collect();
    let sql = "UPDATE links SET clicked = true WHERE key = ANY($1)";
    db.rows(sql, &[(&keys, Type::BYTEA_ARRAY)]).await.map(drop)
}

/// Reads the hosts of some links that are not in the index yet; whether there may be more. In a transaction for its limits
/// of time.
pub(super) async fn index_hosts(db: &Db<'_>) -> Result<bool, TryFault> {
    db.run(BEGIN).await?;
    let more = hosts::index_some(db).await?;
    db.run(COMMIT).await?;
    Ok(more)
}

/// Cuts the log and the audit at their old ends; whether there may be more to cut. The last change of all stays, so that whoever has
/// applied it can prove so. A change is as old as the oldest behind it: a clock that was ahead for a while does not keep
/// what came before. (In a transaction for its limits of time, and so that two controls do it one after the other.)
pub(super) async fn cut(db: &Db<'_>, now: i64) -> Result<(Position, bool), TryFault> {
    let most = i64::from(kept::CHANGES_AT_ONCE);
    let sql = "WITH last AS (SELECT max(seq) AS seq FROM (SELECT seq, committed_at FROM change_log \
               WHERE seq < (SELECT head FROM log_head) ORDER BY seq LIMIT $1) a WHERE committed_at <= $2), \
               marks AS (INSERT INTO log_marks SELECT c.seq, c.tag FROM change_log c, last \
               WHERE c.seq <= last.seq AND c.seq % $3 = 0 ON CONFLICT DO NOTHING), \
               gone AS (DELETE FROM change_log c USING last WHERE c.seq <= last.seq RETURNING 1) \
               SELECT count(*) FROM gone";
    let old = |table, number| {
        format!(
            "WITH gone AS (DELETE FROM {table} WHERE {number} <= (SELECT max({number}) FROM \
             (SELECT {number}, at FROM {table} ORDER BY {number} LIMIT $1) a WHERE at <= $2) RETURNING 1) \
             SELECT count(*) FROM gone"
        )
    };
    let (links, others) = (old("audit", "seq"), old("admin_audit", "number"));
    let most_audits = i64::from(kept::AUDITS_AT_ONCE);
    let audited = now - kept::AUDIT;
    let too_old = [(&most_audits as _, Type::INT8), (&audited as _, Type::INT8)];
    let before = now - kept::LOG;
    let marked = kept::MARKED.cast_signed();
    let params = [(&most as _, Type::INT8), (&before as _, Type::INT8), (&marked as _, Type::INT8)];
    let (begun, cut, forgotten, notes, head, committed) = tokio::join!(
        biased;
        db.run(BEGIN),
        db.rows(sql, &params),
        db.rows(&links, &too_old),
        db.rows(&others, &too_old),
        position::head(db),
        db.run(COMMIT),
    );
    begun?;
    let count = |rows: Vec<tokio_postgres::Row>| {
        rows.first().map_or(Ok(0), |row| row.try_get::<_, i64>(0)).map_err(|e| corrupt(&e))
    };
    let (cut, forgotten) = (count(cut?)?, count(forgotten?)?.max(count(notes?)?));
    committed?;
    Ok((head?, cut == most || forgotten == most_audits))
}
