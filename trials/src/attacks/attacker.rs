//! Hostile clients: a process of its own that has them all, until it is killed.

use crate::fleet::OTHER_CORE;
use crate::redis::row;
use clap::{Args, ValueEnum};
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use rustls::{ClientConfig, RootCertStore};
use std::io::{BufRead, BufReader, ErrorKind};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;

/// What they do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Attack {
    /// A head of 12 KiB that never ends, a byte a second
    DripHeads,
    /// A body behind the answer that refused it, a byte a second
    DripBodies,
    /// More connections than the edge may open
    Flood,
    /// Heads of 16 KiB and a byte, of 64 KiB and of 1 MiB
    HugeHeads,
    /// Requests without end, and no answer is read
    NeverRead,
    /// 2,000 connections a second without a word
    ConnectClose,
    /// Whole requests and halves of them, then the end of what is sent
    HalfClosed,
    /// Requests and parts of them, then a reset
    Resets,
    /// The first message of TLS
    TlsGarbage,
    /// That message on the port for it, but its last bytes one a second
    DripHellos,
    /// A head over TLS, a byte a second
    DripTlsHeads,
}

const KIB: u64 = 1024;
/// A handshake, and a head of few bytes, have five seconds; who drips notices it by the second byte from then on; the
/// rest is for a machine that is busy.
const CUT: Duration = Duration::from_secs(9);
/// The first message of TLS, as it begins; noise follows.
const HELLO: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
/// With the noise.
const HELLO_BYTES: usize = 5 + 512;

impl Attack {
    /// As it is given.
    pub fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// How many of them there are in the long form.
    pub fn clients(self) -> usize {
        match self {
            Self::DripHeads | Self::DripBodies | Self::DripHellos => 5_000,
            Self::Flood => 6_000,
            // Each comes anew every five seconds: more of them, and it is handshakes that are tried.
            Self::NeverRead | Self::DripTlsHeads => 500,
            Self::HugeHeads => 50,
            Self::HalfClosed | Self::Resets | Self::TlsGarbage => 100,
            Self::ConnectClose => 20,
        }
    }

    /// Bytes that the edge may take for so many of them.
    pub fn cap(self, clients: usize) -> u64 {
        let each = match self {
            Self::DripHeads => 24 * KIB,
            Self::NeverRead => 96 * KIB,
            Self::DripTlsHeads => 32 * KIB,
            _ => 12 * KIB,
        };
        clients as u64 * each + 16 * KIB * KIB
    }

    /// Whether they come by the port of TLS.
    pub fn is_over_tls(self) -> bool {
        matches!(self, Self::DripHellos | Self::DripTlsHeads)
    }

    /// A round of them has to take so long: until they are cut, or should have been.
    pub fn least(self) -> Duration {
        if self.is_over_tls() { CUT } else { Duration::ZERO }
    }

    /// How many begin in a second, at first.
    fn begin_in_a_second(self) -> f64 {
        match self {
            Self::DripHeads | Self::DripBodies | Self::DripHellos | Self::Flood => 2_500.0,
            _ => 250.0,
        }
    }

    /// Of each client, between two connections.
    fn pause(self) -> Duration {
        Duration::from_millis(match self {
            Self::DripBodies => 10_000,
            Self::Flood | Self::NeverRead => 1_000,
            Self::HugeHeads => 500,
            Self::ConnectClose => 10,
            _ => 200,
        })
    }
}

/// The flags of the process.
#[derive(Args)]
pub struct Attacker {
    /// What they do
    #[arg(value_enum)]
    attack: Attack,
    /// To whom
    edge: SocketAddr,
    /// How many they are
    clients: usize,
    /// Whom they believe
    authority: Option<PathBuf>,
}

impl Attacker {
    /// Goes on until it is killed.
    ///
    /// # Errors
    /// The edge did what it must not.
    pub async fn run(self) -> Result<bool, String> {
        let Self { attack, edge, clients, authority } = self;
        let tls = authority.as_deref().map(connector).transpose()?;
        let (begun, (wrong, mut wrongs)) = (Arc::new(AtomicUsize::new(0)), tokio::sync::mpsc::channel(1));
        for number in 0..clients {
            let (begun, wrong, tls) = (Arc::clone(&begun), wrong.clone(), tls.clone());
            tokio::spawn(async move {
                sleep(Duration::from_secs_f64(number as f64 / attack.begin_in_a_second())).await;
                begun.fetch_add(1, Ordering::Relaxed);
                for turn in number.. {
                    if let Err(why) = visit(attack, edge, turn, tls.as_ref()).await {
                        let _ = wrong.send(why).await;
                    }
                    sleep(attack.pause()).await;
                }
            });
        }
        while begun.load(Ordering::Relaxed) < clients {
            sleep(Duration::from_millis(5)).await;
        }
        println!("ready");
        Err(wrongs.recv().await.unwrap_or_default())
    }
}

/// One connection. That it breaks is no fault of the edge: it may throw out whoever attacks it.
async fn visit(
    attack: Attack,
    edge: SocketAddr,
    turn: usize,
    tls: Option<&TlsConnector>,
) -> Result<(), String> {
    let Ok(socket) = TcpSocket::new_v4() else { return Ok(()) };
    if attack == Attack::NeverRead {
        let _ = socket.set_recv_buffer_size(4096);
    }
    let Ok(mut stream) = socket.connect(edge).await else { return Ok(()) };
    let _ = stream.set_nodelay(true);
    let get = format!("GET /{} HTTP/1.1\r\nHost: t.example\r\n", row(turn % 1_000).0);
    match attack {
        Attack::DripHeads => {
            let head = format!("{get}X: {}", "y".repeat(12 * 1024));
            drip(&mut stream, head.as_bytes(), "408").await
        }
        Attack::DripBodies => {
            let head = b"POST /x HTTP/1.1\r\nHost: t.example\r\nContent-Length: 100000\r\n\r\n";
            drip(&mut stream, head, "404").await
        }
        Attack::Flood => {
            let _ = stream.read(&mut [0; 16]).await; // until the edge ends it
            Ok(())
        }
        Attack::HugeHeads => {
            let (size, line) =
                [(16 * 1024 + 1, "y"), (64 * 1024, "X: y\r\n"), (1 << 20, "X: y\r\n")][turn % 3];
            let head = format!("{get}X: {}", line.repeat(size / line.len()));
            let _ = stream.write_all(head.as_bytes()).await;
            answered(&mut stream, &["431"]).await
        }
        Attack::NeverRead => {
            let requests = format!("{get}\r\n").repeat(1_000);
            while stream.write_all(requests.as_bytes()).await.is_ok() {}
            Ok(())
        }
        Attack::ConnectClose => Ok(()),
        Attack::HalfClosed => {
            let (text, wanted) = match turn % 2 {
                0 => (format!("{get}\r\n"), "302"),
                _ => (get, ""),
            };
            let sent = stream.write_all(text.as_bytes()).await.is_ok() && stream.shutdown().await.is_ok();
            if !sent {
                return Ok(());
            }
            answered(&mut stream, &[wanted]).await
        }
        Attack::Resets => {
            let text = [get.clone(), format!("{get}\r\n").repeat(100)][turn % 2].clone();
            let _ = stream.write_all(text.as_bytes()).await;
            let _ = stream.set_zero_linger(); // and it is dropped
            Ok(())
        }
        Attack::TlsGarbage => {
            let hello = [HELLO, &[0xab; HELLO_BYTES - HELLO.len()]].concat();
            let _ = stream.write_all(&hello).await;
            answered(&mut stream, &["400"]).await
        }
        Attack::DripHellos => {
            let most = [HELLO, &[0xab; HELLO_BYTES - HELLO.len() - 60]].concat();
            cut(drip(&mut stream, &most, "no answer")).await
        }
        Attack::DripTlsHeads => {
            let (Some(tls), Ok(name)) = (tls, ServerName::try_from("localhost")) else { return Ok(()) };
            let shaken = timeout(CUT, tls.connect(name, stream)).await;
            let Ok(Ok(mut stream)) = shaken else { return Err("a handshake fails".to_owned()) };
            cut(drip(&mut stream, get.as_bytes(), "408")).await
        }
    }
}

/// Sends the start, then a byte a second, whatever the edge answers (only this), until it closes.
async fn drip(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    start: &[u8],
    wanted: &str,
) -> Result<(), String> {
    if stream.write_all(start).await.is_err() || stream.flush().await.is_err() {
        return Ok(());
    }
    let (mut answer, mut ended) = ([0; 512], false);
    loop {
        let next = sleep(Duration::from_secs(1));
        tokio::select! {
            read = stream.read(&mut answer), if !ended => match read {
                Ok(0) => ended = true,
                Ok(count) => expect(&answer[..count], &[wanted])?,
                Err(_) => return Ok(()),
            },
            () = next => if stream.write_all(b"y").await.is_err() || stream.flush().await.is_err() {
                return Ok(());
            },
        }
    }
}

/// A connection that drips, if it is ended in time.
async fn cut(dripping: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    timeout(CUT, dripping).await.unwrap_or_else(|_| Err(format!("a slow client is kept for {CUT:?}")))
}

/// Clients that believe this authority.
fn connector(authority: &Path) -> Result<TlsConnector, String> {
    let mut roots = RootCertStore::empty();
    let text = |fault: &dyn std::fmt::Display| format!("{}: {fault}", authority.display());
    let certificate = CertificateDer::from_pem_file(authority).map_err(|fault| text(&fault))?;
    roots.add(certificate).map_err(|fault| text(&fault))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|fault| text(&fault))?.with_root_certificates(roots);
    Ok(Arc::new(builder.with_no_client_auth()).into())
}

/// Whatever comes until the end is one of these answers; nothing may come, if the connection was reset.
async fn answered(stream: &mut TcpStream, wanted: &[&str]) -> Result<(), String> {
    let mut answer = Vec::new();
    match timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await {
        Err(_) => Err("a connection that has ended is kept for 20 seconds".to_owned()),
        Ok(Err(fault)) if fault.kind() == ErrorKind::ConnectionReset && answer.is_empty() => Ok(()),
        Ok(Ok(0)) if wanted == [""] => Ok(()),
        Ok(_) => expect(&answer, wanted),
    }
}

fn expect(answer: &[u8], wanted: &[&str]) -> Result<(), String> {
    let good = wanted.iter().any(|status| answer.starts_with(format!("HTTP/1.1 {status} ").as_bytes()));
    if good { Ok(()) } else { Err(format!("{} instead of {wanted:?}", answer.escape_ascii())) }
}

/// The process.
pub struct AttackerProcess(Child);

impl AttackerProcess {
    /// Starts it, and waits until all of its clients have begun.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(
        attack: Attack,
        edge: SocketAddr,
        clients: usize,
        authority: Option<&Path>,
    ) -> Result<Self, String> {
        let own = std::env::current_exe().map_err(|fault| fault.to_string())?;
        let mut command = Command::new("taskset");
        // Each of its clients is a descriptor.
        let words = ["-c", OTHER_CORE, "sh", "-c", "ulimit -n \"$(ulimit -H -n)\"; exec \"$0\" \"$@\""];
        command.args(words).arg(own).args([
            "attacker",
            &attack.name(),
            &edge.to_string(),
            &clients.to_string(),
        ]);
        command.args(authority);
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut running = Self(child.map_err(|fault| fault.to_string())?);
        let mut line = String::new();
        let said = running.0.stdout.as_mut().map(|out| BufReader::new(out).read_line(&mut line));
        match said {
            Some(Ok(1..)) => Ok(running),
            _ => Err(format!("the attacker of {} does not start", attack.name())),
        }
    }

    /// Ends it.
    ///
    /// # Errors
    /// It ended by itself: the edge did what it must not, which it has said.
    pub fn end(mut self) -> Result<(), String> {
        match self.0.try_wait() {
            Ok(None) => Ok(()),
            _ => Err("an answer to an attacker is wrong".to_owned()),
        }
    }
}

impl Drop for AttackerProcess {
    fn drop(&mut self) {
        let _ = self.0.kill(); // it has ended, unless something else failed
        let _ = self.0.wait();
    }
}
