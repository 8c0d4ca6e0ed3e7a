//! What a page answers with, and the fields that every answer of this site carries. What is in it is not known here.

use crate::assets;
use crate::gzip::compressed;
use axum::body::Body;
use axum::response::Response;
use http::{HeaderName, HeaderValue, StatusCode, header};
use maud::Markup;

/// Nothing is loaded from elsewhere, no script stands in a page, no other page frames this one, and forms lead nowhere else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
/// Bytes below which compression saves nothing.
const FEW: usize = 1_024;

/// What a handler answers.
#[derive(Debug)]
pub enum Answer {
    /// A page, which is put into the frame.
    Page(Page),
    /// A way to a page: after a form was sent, so that loading again sends nothing.
    SeeOther(String),
    /// Anything else, such as a picture or a file.
    Raw(Response),
}

/// What is on a page between its menu and its foot.
#[derive(Debug)]
pub struct Page {
    /// 200, but for refusals.
    pub status: StatusCode,
    /// What the tab of the browser says, and the first heading.
    pub title: String,
    /// Below the heading.
    pub body: Markup,
}

impl Answer {
    /// A page.
    pub fn page(title: impl Into<String>, body: Markup) -> Self {
        Self::Page(Page { status: StatusCode::OK, title: title.into(), body })
    }

    /// A page with another status, such as one that says why something is not done.
    pub fn with(status: StatusCode, title: impl Into<String>, body: Markup) -> Self {
        Self::Page(Page { status, title: title.into(), body })
    }

    /// Bytes of a kind.
    pub fn raw(kind: &'static str, bytes: impl Into<Body>) -> Self {
        let mut response = Response::new(bytes.into());
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        Self::Raw(response)
    }

    /// What an answer of the API holds, as a file that the browser saves: `what-name.ending`.
    pub fn file(mut response: Response, what: &str, name: &str, ending: &str) -> Self {
        let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
        let name: String = name.chars().map(plain).take(100).collect();
        // Letters, digits and the like alone: that is a legal value of a field.
        if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{what}-{name}.{ending}\""))
        {
            response.headers_mut().insert(header::CONTENT_DISPOSITION, value);
        }
        Self::Raw(response)
    }
}

/// A whole document.
pub fn document(status: StatusCode, markup: Markup, gzip: bool) -> Response {
    let text = markup.into_string().into_bytes();
    let packed = gzip && text.len() >= FEW;
    let mut response = Response::new(Body::from(if packed { compressed(&text) } else { text }));
    *response.status_mut() = status;
    let fields = response.headers_mut();
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    fields.insert(header::VARY, HeaderValue::from_static("accept-encoding, cookie"));
    if packed {
        fields.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

/// A way to another page.
pub fn see_other(address: &str) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    let address = HeaderValue::from_str(address).unwrap_or_else(|_| HeaderValue::from_static("/ui"));
    response.headers_mut().insert(header::LOCATION, address);
    response
}

/// An asset under its name; the name is of its content, so it never changes.
pub fn asset(path: &str, gzip: bool) -> Option<Response> {
    let found = assets::find(path)?;
    let mut response = Response::new(Body::from(if gzip { found.packed } else { found.plain }));
    let fields = response.headers_mut();
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(found.kind));
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    fields.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if gzip {
        fields.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Some(response)
}

/// The fields of every answer. What shows links is kept by nobody on the way, and not by the browser once it is closed.
pub fn guarded(mut response: Response) -> Response {
    let fields = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        // With `no-referrer` a browser would send `Origin: null` with the forms of this site.
        (header::REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        fields.insert(name, HeaderValue::from_static(value));
    }
    fields.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_page_is_compressed_for_who_takes_it() {
        let page = || maud::PreEscaped("x".repeat(2 * FEW));
        assert!(document(StatusCode::OK, page(), true).headers().contains_key("content-encoding"));
        assert!(!document(StatusCode::OK, page(), false).headers().contains_key("content-encoding"));
    }

    #[test]
    fn every_answer_has_the_policy_and_is_kept_by_nobody_but_for_assets() {
        let page = guarded(see_other("/ui"));
        assert!(
            page.headers()["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'")
        );
        assert_eq!(page.headers()["cache-control"], "no-store");
        let style = guarded(asset(assets::style(), false).unwrap());
        assert!(style.headers()["cache-control"].to_str().unwrap().ends_with("immutable"));
        assert!(asset("/ui/assets/style-00000000.css", false).is_none());
    }
}
