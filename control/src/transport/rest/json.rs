//! Links and edges as JSON: the fields of `linkr.v1` by the same names, times in RFC 3339, enums in lower case.

use crate::Fault;
use prost_types::Timestamp;
use proto::v1;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::{Value, json};
use std::collections::HashSet;

const QUERIES: [(&str, v1::QueryPolicy); 3] = [
    ("drop", v1::QueryPolicy::Drop),
    ("append", v1::QueryPolicy::Append),
    ("override", v1::QueryPolicy::Override),
];
pub const CLASSES: [(&str, v1::LinkClass); 2] =
    [("normal", v1::LinkClass::Normal), ("strict", v1::LinkClass::Strict)];

const ALPHABETS: [(&str, v1::CodeAlphabet); 2] =
    [("base62", v1::CodeAlphabet::Base62), ("unambiguous", v1::CodeAlphabet::Unambiguous)];
const STATES: [(&str, v1::CodeState); 4] = [
    ("free", v1::CodeState::Free),
    ("taken", v1::CodeState::Taken),
    ("deleted", v1::CodeState::Deleted),
    ("reserved", v1::CodeState::Reserved),
];

/// What generated codes are drawn from, by its name.
///
/// # Errors
/// When it is none.
pub fn alphabet(name: &str) -> Result<v1::CodeAlphabet, Fault> {
    let found = ALPHABETS.iter().find(|(known, _)| *known == name).map(|(_, alphabet)| *alphabet);
    found.ok_or_else(|| Fault::invalid("code_alphabet", "is none of base62, unambiguous"))
}

/// What a code is.
pub fn code(told: &v1::CheckCodeResponse) -> Value {
    let state = STATES.iter().find(|(_, state)| *state as i32 == told.state).map(|(name, _)| *name);
    json!({ "code": told.code, "state": state, "suggestions": told.suggestions })
}

/// As an answer carries it; what is not set is left out.
pub fn link(link: &v1::Link) -> Value {
    let query = QUERIES.iter().find(|(_, query)| *query as i32 == link.query).map(|(name, _)| *name);
    let class = CLASSES.iter().find(|(_, class)| *class as i32 == link.class).map(|(name, _)| *name);
    let mut value = json!({
        "name": link.name,
        "code": link.code,
        "domain": link.domain,
        "target": link.target,
        "status": link.status,
        "max_age": link.max_age,
        "not_before": time_of(&link.not_before),
        "expire_time": time_of(&link.expire_time),
        "query": query,
        "class": class,
        "disabled": link.disabled,
        "title": link.title,
        "tags": link.tags,
        "note": link.note,
        "create_time": time_of(&link.create_time),
        "update_time": time_of(&link.update_time),
        "delete_time": time_of(&link.delete_time),
        "revision": Some(&link.revision).filter(|text| !text.is_empty()),
        "etag": Some(&link.etag).filter(|text| !text.is_empty()),
        "propagation": link.propagation.as_ref().map(propagation),
    });
    without_nulls(&mut value);
    value
}

pub fn without_nulls(value: &mut Value) {
    if let Some(fields) = value.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
}

/// Who has a write, and who may not.
pub fn propagation(told: &v1::Propagation) -> Value {
    let by = told.applied_by.iter().map(|by| json!({ "edge": by.edge, "after_ms": by.after_ms }));
    let blind =
        told.blind.iter().map(|blind| json!({ "edge": blind.edge, "last_seen": time_of(&blind.last_seen) }));
    json!({
        "status": if told.blind.is_empty() { "propagated" } else { "partial" },
        "applied_by": by.collect::<Vec<_>>(),
        "blind": blind.collect::<Vec<_>>(),
    })
}

pub fn time_of(time: &Option<Timestamp>) -> Option<String> {
    time.as_ref().map(ToString::to_string)
}

/// Every edge, and the log.
pub fn edges(told: &v1::ListEdgesResponse) -> Value {
    let edge = |edge: &v1::Edge| {
        let mut value = json!({
            "edge": edge.edge,
            "incarnation": edge.incarnation,
            "applied": edge.applied,
            "lag": edge.lag,
            "last_pong": time_of(&edge.last_pong),
            "blind": edge.blind,
            "session_since": time_of(&edge.session_since),
        });
        without_nulls(&mut value);
        value
    };
    let log = told.log.clone().unwrap_or_default();
    let epoch =
        |epoch: Option<v1::Epoch>| epoch.map(|epoch| format!("{}-{:08x}", epoch.counter, epoch.random));
    let history = |history: &v1::History| {
        let mut value = json!({
            "epoch": epoch(history.epoch),
            "parent": epoch(history.parent),
            "fork_seq": history.fork_seq,
            "head": history.head,
            "begin_time": time_of(&history.begin_time),
        });
        without_nulls(&mut value);
        value
    };
    json!({
        "edges": told.edges.iter().map(edge).collect::<Vec<_>>(),
        "log": {
            "epoch": epoch(log.epoch),
            "head": log.head,
            "oldest": log.oldest,
            "histories": log.histories.iter().map(history).collect::<Vec<_>>(),
        },
    })
}

/// What became of an edge that is gone.
pub fn forgotten(told: &v1::ForgetEdgeResponse) -> Value {
    json!({ "processes": told.processes })
}

/// A page of a list.
pub fn page(page: &v1::ListLinksResponse) -> Value {
    json!({ "links": page.links.iter().map(link).collect::<Vec<_>>(), "next_page_token": page.next_page_token })
}

/// A page of the versions of a link.
pub fn history(page: &v1::ListLinkHistoryResponse) -> Value {
    let version = |version: &v1::LinkVersion| {
        json!({
            "link": version.link.as_ref().map(link),
            "principal": version.principal,
            "method": version.method,
            "request_id": version.request_id,
            "time": time_of(&version.time),
        })
    };
    json!({
        "versions": page.versions.iter().map(version).collect::<Vec<_>>(),
        "next_page_token": page.next_page_token,
    })
}

/// What a batch made.
pub fn batch(done: &v1::BatchLinksResponse) -> Value {
    let mut value = json!({
        "links": done.links.iter().map(link).collect::<Vec<_>>(),
        "propagation": done.propagation.as_ref().map(propagation),
    });
    without_nulls(&mut value);
    value
}

/// A message of a watch.
pub fn changes(told: &v1::WatchLinksResponse) -> Value {
    json!({ "changes": told.changes.iter().map(change).collect::<Vec<_>>(), "revision": told.revision })
}

/// A change of a link.
pub fn change(told: &v1::LinkChange) -> Value {
    let mut value = json!({
        "revision": told.revision,
        "name": told.name,
        "link": told.link.as_ref().map(state),
        "deleted": told.deleted,
        "purged": told.purged,
    });
    without_nulls(&mut value);
    value
}

/// The point in the body of a restore.
///
/// # Errors
/// Malformed JSON, a member that no restore has, a time that is none, two points.
pub fn point(body: &[u8]) -> Result<Option<v1::restore_link_request::Point>, Fault> {
    use v1::restore_link_request::Point;
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Given {
        time: Option<String>,
        revision: Option<String>,
    }
    match read::<Given>(body)? {
        Given { time: Some(_), revision: Some(_) } => {
            Err(Fault::invalid("time", "is there, and so is revision: one of both says when"))
        }
        Given { time, revision: None } => {
            Ok(time.map(|at| parsed("time", &at)).transpose()?.map(Point::Time))
        }
        Given { revision, .. } => Ok(revision.map(Point::Revision)),
    }
}

fn parsed(field: &'static str, text: &str) -> Result<Timestamp, Fault> {
    proto::time::read(text).map_err(|why| Fault::invalid(field, why))
}

/// The links of `{"requests": [{"link": {…}}, …]}`, each as [`parse`] has it.
///
/// # Errors
/// As of [`parse`]; the field says which of them it is in.
pub fn links(body: &[u8]) -> Result<Vec<(v1::Link, Vec<String>)>, Fault> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Given {
        requests: Vec<One>,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct One {
        link: Members,
    }
    let all = read::<Given>(body)?.requests.into_iter().enumerate();
    all.map(|(at, one)| once(one.link.0).and_then(given).map_err(|fault| fault.in_batch(at, "link.")))
        .collect()
}

/// Code and etag of each in `{"requests": [{"code": "…", "etag": "…"}, …]}`.
///
/// # Errors
/// Malformed JSON, a member that no deletion has.
pub fn deletions(body: &[u8]) -> Result<Vec<(String, String)>, Fault> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Given {
        requests: Vec<One>,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct One {
        code: String,
        #[serde(default)]
        etag: String,
    }
    Ok(read::<Given>(body)?.requests.into_iter().map(|one| (one.code, one.etag)).collect())
}

/// `{}`
///
/// # Errors
/// Malformed JSON, any member.
pub fn nothing(body: &[u8]) -> Result<(), Fault> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Given {}
    read::<Given>(body).map(|Given {}| ())
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Fault> {
    serde_json::from_slice(body)
        .map_err(|e| Fault::invalid("body", format!("is not what this call takes: {e}")))
}

/// A link without what the log does not know of it.
fn state(told: &v1::Link) -> Value {
    let mut value = link(told);
    if let Some(fields) = value.as_object_mut() {
        fields.retain(|name, _| !["title", "tags", "note"].contains(&name.as_str()));
    }
    value
}

/// A link that a caller gives, and the fields in it that can be set. `null` is the default of its field.
///
/// # Errors
/// Malformed JSON, a field that no link has, a value of the wrong kind.
pub fn parse(body: &[u8]) -> Result<(v1::Link, Vec<String>), Fault> {
    given(members(body)?)
}

fn given(members: Vec<(String, Value)>) -> Result<(v1::Link, Vec<String>), Fault> {
    let (mut link, mut paths) = (v1::Link::default(), Vec::new());
    for (name, value) in members {
        if set(&mut link, &name, &value)? {
            paths.push(name);
        }
    }
    Ok((link, paths))
}

/// The members of a JSON object, each of them once.
pub fn members(body: &[u8]) -> Result<Vec<(String, Value)>, Fault> {
    let Members(members) = serde_json::from_slice(body)
        .map_err(|e| Fault::invalid("body", format!("is not a JSON object: {e}")))?;
    once(members)
}

fn once(members: Vec<(String, Value)>) -> Result<Vec<(String, Value)>, Fault> {
    let mut seen = HashSet::with_capacity(members.len());
    match members.iter().find(|(name, _)| !seen.insert(name)) {
        Some((name, _)) => Err(Fault::invalid(name.clone(), "is there twice")),
        None => Ok(members),
    }
}

/// The members of an object as they stand: a map would keep the last of two by the same name and not say so.
struct Members(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Collect)
    }
}

struct Collect;

impl<'de> Visitor<'de> for Collect {
    type Value = Members;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Members(members))
    }
}

/// Sets one field; `false` for one that only answers carry.
fn set(link: &mut v1::Link, name: &str, value: &Value) -> Result<bool, Fault> {
    match name {
        "target" => link.target = text(name, value)?,
        "status" => link.status = number(name, value)?.unwrap_or(0),
        "max_age" => link.max_age = number(name, value)?,
        "not_before" => link.not_before = time(name, value)?,
        "expire_time" => link.expire_time = time(name, value)?,
        "query" => link.query = choice(name, value, &QUERIES)?.map_or(0, Into::into),
        "class" => link.class = choice(name, value, &CLASSES)?.map_or(0, Into::into),
        "disabled" => {
            link.disabled = nullable(name, value, "true or false", Value::as_bool)?.unwrap_or(false);
        }
        "title" => link.title = text(name, value)?,
        "tags" => link.tags = tags(name, value)?,
        "note" => link.note = text(name, value)?,
        "code" | "etag" => {
            let field = if name == "code" { &mut link.code } else { &mut link.etag };
            *field = text(name, value)?;
            return Ok(false);
        }
        // What a link was read with may come back with it.
        "name" | "domain" | "create_time" | "update_time" | "delete_time" | "revision" | "propagation" => {
            return Ok(false);
        }
        _ => return Err(Fault::invalid(name.to_owned(), "is no field of a link")),
    }
    Ok(true)
}

pub fn nullable<'a, T>(
    name: &str,
    value: &'a Value,
    kind: &str,
    read: impl FnOnce(&'a Value) -> Option<T>,
) -> Result<Option<T>, Fault> {
    if value.is_null() {
        return Ok(None);
    }
    read(value).map(Some).ok_or_else(|| Fault::invalid(name.to_owned(), format!("is not {kind}")))
}

pub fn text(name: &str, value: &Value) -> Result<String, Fault> {
    Ok(nullable(name, value, "a text", Value::as_str)?.unwrap_or_default().to_owned())
}

fn number(name: &str, value: &Value) -> Result<Option<u32>, Fault> {
    nullable(name, value, "a whole number", |value| value.as_u64().and_then(|number| number.try_into().ok()))
}

pub fn time(name: &str, value: &Value) -> Result<Option<Timestamp>, Fault> {
    let text = nullable(name, value, "a time such as 2030-01-31T12:00:00Z", Value::as_str)?;
    let read = |text| proto::time::read(text).map_err(|why| Fault::invalid(name.to_owned(), why));
    text.map(read).transpose()
}

pub fn tags(name: &str, value: &Value) -> Result<Vec<String>, Fault> {
    let read = |value: &Value| value.as_array()?.iter().map(|tag| tag.as_str().map(str::to_owned)).collect();
    Ok(nullable(name, value, "a list of texts", read)?.unwrap_or_default())
}

pub fn choice<T: Copy>(name: &str, value: &Value, choices: &[(&str, T)]) -> Result<Option<T>, Fault> {
    let kind = || choices.iter().map(|(text, _)| *text).collect::<Vec<_>>().join(" or ");
    nullable(name, value, &kind(), |value| {
        choices.iter().find(|(text, _)| Some(*text) == value.as_str()).map(|(_, choice)| *choice)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_comes_back() {
        let given = json!({
            "code": "a", "target": "https://a.example/", "status": 301, "max_age": 60,
            "not_before": "2026-01-02T03:04:05.678Z", "expire_time": "2027-01-02T03:04:05Z", "query": "append",
            "class": "strict", "disabled": true, "title": "t", "tags": ["x"], "note": "n", "etag": "\"3\"",
        });
        let (parsed, paths) = parse(given.to_string().as_bytes()).unwrap();
        assert_eq!(paths.len(), 11);
        let Value::Object(given) = given else { unreachable!() };
        for (name, value) in given {
            assert_eq!(link(&parsed)[&name], value, "{name}");
        }
        assert_eq!(parse(br#"{"max_age":null,"revision":"1"}"#).unwrap().1, ["max_age"]);
    }

    #[test]
    fn a_member_that_is_there_twice_is_refused() {
        for (body, field) in [
            (r#"{"target":"https://a","target":"https://b"}"#, "target"),
            (r#"{"title":"a","code":"x","code":"x"}"#, "code"),
            (r#"{"title":"a","t\u0069tle":"a"}"#, "title"),
        ] {
            assert_eq!(parse(body.as_bytes()).unwrap_err().field(), Some(field), "{body}");
        }
    }

    #[test]
    fn a_wrong_field_is_named() {
        for (body, field) in [
            ("", "body"),
            ("[]", "body"),
            ("{", "body"),
            (r#"{"max_ago":1}"#, "max_ago"),
            (r#"{"max_age":-1}"#, "max_age"),
            (r#"{"status":"302"}"#, "status"),
            (r#"{"target":7}"#, "target"),
            (r#"{"tags":["x",1]}"#, "tags"),
            (r#"{"query":"DROP"}"#, "query"),
            (r#"{"class":"lax"}"#, "class"),
            (r#"{"disabled":"yes"}"#, "disabled"),
            (r#"{"not_before":"soon"}"#, "not_before"),
        ] {
            assert_eq!(parse(body.as_bytes()).unwrap_err().field(), Some(field), "{body}");
        }
    }
}
