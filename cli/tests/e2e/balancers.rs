//! Edges behind a real HAProxy and a real nginx that keep connections and never try again: over TCP and by a socket file,
//! with and without the PROXY protocol, asked after random pauses.

use crate::rolling::{Balancer, program};
use crate::support::{Connection, Dir, FREE_PORTS, LINKR, Linkr, beside_others, command, skip};
use services::Random;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How long the balancer keeps a connection, and the edge: as 600 s and 620 s, but sooner over.
const KEPT: &str = "1s";
const IDLE: &str = "2s";
const CLIENTS: u32 = 24;
const LONG_CLIENTS: u32 = 96;

/// Of the short form; `LINKR_LONG=1` goes on until so many requests were made.
const SHORT: Duration = Duration::from_secs(6);
const LONG: usize = 100_000;

fn started(dir: &Dir, listen: &str, env: &[(&str, &str)]) -> Linkr {
    let mut up = command(LINKR, dir.path());
    up.args(["up", "--data-dir", "data", "--workers", "2", "--listen", listen, "--idle-timeout", IDLE])
        .args(FREE_PORTS);
    up.envs(env.iter().copied());
    let linkr = Linkr::start(up, dir, &["edge", "api", "admin", "then"]);
    linkr.ok(dir, &["link", "create", "https://example.com/", "--code", "x"]);
    linkr.catch_up();
    linkr
}

/// Requests and failures. Each client keeps its own connection to the balancer, and pauses for up to 4 ms, one time in 16
/// for up to 2.5 s: longer than anybody keeps a connection.
fn asked(balancer: &Balancer) -> (usize, Vec<String>) {
    let (requests, failed) = (AtomicUsize::new(0), std::sync::Mutex::new(Vec::new()));
    let began = Instant::now();
    let long = std::env::var_os("LINKR_LONG").is_some();
    std::thread::scope(|scope| {
        for number in 0..if long { LONG_CLIENTS } else { CLIENTS } {
            let (requests, failed) = (&requests, &failed);
            scope.spawn(move || {
                let mut random = Random::new(number.into());
                let mut held: Option<Connection<UnixStream>> = None;
                while if long { requests.load(Ordering::Relaxed) < LONG } else { began.elapsed() < SHORT } {
                    let most = if random.chance(63) { 2_500_000 } else { 4_000 };
                    std::thread::sleep(Duration::from_micros(random.below(most)));
                    let mut connection = held
                        .take()
                        .unwrap_or_else(|| Connection::over(UnixStream::connect(&balancer.socket).unwrap()));
                    requests.fetch_add(1, Ordering::Relaxed);
                    let asked = connection.call("GET", "/x", "");
                    match asked {
                        Ok(Some(answer)) if answer.status == 302 => {
                            held = (answer.field("connection") != Some("close")).then_some(connection);
                        }
                        other => failed.lock().unwrap().push(format!("{other:?}")),
                    }
                }
            });
        }
    });
    (requests.into_inner(), failed.into_inner().unwrap())
}

fn none_fails(name: &str, balancer: &Balancer) {
    let (requests, failed) = asked(balancer);
    eprintln!("{name}: {} of {requests} failed", failed.len());
    assert!(failed.is_empty() && requests > 100, "{:?}", &failed[..failed.len().min(5)]);
}

fn haproxy(program: &str, dir: &Dir, server: &str) -> Balancer {
    let (socket, told) = (dir.file("haproxy.sock"), dir.file("told.sock"));
    let config = dir.write(
        "haproxy.cfg",
        format!(
            "defaults\n  mode http\n  timeout connect 5s\n  timeout client 30s\n  timeout server 30s\n  \
             timeout http-keep-alive 30s\n  retries 0\n  no option redispatch\n  http-reuse always\n\
             frontend visitors\n  bind unix@{socket}\n  bind unix@{told} accept-proxy\n  default_backend edges\n\
             backend edges\n  server edge {server} pool-purge-delay {KEPT}\n"
        ),
    );
    Balancer::start(program, &["-db", "-f", &config], dir, socket)
}

#[test]
fn no_request_behind_haproxy_is_lost_and_the_client_is_who_it_was() {
    let name = "no_request_behind_haproxy_is_lost_and_the_client_is_who_it_was";
    let Some(program) = program("haproxy") else { return skip(name, "no haproxy") };
    let _turn = beside_others();
    let told = [("LINKR_PROXY_PROTOCOL", "require"), ("LINKR_TRUSTED_PEERS", "127.0.0.1")];
    for (way, by_file, header, env) in [
        ("TCP", false, "", &told[..0]),
        ("a file", true, "", &[]),
        ("TCP, PROXY 1", false, "send-proxy", &told),
        ("TCP, PROXY 2", false, "send-proxy-v2", &told),
        ("a file, PROXY 2", true, "send-proxy-v2", &told),
    ] {
        let dir = Dir::new();
        let file = dir.file("edge.sock");
        let linkr = started(&dir, &format!("127.0.0.1:0,unix:{file}"), env);
        let server = if by_file { format!("unix@{file}") } else { linkr.edge().to_string() };
        let balancer = haproxy(&program, &dir, &format!("{server} {header}"));
        none_fails(&format!("haproxy, {way}"), &balancer);
        if header.is_empty() {
            continue;
        }
        // What HAProxy is told of its client, the edge is told by it.
        for (client, local) in [("127.0.0.9", true), ("198.51.100.7", false)] {
            let mut visitor = Connection::over(UnixStream::connect(dir.file("told.sock")).unwrap());
            visitor.write_all(format!("PROXY TCP4 {client} 192.0.2.1 4660 80\r\n").as_bytes()).unwrap();
            let answer = visitor.call_with("GET", "/x", &[("X-Linkr-Debug", "1")], "").unwrap().unwrap();
            assert_eq!(
                (answer.status, answer.field("x-linkr-tier").is_some()),
                (302, local),
                "{way}: {client}"
            );
        }
    }
}

#[test]
fn no_request_behind_nginx_is_lost() {
    let name = "no_request_behind_nginx_is_lost";
    let Some(program) = program("nginx") else { return skip(name, "no nginx") };
    let _turn = beside_others();
    for by_file in [false, true] {
        let dir = Dir::new();
        let (file, at, socket) =
            (dir.file("edge.sock"), dir.path().display().to_string(), dir.file("nginx.sock"));
        let linkr = started(&dir, &format!("127.0.0.1:0,unix:{file}"), &[]);
        let server = if by_file { format!("unix:{file}") } else { linkr.edge().to_string() };
        let config = dir.write(
            "nginx.conf",
            format!(
                "user root; daemon off; worker_processes 2; pid {at}/nginx.pid; error_log {at}/nginx.log;\n\
                 events {{ worker_connections 1024; }}\n\
                 http {{ access_log off; keepalive_requests 1000000;\n\
                 client_body_temp_path {at}/b; proxy_temp_path {at}/p; fastcgi_temp_path {at}/f; \
                 uwsgi_temp_path {at}/u; scgi_temp_path {at}/s;\n\
                 upstream edge {{ server {server} max_fails=0; keepalive 32; keepalive_timeout {KEPT}; }}\n\
                 server {{ listen unix:{socket}; location / {{\n\
                 proxy_pass http://edge; proxy_http_version 1.1; proxy_set_header Connection \"\"; \
                 proxy_set_header Host $host; proxy_next_upstream off; }} }} }}\n"
            ),
        );
        let balancer = Balancer::start(&program, &["-q", "-c", &config], &dir, socket);
        none_fails(if by_file { "nginx, a file" } else { "nginx, TCP" }, &balancer);
    }
}
