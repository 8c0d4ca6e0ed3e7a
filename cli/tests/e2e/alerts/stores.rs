//! Alerts of stores, and of the copy in Redis.

use super::{Visitors, Watch, beside, control, edge, url};
use crate::support::{Connection, Dir, FREE_PORTS, LINKR, Linkr, beside_others, command, skip, until};
use std::time::Duration;

/// Writes until one is refused.
fn write_until_refused(server: &Linkr) {
    let mut api = Connection::to(server.api());
    let body = format!(r#"{{"target":"https://example.com/","note":"{}"}}"#, "x".repeat(4_000));
    let refused = (0..20_000).find(|_| api.call("POST", "/v1/links", &body).unwrap().unwrap().status != 201);
    refused.expect("the disk is never full");
}

#[test]
fn an_sqlite_file_on_a_disk_that_is_full() {
    let _turn = beside_others();
    let Some(watch) = Watch::new("alerts") else { return };
    let dir = Dir::new();
    let disk = match services::Disk::mount(&dir.path().join("store"), None) {
        Err(fault @ services::ServerFault::Missing(_)) => return skip("alerts", &fault.to_string()),
        disk => disk.unwrap(),
    };
    let server = watch.control(control(&dir, &["--store", "sqlite:store/linkr.db"]));
    server.ok(&dir, &["link", "create", "https://example.com/x", "--code", "x"]);
    watch.is_calm();
    disk.fill().unwrap();
    write_until_refused(&server);
    watch.expect(&["LinkrStoreFull", "LinkrStoreUnwritable"]);
}

#[test]
fn an_sqlite_file_that_somebody_else_holds_again_and_again() {
    let _turn = beside_others();
    let Some(watch) = Watch::new("alerts") else { return };
    let dir = Dir::new();
    let server = watch.control(control(&dir, &["--store", "sqlite:linkr.db"]));
    server.ok(&dir, &["link", "create", "https://example.com/x", "--code", "x"]);
    watch.is_calm();
    let other = rusqlite::Connection::open(dir.file("linkr.db")).unwrap();
    other.busy_timeout(crate::support::PATIENCE).unwrap();
    let holds = move || {
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        std::thread::sleep(Duration::from_millis(1_300));
        other.execute_batch("ROLLBACK").unwrap();
        std::thread::sleep(Duration::from_millis(50));
    };
    let body = r#"{"target":"https://example.com/"}"#;
    let writes = || drop(Connection::to(server.api()).call("POST", "/v1/links", body));
    beside(holds, || beside(writes, || watch.expect(&["LinkrControlOverloaded"])));
}

fn on_postgres(dir: &Dir, url: &str, words: &[&str]) -> Linkr {
    let mut server = command(LINKR, dir.path());
    server.args(["control", "--store", url, "--fenced"]).args(FREE_PORTS).args(words);
    Linkr::start(server, dir, &["api", "admin"])
}

#[test]
fn a_postgres_that_goes_and_one_that_goes_back() {
    let _turn = beside_others();
    let Some(watch) = Watch::new("alerts") else { return };
    let mut postgres = match services::Postgres::start(&["fsync=off"]) {
        Err(fault @ services::ServerFault::Missing(_)) => return skip("alerts", &fault.to_string()),
        server => server.unwrap(),
    };
    if postgres.port().is_none() {
        return skip("alerts", "LINKR_TEST_POSTGRES cannot be killed");
    }
    let url = postgres.create("linkr").unwrap();
    let (dir, own) = (Dir::new(), Dir::new());
    let server = watch.control(on_postgres(&dir, &url, &[]));
    server.ok(&dir, &["link", "create", "https://example.com/x"]);
    let before = postgres.dump("linkr").unwrap();
    server.ok(&dir, &["link", "create", "https://example.com/y"]);
    watch.is_calm();
    postgres.kill();
    watch.expect(&["LinkrStoreUnreadable"]);
    postgres.start_again().unwrap();
    until("it to be read again", || server.metric("linkr_store_readable").filter(|good| *good == 1.0));
    let put_back = || {
        // Whole before it takes the place of the other.
        postgres.restore("older", &before).unwrap();
        postgres.psql("postgres", "DROP DATABASE linkr WITH (FORCE)").unwrap();
        postgres.psql("postgres", "ALTER DATABASE older RENAME TO linkr").unwrap();
    };
    put_back();
    watch.expect(&["LinkrStoreReplaced"]);
    drop(server);
    let server = watch.control(on_postgres(&own, &url, &["--auto-fork"]));
    server.ok(&dir, &["link", "create", "https://example.com/z"]);
    let histories = format!("linkr_control_histories_total{{instance=\"{}\"}}", server.admin());
    until("this one to be scraped", || watch.prometheus.query(&histories));
    put_back();
    watch.expect(&["LinkrHistoryBegun"]);
}

#[test]
fn a_redis_that_goes_and_one_with_another_policy() {
    let _turn = beside_others();
    let Some(watch) = Watch::new("alerts") else { return };
    let mut redis = match services::Redis::start(&["maxmemory-policy volatile-lru"]) {
        Err(fault @ services::ServerFault::Missing(_)) => return skip("alerts", &fault.to_string()),
        redis => redis.unwrap(),
    };
    let (dir, own) = (Dir::new(), Dir::new());
    let server = watch.control(control(&dir, &["--redis", redis.url()]));
    until("the copy", || server.metric("linkr_redis_shards_connected").filter(|shards| *shards == 1.0));
    let edge = watch.edge(edge(&own, &url(&server), &["--redis", redis.url()]));
    until("Redis to be asked", || edge.metric("linkr_redis_up").filter(|up| *up == 1.0));
    let _visitors = Visitors::of(&edge, |n| format!("/none{n}"));
    watch.is_calm();
    redis.kill().unwrap();
    watch.expect(&["LinkrRedisAway", "LinkrRedisCopyBehind"]);
    drop(server);
    let other = services::Redis::start(&["maxmemory-policy allkeys-lru"]).unwrap();
    let _server = watch.control(control(&dir, &["--redis", other.url()]));
    watch.expect(&["LinkrRedisPolicy"]);
}
