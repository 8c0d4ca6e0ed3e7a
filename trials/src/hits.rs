//! A few requests a second on connections of their own, on time whatever else is on their core: how long a visitor waits
//! beside a storm.

use crate::fleet::say;
use crate::http;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Barrier, OnceLock};
use std::time::{Duration, Instant};

/// Each with a thread: a slow answer must not keep the next request from being sent.
const CONNECTIONS: u32 = 16;
/// What the generator may keep a request waiting, µs.
const MOST_LATE: f64 = 250.0;

/// What they came to.
pub struct Hits {
    /// Right answers, of all that were due.
    pub right: usize,
    /// All.
    pub all: usize,
    /// In the order of how long they took.
    each: Vec<Hit>,
}

#[derive(Clone, Copy)]
struct Hit {
    due: Instant,
    right: bool,
    /// What the generator kept it waiting, µs: from when it was due, and its connection free, until it was asked.
    late: f64,
    /// From when it was due until it was answered, µs.
    took: f64,
}

impl Hits {
    fn of(mut each: Vec<Hit>) -> Self {
        each.sort_by(|one, other| one.took.total_cmp(&other.took));
        Self { right: each.iter().filter(|hit| hit.right).count(), all: each.len(), each }
    }

    /// Those of them that were due then.
    pub fn within(&self, time: Range<Instant>) -> Self {
        Self::of(self.each.iter().filter(|hit| time.contains(&hit.due)).copied().collect())
    }

    /// Those of them that the generator itself did not keep waiting: the others say something of its core, not of the edge.
    pub fn on_time(&self) -> Self {
        Self::of(self.each.iter().filter(|hit| hit.late <= MOST_LATE).copied().collect())
    }

    /// How many are not [`Hits::on_time`], in a hundred.
    pub fn late(&self) -> f64 {
        self.each.iter().filter(|hit| hit.late > MOST_LATE).count() as f64 * 100.0 / self.all as f64
    }

    /// The latency that this part of them does not exceed, µs.
    pub fn at(&self, part: f64) -> f64 {
        quantile(self.each.iter().map(|hit| hit.took), part)
    }
}

/// Hits of a quiet round, and of one beside something else.
pub struct Pair {
    /// With nothing else.
    pub quiet: Hits,
    /// Beside it.
    pub beside: Hits,
}

impl Pair {
    /// Whether every answer of both is right.
    pub fn is_right(&self) -> bool {
        [&self.quiet, &self.beside].iter().all(|hits| hits.right == hits.all)
    }

    /// How often the latency that this part does not exceed is as long beside it as in the quiet round.
    pub fn ratio(&self, part: f64) -> f64 {
        self.beside.on_time().at(part) / self.quiet.on_time().at(part)
    }

    /// One line of figures, with what was done meanwhile.
    pub fn told(&self, meanwhile: &str) -> String {
        let each = |hits: &Hits| {
            let hits = hits.on_time();
            [0.5, 0.99, 0.999].map(|part| format!("{:.0}", hits.at(part))).join(" / ")
        };
        format!(
            "quiet {:>20}   beside {:>20}   p99 ÷ {:5.2}   {meanwhile}; left out {:.2}, {:.2} %",
            each(&self.quiet),
            each(&self.beside),
            self.ratio(0.99),
            self.quiet.late(),
            self.beside.late()
        )
    }
}

/// One request and its answer; `None`: the connection had ended before.
fn ask(stream: &mut TcpStream, request: &str, buffer: &mut [u8]) -> std::io::Result<Option<http::Reply>> {
    let (sent, mut filled) = (stream.write_all(request.as_bytes()), 0);
    loop {
        let count = match (sent.as_ref(), stream.read(&mut buffer[filled..])) {
            (Ok(()), Ok(count)) => count,
            (_, Err(fault)) if !is_end(&fault) => return Err(fault),
            _ => 0,
        };
        filled += count;
        match http::reply(&buffer[..filled]) {
            Ok(None) if count > 0 => {}
            Ok(Some(reply)) => return Ok(Some(reply)),
            _ if filled == 0 => return Ok(None),
            _ => return Err(std::io::ErrorKind::InvalidData.into()),
        }
    }
}

fn is_end(fault: &std::io::Error) -> bool {
    matches!(fault.kind(), std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe)
}

fn quantile(mut sorted: impl ExactSizeIterator<Item = f64>, part: f64) -> f64 {
    let at = (sorted.len() as f64 * part) as usize;
    sorted.nth(at.min(sorted.len().saturating_sub(1))).unwrap_or(f64::NAN)
}

/// Whether [`prefer`] was asked for.
static PREFERRED: AtomicBool = AtomicBool::new(false);

/// This process runs as soon as it has something to do, and stays on that core, as do its children; but those have to
/// wait for it.
///
/// # Errors
/// The system does not let us.
pub fn prefer(core: &str) -> Result<(), String> {
    say("taskset", &["-a", "-p", "-c", core, &std::process::id().to_string()])?;
    PREFERRED.store(true, Ordering::Relaxed);
    go_first()
}

/// What a thread starts does not go first, not even another thread: so this has to be asked for again.
fn go_first() -> Result<(), String> {
    say("chrt", &["-R", "-a", "-f", "-p", "1", &std::process::id().to_string()])
}

/// Asks for these codes, so many a second, evenly spaced, whatever the edge does.
///
/// # Errors
/// A connection ends.
pub fn drive(edge: SocketAddr, codes: &[String], rate: f64, time: Duration) -> Result<Hits, String> {
    drive_beside(edge, codes, rate, time, || Ok(()))
}

/// The same beside what `begin` has begun, once the connections are there.
///
/// # Errors
/// A connection ends, or `begin` fails.
pub fn drive_beside(
    edge: SocketAddr,
    codes: &[String],
    rate: f64,
    time: Duration,
    begin: impl FnOnce() -> Result<(), String>,
) -> Result<Hits, String> {
    drive_while(edge, codes, rate, |since| since <= time, begin)
}

/// The same for as long as `goes_on` says, which is told how long it has been.
///
/// # Errors
/// A connection ends, or `begin` fails.
pub fn drive_while(
    edge: SocketAddr,
    codes: &[String],
    rate: f64,
    goes_on: impl Fn(Duration) -> bool + Sync,
    begin: impl FnOnce() -> Result<(), String>,
) -> Result<Hits, String> {
    let connect = || -> std::io::Result<TcpStream> {
        let stream = TcpStream::connect(edge)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        Ok(stream)
    };
    let streams = (0..CONNECTIONS).map(|_| connect()).collect::<Result<Vec<_>, _>>();
    let streams = streams.map_err(|fault| fault.to_string())?;
    begin()?;
    let step = f64::from(CONNECTIONS) / rate;
    let one = |number: u32, mut stream: TcpStream, began: Instant| -> std::io::Result<Vec<Hit>> {
        let (mut hits, mut buffer, mut free) = (Vec::new(), [0; 4096], began);
        for turn in 0.. {
            let due = step * (f64::from(turn) + f64::from(number) / f64::from(CONNECTIONS));
            let due = Duration::from_secs_f64(due);
            if !goes_on(due) {
                break;
            }
            let due = began + due;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let code = &codes[(turn * CONNECTIONS + number) as usize % codes.len()];
            let late = due.max(free).elapsed();
            let request = format!("GET /{code} HTTP/1.1\r\nHost: t.example\r\n\r\n");
            let reply = match ask(&mut stream, &request, &mut buffer)? {
                Some(reply) => reply,
                // A full edge closes who has waited longest, and visitors' clients come again: RFC 9112, section 9.3.1.
                None => {
                    stream = connect()?;
                    ask(&mut stream, &request, &mut buffer)?.ok_or(std::io::ErrorKind::InvalidData)?
                }
            };
            free = Instant::now();
            let [late, took] = [late, free - due].map(|time| time.as_secs_f64() * 1e6);
            hits.push(Hit { due, right: reply.status == 302, late, took });
            if reply.close {
                stream = connect()?;
            }
        }
        Ok(hits)
    };
    let (one, ready) = (&one, &Barrier::new(CONNECTIONS as usize + 1));
    let began = &OnceLock::new();
    std::thread::scope(|scope| {
        let start = |(number, stream)| {
            scope.spawn(move || {
                ready.wait();
                one(number, stream, *began.get_or_init(|| Instant::now() + Duration::from_millis(20)))
            })
        };
        let threads: Vec<_> = (0..CONNECTIONS).zip(streams).map(start).collect();
        let first = if PREFERRED.load(Ordering::Relaxed) { go_first() } else { Ok(()) };
        ready.wait();
        let mut hits = Vec::new();
        for thread in threads {
            let own = thread.join().map_err(|_| "a thread ended".to_owned())?;
            hits.extend(own.map_err(|fault| fault.to_string())?);
        }
        first.map(|()| Hits::of(hits))
    })
}
