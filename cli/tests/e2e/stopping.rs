//! SIGTERM: everything that was asked is answered whole, and the process exits with 0.

use crate::support::{
    Connection, Dir, EPOLL, FREE_PORTS, IO_URING, LINKR, Linkr, beside_others, command, until,
};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// How a client saw its connection end.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Whole,
    Cut(String),
}

/// Keeps asking on one connection until it ends.
fn visit(edge: SocketAddr, answered: &AtomicUsize) -> End {
    let mut connection = Connection::to(edge);
    loop {
        // A connection that has ended between two answers takes no more requests: that is no cut.
        if connection.send("GET", "/x", "").is_err() {
            return End::Whole;
        }
        match connection.answer(false) {
            Ok(Some(answer)) if answer.location() != "https://example.com/" => {
                return End::Cut(format!("{answer:?}"));
            }
            Ok(Some(answer)) => {
                answered.fetch_add(1, Ordering::Relaxed);
                if answer.field("connection") == Some("close") {
                    return End::Whole;
                }
            }
            Ok(None) => return End::Whole,
            Err(fault) if fault.kind() == std::io::ErrorKind::ConnectionReset => return End::Whole,
            Err(fault) => return End::Cut(fault.to_string()),
        }
    }
}

fn stops_cleanly(env: &[(&str, &str)]) {
    let _turn = beside_others();
    let dir = Dir::new();
    let mut linkr = Linkr::up_with(&dir, env);
    linkr.ok(&dir, &["link", "create", "https://example.com/", "--code", "x"]);
    until("the link", || (linkr.get("/x").status == 302).then_some(()));
    let (edge, answered) = (linkr.edge(), AtomicUsize::new(0));
    let ends: Vec<End> = std::thread::scope(|scope| {
        let visitors: Vec<_> = (0..8).map(|_| scope.spawn(|| visit(edge, &answered))).collect();
        until("the visitors to be busy", || (answered.load(Ordering::Relaxed) > 500).then_some(()));
        linkr.ask_to_stop();
        visitors.into_iter().map(|visitor| visitor.join().unwrap()).collect()
    });
    assert_eq!(ends.iter().filter(|end| **end != End::Whole).collect::<Vec<_>>(), Vec::<&End>::new());
    assert_eq!(linkr.exited().code(), Some(0), "{}", linkr.stderr());
    assert!(!linkr.stderr().contains("stream ended"), "a stop that looks like a fault: {}", linkr.stderr());
    // And what was written is there again.
    let linkr = Linkr::up_with(&dir, env);
    until("the link again", || (linkr.get("/x").status == 302).then_some(()));
}

#[test]
fn nothing_in_flight_is_cut() {
    stops_cleanly(&[IO_URING]);
}

#[test]
fn nothing_in_flight_is_cut_epoll() {
    stops_cleanly(&[EPOLL]);
}

#[test]
fn an_idle_caller_of_the_api_holds_it_up_for_the_timeout_at_most() {
    let _turn = beside_others();
    let dir = Dir::new();
    let mut linkr = Linkr::up_with(&dir, &[("LINKR_DRAIN_TIMEOUT", "1s")]);
    let mut api = Connection::to(linkr.api());
    assert_eq!(api.call("POST", "/v1/links", r#"{"target":"https://a"}"#).unwrap().unwrap().status, 201);
    linkr.ask_to_stop();
    assert_eq!(linkr.exited().code(), Some(0), "{}", linkr.stderr());
    assert!(!linkr.stderr().contains("cut"), "{}", linkr.stderr());
}

#[test]
fn a_second_signal_ends_control_at_once() {
    let _turn = beside_others();
    let dir = Dir::new();
    let mut command = command(LINKR, dir.path());
    command.arg("control").args(FREE_PORTS);
    let mut linkr = Linkr::start(command, &dir, &["api", "admin"]);
    // A call under way, whose body never comes: once control asks for the body, it waits for it.
    let mut call = TcpStream::connect(linkr.api()).unwrap();
    let head = "POST /v1/links HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\
        Expect: 100-continue\r\n\r\n";
    call.write_all(head.as_bytes()).unwrap();
    let mut asked = [0; 12];
    call.read_exact(&mut asked).unwrap();
    assert_eq!(&asked, b"HTTP/1.1 100");
    linkr.ask_to_stop();
    until("the first signal to be heard", || TcpStream::connect(linkr.api()).err());
    linkr.ask_to_stop();
    assert_eq!(linkr.exited().code(), Some(0), "{}", linkr.stderr());
    assert!(linkr.stderr().contains("stopped at once"), "{}", linkr.stderr());
}

/// A start is busy while it waits for a pipe: signals meanwhile were one, however many came.
#[test]
fn every_signal_counts_also_during_a_start() {
    let _turn = beside_others();
    let dir = Dir::new();
    let key = dir.file("key");
    assert!(Command::new("mkfifo").arg(&key).status().unwrap().success());
    let mut edge = command(LINKR, dir.path());
    edge.args([
        "edge",
        "--control",
        "http://127.0.0.1:1",
        "--control-key-file",
        &key,
        "--workers",
        "1",
        "--unpinned",
        "--drain-delay",
        "60m",
    ]);
    edge.args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    let stderr = File::create(dir.file("stderr")).unwrap();
    let mut child = edge.stderr(stderr).stdout(Stdio::null()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let bits = |name: &str| {
        let status = fs::read_to_string(&status).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
        u64::from_str_radix(&line, 16).unwrap() >> (15 - 1) & 1
    };
    until("the edge to listen for signals", || (bits("SigCgt:") == 1).then_some(()));
    for _ in 0..4 {
        let sent = Command::new("sh").args(["-c", &format!("kill -TERM {}", child.id())]).status().unwrap();
        assert!(sent.success());
        until("the kernel to have handed it over", || (bits("ShdPnd:") == 0).then_some(()));
        std::thread::sleep(Duration::from_millis(50)); // it is on its way inside of the process
    }
    let mut pipe = File::options().read(true).write(true).open(&key).unwrap(); // waits for nobody
    pipe.write_all(format!("lk_{}\n", "a".repeat(40)).as_bytes()).unwrap();
    drop(pipe);
    assert!(until("it to end", || child.try_wait().unwrap()).success());
    let said = fs::read_to_string(dir.file("stderr")).unwrap();
    let stopping = said.lines().find(|line| line.contains("stopping")).unwrap();
    assert!(stopping.contains("drain_delay_ms=3600000") && stopping.contains("a second signal"), "{said}");
    assert!(said.contains("stopped at once"), "{said}");
}
