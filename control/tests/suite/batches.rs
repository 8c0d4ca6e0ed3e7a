//! Batches over gRPC and REST: all or none, and a fault that names its place.

use super::world::{World, create, name, to};
use prost_types::FieldMask;
use proto::v1;
use serde_json::json;
use tonic::Code;
use tonic_types::StatusExt;

fn reason(status: &tonic::Status) -> (Code, String, String) {
    let details = status.get_error_details();
    let field = details.bad_request().map_or(String::new(), |bad| bad.field_violations[0].field.clone());
    (status.code(), details.error_info().unwrap().reason.clone(), field)
}

fn creates(requests: Vec<v1::CreateLinkRequest>) -> v1::BatchCreateLinksRequest {
    v1::BatchCreateLinksRequest { requests, ..Default::default() }
}

#[tokio::test]
async fn all_are_written_or_none() {
    let world = World::new().await;
    let mut links = world.links().await;
    let good = |n: usize| create(&format!("c{n}"), "https://a.example/");
    let mut requests: Vec<_> = (0..1_000).map(good).collect();
    requests[3].link_id.clear();
    let mut request = creates(requests);
    request.request_id = "x".into();
    let done = links.batch_create_links(request.clone()).await.unwrap().into_inner();
    assert_eq!((done.links.len(), done.links[3].code.len(), world.head().await), (1_000, 7, 1_000));
    assert!(done.links.iter().zip(1..).all(|(link, seq): (_, u64)| link.etag == format!("\"{seq}\"")));
    let again = links.batch_create_links(request.clone()).await.unwrap().into_inner();
    assert_eq!(again, done, "a retry, with the code that was drawn");
    request.requests.truncate(5);
    let other = links.batch_create_links(request).await.unwrap_err();
    assert_eq!(reason(&other), (Code::InvalidArgument, "IDEMPOTENCY_MISMATCH".into(), String::new()));

    let update = |code: &str, etag: &str, target: &str| v1::UpdateLinkRequest {
        link: Some(v1::Link { name: name(code), etag: etag.into(), ..to(target) }),
        update_mask: Some(FieldMask { paths: vec!["target".into()] }),
        ..Default::default()
    };
    let updates =
        |requests: Vec<v1::UpdateLinkRequest>| v1::BatchUpdateLinksRequest { requests, ..Default::default() };
    let late = updates(vec![
        update("c0", "\"1\"", "https://b.example/"),
        update("c1", "\"1\"", "https://b.example/"),
    ]);
    let refused = links.batch_update_links(late).await.unwrap_err();
    assert_eq!(reason(&refused), (Code::Aborted, "ETAG_MISMATCH".into(), "requests[1]".into()));
    assert_eq!(world.head().await, 1_000);
    let good = updates(vec![
        update("c0", "\"1\"", "https://b.example/"),
        update("c1", "\"2\"", "https://b.example/"),
    ]);
    let only = v1::BatchUpdateLinksRequest { validate_only: true, ..good.clone() };
    let only = links.batch_update_links(only).await.unwrap().into_inner();
    assert!(only.links.iter().all(|link| link.target == "https://b.example/" && link.revision.is_empty()));
    let acked = v1::BatchUpdateLinksRequest { ack: v1::Ack::Propagated.into(), ..good };
    let done = links.batch_update_links(acked).await.unwrap().into_inner();
    assert_eq!(done.propagation.unwrap().status(), v1::propagation::Status::Propagated);
    assert!(done.links.iter().all(|link| link.propagation.is_none()));

    let one = |code: &str| v1::DeleteLinkRequest { name: name(code), ..Default::default() };
    let deletes =
        |requests: Vec<v1::DeleteLinkRequest>| v1::BatchDeleteLinksRequest { requests, ..Default::default() };
    let twice = links.batch_delete_links(deletes(vec![one("c0"), one("c1"), one("c0")])).await.unwrap_err();
    assert_eq!(reason(&twice), (Code::NotFound, "NOT_FOUND".into(), "requests[2]".into()));
    let gone = links.batch_delete_links(deletes(vec![one("c0"), one("c1")])).await.unwrap().into_inner();
    assert!(gone.links.iter().all(|link| link.delete_time.is_some()));
    assert_eq!(world.head().await, 1_004);
    world.stop().await;
}

#[tokio::test]
async fn a_fault_names_its_place() {
    let world = World::new().await;
    let mut links = world.links().await;
    links.create_link(create("taken", "https://a.example/")).await.unwrap();
    let good = || create("a", "https://a.example/");
    let cases = [
        (create("b", "nonsense"), "INVALID", "requests[1].link.target"),
        (create("b c", "https://a.example/"), "INVALID", "requests[1].link.code"),
        (create("taken", "https://a.example/"), "EXISTS", "requests[1]"),
        (good(), "EXISTS", "requests[1]"),
        (
            v1::CreateLinkRequest { parent: "domains/x.example".into(), ..create("b", "https://a.example/") },
            "INVALID",
            "requests[1].parent",
        ),
        (
            v1::CreateLinkRequest { request_id: "x".into(), ..create("b", "https://a.example/") },
            "INVALID",
            "requests[1].request_id",
        ),
        (
            v1::CreateLinkRequest { validate_only: true, ..create("b", "https://a.example/") },
            "INVALID",
            "requests[1].validate_only",
        ),
        (v1::CreateLinkRequest { ack: 1, ..create("b", "https://a.example/") }, "INVALID", "requests[1].ack"),
    ];
    for (second, why, at) in cases {
        let refused = links.batch_create_links(creates(vec![good(), second])).await.unwrap_err();
        let (_, own, field) = reason(&refused);
        assert_eq!((own.as_str(), field.as_str()), (why, at));
    }
    let empty = links.batch_create_links(creates(Vec::new())).await.unwrap_err();
    assert_eq!(reason(&empty).2, "requests");
    let many = links.batch_create_links(creates(vec![good(); 1_001])).await.unwrap_err();
    assert_eq!(reason(&many).1, "TOO_LARGE");
    let long = create("", &format!("https://a.example/{}", "x".repeat(8_000)));
    let large = links.batch_create_links(creates(vec![long; 300])).await.unwrap_err();
    assert_eq!(reason(&large).1, "TOO_LARGE");
    let none =
        v1::UpdateLinkRequest { link: Some(v1::Link { name: name("x"), ..to("") }), ..Default::default() };
    let request = v1::BatchUpdateLinksRequest { requests: vec![none], ..Default::default() };
    let refused = links.batch_update_links(request).await.unwrap_err();
    assert_eq!(reason(&refused).2, "requests[0].link.update_mask");
    assert_eq!(world.head().await, 1);
    world.stop().await;
}

#[tokio::test]
async fn the_same_over_rest() {
    let world = World::new().await;
    let kind = ("content-type", "application/json");
    let link = |code: &str, target: &str| json!({"link": {"code": code, "target": target}});
    let body = json!({"requests": [link("a/x", "https://a.example/"), link("b", "https://a.example/")]});
    let headers = [kind, ("idempotency-key", "k")];
    let made = world.raw("POST /v1/links:batchCreate", &headers, body.to_string().into()).await;
    assert_eq!((made.status.as_u16(), &made.body["links"][1]["etag"]), (200, &json!("\"2\"")));
    for path in ["/v1/links", "/v1/domains/-/links"] {
        let call = format!("POST {path}:batchCreate");
        let again = world.raw(&call, &headers, body.to_string().into()).await;
        assert_eq!((again.status.as_u16(), &again.body), (200, &made.body));
    }
    let patch = json!({"requests": [
        {"link": {"code": "a/x", "etag": "\"1\"", "title": "t"}},
        {"link": {"code": "b", "etag": "\"1\"", "title": "t"}},
    ]});
    let stale = world.rest("POST /v1/links:batchUpdate", patch).await;
    assert_eq!((stale.status.as_u16(), &stale.body["field"]), (412, &json!("requests[1]")));
    let patch = json!({"requests": [{"link": {"code": "a/x", "etag": "\"1\"", "title": "t"}}]});
    let done = world.rest("POST /v1/links:batchUpdate", patch).await;
    assert_eq!((done.status.as_u16(), &done.body["links"][0]["title"]), (200, &json!("t")));
    for (call, body, status, field) in [
        (
            "batchCreate",
            json!({"requests": [link("c", "https://a.example/"), link("d", "x")]}),
            400,
            "requests[1].link.target",
        ),
        ("batchCreate", json!({"requests": [{"link": {"x": 1}}]}), 400, "requests[0].link.x"),
        ("batchCreate", json!({"requests": []}), 400, "requests"),
        ("batchCreate", json!({}), 400, "requests"),
        ("batchCreate", json!({"requests": [{"target": "x"}]}), 400, "requests[0].target"),
        ("batchUpdate", json!({"requests": [{"link": {"code": "b"}}]}), 400, "requests[0].link"),
        ("batchUpdate", json!({"requests": [{"link": {"title": "b"}}]}), 400, "requests[0].link.name"),
        ("batchDelete", json!({"requests": [{"code": "b"}, {"code": "c"}]}), 404, "requests[1]"),
        ("batchDelete", json!({"requests": [{"code": "b c"}]}), 400, "requests[0].name"),
        ("batchDelete", json!({"requests": [{"etag": "b"}]}), 400, "requests[0].code"),
    ] {
        let reply = world.rest(&format!("POST /v1/links:{call}"), body.clone()).await;
        assert_eq!((reply.status.as_u16(), &reply.body["field"]), (status, &json!(field)), "{call} {body}");
    }
    let matched =
        world.raw("POST /v1/links:batchDelete", &[kind, ("if-match", "\"1\"")], b"{}".to_vec()).await;
    assert_eq!((matched.status.as_u16(), &matched.body["field"]), (400, &json!("if-match")));
    let gone = json!({"requests": [{"code": "b", "etag": "\"2\""}, {"code": "a/x"}]});
    let gone = world.rest("POST /v1/domains/-/links:batchDelete?validate_only=true", gone).await;
    assert_eq!(gone.status, 200);
    // Above the limit of other bodies.
    let notes: Vec<_> = (0..400).map(|n| json!({"link": {"code": format!("n{n}"), "target": "https://a.example/", "note": "x".repeat(4_000)}})).collect();
    let large = world.rest("POST /v1/links:batchCreate", json!({"requests": notes})).await;
    assert_eq!((large.status.as_u16(), world.head().await), (200, 403));
    assert_eq!(world.raw("GET /v1/links:batchCreate", &[], Vec::new()).await.headers["allow"], "POST");
    world.stop().await;
}
