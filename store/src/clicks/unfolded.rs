//! What is not where it will be: batches that are not folded yet, and days that are not packed yet.

use super::memory::Memory;
use super::rows::{ClickRows, InboxHead, Table};
use super::times::{DAY, QUARTERS, day_of};
use clicks::batch::Batch;
use std::sync::Arc;

/// Batches that may wait to be folded: more than an hour of those that are acknowledged at most.
const WAITING: usize = 100_000;
/// No click is later: the year 2200.
pub(crate) const LATEST: i64 = 230 * 366 * DAY;

/// The batches that are not folded yet.
pub(crate) async fn tail<R: ClickRows>(
    rows: &R,
    memory: &Memory,
) -> Result<Vec<(InboxHead, Arc<Batch>)>, R::Fault> {
    let heads = rows.inbox(WAITING).await?;
    let batches = memory.batches(rows, &heads).await?;
    Ok(heads.into_iter().zip(batches).collect())
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
