//! A run: the roll-ups of some quarters of one day and one link or domain in one row, and the sketch of the day's visitors.
//! What is large has its sums by one dimension each in the row, and the whole roll-ups in a row of their own: most
//! questions name one dimension.

use super::memory::corrupt;
use super::times::{HOUR_QUARTERS, QUARTERS};
use super::varint::{self, Reader};
use crate::model::StoreFault;
use clicks::rollup::{Dimension, Rollup, Tuple};
use std::collections::BTreeMap;

/// Bytes of whole roll-ups of one run; one more quarter begins the next run.
const RUN: usize = 48 << 10;
/// From so many bytes on whole roll-ups may have a row of their own.
const APART: usize = 4 << 10;
/// They have one if their sums by one dimension each are at least so many times shorter: of a few clicks a quarter the sums are
/// longer than what they are sums of.
const WORTH_IT: usize = 3;

/// The part of time that a roll-up is of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    #[default]
    Quarter = 0,
    Hour = 1,
    Day = 2,
}

impl Step {
    /// That in the lowest bits of a flag.
    pub fn of(flags: u8) -> Option<Self> {
        [Self::Quarter, Self::Hour, Self::Day].get(usize::from(flags & 3)).copied()
    }

    /// Its length in quarters.
    pub fn quarters(self) -> i64 {
        match self {
            Self::Quarter => 1,
            Self::Hour => HOUR_QUARTERS,
            Self::Day => QUARTERS,
        }
    }
}

/// What has sums of its own, beside the kind that each of them has.
pub(crate) const APARTS: [Dimension; 6] = [
    Dimension::Country,
    Dimension::Browser,
    Dimension::Os,
    Dimension::Device,
    Dimension::Referrer,
    Dimension::Language,
];

/// What of a tuple is known where only its kind and this dimension is kept.
pub(crate) fn alone(tuple: Tuple, dimension: Dimension) -> Tuple {
    let mut only = Tuple::default();
    for kept in [Dimension::Kind, dimension] {
        only.0[kept as usize] = tuple.get(kept);
    }
    only
}

/// The roll-ups of one day, by their quarters, and its visitors.
#[derive(Default)]
pub(crate) struct DaySeries {
    pub step: Step,
    pub visitors: Option<Vec<u8>>,
    /// By the quarter of the day with which they begin.
    pub rollups: BTreeMap<u8, Rollup>,
}

/// A run as it is written.
pub(crate) struct WrittenRun {
    /// The quarter of the day with which it begins; the first run of a day begins with the day.
    pub start: u8,
    pub value: Vec<u8>,
    /// What has a row of its own.
    pub cross: Option<Vec<u8>>,
}

/// Of a run, or of sums: the sketch of the day is in it.
pub(crate) const VISITORS: u8 = 4;
const PARTS: u8 = 8;

/// Of an entry whose roll-up is one tuple, which says itself where it ends: beside the quarter of the day, as most are.
const ALONE: u8 = 0x80;
const _: () = assert!(QUARTERS <= ALONE as i64, "a quarter of a day and the flag beside it are one byte");

/// Writes an entry of a run.
pub(crate) fn put_entry(value: &mut Vec<u8>, quarter: u8, rollup: &[u8]) {
    if Rollup::alone(rollup) == Some(rollup.len()) {
        value.push(quarter | ALONE);
        value.extend_from_slice(rollup);
    } else {
        value.push(quarter);
        varint::put_bytes(value, rollup);
    }
}

/// A quarter of the day and what is kept of it, as it is read.
pub(crate) type EntryRead<'a> = Result<(u8, &'a [u8]), StoreFault>;

fn entry<'a>(reader: &mut Reader<'a>) -> EntryRead<'a> {
    let quarter = reader.byte()?;
    if quarter & ALONE == 0 {
        return Ok((quarter, reader.bytes()?));
    }
    let length = Rollup::alone(reader.0).ok_or_else(|| corrupt("a run has a click that is none"))?;
    Ok((quarter & !ALONE, reader.take(length)?))
}

impl DaySeries {
    /// Adds what a run and its row apart, if it has one, hold.
    pub fn add(&mut self, run: &Run<'_>, cross: Option<&Run<'_>>) -> Result<(), StoreFault> {
        self.step = self.step.max(run.step);
        if let Some(visitors) = run.visitors {
            self.visitors = Some(visitors.to_vec());
        }
        let whole = match (run.in_parts, cross) {
            (false, _) => run,
            (true, Some(cross)) => cross,
            (true, None) => return Err(corrupt("a run lacks its whole roll-ups")),
        };
        for entry in whole.entries() {
            let (quarter, bytes) = entry?;
            self.merge(quarter, &rollup(bytes)?);
        }
        Ok(())
    }

    /// Adds a roll-up to that of a quarter of the day.
    pub fn merge(&mut self, quarter: u8, more: &Rollup) {
        self.rollups.entry(quarter).or_default().merge(more);
    }

    /// Keeps parts of time of this length.
    pub fn age(&mut self, step: Step) {
        self.step = self.step.max(step);
        let length = self.step.quarters() as u8;
        for (quarter, rollup) in std::mem::take(&mut self.rollups) {
            self.merge(quarter - quarter % length, &rollup);
        }
    }

    #[cfg(test)]
    fn clicks(&self) -> u64 {
        self.rollups.values().map(Rollup::total).sum()
    }

    /// As runs. A day without clicks has none. `parts`: sums by one dimension each are worth their room.
    pub fn write(mut self, parts: bool) -> Vec<WrittenRun> {
        let rollups = std::mem::take(&mut self.rollups);
        let (mut written, mut run, mut size) = (Vec::new(), Vec::new(), 0);
        for (quarter, mut rollup) in rollups {
            let bytes = rollup.encode();
            if !run.is_empty() && size + bytes.len() > RUN {
                written.push(self.run(std::mem::take(&mut run), written.is_empty(), parts));
                size = 0;
            }
            size += bytes.len();
            run.push(RunEntry { quarter, rollup, bytes });
        }
        if !run.is_empty() {
            written.push(self.run(run, written.is_empty(), parts));
        }
        written
    }

    fn run(&self, mut entries: Vec<RunEntry>, first: bool, parts: bool) -> WrittenRun {
        let start = entries.first().filter(|_| !first).map_or(0, |entry| entry.quarter);
        let visitors = self.visitors.as_ref().filter(|_| first);
        let size = entries.iter().map(|entry| entry.bytes.len()).sum::<usize>();
        let sums = if parts && size > APART { sums_of(&mut entries, size / WORTH_IT) } else { None };
        let mut value = vec![
            self.step as u8
                | if visitors.is_some() { VISITORS } else { 0 }
                | if sums.is_some() { PARTS } else { 0 },
        ];
        if let Some(visitors) = visitors {
            varint::put_bytes(&mut value, visitors);
        }
        let whole = |value: &mut Vec<u8>| {
            for entry in &entries {
                put_entry(value, entry.quarter, &entry.bytes);
            }
        };
        let Some(sums) = sums else {
            whole(&mut value);
            return WrittenRun { start, value, cross: None };
        };
        let mut cross = vec![self.step as u8];
        whole(&mut cross);
        value.extend_from_slice(&sums);
        WrittenRun { start, value, cross: Some(cross) }
    }
}

struct RunEntry {
    quarter: u8,
    rollup: Rollup,
    bytes: Vec<u8>,
}

/// The sums of all entries as a run has them, unless they are longer than that.
fn sums_of(entries: &mut [RunEntry], most: usize) -> Option<Vec<u8>> {
    let mut value = Vec::new();
    for entry in entries {
        value.push(entry.quarter);
        varint::put_bytes(&mut value, &sums(&mut entry.rollup));
        if value.len() > most {
            return None;
        }
    }
    Some(value)
}

/// The sums of a roll-up by each dimension alone.
fn sums(rollup: &mut Rollup) -> Vec<u8> {
    let mut bytes = Vec::new();
    for dimension in APARTS {
        let mut part = Rollup::default();
        for entry in rollup.entries() {
            part.add_tuple(alone(entry.tuple, dimension), entry.count);
        }
        varint::put_bytes(&mut bytes, &part.encode());
    }
    bytes
}

/// A run as it is read.
pub(crate) struct Run<'a> {
    pub step: Step,
    pub visitors: Option<&'a [u8]>,
    /// Each entry has the sums by one dimension each, and no whole roll-up.
    pub in_parts: bool,
    entries: Reader<'a>,
}

impl<'a> Run<'a> {
    pub fn of(value: &'a [u8]) -> Result<Self, StoreFault> {
        let mut reader = Reader(value);
        let flags = reader.byte()?;
        let step =
            Step::of(flags).filter(|_| flags < 16).ok_or_else(|| corrupt("a run is of a newer linkr"))?;
        let visitors = if flags & VISITORS == 0 { None } else { Some(reader.bytes()?) };
        Ok(Self { step, visitors, in_parts: flags & PARTS != 0, entries: reader })
    }

    /// Quarters of the day and what is kept of them.
    pub fn entries(&self) -> impl Iterator<Item = EntryRead<'a>> + use<'a> {
        entries(self.entries)
    }
}

/// Quarters of the day and what is kept of them.
pub(crate) fn entries<'a>(mut reader: Reader<'a>) -> impl Iterator<Item = EntryRead<'a>> + use<'a> {
    std::iter::from_fn(move || {
        (!reader.is_empty()).then(|| {
            let entry = entry(&mut reader);
            if entry.is_err() {
                reader = Reader(&[]);
            }
            entry
        })
    })
}

/// The sums by one dimension of an entry in parts. Those by any have the kind.
pub(crate) fn part(entry: &[u8], dimension: Dimension) -> Result<&[u8], StoreFault> {
    let mut reader = Reader(entry);
    for _ in APARTS.iter().take_while(|apart| **apart != dimension && dimension != Dimension::Kind) {
        reader.bytes()?;
    }
    reader.bytes()
}

/// A roll-up that this program or an earlier one wrote.
pub(crate) fn rollup(bytes: &[u8]) -> Result<Rollup, StoreFault> {
    Rollup::decode(bytes).map_err(|fault| corrupt(&fault.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each another one below 6,300, of few values in each dimension.
    fn tuple(number: u32) -> Tuple {
        let mut tuple = Tuple::default();
        tuple.0[Dimension::Browser as usize] = number % 7;
        tuple.0[Dimension::Os as usize] = number / 7 % 30;
        tuple.0[Dimension::Referrer as usize] = number / 210;
        tuple
    }

    fn day(quarters: std::ops::Range<u8>, tuples: u32) -> DaySeries {
        let mut day = DaySeries { visitors: Some(b"sketch".to_vec()), ..DaySeries::default() };
        for quarter in quarters {
            let mut rollup = Rollup::default();
            (0..tuples).for_each(|at| rollup.add_tuple(tuple(at), u64::from(at) + 1));
            day.merge(quarter, &rollup);
        }
        day
    }

    fn read(written: &[WrittenRun]) -> DaySeries {
        let mut day = DaySeries::default();
        for written in written {
            let cross = written.cross.as_deref().map(|cross| Run::of(cross).unwrap());
            day.add(&Run::of(&written.value).unwrap(), cross.as_ref()).unwrap();
        }
        day
    }

    #[test]
    fn a_day_comes_back_from_one_run_and_from_many() {
        for (tuples, many) in [(3, false), (6_000, true)] {
            let (clicks, written) = (day(5..30, tuples).clicks(), day(5..30, tuples).write(true));
            assert_eq!(written.len() > 1, many);
            assert_eq!(written[0].cross.is_some(), many);
            assert_eq!(written[0].start, 0);
            let back = read(&written);
            assert_eq!((back.clicks(), back.visitors.as_deref()), (clicks, Some(&b"sketch"[..])));
            assert_eq!(back.rollups.len(), 25);
        }
        assert!(DaySeries::default().write(true).is_empty());
        assert!(day(0..2, 6_000).write(false).iter().all(|run| run.cross.is_none()));
    }

    #[test]
    fn sums_that_are_longer_than_what_they_are_of_are_not_kept() {
        let written = day(0..96, 16).write(true);
        assert!(written[0].cross.is_none() && written[0].value.len() > APART, "{}", written[0].value.len());
        assert_eq!(read(&written).clicks(), 96 * 136);
    }

    #[test]
    fn the_sums_by_one_dimension_are_those_of_the_whole() {
        let written = day(0..2, 6_000).write(true);
        let run = Run::of(&written[0].value).unwrap();
        assert!(run.in_parts);
        let (_, entry) = run.entries().next().unwrap().unwrap();
        let by_browser = rollup(part(entry, Dimension::Browser).unwrap()).unwrap().entries().len();
        assert_eq!(by_browser, 7);
        for dimension in Dimension::ALL {
            let part = rollup(part(entry, dimension).unwrap()).unwrap();
            assert_eq!(part.total(), 6_000 * 6_001 / 2, "{dimension:?}");
        }
    }

    #[test]
    fn an_aged_day_has_the_same_clicks_in_longer_parts_of_time() {
        let mut day = day(5..30, 3);
        let clicks = day.clicks();
        day.age(Step::Hour);
        assert_eq!(day.rollups.keys().copied().collect::<Vec<_>>(), [4, 8, 12, 16, 20, 24, 28]);
        day.age(Step::Day);
        let back = read(&day.write(true));
        assert_eq!((back.rollups.len(), back.clicks(), back.step), (1, clicks, Step::Day));
    }

    #[test]
    fn a_run_that_is_cut_or_of_a_newer_linkr_is_told() {
        let written = day(0..2, 3).write(true);
        let cut = Run::of(&written[0].value[..written[0].value.len() - 1]).unwrap();
        assert!(DaySeries::default().add(&cut, None).is_err());
        assert!(Run::of(&[16]).is_err() && Run::of(&[3]).is_err() && Run::of(&[]).is_err());
    }
}
