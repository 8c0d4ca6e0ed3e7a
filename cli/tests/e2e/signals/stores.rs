//! Faults of a store, in the table of docs/reliability.md.

use super::{Scene, control, edge, json, ready, wait_ready};
use crate::support::{Connection, Dir, FREE_PORTS, LINKR, Linkr, beside_others, command, skip, text, until};
use std::time::{Duration, Instant};

#[test]
fn an_sqlite_file_that_somebody_else_holds() {
    let _turn = beside_others();
    let (dir, own) = (Dir::new(), Dir::new());
    let server = control(&dir, &["--store", "sqlite:linkr.db"]);
    let url = format!("http://{}", server.api());
    server.ok(&dir, &["link", "create", "https://example.com/x", "--code", "x"]);
    let first = edge(&own, &url, &[]);
    wait_ready(&first);
    assert_eq!(ready(&server, "/readyz?write"), (200, "ok\n".into()));
    let scene = Scene::of(&server, "store locked");
    let other = rusqlite::Connection::open(dir.file("linkr.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let (status, why) = ready(&server, "/readyz?write");
    assert_eq!(status, 503, "{why}");
    assert!(why.contains("locked"), "{why}");
    assert_eq!(ready(&server, "/readyz"), (200, "ok\n".into()), "it serves reads and the feed");
    scene.lasts();
    // The feed goes on, for an edge that comes only now as well.
    let own = Dir::new();
    let second = edge(&own, &url, &[]);
    wait_ready(&second);
    for edge in [&first, &second] {
        until("it to see", || edge.metric("linkr_edge_staleness_seconds").filter(|stale| *stale < 1.0));
        assert_eq!(edge.get("/x").status, 302);
    }
    other.execute_batch("ROLLBACK").unwrap();
    scene.is_over();
    until("writes", || (ready(&server, "/readyz?write").0 == 200).then_some(()));
}

/// Writes until the disk is full: what the last answer says.
fn write_until_full(server: &Linkr) -> String {
    let mut api = Connection::to(server.api());
    let body = format!(r#"{{"target":"https://example.com/","note":"{}"}}"#, "x".repeat(4_000));
    for _ in 0..20_000 {
        let answer = api.call("POST", "/v1/links", &body).unwrap().unwrap();
        if answer.status != 201 {
            return answer.body;
        }
    }
    panic!("the disk is never full");
}

/// While it lasts, and for a while: no write is promised, and reads go on.
fn refuses_writes_alone(server: &Linkr, word: &str) {
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(2_500) {
        let (status, why) = ready(server, "/readyz?write");
        assert_eq!(status, 503, "{why}");
        assert!(why.contains(word), "{why}");
        assert_eq!(ready(server, "/readyz"), (200, "ok\n".into()), "it serves reads and the feed");
        std::thread::sleep(Duration::from_millis(50));
    }
    let read = Connection::to(server.api()).call("GET", "/v1/links/x", "").unwrap().unwrap();
    assert_eq!(read.status, 200, "{}", read.body);
}

#[test]
fn an_sqlite_file_on_a_disk_that_is_full() {
    let _turn = beside_others();
    let (dir, own) = (Dir::new(), Dir::new());
    let disk = match services::Disk::mount(&dir.path().join("store"), None) {
        Err(fault @ services::ServerFault::Missing(_)) => return skip("signals", &fault.to_string()),
        disk => disk.unwrap(),
    };
    let server = control(&dir, &["--store", "sqlite:store/linkr.db"]);
    server.ok(&dir, &["link", "create", "https://example.com/x", "--code", "x"]);
    let edge = edge(&own, &format!("http://{}", server.api()), &[]);
    wait_ready(&edge);
    let scene = Scene::of(&server, "SQLite full");
    disk.fill().unwrap();
    let said = write_until_full(&server);
    assert!(said.contains("DISK_FULL") && said.contains("make room"), "{said}");
    scene.lasts();
    refuses_writes_alone(&server, "full");
    assert_eq!(edge.get("/x").status, 302);
    disk.empty().unwrap();
    scene.is_over();
    until("writes", || (ready(&server, "/readyz?write").0 == 200).then_some(()));
    server.ok(&dir, &["link", "create", "https://example.com/y", "--code", "y"]);
    until("the redirect", || (edge.get("/y").status == 302).then_some(()));
}

#[test]
fn an_sqlite_file_on_a_disk_that_turns_read_only() {
    let _turn = beside_others();
    let dir = Dir::new();
    let disk = match services::Disk::in_file(&dir.path().join("store")) {
        Err(fault @ services::ServerFault::Missing(_)) => return skip("signals", &fault.to_string()),
        disk => disk.unwrap(),
    };
    let server = control(&dir, &["--store", "sqlite:store/linkr.db"]);
    server.ok(&dir, &["link", "create", "https://example.com/x", "--code", "x"]);
    let scene = Scene::of(&server, "SQLite read-only");
    disk.turn_read_only().unwrap();
    let refused = server.run(&dir, &["link", "create", "https://example.com/y"]);
    assert!(text(&refused.stderr).contains("Read-only file system"), "{}", text(&refused.stderr));
    scene.lasts();
    refuses_writes_alone(&server, "Read-only file system");
    scene.is_over();
}

#[test]
fn a_postgres_on_a_disk_that_is_full() {
    let _turn = beside_others();
    let mut postgres = match services::Postgres::start_in(&["fsync=off"], services::Volume::Own) {
        Err(fault @ services::ServerFault::Missing(_)) => return skip("signals", &fault.to_string()),
        server => server.unwrap(),
    };
    if postgres.port().is_none() {
        return skip("signals", "LINKR_TEST_POSTGRES has a disk that others use");
    }
    let url = postgres.create("linkr").unwrap();
    let (dir, own) = (Dir::new(), Dir::new());
    let server = control(&dir, &["--store", &url, "--fenced"]);
    server.ok(&dir, &["link", "create", "https://example.com/x", "--code", "x"]);
    // Its row is written five times a second, and finds room on a page that is there.
    let edge = edge(&own, &format!("http://{}", server.api()), &[]);
    wait_ready(&edge);
    let scene = Scene::of(&server, "PostgreSQL full");
    postgres.fill_disk().unwrap();
    let said = write_until_full(&server);
    assert!(said.contains("DISK_FULL") && said.contains("make room"), "{said}");
    scene.lasts();
    refuses_writes_alone(&server, "full");
    assert_eq!(edge.get("/x").status, 302);
    postgres.empty_disk().unwrap();
    scene.is_over();
    until("writes", || (ready(&server, "/readyz?write").0 == 200).then_some(()));
}

#[test]
fn postgres_goes_and_comes_back() {
    let _turn = beside_others();
    let mut postgres = match services::Postgres::start(&["fsync=off"]) {
        Ok(server) => server,
        Err(fault @ services::ServerFault::Missing(_)) => return skip("signals", &fault.to_string()),
        Err(fault) => panic!("{fault}"),
    };
    if postgres.port().is_none() {
        return skip("signals", "LINKR_TEST_POSTGRES cannot be killed");
    }
    let url = postgres.create("linkr").unwrap();
    let dir = Dir::new();
    let mut server = json(command(LINKR, dir.path()));
    server.args(["control", "--store", &url, "--fenced"]).args(FREE_PORTS).env("LINKR_INSECURE", "false");
    let server = Linkr::start(server, &dir, &["api", "admin"]);
    until("it to be ready", || (ready(&server, "/readyz?write").0 == 200).then_some(()));
    let scene = Scene::of(&server, "PostgreSQL down");
    postgres.kill();
    scene.lasts();
    until("it to be not ready", || (ready(&server, "/readyz").0 == 503).then_some(()));
    postgres.start_again().unwrap();
    scene.is_over();
    until("it to be ready", || (ready(&server, "/readyz?write").0 == 200).then_some(()));
    let scene = Scene::of(&server, "PostgreSQL read-only");
    let set = |on: &str| {
        let sql = format!("ALTER DATABASE linkr SET default_transaction_read_only = {on}");
        postgres.psql("postgres", &sql).unwrap();
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'linkr' AND pid <> pg_backend_pid()";
        postgres.psql("postgres", end).unwrap();
    };
    set("on");
    scene.lasts();
    set("off");
    scene.is_over();
}
