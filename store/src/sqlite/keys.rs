//! The table of keys. What a key allows is not known here.

use super::{Sqlite, audit, fault};
use crate::model::{Author, KeyRow, StoreFault};
use crate::notes::Note;
use crate::port::{KeyMark, KeyRows};
use crate::raw::{self, ALL};
use rusqlite::{Connection, Params, params};

impl KeyRows for Sqlite {
    fn key_version(&self) -> Result<i64, StoreFault> {
        self.read(|db| version(db).map_err(|e| fault(&e)))
    }

    fn keys_behind(&self, after: &str, most: usize) -> Result<Vec<KeyRow>, StoreFault> {
        let behind = "WHERE ?1 = '' OR rowid > (SELECT rowid FROM keys WHERE id = ?1)";
        self.read(|db| rows(db, behind, most, [after]))
    }

    fn keys_since(&self, seen: KeyMark) -> Result<(KeyMark, Vec<KeyRow>), StoreFault> {
        self.read(|db| {
            // The mark first: what is read behind it may be newer, and is then read once more.
            let (now, notes) = marked(db, seen).map_err(|e| fault(&e))?;
            let changed = "WHERE id IN \
                           (SELECT substr(name, 6) FROM admin_audit WHERE number > ?1 AND name LIKE 'keys/%')";
            let told = seen.leads_to(now, notes);
            Ok((now, if told { rows(db, changed, ALL, [seen.note])? } else { rows(db, "", ALL, [])? }))
        })
    }

    fn key(&self, id: &str) -> Result<Option<KeyRow>, StoreFault> {
        self.read(|db| Ok(rows(db, "WHERE id = ?1", 1, [id])?.pop()))
    }

    fn most_keys(&self, domains: &[String], now: i64, since: i64) -> Result<usize, StoreFault> {
        let sql = "SELECT domains FROM keys WHERE domains <> '' AND (create_time > ?2 OR revoke_time IS NULL \
                   AND (expire_time IS NULL OR expire_time > ?1))";
        let kept = |db: &Connection| {
            db.prepare_cached(sql)?
                .query_map([now, since], |row| row.get(0))?
                .collect::<rusqlite::Result<Vec<_>>>()
        };
        Ok(raw::most_of(domains, &self.read(|db| kept(db).map_err(|e| fault(&e)))?))
    }

    fn put_key(&self, row: &KeyRow, most: usize, by: &Author) -> Result<bool, StoreFault> {
        self.write(|db| put(db, row, most, by).map_err(|e| fault(&e)))
    }

    fn revoke_key(&self, row: &KeyRow, now: i64, by: &Author) -> Result<(), StoreFault> {
        self.write(|db| revoke(db, row, now, by).map_err(|e| fault(&e)))
    }

    fn use_keys(&self, uses: &[(String, i64)]) -> Result<(), StoreFault> {
        self.write(|db| {
            let sql = "UPDATE keys SET last_use = max(?2, coalesce(last_use, 0)) WHERE id = ?1";
            let note = |(id, at): &(String, i64)| db.execute(sql, params![id, at]).map(drop);
            uses.iter().try_for_each(note).map_err(|e| fault(&e))
        })
    }
}

fn version(db: &Connection) -> rusqlite::Result<i64> {
    db.prepare_cached("SELECT version FROM key_version")?.query_row([], |row| row.get(0))
}

/// How far the keys can be read, and how many notes of them there are behind `seen`.
fn marked(db: &Connection, seen: KeyMark) -> rusqlite::Result<(KeyMark, i64)> {
    let sql = "SELECT version, (SELECT coalesce(max(number), 0) FROM admin_audit), \
               (SELECT count(*) FROM admin_audit WHERE number > ?1 AND name LIKE 'keys/%') FROM key_version";
    db.prepare_cached(sql)?
        .query_row([seen.note], |row| Ok((KeyMark { version: row.get(0)?, note: row.get(1)? }, row.get(2)?)))
}

fn raise(db: &Connection) -> rusqlite::Result<()> {
    db.execute("UPDATE key_version SET version = version + 1", []).map(drop)
}

/// At most `most` rows of those.
fn rows(db: &Connection, which: &str, most: usize, given: impl Params) -> Result<Vec<KeyRow>, StoreFault> {
    let sql = format!(
        "SELECT id, hash, client, scopes, domains, edge, create_time, expire_time, revoke_time, last_use \
         FROM keys {which} ORDER BY rowid LIMIT {most}"
    );
    let mut all = db.prepare_cached(&sql).map_err(|e| fault(&e))?;
    let rows = all.query_map(given, |row| {
        let (scopes, domains): (String, String) = (row.get(3)?, row.get(4)?);
        let times = (row.get(6)?, row.get(7)?, row.get(8)?, row.get(9)?);
        Ok(raw::key(row.get(0)?, row.get(1)?, row.get(2)?, &scopes, &domains, row.get(5)?, times))
    });
    rows.map_err(|e| fault(&e))?.map(|row| row.map_err(|e| fault(&e))?).collect()
}

fn revoke(db: &Connection, row: &KeyRow, now: i64, by: &Author) -> rusqlite::Result<()> {
    let sql = "UPDATE keys SET revoke_time = ?2 WHERE id = ?1 AND revoke_time IS NULL";
    if db.execute(sql, params![row.id, now])? > 0 {
        audit::note(db, &Note::key(by, row, Some(now)), now)?;
        raise(db)?;
    }
    Ok(())
}

fn put(db: &Connection, row: &KeyRow, most: usize, by: &Author) -> rusqlite::Result<bool> {
    let (scopes, domains) = raw::key_words(row);
    let live = "SELECT count(*) FROM keys WHERE client = ?1 AND domains = ?3 AND revoke_time IS NULL \
                AND (expire_time IS NULL OR expire_time > ?2)";
    let live: u64 = db.query_row(live, params![row.client, row.create_time, domains], |row| row.get(0))?;
    if live >= most as u64 {
        return Ok(false);
    }
    db.execute(
        "INSERT INTO keys (id, hash, client, scopes, domains, create_time, expire_time, edge) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![row.id, row.hash, row.client, scopes, domains, row.create_time, row.expire_time, row.edge],
    )?;
    audit::note(db, &Note::key(by, row, None), row.create_time)?;
    raise(db).map(|()| true)
}
