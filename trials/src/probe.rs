//! How long after its acknowledgement a write is what an edge answers, measured by asking it all the time.

use crate::history::{Micros, now};
use crate::http;
use proto::client::KeyedChannel;
use proto::v1::links_client::LinksClient;
use proto::v1::{self};
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;
use tokio::sync::watch;

/// Links that probes write, one after the other.
const LINKS: u32 = 64;
/// Between two questions.
const PAUSE: Duration = Duration::from_micros(250);
/// A probe that is not seen by then was overtaken by a fault.
const PATIENCE: Micros = 5_000_000;
/// As long as an edge is away.
const AWAY: Duration = Duration::from_millis(20);

/// One write and when it was seen.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Just before the call.
    pub begun: Micros,
    /// When its acknowledgement had arrived.
    pub acked: Micros,
    /// When the first answer that shows it had arrived.
    pub seen: Micros,
}

struct PendingSample {
    link: u32,
    version: String,
    begun: Micros,
    acked: Micros,
}

/// The prober: a writer and a thread that asks one edge.
pub struct Probe {
    samples: Arc<Mutex<Vec<Sample>>>,
    over: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Probe {
    /// Writes at this rate and asks this edge, until `stop`.
    pub fn start(way: KeyedChannel, edge: SocketAddr, rate: f64, stop: watch::Receiver<bool>) -> Self {
        let (send, pending) = mpsc::channel();
        tokio::spawn(write(LinksClient::new(way), rate, send, stop));
        let samples = Arc::new(Mutex::new(Vec::new()));
        let over = Arc::new(AtomicBool::new(false));
        let (own, end) = (samples.clone(), over.clone());
        let thread = std::thread::spawn(move || ask(edge, &pending, &own, &end));
        Self { samples, over, thread: Some(thread) }
    }

    /// All samples.
    pub fn end(mut self) -> Vec<Sample> {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        std::mem::take(&mut self.samples.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn code(link: u32) -> String {
    format!("p{link}")
}

async fn write(
    mut client: LinksClient<KeyedChannel>,
    rate: f64,
    send: mpsc::Sender<PendingSample>,
    mut stop: watch::Receiver<bool>,
) {
    let mut tick = tokio::time::interval(Duration::from_secs_f64(1.0 / rate));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for n in 0_u32.. {
        tokio::select! {
            _ = tick.tick() => {}
            _ = stop.wait_for(|&stop| stop) => return,
        }
        let (link, begun) = (n % LINKS, now());
        let version = format!("https://p.example/{n}");
        let request = |name: String| v1::Link { name, target: version.clone(), ..v1::Link::default() };
        let done = if n < LINKS {
            let link = v1::CreateLinkRequest {
                link_id: code(link),
                link: Some(request(String::new())),
                ..Default::default()
            };
            client.create_link(link).await
        } else {
            let update_mask = Some(prost_types::FieldMask { paths: vec!["target".into()] });
            let link = Some(request(format!("domains/-/links/{}", code(link))));
            client.update_link(v1::UpdateLinkRequest { link, update_mask, ..Default::default() }).await
        };
        if done.is_ok() && send.send(PendingSample { link, version, begun, acked: now() }).is_err() {
            return;
        }
    }
}

fn ask(
    edge: SocketAddr,
    pending: &mpsc::Receiver<PendingSample>,
    samples: &Mutex<Vec<Sample>>,
    over: &AtomicBool,
) {
    let mut asked: VecDeque<PendingSample> = VecDeque::new();
    let mut stream: Option<TcpStream> = None;
    while !over.load(Ordering::Relaxed) {
        if asked.is_empty() {
            match pending.recv_timeout(Duration::from_millis(50)) {
                Ok(new) => asked.push_back(new),
                Err(mpsc::RecvTimeoutError::Timeout) => continue,
                Err(mpsc::RecvTimeoutError::Disconnected) => return,
            }
        }
        asked.extend(pending.try_iter());
        asked.retain(|pending| pending.acked + PATIENCE > now());
        let connected = stream.take().map_or_else(|| connect(edge), Ok);
        match connected.and_then(|mut stream| Ok((round(&mut stream, &mut asked, samples)?, stream))) {
            Ok((open, used)) => stream = open.then_some(used),
            Err(_) => std::thread::sleep(AWAY),
        }
        std::thread::sleep(PAUSE);
    }
}

fn connect(edge: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&edge, Duration::from_secs(1))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(8)))?;
    Ok(stream)
}

/// Asks for all that are pending at once, and takes those that are there. `false`: the edge ends the connection.
fn round(
    stream: &mut TcpStream,
    asked: &mut VecDeque<PendingSample>,
    samples: &Mutex<Vec<Sample>>,
) -> std::io::Result<bool> {
    let mut requests = String::new();
    for pending in asked.iter() {
        let _ = write!(requests, "GET /{} HTTP/1.1\r\nHost: p.example\r\n\r\n", code(pending.link));
    }
    stream.write_all(requests.as_bytes())?;
    let (mut bytes, mut open, mut seen) = (Vec::new(), true, Vec::new());
    for _ in 0..asked.len() {
        let reply = loop {
            let whole = http::reply(&bytes).map_err(std::io::Error::other)?;
            if let Some(reply) = whole {
                break reply;
            }
            if !open {
                return Ok(false);
            }
            let mut more = [0; 16 * 1024];
            match stream.read(&mut more)? {
                0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                count => bytes.extend_from_slice(&more[..count]),
            }
        };
        bytes.drain(..reply.length);
        open &= !reply.close;
        seen.push(reply.location);
    }
    let at = now();
    let mut seen = seen.into_iter();
    asked.retain(|pending| {
        let there = seen.next().flatten().as_ref() == Some(&pending.version);
        if there {
            let sample = Sample { begun: pending.begun, acked: pending.acked, seen: at };
            samples.lock().unwrap_or_else(PoisonError::into_inner).push(sample);
        }
        !there
    });
    Ok(open)
}
