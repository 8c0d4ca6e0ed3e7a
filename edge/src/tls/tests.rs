//! Sessions against real clients of the same library, in memory: cuts, names, tickets, ends, bounds.

use super::*;
use proptest::prelude::*;
use rcgen::{CertifiedKey as Made, KeyPair, generate_simple_self_signed};
use rustls::client::ClientConnection;
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, ClientConfig, HandshakeKind, ProtocolVersion, RootCertStore};
use std::io::{Read, Write};

/// Files of one test, gone at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("linkr-edge-tls-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Makes a certificate for these names, and writes it and its key.
    fn write(&self, file: &str, names: &[&str]) -> Made<KeyPair> {
        let made = generate_simple_self_signed(names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>());
        let made = made.unwrap();
        let (cert, key) = self.pair(file);
        std::fs::write(cert, made.cert.pem()).unwrap();
        std::fs::write(key, made.signing_key.serialize_pem()).unwrap();
        made
    }

    fn pair(&self, file: &str) -> (PathBuf, PathBuf) {
        (self.0.join(format!("{file}.pem")), self.0.join(format!("{file}.key")))
    }

    fn offered(&self, files: &[&str]) -> Result<ServedTls, String> {
        let pairs = files.iter().map(|file| self.pair(file)).collect();
        ServedTls::new(&TlsConfig { listen: Vec::new(), pairs, ticket_keys: None }, &[])
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn trusting(all: &[&Made<KeyPair>], version: ProtocolVersion) -> ClientConfig {
    trusting_with(aws_lc_rs::default_provider(), all, version)
}

fn trusting_with(provider: CryptoProvider, all: &[&Made<KeyPair>], version: ProtocolVersion) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    all.iter().for_each(|made| roots.add(made.cert.der().clone()).unwrap());
    let version = rustls::ALL_VERSIONS.iter().find(|known| known.version == version).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(provider));
    builder.with_protocol_versions(&[version]).unwrap().with_root_certificates(roots).with_no_client_auth()
}

/// A client, and the session at its other end.
struct Pair {
    client: ClientConnection,
    server: TlsSession,
    /// What the server has opened.
    plain: Vec<u8>,
    /// What the client has.
    heard: Vec<u8>,
    /// How many bytes the server gets at a time.
    cut: usize,
}

impl Pair {
    fn new(offered: &ServedTls, client: &Arc<ClientConfig>, name: &str) -> Self {
        let client =
            ClientConnection::new(Arc::clone(client), ServerName::try_from(name.to_owned()).unwrap());
        let server = TlsSession::new(Arc::clone(&offered.config)).unwrap();
        Self { client: client.unwrap(), server, plain: Vec::new(), heard: Vec::new(), cut: usize::MAX }
    }

    /// Lets both sides speak until neither has anything to say.
    fn speak(&mut self) -> Result<(), Error> {
        loop {
            let mut bytes = Vec::new();
            while self.client.wants_write() {
                self.client.write_tls(&mut bytes).unwrap();
            }
            if bytes.is_empty() {
                return Ok(());
            }
            for piece in bytes.chunks(self.cut.min(bytes.len())) {
                self.server.sealed.extend_from_slice(piece);
                let opened = self.server.open(&mut self.plain);
                let owed = self.server.take_owed(!self.plain.is_empty());
                self.hear(&owed)?;
                opened?;
            }
        }
    }

    fn hear(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        while !bytes.is_empty() {
            self.client.read_tls(&mut bytes).unwrap();
            let there = self.client.process_new_packets()?.plaintext_bytes_to_read();
            let start = self.heard.len();
            self.heard.resize(start + there, 0);
            self.client.reader().read_exact(&mut self.heard[start..]).unwrap();
        }
        Ok(())
    }

    fn answer(&mut self, plain: &[u8], last: bool) {
        let mut out = Vec::new();
        self.server.seal(plain, last, &mut out).unwrap();
        self.heard.clear();
        self.hear(&out).unwrap();
        assert!(self.heard == plain);
    }
}

const VERSIONS: [ProtocolVersion; 2] = [ProtocolVersion::TLSv1_2, ProtocolVersion::TLSv1_3];

#[test]
fn what_goes_in_comes_out_however_it_is_cut() {
    let folder = Folder::new("cut");
    let made = folder.write("a", &["a.example"]);
    let offered = folder.offered(&["a"]).unwrap();
    let long: Vec<u8> = (0..40_000u32).map(|at| at as u8).collect(); // three records
    for version in VERSIONS {
        let client = Arc::new(trusting(&[&made], version));
        for cut in [1, 2, 3, 5, 17, 100, 4096, usize::MAX] {
            let mut pair = Pair::new(&offered, &client, "a.example");
            pair.cut = cut;
            pair.client.writer().write_all(b"GET /a ").unwrap();
            pair.speak().unwrap();
            assert!(!pair.server.is_handshaking() && !pair.server.is_ended());
            pair.client.writer().write_all(b"HTTP/1.1\r\n").unwrap();
            pair.speak().unwrap();
            assert_eq!(pair.plain, b"GET /a HTTP/1.1\r\n", "{version:?} {cut}");
            pair.answer(b"HTTP/1.1 302 Found\r\n\r\n", false);
            pair.answer(&long, false);
            pair.plain.clear();
            pair.client.writer().write_all(&long).unwrap();
            pair.speak().unwrap();
            assert!(pair.plain == long, "{version:?} {cut}");
            assert!(pair.server.sealed.is_empty());
            pair.client.send_close_notify();
            pair.speak().unwrap();
            assert!(pair.server.is_ended());
        }
    }
}

#[test]
fn the_end_is_said_once_and_behind_everything_else() {
    let folder = Folder::new("end");
    let made = folder.write("a", &["a.example"]);
    let offered = folder.offered(&["a"]).unwrap();
    for version in VERSIONS {
        let client = Arc::new(trusting(&[&made], version));
        let mut pair = Pair::new(&offered, &client, "a.example");
        pair.speak().unwrap();
        pair.answer(b"the last answer", true);
        assert!(pair.client.process_new_packets().unwrap().peer_has_closed(), "{version:?}");
        assert_eq!(pair.server.goodbye(), b"", "it was said with the answer");

        let mut pair = Pair::new(&offered, &client, "a.example");
        pair.speak().unwrap();
        let goodbye = pair.server.goodbye();
        pair.hear(&goodbye).unwrap();
        assert!(pair.client.process_new_packets().unwrap().peer_has_closed(), "{version:?}");
        assert_eq!(pair.server.goodbye(), b"");
    }
}

#[test]
fn tickets_go_at_once_or_with_an_answer_and_work_once_certificates_have_changed() {
    let folder = Folder::new("tickets");
    folder.write("a", &["a.example"]);
    let mut offered = folder.offered(&["a"]).unwrap();
    for version in VERSIONS {
        let made = folder.write("a", &["a.example"]);
        assert_eq!(offered.look(), Ok(true));
        let client = Arc::new(trusting(&[&made], version));
        let kind = |offered: &ServedTls, early: &[u8]| {
            let mut pair = Pair::new(offered, &client, "a.example");
            pair.client.writer().write_all(early).unwrap();
            pair.speak().unwrap();
            let tickets = |pair: &Pair| pair.client.tls13_tickets_received();
            let expected = u32::from(version == ProtocolVersion::TLSv1_3);
            assert_eq!(tickets(&pair), if early.is_empty() { expected } else { 0 }, "{version:?}");
            pair.answer(b"b", false);
            assert_eq!(tickets(&pair), expected);
            let resumed = pair.client.handshake_kind() == Some(HandshakeKind::Resumed);
            assert_eq!(pair.server.is_resumed(), resumed);
            resumed
        };
        assert!(!kind(&offered, b""), "{version:?}");
        assert!(kind(&offered, b"a request"), "{version:?}");
        folder.write("a", &["a.example"]);
        assert_eq!(offered.look(), Ok(true));
        assert!(kind(&offered, b""), "{version:?}");
    }
}

#[test]
fn a_client_is_shown_the_certificate_for_the_name_that_it_asks_for() {
    let folder = Folder::new("sni");
    let first = folder.write("first", &["first.example"]);
    let two = folder.write("two", &["two.example", "*.two.example", "Three.example"]);
    let exact = folder.write("exact", &["exact.two.example"]);
    let offered = folder.offered(&["first", "two", "exact"]).unwrap();
    let client = Arc::new(trusting(&[&first, &two, &exact], ProtocolVersion::TLSv1_3));
    for (name, wanted) in [
        ("first.example", &first),
        ("two.example", &two),
        ("TWO.example", &two),
        ("a.two.example", &two),
        ("three.example", &two),
        ("exact.two.example", &exact),
        ("a.b.two.example", &first),
        ("other.example", &first),
        ("127.0.0.1", &first), // no name
    ] {
        let mut pair = Pair::new(&offered, &client, name);
        let shaken = pair.speak();
        // Whom the client does not believe, it tells so, which the server hears.
        let believed = !["a.b.two.example", "other.example", "127.0.0.1"].contains(&name);
        assert_eq!(shaken.is_ok(), believed, "{name}: {shaken:?}");
        let shown = offered.shown.0.read().unwrap().find(Some(&name.to_lowercase()), |_| true).unwrap();
        assert_eq!(shown.cert[0], *wanted.cert.der(), "{name}");
        if believed {
            assert_eq!(pair.client.peer_certificates().unwrap()[0], *wanted.cert.der(), "{name}");
        }
    }
}

#[test]
fn of_two_certificates_for_a_name_the_client_gets_one_that_it_can_check() {
    let folder = Folder::new("kinds");
    let made = folder.write("p256", &["a.example"]);
    let other = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let names = ["a.example", "www.a.example"].map(str::to_owned);
    let params = rcgen::CertificateParams::new(names).unwrap();
    let (cert, key) = folder.pair("ed25519");
    std::fs::write(cert, params.self_signed(&other).unwrap().pem()).unwrap();
    std::fs::write(key, other.serialize_pem()).unwrap();
    let offered = folder.offered(&["ed25519", "p256"]).unwrap();
    let all = offered.shown.0.read().unwrap();
    let ecdsa = [rustls::SignatureScheme::ECDSA_NISTP256_SHA256];
    let found = all.find(Some("a.example"), |known| known.key.choose_scheme(&ecdsa).is_some()).unwrap();
    assert_eq!(found.cert[0], *made.cert.der());
    assert_eq!(all.find(Some("a.example"), |_| false).unwrap().cert[0], all.all[0].cert[0], "the first");
    drop(all);
    // Also one for any name of a domain.
    let any = folder.write("any", &["*.a.example"]);
    folder.write("other", &["other.test"]);
    let offered = folder.offered(&["other", "ed25519", "any"]).unwrap();
    let all = offered.shown.0.read().unwrap();
    let found = all.find(Some("www.a.example"), |known| known.key.choose_scheme(&ecdsa).is_some()).unwrap();
    assert_eq!(found.cert[0], *any.cert.der());
}

#[test]
fn only_http_1_1_is_spoken() {
    let folder = Folder::new("alpn");
    let made = folder.write("a", &["a.example"]);
    let offered = folder.offered(&["a"]).unwrap();
    for (offer, agreed) in
        [(&["h2"][..], None), (&["h2", "http/1.1"], Some(&b"http/1.1"[..])), (&[], Some(&b""[..]))]
    {
        let mut client = trusting(&[&made], ProtocolVersion::TLSv1_3);
        client.alpn_protocols = offer.iter().map(|name| name.as_bytes().to_vec()).collect();
        let mut pair = Pair::new(&offered, &Arc::new(client), "a.example");
        let shaken = pair.speak();
        let Some(agreed) = agreed else {
            assert_eq!(shaken, Err(Error::AlertReceived(AlertDescription::NoApplicationProtocol)));
            continue;
        };
        shaken.unwrap();
        assert_eq!(pair.client.alpn_protocol().unwrap_or_default(), agreed);
    }
}

#[test]
fn the_shorter_hash_is_chosen_and_the_longer_one_possible() {
    let folder = Folder::new("suites");
    let made = folder.write("a", &["a.example"]);
    let offered = folder.offered(&["a"]).unwrap();
    for version in VERSIONS {
        for (only_long, wanted) in [(false, "SHA256"), (true, "SHA384")] {
            let mut provider = aws_lc_rs::default_provider();
            provider.cipher_suites.retain(|suite| !only_long || hashes_long(suite.suite()));
            let client = trusting_with(provider, &[&made], version);
            let mut pair = Pair::new(&offered, &Arc::new(client), "a.example");
            pair.speak().unwrap();
            let suite = format!("{:?}", pair.client.negotiated_cipher_suite().unwrap().suite());
            assert!(suite.ends_with(wanted), "{suite}");
        }
    }
}

#[test]
fn files_that_cannot_be_used_change_nothing_and_is_said() {
    let folder = Folder::new("reload");
    folder.write("a", &["a.example"]);
    let (cert, key) = folder.pair("a");
    let mut offered = folder.offered(&["a"]).unwrap();
    let shown = |offered: &ServedTls| offered.shown.0.read().unwrap().all[0].cert[0].clone();
    let before = shown(&offered);
    assert_eq!(offered.look(), Ok(false));
    let whole = std::fs::read(&cert).unwrap();
    std::fs::write(&cert, &whole[..whole.len() / 2]).unwrap();
    assert!(offered.look().unwrap_err().contains("a.pem"));
    std::fs::write(&cert, &whole).unwrap();
    assert_eq!(offered.look(), Ok(false), "as it was before");
    let other = folder.write("b", &["a.example"]);
    std::fs::write(&cert, other.cert.pem()).unwrap();
    let why = offered.look().unwrap_err();
    assert!(why.contains("a.key: it is not the key of ") && !why.contains('\n'), "{why}");
    assert_eq!(shown(&offered), before);
    std::fs::write(&key, other.signing_key.serialize_pem()).unwrap();
    assert_eq!(offered.look(), Ok(true));
    assert_eq!(shown(&offered), *other.cert.der());
    std::fs::remove_file(&key).unwrap();
    assert!(offered.look().unwrap_err().starts_with("cannot read "));
    for (cert, wanted) in [("", "is empty"), ("nonsense", "there is no certificate in it")] {
        std::fs::write(folder.pair("b").0, cert).unwrap();
        let why = folder.offered(&["b"]).err().unwrap();
        assert!(why.contains(wanted), "{why}");
    }
}

#[test]
fn nobody_makes_it_keep_more_than_a_record() {
    let folder = Folder::new("bound");
    folder.write("a", &["a.example"]);
    let offered = folder.offered(&["a"]).unwrap();
    let mut server = TlsSession::new(Arc::clone(&offered.config)).unwrap();
    // A hello of 60,000 bytes that never ends, in whole records.
    let mut record = vec![22, 3, 1, 4, 0];
    record.extend([1, 0, 234, 96].iter().copied().chain(std::iter::repeat(0)).take(1024));
    let mut opened = Ok(0);
    let mut most = 0;
    for _ in 0..60 {
        server.sealed.extend_from_slice(&record);
        opened = server.open(&mut Vec::new());
        most = most.max(server.sealed.len());
        if opened.is_err() {
            break;
        }
        record[5..9].fill(0);
    }
    assert!(opened.is_err());
    assert!(most < 20_000, "{most}");
}

proptest! {
    #[test]
    fn whatever_comes_is_no_panic_and_no_request(
        bytes in prop::collection::vec(any::<u8>(), 0..600),
        hello in any::<bool>(),
        cut in 1usize..200,
    ) {
        let folder = Folder::new("garbage");
        folder.write("a", &["a.example"]);
        let offered = folder.offered(&["a"]).unwrap();
        let mut server = TlsSession::new(Arc::clone(&offered.config)).unwrap();
        let mut all = if hello { vec![22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3] } else { Vec::new() };
        all.extend(bytes);
        let mut plain = Vec::new();
        for piece in all.chunks(cut) {
            server.sealed.extend_from_slice(piece);
            if server.open(&mut plain).is_err() {
                server.take_owed(false);
                break;
            }
        }
        prop_assert!(plain.is_empty());
        prop_assert!(server.seal(b"", true, &mut Vec::new()).is_err(), "nothing is sent to who has no keys");
        prop_assert!(server.goodbye().is_empty());
    }

    /// A connection whose bytes are changed or cut on their way gives nothing that was not sent.
    #[test]
    fn what_was_meddled_with_is_not_opened(at in any::<prop::sample::Index>(), bit in 0u32..8, cut in any::<bool>()) {
        let folder = Folder::new("meddled");
        let made = folder.write("a", &["a.example"]);
        let offered = folder.offered(&["a"]).unwrap();
        let client = Arc::new(trusting(&[&made], ProtocolVersion::TLSv1_3));
        let mut pair = Pair::new(&offered, &client, "a.example");
        pair.speak().unwrap();
        pair.client.writer().write_all(b"GET /secret HTTP/1.1\r\n\r\n").unwrap();
        let mut bytes = Vec::new();
        pair.client.write_tls(&mut bytes).unwrap();
        // The first three bytes say the same of every record, and nothing protects them.
        let at = 3 + at.index(bytes.len() - 3);
        if cut { bytes.truncate(at) } else { bytes[at] ^= 1 << bit }
        pair.server.sealed.extend_from_slice(&bytes);
        let opened = pair.server.open(&mut pair.plain);
        prop_assert!(pair.plain.is_empty());
        prop_assert!(opened.is_err() || opened == Ok(0));
    }
}
