//! Somebody with the stolen key of an edge: a process of its own that says all that an edge can say, as fast as it can,
//! and comes again. What it is told is of use to it for further lies alone.

use clap::Args;
use link::{Epoch, Position};
use proto::client::{Access, KeySource, KeyedChannel};
use proto::v1::{
    self, FetchRequest, FollowRequest, Hello, feed_client::FeedClient, follow_request, follow_response,
};
use serde::{Deserialize, Serialize};
use services::Random;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Endpoint;

/// The name that its key is for.
pub const NAME: &str = "liar";
/// Of the feed.
const PROTOCOL: u32 = 1;
/// Streams at once that lie, more than one edge may have; of them, those that read nothing; and questions at once.
const STREAMS: usize = 20;
const DEAF: usize = 4;
const QUESTIONS: usize = 64;
/// Lies on one connection, before it makes another.
const ON_ONE: u32 = 40;
/// For an answer that control owes it; and for one that it may have no reason for.
const PATIENCE: Duration = Duration::from_millis(500);
const MOMENT: Duration = Duration::from_millis(5);
const QUESTION: Duration = Duration::from_secs(10);
/// How long one that reads nothing stays.
const DEAFNESS: Duration = Duration::from_secs(2);
/// How much longer it lies than it should, at most, while control has given it no proof: on a busy machine in a short trial.
const NO_PROOF: Duration = Duration::from_secs(10);
/// Proofs that it remembers.
const PROOFS: usize = 1_000;

/// The flags.
#[derive(Args)]
pub struct Liar {
    /// The controls
    #[arg(long, value_delimiter = ',')]
    control: Vec<String>,
    /// The key that was stolen
    #[arg(long)]
    key_file: PathBuf,
    /// For how long
    #[arg(long)]
    milliseconds: u64,
    #[arg(long)]
    seed: u64,
    /// What it did, as JSON, at its end
    #[arg(long)]
    report: PathBuf,
}

/// What it did.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct LiarReport {
    /// Hellos, the second ones on a stream too.
    pub hellos: u64,
    /// Of them, those that were answered with more than words.
    pub let_in: u64,
    /// Of them, those that were refused, in words.
    pub refused: u64,
    /// Acknowledgements, pings and goodbyes.
    pub messages: u64,
    /// Questions that were answered, and those that were refused in words.
    pub answers: u64,
    pub refused_questions: u64,
    /// Calls that ended without a word of control, which only a connection that ends may do.
    pub dropped: u64,
    /// Proofs that it was given.
    pub proofs: u64,
}

impl LiarReport {
    /// Whether each kind of lie was told, and taken or refused.
    pub fn all_ways(&self) -> bool {
        let all =
            [self.let_in, self.refused, self.messages, self.answers, self.refused_questions, self.proofs];
        all.iter().all(|&count| count > 0)
    }
}

/// A position under a seal, which is its own or not.
#[derive(Clone, Copy)]
struct Proof {
    position: Position,
    seal: [u8; 16],
}

impl Proof {
    fn of(told: &v1::Proof) -> Option<Self> {
        let epoch = proto::epoch_from_wire(told.epoch.as_ref()).ok()?;
        let position = Position { epoch, seq: told.seq, tag: told.tag };
        Some(Self { position, seal: told.seal[..].try_into().ok()? })
    }

    fn told(self) -> v1::Proof {
        let Position { epoch, seq, tag } = self.position;
        v1::Proof { epoch: Some(proto::epoch_to_wire(epoch)), seq, tag, seal: self.seal.to_vec().into() }
    }
}

struct Shared {
    told: Mutex<LiarReport>,
    /// True proofs, to be shown again.
    proofs: Mutex<Vec<Proof>>,
    controls: Vec<Endpoint>,
    access: Access,
    end: Instant,
}

impl Liar {
    /// Lies to its end.
    ///
    /// # Errors
    /// It cannot begin.
    pub async fn run(self) -> Result<bool, String> {
        let access = Access { key: KeySource::File(self.key_file), ..Access::default() };
        let controls = self.control.iter().map(|url| access.endpoint(url)).collect::<Result<_, _>>()?;
        let end = Instant::now() + Duration::from_millis(self.milliseconds);
        let shared =
            Arc::new(Shared { told: Mutex::default(), proofs: Mutex::default(), controls, access, end });
        println!("{NAME} begins");
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..STREAMS + QUESTIONS {
            let (shared, random) = (shared.clone(), Random::of(self.seed, number as u64));
            match number {
                0..DEAF => tasks.spawn(async move { shared.deaf(random).await }),
                DEAF..STREAMS => tasks.spawn(async move { shared.lies(random).await }),
                _ => tasks.spawn(async move { shared.asks(random).await }),
            };
        }
        while tasks.join_next().await.is_some() {}
        let told = serde_json::to_string(&*shared.told()).unwrap_or_default();
        std::fs::write(&self.report, told)
            .map_err(|fault| format!("cannot write {}: {fault}", self.report.display()))?;
        Ok(true)
    }
}

impl Shared {
    fn told(&self) -> std::sync::MutexGuard<'_, LiarReport> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, note: impl FnOnce(&mut LiarReport)) {
        note(&mut self.told());
    }

    fn over(&self) -> bool {
        Instant::now() >= self.end()
    }

    fn end(&self) -> Instant {
        self.end + if self.told().proofs == 0 { NO_PROOF } else { Duration::ZERO }
    }

    async fn connect(&self, random: &mut Random) -> Option<FeedClient<KeyedChannel>> {
        let which = random.below(self.controls.len() as u32) as usize;
        let channel = self.controls[which].connect().await.ok()?;
        let way = self.access.way(channel).ok()?;
        Some(FeedClient::new(way).max_decoding_message_size(16 << 20))
    }

    /// Streams, one after the other, until the end.
    async fn lies(&self, mut random: Random) {
        while !self.over() {
            let Some(mut client) = self.connect(&mut random).await else {
                sleep(Duration::from_millis(10)).await; // control is busy or gone
                continue;
            };
            for _ in 0..ON_ONE {
                if self.over() {
                    return;
                }
                self.stream(&mut client, &mut random).await;
            }
        }
    }

    /// Opens a stream with a lie.
    async fn open(&self, client: &mut FeedClient<KeyedChannel>, hello: Hello) -> Option<LiarStream> {
        let (say, said) = mpsc::channel(64);
        let mut course = LiarStream { say, told: None, near: Position::default(), sent: 0, page: 0 };
        course.say(follow_request::Message::Hello(hello)).await;
        self.note(|told| told.hellos += 1);
        match timeout(PATIENCE, client.follow(ReceiverStream::new(said))).await {
            Ok(Ok(told)) => course.told = Some(told.into_inner()),
            Ok(Err(status)) => return self.refused(&status),
            Err(_) => return None,
        }
        Some(course)
    }

    fn refused<T>(&self, status: &tonic::Status) -> Option<T> {
        let words = in_words(status);
        self.note(|told| if words { told.refused += 1 } else { told.dropped += 1 });
        None
    }

    async fn stream(&self, client: &mut FeedClient<KeyedChannel>, random: &mut Random) {
        let near = self.near(random);
        let Some(mut course) = self.open(client, self.hello(random, near)).await else { return };
        course.near = near;
        if !self.hear(&mut course, PATIENCE).await {
            return;
        }
        self.note(|told| told.let_in += 1);
        for _ in 0..random.below(60) {
            let near = course.near;
            let message = match random.below(10) {
                // As an honest edge would, but without having looked.
                0..4 => follow_request::Message::Applied(v1::Applied { seq: course.sent, page: course.page }),
                4 => follow_request::Message::Applied(v1::Applied {
                    seq: seq(random, near),
                    page: random.below(5u64),
                }),
                5..8 => follow_request::Message::Ping(v1::Ping { id: random.next(), ..v1::Ping::default() }),
                8 => {
                    self.note(|told| told.hellos += 1);
                    follow_request::Message::Hello(self.hello(random, near))
                }
                _ if random.chance(300) => follow_request::Message::Leave(v1::Leave::default()),
                _ => follow_request::Message::Ping(v1::Ping { id: 0, ..v1::Ping::default() }),
            };
            self.note(|told| told.messages += 1);
            course.say(message).await;
            if random.chance(500) && !self.hear(&mut course, MOMENT).await {
                return;
            }
        }
    }

    /// One message of control. `false`: it was the last.
    async fn hear(&self, course: &mut LiarStream, patience: Duration) -> bool {
        let Some(told) = &mut course.told else { return false };
        let message = match timeout(patience, told.message()).await {
            Ok(Ok(Some(message))) => message.message,
            Ok(Err(status)) => return self.refused::<()>(&status).is_some(),
            Ok(Ok(None)) => return false,
            Err(_) => return true, // it had nothing to say
        };
        let proof = match message {
            Some(follow_response::Message::Resume(m)) => m.proof,
            Some(follow_response::Message::Reset(m)) => {
                (course.sent, course.page) = (m.start, 0);
                m.proof
            }
            Some(follow_response::Message::Batch(m)) => {
                course.sent = m.changes.last().map_or(course.sent, |change| change.seq);
                m.proof
            }
            Some(follow_response::Message::Page(m)) => {
                course.page = m.number;
                m.proof
            }
            Some(
                follow_response::Message::Pong(_)
                | follow_response::Message::DayKey(_)
                | follow_response::Message::Explain(_),
            )
            | None => None,
        };
        if let Some(proof) = proof.as_ref().and_then(Proof::of) {
            course.near = proof.position;
            self.note(|told| told.proofs += 1);
            let mut proofs = self.proofs.lock().unwrap_or_else(PoisonError::into_inner);
            if proofs.len() < PROOFS {
                proofs.push(proof);
            } else {
                let at = proof.position.seq as usize % PROOFS;
                proofs[at] = proof;
            }
        }
        true
    }

    /// A stream that takes nothing, over and over.
    async fn deaf(&self, mut random: Random) {
        while !self.over() {
            let Some(mut client) = self.connect(&mut random).await else {
                sleep(Duration::from_millis(10)).await;
                continue;
            };
            let hello = Hello {
                epoch: None,
                want_walk: true,
                proof: None,
                ..self.hello(&mut random, Position::default())
            };
            let Some(course) = self.open(&mut client, Hello { edge: NAME.into(), seen: 0, ..hello }).await
            else {
                continue;
            };
            let until = self.end().min(Instant::now() + DEAFNESS);
            while Instant::now() < until {
                course
                    .say(follow_request::Message::Ping(v1::Ping { id: random.next(), ..v1::Ping::default() }))
                    .await;
                sleep(Duration::from_millis(1)).await;
            }
        }
    }

    /// Questions about links, there or not, now or in the time to come.
    async fn asks(&self, mut random: Random) {
        while !self.over() {
            let Some(mut client) = self.connect(&mut random).await else {
                sleep(Duration::from_millis(10)).await;
                continue;
            };
            for _ in 0..ON_ONE {
                if self.over() {
                    return;
                }
                let most = if random.chance(900) { 257 } else { 600 };
                let keys = (0..random.below(most)).map(|_| key(&mut random).into()).collect();
                let min_seq = if random.chance(500) { 0 } else { random.next() };
                let asked = timeout(QUESTION, client.fetch(FetchRequest { keys, min_seq })).await;
                self.note(|told| match asked {
                    Ok(Ok(_)) => told.answers += 1,
                    Ok(Err(status)) if in_words(&status) => told.refused_questions += 1,
                    Ok(Err(_)) | Err(_) => told.dropped += 1,
                });
            }
        }
    }

    /// Where the log is, as far as it was told.
    fn near(&self, random: &mut Random) -> Position {
        self.given(random).map_or_else(Position::default, |given| given.position)
    }

    fn given(&self, random: &mut Random) -> Option<Proof> {
        let proofs = self.proofs.lock().unwrap_or_else(PoisonError::into_inner);
        proofs.get(random.below(proofs.len() as u32) as usize).copied()
    }

    fn hello(&self, random: &mut Random, near: Position) -> Hello {
        let position = Position {
            epoch: epoch(random, near.epoch),
            seq: seq(random, near),
            tag: if random.chance(700) { near.tag } else { random.next() },
        };
        let given = self.given(random);
        let proof = match random.below(4) {
            0 => None,
            1 => given,
            2 => given.map(|given| Proof { position, ..given }),
            _ => Some(Proof { position, seal: std::array::from_fn(|_| random.next() as u8) }),
        };
        // Every fourth is a good one of its own, so that it is let in often.
        let honest = given.filter(|_| random.chance(250));
        let position = honest.map_or(position, |given| given.position);
        let names = [NAME, NAME, NAME, NAME, NAME, "edge-0", "LIAR", " liar", "edge-1", ""];
        Hello {
            protocol: if random.chance(950) { PROTOCOL } else { random.next() as u32 },
            features: random.next(),
            edge: names[random.below(names.len() as u32) as usize].into(),
            incarnation: random.below(8u64),
            epoch: random.chance(900).then(|| proto::epoch_to_wire(position.epoch)),
            applied: position.seq,
            tag: position.tag,
            seen: honest.map_or_else(|| seq(random, near), |given| given.position.seq),
            want_walk: random.chance(500),
            walk_after: if random.chance(990) { key(random).into() } else { vec![0; 1_000].into() },
            explains: random.chance(500),
            number: random.next(),
            proof: honest.or(proof).map(Proof::told),
        }
    }
}

struct LiarStream {
    say: mpsc::Sender<FollowRequest>,
    told: Option<Streaming<v1::FollowResponse>>,
    near: Position,
    sent: u64,
    page: u64,
}

impl LiarStream {
    /// Nothing waits: what control does not take now is a lie less.
    async fn say(&self, message: follow_request::Message) {
        let message = FollowRequest { message: Some(message) };
        let _ = timeout(PATIENCE, self.say.send(message)).await; // control may have ended the stream
    }
}

/// Said by control, not by a connection that broke.
fn in_words(status: &tonic::Status) -> bool {
    !status.message().is_empty() && std::error::Error::source(status).is_none()
}

fn epoch(random: &mut Random, near: Epoch) -> Epoch {
    let counter = match random.below(5) {
        0 | 1 => near.counter,
        2 => near.counter.saturating_add(1 + random.below(3)),
        3 => u32::MAX - random.below(2),
        _ => random.next() as u32,
    };
    Epoch { counter, random: if random.chance(700) { near.random } else { random.next() as u32 } }
}

fn seq(random: &mut Random, near: Position) -> u64 {
    match random.below(7) {
        0 | 1 => near.seq,
        2 => near.seq.saturating_add(1 + random.below(1_000u64)),
        3 => random.below(1_000_000u64) % (near.seq + 1),
        4 => random.next(),
        5 => u64::MAX,
        _ => (1 << 48) - 1,
    }
}

/// Of a link of the trial, or of none.
fn key(random: &mut Random) -> Vec<u8> {
    match random.below(4) {
        0 => (0..random.below(133)).map(|_| random.next() as u8).collect(),
        _ => [&[0, 0, 0, 0], crate::history::code(random.below(2_000)).as_bytes()].concat(),
    }
}
