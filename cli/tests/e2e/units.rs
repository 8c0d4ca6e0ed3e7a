//! The units of `deploy/systemd`: what systemd says of them, and servers that run as they say, under their filter of system
//! calls, with sockets that were given.
#![cfg(target_arch = "x86_64")] // the names of old system calls are not the same elsewhere

use crate::support::{
    Connection, Dir, EPOLL, IO_URING, LINKR, Linkr, PATIENCE, beside_others, command, has, skip, text, until,
    workspace,
};
use serde_json::json;
use services::free_port;
use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

const HALVES: [&str; 3] = ["edge", "control", "up"];

/// What is installed where the units look for it.
const INSTALLED: &str = "/usr/bin/linkr";

/// A unit file.
struct Unit(String);

impl Unit {
    fn of(half: &str) -> Self {
        let file = workspace().join(format!("deploy/systemd/linkr-{half}.service"));
        Self(fs::read_to_string(file).unwrap())
    }

    fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.lines().filter_map(move |line| line.strip_prefix(key)?.strip_prefix('='))
    }

    fn one<'a>(&'a self, key: &'a str) -> &'a str {
        let mut all = self.all(key);
        let one = all.next().unwrap_or_else(|| panic!("no {key}="));
        assert!(all.next().is_none(), "{key}= stands twice");
        one
    }

    /// Its ExecStart with its environment, in a directory that stands for `/var/lib`.
    fn started(&self, dir: &Dir, program: &str) -> Command {
        let mut words = self.one("ExecStart").split(' ');
        assert_eq!(words.next(), Some(INSTALLED));
        let mut start = command(program, dir.path());
        start.args(words);
        for pair in self.all("Environment") {
            let (name, value) = pair.split_once('=').unwrap();
            start.env(name, value.replace("%S", &dir.file("")).replace("%H", "host"));
        }
        start
    }
}

/// The number of a user and of its group; of nobody where this machine has none of that name.
fn owner(name: &str) -> (u32, u32) {
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let numbers = |name: &str| {
        let mut fields =
            users.lines().find_map(|line| line.strip_prefix(&format!("{name}:")))?.split(':').skip(1);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    numbers(name).or_else(|| numbers("nobody")).expect("a user nobody")
}

/// The system calls that a filter of systemd's names, with those of its groups.
fn calls(filter: &str) -> BTreeSet<String> {
    let (mut calls, mut left) = (BTreeSet::new(), filter.split(' ').map(str::to_owned).collect::<Vec<_>>());
    while let Some(name) = left.pop() {
        if !name.starts_with('@') {
            calls.insert(name);
            continue;
        }
        let listed = Command::new("systemd-analyze").args(["syscall-filter", &name]).output().unwrap();
        let listed = text(&listed.stdout);
        let inner =
            listed.lines().skip(1).map(str::trim).filter(|line| !line.starts_with('#') && !line.is_empty());
        left.extend(inner.map(str::to_owned));
    }
    calls
}

/// A filter as the kernel takes it: what it does not name fails with EPERM.
fn program(calls: &BTreeSet<String>) -> seccompiler::BpfProgram {
    let compiled = |names: &[&String]| {
        let rules: Vec<_> = names.iter().map(|name| json!({ "syscall": name })).collect();
        let filter = json!({ "mismatch_action": { "errno": 1 }, "match_action": "allow", "filter": rules });
        let text = json!({ "linkr": filter }).to_string();
        seccompiler::compile_from_json(text.as_bytes(), seccompiler::TargetArch::x86_64)
    };
    // Some are of other machines.
    let known: Vec<&String> = calls.iter().filter(|name| compiled(&[*name]).is_ok()).collect();
    assert!(known.len() > 200, "{known:?}");
    compiled(&known).unwrap().remove("linkr").unwrap()
}

#[test]
fn systemd_finds_nothing_wrong_with_the_units_and_calls_them_safe() {
    let test = "systemd_finds_nothing_wrong_with_the_units_and_calls_them_safe";
    if !has("systemd-analyze") {
        return skip(test, "no systemd-analyze (apt-get install systemd)");
    }
    let _turn = beside_others();
    let dir = Dir::new();
    for half in HALVES {
        let service = dir.write(&format!("linkr-{half}.service"), Unit::of(half).0.replace(INSTALLED, LINKR));
        let socket = fs::read(workspace().join(format!("deploy/systemd/linkr-{half}.socket"))).unwrap();
        let socket = dir.write(&format!("linkr-{half}.socket"), socket);
        let analyze = |words: &[&str]| {
            let said = command("systemd-analyze", dir.path()).args(words).output().unwrap();
            (said.status.success(), text(&said.stdout) + &text(&said.stderr))
        };
        let (good, said) = analyze(&["verify", "--man=no", &service, &socket]);
        assert!(good && said.is_empty(), "{half}: {said}");
        let (good, said) = analyze(&["security", "--offline=true", "--threshold=20", &service]);
        assert!(good, "{half}: {said}");
    }
}

/// Of the sockets of a unit, each is one that a flag of its service asks for as it is shipped.
#[test]
fn sockets_and_flags_of_the_units_agree() {
    for half in HALVES {
        let socket = workspace().join(format!("deploy/systemd/linkr-{half}.socket"));
        let socket = Unit(fs::read_to_string(socket).unwrap());
        let _turn = beside_others();
        let dir = Dir::new();
        let words = Unit::of(half).one("ExecStart").split(' ').skip(1).collect::<Vec<_>>().join(" ");
        let help = command(LINKR, dir.path()).args([&words, "--help"]).output().unwrap();
        let help = text(&help.stdout);
        for address in socket.all("ListenStream") {
            assert!(help.contains(&format!("[default: {address}]")), "{half}: {address}");
        }
    }
}

/// A server, and what it tells of itself.
struct Told {
    socket: UnixDatagram,
    said: Vec<String>,
}

impl Told {
    fn at(path: &str) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        fs::set_permissions(path, Permissions::from_mode(0o777)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        Self { socket, said: Vec::new() }
    }

    fn hear(&mut self) {
        let mut message = [0; 4096];
        while let Ok(length) = self.socket.recv(&mut message) {
            self.said.extend(text(&message[..length]).lines().map(str::to_owned));
        }
    }

    fn until(&mut self, line: &str) {
        until(line, || {
            self.hear();
            self.said.iter().any(|said| said == line).then_some(())
        });
    }

    /// The process that a reload named, between the lines that have to stand around its name.
    fn newcomer(&self) -> Newcomer {
        let place = |wanted: &str| self.said.iter().position(|line| line.starts_with(wanted));
        let order = ["RELOADING=1", "MONOTONIC_USEC=", "MAINPID=", "READY=1"].map(place);
        assert!(order.is_sorted() && order[0].is_some(), "{:?}", self.said);
        Newcomer(self.said[order[2].unwrap()]["MAINPID=".len()..].to_owned())
    }
}

/// A server as its unit starts it: its user, environment, filter and notifications.
fn runs_as_its_unit_says(
    half: &str,
    more: &[(&str, &str)],
    wanted: &[&str],
    look: impl FnOnce(&Dir, &Linkr),
) {
    let (unit, dir) = (Unit::of(half), Dir::new());
    let (uid, gid) = owner(unit.one("User"));
    // Where the build lies may be closed to others.
    let program = dir.file("program");
    fs::copy(LINKR, &program).unwrap();
    let mut told = Told::at(&dir.file("notify"));
    let state = dir.path().join(unit.one("StateDirectory"));
    fs::create_dir_all(&state).unwrap();
    for path in [dir.path(), &state] {
        chown(path, Some(uid), Some(gid)).unwrap();
    }
    let start = unit.started(&dir, &program);
    let mut as_user = command("setpriv", &state);
    as_user.args([&format!("--reuid={uid}"), &format!("--regid={gid}"), "--clear-groups", "--inh-caps=-all"]);
    as_user.args(["--bounding-set=-all", "--no-new-privs", "--", &program]).args(start.get_args());
    as_user.envs(start.get_envs().filter_map(|(name, value)| Some((name, value?))));
    as_user
        .env("NOTIFY_SOCKET", dir.file("notify"))
        .env("WATCHDOG_USEC", "2000000")
        .envs(more.iter().copied());
    as_user.env(IO_URING.0, IO_URING.1);
    let filter = program_of(&unit);
    let mut linkr = std::thread::scope(|scope| {
        let confined = scope.spawn(|| {
            seccompiler::apply_filter(&filter).unwrap();
            Linkr::start_here(as_user, &dir, wanted)
        });
        confined.join().unwrap()
    });
    told.until("READY=1");
    told.until("STATUS=serves");
    told.until("WATCHDOG=1");
    assert!(told.said.contains(&format!("MAINPID={}", linkr.pid())), "{:?}", told.said);
    let status = fs::read_to_string(format!("/proc/{}/status", linkr.pid())).unwrap();
    assert!(status.contains(&format!("Uid:\t{uid}\t{uid}\t{uid}\t{uid}\n")), "{status}");
    assert!(status.contains("CapBnd:\t0000000000000000\n") && status.contains("Seccomp:\t2\n"), "{status}");
    look(&dir, &linkr);
    told.said.clear();
    linkr.ask_to_stop();
    assert_eq!(linkr.exited().code(), Some(0), "{}", linkr.stderr());
    told.until("STOPPING=1");
    assert!(!linkr.stderr().contains("not permitted"), "{}", linkr.stderr());
}

fn program_of(unit: &Unit) -> seccompiler::BpfProgram {
    program(&calls(unit.one("SystemCallFilter")))
}

/// Whether each of its workers is tied to one core.
fn pinned(pid: u32) -> bool {
    let mut workers = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
        let task = task.unwrap().path();
        let read = |name: &str| fs::read_to_string(task.join(name)).unwrap_or_default();
        if !read("comm").starts_with("worker-") {
            continue;
        }
        workers += 1;
        let status = read("status");
        let cores = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap().trim();
        if cores.parse::<u32>().is_err() {
            return false;
        }
    }
    workers > 0
}

fn serves_by_io_uring_and_pinned(linkr: &Linkr) {
    assert!(linkr.said("edge").contains("io_uring"), "{}", linkr.said("edge"));
    assert!(pinned(linkr.pid()) && !linkr.stderr().contains("not_pinned"), "{}", linkr.stderr());
    until("the link", || (linkr.get("/x").location() == "https://example.com/").then_some(()));
}

fn lacks(test: &str) -> bool {
    let root = fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
    let missing =
        ["systemd-analyze", "setpriv", "systemd-socket-activate"].into_iter().find(|tool| !has(tool));
    match missing {
        Some(tool) => skip(test, &format!("no {tool} (apt-get install systemd util-linux)")),
        None if !root => skip(test, "only root may start a process as another user"),
        None => return false,
    }
    true
}

#[test]
fn each_unit_runs_as_its_user_under_its_filter_and_says_so() {
    if lacks("each_unit_runs_as_its_user_under_its_filter_and_says_so") {
        return;
    }
    let _turn = beside_others();
    let (dir, free) = (Dir::new(), "127.0.0.1:0");
    let ports =
        [("LINKR_LISTEN", free), ("LINKR_ADMIN", free), ("LINKR_API", free), ("LINKR_INSECURE", "true")];
    let up = Linkr::up(&dir);
    up.ok(&dir, &["link", "create", "https://example.com/", "--code", "x"]);
    let control = format!("http://{}", up.api());
    let edge = [&ports[..2], &[("LINKR_CONTROL", control.as_str()), ("LINKR_WORKERS", "2")]].concat();
    runs_as_its_unit_says("edge", &edge, &["edge", "admin"], |dir, edge| {
        serves_by_io_uring_and_pinned(edge);
        until("clicks to be kept", || dir.path().join("linkr/edge/clicks").is_dir().then_some(()));
    });
    runs_as_its_unit_says("control", &ports[1..], &["api", "admin"], |dir, control| {
        control.ok(dir, &["link", "create", "https://example.com/", "--code", "x"]);
        assert!(dir.path().join("linkr/control/linkr.db").is_file());
    });
    let both = [&ports[..], &[("LINKR_WORKERS", "2")]].concat();
    runs_as_its_unit_says("up", &both, &["edge", "api", "admin", "then"], |dir, up| {
        up.ok(dir, &["link", "create", "https://example.com/", "--code", "x"]);
        serves_by_io_uring_and_pinned(up);
    });
}

/// By the real `systemd-socket-activate`: it listens, and starts the server when somebody connects.
#[test]
fn started_by_a_connection_it_answers_that_one() {
    if lacks("started_by_a_connection_it_answers_that_one") {
        return;
    }
    let _turn = beside_others();
    let (dir, own) = (Dir::new(), Dir::new());
    let up = Linkr::up(&dir);
    up.ok(&dir, &["link", "create", "https://example.com/", "--code", "x"]);
    let listen: SocketAddr = ([127, 0, 0, 1], free_port().unwrap()).into();
    let mut activate = command("systemd-socket-activate", own.path());
    activate.args(["--listen", &listen.to_string(), "--fdname", "linkr-edge.socket"]);
    let settings = [
        format!("{}={}", IO_URING.0, IO_URING.1),
        format!("LINKR_CONTROL=http://{}", up.api()),
        format!("LINKR_LISTEN={listen}"),
        "LINKR_ADMIN=127.0.0.1:0".to_owned(),
        "LINKR_WORKERS=2".to_owned(),
    ];
    for pair in &settings {
        activate.args(["--setenv", pair]);
    }
    activate.args([LINKR, "edge"]);
    std::thread::scope(|scope| {
        let visitor = scope.spawn(move || {
            let stream = until("somebody to listen", || std::net::TcpStream::connect(listen).ok());
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            Connection::over(stream).ask("GET", "/x")
        });
        let mut edge = Linkr::start(activate, &own, &["edge", "admin"]);
        let first = visitor.join().unwrap();
        assert_eq!((first.status, first.location()), (302, "https://example.com/"));
        assert_eq!(edge.edge(), listen);
        serves_by_io_uring_and_pinned(&edge);
        assert!(
            edge.stderr().contains("socket_not_given"),
            "the admin listener is its own: {}",
            edge.stderr()
        );
        edge.ask_to_stop();
        assert_eq!(edge.exited().code(), Some(0), "{}", edge.stderr());
    });
}

/// Starts a server with this socket as systemd would: as descriptor 3.
fn given(start: &Command, dir: &Dir, socket: &TcpListener, wanted: &[&str]) -> Linkr {
    let mut shell = command("sh", dir.path());
    let script =
        r#"exec 3<&0 0</dev/null; LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=linkr.socket exec "$0" "$@""#;
    shell.args(["-c", script, LINKR]).args(start.get_args());
    shell.envs(start.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell.stdin(OwnedFd::from(socket.try_clone().unwrap()));
    Linkr::start_here(shell, dir, wanted)
}

fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

/// Restarts a server while visitors connect to the socket that it was given, and counts who is not answered.
fn restarts_refuse_nobody(words: &[&str], env: &[(&str, &str)], flag: &str, wanted: &[&str], path: &str) {
    let (dir, (socket, address)) = (Dir::new(), listener());
    let to: SocketAddr = address.parse().unwrap();
    let mut command = command(LINKR, dir.path());
    command.args(words).args(["--admin", "127.0.0.1:0", "--drain-timeout", "2s", flag, &address]);
    command.envs(env.iter().copied());
    let mut linkr = given(&command, &dir, &socket, wanted);
    linkr.ok(&dir, &["link", "create", "https://example.com/", "--code", "x"]);
    let (end, asked, failed) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !end.load(Ordering::Relaxed) {
                    let answer = Connection::to(to).call("GET", path, "");
                    asked.fetch_add(1, Ordering::Relaxed);
                    if !matches!(&answer, Ok(Some(answer)) if [200, 302].contains(&answer.status)) {
                        failed.fetch_add(1, Ordering::Relaxed);
                        eprintln!("{path}: {answer:?}");
                    }
                }
            });
        }
        let more = |count: usize| {
            let from = asked.load(Ordering::Relaxed);
            until("visitors", || (asked.load(Ordering::Relaxed) >= from + count).then_some(()));
        };
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for _ in 0..3 {
                more(100);
                linkr.ask_to_stop();
                assert_eq!(linkr.exited().code(), Some(0), "{}", linkr.stderr());
                linkr = given(&command, &dir, &socket, wanted);
            }
            more(100);
        }));
        end.store(true, Ordering::Relaxed);
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    assert_eq!(failed.into_inner(), 0, "of {}", asked.into_inner());
}

/// Whoever gave the socket holds it: a restart refuses and resets nobody, though nothing runs for a while.
#[test]
fn who_connects_while_nobody_runs_waits_in_the_socket_that_was_given() {
    let _turn = beside_others();
    for driver in [IO_URING, EPOLL] {
        let up = ["up", "--data-dir", "data", "--workers", "2", "--api", "127.0.0.1:0"];
        restarts_refuse_nobody(&up, &[driver], "--listen", &["edge", "api", "admin", "then"], "/x");
    }
    restarts_refuse_nobody(&["control"], &[], "--api", &["api", "admin"], "/v1/links/x");
}

#[test]
fn a_socket_that_no_flag_asks_for_is_refused_by_its_name() {
    let _turn = beside_others();
    let (dir, (socket, address)) = (Dir::new(), listener());
    let words: [&[&str]; 3] = [
        &["edge", "--control", "http://127.0.0.1:1", "--listen", "127.0.0.1:0", "--unpinned"],
        &["control", "--api", "127.0.0.1:0"],
        &["up", "--api", "127.0.0.1:0", "--listen", "127.0.0.1:0"],
    ];
    for words in words {
        let mut start = command(LINKR, dir.path());
        start.args(words).args(["--admin", "127.0.0.1:0"]);
        let mut linkr = given(&start, &dir, &socket, &[]);
        let (code, said) = (linkr.exited().code(), linkr.stderr());
        let why = format!("the socket linkr.socket listens on {address}, and no flag asks");
        assert!(code == Some(2) && said.contains(&why), "{words:?}: {said}");
    }
}

/// A process that somebody else has started: ended with the test.
struct Newcomer(String);

impl Newcomer {
    fn signal(&self, name: &str) -> bool {
        let kill = format!("kill -{name} {}", self.0);
        Command::new("sh").args(["-c", &kill]).stderr(std::process::Stdio::null()).status().unwrap().success()
    }

    fn is_gone(&self) -> bool {
        // Whoever looks after orphans may leave it as a zombie.
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0)).unwrap_or_default();
        stat.rsplit_once(')').is_none_or(|(_, state)| state.trim_start().starts_with(['Z', 'X']))
    }
}

impl Drop for Newcomer {
    fn drop(&mut self) {
        if !self.is_gone() {
            self.signal("KILL");
        }
    }
}

/// What `systemctl reload` runs for a unit with this main process: whether it went well, and what was said.
fn reload(unit: &Unit, start: &Command, own: &Dir, main: u32, name: &str) -> (bool, String) {
    let mut words = unit.one("ExecReload").split(' ');
    assert_eq!(words.next(), Some(INSTALLED));
    let mut reload = command(LINKR, own.path());
    reload.args(words).envs(start.get_envs().filter_map(|(name, value)| Some((name, value?))));
    // As systemd sets it, and not what it sets for the main process alone.
    reload.env("MAINPID", main.to_string()).env_remove("WATCHDOG_USEC").env("LINKR_NAME", name);
    // The newcomer goes on writing there.
    let log = fs::File::create(own.file("reload")).unwrap();
    let status = reload.stdout(log.try_clone().unwrap()).stderr(log).status().unwrap();
    (status.success(), fs::read_to_string(own.file("reload")).unwrap())
}

/// An edge as its unit starts it, with a socket of systemd's, and what `systemctl reload` runs for it.
#[test]
fn a_reload_puts_another_process_in_the_place_of_the_main_one() {
    let _turn = beside_others();
    let (dir, (socket, address)) = (Dir::new(), listener());
    let up = Linkr::up(&dir);
    up.ok(&dir, &["link", "create", "https://example.com/", "--code", "x"]);
    let own = Dir::new();
    fs::create_dir_all(own.path().join("linkr/edge")).unwrap();
    let mut told = Told::at(&own.file("notify"));
    let unit = Unit::of("edge");
    let mut start = unit.started(&own, LINKR);
    start.env("LINKR_CONTROL", format!("http://{}", up.api())).env("LINKR_LISTEN", &address);
    start.env("LINKR_ADMIN", "127.0.0.1:0").env("LINKR_WORKERS", "2").env("LINKR_UNPINNED", "true");
    start
        .env("NOTIFY_SOCKET", own.file("notify"))
        .env("WATCHDOG_USEC", "2000000")
        .env(IO_URING.0, IO_URING.1);
    start.env("LINKR_DRAIN_TIMEOUT", "2s");
    let mut old = given(&start, &own, &socket, &["edge", "admin"]);
    told.until("READY=1");
    until("the link", || (old.get("/x").status == 302).then_some(()));

    let reload = |name: &str| reload(&unit, &start, &own, old.pid(), name);
    told.said.clear();
    let (done, why) = reload("another");
    assert!(!done && why.contains("give it the same --name"), "{why}");
    assert!(why.contains("the one that runs serves on"), "{why}");
    told.until("READY=1");
    assert!(!told.said.iter().any(|line| line.starts_with("MAINPID=")), "{:?}", told.said);
    assert_eq!(old.get("/x").status, 302);

    told.said.clear();
    let (done, why) = reload("host");
    assert!(done, "{why}");
    told.until("READY=1");
    let newcomer = told.newcomer();
    assert_ne!(newcomer.0, old.pid().to_string());
    assert_eq!(old.exited().code(), Some(0), "{}", old.stderr());
    told.said.clear();
    told.until("WATCHDOG=1");
    let to: SocketAddr = address.parse().unwrap();
    assert_eq!(Connection::to(to).ask("GET", "/x").location(), "https://example.com/");
    assert!(newcomer.signal("TERM"));
    told.until("STOPPING=1");
    until("it to end", || newcomer.is_gone().then_some(()));
    // The socket is systemd's, whoever had it: whoever connects now waits for the next process.
    std::net::TcpStream::connect(to).unwrap();
}

/// The same of both halves: the store goes to the newcomer, and with it the API.
#[test]
fn a_reload_of_both_halves_hands_the_store_over() {
    let _turn = beside_others();
    let (own, (socket, address)) = (Dir::new(), listener());
    fs::create_dir_all(own.path().join("linkr-up")).unwrap();
    let mut told = Told::at(&own.file("notify"));
    let (unit, free) = (Unit::of("up"), "127.0.0.1:0");
    let mut start = unit.started(&own, LINKR);
    start.env("LINKR_LISTEN", free).env("LINKR_ADMIN", free).env("LINKR_API", &address);
    start.env("LINKR_WORKERS", "2").env("LINKR_INSECURE", "true").env("LINKR_DRAIN_TIMEOUT", "2s");
    start
        .env("NOTIFY_SOCKET", own.file("notify"))
        .env("WATCHDOG_USEC", "2000000")
        .env(IO_URING.0, IO_URING.1);
    let mut old = given(&start, &own, &socket, &["edge", "api", "admin", "then"]);
    told.until("READY=1");
    old.ok(&own, &["link", "create", "https://example.com/", "--code", "x"]);
    until("the link", || (old.get("/x").status == 302).then_some(()));
    told.said.clear();
    let (done, why) = reload(&unit, &start, &own, old.pid(), "host");
    assert!(done, "{why}");
    told.until("READY=1");
    let newcomer = told.newcomer();
    let (listen, api) = (old.edge(), old.api());
    assert_eq!(old.exited().code(), Some(0), "{}", old.stderr());
    assert_eq!(Connection::to(listen).ask("GET", "/x").location(), "https://example.com/");
    let made =
        Connection::to(api).call("POST", "/v1/links", r#"{"code":"y","target":"https://example.com/y"}"#);
    assert_eq!(made.unwrap().unwrap().status, 201);
    assert!(newcomer.signal("TERM"));
    told.until("STOPPING=1");
    until("it to end", || newcomer.is_gone().then_some(()));
    // The API's socket is systemd's, whoever had it.
    std::net::TcpStream::connect(api).unwrap();
}
