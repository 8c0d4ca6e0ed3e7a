//! Two domains on one edge, from the outside: the same code in both, hosts that nobody claims, a start from the file.

use crate::support::{Answer, Connection, Dir, LINKR, Linkr, beside_others, command, text, until};
use std::io::{Read, Write};
use std::net::TcpStream;

/// The status and the `Location` of an answer to one request under this host, on a connection of its own.
fn get(linkr: &Linkr, host: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(linkr.edge()).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let location = answer.lines().find_map(|line| line.strip_prefix("Location: ")).unwrap_or_default();
    (answer[9..12].parse().unwrap(), location.to_owned())
}

fn to(target: &str) -> (u16, String) {
    (302, target.to_owned())
}

fn status(status: u16) -> (u16, String) {
    (status, String::new())
}

/// The body of an answer.
fn body(linkr: &Linkr, host: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(linkr.edge()).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

#[test]
fn a_domain_says_where_else_its_visitors_are_led() {
    let _turn = beside_others();
    let dir = Dir::new();
    let linkr = Linkr::up(&dir);
    std::fs::write(dir.path().join("robots"), "User-agent: *\nDisallow: /\n").unwrap();
    let root =
        ["--root-target", "https://root.example/?{query}", "--not-found", "https://lost.example/{path}"];
    let late = ["--expired-target", "https://late.example/{path}", "--trailing-slash", "--punctuation"];
    let robots = dir.file("robots");
    let more = ["--query", "append", "--robots", &robots, "--stats", "full", "--ack", "propagated"];
    linkr.ok(&dir, &[&["domain", "create", "a.example"], &root[..], &late[..], &more[..]].concat());
    let past = ["--expire-time", "2020-01-01T00:00:00Z"];
    let make = |words: &[&str]| {
        let own = ["--domain", "a.example", "--ack", "propagated"];
        linkr.ok(&dir, &[&["link", "create"], words, &own[..]].concat())
    };
    make(&["https://one.example/", "--code", "x"]);
    make(&[&["https://one.example/", "--code", "old"], &past[..]].concat());
    let own = ["https://one.example/", "--code", "own", "--expired-target", "https://own.example/"];
    make(&[&own[..], &past[..]].concat());
    for (path, want) in [
        ("/", to("https://root.example/")),
        ("/?a=1", to("https://root.example/?a=1")),
        ("/x/", to("https://one.example/")),
        ("/x).?q=1", to("https://one.example/?q=1")),
        ("/none", to("https://lost.example/none")),
        ("/old", to("https://late.example/old")),
        ("/own", to("https://own.example/")),
    ] {
        assert_eq!(get(&linkr, "a.example", path), want, "{path}");
    }
    assert_eq!(get(&linkr, "127.0.0.1", "/"), status(404));
    assert_eq!(body(&linkr, "a.example", "/robots.txt"), "User-agent: *\nDisallow: /\n");
    let admin = linkr.admin().to_string();
    for (path, line) in [
        ("/", "by           root_target of domains/a.example"),
        ("x/", "code         x"),
        ("none", "by           not_found of domains/a.example"),
        ("old", "by           expired_target of domains/a.example"),
        ("own", "by           expired_target of the link"),
        ("robots.txt", "by           robots of domains/a.example"),
    ] {
        let shown = linkr.ok(&dir, &["link", "explain", path, "--domain", "a.example", "--edge", &admin]);
        assert!(shown.lines().any(|own| own == line), "{line}\n{shown}");
    }
    let shown = linkr.ok(&dir, &["domain", "get", "a.example"]);
    for line in [
        "root_target    https://root.example/?{query}",
        "robots         User-agent: *",
        "query          append",
        "stats          full",
    ] {
        assert!(shown.lines().any(|own| own == line), "{line}\n{shown}");
    }
    // A link that is there already goes by the domain's query, too.
    make(&["https://two.example/", "--code", "y"]);
    let same =
        ["link", "create", "https://two.example/", "--code", "y", "--same-ok", "--domain", "a.example"];
    linkr.ok(&dir, &same);
    // What an export writes comes back as it was.
    linkr.ok(&dir, &["export", &dir.file("a.csv"), "--domain", "a.example"]);
    let of_default = text(&linkr.run(&dir, &["export"]).stderr);
    assert!(of_default.contains("only links of the default domain"), "{of_default}");
    let told = linkr.ok(&dir, &["import", &dir.file("a.csv"), "--domain", "a.example"]);
    assert!(told.contains("created 0, updated 0, skipped 4, rejected 0"), "{told}");
    let clear = [
        "domain",
        "update",
        "a.example",
        "--clear",
        "root_target,robots,punctuation,stats",
        "--ack",
        "propagated",
    ];
    linkr.ok(&dir, &clear);
    let shown = linkr.ok(&dir, &["domain", "get", "a.example"]);
    assert!(shown.lines().any(|own| own == "stats          counts"), "{shown}");
    assert_eq!(get(&linkr, "a.example", "/"), to("https://lost.example/"));
    assert_eq!(get(&linkr, "a.example", "/x."), to("https://lost.example/x."));
    assert_eq!(body(&linkr, "a.example", "/robots.txt"), "User-agent: *\nDisallow:\n");
}

#[test]
fn two_domains_have_codes_of_their_own_on_one_edge() {
    let _turn = beside_others();
    let dir = Dir::new();
    let linkr = Linkr::up(&dir);
    linkr
        .ok(&dir, &["domain", "create", "go.example", "--fold-case", "--not-found", "https://home.example/"]);
    linkr.ok(&dir, &["domain", "create", "b.example"]);
    let propagated = ["--ack", "propagated"];
    let make = |words: &[&str]| linkr.ok(&dir, &[&["link", "create"], words, &propagated[..]].concat());
    make(&["https://one.example/", "--code", "x"]);
    make(&["https://two.example/", "--code", "X", "--domain", "go.example"]);
    make(&["https://three.example/", "--code", "x", "--domain", "b.example"]);
    for (host, path, want) in [
        ("127.0.0.1", "/x", to("https://one.example/")),
        ("go.example", "/x", to("https://two.example/")),
        ("GO.Example.:8080", "/X", to("https://two.example/")),
        ("b.example", "/x", to("https://three.example/")),
        ("b.example", "/X", status(404)),
        ("c.example", "/x", to("https://one.example/")),
        ("go.example", "/y", to("https://home.example/")),
        ("go.example", "/", to("https://home.example/")),
        ("b.example", "/", status(404)),
    ] {
        assert_eq!(get(&linkr, host, path), want, "{host}{path}");
    }
    let explained = linkr
        .ok(&dir, &["link", "explain", "X", "--domain", "go.example", "--edge", &linkr.admin().to_string()]);
    assert!(explained.contains("redirect") && explained.contains("https://two.example/"), "{explained}");

    linkr.ok(&dir, &[&["domain", "update", "-", "--strict-hosts"], &propagated[..]].concat());
    for host in ["c.example", "127.0.0.1"] {
        assert_eq!(get(&linkr, host, "/x"), status(421), "{host}");
    }
    assert_eq!(get(&linkr, "b.example", "/x"), to("https://three.example/"));
    linkr.ok(&dir, &["domain", "update", "-", "--strict-hosts", "false", "--ack", "propagated"]);
    assert_eq!(get(&linkr, "c.example", "/x"), to("https://one.example/"));

    let listed = linkr.ok(&dir, &["domain", "list"]);
    assert_eq!(
        listed, "-\nb.example\ngo.example  fold_case  https://home.example/\n",
        "in the order of their names"
    );
    let shown = linkr.ok(&dir, &["domain", "get", "go.example"]);
    assert!(shown.contains("fold_case      true\n"), "{shown}");
    let check = linkr.ok(&dir, &["link", "check", "X", "--domain", "go.example"]);
    assert!(check.starts_with("x is taken\nthese are free:\n  x-2\n"), "{check}");
    let drawn = make(&["https://four.example/", "--code-prefix", "eu/", "--code-length", "12"]);
    assert!(drawn.contains("eu/"), "{drawn}");
    let refused = linkr.run(&dir, &["link", "create", "https://go.example/x"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("use https://two.example/ instead"), "{said}");
    make(&["https://go.example/x", "--flatten", "--code", "flat"]);
    assert_eq!(get(&linkr, "localhost", "/flat"), to("https://two.example/"));
}

/// Found by attack: `linkr up` took a link to itself, and clients looped.
#[test]
fn a_target_at_the_edge_of_this_process_is_one_of_ours() {
    let _turn = beside_others();
    let dir = Dir::new();
    let linkr = Linkr::up(&dir);
    let (port, api) = (linkr.edge().port(), linkr.api().port());
    for host in ["127.0.0.1", "127.1", "2130706433", "LocalHost.", "0", "[::ffff:127.0.0.1]"] {
        let target = format!("http://{host}:{port}/loop");
        let made = linkr.run(&dir, &["link", "create", &target, "--code", "loop"]);
        let said = String::from_utf8_lossy(&made.stderr).into_owned();
        assert!(made.status.code() == Some(2) && said.contains("of ours"), "{target}: {said}");
    }
    linkr.ok(&dir, &["link", "create", "https://example.com/", "--code", "x"]);
    let target = format!("http://localhost:{port}/x");
    linkr.ok(&dir, &["link", "create", &target, "--code", "flat", "--flatten", "--ack", "propagated"]);
    assert_eq!(get(&linkr, "127.0.0.1", "/flat"), to("https://example.com/"));
    linkr.ok(&dir, &["link", "create", &format!("http://127.0.0.1:{api}/docs"), "--code", "docs"]);
}

#[test]
fn an_edge_alone_still_knows_whose_its_links_are() {
    let _turn = beside_others();
    let (dir, own) = (Dir::new(), Dir::new());
    let mut control = command(LINKR, dir.path());
    control.args(["control", "--api", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--store", "sqlite:links.db"]);
    let control = Linkr::start(control, &dir, &["store", "api", "admin"]);
    control.ok(&dir, &["domain", "create", "go.example", "--class", "strict"]);
    control.ok(&dir, &["domain", "create", "b.example"]);
    control.ok(&dir, &["link", "create", "https://one.example/", "--code", "x"]);
    control.ok(&dir, &["link", "create", "https://two.example/", "--code", "x", "--domain", "go.example"]);
    control.ok(&dir, &["link", "create", "https://three.example/", "--code", "x", "--domain", "b.example"]);
    let url = format!("http://{}", control.api());
    let edge = || {
        let mut edge = command(LINKR, own.path());
        edge.args(["edge", "--control", &url, "--workers", "1", "--unpinned", "--snapshot", "edge.snapshot"]);
        edge.args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
        Linkr::start(edge, &own, &["edge", "admin"])
    };
    let mut first = edge();
    until("the whole set", || (first.metric("linkr_hot_set_complete")? == 1.0).then_some(()));
    until("freshness", || first.metric("linkr_edge_staleness_seconds").filter(|age| *age < 1.0));
    assert_eq!(get(&first, "go.example", "/x"), to("https://two.example/"));
    first.ask_to_stop();
    assert!(first.exited().success());
    drop(control);

    let second = edge();
    let ready: Answer = Connection::to(second.admin()).ask("GET", "/readyz");
    assert_eq!(ready.status, 200, "at once");
    for (host, path, want) in [
        ("b.example", "/x", to("https://three.example/")),
        ("c.example", "/x", to("https://one.example/")),
        ("b.example", "/none", status(404)),
        ("go.example", "/x", status(503)),
        ("go.example", "/none", status(503)),
    ] {
        assert_eq!(get(&second, host, path), want, "{host}{path}: blind");
    }
}

/// A whole answer to one request under this host.
fn whole(linkr: &Linkr, request: &str, host: &str) -> String {
    let mut stream = TcpStream::connect(linkr.edge()).unwrap();
    write!(stream, "{request} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// What a command that is refused says.
fn fails(linkr: &Linkr, dir: &Dir, words: &[&str]) -> String {
    let out = linkr.run(dir, words);
    assert!(!out.status.success(), "{words:?}");
    String::from_utf8_lossy(&out.stderr).into_owned()
}

#[test]
fn a_domain_in_its_own_letters_has_files_and_goes() {
    let _turn = beside_others();
    let dir = Dir::new();
    let linkr = Linkr::up(&dir);
    let name = "b\u{fc}cher.example";
    let out = linkr.run(&dir, &["domain", "create", name, "--ack", "propagated"]);
    let told = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.success() && told.contains("is xn--bcher-kva.example to browsers"), "{told}");
    assert!(String::from_utf8_lossy(&out.stdout).contains("xn--bcher-kva.example"));
    linkr.ok(
        &dir,
        &["link", "create", "https://one.example/", "--code", "x", "--domain", name, "--ack", "propagated"],
    );
    let host = "xn--bcher-kva.example";
    assert_eq!(get(&linkr, host, "/x"), to("https://one.example/"));
    // The address alone, for scripts.
    let url = linkr.ok(&dir, &["link", "get", "x", "--domain", name, "-o", "url"]);
    assert_eq!(url, format!("https://{host}/x\n"));
    let refused =
        fails(&linkr, &dir, &["link", "create", "https://one.example/", "--code", "y", "-o", "url"]);
    assert!(refused.contains("--base-url") && refused.contains("domains/-/links/y is there"), "{refused}");
    let refused = fails(&linkr, &dir, &["link", "list", "-o", "url"]);
    assert!(refused.contains("link list does not answer with one link"), "{refused}");

    let file = dir.path().join("assetlinks.json");
    std::fs::write(&file, "[{\"relation\": []}]").unwrap();
    let given = format!("/.well-known/assetlinks.json={}", file.display());
    linkr.ok(&dir, &["domain", "update", name, "--file", &given, "--ack", "propagated"]);
    let icon = format!("favicon.ico={};type=image/png", file.display());
    linkr.ok(&dir, &["domain", "update", name, "--file", &icon, "--ack", "propagated"]);
    let shown = linkr.ok(&dir, &["domain", "get", name]);
    assert!(shown.contains("/.well-known/assetlinks.json  application/json  18 bytes"), "{shown}");
    assert!(shown.contains("/favicon.ico  image/png  18 bytes") && !shown.contains("relation"), "{shown}");
    let answer = whole(&linkr, "GET /.well-known/assetlinks.json", host);
    assert!(
        answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\n[{\"relation\": []}]"),
        "{answer}"
    );
    assert!(answer.contains("X-Content-Type-Options: nosniff\r\n"), "{answer}");
    assert!(whole(&linkr, "POST /favicon.ico", host).starts_with("HTTP/1.1 405 "));
    assert!(whole(&linkr, "GET /.well-known/assetlinks.json", "c.example").starts_with("HTTP/1.1 404 "));
    linkr.ok(&dir, &["domain", "update", name, "--file", "favicon.ico=", "--ack", "propagated"]);
    assert!(whole(&linkr, "GET /favicon.ico", host).starts_with("HTTP/1.1 404 "));

    let refused = fails(&linkr, &dir, &["domain", "delete", name]);
    assert!(refused.contains("has at least 1 link"), "{refused}");
    linkr.ok(&dir, &["link", "delete", "x", "--domain", name]);
    let refused = fails(&linkr, &dir, &["domain", "delete", name]);
    assert!(refused.contains("can be undeleted until"), "{refused}");
    linkr.ok(&dir, &["domain", "delete", name, "--purge-deleted", "--ack", "propagated"]);
    assert_eq!(get(&linkr, host, "/x"), status(404));
    assert!(whole(&linkr, "GET /.well-known/assetlinks.json", host).starts_with("HTTP/1.1 404 "));
    assert!(!linkr.ok(&dir, &["domain", "list"]).contains(host));
}
