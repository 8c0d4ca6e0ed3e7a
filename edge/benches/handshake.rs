//! CPU of a server's side of one TLS click: as bare primitives, and as a whole through the edge's session, both in
//! memory: `cargo bench -p edge --bench handshake`. Run as a test, each once.

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{EphemeralPrivateKey, UnparsedPublicKey, X25519, agree_ephemeral};
use aws_lc_rs::digest::{self, SHA256};
use aws_lc_rs::hmac::{self, HMAC_SHA256};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use edge::{ServedTls, TlsConfig, TlsSession};
use rustls::client::{ClientConnection, Resumption};
use rustls::crypto::aws_lc_rs::{self as provider, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::pki_types::ServerName;
use rustls::server::ProducesTickets;
use rustls::{ClientConfig, HandshakeKind, ProtocolVersion, RootCertStore};
use std::hint::black_box;
use std::io::{Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

const REQUEST: &[u8] = b"GET /c000001 HTTP/1.1\r\nHost: go.example.com\r\nConnection: close\r\n\r\n";
/// As long as a redirect is.
const ANSWER: [u8; 260] = [b'x'; 260];
/// What is sealed into a ticket: suite, time, secret, name of the protocol.
const TICKET: [u8; 96] = [0; 96];

/// Time of one part, and what it is.
type PartTime = (&'static str, Duration);

/// Both sides of clicks over TLS.
struct Clicks {
    offered: ServedTls,
    client: Arc<ClientConfig>,
    resumed: bool,
    /// Bytes that the client sent first, and the server answered, in the last one.
    flights: (usize, usize),
}

impl Clicks {
    fn new(
        tls: &TlsConfig,
        roots: &RootCertStore,
        version: ProtocolVersion,
        group: &'static dyn SupportedKxGroup,
        resumed: bool,
    ) -> Self {
        let crypto = CryptoProvider { kx_groups: vec![group], ..provider::default_provider() };
        let version = rustls::ALL_VERSIONS.iter().find(|known| known.version == version).expect("known");
        let client = ClientConfig::builder_with_provider(Arc::new(crypto));
        let client = client.with_protocol_versions(&[version]).expect("suites");
        let mut client = client.with_root_certificates(roots.clone()).with_no_client_auth();
        client.alpn_protocols = vec![b"http/1.1".to_vec()];
        client.resumption = if resumed { Resumption::in_memory_sessions(32) } else { Resumption::disabled() };
        let offered = ServedTls::new(tls, &[]).expect("a certificate");
        let mut clicks = Self { offered, client: Arc::new(client), resumed: false, flights: (0, 0) };
        clicks.click();
        clicks.resumed = resumed;
        clicks
    }

    /// One connection and one answer on it. What the server's side took.
    fn click(&mut self) -> Duration {
        let (mut took, mut client, mut server) = self.shake();
        let mut out = Vec::new();
        let began = Instant::now();
        server.seal(&ANSWER, true, &mut out).expect("open");
        drop(server);
        took += began.elapsed();
        hear(&mut client, &out);
        let mut heard = Vec::new();
        client.reader().read_to_end(&mut heard).expect("an end");
        assert_eq!(heard, ANSWER);
        took
    }

    /// One request and answer on a connection that is kept. What the server's side took.
    fn ask(client: &mut ClientConnection, server: &mut TlsSession, head: &[u8]) -> Duration {
        client.writer().write_all(head).expect("room");
        client.write_tls(&mut server.sealed).expect("bytes");
        let (mut plain, mut out) = (Vec::with_capacity(2048), Vec::with_capacity(2048));
        let began = Instant::now();
        server.open(&mut plain).expect("TLS");
        server.seal(&ANSWER, false, &mut out).expect("open");
        let took = began.elapsed();
        hear(client, &out);
        let mut heard = [0; ANSWER.len()];
        client.reader().read_exact(&mut heard).expect("an answer");
        assert_eq!((&*plain, heard), (head, ANSWER));
        took
    }

    /// One connection, and the first request on it, which is not answered yet.
    fn shake(&mut self) -> (Duration, ClientConnection, TlsSession) {
        let mut took = Duration::ZERO;
        let name = ServerName::try_from("localhost").expect("a name");
        let mut client = ClientConnection::new(Arc::clone(&self.client), name).expect("a client");
        client.writer().write_all(REQUEST).expect("room");
        let mut server = None;
        let (mut plain, mut first) = (Vec::new(), None);
        while plain.len() < REQUEST.len() {
            let mut sent = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut sent).expect("bytes");
            }
            let began = Instant::now();
            let server = server
                .get_or_insert_with(|| TlsSession::new(Arc::clone(&self.offered.config)).expect("a session"));
            server.sealed.extend_from_slice(&sent);
            server.open(&mut plain).expect("TLS");
            let owed = server.take_owed(!plain.is_empty());
            took += began.elapsed();
            first.get_or_insert((sent.len(), owed.len()));
            hear(&mut client, &owed);
        }
        assert_eq!(plain, REQUEST);
        let kind = if self.resumed { HandshakeKind::Resumed } else { HandshakeKind::Full };
        assert_eq!(client.handshake_kind(), Some(kind));
        self.flights = first.expect("a flight");
        (took, client, server.expect("a session"))
    }
}

fn hear(client: &mut ClientConnection, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        client.read_tls(&mut bytes).expect("bytes");
        client.process_new_packets().expect("TLS");
    }
}

/// The primitives of TLS 1.3 (RFC 8446, 7.1) as often as a server needs them for one click, each as cheap as this
/// library has it.
struct Primitives {
    random: SystemRandom,
    key: EcdsaKeyPair,
    peer: Vec<u8>,
    tickets: Arc<dyn ProducesTickets>,
    resumed: bool,
    flights: (usize, usize),
}

impl Primitives {
    fn new(key: &[u8], resumed: bool, flights: (usize, usize)) -> Self {
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, key).expect("a key");
        let peer = EphemeralPrivateKey::generate(&X25519, &random).expect("a key");
        let peer = peer.compute_public_key().expect("a key").as_ref().to_vec();
        let tickets = provider::Ticketer::new().expect("random bytes");
        Self { random, key, peer, tickets, resumed, flights }
    }

    fn exchange(&self) -> [u8; 32] {
        let own = EphemeralPrivateKey::generate(&X25519, &self.random).expect("a key");
        black_box(own.compute_public_key().expect("a key"));
        let peer = UnparsedPublicKey::new(&X25519, &self.peer);
        agree_ephemeral(own, peer, (), |secret| Ok(secret.try_into().expect("32 bytes"))).expect("a point")
    }

    fn schedule(&self, shared: [u8; 32]) -> [Secret; 4] {
        let mut transcript = digest::Context::new(&SHA256);
        let early = extract(&[0; 32], &[7; 32]);
        let hash = |transcript: &digest::Context| transcript.clone().finish();
        transcript.update(&vec![1; self.flights.0]);
        if self.resumed {
            let binder = expand(&early, hash(&transcript).as_ref());
            let finished = expand(&hmac::Key::new(HMAC_SHA256, &binder), &[]);
            black_box(extract(&finished, hash(&transcript).as_ref()));
        }
        let handshake = extract(&expand(&early, &[]), &shared);
        transcript.update(&[2; 122]); // ServerHello
        let at_hello = hash(&transcript);
        let spoken = [(); 2].map(|()| expand(&handshake, at_hello.as_ref()));
        transcript.update(&vec![3; self.flights.1 - 122]);
        let finished = spoken.map(|secret| {
            let secret = hmac::Key::new(HMAC_SHA256, &secret);
            let verify = expand(&secret, &[]);
            black_box(extract(&verify, hash(&transcript).as_ref()));
            [expand(&secret, &[]), expand(&secret, &[])]
        });
        let master = extract(&expand(&handshake, &[]), &[0; 32]);
        let at_finished = hash(&transcript);
        let traffic = [(); 2].map(|()| {
            let secret = hmac::Key::new(HMAC_SHA256, &expand(&master, at_finished.as_ref()));
            [expand(&secret, &[]), expand(&secret, &[])]
        });
        black_box(expand(&master, at_finished.as_ref())); // of exporters
        transcript.update(&[4; 36]);
        let resumption = expand(&master, hash(&transcript).as_ref());
        black_box(expand(&hmac::Key::new(HMAC_SHA256, &resumption), &[0]));
        [finished[0], finished[1], traffic[0], traffic[1]]
    }

    fn records(&self, keys: &[Secret; 4]) {
        let [handshake_in, handshake_out, inwards, outwards] =
            keys.map(|[key, _]| LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key[..16]).expect("a key")));
        let iv = |at: usize| Nonce::assume_unique_for_key(keys[at][1][..12].try_into().expect("12 bytes"));
        let seal = |key: &LessSafeKey, at, bytes: usize| {
            let mut record = vec![5; bytes];
            key.seal_in_place_append_tag(iv(at), Aad::from([0; 5]), &mut record).expect("room");
            record
        };
        black_box(seal(&handshake_out, 1, self.flights.1 - 122));
        black_box(seal(&outwards, 3, ANSWER.len()));
        black_box(seal(&outwards, 3, 2)); // the end
        // What comes in has to have been sealed first: opening costs as much.
        black_box(seal(&handshake_in, 0, 36));
        black_box(seal(&inwards, 2, REQUEST.len()));
        let ticket = self.tickets.encrypt(&TICKET).expect("a ticket");
        black_box(seal(&outwards, 3, ticket.len() + 20));
    }

    /// Two records, as a request and an answer are on a connection that is kept.
    fn kept(key: &LessSafeKey, head: &[u8]) -> Duration {
        let mut records = [head.to_vec(), ANSWER.to_vec()];
        let began = Instant::now();
        for record in &mut records {
            let nonce = Nonce::assume_unique_for_key([0; 12]);
            let tag = key.seal_in_place_separate_tag(nonce, Aad::from([0; 5]), record).expect("room");
            black_box(&tag);
        }
        began.elapsed()
    }

    /// All of it, part by part.
    fn click(&self, opened: &[u8]) -> [PartTime; 4] {
        let clock = Instant::now();
        let mut random = [0; 32];
        self.random.fill(&mut random).expect("random bytes");
        let shared = self.exchange();
        let exchanged = clock.elapsed();
        if !self.resumed {
            black_box(self.key.sign(&self.random, &[6; 130]).expect("a signature"));
        }
        let signed = clock.elapsed();
        let keys = self.schedule(shared);
        let scheduled = clock.elapsed();
        if self.resumed {
            black_box(self.tickets.decrypt(opened).expect("a ticket"));
        }
        self.records(&keys);
        [
            ("exchange of keys", exchanged),
            ("signature", signed - exchanged),
            ("hashes and keys", scheduled - signed),
            ("records and tickets", clock.elapsed() - scheduled),
        ]
    }
}

type Secret = [[u8; 32]; 2];

/// HKDF-Extract, and with it HMAC (RFC 5869, 2.2).
fn extract(salt: &[u8], secret: &[u8]) -> hmac::Key {
    hmac::Key::new(HMAC_SHA256, hmac::sign(&hmac::Key::new(HMAC_SHA256, salt), secret).as_ref())
}

/// HKDF-Expand-Label of one block (RFC 8446, 7.1); all labels are about as long.
fn expand(secret: &hmac::Key, context: &[u8]) -> [u8; 32] {
    let mut text = hmac::Context::with_key(secret);
    text.update(b"\x00\x20\x12tls13 c hs traffic\x20");
    text.update(context);
    text.update(&[1]);
    text.sign().as_ref().try_into().expect("32 bytes")
}

fn median(mut all: Vec<Duration>) -> f64 {
    all.sort_unstable();
    all[all.len() / 2].as_secs_f64() * 1e6
}

fn main() {
    let rounds = if std::env::args().any(|word| word == "--bench") { 3000 } else { 1 };
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let folder = std::env::temp_dir().join(format!("linkr-handshake-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let pair = (folder.join("cert.pem"), folder.join("key.pem"));
    std::fs::write(&pair.0, made.cert.pem()).expect("a file");
    std::fs::write(&pair.1, made.signing_key.serialize_pem()).expect("a file");
    let tls = TlsConfig { listen: Vec::new(), pairs: vec![pair], ticket_keys: None };
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).expect("a certificate");

    let kinds = [
        ("TLS 1.3, X25519", ProtocolVersion::TLSv1_3, kx_group::X25519),
        ("TLS 1.3, secp256r1", ProtocolVersion::TLSv1_3, kx_group::SECP256R1),
        ("TLS 1.3, X25519MLKEM768", ProtocolVersion::TLSv1_3, kx_group::X25519MLKEM768),
        ("TLS 1.2, X25519", ProtocolVersion::TLSv1_2, kx_group::X25519),
    ];
    let mut all: Vec<_> = kinds
        .into_iter()
        .flat_map(|(name, version, group)| [(name, version, group, false), (name, version, group, true)])
        .map(|(name, version, group, resumed)| {
            (name, Clicks::new(&tls, &roots, version, group, resumed), Vec::new())
        })
        .collect();
    std::fs::remove_dir_all(&folder).expect("our folder");
    let pure =
        [0, 1].map(|at| Primitives::new(made.signing_key.serialized_der(), at == 1, all[at].1.flights));
    let mut parts: [[Vec<Duration>; 4]; 2] = Default::default();
    let (_, mut client, mut server) = all[0].1.shake();
    let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &[1; 16]).expect("a key"));
    let head = include_bytes!("../../hot/testdata/browser-head.http");
    let mut kept: [Vec<Duration>; 2] = Default::default();
    let ticket = pure[1].tickets.encrypt(&TICKET).expect("a ticket");
    for _ in 0..rounds {
        for (_, clicks, took) in &mut all {
            took.push(clicks.click());
        }
        for (pure, parts) in pure.iter().zip(&mut parts) {
            pure.click(&ticket).iter().zip(parts).for_each(|((_, took), part)| part.push(*took));
        }
        kept[0].push(Primitives::kept(&key, head));
        kept[1].push(Clicks::ask(&mut client, &mut server, head));
    }
    let kind = |resumed: bool| if resumed { "resumed" } else { "full" };
    let bare = [0, 1].map(|at| {
        let names = pure[at].click(&ticket).map(|(name, _)| name);
        let mut sum = 0.0;
        for (name, took) in names.iter().zip(std::mem::take(&mut parts[at])) {
            let took = median(took);
            println!("{:<24} {:<8} {took:>8.2} µs  {name}", "pure, X25519", kind(at == 1));
            sum += took;
        }
        println!("{:<24} {:<8} {sum:>8.2} µs  in all", "pure, X25519", kind(at == 1));
        sum
    });
    for (name, clicks, took) in all {
        let (took, bare) = (median(took), bare[usize::from(clicks.resumed)]);
        println!("{name:<24} {:<8} {took:>8.2} µs  {:.2} × pure", kind(clicks.resumed), took / bare);
    }
    let [bare, kept] = kept.map(median);
    println!("a browser's request and its answer on a kept connection: {kept:.2} µs, pure {bare:.2}");
}
