//! A worker with a real redis-server, on both drivers: what clients get, what origin is asked, what the set holds then.

use super::super::{Connections, Listeners, Timing, Worker};
use super::*;
use crate::redis::{RedisConfig, RedisUrl};
use crate::shared::OriginQuestion;
use crate::sys::boottime_ms;
use ::redis::{Connection, cmd};
use futures_channel::mpsc::Receiver;
use hot::Outcome;
use link::rule::{Rule, off};
use link::{Epoch, Link, LinkParts, LinkState, Position, Target};
use monoio::{IoUringDriver, LegacyDriver, RuntimeBuilder};
use relay::{position_key, value_key};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio_stream::StreamExt;

#[path = "redis_cluster_tests.rs"]
mod of_a_cluster;

const EPOCH: Epoch = Epoch { counter: 2, random: 5 };
const PATIENCE: Duration = Duration::from_secs(30);
/// Where the edge stands when a test begins.
const START: Seq = 40;
/// So long that no busy machine takes a Redis that works for one that hangs.
const DEADLINE: Duration = Duration::from_millis(200);
const COPY: u64 = 0xc0;

/// Everything a test has in its hands while the worker runs on another thread.
struct World {
    shared: Arc<Shared>,
    server: Option<services::Redis>,
    edge: SocketAddr,
    /// Keys that origin was asked for.
    asked: Arc<AtomicU64>,
    /// Whether origin says that there is no such link, or nothing.
    origin: Arc<AtomicBool>,
}

/// Runs a test on each driver, with a Redis of its own that has these lines of configuration; `url` makes the edge's
/// from the server's.
fn with(lines: &[&str], ca: Option<&Path>, url: impl Fn(&str) -> String, test: impl Fn(&mut World) + Sync) {
    on_both_drivers(|uring| {
        let server = match services::Redis::start(lines) {
            Err(fault @ services::ServerFault::Missing(_)) => return println!("SKIPPED: {fault}"),
            server => server.unwrap(),
        };
        let address = RedisUrl::parse(&url(server.url())).unwrap();
        let config = RedisConfig { url: address, shards: 1, ca: ca.map(Path::to_owned) };
        let redis = SharedRedis::new(config, 1).unwrap();
        run(uring, redis, Some(server), &test);
    });
}

fn on_both_drivers(test: impl Fn(bool)) {
    test(false);
    match monoio::utils::detect_uring() {
        true => test(true),
        false => println!("SKIPPED: io_uring is not allowed here"),
    }
}

/// What control has proved to it.
const PROVED: Seq = START + 1_000_000;

/// Runs a test while a worker serves.
fn run(
    uring: bool,
    mut redis: SharedRedis,
    server: Option<services::Redis>,
    test: impl Fn(&mut World) + Sync,
) {
    redis.deadline = DEADLINE;
    let redis = Arc::new(redis);
    let (ask, questions) = futures_channel::mpsc::channel(crate::shared::MAX_QUESTIONS);
    let shared = Arc::new(Shared::new(1 << 20, 1, ask, None, Some(Arc::clone(&redis))));
    shared.set.reset(Position { epoch: EPOCH, seq: START, tag: 1 });
    let position = Position { epoch: EPOCH, seq: PROVED, tag: 1 };
    shared.feed.keep_proof(Some(Proof { position, seal: [0; 16] }));
    shared.set.freshen(boottime_ms() + 3_600_000);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (asked, origin) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(true)));
    let edge = listener.local_addr().unwrap();
    let mut world = World { shared, server, edge, asked, origin };
    std::thread::scope(|scope| {
        let (shared, asked, origin) =
            (Arc::clone(&world.shared), Arc::clone(&world.asked), Arc::clone(&world.origin));
        let background = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        scope.spawn(move || {
            background.block_on(async {
                tokio::select! {
                    () = redis.resolve() => {}
                    _ = stopped => {}
                }
            });
        });
        scope.spawn(move || {
            let main = || work(shared, listener, questions, asked, origin);
            if uring {
                let runtime = RuntimeBuilder::<IoUringDriver>::new().enable_timer().build();
                runtime.unwrap().block_on(main());
            } else {
                let runtime = RuntimeBuilder::<LegacyDriver>::new().enable_timer().build();
                runtime.unwrap().block_on(main());
            }
        });
        let tested = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| test(&mut world)));
        world.shared.stop(std::time::Instant::now() + std::time::Duration::from_secs(10));
        drop(stop);
        if let Err(panic) = tested {
            std::panic::resume_unwind(panic);
        }
    });
}

/// A worker as `worker::run` makes it, and an origin.
async fn work(
    shared: Arc<Shared>,
    listener: TcpListener,
    mut questions: Receiver<OriginQuestion>,
    asked: Arc<AtomicU64>,
    origin: Arc<AtomicBool>,
) {
    let told = Arc::clone(&shared);
    monoio::spawn(async move {
        while let Some(question) = questions.next().await {
            asked.fetch_add(1, Ordering::Relaxed);
            let as_of = told.set.min_seq(question.key.as_bytes()).max(question.token);
            let answer = AcceptedReading { epoch: EPOCH, as_of, version: 0, value: None };
            let known = origin.load(Ordering::Relaxed);
            let said =
                if known { records::fill(&told, &question.key, answer) } else { OriginReply::Unavailable };
            let _ = question.answer.send(said.into());
        }
    });
    listener.set_nonblocking(monoio::utils::is_legacy()).unwrap();
    shared.domains.told(Seq::MAX, 0); // there are none, whatever a client has seen
    let worker = Rc::new(Worker {
        index: 0,
        domains: RefCell::new(hot::View::new(Arc::clone(&shared.domains))),
        redis: RedisTier::start(&shared, 0),
        ask: RefCell::new(shared.ask()),
        shared,
        timing: Timing::new(),
        tailing: RefCell::default(),
        connections: Connections::new(PATIENCE),
        buffers: RefCell::default(),
        proxies: crate::Proxies::default(),
        most_files: usize::MAX,
        clicks: None,
    });
    let plain = vec![crate::listen::Listener::own(listener)];
    worker.shared.open();
    worker.serve(Listeners { plain, tls: Vec::new(), config: None }).await.unwrap();
}

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < PATIENCE, "waited for {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn key(code: &str) -> Vec<u8> {
    [&[0; 4][..], code.as_bytes()].concat()
}

fn record(version: Seq, code: &str) -> Bytes {
    let target = Target::stored(format!("https://a.example/{code}").as_bytes()).unwrap();
    record::encode(version, &LinkState::Live(Link::new(LinkParts::to(target)).unwrap()))
}

/// A client's connection.
struct Client(BufReader<TcpStream>);

impl Client {
    fn send(&mut self, request: &str) {
        self.0.get_mut().write_all(request.as_bytes()).unwrap();
    }

    /// Status and tier.
    fn answer(&mut self) -> String {
        let (mut head, mut length) = (String::new(), 0);
        let field = |name: &str, line: &str| line.strip_prefix(name).map(|value| value.trim().to_owned());
        let (mut status, mut tier) = (String::new(), String::new());
        loop {
            head.clear();
            assert!(self.0.read_line(&mut head).unwrap() > 0, "cut");
            status = field("HTTP/1.1 ", &head).map_or(status, |line| line[..3].to_owned());
            tier = field("X-Linkr-Tier: ", &head).unwrap_or(tier);
            length = field("Content-Length: ", &head).map_or(length, |length| length.parse().unwrap());
            if head == "\r\n" {
                break;
            }
        }
        self.0.read_exact(&mut vec![0; length]).unwrap();
        format!("{status} {tier}")
    }
}

impl World {
    fn client(&self) -> Client {
        let stream = TcpStream::connect(self.edge).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Client(BufReader::new(stream))
    }

    fn get_with(&self, code: &str, field: &str) -> String {
        let mut client = self.client();
        client.send(&format!("GET /{code} HTTP/1.1\r\nHost: h\r\nX-Linkr-Debug: 1\r\n{field}\r\n"));
        client.answer()
    }

    fn get(&self, code: &str) -> String {
        self.get_with(code, "")
    }

    fn server(&mut self) -> &mut services::Redis {
        self.server.as_mut().unwrap()
    }

    fn redis(&self) -> &SharedRedis {
        self.shared.redis.as_ref().unwrap()
    }

    fn count(&self, came: RedisOutcome) -> u64 {
        self.redis().meters[0].count(came)
    }

    fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    fn is_up(&self) -> bool {
        self.redis().meters[0].is_up()
    }

    fn until_up(&self) {
        until("Redis to be asked", || self.is_up());
    }

    /// A connection of whoever writes there.
    fn writer(&self) -> Connection {
        ::redis::Client::open(self.server.as_ref().unwrap().url()).unwrap().get_connection().unwrap()
    }

    fn set(&self, name: &[u8], value: &[u8]) {
        cmd("SET").arg(name).arg(value).exec(&mut self.writer()).unwrap();
    }

    fn stands_at(&self, seq: Seq, copy: u64) {
        let at = Position { epoch: EPOCH, seq, tag: seq };
        self.set(&position_key(Shard::ONE), &relay::CopyPosition { at, copy }.encode());
    }

    fn put(&self, copy: u64, code: &str, value: &[u8]) {
        self.set(&value_key(Shard::ONE, copy, &key(code)), value);
    }

    /// As control would leave it.
    fn holds(&self, code: &str) {
        self.put(COPY, code, &relay::value(START, &record(7, code)));
    }

    /// Everything that the set knows, and says of this key.
    fn dump(&self, code: &str) -> String {
        let set = &self.shared.set;
        let mut all = Vec::new();
        for shard in 0..set.shards() {
            set.dump(shard, |key, identity, as_of, found| {
                all.push(format!("{key:?} {identity:?} {as_of} {found:?}"));
            });
        }
        all.sort();
        let counts =
            (set.entries(), set.bytes(), set.known_absent_bytes(), set.evictions(), set.completeness());
        let seqs = (set.applied(), set.seen(), set.min_seq(&key(code)), set.generation(), set.epoch());
        format!("{all:#?}\n{counts:?}\n{seqs:?}")
    }
}

fn plain(test: impl Fn(&mut World) + Sync) {
    with(&[], None, str::to_owned, test);
}

#[test]
fn what_memory_lacks_comes_from_redis_and_stays() {
    plain(|world| {
        world.stands_at(START, COPY);
        world.holds("a");
        world.until_up();
        assert_eq!((world.get("a"), world.get("a")), ("302 redis".into(), "302 hot".into()));
        // The copy's name had to be learned first.
        assert_eq!(
            (world.count(RedisOutcome::Unknown), world.count(RedisOutcome::Answered), world.asked()),
            (1, 1, 0)
        );
        assert_eq!(world.shared.meters[0].outcome(hot::Tier::Redis, Outcome::Redirect), 1);
        // Nil is unknown, never absent.
        assert_eq!((world.get("none"), world.asked()), ("404 origin".into(), 1));
        // The copy began anew under another name.
        world.stands_at(START + 1, 0xc1);
        world.put(0xc1, "b", &relay::value(START, &record(8, "b")));
        assert_eq!((world.get("b"), world.asked()), ("302 redis".into(), 1));
        assert_eq!(world.count(RedisOutcome::Unknown), 3);
        until("the tick", || {
            let mut sum = Durations::default();
            world.redis().meters[0].add_durations(&mut sum);
            sum.histogram.len() == 5
        });
    });
}

#[test]
fn what_cannot_be_believed_leaves_the_set_as_it_was() {
    plain(|world| {
        assert!(!off(Rule::RedisNilUnknown));
        world.until_up();
        world.origin.store(false, Ordering::Relaxed);
        let good = record(7, "x");
        let other = Epoch { counter: 1, random: 9 };
        let position =
            |epoch, seq, copy| relay::CopyPosition { at: Position { epoch, seq, tag: 1 }, copy }.encode();
        let at = position(EPOCH, START, COPY);
        let cases: [(&str, &[u8], &[u8], RedisOutcome); 9] = [
            ("no record", &at, &relay::value(START, b"no record"), RedisOutcome::Poisoned),
            ("cut short", &at, &relay::value(START, &good[..good.len() - 1]), RedisOutcome::Poisoned),
            (
                "newer than it can be",
                &at,
                &relay::value(START, &record(START + 1, "x")),
                RedisOutcome::Poisoned,
            ),
            ("an empty record", &at, &relay::value(START, b""), RedisOutcome::Poisoned),
            ("no seq", &at, b"seq", RedisOutcome::Unknown),
            ("no position", b"linkr", &relay::value(START, &good), RedisOutcome::Unknown),
            (
                "late",
                &position(EPOCH, START - 1, COPY),
                &relay::value(START - 2, &good),
                RedisOutcome::Refused,
            ),
            (
                "made behind what it can prove",
                &position(EPOCH, PROVED + 9, COPY),
                &relay::value(PROVED + 9, &record(PROVED + 1, "x")),
                RedisOutcome::Refused,
            ),
            (
                "of another history",
                &position(other, START + 9, COPY),
                &relay::value(START, &good),
                RedisOutcome::Refused,
            ),
        ];
        // Learns the name of the copy.
        world.set(&position_key(Shard::ONE), &at);
        world.get("first");
        for (number, (what, position, value, came)) in cases.into_iter().enumerate() {
            let code = format!("x{number}");
            world.set(&position_key(Shard::ONE), position);
            world.put(COPY, &code, value);
            let (before, counted, asked) = (world.dump(&code), world.count(came), world.asked());
            assert_eq!(world.get(&code), "503 origin", "{what}");
            assert_eq!(world.dump(&code), before, "{what}");
            assert_eq!((world.count(came), world.asked()), (counted + 1, asked + 1), "{what}");
        }
        // Other types under these names.
        let names = [position_key(Shard::ONE), value_key(Shard::ONE, COPY, &key("y"))];
        for name in names {
            world.set(&position_key(Shard::ONE), &at);
            world.put(COPY, "y", &relay::value(START, &good));
            let mut writer = world.writer();
            cmd("DEL").arg(&name[..]).exec(&mut writer).unwrap();
            cmd("LPUSH").arg(&name[..]).arg("z").exec(&mut writer).unwrap();
            let before = world.dump("y");
            assert_eq!((world.get("y"), world.dump("y")), ("503 origin".into(), before));
            cmd("DEL").arg(&name[..]).exec(&mut writer).unwrap();
        }
        assert!(world.is_up());
        assert_eq!(world.count(RedisOutcome::Answered), 0);
    });
}

#[test]
fn who_has_seen_more_or_cannot_see_asks_origin() {
    plain(|world| {
        world.stands_at(START, COPY);
        world.holds("a");
        world.holds("b");
        world.holds("c");
        world.holds("d");
        world.until_up();
        let token = |seq| format!("X-Linkr-Min-Revision: {}\r\n", Position::revision(EPOCH, seq));
        assert_eq!(world.get_with("a", &token(START)), "302 redis");
        assert_eq!(world.get_with("b", &token(START + 1)), "404 origin");
        let asked: u64 = RedisOutcome::ALL.into_iter().map(|came| world.count(came)).sum();
        let foreign = Position::revision(Epoch { counter: 3, random: 1 }, 1);
        assert_eq!(world.get_with("c", &format!("X-Linkr-Min-Revision: {foreign}\r\n")), "404 origin");
        world.shared.set.freshen(boottime_ms().saturating_sub(10 * feed::BOUND_MS));
        assert_eq!(world.get("d"), "404 origin");
        assert_eq!(
            RedisOutcome::ALL.into_iter().map(|came| world.count(came)).sum::<u64>(),
            asked,
            "not asked"
        );
    });
}

#[test]
fn a_redis_that_hangs_is_left_alone_and_asked_again_when_it_is_back() {
    plain(|world| {
        world.stands_at(START, COPY);
        world.holds("a");
        world.until_up();
        world.server().signal("STOP").unwrap();
        let began = Instant::now();
        assert_eq!(world.get("n0"), "404 origin");
        // Also right behind the greeting, which has a second.
        assert!((DEADLINE..4 * DEADLINE).contains(&began.elapsed()), "the deadline");
        assert_eq!(world.count(RedisOutcome::TimedOut), 1);
        let mut asked = 1;
        while world.is_up() {
            assert_eq!(world.get(&format!("n{asked}")), "404 origin");
            asked += 1;
            assert!(began.elapsed() < PATIENCE, "the breaker never opens");
        }
        let timed_out = world.count(RedisOutcome::TimedOut);
        assert!(timed_out >= 5, "{timed_out}");
        assert_eq!(
            (world.get("m"), world.count(RedisOutcome::TimedOut)),
            ("404 origin".into(), timed_out),
            "not asked"
        );
        world.server().signal("CONT").unwrap();
        world.until_up();
        assert_eq!(world.get("a"), "302 redis");
    });
}

#[test]
fn a_redis_that_dies_is_asked_again_when_it_is_back() {
    plain(|world| {
        world.until_up();
        world.server().kill().unwrap();
        assert_eq!(world.get("a"), "404 origin");
        until("the end to be noticed", || !world.is_up());
        world.server().start_again().unwrap();
        world.until_up();
        world.stands_at(START, COPY);
        world.holds("b");
        assert_eq!(world.get("b"), "302 redis");
    });
}

/// The rights that are shipped for an edge.
fn rights() -> String {
    let shipped = include_str!("../../../deploy/redis-acl.conf");
    let line = shipped.lines().find(|line| line.starts_with("user linkr-edge ")).unwrap();
    line.replace("CHANGE-ME-EDGE", "secret")
}

#[test]
fn read_only_rights_are_enough_and_a_database_of_its_own() {
    let edge = |url: &str| url.replace("redis://", "redis://linkr-edge:secret@") + "/3";
    with(&[&rights()], None, edge, |world| {
        let mut writer = world.writer();
        cmd("SELECT").arg(3).exec(&mut writer).unwrap();
        let at = Position { epoch: EPOCH, seq: START, tag: 1 };
        let copied = relay::CopyPosition { at, copy: COPY }.encode();
        cmd("SET").arg(&position_key(Shard::ONE)[..]).arg(&copied[..]).exec(&mut writer).unwrap();
        let value = relay::value(START, &record(7, "a"));
        let name = value_key(Shard::ONE, COPY, &key("a"));
        cmd("SET").arg(&name[..]).arg(&value[..]).exec(&mut writer).unwrap();
        world.until_up();
        assert_eq!(world.get("a"), "302 redis");
        let own = world.server().url().replace("redis://", "redis://linkr-edge:secret@");
        let mut own = ::redis::Client::open(own).unwrap().get_connection().unwrap();
        assert!(cmd("SET").arg("linkr:x").arg(1).exec(&mut own).is_err(), "it may not write");
        assert!(cmd("MGET").arg("other").exec(&mut own).is_err(), "nor read what is not ours");
    });
}

#[test]
fn without_rights_origin_answers() {
    let user = "user edge on >secret resetchannels -@all ~linkr:* +select +auth";
    for url in ["redis://edge:secret@", "redis://edge:wrong@"] {
        with(
            &[user],
            None,
            |plain| plain.replace("redis://", url),
            |world| {
                for _ in 0..3 {
                    assert_eq!(world.get("a").split(' ').next(), Some("404"));
                }
                assert!(!world.is_up());
            },
        );
    }
}

#[test]
fn over_tls() {
    let certificates = match services::Certificates::new() {
        Err(fault @ services::ServerFault::Missing(_)) => return println!("SKIPPED: {fault}"),
        certificates => certificates.unwrap(),
    };
    let port = services::free_port().unwrap();
    let file = |name| certificates.file(name).display().to_string();
    let lines = [
        format!("tls-port {port}"),
        format!("tls-cert-file {}", file("cert.pem")),
        format!("tls-key-file {}", file("key.pem")),
        "tls-auth-clients no".to_owned(),
    ];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let url = |_: &str| format!("rediss://localhost:{port}");
    with(&lines, Some(&certificates.file("ca.pem")), url, |world| {
        world.stands_at(START, COPY);
        (0..200).for_each(|number| world.holds(&format!("k{number}")));
        world.until_up();
        std::thread::scope(|scope| {
            for part in 0..8 {
                let world = &*world;
                scope.spawn(move || {
                    for number in 0..25 {
                        assert_eq!(world.get(&format!("k{}", part * 25 + number)), "302 redis");
                    }
                });
            }
        });
    });
    // An authority that did not sign it.
    let stranger = services::Certificates::new().unwrap();
    with(&lines, Some(&stranger.file("ca.pem")), url, |world| {
        assert_eq!(world.get("a").split(' ').next(), Some("404"));
        assert!(!world.is_up());
    });
}

#[test]
fn one_question_for_each_key_at_a_time() {
    plain(|world| {
        world.stands_at(START, COPY);
        world.until_up();
        world.get("first");
        world.origin.store(false, Ordering::Relaxed);
        let before: u64 = RedisOutcome::ALL.into_iter().map(|came| world.count(came)).sum();
        // Redis hangs, so that all of them wait for the same reply.
        let mut clients: Vec<Client> = (0..64).map(|_| world.client()).collect();
        let hot = "GET /hot HTTP/1.1\r\nHost: h\r\nX-Linkr-Debug: 1\r\n\r\n";
        // A connection is served before all send at once.
        for client in &mut clients {
            client.send("GET /robots.txt HTTP/1.1\r\nHost: h\r\n\r\n");
            client.answer();
        }
        world.server().signal("STOP").unwrap();
        clients.iter_mut().for_each(|client| client.send(hot));
        for client in &mut clients {
            assert_eq!(client.answer(), "503 origin");
        }
        world.server().signal("CONT").unwrap();
        let after: u64 = RedisOutcome::ALL.into_iter().map(|came| world.count(came)).sum();
        // 64 requests arrive within one deadline, but not on every machine.
        assert!((1..=3).contains(&(after - before)), "{} questions", after - before);
    });
}

#[test]
fn random_codes_take_bounded_memory_and_one_question_each() {
    plain(|world| {
        world.stands_at(START, COPY);
        world.until_up();
        let (clients, each) = (16, 250);
        std::thread::scope(|scope| {
            for part in 0..clients {
                let mut client = world.client();
                scope.spawn(move || {
                    let request = |number| format!("GET /r{part}-{number} HTTP/1.1\r\nHost: h\r\n\r\n");
                    (0..each).map(request).for_each(|request| client.send(&request)); // all at once
                    (0..each).for_each(|_| assert_eq!(client.answer(), "404 "));
                });
            }
        });
        let asked: u64 = RedisOutcome::ALL.into_iter().map(|came| world.count(came)).sum();
        // Each one once, and those on the way when the copy's name was learned once more.
        assert!((clients * each..=clients * each + clients).contains(&asked), "{asked}");
        assert_eq!(world.asked(), clients * each);
        let set = &world.shared.set;
        assert!(set.bytes() <= set.budget());
        assert!(set.known_absent_bytes() <= set.budget() / hot::limits::ABSENT_SHARE + 200);
        until("nothing on the way", || world.redis().meters[0].in_flight() == 0);
    });
}
