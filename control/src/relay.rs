//! Redis as a copy of the log (R8): one task for each shard carries it over. What is decided is in `feed::relay`; whoever
//! answers a caller never waits for anything here.

mod client;
mod lua;
mod survey;

pub use survey::{RedisSurvey, RedisUse, survey};

use crate::call::blocking;
use crate::clock;
use crate::follow::{Feeder, Offers, OriginValue, offers};
use crate::metrics::{Metrics, RedisNumbers};
use client::{Connection, RedisClient};
use feed::relay::{CopyPosition, Offer, Relay, RelayStep, Script, ScriptOutcome, Shard, shard_of};
use link::{Change, Epoch, Position};
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use store::model::StoreFault;
use store::random;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// A shard without changes moves this often all the same.
const QUIET: Duration = Duration::from_millis(100);
/// With nothing to carry, Redis is looked at this often: it may have forgotten everything.
const IDLE: Duration = Duration::from_secs(1);
/// Between two attempts to reach Redis, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// For the tail to read what the store holds already.
const TAIL_WAIT: Duration = Duration::from_secs(1);
/// Offers made at once.
const OFFERS: usize = 128;

/// Between two histories that begin because of Redis: of two stores that share one by mistake, each would outbid the
/// other for ever.
const FORK_PAUSE: Duration = Duration::from_secs(10);

/// Which Redis, and how it is used.
#[derive(Clone, Debug)]
pub struct RedisConfig {
    /// `redis://[user:password@]host[:port][/database]`, `rediss://…`; nodes of a cluster separated by commas, or one of
    /// them as `redis-cluster://…`.
    pub url: String,
    /// Parts with a position of their own, at least 1. Edges are told the same number.
    pub shards: u16,
    /// A file of authorities (PEM) to believe instead of the system's.
    pub ca: Option<PathBuf>,
}

/// The relays of all shards, before they run.
pub struct Relays {
    place: Option<Arc<RedisClient>>,
    lines: Vec<mpsc::Receiver<OriginValue>>,
}

/// Checks the settings; without any, nothing will be relayed.
///
/// # Errors
/// One line for people, without the password.
pub fn open(redis: Option<&RedisConfig>, metrics: &Arc<Metrics>) -> Result<(Offers, Relays), String> {
    let Some(redis) = redis else {
        return Ok((Offers::default(), Relays { place: None, lines: Vec::new() }));
    };
    let over_tls = redis.url.contains("rediss");
    let ca = redis.ca.clone().or_else(|| proto::file::unusual_authorities().filter(|_| over_tls));
    let ca = ca.map(|file| {
        let read = proto::file::read(&file);
        let read = read.map_err(|e| format!("cannot read the authorities in {}: {e}", file.display()))?;
        Ok::<_, String>(read.bytes)
    });
    let wanted = "redis://[user:password@]host[:port][/database], or rediss:// for TLS";
    let place = RedisClient::new(&redis.url, ca.transpose()?).map_err(|e| {
        format!("--redis is no address of Redis, such as {wanted}: {e}{}", between_nodes(&redis.url))
    })?;
    let shards = redis.shards.max(1);
    metrics.relay.open(shards);
    let (offers, lines) = offers(shards, metrics.clone());
    Ok((offers, Relays { place: Some(Arc::new(place)), lines }))
}

/// What whoever wrote a comma may not know.
fn between_nodes(url: &str) -> &'static str {
    if url.contains(',') {
        ". A comma separates nodes: one in a user's name or password is written %2C"
    } else {
        ""
    }
}

impl Relays {
    /// Relays until `stop`.
    pub async fn run(self, feeder: Arc<Feeder>, stop: watch::Receiver<bool>) {
        let Some(place) = self.place else { return };
        let of = self.lines.len() as u16; // made from one
        let mut tasks = JoinSet::new();
        let forked = Arc::default();
        for (number, offered) in (0..of).zip(self.lines) {
            let shard = Shard { number, of };
            let carrier = Carrier {
                shard,
                relay: Relay::new(shard),
                feeder: feeder.clone(),
                offered,
                waiting: Vec::new(),
                forked: Arc::clone(&forked),
                read: Position::default(),
                due: Instant::now(),
            };
            let (place, mut stop) = (place.clone(), stop.clone());
            tasks.spawn(async move {
                tokio::select! {
                    _ = stop.wait_for(|&stop| stop) => {}
                    _ = carrier.run(&place) => {}
                }
            });
        }
        tasks.join_all().await;
    }
}

/// Why a relay has to begin again: one line.
struct RelayFault(String);

impl From<redis::RedisError> for RelayFault {
    fn from(error: redis::RedisError) -> Self {
        Self(format!("Redis: {error}"))
    }
}

impl From<StoreFault> for RelayFault {
    fn from(fault: StoreFault) -> Self {
        Self(fault.to_string())
    }
}

/// The kind of what keeps a copy from following.
fn reason(why: &str) -> &'static str {
    const KINDS: [(&str, &str); 9] = [
        ("refused", "refused"),
        ("NOPERM", "no_rights"),
        ("permission", "no_rights"),
        ("NoPerm", "no_rights"),
        ("password", "password"),
        ("WRONGPASS", "password"),
        ("timed out", "timed_out"),
        ("failed to lookup", "unresolved"),
        ("the store ", "store"),
    ];
    KINDS.iter().find(|(part, _)| why.contains(part)).map_or("broken", |(_, kind)| kind)
}

/// The relay of one shard.
struct Carrier {
    shard: Shard,
    relay: Relay,
    feeder: Arc<Feeder>,
    offered: mpsc::Receiver<OriginValue>,
    /// Offers that were taken from the line.
    waiting: Vec<OriginValue>,
    /// When Redis last made a history begin.
    forked: Arc<Mutex<Option<Instant>>>,
    /// How far the log was read. What lies between the position in Redis and here is about other shards.
    read: Position,
    /// When the position is moved even without changes, if there are some of other shards.
    due: Instant,
}

impl Carrier {
    async fn run(mut self, place: &RedisClient) -> Infallible {
        let mut pause = PAUSES.0;
        loop {
            let Err(RelayFault(why)) = self.follow(place).await;
            self.relay = Relay::new(self.shard);
            if self.numbers().lost(self.shard.number) {
                pause = PAUSES.0;
            }
            self.away(&why);
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    /// Told once for all shards.
    fn away(&self, why: &str) {
        let reason = reason(why);
        if let Some(tell) = self.numbers().away.met(clock::ms(), reason) {
            let (lasts_ms, untold) = (tell.lasts_ms, tell.untold);
            tracing::warn!(
                name: "copy_lost", shard = %self.shard, reason, why, lasts_ms, untold,
                "the copy in Redis does not follow the log now; it is tried again, and edges ask control meanwhile"
            );
        }
    }

    /// Follows the log until something fails.
    async fn follow(&mut self, place: &RedisClient) -> Result<Infallible, RelayFault> {
        let mut redis = place.connect().await?;
        let mut tail = self.feeder.tail.head();
        loop {
            let Some(copied) = self.relay.at() else {
                self.attach(&mut redis, &mut tail).await?;
                continue;
            };
            self.offer(&mut redis, copied).await?;
            let head = *tail.borrow_and_update();
            if head.epoch != copied.at.epoch || head.seq < self.read.seq {
                self.relay = Relay::new(self.shard); // its history has been replaced: it looks again
                continue;
            }
            let changes = self.read_on(head).await?;
            let behind = self.read.seq > copied.at.seq;
            if !changes.is_empty() || (behind && Instant::now() >= self.due) {
                let script = self.relay.carry(self.read, &changes);
                self.move_on(&mut redis, script).await?;
            } else if self.read.seq == head.seq {
                let wake = if behind { self.due } else { self.due + IDLE };
                tokio::select! {
                    _ = tail.changed() => {} // it lives as long as this does
                    _ = self.offered.recv_many(&mut self.waiting, OFFERS) => {}
                    () = tokio::time::sleep_until(wake) => {}
                }
                if !behind && Instant::now() >= wake {
                    self.look_again(&mut redis, copied).await?;
                }
            }
        }
    }

    /// Looks where Redis stands, and begins there or anew.
    async fn attach(
        &mut self,
        redis: &mut Connection,
        tail: &mut watch::Receiver<Position>,
    ) -> Result<(), RelayFault> {
        let (stored, policy) = lua::look(redis, self.shard).await?;
        self.judge(policy);
        let copied = stored.as_deref().and_then(CopyPosition::decode);
        let (seq, of) = copied.map_or((0, None), |copied| (copied.at.seq, Some(copied.at.epoch)));
        let log = blocking(&self.feeder.store, move |store| store.log_view(seq, of)).await?;
        match (self.relay.attach(stored.as_deref(), &log, random::u64()), copied) {
            (RelayStep::Follow, _) => {}
            (RelayStep::StartOver(script), _) => {
                self.numbers().starts.fetch_add(1, Relaxed);
                tracing::info!(
                    name: "copy_begins", shard = %self.shard, seq = log.head.seq, "the copy in Redis begins anew"
                );
                self.move_on(redis, Some(script)).await?;
            }
            (RelayStep::Replaced | RelayStep::Behind, copied) => {
                let theirs = copied.map_or(log.head.epoch, |copied| copied.at.epoch);
                self.may_fork(theirs)?;
                let new =
                    self.feeder.fork(theirs, 0).await.map_err(|refusal| RelayFault(refusal.to_string()))?;
                let why = "Redis has seen writes that this store does not hold";
                tracing::warn!(
                    name: "writes_lost", seen = seq, head = log.head.seq, history = new.epoch.counter, "{why}"
                );
            }
        }
        let Some(CopyPosition { at, .. }) = self.relay.at() else { return Ok(()) };
        self.read = at;
        // The store was asked: the tail may be a little behind it.
        let reached = |head: &Position| {
            head.epoch.counter > at.epoch.counter || (head.epoch == at.epoch && head.seq >= at.seq)
        };
        let reached = tokio::time::timeout(TAIL_WAIT, tail.wait_for(reached)).await;
        reached.map(|_| ()).map_err(|_| RelayFault("the log is not read up to its end".into()))?;
        self.numbers().moved(self.shard.number, at.seq);
        if self.numbers().all_follow()
            && let Some(over) = self.numbers().away.over(clock::ms())
        {
            let lasted_ms = over.lasted_ms;
            tracing::info!(name: "copy_found", lasted_ms, "the copy in Redis follows the log again");
        }
        Ok(())
    }

    /// Redis is believed, as whoever may write there may write anything; but not without end.
    fn may_fork(&self, theirs: Epoch) -> Result<(), RelayFault> {
        let mut last = self.forked.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_some_and(|last| last.elapsed() < FORK_PAUSE) {
            let why = "a history began because of Redis only just now, and it names another one";
            return Err(RelayFault(format!(
                "{why}, {}: does another store write there, too?",
                theirs.counter
            )));
        }
        *last = Some(Instant::now());
        Ok(())
    }

    /// Whether Redis still stands where it was left.
    async fn look_again(&mut self, redis: &mut Connection, copied: CopyPosition) -> Result<(), RelayFault> {
        let (stored, policy) = lua::look(redis, self.shard).await?;
        self.judge(policy);
        if stored != Some(copied.encode()) {
            self.relay = Relay::new(self.shard);
        }
        self.due = Instant::now();
        Ok(())
    }

    /// Says when Redis may evict what it must not.
    fn judge(&self, policy: Option<String>) {
        let Some(policy) = policy else { return };
        let other = !policy.starts_with("volatile-");
        let before = self.numbers().other_policy.swap(other, Relaxed);
        if other && !before {
            let why = "Redis evicts positions (allkeys-*) or refuses writes (noeviction) when it is full: set maxmemory-policy volatile-lru";
            tracing::warn!(name: "redis_policy", policy, "{why}");
        }
    }

    /// The next changes of this shard, up to `head`.
    async fn read_on(&mut self, head: Position) -> Result<Vec<Change>, RelayFault> {
        let after = self.read.seq;
        if after >= head.seq {
            return Ok(Vec::new());
        }
        let read = self.feeder.tail.changes(head.epoch, after, &self.feeder.turns.reads).await?;
        let changes = read.ok_or_else(|| RelayFault("a new history has begun".into()))?;
        if changes.first().is_none_or(|first| first.seq != after + 1) {
            return Err(RelayFault(format!("the log no longer holds {}", after + 1)));
        }
        // What is behind this head may be of another history.
        let known = changes.into_iter().take_while(|change| change.seq <= head.seq);
        let mut own = Vec::new();
        for change in known {
            self.read = Position { epoch: head.epoch, seq: change.seq, tag: change.tag };
            if shard_of(&change.key, self.shard.of) == self.shard {
                own.push(change);
            }
        }
        Ok(own)
    }

    async fn move_on(&mut self, redis: &mut Connection, script: Option<Script>) -> Result<(), RelayFault> {
        let Some(script) = script else { return Ok(()) };
        let ran = lua::carry(redis, self.shard, &script).await;
        self.relay.ran(&script, *ran.as_ref().unwrap_or(&ScriptOutcome::Unknown));
        self.due = Instant::now() + QUIET;
        match ran? {
            ScriptOutcome::Moved => {
                self.numbers().scripts.fetch_add(1, Relaxed);
                self.numbers().moved(self.shard.number, script.new.at.seq);
            }
            // Somebody else has moved it: it looks again.
            ScriptOutcome::Refused | ScriptOutcome::Unknown => {
                self.numbers().refused.fetch_add(1, Relaxed);
            }
        }
        Ok(())
    }

    /// Offers what waits, before the position moves beyond it.
    async fn offer(&mut self, redis: &mut Connection, copied: CopyPosition) -> Result<(), RelayFault> {
        while self.waiting.len() < OFFERS
            && let Ok(next) = self.offered.try_recv()
        {
            self.waiting.push(next);
        }
        let of_now =
            |offered: &OriginValue| offered.epoch == copied.at.epoch && offered.as_of >= copied.at.seq;
        let all = self.waiting.len() as u64;
        let offers: Vec<Offer> = self
            .waiting
            .drain(..)
            .filter(of_now)
            .map(|offered| Offer::new(self.shard, copied, offered.as_of, &offered.key, &offered.record))
            .collect();
        let taken = lua::offer(redis, self.shard, &offers).await?;
        self.numbers().offers_taken.fetch_add(taken, Relaxed);
        self.numbers().offers_refused.fetch_add(all - taken, Relaxed);
        Ok(())
    }

    fn numbers(&self) -> &RedisNumbers {
        &self.feeder.metrics.relay
    }
}
