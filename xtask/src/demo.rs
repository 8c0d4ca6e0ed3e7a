//! `make demo`: a minute from the built binary to a dashboard. Real visitors, a fault and its alert, an upgrade under load; what
//! came of each step is counted, and a step that did not come out ends it.

use dashboards::Pace;
use services::{Folder, Process, command, free_port, program};
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

const LINKS: usize = 10_000;
/// Requests a second.
const RATE: &str = "1000";
/// Seconds of load: until all steps are done.
const LOAD: &str = "36";
/// A window of five minutes is five seconds.
const PACE: u64 = 60;
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

/// Where it has come to, and since when.
struct Story(Instant);

impl Story {
    fn tell(&self, text: &str) {
        println!("{:5.1} s  {text}", self.0.elapsed().as_secs_f64());
    }
}

/// Runs it with the programs in `programs`; pictures and the report of the load go to `out`.
pub fn run(programs: &Path, out: &Path) -> Result<(), String> {
    let story = Story(Instant::now());
    let said = |fault: services::ServerFault| fault.to_string();
    let cannot = |fault: std::io::Error| fault.to_string();
    fs::create_dir_all(out).map_err(cannot)?;
    let (programs, out) = (programs.canonicalize().map_err(cannot)?, out.canonicalize().map_err(cannot)?);
    let (linkr, folder) = (programs.join("linkr"), Folder::new("demo", None).map_err(said)?);
    let dir = folder.path();

    let mut control = command(&linkr, dir);
    control.args(["control", "--store", "sqlite:linkr.db", "--insecure"]);
    control.args(["--api", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    let mut control = Process::hear(&control, &dir.join("control.log"), &["api", "admin"]).map_err(said)?;
    let api = format!("http://{}", control.address("api").map_err(said)?);
    let edge = |listen: &str, admin: &str| {
        let mut edge = command(&linkr, dir);
        edge.args(["edge", "--upgrade", "--name", "demo", "--control", &api, "--snapshot", "edge.snapshot"]);
        edge.args(["--workers", "1", "--unpinned", "--listen", listen, "--admin", admin]);
        Process::hear(&edge, &dir.join("edge.log"), &["edge", "admin"])
    };
    let mut first = edge("127.0.0.1:0", "127.0.0.1:0").map_err(said)?;
    let at = first.address("edge").map_err(said)?;
    let admin = first.address("admin").map_err(said)?;
    story.tell(&format!("a control and an edge run: redirects at http://{at}, pages at {api}/ui"));

    let rows = (0..LINKS).map(|n| format!("c{n},https://example.com/some/target/{n}\n"));
    let links = dir.join("links.csv");
    fs::write(&links, format!("code,target\n{}", rows.collect::<String>())).map_err(cannot)?;
    let mut import = command(&linkr, dir);
    let imported = import.args(["import", "links.csv", "--server", &api]).output().map_err(cannot)?;
    if !imported.status.success() {
        return Err(String::from_utf8_lossy(&imported.stderr).into_owned());
    }
    until("all links on the edge", || answers(at, &format!("/c{}", LINKS - 1), "302"))?;
    story.tell(&format!("{LINKS} links were imported, and the edge has them"));

    let (prometheus, _server) = watch(dir, control.address("admin").map_err(said)?, admin)?;
    story.tell(&format!(
        "Prometheus watches both at http://{prometheus}, with the alerts at {PACE} times their pace"
    ));

    let words =
        [&*text(&programs.join("linkr-loadtest")), "run", &format!("http://{at}"), "--links", &text(&links)];
    let report = text(&out);
    let words = [&words[..], &["--rate", RATE, "--time", LOAD, "--browser", "--out", &report]].concat();
    let mut load = Process::start(&words, &dir.join("load.log"), None).map_err(said)?;
    story.tell(&format!("visitors: {RATE} redirects a second, each answer compared"));
    std::thread::sleep(CALM);

    let alert = "LinkrEdgeBlind";
    control.signal("STOP").map_err(said)?;
    story.tell("a fault: control hangs");
    until(alert, || fires(prometheus, alert))?;
    story.tell(&format!("the alert: {alert} fires ({}). The edge redirects on, from memory", runbook(alert)));
    std::thread::sleep(FAULT);
    control.signal("CONT").map_err(said)?;
    until("the end of the alert", || !fires(prometheus, alert))?;
    story.tell("control is back, and the alert has ended");

    let second = edge(&at.to_string(), &admin.to_string()).map_err(said)?;
    story.tell(&format!("an upgrade: process {} goes on in the place of {}", second.id(), first.id()));
    until("the end of the first process", || first.exited().is_some_and(|status| status.success()))?;
    story.tell("the first process has answered its last request, and ended");

    let loaded = load.wait();
    let report: serde_json::Value = fs::read(out.join("report.json"))
        .map_err(cannot)
        .and_then(|bytes| serde_json::from_slice(&bytes).map_err(|fault| fault.to_string()))?;
    let (all, right) = (&report["warm"]["requests"], &report["warm"]["right"]);
    if all != right || !loaded {
        return Err(format!("{right} of {all} requests were answered right: {}", report["warm"]["fates"]));
    }
    story.tell(&format!("{right} of {all} requests were answered right, over the fault and the upgrade"));

    let graphs = GRAPHS.iter().enumerate().map(|(number, expr)| {
        format!("g{number}.expr={}&g{number}.tab=0&g{number}.range_input=1m&", escaped(expr))
    });
    picture(
        &format!("http://{prometheus}/graph?{}", graphs.collect::<String>()),
        "1200,2150",
        &out.join("prometheus.png"),
    )?;
    picture(&format!("{api}/ui/clicks"), "1200,1200", &out.join("page.png"))?;
    story.tell(&format!("pictures and the report of the load: {}", out.display()));
    Ok(())
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
    written
        .and_then(|()| fs::write(dir.join("prometheus.yml"), config))
        .map_err(|fault| fault.to_string())?;
    let said = |fault: services::ServerFault| fault.to_string();
    let (server, port) = (program("prometheus", &[]).map_err(said)?, free_port().map_err(said)?);
    let words = [
        text(&server),
        format!("--config.file={}", dir.join("prometheus.yml").display()),
        format!("--storage.tsdb.path={}", dir.join("tsdb").display()),
        format!("--web.listen-address=127.0.0.1:{port}"),
    ];
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let process = Process::start(&words, &dir.join("prometheus.log"), None).map_err(said)?;
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

/// Where the runbook says what to do.
fn runbook(alert: &str) -> String {
    format!("docs/runbook.md#{}", alert.to_lowercase())
}

/// As it stands in an address.
fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// What a page looks like in a browser.
fn picture(url: &str, size: &str, file: &Path) -> Result<(), String> {
    let mut browser = command(program("chromium", &[]).map_err(|fault| fault.to_string())?, Path::new("/"));
    browser.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--virtual-time-budget=4000",
    ]);
    browser.args([format!("--window-size={size}"), format!("--screenshot={}", file.display())]);
    let done = browser.arg(url).output().map_err(|fault| fault.to_string())?;
    if file.exists() { Ok(()) } else { Err(String::from_utf8_lossy(&done.stderr).into_owned()) }
}
