//! The roll-ups of one link and day, taken out of what its domain has of that day, and then removed.

use super::super::pack::{WrittenRows, read};
use super::super::rows::{Cell, CellKey, ClickRows, MOST, Table, subject_of};
use super::super::run::{APARTS, alone, rollup};
use super::super::times::{QUARTERS, day_of, month_of};
use super::super::unfolded::unpacked_days;
use clicks::rollup::{Dimension, Rollup};
use link::{DomainId, Seq};
use std::collections::BTreeMap;
use std::ops::Range;

/// Roll-ups by the quarters of a day.
type Quarters = BTreeMap<u8, Rollup>;

/// The first of these days of which a link has a roll-up.
pub(super) async fn first_day_of_link<R: ClickRows>(
    rows: &R,
    uid: Seq,
    days: Range<i64>,
) -> Result<Option<i64>, R::Fault> {
    if days.is_empty() {
        return Ok(None);
    }
    let uid = uid.cast_signed();
    for day in unpacked_days(rows, (days.start, days.end)).await? {
        if rows.cells(Table::Recent, &keys(day, uid)).await?.iter().any(Option::is_some) {
            return Ok(Some(day));
        }
    }
    let mut next = month_of(days.start);
    while let Some([month, ..]) = rows.keys(Table::Runs, [next, i64::MIN, i64::MIN], MOST, 1).await?.pop() {
        if month > month_of(days.end - 1) {
            break;
        }
        let (from, before) = ([month, uid, days.start * QUARTERS], [month, uid, days.end * QUARTERS]);
        if let Some([.., start]) = rows.keys(Table::Runs, from, before, 1).await?.pop() {
            return Ok(Some(day_of(start)));
        }
        next = month + 1;
    }
    Ok(None)
}

fn keys(day: i64, subject: i64) -> Vec<CellKey> {
    (day * QUARTERS..(day + 1) * QUARTERS).map(|quarter| [quarter, subject, 0]).collect()
}

/// Where the runs of a subject and day are.
fn runs(day: i64, subject: i64) -> (CellKey, CellKey) {
    let month = month_of(day);
    ([month, subject, day * QUARTERS], [month, subject, (day + 1) * QUARTERS])
}

/// Everything of one link and day goes: also out of the sums of its domain. Nobody can be taken out of a sketch, so the domain's
/// visitors of the day stay.
pub(super) async fn day_of_link<R: ClickRows>(
    rows: &R,
    domain: DomainId,
    uid: Seq,
    day: i64,
) -> Result<(), R::Fault> {
    let uid = uid.cast_signed();
    let (from, before) = runs(day, uid);
    let mut own = read(rows, from, before).await?.remove(&from).unwrap_or_default();
    for (quarter, value) in (0..).zip(rows.cells(Table::Recent, &keys(day, uid)).await?) {
        if let Some(value) = value {
            own.merge(quarter, &rollup(&value)?);
        }
    }
    let whole = own.rollups;
    take_away(rows, subject_of(domain, 0), day, whole.clone()).await?;
    for (number, dimension) in (1..).zip(APARTS) {
        take_away(rows, subject_of(domain, number), day, by(&whole, dimension)).await?;
    }
    rows.remove(Table::Runs, from, before).await?;
    rows.remove(Table::Crosses, from, before).await?;
    rows.remove_keys(Table::Recent, &keys(day, uid)).await?;
    rows.remove_keys(Table::RecentVisitors, &[[day, uid, 0]]).await
}

/// The sums by one dimension.
fn by(whole: &Quarters, dimension: Dimension) -> Quarters {
    let mut sums = whole.clone();
    for rollup in sums.values_mut() {
        let mut sum = Rollup::default();
        rollup.entries().iter().for_each(|entry| sum.add_tuple(alone(entry.tuple, dimension), entry.count));
        *rollup = sum;
    }
    sums
}

/// Takes roll-ups away from those of a subject: from what is not packed yet, and then from what is.
async fn take_away<R: ClickRows>(
    rows: &R,
    subject: i64,
    day: i64,
    mut less: Quarters,
) -> Result<(), R::Fault> {
    let (mut written, mut gone) = (Vec::new(), Vec::new());
    for (key, value) in
        keys(day, subject).into_iter().zip(rows.cells(Table::Recent, &keys(day, subject)).await?)
    {
        let (Some(value), Some(less)) = (value, less.get_mut(&((key[0] - day * QUARTERS) as u8))) else {
            continue;
        };
        let mut own = rollup(&value)?;
        own.take_away(less);
        match own.is_empty() {
            true => gone.push(key),
            false => written.push(Cell { key, value: own.encode() }),
        }
    }
    rows.put(Table::Recent, &written).await?;
    rows.remove_keys(Table::Recent, &gone).await?;
    less.retain(|_, less| !less.is_empty());
    let (from, before) = runs(day, subject);
    let Some(mut series) =
        (if less.is_empty() { None } else { read(rows, from, before).await?.remove(&from) })
    else {
        return Ok(());
    };
    let length = series.step.quarters() as u8;
    for (quarter, less) in &mut less {
        if let Some(own) = series.rollups.get_mut(&(quarter - quarter % length)) {
            own.take_away(less);
        }
    }
    series.rollups.retain(|_, rollup| !rollup.is_empty());
    rows.remove(Table::Runs, from, before).await?;
    rows.remove(Table::Crosses, from, before).await?;
    let mut written = WrittenRows::default();
    written.add(from, series);
    written.put(rows).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use clicks::rollup::Tuple;

    #[test]
    fn a_sum_by_one_dimension_has_every_click_once() {
        let mut rollup = Rollup::default();
        rollup.add_tuple(Tuple([0, 1, 2, 3, 1, 5, 6]), 2);
        rollup.add_tuple(Tuple([0, 1, 9, 3, 1, 5, 6]), 3);
        let whole = Quarters::from([(7, rollup)]);
        assert_eq!(by(&whole, Dimension::Browser)[&7].clone().entries().len(), 2);
        let mut country = by(&whole, Dimension::Country)[&7].clone();
        assert_eq!((country.total(), country.entries().len()), (5, 1));
    }
}
