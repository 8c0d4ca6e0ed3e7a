//! Procedures of docs/, each run by the commands of its page: backup and restore, another machine, upgrade, the way back, the
//! loss of a region, keys, and the end of a domain. (The switchover is in `switchover.rs`.)

use crate::manual::{Page, Terminal};
use crate::stores::{Store, catch_up};
use crate::support::{Connection, Dir, FREE_PORTS, LINKR, Linkr, beside_others, command, skip, text, until};
use services::{Postgres, ServerFault};
use std::fs;

const UP: &str = "linkr up --workers 1";
/// What `linkr up` prints when it can be asked.
const READY: [&str; 4] = ["edge", "api", "admin", "then"];
/// Tables of a version that is yet to come.
const LATER: &str =
    "INSERT INTO refinery_schema_history VALUES (99999, 'later', '2999-01-01T00:00:00Z', '1')";

/// Links with these numbers, through the API, as a key of this directory allows it.
fn write(linkr: &Linkr, key: &str, numbers: std::ops::Range<u32>) {
    let key = format!("Bearer {}", fs::read_to_string(key).unwrap().trim());
    let mut connection = Connection::to(linkr.api());
    for number in numbers {
        let body = format!("{{\"code\":\"w{number}\",\"target\":\"https://example.com/{number}\"}}");
        let answer =
            connection.call_with("POST", "/v1/links", &[("Authorization", &key)], &body).unwrap().unwrap();
        assert_eq!(answer.status, 201, "{answer:?}");
    }
}

/// The edge knows exactly these links.
fn has(edge: &Linkr, known: u32) {
    let status = |number: u32| edge.get(&format!("/w{number}")).status;
    until("the last link", || (known == 0 || status(known - 1) == 302).then_some(()));
    until("no other", || (status(known) == 404).then_some(()));
    assert!((0..known).all(|number| status(number) == 302));
}

fn stop(mut linkr: Linkr) {
    linkr.ask_to_stop();
    assert!(linkr.exited().success());
}

#[test]
fn a_backup_of_sqlite_is_put_back_and_on_another_machine_too() {
    let _turn = beside_others();
    let (page, dir, other) = (Page::at("docs/backup.md"), Dir::new(), Dir::new());
    let terminal = Terminal::new(&dir);
    let sqlite = page.blocks("SQLite");
    let [backup, restore] = sqlite.as_slice() else { panic!("{sqlite:?}") };
    let up = terminal.start(UP, &READY);
    write(&up, &dir.file("linkr-data/admin.key"), 0..20);
    assert!(terminal.ok(backup).contains("holds everything up to revision"));
    write(&up, &dir.file("linkr-data/admin.key"), 20..30);
    has(&up, 30);
    stop(up);
    assert!(terminal.ok(restore).contains("linkr.db.before-"));
    let up = terminal.start(UP, &READY);
    has(&up, 20);
    write(&up, &dir.file("linkr-data/admin.key"), 20..25); // with the key of before
    stop(up);

    // The machine is gone, and the backup is not.
    fs::copy(dir.file("backup.db"), other.file("backup.db")).unwrap();
    let elsewhere = Terminal::new(&other);
    elsewhere.ok(&page.block("SQLite, on another machine"));
    let up = elsewhere.start(UP, &READY);
    has(&up, 20);
    write(&up, &other.file("linkr-data/admin.key"), 20..21);
    has(&up, 21);
}

/// A control and an edge on PostgreSQL, and a terminal of their own.
struct Halves<'a> {
    terminal: Terminal<'a>,
    dir: &'a Dir,
    url: String,
}

impl<'a> Halves<'a> {
    /// Keys are made: `all.key` and `edge.key`.
    fn new(dir: &'a Dir, url: String) -> Self {
        let terminal = Terminal::new(dir).with("STORE", &url);
        terminal.ok("linkr control --store \"$STORE\" mint-key > all.key; chmod 600 all.key");
        terminal.ok("linkr control --store \"$STORE\" mint-key --scopes feed --edge one > edge.key; chmod 600 edge.key");
        let key = dir.file("all.key");
        Self { terminal: terminal.with("LINKR_KEY_FILE", &key), dir, url }
    }

    fn control(&self) -> Linkr {
        self.terminal.start("linkr control --store \"$STORE\" --admin 127.0.0.1:0", &["api", "admin"])
    }

    /// One that the control of the same terminal is told by its address.
    fn edge(&self, control: &Linkr) -> Linkr {
        let mut edge = command(LINKR, self.dir.path());
        edge.args([
            "edge",
            "--name",
            "one",
            "--control",
            &format!("http://{}", control.api()),
            "--workers",
            "1",
        ]);
        edge.args([
            "--control-key-file",
            "edge.key",
            "--unpinned",
            "--listen",
            "127.0.0.1:0",
            "--admin",
            "127.0.0.1:0",
        ]);
        Linkr::start(edge, self.dir, &["edge", "admin"])
    }

    /// The number of the history, as a person reads it.
    fn highest(&self) -> String {
        let told: serde_json::Value =
            serde_json::from_str(&self.terminal.ok("linkr feed status -o json")).unwrap();
        told["log"]["epoch"].as_str().unwrap().split('-').next().unwrap().to_owned()
    }
}

#[test]
fn a_backup_of_postgres_is_put_back() {
    let _turn = beside_others();
    let Some(store @ Store::Postgres(_)) = Store::postgres("a_backup_of_postgres_is_put_back") else {
        return;
    };
    let dir = Dir::new();
    let halves = Halves::new(&dir, store.empty("linkr"));
    let blocks = Page::at("docs/backup.md").blocks("PostgreSQL");
    let [backup, histories, restore] = blocks.as_slice() else { panic!("{blocks:?}") };
    let control = halves.control();
    let edge = halves.edge(&control);
    write(&control, &dir.file("all.key"), 0..20);
    assert!(halves.terminal.ok(backup).contains("holds everything up to revision"));
    write(&control, &dir.file("all.key"), 20..30);
    has(&edge, 30);
    assert!(halves.terminal.ok(histories).contains('-'));
    let above = halves.highest();
    stop(control);
    let terminal = Terminal::new(&dir).with("STORE", &halves.url).with("N", &above);
    assert!(terminal.ok(restore).starts_with("history "));
    stop(edge);
    let control = halves.control();
    let edge = halves.edge(&control);
    has(&edge, 20);
    write(&control, &dir.file("all.key"), 20..21);
    has(&edge, 21);
}

#[test]
fn an_upgrade_of_sqlite_and_the_way_back() {
    let _turn = beside_others();
    let (page, dir) = (Page::at("docs/upgrading.md"), Dir::new());
    let terminal = Terminal::new(&dir);
    let up = terminal.start(UP, &READY);
    write(&up, &dir.file("linkr-data/admin.key"), 0..20);
    terminal.ok(&page.blocks("To another version")[0]);
    // How long the tables would take, on a copy.
    let blocks = page.blocks("How long the tables take");
    let [look, copy] = blocks.as_slice() else { panic!("{blocks:?}") };
    assert!(!terminal.ok(look).contains("tables_"), "they are this program's");
    let (make, start) = copy.trim().split_once('\n').unwrap();
    terminal.ok(make);
    stop(terminal.start(start, &["api", "admin"]));
    write(&up, &dir.file("linkr-data/admin.key"), 20..30);
    stop(up);
    // A later version was started on it. This one is the version before.
    let store = rusqlite::Connection::open(dir.file("linkr-data/linkr.db")).unwrap();
    store.execute(LATER, []).unwrap();
    store.close().unwrap();
    let refused = terminal.fails(UP);
    assert!(refused.contains("it was written by a newer linkr") && refused.contains("backup"), "{refused}");
    terminal.ok(&page.blocks("Back to the version before")[0]);
    has(&terminal.start(UP, &READY), 20);
}

#[test]
fn an_upgrade_of_postgres_and_the_way_back() {
    let _turn = beside_others();
    let Some(store) = Store::postgres("an_upgrade_of_postgres_and_the_way_back") else { return };
    let (page, dir) = (Page::at("docs/upgrading.md"), Dir::new());
    let halves = Halves::new(&dir, store.empty("linkr"));
    let control = halves.control();
    write(&control, &dir.file("all.key"), 0..20);
    halves.terminal.ok(&page.blocks("To another version")[1]);
    write(&control, &dir.file("all.key"), 20..30);
    let above = halves.highest();
    stop(control);
    let Store::Postgres(server) = &store else { return };
    server.psql("linkr", LATER).unwrap();
    let refused = halves.terminal.fails("linkr control --store \"$STORE\" --admin 127.0.0.1:0");
    assert!(refused.contains("it was written by a newer linkr") && refused.contains("backup"), "{refused}");
    let terminal = Terminal::new(&dir).with("STORE", &halves.url).with("N", &above);
    terminal.ok(&page.blocks("Back to the version before")[1]);
    let control = halves.control();
    has(&halves.edge(&control), 20);
}

#[test]
fn keys_are_rotated_and_a_domain_is_retired() {
    let _turn = beside_others();
    let (page, dir) = (Page::at("docs/keys.md"), Dir::new());
    let terminal = Terminal::new(&dir);
    let up = terminal.start(UP, &READY);
    terminal.ok("linkr domain create go.example");
    let listed = terminal.ok(&page.block("Make one, and give it"));
    let line = listed.lines().find(|line| line.contains(" shop ")).unwrap();
    let terminal = terminal.with("ID", line.split(' ').next().unwrap());
    let allows =
        |key: &str| terminal.run(&format!("linkr link list --domain go.example --key-file {key}")).status;
    let rotation = page.blocks("Rotate one");
    let [rotate, revoke] = rotation.as_slice() else { panic!("{rotation:?}") };
    terminal.ok(rotate);
    assert!(allows("shop.key").success() && allows("shop-2.key").success(), "the first goes on");
    assert!(terminal.fails("linkr keys rotate \"$ID\"").contains("has 2 keys"));
    terminal.ok(revoke);
    assert!(!allows("shop.key").success() && allows("shop-2.key").success());
    for block in page.blocks("Edges") {
        terminal.ok(&block);
    }
    assert!(dir.path().join("certs/fra-1.pem").exists());

    for code in ["a", "-b"] {
        terminal.ok(&format!("linkr link create https://example.com/ --domain go.example --code={code}"));
    }
    terminal.ok(&Page::at("docs/http.md").block("Retiring a domain"));
    assert!(!terminal.ok("linkr domain list").contains("go.example"));
    stop(up);
}

/// Two servers, a control beside each, and edges of both regions. The one with the primary is lost, kill and all.
#[test]
fn a_region_is_lost() {
    let _turn = beside_others();
    let test = "a_region_is_lost";
    let primary = match Postgres::start(&["fsync=off"]) {
        Err(fault @ ServerFault::Missing(_)) => return skip(test, &fault.to_string()),
        server => server.unwrap(),
    };
    if primary.port().is_none() {
        return skip(test, "LINKR_TEST_POSTGRES cannot be stopped");
    }
    primary.create("linkr").unwrap();
    let standby = primary.standby(true, services::Volume::Disk).unwrap();
    let [at, beside] = [&primary, &standby].map(|server| server.port().unwrap());
    let both = primary.url("linkr").replace(&format!(":{at}/"), &format!(":{at},127.0.0.1:{beside}/"));
    let dirs = [Dir::new(), Dir::new(), Dir::new(), Dir::new()];
    let control = |dir: &Dir| {
        let mut control = command(LINKR, dir.path());
        control.args(["control", "--store", &both]).args(FREE_PORTS);
        Linkr::start(control, dir, &["api", "admin"])
    };
    let (control_a, control_b) = (control(&dirs[0]), control(&dirs[1]));
    let urls = [&control_a, &control_b].map(|control| format!("http://{}", control.api()));
    let edge = |dir: &Dir, name: &str| {
        let mut edge = command(LINKR, dir.path());
        edge.args(["edge", "--name", name, "--control", &urls.join(","), "--workers", "1", "--unpinned"]);
        edge.args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
        Linkr::start(edge, dir, &["edge", "admin"])
    };
    let (edge_a, edge_b) = (edge(&dirs[2], "a-1"), edge(&dirs[3], "b-1"));
    let create = |control: &Linkr, code: &str| {
        control.run(&dirs[1], &["link", "create", "https://example.com/", "--code", code]).status.success()
    };
    assert!(create(&control_a, "before"));
    catch_up(&edge_b, &control_a);
    let resets = edge_b.metric("linkr_feed_resets_total").unwrap();
    let data = standby.data().unwrap().display().to_string();

    // No word of goodbye from anybody in region A.
    let (mut primary, mut control_a, mut edge_a) = (primary, control_a, edge_a);
    primary.kill();
    control_a.kill();
    edge_a.kill();
    assert_eq!(edge_b.get("/before").status, 302, "redirects go on");
    let blocks = Page::at("docs/regions.md").blocks("When the region with the primary is lost");
    let [promote, forget] = blocks.as_slice() else { panic!("{blocks:?}") };
    standby.shell(promote, &[("NEW", &standby.url("linkr")), ("NEW_DATA", &data)]).unwrap();
    until("a write", || create(&control_b, "after").then_some(()));
    until("the edge to have it", || (edge_b.get("/after").status == 302).then_some(()));
    assert_eq!(edge_b.metric("linkr_feed_resets_total"), Some(resets), "it begins anew: {}", edge_b.stderr());
    assert_eq!(edge_b.get("/before").status, 302);
    let server = format!("http://{}", control_b.api());
    let terminal = Terminal::new(&dirs[1]).with("LINKR_SERVER", &server).with("EDGE", "a-1");
    assert_eq!(Page::at("docs/regions.md").block("When a region without the primary is lost"), *forget);
    // While it may still answer it is not forgotten.
    until("it to be forgotten", || terminal.run(forget).status.success().then_some(()));
    let status = control_b.run(&dirs[1], &["feed", "status"]);
    let told = text(&status.stdout);
    assert!(told.contains("b-1") && !told.contains("a-1"), "{told}");
}
