//! Keys and certificates as a person meets them: none to think of on one machine, one line each elsewhere.

use crate::support::{Dir, FREE_PORTS, LINKR, Linkr, beside_others, command, text, until};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

fn server(dir: &Dir, words: &[&str]) -> Command {
    let mut server = command(LINKR, dir.path());
    server.args(words).args(FREE_PORTS).env("LINKR_INSECURE", "false");
    server
}

fn client(dir: &Dir, words: &[&str]) -> Output {
    command(LINKR, dir.path()).args(words).output().unwrap()
}

#[test]
fn a_newcomer_never_sees_a_key() {
    let _turn = beside_others();
    let dir = Dir::new();
    let up = || {
        let linkr = server(&dir, &["up", "--listen", "127.0.0.1:0", "--workers", "1"]);
        Linkr::start(linkr, &dir, &["edge", "api", "admin", "then"])
    };
    let linkr = up();
    assert!(!linkr.said("try").contains("--key"), "{}", linkr.said("try"));
    let key = dir.path().join("linkr-data/admin.key");
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    let first = std::fs::read_to_string(&key).unwrap();
    let url = format!("http://{}", linkr.api());
    let create = ["link", "create", "https://example.com/", "--code", "x", "--server", &url];
    let done = client(&dir, &create);
    assert!(done.status.success(), "{}", text(&done.stderr));
    until("the redirect", || (linkr.get("/x").location() == "https://example.com/").then_some(()));
    let elsewhere = Dir::new();
    let refused = client(&elsewhere, &create);
    assert!(text(&refused.stderr).contains("--key-file"), "{}", text(&refused.stderr));
    let by_key = command(LINKR, elsewhere.path())
        .args(["link", "get", "x", "--server", &url])
        .env("LINKR_KEY", first.trim())
        .output()
        .unwrap();
    assert!(by_key.status.success(), "{}", text(&by_key.stderr));
    let by_folder = command(LINKR, elsewhere.path())
        .args(["link", "get", "x", "--server", &url])
        .env("LINKR_DATA_DIR", dir.file("linkr-data"))
        .output()
        .unwrap();
    assert!(by_folder.status.success(), "{}", text(&by_folder.stderr));

    // Another one, its successor, and its end.
    let made = client(&dir, &["keys", "create", "ci", "--scopes", "links:read", "--server", &url]);
    let ci = elsewhere.write("ci.key", &made.stdout);
    let get = |words: &[&str]| {
        let all = [words, &["--server", &url, "--key-file", &ci]].concat();
        client(&elsewhere, &all)
    };
    assert!(get(&["link", "get", "x"]).status.success());
    let refused = text(&get(&["link", "delete", "x"]).stderr);
    assert!(refused.contains("links:write") && refused.contains("FORBIDDEN"), "{refused}");
    let listed = client(&dir, &["keys", "list", "--server", &url]);
    let listed = text(&listed.stdout);
    let id = listed.lines().find(|line| line.contains(" ci ")).unwrap().split(' ').next().unwrap();
    assert!(client(&dir, &["keys", "rotate", id, "--server", &url]).stdout.starts_with(b"lk_"));
    assert!(client(&dir, &["keys", "revoke", id, "--server", &url]).status.success());
    assert!(text(&get(&["link", "get", "x"]).stderr).contains("revoked"));
    let audit = text(&client(&dir, &["keys", "audit", &format!("keys/{id}"), "--server", &url]).stdout);
    let calls: Vec<_> = audit.lines().map(|line| line.split_whitespace().nth(1).unwrap()).collect();
    assert_eq!(calls, ["RevokeKey", "CreateKey"], "{audit}");
    drop(linkr);

    // The same key after a restart, also once it is revoked, which the log says; another one if its file is gone.
    let linkr = up();
    assert_eq!(std::fs::read_to_string(&key).unwrap(), first);
    assert!(!linkr.stderr().contains("first_key_revoked"), "{}", linkr.stderr());
    let url = format!("http://{}", linkr.api());
    let listed = text(&client(&dir, &["keys", "list", "--server", &url]).stdout);
    let id = listed.lines().find(|line| line.contains(" admin ")).unwrap().split(' ').next().unwrap();
    assert!(client(&dir, &["keys", "revoke", id, "--server", &url]).status.success());
    drop(linkr);
    let linkr = up();
    assert_eq!(std::fs::read_to_string(&key).unwrap(), first);
    until("the log to say so", || linkr.stderr().contains("first_key_revoked").then_some(()));
    drop(linkr);
    std::fs::remove_file(&key).unwrap();
    let linkr = up();
    assert_ne!(std::fs::read_to_string(&key).unwrap(), first);
    let url = format!("http://{}", linkr.api());
    assert!(client(&dir, &["link", "get", "x", "--server", &url]).status.success());
}

#[test]
fn an_edge_follows_by_a_key_that_was_minted_into_the_store() {
    let _turn = beside_others();
    let dir = Dir::new();
    let mint = |words: &[&str]| {
        let all = [&["control", "--store", "sqlite:links.db", "mint-key"], words].concat();
        let done = client(&dir, &all);
        assert!(done.status.success(), "{}", text(&done.stderr));
        done.stdout
    };
    let admin = dir.write("admin.key", mint(&[]));
    let feed = dir.write("feed.key", mint(&["--name", "edge", "--scopes", "feed", "--edge", "fra-1"]));
    let refused = client(&dir, &["control", "--store", "sqlite:links.db", "mint-key", "--scopes", "all"]);
    assert!(text(&refused.stderr).contains("all"), "{}", text(&refused.stderr));
    let control =
        Linkr::start(server(&dir, &["control", "--store", "sqlite:links.db"]), &dir, &["api", "admin"]);
    let url = format!("http://{}", control.api());
    let mut edge = command(LINKR, dir.path());
    edge.args([
        "edge",
        "--control",
        &url,
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
        "--workers",
        "1",
    ]);
    edge.args(["--control-key-file", &feed, "--name", "fra-1"]);
    let edge = Linkr::start(edge, &dir, &["edge", "admin"]);
    let done = client(
        &dir,
        &["link", "create", "https://a.example/", "--code", "x", "--server", &url, "--key-file", &admin],
    );
    assert!(done.status.success(), "{}", text(&done.stderr));
    until("the redirect", || (edge.get("/x").location() == "https://a.example/").then_some(()));
}

pub fn certificates_stand_in_for_keys_between_edge_and_control() {
    let dir = Dir::new();
    let made = client(&dir, &["certs", "certs", "--edge", "fra-1"]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    assert_eq!(text(&made.stdout).lines().count(), 2, "{}", text(&made.stdout));
    let private = std::fs::metadata(dir.path().join("certs/fra-1.key")).unwrap();
    assert_eq!(private.permissions().mode() & 0o777, 0o600);
    let folder = std::fs::metadata(dir.path().join("certs")).unwrap();
    assert_eq!(folder.permissions().mode() & 0o777, 0o700);
    let lasts = |file: &str, days: u32| {
        let until = |days: u32| {
            let mut openssl = std::process::Command::new("openssl");
            openssl.args(["x509", "-noout", "-in", &dir.file(file), "-checkend"]);
            openssl.arg((days * 24 * 60 * 60 - 600).to_string()).output().unwrap().status.success()
        };
        assert!(until(days) && !until(days + 1), "{file} is not good for {days} days");
    };
    for (file, days) in [("ca.pem", 3650), ("server.pem", 90), ("fra-1.pem", 90)] {
        lasts(&format!("certs/{file}"), days);
    }
    let short = client(&dir, &["certs", "certs", "--days", "2"]);
    assert!(short.status.success(), "{}", text(&short.stderr));
    for (file, days) in [("ca.pem", 3650), ("server.pem", 2), ("fra-1.pem", 90)] {
        lasts(&format!("certs/{file}"), days);
    }
    let long = client(&dir, &["certs", "certs", "--days", "826"]);
    assert!(!long.status.success() && text(&long.stderr).contains("from 1 to 825"), "{}", text(&long.stderr));
    let again = client(&dir, &["certs", "certs", "--edge", "fra-2", "--host", "127.0.0.1"]);
    assert!(again.status.success(), "{}", text(&again.stderr));
    let tls = ["--api-tls-cert", "certs/server.pem", "--api-tls-key", "certs/server.key"];
    let ca = ["--api-client-ca", "certs/ca.pem"];
    let mut up = server(&dir, &["up", "--listen", "127.0.0.1:0", "--workers", "1"]);
    up.args(tls).args(ca);
    let linkr = Linkr::start(up, &dir, &["edge", "api", "admin", "then"]);
    let url = format!("https://{}", linkr.said("api").strip_prefix("https://").unwrap());
    let create = ["link", "create", "https://a.example/", "--code", "x", "--server", &url];
    let done = client(&dir, &[&create[..], &["--server-ca", "certs/ca.pem"]].concat());
    assert!(done.status.success(), "{}", text(&done.stderr));
    let mut edge = command(LINKR, dir.path());
    edge.args([
        "edge",
        "--control",
        &url,
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
        "--workers",
        "1",
    ]);
    edge.args(["--name", "fra-1", "--control-ca", "certs/ca.pem"]);
    edge.args(["--control-cert", "certs/fra-1.pem", "--control-cert-key", "certs/fra-1.key"]);
    let edge = Linkr::start(edge, &dir, &["edge", "admin"]);
    for edge in [&edge, &linkr] {
        until("the redirect", || (edge.get("/x").location() == "https://a.example/").then_some(()));
    }
}
