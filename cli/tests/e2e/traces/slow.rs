//! One in ten thousand is made slow, by a Redis, a control or a worker that stalls: the receiver has each of them, and what it says
//! of it is true.

use super::fill;
use super::receiver::{ReceivedSpan, Receiver, attribute};
use crate::support::{Connection, Dir, FREE_PORTS, LINKR, Linkr, alone, command, skip, until};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Redirects from memory before each slow one.
const QUICK: usize = 10_000;
/// Slow ones of each kind, about two a second.
const SLOW: usize = 4;
/// More at once than a worker keeps in a second.
const MANY: usize = 40;
/// A worker is late by what is more than a tenth of a second of it.
const STALL: Duration = Duration::from_millis(300);

/// An edge of one worker with room for few of its links, and a receiver of both halves' traces.
struct Fleet {
    redis: services::Redis,
    control: Linkr,
    edge: Linkr,
    receiver: Receiver,
    _dirs: [Dir; 2],
}

impl Fleet {
    /// `None` where there is no Redis.
    fn start() -> Option<Self> {
        let mut redis = match services::Redis::start(&["maxmemory-policy volatile-lru"]) {
            Err(fault @ services::ServerFault::Missing(_)) => {
                skip("traces", &fault.to_string());
                return None;
            }
            redis => redis.unwrap(),
        };
        let (dirs, receiver) = ([Dir::new(), Dir::new()], Receiver::start());
        let mut control = command(LINKR, dirs[0].path());
        control.args(["control", "--otlp", receiver.url(), "--redis", redis.url()]).args(FREE_PORTS);
        let control = Linkr::start(control, &dirs[0], &["api", "admin"]);
        until("the relay", || control.metric("linkr_redis_shards_connected").filter(|shards| *shards == 1.0));
        fill(&control, &dirs[0]);
        until("the copy", || control.metric("linkr_redis_lag_changes").filter(|lag| *lag == 0.0));
        let edge = super::edge(&dirs[1], &control, &["--otlp", receiver.url(), "--redis", redis.url()]);
        redis.signal("CONT").unwrap(); // it can be told to
        Some(Self { redis, control, edge, receiver, _dirs: dirs })
    }

    fn redis_is_asked(&self) {
        until("Redis to be asked", || self.edge.metric("linkr_redis_up").filter(|up| *up == 1.0));
    }

    /// Some at a time: each of these turns is quick as well.
    fn quick_ones(&self) {
        let request = "GET /c0 HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(10);
        // An edge ends a connection after 10,000 answers.
        for _ in 0..2 {
            let mut client = Connection::to(self.edge.edge());
            for _ in 0..QUICK / 20 {
                client.write_all(request.as_bytes()).unwrap();
                for _ in 0..10 {
                    assert_eq!(client.answer(false).unwrap().unwrap().status, 302);
                }
            }
        }
    }

    fn misses(&self) -> f64 {
        self.edge.metric("linkr_edge_misses_total").unwrap()
    }

    /// Asks for links until one of them is not in memory while Redis says nothing: its path.
    fn behind_a_stalled_redis(&mut self, number: &mut usize) -> String {
        until("a miss", || {
            self.redis_is_asked();
            let before = self.misses();
            *number += 1;
            let path = format!("/c{number}");
            self.redis.signal("STOP").unwrap();
            let status = self.edge.get(&path).status;
            self.redis.signal("CONT").unwrap();
            assert_eq!(status, 302, "{path}: control is asked instead");
            (self.misses() > before).then_some(path)
        })
    }

    /// Asks for codes that nobody made while control says nothing, all at once.
    fn behind_a_stalled_control(&self, paths: &[String]) {
        self.redis_is_asked();
        self.control.signal("STOP");
        let asked: Vec<_> = paths
            .iter()
            .map(|path| {
                let mut client = Connection::to(self.edge.edge());
                client.send("GET", path, "").unwrap();
                client
            })
            .collect();
        let answers: Vec<_> =
            asked.into_iter().map(|mut client| client.answer(false).unwrap().unwrap().status).collect();
        self.control.signal("CONT");
        assert_eq!(answers, vec![503; paths.len()]);
        let blind = "linkr_edge_staleness_seconds";
        until("the edge to see control", || self.edge.metric(blind).filter(|seconds| *seconds < 1.0));
    }

    fn behind_a_stalled_worker(&self) {
        let mut client = Connection::to(self.edge.edge());
        self.edge.signal("STOP");
        let began = Instant::now();
        client.send("GET", "/c0", "").unwrap();
        until("a while", || (began.elapsed() > STALL).then_some(()));
        self.edge.signal("CONT");
        assert_eq!(client.answer(false).unwrap().unwrap().status, 302);
    }

    /// The span of a redirect by its path, and what is below it.
    fn received(&self, path: &str) -> Option<(ReceivedSpan, Vec<ReceivedSpan>)> {
        let all = self.receiver.all();
        let of_turn = |one: &&ReceivedSpan| attribute(&one.span, "url.path").as_deref() == Some(path);
        let turn = all.iter().find(of_turn)?.clone();
        let below = |one: &&ReceivedSpan| one.span.parent_span_id == turn.span.span_id;
        Some((turn.clone(), all.iter().filter(below).cloned().collect()))
    }

    /// Waits until the receiver has this redirect.
    fn expect(&self, path: &str) -> (ReceivedSpan, Vec<ReceivedSpan>) {
        until(path, || self.received(path))
    }

    /// Those of these redirects that were kept, and what is below them; `before`: what was judged so before the first of them. Some
    /// are passed over where more than twenty turns a second are slow, since the machine is busy: these are counted.
    fn kept_of(
        &self,
        paths: &[String],
        reason: &str,
        before: [f64; 2],
    ) -> Vec<(ReceivedSpan, Vec<ReceivedSpan>)> {
        let found = until("every kept one to be with the receiver", || {
            let found: Vec<_> = paths.iter().filter_map(|path| self.received(path)).collect();
            let [kept, passed_over] = self.judged(reason);
            let [kept, passed_over] = [kept - before[0], passed_over - before[1]];
            (found.len() as f64 == kept && kept + passed_over == paths.len() as f64).then_some(found)
        });
        let weights: u64 =
            found.iter().map(|(turn, _)| says(turn, "linkr.weight").parse::<u64>().unwrap()).sum();
        assert!(!found.is_empty() && (found.len()..=paths.len()).contains(&(weights as usize)), "{weights}");
        for (turn, _) in &found {
            assert_eq!(says(turn, "linkr.reason"), reason);
        }
        found
    }

    /// How many had this reason, and were kept; and were not.
    fn judged(&self, reason: &str) -> [f64; 2] {
        ["kept", "passed_over"].map(|what| {
            let name = format!("linkr_edge_traces_{what}_total{{reason=\"{reason}\"}}");
            self.edge.metric(&name).unwrap()
        })
    }

    /// Turns that there was no room for, whatever they were kept for otherwise.
    fn passed_over(&self) -> f64 {
        ["late", "slow"].map(|reason| self.judged(reason)[1]).iter().sum()
    }

    /// The moments in which the worker had been away for this long, in whatever trace.
    fn stalls(&self) -> BTreeSet<u64> {
        let all = self.receiver.all();
        let events = all.iter().flat_map(|one| &one.span.events).filter(|event| event.name == "worker_late");
        let long = events.filter(|event| {
            let took = event.attributes.iter().find(|own| own.key == "linkr.took_us");
            let took = took.and_then(|own| own.value.as_ref()?.value.clone());
            matches!(took, Some(Value::IntValue(us)) if us >= STALL.as_micros() as i64 / 2)
        });
        // Of one stall, told in two traces, the moments differ by what the clock is read with.
        long.map(|event| event.time_unix_nano / 10_000_000).collect()
    }
}

fn says(span: &ReceivedSpan, key: &str) -> String {
    attribute(&span.span, key).unwrap_or_default()
}

fn took(span: &ReceivedSpan) -> u64 {
    span.span.end_time_unix_nano - span.span.start_time_unix_nano
}

#[test]
fn each_slow_one_in_ten_thousand_is_with_the_receiver() {
    let _turn = alone();
    let Some(mut fleet) = Fleet::start() else { return };
    assert_eq!(fleet.edge.get("/c0").status, 302);
    let (mut number, before) = (0, fleet.judged("slow_tier"));
    let behind_redis: Vec<String> = (0..SLOW)
        .map(|_| {
            fleet.quick_ones();
            fleet.behind_a_stalled_redis(&mut number)
        })
        .collect();
    for (turn, hops) in fleet.kept_of(&behind_redis, "slow_tier", before) {
        let redis = hops.iter().find(|hop| hop.span.name == "redis MGET").unwrap();
        assert_eq!(says(redis, "linkr.outcome"), "silent");
        // On a slow machine control takes longer than the 5 ms for which Redis is waited for.
        let longest = hops.iter().max_by_key(|hop| took(hop)).unwrap();
        let cause = if longest.span.name == "redis MGET" { "redis" } else { "control" };
        assert_eq!(says(&turn, "linkr.cause"), cause);
    }
    let before = fleet.judged("unavailable");
    let behind_control: Vec<String> = (0..SLOW).map(|number| format!("/unheard-of-{number}")).collect();
    for path in &behind_control {
        fleet.quick_ones();
        fleet.behind_a_stalled_control(std::slice::from_ref(path));
    }
    for (turn, hops) in fleet.kept_of(&behind_control, "unavailable", before) {
        assert_eq!(says(&turn, "linkr.cause"), "control");
        assert!(hops.iter().any(|hop| says(hop, "linkr.outcome") == "silent"));
    }
    let (before, passed_over) = (fleet.stalls(), fleet.passed_over());
    for _ in 0..SLOW {
        fleet.quick_ones();
        fleet.behind_a_stalled_worker();
    }
    until("each stall of the worker", || {
        fleet.quick_ones(); // the next turn behind a stall is the one that tells of it
        let passed_over = fleet.passed_over() - passed_over;
        let told = fleet.stalls().difference(&before).count();
        (told >= 1 && told as f64 + passed_over >= SLOW as f64).then_some(())
    });
}

#[test]
fn more_slow_ones_than_a_worker_keeps_are_told_by_the_weight_of_the_next() {
    let _turn = alone();
    let Some(fleet) = Fleet::start() else { return };
    let many: Vec<String> = (0..MANY).map(|number| format!("/many-{number}")).collect();
    fleet.behind_a_stalled_control(&many);
    let [kept, passed_over] = fleet.judged("unavailable");
    assert_eq!(kept + passed_over, MANY as f64);
    assert!(kept >= 10.0 && passed_over > 0.0, "{kept} are kept");
    let began = Instant::now();
    until("there to be room again", || (began.elapsed() > Duration::from_secs(1)).then_some(()));
    fleet.behind_a_stalled_control(&["/one-more".to_owned()]);
    let (last, _) = fleet.expect("/one-more");
    assert_eq!(says(&last, "linkr.weight"), format!("{}", passed_over + 1.0));
    let weights = until("every kept one", || {
        let all = fleet.receiver.all();
        let own = all.iter().filter(|one| says(one, "linkr.reason") == "unavailable");
        let weights: Vec<u64> = own.map(|one| says(one, "linkr.weight").parse().unwrap()).collect();
        (weights.len() as f64 == kept + 1.0).then_some(weights)
    });
    assert_eq!(weights.iter().sum::<u64>(), MANY as u64 + 1);
}
