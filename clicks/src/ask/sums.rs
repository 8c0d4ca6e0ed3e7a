//! The sums of an answer by the slots of its rows, and which rows of many are shown. No text is compared here but where counts
//! are the same.

use super::slots::Slots;
use super::{ClickGroup, MAX_GROUPS};
use std::cmp::{Ordering, Reverse};
use std::collections::HashMap;

/// The slots of a row, one for each group.
pub type Row = [u32; MAX_GROUPS];

type Map = HashMap<Row, u64, foldhash::fast::RandomState>;

/// The sums by rows. What is counted comes with many rows behind one another that differ in one slot alone: those are added up in
/// an array, and stand in the map once.
#[derive(Default)]
pub struct Sums {
    rows: Map,
    /// Which slot it is; `None`: no dimension is told apart, or several.
    varied: Option<usize>,
    /// The row of the array, with 0 where it is varied.
    base: Row,
    /// By that slot.
    cells: Vec<u64>,
    /// Which of the cells are above 0.
    met: Vec<u32>,
}

impl Sums {
    pub fn new(groups: &[ClickGroup]) -> Self {
        let mut varied = groups.iter().enumerate().filter(|(_, group)| group.dimension().is_some());
        let varied = match (varied.next(), varied.next()) {
            (Some((place, _)), None) => Some(place),
            _ => None,
        };
        Self { varied, ..Self::default() }
    }

    /// Adds clicks of a row; none are nothing.
    #[inline]
    pub fn add(&mut self, mut row: Row, count: u64) {
        if count == 0 {
            return;
        }
        let Some(place) = self.varied else { return put(&mut self.rows, row, count) };
        let slot = std::mem::take(&mut row[place]);
        self.open(row);
        self.add_cell(slot, count);
    }

    /// Adds clicks of rows that differ in the varied slot alone: so many for each of these slots. `None`: there are some for none.
    pub fn add_cells(&mut self, base: Row, slots: &[u32], counts: &[u64]) -> Option<()> {
        let (counts, beyond) = counts.split_at(counts.len().min(slots.len()));
        if beyond.iter().any(|count| *count > 0) {
            return None;
        }
        self.open(base);
        for (slot, count) in slots.iter().zip(counts).filter(|(_, count)| **count > 0) {
            self.add_cell(*slot, *count);
        }
        Some(())
    }

    /// Has the array be that of a row with 0 where it is varied.
    #[inline]
    fn open(&mut self, base: Row) {
        if base != self.base {
            self.settle();
            self.base = base;
        }
    }

    #[inline]
    fn add_cell(&mut self, slot: u32, count: u64) {
        if slot as usize >= self.cells.len() {
            self.cells.resize((slot as usize + 1).next_power_of_two(), 0);
        }
        let cell = &mut self.cells[slot as usize];
        if *cell == 0 {
            self.met.push(slot);
        }
        *cell = cell.saturating_add(count);
    }

    /// Whether there are more rows than that.
    pub fn are_beyond(&mut self, most: usize) -> bool {
        if self.rows.len() + self.met.len() <= most {
            return false;
        }
        self.settle();
        self.rows.len() > most
    }

    /// Brings the array into the map.
    fn settle(&mut self) {
        let Some(place) = self.varied else { return };
        for slot in self.met.drain(..) {
            let mut row = self.base;
            row[place] = slot;
            put(&mut self.rows, row, std::mem::take(&mut self.cells[slot as usize]));
        }
    }

    /// All rows, in no order.
    pub fn into_rows(mut self) -> Vec<CountedRow> {
        self.settle();
        self.rows.into_iter().map(|(row, count)| CountedRow { row, count }).collect()
    }
}

fn put(rows: &mut Map, row: Row, count: u64) {
    let sum = rows.entry(row).or_default();
    *sum = sum.saturating_add(count);
}

/// A row and its clicks.
#[derive(Clone, Copy)]
pub struct CountedRow {
    pub row: Row,
    pub count: u64,
}

/// The highest count first; of the same count in the order of their keys.
fn order(slots: &[Slots], one: &CountedRow, other: &CountedRow) -> Ordering {
    let keys = |row: &Row| slots.iter().zip(*row).map(|(slots, slot)| slots.key(slot));
    Reverse(one.count).cmp(&Reverse(other.count)).then_with(|| keys(&one.row).cmp(keys(&other.row)))
}

/// The rows of the `most` lines with the highest counts, in order, and whether there are other lines. All rows that differ in their
/// time alone are one line.
pub fn highest(slots: &[Slots], mut rows: Vec<CountedRow>, most: usize) -> (Vec<CountedRow>, bool) {
    let more = match slots.iter().position(|slots| slots.group == ClickGroup::Time) {
        None => cut(slots, &mut rows, most),
        Some(time) => cut_lines(slots, time, &mut rows, most),
    };
    rows.sort_unstable_by(|one, other| order(slots, one, other));
    (rows, more)
}

/// Keeps the `most` highest rows; whether others went.
fn cut(slots: &[Slots], rows: &mut Vec<CountedRow>, most: usize) -> bool {
    if rows.len() <= most {
        return false;
    }
    if most > 0 {
        rows.select_nth_unstable_by(most - 1, |one, other| order(slots, one, other));
    }
    rows.truncate(most);
    true
}

/// Keeps the rows of the `most` highest lines; whether others went.
fn cut_lines(slots: &[Slots], time: usize, rows: &mut Vec<CountedRow>, most: usize) -> bool {
    if rows.len() <= most {
        return false;
    }
    let line = |counted: &CountedRow| {
        let mut line = counted.row;
        line[time] = 0;
        line
    };
    let mut sums = Map::default();
    rows.iter().for_each(|counted| put(&mut sums, line(counted), counted.count));
    let mut lines: Vec<CountedRow> = sums.drain().map(|(row, count)| CountedRow { row, count }).collect();
    let more = cut(slots, &mut lines, most);
    if more {
        sums.extend(lines.iter().map(|kept| (kept.row, kept.count)));
        rows.retain(|counted| sums.contains_key(&line(counted)));
    }
    more
}
