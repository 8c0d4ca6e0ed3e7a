//! What the relay counts.

use exposition::Families;
use feed::Trouble;
use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// The numbers of all shards; without Redis none is shown.
#[derive(Debug, Default)]
pub struct RedisNumbers {
    shards: OnceLock<Box<[ShardNumbers]>>,
    pub scripts: AtomicU64,
    pub refused: AtomicU64,
    pub starts: AtomicU64,
    pub offers_taken: AtomicU64,
    pub offers_refused: AtomicU64,
    pub offers_dropped: AtomicU64,
    pub other_policy: AtomicBool,
    /// A shard does not follow the log.
    pub away: Trouble,
}

/// How the copy in Redis stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyStanding {
    /// Its shards.
    pub shards: usize,
    /// Those that follow the log.
    pub following: usize,
    /// Changes that the one that is most behind lacks.
    pub lag: u64,
}

/// The numbers of one shard.
#[derive(Debug, Default)]
struct ShardNumbers {
    at: AtomicU64,
    follows: AtomicBool,
}

impl RedisNumbers {
    /// There are so many shards.
    pub fn open(&self, shards: u16) {
        let _ = self.shards.set((0..shards).map(|_| ShardNumbers::default()).collect()); // once for each process
    }

    /// A shard stands at this seq.
    pub fn moved(&self, shard: u16, seq: u64) {
        if let Some(one) = self.one(shard) {
            one.at.store(seq, Relaxed);
            one.follows.store(true, Relaxed);
        }
    }

    /// A shard is followed no longer; whether it was.
    pub fn lost(&self, shard: u16) -> bool {
        self.one(shard).is_some_and(|one| one.follows.swap(false, Relaxed))
    }

    /// Whether every shard follows the log.
    pub fn all_follow(&self) -> bool {
        self.shards.get().is_some_and(|shards| shards.iter().all(|one| one.follows.load(Relaxed)))
    }

    fn one(&self, shard: u16) -> Option<&ShardNumbers> {
        self.shards.get()?.get(usize::from(shard))
    }

    /// How the copy stands behind `head`, the last seq of the log; `None` without Redis.
    pub fn standing(&self, head: u64) -> Option<CopyStanding> {
        let shards = self.shards.get()?;
        let following = shards.iter().filter(|one| one.follows.load(Relaxed)).count();
        let lag = shards.iter().map(|one| head.saturating_sub(one.at.load(Relaxed))).max().unwrap_or(0);
        Some(CopyStanding { shards: shards.len(), following, lag })
    }

    /// `head` is the last seq of the log.
    pub fn encode(&self, families: &mut Families<'_>, head: u64) -> fmt::Result {
        let Some(CopyStanding { shards, following, lag }) = self.standing(head) else { return Ok(()) };
        let volatile = if self.other_policy.load(Relaxed) { 0.0 } else { 1.0 };
        for (name, help, value) in [
            ("linkr_redis_shards", "Shards of the copy in Redis.", shards as f64),
            ("linkr_redis_shards_connected", "Shards whose copy in Redis follows the log.", following as f64),
            (
                "linkr_redis_lag_changes",
                "Changes that the copy in Redis is behind the log, of the shard that is most behind.",
                lag as f64,
            ),
            (
                "linkr_redis_policy_volatile",
                "1 if Redis evicts only what has a lifetime (maxmemory-policy volatile-*).",
                volatile,
            ),
        ] {
            families.gauge(name, help, value)?;
        }
        for (name, help, value) in [
            ("linkr_redis_scripts_total", "Scripts that moved a position in Redis.", &self.scripts),
            (
                "linkr_redis_refused_total",
                "Scripts that found another position in Redis, and changed nothing.",
                &self.refused,
            ),
            ("linkr_redis_starts_total", "Copies in Redis that were begun anew.", &self.starts),
        ] {
            families.counter(name, help, value.load(Relaxed))?;
        }
        let outcomes = [
            ("taken", &self.offers_taken),
            ("refused", &self.offers_refused),
            ("dropped", &self.offers_dropped),
        ];
        families.counters(
            "linkr_redis_offers_total",
            "Values read for edges and offered to Redis.",
            |series| {
                outcomes
                    .iter()
                    .try_for_each(|(outcome, count)| series(&[("outcome", *outcome)], count.load(Relaxed)))
            },
        )
    }
}
