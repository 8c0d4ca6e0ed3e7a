//! Which items of a group are accepted, and with which numbers (the deciding half of R1). No I/O, no clock here.

pub mod domains;
mod notes;
mod state;
#[cfg(test)]
mod tests;

pub use notes::Note;
pub use state::{next_state, set};

use crate::Fault;
use crate::model::{By, Info, Row};
use crate::wire;
use bytes::Bytes;
use link::{Change, ChangeKind, Class, DomainId, Key, Link, Position, QueryPolicy, Seq, Status, Target};
use prost::Message;
use proto::v1;
use std::collections::HashMap;

/// What one call writes.
#[derive(Clone, Debug)]
pub struct Request {
    /// In the order in which they take effect.
    pub items: Vec<Item>,
    /// How the items belong together.
    pub kind: Kind,
    /// Who is to be named for it; nobody where linkr itself tidies up.
    pub by: Option<By>,
    /// How a retry is recognised; never with a chunk, which has no one answer.
    pub retry: Option<Retry>,
}

/// How the items of a request belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
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
        Self { items: vec![item], kind: Kind::One, by: None, retry: None }
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
    Query(QueryPolicy),
    Class(Class),
    Disabled(bool),
    Title(String),
    Tags(Vec<String>),
    Note(String),
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
pub struct Answer {
    /// Of the whole request.
    pub hash: [u8; 16],
    /// The answer: a `linkr.v1.Link`, or of a batch a `linkr.v1.BatchLinksResponse`.
    pub response: Bytes,
}

/// What became of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Written: this is the new state.
    Created(Row),
    /// Written over an older state.
    Changed(Row),
    /// Equal to what is stored: nothing was written.
    Same,
    /// Done before: this was the answer to the whole request.
    Before(Bytes),
    /// Refused: nothing was written.
    Refused(Fault),
    /// Another item of its batch was refused: nothing was written.
    Held,
}

/// What the store holds about a group's keys and request ids.
#[derive(Debug, Default)]
pub struct Found {
    /// Links, deleted or not.
    pub rows: HashMap<Key, Row>,
    /// The names of those domains that there are, but for the default one.
    pub domains: HashMap<DomainId, String>,
    /// Answers, by the names of their retries.
    pub answers: HashMap<RetryName, Answer>,
}

/// What to write, in the order of the log: the row's version is its seq.
#[derive(Debug)]
pub struct Write {
    /// The new state; of a purge, the last one.
    pub row: Row,
    /// The state before it.
    pub before: Option<Row>,
    /// Whether the link is purged.
    pub purge: bool,
    /// For a retry; with the last write of its request.
    pub answer: Option<(Retry, Bytes)>,
}

impl Write {
    /// As the log has it, under the tag of its commit.
    pub fn change(&self, tag: u64) -> Change {
        let (kind, record) = match self.purge {
            true => (ChangeKind::PURGE, Bytes::new()),
            false => (ChangeKind::LINK, self.row.record()),
        };
        Change { seq: self.row.version, tag, kind, key: self.row.key.as_bytes().to_vec().into(), record }
    }
}

/// A row of the audit: one write of one link, or the links that a chunk created.
#[derive(Debug)]
pub struct Audit {
    /// Of the write; of a chunk, of its last one.
    pub seq: Seq,
    /// Of a chunk, of its first one.
    pub first: Option<Seq>,
    /// Which link, unless it is a chunk.
    pub key: Option<Key>,
    /// Who.
    pub by: By,
    /// The state before, if there was one, as [`Row::to_bytes`] has it.
    pub before: Option<Bytes>,
    /// The state after it; none of a chunk: the links have it, or the `before` of their next writes.
    pub after: Option<Bytes>,
}

/// What becomes of a group.
#[derive(Debug)]
pub struct Decided {
    /// The end of the log behind it.
    pub head: Position,
    /// One for each item.
    pub verdicts: Vec<Verdict>,
    /// What to write, numbered without holes.
    pub writes: Vec<Write>,
    /// What to note.
    pub audits: Vec<Audit>,
}

/// Decides a group: every item sees the effects of those before it. Accepted items are numbered behind `head`
/// without holes.
pub fn decide(group: &[Request], found: Found, head: Position, tag: u64, now: i64) -> Decided {
    let done = Decided { head, verdicts: Vec::new(), writes: Vec::new(), audits: Vec::new() };
    let mut deciding = Deciding { found, tag, now, done };
    group.iter().for_each(|request| deciding.request(request));
    deciding.done
}

struct Deciding {
    found: Found,
    tag: u64,
    now: i64,
    done: Decided,
}

impl Deciding {
    fn request(&mut self, request: &Request) {
        let answer =
            request.retry.as_ref().and_then(|retry| Some((retry, self.found.answers.get(&retry.name())?)));
        if let Some((retry, answer)) = answer {
            let verdict = match answer.hash == retry.hash {
                true => Verdict::Before(answer.response.clone()),
                false => Verdict::Refused(Fault::IdempotencyMismatch),
            };
            self.done.verdicts.extend(std::iter::repeat_n(verdict, request.items.len()));
            return;
        }
        let (head, first) = (self.done.head, self.done.writes.len());
        for (at, item) in request.items.iter().enumerate() {
            let verdict = self.item(item);
            let refused = matches!(verdict, Verdict::Refused(_)) && request.kind == Kind::Batch;
            self.done.verdicts.push(verdict);
            if refused {
                // Numbers are given out again: nobody has seen them.
                self.take_back(head, first);
                let all = self.done.verdicts.len() - 1;
                self.done.verdicts[all - at..all].fill(Verdict::Held);
                let behind = request.items.len() - at - 1;
                self.done.verdicts.extend(std::iter::repeat_n(Verdict::Held, behind));
                return;
            }
        }
        if let Some(by) = &request.by {
            audit(&mut self.done.audits, by, request.kind, &self.done.writes[first..]);
        }
        let written = self.done.writes.get_mut(first..).unwrap_or_default();
        if let Some(retry) = request.retry.clone().filter(|_| !written.is_empty()) {
            let named =
                |row: &Row| wire::link(row, name_of(&self.found.domains, row.key.domain()), head.epoch);
            let links = written.iter().map(|write| named(&write.row));
            let response = Bytes::from(match request.kind {
                Kind::Batch => {
                    v1::BatchLinksResponse { links: links.collect(), propagation: None }.encode_to_vec()
                }
                Kind::One | Kind::Chunk => links.map(|link| link.encode_to_vec()).last().unwrap_or_default(),
            });
            self.found.answers.insert(retry.name(), Answer { hash: retry.hash, response: response.clone() });
            if let Some(last) = written.last_mut() {
                last.answer = Some((retry, response));
            }
        }
    }

    fn item(&mut self, item: &Item) -> Verdict {
        let stored = self.found.rows.get(&item.key);
        let id = item.key.domain();
        // A store that was put back may not have a domain that this process knows.
        let known = id == DomainId::DEFAULT || self.found.domains.contains_key(&id);
        if !known && !matches!(item.intent, Intent::Purge { .. }) {
            return Verdict::Refused(Fault::DomainNotFound(format!("number {} any more", id.0)));
        }
        let domain = name_of(&self.found.domains, id);
        let row = match next_state(item, domain, stored, self.done.head.seq + 1, self.now) {
            Ok(Some(row)) => row,
            Ok(None) => return Verdict::Same,
            Err(fault) => return Verdict::Refused(fault),
        };
        (self.done.head.seq, self.done.head.tag) = (row.version, self.tag);
        let purge = matches!(item.intent, Intent::Purge { .. });
        let before = match purge {
            true => self.found.rows.remove(&item.key),
            false => self.found.rows.insert(item.key.clone(), row.clone()),
        };
        let verdict =
            if before.is_none() { Verdict::Created(row.clone()) } else { Verdict::Changed(row.clone()) };
        self.done.writes.push(Write { row, before, purge, answer: None });
        verdict
    }

    /// Undoes the writes from `first` on, the last one first.
    fn take_back(&mut self, head: Position, first: usize) {
        for Write { row, before, .. } in self.done.writes.drain(first..).rev() {
            match before {
                Some(before) => self.found.rows.insert(row.key, before),
                None => self.found.rows.remove(&row.key),
            };
        }
        self.done.head = head;
    }
}

/// Notes what a request wrote. Of what a chunk creates the bodies are not written twice.
fn audit(audits: &mut Vec<Audit>, by: &By, kind: Kind, writes: &[Write]) {
    let (in_short, in_full): (Vec<&Write>, Vec<&Write>) =
        writes.iter().partition(|write| kind == Kind::Chunk && write.before.is_none());
    audits.extend(in_full.into_iter().map(|Write { row, before, .. }| Audit {
        seq: row.version,
        first: None,
        key: Some(row.key.clone()),
        by: by.clone(),
        before: before.as_ref().map(Row::to_bytes),
        after: Some(row.to_bytes()),
    }));
    if let (Some(first), Some(last)) = (in_short.first(), in_short.last()) {
        let (seq, first) = (last.row.version, Some(first.row.version));
        audits.push(Audit { seq, first, key: None, by: by.clone(), before: None, after: None });
    }
}

/// What a domain is called in the names of its links.
fn name_of(domains: &HashMap<DomainId, String>, id: DomainId) -> &str {
    if id == DomainId::DEFAULT { "-" } else { domains.get(&id).map_or("?", String::as_str) }
}
