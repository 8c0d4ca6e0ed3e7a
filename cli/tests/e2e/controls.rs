//! Two controls on one PostgreSQL, restarted one after the other: what their clients meet.

use crate::rolling::program;
use crate::stores::Store;
use crate::support::{Connection, Dir, FREE_PORTS, LINKR, Linkr, command, skip, text, until};
use proto::v1;
use proto::v1::links_client::LinksClient;
use services::{Process, free_port};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

/// A client that may try again does so this often, after a pause, at the other control.
const TRIES: usize = 20;
const PAUSE: Duration = Duration::from_millis(100);
/// Longer than the balancer takes to notice: two checks.
const DELAY: &str = "800ms";
const CHECKS: &str = "inter 100ms fall 2 rise 2";

/// A store and its two controls.
struct Controls {
    store: String,
    dirs: [Dir; 2],
    running: [Linkr; 2],
}

fn control(dir: &Dir, store: &str, ports: [&str; 4]) -> Linkr {
    let mut control = command(LINKR, dir.path());
    control.args(["control", "--store", store, "--drain-delay", DELAY, "--drain-timeout", "2s"]).args(ports);
    let control = Linkr::start(control, dir, &["store", "api", "admin"]);
    until("it to be ready", || {
        (Connection::to(control.admin()).ask("GET", "/readyz").status == 200).then_some(())
    });
    control
}

impl Controls {
    fn start(store: String) -> Self {
        let dirs = [Dir::new(), Dir::new()];
        let running = dirs.each_ref().map(|dir| control(dir, &store, FREE_PORTS));
        Self { store, dirs, running }
    }

    fn apis(&self) -> [SocketAddr; 2] {
        self.running.each_ref().map(Linkr::api)
    }

    /// As a supervisor does it: a signal, the end, and the same again.
    fn restart(&mut self, at: usize) {
        let old = &mut self.running[at];
        let (api, admin) = (old.api().to_string(), old.admin().to_string());
        old.ask_to_stop();
        assert_eq!(old.exited().code(), Some(0), "{}", old.stderr());
        assert!(!old.stderr().contains("cut"), "{}", old.stderr());
        *old = control(&self.dirs[at], &self.store, ["--api", &api, "--admin", &admin]);
    }
}

/// What clients did, and what came of it.
#[derive(Default)]
struct Tally {
    next: AtomicUsize,
    /// Codes by the target that was acknowledged.
    made: Mutex<BTreeMap<String, String>>,
    /// Tries that came to nothing, and calls of which all did.
    repeated: AtomicUsize,
    failed: Mutex<Vec<String>>,
    end: AtomicBool,
}

/// What a try came to, if it is to be repeated.
type Tried = Result<(), String>;

impl Tally {
    /// Creates links until the end; each call is repeated with the same id, at the other control, while it finds nobody.
    fn create(&self, kind: &str, mut ask: impl FnMut(usize, &str, &str) -> Tried) {
        while !self.end.load(Ordering::Relaxed) {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let (code, target) = (format!("c{number}"), format!("https://example.com/{kind}/{number}"));
            let mut said = String::new();
            let done = (0..TRIES).any(|attempt| match ask(attempt, &code, &target) {
                Ok(()) => true,
                Err(why) => {
                    self.repeated.fetch_add(1, Ordering::Relaxed);
                    said = why;
                    std::thread::sleep(PAUSE);
                    false
                }
            });
            if done {
                self.made.lock().unwrap().insert(code, target);
            } else {
                self.failed.lock().unwrap().push(format!("{kind} {code}: {said}"));
            }
        }
    }

    fn made(&self) -> usize {
        self.made.lock().unwrap().len()
    }

    fn until_more(&self) {
        let from = self.made();
        until("calls", || (self.made() >= from + 100).then_some(()));
    }
}

fn by_rest(
    apis: [SocketAddr; 2],
    held: &mut Option<Connection>,
    attempt: usize,
    code: &str,
    target: &str,
) -> Tried {
    let mut connection = match held.take() {
        Some(connection) if attempt == 0 => connection,
        _ => Connection::over(
            std::net::TcpStream::connect(apis[attempt % 2]).map_err(|fault| fault.to_string())?,
        ),
    };
    let body = format!("{{\"code\":\"{code}\",\"target\":\"{target}\"}}");
    let answer = connection.call_with("POST", "/v1/links", &[("Idempotency-Key", code)], &body);
    match answer {
        Ok(Some(answer)) if answer.status == 201 => {
            *held = (answer.field("connection") != Some("close")).then_some(connection);
            Ok(())
        }
        Ok(Some(answer)) if answer.status == 503 => Err(answer.body),
        Ok(Some(answer)) => panic!("{answer:?}"), // to be repeated is what says so, and nothing else
        Ok(None) => Err("closed without an answer".to_owned()),
        Err(fault) => Err(fault.to_string()),
    }
}

fn by_grpc(runtime: &tokio::runtime::Runtime, way: &Channel, code: &str, target: &str) -> Tried {
    let link = v1::Link { target: target.to_owned(), ..v1::Link::default() };
    let request = v1::CreateLinkRequest {
        link_id: code.to_owned(),
        link: Some(link),
        request_id: code.to_owned(),
        ..v1::CreateLinkRequest::default()
    };
    match runtime.block_on(LinksClient::new(way.clone()).create_link(request)) {
        Ok(_) => Ok(()),
        Err(status) if status.code() == Code::Unavailable => Err(status.to_string()),
        // The connection ended under the call: tonic has no code of its own for that.
        Err(status) if std::error::Error::source(&status).is_some() => Err(status.to_string()),
        Err(status) => panic!("{status:?}"),
    }
}

/// Every link that was acknowledged is there, once, as it was written: a repeated call was not made twice.
fn all_are_there(dir: &Dir, control: &Linkr, seen: &Tally) {
    let mut found = BTreeMap::new();
    for line in control.ok(dir, &["export", "--format", "jsonl"]).lines() {
        let link: serde_json::Value = serde_json::from_str(line).unwrap();
        let field = |name: &str| link[name].as_str().unwrap_or_else(|| panic!("{line}")).to_owned();
        assert!(found.insert(field("code"), field("target")).is_none(), "{line}");
    }
    assert_eq!(found, *seen.made.lock().unwrap());
}

pub fn a_rolling_restart_of_controls_fails_no_call_of_clients_that_may_try_again() {
    let name = "a_rolling_restart_of_controls_fails_no_call_of_clients_that_may_try_again";
    let Some(store) = Store::postgres(name) else { return };
    let mut controls = Controls::start(store.empty("linkr"));
    let (apis, seen) = (controls.apis(), Tally::default());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut held = None;
                seen.create("rest", |attempt, code, target| by_rest(apis, &mut held, attempt, code, target));
            });
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                let _entered = runtime.enter();
                let ways =
                    apis.map(|api| Endpoint::from_shared(format!("http://{api}")).unwrap().connect_lazy());
                seen.create("grpc", |attempt, code, target| {
                    by_grpc(&runtime, &ways[attempt % 2], code, target)
                });
            });
        }
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for at in [0, 1, 0, 1] {
                seen.until_more();
                controls.restart(at);
            }
            seen.until_more();
        }));
        seen.end.store(true, Ordering::Relaxed);
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    let (made, repeated) = (seen.made(), seen.repeated.load(Ordering::Relaxed));
    let failed = seen.failed.lock().unwrap();
    eprintln!("{name}: {made} calls, {} failed, {repeated} tries were repeated", failed.len());
    assert!(failed.is_empty(), "{:?}", &failed[..failed.len().min(5)]);
    all_are_there(&controls.dirs[0], &controls.running[0], &seen);
}

/// The CLI asks once. Behind a balancer that asks for health it need not know of a restart.
pub fn a_rolling_restart_of_controls_behind_a_balancer_fails_no_command() {
    let name = "a_rolling_restart_of_controls_behind_a_balancer_fails_no_command";
    let Some(haproxy) = program("haproxy") else { return skip(name, "no haproxy") };
    let Some(store) = Store::postgres(name) else { return };
    let dir = Dir::new();
    let mut controls = Controls::start(store.empty("linkr"));
    let balancer: SocketAddr = ([127, 0, 0, 1], free_port().unwrap()).into();
    let servers = controls.running.each_ref().map(|control| {
        let (api, port) = (control.api(), control.admin().port());
        format!("  server control-{port} {api} check port {port} {CHECKS}\n")
    });
    let config = dir.write(
        "haproxy.cfg",
        format!(
            "defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 30s\n  timeout server 30s\n  retries 0\n\
             listen api\n  bind {balancer}\n  balance roundrobin\n  option httpchk GET /readyz\n{}",
            servers.concat()
        ),
    );
    let words = [haproxy.as_str(), "-db", "-f", &config];
    let _balancer = Process::start(&words, &dir.path().join("haproxy.log"), None).unwrap();
    let server = format!("http://{balancer}");
    let linkr = |words: &[&str]| {
        let mut linkr = command(LINKR, dir.path());
        let done = linkr.args(words).args(["--server", &server]).output().unwrap();
        if done.status.success() { Ok(()) } else { Err(text(&done.stderr)) }
    };
    until("the balancer to find a control", || linkr(&["link", "list"]).ok());
    let seen = Tally::default();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                seen.create("cli", |_, code, target| {
                    let asked = linkr(&["link", "create", target, "--code", code]);
                    let failed = asked.err().map(|why| format!("{code}: {why}"));
                    seen.failed.lock().unwrap().extend(failed);
                    Ok(())
                });
            });
        }
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for at in [0, 1] {
                let from = seen.made();
                until("commands", || (seen.made() >= from + 10).then_some(()));
                controls.restart(at);
            }
        }));
        seen.end.store(true, Ordering::Relaxed);
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    let failed = seen.failed.lock().unwrap();
    eprintln!("{name}: {} commands, {} failed", seen.made(), failed.len());
    assert!(failed.is_empty(), "{failed:?}");
    all_are_there(&dir, &controls.running[0], &seen);
}
