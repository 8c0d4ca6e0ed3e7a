//! Deletions: what is deleted is in no answer from then on, and goes from the tables little by little, first the roll-ups,
//! then the lists, then the raw clicks.

use super::age;
use super::fold::put_raw;
use super::listed::clicked_links;
use super::lists::{self, ListPart, list};
use super::memory::{corrupt, decoded};
use super::pack::{WrittenRows, lists_of_day, read};
use super::rows::{Cell, CellKey, ClickRows, DOMAIN_SUBJECTS, LEAST, MOST, Table, subject_of};
use super::times::{DAY, HOUR, QUARTER, QUARTERS, WEEK_DAYS, day_of, month_of, quarter, quarter_from};
use super::unfolded::unpacked_days;
use super::varint::{self, Reader};
use crate::model::StoreFault;
use crate::port::clicks::ClickDeletion;
use clicks::{Click, Kind};
use link::{DomainId, Seq};
use std::collections::BTreeSet;

/// Links whose roll-ups go at once.
const LINKS: usize = 100;
/// Lists that are looked at at once.
const LISTS: usize = 64;

/// A deletion that is not done everywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Deletion {
    domain: DomainId,
    /// Empty: all of the domain.
    links: BTreeSet<Seq>,
    /// Clicks of the quarters before this one.
    before: i64,
    /// Raw clicks before this place.
    end: u64,
    stage: Stage,
}

/// What of a deletion is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The roll-ups of the links behind this one.
    Rollups(Seq),
    /// The lists from this key on.
    Lists(CellKey),
    /// The raw clicks from this place on.
    Raw(u64),
}

/// All that are not done.
pub(crate) struct Deletions(Vec<Deletion>);

impl Deletions {
    pub async fn read<R: ClickRows>(rows: &R) -> Result<Self, R::Fault> {
        let cells = rows.range(Table::Deletions, LEAST, MOST, usize::MAX).await?;
        let all = cells.iter().map(|cell| Deletion::of(&cell.value)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self(all))
    }

    /// The first quarter of a link, or of a domain itself, that is not deleted.
    pub fn from(&self, domain: DomainId, uid: Option<Seq>) -> i64 {
        let fits = |deletion: &&Deletion| deletion.domain == domain && deletion.is_of(uid);
        self.0.iter().filter(fits).map(|deletion| deletion.before).max().unwrap_or(i64::MIN)
    }

    /// Whether a click is deleted, wherever it is kept.
    pub fn has(&self, click: &Click) -> bool {
        !self.0.is_empty() && quarter(click.at) < self.from(click.domain, Some(click.uid))
    }

    /// Whether a link is left out of a list that begins then.
    pub fn hides(&self, domain: DomainId, uid: Seq, began: i64) -> bool {
        !self.0.is_empty() && quarter(began) < self.from(domain, Some(uid))
    }
}

/// Notes a deletion. `now` ends the quarter of an hour that goes last.
pub(crate) async fn note<R: ClickRows>(rows: &R, asked: &ClickDeletion, now: i64) -> Result<(), R::Fault> {
    let last = rows.keys(Table::Deletions, LEAST, MOST, usize::MAX).await?.last().map_or(0, |key| key[0]);
    let deletion = Deletion {
        domain: asked.domain,
        links: asked.links.iter().flatten().copied().collect(),
        before: before(asked, now),
        end: rows.end().await?.click,
        stage: Stage::Rollups(0),
    };
    rows.put(Table::Deletions, &[Cell { key: [last + 1, 0, 0], value: deletion.value() }]).await
}

/// The first quarter that stays. One that begins with the time that was asked for does; one in which it is goes, and so does
/// the one that is under way.
pub(crate) fn before(asked: &ClickDeletion, now: i64) -> i64 {
    let all = quarter(now) + 1;
    asked.before.map_or(all, |before| quarter_from(before).min(all))
}

/// Does some of the oldest deletion; `false`: there is none.
pub(crate) async fn work<R: ClickRows>(rows: &R) -> Result<bool, R::Fault> {
    let first = rows.range(Table::Deletions, LEAST, MOST, 1).await?;
    let Some(cell) = first.first() else { return Ok(false) };
    let mut deletion = Deletion::of(&cell.value)?;
    let next = match deletion.stage {
        Stage::Rollups(behind) => Some(rollups(rows, &deletion, behind).await?),
        Stage::Lists(from) => Some(in_lists(rows, &deletion, from).await?),
        Stage::Raw(place) => raw(rows, &deletion, place).await?.map(Stage::Raw),
    };
    match next {
        Some(stage) => {
            deletion.stage = stage;
            rows.put(Table::Deletions, &[Cell { key: cell.key, value: deletion.value() }]).await?;
        }
        None => rows.remove_keys(Table::Deletions, &[cell.key]).await?,
    }
    Ok(true)
}

async fn rollups<R: ClickRows>(rows: &R, deletion: &Deletion, behind: Seq) -> Result<Stage, R::Fault> {
    let links: Vec<Seq> = match deletion.links.is_empty() {
        true => clicked_links(rows, deletion.domain, behind, LINKS).await?,
        false => deletion.links.iter().copied().filter(|uid| *uid > behind).take(LINKS).collect(),
    };
    for &uid in &links {
        subject(rows, uid.cast_signed(), deletion.before).await?;
    }
    if let Some(last) = links.last() {
        return Ok(Stage::Rollups(*last));
    }
    if deletion.links.is_empty() {
        for number in 0..DOMAIN_SUBJECTS {
            subject(rows, subject_of(deletion.domain, number), deletion.before).await?;
        }
        let domain = deletion.domain.0.into();
        rows.remove(Table::Totals, [domain, i64::MIN, 0], [domain, deletion.before, 0]).await?;
    }
    Ok(Stage::Lists(LEAST))
}

/// Everything of one subject before a quarter.
async fn subject<R: ClickRows>(rows: &R, subject: i64, before: i64) -> Result<(), R::Fault> {
    let day = day_of(before);
    // Nobody can take visitors out of a sketch: those of a day of which a part goes, go.
    let is_cut = before.rem_euclid(QUARTERS) != 0;
    let mut next = i64::MIN;
    while let Some(&[month, ..]) = rows.keys(Table::Runs, [next, i64::MIN, i64::MIN], MOST, 1).await?.first()
    {
        if month > month_of(day) {
            break;
        }
        let (from, to) = ([month, subject, i64::MIN], [month, subject, day * QUARTERS]);
        rows.remove(Table::Runs, from, to).await?;
        rows.remove(Table::Crosses, from, to).await?;
        next = month + 1;
    }
    // The day in which it ends keeps what is behind it.
    let (from, to) =
        ([month_of(day), subject, day * QUARTERS], [month_of(day), subject, (day + 1) * QUARTERS]);
    let last = read(rows, from, to).await?;
    if !last.is_empty() {
        rows.remove(Table::Runs, from, to).await?;
        rows.remove(Table::Crosses, from, to).await?;
        let mut written = WrittenRows::default();
        for (key, mut series) in last {
            if is_cut {
                series.visitors = None;
            }
            series.rollups.retain(|quarter, _| day * QUARTERS + i64::from(*quarter) >= before);
            written.add(key, series);
        }
        written.put(rows).await?;
    }
    for unpacked in unpacked_days(rows, (day_of(i64::MIN / QUARTER), day + 1)).await? {
        let quarters = unpacked * QUARTERS..((unpacked + 1) * QUARTERS).min(before);
        let keys: Vec<CellKey> = quarters.map(|quarter| [quarter, subject, 0]).collect();
        rows.remove_keys(Table::Recent, &keys).await?;
        if unpacked < day || is_cut {
            rows.remove_keys(Table::RecentVisitors, &[[unpacked, subject, 0]]).await?;
        }
    }
    Ok(())
}

async fn in_lists<R: ClickRows>(rows: &R, deletion: &Deletion, from: CellKey) -> Result<Stage, R::Fault> {
    let keys = rows.keys(Table::Lists, from, MOST, LISTS).await?;
    let Some(&[list, period, domain]) = keys.last() else {
        // What is behind the deletion in its last day and week counts again.
        lists_of_day(rows, day_of(deletion.before - 1)).await?;
        return Ok(Stage::Raw(0));
    };
    let of_domain: Vec<CellKey> = keys
        .iter()
        .copied()
        .filter(|key| key[2] == i64::from(deletion.domain.0) && began(*key) < deletion.before * QUARTER)
        .collect();
    for (key, value) in of_domain.iter().zip(rows.cells(Table::Lists, &of_domain).await?) {
        let Some(value) = value.filter(|_| !deletion.links.is_empty()) else {
            rows.remove_keys(Table::Lists, &[*key]).await?;
            continue;
        };
        let mut entries = lists::decode(&value)?;
        let all = entries.len();
        entries.retain(|entry| !deletion.links.contains(&entry.uid));
        if entries.len() < all {
            rows.put(Table::Lists, &[Cell { key: *key, value: lists::encode(&entries) }]).await?;
        }
    }
    Ok(Stage::Lists([list, period, domain + 1]))
}

/// When a list begins, in Unix milliseconds.
fn began([number, period, _]: CellKey) -> i64 {
    let is = |part| (list(part, Kind::Human)..list(part, Kind::Human) + 16).contains(&number);
    period
        * if is(ListPart::Hour) {
            HOUR
        } else if is(ListPart::Day) {
            DAY
        } else {
            WEEK_DAYS * DAY
        }
}

/// Rewrites one row; where to go on.
async fn raw<R: ClickRows>(rows: &R, deletion: &Deletion, place: u64) -> Result<Option<u64>, R::Fault> {
    let head = rows.raw(place, 1).await?.pop().filter(|head| head.first < deletion.end);
    let Some(head) = head else { return Ok(None) };
    if quarter(head.first_at) < deletion.before {
        let mut batch = decoded(&rows.raw_value(&head).await?)?;
        let all = batch.clicks.len();
        batch.clicks.retain(|click| !deletion.has(click));
        if batch.clicks.is_empty() {
            rows.remove_raw(&head).await?;
        } else if batch.clicks.len() < all {
            put_raw(rows, head.first, head.span, head.day, &batch).await?;
        }
    }
    Ok(Some(head.first + head.span))
}

impl Deletion {
    fn is_of(&self, uid: Option<Seq>) -> bool {
        self.links.is_empty() || uid.is_some_and(|uid| self.links.contains(&uid))
    }

    fn has(&self, click: &Click) -> bool {
        click.domain == self.domain && self.is_of(Some(click.uid)) && quarter(click.at) < self.before
    }

    fn value(&self) -> Vec<u8> {
        let mut value = Vec::new();
        let (stage, places) = match self.stage {
            Stage::Rollups(behind) => (0, [behind, 0, 0]),
            Stage::Lists(key) => (1, key.map(i64::cast_unsigned)),
            Stage::Raw(place) => (2, [place, 0, 0]),
        };
        varint::put(&mut value, stage);
        places.iter().for_each(|place| varint::put(&mut value, *place));
        varint::put(&mut value, self.domain.0.into());
        varint::put(&mut value, self.before.cast_unsigned());
        varint::put(&mut value, self.end);
        self.links.iter().for_each(|uid| varint::put(&mut value, *uid));
        value
    }

    fn of(value: &[u8]) -> Result<Self, StoreFault> {
        let mut reader = Reader(value);
        let stage = reader.number()?;
        let places = [reader.number()?, reader.number()?, reader.number()?];
        let stage = match stage {
            0 => Stage::Rollups(places[0]),
            1 => Stage::Lists(places.map(u64::cast_signed)),
            2 => Stage::Raw(places[0]),
            _ => return Err(corrupt("a deletion is of a newer linkr")),
        };
        let domain = u32::try_from(reader.number()?).map_err(|_| corrupt("a deletion has no domain"))?;
        let (before, end) = (reader.number()?.cast_signed(), reader.number()?);
        let mut links = BTreeSet::new();
        while !reader.is_empty() {
            links.insert(reader.number()?);
        }
        Ok(Self { domain: DomainId(domain), links, before, end, stage })
    }
}

const _: () =
    assert!(age::QUARTERS_KEPT > 40, "a deletion finds the quarters of what an edge may still send");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deletion_comes_back_at_each_stage() {
        for stage in [Stage::Rollups(7), Stage::Lists([17, -5, 3]), Stage::Lists(LEAST), Stage::Raw(u64::MAX)]
        {
            let links = BTreeSet::from([1, 1_000_000]);
            let deletion = Deletion { domain: DomainId(9), links, before: -3, end: 12, stage };
            assert_eq!(Deletion::of(&deletion.value()).unwrap(), deletion);
        }
        assert!(Deletion::of(&[3, 0, 0, 0, 0, 0, 0]).is_err());
    }

    #[test]
    fn a_quarter_that_begins_with_the_time_asked_for_stays() {
        let first = |before| {
            let asked = ClickDeletion { domain: DomainId(1), links: None, before };
            super::before(&asked, 10 * QUARTER + 5)
        };
        let asked = [Some(3 * QUARTER), Some(3 * QUARTER + 1), Some(10 * QUARTER), Some(i64::MAX), None];
        assert_eq!(asked.map(first), [3, 4, 10, 11, 11]);
    }

    #[test]
    fn a_list_begins_with_its_part_of_time() {
        let began = |part| began([list(part, Kind::Head), 3, 0]);
        assert_eq!([ListPart::Hour, ListPart::Day, ListPart::Week].map(began), [3 * HOUR, 3 * DAY, 21 * DAY]);
    }
}
