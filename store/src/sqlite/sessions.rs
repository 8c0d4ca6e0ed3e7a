//! The table of edges, whole: it is small and seldom written. What a row means is not known here.

use crate::port::SessionRow;
use link::Epoch;
use rusqlite::{Connection, params};

pub(super) fn all(db: &Connection) -> rusqlite::Result<Vec<SessionRow>> {
    let now = crate::clock::unix_ms();
    let sql = "SELECT edge, incarnation, epoch_counter, epoch_random, applied, last_pong FROM edge_session \
               ORDER BY rowid";
    db.prepare_cached(sql)?
        .query_map([], |row| {
            Ok(SessionRow {
                edge: row.get(0)?,
                incarnation: row.get::<_, i64>(1)?.cast_unsigned(),
                epoch: Epoch { counter: row.get(2)?, random: row.get(3)? },
                applied: row.get(4)?,
                age: u64::try_from(now - row.get::<_, i64>(5)?).unwrap_or(0),
                own: false,
            })
        })?
        .collect()
}

pub(super) fn replace(db: &Connection, rows: &[SessionRow]) -> rusqlite::Result<Vec<SessionRow>> {
    db.execute("DELETE FROM edge_session", [])?;
    let mut insert = db.prepare_cached("INSERT INTO edge_session VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
    for row in rows {
        let (incarnation, epoch) = (row.incarnation.cast_signed(), row.epoch);
        insert.execute(params![
            row.edge,
            incarnation,
            epoch.counter,
            epoch.random,
            row.applied,
            crate::clock::unix_ms() - row.age.cast_signed()
        ])?;
    }
    Ok(rows.to_vec())
}
