//! What the requests of a turn were, and what they say of traces: read again from their bytes, since nearly no turn asks.

use super::Parent;
use crate::traces::SeenRequest;
use exposition::{TraceContext, trace_state};
use hot::{Head, HeadParse, Method, parse};

/// Bytes of a host or a path that go along.
const TEXT_BYTES: usize = 256;

/// A request, and the bytes of its head.
struct ReadHead<'a> {
    head: Head<'a>,
    bytes: &'a [u8],
}

/// The heads at the start of `input`, up to one that cannot be read.
fn heads(mut input: &[u8]) -> impl Iterator<Item = ReadHead<'_>> {
    std::iter::from_fn(move || {
        let HeadParse::Head(head, length) = parse(input) else { return None };
        let (bytes, rest) = input.split_at(length);
        input = rest;
        Some(ReadHead { head, bytes })
    })
}

/// The status of each answer in `out`: they were written here, and say how long they are.
fn statuses(mut out: &[u8], mut is_head: impl FnMut(usize) -> bool) -> impl Iterator<Item = u16> {
    let mut number = 0;
    std::iter::from_fn(move || {
        let end = out.windows(4).position(|end| end == b"\r\n\r\n")? + 4;
        let (head, rest) = out.split_at(end);
        let status = std::str::from_utf8(head.get(9..12)?).ok()?.parse().ok()?;
        let length = field(head, b"content-length").next();
        let length = length.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok()).unwrap_or(0);
        let body = if is_head(number) { 0 } else { length };
        number += 1;
        out = rest.get(body..).unwrap_or_default();
        Some(status)
    })
}

/// The request by which a turn is told: the first whose answer says that it was refused or that nobody could be asked, or else
/// the first. `last_alone`: see [`all`].
pub fn told_by(input: &[u8], out: &[u8], last_alone: bool) -> SeenRequest {
    let mut all = all(input, out, last_alone);
    let trouble =
        |one: &SeenRequest| matches!(one.status, 400 | 408 | 413 | 414 | 417 | 421 | 431 | 503 | 505);
    let at = all.iter().position(trouble).unwrap_or(0);
    if at < all.len() { all.swap_remove(at) } else { SeenRequest::default() }
}

/// Every answer in `out` with its request, and of one without an answer the request. `last_alone`: the last of the requests was
/// a miss, and its answer is the only one.
pub fn all(input: &[u8], out: &[u8], last_alone: bool) -> Vec<SeenRequest> {
    let mut heads: Vec<ReadHead<'_>> = heads(input).collect();
    if last_alone {
        heads.drain(..heads.len().saturating_sub(1));
    }
    let is_head = |at: usize| heads.get(at).is_some_and(|one| one.head.method == Method::Head);
    let statuses: Vec<u16> = statuses(out, is_head).collect();
    let seen = |at: usize| {
        let status = statuses.get(at).copied().unwrap_or(0);
        match heads.get(at) {
            Some(ReadHead { head, .. }) => SeenRequest {
                method: method(head.method),
                host: text(b"", head.host.unwrap_or_default()),
                path: text(b"/", head.path),
                status,
            },
            None => SeenRequest { status, ..SeenRequest::default() },
        }
    };
    (0..statuses.len().max(heads.len())).map(seen).collect()
}

/// For each request that says what trace it belongs to, what it says; `None`: it says what is none, or says it twice.
pub fn parents(input: &[u8]) -> impl Iterator<Item = Option<Parent>> {
    heads(input).filter(|one| one.head.traced).map(|one| {
        let mut said = field(one.bytes, b"traceparent");
        let context = said.next().and_then(TraceContext::parse).filter(|_| said.next().is_none())?;
        let states: Vec<&[u8]> = field(one.bytes, b"tracestate").collect();
        let state = trace_state(&states.join(&b","[..])).map(str::to_owned);
        Some(Parent { context, state })
    })
}

fn method(method: Method) -> &'static str {
    match method {
        Method::Get => "GET",
        Method::Head => "HEAD",
        Method::Options => "OPTIONS",
        Method::Send => "POST",
        Method::Other => "_OTHER", // as OpenTelemetry has it
    }
}

/// Bounded, and in UTF-8.
fn text(begin: &[u8], rest: &[u8]) -> String {
    let all = [begin, &rest[..rest.len().min(TEXT_BYTES)]].concat();
    String::from_utf8_lossy(&all).into_owned()
}

/// The values of a field, without the spaces around them.
fn field<'a>(head: &'a [u8], name: &'static [u8]) -> impl Iterator<Item = &'a [u8]> {
    head.split(|b| *b == b'\n').filter_map(move |line| {
        let (own, value) = line.split_at_checked(name.len())?;
        let value = value.strip_prefix(b":").filter(|_| own.eq_ignore_ascii_case(name))?;
        Some(value.trim_ascii())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn get(path: &str, fields: &str) -> String {
        format!("GET {path} HTTP/1.1\r\nHost: go.test\r\n{fields}\r\n")
    }

    fn answer(status: &str, body: &str) -> String {
        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    }

    fn told(input: &str, out: &str, last_alone: bool) -> (String, u16) {
        let seen = told_by(input.as_bytes(), out.as_bytes(), last_alone);
        (format!("{} {}{}", seen.method, seen.host, seen.path), seen.status)
    }

    #[test]
    fn a_turn_is_told_by_its_worst_request() {
        let three = [get("/a", ""), get("/b?secret", ""), get("/c", "")].concat();
        let (found, none, nobody) =
            (answer("302 Found", ""), answer("404 Not Found", "HTTP/1.1 503\r\n\r\n"), answer("503 Un", "x"));
        assert_eq!(told(&three, &[&*found, &none, &found].concat(), false), ("GET go.test/a".into(), 302));
        assert_eq!(told(&three, &[&*found, &none, &nobody].concat(), false), ("GET go.test/c".into(), 503));
        assert_eq!(told(&three, &[&*found, &nobody, &none].concat(), false), ("GET go.test/b".into(), 503));
        assert_eq!(told(&three, &none, true), ("GET go.test/c".into(), 404));
    }

    #[test]
    fn an_answer_to_head_has_no_body() {
        let input = get("/a", "").replace("GET", "HEAD") + &get("/b", "");
        let out = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n".to_owned() + &answer("503 Un", "x");
        assert_eq!(told(&input, &out, false), ("GET go.test/b".into(), 503));
    }

    #[test]
    fn what_cannot_be_read_is_told_by_its_answer_alone() {
        assert_eq!(told("\0\0\0", &answer("400 Bad Request", ""), false), (" ".into(), 400));
        let input = get("/a", "") + "GET\r\n\r\n";
        let out = answer("302 Found", "") + &answer("400 Bad Request", "");
        assert_eq!(told(&input, &out, false).1, 400);
        assert_eq!(told("", "", false).1, 0);
        let long = "x".repeat(4_000);
        let seen = told_by(get(&format!("/{long}"), "").as_bytes(), b"", false);
        assert_eq!(seen.path.len(), 1 + TEXT_BYTES);
    }

    #[test]
    fn what_a_request_says_of_its_trace() {
        let of = |fields: &str| -> Vec<Option<(bool, Option<String>)>> {
            let said = parents(get("/a", fields).as_bytes()).collect::<Vec<_>>();
            said.into_iter().map(|said| said.map(|parent| (parent.context.sampled, parent.state))).collect()
        };
        assert_eq!(of(""), []);
        assert_eq!(of(&format!("Traceparent: {PARENT}\r\n")), [Some((true, None))]);
        let state = format!("tracestate: a=1\r\ntraceparent:{PARENT}\r\nTraceState: b=2\r\n");
        assert_eq!(of(&state), [Some((true, Some("a=1,b=2".into())))]);
        assert_eq!(of("traceparent: 00-x\r\n"), [None]);
        assert_eq!(of(&format!("traceparent: {PARENT}\r\ntraceparent: {PARENT}\r\n")), [None], "twice");
        let state = format!("traceparent: {PARENT}\r\ntracestate: a=\u{e9}\r\n");
        assert_eq!(of(&state), [Some((true, None))], "the trace goes on without it");
    }
}
