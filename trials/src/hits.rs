//! A few requests a second on connections of their own, on time whatever else is on their core: how long a visitor waits
//! beside a storm. An answer has come when the kernel took it in, which over loopback is on the core of whoever sent it: what a
//! thread here waits for its turn to read it counts nowhere, and what it waited for its turn to ask is told apart.

use crate::fleet::say;
use crate::http;
use services::stats::interval;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Barrier, OnceLock};
use std::time::{Duration, Instant, SystemTime};

/// Each with a thread: a slow answer must not keep the next request from being sent.
const CONNECTIONS: u32 = 16;
/// What the generator may keep a request waiting, µs.
const MOST_LATE: f64 = 250.0;
/// As many times as long may p99 of one quiet part be as that of another.
const ALIKE: f64 = 1.1;

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
    /// What the generator kept it waiting, µs: so much earlier would one have asked that is never late, neither with this request
    /// nor with those before it on its connection.
    late: f64,
    /// From when it was due until its answer arrived, less that, µs: what it waited for its connection, and for its answer.
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

    /// Those of them that the generator itself did not keep waiting: the others come in a crowd that no visitors made.
    pub fn on_time(&self) -> Self {
        Self::of(self.each.iter().filter(|hit| hit.late <= MOST_LATE).copied().collect())
    }

    /// How many are not [`Hits::on_time`], in a hundred.
    pub fn late(&self) -> f64 {
        self.each.iter().filter(|hit| hit.late > MOST_LATE).count() as f64 * 100.0 / self.all as f64
    }

    /// How late this part of them was asked at most, µs.
    pub fn lateness(&self, part: f64) -> f64 {
        let mut all: Vec<f64> = self.each.iter().map(|hit| hit.late).collect();
        all.sort_by(f64::total_cmp);
        quantile(all.into_iter(), part)
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
}

/// A part of the time beside something else, between two quiet ones: these two, put into relation, say what a ratio is worth.
pub struct Triple {
    /// Before and behind it.
    pub quiet: [Hits; 2],
    /// Beside it.
    pub beside: Hits,
}

impl Triple {
    /// Whether every answer is right.
    pub fn is_right(&self) -> bool {
        [&self.quiet[0], &self.quiet[1], &self.beside].iter().all(|hits| hits.right == hits.all)
    }

    /// p99 beside it, in that of the quiet parts.
    pub fn ratio(&self) -> f64 {
        let [before, behind] = self.quiet_p99();
        self.beside.on_time().at(0.99) / (before * behind).sqrt()
    }

    /// p99 of the second quiet part, in that of the first one.
    pub fn control(&self) -> f64 {
        let [before, behind] = self.quiet_p99();
        behind / before
    }

    fn quiet_p99(&self) -> [f64; 2] {
        self.quiet.each_ref().map(|hits| hits.on_time().at(0.99))
    }

    /// One line of figures, with what was done meanwhile.
    pub fn told(&self, meanwhile: &str) -> String {
        let each = |hits: &Hits| {
            let hits = hits.on_time();
            [0.5, 0.99, 0.999].map(|part| format!("{:.0}", hits.at(part))).join(" / ")
        };
        let all = [&self.quiet[0], &self.beside, &self.quiet[1]];
        let late = all.map(|hits| format!("{:.0}", hits.lateness(0.99))).join(", ");
        let out = all.map(|hits| format!("{:.2}", hits.late())).join(", ");
        format!(
            "quiet {:>17}   beside {:>17}   quiet {:>17}   p99 ÷ {:5.2}   {meanwhile}; asked late at p99 {late} µs, left out {out} %",
            each(all[0]),
            each(all[1]),
            each(all[2]),
            self.ratio(),
        )
    }
}

/// Whether p99 beside something else is within its limit, which is told with what it is worth.
pub fn judge(triples: &[Triple], limit: f64, untimed: bool) -> bool {
    let of = |figure: fn(&Triple) -> f64| interval(&triples.iter().map(figure).collect::<Vec<_>>());
    let (ratio, control) = (of(Triple::ratio), of(Triple::control));
    let right = triples.iter().all(Triple::is_right);
    let is_known = (1.0 / ALIKE..=ALIKE).contains(&control.median);
    let good = right && (untimed || (is_known && ratio.median <= limit));
    let said = match (right, is_known, ratio.median <= limit) {
        (false, _, _) => "FAIL: wrong answers",
        (_, false, _) => "nothing is known: two quiet parts differ",
        (_, _, true) => "pass",
        (_, _, false) if untimed => "beyond it, untimed",
        _ => "FAIL",
    };
    let [ratio, control] =
        [ratio, control].map(|of| format!("{:.2} ({:.2}–{:.2})", of.median, of.low, of.high));
    println!("p99 ÷ quiet {ratio}, limit {limit}; one quiet part ÷ the other {control}: {said}");
    good
}

/// A whole answer, and when it came.
struct Arrival {
    reply: http::Reply,
    at: SystemTime,
}

/// One request and its answer; `None`: the connection had ended before.
fn ask(stream: &mut TcpStream, request: &str, buffer: &mut [u8]) -> std::io::Result<Option<Arrival>> {
    let (sent, mut filled) = (stream.write_all(request.as_bytes()), 0);
    loop {
        let (count, at) = match (sent.as_ref(), services::receive(stream, &mut buffer[filled..])) {
            (Ok(()), Ok(received)) => (received.count, received.at),
            (_, Err(fault)) if !is_end(&fault) => return Err(fault),
            _ => (0, None),
        };
        filled += count;
        match http::reply(&buffer[..filled]) {
            Ok(None) if count > 0 => {}
            Ok(Some(reply)) => {
                let at = at
                    .ok_or_else(|| std::io::Error::other("the kernel does not say when an answer arrived"))?;
                return Ok(Some(Arrival { reply, at }));
            }
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

/// This process stays on that core, as do its children; threads that ask for codes run there as soon as they have something to
/// do, and all others have to wait for them.
///
/// # Errors
/// The system does not let us.
pub fn prefer(core: &str) -> Result<(), String> {
    say("taskset", &["-a", "-p", "-c", core, &std::process::id().to_string()])?;
    let may = std::thread::spawn(services::go_first).join().unwrap_or(false);
    if !may {
        return Err("this user may not let threads go first (SCHED_FIFO), without which a latency tells who waited for the \
                    generator's core, and no ratio is given: run it as root, or with --untimed"
            .to_owned());
    }
    PREFERRED.store(true, Ordering::Relaxed);
    Ok(())
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
        services::stamp_arrivals(&stream)?;
        Ok(stream)
    };
    let streams = (0..CONNECTIONS).map(|_| connect()).collect::<Result<Vec<_>, _>>();
    let streams = streams.map_err(|fault| fault.to_string())?;
    begin()?;
    let step = f64::from(CONNECTIONS) / rate;
    let one = |number: u32,
               mut stream: TcpStream,
               (began, wall): (Instant, SystemTime)|
     -> std::io::Result<Vec<Hit>> {
        let (mut hits, mut buffer, mut free) = (Vec::new(), [0; 4096], wall);
        for turn in 0.. {
            let since = step * (f64::from(turn) + f64::from(number) / f64::from(CONNECTIONS));
            let since = Duration::from_secs_f64(since);
            if !goes_on(since) {
                break;
            }
            let due = wall + since;
            std::thread::sleep(due.duration_since(SystemTime::now()).unwrap_or_default());
            let code = &codes[(turn * CONNECTIONS + number) as usize % codes.len()];
            let request = format!("GET /{code} HTTP/1.1\r\nHost: t.example\r\n\r\n");
            let late = microseconds(due.max(free), SystemTime::now());
            let Arrival { reply, at } = match ask(&mut stream, &request, &mut buffer)? {
                Some(arrival) => arrival,
                // A full edge closes who has waited longest, and visitors' clients come again: RFC 9112, section 9.3.1.
                None => {
                    stream = connect()?;
                    ask(&mut stream, &request, &mut buffer)?.ok_or(std::io::ErrorKind::InvalidData)?
                }
            };
            free = at - Duration::from_secs_f64(late.max(0.0) / 1e6); // as it would have been then
            let took = microseconds(due, at) - late;
            hits.push(Hit { due: began + since, right: reply.status == 302, late, took });
            if reply.close {
                stream = connect()?;
            }
        }
        Ok(hits)
    };
    let (one, ready) = (&one, &Barrier::new(CONNECTIONS as usize));
    let began = &OnceLock::new();
    let soon = || {
        let soon = Duration::from_millis(20);
        (Instant::now() + soon, SystemTime::now() + soon)
    };
    std::thread::scope(|scope| {
        let start = |(number, stream)| {
            scope.spawn(move || {
                let first = !PREFERRED.load(Ordering::Relaxed) || services::go_first();
                ready.wait();
                (first, one(number, stream, *began.get_or_init(soon)))
            })
        };
        let threads: Vec<_> = (0..CONNECTIONS).zip(streams).map(start).collect();
        let (mut hits, mut all_first) = (Vec::new(), true);
        for thread in threads {
            let (first, own) = thread.join().map_err(|_| "a thread ended".to_owned())?;
            all_first &= first;
            hits.extend(own.map_err(|fault| fault.to_string())?);
        }
        if all_first { Ok(Hits::of(hits)) } else { Err("a thread may not go first any more".to_owned()) }
    })
}

/// From one moment to another; below 0 if the other one was earlier.
fn microseconds(from: SystemTime, to: SystemTime) -> f64 {
    match to.duration_since(from) {
        Ok(time) => time.as_secs_f64() * 1e6,
        Err(before) => -before.duration().as_secs_f64() * 1e6,
    }
}
