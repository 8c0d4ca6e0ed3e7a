//! A control with a copy in Redis, and what compares the two. No test is here.

use super::{Arc, Bytes, CopyPosition, Folder, MoodyStore, MultiplexedConnection, Repository, Shard, World};
use super::{cmd, config, position_key, world};
use control::Config;
use feed::relay::shard_of;
use services::ServerFault;
use std::path::PathBuf;
use std::time::Duration;
use store::port::EntryBatch;
use tokio::time::{sleep, timeout};

/// What never comes fails a test.
pub const WAIT: Duration = Duration::from_secs(30);

/// Says so when a server is not installed.
pub fn skipped<T>(started: Result<T, ServerFault>) -> Option<T> {
    match started {
        Err(fault @ ServerFault::Missing(_)) => {
            println!("SKIPPED: {fault}");
            None
        }
        started => Some(started.unwrap()),
    }
}

pub async fn connect(url: &str) -> MultiplexedConnection {
    ::redis::Client::open(url).unwrap().get_multiplexed_async_connection().await.unwrap()
}

/// A control, its store, and how the test itself gets to its Redis.
pub struct Bench {
    pub world: World,
    pub store: Arc<MoodyStore>,
    pub own: String,
    shards: u16,
}

impl Bench {
    pub async fn start(url: &str, shards: u16) -> Self {
        Self::start_with(url, url, shards, None).await
    }

    /// `own` is how the test itself gets there.
    pub async fn start_with(url: &str, own: &str, shards: u16, ca: Option<PathBuf>) -> Self {
        let folder = Folder::new();
        let store = MoodyStore::new(&folder);
        let mut settings = Self::config(&folder, url, shards);
        settings.redis = settings.redis.map(|redis| control::RedisConfig { ca, ..redis });
        let world = World::with(folder, store.clone(), settings).await;
        let bench = Self { world, store, own: own.to_owned(), shards };
        // What is written before is not in a copy that begins behind it.
        bench
            .until(async || bench.text().contains(&format!("linkr_redis_shards_connected {shards}\n")))
            .await;
        bench
    }

    pub fn config(folder: &Folder, url: &str, shards: u16) -> Config {
        let redis = control::RedisConfig { url: url.to_owned(), shards, ca: None };
        Config { redis: Some(redis), ..config(folder.db()) }
    }

    pub fn text(&self) -> String {
        world::text(self.world.running.metrics())
    }

    /// Polls, since Redis tells nobody.
    pub async fn until(&self, done: impl AsyncFn() -> bool) {
        let polled = async {
            while !done().await {
                sleep(Duration::from_millis(5)).await;
            }
        };
        let ended = timeout(WAIT, polled).await;
        ended.unwrap_or_else(|_| panic!("it does not come about: {}", self.text()));
    }

    pub async fn position(&self, shard: Shard) -> Option<CopyPosition> {
        position(&self.own, shard).await
    }

    /// How many names hold strings.
    pub async fn strings(&self) -> usize {
        let mut redis = connect(&self.own).await;
        cmd("SCAN")
            .arg(&["0", "TYPE", "string", "COUNT", "100000"])
            .query_async::<(u64, Vec<Vec<u8>>)>(&mut redis)
            .await
            .unwrap()
            .1
            .len()
    }

    /// Waits until every shard stands at the head of the log, compares every value in its copies with the store, and
    /// returns how many there are.
    pub async fn agrees(&self) -> usize {
        let shards = (0..self.shards).map(|number| Shard { number, of: self.shards });
        let mut values = 0;
        for shard in shards {
            self.stands(shard, &self.own).await;
            values += self.compared(shard, &self.own).await;
        }
        values
    }

    /// Waits until a shard stands at the head of the log.
    pub async fn stands(&self, shard: Shard, url: &str) {
        self.until(async || {
            let at = position(url, shard).await.map(|copied| copied.at);
            at == Some(self.store.head().unwrap())
        })
        .await;
    }

    /// Compares what lies in the copy of a shard with the store.
    pub async fn compared(&self, shard: Shard, url: &str) -> usize {
        let (copied, mut redis) = (position(url, shard).await.unwrap(), connect(url).await);
        let prefix = format!("linkr:{{{shard}}}:{:016x}:", copied.copy);
        let all = cmd("SCAN").arg(&["0", "COUNT", "1000000"]).query_async(&mut redis).await;
        let (_, names): (u64, Vec<Vec<u8>>) = all.unwrap();
        let keys: Vec<Bytes> = names
            .iter()
            .filter_map(|name| name.strip_prefix(prefix.as_bytes()))
            .map(Bytes::copy_from_slice)
            .collect();
        if keys.is_empty() {
            return 0;
        }
        let EntryBatch { head, entries: records, .. } = self.store.records(&keys).unwrap();
        let mut ask = cmd("MGET");
        keys.iter().for_each(|key| _ = ask.arg(&feed::relay::value_key(shard, copied.copy, key)[..]));
        let values: Vec<Option<Vec<u8>>> = ask.query_async(&mut redis).await.unwrap();
        let mut compared = 0;
        for ((key, entry), value) in keys.iter().zip(records).zip(values) {
            let Some(value) = value else { continue }; // evicted since, or no string
            compared += 1;
            let (as_of, record) = value.split_first_chunk().unwrap();
            assert_eq!(entry.record, record, "{key:?}");
            let version = record::decode(record).unwrap().version;
            assert!((version..=head.seq).contains(&u64::from_be_bytes(*as_of)), "{key:?}");
            assert_eq!(shard_of(key, self.shards), shard, "{key:?}");
        }
        compared
    }

    pub async fn stop(self) {
        self.world.stop().await;
    }
}

/// Where a shard stands; `None` if nothing says so. By a connection of its own: the server may have been killed.
async fn position(url: &str, shard: Shard) -> Option<CopyPosition> {
    let mut redis = ::redis::Client::open(url).unwrap().get_multiplexed_async_connection().await.ok()?;
    let stored = cmd("GET").arg(&position_key(shard)[..]).query_async(&mut redis).await;
    CopyPosition::decode(&stored.ok().and_then(|stored: Option<Vec<u8>>| stored)?)
}
