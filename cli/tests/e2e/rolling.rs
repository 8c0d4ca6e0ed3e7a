//! Two edges restarted one after the other by SIGTERM, behind a real HAProxy and a real nginx with the files of `deploy`, but for
//! trying again, which they never do here.

use crate::deployed::FrontDoor;
use crate::support::{Connection, Dir, LINKR, Linkr, PATIENCE, command, has, skip, until};
use std::fs;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::Scope;
use std::time::{Duration, Instant};

/// Of each kind: those that connect for every request, and those that keep their connections.
const CLIENTS: usize = 8;
/// Requests a second of each client: of the long form 50,000 in all, and more.
const RATE: u32 = 50;
const LONG_RATE: u32 = 125;
/// What HAProxy is not to do for a failed request here, and how often it looks: two checks in a row.
const HAPROXY: [(&str, &str); 2] = [
    (
        "  retries 2\n  option redispatch 1\n  retry-on conn-failure empty-response response-timeout 503\n",
        "  retries 0\n  no option redispatch\n",
    ),
    ("inter 1s", "inter 100ms"),
];
/// Longer than that takes.
const DELAY: &str = "800ms";
/// The same for nginx, which is not to pass an edge over either.
const NGINX: [(&str, &str); 2] = [
    (
        "proxy_next_upstream error timeout http_503;\n      proxy_next_upstream_tries 2;",
        "proxy_next_upstream off;",
    ),
    ("fail_timeout=2s", "max_fails=0"),
];
/// The clients send more often, and what the balancer holds without need is closed then.
const TIMEOUT: &str = "1s";

/// From a signal until the service of a cluster has heard that an endpoint goes, and a delay that is longer: 15 s against some
/// seconds in a real one.
const LATE: Duration = Duration::from_secs(1);
const DELAY_IN_CLUSTER: &str = "1500ms";
const ENDPOINTS: &str = "endpoints.sock";

/// An answer that a person notices.
const SLOW: Duration = Duration::from_millis(500);

/// The servers behind the balancer.
pub struct Edges {
    control: Linkr,
    dirs: [Dir; 2],
    edges: [Linkr; 2],
    delay: &'static str,
    /// What each edge is told besides.
    flags: &'static [&'static str],
}

impl Edges {
    pub fn start(dir: &Dir, delay: &'static str, flags: &'static [&'static str]) -> Self {
        let control = Linkr::up(dir);
        control.ok(dir, &["link", "create", "https://example.com/", "--code", "x"]);
        let dirs = [Dir::new(), Dir::new()];
        let free: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let edges = [0, 1].map(|at| edge(&control, &dirs[at], free, free, delay, flags));
        Self { control, dirs, edges, delay, flags }
    }

    pub fn control(&self) -> &Linkr {
        &self.control
    }

    pub fn edges(&self) -> &[Linkr; 2] {
        &self.edges
    }

    /// kill -9, and the same again.
    pub fn crash(&mut self, at: usize) {
        let old = &mut self.edges[at];
        let (listen, admin) = (old.edge(), old.admin());
        old.kill();
        *old = edge(&self.control, &self.dirs[at], listen, admin, self.delay, self.flags);
    }

    /// As a supervisor does it: a signal, the end, and the same again.
    fn restart(&mut self, at: usize) {
        self.restart_while(at, || ());
    }

    /// The same, with something done between the signal and the end.
    fn restart_while(&mut self, at: usize, done: impl FnOnce()) {
        let (old, control) = (&mut self.edges[at], &self.control);
        let (listen, admin) = (old.edge(), old.admin());
        old.ask_to_stop();
        done();
        assert_eq!(old.exited().code(), Some(0), "{}", old.stderr());
        assert!(!old.stderr().contains("cut"), "{}", old.stderr());
        *old = edge(control, &self.dirs[at], listen, admin, self.delay, self.flags);
    }

    /// Waits until the balancer sends it something.
    fn is_asked(&self, at: usize) {
        let answered =
            || self.edges[at].metric("linkr_edge_requests_total{outcome=\"redirect\",tier=\"hot\"}");
        let before = answered().unwrap_or(0.0);
        until("the balancer to use it", || answered().filter(|&now| now > before + 10.0));
    }
}

fn edge(
    control: &Linkr,
    dir: &Dir,
    listen: SocketAddr,
    admin: SocketAddr,
    delay: &str,
    flags: &[&str],
) -> Linkr {
    let mut edge = command(LINKR, dir.path());
    edge.args(["edge", "--control", &format!("http://{}", control.api()), "--workers", "2", "--unpinned"]);
    edge.args(["--listen", &listen.to_string(), "--admin", &admin.to_string()]);
    edge.args(["--drain-delay", delay, "--drain-timeout", TIMEOUT]).args(flags);
    let edge = Linkr::start(edge, dir, &["edge", "admin"]);
    until("it to be ready", || {
        (Connection::to(edge.admin()).ask("GET", "/readyz").status == 200).then_some(())
    });
    edge
}

/// A real balancer; asked to end when it is dropped, since a master of nginx ends its workers only then.
pub struct Balancer {
    child: Child,
    pub socket: String,
}

impl Drop for Balancer {
    fn drop(&mut self) {
        let mut kill = std::process::Command::new("sh");
        let _ = kill.args(["-c", &format!("kill -TERM {}", self.child.id())]).status();
        let began = Instant::now();
        while began.elapsed() < PATIENCE / 10 && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where Debian puts it, which is in no user's path.
pub fn program(name: &str) -> Option<String> {
    let beside = format!("/usr/sbin/{name}");
    if has(name) { Some(name.to_owned()) } else { Path::new(&beside).is_file().then_some(beside) }
}

impl Balancer {
    pub fn start(program: &str, words: &[&str], dir: &Dir, socket: String) -> Self {
        let log = fs::File::create(dir.path().join("balancer.log")).unwrap();
        let mut balancer = command(program, dir.path());
        let balancer = balancer.args(words).stdout(Stdio::null()).stderr(log);
        let balancer = Self { child: balancer.spawn().unwrap(), socket };
        until("the balancer to answer", || {
            let mut connection = Connection::over(UnixStream::connect(&balancer.socket).ok()?);
            connection.send("GET", "/x", "").ok()?;
            let answer = connection.answer(false).ok()??;
            (answer.status == 302).then_some(())
        });
        balancer
    }

    fn haproxy(program: &str, dir: &Dir, edges: &[Linkr; 2]) -> Self {
        let door = FrontDoor::new(dir);
        let config = door.haproxy(dir, edges, &HAPROXY);
        Self::start(program, &["-db", "-f", &config], dir, door.socket)
    }

    /// As the service of a cluster does it: connections go to whatever is among its endpoints, and nobody asks for health.
    fn cluster(program: &str, dir: &Dir, edges: &[Linkr; 2]) -> Self {
        let (socket, stats) = (dir.file("service.sock"), dir.file(ENDPOINTS));
        let [one, two] = edges.each_ref().map(Linkr::edge);
        let config = dir.write(
            "service.cfg",
            format!(
                "global\n  stats socket {stats} level admin\n\
                 defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 30s\n  timeout server 30s\n  \
                 retries 0\n  no option redispatch\n\
                 listen service\n  bind unix@{socket}\n  balance roundrobin\n  \
                 server edge-0 {one}\n  server edge-1 {two}\n"
            ),
        );
        Self::start(program, &["-db", "-f", &config], dir, socket)
    }

    fn nginx(program: &str, dir: &Dir, edges: &[Linkr; 2]) -> Self {
        let door = FrontDoor::new(dir);
        let config = door.nginx(dir, edges, &NGINX);
        Self::start(program, &["-q", "-c", &config], dir, door.socket)
    }
}

/// What the clients met.
#[derive(Default)]
pub struct Tally {
    requests: AtomicUsize,
    failed: AtomicUsize,
    first: std::sync::Mutex<Vec<String>>,
    slow: AtomicUsize,
    slowest_ms: AtomicUsize,
    end: AtomicBool,
}

impl Tally {
    fn fail(&self, why: String) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        let mut first = self.first.lock().unwrap();
        if first.len() < 10 {
            first.push(why);
        }
    }

    /// Sends at fixed times, whatever became of what was sent before, and never again what failed. On a kept connection
    /// one waits for the other.
    fn visit<'a>(&'a self, scope: &'a Scope<'a, '_>, socket: &'a str, kept: bool) {
        let (began, mut held) = (Instant::now(), None);
        let rate = if long() { LONG_RATE } else { RATE };
        for number in 0.. {
            let due = began + Duration::from_secs(1) * number / rate;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if self.end.load(Ordering::Relaxed) {
                return;
            }
            if kept {
                held = self.request(socket, held.take(), "kept");
            } else {
                scope.spawn(move || self.request(socket, None, "new"));
            }
        }
    }

    fn request(&self, socket: &str, held: Option<Client>, kind: &str) -> Option<Client> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let sent = Instant::now();
        let done = ask(socket, held);
        let took = sent.elapsed();
        self.slow.fetch_add(usize::from(took > SLOW), Ordering::Relaxed);
        self.slowest_ms.fetch_max(took.as_millis() as usize, Ordering::Relaxed);
        match done {
            Ok((connection, closes)) => (!closes).then_some(connection),
            Err(why) => {
                self.fail(format!("{kind}: {why}"));
                None
            }
        }
    }
}

type Client = Connection<UnixStream>;

fn ask(socket: &str, held: Option<Client>) -> Result<(Client, bool), String> {
    let mut connection = match held {
        Some(connection) => connection,
        None => {
            let stream = UnixStream::connect(socket).map_err(|fault| format!("connect: {fault}"))?;
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            Connection::over(stream)
        }
    };
    connection.send("GET", "/x", "").map_err(|fault| format!("send: {fault}"))?;
    match connection.answer(false).map_err(|fault| format!("answer: {fault}"))? {
        Some(answer) if answer.location() == "https://example.com/" => {
            let closes = answer.field("connection") == Some("close");
            Ok((connection, closes))
        }
        Some(answer) => Err(format!("answered {}", answer.status)),
        None => Err("closed without an answer".to_owned()),
    }
}

/// Calls `restart` for both edges in turn while clients ask, `rounds` times.
pub fn while_asked(
    balancer: &Balancer,
    edges: &mut Edges,
    rounds: usize,
    restart: impl Fn(&mut Edges, usize),
) -> Tally {
    let seen = Tally::default();
    std::thread::scope(|scope| {
        for number in 0..CLIENTS * 2 {
            let (seen, socket) = (&seen, &balancer.socket);
            scope.spawn(move || seen.visit(scope, socket, number % 2 == 0));
        }
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for _ in 0..rounds {
                for at in 0..2 {
                    edges.is_asked(at);
                    restart(edges, at);
                    edges.is_asked(at);
                }
            }
        }));
        seen.end.store(true, Ordering::Relaxed);
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    seen
}

fn long() -> bool {
    std::env::var_os("LINKR_LONG").is_some()
}

fn rounds() -> usize {
    if long() { 20 } else { 1 }
}

/// Nobody failed, and of the long form there were enough.
pub fn none_failed(name: &str, seen: &Tally) {
    let (requests, failed) = said(name, rounds(), seen);
    assert!(failed == 0 && requests >= if long() { 100_000 } else { 100 }, "{failed} of {requests}");
}

fn said(name: &str, rounds: usize, seen: &Tally) -> (usize, usize) {
    let (requests, failed) = (seen.requests.load(Ordering::Relaxed), seen.failed.load(Ordering::Relaxed));
    let (first, slowest) = (seen.first.lock().unwrap(), seen.slowest_ms.load(Ordering::Relaxed));
    let slow = seen.slow.load(Ordering::Relaxed);
    eprintln!(
        "{name}: {rounds} rolling restarts, {failed} of {requests} failed, {slow} took longer than {SLOW:?}, the slowest {slowest} ms; {first:?}"
    );
    (requests, failed)
}

pub fn a_rolling_restart_behind_haproxy_loses_nothing() {
    let name = "a_rolling_restart_behind_haproxy_loses_nothing";
    let Some(program) = program("haproxy") else { return skip(name, "no haproxy") };
    let dir = Dir::new();
    let mut edges = Edges::start(&dir, DELAY, &[]);
    let balancer = Balancer::haproxy(&program, &dir, &edges.edges);
    none_failed(name, &while_asked(&balancer, &mut edges, rounds(), Edges::restart));
}

pub fn a_rolling_restart_behind_nginx_loses_nothing() {
    let name = "a_rolling_restart_behind_nginx_loses_nothing";
    let Some(program) = program("nginx") else { return skip(name, "no nginx") };
    let dir = Dir::new();
    // Whoever takes an edge out first needs no delay.
    let mut edges = Edges::start(&dir, "0s", &[]);
    let balancer = Balancer::nginx(&program, &dir, &edges.edges);
    let seen = while_asked(&balancer, &mut edges, rounds(), |edges, at| {
        let out = dir.write(&format!("out-{}", at + 1), "");
        edges.restart(at);
        fs::remove_file(out).unwrap();
    });
    none_failed(name, &seen);
}

/// The order of events in a cluster: SIGTERM first; the endpoint goes later, when every node has heard of it; the process ends;
/// the next one is ready, and becomes an endpoint. Nobody in front asks for health, tries again, or knows of the signal.
pub fn a_rollout_that_removes_endpoints_late_loses_nothing() {
    let name = "a_rollout_that_removes_endpoints_late_loses_nothing";
    let Some(program) = program("haproxy") else { return skip(name, "no haproxy") };
    let dir = Dir::new();
    let mut edges = Edges::start(&dir, DELAY_IN_CLUSTER, &[]);
    let balancer = Balancer::cluster(&program, &dir, &edges.edges);
    let seen = while_asked(&balancer, &mut edges, rounds(), |edges, at| {
        let state = |state: &str| set_endpoint(&dir, at, state);
        edges.restart_while(at, || {
            std::thread::sleep(LATE);
            state("maint");
        });
        state("ready");
    });
    none_failed(name, &seen);
}

/// Tells the service of [`Balancer::cluster`] whether an edge is one of its endpoints.
fn set_endpoint(dir: &Dir, at: usize, state: &str) {
    assert_eq!(tell(&dir.file(ENDPOINTS), &format!("set server service/edge-{at} state {state}")), "");
}

/// What HAProxy answers to a line at its socket for administrators.
pub fn tell(socket: &str, line: &str) -> String {
    let mut stats = UnixStream::connect(socket).unwrap();
    stats.write_all(format!("{line}\n").as_bytes()).unwrap();
    let mut said = String::new();
    stats.read_to_string(&mut said).unwrap();
    said.trim().to_owned()
}

/// What the delay and the file are for: measured, and nothing is promised.
pub fn a_rolling_restart_that_no_balancer_knows_of_is_measured() {
    if !long() {
        return;
    }
    for name in ["haproxy", "nginx"] {
        let Some(program) = program(name) else { continue };
        let dir = Dir::new();
        let mut edges = Edges::start(&dir, "0s", &[]);
        let balancer = match name {
            "haproxy" => Balancer::haproxy(&program, &dir, &edges.edges),
            _ => Balancer::nginx(&program, &dir, &edges.edges),
        };
        let seen = while_asked(&balancer, &mut edges, rounds(), Edges::restart);
        said(&format!("{name}, without a word to it"), rounds(), &seen);
    }
}
