//! Writes response heads. The common redirect is three copies: a status line, the target, and a tail made once a second.

use crate::{Refusal, Tier, unchecked};
use http::StatusCode;
use link::{Epoch, File, Position, Redirect, Seq, Status};

/// Bytes of [`Stamp::plain_tail`], at most: with a date of 29 bytes it is of 119.
const TAIL: usize = 128;

/// The parts of a response that change with the second, made ready.
#[derive(Clone, Debug)]
pub struct Stamp {
    /// From behind the target to the end of the head, for a redirect that nobody keeps on a connection that stays.
    plain_tail: ([u8; TAIL], usize),
    date: String,
}

impl Stamp {
    /// `date` is an IMF-fixdate (RFC 9110, section 5.6.7) of now.
    ///
    /// # Panics
    /// When it is longer than one.
    pub fn new(date: &str) -> Self {
        let mut stamp = Self { plain_tail: ([0; TAIL], 0), date: date.to_owned() };
        let mut tail = Vec::with_capacity(TAIL);
        stamp.write_tail(&mut tail, 0, &ResponseOptions::default());
        stamp.plain_tail.0[..tail.len()].copy_from_slice(&tail);
        stamp.plain_tail.1 = tail.len();
        stamp
    }

    fn write_tail(&self, out: &mut Vec<u8>, max_age: u32, extra: &ResponseOptions<'_>) {
        out.extend_from_slice(b"\r\nContent-Length: 0\r\nCache-Control: private, max-age=");
        push_number(out, max_age);
        out.extend_from_slice(b"\r\nX-Robots-Tag: noindex\r\n");
        self.write_end(out, extra);
    }

    fn write_end(&self, out: &mut Vec<u8>, extra: &ResponseOptions<'_>) {
        if let Some(id) = extra.request_id {
            for part in [b"X-Request-Id: ", id, b"\r\n"] {
                out.extend_from_slice(part);
            }
        }
        if let Some(debug) = &extra.debug {
            debug.write(out);
        }
        if extra.close {
            out.extend_from_slice(b"Connection: close\r\n");
        }
        out.extend_from_slice(b"Date: ");
        out.extend_from_slice(self.date.as_bytes());
        out.extend_from_slice(b"\r\n\r\n");
    }
}

/// What a request asks of its response beyond the status and the target.
#[derive(Clone, Copy, Debug, Default)]
pub struct ResponseOptions<'a> {
    /// No body: the request was HEAD.
    pub head_only: bool,
    /// The connection ends with this response.
    pub close: bool,
    /// The request was POST or PUT: only a redirect that keeps the method is followed.
    pub sends: bool,
    /// Echoed.
    pub request_id: Option<&'a [u8]>,
    /// Where the answer came from, for those who asked and may know.
    pub debug: Option<DebugFields>,
}

/// `X-Linkr-Tier`, `X-Linkr-Revision` and `X-Linkr-Staleness-Ms`.
#[derive(Clone, Copy, Debug)]
pub struct DebugFields {
    /// Where the answer came from.
    pub tier: Tier,
    /// The change that made it; `None` when no link did.
    pub revision: Option<(Epoch, Seq)>,
    /// Milliseconds since the edge knew that it had everything; `None`: it never did.
    pub staleness_ms: Option<u64>,
}

impl DebugFields {
    #[cold]
    fn write(&self, out: &mut Vec<u8>) {
        let revision = self.revision.map(|(epoch, seq)| Position::revision(epoch, seq));
        let staleness = self.staleness_ms.map(|ms| ms.to_string());
        let fields = [
            ("X-Linkr-Tier: ", Some(self.tier.label().to_owned())),
            ("X-Linkr-Revision: ", revision),
            ("X-Linkr-Staleness-Ms: ", staleness),
        ];
        for (name, value) in fields {
            let Some(value) = value else { continue };
            for part in [name, &value, "\r\n"] {
                out.extend_from_slice(part.as_bytes());
            }
        }
    }
}

/// A redirect to a link that says nothing else, from a connection that stays: see [`Seen::usual`](crate::set::Seen).
#[inline(always)]
pub fn write_usual_redirect(out: &mut Vec<u8>, target: &[u8], stamp: &Stamp) {
    let (tail, length) = &stamp.plain_tail;
    unchecked::append(out, b"HTTP/1.1 302 Found\r\nLocation: ", target, (tail, *length));
}

/// A redirect.
pub fn write_redirect(out: &mut Vec<u8>, to: &Redirect<'_>, stamp: &Stamp, extra: &ResponseOptions<'_>) {
    out.extend_from_slice(match to.status {
        Status::Found => b"HTTP/1.1 302 Found\r\nLocation: ",
        Status::MovedPermanently => b"HTTP/1.1 301 Moved Permanently\r\nLocation: ",
        Status::SeeOther => b"HTTP/1.1 303 See Other\r\nLocation: ",
        Status::TemporaryRedirect => b"HTTP/1.1 307 Temporary Redirect\r\nLocation: ",
        Status::PermanentRedirect => b"HTTP/1.1 308 Permanent Redirect\r\nLocation: ",
    });
    to.write_location(out);
    stamp.write_tail(out, to.max_age, extra);
}

/// Every other response: a status, fields that belong to it, and a line for people.
struct StatusPage<'a> {
    status: StatusCode,
    fields: &'static str,
    text: &'a str,
}

#[cold]
fn write_page(out: &mut Vec<u8>, page: &StatusPage<'_>, stamp: &Stamp, extra: &ResponseOptions<'_>) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(page.status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(page.status.canonical_reason().unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(page.fields.as_bytes());
    // RFC 9110, section 8.6: no length in a 204.
    if page.status != StatusCode::NO_CONTENT {
        out.extend_from_slice(b"Content-Length: ");
        push_number(out, page.text.len() as u32);
        out.extend_from_slice(b"\r\n");
    }
    if !page.text.is_empty() {
        out.extend_from_slice(
            b"Content-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n",
        );
    }
    stamp.write_end(out, extra);
    if !extra.head_only {
        out.extend_from_slice(page.text.as_bytes());
    }
}

const UNKEPT: &str = "Cache-Control: private, max-age=0\r\nX-Robots-Tag: noindex\r\n";

/// 404. From an edge that may not know yet, nobody may keep it.
pub fn write_not_found(out: &mut Vec<u8>, stale: bool, stamp: &Stamp, extra: &ResponseOptions<'_>) {
    let fields = if stale { "Cache-Control: no-store\r\nX-Robots-Tag: noindex\r\n" } else { UNKEPT };
    let page = StatusPage { status: StatusCode::NOT_FOUND, fields, text: "There is no link here.\n" };
    write_page(out, &page, stamp, extra);
}

/// 302 to where a domain leads, or a link that has expired. From an edge that may not know yet, nobody may keep it.
#[cold]
pub fn write_lead(
    out: &mut Vec<u8>,
    location: impl FnOnce(&mut Vec<u8>),
    stale: bool,
    stamp: &Stamp,
    extra: &ResponseOptions<'_>,
) {
    let kept = if stale { "no-store" } else { "private, max-age=0" };
    out.extend_from_slice(b"HTTP/1.1 302 Found\r\nLocation: ");
    location(out);
    out.extend_from_slice(b"\r\nContent-Length: 0\r\nCache-Control: ");
    out.extend_from_slice(kept.as_bytes());
    out.extend_from_slice(b"\r\nX-Robots-Tag: noindex\r\n");
    stamp.write_end(out, extra);
}

/// 421: no domain here has this host.
pub fn write_misdirected(out: &mut Vec<u8>, stamp: &Stamp, extra: &ResponseOptions<'_>) {
    let text = "This host is not served here.\n";
    let fields = "Cache-Control: no-store\r\n";
    write_page(out, &StatusPage { status: StatusCode::MISDIRECTED_REQUEST, fields, text }, stamp, extra);
}

/// 410.
pub fn write_gone(out: &mut Vec<u8>, stamp: &Stamp, extra: &ResponseOptions<'_>) {
    let page =
        StatusPage { status: StatusCode::GONE, fields: UNKEPT, text: "This link is no longer available.\n" };
    write_page(out, &page, stamp, extra);
}

/// 503: try again in a second.
pub fn write_unavailable(out: &mut Vec<u8>, stamp: &Stamp, extra: &ResponseOptions<'_>) {
    let page = StatusPage {
        status: StatusCode::SERVICE_UNAVAILABLE,
        fields: "Cache-Control: no-store\r\nRetry-After: 1\r\n",
        text: "This link cannot be looked up right now. Try again in a moment.\n",
    };
    write_page(out, &page, stamp, extra);
}

const ALLOW: &str = "Allow: GET, HEAD, OPTIONS\r\nCache-Control: no-store\r\n";

/// 204, to OPTIONS.
pub fn write_options(out: &mut Vec<u8>, stamp: &Stamp, extra: &ResponseOptions<'_>) {
    write_page(out, &StatusPage { status: StatusCode::NO_CONTENT, fields: ALLOW, text: "" }, stamp, extra);
}

/// 405.
pub fn write_method_not_allowed(out: &mut Vec<u8>, stamp: &Stamp, extra: &ResponseOptions<'_>) {
    let text = "Links are followed with GET or HEAD, and with POST or PUT where the link is a 307 or 308.\n";
    write_page(
        out,
        &StatusPage { status: StatusCode::METHOD_NOT_ALLOWED, fields: ALLOW, text },
        stamp,
        extra,
    );
}

/// A path that the edge answers itself. `robots`: what the domain says of `/robots.txt`.
pub fn write_reserved(
    out: &mut Vec<u8>,
    path: &[u8],
    robots: Option<&str>,
    stamp: &Stamp,
    extra: &ResponseOptions<'_>,
) {
    const DAY: &str = "Cache-Control: public, max-age=86400\r\n";
    let page = match path {
        // Crawlers may look: each redirect tells them not to index it, which they see only if they may.
        b"robots.txt" => {
            let text = robots.unwrap_or("User-agent: *\nDisallow:\n");
            StatusPage { status: StatusCode::OK, fields: DAY, text }
        }
        b"favicon.ico" => StatusPage { status: StatusCode::NOT_FOUND, fields: DAY, text: "" },
        _ => StatusPage { status: StatusCode::NOT_FOUND, fields: UNKEPT, text: "There is nothing here.\n" },
    };
    write_page(out, &page, stamp, extra);
}

/// A file of the domain. Whoever checks one looks again soon, so a change is seen within minutes.
#[cold]
pub fn write_file(out: &mut Vec<u8>, file: &File, stamp: &Stamp, extra: &ResponseOptions<'_>) {
    out.extend_from_slice(b"HTTP/1.1 200 OK\r\nCache-Control: public, max-age=300\r\nContent-Length: ");
    push_number(out, file.content.len() as u32);
    out.extend_from_slice(b"\r\nContent-Type: ");
    out.extend_from_slice(file.content_type.as_bytes());
    out.extend_from_slice(b"\r\nX-Content-Type-Options: nosniff\r\n");
    stamp.write_end(out, extra);
    if !extra.head_only {
        out.extend_from_slice(&file.content);
    }
}

/// A request that is not served; always the last on its connection.
pub fn write_refusal(out: &mut Vec<u8>, refusal: Refusal, stamp: &Stamp) {
    let text = match refusal {
        Refusal::BadRequest => "This is not a request that can be read in only one way.\n",
        Refusal::ContentTooLarge => "Requests for links have no content.\n",
        Refusal::UriTooLong => "The request target is too long.\n",
        Refusal::ExpectationFailed => "Expectations are not met.\n",
        Refusal::Misdirected => "The request target and the Host field name different hosts.\n",
        Refusal::HeadTooLarge => "The request head is too large.\n",
        Refusal::Version => "Only HTTP/1.1 and HTTP/1.0 are spoken here.\n",
    };
    let status = StatusCode::from_u16(refusal as u16).unwrap_or(StatusCode::BAD_REQUEST);
    write_last(out, status, text, stamp);
}

/// 400: this is HTTP without TLS, where there is nothing else.
pub fn write_tls_only(out: &mut Vec<u8>, stamp: &Stamp) {
    write_last(out, StatusCode::BAD_REQUEST, "Only TLS is spoken here: ask with https.\n", stamp);
}

/// 408: the head did not arrive in time.
pub fn write_timeout(out: &mut Vec<u8>, stamp: &Stamp) {
    write_last(out, StatusCode::REQUEST_TIMEOUT, "The request did not arrive in time.\n", stamp);
}

/// To what is no request that is served; nothing comes behind it.
fn write_last(out: &mut Vec<u8>, status: StatusCode, text: &'static str, stamp: &Stamp) {
    let page = StatusPage { status, fields: "Cache-Control: no-store\r\n", text };
    write_page(out, &page, stamp, &ResponseOptions { close: true, ..ResponseOptions::default() });
}

fn push_number(out: &mut Vec<u8>, mut number: u32) {
    let mut digits = [0u8; 10];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return out.extend_from_slice(&digits[at..]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use link::{Link, LinkParts, LinkTerms, Resolution, Target, VisitorRequest, redirect};

    const DATE: &str = "Sun, 22 Nov 2026 13:06:42 GMT";

    fn redirected(change: impl FnOnce(&mut LinkTerms), extra: &ResponseOptions<'_>) -> String {
        let mut parts = LinkParts::to(Target::stored(b"https://a.example/x").unwrap());
        change(&mut parts.terms);
        let link = Link::new(parts).unwrap();
        let Resolution::To(to) = redirect(&link.as_ref(), VisitorRequest::default(), 0) else { panic!() };
        let mut out = Vec::new();
        write_redirect(&mut out, &to, &Stamp::new(DATE), extra);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_redirect_byte_for_byte() {
        let plain = redirected(|_| (), &ResponseOptions::default());
        let want = "HTTP/1.1 302 Found\r\nLocation: https://a.example/x\r\nContent-Length: 0\r\n\
            Cache-Control: private, max-age=0\r\nX-Robots-Tag: noindex\r\nDate: Sun, 22 Nov 2026 13:06:42 GMT\r\n\r\n";
        assert_eq!(plain, want);
        let extra = ResponseOptions {
            close: true,
            request_id: Some(b"r1"),
            head_only: true,
            ..ResponseOptions::default()
        };
        let kept = redirected(|p| (p.status, p.max_age) = (Status::PermanentRedirect, Some(3600)), &extra);
        let want = "HTTP/1.1 308 Permanent Redirect\r\nLocation: https://a.example/x\r\nContent-Length: 0\r\n\
            Cache-Control: private, max-age=3600\r\nX-Robots-Tag: noindex\r\nX-Request-Id: r1\r\n\
            Connection: close\r\nDate: Sun, 22 Nov 2026 13:06:42 GMT\r\n\r\n";
        assert_eq!(kept, want);
    }

    #[test]
    fn every_status_has_its_reason() {
        for status in Status::ALL {
            let text = redirected(|p| (p.status, p.max_age) = (status, Some(1)), &ResponseOptions::default());
            let reason = StatusCode::from_u16(status.code()).unwrap().canonical_reason().unwrap();
            assert!(text.starts_with(&format!("HTTP/1.1 {} {reason}\r\n", status.code())), "{text}");
        }
    }

    #[test]
    fn pages_have_bodies_unless_head_and_204_has_no_length() {
        let stamp = Stamp::new(DATE);
        let page = |head_only| {
            let mut out = Vec::new();
            write_gone(&mut out, &stamp, &ResponseOptions { head_only, ..ResponseOptions::default() });
            String::from_utf8(out).unwrap()
        };
        assert!(page(false).ends_with("\r\n\r\nThis link is no longer available.\n"));
        assert_eq!(page(true), page(false).replace("This link is no longer available.\n", ""));
        assert!(page(true).contains("Content-Length: 34\r\n"));
        let mut out = Vec::new();
        write_options(&mut out, &stamp, &ResponseOptions::default());
        assert!(!String::from_utf8(out).unwrap().contains("Content-Length"));
    }

    #[test]
    fn numbers() {
        for number in [0, 9, 10, 31_536_000, u32::MAX] {
            let mut out = Vec::new();
            push_number(&mut out, number);
            assert_eq!(out, number.to_string().as_bytes());
        }
    }
}
