//! Asks Redis for what this worker misses: one question for each key at a time, and nothing that it says is believed
//! further than `feed::relay` and R7 allow.

mod cluster;
mod pipe;
mod replies;
mod signal;

use crate::latency::Durations;
use crate::records::{self, RedisRecord};
use crate::redis::{RedisMeters, RedisOutcome, SharedRedis};
use crate::shared::{AcceptedReading, OriginReply, Shared};
use crate::traces::Hop;
use bytes::Bytes;
use feed::Proof;
use feed::relay::{self, Shard};
use futures_channel::oneshot;
use link::{Key, Seq};
use pipe::{Pipe, PipeFault, PipeResult};
use redis::{Value, cmd};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Requests that wait for Redis on this worker; one more is answered with 503.
const MAX_WAITING: usize = 4 * crate::shared::MAX_QUESTIONS;

/// Who has which part of a cluster is asked at most this often.
const MAP: Duration = Duration::from_secs(1);

/// The outcome of a question to Redis, for a request that waits for it.
#[derive(Clone, Debug)]
pub enum RedisReply {
    /// The set took it, or knows the same.
    Known(Arc<AcceptedReading>),
    /// The question named a copy that is no more; the next one names the one that is.
    OtherCopy,
    /// Somebody else has to be asked.
    Unknown,
    /// The same: it did not answer in time.
    Silent,
    /// Too many wait already.
    Busy,
}

impl RedisReply {
    /// In one word.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Known(_) => "answered",
            Self::OtherCopy => "other_copy",
            Self::Unknown => "unknown",
            Self::Silent => Hop::SILENT,
            Self::Busy => "busy",
        }
    }
}

/// Redis, as one worker sees it.
pub struct RedisTier {
    index: usize,
    shared: Arc<Shared>,
    redis: Arc<SharedRedis>,
    /// To every node: those that were given, and those that have a shard.
    pipes: RefCell<Vec<Rc<Pipe>>>,
    /// Which of them has which shard.
    homes: RefCell<Box<[Rc<Pipe>]>>,
    /// Of a cluster: when it was last asked who has what, and whether that was wrong.
    map: Cell<(Option<Instant>, bool)>,
    /// The copy that each shard is believed to have; at first none has that name.
    copies: Box<[Cell<u64>]>,
    /// Who waits, besides the one that asked.
    flights: RefCell<HashMap<Key, Vec<oneshot::Sender<RedisReply>>>>,
    waiting: Cell<usize>,
    durations: RefCell<Durations>,
}

impl RedisTier {
    /// For a worker, if there is a Redis. Runs on its runtime.
    pub fn start(shared: &Arc<Shared>, index: usize) -> Option<Rc<Self>> {
        let redis = Arc::clone(shared.redis.as_ref()?);
        let pipes = redis.nodes().iter().map(|node| Pipe::start(Arc::clone(&redis), node.clone()));
        let pipes: Vec<_> = pipes.collect();
        let home = Rc::clone(pipes.first()?);
        Some(Rc::new(Self {
            index,
            shared: Arc::clone(shared),
            homes: RefCell::new((0..redis.shards).map(|_| Rc::clone(&home)).collect()),
            pipes: RefCell::new(pipes),
            map: Cell::new((None, redis.is_cluster())),
            copies: (0..redis.shards).map(|_| Cell::new(0)).collect(),
            redis,
            flights: RefCell::default(),
            waiting: Cell::new(0),
            durations: RefCell::default(),
        }))
    }

    /// Whether it is worth asking for this key.
    pub fn is_well(&self, key: &Key) -> bool {
        self.home(self.shard(key)).is_ready()
    }

    fn shard(&self, key: &Key) -> Shard {
        relay::shard_of(key.as_bytes(), self.redis.shards)
    }

    fn home(&self, shard: Shard) -> Rc<Pipe> {
        Rc::clone(&self.homes.borrow()[usize::from(shard.number)])
    }

    /// Hands over what was measured, and looks who has what if that was wrong.
    pub fn tick(self: &Rc<Self>) {
        let well = self.homes.borrow().iter().all(|pipe| pipe.is_ready());
        let in_flight = self.pipes.borrow().iter().map(|pipe| pipe.in_flight()).sum();
        self.meters().publish(well, in_flight, &mut self.durations.borrow_mut());
        let (read, wrong) = self.map.get();
        if self.redis.is_cluster() && (wrong || !well) && read.is_none_or(|read| read.elapsed() >= MAP) {
            let ready = self.pipes.borrow().iter().find(|pipe| pipe.is_ready()).cloned();
            if let Some(pipe) = ready {
                self.map.set((Some(Instant::now()), false));
                monoio::spawn(Rc::clone(self).read_map(pipe));
            }
        }
    }

    async fn read_map(self: Rc<Self>, pipe: Rc<Pipe>) {
        let said = pipe.ask(|out| cmd("CLUSTER").arg("SLOTS").write_packed_command(out)).await;
        match said.ok().and_then(|said| cluster::map(&said, &pipe.node().host)) {
            Some(map) => self.settle(&map),
            None => self.map.set((self.map.get().0, true)),
        }
    }

    /// Every shard is asked of the node that has it; one that nobody has, where it was.
    fn settle(&self, map: &cluster::SlotMap) {
        let (mut pipes, mut homes) = (self.pipes.borrow_mut(), self.homes.borrow_mut());
        for (number, home) in (0..self.redis.shards).zip(homes.iter_mut()) {
            let slot = cluster::slot(Shard { number, of: self.redis.shards });
            let Some((_, node)) = map.iter().find(|(slots, _)| slots.contains(&slot)) else { continue };
            if home.node() != node {
                let known = pipes.iter().find(|pipe| pipe.node() == node).cloned();
                *home = known.unwrap_or_else(|| {
                    pipes.push(Pipe::start(Arc::clone(&self.redis), node.clone()));
                    Rc::clone(&pipes[pipes.len() - 1])
                });
            }
        }
        pipes.retain(|pipe| {
            let used =
                self.redis.nodes().contains(pipe.node()) || homes.iter().any(|home| Rc::ptr_eq(home, pipe));
            if !used {
                pipe.stop();
            }
            used
        });
    }

    /// What Redis says of a link, at `token` or later, filled into the set. What it says in vain leaves no trace there.
    pub async fn ask(&self, key: &Key, token: Seq) -> RedisReply {
        if self.waiting.get() >= MAX_WAITING {
            return RedisReply::Busy;
        }
        self.waiting.set(self.waiting.get() + 1);
        let said = match self.join(key) {
            Some(answer) => answer.await.unwrap_or(RedisReply::Unknown),
            None => {
                let said = self.look(key).await;
                let waiters = self.flights.borrow_mut().remove(key);
                for waiter in waiters.into_iter().flatten() {
                    let _ = waiter.send(said.clone()); // whoever gave up needs no answer
                }
                said
            }
        };
        self.waiting.set(self.waiting.get() - 1);
        match said {
            // Good for others; this client has seen more.
            RedisReply::Known(answer) if answer.as_of < token => RedisReply::Unknown,
            said => said,
        }
    }

    /// Waits for a question that is under way; `None`: there is one now, and the caller has to ask it.
    fn join(&self, key: &Key) -> Option<oneshot::Receiver<RedisReply>> {
        let mut flights = self.flights.borrow_mut();
        if let Some(waiters) = flights.get_mut(key) {
            let (waiter, answer) = oneshot::channel();
            waiters.push(waiter);
            return Some(answer);
        }
        flights.insert(key.clone(), Vec::new());
        None
    }

    async fn look(&self, key: &Key) -> RedisReply {
        let shard = self.shard(key);
        let copy = &self.copies[usize::from(shard.number)];
        let question = relay::RedisQuestion::new(shard, copy.get(), key.as_bytes());
        let began = Instant::now();
        let home = self.home(shard);
        let answered = home.ask(|out| {
            let [position, value] = &question.names;
            cmd("MGET").arg(&position[..]).arg(&value[..]).write_packed_command(out);
        });
        let answered = answered.await;
        match answered {
            Err(PipeFault::Away) => return RedisReply::Unknown,
            Err(PipeFault::Full) => return RedisReply::Busy,
            _ => self.durations.borrow_mut().record(began.elapsed().as_nanos() as u64, 1),
        }
        let (came, said) = self.understand(key, &question, copy, answered);
        self.meters().came(came);
        said
    }

    fn understand(
        &self,
        key: &Key,
        question: &relay::RedisQuestion,
        copy: &Cell<u64>,
        answered: PipeResult,
    ) -> (RedisOutcome, RedisReply) {
        let replies = match answered {
            Ok(Value::Array(values)) => match <[Value; 2]>::try_from(values) {
                Ok(replies) => replies.map(bytes),
                Err(_) => return (RedisOutcome::Failed, RedisReply::Unknown),
            },
            Ok(Value::ServerError(fault)) if pipe::is_elsewhere(fault.kind()) => {
                self.map.set((self.map.get().0, true));
                return (RedisOutcome::Unknown, RedisReply::Unknown);
            }
            Err(PipeFault::TimedOut) => return (RedisOutcome::TimedOut, RedisReply::Silent),
            _ => return (RedisOutcome::Failed, RedisReply::Unknown),
        };
        let (found, told) = relay::told(question, &replies);
        if let Some(found) = found.filter(|&found| found != question.copy) {
            copy.set(found);
            return (RedisOutcome::Unknown, RedisReply::OtherCopy);
        }
        let Some(relay::RedisReading { epoch, as_of, record: Some(record) }) = told else {
            return (RedisOutcome::Unknown, RedisReply::Unknown);
        };
        match records::copied(&self.shared, key, &record, as_of) {
            RedisRecord::Poisoned => (RedisOutcome::Poisoned, RedisReply::Unknown),
            RedisRecord::Good(value, version) => {
                let proof = self.shared.feed.proof();
                // Nothing in Redis is sealed: further than this edge can prove it asks control.
                let Some(as_of) = Proof::reach(proof.as_ref(), epoch, as_of, version) else {
                    return (RedisOutcome::Refused, RedisReply::Unknown);
                };
                let answer = AcceptedReading { epoch, as_of, version, value: Some(value) };
                match records::fill(&self.shared, key, answer) {
                    OriginReply::Known(answer) => (RedisOutcome::Answered, RedisReply::Known(answer)),
                    OriginReply::Unavailable => (RedisOutcome::Refused, RedisReply::Unknown),
                }
            }
        }
    }

    fn meters(&self) -> &RedisMeters {
        &self.redis.meters[self.index]
    }
}

fn bytes(value: Value) -> Option<Bytes> {
    if let Value::BulkString(bytes) = value { Some(bytes.into()) } else { None }
}

#[cfg(test)]
#[path = "redis_tests.rs"]
mod tests;
