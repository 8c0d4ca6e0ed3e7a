//! Ages what is packed: after 90 days quarters of an hour become hours, after two years days. A month at a time, a little of it
//! at once.

use super::pack::{WrittenRows, read, series};
use super::rows::{Cell, CellKey, ClickRows, LEAST, MOST, Table};
use super::run::Step;
use super::times::{DAY, first_day};
use super::varint::{self, Reader};
use crate::model::StoreFault;

/// Days for which quarters of an hour are kept.
pub(crate) const QUARTERS_KEPT: i64 = 90;
/// Days for which hours are kept.
const HOURS_KEPT: i64 = 730;
/// Rows that are aged at once: some milliseconds.
const ROWS: usize = 500;

/// How far a month is aged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Aged {
    /// All of it is in such parts of time.
    done: Step,
    /// Those up to this subject are in the next ones.
    behind: Option<i64>,
}

/// Ages some rows; `false`: there are none to be aged.
pub(crate) async fn age<R: ClickRows>(rows: &R, now: i64) -> Result<bool, R::Fault> {
    let mut from = LEAST;
    while let Some(&[month, ..]) = rows.keys(Table::Runs, from, MOST, 1).await?.first() {
        let ended = first_day(month + 1);
        let due = match now.div_euclid(DAY) - ended {
            HOURS_KEPT.. => Step::Day,
            QUARTERS_KEPT.. => Step::Hour,
            _ => return Ok(false), // those behind it are younger
        };
        let aged = rows.cells(Table::Aged, &[[month, 0, 0]]).await?.pop().flatten();
        let aged = aged.map_or(Ok(Aged { done: Step::Quarter, behind: None }), |value| Aged::of(&value))?;
        if aged.done < due {
            let aged = some(rows, month, aged, due).await?;
            rows.put(Table::Aged, &[Cell { key: [month, 0, 0], value: aged.value() }]).await?;
            return Ok(true);
        }
        from = [month + 1, i64::MIN, i64::MIN];
    }
    Ok(false)
}

async fn some<R: ClickRows>(rows: &R, month: i64, aged: Aged, due: Step) -> Result<Aged, R::Fault> {
    let from = [month, aged.behind.map_or(i64::MIN, |behind| behind + 1), i64::MIN];
    let mut cells = rows.range(Table::Runs, from, [month + 1, i64::MIN, i64::MIN], ROWS).await?;
    let Some(&[_, last, _]) = cells.last().map(|cell| &cell.key) else {
        return Ok(Aged { done: due, behind: None });
    };
    let whole = cells.len() < ROWS;
    let one = cells.iter().all(|cell| cell.key[1] == last);
    let (days, behind) = if !whole && one {
        (read(rows, subject(month, last), subject(month, last + 1)).await?, last)
    } else {
        if !whole {
            cells.retain(|cell| cell.key[1] != last); // of it there may be more
        }
        let behind = cells.last().map_or(last, |cell| cell.key[1]);
        (series(rows, &cells).await?, behind)
    };
    let mut written = WrittenRows::default();
    for (key, mut day) in days {
        let [month, subject, first] = key;
        let before = [month, subject, first + super::times::QUARTERS];
        rows.remove(Table::Runs, key, before).await?;
        rows.remove(Table::Crosses, key, before).await?;
        day.age(due);
        written.add(key, day);
    }
    written.put(rows).await?;
    Ok(Aged { done: aged.done, behind: Some(behind) })
}

fn subject(month: i64, subject: i64) -> CellKey {
    [month, subject, i64::MIN]
}

impl Aged {
    fn value(self) -> Vec<u8> {
        let mut value = vec![self.done as u8];
        if let Some(behind) = self.behind {
            varint::put(&mut value, behind.cast_unsigned());
        }
        value
    }

    fn of(value: &[u8]) -> Result<Self, StoreFault> {
        let mut reader = Reader(value);
        let done = match reader.byte()? {
            0 => Step::Quarter,
            1 => Step::Hour,
            2 => Step::Day,
            _ => return Err(super::memory::corrupt("a month is aged by a newer linkr")),
        };
        let behind = if reader.is_empty() { None } else { Some(reader.number()?.cast_signed()) };
        Ok(Self { done, behind })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_far_a_month_is_aged_comes_back() {
        for behind in [None, Some(-1), Some(0), Some(i64::MIN), Some(1_000_000)] {
            let aged = Aged { done: Step::Hour, behind };
            assert_eq!(Aged::of(&aged.value()).unwrap(), aged);
        }
        assert!(Aged::of(&[3]).is_err() && Aged::of(&[]).is_err());
    }
}
