//! The request line: method, target and version, what a target may be, and why a request is refused.

use super::text::is_token;
use crate::host::{is_host, same_host};
use crate::limits::MAX_REQUEST_TARGET_BYTES;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// GET.
    Get,
    /// HEAD: the same head, no body.
    Head,
    /// OPTIONS.
    Options,
    /// POST or PUT: follows a redirect that keeps the method, without its content, which is never read.
    Send,
    /// Any other: 405.
    Other,
}

impl Method {
    /// Whether a request may announce content. It is answered without it, and the connection ends: RFC 9110 lets a final
    /// answer stand for `100 (Continue)`, too (section 10.1.1).
    pub fn may_have_content(self) -> bool {
        matches!(self, Self::Send | Self::Other)
    }
}

/// Why a request is not served. The connection closes after each: nothing behind it can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Refusal {
    /// Not the grammar of RFC 9112, or one that other parsers read differently.
    BadRequest = 400,
    /// GET, HEAD or OPTIONS that announces content: no body is ever read.
    ContentTooLarge = 413,
    UriTooLong = 414,
    /// `Expect`.
    ExpectationFailed = 417,
    /// An absolute request target for another host than the `Host` field's.
    Misdirected = 421,
    HeadTooLarge = 431,
    /// A version other than 1.0 to 1.9.
    Version = 505,
}

/// Its parts.
pub struct RequestLine<'a> {
    pub method: Method,
    pub connect: bool,
    pub target: &'a [u8],
    pub minor: u8,
}

impl<'a> RequestLine<'a> {
    /// `method SP request-target SP HTTP-version`, exactly one space each (RFC 9112, section 3).
    pub fn read(line: &'a [u8]) -> Result<Self, Refusal> {
        let (method, rest) = split_at_space(line).ok_or(Refusal::BadRequest)?;
        let (target, version) = split_at_space(rest).ok_or(Refusal::BadRequest)?;
        if !is_token(method) || target.is_empty() || !target.iter().all(|&b| is_target_byte(b)) {
            return Err(Refusal::BadRequest);
        }
        let minor = match version {
            b"HTTP/1.1" => 1,
            b"HTTP/1.0" => 0,
            // Of a minor version that is not known, the highest that is (RFC 9110, section 2.5).
            [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'2'..=b'9'] => 1,
            // The preface of HTTP/2 (RFC 9113, section 3.4): its client did not agree on it with us.
            b"HTTP/2.0" if method == b"PRI" => return Err(Refusal::BadRequest),
            [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
                if major.is_ascii_digit() && minor.is_ascii_digit() =>
            {
                return Err(Refusal::Version);
            }
            _ => return Err(Refusal::BadRequest),
        };
        if target.len() > MAX_REQUEST_TARGET_BYTES {
            return Err(Refusal::UriTooLong);
        }
        let kind = match method {
            b"GET" => Method::Get,
            b"HEAD" => Method::Head,
            b"OPTIONS" => Method::Options,
            b"POST" | b"PUT" => Method::Send,
            _ => Method::Other,
        };
        Ok(Self { method: kind, connect: method == b"CONNECT", target, minor })
    }
}

/// A method that is answered with 405 must still have a target of its form (RFC 9112, section 3.2).
pub fn check_other(line: &RequestLine<'_>) -> Result<(), Refusal> {
    let good = if line.connect {
        is_host(line.target)
    } else {
        line.target == b"*" || line.target[0] == b'/' || absolute(line.target).is_some()
    };
    if good { Ok(()) } else { Err(Refusal::BadRequest) }
}

/// Origin-form or absolute-form to path and query. The authority of an absolute one must be the `Host`'s.
pub fn split_target<'a>(
    target: &'a [u8],
    host: Option<&[u8]>,
) -> Result<(&'a [u8], Option<&'a [u8]>), Refusal> {
    let rest = match target {
        [b'/', rest @ ..] => rest,
        _ => {
            let (authority, rest, default_port) = absolute(target).ok_or(Refusal::BadRequest)?;
            // RFC 9110, section 4.2.4: user information is an error; it is there to obscure whose authority it is.
            if authority.contains(&b'@') {
                return Err(Refusal::Misdirected);
            }
            if !is_host(authority) {
                return Err(Refusal::BadRequest);
            }
            if host.is_some_and(|host| !same_host(host, authority, default_port)) {
                return Err(Refusal::Misdirected);
            }
            rest.strip_prefix(b"/").unwrap_or(rest)
        }
    };
    let (path, query) = match rest.iter().position(|&b| b == b'?') {
        Some(at) => (&rest[..at], Some(&rest[at + 1..])),
        None => (rest, None),
    };
    if has_broken_escape(path) { Err(Refusal::BadRequest) } else { Ok((path, query)) }
}

/// Authority, the rest, and the scheme's default port.
fn absolute(target: &[u8]) -> Option<(&[u8], &[u8], &'static [u8])> {
    let end = target.iter().position(|&b| b == b':')?;
    let default_port: &[u8] = match &target[..end] {
        scheme if scheme.eq_ignore_ascii_case(b"http") => b"80",
        scheme if scheme.eq_ignore_ascii_case(b"https") => b"443",
        _ => return None,
    };
    let rest = target[end..].strip_prefix(b"://")?;
    let end = rest.iter().position(|b| b"/?#".contains(b)).unwrap_or(rest.len());
    Some((&rest[..end], &rest[end..], default_port))
}

/// A `%` without two hex digits behind it (RFC 3986, section 2.1).
fn has_broken_escape(path: &[u8]) -> bool {
    path.iter().enumerate().any(|(at, &b)| {
        b == b'%' && !path.get(at + 1..at + 3).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit))
    })
}

fn split_at_space(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|&b| b == b' ')?;
    Some((&bytes[..at], &bytes[at + 1..]))
}

/// Whether a byte may stand in a request target. Wider than RFC 3986 (quotes, braces and raw UTF-8 are in use, and
/// simply are no codes), but never a space, a control or a `#`: clients keep a fragment to themselves, and one that came
/// along with a query would end up before the target's own.
fn is_target_byte(byte: u8) -> bool {
    byte > b' ' && byte != 0x7f && byte != b'#'
}
