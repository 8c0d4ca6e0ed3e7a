//! What a store keeps of keys, how it stands, and why it could not do what it was asked.

mod scope;

pub use journal::{Author, DomainRow, Info, MAX_DOMAINS, Row};
pub use scope::{Scope, Scopes};

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

/// The standing of a process among those that share a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreStanding {
    /// Whether it may begin a new history when the store was replaced.
    pub auto_fork: bool,
    /// Whether `Repository::proved_head` writes, and so should be asked seldom.
    pub heartbeat: bool,
    /// Whether what it reads holds over a failover of the store, too.
    pub certified: bool,
    /// Whether the store was replaced, and nobody has said yet that this was meant.
    pub replaced: bool,
}

/// Counts of the connections of a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolCounts {
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
