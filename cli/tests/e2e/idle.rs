//! Connections that have asked once and then say nothing: what one costs, how long it stays, and whom it makes room for.

use crate::support::{
    Connection, Dir, EPOLL, FREE_PORTS, IO_URING, LINKR, Linkr, beside_others, command, until,
};
use std::time::{Duration, Instant};

/// As many as a process may have open where nobody has raised that.
const CONNECTIONS: usize = 800;
/// Bytes of the edge's process for each. An unoptimised task takes 5,300; a buffer for a request would be 2 KiB more.
const LIMIT: usize = 6_400;

fn resident(pid: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

/// With few descriptors, and the link `x`.
fn edge_of(control: &Linkr, dir: &Dir, files: usize, driver: (&str, &str), words: &[&str]) -> Linkr {
    let mut edge = command("sh", dir.path());
    edge.args(["-c", &format!("ulimit -n {files}; exec \"$0\" \"$@\""), LINKR]);
    edge.args(["edge", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--workers", "1", "--unpinned"]);
    edge.args(["--control", &format!("http://{}", control.api())]).args(words).envs([driver]);
    let edge = Linkr::start(edge, dir, &["edge", "admin"]);
    until("the link", || (edge.get("/x").status == 302).then_some(()));
    edge
}

/// A control with the link `x`.
fn control_of(dir: &Dir) -> Linkr {
    let mut control = command(LINKR, dir.path());
    control.args(["control", "--store", "sqlite:linkr.db"]).args(FREE_PORTS);
    let control = Linkr::start(control, dir, &["api", "admin"]);
    control.ok(dir, &["link", "create", "https://example.com/", "--code", "x"]);
    control
}

#[test]
fn a_kept_connection_ends_with_the_idle_timeout_and_not_before() {
    let _turn = beside_others();
    let dir = Dir::new();
    let control = control_of(&dir);
    for driver in [IO_URING, EPOLL] {
        let own = Dir::new();
        let short = edge_of(&control, &own, 1_024, driver, &["--idle-timeout", "1s"]);
        let usual = edge_of(&control, &own, 1_024, driver, &[]);
        let mut all = [&short, &usual].map(|edge| Connection::to(edge.edge()));
        all.iter_mut().for_each(|connection| assert_eq!(connection.ask("GET", "/x").status, 302));
        let began = Instant::now();
        assert_eq!(all[0].answer(false).unwrap(), None);
        let took = began.elapsed();
        assert!(took >= Duration::from_millis(900) && took < Duration::from_secs(5), "{took:?}");
        assert_eq!(all[1].ask("GET", "/x").status, 302);
    }
}

/// With a long idle timeout strangers could hold every connection that there may be.
#[test]
fn the_longest_idle_make_room_for_whoever_comes() {
    const VISITORS: usize = 300;
    let _turn = beside_others();
    let dir = Dir::new();
    let control = control_of(&dir);
    for driver in [IO_URING, EPOLL] {
        let own = Dir::new();
        let edge = edge_of(&control, &own, 256, driver, &["--idle-timeout", "1d"]);
        let (mut kept, mut worst) = (Vec::new(), Duration::ZERO);
        for _ in 0..VISITORS {
            let began = Instant::now();
            let mut connection = Connection::to(edge.edge());
            assert_eq!(connection.ask("GET", "/x").status, 302);
            worst = worst.max(began.elapsed());
            kept.push(connection);
        }
        println!("{driver:?}: {VISITORS} visitors, the slowest {worst:?}");
        assert!(worst < Duration::from_secs(5), "{worst:?}");
        assert_eq!(kept[0].answer(false).unwrap(), None, "it was idle for longest");
        assert_eq!(kept[VISITORS - 1].ask("GET", "/x").status, 302);
        assert!(edge.stderr().contains("those that are idle for longest are closed"), "{}", edge.stderr());
    }
}

#[test]
fn an_idle_connection_holds_no_buffer() {
    let _turn = beside_others();
    for env in [[IO_URING], [EPOLL]] {
        let dir = Dir::new();
        let mut control = command(LINKR, dir.path());
        control.args(["control", "--store", "sqlite:linkr.db"]).args(FREE_PORTS);
        let control = Linkr::start(control, &dir, &["api", "admin"]);
        let mut edge = command(LINKR, dir.path());
        edge.args(["edge", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--workers", "2"]);
        edge.args(["--hot-set-bytes", "16MiB", "--control", &format!("http://{}", control.api())]);
        edge.envs(env);
        let edge = Linkr::start(edge, &dir, &["edge", "admin"]);
        control.ok(&dir, &["link", "create", "https://example.com/", "--code", "x"]);
        until("the link", || (edge.get("/x").status == 302).then_some(()));
        let ask = || {
            let mut connection = Connection::to(edge.edge());
            assert_eq!(connection.ask("GET", "/x").status, 302);
            connection
        };
        // What is made once, for the first few, is not counted.
        let mut kept: Vec<Connection> = (0..64).map(|_| ask()).collect();
        let before = resident(edge.pid());
        kept.extend((0..CONNECTIONS).map(|_| ask()));
        let each = resident(edge.pid()).saturating_sub(before) / CONNECTIONS;
        assert!(each <= LIMIT, "{env:?}: {each} bytes for each");
        println!("{env:?}: {each} bytes for each");
        // And all of them are still served.
        for connection in &mut kept {
            assert_eq!(connection.ask("GET", "/x").status, 302);
        }
    }
}
