//! The tags of a domain, and renaming one.

use crate::answer::Answer;
use crate::api::{Call, Refusal, domain_path};
use crate::form::href;
use crate::show::{self, list as elements, text};
use crate::visit::Visit;
use http::StatusCode;
use maud::{Markup, html};
use serde_json::{Value, json};

/// Calls of one rename, each of which works for about two seconds: the whole has 30.
const CALLS: usize = 10;

/// `GET /ui/tags`.
pub async fn list(visit: Visit) -> Result<Answer, Refusal> {
    let (prefix, token) = (visit.query.get("prefix"), visit.query.get("page"));
    let parameters = [("page_size", "100"), ("prefix", prefix), ("page_token", token)];
    let answer = visit.call(Call::get(&domain_path(visit.domain(), "/tags"), &parameters)).await?;
    let (tags, next) = (elements(&answer, "tags"), text(&answer, "next_page_token"));
    let domains = super::domain_choice::domains(&visit).await;
    let body = html! {
        form method="get" action="/ui/tags" class="search" role="search" aria-label="Tags" {
            (super::domain_choice::domain_field(&domains, visit.domain(), &visit))
            div class="field" {
                label for="prefix" { "Begins with" }
                input id="prefix" name="prefix" value=(prefix) autocomplete="off" spellcheck="false";
            }
            div class="buttons" { button class="main" { "Show" } a href="/ui/tags" { "Clear" } }
        }
        @if tags.is_empty() {
            p class="empty" { "No link of this domain has such a tag." }
        } @else {
            table class="cards" data-sort="" {
                caption class="hidden" { "Tags" }
                thead {
                    tr {
                        th scope="col" { "Tag" } th scope="col" { "Links" }
                        @if visit.rights.allow("clicks:read") { th scope="col" data-nosort="" { "Clicks" } }
                    }
                }
                tbody { @for tag in tags { (row(&visit, tag)) } }
            }
        }
        p class="pager" {
            @if !next.is_empty() { a rel="next" href={ "/ui/tags?" (visit.query.with("page", next).encode()) } { "Next page" } }
        }
        @if visit.rights.allow("links:write") { (rename_form(&visit)) }
    };
    Ok(Answer::page("Tags", body))
}

fn row(visit: &Visit, tag: &Value) -> Markup {
    let name = text(tag, "tag");
    html! {
        tr {
            th scope="row" { a class="tag" href=(href("/ui/links", &[("domain", visit.domain()), ("tag", name)])) { (name) } }
            td data-label="Links" { (show::number(tag["links"].as_u64().unwrap_or(0))) }
            @if visit.rights.allow("clicks:read") {
                td { a href=(href("/ui/clicks", &[("domain", visit.domain()), ("tag", name)])) aria-label={ "Clicks with tag " (name) } { "Clicks" } }
            }
        }
    }
}

fn rename_form(visit: &Visit) -> Markup {
    let line = |name: &str, label: &str| {
        html! {
            div class="field" {
                label for=(name) { (label) }
                input id=(name) name=(name) value=(visit.query.get(name)) autocomplete="off" spellcheck="false";
            }
        }
    };
    html! {
        section aria-labelledby="rename" {
            h2 id="rename" { "Rename a tag" }
            form method="post" action="/ui/tags/rename" class="narrow" {
                (visit.marks())
                input type="hidden" name="domain" value=(visit.domain());
                (line("tag", "Tag"))
                (line("new_tag", "is to be"))
                label class="flag" {
                    input type="checkbox" name="merge" value="1";
                    " Put both together if links have the new one already"
                }
                div class="buttons" { button { "Rename it on every link" } }
            }
        }
    }
}

/// `POST /ui/tags/rename`.
pub async fn rename(visit: Visit) -> Result<Answer, Refusal> {
    let (tag, new_tag) = (visit.form.get("tag"), visit.form.get("new_tag"));
    let merge = visit.form.has("merge");
    let typed = href("/ui/tags", &[("domain", visit.domain()), ("tag", tag), ("new_tag", new_tag)]);
    let path = domain_path(visit.domain(), "/tags:rename");
    let mut changed = 0;
    for _ in 0..CALLS {
        let body = json!({ "tag": tag, "new_tag": new_tag, "merge": merge });
        let answer = match visit.call(Call::post(&path, &[], body)).await {
            Ok(answer) => answer,
            Err(refusal) if refusal.status == StatusCode::UNAUTHORIZED => return Err(refusal),
            Err(refusal) => return Ok(visit.not_done(typed, &refusal)),
        };
        changed += answer["changed"].as_u64().unwrap_or(0);
        if answer["done"] == true {
            let back = href("/ui/tags", &[("domain", visit.domain())]);
            return Ok(
                visit.done(back, format!("{tag} is {new_tag} now: {} links changed.", show::number(changed)))
            );
        }
    }
    let more = format!(
        "{} links changed so far, and there are more: rename it again to go on.",
        show::number(changed)
    );
    Ok(visit.done(typed, more))
}
