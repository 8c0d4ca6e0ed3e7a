//! A store for tests of what asks one little of it. What a test says nothing of must not be asked.

use bytes::Bytes;
use feed::LogView;
use journal::domains::DomainItem;
use journal::{ExternalId, Request};
use link::{Change, DomainId, Epoch, Key, Position, Seq};
use store::model::{DomainRow, Row, StoreFault};
use store::port::domains::{DomainCommitted, DomainRows};
use store::port::{
    Audits, Committed, Fetched, History, KeyRows, Limit, Listed, Moment, Noted, Repository, SessionRow,
    Tidied, Time, Traced, Walked, Who,
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

impl DomainRows for Fake {
    fn domains(&self) -> Result<(Position, Vec<DomainRow>), StoreFault> {
        unreachable!()
    }
    fn domains_version(&self) -> Result<(Epoch, Seq), StoreFault> {
        unreachable!()
    }
    fn write_domain(&self, _: &DomainItem, _: i64) -> Result<DomainCommitted, StoreFault> {
        unreachable!()
    }
}
