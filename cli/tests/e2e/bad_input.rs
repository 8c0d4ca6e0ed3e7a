//! What people get wrong: one line that says what and how to mend it, exit status 2, nothing broken.

use crate::support::{Connection, Dir, LINKR, Linkr, beside_others, command, text};
use std::net::TcpListener;
use std::process::Output;

#[track_caller]
fn refused(done: &Output, wanted: &[&str]) {
    let said = text(&done.stderr);
    assert_eq!(done.status.code(), Some(2), "{said}");
    assert_eq!(text(&done.stdout), "", "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    for part in wanted {
        assert!(said.contains(part), "{part:?} is not in: {said}");
    }
}

#[test]
fn words_that_make_no_sense() {
    let _turn = beside_others();
    let dir = Dir::new();
    let run = |words: &[&str]| command(LINKR, dir.path()).args(words).output().unwrap();
    refused(&run(&["lnk"]), &["unrecognized subcommand 'lnk'", "--help"]);
    refused(&run(&["link", "create"]), &["<TARGET>", "--help"]);
    refused(&run(&["link"]), &["--help"]);
    refused(&run(&["up", "--workers", "many"]), &["many", "--workers"]);
    refused(&run(&["up", "--workers", "99999"]), &["99999", "1024", "--workers"]);
    refused(&run(&["up", "--hot-set-bytes", "1XB"]), &["1XB", "512MiB", "GB"]);
    refused(&run(&["up", "--hot-set-bytes", "0"]), &["no memory", "--hot-set-bytes"]);
    refused(&run(&["edge", "--control", "here"]), &["here", "http://host:port"]);
    refused(
        &run(&["link", "create", "https://a", "--expire-time", "soon"]),
        &["soon", "2030-01-31T12:00:00Z"],
    );
    refused(&run(&["link", "update", "a"]), &["nothing to change", "--clear"]);
    refused(&run(&["link", "update", "a", "--title", "x", "--clear", "title"]), &["title"]);
    refused(&run(&["control", "--store", "mysql://x"]), &["mysql://x", "sqlite:PATH"]);
    refused(&run(&["control", "--redis", "here"]), &["--redis", "redis://"]);
    refused(&run(&["up", "--redis-file", "none"]), &["none", "No such file"]);
    refused(&run(&["up", "--redis-shards", "0"]), &["1024", "--redis-shards"]);
    refused(&run(&["import", "links.txt"]), &["links.txt"]);
    refused(&run(&["import", "none.csv"]), &["none.csv", "No such file"]);
    refused(&run(&["link", "list", "--server", "ftp://x"]), &["ftp://x", "URL"]);
    let health = run(&["healthcheck", "--admin", "127.0.0.1:1"]);
    assert_eq!(health.status.code(), Some(1));
    assert!(text(&health.stderr).contains("127.0.0.1:1"), "{}", text(&health.stderr));
}

#[test]
fn settings_that_make_no_sense() {
    let _turn = beside_others();
    let dir = Dir::new();
    let run = |words: &[&str]| command(LINKR, dir.path()).args(words).output().unwrap();
    refused(&run(&["--config", "none.toml", "config", "check"]), &["none.toml", "No such file"]);
    for (file, wanted) in [
        ("[up]\nworker = 3\n", &["unknown key 'worker'", "workers"][..]),
        ("[up\n", &["line 1"]),
        ("[edge]\nadmin = \"here\"\n", &["[edge] admin cannot be here"]),
    ] {
        dir.write("linkr.toml", file);
        for words in [&["config", "check"][..], &["up"], &["link", "list"]] {
            refused(&run(words), &[wanted, &["linkr.toml"]].concat());
        }
    }
}

#[test]
fn config_check_says_what_a_start_would_say() {
    let _turn = beside_others();
    let dir = Dir::new();
    let check = |env: &[(&str, &str)]| {
        command(LINKR, dir.path()).args(["config", "check"]).envs(env.iter().copied()).output().unwrap()
    };
    for (file, env, wanted) in [
        ("[up]\napi = \"0.0.0.0:8081\"\n", &[][..], &["linkr up", "0.0.0.0:8081", "--insecure"][..]),
        ("[control]\napi = \"0.0.0.0:8081\"\n", &[], &["linkr control", "--insecure"]),
        ("[control]\nstore = \"mysql://x\"\n", &[], &["mysql://x", "sqlite:PATH"]),
        ("[edge]\ncontrol = \"http//typo\"\n", &[], &["http//typo", "http://host:port"]),
        ("[up]\napi-tls-cert = \"none.pem\"\napi-tls-key = \"none.key\"\n", &[], &["linkr up", "none.pem"]),
        ("[client]\nserver = \"ht tp\"\n", &[], &["ht tp", "URL"]),
        ("", &[("LINKR_API", "0.0.0.0:8081")], &["0.0.0.0:8081", "--insecure"]),
        ("", &[("LINKR_CONTROL", "typo")], &["linkr edge", "typo"]),
        ("", &[("LINKR_SERVER", "ftp://x")], &["linkr link", "ftp://x"]),
        ("", &[("LINKR_WORKERS", "many")], &["linkr up", "many"]),
        ("", &[("LINKR_LOG", "a=b=c")], &["LINKR_LOG"]),
    ] {
        dir.write("linkr.toml", file);
        refused(&check(env), wanted);
    }
    dir.write("linkr.toml", "[up]\napi = \"0.0.0.0:8081\"\ninsecure = true\n");
    assert_eq!(text(&check(&[]).stdout), "linkr.toml is good\n");
}

#[test]
fn no_server() {
    let _turn = beside_others();
    let dir = Dir::new();
    let file = dir.write("links.csv", "code,target\na,https://example.com\n");
    // Bound, and closed at once: nobody listens there.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    for words in [&["link", "get", "x"][..], &["export"], &["import", &file]] {
        let server = format!("http://{address}");
        let done = command(LINKR, dir.path()).args(words).args(["--server", &server]).output().unwrap();
        refused(&done, &[&address, "linkr up", "--server", "refused"]);
    }
}

#[test]
fn links_that_break_a_rule() {
    let _turn = beside_others();
    let dir = Dir::new();
    let linkr = Linkr::up(&dir);
    let create = |words: &[&str]| linkr.run(&dir, &[&["link", "create"], words].concat());
    refused(&create(&["javascript:alert(1)"]), &["target", "javascript", "INVALID"]);
    refused(&create(&["example.com"]), &["target", "no scheme such as https://"]);
    refused(&create(&["https://a\r\nb"]), &["target", "control character"]);
    refused(&create(&["https://a", "--code", "a b"]), &["at byte 1"]);
    refused(&create(&["https://a", "--code", "robots.txt"]), &["itself"]);
    refused(&create(&["https://a", "--status", "301"]), &["max_age"]);
    refused(&create(&["https://a", "--status", "304"]), &["status"]);
    refused(&create(&["https://a", "--domain", "none.example"]), &["none.example"]);
    refused(&linkr.run(&dir, &["link", "get", "none"]), &["none", "NOT_FOUND"]);
    linkr.ok(&dir, &["link", "create", "https://a", "--code", "taken"]);
    refused(&create(&["https://b", "--code", "taken"]), &["taken", "EXISTS"]);

    let mut api = Connection::to(linkr.api());
    for (method, path, body, status, reason) in [
        ("POST", "/v1/links", r#"{"target":"javascript:x"}"#, 400, "INVALID"),
        ("POST", "/v1/links", r#"{"target":"https://b","code":"taken"}"#, 409, "EXISTS"),
        ("POST", "/v1/links", r#"{"targett":"https://b"}"#, 400, "INVALID"),
        ("POST", "/v1/links", "{", 400, "INVALID"),
        ("POST", "/v1/links", r#"{"target":"https://a","target":"https://b"}"#, 400, "INVALID"),
        ("GET", "/v1/links/none", "", 404, "NOT_FOUND"),
        ("GET", "/v1/nothing", "", 404, "NO_SUCH_RESOURCE"),
        ("PUT", "/v1/links", "{}", 405, "METHOD_NOT_ALLOWED"),
    ] {
        let answer = api.call(method, path, body).unwrap().unwrap();
        assert_eq!(answer.status, status, "{method} {path} {body}: {}", answer.body);
        assert_eq!(answer.field("content-type"), Some("application/problem+json"), "{method} {path}");
        let problem: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!((&problem["status"], &problem["reason"]), (&status.into(), &reason.into()));
        assert!(problem["title"].is_string() && problem["detail"].is_string(), "{problem}");
    }
}

#[test]
fn places_that_are_taken() {
    let _turn = beside_others();
    let (dir, other) = (Dir::new(), Dir::new());
    let linkr = Linkr::up(&dir);
    let up = |dir: &Dir, words: &[&str]| {
        let usual = [
            "--data-dir",
            "data",
            "--listen",
            "127.0.0.1:0",
            "--api",
            "127.0.0.1:0",
            "--admin",
            "127.0.0.1:0",
        ];
        let mut all: Vec<&str> = vec!["up"];
        for pair in usual.chunks(2).filter(|pair| !words.contains(&pair[0])) {
            all.extend(pair);
        }
        all.extend(words);
        command(LINKR, dir.path()).args(all).env("LINKR_LOG", "off").output().unwrap()
    };
    refused(&up(&dir, &[]), &["another linkr uses data"]);
    for (flag, taken) in [("--listen", linkr.edge()), ("--api", linkr.api()), ("--admin", linkr.admin())] {
        refused(&up(&other, &[flag, &taken.to_string()]), &[&taken.to_string()]);
    }
    refused(&up(&other, &["--api", "0.0.0.0:0"]), &["--insecure", "0.0.0.0:0"]);
    let file = other.write("file", "");
    refused(&up(&other, &["--data-dir", &file]), &[&file]);
    assert_eq!(linkr.get("/none").status, 404, "the first one goes on");
}

/// Values as people paste them, with characters that nobody sees, and times without an offset.
#[test]
fn what_cannot_be_meant_as_it_stands() {
    let _turn = beside_others();
    let dir = Dir::new();
    let linkr = Linkr::up(&dir);
    let create = |words: &[&str]| linkr.run(&dir, &[&["link", "create"], words].concat());
    for target in ["\u{feff}https://a.example/", "\u{200b}https://a.example/"] {
        let hidden = target.chars().find(|c| !c.is_ascii()).unwrap();
        refused(&create(&[target]), &["target", &format!("U+{:04X}", hidden as u32), "leave it out"]);
    }
    for (time, wanted) in [
        ("2030-01-31T12:00:00", "has no offset: add Z"),
        ("2030-01-31 12:00", "has no offset: add Z"),
        ("2030-01-31", "has no time of the day"),
        ("tomorrow", "is not a time"),
    ] {
        refused(&create(&["https://a.example/", "--expire-time", time]), &["--expire-time", wanted]);
        let key = ["keys", "create", "a", "--scopes", "links:read", "--expire-time", time];
        refused(&linkr.run(&dir, &key), &["--expire-time", wanted]);
        let body = format!(r#"{{"target":"https://a.example/","expire_time":"{time}"}}"#);
        let answer = Connection::to(linkr.api()).call("POST", "/v1/links", &body).unwrap().unwrap();
        assert!(answer.status == 400 && answer.body.contains(wanted), "{answer:?}");
        let filter = ["link", "list", "--filter", &format!("expire_time < \"{time}\"")];
        refused(&linkr.run(&dir, &filter), &["filter", wanted]);
    }
    let timed = ["https://a.example/", "--code", "x", "--expire-time", "2030-01-31T12:00+02:00"];
    let made = text(&create(&timed).stdout);
    assert!(linkr.ok(&dir, &["link", "get", "x", "-o", "json"]).contains("2030-01-31T10:00:00Z"), "{made}");

    linkr.ok(&dir, &["link", "delete", "x"]);
    let year = ["20", "T", "Z: linkr link undelete x brings it back", "stays taken until"];
    refused(&create(&["https://a.example/", "--code", "x"]), &year);
    linkr.ok(&dir, &["link", "undelete", "x"]);
    linkr.ok(&dir, &["domain", "create", "go.example"]);
    let of_domain =
        |words: &[&str]| linkr.run(&dir, &[&["link"], words, &["--domain", "go.example"]].concat());
    assert!(of_domain(&["create", "https://a.example/", "--code", "a/b"]).status.success());
    assert!(of_domain(&["delete", "a/b"]).status.success());
    let again = of_domain(&["create", "https://a.example/", "--code", "a/b"]);
    refused(&again, &["linkr link undelete a/b --domain go.example"]);

    let mut body = Connection::to(linkr.api());
    let marked =
        body.call("POST", "/v1/links", "\u{feff}{\"target\":\"https://a.example/\",\"code\":\"marked\"}");
    assert_eq!(marked.unwrap().unwrap().status, 201);
    dir.write("marked.jsonl", "\u{feff}{\"code\":\"first\",\"target\":\"https://a.example/\"}\n");
    linkr.ok(&dir, &["import", "marked.jsonl"]);
    linkr.ok(&dir, &["link", "get", "first"]);
}
