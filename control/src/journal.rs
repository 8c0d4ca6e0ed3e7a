//! Which items of a group are accepted, and with which numbers (the deciding half of R1). No I/O, no clock here.

pub mod domains;

use crate::Fault;
use crate::port::{Info, Row};
use crate::wire;
use bytes::Bytes;
use link::{Class, DomainId, Key, Link, LinkParts, Position, QueryPolicy, Seq, Status, Target};
use prost::Message;
use std::collections::HashMap;

/// A write, checked as far as it can be without the store.
#[derive(Clone, Debug)]
pub struct Item {
    /// Which link.
    pub key: Key,
    /// What to do with it.
    pub intent: Intent,
    /// How a retry is recognised.
    pub retry: Option<Retry>,
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

/// The stored answer to a request that may come again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Of the whole request.
    pub hash: [u8; 16],
    /// The answer, a `linkr.v1.Link`.
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
    /// Done before: this was the answer.
    Before(Bytes),
    /// Refused: nothing was written.
    Refused(Fault),
}

/// What the store holds about a group's keys and request ids.
#[derive(Debug, Default)]
pub struct Found {
    /// Links, deleted or not.
    pub rows: HashMap<Key, Row>,
    /// The names of those domains that there are, but for the default one.
    pub domains: HashMap<DomainId, String>,
    /// Answers, by principal, method and id.
    pub answers: HashMap<(String, &'static str, String), Answer>,
}

/// What to write, in the order of the log: the row's version is its seq.
#[derive(Debug)]
pub struct Write {
    /// The new state; of a purge, the last one.
    pub row: Row,
    /// Whether the link is purged.
    pub purge: bool,
    /// For a retry.
    pub answer: Option<(Retry, Bytes)>,
}

/// Decides a group: every item sees the effects of those before it. Accepted items are numbered behind `head`
/// without holes.
pub fn decide(
    group: &[Item],
    mut found: Found,
    head: Position,
    tag: u64,
    now: i64,
) -> (Position, Vec<Verdict>, Vec<Write>) {
    let (mut head, mut writes) = (head, Vec::new());
    let mut one = |item: &Item| {
        let id = item.retry.as_ref().map(|r| (r.principal.clone(), r.method, r.id.clone()));
        if let Some((retry, answer)) =
            item.retry.as_ref().zip(id.as_ref().and_then(|id| found.answers.get(id)))
        {
            return if answer.hash == retry.hash {
                Verdict::Before(answer.response.clone())
            } else {
                Verdict::Refused(Fault::IdempotencyMismatch)
            };
        }
        let stored = found.rows.get(&item.key);
        // A store that was put back may not have a domain that this process knows.
        let domain = match (item.key.domain(), &item.intent) {
            (DomainId::DEFAULT, _) => Some("-"),
            (id, Intent::Purge { .. }) => Some(found.domains.get(&id).map_or("?", String::as_str)),
            (id, _) => found.domains.get(&id).map(String::as_str),
        };
        let Some(domain) = domain else {
            let name = format!("number {} any more", item.key.domain().0);
            return Verdict::Refused(Fault::DomainNotFound(name));
        };
        let row = match next_state(item, domain, stored, head.seq + 1, now) {
            Ok(Some(row)) => row,
            Ok(None) => return Verdict::Same,
            Err(fault) => return Verdict::Refused(fault),
        };
        let verdict =
            if stored.is_none() { Verdict::Created(row.clone()) } else { Verdict::Changed(row.clone()) };
        (head.seq, head.tag) = (row.version, tag);
        let answer = item.retry.clone().zip(id).map(|(retry, id)| {
            let response = Bytes::from(wire::link(&row, domain, head.epoch).encode_to_vec());
            found.answers.insert(id, Answer { hash: retry.hash, response: response.clone() });
            (retry, response)
        });
        let purge = matches!(item.intent, Intent::Purge { .. });
        if purge {
            found.rows.remove(&item.key);
        } else {
            found.rows.insert(item.key.clone(), row.clone());
        }
        writes.push(Write { row, purge, answer });
        verdict
    };
    let verdicts = group.iter().map(&mut one).collect();
    (head, verdicts, writes)
}

/// The state that `item` makes of what is stored, or `None` if it is that already.
/// `domain` is the name of its domain.
pub fn next_state(
    item: &Item,
    domain: &str,
    stored: Option<&Row>,
    version: Seq,
    now: i64,
) -> Result<Option<Row>, Fault> {
    let name = || wire::name(&item.key, domain);
    let new = |draft: &Draft, create_time| Row {
        key: item.key.clone(),
        version,
        link: draft.link.clone(),
        info: draft.info.clone(),
        create_time,
        update_time: now,
        delete_time: None,
    };
    match (&item.intent, stored) {
        (Intent::Purge { before }, stored) => {
            let old = stored.filter(|row| row.delete_time.is_some_and(|at| at <= *before));
            Ok(old.map(|row| Row { version, ..row.clone() }))
        }
        (Intent::Create(_) | Intent::Import { .. }, Some(row)) if row.delete_time.is_some() => {
            Err(Fault::CodeDeleted(name()))
        }
        (Intent::Create(_), Some(_)) => Err(Fault::Exists(name())),
        (Intent::Create(draft), None) => Ok(Some(new(draft, now))),
        (Intent::Import { draft, create_time, .. }, None) => Ok(Some(new(draft, create_time.unwrap_or(now)))),
        (Intent::Import { draft, create_time, update }, Some(row)) => {
            // A file that does not say when the link was made does not contradict the store.
            let create_time = create_time.unwrap_or(row.create_time);
            if (&row.link, &row.info, row.create_time) == (&draft.link, &draft.info, create_time) {
                Ok(None)
            } else if *update {
                Ok(Some(new(draft, create_time)))
            } else {
                Err(Fault::Exists(name()))
            }
        }
        (Intent::Update { .. } | Intent::Delete { .. }, None) => Err(Fault::NotFound(name())),
        (Intent::Update { etag, .. } | Intent::Delete { etag }, Some(row))
            if etag.is_some_and(|etag| etag != row.version) =>
        {
            Err(Fault::EtagMismatch)
        }
        (_, Some(row)) if row.delete_time.is_some() => Err(Fault::NotFound(name())),
        (Intent::Update { fields, .. }, Some(row)) => {
            Ok(Some(Row { version, update_time: now, ..with_fields(row, fields)? }))
        }
        (Intent::Delete { .. }, Some(row)) => {
            Ok(Some(Row { version, update_time: now, delete_time: Some(now), ..row.clone() }))
        }
    }
}

fn with_fields(row: &Row, fields: &[Field]) -> Result<Row, Fault> {
    let (mut parts, mut info) = (row.link.parts().clone(), row.info.clone());
    for field in fields {
        set(&mut parts, &mut info, field.clone());
    }
    let link = Link::new(parts).map_err(|fault| Fault::invalid(fault.field(), fault))?;
    Ok(Row { link, info, ..row.clone() })
}

/// Sets one field.
pub fn set(parts: &mut LinkParts, info: &mut Info, field: Field) {
    match field {
        Field::Target(value) => parts.target = value,
        Field::Status(value) => parts.status = value,
        Field::MaxAge(value) => parts.max_age = value,
        Field::NotBefore(value) => parts.not_before = value,
        Field::Expire(value) => parts.expire = value,
        Field::Query(value) => parts.query = value,
        Field::Class(value) => parts.class = value,
        Field::Disabled(value) => parts.disabled = value,
        Field::Title(value) => info.title = value,
        Field::Tags(value) => info.tags = value,
        Field::Note(value) => info.note = value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use link::{Code, Epoch};

    fn item(code: &str, intent: Intent) -> Item {
        Item { key: Key::new(DomainId::DEFAULT, &Code::new(code).unwrap()), intent, retry: None }
    }

    fn draft(target: &str) -> Draft {
        let link = Link::new(LinkParts::to(Target::given(target, &[]).unwrap())).unwrap();
        Draft { link, info: Info::default() }
    }

    #[test]
    fn numbers_have_no_holes_and_each_item_sees_those_before() {
        let import =
            |update| Intent::Import { draft: draft("https://b.example/"), create_time: None, update };
        let group = [
            item("a", Intent::Create(draft("https://a.example/"))),
            item("a", Intent::Create(draft("https://a.example/"))),
            item("a", import(false)),
            item("a", import(true)),
            item("a", import(true)),
            item("b", Intent::Delete { etag: None }),
            item("a", Intent::Update { fields: vec![Field::Disabled(true)], etag: Some(7) }),
            item("a", Intent::Update { fields: vec![Field::Disabled(true)], etag: Some(12) }),
            item("a", Intent::Delete { etag: None }),
            item("a", Intent::Delete { etag: None }),
            item("a", import(true)),
            item("a", Intent::Purge { before: 4 }),
            item("a", Intent::Purge { before: 5 }),
            item("a", Intent::Purge { before: 5 }),
            item("a", Intent::Create(draft("https://c.example/"))),
        ];
        let start = Position { epoch: Epoch { counter: 1, random: 2 }, seq: 10, tag: 3 };
        let (head, verdicts, writes) = decide(&group, Found::default(), start, 99, 5);
        assert_eq!(head, Position { seq: 16, tag: 99, ..start });
        let numbers: Vec<_> = writes.iter().map(|write| (write.row.version, write.purge)).collect();
        assert_eq!(numbers, [11, 12, 13, 14, 15, 16].map(|seq| (seq, seq == 15)));
        let name = || "domains/-/links/a".to_owned();
        let short: Vec<_> = verdicts
            .into_iter()
            .map(|verdict| match verdict {
                Verdict::Created(row) | Verdict::Changed(row) => Ok(row.version),
                Verdict::Same | Verdict::Before(_) => Ok(0),
                Verdict::Refused(fault) => Err(fault),
            })
            .collect();
        let want = [
            Ok(11),
            Err(Fault::Exists(name())),
            Err(Fault::Exists(name())),
            Ok(12),
            Ok(0),
            Err(Fault::NotFound("domains/-/links/b".into())),
            Err(Fault::EtagMismatch),
            Ok(13),
            Ok(14),
            Err(Fault::NotFound(name())),
            Err(Fault::CodeDeleted(name())),
            Ok(0),
            Ok(15),
            Ok(0),
            Ok(16),
        ];
        assert_eq!(short, want);
    }

    #[test]
    fn a_retry_in_the_same_group_is_answered_like_the_first() {
        let retry = |hash| {
            Some(Retry { principal: String::new(), method: "CreateLink", id: "x".into(), hash: [hash; 16] })
        };
        let with = |code: &str, hash| Item {
            retry: retry(hash),
            ..item(code, Intent::Create(draft("https://a.example/")))
        };
        let group = [with("a", 1), with("b", 1), with("a", 2)];
        let (head, verdicts, _) = decide(&group, Found::default(), Position::default(), 1, 5);
        assert_eq!(head.seq, 1);
        assert!(matches!(verdicts[1], Verdict::Before(_)));
        assert_eq!(verdicts[2], Verdict::Refused(Fault::IdempotencyMismatch));
    }
}
