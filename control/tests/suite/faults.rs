//! Every row of the table of faults, provoked over gRPC and over REST, must look as the table says on both.

use super::world::{Folder, Mood, MoodyStore, World, create, name, to};
use control::Fault;
use proto::v1;
use serde_json::{Value, json};
use std::sync::Arc;
use store::model::StoreFault;
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// Code, reason and field.
type OverGrpc = (Code, String, Option<String>);
/// Status, reason and field.
type OverRest = (u16, String, Option<String>);

struct Bench {
    world: World,
    store: Arc<MoodyStore>,
}

impl Bench {
    async fn new() -> Self {
        let folder = Folder::new();
        let store = MoodyStore::new(&folder);
        Self { world: World::on(folder, store.clone()).await, store }
    }

    fn fails(&self, fault: StoreFault) {
        self.store.set(Mood { fault: Some(fault), ..Mood::default() });
    }

    /// Over REST: its status, reason and field.
    async fn rest(&self, call: &str, headers: &[(&str, &str)], body: Value) -> OverRest {
        let mut all = vec![("content-type", "application/json")];
        all.extend_from_slice(headers);
        let body = if body.is_null() { Vec::new() } else { body.to_string().into() };
        rendered(&self.world.raw(call, &all, body).await)
    }
}

fn rendered(reply: &super::world::Reply) -> OverRest {
    assert_eq!(reply.headers["content-type"], "application/problem+json");
    assert_eq!(reply.body["status"], reply.status.as_u16());
    assert!(reply.body["title"].is_string() && reply.body["detail"].is_string(), "{:?}", reply.body);
    let text = |name: &str| reply.body[name].as_str().map(str::to_owned);
    (reply.status.as_u16(), text("reason").unwrap(), text("field"))
}

/// Over gRPC: its code, reason and field.
fn shown(status: &Status) -> OverGrpc {
    let details = status.get_error_details();
    let reason = details.error_info().map(|info| info.reason.clone()).unwrap_or_default();
    let field = details.bad_request().map(|bad| bad.field_violations[0].field.clone());
    (status.code(), reason, field)
}

fn want(fault: &Fault) -> (OverGrpc, OverRest) {
    let (names, field) = (fault.names(), fault.field().map(str::to_owned));
    ((names.grpc, names.reason.into(), field.clone()), (names.http.as_u16(), names.reason.into(), field))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_row_of_the_table() {
    for fault in [
        Fault::invalid("target", "x"),
        Fault::NotFound(String::new()),
        Fault::DomainNotFound(String::new()),
        Fault::DomainInUse { name: String::new(), live: 1, until: None },
        Fault::TagNotFound { tag: String::new(), domain: String::new() },
        Fault::TagExists { tag: String::new(), domain: String::new() },
        Fault::KeyNotFound(String::new()),
        Fault::EdgeNotFound(String::new()),
        Fault::Exists(String::new()),
        Fault::CodeDeleted { name: String::new(), until: 0 },
        Fault::ExternalIdTaken { id: String::new(), name: String::new() },
        Fault::EdgeUnreachable { edge: String::new(), why: "" },
        Fault::EdgeTooOld { edge: String::new(), lacks: String::new() },
        Fault::TargetBlocked { field: "target", host: String::new() },
        Fault::TargetNotBlocked(String::new()),
        Fault::EtagMismatch,
        Fault::IdempotencyMismatch,
        Fault::NotFound(String::new()).in_batch(1, ""),
        Fault::TooLarge(""),
        Fault::Beyond { field: "target".into(), why: String::new() },
        Fault::Overloaded,
        Fault::Resync(String::new()),
        Fault::Store(StoreFault::Unavailable(String::new())),
        Fault::Store(StoreFault::Full),
        Fault::Store(StoreFault::Corrupt(String::new())),
        Fault::NoRoute,
        Fault::NoMethod,
        Fault::NotJson,
        Fault::Encoded,
    ] {
        check(&fault).await;
    }
}

async fn check(fault: &Fault) {
    let bench = Bench::new().await;
    let (grpc, rest) = want(fault);
    let good = json!({"code": "a", "target": "https://a.example/"});
    let mut links = bench.world.links().await;
    for code in ["taken", "deleted"] {
        links.create_link(create(code, "https://a.example/")).await.unwrap();
    }
    let gone = v1::DeleteLinkRequest { name: name("deleted"), ..v1::DeleteLinkRequest::default() };
    links.delete_link(gone).await.unwrap();
    // No arm for "everything else": a new fault must be provoked here before this compiles.
    let (over_grpc, over_rest) = match fault {
        Fault::Invalid { .. } => (
            links.create_link(create("a", "javascript:alert(1)")).await.unwrap_err(),
            bench.rest("POST /v1/links", &[], json!({"target": "javascript:alert(1)"})).await,
        ),
        Fault::NotFound(_) => (
            links.get_link(v1::GetLinkRequest { name: name("none") }).await.unwrap_err(),
            bench.rest("GET /v1/links/none", &[], Value::Null).await,
        ),
        Fault::DomainNotFound(_) => {
            let name = "domains/other.example/links/a".to_owned();
            (
                links.get_link(v1::GetLinkRequest { name }).await.unwrap_err(),
                bench.rest("GET /v1/domains/other.example/links/a", &[], Value::Null).await,
            )
        }
        Fault::DomainInUse { .. } => {
            let mut domains = v1::domains_client::DomainsClient::new(bench.world.channel().await);
            let request = v1::CreateDomainRequest { domain_id: "b.example".into(), ..Default::default() };
            domains.create_domain(request).await.unwrap();
            let link = v1::CreateLinkRequest {
                parent: "domains/b.example".into(),
                ..create("x", "https://a.example.org/")
            };
            links.create_link(link).await.unwrap();
            let request = v1::DeleteDomainRequest { name: "domains/b.example".into(), ..Default::default() };
            (
                domains.delete_domain(request).await.unwrap_err(),
                bench.rest("DELETE /v1/domains/b.example", &[], Value::Null).await,
            )
        }
        Fault::TagNotFound { .. } | Fault::TagExists { .. } => {
            let tag = if matches!(fault, Fault::TagNotFound { .. }) { "none" } else { "x" };
            let tags = vec!["x".to_owned(), "y".to_owned()];
            let link = Some(v1::Link { tags, ..to("https://a.example/") });
            links.create_link(v1::CreateLinkRequest { link, ..create("tagged", "") }).await.unwrap();
            let (tag, new_tag) = (tag.to_owned(), "y".to_owned());
            let body = json!({ "tag": tag, "new_tag": new_tag });
            let request = v1::RenameTagRequest { tag, new_tag, ..Default::default() };
            (
                links.rename_tag(request).await.unwrap_err(),
                bench.rest("POST /v1/tags:rename", &[], body).await,
            )
        }
        Fault::Forbidden(_) | Fault::Unauthenticated(_) | Fault::RateLimited(_) => {
            unreachable!("no key is asked for in this world: see keys.rs")
        }
        Fault::Unavailable(_) => {
            unreachable!("keys are read as they should be: see keys.rs, without_the_store_…")
        }
        Fault::Share { .. } | Fault::Full { .. } => unreachable!("it takes many calls: see credentials.rs"),
        Fault::Late | Fault::Internal => unreachable!("no call here is made for that: see stack.rs"),
        Fault::KeyNotFound(_) => {
            let request = v1::RevokeKeyRequest { name: "keys/none".into() };
            let mut keys = v1::keys_client::KeysClient::new(bench.world.channel().await);
            (
                keys.revoke_key(request).await.unwrap_err(),
                bench.rest("DELETE /v1/keys/none", &[], Value::Null).await,
            )
        }
        Fault::EdgeNotFound(_) => {
            let request = v1::ForgetEdgeRequest { edge: "none".into() };
            let mut edges = v1::edges_client::EdgesClient::new(bench.world.channel().await);
            (
                edges.forget_edge(request).await.unwrap_err(),
                bench.rest("DELETE /v1/edges/none", &[], Value::Null).await,
            )
        }
        Fault::EdgeUnreachable { .. } => {
            let mut edge = super::features::knowing("dumb", record::Features::KNOWN.0);
            let _stream = super::features::follows(&bench.world, &mut edge).await;
            let request = v1::ExplainLinkRequest { name: name("a"), edge: "dumb".into() };
            let mut edges = v1::edges_client::EdgesClient::new(bench.world.channel().await);
            (
                edges.explain_link(request).await.unwrap_err(),
                bench.rest("GET /v1/links/a:explain?edge=dumb", &[], Value::Null).await,
            )
        }
        Fault::EdgeTooOld { .. } => {
            let mut edge = super::features::knowing("old", 0);
            let _stream = super::features::follows(&bench.world, &mut edge).await;
            let mut request = create("a", "https://a.example/");
            request.link.get_or_insert_default().expired_target = "https://late.example/".into();
            let late = json!({"expired_target": "https://late.example/"});
            (
                links.create_link(request).await.unwrap_err(),
                bench.rest("PATCH /v1/links/taken", &[], late).await,
            )
        }
        Fault::EdgeConnected(_) | Fault::EdgeFresh(_) => {
            unreachable!("no edge is here: see edges.rs")
        }
        Fault::TargetBlocked { .. } => {
            let mut targets = v1::targets_client::TargetsClient::new(bench.world.channel().await);
            let block = v1::BlockTargetRequest { host: "evil.example".into(), ..Default::default() };
            targets.block_target(block).await.unwrap();
            let body = json!({"code": "b", "target": "https://evil.example/"});
            (
                links.create_link(create("b", "https://evil.example/")).await.unwrap_err(),
                bench.rest("POST /v1/links", &[], body).await,
            )
        }
        Fault::TargetNotBlocked(_) => {
            let mut targets = v1::targets_client::TargetsClient::new(bench.world.channel().await);
            let request = v1::UnblockTargetRequest { host: "evil.example".into() };
            (
                targets.unblock_target(request).await.unwrap_err(),
                bench.rest("DELETE /v1/blocks/evil.example", &[], Value::Null).await,
            )
        }
        Fault::Exists(_) => (
            links.create_link(create("taken", "https://b.example/")).await.unwrap_err(),
            bench.rest("POST /v1/links", &[], json!({"code": "taken", "target": "https://b.example/"})).await,
        ),
        Fault::ExternalIdTaken { .. } => {
            let named = v1::Link { external_id: "x".into(), ..to("https://a.example/") };
            let create = |code| v1::CreateLinkRequest { link: Some(named.clone()), ..create(code, "") };
            links.create_link(create("named")).await.unwrap();
            let body = json!({"code": "a", "target": "https://a.example/", "external_id": "x"});
            (links.create_link(create("a")).await.unwrap_err(), bench.rest("POST /v1/links", &[], body).await)
        }
        Fault::CodeDeleted { .. } => (
            links.create_link(create("deleted", "https://b.example/")).await.unwrap_err(),
            bench
                .rest("POST /v1/links", &[], json!({"code": "deleted", "target": "https://b.example/"}))
                .await,
        ),
        Fault::EtagMismatch => {
            let request =
                v1::DeleteLinkRequest { name: name("taken"), etag: "\"9\"".into(), ..Default::default() };
            (
                links.delete_link(request).await.unwrap_err(),
                bench.rest("DELETE /v1/links/taken", &[("if-match", "\"9\"")], Value::Null).await,
            )
        }
        Fault::IdempotencyMismatch => {
            let request = |code| v1::CreateLinkRequest {
                request_id: "one".into(),
                ..create(code, "https://b.example/")
            };
            links.create_link(request("b")).await.unwrap();
            let other = links.create_link(request("c")).await.unwrap_err();
            (other, bench.rest("POST /v1/links", &[("idempotency-key", "one")], good).await)
        }
        Fault::InBatch { .. } => {
            let one = |code| v1::DeleteLinkRequest { name: name(code), ..Default::default() };
            let requests = vec![one("taken"), one("none")];
            let request = v1::BatchDeleteLinksRequest { requests, ..Default::default() };
            let body = json!({"requests": [{"code": "taken"}, {"code": "none"}]});
            (
                links.batch_delete_links(request).await.unwrap_err(),
                bench.rest("POST /v1/links:batchDelete", &[], body).await,
            )
        }
        Fault::TooLarge(_) => {
            let (mut request, tags) = (create("a", "https://a.example/"), vec!["x".repeat(60_000); 20]);
            request.link.as_mut().unwrap().tags = tags.clone();
            (
                links.create_link(request).await.unwrap_err(),
                bench.rest("POST /v1/links", &[], json!({"tags": tags})).await,
            )
        }
        Fault::Beyond { .. } => {
            let target = "x".repeat(100_000);
            (
                links.create_link(create("a", &target)).await.unwrap_err(),
                bench.rest("POST /v1/links", &[], json!({"target": target})).await,
            )
        }
        Fault::Overloaded => overloaded(&bench).await,
        Fault::Resync(_) => {
            let revision = "1-00000000-1".to_owned(); // this store's history drew another number
            (
                links
                    .watch_links(v1::WatchLinksRequest { revision, ..Default::default() })
                    .await
                    .unwrap_err(),
                bench.rest("GET /v1/links:watch?revision=1-00000000-1", &[], Value::Null).await,
            )
        }
        Fault::Store(store) => {
            bench.fails(store.clone());
            let read = links.get_link(v1::GetLinkRequest { name: name("taken") }).await.unwrap_err();
            assert_eq!(shown(&read), grpc);
            (
                links.create_link(create("a", "https://a.example/")).await.unwrap_err(),
                bench.rest("POST /v1/links", &[], good).await,
            )
        }
        Fault::NoRoute | Fault::NoMethod | Fault::NotJson | Fault::Encoded => {
            let reply = match fault {
                Fault::NoRoute => bench.rest("GET /v2/links", &[], Value::Null).await,
                Fault::NoMethod => bench.rest("PUT /v1/links/a", &[], Value::Null).await,
                _ => {
                    let json = [("content-type", "application/json"), ("content-encoding", "gzip")];
                    let headers = if *fault == Fault::Encoded { &json[..] } else { &[] };
                    rendered(&bench.world.raw("POST /v1/links", headers, b"{}".to_vec()).await)
                }
            };
            assert_eq!(reply, rest, "{fault:?}");
            bench.world.stop().await;
            return; // gRPC has no such thing
        }
    };
    assert_eq!(shown(&over_grpc), grpc, "{fault:?} over gRPC");
    assert_eq!(over_rest, rest, "{fault:?} over REST");
    bench.world.stop().await;
}

/// The writer is held in a commit, and more writes come than may wait.
async fn overloaded(bench: &Bench) -> (Status, OverRest) {
    bench.store.set(Mood { writes_wait: true, ..Mood::default() });
    let (first, mut failed) = tokio::sync::mpsc::channel(4_096);
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let links = bench.world.links().await;
        for _ in 0..120 {
            let (mut links, first) = (links.clone(), first.clone());
            calls.spawn(async move {
                if let Err(status) = links.create_link(create("", "https://a.example/")).await {
                    first.send(status).await.unwrap();
                }
            });
        }
    }
    let status = failed.recv().await.unwrap();
    let over_rest = bench.rest("POST /v1/links", &[], json!({"target": "https://a.example/"})).await;
    bench.store.set(Mood::default());
    while let Some(call) = calls.join_next().await {
        call.unwrap();
    }
    (status, over_rest)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_died_refuses_writes_at_once_and_reads_go_on() {
    let bench = Bench::new().await;
    let mut links = bench.world.links().await;
    links.create_link(create("before", "https://a.example/")).await.unwrap();
    bench.store.set(Mood { panics: true, ..Mood::default() });
    let first = links.create_link(create("a", "https://a.example/")).await.unwrap_err();
    bench.store.set(Mood::default());
    let second = links.create_link(create("b", "https://a.example/")).await.unwrap_err();
    for status in [first, second] {
        assert_eq!(status.code(), Code::Unavailable);
        assert!(status.message().contains("restart control"), "{}", status.message());
    }
    links.get_link(v1::GetLinkRequest { name: name("before") }).await.unwrap();
    bench.world.stop().await;
}
