//! What an edge would answer for a link now, and why: the edge itself is asked, or each of them.

use super::fleet::TIERS;
use super::reasons::explained;
use crate::answer::Answer;
use crate::api::{Call, Refusal, domain_path, link_path};
use crate::form::href;
use crate::show::{self, list as elements, text};
use crate::visit::Visit;
use http::StatusCode;
use maud::{Markup, html};
use serde_json::Value;

/// Stands for every edge; none has this name.
const EVERY_EDGE: &str = "*";
/// Edges that are asked for one page.
const EDGES: usize = 10;

/// What an edge says, and what people call it.
const SAID: [(&str, &str); 9] = [
    ("outcome", "It comes to"),
    ("by", "Because of the domain's field"),
    ("tier", "Answered from"),
    ("fresh", "The edge knows that this is current"),
    ("blind", "It is cut off (blind), and cannot know"),
    ("staleness_ms", "Milliseconds since it knew"),
    ("class", "While it is cut off"),
    ("version", "Change that made the link so"),
    ("as_of", "The edge has looked through all changes up to"),
];

/// What an answer comes to, in words.
const OUTCOMES: [(&str, &str); 11] = [
    ("redirect", "a redirect to the target"),
    ("not_found", "not found: there is no such link, or it has not begun"),
    ("gone", "gone: the link is disabled, blocked, deleted, or has ended"),
    ("expired", "a redirect to where it leads once it has ended"),
    ("unavailable", "no answer: nobody who knows could be asked in time"),
    ("refused", "a refusal: such a request is not served"),
    ("file", "a file of the domain"),
    ("root", "a redirect to where the domain leads"),
    ("method", "a method that no link is looked up for"),
    ("reserved", "a path that the edge keeps for itself"),
    ("timed_out", "a request that did not arrive in time"),
];

/// `GET /ui/link/explain`.
pub async fn show(visit: Visit) -> Result<Answer, Refusal> {
    let named = visit.query.get("edge");
    let edges = visit.call(Call::get("/v1/edges", &[])).await?;
    let mut names: Vec<&str> = elements(&edges, "edges").iter().map(|edge| text(edge, "edge")).collect();
    names.dedup();
    let asked: Vec<&str> = match named {
        "" => Vec::new(),
        EVERY_EDGE => names.iter().copied().take(EDGES).collect(),
        edge => vec![edge],
    };
    let mut told = Vec::new();
    for edge in asked {
        let path = link_path(visit.domain(), visit.code(), ":explain");
        match visit.call(Call::get(&path, &[("edge", edge)])).await {
            Err(refusal) if refusal.status == StatusCode::UNAUTHORIZED => return Err(refusal),
            one => told.push(one),
        }
    }
    let refused = |one: &Result<Value, Refusal>| one.as_ref().err().map(|refusal| refusal.status);
    let status = if told.len() == 1 { refused(&told[0]).unwrap_or(StatusCode::OK) } else { StatusCode::OK };
    let reasons = if told.is_empty() { None } else { Reasons::read(&visit).await };
    let body = html! {
        p {
            @for (page, word) in [("/ui/link", "Back to the link"), ("/ui/link/history", "History"), ("/ui/fleet", "Fleet")] {
                a href=(href(page, &[("domain", visit.domain()), ("code", visit.code())])) { (word) } " "
            }
        }
        @if names.is_empty() { p class="empty" { "No edge is known: there is none to ask." } }
        @else { (question(&visit, &names, named)) }
        @for one in &told {
            @match one {
                Ok(told) => { (explanation(told, reasons.as_ref())) }
                Err(refusal) => { p class="notice bad" { (show::sentence(&refusal.detail)) } }
            }
        }
        @if named == EVERY_EDGE && names.len() > EDGES {
            p class="hint" { (EDGES) " of " (names.len()) " edges were asked: choose another one above." }
        }
    };
    Ok(Answer::with(status, format!("What an edge answers for {}", visit.code()), body))
}

/// The link as the store has it now.
struct Reasons {
    link: Value,
    domain: Value,
}

impl Reasons {
    async fn read(visit: &Visit) -> Option<Self> {
        let link = visit.call(Call::get(&link_path(visit.domain(), visit.code(), ""), &[])).await.ok()?;
        let domain = visit.call(Call::get(&domain_path(visit.domain(), ""), &[])).await.unwrap_or_default();
        Some(Self { link, domain })
    }

    /// Why an edge answers so: by the link, if it has it as it is now.
    fn of(&self, told: &Value) -> Markup {
        let own = text(told, "revision");
        let deleted = !text(&self.link, "delete_time").is_empty();
        html! {
            @if own == text(&self.link, "revision") || own.is_empty() && deleted { (explained(&self.link, &self.domain)) }
            @else if own.is_empty() {
                p class="notice bad" { "This edge answers without the link, which there is: it lacks its last change." }
            } @else {
                p class="notice bad" {
                    "This edge has the link as revision " code { (own) } ", and since then it was changed to "
                    code { (text(&self.link, "revision")) } "."
                }
            }
        }
    }
}

fn question(visit: &Visit, names: &[&str], named: &str) -> Markup {
    html! {
        form method="get" action="/ui/link/explain" class="narrow" {
            input type="hidden" name="domain" value=(visit.domain());
            input type="hidden" name="code" value=(visit.code());
            div class="field" {
                label for="edge" { "Edge" }
                select id="edge" name="edge" aria-describedby="edge-hint" {
                    @if names.len() > 1 { option value=(EVERY_EDGE) selected[named == EVERY_EDGE] { "each of them" } }
                    @for name in names { option value=(name) selected[*name == named] { (name) } }
                }
                p class="hint" id="edge-hint" { "An edge is a server that visitors reach." }
            }
            button class="main" { "Ask it" }
        }
    }
}

fn explanation(told: &Value, reasons: Option<&Reasons>) -> Markup {
    let edge = text(told, "edge");
    html! {
        section aria-labelledby={ "told-" (edge) } {
            h2 id={ "told-" (edge) } { "Edge " (edge) " answers" }
            pre class="lines" { (text(told, "response").replace("\r\n", "\n").trim_end()) }
            @if let Some(reasons) = reasons { (reasons.of(told)) }
            dl class="facts" {
                @for (name, word) in SAID {
                    @let value = said(told, name);
                    @if !value.is_empty() { div { dt { (word) } dd { (value) } } }
                }
                @if !text(told, "revision").is_empty() { div { dt { "Revision" } dd { code { (text(told, "revision")) } } } }
            }
            p class="hint" {
                "Each write is a change with a number, and edges take them in their order: one that has looked through all up to a number lacks none of them."
            }
        }
    }
}

/// A member, as people call it.
fn said(told: &Value, name: &str) -> String {
    let word = |all: &[(&str, &str)], own: &str| {
        let found = all.iter().find(|(name, _)| *name == own);
        found.map_or(own, |(_, word)| *word).to_owned()
    };
    match (name, &told[name]) {
        ("outcome", Value::String(own)) => word(&OUTCOMES, own),
        ("tier", Value::String(own)) => word(&TIERS, own),
        ("class", Value::String(own)) => word(
            &[("normal", "it redirects on (normal)"), ("strict", "it refuses until it knows (strict)")],
            own,
        ),
        (_, Value::Null) => String::new(),
        (_, Value::Bool(true)) => "yes".to_owned(),
        (_, Value::Bool(false)) => "no".to_owned(),
        (_, Value::String(text)) => text.clone(),
        (_, other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_edge_that_has_the_link_says_why_and_one_that_has_not_says_that() {
        let reasons = Reasons { link: json!({ "disabled": true, "revision": "2-0a-9" }), domain: json!({}) };
        let told = |revision: &str| {
            let told = json!({ "edge": "<fra>", "outcome": "gone", "tier": "hot", "revision": revision, "blind": false });
            explanation(&told, Some(&reasons)).into_string()
        };
        let current = told("2-0a-9");
        assert!(
            current.contains("because the link is disabled") && current.contains("&lt;fra&gt;"),
            "{current}"
        );
        assert!(
            current.contains("gone: the link is disabled") && current.contains("<dd>memory</dd>"),
            "{current}"
        );
        let old = told("2-0a-7");
        assert!(old.contains("and since then it was changed to") && !old.contains("because"), "{old}");
    }
}
