//! Two edges behind the files of `deploy/haproxy` and `deploy/nginx`, which are run as they stand there, but for addresses and
//! places of files.

use crate::rolling::{Balancer, Edges, none_failed, program, tell, while_asked};
use crate::support::{Answer, Connection, Dir, Linkr, PATIENCE, skip, until, workspace};
use crate::tls::{Certificate, client, connect};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

/// A visitor with an address of his own, whom edges count as ignored.
const VISITOR: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 9);
/// Settings of the edges: they trust the balancer, and ignore clicks of [`VISITOR`].
const TRUSTING: [&str; 6] =
    ["--clicks-dir", "clicks", "--trusted-peers", "127.0.0.1", "--ignore-clicks-from", "127.0.0.9"];
/// Longer than HAProxy takes to notice.
const DELAY: &str = "5s";

/// Where a balancer of `deploy` listens in a test.
pub struct FrontDoor {
    pub socket: String,
    plain: SocketAddr,
    tls: SocketAddr,
    certificate: Certificate,
}

impl FrontDoor {
    pub fn new(dir: &Dir) -> Self {
        let free = || SocketAddr::from(([127, 0, 0, 1], services::free_port().unwrap()));
        let certificate = Certificate::write(dir, "go.example", &["a.test"]);
        Self { socket: dir.file("balancer.sock"), plain: free(), tls: free(), certificate }
    }

    /// The file of HAProxy for these edges, with `more` replaced besides.
    pub fn haproxy(&self, dir: &Dir, edges: &[Linkr; 2], more: &[(&str, &str)]) -> String {
        let both = [&self.certificate.cert(), &self.certificate.key()].map(|file| fs::read(file).unwrap());
        let pem = dir.write("both.pem", both.concat());
        let [one, two] =
            edges.each_ref().map(|edge| format!("{} check port {}", edge.edge(), edge.admin().port()));
        let others: [(&str, &str); 6] = [
            // Whoever runs the tests may be no other user.
            ("  user haproxy\n  group haproxy\n", ""),
            ("/run/haproxy/admin.sock", &dir.file("admin.sock")),
            ("bind :80\n", &format!("bind {}\n  bind unix@{}\n", self.plain, self.socket)),
            ("bind :443 ssl crt /etc/haproxy/go.example.pem", &format!("bind {} ssl crt {pem}", self.tls)),
            ("10.0.0.1:8080 check port 8082", &one),
            ("10.0.0.2:8080 check port 8082", &two),
        ];
        dir.write("haproxy.cfg", deployed("haproxy/haproxy.cfg", &[&others, more].concat()))
    }

    /// The file of nginx, the same way. `out-1` and `out-2` in `dir` take the edges out.
    pub fn nginx(&self, dir: &Dir, edges: &[Linkr; 2], more: &[(&str, &str)]) -> String {
        let at = dir.path().display();
        let [one, two] = edges.each_ref().map(|edge| edge.edge().to_string());
        let others: [(&str, &str); 11] = [
            ("user www-data;", "daemon off;"),
            ("/run/nginx.pid", &dir.file("nginx.pid")),
            ("/var/log/nginx/error.log", &dir.file("nginx.log")),
            (
                "access_log off;",
                &format!(
                    "access_log off; client_body_temp_path {at}/b; proxy_temp_path {at}/p; fastcgi_temp_path {at}/f; \
                     uwsgi_temp_path {at}/u; scgi_temp_path {at}/s;"
                ),
            ),
            ("listen 80 ", &format!("listen unix:{}; listen {} ", self.socket, self.plain)),
            ("listen 443 ", &format!("listen {} ", self.tls)),
            ("/etc/nginx/go.example.pem", self.certificate.cert()),
            ("/etc/nginx/go.example.key", self.certificate.key()),
            ("10.0.0.1:8080", &one),
            ("10.0.0.2:8080", &two),
            ("/run/edges/", &format!("{at}/")),
        ];
        dir.write("nginx.conf", deployed("nginx/nginx.conf", &[&others, more].concat()))
    }
}

/// A file of `deploy` with other words in the place of some, each of which stands in one of its lines that count.
fn deployed(file: &str, others: &[(&str, &str)]) -> String {
    let whole = fs::read_to_string(workspace().join("deploy").join(file)).unwrap();
    let counts = |line: &&str| !line.trim_start().starts_with('#');
    let mut text: String = whole.split_inclusive('\n').filter(counts).collect();
    for (there, other) in others {
        assert!(text.contains(there), "{file} has no {there}");
        text = text.replace(there, other);
    }
    text
}

/// A connection from an address of this machine.
fn from(address: Ipv4Addr, to: SocketAddr) -> Connection {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((address, 0)).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    Connection::over(stream)
}

fn asked_under(connection: &mut Connection, host: &str, path: &str) -> Answer {
    connection.write_all(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).unwrap();
    connection.answer(false).unwrap().unwrap()
}

/// Requests of a visitor reach an edge as they were sent, by each way, and count as that visitor's.
fn passes_on(door: &FrontDoor, edges: &Edges) {
    let mut visitor = from(VISITOR, door.plain);
    let answer = asked_under(&mut visitor, "localhost", "/b%C3%BCcher?a=%2F");
    assert_eq!(answer.location(), "https://example.com/letters?a=%2F", "{answer:?}");
    assert_eq!(asked_under(&mut visitor, "go.example", "/x").location(), "https://go.example.com/x");
    let mut sealed = connect(door.tls, &client(&[&door.certificate]));
    assert_eq!(sealed.ask("GET", "/x").location(), "https://example.com/");
    // He says that he is somebody else, and is counted as who he is; and the other one as another.
    let forged = [("X-Forwarded-For", "198.51.100.7")];
    let answer = visitor.call_with("GET", "/x", &forged, "").unwrap().unwrap();
    assert_eq!(answer.status, 302);
    let kinds = |kind: &str| {
        let name = format!("linkr_clicks_total{{kind=\"{kind}\"}}");
        edges.edges().iter().map(|edge| edge.metric(&name).unwrap_or(0.0)).sum::<f64>()
    };
    until("the visitor's three clicks to be ignored", || (kinds("ignored") == 3.0).then_some(()));
    until("the other one's to be counted", || (kinds("bot") >= 1.0).then_some(()));
}

fn begin(dir: &Dir) -> Edges {
    let edges = Edges::start(dir, DELAY, &TRUSTING);
    let control = edges.control();
    let letters = ["link", "create", "https://example.com/letters", "--code", "bücher", "--query", "append"];
    control.ok(dir, &letters);
    control.ok(dir, &["domain", "create", "go.example"]);
    control.ok(dir, &["link", "create", "https://go.example.com/x", "--code", "x", "--domain", "go.example"]);
    for edge in edges.edges() {
        let known = || Some(asked_under(&mut Connection::to(edge.edge()), "go.example", "/x").status);
        until("the last link", || known().filter(|&status| status == 302));
    }
    edges
}

pub fn what_deploy_has_for_haproxy_serves_beside_a_killed_edge() {
    let name = "what_deploy_has_for_haproxy_serves_beside_a_killed_edge";
    let Some(program) = program("haproxy") else { return skip(name, "no haproxy") };
    let dir = Dir::new();
    let (mut edges, door) = (begin(&dir), FrontDoor::new(&dir));
    let config = door.haproxy(&dir, edges.edges(), &[]);
    let balancer = Balancer::start(&program, &["-db", "-f", &config], &dir, door.socket.clone());
    passes_on(&door, &edges);
    none_failed(name, &while_asked(&balancer, &mut edges, 1, Edges::crash));
    // By hand, as docs/stopping.md says it.
    for state in ["drain", "ready"] {
        assert_eq!(tell(&dir.file("admin.sock"), &format!("set server edges/edge-1 state {state}")), "");
    }
}

pub fn what_deploy_has_for_nginx_serves_beside_a_killed_edge() {
    let name = "what_deploy_has_for_nginx_serves_beside_a_killed_edge";
    let Some(program) = program("nginx") else { return skip(name, "no nginx") };
    let dir = Dir::new();
    let (mut edges, door) = (begin(&dir), FrontDoor::new(&dir));
    let config = door.nginx(&dir, edges.edges(), &[]);
    let balancer = Balancer::start(&program, &["-q", "-c", &config], &dir, door.socket.clone());
    passes_on(&door, &edges);
    none_failed(name, &while_asked(&balancer, &mut edges, 1, Edges::crash));
}
