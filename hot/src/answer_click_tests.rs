//! Clicks: each redirect leaves one, nothing else does, and each says what was seen.

use super::tests::{DATE, NOW, empty, get, set, statuses};
use super::*;
use crate::{ClickClient, ForwardedFor, StoredValue, UnknownCodes};
use clicks::{Captured, CapturedFlags, Ring, RingReader, RingWriter, TextSeed};
use link::{DomainId, Epoch, Link, LinkParts, LinkTerms, Status, Target};
use std::sync::atomic::AtomicU64;

const AT: i64 = 1_700_000_000_123;
const SEED: TextSeed = TextSeed::new(11, 13);

/// Seals by turning it round.
struct Proxy;

impl ForwardedFor for Proxy {
    fn client(&self, value: &[u8]) -> Option<[u8; 16]> {
        let mut address = *value.first_chunk::<16>()?;
        address.reverse();
        Some(address)
    }
}

struct Noted {
    out: String,
    step: Step,
    clicks: Vec<Captured>,
    texts: Vec<(u64, String)>,
    unknown: UnknownCodes,
}

/// One turn, and a second one for what was missing.
fn noted(set: &Set, client: ClickClient<'_>, boot_ms: u64, input: &[u8], asked: MissAnswer<'_>) -> Noted {
    let memory: Vec<_> = (0..Ring::memory_bytes(1 << 16) / 8).map(|_| AtomicU64::new(0)).collect();
    let ring = Ring::over(&memory).unwrap();
    ring.begin([1, 2], 3);
    let (mut writer, mut unknown) = (RingWriter::new(ring, SEED), UnknownCodes::default());
    let (stamp, mut domains, mut counts) =
        (Stamp::new(DATE), View::new(std::sync::Arc::default()), Counts::default());
    writer.begin(ring);
    let capture = Capture { ring, writer: &mut writer, unknown: &mut unknown, client };
    let mut turn = AnswerContext {
        set,
        domains: &mut domains,
        now: AT,
        boot_ms,
        policy: Policy::default(),
        debug: true,
        stamp: &stamp,
        counts: &mut counts,
        clicks: Some(capture),
    };
    let mut out = Vec::new();
    let (_, mut step) = answer(&mut Conversation::default(), input, &mut out, &mut turn);
    if let Step::Miss(miss) = step {
        step = finish(&miss, asked, &mut out, &mut turn);
    }
    let turn = writer.publish(ring);
    let whole = out.len();
    let (mut clicks, mut texts, mut reader) = (Vec::new(), Vec::new(), RingReader::new(ring));
    turn.into_iter().for_each(|turn| writer.settle_part(ring, turn, whole));
    while let Some(click) = reader.next(ring) {
        for number in [click.agent, click.referrer] {
            texts.extend(reader.text(number).map(|text| (number, String::from_utf8(text.to_vec()).unwrap())));
        }
        clicks.push(click);
    }
    assert!(clicks.iter().all(|click| !click.flags.has(CapturedFlags::VOID)), "all ends are in the answers");
    assert_eq!(clicks.len() as u64, counts.get(Outcome::Redirect), "a click is a redirect");
    Noted { out: String::from_utf8(out).unwrap(), step, clicks, texts, unknown }
}

fn ask(set: &Set, input: &str) -> Noted {
    noted(set, ClickClient::default(), NOW, input.as_bytes(), MissAnswer::Nobody)
}

fn stored(terms: LinkTerms) -> StoredValue {
    let target = Target::stored(b"https://t.example/").unwrap();
    StoredValue::live(Link::new(LinkParts::on(terms, target)).unwrap())
}

#[test]
fn each_redirect_is_a_click_and_nothing_else_is() {
    let set = set();
    let kept = LinkTerms { status: Status::TemporaryRedirect, ..LinkTerms::default() };
    set.apply(b"\0\0\0\0kept", 5, Some(&stored(kept)));
    set.apply(b"\0\0\0\0over", 6, Some(&stored(LinkTerms { expire: Some(7), ..LinkTerms::default() })));
    set.apply("\0\0\0\0b\u{fc}".as_bytes(), 7, Some(&stored(LinkTerms::default())));
    for (line, fields, clicks) in [
        ("GET /abc HTTP/1.1", "", 1),
        ("HEAD /abc HTTP/1.1", "", 1),
        ("GET /abc?x=1 HTTP/1.1", "", 1),
        ("GET /abc HTTP/1.0", "", 1),
        ("GET /abc HTTP/1.1", "Connection: close\r\n", 1),
        ("GET /abc HTTP/1.1", "X-Request-Id: a\r\nX-Linkr-Debug: 1\r\n", 1),
        ("GET /b%C3%BC HTTP/1.1", "", 1),
        ("POST /kept HTTP/1.1", "", 1),
        ("PUT /kept HTTP/1.1", "Content-Length: 3\r\n", 1),
        ("POST /abc HTTP/1.1", "", 0),
        ("OPTIONS /abc HTTP/1.1", "", 0),
        ("DELETE /abc HTTP/1.1", "", 0),
        ("GET /over HTTP/1.1", "", 0),
        ("GET /gone HTTP/1.1", "", 0),
        ("GET /broken HTTP/1.1", "", 0),
        ("GET /none HTTP/1.1", "", 0),
        ("GET /robots.txt HTTP/1.1", "", 0),
        ("GET / HTTP/1.1", "", 0),
        ("GET /abc HTTP/1.1", "Host: b\r\n", 0),
    ] {
        let answered = ask(&set, &format!("{line}\r\nHost: a\r\n{fields}\r\n"));
        assert_eq!(answered.clicks.len(), clicks, "{line} {fields}");
        let head = answered.clicks.iter().any(|click| click.flags.has(CapturedFlags::HEAD));
        assert_eq!(head, line.starts_with("HEAD"), "{line}");
        assert_ne!(answered.step, Step::Yield);
    }
}

#[test]
fn a_click_says_what_was_seen() {
    let set = set();
    let address: [u8; 16] = *b"0123456789abcdef";
    let client = ClickClient { address: Some(address), forwarded: None };
    let fields = "User-Agent: curl/8.5.0\r\nReferer: https://news.example.org/a?b\r\nAccept-Language: de\r\n\
        Sec-GPC: 1\r\nSec-Purpose: prefetch\r\nX-Forwarded-For: fedcba9876543210\r\n";
    let head = format!("GET /abc HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    let Noted { clicks, texts, .. } = noted(&set, client, NOW, head.as_bytes(), MissAnswer::Nobody);
    let want = Captured {
        at: AT,
        domain: DomainId::DEFAULT,
        uid: 1,
        version: 1,
        agent: SEED.number(b"curl/8.5.0"),
        referrer: SEED.number(b"news.example.org"),
        address,
        language: *b"de\0\0\0\0\0\0",
        flags: CapturedFlags::ADDRESS | CapturedFlags::PRIVATE | CapturedFlags::PREFETCH,
    };
    assert_eq!(clicks[0], want, "whom nobody believes does not say who asks");
    let texts: Vec<_> = texts.iter().map(|(key, text)| (*key, &text[..])).collect();
    assert_eq!(texts, [(want.agent, "curl/8.5.0"), (want.referrer, "news.example.org")]);
    let proxy = ClickClient { address: None, forwarded: Some(&Proxy) };
    let Noted { clicks, .. } = noted(&set, proxy, NOW, head.as_bytes(), MissAnswer::Nobody);
    assert_eq!(clicks[0], Captured { address, ..want });
    let silent = noted(&set, proxy, NOW, get("abc").as_bytes(), MissAnswer::Nobody);
    assert_eq!((silent.clicks[0].flags, silent.clicks[0].agent), (CapturedFlags::default(), 0));
    assert!(silent.texts.is_empty());
}

#[test]
fn pipelined_requests_are_a_click_each_and_a_cut_write_takes_back_what_is_behind_it() {
    let set = set();
    let whole = ask(&set, &[get("abc"), get("none"), get("abc"), get("abc")].concat());
    assert_eq!((whole.clicks.len(), statuses(&whole.out).len()), (3, 4));
    // The same, with a write that fails at each byte.
    let memory: Vec<_> = (0..Ring::memory_bytes(1 << 16) / 8).map(|_| AtomicU64::new(0)).collect();
    let ring = Ring::over(&memory).unwrap();
    ring.begin([1, 2], 3);
    let (mut writer, mut unknown, mut reader) =
        (RingWriter::new(ring, SEED), UnknownCodes::default(), RingReader::new(ring));
    let ends: Vec<_> =
        whole.out.match_indices("HTTP/1.1 ").map(|(at, _)| at).skip(1).chain([whole.out.len()]).collect();
    let ends = [ends[0], ends[2], ends[3]];
    for taken in 0..=whole.out.len() {
        writer.begin(ring);
        let mut capture =
            Capture { ring, writer: &mut writer, unknown: &mut unknown, client: ClickClient::default() };
        let (notes, identity) = (&HeadNotes::NONE, LinkIdentity::default());
        for answer_end in ends {
            let domain = DomainId::DEFAULT;
            let seen = Redirected { at: 0, domain, identity, head_only: false, notes, answer_end };
            capture.answered(Outcome::Redirect, b"", seen);
        }
        let turn = writer.publish(ring).unwrap();
        writer.settle_part(ring, turn, taken);
        let mut counted = 0;
        while let Some(click) = reader.next(ring) {
            counted += usize::from(!click.flags.has(CapturedFlags::VOID));
        }
        reader.release(ring, reader.position());
        assert_eq!(counted, ends.iter().filter(|end| **end <= taken).count(), "{taken}");
    }
}

#[test]
fn a_link_that_was_asked_for_elsewhere_is_a_click_as_well() {
    let set = empty();
    let head = "GET /far HTTP/1.1\r\nHost: a\r\nUser-Agent: x\r\nAccept-Language: en\r\nDNT: 1\r\n\r\n";
    let value = stored(LinkTerms::default());
    let told =
        TierReading { epoch: Epoch { counter: 1, random: 7 }, as_of: 9, version: 8, value: Some(&value) };
    let asked = MissAnswer::Told(Source::Origin, &told);
    let Noted { clicks, texts, .. } = noted(&set, ClickClient::default(), NOW, head.as_bytes(), asked);
    let click = clicks[0];
    assert_eq!((click.uid, click.version, click.flags), (8, 8, CapturedFlags::PRIVATE));
    assert_eq!((click.language, texts.len()), (*b"en\0\0\0\0\0\0", 1));
    let nobody = noted(&set, ClickClient::default(), NOW, head.as_bytes(), MissAnswer::Nobody);
    assert_eq!((nobody.clicks.len(), statuses(&nobody.out)), (0, vec!["503"]));
}

#[test]
fn a_blind_edges_redirects_are_clicks_as_well() {
    let set = set();
    let late = noted(&set, ClickClient::default(), NOW + 5_000, get("abc").as_bytes(), MissAnswer::Nobody);
    assert_eq!((late.clicks.len(), late.clicks[0].uid), (1, 1));
}

#[test]
fn codes_that_are_none_are_noted() {
    let set = set();
    let mut answered =
        ask(&set, &[get("none"), get("none?x"), get("no//code"), get("gone"), get("")].concat());
    let mut notes: Vec<_> =
        answered.unknown.take().into_iter().map(|note| (note.code.unwrap().to_vec(), note.count)).collect();
    notes.sort();
    assert_eq!(notes, [(b"no//code".to_vec(), 1), (b"none".to_vec(), 2)]);
    assert!(answered.clicks.is_empty());
}
