//! What the server under test says and costs, when it is on this machine: its processes by the port they listen on,
//! their CPU time, their system calls, and an edge's own metrics.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// What is watched.
#[derive(Clone, Debug, Default)]
pub struct Server {
    /// Processes that listen on the port; empty when it is not on this machine.
    pub pids: Vec<u32>,
    /// Where an edge's `/metrics` is.
    pub admin: Option<SocketAddr>,
}

/// A moment's readings.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// CPU seconds of all threads of all processes so far.
    pub cpu: f64,
    /// Those of an edge's workers alone.
    pub worker_cpu: f64,
    /// Samples of `/metrics`, by series.
    pub metrics: BTreeMap<String, f64>,
}

impl Server {
    /// The server behind an address.
    pub fn find(address: SocketAddr, admin: Option<SocketAddr>) -> Self {
        let pids = if address.ip().is_loopback() { listeners(address.port()) } else { Vec::new() };
        Self { pids, admin }
    }

    /// Now.
    pub fn read(&self) -> Reading {
        let cpu = self.pids.iter().map(|&pid| crate::sys::cpu_seconds(pid)).sum();
        let worker_cpu = self.pids.iter().map(|&pid| worker_seconds(pid)).sum();
        Reading { cpu, worker_cpu, metrics: self.admin.and_then(scrape).unwrap_or_default() }
    }
}

/// CPU seconds of the threads that a process calls `worker-N`; 0: it has none.
fn worker_seconds(pid: u32) -> f64 {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let seconds = tasks.filter_map(|task| {
        let read = |name: &str| std::fs::read_to_string(task.path().join(name)).ok();
        let is_worker = read("comm")?.starts_with("worker-");
        // Nanoseconds on a core, those that it waited for one, and how often it was there.
        let on_core = read("schedstat")?.split_whitespace().next()?.parse::<f64>().ok()?;
        is_worker.then_some(on_core / 1e9)
    });
    seconds.sum()
}

/// Processes that hold a socket which listens on this port.
fn listeners(port: u16) -> Vec<u32> {
    let mut inodes = Vec::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        for line in std::fs::read_to_string(table).unwrap_or_default().lines().skip(1) {
            let words: Vec<&str> = line.split_whitespace().collect();
            if words.len() > 9 && words[1].ends_with(&format!(":{port:04X}")) && words[3] == "0A" {
                inodes.push(format!("socket:[{}]", words[9]));
            }
        }
    }
    let holds = |pid: &u32| {
        let fds = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        fds.filter_map(|fd| std::fs::read_link(fd.path()).ok())
            .any(|link| inodes.iter().any(|inode| link.as_os_str() == inode.as_str()))
    };
    let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    all.filter_map(|entry| entry.file_name().to_str().and_then(|name| name.parse().ok()))
        .filter(holds)
        .collect()
}

/// The classic text of `/metrics`, by series.
fn scrape(admin: SocketAddr) -> Option<BTreeMap<String, f64>> {
    let mut socket = TcpStream::connect_timeout(&admin, Duration::from_secs(2)).ok()?;
    socket.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    write!(socket, "GET /metrics HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n").ok()?;
    let mut text = String::new();
    socket.read_to_string(&mut text).ok()?;
    let samples = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        Some((series.to_owned(), value.parse().ok()?))
    });
    Some(samples.collect())
}

/// Answers by tier.
pub type Tiers = BTreeMap<String, u64>;

impl Reading {
    /// Redirects, 404s and 410s (and what is answered in their place) by tier, from the edge's start on: what the hit rate is made of.
    pub fn tiers(&self) -> Tiers {
        let mut tiers = Tiers::new();
        for (series, value) in &self.metrics {
            let counts = ["redirect", "not_found", "gone", "expired"]
                .iter()
                .any(|outcome| series.contains(&format!("outcome=\"{outcome}\"")));
            if !(series.starts_with("linkr_edge_requests_total{") && counts) {
                continue;
            }
            let tier =
                series.split("tier=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or("all");
            if tier != "none" {
                *tiers.entry(tier.to_owned()).or_default() += *value as u64;
            }
        }
        tiers
    }
}

/// What came between two moments; tiers without an answer are left out.
pub fn between(before: &Tiers, after: &Tiers) -> Tiers {
    let more = after.iter().map(|(tier, count)| {
        (tier.clone(), count.saturating_sub(before.get(tier).copied().unwrap_or_default()))
    });
    more.filter(|(_, count)| *count > 0).collect()
}

/// Answers by tier over the time of a run. A scrape costs the server something, so there are few of them.
pub struct History {
    every: Duration,
    taken: Vec<(Duration, Tiers)>,
    /// When the warm-up ended.
    warm_from: Duration,
}

impl History {
    /// With more than these, every second one goes, and they come half as often from then on.
    const MOST: usize = 200;

    /// Nothing yet.
    pub fn new() -> Self {
        Self { every: Duration::from_millis(500), taken: Vec::new(), warm_from: Duration::ZERO }
    }

    /// Whether it is time for another one.
    pub fn is_due(&self, since: Duration) -> bool {
        self.taken.last().is_none_or(|(last, _)| since >= *last + self.every)
    }

    /// Takes a reading.
    pub fn take(&mut self, since: Duration, reading: &Reading) {
        self.taken.push((since, reading.tiers()));
        if self.taken.len() > Self::MOST {
            let (mut number, warm_from) = (0, self.warm_from);
            self.taken.retain(|(at, _)| {
                number += 1;
                number % 2 == 1 || *at == warm_from
            });
            self.every *= 2;
        }
    }

    /// Takes the reading with which the warm-up ends.
    pub fn warm(&mut self, since: Duration, reading: &Reading) {
        self.warm_from = since;
        self.take(since, reading);
    }

    /// The intervals of the warm-up, and those of the rest: each with its end, in seconds from the start of its phase.
    pub fn phases(&self) -> [Vec<(f64, Tiers)>; 2] {
        let mut phases = [Vec::new(), Vec::new()];
        for pair in self.taken.windows(2) {
            let [(from, before), (until, after)] = pair else { continue };
            let warm = *from >= self.warm_from;
            let start = if warm { self.warm_from } else { Duration::ZERO };
            phases[usize::from(warm)].push(((*until - start).as_secs_f64(), between(before, after)));
        }
        phases
    }
}

/// Connections and requests of each worker, as the edge counts them.
pub fn workers(before: &Reading, after: &Reading) -> BTreeMap<String, BTreeMap<String, u64>> {
    let mut workers: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
    for (series, value) in &after.metrics {
        let Some((name, labels)) = series.split_once('{') else { continue };
        let Some(worker) = labels.strip_prefix("worker=\"").and_then(|rest| rest.split('"').next()) else {
            continue;
        };
        let earlier = before.metrics.get(series).copied().unwrap_or(0.0);
        // What is a level and no count is over when the run is: the connections of the start say more.
        let more = if name.ends_with("_total") { value - earlier } else { value.max(earlier) };
        let short = name.trim_start_matches("linkr_edge_").to_owned();
        workers.entry(worker.to_owned()).or_default().insert(short, more.max(0.0) as u64);
    }
    workers
}

/// Counts the system calls of some processes while it lives. It slows them: never in a run whose times matter.
pub struct Syscalls(Option<Child>);

impl Syscalls {
    /// Starts `perf`; counts nothing where there is none.
    pub fn start(pids: &[u32]) -> Self {
        let list = pids.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        let mut perf = Command::new("perf");
        perf.args(["stat", "-x,", "-e", "raw_syscalls:sys_enter", "-p", &list]);
        Self(perf.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().ok())
    }

    /// System calls since the start.
    pub fn stop(self) -> Option<u64> {
        let mut child = self.0?;
        let interrupted = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
        if !interrupted.is_ok_and(|status| status.success()) {
            let _ = child.kill();
        }
        let output = child.wait_with_output().ok()?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        text.lines()
            .find(|line| line.contains("sys_enter"))
            .and_then(|line| line.split(',').next()?.parse().ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_found_and_its_cpu_read() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Server::find(listener.local_addr().unwrap(), None);
        assert_eq!(server.pids, [std::process::id()]);
        let before = server.read().cpu;
        let until = std::time::Instant::now() + Duration::from_millis(30);
        while std::time::Instant::now() < until {}
        assert!(server.read().cpu > before);
    }

    #[test]
    fn the_time_of_workers_is_theirs_alone() {
        let spawn = |name: &str, work: fn()| {
            std::thread::Builder::new().name(name.to_owned()).spawn(work).unwrap().join().unwrap();
        };
        spawn("other-7", || assert_eq!(worker_seconds(std::process::id()), 0.0));
        spawn("worker-7", || {
            let until = std::time::Instant::now() + Duration::from_millis(30);
            while std::time::Instant::now() < until {}
            assert!(worker_seconds(std::process::id()) > 0.005);
        });
    }

    #[test]
    fn tiers_count_answers_about_links_only() {
        let reading = |numbers: [f64; 4]| Reading {
            metrics: [
                "linkr_edge_requests_total{outcome=\"redirect\",tier=\"hot\"}",
                "linkr_edge_requests_total{outcome=\"gone\",tier=\"hot\"}",
                "linkr_edge_requests_total{outcome=\"redirect\",tier=\"origin\"}",
                "linkr_edge_requests_total{outcome=\"refused\",tier=\"none\"}",
            ]
            .into_iter()
            .map(str::to_owned)
            .zip(numbers)
            .collect(),
            ..Reading::default()
        };
        let (before, after) = (reading([5.0, 0.0, 1.0, 7.0]), reading([15.0, 2.0, 4.0, 9.0]));
        let tiers = between(&before.tiers(), &after.tiers());
        assert_eq!(tiers, BTreeMap::from([("hot".into(), 12), ("origin".into(), 3)]));
    }

    #[test]
    fn a_long_history_gets_coarser_and_loses_no_answer_and_no_phase() {
        let series = "linkr_edge_requests_total{outcome=\"redirect\",tier=\"hot\"}".to_owned();
        let reading = |n: u64| Reading { metrics: [(series.clone(), n as f64)].into(), ..Reading::default() };
        let mut history = History::new();
        for n in 0..=10_000u64 {
            let since = Duration::from_millis(100 * n);
            if n == 333 {
                history.warm(since, &reading(n));
            } else if history.is_due(since) || n == 10_000 {
                history.take(since, &reading(n));
            }
        }
        let [cold, warm] = history.phases();
        let sum = |phase: &[(f64, Tiers)]| phase.iter().flat_map(|(_, tiers)| tiers.values()).sum::<u64>();
        assert_eq!((sum(&cold), sum(&warm)), (333, 9_667));
        assert!(cold.len() + warm.len() <= History::MOST && warm.len() > 50, "{} {}", cold.len(), warm.len());
        assert_eq!(cold.last().map(|(until, _)| *until), Some(33.3));
        assert_eq!(warm.last().map(|(until, _)| *until), Some(966.7));
    }
}
