//! Callers of the API who never try again: they read a link and write others, on new connections and on kept ones.

use crate::support::{Answer, Connection, PATIENCE, until};
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Between two calls of one of them.
const PAUSE: Duration = Duration::from_millis(5);

/// Where they call, and what they met.
pub struct Callers {
    api: SocketAddr,
    answered: AtomicU64,
    under_way: AtomicUsize,
    written: Mutex<Vec<String>>,
    failed: Mutex<Vec<String>>,
    slowest: Mutex<Duration>,
    forgives: AtomicBool,
    stop: AtomicBool,
}

impl Callers {
    pub fn new(api: SocketAddr) -> Self {
        Self {
            api,
            answered: AtomicU64::new(0),
            under_way: AtomicUsize::new(0),
            written: Mutex::default(),
            failed: Mutex::default(),
            slowest: Mutex::default(),
            forgives: AtomicBool::new(false),
            stop: AtomicBool::new(false),
        }
    }

    /// The codes of all links whose creation was acknowledged.
    pub fn written(&self) -> Vec<String> {
        self.written.lock().unwrap().clone()
    }

    pub fn failed(&self) -> Vec<String> {
        self.failed.lock().unwrap().clone()
    }

    /// How long the slowest call took.
    pub fn slowest(&self) -> Duration {
        *self.slowest.lock().unwrap()
    }

    /// From now on, whether who serves them is going to be killed: a call that this cuts is none that failed.
    pub fn serves(&self, is_killed: bool) {
        self.forgives.store(is_killed, Ordering::Release);
    }

    pub fn forgives(&self) -> bool {
        self.forgives.load(Ordering::Acquire)
    }

    /// Waits until so many more calls are answered.
    pub fn more(&self, count: u64) {
        let before = self.answered.load(Ordering::Relaxed);
        until("more calls", || {
            let done = self.answered.load(Ordering::Relaxed) >= before + count || !self.failed().is_empty();
            done.then_some(())
        });
    }

    /// Waits until all of them wait for an answer.
    pub fn waits(&self) {
        until("all callers to wait", || (self.under_way.load(Ordering::Relaxed) == 4).then_some(()));
    }

    /// Lets them call while something is done.
    pub fn during(&self, done: impl FnOnce()) {
        std::thread::scope(|scope| {
            for most in [1, u64::MAX] {
                scope.spawn(move || {
                    self.calls("reads", most, |connection, _| connection.call("GET", "/v1/links/x", ""));
                });
                scope.spawn(move || {
                    self.calls("writes", most, |connection, number| {
                        let code = format!("w{}{number}", u64::from(most == 1));
                        let body = format!(r#"{{"code":"{code}","target":"https://example.com/{code}"}}"#);
                        let answer = connection.call("POST", "/v1/links", &body)?;
                        if answer.as_ref().is_some_and(|answer| answer.status == 201) {
                            self.written.lock().unwrap().push(code);
                        }
                        Ok(answer)
                    });
                });
            }
            let _ends = Ends(self); // also when the test fails
            done();
        });
    }

    /// Calls until it is over, `most` times on a connection.
    fn calls(
        &self,
        who: &str,
        most: u64,
        call: impl Fn(&mut Connection, u64) -> std::io::Result<Option<Answer>>,
    ) {
        let (mut number, mut kept) = (0, None);
        while !self.stop.load(Ordering::Acquire) {
            number += 1;
            let began = Instant::now();
            self.under_way.fetch_add(1, Ordering::Relaxed);
            let done = self.connection(kept.take()).and_then(|mut connection| {
                let answer = call(&mut connection, number)?;
                Ok((answer, connection))
            });
            self.under_way.fetch_sub(1, Ordering::Relaxed);
            match done {
                Ok((Some(answer), connection)) if [200, 201].contains(&answer.status) => {
                    self.answered.fetch_add(1, Ordering::Relaxed);
                    let ends = most == 1 || answer.field("connection") == Some("close");
                    kept = (!ends).then_some(connection);
                    let mut slowest = self.slowest.lock().unwrap();
                    *slowest = slowest.max(began.elapsed());
                }
                _ if self.forgives() => {}
                other => {
                    let what = other.map(|(answer, _)| answer);
                    self.failed.lock().unwrap().push(format!("{who}, {most} a connection: {what:?}"));
                }
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn connection(&self, kept: Option<Connection>) -> std::io::Result<Connection> {
        if let Some(kept) = kept {
            return Ok(kept);
        }
        let stream = TcpStream::connect_timeout(&self.api, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Connection::over(stream))
    }
}

struct Ends<'a>(&'a Callers);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::Release);
    }
}
