//! Open-loop readers: each connection sends by its own schedule, whether or not it was answered.

use crate::history::{Answer, Mark, Micros, Read, code, now};
use crate::http::{self, Reply};
use crate::links::Links;
use services::Random;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;

/// An edge takes 10,000 requests on a connection; the reader ends it before.
const REQUESTS: u32 = 9_000;
/// An answer that takes longer failed. More than any edge is stopped for.
const PATIENCE: Micros = 10_000_000;
/// Between two attempts to connect.
const PAUSE: Duration = Duration::from_millis(50);
/// Of a thousand requests, those that ask the edge how fresh its answer is.
const MARKED: u32 = 900;

/// What readers of one edge have in common.
#[derive(Clone)]
pub struct Reader {
    /// Which edge.
    pub edge: u8,
    /// Where it answers.
    pub address: SocketAddr,
    /// Requests a second on one connection.
    pub rate: f64,
    /// What to read.
    pub links: Arc<Links>,
    /// Numbers for connections.
    pub connections: Arc<AtomicU32>,
    /// Answers so far.
    pub answers: Arc<AtomicU64>,
    /// Turns true at the end.
    pub stop: watch::Receiver<bool>,
}

/// How a connection ended.
enum End {
    /// The trial is over.
    Stopped,
    /// As agreed.
    Polite,
    /// For those that wait: what happened.
    Failed(&'static str),
}

impl Reader {
    /// Reads until it is stopped, on one connection after the other.
    pub async fn run(self, mut random: Random) -> Vec<Read> {
        let mut reads = Vec::new();
        let mut stop = self.stop.clone();
        let period = Duration::from_secs_f64(1.0 / self.rate);
        let mut due = Instant::now() + period.mul_f64(f64::from(random.below(1000)) / 1000.0);
        while !*stop.borrow() {
            let connection = self.connections.fetch_add(1, Ordering::Relaxed);
            let began = now();
            match TcpStream::connect(self.address).await {
                Ok(stream) => {
                    let _ = stream.set_nodelay(true);
                    let mut talk =
                        Talk { reader: &self, connection, waiting: VecDeque::new(), reads: &mut reads };
                    if let End::Failed(why) = talk.run(stream, &mut random, &mut due, period).await {
                        talk.fail(why);
                    }
                }
                Err(_) => {
                    let read = self.read(self.links.pick(&mut random), connection, began);
                    reads.push(Read { answer: Answer::Failed("refused"), answered: now(), ..read });
                }
            }
            // What could not be sent is not sent later.
            let _ = tokio::time::timeout(PAUSE, stop.wait_for(|&stop| stop)).await;
            due = due.max(Instant::now());
        }
        reads
    }

    fn read(&self, key: u32, connection: u32, sent: Micros) -> Read {
        let (answer, mark) = (Answer::Failed("unanswered"), Mark::None);
        Read { key, edge: self.edge, connection, sent, answered: 0, answer, mark, staleness_ms: None }
    }
}

/// One connection.
struct Talk<'a> {
    reader: &'a Reader,
    connection: u32,
    /// Sent and not answered, each with whether it asked for a mark.
    waiting: VecDeque<(Read, bool)>,
    reads: &'a mut Vec<Read>,
}

impl Talk<'_> {
    async fn run(
        &mut self,
        mut stream: TcpStream,
        random: &mut Random,
        due: &mut Instant,
        period: Duration,
    ) -> End {
        let mut stop = self.reader.stop.clone();
        let (mut buffer, mut left) = (Vec::with_capacity(16 * 1024), REQUESTS);
        loop {
            let sending = left > 0 && !*stop.borrow();
            if !sending && self.waiting.is_empty() {
                return if left > 0 { End::Stopped } else { End::Polite };
            }
            if self.waiting.front().is_some_and(|(read, _)| read.sent + PATIENCE < now()) {
                return End::Failed("late");
            }
            tokio::select! {
                biased;
                ready = stream.readable() => {
                    match ready.and_then(|()| stream.try_read_buf(&mut buffer)) {
                        Ok(0) => return End::Failed("closed"),
                        Ok(_) => match self.take(&mut buffer) {
                            Ok(true) => {}
                            Ok(false) => return End::Polite,
                            Err(why) => return End::Failed(why),
                        },
                        Err(fault) if fault.kind() == std::io::ErrorKind::WouldBlock => {}
                        Err(_) => return End::Failed("reset"),
                    }
                }
                () = tokio::time::sleep_until(*due), if sending => {
                    *due += period;
                    left -= 1;
                    if self.send(&mut stream, random, left == 0).await.is_err() {
                        return End::Failed("reset");
                    }
                }
                _ = stop.changed(), if sending => {}
                () = tokio::time::sleep(PAUSE), if !sending => {}
            }
        }
    }

    async fn send(&mut self, stream: &mut TcpStream, random: &mut Random, last: bool) -> std::io::Result<()> {
        let key = self.reader.links.pick(random);
        let marked = random.chance(MARKED);
        let mark = if marked { "X-Linkr-Debug: 1\r\n" } else { "" };
        let close = if last { "Connection: close\r\n" } else { "" };
        let request = format!("GET /{} HTTP/1.1\r\nHost: t.example\r\n{mark}{close}\r\n", code(key));
        self.waiting.push_back((self.reader.read(key, self.connection, now()), marked));
        stream.write_all(request.as_bytes()).await
    }

    /// `false`: the edge ends the connection behind what it answered, and answers no more of it.
    fn take(&mut self, buffer: &mut Vec<u8>) -> Result<bool, &'static str> {
        let (answered, mut taken) = (now(), 0);
        let mut open = true;
        while let Some(reply) = http::reply(&buffer[taken..])? {
            taken += reply.length;
            let Some((read, marked)) = self.waiting.pop_front() else { return Err("an answer to nothing") };
            let Reply { mark, staleness_ms, .. } = reply;
            if (mark == Mark::None) == marked {
                return Err("the mark is missing, or was not asked for");
            }
            let answer = reply.answer(read.key);
            self.reads.push(Read { answered, answer, mark, staleness_ms, ..read });
            self.reader.answers.fetch_add(1, Ordering::Relaxed);
            open &= !reply.close;
        }
        buffer.drain(..taken);
        Ok(open)
    }

    fn fail(&mut self, why: &'static str) {
        let answered = now();
        for (read, _) in self.waiting.drain(..) {
            self.reads.push(Read { answered, answer: Answer::Failed(why), ..read });
        }
    }
}
