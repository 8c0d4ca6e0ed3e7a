//! PostgreSQL as a store that several controls share: the row of the log's head is what they queue for. No rule of a
//! link is here.

mod audit;
mod blocks;
mod clicks;
mod connection;
mod domains;
mod dump;
mod edge_reports;
mod history;
mod hosts;
mod keys;
mod open;
mod position;
mod read;
mod room;
mod seen;
mod sessions;
mod survey;
mod tags;
mod tidy;
mod tls;
mod words;
mod write;

pub use dump::{DumpReport, dump, how_to_restore};
pub use open::{Options, bump_epoch};
pub use survey::{Survey, survey};

use crate::kept;
use crate::model::{DomainRow, PoolCounts, Row, StoreFault, StoreStanding};
use crate::port::blocks::{BlockRows, HostIndexPlace, HostLinks};
use crate::port::clicks::ClickStore;
use crate::port::domains::{DomainCommitReport, DomainRows};
use crate::port::{
    Audits, CommitReport, EdgeReports, EntryBatch, History, KeyRows, Limit, LinkPast, ListPage, Moment,
    NotedAuthor, ReportRow, Repository, ResourceWrite, SessionRow, TidyReport, TimeOrder, WalkPage,
};
use crate::tombstones::TombstoneFates;
use bytes::Bytes;
use connection::{Connections, READ, WRITE};
use feed::LogView;
use journal::blocks::{BlockItem, BlockRow, BlockVerdict};
use journal::domains::DomainItem;
use journal::{ExternalId, Request};
use link::{Change, DomainId, Epoch, Key, Position, Seq, TargetHost};
use std::collections::BTreeSet;

/// A database of this and perhaps other controls.
#[derive(Debug)]
pub struct Postgres {
    db: Connections,
    clicks: clicks::ClickMemory,
    name: String,
    /// This process, among the controls.
    control: i64,
    fenced: bool,
}

impl Postgres {
    /// Connects, brings the tables up to date, and looks whether a commit here is one. Blocks.
    ///
    /// # Errors
    /// What to do about it, in one line.
    pub fn open(options: &Options) -> Result<Self, String> {
        open::open(options)
    }
}

impl Repository for Postgres {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn standing(&self) -> Option<StoreStanding> {
        let synchronous = self.db.synchronous();
        Some(StoreStanding {
            auto_fork: self.db.auto_fork(),
            heartbeat: synchronous && !self.fenced,
            certified: synchronous || self.fenced,
            replaced: self.db.is_replaced(),
        })
    }

    /// Where the disk was full, little rows find room on pages that are there: many bytes do not.
    fn probe(&self) -> Option<Result<(), StoreFault>> {
        let tried = self.db.is_full().then(|| self.db.call(READ, async |db| room::look(db).await))?;
        Some(tried.inspect(|()| self.db.set_full(false)))
    }

    fn pool(&self) -> PoolCounts {
        self.db.connections()
    }

    fn head(&self) -> Result<Position, StoreFault> {
        self.db.call(READ, async |db| position::head(db).await)
    }

    fn proved_head(&self) -> Result<Position, StoreFault> {
        if self.standing().is_some_and(|standing| standing.heartbeat) {
            self.db.call(READ, async |db| sessions::heartbeat(db, self.control).await)
        } else {
            self.head()
        }
    }

    fn commit(&self, group: &[Request], now: i64) -> Result<CommitReport, StoreFault> {
        let (tag, mut tried) = (crate::random::u64(), None);
        let done = self.db.call(WRITE, async |db| write::commit(db, group, tag, now, &mut tried).await);
        done.map_err(|fault| write::refused(fault, tried.as_ref()))
    }

    fn secret(&self) -> Result<[u8; 32], StoreFault> {
        self.db.call(WRITE, async |db| history::secret(db).await)
    }

    fn fork(&self, counter: u32, shared: Seq, now: i64) -> Result<Position, StoreFault> {
        self.db.call(WRITE, async |db| history::fork(db, counter, shared, None, now).await)
    }

    fn histories(&self) -> Result<Vec<History>, StoreFault> {
        self.db.call(READ, async |db| read::histories(db).await)
    }

    fn sessions(&self, own: Option<&[SessionRow]>) -> Result<Vec<SessionRow>, StoreFault> {
        match own {
            Some(own) => self.db.call(READ, async |db| sessions::replace(db, self.control, own).await),
            None => self.db.call(READ, async |db| sessions::all(db, self.control).await),
        }
    }

    fn forget_sessions(&self, gone: &[(String, u64)]) -> Result<(), StoreFault> {
        self.db.call(READ, async |db| sessions::forget(db, gone).await)
    }

    fn tidy(&self, now: i64) -> Result<TidyReport, StoreFault> {
        let before = now - kept::TOMBSTONES;
        let buried = self.db.call(READ, async |db| tidy::buried(db, before).await)?;
        let was_clicked = |uid: Seq| self.was_clicked(uid);
        let TombstoneFates { count, purges, clicked } = TombstoneFates::of(buried, before, was_clicked)?;
        if !clicked.is_empty() {
            self.db.call(WRITE, async |db| tidy::keep(db, &clicked).await)?;
        }
        if !purges.is_empty() {
            self.commit(&purges, now)?;
        }
        let (head, cut) = self.db.call(WRITE, async |db| tidy::cut(db, now).await)?;
        let behind = self.db.call(WRITE, async |db| tags::catch_up(db).await)?;
        let indexed = self.db.call(WRITE, async |db| tidy::index_hosts(db).await)?;
        Ok(TidyReport { head, more: cut || behind || indexed || count == tidy::AT_ONCE })
    }

    fn link(&self, key: &Key) -> Result<(Epoch, Option<Row>), StoreFault> {
        self.db.call(READ, async |db| read::link(db, key).await)
    }

    fn links_with_uids(&self, uids: &[Seq]) -> Result<Vec<Row>, StoreFault> {
        self.db.call(READ, async |db| read::links_with_uids(db, uids).await)
    }

    fn list(&self, prefix: &[u8], after: &[u8], deleted: bool, limit: Limit) -> Result<ListPage, StoreFault> {
        self.db.call(READ, async |db| read::list(db, prefix, after, deleted, limit).await)
    }

    fn newest(
        &self,
        domain: DomainId,
        time: TimeOrder,
        behind: (i64, &[u8]),
        deleted: bool,
        limit: Limit,
    ) -> Result<ListPage, StoreFault> {
        self.db.call(READ, async |db| read::newest(db, domain, time, behind, deleted, limit).await)
    }

    fn with_external_id(
        &self,
        id: &ExternalId,
        after: &[u8],
        deleted: bool,
        limit: Limit,
    ) -> Result<ListPage, StoreFault> {
        self.db.call(READ, async |db| read::with_external_id(db, id, after, deleted, limit).await)
    }

    fn log_view(&self, applied: Seq, of: Option<Epoch>) -> Result<LogView, StoreFault> {
        self.db.call(READ, async |db| read::log_view(db, applied, of).await)
    }

    fn changes(&self, after: Seq, limit: Limit) -> Result<(Position, Vec<Change>), StoreFault> {
        self.db.call(READ, async |db| read::changes(db, after, limit).await)
    }

    fn walk(&self, after: &[u8], limit: Limit) -> Result<WalkPage, StoreFault> {
        self.db.call(READ, async |db| read::walk(db, after, limit).await)
    }

    fn records(&self, keys: &[Bytes]) -> Result<EntryBatch, StoreFault> {
        self.db.call(READ, async |db| read::records(db, keys).await)
    }

    fn key_rows(&self) -> &dyn KeyRows {
        self
    }

    fn clicks(&self) -> &dyn ClickStore {
        self
    }

    fn close(&self) {
        self.db.close();
    }
}

impl DomainRows for Postgres {
    fn domains(&self) -> Result<(Position, Vec<DomainRow>), StoreFault> {
        self.db.call(READ, async |db| domains::all(db).await)
    }

    fn domains_version(&self) -> Result<(Epoch, Seq), StoreFault> {
        self.db.call(READ, async |db| domains::version(db).await)
    }

    fn last_domain_gone(&self) -> Result<Seq, StoreFault> {
        self.db.call(READ, async |db| domains::last_gone(db).await)
    }

    fn write_domain(&self, item: &DomainItem, now: i64) -> Result<DomainCommitReport, StoreFault> {
        let (tag, mut tried) = (crate::random::u64(), None);
        let done = self.db.call(WRITE, async |db| domains::commit(db, item, tag, now, &mut tried).await);
        done.map_err(|fault| write::refused(fault, tried.as_ref()))
    }
}

impl EdgeReports for Postgres {
    fn exchange_reports(&self, heard: &[ReportRow]) -> Result<Vec<ReportRow>, StoreFault> {
        self.db.call(READ, async |db| edge_reports::exchange(db, self.control, heard).await)
    }
}

impl BlockRows for Postgres {
    fn blocked(&self, asked: &BTreeSet<TargetHost>) -> Result<BTreeSet<TargetHost>, StoreFault> {
        self.db.call(READ, async |db| hosts::blocked(db, asked).await)
    }

    fn blocks(&self, after: &str, most: usize) -> Result<Vec<BlockRow>, StoreFault> {
        self.db.call(READ, async |db| blocks::after(db, after, most).await)
    }

    fn block(&self, host: &TargetHost) -> Result<Option<BlockRow>, StoreFault> {
        self.db.call(READ, async |db| blocks::one(db, host).await)
    }

    fn unfinished_blocks(&self) -> Result<Vec<BlockRow>, StoreFault> {
        self.db.call(READ, async |db| blocks::unfinished(db).await)
    }

    fn write_block(&self, item: &BlockItem, now: i64) -> Result<BlockVerdict, StoreFault> {
        self.db.call(WRITE, async |db| blocks::commit(db, item, now).await)
    }

    fn count_led_to(&self, host: &TargetHost) -> Result<u64, StoreFault> {
        self.db.call(READ, async |db| hosts::count_led_to(db, host).await)
    }

    fn led_to(
        &self,
        host: &TargetHost,
        after: Option<&HostIndexPlace>,
        most: usize,
    ) -> Result<HostLinks, StoreFault> {
        self.db.call(READ, async |db| hosts::led_to(db, host, after, most).await)
    }

    fn not_indexed(&self, after: &[u8], most: usize) -> Result<Vec<Row>, StoreFault> {
        self.db.call(READ, async |db| hosts::not_indexed(db, after, most).await)
    }

    fn kept_by(&self, host: &TargetHost, after: &[u8], most: usize) -> Result<Vec<Row>, StoreFault> {
        self.db.call(READ, async |db| hosts::kept_by(db, host, after, most).await)
    }
}

impl Audits for Postgres {
    fn writes(&self, key: &Key, most: Seq, limit: usize) -> Result<LinkPast, StoreFault> {
        self.db.call(READ, async |db| audit::writes(db, key, most, limit).await)
    }

    fn write_after(&self, key: &Key, moment: Moment) -> Result<LinkPast, StoreFault> {
        self.db.call(READ, async |db| audit::write_after(db, key, moment).await)
    }

    fn chunk(&self, seq: Seq) -> Result<Option<NotedAuthor>, StoreFault> {
        self.db.call(READ, async |db| audit::chunk(db, seq).await)
    }

    fn noted(&self, name: &str, below: i64, limit: usize) -> Result<Vec<ResourceWrite>, StoreFault> {
        self.db.call(READ, async |db| audit::noted(db, name, below, limit).await)
    }
}
