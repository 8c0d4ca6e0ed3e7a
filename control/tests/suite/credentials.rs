//! What a key may give, whose it is and how it is shown: no more than it has, one edge, once, and never again when it has
//! expired.

use super::keys::{hello, locked, put, rest, way};
use super::world::{Folder, Moody, World};
use control::keys::{Scope, Scopes, Secret};
use control::port::KeyRow;
use proto::v1;
use serde_json::{Value, json};
use std::time::Duration;
use tonic::{Code, Request, Status};

#[tokio::test(flavor = "multi_thread")]
async fn a_bound_key_gives_no_more_than_it_has() {
    let folder = Folder::new();
    let store = Moody::new(&folder);
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
    let store = Moody::new(&folder);
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
    let store = Moody::new(&folder);
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
    let store = Moody::new(&folder);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
    let hour = 3_600_000;
    let expired = put(&*store, Scopes::admin(), |row| row.expire_time = Some(now + hour));
    let later = put(&*store, Scopes::admin(), |row| row.expire_time = Some(now + 3 * hour));
    let admin = put(&*store, Scopes::admin(), |_| ());
    control::port::Repository::key_rows(&*store).use_keys(&[(admin.id(), now + 2 * hour)]).unwrap();
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
    let store = Moody::new(&folder);
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
    assert!(refused.message().contains("32 of WatchLinks"), "{refused:?}");
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
