//! What clients and balancers see between SIGTERM and the end.

use crate::support::{
    Answer, Connection, Dir, EPOLL, FREE_PORTS, IO_URING, LINKR, Linkr, beside_others, command, text, until,
};
use crate::tls;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// With a link `x`, in a directory of its own.
fn started(dir: &Dir, env: &[(&str, &str)]) -> Linkr {
    let linkr = Linkr::up_with(dir, env);
    linkr.ok(dir, &["link", "create", "https://example.com/", "--code", "x"]);
    until("the link", || (linkr.get("/x").status == 302).then_some(()));
    linkr
}

fn closes(answer: &Answer) -> bool {
    answer.field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
}

/// Waits until the next answer on a new connection says that it is the last.
fn noticed(linkr: &Linkr) {
    until("both workers to know", || (0..16).all(|_| closes(&linkr.get("/x"))).then_some(()));
}

fn ended(connection: &mut Connection) -> bool {
    matches!(connection.answer(false), Ok(None))
}

#[test]
fn while_it_drains_it_is_not_ready_and_every_answer_is_the_last() {
    let _turn = beside_others();
    let dir = Dir::new();
    let certificate = tls::Certificate::write(&dir, "a", &["a.test"]);
    let env = [&certificate.env()[..], &[("LINKR_DRAIN_DELAY", "60m")]].concat();
    let mut linkr = started(&dir, &env);
    let client = tls::client(&[&certificate]);
    let (mut kept, mut piped) = (Connection::to(linkr.edge()), Connection::to(linkr.edge()));
    let (mut old, mut head) = (Connection::to(linkr.edge()), Connection::to(linkr.edge()));
    let mut secured = tls::connect(linkr.tls(), &client);
    let mut api = Connection::to(linkr.api());
    for connection in [&mut kept, &mut piped, &mut old, &mut head] {
        assert!(!closes(&connection.ask("GET", "/x")));
    }
    assert!(!closes(&secured.ask("GET", "/x")));
    assert!(!closes(&api.ask("GET", "/v1/links/x")));

    linkr.ask_to_stop();
    let ready = || Connection::to(linkr.admin()).ask("GET", "/readyz");
    let ready = until("it not to be ready", || Some(ready()).filter(|answer| answer.status == 503));
    assert!(ready.body.starts_with("draining: "), "{ready:?}");
    noticed(&linkr);
    assert!(closes(&kept.ask("GET", "/x")));
    assert!(ended(&mut kept));
    piped.write_all("GET /x HTTP/1.1\r\nHost: a\r\n\r\n".repeat(3).as_bytes()).unwrap();
    let last = [(); 3].map(|()| closes(&piped.answer(false).unwrap().unwrap()));
    assert_eq!(last, [false, false, true]);
    assert!(ended(&mut piped));
    old.write_all(b"GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").unwrap();
    assert!(closes(&old.answer(false).unwrap().unwrap()));
    assert!(ended(&mut old));
    assert!(closes(&head.ask("HEAD", "/x")));
    assert!(ended(&mut head));
    // rustls calls an end without close_notify an error.
    for mut secured in [secured, tls::connect(linkr.tls(), &client)] {
        assert!(closes(&secured.ask("GET", "/x")));
        assert!(matches!(secured.answer(false), Ok(None)));
    }
    assert!(closes(&api.ask("GET", "/v1/links/x")));
    assert!(ended(&mut api));
    // And control goes on for what this edge has to ask it, and for whoever has nowhere else to go.
    linkr.ok(&dir, &["link", "create", "https://example.com/", "--code", "late"]);
    until("a change while it drains", || (linkr.get("/late").status == 302).then_some(()));

    linkr.ask_to_stop();
    assert_eq!(linkr.exited().code(), Some(0), "{}", linkr.stderr());
    assert!(linkr.stderr().contains("stopped at once"), "{}", linkr.stderr());
}

#[test]
fn who_is_silent_has_until_the_timeout_and_then_is_told() {
    for driver in [IO_URING, EPOLL] {
        let _turn = beside_others();
        let dir = Dir::new();
        let mut linkr = started(&dir, &[driver, ("LINKR_DRAIN_TIMEOUT", "2s")]);
        let (mut late, mut idle) = (Connection::to(linkr.edge()), Connection::to(linkr.edge()));
        let (mut part, mut fresh) = (Connection::to(linkr.edge()), Connection::to(linkr.edge()));
        for connection in [&mut late, &mut idle, &mut part] {
            connection.ask("GET", "/x");
        }
        part.write_all(b"GET /x HTTP/1.1\r\nHos").unwrap();
        let began = Instant::now();
        linkr.ask_to_stop();
        let refused = |fault: &std::io::Error| fault.kind() == ErrorKind::ConnectionRefused;
        until("it to accept no more", || TcpStream::connect(linkr.edge()).err().filter(refused));
        assert!(began.elapsed() < Duration::from_secs(2));
        assert!(closes(&late.ask("GET", "/x")));
        assert!(ended(&mut late));
        assert!(ended(&mut idle));
        assert!(began.elapsed() >= Duration::from_secs(2));
        assert!(ended(&mut fresh));
        let told = part.answer(false).unwrap().unwrap();
        assert!(told.status == 408 && closes(&told), "{told:?}");
        assert_eq!(linkr.exited().code(), Some(0), "{}", linkr.stderr());
        assert!(!linkr.stderr().contains("cut"), "{}", linkr.stderr());
        let said = linkr.stderr();
        let lines = ["stopping: ", "closing: no connection is accepted any more", "stopped: "]
            .map(|line| said.find(line));
        assert!(lines.is_sorted() && lines[0].is_some(), "{said}");
    }
}

/// Asks on new connections until nobody listens: what became of those that were made.
fn knock(edge: SocketAddr, answered: &AtomicUsize) -> Result<(), String> {
    loop {
        let mut stream = match TcpStream::connect_timeout(&edge, Duration::from_millis(500)) {
            Ok(stream) => stream,
            // A handshake that was begun too late.
            Err(fault) if matches!(fault.kind(), ErrorKind::ConnectionRefused | ErrorKind::TimedOut) => {
                return Ok(());
            }
            Err(fault) => return Err(format!("connect: {fault}")),
        };
        let mut answer = Vec::new();
        let asked = stream.write_all(b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        asked.and_then(|()| stream.read_to_end(&mut answer)).map_err(|fault| format!("lost: {fault}"))?;
        if !answer.starts_with(b"HTTP/1.1 302 ") {
            return Err(format!("cut: {:?}", text(&answer)));
        }
        answered.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn no_connection_that_was_made_is_lost_when_the_listeners_close() {
    let long = std::env::var_os("LINKR_LONG").is_some();
    for round in 0..if long { 40 } else { 4 } {
        let _turn = beside_others();
        let dir = Dir::new();
        let mut linkr = started(&dir, &[[IO_URING, EPOLL][round % 2]]);
        let (edge, answered) = (linkr.edge(), AtomicUsize::new(0));
        let ends: Vec<_> = std::thread::scope(|scope| {
            let knocks: Vec<_> = (0..16).map(|_| scope.spawn(|| knock(edge, &answered))).collect();
            until("many to come", || (answered.load(Ordering::Relaxed) > 300).then_some(()));
            linkr.ask_to_stop();
            knocks.into_iter().filter_map(|knock| knock.join().unwrap().err()).collect()
        });
        assert_eq!(ends, Vec::<String>::new());
        assert_eq!(linkr.exited().code(), Some(0), "{}", linkr.stderr());
    }
}

#[test]
fn an_address_is_free_while_its_old_process_still_drains() {
    let _turn = beside_others();
    let (dir, heir) = (Dir::new(), Dir::new());
    let control = Linkr::up(&dir);
    let edge = |dir: &Dir, listen: SocketAddr| {
        let mut edge = command(LINKR, dir.path());
        edge.args(["edge", "--control", &format!("http://{}", control.api()), "--workers", "2"]);
        edge.args(["--listen", &listen.to_string(), "--admin", "127.0.0.1:0"]);
        Linkr::start(edge, dir, &["edge", "admin"])
    };
    let mut old = edge(&dir, "127.0.0.1:0".parse().unwrap());
    let mut kept = Connection::to(old.edge());
    kept.ask("GET", "/livez");
    old.ask_to_stop();
    until("it to accept no more", || {
        TcpStream::connect(old.edge()).err().filter(|fault| fault.kind() == ErrorKind::ConnectionRefused)
    });
    let new = edge(&heir, old.edge());
    assert_ne!(new.get("/nobody").status, 302);
    assert!(closes(&kept.ask("GET", "/livez")));
    assert_eq!(old.exited().code(), Some(0), "{}", old.stderr());
}

#[test]
fn control_drains_too() {
    let _turn = beside_others();
    let dir = Dir::new();
    let mut command = command(LINKR, dir.path());
    command.arg("control").args(FREE_PORTS).env("LINKR_DRAIN_DELAY", "60m");
    let mut control = Linkr::start(command, &dir, &["api", "admin"]);
    let mut kept = Connection::to(control.api());
    assert!(!closes(&kept.ask("GET", "/v1/links")));
    assert_eq!(Connection::to(control.admin()).ask("GET", "/readyz").status, 200);
    control.ask_to_stop();
    let ready = || Connection::to(control.admin()).ask("GET", "/readyz");
    let ready = until("it not to be ready", || Some(ready()).filter(|answer| answer.status == 503));
    assert!(ready.body.starts_with("draining: "), "{ready:?}");
    let answer = kept.ask("GET", "/v1/links");
    assert!(answer.status == 200 && closes(&answer), "{answer:?}");
    assert!(ended(&mut kept));
    control.ok(&dir, &["link", "create", "https://example.com/", "--code", "late"]);
    control.ask_to_stop();
    assert_eq!(control.exited().code(), Some(0), "{}", control.stderr());
}

#[test]
fn other_signals_end_nothing() {
    let _turn = beside_others();
    let dir = Dir::new();
    let linkr = started(&dir, &[]);
    for (count, name) in ["HUP", "USR1", "USR2", "HUP"].into_iter().enumerate() {
        linkr.signal(name);
        until("a line", || (linkr.stderr().matches("changes nothing").count() > count).then_some(()));
        assert!(linkr.stderr().contains(&format!("SIG{name}")), "{}", linkr.stderr());
    }
    assert_eq!(linkr.get("/x").status, 302);
}
