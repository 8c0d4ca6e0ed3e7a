//! Everything that reads what a caller wrote takes time in proportion to it (CWE-407).

use super::*;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Makes so many bytes of input, and reads them.
struct Reader {
    name: &'static str,
    input: fn(usize) -> Vec<u8>,
    read: fn(&[u8]),
}

fn read<T>(read: fn(&[u8]) -> Result<T, Fault>, body: &[u8]) {
    let _ = black_box(bounded::check(body).and_then(|()| read(body)));
}

/// `json` alone, as if nothing had been held against the bounds before.
const READERS: &[Reader] = &[
    Reader { name: "members", input: members, read: |body| read(json::parse, body) },
    Reader { name: "members alone", input: members, read: |body| drop(black_box(json::members(body))) },
    Reader { name: "requests", input: requests, read: |body| read(json::links, body) },
    Reader { name: "requests alone", input: requests, read: |body| drop(black_box(json::links(body))) },
    Reader { name: "deletions", input: requests, read: |body| read(json::deletions, body) },
    Reader { name: "tags alone", input: tags, read: |body| drop(black_box(json::parse(body))) },
    Reader { name: "escapes", input: escapes, read: |body| read(json::parse, body) },
    Reader { name: "digits", input: |bytes| vec![b'7'; bytes], read: |body| read(json::parse, body) },
    Reader { name: "open", input: |bytes| vec![b'['; bytes], read: |body| read(json::parse, body) },
    Reader {
        name: "etags",
        input: |bytes| b"\"a\",".repeat(bytes / 4),
        read: |text| {
            black_box(entity_tags(std::str::from_utf8(text).unwrap_or_default()));
        },
    },
    Reader {
        name: "spaces",
        input: |bytes| b" ".repeat(bytes),
        read: |text| {
            black_box(entity_tags(std::str::from_utf8(text).unwrap_or_default()));
        },
    },
    Reader {
        name: "message",
        input: paths,
        read: |bytes| {
            let _ = black_box(proto::bounds::check::<v1::UpdateLinkRequest>(bytes));
        },
    },
    Reader {
        name: "rows",
        input: |bytes| b"\x1a\x02\x70\x00".repeat(bytes / 4),
        read: |bytes| {
            let _ = black_box(proto::bounds::check::<v1::ImportLinksRequest>(bytes));
        },
    },
    Reader {
        name: "unknown fields",
        input: |bytes| b"\xfa\x3f\x00".repeat(bytes / 3),
        read: |bytes| {
            let _ = black_box(proto::bounds::check::<v1::ImportLinksRequest>(bytes));
        },
    },
    Reader {
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

fn least(reader: &Reader, bytes: usize) -> Duration {
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
