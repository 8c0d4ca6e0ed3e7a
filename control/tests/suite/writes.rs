//! Many writers at once: one order, no holes, and an acknowledgement only for what is in it.

use super::world::{World, create};
use link::Position;
use proto::v1;

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_dense_and_in_the_order_of_commits() {
    const WRITERS: u64 = 16;
    const EACH: u64 = 50;
    let world = World::new().await;
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let mut links = world.links().await;
        tasks.spawn(async move {
            let mut last = 0;
            for n in 0..EACH {
                let made = links.create_link(create(&format!("w{writer}/{n}"), "https://a.example/")).await;
                let (_, seq) = Position::parse_revision(&made.unwrap().into_inner().revision).unwrap();
                assert!(seq > last, "a later write of one writer comes later in the log");
                last = seq;
            }
        });
    }
    // An import at the same time: its chunks are whole in the log.
    let mut links = world.links().await;
    let rows = |n: usize| {
        (0..1_000).map(move |i| v1::Link {
            code: format!("i{n}/{i}"),
            target: "https://b.example/".into(),
            ..Default::default()
        })
    };
    let chunks = (0..3).map(|n| v1::ImportLinksRequest { links: rows(n).collect(), ..Default::default() });
    let mut import =
        links.import_links(tokio_stream::iter(chunks.collect::<Vec<_>>())).await.unwrap().into_inner();
    while import.message().await.unwrap().is_some() {}
    while let Some(task) = tasks.join_next().await {
        task.unwrap();
    }
    let db = rusqlite::Connection::open(world.folder.db()).unwrap();
    let (count, least, most, commits): (u64, u64, u64, u64) = db
        .query_row("SELECT count(*), min(seq), max(seq), count(DISTINCT tag) FROM change_log", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })
        .unwrap();
    let all = WRITERS * EACH + 3_000;
    assert_eq!((count, least, most), (all, 1, all));
    assert!(commits < all, "writes that wait together are committed together");
    let chunks: Vec<u64> = db
        .prepare("SELECT count(*) FROM change_log WHERE substr(key, 5, 1) = CAST('i' AS BLOB) GROUP BY tag")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(chunks, [1_000; 3]);
    let stray: u64 = db
        .query_row("SELECT count(*) FROM links JOIN change_log ON seq = version WHERE links.record != change_log.record OR links.key != change_log.key", [], |row| row.get(0))
        .unwrap();
    assert_eq!(stray, 0);
    drop(db);
    world.stop().await;
}
