//! Visitors who never try again: each request that is not answered as it should is told.

use crate::support::{Answer, Connection, PATIENCE, until};
use crate::tls::{self, Certificate, TlsConnection};
use rustls::{ClientConfig, HandshakeKind};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Of so many requests one asks for a code that no link has.
const UNKNOWN: u64 = 10;

/// What they saw.
#[derive(Default)]
pub struct Seen {
    redirected: AtomicU64,
    /// Handshakes in full of those who come again.
    in_full: AtomicU64,
    failed: Mutex<Vec<String>>,
    stop: AtomicBool,
}

/// Where they go.
pub struct Visitors<'a> {
    shown: &'a Certificate,
    plain: SocketAddr,
    tls: SocketAddr,
    admin: SocketAddr,
}

impl Seen {
    pub fn redirected(&self) -> u64 {
        self.redirected.load(Ordering::Relaxed)
    }

    pub fn in_full(&self) -> u64 {
        self.in_full.load(Ordering::Relaxed)
    }

    pub fn failed(&self) -> Vec<String> {
        self.failed.lock().unwrap().clone()
    }

    /// Waits until so many more are redirected.
    pub fn more(&self, count: u64) {
        let before = self.redirected();
        until("more redirects", || {
            (self.redirected() >= before + count || !self.failed().is_empty()).then_some(())
        });
    }

    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    fn fails(&self, who: &str, why: impl std::fmt::Display) {
        self.failed.lock().unwrap().push(format!("{who}: {why}"));
    }

    /// One request on a connection. `false`: it was the last one, or it failed.
    fn asks<S: Read + Write>(&self, who: &str, connection: &mut Connection<S>, number: u64) -> bool {
        let unknown = number.is_multiple_of(UNKNOWN);
        let path = if unknown { "/nobody" } else { "/x" };
        let sent = connection.send("GET", path, "");
        match sent.and_then(|()| connection.answer(false)) {
            Ok(Some(answer)) if unknown && answer.status == 404 => goes_on(&answer),
            Ok(Some(answer)) if !unknown && answer.location() == "https://example.com/x" => {
                self.redirected.fetch_add(1, Ordering::Relaxed);
                goes_on(&answer)
            }
            Ok(Some(answer)) => {
                self.fails(who, format_args!("{answer:?}"));
                false
            }
            Ok(None) => {
                self.fails(who, "ended without an answer");
                false
            }
            Err(fault) => {
                self.fails(who, fault);
                false
            }
        }
    }
}

fn goes_on(answer: &Answer) -> bool {
    answer.field("connection") != Some("close")
}

impl<'a> Visitors<'a> {
    pub fn new(shown: &'a Certificate, plain: SocketAddr, tls: SocketAddr, admin: SocketAddr) -> Self {
        Self { shown, plain, tls, admin }
    }

    /// Lets them come while something is done: what they saw.
    pub fn during(&self, done: impl FnOnce(&Seen)) -> Seen {
        let seen = Seen::default();
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| self.plain(&seen, "kept", u64::MAX));
                scope.spawn(|| self.plain(&seen, "new", 1));
            }
            scope.spawn(|| self.secured(&seen, "TLS kept", u64::MAX, || tls::client(&[self.shown])));
            scope.spawn(|| self.secured(&seen, "TLS in full", 1, || tls::client(&[self.shown])));
            let again = tls::client(&[self.shown]);
            let seen = &seen;
            scope.spawn(move || self.secured(seen, "TLS again", 1, || Arc::clone(&again)));
            scope.spawn(|| self.probe(seen));
            // Whatever comes of it, they end: a scope waits for them.
            let ends = Ends(seen);
            done(ends.0);
        });
        seen
    }

    fn plain(&self, seen: &Seen, who: &str, most: u64) {
        let mut number = 0;
        while seen.goes_on() {
            let stream = match TcpStream::connect_timeout(&self.plain, PATIENCE) {
                Ok(stream) => stream,
                Err(fault) => return seen.fails(who, fault),
            };
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream.set_nodelay(true).unwrap();
            ask_on(seen, who, &mut Connection::over(stream), &mut number, most);
        }
    }

    fn secured(&self, seen: &Seen, who: &str, most: u64, client: impl Fn() -> Arc<ClientConfig>) {
        let mut number = 0;
        while seen.goes_on() {
            let mut connection: TlsConnection = tls::connect(self.tls, &client());
            ask_on(seen, who, &mut connection, &mut number, most);
            if who == "TLS again" && connection.stream().conn.handshake_kind() == Some(HandshakeKind::Full) {
                seen.in_full.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// A balancer's probe never finds an edge that is not ready.
    fn probe(&self, seen: &Seen) {
        while seen.goes_on() {
            let mut connection = Connection::to(self.admin);
            match connection.call("GET", "/readyz", "") {
                Ok(Some(answer)) if answer.status == 200 => {}
                other => seen.fails("probe", format_args!("{other:?}")),
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
}

fn ask_on<S: Read + Write>(
    seen: &Seen,
    who: &str,
    connection: &mut Connection<S>,
    number: &mut u64,
    most: u64,
) {
    for _ in 0..most {
        *number += 1;
        if !seen.asks(who, connection, *number) || !seen.goes_on() {
            return;
        }
    }
}

/// Ends the visits, also when the test fails.
struct Ends<'a>(&'a Seen);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::Relaxed);
    }
}
