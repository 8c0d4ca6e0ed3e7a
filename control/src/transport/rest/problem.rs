//! How a fault looks in REST: RFC 9457. Nothing is decided here.

use crate::Fault;
use crate::fault::cut;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        problem(&self)
    }
}

/// The answer to a refused call: the status of the table and its reason, for people and for machines.
pub fn problem(fault: &Fault) -> Response {
    let names = fault.names();
    let mut response = (names.http, body(fault).to_string()).into_response();
    let kind = HeaderValue::from_static("application/problem+json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    if let Some(wait) = fault.retry_after() {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        response.headers_mut().insert(header::RETRY_AFTER, seconds.max(1).into());
    }
    if *fault == Fault::Encoded {
        response.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    }
    if names.http == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// What is in it.
pub fn body(fault: &Fault) -> Value {
    let names = fault.names();
    let mut body = json!({
        "type": "about:blank",
        "title": names.title,
        "status": names.http.as_u16(),
        "detail": fault.told(),
        "reason": names.reason,
    });
    if let Some(field) = fault.field() {
        body["field"] = cut(field).into();
    }
    body
}
