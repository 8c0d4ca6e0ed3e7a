//! The fields of a link as text and as JSON: the names and forms of the REST API, in output, export and import.

use link::misleads;
use proto::described::{Form, settable, shape};
use proto::v1::{Link, LinkClass, QueryPolicy};
use serde_json::{Map, Value};
use std::sync::LazyLock;

/// What an export writes and an import takes, in this order: a link's own fields, its code and when it was made, as the
/// message has them. A deleted link has `delete_time` behind them.
pub static FIELDS: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    let mut members: Vec<_> = shape("linkr.v1.Link").into_iter().flat_map(|shape| &shape.members).collect();
    members.retain(|member| member.is_settable() || matches!(&*member.name, "code" | "create_time"));
    members.sort_by_key(|member| member.field.number());
    members.into_iter().map(|member| member.name.as_str()).collect()
});

/// The fields that travel to the edges, which answer by them: those that a watch of changes tells.
pub fn travelling() -> Vec<&'static str> {
    let told = shape("linkr.v1.LinkChange").and_then(|shape| shape.member("link"));
    let kept = |name: &&str| !told.is_some_and(|link| link.rule.without.iter().any(|other| other == name));
    settable("linkr.v1.Link").into_iter().filter(kept).collect()
}

/// What only a server writes.
pub const OUTPUT_ONLY: [&str; 9] =
    ["name", "domain", "short_url", "blocked_by", "update_time", "delete_time", "revision", "etag", "uid"];

/// Fields that hold whatever somebody wrote.
const WORDS: [&str; 5] = ["code", "title", "tags", "note", "external_id"];

/// The default stands for itself: an export leaves it out.
const QUERIES: [(&str, QueryPolicy); 4] = [
    ("", QueryPolicy::Drop),
    ("drop", QueryPolicy::Drop),
    ("append", QueryPolicy::Append),
    ("override", QueryPolicy::Override),
];
const CLASSES: [(&str, LinkClass); 2] = [("normal", LinkClass::Normal), ("strict", LinkClass::Strict)];

fn name_of<T: Copy + PartialEq>(table: &[(&'static str, T)], value: T) -> &'static str {
    table.iter().find(|(_, known)| *known == value).map_or("", |(name, _)| name)
}

fn by_name<T: Copy>(table: &[(&str, T)], name: &str) -> Result<T, String> {
    let found = table.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| *value);
    let names = || table.iter().map(|(name, _)| *name).filter(|name| !name.is_empty()).collect::<Vec<_>>();
    found.ok_or_else(|| format!("is none of {}", names().join(", ")))
}

/// A policy by its name.
///
/// # Errors
/// That it is none.
pub fn query_policy(name: &str) -> Result<QueryPolicy, String> {
    by_name(&QUERIES, name)
}

/// A field as JSON; `None` where the link has no such value.
pub fn json(link: &Link, field: &str) -> Option<Value> {
    let text = |text: &str| Some(Value::from(text)).filter(|_| !text.is_empty());
    let time = |time: Option<prost_types::Timestamp>| time.map(|time| Value::from(time.to_string()));
    match field {
        "name" => text(&link.name),
        "code" => text(&link.code),
        "domain" => text(&link.domain),
        "target" => text(&link.target),
        "status" => Some(Value::from(if link.status == 0 { 302 } else { link.status })),
        "max_age" => link.max_age.map(Value::from),
        "not_before" => time(link.not_before),
        "expire_time" => time(link.expire_time),
        "query" => text(name_of(&QUERIES, link.query())),
        "class" => text(name_of(&CLASSES, link.class())),
        "disabled" => link.disabled.then(|| Value::from(true)),
        "title" => text(&link.title),
        "tags" => Some(Value::from(link.tags.clone())).filter(|_| !link.tags.is_empty()),
        "note" => text(&link.note),
        "external_id" => text(&link.external_id),
        "imported_clicks" => Some(Value::from(link.imported_clicks)).filter(|_| link.imported_clicks > 0),
        "expired_target" => text(&link.expired_target),
        "create_time" => time(link.create_time),
        "update_time" => time(link.update_time),
        "delete_time" => time(link.delete_time),
        "revision" => text(&link.revision),
        "etag" => text(&link.etag),
        "short_url" => text(&link.short_url),
        "blocked_by" => text(&link.blocked_by),
        "uid" => Some(Value::from(link.uid)).filter(|_| link.uid > 0),
        _ => None,
    }
}

/// Everything that the link has, as an object.
pub fn object<'a>(link: &Link, fields: impl IntoIterator<Item = &'a str>) -> Map<String, Value> {
    fields.into_iter().filter_map(|field| json(link, field).map(|value| (field.to_owned(), value))).collect()
}

/// A field as the text of a cell; empty where the link has no such value.
pub fn cell(link: &Link, field: &str) -> String {
    match json(link, field) {
        None => String::new(),
        Some(Value::String(text)) => text,
        // A list in one cell: joined by commas, or JSON where that could be read in two ways.
        Some(Value::Array(_)) if link.tags.iter().all(|tag| plain(tag)) => link.tags.join(","),
        Some(value) => value.to_string(),
    }
}

fn plain(tag: &str) -> bool {
    !tag.is_empty() && !tag.contains(',') && !tag.starts_with('[') && tag.trim() == tag
}

/// A cell of a CSV file: in the fields that hold words, [`guarded`]. [`set_csv_cell`] undoes it.
pub fn csv_cell(link: &Link, field: &str) -> String {
    let text = cell(link, field);
    if WORDS.contains(&field) { guarded(text) } else { text }
}

/// Reads a cell of a CSV file into a field.
///
/// # Errors
/// As [`set_cell`].
pub fn set_csv_cell(link: &mut Link, field: &str, text: &str) -> Result<(), String> {
    set_cell(link, field, if WORDS.contains(&field) { unguarded(text) } else { text })
}

/// Spreadsheets run what begins as a formula: a `'` in front makes text of it.
pub fn guarded(text: String) -> String {
    if formula(&text) { format!("'{text}") } else { text }
}

/// The same without that `'`.
pub fn unguarded(text: &str) -> &str {
    text.strip_prefix('\'').filter(|rest| formula(rest)).unwrap_or(text)
}

/// Also behind what a spreadsheet leaves out or does not show, and in full width. Also with a `'` in front, so that one
/// is taken off from those only that one was put in front of.
fn formula(text: &str) -> bool {
    let shown =
        text.trim_start_matches(|c: char| c == '\'' || c.is_whitespace() || c.is_control() || misleads(c));
    shown.starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠'])
        || text.trim_start_matches('\'').starts_with(['\t', '\r'])
}

/// Reads a cell into a field. An empty cell is an absent value.
///
/// # Errors
/// Why the text is no value of this field; the server checks the rest.
pub fn set_cell(link: &mut Link, field: &str, text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Ok(());
    }
    let time = || proto::time::read(text).map(Some).map_err(str::to_owned);
    match field {
        "code" => text.clone_into(&mut link.code),
        "target" => text.clone_into(&mut link.target),
        "status" => {
            link.status = text.parse().map_err(|_| "is not a whole number".to_owned())?;
        }
        "max_age" => {
            let seconds = text.parse().map_err(|_| "is not a whole number of seconds".to_owned())?;
            link.max_age = Some(seconds);
        }
        "not_before" => link.not_before = time()?,
        "expire_time" => link.expire_time = time()?,
        "create_time" => link.create_time = time()?,
        "query" => link.set_query(by_name(&QUERIES, text)?),
        "class" => link.set_class(by_name(&CLASSES, text)?),
        // Spreadsheets write it in upper case.
        "disabled" => {
            let words = text.to_ascii_lowercase();
            link.disabled = words.parse().map_err(|_| "is neither true nor false".to_owned())?;
        }
        "title" => text.clone_into(&mut link.title),
        "note" => text.clone_into(&mut link.note),
        "external_id" => text.clone_into(&mut link.external_id),
        "imported_clicks" => {
            link.imported_clicks = text.parse().map_err(|_| "is not a whole number".to_owned())?;
        }
        "expired_target" => text.clone_into(&mut link.expired_target),
        "tags" if text.starts_with('[') => {
            link.tags = serde_json::from_str(text).map_err(|_| "is not a list of texts".to_owned())?;
        }
        "tags" => link.tags = text.split(',').map(|tag| tag.trim().to_owned()).collect(),
        "domain" => text.clone_into(&mut link.domain),
        "delete_time" => link.delete_time = time()?,
        _ => {} // output only: nothing to set
    }
    Ok(())
}

fn is_number(field: &str) -> bool {
    let member = shape("linkr.v1.Link").and_then(|shape| shape.member(field));
    member.is_some_and(|member| matches!(member.form, Form::Signed | Form::Short | Form::Long))
}

/// Reads a JSON value into a field.
///
/// # Errors
/// As [`set_cell`].
pub fn set_json(link: &mut Link, field: &str, value: &Value) -> Result<(), String> {
    match value {
        Value::Null => Ok(()),
        Value::String(text) if field != "tags" => set_cell(link, field, text),
        Value::Number(_) if is_number(field) => set_cell(link, field, &value.to_string()),
        Value::Bool(_) if field == "disabled" => set_cell(link, field, &value.to_string()),
        Value::Array(_) if field == "tags" => set_cell(link, field, &value.to_string()),
        _ => Err("has the wrong type".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::described::Member;
    use proto::json::read;

    /// With a value in every field of a file: whoever adds a field to the message need not add it here.
    fn full() -> Link {
        let shape = shape("linkr.v1.Link").unwrap();
        let value = |member: &Member| match &member.form {
            Form::Text => "ü, \"t\"\nx".into(),
            Form::Flag => true.into(),
            Form::Signed | Form::Short | Form::Long => 301.into(),
            Form::Choice(all) => all.last().unwrap().0.clone().into(),
            Form::Time => "2020-01-02T03:04:05.678Z".into(),
            other => panic!("{} is {other:?}: say how a cell has it", member.name),
        };
        let given = FIELDS.iter().filter(|name| **name != "create_time"); // it is in no body but that of an import
        let members = given.map(|name| {
            let member = shape.member(name).unwrap();
            let one: Value = value(member);
            ((*name).to_owned(), if member.list { vec![one, "x".into()].into() } else { one })
        });
        let body = Value::Object(members.collect()).to_string();
        let Ok(given) = read::message(shape, read::members(body.as_bytes()).unwrap()) else {
            panic!("{body}")
        };
        Link { create_time: "1999-12-31T23:59:59Z".parse().ok(), ..given.message.transcode_to().unwrap() }
    }

    /// One that is not there would be left out of every export, without a word.
    #[test]
    fn every_field_of_a_file_has_a_cell_and_a_value() {
        for field in FIELDS.iter() {
            assert!(!cell(&full(), field).is_empty() && json(&full(), field).is_some(), "{field}");
        }
        let same = ["code", "target", "status", "max_age", "not_before", "expire_time", "query", "class"];
        let next = ["disabled", "title", "tags", "note", "create_time", "external_id"];
        assert_eq!(FIELDS[..14], [&same[..], &next].concat(), "files that people have begin so");
    }

    #[test]
    fn a_link_comes_back_from_cells_and_from_json() {
        let odd = Link { tags: vec!["a,b".into(), " [x".into()], ..full() };
        for link in [full(), odd, Link { status: 302, ..Default::default() }] {
            let (mut from_cells, mut from_json) = (Link::default(), Link::default());
            for field in FIELDS.iter().copied() {
                set_cell(&mut from_cells, field, &cell(&link, field)).unwrap();
                if let Some(value) = json(&link, field) {
                    set_json(&mut from_json, field, &value).unwrap();
                }
            }
            assert_eq!(from_cells, link);
            assert_eq!(from_json, link);
        }
    }

    /// Found by users: a spreadsheet writes TRUE and FALSE, and every row of such a file was refused.
    #[test]
    fn yes_and_no_are_taken_in_any_case_of_letters() {
        for (text, want) in [("TRUE", true), ("False", false), ("tRUE", true), ("false", false)] {
            let mut link = Link { disabled: !want, ..full() };
            set_cell(&mut link, "disabled", text).unwrap();
            assert_eq!(link.disabled, want, "{text}");
        }
        let mut link = full();
        set_cell(&mut link, "query", "Append").unwrap();
        set_cell(&mut link, "class", "NORMAL").unwrap();
        assert_eq!((link.query(), link.class()), (QueryPolicy::Append, LinkClass::Normal));
    }

    /// Every text of up to four of the characters that matter.
    #[test]
    fn a_spreadsheet_finds_no_formula_and_an_import_the_same_text() {
        const LETTERS: [&str; 11] = ["'", "=", "+", "-", "@", "\t", "\r", "x", ",", "[", " "];
        let mut texts = vec![String::new()];
        for from in [0, 1, 12, 133] {
            let longer: Vec<String> = texts[from..]
                .iter()
                .flat_map(|text| LETTERS.map(|letter| format!("{text}{letter}")))
                .collect();
            texts.extend(longer);
        }
        assert_eq!(texts.len(), 16_105);
        for text in texts {
            let tags = if text.is_empty() { Vec::new() } else { vec![text.clone(), "=x".into()] };
            let code = text.clone();
            let link = Link { code, title: text.clone(), note: text.clone(), target: text, tags, ..full() };
            let mut back = Link::default();
            for field in FIELDS.iter().copied() {
                let cell = csv_cell(&link, field);
                let runs = cell.starts_with(['=', '+', '-', '@', '\t', '\r']);
                assert!(!runs || !WORDS.contains(&field), "{field} {cell:?}");
                set_csv_cell(&mut back, field, &cell).unwrap();
            }
            assert_eq!(back, link);
        }
    }

    /// Found by attack.
    #[test]
    fn a_formula_behind_what_is_not_shown_is_found() {
        for text in
            ["＝cmd", "＋1", "－1", "＠a", " =1+1", "\u{a0}=1", "\n=1+1", "\u{feff}=1", "\u{200b}@a", "-2-3"]
        {
            let link = Link { title: text.into(), code: text.into(), tags: vec![text.into()], ..full() };
            let mut back = Link::default();
            for field in FIELDS.iter().copied() {
                let cell = csv_cell(&link, field);
                assert!(
                    !["title", "code"].contains(&field) || cell == format!("'{text}"),
                    "{field}: {cell:?}"
                );
                set_csv_cell(&mut back, field, &cell).unwrap();
            }
            assert_eq!(back, link);
        }
    }

    #[test]
    fn what_is_no_value() {
        let mut link = Link::default();
        for (field, text) in [
            ("status", "x"),
            ("max_age", "-1"),
            ("imported_clicks", "many"),
            ("expire_time", "soon"),
            ("query", "keep"),
            ("disabled", "yes"),
        ] {
            assert!(set_cell(&mut link, field, text).is_err(), "{field}");
        }
        assert!(set_json(&mut link, "target", &Value::from(7)).is_err());
        assert!(set_json(&mut link, "tags", &Value::from(vec![7])).is_err());
    }
}
