//! The floor: a server that answers a fixed redirect to every empty line and parses nothing. What the kernel alone costs.

mod epoll;
mod uring;

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

/// What it answers: as long as a usual redirect.
const ANSWER: &[u8] = b"HTTP/1.1 302 Found\r\nlocation: https://www.example.com/articles/2026/0000001/some-title-of-medium-length-here?utm_source=linkr&id=1\r\ncontent-length: 0\r\ndate: Sun, 22 Nov 2026 13:06:42 GMT\r\n\r\n";

/// The target of that answer.
pub const TARGET: &str =
    "https://www.example.com/articles/2026/0000001/some-title-of-medium-length-here?utm_source=linkr&id=1";

/// How the floor talks to the kernel, and what it does wrong on purpose.
#[derive(Clone, Copy, Debug, Default)]
pub struct Floor {
    /// epoll instead of io_uring.
    pub epoll: bool,
    /// End each connection behind its answer. Said from outside: the floor does not read what a request says.
    pub close: bool,
    /// CPU time burnt for each answer: to see whether a comparison finds it.
    pub burn: Duration,
    /// A pause at the start of each second: to see whether a latency shows it.
    pub stall: Duration,
}

/// Serves until the process ends. `ready` is told the address.
///
/// # Errors
/// One line when it cannot.
pub fn serve(address: SocketAddr, floor: Floor, ready: impl FnOnce(SocketAddr)) -> Result<(), String> {
    let listener =
        TcpListener::bind(address).map_err(|fault| format!("cannot listen on {address}: {fault}"))?;
    ready(listener.local_addr().unwrap_or(address));
    let faults = Faults { floor, began: Instant::now(), stalled: 0 };
    let ended = if floor.epoll { epoll::serve(listener, faults) } else { uring::serve(&listener, faults) };
    ended.map_err(|fault| format!("the floor ended: {fault}"))
}

/// What is done wrong on purpose.
struct Faults {
    floor: Floor,
    began: Instant,
    stalled: u64,
}

impl Faults {
    /// Before `answers` answers go out.
    fn before(&mut self, answers: usize) {
        if !self.floor.burn.is_zero() {
            let until = Instant::now() + self.floor.burn * answers as u32;
            while Instant::now() < until {}
        }
        if !self.floor.stall.is_zero() {
            let second = self.began.elapsed().as_secs();
            if second > self.stalled {
                self.stalled = second;
                std::thread::sleep(self.floor.stall);
            }
        }
    }
}

/// Empty lines that end in these bytes, each the end of a request.
fn count(bytes: &[u8]) -> usize {
    let (mut at, mut found) = (3, 0);
    while at < bytes.len() {
        if bytes[at] == b'\n' && bytes[at - 1] == b'\r' && bytes[at - 2] == b'\n' {
            found += 1;
            at += 4;
        } else {
            at += 1;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    #[test]
    fn both_answer_every_request() {
        for (epoll, close) in [(true, false), (true, true), (false, false), (false, true)] {
            let (tell, told) = std::sync::mpsc::channel();
            std::thread::spawn(move || {
                let floor = Floor { epoll, close, ..Floor::default() };
                let failed = tell.clone();
                if serve("127.0.0.1:0".parse().unwrap(), floor, move |at| tell.send(Some(at)).unwrap())
                    .is_err()
                {
                    let _ = failed.send(None);
                }
            });
            let address = told.recv().unwrap().unwrap();
            let mut client = std::net::TcpStream::connect(address).unwrap();
            client.write_all(&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(3)).unwrap();
            let mut answers = vec![0; ANSWER.len() * 3];
            match client.read_exact(&mut answers) {
                Ok(()) => {
                    assert_eq!(answers, ANSWER.repeat(3));
                    let wait = if close { 10_000 } else { 50 };
                    client.set_read_timeout(Some(Duration::from_millis(wait))).unwrap();
                    assert_eq!(matches!(client.read(&mut [0]), Ok(0)), close, "epoll {epoll}");
                }
                // Where io_uring is not allowed the floor says so.
                Err(_) => assert!(!epoll && told.recv().unwrap().is_none()),
            }
        }
    }
}
