//! Requests of several domains against one set: whose code it is, and what its domain says of the answer.

use super::*;
use crate::{DomainEntry, Domains, ReadableRules, StoredValue};
use link::{
    Class, Domain, DomainId, DomainRules, Endings, Epoch, File, Files, Link, LinkParts, LinkTerms, Position,
    Status, Target,
};
use proptest::prelude::*;
use std::sync::Arc;

const EPOCH: Epoch = Epoch { counter: 1, random: 7 };
const NOW: u64 = 1_000_000;
const A: DomainId = DomainId(7);

fn entry(id: DomainId, seq: Seq, name: &str, change: impl FnOnce(&mut DomainRules)) -> DomainEntry {
    let mut rules = DomainRules { name: Domain::new(name).unwrap(), ..DomainRules::default() };
    change(&mut rules);
    DomainEntry { id, as_of: seq, version: seq, told: ReadableRules::All(rules), record: Arc::default() }
}

fn to(target: &str) -> StoredValue {
    StoredValue::live(Link::new(LinkParts::to(Target::stored(target.as_bytes()).unwrap())).unwrap())
}

fn key(id: DomainId, code: &str) -> Vec<u8> {
    [&id.prefix(), code.as_bytes()].concat()
}

struct Edge {
    set: Set,
    domains: Arc<Domains>,
}

impl Edge {
    /// The same code in two domains, up to seq 3.
    fn new(change: impl FnOnce(&mut DomainRules)) -> Self {
        let (set, domains) = (Set::new(1 << 20), Arc::new(Domains::default()));
        set.reset(Position { epoch: EPOCH, seq: 0, tag: 0 });
        set.freshen(NOW);
        domains.apply(entry(A, 1, "a.example", change));
        set.pass(1);
        set.apply(&key(DomainId::DEFAULT, "x"), 2, Some(&to("https://default.example/")));
        set.apply(&key(A, "x"), 3, Some(&to("https://of-a.example/")));
        set.set_complete();
        Self { set, domains }
    }

    fn turn<R>(
        &self,
        view: &mut View,
        then: impl FnOnce(&mut AnswerContext<'_>, &mut Vec<u8>) -> R,
    ) -> (R, String) {
        let stamp = Stamp::new("Sun, 22 Nov 2026 13:06:42 GMT");
        let (mut counts, mut out) = (Counts::default(), Vec::new());
        let done = then(
            &mut AnswerContext {
                set: &self.set,
                domains: view,
                now: 0,
                boot_ms: NOW,
                policy: Policy::default(),
                debug: false,
                stamp: &stamp,
                counts: &mut counts,
                clicks: None,
            },
            &mut out,
        );
        (done, String::from_utf8(out).unwrap())
    }

    fn view(&self) -> View {
        View::new(Arc::clone(&self.domains))
    }

    fn step(&self, view: &mut View, request: &str) -> (Step, String) {
        self.turn(view, |turn, out| answer(&mut Conversation::default(), request.as_bytes(), out, turn).1)
    }

    /// The answer to a request; a miss is told of by nobody.
    fn answers(&self, request: &str) -> String {
        let mut view = self.view();
        match self.step(&mut view, request) {
            (Step::Miss(miss), _) => {
                self.turn(&mut view, |turn, out| finish(&miss, MissAnswer::Nobody, out, turn)).1
            }
            (_, answer) => answer,
        }
    }

    /// What the request counts as, and where.
    fn counted(&self, method: &str, host: &str, path: &str) -> (Outcome, Tier) {
        let request = format!("{method} /{path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let mut counted = Vec::new();
        self.turn(&mut self.view(), |turn, out| {
            answer(&mut Conversation::default(), request.as_bytes(), out, turn);
            let tier = turn.counts.tier;
            turn.counts.drain(|outcome, _| counted.push((outcome, tier.of(outcome))));
        });
        assert_eq!(counted.len(), 1);
        counted[0]
    }

    fn get(&self, host: &str, path: &str) -> String {
        self.answers(&format!("GET /{path} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
    }
}

fn target(text: &str) -> Option<Target> {
    Some(Target::stored(text.as_bytes()).unwrap())
}

/// A link that has expired, and where it leads since then.
fn expired(own: Option<&str>, status: Status) -> StoredValue {
    let terms = LinkTerms { status, max_age: Some(60), expire: Some(-1), ..LinkTerms::default() };
    let parts = LinkParts {
        expired_target: own.and_then(target),
        ..LinkParts::on(terms, target("https://x.example/").unwrap())
    };
    StoredValue::live(Link::new(parts).unwrap())
}

fn status(answer: &str) -> &str {
    answer.get(9..12).unwrap_or_default()
}

fn location(answer: &str) -> Option<&str> {
    answer.lines().find_map(|line| line.strip_prefix("Location: "))
}

#[test]
fn a_code_belongs_to_the_domain_of_its_host() {
    let edge = Edge::new(|_| ());
    for host in ["a.example", "A.Example", "a.example.", "a.example:80", "A.EXAMPLE.:8080"] {
        assert_eq!(location(&edge.get(host, "x")), Some("https://of-a.example/"), "{host}");
    }
    for host in ["b.example", "a.example.org", "xa.example", "127.0.0.1", "[::1]:80", &"a".repeat(300)] {
        assert_eq!(location(&edge.get(host, "x")), Some("https://default.example/"), "{host}");
    }
    let whole = "GET http://a.example/x HTTP/1.1\r\nHost: a.example\r\n\r\n";
    assert_eq!(location(&edge.answers(whole)), Some("https://of-a.example/"));
    for (old, to) in [("", "https://default.example/"), ("Host: a.example\r\n", "https://of-a.example/")] {
        assert_eq!(location(&edge.answers(&format!("GET /x HTTP/1.0\r\n{old}\r\n"))), Some(to));
    }
    assert_eq!(status(&edge.get("a.example", "y")), "404");
}

#[test]
fn case_counts_unless_the_domain_folds_it() {
    let edge = Edge::new(|rules| rules.fold_case = true);
    assert_eq!(location(&edge.get("a.example", "X")), Some("https://of-a.example/"));
    assert_eq!(status(&edge.get("b.example", "X")), "404");
}

#[test]
fn letters_have_no_case_either_where_the_domain_folds_it() {
    let edge = Edge::new(|rules| rules.fold_case = true);
    for (code, to_) in [("b\u{fc}cher", "https://b.example/"), ("strasse", "https://s.example/")] {
        edge.set.apply(&key(A, code), 4, Some(&to(to_)));
    }
    edge.set.apply(&key(A, "\u{3bf}\u{3b4}\u{3bf}\u{3c3}"), 5, Some(&to("https://o.example/")));
    for (path, want) in [
        ("B%C3%9CCHER", "https://b.example/"),
        ("b%C3%BCcher", "https://b.example/"),
        ("BU%CC%88CHER", "https://b.example/"),
        ("Stra%C3%9Fe", "https://s.example/"),
        ("STRASSE", "https://s.example/"),
        ("%CE%9F%CE%94%CE%9F%CE%A3", "https://o.example/"),
        ("%CE%BF%CE%B4%CE%BF%CF%82", "https://o.example/"),
    ] {
        assert_eq!(location(&edge.get("a.example", path)), Some(want), "{path}");
        assert_eq!(status(&edge.get("b.example", path)), "404", "{path}");
    }
    // A path that is robots.txt without case is one that no link can have, and not that file either.
    assert_eq!(status(&edge.get("a.example", "robot%C5%BF.txt")), "404");
}

#[test]
fn a_strict_default_domain_takes_no_other_hosts() {
    let edge = Edge::new(|_| ());
    edge.domains.apply(entry(DomainId::DEFAULT, 4, "-", |rules| rules.strict_hosts = true));
    for request in ["GET /x", "GET /robots.txt", "GET /", "HEAD /x", "OPTIONS /x", "POST /x"] {
        let answer = edge.answers(&format!("{request} HTTP/1.1\r\nHost: b.example\r\n\r\n"));
        assert_eq!(status(&answer), "421", "{request}");
        assert!(!answer.contains("b.example") && !answer.contains("Connection: close"), "{answer}");
    }
    assert_eq!(status(&edge.get("a.example", "x")), "302");
    assert_eq!(status(&edge.answers("GET /x HTTP/1.0\r\n\r\n")), "302", "it names no host");
}

#[test]
fn where_visitors_are_led_instead_of_a_404() {
    let lead = |rules: &mut DomainRules| {
        rules.not_found = Some(Target::stored(b"https://home.example/?from=a").unwrap());
    };
    let edge = Edge::new(lead);
    edge.set.apply(&key(A, "gone"), 4, Some(&StoredValue::Deleted));
    edge.set.apply(&key(A, "bad"), 5, Some(&StoredValue::Quarantined));
    for path in ["y", "", "a%20b", "y?x=1"] {
        let answer = edge.get("a.example", path);
        assert_eq!(location(&answer), Some("https://home.example/?from=a"), "{path}");
        assert!(
            answer.starts_with("HTTP/1.1 302 ") && answer.contains("Cache-Control: private, max-age=0\r\n")
        );
        assert_eq!(status(&edge.get("b.example", path)), "404");
    }
    for (path, want) in [("gone", "410"), ("bad", "503"), ("favicon.ico", "404"), ("robots.txt", "200")] {
        assert_eq!(status(&edge.get("a.example", path)), want, "{path}");
    }
    edge.set.freshen(NOW - 5_000);
    let stale = edge.get("a.example", "y");
    assert!(stale.contains("Cache-Control: no-store\r\n") && location(&stale).is_some(), "{stale}");
}

#[test]
fn a_domain_has_files_of_its_own() {
    let file = |path: &str, content_type: &str, content: &[u8]| File {
        path: path.into(),
        content_type: content_type.into(),
        content: content.into(),
    };
    let all = vec![
        file(".well-known/assetlinks.json", "application/json", b"[]"),
        file("favicon.ico", "image/x-icon", &[0, 200, 7]),
    ];
    let edge = Edge::new(|rules| rules.files = Files::new(all).unwrap());
    let got = |request: &str, host: &str| {
        let request = format!("{request} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let stamp = Stamp::new("Sun, 22 Nov 2026 13:06:42 GMT");
        let (mut counts, mut out) = (Counts::default(), Vec::new());
        let turn = &mut AnswerContext {
            set: &edge.set,
            domains: &mut edge.view(),
            now: 0,
            boot_ms: NOW,
            policy: Policy::default(),
            debug: false,
            stamp: &stamp,
            counts: &mut counts,
            clicks: None,
        };
        let step = answer(&mut Conversation::default(), request.as_bytes(), &mut out, turn).1;
        assert_eq!(step, Step::Wait);
        (out, counts)
    };
    let head = "HTTP/1.1 200 OK\r\nCache-Control: public, max-age=300\r\nContent-Length: 2\r\n\
        Content-Type: application/json\r\nX-Content-Type-Options: nosniff\r\nDate: Sun, 22 Nov 2026 13:06:42 GMT\r\n\r\n";
    let (out, counts) = got("GET /.well-known/assetlinks.json", "a.example");
    assert_eq!((out, counts.get(Outcome::File)), (format!("{head}[]").into_bytes(), 1));
    assert_eq!(
        got("GET /.well-known/assetlinks.json?x=1", "A.EXAMPLE:80").0,
        format!("{head}[]").into_bytes()
    );
    assert_eq!(got("HEAD /.well-known/assetlinks.json", "a.example").0, head.as_bytes());
    assert!(got("GET /favicon.ico", "a.example").0.ends_with(b"\r\n\r\n\0\xc8\x07"));
    for (request, host, want, outcome) in [
        ("POST /favicon.ico", "a.example", "405", Outcome::Method),
        ("PUT /.well-known/assetlinks.json", "a.example", "405", Outcome::Method),
        ("DELETE /.well-known/assetlinks.json", "a.example", "405", Outcome::Method),
        ("GET /.well-known/none", "a.example", "404", Outcome::Reserved),
        ("GET /.well-known/Assetlinks.json", "a.example", "404", Outcome::Reserved),
        ("GET /robots.txt", "a.example", "200", Outcome::Reserved),
        ("GET /.well-known/assetlinks.json", "b.example", "404", Outcome::Reserved),
        ("GET /favicon.ico", "b.example", "404", Outcome::Reserved),
    ] {
        let (out, counts) = got(request, host);
        let out = String::from_utf8_lossy(&out).into_owned();
        assert_eq!((status(&out), counts.get(outcome)), (want, 1), "{request} {host}");
    }
    // They are there whether links are current or not.
    edge.set.freshen(NOW - 5_000);
    assert_eq!(got("GET /.well-known/assetlinks.json", "a.example").1.get(Outcome::File), 1);
}

#[test]
fn a_host_whose_domain_went_belongs_to_the_default_one() {
    let edge = Edge::new(|_| ());
    edge.domains.remove(A, 4);
    edge.set.pass(4);
    assert_eq!(location(&edge.get("a.example", "x")), Some("https://default.example/"));
    edge.domains.apply(entry(DomainId::DEFAULT, 5, "-", |rules| rules.strict_hosts = true));
    assert_eq!(status(&edge.get("a.example", "x")), "421");
}

/// A link of a domain is no answer for a host that the domain gave up meanwhile.
#[test]
fn a_token_asks_whether_the_domain_is_still_there() {
    let edge = Edge::new(|_| ());
    let mut view = edge.view();
    let request = "GET /x HTTP/1.1\r\nHost: a.example\r\nX-Linkr-Min-Revision: 1-00000007-5\r\n\r\n";
    let (Step::Miss(miss), _) = edge.step(&mut view, request) else { panic!("it is behind") };
    assert!(miss.needs_origin() && miss.key.domain() == A);
    let told = TierReading { epoch: EPOCH, as_of: 5, version: 0, value: None };
    let finish_with = |view: &mut View| {
        let asked = MissAnswer::Told(Source::Origin, &told);
        status(&edge.turn(view, |turn, out| finish(&miss, asked, out, turn)).1).to_owned()
    };
    edge.domains.told(5, 5);
    assert_eq!(finish_with(&mut view), "503", "its end is not known here");
    edge.domains.remove(A, 5);
    edge.set.pass(5);
    assert_eq!(finish_with(&mut view), "503", "it went between question and answer");
    assert_eq!(location(&edge.answers(request)), Some("https://default.example/"));
}

#[test]
fn a_blind_edge_goes_by_the_class_of_the_domain() {
    let edge = Edge::new(|rules| rules.class = Class::Strict);
    assert_eq!(status(&edge.get("a.example", "x")), "302");
    edge.set.freshen(NOW - 5_000);
    for (host, path, want) in [
        ("a.example", "x", "503"),
        ("a.example", "y", "503"),
        ("b.example", "x", "302"),
        ("b.example", "y", "404"),
    ] {
        assert_eq!(status(&edge.get(host, path)), want, "{host}/{path}");
    }
}

#[test]
fn a_domain_that_cannot_be_read_is_not_taken_for_another() {
    let edge = Edge::new(|_| ());
    let name = ReadableRules::Name(Domain::new("new.example").unwrap());
    let unreadable =
        DomainEntry { id: DomainId(9), as_of: 4, version: 4, told: name, record: Arc::default() };
    edge.domains.apply(unreadable);
    for path in ["x", "y", ""] {
        assert_eq!(status(&edge.get("new.example", path)), "503");
    }
    assert_eq!(status(&edge.get("b.example", "x")), "302");
}

/// The domain of a host is as new as the answer has to be: a code of the default domain is no answer for a host that
/// another one claimed meanwhile.
#[test]
fn a_token_asks_for_the_domain_too() {
    let edge = Edge::new(|_| ());
    let mut view = edge.view();
    let request = "GET /x HTTP/1.1\r\nHost: new.example\r\nX-Linkr-Min-Revision: 1-00000007-5\r\n\r\n";
    let (Step::Miss(miss), _) = edge.step(&mut view, request) else { panic!("it is behind") };
    assert!(miss.needs_origin() && miss.token() == 5);
    let value = to("https://default.example/");
    let told = TierReading { epoch: EPOCH, as_of: 5, version: 2, value: Some(&value) };
    let finish_with = |view: &mut View| {
        let asked = MissAnswer::Told(Source::Origin, &told);
        status(&edge.turn(view, |turn, out| finish(&miss, asked, out, turn)).1).to_owned()
    };
    assert_eq!(finish_with(&mut view), "503", "it may be claimed by now");
    edge.domains.told(5, 4);
    assert_eq!(finish_with(&mut view), "503", "a change is not known here");
    edge.domains.told(5, 1);
    assert_eq!(finish_with(&mut view), "302", "nobody claims it");
    edge.domains.apply(entry(DomainId(9), 6, "new.example", |_| ()));
    edge.set.pass(6);
    assert_eq!(finish_with(&mut view), "503", "claimed between question and answer");
    assert_eq!(status(&edge.answers(request)), "404", "a code of its own domain");
}

/// The trials found these as normal links that failed on an edge which began anew.
#[test]
fn a_domain_made_between_question_and_answer_fails_no_normal_link() {
    let edge = Edge::new(|_| ());
    edge.set.reset(Position { epoch: EPOCH, seq: 3, tag: 0 });
    let mut view = edge.view();
    let (Step::Miss(miss), _) = edge.step(&mut view, "GET /x HTTP/1.1\r\nHost: new.example\r\n\r\n") else {
        panic!("it is not confirmed")
    };
    edge.domains.apply(entry(DomainId(9), 6, "other.example", |_| ()));
    let value = to("https://default.example/");
    let told = TierReading { epoch: EPOCH, as_of: 5, version: 2, value: Some(&value) };
    let asked = MissAnswer::Told(Source::Origin, &told);
    let (_, answer) = edge.turn(&mut view, |turn, out| finish(&miss, asked, out, turn));
    assert!(status(&answer) == "302" && answer.contains("https://default.example/"), "{answer}");
}

/// One that is cut off from the log, and not from those who answer for links.
#[test]
fn what_origin_tells_a_blind_edge_may_be_of_a_domain_that_it_does_not_know() {
    let edge = Edge::new(|_| ());
    let terms = LinkTerms { class: Class::Strict, ..LinkTerms::default() };
    let strict = LinkParts::on(terms, Target::stored(b"https://default.example/").unwrap());
    let strict = StoredValue::live(Link::new(strict).unwrap());
    edge.set.apply(&key(DomainId::DEFAULT, "s"), 4, Some(&strict));
    edge.set.freshen(NOW - 5_000);
    let mut view = edge.view();
    let request = "GET /s HTTP/1.1\r\nHost: new.example\r\n\r\n";
    let (Step::Miss(miss), _) = edge.step(&mut view, request) else { panic!("it is strict") };
    let told = TierReading { epoch: EPOCH, as_of: 9, version: 4, value: Some(&strict) };
    let mut finish_with = |latest| {
        edge.domains.told(9, latest);
        let asked = MissAnswer::Told(Source::Origin, &told);
        status(&edge.turn(&mut view, |turn, out| finish(&miss, asked, out, turn)).1).to_owned()
    };
    assert_eq!((finish_with(8), finish_with(1)), ("503".to_owned(), "302".to_owned()));
}

proptest! {
    /// Whatever is applied in which order, a host gets the redirect of the domain that claims it, and an edge that does
    /// not know yet whether one does gives a client that knows more no answer of the default domain.
    #[test]
    fn no_answer_of_another_domain(claims in prop::collection::vec(0usize..4, 0..6), applied in 0usize..7, asked in 0usize..4, token in 0u64..8) {
        let (set, domains) = (Set::new(1 << 20), Arc::new(Domains::default()));
        set.reset(Position { epoch: EPOCH, seq: 0, tag: 0 });
        set.freshen(NOW);
        let mut claimed = [0u64; 4];
        for (at, &host) in claims.iter().enumerate() {
            let seq = at as u64 + 1;
            if claimed[host] == 0 {
                claimed[host] = seq;
            }
            if at < applied {
                domains.apply(entry(DomainId(host as u32 + 1), seq, &format!("h{host}.example"), |_| ()));
                set.pass(seq);
            }
        }
        set.set_complete();
        let (edge, known) = (Edge { set, domains }, claims.len().min(applied) as u64);
        let request = format!("GET /x HTTP/1.1\r\nHost: h{asked}.example\r\nX-Linkr-Min-Revision: 1-00000007-{token}\r\n\r\n");
        let mut view = edge.view();
        let (step, answer) = edge.step(&mut view, &request);
        let own = claimed[asked] != 0 && claimed[asked] <= known;
        let current = token <= known;
        match step {
            Step::Miss(miss) => {
                prop_assert!(!current);
                prop_assert_eq!(miss.key.domain() != DomainId::DEFAULT, own);
                let target = to("https://wrong.example/");
                let told = TierReading { epoch: EPOCH, as_of: token.max(7), version: 1, value: Some(&target) };
                edge.domains.told(told.as_of, claimed.iter().copied().max().unwrap_or(0));
                let asked_origin = MissAnswer::Told(Source::Origin, &told);
                let (_, answer) = edge.turn(&mut view, |turn, out| finish(&miss, asked_origin, out, turn));
                let all_known = claimed.iter().all(|&seq| seq <= known);
                // Also of a host that is claimed: what is not known here may be that it is so no more.
                prop_assert_eq!(status(&answer), if all_known { "302" } else { "503" });
            }
            _ => prop_assert_eq!((current, status(&answer)), (true, "404")),
        }
    }
}

#[path = "answer_lead_tests.rs"]
mod leads;
