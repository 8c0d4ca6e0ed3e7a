//! Which pages of other sites may read the answers of REST, by a list (Fetch Standard, 3.2). A page shows its key in a
//! header that it sets itself, so nothing is let through that browsers send along by themselves.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use std::sync::Arc;

/// What pages may send, and read, besides what every page may.
const SENT: &str =
    "authorization, content-type, idempotency-key, if-match, if-none-match, traceparent, x-request-id";
const READ: &str = "etag, location, ratelimit, ratelimit-policy, retry-after, x-request-id";
const METHODS: &str = "GET, HEAD, POST, PATCH, DELETE";
/// Seconds that a browser need not ask again: as long as any keeps it.
const KEPT: &str = "7200";

/// The pages, by their origins.
#[derive(Clone, Debug)]
pub struct Cors(Arc<[HeaderValue]>);

impl Cors {
    /// `None`: none.
    ///
    /// # Errors
    /// Which is no origin, and why.
    pub fn of(origins: &[String]) -> Result<Option<Self>, String> {
        let all = origins.iter().map(|given| {
            let read = origin(given).map_err(|why| format!("--cors-origins: '{given}' {why}"))?;
            HeaderValue::from_str(&read).map_err(|fault| fault.to_string())
        });
        let all = all.collect::<Result<Arc<[_]>, _>>()?;
        Ok((!all.is_empty()).then_some(Self(all)))
    }
}

/// An origin as browsers send it (RFC 6454, section 6.2): in lower case, without the scheme's own port.
fn origin(given: &str) -> Result<String, &'static str> {
    let why = "is no origin: give each site as scheme, host and, where it is not the scheme's own, port, such as \
               https://admin.example, without a path";
    let lower = given.to_ascii_lowercase();
    let (scheme, rest) = lower.split_once("://").ok_or(why)?;
    let own_port = match scheme {
        "https" => ":443",
        "http" => ":80",
        _ => return Err(why),
    };
    let host = rest.strip_suffix(own_port).unwrap_or(rest);
    let read: Authority = host.parse().map_err(|_| why)?;
    let port = host.len() == read.host().len() || read.port_u16().is_some();
    let plain = !read.host().is_empty() && !host.contains(['@', '*']) && port;
    if plain { Ok(format!("{scheme}://{host}")) } else { Err(why) }
}

/// The layer, in front of everything: a browser asks without a key whether a page may ask at all.
pub async fn shared(State(cors): State<Cors>, request: Request, next: Next) -> Response {
    let origin = request.headers().get(header::ORIGIN).filter(|origin| cors.0.contains(origin)).cloned();
    let asks = request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = match origin {
        Some(_) if asks => allowed(),
        _ => next.run(request).await,
    };
    let fields = response.headers_mut();
    fields.append(header::VARY, HeaderValue::from_static("origin"));
    if let Some(origin) = origin {
        fields.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        fields.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(READ));
    }
    response
}

fn allowed() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let fields: &mut HeaderMap = response.headers_mut();
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_METHODS, METHODS),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, SENT),
        (header::ACCESS_CONTROL_MAX_AGE, KEPT),
    ] {
        fields.insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_compared_as_browsers_send_them() {
        for (given, want) in [
            ("https://admin.example", "https://admin.example"),
            ("HTTPS://Admin.Example:443", "https://admin.example"),
            ("http://localhost:5173", "http://localhost:5173"),
            ("http://[::1]:80", "http://[::1]"),
            ("https://a.example:8443", "https://a.example:8443"),
        ] {
            assert_eq!(origin(given).as_deref(), Ok(want), "{given}");
        }
        for wrong in [
            "",
            "*",
            "null",
            "admin.example",
            "https://",
            "https://:443",
            "https://*.example",
            "https://a.example/",
            "https://a.example/x",
            "https://u@a.example",
            "https://a.example:",
            "https://a.example:99999",
            "ftp://a.example",
            "https://b\u{fc}cher.example",
        ] {
            assert!(origin(wrong).is_err(), "{wrong}");
        }
        assert!(Cors::of(&[]).unwrap().is_none());
        assert!(Cors::of(&["*".into()]).unwrap_err().starts_with("--cors-origins: '*' is no origin"));
    }
}
