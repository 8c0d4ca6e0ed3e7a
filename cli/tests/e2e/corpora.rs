//! Real links and clicks, and a public corpus of HTTP requests, with both drivers. Skipped where the data is not.

use crate::support::{Dir, EPOLL, IO_URING, Linkr, beside_others, bounded, command, has, skip, workspace};
use crate::tls::{Certificate, Proxy};
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

const DRIVERS: [&[(&str, &str)]; 2] = [&[IO_URING], &[EPOLL]];

/// A script that takes longer hangs.
const MOST: Duration = Duration::from_secs(300);

/// The folder with the data beside this checkout, if it is there and so are the programs that read it.
pub fn shared(test: &str, programs: &[&str]) -> Option<PathBuf> {
    let shared = workspace().parent()?.join("shared");
    if !shared.join("data").is_dir() || !shared.join("accept").is_dir() {
        skip(test, "there is no data at ../shared");
        return None;
    }
    match programs.iter().find(|program| !has(program)) {
        Some(program) => {
            skip(test, &format!("there is no {program}"));
            None
        }
        None => Some(shared),
    }
}

fn check_driver(linkr: &Linkr, env: &[(&str, &str)]) {
    if env == [EPOLL] {
        assert!(linkr.said("edge").contains("epoll"), "{}", linkr.said("edge"));
    }
}

fn real_clicks(test: &str, env: &[(&str, &str)]) {
    let Some(shared) = shared(test, &["zstdcat", "python3"]) else { return };
    let dir = Dir::new();
    let linkr = Linkr::up_with(&dir, env);
    check_driver(&linkr, env);
    let links =
        command("zstdcat", dir.path()).arg(shared.join("data/clicks/links.csv.zst")).output().unwrap();
    let file = dir.write("links.csv", links.stdout);
    let _turn = beside_others();
    let began = Instant::now();
    let said = linkr.ok(&dir, &["import", &file]);
    let took = began.elapsed();
    assert!(said.starts_with("created 20853, updated 0, skipped 0, rejected 10 in "), "{said}");
    // Two seconds is what a release build is held to; one that is built to be debugged runs beside other tests.
    assert!(took < Duration::from_secs(if cfg!(debug_assertions) { 30 } else { 2 }), "{took:?}");
    let rejected = fs::read_to_string(dir.file("links.csv.rejected.csv")).unwrap();
    assert_eq!(rejected.lines().filter(|line| line.contains(",ftp://")).count(), 10, "{rejected}");
    assert_eq!(rejected.lines().count(), 11);
    linkr.catch_up();
    let edge = linkr.edge().to_string();
    let mut replay = command("python3", dir.path());
    replay.arg(shared.join("accept/replay.py")).args(["--edge", &edge]);
    bounded(replay, &dir, MOST).unwrap_or_else(|said| panic!("{said}"));
}

fn http_corpus(test: &str, env: &[(&str, &str)], tls: bool) {
    let Some(shared) = shared(test, &["python3"]) else { return };
    let _turn = beside_others();
    let dir = Dir::new();
    let shown = Certificate::write(&dir, "a", &["a.test"]);
    let linkr = Linkr::up_with(&dir, &[&shown.env()[..], env].concat());
    check_driver(&linkr, env);
    let proxy = tls.then(|| Proxy::to(linkr.tls(), &shown));
    let edge = proxy.as_ref().map_or(linkr.edge(), |proxy| proxy.address);
    let mut corpus = command("python3", dir.path());
    corpus.arg(shared.join("accept/http_corpus.py"));
    corpus.args(["--edge", &edge.to_string(), "--wait", "6"]);
    corpus.arg("--allow").arg(workspace().join("edge/tests/http_corpus.allow"));
    bounded(corpus, &dir, MOST).unwrap_or_else(|said| panic!("{said}"));
}

#[test]
fn real_clicks_default_driver() {
    real_clicks("real_clicks_default_driver", DRIVERS[0]);
}

#[test]
fn real_clicks_epoll() {
    real_clicks("real_clicks_epoll", DRIVERS[1]);
}

#[test]
#[ignore = "80 s of waiting: make test-long"]
fn http_corpus_default_driver() {
    http_corpus("http_corpus_default_driver", DRIVERS[0], false);
}

#[test]
#[ignore = "80 s of waiting: make test-long"]
fn http_corpus_epoll() {
    http_corpus("http_corpus_epoll", DRIVERS[1], false);
}

#[test]
#[ignore = "80 s of waiting: make test-long"]
fn http_corpus_over_tls_default_driver() {
    http_corpus("http_corpus_over_tls_default_driver", DRIVERS[0], true);
}

#[test]
#[ignore = "80 s of waiting: make test-long"]
fn http_corpus_over_tls_epoll() {
    http_corpus("http_corpus_over_tls_epoll", DRIVERS[1], true);
}
