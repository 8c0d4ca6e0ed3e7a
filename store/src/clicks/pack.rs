//! Packs the roll-ups of a day once it is over: many rows in the order of time become a few in the order of links, so that
//! what is asked of one link lies together. Late clicks are folded like others, and packed into what is there.

use super::fold::sketch;
use super::lists::{self, ListPart, list};
use super::rows::{Cell, CellKey, ClickRows, DOMAIN_SUBJECTS, LEAST, MOST, Table, merge};
use super::run::{DaySeries, Run, rollup};
use super::sums::{DaySums, SumsRow};
use super::times::{DAY, HOUR, QUARTERS, WEEK_DAYS, day_of, month_of};
use clicks::Kind;
use std::collections::BTreeMap;

/// How long after its end a day is packed: most edges have sent theirs by then.
const LATE: i64 = 2 * HOUR;
/// Links of a quarter that are packed at once: some 10,000 rows in all.
const LINKS: usize = 256;
/// Subjects of domains that are: they may be large.
const OF_A_DOMAIN: usize = DOMAIN_SUBJECTS as usize;
/// Lists that are read at once.
const LISTS: usize = 1_024;

/// Packs some of the oldest day that is over; `false`: there is none.
pub(crate) async fn pack<R: ClickRows>(rows: &R, now: i64) -> Result<bool, R::Fault> {
    let first = rows.keys(Table::Recent, LEAST, MOST, 1).await?;
    let Some(&[quarter, subject, _]) = first.first() else { return Ok(false) };
    let day = day_of(quarter);
    if (day + 1) * DAY + LATE > now {
        return Ok(false);
    }
    let most = if subject < 0 { OF_A_DOMAIN } else { LINKS };
    let chunk = chunk(rows, day, most).await?;
    let mut days: BTreeMap<i64, DaySeries> = BTreeMap::new();
    for cell in &chunk.cells {
        let [quarter, subject, _] = cell.key;
        days.entry(subject).or_default().merge((quarter - day * QUARTERS) as u8, &rollup(&cell.value)?);
    }
    let (from, to) =
        ([day, i64::MIN, 0], chunk.last.map_or([day + 1, i64::MIN, 0], |last| [day, last + 1, 0]));
    for cell in rows.range(Table::RecentVisitors, from, to, usize::MAX).await? {
        days.entry(cell.key[1]).or_default().visitors = Some(cell.value);
    }
    write(rows, day, days).await?;
    for quarter in day * QUARTERS..(day + 1) * QUARTERS {
        let before = chunk.last.map_or([quarter + 1, i64::MIN, 0], |last| [quarter, last + 1, 0]);
        rows.remove(Table::Recent, [quarter, i64::MIN, 0], before).await?;
    }
    rows.remove(Table::RecentVisitors, from, to).await?;
    // The last chunk may have exactly as many rows as are read at once.
    let (from, before) = ([day * QUARTERS, i64::MIN, 0], [(day + 1) * QUARTERS, i64::MIN, 0]);
    if rows.keys(Table::Recent, from, before, 1).await?.is_empty() {
        lists_of_day(rows, day).await?;
    }
    Ok(true)
}

/// What is packed at once.
struct Chunk {
    cells: Vec<Cell>,
    /// The last subject of which everything is among them; `None`: all of the day is.
    last: Option<i64>,
}

async fn chunk<R: ClickRows>(rows: &R, day: i64, most: usize) -> Result<Chunk, R::Fault> {
    let (mut cells, mut last) = (Vec::new(), None);
    for quarter in day * QUARTERS..(day + 1) * QUARTERS {
        let (from, before) = ([quarter, i64::MIN, 0], [quarter + 1, i64::MIN, 0]);
        let some = rows.range(Table::Recent, from, before, most).await?;
        if let Some(ends) = some.last().map(|cell| cell.key[1]).filter(|_| some.len() == most) {
            last = Some(last.map_or(ends, |last: i64| last.min(ends)));
        }
        cells.extend(some);
    }
    cells.retain(|cell| last.is_none_or(|last| cell.key[1] <= last));
    Ok(Chunk { cells, last })
}

/// Writes days of one date, each with what is there of it already.
async fn write<R: ClickRows>(rows: &R, day: i64, days: BTreeMap<i64, DaySeries>) -> Result<(), R::Fault> {
    let month = month_of(day);
    rows.ready_month(month).await?;
    let firsts: Vec<CellKey> = days.keys().map(|&subject| [month, subject, day * QUARTERS]).collect();
    let there = rows.cells(Table::Runs, &firsts).await?;
    let mut written = WrittenRows::default();
    for ((subject, mut series), there) in days.into_iter().zip(there) {
        if there.is_some() {
            let fresh = series.visitors.take();
            let (from, before) = ([month, subject, day * QUARTERS], [month, subject, (day + 1) * QUARTERS]);
            let kept = read(rows, from, before).await?;
            for one in kept.into_values() {
                series.step = series.step.max(one.step);
                one.rollups.iter().for_each(|(quarter, rollup)| series.merge(*quarter, rollup));
                series.visitors = one.visitors;
            }
            if let Some(fresh) = fresh {
                let mut all = sketch(&fresh)?;
                if let Some(kept) = &series.visitors {
                    all.merge(&sketch(kept)?);
                }
                series.visitors = Some(all.encode());
            }
            series.age(series.step);
            rows.remove(Table::Runs, from, before).await?;
            rows.remove(Table::Crosses, from, before).await?;
        }
        written.add([month, subject, day * QUARTERS], series);
    }
    written.put(rows).await
}

/// Rows of runs that are to be written.
#[derive(Default)]
pub(crate) struct WrittenRows {
    runs: Vec<Cell>,
    crosses: Vec<Cell>,
}

impl WrittenRows {
    /// A day, whose key has its first quarter.
    pub fn add(&mut self, [month, subject, first]: CellKey, mut day: DaySeries) {
        let sums = DaySums::of(subject, &mut day);
        let runs = day.write(subject > 0 && sums.is_none());
        let whole = runs.iter().map(|run| run.value.len()).sum();
        let sums = sums.map_or_else(Vec::new, |sums| sums.rows(whole));
        let row = |row: SumsRow| Cell { key: [month, subject, first + row.place], value: row.value };
        self.crosses.extend(sums.into_iter().map(row));
        for run in runs {
            let key = [month, subject, first + i64::from(run.start)];
            self.runs.push(Cell { key, value: run.value });
            self.crosses.extend(run.cross.map(|value| Cell { key, value }));
        }
    }

    pub async fn put<R: ClickRows>(&self, rows: &R) -> Result<(), R::Fault> {
        rows.put(Table::Runs, &self.runs).await?;
        rows.put(Table::Crosses, &self.crosses).await
    }
}

/// The whole days of these runs, by month, subject and first quarter.
pub(crate) async fn read<R: ClickRows>(
    rows: &R,
    from: CellKey,
    before: CellKey,
) -> Result<BTreeMap<CellKey, DaySeries>, R::Fault> {
    let cells = rows.range(Table::Runs, from, before, usize::MAX).await?;
    series(rows, &cells).await
}

/// The same of rows that were read. Days that they have a part of have to be whole among them.
pub(crate) async fn series<R: ClickRows>(
    rows: &R,
    cells: &[Cell],
) -> Result<BTreeMap<CellKey, DaySeries>, R::Fault> {
    let runs = cells.iter().map(|cell| Run::of(&cell.value)).collect::<Result<Vec<_>, _>>()?;
    let apart: Vec<CellKey> =
        cells.iter().zip(&runs).filter(|(_, run)| run.in_parts).map(|(cell, _)| cell.key).collect();
    let mut crosses = rows.cells(Table::Crosses, &apart).await?.into_iter();
    let mut days: BTreeMap<CellKey, DaySeries> = BTreeMap::new();
    for (cell, run) in cells.iter().zip(&runs) {
        let [month, subject, start] = cell.key;
        let cross = if run.in_parts { crosses.next().flatten() } else { None };
        let cross = cross.as_deref().map(Run::of).transpose()?;
        let day = days.entry([month, subject, day_of(start) * QUARTERS]).or_default();
        day.add(run, cross.as_ref())?;
    }
    Ok(days)
}

/// Adds up the lists of a day from those of its hours, as long as there are any, and those of its week.
async fn lists_of_day<R: ClickRows>(rows: &R, day: i64) -> Result<(), R::Fault> {
    let hours = DAY / HOUR;
    let week = day.div_euclid(WEEK_DAYS);
    for kind in Kind::ALL.into_iter().filter(|kind| !kind.is_total()) {
        add_up(rows, kind, (ListPart::Hour, day * hours, hours), (ListPart::Day, day)).await?;
    }
    lists_of_week(rows, week).await
}

/// Adds up the lists of a week from those of its days.
pub(crate) async fn lists_of_week<R: ClickRows>(rows: &R, week: i64) -> Result<(), R::Fault> {
    for kind in Kind::ALL.into_iter().filter(|kind| !kind.is_total()) {
        add_up(rows, kind, (ListPart::Day, week * WEEK_DAYS, WEEK_DAYS), (ListPart::Week, week)).await?;
    }
    Ok(())
}

/// The lists of so many parts of time together, for each domain.
pub(crate) async fn add_up<R: ClickRows>(
    rows: &R,
    kind: Kind,
    (part, first, count): (ListPart, i64, i64),
    (whole, period): (ListPart, i64),
) -> Result<(), R::Fault> {
    let mut sums: BTreeMap<i64, Vec<lists::ListEntry>> = BTreeMap::new();
    let number = list(part, kind);
    let (mut from, before) = ([number, first, i64::MIN], [number, first + count, i64::MIN]);
    loop {
        let cells = rows.range(Table::Lists, from, before, LISTS).await?;
        for cell in &cells {
            let sum = sums.entry(cell.key[2]).or_default();
            *sum = lists::merge(sum, &lists::decode(&cell.value)?);
        }
        match cells.last() {
            Some(last) if cells.len() == LISTS => from = [last.key[0], last.key[1], last.key[2] + 1],
            _ => break,
        }
    }
    let keys = sums.keys().map(|&domain| [list(whole, kind), period, domain]).collect();
    merge(rows, Table::Lists, keys, |key, _| Ok(lists::encode(&sums[&key[2]]))).await
}
