//! Imports and exports: a result for each row, nothing written for what is there already.

use super::world::{World, create, name, to};
use prost_types::Timestamp;
use proto::v1::{self, ImportOutcome};
use std::time::Instant;

fn row(code: &str, target: &str) -> v1::Link {
    v1::Link { code: code.into(), ..to(target) }
}

async fn import(world: &World, update: bool, chunks: Vec<Vec<v1::Link>>) -> Vec<v1::ImportResult> {
    let messages =
        chunks.into_iter().map(move |links| v1::ImportLinksRequest { update, links, ..Default::default() });
    let mut links = world.links().await;
    let answer = links.import_links(tokio_stream::iter(messages.collect::<Vec<_>>())).await.unwrap();
    let (mut answer, mut results) = (answer.into_inner(), Vec::new());
    while let Some(part) = answer.message().await.unwrap() {
        results.extend(part.results);
    }
    results
}

fn short(results: &[v1::ImportResult]) -> Vec<(ImportOutcome, &str, &str)> {
    results.iter().map(|r| (r.outcome(), r.reason.as_str(), r.field.as_str())).collect()
}

#[tokio::test]
async fn every_row_has_a_result_in_order() {
    use ImportOutcome::{Created, Rejected, Skipped, Updated};
    let world = World::new().await;
    let mut links = world.links().await;
    links.create_link(create("gone", "https://a.example/")).await.unwrap();
    let gone = v1::DeleteLinkRequest { name: name("gone"), ..Default::default() };
    links.delete_link(gone).await.unwrap();
    let rows = || {
        vec![
            row("a", "https://a.example/"),
            row("a", "https://a.example/"),
            row("a", "https://b.example/"),
            row("b", "nonsense"),
            row("", "https://a.example/"),
            row("gone", "https://a.example/"),
            v1::Link {
                create_time: Some(Timestamp { seconds: 1, nanos: 0 }),
                ..row("old", "https://a.example/")
            },
        ]
    };
    let results = import(&world, false, vec![rows()]).await;
    let want = [
        (Created, "", ""),
        (Skipped, "", ""),
        (Rejected, "EXISTS", ""),
        (Rejected, "INVALID", "target"),
        (Rejected, "INVALID", "code"),
        (Rejected, "CODE_DELETED", ""),
        (Created, "", ""),
    ];
    assert_eq!(short(&results), want);
    let old = links.get_link(v1::GetLinkRequest { name: name("old") }).await.unwrap().into_inner();
    assert_eq!(old.create_time, Some(Timestamp { seconds: 1, nanos: 0 }));
    assert_ne!(old.update_time, old.create_time);
    let results = import(&world, true, vec![vec![row("a", "https://b.example/")], Vec::new()]).await;
    assert_eq!(short(&results), [(Updated, "", "")]);
    world.stop().await;
}

/// As many as the redirect map that linkr is tried with.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_file_again_leaves_the_log_alone() {
    let world = World::new().await;
    let rows: Vec<v1::Link> = (0..20_863)
        .map(|n| row(&format!("media/{n}"), &format!("https://www.example.com/page/{n}?id={n}")))
        .collect();
    let chunks = || rows.chunks(5_000).map(<[_]>::to_vec).collect::<Vec<_>>();
    let began = Instant::now();
    let results = import(&world, false, chunks()).await;
    println!("imported {} rows in {:?}", results.len(), began.elapsed());
    assert!(results.iter().all(|result| result.outcome() == ImportOutcome::Created));
    assert_eq!((results.len(), world.head().await), (20_863, 20_863));
    let began = Instant::now();
    let results = import(&world, false, chunks()).await;
    println!("skipped {} rows in {:?}", results.len(), began.elapsed());
    assert!(results.iter().all(|result| result.outcome() == ImportOutcome::Skipped));
    assert_eq!((results.len(), world.head().await), (20_863, 20_863));

    let mut links = world.links().await;
    let mut export = links.export_links(v1::ExportLinksRequest::default()).await.unwrap().into_inner();
    let mut codes = Vec::new();
    while let Some(part) = export.message().await.unwrap() {
        codes.extend(part.links.into_iter().map(|link| link.code));
    }
    let mut want: Vec<String> = rows.into_iter().map(|row| row.code).collect();
    want.sort();
    assert_eq!(codes, want);
    world.stop().await;
}

#[tokio::test]
async fn a_chunk_above_the_limit_ends_the_import() {
    let world = World::new().await;
    let rows = vec![row("a", "https://a.example/"); 5_001];
    let message = v1::ImportLinksRequest { links: rows, ..Default::default() };
    let mut answer =
        world.links().await.import_links(tokio_stream::iter([message])).await.unwrap().into_inner();
    assert_eq!(answer.message().await.unwrap_err().code(), tonic::Code::OutOfRange);
    assert_eq!(world.head().await, 0);
    world.stop().await;
}

/// Whoever sends and never reads the results is not read any further: nothing grows here.
#[tokio::test(flavor = "multi_thread")]
async fn an_import_whose_results_nobody_reads_is_not_read_on() {
    const CHUNKS: usize = 400;
    let world = World::new().await;
    // Each row has a result of some hundred bytes: 5,000 of them fill what a connection holds back in a few chunks.
    let rows: Vec<v1::Link> =
        (0..5_000).map(|n| row(&format!("not a code {n}"), "https://a.example/")).collect();
    let (send, messages) = tokio::sync::mpsc::channel(1);
    let sent = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let sender = tokio::spawn({
        let sent = sent.clone();
        async move {
            for _ in 0..CHUNKS {
                let message = v1::ImportLinksRequest { links: rows.clone(), ..Default::default() };
                send.send(message).await.unwrap();
                sent.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
        }
    });
    let messages = tokio_stream::wrappers::ReceiverStream::new(messages);
    let mut answers = world.links().await.import_links(messages).await.unwrap().into_inner();
    let now = || sent.load(std::sync::atomic::Ordering::Relaxed);
    // It stands still once nothing more was taken for two seconds.
    let (mut last, mut since) = (now(), Instant::now());
    while since.elapsed() < std::time::Duration::from_secs(2) {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        if now() != last {
            (last, since) = (now(), Instant::now());
        }
    }
    println!("{last} chunks were taken");
    assert!(last < CHUNKS / 4, "{last} chunks of {CHUNKS} were taken");
    // And everything comes once it is read.
    let mut results = 0;
    while let Some(answer) = answers.message().await.unwrap() {
        results += answer.results.len();
    }
    sender.await.unwrap();
    assert_eq!(results, CHUNKS * 5_000);
    world.stop().await;
}
