//! What is kept of links, domains and keys, and why a store could not do so. Nothing is asked or decided here.

mod audit_row;
mod scope;

pub use scope::{Scope, Scopes};

use bytes::Bytes;
use link::{Change, ChangeKind, DomainId, DomainRules, Key, Link, Seq, State};
use std::sync::Arc;

/// Milliseconds for which a deleted link answers 410 and its code stays taken.
pub const TOMBSTONES: i64 = 30 * 24 * 60 * 60 * 1000;

/// A stored link. Times are in Unix milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its key.
    pub key: Key,
    /// The seq of the change that made this state.
    pub version: Seq,
    /// The link; of a deleted one, as it was.
    pub link: Link,
    /// What people note about it.
    pub info: Info,
    /// When it was made.
    pub create_time: i64,
    /// When it last changed.
    pub update_time: i64,
    /// When it was deleted.
    pub delete_time: Option<i64>,
}

impl Row {
    /// What travels.
    pub fn record(&self) -> Bytes {
        let state = match self.delete_time {
            None => State::Live(self.link.clone()),
            Some(_) => State::Deleted,
        };
        record::encode(self.version, &state)
    }
}

/// What people note about a link; it never travels to an edge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Info {
    /// At most 512 bytes.
    pub title: String,
    /// At most 32 of at most 64 bytes.
    pub tags: Vec<String>,
    /// At most 4,096 bytes.
    pub note: String,
}

/// Domains there may be at most: every edge holds all of them, and is told them in one message.
pub const MAX_DOMAINS: usize = 10_000;

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

/// A key as it is kept. Times are in Unix milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRow {
    /// Its name; no secret.
    pub id: String,
    /// SHA-256 of the key.
    pub hash: [u8; 32],
    /// Who uses it.
    pub client: String,
    /// What it allows.
    pub scopes: Scopes,
    /// The domains that it is for; none: all.
    pub domains: Vec<String>,
    /// When it was made.
    pub create_time: i64,
    /// The only edge that it lets in; `None`: it has no scope feed, or is from before.
    pub edge: Option<String>,
    /// From when on it is refused.
    pub expire_time: Option<i64>,
    /// When it was revoked.
    pub revoke_time: Option<i64>,
    /// When it was last used, as far as that is noted.
    pub last_use: Option<i64>,
}

/// Who wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct By {
    /// As in [`crate::Caller`].
    pub principal: Arc<str>,
    /// The call.
    pub method: &'static str,
    /// As in [`crate::Caller`].
    pub request_id: Arc<str>,
}

/// How a process stands among those that share a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Whether it may begin a new history when the store was replaced.
    pub auto_fork: bool,
    /// Whether `Repository::proved_head` writes, and so should be asked seldom.
    pub heartbeat: bool,
    /// Whether what it reads holds over a failover of the store, too.
    pub certified: bool,
    /// Whether the store was replaced, and nobody has said yet that this was meant.
    pub replaced: bool,
}

/// Connections of a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pool {
    /// With calls under way.
    pub in_use: usize,
    /// Without.
    pub idle: usize,
    /// There may be so many.
    pub most: usize,
    /// Calls that wait for one.
    pub waiting: usize,
}

/// Why a store could not do what it was asked. Never the fault of the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreFault {
    /// It does not answer now; why.
    Unavailable(String),
    /// Its disk is full.
    Full,
    /// It holds something that this program cannot have written; what.
    Corrupt(String),
}

impl std::fmt::Display for StoreFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unavailable(why) => write!(f, "the store does not answer: {why}"),
            Self::Full => write!(f, "the disk of the store is full: make room, nothing was written"),
            Self::Corrupt(what) => write!(f, "the store holds what it should not: {what}"),
        }
    }
}

impl std::error::Error for StoreFault {}
