//! Domains that are deleted, and their files, through the API.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_that_is_empty_is_deleted() {
    over_both(async |world| {
        let make = json!({"domain": "b\u{fc}cher.example"});
        assert_eq!(call(world, "POST /v1/domains", make.clone()).await.0, 201);
        let link = json!({"code": "x", "target": "https://one.example/"});
        let path = "/v1/domains/b%C3%BCcher.example";
        assert_eq!(call(world, &format!("POST {path}/links"), link.clone()).await.0, 201);
        let delete = format!("DELETE {path}");
        let (status, told) = call(world, &delete, Value::Null).await;
        assert_eq!((status, &told["reason"]), (409, &json!("DOMAIN_IN_USE")), "{told}");
        let detail = told["detail"].as_str().unwrap();
        assert!(
            detail.contains("at least 1 link, which") && detail.contains("--domain xn--bcher-kva.example"),
            "{detail}"
        );
        assert_eq!(call(world, &format!("DELETE {path}/links/x"), Value::Null).await.0, 200);
        let (status, told) = call(world, &delete, Value::Null).await;
        assert_eq!((status, &told["reason"]), (409, &json!("DOMAIN_IN_USE")), "{told}");
        assert!(told["detail"].as_str().unwrap().contains("can be undeleted until"), "{told}");
        // It is said what would happen, and nothing happens.
        let (status, _) =
            call(world, &format!("{delete}?validate_only=true&purge_deleted=true"), Value::Null).await;
        assert_eq!((status, world.head().await), (200, 3));
        let (_, told) = call(world, &format!("{delete}?validate_only=true"), Value::Null).await;
        assert_eq!(told["reason"], "DOMAIN_IN_USE");
        let stale =
            world.raw(&format!("{delete}?purge_deleted=true"), &[("if-match", "\"9\"")], Vec::new()).await;
        assert_eq!((&stale.body["reason"], world.head().await), (&json!("ETAG_MISMATCH"), 3), "{stale:?}");
        let once = [("idempotency-key", "gone")];
        let wished = format!("{delete}?purge_deleted=true");
        let gone = world.raw(&wished, &once, Vec::new()).await;
        assert_eq!(
            (gone.status.as_u16(), &gone.body["domain"]),
            (200, &json!("xn--bcher-kva.example")),
            "{gone:?}"
        );
        assert!(gone.body.get("etag").is_none() && gone.body["revision"].as_str().unwrap().ends_with("-5"));
        assert_eq!(world.raw(&wished, &once, Vec::new()).await.body, gone.body);
        assert_eq!(call(world, &delete, Value::Null).await.1["reason"], "DOMAIN_NOT_FOUND");
        assert_eq!(call(world, &format!("GET {path}"), Value::Null).await.1["reason"], "DOMAIN_NOT_FOUND");
        let (_, late) = call(world, &format!("POST {path}/links"), link).await;
        assert_eq!(late["reason"], "DOMAIN_NOT_FOUND");
        let (_, refused) = call(world, "DELETE /v1/domains/-", Value::Null).await;
        assert_eq!((&refused["reason"], &refused["field"]), (&json!("INVALID"), &json!("name")));
        // It may be made anew, and the audit knows all of it by its name, as people write it.
        assert_eq!(call(world, "POST /v1/domains", make).await.0, 201);
        let (_, audit) = call(world, "GET /v1/audit?name=domains/b%C3%BCcher.example", Value::Null).await;
        let methods: Vec<_> =
            audit["entries"].as_array().unwrap().iter().map(|entry| &entry["method"]).collect();
        assert_eq!(methods, ["CreateDomain", "DeleteDomain", "CreateDomain"], "{audit}");
        let gone = &audit["entries"][1];
        assert_eq!(
            (gone.get("domain"), &gone["domain_before"]["domain"]),
            (None, &json!("xn--bcher-kva.example"))
        );
    })
    .await;
}

/// Deleted links that nobody wants back go first, however many there are.
#[tokio::test(flavor = "multi_thread")]
async fn a_domain_goes_with_its_deleted_links_if_that_is_wished() {
    over_both(async |world| {
        call(world, "POST /v1/domains", json!({"domain": "a.example"})).await;
        for part in 0..3 {
            let links: Vec<_> = (0..200)
                .map(|n| json!({"link": {"code": format!("c{part}-{n}"), "target": "https://one.example/"}}))
                .collect();
            let made =
                call(world, "POST /v1/domains/a.example/links:batchCreate", json!({"requests": links})).await;
            assert_eq!(made.0, 200, "{made:?}");
            let codes: Vec<_> = (0..200).map(|n| json!({"code": format!("c{part}-{n}")})).collect();
            let gone =
                call(world, "POST /v1/domains/a.example/links:batchDelete", json!({"requests": codes})).await;
            assert_eq!(gone.0, 200, "{gone:?}");
        }
        let (_, told) = call(world, "DELETE /v1/domains/a.example", Value::Null).await;
        assert_eq!(told["reason"], "DOMAIN_IN_USE");
        let (status, gone) =
            call(world, "DELETE /v1/domains/a.example?purge_deleted=true", Value::Null).await;
        assert_eq!((status, &gone["domain"]), (200, &json!("a.example")), "{gone}");
        assert_eq!(world.head().await, 1 + 600 + 600 + 600 + 1);
    })
    .await;
}

/// An edge that begins is not told of a domain that was deleted, one that follows is, and both know as much.
#[tokio::test]
async fn an_edge_learns_that_a_domain_was_deleted() {
    use proto::v1::follow_response::Message;
    let world = World::new().await;
    call(&world, "POST /v1/domains", json!({"domain": "a.example"})).await;
    let mut edge = Edge::named("e", 1);
    let mut stream = edge.connect(&world).await;
    edge.until(&mut stream, |edge| edge.follower.walked()).await;
    assert_eq!(call(&world, "DELETE /v1/domains/a.example", Value::Null).await.0, 200);
    edge.until(&mut stream, |edge| edge.follower.applied() == 2).await;
    assert_eq!(edge.resets, 1, "it goes on");
    let mut new = Edge::named("new", 1);
    let mut stream = new.connect(&world).await;
    let first = crate::feeds::soon(stream.inbound.message()).await.unwrap().unwrap().message.unwrap();
    let Message::Reset(reset) = first else { panic!("{first:?}") };
    assert_eq!((reset.domains.len(), reset.domains_as_of), (0, 2));
    world.stop().await;
}

/// An edge of before does not know that a domain can be deleted: while it follows, none is, and one that comes back over such
/// a change begins again, with the domains that there are.
#[tokio::test]
async fn an_edge_of_before_never_comes_upon_the_end_of_a_domain() {
    let world = World::new().await;
    call(&world, "POST /v1/domains", json!({"domain": "a.example"})).await;
    let mut old = Edge::named("old", 1);
    old.features = 0;
    let mut stream = old.connect(&world).await;
    old.until(&mut stream, |edge| edge.follower.walked()).await;
    let (status, told) = call(&world, "DELETE /v1/domains/a.example", Value::Null).await;
    assert_eq!((status, &told["reason"]), (412, &json!("EDGE_TOO_OLD")), "{told}");
    assert!(told["detail"].as_str().unwrap().contains("edge old follows control"), "{told}");
    // Its stream ends: it may be away for a while, and nobody waits for it.
    drop(stream);
    let deleted = async || loop {
        match call(&world, "DELETE /v1/domains/a.example", Value::Null).await {
            (412, _) => tokio::task::yield_now().await, // control has not noticed the end of the stream yet
            told => break told,
        }
    };
    assert_eq!(crate::feeds::soon(deleted()).await.0, 200);
    let mut stream = old.connect(&world).await;
    old.until(&mut stream, |edge| edge.resets == 2).await;
    old.until(&mut stream, |edge| edge.follower.walked()).await;
    assert_eq!(old.follower.applied(), 2, "it stands behind the change, and was never sent it");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_a_domain_through_the_api() {
    over_both(async |world| {
        let file = |path: &str, content: &str| json!({"path": path, "content_type": "text/plain", "content": content});
        let made = json!({"domain": "a.example", "files": [file("/favicon.ico", "AAE="), file(".well-known/x", "")]});
        let (status, made) = call(world, "POST /v1/domains", made).await;
        assert_eq!(status, 201, "{made}");
        let shown = json!([
            {"path": ".well-known/x", "content_type": "text/plain", "content": "", "size": 0},
            {"path": "favicon.ico", "content_type": "text/plain", "content": "AAE=", "size": 2},
        ]);
        assert_eq!(made["files"], shown);
        assert_eq!(call(world, "GET /v1/domains/a.example", Value::Null).await.1["files"], shown);
        // A page of domains would be too large with them.
        let (_, page) = call(world, "GET /v1/domains", Value::Null).await;
        assert_eq!(page["domains"][1]["files"][1]["content"], "");
        assert_eq!(page["domains"][1]["files"][1]["size"], 2);
        assert!(page["domains"][0].get("files").is_none(), "{page}");
        let large = "A".repeat(4 * 8_200 / 3 / 4 * 4);
        let many: Vec<_> = (0..17).map(|n| file(&format!(".well-known/{n}"), "")).collect();
        for (files, field, why) in [
            (json!([file("robots.txt", "")]), "files", "where no file can be"),
            (json!([file("favicon.ico", ""), file("favicon.ico", "")]), "files", "twice"),
            (json!([file("favicon.ico", &large)]), "files", "8192 together"),
            (json!(many), "files", "more than 16 files"),
            (json!([file("favicon.ico", "?")]), "files[0].content", "base64"),
            (json!([{"path": "favicon.ico"}]), "files", "type/subtype"),
            (json!([{"path": "favicon.ico", "content_type": "a/b\r\nx: y"}]), "files", "type/subtype"),
            (json!(["favicon.ico"]), "files[0]", "object"),
            (json!("favicon.ico"), "files", "list of objects"),
        ] {
            let (status, told) = call(world, "PATCH /v1/domains/a.example", json!({"files": files})).await;
            assert_eq!((status, &told["field"]), (400, &json!(field)), "{why}: {told}");
            assert!(told["detail"].as_str().unwrap().contains(why), "{why}: {told}");
        }
        let (status, changed) = call(world, "PATCH /v1/domains/a.example", json!({"files": []})).await;
        assert_eq!((status, changed.get("files")), (200, None), "{changed}");
    })
    .await;
}
