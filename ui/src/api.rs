//! Calls of REST, made as the visitor would make them: through the whole stack, with his key. What they mean is not known here.

use crate::form::href;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::response::Response;
use exposition::escaped;
use http::{Extensions, HeaderMap, Method, StatusCode, header};
use serde_json::Value;
use std::convert::Infallible;
use tower::ServiceExt;
use tower::util::BoxCloneSyncService;

/// Whatever answers REST.
pub type Api = BoxCloneSyncService<Request, Response, Infallible>;

/// Bytes of an answer that are read: a page of a list has at most 2 MiB of messages.
const MOST: usize = 16 * 1024 * 1024;

/// One call.
#[derive(Debug)]
pub struct Call {
    method: Method,
    address: String,
    body: Option<Value>,
    etag: Option<String>,
    once: Option<String>,
    accept: Option<&'static str>,
}

/// Why a call was refused, as REST says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// As in the status line.
    pub status: StatusCode,
    /// For programs, such as `ETAG_MISMATCH`.
    pub reason: String,
    /// For people.
    pub detail: String,
    /// The field at fault, if one is.
    pub field: Option<String>,
}

impl Call {
    fn new(method: Method, path: &str, parameters: &[(&str, &str)]) -> Self {
        Self { method, address: href(path, parameters), body: None, etag: None, once: None, accept: None }
    }

    /// A read. Empty parameters are left out, here and below.
    pub fn get(path: &str, parameters: &[(&str, &str)]) -> Self {
        Self::new(Method::GET, path, parameters)
    }

    /// A write with a body.
    pub fn post(path: &str, parameters: &[(&str, &str)], body: Value) -> Self {
        Self { body: Some(body), ..Self::new(Method::POST, path, parameters) }
    }

    /// A change.
    pub fn patch(path: &str, parameters: &[(&str, &str)], body: Value) -> Self {
        Self { body: Some(body), ..Self::new(Method::PATCH, path, parameters) }
    }

    /// A deletion.
    pub fn delete(path: &str, parameters: &[(&str, &str)]) -> Self {
        Self::new(Method::DELETE, path, parameters)
    }

    /// Only if this version is still there; empty: whatever is there.
    pub fn at(self, etag: &str) -> Self {
        Self { etag: Some(etag.to_owned()).filter(|etag| !etag.is_empty()), ..self }
    }

    /// Answered in this form, of a call that has several.
    pub fn accepting(self, kind: &'static str) -> Self {
        Self { accept: Some(kind), ..self }
    }

    /// A second one of this name is the same request.
    pub fn once(self, name: &str) -> Self {
        Self { once: Some(name.to_owned()).filter(|name| !name.is_empty()), ..self }
    }
}

/// The path of a domain.
pub fn domain_path(domain: &str, behind: &str) -> String {
    format!("/v1/domains/{}{behind}", escaped(domain))
}

/// The path of a link, and what is asked of it, such as `:history`.
pub fn link_path(domain: &str, code: &str, verb: &str) -> String {
    domain_path(domain, &format!("/links/{}{verb}", escaped(code)))
}

/// Makes a call. `of` is the request that it is made for: its connection and its id.
///
/// # Errors
/// What REST refuses it with.
pub async fn make(api: &Api, key: Option<&str>, of: &Extensions, call: Call) -> Result<Value, Refusal> {
    let response = raw(api, key, of, call).await?;
    let bytes = read(response).await?;
    serde_json::from_slice(&bytes).map_err(|_| Refusal::broken())
}

/// The same with its answer as it is.
///
/// # Errors
/// What REST refuses it with.
pub async fn raw(api: &Api, key: Option<&str>, of: &Extensions, call: Call) -> Result<Response, Refusal> {
    let mut request = Request::builder().method(call.method).uri(call.address);
    if let Some(key) = key {
        request = request.header(header::AUTHORIZATION, format!("Bearer {key}"));
    }
    if let Some(etag) = call.etag {
        request = request.header(header::IF_MATCH, etag);
    }
    if let Some(kind) = call.accept {
        request = request.header(header::ACCEPT, kind);
    }
    if let Some(once) = call.once {
        request = request.header("idempotency-key", once);
    }
    let body = match call.body {
        Some(body) => {
            request = request.header(header::CONTENT_TYPE, "application/json");
            Body::from(body.to_string())
        }
        None => Body::empty(),
    };
    let mut request = request.body(body).map_err(|_| Refusal::broken())?;
    *request.extensions_mut() = of.clone();
    let response = match api.clone().oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    if response.status().is_success() { Ok(response) } else { Err(Refusal::read(response).await) }
}

async fn read(response: Response) -> Result<Vec<u8>, Refusal> {
    let bytes = to_bytes(response.into_body(), MOST).await;
    bytes.map(|bytes| bytes.to_vec()).map_err(|_| Refusal::broken())
}

impl Refusal {
    async fn read(response: Response) -> Self {
        let status = response.status();
        let wait = wait(response.headers());
        let bytes = read(response).await.unwrap_or_default();
        let problem: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let text = |name: &str| problem[name].as_str().map(str::to_owned);
        let detail = text("detail").unwrap_or_else(|| format!("the call was answered with {status}"));
        let detail = wait.map_or(detail.clone(), |wait| format!("{detail} (in {wait} s)"));
        Self { status, reason: text("reason").unwrap_or_default(), detail, field: text("field") }
    }

    fn broken() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", "the answer of the API broke off: try again")
    }

    /// One of the page itself.
    pub fn new(status: StatusCode, reason: &str, detail: &str) -> Self {
        Self { status, reason: reason.to_owned(), detail: detail.to_owned(), field: None }
    }

    /// One of a field that breaks a rule.
    pub fn of_field(field: &str, detail: &str) -> Self {
        Self { field: Some(field.to_owned()), ..Self::new(StatusCode::BAD_REQUEST, "INVALID", detail) }
    }
}

fn wait(headers: &HeaderMap) -> Option<String> {
    Some(headers.get(header::RETRY_AFTER)?.to_str().ok()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::response::IntoResponse;

    #[tokio::test]
    async fn a_call_carries_the_key_and_a_refusal_comes_back_in_words() {
        let api = Api::new(tower::service_fn(|request: Request| async move {
            let said = |name: &str| {
                request
                    .headers()
                    .get(name)
                    .and_then(|value| value.to_str().ok())
                    .unwrap_or_default()
                    .to_owned()
            };
            let (key, etag, kind) = (said("authorization"), said("if-match"), said("content-type"));
            Ok::<_, Infallible>(if request.method() == Method::GET {
                let text = format!("{} {key}", request.uri());
                axum::Json(serde_json::json!({ "said": text })).into_response()
            } else {
                let detail = format!("{etag} {kind}");
                let problem = serde_json::json!({ "reason": "INVALID", "detail": detail, "field": "target" });
                (StatusCode::BAD_REQUEST, problem.to_string()).into_response()
            })
        }));
        let path = link_path("a.example", "b:c/d", ":history");
        assert_eq!(path, "/v1/domains/a.example/links/b%3Ac/d:history");
        let call = Call::get(&path, &[("page_token", ""), ("filter", "code = \"a\"")]);
        let answer = make(&api, Some("lk_x"), &Extensions::new(), call).await.unwrap();
        assert_eq!(
            answer["said"],
            "/v1/domains/a.example/links/b%3Ac/d:history?filter=code+%3D+%22a%22 Bearer lk_x"
        );
        let call = Call::patch("/v1/links/a", &[], serde_json::json!({})).at("\"3\"").once("n");
        let refusal = make(&api, None, &Extensions::new(), call).await.unwrap_err();
        assert_eq!((refusal.status, refusal.field.as_deref()), (StatusCode::BAD_REQUEST, Some("target")));
        assert_eq!(refusal.detail, "\"3\" application/json");
    }
}
