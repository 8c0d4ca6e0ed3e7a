//! Tables of clicks: what they are split by, and what an answer is known to lack. Which clicks they are is not known here.

use crate::show::{self, list, text};
use maud::{Markup, html};
use serde_json::Value;

/// Hours and edges with losses that are told one by one.
const LOSSES: usize = 31;

/// A value that clicks are counted by, as people see it.
pub struct Share {
    /// What it is called.
    pub text: String,
    /// Where it leads, if anywhere.
    pub way: Option<String>,
}

/// A table of counts, such as of countries, with a bar in each row.
pub fn shares(title: &str, column: &str, answer: &Value, share: impl Fn(&str) -> Share) -> Markup {
    let rows = list(answer, "rows");
    let (total, other) = (answer["total"].as_u64().unwrap_or(0), answer["other"].as_u64().unwrap_or(0));
    let row = |Share { text, way }: Share, count: u64| {
        html! {
            tr {
                th scope="row" {
                    @match way {
                        Some(way) => { a href=(way) { (text) } }
                        None => { (text) }
                    }
                    svg class="share" viewBox="0 0 100 1" preserveAspectRatio="none" aria-hidden="true" {
                        rect width=(format!("{:.1}", percent(count, total))) height="1" {}
                    }
                }
                td class="number" { (show::number(count)) }
                td class="number" { (format!("{:.0} %", percent(count, total))) }
            }
        }
    };
    html! {
        section {
            h2 { (title) }
            @if rows.is_empty() {
                p class="empty" { "No click." }
            } @else {
                table class="shares" {
                    caption class="hidden" { (title) }
                    thead {
                        tr {
                            th scope="col" { (column) } th scope="col" class="number" { "Clicks" }
                            th scope="col" class="number" { "Share" }
                        }
                    }
                    tbody {
                        @for one in rows {
                            (row(share(one["keys"][0].as_str().unwrap_or_default()), one["count"].as_u64().unwrap_or(0)))
                        }
                        @if other > 0 { (row(Share { text: "all others".to_owned(), way: None }, other)) }
                    }
                }
            }
        }
    }
}

fn percent(count: u64, total: u64) -> f64 {
    if total == 0 { 0.0 } else { (count as f64 / total as f64 * 100.0).min(100.0) }
}

/// Up to when an answer is complete and what it is known to lack: a line for each.
pub fn completeness(answer: &Value) -> Markup {
    let lost = answer["lost"].as_u64().unwrap_or(0);
    let losses = list(answer, "losses");
    html! {
        @match text(answer, "complete_until") {
            "" => { p { strong { "Complete up to: " } "no edge has said that yet." } }
            time => {
                p {
                    strong { "Complete up to " (show::time(time)) "." }
                    " What was clicked later may still be under way from an edge."
                }
            }
        }
        @if lost == 0 {
            p { "No click of this time is known to be lost." }
        } @else {
            p class="notice bad" {
                (show::number(lost)) " clicks of this time are known to be lost, of whatever domain: they are in no count."
            }
            table class="plain" {
                caption { "What was lost" }
                thead { tr { th scope="col" { "Hour" } th scope="col" { "Edge" } th scope="col" { "Why" } th scope="col" class="number" { "Clicks" } } }
                tbody {
                    @for loss in losses.iter().take(LOSSES) {
                        tr {
                            th scope="row" { (show::time(text(loss, "time"))) }
                            td data-label="Edge" { (text(loss, "edge")) }
                            td data-label="Why" { (reason(text(loss, "reason"))) }
                            td class="number" data-label="Clicks" { (show::number(loss["count"].as_u64().unwrap_or(0))) }
                        }
                    }
                }
            }
            @if losses.len() > LOSSES { p class="hint" { "And " (losses.len() - LOSSES) " hours and edges more: " code { "linkr clicks -o json" } " has all." } }
        }
    }
}

fn reason(reason: &str) -> &str {
    match reason {
        "ring_full" => "the edge did not keep up, or its disk was full (ring_full)",
        "spool_full" => "control was away for longer than the edge has room (spool_full)",
        "damaged" => "a file of the edge was damaged (damaged)",
        "restored" => "the store was put back to an older state (restored)",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_missing_is_said() {
        let nothing = completeness(&json!({})).into_string();
        assert!(
            nothing.contains("no edge has said that yet") && nothing.contains("known to be lost"),
            "{nothing}"
        );
        let lost = json!({
            "complete_until": "2026-01-02T03:04:05Z", "lost": 1_234,
            "losses": [{ "edge": "<b>", "reason": "spool_full", "time": "2026-01-02T03:00:00Z", "count": 1_234 }],
        });
        let told = completeness(&lost).into_string();
        for part in [
            "2026-01-02 03:04:05 UTC",
            "1,234 clicks of this time are known to be lost",
            "&lt;b&gt;",
            "spool_full",
        ] {
            assert!(told.contains(part), "{part}: {told}");
        }
    }

    #[test]
    fn a_share_is_of_all_and_what_is_not_known_is_said() {
        let answer = json!({ "rows": [{ "keys": ["-"], "count": 3 }, { "keys": ["<i>"], "count": 1 }], "total": 6, "other": 2 });
        let told = shares("Countries", "Country", &answer, |name| Share {
            text: name.to_owned(),
            way: Some(format!("?country={name}")),
        })
        .into_string();
        for part in ["50 %", "&lt;i&gt;</a>", "href=\"?country=&lt;i&gt;\"", "all others", "33 %"] {
            assert!(told.contains(part), "{part}: {told}");
        }
    }
}
