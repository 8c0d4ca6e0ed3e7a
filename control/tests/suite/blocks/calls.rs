//! Blocks through the API, by real controls.

use super::*;

/// Polls until the condition holds.
async fn until<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "waited 30 s for: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn blocks(world: &World) -> Vec<Value> {
    let reply = world.rest("GET /v1/blocks", Value::Null).await;
    reply.body["blocks"].as_array().unwrap_or_else(|| panic!("{}", reply.body)).clone()
}

async fn is_swept(world: &World) {
    until("the sweep to end", async || {
        let blocks = blocks(world).await;
        blocks.iter().all(|block| block["state"] == "done").then_some(())
    })
    .await;
}

async fn link(world: &World, code: &str) -> Value {
    world.rest(&format!("GET /v1/links/{code}"), Value::Null).await.body
}

async fn a_host_is_blocked_and_unblocked(world: &World) {
    let mut links = world.links().await;
    for n in 0..1_200 {
        let target = if n % 2 == 0 { "https://evil.example/" } else { "https://good.example/" };
        links.create_link(create(&format!("c{n}"), target)).await.unwrap();
    }
    let only = world.rest("POST /v1/blocks?validate_only=true", json!({ "host": "EVIL.example:80" })).await;
    assert_eq!((only.status, &only.body["matched"]), (StatusCode::OK, &json!(600)), "{}", only.body);
    assert!(blocks(world).await.is_empty(), "it was only checked");
    let body = json!({ "host": "evil.example", "note": "phishing" });
    let made = world.rest("POST /v1/blocks", body).await;
    assert_eq!((made.status, &made.body["matched"]), (StatusCode::OK, &json!(600)), "{}", made.body);
    let refused = world.rest("POST /v1/links", json!({ "target": "https://a.evil.example/" })).await;
    let said = (refused.status.as_u16(), &refused.body["reason"], &refused.body["field"]);
    assert_eq!(said, (409, &json!("TARGET_BLOCKED"), &json!("target")));
    assert!(refused.body["detail"].as_str().unwrap().contains("linkr target unblock evil.example"));
    let only_check = "POST /v1/links?validate_only=true";
    let refused = world.rest(only_check, json!({ "target": "https://a.evil.example/" })).await;
    assert_eq!(refused.body["reason"], "TARGET_BLOCKED");
    is_swept(world).await;
    let listed = &blocks(world).await[0];
    assert_eq!(
        (&listed["host"], &listed["note"], &listed["disabled"]),
        (&json!("evil.example"), &json!("phishing"), &json!(600))
    );
    let (bad, good) = (link(world, "c0").await, link(world, "c1").await);
    assert_eq!((&bad["disabled"], &bad["blocked_by"]), (&json!(true), &json!("evil.example")));
    assert_eq!((&good["disabled"], &good["blocked_by"]), (&json!(false), &Value::Null));
    let history = world.rest("GET /v1/links/c0:history", Value::Null).await.body;
    assert_eq!(history["versions"][0]["method"], "BlockTarget");
    let gone = world.rest("DELETE /v1/blocks/evil.example", Value::Null).await;
    assert_eq!((gone.status, &gone.body["state"]), (StatusCode::OK, &json!("lifting")), "{}", gone.body);
    until("the undo to end", async || blocks(world).await.is_empty().then_some(())).await;
    for n in (0..1_200).step_by(100) {
        assert_eq!(link(world, &format!("c{n}")).await["disabled"], false);
    }
    let count = world.rest("GET /v1/links:count?filter=disabled%20%3D%20true", Value::Null).await;
    assert_eq!(count.body["count"], 0);
    let audit = world.rest("GET /v1/audit?name=blocks%2Fevil.example", Value::Null).await.body;
    let entries = audit["entries"].as_array().unwrap();
    assert_eq!((entries.len(), &entries[1]["block"]["note"]), (2, &json!("phishing")), "{audit}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_is_blocked_and_unblocked_on_sqlite() {
    let world = World::new().await;
    a_host_is_blocked_and_unblocked(&world).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_is_blocked_and_unblocked_on_postgres() {
    let Some(db) = Database::new() else { return };
    let world = World::on(Folder::new(), db.opened(false).await).await;
    a_host_is_blocked_and_unblocked(&world).await;
    world.stop().await;
}

/// What a control left that died in the middle of a sweep: the block, and some of its links.
fn begun(store: &dyn Repository) {
    let many: Vec<_> = (0..1_500).map(|n| make(&format!("c{n:04}"), "https://evil.example/")).collect();
    rows(store, &many);
    block(store, "evil.example");
    let some: Vec<String> = (0..700).map(|n| format!("c{n:04}")).collect();
    sweep(store, "evil.example", &some.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(kept(store, "evil.example"), 700);
}

async fn goes_on(store: Arc<dyn Repository>) {
    let own = store.clone();
    tokio::task::spawn_blocking(move || begun(&*own)).await.unwrap();
    let world = World::on(Folder::new(), store.clone()).await;
    is_swept(&world).await;
    assert_eq!(blocks(&world).await[0]["disabled"], 1_500);
    let own = store.clone();
    let undone = tokio::task::spawn_blocking(move || {
        let lifting = unblock(&*own, "evil.example");
        lift(&*own, "evil.example", &["c0000", "c0001"]);
        assert!(matches!(swept(&*own, &lifting), BlockVerdict::Same(_)));
    });
    undone.await.unwrap();
    // It stands still from one look to the next, as where the control that lifted it has died.
    until("the undo to end", async || blocks(&world).await.is_empty().then_some(())).await;
    let count = world.rest("GET /v1/links:count?filter=disabled%20%3D%20true", Value::Null).await;
    assert_eq!(count.body["count"], 0);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_that_was_cut_is_ended_by_the_next_start_on_sqlite() {
    let folder = Folder::new();
    goes_on(MoodyStore::new(&folder)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_that_was_cut_is_ended_by_the_next_start_on_postgres() {
    let Some(db) = Database::new() else { return };
    goes_on(db.opened(false).await).await;
}

/// Whatever a write and a block at two controls meet in: the link is refused, or the sweep finds it.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_at_one_control_and_a_block_at_another_do_not_miss_each_other() {
    let Some(db) = Database::new() else { return };
    let a = World::on(Folder::new(), db.opened(false).await).await;
    let b = World::another(db.opened(false).await).await;
    let blocked = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = clients(&a, 4).await;
    let writers: Vec<_> = writers
        .into_iter()
        .enumerate()
        .map(|(w, mut links)| {
            let blocked = blocked.clone();
            tokio::spawn(async move {
                let (mut made, mut refused) = (0, 0);
                // Each goes on until it has been refused a few times behind the block.
                while refused < 20 {
                    let code = format!("w{w}-{made}-{refused}");
                    match links.create_link(create(&code, "https://www.evil.example/")).await {
                        Ok(_) => {
                            assert_eq!(refused, 0, "nothing is made behind the first refusal");
                            made += 1;
                        }
                        Err(_) => refused += 1,
                    }
                    if made == 50 {
                        blocked.store(true, Ordering::Relaxed);
                    }
                }
                made
            })
        })
        .collect();
    until("writes to be under way", async || blocked.load(Ordering::Relaxed).then_some(())).await;
    assert_eq!(b.rest("POST /v1/blocks", json!({ "host": "evil.example" })).await.status, StatusCode::OK);
    let mut made = 0;
    for writer in writers {
        made += writer.await.unwrap();
    }
    is_swept(&b).await;
    assert_eq!(blocks(&b).await[0]["disabled"], made);
    let enabled = a.rest("GET /v1/links:count?filter=disabled%20%3D%20false", Value::Null).await;
    assert_eq!(enabled.body["count"], 0);
    b.stop().await;
    a.stop().await;
}

async fn clients(
    world: &World,
    count: usize,
) -> Vec<v1::links_client::LinksClient<tonic::transport::Channel>> {
    let mut clients = Vec::new();
    for _ in 0..count {
        clients.push(world.links().await);
    }
    clients
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_for_some_domains_blocks_nothing_and_is_told_what_is_blocked_for_it() {
    let folder = Folder::new();
    let store = MoodyStore::new(&folder);
    let admin = put(&*store, Scopes::admin(), |_| ());
    let bound = put(&*store, Scopes::admin(), |row| row.domains = vec!["-".into()]);
    let world = locked(folder, store).await;
    let evil = || json!({ "host": "evil.example" });
    for (call, body) in [
        ("POST /v1/blocks", evil()),
        ("GET /v1/blocks", Value::Null),
        ("DELETE /v1/blocks/evil.example", Value::Null),
        ("GET /v1/audit?name=blocks%2Fevil.example", Value::Null),
    ] {
        let reply = rest(&world, call, Some(&bound), body).await;
        assert_eq!((reply.status.as_u16(), &reply.body["reason"]), (403, &json!("FORBIDDEN")), "{call}");
    }
    assert_eq!(rest(&world, "POST /v1/blocks", Some(&admin), evil()).await.status, StatusCode::OK);
    let audit = rest(&world, "GET /v1/audit", Some(&bound), Value::Null).await.body;
    assert!(!audit.to_string().contains("evil.example"), "{audit}");
    let made = json!({ "code": "x", "target": "https://evil.example/" });
    let refused = rest(&world, "POST /v1/links", Some(&bound), made).await;
    assert_eq!(refused.body["reason"], "TARGET_BLOCKED");
    for wrong in ["", "https://evil.example/", "*.evil.example", "a b"] {
        let reply = rest(&world, "POST /v1/blocks", Some(&admin), json!({ "host": wrong })).await;
        assert_eq!((reply.status.as_u16(), &reply.body["field"]), (400, &json!("host")), "{wrong:?}");
    }
    world.stop().await;
}

#[tokio::test]
async fn domains_that_lead_visitors_to_a_blocked_host_are_named_and_not_made() {
    let world = World::new().await;
    let domain = |host: &str, to: &str| json!({ "domain": host, "not_found": to });
    let made = world.rest("POST /v1/domains", domain("a.example", "https://www.evil.example/")).await;
    assert_eq!(made.status, StatusCode::CREATED);
    let block = world.rest("POST /v1/blocks", json!({ "host": "evil.example" })).await.body;
    assert_eq!(block["led_by"], json!(["not_found of domains/a.example"]));
    for call in ["POST /v1/domains?validate_only=true", "POST /v1/domains"] {
        let refused = world.rest(call, domain("b.example", "https://evil.example/")).await;
        let said = (refused.status.as_u16(), &refused.body["reason"], &refused.body["field"]);
        assert_eq!(said, (409, &json!("TARGET_BLOCKED"), &json!("not_found")), "{call}");
    }
    world.stop().await;
}
