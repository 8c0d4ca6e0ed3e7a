//! Days of much-clicked links that an earlier linkr has packed get their sums: each month is gone through once, a little at a
//! time.

use super::memory::{Memory, corrupt};
use super::pack::{WrittenRows, read};
use super::rows::{Cell, CellKey, ClickRows, LEAST, MOST, RowLength, Table};
use super::sums::{DaySums, Length, Sums, has_sums};
use super::times::{QUARTERS, day_of};
use super::varint::{self, Reader};
use crate::model::StoreFault;

/// Runs of which the lengths are looked at in one transaction: some milliseconds.
const RUNS: usize = 10_000;
/// Days with fewer bytes of runs have no sums.
const SMALL: usize = 4 << 10;
/// Bytes of runs that are read in one transaction: some dozen milliseconds.
const BYTES: usize = 512 << 10;
/// In the table that says how far months are aged, the rows of how far they are gone through have months beyond any.
const MONTHS: i64 = 1 << 20;

/// Goes through some days; `false`: all are.
pub(crate) async fn sum_up<R: ClickRows>(rows: &R, memory: &Memory) -> Result<bool, R::Fault> {
    if memory.is_summed() {
        return Ok(false);
    }
    let mut from = LEAST;
    while let Some(&[month, ..]) = rows.keys(Table::Runs, from, MOST, 1).await?.first() {
        let begin = [month, i64::MIN, i64::MIN];
        let progress = [month + MONTHS, 0, 0];
        let there = rows.cells(Table::Aged, &[progress]).await?.pop().flatten();
        if let Some(next) = there.map_or(Ok(Some(begin)), |value| next_of(month, &value))? {
            let next = some(rows, next).await?;
            rows.put(Table::Aged, &[Cell { key: progress, value: value(next) }]).await?;
            return Ok(true);
        }
        from = [month + 1, i64::MIN, i64::MIN];
    }
    memory.set_summed(); // whoever packs a day from now on adds it up
    Ok(false)
}

/// Goes through some days of a month from a key on; where to go on, or `None`: that was all.
async fn some<R: ClickRows>(rows: &R, from: CellKey) -> Result<Option<CellKey>, R::Fault> {
    let runs = rows.lengths(Table::Runs, from, [from[0] + 1, i64::MIN, i64::MIN], RUNS).await?;
    let whole = runs.len() < RUNS;
    let of_day = |run: &RowLength| [run.key[0], run.key[1], day_of(run.key[2]) * QUARTERS];
    let days: Vec<&[RowLength]> = runs.chunk_by(|one, next| of_day(one) == of_day(next)).collect();
    let mut read = 0;
    for (number, day) in days.iter().enumerate() {
        let first = of_day(&day[0]);
        if !whole && number + 1 == days.len() || read > BYTES {
            return Ok(Some(first)); // of the last day there may be more
        }
        let bytes: usize = day.iter().map(|run| run.bytes).sum();
        if has_sums(first[1]) && bytes >= SMALL && !is_summed(rows, first).await? {
            add_up(rows, first).await?;
            read += bytes;
        }
    }
    Ok(None)
}

async fn is_summed<R: ClickRows>(rows: &R, [month, subject, first]: CellKey) -> Result<bool, R::Fault> {
    let key = [month, subject, first + Length::Day.place()];
    let there = rows.cells(Table::Crosses, &[key]).await?.pop().flatten();
    Ok(there.map_or(Ok(false), |value| Ok::<_, StoreFault>(Sums::of(&value)?.is_some()))?)
}

/// Writes a day as it is written when it is packed, if it has sums then.
async fn add_up<R: ClickRows>(rows: &R, first: CellKey) -> Result<(), R::Fault> {
    let [month, subject, start] = first;
    let before = [month, subject, start + QUARTERS];
    let Some(mut day) = read(rows, first, before).await?.remove(&first) else { return Ok(()) };
    if DaySums::of(subject, &mut day).is_none() {
        return Ok(());
    }
    let mut written = WrittenRows::default();
    written.add(first, day);
    rows.remove(Table::Runs, first, before).await?;
    rows.remove(Table::Crosses, first, before).await?;
    written.put(rows).await
}

/// How far a month is: empty, if it is gone through.
fn value(next: Option<CellKey>) -> Vec<u8> {
    let mut value = Vec::new();
    for part in next.iter().flat_map(|[_, subject, start]| [subject, start]) {
        varint::put(&mut value, part.cast_unsigned());
    }
    value
}

fn next_of(month: i64, value: &[u8]) -> Result<Option<CellKey>, StoreFault> {
    if value.is_empty() {
        return Ok(None);
    }
    let mut reader = Reader(value);
    let [subject, start] = [reader.number()?, reader.number()?].map(u64::cast_signed);
    if reader.is_empty() {
        Ok(Some([month, subject, start]))
    } else {
        Err(corrupt("how far a month has sums is told by a newer linkr"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_far_a_month_is_comes_back() {
        for next in [None, Some([7, -9, 5]), Some([7, 1 << 40, i64::MIN])] {
            assert_eq!(next_of(7, &value(next)).unwrap(), next);
        }
        assert!(next_of(7, &[1]).is_err() && next_of(7, &[1, 2, 3]).is_err());
    }
}
