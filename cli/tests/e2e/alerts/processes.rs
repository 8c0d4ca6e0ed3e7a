//! Alerts of any process: certificates, clock, log, descriptors, files.

use super::{Watch, beside, control, edge, edge_command, url};
use crate::log::{Fate, Server, words};
use crate::signals::certificates::Pair;
use crate::signals::clock::Clock;
use crate::support::{Connection, Dir, LINKR, Linkr, beside_others, command, skip, until};
use std::net::TcpStream;
use std::time::Duration;

const DAY: i64 = 86_400;

#[test]
fn certificates_that_end_and_files_that_cannot_be_used() {
    let _turn = beside_others();
    let Some(watch) = Watch::new("alerts") else { return };
    let (dir, own) = (Dir::new(), Dir::new());
    let server = control(&dir, &[]);
    Pair::that_expires_in(30 * DAY).write(&own);
    let tls = ["--listen-tls", "127.0.0.1:0", "--tls-cert", "tls.pem", "--tls-key", "tls.key"];
    let edge = watch.edge(edge(&own, &url(&server), &tls));
    until("the listener", || edge.metric("linkr_tls_certificates_usable{listener=\"redirects\"}"));
    watch.is_calm();
    Pair::that_expires_in(10 * DAY).write(&own);
    watch.expect(&["LinkrCertificateExpires"]);
    assert!(!watch.fired().contains("LinkrCertificateExpired"));
    Pair::that_expires_in(3_600).write(&own);
    watch.expect(&["LinkrCertificateExpired"]);
    own.write("tls.key", "this is no key");
    watch.expect(&["LinkrCertificateUnusable"]);
}

#[test]
fn a_clock_that_is_set() {
    let _turn = beside_others();
    let Some(watch) = Watch::new("alerts") else { return };
    let (dir, own) = (Dir::new(), Dir::new());
    let Some(clock) = Clock::new(&own) else {
        return skip("alerts", "there is no C compiler");
    };
    let server = control(&dir, &[]);
    let mut command = edge_command(&own, &url(&server), &["--admin", "127.0.0.1:0"]);
    clock.given_to(&mut command);
    let edge = watch.edge(Linkr::start(command, &own, &["edge", "admin"]));
    until("it to see", || edge.metric("linkr_edge_staleness_seconds").filter(|stale| *stale < 1.0));
    watch.is_calm();
    clock.set(-7_200);
    watch.expect(&["LinkrClockOff"]);
}

#[test]
fn a_log_that_cannot_be_written() {
    let _turn = beside_others();
    let Some(watch) = Watch::new("alerts") else { return };
    let dir = Dir::new();
    let server = Server::start(&dir, &words(&["control"], &["--api", "--admin"]), "calls=debug", Fate::Full);
    watch.scrape("linkr-control", server.address("admin"));
    watch.is_calm();
    let mut api = Connection::to(server.address("api"));
    for _ in 0..10 {
        assert_eq!(api.call("GET", "/v1/links", "").unwrap().unwrap().status, 200);
    }
    watch.expect(&["LinkrLogLinesDropped"]);
}

#[test]
fn descriptors_that_are_used_up() {
    let _turn = beside_others();
    let Some(watch) = Watch::new("alerts") else { return };
    let (dir, own) = (Dir::new(), Dir::new());
    let server = control(&dir, &[]);
    let mut shell = command("sh", own.path());
    shell.args(["-c", "ulimit -n 160; exec \"$0\" \"$@\"", LINKR]);
    shell.args(["edge", "--control", &url(&server), "--workers", "1", "--unpinned"]);
    shell.args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    let edge = watch.edge(Linkr::start(shell, &own, &["edge", "admin"]));
    watch.is_calm();
    // Those that are idle are closed, so there are always new ones.
    let comes = || {
        let _all: Vec<_> = (0..300).map_while(|_| TcpStream::connect(edge.edge()).ok()).collect();
        std::thread::sleep(Duration::from_millis(100));
    };
    beside(comes, || watch.expect(&["LinkrEdgeCrowded"]));
}

#[test]
fn a_snapshot_that_cannot_be_read() {
    let _turn = beside_others();
    let Some(watch) = Watch::new("alerts") else { return };
    let (dir, own) = (Dir::new(), Dir::new());
    let server = control(&dir, &[]);
    own.write("snapshot", "this is no snapshot");
    let _edge = watch.edge(edge(&own, &url(&server), &["--snapshot", "snapshot"]));
    watch.expect(&["LinkrSnapshotFails"]);
}

#[test]
fn traces_that_nobody_takes() {
    let _turn = beside_others();
    let Some(watch) = Watch::new("alerts") else { return };
    let (dir, own) = (Dir::new(), Dir::new());
    let server = control(&dir, &[]);
    // Bound and gone: nobody listens there.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let otlp = ["--otlp", &format!("http://{nobody}")];
    let edge = watch.edge(edge(&own, &url(&server), &otlp));
    let asks = || {
        // On a slow machine control does not always answer in time.
        assert!([404, 503].contains(&edge.get("/none").status));
        std::thread::sleep(Duration::from_millis(100));
    };
    beside(asks, || watch.expect(&["LinkrTracesNotSent"]));
}
