//! Which items of a group are accepted, and with which numbers (the deciding half of R1). No I/O, no clock here.

use crate::blocked::{BlockedHosts, led_anew};
use crate::external_ids::{ExternalId, Holders};
use crate::model::{Author, Row};
use crate::request::{Intent, Item, Request, RequestKind, Retry, RetryName, StoredAnswer};
use crate::state::next_state;
use crate::{Rejection, names};
use bytes::Bytes;
use link::rule::{Rule, off};
use link::{Change, ChangeKind, DomainId, Epoch, Key, Position, Seq, TargetHost};
use std::collections::{BTreeMap, HashMap};

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
    Refused(Rejection),
    /// Another item of its batch was refused: nothing was written.
    Held,
}

/// What the store holds about a group's keys and request ids.
#[derive(Debug, Default)]
pub struct Holdings {
    /// Links, deleted or not.
    pub rows: HashMap<Key, Row>,
    /// The names of those domains that there are, but for the default one.
    pub domains: HashMap<DomainId, String>,
    /// Answers, by the names of their retries.
    pub answers: HashMap<RetryName, StoredAnswer>,
    /// The links that have what [`given_ids`](crate::given_ids) and [`returning_ids`](crate::returning_ids) name.
    pub external_ids: HashMap<ExternalId, Key>,
    /// Those of the hosts that [`given_hosts`](crate::given_hosts) and [`returning_hosts`](crate::returning_hosts) name that
    /// are blocked.
    pub blocked: BlockedHosts,
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
    pub by: Author,
    /// The state before, if there was one.
    pub before: Option<Row>,
    /// The state after it; none of a chunk: the links have it, or the `before` of their next writes.
    pub after: Option<Row>,
}

/// The decision on a group of requests: verdicts, and what to write.
#[derive(Debug)]
pub struct Decision {
    /// The end of the log behind it.
    pub head: Position,
    /// One for each item.
    pub verdicts: Vec<Verdict>,
    /// What to write, numbered without holes.
    pub writes: Vec<Write>,
    /// What to note.
    pub audits: Vec<Audit>,
    /// By how many more links each of these blocks keeps disabled.
    pub disabled: BTreeMap<TargetHost, i64>,
}

/// The place and the time at which a group is committed.
#[derive(Clone, Copy, Debug)]
pub struct CommitPoint {
    /// The end of the log.
    pub head: Position,
    /// Of the commit.
    pub tag: u64,
    /// Unix milliseconds.
    pub now: i64,
}

/// What a retry of a request will be answered with: the links that it wrote, with the names of their domains.
#[derive(Debug)]
pub struct AnswerContent<'a> {
    /// How they belong together.
    pub kind: RequestKind,
    /// In their order; at least one.
    pub links: Vec<NamedRow<'a>>,
    /// The history that they were written in.
    pub epoch: Epoch,
}

/// A link under the name of its domain.
#[derive(Clone, Copy, Debug)]
pub struct NamedRow<'a> {
    /// The link.
    pub row: &'a Row,
    /// `-` is the default one.
    pub domain: &'a str,
}

/// Decides a group: every item sees the effects of those before it. Accepted items are numbered behind `head`
/// without holes. `answer` makes what is kept for a request that may come again.
pub fn decide(
    group: &[Request],
    mut found: Holdings,
    at: CommitPoint,
    answer: impl Fn(&AnswerContent<'_>) -> Bytes,
) -> Decision {
    let holders = Holders::new(std::mem::take(&mut found.external_ids), &found.rows);
    let done = Decision {
        head: at.head,
        verdicts: Vec::new(),
        writes: Vec::new(),
        audits: Vec::new(),
        disabled: BTreeMap::new(),
    };
    let mut deciding = Decider { found, holders, tag: at.tag, now: at.now, done, answer };
    group.iter().for_each(|request| deciding.request(request));
    let mut done = deciding.done;
    done.disabled = disabled(&done.writes);
    done
}

/// By how many more links each block keeps disabled behind these writes.
fn disabled(writes: &[Write]) -> BTreeMap<TargetHost, i64> {
    let live = |row: &Row| row.info.blocked_by.clone().filter(|_| row.delete_time.is_none());
    let mut more = BTreeMap::new();
    for Write { row, before, purge, .. } in writes {
        let (before, after) = (before.as_ref().and_then(live), live(row).filter(|_| !purge));
        if before != after {
            before.into_iter().for_each(|host| *more.entry(host).or_default() -= 1);
            after.into_iter().for_each(|host| *more.entry(host).or_default() += 1);
        }
    }
    more.retain(|_, count: &mut i64| *count != 0);
    more
}

struct Decider<F> {
    found: Holdings,
    holders: Holders,
    tag: u64,
    now: i64,
    done: Decision,
    answer: F,
}

impl<F: Fn(&AnswerContent<'_>) -> Bytes> Decider<F> {
    fn request(&mut self, request: &Request) {
        let answer =
            request.retry.as_ref().and_then(|retry| Some((retry, self.found.answers.get(&retry.name())?)));
        if let Some((retry, answer)) = answer.filter(|_| !off(Rule::RetryOnce)) {
            let verdict = match answer.hash == retry.hash || off(Rule::RetrySame) {
                true => Verdict::Before(answer.response.clone()),
                false => Verdict::Refused(Rejection::IdempotencyMismatch),
            };
            self.done.verdicts.extend(std::iter::repeat_n(verdict, request.items.len()));
            return;
        }
        let (head, first) = (self.done.head, self.done.writes.len());
        for (at, item) in request.items.iter().enumerate() {
            let verdict = self.item(item);
            let refused = matches!(verdict, Verdict::Refused(_))
                && request.kind == RequestKind::Batch
                && !off(Rule::BatchWhole);
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
            let domain = |row: &Row| name_of(&self.found.domains, row.key.domain());
            let links = written.iter().map(|write| NamedRow { row: &write.row, domain: domain(&write.row) });
            let links = links.collect();
            let response = (self.answer)(&AnswerContent { kind: request.kind, links, epoch: head.epoch });
            self.found
                .answers
                .insert(retry.name(), StoredAnswer { hash: retry.hash, response: response.clone() });
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
        if !known && !matches!(item.intent, Intent::Purge { .. }) && !off(Rule::DomainThere) {
            return Verdict::Refused(Rejection::DomainNotFound(format!("number {} any more", id.0)));
        }
        let domain = name_of(&self.found.domains, id);
        let blocked = &self.found.blocked;
        let row = match next_state(item, domain, stored, blocked, self.done.head.seq + 1, self.now) {
            Ok(Some(row)) => row,
            Ok(None) => return Verdict::Same,
            Err(fault) => return Verdict::Refused(fault),
        };
        let refused = led_anew(stored, &row).find_map(|(field, target)| Some((field, blocked.of(target)?)));
        if let Some((field, host)) = refused.filter(|_| !off(Rule::TargetBlocked)) {
            return Verdict::Refused(Rejection::TargetBlocked { field, host });
        }
        if let Some(holder) = self.holders.other(&row).filter(|_| !off(Rule::ExternalIdOnce)) {
            let (id, name) = (row.info.external_id, names::link(holder, domain));
            return Verdict::Refused(Rejection::ExternalIdTaken { id, name });
        }
        (self.done.head.seq, self.done.head.tag) = (row.version, self.tag);
        let purge = matches!(item.intent, Intent::Purge { .. });
        let before = match purge {
            true => self.found.rows.remove(&item.key),
            false => self.found.rows.insert(item.key.clone(), row.clone()),
        };
        self.holders.replace(before.as_ref(), (!purge).then_some(&row));
        let verdict =
            if before.is_none() { Verdict::Created(row.clone()) } else { Verdict::Changed(row.clone()) };
        self.done.writes.push(Write { row, before, purge, answer: None });
        verdict
    }

    /// Undoes the writes from `first` on, the last one first.
    fn take_back(&mut self, head: Position, first: usize) {
        for Write { row, before, purge, .. } in self.done.writes.drain(first..).rev() {
            if off(Rule::BatchStates) {
                continue;
            }
            self.holders.replace((!purge).then_some(&row), before.as_ref());
            match before {
                Some(before) => self.found.rows.insert(row.key, before),
                None => self.found.rows.remove(&row.key),
            };
        }
        if !off(Rule::BatchNumbers) {
            self.done.head = head;
        }
    }
}

/// Notes what a request wrote. Of what a chunk creates the bodies are not written twice.
fn audit(audits: &mut Vec<Audit>, by: &Author, kind: RequestKind, writes: &[Write]) {
    let (in_short, in_full): (Vec<&Write>, Vec<&Write>) =
        writes.iter().partition(|write| kind == RequestKind::Chunk && write.before.is_none());
    audits.extend(in_full.into_iter().map(|Write { row, before, .. }| Audit {
        seq: row.version,
        first: None,
        key: Some(row.key.clone()),
        by: by.clone(),
        before: before.clone(),
        after: Some(row.clone()),
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
