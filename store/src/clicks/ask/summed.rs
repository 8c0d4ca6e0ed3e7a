//! What of a question is read out of the sums of days: parts of time that no boundary of it divides. The rest is read quarter by
//! quarter from runs, so that an answer is the same with sums and without.

use super::super::fold::sketch;
use super::super::rows::{CellKey, ClickRows, Table};
use super::super::sums::{Length, Sums};
use super::super::times::{QUARTER, QUARTERS, day_of};
use super::{Counting, Part, fault};
use crate::model::StoreFault;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// Of a day that has sums, what is still to be read for each part that is counted.
#[derive(Clone, Debug, Default)]
pub(super) struct Rest(Vec<Quarters>);

/// Quarters of a day, a bit for each.
type Quarters = u128;

/// So many quarters from one on.
fn span(from: i64, count: i64) -> Quarters {
    ((1 << count) - 1) << from
}

impl Rest {
    /// Whether a quarter of the day is to be read for the part with this number.
    pub fn has(&self, part: usize, quarter: u8) -> bool {
        self.0.get(part).is_some_and(|quarters| quarters >> quarter & 1 == 1)
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(|quarters| *quarters == 0)
    }
}

/// Days that have sums.
#[derive(Default)]
pub(super) struct SummedDays(BTreeMap<i64, Rest>);

impl SummedDays {
    /// What is left of a day; `None`: it has no sums, and is read whole.
    pub fn rest(&self, day: i64) -> Option<&Rest> {
        self.0.get(&day)
    }

    /// The quarters of which runs are read, of those from the day of the first on and before the last.
    pub fn gaps(&self, (from, before): (i64, i64)) -> Vec<Range<i64>> {
        let (mut gaps, mut next) = (Vec::new(), day_of(from) * QUARTERS);
        for day in self.0.iter().filter(|(_, rest)| rest.is_empty()).map(|(day, _)| *day) {
            gaps.push(next..day * QUARTERS);
            next = (day + 1) * QUARTERS;
        }
        gaps.push(next..before);
        gaps.retain(|gap| !gap.is_empty());
        gaps
    }
}

/// Counts what sums say of a subject and month.
pub(super) async fn read<R: ClickRows>(
    rows: &R,
    (month, subject): (i64, i64),
    (from, before): (i64, i64),
    visited: bool,
    count: &mut Counting,
) -> Result<SummedDays, R::Fault> {
    let mut days = SummedDays::default();
    if !count.reads(true) {
        return Ok(days);
    }
    let first = [month, subject, day_of(from) * QUARTERS];
    let end = [month, subject, (day_of(before - 1) + 1) * QUARTERS];
    let there: BTreeSet<CellKey> =
        rows.keys(Table::Crosses, first, end, usize::MAX).await?.into_iter().collect();
    for length in Length::ALL {
        let is_due = |[.., start]: &CellKey| {
            let rest = days.rest(day_of(*start));
            let is_left = match length {
                Length::Day => true,
                _ => rest.is_some_and(|rest| count.is_left(rest)),
            };
            start.rem_euclid(QUARTERS) == length.place() && is_left
        };
        let due: Vec<CellKey> = there.iter().filter(|key| is_due(key)).copied().collect();
        for (key, value) in due.iter().zip(rows.cells(Table::Crosses, &due).await?) {
            let Some(value) = value else { continue };
            let Some(sums) = Sums::of(&value)? else { continue }; // a cross of an earlier linkr
            let day = day_of(key[2]);
            if length == Length::Day {
                let asked = span(0, QUARTERS)
                    & span((from - day * QUARTERS).max(0), QUARTERS)
                    & span(0, (before - day * QUARTERS).min(QUARTERS));
                days.0.insert(day, Rest(vec![asked; count.active.len()]));
                count.step = count.step.max(sums.step);
                if let Some(bytes) = sums.visitors.filter(|_| visited) {
                    count.visit(day, &sketch(bytes)?);
                }
            }
            let Some(rest) = days.0.get_mut(&day) else { continue };
            count.add_sums(subject, day, (length, &sums), rest)?;
        }
    }
    Ok(days)
}

impl Counting {
    /// Whether anything is left that may be in sums.
    fn is_left(&self, rest: &Rest) -> bool {
        let parts = self.parts[self.active.clone()].iter().zip(&rest.0);
        parts.into_iter().any(|(own, quarters)| own.only.is_some() && *quarters != 0)
    }

    /// Counts the parts of a day that no boundary divides, and takes them from the rest.
    fn add_sums(
        &mut self,
        subject: i64,
        day: i64,
        (length, sums): (Length, &Sums<'_>),
        rest: &mut Rest,
    ) -> Result<(), StoreFault> {
        let uid = u64::try_from(subject).unwrap_or_default(); // a domain's own have no link
        let begins = |quarter: i64| (day * QUARTERS + quarter) * QUARTER;
        for (own, left) in self.parts[self.active.clone()].iter_mut().zip(&mut rest.0) {
            let Some(entries) = own.only.map_or(Ok(None), |only| sums.by(only))? else { continue };
            let mut whole: Quarters = 0;
            for quarter in (0..QUARTERS).step_by(length.quarters() as usize) {
                let part = span(quarter, length.quarters());
                let is_one = || own.is_undivided(begins(quarter), begins(quarter + length.quarters()));
                if *left & part == part && is_one() {
                    whole |= part;
                }
            }
            for entry in entries {
                let (quarter, bytes) = entry?;
                if whole >> quarter & 1 == 1 {
                    let start = begins(quarter.into());
                    own.tally.rollup(uid, start, bytes, &*self.texts).map_err(|e| fault(&e))?;
                }
            }
            *left &= !whole;
        }
        Ok(())
    }
}

impl Part {
    /// Whether no boundary lies between two moments: everything from the first on and before the second counts alike.
    fn is_undivided(&self, from: i64, before: i64) -> bool {
        self.times.partition_point(|time| *time <= from) == self.times.partition_point(|time| *time < before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_read_of_days_that_sums_do_not_cover() {
        let (day, one) = (|day: i64| day * QUARTERS, |only: Range<i64>| vec![only]);
        let rest = |quarters| Rest(vec![quarters, 0]);
        let days = SummedDays([(3, rest(0)), (4, rest(0)), (6, rest(1 << 95)), (8, rest(0))].into());
        assert_eq!(days.gaps((day(2) + 5, day(9))), [day(2)..day(3), day(5)..day(8)]);
        assert_eq!(days.gaps((day(3) + 5, day(8) + 1)), one(day(5)..day(8)));
        assert_eq!(SummedDays::default().gaps((day(3) + 5, day(4) + 1)), one(day(3)..day(4) + 1));
        let rest = rest(0b101);
        assert_eq!([0, 1, 2].map(|quarter| rest.has(0, quarter)), [true, false, true]);
        assert!(!rest.has(1, 0) && !rest.has(2, 0) && span(0, 96).count_ones() == 96);
    }

    #[test]
    fn a_part_of_time_is_undivided_if_no_boundary_is_inside_it() {
        let part = |times: &[i64]| Part::new(&clicks::ask::ClickFilter::default(), &[], times);
        let asked = part(&[10, 20, 30]);
        for (from, before, is_one) in
            [(10, 20, true), (10, 21, false), (9, 11, false), (0, 10, true), (30, 99, true), (12, 18, true)]
        {
            assert_eq!(asked.is_undivided(from, before), is_one, "{from} {before}");
        }
    }
}
