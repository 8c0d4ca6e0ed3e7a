//! `linkr up --upgrade`: one process with both halves goes on in the place of another, while visitors follow links and callers read
//! and write them; nobody tries anything again.

use super::callers::Callers;
use super::killed::{STANDS, Standing};
use super::visitors::Visitors;
use super::{Process, hand_overs, wait_ready};
use crate::clicks::{counted, law, lost};
use crate::support::{
    Connection, Dir, EPOLL, FREE_PORTS, IO_URING, LINKR, Linkr, beside_others, command, text, until,
};
use crate::tls::Certificate;
use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::process::Command;

/// What the newcomer was going to say, and what the old process says to its end. Behind the last, the newcomer's control serves.
const NEW: [(&str, &str); 6] = [
    ("new-connected", "the question: it has ended"),
    ("new-offered", "the newcomer: it has ended"),
    ("new-loaded", "the newcomer: it has ended"),
    ("new-closed", "the newcomer: it has ended"),
    ("new-opened", "the newcomer: it has ended"),
    ("new-go", "the newcomer: it has ended"),
];
/// From here on it has taken calls, which end with it.
const SERVES: &str = "new-opened";
const OLD: [&str; 8] = [
    "old-asked",
    "old-written",
    "old-offered",
    "old-ready",
    "old-closed",
    "old-opened",
    "old-gathered",
    "old-serving",
];

/// The folder in which processes of one `linkr up` follow each other.
struct Both {
    data: Dir,
    shown: Certificate,
}

/// How one of them is started.
#[derive(Clone)]
struct StartBoth<'a> {
    listen: String,
    tls: String,
    admin: String,
    api: String,
    workers: usize,
    driver: (&'a str, &'a str),
    more: &'a [&'a str],
    upgrade: bool,
}

impl Default for StartBoth<'_> {
    fn default() -> Self {
        let any = || "127.0.0.1:0".to_owned();
        let (listen, tls, admin, api) = (any(), any(), any(), any());
        Self { listen, tls, admin, api, workers: 2, driver: IO_URING, more: &[], upgrade: false }
    }
}

impl StartBoth<'_> {
    /// The next one, at the addresses of one that runs.
    fn behind(old: &Linkr) -> Self {
        let [listen, tls, admin, api] =
            [old.edge(), old.tls(), old.admin(), old.api()].map(|address: SocketAddr| address.to_string());
        Self { listen, tls, admin, api, upgrade: true, ..Self::default() }
    }
}

impl Both {
    fn new() -> Self {
        let data = Dir::new();
        let shown = Certificate::write(&data, "a", &["a.test"]);
        Self { data, shown }
    }

    fn command(&self, dir: &Dir, start: &StartBoth) -> Command {
        let mut up = command(LINKR, dir.path());
        up.args(["up", "--data-dir", &self.data.file("data"), "--drain-timeout", "5s"]);
        up.args(["--workers", &start.workers.to_string()]);
        up.args(["--listen", &start.listen, "--listen-tls", &start.tls, "--admin", &start.admin]);
        up.args(["--api", &start.api, "--tls-cert", self.shown.cert(), "--tls-key", self.shown.key()]);
        up.args(start.more).env(start.driver.0, start.driver.1);
        if start.upgrade {
            up.arg("--upgrade");
        }
        up
    }

    fn start(&self, start: &StartBoth) -> Process {
        let dir = Dir::new();
        Self::started(self.command(&dir, start), dir)
    }

    fn started(command: Command, dir: Dir) -> Process {
        let linkr = Linkr::start(command, &dir, &["edge", "tls", "api", "admin", "then"]);
        wait_ready(&linkr);
        Process { linkr, _dir: dir }
    }

    /// The first one, with a link.
    fn first(&self) -> Process {
        let first = self.start(&StartBoth::default());
        self.fill(&first);
        first
    }

    fn fill(&self, first: &Process) {
        first.linkr.ok(&self.data, &["link", "create", "https://example.com/x", "--code", "x"]);
        until("the link", || (first.linkr.get("/x").status == 302).then_some(()));
    }

    fn visitors(&self, old: &Linkr) -> Visitors<'_> {
        Visitors::new(&self.shown, old.edge(), old.tls(), old.admin())
    }

    /// One that does not get so far: what it says.
    fn refused(&self, start: &StartBoth) -> String {
        let dir = Dir::new();
        let done = self.command(&dir, start).env("LINKR_INSECURE", "true").output().unwrap();
        assert!(!done.status.success(), "{}", text(&done.stderr));
        text(&done.stderr)
    }
}

/// Waits until every click is counted that visitors were answered, and none more.
fn settles(last: &Linkr, answered: u64) {
    until("every click to be counted", || (counted(last) >= answered).then_some(()));
    assert_eq!((counted(last), lost(last)), (answered, BTreeMap::new()));
}

/// What came of links that were written: each one that was acknowledged is followed.
fn all_written(last: &Linkr, callers: &Callers) {
    last.catch_up();
    let mut connection = Connection::to(last.edge());
    for code in callers.written() {
        assert_eq!(connection.ask("HEAD", &format!("/{code}")).status, 302, "{code}");
    }
}

#[test]
fn no_visitor_and_no_caller_notices_and_every_click_is_counted() {
    let _turn = beside_others();
    let both = Both::new();
    let mut up = both.first();
    let callers = Callers::new(up.linkr.api());
    let seen = both.visitors(&up.linkr).during(|seen| {
        callers.during(|| {
            for round in 0..hand_overs() {
                seen.more(100);
                callers.more(20);
                let start = StartBoth {
                    workers: [1, 3, 2][round % 3],
                    driver: [EPOLL, IO_URING][round % 2],
                    ..StartBoth::behind(&up.linkr)
                };
                let heir = both.start(&start);
                assert_eq!((heir.linkr.edge(), heir.linkr.api()), (up.linkr.edge(), up.linkr.api()));
                seen.more(100);
                callers.more(20);
                std::mem::replace(&mut up, heir).ends();
            }
            seen.more(100);
            callers.more(20);
        });
    });
    assert_eq!((seen.failed(), callers.failed()), (Vec::new(), Vec::new()));
    assert_eq!(seen.in_full(), 1, "of those who come again, one shook hands in full, and that was the first");
    eprintln!("the slowest call of the API took {:?}", callers.slowest());
    settles(&up.linkr, 1 + seen.redirected());
    all_written(&up.linkr, &callers);
    until("all to be acknowledged", || (law(&up.linkr).pending == 0).then_some(()));
    assert!(!fs::exists(both.data.file("data/links")).unwrap(), "links lie there for the moment alone");
    up.linkr.ask_to_stop();
    assert_eq!(up.linkr.exited().code(), Some(0), "{}", up.linkr.stderr());
}

/// With TLS the edge beside control has a way of its own to it, which is passed on, too.
#[test]
fn the_edge_of_the_old_process_follows_the_new_control_until_it_has_ended() {
    let _turn = beside_others();
    let both = Both::new();
    let api = Certificate::write(&both.data, "api", &["localhost"]);
    let more = ["--api-tls-cert", api.cert(), "--api-tls-key", api.key()];
    let start = StartBoth { more: &more, ..StartBoth::default() };
    let old = both.start(&start);
    let call = |server: &Linkr, words: &[&str]| {
        let mut client = command(LINKR, both.data.path());
        client.args(words).args(["--server", &format!("https://localhost:{}", server.api().port())]);
        let done = client.env("LINKR_SERVER_CA", api.cert()).output().unwrap();
        assert!(done.status.success(), "{}", text(&done.stderr));
    };
    call(&old.linkr, &["link", "create", "https://example.com/x", "--code", "x"]);
    until("the link", || (old.linkr.get("/x").status == 302).then_some(()));
    let mut kept = Connection::to(old.linkr.edge());
    assert_eq!(kept.ask("GET", "/x").status, 302);
    let heir = both.start(&StartBoth { more: &more, ..StartBoth::behind(&old.linkr) });
    call(&heir.linkr, &["link", "create", "https://example.com/y", "--code", "y"]);
    until("the new process to have it", || (heir.linkr.get("/y").status == 302).then_some(()));
    // The old one answers this connection once more: with what control has said since.
    let answer = kept.ask("GET", "/y");
    assert_eq!((answer.status, answer.field("connection")), (302, Some("close")));
    old.ends();
}

#[test]
fn a_newcomer_that_is_killed_at_any_step_leaves_both_halves_serving() {
    let _turn = beside_others();
    let both = Both::new();
    let mut up = both.first();
    let callers = Callers::new(up.linkr.api());
    let seen = both.visitors(&up.linkr).during(|seen| {
        callers.during(|| {
            for (step, says) in NEW {
                let told = up.linkr.stderr().matches(says).count();
                let heir = {
                    let dir = Dir::new();
                    let command = both.command(&dir, &StartBoth::behind(&up.linkr));
                    Standing::of(command, dir, step)
                };
                seen.more(50);
                callers.serves(step == SERVES || callers.forgives());
                drop(heir);
                until(step, || (up.linkr.stderr().matches(says).count() > told).then_some(()));
                callers.more(20);
                seen.more(50);
            }
            callers.serves(false);
            let heir = both.start(&StartBoth::behind(&up.linkr));
            seen.more(50);
            callers.more(20);
            std::mem::replace(&mut up, heir).ends();
        });
    });
    assert_eq!((seen.failed(), callers.failed()), (Vec::new(), Vec::new()));
    settles(&up.linkr, 1 + seen.redirected());
    all_written(&up.linkr, &callers);
}

/// What is kept with a process that is killed ends with it. Its clicks and links are there, and the newcomer goes on.
#[test]
fn both_halves_go_on_when_the_old_process_is_killed_at_any_step() {
    for step in OLD {
        let _turn = beside_others();
        let both = Both::new();
        let dir = Dir::new();
        let mut command = both.command(&dir, &StartBoth::default());
        command.env("HANDOVER_STOPS_AT", step);
        let mut old = Both::started(command, dir);
        both.fill(&old);
        let answered = counted_soon(&old.linkr);
        let (heir, more) = std::thread::scope(|scope| {
            let start = StartBoth::behind(&old.linkr);
            let both = &both;
            let heir = scope.spawn(move || both.start(&start));
            until(step, || old.linkr.stderr().contains(STANDS).then_some(()));
            // At once, where the newcomer has the links and has not heard from a control yet: found as one that waited for the
            // control of a process that was gone.
            let more = if step == "old-offered" { 0 } else { 50 };
            for _ in 0..more {
                assert_eq!(old.linkr.get("/x").status, 302, "it serves meanwhile");
            }
            old.linkr.kill();
            (heir.join().unwrap(), more)
        });
        until("the link", || (heir.linkr.get("/x").status == 302).then_some(()));
        settles(&heir.linkr, answered + more + 1);
        heir.linkr.ok(&both.data, &["link", "create", "https://example.com/y", "--code", "y"]);
        until(step, || (heir.linkr.get("/y").status == 302).then_some(()));
    }
}

/// The clicks so far, once the last one is counted.
fn counted_soon(up: &Linkr) -> u64 {
    until("the first click", || (law(up).pending == 0 && law(up).recorded > 0).then_some(()));
    let recorded = law(up).recorded;
    until("it to be counted", || (counted(up) == recorded).then_some(recorded))
}

#[test]
fn what_up_cannot_take_over_is_refused_in_words_before_anything_is_closed() {
    let _turn = beside_others();
    let both = Both::new();
    let up = both.first();
    let behind = StartBoth::behind(&up.linkr);
    let said = both.refused(&StartBoth { api: "127.0.0.2:0".into(), ..behind.clone() });
    assert!(said.contains("the API of the process that runs is on"), "{said}");
    let api = Certificate::write(&both.data, "api", &["localhost"]);
    let more = ["--api-tls-cert", api.cert(), "--api-tls-key", api.key()];
    let said = both.refused(&StartBoth { more: &more, ..behind.clone() });
    assert!(said.contains("over TLS"), "{said}");
    let said = both.refused(&StartBoth { upgrade: false, ..behind.clone() });
    assert!(said.contains("another linkr uses"), "{said}");

    let dir = Dir::new();
    let mut edge = command(LINKR, dir.path());
    edge.args(["edge", "--upgrade", "--snapshot", &both.data.file("data/links")]).args(&FREE_PORTS[2..]);
    let done = edge.args(["--listen", "127.0.0.1:0"]).output().unwrap();
    let said = text(&done.stderr);
    assert!(!done.status.success() && said.contains("is linkr up, and this is an edge alone"), "{said}");

    assert!(!up.linkr.stderr().contains("the API is left to another process"), "{}", up.linkr.stderr());
    assert_eq!(up.linkr.get("/x").status, 302);
    let heir = both.start(&behind);
    up.ends();
    heir.linkr.ok(&both.data, &["link", "get", "x"]);
}

#[test]
fn up_with_nobody_to_take_over_from_just_starts() {
    let _turn = beside_others();
    let both = Both::new();
    let up = both.start(&StartBoth { upgrade: true, ..StartBoth::default() });
    both.fill(&up);
    assert!(up.linkr.stderr().contains("no process runs that could be taken over from"));
}

/// Found by thought: a store that the newcomer cannot open has been closed for it.
#[test]
fn a_newcomer_that_cannot_open_the_store_gives_it_back() {
    let _turn = beside_others();
    let both = Both::new();
    let mut up = both.first();
    let callers = Callers::new(up.linkr.api());
    callers.during(|| {
        let dir = Dir::new();
        let command = both.command(&dir, &StartBoth::behind(&up.linkr));
        let heir = Standing::of(command, dir, "new-closed");
        callers.waits();
        // Whoever holds this has the store.
        let lock = fs::File::options().write(true).open(both.data.file("data/linkr.db.lock")).unwrap();
        lock.lock().unwrap();
        drop(heir);
        until("the old one to try", || up.linkr.stderr().contains("it is tried again").then_some(()));
        let said = Connection::to(up.linkr.admin()).ask("GET", "/readyz?write");
        assert!(said.status == 503 && said.body.contains("closed: "), "{}", said.body);
        assert_eq!(Connection::to(up.linkr.admin()).ask("GET", "/readyz").status, 200);
        assert_eq!(up.linkr.get("/x").status, 302);
        drop(lock);
        callers.more(20);
        let heir = both.start(&StartBoth::behind(&up.linkr));
        callers.more(20);
        std::mem::replace(&mut up, heir).ends();
    });
    assert_eq!(callers.failed(), Vec::<String>::new());
    all_written(&up.linkr, &callers);
}
