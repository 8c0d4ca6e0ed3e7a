//! What one edge would answer for a link now, and why: the edge itself is asked.

use super::fleet::TIERS;
use crate::answer::Answer;
use crate::api::{Call, Refusal, link_path};
use crate::form::href;
use crate::show::{self, list as elements, text};
use crate::visit::Visit;
use http::StatusCode;
use maud::{Markup, html};
use serde_json::Value;

/// What an edge says, and what people call it.
const SAID: [(&str, &str); 10] = [
    ("outcome", "Outcome"),
    ("by", "By the field"),
    ("tier", "From"),
    ("fresh", "Known to be current"),
    ("blind", "The edge is blind"),
    ("staleness_ms", "Milliseconds since it was known to be current"),
    ("class", "Class"),
    ("version", "Change that made it so"),
    ("as_of", "Known to be so up to change"),
    ("revision", "Revision"),
];

/// `GET /ui/link/explain`.
pub async fn show(visit: Visit) -> Result<Answer, Refusal> {
    let named = visit.query.get("edge");
    let edges = visit.call(Call::get("/v1/edges", &[])).await?;
    let mut names: Vec<&str> = elements(&edges, "edges").iter().map(|edge| text(edge, "edge")).collect();
    names.dedup();
    let told = match named {
        "" => None,
        edge => {
            let path = link_path(visit.domain(), visit.code(), ":explain");
            Some(visit.call(Call::get(&path, &[("edge", edge)])).await)
        }
    };
    let told = match told {
        Some(Err(refusal)) if refusal.status == StatusCode::UNAUTHORIZED => return Err(refusal),
        told => told,
    };
    let status =
        told.as_ref().and_then(|told| told.as_ref().err()).map_or(StatusCode::OK, |refusal| refusal.status);
    let body = html! {
        p { a href=(href("/ui/link", &[("domain", visit.domain()), ("code", visit.code())])) { "Back to the link" } }
        @if names.is_empty() { p class="empty" { "No edge is known: there is none to ask." } }
        @else { (question(&visit, &names, named)) }
        @match &told {
            None => {}
            Some(Ok(told)) => { (explanation(told)) }
            Some(Err(refusal)) => { p class="notice bad" { (show::sentence(&refusal.detail)) } }
        }
    };
    Ok(Answer::with(status, format!("What an edge answers for {}", visit.code()), body))
}

fn question(visit: &Visit, names: &[&str], named: &str) -> Markup {
    html! {
        form method="get" action="/ui/link/explain" class="narrow" {
            input type="hidden" name="domain" value=(visit.domain());
            input type="hidden" name="code" value=(visit.code());
            div class="field" {
                label for="edge" { "Edge" }
                select id="edge" name="edge" {
                    @for name in names { option value=(name) selected[*name == named] { (name) } }
                }
            }
            button class="main" { "Ask it" }
        }
    }
}

fn explanation(told: &Value) -> Markup {
    html! {
        section aria-labelledby="told" {
            h2 id="told" { "Edge " (text(told, "edge")) " answers" }
            pre class="lines" { (text(told, "response").replace("\r\n", "\n").trim_end()) }
            dl class="facts" {
                @for (name, word) in SAID {
                    @let value = if name == "tier" { tier(told) } else { said(&told[name]) };
                    @if !value.is_empty() { div { dt { (word) } dd { (value) } } }
                }
            }
        }
    }
}

/// Where the answer comes from, as people call it.
fn tier(told: &Value) -> String {
    let own = text(told, "tier");
    let word = TIERS.iter().find(|(tier, _)| *tier == own).map_or(own, |(_, word)| *word);
    word.to_owned()
}

fn said(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
