//! The copy in Redis, against real servers: whatever happens to one, it ends as the log says.

mod cluster;
mod copies;

use super::feeds::{delete, write};
use super::world::{self, Folder, MoodyStore, World, config, name, to};
use ::redis::aio::MultiplexedConnection;
use ::redis::cmd;
use bytes::Bytes;
use copies::{Bench, WAIT, connect, skipped};
use feed::relay::{CopyPosition, Shard, position_key, value_key};
use proto::v1;
use services::{Certificates, Redis};
use std::sync::Arc;
use store::port::Repository;
use tokio::time::timeout;

fn key(code: &str) -> Bytes {
    [&[0; 4], code.as_bytes()].concat().into()
}

async fn update(world: &World, code: &str, target: &str) {
    let request = v1::UpdateLinkRequest {
        link: Some(v1::Link { name: name(code), ..to(target) }),
        update_mask: Some(prost_types::FieldMask { paths: vec!["target".into()] }),
        ..Default::default()
    };
    world.links().await.update_link(request).await.unwrap();
}

async fn fetch(world: &World, codes: &[String]) {
    let keys = codes.iter().map(|code| key(code)).collect();
    world.feed().await.fetch(v1::FetchRequest { keys, min_seq: 0 }).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_and_offers_arrive() {
    let Some(redis) = skipped(Redis::start(&["maxmemory-policy allkeys-lru"])) else { return };
    let bench = Bench::start(redis.url(), 1).await;
    write(&bench.world, (0..2_500).map(|n| format!("c{n}"))).await;
    delete(&bench.world, "c7").await;
    assert_eq!(bench.agrees().await, 2_500, "what was carried over, a tombstone among it");
    let before = bench.position(Shard::ONE).await.unwrap();

    // Begun anew it is empty, and what edges ask for comes back.
    cmd("FLUSHDB").exec_async(&mut connect(&bench.own).await).await.unwrap();
    assert_eq!(bench.agrees().await, 0);
    let now = bench.position(Shard::ONE).await.unwrap();
    assert!(now.copy != before.copy && now.at == before.at, "another name for the same place");
    fetch(&bench.world, &["c1".into(), "c7".into(), "none".into()]).await;
    bench.until(async || bench.agrees().await == 2).await;
    let text = bench.text();
    for line in [
        "linkr_redis_shards 1\n",
        "linkr_redis_shards_connected 1\n",
        "linkr_redis_lag_changes 0\n",
        "linkr_redis_starts_total 2\n",
        "linkr_redis_offers_total{outcome=\"taken\"} 2\n",
        "linkr_redis_policy_volatile 0\n",
    ] {
        assert!(text.contains(line), "{line}{text}");
    }
    let policy = ["CONFIG", "SET", "maxmemory-policy", "volatile-lru"];
    cmd(policy[0]).arg(&policy[1..]).exec_async(&mut connect(&bench.own).await).await.unwrap();
    bench.until(async || bench.text().contains("linkr_redis_policy_volatile 1\n")).await;
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_under_its_names_is_replaced() {
    let Some(redis) = skipped(Redis::start(&[])) else { return };
    let bench = Bench::start(redis.url(), 1).await;
    write(&bench.world, (0..20).map(|n| format!("c{n}"))).await;
    bench.agrees().await;
    let mut own = connect(&bench.own).await;
    let copied = bench.position(Shard::ONE).await.unwrap();
    let position = &position_key(Shard::ONE)[..];

    // A value of another type goes with the next change or the next offer.
    for code in ["c1", "c2"] {
        let name = &value_key(Shard::ONE, copied.copy, &key(code))[..];
        cmd("DEL").arg(name).exec_async(&mut own).await.unwrap();
        cmd("RPUSH").arg(name).arg("x").exec_async(&mut own).await.unwrap();
    }
    update(&bench.world, "c1", "https://b.example/").await;
    fetch(&bench.world, &["c2".into()]).await;
    bench.until(async || bench.strings().await == 21).await;
    assert_eq!(bench.agrees().await, 20);

    // So does a position of another type, one that is no position, and none.
    for strange in [&["RPUSH", "x"][..], &["SET", ""], &["SET", "what"], &["DEL"]] {
        let old = bench.position(Shard::ONE).await.unwrap();
        cmd("DEL").arg(position).exec_async(&mut own).await.unwrap();
        cmd(strange[0]).arg(position).arg(&strange[1..]).exec_async(&mut own).await.unwrap();
        bench.until(async || bench.position(Shard::ONE).await.is_some_and(|at| at.copy != old.copy)).await;
        assert_eq!(bench.agrees().await, 0, "{strange:?}");
    }

    // An older position is caught up from.
    write(&bench.world, (20..30).map(|n| format!("c{n}"))).await;
    bench.agrees().await;
    let older = bench.position(Shard::ONE).await.unwrap().encode();
    write(&bench.world, (30..40).map(|n| format!("c{n}"))).await;
    bench.agrees().await;
    cmd("SET").arg(position).arg(&older[..]).exec_async(&mut own).await.unwrap();
    assert_eq!(bench.agrees().await, 20);

    // A position that the log has never had proves that the log was put back: a new history begins.
    let head = bench.store.head().unwrap();
    let mut ahead = bench.position(Shard::ONE).await.unwrap();
    (ahead.at.seq, ahead.at.tag) = (head.seq + 100, 7);
    cmd("SET").arg(position).arg(&ahead.encode()[..]).exec_async(&mut own).await.unwrap();
    bench.until(async || bench.store.head().unwrap().epoch.counter > head.epoch.counter).await;
    assert_eq!(bench.agrees().await, 0);
    assert!(bench.text().contains("linkr_control_histories_total 1\n"), "{}", bench.text());
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_hanging_and_put_back() {
    let Some(mut redis) = skipped(Redis::start(&["maxmemory-policy volatile-lru"])) else { return };
    let bench = Bench::start(redis.url(), 1).await;
    write(&bench.world, (0..100).map(|n| format!("c{n}"))).await;
    assert_eq!(bench.agrees().await, 100);
    let first = bench.position(Shard::ONE).await.unwrap();
    redis.cli(&["SAVE"]).unwrap();
    write(&bench.world, (100..200).map(|n| format!("c{n}"))).await;
    delete(&bench.world, "c3").await;
    bench.agrees().await;

    // Killed, it comes back as it was saved, with older values that wait to be caught up.
    redis.kill().unwrap();
    update(&bench.world, "c4", "https://b.example/").await; // nobody waits for it
    redis.start_again().unwrap();
    assert_eq!(bench.agrees().await, 200);
    assert_eq!(bench.position(Shard::ONE).await.unwrap().copy, first.copy, "caught up, not begun anew");

    // Hanging, it holds up nobody, and what finds no room is dropped.
    redis.signal("STOP").unwrap();
    let codes: Vec<String> = (0..200).map(|n| format!("c{n}")).collect();
    let calls = async {
        update(&bench.world, "c5", "https://b.example/").await;
        for _ in 0..20 {
            fetch(&bench.world, &codes).await;
        }
    };
    timeout(WAIT, calls).await.unwrap();
    assert!(!bench.text().contains("linkr_redis_offers_total{outcome=\"dropped\"} 0\n"), "{}", bench.text());
    redis.signal("CONT").unwrap();
    assert_eq!(bench.agrees().await, 200);
    assert!(bench.text().contains("linkr_redis_policy_volatile 1\n"));

    // Without anything saved it begins anew.
    redis.cli(&["FLUSHALL"]).unwrap();
    redis.cli(&["SAVE"]).unwrap();
    redis.kill().unwrap();
    redis.start_again().unwrap();
    assert_eq!(bench.agrees().await, 0);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_room_keeps_the_position_and_evicts_values() {
    let Some(redis) = skipped(Redis::start(&["maxmemory 3mb", "maxmemory-policy volatile-lru"])) else {
        return;
    };
    let bench = Bench::start(redis.url(), 1).await;
    for part in 0..6 {
        write(&bench.world, (0..5_000).map(|n| format!("c{part}-{n}"))).await;
    }
    let held = bench.agrees().await;
    assert!((1..30_000).contains(&held), "{held}");
    assert!(bench.text().contains("linkr_redis_starts_total 1\n"), "{}", bench.text());
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_relays_of_one_log() {
    let Some(redis) = skipped(Redis::start(&[])) else { return };
    let bench = Bench::start(redis.url(), 1).await;
    let settings = Bench::config(&bench.world.folder, redis.url(), 1);
    let second = World::with(Folder::new(), bench.store.clone(), settings).await;
    for round in 0..20 {
        write(&bench.world, (0..100).map(|n| format!("c{round}-{n}"))).await;
        delete(&bench.world, &format!("c{round}-0")).await;
    }
    assert_eq!(bench.agrees().await, 2_000);
    cmd("FLUSHDB").exec_async(&mut connect(&bench.own).await).await.unwrap();
    write(&bench.world, (0..50).map(|n| format!("d{n}"))).await;
    // One of them saw the flush before, between or after these.
    assert!(bench.agrees().await <= 50);
    second.stop().await;
    drop(bench.world.running);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rights_that_are_shipped_are_enough_and_no_more() {
    const ADMIN: &str = "user admin on >secret allkeys allchannels +@all";
    let acl = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/redis-acl.conf");
    let Some(redis) = skipped(Redis::start(&[&format!("include {acl}"), ADMIN])) else { return };
    let stranger = redis.cli(&["PING"]).unwrap_err().to_string();
    assert!(stranger.contains("NOAUTH"), "nobody without a password: {stranger}");
    let at = redis.url().strip_prefix("redis://").unwrap();
    let control = format!("redis://linkr-control:CHANGE-ME-CONTROL@{at}/1");
    let bench = Bench::start_with(&control, &format!("redis://admin:secret@{at}/1"), 1, None).await;
    write(&bench.world, (0..20).map(|n| format!("c{n}"))).await;
    delete(&bench.world, "c3").await;
    assert_eq!(bench.agrees().await, 20);
    fetch(&bench.world, &["c1".into()]).await;
    bench.until(async || bench.text().contains("linkr_redis_offers_total{outcome=\"taken\"} 1\n")).await;
    let size = redis.cli(&["--user", "admin", "--pass", "secret", "DBSIZE"]);
    assert_eq!(size.unwrap(), "0", "only the database that was named");
    assert!(bench.text().contains("linkr_redis_policy_volatile 0\n"), "it may ask for the policy");

    let copied = bench.position(Shard::ONE).await.unwrap();
    let (position, value) = (position_key(Shard::ONE), value_key(Shard::ONE, copied.copy, &key("c1")));
    let mut edge = connect(&format!("redis://linkr-edge:CHANGE-ME-EDGE@{at}/1")).await;
    let asked = cmd("MGET").arg(&position[..]).arg(&value[..]).query_async(&mut edge).await;
    let asked: [Option<Vec<u8>>; 2] = asked.unwrap();
    assert_eq!(asked[0].as_deref(), Some(&copied.encode()[..]));
    assert!(asked[1].is_some());
    let denied = async |redis: &mut MultiplexedConnection, words: &[&[u8]]| {
        let done = cmd(std::str::from_utf8(words[0]).unwrap()).arg(&words[1..]).exec_async(redis).await;
        assert_eq!(done.unwrap_err().code(), Some("NOPERM"), "{words:?}");
    };
    for words in [&[&b"SET"[..], &value, b"x"][..], &[b"MGET", b"other"], &[b"FLUSHALL"], &[b"DEL", &value]] {
        denied(&mut edge, words).await;
    }
    let mut control = connect(&control).await;
    for words in
        [&[&b"SET"[..], b"other", b"x"][..], &[b"FLUSHALL"], &[b"CONFIG", b"GET", b"*"], &[b"KEYS", b"*"]]
    {
        denied(&mut control, words).await;
    }
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_with_a_private_authority() {
    let (Some(certificates), Ok(port)) = (skipped(Certificates::new()), services::free_port()) else {
        return;
    };
    let file = |name| certificates.file(name).display().to_string();
    let lines = [
        format!("tls-port {port}"),
        format!("tls-cert-file {}", file("cert.pem")),
        format!("tls-key-file {}", file("key.pem")),
        format!("tls-ca-cert-file {}", file("ca.pem")),
        "tls-auth-clients no".to_owned(),
    ];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let Some(redis) = skipped(Redis::start(&lines)) else { return };
    let url = format!("rediss://localhost:{port}");
    let ca = Some(certificates.file("ca.pem"));
    let bench = Bench::start_with(&url, redis.url(), 1, ca).await;
    write(&bench.world, (0..20).map(|n| format!("c{n}"))).await;
    assert_eq!(bench.agrees().await, 20);
    // Who does not know the authority does not speak to it.
    let stranger = ::redis::Client::open(url).unwrap().get_multiplexed_async_connection().await;
    assert!(stranger.is_err_and(|fault| fault.to_string().to_lowercase().contains("certificate")));
    bench.stop().await;
}

#[tokio::test]
async fn what_is_no_redis_stops_the_start() {
    let folder = Folder::new();
    for (url, ca) in [("http://a", None), ("redis://a:x", None), ("rediss://a", Some("/dev/null/ca".into()))]
    {
        let redis = control::RedisConfig { url: url.into(), shards: 1, ca };
        let settings = control::Config { redis: Some(redis), ..config(folder.db()) };
        let why = control::start(settings).await.err().unwrap().to_string();
        assert!(!why.contains('\n') && !folder.db().exists(), "{why}");
    }
}
