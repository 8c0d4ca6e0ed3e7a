//! Watches: every change once and in order, whatever happens to the watcher; what cannot be told any more is refused.

use super::contract::create as item;
use super::postgres::Database;
use super::world::{Folder, World, create, name, to};
use proto::v1;
use std::sync::Arc;
use std::time::{Duration, Instant};
use store::port::Repository;
use store::sqlite::{Options, Sqlite};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tonic::{Code, Streaming};
use tonic_types::StatusExt;

/// A change as the model and the watcher tell it: its revision, its link, and where that leads or nothing.
type ChangeLine = (String, String, Option<String>);

fn told(change: v1::LinkChange) -> ChangeLine {
    assert_eq!(change.link.is_none(), change.deleted || change.purged);
    (change.revision, change.name, change.link.map(|link| link.target))
}

async fn watch(world: &World, revision: &str) -> Result<Streaming<v1::WatchLinksResponse>, tonic::Status> {
    let request = v1::WatchLinksRequest { revision: revision.into(), ..Default::default() };
    Ok(world.links().await.watch_links(request).await?.into_inner())
}

fn sqlite(folder: &Folder) -> Arc<dyn Repository> {
    Arc::new(Sqlite::open(&folder.db(), Options::default()).unwrap())
}

/// Numbers that are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_that_is_cut_again_and_again_sees_every_change_once() {
    let folder = Folder::new();
    every_change_once(sqlite(&folder)).await;
    if let Some(db) = Database::new() {
        every_change_once(db.opened(false).await).await;
    }
}

async fn every_change_once(store: Arc<dyn Repository>) {
    const WRITES: usize = 400;
    let world = World::another(store).await;
    let mut begin = watch(&world, "").await.unwrap();
    let mut revision = begin.message().await.unwrap().unwrap().revision;
    drop(begin);
    let mut links = world.links().await;
    let writer = tokio::spawn(async move {
        let (mut draw, mut model) = (Dice(7), Vec::<ChangeLine>::new());
        while model.len() < WRITES {
            let at = model.len();
            let (code, target) =
                (format!("c{}", draw.below(at as u64 + 1)), format!("https://example.com/{at}"));
            let done = match draw.below(4) {
                0 => {
                    let request = v1::DeleteLinkRequest { name: name(&code), ..Default::default() };
                    links.delete_link(request).await
                }
                1 => {
                    let link = v1::Link { name: name(&code), ..to(&target) };
                    let paths = vec!["target".into()];
                    let update_mask = Some(prost_types::FieldMask { paths });
                    let request =
                        v1::UpdateLinkRequest { link: Some(link), update_mask, ..Default::default() };
                    links.update_link(request).await
                }
                _ => links.create_link(create(&format!("c{at}"), &target)).await,
            };
            if let Ok(link) = done {
                let link = link.into_inner();
                let target = link.delete_time.is_none().then_some(link.target);
                model.push((link.revision, link.name, target));
            }
        }
        model
    });
    let (mut seen, mut draw, mut cuts) = (Vec::new(), Dice(9), 0);
    while seen.len() < WRITES {
        let mut messages = watch(&world, &revision).await.unwrap();
        let mut left = draw.below(30) as usize;
        'cut: loop {
            let message = messages.message().await.unwrap().unwrap();
            for change in message.changes {
                if left == 0 {
                    break 'cut; // in the middle of a message
                }
                revision = change.revision.clone();
                seen.push(told(change));
                left -= 1;
            }
            if left == 0 || seen.len() == WRITES {
                break;
            }
        }
        cuts += 1;
    }
    assert_eq!(seen, writer.await.unwrap());
    assert!(cuts > 10, "{cuts}");
    world.stop().await;
}

/// 60,000 changes are more than one part, and more than a connection holds for somebody who does not read.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_watcher_gets_everything_in_its_own_time() {
    let folder = Folder::new();
    let store = sqlite(&folder);
    let world = World::on(folder, store.clone()).await;
    let mut messages = watch(&world, "").await.unwrap();
    let mut other = watch(&world, "").await.unwrap();
    let first = messages.message().await.unwrap().unwrap();
    assert!(first.changes.is_empty());
    for part in 0..12 {
        let links = (0..5_000).map(|n| v1::Link {
            code: format!("{part}/{n}"),
            ..to(&format!("https://example.com/a/rather/long/path/of/a/page/{n}"))
        });
        let message = v1::ImportLinksRequest { links: links.collect(), ..Default::default() };
        let answer = world.links().await.import_links(tokio_stream::iter([message])).await.unwrap();
        assert!(answer.into_inner().message().await.unwrap().is_some());
    }
    let mut seen = 0;
    while seen < 60_000 {
        let message = messages.message().await.unwrap().unwrap();
        assert!(message.changes.len() <= 1_000);
        for change in message.changes {
            let (part, n) = (seen / 5_000, seen % 5_000);
            assert_eq!(change.name, name(&format!("{part}/{n}")));
            seen += 1;
        }
    }
    // One that never reads holds up the end for no longer than any call that is under way.
    let began = Instant::now();
    world.stop().await;
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    assert!(other.message().await.is_ok_and(|first| first.is_some()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_holds_over_a_restart_but_not_for_what_is_gone() {
    let refused = |status: tonic::Status| {
        let reason = status.get_error_details().error_info().map(|info| info.reason.clone());
        assert_eq!((status.code(), reason.as_deref()), (Code::FailedPrecondition, Some("RESYNC")));
    };
    let world = World::new().await;
    let mut links = world.links().await;
    let made = links.create_link(create("a", "https://a.example/")).await.unwrap().into_inner();
    links.create_link(create("b", "https://b.example/")).await.unwrap();
    let ahead = made.revision.replace("-1", "-9");
    refused(watch(&world, &ahead).await.unwrap_err());
    let wrong = watch(&world, "soon").await.unwrap_err();
    assert_eq!(wrong.code(), Code::InvalidArgument);
    let folder = world.stop().await;
    let world = World::at(folder).await; // a new history, which shares all of the old one
    let mut messages = watch(&world, &made.revision).await.unwrap();
    let message = messages.message().await.unwrap().unwrap();
    assert_eq!(message.changes[0].name, name("b"));
    assert!(message.revision.starts_with("2-"), "{}", message.revision);
    drop(messages);
    world.stop().await;

    // The log was cut behind it.
    let folder = Folder::new();
    let store = sqlite(&folder);
    for n in 0..3 {
        store.commit(&[item(&format!("c{n}"))], n).unwrap();
    }
    store.tidy(8 * 24 * 60 * 60 * 1000).unwrap();
    let epoch = store.head().unwrap().epoch;
    let world = World::on(folder, store).await;
    refused(watch(&world, &link::Position::revision(epoch, 1)).await.unwrap_err());
    let mut messages = watch(&world, &link::Position::revision(epoch, 2)).await.unwrap();
    assert_eq!(messages.message().await.unwrap().unwrap().changes.len(), 1);
    drop(messages);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn json_lines_over_rest() {
    let world = World::new().await;
    let stream = tokio::net::TcpStream::connect(world.running.api()).await.unwrap();
    let mut stream = BufReader::new(stream);
    stream.write_all(b"GET /v1/links:watch HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let mut line = String::new();
    let mut next = async |part: &str| {
        while !line.contains(part) {
            line.clear();
            assert!(stream.read_line(&mut line).await.unwrap() > 0, "it ended before {part}");
        }
        line.clone()
    };
    next("content-type: application/jsonl").await;
    next("\"changes\":[]").await;
    let mut links = world.links().await;
    let made = links.create_link(create("a", "https://a.example/")).await.unwrap().into_inner();
    let message: serde_json::Value = serde_json::from_str(&next("/links/a").await).unwrap();
    let change = &message["changes"][0];
    assert_eq!(
        (&change["revision"], &message["revision"]),
        (&made.revision.as_str().into(), &made.revision.as_str().into())
    );
    assert_eq!(change["link"]["target"], "https://a.example/");
    assert!(change["link"].get("title").is_none() && change["link"].get("create_time").is_none());
    world.stop().await;
    assert_eq!(stream.read_line(&mut String::new()).await.unwrap_or(0).min(2), 2, "the end of the chunks");
}

/// Found by reading: what a slow watcher was told of a domain that was deleted meanwhile had the default one's name.
#[tokio::test(flavor = "multi_thread")]
async fn a_watch_ends_with_its_domain() {
    super::domains::over_both(async |world| {
        let call = async |request: &str, body| super::domains::call(world, request, body).await.0;
        let none = || serde_json::Value::Null;
        assert_eq!(call("POST /v1/domains", serde_json::json!({"domain": "a.example"})).await, 201);
        let request = v1::WatchLinksRequest { parent: "domains/a.example".into(), ..Default::default() };
        let mut watched = world.links().await.watch_links(request).await.unwrap().into_inner();
        watched.message().await.unwrap().unwrap();
        let link = serde_json::json!({"code": "x", "target": "https://one.example/"});
        assert_eq!(call("POST /v1/domains/a.example/links", link).await, 201);
        assert_eq!(call("DELETE /v1/domains/a.example/links/x", none()).await, 200);
        assert_eq!(call("DELETE /v1/domains/a.example?purge_deleted=true", none()).await, 200);
        let mut names = Vec::new();
        let why = loop {
            match watched.message().await {
                Ok(message) => names.extend(message.unwrap().changes.into_iter().map(|change| change.name)),
                Err(why) => break why,
            }
        };
        assert_eq!(names, ["domains/a.example/links/x"; 3], "made, deleted, purged");
        assert_eq!(why.get_error_details().error_info().unwrap().reason, "DOMAIN_NOT_FOUND");
    })
    .await;
}
