//! The message that a request of REST is: what its path, its headers, its parameters and its body say, each in its place.

use super::bounded;
use crate::heavy;
use crate::routes::{FieldSource, Route, RouteMatch};
use crate::{Caller, Fault};
use axum::body::Bytes;
use axum::extract::Query;
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use prost_reflect::{DynamicMessage, Kind, Value};
use proto::described::{Form, Member, shape};
use proto::file::MARK;
use proto::json::read::{self, FieldFault, GivenMessage, Tree};
use std::collections::HashSet;

/// Bytes of a body that take no moment to read: others are read where nobody waits.
const SMALL: usize = 16 * 1024;

type MemberList = Vec<(String, Tree)>;

/// What a request says.
pub struct RequestContent {
    /// The message that it is.
    pub message: DynamicMessage,
    /// Members of a change that only the server sets, as the body has them: they have to be so already.
    pub set_by_server: MemberList,
}

/// The whole of it. A call without a body is given none.
///
/// # Errors
/// The first thing in it that is not taken as it is meant.
pub async fn message(
    caller: &Caller,
    found: &RouteMatch,
    uri: &Uri,
    headers: &HeaderMap,
    body: Option<Result<Bytes, Fault>>,
) -> Result<RequestContent, Fault> {
    let route = found.route;
    known(route, headers)?;
    let mut message = DynamicMessage::new(route.input.message.clone());
    let etag = if route.input.member("request_id").is_some() {
        written(route, headers, &mut message)?
    } else {
        None
    };
    parameters(route, uri, &mut message)?;
    let name = found.name()?;
    if let (Some(name), Some(field)) = (&name, route.named().filter(|field| !field.contains('.'))) {
        message.set_field_by_name(field, Value::String(name.clone()));
    }
    let mut set_by_server = Vec::new();
    if let Some(body) = body {
        let body = if is_left_out(route, headers, &body) { Bytes::new() } else { announced(headers, body)? };
        let small = body.len() <= SMALL;
        let all = move || -> Result<(DynamicMessage, MemberList), Fault> {
            let members = members(route, &body)?;
            let set_by_server = set_by_server_of(route, &members);
            Ok((with_body(route, message, members, name.as_deref())?, set_by_server))
        };
        (message, set_by_server) = if small {
            all()?
        } else {
            let _waiting = heavy::wait(caller)?;
            heavy::heavy(caller, all).await??
        };
    }
    if let (Some(etag), Some(resource)) = (etag, route.resource())
        && let Value::Message(resource) = message.get_field_mut(&resource.field)
    {
        let own = resource.get_field_by_name("etag").and_then(|own| own.as_str().map(str::to_owned));
        if own.is_some_and(|own| !own.is_empty() && own != etag) {
            return Err(Fault::invalid("etag", "is another than If-Match"));
        }
        resource.set_field_by_name("etag", Value::String(etag));
    }
    Ok(RequestContent { message, set_by_server })
}

/// Members of the resource of a change that only answers carry, but for those that say which one is meant.
fn set_by_server_of(route: &Route, members: &[(String, Tree)]) -> MemberList {
    let Some(Form::Message(kind)) = route.resource().map(|resource| &resource.form) else {
        return Vec::new();
    };
    if route.http.method != "PATCH" {
        return Vec::new();
    }
    let of_server = |name: &str| {
        let member = shape(kind).and_then(|shape| shape.member(name));
        member.is_some_and(|member| member.output_only) && !["name", "domain"].contains(&name)
    };
    members.iter().filter(|(name, tree)| of_server(name) && *tree != Tree::Null).cloned().collect()
}

/// Whether a call that needs no body comes without one, and so without a word about its kind. A page of another site can
/// send such a request without asking first, but not without an `Origin` (Fetch Standard, 3.1): who has one says JSON.
fn is_left_out(route: &Route, headers: &HeaderMap, body: &Result<Bytes, Fault>) -> bool {
    let is_empty = body.as_ref().is_ok_and(Bytes::is_empty);
    is_empty && route.resource().is_none() && !headers.contains_key(header::ORIGIN)
}

/// Whoever gives a condition, or a name for a retry, relies on it: a call that does not know it is not made.
fn known(route: &Route, headers: &HeaderMap) -> Result<(), Fault> {
    let reads = route.http.method == "GET";
    let has_versions = route.takes_etag() || route.is_batch();
    let named = route.input.member("request_id").is_some();
    for (name, is_known, why) in [
        ("idempotency-key", named, "is not known to this call: a second one is carried out like the first"),
        ("if-match", has_versions, "is not known to this call: it is for changes of what has an etag"),
        ("if-none-match", reads, "is for reads: a change takes If-Match"),
        // Without a date of the last change nobody has to look at it in a read (RFC 9110, section 13.1.4).
        ("if-unmodified-since", reads, "is not known: a change takes If-Match"),
    ] {
        if !is_known && headers.contains_key(name) {
            return Err(Fault::invalid(name, why));
        }
    }
    Ok(())
}

/// What the headers of a write say; an etag that belongs into the resource comes back.
fn written(
    route: &Route,
    headers: &HeaderMap,
    message: &mut DynamicMessage,
) -> Result<Option<String>, Fault> {
    message.set_field_by_name("request_id", Value::String(text(headers, "idempotency-key")?));
    let etag = text(headers, "if-match")?;
    if etag.is_empty() || etag == "*" {
        return Ok(None); // any version (RFC 9110, section 13.1.1); that there is one is checked anyway
    }
    match entity_tags(&etag).as_deref() {
        Some([_]) => {}
        Some(_) => {
            return Err(Fault::invalid(
                "if-match",
                "has more than one etag: give that of the version you mean",
            ));
        }
        None => return Err(Fault::invalid("if-match", "is neither * nor an etag in quotes such as \"17\"")),
    }
    if route.is_batch() {
        // Each item has an etag of its own: one for all would be wrong for all but one.
        return Err(Fault::invalid("if-match", "is not for a batch: each of its requests may have an etag"));
    }
    if let Some(own) = route.input.member("etag") {
        message.set_field(&own.field, Value::String(etag));
        return Ok(None);
    }
    Ok(Some(etag).filter(|_| route.takes_etag()))
}

/// Entity tags with their quotes, weak ones without `W/`; `None`: it is no list of them. Which versions they name is not
/// asked here: a tag that is not ours matches none.
pub fn entity_tags(text: &str) -> Option<Vec<&str>> {
    let (mut rest, mut tags) = (text, Vec::new());
    loop {
        let tag = rest.trim_start_matches([' ', '\t']);
        let tag = tag.strip_prefix("W/").unwrap_or(tag);
        let (inside, behind) = tag.strip_prefix('"')?.split_once('"')?;
        if inside.contains(' ') {
            return None;
        }
        tags.push(&tag[..inside.len() + 2]);
        let behind = behind.trim_start_matches([' ', '\t']);
        match behind.strip_prefix(',') {
            Some(more) => rest = more,
            None => return behind.is_empty().then_some(tags),
        }
    }
}

fn text(headers: &HeaderMap, name: &'static str) -> Result<String, Fault> {
    if headers.get_all(name).iter().nth(1).is_some() {
        return Err(Fault::invalid(name, "is given twice"));
    }
    let value = headers.get(name).map_or(Ok(""), HeaderValue::to_str);
    value.map(str::to_owned).map_err(|_| Fault::invalid(name, "is not printable ASCII"))
}

fn parameters(route: &Route, uri: &Uri, message: &mut DynamicMessage) -> Result<(), Fault> {
    for (name, value) in pairs(uri)? {
        let member = route.input.member(&name).filter(|member| route.source(member) == FieldSource::Query);
        let Some(member) = member else {
            let why = match &*name {
                "update_mask" => "is no parameter: the members of the body are the fields that change",
                _ => "is no parameter of this call",
            };
            return Err(Fault::invalid(name, why));
        };
        set(message, member, value)?;
    }
    Ok(())
}

fn pairs(uri: &Uri) -> Result<Vec<(String, String)>, Fault> {
    let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri)
        .map_err(|_| Fault::invalid("query", "is malformed"))?;
    let mut names = HashSet::new();
    // Which of two counts would be a guess, and with validate_only a guess whether to write.
    match pairs.iter().find(|(name, _)| !names.insert(name.as_str())) {
        Some((name, _)) => Err(Fault::invalid(name.clone(), "is there twice")),
        None => Ok(pairs),
    }
}

fn set(message: &mut DynamicMessage, member: &Member, text: String) -> Result<(), Fault> {
    let value = if member.list { list(member, &text)? } else { value(member, text)? };
    message.set_field(&member.field, value);
    Ok(())
}

/// One parameter, its elements with commas between them.
fn list(member: &Member, text: &str) -> Result<Value, Fault> {
    if text.is_empty() {
        return Ok(Value::List(Vec::new()));
    }
    if text.split(',').count() > member.rule.most as usize {
        return Err(read::too_many(member).into());
    }
    text.split(',').map(|one| value(member, one.to_owned())).collect::<Result<_, _>>().map(Value::List)
}

fn value(member: &Member, text: String) -> Result<Value, Fault> {
    let name = member.name.clone();
    let wrong =
        |kind: &str| Fault::invalid(name.clone(), format!("is {}, and not {kind}", text.escape_debug()));
    Ok(match &member.form {
        Form::Flag => Value::Bool(text.parse().map_err(|_| wrong("true or false"))?),
        Form::Signed => Value::I32(text.parse().map_err(|_| wrong("a whole number that fits"))?),
        Form::Short => Value::U32(text.parse().map_err(|_| wrong("a whole number that fits"))?),
        Form::Long => Value::U64(text.parse().map_err(|_| wrong("a whole number that fits"))?),
        Form::Time => {
            let time = proto::time::read(&text).map_err(|why| Fault::invalid(name, why))?;
            let Kind::Message(kind) = member.field.kind() else { return Err(Fault::Internal) };
            let mut message = DynamicMessage::new(kind);
            message.set_field_by_name("seconds", Value::I64(time.seconds));
            message.set_field_by_name("nanos", Value::I32(time.nanos));
            Value::Message(message)
        }
        Form::Choice(all) => {
            let found = all.iter().find(|(own, _)| *own == text).map(|(_, number)| *number);
            let none = || Fault::invalid(name, format!("is none of {}", read::names(all).join(", ")));
            let number = found.ok_or_else(none)?;
            // Written so, the requests of REST are the same as before there was another.
            Value::EnumNumber(if member.name == "ack" && number == 1 { 0 } else { number })
        }
        _ => Value::String(text),
    })
}

/// Only a body announced as JSON is read: a page of another site can make a visitor's browser send any other kind
/// here without asking first.
fn announced(headers: &HeaderMap, body: Result<Bytes, Fault>) -> Result<Bytes, Fault> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut kinds = kind.split(';');
    let kind = kinds.next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/json") || !kinds.all(in_utf8) {
        return Err(Fault::NotJson);
    }
    let plain =
        |coding: &HeaderValue| coding.is_empty() || coding.as_bytes().eq_ignore_ascii_case(b"identity");
    if !headers.get_all(header::CONTENT_ENCODING).iter().all(plain) {
        return Err(Fault::Encoded);
    }
    let mut body = body?;
    if body.starts_with(MARK) {
        body = body.slice(MARK.len()..); // RFC 8259, section 8.1
    }
    Ok(body)
}

/// Whether a parameter of a media type leaves it at UTF-8, which is what JSON is written in (RFC 8259, section 8.1).
fn in_utf8(parameter: &str) -> bool {
    let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
    let value = value.trim().trim_matches('"');
    !name.trim().eq_ignore_ascii_case("charset")
        || ["utf-8", "utf8"].iter().any(|own| value.eq_ignore_ascii_case(own))
}

/// The members of a body. Where it is no resource there may be none: what has to be there, the call itself says.
pub fn members(route: &Route, body: &[u8]) -> Result<MemberList, Fault> {
    if body.is_empty() && route.resource().is_none() {
        return Ok(Vec::new());
    }
    bounded::check(body)?;
    read::members(body).map_err(|e| Fault::invalid("body", format!("is not a JSON object: {e}")))
}

/// The request with what its body says.
pub fn with_body(
    route: &'static Route,
    mut message: DynamicMessage,
    members: MemberList,
    name: Option<&str>,
) -> Result<DynamicMessage, FieldFault> {
    if let Some(resource) = route.resource() {
        is_of(&members, route, name)?;
        let given = resource_of(resource, members)?;
        with_resource(route, &mut message, given, name, "body")?;
        return Ok(message);
    }
    for (member_name, tree) in members {
        let member =
            route.input.member(&member_name).filter(|member| route.source(member) == FieldSource::Body);
        let Some(member) = member else { return Err(unknown(&member_name)) };
        match (&member.form, member.list, tree) {
            (Form::Message(_), true, Tree::List(all)) if all.len() > member.rule.most as usize => {
                return Err(read::too_many(member));
            }
            (Form::Message(kind), true, Tree::List(all)) => {
                let items = batch(kind, name.unwrap_or_default(), all).map_err(|(at, wrong)| FieldFault {
                    field: format!("{member_name}[{at}]{}", dotted(&wrong)),
                    ..wrong
                })?;
                message.set_field(&member.field, Value::List(items));
            }
            (Form::Message(_), true, Tree::Null) => {}
            (Form::Message(_), true, _) => return Err(FieldFault::new(&member_name, "is not a list")),
            (.., tree) => read::set(&mut message, member, tree)?,
        }
    }
    Ok(message)
}

/// A resource that is changed may say its name and domain, as an answer has them: they are those of the path.
fn is_of(members: &MemberList, route: &Route, name: Option<&str>) -> Result<(), FieldFault> {
    let Some(name) = name.filter(|_| route.named().is_some_and(|field| field.contains('.'))) else {
        return Ok(());
    };
    let domain = name.split('/').nth(1).unwrap_or_default();
    for (member, tree) in members {
        let right = match member.as_str() {
            "name" => name,
            "domain" => domain,
            _ => continue,
        };
        if matches!(tree, Tree::Text(own) if !own.is_empty() && !own.eq_ignore_ascii_case(right)) {
            return Err(FieldFault::new(member, "is of another than the path"));
        }
    }
    Ok(())
}

fn dotted(wrong: &FieldFault) -> String {
    if wrong.field.is_empty() { String::new() } else { format!(".{}", wrong.field) }
}

fn unknown(name: &str) -> FieldFault {
    FieldFault::new(name, "is no field of this call")
}

fn resource_of(resource: &Member, members: MemberList) -> Result<GivenMessage, FieldFault> {
    let shape = match &resource.form {
        Form::Message(kind) => shape(kind),
        _ => None,
    };
    read::message(shape.ok_or_else(|| unknown(&resource.name))?, members)
}

/// The request with its resource, and what follows from that: a code that is wanted, and which fields are set.
fn with_resource(
    route: &Route,
    message: &mut DynamicMessage,
    given: GivenMessage,
    name: Option<&str>,
    called: &str,
) -> Result<(), FieldFault> {
    let GivenMessage { message: mut resource, paths } = given;
    for member in route.from(FieldSource::Resource) {
        let value = match member.name.as_str() {
            "update_mask" if paths.is_empty() => {
                return Err(FieldFault::new(called, "names no field that can be set"));
            }
            "update_mask" => mask(member, &paths),
            _ => resource.get_field_by_name(&member.rule.member).map(std::borrow::Cow::into_owned),
        };
        if let Some(value) = value {
            message.set_field(&member.field, value);
        }
    }
    if let (Some((_, field)), Some(name)) = (route.named().and_then(|field| field.split_once('.')), name) {
        resource.set_field_by_name(field, Value::String(name.to_owned()));
    }
    if let Some(member) = route.resource() {
        message.set_field(&member.field, Value::Message(resource));
    }
    Ok(())
}

fn mask(member: &Member, paths: &[String]) -> Option<Value> {
    let Kind::Message(kind) = member.field.kind() else { return None };
    let mut mask = DynamicMessage::new(kind);
    mask.set_field_by_name("paths", Value::List(paths.iter().cloned().map(Value::String).collect()));
    Some(Value::Message(mask))
}

/// The requests of a batch: each has its resource in it, or says which one it is about by `code` and `etag`.
fn batch(kind: &str, parent: &str, all: Vec<Tree>) -> Result<Vec<Value>, (usize, FieldFault)> {
    let none = || (0, unknown("requests"));
    let route =
        crate::routes::all().iter().find(|route| route.call.input.full_name() == kind).ok_or_else(none)?;
    let one = |(at, tree)| match tree {
        Tree::Object(members) => {
            item(route, parent, members).map(Value::Message).map_err(|wrong| (at, wrong))
        }
        _ => Err((at, FieldFault::new("", "is not an object"))),
    };
    all.into_iter().enumerate().map(one).collect()
}

fn item(route: &'static Route, parent: &str, members: MemberList) -> Result<DynamicMessage, FieldFault> {
    let mut message = DynamicMessage::new(route.input.message.clone());
    let Some(resource) = route.resource() else {
        let mut code = None;
        for (name, tree) in members {
            match (name.as_str(), tree) {
                ("code", Tree::Text(text)) => code = Some(text),
                ("etag", Tree::Text(text)) => message.set_field_by_name("etag", Value::String(text)),
                ("code" | "etag", _) => return Err(FieldFault::new(&name, "is not a text")),
                _ => return Err(unknown(&name)),
            }
        }
        let name = route.name_in(parent, &code.ok_or_else(|| FieldFault::new("code", "is missing"))?);
        message.set_field_by_name(route.named().unwrap_or_default(), Value::String(name));
        return Ok(message);
    };
    let mut given = None;
    for (name, tree) in members {
        match tree {
            Tree::Object(members) if name == resource.name => {
                given = Some(resource_of(resource, members).map_err(|wrong| wrong.within(&resource.name))?);
            }
            _ if name == resource.name => return Err(FieldFault::new(&name, "is not an object")),
            _ => return Err(unknown(&name)),
        }
    }
    let given = given.ok_or_else(|| FieldFault::new(&resource.name, "is missing"))?;
    let code = given.message.get_field_by_name("code").and_then(|code| code.as_str().map(str::to_owned));
    let name = route.name_in(parent, &code.unwrap_or_default());
    with_resource(route, &mut message, given, Some(&name), &resource.name)?;
    Ok(message)
}

impl From<FieldFault> for Fault {
    fn from(wrong: FieldFault) -> Self {
        Self::invalid(wrong.field, wrong.why)
    }
}
