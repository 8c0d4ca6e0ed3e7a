//! Where an edge can be asked: several addresses and socket files at once, with a proxy's word in front or not, and with
//! methods that carry something, with both drivers.

use crate::support::{
    Connection, Dir, EPOLL, FREE_PORTS, IO_URING, LINKR, Linkr, beside_others, command, has, skip, text,
    until,
};
use crate::tls::{self, Certificate};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

const TARGET: &str = "https://example.com/";

/// `linkr up` with a link `x`, and more in its environment.
fn started(dir: &Dir, listen: &str, env: &[(&str, &str)]) -> Linkr {
    let mut up = command(LINKR, dir.path());
    up.args(["up", "--data-dir", "data", "--workers", "2", "--listen", listen]).args(FREE_PORTS);
    up.envs(env.iter().copied());
    let linkr = Linkr::start(up, dir, &["edge", "api", "admin", "then"]);
    linkr.ok(dir, &["link", "create", TARGET, "--code", "x"]);
    linkr.catch_up();
    linkr
}

#[test]
fn one_edge_listens_at_several_addresses_and_files() {
    for driver in [IO_URING, EPOLL] {
        let _turn = beside_others();
        let dir = Dir::new();
        let (one, two) = (dir.file("one.sock"), dir.file("two.sock"));
        let mut linkr = started(&dir, &format!("localhost:0,unix:{one},unix:{two}"), &[driver]);
        let also = linkr.said("also").to_owned();
        let others: Vec<&str> = also.split(", ").collect();
        assert!(
            others.contains(&&*format!("unix:{one}")) && others.contains(&&*format!("unix:{two}")),
            "{also}"
        );
        let mut addresses = vec![linkr.edge()];
        addresses.extend(
            others.iter().filter_map(|other| other.strip_prefix("http://")?.parse::<SocketAddr>().ok()),
        );
        assert!(
            addresses
                .iter()
                .all(|address| address.ip().is_loopback() && address.port() == linkr.edge().port())
        );
        for address in addresses {
            assert_eq!(Connection::to(address).ask("GET", "/x").location(), TARGET, "{address}");
        }
        for file in [&one, &two] {
            let found = std::fs::symlink_metadata(file).unwrap();
            assert!(
                found.file_type().is_socket() && found.permissions().mode() & 0o777 == 0o660,
                "{found:?}"
            );
            // Both workers take from it.
            let mut kept: Vec<_> =
                (0..32).map(|_| Connection::over(UnixStream::connect(file).unwrap())).collect();
            for _ in 0..2 {
                kept.iter_mut().for_each(|kept| assert_eq!(kept.ask("GET", "/x").location(), TARGET));
            }
            let debug = kept[0].call_with("GET", "/x", &[("X-Linkr-Debug", "1")], "").unwrap().unwrap();
            assert_eq!(debug.field("x-linkr-tier"), None, "a proxy's visitors come by it");
        }
        // Another process gets none of them, and breaks none.
        let mut second = command(LINKR, dir.path());
        second.args(["edge", "--admin", "127.0.0.1:0", "--listen", &format!("unix:{one}")]);
        let refused = second.output().unwrap();
        assert!(text(&refused.stderr).contains("is in use by another process"), "{}", text(&refused.stderr));
        assert!(Connection::over(UnixStream::connect(&one).unwrap()).ask("GET", "/x").status == 302);
        linkr.ask_to_stop();
        assert_eq!(linkr.exited().code(), Some(0), "{}", linkr.stderr());
        assert!(!linkr.stderr().contains("no connection can be accepted"), "{}", linkr.stderr());
        assert!([&one, &two].iter().all(|file| !std::path::Path::new(file).exists()));
    }
}

#[test]
fn a_socket_file_that_was_left_behind_is_replaced_and_nothing_else_is() {
    let _turn = beside_others();
    let dir = Dir::new();
    let file = dir.file("edge.sock");
    let ask = || Connection::over(UnixStream::connect(&file).unwrap()).ask("GET", "/x").status;
    let mut killed = started(&dir, &format!("unix:{file}"), &[]);
    assert!(
        killed.said("edge").starts_with(&format!("unix:{file}  (2 workers, ")),
        "{}",
        killed.said("edge")
    );
    assert!(killed.said("then").contains("--unix-socket"), "{}", killed.said("then"));
    assert_eq!(ask(), 302);
    killed.kill();
    assert!(UnixStream::connect(&file).is_err() && std::path::Path::new(&file).exists());
    drop(killed);
    let mut up = command(LINKR, dir.path());
    up.args(["up", "--data-dir", "data", "--listen", &format!("unix:{file}")]).args(FREE_PORTS);
    let linkr = Linkr::start(up, &dir, &["edge", "api", "admin", "then"]);
    linkr.catch_up();
    assert_eq!(ask(), 302);
    let own = dir.write("own", "somebody's");
    let mut wrong = command(LINKR, dir.path());
    let refused = wrong.args(["edge", "--listen", &format!("unix:{own}")]).output().unwrap();
    assert!(!refused.status.success() && text(&refused.stderr).contains("is no socket"), "{refused:?}");
    assert_eq!(std::fs::read(&own).unwrap(), b"somebody's");
}

fn v2(client: [u8; 4]) -> Vec<u8> {
    let start = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c";
    [&start[..], &client, &[192, 0, 2, 200, 0x12, 0x34, 0, 80]].concat()
}

fn v1(client: [u8; 4]) -> Vec<u8> {
    let [a, b, c, d] = client;
    format!("PROXY TCP4 {a}.{b}.{c}.{d} 192.0.2.200 4660 80\r\n").into_bytes()
}

const REQUEST: &[u8] = b"GET /x HTTP/1.1\r\nHost: a\r\nX-Linkr-Debug: 1\r\n\r\n";
const LOCAL: [u8; 4] = [127, 0, 0, 9];
const VISITOR: [u8; 4] = [198, 51, 100, 7];

/// What comes back for these bytes, which are sent piece by piece; `None`: nothing.
fn answered(stream: impl Read + Write, pieces: &[&[u8]]) -> Option<crate::support::Answer> {
    let mut connection = Connection::over(stream);
    for piece in pieces {
        connection.write_all(piece).ok()?;
    }
    connection.answer(false).ok().flatten()
}

fn to(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
}

/// Whether it is told where the answer came from, as whoever is on the edge's machine is.
fn is_local(answer: &crate::support::Answer) -> bool {
    assert_eq!(answer.location(), TARGET);
    answer.field("x-linkr-tier").is_some()
}

#[test]
fn a_trusted_proxy_says_who_asks() {
    for driver in [IO_URING, EPOLL] {
        let _turn = beside_others();
        let dir = Dir::new();
        let file = dir.file("edge.sock");
        let shown = Certificate::write(&dir, "a", &["a.test"]);
        let proxied =
            [driver, ("LINKR_PROXY_PROTOCOL", "require"), ("LINKR_TRUSTED_PEERS", "10.0.0.0/8,127.0.0.0/8")];
        let env = [&shown.env()[..], &proxied].concat();
        let linkr = started(&dir, &format!("127.0.0.1:0,unix:{file}"), &env);
        for header in [v1, v2] {
            for (client, local) in [(LOCAL, true), (VISITOR, false)] {
                let header = header(client);
                let whole = answered(to(linkr.edge()), &[&[&header[..], REQUEST].concat()]).unwrap();
                assert_eq!(is_local(&whole), local);
                let bytes: Vec<u8> = [&header[..], REQUEST].concat();
                let pieces: Vec<&[u8]> = bytes.chunks(1).collect();
                assert_eq!(is_local(&answered(to(linkr.edge()), &pieces).unwrap()), local, "byte by byte");
                let stream = UnixStream::connect(&file).unwrap();
                assert_eq!(is_local(&answered(stream, &[&header, REQUEST]).unwrap()), local, "by a file");
                // In front of TLS, and kept.
                let mut socket = to(linkr.tls());
                socket.write_all(&header).unwrap();
                let name = ServerName::try_from("a.test").unwrap();
                let session = ClientConnection::new(Arc::clone(&tls::client(&[&shown])), name).unwrap();
                let mut secured = Connection::over(StreamOwned::new(session, socket));
                for _ in 0..3 {
                    secured.write_all(REQUEST).unwrap();
                    assert_eq!(is_local(&secured.answer(false).unwrap().unwrap()), local, "over TLS");
                }
            }
        }
        // A health check of the proxy's own, and one that does not say.
        let own = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
        for header in [&own[..], b"PROXY UNKNOWN\r\n"] {
            assert!(!is_local(&answered(to(linkr.edge()), &[header, REQUEST]).unwrap()));
        }
        for bad in [REQUEST, b"PROXY TCP4 1.2.3.4\r\n", b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c"] {
            assert_eq!(answered(to(linkr.edge()), &[bad, REQUEST]), None, "{}", bad.escape_ascii());
        }
        let (whole, began) = (v2(VISITOR), Instant::now());
        assert_eq!(answered(to(linkr.edge()), &[&whole[..20]]), None);
        let took = began.elapsed();
        assert!(took > Duration::from_secs(4) && took < Duration::from_secs(9), "as a head: {took:?}");
        assert!(linkr.stderr().contains("does not begin as --proxy-protocol"), "{}", linkr.stderr());
        assert!(linkr.stderr().lines().filter(|line| line.contains("--proxy-protocol")).count() < 9);
    }
}

#[test]
fn whoever_is_not_trusted_says_nothing_of_others() {
    for driver in [IO_URING, EPOLL] {
        let _turn = beside_others();
        let dir = Dir::new();
        let linkr_with = |when: &'static str, trusted: &'static str| {
            started(
                &dir,
                "127.0.0.1:0",
                &[driver, ("LINKR_PROXY_PROTOCOL", when), ("LINKR_TRUSTED_PEERS", trusted)],
            )
        };
        let linkr = linkr_with("accept", "192.0.2.0/24");
        assert!(is_local(&answered(to(linkr.edge()), &[REQUEST]).unwrap()), "it comes itself");
        for header in [v1(VISITOR), v2(LOCAL)] {
            assert_eq!(answered(to(linkr.edge()), &[&header, REQUEST]), None);
        }
        until("the log to say so", || linkr.stderr().contains("--trusted-peers does not name").then_some(()));
        let mut post = Connection::over(to(linkr.edge()));
        assert_eq!(post.ask("POST", "/x").status, 405, "it begins as a header does");
        drop(linkr);
        let _ = std::fs::remove_dir_all(dir.file("data"));
        let linkr = linkr_with("require", "192.0.2.0/24");
        assert_eq!(answered(to(linkr.edge()), &[&v2(VISITOR), REQUEST]), None);
        assert_eq!(answered(to(linkr.edge()), &[REQUEST]), None);
        drop(linkr);
        let _ = std::fs::remove_dir_all(dir.file("data"));
        let linkr = linkr_with("accept", "127.0.0.1");
        assert!(!is_local(&answered(to(linkr.edge()), &[REQUEST]).unwrap()), "a proxy asks for somebody");
        assert!(is_local(&answered(to(linkr.edge()), &[&v2(LOCAL), REQUEST]).unwrap()));
        drop(linkr);
        let _ = std::fs::remove_dir_all(dir.file("data"));
        let linkr = linkr_with("off", "127.0.0.1");
        assert_eq!(answered(to(linkr.edge()), &[&v1(LOCAL), REQUEST]).unwrap().status, 400);
        assert!(!is_local(&answered(to(linkr.edge()), &[REQUEST]).unwrap()), "a proxy asks for somebody");
    }
}

#[test]
fn what_is_posted_is_answered_without_being_read() {
    for driver in [IO_URING, EPOLL] {
        let _turn = beside_others();
        let dir = Dir::new();
        let linkr = started(&dir, "127.0.0.1:0", &[driver]);
        let create = ["link", "create", TARGET, "--code", "t", "--status", "307"];
        linkr.ok(&dir, &create);
        until("the link", || (linkr.get("/t").status == 307).then_some(()));
        let body = "b".repeat(60_000);
        for (method, path, status) in
            [("POST", "/t", 307), ("PUT", "/t", 307), ("POST", "/x", 405), ("PATCH", "/t", 405)]
        {
            let mut connection = Connection::to(linkr.edge());
            let kept = connection.ask(method, path);
            assert_eq!((kept.status, kept.field("connection")), (status, None), "{method} {path}");
            let answer = connection.call(method, path, &body).unwrap().unwrap();
            assert_eq!(
                (answer.status, answer.field("connection")),
                (status, Some("close")),
                "{method} {path}"
            );
            assert_eq!(answer.location(), if status == 307 { TARGET } else { "" });
            assert_eq!(answer.field("allow").is_some(), status == 405);
            assert_eq!(connection.answer(false).unwrap(), None, "nothing of it is taken for a request");
        }
        if !has("curl") {
            return skip("what_is_posted_is_answered_without_being_read", "no curl");
        }
        let file = dir.write("body", &body);
        let mut curl = command("curl", dir.path());
        curl.args([
            "-sS",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code} %{redirect_url}",
            "--data-binary",
            &format!("@{file}"),
        ]);
        curl.args(["-H", "Expect: 100-continue", &format!("http://{}/t", linkr.edge())]);
        let done = curl.output().unwrap();
        assert_eq!(text(&done.stdout), format!("307 {TARGET}"), "{}", text(&done.stderr));
    }
}
