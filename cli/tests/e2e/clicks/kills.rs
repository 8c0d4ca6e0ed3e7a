//! kill -9 of both halves, again and again, while visitors follow a link: what they saw is counted, and nothing twice.

use super::{FIREFOX, counted, law, lost, settle_all};
use crate::stores::Store;
use crate::support::{Connection, Dir, LINKR, Linkr, PATIENCE, beside_others, command, until};
use services::Random;
use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::Duration;

const VISITORS: usize = 4;
/// How often a visitor who waits for the edge looks whether the test is over.
const LOOK: Duration = Duration::from_millis(100);
/// Requests of one in one write. 10,000, with which an edge ends a connection, is a multiple of it.
const AT_ONCE: u64 = 16;

/// How often one half is killed, and how many answers come before each time at most.
struct Kills {
    count: usize,
    answers: u64,
}

impl Kills {
    /// `LINKR_LONG=1` kills twenty times as often, and in all some ten million answers come.
    fn new() -> Self {
        match std::env::var_os("LINKR_LONG") {
            Some(_) => Self { count: 200, answers: 100_000 },
            None => Self { count: 10, answers: 2_000 },
        }
    }
}

/// Both halves, which come back where they were.
struct Halves {
    dirs: [Dir; 2],
    store: String,
    control: Linkr,
    edge: Linkr,
    /// It stays the same, as the edge has it.
    api: String,
}

fn control(dir: &Dir, store: &str, api: &str) -> Linkr {
    let mut control = command(LINKR, dir.path());
    control.args(["control", "--store", store, "--api", api, "--admin", "127.0.0.1:0"]);
    Linkr::start(control, dir, &["store", "api", "admin"])
}

fn edge(dir: &Dir, api: &str) -> Linkr {
    let mut edge = command(LINKR, dir.path());
    edge.args([
        "edge",
        "--control",
        &format!("http://{api}"),
        "--name",
        "far",
        "--workers",
        "2",
        "--unpinned",
    ]);
    edge.args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--snapshot", "edge.snapshot"]);
    Linkr::start(edge, dir, &["edge", "admin"])
}

impl Halves {
    fn start(store: &Store) -> Self {
        let (dirs, store) = ([Dir::new(), Dir::new()], store.empty("clicks"));
        let control = control(&dirs[0], &store, "127.0.0.1:0");
        control.ok(&dirs[0], &["link", "create", "https://example.com/x", "--code", "x"]);
        let api = control.api().to_string();
        let edge = edge(&dirs[1], &api);
        until("the link", || (edge.get("/x").status == 302).then_some(()));
        until("the edge's file", || dirs[1].path().join("edge.snapshot").exists().then_some(()));
        Self { dirs, store, control, edge, api }
    }

    fn kill_control(&mut self) {
        self.control.kill();
        self.control = control(&self.dirs[0], &self.store, &self.api);
    }

    fn kill_edge(&mut self) {
        self.edge.kill();
        self.edge = edge(&self.dirs[1], &self.api);
    }

    /// Waits until every click that any process of the edge noted is with control. One that was stopped has emptied its
    /// rings, so that the next one knows all there are.
    fn settle(&mut self) {
        self.edge.ask_to_stop();
        assert!(self.edge.exited().success());
        self.edge = edge(&self.dirs[1], &self.api);
        until("every click to be acknowledged or lost", || {
            let law = law(&self.edge);
            (law.recorded > 0 && law.pending == 0).then_some(())
        });
    }
}

/// What visitors saw.
#[derive(Default)]
struct Seen {
    /// Answers that came whole.
    answered: AtomicU64,
    /// Requests without one.
    cut: AtomicU64,
    /// Where the edge is now.
    edge: Mutex<Option<SocketAddr>>,
    moved: Condvar,
    stop: AtomicBool,
}

impl Seen {
    /// The edge is there from now on, or is not.
    fn moved_to(&self, edge: Option<SocketAddr>) {
        *self.edge.lock().unwrap() = edge;
        self.moved.notify_all();
    }

    /// Where the edge is. Whoever waits takes no processor from the process that is to start.
    fn found(&self) -> Option<SocketAddr> {
        let gone = |edge: &mut Option<SocketAddr>| edge.is_none() && !self.stop.load(Ordering::Relaxed);
        let (edge, _) = self.moved.wait_timeout_while(self.edge.lock().unwrap(), LOOK, gone).unwrap();
        *edge
    }

    /// Follows the link until it is told to stop, on one connection after the other.
    fn visit(&self) {
        let request = format!("GET /x HTTP/1.1\r\nHost: localhost\r\nUser-Agent: {FIREFOX}\r\n\r\n");
        let requests = request.repeat(AT_ONCE as usize);
        while !self.stop.load(Ordering::Relaxed) {
            let found = self.found();
            let stream = found.and_then(|address| TcpStream::connect_timeout(&address, PATIENCE).ok());
            let Some(stream) = stream else { continue };
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut connection = Connection::over(stream);
            let mut left = 0;
            while !self.stop.load(Ordering::Relaxed) || left > 0 {
                if left == 0 {
                    left = AT_ONCE;
                    if connection.write_all(requests.as_bytes()).is_err() {
                        break; // they may have arrived all the same
                    }
                }
                match connection.answer(false) {
                    Ok(Some(answer)) if answer.status == 302 => {
                        self.answered.fetch_add(1, Ordering::Relaxed);
                        left -= 1;
                        if answer.field("connection") == Some("close") {
                            assert_eq!(left, 0, "nothing is asked behind the last answer");
                            break;
                        }
                    }
                    Ok(Some(answer)) => panic!("{answer:?}"),
                    Ok(None) | Err(_) => break, // a kill
                }
            }
            self.cut.fetch_add(left, Ordering::Relaxed);
        }
    }

    /// Waits until so many more answers came.
    fn more(&self, count: u64) {
        let answered = || self.answered.load(Ordering::Relaxed);
        let wanted = answered() + count;
        while answered() < wanted {
            let before = answered();
            until("more answers", || (answered() > before).then_some(()));
        }
    }
}

/// Ends the visits, also when the test fails.
struct Stop<'a>(&'a Seen);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::Relaxed);
    }
}

/// Kills one half after the other, drawn by `is_edge`: what was answered, and cut, and how many clicks there were before.
fn visited(halves: &mut Halves, mut is_edge: impl FnMut(&mut Random) -> bool) -> (u64, u64, u64) {
    settle_all(&halves.edge);
    let before = counted(&halves.control);
    let (seen, mut random) = (Seen::default(), Random::new(18));
    seen.moved_to(Some(halves.edge.edge()));
    std::thread::scope(|scope| {
        let stop = Stop(&seen);
        for _ in 0..VISITORS {
            scope.spawn(|| seen.visit());
        }
        let kills = Kills::new();
        for _ in 0..kills.count {
            seen.more(random.between(1, kills.answers));
            if is_edge(&mut random) {
                seen.moved_to(None);
                halves.kill_edge();
                seen.moved_to(Some(halves.edge.edge()));
            } else {
                halves.kill_control();
            }
        }
        seen.more(50);
        drop(stop);
    });
    (seen.answered.into_inner(), seen.cut.into_inner(), before)
}

fn both_halves_killed(store: &Store) {
    let mut halves = Halves::start(store);
    let (answered, cut, before) = visited(&mut halves, |random| random.percent(50));
    halves.settle();
    let (counted, lost) = (counted(&halves.control) - before, lost(&halves.control));
    let told = only_full_rings(&lost);
    println!("{answered} answered, {cut} cut, {counted} counted, {told} told as lost");
    assert!(
        answered <= counted + told && counted + told <= answered + cut,
        "{answered} answered, {cut} cut, {counted} counted, {told} told as lost"
    );
}

fn control_killed(store: &Store) {
    let mut halves = Halves::start(store);
    let (answered, cut, before) = visited(&mut halves, |_| false);
    settle_all(&halves.edge);
    let (counted, lost) = (counted(&halves.control) - before, lost(&halves.control));
    let told = only_full_rings(&lost);
    println!("{answered} answered, {counted} counted, {told} told as lost");
    assert_eq!((counted + told, cut), (answered, 0), "control's end is nobody's but control's");
}

/// How many clicks are told as lost since rings were full: visitors here ask as fast as they can, and on a machine that has
/// other things to do an edge of a test's build does not always keep up. Nothing else may be lost.
fn only_full_rings(lost: &BTreeMap<String, u64>) -> u64 {
    assert!(lost.keys().all(|reason| reason == "ring_full"), "{lost:?}");
    lost.values().sum()
}

#[test]
fn kills_of_both_halves_on_sqlite() {
    let _turn = beside_others();
    both_halves_killed(&Store::Sqlite);
}

#[test]
fn kills_of_both_halves_on_postgres() {
    let _turn = beside_others();
    Store::postgres("kills_of_both_halves_on_postgres").iter().for_each(both_halves_killed);
}

#[test]
fn kills_of_control_alone_on_sqlite() {
    let _turn = beside_others();
    control_killed(&Store::Sqlite);
}

#[test]
fn kills_of_control_alone_on_postgres() {
    let _turn = beside_others();
    Store::postgres("kills_of_control_alone_on_postgres").iter().for_each(control_killed);
}
