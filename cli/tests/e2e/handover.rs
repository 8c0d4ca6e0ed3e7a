//! One process of an edge goes on in the place of another under load: no visitor notices, and every click is counted.

#[path = "handover/both.rs"]
mod both;
#[path = "handover/callers.rs"]
mod callers;
#[path = "handover/killed.rs"]
mod killed;
#[path = "handover/visitors.rs"]
mod visitors;

use crate::clicks::{counted, law, lost};
use crate::support::{
    Connection, Dir, EPOLL, FREE_PORTS, IO_URING, LINKR, Linkr, beside_others, command, skip, text, until,
};
use crate::tls::{self, Certificate};
use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;
use visitors::Visitors;

/// A control, and the folder in which processes of one edge follow each other.
struct Scene {
    control: Linkr,
    _own: Dir,
    files: Dir,
    shown: Certificate,
}

/// How one process of the edge is started.
#[derive(Clone, Copy)]
struct Start<'a> {
    workers: usize,
    driver: (&'a str, &'a str),
    listen: &'a str,
    tls: &'a str,
    admin: &'a str,
    name: &'a str,
    snapshot: &'a str,
    more: &'a [&'a str],
    upgrade: bool,
}

impl Default for Start<'_> {
    fn default() -> Self {
        let any = "127.0.0.1:0";
        let (workers, driver, snapshot) = (2, IO_URING, "edge.snapshot");
        let (listen, tls, admin, more) = (any, any, any, &[][..]);
        Self { workers, driver, listen, tls, admin, name: "far", snapshot, more, upgrade: false }
    }
}

impl Scene {
    fn new() -> Self {
        let (own, files) = (Dir::new(), Dir::new());
        let shown = Certificate::write(&files, "a", &["a.test"]);
        let mut control = command(LINKR, own.path());
        control.args(["control", "--store", "sqlite:links.db"]).args(FREE_PORTS);
        let control = Linkr::start(control, &own, &["store", "api", "admin"]);
        control.ok(&own, &["link", "create", "https://example.com/x", "--code", "x"]);
        Self { control, _own: own, files, shown }
    }

    fn command(&self, dir: &Dir, start: &Start) -> Command {
        let mut edge = command(LINKR, dir.path());
        edge.args(["edge", "--control", &format!("http://{}", self.control.api()), "--name", start.name]);
        edge.args(["--workers", &start.workers.to_string(), "--unpinned", "--drain-timeout", "5s"]);
        edge.args(["--listen", start.listen, "--admin", start.admin, "--listen-tls", start.tls]);
        edge.args(["--tls-cert", self.shown.cert(), "--tls-key", self.shown.key()]);
        edge.args(["--snapshot", &self.files.file(start.snapshot)]).args(start.more);
        edge.env(start.driver.0, start.driver.1);
        if start.upgrade {
            edge.arg("--upgrade");
        }
        edge
    }

    /// A process of the edge, and the folder that its log is in.
    fn start(&self, start: &Start) -> Process {
        let dir = Dir::new();
        let linkr = Linkr::start(self.command(&dir, start), &dir, &["edge", "tls", "admin"]);
        wait_ready(&linkr);
        Process { linkr, _dir: dir }
    }

    fn first(&self) -> Process {
        let first = self.start(&Start::default());
        assert_eq!(first.linkr.get("/x").status, 302);
        first
    }

    /// One that does not get so far: what it says.
    fn refused(&self, command: &mut Command) -> String {
        let done = command.env("LINKR_INSECURE", "true").output().unwrap();
        assert!(!done.status.success(), "{}", text(&done.stderr));
        text(&done.stderr)
    }

    /// Waits until control has counted what visitors were answered.
    fn settles(&self, answered: u64) {
        until("every click to be counted", || (counted(&self.control) >= answered).then_some(()));
        assert_eq!((counted(&self.control), lost(&self.control)), (answered, BTreeMap::new()));
    }
}

/// One that has not got all links yet hands nothing over.
fn wait_ready(edge: &Linkr) {
    let ready = || Connection::to(edge.admin()).ask("GET", "/readyz").status == 200;
    until("the edge to be ready", || ready().then_some(()));
}

struct Process {
    linkr: Linkr,
    _dir: Dir,
}

impl Process {
    /// It has handed over, and ends by itself when its last connection has ended.
    fn ends(mut self) {
        assert_eq!(self.linkr.exited().code(), Some(0), "{}", self.linkr.stderr());
        let said = self.linkr.stderr();
        assert!(said.contains("another process goes on in the place of this one"), "{said}");
        assert!(!said.contains("cut"), "{said}");
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// The same command under another program.
fn under(program: &str, words: &[&str], command: &Command) -> Command {
    let mut under = Command::new(program);
    under.args(words).arg("--").arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => under.env(name, value),
            None => under.env_remove(name),
        };
    }
    under.current_dir(command.get_current_dir().unwrap_or_else(|| std::path::Path::new(".")));
    under
}

fn hand_overs() -> usize {
    if std::env::var_os("LINKR_LONG").is_some() { 100 } else { 5 }
}

/// Visitors who never try again meet no end of any process: kept connections, new ones, TLS in full, resumed and kept, a tenth
/// of it for codes that no link has.
#[test]
fn no_visitor_notices_and_every_click_is_counted() {
    let _turn = beside_others();
    let scene = Scene::new();
    let mut edge = scene.first();
    let (listen, admin) = (edge.linkr.edge().to_string(), edge.linkr.admin().to_string());
    let tls = edge.linkr.tls().to_string();
    let visitors = Visitors::new(&scene.shown, edge.linkr.edge(), edge.linkr.tls(), edge.linkr.admin());
    let seen = visitors.during(|seen| {
        for round in 0..hand_overs() {
            seen.more(200);
            let start = Start {
                workers: [1, 3, 2][round % 3],
                driver: [EPOLL, IO_URING][round % 2],
                listen: &listen,
                tls: &tls,
                admin: &admin,
                upgrade: true,
                ..Start::default()
            };
            let heir = scene.start(&start);
            assert_eq!(heir.linkr.edge().to_string(), listen);
            seen.more(200);
            std::mem::replace(&mut edge, heir).ends();
        }
        seen.more(200);
    });
    assert_eq!(seen.failed(), Vec::<String>::new());
    assert_eq!(seen.in_full(), 1, "of those who come again, one shook hands in full, and that was the first");
    // The last one gathers what is left, and lets go of the rings of those before it.
    scene.settles(1 + seen.redirected());
    until("all to be acknowledged", || (law(&edge.linkr).pending == 0).then_some(()));
    let rings = || {
        let dir = fs::read_dir(scene.files.file("edge.snapshot.clicks")).unwrap();
        dir.filter(|file| file.as_ref().unwrap().file_name().to_str().unwrap().starts_with("ring-")).count()
    };
    until("the rings of others to be gone", || (rings() <= 3).then_some(()));
    edge.linkr.ask_to_stop();
    assert_eq!(edge.linkr.exited().code(), Some(0), "{}", edge.linkr.stderr());
}

#[test]
fn what_was_kept_and_silent_is_answered_once_more_by_the_old_process() {
    let _turn = beside_others();
    let scene = Scene::new();
    let edge = scene.first();
    let mut kept = Connection::to(edge.linkr.edge());
    let mut silent = Connection::to(edge.linkr.edge());
    for connection in [&mut kept, &mut silent] {
        assert_eq!(connection.ask("GET", "/x").status, 302);
    }
    let heir = scene.start(&Start { upgrade: true, ..Start::default() });
    assert_eq!((heir.linkr.edge(), heir.linkr.admin()), (edge.linkr.edge(), edge.linkr.admin()));
    until("the old process to leave", || {
        edge.linkr.stderr().contains("answers its last connections").then_some(())
    });
    until("the kept connection to be told", || {
        let answer = kept.ask("GET", "/x");
        assert_eq!(answer.status, 302);
        (answer.field("connection") == Some("close")).then_some(())
    });
    // The silent one is told nothing, and closed at the end of the drain.
    assert!(matches!(silent.answer(false), Ok(None)));
    edge.ends();
    assert_eq!(heir.linkr.get("/x").status, 302);
}

#[test]
fn a_socket_file_is_handed_over_and_stays() {
    let _turn = beside_others();
    let scene = Scene::new();
    let socket = scene.files.file("sock");
    let listen = format!("127.0.0.1:0,unix:{socket}");
    let edge = scene.start(&Start { listen: &listen, ..Start::default() });
    until("the link", || (edge.linkr.get("/x").status == 302).then_some(()));
    let ask = || Connection::over(UnixStream::connect(&socket).unwrap()).ask("GET", "/x").status;
    assert_eq!(ask(), 302);
    let mut heir = scene.start(&Start { listen: &listen, upgrade: true, workers: 3, ..Start::default() });
    edge.ends();
    assert_eq!(ask(), 302);
    heir.linkr.ask_to_stop();
    assert_eq!(heir.linkr.exited().code(), Some(0), "{}", heir.linkr.stderr());
    assert!(!std::path::Path::new(&socket).exists());
}

#[test]
fn at_another_address_the_old_one_is_closed_as_at_any_stop() {
    let _turn = beside_others();
    let scene = Scene::new();
    let edge = scene.first();
    let before = edge.linkr.edge();
    let heir = scene.start(&Start { listen: "127.0.0.2:0", upgrade: true, ..Start::default() });
    assert_ne!(heir.linkr.edge(), before);
    assert_eq!((heir.linkr.tls(), heir.linkr.get("/x").status), (edge.linkr.tls(), 302));
    until("the old address to be closed", || TcpStream::connect(before).err());
    edge.ends();
}

#[test]
fn what_cannot_be_taken_over_is_refused_in_words_and_the_old_process_serves_on() {
    let _turn = beside_others();
    let scene = Scene::new();
    let edge = scene.first();
    let dir = Dir::new();
    let heir = Start { upgrade: true, ..Start::default() };
    let said = scene.refused(&mut scene.command(&dir, &Start { name: "near", ..heir }));
    assert!(said.contains("is edge far, and this is near"), "{said}");

    let said = scene.refused(&mut scene.command(&dir, &Start { more: &["--clicks-dir", "clicks"], ..heir }));
    assert!(said.contains("give this one the same --clicks-dir"), "{said}");
    until("it to say so", || edge.linkr.stderr().contains("the newcomer gives up").then_some(()));

    let mut without = command(LINKR, dir.path());
    without.args(["edge", "--upgrade", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    let said = scene.refused(&mut without);
    assert!(said.contains("--upgrade wants --snapshot"), "{said}");

    // Not even asked: the file is for one user.
    let mut stranger = scene.command(&dir, &heir);
    if is_root() {
        let said = scene.refused(&mut under("unshare", &["--net"], &stranger));
        assert!(said.contains("is in another network"), "{said}");

        fs::set_permissions(scene.files.path(), Permissions::from_mode(0o755)).unwrap();
        stranger.uid(65534).gid(65534);
        let said = scene.refused(&mut stranger);
        assert!(said.contains("another user"), "{said}");
    } else {
        skip("what_cannot_be_taken_over", "only root can start a process of another user, or network");
    }
    assert_eq!(edge.linkr.get("/x").status, 302);
    scene.start(&heir);
    edge.ends();
}

/// Two containers on the host's network, with one volume: they do not see each other's processes.
#[test]
fn a_newcomer_takes_over_from_a_process_that_it_cannot_see() {
    let _turn = beside_others();
    if !is_root() {
        return skip("a_newcomer_takes_over_from_a_process", "only root can start one that sees no others");
    }
    let scene = Scene::new();
    let edge = scene.first();
    let (dir, start) = (Dir::new(), Start { upgrade: true, ..Start::default() });
    let unseeing = ["--pid", "--fork", "--kill-child", "--mount-proc"];
    let heir = under("unshare", &unseeing, &scene.command(&dir, &start));
    let heir = Linkr::start(heir, &dir, &["edge", "tls", "admin"]);
    assert_eq!(heir.edge(), edge.linkr.edge());
    edge.ends();
    assert_eq!(heir.get("/x").status, 302);
}

#[test]
fn who_asks_in_another_language_is_told_so() {
    let _turn = beside_others();
    let scene = Scene::new();
    let edge = scene.first();
    let asks = |words: &str| {
        let mut stream = UnixStream::connect(scene.files.file("edge.snapshot.handover")).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.write_all(&(words.len() as u32).to_le_bytes()).unwrap();
        stream.write_all(words.as_bytes()).unwrap();
        let mut said = Vec::new();
        stream.read_to_end(&mut said).unwrap();
        text(&said)
    };
    let said = asks(r#"{"ask":{"protocol":2,"name":"far","version":"9.9.9","more":[1]}}"#);
    assert!(said.contains("linkr 9.9.9 hands over in another way"), "{said}");
    for text in ["{}", "[", r#"{"dance":null}"#, "\"go\""] {
        let said = asks(text);
        assert!(said.contains("refused"), "{text}: {said}");
    }
    let mode = fs::metadata(scene.files.file("edge.snapshot.handover")).unwrap().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(edge.linkr.get("/x").status, 302);
    scene.start(&Start { upgrade: true, ..Start::default() });
    edge.ends();
}

#[test]
fn with_nobody_to_take_over_from_it_just_starts() {
    let _turn = beside_others();
    let scene = Scene::new();
    let edge = scene.start(&Start { upgrade: true, ..Start::default() });
    until("the link", || (edge.linkr.get("/x").status == 302).then_some(()));
    assert!(edge.linkr.stderr().contains("no process runs that could be taken over from"));
}

/// Two edges that know nothing of each other but a file with keys.
#[test]
fn edges_with_the_same_ticket_keys_resume_each_others_sessions() {
    let _turn = beside_others();
    let scene = Scene::new();
    let keys = scene.files.write("tickets", format!("{}\n", "5a".repeat(32)));
    let more = ["--tls-ticket-keys", &keys];
    let edges = ["far", "near"].map(|name| {
        let edge = scene.start(&Start { name, snapshot: name, more: &more, ..Start::default() });
        until("the link", || (edge.linkr.get("/x").status == 302).then_some(()));
        edge
    });
    let client = tls::client(&[&scene.shown]);
    let resumed = |edge: &Process| {
        let mut connection = tls::connect(edge.linkr.tls(), &client);
        assert_eq!(connection.ask("GET", "/x").status, 302);
        connection.stream().conn.handshake_kind() == Some(rustls::HandshakeKind::Resumed)
    };
    assert_eq!([0, 1, 0, 1].map(|at: usize| resumed(&edges[at])), [false, true, true, true]);
    // Another key, and the sessions of before are nobody's any more.
    scene.files.write("tickets", "c3".repeat(32));
    for edge in &edges {
        until("the keys to be read", || {
            edge.linkr.stderr().contains("keys of TLS tickets were read anew").then_some(())
        });
    }
    assert_eq!([0, 1].map(|at: usize| resumed(&edges[at])), [false, true]);
}
