//! What edges say of themselves, and what they are asked: shown at any control, bounded, and never in the way of the feed.

use super::edges::ping;
use super::feeds::{Edge, Stream, soon};
use super::keys::{locked, put, rest};
use super::postgres::Database;
use super::world::{Folder, Mood, MoodyStore, World};
use prost::Message;
use proto::v1::{self, follow_request, follow_response};
use serde_json::{Value, json};
use std::time::Duration;
use store::model::{Scope, Scopes, StoreFault};
use store::port::{EdgeReports, ReportRow, Repository, SessionRow};
use store::sqlite::{Options as SqliteOptions, Sqlite};

fn report(version: &str) -> v1::EdgeReport {
    let durations =
        [(30_000, 1), (20_000, 99)].map(|(upto_ns, answers)| v1::DurationCount { upto_ns, answers });
    let recent = v1::AnswerCount { outcome: "redirect".into(), tier: "hot".into(), count: 100 };
    let slow = v1::SlowAnswer { path: "/a\x1b[2J".into(), duration_us: 7, ..v1::SlowAnswer::default() };
    v1::EdgeReport {
        version: version.into(),
        recent_seconds: 60,
        recent: vec![recent],
        durations: durations.to_vec(),
        slow: vec![slow],
        ..v1::EdgeReport::default()
    }
}

async fn says(edge: &mut Edge, stream: &Stream, report: Vec<u8>) {
    let id = edge.follower.ping(1).unwrap();
    let ping = v1::Ping { id, report: report.into(), ..v1::Ping::default() };
    Stream::say(&stream.out, follow_request::Message::Ping(ping)).await;
}

/// A stream of an edge that takes questions.
async fn follows(world: &World, edge: &mut Edge) -> Stream {
    let hello = v1::Hello { explains: true, ..edge.hello() };
    let mut stream = Stream::open(world, hello).await;
    edge.until(&mut stream, |edge| edge.follower.walked()).await;
    stream
}

async fn listed(world: &World) -> Value {
    world.rest("GET /v1/edges", Value::Null).await.body
}

/// Waits until what is listed is so.
async fn until(world: &World, what: &str, so: impl Fn(&Value) -> bool) -> Value {
    let listed = async {
        loop {
            let listed = listed(world).await;
            if so(&listed) {
                break listed;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), listed)
        .await
        .unwrap_or_else(|_| panic!("{what} never came"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_edge_says_is_listed_and_what_is_no_report_is_not() {
    let world = World::new().await;
    let mut edge = Edge::named("one", 1);
    let mut stream = follows(&world, &mut edge).await;
    ping(&mut edge, &stream).await;
    let silent = until(&world, "the edge", |listed| !listed["edges"][0].is_null()).await;
    assert!(silent["edges"][0]["report"].is_null(), "an edge of before: {silent}");
    let store = json!({ "kind": "sqlite", "reads": true, "writes": true, "replaced": false });
    assert_eq!((&silent["store"], &silent["redis"]), (&store, &Value::Null));

    says(&mut edge, &stream, report("9.9.9").encode_to_vec()).await;
    let told = until(&world, "the report", |listed| !listed["edges"][0]["report"].is_null()).await;
    let said = &told["edges"][0]["report"];
    assert_eq!(
        (&said["version"], &said["p50_ns"], &said["p99_ns"]),
        (&"9.9.9".into(), &20_000.into(), &20_000.into())
    );
    assert_eq!(said["slow"][0]["path"], "/a\u{fffd}[2J", "{said}");
    assert!(told["edges"][0]["report_time"].is_string());

    // Too long, no message, nothing: each ping is answered all the same, and the last report stays.
    let long = v1::EdgeReport { version: "x".repeat(5_000), ..v1::EdgeReport::default() };
    for (at, odd) in [(1, long.encode_to_vec()), (2, Vec::new())] {
        says(&mut edge, &stream, odd).await;
        edge.until(&mut stream, |edge| edge.follower.fresh_as_of().is_some()).await;
        assert_eq!(listed(&world).await["edges"][0]["report"]["version"], "9.9.9", "{at}");
    }
    says(&mut edge, &stream, vec![0xff; 4_096]).await;
    until(&world, "nonsense", |listed| listed["edges"][0]["report"].is_null()).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_is_asked_what_it_would_answer() {
    let world = World::new().await;
    let ask = async |edge: &str| {
        let call = format!("GET /v1/links/b%C3%BCcher%3A1:explain?edge={edge}");
        world.rest(&call, Value::Null).await
    };
    let refused = ask("one").await;
    assert_eq!((refused.status.as_u16(), &refused.body["reason"]), (404, &"EDGE_NOT_FOUND".into()));
    let mut edge = Edge::named("one", 7);
    let mut stream = follows(&world, &mut edge).await;
    let answers = async {
        let asked = loop {
            let message = soon(stream.inbound.message()).await.unwrap().unwrap().message;
            if let Some(follow_response::Message::Explain(asked)) = message {
                break asked;
            }
        };
        assert_eq!((asked.host.as_str(), asked.path.as_str()), ("", "/b\u{fc}cher:1"));
        // It calls itself what it likes.
        let told = v1::Explanation {
            edge: "another".into(),
            outcome: "redirect\x07".into(),
            response: "HTTP/1.1 302 Found\r\n\x1b".into(),
            ..v1::Explanation::default()
        };
        for (id, explanation) in [(asked.id + 1, None), (asked.id, Some(told)), (asked.id, None)] {
            let told = v1::Explained { id, explanation };
            Stream::say(&stream.out, follow_request::Message::Explained(told)).await;
        }
    };
    let (told, ()) = tokio::join!(ask("one"), answers);
    assert_eq!(told.status.as_u16(), 200, "{:?}", told.body);
    assert_eq!((&told.body["edge"], &told.body["incarnation"]), (&"one".into(), &"0000000000000007".into()));
    assert_eq!(told.body["outcome"], "redirect\u{fffd}");
    assert_eq!(told.body["response"], "HTTP/1.1 302 Found\r\n\u{fffd}");

    // It has too much to do; it says nothing; it is gone.
    let cannot = async {
        loop {
            let message = soon(stream.inbound.message()).await.unwrap().unwrap().message;
            if let Some(follow_response::Message::Explain(asked)) = message {
                let told = v1::Explained { id: asked.id, explanation: None };
                break Stream::say(&stream.out, follow_request::Message::Explained(told)).await;
            }
        }
    };
    let why = |reply: &super::world::Reply| {
        assert_eq!((reply.status.as_u16(), &reply.body["reason"]), (409, &"EDGE_UNREACHABLE".into()));
        reply.body["detail"].as_str().unwrap().to_owned()
    };
    let (busy, ()) = tokio::join!(ask("one"), cannot);
    assert!(why(&busy).contains("too many questions"), "{:?}", busy.body);
    let silent = ask("one").await;
    assert!(why(&silent).contains("did not answer within 2 s"), "{:?}", silent.body);
    drop(stream);
    until(&world, "its end", |listed| {
        listed["edges"][0]["session_since"].is_null() && listed["edges"][0]["blind"] == true
    })
    .await;
    let away = ask("one").await;
    assert!(why(&away).contains("is away"), "{:?}", away.body);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_some_domains_sees_nothing_of_the_visitors_of_others() {
    let folder = Folder::new();
    let store = MoodyStore::new(&folder);
    let all = Scopes::of(&Scope::ALL);
    let bound = put(&*store, all, |row| row.domains = vec!["b.example".into()]);
    let whole = put(&*store, all, |_| ());
    let world = locked(folder, store).await;
    let hello = super::keys::hello("one");
    let hello = match hello.message {
        Some(follow_request::Message::Hello(hello)) => {
            v1::Hello { features: record::Features::KNOWN.0, ..hello }
        }
        _ => unreachable!("it is a hello"),
    };
    let (out, messages) = tokio::sync::mpsc::channel(8);
    Stream::say(&out, follow_request::Message::Hello(hello)).await;
    let says = v1::Ping { id: 1, report: report("9.9.9").encode_to_vec().into(), ..v1::Ping::default() };
    Stream::say(&out, follow_request::Message::Ping(says)).await;
    let way = super::keys::way(&world, &whole).await;
    let mut feed = v1::feed_client::FeedClient::new(way);
    let messages = tokio_stream::wrappers::ReceiverStream::new(messages);
    let _inbound = feed.follow(messages).await.unwrap().into_inner();
    soon(async {
        while rest(&world, "GET /v1/edges", Some(&whole), Value::Null).await.body["edges"][0]["report"]
            .is_null()
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let narrow = rest(&world, "GET /v1/edges", Some(&bound), Value::Null).await.body;
    assert_eq!(narrow["edges"][0]["edge"], "one");
    for hidden in [&narrow["edges"][0]["report"], &narrow["store"], &narrow["redis"]] {
        assert!(hidden.is_null(), "{narrow}");
    }
    let other = rest(&world, "GET /v1/links/x:explain?edge=one", Some(&bound), Value::Null).await;
    assert_eq!(other.status.as_u16(), 403, "{:?}", other.body);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_store_the_edges_are_listed_all_the_same() {
    let folder = Folder::new();
    let store = MoodyStore::new(&folder);
    let world = World::on(folder, store.clone()).await;
    let mut edge = Edge::named("one", 1);
    let stream = follows(&world, &mut edge).await;
    says(&mut edge, &stream, report("9.9.9").encode_to_vec()).await;
    until(&world, "the report", |listed| !listed["edges"][0]["report"].is_null()).await;
    store.set(Mood { fault: Some(StoreFault::Unavailable("it was unplugged".into())), ..Mood::default() });
    let told = listed(&world).await;
    assert_eq!(told["edges"][0]["report"]["version"], "9.9.9", "{told}");
    assert!(told["log"].is_null() && told["store"]["reads"] == false, "{told}");
    assert!(told["store"]["trouble"].as_str().unwrap().contains("it was unplugged"), "{told}");
    store.set(Mood::default());
    until(&world, "the store", |listed| listed["log"]["head"].is_u64() && listed["store"]["reads"] == true)
        .await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn any_control_of_a_store_shows_what_every_edge_says() {
    let Some(db) = Database::new() else { return };
    let (first, second) =
        (World::alone_on(db.opened(false).await).await, World::another(db.opened(false).await).await);
    let mut edge = Edge::named("one", 1);
    let mut stream = follows(&first, &mut edge).await;
    says(&mut edge, &stream, report("9.9.9").encode_to_vec()).await;
    edge.until(&mut stream, |edge| edge.follower.fresh_as_of().is_some()).await;
    let told = until(&second, "the report", |listed| !listed["edges"][0]["report"].is_null()).await;
    assert_eq!(
        (&told["edges"][0]["edge"], &told["edges"][0]["report"]["version"]),
        (&"one".into(), &"9.9.9".into())
    );
    assert!(told["edges"][0]["session_since"].is_null() && told["store"]["kind"] == "postgres", "{told}");
    // Only the one that it follows can ask it. As long as it is answered there it is not away.
    ping(&mut edge, &stream).await;
    let refused = second.rest("GET /v1/links/x:explain?edge=one", Value::Null).await;
    assert_eq!(refused.body["reason"], "EDGE_UNREACHABLE", "{:?}", refused.body);
    assert!(
        refused.body["detail"].as_str().unwrap().contains("follows another control"),
        "{:?}",
        refused.body
    );
    // With its process its report goes.
    Stream::say(&stream.out, follow_request::Message::Leave(v1::Leave::default())).await;
    while soon(stream.inbound.message()).await.unwrap().is_some() {}
    soon(async {
        while db.sql("SELECT count(*) FROM edge_report") != "0" {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
    let (_, _) = (first.stop().await, second.stop().await);
}

/// On every adapter, below a control.
#[test]
fn a_store_that_is_shared_exchanges_reports_and_keeps_the_latest_while_its_edge_is_known() {
    let row = |report: &'static [u8], age| ReportRow {
        edge: "one".into(),
        incarnation: u64::MAX,
        report: bytes::Bytes::from_static(report),
        age,
    };
    let folder = Folder::new();
    let alone = Sqlite::open(&folder.db(), SqliteOptions::default()).unwrap();
    assert_eq!(alone.exchange_reports(&[row(b"a", 0)]).unwrap(), []);
    let Some(db) = Database::new() else { return };
    let (first, second) = (db.open(), db.open());
    let session = SessionRow {
        edge: "one".into(),
        incarnation: u64::MAX,
        epoch: link::Epoch { counter: 1, random: 2 },
        applied: None,
        age: 0,
        own: true,
    };
    first.sessions(Some(std::slice::from_ref(&session))).unwrap();
    assert_eq!(first.exchange_reports(&[row(b"a", 5_000)]).unwrap(), [], "its own");
    let told = second.exchange_reports(&[]).unwrap();
    assert_eq!((told.len(), &told[0].report[..], told[0].incarnation), (1, &b"a"[..], u64::MAX));
    assert!((5_000..60_000).contains(&told[0].age), "{told:?}");
    // The edge has gone over to the second; the first tells an older report late.
    assert_eq!(second.exchange_reports(&[row(b"b", 0)]).unwrap(), []);
    let told = first.exchange_reports(&[row(b"a", 30_000)]).unwrap();
    assert_eq!((told.len(), &told[0].report[..]), (1, &b"b"[..]));
    first.forget_sessions(&[(session.edge, session.incarnation)]).unwrap();
    assert_eq!(first.exchange_reports(&[]).unwrap(), []);
    assert_eq!(db.sql("SELECT count(*) FROM edge_report"), "0");
}
