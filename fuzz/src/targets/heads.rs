//! What a request head comes to by another way: line by line, httparse, and the rules of docs/http.md as a list.
//!
//! What httparse refuses is never accepted. What it takes and we refuse is here: every `None` behind its answer.

use hot::limits::{MAX_FIELDS, MAX_HEAD_BYTES, MAX_REQUEST_TARGET_BYTES};
use hot::{HeadParse, Method};
use std::net::Ipv6Addr;

/// What some bytes come to, and nothing borrowed.
#[derive(Debug, PartialEq, Eq)]
pub enum HeadOutcome {
    Incomplete,
    Refused,
    Taken(Box<Request>),
}

/// A request, as both sides see it.
#[derive(Debug, PartialEq, Eq)]
pub struct Request {
    length: usize,
    method: Method,
    host: Option<Vec<u8>>,
    path: Vec<u8>,
    query: Option<Vec<u8>>,
    close: bool,
    request_id: Option<Vec<u8>>,
    min_revision: Option<Vec<u8>>,
    debug: bool,
}

impl HeadOutcome {
    /// Ours.
    pub fn of(parsed: &HeadParse<'_>) -> Self {
        match parsed {
            HeadParse::Incomplete => Self::Incomplete,
            HeadParse::Refused(_) => Self::Refused,
            HeadParse::Head(head, length) => Self::Taken(Box::new(Request {
                length: *length,
                method: head.method,
                host: head.host.map(<[u8]>::to_vec),
                path: head.path.to_vec(),
                query: head.query.map(<[u8]>::to_vec),
                close: head.close,
                request_id: head.request_id.map(<[u8]>::to_vec),
                min_revision: head.min_revision.map(<[u8]>::to_vec),
                debug: head.debug,
            })),
        }
    }

    /// The stranger's.
    pub fn expected(data: &[u8]) -> Self {
        let skipped = if data.starts_with(b"\r\n") { 2 } else { 0 };
        let bytes = &data[skipped..];
        match end_of_head(bytes) {
            None => Self::Refused,
            Some(0) => Self::Incomplete,
            Some(end) => match read(&bytes[..end]) {
                None => Self::Refused,
                Some(request) => {
                    Self::Taken(Box::new(Request { length: skipped + request.length, ..request }))
                }
            },
        }
    }
}

/// Where the head ends; 0: not yet. `None`: never, or too late.
fn end_of_head(bytes: &[u8]) -> Option<usize> {
    let window = &bytes[..bytes.len().min(MAX_HEAD_BYTES)];
    let (mut start, mut lines) = (0, 0);
    loop {
        let rest = &window[start..];
        match rest.iter().position(|&byte| byte.is_ascii_control() && byte != b'\t') {
            Some(0) if rest.starts_with(b"\r\n") => return (lines > 0).then_some(start + 2),
            Some(at) if rest[at..].starts_with(b"\r\n") => {
                (lines, start) = (lines + 1, start + at + 2);
                if lines > MAX_FIELDS + 1 {
                    return None;
                }
            }
            Some(at) if rest[at..] != *b"\r" => return None,
            _ => return (bytes.len() < MAX_HEAD_BYTES).then_some(0),
        }
    }
}

fn read(bytes: &[u8]) -> Option<Request> {
    // httparse wants a target in UTF-8; here any byte beyond ASCII may stand in one, and leads to a 404.
    let line = bytes.iter().position(|&byte| byte == b'\r')?;
    let first = bytes[..line].iter().position(|&byte| byte == b' ')?;
    let mut plain = bytes.to_vec();
    plain[first..line].iter_mut().filter(|byte| !byte.is_ascii()).for_each(|byte| *byte = b'x');
    // Higher minor versions are served as 1.1, and httparse knows none.
    if let [.., b' ', b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor @ b'2'..=b'9'] = &mut plain[first..line]
    {
        *minor = b'1';
    }
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    match request.parse(&plain) {
        Err(_) => return None,
        Ok(httparse::Status::Partial) => panic!("httparse waits for more: {}", bytes.escape_ascii()),
        Ok(httparse::Status::Complete(length)) => assert_eq!(length, bytes.len()),
    }
    let (method, minor) = (request.method?, request.version?);
    let target = &bytes[first + 1..first + 1 + request.path?.len()];
    let all = |name: &str| -> Vec<Vec<u8>> {
        let own = request.headers.iter().filter(|field| field.name.eq_ignore_ascii_case(name));
        own.map(|field| field.value.trim_ascii().to_vec()).collect()
    };
    let alike =
        |name: &str| request.headers.iter().any(|f| f.name.replace('_', "-").eq_ignore_ascii_case(name));

    // Framing that others may read in another way, and content at all.
    let lengths = all("content-length");
    let number = |text: &[u8]| {
        let digits = (1..=18).contains(&text.len()) && text.iter().all(u8::is_ascii_digit);
        digits.then(|| String::from_utf8_lossy(text).parse::<u64>().unwrap_or(1))
    };
    let underscored = alike("content-length") && lengths.is_empty()
        || request.headers.iter().any(|f| f.name.eq_ignore_ascii_case("content_length"));
    let takes = !["GET", "HEAD", "OPTIONS"].contains(&method);
    if lengths.len() > 1 || lengths.iter().any(|text| number(text).is_none()) {
        return None;
    }
    let (coded, codings) = (alike("transfer-encoding"), all("transfer-encoding"));
    let simple = codings.len() == 1 && codings[0].eq_ignore_ascii_case(b"chunked") && lengths.is_empty();
    let underscored =
        underscored || request.headers.iter().any(|f| f.name.eq_ignore_ascii_case("transfer_encoding"));
    let content = coded || underscored || lengths.iter().any(|text| number(text) != Some(0));
    let ends = content || !all("expect").is_empty();
    if ends && !takes || underscored || coded && !(simple && minor == 1) {
        return None;
    }
    let hosts = all("host");
    if hosts.len() > 1 || (hosts.is_empty() && minor == 1) || hosts.iter().any(|host| !is_host(host)) {
        return None;
    }
    let host = hosts.into_iter().next();
    if all("x-linkr-min-revision").len() > 1 {
        return None;
    }
    if target.len() > MAX_REQUEST_TARGET_BYTES || target.contains(&b'#') {
        return None;
    }
    let (method, nothing) = match method {
        "GET" => (Method::Get, false),
        "HEAD" => (Method::Head, false),
        "OPTIONS" => (Method::Options, target == b"*"),
        "POST" | "PUT" => (Method::Send, false),
        "CONNECT" => (Method::Other, is_host(target).then_some(true)?),
        _ => {
            let form = target == b"*" || target[0] == b'/' || absolute(target).is_some();
            (Method::Other, form.then_some(true)?)
        }
    };
    let (path, query) = if nothing { (Vec::new(), None) } else { path_and_query(target, host.as_deref())? };
    let says_close = |value: &Vec<u8>| {
        String::from_utf8_lossy(value)
            .split(',')
            .any(|word| word.trim_matches([' ', '\t']).eq_ignore_ascii_case("close"))
    };
    let legal = |id: &Vec<u8>| {
        (1..=64).contains(&id.len())
            && id.iter().all(|b| matches!(b, b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'.' | b'_' | b'-'))
    };
    Some(Request {
        length: bytes.len(),
        method,
        host,
        path,
        query,
        close: minor == 0 || ends || all("connection").iter().any(says_close),
        request_id: all("x-request-id").pop().filter(legal),
        min_revision: all("x-linkr-min-revision").pop(),
        debug: all("x-linkr-debug").pop().is_some_and(|value| value == b"1"),
    })
}

type PathAndQuery = (Vec<u8>, Option<Vec<u8>>);

fn path_and_query(target: &[u8], host: Option<&[u8]>) -> Option<PathAndQuery> {
    let rest = match target.strip_prefix(b"/") {
        Some(rest) => rest,
        None => {
            let (port, authority, rest) = absolute(target)?;
            let same = host.is_none_or(|host| whole(host, port) == whole(authority, port));
            if !is_host(authority) || !same {
                return None;
            }
            rest.strip_prefix(b"/").unwrap_or(rest)
        }
    };
    let mut parts = rest.splitn(2, |&byte| byte == b'?');
    let (path, query) = (parts.next()?.to_vec(), parts.next().map(<[u8]>::to_vec));
    let hex = |escape: &[u8]| escape.len() >= 2 && escape[..2].iter().all(u8::is_ascii_hexdigit);
    path.split(|&byte| byte == b'%').skip(1).all(hex).then_some((path, query))
}

/// The default port, the authority, and what is behind it.
fn absolute(target: &[u8]) -> Option<(&'static str, &[u8], &[u8])> {
    let lower = target.to_ascii_lowercase();
    let (port, start) = match () {
        () if lower.starts_with(b"http://") => ("80", 7),
        () if lower.starts_with(b"https://") => ("443", 8),
        () => return None,
    };
    let rest = &target[start..];
    let end = rest.iter().take_while(|byte| !matches!(byte, b'/' | b'?' | b'#')).count();
    Some((port, &rest[..end], &rest[end..]))
}

/// Name and port of a good host, so that equal ones are equal.
fn whole(host: &[u8], port: &str) -> (String, String) {
    let text = String::from_utf8_lossy(host).to_lowercase();
    let (name, own) = match text.rsplit_once(':') {
        Some((name, own)) if !own.contains(']') => (name, own),
        _ => (text.as_str(), ""),
    };
    (name.strip_suffix('.').unwrap_or(name).to_owned(), if own.is_empty() { port } else { own }.to_owned())
}

fn is_host(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let (good, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, port)) => (address.parse::<Ipv6Addr>().is_ok(), port),
            None => return false,
        },
        None => {
            let (name, port) = text.find(':').map_or((text, ""), |at| text.split_at(at));
            let labels = name.strip_suffix('.').unwrap_or(name).split('.');
            let good = |label: &str| {
                let allowed = |c: char| c.is_ascii_alphanumeric() || "-_~!$&'()*+,;=%".contains(c);
                !label.is_empty() && label.chars().all(allowed)
            };
            (labels.into_iter().all(good), port)
        }
    };
    let digits = port.strip_prefix(':').unwrap_or(port);
    let port_is_good = port.is_empty() || port.starts_with(':');
    let number = digits.len() <= 5 && digits.bytes().all(|b| b.is_ascii_digit());
    good && port_is_good && number && (digits.is_empty() || digits.parse::<u32>().is_ok_and(|n| n < 65_536))
}
