//! SIGTERM: everything that was asked is answered whole, and the process exits with 0.

use crate::support::{
    Connection, Dir, EPOLL, FREE_PORTS, IO_URING, LINKR, Linkr, beside_others, command, until,
};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};

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
