//! The log: it can neither end nor delay service, whatever becomes of it, and says what it could not say.

use crate::support::{Answer, Connection, Dir, LINKR, Linkr, PATIENCE, beside_others, command, until};
use std::fs::File;
use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// What becomes of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Its reader is gone.
    Dead,
    /// Its disk is full.
    Full,
    /// Its reader reads no more.
    Asleep,
    /// It was closed before the start.
    Closed,
}

const FATES: [Fate; 4] = [Fate::Dead, Fate::Full, Fate::Asleep, Fate::Closed];

/// A server, one of whose streams has this fate from the start. The other one is read.
pub struct Server {
    child: Child,
    /// Of a stream whose reader sleeps.
    _asleep: Option<PipeReader>,
    heard: String,
}

const LISTEN: &str = "--listen";
const API: &str = "--api";
const ADMIN: &str = "--admin";

/// A command with these listeners on free ports.
pub fn words<'a>(command: &[&'a str], listeners: &[&'a str]) -> Vec<&'a str> {
    let listeners = listeners.iter().flat_map(|flag| [*flag, "127.0.0.1:0"]);
    command.iter().copied().chain(listeners).collect()
}

/// So few descriptors that strangers use them up.
const FILES: &str = "ulimit -n 150; exec \"$0\" \"$@\"";
const CLOSED: &str = "ulimit -n 150; exec 2>&-; exec \"$0\" \"$@\"";

impl Server {
    pub fn start(dir: &Dir, words: &[&str], log: &str, fate: Fate) -> Self {
        let mut shell = command("sh", dir.path());
        shell.args(["-c", if fate == Fate::Closed { CLOSED } else { FILES }, LINKR]).args(words);
        shell.env("LINKR_LOG", log).env("LINKR_INSECURE", "true");
        let asleep = match fate {
            Fate::Dead => {
                drop(pipe_into(&mut shell));
                None
            }
            Fate::Full => {
                shell.stderr(File::options().write(true).open("/dev/full").unwrap());
                None
            }
            Fate::Asleep => Some(pipe_into(&mut shell)),
            Fate::Closed => None,
        };
        Self::begun(shell, asleep)
    }

    /// Starts it, until it has said where it listens.
    fn begun(mut command: Command, asleep: Option<PipeReader>) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        drop(command); // and with it our copies of the ends it was given
        let mut stdout = child.stdout.take().unwrap();
        let mut heard = String::new();
        until("the first lines", || {
            let mut part = [0; 4096];
            let count = stdout.read(&mut part).unwrap();
            assert!(count > 0, "it ended: {heard}");
            heard.push_str(&String::from_utf8_lossy(&part[..count]));
            heard.contains("admin ").then_some(())
        });
        Self { child, _asleep: asleep, heard }
    }

    pub fn address(&self, key: &str) -> SocketAddr {
        let line = self.heard.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        line.split_whitespace().next().unwrap().split_once("://").unwrap().1.parse().unwrap()
    }

    fn lost(&self) -> f64 {
        let text = Connection::to(self.address("admin")).ask("GET", "/metrics").body;
        let line = text.lines().find_map(|line| line.strip_prefix("linkr_log_lines_dropped_total "));
        line.unwrap().parse().unwrap()
    }

    fn stop(mut self) -> ExitStatus {
        let sent = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        until("it to exit", || self.child.try_wait().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Gives it a pipe for stderr; the end for reading.
fn pipe_into(command: &mut Command) -> PipeReader {
    let (read, write) = std::io::pipe().unwrap();
    command.stderr(write);
    read
}

/// 200 strangers, who say nothing and then go.
fn strangers(address: SocketAddr) {
    let all: Vec<_> =
        (0..200).map_while(|_| TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok()).collect();
    assert!(all.len() >= 100, "{}", all.len());
}

/// Answers within the time that a person would notice.
fn prompt(address: SocketAddr, path: &str) -> Answer {
    until("an answer", || {
        let mut connection = Connection::to(address);
        let began = Instant::now();
        connection.send("GET", path, "").ok()?;
        let answer = connection.answer(false).ok()??;
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        Some(answer)
    })
}

#[test]
fn an_edge_serves_whatever_becomes_of_its_log() {
    let _turn = beside_others();
    for fate in FATES {
        let dir = Dir::new();
        // Everything that there is to say: more than any pipe or queue holds.
        let server =
            Server::start(&dir, &words(&["up", "--workers", "2"], &[LISTEN, API, ADMIN]), "trace", fate);
        let (edge, api) = (server.address("edge"), server.address("api"));
        let create =
            || Connection::to(api).call("POST", "/v1/links", r#"{"target":"https://a/","code":"x"}"#);
        assert_eq!(create().unwrap().unwrap().status, 201, "{fate:?}");
        until("the link", || (prompt(edge, "/x").status == 302).then_some(()));
        strangers(edge);
        strangers(api);
        until("the log to be lost", || {
            let asked = Connection::to(api).ask("GET", "/v1/links/x").status;
            assert_eq!((asked, prompt(edge, "/x").status), (200, 302), "{fate:?}");
            (fate == Fate::Closed || server.lost() > 0.0).then_some(())
        });
        let began = Instant::now();
        assert_eq!(server.stop().code(), Some(0), "{fate:?}");
        assert!(began.elapsed() < PATIENCE, "{fate:?}: {:?}", began.elapsed());
    }
}

#[test]
fn halves_serve_whatever_becomes_of_their_logs() {
    let _turn = beside_others();
    for fate in FATES {
        let dir = Dir::new();
        let control = Server::start(&dir, &words(&["control"], &[API, ADMIN]), "trace", fate);
        let api = control.address("api");
        let url = format!("http://{api}");
        let edge = words(&["edge", "--unpinned", "--workers", "1", "--control", &url], &[LISTEN, ADMIN]);
        let edge = Server::start(&dir, &edge, "trace", fate);
        strangers(api);
        strangers(edge.address("edge"));
        let asked = Connection::to(api).call("POST", "/v1/links", r#"{"target":"https://a/","code":"x"}"#);
        assert_eq!(asked.unwrap().unwrap().status, 201, "{fate:?}");
        until("the link", || (prompt(edge.address("edge"), "/x").status == 302).then_some(()));
        assert_eq!(control.stop().code(), Some(0), "{fate:?}");
        assert_eq!(prompt(edge.address("edge"), "/x").status, 302, "{fate:?}");
        assert_eq!(edge.stop().code(), Some(0), "{fate:?}");
    }
}

/// A pipe that takes nothing more, and its end for reading, at which nobody reads.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (asleep, full) = std::io::pipe().unwrap();
    // A thread fills the pipe until it waits there; it ends with this process.
    let filled = Arc::new(AtomicUsize::new(0));
    std::thread::spawn({
        let (filled, mut full) = (filled.clone(), full.try_clone().unwrap());
        move || {
            while full.write_all(&[b'x'; 4096]).is_ok() {
                filled.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    until("a full pipe", || {
        let before = filled.load(Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(20));
        (before > 0 && filled.load(Ordering::Relaxed) == before).then_some(())
    });
    (asleep, full)
}

/// Found by attack: what is said of the settings waited for a reader of stderr before there was a log.
#[test]
fn a_word_about_the_settings_that_nobody_reads_delays_no_start() {
    let _turn = beside_others();
    for form in ["text", "json"] {
        let dir = Dir::new();
        let (_asleep, full) = full_pipe();
        let mut up = command(LINKR, dir.path());
        up.args(words(&["up", "--workers", "1", "--log-format", form], &[LISTEN, API, ADMIN]));
        up.env("LINKR_INSECURE", "true").env("LINKR_TYPO", "1").stderr(full);
        let server = Server::begun(up, None);
        assert_eq!(prompt(server.address("edge"), "/none").status, 404);
        assert_eq!(server.stop().code(), Some(0));
    }
}

/// Found by attack: the kernel ended a server whose log came to the limit of the size of files (SIGXFSZ).
#[test]
fn a_log_at_the_limit_of_the_size_of_files_ends_nobody() {
    let _turn = beside_others();
    let dir = Dir::new();
    let mut shell = command("sh", dir.path());
    shell.args(["-c", "ulimit -f 0; exec \"$0\" \"$@\"", LINKR]);
    let edge = ["edge", "--control", "http://127.0.0.1:1", "--unpinned", "--workers", "1"];
    shell.args(words(&edge, &[LISTEN, ADMIN])).env("LINKR_INSECURE", "true");
    shell.stderr(File::create(dir.file("log")).unwrap());
    let server = Server::begun(shell, None);
    until("a lost line to be counted", || (server.lost() > 0.0).then_some(()));
    // A job in the background is not stopped for a word to a terminal (SIGTTOU) either.
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.child.id())).unwrap();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
    let ignored = u64::from_str_radix(ignored.trim(), 16).unwrap();
    for signal in [22, 25] {
        assert!(ignored >> (signal - 1) & 1 == 1, "{signal}: {ignored:x}");
    }
    assert_eq!(server.stop().code(), Some(0));
}

#[test]
fn first_lines_that_nobody_reads_delay_nothing() {
    let _turn = beside_others();
    let dir = Dir::new();
    let (_asleep, full) = full_pipe();
    let mut up = command(LINKR, dir.path());
    up.args(words(&["up", "--workers", "1", "--log-format", "json"], &[LISTEN, API, ADMIN]));
    up.env("LINKR_INSECURE", "true").stdout(full).stderr(Stdio::piped());
    let mut child = up.spawn().unwrap();
    drop(up);
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let mut server = Server { child, _asleep: None, heard: String::new() };
    let listening = lines.find(|line| line.contains(r#""event":"listening""#)).unwrap();
    let listening: serde_json::Value = serde_json::from_str(&listening).unwrap();
    assert!(listening["store"].as_str().unwrap().starts_with("sqlite "), "{listening}");
    server.heard = format!("edge http://{}\n", listening["listen"].as_str().unwrap());
    assert_eq!(prompt(server.address("edge"), "/none").status, 404);
    assert_eq!(server.stop().code(), Some(0));
    let rest: Vec<String> = lines.collect();
    for event in ["stopping", "stopped"] {
        let signal = format!(r#""event":"{event}""#);
        assert!(rest.iter().any(|line| line.contains(&signal) && line.contains("SIGTERM")), "{rest:?}");
    }
}

/// What anybody may send, again and again: guessed keys, edges with a guessed key, half and broken heads, and TLS where there
/// is none. Each of them would have been a line.
#[test]
fn what_strangers_send_comes_to_few_lines_and_is_counted() {
    const EACH: usize = 1_000;
    let _turn = beside_others();
    let dir = Dir::new();
    let mut up = command(LINKR, dir.path());
    up.args(words(&["up", "--workers", "1"], &[LISTEN, API, ADMIN])).env("LINKR_INSECURE", "false");
    let server = Linkr::start(up, &dir, &["edge", "api", "admin", "then"]);
    let before = server.stderr().lines().count();
    let (mut api, mut guessed) = (Connection::to(server.api()), 0.0);
    for number in 0..EACH {
        let bearer = format!("Bearer lk_{number:040}");
        let body = r#"{"code":"x","target":"https://example.com/"}"#;
        let fields = [("Authorization", &*bearer), ("X-Request-Id", "guess")];
        let status = api.call_with("POST", "/v1/links", &fields, body).unwrap().unwrap().status;
        assert!([401, 429].contains(&status), "{status}");
        guessed += f64::from(u8::from(status == 401));
    }
    assert!(guessed > 0.0, "the first of them are told why");
    for head in [
        "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        "\u{16}\u{3}\u{1}\u{0}\u{5}hello\r\n\r\n",
        "PROXY TCP4 a\r\n\r\n",
    ] {
        for _ in 0..EACH {
            let mut stranger = TcpStream::connect(server.edge()).unwrap();
            stranger.write_all(head.as_bytes()).unwrap();
            let mut answer = Vec::new();
            let _ = stranger.read_to_end(&mut answer); // it may be reset: what is behind the head was not read
        }
    }
    let refused = server.metric("linkr_edge_requests_total{outcome=\"refused\",tier=\"none\"}");
    assert!(refused >= Some(EACH as f64), "{refused:?}");
    let told = |reason: &str| server.metric(&format!("linkr_control_refusals_total{{reason=\"{reason}\"}}"));
    let (unknown, limited) = (told("UNAUTHENTICATED").unwrap(), told("RATE_LIMITED").unwrap());
    assert!(unknown >= guessed && unknown + limited >= EACH as f64, "{unknown} {limited} {guessed}");
    let lines = server.stderr().lines().count() - before;
    assert!(lines <= 20, "{lines} lines:\n{}", server.stderr());
}
