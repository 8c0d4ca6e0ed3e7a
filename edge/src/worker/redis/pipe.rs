//! One connection to Redis: what is asked in one turn goes out in one write, and replies are told apart by their order.
//!
//! The breaker is the connection itself. A pipe that is not ready is not asked; it begins anew after a pause that
//! grows, and the last command of its greeting is a question such as all others: the probe. Too many failures in a row
//! end the connection, and with it whatever it still owes.

use super::replies::Replies;
use super::signal::Signal;
use crate::redis::{Node, SharedRedis};
use crate::sys::{Half, end};
use futures_channel::oneshot;
use monoio::io::{AsyncReadRent, AsyncWriteRentExt, OwnedReadHalf, OwnedWriteHalf, Splitable};
use monoio::net::TcpStream;
use redis::{ServerErrorKind, Value};
use rustls::ClientConnection;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A connection that is not made or not greeted by then is no good.
const GREETING: Duration = Duration::from_secs(1);
/// Rounds of questions that time out, and errors, in a row, after which nobody is asked for a while.
const MAX_FAILURES: u32 = 5;
/// Replies that are owed, those that nobody waits for any more included.
const MAX_OWED: usize = 4_096;
/// Before the first attempt that follows a failure; doubled with each up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_millis(3_200);
const BUFFER_BYTES: usize = 16 * 1024;

/// Why a question has no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PipeFault {
    /// The pipe is not ready: it was not asked.
    Away,
    /// Too much is asked already: it was not asked.
    Full,
    /// Nothing came in time.
    TimedOut,
    /// The connection ended.
    Broken,
}

/// A reply, or none.
pub type PipeResult = Result<Value, PipeFault>;

pub struct Pipe {
    redis: Arc<SharedRedis>,
    node: Node,
    attempts: Cell<usize>,
    /// There was no connection since the last one ended.
    away: Cell<bool>,
    stopped: Cell<bool>,
    state: RefCell<PipeState>,
    to_write: Signal,
    to_watch: Signal,
}

#[derive(Default)]
struct PipeState {
    fd: Option<RawFd>,
    ready: bool,
    /// To be written.
    out: Vec<u8>,
    /// Replies that are owed, in order. The first `given_up` of them came too late.
    owed: VecDeque<OwedReply>,
    given_up: usize,
    failures: u32,
    /// A question was answered on this connection.
    proved: bool,
}

struct OwedReply {
    deadline: Instant,
    to: ReplyReceiver,
}

enum ReplyReceiver {
    /// The greeting, and whether this part of it has to succeed.
    Greeting {
        needed: bool,
        last: bool,
    },
    Asker(oneshot::Sender<PipeResult>),
    Nobody,
}

impl Pipe {
    /// Keeps a connection from now on, as tasks of this thread's runtime.
    pub fn start(redis: Arc<SharedRedis>, node: Node) -> Rc<Self> {
        let (attempts, away, stopped, state) =
            (Cell::default(), Cell::default(), Cell::default(), RefCell::default());
        let (to_write, to_watch) = (Signal::default(), Signal::default());
        let pipe = Rc::new(Self { redis, node, attempts, away, stopped, state, to_write, to_watch });
        monoio::spawn(Rc::clone(&pipe).watch());
        monoio::spawn(Rc::clone(&pipe).keep());
        pipe
    }

    /// Ends for good.
    pub fn stop(&self) {
        self.stopped.set(true);
        self.cut();
        self.to_watch.raise();
    }

    /// Whose it is.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Whether it can be asked.
    pub fn is_ready(&self) -> bool {
        self.state.borrow().ready
    }

    /// Replies that somebody waits for.
    pub fn in_flight(&self) -> usize {
        let state = self.state.borrow();
        state.owed.len() - state.given_up
    }

    /// Asks what `pack` writes, one command, before this turn is over.
    pub async fn ask(&self, pack: impl FnOnce(&mut Vec<u8>)) -> PipeResult {
        let (asker, answer) = oneshot::channel();
        {
            let mut state = self.state.borrow_mut();
            match state.owed.len() {
                _ if !state.ready => return Err(PipeFault::Away),
                MAX_OWED.. => return Err(PipeFault::Full),
                _ => pack(&mut state.out),
            }
            let deadline = Instant::now() + self.redis.deadline;
            state.owed.push_back(OwedReply { deadline, to: ReplyReceiver::Asker(asker) });
        }
        self.to_write.raise();
        self.to_watch.raise();
        answer.await.unwrap_or(Err(PipeFault::Broken))
    }

    /// Connects, and again when it ends.
    async fn keep(self: Rc<Self>) {
        let mut pause = FIRST_PAUSE;
        while !self.stopped.get() {
            let ended = match self.connect().await {
                Ok(_) if self.stopped.get() => break,
                Ok(stream) => self.converse(stream).await,
                Err(fault) => fault.to_string(),
            };
            let ended_state = self.state.take();
            if !self.stopped.get() {
                self.redis.lost(&self.node, !self.away.replace(true), &ended);
            }
            for owed in ended_state.owed {
                owed.tell(Err(PipeFault::Broken));
            }
            if ended_state.proved {
                pause = FIRST_PAUSE;
            }
            self.redis.failed();
            monoio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        self.is_back();
    }

    /// Nothing is wrong with this one any more.
    fn is_back(&self) {
        if self.away.replace(false) {
            self.redis.found(&self.node);
        }
    }

    async fn connect(&self) -> io::Result<TcpStream> {
        let attempt = self.attempts.replace(self.attempts.get().wrapping_add(1));
        let address = self
            .redis
            .address(&self.node, attempt)
            .ok_or_else(|| io::Error::other("its name is not known yet"))?;
        let stream = monoio::time::timeout(GREETING, TcpStream::connect_addr(address)).await;
        let stream = stream.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// Uses a connection until it ends, and says why it did.
    async fn converse(self: &Rc<Self>, stream: TcpStream) -> String {
        let session = match self.redis.session(&self.node) {
            Ok(session) => session.map(Rc::new),
            Err(fault) => return fault,
        };
        {
            let mut state = self.state.borrow_mut();
            let (bytes, needed) = self.redis.greeting();
            (state.fd, state.out) = (Some(stream.as_raw_fd()), bytes);
            let deadline = Instant::now() + GREETING;
            let last = needed.len() - 1;
            let greeting = needed.into_iter().enumerate();
            state.owed = greeting
                .map(|(at, needed)| OwedReply {
                    deadline,
                    to: ReplyReceiver::Greeting { needed, last: at == last },
                })
                .collect();
        }
        self.to_write.raise();
        self.to_watch.raise();
        let (mut read, write) = stream.into_split();
        let writer = monoio::spawn(Rc::clone(self).write(write, session.clone()));
        let ended = self.read(&mut read, session.as_deref()).await;
        self.cut(); // so that a write under way ends, too
        self.state.borrow_mut().fd = None;
        self.to_write.raise();
        writer.await;
        ended
    }

    /// Ends the connection: its own tasks notice.
    fn cut(&self) {
        if let Some(fd) = self.state.borrow().fd {
            end(fd, Half::Both);
        }
    }

    async fn write(
        self: Rc<Self>,
        mut half: OwnedWriteHalf<TcpStream>,
        session: Option<Rc<RefCell<ClientConnection>>>,
    ) {
        let mut out = Vec::new();
        loop {
            self.to_write.wait().await;
            {
                let mut state = self.state.borrow_mut();
                if state.fd.is_none() {
                    return;
                }
                std::mem::swap(&mut out, &mut state.out);
            }
            if let Some(session) = &session {
                out = seal(&mut session.borrow_mut(), &out);
            }
            if !out.is_empty() {
                let (result, written) = half.write_all(out).await;
                out = written;
                out.clear();
                if result.is_err() {
                    self.cut();
                }
            }
        }
    }

    async fn read(
        &self,
        half: &mut OwnedReadHalf<TcpStream>,
        session: Option<&RefCell<ClientConnection>>,
    ) -> String {
        let mut replies = Replies::default();
        let mut buffer = Vec::with_capacity(BUFFER_BYTES);
        loop {
            buffer.clear();
            let (result, received) = half.read(buffer).await;
            buffer = received;
            match result {
                Ok(0) => return "the connection ended".into(),
                Ok(_) => {}
                Err(fault) => return fault.to_string(),
            }
            let opened = session.map(|session| open(&mut session.borrow_mut(), &buffer)).transpose();
            // Also the alert that says why that failed.
            if session.is_some_and(|session| session.borrow().wants_write()) {
                self.to_write.raise();
            }
            let taken = opened.and_then(|opened| {
                replies.feed(opened.as_deref().unwrap_or(&buffer), |value| self.take(value))
            });
            if let Err(why) = taken {
                return why;
            }
        }
    }

    /// The next reply in order.
    fn take(&self, value: Value) -> Result<(), String> {
        let mut state = self.state.borrow_mut();
        let owed = state.owed.pop_front().ok_or("a reply that nobody asked for")?;
        state.given_up = state.given_up.saturating_sub(1);
        match (&owed.to, &value) {
            (ReplyReceiver::Greeting { needed: true, .. }, Value::ServerError(fault))
                if !is_elsewhere(fault.kind()) =>
            {
                return Err(fault.to_string());
            }
            (ReplyReceiver::Greeting { last: true, .. }, _) => {
                state.ready = true;
                self.is_back();
                tracing::debug!(name: "redis_asked", host = self.node.host, port = self.node.port, "Redis is asked");
            }
            (ReplyReceiver::Greeting { .. } | ReplyReceiver::Nobody, _) => {}
            (ReplyReceiver::Asker(_), Value::ServerError(fault)) if is_elsewhere(fault.kind()) => {}
            (ReplyReceiver::Asker(_), Value::ServerError(fault)) => {
                state.failures += 1;
                if state.failures >= MAX_FAILURES {
                    return Err(fault.to_string());
                }
            }
            (ReplyReceiver::Asker(_), _) => (state.failures, state.proved) = (0, true),
        }
        drop(state);
        owed.tell(Ok(value));
        Ok(())
    }

    /// Gives up what is past its deadline.
    async fn watch(self: Rc<Self>) {
        loop {
            let next = self.state.borrow().next_deadline();
            match next {
                Some(deadline) => {
                    // What is asked behind a greeting has less time than that.
                    let deadline = deadline.min(Instant::now() + self.redis.deadline);
                    monoio::time::sleep_until(deadline.into()).await;
                    if self.state.borrow_mut().give_up(Instant::now()) {
                        self.cut();
                    }
                }
                None if self.stopped.get() => return,
                None => self.to_watch.wait().await,
            }
        }
    }
}

impl PipeState {
    /// Questions have the same time each, and a greeting comes first: the oldest is the first.
    fn next_deadline(&self) -> Option<Instant> {
        self.owed.get(self.given_up).map(|owed| owed.deadline)
    }

    /// Whether the connection is no good any more.
    fn give_up(&mut self, now: Instant) -> bool {
        let mut greeted = true;
        let before = self.given_up;
        while let Some(owed) = self.owed.get_mut(self.given_up).filter(|owed| owed.deadline <= now) {
            greeted &= !matches!(owed.to, ReplyReceiver::Greeting { .. });
            std::mem::replace(owed, OwedReply { to: ReplyReceiver::Nobody, ..*owed })
                .tell(Err(PipeFault::TimedOut));
            self.given_up += 1;
        }
        self.failures += u32::from(self.given_up > before);
        self.ready &= self.failures < MAX_FAILURES;
        !greeted || self.failures >= MAX_FAILURES
    }
}

impl OwedReply {
    fn tell(self, answered: PipeResult) {
        if let ReplyReceiver::Asker(asker) = self.to {
            let _ = asker.send(answered); // whoever gave up needs no answer
        }
    }
}

/// A cluster says so: another node has it, or will have it soon, or none has it now.
pub fn is_elsewhere(kind: Option<ServerErrorKind>) -> bool {
    use ServerErrorKind::{Ask, ClusterDown, Moved, TryAgain};
    matches!(kind, Some(Ask | ClusterDown | Moved | TryAgain))
}

/// These bytes, and whatever TLS itself has to say, as the session sends them.
fn seal(session: &mut ClientConnection, plain: &[u8]) -> Vec<u8> {
    let mut sealed = Vec::new();
    // Neither can fail: the session has no limit, and the target is memory.
    let _ = session.writer().write_all(plain);
    while session.wants_write() && session.write_tls(&mut sealed).is_ok() {}
    sealed
}

/// What is inside of these bytes of a TLS session.
fn open(session: &mut ClientConnection, mut sealed: &[u8]) -> Result<Vec<u8>, String> {
    let mut opened = Vec::new();
    while !sealed.is_empty() {
        // Behind the end that the other side declared nothing is taken any more.
        if session.read_tls(&mut sealed).map_err(|fault| fault.to_string())? == 0 {
            return Err("the session ended".into());
        }
        session.process_new_packets().map_err(|fault| format!("TLS: {fault}"))?;
        match session.reader().read_to_end(&mut opened) {
            Err(fault) if fault.kind() != io::ErrorKind::WouldBlock => return Err(fault.to_string()),
            _ => {}
        }
    }
    Ok(opened)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::{ClientConfig, RootCertStore, ServerConfig, ServerConnection};

    #[test]
    fn what_comes_behind_the_end_of_a_session_ends_the_pipe() {
        let made = rcgen::generate_simple_self_signed(["redis.example".to_owned()]).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let mut client =
            ClientConnection::new(Arc::new(config), "redis.example".try_into().unwrap()).unwrap();
        let key = made.signing_key.serialize_der().try_into().unwrap();
        let config = ServerConfig::builder().with_no_client_auth();
        let config = config.with_single_cert(vec![made.cert.der().clone()], key).unwrap();
        let mut server = ServerConnection::new(Arc::new(config)).unwrap();
        while client.is_handshaking() || server.is_handshaking() {
            server.read_tls(&mut &seal(&mut client, b"")[..]).unwrap();
            server.process_new_packets().unwrap();
            let mut said = Vec::new();
            while server.wants_write() {
                server.write_tls(&mut said).unwrap();
            }
            assert_eq!(open(&mut client, &said).unwrap(), b"");
        }
        let mut said = Vec::new();
        server.writer().write_all(b"+OK\r\n").unwrap();
        server.send_close_notify();
        server.write_tls(&mut said).unwrap();
        assert_eq!(open(&mut client, &said).unwrap(), b"+OK\r\n");
        assert_eq!(open(&mut client, &[0; 8192]).unwrap_err(), "the session ended");
    }
}
