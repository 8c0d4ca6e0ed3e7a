//! The same calls as JSON over HTTP. Nothing is decided here.

mod batch;
mod bounded;
mod domains;
#[cfg(test)]
mod golden_tests;
mod json;
mod keys;
#[cfg(test)]
mod linear_tests;
pub mod openapi;
mod problem;
mod verbs;

pub use domains::domain as domain_json;
pub use json::{
    change as change_json, code as code_json, edges as edges_json, propagation as propagation_json,
};
pub use keys::{audit_json, key_json, keys_json};
pub use problem::problem;

use crate::heavy::heavy;
use crate::service::Service;
use crate::{Caller, Fault};
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use prost_types::FieldMask;
use proto::file::MARK;
use proto::v1;
use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::Arc;
use tokio_stream::StreamExt;

/// Bytes of a body that take no moment to read: others are read where nobody waits.
const SMALL: usize = 16 * 1024;
/// Links that take no moment to write down.
const FEW: usize = 16;

type Parts = Result<Path<Vec<(String, String)>>, PathRejection>;
type Asked = Result<Query<Vec<(String, String)>>, QueryRejection>;
/// Put there by the entrance.
type Who = Extension<Caller>;
/// A refusal is answered as a problem, whichever line of a call it comes from.
type Answered = Result<Response, Fault>;
type Body = Result<Bytes, BytesRejection>;
/// All of a request that has a body.
type Whole<S = Arc<Service>> = (State<S>, Who, Parts, Asked, HeaderMap, Body);

/// The routes. `/v1/links…` is short for the default domain.
pub fn router(service: Arc<Service>, keys: Arc<crate::keys::Keys>) -> Router {
    let many = get(list).post(create);
    let one = get(read).patch(update).delete(delete).post(verbs::post);
    Router::new()
        .route("/v1/links", many.clone())
        .route("/v1/domains/{domain}/links", many)
        .route("/v1/links:watch", get(watch))
        .route("/v1/domains/{domain}/links:watch", get(watch))
        .route("/v1/domains", get(domains::list).post(domains::create))
        .route("/v1/domains/{domain}", get(domains::read).patch(domains::update))
        .route("/v1/codes/{*code}", get(check))
        .route("/v1/domains/{domain}/codes/{*code}", get(check))
        .merge(batch::routes())
        .route("/v1/edges", get(edges))
        .route("/v1/edges/{edge}", axum::routing::delete(forget_edge))
        .route("/openapi.json", get(openapi::served))
        .route("/docs", get(openapi::docs))
        .route("/v1/links/{*code}", one.clone())
        .route("/v1/domains/{domain}/links/{*code}", one)
        .fallback(async || problem(&Fault::NoRoute))
        .with_state(service)
        .merge(keys::router(keys))
}

async fn edges(State(service): State<Arc<Service>>, who: Who, asked: Asked) -> Answered {
    no_parameter(asked)?;
    Ok(axum::Json(json::edges(&service.edges(&who).await?)).into_response())
}

async fn forget_edge(State(service): State<Arc<Service>>, who: Who, path: Parts, asked: Asked) -> Answered {
    no_parameter(asked)?;
    let request = v1::ForgetEdgeRequest { edge: part(&parts(path)?, "edge").to_owned() };
    let forgotten = service.forget_edge(&who, request).await?;
    Ok(axum::Json(json::forgotten(&forgotten)).into_response())
}

async fn list(State(service): State<Arc<Service>>, who: Who, path: Parts, asked: Asked) -> Answered {
    let mut request = v1::ListLinksRequest { parent: parent(path)?, ..v1::ListLinksRequest::default() };
    for (name, value) in pairs(asked)? {
        match name.as_str() {
            "page_size" => request.page_size = parse("page_size", &value)?,
            "page_token" => request.page_token = value,
            "filter" => request.filter = value,
            "order_by" => request.order_by = value,
            "show_deleted" => request.show_deleted = parse("show_deleted", &value)?,
            _ => return Err(unknown(name)),
        }
    }
    let page = service.list(&who, request).await?;
    let few = page.links.len() <= FEW;
    let said = move || axum::Json(json::page(&page)).into_response();
    if few { Ok(said()) } else { heavy(said).await }
}

/// JSON lines, for as long as somebody takes them. What ends the stream early is its last line.
async fn watch(State(service): State<Arc<Service>>, who: Who, path: Parts, asked: Asked) -> Answered {
    let mut request = v1::WatchLinksRequest { parent: parent(path)?, ..v1::WatchLinksRequest::default() };
    for (name, value) in pairs(asked)? {
        match name.as_str() {
            "revision" => request.revision = value,
            _ => return Err(unknown(name)),
        }
    }
    let watch = service.watch(&who, request).await?;
    let line = |next: Result<v1::WatchLinksResponse, Fault>| {
        let value = next.map_or_else(|fault| problem::body(&fault), |next| json::changes(&next));
        Ok::<_, Infallible>(format!("{value}\n"))
    };
    let lines = axum::body::Body::from_stream(super::messages(watch).map(line));
    Ok(([(header::CONTENT_TYPE, "application/jsonl")], lines).into_response())
}

async fn create((State(service), who, path, asked, headers, body): Whole) -> Answered {
    let mut request = v1::CreateLinkRequest::default();
    let options = options_and(asked, &headers, |name, value| {
        match name {
            "code_prefix" => value.clone_into(&mut request.code_prefix),
            "code_length" => request.code_length = parse("code_length", value)?,
            "code_alphabet" => request.code_alphabet = json::alphabet(value)?.into(),
            "flatten" => request.flatten = parse("flatten", value)?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let (link, _) = json_body(&headers, body, json::parse).await?;
    let request = v1::CreateLinkRequest {
        parent: parent(path)?,
        link_id: link.code.clone(),
        link: Some(link),
        request_id: options.request_id,
        validate_only: options.validate_only,
        ack: options.ack,
        ..request
    };
    let made = !request.validate_only;
    let link = service.create(&who, request).await?;
    Ok(resource(json::link(&link), &link.etag, made.then_some(&link.name)))
}

async fn read(State(service): State<Arc<Service>>, who: Who, path: Parts, asked: Asked) -> Answered {
    let path = match verbs::split(path) {
        (path, None) => path,
        (path, Some(verb)) => return verbs::get(&service, &who, path, &verb, asked).await,
    };
    no_parameter(asked)?;
    let request = v1::GetLinkRequest { name: name(path)? };
    answer(service.get(&who, request).await)
}

async fn check(State(service): State<Arc<Service>>, who: Who, path: Parts, asked: Asked) -> Answered {
    no_parameter(asked)?;
    let request = v1::CheckCodeRequest { name: name(path)? };
    Ok(axum::Json(json::code(&service.check_code(&who, request).await?)).into_response())
}

async fn update((State(service), who, path, asked, headers, body): Whole) -> Answered {
    let (path, verb) = verbs::split(path);
    if let Some(verb) = verb {
        return Ok(verbs::no_method(&verb));
    }
    let mut flatten = false;
    let options = options_and(asked, &headers, |name, value| {
        if name == "flatten" {
            flatten = parse("flatten", value)?;
        }
        Ok(name == "flatten")
    })?;
    let (mut link, paths) = json_body(&headers, body, json::parse).await?;
    if paths.is_empty() {
        return Err(Fault::invalid("body", "names no field that can be set"));
    }
    link.name = name(path)?;
    if !options.etag.is_empty() {
        link.etag = options.etag;
    }
    let request = v1::UpdateLinkRequest {
        link: Some(link),
        update_mask: Some(FieldMask { paths }),
        request_id: options.request_id,
        validate_only: options.validate_only,
        ack: options.ack,
        flatten,
    };
    answer(service.update(&who, request).await)
}

async fn delete(
    State(service): State<Arc<Service>>,
    who: Who,
    path: Parts,
    asked: Asked,
    headers: HeaderMap,
) -> Answered {
    let (path, verb) = verbs::split(path);
    if let Some(verb) = verb {
        return Ok(verbs::no_method(&verb));
    }
    let options = options(asked, &headers)?;
    let request = v1::DeleteLinkRequest {
        name: name(path)?,
        etag: options.etag,
        request_id: options.request_id,
        validate_only: options.validate_only,
        ack: options.ack,
    };
    answer(service.delete(&who, request).await)
}

fn answer(answer: Result<v1::Link, Fault>) -> Answered {
    answer.map(|link| resource(json::link(&link), &link.etag, None))
}

/// A resource, with its etag if it has one; by its name if it was just made.
fn resource(body: serde_json::Value, etag: &str, made: Option<&String>) -> Response {
    let status = if made.is_some() { StatusCode::CREATED } else { StatusCode::OK };
    let mut response = (status, axum::Json(body)).into_response();
    if let (false, Ok(etag)) = (etag.is_empty(), HeaderValue::from_str(etag)) {
        response.headers_mut().insert(header::ETAG, etag);
    }
    if let Some(Ok(location)) = made.map(|name| HeaderValue::from_str(&format!("/v1/{name}"))) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// What the writes share.
struct Options {
    request_id: String,
    validate_only: bool,
    etag: String,
    ack: i32,
}

fn options(asked: Asked, headers: &HeaderMap) -> Result<Options, Fault> {
    options_and(asked, headers, |_, _| Ok(false))
}

/// The same, and parameters that only this call has: `more` says whether it knows one.
fn options_and(
    asked: Asked,
    headers: &HeaderMap,
    mut more: impl FnMut(&str, &str) -> Result<bool, Fault>,
) -> Result<Options, Fault> {
    let mut options = Options {
        request_id: text(headers, "idempotency-key")?,
        validate_only: false,
        etag: text(headers, "if-match")?,
        ack: 0, // durable; written so, its requests are the same as before there was another
    };
    if options.etag == "*" {
        options.etag.clear(); // any version (RFC 9110, section 13.1.1); that there is one is checked anyway
    } else if !options.etag.is_empty() && !entity_tags(&options.etag) {
        return Err(Fault::invalid("if-match", "is neither * nor an etag in quotes such as \"17\""));
    }
    for (name, value) in pairs(asked)? {
        match name.as_str() {
            "validate_only" => options.validate_only = parse("validate_only", &value)?,
            "ack" if value == "durable" => {}
            "ack" if value == "propagated" => options.ack = v1::Ack::Propagated.into(),
            "ack" => return Err(Fault::invalid("ack", "is none that this server knows")),
            _ if more(&name, &value)? => {}
            _ => return Err(unknown(name)),
        }
    }
    Ok(options)
}

/// One or more entity tags. Which versions they name is not asked here: a tag that is not ours matches none.
fn entity_tags(text: &str) -> bool {
    let mut rest = text;
    loop {
        let tag = rest.trim_start_matches([' ', '\t']);
        let Some(tag) = tag.strip_prefix("W/").unwrap_or(tag).strip_prefix('"') else { return false };
        let Some((inside, behind)) = tag.split_once('"') else { return false };
        if inside.contains(' ') {
            return false;
        }
        let behind = behind.trim_start_matches([' ', '\t']);
        match behind.strip_prefix(',') {
            Some(more) => rest = more,
            None => return behind.is_empty(),
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

/// Only a body announced as JSON is read: a page of another site can make a visitor's browser send any other kind
/// here without asking first.
async fn json_body<T: Send + 'static>(
    headers: &HeaderMap,
    body: Body,
    read: impl FnOnce(&[u8]) -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    let mut body = announced(headers, body)?;
    if body.starts_with(MARK) {
        body = body.slice(MARK.len()..); // RFC 8259, section 8.1
    }
    let small = body.len() <= SMALL;
    let all = move || bounded::check(&body).and_then(|()| read(&body));
    if small { all() } else { heavy(all).await? }
}

fn announced(headers: &HeaderMap, body: Body) -> Result<Bytes, Fault> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        return Err(Fault::NotJson);
    }
    body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Fault::TooLarge("1 MiB in a body, 4 MiB in that of a batch"),
        _ => Fault::invalid("body", "did not arrive whole"),
    })
}

fn pairs(asked: Asked) -> Result<Vec<(String, String)>, Fault> {
    let Query(pairs) = asked.map_err(|_| Fault::invalid("query", "is malformed"))?;
    let mut names = HashSet::new();
    // Which of two counts would be a guess, and with validate_only a guess whether to write.
    match pairs.iter().find(|(name, _)| !names.insert(name.as_str())) {
        Some((name, _)) => Err(Fault::invalid(name.clone(), "is there twice")),
        None => Ok(pairs),
    }
}

fn no_parameter(asked: Asked) -> Result<(), Fault> {
    pairs(asked)?.into_iter().next().map_or(Ok(()), |(name, _)| Err(unknown(name)))
}

fn unknown(name: String) -> Fault {
    Fault::invalid(name, "is no parameter of this call")
}

fn parse<T: std::str::FromStr>(name: &'static str, value: &str) -> Result<T, Fault> {
    let kind = match std::any::type_name::<T>() {
        "bool" => "true or false",
        _ => "a whole number that fits",
    };
    value.parse().map_err(|_| Fault::invalid(name, format!("is {}, and not {kind}", value.escape_debug())))
}

fn parent(path: Parts) -> Result<String, Fault> {
    Ok(format!("domains/{}", part(&parts(path)?, "domain")))
}

fn name(path: Parts) -> Result<String, Fault> {
    let parts = parts(path)?;
    Ok(format!("domains/{}/links/{}", part(&parts, "domain"), part(&parts, "code")))
}

fn parts(path: Parts) -> Result<Vec<(String, String)>, Fault> {
    path.map(|Path(parts)| parts).map_err(|_| Fault::invalid("name", "is not UTF-8"))
}

fn part<'a>(parts: &'a [(String, String)], name: &str) -> &'a str {
    parts.iter().find(|(own, _)| own == name).map_or("-", |(_, value)| value)
}
