//! Lists of four weeks: sums of those of weeks, made when nobody waits. A question about months reads a quarter of the entries.
//!
//! Each has a mark for as long as it is that sum. Triggers in the database take it away when a list of one of its weeks is written or
//! removed (late clicks, deletions, new classes, a control of an earlier version): without it the list is not read, and is made again.

use super::lists::{self, ListPart, list, mark};
use super::pack::add_up;
use super::rows::{Cell, ClickRows, Table};
use super::times::FOUR_WEEKS;
use clicks::Kind;
use std::collections::BTreeSet;
use std::ops::Range;

/// Makes the first list of a kind that has no mark and whose time is over, for all domains; `false`: each has one.
pub(crate) async fn make<R: ClickRows>(rows: &R, now: i64) -> Result<bool, R::Fault> {
    let over = now.div_euclid(ListPart::FourWeeks.length());
    let Some(first) = lists::first(rows, ListPart::Week).await? else { return Ok(false) };
    for kind in Kind::ALL.into_iter().filter(|kind| !kind.is_total()) {
        let periods = first.div_euclid(FOUR_WEEKS)..over;
        let made = made(rows, kind, periods.clone()).await?;
        if let Some(period) = periods.into_iter().find(|period| !made.contains(period)) {
            let number = list(ListPart::FourWeeks, kind);
            rows.remove(Table::Lists, [number, period, i64::MIN], [number, period + 1, i64::MIN]).await?;
            let weeks = (ListPart::Week, period * FOUR_WEEKS, FOUR_WEEKS);
            add_up(rows, kind, weeks, (ListPart::FourWeeks, period)).await?;
            rows.put(Table::Lists, &[Cell { key: [mark(kind), period, 0], value: Vec::new() }]).await?;
            return Ok(true);
        }
    }
    Ok(false)
}

/// Of these periods, those of which the lists of a kind are sums of their weeks.
pub(crate) async fn made<R: ClickRows>(
    rows: &R,
    kind: Kind,
    periods: Range<i64>,
) -> Result<BTreeSet<i64>, R::Fault> {
    let (from, before) = ([mark(kind), periods.start, i64::MIN], [mark(kind), periods.end, i64::MIN]);
    let marks = rows.keys(Table::Lists, from, before, usize::MAX).await?;
    Ok(marks.into_iter().map(|[_, period, _]| period).collect())
}
