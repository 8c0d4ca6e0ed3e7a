//! Faults of certificates, in the table of docs/reliability.md.

use super::{FREE_PORTS, NOWHERE, Scene, control, edge, json, linkr, wait_ready};
use crate::support::{Connection, Dir, LINKR, Linkr, PATIENCE, beside_others, command, text, until};
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A key, and a certificate of itself for `localhost` that expires so many seconds from now, or ago.
pub struct Pair {
    cert: String,
    key: String,
}

impl Pair {
    pub fn that_expires_in(seconds: i64) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let end = now.as_secs().checked_add_signed(seconds).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(1970, 1, 1) + Duration::from_secs(end);
        let cert = params.self_signed(&key).unwrap().pem();
        Self { cert, key: key.serialize_pem() }
    }

    pub fn write(&self, dir: &Dir) {
        dir.write("tls.pem", &self.cert);
        dir.write("tls.key", &self.key);
    }

    /// Shakes hands with a server that has to show this one.
    fn is_shown_at(&self, server: SocketAddr) {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.cert.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let mut config = builder.unwrap().with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let socket = TcpStream::connect_timeout(&server, PATIENCE).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let session = ClientConnection::new(Arc::new(config), name).unwrap();
        let answer = Connection::over(StreamOwned::new(session, socket)).ask("GET", "/none");
        assert!([401, 404].contains(&answer.status), "{answer:?}");
    }
}

/// One that shows `tls.pem`, the row of its faults, and where clients meet it.
struct ShownServer<'a> {
    server: &'a Linkr,
    fault: &'static str,
    dir: &'a Dir,
    at: SocketAddr,
}

impl ShownServer<'_> {
    /// Files that cannot be used: the good pair is shown on, and the one line names the file and says why.
    fn breaks(&self, good: &Pair, bad: (&str, &[u8]), why: &str) -> Scene<'_> {
        let scene = Scene::of(self.server, self.fault);
        self.dir.write(bad.0, bad.1);
        scene.lasts();
        good.is_shown_at(self.at);
        let said: Vec<_> =
            scene.said().into_iter().filter(|line| line["event"] == "certificates_unusable").collect();
        let [line] = &said[..] else { panic!("{said:#?}") };
        let text = line["why"].as_str().unwrap();
        assert!(text.contains("tls.") && text.contains(why), "{text}");
        scene
    }
}

#[test]
fn certificates_that_cannot_be_used_are_not_taken_up() {
    let _turn = beside_others();
    let good = Pair::that_expires_in(1_000_000);
    let (other, old) = (Pair::that_expires_in(1_000_000), Pair::that_expires_in(-200_000));
    let (dir, own) = (Dir::new(), Dir::new());
    good.write(&dir);
    good.write(&own);
    let server = control(&dir, &["--api-tls-cert", "tls.pem", "--api-tls-key", "tls.key"]);
    let url = format!("https://localhost:{}", server.api().port());
    let authority = dir.write("ca.pem", &good.cert);
    let tls = ["--listen-tls", NOWHERE, "--tls-cert", "tls.pem", "--tls-key", "tls.key"];
    let edge = edge(&own, &url, &[&["--control-ca", &authority], &tls[..]].concat());
    wait_ready(&edge);
    until("the listener", || edge.metric("linkr_tls_certificates_usable{listener=\"redirects\"}"));
    let expiry = "linkr_tls_certificate_expiry_timestamp_seconds{listener=\"redirects\",file=\"tls.pem\"}";
    assert!(edge.metric(expiry).unwrap() > 1.7e9);
    let redirects =
        ShownServer { server: &edge, fault: "certificate file broken", dir: &own, at: edge.tls() };
    let api = ShownServer { server: &server, fault: "API certificate broken", dir: &dir, at: server.api() };
    let half = &good.cert.as_bytes()[..good.cert.len() / 2];
    for (file, bytes, why) in [
        ("tls.pem", half, "is it still being written?"),
        ("tls.key", other.key.as_bytes(), "it is not the key of"),
        ("tls.pem", old.cert.as_bytes(), "expired 2 days ago"),
    ] {
        let scenes = [&redirects, &api].map(|shown| shown.breaks(&good, (file, bytes), why));
        good.write(&dir);
        good.write(&own);
        scenes.iter().for_each(Scene::is_over);
    }
    other.write(&own);
    until("the next one", || server_shows(&edge, "certificates_read"));
    other.is_shown_at(edge.tls());
}

fn server_shows(server: &Linkr, event: &str) -> Option<()> {
    server.stderr().contains(event).then_some(())
}

#[test]
fn a_certificate_that_expires_while_it_is_shown() {
    let _turn = beside_others();
    let (dir, own) = (Dir::new(), Dir::new());
    let server = control(&dir, &[]);
    Pair::that_expires_in(2).write(&own);
    let tls = ["--listen-tls", NOWHERE, "--tls-cert", "tls.pem", "--tls-key", "tls.key"];
    let edge = edge(&own, &format!("http://{}", server.api()), &tls);
    wait_ready(&edge);
    let scene = Scene::from_its_start(&edge, "certificate expires");
    scene.lasts();
    Pair::that_expires_in(1_000_000).write(&own);
    until("the next one", || server_shows(&edge, "certificates_read"));
    scene.is_over();
}

#[test]
fn a_certificate_of_an_edge_that_is_revoked() {
    let _turn = beside_others();
    let (dir, own) = (Dir::new(), Dir::new());
    linkr(&dir, &["certs", "certs", "--host", "localhost", "--edge", "fra-1"]);
    let key = linkr(&dir, &["control", "--store", "sqlite:linkr.db", "mint-key", "--name", "root"]);
    let mut server = json(command(LINKR, dir.path()));
    server.args(["control", "--store", "sqlite:linkr.db", "--api-client-ca", "certs/ca.pem"]);
    server.args(["--api-tls-cert", "certs/server.pem", "--api-tls-key", "certs/server.key"]);
    server.args(FREE_PORTS).env("LINKR_INSECURE", "false");
    let server = Linkr::start(server, &dir, &["api", "admin"]);
    let (url, ca) = (format!("https://localhost:{}", server.api().port()), dir.file("certs/ca.pem"));
    let asking = |words: &[&str]| {
        linkr(&dir, &[words, &["--server", &url, "--key", &key, "--server-ca", &ca]].concat())
    };
    asking(&["link", "create", "https://example.com/x", "--code", "x"]);
    let (cert, cert_key) = (dir.file("certs/fra-1.pem"), dir.file("certs/fra-1.key"));
    let shown = ["--control-ca", &ca, "--control-cert", &cert, "--control-cert-key", &cert_key];
    let edge = edge(&own, &url, &[&["--name", "fra-1"], &shown[..]].concat());
    wait_ready(&edge);
    until("it to see", || edge.metric("linkr_edge_staleness_seconds").filter(|stale| *stale < 1.0));
    let scenes = [Scene::of(&edge, "certificate revoked"), Scene::of(&server, "edge refused")];
    asking(&["keys", "revoke", "edge:fra-1"]);
    scenes.iter().for_each(Scene::lasts);
    assert_eq!(edge.get("/x").status, 302, "it goes on with what it has");
    let said = scenes[1].said().into_iter().find(|line| line["event"] == "edge_refused").unwrap();
    assert_eq!(said["edge"], "fra-1", "{said}");
    scenes.iter().for_each(Scene::is_over);
    let listed = asking(&["feed", "status"]);
    assert!(listed.contains("fra-1"), "{}", text(listed.as_bytes()));
}
