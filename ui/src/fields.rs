//! Fields of forms: how each is shown, what a browser sends of it, and what the API is given. Which fields there are is not
//! known here.

use crate::api::Refusal;
use crate::form::Pairs;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use maud::{Markup, html};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// What becomes of the visitor's query: choices that links and domains share.
pub const DROPPED: (&str, &str) = ("drop", "is dropped");
pub const APPENDED: (&str, &str) = ("append", "is put after the target's own");
pub const OVERRIDING: (&str, &str) = ("override", "replaces the same names of the target");
/// What an edge does with a link while it cannot know whether it is current: likewise.
pub const NORMAL: (&str, &str) = ("normal", "it redirects on");
pub const STRICT: (&str, &str) = ("strict", "it refuses until it knows");

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A line of text.
    Line,
    /// A URL.
    Address,
    /// Lines of text.
    Area,
    /// A whole number, or none.
    Number,
    /// A moment, or none.
    Time,
    /// One of these texts: value and word.
    Choice(&'static [(&'static str, &'static str)]),
    /// One of these numbers; the first where none is said.
    NumberChoice(&'static [(&'static str, &'static str)]),
    /// Yes or no.
    Flag,
    /// Texts with commas between them.
    List,
}

/// A field.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// As the API names it.
    pub name: &'static str,
    /// As people do.
    pub label: &'static str,
    /// What to know before typing; may be empty.
    pub hint: &'static str,
    /// What it holds.
    pub kind: Kind,
}

/// What stands in the fields of a form, by their names: as a browser sends it.
pub type Typed = BTreeMap<&'static str, String>;

impl Field {
    /// What stands in the field for a value of the API.
    pub fn text(&self, value: &Value, zone: &TimeZone) -> String {
        match (self.kind, value) {
            (Kind::NumberChoice(all), Value::Null) => usual(all).to_owned(),
            (Kind::NumberChoice(all), Value::Number(number)) if number.as_u64() == Some(0) => {
                usual(all).to_owned()
            }
            (_, Value::Null) => String::new(),
            (Kind::Time, Value::String(text)) => local(text, zone),
            (Kind::Flag, Value::Bool(flag)) => if *flag { "1" } else { "" }.to_owned(),
            (Kind::List, Value::Array(all)) => {
                all.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
            }
            (_, Value::String(text)) => text.clone(),
            (_, other) => other.to_string(),
        }
    }

    /// A value of the API as people read it.
    pub fn said(&self, value: &Value, zone: &TimeZone) -> String {
        let text = self.text(value, zone);
        match self.kind {
            Kind::Choice(all) | Kind::NumberChoice(all) => {
                let word = all.iter().find(|(choice, _)| *choice == text).map(|(_, word)| (*word).to_owned());
                word.unwrap_or(text)
            }
            Kind::Flag => if text.is_empty() { "no" } else { "yes" }.to_owned(),
            _ => text,
        }
    }

    /// A value of the API in the one form in which two are compared.
    pub fn standing(&self, value: &Value) -> Value {
        match (self.kind, value) {
            (Kind::Line | Kind::Address | Kind::Area, Value::Null) => json!(""),
            (Kind::Flag, Value::Null) => json!(false),
            (Kind::List, Value::Null) => json!([]),
            (Kind::Choice(_), Value::String(text)) if text.is_empty() => Value::Null,
            (Kind::NumberChoice(all), Value::Null) => number_of(usual(all)),
            (Kind::NumberChoice(all), Value::Number(number)) if number.as_u64() == Some(0) => {
                number_of(usual(all))
            }
            (_, value) => value.clone(),
        }
    }

    /// The value of the API that was typed.
    ///
    /// # Errors
    /// What no value can be made of.
    pub fn value(&self, typed: &str, zone: &TimeZone) -> Result<Value, Refusal> {
        let trimmed = typed.trim();
        Ok(match self.kind {
            Kind::Line | Kind::Address => json!(trimmed),
            Kind::Area => json!(typed),
            Kind::Choice(_) | Kind::Number | Kind::Time if trimmed.is_empty() => Value::Null,
            Kind::NumberChoice(all) if trimmed.is_empty() => number_of(usual(all)),
            Kind::Choice(_) => json!(trimmed),
            Kind::Number | Kind::NumberChoice(_) => {
                let number = trimmed.parse::<u64>();
                json!(number.map_err(|_| self.wrong("is no whole number"))?)
            }
            Kind::Time => json!(moment(trimmed, zone).ok_or_else(|| {
                self.wrong("is no time: give it as 2030-01-31T14:00, in the zone of this form")
            })?),
            Kind::Flag => json!(!trimmed.is_empty()),
            Kind::List => {
                let all = typed.split([',', '\n']).map(str::trim).filter(|one| !one.is_empty());
                json!(all.collect::<Vec<_>>())
            }
        })
    }

    fn wrong(&self, why: &str) -> Refusal {
        Refusal::of_field(self.name, &format!("{} {why}", self.name))
    }

    /// The field with its label, its hint and what is wrong with it.
    pub fn show(&self, typed: &Typed, wrong: Option<&Refusal>) -> Markup {
        let (name, value) = (self.name, typed.get(self.name).map_or("", String::as_str));
        let wrong = wrong.filter(|refusal| is_of(refusal, name));
        let (hint, error) = (format!("{name}-hint"), format!("{name}-error"));
        let mut described = Vec::new();
        described.extend((!self.hint.is_empty()).then_some(hint.as_str()));
        described.extend(wrong.map(|_| error.as_str()));
        let described = Some(described.join(" ")).filter(|ids| !ids.is_empty());
        let invalid = wrong.map(|_| "true");
        let words = html! {
            @if !self.hint.is_empty() { p class="hint" id=(hint) { (self.hint) } }
            @if let Some(refusal) = wrong { p class="error" id=(error) { (refusal.detail) } }
        };
        if self.kind == Kind::Flag {
            return html! {
                div class="field" {
                    label class="flag" for=(name) {
                        input id=(name) name=(name) type="checkbox" value="1" checked[!value.is_empty()]
                            aria-describedby=[&described] aria-invalid=[invalid];
                        " " (self.label)
                    }
                    (words)
                }
            };
        }
        let input = |kind: &str, mode: Option<&str>, step: Option<&str>| {
            html! {
                input id=(name) name=(name) type=(kind) value=(value) inputmode=[mode] step=[step] autocomplete="off"
                    spellcheck="false" aria-describedby=[&described] aria-invalid=[invalid];
            }
        };
        html! {
            div class="field" {
                label for=(name) { (self.label) }
                @match self.kind {
                    Kind::Area => {
                        textarea id=(name) name=(name) rows="4" aria-describedby=[&described] aria-invalid=[invalid] {
                            "\n" (value)
                        }
                    }
                    Kind::Choice(all) | Kind::NumberChoice(all) => {
                        select id=(name) name=(name) aria-describedby=[&described] aria-invalid=[invalid] {
                            @for (choice, word) in all {
                                option value=(choice) selected[*choice == value] { (word) }
                            }
                        }
                    }
                    Kind::Time => { (input("datetime-local", None, Some("any"))) }
                    Kind::Number => { (input("text", Some("numeric"), None)) }
                    Kind::Address => { (input("text", Some("url"), None)) }
                    Kind::Line | Kind::List | Kind::Flag => { (input("text", None, None)) }
                }
                (words)
            }
        }
    }
}

fn usual(all: &[(&'static str, &'static str)]) -> &'static str {
    all.first().map_or("", |(number, _)| number)
}

fn number_of(text: &str) -> Value {
    text.parse::<u64>().map_or(Value::Null, Value::from)
}

/// Whether a refusal is about a field: in a batch it is named with its place in front.
pub fn is_of(refusal: &Refusal, name: &str) -> bool {
    let field = refusal.field.as_deref().unwrap_or_default();
    let own = field.rsplit('.').next().and_then(|last| last.split('[').next());
    own == Some(name)
}

/// What a form sent of these fields.
pub fn typed(fields: &[Field], form: &Pairs) -> Typed {
    let of = |field: &Field| match field.kind {
        Kind::Area => form.text(field.name),
        _ => form.get(field.name).to_owned(),
    };
    fields.iter().map(|field| (field.name, of(field))).collect()
}

/// What stands in these fields for a message of the API.
pub fn filled(fields: &[Field], message: &Value, zone: &TimeZone) -> Typed {
    fields.iter().map(|field| (field.name, field.text(&message[field.name], zone))).collect()
}

/// The members of a message that are typed.
///
/// # Errors
/// The first of which no value can be made.
pub fn values(fields: &[Field], typed: &Typed, zone: &TimeZone) -> Result<Map<String, Value>, Refusal> {
    let one = |field: &Field| {
        let text = typed.get(field.name).map_or("", String::as_str);
        Ok((field.name.to_owned(), field.value(text, zone)?))
    };
    fields.iter().map(one).collect()
}

/// The members of a message in the one form in which two are compared.
pub fn standing(fields: &[Field], message: &Value) -> Map<String, Value> {
    fields.iter().map(|field| (field.name.to_owned(), field.standing(&message[field.name]))).collect()
}

/// Whether a value says nothing: a create leaves it out.
pub fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(all) => all.is_empty(),
        _ => false,
    }
}

/// The zone that a form names; UTC where it names none.
///
/// # Errors
/// A name that is of no zone.
pub fn zone(form: &Pairs) -> Result<TimeZone, Refusal> {
    match form.get("zone") {
        "" | "UTC" => Ok(TimeZone::UTC),
        name => TimeZone::get(name).map_err(|_| {
            Refusal::of_field("zone", "zone is none that is known: give one such as Europe/Berlin")
        }),
    }
}

/// The field for the zone of the times of a form, which begins with `own`, or by the script with that of the browser.
pub fn zone_field(form: &Pairs, wrong: Option<&Refusal>, own: &str, fill: bool) -> Markup {
    zone_fields(form, wrong, own, fill, &html! {})
}

/// The same with what it began with: whether the visitor chose another one is seen when the form is sent.
pub fn kept_zone_field(form: &Pairs, wrong: Option<&Refusal>, own: &str, fill: bool) -> Markup {
    let began = if form.has("_zone") { form.get("_zone") } else { own };
    zone_fields(form, wrong, own, fill, &html! { input type="hidden" name="_zone" value=(began); })
}

fn zone_fields(form: &Pairs, wrong: Option<&Refusal>, own: &str, fill: bool, more: &Markup) -> Markup {
    let field = Field {
        name: "zone",
        label: "Zone of these times",
        hint: "Such as Europe/Berlin or America/New_York.",
        kind: Kind::Line,
    };
    let own = if form.has("zone") { form.get("zone") } else { own };
    let typed = Typed::from([("zone", own.to_owned())]);
    html! { div data-own-zone=[(fill && !form.has("zone")).then_some("")] { (field.show(&typed, wrong)) (more) } }
}

/// A moment as the clocks of a zone show it, with its name.
pub fn in_zone(text: &str, zone: &TimeZone) -> String {
    format!("{} {}", local(text, zone).replace('T', " "), zone.iana_name().unwrap_or("UTC"))
}

fn local(text: &str, zone: &TimeZone) -> String {
    let Ok(time) = text.parse::<Timestamp>() else { return text.to_owned() };
    let local = zone.to_datetime(time);
    let whole = local.strftime("%Y-%m-%dT%H:%M:%S").to_string();
    match local.subsec_nanosecond() / 1_000_000 {
        0 => whole,
        ms => format!("{whole}.{ms:03}"),
    }
}

/// A moment with its own offset, or one in the zone: as the API writes it.
fn moment(text: &str, zone: &TimeZone) -> Option<String> {
    let time = match text.parse::<Timestamp>() {
        Ok(time) => time,
        Err(_) => zone.to_timestamp(text.replace(' ', "T").parse::<DateTime>().ok()?).ok()?,
    };
    let whole = time.strftime("%Y-%m-%dT%H:%M:%S");
    Some(match time.subsec_millisecond() {
        0 => format!("{whole}Z"),
        ms => format!("{whole}.{ms:03}Z"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn field(kind: Kind) -> Field {
        Field { name: "f", label: "F", hint: "", kind }
    }

    #[test]
    fn friday_noon_in_berlin_is_eleven_in_utc() {
        let berlin = zone(&Pairs::parse(b"zone=Europe/Berlin")).unwrap();
        let time = field(Kind::Time);
        let value = time.value("2026-12-04T12:00", &berlin).unwrap();
        assert_eq!(value, "2026-12-04T11:00:00Z");
        assert_eq!(time.text(&value, &berlin), "2026-12-04T12:00:00");
        assert_eq!(time.value("2026-12-04T12:00+02:00", &berlin).unwrap(), "2026-12-04T10:00:00Z");
        assert_eq!(time.text(&json!("2026-12-04T11:00:00.250Z"), &TimeZone::UTC), "2026-12-04T11:00:00.250");
        assert_eq!(in_zone("2026-12-04T11:00:00Z", &berlin), "2026-12-04 12:00:00 Europe/Berlin");
        assert_eq!(in_zone("2026-12-04T11:00:00Z", &TimeZone::UTC), "2026-12-04 11:00:00 UTC");
        assert!(time.value("Friday", &berlin).unwrap_err().detail.starts_with("f is no time"));
        assert!(zone(&Pairs::parse(b"zone=Europe/Atlantis")).is_err());
    }

    #[test]
    fn what_was_not_touched_is_the_same_again() {
        let choices = Kind::Choice(&[("", "none"), ("drop", "drop")]);
        let numbers = Kind::NumberChoice(&[("302", "302"), ("301", "301")]);
        for (kind, value) in [
            (Kind::Line, json!("a")),
            (Kind::Line, Value::Null),
            (Kind::Area, json!("one\ntwo ")),
            (Kind::Number, json!(7)),
            (Kind::Number, Value::Null),
            (Kind::Time, json!("2026-12-04T11:00:00.250Z")),
            (Kind::Time, Value::Null),
            (choices, json!("drop")),
            (choices, Value::Null),
            (numbers, json!(301)),
            (numbers, json!(0)),
            (Kind::Flag, json!(true)),
            (Kind::Flag, Value::Null),
            (Kind::List, json!(["a", "b c"])),
            (Kind::List, Value::Null),
        ] {
            let field = field(kind);
            let typed = field.text(&value, &TimeZone::UTC);
            let back = field.value(&typed, &TimeZone::UTC).unwrap();
            assert_eq!(back, field.standing(&value), "{kind:?} {value}");
        }
    }

    #[test]
    fn an_error_stands_beside_its_field_and_what_was_typed_is_text() {
        let typed = Typed::from([("f", "<script>\"".to_owned())]);
        let refusal = Refusal::of_field("requests[0].link.f", "f is <b>wrong</b>");
        let shown = field(Kind::Line).show(&typed, Some(&refusal)).into_string();
        assert!(shown.contains("value=\"&lt;script&gt;&quot;\""), "{shown}");
        assert!(
            shown.contains("f is &lt;b&gt;wrong&lt;/b&gt;") && shown.contains("aria-invalid=\"true\""),
            "{shown}"
        );
        let other = Refusal::of_field("g", "g is wrong");
        assert!(!field(Kind::Line).show(&typed, Some(&other)).into_string().contains("error"));
    }
}
