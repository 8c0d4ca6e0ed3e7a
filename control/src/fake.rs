//! A store for tests of what asks one little of it. What a test says nothing of must not be asked.

use bytes::Bytes;
use clicks::{Click, Country, Device, Kind, Language};
use feed::LogView;
use journal::blocks::{BlockItem, BlockRow, BlockVerdict};
use journal::domains::DomainItem;
use journal::{ExternalId, Request};
use link::{Change, DomainId, Epoch, Key, Position, Seq, TargetHost};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use store::model::{DomainRow, Row, StoreFault};
use store::port::blocks::{BlockRows, HostIndexPlace, HostLinks};
use store::port::clicks::{
    AppendOutcome, Appended, ClickAnswer, ClickDeletion, ClickQuestion, ClickStore, DAY_KEY, EdgeUntil,
    FoldReport, LossRow, RawClick, RawPage, RawQuestion, Reclassified, TopAnswer, TopQuestion, UnknownCodes,
    UnknownQuestion,
};
use store::port::domains::{DomainCommitReport, DomainRows};
use store::port::{
    Audits, CommitReport, EdgeReports, EntryBatch, History, KeyRows, Limit, LinkPast, LinkTag, ListPage,
    Moment, NotedAuthor, Repository, ResourceWrite, SessionRow, TagLimit, TagPage, TagRename, Tags,
    TidyReport, TimeOrder, WalkPage,
};

/// A store whose answers a test makes up.
#[allow(clippy::type_complexity)]
pub struct FakeStore {
    /// The commit of a group.
    pub commit: Box<dyn Fn(&[Request]) -> Result<CommitReport, StoreFault> + Send + Sync>,
    /// The beginning of a history.
    pub fork: Box<dyn Fn() -> Position + Send + Sync>,
    /// A read of the log.
    pub changes: Box<dyn Fn() -> (Position, Vec<Change>) + Send + Sync>,
    /// The clicks.
    pub clicks: FakeClicks,
}

/// A store of clicks whose answers a test makes up. What edges say of themselves it keeps.
#[allow(clippy::type_complexity)]
pub struct FakeClicks {
    /// A commit of batches.
    pub append: Box<dyn Fn(&[Appended]) -> Result<Vec<AppendOutcome>, StoreFault> + Send + Sync>,
    /// The key of a day.
    pub day_key: Box<dyn Fn(u32) -> [u8; DAY_KEY] + Send + Sync>,
    /// Where the next click will be.
    pub raw_end: Box<dyn Fn() -> u64 + Send + Sync>,
    /// A page of clicks.
    pub raw: Box<dyn Fn(&RawQuestion) -> RawPage + Send + Sync>,
    /// A step of folding.
    pub fold: Box<dyn Fn() -> Result<FoldReport, StoreFault> + Send + Sync>,
    /// What processes of edges said.
    pub until: Mutex<BTreeMap<(String, u64), i64>>,
}

impl Default for FakeClicks {
    fn default() -> Self {
        Self {
            append: Box::new(|_| unreachable!()),
            day_key: Box::new(|_| unreachable!()),
            raw_end: Box::new(|| unreachable!()),
            raw: Box::new(|_| unreachable!()),
            fold: Box::new(|| unreachable!()),
            until: Mutex::default(),
        }
    }
}

/// A click at a place.
pub fn raw(place: u64) -> RawClick {
    let click = Click {
        at: 1,
        domain: DomainId::DEFAULT,
        uid: 1,
        version: 1,
        kind: Kind::Human,
        country: Country::default(),
        browser: "".into(),
        os: "".into(),
        device: Device::Unknown,
        referrer: "".into(),
        language: Language::default(),
        visitor: 0,
        agent: 0,
    };
    RawClick { place, classifier: 1, click }
}

impl Default for FakeStore {
    fn default() -> Self {
        Self {
            commit: Box::new(|_| unreachable!()),
            fork: Box::new(|| unreachable!()),
            changes: Box::new(|| unreachable!()),
            clicks: FakeClicks::default(),
        }
    }
}

impl Repository for FakeStore {
    fn commit(&self, group: &[Request], _: i64) -> Result<CommitReport, StoreFault> {
        (self.commit)(group)
    }
    fn fork(&self, _: u32, _: Seq, _: i64) -> Result<Position, StoreFault> {
        Ok((self.fork)())
    }
    fn secret(&self) -> Result<[u8; 32], StoreFault> {
        unreachable!()
    }
    fn forget_sessions(&self, _: &[(String, u64)]) -> Result<(), StoreFault> {
        unreachable!()
    }
    fn changes(&self, _: Seq, _: Limit) -> Result<(Position, Vec<Change>), StoreFault> {
        Ok((self.changes)())
    }
    fn tidy(&self, _: i64) -> Result<TidyReport, StoreFault> {
        Ok(TidyReport { head: Position::default(), more: false })
    }
    fn close(&self) {}
    fn name(&self) -> String {
        unreachable!()
    }
    fn head(&self) -> Result<Position, StoreFault> {
        unreachable!()
    }
    fn histories(&self) -> Result<Vec<History>, StoreFault> {
        unreachable!()
    }
    fn sessions(&self, _: Option<&[SessionRow]>) -> Result<Vec<SessionRow>, StoreFault> {
        unreachable!()
    }
    fn link(&self, _: &Key) -> Result<(Epoch, Option<Row>), StoreFault> {
        unreachable!()
    }
    fn links_with_uids(&self, _: &[Seq]) -> Result<Vec<Row>, StoreFault> {
        unreachable!()
    }
    fn list(&self, _: &[u8], _: &[u8], _: bool, _: Limit) -> Result<ListPage, StoreFault> {
        unreachable!()
    }
    fn newest(
        &self,
        _: DomainId,
        _: TimeOrder,
        _: (i64, &[u8]),
        _: bool,
        _: Limit,
    ) -> Result<ListPage, StoreFault> {
        unreachable!()
    }
    fn with_external_id(&self, _: &ExternalId, _: &[u8], _: bool, _: Limit) -> Result<ListPage, StoreFault> {
        unreachable!()
    }
    fn log_view(&self, _: Seq, _: Option<Epoch>) -> Result<LogView, StoreFault> {
        unreachable!()
    }
    fn walk(&self, _: &[u8], _: Limit) -> Result<WalkPage, StoreFault> {
        unreachable!()
    }
    fn records(&self, _: &[Bytes]) -> Result<EntryBatch, StoreFault> {
        unreachable!()
    }
    fn key_rows(&self) -> &dyn KeyRows {
        unreachable!()
    }
    fn clicks(&self) -> &dyn ClickStore {
        &self.clicks
    }
}

impl ClickStore for FakeClicks {
    fn append(&self, offered: &[Appended], _: i64) -> Result<Vec<AppendOutcome>, StoreFault> {
        (self.append)(offered)
    }
    fn fold(&self, _: i64) -> Result<FoldReport, StoreFault> {
        (self.fold)()
    }
    fn tidy(&self, _: i64) -> Result<bool, StoreFault> {
        Ok(false)
    }
    fn counts(&self, _: &ClickQuestion) -> Result<ClickAnswer, StoreFault> {
        unreachable!()
    }
    fn top_links(&self, _: &TopQuestion) -> Result<TopAnswer, StoreFault> {
        unreachable!()
    }
    fn raw(&self, question: &RawQuestion) -> Result<RawPage, StoreFault> {
        Ok((self.raw)(question))
    }
    fn raw_end(&self) -> Result<u64, StoreFault> {
        Ok((self.raw_end)())
    }
    fn agents(&self, _: &[u64]) -> Result<Vec<Option<String>>, StoreFault> {
        unreachable!()
    }
    fn unknown_codes(&self, _: &UnknownQuestion) -> Result<UnknownCodes, StoreFault> {
        unreachable!()
    }
    fn losses(&self, _: i64, _: i64) -> Result<Vec<LossRow>, StoreFault> {
        unreachable!()
    }
    fn delete_clicks(&self, _: &ClickDeletion, _: i64) -> Result<u64, StoreFault> {
        unreachable!()
    }
    fn reclassify(&self, _: &clicks::Agents, _: u64, _: i64) -> Result<Reclassified, StoreFault> {
        unreachable!()
    }
    fn day_key(&self, day: u32, _: [u8; DAY_KEY], _: i64) -> Result<[u8; DAY_KEY], StoreFault> {
        Ok((self.day_key)(day))
    }
    fn was_clicked(&self, _: Seq) -> Result<bool, StoreFault> {
        unreachable!()
    }
    fn note_until(&self, rows: &[EdgeUntil], _: i64) -> Result<(), StoreFault> {
        let mut until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        until.extend(rows.iter().map(|row| ((row.edge.clone(), row.process), row.until)));
        Ok(())
    }
    fn until(&self) -> Result<Vec<EdgeUntil>, StoreFault> {
        let until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        let row = |((edge, process), until): (&(String, u64), &i64)| EdgeUntil {
            edge: edge.clone(),
            process: *process,
            until: *until,
        };
        Ok(until.iter().map(row).collect())
    }
    fn forget_edge(&self, edge: &str, process: Option<u64>) -> Result<(), StoreFault> {
        let mut until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        until.retain(|(own, of), _| own != edge || process.is_some_and(|process| process != *of));
        Ok(())
    }
}

impl EdgeReports for FakeStore {}

impl Tags for FakeStore {
    fn tagged(&self, _: &LinkTag, _: &[u8], _: &[u8], _: Limit) -> Result<ListPage, StoreFault> {
        unreachable!()
    }
    fn newest_tagged(
        &self,
        _: &LinkTag,
        _: TimeOrder,
        _: (i64, &[u8]),
        _: Limit,
    ) -> Result<ListPage, StoreFault> {
        unreachable!()
    }
    fn count_tagged(&self, _: &LinkTag, _: usize) -> Result<Option<u64>, StoreFault> {
        unreachable!()
    }
    fn tags(&self, _: DomainId, _: &str, _: &str, _: TagLimit) -> Result<Option<TagPage>, StoreFault> {
        unreachable!()
    }
    fn is_renaming(&self, _: &TagRename) -> Result<bool, StoreFault> {
        unreachable!()
    }
    fn note_renaming(&self, _: &TagRename, _: bool) -> Result<(), StoreFault> {
        unreachable!()
    }
}

impl Audits for FakeStore {
    fn writes(&self, _: &Key, _: Seq, _: usize) -> Result<LinkPast, StoreFault> {
        unreachable!()
    }
    fn write_after(&self, _: &Key, _: Moment) -> Result<LinkPast, StoreFault> {
        unreachable!()
    }
    fn chunk(&self, _: Seq) -> Result<Option<NotedAuthor>, StoreFault> {
        unreachable!()
    }
    fn noted(&self, _: &str, _: i64, _: usize) -> Result<Vec<ResourceWrite>, StoreFault> {
        unreachable!()
    }
}

impl BlockRows for FakeStore {
    fn blocked(&self, _: &BTreeSet<TargetHost>) -> Result<BTreeSet<TargetHost>, StoreFault> {
        unreachable!()
    }
    fn blocks(&self, _: &str, _: usize) -> Result<Vec<BlockRow>, StoreFault> {
        unreachable!()
    }
    fn block(&self, _: &TargetHost) -> Result<Option<BlockRow>, StoreFault> {
        unreachable!()
    }
    fn unfinished_blocks(&self) -> Result<Vec<BlockRow>, StoreFault> {
        unreachable!()
    }
    fn write_block(&self, _: &BlockItem, _: i64) -> Result<BlockVerdict, StoreFault> {
        unreachable!()
    }
    fn count_led_to(&self, _: &TargetHost) -> Result<u64, StoreFault> {
        unreachable!()
    }
    fn led_to(&self, _: &TargetHost, _: Option<&HostIndexPlace>, _: usize) -> Result<HostLinks, StoreFault> {
        unreachable!()
    }
    fn not_indexed(&self, _: &[u8], _: usize) -> Result<Vec<Row>, StoreFault> {
        unreachable!()
    }
    fn kept_by(&self, _: &TargetHost, _: &[u8], _: usize) -> Result<Vec<Row>, StoreFault> {
        unreachable!()
    }
}

impl DomainRows for FakeStore {
    fn domains(&self) -> Result<(Position, Vec<DomainRow>), StoreFault> {
        unreachable!()
    }
    fn domains_version(&self) -> Result<(Epoch, Seq), StoreFault> {
        unreachable!()
    }
    fn last_domain_gone(&self) -> Result<Seq, StoreFault> {
        unreachable!()
    }
    fn write_domain(&self, _: &DomainItem, _: i64) -> Result<DomainCommitReport, StoreFault> {
        unreachable!()
    }
}
