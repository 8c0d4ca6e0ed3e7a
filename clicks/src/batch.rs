//! A batch of clicks as an edge sends it and a store keeps it, with its running numbers: what is in it, and its bounds.

mod columns;
mod decode;
mod encode;

pub use decode::decode;
pub use encode::encode;

use crate::{Click, Kind, LossReason};
use link::DomainId;

/// Clicks of one batch.
pub const MAX_CLICKS: usize = 65_536;
/// Of totals, losses, unknown codes and texts of agents, so many each in one batch.
pub const MAX_NOTES: usize = 16_384;
/// Bytes of a text or a code in a batch. A longer text is cut by the writer.
pub const MAX_TEXT: usize = 512;
/// What one total, loss or count of an unknown code may say.
pub const MAX_COUNT: u64 = 1 << 40;
/// Bytes of a batch once its columns are decompressed. Encoded it is never longer than that and a few bytes a column.
pub const MAX_DECODED: usize = 4 << 20;
/// The last number that a batch may begin with: see [`MAX_NO`](crate::ledger::MAX_NO).
const MAX_FIRST_NO: u64 = crate::ledger::MAX_NO;

/// What an edge recorded for a while. The running numbers of a spool go through its batches without a hole: each click, each
/// of a total and each lost one has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The running number of the first click, from 1 on.
    pub first_no: u64,
    /// The version of the classifier that put the clicks into their kinds.
    pub classifier: u16,
    /// The clicks in the order in which they were recorded.
    pub clicks: Vec<Click>,
    /// Clicks of which only the number is kept.
    pub totals: Vec<Total>,
    /// Clicks that were recorded and are in no count.
    pub losses: Vec<Loss>,
    /// Requests for codes that there are not. They have no running numbers.
    pub unknown: Vec<UnknownCode>,
    /// The texts of agents whose hashes are in clicks of this batch, or of one soon before or after it.
    pub agents: Vec<AgentText>,
}

/// Clicks of one domain, kind and minute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Total {
    /// The domain of the links.
    pub domain: DomainId,
    /// One that [is kept as a total](Kind::is_total).
    pub kind: Kind,
    /// Unix time in minutes.
    pub minute: i64,
    /// How many, at most [`MAX_COUNT`].
    pub count: u64,
}

/// Lost clicks of one reason and minute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Why.
    pub reason: LossReason,
    /// Unix time in minutes.
    pub minute: i64,
    /// How many, at most [`MAX_COUNT`].
    pub count: u64,
}

/// Requests for one code that there is not, or for all such codes of a domain that are not named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownCode {
    /// The domain that was asked.
    pub domain: DomainId,
    /// Unix time in hours.
    pub hour: i64,
    /// The code as it was asked for, at most [`MAX_TEXT`] bytes; `None`: any that is not named in this hour.
    pub code: Option<Box<[u8]>>,
    /// How many, at most [`MAX_COUNT`].
    pub count: u64,
}

/// The text of an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentText {
    /// What stands for it in clicks.
    pub hash: u64,
    /// The text, at most [`MAX_TEXT`] bytes.
    pub text: String,
}

/// Why bytes are no batch, or why batches cannot be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchFault {
    /// A newer edge made it: update control first.
    TooNew,
    /// No edge that keeps to the protocol makes it.
    Malformed(&'static str),
    /// Batches of different classifiers or spools, or with numbers missing between them, are not joined.
    Apart,
    /// It holds more than one of the bounds of this module allows.
    TooLarge,
}

impl std::fmt::Display for BatchFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooNew => f.write_str("the batch has a newer layout: update control before its edges"),
            Self::Malformed(what) => write!(f, "the batch is malformed: {what}"),
            Self::Apart => {
                f.write_str("the batches do not follow each other: join those of one spool in order")
            }
            Self::TooLarge => f.write_str("the batch is too large: send it in parts"),
        }
    }
}

impl std::error::Error for BatchFault {}

impl Batch {
    /// One that holds nothing yet.
    pub fn new(first_no: u64, classifier: u16) -> Self {
        Self {
            first_no,
            classifier,
            clicks: Vec::new(),
            totals: Vec::new(),
            losses: Vec::new(),
            unknown: Vec::new(),
            agents: Vec::new(),
        }
    }

    /// How many running numbers it holds: its clicks, totals and losses.
    pub fn recorded(&self) -> u64 {
        let totals = self.totals.iter().map(|total| total.count);
        let losses = self.losses.iter().map(|loss| loss.count);
        totals.chain(losses).fold(self.clicks.len() as u64, u64::saturating_add)
    }

    /// The running number of its last click; `first_no - 1` if it holds none.
    pub fn last_no(&self) -> u64 {
        self.first_no.saturating_add(self.recorded()).saturating_sub(1)
    }

    /// Whether nothing is in it that has to be sent.
    pub fn is_empty(&self) -> bool {
        self.recorded() == 0 && self.unknown.is_empty() && self.agents.is_empty()
    }

    /// At most so many bytes does it take once decoded. Whoever fills a batch ends it well before [`MAX_DECODED`], and
    /// before [`MAX_CLICKS`] and [`MAX_NOTES`]: see [`fits`](Self::fits).
    pub fn size(&self) -> usize {
        let text = |text: &str| text.len().min(MAX_TEXT);
        let clicks: usize = self
            .clicks
            .iter()
            .map(|click| CLICK_BYTES + text(&click.browser) + text(&click.os) + text(&click.referrer))
            .sum();
        let codes = self.unknown.iter().map(|unknown| unknown.code.as_deref().map_or(0, <[u8]>::len));
        let agents = self.agents.iter().map(|agent| text(&agent.text));
        let notes = self.totals.len() + self.losses.len() + self.unknown.len() + self.agents.len();
        clicks + codes.sum::<usize>() + agents.sum::<usize>() + notes * NOTE_BYTES + HEAD_BYTES
    }

    /// Whether [`decode`] will take what [`encode`] makes of it. An edge checks it before a batch gets a seq, since
    /// nobody can take one that does not fit.
    pub fn fits(&self) -> bool {
        let notes = [self.totals.len(), self.losses.len(), self.unknown.len(), self.agents.len()];
        let counts =
            self.totals.iter().map(|total| total.count).chain(self.losses.iter().map(|loss| loss.count));
        let mut counts = counts.chain(self.unknown.iter().map(|unknown| unknown.count));
        self.clicks.len() <= MAX_CLICKS
            && notes.iter().all(|notes| *notes <= MAX_NOTES)
            && counts.all(|count| count <= MAX_COUNT)
            && self.last_no() <= MAX_FIRST_NO
            && self.size() <= MAX_DECODED
    }
}

/// At most so many bytes of a click are in columns, without texts: the entries that it may add to dictionaries and what
/// names them.
const CLICK_BYTES: usize = 88;
/// The same of a total, a loss, an unknown code or an agent's text.
const NOTE_BYTES: usize = 40;
/// The same of the batch itself.
const HEAD_BYTES: usize = 512;

/// The batches of one spool, which follow each other, as one.
///
/// # Errors
/// [`BatchFault::Apart`] if one does not begin where the one before it ends, or has another classifier;
/// [`BatchFault::TooLarge`] if together they do not fit.
pub fn join(batches: &[Batch]) -> Result<Batch, BatchFault> {
    let Some((first, rest)) = batches.split_first() else { return Err(BatchFault::Apart) };
    let mut whole = first.clone();
    for batch in rest {
        if batch.first_no != whole.last_no() + 1 || batch.classifier != whole.classifier {
            return Err(BatchFault::Apart);
        }
        whole.clicks.extend_from_slice(&batch.clicks);
        whole.totals.extend_from_slice(&batch.totals);
        whole.losses.extend_from_slice(&batch.losses);
        whole.unknown.extend_from_slice(&batch.unknown);
        whole.agents.extend_from_slice(&batch.agents);
    }
    compact(&mut whole);
    if whole.fits() { Ok(whole) } else { Err(BatchFault::TooLarge) }
}

/// Adds up what batches of a second each say of one minute or hour, and keeps each text of an agent once.
fn compact(batch: &mut Batch) {
    batch.totals.sort_by_key(|total| (total.minute, total.domain, total.kind));
    batch.totals.dedup_by(|next, kept| {
        let same = (next.minute, next.domain, next.kind) == (kept.minute, kept.domain, kept.kind);
        same && add(&mut kept.count, next.count)
    });
    batch.losses.sort_by_key(|loss| (loss.minute, loss.reason));
    batch.losses.dedup_by(|next, kept| {
        (next.minute, next.reason) == (kept.minute, kept.reason) && add(&mut kept.count, next.count)
    });
    batch.unknown.sort_by(|a, b| (a.hour, a.domain, &a.code).cmp(&(b.hour, b.domain, &b.code)));
    batch.unknown.dedup_by(|next, kept| {
        let same = (next.hour, next.domain, &next.code) == (kept.hour, kept.domain, &kept.code);
        same && add(&mut kept.count, next.count)
    });
    batch.agents.sort_by(|a, b| (a.hash, &a.text).cmp(&(b.hash, &b.text)));
    batch.agents.dedup();
}

/// Whether the sum is one that a single count may say; then it is in `kept`.
fn add(kept: &mut u64, more: u64) -> bool {
    let sum = kept.saturating_add(more);
    let fits = sum <= MAX_COUNT;
    if fits {
        *kept = sum;
    }
    fits
}
