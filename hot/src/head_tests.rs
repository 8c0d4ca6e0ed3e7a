//! Cases of the request head: one line each, and the property that only the bytes count.

use super::*;
use crate::limits::MAX_REQUEST_TARGET_BYTES;
use proptest::prelude::*;

fn head(bytes: &[u8]) -> Result<Head<'_>, Option<Refusal>> {
    assert_eq!(parse(bytes), by_words(bytes, NoNotes), "whatever this machine has");
    match parse(bytes) {
        HeadParse::Head(head, length) => {
            assert_eq!(length, bytes.len(), "takes the whole head");
            Ok(head)
        }
        HeadParse::Refused(refusal) => Err(Some(refusal)),
        HeadParse::Incomplete => Err(None),
    }
}

fn refused(text: &str, want: Refusal) {
    assert_eq!(head(text.as_bytes()), Err(Some(want)), "{text:?}");
}

fn get(line: &str, fields: &str) -> String {
    format!("{line}\r\nHost: go.test\r\n{fields}\r\n")
}

#[test]
fn a_plain_request() {
    let text = "GET /abc/d?x=1&y HTTP/1.1\r\nHost: go.test\r\nAccept:\t*/* \r\nX-Request-Id: a.b-c_1\r\n\r\n";
    assert_eq!(
        head(text.as_bytes()),
        Ok(Head {
            method: Method::Get,
            host: Some(b"go.test"),
            path: b"abc/d",
            code: true,
            query: Some(b"x=1&y"),
            close: false,
            request_id: Some(b"a.b-c_1"),
            min_revision: None,
            debug: false,
            traced: false,
            plain: false,
        })
    );
}

#[test]
fn a_head_is_plain_if_it_asks_for_nothing_more() {
    let plain = |line: &str, fields: &str| head(get(line, fields).as_bytes()).unwrap().plain;
    assert!(plain("GET /a HTTP/1.1", "Connection: keep-alive\r\nX-Request-Id: \"\r\n"));
    assert!(plain("HEAD /a/b?c HTTP/1.1", "X-Linkr-Debug: 0\r\n"));
    assert!(!plain("GET /a HTTP/1.0", ""));
    for field in ["Connection: close", "X-Request-Id: a", "X-Linkr-Min-Revision:", "X-Linkr-Debug: 1"] {
        assert!(!plain("GET /a HTTP/1.1", &format!("{field}\r\n")), "{field}");
    }
}

/// Found by attack: of two revisions one was forgotten, and the answer could be older than its reader had seen.
#[test]
fn two_least_revisions_are_refused() {
    let with = |fields: &str| get("GET /a HTTP/1.1", fields);
    let one = "X-Linkr-Min-Revision: 1-00000007-5\r\n";
    assert_eq!(head(with(one).as_bytes()).unwrap().min_revision, Some(&b"1-00000007-5"[..]));
    for again in [one, "x-linkr-min-revision:\r\n", "X-LINKR-MIN-REVISION: 1-00000007-9\r\n"] {
        refused(&with(&format!("{one}A: b\r\n{again}")), Refusal::BadRequest);
        refused(&with(&format!("{again}{one}")), Refusal::BadRequest);
    }
}

#[test]
fn one_empty_line_in_front_is_passed_over_and_two_are_not() {
    assert!(head(b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n").is_ok());
    refused("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Refusal::BadRequest);
}

#[test]
fn who_closes() {
    let closes = |text: &str| head(text.as_bytes()).unwrap().close;
    assert!(!closes(&get("GET / HTTP/1.1", "")));
    assert!(closes(&get("GET / HTTP/1.0", "")));
    assert!(closes(&get("GET / HTTP/1.0", "Connection: keep-alive\r\n")));
    assert!(closes("GET / HTTP/1.0\r\n\r\n"));
    assert!(closes(&get("GET / HTTP/1.1", "connection: upgrade ,\tCLOSE\r\n")));
    assert!(!closes(&get("GET / HTTP/1.1", "connection: closed, keep-alive\r\n")));
}

#[test]
fn targets() {
    let path = |line: &str| {
        head(get(line, "").as_bytes()).map(|head| (head.path.to_vec(), head.query.map(<[u8]>::to_vec)))
    };
    let ok = |path: &str, query: Option<&str>| {
        Ok((path.as_bytes().to_vec(), query.map(|q| q.as_bytes().to_vec())))
    };
    assert_eq!(path("GET / HTTP/1.1"), ok("", None));
    assert_eq!(path("HEAD /? HTTP/1.1"), ok("", Some("")));
    assert_eq!(path("GET /a?b?c HTTP/1.1"), ok("a", Some("b?c")));
    assert_eq!(path("GET //a HTTP/1.1"), ok("/a", None));
    assert_eq!(path("GET /%61 HTTP/1.1"), ok("%61", None));
    assert_eq!(path("GET /é HTTP/1.1"), ok("é", None), "no code, but not refused");
    assert_eq!(path("GET /a?%zz HTTP/1.1"), ok("a", Some("%zz")), "a query is the target's business");
    assert_eq!(path("GET http://GO.test/a?b HTTP/1.1"), ok("a", Some("b")));
    assert_eq!(path("GET http://go.test:80 HTTP/1.1"), ok("", None));
    assert_eq!(path("GET http://go.test?q HTTP/1.1"), ok("", Some("q")));
    assert_eq!(path("GET https://go.test:443/ HTTP/1.1"), ok("", None));
    assert_eq!(path("OPTIONS * HTTP/1.1"), ok("", None));
    for bad in [
        "GET * HTTP/1.1",
        "GET a HTTP/1.1",
        "GET /a% HTTP/1.1",
        "GET /a%1 HTTP/1.1",
        "GET /a%1g HTTP/1.1",
        "GET http:///a HTTP/1.1",
        "GET ftp://go.test/ HTTP/1.1",
        "GET http:/go.test HTTP/1.1",
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        "GET / / HTTP/1.1",
        "GET\t/ HTTP/1.1",
        "GET / HTTP/1.1 ",
        " GET / HTTP/1.1",
        "GET /",
        "GET",
        "G@T / HTTP/1.1",
        "GET / http/1.1",
        "GET / HTTP/1.10",
        "GET / HTTP/11",
        "GET / ICE/1.0",
        "CONNECT / HTTP/1.1",
        "POST x HTTP/1.1",
        "PRI * HTTP/2.0",
    ] {
        assert_eq!(path(bad), Err(Some(Refusal::BadRequest)), "{bad}");
    }
    refused(&get("GET / HTTP/2.0", ""), Refusal::Version);
    refused(&get("GET / HTTP/0.9", ""), Refusal::Version);
    for line in
        ["GET /a#b HTTP/1.1", "GET /a?b#c HTTP/1.1", "GET /# HTTP/1.1", "GET http://go.test#a HTTP/1.1"]
    {
        refused(&get(line, ""), Refusal::BadRequest);
    }
    assert_eq!(path("GET /a HTTP/1.2"), ok("a", None));
    refused(&get("GET http://other.test/ HTTP/1.1", ""), Refusal::Misdirected);
    refused(&get("GET http://go.test:8080/ HTTP/1.1", ""), Refusal::Misdirected);
    refused(&get("GET http://u@go.test/ HTTP/1.1", ""), Refusal::Misdirected);
}

#[test]
fn other_methods_keep_their_forms() {
    for line in ["PATCH / HTTP/1.1", "CONNECT go.test:443 HTTP/1.1", "PRI * HTTP/1.1", "M-SEARCH * HTTP/1.0"]
    {
        assert_eq!(head(get(line, "").as_bytes()).unwrap().method, Method::Other, "{line}");
    }
}

#[test]
fn higher_minor_versions_are_served_as_1_1() {
    for minor in 2..=9 {
        let text = get(&format!("GET /a HTTP/1.{minor}"), "");
        let head = head(text.as_bytes()).unwrap();
        assert!(head.code && !head.close && head.plain, "{text}");
        refused(&format!("GET /a HTTP/1.{minor}\r\n\r\n"), Refusal::BadRequest);
    }
}

#[test]
fn what_is_sent_along_is_not_read_and_nothing_comes_behind_it() {
    for line in ["POST /a HTTP/1.1", "PUT /a?b HTTP/1.1", "PUT http://go.test/a HTTP/1.1"] {
        let kept = get(line, "Content-Length: 0\r\n");
        let kept = head(kept.as_bytes()).unwrap();
        assert_eq!((kept.method, kept.path, kept.code), (Method::Send, &b"a"[..], true), "{line}");
        assert!(!kept.close && !kept.plain, "{line}");
    }
    for line in ["POST /a HTTP/1.1", "PUT /a HTTP/1.1", "DELETE /a HTTP/1.1", "CONNECT a:1 HTTP/1.1"] {
        for fields in ["Content-Length: 1\r\n", "transfer-encoding: Chunked\r\n", "Expect: 100-continue\r\n"]
        {
            assert!(head(get(line, fields).as_bytes()).unwrap().close, "{line} {fields}");
        }
        for fields in [
            "Content_Length: 0\r\n",
            "Transfer_Encoding: chunked\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding: identity\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
        ] {
            refused(&get(line, fields), Refusal::BadRequest);
        }
        let old = get(line, "Transfer-Encoding: chunked\r\n").replace("HTTP/1.1", "HTTP/1.0");
        refused(&old, Refusal::BadRequest);
    }
    refused(&get("POST * HTTP/1.1", ""), Refusal::BadRequest);
}

#[test]
fn hosts() {
    refused("GET / HTTP/1.1\r\n\r\n", Refusal::BadRequest);
    refused("GET / HTTP/1.1\r\nHost:\r\n\r\n", Refusal::BadRequest);
    refused("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", Refusal::BadRequest);
    refused("GET / HTTP/1.0\r\nHost: a\r\nhost: a\r\n\r\n", Refusal::BadRequest);
    refused("GET / HTTP/1.0\r\nHost: a b\r\n\r\n", Refusal::BadRequest);
}

#[test]
fn whatever_announces_content_is_refused() {
    for fields in [
        "Content_Length: 0\r\n",
        "transfer_encoding: x\r\n",
        "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 1\r\n",
        "content-length:\t007 \r\n",
        "Transfer-Encoding: chunked\r\n",
        "TRANSFER-ENCODING: x\r\n",
    ] {
        for line in ["GET / HTTP/1.1", "HEAD / HTTP/1.1", "OPTIONS * HTTP/1.1"] {
            refused(&get(line, fields), Refusal::ContentTooLarge);
        }
    }
    assert!(head(get("POST / HTTP/1.1", "Content-Length: 0\r\n").as_bytes()).is_ok());
    refused(&get("GET / HTTP/1.1", "Expect: 100-continue\r\n"), Refusal::ExpectationFailed);
}

#[test]
fn framing_that_could_be_read_in_two_ways() {
    for fields in [
        "Content-Length: 0\r\nContent-Length: 0\r\n",
        "Content-Length:\r\n",
        "Content-Length: +1\r\n",
        "Content-Length: 1, 1\r\n",
        "Content-Length: 0x1\r\n",
        "Content-Length: 1000000000000000000000\r\n",
        "Content-Length : 0\r\n",
        "Transfer-Encoding : chunked\r\n",
        " Transfer-Encoding: chunked\r\n",
        "X: y\r\n Transfer-Encoding: chunked\r\n",
        "X: y\r\n\tz\r\n",
        "X: y\nTransfer-Encoding: chunked\r\n",
        "X: y\rTransfer-Encoding: chunked\r\n",
        "X: y\0\r\n",
        "X: y\x7f\r\n",
        "X: y\x0b\r\n",
        "X\r\n",
        ": y\r\n",
        "X@: y\r\n",
        "é: y\r\n",
    ] {
        refused(&get("GET / HTTP/1.1", fields), Refusal::BadRequest);
    }
    assert!(head("GET / HTTP/1.1\r\nHost: a\r\nX: caf\u{e9} \t\"\r\n\r\n".as_bytes()).is_ok());
    refused("GET / HTTP/1.1\nHost: a\n\n", Refusal::BadRequest);
    refused("GET / HTTP/1.1\r\nHost: a\r\n\rX", Refusal::BadRequest);
}

#[test]
fn limits() {
    let with_target = |length: usize| get(&format!("GET /{} HTTP/1.1", "a".repeat(length - 1)), "");
    assert!(head(with_target(MAX_REQUEST_TARGET_BYTES).as_bytes()).is_ok());
    refused(&with_target(MAX_REQUEST_TARGET_BYTES + 1), Refusal::UriTooLong);
    refused(&format!("GET /{}", "a".repeat(MAX_HEAD_BYTES)), Refusal::UriTooLong);
    refused(&get("GET / HTTP/1.1", &"X: y\r\n".repeat(MAX_FIELDS)), Refusal::HeadTooLarge);
    assert!(head(get("GET / HTTP/1.1", &"X: y\r\n".repeat(MAX_FIELDS - 1)).as_bytes()).is_ok());
    let fill = |length: usize| {
        let empty = get("GET / HTTP/1.1", "X: \r\n").len();
        get("GET / HTTP/1.1", &format!("X: {}\r\n", "y".repeat(length - empty)))
    };
    assert!(head(fill(MAX_HEAD_BYTES).as_bytes()).is_ok());
    refused(&fill(MAX_HEAD_BYTES + 1), Refusal::HeadTooLarge);
}

#[test]
fn a_browser_head() {
    let head = head(include_bytes!("../testdata/browser-head.http")).unwrap();
    assert_eq!((head.path, head.close), (&b"promo/2026"[..], false));
}

#[test]
fn a_plain_host_is_a_host() {
    #[cfg(target_arch = "x86_64")]
    let Some(vectors) = crate::unchecked::Vectors::of_this_machine() else {
        return println!("SKIPPED: this machine has no AVX2");
    };
    #[cfg(not(target_arch = "x86_64"))]
    let vectors = Words;
    let bytes = b"a9-_.:[@";
    let mut plain = 0;
    for number in 0..bytes.len().pow(6) {
        let mut run = [b' '; RUN];
        (0..6).for_each(|at| run[at] = bytes[number >> (3 * at) & 7]);
        for end in 0..=6 {
            let host = &run[..end];
            let length =
                plain_host(&std::array::from_fn(|at| if at < end { run[at] } else { b'\r' }), vectors);
            assert!(length != Some(end) || is_host(host), "{}", host.escape_ascii());
            plain += u32::from(length == Some(end));
        }
    }
    assert!(plain > 10_000 || cfg!(not(target_arch = "x86_64")));
}

/// Pieces of heads, good and bad, to put together at random.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => Just(&b"GET /abc HTTP/1.1\r\n"[..]),
        4 => Just(&b"Host: a\r\n"[..]),
        4 => Just(&b"\r\n"[..]),
        1 => Just(&b"Content-Length: 5\r\n"[..]),
        1 => Just(&b"Transfer-Encoding: chunked\r\n"[..]),
        1 => Just(&b"\n"[..]),
        1 => Just(&b"\r"[..]),
        1 => Just(&b"\0"[..]),
        1 => Just(&b" "[..]),
        1 => Just(&b":"[..]),
        1 => Just(&b"HEAD http://a/x?y HTTP/1.0\r\n"[..]),
        1 => Just(&[b'a'; 9000][..]),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    /// What is decided on a prefix stays decided the same way however much follows.
    #[test]
    fn only_the_bytes_count_not_how_they_arrive(bytes in pieces()) {
        let whole = parse(&bytes);
        prop_assert_eq!(&by_words(&bytes, NoNotes), &whole, "whatever this machine has");
        let decided = (0..=bytes.len()).find(|&end| parse(&bytes[..end]) != HeadParse::Incomplete);
        match decided {
            None => prop_assert_eq!(whole, HeadParse::Incomplete),
            Some(end) => {
                prop_assert_eq!(&parse(&bytes[..end]), &whole);
                if let HeadParse::Head(_, length) = whole {
                    prop_assert_eq!(length, end, "a head is decided at its last byte");
                }
            }
        }
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&bytes);
        let mut head = b"GET / HTTP/1.1\r\nHost: a\r\n".to_vec();
        head.extend_from_slice(&bytes);
        let _ = parse(&head);
    }
}
