//! What the service and the feed need of a store for domains, which are entries of the same log.

use crate::model::{DomainRow, StoreFault};
use journal::domains::{DomainItem, DomainVerdict};
use link::{Epoch, Position, Seq};

/// The domains of a store. A link says whose it is by a number, which is given out once.
pub trait DomainRows {
    /// All of them in the order of their names, the default one too, and the end of the log in the same snapshot.
    fn domains(&self) -> Result<(Position, Vec<DomainRow>), StoreFault>;
    /// The history, and the last change of a domain in it, the end of one counted: as long as neither changes, no domain
    /// does.
    fn domains_version(&self) -> Result<(Epoch, Seq), StoreFault>;
    /// The seq of the change that last deleted a domain; 0: none ever was.
    fn last_domain_gone(&self) -> Result<Seq, StoreFault>;
    /// One transaction (R1), as for links. `now` is in Unix milliseconds.
    fn write_domain(&self, item: &DomainItem, now: i64) -> Result<DomainCommitReport, StoreFault>;
}

/// The result of a write of a domain.
#[derive(Clone, Debug)]
pub struct DomainCommitReport {
    /// The end of the log after it.
    pub head: Position,
    /// What became of it.
    pub verdict: DomainVerdict,
}
