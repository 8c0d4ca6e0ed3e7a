//! Request heads: parsed as a stranger parses them, the same however they are cut, and answered in whole responses.

use super::heads::HeadOutcome;
use super::{leads_somewhere_safe, pieces, responses};
use hot::{
    AnswerContext, Conversation, Counts, DomainEntry, Domains, HeadParse, MissAnswer, Policy, ReadableRules,
    Set, Stamp, Step, StoredValue, View, finish, parse,
};
use link::{
    Class, DomainId, DomainRules, Endings, Epoch, Link, LinkParts, LinkTerms, Position, QueryPolicy, Target,
};
use std::sync::{Arc, OnceLock};

/// Of longer data not every prefix is looked at: that would be quadratic.
const SHORT: usize = 600;

pub fn run(data: &[u8]) {
    let whole = parse(data);
    assert_eq!(HeadOutcome::of(&whole), HeadOutcome::expected(data), "{}", data.escape_ascii());
    let step = 1 + data.len() / SHORT;
    for end in (0..data.len()).step_by(step) {
        match parse(&data[..end]) {
            HeadParse::Incomplete => {}
            early => assert_eq!(early, whole, "decided at {end}, and otherwise later"),
        }
    }
    let (answers, closed) = converse([data]);
    responses(&answers);
    assert_eq!(converse(data.chunks(step)), (answers.clone(), closed), "in pieces of {step}");
    let sizes: Vec<usize> = data.iter().take(64).map(|&byte| 1 + usize::from(byte) * step).collect();
    assert_eq!(converse(pieces(data, &sizes)), (answers, closed), "in pieces of {sizes:?}");
}

/// What a connection that sends these pieces is answered, and whether it is closed then.
fn converse<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<u8>, bool) {
    static STAMP: OnceLock<Stamp> = OnceLock::new();
    let stamp = STAMP.get_or_init(|| Stamp::new("Sun, 22 Nov 2026 13:06:42 GMT"));
    let (mut conversation, mut counts) = (Conversation::default(), Counts::default());
    let mut domains = View::new(Arc::clone(domains()));
    let (mut buffer, mut out) = (Vec::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            let mut turn = AnswerContext {
                set: set(),
                now: 0,
                boot_ms: NOW,
                domains: &mut domains,
                policy: Policy::default(),
                debug: true,
                stamp,
                counts: &mut counts,
                clicks: None,
            };
            let (taken, step) = hot::answer(&mut conversation, &buffer, &mut out, &mut turn);
            assert!(taken <= buffer.len());
            buffer.drain(..taken);
            let step = match step {
                Step::Miss(miss) => finish(&miss, MissAnswer::Nobody, &mut out, &mut turn),
                step => step,
            };
            match step {
                Step::Close { .. } => return (out, true),
                Step::Wait if taken == 0 || buffer.is_empty() => break,
                _ => {}
            }
        }
        assert!(
            buffer.len() < hot::limits::MAX_HEAD_BYTES + piece.len() + 2,
            "what is not decided is bounded"
        );
    }
    (out, false)
}

const NOW: u64 = 1_000_000;

/// The default domain with all that it can say of an answer; its case is not folded.
fn domains() -> &'static Arc<Domains> {
    static DOMAINS: OnceLock<Arc<Domains>> = OnceLock::new();
    DOMAINS.get_or_init(|| {
        let target = |text: &str| Some(Target::stored(text.as_bytes()).unwrap());
        let rules = DomainRules {
            root_target: target("https://root.example/?{query}"),
            not_found: target("https://lost.example/{path}?from={path}&{query}#{path}"),
            expired_target: target("https://late.example/{path}"),
            endings: Endings { trailing_slash: true, punctuation: true },
            robots: Some("User-agent: *\n".into()),
            ..DomainRules::default()
        };
        let (told, record) = (ReadableRules::All(rules), Arc::default());
        let domains = Domains::default();
        domains.apply(DomainEntry { id: DomainId::DEFAULT, as_of: 1, version: 1, told, record });
        Arc::new(domains)
    })
}

/// A link of each kind.
fn set() -> &'static Set {
    static SET: OnceLock<Set> = OnceLock::new();
    SET.get_or_init(|| {
        let set = Set::new(1 << 20);
        set.reset(Position { epoch: Epoch { counter: 1, random: 7 }, seq: 0, tag: 0 });
        let link = |target: &str, query, class| {
            let target = Target::stored(target.as_bytes()).unwrap();
            let link =
                Link::new(LinkParts::on(LinkTerms { query, class, ..LinkTerms::default() }, target)).unwrap();
            leads_somewhere_safe(&link.as_ref());
            StoredValue::live(link)
        };
        let target = Target::stored(b"https://a.example/").unwrap();
        let late =
            Link::new(LinkParts::on(LinkTerms { expire: Some(-1), ..LinkTerms::default() }, target)).unwrap();
        let links = [
            ("abc", link("https://a.example/", QueryPolicy::Drop, Class::Inherit)),
            ("q/a", link("https://a.example/?x=1#f", QueryPolicy::Append, Class::Inherit)),
            ("q/o", link("https://a.example/?x=1&y=2#f", QueryPolicy::Override, Class::Normal)),
            ("strict", link("https://s.example/", QueryPolicy::Drop, Class::Strict)),
            ("gone", StoredValue::Deleted),
            ("broken", StoredValue::Quarantined),
            ("late", StoredValue::live(late)),
        ];
        for (seq, (code, stored)) in links.into_iter().enumerate() {
            set.apply(&[b"\0\0\0\0", code.as_bytes()].concat(), seq as u64 + 1, Some(&stored));
        }
        set.freshen(NOW);
        set.set_complete();
        set
    })
}

/// Real requests and tricks: a browser's, ours, and the public corpus where it is.
pub fn seeds() -> Vec<Vec<u8>> {
    let get = |line: &str, fields: &str| format!("{line}\r\nHost: go.test\r\n{fields}\r\n").into_bytes();
    let mut seeds = vec![
        include_bytes!("../../../hot/testdata/browser-head.http").to_vec(),
        get("GET /abc HTTP/1.1", ""),
        get("HEAD /q/a?y=2 HTTP/1.1", "X-Request-Id: a.b-c_1\r\nConnection: close\r\n"),
        get("GET http://go.test:80/q/o?x HTTP/1.1", "X-Linkr-Debug: 1\r\nX-Linkr-Min-Revision: 1-7-9\r\n"),
        get("OPTIONS * HTTP/1.1", "Content-Length: 0\r\n"),
        get("GET /abc/).?x HTTP/1.1", ""),
        get("GET /late%E2%80%9D HTTP/1.1", ""),
        get("GET /a&b%20;?y=\u{e9} HTTP/1.1", ""),
        get("GET /robots.txt HTTP/1.1", ""),
        get("POST /gone HTTP/1.1", "Content-Length: 5\r\n"),
        get("GET /strict HTTP/1.1", "Transfer-Encoding: chunked\r\n"),
        get("CONNECT go.test:443 HTTP/1.1", "Transfer_Encoding: x\r\n"),
        get("GET /broken HTTP/1.0", "Expect: 100-continue\r\n"),
        b"\r\nGET /%41 HTTP/1.1\r\nHost: [::1]:80\r\n\r\n".to_vec(),
        b"GET https://A.example./?q HTTP/1.0\r\n\r\n".to_vec(),
        get("GET /abc HTTP/1.1", "").repeat(20),
        get("GET / HTTP/1.1", &"X: y\r\n".repeat(63)),
        get(&format!("GET /{} HTTP/1.1", "a".repeat(8_191)), ""),
        get("GET / HTTP/1.1", &format!("X: {}\r\n", "y".repeat(16_340))),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
    ];
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/http/requests.jsonl");
    match std::fs::read_to_string(corpus) {
        Ok(text) => seeds.extend(text.lines().filter_map(|line| {
            let raw = line.split_once("\"raw_b64\": \"")?.1;
            Some(base64(raw.split_once('"')?.0))
        })),
        Err(fault) => println!("without the public corpus of requests: {fault}"),
    }
    seeds
}

fn base64(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut out, mut bits, mut count) = (Vec::new(), 0u32, 0);
    for byte in text.bytes() {
        let Some(value) = ALPHABET.iter().position(|&known| known == byte) else { break };
        (bits, count) = (bits << 6 | value as u32, count + 6);
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    out
}
