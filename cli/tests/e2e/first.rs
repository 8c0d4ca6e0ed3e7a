//! The first minute with linkr: start it, make a link, follow it, change it, delete it.

use crate::support::{Connection, Dir, LINKR, Linkr, beside_others, command, text, until};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

pub fn first_302_within_two_seconds() {
    let dir = Dir::new();
    let began = Instant::now();
    let linkr = Linkr::up(&dir);
    linkr.ok(&dir, &["link", "create", "https://example.com/a?b=%2f#c", "--code", "hello"]);
    let answer =
        until("the first redirect", || Some(linkr.get("/hello")).filter(|answer| answer.status == 302));
    let took = began.elapsed();
    assert_eq!(answer.location(), "https://example.com/a?b=%2f#c");
    assert_eq!(answer.field("content-length"), Some("0"));
    assert_eq!(answer.field("cache-control"), Some("private, max-age=0"));
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[test]
fn what_it_prints_is_true() {
    let _turn = beside_others();
    let dir = Dir::new();
    let linkr = Linkr::up(&dir);
    assert!(linkr.said("store").contains("linkr.db"), "{}", linkr.said("store"));
    assert!(linkr.said("edge").contains("2 workers, "), "{}", linkr.said("edge"));
    let driver = linkr.said("edge").rsplit_once(", ").unwrap().1.trim_end_matches(')').to_owned();
    assert!(driver.starts_with("io_uring") || driver.starts_with("epoll"), "{driver}");
    // The command it offers, word for word.
    let words: Vec<&str> = linkr.said("try").split(' ').skip(1).collect();
    linkr.ok(&dir, &words);
    let url = linkr.said("then").rsplit(' ').next().unwrap();
    assert_eq!(url, format!("http://{}/hello", linkr.edge()));
    until("its redirect", || (linkr.get("/hello").status == 302).then_some(()));
    let mode = std::fs::metadata(dir.path().join("data")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    for path in ["/livez", "/readyz", "/version"] {
        assert_eq!(Connection::to(linkr.admin()).ask("GET", path).status, 200, "{path}");
    }
    let admin = linkr.admin().to_string();
    assert_eq!(linkr.ok(&dir, &["healthcheck", "--admin", &admin]), "ready\n");
}

#[test]
fn a_link_from_its_creation_to_its_deletion() {
    let _turn = beside_others();
    let dir = Dir::new();
    let linkr = Linkr::up(&dir);
    let json = |words: &[&str]| -> serde_json::Value {
        serde_json::from_str(&linkr.ok(&dir, &[words, &["-o", "json"]].concat())).unwrap()
    };
    let answers = |path: &str, status: u16, location: &str| {
        until(&format!("{path} to answer {status} {location}"), || {
            let answer = linkr.get(path);
            (answer.status == status && answer.location() == location).then_some(answer)
        })
    };
    answers("/none", 404, ""); // 503 for the moment in which the edge does not know yet

    let made = json(&[
        "link",
        "create",
        "https://example.com/1",
        "--code",
        "a/b.html",
        "--status",
        "301",
        "--max-age",
        "60",
        "--tag",
        "x",
        "--tag",
        "y",
        "--title",
        "two words",
        "--expire-time",
        "2099-01-01T00:00:00Z",
    ]);
    assert_eq!(made["name"], "domains/-/links/a/b.html");
    assert_eq!((&made["status"], &made["max_age"]), (&301.into(), &60.into()));
    assert_eq!(made["tags"], serde_json::json!(["x", "y"]));
    assert_eq!(made["expire_time"], "2099-01-01T00:00:00Z");
    let answer = answers("/a/b.html", 301, "https://example.com/1");
    assert_eq!(answer.field("cache-control"), Some("private, max-age=60"));
    let head = Connection::to(linkr.edge()).ask("HEAD", "/a/b.html");
    assert_eq!((head.status, head.location(), head.body.as_str()), (301, "https://example.com/1", ""));

    let etag = made["etag"].as_str().unwrap();
    let changed = json(&[
        "link",
        "update",
        "a/b.html",
        "--target",
        "https://example.com/2",
        "--etag",
        etag,
        "--clear",
        "status",
        "max_age",
        "tags",
        "--query",
        "append",
    ]);
    assert_eq!(changed["target"], "https://example.com/2");
    assert_eq!((&changed["status"], &changed["title"]), (&302.into(), &"two words".into()));
    assert_eq!(changed["tags"], serde_json::json!([]));
    assert_eq!(changed.get("max_age"), None);
    answers("/a/b.html?q=1", 302, "https://example.com/2?q=1");
    let stale = linkr.run(&dir, &["link", "update", "a/b.html", "--title", "x", "--etag", etag]);
    assert_eq!(stale.status.code(), Some(2));
    assert!(text(&stale.stderr).contains("ETAG_MISMATCH"), "{}", text(&stale.stderr));
    assert_eq!(json(&["link", "get", "a/b.html"]), changed);

    json(&["link", "update", "a/b.html", "--disabled", "true"]);
    answers("/a/b.html", 410, "");
    json(&["link", "update", "a/b.html", "--disabled", "false"]);
    answers("/a/b.html", 302, "https://example.com/2");
    json(&["link", "update", "a/b.html", "--disabled"]); // alone: true
    answers("/a/b.html", 410, "");
    json(&["link", "update", "a/b.html", "--disabled", "false"]);
    answers("/a/b.html", 302, "https://example.com/2");
    let deleted = json(&["link", "delete", "a/b.html"]);
    assert!(deleted["delete_time"].is_string());
    answers("/a/b.html", 410, "");

    assert_eq!(json(&["link", "list"])["links"], serde_json::json!([]));
    assert_eq!(json(&["link", "list", "--show-deleted"])["links"][0]["code"], "a/b.html");

    let history = json(&["link", "history", "a/b.html", "--page-size", "2"]);
    assert_eq!(history["versions"][0]["link"], deleted);
    assert_eq!(history["versions"][0]["method"], "DeleteLink");
    let next = history["next_page_token"].as_str().unwrap();
    let rest = json(&["link", "history", "a/b.html", "--page-token", next]);
    let oldest = rest["versions"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((&oldest["method"], &oldest["link"]), (&"CreateLink".into(), &made));
    assert_eq!(linkr.ok(&dir, &["link", "history", "a/b.html"]).lines().count(), 7);
    let etag = deleted["etag"].as_str().unwrap();
    assert_eq!(json(&["link", "undelete", "a/b.html", "--etag", etag])["target"], "https://example.com/2");
    answers("/a/b.html", 302, "https://example.com/2");
    let revision = made["revision"].as_str().unwrap();
    let back = json(&["link", "restore", "a/b.html", "--revision", revision]);
    assert_eq!((&back["target"], &back["status"]), (&made["target"], &made["status"]));
    answers("/a/b.html", 301, "https://example.com/1");
    let when = back["update_time"].as_str().unwrap();
    assert_eq!(json(&["link", "restore", "a/b.html", "--time", when])["target"], made["target"]);
    for words in [&["link", "restore", "a/b.html"][..], &["link", "restore", "a/b.html", "--time", "soon"]] {
        assert_eq!(linkr.run(&dir, words).status.code(), Some(2), "{words:?}");
    }
}

#[test]
fn generated_codes_pages_and_retries() {
    let _turn = beside_others();
    let dir = Dir::new();
    let linkr = Linkr::up(&dir);
    let create = |id: &str| {
        linkr.ok(&dir, &["link", "create", "https://example.com", "--request-id", id, "-o", "json"])
    };
    let first: serde_json::Value = serde_json::from_str(&create("one")).unwrap();
    assert_eq!(first["code"].as_str().unwrap().len(), 7);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&create("one")).unwrap(), first);
    for id in ["two", "three"] {
        create(id);
    }
    let page = |words: &[&str]| -> serde_json::Value {
        serde_json::from_str(&linkr.ok(&dir, &[&["link", "list", "-o", "json"], words].concat())).unwrap()
    };
    let one = page(&["--page-size", "2"]);
    assert_eq!(one["links"].as_array().unwrap().len(), 2);
    let two = page(&["--page-size", "2", "--page-token", one["next_page_token"].as_str().unwrap()]);
    assert_eq!((two["links"].as_array().unwrap().len(), &two["next_page_token"]), (1, &"".into()));
    assert_eq!(page(&["--all"])["links"].as_array().unwrap().len(), 3);
}

#[test]
fn words_that_ask_for_text() {
    let _turn = beside_others();
    let dir = Dir::new();
    let run = |words: &[&str]| command(LINKR, dir.path()).args(words).output().unwrap();
    assert_eq!(text(&run(&["--version"]).stdout), format!("linkr {}\n", env!("CARGO_PKG_VERSION")));
    assert!(text(&run(&["--help"]).stdout).contains("import"));
    assert!(text(&run(&["completions", "bash"]).stdout).contains("complete -F"));
    assert!(run(&["man", "pages"]).status.success());
    let page = std::fs::read_to_string(dir.file("pages/linkr-link-create.1")).unwrap();
    assert!(page.contains(".TH linkr-link-create 1") && page.contains("LINKR_SERVER"), "{page}");
    assert!(text(&run(&["config", "check"]).stdout).contains("no linkr.toml"));
    let printed = run(&["config", "print"]).stdout;
    assert!(text(&printed).contains("listen = [\"127.0.0.1:8080\"]"), "{}", text(&printed));
    // What it prints is itself a good settings file, and says the same again.
    dir.write("linkr.toml", &printed);
    assert_eq!(text(&run(&["config", "check"]).stdout), "linkr.toml is good\n");
    assert_eq!(text(&run(&["config", "print"]).stdout), text(&printed));
}

#[test]
fn a_closed_pipe_is_no_panic() {
    let _turn = beside_others();
    let dir = Dir::new();
    let mut child = command(LINKR, dir.path())
        .args(["completions", "zsh"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let done = child.wait_with_output().unwrap();
    assert_eq!((done.status.code(), text(&done.stderr).as_str()), (Some(0), ""));
}
