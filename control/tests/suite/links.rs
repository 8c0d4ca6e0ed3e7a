//! Links over gRPC: what comes back is what was asked for, under every condition a caller can set.

use super::world::{World, create, name, to};
use prost_types::{FieldMask, Timestamp};
use proto::v1;
use tonic::Code;
use tonic_types::StatusExt;

#[tokio::test]
async fn a_link_through_its_life() {
    let world = World::new().await;
    let mut links = world.links().await;
    let given = v1::Link {
        status: 301,
        max_age: Some(60),
        expire_time: Some(Timestamp { seconds: 4_000_000_000, nanos: 5_999_999 }),
        query: v1::QueryPolicy::Append.into(),
        class: v1::LinkClass::Strict.into(),
        title: "t".into(),
        tags: vec!["x".into()],
        note: "n".into(),
        ..to("https://a.example/?a=1")
    };
    let request = v1::CreateLinkRequest { link: Some(given.clone()), ..create("a/b", "") };
    let made = links.create_link(request).await.unwrap().into_inner();
    assert_eq!((made.name.as_str(), made.etag.as_str()), ("domains/-/links/a/b", "\"1\""));
    assert!(made.revision.ends_with("-1") && made.delete_time.is_none() && made.create_time.is_some());
    assert_eq!(made.expire_time, Some(Timestamp { seconds: 4_000_000_000, nanos: 5_000_000 }));
    let want = v1::Link {
        name: made.name.clone(),
        code: "a/b".into(),
        domain: "-".into(),
        expire_time: made.expire_time,
        create_time: made.create_time,
        update_time: made.update_time,
        revision: made.revision.clone(),
        etag: made.etag.clone(),
        uid: 1,
        ..given
    };
    assert_eq!(made, want);
    let got = links.get_link(v1::GetLinkRequest { name: name("a/b") }).await.unwrap().into_inner();
    assert_eq!(got, made);

    let update = |link: v1::Link, paths: &[&str]| v1::UpdateLinkRequest {
        link: Some(v1::Link { name: name("a/b"), ..link }),
        update_mask: Some(FieldMask { paths: paths.iter().map(|&path| path.into()).collect() }),
        ..v1::UpdateLinkRequest::default()
    };
    let other = v1::Link { status: 302, note: "ignored".into(), ..to("https://b.example/") };
    let changed = links.update_link(update(other, &["target", "status", "tags"])).await.unwrap().into_inner();
    assert_eq!(
        (changed.target.as_str(), changed.status, changed.note.as_str()),
        ("https://b.example/", 302, "n")
    );
    assert_eq!((changed.tags.len(), changed.max_age, changed.etag.as_str()), (0, Some(60), "\"2\""));
    let whole = links.update_link(update(to("https://c.example/"), &["*"])).await.unwrap().into_inner();
    assert_eq!((whole.max_age, whole.title.as_str(), whole.class), (None, "", 0));
    let wrong = links.update_link(update(to("x"), &["create_time"])).await.unwrap_err();
    assert_eq!(wrong.get_error_details().bad_request().unwrap().field_violations[0].field, "update_mask");
    // What the fields say together is checked with those that are not in the mask.
    let wrong = links.update_link(update(v1::Link { status: 308, ..to("") }, &["status"])).await.unwrap_err();
    assert_eq!(wrong.get_error_details().bad_request().unwrap().field_violations[0].field, "max_age");

    let gone = v1::DeleteLinkRequest { name: name("a/b"), etag: whole.etag, ..Default::default() };
    let gone = links.delete_link(gone).await.unwrap().into_inner();
    assert!(gone.delete_time.is_some() && gone.target == "https://c.example/");
    let got = links.get_link(v1::GetLinkRequest { name: name("a/b") }).await.unwrap().into_inner();
    assert_eq!(got, gone);
    let late = links.update_link(update(to("https://d.example/"), &["target"])).await.unwrap_err();
    assert_eq!(late.code(), Code::NotFound);
    world.stop().await;
}

#[tokio::test]
async fn generated_codes_differ() {
    let world = World::new().await;
    let mut links = world.links().await;
    let mut codes = std::collections::HashSet::new();
    for _ in 0..20 {
        let made = links.create_link(create("", "https://a.example/")).await.unwrap().into_inner();
        assert_eq!(made.code.len(), 7);
        codes.insert(made.code);
    }
    assert_eq!(codes.len(), 20);
    world.stop().await;
}

#[tokio::test]
async fn the_same_request_id_is_answered_the_same_and_written_once() {
    let world = World::new().await;
    let mut links = world.links().await;
    let request = v1::CreateLinkRequest { request_id: "r1".into(), ..create("", "https://a.example/") };
    let first = links.create_link(request.clone()).await.unwrap().into_inner();
    let again = links.create_link(request.clone()).await.unwrap().into_inner();
    assert_eq!(first, again);
    let update = v1::UpdateLinkRequest {
        link: Some(v1::Link { name: first.name.clone(), ..to("https://b.example/") }),
        request_id: "r1".into(),
        ..v1::UpdateLinkRequest::default()
    };
    // Another method is another name space. The retry comes after the link has moved on.
    let second = links.update_link(update.clone()).await.unwrap().into_inner();
    let gone = v1::DeleteLinkRequest { name: first.name.clone(), ..Default::default() };
    links.delete_link(gone).await.unwrap();
    assert_eq!(links.update_link(update).await.unwrap().into_inner(), second);
    assert_eq!(links.create_link(request).await.unwrap().into_inner(), first);
    assert_eq!(world.head().await, 3);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_the_same_request_at_once_one_is_written_and_all_are_answered_so() {
    let world = World::new().await;
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..32 {
        let mut links = world.links().await;
        let request = v1::CreateLinkRequest { request_id: "x".into(), ..create("", "https://a.example/") };
        calls.spawn(async move { links.create_link(request).await.unwrap().into_inner() });
    }
    let answers = calls.join_all().await;
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    assert_eq!(world.head().await, 1);
    world.stop().await;
}

#[tokio::test]
async fn an_update_without_a_mask_sets_what_is_given() {
    let world = World::new().await;
    let mut links = world.links().await;
    let noted = v1::Link { note: "n".into(), ..to("https://a.example/") };
    links.create_link(v1::CreateLinkRequest { link: Some(noted), ..create("a", "") }).await.unwrap();
    let request = |link: v1::Link| v1::UpdateLinkRequest {
        link: Some(v1::Link { name: name("a"), ..link }),
        ..v1::UpdateLinkRequest::default()
    };
    let done = links.update_link(request(to("https://b.example/"))).await.unwrap().into_inner();
    assert_eq!((done.target.as_str(), done.note.as_str()), ("https://b.example/", "n"));
    let nothing = links.update_link(request(v1::Link::default())).await.unwrap_err();
    assert_eq!(nothing.get_error_details().bad_request().unwrap().field_violations[0].field, "update_mask");
    world.stop().await;
}

#[tokio::test]
async fn only_checking_writes_nothing_and_refuses_the_same() {
    let world = World::new().await;
    let mut links = world.links().await;
    let only =
        |code: &str| v1::CreateLinkRequest { validate_only: true, ..create(code, "https://a.example/") };
    let checked = links.create_link(only("a")).await.unwrap().into_inner();
    assert_eq!((checked.code.as_str(), checked.etag.as_str(), checked.status), ("a", "", 302));
    assert_eq!(links.create_link(only("")).await.unwrap().into_inner().code, "");
    assert_eq!(world.head().await, 0);
    links.create_link(create("a", "https://a.example/")).await.unwrap();
    assert_eq!(links.create_link(only("a")).await.unwrap_err().code(), Code::AlreadyExists);
    let delete = v1::DeleteLinkRequest { name: name("a"), validate_only: true, ..Default::default() };
    assert!(links.delete_link(delete).await.unwrap().into_inner().delete_time.is_some());
    assert_eq!(world.head().await, 1);
    world.stop().await;
}

#[tokio::test]
async fn lists_go_page_by_page_in_the_order_of_codes() {
    let world = World::new().await;
    let mut links = world.links().await;
    for code in ["b", "a/z", "a", "c", "B"] {
        links.create_link(create(code, "https://a.example/")).await.unwrap();
    }
    let gone = v1::DeleteLinkRequest { name: name("b"), ..Default::default() };
    links.delete_link(gone).await.unwrap();
    let mut request = v1::ListLinksRequest { page_size: 2, show_deleted: true, ..Default::default() };
    let (mut codes, mut sizes) = (Vec::new(), Vec::new());
    loop {
        let page = links.list_links(request.clone()).await.unwrap().into_inner();
        sizes.push(page.links.len());
        codes.extend(page.links.into_iter().map(|link| link.code));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!((codes, sizes), (["B", "a", "a/z", "b", "c"].map(str::to_owned).to_vec(), vec![2, 2, 1]));
    request.show_deleted = false;
    let foreign = links.list_links(request.clone()).await.unwrap_err();
    assert_eq!(foreign.get_error_details().bad_request().unwrap().field_violations[0].field, "page_token");
    request.page_token = String::new();
    request.page_size = -1;
    assert_eq!(links.list_links(request.clone()).await.unwrap_err().code(), Code::InvalidArgument);
    request.page_size = 5_000;
    assert_eq!(links.list_links(request).await.unwrap().into_inner().links.len(), 4);
    world.stop().await;
}
