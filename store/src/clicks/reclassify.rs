//! Single clicks are put into the classes that the lists of this program say, and with them what counts have of them: a row at a
//! time, in one transaction. A row says itself which lists have classed it, so nothing else says how far this is: behind a
//! kill, and when it is done again, what is left is found (docs/decisions/0041).

mod mending;

use super::delete;
use super::fold::put_raw;
use super::memory::{Memory, decoded};
use super::raw;
use super::rows::{ClickRows, RawHead};
use super::tidy::RAW;
use super::times::{DAY, MINUTE};
use crate::port::clicks::Reclassified;
use clicks::batch::{self, Batch};
use clicks::{AgentClass, Agents, CLASSIFIER, Click, anew};
use mending::Mending;
use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};

/// Clicks that get another class in one transaction: what counts have of each of them is written anew.
const CHANGED: usize = 4_096;
/// Rows of single clicks that one transaction looks at, and bytes of them, where their lists need no change.
const ROWS: usize = 64;
const BYTES: u64 = 16 << 20;
/// Texts of agents that are read at once.
const AGENTS: usize = 4_096;
/// No click is counted with a time that is further ahead of the clock of control: so far into a day, clicks may have been folded
/// on the day before.
const AHEAD: i64 = 5 * MINUTE;

/// What was done, once it is committed.
#[derive(Default)]
pub(crate) struct ReclassifyDone {
    pub report: Reclassified,
    /// New names of browsers and systems, and the day of which they are.
    texts: usize,
    day: i64,
    /// Where a row was written anew.
    written: Option<u64>,
}

impl ReclassifyDone {
    /// To be called once it is committed.
    pub fn note(&self, memory: &Memory) {
        if self.texts > 0 {
            memory.wrote_texts(self.texts, 0, self.day);
        }
        // A row may be in two parts now, which are to be joined again.
        self.written.into_iter().for_each(|place| memory.set_joined(memory.joined().min(place)));
    }
}

/// Looks at some rows of single clicks from a place on, up to the first that other lists have classed and with it.
pub(crate) async fn reclassify<R: ClickRows>(
    rows: &R,
    memory: &Memory,
    agents: &Agents,
    place: u64,
    now: i64,
) -> Result<ReclassifyDone, R::Fault> {
    rows.claim(true).await?;
    let mut done = ReclassifyDone { day: now.div_euclid(DAY), ..ReclassifyDone::default() };
    done.report.since = since(rows, done.day).await?;
    if delete::work(rows).await? {
        // A row may hold clicks that no count has any more.
        done.report.next = Some(place);
        return Ok(done);
    }
    let heads = rows.raw(place, ROWS).await?;
    let mut read = 0;
    for head in &heads {
        let value = rows.raw_value(head).await?;
        let begins = batch::head(&value).map_err(|fault| super::memory::corrupt(&fault.to_string()))?;
        done.report.next = Some(head.first + head.span);
        match begins.classifier.cmp(&CLASSIFIER) {
            Ordering::Less => {
                one_row(rows, memory, agents, (head, decoded(&value)?), &mut done).await?;
                return Ok(done);
            }
            Ordering::Equal => {}
            Ordering::Greater => done.report.newer += begins.clicks as u64,
        }
        read += head.bytes;
        if read > BYTES {
            return Ok(done);
        }
    }
    if heads.len() < ROWS {
        done.report.next = None;
    }
    Ok(done)
}

/// From when on every click that there is, is single: those that were folded before are forgotten.
async fn since<R: ClickRows>(rows: &R, today: i64) -> Result<Option<i64>, R::Fault> {
    let first = rows.raw(0, 1).await?.pop();
    Ok(first.map(|head| head.day.max(today - RAW) * DAY + AHEAD))
}

/// Classes the clicks of a row, or as many of its first ones as one transaction changes.
async fn one_row<R: ClickRows>(
    rows: &R,
    memory: &Memory,
    agents: &Agents,
    (head, mut batch): (&RawHead, Batch),
    done: &mut ReclassifyDone,
) -> Result<(), R::Fault> {
    let classes = classes(rows, agents, &batch.clicks).await?;
    let mut texts = memory.staged(rows, done.day).await?;
    let mut mending = Mending::default();
    let (mut looked, mut changed) = (0, 0);
    for click in &mut batch.clicks {
        if changed == CHANGED {
            break;
        }
        looked += 1;
        let Some(class) = classes.get(&click.agent) else {
            done.report.unknown += 1;
            continue;
        };
        let Some(now) = anew(click, class) else { continue };
        changed += 1;
        match now.kind == click.kind {
            true => done.report.renamed += 1,
            false => *done.report.changes.entry((click.kind, now.kind)).or_default() += 1,
        }
        mending.add(click, &now, &mut texts);
        *click = now;
    }
    done.report.clicks = looked as u64;
    let left = batch.clicks.split_off(looked);
    let end = head.first + head.span;
    let split = end - left.len() as u64;
    put(rows, (head.first, split, head.day), CLASSIFIER, batch.clicks).await?;
    if !left.is_empty() {
        put(rows, (split, end, head.day), batch.classifier, left).await?;
    }
    (done.report.next, done.written) = (Some(split), Some(head.first));
    done.report.missing = mending.write(rows).await?;
    rows.put(super::rows::Table::Texts, &texts.cells()).await?;
    done.texts = texts.fresh();
    Ok(())
}

/// What agents of clicks are, by their hashes; those whose texts are not kept are not among them.
async fn classes<R: ClickRows>(
    rows: &R,
    agents: &Agents,
    clicks: &[Click],
) -> Result<HashMap<u64, AgentClass>, R::Fault> {
    let hashes: BTreeSet<u64> = clicks.iter().map(|click| click.agent).filter(|hash| *hash != 0).collect();
    let hashes: Vec<u64> = hashes.into_iter().collect();
    let mut classes = HashMap::from([(0, agents.classify(""))]); // none was given
    for hashes in hashes.chunks(AGENTS) {
        for (hash, text) in hashes.iter().zip(raw::agents(rows, hashes).await?) {
            classes.extend(text.map(|text| (*hash, agents.classify(&text))));
        }
    }
    Ok(classes)
}

/// Writes clicks in the place of a row that goes from one running number to another: as several rows where their names take more
/// room than those of before. Each keeps its own number, which are the last ones.
async fn put<R: ClickRows>(
    rows: &R,
    (mut first, end, day): (u64, u64, i64),
    classifier: u16,
    clicks: Vec<Click>,
) -> Result<(), R::Fault> {
    let mut left = clicks;
    while !left.is_empty() {
        let mut part = Batch::new(1, classifier);
        (part.clicks, left) = (left, Vec::new());
        while !part.fits() {
            let mut behind = part.clicks.split_off(part.clicks.len() / 2);
            behind.append(&mut left);
            left = behind;
        }
        let split = end - left.len() as u64;
        put_raw(rows, first, split - first, day, &part).await?;
        first = split;
    }
    Ok(())
}

/// What several steps have done.
impl std::ops::AddAssign for Reclassified {
    fn add_assign(&mut self, more: Self) {
        let Self { clicks, changes, renamed, unknown, missing, newer, since, next } = more;
        for (change, count) in changes {
            *self.changes.entry(change).or_default() += count;
        }
        self.clicks += clicks;
        self.renamed += renamed;
        self.unknown += unknown;
        self.missing += missing;
        self.newer += newer;
        (self.since, self.next) = (since, next);
    }
}
