//! Somebody with the credential of an edge who says all that a hello can say: nothing changes for the others.

use super::edges::{BOUND, ping};
use super::feeds::{Edge, Stream, proof, soon};
use super::postgres::Database;
use super::world::{Folder, World, create};
use feed::Proof;
use link::{Epoch, Position};
use proto::v1::{self, follow_request};
use serde_json::Value;
use services::Random;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Lies of one test; more under `LINKR_LONG`.
const LIES: usize = 300;

/// What the others live through.
#[derive(Default)]
struct Life {
    resets: usize,
    ended: Vec<String>,
    longest: Duration,
    /// The proof that it would be robbed of, and where it stands.
    proof: Option<Proof>,
    position: Option<Position>,
}

/// An honest edge: follows, pings, and counts how long it was ever without a new proof of freshness.
async fn live(mut edge: Edge, mut stream: Stream, life: Arc<Mutex<Life>>, mut stop: watch::Receiver<bool>) {
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    let (mut clock, mut fresh, mut since) = (1, None, Instant::now());
    loop {
        tokio::select! {
            message = stream.inbound.message() => match message {
                Ok(Some(message)) => edge.handle(&stream, message.message.unwrap()).await,
                ended => {
                    life.lock().unwrap().ended.push(format!("{ended:?}"));
                    return;
                }
            },
            _ = tick.tick() => {
                clock += 1;
                let id = edge.follower.ping(clock).unwrap();
                Stream::say(&stream.out, follow_request::Message::Ping(v1::Ping { id, ..v1::Ping::default() })).await;
            }
            _ = stop.changed() => return,
        }
        let mut life = life.lock().unwrap();
        if edge.follower.fresh_as_of() != fresh {
            (fresh, since) = (edge.follower.fresh_as_of(), Instant::now());
        }
        life.longest = life.longest.max(since.elapsed());
        (life.resets, life.proof, life.position) = (edge.resets, edge.proof, edge.follower.position());
    }
}

struct Liar {
    dice: Random,
    proofs: Vec<Proof>,
}

impl Liar {
    fn position(&mut self, near: Position) -> Position {
        let dice = &mut self.dice;
        let counter = match dice.below(5) {
            0 => near.epoch.counter,
            1 => near.epoch.counter + 1 + dice.below(3) as u32,
            2 => u32::MAX - dice.below(2) as u32,
            3 => dice.next() as u32,
            _ => near.epoch.counter.saturating_sub(1),
        };
        let random = if dice.below(2) == 0 { near.epoch.random } else { dice.next() as u32 };
        let tag = if dice.below(2) == 0 { near.tag } else { dice.next() };
        Position { epoch: Epoch { counter, random }, seq: self.seq(near), tag }
    }

    fn seq(&mut self, near: Position) -> u64 {
        match self.dice.below(60) {
            0 => near.seq,
            1 => near.seq + 1 + self.dice.below(50),
            2 => self.dice.below(near.seq + 1),
            3 => self.dice.next(),
            4 => u64::MAX,
            _ => (1 << 48) - 1,
        }
    }

    /// That of another, or one of its own: one of many, so that its lies are looked at and need not wait.
    fn name(&mut self) -> String {
        match self.dice.below(60) {
            0 => "one".into(),
            1 => "two".into(),
            _ => format!("liar-{}", self.dice.below(100)),
        }
    }

    fn hello(&mut self, near: Position) -> v1::Hello {
        let position = self.position(near);
        let given = self.proofs.get(self.dice.below(self.proofs.len().max(1) as u64) as usize).copied();
        let proof = match self.dice.below(4) {
            0 => None,
            1 => given,
            2 => given.map(|given| Proof { position, ..given }),
            _ => Some(Proof { position, seal: std::array::from_fn(|_| self.dice.next() as u8) }),
        };
        let proof = proof.as_ref().map(proto::proof_to_wire).map(|mut proof| {
            let length = if self.dice.below(10) == 0 { self.dice.below(40) as usize } else { 16 };
            proof.seal = proof.seal.iter().copied().chain([0; 40]).take(length).collect::<Vec<_>>().into();
            proof
        });
        v1::Hello {
            protocol: feed::PROTOCOL,
            features: self.dice.next(),
            edge: self.name(),
            incarnation: self.dice.below(4),
            epoch: (self.dice.below(10) > 0).then(|| proto::epoch_to_wire(position.epoch)),
            applied: position.seq,
            tag: position.tag,
            seen: self.seq(near),
            want_walk: self.dice.below(2) == 0,
            walk_after: self.dice.next().to_be_bytes()[..self.dice.below(9) as usize].to_vec().into(),
            number: self.dice.next(),
            proof,
            explains: self.dice.below(2) == 0,
        }
    }

    /// One hello, and a few more lies if it is let in. `true`: it was.
    async fn lie(&mut self, world: &World, near: Position) -> bool {
        let mut stream = Stream::open(world, self.hello(near)).await;
        let Ok(Some(first)) = soon(stream.inbound.message()).await else { return false };
        if let Some(given) = first.message.as_ref().and_then(proof) {
            self.proofs.push(given);
        }
        let more = match self.dice.below(5) {
            0 => follow_request::Message::Applied(v1::Applied {
                seq: self.seq(near),
                page: self.dice.below(9),
            }),
            1 => follow_request::Message::Leave(v1::Leave::default()),
            3 => follow_request::Message::Explained(v1::Explained {
                id: self.dice.below(3),
                explanation: None,
            }),
            2 => follow_request::Message::Hello(self.hello(near)),
            _ => {
                let report = self.dice.next().to_be_bytes().repeat(self.dice.below(600) as usize).into();
                follow_request::Message::Ping(v1::Ping {
                    id: self.dice.next(),
                    report,
                    ..v1::Ping::default()
                })
            }
        };
        Stream::say(&stream.out, more).await;
        true
    }
}

/// What people see of the log.
async fn history(world: &World) -> (Value, Value) {
    let listed = world.rest("GET /v1/edges", Value::Null).await.body;
    (listed["log"]["epoch"].clone(), listed["log"]["histories"].clone())
}

async fn a_liar_changes_nothing(world: &World) {
    let mut links = world.links().await;
    for n in 0..20 {
        links.create_link(create(&format!("c{n}"), "https://a.example/")).await.unwrap();
    }
    let (stop, stopped) = watch::channel(false);
    let (mut lives, mut tasks) = (Vec::new(), Vec::new());
    for (name, incarnation) in [("one", 0x1111), ("two", 0x2222)] {
        let mut edge = Edge::named(name, incarnation);
        let mut stream = edge.connect(world).await;
        edge.until(&mut stream, |edge| edge.follower.walked()).await;
        ping(&mut edge, &stream).await;
        edge.until(&mut stream, |edge| edge.follower.fresh_as_of().is_some()).await;
        let life = Arc::new(Mutex::new(Life::default()));
        tasks.push(tokio::spawn(live(edge, stream, life.clone(), stopped.clone())));
        lives.push(life);
    }
    let before = history(world).await;
    let mut liar = Liar { dice: Random::new(1), proofs: Vec::new() };
    let (mut let_in, mut refused) = (0, 0);
    let lies = if std::env::var_os("LINKR_LONG").is_some() { 50 * LIES } else { LIES };
    for n in 0..lies {
        if n % 10 == 0 {
            links.create_link(create(&format!("l{n}"), "https://a.example/")).await.unwrap();
            // It robs the others of what they hold.
            liar.proofs.extend(lives.iter().filter_map(|life| life.lock().unwrap().proof));
        }
        let near = lives[n % 2].lock().unwrap().position.unwrap_or_default();
        match liar.lie(world, near).await {
            true => let_in += 1,
            false => refused += 1,
        }
    }
    assert_eq!(history(world).await, before, "a history has begun");
    stop.send(true).unwrap();
    for task in tasks {
        task.await.unwrap();
    }
    for life in &lives {
        let life = life.lock().unwrap();
        assert_eq!((life.resets, &life.ended), (1, &Vec::new()), "the first reset, and no end");
        assert!(life.longest < BOUND, "without freshness for {:?}", life.longest);
    }
    let longest = lives.iter().map(|life| life.lock().unwrap().longest).max().unwrap();
    println!(
        "{let_in} lies let in, {refused} refused, {} proofs; freshness at most {longest:?} old",
        liar.proofs.len()
    );
    assert!(let_in > 20 && refused > 20 && liar.proofs.len() > 20, "it has not lied in all ways");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_liar_changes_nothing_for_others_on_sqlite() {
    let world = World::alone(Folder::new()).await;
    a_liar_changes_nothing(&world).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_liar_changes_nothing_for_others_on_postgres() {
    for auto_fork in [true, false] {
        let Some(db) = Database::new() else { return };
        let world = World::alone_on(db.opened(auto_fork).await).await;
        a_liar_changes_nothing(&world).await;
        world.stop().await;
    }
}
