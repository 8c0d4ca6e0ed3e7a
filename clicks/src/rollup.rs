//! Clicks of one link and one span of time, counted: each distinct tuple of what clicks have in common, and how many clicks
//! have it. Texts are numbers of a dictionary that belongs to the store. Visitors are counted apart, by sketches.

mod change;
mod packed;
mod parts;
mod rows;

pub use change::Change;
pub(crate) use packed::{Field, Packed, Word};
pub(crate) use parts::{Part, parts};
pub(crate) use rows::each as each_row;

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

    /// Takes away what `other` counts. What of it was not here is left in `other`. A tuple that is kept
    /// [without its details](MAX_WHOLE) is taken from there.
    pub fn take_away(&mut self, other: &mut Self) {
        self.settle();
        other.settle();
        for entry in &mut other.entries {
            for tuple in [entry.tuple, entry.tuple.coarse()] {
                if let Ok(at) = self.entries.binary_search_by_key(&tuple, |own| own.tuple) {
                    let gone = entry.count.min(self.entries[at].count);
                    self.entries[at].count -= gone;
                    entry.count -= gone;
                }
            }
        }
        for entries in [&mut self.entries, &mut other.entries] {
            entries.retain(|entry| entry.count > 0);
        }
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

    /// The bytes of it, in the layout for few tuples or in that for many, whichever is shorter; none if there is no click.
    pub fn encode(&mut self) -> Vec<u8> {
        self.settle();
        let few = (self.entries.len() <= rows::MOST).then(|| rows::encode(&self.entries));
        match few {
            Some(few) if self.entries.len() <= rows::FEW => few,
            few => {
                let many = packed::encode(&self.entries);
                few.filter(|few| few.len() <= many.len()).unwrap_or(many)
            }
        }
    }

    /// How many of these bytes are a roll-up of one tuple, which says itself where it ends; `None`: they begin with another
    /// roll-up.
    pub fn alone(bytes: &[u8]) -> Option<usize> {
        bytes.first().filter(|first| **first & parts::KIND != parts::KIND)?;
        rows::first(bytes)
    }

    /// The roll-up in these bytes.
    ///
    /// # Errors
    /// [`RollupFault`] if they are none.
    pub fn decode(bytes: &[u8]) -> Result<Self, RollupFault> {
        let mut whole = Self::default();
        for part in parts(bytes) {
            let part = Self::of_part(&part?)?;
            if whole.is_empty() { whole = part } else { whole.merge(&part) }
        }
        Ok(whole)
    }

    /// The bytes of what `old` counts, which are the bytes of a roll-up or none, and of this besides. Where `old` has many
    /// tuples they are not all written anew, so that a store can fold as often as it likes; [`decode`](Self::decode) and
    /// [`encode`](Self::encode) make of it what it would be otherwise, which is up to a third shorter.
    ///
    /// # Errors
    /// [`RollupFault`] if `old` is no roll-up.
    pub fn append_to(self, old: &[u8]) -> Result<Vec<u8>, RollupFault> {
        parts::append(old, self)
    }

    fn of_part(part: &Part<'_>) -> Result<Self, RollupFault> {
        let (mut entries, mut sorted) = (Vec::<Entry>::with_capacity(part.len()), true);
        part.each(|entry| {
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
        let settled = self.entries.len() - std::mem::take(&mut self.fresh);
        if settled == 0 {
            sort(&mut self.entries);
        } else {
            let mut fresh = self.entries.split_off(settled);
            sort(&mut fresh);
            self.entries = merged(std::mem::take(&mut self.entries), fresh);
        }
        if self.entries.len() > MAX_WHOLE {
            self.entries.sort_by_key(|entry| std::cmp::Reverse(entry.count));
            self.entries[MAX_WHOLE..].iter_mut().for_each(|entry| entry.tuple = entry.tuple.coarse());
            sort(&mut self.entries);
        }
    }
}

/// In rising order, each tuple once.
fn sort(entries: &mut Vec<Entry>) {
    entries.sort_by_key(|entry| entry.tuple);
    entries.dedup_by(|next, kept| {
        let same = next.tuple == kept.tuple;
        if same {
            kept.count = kept.count.saturating_add(next.count);
        }
        same
    });
}

/// Both are in rising order, and so is what becomes of them. Often all the tuples of the second one are in the first, which is
/// then changed where it lies.
fn merged(mut all: Vec<Entry>, mut more: Vec<Entry>) -> Vec<Entry> {
    let mut from = 0;
    more.retain(|entry| {
        from += all[from..].partition_point(|one| one.tuple < entry.tuple);
        match all.get_mut(from) {
            Some(same) if same.tuple == entry.tuple => {
                same.count = same.count.saturating_add(entry.count);
                false
            }
            _ => true,
        }
    });
    if more.is_empty() {
        return all;
    }
    if all.is_empty() {
        return more;
    }
    let mut whole = Vec::with_capacity(all.len() + more.len());
    let mut rest = &all[..];
    for entry in more {
        let (before, behind) = rest.split_at(rest.partition_point(|one| one.tuple < entry.tuple));
        whole.extend_from_slice(before);
        whole.push(entry);
        rest = behind;
    }
    whole.extend_from_slice(rest);
    whole
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

    #[test]
    fn what_is_taken_away_is_what_was_added_and_the_rest_is_told() {
        let tuple = |browser, referrer| Tuple([0, 1, browser, 3, 1, referrer, 5]);
        let of = |counts: &[(Tuple, u64)]| {
            let mut rollup = Rollup::default();
            counts.iter().for_each(|(tuple, count)| rollup.add_tuple(*tuple, *count));
            rollup
        };
        let coarse = tuple(9, 9).coarse();
        let mut whole = of(&[(tuple(2, 2), 5), (tuple(3, 2), 1), (coarse, 4)]);
        let mut less = of(&[(tuple(2, 2), 2), (tuple(3, 2), 1), (tuple(7, 8), 3), (tuple(8, 8), 2)]);
        whole.take_away(&mut less);
        assert_eq!(whole, of(&[(tuple(2, 2), 3)]));
        assert_eq!(less, of(&[(tuple(8, 8), 1)]), "more than was there");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

        #[test]
        fn it_comes_back_and_counts_right(added in proptest::collection::vec((tuples(), counts()), 0..200), cut in 0usize..200) {
            let mut expected = BTreeMap::<Tuple, u64>::new();
            let (mut first, mut second) = (Rollup::default(), Rollup::default());
            for (at, (tuple, count)) in added.into_iter().enumerate() {
                *expected.entry(tuple).or_default() += count;
                if at < cut { &mut first } else { &mut second }.add_tuple(tuple, count);
            }
            let old = first.encode();
            let grown = second.clone().append_to(&old).unwrap();
            let mut whole = Rollup::decode(&old).unwrap();
            whole.merge(&second);
            prop_assert!(Rollup::decode(&grown).unwrap() == whole);
            let bytes = whole.encode();
            let mut back = Rollup::decode(&bytes).unwrap();
            let found: BTreeMap<_, _> = back.entries().iter().map(|entry| (entry.tuple, entry.count)).collect();
            prop_assert_eq!(back.total(), expected.values().sum::<u64>());
            prop_assert_eq!(found, expected);
            prop_assert_eq!(back.encode(), bytes);
            prop_assert!(back == whole);
        }

        #[test]
        fn no_bytes_do_harm(bytes in proptest::collection::vec(any::<u8>(), 0..64), layout in prop_oneof![Just(packed::LAYOUT), Just(parts::LAYOUT), any::<u8>()]) {
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

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn the_bytes_of_both_layouts() {
        let mut few = Rollup::default();
        few.add_tuple(Tuple([0, 10, 2, 3, 1, 4, 6]), 1);
        few.add_tuple(Tuple([2, 0, 0, 0, 0, 0, 0]), 300);
        assert_eq!(hex(&few.encode()), "280a06020304c20000ac02");
        let mut many = Rollup::default();
        for number in 0..40 {
            let tuple =
                Tuple([number % 2, 1 + number % 7, 2 + number % 3, 5, 1 + number % 2, 1_000 + number / 8, 6]);
            many.add_tuple(tuple, u64::from(1 + number % 5 * 3));
        }
        many.add_tuple(Tuple([5, 300, 2, 5, 0, 0, 0]), 1 << 40);
        assert_eq!(
            hex(&many.encode()),
            "0729030000030801000000000000a402030200000105030000000600e707000000000200050480124071025326d4436a8d98262206543bc8d21831b35260d60969135632b4364a6ad47830e5e06ac6b6107027645ad086820a25738a3227544ed99674b361664b9ea66b119b633244d5a9d85973b96a4246b69c9a1ee001f0ffffffff1f"
        );
        assert!(Rollup::default().encode().is_empty());
    }

    #[test]
    fn a_roll_up_grows_by_parts() {
        let (mut grown, mut whole, mut written) = (Vec::new(), Rollup::default(), 0);
        for fold in 0..300u32 {
            let mut more = Rollup::default();
            for number in 0..20 {
                let spread = (fold * 31 + number * 17) % 1_999;
                more.add_tuple(
                    Tuple([spread % 5, spread % 90, 2 + spread % 11, 5, spread % 4, spread, 6]),
                    1,
                );
            }
            whole.merge(&more);
            let old = grown;
            grown = more.append_to(&old).unwrap();
            let same = old.iter().zip(&grown).take_while(|(a, b)| a == b).count();
            written += grown.len() - same;
        }
        assert!(Rollup::decode(&grown).unwrap() == whole);
        let length = whole.encode().len();
        assert!(grown.len() >= length && grown.len() < length * 2, "{} and {length}", grown.len());
        assert!(written < length * 40, "{written} and {length}: of 300 folds few write all of it");
    }

    #[test]
    fn a_flood_is_bounded_and_loses_no_click() {
        let mut flood = Rollup::default();
        flood.add_tuple(Tuple([0, 10, 2, 3, 1, 4, 6]), 9);
        for number in 0..200_000 {
            flood.add_tuple(Tuple([number % 3, number % 90, 2, 3, number % 4, 10 + number, number % 100]), 1);
        }
        let bytes = flood.encode();
        assert!(
            flood.entries().len() <= MAX_WHOLE + 6 * 677 * 4 && bytes.len() < 512 * 1024,
            "{}",
            bytes.len()
        );
        let mut back = Rollup::decode(&bytes).unwrap();
        assert_eq!(back.total(), 200_009);
        assert!(
            back.entries().iter().any(|entry| entry.tuple.0 == [0, 10, 2, 3, 1, 4, 6] && entry.count == 9)
        );
        let humans: u64 =
            back.entries().iter().filter(|entry| entry.tuple.0[0] == 0).map(|entry| entry.count).sum();
        assert_eq!(humans, 66_676);
    }

    #[test]
    fn what_is_no_roll_up_is_refused() {
        // Found by fuzzing: without a tuple, what stood behind its end was passed over.
        let empty = [packed::LAYOUT, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        assert!(Rollup::decode(&empty).is_ok_and(|rollup| rollup.is_empty()));
        assert!(Rollup::decode(&[&empty[..], &[9]].concat()).is_err());
        let malformed = |bytes: &[u8]| matches!(Rollup::decode(bytes), Err(RollupFault::Malformed(_)));
        assert!(malformed(&[0]) && malformed(&[1, 0]) && malformed(&[packed::LAYOUT]));
        assert!(malformed(&[6 | 1 << 7, 0, 0]), "a kind that there is not");
        assert!(malformed(&[1 << 7, 0, 0, 1 << 7, 0, 0]), "one tuple twice");
        let parts = parts::LAYOUT;
        assert!(malformed(&[parts, 9, 1]) && malformed(&[parts, 2, parts, 0]), "no end, parts in a part");
        assert_eq!(Rollup::decode(&[23]).err(), Some(RollupFault::TooNew));
    }

    #[test]
    fn one_tuple_says_where_it_ends() {
        for (tuple, count) in
            [([0; 7], 1), ([5, 300, 2, 200, 3, 1_000, 6], 1 << 40), ([2, 1, 0, 0, 0, 9, 0], 2)]
        {
            let mut rollup = Rollup::default();
            rollup.add_tuple(Tuple(tuple), count);
            let bytes = rollup.encode();
            let more = [&bytes[..], &[1, 2, 3]].concat();
            assert_eq!((Rollup::alone(&bytes), Rollup::alone(&more)), (Some(bytes.len()), Some(bytes.len())));
            assert_eq!(Rollup::alone(&bytes[..bytes.len() - 1]), None);
        }
        assert!(Rollup::alone(&[]).is_none() && Rollup::alone(&[packed::LAYOUT, 0, 0]).is_none());
    }
}
