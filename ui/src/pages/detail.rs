//! One link: what it is, what a visitor gets now and why, its states and its versions.

use super::link_form::FIELDS;
use crate::answer::Answer;
use crate::api::{Call, Refusal, domain_path, link_path};
use crate::fields;
use crate::form::href;
use crate::show::{self, list as elements, propagation, state_mark, text};
use crate::visit::Visit;
use jiff::tz::TimeZone;
use maud::{Markup, html};
use serde_json::{Value, json};

async fn read(visit: &Visit) -> Result<Value, Refusal> {
    visit.call(Call::get(&link_path(visit.domain(), visit.code(), ""), &[])).await
}

/// `GET /ui/link`.
pub async fn show(visit: Visit) -> Result<Answer, Refusal> {
    let link = read(&visit).await?;
    let domain = visit.call(Call::get(&domain_path(visit.domain(), ""), &[])).await.unwrap_or_default();
    let (short, target) = (show::short_url(&link), text(&link, "target"));
    let body = html! {
        p class="lead" { code { (short) } " " (show::copy(&short, "the short address")) " " (state_mark(&link)) }
        p class="long" { "leads to " (target_link(target)) }
        (actions(&visit, &link))
        section aria-labelledby="answer" {
            h2 id="answer" { "What a visitor gets now" }
            (explained(&link, &domain))
        }
        section aria-labelledby="facts" {
            h2 id="facts" { "What it says" }
            (facts(&link))
        }
        (qr_code(&link, &short))
    };
    Ok(Answer::page(text(&link, "code"), body))
}

/// `GET /ui/link/qr.svg`: as REST draws it.
pub async fn qr(visit: Visit) -> Result<Answer, Refusal> {
    visit.raw(Call::get(&link_path(visit.domain(), visit.code(), ":qr"), &[])).await.map(Answer::Raw)
}

fn qr_code(link: &Value, short: &str) -> Markup {
    let picture = show::link_href("/ui/link/qr.svg", link);
    html! {
        section aria-labelledby="qr" {
            h2 id="qr" { "QR code" }
            @if short.contains("://") {
                p { img class="qr" src=(picture) width="180" height="180" alt={ "QR code that leads to " (short) }; }
                p { a href=(picture) download="qr.svg" { "Save the picture (SVG)" } }
            } @else {
                p class="hint" {
                    "Nobody has said at which address the default domain is found: " code { "--base-url https://go.example" }
                    " says it, and then there is a QR code."
                }
            }
        }
    }
}

/// A way there, if it is one that a browser may be sent to: other schemes are only shown.
fn target_link(target: &str) -> Markup {
    let plain = target.starts_with("https://") || target.starts_with("http://");
    html! { @if plain { a href=(target) rel="noopener noreferrer nofollow" { (target) } } @else { code { (target) } } }
}

fn actions(visit: &Visit, link: &Value) -> Markup {
    let to = |page: &str| show::link_href(page, link);
    let gone = !text(link, "delete_time").is_empty();
    let writes = visit.rights.allow("links:write");
    html! {
        div class="buttons" {
            @if writes && !gone { a class="button" href=(to("/ui/link/edit")) { "Edit" } }
            a class="button" href=(to("/ui/link/history")) { "History" }
            @if visit.rights.allow("clicks:read") { a class="button" href=(to("/ui/clicks")) { "Clicks" } }
            @if writes {
                form method="post" action="/ui/link/state" {
                    (visit.marks())
                    input type="hidden" name="domain" value=(text(link, "domain"));
                    input type="hidden" name="code" value=(text(link, "code"));
                    input type="hidden" name="_etag" value=(text(link, "etag"));
                    @if gone {
                        button name="do" value="undelete" { "Undelete" }
                    } @else {
                        @if link["disabled"] == true { button name="do" value="enable" { "Enable" } }
                        @else { button name="do" value="disable" { "Disable" } }
                        button name="do" value="delete" { "Delete" }
                    }
                }
            }
        }
    }
}

/// The rules of redirects in the order in which an edge looks at them (docs/http.md).
fn explained(link: &Value, domain: &Value) -> Markup {
    let said = |name: &str| text(link, name);
    let query = match said("query") {
        "append" => "The visitor's query is put behind the target's own.",
        "override" => "The visitor's query replaces the same names of the target's.",
        _ => "The visitor's query is dropped.",
    };
    let expired_target = [said("expired_target"), text(domain, "expired_target")];
    let expired_target = expired_target.into_iter().find(|target| !target.is_empty());
    html! {
        @if !said("delete_time").is_empty() {
            p { strong { "410 Gone" } ", because the link was deleted at " (show::time(said("delete_time"))) "." }
        } @else if !said("blocked_by").is_empty() {
            p { strong { "410 Gone" } ", because it leads to " code { (said("blocked_by")) } ", which is blocked." }
        } @else if link["disabled"] == true {
            p { strong { "410 Gone" } ", because the link is disabled." }
        } @else if !said("not_before").is_empty() && !show::is_past(said("not_before")) {
            p { strong { "404 Not Found" } ", because it begins at " (show::time(said("not_before"))) "." }
        } @else if show::is_past(said("expire_time")) {
            @match expired_target {
                Some(target) => {
                    p { strong { "302 Found" } " to " code class="long" { (target) } ", because the link ended at " (show::time(said("expire_time"))) "." }
                }
                None => { p { strong { "410 Gone" } ", because it ended at " (show::time(said("expire_time"))) "." } }
            }
        } @else {
            p {
                strong { (link["status"]) } " to " code class="long" { (said("target")) } ". " (query)
                @if let Some(seconds) = link["max_age"].as_u64() { " The browser may keep it for " (seconds) " s." }
            }
        }
        p class="hint" {
            "So answers an edge that is current. "
            a href=(show::link_href("/ui/link/explain", link)) { "What one edge would answer now, and why" }
        }
    }
}

fn facts(link: &Value) -> Markup {
    let zone = TimeZone::UTC;
    html! {
        dl class="facts" {
            @for field in FIELDS.iter().filter(|field| field.name != "target") {
                @let shown = field.said(&link[field.name], &zone);
                @if !field.text(&link[field.name], &zone).is_empty() && field.name != "disabled" {
                    div {
                        dt { (field.label) }
                        dd {
                            @match field.kind {
                                fields::Kind::Time => { (show::time(text(link, field.name))) }
                                fields::Kind::Area => { span class="lines" { (shown) } }
                                _ => { (shown) }
                            }
                        }
                    }
                }
            }
            @for (name, word) in [("create_time", "Made"), ("update_time", "Changed"), ("delete_time", "Deleted")] {
                @if !text(link, name).is_empty() { div { dt { (word) } dd { (show::time(text(link, name))) } } }
            }
            div { dt { "Revision" } dd { code { (text(link, "revision")) } } }
        }
    }
}

/// `POST /ui/link/state`.
pub async fn set_state(visit: Visit) -> Result<Answer, Refusal> {
    let (path, etag) = (link_path(visit.domain(), visit.code(), ""), visit.form.get("_etag"));
    let ack = [("ack", "propagated")];
    let (call, word) = match visit.form.get("do") {
        "delete" => (Call::delete(&path, &ack), "Deleted. It can be brought back for 30 days at least."),
        "undelete" => {
            let path = link_path(visit.domain(), visit.code(), ":undelete");
            (Call::post(&path, &ack, json!({})), "Brought back.")
        }
        "enable" => (Call::patch(&path, &ack, json!({ "disabled": false })), "Enabled."),
        _ => (Call::patch(&path, &ack, json!({ "disabled": true })), "Disabled."),
    };
    let back = href("/ui/link", &[("domain", visit.domain()), ("code", visit.code())]);
    match visit.call(call.at(etag).once(visit.once())).await {
        Ok(link) => Ok(visit.done(back, format!("{word}{}", propagation(&link)))),
        Err(refusal) if refusal.status == http::StatusCode::UNAUTHORIZED => Err(refusal),
        Err(refusal) => Ok(visit.not_done(back, &refusal)),
    }
}

/// `GET /ui/link/history`.
pub async fn history(visit: Visit) -> Result<Answer, Refusal> {
    let path = link_path(visit.domain(), visit.code(), ":history");
    let answer = visit.call(Call::get(&path, &[("page_token", visit.query.get("page"))])).await?;
    let (versions, next) = (elements(&answer, "versions"), text(&answer, "next_page_token"));
    let writes = visit.rights.allow("links:write");
    let body = html! {
        p { a href=(href("/ui/link", &[("domain", visit.domain()), ("code", visit.code())])) { "Back to the link" } }
        @if writes { (restore_at(&visit)) }
        ol class="versions" {
            @for (at, version) in versions.iter().enumerate() {
                li {
                    p {
                        strong { (word(version)) } " at " (show::time(text(version, "time")))
                        @if !text(version, "principal").is_empty() { " by key " code { (text(version, "principal")) } }
                        @if at == 0 && !visit.query.has("page") { " – as it is now" }
                    }
                    (differences(versions.get(at + 1).map(|before| &before["link"]), &version["link"], next.is_empty()))
                    @if writes && (at > 0 || visit.query.has("page")) && text(&version["link"], "delete_time").is_empty() {
                        form method="post" action="/ui/link/restore" {
                            (visit.marks())
                            input type="hidden" name="domain" value=(visit.domain());
                            input type="hidden" name="code" value=(visit.code());
                            button name="revision" value=(text(&version["link"], "revision")) { "Make it this again" }
                        }
                    }
                }
            }
        }
        @if !next.is_empty() { p class="pager" { a rel="next" href={ "/ui/link/history?" (visit.query.with("page", next).encode()) } { "Older ones" } } }
    };
    Ok(Answer::page(format!("History of {}", visit.code()), body))
}

fn word(version: &Value) -> String {
    match text(version, "method") {
        "" => "Changed".to_owned(),
        "CreateLink" | "BatchCreateLinks" => "Created".to_owned(),
        "UpdateLink" | "BatchUpdateLinks" => "Changed".to_owned(),
        "DeleteLink" | "BatchDeleteLinks" => "Deleted".to_owned(),
        "UndeleteLink" => "Brought back".to_owned(),
        "RestoreLink" => "Restored".to_owned(),
        "ImportLinks" => "Imported".to_owned(),
        other => format!("Changed by {other}"),
    }
}

/// What a version made different from the one before it; of the first, what it began with.
fn differences(before: Option<&Value>, after: &Value, whole: bool) -> Markup {
    let zone = TimeZone::UTC;
    let text_of = |field: &fields::Field, of: &Value| field.said(&of[field.name], &zone);
    html! {
        @match before {
            None if !whole => { p class="hint" { "The version before it is on the next page." } }
            None => { p class="long" { "It led to " code { (text(after, "target")) } "." } }
            Some(before) => {
                dl class="facts" {
                    @for field in FIELDS.iter().filter(|field| field.standing(&before[field.name]) != field.standing(&after[field.name])) {
                        div {
                            dt { (field.label) }
                            dd {
                                del { (or_nothing(&text_of(field, before))) } " → " ins { (or_nothing(&text_of(field, after))) }
                            }
                        }
                    }
                    @if text(before, "delete_time").is_empty() != text(after, "delete_time").is_empty() {
                        div { dt { "Deleted" } dd { @if text(after, "delete_time").is_empty() { "no more" } @else { "yes" } } }
                    }
                }
            }
        }
    }
}

fn or_nothing(text: &str) -> &str {
    if text.is_empty() { "nothing" } else { text }
}

fn restore_at(visit: &Visit) -> Markup {
    html! {
        details {
            summary { "Make it what it was at a time" }
            form method="post" action="/ui/link/restore" class="narrow" {
                (visit.marks())
                input type="hidden" name="domain" value=(visit.domain());
                input type="hidden" name="code" value=(visit.code());
                (RESTORE.show(&fields::Typed::new(), None))
                (fields::zone_field(&crate::form::Pairs::default(), None, true))
                button { "Restore it" }
            }
        }
    }
}

const RESTORE: fields::Field =
    fields::Field { name: "time", label: "As it was at", hint: "", kind: fields::Kind::Time };

/// `POST /ui/link/restore`.
pub async fn restore(visit: Visit) -> Result<Answer, Refusal> {
    let link = href("/ui/link", &[("domain", visit.domain()), ("code", visit.code())]);
    let back = href("/ui/link/history", &[("domain", visit.domain()), ("code", visit.code())]);
    match restored(&visit).await {
        Ok(answer) => Ok(visit.done(
            link,
            format!("Restored: it leads to {}.{}", text(&answer, "target"), propagation(&answer)),
        )),
        Err(refusal) if refusal.status == http::StatusCode::UNAUTHORIZED => Err(refusal),
        Err(refusal) => Ok(visit.not_done(back, &refusal)),
    }
}

async fn restored(visit: &Visit) -> Result<Value, Refusal> {
    let point = match visit.form.get("revision") {
        "" => {
            let time = RESTORE.value(visit.form.get("time"), &fields::zone(&visit.form)?)?;
            if time.is_null() {
                return Err(Refusal::of_field("time", "Say at which time."));
            }
            json!({ "time": time })
        }
        revision => json!({ "revision": revision }),
    };
    let path = link_path(visit.domain(), visit.code(), ":restore");
    visit.call(Call::post(&path, &[("ack", "propagated")], point).once(visit.once())).await
}
