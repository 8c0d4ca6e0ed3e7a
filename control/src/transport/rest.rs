//! The same calls as JSON over HTTP: one handler for all of them, by what the `.proto` says of each. Nothing is decided here.

mod bounded;
mod csv;
#[cfg(test)]
mod golden_tests;
#[cfg(test)]
mod linear_tests;
pub mod openapi;
mod problem;
mod request;
mod standing;
mod streams;

pub use problem::problem;

use super::calls::ApiCalls;
use crate::heavy::heavy;
use crate::routes::{self, Route};
use crate::{Caller, Fault};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, FromRequest, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use exposition::escaped;
use prost::{Message, Name};
use proto::described::{Shape, shape};
use proto::json::Json;
use proto::v1;
use tokio_stream::StreamExt;

/// Bytes of an answer that take no moment to write: others are written where nobody waits.
const SMALL: usize = 16 * 1024;
/// Bytes of the body of a batch: JSON says in more of them what the service counts.
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// A refusal is answered as a problem, whichever line of a call it comes from.
type RestResult = Result<Response, Fault>;

/// Every path. `/v1/links…` is short for the default domain.
pub fn router(calls: ApiCalls) -> Router {
    Router::new()
        .route("/openapi.json", get(openapi::served))
        .route("/docs", get(openapi::docs))
        .route("/docs.js", get(openapi::script))
        .fallback(answer)
        .with_state(calls)
}

async fn answer(State(calls): State<ApiCalls>, request: Request) -> RestResult {
    let found = routes::find(request.method().as_str(), request.uri().path())?;
    let route = found.route;
    let caller = request.extensions().get::<Caller>().cloned().ok_or(Fault::Internal)?;
    let (uri, headers) = (request.uri().clone(), request.headers().clone());
    let body = if route.http.body.is_empty() {
        no_body(request.into_body()).await?;
        None
    } else {
        Some(body(route, request).await)
    };
    let request::RequestContent { message, set_by_server } =
        request::message(&caller, &found, &uri, &headers, body).await?;
    if !set_by_server.is_empty() {
        standing::check(&calls, &caller, route, &message, set_by_server).await?;
    }
    if route.call.gives_stream {
        return streams::answer(&calls, &caller, route, &message, &headers).await;
    }
    let only_checks =
        message.get_field_by_name("validate_only").is_some_and(|only| only.as_bool() == Some(true));
    let made = route.call.rule.creates && !only_checks;
    let answer = calls.make(&route.call.name, caller.clone(), &message)?.await?;
    if route.call.output.full_name() == v1::QrCode::full_name() && !wants_json(&headers) {
        return picture(&answer);
    }
    let shape = shape(route.call.output.full_name()).ok_or(Fault::Internal)?;
    let few = answer.len() <= SMALL;
    let said = move || said(shape, &answer, made);
    let response = if few { said() } else { heavy(&caller, said).await? }?;
    Ok(if route.http.method == "GET" { unless_known(&headers, response) } else { response })
}

/// Whether JSON is asked for where a picture is the usual answer.
fn wants_json(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let kinds = accepted.flat_map(|value| value.split(','));
    let mut kinds = kinds.map(|kind| kind.split(';').next().unwrap_or_default().trim());
    kinds.any(|kind| kind == "application/json")
}

/// A QR code as it is drawn. Whoever opens it alone in a browser runs nothing that could stand in it.
fn picture(answer: &[u8]) -> RestResult {
    let drawn = v1::QrCode::decode(answer).map_err(|_| Fault::Internal)?;
    let headers = [
        (header::CONTENT_TYPE, "image/svg+xml"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'"),
        (header::VARY, "accept"),
    ];
    Ok((headers, drawn.svg).into_response())
}

/// A call that is said by its path, its parameters and its headers: what stands in a body would be passed over.
async fn no_body(body: Body) -> Result<(), Fault> {
    let mut parts = body.into_data_stream();
    while let Some(part) = parts.next().await {
        if part.map_or(true, |part| !part.is_empty()) {
            return Err(Fault::invalid("body", "is not taken by this call, which is said without one"));
        }
    }
    Ok(())
}

/// Who has this version already is not sent it again (RFC 9110, section 13.1.2).
fn unless_known(headers: &HeaderMap, response: Response) -> Response {
    let known = headers.get(header::IF_NONE_MATCH).and_then(|known| known.to_str().ok());
    let Some((known, etag)) = known.zip(response.headers().get(header::ETAG)) else { return response };
    let is_known = known.trim() == "*"
        || request::entity_tags(known)
            .is_some_and(|tags| tags.iter().any(|tag| tag.as_bytes() == etag.as_bytes()));
    if !is_known {
        return response;
    }
    let mut unchanged = StatusCode::NOT_MODIFIED.into_response();
    unchanged.headers_mut().insert(header::ETAG, etag.clone());
    unchanged
}

async fn body(route: &Route, mut request: Request) -> Result<Bytes, Fault> {
    if route.is_batch() {
        DefaultBodyLimit::max(BATCH_BYTES).apply(&mut request);
    }
    Bytes::from_request(request, &()).await.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Fault::TooLarge("1 MiB in a body, 4 MiB in that of a batch"),
        _ => Fault::invalid("body", "did not arrive whole"),
    })
}

/// What a call answered. What has an etag has it in a header, too, and is found by its name once it was made.
fn said(shape: &'static Shape, answer: &[u8], made: bool) -> RestResult {
    let json = Json::decode(shape, answer).map_err(|_| Fault::Internal)?;
    let status = if made { StatusCode::CREATED } else { StatusCode::OK };
    let body = serde_json::to_vec(&json).map_err(|_| Fault::Internal)?;
    let mut response = (status, [(header::CONTENT_TYPE, "application/json")], body).into_response();
    if shape.member("etag").is_some() {
        let (etag, location) = (json.text("etag"), format!("/v1/{}", escaped(&json.text("name"))));
        if let (false, Ok(etag)) = (etag.is_empty(), HeaderValue::from_str(&etag)) {
            response.headers_mut().insert(header::ETAG, etag);
        }
        if let (true, Ok(location)) = (made, HeaderValue::from_str(&location)) {
            response.headers_mut().insert(header::LOCATION, location);
        }
    }
    Ok(response)
}
