//! Clicks of one link and one span of time, counted: each distinct tuple of what clicks have in common, and how many clicks
//! have it. Texts are numbers of a dictionary that belongs to the store. Visitors are counted apart, by sketches.

mod packed;
mod rows;
mod view;

pub(crate) use packed::{Field, Packed, Word};
pub(crate) use rows::each as each_row;
pub(crate) use view::Layout;
pub use view::View;

use crate::{Click, Country, Device, Kind, Language, letters};
use std::sync::Arc;

/// The texts of a store, numbered from 0 on without end. A number is never given to another text. Number 0 is the empty
/// text, and number 1 is `other`.
pub trait Dictionary {
    /// The number of this text; a new one if it has none.
    fn number(&mut self, text: &str) -> u32;

    /// The text with this number; the empty one if there is no such number.
    fn text(&self, number: u32) -> Arc<str>;
}

/// The empty text: unknown, or none.
pub const EMPTY: u32 = 0;
/// What stands for texts of which there are too many.
pub const OTHER: u32 = 1;
/// The text of [`OTHER`].
pub const OTHER_TEXT: &str = "other";

/// What a tuple has a value for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(usize)]
pub enum Dimension {
    /// Its number is that of [`Kind`].
    Kind = 0,
    /// See [`Tuple::country`].
    Country = 1,
    /// A number of the dictionary.
    Browser = 2,
    /// A number of the dictionary.
    Os = 3,
    /// Its number is that of [`Device`].
    Device = 4,
    /// A number of the dictionary.
    Referrer = 5,
    /// See [`Tuple::language`].
    Language = 6,
}

impl Dimension {
    /// How many there are.
    pub const COUNT: usize = 7;
    /// In the order of their numbers.
    pub const ALL: [Self; Self::COUNT] =
        [Self::Kind, Self::Country, Self::Browser, Self::Os, Self::Device, Self::Referrer, Self::Language];

    /// Whether a number can be a value here.
    pub(crate) fn has(self, value: u32) -> bool {
        match self {
            Self::Kind => kind(value).is_some(),
            Self::Device => device(value).is_some(),
            Self::Country => letters::country(value).is_some(),
            Self::Language => letters::language(value).is_some(),
            Self::Browser | Self::Os | Self::Referrer => true,
        }
    }
}

/// What clicks that are counted together have in common: a number for each [`Dimension`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tuple(pub [u32; Dimension::COUNT]);

impl Tuple {
    /// That of a click.
    pub fn of(click: &Click, dictionary: &mut (impl Dictionary + ?Sized)) -> Self {
        Self([
            click.kind as u32,
            letters::country_code(click.country),
            dictionary.number(&click.browser),
            dictionary.number(&click.os),
            click.device as u32,
            dictionary.number(&click.referrer),
            letters::language_code(click.language),
        ])
    }

    /// Its number in this dimension.
    #[inline]
    pub fn get(&self, dimension: Dimension) -> u32 {
        self.0[dimension as usize]
    }

    /// What the clicks are.
    pub fn kind(&self) -> Kind {
        kind(self.get(Dimension::Kind)).unwrap_or(Kind::Human)
    }

    /// From where.
    pub fn country(&self) -> Country {
        letters::country(self.get(Dimension::Country)).unwrap_or_default()
    }

    /// On what.
    pub fn device(&self) -> Device {
        device(self.get(Dimension::Device)).unwrap_or_default()
    }

    /// Which language is asked for first.
    pub fn language(&self) -> Language {
        letters::language(self.get(Dimension::Language)).unwrap_or_default()
    }

    /// The same with what only few clicks have left out.
    fn coarse(mut self) -> Self {
        for dimension in [Dimension::Browser, Dimension::Os, Dimension::Referrer] {
            self.0[dimension as usize] = OTHER;
        }
        self.0[Dimension::Language as usize] = 0;
        self
    }
}

/// One that is not kept as a total.
fn kind(number: u32) -> Option<Kind> {
    Kind::ALL.get(number as usize).copied().filter(|kind| !kind.is_total())
}

fn device(number: u32) -> Option<Device> {
    Device::ALL.get(number as usize).copied()
}

/// A tuple and how many clicks have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What they have in common.
    pub tuple: Tuple,
    /// How many, at least 1.
    pub count: u64,
}

/// The clicks of one link in one span of time.
#[derive(Clone, Debug, Default)]
pub struct Rollup {
    /// Each tuple once, in rising order, but for the last `fresh` ones.
    entries: Vec<Entry>,
    fresh: usize,
}

/// Why bytes are no roll-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RollupFault {
    /// A newer control made it: update this one.
    TooNew,
    /// It was damaged.
    Malformed(&'static str),
}

impl std::fmt::Display for RollupFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooNew => f.write_str("the roll-up has a newer layout: update this control"),
            Self::Malformed(what) => write!(f, "the roll-up is damaged: {what}"),
        }
    }
}

impl std::error::Error for RollupFault {}

/// So many tuples one roll-up keeps as they are; of those beyond, the ones with the fewest clicks, only kind, country and
/// device are kept. A flood of referrers or languages ends here.
pub const MAX_WHOLE: usize = 65_536;

impl Rollup {
    /// Counts a click.
    pub fn add(&mut self, click: &Click, dictionary: &mut (impl Dictionary + ?Sized)) {
        self.add_tuple(Tuple::of(click, dictionary), 1);
    }

    /// Counts so many clicks with this tuple.
    pub fn add_tuple(&mut self, tuple: Tuple, count: u64) {
        if count > 0 {
            self.entries.push(Entry { tuple, count });
            self.fresh += 1;
        }
    }

    /// Counts what another one has counted.
    pub fn merge(&mut self, other: &Self) {
        self.entries.extend_from_slice(&other.entries);
        self.fresh += other.entries.len();
    }

    /// How many clicks there are.
    pub fn total(&self) -> u64 {
        self.entries.iter().fold(0, |sum, entry| sum.saturating_add(entry.count))
    }

    /// Whether there is no click.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Each tuple once, in rising order.
    pub fn entries(&mut self) -> &[Entry] {
        self.settle();
        &self.entries
    }

    /// The bytes of it: in the shorter one of two layouts.
    pub fn encode(&mut self) -> Vec<u8> {
        self.settle();
        if self.entries.len() < rows::MOST {
            let (rows, packed) = (rows::encode(&self.entries), packed::encode(&self.entries));
            return if rows.len() <= packed.len() { rows } else { packed };
        }
        packed::encode(&self.entries)
    }

    /// The roll-up in these bytes.
    ///
    /// # Errors
    /// [`RollupFault`] if they are none.
    pub fn decode(bytes: &[u8]) -> Result<Self, RollupFault> {
        let view = View::new(bytes)?;
        let mut entries: Vec<Entry> = Vec::with_capacity(view.len());
        let mut sorted = true;
        view.each(|entry| {
            sorted &= entries.last().is_none_or(|last| last.tuple < entry.tuple);
            entries.push(entry);
        })?;
        if sorted {
            Ok(Self { entries, fresh: 0 })
        } else {
            Err(RollupFault::Malformed("order of its tuples"))
        }
    }

    /// Sorts what was added, adds up what is the same, and keeps within [`MAX_WHOLE`].
    fn settle(&mut self) {
        if self.fresh == 0 {
            return;
        }
        self.fresh = 0;
        self.sort();
        if self.entries.len() > MAX_WHOLE {
            self.entries.sort_by_key(|entry| std::cmp::Reverse(entry.count));
            self.entries[MAX_WHOLE..].iter_mut().for_each(|entry| entry.tuple = entry.tuple.coarse());
            self.sort();
        }
    }

    /// The sort is the stable one, since that makes use of what is in order already.
    fn sort(&mut self) {
        self.entries.sort_by_key(|entry| entry.tuple);
        self.entries.dedup_by(|next, kept| {
            let same = next.tuple == kept.tuple;
            if same {
                kept.count = kept.count.saturating_add(next.count);
            }
            same
        });
    }
}

impl PartialEq for Rollup {
    fn eq(&self, other: &Self) -> bool {
        let settled = |rollup: &Self| {
            let mut rollup = rollup.clone();
            rollup.settle();
            rollup.entries
        };
        settled(self) == settled(other)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, HashMap};

    /// A dictionary in memory.
    pub struct Words {
        numbers: HashMap<Arc<str>, u32>,
        texts: Vec<Arc<str>>,
    }

    impl Default for Words {
        fn default() -> Self {
            let mut words = Self { numbers: HashMap::new(), texts: Vec::new() };
            assert_eq!((words.number(""), words.number(OTHER_TEXT)), (EMPTY, OTHER));
            words
        }
    }

    impl Dictionary for Words {
        fn number(&mut self, text: &str) -> u32 {
            if let Some(number) = self.numbers.get(text) {
                return *number;
            }
            let (number, text) = (self.texts.len() as u32, Arc::<str>::from(text));
            self.texts.push(Arc::clone(&text));
            self.numbers.insert(text, number);
            number
        }
        fn text(&self, number: u32) -> Arc<str> {
            self.texts.get(number as usize).cloned().unwrap_or_default()
        }
    }

    /// Any tuple, often one of few.
    pub fn tuples() -> impl Strategy<Value = Tuple> {
        let few = (0u32..6, 0u32..5, 0u32..4, 0u32..4, 0u32..4, 0u32..9, 0u32..4)
            .prop_map(|(a, b, c, d, e, f, g)| Tuple([a, b, c, d, e, f, g]));
        let any = (0u32..6, 0u32..120, any::<u32>(), 0u32..70_000, 0u32..4, any::<u32>(), 0u32..60)
            .prop_map(|(a, b, c, d, e, f, g)| Tuple([a, b, c, d, e, f, g]));
        prop_oneof![4 => few, 1 => any]
    }

    fn counts() -> impl Strategy<Value = u64> {
        prop_oneof![5 => Just(1u64), 3 => 1u64..300, 1 => 1u64..=u64::MAX / 1024]
    }

    proptest! {
        #[test]
        fn it_comes_back_and_counts_right(added in proptest::collection::vec((tuples(), counts()), 0..200), cut in 0usize..200) {
            let mut expected = BTreeMap::<Tuple, u64>::new();
            let (mut first, mut second) = (Rollup::default(), Rollup::default());
            for (at, (tuple, count)) in added.into_iter().enumerate() {
                *expected.entry(tuple).or_default() += count;
                if at < cut { &mut first } else { &mut second }.add_tuple(tuple, count);
            }
            let mut whole = Rollup::decode(&first.encode()).unwrap();
            whole.merge(&second);
            let bytes = whole.encode();
            let mut back = Rollup::decode(&bytes).unwrap();
            let found: BTreeMap<_, _> = back.entries().iter().map(|entry| (entry.tuple, entry.count)).collect();
            prop_assert_eq!(back.total(), expected.values().sum::<u64>());
            prop_assert_eq!(found, expected);
            prop_assert_eq!(back.encode(), bytes);
            prop_assert!(back == whole);
        }

        #[test]
        fn no_bytes_do_harm(bytes in proptest::collection::vec(any::<u8>(), 0..64), layout in 0u8..4) {
            let mut bytes = bytes;
            if let Some(first) = bytes.first_mut() {
                *first = layout;
            }
            if let Ok(mut rollup) = Rollup::decode(&bytes) {
                let again = rollup.encode();
                prop_assert!(Rollup::decode(&again).unwrap() == rollup);
            }
        }
    }
}
