//! The calls about tags: lists and counts by the index, the tags themselves, and one that takes the place of another.

use super::{delete, found, make, tag, with_tags};
use crate::contract::key;
use crate::keys::{locked, put, rest};
use crate::postgres::Database;
use crate::world::{Folder, Mood, MoodyStore, World};
use proto::v1;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use store::model::{Scope, Scopes, StoreFault};
use store::port::Repository;
use store::sqlite::{Options, Sqlite};
use tonic::Code as Grpc;
use tonic_types::StatusExt;

async fn on_both(case: impl AsyncFn(World)) {
    let folder = Folder::new();
    case(World::another(Arc::new(Sqlite::open(&folder.db(), Options::default()).unwrap())).await).await;
    if let Some(db) = Database::new() {
        case(World::another(db.opened(false).await).await).await;
    }
}

async fn listed(world: &World, query: &str) -> (Vec<String>, usize) {
    let (mut codes, mut pages, mut token) = (Vec::new(), 0, String::new());
    loop {
        let query = query.replace(' ', "%20").replace('"', "%22").replace('>', "%3E");
        let reply = world.rest(&format!("GET /v1/links?{query}&page_token={token}"), Value::Null).await;
        let links = reply.body["links"].as_array().unwrap_or_else(|| panic!("{}", reply.body));
        codes.extend(links.iter().map(|link| link["code"].as_str().unwrap().to_owned()));
        pages += 1;
        token = reply.body["next_page_token"].as_str().unwrap().to_owned();
        if token.is_empty() {
            return (codes, pages);
        }
    }
}

async fn import(world: &World, links: Vec<v1::Link>) {
    let parts = links.chunks(5_000);
    let parts = parts.map(|part| v1::ImportLinksRequest { links: part.to_vec(), ..Default::default() });
    let parts: Vec<_> = parts.collect();
    let mut client = world.links().await;
    let mut answers = client.import_links(tokio_stream::iter(parts)).await.unwrap().into_inner();
    while let Some(part) = answers.message().await.unwrap() {
        assert!(part.results.iter().all(|result| result.outcome() == v1::ImportOutcome::Created));
    }
}

/// Behind 12,000 others, which is more than a page looks at: with the index no page is short.
#[tokio::test(flavor = "multi_thread")]
async fn pages_of_a_tag_are_full_whatever_else_there_is() {
    on_both(async |world: World| {
        let rows: Vec<_> = (0..12_003)
            .map(|n| v1::Link {
                code: format!("{n:05}"),
                target: format!("https://example.com/{}", n % 2),
                tags: match n {
                    0..12_000 => vec!["most".into()],
                    _ => vec!["few".into(), "most".into()],
                },
                create_time: Some(prost_types::Timestamp { seconds: i64::from(n), nanos: 0 }),
                ..Default::default()
            })
            .collect();
        import(&world, rows).await;
        let mut links = world.links().await;
        let few = ["12000", "12001", "12002"].map(str::to_owned);
        let back: Vec<_> = few.iter().rev().cloned().collect();
        for (query, want, pages) in [
            ("filter=tags:few&page_size=2", &few[..], 2),
            ("filter=tags:few&page_size=2&order_by=create_time desc", &back, 2),
            ("filter=tags:few&page_size=3&order_by=update_time desc", &back, 1),
            ("filter=tags:most AND tags:few&page_size=2", &few, 2),
            ("filter=tags:few target:com/1", &few[1..2], 1),
            ("filter=tags:few AND NOT tags:most", &[], 1),
            ("filter=tags:few AND code = \"12001\"", &few[1..2], 1),
            ("filter=tags:few create_time >= 1970-01-01T03:20:01Z&order_by=create_time desc", &back[..2], 1),
            ("filter=tags:none", &[], 1),
            ("filter=tags:none&order_by=create_time desc", &[], 1),
        ] {
            assert_eq!(listed(&world, query).await, (want.to_vec(), pages), "{query}");
        }
        let mut counted = async |filter: &str, show_deleted| {
            let asked = v1::CountLinksRequest { filter: filter.into(), show_deleted, ..Default::default() };
            let told = links.count_links(asked).await.unwrap().into_inner();
            (told.count, told.exact, told.looked_at)
        };
        assert_eq!(counted("tags:most", false).await, (12_003, true, 0));
        assert_eq!(counted("tags:few tags:most", false).await, (3, true, 3));
        assert_eq!(counted("tags:few", true).await, (3, true, 12_003), "deleted links stand in no index");
        // A page before, and the link that it ends with deleted meanwhile.
        let first = world.rest("GET /v1/links?filter=tags:few&page_size=1", Value::Null).await.body;
        world.rest("DELETE /v1/links/12000", Value::Null).await;
        let token = first["next_page_token"].as_str().unwrap();
        let next =
            world.rest(&format!("GET /v1/links?filter=tags:few&page_token={token}"), Value::Null).await;
        assert_eq!(next.body["links"].as_array().unwrap().len(), 2);
        assert_eq!(counted("tags:few", false).await, (2, true, 0));
        assert_eq!(listed(&world, "filter=tags:few&show_deleted=true&page_size=50").await.0, few);
        world.rest("POST /v1/links/12000:undelete", json!({})).await;
        assert_eq!(counted("tags:few", false).await, (3, true, 0));
        world.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_are_listed_and_their_tokens_are_their_own() {
    on_both(async |world: World| {
        for (code, tags) in [("a", json!(["x", "y z"])), ("b", json!(["x"])), ("c", json!(["é/%"]))] {
            let body = json!({ "code": code, "target": "https://a.example/", "tags": tags });
            assert_eq!(world.rest("POST /v1/links", body).await.status, 201);
        }
        let get = async |query: &str| world.rest(&format!("GET /v1/tags{query}"), Value::Null).await.body;
        let tag = |tag: &str, links: u64| json!({ "tag": tag, "links": links });
        let all = [tag("x", 2), tag("y z", 1), tag("é/%", 1)];
        assert_eq!(get("").await, json!({ "tags": all, "next_page_token": "" }));
        assert_eq!(get("?prefix=y").await["tags"], json!(all[1..2]));
        let first = get("?page_size=2").await;
        assert_eq!(first["tags"], json!(all[..2]));
        let token = first["next_page_token"].as_str().unwrap();
        let next = get(&format!("?page_size=2&page_token={token}")).await;
        assert_eq!(next, json!({ "tags": all[2..], "next_page_token": "" }));
        for wrong in
            [format!("prefix=y&page_token={token}"), format!("page_token={token}61"), "page_token=79".into()]
        {
            assert_eq!(get(&format!("?{wrong}")).await["field"], "page_token", "{wrong}");
        }
        assert_eq!(get(&format!("?prefix={}", "x".repeat(65))).await["field"], "prefix");
        assert_eq!(get("?page_size=-1").await["field"], "page_size");
        world.stop().await;
    })
    .await;
}

async fn renamed(world: &World, tag: &str, new_tag: &str, merge: bool) -> Value {
    let body = json!({ "tag": tag, "new_tag": new_tag, "merge": merge });
    let mut changed = 0;
    loop {
        let mut reply = world.rest("POST /v1/tags:rename", body.clone()).await.body;
        changed += reply["changed"].as_u64().unwrap_or(0);
        if reply["done"] != false {
            if reply["done"] == true {
                reply["changed"] = changed.into();
            }
            return reply;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_is_renamed_and_merged() {
    on_both(async |world: World| {
        let rows = (0..1_203).map(|n| v1::Link {
            code: format!("c{n:04}"),
            target: "https://a.example/".into(),
            tags: with_tags(if n % 2 == 0 { &["old", "x"] } else { &["x", "old", "y"] }).info.tags,
            ..Default::default()
        });
        import(&world, rows.collect()).await;
        world.rest("DELETE /v1/links/c0002", Value::Null).await;
        assert_eq!(renamed(&world, "old", "new", false).await, json!({ "changed": 1_202, "done": true }));
        let link = async |code: &str| world.rest(&format!("GET /v1/links/{code}"), Value::Null).await.body;
        assert_eq!(link("c0000").await["tags"], json!(["new", "x"]));
        assert_eq!(link("c0001").await["tags"], json!(["x", "new", "y"]), "it stands where the other stood");
        assert_eq!(link("c0002").await["tags"], json!(["old", "x"]), "what is deleted is as it was");
        let history = world.rest("GET /v1/links/c0001:history", Value::Null).await.body;
        let versions = history["versions"].as_array().unwrap();
        assert_eq!((versions.len(), &versions[0]["method"]), (2, &json!("RenameTag")));
        assert_eq!(versions[1]["link"]["tags"], json!(["x", "old", "y"]));
        assert_ne!(versions[0]["link"]["etag"], versions[1]["link"]["etag"]);
        // Brought back, a link has what it had; and there it is to be renamed anew.
        world.rest("POST /v1/links/c0002:undelete", json!({})).await;
        let refused = renamed(&world, "old", "new", false).await;
        assert_eq!((&refused["status"], &refused["reason"]), (&json!(409), &json!("TAG_EXISTS")));
        assert!(refused["detail"].as_str().unwrap().contains("say merge (linkr tag merge)"), "{refused}");
        assert_eq!(renamed(&world, "old", "new", true).await, json!({ "changed": 1, "done": true }));
        let missing = renamed(&world, "old", "new", true).await;
        assert_eq!((&missing["status"], &missing["reason"]), (&json!(404), &json!("TAG_NOT_FOUND")));
        assert_eq!(renamed(&world, "y", "x", true).await, json!({ "changed": 601, "done": true }));
        assert_eq!(link("c0001").await["tags"], json!(["x", "new"]), "none twice");
        let tags = world.rest("GET /v1/tags", Value::Null).await.body["tags"].clone();
        assert_eq!(tags, json!([{ "tag": "new", "links": 1_203 }, { "tag": "x", "links": 1_203 }]));
        let (long, longest) = ("x".repeat(65), "x".repeat(64));
        for (tag, new_tag, field) in
            [("", "a", "tag"), ("x", "", "new_tag"), ("x", &*long, "new_tag"), ("x", "x", "new_tag")]
        {
            assert_eq!(renamed(&world, tag, new_tag, false).await["field"], field);
        }
        assert_eq!(renamed(&world, "x", &longest, false).await["done"], true);
        world.stop().await;
    })
    .await;
}

/// Cut off in its middle, links stand under both tags: that is no merge.
#[tokio::test(flavor = "multi_thread")]
async fn a_rename_that_was_cut_off_goes_on_when_it_is_asked_for_again() {
    let folder = Folder::new();
    let store = MoodyStore::new(&folder);
    let all: Vec<_> = (0..1_200).map(|n| make(&format!("c{n:04}"), &["old"])).collect();
    store.commit(&all, 1).unwrap();
    let world = World::on(folder, store.clone()).await;
    // The second commit of three fails.
    let mut links = world.links().await;
    let asked = v1::RenameTagRequest { tag: "old".into(), new_tag: "new".into(), ..Default::default() };
    let half: Vec<_> = (0..500).map(|n| tag(&format!("c{n:04}"), &["new"])).collect();
    let full = Some(StoreFault::Full);
    store.set(Mood { between: half, fault: full, ..Mood::default() });
    let refused = links.rename_tag(asked.clone()).await.unwrap_err();
    assert_eq!(refused.get_error_details().error_info().unwrap().reason, "DISK_FULL");
    store.set(Mood::default());
    assert_eq!((found(&*store, "old").len(), found(&*store, "new").len()), (700, 500));
    let other = v1::RenameTagRequest { new_tag: "other".into(), ..asked.clone() };
    let done = links.rename_tag(asked.clone()).await.unwrap().into_inner();
    assert_eq!(done, v1::RenameTagResponse { changed: 700, done: true });
    assert_eq!(links.rename_tag(other).await.unwrap_err().code(), Grpc::NotFound);
    // It has ended: the same again is a rename of its own.
    store.commit(&[make("later", &["old"])], 2).unwrap();
    assert_eq!(links.rename_tag(asked).await.unwrap_err().code(), Grpc::AlreadyExists);
    world.stop().await;
}

/// What somebody else writes between the read of a link and its change is neither lost nor left out.
#[tokio::test(flavor = "multi_thread")]
async fn a_rename_does_not_undo_what_is_written_beside_it() {
    let folder = Folder::new();
    let store = MoodyStore::new(&folder);
    store.commit(&[make("a", &["old"]), make("b", &["old"]), make("c", &["old"])], 1).unwrap();
    let world = World::on(folder, store.clone()).await;
    store.set(Mood {
        between: vec![tag("a", &["mine", "old"]), delete("b"), tag("c", &["other"])],
        ..Mood::default()
    });
    let done = renamed(&world, "old", "new", false).await;
    assert_eq!(done, json!({ "changed": 1, "done": true }));
    let tags = |code: &str| store.link(&key(code)).unwrap().1.unwrap().info.tags;
    assert_eq!([tags("a"), tags("b"), tags("c")], [vec!["mine", "new"], vec!["old"], vec!["other"]]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_one_domain_sees_and_renames_no_tag_of_another() {
    let folder = Folder::new();
    let store = MoodyStore::new(&folder);
    let admin = put(&*store, Scopes::admin(), |_| ());
    let bound = put(&*store, Scopes::admin(), |row| row.domains = vec!["a.example".into()]);
    let reads = put(&*store, Scopes::of(&[Scope::LinksRead]), |_| ());
    let world = locked(folder, store).await;
    for host in ["a.example", "b.example"] {
        rest(&world, "POST /v1/domains", Some(&admin), json!({ "domain": host })).await;
        let link = json!({ "code": "c", "target": "https://t.example/", "tags": ["t", host] });
        rest(&world, &format!("POST /v1/domains/{host}/links"), Some(&admin), link).await;
    }
    let rename = json!({ "tag": "t", "new_tag": "u" });
    for (call, body) in
        [("GET /v1/domains/HOST/tags", Value::Null), ("POST /v1/domains/HOST/tags:rename", rename.clone())]
    {
        for host in ["b.example", "none.example", "-"] {
            let reply = rest(&world, &call.replace("HOST", host), Some(&bound), body.clone()).await;
            assert_eq!(reply.status, 403, "{call} {host}: {reply:?}");
        }
        let own = rest(&world, &call.replace("HOST", "a.example"), Some(&bound), body).await;
        assert_eq!(own.status, 200, "{own:?}");
    }
    let refused = rest(&world, "POST /v1/domains/b.example/tags:rename", Some(&reads), rename).await;
    assert_eq!(refused.status, 403);
    let tags =
        rest(&world, "GET /v1/domains/b.example/tags", Some(&reads), Value::Null).await.body["tags"].clone();
    assert_eq!(tags, json!([{ "tag": "b.example", "links": 1 }, { "tag": "t", "links": 1 }]));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures a million links: LINKR_MEASURE=1, alone, in release"]
async fn a_page_of_a_tag_among_a_million_links_takes_50_ms_sqlite() {
    let folder = Folder::new();
    a_million(Arc::new(Sqlite::open(&folder.db(), Options::default()).unwrap())).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures a million links: LINKR_MEASURE=1, alone, in release"]
async fn a_page_of_a_tag_among_a_million_links_takes_50_ms_postgres() {
    if let Some(db) = Database::new() {
        a_million(db.opened(false).await).await;
    }
}

/// Of a million links 10, 10,000 and none have the tag that is asked for, and all have another one.
async fn a_million(store: Arc<dyn Repository>) {
    if crate::cost::is_left_out() {
        return;
    }
    const COUNT: u32 = 1_000_000;
    const MOST: Duration = Duration::from_millis(50);
    let world = World::alone_on(store.clone()).await;
    let filled = store.clone();
    let began = Instant::now();
    let fill = move || {
        for from in (0..COUNT).step_by(5_000) {
            let tags = |n: u32| match n {
                n if n % 100_000 == 7 => &["ten", "all"][..],
                n if n % 100 == 3 => &["many", "all"],
                _ => &["all"],
            };
            let links: Vec<_> = (from..from + 5_000)
                .map(|n| make(&format!("{:06x}", u64::from(n) * 7_919 % 1_000_000), tags(n)))
                .collect();
            filled.commit(&links, i64::from(from)).unwrap();
        }
    };
    tokio::task::spawn_blocking(fill).await.unwrap();
    println!("{COUNT} links with tags in {:?}", began.elapsed());
    let mut links = world.links().await;
    let mut slow = Vec::new();
    let mut within = |what: String, mut took: Vec<Duration>| {
        took.sort_unstable();
        println!("{what:<60} median {:>9.2?} most {:>9.2?}", took[took.len() / 2], took[took.len() - 1]);
        if took[took.len() / 2] > MOST {
            slow.push(what);
        }
    };
    for (tag, there) in [("none", 0), ("ten", 10), ("many", 10_000), ("all", COUNT as usize)] {
        for order in ["", "create_time desc", "update_time desc"] {
            for more in ["", " AND NOT disabled = true", " AND code = \"0*\""] {
                let mut asked = v1::ListLinksRequest {
                    filter: format!("tags:{tag}{more}"),
                    order_by: order.into(),
                    page_size: 50,
                    ..Default::default()
                };
                let (mut took, mut seen) = (Vec::new(), 0);
                for _ in 0..9 {
                    let began = Instant::now();
                    let page = links.list_links(asked.clone()).await.unwrap().into_inner();
                    took.push(began.elapsed());
                    seen += page.links.len();
                    asked.page_token = page.next_page_token;
                }
                // Behind the last page comes the first again.
                assert_eq!(seen, 9 * there.min(50), "{}", asked.filter);
                within(format!("tags:{tag}{more} {order}"), took);
            }
        }
        let (mut counts, mut lists) = (Vec::new(), Vec::new());
        for _ in 0..5 {
            let asked = v1::CountLinksRequest { filter: format!("tags:{tag}"), ..Default::default() };
            let began = Instant::now();
            let told = links.count_links(asked).await.unwrap().into_inner();
            counts.push(began.elapsed());
            assert_eq!((told.count, told.exact), (there as u64, true));
            let asked = v1::ListTagsRequest { prefix: tag.into(), ..Default::default() };
            let began = Instant::now();
            let told = links.list_tags(asked).await.unwrap().into_inner().tags;
            lists.push(began.elapsed());
            assert_eq!(told.iter().map(|own| own.links).sum::<u64>(), there as u64);
        }
        // What counts a million costs what that costs.
        if there < COUNT as usize {
            within(format!("count of {tag}"), counts);
            within(format!("list of {tag}"), lists);
        } else {
            println!("count and list of {tag}: {:?} {:?}", counts[0], lists[0]);
        }
    }
    let began = Instant::now();
    let mut renamed = 0;
    loop {
        let asked = v1::RenameTagRequest { tag: "many".into(), new_tag: "new".into(), ..Default::default() };
        let told = links.rename_tag(asked).await.unwrap().into_inner();
        renamed += told.changed;
        if told.done {
            break;
        }
    }
    println!("{renamed} links renamed in {:?}", began.elapsed());
    assert_eq!(renamed, 10_000);
    world.stop().await;
    assert!(slow.is_empty(), "more than {MOST:?}: {slow:?}");
}
