//! What a link is asked for by a verb behind its code: `…/links/{code}:undelete`. A `:` is in no code.

use super::{
    Answered, Asked, Body, Options, Parts, Who, Whole, answer, json, json_body, name, options, pairs, parse,
    problem, unknown,
};
use crate::Fault;
use crate::service::Service;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use proto::v1;

/// Each verb, and the methods that it goes with.
const VERBS: [(&str, &str); 3] = [("history", "GET,HEAD"), ("undelete", "POST"), ("restore", "POST")];

/// Takes the verb off the code.
pub fn split(path: Parts) -> (Parts, Option<String>) {
    let Ok(Path(mut parts)) = path else { return (path, None) };
    let code = parts.iter_mut().find(|(name, _)| name == "code").map(|(_, code)| code);
    let verb = code.and_then(|code| {
        let at = code.rfind(':')?;
        let verb = code.split_off(at);
        Some(verb[1..].to_owned())
    });
    (Ok(Path(parts)), verb)
}

/// The answer to a method that a path does not have.
pub fn no_method(verb: &str) -> Response {
    let known = VERBS.iter().find(|(own, _)| *own == verb);
    let Some((_, method)) = known else { return problem(&Fault::NoRoute) };
    not_allowed(method)
}

fn not_allowed(methods: &'static str) -> Response {
    let mut response = problem(&Fault::NoMethod);
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(methods));
    response
}

/// `GET …:history`
pub async fn get(service: &Service, who: &Who, path: Parts, verb: &str, asked: Asked) -> Answered {
    if verb != "history" {
        return Ok(no_method(verb));
    }
    let mut request = v1::ListLinkHistoryRequest { name: name(path)?, ..Default::default() };
    for (name, value) in pairs(asked)? {
        match name.as_str() {
            "page_size" => request.page_size = parse("page_size", &value)?,
            "page_token" => request.page_token = value,
            _ => return Err(unknown(name)),
        }
    }
    Ok(axum::Json(json::history(&service.history(who, request).await?)).into_response())
}

/// `POST …:undelete` and `POST …:restore`
pub async fn post((State(service), who, path, asked, headers, body): Whole) -> Answered {
    let (path, verb) = split(path);
    match verb.as_deref() {
        Some("undelete") => {
            answer(service.undelete(&who, undelete(path, asked, &headers, body).await?).await)
        }
        Some("restore") => answer(service.restore(&who, restore(path, asked, &headers, body).await?).await),
        Some(verb) => Ok(no_method(verb)),
        None => Ok(not_allowed("DELETE,GET,HEAD,PATCH")),
    }
}

/// Its body says nothing, but has to be announced as JSON: see [`json_body`].
async fn undelete(
    path: Parts,
    asked: Asked,
    headers: &HeaderMap,
    body: Body,
) -> Result<v1::UndeleteLinkRequest, Fault> {
    let Options { request_id, validate_only, etag, ack } = options(asked, headers)?;
    json_body(headers, body, |body| if body.is_empty() { Ok(()) } else { json::nothing(body) }).await?;
    Ok(v1::UndeleteLinkRequest { name: name(path)?, etag, request_id, validate_only, ack })
}

async fn restore(
    path: Parts,
    asked: Asked,
    headers: &HeaderMap,
    body: Body,
) -> Result<v1::RestoreLinkRequest, Fault> {
    let Options { request_id, validate_only, etag, ack } = options(asked, headers)?;
    let point = json_body(headers, body, json::point).await?;
    Ok(v1::RestoreLinkRequest { name: name(path)?, point, etag, request_id, validate_only, ack })
}
