//! `linkr feed status`: every edge on a line, then the log and what became of its histories. `linkr feed forget`.

use super::call;
use crate::args::{Api, Output};
use crate::fault::CommandFault;
use crate::out::{self, plain};
use proto::client::KeyedChannel;
use proto::v1::edges_client::EdgesClient;
use proto::v1::{Epoch, ForgetEdgeRequest, ListEdgesRequest, ListEdgesResponse};
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
    let log = answer.log.clone().unwrap_or_default();
    let _ = writeln!(
        text,
        "\nlog      history {}, changes {} to {}",
        told(log.epoch),
        log.oldest.min(log.head),
        log.head
    );
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
    use proto::v1::{Edge, History, Log};
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
            doubled: false,
        };
        let history = History { epoch: epoch(2), parent: epoch(1), fork_seq: 5, head: 6, begin_time: at(0) };
        let log = Log { epoch: epoch(2), head: 9, oldest: 3, histories: vec![history] };
        let twice = Edge { edge: "b".into(), doubled: true, ..edge.clone() };
        let answer = ListEdgesResponse { edges: vec![edge, twice.clone(), twice], log: Some(log) };
        let text = people(&answer, SystemTime::UNIX_EPOCH + Duration::from_millis(12_500));
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[1], ["a\\u{1b}", "00ff", "7", "2", "2.5", "s", "ago", "blind", "-"]);
        assert_eq!(text.matches("two live edges say the name b:").count(), 1, "{text}");
        assert!(text.contains("log      history 2-000000ab, changes 3 to 9\n"), "{text}");
        let began =
            "history  2-000000ab began at 1970-01-01T00:00:00Z after seq 5 of history 1-000000ab, with 6";
        assert!(text.contains(began), "{text}");
    }
}
