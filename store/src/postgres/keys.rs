//! The table of keys, which all controls share. What a key allows is not known here.

use super::Postgres;
use super::audit::{NOTE, NoteParams};
use super::connection::{BEGIN, COMMIT, Db, Params, READ, TryFault, WRITE, corrupt};
use crate::model::{Author, KeyRow, StoreFault};
use crate::notes::Note;
use crate::port::{KeyMark, KeyRows};
use crate::raw::{self, ALL};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

impl KeyRows for Postgres {
    fn key_version(&self) -> Result<i64, StoreFault> {
        self.db.call(READ, async |db| version(db).await)
    }

    fn keys_behind(&self, after: &str, most: usize) -> Result<Vec<KeyRow>, StoreFault> {
        let behind = "WHERE $1 = '' OR number > (SELECT number FROM keys WHERE id = $1)";
        self.db.call(READ, async |db| rows(db, behind, most, &[(&after, Type::TEXT)]).await)
    }

    fn keys_since(&self, seen: KeyMark) -> Result<(KeyMark, Vec<KeyRow>), StoreFault> {
        self.db.call(READ, async |db| {
            // The mark first: what is read behind it may be newer, and is then read once more.
            let (now, notes) = marked(db, seen).await?;
            let changed = "WHERE id IN \
                           (SELECT substr(name, 6) FROM admin_audit WHERE number > $1 AND name LIKE 'keys/%')";
            let told = seen.leads_to(now, notes);
            let note = [(&seen.note as _, Type::INT8)];
            let rows = if told { rows(db, changed, ALL, &note).await? } else { rows(db, "", ALL, &[]).await? };
            Ok((now, rows))
        })
    }

    fn key(&self, id: &str) -> Result<Option<KeyRow>, StoreFault> {
        self.db.call(READ, async |db| Ok(rows(db, "WHERE id = $1", 1, &[(&id, Type::TEXT)]).await?.pop()))
    }

    fn most_keys(&self, domains: &[String], now: i64, since: i64) -> Result<usize, StoreFault> {
        let sql = "SELECT domains FROM keys WHERE domains <> '' AND (create_time > $2 OR revoke_time IS NULL \
                   AND (expire_time IS NULL OR expire_time > $1))";
        let kept = self.db.call(READ, async |db| {
            let rows = db.rows(sql, &[(&now, Type::INT8), (&since, Type::INT8)]).await?;
            let text = |row: &Row| row.try_get::<_, String>(0).map_err(|e| corrupt(&e));
            rows.iter().map(text).collect::<Result<Vec<_>, _>>()
        })?;
        Ok(raw::most_of(domains, &kept))
    }

    fn put_key(&self, row: &KeyRow, most: usize, by: &Author) -> Result<bool, StoreFault> {
        self.db.call(WRITE, async |db| put(db, row, most, by).await)
    }

    fn revoke_key(&self, row: &KeyRow, now: i64, by: &Author) -> Result<(), StoreFault> {
        let note = Note::key(by, row, Some(now));
        let noting = NoteParams::new(&note, now);
        let sql = format!(
            "WITH gone AS (UPDATE keys SET revoke_time = $2 WHERE id = $8 AND revoke_time IS NULL RETURNING 1), \
             raised AS ({RAISE} WHERE EXISTS (SELECT FROM gone)) {NOTE} FROM gone"
        );
        self.db.call(WRITE, async |db| {
            let mut params = noting.params();
            params.push((&row.id, Type::TEXT));
            let (begun, locked, done, committed) =
                tokio::join!(biased; db.run(BEGIN), db.run(LOCK), db.rows(&sql, &params), db.run(COMMIT));
            begun.and(locked).and(done.map(drop)).and(committed)
        })
    }

    fn use_keys(&self, uses: &[(String, i64)]) -> Result<(), StoreFault> {
        let ids: Vec<&str> = uses.iter().map(|(id, _)| id.as_str()).collect();
        let times: Vec<i64> = uses.iter().map(|(_, at)| *at).collect();
        let sql = "UPDATE keys SET last_use = greatest(last_use, at) FROM unnest($1::text[], $2::bigint[]) u(used, at) \
                   WHERE id = used";
        self.db.call(READ, async |db| {
            let params = [(&ids as _, Type::TEXT_ARRAY), (&times as _, Type::INT8_ARRAY)];
            db.rows(sql, &params).await.map(drop)
        })
    }
}

/// Until the end of the transaction: what is noted of keys is noted in the order of their versions.
const LOCK: &str = "UPDATE key_version SET version = version";
const RAISE: &str = "UPDATE key_version SET version = version + 1";

/// How far the keys can be read, and how many notes of them there are behind `seen`.
async fn marked(db: &Db<'_>, seen: KeyMark) -> Result<(KeyMark, i64), TryFault> {
    let sql = "SELECT version, (SELECT coalesce(max(number), 0) FROM admin_audit), \
               (SELECT count(*) FROM admin_audit WHERE number > $1 AND name LIKE 'keys/%') FROM key_version";
    let rows = db.rows(sql, &[(&seen.note, Type::INT8)]).await?;
    let row = rows.first().ok_or_else(|| StoreFault::Corrupt("key_version has no row".into()))?;
    let number = |column| row.try_get::<_, i64>(column).map_err(|e| corrupt(&e));
    Ok((KeyMark { version: number(0)?, note: number(1)? }, number(2)?))
}

async fn version(db: &Db<'_>) -> Result<i64, TryFault> {
    let rows = db.rows("SELECT version FROM key_version", &[]).await?;
    let none = || StoreFault::Corrupt("key_version has no row".into());
    rows.first().ok_or_else(none)?.try_get(0).map_err(|e| corrupt(&e))
}

/// At most `most` rows of those.
async fn rows(db: &Db<'_>, which: &str, most: usize, given: Params<'_>) -> Result<Vec<KeyRow>, TryFault> {
    let sql = format!(
        "SELECT id, hash, client, scopes, domains, edge, create_time, expire_time, revoke_time, last_use \
         FROM keys {which} ORDER BY number LIMIT {most}"
    );
    let row = |row: &Row| {
        let text = |column| row.try_get::<_, String>(column);
        let time = |column| row.try_get::<_, Option<i64>>(column);
        let parsed = || {
            let times = (row.try_get(6)?, time(7)?, time(8)?, time(9)?);
            Ok(raw::key(text(0)?, row.try_get(1)?, text(2)?, &text(3)?, &text(4)?, row.try_get(5)?, times))
        };
        Ok(parsed().map_err(|e| corrupt(&e))??)
    };
    db.rows(&sql, given).await?.iter().map(row).collect()
}

/// Under the lock of the version: two controls do not count the keys of a client at once. A key whose answer was lost is
/// there when it is tried again.
async fn put(db: &Db<'_>, row: &KeyRow, most: usize, by: &Author) -> Result<bool, TryFault> {
    let sql = format!(
        "WITH put AS (INSERT INTO keys (id, hash, client, scopes, domains, create_time, expire_time, edge) \
         SELECT $8, $9, $10, $11, $12, $2, $13, $15 WHERE $14 > (SELECT count(*) FROM keys WHERE client = $10 \
         AND domains = $12 AND id <> $8 AND revoke_time IS NULL AND (expire_time IS NULL OR expire_time > $2)) \
         ON CONFLICT (id) DO UPDATE SET id = EXCLUDED.id RETURNING 1), \
         raised AS ({RAISE} WHERE EXISTS (SELECT FROM put)), \
         noted AS ({NOTE} FROM put WHERE NOT EXISTS (SELECT FROM admin_audit WHERE name = $1)) SELECT FROM put"
    );
    let (scopes, domains) = raw::key_words(row);
    let (hash, most) = (&row.hash[..], most as i64);
    let note = Note::key(by, row, None);
    let noting = NoteParams::new(&note, row.create_time);
    let mut params = noting.params();
    params.extend([
        (&row.id as _, Type::TEXT),
        (&hash as _, Type::BYTEA),
        (&row.client as _, Type::TEXT),
        (&scopes as _, Type::TEXT),
        (&domains as _, Type::TEXT),
        (&row.expire_time as _, Type::INT8),
        (&most as _, Type::INT8),
        (&row.edge as _, Type::TEXT),
    ]);
    let (begun, locked, put, committed) = tokio::join!(
        biased;
        db.run(BEGIN),
        db.run(LOCK),
        db.rows(&sql, &params),
        db.run(COMMIT),
    );
    begun.and(locked)?;
    let new = !put?.is_empty();
    committed.map(|()| new)
}
