//! One link: what it is, what a visitor gets now and why, its states and its versions.

use super::key_names::KeyNames;
use super::link_form::FIELDS;
use super::reasons::explained;
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
            p class="hint" {
                "So answers each edge (a server that visitors reach) that is current. "
                a href=(show::link_href("/ui/link/explain", &link)) { "What one edge would answer now, and why" }
            }
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
    let plain = |c: char| if c.is_alphanumeric() || "._-".contains(c) { c } else { '_' };
    let name: String = text(link, "code").chars().map(plain).collect();
    html! {
        section aria-labelledby="qr" {
            h2 id="qr" { "QR code" }
            @if short.contains("://") {
                p { img class="qr" src=(picture) width="180" height="180" alt={ "QR code that leads to " (short) }; }
                p { a href=(picture) download=(format!("qr-{name}.svg")) { "Save the picture (SVG)" } }
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
            a class="button" href="#qr" { "QR code" }
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
                    }
                }
                @if !gone { (delete_form(visit, link)) }
            }
        }
    }
}

/// Set apart, and asked once more.
fn delete_form(visit: &Visit, link: &Value) -> Markup {
    html! {
        details class="apart" {
            summary { "Delete…" }
            form method="post" action="/ui/link/state" {
                (visit.marks())
                input type="hidden" name="domain" value=(text(link, "domain"));
                input type="hidden" name="code" value=(text(link, "code"));
                input type="hidden" name="_etag" value=(text(link, "etag"));
                p { "Visitors are told then that it is gone. It can be brought back for 30 days at least." }
                button class="bad" name="do" value="delete" { "Delete " (text(link, "code")) }
            }
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
                                fields::Kind::Time => { (show::moment(text(link, field.name))) }
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
            @let revision = text(link, "revision");
            div {
                dt { "Revision" }
                dd {
                    code { (revision) }
                    @if let Some((_, change)) = revision.rsplit_once('-') {
                        ": change " (change) ". An edge whose " a href="/ui/fleet" { "position" } " is that or more has it."
                    }
                }
            }
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
    let names = KeyNames::read(&visit).await;
    let body = html! {
        p { a href=(href("/ui/link", &[("domain", visit.domain()), ("code", visit.code())])) { "Back to the link" } }
        @if writes { (restore_at(&visit)) }
        ol class="versions" {
            @for (at, version) in versions.iter().enumerate() {
                li {
                    p {
                        strong { (word(version)) } " at " (show::time(text(version, "time")))
                        @if !text(version, "principal").is_empty() { " by " (names.of(text(version, "principal"))) }
                        @if at == 0 && !visit.query.has("page") { " – as it is now" }
                    }
                    (differences(versions.get(at + 1).map(|before| &before["link"]), &version["link"], next.is_empty()))
                    @if writes && (at > 0 || visit.query.has("page")) && text(&version["link"], "delete_time").is_empty() {
                        form method="post" action="/ui/link/restore" {
                            (visit.marks())
                            input type="hidden" name="domain" value=(visit.domain());
                            input type="hidden" name="code" value=(visit.code());
                            button name="revision" value=(text(&version["link"], "revision")) aria-label={ "Go back to this version, of " (show::in_utc(text(version, "time"))) } { "Go back to this version" }
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
    let text_of = |field: &fields::Field, of: &Value| match field.kind {
        fields::Kind::Time => show::in_utc(text(of, field.name)),
        _ => field.said(&of[field.name], &zone),
    };
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
            summary { "Go back to a time instead" }
            form method="post" action="/ui/link/restore" class="narrow" {
                (visit.marks())
                input type="hidden" name="domain" value=(visit.domain());
                input type="hidden" name="code" value=(visit.code());
                (RESTORE.show(&fields::Typed::new(), None))
                (fields::kept_zone_field(&crate::form::Pairs::default(), None, visit.zone(), true))
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
        Ok(answer) => {
            visit.keep_zone();
            let said = format!("Restored: it leads to {}.{}", text(&answer, "target"), propagation(&answer));
            Ok(visit.done(link, said))
        }
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
