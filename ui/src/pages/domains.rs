//! Domains: the list, and the form of one.

use crate::answer::Answer;
use crate::api::{Call, Refusal, domain_path};
use crate::fields::{self, Field, Kind, Typed};
use crate::form::{Pairs, href};
use crate::merge;
use crate::show::{self, list as elements, propagation, text};
use crate::visit::Visit;
use http::StatusCode;
use jiff::tz::TimeZone;
use maud::{Markup, html};
use serde_json::{Map, Value, json};

const fn field(name: &'static str, label: &'static str, hint: &'static str, kind: Kind) -> Field {
    Field { name, label, hint, kind }
}

const FIELDS: [Field; 11] = [
    field(
        "not_found",
        "Unknown codes lead to",
        "Empty: visitors get 404. {path} and {query} stand for what was asked for.",
        Kind::Address,
    ),
    field("root_target", "/ leads to", "Empty: as unknown codes.", Kind::Address),
    field("expired_target", "Links that have ended lead to", "Empty: visitors get 410.", Kind::Address),
    field(
        "query",
        "The visitor's query, where a new link does not say",
        "",
        Kind::Choice(&[fields::DROPPED, fields::APPENDED, fields::OVERRIDING]),
    ),
    field(
        "class",
        "When an edge cannot know whether it is current",
        "",
        Kind::Choice(&[("", "as usual: it redirects on"), fields::NORMAL, fields::STRICT]),
    ),
    field(
        "stats",
        "Of clicks is kept",
        "",
        Kind::Choice(&[
            ("counts", "what each was (usual)"),
            ("off", "only how many there were"),
            ("full", "what each was, and for a day which are of one visitor"),
        ]),
    ),
    field(
        "fold_case",
        "Codes are the same in upper and lower case (as long as it has no link)",
        "",
        Kind::Flag,
    ),
    field("trailing_slash", "/code/ finds /code", "", Kind::Flag),
    field("punctuation", "/code). and the like find /code", "", Kind::Flag),
    field("strict_hosts", "Hosts that no domain claims are refused (default domain only)", "", Kind::Flag),
    field("robots", "robots.txt", "Empty: crawlers may look, and index nothing.", Kind::Area),
];
const HOST: Field = field("host", "Host", "Such as go.example, in its own letters.", Kind::Line);

/// `GET /ui/domains`.
pub async fn list(visit: Visit) -> Result<Answer, Refusal> {
    let token = visit.query.get("page");
    let answer = visit.call(Call::get("/v1/domains", &[("page_size", "100"), ("page_token", token)])).await?;
    let (domains, next) = (elements(&answer, "domains"), text(&answer, "next_page_token"));
    let admin = visit.rights.allow("domains:admin");
    let body = html! {
        @if admin { p class="buttons" { a class="button" href="/ui/domains/new" { "New domain" } } }
        table class="cards" {
            caption class="hidden" { "Domains" }
            thead {
                tr {
                    th scope="col" { "Domain" } th scope="col" { "Unknown codes" } th scope="col" { "Of clicks is kept" }
                    th scope="col" { "Changed" } th scope="col" { "Links" }
                }
            }
            tbody { @for domain in domains { (row(domain, admin)) } }
        }
        p class="pager" { @if !next.is_empty() { a rel="next" href=(href("/ui/domains", &[("page", next)])) { "Next page" } } }
    };
    Ok(Answer::page("Domains", body))
}

fn row(domain: &Value, admin: bool) -> Markup {
    let (name, not_found) = (text(domain, "domain"), text(domain, "not_found"));
    html! {
        tr {
            th scope="row" {
                @if admin { a href=(href("/ui/domain", &[("domain", name)])) { (shown(name)) } } @else { (shown(name)) }
            }
            td data-label="Unknown codes" class="long" { @if not_found.is_empty() { "404" } @else { (not_found) } }
            td data-label="Of clicks is kept" { @if text(domain, "stats").is_empty() { "counts" } @else { (text(domain, "stats")) } }
            td data-label="Changed" { (show::time(text(domain, "update_time"))) }
            td data-label="Links" { a href=(href("/ui/links", &[("domain", name)])) aria-label={ "Show links of " (shown(name)) } { "Show" } }
        }
    }
}

fn shown(name: &str) -> &str {
    if name == "-" { "- (default)" } else { name }
}

/// `GET /ui/domains/new`.
pub async fn blank(visit: Visit) -> Result<Answer, Refusal> {
    Ok(new_form(&visit, &typed_new(&visit.query), None))
}

fn typed_new(form: &Pairs) -> Typed {
    fields::typed(&own(true), form)
}

/// The fields of the default domain, or of another.
fn own(new: bool) -> Vec<Field> {
    FIELDS
        .into_iter()
        .filter(|field| !new || field.name != "strict_hosts")
        .chain([HOST].into_iter().filter(|_| new))
        .collect()
}

fn fields_of(domain: &str) -> Vec<Field> {
    FIELDS.into_iter().filter(|field| domain == "-" || field.name != "strict_hosts").collect()
}

fn summary(wrong: Option<&Refusal>) -> Markup {
    html! {
        @if let Some(refusal) = wrong {
            p role="alert" class="notice bad" { (show::sentence(&refusal.detail)) " Nothing was saved; what you typed is still here." }
        }
    }
}

fn new_form(visit: &Visit, typed: &Typed, wrong: Option<&Refusal>) -> Answer {
    // REST calls it by another name than the form, where `domain` says which one is meant.
    let renamed =
        wrong.filter(|refusal| ["domain", "domain_id"].iter().any(|name| fields::is_of(refusal, name)));
    let renamed = renamed.map(|refusal| Refusal { field: Some("host".to_owned()), ..refusal.clone() });
    let wrong = renamed.as_ref().or(wrong);
    let body = html! {
        (summary(wrong))
        form method="post" action="/ui/domains/new" class="narrow" novalidate {
            (visit.marks())
            (HOST.show(typed, wrong))
            @for field in own(true).iter().filter(|field| field.name != "host") { (field.show(typed, wrong)) }
            div class="buttons" { button class="main" { "Create the domain" } a href="/ui/domains" { "Cancel" } }
        }
    };
    Answer::with(wrong.map_or(StatusCode::OK, |refusal| refusal.status), "New domain", body)
}

/// `POST /ui/domains/new`.
pub async fn create(visit: Visit) -> Result<Answer, Refusal> {
    let typed = typed_new(&visit.form);
    let mut domain = fields::values(&own(true), &typed, &TimeZone::UTC)?;
    domain.remove("host");
    domain.retain(|_, value| !fields::is_nothing(value));
    domain.insert("domain".to_owned(), json!(visit.form.get("host")));
    let call = Call::post("/v1/domains", &[("ack", "propagated")], Value::Object(domain));
    match visit.call(call.once(visit.once())).await {
        Ok(domain) => Ok(visit.done(
            "/ui/domains".to_owned(),
            format!("Created {}.{}", text(&domain, "domain"), propagation(&domain)),
        )),
        Err(refusal) if refusal.status == StatusCode::UNAUTHORIZED => Err(refusal),
        Err(refusal) => Ok(new_form(&visit, &typed, Some(&refusal))),
    }
}

/// `GET /ui/domain`.
pub async fn filled(visit: Visit) -> Result<Answer, Refusal> {
    let domain = visit.call(Call::get(&domain_path(visit.domain(), ""), &[])).await?;
    let own = fields_of(visit.domain());
    let typed = fields::filled(&own, &domain, &TimeZone::UTC);
    let read = fields::standing(&own, &domain);
    Ok(edit_form(&visit, &typed, &read, text(&domain, "etag"), None, &files(&domain)))
}

/// Small files are bytes, which a form does not carry: the command line sets them.
fn files(domain: &Value) -> Markup {
    html! {
        @if !elements(domain, "files").is_empty() {
            p class="hint" {
                "Files that it answers with (" code { "linkr domain update --file" } "): "
                @for file in elements(domain, "files") { code { "/" (text(file, "path")) } " " }
            }
        }
    }
}

fn edit_form(
    visit: &Visit,
    typed: &Typed,
    read: &Map<String, Value>,
    etag: &str,
    wrong: Option<&Refusal>,
    above: &Markup,
) -> Answer {
    let domain = visit.domain();
    let body = html! {
        (summary(wrong))
        (above)
        form method="post" action="/ui/domain" class="narrow" novalidate {
            (visit.marks())
            input type="hidden" name="domain" value=(domain);
            input type="hidden" name="_etag" value=(etag);
            input type="hidden" name="_read" value=(Value::Object(read.clone()).to_string());
            @for field in fields_of(domain) { (field.show(typed, wrong)) }
            div class="buttons" { button class="main" { "Save" } a href="/ui/domains" { "Cancel" } }
        }
        @if domain != "-" {
            details {
                summary { "Delete this domain" }
                form method="post" action="/ui/domain/delete" class="narrow" {
                    (visit.marks())
                    input type="hidden" name="domain" value=(domain);
                    p { "Only a domain without links is deleted." }
                    label class="flag" { input type="checkbox" name="purge" value="1"; " Give up its deleted links, too: nobody can bring them back" }
                    div class="buttons" { button { "Delete " (domain) } }
                }
            }
        }
    };
    Answer::with(
        wrong.map_or(StatusCode::OK, |refusal| refusal.status),
        format!("Domain {}", shown(domain)),
        body,
    )
}

/// `POST /ui/domain`.
pub async fn change(visit: Visit) -> Result<Answer, Refusal> {
    let own = fields_of(visit.domain());
    let typed = fields::typed(&own, &visit.form);
    let read: Map<String, Value> = serde_json::from_str(visit.form.get("_read")).unwrap_or_default();
    let etag = visit.form.get("_etag");
    let wanted = fields::values(&own, &typed, &TimeZone::UTC)?;
    let changes = merge::changed(&read, &wanted);
    let back = "/ui/domains".to_owned();
    if changes.is_empty() {
        return Ok(visit.done(back, "Nothing was changed."));
    }
    let path = domain_path(visit.domain(), "");
    let call = Call::patch(&path, &[("ack", "propagated")], Value::Object(changes.clone()));
    match visit.call(call.at(etag).once(visit.once())).await {
        Ok(domain) => {
            Ok(visit.done(back, format!("Saved {}.{}", shown(visit.domain()), propagation(&domain))))
        }
        Err(refusal) if refusal.status == StatusCode::UNAUTHORIZED => Err(refusal),
        Err(refusal) if refusal.reason == "ETAG_MISMATCH" => {
            let domain = visit.call(Call::get(&path, &[])).await?;
            let now = fields::standing(&own, &domain);
            let mut merged = fields::filled(&own, &domain, &TimeZone::UTC);
            merged.extend(typed.into_iter().filter(|(name, _)| changes.contains_key(*name)));
            let above = merge::conflict("domain", &own, &read, &wanted, &now);
            Ok(edit_form(&visit, &merged, &now, text(&domain, "etag"), None, &above))
        }
        Err(refusal) => Ok(edit_form(&visit, &typed, &read, etag, Some(&refusal), &html! {})),
    }
}

/// `POST /ui/domain/delete`.
pub async fn delete(visit: Visit) -> Result<Answer, Refusal> {
    let purge = if visit.form.has("purge") { "true" } else { "" };
    let call = Call::delete(&domain_path(visit.domain(), ""), &[("purge_deleted", purge)]).once(visit.once());
    match visit.call(call).await {
        Ok(_) => Ok(visit.done("/ui/domains".to_owned(), format!("Deleted {}.", visit.domain()))),
        Err(refusal) if refusal.status == StatusCode::UNAUTHORIZED => Err(refusal),
        Err(refusal) => Ok(visit.not_done(href("/ui/domain", &[("domain", visit.domain())]), &refusal)),
    }
}
