//! Two controls that share a database, and edges that follow one or the other.

use super::edges::{AliveEdge, BOUND, names, ping, propagated, reaches_both, told};
use super::feeds::{Edge, Stream, soon};
use super::postgres::Database;
use super::world::{self, Folder, World, create};
use link::Position;
use proto::v1::{self, edges_client::EdgesClient, follow_response, propagation};
use std::time::Instant;
use store::port::Repository;
use tonic::Code;

/// Writes a link: its number.
async fn write(world: &World, code: &str) -> u64 {
    let made =
        world.links().await.create_link(create(code, "https://a.example/")).await.unwrap().into_inner();
    Position::parse_revision(&made.revision).unwrap().1
}

/// The head that a ping is answered with.
async fn pong(edge: &mut Edge, stream: &mut Stream) -> u64 {
    ping(edge, stream).await;
    let answer = async {
        loop {
            let message = stream.inbound.message().await.unwrap().unwrap().message.unwrap();
            let head =
                if let follow_response::Message::Pong(pong) = &message { Some(pong.head) } else { None };
            edge.handle(stream, message).await;
            if let Some(head) = head {
                return head;
            }
        }
    };
    soon(answer).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_at_one_control_waits_for_the_edges_of_the_other() {
    use propagation::Status::{Partial, Propagated};
    let Some(db) = Database::new() else { return };
    let a = World::alone_on(db.opened(false).await).await;
    let b = World::another(db.opened(false).await).await;
    let one = AliveEdge::new(&a, Edge::named("one", 1)).await;
    let two = AliveEdge::new(&b, Edge::named("two", 2)).await;
    let mut links = a.links().await;
    let took = reaches_both(&mut links, 10).await;
    println!("propagated to an edge of each of two controls: median {:?}, most {:?}", took[5], took[9]);
    assert!(took[5] < BOUND, "{took:?}");
    let mut client = EdgesClient::new(a.channel().await);
    let list = client.list_edges(v1::ListEdgesRequest {}).await.unwrap().into_inner();
    let listed: Vec<_> = list.edges.iter().map(|edge| (edge.edge.as_str(), edge.blind)).collect();
    assert_eq!(listed, [("one", false), ("two", false)]);

    // Frozen it may believe for a while that it is fresh: the write waits that long, and then names it.
    let (mut edge, stream) = two.freeze().await;
    let began = Instant::now();
    let made = links.create_link(propagated("", "late")).await.unwrap().into_inner();
    assert!((BOUND / 2..BOUND * 3).contains(&began.elapsed()), "{:?}", began.elapsed());
    assert_eq!(told(made), (Partial, names(&["one"]), names(&["two"])));
    // It comes back by way of the other control, which knows it at once.
    drop(stream);
    b.stop().await;
    let mut stream = edge.connect(&a).await;
    edge.until(&mut stream, |edge| edge.follower.applied() == 11).await;
    pong(&mut edge, &mut stream).await;
    let follows = edge.until(&mut stream, |edge| edge.follower.applied() == 12);
    let (made, ()) = tokio::join!(links.create_link(propagated("", "back")), follows);
    let made = made.unwrap().into_inner();
    assert_eq!((told(made.clone()).0, told(made).1.len()), (Propagated, 2));
    let rows = tokio::task::spawn_blocking({
        let store = db.opened(false).await;
        move || store.sessions(None).unwrap().len()
    });
    assert_eq!(rows.await.unwrap(), 2, "an edge has one row, whomever it follows");
    drop((one.freeze().await, stream));
    a.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pong_and_a_fetch_of_one_control_know_what_the_other_has_just_acknowledged() {
    let Some(db) = Database::new() else { return };
    let a = World::on(Folder::new(), db.opened(false).await).await;
    let b = World::another(db.opened(false).await).await;
    let mut edge = Edge::named("one", 1);
    let mut stream = edge.connect(&a).await;
    edge.until(&mut stream, |edge| edge.follower.walked()).await;
    let mut feed = a.feed().await;
    for n in 0..30 {
        let seq = write(&b, &format!("c{n}")).await;
        let head = pong(&mut edge, &mut stream).await;
        assert!(head >= seq, "{head} was called the head after {seq} was acknowledged");
        let ask = v1::FetchRequest { keys: vec![], min_seq: seq };
        assert!(feed.fetch(ask).await.unwrap().into_inner().as_of >= seq);
    }
    edge.until(&mut stream, |edge| edge.follower.applied() == 30).await;
    drop(stream);
    // The other control goes on where this one stood.
    let mut stream = edge.connect(&b).await;
    write(&a, "more").await;
    edge.until(&mut stream, |edge| edge.follower.applied() == 31).await;
    assert_eq!(edge.resets, 1, "only the first one");
    drop(stream);
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_that_proves_another_history_makes_one_begin_only_where_control_may() {
    let Some(db) = Database::new() else { return };
    let a = World::on(Folder::new(), db.opened(false).await).await;
    let b = World::another(db.opened(true).await).await;
    write(&a, "a").await;
    let mut edge = Edge::named("one", 1);
    let mut stream = edge.connect(&a).await;
    edge.until(&mut stream, |edge| edge.follower.walked()).await;
    drop(stream);
    // The database is put back to before the last write, and nobody who ran then runs any more.
    a.stop().await;
    b.stop().await;
    db.sql(
        "DELETE FROM links; DELETE FROM change_log; DELETE FROM audit; UPDATE log_head SET head = 0, tag = 0; DELETE FROM edge_session",
    );
    let a = World::on(Folder::new(), db.opened(false).await).await;
    let b = World::another(db.opened(true).await).await;
    // What an edge only says changes nothing, whatever control may do.
    for world in [&a, &b] {
        let said = v1::Hello { proof: None, ..edge.hello() };
        let mut stream = Stream::open(world, said).await;
        assert_eq!(soon(stream.inbound.message()).await.unwrap_err().code(), Code::Unavailable);
    }
    let mut stream = edge.connect(&a).await;
    assert_eq!(soon(stream.inbound.message()).await.unwrap_err().code(), Code::FailedPrecondition);
    assert_eq!(db.sql("SELECT count(*) FROM epochs"), "0");
    // Of many that prove the same one makes a history begin.
    let mut others = Vec::new();
    for incarnation in 2..6 {
        let mut other = Edge::named("other", incarnation);
        (other.follower, other.proof) = (edge.follower.clone(), edge.proof);
        others.push(Stream::open(&b, other.hello()).await);
    }
    for stream in &mut others {
        let Some(follow_response::Message::Reset(reset)) =
            soon(stream.inbound.message()).await.unwrap().unwrap().message
        else {
            panic!("no reset")
        };
        assert_eq!(reset.epoch.unwrap().counter, 2);
    }
    assert_eq!(db.sql("SELECT count(*) FROM epochs"), "1");
    // The first control follows.
    let mut stream = edge.connect(&a).await;
    write(&a, "b").await;
    edge.until(&mut stream, |edge| edge.follower.applied() == 1 && edge.resets == 2).await;
    assert_eq!(edge.follower.position().unwrap().epoch.counter, 2);
    drop((stream, others));
    assert!(world::text(a.running.metrics()).contains("linkr_control_freshness_certified 0\n"));
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_that_says_goodbye_to_one_control_is_forgotten_by_all() {
    use propagation::Status::{Partial, Propagated};
    let Some(db) = Database::new() else { return };
    let a = World::alone_on(db.opened(false).await).await;
    let b = World::another(db.opened(false).await).await;
    let one = AliveEdge::new(&a, Edge::named("one", 1)).await;
    let two = AliveEdge::new(&b, Edge::named("two", 2)).await;
    let mut links = b.links().await;
    assert_eq!(told(links.create_link(propagated("", "a")).await.unwrap().into_inner()).1.len(), 2);
    one.leave().await;
    let made = links.create_link(propagated("", "b")).await.unwrap().into_inner();
    // Were the one that left waited for, it would be told, and the write would be partial.
    assert_eq!(told(made), (Propagated, names(&["two"]), vec![]));
    assert_eq!(db.sql("SELECT count(*) FROM edge_session"), "1");

    // One that crashes says none: it is waited for, and forgotten when somebody says so.
    let (_, stream) = two.freeze().await;
    drop(stream);
    let mut edges = EdgesClient::new(a.channel().await);
    let mut forget = async |edge: &str| edges.forget_edge(v1::ForgetEdgeRequest { edge: edge.into() }).await;
    assert_eq!(forget("two").await.unwrap_err().code(), Code::FailedPrecondition, "it may be fresh");
    let made = links.create_link(propagated("", "c")).await.unwrap().into_inner();
    assert_eq!(told(made), (Partial, vec![], names(&["two"])));
    let forgotten = soon(async {
        loop {
            if let Ok(answer) = forget("two").await {
                return answer.into_inner().processes;
            }
        }
    });
    assert_eq!(forgotten.await, 1);
    assert_eq!(db.sql("SELECT count(*) FROM edge_session"), "0");
    let made = links.create_link(propagated("", "d")).await.unwrap().into_inner();
    assert_eq!(told(made), (Propagated, vec![], vec![]));
    a.stop().await;
    b.stop().await;
}

/// Each said of its own edge that it was alone, and wrote over what the other said.
#[tokio::test(flavor = "multi_thread")]
async fn two_edges_of_one_name_at_two_controls_are_told_by_both() {
    let Some(db) = Database::new() else { return };
    let a = World::alone_on(db.opened(false).await).await;
    let b = World::another(db.opened(false).await).await;
    let one = AliveEdge::new(&a, Edge::named("one", 1)).await;
    let same = AliveEdge::new(&b, Edge::named("one", 2)).await;
    let two = AliveEdge::new(&b, Edge::named("two", 3)).await;
    let listed = async |world: &World, expected: &[bool]| {
        let mut edges = EdgesClient::new(world.channel().await);
        soon(async {
            loop {
                let answer = edges.list_edges(v1::ListEdgesRequest {}).await.unwrap().into_inner();
                let doubled: Vec<bool> = answer.edges.iter().map(|edge| edge.doubled).collect();
                let count = i32::from(expected.contains(&true));
                let gauge = format!("linkr_control_click_edges_doubled {count}\n");
                if doubled == expected && world::text(world.running.metrics()).contains(&gauge) {
                    return;
                }
                tokio::task::yield_now().await;
            }
        })
        .await;
    };
    for world in [&a, &b] {
        listed(world, &[true, true, false]).await;
    }
    same.leave().await;
    for world in [&a, &b] {
        listed(world, &[false, false]).await;
    }
    one.leave().await;
    two.leave().await;
    a.stop().await;
    b.stop().await;
}
