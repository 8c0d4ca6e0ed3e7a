//! Clicks that earlier lists of agents classed, put into the classes of the server's: call after call until nothing is left, and
//! what came of it.

use super::super::export::csv_line;
use super::{Client, call};
use crate::args::{Api, ClickOutput};
use crate::fault::CommandFault;
use crate::out::{self, plain};
use proto::v1::clicks_client::ClicksClient;
use proto::v1::{KindChange, ReclassifyClicksRequest, ReclassifyClicksResponse};
use std::collections::BTreeMap;

/// Does all of it.
///
/// # Errors
/// Those of the calls: what the ones before have done stays done.
pub async fn reclassify(api: &Api, output: ClickOutput) -> Result<(), CommandFault> {
    let mut all = ReclassifyClicksResponse::default();
    loop {
        let request = ReclassifyClicksRequest { after: all.next.clone() };
        let ask = async |clicks: &mut Client| clicks.reclassify_clicks(request.clone()).await;
        match call(api, ClicksClient::new, ask).await {
            Ok(more) => add(&mut all, more),
            Err(fault) => {
                if all.clicks > 0 {
                    let done = clicks(all.clicks);
                    out::note(&format!(
                        "{done} classed before this fault, which stays so: the same command does the rest"
                    ));
                }
                return Err(fault);
            }
        }
        if all.next.is_empty() {
            break;
        }
    }
    match output {
        ClickOutput::Json => out::json(&proto::json::value(&all)),
        ClickOutput::Csv => out::write(&csv(&all)),
        ClickOutput::Text => out::text(&people(&all)),
    }
}

/// Adds up what several calls have done.
fn add(all: &mut ReclassifyClicksResponse, more: ReclassifyClicksResponse) {
    let mut changes: BTreeMap<(String, String), u64> = BTreeMap::new();
    for KindChange { from, to, count } in all.changes.drain(..).chain(more.changes) {
        *changes.entry((from, to)).or_default() += count;
    }
    let change = |((from, to), count): ((String, String), u64)| KindChange { from, to, count };
    *all = ReclassifyClicksResponse {
        clicks: all.clicks + more.clicks,
        changes: changes.into_iter().map(change).collect(),
        renamed: all.renamed + more.renamed,
        unknown: all.unknown + more.unknown,
        missing: all.missing + more.missing,
        newer: all.newer + more.newer,
        classifier: more.classifier,
        since: more.since,
        next: more.next,
    };
}

fn csv(all: &ReclassifyClicksResponse) -> Vec<u8> {
    let mut bytes = csv_line(["from", "to", "clicks"].map(str::to_owned).into_iter());
    for KindChange { from, to, count } in &all.changes {
        bytes.extend(csv_line([from.clone(), to.clone(), count.to_string()].into_iter()));
    }
    bytes
}

fn people(all: &ReclassifyClicksResponse) -> String {
    let mut lines: Vec<(String, u64)> = all
        .changes
        .iter()
        .map(|change| (plain(&format!("from {} to {}", change.from, change.to)), change.count))
        .collect();
    for (what, count) in [
        ("same kind, another browser, system or device", all.renamed),
        ("as they were: the text of their agent is not kept", all.unknown),
        ("as they were: classed by a newer linkr", all.newer),
        ("not found in the counts of their link, which are as they were: the store is damaged", all.missing),
    ] {
        if count > 0 {
            lines.push((what.to_owned(), count));
        }
    }
    let width = lines.iter().map(|(_, count)| count.to_string().len()).max().unwrap_or(0);
    let mut text: String = lines.iter().map(|(what, count)| format!("{count:>width$}  {what}\n")).collect();
    let version = all.classifier;
    text.push_str(&match all.clicks {
        0 => format!("nothing was left to do: no click is classed by lists before version {version}\n"),
        count => format!("{} classed by version {version} of the lists\n", clicks(count)),
    });
    match all.since {
        Some(since) => text.push_str(&format!(
            "counts hold these classes for clicks since {since}: of those before, no single clicks are kept\n"
        )),
        None => text.push_str("no single clicks are kept\n"),
    }
    text
}

/// The clicks that were classed, as people read it.
fn clicks(count: u64) -> String {
    if count == 1 { "1 click was".into() } else { format!("{count} clicks were") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(clicks: u64, changes: &[(&str, &str, u64)], next: &str) -> ReclassifyClicksResponse {
        let change =
            |&(from, to, count): &(&str, &str, u64)| KindChange { from: from.into(), to: to.into(), count };
        ReclassifyClicksResponse {
            clicks,
            changes: changes.iter().map(change).collect(),
            classifier: 2,
            since: Some(prost_types::Timestamp { seconds: 1_700_000_000, nanos: 0 }),
            next: next.into(),
            ..ReclassifyClicksResponse::default()
        }
    }

    #[test]
    fn what_several_calls_did_is_told_together() {
        let mut all = answer(5, &[("human", "bot", 2)], "7");
        add(&mut all, answer(1, &[("bot", "human", 1), ("human", "bot", 10)], ""));
        assert_eq!(all, answer(6, &[("bot", "human", 1), ("human", "bot", 12)], ""));
        let told = people(&all);
        assert!(
            told.starts_with(" 1  from bot to human\n12  from human to bot\n6 clicks were classed"),
            "{told}"
        );
        assert_eq!(csv(&all), b"from,to,clicks\nbot,human,1\nhuman,bot,12\n");
        let nothing = people(&answer(0, &[], ""));
        assert!(nothing.starts_with("nothing was left to do"), "{nothing}");
    }
}
