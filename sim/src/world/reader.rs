//! A client's connection: requests as bytes through `hot::answer`, and the questions a miss leads to.

use super::World;
use crate::database::KEYS;
use crate::mark::named;
use crate::messages::AcceptedReading;
use crate::redis::SHARD;
use bytes::Bytes;
use feed::Proof;
use feed::relay::{RedisQuestion, told as redis_told};
use hot::miss::{MissRoute, Source};
use hot::{AnswerContext, Conversation, Counts, MissAnswer, Outcome, Policy, Step, Tier, answer, finish};
use link::{Class, Position, Seq};

/// Milliseconds after which a blind edge serves nothing from memory.
pub const MAX_STALE_MS: u64 = 5_000;

#[derive(Debug, Default)]
pub struct Reader {
    /// By key, what its last answer proved: no answer to come is older.
    pub low: [Option<(usize, Seq)>; KEYS],
    request: Option<OpenRequest>,
    miss: Option<(Box<hot::Miss>, MissRoute)>,
    conversation: Conversation,
}

/// A request that was sent and not answered.
#[derive(Clone, Copy, Debug)]
pub struct OpenRequest {
    /// Which key.
    pub key: usize,
    /// When it was sent.
    pub sent: u64,
    /// The write that its answer must reflect.
    pub token: Option<u32>,
}

/// What came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReaderAnswer {
    /// A redirect to this mark.
    Live(Option<u32>),
    /// 410.
    Gone,
    /// 404.
    Absent,
    /// 503.
    Unavailable,
}

/// A question to Redis on its way.
#[derive(Clone, Debug)]
pub struct RedisLookup {
    /// Whose.
    pub edge: usize,
    reader: usize,
    key: usize,
    token: Seq,
    question: RedisQuestion,
    replies: [Option<Bytes>; 2],
    read: usize,
}

impl RedisLookup {
    /// Its connection broke.
    pub fn again(&mut self) {
        (self.read, self.replies) = (0, [None, None]);
    }
}

impl Reader {
    /// The edge went away.
    pub fn disconnect(&mut self) {
        *self = Self::default();
    }

    /// Whether it waits for an answer.
    pub fn is_idle(&self) -> bool {
        self.request.is_none()
    }

    /// Whether the edge has not looked at its request yet.
    pub fn is_waiting(&self) -> bool {
        self.request.is_some() && self.miss.is_none()
    }
}

impl World {
    /// A client sends a request.
    pub fn request(&mut self, e: usize, r: usize) {
        let mut key = self.rng.below(KEYS).min(self.rng.below(KEYS)); // some are hot
        let commits = self.store.commits.len();
        if commits > 0 && self.rng.percent(25) {
            key = self.store.commits[commits - 1 - self.rng.below(commits.min(6))].key; // and what is new is looked at
        }
        let token = (commits > 0 && self.rng.percent(15)).then(|| {
            let back = self.rng.below(commits.min(8));
            (commits - 1 - back) as u32
        });
        self.counters.reads += 1;
        self.counters.tokens += u64::from(token.is_some());
        self.edges[e].readers[r].request = Some(OpenRequest { key, sent: self.now, token });
    }

    /// The edge wakes up with the request's bytes.
    pub fn wake(&mut self, e: usize, r: usize) {
        let Some(request) = self.edges[e].readers[r].request else { return };
        self.input.clear();
        self.input.extend_from_slice(b"GET /k");
        self.input.push(b'a' + request.key as u8);
        self.input.extend_from_slice(b" HTTP/1.1\r\nHost: h\r\n");
        if let Some(token) = request.token {
            let commit = self.store.commits[token as usize];
            let epoch = self.store.branches[commit.branch].epoch;
            self.input.extend_from_slice(b"X-Linkr-Min-Revision: ");
            self.input.extend_from_slice(Position::revision(epoch, commit.seq).as_bytes());
            self.input.extend_from_slice(b"\r\n");
        }
        self.input.extend_from_slice(b"\r\n");
        let (step, counts) = self.turn(e, |w, turn| {
            let reader = &mut w.readers[r];
            answer(&mut reader.conversation, w.input, w.out, turn).1
        });
        match step {
            Step::Miss(miss) => {
                let edge = &self.edges[e];
                // Only an edge that can see may believe a copy that may be late.
                let blind = edge.set.freshness(self.now + edge.boot).is_blind();
                let hunt = MissRoute::new(miss.token(), self.redis.up && !blind && !miss.needs_origin());
                self.edges[e].readers[r].miss = Some((miss, hunt));
                self.hunt(e, r);
            }
            _ => self.answer_came(e, r, &counts),
        }
    }

    /// Whom to ask next, or nobody.
    fn hunt(&mut self, e: usize, r: usize) {
        let edge = &mut self.edges[e];
        let Some(OpenRequest { key, .. }) = edge.readers[r].request else { return };
        let Some((miss, hunt)) = &mut edge.readers[r].miss else { return };
        let (token, primary) = (miss.token(), miss.needs_origin());
        match hunt.next(&edge.set, self.store.name(key)) {
            Some((Source::Redis, _)) => {
                let question = RedisQuestion::new(SHARD, edge.copy, self.store.name(key));
                let replies = [None, None];
                self.lookups.push(RedisLookup { edge: e, reader: r, key, token, question, replies, read: 0 });
            }
            Some((Source::Origin, _)) => self.ask(e, Some(r), vec![key], token, primary),
            None => self.finish(e, r, None),
        }
    }

    /// One more name of a question to Redis is read, or its replies arrive.
    pub fn look(&mut self, number: usize) {
        let lookup = &mut self.lookups[number];
        if lookup.read < 2 && self.redis.up && !self.redis.unproved && !self.edges[lookup.edge].unproved {
            lookup.replies[lookup.read] = self.redis.read(&lookup.question, lookup.read);
            lookup.read += 1;
            return;
        }
        let lookup = self.lookups.swap_remove(number);
        let (e, r) = (lookup.edge, lookup.reader);
        let (copy, told) = redis_told(&lookup.question, &lookup.replies);
        if let Some(copy) = copy.filter(|&copy| copy != lookup.question.copy) {
            self.edges[e].copy = copy;
            if let Some((_, hunt)) = &mut self.edges[e].readers[r].miss {
                hunt.other_copy();
            }
        }
        let known = told.filter(|told| lookup.read == 2 && told.as_of >= lookup.token).and_then(|told| {
            let record = told.record.unwrap_or_default();
            let version = record::decode(&record).map_or(told.as_of, |versioned| versioned.version);
            let proof = self.edges[e].proof;
            let as_of = Proof::reach(proof.as_ref(), told.epoch, told.as_of, version)?;
            self.counters.redis_unproved += u64::from(as_of < told.as_of);
            self.fill(e, lookup.key, told.epoch, as_of, &record)
        });
        self.counters.redis_fills += u64::from(known.is_some());
        self.counters.redis_unknown += u64::from(known.is_none());
        self.judge_edge(e);
        match known {
            Some(known) => self.finish(e, r, Some((Source::Redis, &known))),
            None => self.hunt(e, r),
        }
    }

    /// Origin said this, or nothing.
    pub fn told(&mut self, e: usize, r: usize, known: Option<&AcceptedReading>) {
        match known {
            Some(known) => self.finish(e, r, Some((Source::Origin, known))),
            None => self.hunt(e, r),
        }
    }

    fn finish(&mut self, e: usize, r: usize, known: Option<(Source, &AcceptedReading)>) {
        let Some((miss, _)) = self.edges[e].readers[r].miss.take() else { return };
        let told = known.map(|(source, known)| (source, known.told()));
        let asked =
            told.as_ref().map_or(MissAnswer::Nobody, |(source, told)| MissAnswer::Told(*source, told));
        let (_, counts) = self.turn(e, |w, turn| finish(&miss, asked, w.out, turn));
        self.answer_came(e, r, &counts);
    }

    fn turn<R>(
        &mut self,
        e: usize,
        then: impl FnOnce(TurnParts<'_>, &mut AnswerContext<'_>) -> R,
    ) -> (R, Counts) {
        let edge = &mut self.edges[e];
        let mut counts = Counts::default();
        self.out.clear();
        let policy = Policy { class: Class::Normal, max_stale_ms: MAX_STALE_MS };
        let mut turn = AnswerContext {
            set: &edge.set,
            domains: &mut self.domains,
            now: 1,
            boot_ms: self.now + edge.boot,
            policy,
            debug: false,
            stamp: &self.stamp,
            counts: &mut counts,
            clicks: None,
        };
        let parts = TurnParts { readers: &mut edge.readers, input: &self.input, out: &mut self.out };
        let result = then(parts, &mut turn);
        (result, counts)
    }

    fn answer_came(&mut self, e: usize, r: usize, counts: &Counts) {
        let Some(request) = self.edges[e].readers[r].request.take() else { return };
        let answer = if counts.get(Outcome::Redirect) > 0 {
            ReaderAnswer::Live(location(&self.out).and_then(named))
        } else if counts.get(Outcome::Gone) > 0 {
            ReaderAnswer::Gone
        } else if counts.get(Outcome::NotFound) > 0 {
            ReaderAnswer::Absent
        } else {
            ReaderAnswer::Unavailable
        };
        let tier = counts.tier;
        self.note(|_| format!("edge {e} reader {r} hears {answer:?} from {tier:?} for {request:?}"));
        match (answer, tier) {
            (ReaderAnswer::Unavailable, _) => self.counters.unavailable += 1,
            (_, Tier::Stale) => self.counters.stale_answers += 1,
            (_, tier) => {
                self.counters.fresh_reads += 1;
                self.counters.told_answers += u64::from(matches!(tier, Tier::Redis | Tier::Origin));
                self.counters.fresh_absences += u64::from(answer == ReaderAnswer::Absent);
            }
        }
        self.judge_answer(e, r, request, answer, tier);
    }
}

/// What a turn needs beside the set.
struct TurnParts<'a> {
    readers: &'a mut [Reader],
    input: &'a [u8],
    out: &'a mut Vec<u8>,
}

fn location(head: &[u8]) -> Option<&[u8]> {
    const NAME: &[u8] = b"Location: ";
    let from = head.windows(NAME.len()).position(|part| part == NAME)? + NAME.len();
    let length = head[from..].iter().position(|&byte| byte == b'\r')?;
    Some(&head[from..from + length])
}
