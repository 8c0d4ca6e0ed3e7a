//! The count itself: takes roll-ups and clicks, and gives the rows.

use super::filter::{ClickFilter, Wanted};
use super::slots::Slots;
use super::{ClickGroup, CountRow, Counts, GroupKey, MAX_GROUPS, MAX_ROWS, TallyFault, quarter_start};
use crate::Click;
use crate::batch::Total;
use crate::rollup::{Dictionary, Field, Layout, Packed, RollupFault, View, Word, each_row};
use link::Seq;
use std::collections::HashMap;

/// Sums of so many combinations of values are kept in an array while a roll-up is read: it has to fit into the nearest cache.
const MOST_CELLS_BITS: u32 = 12;

/// The slots of a row, one for each group.
type Row = [u32; MAX_GROUPS];

/// A question with what has been counted for it.
pub struct Tally {
    filter: ClickFilter,
    wanted: Vec<Wanted>,
    times: Vec<i64>,
    slots: Vec<Slots>,
    sums: HashMap<Row, u64, foldhash::fast::RandomState>,
    /// What the roll-up that is being read has, until all of it is known to be good.
    found: Vec<(Row, u64)>,
    cells: Vec<u64>,
}

impl Tally {
    /// A question. `times`: boundaries in Unix milliseconds and in rising order; what begins at the first or later, and
    /// before the last, counts. They are multiples of [`QUARTER_MS`](super::QUARTER_MS), or a roll-up counts where it begins.
    ///
    /// # Errors
    /// [`TallyFault::TooManyGroups`].
    pub fn new(filter: &ClickFilter, groups: &[ClickGroup], times: &[i64]) -> Result<Self, TallyFault> {
        let twice = groups.iter().enumerate().any(|(at, group)| groups[..at].contains(group));
        if groups.len() > MAX_GROUPS || twice {
            return Err(TallyFault::TooManyGroups);
        }
        Ok(Self {
            filter: filter.clone(),
            wanted: filter.wanted(),
            times: times.to_vec(),
            slots: groups.iter().map(|group| Slots::new(*group)).collect(),
            sums: HashMap::default(),
            found: Vec::new(),
            cells: Vec::new(),
        })
    }

    /// Counts the roll-up of a link whose span begins at `start`, in Unix milliseconds.
    ///
    /// # Errors
    /// [`TallyFault::Rollup`] if it cannot be read, and then nothing of it is counted; [`TallyFault::TooManyRows`].
    pub fn rollup(
        &mut self,
        uid: Seq,
        start: i64,
        bytes: &[u8],
        dictionary: &(impl Dictionary + ?Sized),
    ) -> Result<(), TallyFault> {
        let Some(begin) = self.interval(start) else { return Ok(()) };
        let base = self.row_of(uid, begin);
        self.found.clear();
        match View::new(bytes)?.0 {
            Layout::Rows(rows) => self.rows(rows, base, dictionary)?,
            Layout::Packed(packed) if packed.is_small() => self.packed::<u64>(&packed, base, dictionary)?,
            Layout::Packed(packed) => self.packed::<u128>(&packed, base, dictionary)?,
        }
        for (row, count) in self.found.drain(..) {
            add(&mut self.sums, row, count);
        }
        self.bounded()
    }

    /// Counts a click that no roll-up has yet. It counts where its quarter begins, so that folding it changes no answer.
    ///
    /// # Errors
    /// [`TallyFault::TooManyRows`].
    pub fn click(&mut self, click: &Click) -> Result<(), TallyFault> {
        let Some(begin) = self.interval(quarter_start(click.at)) else { return Ok(()) };
        if self.filter.admits(click) {
            let mut row = Row::default();
            for (slot, slots) in row.iter_mut().zip(&mut self.slots) {
                *slot = slots.click(click, begin);
            }
            add(&mut self.sums, row, 1);
        }
        self.bounded()
    }

    /// Counts clicks of which only the number is known. A filter for anything but kinds leaves them out.
    ///
    /// # Errors
    /// [`TallyFault::TooManyRows`].
    pub fn total(&mut self, total: &Total) -> Result<(), TallyFault> {
        let start = quarter_start(total.minute.saturating_mul(60_000));
        let Some(begin) = self.interval(start) else { return Ok(()) };
        if total.count > 0 && self.filter.admits_total(total.kind) {
            let mut row = Row::default();
            for (slot, slots) in row.iter_mut().zip(&mut self.slots) {
                *slot = slots.total(total.kind, begin);
            }
            add(&mut self.sums, row, total.count);
        }
        self.bounded()
    }

    /// The answer.
    pub fn finish(self) -> Counts {
        let keys =
            |row: Row| self.slots.iter().zip(row).map(|(slots, slot)| slots.key(slot).clone()).collect();
        let rows = self.sums.iter().map(|(row, count)| CountRow { keys: keys(*row), count: *count });
        let mut rows: Vec<CountRow> = rows.collect();
        rows.sort_unstable_by(|a, b| a.keys.cmp(&b.keys));
        Counts { rows }
    }

    /// The boundary with which the interval begins that a time lies in.
    fn interval(&self, at: i64) -> Option<i64> {
        let behind = self.times.partition_point(|time| *time <= at);
        let (begin, end) = (behind.checked_sub(1)?, self.times.get(behind));
        end.map(|_| self.times[begin])
    }

    /// What all tuples of a roll-up have in common.
    fn row_of(&mut self, uid: Seq, begin: i64) -> Row {
        let mut row = Row::default();
        for (slot, slots) in row.iter_mut().zip(&mut self.slots) {
            match slots.group {
                ClickGroup::Time => *slot = slots.slot(GroupKey::Time(begin)),
                ClickGroup::Link => *slot = slots.link(uid),
                _ => {}
            }
        }
        row
    }

    fn bounded(&self) -> Result<(), TallyFault> {
        if self.sums.len() > MAX_ROWS { Err(TallyFault::TooManyRows) } else { Ok(()) }
    }

    fn rows(
        &mut self,
        bytes: &[u8],
        base: Row,
        dictionary: &(impl Dictionary + ?Sized),
    ) -> Result<(), TallyFault> {
        let Self { wanted, slots, found, .. } = self;
        each_row(bytes, |entry| {
            if !wanted.iter_mut().all(|one| one.admits(entry.tuple.get(one.dimension), dictionary)) {
                return;
            }
            let mut row = base;
            for (slot, slots) in row.iter_mut().zip(slots.iter_mut()) {
                if let Some(dimension) = slots.group.dimension() {
                    *slot = slots.number(entry.tuple.get(dimension), dictionary);
                }
            }
            found.push((row, entry.count));
        })?;
        Ok(())
    }

    /// Looks up each value once, and then adds up by the indexes of the values.
    fn packed<W: Word>(
        &mut self,
        packed: &Packed<'_>,
        base: Row,
        dictionary: &(impl Dictionary + ?Sized),
    ) -> Result<(), TallyFault> {
        let Some(tests) = self.tests(packed, dictionary) else { return Ok(()) };
        let (parts, bits) = self.parts(packed, dictionary);
        let admitted = |word: W| tests.iter().all(|test| test.admitted[word.get(test.field) as usize]);
        let cell =
            |word: W| parts.iter().fold(0, |cell, part| cell | u64::from(word.get(part.field)) << part.shift);
        let row = |cell: u64| row(base, &parts, cell).ok_or(RollupFault::Malformed("an index"));
        if bits <= MOST_CELLS_BITS {
            self.cells.clear();
            self.cells.resize(1 << bits, 0);
            let cells = &mut self.cells[..];
            packed.scan(|word: W, count| {
                if admitted(word) {
                    let sum = &mut cells[cell(word) as usize];
                    *sum = sum.saturating_add(count);
                }
            })?;
            for (cell, count) in self.cells.iter().enumerate().filter(|(_, count)| **count > 0) {
                self.found.push((row(cell as u64)?, *count));
            }
            return Ok(());
        }
        let mut cells = HashMap::<u64, u64, foldhash::fast::RandomState>::default();
        packed.scan(|word: W, count| {
            if admitted(word) {
                let sum = cells.entry(cell(word)).or_default();
                *sum = sum.saturating_add(count);
            }
        })?;
        for (cell, count) in cells {
            self.found.push((row(cell)?, count));
        }
        Ok(())
    }

    /// What a tuple has to pass; `None`: none of this roll-up can.
    fn tests(&mut self, packed: &Packed<'_>, dictionary: &(impl Dictionary + ?Sized)) -> Option<Vec<Test>> {
        let mut tests = Vec::new();
        for wanted in &mut self.wanted {
            let (values, field) = (packed.values(wanted.dimension), packed.field(wanted.dimension));
            let mut admitted: Vec<bool> =
                values.iter().map(|value| wanted.admits(*value, dictionary)).collect();
            if !admitted.contains(&true) {
                return None;
            }
            if admitted.contains(&false) {
                admitted.resize(field.size(), false);
                tests.push(Test { field, admitted });
            }
        }
        Some(tests)
    }

    /// What the cell of a tuple is made of, and its bits.
    fn parts(&mut self, packed: &Packed<'_>, dictionary: &(impl Dictionary + ?Sized)) -> (Vec<Part>, u32) {
        let (mut parts, mut bits) = (Vec::new(), 0);
        for (place, slots) in self.slots.iter_mut().enumerate() {
            let Some(dimension) = slots.group.dimension() else { continue };
            let field = packed.field(dimension);
            let values = packed.values(dimension).iter();
            let slots = values.map(|value| slots.number(*value, dictionary)).collect();
            parts.push(Part { place, field, shift: bits, slots });
            bits += field.bits();
        }
        (parts, bits)
    }
}

/// One list of the filter, for one roll-up.
struct Test {
    field: Field,
    /// Whether the value with this index counts.
    admitted: Vec<bool>,
}

/// One group, for one roll-up.
struct Part {
    /// Which of the question's groups it is.
    place: usize,
    field: Field,
    /// Where its index stands in a cell.
    shift: u32,
    /// The slots of the values, by their indexes.
    slots: Vec<u32>,
}

/// The row of a cell; `None`: it has an index without a value.
fn row(base: Row, parts: &[Part], cell: u64) -> Option<Row> {
    let mut row = base;
    for part in parts {
        let index = (cell >> part.shift) as usize & (part.field.size() - 1);
        row[part.place] = *part.slots.get(index)?;
    }
    Some(row)
}

fn add(sums: &mut HashMap<Row, u64, foldhash::fast::RandomState>, row: Row, count: u64) {
    let sum = sums.entry(row).or_default();
    *sum = sum.saturating_add(count);
}
