//! Blocks of hosts, which are in no log. What becomes of a write of one is decided by `journal`.

use super::audit::{NOTE, NoteParams};
use super::connection::{BEGIN, COMMIT, Db, Params, TryFault, number};
use super::hosts::text;
use super::read::{LIVE, get};
use super::{history, position, write};
use crate::answers;
use crate::notes::Note;
use crate::raw as rows;
use journal::blocks::{BlockHoldings, BlockItem, BlockRow, BlockState, BlockVerdict, decide};
use link::{Position, TargetHost};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

const COLUMNS: &str = "host, state, round, note, disabled, create_time, principal, request_id";
/// Unfinished blocks that are read at once.
const AT_ONCE: i64 = 16;

pub(super) async fn after(db: &Db<'_>, after: &str, most: usize) -> Result<Vec<BlockRow>, TryFault> {
    let (after, most) = (after.as_bytes(), most as i64);
    let sql = format!("SELECT {COLUMNS} FROM blocked_targets WHERE host > $1 ORDER BY host LIMIT $2");
    blocks(&db.rows(&sql, &[(&after, Type::BYTEA), (&most, Type::INT8)]).await?)
}

pub(super) async fn one(db: &Db<'_>, host: &TargetHost) -> Result<Option<BlockRow>, TryFault> {
    let sql = format!("SELECT {COLUMNS} FROM blocked_targets WHERE host = $1");
    let found = db.rows(&sql, &[(&host.turned().as_bytes(), Type::BYTEA)]).await?;
    Ok(blocks(&found)?.pop())
}

pub(super) async fn unfinished(db: &Db<'_>) -> Result<Vec<BlockRow>, TryFault> {
    let done = BlockState::Done as i16;
    let sql = format!("SELECT {COLUMNS} FROM blocked_targets WHERE state <> $1 ORDER BY host LIMIT $2");
    blocks(&db.rows(&sql, &[(&done, Type::INT2), (&AT_ONCE, Type::INT8)]).await?)
}

fn blocks(found: &[Row]) -> Result<Vec<BlockRow>, TryFault> {
    let block = |row: &Row| {
        let block = rows::BlockColumns {
            host: text(row, 0)?,
            state: get::<i16>(row, 1)? as u8,
            round: number(row, 2)?,
            note: text(row, 3)?,
            disabled: get(row, 4)?,
            create_time: get(row, 5)?,
            principal: get(row, 6)?,
            request_id: get(row, 7)?,
        };
        Ok(block.parse()?)
    };
    found.iter().map(block).collect()
}

/// What is decided twice, since a try was committed and nobody heard of it, comes to the same: only the round is another.
pub(super) async fn commit(db: &Db<'_>, item: &BlockItem, now: i64) -> Result<BlockVerdict, TryFault> {
    let known = db.all().known().last();
    let seq = known.map_or(0, |known: Position| known.seq.cast_signed());
    db.run(BEGIN).await?;
    db.rows("SELECT FROM log_head FOR UPDATE", &[]).await?;
    let after =
        format!("SELECT epoch_counter, epoch_random, head, tag, {} FROM log_head", position::tag_of("$1"));
    let head = db.rows(&after, &[(&seq, Type::INT8)]).await?;
    let start = history::check(db, known, position::first(&head)?).await?;
    let found = find(db, item, now).await?;
    let verdict = decide(item, &found, now);
    match &verdict {
        BlockVerdict::Written(row) => put(db, row).await?,
        BlockVerdict::Ended => {
            let host = item.host.turned().as_bytes();
            db.rows("DELETE FROM blocked_targets WHERE host = $1", &[(&host, Type::BYTEA)]).await?;
        }
        _ => {}
    }
    if let (Some(by), BlockVerdict::Written(row)) = (item.intent.by(), &verdict) {
        let note = Note::block(by, found.row.as_ref(), row);
        db.rows(NOTE, &NoteParams::new(&note, now).params()).await?;
    }
    if let (Some(retry), BlockVerdict::Written(row) | BlockVerdict::Same(row)) = (&item.retry, &verdict) {
        let answered = (retry.clone(), answers::block(row));
        write::remember(db, &[(&answered, start.seq)], now).await?;
    }
    db.run(COMMIT).await?;
    Ok(verdict)
}

async fn find(db: &Db<'_>, item: &BlockItem, now: i64) -> Result<BlockHoldings, TryFault> {
    let row = one(db, &item.host).await?;
    let sql = format!("SELECT EXISTS (SELECT FROM links WHERE blocked_by = $1 AND {LIVE})");
    let kept = db.rows(&sql, &[(&item.host.turned().as_bytes(), Type::BYTEA)]).await?;
    let keeps = kept.first().map_or(Ok(false), |row| get(row, 0))?;
    let retries: Vec<_> = item.retry.iter().collect();
    let answer = write::answers(db, &retries, now).await?.into_values().next();
    Ok(BlockHoldings { row, keeps, answer })
}

/// All but how many links it keeps disabled, which is written with these.
async fn put(db: &Db<'_>, row: &BlockRow) -> Result<(), TryFault> {
    let sql = "INSERT INTO blocked_targets (host, state, round, note, disabled, create_time, principal, request_id) \
               VALUES ($1, $2, $3, $4, 0, $5, $6, $7) ON CONFLICT (host) DO UPDATE SET state = EXCLUDED.state, \
               round = EXCLUDED.round, note = EXCLUDED.note, principal = EXCLUDED.principal, \
               request_id = EXCLUDED.request_id";
    let params: Params<'_> = &[
        (&row.host.turned().as_bytes(), Type::BYTEA),
        (&(row.state as i16), Type::INT2),
        (&row.round.cast_signed(), Type::INT8),
        (&row.note.as_bytes(), Type::BYTEA),
        (&row.create_time, Type::INT8),
        (&&*row.principal, Type::TEXT),
        (&&*row.request_id, Type::TEXT),
    ];
    db.rows(sql, params).await.map(drop)
}
