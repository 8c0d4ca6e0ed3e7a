//! Dashboards and alerts against a real Prometheus that scrapes real processes: every expression returns data, each alert is
//! raised by its fault, and none by ordinary load. The rules are those of `deploy/alerts.yml` at 60 times their pace: a window
//! of five minutes and a `for` of five minutes are five seconds each. Limits stand as they are.

#[path = "alerts/callers.rs"]
mod callers;
#[path = "alerts/edges.rs"]
mod edges;
#[path = "alerts/expressions.rs"]
mod expressions;
#[path = "alerts/fleet.rs"]
mod fleet;
#[path = "alerts/pictures.rs"]
mod pictures;
#[path = "alerts/processes.rs"]
mod processes;
#[path = "alerts/spools.rs"]
mod spools;
#[path = "alerts/stores.rs"]
mod stores;

use crate::prometheus::{Prometheus, Target};
use crate::support::{Connection, Dir, FREE_PORTS, LINKR, Linkr, command, has, skip};
use dashboards::Pace;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const PACE: u64 = 60;
/// For an alert on a busy machine: the longest takes 62 s by itself.
const PATIENCE: Duration = Duration::from_secs(180);
/// Long enough for every window to have data, and for what is wrong from the start to be seen.
const CALM: Duration = Duration::from_secs(4);

/// A Prometheus with the rules, and whom it scrapes.
struct Watch {
    prometheus: Prometheus,
    targets: RefCell<Vec<Target>>,
    _dir: Dir,
}

impl Watch {
    /// `None` where there is no Prometheus.
    fn new(test: &str) -> Option<Self> {
        Self::at(test, Pace::times(PACE))
    }

    fn at(test: &str, pace: Pace) -> Option<Self> {
        if !has("prometheus") {
            skip(test, "prometheus is not installed");
            return None;
        }
        let dir = Dir::new();
        // Twice a second at the real pace would be most of the load.
        let every = if pace == Pace::REAL { "5s" } else { "500ms" };
        let prometheus = Prometheus::with_rules(&dir, &dashboards::rules(pace), every, &[]);
        Some(Self { prometheus, targets: RefCell::default(), _dir: dir })
    }

    fn scrape(&self, job: &'static str, at: SocketAddr) {
        let mut targets = self.targets.borrow_mut();
        targets.push(Target { job, at });
        self.prometheus.scrapes(&targets);
    }

    /// The same for an edge, and for control.
    fn edge(&self, edge: Linkr) -> Linkr {
        self.scrape("linkr-edge", edge.admin());
        edge
    }

    fn control(&self, control: Linkr) -> Linkr {
        self.scrape("linkr-control", control.admin());
        control
    }

    /// Every alert that has fired so far.
    fn fired(&self) -> BTreeSet<String> {
        let series = self.prometheus.series("count_over_time(ALERTS{alertstate=\"firing\"}[1h])");
        series.iter().map(|one| one["metric"]["alertname"].as_str().unwrap().to_owned()).collect()
    }

    /// Nothing is wrong yet: everybody is scraped, and no alert fires.
    fn is_calm(&self) {
        let all = self.targets.borrow().len() as f64;
        self.prometheus.gives("sum(up)", all);
        std::thread::sleep(CALM); // nothing is waited for: nothing is to happen
        assert_eq!(self.fired(), BTreeSet::new());
    }

    /// Waits until each of these has fired.
    fn expect(&self, alerts: &[&str]) {
        let began = Instant::now();
        loop {
            let fired = self.fired();
            let missing: Vec<_> = alerts.iter().filter(|alert| !fired.contains(**alert)).collect();
            if missing.is_empty() {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{missing:?} did not fire; {fired:?} did");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Does something again and again in a thread of its own while `judge` is under way, however that ends.
fn beside(mut again: impl FnMut() + Send, judge: impl FnOnce()) {
    struct End<'a>(&'a AtomicBool);
    impl Drop for End<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _end = End(&over);
        let over = &over;
        scope.spawn(move || {
            while !over.load(Ordering::Relaxed) {
                again();
            }
        });
        judge();
    });
}

/// Visitors, until it is dropped.
struct Visitors {
    gone: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Visitors {
    /// One a time asks for the next of these paths, some hundred times a second. What he is answered is for others to judge.
    fn of(edge: &Linkr, paths: impl Fn(usize) -> String + Send + 'static) -> Self {
        let (gone, edge) = (Arc::<AtomicBool>::default(), edge.edge());
        let gone_too = gone.clone();
        let thread = std::thread::spawn(move || {
            let mut number = 0;
            while !gone_too.load(Ordering::Relaxed) {
                let Ok(stream) = std::net::TcpStream::connect(edge) else { return };
                stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
                let mut connection = Connection::over(stream);
                while !gone_too.load(Ordering::Relaxed)
                    && let Ok(Some(_)) = connection.call("GET", &paths(number), "")
                {
                    number += 1;
                    std::thread::sleep(Duration::from_millis(3));
                }
            }
        });
        Self { gone, thread: Some(thread) }
    }
}

impl Drop for Visitors {
    fn drop(&mut self) {
        self.gone.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn control(dir: &Dir, words: &[&str]) -> Linkr {
    let mut control = command(LINKR, dir.path());
    control.arg("control").args(FREE_PORTS).args(words);
    Linkr::start(control, dir, &["store", "api", "admin"])
}

fn edge_command(dir: &Dir, control: &str, words: &[&str]) -> std::process::Command {
    let mut edge = command(LINKR, dir.path());
    edge.args(["edge", "--control", control, "--workers", "1", "--unpinned", "--listen", "127.0.0.1:0"]);
    edge.args(words);
    edge
}

fn edge(dir: &Dir, control: &str, words: &[&str]) -> Linkr {
    let words = [&["--admin", "127.0.0.1:0"], words].concat();
    Linkr::start(edge_command(dir, control, &words), dir, &["edge", "admin"])
}

fn url(control: &Linkr) -> String {
    format!("http://{}", control.api())
}

#[test]
fn every_alert_is_raised_here() {
    let own = [
        include_str!("alerts/callers.rs"),
        include_str!("alerts/edges.rs"),
        include_str!("alerts/processes.rs"),
        include_str!("alerts/spools.rs"),
        include_str!("alerts/stores.rs"),
    ];
    for alert in dashboards::alert_names() {
        assert!(own.iter().any(|file| file.contains(&format!("\"{alert}\""))), "{alert} is never raised");
    }
}
