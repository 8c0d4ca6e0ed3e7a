//! What is not where it will be: batches that are not folded yet, and days that are not packed yet.

use super::memory::Memory;
use super::rows::{ClickRows, InboxHead, Table};
use super::times::{DAY, QUARTERS, day_of};
use clicks::batch::Batch;
use std::sync::Arc;

/// Batches that one question reads. What is behind them it leaves out, and says so.
const WAITING: usize = 100_000;
/// Batches that are read at once where all are.
const PART: usize = 4_096;
/// No click is later: the year 2200.
pub(crate) const LATEST: i64 = 230 * 366 * DAY;

/// Batches that are not folded yet.
pub(crate) struct Tail {
    pub batches: Vec<(InboxHead, Arc<Batch>)>,
    /// The earliest moment of anything in the batches behind these, where there are more than are read.
    pub left_out: Option<i64>,
}

/// The batches that are not folded yet.
pub(crate) async fn tail<R: ClickRows>(rows: &R, memory: &Memory) -> Result<Tail, R::Fault> {
    let heads = rows.inbox(0, WAITING).await?;
    memory.forget_tail(heads.first());
    let left_out = match heads.last().filter(|_| heads.len() == WAITING) {
        Some(last) => rows.inbox_since(last.number + 1).await?,
        None => None,
    };
    let batches = memory.batches(rows, &heads).await?;
    Ok(Tail { batches: heads.into_iter().zip(batches).collect(), left_out })
}

/// Gives each of the batches that are not folded yet to `take`, however many there are, until it has enough: then it says `false`.
pub(crate) async fn each<R: ClickRows>(
    rows: &R,
    memory: &Memory,
    mut take: impl FnMut(&InboxHead, &Batch) -> bool,
) -> Result<(), R::Fault> {
    let mut from = 0;
    loop {
        let heads = rows.inbox(from, PART).await?;
        let batches = memory.batches(rows, &heads).await?;
        if !heads.iter().zip(&batches).all(|(head, batch)| take(head, batch)) {
            return Ok(());
        }
        match heads.last() {
            Some(last) if heads.len() == PART => from = last.number + 1,
            _ => return Ok(()),
        }
    }
}

/// The days of which something is not packed yet.
pub(crate) async fn unpacked_days<R: ClickRows>(
    rows: &R,
    (from, before): (i64, i64),
) -> Result<Vec<i64>, R::Fault> {
    let (mut days, mut next) = (Vec::new(), from * QUARTERS);
    let end = [before * QUARTERS, i64::MIN, 0];
    while let Some(&[quarter, ..]) = rows.keys(Table::Recent, [next, i64::MIN, 0], end, 1).await?.first() {
        days.push(day_of(quarter));
        next = (day_of(quarter) + 1) * QUARTERS;
    }
    Ok(days)
}
