//! A link is made and changed: the form, what it sends, and what is wrong with it beside the field.

use super::link_form::{CODE, DRAWING, FIELDS, FLATTEN, LinkForm};
use crate::answer::Answer;
use crate::api::{Call, Refusal, domain_path, link_path};
use crate::fields::{self, Field, Typed};
use crate::form::{Pairs, href};
use crate::merge;
use crate::show::{self, propagation, text};
use crate::visit::Visit;
use http::StatusCode;
use jiff::tz::TimeZone;
use maud::{Markup, html};
use serde_json::{Map, Value, json};

/// `GET /ui/links/new`. What stands in the address is in the form already.
pub async fn blank(visit: Visit) -> Result<Answer, Refusal> {
    let form = visit.query.clone();
    new_form(&visit, &form, &typed_new(&form), None, None).await
}

fn typed_new(form: &Pairs) -> Typed {
    let own: Vec<Field> = FIELDS.into_iter().chain([CODE, FLATTEN]).chain(DRAWING).collect();
    fields::typed(&own, form)
}

async fn new_form(
    visit: &Visit,
    form: &Pairs,
    typed: &Typed,
    wrong: Option<&Refusal>,
    taken: Option<&str>,
) -> Result<Answer, Refusal> {
    let shown = LinkForm { typed, form, wrong, fresh: wrong.is_none(), zone: visit.zone(), taken };
    let domains = super::domain_choice::domains(visit).await;
    let body = html! {
        (shown.summary())
        form method="post" action="/ui/links/new" class="narrow" novalidate {
            (visit.marks())
            (super::domain_choice::domain_field(&domains, visit.domain(), visit))
            div data-check="/ui/links/check" {
                (shown.field(&CODE))
                p class="hint" role="status" data-check-says="" {}
            }
            (shown.fields())
            details open[wrong.is_some() && DRAWING.iter().chain([&FLATTEN]).any(|field| typed.get(field.name).is_some_and(|text| !text.is_empty()))] {
                summary { "How linkr makes up a code; links to links" }
                @for field in &DRAWING { (shown.field(field)) }
                (shown.field(&FLATTEN))
            }
            div class="buttons" { button class="main" { "Create the link" } a href="/ui/links" { "Cancel" } }
        }
    };
    let status = wrong.map_or(StatusCode::OK, |refusal| refusal.status);
    Ok(Answer::with(status, "New link", body))
}

/// `POST /ui/links/new`.
pub async fn create(visit: Visit) -> Result<Answer, Refusal> {
    let typed = typed_new(&visit.form);
    match created(&visit, &typed).await {
        Ok(link) => {
            visit.keep_zone();
            let said =
                format!("Created {}.{}{}", show::short_url(&link), propagation(&link), times(&visit, &link));
            Ok(visit.done(show::link_href("/ui/link", &link), said))
        }
        Err(refusal) if refusal.status == StatusCode::UNAUTHORIZED => Err(refusal),
        Err(refusal) => {
            let taken = taken(&visit, &refusal);
            let link = taken.as_ref().map(|taken| taken.link.as_str());
            let wrong = taken.as_ref().map_or(&refusal, |taken| &taken.refusal);
            new_form(&visit, &visit.form, &typed, Some(wrong), link).await
        }
    }
}

/// A code that has a link already.
struct TakenCode {
    /// The page of that link.
    link: String,
    /// The refusal in words of a page, beside its field.
    refusal: Refusal,
}

fn taken(visit: &Visit, refusal: &Refusal) -> Option<TakenCode> {
    let code = visit.form.get("code");
    let why = match refusal.reason.as_str() {
        "EXISTS" => format!("The code {code} has a link already."),
        "CODE_DELETED" => format!("The code {code} belongs to a deleted link, which can be brought back."),
        _ => return None,
    };
    let link = href("/ui/link", &[("domain", visit.domain()), ("code", code)]);
    let refusal = Refusal { detail: why, field: Some("code".to_owned()), ..refusal.clone() };
    (!code.is_empty()).then_some(TakenCode { link, refusal })
}

/// When a link begins and ends, in the zone in which that was typed.
fn times(visit: &Visit, link: &Value) -> String {
    let Ok(zone) = fields::zone(&visit.form) else { return String::new() };
    let told =
        [("not_before", "begins"), ("expire_time", "ends")].map(|(name, word)| match text(link, name) {
            "" => String::new(),
            time => format!(" It {word} at {}.", fields::in_zone(time, &zone)),
        });
    told.concat()
}

async fn created(visit: &Visit, typed: &Typed) -> Result<Value, Refusal> {
    let zone = fields::zone(&visit.form)?;
    let mut link = fields::values(&FIELDS, typed, &zone)?;
    link.insert("code".to_owned(), json!(typed.get("code").map_or("", |code| code.trim())));
    link.retain(|_, value| !fields::is_nothing(value));
    let of = |name: &str| typed.get(name).map_or("", |text| text.trim());
    let flatten = if of("flatten").is_empty() { "" } else { "true" };
    let parameters = [
        ("ack", "propagated"),
        ("code_prefix", of("code_prefix")),
        ("code_length", of("code_length")),
        ("code_alphabet", of("code_alphabet")),
        ("flatten", flatten),
    ];
    let path = domain_path(visit.domain(), "/links");
    visit.call(Call::post(&path, &parameters, Value::Object(link)).once(visit.once())).await
}

/// `GET /ui/links/check`: what the script shows beside the code while it is typed.
pub async fn check(visit: Visit) -> Result<Answer, Refusal> {
    let code = visit.code();
    if code.is_empty() {
        return Ok(Answer::raw("text/plain; charset=utf-8", ""));
    }
    let path = domain_path(visit.domain(), &format!("/codes/{}", exposition::escaped(code)));
    let said = match visit.call(Call::get(&path, &[])).await {
        Ok(answer) => code_words(&answer),
        Err(refusal) => refusal.detail,
    };
    Ok(Answer::raw("text/plain; charset=utf-8", said))
}

fn code_words(answer: &Value) -> String {
    let state = match text(answer, "state") {
        "free" => return "This code is free.".to_owned(),
        "deleted" => "This code belongs to a deleted link, which can be brought back.",
        "reserved" => "This code is kept free here.",
        _ => "This code is taken.",
    };
    let others: Vec<&str> = show::list(answer, "suggestions").iter().filter_map(Value::as_str).collect();
    if others.is_empty() { state.to_owned() } else { format!("{state} Free are {}.", others.join(", ")) }
}

/// `GET /ui/link/edit`.
pub async fn filled(visit: Visit) -> Result<Answer, Refusal> {
    let link = visit.call(Call::get(&link_path(visit.domain(), visit.code(), ""), &[])).await?;
    let zone = TimeZone::get(visit.zone()).unwrap_or(TimeZone::UTC);
    let typed = fields::filled(&FIELDS, &link, &zone);
    let read = fields::standing(&FIELDS, &link);
    let form = Pairs::default();
    let times = ["not_before", "expire_time"].iter().all(|time| text(&link, time).is_empty());
    let named = zone.iana_name().unwrap_or("UTC");
    let shown = LinkForm { typed: &typed, form: &form, wrong: None, fresh: times, zone: named, taken: None };
    Ok(edit_form(&visit, &shown, &read, text(&link, "etag"), &html! {}))
}

fn edit_form(
    visit: &Visit,
    shown: &LinkForm<'_>,
    read: &Map<String, Value>,
    etag: &str,
    above: &Markup,
) -> Answer {
    let (domain, code) = (visit.domain(), visit.code());
    let back = href("/ui/link", &[("domain", domain), ("code", code)]);
    let body = html! {
        (above)
        (shown.summary())
        form method="post" action="/ui/link/edit" class="narrow" novalidate {
            (visit.marks())
            input type="hidden" name="domain" value=(domain);
            input type="hidden" name="code" value=(code);
            input type="hidden" name="_etag" value=(etag);
            input type="hidden" name="_read" value=(Value::Object(read.clone()).to_string());
            (shown.fields())
            (shown.field(&FLATTEN))
            div class="buttons" { button class="main" { "Save" } a href=(back) { "Cancel" } }
        }
    };
    let status = match shown.wrong {
        Some(refusal) => refusal.status,
        None if above.0.is_empty() => StatusCode::OK,
        None => StatusCode::CONFLICT,
    };
    Answer::with(status, format!("Edit {code}"), body)
}

/// `POST /ui/link/edit`: what differs from what was read is sent, and nothing else.
pub async fn change(visit: Visit) -> Result<Answer, Refusal> {
    let own: Vec<Field> = FIELDS.into_iter().chain([FLATTEN]).collect();
    let typed = fields::typed(&own, &visit.form);
    let read: Map<String, Value> = serde_json::from_str(visit.form.get("_read")).unwrap_or_default();
    let etag = visit.form.get("_etag");
    let back = href("/ui/link", &[("domain", visit.domain()), ("code", visit.code())]);
    let (wanted, zone) = match wanted(&visit, &typed) {
        Ok(wanted) => wanted,
        Err(refusal) => return Ok(still(&visit, &typed, &read, etag, &refusal)),
    };
    let changes = merge::changed(&read, &wanted);
    if changes.is_empty() {
        return Ok(visit.done(back, "Nothing was changed."));
    }
    let flatten = if typed.get("flatten").is_some_and(|flag| !flag.is_empty()) { "true" } else { "" };
    let call = Call::patch(
        &link_path(visit.domain(), visit.code(), ""),
        &[("ack", "propagated"), ("flatten", flatten)],
        Value::Object(changes.clone()),
    );
    match visit.call(call.at(etag).once(visit.once())).await {
        Ok(link) => {
            visit.keep_zone();
            let timed = ["not_before", "expire_time"].iter().any(|time| changes.contains_key(*time));
            let times = if timed { times(&visit, &link) } else { String::new() };
            Ok(visit.done(back, format!("Saved.{}{times}", propagation(&link))))
        }
        Err(refusal) if refusal.status == StatusCode::UNAUTHORIZED => Err(refusal),
        Err(refusal) if refusal.reason == "ETAG_MISMATCH" => {
            let link = visit.call(Call::get(&link_path(visit.domain(), visit.code(), ""), &[])).await?;
            let now = fields::standing(&FIELDS, &link);
            // What was changed here stays as it was typed; everything else becomes what it is now.
            let mut merged = fields::filled(&FIELDS, &link, &zone);
            merged.extend(typed.into_iter().filter(|(name, _)| changes.contains_key(*name)));
            let zone = visit.zone();
            let shown =
                LinkForm { typed: &merged, form: &visit.form, wrong: None, fresh: false, zone, taken: None };
            let above = merge::conflict("link", &FIELDS, &read, &wanted, &now);
            Ok(edit_form(&visit, &shown, &now, text(&link, "etag"), &above))
        }
        Err(refusal) => Ok(still(&visit, &typed, &read, etag, &refusal)),
    }
}

fn wanted(visit: &Visit, typed: &Typed) -> Result<(Map<String, Value>, TimeZone), Refusal> {
    let zone = fields::zone(&visit.form)?;
    Ok((fields::values(&FIELDS, typed, &zone)?, zone))
}

/// The form with what was typed, and why it is not saved.
fn still(visit: &Visit, typed: &Typed, read: &Map<String, Value>, etag: &str, wrong: &Refusal) -> Answer {
    let zone = visit.zone();
    let shown = LinkForm { typed, form: &visit.form, wrong: Some(wrong), fresh: false, zone, taken: None };
    edit_form(visit, &shown, read, etag, &html! {})
}
