//! One way in which the clicks of a question are told apart, and their sums so far.

use super::slots::Slots;
use super::sums::{Row, Sums, highest};
use super::{ClickGroup, CountRow, Counts, GroupKey, MAX_GROUPS, TallyFault};
use crate::Click;
use crate::batch::Total;
use crate::rollup::{Dictionary, Entry, Field, Packed, RollupFault, Word};
use link::Seq;
use std::collections::HashMap;

/// Sums of so many combinations of values are kept in an array while a roll-up is read: most arrays are much smaller, and this one
/// still fits into the nearest cache.
const MOST_CELLS_BITS: u32 = 12;

/// The groups of an answer.
pub struct Grouping {
    slots: Vec<Slots>,
    sums: Sums,
    /// Lines that are answered.
    most: usize,
    /// The slots that all tuples of the roll-up have, which is being read.
    base: Row,
    /// The groups in it. Their lists are allocated once.
    parts: Vec<GroupPart>,
    /// The bits of a cell.
    bits: u32,
    /// Sums of its cells, where they have few bits.
    cells: Vec<u64>,
    /// Sums of its cells, where they have more.
    wide: HashMap<u64, u64, foldhash::fast::RandomState>,
}

impl Grouping {
    pub fn new(groups: &[ClickGroup], most: usize) -> Result<Self, TallyFault> {
        let twice = groups.iter().enumerate().any(|(at, group)| groups[..at].contains(group));
        if groups.len() > MAX_GROUPS || twice {
            return Err(TallyFault::TooManyGroups);
        }
        let places = groups.iter().enumerate().filter(|(_, group)| group.dimension().is_some());
        Ok(Self {
            parts: places.map(|(place, _)| GroupPart { place, ..GroupPart::default() }).collect(),
            slots: groups.iter().map(|group| Slots::new(*group)).collect(),
            sums: Sums::new(groups),
            most,
            base: Row::default(),
            bits: 0,
            cells: Vec::new(),
            wide: HashMap::default(),
        })
    }

    /// A roll-up of a link follows whose interval begins at `begin`.
    pub fn begin(&mut self, uid: Seq, begin: i64) {
        for (slot, slots) in self.base.iter_mut().zip(&mut self.slots) {
            match slots.group {
                ClickGroup::Time => *slot = slots.slot(GroupKey::Time(begin)),
                ClickGroup::Link => *slot = slots.link(uid),
                _ => {}
            }
        }
    }

    /// Adds a click of the interval that begins at `begin`.
    pub fn click(&mut self, click: &Click, begin: i64) {
        let mut row = Row::default();
        for (slot, slots) in row.iter_mut().zip(&mut self.slots) {
            *slot = slots.click(click, begin);
        }
        self.sums.add(row, 1);
    }

    /// Adds clicks of which only the number is known.
    pub fn total(&mut self, total: &Total, begin: i64) {
        let mut row = Row::default();
        for (slot, slots) in row.iter_mut().zip(&mut self.slots) {
            *slot = slots.total(total.kind, begin);
        }
        self.sums.add(row, total.count);
    }

    /// Adds a tuple of the roll-up that was [begun](Self::begin).
    pub fn entry(&mut self, entry: &Entry, dictionary: &(impl Dictionary + ?Sized)) {
        let mut row = self.base;
        for (slot, slots) in row.iter_mut().zip(&mut self.slots) {
            if let Some(dimension) = slots.group.dimension() {
                *slot = slots.number(entry.tuple.get(dimension), dictionary);
            }
        }
        self.sums.add(row, entry.count);
    }

    /// Makes ready for the words of a part of that roll-up.
    pub fn open(
        &mut self,
        packed: &Packed<'_>,
        dictionary: &(impl Dictionary + ?Sized),
    ) -> Result<(), RollupFault> {
        self.bits = 0;
        for part in &mut self.parts {
            let slots = &mut self.slots[part.place];
            let Some(dimension) = slots.group.dimension() else { continue };
            part.field = packed.field(dimension);
            part.shift = self.bits;
            part.slots.clear();
            part.slots.extend(packed.values(dimension).iter().map(|value| slots.number(*value, dictionary)));
            self.bits += part.field.bits();
        }
        if self.bits > u64::BITS {
            return Err(RollupFault::Malformed("width of a tuple"));
        }
        self.cells.clear();
        if self.is_narrow() {
            self.cells.resize(1 << self.bits, 0);
        }
        Ok(())
    }

    fn is_narrow(&self) -> bool {
        self.bits <= MOST_CELLS_BITS
    }

    /// The cells themselves, and the field of their index, where a cell is what one field says, or there is one cell.
    pub fn single(&mut self) -> Option<(&mut [u64], Field)> {
        match &self.parts[..] {
            [] => Some((&mut self.cells, Field::default())),
            [part] if self.bits <= MOST_CELLS_BITS => Some((&mut self.cells, part.field)),
            _ => None,
        }
    }

    /// Adds clicks of a tuple.
    #[inline]
    pub fn add<W: Word>(&mut self, word: W, count: u64) {
        let field = |part: &GroupPart| u64::from(word.get(part.field)) << part.shift;
        let cell = self.parts.iter().fold(0, |cell, part| cell | field(part));
        let sum = match self.cells.get_mut(cell as usize) {
            Some(sum) => sum,
            None => self.wide.entry(cell).or_default(),
        };
        *sum = sum.saturating_add(count);
    }

    /// The part was read: its sums by cells become those of rows.
    pub fn close(&mut self) -> Result<(), RollupFault> {
        let Self { sums, base, parts, cells, wide, .. } = self;
        if let [part] = &parts[..]
            && wide.is_empty()
        {
            return sums.add_cells(*base, &part.slots, cells).ok_or(RollupFault::Malformed("an index"));
        }
        let narrow = cells.iter().enumerate().map(|(cell, count)| (cell as u64, *count));
        for (cell, count) in narrow.filter(|(_, count)| *count > 0).chain(wide.drain()) {
            sums.add(row(*base, parts, cell).ok_or(RollupFault::Malformed("an index"))?, count);
        }
        Ok(())
    }

    /// `true`: there are more than `most` rows.
    pub fn is_beyond(&mut self, most: usize) -> bool {
        self.sums.are_beyond(most)
    }

    /// The answer.
    pub fn finish(self) -> Counts {
        let rows = self.sums.into_rows();
        let total = rows.iter().fold(0_u64, |sum, counted| sum.saturating_add(counted.count));
        let (rows, more) = highest(&self.slots, rows, self.most);
        // A text is looked for only where it is shown.
        let keys =
            |row: Row| self.slots.iter().zip(row).map(|(slots, slot)| slots.key(slot).clone()).collect();
        let rows = rows.iter().map(|counted| CountRow { keys: keys(counted.row), count: counted.count });
        Counts { rows: rows.collect(), total, more }
    }
}

/// One group, for the roll-up that is being read.
#[derive(Default)]
struct GroupPart {
    /// Place of the group in the question.
    place: usize,
    field: Field,
    /// Where its index stands in a cell.
    shift: u32,
    /// The slots of the values, by their indexes.
    slots: Vec<u32>,
}

/// The row of a cell; `None`: it has an index without a value.
fn row(base: Row, parts: &[GroupPart], cell: u64) -> Option<Row> {
    let mut row = base;
    for part in parts {
        let index = (cell >> part.shift) as usize & (part.field.size() - 1);
        row[part.place] = *part.slots.get(index)?;
    }
    Some(row)
}
