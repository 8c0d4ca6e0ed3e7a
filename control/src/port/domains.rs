//! What the service and the feed need of a store for domains, which are entries of the same log.

use super::StoreFault;
use crate::journal::domains::{DomainItem, DomainVerdict};
use bytes::Bytes;
use link::{Change, ChangeKind, DomainId, DomainRules, Epoch, Position, Seq};

/// Domains there may be at most: every edge holds all of them, and is told them in one message.
pub const MAX_DOMAINS: usize = 10_000;

/// The domains of a store. None is ever deleted: a link says whose it is by a number.
pub trait DomainRows {
    /// All of them in the order of their names, the default one too, and the end of the log in the same snapshot.
    fn domains(&self) -> Result<(Position, Vec<DomainRow>), StoreFault>;
    /// The history, and the last change of a domain in it: as long as neither changes, no domain does.
    fn domains_version(&self) -> Result<(Epoch, Seq), StoreFault>;
    /// One transaction (R1), as for links. `now` is in Unix milliseconds.
    fn write_domain(&self, item: &DomainItem, now: i64) -> Result<DomainCommitted, StoreFault>;
}

/// What a write of a domain did.
#[derive(Clone, Debug)]
pub struct DomainCommitted {
    /// The end of the log after it.
    pub head: Position,
    /// What became of it.
    pub verdict: DomainVerdict,
}

/// A stored domain. Times are in Unix milliseconds; the default one has none before somebody writes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DomainRow {
    /// What its links' keys begin with.
    pub id: DomainId,
    /// The seq of the change that made this state; 0: none did.
    pub version: Seq,
    /// Its name, and how it answers.
    pub rules: DomainRules,
    /// When it was made.
    pub create_time: Option<i64>,
    /// When it last changed.
    pub update_time: Option<i64>,
}

impl DomainRow {
    /// What travels.
    pub fn record(&self) -> Bytes {
        record::encode_domain(self.version, &self.rules)
    }

    /// As the log has it, under the tag of its commit.
    pub fn change(&self, tag: u64) -> Change {
        let (kind, key) = (ChangeKind::DOMAIN, self.id.prefix().to_vec().into());
        Change { seq: self.version, tag, kind, key, record: self.record() }
    }
}
