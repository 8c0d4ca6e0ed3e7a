//! The feed as an edge lives it: the edge's own state machine at one end, a running control at the other.

use super::world::{self, Folder, Mood, MoodyStore, World, create, name, to};
use bytes::Bytes;
use feed::{Effect, Entry, Event, Follower, Proof};
use link::{LinkState, Position};
use proto::v1::{self, feed_client::FeedClient, follow_request, follow_response};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Streaming};

/// An edge without its set: what it was told, by key.
pub struct Edge {
    pub follower: Follower,
    pub held: BTreeMap<Bytes, Bytes>,
    pub resets: usize,
    pub pages: usize,
    pub proof: Option<Proof>,
    /// What it knows of the features of records: as one of today unless a test says otherwise.
    pub features: u64,
    incarnation: u64,
}

pub struct Stream {
    pub out: mpsc::Sender<v1::FollowRequest>,
    pub inbound: Streaming<v1::FollowResponse>,
}

impl Stream {
    pub async fn open(world: &World, hello: v1::Hello) -> Self {
        Self::open_on(world.channel().await, hello).await
    }

    pub async fn open_on(channel: Channel, hello: v1::Hello) -> Self {
        let (out, messages) = mpsc::channel(64);
        Self::say(&out, follow_request::Message::Hello(hello)).await;
        let inbound =
            FeedClient::new(channel).follow(ReceiverStream::new(messages)).await.unwrap().into_inner();
        Self { out, inbound }
    }

    pub async fn say(out: &mpsc::Sender<v1::FollowRequest>, message: follow_request::Message) {
        let _ = out.send(v1::FollowRequest { message: Some(message) }).await;
    }
}

/// What never comes fails a test instead of holding it for ever.
pub async fn soon<T>(wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(std::time::Duration::from_secs(20), wait).await.expect("something comes")
}

impl Edge {
    fn new() -> Self {
        Self::named("e", 0)
    }

    pub fn named(name: &str, incarnation: u64) -> Self {
        let follower = Follower::new(name.into(), incarnation);
        let features = record::Features::KNOWN.0;
        Self { follower, held: BTreeMap::new(), resets: 0, pages: 0, proof: None, features, incarnation }
    }

    pub fn hello(&mut self) -> v1::Hello {
        let hello = self.follower.hello(self.follower.applied(), self.proof);
        v1::Hello {
            protocol: feed::PROTOCOL,
            features: self.features,
            edge: hello.edge,
            incarnation: self.incarnation,
            epoch: hello.position.map(|position| proto::epoch_to_wire(position.epoch)),
            applied: hello.position.map_or(0, |position| position.seq),
            tag: hello.position.map_or(0, |position| position.tag),
            seen: hello.seen,
            want_walk: hello.want_walk,
            walk_after: hello.walk_after.into(),
            number: hello.number,
            proof: hello.proof.as_ref().map(proto::proof_to_wire),
            explains: false,
        }
    }

    pub async fn connect(&mut self, world: &World) -> Stream {
        Stream::open(world, self.hello()).await
    }

    /// Handles messages until `done`.
    pub async fn until(&mut self, stream: &mut Stream, done: impl Fn(&Self) -> bool) {
        while !done(self) {
            let message = soon(stream.inbound.message()).await.unwrap().expect("the stream goes on");
            self.handle(stream, message.message.unwrap()).await;
        }
    }

    pub async fn handle(&mut self, stream: &Stream, message: follow_response::Message) {
        if let follow_response::Message::DayKey(_) = message {
            return; // it counts no clicks
        }
        let proof = proof(&message);
        let effect = self.follower.handle(event(message));
        effect.keep_proof(&mut self.proof, proof);
        let page = match effect {
            Effect::Reset(_) => {
                self.held.clear();
                self.resets += 1;
                return;
            }
            Effect::Apply(changes) => {
                self.held.extend(changes.into_iter().map(|change| (change.key, change.record)));
                self.pages as u64
            }
            Effect::Load { entries, number, .. } => {
                for entry in entries {
                    // As the set does: an older value never replaces a newer one.
                    let version = |record: &Bytes| record::decode(record).unwrap().version;
                    if self.held.get(&entry.key).is_none_or(|own| version(own) < version(&entry.record)) {
                        self.held.insert(entry.key, entry.record);
                    }
                }
                self.pages = usize::try_from(number).unwrap();
                number
            }
            Effect::Resume { .. } => {
                self.pages = 0; // numbered anew on each stream
                return;
            }
            Effect::Nothing => return,
            other => panic!("{other:?}"),
        };
        let applied = v1::Applied { seq: self.follower.applied(), page };
        Stream::say(&stream.out, follow_request::Message::Applied(applied)).await;
    }
}

pub fn proof(message: &follow_response::Message) -> Option<Proof> {
    use follow_response::Message;
    proto::proof_from_wire(match message {
        Message::Resume(m) => m.proof.as_ref(),
        Message::Reset(m) => m.proof.as_ref(),
        Message::Batch(m) => m.proof.as_ref(),
        Message::Page(m) => m.proof.as_ref(),
        Message::Pong(_) | Message::DayKey(_) | Message::Explain(_) => None,
    })
}

fn event(message: follow_response::Message) -> Event {
    use follow_response::Message;
    let epoch = |epoch: Option<v1::Epoch>| proto::epoch_from_wire(epoch.as_ref()).unwrap();
    match message {
        Message::Resume(m) => Event::Resume {
            session: m.session,
            hello: m.hello,
            epoch: epoch(m.epoch),
            fork_seq: m.fork_seq,
            walk: m.walk,
        },
        Message::Reset(m) => Event::Reset {
            session: m.session,
            hello: m.hello,
            start: Position { epoch: epoch(m.epoch), seq: m.start, tag: m.tag },
        },
        Message::Batch(m) => Event::Batch {
            session: m.session,
            epoch: epoch(m.epoch),
            prev_seq: m.prev_seq,
            changes: m.changes.into_iter().map(|change| proto::change_from_wire(change).unwrap()).collect(),
        },
        Message::Page(m) => Event::Page {
            session: m.session,
            epoch: epoch(m.epoch),
            number: m.number,
            as_of: m.as_of,
            entries: m.entries.into_iter().map(|e| Entry { key: e.key, record: e.record }).collect(),
            last: m.last,
        },
        Message::Pong(m) => Event::Pong { session: m.session, id: m.id, head: m.head },
        Message::DayKey(_) | Message::Explain(_) => unreachable!("it is no event of the follower"),
    }
}

pub async fn write(world: &World, codes: impl Iterator<Item = String>) {
    let mut links = world.links().await;
    let rows = codes.map(|code| v1::Link { code, ..to("https://a.example/") }).collect();
    let message = v1::ImportLinksRequest { links: rows, ..Default::default() };
    let mut answer = links.import_links(tokio_stream::iter([message])).await.unwrap().into_inner();
    while answer.message().await.unwrap().is_some() {}
}

pub async fn delete(world: &World, code: &str) {
    let request = v1::DeleteLinkRequest { name: name(code), ..Default::default() };
    world.links().await.delete_link(request).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_walk_then_the_tail_then_a_resume() {
    let world = World::new().await;
    write(&world, (0..4_500).map(|n| format!("c{n}"))).await;
    delete(&world, "c7").await;
    let mut edge = Edge::new();
    let mut stream = edge.connect(&world).await;
    edge.until(&mut stream, |edge| edge.follower.walked()).await;
    assert_eq!((edge.held.len(), edge.pages, edge.resets), (4_500, 3, 1));
    let tombstones = edge.held.values().filter(|r| record::decode(r).unwrap().state == LinkState::Deleted);
    assert_eq!(tombstones.count(), 1, "a walk carries tombstones");

    write(&world, (0..2_500).map(|n| format!("d{n}"))).await;
    delete(&world, "d0").await;
    edge.until(&mut stream, |edge| edge.follower.applied() == 7_002).await;
    assert_eq!(edge.held.len(), 7_000);

    // A ping after an acknowledged write: fresh only once that write is applied.
    world.links().await.create_link(create("late", "https://a.example/")).await.unwrap();
    let id = edge.follower.ping(1).unwrap();
    Stream::say(&stream.out, follow_request::Message::Ping(v1::Ping { id, ..v1::Ping::default() })).await;
    edge.until(&mut stream, |edge| edge.follower.fresh_as_of() == Some(1)).await;
    assert_eq!(edge.follower.applied(), 7_003);
    assert!(world::text(world.running.metrics()).contains("linkr_control_feed_sessions 1\n"));

    drop(stream);
    write(&world, (0..10).map(|n| format!("e{n}"))).await;
    let mut stream = edge.connect(&world).await;
    edge.until(&mut stream, |edge| edge.follower.applied() == 7_013).await;
    assert_eq!((edge.held.len(), edge.resets), (7_011, 1), "resumed, not reset");

    // The same after control itself was restarted: the proof is on disk.
    drop(stream);
    let world = World::at(world.stop().await).await;
    write(&world, std::iter::once("f".to_owned())).await;
    let mut stream = edge.connect(&world).await;
    edge.until(&mut stream, |edge| edge.follower.applied() == 7_014).await;
    assert_eq!((edge.held.len(), edge.resets), (7_012, 1));
    drop(stream);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_walk_that_was_cut_goes_on_behind_its_last_key() {
    let world = World::new().await;
    write(&world, (0..4_500).map(|n| format!("c{n:04}"))).await;
    let mut edge = Edge::new();
    let mut stream = edge.connect(&world).await;
    edge.until(&mut stream, |edge| edge.pages == 1).await;
    drop(stream);
    let mut stream = edge.connect(&world).await;
    edge.pages = 0;
    edge.until(&mut stream, |edge| edge.follower.walked()).await;
    assert_eq!((edge.held.len(), edge.pages, edge.resets), (4_500, 2, 1));
    drop(stream);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_and_a_walk_at_the_same_time_end_at_the_same_state() {
    let world = World::new().await;
    write(&world, (0..5_000).map(|n| format!("c{n}"))).await;
    let mut edge = Edge::new();
    let mut stream = edge.connect(&world).await;
    let writes = async {
        for n in (0..5_000).step_by(50) {
            delete(&world, &format!("c{n}")).await;
        }
    };
    let done = |edge: &Edge| edge.follower.applied() == 5_100 && edge.follower.walked();
    tokio::join!(writes, edge.until(&mut stream, done));
    let dead = edge.held.values().filter(|r| record::decode(r).unwrap().state == LinkState::Deleted).count();
    assert_eq!((edge.held.len(), dead), (5_000, 100));
    drop(stream);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_history_resets_who_has_seen_more_and_nobody_else() {
    let world = World::new().await;
    write(&world, (0..30).map(|n| format!("c{n}"))).await;
    let mut edge = Edge::new();
    let mut stream = edge.connect(&world).await;
    edge.until(&mut stream, |edge| edge.follower.walked()).await;
    drop(stream);
    let folder = world.stop().await;

    // A backup is restored: the same epoch, but it ends earlier and goes on differently.
    let backup = std::fs::read(folder.db()).unwrap();
    let world = World::at(folder).await;
    write(&world, (0..20).map(|n| format!("d{n}"))).await;
    let mut ahead = Edge::new();
    let mut stream = ahead.connect(&world).await;
    ahead.until(&mut stream, |edge| edge.follower.walked()).await;
    drop(stream);
    let folder = world.stop().await;
    std::fs::write(folder.db(), backup).unwrap();
    let world = World::at(folder).await;
    write(&world, (0..5).map(|n| format!("x{n}"))).await;

    // This one has seen more than the restored log shares with what it was.
    let mut stream = ahead.connect(&world).await;
    ahead.until(&mut stream, |edge| edge.resets == 2 && edge.follower.walked()).await;
    assert_eq!((ahead.held.len(), ahead.follower.applied()), (35, 35));
    assert_eq!(ahead.follower.position().unwrap().epoch.counter, 2);

    // And this one, that has seen only what both histories share, goes on with what it has.
    let mut second = edge.connect(&world).await;
    edge.until(&mut second, |edge| edge.follower.applied() == 35).await;
    assert_eq!((&edge.held, edge.resets), (&ahead.held, 1));
    drop((stream, second));

    // An edge that proves a still later history ends the streams of the others, who then say hello again.
    let folder = world.stop().await;
    let backup = std::fs::read(folder.db()).unwrap();
    let folder = World::at(folder).await.stop().await;
    let world = World::at(folder).await;
    let mut stream = ahead.connect(&world).await;
    ahead.until(&mut stream, |edge| edge.follower.position().unwrap().epoch.counter == 4).await;
    drop(stream);
    let folder = world.stop().await;
    std::fs::write(folder.db(), backup).unwrap();
    let world = World::at(folder).await;
    let mut second = edge.connect(&world).await;
    let Some(follow_response::Message::Resume(_)) = second.inbound.message().await.unwrap().unwrap().message
    else {
        panic!("no resume")
    };
    let mut third = ahead.connect(&world).await;
    let Some(follow_response::Message::Reset(reset)) =
        soon(third.inbound.message()).await.unwrap().unwrap().message
    else {
        panic!("no reset")
    };
    assert_eq!(reset.epoch.unwrap().counter, 5);
    let ended = loop {
        // The key of the day comes before.
        if let Err(status) = soon(second.inbound.message()).await {
            break status;
        }
    };
    assert_eq!(ended.code(), Code::Aborted);
    drop((second, third));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_behind_a_hole_is_sent_and_edges_learn_that_they_are_behind() {
    let folder = Folder::new();
    let store = MoodyStore::new(&folder);
    let world = World::on(folder, store.clone()).await;
    let mut edge = Edge::new();
    let mut stream = edge.connect(&world).await;
    edge.until(&mut stream, |edge| edge.follower.walked()).await;
    store.set(Mood { hole: Some(2), ..Mood::default() });
    write(&world, (0..3).map(|n| format!("c{n}"))).await;
    let id = edge.follower.ping(1).unwrap();
    Stream::say(&stream.out, follow_request::Message::Ping(v1::Ping { id, ..v1::Ping::default() })).await;
    edge.until(&mut stream, |edge| edge.follower.lag() >= 3).await;
    assert!(edge.follower.applied() < 2 && edge.follower.fresh_as_of().is_none());
    drop(stream);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_edge_of_ours_says_ends_the_stream() {
    let world = World::new().await;
    let mut old = Stream::open(&world, v1::Hello { protocol: 7, ..v1::Hello::default() }).await;
    assert_eq!(old.inbound.message().await.unwrap_err().code(), Code::FailedPrecondition);
    let mut liar = Stream::open(&world, Edge::new().hello()).await;
    let applied = v1::Applied { seq: 99, page: 0 };
    Stream::say(&liar.out, follow_request::Message::Applied(applied)).await;
    let ended = loop {
        if let Err(status) = liar.inbound.message().await {
            break status;
        }
    };
    assert_eq!(ended.code(), Code::InvalidArgument);
    let mut open = Stream::open(&world, Edge::new().hello()).await;
    open.inbound.message().await.unwrap();
    world.stop().await;
    let ended = loop {
        match open.inbound.message().await {
            Err(status) => break status,
            Ok(message) => assert!(message.is_some(), "an end without a word"),
        }
    };
    assert_eq!(ended.code(), Code::Unavailable);
}

/// Found by attack: one stream said hello without end, and each cost reads of the store; then, one stream after the other.
#[tokio::test(flavor = "multi_thread")]
async fn an_edge_that_says_hello_without_end_waits_and_others_do_not() {
    let world = World::new().await;
    let (mut edge, began) = (Edge::new(), Instant::now());
    let mut stream = edge.connect(&world).await;
    let mut answered = 0;
    while answered < 26 {
        let message = soon(stream.inbound.message()).await.unwrap().and_then(|message| message.message);
        let Some(follow_response::Message::Reset(_) | follow_response::Message::Resume(_)) = message else {
            continue; // a page that an earlier answer goes on with
        };
        answered += 1;
        if answered % 2 == 0 {
            stream = edge.connect(&world).await;
        } else {
            Stream::say(&stream.out, follow_request::Message::Hello(edge.hello())).await;
        }
    }
    assert!(began.elapsed() > Duration::from_millis(1_800), "{:?}", began.elapsed());
    // More streams than turns in the time that one waits: the last are told, the others let in.
    let (channel, mut crowd) = (world.channel().await, JoinSet::new());
    for _ in 0..15 {
        let (channel, hello) = (channel.clone(), edge.hello());
        crowd.spawn(async move { Stream::open_on(channel, hello).await.inbound.message().await.err() });
    }
    let told: Vec<_> = soon(crowd.join_all()).await.into_iter().flatten().collect();
    assert!((1..15).contains(&told.len()), "{told:?}");
    for told in told {
        assert_eq!(told.code(), Code::ResourceExhausted, "{told}");
        assert!(told.message().contains("says hello more than 5 times a second"), "{told}");
    }
    let began = Instant::now();
    let mut other = Edge::named("other", 0).connect(&world).await;
    assert!(soon(other.inbound.message()).await.unwrap().is_some());
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    world.stop().await;
}

#[tokio::test]
async fn fetches_hold_position_and_values_of_one_moment() {
    let world = World::new().await;
    write(&world, ["a", "b"].map(str::to_owned).into_iter()).await;
    delete(&world, "b").await;
    let mut feed = world.feed().await;
    let keys = ["b", "none", "a"].map(|code| Bytes::from([&[0; 4], code.as_bytes()].concat()));
    let ask = v1::FetchRequest { keys: keys.to_vec(), min_seq: 3 };
    let answer = feed.fetch(ask).await.unwrap().into_inner();
    let versions: Vec<_> =
        answer.entries.iter().map(|e| record::decode(&e.record).ok().map(|v| v.version)).collect();
    assert_eq!((answer.as_of, versions), (3, vec![Some(3), None, Some(1)]));
    assert_eq!(answer.entries.iter().map(|e| e.key.clone()).collect::<Vec<_>>(), keys);
    let ahead = v1::FetchRequest { keys: keys.to_vec(), min_seq: 4 };
    assert_eq!(feed.fetch(ahead.clone()).await.unwrap_err().code(), Code::Unavailable);
    let many = v1::FetchRequest { keys: vec![keys[0].clone(); 257], min_seq: 0 };
    assert_eq!(feed.fetch(many).await.unwrap_err().code(), Code::InvalidArgument);
    world.stop().await;
}
