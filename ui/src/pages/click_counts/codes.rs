//! Codes that are asked for and that no link has.

use super::named;
use super::period::{Period, RANGES};
use super::question::Question;
use crate::answer::Answer;
use crate::api::Refusal;
use crate::form::href;
use crate::show::{self, list, sentence, text};
use crate::visit::Visit;
use jiff::Timestamp;
use maud::{Markup, html};
use serde_json::Value;

/// Where all of them are.
const PAGE: &str = "/ui/clicks/unknown";
/// How many there are on the page of a domain, and on their own.
const FEW: &str = "5";
const MANY: &str = "500";

/// The most frequent ones of a domain.
pub async fn dead_codes(visit: &Visit, question: &Question<'_>) -> Markup {
    let body = match visit.call(question.unknown(FEW)).await {
        Ok(answer) => html! {
            (codes_table(visit, question, &answer))
            @if !list(&answer, "codes").is_empty() {
                p { a href=(question.way_to(PAGE, "code", "")) { "All of them" } }
            }
        },
        Err(refusal) => html! { p class="hint" { "This cannot be told: " (sentence(&refusal.detail)) } },
    };
    html! { section aria-labelledby="dead" { h2 id="dead" { "Dead codes: asked for, and no link has them" } (body) } }
}

fn codes_table(visit: &Visit, question: &Question<'_>, answer: &Value) -> Markup {
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
                        @if writes { th scope="col" { "What to do" } }
                    }
                }
                tbody {
                    @for code in codes {
                        @let name = text(code, "code");
                        tr {
                            th scope="row" { code { "/" (name) } }
                            td class="number" data-label="Asked for" { (show::number(code["count"].as_u64().unwrap_or(0))) }
                            @if writes {
                                td data-label="What to do" {
                                    a href=(href("/ui/links/new", &[("domain", question.domain), ("code", name)])) aria-label={ "Make a link of " (name) } { "Make a link" }
                                }
                            }
                        }
                    }
                }
            }
            p class="hint" {
                (show::number(total)) " requests for any such code. Names are known of the 100 that are asked for most in an hour, and are kept for 90 days."
            }
        }
    }
}

/// `GET /ui/clicks/unknown`: codes that are asked for and that no link has.
pub async fn unknown(visit: Visit) -> Result<Answer, Refusal> {
    let question = Question::of(&visit, Period::read(&visit.query, Timestamp::now())?);
    let answer = visit.call(question.unknown(MANY)).await?;
    let body = html! {
        p { a href=(question.way("code", "")) { "Back to the clicks" } }
        p { "Asked for in " (question.period.words()) ", of " (named(question.domain)) ": from " (show::time(&question.period.now.from)) " on." }
        p class="buttons" {
            @for (name, word) in RANGES { a class="button" href=(question.way_to(PAGE, "last", name)) aria-current=[(name == question.period.name).then_some("true")] { (word) } }
        }
        (codes_table(&visit, &question, &answer))
    };
    Ok(Answer::page("Dead codes", body))
}
