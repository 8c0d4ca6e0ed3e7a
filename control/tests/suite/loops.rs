//! Nothing that is written at the same time makes a loop of ours.

use super::contract::{delete, key};
use super::domains::{call, over_both};
use super::world::{Folder, Mood, MoodyStore, World, to};
use journal::{Field, Intent, Item};
use link::Target;
use proto::v1;
use serde_json::{Value, json};
use tokio::join;

const TRIES: usize = 30;

/// Found by attack: each was checked before the other was there, and visitors went in circles.
#[tokio::test(flavor = "multi_thread")]
async fn two_new_domains_never_answer_with_each_other() {
    over_both(async |world| {
        for n in 0..TRIES {
            let make = |own: &str, other: &str| {
                json!({"domain": format!("{own}{n}.example"), "not_found": format!("https://{other}{n}.example/")})
            };
            let (a, b) = (make("a", "b"), make("b", "a"));
            let (a, b) = join!(call(world, "POST /v1/domains", a), call(world, "POST /v1/domains", b));
            let mut told = [a.0, b.0];
            told.sort_unstable();
            assert_eq!(told, [201, 400], "{n}: {a:?} {b:?}");
        }
        // One is there, and learns of the other just while that is made.
        for n in 0..TRIES {
            let old = format!("c{n}.example");
            assert_eq!(call(world, "POST /v1/domains", json!({"domain": old})).await.0, 201);
            let patch = format!("PATCH /v1/domains/{old}");
            let (changed, made) = join!(
                call(world, &patch, json!({"not_found": format!("https://d{n}.example/")})),
                call(world, "POST /v1/domains", json!({"domain": format!("d{n}.example")})),
            );
            assert_eq!([changed.0, made.0].iter().filter(|&&status| status == 400).count(), 1, "{changed:?} {made:?}");
        }
    })
    .await;
}

/// Whether it was written.
async fn import(world: &World, code: &str, target: &str) -> bool {
    let row = v1::Link { code: code.into(), ..to(target) };
    let import = v1::ImportLinksRequest { links: vec![row], ..Default::default() };
    let mut told = world.links().await.import_links(tokio_stream::iter([import])).await.unwrap().into_inner();
    let result = told.message().await.unwrap().unwrap().results.remove(0);
    assert!(result.reason.is_empty() || result.field == "target", "{result:?}");
    result.reason.is_empty()
}

/// Whether one of each call that writes a target is accepted.
async fn write(world: &World, n: usize, revision: &str, target: &str) -> bool {
    let rest = async |request: String, body: Value| {
        let (status, told) = call(world, &request, body).await;
        assert!(
            status < 300 || told["field"].as_str().is_some_and(|field| field.ends_with("target")),
            "{request} {told}"
        );
        status < 300
    };
    let imported = format!("import-{n}");
    let (made, changed, batch, imported, back, restored) = join!(
        rest("POST /v1/links".into(), json!({"code": format!("new-{n}"), "target": target})),
        rest(format!("PATCH /v1/links/old-{n}"), json!({"target": target})),
        rest(
            "POST /v1/links:batchCreate".into(),
            json!({"requests": [{"link": {"code": format!("batch-{n}"), "target": target}}]}),
        ),
        import(world, &imported, target),
        rest(format!("POST /v1/links/gone-{n}:undelete"), json!({})),
        rest(format!("POST /v1/links/once-{n}:restore"), json!({"revision": revision})),
    );
    made || changed || batch || imported || back || restored
}

/// The revision at which `once` led there.
async fn prepare(world: &World, n: usize, target: &str) -> String {
    let mut revision = String::new();
    let elsewhere = json!({"target": "https://far.example/"});
    for (code, target) in [("old", "https://far.example/"), ("gone", target), ("once", target)] {
        let body = json!({"code": format!("{code}-{n}"), "target": target});
        let (status, made) = call(world, "POST /v1/links", body).await;
        assert_eq!(status, 201);
        revision = made["revision"].as_str().unwrap().to_owned();
    }
    assert!(call(world, &format!("DELETE /v1/links/gone-{n}"), Value::Null).await.0 < 300);
    assert_eq!(call(world, &format!("PATCH /v1/links/once-{n}"), elsewhere).await.0, 200);
    revision
}

/// Found by attack: a link was accepted while all of them were read to see whether one leads to the host.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_and_the_domain_that_it_leads_to_are_not_both_accepted() {
    over_both(async |world| {
        for n in 0..TRIES {
            let host = format!("z{n}.example");
            let target = format!("https://{host}/x");
            let revision = prepare(world, n, &target).await;
            let (made, accepted) = join!(
                call(world, "POST /v1/domains", json!({"domain": host})),
                write(world, n, &revision, &target),
            );
            assert!(made.0 == 201 || made.1["field"] == "domain_id", "{made:?}");
            assert_ne!(made.0 == 201, accepted, "{n}: {made:?}");
        }
    })
    .await;
}

/// Found by attack: it was asked where a link leads when it was made, not when it came back.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_does_not_come_back_to_where_a_domain_is_now() {
    over_both(async |world| {
        let link = json!({"code": "x", "target": "https://z.example/x"});
        call(world, "POST /v1/links", link).await;
        call(world, "DELETE /v1/links/x", Value::Null).await;
        let (status, _) = call(world, "POST /v1/domains", json!({"domain": "z.example"})).await;
        assert_eq!(status, 201);
        let (status, told) = call(world, "POST /v1/links/x:undelete", json!({})).await;
        assert_eq!((status, &told["field"]), (400, &json!("target")), "{told}");
        // One that leads elsewhere comes back, and is there already when that is asked again.
        let link = json!({"code": "y", "target": "https://far.example/"});
        call(world, "POST /v1/links", link).await;
        call(world, "DELETE /v1/links/y", Value::Null).await;
        assert_eq!(call(world, "POST /v1/links/y:undelete", json!({})).await.0, 200);
    })
    .await;
}

/// Found by reading: where the link leads was asked of one version of it, and whatever version was there then came back.
#[tokio::test(flavor = "multi_thread")]
async fn only_the_version_that_was_looked_at_comes_back() {
    let folder = Folder::new();
    let store = MoodyStore::new(&folder);
    let world = World::on(folder, store.clone()).await;
    let link = json!({"code": "x", "target": "https://far.example/"});
    assert_eq!(call(&world, "POST /v1/links", link).await.0, 201);
    assert_eq!(call(&world, "DELETE /v1/links/x", Value::Null).await.0, 200);
    // Meanwhile it was there again, led elsewhere, and went.
    let one = |intent| Item { key: key("x"), intent }.into();
    let target = Field::Target(Target::given("https://z.example/x", &[]).unwrap());
    let elsewhere = || {
        let update = Intent::Update { fields: vec![target.clone()], etag: None };
        vec![one(Intent::Undelete { etag: None }), one(update), delete("x")]
    };
    store.set(Mood { between: elsewhere(), ..Mood::default() });
    let (status, told) = call(&world, "POST /v1/links/x:undelete", json!({})).await;
    assert_eq!((status, &told["reason"]), (412, &json!("ETAG_MISMATCH")), "{told}");
    assert_eq!(call(&world, "GET /v1/links/x", Value::Null).await.1["target"], "https://z.example/x");

    // An etag that names the version that is there by then has not been looked at either.
    store.set(Mood { between: elsewhere(), ..Mood::default() });
    let with = async |etag: &str| {
        world
            .raw(
                "POST /v1/links/x:undelete",
                &[("if-match", etag), ("content-type", "application/json")],
                Vec::new(),
            )
            .await
    };
    let told = with("\"8\"").await;
    assert_eq!((told.status.as_u16(), &told.body["reason"]), (412, &json!("ETAG_MISMATCH")), "{told:?}");

    // One that is made and deleted for the first time meanwhile, too.
    let late = || {
        let parts = super::contract::draft("https://z.example/y");
        vec![Item { key: key("y"), intent: Intent::Create(parts) }.into(), delete("y")]
    };
    store.set(Mood { between: late(), ..Mood::default() });
    let (status, told) = call(&world, "POST /v1/links/y:undelete", json!({})).await;
    assert_eq!((status, &told["reason"]), (412, &json!("ETAG_MISMATCH")), "{told}");

    // Left alone, it comes back by its etag or without one; once it is there, it is there.
    let etag = call(&world, "GET /v1/links/x", Value::Null).await.1["etag"].clone();
    assert_eq!(with(etag.as_str().unwrap()).await.status, 200);
    assert_eq!(call(&world, "POST /v1/links/y:undelete", json!({})).await.0, 200);
    let (status, told) = call(&world, "POST /v1/links/y:undelete", json!({})).await;
    assert_eq!((status, &told["reason"]), (409, &json!("EXISTS")), "{told}");
    let (status, told) = call(&world, "POST /v1/links/none:undelete", json!({})).await;
    assert_eq!((status, &told["reason"]), (404, &json!("NOT_FOUND")), "{told}");
    world.stop().await;
}

/// Where visitors come in is ours by `--base-url` as well, over whatever scheme and port, and also what a domain answers
/// instead of a 404.
#[tokio::test]
async fn a_target_where_visitors_come_in_is_a_loop() {
    let folder = Folder::new();
    let config = control::Config {
        base_url: Some(control::BaseUrl::parse("https://go.b\u{fc}cher.example/s").unwrap()),
        own_hosts: Vec::new(),
        ..super::world::config(folder.db())
    };
    let store = std::sync::Arc::new(store::sqlite::Sqlite::open(&folder.db(), Default::default()).unwrap());
    let world = World::with(folder, store, config).await;
    for target in [
        "https://go.b\u{fc}cher.example/s/x",
        "https://go.xn--bcher-kva.example/s/x",
        "http://GO.xn--bcher-kva.example.:8080/x",
        "https://go.xn--bcher-kva.example",
    ] {
        let (status, told) = call(&world, "POST /v1/links", json!({"code": "x", "target": target})).await;
        assert_eq!((status, &told["field"]), (400, &json!("target")), "{target}: {told}");
        let lead = json!({"domain": "a.example", "not_found": target});
        let (status, told) = call(&world, "POST /v1/domains", lead).await;
        assert_eq!((status, &told["field"]), (400, &json!("not_found")), "{target}: {told}");
    }
    let elsewhere = json!({"code": "x", "target": "https://xn--bcher-kva.example/x"});
    assert_eq!(call(&world, "POST /v1/links", elsewhere).await.0, 201);
    world.stop().await;
}

/// A control is opened again where another process did not take its place: it is another one, beside the same edge.
#[tokio::test]
async fn every_control_of_a_process_knows_where_its_edge_listens() {
    let (mut folder, listeners) = (Folder::new(), control::OwnListeners::default());
    let mut told = Vec::new();
    for codes in [["a", "b"], ["c", "d"]] {
        let own_listeners = listeners.clone();
        let config = control::Config { own_listeners, ..super::world::config(folder.db()) };
        let store = store::sqlite::Sqlite::open(&folder.db(), Default::default()).unwrap();
        let world = World::with(folder, std::sync::Arc::new(store), config).await;
        for code in codes {
            let link = json!({"code": code, "target": "http://127.0.0.1:4711/x"});
            told.push(call(&world, "POST /v1/links", link).await.0);
            listeners.set(vec!["127.0.0.1:4711".parse().unwrap()]);
        }
        folder = world.stop().await;
    }
    assert_eq!(told, [201, 400, 400, 400], "the edge listens from the first link on");
}
