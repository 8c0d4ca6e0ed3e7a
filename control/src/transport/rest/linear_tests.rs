//! Everything that reads what a caller wrote takes time in proportion to it (CWE-407).

use super::*;
use prost_reflect::DynamicMessage;
use prost_types::FieldMask;
use proto::json::read::Tree;
use proto::v1;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Makes so many bytes of input, and reads them.
struct LinearCase {
    name: &'static str,
    input: fn(usize) -> Vec<u8>,
    read: fn(&[u8]),
}

/// What a call makes of a body.
fn read(call: &str, body: &[u8]) {
    let route = routes::all().iter().find(|route| route.call.name == call).unwrap();
    let _ = black_box(request::members(route, body).map(|members| taken(route, members)));
}

/// The same as if nothing had been held against the bounds before.
fn read_alone(call: &str, body: &[u8]) {
    let route = routes::all().iter().find(|route| route.call.name == call).unwrap();
    let _ = black_box(proto::json::read::members(body).map(|members| taken(route, members)));
}

fn taken(route: &'static Route, members: Vec<(String, Tree)>) -> bool {
    let message = DynamicMessage::new(route.input.message.clone());
    black_box(request::with_body(route, message, members, Some("domains/-"))).is_ok()
}

const READERS: &[LinearCase] = &[
    LinearCase { name: "members", input: members, read: |body| read("CreateLink", body) },
    LinearCase {
        name: "members alone",
        input: members,
        read: |body| drop(black_box(proto::json::read::members(body))),
    },
    LinearCase { name: "requests", input: requests, read: |body| read("BatchCreateLinks", body) },
    LinearCase { name: "requests alone", input: requests, read: |body| read_alone("BatchUpdateLinks", body) },
    LinearCase { name: "deletions", input: requests, read: |body| read("BatchDeleteLinks", body) },
    LinearCase { name: "tags alone", input: tags, read: |body| read_alone("CreateLink", body) },
    LinearCase { name: "escapes", input: escapes, read: |body| read("CreateLink", body) },
    LinearCase { name: "digits", input: |bytes| vec![b'7'; bytes], read: |body| read("CreateLink", body) },
    LinearCase { name: "open", input: |bytes| vec![b'['; bytes], read: |body| read("CreateLink", body) },
    LinearCase {
        name: "etags",
        input: |bytes| b"\"a\",".repeat(bytes / 4),
        read: |text| {
            black_box(request::entity_tags(std::str::from_utf8(text).unwrap_or_default()));
        },
    },
    LinearCase {
        name: "spaces",
        input: |bytes| b" ".repeat(bytes),
        read: |text| {
            black_box(request::entity_tags(std::str::from_utf8(text).unwrap_or_default()));
        },
    },
    LinearCase {
        name: "message",
        input: paths,
        read: |bytes| {
            let _ = black_box(proto::bounds::check::<v1::UpdateLinkRequest>(bytes));
        },
    },
    LinearCase {
        name: "rows",
        input: |bytes| b"\x1a\x02\x70\x00".repeat(bytes / 4),
        read: |bytes| {
            let _ = black_box(proto::bounds::check::<v1::ImportLinksRequest>(bytes));
        },
    },
    LinearCase {
        name: "unknown fields",
        input: |bytes| b"\xfa\x3f\x00".repeat(bytes / 3),
        read: |bytes| {
            let _ = black_box(proto::bounds::check::<v1::ImportLinksRequest>(bytes));
        },
    },
    LinearCase {
        name: "words of a fault",
        input: |bytes| vec![0x1b; bytes],
        read: |text| {
            let text = std::str::from_utf8(text).unwrap_or_default();
            black_box(Fault::invalid("body", text).told());
        },
    },
];

fn members(bytes: usize) -> Vec<u8> {
    let all = (0..bytes / 10).map(|at| format!("\"{at:06}\":0")).collect::<Vec<_>>();
    format!("{{{}}}", all.join(",")).into_bytes()
}

fn requests(bytes: usize) -> Vec<u8> {
    let one = "{\"link\":{}}";
    format!("{{\"requests\":[{}]}}", vec![one; bytes / (one.len() + 1)].join(",")).into_bytes()
}

fn tags(bytes: usize) -> Vec<u8> {
    format!("{{\"tags\":[{}]}}", vec!["\"\""; bytes / 3].join(",")).into_bytes()
}

fn escapes(bytes: usize) -> Vec<u8> {
    format!("{{\"note\":\"{}\"}}", "\\u202e".repeat(bytes / 6)).into_bytes()
}

fn paths(bytes: usize) -> Vec<u8> {
    use prost::Message;
    let mask = FieldMask { paths: vec!["target".into(); bytes / 8] };
    v1::UpdateLinkRequest { update_mask: Some(mask), ..Default::default() }.encode_to_vec()
}

fn least(reader: &LinearCase, bytes: usize) -> Duration {
    let input = (reader.input)(bytes);
    let once = || {
        let began = Instant::now();
        (reader.read)(&input);
        began.elapsed()
    };
    (0..5).map(|_| once()).min().unwrap_or_default()
}

#[test]
fn twice_the_input_takes_twice_the_time() {
    const BYTES: usize = 256 * 1024;
    for reader in READERS {
        let took = [1, 2, 4].map(|times| least(reader, BYTES * times));
        // Below a fifth of a millisecond for a megabyte nothing is to be seen, and nothing to be mended.
        let steep = took[1] > took[0] * 3 && took[2] > took[1] * 3;
        assert!(!steep || took[2] < Duration::from_micros(200), "{}: {took:?}", reader.name);
        assert!(took[2] < Duration::from_secs(1), "{}: {took:?}", reader.name);
        println!("{:<18} {took:?}", reader.name);
    }
}

/// What a page and a batch of 1,000 links take: the walk over descriptors is no slower than a small factor of code that is
/// written by hand.
#[test]
fn a_thousand_links() {
    use prost::Message;
    let link = v1::Link {
        name: "domains/-/links/abcdefg".into(),
        code: "abcdefg".into(),
        domain: "-".into(),
        target: "https://a.example/some/path/that/is/usual?x=1&y=2".into(),
        status: 302,
        query: 1,
        title: "A title of some words".into(),
        tags: vec!["one".into(), "two".into()],
        create_time: Some(prost_types::Timestamp { seconds: 1_700_000_000, nanos: 123_000_000 }),
        update_time: Some(prost_types::Timestamp { seconds: 1_700_000_000, nanos: 123_000_000 }),
        revision: "1-0a0b0c0d-12345".into(),
        etag: "\"12345\"".into(),
        ..Default::default()
    };
    let item = serde_json::json!({"link": {
        "code": link.code, "target": link.target, "title": link.title, "tags": link.tags,
        "expire_time": "2030-01-01T00:00:00Z", "query": "append",
    }});
    let body = serde_json::json!({ "requests": vec![item; 1_000] }).to_string();
    let page =
        v1::ListLinksResponse { links: vec![link; 1_000], next_page_token: "x".into() }.encode_to_vec();
    let shape = shape("linkr.v1.ListLinksResponse").unwrap();
    let best = |work: &dyn Fn()| {
        let once = || {
            let began = Instant::now();
            work();
            began.elapsed()
        };
        (0..5).map(|_| once()).min().unwrap_or_default()
    };
    let written = best(&|| drop(black_box(said(shape, &page, false))));
    let read = best(&|| read("BatchCreateLinks", body.as_bytes()));
    println!("1,000 links: {written:?} to write, {read:?} to read");
    assert!(written + read < Duration::from_secs(1), "{written:?} {read:?}");
}
