//! Edges of before: a field that one does not know is not set while it follows, and once one is set it is told so.

use super::domains::{call, over_both};
use super::feeds::{Edge, Stream, soon};
use super::postgres::Database;
use super::world::{Folder, World};
use proto::v1::follow_response::Message;
use serde_json::{Value, json};
use tonic::Code;

/// An edge that knows these features.
pub fn knowing(name: &str, features: u64) -> Edge {
    let mut edge = Edge::named(name, 1);
    edge.features = features;
    edge
}

/// An edge of before there were features.
fn old(name: &str) -> Edge {
    knowing(name, 0)
}

/// Lets it in.
pub async fn follows(world: &World, edge: &mut Edge) -> Stream {
    let mut stream = edge.connect(world).await;
    edge.until(&mut stream, |edge| edge.follower.walked()).await;
    stream
}

/// Why its stream ends.
async fn refused(mut stream: Stream) -> String {
    loop {
        match soon(stream.inbound.message()).await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("it was let go without a word"),
            Err(status) => {
                assert_eq!(status.code(), Code::FailedPrecondition, "{status:?}");
                return status.message().to_owned();
            }
        }
    }
}

/// Writes that need a feature: the request, its body, and what the feature is called.
fn writes() -> Vec<(&'static str, Value, &'static str)> {
    let late = json!({"expired_target": "https://late.example/"});
    let link = |code: &str| {
        let target = "https://far.example/";
        json!({"code": code, "target": target, "expired_target": "https://late.example/"})
    };
    vec![
        ("PATCH /v1/domains/-", json!({"root_target": "https://root.example/"}), "root_target"),
        ("PATCH /v1/domains/-", late.clone(), "expired_target"),
        ("PATCH /v1/domains/-", json!({"trailing_slash": true}), "trailing_slash and punctuation"),
        ("PATCH /v1/domains/-", json!({"punctuation": true}), "trailing_slash and punctuation"),
        ("PATCH /v1/domains/-", json!({"stats": "off"}), "stats"),
        ("PATCH /v1/domains/-", json!({"robots": "User-agent: *"}), "robots"),
        ("PATCH /v1/domains/-", json!({"not_found": "https://lost.example/{path}"}), "placeholders"),
        (
            "POST /v1/domains",
            json!({"domain": "new.example", "root_target": "https://root.example/"}),
            "root_target",
        ),
        ("POST /v1/links", link("new"), "expired_target"),
        ("PATCH /v1/links/x", late, "expired_target"),
        ("POST /v1/links:batchCreate", json!({"requests": [{"link": link("batch")}]}), "expired_target"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_edge_that_follows_does_not_know_is_not_written() {
    over_both(async |world| {
        let plain = json!({"code": "x", "target": "https://far.example/"});
        assert_eq!(call(world, "POST /v1/links", plain).await.0, 201);
        let mut new = Edge::named("new", 1);
        let _new = follows(world, &mut new).await;
        let mut edge = old("old");
        let stream = follows(world, &mut edge).await;
        let head = world.head().await;
        for (request, body, lacks) in writes() {
            for request in [request.to_owned(), format!("{request}?validate_only=true")] {
                let (status, told) = call(world, &request, body.clone()).await;
                assert_eq!((status, &told["reason"]), (412, &json!("EDGE_TOO_OLD")), "{request} {told}");
                let detail = told["detail"].as_str().unwrap();
                assert!(detail.contains("edge old follows") && detail.contains(lacks), "{detail}");
            }
        }
        assert_eq!(world.head().await, head, "nothing was written");
        // What needs nothing is written as ever.
        for (request, body) in [
            ("PATCH /v1/domains/-", json!({"query": "append", "not_found": "https://lost.example/"})),
            ("PATCH /v1/domains/-", json!({"root_target": "", "punctuation": false, "robots": null})),
            ("PATCH /v1/links/x", json!({"expired_target": null, "title": "t"})),
        ] {
            let (status, told) = call(world, request, body).await;
            assert_eq!(status, 200, "{request} {told}");
        }
        drop(stream);
        // Its stream ends when control has seen that: then all of them are written.
        for (request, body, _) in writes() {
            let done = async {
                loop {
                    let (status, told) = call(world, request, body.clone()).await;
                    if told["reason"] != "EDGE_TOO_OLD" {
                        return (status, told);
                    }
                }
            };
            let (status, told) = soon(done).await;
            assert!(status < 300, "{request} {told}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_that_does_not_know_what_is_in_use_is_refused_in_words() {
    over_both(async |world| {
        follows(world, &mut old("old")).await;
        let set = json!({"robots": "User-agent: *"});
        let set = async { while call(world, "PATCH /v1/domains/-", set.clone()).await.0 != 200 {} };
        soon(set).await; // its stream has ended
        let said = refused(old("old").connect(world).await).await;
        assert!(said.contains("edge old does not know robots,") && said.contains("newer linkr"), "{said}");
        follows(world, &mut knowing("newer", record::Features::ROBOTS.0)).await;
        follows(world, &mut Edge::named("new", 1)).await;
    })
    .await;
}

/// What is in use is read from the store: it does not matter which process wrote it.
#[tokio::test(flavor = "multi_thread")]
async fn a_control_that_begins_knows_what_its_store_needs() {
    let world = World::new().await;
    let link =
        json!({"code": "x", "target": "https://far.example/", "expired_target": "https://late.example/"});
    assert_eq!(call(&world, "POST /v1/links", link).await.0, 201);
    assert_eq!(call(&world, "PATCH /v1/domains/-", json!({"trailing_slash": true})).await.0, 200);
    let world = World::at(world.stop().await).await;
    let said = refused(old("old").connect(&world).await).await;
    assert!(said.contains("expired_target, trailing_slash and punctuation,"), "{said}");
    // What is taken back needs nothing any more.
    assert_eq!(call(&world, "PATCH /v1/domains/-", json!({"trailing_slash": false})).await.0, 200);
    assert_eq!(call(&world, "PATCH /v1/links/x", json!({"expired_target": null})).await.0, 200);
    let world = World::at(world.stop().await).await;
    follows(&world, &mut old("old")).await;
    world.stop().await;
}

/// The write is made through one control, and the edge follows another.
#[tokio::test(flavor = "multi_thread")]
async fn an_edge_of_another_control_is_let_go_before_it_is_sent_what_it_does_not_know() {
    let Some(db) = Database::new() else { return };
    let a = World::on(Folder::new(), db.opened(false).await).await;
    let b = World::another(db.opened(false).await).await;
    for (request, body, lacks) in [
        ("PATCH /v1/domains/-", json!({"robots": "User-agent: *"}), "robots"),
        (
            "POST /v1/links",
            json!({"code": "x", "target": "https://far.example/", "expired_target": "https://late.example/"}),
            "expired_target",
        ),
    ] {
        let features = if lacks == "robots" { 0 } else { record::Features::ROBOTS.0 };
        let mut edge = knowing("old", features);
        let stream = follows(&b, &mut edge).await;
        let (status, told) = call(&a, request, body).await;
        assert!(status < 300, "{told}");
        let said = refused(stream).await;
        assert!(said.contains("edge old does not know") && said.contains(lacks), "{said}");
    }
    b.stop().await;
    a.stop().await;
}

/// An edge of today says what it knows.
#[tokio::test]
async fn a_new_edge_is_told_what_needs_to_be_known() {
    let world = World::new().await;
    let root = json!({"domain": "a.example", "root_target": "https://root.example/"});
    assert_eq!(call(&world, "POST /v1/domains", root).await.0, 201);
    let mut stream = Edge::named("e", 1).connect(&world).await;
    let first = soon(stream.inbound.message()).await.unwrap().unwrap().message.unwrap();
    let Message::Reset(reset) = first else { panic!("{first:?}") };
    let (_, rules) = record::decode_domain(&reset.domains[0].record).unwrap();
    assert_eq!(rules.root_target.map(|to| to.as_str().to_owned()).as_deref(), Some("https://root.example/"));
    world.stop().await;
}
