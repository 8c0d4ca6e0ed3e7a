//! What a key may give, whose it is and how it is shown: no more than it has, one edge, once, and never again when it has
//! expired.

use super::keys::{hello, locked, put, rest, way};
use super::postgres::Database;
use super::world::{Folder, Mood, MoodyStore, World};
use control::keys::Secret;
use proto::v1;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use store::model::{KeyRow, Scope, Scopes};
use store::port::Repository;
use store::sqlite::{Options, Sqlite};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;

#[tokio::test(flavor = "multi_thread")]
async fn a_bound_key_gives_no_more_than_it_has() {
    let folder = Folder::new();
    let store = MoodyStore::new(&folder);
    let (read, end) = (Scopes::of(&[Scope::LinksRead, Scope::KeysAdmin]), 4_000_000_000_000);
    let own = |row: &mut KeyRow| row.domains = vec!["a.example".into()];
    let bound =
        put(&*store, read, |row| (row.domains, row.expire_time) = (vec!["a.example".into()], Some(end)));
    let writer = put(&*store, Scopes::of(&[Scope::LinksWrite]), own);
    let old = put(&*store, Scopes::of(&Scope::ALL), own);
    let world = locked(folder, store).await;
    let key = |scopes: &[&str], expire: Value| json!({ "client": "c", "scopes": scopes, "domains": ["a.example"], "edge": "", "expire_time": expire });
    let (soon, late) = (json!("2050-01-01T00:00:00Z"), json!("2099-01-01T00:00:00Z"));
    let post = async |with: &Secret, body: Value| rest(&world, "POST /v1/keys", Some(with), body).await;
    assert_eq!(post(&bound, key(&["links:read"], soon.clone())).await.status, 201);
    for (scopes, expire) in [
        (&["links:write"][..], soon.clone()),
        (&["links:read", "domains:admin"], soon.clone()),
        (&["feed"], soon.clone()),
        (&["links:read"], late),
        (&["links:read"], Value::Null),
    ] {
        let refused = post(&bound, key(scopes, expire)).await;
        assert_eq!(refused.status, 403, "{scopes:?}: {refused:?}");
    }
    // Nor by making a second one of a key that may do more.
    let rotate = format!("POST /v1/keys/{}:rotate", writer.id());
    assert_eq!(rest(&world, &rotate, Some(&bound), json!({ "expire_time": soon })).await.status, 403);
    // A key from before that has the feed and is for one domain makes none for the feed, in no way.
    let wide = json!({ "client": "c", "scopes": ["feed"], "edge": "fra-1" });
    assert_eq!(post(&old, wide).await.status, 403);
    assert_eq!(post(&old, key(&["feed"], Value::Null)).await.status, 403);
    let refused = rest(&world, &format!("POST /v1/keys/{}:rotate", old.id()), Some(&old), json!({})).await;
    assert!(refused.status == 400 && refused.body.to_string().contains("from before"), "{refused:?}");
    world.stop().await;
}

/// A key for the feed is for all domains and for one edge.
#[tokio::test(flavor = "multi_thread")]
async fn a_feed_key_is_for_one_edge_and_for_no_domain() {
    let folder = Folder::new();
    let store = MoodyStore::new(&folder);
    let feed = Scopes::of(&[Scope::Feed]);
    let admin = put(&*store, Scopes::admin(), |_| ());
    let both = put(&*store, feed, |row| row.domains = vec!["a.example".into()]);
    let old = put(&*store, feed, |_| ());
    let world = locked(folder, store).await;
    let post = async |body: Value| rest(&world, "POST /v1/keys", Some(&admin), body).await;
    for (body, field, why) in [
        (json!({ "client": "e", "scopes": ["feed"] }), "edge", "--name"),
        (
            json!({ "client": "e", "scopes": ["feed"], "edge": "e", "domains": ["a.example"] }),
            "domains",
            "every domain",
        ),
        (json!({ "client": "e", "scopes": ["links:read"], "edge": "e" }), "edge", "the scope feed is not"),
        (json!({ "client": "e", "scopes": ["feed"], "edge": "a b" }), "edge", "A-Z"),
    ] {
        let refused = post(body).await;
        assert_eq!(
            (refused.status.as_u16(), refused.body["field"].as_str()),
            (400, Some(field)),
            "{refused:?}"
        );
        assert!(refused.body.to_string().contains(why), "{refused:?}");
    }
    let made = post(json!({ "client": "fra", "scopes": ["feed"], "edge": "fra-1" })).await;
    let rotate = format!("POST /v1/{}:rotate", made.body["name"].as_str().unwrap());
    let second = rest(&world, &rotate, Some(&admin), json!({})).await.body;
    let listed = rest(&world, "GET /v1/keys", Some(&admin), Value::Null).await.body;
    let named = listed["keys"].as_array().unwrap().iter().filter(|key| key["edge"] == "fra-1");
    assert_eq!((named.count(), &second["edge"]), (2, &json!("fra-1")));
    let secret = |body: &Value| Secret::parse(body["secret"].as_str().unwrap()).unwrap();
    for key in [secret(&made.body), secret(&second)] {
        assert_eq!(follow(&world, &key, &["fra-1"]).await, Ok(()));
        let refused = follow(&world, &key, &["ams-1"]).await.unwrap_err();
        assert!(refused.contains("is that of edge fra-1"), "{refused}");
        let later = follow(&world, &key, &["fra-1", "ams-1"]).await.unwrap_err();
        assert!(later.contains("is that of edge fra-1"), "{later}");
    }
    assert_eq!(follow(&world, &old, &["any"]).await, Ok(()), "a key from before");
    let refused = follow(&world, &both, &["fra-1"]).await.unwrap_err();
    assert!(refused.contains("--edge NAME"), "{refused}");
    let mut fetch = v1::feed_client::FeedClient::new(way(&world, &both).await);
    assert_eq!(fetch.fetch(v1::FetchRequest::default()).await.unwrap_err().code(), Code::PermissionDenied);
    let refused = rest(&world, &format!("POST /v1/keys/{}:rotate", old.id()), Some(&admin), json!({})).await;
    assert_eq!(refused.status, 400, "a second one that names no edge: {refused:?}");
    world.stop().await;
}

/// Says these hellos one after the other, each once the one before is answered.
async fn follow(world: &World, key: &Secret, edges: &[&str]) -> Result<(), String> {
    let mut feed = v1::feed_client::FeedClient::new(way(world, key).await);
    let (say, said) = tokio::sync::mpsc::channel(4);
    say.send(hello(edges[0])).await.unwrap();
    let words = |status: Status| status.message().to_owned();
    let said = tokio_stream::wrappers::ReceiverStream::new(said);
    let mut told = feed.follow(said).await.map_err(words)?.into_inner();
    told.message().await.map_err(words)?.unwrap();
    for edge in &edges[1..] {
        say.send(hello(edge)).await.unwrap();
        // What was under way to the first comes before.
        let answer = async {
            loop {
                match told.message().await {
                    Ok(Some(_)) => {}
                    Ok(None) => return Ok(()),
                    Err(status) => return Err(words(status)),
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(5), answer).await.expect("it ends")?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_keys_none_counts() {
    let folder = Folder::new();
    let store = MoodyStore::new(&folder);
    let (one, two) = (put(&*store, Scopes::admin(), |_| ()), put(&*store, Scopes::admin(), |_| ()));
    let world = locked(folder, store).await;
    let [one, two] = [one, two].map(|key| format!("Bearer {}", key.reveal()));
    let good = [("authorization", &*one)];
    assert_eq!(world.raw("GET /v1/links", &good, Vec::new()).await.status, 200);
    for second in [&*two, &*one, "", "Basic x"] {
        for pair in [[&*one, second], [second, &*one]] {
            let headers = pair.map(|value| ("authorization", value));
            let refused = world.raw("GET /v1/links", &headers, Vec::new()).await;
            assert_eq!(refused.status, 401, "{refused:?}");
            assert!(refused.body.to_string().contains("two Authorization headers"), "{refused:?}");
            let mut request = Request::new(v1::GetLinkRequest { name: super::world::name("x") });
            for value in pair {
                request.metadata_mut().append("authorization", value.parse().unwrap());
            }
            let refused = world.links().await.get_link(request).await.unwrap_err();
            assert_eq!(refused.code(), Code::Unauthenticated, "{refused:?}");
        }
    }
    for name in ["idempotency-key", "if-match"] {
        let headers = [("authorization", &*one), (name, "\"1\""), (name, "\"2\"")];
        let refused = world.raw("DELETE /v1/links/x", &headers, Vec::new()).await;
        assert_eq!((refused.status.as_u16(), refused.body["field"].as_str()), (400, Some(name)));
    }
    world.stop().await;
}

/// The store has seen a later time than the clock of this machine says now.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_goes_back_revives_no_key() {
    let folder = Folder::new();
    let store = MoodyStore::new(&folder);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
    let hour = 3_600_000;
    let expired = put(&*store, Scopes::admin(), |row| row.expire_time = Some(now + hour));
    let later = put(&*store, Scopes::admin(), |row| row.expire_time = Some(now + 3 * hour));
    let admin = put(&*store, Scopes::admin(), |_| ());
    store::port::Repository::key_rows(&*store).use_keys(&[(admin.id(), now + 2 * hour)]).unwrap();
    let world = locked(folder, store).await;
    let refused = rest(&world, "GET /v1/links", Some(&expired), Value::Null).await;
    assert!(refused.status == 401 && refused.body.to_string().contains("has expired"), "{refused:?}");
    assert_eq!(rest(&world, "GET /v1/links", Some(&later), Value::Null).await.status, 200);
    world.stop().await;
}

/// One key that only reads, over both transports, and the others'.
#[tokio::test(flavor = "multi_thread")]
async fn one_key_does_not_hold_every_watch_export_or_stream() {
    let folder = Folder::new();
    let store = MoodyStore::new(&folder);
    let read = Scopes::of(&[Scope::LinksRead]);
    let (one, other) = (put(&*store, read, |_| ()), put(&*store, read, |_| ()));
    let edge = |name: &'static str| move |row: &mut KeyRow| row.edge = Some(name.into());
    let [fra, ams] = ["fra-1", "ams-1"].map(|name| put(&*store, Scopes::of(&[Scope::Feed]), edge(name)));
    let again = put(&*store, Scopes::of(&[Scope::Feed]), edge("fra-1"));
    let world = locked(folder, store).await;
    let watch = async |key: &Secret| {
        let mut links = v1::links_client::LinksClient::new(way(&world, key).await);
        links.watch_links(v1::WatchLinksRequest::default()).await.map(tonic::Response::into_inner)
    };
    let mut held = Vec::new();
    let refused = loop {
        match watch(&one).await {
            Ok(watch) => held.push(watch),
            Err(status) => break status,
        }
    };
    assert_eq!((held.len(), refused.code()), (32, Code::ResourceExhausted));
    assert!(refused.message().contains("32 WatchLinks of this caller"), "{refused:?}");
    let over_rest = rest(&world, "GET /v1/links:watch", Some(&one), Value::Null).await;
    assert_eq!((over_rest.status.as_u16(), over_rest.body["reason"].as_str()), (429, Some("SHARE_USED_UP")));
    let mut others = watch(&other).await.unwrap();
    others.message().await.unwrap().unwrap();
    held.pop();
    let back = async {
        while watch(&one).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), back).await.expect("a place comes back");

    // An edge has its streams by its name, whichever key it shows.
    let follow = async |key: &Secret, name: &str| {
        let mut feed = v1::feed_client::FeedClient::new(way(&world, key).await);
        let (say, said) = tokio::sync::mpsc::channel(1);
        say.send(hello(name)).await.unwrap();
        let told = feed.follow(tokio_stream::wrappers::ReceiverStream::new(said)).await?;
        Ok::<_, Status>((say, told.into_inner()))
    };
    let mut streams = Vec::new();
    let refused = loop {
        let key = if streams.len() % 2 == 0 { &fra } else { &again };
        match follow(key, "fra-1").await {
            Ok(stream) => streams.push(stream),
            Err(status) => break status,
        }
    };
    assert_eq!((streams.len(), refused.code()), (16, Code::ResourceExhausted), "{refused:?}");
    let (_say, mut told) = follow(&ams, "ams-1").await.unwrap();
    told.message().await.unwrap().unwrap();
    drop((held, streams));
    world.stop().await;
}

/// Found by attack: 800 lists of one key kept everybody from the store, and went on when their caller had gone.
#[tokio::test(flavor = "multi_thread")]
async fn lists_of_one_key_keep_nobody_from_the_store() {
    let folder = Folder::new();
    let store = MoodyStore::new(&folder);
    let read = Scopes::of(&[Scope::LinksRead]);
    let (one, other) = (put(&*store, read, |_| ()), put(&*store, read, |_| ()));
    let world = locked(folder, store.clone()).await;
    store.set(Mood { lists_wait: true, ..Mood::default() });
    let mut links = v1::links_client::LinksClient::new(way(&world, &one).await);
    let mut lists = tokio::task::JoinSet::new();
    for _ in 0..40 {
        let mut links = links.clone();
        lists.spawn(async move { links.list_links(v1::ListLinksRequest::default()).await });
    }
    for _ in 32..40 {
        let refused = lists.join_next().await.unwrap().unwrap().unwrap_err();
        assert_eq!(refused.code(), Code::ResourceExhausted);
        assert_eq!(refused.get_details_retry_info().unwrap().retry_delay, Some(Duration::from_secs(1)));
    }
    let over_rest = rest(&world, "GET /v1/links", Some(&one), Value::Null).await;
    assert_eq!((over_rest.status.as_u16(), &over_rest.headers["retry-after"]), (429, &"1".parse().unwrap()));
    // His own calls and those of others are answered meanwhile, and one of his lists alone is in the store.
    let get = v1::GetLinkRequest { name: "domains/-/links/none".into() };
    assert_eq!(links.get_link(get.clone()).await.unwrap_err().code(), Code::NotFound);
    let reply = rest(&world, "GET /v1/links/none", Some(&other), Value::Null).await;
    assert_eq!((reply.status.as_u16(), store.lists()), (404, 1));
    // He goes: of what waited nothing is begun.
    lists.shutdown().await;
    assert_eq!(links.get_link(get).await.unwrap_err().code(), Code::NotFound);
    let free = async {
        while rest(&world, "GET /v1/links?page_size=0&filter=x", Some(&one), Value::Null).await.status != 400
        {
        }
    };
    tokio::time::timeout(Duration::from_secs(5), free).await.expect("his places come back");
    store.set(Mood::default());
    let reply = rest(&world, "GET /v1/links", Some(&other), Value::Null).await;
    assert_eq!((reply.status.as_u16(), store.lists()), (200, 2));
}

/// Found by attack: a key for one domain made 6,917 others in 25 s, which every control read again three times a second.
#[tokio::test(flavor = "multi_thread")]
async fn a_bound_key_makes_a_domain_no_more_keys_than_a_thousand() {
    let folder = Folder::new();
    let store = Arc::new(Sqlite::open(&folder.db(), Options::default()).unwrap());
    kept_to_a_thousand(&*store);
    let all = Scopes::of(&[Scope::KeysAdmin, Scope::LinksRead]);
    let bound = put(&*store, all, |row| row.domains = vec!["a.example".into()]);
    let free = put(&*store, all, |_| ());
    let db = rusqlite::Connection::open(folder.db()).unwrap();
    let filled = db.execute(
        "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 998) INSERT INTO keys \
         (id, hash, client, scopes, domains, create_time) \
         SELECT 'k' || n, randomblob(32), 'c' || n, 'links:read', 'a.example b.example', 1 FROM n",
        [],
    );
    assert_eq!(filled.unwrap(), 998);
    let world = locked(folder, store).await;
    let make = async |by: &Secret, client: &str| {
        let key = json!({"client": client, "scopes": ["links:read"], "domains": ["a.example"]});
        rest(&world, "POST /v1/keys", Some(by), key).await
    };
    let last = make(&bound, "x").await;
    assert_eq!(last.status.as_u16(), 201, "{last:?}");
    let name = last.body["name"].as_str().unwrap().to_owned();
    let over = make(&bound, "y").await;
    assert_eq!(over.status.as_u16(), 400);
    assert!(over.body["detail"].as_str().unwrap().contains("has 1000 keys that may be used or were made"));
    // One that was only just made counts on: else making and revoking had no end.
    let gone = rest(&world, &format!("DELETE /v1/{name}"), Some(&bound), Value::Null).await;
    assert_eq!((gone.status.as_u16(), make(&bound, "y").await.status.as_u16()), (200, 400));
    let gone = rest(&world, "DELETE /v1/keys/k1", Some(&free), Value::Null).await;
    assert_eq!((gone.status.as_u16(), make(&bound, "y").await.status.as_u16()), (200, 201));
    assert_eq!(make(&free, "z").await.status.as_u16(), 201, "whoever has every domain is not counted");
}

/// On each kind of store: what is counted.
fn kept_to_a_thousand(store: &dyn Repository) {
    let read = Scopes::of(&[Scope::LinksRead]);
    let key = |domains: &[&str], change: fn(&mut KeyRow)| {
        put(store, read, |row| {
            row.domains = domains.iter().map(|&domain| domain.to_owned()).collect();
            change(row);
        });
    };
    key(&["x.example"], |_| ());
    key(&["x.example", "y.example"], |_| ());
    key(&["y.example"], |row| row.expire_time = Some(20));
    key(&["y.example"], |row| row.revoke_time = Some(20));
    key(&["y.example"], |row| (row.create_time, row.revoke_time) = (15, Some(20)));
    key(&[], |_| ());
    let most = |domains: &[&str], now, since| {
        let domains: Vec<_> = domains.iter().map(|&domain| domain.to_owned()).collect();
        store.key_rows().most_keys(&domains, now, since).unwrap()
    };
    assert_eq!(most(&["x.example"], 20, 20), 2);
    assert_eq!(most(&["y.example"], 20, 20), 1);
    assert_eq!(most(&["y.example"], 19, 20), 2);
    assert_eq!(most(&["y.example"], 20, 14), 2);
    assert_eq!(most(&["y.example", "x.example", "example"], 20, 0), 4);
    assert_eq!(most(&["example"], 20, 0), 0);
    let row = store.key_rows().keys_behind("", 99).unwrap().pop().unwrap();
    assert_eq!(store.key_rows().key(&row.id).unwrap(), Some(row));
    assert_eq!(store.key_rows().key("none").unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_a_domain_are_counted_on_postgres() {
    if let Some(db) = Database::new() {
        let store = db.opened(false).await;
        tokio::task::spawn_blocking(move || kept_to_a_thousand(&*store)).await.unwrap();
    }
}
