//! The list of links: what is looked for, and a page of what is found. What is done to many of them is in `bulk`.

use crate::answer::Answer;
use crate::api::Refusal;
use crate::form::href;
use crate::show::{self, list as elements, state_mark, text};
use crate::visit::Visit;
use maud::{Markup, html};
use serde_json::Value;

use super::bulk::bulk_bar;
use super::click_counts::ListedClicks;
use super::domain_choice::{domain_field, domains};
use super::listing::found;

/// Rows of a page.
const ROWS: &str = "50";

/// `GET /ui/links`.
pub async fn list(visit: Visit) -> Result<Answer, Refusal> {
    let found = found(&visit, &visit.query, ROWS, visit.query.get("page"));
    let found_and_counted = async {
        let found = found.await;
        let clicks = match &found {
            Ok(answer) if visit.rights.allow("clicks:read") => {
                Some(ListedClicks::read(&visit, elements(answer, "links")).await)
            }
            _ => None,
        };
        (found, clicks)
    };
    // Both wait for the store.
    let ((found, clicks), domains) = tokio::join!(found_and_counted, domains(&visit));
    let body = html! {
        @if visit.rights.allow("links:write") { (ways_in(&visit)) }
        (search(&visit, &domains))
        @match &found {
            Ok(answer) => { (rows(&visit, answer, clicks.as_ref())) }
            Err(refusal) => { p role="alert" class="notice bad" { (refusal.detail) } }
        }
    };
    match found {
        Err(refusal) if refusal.status == http::StatusCode::UNAUTHORIZED => Err(refusal),
        Err(refusal) => Ok(Answer::with(refusal.status, "Links", body)),
        Ok(_) => Ok(Answer::page("Links", body)),
    }
}

/// The ways to more links.
fn ways_in(visit: &Visit) -> Markup {
    html! {
        p class="buttons" {
            a class="button" href=(href("/ui/links/new", &[("domain", visit.query.get("domain"))])) { "New link" }
            @if visit.files().is_ok() {
                a class="button" href=(href(super::import::PAGE, &[("domain", visit.domain())])) { "Import links" }
            }
        }
    }
}

fn search(visit: &Visit, domains: &[String]) -> Markup {
    let query = &visit.query;
    let line = |name: &str, label: &str| {
        html! {
            div class="field" {
                label for=(name) { (label) }
                input id=(name) name=(name) value=(query.get(name)) autocomplete="off" spellcheck="false"
                    data-tags=[(name == "tag").then_some("")];
            }
        }
    };
    let orders =
        [("", "Code"), ("create_time desc", "Newest first"), ("update_time desc", "Latest change first")];
    html! {
        form method="get" action="/ui/links" class="search" role="search" aria-label="Links" {
            (domain_field(domains, visit.domain(), visit))
            (line("begins", "Code begins with"))
            (line("tag", "Tag"))
            (line("target", "Target contains"))
            div class="field" {
                label for="order" { "Order" }
                select id="order" name="order" {
                    @for (value, word) in orders { option value=(value) selected[query.get("order") == value] { (word) } }
                }
            }
            label class="flag" { input type="checkbox" name="deleted" value="1" checked[query.has("deleted")]; " Deleted ones, too" }
            details open[!query.get("filter").is_empty()] {
                summary { "Any filter" }
                (line("filter", "Conditions"))
                p class="hint" { "Such as " code { "disabled = true" } " or " code { "expire_time < \"2030-01-01T00:00:00Z\"" } ", with AND and NOT." }
            }
            div class="buttons" { button class="main" { "Show" } a href=(href("/ui/links", &[("domain", visit.query.get("domain"))])) { "Clear" } }
        }
    }
}

type Clicks<'a> = Option<&'a Result<ListedClicks, Refusal>>;

fn rows(visit: &Visit, answer: &Value, clicks: Clicks<'_>) -> Markup {
    let (links, next) = (elements(answer, "links"), text(answer, "next_page_token"));
    let writes = visit.rights.allow("links:write");
    let onward = format!("/ui/links?{}", visit.query.with("page", next).encode());
    let table = html! {
        table class="cards" {
            caption class="hidden" { "Links" }
            thead {
                tr {
                    @if writes {
                        th scope="col" class="pick" {
                            span class="hidden" { "Select" }
                            input type="checkbox" hidden data-pick-all="" aria-label="Select all on this page";
                        }
                    }
                    th scope="col" { "Code" } th scope="col" { "Leads to" } th scope="col" { "Title and tags" }
                    th scope="col" { "State" }
                    @if clicks.is_some() { th scope="col" class="number" { "Clicks in 30 days" } }
                    th scope="col" { "Changed" }
                }
            }
            tbody { @for link in links { (row(link, writes, clicks)) } }
        }
        @if let Some(Err(refusal)) = clicks { p class="hint" { "Clicks cannot be told: " (show::sentence(&refusal.detail)) } }
    };
    html! {
        @if links.is_empty() && next.is_empty() {
            p class="empty" {
                "No link is found. "
                @if writes { a href=(href("/ui/links/new", &[("domain", visit.query.get("domain"))])) { "Make one" } }
            }
        } @else if links.is_empty() {
            p class="empty" { "None of those that were looked at fits. There are more: go on." }
        } @else if writes {
            form method="post" action="/ui/links/bulk" {
                (visit.marks())
                input type="hidden" name="domain" value=(visit.domain());
                input type="hidden" name="_back" value=(visit.query.encode());
                (table)
                (bulk_bar(visit.query.has("page") || !next.is_empty()))
            }
        } @else {
            (table)
        }
        p class="pager" {
            @if visit.query.has("page") { a href={ "/ui/links?" (visit.query.with("page", "").encode()) } { "First page" } }
            @if !next.is_empty() { a href=(onward) rel="next" { "Next page" } }
        }
        @if visit.files().is_ok() { (files(visit)) }
    }
}

/// All of the list as a file, not only this page of it.
fn files(visit: &Visit) -> Markup {
    let export = |form: &str| {
        let query = visit.query.with("page", "").with("domain", visit.domain()).with("form", form);
        format!("/ui/links/export?{}", query.encode())
    };
    html! {
        p class="buttons" {
            a class="button" href=(export("csv")) { "Export this list as CSV" }
            a class="button" href=(export("jsonl")) { "as JSON lines" }
        }
    }
}

fn row(link: &Value, writes: bool, clicks: Clicks<'_>) -> Markup {
    let (code, target) = (text(link, "code"), text(link, "target"));
    let short = show::short_url(link);
    html! {
        tr {
            @if writes { td class="pick" { input type="checkbox" name="pick" value=(code) aria-label={ "Select " (code) }; } }
            th scope="row" {
                div class="pair" {
                    a href=(show::link_href("/ui/link", link)) { (code) }
                    @if short.contains("://") { " " (show::copy(&short, &short)) }
                }
            }
            td data-label="Leads to" class="long" { (target) }
            td data-label="Title and tags" {
                (text(link, "title"))
                @for tag in elements(link, "tags").iter().filter_map(Value::as_str) {
                    " " a class="tag" href=(href("/ui/links", &[("domain", text(link, "domain")), ("tag", tag)])) { (tag) }
                }
            }
            td data-label="State" { (state_mark(link)) }
            @if let Some(clicks) = clicks {
                td data-label="Clicks in 30 days" class="number" {
                    @match clicks {
                        Ok(clicks) => { a href=(show::link_href("/ui/clicks", link)) { (clicks.of_link(code)) } }
                        Err(_) => { "–" }
                    }
                }
            }
            td data-label="Changed" { (show::time(text(link, "update_time"))) }
        }
    }
}
