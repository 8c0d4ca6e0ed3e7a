//! Keys as callers meet them: who may call what, how one is made, replaced and revoked, and what a guess costs.

mod pace;

use super::postgres::Database;
use super::world::{Folder, Mood, MoodyStore, Reply, World, config, create, name};
use axum::http::StatusCode;
use control::keys::Secret;
use prost::Message;
use proto::client::{Access, KeySource, KeyedChannel};
use proto::v1::{self, keys_client::KeysClient, links_client::LinksClient};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use store::model::{KeyRow, Scope, Scopes, StoreFault};
use store::port::Repository;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;

/// With a revision that is none: they would not end otherwise.
const WATCHES: &[&str] = &["GET /v1/links:watch?revision=x", "GET /v1/domains/-/links:watch?revision=x"];
/// With a kind that is none, for the same reason.
const CLICK_WATCHES: &[&str] = &["GET /v1/clicks:watch?kinds=x", "GET /v1/domains/-/clicks:watch?kinds=x"];
/// What each call asks for, written down a second time: what the program's table says, a slip could say.
const EXPECTED: &[(&str, &str, &[&str])] = &[
    ("Links/CreateLink", "links:write", &["POST /v1/links", "POST /v1/domains/-/links"]),
    ("Links/GetLink", "links:read", &["GET /v1/links/x", "GET /v1/domains/-/links/x"]),
    ("Links/UpdateLink", "links:write", &["PATCH /v1/links/x", "PATCH /v1/domains/-/links/x"]),
    ("Links/DeleteLink", "links:write", &["DELETE /v1/links/x", "DELETE /v1/domains/-/links/x"]),
    ("Links/ListLinks", "links:read", &["GET /v1/links", "GET /v1/domains/-/links"]),
    ("Links/ImportLinks", "links:write", &[]),
    ("Links/ExportLinks", "links:read", &[]),
    ("Links/CountLinks", "links:read", &["GET /v1/links:count", "GET /v1/domains/-/links:count"]),
    ("Links/ListTags", "links:read", &["GET /v1/tags", "GET /v1/domains/-/tags"]),
    ("Links/RenameTag", "links:write", &["POST /v1/tags:rename", "POST /v1/domains/-/tags:rename"]),
    ("Links/CheckCode", "links:read", &["GET /v1/codes/x", "GET /v1/domains/-/codes/x"]),
    ("Domains/CreateDomain", "domains:admin", &["POST /v1/domains"]),
    ("Domains/GetDomain", "links:read", &["GET /v1/domains/-"]),
    ("Domains/ListDomains", "links:read", &["GET /v1/domains"]),
    ("Domains/UpdateDomain", "domains:admin", &["PATCH /v1/domains/-"]),
    ("Domains/DeleteDomain", "domains:admin", &["DELETE /v1/domains/-"]),
    (
        "Links/UndeleteLink",
        "links:write",
        &["POST /v1/links/x:undelete", "POST /v1/domains/-/links/x:undelete"],
    ),
    (
        "Links/ListLinkHistory",
        "links:read",
        &["GET /v1/links/x:history", "GET /v1/domains/-/links/x:history"],
    ),
    ("Links/GetLinkQrCode", "links:read", &["GET /v1/links/x:qr", "GET /v1/domains/-/links/x:qr"]),
    ("Links/RestoreLink", "links:write", &["POST /v1/links/x:restore", "POST /v1/domains/-/links/x:restore"]),
    (
        "Links/BatchCreateLinks",
        "links:write",
        &["POST /v1/links:batchCreate", "POST /v1/domains/-/links:batchCreate"],
    ),
    (
        "Links/BatchUpdateLinks",
        "links:write",
        &["POST /v1/links:batchUpdate", "POST /v1/domains/-/links:batchUpdate"],
    ),
    (
        "Links/BatchDeleteLinks",
        "links:write",
        &["POST /v1/links:batchDelete", "POST /v1/domains/-/links:batchDelete"],
    ),
    ("Links/WatchLinks", "links:read", WATCHES),
    ("Targets/BlockTarget", "domains:admin", &["POST /v1/blocks"]),
    ("Targets/UnblockTarget", "domains:admin", &["DELETE /v1/blocks/x.example"]),
    ("Targets/ListBlockedTargets", "domains:admin", &["GET /v1/blocks"]),
    ("Edges/ListEdges", "links:read", &["GET /v1/edges"]),
    ("Edges/ForgetEdge", "keys:admin", &["DELETE /v1/edges/e"]),
    ("Edges/ExplainLink", "links:read", &["GET /v1/links/x:explain", "GET /v1/domains/-/links/x:explain"]),
    ("Keys/CreateKey", "keys:admin", &["POST /v1/keys"]),
    ("Keys/ListKeys", "keys:admin", &["GET /v1/keys"]),
    ("Keys/RotateKey", "keys:admin", &["POST /v1/keys/x:rotate"]),
    ("Keys/RevokeKey", "keys:admin", &["DELETE /v1/keys/x"]),
    ("Keys/ListAudit", "keys:admin", &["GET /v1/audit"]),
    ("Feed/Follow", "feed", &[]),
    ("Feed/Fetch", "feed", &[]),
    ("Feed/Append", "feed", &[]),
    ("Clicks/QueryClicks", "clicks:read", &["GET /v1/clicks", "GET /v1/domains/-/clicks"]),
    (
        "Clicks/QueryLinkClicks",
        "clicks:read",
        &["GET /v1/links/x:clicks", "GET /v1/domains/-/links/x:clicks"],
    ),
    ("Clicks/WatchClicks", "clicks:read", CLICK_WATCHES),
    ("Clicks/ExportClicks", "clicks:read", &["GET /v1/clicks:export", "GET /v1/domains/-/clicks:export"]),
    ("Clicks/DeleteClicks", "clicks:delete", &["DELETE /v1/clicks", "DELETE /v1/domains/-/clicks"]),
    ("Clicks/ReclassifyClicks", "clicks:delete", &["POST /v1/clicks:reclassify"]),
    (
        "Clicks/ListUnknownCodes",
        "clicks:read",
        &["GET /v1/clicks:unknown", "GET /v1/domains/-/clicks:unknown"],
    ),
];

/// A key that is in a store before control looks.
pub fn put(store: &dyn Repository, scopes: Scopes, change: impl FnOnce(&mut KeyRow)) -> Secret {
    let secret = Secret::new();
    let mut row = KeyRow {
        id: secret.id(),
        hash: secret.hash(),
        client: secret.id(),
        scopes,
        domains: Vec::new(),
        edge: None,
        create_time: 1,
        expire_time: None,
        revoke_time: None,
        last_use: None,
    };
    change(&mut row);
    let by = super::contract::by("CreateKey");
    assert!(store.key_rows().put_key(&row, 2, &by).unwrap());
    if let Some(at) = row.revoke_time {
        store.key_rows().revoke_key(&row, at, &by).unwrap();
    }
    secret
}

/// What an edge begins with.
pub fn hello(edge: &str) -> v1::FollowRequest {
    let hello = v1::Hello { protocol: feed::PROTOCOL, edge: edge.into(), number: 1, ..v1::Hello::default() };
    v1::FollowRequest { message: Some(v1::follow_request::Message::Hello(hello)) }
}

pub async fn locked(folder: Folder, store: Arc<dyn Repository>) -> World {
    let config = control::Config { insecure: false, ..config(folder.db()) };
    World::with(folder, store, config).await
}

pub async fn way(world: &World, secret: &Secret) -> KeyedChannel {
    let access = Access { key: KeySource::Text(secret.reveal().into()), ..Access::default() };
    access.way(world.channel().await).unwrap()
}

pub async fn rest(world: &World, call: &str, secret: Option<&Secret>, body: Value) -> Reply {
    let bearer = secret.map(|secret| format!("Bearer {}", secret.reveal()));
    let mut headers = vec![("content-type", "application/json")];
    headers.extend(bearer.as_deref().map(|bearer| ("authorization", bearer)));
    let body = if body.is_null() { Vec::new() } else { body.to_string().into() };
    world.raw(call, &headers, body).await
}

/// A call with an empty message, whatever it is: only whether it is let in matters.
async fn grpc(way: &KeyedChannel, method: &str) -> Code {
    let mut client = tonic::client::Grpc::new(way.clone());
    client.ready().await.unwrap();
    let path = format!("/linkr.v1.{method}").parse().unwrap();
    let codec = tonic_prost::ProstCodec::<(), ()>::default();
    if ["Links/WatchLinks", "Clicks/WatchClicks"].contains(&method) {
        // It has no end: that it begins is enough.
        let answer = client.server_streaming(Request::new(()), path, codec).await;
        return answer.map_or_else(|status| status.code(), |_| Code::Ok);
    }
    let answer = client.unary(Request::new(()), path, codec).await;
    answer.map_or_else(|status| status.code(), |_| Code::Ok)
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum KeyVerdict {
    In,
    Unauthenticated,
    Forbidden,
}

fn over_grpc(code: Code) -> KeyVerdict {
    match code {
        // Refused often enough, nobody is told why any more.
        Code::Unauthenticated | Code::ResourceExhausted => KeyVerdict::Unauthenticated,
        Code::PermissionDenied => KeyVerdict::Forbidden,
        _ => KeyVerdict::In,
    }
}

fn over_rest(status: StatusCode) -> KeyVerdict {
    match status.as_u16() {
        401 | 429 => KeyVerdict::Unauthenticated,
        403 => KeyVerdict::Forbidden,
        _ => KeyVerdict::In,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_is_for_its_scope_alone() {
    let methods: Vec<String> = {
        let files = prost_types::FileDescriptorSet::decode(v1::DESCRIPTORS).unwrap().file;
        let services =
            files.into_iter().filter(|file| file.package() == "linkr.v1").flat_map(|file| file.service);
        let all = |service: prost_types::ServiceDescriptorProto| {
            let name = service.name().to_owned();
            service.method.into_iter().map(move |method| format!("{name}/{}", method.name()))
        };
        services.flat_map(all).collect()
    };
    for method in &methods {
        assert!(EXPECTED.iter().any(|(own, ..)| own == method), "{method} is not in this test's table");
    }
    assert_eq!(methods.len(), EXPECTED.len());

    let folder = Folder::new();
    let store = MoodyStore::new(&folder);
    let all = Scopes::of(&Scope::ALL);
    let mut keys: Vec<(Option<Scopes>, Option<Secret>)> = vec![(None, None)];
    keys.extend(Scope::ALL.map(|scope| {
        let scopes = Scopes::of(&[scope]);
        (Some(scopes), Some(put(&*store, scopes, |_| ())))
    }));
    keys.push((Some(all), Some(put(&*store, all, |_| ()))));
    keys.push((None, Some(put(&*store, all, |row| row.revoke_time = Some(2)))));
    keys.push((None, Some(put(&*store, all, |row| row.expire_time = Some(2)))));
    keys.push((None, Some(Secret::new())));
    let world = locked(folder, store).await;
    let (channel, mut checked) = (world.channel().await, 0);
    for (scopes, secret) in &keys {
        let key = secret.as_ref().map_or(KeySource::None, |secret| KeySource::Text(secret.reveal().into()));
        let way = Access { key, ..Access::default() }.way(channel.clone()).unwrap();
        for (method, scope, routes) in EXPECTED {
            let want = match scopes {
                None => KeyVerdict::Unauthenticated,
                Some(scopes) if scopes.names().any(|name| name == *scope) => KeyVerdict::In,
                Some(_) => KeyVerdict::Forbidden,
            };
            assert_eq!(over_grpc(grpc(&way, method).await), want, "{method} with {scopes:?}");
            for route in *routes {
                let reply = rest(&world, route, secret.as_ref(), json!({})).await;
                assert_eq!(over_rest(reply.status), want, "{route} with {scopes:?}: {:?}", reply.body);
                checked += 1;
            }
            checked += 1;
        }
    }
    println!("{checked} calls");
    // A method that nobody has given a rule is refused to everybody, whatever his key.
    let all = keys.iter().find(|(scopes, _)| *scopes == Some(all)).unwrap().1.as_ref().unwrap();
    assert_eq!(grpc(&way(&world, all).await, "Links/Obliterate").await, Code::Unimplemented);
    let text = super::world::text(world.running.metrics());
    assert!(text.contains("{method=\"GetLink\",code=\"UNAUTHENTICATED\"}"), "{text}");
    assert!(text.contains("{method=\"Follow\",code=\"FORBIDDEN\"}"), "{text}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_some_domains_touches_no_other() {
    let folder = Folder::new();
    let store = MoodyStore::new(&folder);
    let all = Scopes::of(&Scope::ALL);
    let bound = put(&*store, all, |row| row.domains = vec!["b.example".into()]);
    let own = put(&*store, all, |row| row.domains = vec!["-".into()]);
    let world = locked(folder, store).await;
    let (bound_way, own_way) = (way(&world, &bound).await, way(&world, &own).await);
    for (way, forbidden) in [(&bound_way, true), (&own_way, false)] {
        let mut links = LinksClient::new(way.clone());
        let link = v1::Link { name: name("x"), ..v1::Link::default() };
        let update = v1::UpdateLinkRequest { link: Some(link), ..v1::UpdateLinkRequest::default() };
        let delete = v1::DeleteLinkRequest { name: name("x"), ..v1::DeleteLinkRequest::default() };
        let import = v1::ImportLinksRequest::default();
        let mut import = links.import_links(tokio_stream::iter([import])).await.unwrap().into_inner();
        let mut export = links.export_links(v1::ExportLinksRequest::default()).await.unwrap().into_inner();
        for (call, answer) in [
            ("create", links.create_link(create("x", "https://a.example/")).await.map(drop)),
            ("get", links.get_link(v1::GetLinkRequest { name: name("x") }).await.map(drop)),
            ("update", links.update_link(update).await.map(drop)),
            ("list", links.list_links(v1::ListLinksRequest::default()).await.map(drop)),
            ("delete", links.delete_link(delete).await.map(drop)),
            ("import", import.message().await.map(drop)),
            ("export", export.message().await.map(drop)),
        ] {
            let code = answer.map_or_else(|status| status.code(), |()| Code::Ok);
            assert_eq!(code == Code::PermissionDenied, forbidden, "{call}: {code:?}");
        }
    }
    // It makes none that reaches further than itself, and sees and ends none.
    let mut keys = KeysClient::new(bound_way);
    let key = |domains: &[&str]| v1::CreateKeyRequest {
        key: Some(v1::Key {
            client: "c".into(),
            scopes: vec!["links:read".into()],
            domains: domains.iter().map(|&domain| domain.to_owned()).collect(),
            ..v1::Key::default()
        }),
    };
    for wide in [&[][..], &["-"], &["b.example", "c.example"]] {
        assert_eq!(keys.create_key(key(wide)).await.unwrap_err().code(), Code::PermissionDenied);
    }
    keys.create_key(key(&["B.example"])).await.unwrap();
    let revoke = v1::RevokeKeyRequest { name: format!("keys/{}", own.id()) };
    assert_eq!(keys.revoke_key(revoke).await.unwrap_err().code(), Code::NotFound, "as good as not there");
    let listed = keys.list_keys(v1::ListKeysRequest::default()).await.unwrap().into_inner();
    assert!(
        listed.keys.iter().all(|key| key.domains == ["b.example"]) && listed.keys.len() == 2,
        "{listed:?}"
    );
    world.stop().await;
}

/// Who wrote keys and domains is told to those who may have to do with them; what they are called is.
async fn the_audit_of(store: Arc<dyn Repository>) {
    let keep = store.clone();
    let put_all = move || {
        let bound = |row: &mut KeyRow| row.domains = vec!["b.example".into()];
        (put(&*keep, Scopes::admin(), |_| ()), put(&*keep, Scopes::of(&[Scope::KeysAdmin]), bound))
    };
    let (admin, bound) = tokio::task::spawn_blocking(put_all).await.unwrap();
    let world = locked(Folder::new(), store).await;
    for host in ["a.example", "b.example"] {
        assert_eq!(
            rest(&world, "POST /v1/domains", Some(&admin), json!({ "domain": host })).await.status,
            201
        );
    }
    let change = json!({ "not_found": "https://home.example/" });
    let changed = rest(&world, "PATCH /v1/domains/b.example", Some(&admin), change).await;
    let made = rest(
        &world,
        "POST /v1/keys",
        Some(&admin),
        json!({ "client": "ci", "scopes": ["feed"], "edge": "e" }),
    )
    .await;
    let name = made.body["name"].as_str().unwrap().to_owned();
    for _ in 0..2 {
        rest(&world, &format!("DELETE /v1/{name}"), Some(&admin), Value::Null).await;
    }
    let audit = async |query: &str, key: &Secret| {
        rest(&world, &format!("GET /v1/audit{query}"), Some(key), Value::Null).await.body
    };
    let short = |page: &Value| -> Vec<(String, String)> {
        let entries = page["entries"].as_array().unwrap().iter();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        entries.map(|entry| (text(&entry["method"]), text(&entry["name"]))).collect()
    };
    let all = audit("", &admin).await;
    let of = |method: &str, name: &str| (method.to_owned(), name.to_owned());
    // The two keys of the test were made in 1970: that is forgotten.
    let (a, b) = ("domains/a.example", "domains/b.example");
    let want = [
        of("RevokeKey", &name),
        of("CreateKey", &name),
        of("UpdateDomain", b),
        of("CreateDomain", b),
        of("CreateDomain", a),
    ];
    assert_eq!(short(&all), want, "a second revocation is no write");
    assert!(!all.to_string().contains("lk_") && !all.to_string().contains("secret"), "{all}");
    let [revoked, _, updated, ..] = &all["entries"].as_array().unwrap()[..] else { panic!("{all}") };
    assert_eq!(revoked["principal"], admin.id());
    assert_eq!(
        (&revoked["key_before"]["revoke_time"], &revoked["key"]["client"]),
        (&Value::Null, &json!("ci"))
    );
    assert_eq!(revoked["key"]["revoke_time"], revoked["time"]);
    assert_eq!((&updated["domain"], &updated["domain_before"]["not_found"]), (&changed.body, &Value::Null));
    assert!(!updated["request_id"].as_str().unwrap().is_empty());
    // In pages, of one name alone, and for those it is about.
    let page = audit("?page_size=3", &admin).await;
    let next = page["next_page_token"].as_str().unwrap();
    let rest_of = audit(&format!("?page_size=9&page_token={next}"), &admin).await;
    assert_eq!([short(&page), short(&rest_of)].concat(), want);
    assert_eq!(rest_of["next_page_token"], "");
    assert_eq!(short(&audit("?name=domains/b.example", &admin).await), want[2..4]);
    assert_eq!(short(&audit("", &bound).await), want[2..4], "not of others");
    assert_eq!(audit("?name=%00", &admin).await["field"], "name");
    assert_eq!(audit("?page_token=x", &admin).await["field"], "page_token");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_of_keys_and_domains() {
    let folder = Folder::new();
    the_audit_of(MoodyStore::new(&folder)).await;
    if let Some(database) = Database::new() {
        the_audit_of(database.opened(false).await).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_lives_is_replaced_and_revoked() {
    let folder = Folder::new();
    let store = MoodyStore::new(&folder);
    let admin = put(&*store, Scopes::admin(), |_| ());
    let world = locked(folder, store.clone()).await;
    let admin = Some(&admin);
    let body = json!({"client": "ci", "scopes": ["links:read", "feed"], "edge": "e", "expire_time": "2099-01-01T00:00:00Z"});
    let first = rest(&world, "POST /v1/keys", admin, body.clone()).await;
    assert_eq!(first.status, 201, "{:?}", first.body);
    let shown = Secret::parse(first.body["secret"].as_str().unwrap()).unwrap();
    assert_eq!(first.body["name"], format!("keys/{}", shown.id()));
    assert_eq!(rest(&world, "GET /v1/links", Some(&shown), Value::Null).await.status, 200);

    let rotate = format!("POST /v1/{}:rotate", first.body["name"].as_str().unwrap());
    let second = rest(&world, &rotate, admin, json!({})).await;
    assert_eq!((second.status.as_u16(), &second.body["scopes"]), (201, &first.body["scopes"]));
    assert_eq!(second.body["edge"], "e");
    // It lives as long as the first was made for: before, it never ended.
    let ends = second.body["expire_time"].as_str().unwrap();
    assert!(ends.starts_with("2099-01-01T00:0"), "{ends}");
    let third = rest(&world, &rotate, admin, json!({})).await;
    assert_eq!((third.status.as_u16(), third.body["field"].as_str()), (400, Some("client")));
    let listed = rest(&world, "GET /v1/keys", admin, Value::Null).await.body;
    assert!(
        !listed.to_string().contains("secret") && listed["keys"].as_array().unwrap().len() == 3,
        "{listed}"
    );

    // A stream that the first began ends with it, though it is quiet.
    let mut feed = v1::feed_client::FeedClient::new(way(&world, &shown).await);
    let (say, said) = tokio::sync::mpsc::channel(4);
    say.send(hello("e")).await.unwrap();
    let mut follow =
        feed.follow(tokio_stream::wrappers::ReceiverStream::new(said)).await.unwrap().into_inner();
    follow.message().await.unwrap().unwrap();
    let revoke = format!("DELETE /v1/{}", first.body["name"].as_str().unwrap());
    let revoked = rest(&world, &revoke, admin, Value::Null).await;
    assert!(revoked.status == 200 && revoked.body["revoke_time"].is_string(), "{revoked:?}");
    let refused = rest(&world, "GET /v1/links", Some(&shown), Value::Null).await;
    assert_eq!(
        (refused.status.as_u16(), &refused.headers["www-authenticate"]),
        (401, &axum::http::HeaderValue::from_static("Bearer"))
    );
    let ended = async {
        loop {
            let ping = v1::follow_request::Message::Ping(v1::Ping { id: 1, ..v1::Ping::default() });
            let _ = say.send(v1::FollowRequest { message: Some(ping) }).await;
            match tokio::time::timeout(Duration::from_millis(100), follow.message()).await {
                Ok(Ok(Some(_))) | Err(_) => {}
                Ok(ended) => return ended.err(),
            }
        }
    };
    let ended = tokio::time::timeout(Duration::from_secs(5), ended).await.expect("the stream ends");
    assert!(ended.is_some(), "by an error");

    let wrong = |field: &'static str, value: Value| {
        let mut body = body.clone();
        body[field] = value;
        body
    };
    for (field, body) in [
        ("client", wrong("client", json!(""))),
        ("client", wrong("client", json!("a b"))),
        ("scopes", wrong("scopes", json!([]))),
        ("scopes", wrong("scopes", json!(["links"]))),
        ("domains", wrong("domains", json!(["a b"]))),
        ("expire_time", wrong("expire_time", json!("2001-01-01T00:00:00Z"))),
        ("secret", wrong("secret", json!("lk_x"))),
    ] {
        let refused = rest(&world, "POST /v1/keys", admin, body).await;
        assert_eq!((refused.status.as_u16(), refused.body["field"].as_str()), (400, Some(field)));
    }
    world.running.stop().await;
    let again = store::sqlite::Sqlite::open(&world.folder.db(), Default::default()).unwrap();
    let rows = again.key_rows().keys_behind("", 99).unwrap();
    let row = rows.iter().find(|row| row.id == shown.id()).unwrap();
    assert!(row.last_use.is_some() && row.revoke_time.is_some(), "{row:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn guesses_cost_no_look_up_and_are_soon_told_no_more() {
    const GUESSES: usize = 10_000;
    let folder = Folder::new();
    let store = MoodyStore::new(&folder);
    let good = put(&*store, Scopes::admin(), |_| ());
    let world = locked(folder, store.clone()).await;
    let links = LinksClient::new(way(&world, &good).await);
    let (before, began) = (store.calls(), Instant::now());
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let channel = world.channel().await;
        tasks.spawn(async move {
            let (mut limited, mut late) = (0, 0);
            for _ in 0..GUESSES / 20 {
                let key = KeySource::Text(Secret::new().reveal().into());
                let way = Access { key, ..Access::default() }.way(channel.clone()).unwrap();
                let refused = LinksClient::new(way).get_link(v1::GetLinkRequest { name: name("x") }).await;
                match refused.unwrap_err().code() {
                    Code::Unauthenticated => {}
                    Code::ResourceExhausted => limited += 1,
                    // Other tests run beside this one: a call may be out of its time before it is read.
                    Code::Cancelled | Code::DeadlineExceeded => late += 1,
                    other => panic!("{other:?}"),
                }
            }
            (limited, late)
        });
    }
    let (mut limited, mut late) = (0, 0);
    while let Some(task) = tasks.join_next().await {
        let (more_limited, more_late): (usize, usize) = task.unwrap();
        (limited, late) = (limited + more_limited, late + more_late);
    }
    assert!(late < GUESSES / 10, "{late} were out of their time");
    // The version of the keys is looked at every 300 ms, whoever asks.
    let polls = began.elapsed().as_millis() as u64 / 300 + 2;
    let calls = store.calls() - before;
    assert!(calls <= polls, "{calls} calls of the store, {polls} of them to look for changes");
    assert!(limited > GUESSES / 2, "{limited} were told to wait");
    println!(
        "{GUESSES} guesses in {:?}: {calls} calls of the store; {limited} were told to wait",
        began.elapsed()
    );
    let right = links.clone().get_link(v1::GetLinkRequest { name: name("x") }).await.unwrap_err();
    assert_eq!(right.code(), Code::NotFound, "a right key is let in from the same address");
    let (world, mut tasks) = (Arc::new(world), tokio::task::JoinSet::new());
    for _ in 0..400 {
        let world = world.clone();
        tasks.spawn(async move { rest(&world, "GET /v1/links", None, Value::Null).await });
    }
    let replies = tasks.join_all().await;
    let reply = replies.iter().find(|reply| reply.status == 429).expect("most of them are told to wait");
    assert_eq!(reply.body["reason"], "RATE_LIMITED");
    assert!(reply.headers["retry-after"].to_str().unwrap().parse::<u64>().unwrap() >= 1);
    Arc::into_inner(world).unwrap().stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_store_only_edges_are_let_in() {
    let folder = Folder::new();
    let store = MoodyStore::new(&folder);
    let all = put(&*store, Scopes::of(&Scope::ALL), |_| ());
    let world = locked(folder, store.clone()).await;
    store.set(Mood { fault: Some(StoreFault::Unavailable("gone".into())), ..Mood::default() });
    let way = way(&world, &all).await;
    let began = Instant::now();
    while grpc(&way, "Links/ListLinks").await != Code::Unavailable {
        assert!(began.elapsed() < Duration::from_secs(5));
        tokio::task::yield_now().await;
    }
    assert_eq!(over_grpc(grpc(&way, "Feed/Fetch").await), KeyVerdict::In);
    store.set(Mood::default());
    while grpc(&way, "Links/ListLinks").await == Code::Unavailable {
        assert!(began.elapsed() < Duration::from_secs(9));
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_revoked_at_one_control_is_refused_at_all_within_a_second() {
    let Some(database) = Database::new() else { return };
    let store = database.opened(false).await;
    let keys = store.clone();
    let made = tokio::task::spawn_blocking(move || {
        let scopes = Scopes::of(&[Scope::LinksRead]);
        (put(&*keys, Scopes::admin(), |_| ()), put(&*keys, scopes, |_| ()))
    });
    let (admin, key) = made.await.unwrap();
    let one = locked(Folder::new(), store).await;
    let config = control::Config { insecure: false, ..config(one.folder.db()) };
    let api = control::take(config.api).unwrap();
    let other = control::start_on(config, api, database.opened(false).await).await.unwrap();
    let channel = tonic::transport::Channel::from_shared(format!("http://{}", other.api())).unwrap();
    let access = Access { key: KeySource::Text(key.reveal().into()), ..Access::default() };
    let way_to_other = access.way(channel.connect().await.unwrap()).unwrap();
    assert_eq!(over_grpc(grpc(&way_to_other, "Links/ListLinks").await), KeyVerdict::In);
    let mut admin = KeysClient::new(way(&one, &admin).await);
    admin.revoke_key(v1::RevokeKeyRequest { name: format!("keys/{}", key.id()) }).await.unwrap();
    let began = Instant::now();
    assert_eq!(over_grpc(grpc(&way(&one, &key).await, "Links/ListLinks").await), KeyVerdict::Unauthenticated);
    let mut last = Duration::ZERO;
    loop {
        let at = began.elapsed();
        match grpc(&way_to_other, "Links/ListLinks").await {
            Code::Ok => last = at,
            Code::Unauthenticated => break,
            Code::Unavailable => {} // it does not know, and says so
            other => panic!("{other:?}"),
        }
        assert!(began.elapsed() < Duration::from_secs(20), "it is never refused");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    println!("the last call that the other control let in began {last:?} after the end of the key");
    assert!(last < Duration::from_secs(1), "{last:?}");
    other.stop().await;
    one.stop().await;
}
