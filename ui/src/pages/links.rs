//! The list of links, and what is done to many of them at once.

use crate::answer::Answer;
use crate::api::{Call, Refusal, domain_path, link_path};
use crate::form::{Pairs, href};
use crate::show::{self, list as elements, state_mark, text};
use crate::visit::Visit;
use maud::{Markup, html};
use serde_json::{Value, json};

use super::click_counts::ListedClicks;
use super::domain_choice::{domain_field, domains};

/// Rows of a page.
const ROWS: &str = "50";

/// The conditions of a list, as its fields have them.
fn filter(query: &Pairs) -> String {
    let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
    let mut all = Vec::new();
    let (begins, tag, target) = (query.get("begins"), query.get("tag"), query.get("target"));
    if !begins.is_empty() {
        all.push(format!("code = \"{}*\"", quoted(begins).replace('*', "\\*")));
    }
    if !tag.is_empty() {
        all.push(format!("tags:\"{}\"", quoted(tag)));
    }
    if !target.is_empty() {
        all.push(format!("target:\"{}\"", quoted(target)));
    }
    if !query.get("filter").is_empty() {
        all.push(query.get("filter").to_owned());
    }
    all.join(" AND ")
}

/// A page of the links that an address asks for.
///
/// # Errors
/// What REST refuses it with.
pub async fn found(visit: &Visit, rows: &str, token: &str) -> Result<Value, Refusal> {
    let query = &visit.query;
    let deleted = if query.has("deleted") { "true" } else { "" };
    let condition = filter(query);
    let parameters = [
        ("page_size", rows),
        ("page_token", token),
        ("filter", condition.as_str()),
        ("order_by", query.get("order")),
        ("show_deleted", deleted),
    ];
    visit.call(Call::get(&domain_path(visit.domain(), "/links"), &parameters)).await
}

/// `GET /ui/links`.
pub async fn list(visit: Visit) -> Result<Answer, Refusal> {
    let found = found(&visit, ROWS, visit.query.get("page")).await;
    let domains = domains(&visit).await;
    let counts = visit.rights.allow("clicks:read") && found.is_ok();
    let clicks = if counts { Some(ListedClicks::read(&visit).await) } else { None };
    let body = html! {
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

fn search(visit: &Visit, domains: &[String]) -> Markup {
    let query = &visit.query;
    let line = |name: &str, label: &str| {
        html! {
            div class="field" {
                label for=(name) { (label) }
                input id=(name) name=(name) value=(query.get(name)) autocomplete="off" spellcheck="false";
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
                    @if writes { th scope="col" { span class="hidden" { "Select" } } }
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
                (bulk_bar())
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

/// All of the list as a file, not only this page of it; and files that become links.
fn files(visit: &Visit) -> Markup {
    let export = |form: &str| {
        let query = visit.query.with("page", "").with("domain", visit.domain()).with("form", form);
        format!("/ui/links/export?{}", query.encode())
    };
    html! {
        p class="buttons" {
            a class="button" href=(export("csv")) { "Export this list as CSV" }
            a class="button" href=(export("jsonl")) { "as JSON lines" }
            @if visit.rights.allow("links:write") {
                a class="button" href=(href(super::import::PAGE, &[("domain", visit.domain())])) { "Import links" }
            }
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
                a href=(show::link_href("/ui/link", link)) { (code) }
                @if short.contains("://") { " " (show::copy(&short, &short)) }
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

fn bulk_bar() -> Markup {
    html! {
        fieldset class="bulk" {
            legend { "With those selected" }
            button type="button" class="quiet" hidden data-pick-all="" { "Select all" }
            div class="field" {
                label for="bulk-tag" { "Tag" }
                input id="bulk-tag" name="tag" autocomplete="off" spellcheck="false";
            }
            div class="buttons" {
                button name="do" value="tag" { "Add the tag" }
                button name="do" value="untag" { "Take the tag away" }
                button name="do" value="disable" { "Disable" }
                button name="do" value="enable" { "Enable" }
                button name="do" value="delete" { "Delete" }
                button name="do" value="undelete" { "Undelete" }
            }
        }
    }
}

/// `POST /ui/links/bulk`: all of them, or none; but links are brought back one after the other.
pub async fn bulk(visit: Visit) -> Result<Answer, Refusal> {
    let back = match visit.form.get("_back") {
        "" => "/ui/links".to_owned(),
        query => format!("/ui/links?{query}"),
    };
    let (picked, tag) = (visit.form.all("pick"), visit.form.get("tag"));
    let what = visit.form.get("do");
    if picked.is_empty() {
        let nothing =
            Refusal::of_field("pick", "No link is selected: mark some at the beginning of their lines.");
        return Ok(visit.not_done(back, &nothing));
    }
    if tag.is_empty() && (what == "tag" || what == "untag") {
        return Ok(visit.not_done(back, &Refusal::of_field("tag", "Say which tag.")));
    }
    let done = match what {
        "delete" => deleted(&visit, &picked).await.map(|()| "Deleted"),
        "undelete" => undeleted(&visit, &picked).await.map(|()| "Brought back"),
        "disable" => updated(&visit, &picked, |_| json!({ "disabled": true })).await.map(|()| "Disabled"),
        "enable" => updated(&visit, &picked, |_| json!({ "disabled": false })).await.map(|()| "Enabled"),
        "tag" | "untag" => {
            updated(&visit, &picked, |link| with_tag(link, tag, what == "tag")).await.map(|()| "Changed")
        }
        _ => Err(Refusal::of_field("do", "Nothing was chosen that could be done.")),
    };
    match done {
        Ok(word) => {
            let links = if picked.len() == 1 { "link" } else { "links" };
            Ok(visit.done(back, format!("{word} {} {links}.", picked.len())))
        }
        Err(refusal) if refusal.status == http::StatusCode::UNAUTHORIZED => Err(refusal),
        Err(refusal) => Ok(visit.not_done(back, &named(&refusal, &picked))),
    }
}

/// A refusal of a batch names the place of its link; people know its code.
fn named(refusal: &Refusal, picked: &[&str]) -> Refusal {
    let place = refusal
        .field
        .as_deref()
        .and_then(|field| field.strip_prefix("requests[")?.split(']').next()?.parse().ok());
    match place.and_then(|place: usize| picked.get(place)) {
        Some(code) => Refusal {
            detail: format!("Nothing was done, because of {code}: {}", refusal.detail),
            ..refusal.clone()
        },
        None => refusal.clone(),
    }
}

fn with_tag(link: &Value, tag: &str, add: bool) -> Value {
    let mut tags: Vec<&str> =
        elements(link, "tags").iter().filter_map(Value::as_str).filter(|own| *own != tag).collect();
    if add {
        tags.push(tag);
    }
    json!({ "tags": tags })
}

/// Each link as it is now is changed, and only as it is now.
async fn updated(visit: &Visit, picked: &[&str], change: impl Fn(&Value) -> Value) -> Result<(), Refusal> {
    let mut requests = Vec::new();
    for code in picked {
        let link = visit.call(Call::get(&link_path(visit.domain(), code, ""), &[])).await?;
        let mut changed = change(&link);
        changed["code"] = json!(code);
        changed["etag"] = link["etag"].clone();
        requests.push(json!({ "link": changed }));
    }
    let path = domain_path(visit.domain(), "/links:batchUpdate");
    visit.call(Call::post(&path, &[], json!({ "requests": requests })).once(visit.once())).await.map(drop)
}

async fn deleted(visit: &Visit, picked: &[&str]) -> Result<(), Refusal> {
    let requests: Vec<Value> = picked.iter().map(|code| json!({ "code": code })).collect();
    let path = domain_path(visit.domain(), "/links:batchDelete");
    visit.call(Call::post(&path, &[], json!({ "requests": requests })).once(visit.once())).await.map(drop)
}

async fn undeleted(visit: &Visit, picked: &[&str]) -> Result<(), Refusal> {
    for (at, code) in picked.iter().enumerate() {
        let call = Call::post(&link_path(visit.domain(), code, ":undelete"), &[], json!({}));
        visit.call(call).await.map_err(|refusal| Refusal {
            detail: format!("{at} of {} are back; then, of {code}: {}", picked.len(), refusal.detail),
            ..refusal
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_the_search_are_one_filter() {
        let query = Pairs::parse(b"begins=a%22*&tag=x%5C&target=shop&filter=disabled+%3D+true");
        assert_eq!(
            filter(&query),
            "code = \"a\\\"\\**\" AND tags:\"x\\\\\" AND target:\"shop\" AND disabled = true"
        );
        assert_eq!(filter(&Pairs::default()), "");
    }

    #[test]
    fn a_tag_is_there_once() {
        let link = json!({ "tags": ["a", "b"] });
        assert_eq!(with_tag(&link, "a", true), json!({ "tags": ["b", "a"] }));
        assert_eq!(with_tag(&link, "a", false), json!({ "tags": ["b"] }));
    }

    #[test]
    fn a_refused_batch_names_the_code() {
        let refusal = Refusal::of_field("requests[1].link.tags", "too many");
        assert_eq!(named(&refusal, &["a", "b"]).detail, "Nothing was done, because of b: too many");
        assert_eq!(named(&Refusal::of_field("x", "y"), &["a"]).detail, "y");
    }
}
