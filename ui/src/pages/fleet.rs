//! The edges, what they say of themselves, the log they follow, the store and Redis. An edge may say anything: it is shown as text.

use crate::answer::Answer;
use crate::api::{Call, Refusal};
use crate::show::{self, list as elements, number, text};
use crate::visit::Visit;
use http::StatusCode;
use maud::{Markup, html};
use serde_json::Value;

/// Seconds between two refreshes by the script: as often as an edge says something.
const LIVE: u64 = 5;
/// Histories that are shown: each start of a control on SQLite begins one.
const HISTORIES: usize = 5;
/// Slow answers of all edges that are shown.
const SLOW: usize = 20;
/// Where answers come from, and what people call it.
pub const TIERS: [(&str, &str); 4] =
    [("hot", "memory"), ("redis", "Redis"), ("origin", "control"), ("stale", "memory, perhaps old")];

/// `GET /ui/fleet`.
pub async fn show(visit: Visit) -> Result<Answer, Refusal> {
    let (status, body) = match visit.call(Call::get("/v1/edges", &[])).await {
        Ok(answer) => (StatusCode::OK, known(&visit, &answer)),
        Err(refusal) if refusal.status == StatusCode::UNAUTHORIZED => return Err(refusal),
        Err(refusal) => (refusal.status, unknown(&refusal)),
    };
    let body = html! {
        div data-live=(LIVE) { (body) }
        p class="hint" data-live-note="" { "As it was when this page was loaded." }
    };
    Ok(Answer::with(status, "Fleet", body))
}

fn unknown(refusal: &Refusal) -> Markup {
    html! {
        p class="notice bad" { "The edges are not known now: " (show::sentence(&refusal.detail)) }
        p { "Edges go on answering visitors without this server. Load the page again when it is back." }
    }
}

fn known(visit: &Visit, answer: &Value) -> Markup {
    let (edges, narrow) = (elements(answer, "edges"), !visit.rights.domains.is_empty());
    html! {
        (summary(edges))
        @if narrow {
            p class="hint" { "Your key is for some domains. What edges say of the visitors of all domains is not shown with it." }
        }
        @if edges.is_empty() {
            p class="empty" { "No edge follows this control or another one of its store." }
        } @else {
            section aria-labelledby="edges" {
                h2 id="edges" { "Edges" }
                div class="scroll" tabindex="0" role="region" aria-label="Table of edges" { (table(edges, narrow)) }
                (words())
                @for edge in edges { (more(edge)) }
            }
        }
        (slow(edges))
        (log(&answer["log"]))
        (stores(answer))
    }
}

/// What the words of the table mean.
fn words() -> Markup {
    let all = [
        ("Edge", "a server that visitors reach, and that redirects them."),
        ("current", "it knows of every change until a moment ago."),
        (
            "away, blind",
            "it has no connection to control, or has had no word from it for too long: it goes on redirecting by what it knew, and cannot know what changed.",
        ),
        (
            "Position",
            "the number of the last change that it has. Every write is a change with a number, which stands at the end of the revision of its link.",
        ),
        ("From", "where the links that were asked for came from: the memory of the edge, Redis, or control."),
        ("p50, p99", "half of all answers, and 99 of 100, took less time than this."),
    ];
    html! {
        details id="words" {
            summary { "What these words mean" }
            dl class="facts" { @for (word, meaning) in all { div { dt { (word) } dd { (meaning) } } } }
        }
    }
}

fn summary(edges: &[Value]) -> Markup {
    let blind = edges.iter().filter(|edge| edge["blind"] == true).count();
    let behind = edges.iter().filter(|edge| edge["lag"].as_u64().unwrap_or(0) > 0).count();
    let rates: Vec<f64> = edges.iter().filter(|edge| edge["blind"] != true).filter_map(rate).collect();
    html! {
        @if !edges.is_empty() {
            p class="lead" {
                (number(edges.len() as u64)) @if edges.len() == 1 { " edge" } @else { " edges" }
                ": " (number((edges.len() - blind) as u64)) " current"
                @if blind > 0 { ", " strong { (number(blind as u64)) " away or blind" } }
                @if behind > 0 { ", " (number(behind as u64)) " without the last change" }
                @if !rates.is_empty() { ". Together " (shown_rate(rates.iter().sum())) " answers a second" }
                "."
            }
        }
    }
}

/// `narrow`: for a key that is not shown what edges say.
fn table(edges: &[Value], narrow: bool) -> Markup {
    html! {
        table class="cards" {
            caption class="hidden" { "Edges" }
            thead {
                tr {
                    @for head in ["Edge", "State", "Position", "Heard", "Answers a second", "From", "p50", "p99", "Connections", "Version"] {
                        th scope="col" { (head) }
                    }
                }
            }
            tbody { @for edge in edges { (row(edge, narrow)) } }
        }
    }
}

fn row(edge: &Value, narrow: bool) -> Markup {
    let report = &edge["report"];
    let time = |name: &str| report[name].as_u64().map(show::took);
    html! {
        tr {
            th scope="row" { (text(edge, "edge")) }
            td data-label="State" { (state(edge)) }
            td data-label="Position" { (position(edge)) }
            td data-label="Heard" { (show::time(text(edge, "last_pong"))) }
            @if report.is_null() {
                td colspan="6" data-label="Of itself" { span class="none" { (silence(edge, narrow)) } }
            } @else {
                td data-label="Answers a second" { (or_none(rate(edge).map(shown_rate))) }
                td data-label="From" { (tiers(report)) }
                td data-label="p50" { (or_none(time("p50_ns"))) }
                td data-label="p99" { (or_none(time("p99_ns"))) }
                td data-label="Connections" { (number(count(report, "connections"))) }
                td data-label="Version" { (text(report, "version")) }
            }
        }
    }
}

/// Why nothing is known of what an edge says.
fn silence(edge: &Value, narrow: bool) -> &'static str {
    match (narrow, edge["blind"] == true) {
        (true, _) => "Not shown with your key.",
        (false, true) => "It is away, and has said nothing.",
        (false, false) => "It says nothing of itself: an older linkr, or not yet.",
    }
}

fn state(edge: &Value) -> Markup {
    let connected = !text(edge, "session_since").is_empty();
    html! {
        @if edge["blind"] != true { span class="mark good" { "current" } }
        @else if connected { span class="mark bad" { "blind" } }
        @else { span class="mark bad" { "away" } }
    }
}

fn position(edge: &Value) -> Markup {
    html! {
        @match edge["applied"].as_u64() {
            Some(applied) => {
                (number(applied))
                @if let Some(lag) = edge["lag"].as_u64().filter(|lag| *lag > 0) { ", " strong { (number(lag)) " behind" } }
            }
            None => { span class="none" { "not said yet" } }
        }
    }
}

fn or_none(shown: Option<String>) -> Markup {
    html! { @match shown { Some(text) => { (text) } None => { "–" } } }
}

/// Answers in a second of the last minute; `None`: it does not say.
fn rate(edge: &Value) -> Option<f64> {
    let report = &edge["report"];
    let seconds = report["recent_seconds"].as_u64().filter(|seconds| *seconds > 0)?;
    let all: u128 = elements(report, "recent").iter().map(|some| u128::from(count(some, "count"))).sum();
    Some(all as f64 / seconds as f64)
}

fn shown_rate(rate: f64) -> String {
    if rate < 100.0 { format!("{rate:.1}") } else { number(rate as u64) }
}

fn count(of: &Value, name: &str) -> u64 {
    of[name].as_u64().unwrap_or(0)
}

/// Which share of the links that were asked for came from where.
fn tiers(report: &Value) -> Markup {
    let of = |tier: &str| {
        let own = elements(report, "recent").iter().filter(|some| text(some, "tier") == tier);
        own.map(|some| count(some, "count") as f64).sum::<f64>()
    };
    let all: f64 = TIERS.iter().map(|(tier, _)| of(tier)).sum();
    let shares = TIERS.iter().map(|(tier, word)| (of(tier), word)).filter(|(share, _)| *share > 0.0);
    html! {
        @if all == 0.0 { "–" }
        @for (at, (share, word)) in shares.enumerate() {
            @if at > 0 { br; }
            (percent(share / all)) " " (word)
        }
    }
}

/// A share that is not all is never shown as all.
fn percent(share: f64) -> String {
    let tenths = (share * 1_000.0) as u64;
    if tenths.is_multiple_of(10) {
        format!("{} %", tenths / 10)
    } else {
        format!("{}.{} %", tenths / 10, tenths % 10)
    }
}

/// The rest of what an edge says.
fn more(edge: &Value) -> Markup {
    let report = &edge["report"];
    let (links, taken) = (count(report, "links"), count(report, "set_bytes"));
    let whole = if report["complete"] == true { "all" } else { "some" };
    let clicks = &report["clicks"];
    let fact = |word: &str, value: Markup| html! { div { dt { (word) } dd { (value) } } };
    html! {
        @if !report.is_null() {
            details id={ "more-" (text(edge, "incarnation")) } {
                summary { "More of " (text(edge, "edge")) }
                dl class="facts" {
                    (fact("Said at", show::time(text(edge, "report_time"))))
                    (fact("Runs for", html! { (show::lasted(count(report, "up_seconds"))) }))
                    (fact("Program", html! { (text(report, "version")) ", commit " (text(report, "commit")) }))
                    (fact("Workers", html! { (number(count(report, "workers"))) " on " (text(report, "driver")) }))
                    (fact("Links in memory", html! {
                        (number(links)) ", " (whole) " of them, in " (show::bytes(taken)) " of "
                        (show::bytes(count(report, "set_budget_bytes")))
                    }))
                    @if !report["redis_workers"].is_null() {
                        (fact("Redis", html! { (number(count(report, "redis_workers"))) " workers ask it" }))
                    }
                    @if !clicks.is_null() {
                        (fact("Clicks", html! {
                            (number(count(clicks, "recorded"))) " recorded, " (number(count(clicks, "pending")))
                            " not handed over yet, " (number(count(clicks, "lost"))) " lost"
                        }))
                    }
                    @for some in elements(report, "answers") {
                        (fact(&format!("Answers: {}", text(some, "outcome")), html! { (number(count(some, "count"))) }))
                    }
                    (fact("Process", html! { code { (text(edge, "incarnation")) } }))
                }
            }
        }
    }
}

fn slow(edges: &[Value]) -> Markup {
    let of = |edge: &Value| {
        let name = text(edge, "edge").to_owned();
        elements(&edge["report"], "slow").iter().map(|one| (name.clone(), one.clone())).collect::<Vec<_>>()
    };
    let mut all: Vec<(String, Value)> = edges.iter().flat_map(of).collect();
    all.sort_by(|(_, one), (_, other)| text(other, "time").cmp(text(one, "time")));
    all.truncate(SLOW);
    html! {
        @if edges.iter().any(|edge| !edge["report"].is_null()) {
            section aria-labelledby="slow" {
                h2 id="slow" { "Last answers that were kept" }
                @if all.is_empty() { p class="hint" { "No edge tells of one." } }
                @else {
                    table class="cards" {
                        caption class="hidden" { "Last answers that were kept" }
                        thead {
                            tr {
                                @for head in ["Request", "Edge", "When", "Took", "Status", "Why", "Trace"] { th scope="col" { (head) } }
                            }
                        }
                        tbody { @for (edge, one) in &all { (slow_row(edge, one)) } }
                    }
                    p class="hint" {
                        "An edge keeps some answers to look at: slow ones (at least 1 ms, and slower than nearly all of that minute), "
                        "refused ones, the first after a pause of its program, and one at a moment of each second."
                    }
                    p class="hint" { "What the worker did before each, at the edge itself: " code { "linkr tail --slow" } }
                }
            }
        }
    }
}

fn slow_row(edge: &str, one: &Value) -> Markup {
    html! {
        tr {
            th scope="row" { code { (text(one, "method")) " " (text(one, "host")) (text(one, "path")) } }
            td data-label="Edge" { (edge) }
            td data-label="When" { (show::time(text(one, "time"))) }
            td data-label="Took" { (show::took(count(one, "duration_us").saturating_mul(1_000))) }
            td data-label="Status" { (count(one, "status")) }
            td data-label="Why" { (why(text(one, "reason"))) ", " (cause(text(one, "cause"))) }
            td data-label="Trace" { code { (text(one, "trace_id")) } }
        }
    }
}

/// Why an answer was kept (docs/tracing.md).
fn why(reason: &str) -> &str {
    match reason {
        "unavailable" => "nobody could be asked in time",
        "slow_tier" => "Redis or control was slow",
        "slow" => "slower than the others",
        "asked" => "it was asked to",
        "refused" => "it was refused",
        "late" => "first after a pause of the program",
        "random" => "one at random",
        other => other,
    }
}

/// Where the time went.
fn cause(cause: &str) -> &str {
    match cause {
        "redis" => "waited for Redis",
        "control" => "waited for control",
        "client" => "waited for the visitor",
        "stopped" => "the program did not run",
        "worker" => "in the edge itself",
        other => other,
    }
}

fn log(log: &Value) -> Markup {
    let histories = elements(log, "histories");
    html! {
        section aria-labelledby="log" {
            h2 id="log" { "The log" }
            @if log.is_null() {
                p class="notice bad" { "The log is not known now: the store cannot be read." }
            } @else {
                dl class="facts" {
                    div { dt { "Last change" } dd { (number(count(log, "head"))) } }
                    div { dt { "Kept from" } dd { (number(count(log, "oldest").min(count(log, "head")))) } }
                    div { dt { "History" } dd { code { (text(log, "epoch")) } } }
                }
                @if !histories.is_empty() {
                    h3 { "Histories that took the place of another" }
                    ol class="versions" {
                        @for history in histories.iter().take(HISTORIES) {
                            li {
                                p {
                                    code { (text(history, "epoch")) } " began at " (show::time(text(history, "begin_time")))
                                    " after change " (number(count(history, "fork_seq"))) " of " code { (text(history, "parent")) }
                                    ", with " (number(count(history, "head"))) " changes in the store."
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn stores(answer: &Value) -> Markup {
    let (store, redis) = (&answer["store"], &answer["redis"]);
    html! {
        @if !store.is_null() {
            section aria-labelledby="stores" {
                h2 id="stores" { "Store and Redis" }
                dl class="facts" {
                    div {
                        dt { "Store" }
                        dd {
                            (text(store, "kind")) " "
                            @match (store["reads"] == true, store["writes"] == true) {
                                (true, true) => { span class="mark good" { "is read and written" } }
                                (true, false) => { span class="mark bad" { "takes no writes" } }
                                (false, _) => { span class="mark bad" { "cannot be read" } }
                            }
                            @if !text(store, "trouble").is_empty() { " " (show::sentence(text(store, "trouble"))) }
                            @if store["replaced"] == true {
                                " It holds another history than this control has seen: " code { "linkr control bump-epoch" }
                                " says that this was meant."
                            }
                        }
                    }
                    div {
                        dt { "Redis" }
                        dd {
                            @if redis.is_null() { "This control keeps no copy there." }
                            @else {
                                (number(count(redis, "following"))) " of " (number(count(redis, "shards")))
                                " parts follow the log, " (number(count(redis, "lag"))) " changes behind"
                            }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn shares_and_rates_are_shown_for_people() {
        assert_eq!([1.0, 0.9999, 0.5, 0.001, 0.0].map(percent), ["100 %", "99.9 %", "50 %", "0.1 %", "0 %"]);
        let recent = json!([{ "outcome": "redirect", "tier": "hot", "count": 90 }, { "outcome": "gone", "tier": "stale", "count": 30 }]);
        let edge = json!({ "report": { "recent_seconds": 60, "recent": recent } });
        assert_eq!(rate(&edge), Some(2.0));
        let shown = tiers(&edge["report"]).into_string();
        assert_eq!(shown, "75 % memory<br>25 % memory, perhaps old");
        assert_eq!((rate(&json!({})), tiers(&json!({})).into_string()), (None, "–".to_owned()));
        assert_eq!([99.94, 12_345.6].map(shown_rate), ["99.9", "12,345"]);
        let idle = json!({ "report": { "recent_seconds": 60, "recent": [] } });
        assert_eq!(rate(&idle).map(shown_rate).as_deref(), Some("0.0"));
    }

    #[test]
    fn what_an_edge_says_is_text_and_what_nobody_knows_is_said() {
        let evil = "<script>alert(1)</script>";
        let slow = json!([{ "host": evil, "path": "\"><img src=x>", "time": evil, "duration_us": u64::MAX, "trace_id": evil }]);
        let report = json!({ "version": evil, "connections": u64::MAX, "slow": slow, "recent_seconds": 1,
            "recent": [{ "tier": "hot", "outcome": evil, "count": u64::MAX }, { "tier": evil, "outcome": "", "count": u64::MAX }],
            "answers": [{ "outcome": evil, "count": 1 }] });
        let edges = [
            json!({ "edge": evil, "incarnation": "0a", "blind": false, "applied": 7, "lag": 1, "report": report }),
            json!({ "edge": "b", "incarnation": "0b", "blind": true, "lag": 0 }),
        ];
        let page = html! { (summary(&edges)) (table(&edges, false)) (more(&edges[0])) (super::slow(&edges)) (log(&json!(null))) };
        let page = page.into_string();
        assert!(!page.contains("<script") && !page.contains("<img"), "{page}");
        for said in
            ["1 away or blind", "It is away, and has said nothing.", "The log is not known now", "1 behind"]
        {
            assert!(page.contains(said), "{said}: {page}");
        }
    }
}
