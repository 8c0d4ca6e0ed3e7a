//! What the service and the feed need of a store of clicks: batches taken once, counts, lists, raw clicks, what was lost.
//! What a click is, and which batch is taken, is decided by `clicks`.

pub use clicks::ask::{ClickFilter, ClickGroup, CountRow, GroupKey};

use crate::model::StoreFault;
use bytes::Bytes;
use clicks::ask::TallyFault;
use clicks::batch::Batch;
use clicks::ledger::{Cursor, Offer};
use clicks::{Agents, Click, Kind, LossReason};
use link::{DomainId, Seq};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Bytes of the key of a day.
pub const DAY_KEY: usize = 32;

/// A store of clicks, beside the links. Every call blocks; none may be made on an async thread.
///
/// After a failed call nothing has changed, or the call may be made again with the same outcome. `now` is in Unix
/// milliseconds. Answers hold every batch that was acknowledged before the call, folded or not.
pub trait ClickStore: Send + Sync {
    /// Takes batches of many edges in one transaction, and says of each, in their order, what became of it. What is
    /// acknowledged is on disk.
    fn append(&self, offered: &[Appended], now: i64) -> Result<Vec<AppendOutcome>, StoreFault>;
    /// Folds some of the batches that were taken into roll-ups and lists, in one short transaction. Of several controls one
    /// does it at a time; the others fold nothing.
    fn fold(&self, now: i64) -> Result<FoldReport, StoreFault>;
    /// Packs, ages and forgets a little of what is due, in one short transaction; whether there may be more.
    fn tidy(&self, now: i64) -> Result<bool, StoreFault>;
    /// Counts of a domain or of links of it.
    fn counts(&self, question: &ClickQuestion) -> Result<ClickAnswer, StoreFault>;
    /// The links of a domain that were clicked most.
    fn top_links(&self, question: &TopQuestion) -> Result<TopAnswer, StoreFault>;
    /// Clicks one by one, in the order in which they were acknowledged, for as long as they are kept.
    fn raw(&self, question: &RawQuestion) -> Result<RawPage, StoreFault>;
    /// Where the next click will be: whoever reads on from here sees only what comes.
    fn raw_end(&self) -> Result<u64, StoreFault>;
    /// The texts of agents, in the order of their hashes; `None`: not known (any more).
    fn agents(&self, hashes: &[u64]) -> Result<Vec<Option<String>>, StoreFault>;
    /// Codes of a domain that were asked for and are none.
    fn unknown_codes(&self, question: &UnknownQuestion) -> Result<UnknownCodes, StoreFault>;
    /// What was lost from the minute of `from` on and before `until`, in the order of its minutes.
    fn losses(&self, from: i64, until: i64) -> Result<Vec<LossRow>, StoreFault>;
    /// Deletes clicks of a domain or of links of it, and says how many there were. From then on they are in no count of these, in no list
    /// and among no single clicks, and none that was answered before comes back, however late it is sent. The tables are cleared
    /// little by little, and with them the sums of a domain of which only some links are named; its visitors stay, and so do
    /// losses.
    fn delete_clicks(&self, deletion: &ClickDeletion, now: i64) -> Result<u64, StoreFault>;
    /// Classes single clicks from a place on by these lists where earlier ones had classed them, and mends what counts have of
    /// them, in one short transaction. No click is made or lost. What is done already is not done again, so it may be
    /// interrupted anywhere.
    fn reclassify(&self, agents: &Agents, place: u64, now: i64) -> Result<Reclassified, StoreFault>;
    /// The key of a day (days since 1970): the one that there is, or else `fresh`, which is kept from now on. It is in no
    /// backup, and gone an hour after its day.
    fn day_key(&self, day: u32, fresh: [u8; DAY_KEY], now: i64) -> Result<[u8; DAY_KEY], StoreFault>;
    /// Whether a link was ever clicked, also if its clicks were deleted since.
    fn was_clicked(&self, uid: Seq) -> Result<bool, StoreFault>;
    /// Notes up to when processes of edges have sent everything. Other processes with these names of which nothing was noted for
    /// [`EDGE_SILENT`] are forgotten: their spools are read by the later ones.
    fn note_until(&self, rows: &[EdgeUntil], now: i64) -> Result<(), StoreFault>;
    /// Up to when every known process of an edge has sent everything, in the order of their names.
    fn until(&self) -> Result<Vec<EdgeUntil>, StoreFault>;
    /// Nobody waits for this edge any more; with a process: for that process of it.
    fn forget_edge(&self, edge: &str, process: Option<u64>) -> Result<(), StoreFault>;
}

/// Whether a question was refused because its answer would have more than [`clicks::ask::MAX_ROWS`] rows: less has to be asked
/// for, and nothing is wrong with the store.
pub fn is_too_much(fault: &StoreFault) -> bool {
    matches!(fault, StoreFault::Unavailable(why) if *why == TallyFault::TooManyRows.to_string())
}

/// Links that a question for a whole domain by its links and something else reads at most, those that were clicked most.
pub const MOST_LINKS: usize = 10_000;

/// Whether a question was refused because more links would have to be read than [`MOST_LINKS`].
pub fn is_too_many_links(fault: &StoreFault) -> bool {
    matches!(fault, StoreFault::Unavailable(why) if *why == too_many_links())
}

/// Why it is.
pub(crate) fn too_many_links() -> String {
    format!(
        "more than {MOST_LINKS} links would have to be read: group by link alone, or ask for fewer groups"
    )
}

/// A batch that an edge offers.
#[derive(Clone, Debug)]
pub struct Appended {
    /// Who offers it.
    pub sender: BatchSender,
    /// Its spool.
    pub spool: u64,
    /// The numbers of the batch.
    pub offer: Offer,
    /// What is in it, as it is to be counted.
    pub batch: Arc<Batch>,
    /// The same, encoded.
    pub bytes: Bytes,
}

/// Who offers a batch. A spool belongs to whoever sent its last batch: see [`AppendOutcome::Refused`].
#[derive(Clone, Debug)]
pub struct BatchSender {
    /// The edge's name.
    pub edge: Arc<str>,
    /// The key that it came with, by its name; empty: keys are not asked for.
    pub key: Arc<str>,
    /// The key is for this edge alone. With another one anybody could say any name.
    pub bound: bool,
}

/// A spool whose last batch is so old (milliseconds) goes along with an edge that has another name than before, if its key says
/// that name.
pub const SPOOL_RESTS: i64 = 60_000;

/// The outcome of an offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppendOutcome {
    /// It is taken now, and with it everything of the spool up to this seq.
    Taken(u64),
    /// The same, and numbers before it are held by nobody any more.
    TakenBehindHole(TakenBehindHole),
    /// It was taken before: everything of the spool is up to this batch and click.
    Known(Cursor),
    /// An earlier batch is missing: this one.
    Want(u64),
    /// It is not taken; why, for people. The same batch may be taken later: the spool is that of another edge that may still
    /// send.
    Refused(String),
}

/// A batch that was taken, and what is missing in front of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TakenBehindHole {
    /// Everything of the spool is taken up to this seq.
    pub acked: u64,
    /// Clicks that are told as lost, for [`LossReason::Restored`].
    pub told: u64,
    /// Numbers that are left out beyond that: no edge can have recorded so many.
    pub unbelieved: u64,
}

/// The result of a fold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FoldReport {
    /// Clicks that were folded.
    pub clicks: u64,
    /// Batches that were.
    pub batches: usize,
    /// Whether there are more.
    pub more: bool,
}

/// A question about counts.
#[derive(Clone, Debug, Default)]
pub struct ClickQuestion {
    /// The domain.
    pub domain: DomainId,
    /// The uids of links of it; `None`: all of the domain.
    pub links: Option<Vec<Seq>>,
    /// From when on, in Unix milliseconds; it is cut down to a quarter of an hour.
    pub from: i64,
    /// Before when; a begun quarter of an hour is in it.
    pub until: i64,
    /// Which clicks.
    pub filter: ClickFilter,
    /// How they are grouped: the keys of each count, in this order.
    pub groups: Vec<ClickGroup>,
    /// Where the parts of [`ClickGroup::Time`] begin, in order, and behind the last of them where it ends: what is in none of
    /// them is not counted. Empty: one part from `from` to `until`.
    pub times: Vec<i64>,
    /// Groups of the answer at most: those with the highest counts of all times together, each with all its times.
    pub most: usize,
    /// Whether visitors are counted, too.
    pub visitors: bool,
    /// What else is counted of the same links and time, in the same read.
    pub splits: Vec<SplitQuestion>,
}

/// A split that is counted beside another.
#[derive(Clone, Debug, Default)]
pub struct SplitQuestion {
    /// Which clicks.
    pub filter: ClickFilter,
    /// How they are grouped: without time.
    pub groups: Vec<ClickGroup>,
    /// As in [`ClickQuestion::most`].
    pub most: usize,
}

/// The answer to a [`SplitQuestion`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SplitAnswer {
    /// The counts, the highest first.
    pub groups: Vec<CountRow>,
    /// All clicks that were asked for.
    pub total: u64,
}

/// The answer to a [`ClickQuestion`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClickAnswer {
    /// The counts, the highest first.
    pub groups: Vec<CountRow>,
    /// All clicks that were asked for.
    pub total: u64,
    /// Visitors for each UTC day, whatever the filter says, where they were asked for and are known.
    pub visitors: Vec<DayVisitors>,
    /// Whether groups were left out.
    pub more: bool,
    /// One for each of [`ClickQuestion::splits`].
    pub splits: Vec<SplitAnswer>,
    /// Milliseconds of the longest part of time that anything in it is counted by: it may be in another one than its clicks.
    pub step: i64,
    /// From this moment on, in Unix milliseconds, clicks may lack that are taken: more batches wait to be folded than are read.
    pub left_out: Option<i64>,
}

/// Visitors of one day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DayVisitors {
    /// Days since 1970, UTC.
    pub day: i64,
    /// How many different ones; beyond a hundred an estimate.
    pub visitors: u64,
}

/// A question about the links that were clicked most.
#[derive(Clone, Debug)]
pub struct TopQuestion {
    /// The domain.
    pub domain: DomainId,
    /// From when on, in Unix milliseconds; it is cut down to an hour, or to a day where hours are not kept any more.
    pub from: i64,
    /// Before when; a begun hour is in it.
    pub until: i64,
    /// Which kinds are counted.
    pub kinds: Vec<Kind>,
    /// Only these links; `None`: all of the domain.
    pub links: Option<Vec<Seq>>,
    /// Links at most.
    pub most: usize,
}

/// The answer to a [`TopQuestion`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopAnswer {
    /// The highest count first; of the same count the older link.
    pub links: Vec<LinkCount>,
    /// Clicks of all links that are asked about.
    pub total: u64,
    /// How many of them were clicked.
    pub clicked: u64,
    /// Milliseconds of the longest span that is counted as a whole though the time that is asked about begins or ends in it.
    pub step: i64,
    /// As in [`ClickAnswer::left_out`].
    pub left_out: Option<i64>,
}

/// Clicks of one link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkCount {
    /// The link.
    pub uid: Seq,
    /// Its clicks.
    pub count: u64,
}

/// A question about single clicks.
#[derive(Clone, Debug, Default)]
pub struct RawQuestion {
    /// Of this domain; `None`: of all.
    pub domain: Option<DomainId>,
    /// Of these links.
    pub links: Option<BTreeSet<Seq>>,
    /// From when on, in Unix milliseconds.
    pub from: i64,
    /// Before when.
    pub until: i64,
    /// Those from this place on; 0: from the first.
    pub place: u64,
    /// About so many clicks in one page.
    pub most: usize,
}

/// A page of clicks.
#[derive(Clone, Debug, Default)]
pub struct RawPage {
    /// In the order of their places.
    pub clicks: Vec<RawClick>,
    /// Where to go on.
    pub next: u64,
    /// Whether there is more there now.
    pub more: bool,
}

/// One click.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawClick {
    /// Its running number in the store.
    pub place: u64,
    /// The version of the classifier that says its kind.
    pub classifier: u16,
    /// What it is.
    pub click: Click,
}

/// A question about codes that are none.
#[derive(Clone, Copy, Debug)]
pub struct UnknownQuestion {
    /// The domain that was asked.
    pub domain: DomainId,
    /// From when on, in Unix milliseconds; it is cut down to an hour.
    pub from: i64,
    /// Before when; a begun hour is in it.
    pub until: i64,
    /// Codes at most.
    pub most: usize,
}

/// Codes that were asked for and are none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnknownCodes {
    /// Requests for any.
    pub total: u64,
    /// Those that are known by name, the highest count first. Each was asked for at least so often.
    pub top: Vec<UnknownCount>,
}

/// Requests for one code that is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownCount {
    /// The code as it was asked for.
    pub code: Box<[u8]>,
    /// Requests for it.
    pub count: u64,
}

/// Clicks that were lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LossRow {
    /// Unix time in minutes.
    pub minute: i64,
    /// The edge that lost them.
    pub edge: Arc<str>,
    /// Why.
    pub reason: LossReason,
    /// How many.
    pub count: u64,
}

/// Which clicks are deleted.
#[derive(Clone, Debug)]
pub struct ClickDeletion {
    /// Of this domain.
    pub domain: DomainId,
    /// Of these links of it; `None`: all.
    pub links: Option<Vec<Seq>>,
    /// Those of whole days (UTC) before this moment; `None`, or a day that is not over: all so far, which is what the store has
    /// taken and what was answered before now.
    pub before: Option<i64>,
}

/// What was classed anew.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reclassified {
    /// Clicks that earlier lists had classed, and that were classed by these.
    pub clicks: u64,
    /// How many of them have another kind than before, by the one of before and the one now.
    pub changes: BTreeMap<(Kind, Kind), u64>,
    /// How many have the kind of before, and another browser, system or device.
    pub renamed: u64,
    /// How many have an agent whose text is not kept: they are as they were.
    pub unknown: u64,
    /// How many were in no count where they should be: those counts are as they were.
    pub missing: u64,
    /// Clicks that later lists have classed: they are as they were, and not among those above.
    pub newer: u64,
    /// From this moment on, in Unix milliseconds, every click is kept as a single one; `None`: there are none.
    pub since: Option<i64>,
    /// The place to go on from; `None`: nothing is left.
    pub next: Option<u64>,
}

/// Milliseconds behind which a process of an edge that says nothing is none any more where another one speaks for the edge: an
/// edge says how it stands several times a second, and controls note it every 2 s.
pub const EDGE_SILENT: i64 = 5_000;

/// How far a process of an edge has sent its clicks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EdgeUntil {
    /// The name of the edge: as a rule one process has it.
    pub edge: String,
    /// The number that the process drew for itself; 0: of a version that noted none.
    pub process: u64,
    /// Everything that it answered before is acknowledged or told as lost: Unix milliseconds by its clock.
    pub until: i64,
}
