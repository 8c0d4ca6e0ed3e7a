//! A store for tests of what asks one little of it. What a test says nothing of must not be asked.

use bytes::Bytes;
use feed::LogView;
use journal::blocks::{BlockItem, BlockRow, BlockVerdict};
use journal::domains::DomainItem;
use journal::{ExternalId, Request};
use link::{Change, DomainId, Epoch, Key, Position, Seq, TargetHost};
use std::collections::BTreeSet;
use store::model::{DomainRow, Row, StoreFault};
use store::port::blocks::{BlockRows, HostIndexPlace, HostLinks};
use store::port::domains::{DomainCommitReport, DomainRows};
use store::port::{
    Audits, CommitReport, EntryBatch, History, KeyRows, Limit, LinkPast, LinkTag, ListPage, Moment,
    NotedAuthor, Repository, ResourceWrite, SessionRow, TagLimit, TagPage, TagRename, Tags, TidyReport,
    TimeOrder, WalkPage,
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
}

impl Default for FakeStore {
    fn default() -> Self {
        Self {
            commit: Box::new(|_| unreachable!()),
            fork: Box::new(|| unreachable!()),
            changes: Box::new(|| unreachable!()),
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
}

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
