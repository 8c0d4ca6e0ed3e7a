//! Lists: filters, orders and pages, and what a page costs at any depth.

use super::contract::create;
use super::keys::{locked, put, rest, way};
use super::postgres::Database;
use super::world::{Folder, MoodyStore, World};
use control::keys::Secret;
use proto::v1;
use serde_json::Value;
use std::sync::Arc;
use std::time::{Duration, Instant};
use store::model::{KeyRow, Scope, Scopes};
use store::port::Repository;
use store::sqlite::{Options, Sqlite};
use tonic::transport::Channel;

type Client = v1::links_client::LinksClient<Channel>;

/// Every code of a list, in its order, and how many pages it took.
async fn all(links: &mut Client, mut request: v1::ListLinksRequest) -> (Vec<String>, usize) {
    let (mut codes, mut pages) = (Vec::new(), 0);
    loop {
        let page = links.list_links(request.clone()).await.unwrap().into_inner();
        codes.extend(page.links.into_iter().map(|link| link.code));
        (request.page_token, pages) = (page.next_page_token, pages + 1);
        if request.page_token.is_empty() {
            return (codes, pages);
        }
    }
}

fn list(filter: &str, order_by: &str, page_size: i32) -> v1::ListLinksRequest {
    v1::ListLinksRequest { filter: filter.into(), order_by: order_by.into(), page_size, ..Default::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_and_orders() {
    let folder = Folder::new();
    let store = Arc::new(Sqlite::open(&folder.db(), Options::default()).unwrap());
    filters_and_orders_on(store).await;
    if let Some(db) = Database::new() {
        filters_and_orders_on(db.opened(false).await).await;
    }
}

async fn filters_and_orders_on(store: Arc<dyn Repository>) {
    let world = World::another(store).await;
    let mut links = world.links().await;
    for (n, code) in ["b", "a/1", "a/2", "ab", "c"].into_iter().enumerate() {
        let time = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
        let link = v1::Link {
            code: code.into(),
            target: format!("https://example.com/{n}?x={code}"),
            tags: vec![format!("t{}", n % 2)],
            disabled: n == 4,
            create_time: time(1_767_225_600 + n as i64),
            ..Default::default()
        };
        let message = v1::ImportLinksRequest { links: vec![link], ..Default::default() };
        let answer = links.import_links(tokio_stream::iter([message])).await.unwrap();
        assert!(answer.into_inner().message().await.unwrap().is_some());
    }
    for (filter, order, want) in [
        ("", "", &["a/1", "a/2", "ab", "b", "c"][..]),
        ("code = \"a*\"", "code", &["a/1", "a/2", "ab"]),
        ("code:a/2", "", &["a/2"]),
        ("tags:t0", "create_time desc", &["c", "a/2", "b"]),
        ("target:\"x=a\"", "create_time desc", &["ab", "a/2", "a/1"]),
        ("disabled = true", "update_time desc", &["c"]),
        ("create_time >= 2026-01-01T00:00:01Z AND create_time < 2026-01-01T00:00:03Z", "", &["a/1", "a/2"]),
        (
            "create_time >= 2026-01-01T00:00:01Z AND create_time < 2026-01-01T00:00:03Z",
            "create_time desc",
            &["a/2", "a/1"],
        ),
        ("update_time > 2026-01-02T00:00:00Z NOT tags:t1", "", &["a/2", "b", "c"]),
        ("code = d", "create_time desc", &[]),
    ] {
        for size in [1, 2, 50] {
            let (codes, pages) = all(&mut links, list(filter, order, size)).await;
            assert_eq!(codes, want, "{filter} {order} {size}");
            assert!(pages <= want.len() + 1, "{pages} pages");
        }
    }
    let first = links.list_links(list("tags:t0", "", 1)).await.unwrap().into_inner();
    for other in [list("tags:t1", "", 1), list("tags:t0", "create_time desc", 1), list("", "", 1)] {
        let stolen = v1::ListLinksRequest { page_token: first.next_page_token.clone(), ..other };
        assert_eq!(links.list_links(stolen).await.unwrap_err().code(), tonic::Code::InvalidArgument);
    }
    let reply = world.rest("GET /v1/links?filter=code%3Aa*&order_by=create_time%20desc", Value::Null).await;
    let codes: Vec<&Value> =
        reply.body["links"].as_array().unwrap().iter().map(|link| &link["code"]).collect();
    assert_eq!(codes, ["ab", "a/2", "a/1"]);
    let reply = world.rest("GET /v1/links?filter=cod%3Aa", Value::Null).await;
    assert_eq!((reply.status.as_u16(), &reply.body["field"]), (400, &Value::from("filter")));
    assert!(reply.body["detail"].as_str().unwrap().contains("at character 1"), "{}", reply.body);
    let reply = world.rest("GET /v1/links?order_by=target", Value::Null).await;
    assert_eq!((reply.status.as_u16(), &reply.body["field"]), (400, &Value::from("order_by")));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "50,000 links: make test-long"]
async fn a_page_costs_the_same_at_any_depth_sqlite() {
    let folder = Folder::new();
    depth(Arc::new(Sqlite::open(&folder.db(), Options::default()).unwrap())).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "50,000 links: make test-long"]
async fn a_page_costs_the_same_at_any_depth_postgres() {
    if let Some(db) = Database::new() {
        depth(db.opened(false).await).await;
    }
}

/// Page 1 and the last full one, each order, and a filter that few links meet; 1 M links with `LINKR_LONG=1`.
async fn depth(store: Arc<dyn Repository>) {
    let count = if std::env::var_os("LINKR_LONG").is_some() { 1_000_000_i64 } else { 50_000 };
    let world = World::alone_on(store.clone()).await;
    let began = Instant::now();
    let filled = store.clone();
    let fill = move || {
        for from in (0..count).step_by(5_000) {
            let items: Vec<_> =
                (from..from + 5_000).map(|n| create(&format!("{:06x}", n * 7_919 % count))).collect();
            filled.commit(&items, from).unwrap();
        }
    };
    tokio::task::spawn_blocking(fill).await.unwrap();
    println!("{count} links in {:?}", began.elapsed());
    let mut links = world.links().await;
    let mut counted = async |filter: &str| {
        let asked = v1::CountLinksRequest { filter: filter.into(), ..Default::default() };
        let told = links.count_links(asked).await.unwrap().into_inner();
        (told.count, told.exact, told.looked_at)
    };
    assert_eq!(counted("").await, (50_000, count == 50_000, 50_000));
    assert_eq!(counted("code = \"0000*\"").await, (256, true, 256), "only these are looked at");
    assert_eq!(counted("code = \"0000*\" AND NOT code = \"00000*\"").await, (240, true, 256));
    if count == 50_000 {
        let one_more = create("zzz");
        tokio::task::spawn_blocking(move || store.commit(&[one_more], 1).unwrap()).await.unwrap();
        assert_eq!(counted("disabled = true").await, (0, false, 50_000));
    }
    for order in ["code", "create_time desc", "update_time desc"] {
        let (mut request, mut seen) = (list("", order, 50), 0);
        let deep = loop {
            let page = links.list_links(request.clone()).await.unwrap().into_inner();
            seen += page.links.len();
            // The last full page, or page 10,000.
            if seen + 50 >= count as usize || seen >= 499_950 {
                break page.next_page_token;
            }
            request.page_token = page.next_page_token;
        };
        assert!(!deep.is_empty());
        // By turns: what else the machine does then meets both. The first of each are warm-up.
        let mut took = [Vec::new(), Vec::new()];
        for round in 0..111 {
            for (token, took) in ["", deep.as_str()].into_iter().zip(&mut took) {
                let request = v1::ListLinksRequest { page_token: token.into(), ..list("", order, 50) };
                let began = Instant::now();
                let page = links.list_links(request).await.unwrap().into_inner();
                assert_eq!(page.links.len(), 50);
                if round > 9 {
                    took.push(began.elapsed());
                }
            }
        }
        let [first, last] = took.map(|mut took| {
            took.sort();
            took[took.len() / 2]
        });
        println!("{order}: page 1 in {first:?}, the page behind {seen} links in {last:?}");
        let slack = Duration::from_micros(200);
        let close = last <= first * 2 + slack && first <= last * 2 + slack;
        assert!(close, "{order}: {first:?}, {last:?}");
    }
    let began = Instant::now();
    let page = links.list_links(list("target:nowhere", "", 50)).await.unwrap().into_inner();
    println!("a page of a filter that nothing meets in {:?}", began.elapsed());
    assert!(page.links.is_empty() && !page.next_page_token.is_empty(), "it ends after a while");
    one_of_many_is_found_by_its_external_id(&mut links).await;
    world.stop().await;
}

/// As one is read by its code.
async fn one_of_many_is_found_by_its_external_id(links: &mut Client) {
    let link =
        v1::Link { target: "https://a.example/".into(), external_id: "CRM 17".into(), ..Default::default() };
    let made = v1::CreateLinkRequest { link_id: "000mid".into(), link: Some(link), ..Default::default() };
    let made = links.create_link(made).await.unwrap().into_inner();
    let mut took = [Vec::new(), Vec::new()];
    for _ in 0..51 {
        let began = Instant::now();
        links.get_link(v1::GetLinkRequest { name: made.name.clone() }).await.unwrap();
        took[0].push(began.elapsed());
        let began = Instant::now();
        let page = links.list_links(list("external_id = \"CRM 17\"", "", 50)).await.unwrap().into_inner();
        took[1].push(began.elapsed());
        assert_eq!((&page.links[..], &*page.next_page_token), (std::slice::from_ref(&made), ""));
    }
    let [by_code, by_id] = took.map(|mut took| {
        took.sort();
        took[took.len() / 2]
    });
    println!("one link by its code in {by_code:?}, by its external id in {by_id:?}");
    assert!(by_id <= by_code * 3 + Duration::from_millis(1), "{by_code:?}, {by_id:?}");
    let asked = v1::CountLinksRequest { filter: "external_id:\"CRM 17\"".into(), ..Default::default() };
    let told = links.count_links(asked).await.unwrap().into_inner();
    assert_eq!((told.count, told.exact, told.looked_at), (1, true, 1));
}

/// 100,000 keys were one answer, and more than a client takes. How many of others there are does not show.
#[tokio::test(flavor = "multi_thread")]
async fn keys_are_listed_in_pages_that_clients_take() {
    let folder = Folder::new();
    let store = MoodyStore::new(&folder);
    let admin = put(&*store, Scopes::admin(), |_| ());
    let in_b = |row: &mut KeyRow| row.domains = vec!["b.example".into()];
    let bound = put(&*store, Scopes::of(&[Scope::KeysAdmin]), |row| {
        row.client = "bound".into();
        in_b(row);
    });
    for number in 0..6 {
        put(&*store, Scopes::of(&[Scope::LinksRead]), |row| {
            (row.client, row.revoke_time) = (format!("c{number}"), (number % 3 == 1).then_some(5));
            if number > 1 {
                in_b(row);
            }
        });
    }
    let long = |row: &mut KeyRow| {
        row.domains = (0..100).map(|at| format!("{at}.{}.example", "x".repeat(200))).collect();
    };
    for number in 0..150 {
        put(&*store, Scopes::of(&[Scope::LinksRead]), |row| {
            row.client = format!("long{number}");
            long(row);
        });
    }
    let world = locked(folder, store).await;
    let pages = async |secret: &Secret, page_size: i32, show_revoked: bool| {
        let mut keys = v1::keys_client::KeysClient::new(way(&world, secret).await);
        let mut request = v1::ListKeysRequest { page_size, show_revoked, ..Default::default() };
        let mut pages = Vec::new();
        loop {
            let page = keys.list_keys(request.clone()).await.unwrap().into_inner();
            pages.push(page.keys.iter().map(|key| key.client.clone()).collect::<Vec<_>>());
            if page.next_page_token.is_empty() {
                return pages;
            }
            request.page_token = page.next_page_token;
        }
    };
    assert_eq!(pages(&bound, 0, false).await, [["bound", "c2", "c3", "c5"]]);
    assert_eq!(pages(&bound, 2, false).await, [["bound", "c2"], ["c3", "c5"]]);
    assert_eq!(pages(&bound, 2, true).await, [vec!["bound", "c2"], vec!["c3", "c4"], vec!["c5"]]);
    let all = pages(&admin, 0, true).await;
    assert_eq!(all.concat().len(), 158);
    assert!(all.len() == 2 && all[0].len() > 90, "3.3 MB: {}, {}", all.len(), all[0].len());
    // A token of a key that is as good as not there is none.
    let seen = rest(&world, "GET /v1/keys?page_size=1", Some(&admin), Value::Null).await;
    let token = seen.body["next_page_token"].as_str().unwrap();
    for (secret, token, status) in [(&admin, token, 200), (&bound, token, 400), (&admin, "x", 400)] {
        let reply =
            rest(&world, &format!("GET /v1/keys?page_token={token}"), Some(secret), Value::Null).await;
        assert_eq!(reply.status, status, "{:?}", reply.body);
    }
    world.stop().await;
}
