//! Two domains on one edge, from the outside: the same code in both, hosts that nobody claims, a start from the file.

use crate::support::{Answer, Connection, Dir, LINKR, Linkr, beside_others, command, until};
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
    assert!(shown.contains("fold_case    true\n"), "{shown}");
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
