//! Undelete, history and restore over gRPC and REST, for links that were made and links that were imported.

use super::postgres::Database;
use super::world::{Folder, World, create, name, to};
use prost_types::FieldMask;
use proto::v1::restore_link_request::Point;
use proto::v1::{self, links_client::LinksClient};
use serde_json::{Value, json};
use std::sync::Arc;
use store::port::Repository;
use store::sqlite::{Options, Sqlite};
use tonic::Code;
use tonic::transport::Channel;
use tonic_types::StatusExt;

type Links = LinksClient<Channel>;

/// A world on each store.
async fn on_each<F: Future<Output = World>>(case: impl Fn(World) -> F) {
    let folder = Folder::new();
    let sqlite: Arc<dyn Repository> = Arc::new(Sqlite::open(&folder.db(), Options::default()).unwrap());
    case(World::on(folder, sqlite).await).await.stop().await;
    if let Some(db) = Database::new() {
        case(World::on(Folder::new(), db.opened(false).await).await).await.stop().await;
    }
}

async fn retarget(links: &mut Links, code: &str, target: &str) -> v1::Link {
    let request = v1::UpdateLinkRequest {
        link: Some(v1::Link { name: name(code), ..to(target) }),
        update_mask: Some(FieldMask { paths: vec!["target".into()] }),
        ..Default::default()
    };
    links.update_link(request).await.unwrap().into_inner()
}

async fn delete(links: &mut Links, code: &str) -> v1::Link {
    let request = v1::DeleteLinkRequest { name: name(code), ..Default::default() };
    links.delete_link(request).await.unwrap().into_inner()
}

fn undelete(code: &str) -> v1::UndeleteLinkRequest {
    v1::UndeleteLinkRequest { name: name(code), ..Default::default() }
}

fn restore(code: &str, point: Point) -> v1::RestoreLinkRequest {
    v1::RestoreLinkRequest { name: name(code), point: Some(point), ..Default::default() }
}

async fn history(links: &mut Links, code: &str) -> Vec<v1::LinkVersion> {
    let mut request = v1::ListLinkHistoryRequest { name: name(code), page_size: 2, ..Default::default() };
    let mut all = Vec::new();
    loop {
        let page = links.list_link_history(request.clone()).await.unwrap().into_inner();
        assert!(page.versions.len() == 2 || page.next_page_token.is_empty());
        all.extend(page.versions);
        if page.next_page_token.is_empty() {
            return all;
        }
        request.page_token = page.next_page_token;
    }
}

fn field(status: &tonic::Status) -> String {
    status.get_error_details().bad_request().unwrap().field_violations[0].field.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_link_comes_back_as_it_was() {
    on_each(async |world| {
        let mut links = world.links().await;
        let note = v1::Link { note: "n".into(), ..to("https://a.example/") };
        let made = v1::CreateLinkRequest { link: Some(note), ..create("a", "") };
        let made = links.create_link(made).await.unwrap().into_inner();
        assert_eq!(links.undelete_link(undelete("a")).await.unwrap_err().code(), Code::AlreadyExists);
        assert_eq!(links.undelete_link(undelete("b")).await.unwrap_err().code(), Code::NotFound);
        let gone = delete(&mut links, "a").await;
        let stale = v1::UndeleteLinkRequest { etag: made.etag.clone(), ..undelete("a") };
        assert_eq!(links.undelete_link(stale).await.unwrap_err().code(), Code::Aborted);
        let only = v1::UndeleteLinkRequest { validate_only: true, ..undelete("a") };
        assert_eq!(links.undelete_link(only).await.unwrap().into_inner().delete_time, None);
        assert_eq!(world.head().await, 2);
        let request =
            v1::UndeleteLinkRequest { etag: gone.etag.clone(), request_id: "x".into(), ..undelete("a") };
        let back = links.undelete_link(request.clone()).await.unwrap().into_inner();
        let want = v1::Link {
            update_time: back.update_time,
            etag: "\"3\"".into(),
            revision: back.revision.clone(),
            ..made
        };
        assert_eq!(back, want);
        assert_eq!(links.undelete_link(request).await.unwrap().into_inner(), back, "a retry");
        assert_eq!(world.head().await, 3);
        world
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_tells_what_was_and_a_restore_brings_it_back() {
    on_each(async |world| {
        let mut links = world.links().await;
        let made = links.create_link(create("a", "https://a.example/")).await.unwrap().into_inner();
        let second = retarget(&mut links, "a", "https://b.example/").await;
        let gone = delete(&mut links, "a").await;
        let versions = history(&mut links, "a").await;
        let told: Vec<_> = versions.iter().map(|v| (v.method.as_str(), v.link.clone().unwrap())).collect();
        let want =
            [("DeleteLink", gone.clone()), ("UpdateLink", second.clone()), ("CreateLink", made.clone())];
        assert_eq!(told, want);
        assert!(
            versions.iter().all(|version| version.request_id.len() == 16 && version.principal.is_empty())
        );
        assert_eq!(versions[1].time, second.update_time);

        let deleted = restore("a", Point::Revision(gone.revision.clone()));
        assert_eq!(field(&links.restore_link(deleted).await.unwrap_err()), "revision");
        let only = v1::RestoreLinkRequest {
            validate_only: true,
            ..restore("a", Point::Revision(made.revision.clone()))
        };
        assert_eq!(links.restore_link(only).await.unwrap().into_inner().target, "https://a.example/");
        let request = v1::RestoreLinkRequest {
            etag: gone.etag.clone(),
            request_id: "x".into(),
            ..restore("a", Point::Revision(made.revision.clone()))
        };
        let back = links.restore_link(request.clone()).await.unwrap().into_inner();
        let want = v1::Link {
            update_time: back.update_time,
            etag: "\"4\"".into(),
            revision: back.revision.clone(),
            ..made.clone()
        };
        assert_eq!(back, want);
        assert_eq!(links.restore_link(request.clone()).await.unwrap().into_inner(), back, "a retry");
        let stale = v1::RestoreLinkRequest { request_id: String::new(), ..request };
        assert_eq!(links.restore_link(stale).await.unwrap_err().code(), Code::Aborted);
        // A revision between two versions is a moment, too.
        links.create_link(create("other", "https://a.example/")).await.unwrap(); // 5
        retarget(&mut links, "a", "https://c.example/").await; // 6
        let (epoch, _) = link::Position::parse_revision(&back.revision).unwrap();
        let between = restore("a", Point::Revision(link::Position::revision(epoch, 5)));
        assert_eq!(links.restore_link(between).await.unwrap().into_inner().target, "https://a.example/");
        for (point, at) in [
            (Point::Revision("x".into()), "revision"),
            (Point::Revision(link::Position::revision(epoch, 99)), "revision"),
            (Point::Revision(link::Position::revision(epoch, 0)), "revision"),
            (Point::Revision(link::Position::revision(link::Epoch { random: 1, ..epoch }, 1)), "revision"),
            (Point::Time(prost_types::Timestamp { seconds: 1, nanos: 0 }), "time"),
            (Point::Time(prost_types::Timestamp { seconds: i64::MAX, nanos: 0 }), "time"),
        ] {
            let refused = links.restore_link(restore("a", point.clone())).await.unwrap_err();
            assert_eq!(field(&refused), at, "{point:?}");
        }
        let nothing = v1::RestoreLinkRequest { name: name("a"), ..Default::default() };
        assert_eq!(field(&links.restore_link(nothing).await.unwrap_err()), "time");
        let unknown = restore("none", Point::Revision(back.revision.clone()));
        assert_eq!(links.restore_link(unknown).await.unwrap_err().code(), Code::NotFound);
        let none = v1::ListLinkHistoryRequest { name: name("none"), ..Default::default() };
        assert_eq!(links.list_link_history(none).await.unwrap_err().code(), Code::NotFound);
        assert_eq!(history(&mut links, "a").await.len(), 6);
        world
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_imported_link_has_a_history_too() {
    on_each(async |world| {
        let mut links = world.links().await;
        let import = async |links: &mut Links, target: &str| {
            let row = |code: &str| v1::Link { code: code.into(), ..to(target) };
            let message = v1::ImportLinksRequest {
                update: true,
                links: vec![row("a"), row("b")],
                ..Default::default()
            };
            let mut answer = links.import_links(tokio_stream::iter([message])).await.unwrap().into_inner();
            while answer.message().await.unwrap().is_some() {}
        };
        import(&mut links, "https://a.example/").await;
        let told = async |links: &mut Links, code| {
            let versions = history(links, code).await;
            let told = versions.into_iter().map(|v| (v.method, v.link.unwrap().target));
            told.collect::<Vec<_>>()
        };
        let version = |method: &str, host: &str| (method.to_owned(), format!("https://{host}.example/"));
        assert_eq!(told(&mut links, "a").await, [version("ImportLinks", "a")]);
        let first = links.get_link(v1::GetLinkRequest { name: name("a") }).await.unwrap().into_inner();
        retarget(&mut links, "a", "https://b.example/").await;
        assert_eq!(told(&mut links, "a").await, [version("UpdateLink", "b"), version("ImportLinks", "a")]);
        import(&mut links, "https://c.example/").await;
        let whole = [version("ImportLinks", "c"), version("UpdateLink", "b"), version("ImportLinks", "a")];
        assert_eq!(told(&mut links, "a").await, whole);
        assert_eq!(told(&mut links, "b").await, [version("ImportLinks", "c"), version("ImportLinks", "a")]);
        let back = restore("a", Point::Time(first.update_time.unwrap()));
        let latest = links.get_link(v1::GetLinkRequest { name: name("a") }).await.unwrap().into_inner();
        if latest.update_time != first.update_time {
            let back = links.restore_link(back).await.unwrap().into_inner();
            assert!(["https://a.example/", "https://b.example/"].contains(&back.target.as_str()));
        }
        let back = restore("a", Point::Revision(first.revision));
        assert_eq!(links.restore_link(back).await.unwrap().into_inner().target, "https://a.example/");
        world
    })
    .await;
}

#[tokio::test]
async fn a_target_that_is_not_allowed_any_more_is_not_restored() {
    let folder = Folder::new();
    let world = World::at(folder).await;
    let mut links = world.links().await;
    let made = links.create_link(create("a", "https://later.example/")).await.unwrap().into_inner();
    retarget(&mut links, "a", "https://b.example/").await;
    let folder = world.stop().await;
    let config =
        control::Config { own_hosts: vec!["later.example".into()], ..super::world::config(folder.db()) };
    let store = Arc::new(Sqlite::open(&folder.db(), Options::default()).unwrap());
    let world = World::with(folder, store, config).await;
    // The revision is of the history before the restart, which this one shares.
    let mut links = world.links().await;
    let refused = links.restore_link(restore("a", Point::Revision(made.revision))).await.unwrap_err();
    assert_eq!(field(&refused), "target");
    world.stop().await;
}

#[tokio::test]
async fn the_same_over_rest() {
    let world = World::new().await;
    let kind = ("content-type", "application/json");
    let made = world.rest("POST /v1/links", json!({"code": "a/b", "target": "https://a.example/"})).await;
    world.rest("PATCH /v1/links/a/b", json!({"target": "https://b.example/"})).await;
    let gone = world.rest("DELETE /v1/links/a/b", Value::Null).await;
    let history = world.raw("GET /v1/domains/-/links/a/b:history?page_size=2", &[], Vec::new()).await;
    assert_eq!(history.status, 200);
    assert_eq!(history.body["versions"][0]["link"], gone.body);
    assert_eq!(history.body["versions"][1]["method"], "UpdateLink");
    let next = history.body["next_page_token"].as_str().unwrap();
    let next = world.rest(&format!("GET /v1/links/a/b:history?page_token={next}"), Value::Null).await;
    assert_eq!(next.body["versions"].as_array().unwrap().len(), 1);
    assert_eq!((&next.body["versions"][0]["link"], &next.body["next_page_token"]), (&made.body, &json!("")));

    // Without its kind a page of another site could ask for it, but for the origin that every browser names then.
    let page = [("origin", "https://evil.example")];
    assert_eq!(world.raw("POST /v1/links/a/b:undelete", &page, Vec::new()).await.status, 415);
    let headers = [kind, ("if-match", "\"3\""), ("idempotency-key", "k")];
    let back = world.raw("POST /v1/links/a/b:undelete", &headers, Vec::new()).await;
    assert_eq!((back.status.as_u16(), &back.body["etag"]), (200, &json!("\"4\"")));
    let again = world.raw("POST /v1/links/a/b:undelete", &headers, Vec::new()).await;
    assert_eq!((again.status.as_u16(), again.body), (200, back.body));
    let stale = world.raw("POST /v1/links/a/b:restore", &headers[..2], br#"{"revision":"1"}"#.to_vec()).await;
    assert_eq!((stale.status.as_u16(), &stale.body["field"]), (400, &json!("revision")));
    let body = json!({"revision": made.body["revision"]});
    let restored = world.rest("POST /v1/links/a/b:restore", body).await;
    assert_eq!((restored.status.as_u16(), &restored.body["target"]), (200, &json!("https://a.example/")));
    assert_eq!(restored.headers["etag"], "\"5\"");
    for (call, body, status, at) in [
        ("POST /v1/links/a/b:restore", r#"{"time":"soon"}"#, 400, "time"),
        ("POST /v1/links/a/b:restore", r#"{"time":"2026-01-01T00:00:00Z","revision":"1"}"#, 400, "time"),
        ("POST /v1/links/a/b:restore", r#"{"when":1}"#, 400, "when"),
        ("POST /v1/links/a/b:undelete", r#"{"x":1}"#, 400, "x"),
        ("GET /v1/links/a/b:history?page_token=x", "", 400, "page_token"),
        ("GET /v1/links/a/b:history?page_size=-1", "", 400, "page_size"),
        ("GET /v1/links/a/b:history?x=1", "", 400, "x"),
    ] {
        let reply = world.raw(call, &[kind], body.into()).await;
        assert_eq!((reply.status.as_u16(), &reply.body["field"]), (status, &json!(at)), "{call} {body}");
    }
    for (call, status, allow) in [
        ("GET /v1/links/a/b:undelete", 405, "POST"),
        ("DELETE /v1/links/a/b:history", 405, "GET,HEAD"),
        ("PATCH /v1/links/a/b:restore", 405, "POST"),
        ("POST /v1/links/a/b:history", 405, "GET,HEAD"),
        ("POST /v1/links/a/b", 405, "DELETE,GET,HEAD,PATCH"),
        ("POST /v1/links/a/b:nonsense", 404, ""),
        ("GET /v1/links/a/b:nonsense", 404, ""),
    ] {
        let reply = world.raw(call, &[kind], b"{}".to_vec()).await;
        let allowed = reply.headers.get("allow").map_or("", |allow| allow.to_str().unwrap());
        assert_eq!((reply.status.as_u16(), allowed), (status, allow), "{call}");
    }
    world.stop().await;
}
