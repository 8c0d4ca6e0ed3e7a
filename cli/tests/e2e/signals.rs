//! Each fault of the table in docs/reliability.md, made with real processes: what the log and the metrics say is what stands
//! there, and nothing else.

#[path = "signals/certificates.rs"]
pub mod certificates;
#[path = "signals/clock.rs"]
pub mod clock;
#[path = "signals/stores.rs"]
mod stores;

use crate::support::{
    Connection, Dir, FREE_PORTS, LINKR, Linkr, PATIENCE, beside_others, command, skip, text, until, workspace,
};
use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

/// A row of the table.
struct Row {
    /// Events, with a reason if there is one: while the fault lasts, and when it is over.
    lines: [Vec<(String, Option<String>)>; 2],
    /// Series, and what they come to while it lasts.
    metrics: Vec<(String, char, f64)>,
}

/// What stands in backticks.
fn quoted(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn rows() -> Vec<(String, Row)> {
    let text = std::fs::read_to_string(workspace().join("docs/reliability.md")).unwrap();
    let table = text.split_once("## Every fault tells of itself").expect("the section").1;
    let lines = table.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
    let row = |line: &str| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').collect();
        let [fault, lines, metrics] = cells.try_into().unwrap_or_else(|_| panic!("{line}"));
        let event = |text: String| match text.split_once('(') {
            Some((event, reason)) => (event.to_owned(), Some(reason.trim_end_matches(')').to_owned())),
            None => (text, None),
        };
        let (first, then) = lines.split_once("; then").unwrap_or((lines, ""));
        let lines = [first, then].map(|part| quoted(part).into_iter().map(event).collect());
        let metric = |text: String| {
            let at = text.rfind(['=', '>']).unwrap_or_else(|| panic!("{text}"));
            (text[..at].to_owned(), text.as_bytes()[at] as char, text[at + 1..].parse().unwrap())
        };
        let metrics = quoted(metrics).into_iter().map(metric).collect();
        (quoted(fault).remove(0), Row { lines, metrics })
    };
    lines.take_while(|line| line.starts_with('|')).map(row).collect()
}

/// A server whose log is read while a fault is made.
struct Scene<'a> {
    server: &'a Linkr,
    row: Row,
    /// Lines that were there before.
    before: usize,
}

fn logged(server: &Linkr) -> Vec<serde_json::Value> {
    server.stderr().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

impl<'a> Scene<'a> {
    /// From now on, everything that it says counts.
    fn of(server: &'a Linkr, fault: &str) -> Self {
        Self { before: logged(server).len(), ..Self::from_its_start(server, fault) }
    }

    fn from_its_start(server: &'a Linkr, fault: &str) -> Self {
        let row =
            rows().into_iter().find(|(name, _)| name == fault).unwrap_or_else(|| panic!("no row: {fault}"));
        Self { server, row: row.1, before: 0 }
    }

    fn said(&self) -> Vec<serde_json::Value> {
        logged(self.server).split_off(self.before)
    }

    fn wait_for(&self, part: usize) {
        for (event, reason) in &self.row.lines[part] {
            let is_it = |line: &serde_json::Value| {
                line["event"] == **event && reason.as_ref().is_none_or(|reason| line["reason"] == **reason)
            };
            let began = Instant::now();
            while !self.said().iter().any(is_it) {
                assert!(began.elapsed() < PATIENCE, "no {event} {reason:?} in {:#?}", self.said());
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }

    /// While the fault lasts: its lines are there, and the metrics show it.
    fn lasts(&self) {
        self.wait_for(0);
        for (series, how, want) in &self.row.metrics {
            until(&format!("{series}{how}{want}"), || {
                let value = self.server.metric(series)?;
                let holds = if *how == '=' { value == *want } else { value > *want };
                holds.then_some(())
            });
        }
    }

    /// It is over: so the lines say, and there was no other warning or error.
    fn is_over(&self) {
        self.wait_for(1);
        let mut known: BTreeSet<&str> =
            self.row.lines.iter().flatten().map(|(event, _)| event.as_str()).collect();
        if known.contains("store_unreadable") {
            known.insert("clicks_store_unusable"); // where clicks are written or folded meanwhile
        }
        for line in self.said() {
            let bad = line["level"] == "warn" || line["level"] == "error";
            let event = line["event"].as_str().unwrap();
            assert!(!bad || known.contains(event), "not in the table: {line}");
            let line = line.to_string();
            assert!(
                !["Some(", "None", "Status {", "Error {"].iter().any(|rust| line.contains(rust)),
                "{line}"
            );
        }
    }
}

const NOWHERE: &str = "127.0.0.1:0";

fn json(mut command: Command) -> Command {
    command.env("LINKR_LOG_FORMAT", "json");
    command
}

fn control_with(dir: &Dir, words: &[&str], api: SocketAddr) -> Linkr {
    let mut control = json(command(LINKR, dir.path()));
    control.args(["control", "--api", &api.to_string(), "--admin", NOWHERE]).args(words);
    Linkr::start(control, dir, &["store", "api", "admin"])
}

fn control(dir: &Dir, words: &[&str]) -> Linkr {
    control_with(dir, words, NOWHERE.parse().unwrap())
}

fn edge(dir: &Dir, control: &str, words: &[&str]) -> Linkr {
    edge_as(command(LINKR, dir.path()), dir, control, words)
}

fn edge_as(edge: Command, dir: &Dir, control: &str, words: &[&str]) -> Linkr {
    let mut edge = json(edge);
    edge.args(["edge", "--control", control, "--workers", "1", "--unpinned"]);
    edge.args(["--listen", NOWHERE, "--admin", NOWHERE]).args(words);
    Linkr::start(edge, dir, &["edge", "admin"])
}

fn ready(server: &Linkr, target: &str) -> (u16, String) {
    let answer = Connection::to(server.admin()).ask("GET", target);
    (answer.status, answer.body)
}

fn wait_ready(server: &Linkr) {
    until("it to be ready", || (ready(server, "/readyz").0 == 200).then_some(()));
}

fn linkr(dir: &Dir, words: &[&str]) -> String {
    let done = command(LINKR, dir.path()).args(words).output().unwrap();
    assert!(done.status.success(), "{words:?}: {}", text(&done.stderr));
    text(&done.stdout).trim().to_owned()
}

#[test]
fn every_fault_of_the_table_is_made() {
    let own = [
        include_str!("signals.rs"),
        include_str!("signals/certificates.rs"),
        include_str!("signals/clock.rs"),
        include_str!("signals/stores.rs"),
    ];
    for (fault, row) in rows() {
        let quoted = format!("\"{fault}\"");
        assert!(own.iter().any(|file| file.contains(&quoted)), "{fault} is not made here");
        assert!(!row.lines[0].is_empty() || !row.metrics.is_empty(), "{fault} tells nothing");
    }
}

#[test]
fn control_goes_and_comes_back() {
    let _turn = beside_others();
    let (dir, own) = (Dir::new(), Dir::new());
    let mut first = control(&dir, &[]);
    let api = first.api();
    let edge = edge(&own, &format!("http://{api}"), &[]);
    wait_ready(&edge);
    until("it to see", || edge.metric("linkr_edge_staleness_seconds").filter(|stale| *stale < 1.0));
    let scene = Scene::of(&edge, "control gone");
    // One that is stopping lets nobody in, and is not said to be found.
    first.ask_to_stop();
    assert!(first.exited().success());
    scene.lasts();
    assert!(scene.said().iter().all(|line| line["event"] != "control_found"), "{:#?}", scene.said());
    let (status, said) = ready(&edge, "/readyz");
    assert!(
        status == 200 && said.starts_with("ok\nblind: "),
        "a blind edge stays ready, and says so: {said}"
    );
    let second = control_with(&dir, &[], api);
    let begun = Scene::from_its_start(&second, "history begun");
    begun.lasts();
    begun.is_over();
    scene.is_over();
}

/// An edge that cannot follow from its start on.
fn cannot_follow(fault: &str, url: &str, words: &[&str], own: &Dir) {
    let edge = edge(own, url, words);
    let scene = Scene::from_its_start(&edge, fault);
    scene.lasts();
    assert_eq!(ready(&edge, "/readyz").0, 503);
    scene.is_over();
}

#[test]
fn why_control_cannot_be_followed() {
    let _turn = beside_others();
    let (dir, own) = (Dir::new(), Dir::new());
    linkr(&dir, &["certs", "certs", "--host", "localhost"]);
    linkr(&own, &["certs", "other", "--host", "localhost"]);
    let authority = dir.file("certs/ca.pem");
    let tls = ["--api-tls-cert", "certs/server.pem", "--api-tls-key", "certs/server.key"];
    let server = control(&dir, &tls);
    let port = server.api().port();
    let named = format!("https://localhost:{port}");
    let numbered = format!("https://127.0.0.1:{port}");
    cannot_follow("unknown authority", &named, &["--control-ca", "other/ca.pem"], &own);
    let own = Dir::new();
    cannot_follow("wrong name", &numbered, &["--control-ca", &authority], &own);
    let own = Dir::new();
    cannot_follow("http to a TLS port", &format!("http://127.0.0.1:{port}"), &[], &own);
    let (plain, own) = (Dir::new(), Dir::new());
    let plain = control(&plain, &[]);
    let url = format!("https://127.0.0.1:{}", plain.api().port());
    cannot_follow("TLS to a plain port", &url, &["--control-ca", &authority], &own);
    let own = Dir::new();
    cannot_follow("no such name", "http://no-such-host.invalid:8081", &[], &own);
}

#[test]
fn keys_that_are_refused() {
    let _turn = beside_others();
    let (dir, own) = (Dir::new(), Dir::new());
    let key = linkr(&dir, &["control", "--store", "sqlite:linkr.db", "mint-key", "--name", "root"]);
    let mut server = json(command(LINKR, dir.path()));
    server.args(["control", "--store", "sqlite:linkr.db"]).args(FREE_PORTS).env("LINKR_INSECURE", "false");
    let server = Linkr::start(server, &dir, &["api", "admin"]);
    let url = format!("http://{}", server.api());
    let file = own.write("key", &key); // on the command line it is told of
    cannot_follow("wrong key", &url, &["--control-key-file", &file], &own);
    let asking = |words: &[&str]| linkr(&dir, &[words, &["--server", &url, "--key", &key]].concat());
    let feed = asking(&["keys", "create", "edges", "--scopes", "feed", "--edge", "one"]);
    let own = Dir::new();
    let edge = edge(&own, &url, &["--name", "one", "--control-key", feed.lines().last().unwrap()]);
    wait_ready(&edge);
    let scene = Scene::of(&edge, "key revoked");
    let listed = asking(&["keys", "list"]);
    let id = listed.lines().find(|line| line.contains(" edges ")).unwrap().split(' ').next().unwrap();
    asking(&["keys", "revoke", id]);
    scene.lasts();
    scene.is_over();
    drop(edge);
    let scene = Scene::of(&server, "rate limit hit");
    for _ in 0..300 {
        let refused = Connection::to(server.api()).call("GET", "/v1/links", "").unwrap().unwrap();
        assert!([401, 429].contains(&refused.status));
    }
    scene.lasts();
    scene.is_over();
}

#[test]
fn a_snapshot_that_cannot_be_used() {
    let _turn = beside_others();
    let (dir, own) = (Dir::new(), Dir::new());
    let server = control(&dir, &[]);
    let url = format!("http://{}", server.api());
    own.write("snapshot", "this is no snapshot");
    let edge = edge(&own, &url, &["--snapshot", "snapshot"]);
    let scene = Scene::from_its_start(&edge, "snapshot unreadable");
    scene.lasts();
    scene.is_over();
    wait_ready(&edge);
}

#[test]
fn redis_goes_and_comes_back() {
    let _turn = beside_others();
    let mut redis = match services::Redis::start(&["maxmemory-policy allkeys-lru"]) {
        Err(fault @ services::ServerFault::Missing(_)) => return skip("signals", &fault.to_string()),
        redis => redis.unwrap(),
    };
    let (dir, own) = (Dir::new(), Dir::new());
    let server = control(&dir, &["--redis", redis.url()]);
    let scene = Scene::from_its_start(&server, "Redis with another policy");
    scene.lasts();
    scene.is_over();
    until("the copy", || server.metric("linkr_redis_shards_connected").filter(|shards| *shards == 1.0));
    let edge = edge(&own, &format!("http://{}", server.api()), &["--redis", redis.url()]);
    until("Redis to be asked", || edge.metric("linkr_redis_up").filter(|up| *up == 1.0));
    let scenes = [Scene::of(&server, "Redis down, control"), Scene::of(&edge, "Redis down, edge")];
    redis.kill().unwrap();
    server.ok(&dir, &["link", "create", "https://example.com/x"]);
    scenes.iter().for_each(Scene::lasts);
    redis.start_again().unwrap();
    scenes.iter().for_each(Scene::is_over);

    redis.cli(&["ACL", "SETUSER", "poor", "on", ">hunter2", "~*", "+ping", "+client"]).unwrap();
    let at = redis.url().strip_prefix("redis://").unwrap().to_owned();
    let dir = Dir::new();
    let file = dir.write("redis", format!("redis://poor:hunter2@{at}"));
    let server = control(&dir, &["--redis-file", &file]);
    let scene = Scene::from_its_start(&server, "Redis without rights");
    scene.lasts();
    scene.is_over();
    assert!(!server.stderr().contains("hunter2"));
}

#[test]
fn descriptors_are_used_up() {
    let _turn = beside_others();
    let (dir, own) = (Dir::new(), Dir::new());
    let server = control(&dir, &[]);
    let mut shell = json(command("sh", own.path()));
    shell.args(["-c", "ulimit -n 160; exec \"$0\" \"$@\"", LINKR]);
    shell.args(["edge", "--control", &format!("http://{}", server.api()), "--workers", "1", "--unpinned"]);
    shell.args(["--listen", NOWHERE, "--admin", NOWHERE]);
    let edge = Linkr::start(shell, &own, &["edge", "admin"]);
    wait_ready(&edge);
    let scene = Scene::of(&edge, "descriptors used up");
    let strangers: Vec<_> = (0..300).map_while(|_| TcpStream::connect(edge.edge()).ok()).collect();
    scene.lasts();
    drop(strangers);
    until("a place", || (edge.get("/none").status == 404).then_some(()));
    scene.is_over();
}

#[test]
fn one_request_id_is_found_everywhere() {
    let _turn = beside_others();
    let dir = Dir::new();
    let mut up = json(command(LINKR, dir.path()));
    up.env("RUST_LOG", "info,edge::changes=debug");
    up.args(["up", "--listen", NOWHERE, "--workers", "1"]).args(FREE_PORTS).env("LINKR_INSECURE", "false");
    let server = Linkr::start(up, &dir, &["edge", "api", "admin", "then"]);
    let key = std::fs::read_to_string(dir.file("linkr-data/admin.key")).unwrap();
    let bearer = format!("Bearer {}", key.trim());
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let fields = [("Authorization", &*bearer), ("X-Request-Id", "my-own-id.7"), ("traceparent", trace)];
    let mut api = Connection::to(server.api());
    let made = api.call_with("POST", "/v1/domains", &fields, r#"{"domain":"go.example"}"#).unwrap().unwrap();
    assert_eq!(made.status, 201, "{}", made.body);
    let audit = api.call_with("GET", "/v1/audit?name=domains/go.example", &fields[..1], "").unwrap().unwrap();
    let audit: serde_json::Value = serde_json::from_str(&audit.body).unwrap();
    assert_eq!(audit["entries"][0]["request_id"], "my-own-id.7", "{audit}");
    let body = r#"{"code":"x","target":"https://example.com/"}"#;
    let answer = api.call_with("POST", "/v1/links", &fields, body).unwrap().unwrap();
    assert_eq!((answer.status, answer.field("x-request-id")), (201, Some("my-own-id.7")));
    let link: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    let revision = link["revision"].as_str().unwrap();
    let line = until("the line of the write", || {
        logged(&server).into_iter().find(|line| line["event"] == "write" && line["method"] == "CreateLink")
    });
    assert_eq!((&line["level"], &line["request_id"]), (&"info".into(), &"my-own-id.7".into()));
    assert_eq!((&line["trace_id"], &line["method"]), (&trace[3..35].into(), &"CreateLink".into()));
    assert_eq!((&line["code"], &line["revision"]), (&"OK".into(), &revision.into()));
    assert!(line["ms"].as_f64().unwrap() > 0.0 && !line["key_id"].as_str().unwrap().is_empty(), "{line}");
    assert!(!line.to_string().contains(key.trim()));
    let history = api.call_with("GET", "/v1/links/x:history", &fields[..1], "").unwrap().unwrap().body;
    let history: serde_json::Value = serde_json::from_str(&history).unwrap();
    assert_eq!(history["versions"][0]["request_id"], "my-own-id.7", "{history}");
    assert_eq!(history["versions"][0]["link"]["revision"], *revision, "{history}");
    // The edge has it by its revision: so say the answer and what is asked of it.
    let debug = until("the redirect", || {
        let mut edge = Connection::to(server.edge());
        let answer = edge.call_with("GET", "/x", &[("X-Linkr-Debug", "1")], "").unwrap().unwrap();
        (answer.status == 302).then_some(answer)
    });
    assert!(revision.ends_with(debug.field("x-linkr-revision").unwrap()), "{debug:?} {revision}");
    // And so does its log, where that is asked for.
    let applied = until("the line of the edge", || {
        logged(&server).into_iter().find(|line| line["event"] == "applied" && line["revision"] == *revision)
    });
    assert_eq!(applied["level"], "debug", "{applied}");
    // A read is told when it is asked for, and a line never holds what a stranger made of it.
    let reads = logged(&server).iter().filter(|line| line["event"] == "read").count();
    assert_eq!(reads, 0);
}
