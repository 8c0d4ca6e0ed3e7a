//! What a process remembers of a store of clicks, so that it is not read and decoded again: the dictionary, and the batches
//! that are not folded yet. Nothing here is ahead of what is committed.

use super::rows::{Cell, CellKey, ClickRows, InboxHead, MOST, Table};
use crate::model::StoreFault;
use clicks::Click;
use clicks::batch::{self, Batch};
use clicks::rollup::{Dictionary, EMPTY, OTHER, OTHER_TEXT, Tuple};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Clicks of batches that are remembered: some 30 MB.
const TAIL_CLICKS: usize = 262_144;
/// Texts that are read at once.
const TEXTS_AT_ONCE: usize = 10_000;
/// Texts in the dictionary at most.
const MOST_TEXTS: usize = 1_000_000;
/// New texts of one day and process at most: whoever makes up referrers fills it in 50 days.
const FRESH_A_DAY: usize = 20_000;
/// New texts of agents of one day and process at most.
const FRESH_AGENTS_A_DAY: usize = 20_000;
/// The number of the first text that is not one of those that every dictionary has.
const FIRST: u32 = 2;
const _: () = assert!(EMPTY < FIRST && OTHER < FIRST, "they are in no row");

/// The memory of one process.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    texts: Mutex<Arc<Texts>>,
    tail: Mutex<Tail>,
    fresh: Mutex<FreshTexts>,
    /// Up to where raw rows are joined.
    joined: AtomicU64,
    /// The day on which agents were looked through last.
    day: AtomicI64,
    /// Whether all days that were packed before have sums.
    summed: AtomicBool,
}

/// New texts of a day.
#[derive(Clone, Copy, Debug, Default)]
struct FreshTexts {
    day: i64,
    texts: usize,
    agents: usize,
}

/// The dictionary: texts by their numbers, and numbers by their texts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Texts {
    numbers: HashMap<Arc<str>, u32>,
    texts: Vec<Arc<str>>,
}

impl Texts {
    /// `None`: no click had this text.
    fn known(&self, text: &str) -> Option<u32> {
        match text {
            "" => Some(EMPTY),
            OTHER_TEXT => Some(OTHER),
            _ => self.numbers.get(text).copied(),
        }
    }

    fn next(&self) -> u32 {
        FIRST + self.texts.len() as u32
    }

    fn push(&mut self, text: Arc<str>) {
        self.numbers.insert(text.clone(), self.next());
        self.texts.push(text);
    }
}

/// As it is read: what no click had is no text of it.
impl Dictionary for Texts {
    fn number(&mut self, text: &str) -> u32 {
        self.known(text).unwrap_or(OTHER)
    }

    /// The empty text also where there is no such number.
    fn text(&self, number: u32) -> Arc<str> {
        match number {
            OTHER => Arc::from(OTHER_TEXT),
            _ => number
                .checked_sub(FIRST)
                .and_then(|at| self.texts.get(at as usize).cloned())
                .unwrap_or_else(|| Arc::from("")),
        }
    }
}

/// The dictionary with the new texts of one transaction.
pub(crate) struct StagedTexts {
    base: Arc<Texts>,
    numbers: HashMap<Arc<str>, u32>,
    fresh: Vec<Arc<str>>,
    most: usize,
    /// New texts of agents that may be kept.
    pub agents: usize,
}

impl StagedTexts {
    /// How many there are.
    pub fn fresh(&self) -> usize {
        self.fresh.len()
    }

    /// The rows of the new ones.
    pub fn cells(&self) -> Vec<Cell> {
        let cell =
            |(number, text): (u32, &Arc<str>)| Cell { key: key(number), value: text.as_bytes().to_vec() };
        (self.base.next()..).zip(&self.fresh).map(cell).collect()
    }

    /// What a click that was folded before is counted as: a text that no row has is not new.
    pub fn known_tuple(&self, click: &Click) -> Tuple {
        Tuple::of(click, &mut KnownTexts(&self.base))
    }
}

/// The dictionary without the new texts of this transaction: what is not in it is [`OTHER`].
struct KnownTexts<'a>(&'a Texts);

impl Dictionary for KnownTexts<'_> {
    fn number(&mut self, text: &str) -> u32 {
        self.0.known(text).unwrap_or(OTHER)
    }

    fn text(&self, number: u32) -> Arc<str> {
        self.0.text(number)
    }
}

impl Dictionary for StagedTexts {
    fn number(&mut self, text: &str) -> u32 {
        if let Some(number) = self.base.known(text).or_else(|| self.numbers.get(text).copied()) {
            return number;
        }
        if self.fresh.len() >= self.most {
            return OTHER;
        }
        let (text, number): (Arc<str>, u32) = (text.into(), self.base.next() + self.fresh.len() as u32);
        self.fresh.push(text.clone());
        self.numbers.insert(text, number);
        number
    }

    fn text(&self, number: u32) -> Arc<str> {
        let fresh = number.checked_sub(self.base.next()).and_then(|at| self.fresh.get(at as usize));
        fresh.cloned().unwrap_or_else(|| self.base.text(number))
    }
}

/// Batches that are not folded yet.
#[derive(Debug, Default)]
struct Tail {
    batches: BTreeMap<u64, TailBatch>,
    clicks: usize,
}

#[derive(Debug)]
struct TailBatch {
    spool: u64,
    seq: u64,
    batch: Arc<Batch>,
}

impl Tail {
    fn put(&mut self, head: &InboxHead, batch: Arc<Batch>) {
        if self.clicks + batch.clicks.len() > TAIL_CLICKS {
            return; // it is decoded whenever it is needed
        }
        self.clicks += batch.clicks.len();
        let (spool, seq) = (head.spool, head.seq);
        if let Some(old) = self.batches.insert(head.number, TailBatch { spool, seq, batch }) {
            self.clicks -= old.batch.clicks.len();
        }
    }

    /// A store that was put back gives a number again: spool and seq tell.
    fn get(&self, head: &InboxHead) -> Option<Arc<Batch>> {
        let there = self.batches.get(&head.number)?;
        (there.spool == head.spool && there.seq == head.seq).then(|| there.batch.clone())
    }

    fn clear(&mut self, before: u64) {
        let stays = self.batches.split_off(&before);
        let gone = std::mem::replace(&mut self.batches, stays);
        self.clicks -= gone.values().map(|gone| gone.batch.clicks.len()).sum::<usize>();
    }
}

impl Memory {
    /// Batches that were committed.
    pub fn taken(&self, batches: Vec<(InboxHead, Arc<Batch>)>) {
        let mut tail = locked(&self.tail);
        batches.into_iter().for_each(|(head, batch)| tail.put(&head, batch));
    }

    /// A fold of the batches before a number was committed, with so many new texts.
    pub fn folded(&self, before: u64, texts: usize, agents: usize, day: i64) {
        locked(&self.tail).clear(before);
        self.wrote_texts(texts, agents, day);
    }

    /// So many new texts were committed.
    pub fn wrote_texts(&self, texts: usize, agents: usize, day: i64) {
        let mut noted = locked(&self.fresh);
        if noted.day != day {
            *noted = FreshTexts { day, ..FreshTexts::default() };
        }
        noted.texts += texts;
        noted.agents += agents;
    }

    /// Up to where raw rows are joined; 0 behind a start, and then all are looked at once.
    pub fn joined(&self) -> u64 {
        self.joined.load(Ordering::Relaxed)
    }

    /// Notes up to where they are.
    pub fn set_joined(&self, place: u64) {
        self.joined.store(place, Ordering::Relaxed);
    }

    /// Whether all days that were packed before have sums; `false` behind a start, and then it is looked.
    pub fn is_summed(&self) -> bool {
        self.summed.load(Ordering::Relaxed)
    }

    /// Notes that they have.
    pub fn set_summed(&self) {
        self.summed.store(true, Ordering::Relaxed);
    }

    /// `true` once a day.
    pub fn is_new_day(&self, day: i64) -> bool {
        self.day.swap(day, Ordering::Relaxed) != day
    }

    /// The dictionary as it is in this snapshot, at least.
    pub async fn texts<R: ClickRows>(&self, rows: &R) -> Result<Arc<Texts>, R::Fault> {
        let mut texts = locked(&self.texts).clone();
        let mut read = false;
        if let Some(last) = texts.texts.last() {
            // In a store that was put back the same numbers may have other texts.
            let there = rows.cells(Table::Texts, &[key(texts.next() - 1)]).await?.pop().flatten();
            if there.as_deref() != Some(last.as_bytes()) {
                (texts, read) = (Arc::default(), true);
            }
        }
        loop {
            let cells = rows.range(Table::Texts, key(texts.next()), MOST, TEXTS_AT_ONCE).await?;
            let whole = cells.len() < TEXTS_AT_ONCE;
            read |= !cells.is_empty();
            for cell in cells {
                let text = String::from_utf8(cell.value).ok().filter(|_| cell.key == key(texts.next()));
                let text = text.ok_or_else(|| corrupt("the dictionary has a hole"))?;
                Arc::make_mut(&mut texts).push(text.into()); // copied once, where somebody else has it
            }
            if whole {
                break;
            }
        }
        if read {
            *locked(&self.texts) = texts.clone();
        }
        Ok(texts)
    }

    /// The dictionary for a transaction that may write new texts.
    pub async fn staged<R: ClickRows>(&self, rows: &R, day: i64) -> Result<StagedTexts, R::Fault> {
        let base = self.texts(rows).await?;
        let noted = Some(*locked(&self.fresh)).filter(|noted| noted.day == day).unwrap_or_default();
        let most = FRESH_A_DAY.saturating_sub(noted.texts).min(MOST_TEXTS.saturating_sub(base.texts.len()));
        let agents = FRESH_AGENTS_A_DAY.saturating_sub(noted.agents);
        Ok(StagedTexts { base, numbers: HashMap::new(), fresh: Vec::new(), most, agents })
    }

    /// The batches before the first one that is not folded: another control may have folded them.
    pub fn forget_tail(&self, first: Option<&InboxHead>) {
        first.into_iter().for_each(|first| locked(&self.tail).clear(first.number));
    }

    /// What is in these batches.
    pub async fn batches<R: ClickRows>(
        &self,
        rows: &R,
        heads: &[InboxHead],
    ) -> Result<Vec<Arc<Batch>>, R::Fault> {
        let mut known: Vec<Option<Arc<Batch>>> = {
            let tail = locked(&self.tail);
            heads.iter().map(|head| tail.get(head)).collect()
        };
        let missing: Vec<usize> = (0..heads.len()).filter(|&at| known[at].is_none()).collect();
        if !missing.is_empty() {
            let numbers: Vec<u64> = missing.iter().map(|&at| heads[at].number).collect();
            let values = rows.batches(&numbers).await?;
            for (&at, value) in missing.iter().zip(values) {
                let batch = Arc::new(decoded(&value)?);
                // It is committed: this is a snapshot, or the transaction that will remove it.
                locked(&self.tail).put(&heads[at], batch.clone());
                known[at] = Some(batch);
            }
        }
        known.into_iter().map(|batch| batch.ok_or_else(|| corrupt("a batch is gone").into())).collect()
    }
}

fn key(number: u32) -> CellKey {
    [number.into(), 0, 0]
}

/// A batch that this program or an earlier one kept.
pub(crate) fn decoded(bytes: &[u8]) -> Result<Batch, StoreFault> {
    batch::decode(bytes).map_err(|fault| corrupt(&fault.to_string()))
}

pub(crate) fn corrupt(what: &str) -> StoreFault {
    StoreFault::Corrupt(format!("clicks: {what}"))
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
