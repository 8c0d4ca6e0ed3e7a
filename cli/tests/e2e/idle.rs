//! What a connection costs that has asked once and then says nothing.

use crate::support::{
    Connection, Dir, EPOLL, FREE_PORTS, IO_URING, LINKR, Linkr, beside_others, command, until,
};

/// As many as a process may have open where nobody has raised that.
const CONNECTIONS: usize = 800;
/// Bytes of the edge's process for each. An unoptimised task takes 5,300; a buffer for a request would be 2 KiB more.
const LIMIT: usize = 6_400;

fn resident(pid: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
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
