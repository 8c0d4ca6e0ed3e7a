//! `make demo`: a minute from the built binary to a dashboard. Real visitors, a fault and its alert, an upgrade under load; what
//! came of each step is counted, and a step that did not come out ends it.

use dashboards::Pace;
use services::{Folder, Process, command, free_port, program};
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const LINKS: usize = 10_000;
/// Requests a second.
const RATE: &str = "1000";
/// Seconds of load: until all steps are done.
const LOAD: &str = "36";
/// A window of five minutes is five seconds.
const PACE: u64 = 60;
/// What is raised by a control that hangs.
const ALERT: &str = "LinkrEdgeBlind";
/// For each step.
const PATIENCE: Duration = Duration::from_secs(20);
/// So long everything is as always, for the picture.
const CALM: Duration = Duration::from_secs(7);
/// So long the fault lasts once its alert has fired, to be seen in the picture.
const FAULT: Duration = Duration::from_secs(4);
/// What the picture shows.
const GRAPHS: [&str; 3] = [
    "sum by (outcome, tier) (rate(linkr_edge_requests_total[5s])) > 0",
    "linkr_edge_staleness_seconds",
    "ALERTS{alertstate=\"firing\"}",
];

/// Runs it with the programs in `programs`; pictures and the report of the load go to `out`.
pub fn run(programs: &Path, out: &Path) -> Result<(), String> {
    fs::create_dir_all(out).map_err(in_words)?;
    let (programs, out) = (programs.canonicalize().map_err(in_words)?, out.canonicalize().map_err(in_words)?);
    let folder = Folder::new("demo", None).map_err(in_words)?;
    let mut demo = Demo::start(&programs, folder.path())?;
    demo.import()?;
    let (prometheus, _server) =
        watch(folder.path(), demo.control.address("admin").map_err(in_words)?, demo.admin)?;
    demo.tell(&format!(
        "Prometheus watches both at http://{prometheus}, with the alerts at {PACE} times their pace"
    ));
    let load = demo.visit(&programs, &out)?;
    std::thread::sleep(CALM);
    demo.hang(prometheus)?;
    demo.upgrade()?;
    demo.count(load, &out)?;
    demo.draw(prometheus, &out)?;
    demo.tell(&format!("pictures and the report of the load: {}", out.display()));
    Ok(())
}

/// A control and an edge, and what happened to them.
struct Demo<'a> {
    began: Instant,
    linkr: PathBuf,
    dir: &'a Path,
    control: Process,
    api: String,
    edge: Process,
    /// Where redirects are answered.
    at: SocketAddr,
    admin: SocketAddr,
}

impl<'a> Demo<'a> {
    fn start(programs: &Path, dir: &'a Path) -> Result<Self, String> {
        let (began, linkr) = (Instant::now(), programs.join("linkr"));
        let mut control = command(&linkr, dir);
        control.args(["control", "--store", "sqlite:linkr.db", "--insecure"]);
        control.args(["--api", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
        let control =
            Process::hear(&control, &dir.join("control.log"), &["api", "admin"]).map_err(in_words)?;
        let api = format!("http://{}", control.address("api").map_err(in_words)?);
        let edge = start_edge(&linkr, dir, &api, ["127.0.0.1:0", "127.0.0.1:0"])?;
        let at = edge.address("edge").map_err(in_words)?;
        let admin = edge.address("admin").map_err(in_words)?;
        let demo = Self { began, linkr, dir, control, api, edge, at, admin };
        demo.tell(&format!("a control and an edge run: redirects at http://{at}, pages at {}/ui", demo.api));
        Ok(demo)
    }

    fn tell(&self, text: &str) {
        println!("{:5.1} s  {text}", self.began.elapsed().as_secs_f64());
    }

    fn import(&self) -> Result<(), String> {
        let rows = (0..LINKS).map(|n| format!("c{n},https://example.com/some/target/{n}\n"));
        let file = format!("code,target\n{}", rows.collect::<String>());
        fs::write(self.dir.join("links.csv"), file).map_err(in_words)?;
        let mut import = command(&self.linkr, self.dir);
        let done = import.args(["import", "links.csv", "--server", &self.api]).output().map_err(in_words)?;
        if !done.status.success() {
            return Err(String::from_utf8_lossy(&done.stderr).into_owned());
        }
        until("all links on the edge", || answers(self.at, &format!("/c{}", LINKS - 1), "302"))?;
        self.tell(&format!("{LINKS} links were imported, and the edge has them"));
        Ok(())
    }

    /// Visitors, until everything is over.
    fn visit(&self, programs: &Path, out: &Path) -> Result<Process, String> {
        let (program, links) = (text(&programs.join("linkr-loadtest")), text(&self.dir.join("links.csv")));
        let (url, out) = (format!("http://{}", self.at), text(out));
        let words = ["--links", &links, "--rate", RATE, "--time", LOAD, "--browser", "--out", &out];
        let words = [&[&*program, "run", &url], &words[..]].concat();
        let load = Process::start(&words, &self.dir.join("load.log"), None).map_err(in_words)?;
        self.tell(&format!("visitors: {RATE} redirects a second, each answer compared"));
        Ok(load)
    }

    fn hang(&mut self, prometheus: SocketAddr) -> Result<(), String> {
        self.control.signal("STOP").map_err(in_words)?;
        self.tell("a fault: control hangs");
        until(ALERT, || fires(prometheus, ALERT))?;
        let page = format!("docs/runbook.md#{}", ALERT.to_lowercase());
        self.tell(&format!("the alert: {ALERT} fires ({page}). The edge redirects on, from memory"));
        std::thread::sleep(FAULT);
        self.control.signal("CONT").map_err(in_words)?;
        until("the end of the alert", || !fires(prometheus, ALERT))?;
        self.tell("control is back, and the alert has ended");
        Ok(())
    }

    fn upgrade(&mut self) -> Result<(), String> {
        let (at, admin) = (self.at.to_string(), self.admin.to_string());
        let next = start_edge(&self.linkr, self.dir, &self.api, [&at, &admin])?;
        self.tell(&format!("an upgrade: process {} goes on in the place of {}", next.id(), self.edge.id()));
        let first = &mut self.edge;
        until("the end of the first process", || first.exited().is_some_and(|status| status.success()))?;
        self.edge = next;
        self.tell("the first process has answered its last request, and ended");
        Ok(())
    }

    fn count(&self, mut load: Process, out: &Path) -> Result<(), String> {
        let loaded = load.wait();
        let report = fs::read(out.join("report.json")).map_err(in_words)?;
        let report: serde_json::Value = serde_json::from_slice(&report).map_err(in_words)?;
        let (all, right) = (&report["warm"]["requests"], &report["warm"]["right"]);
        if all != right || !loaded {
            return Err(format!(
                "{right} of {all} requests were answered right: {}",
                report["warm"]["fates"]
            ));
        }
        self.tell(&format!("{right} of {all} requests were answered right, over the fault and the upgrade"));
        Ok(())
    }

    fn draw(&self, prometheus: SocketAddr, out: &Path) -> Result<(), String> {
        let graphs = GRAPHS.iter().enumerate().map(|(number, expr)| {
            format!("g{number}.expr={}&g{number}.tab=0&g{number}.range_input=1m&", escaped(expr))
        });
        let graphs = format!("http://{prometheus}/graph?{}", graphs.collect::<String>());
        picture(&graphs, "1200,2150", &out.join("prometheus.png"))?;
        picture(&format!("{}/ui/clicks", self.api), "1200,1200", &out.join("page.png"))
    }
}

/// An edge that goes on in the place of the one that runs there, if one does. `places`: for redirects, and for its admin
/// listener.
fn start_edge(linkr: &Path, dir: &Path, api: &str, places: [&str; 2]) -> Result<Process, String> {
    let mut edge = command(linkr, dir);
    edge.args(["edge", "--upgrade", "--name", "demo", "--control", api, "--snapshot", "edge.snapshot"]);
    edge.args(["--workers", "1", "--unpinned", "--listen", places[0], "--admin", places[1]]);
    Process::hear(&edge, &dir.join("edge.log"), &["edge", "admin"]).map_err(in_words)
}

fn in_words(fault: impl std::fmt::Display) -> String {
    fault.to_string()
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// A Prometheus that scrapes both halves twice a second.
fn watch(dir: &Path, control: SocketAddr, edge: SocketAddr) -> Result<(SocketAddr, Process), String> {
    let config = format!(
        "global: {{scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 500ms}}\n\
         rule_files: [rules.yml]\n\
         scrape_configs:\n\
         - {{job_name: linkr-control, static_configs: [{{targets: ['{control}']}}]}}\n\
         - {{job_name: linkr-edge, static_configs: [{{targets: ['{edge}']}}]}}\n"
    );
    let written = fs::write(dir.join("rules.yml"), dashboards::rules(Pace::times(PACE)));
    written.and_then(|()| fs::write(dir.join("prometheus.yml"), config)).map_err(in_words)?;
    let (server, port) = (program("prometheus", &[]).map_err(in_words)?, free_port().map_err(in_words)?);
    let words = [
        text(&server),
        format!("--config.file={}", dir.join("prometheus.yml").display()),
        format!("--storage.tsdb.path={}", dir.join("tsdb").display()),
        format!("--web.listen-address=127.0.0.1:{port}"),
    ];
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let process = Process::start(&words, &dir.join("prometheus.log"), None).map_err(in_words)?;
    let at = SocketAddr::from(([127, 0, 0, 1], port));
    until("Prometheus", || answers(at, "/-/ready", "200"))?;
    Ok((at, process))
}

/// Polls until it is so.
fn until(what: &str, mut is_so: impl FnMut() -> bool) -> Result<(), String> {
    let began = Instant::now();
    while !is_so() {
        if began.elapsed() > PATIENCE {
            return Err(format!("waited {PATIENCE:?} in vain for: {what}"));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// What a server answers to a plain request.
fn get(at: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&at, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn answers(at: SocketAddr, path: &str, status: &str) -> bool {
    get(at, path).is_ok_and(|answer| answer.split(' ').nth(1) == Some(status))
}

fn fires(prometheus: SocketAddr, alert: &str) -> bool {
    let query = escaped(&format!("ALERTS{{alertstate=\"firing\",alertname=\"{alert}\"}}"));
    get(prometheus, &format!("/api/v1/query?query={query}")).is_ok_and(|answer| answer.contains("\"value\""))
}

/// As it stands in an address.
fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// What a page looks like in a browser.
fn picture(url: &str, size: &str, file: &Path) -> Result<(), String> {
    let mut browser = command(program("chromium", &[]).map_err(in_words)?, Path::new("/"));
    browser.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--virtual-time-budget=4000",
    ]);
    browser.args([format!("--window-size={size}"), format!("--screenshot={}", file.display())]);
    let done = browser.arg(url).output().map_err(in_words)?;
    if file.exists() { Ok(()) } else { Err(String::from_utf8_lossy(&done.stderr).into_owned()) }
}
