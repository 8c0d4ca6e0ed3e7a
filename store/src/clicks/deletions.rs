//! Which clicks are deleted: the one rule, and the rows in which deletions are kept. How the tables are cleared is not here.
//!
//! A click of a link or domain is deleted if it was answered before the time of a deletion, by its edge's clock, whenever it
//! comes; and, where all so far was deleted, if the store had taken it (docs/decisions/0020).

use super::memory::corrupt;
use super::rows::{Cell, CellKey, ClickRows, LEAST, MOST, Place, Table};
use super::times::{DAY, HOUR, MINUTE, QUARTERS};
use super::varint::{self, Reader};
use crate::model::StoreFault;
use crate::port::clicks::ClickDeletion;
use clicks::Click;
use clicks::batch::{Total, UnknownCode};
use link::{DomainId, Seq};
use std::collections::{BTreeMap, BTreeSet};

/// Days for which the time of a deletion is known: behind them no click can come that was answered before it, since control
/// counts one that says so as 40 days old.
const KNOWN: i64 = 41;

/// A deletion that is not done everywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Deletion {
    pub domain: DomainId,
    /// Empty: all of the domain.
    pub links: BTreeSet<Seq>,
    /// Clicks that were answered before it, in Unix milliseconds. The begin of a day, or when it was asked for.
    pub cut: i64,
    /// All that the store had taken goes, too, whatever its time.
    pub so_far: bool,
    /// The store's next numbers when it was asked for.
    pub end: Place,
    pub stage: Stage,
    /// How far the stage is.
    pub at: Progress,
}

/// What of a deletion is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// What is of the day of the cut or later: clicks that stay are counted in the same rows, so nothing is folded until it is
    /// done. Only where all so far goes.
    Open,
    /// Roll-ups of links before that day.
    Links,
    /// Lists of links.
    Lists,
    /// What is of the domain itself.
    Domain,
    /// Single clicks.
    Raw,
    /// The tables are clear, and batches that it concerns are not folded yet.
    Folding,
}

/// How far a stage is: what it means is known to the stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    pub key: CellKey,
    pub number: u64,
}

impl Progress {
    pub const BEGIN: Self = Self { key: LEAST, number: 0 };
}

impl Stage {
    const ALL: [Self; 6] = [Self::Open, Self::Links, Self::Lists, Self::Domain, Self::Raw, Self::Folding];
}

/// All deletions that are known.
pub(crate) struct Deletions {
    work: Vec<Deletion>,
    cuts: BTreeMap<DomainId, Cuts>,
}

/// Up to when clicks of a domain are deleted, in Unix milliseconds: by uids, 0 is all of the domain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Cuts(Vec<(Seq, i64)>);

impl Deletions {
    pub async fn read<R: ClickRows>(rows: &R) -> Result<Self, R::Fault> {
        let mut all = Self { work: Vec::new(), cuts: BTreeMap::new() };
        for cell in rows.range(Table::Deletions, LEAST, MOST, usize::MAX).await? {
            match cuts_of(&cell.key) {
                Some(domain) => drop(all.cuts.insert(domain, Cuts::of(&cell.value)?)),
                None => all.work.push(Deletion::of(&cell.value)?),
            }
        }
        Ok(all)
    }

    /// One alone.
    pub fn of(deletion: Deletion) -> Self {
        let mut cuts = Cuts::default();
        cuts.put_all(&deletion.links, deletion.cut);
        Self { cuts: BTreeMap::from([(deletion.domain, cuts)]), work: vec![deletion] }
    }

    /// Whether a click is deleted that came with the batch of this number.
    pub fn has(&self, batch: u64, click: &Click) -> bool {
        self.is_cut(click) || self.had_taken(click.domain, Some(click.uid), |end| batch < end.batch)
    }

    /// The same of one that is folded, by its own running number.
    pub fn has_single(&self, place: u64, click: &Click) -> bool {
        self.is_cut(click) || self.had_taken(click.domain, Some(click.uid), |end| place < end.click)
    }

    /// Whether a total is deleted that came with a batch: it is known by its minute, and goes with the last of it.
    pub fn has_total(&self, batch: u64, total: &Total) -> bool {
        self.has_note(batch, total.domain, total.minute.saturating_add(1).saturating_mul(MINUTE))
    }

    /// The same of requests for a code that is none, which are known by the hour.
    pub fn has_unknown(&self, batch: u64, unknown: &UnknownCode) -> bool {
        self.has_note(batch, unknown.domain, unknown.hour.saturating_add(1).saturating_mul(HOUR))
    }

    fn has_note(&self, batch: u64, domain: DomainId, ends: i64) -> bool {
        let cut = self.cuts.get(&domain).map_or(i64::MIN, |cuts| cuts.get(0));
        ends <= cut || self.had_taken(domain, None, |end| batch < end.batch)
    }

    fn is_cut(&self, click: &Click) -> bool {
        self.cuts.get(&click.domain).is_some_and(|cuts| click.at < cuts.get(0).max(cuts.get(click.uid)))
    }

    fn had_taken(&self, domain: DomainId, uid: Option<Seq>, before: impl Fn(&Place) -> bool) -> bool {
        let mut all = self.work.iter().filter(|own| own.so_far && own.is_of(domain, uid));
        all.any(|own| before(&own.end))
    }

    /// The first quarter of which the roll-ups of a link, or of a domain itself, are not to be read as they are.
    pub fn from(&self, domain: DomainId, uid: Option<Seq>) -> i64 {
        let hidden = self.work.iter().filter(|own| own.is_of(domain, uid)).map(|own| match own.stage {
            Stage::Open => i64::MAX,
            Stage::Links | Stage::Lists | Stage::Domain => own.day() * QUARTERS,
            Stage::Raw | Stage::Folding => i64::MIN,
        });
        hidden.max().unwrap_or(i64::MIN)
    }

    /// Whether any is of this domain or of links of it and not done everywhere.
    pub fn are_of(&self, domain: DomainId) -> bool {
        self.work.iter().any(|own| own.domain == domain)
    }

    /// When those of this domain or of links of it cut that are not done everywhere.
    pub fn cuts(&self, domain: DomainId) -> Vec<i64> {
        self.work.iter().filter(|own| own.domain == domain).map(|own| own.cut).collect()
    }

    /// Whether a link is left out of a list that begins then, and does not end behind a cut.
    pub fn hides(&self, domain: DomainId, uid: Seq, began: i64) -> bool {
        self.work.iter().filter(|own| own.is_of(domain, Some(uid))).any(|own| match own.stage {
            Stage::Open => true,
            Stage::Links | Stage::Lists | Stage::Domain => began < own.hour() * HOUR,
            Stage::Raw | Stage::Folding => false,
        })
    }
}

/// Notes a deletion. From then on no answer has what it deletes.
pub(crate) async fn note<R: ClickRows>(rows: &R, asked: &ClickDeletion, now: i64) -> Result<(), R::Fault> {
    let last = rows.keys(Table::Deletions, [1, 0, 0], MOST, usize::MAX).await?.last().map_or(0, |key| key[0]);
    let (cut, so_far) = cut(asked, now);
    let links: BTreeSet<Seq> = asked.links.iter().flatten().copied().collect();
    let key = cuts_key(asked.domain);
    let there = rows.cells(Table::Deletions, &[key]).await?.pop().flatten();
    let mut cuts = there.map_or_else(|| Ok(Cuts::default()), |value| Cuts::of(&value))?;
    cuts.put_all(&links, cut);
    let stage = if so_far { Stage::Open } else { Stage::Links };
    let end = rows.end().await?;
    let deletion = Deletion { domain: asked.domain, links, cut, so_far, end, stage, at: Progress::BEGIN };
    let cells = [Cell { key, value: cuts.value() }, Cell { key: [last + 1, 0, 0], value: deletion.value() }];
    rows.put(Table::Deletions, &cells).await
}

/// Before when clicks go, and whether all that was taken goes, too.
pub(crate) fn cut(asked: &ClickDeletion, now: i64) -> (i64, bool) {
    match asked.before.map(|before| before - before.rem_euclid(DAY)) {
        Some(day) if day <= now => (day, false),
        _ => (now, true),
    }
}

/// Times of deletions before which no click can come any more.
pub(crate) async fn forget<R: ClickRows>(rows: &R, now: i64) -> Result<(), R::Fault> {
    for cell in rows.range(Table::Deletions, LEAST, [0; 3], usize::MAX).await? {
        let mut cuts = Cuts::of(&cell.value)?;
        let all = cuts.0.len();
        cuts.0.retain(|(_, cut)| *cut >= now - KNOWN * DAY);
        match cuts.0.len() {
            0 => rows.remove_keys(Table::Deletions, &[cell.key]).await?,
            left if left < all => {
                rows.put(Table::Deletions, &[Cell { key: cell.key, value: cuts.value() }]).await?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// The key of the times of a domain's deletions: below 0, where those that are not done have theirs above.
fn cuts_key(domain: DomainId) -> CellKey {
    [-1 - i64::from(domain.0), 0, 0]
}

/// The domain that a row has such times of; `None`: it is a deletion that is not done.
fn cuts_of(key: &CellKey) -> Option<DomainId> {
    u32::try_from(-1 - key[0]).ok().map(DomainId)
}

impl Cuts {
    fn get(&self, uid: Seq) -> i64 {
        self.0.binary_search_by_key(&uid, |(own, _)| *own).map_or(i64::MIN, |at| self.0[at].1)
    }

    fn put(&mut self, uid: Seq, cut: i64) {
        match self.0.binary_search_by_key(&uid, |(own, _)| *own) {
            Ok(at) => self.0[at].1 = self.0[at].1.max(cut),
            Err(at) => self.0.insert(at, (uid, cut)),
        }
    }

    /// Of these links; of none: of all of the domain.
    fn put_all(&mut self, links: &BTreeSet<Seq>, cut: i64) {
        match links.is_empty() {
            true => self.put(0, cut),
            false => links.iter().for_each(|uid| self.put(*uid, cut)),
        }
    }

    fn value(&self) -> Vec<u8> {
        let mut value = Vec::new();
        for (uid, cut) in &self.0 {
            varint::put(&mut value, *uid);
            varint::put(&mut value, cut.cast_unsigned());
        }
        value
    }

    fn of(value: &[u8]) -> Result<Self, StoreFault> {
        let (mut reader, mut cuts) = (Reader(value), Vec::new());
        while !reader.is_empty() {
            cuts.push((reader.number()?, reader.number()?.cast_signed()));
        }
        Ok(Self(cuts))
    }
}

impl Deletion {
    /// Whether it is of a link, or of a domain itself.
    pub fn is_of(&self, domain: DomainId, uid: Option<Seq>) -> bool {
        self.domain == domain && (self.links.is_empty() || uid.is_some_and(|uid| self.links.contains(&uid)))
    }

    /// The day of the cut. Of days before it nothing stays, and nothing comes.
    pub fn day(&self) -> i64 {
        self.cut.div_euclid(DAY)
    }

    /// The hour of the cut.
    pub fn hour(&self) -> i64 {
        self.cut.div_euclid(HOUR)
    }

    pub fn value(&self) -> Vec<u8> {
        let mut value = Vec::new();
        varint::put(&mut value, FIRST_STAGE + self.stage as u64);
        self.at.key.iter().for_each(|part| varint::put(&mut value, part.cast_unsigned()));
        let numbers = [self.at.number, self.domain.0.into(), self.cut.cast_unsigned(), self.so_far.into()];
        for number in
            numbers.into_iter().chain([self.end.batch, self.end.click]).chain(self.links.iter().copied())
        {
            varint::put(&mut value, number);
        }
        value
    }

    pub fn of(value: &[u8]) -> Result<Self, StoreFault> {
        let mut reader = Reader(value);
        let stage = reader.number()?.checked_sub(FIRST_STAGE).and_then(|stage| usize::try_from(stage).ok());
        let stage = stage.and_then(|stage| Stage::ALL.get(stage)).copied();
        let stage = stage.ok_or_else(|| corrupt("a deletion was noted by another linkr, or is damaged"))?;
        let key = [reader.number()?, reader.number()?, reader.number()?].map(u64::cast_signed);
        let at = Progress { key, number: reader.number()? };
        let domain = u32::try_from(reader.number()?).map_err(|_| corrupt("a deletion has no domain"))?;
        let (cut, so_far) = (reader.number()?.cast_signed(), reader.number()? > 0);
        let end = Place { batch: reader.number()?, click: reader.number()? };
        let mut links = BTreeSet::new();
        while !reader.is_empty() {
            links.insert(reader.number()?);
        }
        Ok(Self { domain: DomainId(domain), links, cut, so_far, end, stage, at })
    }
}

/// Those below it were of an earlier layout.
const FIRST_STAGE: u64 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deletion_comes_back_at_each_stage() {
        for stage in Stage::ALL {
            let at = Progress { key: [17, -5, 3], number: u64::MAX };
            let (links, end) = (BTreeSet::from([1, 1_000_000]), Place { batch: 12, click: 40 });
            let deletion = Deletion { domain: DomainId(9), links, cut: -3, so_far: true, end, stage, at };
            assert_eq!(Deletion::of(&deletion.value()).unwrap(), deletion);
            let begun = Deletion { at: Progress::BEGIN, links: BTreeSet::new(), ..deletion };
            assert_eq!(Deletion::of(&begun.value()).unwrap(), begun);
        }
        assert!(Deletion::of(&[0, 0, 0, 0, 0, 0, 0]).is_err() && Deletion::of(&[3, 0]).is_err());
    }

    #[test]
    fn a_deletion_ends_with_a_whole_day_that_is_over_or_now() {
        let (now, asked) =
            (10 * DAY + 5, |before| ClickDeletion { domain: DomainId(1), links: None, before });
        let of = |before| cut(&asked(before), now);
        assert_eq!(of(Some(3 * DAY)), (3 * DAY, false));
        assert_eq!(of(Some(4 * DAY - 1)), (3 * DAY, false));
        assert_eq!(of(Some(10 * DAY + 1)), (10 * DAY, false));
        assert_eq!([of(Some(11 * DAY)), of(None)], [(now, true); 2]);
    }

    #[test]
    fn the_latest_time_holds_and_is_found_by_its_link() {
        let mut cuts = Cuts::default();
        for (uid, cut) in [(7, 5), (0, 1), (7, 4), (3, -9)] {
            cuts.put(uid, cut);
        }
        assert_eq!([0, 3, 7, 8].map(|uid| cuts.get(uid)), [1, -9, 5, i64::MIN]);
        assert_eq!(Cuts::of(&cuts.value()).unwrap(), cuts);
        for domain in [0, 9, u32::MAX] {
            assert_eq!(cuts_of(&cuts_key(DomainId(domain))), Some(DomainId(domain)));
        }
        assert_eq!(cuts_of(&[1, 0, 0]), None);
    }
}
