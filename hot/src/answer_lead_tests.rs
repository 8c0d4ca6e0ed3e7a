//! Where a domain leads its visitors, which endings it passes over, and what it tells crawlers.

use super::*;

#[test]
fn the_root_of_a_domain_leads_where_it_says() {
    let edge = Edge::new(|rules| {
        rules.root_target = target("https://home.example/?{query}");
        rules.not_found = target("https://lost.example/");
    });
    for (path, want) in [
        ("", "https://home.example/"),
        ("?", "https://home.example/"),
        ("?a=1&b", "https://home.example/?a=1&b"),
        ("y", "https://lost.example/"),
        ("/", "https://lost.example/"),
    ] {
        let answer = edge.get("a.example", path);
        assert_eq!(location(&answer), Some(want), "{path}");
        assert!(answer.starts_with("HTTP/1.1 302 Found\r\n"), "{answer}");
        assert!(answer.contains("Cache-Control: private, max-age=0\r\n"), "{answer}");
        let head = edge.answers(&format!("HEAD /{path} HTTP/1.1\r\nHost: a.example\r\n\r\n"));
        assert_eq!(head, answer);
        assert_eq!(status(&edge.get("b.example", path)), "404", "{path}");
    }
    assert_eq!(edge.counted("GET", "a.example", ""), (Outcome::Root, Tier::None));
    assert_eq!(edge.counted("GET", "a.example", "y"), (Outcome::NotFound, Tier::Hot));
    assert_eq!(edge.counted("GET", "b.example", ""), (Outcome::NotFound, Tier::Hot));
    for (method, want) in [("POST", "405"), ("PUT", "405"), ("OPTIONS", "204"), ("DELETE", "405")] {
        let request = format!("{method} / HTTP/1.1\r\nHost: a.example\r\n\r\n");
        assert_eq!(status(&edge.answers(&request)), want, "{method}");
    }
    let strict = Edge::new(|_| ());
    strict.domains.apply(entry(DomainId::DEFAULT, 4, "-", |rules| {
        (rules.strict_hosts, rules.root_target) = (true, target("https://home.example/"));
    }));
    assert_eq!(status(&strict.get("b.example", "")), "421");
    assert_eq!(status(&strict.answers("GET / HTTP/1.0\r\n\r\n")), "302", "it names no host");
}

/// R11 is of domains, too: whoever has set where `/` leads asks for that.
#[test]
fn what_a_domain_says_is_as_new_as_the_client_asks_for() {
    let edge = Edge::new(|rules| rules.root_target = target("https://home.example/"));
    let get = |path: &str, token: &str| {
        let head =
            format!("GET /{path} HTTP/1.1\r\nHost: a.example\r\nX-Linkr-Min-Revision: {token}\r\n\r\n");
        status(&edge.answers(&head)).to_owned()
    };
    for (path, now) in [("", "302"), ("robots.txt", "200"), ("a//b", "404")] {
        assert_eq!(get(path, "1-00000007-3"), now, "{path}");
        assert_eq!(get(path, "1-00000007-4"), "503", "{path}: it may have changed meanwhile");
        assert_eq!(get(path, "2-00000009-1"), "503", "{path}: another history");
        assert_eq!(get(path, "nonsense"), now, "{path}");
    }
    edge.set.pass(4);
    assert_eq!(get("", "1-00000007-4"), "302");
}

#[test]
fn an_expired_link_leads_where_it_or_its_domain_says() {
    let edge = Edge::new(|rules| rules.expired_target = target("https://late.example/{path}?{query}"));
    let links = [
        ("plain", expired(None, Status::Found)),
        ("own", expired(Some("https://own.example/{path}"), Status::Found)),
        ("kept", expired(None, Status::PermanentRedirect)),
        ("gone", StoredValue::Deleted),
    ];
    let of_both = [A, DomainId::DEFAULT].into_iter().flat_map(|id| links.iter().map(move |link| (id, link)));
    for (seq, (id, (code, link))) in (4..).zip(of_both) {
        edge.set.apply(&key(id, code), seq, Some(link));
    }
    for (host, path, want) in [
        ("a.example", "plain?q=1", Some("https://late.example/plain?q=1")),
        ("a.example", "kept", Some("https://late.example/kept")),
        ("a.example", "own?q=1", Some("https://own.example/{path}")),
        ("b.example", "own", Some("https://own.example/{path}")),
        ("b.example", "plain", None),
        ("a.example", "gone", None),
    ] {
        let answer = edge.get(host, path);
        assert_eq!(location(&answer), want, "{host}/{path}");
        let first = if want.is_some() { "HTTP/1.1 302 Found\r\n" } else { "HTTP/1.1 410 Gone\r\n" };
        assert!(answer.starts_with(first) && answer.contains("max-age=0\r\n"), "{answer}");
    }
    for (host, path, want) in [
        ("a.example", "plain", Outcome::Expired),
        ("a.example", "own", Outcome::Expired),
        ("b.example", "plain", Outcome::Gone),
        ("a.example", "gone", Outcome::Gone),
    ] {
        assert_eq!(edge.counted("GET", host, path), (want, Tier::Hot), "{host}/{path}");
    }
    assert_eq!(
        edge.counted("POST", "a.example", "kept"),
        (Outcome::Gone, Tier::Hot),
        "302 would make a GET of it"
    );
    edge.set.freshen(NOW - 5_000);
    let stale = edge.get("a.example", "plain");
    assert!(stale.contains("Cache-Control: no-store\r\n") && location(&stale).is_some(), "{stale}");
}

#[test]
fn a_code_is_found_behind_the_endings_that_its_domain_passes_over() {
    let endings = Endings { trailing_slash: true, punctuation: true };
    let edge = Edge::new(|rules| {
        (rules.fold_case, rules.endings) = (true, endings);
        rules.not_found = target("https://lost.example/{path}");
    });
    edge.set.apply(
        &key(A, "t"),
        4,
        Some(&{
            let terms = LinkTerms { status: Status::TemporaryRedirect, ..LinkTerms::default() };
            let parts = LinkParts::on(terms, target("https://t.example/").unwrap());
            StoredValue::live(Link::new(parts).unwrap())
        }),
    );
    let kept = Edge::new(|_| ());
    for path in ["x/", "X.", "x)", "x%29,", "x%E2%80%9D", "X/).", "x'/", "x...?q=1", "x!"] {
        let answer = edge.get("a.example", path);
        assert_eq!(location(&answer), Some("https://of-a.example/"), "{path}");
        let head = edge.answers(&format!("HEAD /{path} HTTP/1.1\r\nHost: a.example\r\n\r\n"));
        assert_eq!(head, answer, "{path}");
        assert_eq!(edge.counted("GET", "a.example", path), (Outcome::Redirect, Tier::Hot), "{path}");
        assert_eq!(
            status(&edge.get("b.example", path)),
            "404",
            "{path}: the default domain passes over nothing"
        );
        assert_eq!(status(&kept.get("a.example", path)), "404", "{path}: nor does a domain by itself");
    }
    for (path, want) in
        [("Y/).", "Y/)."), ("...", "..."), ("a%20b.", "a%20b."), ("robots.txt/", "robots.txt/"), ("/", "/")]
    {
        assert_eq!(
            location(&edge.get("a.example", path)),
            Some(&*format!("https://lost.example/{want}")),
            "{path}"
        );
    }
    let send = |method: &str, path: &str| {
        let answer = edge.answers(&format!("{method} /{path} HTTP/1.1\r\nHost: a.example\r\n\r\n"));
        status(&answer).to_owned()
    };
    for (method, path, want) in [
        ("POST", "t/", "307"),
        ("PUT", "T).", "307"),
        ("POST", "x/", "405"),
        ("POST", "none/", "404"),
        ("DELETE", "t/", "405"),
        ("OPTIONS", "t/", "204"),
    ] {
        assert_eq!(send(method, path), want, "{method} {path}");
    }
    assert_eq!(status(&edge.get("a.example", "robots.txt")), "200");
}

/// A code that nobody here knows is asked for without its ending, and the answer says what was asked for.
#[test]
fn an_ending_is_not_asked_for_and_not_forgotten() {
    let edge = Edge::new(|rules| {
        rules.endings = Endings { trailing_slash: true, punctuation: false };
        rules.not_found = target("https://lost.example/{path}?{query}");
    });
    edge.set.reset(Position { epoch: EPOCH, seq: 3, tag: 0 });
    let mut view = edge.view();
    for (path, code) in [("new/?q=1", "new/"), ("new?q=1", "new")] {
        let request = format!("GET /{path} HTTP/1.1\r\nHost: a.example\r\n\r\n");
        let (Step::Miss(miss), _) = edge.step(&mut view, &request) else { panic!("it is not known") };
        assert_eq!(miss.key.code(), b"new");
        let told = TierReading { epoch: EPOCH, as_of: 5, version: 0, value: None };
        let asked = MissAnswer::Told(Source::Origin, &told);
        let (_, answer) = edge.turn(&mut view, |turn, out| finish(&miss, asked, out, turn));
        assert_eq!(location(&answer), Some(&*format!("https://lost.example/{code}?q=1")));
    }
    let (HeadParse::Head(head, _), view) =
        (parse(b"GET /new/ HTTP/1.1\r\nHost: a.example\r\n\r\n"), edge.view())
    else {
        panic!("it is a request")
    };
    assert_eq!(key_of(&head, &view).map(|key| key.code().to_vec()), Some(b"new".to_vec()));
}

#[test]
fn a_domain_has_a_robots_txt_of_its_own() {
    let edge = Edge::new(|rules| rules.robots = Some("User-agent: *\nDisallow: /\n".into()));
    let own = edge.get("a.example", "robots.txt");
    assert!(own.starts_with("HTTP/1.1 200 OK\r\n") && own.contains("\r\nContent-Length: 26\r\n"), "{own}");
    assert!(own.ends_with("\r\n\r\nUser-agent: *\nDisallow: /\n"), "{own}");
    assert!(own.contains("\r\nX-Content-Type-Options: nosniff\r\n"), "{own}");
    let head = edge.answers("HEAD /robots.txt HTTP/1.1\r\nHost: a.example\r\n\r\n");
    assert_eq!(head, own.strip_suffix("User-agent: *\nDisallow: /\n").unwrap());
    assert_eq!(edge.counted("GET", "a.example", "robots.txt"), (Outcome::Reserved, Tier::None));
    assert!(edge.get("b.example", "robots.txt").ends_with("User-agent: *\nDisallow:\n"));
    let request = "POST /robots.txt HTTP/1.1\r\nHost: a.example\r\n\r\n";
    assert_eq!(status(&edge.answers(request)), "405");
}

/// An address of 8 KiB of which each byte is escaped would make a field of 24 KiB.
#[test]
fn a_path_that_makes_too_long_an_address_is_left_out() {
    let edge = Edge::new(|rules| rules.not_found = target("https://lost.example/{path}?{query}"));
    let long = format!("<{}", "x".repeat(8_100));
    let answer = edge.get("a.example", &long);
    assert_eq!(location(&answer).map(str::len), Some("https://lost.example/%3C".len() + 8_100));
    assert_eq!(location(&edge.get("a.example", &"<".repeat(8_100))), Some("https://lost.example/"));
}
