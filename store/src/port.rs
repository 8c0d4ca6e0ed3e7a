//! What the service and the feed need of a store. No driver and no transport is named here.

mod audits;
pub mod blocks;
pub mod clicks;
pub mod domains;
mod edge_reports;
mod tags;

pub use audits::{Audits, LinkPast, LinkWrite, Moment, NotedAuthor, ResourceWrite};
pub use edge_reports::{EdgeReports, ReportRow};
pub use tags::{LinkTag, TagCount, TagLimit, TagPage, TagRename, Tags};

use crate::model::{Author, KeyRow, PoolCounts, Row, StoreFault, StoreStanding};
use bytes::Bytes;
use feed::{Entry, LogView};
use journal::{ExternalId, Request, Verdict};
use link::{Change, DomainId, Epoch, Key, Position, Seq};

/// Bytes of the secret of a store.
pub const SECRET: usize = 32;

/// A store of links and of the log of their changes. Every call blocks; none may be made on an async thread.
///
/// Answers that hold a position and values read both in one snapshot. After a failed call nothing has changed.
pub trait Repository:
    Audits + domains::DomainRows + blocks::BlockRows + Tags + EdgeReports + Send + Sync + 'static
{
    /// What and where it is, for people.
    fn name(&self) -> String;
    /// How this process stands among those that share the store; `None` where it has it alone.
    fn standing(&self) -> Option<StoreStanding> {
        None
    }
    /// Its connections, now.
    fn pool(&self) -> PoolCounts {
        PoolCounts::default()
    }
    /// Writes what is there already, to see whether anything can be written; `None` of a store that is written to all the
    /// time.
    fn probe(&self) -> Option<Result<(), StoreFault>> {
        None
    }
    /// The end of the log from a read that begins after this call, as an edge may rely on it (R9).
    fn proved_head(&self) -> Result<Position, StoreFault> {
        self.head()
    }
    /// The current end of the log.
    fn head(&self) -> Result<Position, StoreFault>;
    /// One transaction (R1): a verdict for each item, the accepted ones numbered in their order and on disk, with them
    /// their rows of the audit and the answers for retries. `now` is in Unix milliseconds.
    fn commit(&self, group: &[Request], now: i64) -> Result<CommitReport, StoreFault>;
    /// The secret of this store, the same for every control of it, for ever: made when the store was first opened by a
    /// program that knows of it.
    fn secret(&self) -> Result<[u8; SECRET], StoreFault>;
    /// Begins a new history above `counter` that is known to share the changes up to `shared` with the one whose place
    /// it takes (R2), and notes that. `now` is in Unix milliseconds.
    fn fork(&self, counter: u32, shared: Seq, now: i64) -> Result<Position, StoreFault>;
    /// Every history that took the place of another one, the latest first.
    fn histories(&self) -> Result<Vec<History>, StoreFault>;
    /// The edges that are known to the controls of this store, in the order in which they joined. `own` replaces them
    /// where this process has the store alone. Where it is shared `own` are those that follow this control now: an edge
    /// has one row, which the control it follows writes, and which stays until it is blind and replaced or has been blind
    /// for a day. Without `own` nothing is written (R10).
    fn sessions(&self, own: Option<&[SessionRow]>) -> Result<Vec<SessionRow>, StoreFault>;
    /// Forgets these processes of edges where [`Repository::sessions`] alone would not: on a shared store.
    fn forget_sessions(&self, gone: &[(String, u64)]) -> Result<(), StoreFault>;
    /// Forgets a little of what is older than it is kept, in one short transaction: the oldest changes of the log, and
    /// through the log the oldest tombstones (R14) of links that nobody clicked, and the oldest rows of the audit. Takes a few links into the index of
    /// [`Tags`] that are missing there. `now` is in Unix milliseconds.
    fn tidy(&self, now: i64) -> Result<TidyReport, StoreFault>;
    /// One link, deleted or not.
    fn link(&self, key: &Key) -> Result<(Epoch, Option<Row>), StoreFault>;
    /// Those links of these [uids](Row::uid) that there are, deleted or not, in any order.
    fn links_with_uids(&self, uids: &[Seq]) -> Result<Vec<Row>, StoreFault>;
    /// The next links whose keys begin with `prefix`, in the order of their keys, behind `after`.
    fn list(&self, prefix: &[u8], after: &[u8], deleted: bool, limit: Limit) -> Result<ListPage, StoreFault>;
    /// The next links of a domain, the newest by `time` first and of one time the last key first, behind the link with
    /// this time and key.
    fn newest(
        &self,
        domain: DomainId,
        time: TimeOrder,
        behind: (i64, &[u8]),
        deleted: bool,
        limit: Limit,
    ) -> Result<ListPage, StoreFault>;
    /// The next links that have this external id, in the order of their keys, behind `after`: of those that are not deleted
    /// one at most.
    fn with_external_id(
        &self,
        id: &ExternalId,
        after: &[u8],
        deleted: bool,
        limit: Limit,
    ) -> Result<ListPage, StoreFault>;
    /// The log as a hello needs to see it.
    fn log_view(&self, applied: Seq, of: Option<Epoch>) -> Result<LogView, StoreFault>;
    /// The changes behind `after`, at least one if there is one, and the end of the log.
    fn changes(&self, after: Seq, limit: Limit) -> Result<(Position, Vec<Change>), StoreFault>;
    /// The next records behind the key `after`, tombstones included (R4b).
    fn walk(&self, after: &[u8], limit: Limit) -> Result<WalkPage, StoreFault>;
    /// The records of these keys, in their order; empty for one that does not exist.
    fn records(&self, keys: &[Bytes]) -> Result<EntryBatch, StoreFault>;
    /// Whether writes are taken now, as far as that is known without one; why not.
    fn writable(&self) -> Result<(), StoreFault> {
        Ok(())
    }
    /// The keys of the API.
    fn key_rows(&self) -> &dyn KeyRows;
    /// The clicks on the links.
    fn clicks(&self) -> &dyn clicks::ClickStore;
    /// Gives everything back; later calls fail.
    fn close(&self);
}

/// The keys of the API, beside the links: they are in no log.
pub trait KeyRows: Send + Sync {
    /// Raised with every key that is made or revoked.
    fn key_version(&self) -> Result<i64, StoreFault>;
    /// At most `most` keys in the order in which they were made: those behind the key `after`, or with "" the first.
    fn keys_behind(&self, after: &str, most: usize) -> Result<Vec<KeyRow>, StoreFault>;
    /// How far they are read with this, and every key that was made or revoked behind `seen`, and maybe others: all, where
    /// what changed cannot be told.
    fn keys_since(&self, seen: KeyMark) -> Result<(KeyMark, Vec<KeyRow>), StoreFault>;
    /// One by its name.
    fn key(&self, id: &str) -> Result<Option<KeyRow>, StoreFault>;
    /// How many keys for some domains the one of these has that has most: those that may be used at `now`, and those made
    /// behind `since`, whatever became of them.
    fn most_keys(&self, domains: &[String], now: i64, since: i64) -> Result<usize, StoreFault>;
    /// Keeps a new one, and notes that; `false` if its client has `most` for the same domains that may be used when it
    /// was made. (Counted over all domains, it would tell whoever is bound to some who is in others, and let him take
    /// their places.)
    fn put_key(&self, row: &KeyRow, most: usize, by: &Author) -> Result<bool, StoreFault>;
    /// Revokes one that was read, if it is not yet, and notes that. `now` is in Unix milliseconds.
    fn revoke_key(&self, row: &KeyRow, now: i64, by: &Author) -> Result<(), StoreFault>;
    /// Notes when keys were last used, in Unix milliseconds.
    fn use_keys(&self, uses: &[(String, i64)]) -> Result<(), StoreFault>;
}

/// How far the keys were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyMark {
    /// See [`KeyRows::key_version`].
    pub version: i64,
    /// The last note of the audit then.
    pub note: i64,
}

/// Changes of keys that are read one by one; of more all are.
const CHANGES: i64 = 1_000;

impl KeyMark {
    /// Nothing is read yet.
    pub const NONE: Self = Self { version: 0, note: i64::MAX };

    /// Whether so many notes behind this mark tell all that led to `now`: there is one for each version. One that was
    /// overtaken by a later one, or cut, or that another program did not write, is missed here.
    #[must_use]
    pub fn leads_to(self, now: Self, notes: i64) -> bool {
        (0..=CHANGES).contains(&notes) && now.version - self.version == notes
    }
}

/// Bounds of one read. It ends at the first that is reached, but holds at least one row.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// Rows.
    pub rows: usize,
    /// Bytes of keys and records.
    pub bytes: usize,
}

/// A time by which links are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeOrder {
    /// When they were made.
    Create,
    /// When they last changed.
    Update,
}

impl TimeOrder {
    /// That of a link.
    pub fn of(self, row: &Row) -> i64 {
        match self {
            Self::Create => row.create_time,
            Self::Update => row.update_time,
        }
    }

    /// Its column in every store.
    pub(crate) fn column(self) -> &'static str {
        match self {
            Self::Create => "create_time",
            Self::Update => "update_time",
        }
    }

    /// Its column in the index of tags of every store.
    pub(crate) fn tag_column(self) -> &'static str {
        match self {
            Self::Create => "created",
            Self::Update => "updated",
        }
    }
}

/// The result of a commit.
#[derive(Clone, Debug)]
pub struct CommitReport {
    /// The end of the log after it.
    pub head: Position,
    /// One for each item.
    pub verdicts: Vec<Verdict>,
    /// What it put into the log.
    pub changes: Vec<Change>,
}

/// The result of a clean-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TidyReport {
    /// The end of the log after it.
    pub head: Position,
    /// Whether there may be more to forget.
    pub more: bool,
}

/// A history that took the place of another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct History {
    /// The history.
    pub epoch: Epoch,
    /// The one before it.
    pub parent: Epoch,
    /// The last change that both are known to share; 0: none.
    pub fork_seq: Seq,
    /// The last change in the store when it began.
    pub head: Seq,
    /// When it began, in Unix milliseconds; `None` if that was not noted.
    pub at: Option<i64>,
}

/// One process of an edge, as the controls of a store tell each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRow {
    /// The edge's name.
    pub edge: String,
    /// Random for each process start.
    pub incarnation: u64,
    /// The history that `applied` belongs to.
    pub epoch: Epoch,
    /// The last change it said to have applied.
    pub applied: Option<Seq>,
    /// Milliseconds since it was last answered, at most.
    pub age: u64,
    /// Whether it was written by this process; a store takes all that it is given for that.
    pub own: bool,
}

/// A page of a list.
#[derive(Debug)]
pub struct ListPage {
    /// The current history.
    pub epoch: Epoch,
    /// In the order of their keys.
    pub rows: Vec<Row>,
    /// Whether there are more.
    pub more: bool,
}

/// The records of some keys.
#[derive(Debug)]
pub struct EntryBatch {
    /// The end of the log in the same snapshot.
    pub head: Position,
    /// In the order asked.
    pub entries: Vec<Entry>,
    /// The seq of the last change of a domain in the same snapshot; 0: there was none.
    pub domains: Seq,
}

/// A page of a walk.
#[derive(Debug)]
pub struct WalkPage {
    /// The end of the log in the same snapshot.
    pub head: Position,
    /// In the order of their keys.
    pub entries: Vec<Entry>,
    /// Whether there are more.
    pub more: bool,
}
