//! What somebody can do to others who has stolen the key of one edge, or is let in without one: beside what a hello can
//! say, which is in `liar`.

use super::edges::{AliveEdge, BOUND, names, ping, propagated, told};
use super::feeds::{Edge, Stream, soon};
use super::keys::{locked, put, rest, way};
use super::world::{Folder, Mood, MoodyStore, World};
use control::keys::Secret;
use proto::v1::{self, feed_client::FeedClient, follow_request, propagation};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use store::model::{Scope, Scopes};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};

/// What the first hello on a stream says, and then another one on the same.
async fn two_hellos(world: &World, first: v1::Hello, second: v1::Hello) -> Result<(), Status> {
    let mut stream = Stream::open(world, first).await;
    soon(stream.inbound.message()).await?.expect("an answer to the first");
    Stream::say(&stream.out, follow_request::Message::Hello(second)).await;
    // Pages may come in between.
    while let Some(message) = soon(stream.inbound.message()).await? {
        if let Some(v1::follow_response::Message::Reset(_) | v1::follow_response::Message::Resume(_)) =
            message.message
        {
            return Ok(());
        }
    }
    panic!("the stream ended without a word");
}

fn hello(edge: &str, incarnation: u64) -> v1::Hello {
    let protocol = feed::PROTOCOL;
    v1::Hello { protocol, edge: edge.into(), incarnation, number: 1, ..v1::Hello::default() }
}

async fn edges(world: &World) -> Vec<(String, String)> {
    let listed = world.rest("GET /v1/edges", Value::Null).await.body;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    listed["edges"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (text(&row["edge"]), text(&row["incarnation"])))
        .collect()
}

/// Found by reading: a second hello by another name left the first one behind, to be waited for as if it had crashed.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_speaks_for_one_process() {
    let world = World::new().await;
    two_hellos(&world, hello("one", 1), v1::Hello { number: 2, ..hello("one", 1) }).await.unwrap();
    for (name, incarnation) in [("one", 2), ("two", 1), ("One", 1)] {
        let refused = two_hellos(&world, hello("one", 1), hello(name, incarnation)).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
        assert!(refused.message().contains("edge one, process 0000000000000001"), "{refused:?}");
    }
    assert_eq!(edges(&world).await, [("one".to_owned(), format!("{:016x}", 1))]);
    // Names that nobody could tell apart are none.
    for name in ["", " one", "one ", "on\u{7}e", "one\n", "\u{a0}one"] {
        let mut stream = Stream::open(&world, hello(name, 1)).await;
        let refused = soon(stream.inbound.message()).await.unwrap_err();
        assert!(
            refused.code() == Code::InvalidArgument && refused.message().contains("--name"),
            "{refused:?}"
        );
    }
    // Whatever name was let in can be forgotten by it.
    for name in ["a/b", "M\u{fc}nchen 1", "a?b#c%2f"] {
        let mut stream = Stream::open(&world, hello(name, 1)).await;
        soon(stream.inbound.message()).await.unwrap().unwrap();
        let escaped: String = name.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let reply = world.rest(&format!("DELETE /v1/edges/{escaped}"), Value::Null).await;
        assert_eq!((reply.status.as_u16(), &reply.body["reason"]), (409, &json!("EDGE_ALIVE")), "{reply:?}");
    }
    world.stop().await;
}

/// Nothing that it acknowledges or takes leave for is said of another.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_thief_acknowledges_is_of_no_other_edge() {
    let world = World::alone(Folder::new()).await;
    let mut links = world.links().await;
    let frozen = AliveEdge::new(&world, Edge::named("one", 1)).await.freeze().await;
    // Under its own name, and as a further process under that of the other.
    for (name, incarnation) in [("thief", 1), ("one", 2)] {
        for last in [
            follow_request::Message::Applied(v1::Applied { seq: 1 << 40, page: 1 << 40 }),
            follow_request::Message::Applied(v1::Applied { seq: u64::MAX, page: 0 }),
            follow_request::Message::Leave(v1::Leave::default()),
        ] {
            let mut thief = Stream::open(&world, hello(name, incarnation)).await;
            soon(thief.inbound.message()).await.unwrap().unwrap();
            let leaves = matches!(last, follow_request::Message::Leave(_));
            Stream::say(&thief.out, last).await;
            let ended = loop {
                match soon(thief.inbound.message()).await {
                    Ok(Some(_)) => {}
                    ended => break ended,
                }
            };
            let refused = ended.as_ref().is_err_and(|status| status.message().contains("never sent"));
            assert!(leaves && ended.is_ok() || refused, "{ended:?}");
        }
    }
    let made = links.create_link(propagated("", "a")).await.unwrap().into_inner();
    assert_eq!(told(made), (propagation::Status::Partial, vec![], names(&["one"])));
    drop(frozen);
    world.stop().await;
}

/// Found by reading: it waited until its caller gave up, and said nothing of the store.
#[tokio::test(flavor = "multi_thread")]
async fn an_edge_is_not_forgotten_while_nothing_can_be_written_and_that_is_said_soon() {
    let folder = Folder::new();
    let store = MoodyStore::new(&folder);
    let world = World::on(folder, store.clone()).await;
    let (edge, stream) = AliveEdge::new(&world, Edge::named("one", 1)).await.freeze().await;
    drop((edge, stream));
    let forget = async || {
        let began = Instant::now();
        let reply = world.rest("DELETE /v1/edges/one", Value::Null).await;
        (reply.status.as_u16(), reply.body, began.elapsed())
    };
    let blind = async { while forget().await.1["reason"] == "EDGE_ALIVE" {} };
    store.set(Mood { no_sessions: true, ..Mood::default() });
    soon(blind).await;
    let (status, body, took) = forget().await;
    assert_eq!((status, &body["reason"]), (507, &json!("DISK_FULL")), "{body}");
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert_eq!(edges(&world).await.len(), 1, "it is known as before");
    // The writing thread hangs in a commit.
    store.set(Mood { writes_wait: true, ..Mood::default() });
    let mut links = world.links().await;
    let hangs = tokio::spawn(async move { links.create_link(propagated("", "a")).await });
    while store.commits() == 0 {
        tokio::task::yield_now().await;
    }
    let (status, body, took) = forget().await;
    assert_eq!((status, &body["reason"]), (503, &json!("STORE_UNAVAILABLE")), "{body}");
    let why = body["detail"].as_str().unwrap();
    assert!(
        why.contains("nothing was written within 3 s") && took < Duration::from_secs(6),
        "{took:?} {why}"
    );
    store.set(Mood::default());
    hangs.await.unwrap().unwrap();
    let gone = async { while forget().await.0 != 404 {} };
    soon(gone).await;
    assert!(edges(&world).await.is_empty());
    world.stop().await;
}

/// A control that asks for keys, and those of an honest edge and of the one that was robbed.
async fn robbed() -> (World, [Secret; 2]) {
    let folder = Folder::new();
    let store = MoodyStore::new(&folder);
    let feed = Scopes::of(&[Scope::Feed]);
    let keys = ["honest", "robbed"].map(|name| put(&*store, feed, |row| row.edge = Some(name.into())));
    (locked(folder, store).await, keys)
}

async fn open(world: &World, key: &Secret, edge: &mut Edge) -> Result<Stream, Status> {
    let (out, messages) = mpsc::channel(64);
    Stream::say(&out, follow_request::Message::Hello(edge.hello())).await;
    let told = FeedClient::new(way(world, key).await).follow(ReceiverStream::new(messages)).await?;
    Ok(Stream { out, inbound: told.into_inner() })
}

/// The honest edge comes in and is told that it is fresh: how long that takes.
async fn comes_in(world: &World, key: &Secret, incarnation: u64) -> Duration {
    let began = Instant::now();
    let mut edge = Edge::named("honest", incarnation);
    let mut stream = open(world, key, &mut edge).await.unwrap();
    edge.until(&mut stream, |edge| edge.follower.walked()).await;
    ping(&mut edge, &stream).await;
    edge.until(&mut stream, |edge| edge.follower.fresh_as_of().is_some()).await;
    Stream::say(&stream.out, follow_request::Message::Leave(v1::Leave::default())).await;
    began.elapsed()
}

fn many(short: usize) -> usize {
    if std::env::var_os("LINKR_LONG").is_some() { 10 * short } else { short }
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_streams_of_one_edge_keep_no_other_out() {
    let (world, [honest, stolen]) = robbed().await;
    let crowd = async {
        let (mut held, mut refused, began) = (Vec::new(), 0, Instant::now());
        for incarnation in 0..many(1_000) {
            // Each asks for every link, and reads none.
            let mut edge = Edge::named("robbed", incarnation as u64);
            match open(&world, &stolen, &mut edge).await {
                Ok(stream) => held.push(stream),
                Err(status) => {
                    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
                    assert!(status.message().contains("16 Follow of edge robbed"), "{status:?}");
                    refused += 1;
                }
            }
        }
        (held.len(), refused, began.elapsed())
    };
    let meanwhile = async {
        let mut longest = Duration::ZERO;
        for incarnation in 0..20 {
            longest = longest.max(comes_in(&world, &honest, incarnation).await);
        }
        longest
    };
    let ((held, refused, took), longest) = tokio::join!(crowd, meanwhile);
    println!("{held} streams let in, {refused} refused; the honest edge came in within {longest:?}");
    assert_eq!(held + refused, many(1_000));
    // Who takes nothing is let go after 10 s, and another takes its place.
    let rounds = 2 + took.as_secs() / 10;
    assert!((16..=16 * rounds).contains(&(held as u64)), "{held} in {took:?}");
    assert!(longest < 3 * BOUND, "{longest:?}");
    // Nor does it speak for another, once its places are free again.
    let mut edge = Edge::named("honest", 77);
    let mut stream = soon(async {
        loop {
            if let Ok(stream) = open(&world, &stolen, &mut edge).await {
                break stream;
            }
        }
    })
    .await;
    let refused = soon(stream.inbound.message()).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused:?}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_of_one_edge_without_end_are_answered_or_refused_and_no_other_waits() {
    let (world, [honest, stolen]) = robbed().await;
    let question = || v1::FetchRequest { keys: vec![b"\0\0\0\0a".as_slice().into(); 256], min_seq: 1 << 40 };
    let ways =
        tokio::join!(way(&world, &stolen), way(&world, &stolen), way(&world, &stolen), way(&world, &stolen));
    let mut ways = [ways.0, ways.1, ways.2, ways.3].into_iter().cycle();
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..many(1_000) {
        let mut feed = FeedClient::new(ways.next().unwrap());
        asked.spawn(async move { feed.fetch(question()).await.unwrap_err() });
    }
    let mut own = FeedClient::new(way(&world, &honest).await);
    let mut waits = Vec::new();
    for _ in 0..20 {
        let began = Instant::now();
        own.fetch(v1::FetchRequest { min_seq: 0, ..question() }).await.unwrap();
        waits.push(began.elapsed());
    }
    // Other tests run beside this one: two of them may have been in the way.
    waits.sort_unstable();
    let longest = waits[waits.len() - 3];
    let (mut behind, mut refused) = (0, 0);
    while let Some(status) = asked.join_next().await {
        match status.unwrap() {
            status if status.message().contains("the log has not reached") => behind += 1,
            status if status.message().contains("512 Fetch of edge robbed") => refused += 1,
            // HTTP/2's own word: more than 200 on one connection.
            status if format!("{status:?}").contains("REFUSED_STREAM") => refused += 1,
            status => panic!("{status:?}"),
        }
    }
    println!("{behind} answered, {refused} refused; the other edge waited {longest:?} at most");
    assert_eq!(behind + refused, many(1_000));
    assert!(behind >= 512 && longest < BOUND, "{behind} {longest:?}");
    // What names no link at all is not even asked for.
    let long = v1::FetchRequest { keys: vec![vec![0; 133].into()], min_seq: 0 };
    assert_eq!(own.fetch(long).await.unwrap_err().code(), Code::InvalidArgument);
    let listed = rest(&world, "GET /v1/edges", Some(&stolen), Value::Null).await;
    assert_eq!(listed.status, 403, "and it learns of no other");
    world.stop().await;
}
