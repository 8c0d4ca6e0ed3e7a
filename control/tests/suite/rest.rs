//! The same calls over REST: statuses, headers, JSON.

use super::world::World;
use serde_json::{Value, json};

#[tokio::test]
async fn a_link_through_its_life() {
    let world = World::new().await;
    let made = world.rest("POST /v1/links", json!({"code": "a/b", "target": "https://a.example/"})).await;
    assert_eq!(made.status, 201);
    assert_eq!(made.headers["location"], "/v1/domains/-/links/a/b");
    assert_eq!(made.headers["etag"], "\"1\"");
    assert_eq!(made.body["etag"], "\"1\"");
    assert_eq!((&made.body["status"], &made.body["query"]), (&json!(302), &json!("drop")));
    assert!(made.body.get("max_age").is_none() && made.body.get("class").is_none());
    for path in ["/v1/links/a/b", "/v1/domains/-/links/a/b"] {
        let got = world.rest(&format!("GET {path}"), Value::Null).await;
        assert_eq!((got.status.as_u16(), got.body), (200, made.body.clone()));
    }
    let patch = json!({"max_age": 60, "status": 308, "title": "t", "etag": "\"1\""});
    let other = world.rest("PATCH /v1/links/a/b", json!({"title": "t", "revision": "x"})).await;
    assert_eq!((other.status.as_u16(), &other.body["field"]), (400, &json!("revision")));
    let changed = world.rest("PATCH /v1/links/a/b", patch.clone()).await;
    assert_eq!((changed.status.as_u16(), &changed.body["max_age"]), (200, &json!(60)));
    assert_eq!(changed.body["target"], "https://a.example/");
    assert_eq!(world.rest("PATCH /v1/links/a/b", patch).await.status, 412);
    let cleared = world.rest("PATCH /v1/links/a/b", json!({"max_age": null, "status": null})).await;
    assert!(cleared.body.get("max_age").is_none() && cleared.body["status"] == 302);
    let wrong = world.rest("PATCH /v1/links/a/b", json!({"tittle": "x"})).await;
    assert_eq!((wrong.status.as_u16(), &wrong.body["field"]), (400, &json!("tittle")));
    assert_eq!(world.rest("PATCH /v1/links/a/b", json!({})).await.body["field"], "body");
    let stale = world.raw("DELETE /v1/links/a/b", &[("if-match", "\"1\"")], Vec::new()).await;
    assert_eq!(stale.status, 412);
    let gone = world.raw("DELETE /v1/links/a/b", &[("if-match", "*")], Vec::new()).await;
    assert_eq!(gone.status, 200);
    assert!(gone.body["delete_time"].is_string());
    let list = world.rest("GET /v1/links", Value::Null).await;
    assert_eq!(list.body, json!({"links": [], "next_page_token": ""}));
    let list = world.rest("GET /v1/domains/-/links?show_deleted=true&page_size=1", Value::Null).await;
    assert_eq!(list.body["links"][0], gone.body);
    world.stop().await;
}

#[tokio::test]
async fn options_of_a_write() {
    let world = World::new().await;
    let body = json!({"target": "https://a.example/"}).to_string().into_bytes();
    let kind = ("content-type", "application/json; charset=utf-8");
    let headers = [kind, ("idempotency-key", "k")];
    let first = world.raw("POST /v1/links", &headers, body.clone()).await;
    let again = world.raw("POST /v1/links", &headers, body.clone()).await;
    assert_eq!((first.status.as_u16(), again.status.as_u16()), (201, 201));
    assert_eq!(first.body, again.body);
    for header in ["location", "etag"] {
        assert_eq!(first.headers[header], again.headers[header]);
    }
    let other = json!({"target": "https://b.example/"}).to_string().into_bytes();
    let other = world.raw("POST /v1/links", &headers, other).await;
    assert_eq!((other.status.as_u16(), &other.body["reason"]), (422, &json!("IDEMPOTENCY_MISMATCH")));
    let only = world.raw("POST /v1/links?validate_only=true&ack=durable", &[kind], body.clone()).await;
    assert_eq!(only.status, 200);
    assert!(only.headers.get("etag").is_none() && only.headers.get("location").is_none());
    assert_eq!(world.head().await, 1);
    for (call, field) in [
        ("POST /v1/links?ack=never", "ack"),
        ("POST /v1/links?validate_only=maybe", "validate_only"),
        ("POST /v1/links?wait=1", "wait"),
        ("POST /v1/domains/a%20b/links", "parent"),
        ("GET /v1/links?page_size=x", "page_size"),
        ("GET /v1/links?page_token=x", "page_token"),
        ("GET /v1/links/%FF", "name"),
        ("GET /v1/links/a%20b", "name"),
        ("GET /v1/links/a?x=1", "x"),
    ] {
        let body = if call.starts_with("GET") { Vec::new() } else { body.clone() };
        let reply = world.raw(call, &[kind], body).await;
        assert_eq!((reply.status.as_u16(), &reply.body["field"]), (400, &json!(field)), "{call}");
    }
    let broken = world.raw("POST /v1/links", &[kind], b"{\"target\":".to_vec()).await;
    assert_eq!((broken.status.as_u16(), &broken.body["field"]), (400, &json!("body")));
    let loops = world.rest("POST /v1/links", json!({"target": "https://GO.example.com/x"})).await;
    assert_eq!((loops.status.as_u16(), &loops.body["field"]), (400, &json!("target")));
    world.stop().await;
}

#[tokio::test]
async fn request_ids_and_methods() {
    let world = World::new().await;
    let id = async |given: &str| {
        let reply = world.raw("GET /v1/links", &[("x-request-id", given)], Vec::new()).await;
        reply.headers["x-request-id"].to_str().unwrap().to_owned()
    };
    assert_eq!(id("Abc.1_2-3").await, "Abc.1_2-3");
    for illegal in ["a b", "", "<x>", &"a".repeat(65)] {
        let own = id(illegal).await;
        assert!(own.len() == 16 && own.bytes().all(|b| b.is_ascii_hexdigit()), "{own}");
    }
    let wrong = world.rest("PUT /v1/links/a", Value::Null).await;
    let allow = wrong.headers["allow"].to_str().unwrap();
    assert!(["GET", "PATCH", "DELETE"].iter().all(|method| allow.contains(method)), "{allow}");
    world.stop().await;
}

#[tokio::test]
async fn a_malformed_if_match_is_named() {
    let world = World::new().await;
    world.rest("POST /v1/links", json!({"code": "a", "target": "https://a.example/"})).await;
    for (given, status) in [
        ("1", 400),
        ("\"1", 400),
        ("\"1\" x", 400),
        ("\"1\",", 400),
        ("*, \"1\"", 400),
        ("\"8\", \"9\"", 400),
    ]
    .into_iter()
    .chain([("\"x\"", 412), ("W/\"1\"", 412), ("\"1\"", 200)])
    {
        let reply = world.raw("DELETE /v1/links/a", &[("if-match", given)], Vec::new()).await;
        assert_eq!(reply.status, status, "{given}");
        if status == 400 {
            assert_eq!(reply.body["field"], "if-match", "{given}");
        }
    }
    world.stop().await;
}

#[tokio::test]
async fn what_is_there_twice_is_refused_and_not_guessed() {
    let world = World::new().await;
    let make = json!({"target": "https://a.example/"});
    // Found by an attack: the last one counted, and it wrote.
    let twice = world.rest("POST /v1/links?validate_only=true&validate_only=false", make.clone()).await;
    assert_eq!((twice.status.as_u16(), &twice.body["detail"]), (400, &json!("validate_only is there twice")));
    let twice = world.rest("GET /v1/links?page_size=1&filter=a&page_size=2", Value::Null).await;
    assert_eq!(twice.status, 400, "{}", twice.body);
    let body = make.to_string().into_bytes();
    let headers = [("content-type", "application/json"), ("content-type", "text/plain")];
    let twice = world.raw("POST /v1/links", &headers, body).await;
    assert_eq!(twice.status, 400, "{}", twice.body);
    assert_eq!(world.head().await, 0, "nothing was written");
    let told = world.rest("GET /v1/links?page_size=many", Value::Null).await;
    assert_eq!(told.body["detail"], "page_size is many, and not a whole number that fits");
    world.stop().await;
}

/// Found by attack: all of these were read as if nothing were said.
#[tokio::test]
async fn a_body_in_another_coding_or_charset_is_415() {
    let world = World::new().await;
    let make = json!({"target": "https://a.example/"}).to_string().into_bytes();
    for (kind, coding, expected) in [
        ("application/json", "gzip", (415, "ENCODED")),
        ("application/json", "identity, gzip", (415, "ENCODED")),
        ("application/json; charset=iso-8859-1", "identity", (415, "NOT_JSON")),
        ("application/json; profile=x; CharSet=\"utf-16\"", "identity", (415, "NOT_JSON")),
        ("application/json; charset", "identity", (415, "NOT_JSON")),
        ("application/json; charset=UTF-8", "Identity", (201, "")),
        ("Application/JSON;charset=\"utf-8\"; profile=x", "identity", (201, "")),
    ] {
        for call in ["POST /v1/links", "POST /v1/domains"] {
            let body = if call.ends_with("domains") && expected.0 == 201 { continue } else { make.clone() };
            let headers = [("content-type", kind), ("content-encoding", coding)];
            let reply = world.raw(call, &headers, body).await;
            let reason = reply.body["reason"].as_str().unwrap_or_default();
            assert_eq!((reply.status.as_u16(), reason), expected, "{kind}, {coding}");
            let takes = reply.headers.get("accept-encoding").map(|takes| takes.to_str().unwrap());
            assert_eq!(takes, (reason == "ENCODED").then_some("identity"));
        }
    }
    world.stop().await;
}

/// Found by attack: a filter with an escape that is not UTF-8 was read with another letter in it.
#[tokio::test]
async fn escapes_that_are_not_utf8_are_refused_with_the_encoding() {
    let world = World::new().await;
    for (call, field) in [
        ("GET /v1/links?filter=%ff", "filter"),
        ("GET /v1/links?page_size=1&page_token=a%C3", "page_token"),
        ("GET /v1/links:watch?revision=%80", "revision"),
        ("GET /v1/keys?%ff=1", "%ff"),
        ("GET /v1/codes/%ff", "name"),
        ("DELETE /v1/edges/a%FE", "name"),
    ] {
        let reply = world.rest(call, Value::Null).await;
        assert_eq!((reply.status.as_u16(), &reply.body["field"]), (400, &json!(field)), "{call}");
        assert!(reply.body["detail"].as_str().unwrap().contains("UTF-8"), "{}", reply.body);
    }
    let lone = world.rest("GET /v1/links?filter=100%", Value::Null).await;
    assert!(lone.status == 400 && lone.body["detail"].as_str().unwrap().contains("%25"), "{}", lone.body);
    world.stop().await;
}
