//! A fold as it is asked for: by one process at a time, and behind what a deletion has to do before it.

use super::delete;
use super::fold::{self, FoldDone};
use super::memory::Memory;
use super::rows::ClickRows;
use crate::port::clicks::FoldReport;

pub(crate) async fn fold<R: ClickRows>(rows: &R, memory: &Memory, now: i64) -> Result<FoldDone, R::Fault> {
    if !rows.claim(false).await? {
        return Ok(FoldDone::default());
    }
    if delete::open(rows).await? {
        // Clicks that stay would be counted into rows that go.
        let report = FoldReport { more: true, ..FoldReport::default() };
        return Ok(FoldDone { report, ..FoldDone::default() });
    }
    fold::fold(rows, memory, now).await
}
