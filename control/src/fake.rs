//! A store for tests of what asks one little of it. What a test says nothing of must not be asked.

use bytes::Bytes;
use feed::LogView;
use journal::blocks::{BlockItem, BlockRow, BlockVerdict};
use journal::domains::DomainItem;
use journal::{ExternalId, Request};
use link::{Change, DomainId, Epoch, Key, Position, Seq, TargetHost};
use std::collections::BTreeSet;
use store::model::{DomainRow, Row, StoreFault};
use store::port::blocks::{BlockRows, LedTo, Place};
use store::port::domains::{DomainCommitted, DomainRows};
use store::port::{
    Audits, Committed, Fetched, History, KeyRows, Limit, LinkTag, Listed, Moment, Noted, Repository,
    SessionRow, TagLimit, TagPage, TagRename, Tags, Tidied, Time, Traced, Walked, Who,
};

/// What a test says of its store.
#[allow(clippy::type_complexity)]
pub struct Fake {
    /// The commit of a group.
    pub commit: Box<dyn Fn(&[Request]) -> Result<Committed, StoreFault> + Send + Sync>,
    /// The beginning of a history.
    pub fork: Box<dyn Fn() -> Position + Send + Sync>,
    /// A read of the log.
    pub changes: Box<dyn Fn() -> (Position, Vec<Change>) + Send + Sync>,
}

impl Default for Fake {
    fn default() -> Self {
        Self {
            commit: Box::new(|_| unreachable!()),
            fork: Box::new(|| unreachable!()),
            changes: Box::new(|| unreachable!()),
        }
    }
}

impl Repository for Fake {
    fn commit(&self, group: &[Request], _: i64) -> Result<Committed, StoreFault> {
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
    fn tidy(&self, _: i64) -> Result<Tidied, StoreFault> {
        Ok(Tidied { head: Position::default(), more: false })
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
    fn list(&self, _: &[u8], _: &[u8], _: bool, _: Limit) -> Result<Listed, StoreFault> {
        unreachable!()
    }
    fn newest(&self, _: DomainId, _: Time, _: (i64, &[u8]), _: bool, _: Limit) -> Result<Listed, StoreFault> {
        unreachable!()
    }
    fn with_external_id(&self, _: &ExternalId, _: &[u8], _: bool, _: Limit) -> Result<Listed, StoreFault> {
        unreachable!()
    }
    fn log_view(&self, _: Seq, _: Option<Epoch>) -> Result<LogView, StoreFault> {
        unreachable!()
    }
    fn walk(&self, _: &[u8], _: Limit) -> Result<Walked, StoreFault> {
        unreachable!()
    }
    fn records(&self, _: &[Bytes]) -> Result<Fetched, StoreFault> {
        unreachable!()
    }
    fn key_rows(&self) -> &dyn KeyRows {
        unreachable!()
    }
}

impl Tags for Fake {
    fn tagged(&self, _: &LinkTag, _: &[u8], _: &[u8], _: Limit) -> Result<Listed, StoreFault> {
        unreachable!()
    }
    fn newest_tagged(&self, _: &LinkTag, _: Time, _: (i64, &[u8]), _: Limit) -> Result<Listed, StoreFault> {
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

impl Audits for Fake {
    fn writes(&self, _: &Key, _: Seq, _: usize) -> Result<Traced, StoreFault> {
        unreachable!()
    }
    fn write_after(&self, _: &Key, _: Moment) -> Result<Traced, StoreFault> {
        unreachable!()
    }
    fn chunk(&self, _: Seq) -> Result<Option<Who>, StoreFault> {
        unreachable!()
    }
    fn noted(&self, _: &str, _: i64, _: usize) -> Result<Vec<Noted>, StoreFault> {
        unreachable!()
    }
}

impl BlockRows for Fake {
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
    fn led_to(&self, _: &TargetHost, _: Option<&Place>, _: usize) -> Result<LedTo, StoreFault> {
        unreachable!()
    }
    fn not_indexed(&self, _: &[u8], _: usize) -> Result<Vec<Row>, StoreFault> {
        unreachable!()
    }
    fn kept_by(&self, _: &TargetHost, _: &[u8], _: usize) -> Result<Vec<Row>, StoreFault> {
        unreachable!()
    }
}

impl DomainRows for Fake {
    fn domains(&self) -> Result<(Position, Vec<DomainRow>), StoreFault> {
        unreachable!()
    }
    fn domains_version(&self) -> Result<(Epoch, Seq), StoreFault> {
        unreachable!()
    }
    fn last_domain_gone(&self) -> Result<Seq, StoreFault> {
        unreachable!()
    }
    fn write_domain(&self, _: &DomainItem, _: i64) -> Result<DomainCommitted, StoreFault> {
        unreachable!()
    }
}
