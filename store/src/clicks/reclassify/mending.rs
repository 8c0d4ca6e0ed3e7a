//! What counts have of clicks that get another class: it is taken from where it is, and put beside it, so that every sum stays.
//! Roll-ups lie where they are packed or where they are not yet, lists in hours, days and weeks.

use super::super::fold::{is_visit, sketch};
use super::super::lists::{self, ListEntry, ListPart, list};
use super::super::memory::StagedTexts;
use super::super::pack::{WrittenRows, series};
use super::super::rows::{Cell, CellKey, ClickRows, Table, merge, subject_of};
use super::super::run::{APARTS, alone, rollup};
use super::super::times::{HOUR, QUARTERS, day_of, month_of, quarter};
use clicks::rollup::{Change, Dictionary, Dimension, Tuple};
use clicks::{Click, Kind, Sketch};
use std::collections::{BTreeMap, HashMap};

/// Rows that are read and written at once.
const ROWS: usize = 4_096;
/// Subjects of a day whose packed roll-ups are in memory at once.
const SUBJECTS: usize = 256;

/// Clicks by the tuple that they have and the one that they get.
type Tuples = HashMap<(Tuple, Tuple), u64>;
/// Changes of the subjects of a day, by the quarters of the day.
type DayChanges = BTreeMap<i64, BTreeMap<u8, Vec<Change>>>;
/// Clicks of links that get another kind.
type Kinds = BTreeMap<KindOfLink, u64>;

/// Which link's clicks have which kind, and which one they get.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct KindOfLink {
    uid: u64,
    from: Kind,
    to: Kind,
}

/// Clicks that get another class, by where they are counted.
#[derive(Default)]
pub(super) struct Mending {
    /// By days, subjects and quarters of the day: those of links, and the whole ones of domains.
    tuples: BTreeMap<i64, BTreeMap<i64, BTreeMap<u8, Tuples>>>,
    /// Who is counted among the visitors now, by days and subjects. Nobody can be taken out of a sketch.
    visitors: BTreeMap<i64, BTreeMap<i64, Sketch>>,
    /// By hours and domains.
    kinds: BTreeMap<(i64, i64), Kinds>,
}

impl Mending {
    /// A click as it was, and as it is now.
    pub fn add(&mut self, was: &Click, now: &Click, texts: &mut StagedTexts) {
        let from = texts.known_tuple(was);
        let mut to = from;
        to.0[Dimension::Kind as usize] = now.kind as u32;
        to.0[Dimension::Browser as usize] = texts.number(&now.browser);
        to.0[Dimension::Os as usize] = texts.number(&now.os);
        to.0[Dimension::Device as usize] = now.device as u32;
        let quarter = quarter(was.at);
        let day = day_of(quarter);
        let comes = was.visitor != 0 && is_visit(now.kind) && !is_visit(was.kind);
        for subject in [was.uid.cast_signed(), subject_of(was.domain, 0)] {
            let quarters = self.tuples.entry(day).or_default().entry(subject).or_default();
            let tuples = quarters.entry((quarter - day * QUARTERS) as u8).or_default();
            *tuples.entry((from, to)).or_default() += 1;
            if comes {
                self.visitors.entry(day).or_default().entry(subject).or_default().add(was.visitor);
            }
        }
        if was.kind != now.kind {
            let kinds = self.kinds.entry((was.at.div_euclid(HOUR), was.domain.0.into())).or_default();
            *kinds.entry(KindOfLink { uid: was.uid, from: was.kind, to: now.kind }).or_default() += 1;
        }
    }

    /// Writes all of it; how many clicks were in no count of their link, or of their domain.
    pub async fn write<R: ClickRows>(mut self, rows: &R) -> Result<u64, R::Fault> {
        let (mut of_links, mut of_domains) = (0_u64, 0_u64);
        for (day, subjects) in std::mem::take(&mut self.tuples) {
            let whole: Vec<i64> = subjects.keys().copied().collect();
            let mut changes = changes(subjects);
            let mut visitors = self.visitors.remove(&day).unwrap_or_default();
            in_recent(rows, day, &mut changes).await?;
            in_runs(rows, day, &mut changes, &mut visitors).await?;
            in_recent_visitors(rows, day, visitors).await?;
            for subject in whole {
                let left = changes.get(&subject).into_iter().flat_map(BTreeMap::values).map(|left| sum(left));
                *(if subject > 0 { &mut of_links } else { &mut of_domains }) += left.sum::<u64>();
            }
        }
        for part in [ListPart::Hour, ListPart::Day, ListPart::Week] {
            in_lists(rows, part, &self.kinds).await?;
        }
        Ok(of_links.max(of_domains))
    }
}

fn sum(changes: &[Change]) -> u64 {
    changes.iter().map(|change| change.count).sum()
}

/// The changes of a day, those of the sums of domains by one dimension each among them.
fn changes(subjects: BTreeMap<i64, BTreeMap<u8, Tuples>>) -> DayChanges {
    let mut all = DayChanges::new();
    for (subject, quarters) in subjects {
        for (quarter, tuples) in quarters {
            if subject < 0 {
                for (number, dimension) in (1..).zip(APARTS) {
                    let mut apart = Tuples::new();
                    for ((from, to), count) in &tuples {
                        *apart.entry((alone(*from, dimension), alone(*to, dimension))).or_default() += count;
                    }
                    apart.retain(|(from, to), _| from != to);
                    let own = all.entry(subject - number).or_default();
                    own.insert(quarter, apart.into_iter().map(change).collect());
                }
            }
            let own = all.entry(subject).or_default();
            own.insert(quarter, tuples.into_iter().map(change).collect());
        }
    }
    all
}

fn change(((from, to), count): ((Tuple, Tuple), u64)) -> Change {
    Change { from, to, count }
}

/// Changes what is not packed yet.
async fn in_recent<R: ClickRows>(rows: &R, day: i64, changes: &mut DayChanges) -> Result<(), R::Fault> {
    let of = |(subject, quarters): (&i64, &BTreeMap<u8, Vec<Change>>)| {
        quarters.keys().map(|quarter| [day * QUARTERS + i64::from(*quarter), *subject, 0]).collect::<Vec<_>>()
    };
    let mut keys: Vec<CellKey> = changes.iter().flat_map(of).collect();
    keys.sort_unstable(); // in the order in which they lie on disk
    for keys in keys.chunks(ROWS) {
        let mut written = Vec::new();
        for (key, value) in keys.iter().zip(rows.cells(Table::Recent, keys).await?) {
            let quarter = (key[0] - day * QUARTERS) as u8;
            let own = changes.get_mut(&key[1]).and_then(|quarters| quarters.get_mut(&quarter));
            let (Some(value), Some(own)) = (value, own) else { continue };
            let (mut whole, before) = (rollup(&value)?, sum(own));
            whole.change(own);
            if sum(own) < before {
                written.push(Cell { key: *key, value: whole.encode() });
            }
        }
        rows.put(Table::Recent, &written).await?;
    }
    Ok(())
}

/// Changes what is packed, as far as it is left. Visitors who come are put beside those who are there.
async fn in_runs<R: ClickRows>(
    rows: &R,
    day: i64,
    changes: &mut DayChanges,
    visitors: &mut BTreeMap<i64, Sketch>,
) -> Result<(), R::Fault> {
    let is_left = |subject: &i64, quarters: &BTreeMap<u8, Vec<Change>>| {
        visitors.contains_key(subject) || quarters.values().any(|changes| sum(changes) > 0)
    };
    let left = changes.iter().filter(|(subject, quarters)| is_left(subject, quarters));
    let subjects: Vec<i64> = left.map(|(subject, _)| *subject).collect();
    let (month, day) = (month_of(day), day * QUARTERS..(day + 1) * QUARTERS);
    for subjects in subjects.chunks(SUBJECTS) {
        let cells = rows.range_of(Table::Runs, month, subjects, day.clone(), usize::MAX).await?;
        let (mut written, mut changed) = (WrittenRows::default(), Vec::new());
        for (key, mut packed) in series(rows, &cells).await? {
            let (length, mut is_changed) = (packed.step.quarters() as u8, false);
            for (quarter, own) in changes.get_mut(&key[1]).into_iter().flatten() {
                let Some(whole) = packed.rollups.get_mut(&(quarter - quarter % length)) else { continue };
                let before = sum(own);
                whole.change(own);
                is_changed |= sum(own) < before;
            }
            if let Some(mut all) = visitors.remove(&key[1]) {
                if let Some(there) = &packed.visitors {
                    all.merge(&sketch(there)?);
                }
                (packed.visitors, is_changed) = (Some(all.encode()), true);
            }
            if is_changed {
                changed.push(key[1]);
                written.add(key, packed);
            }
        }
        for table in [Table::Runs, Table::Crosses] {
            rows.remove_of(table, month, &changed, day.clone()).await?;
        }
        written.put(rows).await?;
    }
    Ok(())
}

/// Adds the visitors of those of whom nothing is packed yet.
async fn in_recent_visitors<R: ClickRows>(
    rows: &R,
    day: i64,
    mut visitors: BTreeMap<i64, Sketch>,
) -> Result<(), R::Fault> {
    let keys = visitors.keys().map(|subject| [day, *subject, 0]).collect();
    merge(rows, Table::RecentVisitors, keys, |key, there| {
        let mut whole = visitors.remove(&key[1]).unwrap_or_default();
        if let Some(there) = there {
            whole.merge(&sketch(&there)?);
        }
        Ok(whole.encode())
    })
    .await
}

/// Changes how often links were clicked by kind, as far as lists of such a part of time have these clicks: those of a day are
/// made of those of its hours again as often as late clicks are packed.
async fn in_lists<R: ClickRows>(
    rows: &R,
    part: ListPart,
    hours: &BTreeMap<(i64, i64), Kinds>,
) -> Result<(), R::Fault> {
    let mut periods: BTreeMap<(i64, i64), Kinds> = BTreeMap::new();
    for ((hour, domain), kinds) in hours {
        let own = periods.entry(((hour * HOUR).div_euclid(part.length()), *domain)).or_default();
        for (of, count) in kinds {
            *own.entry(*of).or_default() += count;
        }
    }
    for ((period, domain), kinds) in periods {
        let all: Vec<Kind> = Kind::ALL.into_iter().filter(|kind| !kind.is_total()).collect();
        let keys: Vec<CellKey> = all.iter().map(|kind| [list(part, *kind), period, domain]).collect();
        let mut lists: BTreeMap<Kind, KindList> = BTreeMap::new();
        for (kind, value) in all.iter().zip(rows.cells(Table::Lists, &keys).await?) {
            let there = value.as_deref().map_or(Ok(Vec::new()), lists::decode)?;
            lists.insert(*kind, KindList { there, ..KindList::default() });
        }
        for (KindOfLink { uid, from, to }, count) in kinds {
            let gone = lists.entry(from).or_default().take(uid, count);
            *lists.entry(to).or_default().come.entry(uid).or_default() += gone;
        }
        let (mut written, mut empty) = (Vec::new(), Vec::new());
        for (key, list) in keys.into_iter().zip(lists.into_values()).filter(|(_, list)| list.is_changed()) {
            match list.whole() {
                whole if whole.is_empty() => empty.push(key),
                whole => written.push(Cell { key, value: lists::encode(&whole) }),
            }
        }
        rows.put(Table::Lists, &written).await?;
        rows.remove_keys(Table::Lists, &empty).await?;
    }
    Ok(())
}

/// A list of one kind.
#[derive(Default)]
struct KindList {
    there: Vec<ListEntry>,
    /// Whether clicks of it have another kind now.
    taken: bool,
    /// Clicks that have this one now, by links.
    come: BTreeMap<u64, u64>,
}

impl KindList {
    /// Takes so many clicks of a link out of it, or as many as there are; how many.
    fn take(&mut self, uid: u64, count: u64) -> u64 {
        let Ok(at) = self.there.binary_search_by_key(&uid, |entry| entry.uid) else { return 0 };
        let gone = count.min(self.there[at].count);
        self.there[at].count -= gone;
        self.taken = true;
        gone
    }

    fn is_changed(&self) -> bool {
        self.taken || self.come.values().any(|count| *count > 0)
    }

    fn whole(mut self) -> Vec<ListEntry> {
        self.there.retain(|entry| entry.count > 0);
        let come = self.come.into_iter().filter(|(_, count)| *count > 0);
        let come: Vec<ListEntry> = come.map(|(uid, count)| ListEntry { uid, count }).collect();
        lists::merge(&self.there, &come)
    }
}
