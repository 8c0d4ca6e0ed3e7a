//! The count itself: takes roll-ups and clicks, and gives the rows.

use super::filter::{ClickFilter, Wanted};
use super::grouping::Grouping;
use super::{ClickGroup, Counts, MAX_ROWS, TallyFault, quarter_start};
use crate::Click;
use crate::batch::Total;
use crate::rollup::{Dictionary, Field, Packed, Part, Word, each_row, parts};
use link::Seq;

/// A question with what has been counted for it: the same clicks in one way or several.
pub struct Tally {
    filter: ClickFilter,
    wanted: Vec<Wanted>,
    times: Vec<i64>,
    groupings: Vec<Grouping>,
    /// What was allocated for one roll-up serves the next.
    tests: Vec<Test>,
}

impl Tally {
    /// A question. `times`: boundaries in Unix milliseconds and in rising order; what begins at the first or later, and
    /// before the last, counts. They are multiples of [`QUARTER_MS`](super::QUARTER_MS), or a roll-up counts where it begins.
    pub fn new(filter: &ClickFilter, times: &[i64]) -> Self {
        let wanted = filter.wanted();
        Self {
            filter: filter.clone(),
            tests: wanted.iter().map(|_| Test::default()).collect(),
            wanted,
            times: times.to_vec(),
            groupings: Vec::new(),
        }
    }

    /// Asks for one more answer: the `most` lines of these groups with the highest counts. A line is all rows that differ in their
    /// time alone.
    ///
    /// # Errors
    /// [`TallyFault::TooManyGroups`].
    pub fn by(&mut self, groups: &[ClickGroup], most: usize) -> Result<(), TallyFault> {
        self.groupings.push(Grouping::new(groups, most)?);
        Ok(())
    }

    /// Counts the roll-up of a link whose span begins at `start`, in Unix milliseconds.
    ///
    /// # Errors
    /// [`TallyFault::Rollup`] if it cannot be read; [`TallyFault::TooManyRows`]. Some of it may be counted then: there is no answer
    /// any more.
    pub fn rollup(
        &mut self,
        uid: Seq,
        start: i64,
        bytes: &[u8],
        dictionary: &(impl Dictionary + ?Sized),
    ) -> Result<(), TallyFault> {
        let Some(begin) = self.interval(start) else { return Ok(()) };
        self.groupings.iter_mut().for_each(|own| own.begin(uid, begin));
        for part in parts(bytes) {
            match part? {
                Part::Rows(rows) => self.rows(rows, dictionary)?,
                Part::Packed(packed) if packed.is_small() => self.packed::<u64>(&packed, dictionary)?,
                Part::Packed(packed) => self.packed::<u128>(&packed, dictionary)?,
            }
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
            self.groupings.iter_mut().for_each(|own| own.click(click, begin));
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
            self.groupings.iter_mut().for_each(|own| own.total(total, begin));
        }
        self.bounded()
    }

    /// The answers, in the order in which they were asked for.
    pub fn finish(self) -> Vec<Counts> {
        self.groupings.into_iter().map(Grouping::finish).collect()
    }

    /// The boundary with which the interval begins that a time lies in.
    fn interval(&self, at: i64) -> Option<i64> {
        let behind = self.times.partition_point(|time| *time <= at);
        let (begin, end) = (behind.checked_sub(1)?, self.times.get(behind));
        end.map(|_| self.times[begin])
    }

    fn bounded(&mut self) -> Result<(), TallyFault> {
        match self.groupings.iter_mut().any(|own| own.is_beyond(MAX_ROWS)) {
            true => Err(TallyFault::TooManyRows),
            false => Ok(()),
        }
    }

    fn rows(&mut self, bytes: &[u8], dictionary: &(impl Dictionary + ?Sized)) -> Result<(), TallyFault> {
        let Self { wanted, groupings, .. } = self;
        each_row(bytes, |entry| {
            if wanted.iter_mut().all(|one| one.admits(entry.tuple.get(one.dimension), dictionary)) {
                groupings.iter_mut().for_each(|own| own.entry(&entry, dictionary));
            }
        })?;
        Ok(())
    }

    /// Looks up each value once, and then adds up by the indexes of the values.
    fn packed<W: Word>(
        &mut self,
        packed: &Packed<'_>,
        dictionary: &(impl Dictionary + ?Sized),
    ) -> Result<(), TallyFault> {
        if !self.tests(packed, dictionary) {
            return Ok(());
        }
        self.groupings.iter_mut().try_for_each(|own| own.open(packed, dictionary))?;
        let Self { tests, groupings, .. } = self;
        let admitted = |word: W| tests.iter().all(|test| test.admits(word));
        match (&tests[..], &mut groupings[..]) {
            // Most questions are by the kind and at most one dimension.
            ([test], [own]) => match own.single() {
                Some((cells, field)) => packed.scan(|word: W, count| {
                    if test.admits(word) {
                        let cell = &mut cells[word.get(field) as usize];
                        *cell = cell.saturating_add(count);
                    }
                }),
                None => packed.scan(|word: W, count| {
                    if test.admits(word) {
                        own.add(word, count);
                    }
                }),
            },
            (_, all) => packed.scan(|word: W, count| {
                if admitted(word) {
                    all.iter_mut().for_each(|own| own.add(word, count));
                }
            }),
        }?;
        Ok(groupings.iter_mut().try_for_each(Grouping::close)?)
    }

    /// What a tuple of this roll-up has to pass; `false`: none can.
    fn tests(&mut self, packed: &Packed<'_>, dictionary: &(impl Dictionary + ?Sized)) -> bool {
        for (wanted, test) in self.wanted.iter_mut().zip(&mut self.tests) {
            let values = packed.values(wanted.dimension).iter();
            test.admitted.clear();
            test.admitted.extend(values.map(|value| wanted.admits(*value, dictionary)));
            if !test.admitted.contains(&true) {
                return false;
            }
            test.field = packed.field(wanted.dimension);
            test.admitted.resize(test.field.size(), false);
        }
        true
    }
}

/// One list of the filter, for the roll-up that is being read.
#[derive(Default)]
struct Test {
    field: Field,
    /// Whether the value with this index counts.
    admitted: Vec<bool>,
}

impl Test {
    #[inline]
    fn admits<W: Word>(&self, word: W) -> bool {
        self.admitted[word.get(self.field) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ask::{CountRow, GroupKey, MAX_GROUPS, QUARTER_MS};
    use crate::batch::tests::any_click;
    use crate::rollup::Rollup;
    use crate::rollup::tests::Words;
    use crate::{Country, Device, Kind, Language};
    use link::DomainId;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use std::cmp::Reverse;
    use std::collections::{BTreeMap, BTreeSet};

    const START: i64 = 1_700_000_100_000;
    const GROUPS: [ClickGroup; 9] = [
        ClickGroup::Time,
        ClickGroup::Country,
        ClickGroup::Device,
        ClickGroup::Browser,
        ClickGroup::Os,
        ClickGroup::Referrer,
        ClickGroup::Language,
        ClickGroup::Kind,
        ClickGroup::Link,
    ];

    /// The groups of a second answer.
    const OTHERS: [ClickGroup; 2] = [ClickGroup::Referrer, ClickGroup::Kind];

    fn tally(filter: &ClickFilter, groups: &[ClickGroup], times: &[i64], most: usize) -> Tally {
        let mut tally = Tally::new(filter, times);
        tally.by(groups, most).unwrap();
        tally
    }

    /// Clicks of a day on few links, so that many share a roll-up.
    fn clicks() -> impl Strategy<Value = Vec<Click>> {
        let click = (any_click(), 0i64..96 * QUARTER_MS, 1u64..4).prop_map(|(click, at, uid)| Click {
            at: START + if uid == 1 { at / 40 } else { at },
            uid,
            ..click
        });
        vec(click, 0..250)
    }

    fn filters() -> impl Strategy<Value = ClickFilter> {
        let texts =
            || vec(prop::sample::select(&["", "Chrome", "Firefox", "google.com", "nobody"][..]), 0..3);
        let arcs = |texts: Vec<&str>| texts.into_iter().map(Into::into).collect();
        (vec(0usize..6, 0..3), 0u8..8, texts(), texts(), vec(0usize..4, 0..2), texts(), 0u8..8).prop_map(
            move |(kinds, country, browsers, oses, devices, referrers, language)| ClickFilter {
                kinds: kinds.into_iter().map(|kind| Kind::ALL[kind]).collect(),
                countries: if country == 0 { vec![Country(*b"CB"), Country([0; 2])] } else { Vec::new() },
                browsers: if language > 3 { arcs(browsers) } else { Vec::new() },
                oses: if language > 5 { arcs(oses) } else { Vec::new() },
                devices: devices.into_iter().map(|device| Device::ALL[device]).collect(),
                referrers: if country > 5 { arcs(referrers) } else { Vec::new() },
                languages: if language == 0 { vec![Language([0; 2])] } else { Vec::new() },
            },
        )
    }

    /// One click after the other, by what it says of itself.
    fn expected(
        clicks: &[Click],
        filter: &ClickFilter,
        groups: &[ClickGroup],
        times: &[i64],
    ) -> Vec<CountRow> {
        let mut rows = BTreeMap::<Vec<GroupKey>, u64>::new();
        for click in clicks.iter().filter(|click| filter.admits(click)) {
            let at = click.at / QUARTER_MS * QUARTER_MS;
            let Some(interval) = times.windows(2).find(|pair| pair[0] <= at && at < pair[1]) else {
                continue;
            };
            let key = |group: &ClickGroup| {
                GroupKey::Text(match group {
                    ClickGroup::Time => return GroupKey::Time(interval[0]),
                    ClickGroup::Link => return GroupKey::Link(click.uid),
                    ClickGroup::Kind => return GroupKey::Kind(click.kind),
                    ClickGroup::Country => click.country.as_str().into(),
                    ClickGroup::Device => click.device.label().into(),
                    ClickGroup::Browser => click.browser.clone(),
                    ClickGroup::Os => click.os.clone(),
                    ClickGroup::Referrer => click.referrer.clone(),
                    ClickGroup::Language => click.language.as_str().into(),
                })
            };
            *rows.entry(groups.iter().map(key).collect()).or_default() += 1;
        }
        rows.into_iter().map(|(keys, count)| CountRow { keys, count }).collect()
    }

    /// The rows of the lines with the highest counts, found by their keys; and whether there are others.
    fn first(mut rows: Vec<CountRow>, groups: &[ClickGroup], most: usize) -> (Vec<CountRow>, bool) {
        let line = |row: &CountRow| {
            let keys = row.keys.iter().zip(groups).filter(|(_, group)| **group != ClickGroup::Time);
            keys.map(|(key, _)| key.clone()).collect::<Vec<_>>()
        };
        let mut sums = BTreeMap::<Vec<GroupKey>, u64>::new();
        rows.iter().for_each(|row| *sums.entry(line(row)).or_default() += row.count);
        let mut order: Vec<_> = sums.iter().collect();
        order.sort_by_key(|(keys, count)| (Reverse(**count), (*keys).clone()));
        let kept: BTreeSet<_> = order.into_iter().take(most).map(|(keys, _)| keys.clone()).collect();
        rows.retain(|row| kept.contains(&line(row)));
        rows.sort_by_key(|row| (Reverse(row.count), row.keys.clone()));
        (rows, kept.len() < sums.len())
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(100) })]

        #[test]
        fn roll_ups_and_clicks_answer_alike(
            clicks in clicks(),
            filter in filters(),
            groups in prop::sample::subsequence(&GROUPS[..], 0..=MAX_GROUPS),
            steps in vec(0i64..40, 0..6),
            folded in 0usize..250,
            most in prop_oneof![Just(usize::MAX), 0usize..12],
        ) {
            let times: Vec<i64> = steps.iter().scan(START - QUARTER_MS * 2, |at, step| {
                *at += step * QUARTER_MS;
                Some(*at / QUARTER_MS * QUARTER_MS)
            }).collect();
            let mut words = Words::default();
            let (fold, rest) = clicks.split_at(folded.min(clicks.len()));
            let mut rollups = BTreeMap::<(u64, i64), Rollup>::new();
            for click in fold {
                rollups.entry((click.uid, quarter_start(click.at))).or_default().add(click, &mut words);
            }
            let mut tally = tally(&filter, &groups, &times, most);
            tally.by(&OTHERS, usize::MAX).unwrap();
            for ((uid, start), mut rollup) in rollups {
                let (mut grown, mut half) = (Vec::new(), Rollup::default());
                for (at, entry) in rollup.entries().iter().enumerate() {
                    half.add_tuple(entry.tuple, entry.count);
                    if at == 90 {
                        grown = std::mem::take(&mut half).append_to(&grown).unwrap();
                    }
                }
                tally.rollup(uid, start, &half.append_to(&grown).unwrap(), &words).unwrap();
            }
            for click in rest {
                tally.click(click).unwrap();
            }
            let all = expected(&clicks, &filter, &groups, &times);
            let [counts, others] = &tally.finish()[..] else { panic!("two ways were asked for") };
            let others_expected = expected(&clicks, &filter, &OTHERS, &times);
            prop_assert_eq!(&others.rows, &first(others_expected, &OTHERS, usize::MAX).0);
            prop_assert_eq!(counts.total, all.iter().map(|row| row.count).sum::<u64>());
            let (first, more) = first(all, &groups, most);
            prop_assert_eq!((&counts.rows, counts.more), (&first, more));
        }
    }

    #[test]
    fn totals_count_where_nothing_else_is_asked() {
        let total = Total { domain: DomainId(1), kind: Kind::Off, minute: START / 60_000, count: 7 };
        let times = [START / QUARTER_MS * QUARTER_MS, START + QUARTER_MS];
        let count = |filter: &ClickFilter| {
            let mut tally = tally(filter, &[ClickGroup::Kind, ClickGroup::Link], &times, usize::MAX);
            tally.total(&total).unwrap();
            tally.finish().remove(0)
        };
        let row = CountRow { keys: vec![GroupKey::Kind(Kind::Off), GroupKey::Link(0)], count: 7 };
        assert_eq!(count(&ClickFilter::default()).rows, [row]);
        let humans = ClickFilter { kinds: vec![Kind::Human], ..ClickFilter::default() };
        let phones = ClickFilter { devices: vec![Device::Mobile], ..ClickFilter::default() };
        assert_eq!(count(&humans).total + count(&phones).total, 0);
    }

    #[test]
    fn a_damaged_roll_up_is_told_and_a_long_answer_is_refused() {
        let (mut rollup, mut words) = (Rollup::default(), Words::default());
        for browser in 0..40 {
            words.number(&browser.to_string());
            rollup.add_tuple(crate::rollup::Tuple([0, 1, 2 + browser, 0, 1, 0, 1]), 1 + u64::from(browser));
        }
        let bytes = rollup.encode();
        let all = ClickFilter::default();
        let tally = |groups: &[ClickGroup]| tally(&all, groups, &[0, QUARTER_MS], 1);
        for end in 1..bytes.len() {
            let mut tally = tally(&[ClickGroup::Browser]);
            assert!(matches!(tally.rollup(1, 0, &bytes[..end], &words), Err(TallyFault::Rollup(_))), "{end}");
        }
        let mut whole = tally(&[ClickGroup::Browser]);
        whole.rollup(1, 0, &bytes, &words).unwrap();
        assert_eq!(whole.finish()[0].total, (1..=40).sum::<u64>());
        let mut long = tally(&[ClickGroup::Link, ClickGroup::Browser]);
        let enough = (0..MAX_ROWS as u64).find_map(|uid| long.rollup(uid, 0, &bytes, &words).err());
        assert_eq!(enough, Some(TallyFault::TooManyRows));
        let five =
            [ClickGroup::Time, ClickGroup::Kind, ClickGroup::Os, ClickGroup::Link, ClickGroup::Country];
        for groups in [&five[..], &[five[0]; 2]] {
            assert!(matches!(Tally::new(&all, &[]).by(groups, 1), Err(TallyFault::TooManyGroups)));
        }
    }
}
