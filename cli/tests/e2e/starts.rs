//! How a start fails: what it says, how long it takes, and what it leaves behind.

use crate::causes::says;
use crate::support::{Dir, FREE_PORTS, LINKR, Linkr, PATIENCE, beside_others, bounded, command, text, until};
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};
use std::thread::{JoinHandle, scope, spawn};
use std::time::Instant;

fn run(dir: &Dir, words: &[&str]) -> Output {
    command(LINKR, dir.path()).args(words).output().unwrap()
}

fn pipe(dir: &Dir, name: &str) -> String {
    let file = dir.file(name);
    assert!(Command::new("mkfifo").arg(&file).status().unwrap().success());
    file
}

/// A pipe that somebody writes into once.
fn written(dir: &Dir, name: &str, text: String) -> JoinHandle<()> {
    let file = pipe(dir, name);
    spawn(move || fs::write(file, text).unwrap())
}

#[test]
fn a_pipe_that_nobody_writes_into_holds_up_no_start_for_ever() {
    let _turn = beside_others();
    let dir = Dir::new();
    assert!(run(&dir, &["certs", "certs", "--host", "localhost"]).status.success());
    pipe(&dir, "silent");
    let began = Instant::now();
    let api_tls =
        ["control", "--store", "sqlite:b.db", "--api-tls-cert", "silent", "--api-tls-key", "silent"];
    let redirects =
        ["edge", "--tls-cert", "certs/server.pem", "--tls-key", "silent", "--listen-tls", "127.0.0.1:0"];
    let as_edge =
        ["--control-cert", "silent", "--control-cert-key", "silent", "--control-ca", "certs/ca.pem"];
    let as_edge = [&["edge", "--control", "https://127.0.0.1:1"], &as_edge[..]].concat();
    scope(|scope| {
        for words in [
            &["config", "check", "--config", "silent"][..],
            &["link", "list", "--key-file", "silent"],
            &["link", "list", "--server", "https://127.0.0.1:1", "--server-ca", "silent"],
            &["import", "silent", "--format", "csv"],
            &["control", "--store", "sqlite:a.db", "--redis-file", "silent"],
            &["control", "--store", "sqlite:a.db", "--redis", "rediss://127.0.0.1:1", "--redis-ca", "silent"],
            &["control", "--store", "postgres://a@127.0.0.1:1/a", "--store-password-file", "silent"],
            &["control", "--store", "postgres://a@127.0.0.1:1/a?sslmode=verify-full&sslrootcert=silent"],
            &api_tls,
            &["edge", "--control", "http://127.0.0.1:1", "--control-key-file", "silent"],
            &["edge", "--control", "https://127.0.0.1:1", "--control-ca", "silent"],
            &as_edge,
            &redirects,
        ] {
            let dir = &dir;
            scope.spawn(move || {
                let ports: &[&str] = match words[0] {
                    "control" => &FREE_PORTS,
                    "edge" => &["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"],
                    _ => &[],
                };
                let mut command = command(LINKR, dir.path());
                command.args(words).args(ports);
                let (Ok(said) | Err(said)) = bounded(command, &Dir::new(), PATIENCE);
                assert!(said.contains("silent") && said.contains("within 5 s"), "{words:?}: {said}");
            });
        }
    });
    assert!(began.elapsed().as_secs() >= 5, "it is waited for");
}

/// A shell puts a FIFO in the place of `<(…)`.
#[test]
fn a_pipe_that_is_written_into_is_read() {
    let _turn = beside_others();
    let dir = Dir::new();
    let linkr = Linkr::up_with_keys(&dir);
    let url = format!("http://{}", linkr.api());
    let key = fs::read_to_string(dir.file("linkr-data/admin.key")).unwrap();
    let writer = written(&dir, "key", key.clone());
    let create =
        ["link", "create", "https://a.example/", "--code", "x", "--server", &url, "--key-file", "key"];
    let done = run(&dir, &create);
    assert!(done.status.success(), "{}", text(&done.stderr));
    writer.join().unwrap();
    let writer = written(&dir, "settings", "\u{feff}[up]\nworkers = 1\n".into());
    assert!(run(&dir, &["config", "check", "--config", "settings"]).status.success());
    writer.join().unwrap();

    // An edge asks for its key again with each connection, and a pipe gives it once.
    let made = run(&dir, &["keys", "create", "edges", "--scopes", "feed", "--edge", "one", "--server", &url]);
    let writer = written(&dir, "feed", text(&made.stdout));
    let mut edge = command(LINKR, dir.path());
    edge.args(["edge", "--control", &url, "--control-key-file", "feed", "--name", "one", "--workers", "1"]);
    edge.args(["--unpinned", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    let edge = Linkr::start(edge, &Dir::new(), &["edge", "admin"]);
    writer.join().unwrap();
    until("the redirect", || (edge.get("/x").location() == "https://a.example/").then_some(()));
}

/// Folders, sockets, devices and texts of another encoding in the place of secrets, settings and rows.
#[test]
fn what_is_no_file_and_what_never_ends_is_named() {
    let _turn = beside_others();
    let dir = Dir::new();
    let _socket = std::os::unix::net::UnixListener::bind(dir.file("socket")).unwrap();
    dir.write("utf16", b"\xff\xfel\0k\0_\0");
    fs::create_dir(dir.file("folder")).unwrap();
    for (file, why) in [
        ("/dev/zero", "holds more than"),
        ("socket", "socket"),
        ("folder", "directory"),
        ("utf16", "UTF-16"),
        ("/dev/null", "empty"),
    ] {
        says(&run(&dir, &["link", "list", "--key-file", file]), &[file, why]);
        let edge = ["edge", "--control-key-file", file, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
        says(&run(&dir, &edge), &[file, why, "--control-key-file"]);
        let store = ["control", "--store", "postgres://a@127.0.0.1:1/a", "--store-password-file", file];
        says(&run(&dir, &[&store[..], &FREE_PORTS].concat()), &[file, why]);
        if file != "/dev/null" {
            says(&run(&dir, &["config", "check", "--config", file]), &[file, why]);
        }
    }
    for file in ["folder", "/dev/zero", "socket"] {
        let snapshot = ["edge", "--snapshot", file, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
        says(&run(&dir, &snapshot), &[file, "--snapshot"]);
        says(&run(&dir, &["restore", file]), &[file]);
    }
    says(&run(&dir, &["import", "/dev/zero", "--format", "csv"]), &["/dev/zero", "is longer than"]);
    says(&run(&dir, &["import", "utf16", "--format", "jsonl"]), &["utf16", "iconv -f UTF-16"]);
}

#[test]
fn a_port_in_use_names_the_flag_that_gives_another() {
    let _turn = beside_others();
    let (dir, taken) = (Dir::new(), TcpListener::bind("127.0.0.1:0").unwrap());
    let taken = taken.local_addr().unwrap().to_string();
    assert!(run(&dir, &["certs", "certs", "--host", "localhost"]).status.success());
    let tls = ["--workers", "1", "--tls-cert", "certs/server.pem", "--tls-key", "certs/server.key"];
    let (up, edge) = (["up"], ["edge"]);
    let control = ["control", "--store", "sqlite:links.db"];
    for (start, more, flags) in [
        (&up[..], &tls[..], &["--listen", "--listen-tls", "--admin", "--api"][..]),
        (&edge, &tls, &["--listen", "--listen-tls", "--admin"]),
        (&control, &[], &["--admin", "--api"]),
    ] {
        for flag in flags {
            let with = |address: &str| {
                let mut words = [start, more].concat();
                for other in flags {
                    words.extend([*other, if other == flag { address } else { "127.0.0.1:0" }]);
                }
                run(&dir, &words)
            };
            let another = format!("another address with {flag}");
            says(&with(&taken), &[&taken, "in use by another process", &another]);
            // An address of the networks for documentation (RFC 5737): no machine has it.
            let more = if *flag == "--api" { "TLS" } else { "192.0.2.1 is no address of this machine" };
            says(&with("192.0.2.1:0"), &[more, if *flag == "--api" { "" } else { flag }]);
        }
    }
}

/// The history of a store, and whether it was closed.
fn history(store: &Path) -> (u32, u32, bool) {
    let db = rusqlite::Connection::open(store).unwrap();
    let epoch = "SELECT epoch_counter, epoch_random FROM log_head";
    let (counter, random) = db.query_row(epoch, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let closed = db.query_row("SELECT nonce = 0 FROM opened", [], |row| row.get(0)).unwrap();
    (counter, random, closed)
}

/// Found by attack: a start that met a taken port had opened the store, and begun a history in it.
#[test]
fn a_start_that_fails_leaves_the_store_as_it_was() {
    let _turn = beside_others();
    let (dir, taken) = (Dir::new(), TcpListener::bind("127.0.0.1:0").unwrap());
    let taken = taken.local_addr().unwrap().to_string();
    dir.write("broken.pem", "broken");
    let tls = ["--tls-cert", "broken.pem", "--tls-key", "broken.pem", "--listen-tls", "127.0.0.1:0"];
    let api_tls = ["--api-tls-cert", "broken.pem", "--api-tls-key", "broken.pem"];
    let up = ["up", "--data-dir", "data", "--workers", "1", "--listen", "127.0.0.1:0"];
    let control = ["control", "--store", "sqlite:data/linkr.db"];
    let starts = [
        ["--listen", &taken][..].to_vec(),
        ["--admin", &taken].to_vec(),
        ["--api", &taken].to_vec(),
        tls.to_vec(),
        api_tls.to_vec(),
        ["--redis-file", "none"].to_vec(),
    ];
    let fail = || {
        for more in &starts {
            for (start, of_edge) in [(&up[..], true), (&control, false)] {
                if !of_edge && matches!(more[0], "--listen" | "--tls-cert") {
                    continue;
                }
                let given = |flag: &str| more.contains(&flag);
                let mut words: Vec<&str> = vec![start[0]];
                for pair in start[1..].chunks(2).chain(FREE_PORTS.chunks(2)) {
                    if !given(pair[0]) {
                        words.extend(pair);
                    }
                }
                words.extend(more);
                let done = run(&dir, &words);
                assert_eq!(done.status.code(), Some(2), "{words:?}: {}", text(&done.stderr));
            }
        }
    };
    fail();
    let store = dir.path().join("data/linkr.db");
    assert!(!store.exists(), "nothing is made by a start that fails");

    let mut linkr = Linkr::up(&dir);
    linkr.ok(&dir, &["link", "create", "https://a.example/", "--code", "x"]);
    linkr.ask_to_stop();
    assert!(linkr.exited().success());
    let before = history(&store);
    assert!(before.2, "it was closed");
    fail();
    assert_eq!(history(&store), before);
    let linkr = Linkr::up(&dir);
    until("the link", || (linkr.get("/x").location() == "https://a.example/").then_some(()));
    assert_eq!(history(&store).0, before.0 + 1, "one start, one history");
    let said = linkr.stderr();
    assert!(!said.contains("WARN") && !said.contains("store_moved"), "{said}");
}
