//! The sums of a day of a much-clicked link, or of a domain, by one dimension each: of the whole day, of its hours and of its
//! quarters. They are written with the runs that they are sums of, and only there, so they never say anything else than those.
//!
//! A row for each length of time, in the table of crosses at one of the last quarters of the day ([`Length::place`]): whoever
//! writes or removes a day removes its crosses up to the next day, an earlier linkr too, which reads none of these rows.
//!
//! ```text
//! u8       64 + the step of the day + 4, if there is a sketch
//! bytes    the sketch of the day's visitors: in the row of the whole day only
//! u8       the dimensions that it has, a bit for each
//! bytes    of each of them: the entries of a run, one for each part of time of this length with clicks
//! ```

use super::memory::corrupt;
use super::rows::DOMAIN_SUBJECTS;
use super::run::{APARTS, DaySeries, EntryRead, Step, VISITORS, alone, entries, put_entry};
use super::times::{HOUR_QUARTERS, QUARTERS};
use super::varint::{self, Reader};
use crate::model::StoreFault;
use clicks::rollup::{Dimension, MAX_WHOLE, Rollup};
use std::collections::BTreeMap;

/// Tuples in the roll-ups of a day from which on it has sums: fewer are read in some hundredths of a millisecond.
const SUMMED: usize = 4_096;
/// The sums of each length take at most this part of the room that the runs of the day take.
const WORTH_IT: usize = 4;
/// What the first byte of a row has beside the step. A cross, which may lie at the same place, begins with its step alone.
const SUMS: u8 = 64;

/// The length of the parts of time that are added up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    Day,
    Hour,
    Quarter,
}

impl Length {
    /// The longest first.
    pub const ALL: [Self; 3] = [Self::Day, Self::Hour, Self::Quarter];

    pub fn quarters(self) -> i64 {
        match self {
            Self::Day => QUARTERS,
            Self::Hour => HOUR_QUARTERS,
            Self::Quarter => 1,
        }
    }

    /// The quarter of the day at which the row lies.
    pub fn place(self) -> i64 {
        match self {
            Self::Day => QUARTERS - 1,
            Self::Hour => QUARTERS - 2,
            Self::Quarter => QUARTERS - 3,
        }
    }
}

/// By which dimensions a subject is added up. A domain's whole roll-ups have subjects with its sums beside them.
fn dimensions(subject: i64) -> &'static [Dimension] {
    if subject > 0 {
        return &APARTS;
    }
    match (-1 - subject).rem_euclid(DOMAIN_SUBJECTS) as usize {
        0 => &[],
        number => APARTS.get(number - 1..number).unwrap_or_default(),
    }
}

/// The sums of a day before it is known how much room its runs take.
#[derive(Default)]
pub(crate) struct DaySums {
    step: Step,
    visitors: Option<Vec<u8>>,
    all: Vec<LengthSums>,
}

/// Those of one length and dimension.
struct LengthSums {
    length: Length,
    dimension: Dimension,
    entries: Vec<u8>,
}

/// A row as it is written.
pub(crate) struct SumsRow {
    /// The quarter of the day at which it lies.
    pub place: i64,
    pub value: Vec<u8>,
}

impl DaySums {
    /// Those of a day of a subject; `None`: it is read as quickly without.
    pub fn of(subject: i64, day: &mut DaySeries) -> Option<Self> {
        let dimensions = dimensions(subject);
        let tuples: usize = day.rollups.values_mut().map(|rollup| rollup.entries().len()).sum();
        if dimensions.is_empty() || tuples < SUMMED {
            return None;
        }
        let mut sums = Self { step: day.step, visitors: day.visitors.clone(), all: Vec::new() };
        for &dimension in dimensions {
            sums.add(dimension, day);
        }
        Some(sums)
    }

    fn add(&mut self, dimension: Dimension, day: &mut DaySeries) {
        let mut parts: BTreeMap<u8, Rollup> = BTreeMap::new();
        for (quarter, rollup) in &mut day.rollups {
            let sum = parts.entry(*quarter).or_default();
            for entry in rollup.entries() {
                sum.add_tuple(alone(entry.tuple, dimension), entry.count);
            }
        }
        for length in Length::ALL.into_iter().rev() {
            if length.quarters() < self.step.quarters() {
                continue;
            }
            let quarters = length.quarters() as u8;
            for (quarter, sum) in std::mem::take(&mut parts) {
                parts.entry(quarter - quarter % quarters).or_default().merge(&sum);
            }
            // Of more, those with the fewest clicks would lose what they are told apart by.
            if parts.values_mut().any(|sum| sum.entries().len() >= MAX_WHOLE) {
                return;
            }
            let mut entries = Vec::new();
            for (quarter, sum) in &mut parts {
                put_entry(&mut entries, *quarter, &sum.encode());
            }
            self.all.push(LengthSums { length, dimension, entries });
        }
    }

    /// The rows of a day whose runs take so many bytes; none, if no sum is worth its room.
    pub fn rows(&self, whole: usize) -> Vec<SumsRow> {
        let worth: Vec<Vec<&LengthSums>> =
            Length::ALL.iter().map(|length| self.worth(*length, whole / WORTH_IT)).collect();
        if worth.iter().all(Vec::is_empty) {
            return Vec::new();
        }
        let rows = Length::ALL.iter().zip(worth);
        let rows = rows.filter(|(length, sums)| **length == Length::Day || !sums.is_empty());
        rows.map(|(length, sums)| SumsRow { place: length.place(), value: self.value(*length, &sums) })
            .collect()
    }

    /// Those of a length that have room, the shortest ones first: in the order of their dimensions.
    fn worth(&self, length: Length, mut room: usize) -> Vec<&LengthSums> {
        let mut sums: Vec<&LengthSums> = self.all.iter().filter(|sums| sums.length == length).collect();
        sums.sort_by_key(|sums| sums.entries.len());
        sums.retain(|sums| match room.checked_sub(sums.entries.len()) {
            Some(left) => {
                room = left;
                true
            }
            None => false,
        });
        sums.sort_by_key(|sums| sums.dimension);
        sums
    }

    fn value(&self, length: Length, sums: &[&LengthSums]) -> Vec<u8> {
        let visitors = self.visitors.as_ref().filter(|_| length == Length::Day);
        let mut value = vec![SUMS | self.step as u8 | if visitors.is_some() { VISITORS } else { 0 }];
        if let Some(visitors) = visitors {
            varint::put_bytes(&mut value, visitors);
        }
        value.push(sums.iter().fold(0, |bits, sums| bits | bit(sums.dimension)));
        sums.iter().for_each(|sums| varint::put_bytes(&mut value, &sums.entries));
        value
    }
}

fn bit(dimension: Dimension) -> u8 {
    1 << dimension as usize
}

/// A row as it is read.
pub(crate) struct Sums<'a> {
    pub step: Step,
    pub visitors: Option<&'a [u8]>,
    dimensions: u8,
    all: Reader<'a>,
}

impl<'a> Sums<'a> {
    /// `None`: it is a cross.
    pub fn of(value: &'a [u8]) -> Result<Option<Self>, StoreFault> {
        let mut reader = Reader(value);
        let first = reader.byte()?;
        if first & SUMS == 0 {
            return Ok(None);
        }
        let step = Step::of(first).filter(|_| first & !(SUMS | VISITORS | 3) == 0);
        let step = step.ok_or_else(|| corrupt("sums of a day are of a newer linkr"))?;
        let visitors = if first & VISITORS == 0 { None } else { Some(reader.bytes()?) };
        Ok(Some(Self { step, visitors, dimensions: reader.byte()?, all: reader }))
    }

    /// The quarters with which parts of time begin, and the sums by this dimension of each; `None`: there are none by it.
    pub fn by(
        &self,
        dimension: Dimension,
    ) -> Result<Option<impl Iterator<Item = EntryRead<'a>> + use<'a>>, StoreFault> {
        if self.dimensions & bit(dimension) == 0 {
            return Ok(None);
        }
        let mut all = self.all;
        for _ in 0..(self.dimensions & (bit(dimension) - 1)).count_ones() {
            all.bytes()?;
        }
        Ok(Some(entries(Reader(all.bytes()?))))
    }
}

#[cfg(test)]
mod tests {
    use super::super::rows::subject_of;
    use super::super::run::rollup;
    use super::*;
    use clicks::rollup::Tuple;

    /// Six quarters of two hours, each with so many different clicks of 40 countries and any number of referrers.
    fn day(tuples: u32) -> DaySeries {
        let mut day = DaySeries { visitors: Some(b"sketch".to_vec()), ..DaySeries::default() };
        for quarter in [4, 5, 6, 8, 9, 95] {
            let mut rollup = Rollup::default();
            for number in 0..tuples {
                let mut tuple = Tuple::default();
                tuple.0[Dimension::Country as usize] = 1 + number % 40;
                tuple.0[Dimension::Referrer as usize] = number;
                rollup.add_tuple(tuple, u64::from(quarter) + 1);
            }
            day.merge(quarter, &rollup);
        }
        day
    }

    fn rows(subject: i64, day: &mut DaySeries) -> Vec<SumsRow> {
        let sums = DaySums::of(subject, day);
        let whole = std::mem::take(day).write(false).iter().map(|run| run.value.len()).sum();
        sums.map_or_else(Vec::new, |sums| sums.rows(whole))
    }

    fn counts(row: &SumsRow, dimension: Dimension) -> Option<Vec<(u8, u64)>> {
        let sums = Sums::of(&row.value).unwrap().unwrap();
        let by = sums.by(dimension).unwrap()?;
        Some(by.map(|entry| entry.map(|(at, bytes)| (at, rollup(bytes).unwrap().total())).unwrap()).collect())
    }

    #[test]
    fn a_day_has_sums_of_each_length_by_what_has_few_values() {
        let rows = rows(5, &mut day(2_000));
        assert_eq!(rows.iter().map(|row| row.place).collect::<Vec<_>>(), [95, 94, 93]);
        let of = |at: usize| counts(&rows[at], Dimension::Country).unwrap();
        let count = |quarters: u64| 2_000 * quarters;
        assert_eq!(of(0), [(0, count(5 + 6 + 7 + 9 + 10 + 96))]);
        assert_eq!(of(1), [(4, count(18)), (8, count(19)), (92, count(96))]);
        let by_quarter = [(4, 5), (5, 6), (6, 7), (8, 9), (9, 10), (95, 96)];
        assert_eq!(of(2), by_quarter.map(|(at, clicks)| (at, count(clicks))));
        // As many as there are clicks take as much room as the clicks.
        assert_eq!(counts(&rows[2], Dimension::Referrer), None);
        assert_eq!(counts(&rows[0], Dimension::Device).unwrap(), of(0));
        let first = Sums::of(&rows[0].value).unwrap().unwrap();
        assert_eq!((first.visitors, first.step), (Some(&b"sketch"[..]), Step::Quarter));
        assert_eq!(Sums::of(&rows[1].value).unwrap().unwrap().visitors, None);
    }

    #[test]
    fn an_aged_day_has_sums_of_no_shorter_parts_of_time() {
        for (step, places) in [(Step::Hour, &[95, 94][..]), (Step::Day, &[95])] {
            let mut day = day(6_000);
            day.age(step);
            let rows = rows(5, &mut day);
            assert_eq!(rows.iter().map(|row| row.place).collect::<Vec<_>>(), places, "{step:?}");
            assert_eq!(Sums::of(&rows[0].value).unwrap().unwrap().step, step);
        }
    }

    #[test]
    fn a_small_day_and_the_whole_of_a_domain_have_none() {
        assert!(rows(5, &mut day(600)).is_empty());
        let domain = link::DomainId(7);
        assert!(rows(subject_of(domain, 0), &mut day(2_000)).is_empty());
        let by_country = rows(subject_of(domain, 1), &mut day(2_000));
        assert_eq!(APARTS[0], Dimension::Country);
        assert!(counts(&by_country[0], Dimension::Country).is_some());
        assert_eq!(counts(&by_country[0], Dimension::Device), None);
    }

    /// A roll-up of more tuples keeps only what many of its clicks have.
    #[test]
    fn sums_by_more_values_than_a_roll_up_tells_apart_are_not_kept() {
        let mut day = DaySeries::default();
        for quarter in 0..5 {
            let mut rollup = Rollup::default();
            for number in 0..20_000 {
                let mut tuple = Tuple::default();
                tuple.0[Dimension::Referrer as usize] = u32::from(quarter) * 20_000 + number;
                rollup.add_tuple(tuple, 1);
            }
            day.merge(quarter, &rollup);
        }
        let sums = DaySums::of(5, &mut day).unwrap();
        let of =
            |length| sums.worth(length, usize::MAX).iter().any(|own| own.dimension == Dimension::Referrer);
        assert_eq!(Length::ALL.map(of), [false, false, true]);
    }

    #[test]
    fn a_cross_and_what_a_newer_linkr_wrote_are_told_apart() {
        assert!(Sums::of(&[2]).unwrap().is_none());
        assert!(Sums::of(&[64 | 3, 0]).is_err() && Sums::of(&[64 | 8, 0]).is_err() && Sums::of(&[]).is_err());
    }
}
