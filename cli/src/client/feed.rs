//! `linkr feed status`: every edge on a line, what it says of itself, then the log and what became of its histories, the store and
//! Redis. `linkr feed forget`.

use super::call;
use crate::args::{Api, Output};
use crate::fault::CommandFault;
use crate::out::{self, plain};
use proto::client::KeyedChannel;
use proto::v1::edges_client::EdgesClient;
use proto::v1::{Edge, EdgeReport, Epoch, ForgetEdgeRequest, ListEdgesRequest, ListEdgesResponse};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::SystemTime;

/// Runs it.
pub async fn feed_status(api: Api) -> Result<(), CommandFault> {
    let ask = async |edges: &mut EdgesClient<KeyedChannel>| edges.list_edges(ListEdgesRequest {}).await;
    let answer = call(&api, EdgesClient::new, ask).await?;
    match api.output {
        Output::Json => out::json(&proto::json::value(&answer)),
        Output::Text | Output::Url => out::text(&people(&answer, SystemTime::now())),
    }
}

/// Forgets an edge.
pub async fn feed_forget(api: Api, name: String) -> Result<(), CommandFault> {
    let request = ForgetEdgeRequest { edge: name.clone() };
    let ask = async |edges: &mut EdgesClient<KeyedChannel>| edges.forget_edge(request.clone()).await;
    let answer = call(&api, EdgesClient::new, ask).await?;
    match api.output {
        Output::Json => out::json(&proto::json::value(&answer)),
        Output::Text | Output::Url => {
            out::line(&format!("edge {} is forgotten ({} processes)", plain(&name), answer.processes))
        }
    }
}

fn people(answer: &ListEdgesResponse, now: SystemTime) -> String {
    let mut text = String::new();
    let mut line = |words: [&str; 7]| {
        let [edge, incarnation, applied, lag, pong, state, since] = words;
        let _ = writeln!(
            text,
            "{edge:<20} {incarnation:<16} {applied:>12} {lag:>8} {pong:>12}  {state:<6} {since}"
        );
    };
    line(["EDGE", "INCARNATION", "APPLIED", "LAG", "LAST PONG", "STATE", "SESSION SINCE"]);
    for edge in &answer.edges {
        let pong = edge.last_pong.and_then(|at| now.duration_since(SystemTime::try_from(at).ok()?).ok());
        line([
            &plain(&edge.edge),
            &edge.incarnation,
            &edge.applied.map_or_else(|| "-".into(), |seq| seq.to_string()),
            &edge.lag.to_string(),
            &format!("{:.1} s ago", pong.unwrap_or_default().as_secs_f64()),
            if edge.blind { "blind" } else { "sees" },
            &edge.session_since.map_or_else(|| "-".into(), |at| at.to_string()),
        ]);
    }
    let doubled: BTreeSet<&str> =
        answer.edges.iter().filter(|edge| edge.doubled).map(|edge| &*edge.edge).collect();
    for edge in doubled {
        let edge = plain(edge);
        let _ = writeln!(text, "\ntwo live edges say the name {edge}: give each a --name of its own");
    }
    text.push_str(&reports(&answer.edges));
    let log = answer.log.clone().unwrap_or_default();
    let (history, oldest) = (told(log.epoch), log.oldest.min(log.head));
    let _ = match &answer.log {
        Some(_) => writeln!(text, "\nlog      history {history}, changes {oldest} to {}", log.head),
        None => writeln!(text, "\nlog      not known: the store cannot be read"),
    };
    if let Some(store) = &answer.store {
        let state = match (store.reads, store.writes) {
            (true, true) => "is read and written".to_owned(),
            (true, false) => format!("takes no writes: {}", plain(&store.trouble)),
            (false, _) => format!("cannot be read: {}", plain(&store.trouble)),
        };
        let _ = writeln!(text, "store    {} {state}", store.kind);
    }
    if let Some(redis) = &answer.redis {
        let (following, shards, lag) = (redis.following, redis.shards, redis.lag);
        let _ =
            writeln!(text, "redis    {following} of {shards} shards follow the log, {lag} changes behind");
    }
    for history in log.histories.iter().take(SHOWN) {
        let began = history.begin_time.map_or_else(String::new, |at| format!(" at {at}"));
        let (own, parent, fork, head) =
            (told(history.epoch), told(history.parent), history.fork_seq, history.head);
        let _ = writeln!(
            text,
            "history  {own} began{began} after seq {fork} of history {parent}, with {head} changes in the store: writes \
             of {parent} behind {fork} that it did not hold are gone"
        );
    }
    text
}

/// The reports of edges as a table; empty where no edge reports.
fn reports(edges: &[Edge]) -> String {
    let said = |edge: &Edge| edge.report.clone().map(|report| (edge.edge.clone(), report));
    let mut all = edges.iter().filter_map(said).peekable();
    if all.peek().is_none() {
        return String::new();
    }
    let mut text = String::from("\n");
    let mut line = |words: [&str; 9]| {
        let [edge, version, up, rate, hot, p50, p99, connections, pending] = words;
        let _ = writeln!(
            text,
            "{edge:<20} {version:<10} {up:>9} {rate:>9} {hot:>6} {p50:>9} {p99:>9} {connections:>11} {pending:>8}"
        );
    };
    line(["EDGE", "VERSION", "UP", "ANSWERS/S", "MEMORY", "P50", "P99", "CONNECTIONS", "CLICKS"]);
    for (edge, report) in all {
        let time = |ns: Option<u64>| ns.map_or_else(|| "-".to_owned(), |ns| out::took(ns / 1_000));
        line([
            &plain(&edge),
            &plain(&report.version),
            &up(report.up_seconds),
            &rate(&report),
            &from_memory(&report),
            &time(report.p50_ns),
            &time(report.p99_ns),
            &report.connections.to_string(),
            &report.clicks.map_or_else(|| "-".to_owned(), |clicks| clicks.pending.to_string()),
        ]);
    }
    text
}

/// How many of the links that were asked for in the last minute were in memory.
fn from_memory(report: &EdgeReport) -> String {
    let of = |tiers: &[&str]| {
        let own = report.recent.iter().filter(|some| tiers.contains(&some.tier.as_str()));
        own.map(|some| u128::from(some.count)).sum::<u128>()
    };
    match of(&["hot", "redis", "origin", "stale"]) {
        0 => "-".to_owned(),
        all => format!("{} %", of(&["hot", "stale"]) * 100 / all),
    }
}

/// Answers in a second, of the last minute.
fn rate(report: &EdgeReport) -> String {
    let all: u128 = report.recent.iter().map(|some| u128::from(some.count)).sum();
    match report.recent_seconds {
        0 => "-".to_owned(),
        seconds => format!("{:.1}", all as f64 / f64::from(seconds)),
    }
}

fn up(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// The newest histories are shown: each start of a control on SQLite begins one.
const SHOWN: usize = 5;

/// As a revision begins.
fn told(epoch: Option<Epoch>) -> String {
    epoch.map(|epoch| format!("{}-{:08x}", epoch.counter, epoch.random)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost_types::Timestamp;
    use proto::v1::{AnswerCount, History, Log, RedisState, StoreState};
    use std::time::Duration;

    #[test]
    fn for_people() {
        let epoch = |counter| Some(Epoch { counter, random: 0xab });
        let at = |seconds| Some(Timestamp { seconds, nanos: 0 });
        let edge = Edge {
            edge: "a\x1b".into(),
            incarnation: "00ff".into(),
            applied: Some(7),
            lag: 2,
            last_pong: at(10),
            blind: true,
            session_since: None,
            report: None,
            report_time: None,
            doubled: false,
        };
        let history = History { epoch: epoch(2), parent: epoch(1), fork_seq: 5, head: 6, begin_time: at(0) };
        let log = Log { epoch: epoch(2), head: 9, oldest: 3, histories: vec![history] };
        let twice = Edge { edge: "b".into(), doubled: true, ..edge.clone() };
        let edges = vec![edge, twice.clone(), twice];
        let answer = ListEdgesResponse { edges, log: Some(log), store: None, redis: None };
        let text = people(&answer, SystemTime::UNIX_EPOCH + Duration::from_millis(12_500));
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[1], ["a\\u{1b}", "00ff", "7", "2", "2.5", "s", "ago", "blind", "-"]);
        assert_eq!(text.matches("two live edges say the name b:").count(), 1, "{text}");
        assert!(text.contains("log      history 2-000000ab, changes 3 to 9\n"), "{text}");
        let began =
            "history  2-000000ab began at 1970-01-01T00:00:00Z after seq 5 of history 1-000000ab, with 6";
        assert!(text.contains(began), "{text}");
    }

    #[test]
    fn what_edges_say_of_themselves_stands_below_them() {
        let count = |tier: &str, count| AnswerCount { outcome: "redirect".into(), tier: tier.into(), count };
        let report = EdgeReport {
            version: "1\x1b".into(),
            up_seconds: 7_200,
            recent_seconds: 60,
            recent: vec![count("hot", 90), count("redis", 30), count("none", 60)],
            p50_ns: Some(21_000),
            p99_ns: Some(1_250_000),
            connections: u64::MAX,
            ..EdgeReport::default()
        };
        let edge = Edge { edge: "a".into(), report: Some(report), ..Edge::default() };
        let store =
            StoreState { kind: "sqlite".into(), trouble: "it is away".into(), ..StoreState::default() };
        let redis = RedisState { shards: 4, following: 3, lag: 7 };
        let answer =
            ListEdgesResponse { edges: vec![edge], log: None, store: Some(store), redis: Some(redis) };
        let text = people(&answer, SystemTime::UNIX_EPOCH);
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        let connections = u64::MAX.to_string();
        let told = ["a", "1\\u{1b}", "2", "h", "3.0", "75", "%", "21", "us", "1.2", "ms", &connections, "-"];
        assert_eq!(lines[4], told, "{text}");
        for line in [
            "log      not known: the store cannot be read\n",
            "store    sqlite cannot be read: it is away\n",
            "redis    3 of 4 shards follow the log, 7 changes behind\n",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }
}
