//! What a call asks to be written, checked as far as it can be without the store.

use crate::model::{Author, Info};
use bytes::Bytes;
use link::{Class, Key, Link, QueryPolicy, Seq, Status, Target, TargetHost};

/// What one call writes.
#[derive(Clone, Debug)]
pub struct Request {
    /// In the order in which they take effect.
    pub items: Vec<Item>,
    /// How the items belong together.
    pub kind: RequestKind,
    /// Who is to be named for it; nobody where linkr itself tidies up.
    pub by: Option<Author>,
    /// How a retry is recognised; never with a chunk, which has no one answer.
    pub retry: Option<Retry>,
}

/// How the items of a request belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
    /// There is one.
    One,
    /// All or none.
    Batch,
    /// Each for itself; what a chunk creates is noted in one row of the audit.
    Chunk,
}

/// A write, checked as far as it can be without the store.
#[derive(Clone, Debug)]
pub struct Item {
    /// Which link.
    pub key: Key,
    /// What to do with it.
    pub intent: Intent,
}

impl From<Item> for Request {
    fn from(item: Item) -> Self {
        Self { items: vec![item], kind: RequestKind::One, by: None, retry: None }
    }
}

/// What to do with a link.
#[derive(Clone, Debug)]
pub enum Intent {
    /// Make it.
    Create(Draft),
    /// Set some of its fields.
    Update {
        /// The fields.
        fields: Vec<Field>,
        /// Only at this version.
        etag: Option<Seq>,
    },
    /// Bury it.
    Delete {
        /// Only at this version.
        etag: Option<Seq>,
    },
    /// Bring it back as it was.
    Undelete {
        /// Only at this version.
        etag: Option<Seq>,
    },
    /// Make it as it once was, deleted or not.
    Restore {
        /// As it was.
        draft: Draft,
        /// Only at this version.
        etag: Option<Seq>,
    },
    /// Make it as a file has it.
    Import {
        /// The link.
        draft: Draft,
        /// When it was made, if the file says so.
        create_time: Option<i64>,
        /// Whether a different stored link is replaced.
        update: bool,
    },
    /// Forget its tombstone, if it was deleted at this time (Unix milliseconds) or before: the code is unknown and free.
    Purge {
        /// That time.
        before: i64,
    },
    /// Disable it, if it is enabled and leads to this host or below it, and the host is still blocked.
    Block {
        /// The blocked host.
        host: TargetHost,
    },
    /// Undo that, if nobody has changed it since and the host is blocked no more.
    Lift {
        /// The host.
        host: TargetHost,
    },
}

/// The link that a caller wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// What travels.
    pub link: Link,
    /// What does not.
    pub info: Info,
}

/// A field and its new value.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // the fields are those of linkr.v1.Link, documented there
pub enum Field {
    Target(Target),
    Status(Status),
    MaxAge(Option<u32>),
    NotBefore(Option<i64>),
    Expire(Option<i64>),
    ExpiredTarget(Option<Target>),
    Query(QueryPolicy),
    Class(Class),
    Disabled(bool),
    Title(String),
    Tags(Vec<String>),
    Note(String),
    ExternalId(String),
    ImportedClicks(u64),
}

/// How a retry is recognised.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Retry {
    /// Who asks.
    pub principal: String,
    /// Which call.
    pub method: &'static str,
    /// The caller's name for the request.
    pub id: String,
    /// Of the whole request.
    pub hash: [u8; 16],
}

/// Principal, method and id.
pub type RetryName = (String, &'static str, String);

impl Retry {
    /// What its answer is stored under.
    pub fn name(&self) -> RetryName {
        (self.principal.clone(), self.method, self.id.clone())
    }
}

/// The stored answer to a request that may come again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAnswer {
    /// Of the whole request.
    pub hash: [u8; 16],
    /// What [`Answered`] was made of then.
    pub response: Bytes,
}
