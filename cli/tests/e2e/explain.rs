//! `linkr link explain` says what is answered, to the byte, and leaves no trace.

use crate::support::{Connection, Dir, LINKR, Linkr, beside_others, command, text, until};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;

/// The whole answer of the edge's port to one request.
fn answer(linkr: &Linkr, method: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(linkr.edge()).unwrap();
    let (host, mut bytes) = (linkr.edge(), Vec::new());
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    stream.read_to_end(&mut bytes).unwrap();
    text(&bytes)
}

fn explained(linkr: &Linkr, query: &str) -> Value {
    let answer = Connection::to(linkr.admin()).ask("GET", &format!("/debug/explain?{query}"));
    assert_eq!(answer.status, 200, "{}", answer.body);
    serde_json::from_str(&answer.body).unwrap()
}

/// Everything that is counted about requests.
fn counted(linkr: &Linkr) -> Vec<String> {
    let text = Connection::to(linkr.admin()).ask("GET", "/metrics").body;
    let of_requests = |line: &&str| {
        ["linkr_edge_requests_total", "linkr_edge_misses", "linkr_edge_turns", "linkr_edge_answered"]
            .iter()
            .any(|name| line.starts_with(name))
    };
    text.lines().filter(of_requests).map(str::to_owned).collect()
}

fn start(dir: &Dir) -> Linkr {
    let linkr = Linkr::up(dir);
    linkr.ok(dir, &["link", "create", "https://example.com/x#f", "--code", "x", "--query", "append"]);
    linkr.ok(dir, &["link", "create", "https://example.com/s", "--code", "a/s", "--class", "strict"]);
    linkr.ok(dir, &["link", "create", "https://example.com/gone", "--code", "gone"]);
    linkr.ok(dir, &["link", "delete", "gone"]);
    linkr.catch_up();
    until("the whole set", || linkr.metric("linkr_hot_set_complete").filter(|complete| *complete == 1.0));
    until("freshness", || linkr.metric("linkr_edge_staleness_seconds").filter(|age| *age < 1.0));
    linkr
}

#[test]
fn it_is_the_real_answer_to_the_byte() {
    let _turn = beside_others();
    let dir = Dir::new();
    let linkr = start(&dir);
    for (method, path, outcome, tier, version) in [
        ("GET", "/x", "redirect", "hot", Some(1)),
        ("HEAD", "/x?q=1&r=%20", "redirect", "hot", Some(1)),
        ("GET", "/a/s", "redirect", "hot", Some(2)),
        ("GET", "/gone", "gone", "hot", Some(4)),
        ("GET", "/none", "not_found", "hot", None),
        ("GET", "/robots.txt", "reserved", "none", None),
        ("POST", "/x", "method", "none", Some(1)),
        ("GET", "/%7a", "not_found", "hot", None),
        ("GET", "x", "refused", "none", None),
    ] {
        let escaped = path.replace('%', "%25").replace('&', "%26");
        // Only the second may tick between the two.
        until(path, || {
            let explained = explained(&linkr, &format!("method={method}&path={escaped}"));
            assert_eq!(explained["outcome"], outcome, "{method} {path}: {explained}");
            assert_eq!(explained["tier"], tier);
            assert_eq!(explained["fresh"].as_bool(), (tier == "hot").then_some(true), "{explained}");
            assert_eq!(explained["version"].as_u64(), version, "{explained}");
            let revision = explained["revision"].as_str();
            assert_eq!(revision.map(|text| text.rsplit('-').next().unwrap().parse().unwrap()), version);
            assert!(
                version.is_none_or(|version| explained["as_of"].as_u64() >= Some(version)),
                "{explained}"
            );
            assert!(tier != "hot" || explained["staleness_ms"].as_u64() < Some(1000), "{explained}");
            assert_eq!(explained["blind"], false);
            let response = explained["response"].as_str().unwrap();
            let real = answer(&linkr, method, path);
            let undated = |text: &str| text.lines().filter(|line| !line.starts_with("Date: ")).count();
            assert_eq!(undated(response), undated(&real), "{response}{real}");
            (response == real).then_some(())
        });
    }
    let strict = explained(&linkr, "path=/a/s");
    assert_eq!(
        (&strict["class"], &explained(&linkr, "path=/x")["class"]),
        (&"strict".into(), &"normal".into())
    );
}

#[test]
fn nothing_is_counted() {
    let _turn = beside_others();
    let dir = Dir::new();
    let linkr = start(&dir);
    linkr.get("/x");
    let before = counted(&linkr);
    assert!(before.len() > 10);
    let admin = linkr.admin().to_string();
    for code in ["x", "none", "gone", "a/s", "robots.txt"] {
        linkr.ok(&dir, &["link", "explain", code, "--edge", &admin]);
    }
    explained(&linkr, "path=/x&method=BREW&host=other.example");
    assert_eq!(counted(&linkr), before);
}

#[test]
fn what_people_and_programs_see() {
    let _turn = beside_others();
    let dir = Dir::new();
    let linkr = start(&dir);
    let admin = format!("http://{}", linkr.admin());
    let shown = linkr.ok(&dir, &["link", "explain", "/x?q=1", "--edge", &admin]);
    for line in [
        "outcome      redirect",
        "tier         hot",
        "fresh        true",
        "class        normal",
        "version      1",
    ] {
        assert!(shown.lines().any(|own| own == line), "{line}\n{shown}");
    }
    assert!(shown.contains("\n\nHTTP/1.1 302 Found\nLocation: https://example.com/x?q=1#f\n"), "{shown}");
    let json: Value =
        serde_json::from_str(&linkr.ok(&dir, &["link", "explain", "x", "--edge", &admin, "-o", "json"]))
            .unwrap();
    assert_eq!((&json["outcome"], &json["version"]), (&"redirect".into(), &1.into()));
    // What cannot be asked is said.
    let refused = |words: &[&str]| {
        let done = linkr.run(&dir, words);
        assert_eq!(done.status.code(), Some(2));
        text(&done.stderr)
    };
    let said = refused(&["link", "explain", "x", "--edge", "127.0.0.1:9"]);
    assert!(said.contains("--edge names the admin listener"), "{said}");
    let said = refused(&["link", "explain", "a b", "--edge", &admin]);
    assert!(said.contains("path is missing or cannot stand in a request"), "{said}");
    assert_eq!(Connection::to(linkr.admin()).ask("GET", "/debug/explain").status, 400);
}

#[test]
fn a_miss_is_asked_for_as_a_request_would() {
    let _turn = beside_others();
    let (dir, own) = (Dir::new(), Dir::new());
    let mut control = command(LINKR, dir.path());
    control.args(["control", "--api", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--store", "sqlite:links.db"]);
    let control = Linkr::start(control, &dir, &["store", "api", "admin"]);
    let rows = (0..4_000).map(|number| format!("c{number},https://example.com/some/target/{number}\n"));
    let file = dir.write("links.csv", format!("code,target\n{}", rows.collect::<String>()));
    control.ok(&dir, &["import", &file]);
    let mut edge = command(LINKR, own.path());
    edge.args(["edge", "--control", &format!("http://{}", control.api()), "--workers", "1", "--unpinned"]);
    edge.args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--hot-set-bytes", "128KiB"]);
    let edge = Linkr::start(edge, &own, &["edge", "admin"]);
    until("it to have seen all links", || {
        (Connection::to(edge.admin()).ask("GET", "/readyz").status == 200).then_some(())
    });
    let miss = explained(&edge, "path=/none");
    assert_eq!((&miss["outcome"], &miss["tier"]), (&"not_found".into(), &"origin".into()), "{miss}");
    let asked = (0..4_000)
        .map(|number| explained(&edge, &format!("path=/c{number}")))
        .find(|told| told["tier"] == "origin")
        .expect("one that does not fit");
    assert_eq!((&asked["outcome"], &asked["fresh"]), (&"redirect".into(), &true.into()), "{asked}");
    assert!(asked["as_of"].as_u64() >= asked["version"].as_u64(), "{asked}");
    drop(control);
    until("nobody to ask", || {
        let told = explained(&edge, "path=/other");
        let nobody = told["outcome"] == "unavailable";
        assert!(!nobody || (told["tier"] == "origin" && told["fresh"] == false), "{told}");
        nobody.then_some(())
    });
}
