//! Codes that are asked for and that no link has.

use super::super::domain_choice;
use super::named;
use super::period::{Period, RANGES};
use super::question::Question;
use crate::answer::Answer;
use crate::api::{Call, Refusal, link_path};
use crate::form::href;
use crate::show::{self, list, sentence, text};
use crate::visit::Visit;
use http::StatusCode;
use jiff::Timestamp;
use maud::{Markup, html};
use serde_json::Value;
use std::collections::HashMap;

/// Where all of them are.
const PAGE: &str = "/ui/clicks/unknown";
/// How many there are on the page of a domain, and on their own.
const FEW: &str = "5";
const MANY: &str = "100";

/// The most frequent ones of a domain.
pub async fn dead_codes(visit: &Visit, question: &Question<'_>) -> Markup {
    let body = match visit.call(question.unknown(FEW)).await {
        Ok(answer) => html! {
            (codes_table(visit, question, &answer, &there(visit, question, &answer).await))
            @if !list(&answer, "codes").is_empty() {
                p { a href=(question.way_to(PAGE, "code", "")) { "All of them" } }
            }
        },
        Err(refusal) => html! { p class="hint" { "This cannot be told: " (sentence(&refusal.detail)) } },
    };
    html! { section aria-labelledby="dead" { h2 id="dead" { "Dead codes: asked for, and no link has them" } (body) } }
}

/// The links that some of the codes have now: they were asked for before, or while the link was on its way to an edge. One
/// call for each; a key that may not read links learns of none.
async fn there(visit: &Visit, question: &Question<'_>, answer: &Value) -> HashMap<String, Value> {
    let mut links = HashMap::new();
    if !visit.rights.allow("links:read") {
        return links;
    }
    for code in list(answer, "codes").iter().map(|code| text(code, "code")) {
        match visit.call(Call::get(&link_path(question.domain, code, ""), &[])).await {
            Ok(link) => {
                links.insert(code.to_owned(), link);
            }
            // What cannot be a code has no link either; anything else concerns the others, too.
            Err(refusal) if [StatusCode::NOT_FOUND, StatusCode::BAD_REQUEST].contains(&refusal.status) => {}
            Err(_) => break,
        }
    }
    links
}

fn codes_table(
    visit: &Visit,
    question: &Question<'_>,
    answer: &Value,
    there: &HashMap<String, Value>,
) -> Markup {
    let (codes, total) = (list(answer, "codes"), answer["total"].as_u64().unwrap_or(0));
    let writes = visit.rights.allow("links:write");
    html! {
        @if codes.is_empty() && total == 0 {
            p class="empty" { "Nobody asked for a code that no link has." }
        } @else {
            table class="plain" data-sort="" {
                caption class="hidden" { "Codes that no link has" }
                thead {
                    tr {
                        th scope="col" { "Code" } th scope="col" class="number" { "Asked for" }
                        @if writes || !there.is_empty() { th scope="col" data-nosort="" { "What to do" } }
                    }
                }
                tbody {
                    @for code in codes {
                        @let name = text(code, "code");
                        tr {
                            th scope="row" { code { "/" (name) } }
                            td class="number" data-label="Asked for" { (show::number(code["count"].as_u64().unwrap_or(0))) }
                            @if let Some(link) = there.get(name) {
                                td data-label="What to do" { (has_link(link)) }
                            } @else if writes || !there.is_empty() {
                                td data-label="What to do" {
                                    @if writes { a href=(href("/ui/links/new", &[("domain", question.domain), ("code", name)])) aria-label={ "Make a link of " (name) } { "Make a link" } }
                                }
                            }
                        }
                    }
                }
            }
            p class="hint" {
                (show::number(total)) " requests for codes without a link, those of bots, too. Only the 100 codes that are asked for most in each hour are kept by name, for 90 days."
            }
        }
    }
}

/// The link that a code has now.
fn has_link(link: &Value) -> Markup {
    let deleted = !text(link, "delete_time").is_empty();
    html! {
        @if deleted { span class="mark bad" { "has a deleted link" } } @else { span class="mark good" { "has a link" } }
        @if !deleted { " since " (show::time(text(link, "create_time"))) } " "
        a href=(show::link_href("/ui/link", link)) aria-label={ "Look at it, the link of " (text(link, "code")) } { "Look at it" }
    }
}

/// `GET /ui/clicks/unknown`: codes that are asked for and that no link has.
pub async fn unknown(visit: Visit) -> Result<Answer, Refusal> {
    let question = Question::of(&visit, Period::read(&visit.query, Timestamp::now())?);
    let answer = visit.call(question.unknown(MANY)).await?;
    let domains = domain_choice::domains(&visit).await;
    let body = html! {
        p { a href=(question.way("code", "")) { "Back to the clicks" } }
        @if domains.len() > 1 {
            form method="get" action=(PAGE) class="search" role="search" aria-label="Dead codes" {
                (domain_choice::domain_field(&domains, question.domain, &visit))
                input type="hidden" name="last" value=(visit.query.get("last"));
                div class="buttons" { button class="main" { "Show" } }
            }
        }
        p { "Asked for " (question.period.words()) ", of " (named(question.domain)) ": from " (show::time(&question.period.now.from)) " on." }
        p class="buttons" {
            @for (name, word) in RANGES { a class="button" href=(question.way_to(PAGE, "last", name)) aria-current=[(name == question.period.name).then_some("true")] { (word) } }
        }
        (codes_table(&visit, &question, &answer, &there(&visit, &question, &answer).await))
    };
    Ok(Answer::page("Dead codes", body))
}
