//! Redirects over TLS: real clients, certificates that change under load, and how it ends, with both drivers.

use crate::support::{
    Connection, Dir, LINKR, Linkr, PATIENCE, beside_others, bounded, command, has, skip, text, until,
};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::copy_bidirectional;
use tokio::runtime::Runtime;

const DRIVERS: [&[(&str, &str)]; 2] = [&[], &[("MONOIO_FORCE_LEGACY_DRIVER", "1")]];
const TARGET: &str = "https://example.com/";

/// A certificate that signed itself, and where it and its key are.
pub struct Certificate {
    der: CertificateDer<'static>,
    cert: String,
    key: String,
}

impl Certificate {
    pub fn write(dir: &Dir, file: &str, names: &[&str]) -> Self {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        let key = dir.write(&format!("{file}.key"), made.signing_key.serialize_pem());
        let cert = dir.write(&format!("{file}.pem"), made.cert.pem());
        Self { der: made.cert.der().clone(), cert, key }
    }

    /// Its file, and that of its key.
    pub fn cert(&self) -> &str {
        &self.cert
    }

    pub fn key(&self) -> &str {
        &self.key
    }

    /// What a server needs to know that is to show it.
    pub fn env(&self) -> [(&str, &str); 3] {
        [
            ("LINKR_LISTEN_TLS", "127.0.0.1:0"),
            ("LINKR_TLS_CERT", self.cert.as_str()),
            ("LINKR_TLS_KEY", self.key.as_str()),
        ]
    }
}

/// A client that believes these. Every one has tickets of its own.
pub fn client(believed: &[&Certificate]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    believed.iter().for_each(|shown| roots.add(shown.der.clone()).unwrap());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config = builder.unwrap().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}

pub type TlsConnection = Connection<StreamOwned<ClientConnection, TcpStream>>;

pub fn connect(edge: SocketAddr, client: &Arc<ClientConfig>) -> TlsConnection {
    let socket = TcpStream::connect_timeout(&edge, PATIENCE).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_nodelay(true).unwrap();
    let session = ClientConnection::new(Arc::clone(client), ServerName::try_from("a.test").unwrap()).unwrap();
    Connection::over(StreamOwned::new(session, socket))
}

/// Takes connections without TLS, and passes their bytes on over TLS, as they come.
pub struct Proxy {
    pub address: SocketAddr,
    _runtime: Runtime,
}

impl Proxy {
    pub fn to(edge: SocketAddr, believed: &Certificate) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let tls = tokio_rustls::TlsConnector::from(client(&[believed]));
        runtime.spawn(async move {
            while let Ok((mut plain, _)) = listener.accept().await {
                let tls = tls.clone();
                tokio::spawn(async move {
                    let socket = tokio::net::TcpStream::connect(edge).await?;
                    socket.set_nodelay(true)?;
                    let mut sealed = tls.connect(ServerName::try_from("a.test").unwrap(), socket).await?;
                    copy_bidirectional(&mut plain, &mut sealed).await
                });
            }
        });
        Self { address, _runtime: runtime }
    }
}

/// Starts it with a link `x`, and more in its environment.
fn start(dir: &Dir, shown: &Certificate, env: &[(&str, &str)]) -> Linkr {
    let linkr = Linkr::up_with(dir, &[&shown.env()[..], env].concat());
    linkr.ok(dir, &["link", "create", TARGET, "--code", "x"]);
    until("the link", || (linkr.get("/x").status == 302).then_some(()));
    linkr
}

fn handshakes(linkr: &Linkr, outcome: &str) -> f64 {
    linkr.metric(&format!("linkr_edge_tls_handshakes_total{{outcome=\"{outcome}\"}}")).unwrap()
}

/// Waits for connections that do not end by a deadline of the server.
fn end(connection: &mut TlsConnection) -> std::io::Result<()> {
    connection.answer(false).map(|answer| assert_eq!(answer, None))
}

fn a_visitor(env: &[(&str, &str)]) {
    let _turn = beside_others();
    let dir = Dir::new();
    let shown = Certificate::write(&dir, "a", &["a.test"]);
    let linkr = start(&dir, &shown, env);
    let client = client(&[&shown]);
    for resumed in [false, true] {
        let mut connection = connect(linkr.tls(), &client);
        for _ in 0..3 {
            let answer = connection.ask("GET", "/x");
            assert_eq!((answer.status, answer.location()), (302, TARGET));
            assert_eq!(connection.ask("GET", "/none").status, 404);
        }
        let kind = connection.stream().conn.handshake_kind();
        assert_eq!(kind == Some(rustls::HandshakeKind::Resumed), resumed, "{kind:?}");
        let closing = connection.call_with("GET", "/x", &[("Connection", "close")], "").unwrap().unwrap();
        assert_eq!(closing.status, 302);
        end(&mut connection).expect("the end is said, not only there");
    }
    // Both are answers over TLS: whoever has none is told so, and may try again.
    let answer = Connection::to(linkr.tls()).ask("GET", "/x");
    assert_eq!((answer.status, answer.field("connection")), (400, Some("close")));
    assert!(answer.body.contains("https"), "{answer:?}");
    let mut garbage = TcpStream::connect(linkr.tls()).unwrap();
    garbage.write_all(&[22, 3, 1, 0, 4, 2, 0, 0, 0]).unwrap();
    let mut alert = Vec::new();
    garbage.read_to_end(&mut alert).unwrap();
    assert_eq!(alert[..3], [21, 3, 3], "an alert");
    drop(TcpStream::connect(linkr.tls()).unwrap()); // only a look whether somebody listens
    until("all to be counted", || {
        let counted = ["full", "resumed", "failed"].map(|outcome| handshakes(&linkr, outcome));
        (counted == [1.0, 1.0, 2.0]).then_some(())
    });
}

#[test]
fn a_visitor_default_driver() {
    a_visitor(DRIVERS[0]);
}

#[test]
fn a_visitor_epoll() {
    a_visitor(DRIVERS[1]);
}

/// By Nagle's rule a client keeps its request back until the end of its handshake is acknowledged, and without being
/// made to, the kernel would let that take 40 ms.
fn nobody_waits_for_an_acknowledgement(env: &[(&str, &str)]) {
    let dir = Dir::new();
    let shown = Certificate::write(&dir, "a", &["a.test"]);
    let linkr = start(&dir, &shown, env);
    let client = client(&[&shown]);
    let clicks = (0..8).map(|_| {
        let mut connection = connect(linkr.tls(), &client);
        connection.stream().sock.set_nodelay(false).unwrap();
        let began = Instant::now();
        assert_eq!(connection.ask("GET", "/x").status, 302);
        began.elapsed()
    });
    let quickest = clicks.min().unwrap();
    assert!(quickest < Duration::from_millis(35), "{quickest:?}");
}

pub fn nobody_waits_for_an_acknowledgement_default_driver() {
    nobody_waits_for_an_acknowledgement(DRIVERS[0]);
}

pub fn nobody_waits_for_an_acknowledgement_epoll() {
    nobody_waits_for_an_acknowledgement(DRIVERS[1]);
}

/// What `openssl s_client` says when it asks for `x`.
fn s_client(linkr: &Linkr, dir: &Dir, more: &[&str]) -> String {
    let mut openssl = command("openssl", dir.path());
    openssl.args(["s_client", "-connect", &linkr.tls().to_string(), "-ign_eof"]).args(more);
    let mut child =
        openssl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let request = "GET /x HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";
    // One that is refused may be gone already.
    let _ = child.stdin.as_mut().unwrap().write_all(request.as_bytes());
    let output = child.wait_with_output().unwrap();
    text(&output.stdout) + &text(&output.stderr)
}

fn real_clients(test: &str, env: &[(&str, &str)]) {
    if let Some(missing) = ["openssl", "curl"].into_iter().find(|program| !has(program)) {
        return skip(test, &format!("there is no {missing}"));
    }
    let _turn = beside_others();
    let dir = Dir::new();
    let (a, b) = (Certificate::write(&dir, "a", &["a.test"]), Certificate::write(&dir, "b", &["*.b.test"]));
    let (certs, keys) = (format!("{},{}", a.cert, b.cert), format!("{},{}", a.key, b.key));
    let both = [&[("LINKR_TLS_CERT", certs.as_str()), ("LINKR_TLS_KEY", &keys)][..], env].concat();
    let linkr = start(&dir, &a, &both);
    let port = linkr.tls().port();
    for (name, shown) in [("a.test", &a), ("c.b.test", &b)] {
        for version in [&["--tlsv1.2", "--tls-max", "1.2"][..], &["--tlsv1.3"]] {
            let mut curl = command("curl", dir.path());
            curl.args(["-sSi", "--max-time", "20", "--cacert", &shown.cert]).args(version);
            curl.args([
                "--resolve",
                &format!("{name}:{port}:127.0.0.1"),
                &format!("https://{name}:{port}/x"),
            ]);
            let said =
                bounded(curl, &dir, PATIENCE).unwrap_or_else(|said| panic!("{name} {version:?}: {said}"));
            assert!(said.starts_with("HTTP/1.1 302 ") && said.contains(TARGET), "{said}");
        }
        let said = s_client(&linkr, &dir, &["-servername", name, "-CAfile", &shown.cert]);
        assert!(said.contains("Verify return code: 0 (ok)"), "{said}");
    }
    let said = s_client(&linkr, &dir, &["-noservername", "-CAfile", &a.cert, "-verify_return_error"]);
    assert!(said.contains("HTTP/1.1 302 "), "who asks for no name is shown the first: {said}");
    for version in ["-tls1_2", "-tls1_3"] {
        let full = s_client(&linkr, &dir, &[version, "-servername", "a.test", "-sess_out", "session"]);
        assert!(full.contains("\nNew, TLSv1.") && full.contains("HTTP/1.1 302 "), "{full}");
        let resumed = s_client(&linkr, &dir, &[version, "-servername", "a.test", "-sess_in", "session"]);
        assert!(resumed.contains("\nReused, TLSv1.") && resumed.contains("HTTP/1.1 302 "), "{resumed}");
        let other = s_client(&linkr, &dir, &[version, "-alpn", "h2"]);
        assert!(other.contains("alert no application protocol") && !other.contains("HTTP/1.1"), "{other}");
    }
    let old = s_client(&linkr, &dir, &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"]);
    assert!(!old.contains("HTTP/1.1"), "{old}");
}

#[test]
fn real_clients_default_driver() {
    real_clients("real_clients_default_driver", DRIVERS[0]);
}

#[test]
fn real_clients_epoll() {
    real_clients("real_clients_epoll", DRIVERS[1]);
}

fn certificates_change_under_load(env: &[(&str, &str)]) {
    let _turn = beside_others();
    let dir = Dir::new();
    let other = Dir::new();
    let (first, second) =
        (Certificate::write(&dir, "a", &["a.test"]), Certificate::write(&other, "a", &["a.test"]));
    let linkr = start(&dir, &first, env);
    let (edge, done, shaken) = (linkr.tls(), AtomicBool::new(false), AtomicUsize::new(0));
    // A certificate that was shown, over a whole handshake; every second visitor comes with a ticket.
    let visit = |client: &Arc<ClientConfig>| {
        let mut connection = connect(edge, client);
        let answer = connection.ask("GET", "/x");
        assert_eq!(answer.location(), TARGET);
        shaken.fetch_add(1, Ordering::Relaxed);
        connection.stream().conn.peer_certificates().unwrap()[0].clone().into_owned()
    };
    let copy = |from: &Certificate, files: [(&str, &str); 2]| {
        for (name, own) in files {
            std::fs::copy(own, dir.path().join(name)).unwrap();
        }
        until("the other certificate", || (visit(&client(&[&first, &second])) == from.der).then_some(()));
    };
    // The first one's files are where linkr looks: it is kept aside.
    let kept = Dir::new();
    let (cert, key) = (kept.file("a.pem"), kept.file("a.key"));
    std::fs::copy(&first.cert, &cert).unwrap();
    std::fs::copy(&first.key, &key).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let client = client(&[&first, &second]);
                    (0..4).for_each(|_| drop(visit(&client)));
                }
            });
        }
        let swapped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            copy(&second, [("a.pem", &second.cert), ("a.key", &second.key)]);
            copy(&first, [("a.key", &key), ("a.pem", &cert)]);
            // Half a file, and nothing: what was there goes on.
            let whole = std::fs::read(&first.cert).unwrap();
            std::fs::write(&first.cert, &whole[..whole.len() / 2]).unwrap();
            until("a warning", || linkr.stderr().contains("those from before are shown").then_some(()));
            std::fs::remove_file(&first.cert).unwrap();
            until("another one", || linkr.stderr().contains("cannot read ").then_some(()));
            assert_eq!(visit(&client(&[&first, &second])), first.der);
        }));
        done.store(true, Ordering::Relaxed);
        swapped.unwrap();
    });
    // A client that fails ends its thread, and so this test: none has.
    assert!(shaken.load(Ordering::Relaxed) > 50, "{shaken:?}");
    assert_eq!(handshakes(&linkr, "failed"), 0.0);
    assert!(handshakes(&linkr, "full") > 10.0 && handshakes(&linkr, "resumed") > 10.0);
}

#[test]
fn certificates_change_under_load_default_driver() {
    certificates_change_under_load(DRIVERS[0]);
}

#[test]
fn certificates_change_under_load_epoll() {
    certificates_change_under_load(DRIVERS[1]);
}

fn deadlines(env: &[(&str, &str)]) {
    let _turn = beside_others();
    let dir = Dir::new();
    let shown = Certificate::write(&dir, "a", &["a.test"]);
    let linkr = start(&dir, &shown, env);
    let began = Instant::now();
    let mut silent = TcpStream::connect(linkr.tls()).unwrap();
    let mut half = TcpStream::connect(linkr.tls()).unwrap();
    let mut dripping = TcpStream::connect(linkr.tls()).unwrap();
    half.write_all(&[22, 3, 1, 2, 0, 1, 0]).unwrap();
    for byte in [22, 3, 1, 0, 200, 1, 0, 0] {
        if dripping.write_all(&[byte]).is_err() {
            break;
        }
        std::thread::sleep(Duration::from_millis(800)); // a client that drips: progress is no excuse
    }
    for connection in [&mut silent, &mut half, &mut dripping] {
        connection.set_read_timeout(Some(PATIENCE)).unwrap();
        match connection.read(&mut [0; 64]) {
            Ok(0) => {}
            Err(fault) if fault.kind() == ErrorKind::ConnectionReset => {}
            other => panic!("{other:?}"),
        }
    }
    let took = began.elapsed();
    assert!((Duration::from_secs(5)..Duration::from_secs(20)).contains(&took), "{took:?}");
    // Half a head over TLS has its deadline, and its answer.
    let mut connection = connect(linkr.tls(), &client(&[&shown]));
    assert_eq!(connection.ask("GET", "/x").status, 302);
    connection.write_all(b"GET /x HT").unwrap();
    let answer = connection.answer(false).unwrap().unwrap();
    assert_eq!(answer.status, 408);
    end(&mut connection).unwrap();
}

#[test]
fn deadlines_default_driver() {
    deadlines(DRIVERS[0]);
}

#[test]
#[ignore = "20 s of waiting: make test-long"]
fn deadlines_epoll() {
    deadlines(DRIVERS[1]);
}

fn a_stop_ends_sessions(env: &[(&str, &str)]) {
    let _turn = beside_others();
    let dir = Dir::new();
    let shown = Certificate::write(&dir, "a", &["a.test"]);
    let mut linkr = start(&dir, &shown, env);
    let client = client(&[&shown]);
    let mut idle = connect(linkr.tls(), &client);
    assert_eq!(idle.ask("GET", "/x").status, 302);
    let (edge, answered) = (linkr.tls(), AtomicUsize::new(0));
    let busy = || {
        let mut connection = connect(edge, &client);
        loop {
            // Between two answers there may be an end: what was sent then is not taken.
            if connection.send("GET", "/x", "").is_err() {
                return;
            }
            match connection.answer(false) {
                Ok(Some(answer)) => {
                    assert_eq!(answer.location(), TARGET);
                    answered.fetch_add(1, Ordering::Relaxed);
                    if answer.field("connection") == Some("close") {
                        return end(&mut connection).expect("the end is said");
                    }
                }
                Ok(None) => return,
                Err(fault) => return assert_eq!(fault.kind(), ErrorKind::ConnectionReset, "{fault}"),
            }
        }
    };
    std::thread::scope(|scope| {
        let visitors: Vec<_> = (0..4).map(|_| scope.spawn(busy)).collect();
        until("the visitors to be busy", || (answered.load(Ordering::Relaxed) > 200).then_some(()));
        linkr.ask_to_stop();
        visitors.into_iter().for_each(|visitor| visitor.join().unwrap());
    });
    end(&mut idle).expect("the end is said to who is idle, too");
    assert_eq!(linkr.exited().code(), Some(0), "{}", linkr.stderr());
}

#[test]
fn a_stop_ends_sessions_default_driver() {
    a_stop_ends_sessions(DRIVERS[0]);
}

#[test]
#[ignore = "30 s of waiting: make test-long"]
fn a_stop_ends_sessions_epoll() {
    a_stop_ends_sessions(DRIVERS[1]);
}

#[test]
fn a_pipe_in_the_place_of_a_certificate_holds_nobody_up() {
    let _turn = beside_others();
    let dir = Dir::new();
    let shown = Certificate::write(&dir, "a", &["a.example"]);
    let mut linkr = start(&dir, &shown, &[]);
    std::fs::remove_file(&shown.cert).unwrap();
    assert!(command("mkfifo", dir.path()).arg(&shown.cert).status().unwrap().success());
    let mut written = 0;
    // Its reader waits for 5 s. All the while what is written arrives, as without.
    until("the reason", || {
        let code = format!("n{written}");
        linkr.ok(&dir, &["link", "create", TARGET, "--code", &code, "--ack", "propagated"]);
        assert_eq!(linkr.get(&format!("/{code}")).status, 302, "{}", linkr.stderr());
        written += 1;
        linkr.stderr().contains("certificates_unusable").then_some(())
    });
    assert!(!linkr.stderr().contains(" blind:"), "{}", linkr.stderr());
    linkr.ask_to_stop();
    assert_eq!(linkr.exited().code(), Some(0), "{}", linkr.stderr());
}

#[test]
fn flags_that_do_not_go_together_are_said() {
    let dir = Dir::new();
    let (a, b) = (Certificate::write(&dir, "a", &["a.test"]), Certificate::write(&dir, "b", &["b.test"]));
    for (words, wanted) in [
        (&["--listen-tls", "127.0.0.1:0"][..], "--listen-tls wants a certificate"),
        (&["--tls-cert", &a.cert], "go together"),
        (&["--tls-cert", &a.cert, "--tls-key", &format!("{},{}", a.key, b.key)], "are 1 and 2"),
        (&["--tls-cert", &a.cert, "--tls-key", &b.key], "it is not the key of"),
        (&["--tls-cert", "none.pem", "--tls-key", &b.key], "cannot read none.pem"),
    ] {
        for half in ["up", "edge"] {
            let mut linkr = command(LINKR, dir.path());
            let output = linkr.arg(half).args(words).env("LINKR_INSECURE", "true").output().unwrap();
            let said = text(&output.stderr);
            assert!(!output.status.success() && said.contains(wanted), "{half} {words:?}: {said}");
        }
    }
    dir.write("linkr.toml", format!("[edge]\ntls-cert = [\"{}\"]\n", a.cert));
    let checked = command(LINKR, dir.path()).args(["config", "check"]).output().unwrap();
    assert!(text(&checked.stderr).contains("--tls-cert and --tls-key go together"), "{checked:?}");
    dir.write("linkr.toml", format!("[edge]\ntls-cert = [\"{}\"]\ntls-key = [\"{}\"]\n", a.cert, a.key));
    let checked = command(LINKR, dir.path()).args(["config", "check"]).output().unwrap();
    assert!(checked.status.success(), "{checked:?}");
}
