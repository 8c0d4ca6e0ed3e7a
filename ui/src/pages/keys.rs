//! Keys of the API: which there are, making one, a second for the same client, and the end of one.

use super::key_names::KeyNames;
use crate::answer::Answer;
use crate::api::{Call, Refusal};
use crate::fields::{self, Field, Kind, Typed};
use crate::form::href;
use crate::show::{self, list as elements, text};
use crate::visit::Visit;
use exposition::escaped;
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};
use serde_json::{Value, json};

const SCOPES: [(&str, &str); 7] = [
    ("links:read", "see links, tags, domains and the fleet"),
    ("links:write", "create, change and delete links; takes links:read, too, to find them on a page"),
    ("clicks:read", "see how often links are followed; enough by itself for the pages Clicks and Dead codes"),
    ("clicks:delete", "forget clicks for good, over the API"),
    ("domains:admin", "create and change domains, block targets"),
    ("keys:admin", "make and end keys, read the audit"),
    ("feed", "for an edge alone (a server that visitors reach): to follow the changes of links"),
];
const FIELDS: [Field; 4] = [
    Field {
        name: "client",
        label: "Used by",
        hint: "The name of a person or a program, such as ben: letters, digits and . _ @ -",
        kind: Kind::Line,
    },
    Field {
        name: "domains",
        label: "Domains",
        hint: "With commas between them. Empty: all.",
        kind: Kind::List,
    },
    Field { name: "expire_time", label: "or at this time", hint: "", kind: Kind::Time },
    Field {
        name: "edge",
        label: "Name of the edge",
        hint: "Only with the scope feed: the one edge that it lets in.",
        kind: Kind::Line,
    },
];
/// When a key ends, in days from now.
const ENDS: Field = Field {
    name: "ends_in",
    label: "Ends",
    hint: "",
    kind: Kind::Choice(&[
        ("", "never, or at the time below"),
        ("7", "in 7 days"),
        ("30", "in 30 days"),
        ("90", "in 90 days"),
        ("365", "in 365 days"),
    ]),
};

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
                        th scope="col" { "Used by" } th scope="col" { "Allows" } th scope="col" { "Domains" }
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
                    " " a href=(href("/ui/keys/revoke", &[("key", id(key))])) aria-label={ "Replace or revoke the key of " (text(key, "client")) } { "Replace or revoke" }
                }
            }
        }
    }
}

/// `GET /ui/keys/new`.
pub async fn blank(visit: Visit) -> Result<Answer, Refusal> {
    Ok(new_form(&visit, &fields::typed(&FIELDS, &visit.query), None))
}

/// `GET /ui/keys/revoke`: what a key is, and what ends it: it is asked for once more here.
pub async fn revoke(visit: Visit) -> Result<Answer, Refusal> {
    let wanted = visit.query.get("key");
    let Some(key) = found(&visit, wanted).await? else {
        let none = Refusal::new(StatusCode::NOT_FOUND, "NOT_FOUND", "there is no such key that may be used");
        return Err(none);
    };
    let (client, edge) = (text(&key, "client"), text(&key, "edge"));
    let button = |deed: &str, class: Option<&str>, words: &str| {
        html! {
            form method="post" action="/ui/keys/end" {
                (visit.marks())
                input type="hidden" name="key" value=(wanted);
                button class=[class] name="do" value=(deed) { (words) }
            }
        }
    };
    let body = html! {
        (told(&key))
        section aria-labelledby="replace" {
            h2 id="replace" { "Replace it" }
            p { "A second key for the same is made, and both work until you revoke this one." }
            (button("rotate", None, "Make a second key"))
        }
        section aria-labelledby="revoke" {
            h2 id="revoke" { "Revoke it" }
            p {
                "It is refused everywhere within a second, and nobody can take that back."
                @if wanted == visit.rights.key_id { strong { " It is the key with which you are signed in: you will be signed out." } }
                @if !edge.is_empty() { strong { " The edge " (edge) " follows with it: without another key it learns of no change any more." } }
            }
            (button("revoke", Some("bad"), &format!("Revoke the key of {client}")))
        }
        p { a href="/ui/keys" { "Back to the keys" } }
    };
    Ok(Answer::page(format!("Key of {client}"), body))
}

/// A key that may be used, by its id: the API has no call for one.
async fn found(visit: &Visit, wanted: &str) -> Result<Option<Value>, Refusal> {
    let mut token = String::new();
    loop {
        let answer = visit.call(Call::get("/v1/keys", &[("page_token", &token)])).await?;
        if let Some(key) = elements(&answer, "keys").iter().find(|key| id(key) == wanted) {
            return Ok(Some(key.clone()));
        }
        text(&answer, "next_page_token").clone_into(&mut token);
        if token.is_empty() {
            return Ok(None);
        }
    }
}

/// What a key says.
fn told(key: &Value) -> Markup {
    let domains = joined(key, "domains");
    html! {
        dl class="facts" {
            div { dt { "Used by" } dd { (text(key, "client")) } }
            div { dt { "Id" } dd { code { (id(key)) } } }
            div { dt { "Allows" } dd { (joined(key, "scopes")) } }
            div { dt { "Domains" } dd { @if domains.is_empty() { "all" } @else { (domains) } } }
            div { dt { "Ends" } dd { @if text(key, "expire_time").is_empty() { "never, unless it is revoked" } @else { (show::moment(text(key, "expire_time"))) } } }
            @if !text(key, "edge").is_empty() { div { dt { "For the edge" } dd { (text(key, "edge")) } } }
            @if !text(key, "last_use_time").is_empty() { div { dt { "Last used" } dd { (show::moment(text(key, "last_use_time"))) } } }
        }
    }
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
            (ENDS.show(&fields::typed(&[ENDS], &visit.form), wrong))
            (fields::kept_zone_field(&visit.form, wrong, visit.zone(), wrong.is_none()))
            (expire_time.show(typed, wrong))
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
        Ok(key) => {
            visit.keep_zone();
            Ok(secret_page(&visit, &key))
        }
        Err(refusal) if refusal.status == StatusCode::UNAUTHORIZED => Err(refusal),
        Err(refusal) => Ok(new_form(&visit, &typed, Some(&refusal))),
    }
}

async fn created(visit: &Visit, typed: &Typed) -> Result<Value, Refusal> {
    let mut key = fields::values(&FIELDS, typed, &fields::zone(&visit.form)?)?;
    key.retain(|_, value| !fields::is_nothing(value));
    if let Ok(days) = visit.form.get(ENDS.name).parse::<i64>() {
        key.insert("expire_time".to_owned(), json!(in_days(days, key.get("expire_time"))?));
    }
    key.insert("scopes".to_owned(), json!(visit.form.all("scope")));
    visit.call(Call::post("/v1/keys", &[], Value::Object(key))).await
}

/// So many days from now, to the second.
fn in_days(days: i64, typed: Option<&Value>) -> Result<String, Refusal> {
    if typed.is_some() {
        return Err(Refusal::of_field("expire_time", "Say one of both: in how many days it ends, or when."));
    }
    let end = Timestamp::now().checked_add(SignedDuration::from_hours(days.saturating_mul(24)));
    let end = end.map_err(|_| Refusal::of_field(ENDS.name, "That is too far away."))?;
    Ok(end.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

fn secret_page(visit: &Visit, key: &Value) -> Answer {
    let secret = text(key, "secret");
    let pages = elements(key, "scopes").iter().any(|scope| scope != "feed");
    let body = html! {
        p class="notice" { "This is the only time that the key is shown: keep it where its client finds it, and nobody else." }
        p class="lead" { code { (secret) } " " (show::copy(secret, "the key")) }
        (told(key))
        @if pages { p { "Whoever has it signs in at " code { (visit.address) } "." } }
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
        Ok(answer) if !text(&answer, "secret").is_empty() => Ok(secret_page(&visit, &answer)),
        Ok(answer) => {
            let said = format!(
                "The key of {} ({key}) is refused everywhere within a second.",
                text(&answer, "client")
            );
            Ok(visit.done("/ui/keys".to_owned(), said))
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
    let names = KeyNames::read(&visit).await;
    let body = html! {
        p class="hint" { "Who wrote keys, domains and blocks. Who changed a link stands in the history of the link." }
        form method="get" action="/ui/audit" class="search" role="search" aria-label="Audit" {
            div class="field" {
                label for="name" { "Only of" }
                input id="name" name="name" value=(visit.query.get("name")) aria-describedby="name-hint" autocomplete="off" spellcheck="false";
                p class="hint" id="name-hint" { "keys/ID, domains/DOMAIN or blocks/HOST" }
            }
            div class="buttons" { button class="main" { "Show" } a href="/ui/audit" { "Clear" } }
        }
        @if entries.is_empty() { p class="empty" { "Nothing was written." } }
        @else { ol class="versions" { @for entry in entries { (audited(entry, &names)) } } }
        p class="pager" { @if !next.is_empty() { a rel="next" href={ "/ui/audit?" (visit.query.with("page", next).encode()) } { "Older ones" } } }
    };
    Ok(Answer::page("Audit", body))
}

fn audited(entry: &Value, names: &KeyNames) -> Markup {
    let who = text(entry, "principal");
    html! {
        li {
            p {
                strong { (deed(text(entry, "method"))) } " " code { (text(entry, "name")) } " at " (show::time(text(entry, "time")))
                @if who.is_empty() { " beside the API, or without a key" } @else { " by " (names.of(who)) }
            }
            @for kind in ["key", "domain", "block"] {
                (difference(&entry[format!("{kind}_before")], &entry[kind]))
            }
        }
    }
}

/// A call as people say it.
fn deed(method: &str) -> &str {
    match method {
        "CreateKey" | "MintKey" => "Made",
        "RotateKey" => "Made as a second one",
        "RevokeKey" => "Revoked",
        "CreateDomain" => "Made",
        "UpdateDomain" => "Changed",
        "DeleteDomain" => "Deleted",
        "BlockTarget" => "Blocked",
        "UnblockTarget" => "Unblocked",
        other => other,
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
                        dt { (label(name)) }
                        dd { @if !before.is_null() { del { (said(name, &before[name.as_str()])) } " → " } ins { (said(name, &after[name.as_str()])) } }
                    }
                }
            }
        }
    }
}

/// What people call a member.
fn label(name: &str) -> &str {
    match name {
        "client" => "Used by",
        "scopes" => "Allows",
        "domains" => "Domains",
        "expire_time" => "Ends",
        "revoke_time" => "Revoked",
        "edge" => "Edge",
        other => other,
    }
}

/// A value of a member. A key without domains is for all, and one without an end for ever.
fn said(name: &str, value: &Value) -> String {
    let nothing = value.is_null() || value == "" || value.as_array().is_some_and(Vec::is_empty);
    match (name, value) {
        ("domains", _) if nothing => return "all".to_owned(),
        ("expire_time", _) if nothing => return "never".to_owned(),
        (_, Value::String(time)) if name.ends_with("_time") => return show::in_utc(time),
        _ => {}
    }
    match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) if text.is_empty() => "nothing".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(all) if all.is_empty() => "none".to_owned(),
        Value::Array(all) => all.iter().map(|one| said("", one)).collect::<Vec<_>>().join(", "),
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
        assert!(!shown.contains("Used by") && !shown.contains("update_time"), "{shown}");
        assert_eq!(difference(&before, &before).into_string(), "");
        // It once said of the same key that it was for no domain here and for all elsewhere.
        let made = difference(&Value::Null, &json!({ "domains": [], "expire_time": "2026-12-30T11:30:00Z" }));
        assert!(made.into_string().contains("<ins>all</ins>"));
        assert_eq!(said("expire_time", &Value::Null), "never");
        assert_eq!(said("expire_time", &json!("2026-12-30T11:30:00Z")), "2026-12-30 11:30:00 UTC");
    }
}
