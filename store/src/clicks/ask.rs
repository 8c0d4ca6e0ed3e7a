//! Counts out of what is packed, what is not packed yet, and what is not folded yet: all of one snapshot, so that each click is
//! in one of them.

mod summed;

use super::deletions::Deletions;
use super::fold::{count_of, is_visit, sketch};
use super::memory::{Memory, Texts, corrupt};
use super::rows::{Cell, CellKey, ClickRows, MOST, Table, subject_of};
use super::run::{APARTS, Run, Step, part};
use super::times::{DAY, MINUTE, QUARTER, QUARTERS, day_of, month_of, quarter, quarter_from};
use super::unfolded::{LATEST, Tail, tail, unpacked_days};
use crate::model::StoreFault;
use crate::port::clicks::{ClickAnswer, ClickFilter, ClickGroup, ClickQuestion, DayVisitors, SplitAnswer};
use clicks::Sketch;
use clicks::ask::{Counts, Tally, TallyFault};
use clicks::batch::Total;
use clicks::rollup::Dimension;
use clicks::{Click, Kind};
use link::Seq;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use summed::{Rest, SummedDays};

/// Rows of one link that are read at once.
const ROWS: usize = 4_096;
/// Links that are read at once: a row of each is some hundred bytes, and up to some MB a month of one that everybody clicks.
const LINKS: usize = 16;

/// What a question reads.
struct Asked<'a> {
    question: &'a ClickQuestion,
    /// The first quarter, and the one behind the last.
    quarters: (i64, i64),
}

/// The answer to any question but that for a whole domain by its links, which is in `by_link`.
pub(crate) async fn counts<R: ClickRows>(
    rows: &R,
    memory: &Memory,
    question: &ClickQuestion,
) -> Result<ClickAnswer, R::Fault> {
    let texts = memory.texts(rows).await?;
    let asked = Asked {
        question,
        quarters: (quarter(question.from.max(0)), quarter_from(question.until.clamp(0, LATEST))),
    };
    let whole = [asked.quarters.0 * QUARTER, asked.quarters.1 * QUARTER];
    let times = if question.times.is_empty() { &whole[..] } else { &question.times };
    let mut parts = vec![Part::new(&question.filter, &question.groups, times)];
    parts[0].answer(0, &question.groups, question.most)?;
    for (number, split) in question.splits.iter().enumerate() {
        let part = Part::new(&split.filter, &split.groups, &whole);
        let at = parts.iter().position(|own| own.counts_with(&part)).unwrap_or(parts.len());
        if at == parts.len() {
            parts.push(part);
        }
        parts[at].answer(number + 1, &split.groups, split.most)?;
    }
    let active = 0..parts.len();
    let mut count = Counting { parts, active, texts, step: Step::Quarter, visitors: BTreeMap::new() };
    let deleted = Deletions::read(rows).await?;
    match &question.links {
        Some(links) => {
            let mut by_begin: BTreeMap<i64, BTreeSet<i64>> = BTreeMap::new();
            for &uid in links {
                let from = deleted.from(question.domain, Some(uid)).max(asked.quarters.0);
                by_begin.entry(from).or_default().insert(uid.cast_signed());
            }
            for (from, links) in by_begin {
                let links: Vec<i64> = links.into_iter().collect();
                for links in links.chunks(LINKS) {
                    let range = (from, asked.quarters.1);
                    subjects(rows, links, range, question.visitors, &mut count).await?;
                }
            }
        }
        None => {
            let from = deleted.from(question.domain, None).max(asked.quarters.0);
            let range = (from, asked.quarters.1);
            // The sums of a domain by each dimension are a subject of their own.
            for at in 0..count.parts.len() {
                count.active = at..at + 1;
                let visited = question.visitors && at == 0;
                let before = |only: Dimension| APARTS.iter().take_while(|one| **one != only).count() as i64;
                let number = count.parts[at].only.map_or(0, |only| before(only) + 1);
                let of = subject_of(question.domain, number);
                subjects(rows, &[of], range, visited && number == 0, &mut count).await?;
                if visited && number > 0 {
                    visitors(rows, subject_of(question.domain, 0), range, &mut count).await?;
                }
            }
            count.active = 0..count.parts.len();
            totals(rows, &asked, from, &mut count).await?;
        }
    }
    let left_out = waiting(rows, memory, &asked, &deleted, &mut count).await?;
    Ok(ClickAnswer { left_out, ..count.finish() })
}

/// The one dimension that a question names beside kind and time. Sums by any are enough where it names none.
fn only(filter: &ClickFilter, groups: &[ClickGroup]) -> Option<Dimension> {
    let named = |dimension: Dimension| {
        let (filtered, group) = match dimension {
            Dimension::Country => (!filter.countries.is_empty(), ClickGroup::Country),
            Dimension::Browser => (!filter.browsers.is_empty(), ClickGroup::Browser),
            Dimension::Os => (!filter.oses.is_empty(), ClickGroup::Os),
            Dimension::Device => (!filter.devices.is_empty(), ClickGroup::Device),
            Dimension::Referrer => (!filter.referrers.is_empty(), ClickGroup::Referrer),
            Dimension::Language => (!filter.languages.is_empty(), ClickGroup::Language),
            Dimension::Kind => (false, ClickGroup::Kind),
        };
        filtered || groups.contains(&group)
    };
    let mut all = APARTS.into_iter().filter(|dimension| named(*dimension));
    match (all.next(), all.next()) {
        (None, _) => Some(Dimension::Device), // the smallest
        (one, None) => one,
        _ => None,
    }
}

/// What is counted so far.
struct Counting {
    /// The first one has the answer to the question itself.
    parts: Vec<Part>,
    /// Those that the rows which are read are counted in.
    active: Range<usize>,
    texts: Arc<Texts>,
    step: Step,
    visitors: BTreeMap<i64, Sketch>,
}

/// One or several answers that are counted at once, out of the same sums or roll-ups.
struct Part {
    tally: Tally,
    filter: ClickFilter,
    /// The boundaries of its intervals.
    times: Vec<i64>,
    /// The dimension of which the sums are enough; `None`: whole roll-ups are read.
    only: Option<Dimension>,
    /// Numbers of its answers: 0 is that of the question, and the others are those of its splits.
    answers: Vec<usize>,
}

impl Part {
    fn new(filter: &ClickFilter, groups: &[ClickGroup], times: &[i64]) -> Self {
        let (tally, only) = (Tally::new(filter, times), only(filter, groups));
        Self { tally, filter: filter.clone(), times: times.to_vec(), only, answers: Vec::new() }
    }

    /// `true`: `other` has the same filter, intervals and dimension, so that one tally counts for both.
    fn counts_with(&self, other: &Self) -> bool {
        (&self.filter, &self.times, self.only) == (&other.filter, &other.times, other.only)
    }

    /// Gives the `most` highest groups as the answer with this number.
    fn answer(&mut self, number: usize, groups: &[ClickGroup], most: usize) -> Result<(), StoreFault> {
        self.tally.by(groups, most).map_err(|e| fault(&e))?;
        self.answers.push(number);
        Ok(())
    }
}

impl Counting {
    /// Adds an entry of a run or a row. `in_parts`: it is the sums by one dimension each. `rest`: what of its day is not counted out
    /// of sums.
    fn add(
        &mut self,
        subject: i64,
        quarter: i64,
        (bytes, in_parts): (&[u8], bool),
        rest: Option<&Rest>,
    ) -> Result<(), StoreFault> {
        let uid = u64::try_from(subject).unwrap_or_default(); // a domain's own have no link
        let of_day = quarter.rem_euclid(QUARTERS) as u8;
        for (number, own) in self.parts[self.active.clone()].iter_mut().enumerate() {
            if rest.is_some_and(|rest| !rest.has(number, of_day)) {
                continue;
            }
            let bytes = match (in_parts, own.only) {
                (false, _) => bytes,
                (true, Some(only)) => part(bytes, only)?,
                (true, None) => continue,
            };
            own.tally.rollup(uid, quarter * QUARTER, bytes, &*self.texts).map_err(|e| fault(&e))?;
        }
        Ok(())
    }

    /// Adds the whole roll-up of what has sums beside it.
    fn add_whole(&mut self, subject: i64, quarter: i64, bytes: &[u8]) -> Result<(), StoreFault> {
        let uid = u64::try_from(subject).unwrap_or_default();
        for own in self.parts[self.active.clone()].iter_mut().filter(|own| own.only.is_none()) {
            own.tally.rollup(uid, quarter * QUARTER, bytes, &*self.texts).map_err(|e| fault(&e))?;
        }
        Ok(())
    }

    /// Whether some of it is counted out of sums (or out of whole roll-ups).
    fn reads(&self, sums: bool) -> bool {
        self.parts[self.active.clone()].iter().any(|own| own.only.is_some() == sums)
    }

    fn click(&mut self, click: &Click) -> Result<(), StoreFault> {
        self.parts.iter_mut().try_for_each(|own| own.tally.click(click)).map_err(|e| fault(&e))
    }

    fn total(&mut self, total: &Total) -> Result<(), StoreFault> {
        self.parts.iter_mut().try_for_each(|own| own.tally.total(total)).map_err(|e| fault(&e))
    }

    fn visit(&mut self, day: i64, more: &Sketch) {
        self.visitors.entry(day).or_default().merge(more);
    }

    fn finish(self) -> ClickAnswer {
        let answers = self.parts.into_iter().flat_map(|own| own.answers.into_iter().zip(own.tally.finish()));
        let mut counts = answers.collect::<BTreeMap<_, _>>().into_values();
        let Counts { rows, total, more } = counts.next().unwrap_or_default();
        let splits = counts.map(|Counts { rows, total, .. }| SplitAnswer { groups: rows, total }).collect();
        let day = |(day, sketch): (i64, Sketch)| DayVisitors { day, visitors: sketch.count() };
        let visitors = self.visitors.into_iter().map(day).collect();
        let step = self.step.quarters() * QUARTER;
        ClickAnswer { groups: rows, total, visitors, more, splits, step, left_out: None }
    }
}

/// Everything of some links, or of a domain itself.
async fn subjects<R: ClickRows>(
    rows: &R,
    subjects: &[i64],
    (from, before): (i64, i64),
    visited: bool,
    count: &mut Counting,
) -> Result<(), R::Fault> {
    if from >= before {
        return Ok(());
    }
    // A month of several is read whole: they are few.
    let most = if subjects.len() == 1 { ROWS } else { usize::MAX };
    let (mut next, last_month) = (month_of(day_of(from)), month_of(day_of(before - 1)));
    while let Some(&[month, ..]) = rows.keys(Table::Runs, [next, i64::MIN, i64::MIN], MOST, 1).await?.first()
    {
        if month > last_month {
            break;
        }
        next = month + 1;
        let days = match subjects {
            [subject] => summed::read(rows, (month, *subject), (from, before), visited, count).await?,
            _ => SummedDays::default(),
        };
        // A run may begin before the first quarter and hold it: days are read from their begin on.
        for mut quarters in days.gaps((from, before)) {
            loop {
                let cells = rows.range_of(Table::Runs, month, subjects, quarters.clone(), most).await?;
                runs(rows, &cells, &days, ((from, before), visited), count).await?;
                match cells.last() {
                    Some(cell) if cells.len() == most => quarters.start = cell.key[2] + 1,
                    _ => break,
                }
            }
        }
    }
    recent(rows, subjects, (from, before), count).await?;
    if visited {
        visitors_of_recent(rows, subjects, (from, before), count).await?;
    }
    Ok(())
}

/// What runs hold, but for what of it is counted already.
async fn runs<R: ClickRows>(
    rows: &R,
    cells: &[Cell],
    days: &SummedDays,
    ((from, before), visited): ((i64, i64), bool),
    count: &mut Counting,
) -> Result<(), R::Fault> {
    let mut whole = Vec::new();
    for cell in cells {
        let run = Run::of(&cell.value)?;
        count.step = count.step.max(run.step);
        let day = day_of(cell.key[2]);
        let rest = days.rest(day);
        if let Some(bytes) = run.visitors.filter(|_| visited && rest.is_none()) {
            count.visit(day, &sketch(bytes)?);
        }
        if run.in_parts && count.reads(false) {
            whole.push(cell.key);
        }
        if run.in_parts && !count.reads(true) {
            continue;
        }
        for entry in run.entries() {
            let (at, bytes) = entry?;
            let at = day * QUARTERS + i64::from(at);
            if (from..before).contains(&at) {
                count.add(cell.key[1], at, (bytes, run.in_parts), rest)?;
            }
        }
    }
    crosses(rows, &whole, (from, before), count).await
}

async fn crosses<R: ClickRows>(
    rows: &R,
    keys: &[CellKey],
    (from, before): (i64, i64),
    count: &mut Counting,
) -> Result<(), R::Fault> {
    if keys.is_empty() {
        return Ok(());
    }
    for (key, value) in keys.iter().zip(rows.cells(Table::Crosses, keys).await?) {
        let value = value.ok_or_else(|| corrupt("a run lacks its whole roll-ups"))?;
        for entry in Run::of(&value)?.entries() {
            let (at, bytes) = entry?;
            let at = day_of(key[2]) * QUARTERS + i64::from(at);
            if (from..before).contains(&at) {
                count.add_whole(key[1], at, bytes)?;
            }
        }
    }
    Ok(())
}

async fn recent<R: ClickRows>(
    rows: &R,
    subjects: &[i64],
    (from, before): (i64, i64),
    count: &mut Counting,
) -> Result<(), R::Fault> {
    let of = |quarter: i64| subjects.iter().map(move |subject| [quarter, *subject, 0]);
    let keys: Vec<CellKey> = present(rows, (from, before)).await?.into_iter().flat_map(of).collect();
    for keys in keys.chunks(ROWS) {
        for (key, value) in keys.iter().zip(rows.cells(Table::Recent, keys).await?) {
            if let Some(value) = value {
                count.add(key[1], key[0], (&value, false), None)?;
            }
        }
    }
    Ok(())
}

/// The quarters of which something is not packed yet. There are few but for late clicks: those of a day are taken to be all
/// there.
async fn present<R: ClickRows>(rows: &R, (from, before): (i64, i64)) -> Result<Vec<i64>, R::Fault> {
    let mut quarters = Vec::new();
    for day in unpacked_days(rows, (day_of(from), day_of(before - 1) + 1)).await? {
        quarters.extend((day * QUARTERS).max(from)..((day + 1) * QUARTERS).min(before));
    }
    Ok(quarters)
}

/// The sketches of a subject alone.
async fn visitors<R: ClickRows>(
    rows: &R,
    subject: i64,
    (from, before): (i64, i64),
    count: &mut Counting,
) -> Result<(), R::Fault> {
    if from >= before {
        return Ok(());
    }
    // The first run of a day, which has them, begins with the day.
    let days: Vec<CellKey> =
        (day_of(from)..=day_of(before - 1)).map(|day| [month_of(day), subject, day * QUARTERS]).collect();
    for keys in days.chunks(ROWS) {
        for (key, value) in keys.iter().zip(rows.cells(Table::Runs, keys).await?) {
            let Some(value) = value else { continue };
            if let Some(bytes) = Run::of(&value)?.visitors {
                count.visit(day_of(key[2]), &sketch(bytes)?);
            }
        }
    }
    visitors_of_recent(rows, &[subject], (from, before), count).await
}

async fn visitors_of_recent<R: ClickRows>(
    rows: &R,
    subjects: &[i64],
    (from, before): (i64, i64),
    count: &mut Counting,
) -> Result<(), R::Fault> {
    let days = unpacked_days(rows, (day_of(from), day_of(before - 1) + 1)).await?;
    let of = |day: &i64| subjects.iter().map(move |subject| [*day, *subject, 0]).collect::<Vec<_>>();
    let keys: Vec<CellKey> = days.iter().flat_map(of).collect();
    for (key, value) in keys.iter().zip(rows.cells(Table::RecentVisitors, &keys).await?) {
        if let Some(value) = value {
            count.visit(key[0], &sketch(&value)?);
        }
    }
    Ok(())
}

/// What of a domain is kept as a number only.
async fn totals<R: ClickRows>(
    rows: &R,
    asked: &Asked<'_>,
    from: i64,
    count: &mut Counting,
) -> Result<(), R::Fault> {
    let domain = asked.question.domain.0.into();
    let cells =
        rows.range(Table::Totals, [domain, from, 0], [domain, asked.quarters.1, 0], usize::MAX).await?;
    for cell in cells {
        let [_, quarter, kind] = cell.key;
        let kind = usize::try_from(kind).ok().and_then(|kind| Kind::ALL.get(kind)).copied();
        let kind = kind.ok_or_else(|| corrupt("a total is of a newer linkr"))?;
        let minute = quarter * QUARTER / MINUTE;
        let total =
            Total { domain: asked.question.domain, kind, minute, count: count_of(Some(&cell.value))? };
        count.total(&total)?;
    }
    Ok(())
}

/// What is not folded yet. The earliest moment of what was left out of it.
async fn waiting<R: ClickRows>(
    rows: &R,
    memory: &Memory,
    asked: &Asked<'_>,
    deleted: &Deletions,
    count: &mut Counting,
) -> Result<Option<i64>, R::Fault> {
    let question = asked.question;
    let links: Option<BTreeSet<Seq>> = question.links.as_ref().map(|links| links.iter().copied().collect());
    let range = asked.quarters.0..asked.quarters.1;
    let Tail { batches, left_out } = tail(rows, memory).await?;
    for (head, batch) in batches {
        for click in &batch.clicks {
            let asked_for = click.domain == question.domain
                && links.as_ref().is_none_or(|links| links.contains(&click.uid))
                && range.contains(&quarter(click.at));
            if asked_for && !deleted.has(head.number, click) {
                count.click(click)?;
                if question.visitors && is_known(click) {
                    count.visitors.entry(click.at.div_euclid(DAY)).or_default().add(click.visitor);
                }
            }
        }
        let totals = batch.totals.iter().filter(|total| {
            total.domain == question.domain && links.is_none() && !deleted.has_total(head.number, total)
        });
        for total in totals.filter(|total| range.contains(&quarter(total.minute.saturating_mul(MINUTE)))) {
            count.total(total)?;
        }
    }
    Ok(left_out)
}

/// Whether it is counted among the visitors.
fn is_known(click: &Click) -> bool {
    click.visitor != 0 && is_visit(click.kind)
}

pub(crate) fn fault(fault: &TallyFault) -> StoreFault {
    match fault {
        TallyFault::Rollup(fault) => corrupt(&fault.to_string()),
        // Whoever asks tells it by `is_too_much`.
        other => StoreFault::Unavailable(other.to_string()),
    }
}
