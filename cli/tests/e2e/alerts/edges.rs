//! Alerts of edges that miss control, and of edges that are missed.

use super::{Visitors, Watch, control, edge, edge_command, url};
use crate::support::{Connection, Dir, Linkr, beside_others, until};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

fn links(control: &Linkr, dir: &Dir, count: usize) {
    let rows: String = (0..count).map(|n| format!("c{n},https://example.com/some/target/{n}\n")).collect();
    let file = dir.write("links.csv", format!("code,target\n{rows}"));
    control.ok(dir, &["import", &file]);
}

fn wait_ready(edge: &Linkr) {
    until("it to be ready", || {
        (Connection::to(edge.admin()).ask("GET", "/readyz").status == 200).then_some(())
    });
}

#[test]
fn edges_without_control() {
    let _turn = beside_others();
    let Some(watch) = Watch::new("alerts") else { return };
    let (dir, own, other) = (Dir::new(), Dir::new(), Dir::new());
    let mut control = watch.control(control(&dir, &[]));
    links(&control, &dir, 6_000);
    let url = url(&control);
    let near = watch.edge(edge(&own, &url, &["--hot-set-bytes", "256KiB"]));
    wait_ready(&near);
    // Half of it from memory; what does not fit is asked of control.
    let _visitors =
        Visitors::of(&near, |n| if n % 2 == 0 { "/c5999".into() } else { format!("/c{}", n % 6_000) });
    watch.is_calm();
    // It holds its connections and answers nothing: each question takes the second that an edge gives it.
    control.signal("STOP");
    watch.expect(&[
        "LinkrEdgeBlind",
        "LinkrEdgeSlow",
        "LinkrAvailabilityBurnsFast",
        "LinkrAvailabilityBurnsSlowly",
        "LinkrFreshnessBurnsFast",
        "LinkrFreshnessBurnsSlowly",
    ]);
    control.signal("CONT");
    control.kill();
    let _late = watch.edge(edge(&other, &url, &[]));
    watch.expect(&["LinkrControlAway", "LinkrTargetDown", "LinkrEdgeStaleTooLong"]);
}

#[test]
fn edges_that_go() {
    let _turn = beside_others();
    let Some(watch) = Watch::new("alerts") else { return };
    let (dir, own, other) = (Dir::new(), Dir::new(), Dir::new());
    let control = watch.control(control(&dir, &[]));
    let url = url(&control);
    let mut lost = edge(&own, &url, &["--name", "lost", "--clicks-dir", "clicks"]);
    wait_ready(&lost);
    let mut again = watch.edge(edge(&other, &url, &["--name", "again"]));
    wait_ready(&again);
    let complete = "linkr_control_clicks_complete_until_seconds";
    until("clicks to be complete", || control.metric(complete).filter(|until| *until > 0.0));
    watch.is_calm();
    lost.kill();
    let admin = again.admin().to_string();
    let started = format!("process_start_time_seconds{{instance=\"{admin}\"}}");
    for _ in 0..4 {
        let before = watch.prometheus.query(&started).unwrap();
        again.kill();
        let command = edge_command(&other, &url, &["--admin", &admin, "--name", "again"]);
        again = Linkr::start(command, &other, &["edge", "admin"]);
        until("the new one to be scraped", || watch.prometheus.query(&started).filter(|at| *at != before));
    }
    watch.expect(&["LinkrRestarting", "LinkrEdgeLost", "LinkrClicksNotComplete"]);
}

/// A way to a server that is as slow as it is told to be, one connection a thread.
struct SlowWay(SocketAddr);

impl SlowWay {
    /// What the server says goes on in pieces of this size, with so long between two of them.
    fn to(server: SocketAddr, piece: usize, pause: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let own = Self(listener.local_addr().unwrap());
        std::thread::spawn(move || {
            // Until the process ends: a thread that waits in accept holds nothing up.
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(server) else { return };
                let (to_client, from_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                std::thread::spawn(move || pass(client, server, 1 << 16, Duration::ZERO));
                std::thread::spawn(move || pass(from_server, to_client, piece, pause));
            }
        });
        own
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, piece: usize, pause: Duration) {
    let mut bytes = vec![0; piece];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        if to.write_all(&bytes[..count]).is_err() {
            break;
        }
        std::thread::sleep(pause);
    }
    let _ = to.shutdown(std::net::Shutdown::Both);
}

#[test]
fn an_edge_that_takes_changes_in_too_slowly() {
    let _turn = beside_others();
    let Some(watch) = Watch::new("alerts") else { return };
    let (dir, own) = (Dir::new(), Dir::new());
    let control = watch.control(control(&dir, &[]));
    let way = SlowWay::to(control.api(), 2_000, Duration::from_millis(50));
    let edge = watch.edge(edge(&own, &format!("http://{}", way.0), &[]));
    wait_ready(&edge);
    watch.is_calm();
    links(&control, &dir, 20_000);
    watch.expect(&["LinkrFeedLagging"]);
}

#[test]
fn records_that_nobody_can_read() {
    let _turn = beside_others();
    let Some(watch) = Watch::new("alerts") else { return };
    let (dir, own, other) = (Dir::new(), Dir::new(), Dir::new());
    let control = watch.control(control(&dir, &["--store", "sqlite:linkr.db"]));
    let edge = watch.edge(edge(&own, &url(&control), &[]));
    wait_ready(&edge);
    control.ok(&dir, &["link", "create", "https://example.com/x", "--code", "x"]);
    watch.is_calm();
    let file = rusqlite::Connection::open(dir.file("linkr.db")).unwrap();
    file.busy_timeout(crate::support::PATIENCE).unwrap();
    assert_eq!(file.execute("UPDATE links SET record = x'00ff00ff'", []).unwrap(), 1);
    let answer = Connection::to(control.api()).call("GET", "/v1/links/x", "").unwrap().unwrap();
    assert_eq!(answer.status, 500, "{answer:?}");
    watch.expect(&["LinkrStoreCorrupt"]);
    // An edge that begins now is sent it as it is.
    let _late = watch.edge(super::edge(&other, &url(&control), &[]));
    watch.expect(&["LinkrRecordUnreadable"]);
}
