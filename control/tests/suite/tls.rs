//! TLS on the API, certificates of edges, and both replaced while control runs.

use super::keys::hello;
use super::world::{Folder, World, config, create};
use control::keys::{KeyDraft, mint};
use proto::client::{Access, KeySource, KeyedChannel};
use proto::v1::{self, feed_client::FeedClient, keys_client::KeysClient, links_client::LinksClient};
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use store::port::Repository;
use tonic::Code;

/// An authority and what it signed, in a folder.
struct Authority<'a> {
    folder: &'a Path,
    issuer: Issuer<'static, KeyPair>,
}

impl<'a> Authority<'a> {
    fn new(folder: &'a Path, name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let key = KeyPair::generate().unwrap();
        std::fs::write(folder.join(name), params.self_signed(&key).unwrap().pem()).unwrap();
        Self { folder, issuer: Issuer::new(params, key) }
    }

    /// Writes `file.pem` and `file.key`; where they are.
    fn sign(&self, file: &str, names: &[&str], usage: ExtendedKeyUsagePurpose) -> (PathBuf, PathBuf) {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().unwrap();
        let paths = (self.folder.join(format!("{file}.pem")), self.folder.join(format!("{file}.key")));
        std::fs::write(&paths.1, key.serialize_pem()).unwrap();
        std::fs::write(&paths.0, params.signed_by(&key, &self.issuer).unwrap().pem()).unwrap();
        paths
    }
}

async fn reach(world: &World, access: &Access) -> Result<KeyedChannel, String> {
    let endpoint = access.endpoint(&format!("https://127.0.0.1:{}", world.running.api().port()))?;
    access.way(endpoint.connect().await.map_err(|fault| format!("{fault:?}"))?)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_with_a_certificate_follows_as_itself_and_does_nothing_else() {
    let folder = Folder::new();
    let dir = folder.db().parent().unwrap().to_owned();
    let authority = Authority::new(&dir, "ca.pem");
    let (cert, key) = authority.sign("server", &["127.0.0.1"], ExtendedKeyUsagePurpose::ServerAuth);
    let identity = authority.sign("fra-1", &["fra-1"], ExtendedKeyUsagePurpose::ClientAuth);
    let stranger =
        Authority::new(&dir, "other.pem").sign("fra-2", &["fra-1"], ExtendedKeyUsagePurpose::ClientAuth);
    let store: Arc<dyn Repository> =
        Arc::new(store::sqlite::Sqlite::open(&folder.db(), Default::default()).unwrap());
    let admin = mint(&*store, KeyDraft::admin()).unwrap();
    let again_open = store.clone();
    let client_ca = Some(dir.join("ca.pem"));
    let tls = Some(control::TlsConfig { cert: cert.clone(), key: key.clone(), client_ca });
    let everywhere = ([0, 0, 0, 0], 0).into();
    let settings = control::Config { tls, api: everywhere, insecure: false, ..config(folder.db()) };
    let world = World::with(folder, store, settings).await;

    let ca = Some(dir.join("ca.pem"));
    let edge = Access { ca: ca.clone(), identity: Some(identity.clone()), ..Access::default() };
    let way = reach(&world, &edge).await.unwrap();
    let follow = async |way: &KeyedChannel, name: &str| {
        let said = tokio_stream::StreamExt::chain(tokio_stream::once(hello(name)), tokio_stream::pending());
        let mut follow = FeedClient::new(way.clone()).follow(said).await.unwrap().into_inner();
        follow.message().await.map(|message| message.unwrap().message.unwrap())
    };
    let answer = follow(&way, "fra-1").await.unwrap();
    assert!(matches!(answer, v1::follow_response::Message::Reset(_)), "{answer:?}");
    assert_eq!(follow(&way, "fra-2").await.unwrap_err().code(), Code::PermissionDenied);
    FeedClient::new(way.clone()).fetch(v1::FetchRequest::default()).await.unwrap();
    let refused = LinksClient::new(way).create_link(create("a", "https://a.example/")).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);

    // A key does as well, without a certificate; nothing at all does not; nor does one that others have signed.
    let key_alone =
        Access { ca: ca.clone(), key: KeySource::Text(admin.reveal().into()), ..Access::default() };
    let mut links = LinksClient::new(reach(&world, &key_alone).await.unwrap());
    links.create_link(create("a", "https://a.example/")).await.unwrap();
    let nobody = reach(&world, &Access { ca: ca.clone(), ..Access::default() }).await.unwrap();
    let refused = LinksClient::new(nobody).get_link(v1::GetLinkRequest::default()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    let forged = Access { ca: ca.clone(), identity: Some(stranger), ..Access::default() };
    let shut_out = match reach(&world, &forged).await {
        Ok(way) => FeedClient::new(way).fetch(v1::FetchRequest::default()).await.is_err(),
        Err(_) => true,
    };
    assert!(shut_out);
    let untrusting = Access { ca: Some(dir.join("other.pem")), ..Access::default() };
    reach(&world, &untrusting).await.unwrap_err();

    // The server's certificate changes hands while it runs; half a file changes nothing.
    let next = Authority::new(&dir, "next.pem");
    let before = std::fs::read(&cert).unwrap();
    std::fs::write(&cert, &before[..before.len() / 2]).unwrap();
    reach(&world, &edge).await.unwrap();
    next.sign("server", &["127.0.0.1"], ExtendedKeyUsagePurpose::ServerAuth);
    let with_next = Access { ca: Some(dir.join("next.pem")), ..key_alone.clone() };
    let began = Instant::now();
    while reach(&world, &with_next).await.is_err() {
        assert!(began.elapsed() < Duration::from_secs(10), "the new certificate is not taken up");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!("a new certificate is shown after {:?}", began.elapsed());
    // So does that of an edge: it is read for each connection.
    authority.sign("fra-1", &["fra-9"], ExtendedKeyUsagePurpose::ClientAuth);
    let moved = Access { ca: Some(dir.join("next.pem")), identity: Some(identity), ..Access::default() };
    follow(&reach(&world, &moved).await.unwrap(), "fra-9").await.unwrap();
    // Revoked, it is refused, and what it began ends; a control that begins later knows, too.
    let way = reach(&world, &moved).await.unwrap();
    let (say, said) = tokio::sync::mpsc::channel(1);
    say.send(hello("fra-9")).await.unwrap();
    let said = tokio_stream::wrappers::ReceiverStream::new(said);
    let mut follow = FeedClient::new(way.clone()).follow(said).await.unwrap().into_inner();
    assert!(follow.message().await.unwrap().is_some());
    let admin_way = reach(&world, &Access { ca: Some(dir.join("next.pem")), ..key_alone }).await.unwrap();
    let mut keys = KeysClient::new(admin_way);
    let name = "keys/edge:fra-9".to_owned();
    let ended = keys.revoke_key(v1::RevokeKeyRequest { name: name.clone() }).await.unwrap().into_inner();
    assert_eq!((&ended.name, ended.revoke_time.is_some()), (&name, true));
    let again = keys.revoke_key(v1::RevokeKeyRequest { name }).await.unwrap().into_inner();
    assert_eq!(again, ended);
    let refused = FeedClient::new(way).fetch(v1::FetchRequest::default()).await.unwrap_err();
    assert_eq!((refused.code(), refused.message().contains("revoked")), (Code::Unauthenticated, true));
    let end = async {
        let ping = |id| v1::FollowRequest {
            message: Some(v1::follow_request::Message::Ping(v1::Ping { id, ..v1::Ping::default() })),
        };
        for id in 1.. {
            // Once it has ended nobody takes the next one.
            let _ = say.send(ping(id)).await;
            if follow.message().await.is_err() {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), end).await.unwrap();
    let keys = control::keys::Keys::open(again_open, None).unwrap();
    assert!(keys.of_edge(&"fra-9".into()).is_err() && keys.of_edge(&"fra-1".into()).is_ok());
    world.stop().await;
}

#[tokio::test]
async fn certificates_that_cannot_be_used_are_named() {
    let folder = Folder::new();
    let dir = folder.db().parent().unwrap().to_owned();
    let (cert, key) =
        Authority::new(&dir, "ca.pem").sign("server", &["a"], ExtendedKeyUsagePurpose::ServerAuth);
    std::fs::write(dir.join("empty.pem"), "").unwrap();
    for (cert, key, client_ca, wanted) in [
        (dir.join("none.pem"), key.clone(), None, "none.pem"),
        (cert.clone(), cert.clone(), None, "server.pem"),
        (dir.join("empty.pem"), key.clone(), None, "is empty"),
        (cert.clone(), key.clone(), Some(dir.join("empty.pem")), "empty.pem"),
    ] {
        let tls = Some(control::TlsConfig { cert, key, client_ca });
        let why =
            control::start(control::Config { tls, ..config(folder.db()) }).await.err().unwrap().to_string();
        assert!(why.contains(wanted) && !why.contains('\n'), "{why}");
    }
    assert!(!folder.db().exists());
}
