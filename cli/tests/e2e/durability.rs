//! An acknowledged write is on disk: by what the kernel was asked, and by kill -9.

use crate::support::{Connection, Dir, LINKR, Linkr, beside_others, command, has, skip, until};
use std::fs;
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

const WRITES: usize = 30;
const WRITERS: usize = 8;

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

fn body(code: &str) -> String {
    format!("{{\"code\":\"{code}\",\"target\":\"{}\"}}", target(code))
}

fn target(code: &str) -> String {
    format!("https://example.com/to/{code}")
}

/// When each sync of the write-ahead log came back with success. With -T a line ends with what the call took; a call
/// that another one interrupted stands in two lines, and the second has the time of its end.
fn syncs(trace: &str) -> Vec<f64> {
    let mut unfinished = Vec::new();
    let mut found = Vec::new();
    for line in trace.lines() {
        let mut words = line.split_whitespace();
        let (Some(pid), Some(at)) = (words.next(), words.next().and_then(|at| at.parse::<f64>().ok())) else {
            continue;
        };
        let ours = line.contains("sync(") && line.contains("-wal>");
        if ours && line.contains("<unfinished") {
            unfinished.push(pid.to_owned());
            continue;
        }
        let resumed = line.contains("sync resumed>") && unfinished.iter().any(|known| known == pid);
        if resumed {
            unfinished.retain(|known| known != pid);
        }
        if (ours || resumed) && line.contains(" = 0") {
            let took = line.rsplit_once('<').and_then(|(_, took)| took.trim_end_matches('>').parse().ok());
            found.push(if resumed { at } else { at + took.unwrap_or(0.0) });
        }
    }
    found
}

#[test]
fn every_acknowledgement_comes_after_a_sync() {
    let test = "every_acknowledgement_comes_after_a_sync";
    if !has("strace") {
        return skip(test, "there is no strace");
    }
    let _turn = beside_others();
    let dir = Dir::new();
    let traceable = command("strace", dir.path()).args(["-f", "-o", "/dev/null", "true"]).output().unwrap();
    if !traceable.status.success() {
        return skip(test, "processes cannot be traced here");
    }
    let trace = dir.file("trace");
    let mut traced = command("strace", dir.path());
    // -D: the child that is started is linkr itself, not strace.
    traced.args([
        "-D",
        "-f",
        "-y",
        "-T",
        "-ttt",
        "-e",
        "trace=fsync,fdatasync",
        "-o",
        &trace,
        LINKR,
        "control",
    ]);
    traced.args(["--store", "sqlite:data/links.db", "--api", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    let mut control = Linkr::start(traced, &dir, &["api", "admin"]);
    let mut api = Connection::to(control.api());
    let mut spans = Vec::new();
    for write in 0..WRITES {
        let began = now();
        let answer = api.call("POST", "/v1/links", &body(&format!("w{write}"))).unwrap().unwrap();
        spans.push((began, now()));
        assert_eq!(answer.status, 201, "{}", answer.body);
    }
    control.ask_to_stop();
    control.exited();
    let syncs = until("the whole trace", || {
        let text = fs::read_to_string(&trace).unwrap();
        text.contains("+++ exited").then(|| syncs(&text)).filter(|syncs| syncs.len() >= WRITES)
    });
    for (write, (began, acknowledged)) in spans.iter().enumerate() {
        let between = syncs.iter().filter(|&&at| *began <= at && at <= *acknowledged).count();
        assert!(between >= 1, "write {write} was acknowledged without a sync of the log");
    }
}

#[test]
fn acknowledged_writes_survive_kill_9() {
    let _turn = beside_others();
    let rounds = if std::env::var_os("LINKR_LONG").is_some() { 20 } else { 3 };
    let dir = Dir::new();
    let acknowledged = Mutex::new(Vec::new());
    for round in 0..rounds {
        let mut linkr = Linkr::up(&dir);
        let api = linkr.api();
        let enough = acknowledged.lock().unwrap().len() + 60 + 37 * (round % 7);
        std::thread::scope(|scope| {
            for writer in 0..WRITERS {
                let acknowledged = &acknowledged;
                scope.spawn(move || {
                    let mut connection = Connection::to(api);
                    for count in 0.. {
                        let code = format!("r{round}/w{writer}/{count}");
                        match connection.call("POST", "/v1/links", &body(&code)) {
                            Ok(Some(answer)) if answer.status == 201 => {
                                acknowledged.lock().unwrap().push(code);
                            }
                            Ok(Some(answer)) => panic!("{answer:?}"),
                            Ok(None) | Err(_) => return, // killed
                        }
                    }
                });
            }
            until("writes to be acknowledged", || {
                (acknowledged.lock().unwrap().len() >= enough).then_some(())
            });
            linkr.kill();
        });
        let linkr = Linkr::up(&dir);
        linkr.catch_up();
        let mut edge = Connection::to(linkr.edge());
        let codes = acknowledged.lock().unwrap().clone();
        // What is on disk of a write is all of it: who wrote it is known, too.
        let mut api = Connection::to(linkr.api());
        for code in codes.iter().rev().take(100) {
            let history = api.call("GET", &format!("/v1/links/{code}:history"), "").unwrap().unwrap();
            assert!(history.body.contains("\"method\":\"CreateLink\""), "{code}: {}", history.body);
        }
        // The edge takes 10,000 requests on a connection.
        for code in codes.iter().rev().take(9_000) {
            let answer = edge.ask("GET", &format!("/{code}"));
            assert_eq!(
                (answer.status, answer.location()),
                (302, target(code).as_str()),
                "round {round}: {code}"
            );
        }
    }
}
