//! Folds batches into roll-ups, lists and sketches, and joins what is in them to raw rows: all in the transaction that
//! removes the batches, so that each click is folded once.

use super::clicked;
use super::deletions::Deletions;
use super::lists::{self, ListEntry, ListPart, list};
use super::memory::{Memory, StagedTexts, corrupt};
use super::rows::{Cell, CellKey, ClickRows, InboxHead, RawHead, Table, merge, subject_of};
use super::run::{APARTS, alone};
use super::times::{DAY, HOUR, MINUTE, QUARTER, day_of, quarter};
use super::unknown::UnknownList;
use super::varint::{self, Reader};
use crate::model::StoreFault;
use crate::port::clicks::FoldReport;
use clicks::Sketch;
use clicks::batch::{Batch, MAX_CLICKS, MAX_DECODED};
use clicks::rollup::{Dictionary, Rollup, Tuple};
use clicks::{Click, Kind, LossReason};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// Clicks that are folded at once, if the first batch has not more: some 100 ms.
const CLICKS: u64 = MAX_CLICKS as u64;
/// Batches that are folded at once: an edge sends four a second.
const BATCHES: usize = 4_096;
/// Rows that are read and written at once.
const ROWS: usize = 4_096;

/// A fold, once it is committed.
#[derive(Default)]
pub(crate) struct FoldDone {
    pub report: FoldReport,
    /// The batches before this number are folded.
    pub before: u64,
    pub texts: usize,
    pub agents: usize,
    pub day: i64,
}

impl FoldDone {
    /// To be called once it is committed.
    pub fn note(&self, memory: &Memory) {
        if self.report.batches == 0 {
            return;
        }
        memory.folded(self.before, self.texts, self.agents, self.day);
    }
}

/// In a transaction that has claimed the rows, and while no deletion forbids it.
pub(crate) async fn fold<R: ClickRows>(rows: &R, memory: &Memory, now: i64) -> Result<FoldDone, R::Fault> {
    let all = rows.inbox(0, BATCHES).await?;
    let mut clicks = 0;
    let fits = |head: &&InboxHead| {
        clicks += head.span;
        clicks <= CLICKS
    };
    let count = all.iter().take_while(fits).count().max(1).min(all.len());
    let heads = &all[..count];
    let Some(last) = heads.last() else { return Ok(FoldDone::default()) };
    let (before, day) = (last.number + 1, now.div_euclid(DAY));
    let batches = memory.batches(rows, heads).await?;
    let mut plan = Plan::new(memory.staged(rows, day).await?, Deletions::read(rows).await?, day);
    for (head, batch) in heads.iter().zip(&batches) {
        plan.take(head, batch);
    }
    let (texts, agents) = plan.write(rows).await?;
    rows.clear_inbox(before).await?;
    let clicks = heads.iter().map(|head| head.span).sum();
    let report = FoldReport { clicks, batches: count, more: count < all.len() || all.len() == BATCHES };
    Ok(FoldDone { report, before, texts, agents, day })
}

/// What a fold adds to rows.
struct Plan {
    texts: StagedTexts,
    deleted: Deletions,
    day: i64,
    rollups: HashMap<CellKey, Rollup>,
    visitors: HashMap<CellKey, Sketch>,
    lists: HashMap<CellKey, HashMap<u64, u64>>,
    totals: BTreeMap<CellKey, u64>,
    losses: BTreeMap<CellKey, u64>,
    unknown: BTreeMap<CellKey, UnknownList>,
    clicked: BTreeSet<u64>,
    agents: HashMap<u64, Option<String>>,
    raw: Vec<RawJoin>,
}

/// Batches that become one row.
struct RawJoin {
    first: u64,
    /// Running numbers that it takes: more than it has clicks where some are deleted.
    span: u64,
    size: usize,
    batch: Batch,
}

impl Plan {
    fn new(texts: StagedTexts, deleted: Deletions, day: i64) -> Self {
        Self {
            texts,
            deleted,
            day,
            rollups: HashMap::new(),
            visitors: HashMap::new(),
            lists: HashMap::new(),
            totals: BTreeMap::new(),
            losses: BTreeMap::new(),
            unknown: BTreeMap::new(),
            clicked: BTreeSet::new(),
            agents: HashMap::new(),
            raw: Vec::new(),
        }
    }

    fn take(&mut self, head: &InboxHead, batch: &Arc<Batch>) {
        let stays: Vec<&Click> =
            batch.clicks.iter().filter(|click| !self.deleted.has(head.number, click)).collect();
        stays.iter().for_each(|click| self.click(click));
        // A code is not given out again though its clicks are deleted.
        self.clicked.extend(batch.clicks.iter().map(|click| click.uid));
        for total in batch.totals.iter().filter(|total| !self.deleted.has_total(head.number, total)) {
            let quarter = quarter(total.minute.saturating_mul(MINUTE));
            let key = [total.domain.0.into(), quarter, total.kind as i64];
            add(self.totals.entry(key).or_default(), total.count);
        }
        let edge = self.texts.number(&head.edge);
        for loss in &batch.losses {
            let key = [loss.minute, edge.into(), loss.reason as i64];
            add(self.losses.entry(key).or_default(), loss.count);
        }
        if head.hole > 0 {
            let key = [head.at.div_euclid(MINUTE), edge.into(), LossReason::Restored as i64];
            add(self.losses.entry(key).or_default(), head.hole);
        }
        let unknown = batch.unknown.iter().filter(|unknown| !self.deleted.has_unknown(head.number, unknown));
        for unknown in unknown {
            let key = [unknown.hour, unknown.domain.0.into(), 0];
            self.unknown.entry(key).or_default().add(unknown.code.as_deref(), unknown.count);
        }
        for agent in &batch.agents {
            self.agents.insert(agent.hash, Some(agent.text.clone()));
        }
        self.join(head, batch, &stays);
    }

    fn click(&mut self, click: &Click) {
        let tuple = Tuple::of(click, &mut self.texts);
        let quarter = quarter(click.at);
        let subjects = [click.uid.cast_signed(), subject_of(click.domain, 0)];
        for subject in subjects {
            self.rollups.entry([quarter, subject, 0]).or_default().add_tuple(tuple, 1);
        }
        if click.visitor != 0 && is_visit(click.kind) {
            for subject in subjects {
                self.visitors.entry([day_of(quarter), subject, 0]).or_default().add(click.visitor);
            }
        }
        let hour = click.at.div_euclid(HOUR);
        let list = [list(ListPart::Hour, click.kind), hour, click.domain.0.into()];
        *self.lists.entry(list).or_default().entry(click.uid).or_default() += 1;
        if click.agent != 0 {
            self.agents.entry(click.agent).or_default();
        }
    }

    /// What is only counted is in other rows, so a raw row has the clicks alone.
    fn join(&mut self, head: &InboxHead, batch: &Batch, clicks: &[&Click]) {
        if clicks.is_empty() {
            return;
        }
        let clicks = clicks.iter().map(|&click| click.clone());
        let size = batch.size();
        match self.raw.last_mut() {
            Some(join)
                if join.batch.classifier == batch.classifier
                    && join.batch.clicks.len() + clicks.len() <= MAX_CLICKS
                    && join.size + size <= MAX_DECODED =>
            {
                join.size += size;
                join.span = head.first + head.span - join.first;
                join.batch.clicks.extend(clicks);
            }
            _ => {
                let mut joined = Batch::new(1, batch.classifier);
                joined.clicks.extend(clicks);
                self.raw.push(RawJoin { first: head.first, span: head.span, size, batch: joined });
            }
        }
    }

    /// Writes all of it; how many texts and agents are new.
    async fn write<R: ClickRows>(mut self, rows: &R) -> Result<(usize, usize), R::Fault> {
        for join in std::mem::take(&mut self.raw) {
            put_raw(rows, join.first, join.span, self.day, &join.batch).await?;
        }
        self.by_dimension();
        let mut rollups = self.rollups;
        merge(rows, Table::Recent, keys(&rollups), |key, there| {
            let fresh = rollups.remove(key).unwrap_or_default();
            let there = there.as_deref().unwrap_or_default();
            fresh.append_to(there).map_err(|fault| corrupt(&fault.to_string()))
        })
        .await?;
        let mut visitors = self.visitors;
        merge(rows, Table::RecentVisitors, keys(&visitors), |key, there| {
            let mut whole = visitors.remove(key).unwrap_or_default();
            if let Some(there) = there {
                whole.merge(&sketch(&there)?);
            }
            Ok(whole.encode())
        })
        .await?;
        let mut lists = self.lists;
        merge(rows, Table::Lists, keys(&lists), |key, there| {
            let more = lists.remove(key).unwrap_or_default();
            let mut more: Vec<_> = more.into_iter().map(|(uid, count)| ListEntry { uid, count }).collect();
            more.sort_unstable_by_key(|entry| entry.uid);
            Ok(match there {
                Some(there) => lists::encode(&lists::merge(&lists::decode(&there)?, &more)),
                None => lists::encode(&more),
            })
        })
        .await?;
        for (table, counts) in [(Table::Totals, &self.totals), (Table::Losses, &self.losses)] {
            let keys = counts.keys().copied().collect();
            merge(rows, table, keys, |key, there| {
                Ok(count_value(counts[key].saturating_add(count_of(there.as_deref())?)))
            })
            .await?;
        }
        let mut unknown = self.unknown;
        merge(rows, Table::Unknown, unknown.keys().copied().collect(), |key, there| {
            let mut whole = unknown.remove(key).unwrap_or_default();
            if let Some(there) = there {
                whole.merge(&UnknownList::decode(&there)?);
            }
            Ok(whole.encode())
        })
        .await?;
        clicked::put(rows, &self.clicked).await?;
        let agents = put_agents(rows, self.agents, self.day, self.texts.agents).await?;
        rows.put(Table::Texts, &self.texts.cells()).await?;
        Ok((self.texts.fresh(), agents))
    }

    /// The sums of domains by one dimension each, which stay exact and small however many different clicks there are.
    fn by_dimension(&mut self) {
        let mut sums: HashMap<CellKey, Rollup> = HashMap::new();
        for (&[quarter, subject, _], rollup) in
            self.rollups.iter_mut().filter(|([_, subject, _], _)| *subject < 0)
        {
            for entry in rollup.entries() {
                for (number, dimension) in (1..).zip(APARTS) {
                    let sum = sums.entry([quarter, subject - number, 0]).or_default();
                    sum.add_tuple(alone(entry.tuple, dimension), entry.count);
                }
            }
        }
        self.rollups.extend(sums);
    }
}

/// Whether it is one of a person, who is counted among the visitors.
pub(crate) fn is_visit(kind: Kind) -> bool {
    matches!(kind, Kind::Human | Kind::Repeat)
}

/// A row of raw clicks.
pub(crate) async fn put_raw<R: ClickRows>(
    rows: &R,
    first: u64,
    span: u64,
    day: i64,
    batch: &Batch,
) -> Result<(), R::Fault> {
    let times = || batch.clicks.iter().map(|click| click.at);
    let (first_at, last_at) = (times().min().unwrap_or_default(), times().max().unwrap_or_default());
    let value = clicks::batch::encode(batch);
    let head = RawHead { first, span, first_at, last_at, day, bytes: value.len() as u64 };
    rows.put_raw(&head, &value).await
}

fn keys<V>(of: &HashMap<CellKey, V>) -> Vec<CellKey> {
    let mut keys: Vec<CellKey> = of.keys().copied().collect();
    keys.sort_unstable(); // in the order in which they lie on disk
    keys
}

/// Keeps new texts, and notes the day on which an agent was last seen. How many are new.
async fn put_agents<R: ClickRows>(
    rows: &R,
    agents: HashMap<u64, Option<String>>,
    day: i64,
    most: usize,
) -> Result<usize, R::Fault> {
    let mut hashes: Vec<u64> = agents.keys().copied().collect();
    hashes.sort_unstable();
    let mut fresh = 0;
    for hashes in hashes.chunks(ROWS) {
        let keys: Vec<CellKey> = hashes.iter().map(|&hash| agent_key(hash)).collect();
        let there = rows.cells(Table::Agents, &keys).await?;
        let mut cells = Vec::new();
        for ((hash, key), there) in hashes.iter().zip(&keys).zip(there) {
            match (there.as_deref().map(agent_of).transpose()?, &agents[hash]) {
                (Some(there), _) if there.day < day => {
                    cells.push(Cell { key: *key, value: agent(day, there.text) });
                }
                (None, Some(text)) if fresh < most => {
                    fresh += 1;
                    cells.push(Cell { key: *key, value: agent(day, text) });
                }
                _ => {}
            }
        }
        rows.put(Table::Agents, &cells).await?;
    }
    Ok(fresh)
}

pub(crate) fn agent_key(hash: u64) -> CellKey {
    [hash.cast_signed(), 0, 0]
}

/// An agent as it is kept.
pub(crate) struct KeptAgent<'a> {
    /// The day on which it was last seen.
    pub day: i64,
    pub text: &'a str,
}

fn agent(day: i64, text: &str) -> Vec<u8> {
    let mut value = Vec::with_capacity(text.len() + 4);
    varint::put(&mut value, day.cast_unsigned());
    value.extend_from_slice(text.as_bytes());
    value
}

pub(crate) fn agent_of(value: &[u8]) -> Result<KeptAgent<'_>, StoreFault> {
    let mut reader = Reader(value);
    let day = reader.number()?.cast_signed();
    let text = std::str::from_utf8(reader.0).map_err(|_| corrupt("the text of an agent is none"))?;
    Ok(KeptAgent { day, text })
}

pub(crate) fn sketch(bytes: &[u8]) -> Result<Sketch, StoreFault> {
    Sketch::decode(bytes).map_err(|fault| corrupt(&fault.to_string()))
}

pub(crate) fn count_value(count: u64) -> Vec<u8> {
    let mut value = Vec::new();
    varint::put(&mut value, count);
    value
}

/// 0: there is none.
pub(crate) fn count_of(value: Option<&[u8]>) -> Result<u64, StoreFault> {
    value.map_or(Ok(0), |value| Reader(value).number())
}

fn add(sum: &mut u64, more: u64) {
    *sum = sum.saturating_add(more);
}

const _: () = assert!(DAY % QUARTER == 0 && HOUR % QUARTER == 0, "a quarter is in one hour and one day");
