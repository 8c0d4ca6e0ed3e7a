//! Keys of the API: which there are, making one, a second for the same client, and the end of one.

use crate::answer::Answer;
use crate::api::{Call, Refusal};
use crate::fields::{self, Field, Kind, Typed};
use crate::form::href;
use crate::show::{self, list as elements, text};
use crate::visit::Visit;
use exposition::escaped;
use http::StatusCode;
use maud::{Markup, html};
use serde_json::{Value, json};

const SCOPES: [(&str, &str); 7] = [
    ("links:read", "read links, lists and how edges stand"),
    ("links:write", "create, change and delete links"),
    ("clicks:read", "read clicks"),
    ("clicks:delete", "forget clicks for good"),
    ("domains:admin", "create and change domains, block targets"),
    ("keys:admin", "make and end keys"),
    ("feed", "be an edge"),
];
const FIELDS: [Field; 4] = [
    Field {
        name: "client",
        label: "Client",
        hint: "Who uses it: letters, digits and . _ @ -",
        kind: Kind::Line,
    },
    Field {
        name: "domains",
        label: "Domains",
        hint: "With commas between them. Empty: all.",
        kind: Kind::List,
    },
    Field { name: "expire_time", label: "Ends", hint: "Empty: never.", kind: Kind::Time },
    Field {
        name: "edge",
        label: "Edge",
        hint: "With the scope feed: the only edge that it lets in.",
        kind: Kind::Line,
    },
];

/// `GET /ui/keys`.
pub async fn list(visit: Visit) -> Result<Answer, Refusal> {
    let revoked = if visit.query.has("revoked") { "true" } else { "" };
    let parameters =
        [("page_size", "200"), ("show_revoked", revoked), ("page_token", visit.query.get("page"))];
    let answer = visit.call(Call::get("/v1/keys", &parameters)).await?;
    let (keys, next) = (elements(&answer, "keys"), text(&answer, "next_page_token"));
    let body = html! {
        div class="buttons" {
            a class="button" href="/ui/keys/new" { "New key" }
            @if revoked.is_empty() { a href="/ui/keys?revoked=1" { "Show revoked ones, too" } } @else { a href="/ui/keys" { "Hide revoked ones" } }
        }
        @if keys.is_empty() { p class="empty" { "There is no key." } } @else {
            table class="cards" {
                caption class="hidden" { "Keys" }
                thead {
                    tr {
                        th scope="col" { "Client and id" } th scope="col" { "Allows" } th scope="col" { "Domains" }
                        th scope="col" { "Ends" } th scope="col" { "Last used" } th scope="col" { "Do" }
                    }
                }
                tbody { @for key in keys { (row(&visit, key)) } }
            }
        }
        p class="pager" { @if !next.is_empty() { a rel="next" href={ "/ui/keys?" (visit.query.with("page", next).encode()) } { "Next page" } } }
    };
    Ok(Answer::page("Keys", body))
}

fn id(key: &Value) -> &str {
    text(key, "name").strip_prefix("keys/").unwrap_or_default()
}

fn joined(value: &Value, name: &str) -> String {
    elements(value, name).iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
}

fn row(visit: &Visit, key: &Value) -> Markup {
    let (domains, gone) = (joined(key, "domains"), !text(key, "revoke_time").is_empty());
    html! {
        tr {
            th scope="row" {
                (text(key, "client")) br; code { (id(key)) }
                @if id(key) == visit.rights.key_id { " " span class="mark good" { "yours" } }
            }
            td data-label="Allows" { (joined(key, "scopes")) @if !text(key, "edge").is_empty() { " for edge " (text(key, "edge")) } }
            td data-label="Domains" { @if domains.is_empty() { "all" } @else { (domains) } }
            td data-label="Ends" {
                @if gone { span class="mark bad" { "revoked" } " " (show::time(text(key, "revoke_time"))) } @else { (show::time(text(key, "expire_time"))) }
            }
            td data-label="Last used" { (show::time(text(key, "last_use_time"))) }
            td data-label="Do" {
                a href=(href("/ui/audit", &[("name", text(key, "name"))])) { "Audit" }
                @if !gone {
                    details {
                        summary { "End or replace" }
                        form method="post" action="/ui/keys/end" {
                            (visit.marks())
                            input type="hidden" name="key" value=(id(key));
                            button name="do" value="rotate" { "Make a second one" }
                            " "
                            button name="do" value="revoke" { "Revoke it" }
                        }
                    }
                }
            }
        }
    }
}

/// `GET /ui/keys/new`.
pub async fn blank(visit: Visit) -> Result<Answer, Refusal> {
    Ok(new_form(&visit, &fields::typed(&FIELDS, &visit.query), None))
}

fn new_form(visit: &Visit, typed: &Typed, wrong: Option<&Refusal>) -> Answer {
    let given = visit.form.all("scope");
    let scopes = wrong.filter(|refusal| fields::is_of(refusal, "scopes"));
    let [client, domains, expire_time, edge] = FIELDS;
    let body = html! {
        @if let Some(refusal) = wrong { p role="alert" class="notice bad" { (show::sentence(&refusal.detail)) " No key was made; what you typed is still here." } }
        form method="post" action="/ui/keys/new" class="narrow" novalidate {
            (visit.marks())
            (client.show(typed, wrong))
            fieldset class="bulk" aria-describedby=[scopes.map(|_| "scopes-error")] {
                legend { "Allows" }
                @for (scope, words) in SCOPES.iter().filter(|(scope, _)| visit.rights.domains.is_empty() || visit.rights.allow(scope)) {
                    div { label class="flag" { input type="checkbox" name="scope" value=(scope) checked[given.contains(scope)]; span { code { (scope) } ": " (words) } } }
                }
                @if let Some(refusal) = scopes { p class="error" id="scopes-error" { (refusal.detail) } }
            }
            (domains.show(typed, wrong))
            (expire_time.show(typed, wrong))
            (fields::zone_field(&visit.form, wrong, wrong.is_none()))
            (edge.show(typed, wrong))
            div class="buttons" { button class="main" { "Make the key" } a href="/ui/keys" { "Cancel" } }
        }
    };
    Answer::with(wrong.map_or(StatusCode::OK, |refusal| refusal.status), "New key", body)
}

/// `POST /ui/keys/new`. The secret is on the page that answers, and nowhere else.
pub async fn create(visit: Visit) -> Result<Answer, Refusal> {
    let typed = fields::typed(&FIELDS, &visit.form);
    match created(&visit, &typed).await {
        Ok(key) => Ok(secret_page(&key)),
        Err(refusal) if refusal.status == StatusCode::UNAUTHORIZED => Err(refusal),
        Err(refusal) => Ok(new_form(&visit, &typed, Some(&refusal))),
    }
}

async fn created(visit: &Visit, typed: &Typed) -> Result<Value, Refusal> {
    let mut key = fields::values(&FIELDS, typed, &fields::zone(&visit.form)?)?;
    key.retain(|_, value| !fields::is_nothing(value));
    key.insert("scopes".to_owned(), json!(visit.form.all("scope")));
    visit.call(Call::post("/v1/keys", &[], Value::Object(key))).await
}

fn secret_page(key: &Value) -> Answer {
    let secret = text(key, "secret");
    let body = html! {
        p class="notice" { "This is the only time that the key is shown: keep it where its client finds it, and nobody else." }
        p class="lead" { code { (secret) } " " (show::copy(secret, "the key")) }
        dl class="facts" {
            div { dt { "Client" } dd { (text(key, "client")) } }
            div { dt { "Id" } dd { code { (id(key)) } } }
            div { dt { "Allows" } dd { (joined(key, "scopes")) } }
        }
        p { a href="/ui/keys" { "To the keys" } }
    };
    Answer::page("The new key", body)
}

/// `POST /ui/keys/end`: a key is revoked, or gets a second one beside it.
pub async fn end(visit: Visit) -> Result<Answer, Refusal> {
    let key = visit.form.get("key");
    let path = format!("/v1/keys/{}", key.split(':').map(escaped).collect::<Vec<_>>().join(":"));
    let call = match visit.form.get("do") {
        "rotate" => Call::post(&format!("{path}:rotate"), &[], json!({})),
        _ => Call::delete(&path, &[]),
    };
    match visit.call(call).await {
        Ok(answer) if !text(&answer, "secret").is_empty() => Ok(secret_page(&answer)),
        Ok(_) => {
            Ok(visit.done("/ui/keys".to_owned(), format!("Key {key} is refused everywhere within a second.")))
        }
        Err(refusal) if refusal.status == StatusCode::UNAUTHORIZED => Err(refusal),
        Err(refusal) => Ok(visit.not_done("/ui/keys".to_owned(), &refusal)),
    }
}

/// `GET /ui/audit`.
pub async fn audit(visit: Visit) -> Result<Answer, Refusal> {
    let parameters = [("name", visit.query.get("name")), ("page_token", visit.query.get("page"))];
    let answer = visit.call(Call::get("/v1/audit", &parameters)).await?;
    let (entries, next) = (elements(&answer, "entries"), text(&answer, "next_page_token"));
    let body = html! {
        form method="get" action="/ui/audit" class="search" role="search" aria-label="Audit" {
            div class="field" {
                label for="name" { "Only of" }
                input id="name" name="name" value=(visit.query.get("name")) aria-describedby="name-hint" autocomplete="off" spellcheck="false";
            }
            p class="hint" id="name-hint" { "keys/ID, domains/DOMAIN or blocks/HOST" }
            div class="buttons" { button class="main" { "Show" } a href="/ui/audit" { "Clear" } }
        }
        @if entries.is_empty() { p class="empty" { "Nothing was written." } }
        @else { ol class="versions" { @for entry in entries { (audited(entry)) } } }
        p class="pager" { @if !next.is_empty() { a rel="next" href={ "/ui/audit?" (visit.query.with("page", next).encode()) } { "Older ones" } } }
    };
    Ok(Answer::page("Audit", body))
}

fn audited(entry: &Value) -> Markup {
    let who = text(entry, "principal");
    html! {
        li {
            p {
                strong { (text(entry, "method")) } " of " code { (text(entry, "name")) } " at " (show::time(text(entry, "time")))
                @if who.is_empty() { " beside the API, or without a key" } @else { " by key " code { (who) } }
            }
            @for kind in ["key", "domain", "block"] {
                (difference(&entry[format!("{kind}_before")], &entry[kind]))
            }
        }
    }
}

/// What each write sets by itself.
const OWN: [&str; 7] = ["name", "etag", "revision", "update_time", "create_time", "last_use_time", "secret"];

/// The members that differ between two messages.
fn difference(before: &Value, after: &Value) -> Markup {
    let names: Vec<&String> =
        [before, after].into_iter().filter_map(Value::as_object).flat_map(serde_json::Map::keys).collect();
    let mut names: Vec<&String> = names
        .into_iter()
        .filter(|name| before[name.as_str()] != after[name.as_str()] && !OWN.contains(&name.as_str()))
        .collect();
    names.sort_unstable();
    names.dedup();
    html! {
        @if !names.is_empty() {
            dl class="facts" {
                @for name in names {
                    div {
                        dt { (name) }
                        dd { @if !before.is_null() { del { (said(&before[name.as_str()])) } " → " } ins { (said(&after[name.as_str()])) } }
                    }
                }
            }
        }
    }
}

fn said(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) if text.is_empty() => "nothing".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(all) if all.is_empty() => "none".to_owned(),
        Value::Array(all) => all.iter().map(said).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_write_changed_is_shown_and_what_it_always_sets_is_not() {
        let before = json!({ "client": "a", "scopes": ["x"], "update_time": "1" });
        let after = json!({ "client": "a", "scopes": ["x", "y"], "update_time": "2", "edge": "<b>" });
        let shown = difference(&before, &after).into_string();
        assert!(shown.contains("<del>x</del> → <ins>x, y</ins>") && shown.contains("&lt;b&gt;"), "{shown}");
        assert!(!shown.contains("client") && !shown.contains("update_time"), "{shown}");
        assert_eq!(difference(&before, &before).into_string(), "");
    }
}
