//! Crowds of strangers on the API and on the admin listener of a process with few descriptors: those whom it is there for
//! are served all the same.

use crate::support::{Answer, Connection, Dir, FREE_PORTS, LINKR, Linkr, command, until};
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Five strangers for each descriptor of the process under attack.
#[derive(Clone, Copy)]
struct Crowd {
    files: usize,
    strangers: usize,
}

/// `LINKR_LONG=1` takes as many descriptors as a login shell has.
fn sizes() -> Crowd {
    let long = std::env::var_os("LINKR_LONG").is_some();
    if long { Crowd { files: 1_024, strangers: 5_000 } } else { Crowd { files: 400, strangers: 2_000 } }
}

/// The longest that somebody with a key, a visitor or a probe may have to wait.
const LIMIT: Duration = Duration::from_millis(250);

/// Found by attack: connections with one refused call each kept everybody else from the API for as long as they stayed,
/// and half heads on the admin listener kept visitors and probes out.
pub fn the_admin_a_visitor_and_a_probe_are_served_beside_crowds_of_strangers() {
    let dir = Dir::new();
    let Crowd { files, strangers } = sizes();
    let linkr = with_descriptors(files, &dir);
    let key = std::fs::read_to_string(dir.path().join("data/admin.key")).unwrap();
    let key = format!("Bearer {}", key.trim());
    let created = call(linkr.api(), &key, "POST", r#"{"code":"hello","target":"https://a.example/"}"#);
    assert_eq!(created.status, 201, "{created:?}");
    linkr.catch_up();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for (address, what) in [
            (linkr.api(), REFUSED),
            (linkr.api(), PINGS),
            (linkr.api(), ""),
            (linkr.admin(), "GET /metrics HTTP/1.1\r\nHost: localhost"),
        ] {
            let stop = &stop;
            scope.spawn(move || crowd(strangers / 4, address, what.as_bytes(), stop));
        }
        let _stopped = Stop(&stop);
        let mut took: [Vec<Duration>; 3] = Default::default();
        for _ in 0..60 {
            let now = [
                timed(|| call(linkr.api(), &key, "GET", "").status == 200),
                timed(|| linkr.get("/hello").status == 302),
                timed(|| Connection::to(linkr.admin()).ask("GET", "/readyz").status == 200),
            ];
            took.iter_mut().zip(now).for_each(|(took, now)| took.push(now));
        }
        took.iter_mut().for_each(|took| took.sort_unstable());
        let (worst, usual) = (took.each_ref().map(|took| took[59]), took.each_ref().map(|took| took[56]));
        println!("admin, visitor, probe: 95 % within {usual:?}, all within {worst:?}");
        assert!(usual.iter().all(|took| *took <= LIMIT), "admin, visitor, probe: {usual:?}");
    });
    until("the strangers' places to be free again", || {
        linkr.metric("process_open_fds").is_none_or(|open| open < files as f64 / 2.0).then_some(())
    });
}

/// A call without a key, over a connection that is kept.
const REFUSED: &str = "GET /v1/links HTTP/1.1\r\nHost: a\r\n\r\n";
/// HTTP/2 that asks nothing: its preface, settings, and pings.
const PINGS: &str = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\x08\x06\0\0\0\0\0aaaaaaaa\0\0\x08\x06\0\0\0\0\0bbbbbbbb";

struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Strangers who come again as soon as they are let go.
fn crowd(strangers: usize, address: SocketAddr, words: &[u8], stop: &AtomicBool) {
    let mut held: Vec<Option<TcpStream>> = (0..strangers).map(|_| None).collect();
    while !stop.load(Ordering::Relaxed) {
        let began = Instant::now();
        for place in &mut held {
            let ended = place.as_ref().is_none_or(|stream| {
                stream.set_nonblocking(true).is_err()
                    || !matches!(stream.peek(&mut [0; 512]), Err(_) | Ok(1..))
            });
            if ended && !stop.load(Ordering::Relaxed) {
                *place = from_elsewhere(address).filter(|mut stream| stream.write_all(words).is_ok());
            }
        }
        // Four crowds on this machine take one core of it at most: what is measured is the victim, not who gets a core.
        std::thread::sleep((3 * began.elapsed()).max(Duration::from_millis(20)));
    }
}

/// Strangers have another address than the admin; a crowd of the admin's own address is tried in `control::places`.
fn from_elsewhere(address: SocketAddr) -> Option<TcpStream> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).ok()?;
    socket.bind(&SocketAddr::from(([127, 0, 0, 2], 0)).into()).ok()?;
    socket.connect_timeout(&address.into(), Duration::from_secs(1)).ok()?;
    Some(socket.into())
}

fn timed(right: impl FnOnce() -> bool) -> Duration {
    let began = Instant::now();
    assert!(right(), "refused");
    began.elapsed()
}

fn call(api: SocketAddr, key: &str, method: &str, body: &str) -> Answer {
    let called = Connection::to(api).call_with(method, "/v1/links", &[("Authorization", key)], body);
    called.unwrap().expect("an answer")
}

fn with_descriptors(files: usize, dir: &Dir) -> Linkr {
    let mut limited = command("sh", dir.path());
    let words = ["up", "--data-dir", "data", "--listen", "127.0.0.1:0", "--workers", "1"];
    limited
        .args(["-c", &format!("ulimit -n {files}; exec \"$0\" \"$@\""), LINKR])
        .args(words)
        .args(FREE_PORTS);
    limited.env("LINKR_INSECURE", "false");
    Linkr::start(limited, dir, &["edge", "api", "admin", "then"])
}
