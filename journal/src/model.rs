//! What is kept of a link and of a domain, and who wrote it.

use bytes::Bytes;
use link::{Change, ChangeKind, DomainId, DomainRules, Key, Link, LinkIdentity, LinkState, Seq, TargetHost};
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
    /// The seq of the change that created the link. It stays with it through every change, a deletion that is undone
    /// among them; a link that is made under the code once it was purged has another.
    pub uid: Seq,
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
    /// Which link it is, and which state of it.
    pub fn identity(&self) -> LinkIdentity {
        LinkIdentity { uid: self.uid, version: self.version }
    }

    /// What travels.
    pub fn record(&self) -> Bytes {
        let state = match self.delete_time {
            None => LinkState::Live(self.link.clone()),
            Some(_) => LinkState::Deleted,
        };
        record::encode_as(self.identity(), &state)
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
    /// What another system calls the link: at most 128 bytes; empty: nothing.
    pub external_id: String,
    /// How often it was clicked where it was before.
    pub imported_clicks: u64,
    /// The blocked host for which linkr disabled the link, until somebody sets its target or whether it is disabled.
    pub blocked_by: Option<TargetHost>,
    /// Fields that a newer linkr keeps of it, as they came: this one knows none of them, and takes none away.
    pub newer: Bytes,
}

impl Info {
    /// Its bytes, as pages of links count them.
    pub fn size(&self) -> usize {
        let Self { title, tags, note, external_id, imported_clicks, blocked_by, newer } = self;
        let tags = tags.iter().map(String::len).sum::<usize>();
        let blocked_by = blocked_by.as_ref().map_or(0, |host| host.turned().len());
        let numbers = size_of_val(imported_clicks);
        title.len() + tags + note.len() + external_id.len() + numbers + blocked_by + newer.len()
    }
}

/// Domains there may be at most: every edge holds all of them, and is told them in one message.
pub const MAX_DOMAINS: usize = 10_000;
/// Bytes that the records of all domains may have together, for the same reason: an edge takes a message of 16 MiB.
pub const MAX_DOMAINS_BYTES: usize = 12 * 1024 * 1024;

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

    /// The change that says in the log that it was deleted, at its version.
    pub fn gone(&self, tag: u64) -> Change {
        let (kind, key) = (ChangeKind::DOMAIN_GONE, self.id.prefix().to_vec().into());
        Change { seq: self.version, tag, kind, key, record: Bytes::new() }
    }
}

/// The caller of a write, as the audit names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author {
    /// As the caller is known.
    pub principal: Arc<str>,
    /// The call.
    pub method: &'static str,
    /// As the answer has it.
    pub request_id: Arc<str>,
}
