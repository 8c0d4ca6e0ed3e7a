//! What a create costs over the SQL that it comes down to: 500 a second, each with its own time, an fsync for real.
//!
//! `cargo test --release -p control --test suite cost:: -- --ignored --nocapture --test-threads 1`

use super::postgres;
use super::world::{Folder, World, create};
use std::sync::Arc;
use std::time::Duration;
use store::port::Repository;
use store::postgres::{Options, Postgres};
use store::sqlite::{self, Sqlite};
use tokio::sync::Mutex;
use tokio::time::Instant;

const PER_SECOND: u32 = 500;
const SECONDS: u32 = 20;
/// Of these the first second warms up.
const WARM: usize = PER_SECOND as usize;
/// Bytes of a record and of a row in the audit, as of the link that is created.
const RECORD: usize = 64;

/// Runs `one` at the rate, whether those before have ended or not; times count from when it was due.
async fn at_rate<F: Future<Output = ()> + Send + 'static>(one: impl Fn(u32) -> F) -> Vec<Duration> {
    let (began, mut tasks) = (Instant::now(), tokio::task::JoinSet::new());
    for n in 0..PER_SECOND * SECONDS {
        let due = began + Duration::from_secs(1) * n / PER_SECOND;
        tokio::time::sleep_until(due).await;
        let one = one(n);
        tasks.spawn(async move {
            one.await;
            (n, due.elapsed())
        });
    }
    let mut took = tasks.join_all().await;
    took.sort_unstable();
    let mut took: Vec<_> = took.into_iter().skip(WARM).map(|(_, took)| took).collect();
    took.sort_unstable();
    took
}

fn told(what: &str, took: &[Duration]) -> Duration {
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
    println!(
        "{what:<24} p50 {:>9.1?}  p99 {:>9.1?}  p99.9 {:>9.1?}  most {:>9.1?}",
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0)
    );
    at(0.99)
}

async fn creates(world: &World) -> Vec<Duration> {
    let links = world.links().await;
    at_rate(|n| {
        let mut links = links.clone();
        let request = create(&format!("c{n}"), "https://www.example.com/some/page?id=1");
        async move { drop(links.create_link(request).await.unwrap()) }
    })
    .await
}

/// What is measured beside other tests says nothing.
pub fn is_left_out() -> bool {
    let left_out = std::env::var_os("LINKR_MEASURE").is_none();
    if left_out {
        println!("SKIPPED: it measures; LINKR_MEASURE=1 runs it");
    }
    left_out
}

fn compared(store: &str, bare: &[Duration], own: &[Duration]) {
    let (bare, own) = (told(&format!("{store}: bare SQL"), bare), told(&format!("{store}: CreateLink"), own));
    let ratio = own.as_secs_f64() / bare.as_secs_f64();
    println!("{store}: p99 is {ratio:.2} times that of the bare SQL");
    assert!(ratio <= 3.0, "{ratio}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures: LINKR_MEASURE=1, alone, in release"]
async fn on_sqlite() {
    if is_left_out() {
        return;
    }
    let folder = Folder::new();
    Sqlite::open(&folder.db(), sqlite::Options::default()).unwrap().close();
    let db = rusqlite::Connection::open(folder.db()).unwrap();
    db.pragma_update(None, "synchronous", "full").unwrap();
    let db = Arc::new(std::sync::Mutex::new(db));
    let bare = at_rate(|n| {
        let db = db.clone();
        let run = move || {
            let (db, key, record) = (db.lock().unwrap(), format!("c{n}").into_bytes(), [7u8; RECORD]);
            let write = db.unchecked_transaction().unwrap();
            for sql in [
                "INSERT INTO links (key, record, title, tags, note, create_time, update_time, version) VALUES (?1, ?2, '', '[]', '', 1, 1, ?3)",
                "INSERT INTO change_log (seq, tag, epoch_counter, epoch_random, kind, key, record, committed_at) VALUES (?3, 1, 1, 1, 1, ?1, ?2, 1)",
                "INSERT INTO audit (seq, key, at, principal, method, request_id, after) VALUES (?3, ?1, 1, '', 'CreateLink', '0123456789abcdef', ?2)",
            ] {
                write.prepare_cached(sql).unwrap().execute(rusqlite::params![key, &record[..], n + 1]).unwrap();
            }
            write.commit().unwrap();
        };
        async move { tokio::task::spawn_blocking(run).await.unwrap() }
    })
    .await;
    drop(db);
    let folder = Folder::new();
    let store = Sqlite::open(&folder.db(), sqlite::Options::default()).unwrap();
    let world = World::alone_on(Arc::new(store)).await;
    let own = creates(&world).await;
    world.stop().await;
    compared("SQLite", &bare, &own);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures: LINKR_MEASURE=1, alone, in release"]
async fn on_postgres() {
    if is_left_out() {
        return;
    }
    const CLIENTS: usize = 8;
    let Some(server) = postgres::server(&[]) else { return };
    let open = async |name: &str| {
        let options = Options { url: server.create(name).unwrap(), ..Options::default() };
        tokio::task::spawn_blocking(move || Postgres::open(&options).unwrap()).await.unwrap()
    };
    open("bare").await.close();
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let (client, connection) =
            tokio_postgres::connect(&server.url("bare"), tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        let prepare = |sql| client.prepare(sql);
        let statements = [
            prepare("INSERT INTO links (key, record, title, tags, note, create_time, update_time, version) VALUES ($1, $2, '', '[]', '', 1, 1, $3)").await.unwrap(),
            prepare("INSERT INTO change_log (seq, tag, epoch_counter, epoch_random, kind, key, record, committed_at) VALUES ($3, 1, 1, 1, 1, $1, $2, 1)").await.unwrap(),
            prepare("INSERT INTO audit (seq, key, at, principal, method, request_id, after) VALUES ($3, $1, 1, '', 'CreateLink', '0123456789abcdef', $2)").await.unwrap(),
        ];
        clients.push(Arc::new(Mutex::new((client, statements))));
    }
    let bare = at_rate(|n| {
        let client = clients[n as usize % CLIENTS].clone();
        async move {
            let (key, record, seq) = (format!("c{n}").into_bytes(), vec![7u8; RECORD], i64::from(n) + 1);
            let client = client.lock().await;
            let (client, [link, change, audit]) = &*client;
            let params: [&(dyn tokio_postgres::types::ToSql + Sync); 3] = [&key, &record, &seq];
            // In one round trip.
            let done = tokio::join!(
                biased;
                client.batch_execute("BEGIN"),
                client.execute(link, &params),
                client.execute(change, &params),
                client.execute(audit, &params),
                client.batch_execute("COMMIT"),
            );
            done.0.and(done.1.and(done.2).and(done.3).map(drop)).and(done.4).unwrap();
        }
    })
    .await;
    let world = World::alone_on(Arc::new(open("own").await)).await;
    let own = creates(&world).await;
    world.stop().await;
    compared("PostgreSQL", &bare, &own);
}
