//! What clients and balancers see between SIGTERM and the end.

use crate::support::{
    Answer, Connection, Dir, EPOLL, FREE_PORTS, IO_URING, LINKR, Linkr, beside_others, command, text, until,
};
use crate::tls;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
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

/// Asks on new connections until none is made: how the last one failed, or what became of one that was made.
fn knock(at: SocketAddr, path: &str, wanted: u16, answered: &AtomicUsize) -> Result<ErrorKind, String> {
    loop {
        let mut stream = match TcpStream::connect_timeout(&at, Duration::from_millis(500)) {
            Ok(stream) => stream,
            // A handshake that was begun too late.
            Err(fault) if matches!(fault.kind(), ErrorKind::ConnectionRefused | ErrorKind::TimedOut) => {
                return Ok(fault.kind());
            }
            Err(fault) => return Err(format!("connect: {fault}")),
        };
        let mut answer = Vec::new();
        let asked = stream
            .write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes());
        asked.and_then(|()| stream.read_to_end(&mut answer)).map_err(|fault| format!("lost: {fault}"))?;
        if !text(&answer).starts_with(&format!("HTTP/1.1 {wanted} ")) {
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
        let edge = linkr.edge();
        stops_under_knocks(&mut linkr, edge, "/x", 302);
    }
}

fn stops_under_knocks(linkr: &mut Linkr, at: SocketAddr, path: &str, wanted: u16) {
    let answered = AtomicUsize::new(0);
    let (ends, lost): (Vec<_>, Vec<_>) = std::thread::scope(|scope| {
        let knocks: Vec<_> = (0..16).map(|_| scope.spawn(|| knock(at, path, wanted, &answered))).collect();
        until("many to come", || (answered.load(Ordering::Relaxed) > 300).then_some(()));
        linkr.ask_to_stop();
        knocks.into_iter().map(|knock| knock.join().unwrap()).partition(Result::is_ok)
    });
    assert_eq!(lost, []);
    // A queue is hit too seldom in the moment that its listener closes to show that handshakes end before.
    assert!(ends.contains(&Ok(ErrorKind::TimedOut)), "a handshake that begins too late is dropped: {ends:?}");
    assert_eq!(linkr.exited().code(), Some(0), "{}", linkr.stderr());
}

/// `linkr control`, for as long as nobody asks it to stop.
fn control(dir: &Dir) -> Linkr {
    let mut command = command(LINKR, dir.path());
    command.arg("control").args(FREE_PORTS);
    Linkr::start(command, dir, &["api", "admin"])
}

#[test]
fn no_connection_that_was_made_is_lost_when_the_api_closes() {
    let rounds = if std::env::var_os("LINKR_LONG").is_some() { 40 } else { 4 };
    for _ in 0..rounds {
        let _turn = beside_others();
        let dir = Dir::new();
        let mut control = control(&dir);
        let api = control.api();
        stops_under_knocks(&mut control, api, "/v1/links", 200);
    }
}

const MANY: usize = 4_000;

/// Asks for one link after the other, until told that an answer is the last: the first that is no redirect.
fn ask_for_all(edge: SocketAddr, first: usize, answered: &AtomicUsize) -> Result<(), String> {
    let mut connection = Connection::to(edge);
    for number in first.. {
        let sent = connection.send("GET", &format!("/c{}", number % MANY), "");
        let answer = sent.and_then(|()| connection.answer(false));
        let answer = answer.map_err(|fault| format!("lost: {fault}"))?.ok_or("ended without a word")?;
        if answer.status != 302 {
            return Err(format!("{answer:?}"));
        }
        answered.fetch_add(1, Ordering::Relaxed);
        if closes(&answer) {
            break;
        }
    }
    Ok(())
}

/// The edge half ends first: what control says to it until its last answer is heard.
#[test]
fn what_is_asked_of_control_during_a_drain_is_answered() {
    for driver in [IO_URING, EPOLL] {
        let _turn = beside_others();
        let dir = Dir::new();
        let env = [driver, ("LINKR_HOT_SET_BYTES", "128KiB"), ("LINKR_DRAIN_DELAY", "2s")];
        let mut linkr = Linkr::up_with(&dir, &env);
        let rows = (0..MANY).map(|number| format!("c{number},https://example.com/some/target/{number}\n"));
        let file = dir.write("links.csv", format!("code,target\n{}", rows.collect::<String>()));
        linkr.ok(&dir, &["import", &file]);
        linkr.catch_up();
        let (edge, answered, over) = (linkr.edge(), AtomicUsize::new(0), AtomicBool::new(false));
        let asked = || {
            linkr
                .metric("linkr_edge_requests_total{outcome=\"redirect\",tier=\"origin\"}")
                .unwrap_or_default()
        };
        // Opened before, asked at the very end: after the listeners have closed, control still answers for it.
        let (mut last, mut holds) = (Connection::to(edge), Connection::to(edge));
        last.ask("GET", "/c0");
        holds.ask("GET", "/c0");
        let ends: Vec<_> = std::thread::scope(|scope| {
            let visitors: Vec<_> = (0..8)
                .map(|at| {
                    let (answered, over) = (&answered, &over);
                    scope.spawn(move || {
                        let mut first = at * MANY / 8;
                        while !over.load(Ordering::Relaxed) {
                            ask_for_all(edge, first, answered)?;
                            first += 97;
                        }
                        Ok::<_, String>(())
                    })
                })
                .collect();
            until("questions", || (asked() > 200.0).then_some(()));
            linkr.ask_to_stop();
            until("the drain", || closes(&linkr.get("/c1")).then_some(()));
            let (before, of_all) = (asked(), answered.load(Ordering::Relaxed));
            until("questions during the drain", || {
                (asked() > before + 20.0 && answered.load(Ordering::Relaxed) > of_all + 20).then_some(())
            });
            over.store(true, Ordering::Relaxed);
            visitors.into_iter().filter_map(|visitor| visitor.join().unwrap().err()).collect()
        });
        assert_eq!(ends, Vec::<String>::new());
        let refused = |fault: &std::io::Error| fault.kind() == ErrorKind::ConnectionRefused;
        until("it to accept no more", || TcpStream::connect(edge).err().filter(refused));
        let before = asked();
        // From all over what memory does not hold: some of them are asked of control.
        last.write_all(
            (0..64)
                .map(|at| format!("GET /c{} HTTP/1.1\r\nHost: a\r\n\r\n", at * 61))
                .collect::<String>()
                .as_bytes(),
        )
        .unwrap();
        for at in 0..64 {
            let answer = last.answer(false).unwrap().unwrap();
            assert_eq!((answer.status, closes(&answer)), (302, at == 63), "{at}: {answer:?}");
        }
        until("them to be counted", || (asked() > before).then_some(()));
        assert!(closes(&holds.ask("GET", "/c1")));
        assert_eq!(linkr.exited().code(), Some(0), "{}", linkr.stderr());
        assert!(!linkr.stderr().contains("control cannot be followed"), "{}", linkr.stderr());
    }
}

#[test]
fn an_edge_that_turns_blind_while_it_stops_says_so() {
    let _turn = beside_others();
    let (dir, own) = (Dir::new(), Dir::new());
    let mut control = control(&dir);
    let mut edge = command(LINKR, own.path());
    edge.args(["edge", "--control", &format!("http://{}", control.api()), "--drain-timeout", "60m"]);
    edge.args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    let mut edge = Linkr::start(edge, &own, &["edge", "admin"]);
    until("it to be ready", || {
        (Connection::to(edge.admin()).ask("GET", "/readyz").status == 200).then_some(())
    });
    let mut kept = Connection::to(edge.edge());
    kept.ask("GET", "/nobody");
    edge.ask_to_stop();
    until("it to accept no more", || TcpStream::connect(edge.edge()).err());
    control.kill();
    for line in ["control cannot be followed", "control was not heard for a second"] {
        until(line, || edge.stderr().contains(line).then_some(()));
    }
    assert!(closes(&kept.ask("GET", "/nobody")));
    assert_eq!(edge.exited().code(), Some(0), "{}", edge.stderr());
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
