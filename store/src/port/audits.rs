//! What is asked of the audit: who wrote what, and what it was. It is written with what it tells of alone.

use crate::model::{Row, StoreFault};
use bytes::Bytes;
use link::{Epoch, Key, Seq};

/// The audit of a store. Each call reads one snapshot.
pub trait Audits {
    /// The link, and the noted writes of it with the seq `most` or below, the latest first.
    fn writes(&self, key: &Key, most: Seq, limit: usize) -> Result<LinkPast, StoreFault>;
    /// The link, and the first noted write of it behind a moment.
    fn write_after(&self, key: &Key, moment: Moment) -> Result<LinkPast, StoreFault>;
    /// Who created the link whose seq was this one, if it was noted for a whole chunk.
    fn chunk(&self, seq: Seq) -> Result<Option<NotedAuthor>, StoreFault>;
    /// The writes of keys and domains with numbers below this one, the latest first; with a name, of this one alone.
    fn noted(&self, name: &str, below: i64, limit: usize) -> Result<Vec<ResourceWrite>, StoreFault>;
}

/// A link, and what is known of its past.
#[derive(Debug, PartialEq, Eq)]
pub struct LinkPast {
    /// The current history.
    pub epoch: Epoch,
    /// The link now, deleted or not.
    pub row: Option<Row>,
    /// Writes of it.
    pub writes: Vec<LinkWrite>,
}

/// A noted write of one link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkWrite {
    /// Its number.
    pub seq: Seq,
    /// Who wrote.
    pub who: NotedAuthor,
    /// The link before, if there was one.
    pub before: Option<Row>,
    /// The link after it.
    pub after: Row,
}

/// A noted write of a key or a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceWrite {
    /// Its place among the others.
    pub number: i64,
    /// `keys/{id}` or `domains/{domain}`.
    pub name: String,
    /// When, in Unix milliseconds.
    pub at: i64,
    /// Who wrote.
    pub who: NotedAuthor,
    /// As in [`journal::Note`].
    pub before: Option<Bytes>,
    /// As in [`journal::Note`].
    pub after: Bytes,
}

/// The caller of a write, as the audit has noted it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NotedAuthor {
    /// As in `control::Caller`.
    pub principal: String,
    /// The call, such as `UpdateLink`.
    pub method: String,
    /// As in `control::Caller`.
    pub request_id: String,
}

/// A point in the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Behind a change of the log.
    Seq(Seq),
    /// Unix milliseconds.
    Time(i64),
}

impl Moment {
    /// The column that it is compared with, and the value.
    pub(crate) fn column(self) -> (&'static str, i64) {
        match self {
            Self::Seq(seq) => ("seq", i64::try_from(seq).unwrap_or(i64::MAX)),
            Self::Time(time) => ("at", time),
        }
    }
}
