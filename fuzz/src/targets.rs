//! One module for each: `run` takes bytes, `seeds` gives real ones to begin with.

pub mod clicks;
pub mod head;
mod heads;
pub mod record;
pub mod redis;
pub mod snapshot;

use link::{LinkRef, Resolution, VisitorRequest, redirect};

/// What nobody may be redirected to, whatever a record says.
const NEVER: [&str; 5] = ["javascript:", "data:", "vbscript:", "file:", "blob:"];

/// A link that came through a check leads, at any time and with any query, to a `Location` that may be sent.
fn leads_somewhere_safe(link: &LinkRef<'_>) {
    for now in [i64::MIN, 0, 1_700_000_000_000, i64::MAX] {
        for query in [None, Some(&b""[..]), Some(b"a=b&x#?"), Some(b"\xc3\xbc=\xff&&")] {
            let Resolution::To(to) = redirect(link, VisitorRequest { query }, now) else { continue };
            let mut location = Vec::new();
            to.write_location(&mut location);
            assert!(location.iter().all(|byte| (0x21..=0x7e).contains(byte)), "{}", location.escape_ascii());
            assert!(location.len() <= link::MAX_TARGET + 64 && to.max_age <= link::Link::MAX_AGE);
            let text = String::from_utf8_lossy(&location).to_lowercase();
            assert!(text.contains(':') && NEVER.iter().all(|scheme| !text.starts_with(scheme)), "{text}");
        }
    }
}

/// Whole responses and nothing else, as a stranger reads them: how many.
fn responses(mut bytes: &[u8]) -> usize {
    let mut count = 0;
    while !bytes.is_empty() {
        let mut fields = [httparse::EMPTY_HEADER; 32];
        let mut response = httparse::Response::new(&mut fields);
        let head = match response.parse(bytes) {
            Ok(httparse::Status::Complete(head)) => head,
            other => panic!("no whole response: {other:?} {}", bytes.escape_ascii()),
        };
        let named = |name: &str| {
            let mut own = response.headers.iter().filter(|field| field.name.eq_ignore_ascii_case(name));
            let first = own.next().map(|field| String::from_utf8_lossy(field.value).into_owned());
            assert!(own.next().is_none(), "{name} twice");
            first
        };
        named("location");
        let length: usize = named("content-length").map_or(0, |length| length.parse().unwrap());
        bytes = &bytes[head..];
        // The answer to a HEAD says a length and has no body.
        if !bytes.is_empty() && !bytes.starts_with(b"HTTP/1.1 ") {
            bytes = &bytes[length..];
        }
        count += 1;
    }
    count
}

/// The same bytes, cut into pieces of these sizes, over and over.
fn pieces<'a>(mut data: &'a [u8], sizes: &[usize]) -> Vec<&'a [u8]> {
    let cut = |size: &usize| {
        let (piece, rest) = data.split_at(data.len().min(*size));
        data = rest;
        Some(piece).filter(|piece| !piece.is_empty())
    };
    sizes.iter().cycle().map_while(cut).collect()
}
