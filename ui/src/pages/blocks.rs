//! Hosts that no link may lead to.

use crate::answer::Answer;
use crate::api::{Call, Refusal};
use crate::fields::{self, Field, Kind, Typed};
use crate::show::{self, list as elements, text};
use crate::visit::Visit;
use exposition::escaped;
use http::StatusCode;
use maud::{Markup, html};
use serde_json::{Value, json};

const FIELDS: [Field; 2] = [
    Field { name: "host", label: "Host", hint: "Its subdomains are blocked with it.", kind: Kind::Line },
    Field { name: "note", label: "Note", hint: "Such as why.", kind: Kind::Line },
];

/// `GET /ui/blocks`.
pub async fn list(visit: Visit) -> Result<Answer, Refusal> {
    shown(&visit, &Typed::new(), None).await
}

async fn shown(visit: &Visit, typed: &Typed, wrong: Option<&Refusal>) -> Result<Answer, Refusal> {
    let parameters = [("page_size", "200"), ("page_token", visit.query.get("page"))];
    let answer = visit.call(Call::get("/v1/blocks", &parameters)).await?;
    let (blocks, next) = (elements(&answer, "blocks"), text(&answer, "next_page_token"));
    let body = html! {
        @if let Some(refusal) = wrong { p role="alert" class="notice bad" { (show::sentence(&refusal.detail)) " Nothing was blocked." } }
        @if blocks.is_empty() { p class="empty" { "No host is blocked." } } @else {
            table class="cards" {
                caption class="hidden" { "Blocked hosts" }
                thead { tr { th scope="col" { "Host" } th scope="col" { "Note" } th scope="col" { "Links disabled" } th scope="col" { "Since" } th scope="col" { "Do" } } }
                tbody { @for block in blocks { (row(visit, block)) } }
            }
        }
        p class="pager" { @if !next.is_empty() { a rel="next" href={ "/ui/blocks?" (visit.query.with("page", next).encode()) } { "Next page" } } }
        section aria-labelledby="block" {
            h2 id="block" { "Block a host" }
            form method="post" action="/ui/blocks" class="narrow" novalidate {
                (visit.marks())
                @for field in &FIELDS { (field.show(typed, wrong)) }
                p class="hint" { "Every link that leads there is disabled, and enabled again when the block ends." }
                div class="buttons" { button class="main" { "Block it" } }
            }
        }
    };
    Ok(Answer::with(wrong.map_or(StatusCode::OK, |refusal| refusal.status), "Blocked hosts", body))
}

fn row(visit: &Visit, block: &Value) -> Markup {
    let host = text(block, "host");
    let under_way = match text(block, "state") {
        "sweeping" => ", more to come",
        "lifting" => ", being enabled",
        _ => "",
    };
    html! {
        tr {
            th scope="row" { (host) }
            td data-label="Note" { (text(block, "note")) }
            td data-label="Links disabled" { (show::number(block["disabled"].as_u64().unwrap_or(0))) (under_way) }
            td data-label="Since" { (show::time(text(block, "create_time"))) }
            td data-label="Do" {
                form method="post" action="/ui/blocks/end" {
                    (visit.marks())
                    button name="host" value=(host) aria-label={ "Unblock " (host) } { "Unblock" }
                }
            }
        }
    }
}

/// `POST /ui/blocks`.
pub async fn block(visit: Visit) -> Result<Answer, Refusal> {
    let typed = fields::typed(&FIELDS, &visit.form);
    let body = json!({ "host": visit.form.get("host"), "note": visit.form.get("note") });
    match visit.call(Call::post("/v1/blocks", &[], body).once(visit.once())).await {
        Ok(block) => {
            let led: Vec<&str> = elements(&block, "led_by").iter().filter_map(Value::as_str).collect();
            let led = if led.is_empty() {
                String::new()
            } else {
                format!(" These lead there still: {}.", led.join(", "))
            };
            let links = show::number(block["matched"].as_u64().unwrap_or(0));
            Ok(visit.done(
                "/ui/blocks".to_owned(),
                format!("Blocked {}: {links} links lead there.{led}", text(&block, "host")),
            ))
        }
        Err(refusal) if refusal.status == StatusCode::UNAUTHORIZED => Err(refusal),
        Err(refusal) => shown(&visit, &typed, Some(&refusal)).await,
    }
}

/// `POST /ui/blocks/end`.
pub async fn unblock(visit: Visit) -> Result<Answer, Refusal> {
    let host = visit.form.get("host");
    match visit.call(Call::delete(&format!("/v1/blocks/{}", escaped(host)), &[])).await {
        Ok(_) => Ok(visit.done(
            "/ui/blocks".to_owned(),
            format!("{host} is blocked no more; links that it disabled are enabled again."),
        )),
        Err(refusal) if refusal.status == StatusCode::UNAUTHORIZED => Err(refusal),
        Err(refusal) => Ok(visit.not_done("/ui/blocks".to_owned(), &refusal)),
    }
}
