//! A few requests a second on connections of their own, on time whatever else is on their core: how long a visitor waits
//! beside a storm.

use crate::fleet::say;
use crate::http;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Each with a thread: a slow answer must not keep the next request from being sent.
const CONNECTIONS: u32 = 16;

/// What they came to.
pub struct Hits {
    /// Right answers, of all that were due.
    pub right: usize,
    /// All.
    pub all: usize,
    /// From when each was due until it was answered, µs, in order.
    micros: Vec<f64>,
}

impl Hits {
    /// The latency that this part of them does not exceed.
    pub fn at(&self, part: f64) -> f64 {
        let at = (self.micros.len() as f64 * part) as usize;
        self.micros.get(at.min(self.micros.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
    }
}

/// This process runs as soon as it has something to do, and stays on that core; its children do not.
///
/// # Errors
/// The system does not let us.
pub fn prefer(core: &str) -> Result<(), String> {
    let id = std::process::id().to_string();
    say("taskset", &["-a", "-p", "-c", core, &id])?;
    say("chrt", &["-R", "-a", "-f", "-p", "1", &id])
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
    let connect = || -> std::io::Result<TcpStream> {
        let stream = TcpStream::connect(edge)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        Ok(stream)
    };
    let streams = (0..CONNECTIONS).map(|_| connect()).collect::<Result<Vec<_>, _>>();
    let streams = streams.map_err(|fault| fault.to_string())?;
    begin()?;
    let began = Instant::now() + Duration::from_millis(20);
    let step = f64::from(CONNECTIONS) / rate;
    let one = |number: u32, mut stream: TcpStream| -> std::io::Result<(Vec<f64>, usize)> {
        let (mut micros, mut right, mut buffer) = (Vec::new(), 0, [0; 4096]);
        for turn in 0.. {
            let due = step * (f64::from(turn) + f64::from(number) / f64::from(CONNECTIONS));
            if due > time.as_secs_f64() {
                break;
            }
            let due = began + Duration::from_secs_f64(due);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let code = &codes[(turn * CONNECTIONS + number) as usize % codes.len()];
            stream.write_all(format!("GET /{code} HTTP/1.1\r\nHost: t.example\r\n\r\n").as_bytes())?;
            let mut filled = 0;
            let reply = loop {
                let count = stream.read(&mut buffer[filled..])?;
                filled += count;
                match http::reply(&buffer[..filled]) {
                    Ok(None) if count > 0 => {}
                    Ok(Some(reply)) => break reply,
                    _ => return Err(std::io::ErrorKind::InvalidData.into()),
                }
            };
            micros.push(due.elapsed().as_secs_f64() * 1e6);
            right += usize::from(reply.status == 302);
            if reply.close {
                stream = connect()?;
            }
        }
        Ok((micros, right))
    };
    let mut hits = Hits { right: 0, all: 0, micros: Vec::new() };
    std::thread::scope(|scope| {
        let numbered = (0..CONNECTIONS).zip(streams);
        let threads: Vec<_> =
            numbered.map(|(number, stream)| scope.spawn(move || one(number, stream))).collect();
        for thread in threads {
            let (micros, right) =
                thread.join().map_err(|_| "a thread ended".to_owned())?.map_err(|fault| fault.to_string())?;
            hits.micros.extend(micros);
            hits.right += right;
        }
        Ok::<(), String>(())
    })?;
    hits.all = hits.micros.len();
    hits.micros.sort_by(f64::total_cmp);
    Ok(hits)
}
