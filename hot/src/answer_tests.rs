//! Requests against a set: what comes out, whole and in pieces.

use super::*;
use crate::StoredValue;
use link::{Class, Epoch, Link, LinkParts, LinkTerms, Position, QueryPolicy, Status, Target};
use proptest::prelude::*;

pub(super) const DATE: &str = "Sun, 22 Nov 2026 13:06:42 GMT";

fn link(target: &str) -> StoredValue {
    let terms = LinkTerms { query: QueryPolicy::Append, ..LinkTerms::default() };
    let parts = LinkParts::on(terms, Target::stored(target.as_bytes()).unwrap());
    StoredValue::live(Link::new(parts).unwrap())
}

const EPOCH: Epoch = Epoch { counter: 1, random: 7 };
/// Boot-clock milliseconds of every turn here, and of the newest proof of freshness unless a test says otherwise.
pub(super) const NOW: u64 = 1_000_000;

fn at(seq: Seq) -> Position {
    Position { epoch: EPOCH, seq, tag: seq }
}

pub(super) fn empty() -> Set {
    let set = Set::new(1 << 20);
    set.reset(at(0));
    set.freshen(NOW);
    set
}

fn turn<'a>(
    set: &'a Set,
    domains: &'a mut View,
    stamp: &'a Stamp,
    counts: &'a mut Counts,
) -> AnswerContext<'a> {
    AnswerContext {
        set,
        domains,
        now: 0,
        boot_ms: NOW,
        policy: Policy::default(),
        debug: true,
        stamp,
        counts,
        clicks: None,
    }
}

fn no_domains() -> View {
    View::new(std::sync::Arc::default())
}

pub(super) fn set() -> Set {
    let set = empty();
    set.apply(b"\0\0\0\0abc", 1, Some(&link("https://a.example/")));
    set.apply(b"\0\0\0\0gone", 2, Some(&StoredValue::Deleted));
    set.apply(b"\0\0\0\0broken", 3, Some(&StoredValue::Quarantined));
    let target = Target::stored(b"https://s.example/").unwrap();
    let strict = LinkParts::on(LinkTerms { class: Class::Strict, ..LinkTerms::default() }, target);
    set.apply(b"\0\0\0\0strict", 4, Some(&StoredValue::live(Link::new(strict).unwrap())));
    set.set_complete();
    set
}

/// Feeds the pieces one after another, as a worker would.
fn talk(set: &Set, pieces: &[&[u8]]) -> (String, Step, Counts) {
    let (mut conversation, mut counts) = (Conversation::default(), Counts::default());
    let (stamp, mut domains) = (Stamp::new(DATE), no_domains());
    let (mut buffer, mut out) = (Vec::new(), Vec::new());
    let mut last = Step::Wait;
    'pieces: for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            let mut turn = turn(set, &mut domains, &stamp, &mut counts);
            let (taken, step) = answer(&mut conversation, &buffer, &mut out, &mut turn);
            buffer.drain(..taken);
            last = match step {
                Step::Yield => continue,
                Step::Miss(miss) => finish(&miss, MissAnswer::Nobody, &mut out, &mut turn),
                other => other,
            };
            match last {
                Step::Close { .. } => break 'pieces,
                _ if buffer.is_empty() || taken == 0 => continue 'pieces,
                _ => {}
            }
        }
    }
    (String::from_utf8(out).unwrap(), last, counts)
}

pub(super) fn statuses(text: &str) -> Vec<&str> {
    text.split("HTTP/1.1 ").skip(1).map(|rest| &rest[..3]).collect()
}

pub(super) fn get(path: &str) -> String {
    format!("GET /{path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

#[test]
fn every_outcome() {
    let set = set();
    let table = [
        ("abc", "302", Outcome::Redirect),
        ("ABC", "404", Outcome::NotFound),
        ("abc/d", "404", Outcome::NotFound),
        ("", "404", Outcome::NotFound),
        ("%61bc", "404", Outcome::NotFound),
        ("a//b", "404", Outcome::NotFound),
        ("gone", "410", Outcome::Gone),
        ("broken", "503", Outcome::Unavailable),
        ("robots.txt", "200", Outcome::Reserved),
        ("favicon.ico", "404", Outcome::Reserved),
        (".well-known/x", "404", Outcome::Reserved),
    ];
    for (path, status, outcome) in table {
        let (text, step, counts) = talk(&set, &[get(path).as_bytes()]);
        assert_eq!((statuses(&text), step), (vec![status], Step::Wait), "{path}");
        assert_eq!(counts.get(outcome), 1, "{path}");
        assert!(text.contains("\r\nCache-Control: "), "always explicit: {path}");
    }
}

/// The letters of a code come in every spelling that there is of them; whatever else is escaped is another path.
#[test]
fn a_code_with_letters_is_found_by_every_spelling_of_it() {
    let set = set();
    set.apply("\0\0\0\0b\u{fc}cher/(1):a".as_bytes(), 5, Some(&link("https://b.example/")));
    set.apply(b"\0\0\0\0K", 6, Some(&link("https://k.example/")));
    let b = Some("https://b.example/");
    for (path, want) in [
        (&b"b%C3%BCcher/(1):a"[..], b),
        (b"b%c3%bCcher/(1):a", b),
        (b"b\xc3\xbccher/(1):a", b),
        (b"bu%CC%88cher/(1):a", b),
        (b"b%C3%BCcher/(1):a?x=%C3", Some("https://b.example/?x=%C3")),
        (b"%E2%84%AA", Some("https://k.example/")), // the sign of Kelvin is another spelling of the letter
        (b"b%C3%BCcher/%281):a", None),
        (b"b%C3%BCcher/(1)%3Aa", None),
        (b"B%C3%9CCHER/(1):a", None),
        (b"%62%C3%BCcher/(1):a", None),
        (b"b%C3cher/(1):a", None),
        (b"b\xfccher/(1):a", None),
        (b"%E2%80%8B", None),
    ] {
        let ask = |method: &str| {
            let request = [method.as_bytes(), b" /", path, b" HTTP/1.1\r\nHost: a\r\n\r\n"].concat();
            talk(&set, &[&request])
        };
        let (text, step, counts) = ask("GET");
        let location = text.lines().find_map(|line| line.strip_prefix("Location: "));
        assert_eq!((location, step), (want, Step::Wait), "{}", path.escape_ascii());
        let outcome = if want.is_some() { Outcome::Redirect } else { Outcome::NotFound };
        assert_eq!(counts.get(outcome), 1, "{}", path.escape_ascii());
        let (head, ..) = ask("HEAD");
        assert!(text.starts_with(&*head), "{}", path.escape_ascii());
        // Only what can be a code is looked for before a method is refused.
        let sent = if want.is_none() && link::asked(path).is_some() { "404" } else { "405" };
        assert_eq!(statuses(&ask("POST").0), [sent], "{}", path.escape_ascii());
        assert_eq!(statuses(&ask("OPTIONS").0), ["204"]);
    }
}

/// Both ways ask: a set that does not hold every link cannot say that there is none.
#[test]
fn a_code_with_letters_that_is_not_held_is_asked_for_in_form_c() {
    let (set, stamp, mut counts) = (empty(), Stamp::new(DATE), Counts::default());
    let (mut domains, mut out) = (no_domains(), Vec::new());
    let mut turn = turn(&set, &mut domains, &stamp, &mut counts);
    let request = b"GET /bu%CC%88cher HTTP/1.1\r\nHost: a\r\n\r\n";
    let (_, step) = answer(&mut Conversation::default(), request, &mut out, &mut turn);
    let Step::Miss(miss) = step else { panic!("{step:?}") };
    assert_eq!(miss.key.code(), "b\u{fc}cher".as_bytes());
    assert!(out.is_empty());
    let HeadParse::Head(head, _) = parse(request) else { panic!("no head") };
    assert_eq!(key_of(&head, &no_domains()), Some(miss.key));
}

#[test]
fn the_visitors_query_goes_along() {
    let (text, ..) = talk(&set(), &[get("abc?x=1").as_bytes()]);
    assert!(text.contains("\r\nLocation: https://a.example/?x=1\r\n"), "{text}");
}

#[test]
fn head_has_the_head_of_get() {
    let set = set();
    for path in ["abc", "nope", "gone", "robots.txt"] {
        let (want, ..) = talk(&set, &[get(path).as_bytes()]);
        let (have, ..) = talk(&set, &[get(path).replace("GET", "HEAD").as_bytes()]);
        assert_eq!(have, want[..want.find("\r\n\r\n").unwrap() + 4], "{path}");
    }
}

#[test]
fn methods() {
    let set = set();
    for (method, status) in [("OPTIONS", "204"), ("POST", "405"), ("DELETE", "405"), ("get", "405")] {
        let (text, step, _) = talk(&set, &[get("abc").replace("GET", method).as_bytes()]);
        assert_eq!((statuses(&text), step), (vec![status], Step::Wait), "{method}");
        assert!(text.contains("\r\nAllow: GET, HEAD, OPTIONS\r\n"));
    }
}

#[test]
fn a_redirect_that_keeps_the_method_is_for_post_and_put_too_and_ends_with_content() {
    let set = set();
    for (code, status) in [("t", Status::TemporaryRedirect), ("p", Status::PermanentRedirect)] {
        let target = Target::stored(b"https://s.example/").unwrap();
        let parts = LinkParts::on(LinkTerms { status, max_age: Some(1), ..LinkTerms::default() }, target);
        let key = [b"\0\0\0\0", code.as_bytes()].concat();
        set.apply(&key, 5, Some(&StoredValue::live(Link::new(parts).unwrap())));
    }
    let send = |method: &str, path: &str, field: &str| {
        talk(&set, &[with(path, field).replace("GET", method).as_bytes(), get("abc").as_bytes()])
    };
    let (kept, ended) = ("Content-Length: 0", "Content-Length: 13");
    for (method, path, status) in [
        ("POST", "t", "307"),
        ("PUT", "p", "308"),
        ("POST", "abc", "405"),
        ("PUT", "gone", "410"),
        ("POST", "nope", "404"),
        ("POST", "robots.txt", "405"),
        ("PATCH", "t", "405"),
        ("DELETE", "abc", "405"),
    ] {
        let (text, step, _) = send(method, path, kept);
        assert_eq!((statuses(&text), step), (vec![status, "302"], Step::Wait), "{method} {path}");
        assert_eq!(text.contains("\r\nAllow: "), status == "405", "{method} {path}");
        for field in [ended, "Transfer-Encoding: chunked", "Expect: 100-continue"] {
            let (text, step, _) = send(method, path, field);
            let closed = Step::Close { linger: true };
            assert_eq!((statuses(&text), step), (vec![status], closed), "{method} {path} {field}");
            assert!(text.contains("\r\nConnection: close\r\n"), "{text}");
        }
        let (_, step, _) = send(method, path, "Content-Length: 1\r\nConnection: close");
        assert_eq!(step, Step::Close { linger: true }, "what it sends is taken off the wire");
    }
    let (text, step, counts) = talk(&empty(), &[with("t", ended).replace("GET", "POST").as_bytes()]);
    assert_eq!((statuses(&text), step), (vec!["503"], Step::Close { linger: true }));
    assert_eq!(counts.get(Outcome::Unavailable), 1);
}

#[test]
fn pipelined_requests_are_answered_in_order_and_nothing_after_a_refusal() {
    let set = set();
    let text = [get("abc"), get("nope"), get("gone"), "GET / HTTP/1.1\r\n\r\n".into(), get("abc")].concat();
    let (text, step, _) = talk(&set, &[text.as_bytes()]);
    assert_eq!((statuses(&text), step), (vec!["302", "404", "410", "400"], Step::Close { linger: true }));
    assert!(text.contains("\r\nConnection: close\r\n"));
    let (text, step, _) =
        talk(&set, &[[get("abc").replace("1.1\r", "1.0\r"), get("abc")].concat().as_bytes()]);
    assert_eq!((statuses(&text), step), (vec!["302"], Step::Close { linger: true }));
}

#[test]
fn a_connection_that_drains_answers_what_is_here_whole_and_ends_with_the_last() {
    let (set, stamp, mut domains) = (set(), Stamp::new(DATE), no_domains());
    let old = "GET /abc HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    let head = get("abc").replace("GET", "HEAD");
    let part = "GET /abc HTTP/1.1\r\nHos";
    for (input, want) in [
        (get("abc"), &["302 close"][..]),
        (get("abc") + &get("gone") + &get("abc"), &["302", "410", "302 close"]),
        (get("abc") + &head, &["302", "302 close"]),
        (old.to_owned(), &["302 close"]),
        (get("abc") + part, &["302 close"]),
        (part.to_owned(), &[]),
        (get("abc") + "nonsense\r\n\r\n", &["302", "400 close"]),
        (
            get("abc").repeat(MAX_REQUESTS_PER_TURN),
            &[&["302"; MAX_REQUESTS_PER_TURN - 1][..], &["302 close"]].concat(),
        ),
        (
            get("abc").repeat(MAX_REQUESTS_PER_TURN * 2),
            &[&["302"; MAX_REQUESTS_PER_TURN * 2 - 1][..], &["302 close"]].concat(),
        ),
    ] {
        let (mut conversation, mut counts, mut out) =
            (Conversation { draining: true, ..Conversation::default() }, Counts::default(), Vec::new());
        let (mut taken, mut step) = (0, Step::Yield);
        while step == Step::Yield {
            let mut turn = turn(&set, &mut domains, &stamp, &mut counts);
            let (count, next) = answer(&mut conversation, &input.as_bytes()[taken..], &mut out, &mut turn);
            (taken, step) = (taken + count, next);
        }
        let text = String::from_utf8(out).unwrap();
        let found: Vec<String> = text
            .split("HTTP/1.1 ")
            .skip(1)
            .map(|answer| {
                let close = answer.to_ascii_lowercase().contains("\r\nconnection: close\r\n");
                format!("{}{}", &answer[..3], if close { " close" } else { "" })
            })
            .collect();
        assert_eq!(found, want, "{input}");
        assert_eq!(step == Step::Wait, want.is_empty(), "{input}: {step:?}");
    }
}

#[test]
fn a_miss_of_a_connection_that_drains_ends_it_only_when_nothing_follows() {
    let (set, stamp, mut domains) = (empty(), Stamp::new(DATE), no_domains());
    let (mut counts, mut out) = (Counts::default(), Vec::new());
    let mut conversation = Conversation { draining: true, ..Conversation::default() };
    let input = get("a") + &get("b");
    let mut rest = input.as_bytes();
    for (want, last) in [(Step::Wait, false), (Step::Close { linger: true }, true)] {
        let mut turn = turn(&set, &mut domains, &stamp, &mut counts);
        let (taken, step) = answer(&mut conversation, rest, &mut out, &mut turn);
        let Step::Miss(miss) = step else { panic!("{step:?}") };
        assert_eq!(finish(&miss, MissAnswer::Nobody, &mut out, &mut turn), want);
        rest = &rest[taken..];
        let said = String::from_utf8_lossy(&out).to_ascii_lowercase().contains("\r\nconnection: close\r\n");
        assert_eq!(said, last);
    }
}

#[test]
fn a_client_that_ends_the_connection_itself_is_not_waited_for() {
    let (_, step, _) =
        talk(&set(), &[get("abc").replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n").as_bytes()]);
    assert_eq!(step, Step::Close { linger: false });
}

#[test]
fn a_long_pipeline_lets_others_run_and_a_connection_ends_sometime() {
    let set = set();
    let many = get("abc").repeat(MAX_REQUESTS_PER_TURN + 1);
    let (mut conversation, mut counts, stamp) =
        (Conversation::default(), Counts::default(), Stamp::new(DATE));
    let mut domains = no_domains();
    let mut turn = turn(&set, &mut domains, &stamp, &mut counts);
    let (taken, step) = answer(&mut conversation, many.as_bytes(), &mut Vec::new(), &mut turn);
    assert_eq!((taken, step), (get("abc").len() * MAX_REQUESTS_PER_TURN, Step::Yield));
    let all = get("abc").repeat(MAX_REQUESTS_PER_CONNECTION as usize + 5);
    let (text, step, counts) = talk(&set, &[all.as_bytes()]);
    assert_eq!(step, Step::Close { linger: true });
    assert_eq!(counts.get(Outcome::Redirect), u64::from(MAX_REQUESTS_PER_CONNECTION));
    assert_eq!(text.matches("Connection: close").count(), 1);
}

#[test]
fn an_incomplete_set_asks_and_answers_with_what_comes_back() {
    let set = empty();
    let stamp = Stamp::new(DATE);
    let (mut conversation, mut counts, mut out) = (Conversation::default(), Counts::default(), Vec::new());
    let mut domains = no_domains();
    let mut turn = turn(&set, &mut domains, &stamp, &mut counts);
    let text = [get("abc?x=1"), get("abc")].concat();
    let (taken, step) = answer(&mut conversation, text.as_bytes(), &mut out, &mut turn);
    let Step::Miss(miss) = step else { panic!("{step:?}") };
    assert_eq!((taken, miss.key.code(), out.len()), (get("abc?x=1").len(), &b"abc"[..], 0));
    let stored = link("https://a.example/");
    let told = |value| TierReading { epoch: EPOCH, as_of: 5, version: 5, value };
    assert_eq!(
        finish(&miss, MissAnswer::Told(Source::Origin, &told(Some(&stored))), &mut out, &mut turn),
        Step::Wait
    );
    assert!(String::from_utf8(out.clone()).unwrap().contains("Location: https://a.example/?x=1\r\n"));
    for (asked, status, tier) in [
        (MissAnswer::Told(Source::Redis, &told(Some(&StoredValue::Deleted))), "410", Tier::Redis),
        (MissAnswer::Told(Source::Origin, &told(None)), "404", Tier::Origin),
        (MissAnswer::Told(Source::Origin, &told(Some(&StoredValue::Deleted))), "410", Tier::Origin),
        (MissAnswer::Told(Source::Origin, &told(Some(&StoredValue::Quarantined))), "503", Tier::Origin),
        (MissAnswer::Nobody, "503", Tier::Origin),
    ] {
        out.clear();
        finish(&miss, asked, &mut out, &mut turn);
        assert_eq!((statuses(std::str::from_utf8(&out).unwrap()), turn.counts.tier), (vec![status], tier));
    }
    // By the time that nobody answered, the stream brought it.
    out.clear();
    set.apply(miss.key.as_bytes(), 6, Some(&stored));
    finish(&miss, MissAnswer::Nobody, &mut out, &mut turn);
    assert_eq!((statuses(std::str::from_utf8(&out).unwrap()), turn.counts.tier), (vec!["302"], Tier::Hot));
}

#[test]
fn after_a_reset_old_entries_are_asked_about_and_serve_only_when_nobody_answers() {
    let set = set();
    set.reset(at(9));
    let (text, _, counts) = talk(&set, &[get("abc").as_bytes()]); // `talk` answers a miss with "nobody"
    assert_eq!((statuses(&text), counts.tier), (vec!["302"], Tier::Stale));
    let (text, ..) = talk(&set, &[get("strict").as_bytes()]);
    assert_eq!(statuses(&text), ["503"]);
}

#[test]
fn a_cut_off_edge_goes_on_with_normal_links_and_not_with_strict_ones() {
    let set = set();
    let cases = ["abc", "strict", "gone", "nope"];
    for (age, statuses_then, tier) in [
        (999, ["302", "302", "410", "404"], Tier::Hot),
        (1000, ["302", "503", "410", "404"], Tier::Stale),
        (24 * 3600 * 1000, ["302", "503", "410", "404"], Tier::Stale),
        (24 * 3600 * 1000 + 1, ["503", "503", "503", "503"], Tier::Origin),
    ] {
        set.freshen(NOW - age.min(NOW));
        if age > NOW {
            set.stale_since(NOW, age);
        }
        for (path, status) in cases.iter().zip(statuses_then) {
            let (text, _, counts) = talk(&set, &[get(path).as_bytes()]);
            let tier = if status == "503" { Tier::Origin } else { tier };
            assert_eq!((statuses(&text), counts.tier), (vec![status], tier), "{path} at {age}");
            let unkept = status == "404" && tier == Tier::Stale || status == "503";
            assert_eq!(text.contains("Cache-Control: no-store"), unkept, "{text}");
        }
    }
}

#[test]
fn freshness_does_not_survive_a_restart() {
    let set = set();
    set.stale_since(NOW, 5);
    assert_eq!(set.freshness(NOW).stale_ms(), Some(1000));
    set.stale_since(10, 5_000_000); // before this machine was started
    assert_eq!(set.freshness(20).stale_ms(), Some(5_000_010));
}

fn with(path: &str, field: &str) -> String {
    get(path).replace("\r\n\r\n", &format!("\r\n{field}\r\n\r\n"))
}

#[test]
fn a_client_is_never_told_something_older_than_its_token() {
    let set = set(); // at seq 4
    for (token, status) in [
        ("1-00000007-1", "302"),
        ("1-00000007-4", "302"),
        ("1-00000007-5", "503"), // `talk` answers a miss with "nobody"
        ("2-00000007-1", "503"),
        ("1-00000008-1", "503"),
        ("nonsense", "302"), // nobody answered, and memory is the last resort
    ] {
        let (text, ..) = talk(&set, &[with("abc", &format!("X-Linkr-Min-Revision: {token}")).as_bytes()]);
        assert_eq!(statuses(&text), [status], "{token}");
    }
    let (mut counts, stamp) = (Counts::default(), Stamp::new(DATE));
    let request = with("abc", "X-Linkr-Min-Revision: 1-00000007-5");
    let mut domains = no_domains();
    let mut turn = turn(&set, &mut domains, &stamp, &mut counts);
    let (_, step) = answer(&mut Conversation::default(), request.as_bytes(), &mut Vec::new(), &mut turn);
    assert!(matches!(step, Step::Miss(miss) if miss.token() == 5));
}

#[test]
fn who_may_ask_is_told_where_an_answer_came_from() {
    let set = set();
    set.freshen(NOW - 40);
    let debug = "X-Linkr-Debug: 1";
    let (text, ..) = talk(&set, &[with("abc", debug).as_bytes()]);
    let fields = "X-Linkr-Tier: hot\r\nX-Linkr-Revision: 1-00000007-1\r\nX-Linkr-Staleness-Ms: 40\r\n";
    assert!(text.contains(fields), "{text}");
    // The very bytes of the fast path, and these.
    assert_eq!(text.replace(fields, ""), talk(&set, &[get("abc").as_bytes()]).0);
    let (text, ..) = talk(&set, &[with("nope", debug).as_bytes()]);
    assert!(text.contains("X-Linkr-Tier: hot\r\nX-Linkr-Staleness-Ms: 40\r\n"), "{text}");
    set.freshen(NOW - 5000);
    let (text, ..) = talk(&set, &[with("abc", debug).as_bytes()]);
    assert!(text.contains("X-Linkr-Tier: stale\r\n") && text.contains("Staleness-Ms: 5000\r\n"), "{text}");
    let (text, ..) = talk(&set, &[with("strict", debug).as_bytes()]);
    assert!(text.contains("X-Linkr-Tier: origin\r\n"), "{text}");

    let (mut counts, stamp, mut out) = (Counts::default(), Stamp::new(DATE), Vec::new());
    let mut domains = no_domains();
    let mut turn = AnswerContext { debug: false, ..turn(&set, &mut domains, &stamp, &mut counts) };
    answer(&mut Conversation::default(), with("abc", debug).as_bytes(), &mut out, &mut turn);
    assert!(!String::from_utf8(out).unwrap().contains("X-Linkr"), "not for everybody");
}

#[test]
fn a_legal_request_id_is_echoed_and_another_is_not() {
    let set = set();
    let with = |id: &str| {
        talk(&set, &[format!("GET /abc HTTP/1.1\r\nHost: a\r\nX-Request-Id: {id}\r\n\r\n").as_bytes()]).0
    };
    assert!(with("a.B-1_2").contains("\r\nX-Request-Id: a.B-1_2\r\n"));
    for bad in ["", "a b", "é", &"a".repeat(65), "a\r\nX-Request-Id: b"] {
        assert!(!with(bad).contains("X-Request-Id"), "{bad}");
    }
}

proptest! {
    /// However a conversation is cut into pieces, the answers are the same bytes.
    #[test]
    fn splits_do_not_matter(paths in prop::collection::vec("abc|gone|nope|a b|\\PC{0,3}", 1..6), cuts in prop::collection::vec(0usize..300, 0..8)) {
        let set = set();
        let whole = paths.iter().map(|path| get(path)).collect::<String>();
        let bytes = whole.as_bytes();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
        prop_assert_eq!(talk(&set, &pieces), talk(&set, &[bytes]));
    }
}

#[test]
fn a_request_that_names_its_trace_is_noticed_whatever_it_asks_for() {
    let named = |line: &str, fields: &str| {
        let request = format!("{line} HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        talk(&set(), &[request.as_bytes()]).2.traced()
    };
    let incomplete = |fields: &str| {
        let request = format!("GET /unknown HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        talk(&empty(), &[request.as_bytes()]).2.traced()
    };
    for line in
        ["GET /abc", "HEAD /none", "GET /gone", "GET /", "GET /robots.txt", "DELETE /abc", "GET /%C3%BC"]
    {
        assert!(named(line, "TraceParent: 00-x\r\n"), "{line}");
        assert!(!named(line, "tracestate: a=1\r\ntraceparents: 1\r\n"), "{line}");
    }
    assert!(incomplete("traceparent: 00-x\r\n") && !incomplete(""), "a miss");
}
