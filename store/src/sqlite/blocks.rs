//! Blocks of hosts, which are in no log. What becomes of a write of one is decided by `journal`.

use super::{audit, fault, read, write};
use crate::answers;
use crate::model::StoreFault;
use crate::notes::Note;
use crate::raw;
use journal::blocks::{BlockHoldings, BlockItem, BlockRow, BlockState, BlockVerdict, decide};
use link::TargetHost;
use rusqlite::{Connection, Params, Row, params};

const COLUMNS: &str = "host, state, round, note, disabled, create_time, principal, request_id";
/// Unfinished blocks that are read at once.
const AT_ONCE: usize = 16;

pub(super) fn after(db: &Connection, after: &str, most: usize) -> Result<Vec<BlockRow>, StoreFault> {
    rows(db, "WHERE host > ?1 ORDER BY host LIMIT ?2", params![after, most as i64])
}

pub(super) fn one(db: &Connection, host: &TargetHost) -> Result<Option<BlockRow>, StoreFault> {
    Ok(rows(db, "WHERE host = ?1", [host.turned()])?.pop())
}

pub(super) fn unfinished(db: &Connection) -> Result<Vec<BlockRow>, StoreFault> {
    rows(db, "WHERE state <> ?1 ORDER BY host LIMIT ?2", params![BlockState::Done as u8, AT_ONCE as i64])
}

fn rows(db: &Connection, which: &str, given: impl Params) -> Result<Vec<BlockRow>, StoreFault> {
    let read = || {
        let mut statement = db.prepare_cached(&format!("SELECT {COLUMNS} FROM blocked_targets {which}"))?;
        statement.query_map(given, columns)?.collect::<rusqlite::Result<Vec<_>>>()
    };
    read().map_err(|e| fault(&e))?.into_iter().map(raw::BlockColumns::parse).collect()
}

fn columns(row: &Row<'_>) -> rusqlite::Result<raw::BlockColumns> {
    Ok(raw::BlockColumns {
        host: row.get(0)?,
        state: row.get(1)?,
        round: row.get(2)?,
        note: row.get(3)?,
        disabled: row.get(4)?,
        create_time: row.get(5)?,
        principal: row.get(6)?,
        request_id: row.get(7)?,
    })
}

pub(super) fn commit(db: &Connection, item: &BlockItem, now: i64) -> Result<BlockVerdict, StoreFault> {
    let seq = read::head(db)?.seq;
    let row = one(db, &item.host)?;
    let read = || {
        let keeps = db
            .prepare_cached(
                "SELECT 1 FROM links INDEXED BY links_blocked_by WHERE blocked_by = ?1 AND delete_time IS NULL",
            )?
            .exists([item.host.turned()])?;
        let answer = item.retry.as_ref().map(|retry| write::answer(db, retry, now)).transpose()?.flatten();
        Ok((keeps, answer))
    };
    let (keeps, answer) = read().map_err(|e| fault(&e))?;
    let found = BlockHoldings { row, keeps, answer };
    let verdict = decide(item, &found, now);
    let store = || {
        match &verdict {
            BlockVerdict::Written(row) => put(db, row)?,
            BlockVerdict::Ended => {
                db.execute("DELETE FROM blocked_targets WHERE host = ?1", [item.host.turned()])?;
            }
            _ => {}
        }
        if let (Some(by), BlockVerdict::Written(row)) = (item.intent.by(), &verdict) {
            audit::note(db, &Note::block(by, found.row.as_ref(), row), now)?;
        }
        if let (Some(retry), BlockVerdict::Written(row) | BlockVerdict::Same(row)) = (&item.retry, &verdict) {
            write::put_answer(db, retry, &answers::block(row), seq, now)?;
        }
        Ok(())
    };
    store().map_err(|e: rusqlite::Error| fault(&e))?;
    Ok(verdict)
}

/// All but how many links it keeps disabled, which is written with these.
fn put(db: &Connection, row: &BlockRow) -> rusqlite::Result<()> {
    db.execute(
        "INSERT INTO blocked_targets (host, state, round, note, disabled, create_time, principal, request_id) \
         VALUES (?1, ?2, ?3, ?4, 0, ?5, ?6, ?7) \
         ON CONFLICT (host) DO UPDATE SET state = excluded.state, round = excluded.round, note = excluded.note, \
         principal = excluded.principal, request_id = excluded.request_id",
        params![
            row.host.turned(),
            row.state as u8,
            row.round,
            row.note,
            row.create_time,
            &*row.principal,
            &*row.request_id
        ],
    )
    .map(drop)
}
