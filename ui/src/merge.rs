//! Two people change the same thing: what each changed, side by side. No call is made here.

use crate::fields::Field;
use jiff::tz::TimeZone;
use maud::{Markup, html};
use serde_json::{Map, Value};

/// The members of the second that the first has not, or has otherwise.
pub fn changed(before: &Map<String, Value>, after: &Map<String, Value>) -> Map<String, Value> {
    let differs = |name: &str, value: &Value| before.get(name).unwrap_or(&Value::Null) != value;
    let changed = after.iter().filter(|(name, value)| differs(name, value));
    changed.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// What somebody else changed meanwhile, beside what was typed. `what`: what both changed, such as `link`.
pub fn conflict(
    what: &str,
    fields: &[Field],
    read: &Map<String, Value>,
    typed: &Map<String, Value>,
    now: &Map<String, Value>,
) -> Markup {
    let differs = |name: &str| typed.get(name) != read.get(name) || now.get(name) != read.get(name);
    let cell = |field: &Field, of: &Map<String, Value>| {
        let text = field.said(of.get(field.name).unwrap_or(&Value::Null), &TimeZone::UTC);
        html! { @if text.is_empty() { span class="none" { "nothing" } } @else { (text) } }
    };
    html! {
        div role="alert" class="notice bad" {
            "Somebody else changed this " (what) " while you were editing it, and nothing was saved. What you changed stands in \
             the form, what they changed, too; where both did, yours. Look at it and save again."
        }
        table class="plain" {
            caption { "What changed meanwhile (times in UTC)" }
            thead {
                tr {
                    th scope="col" { "Field" } th scope="col" { "You read" } th scope="col" { "You typed" }
                    th scope="col" { "It is now" }
                }
            }
            tbody {
                @for field in fields.iter().filter(|field| differs(field.name)) {
                    tr {
                        th scope="row" { (field.label) }
                        td data-label="You read" { (cell(field, read)) }
                        td data-label="You typed" { (cell(field, typed)) }
                        td data-label="It is now" { (cell(field, now)) }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fields::Kind;
    use serde_json::json;

    fn members(value: &Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap_or_default()
    }

    #[test]
    fn only_what_differs_is_sent_and_shown() {
        const FIELDS: [Field; 3] = [
            Field { name: "a", label: "First", hint: "", kind: Kind::Line },
            Field { name: "b", label: "Second", hint: "", kind: Kind::Line },
            Field { name: "c", label: "Third", hint: "", kind: Kind::Line },
        ];
        let read = members(&json!({ "a": "1", "b": "1", "c": "1" }));
        let typed = members(&json!({ "a": "2", "b": "1", "c": "1" }));
        let now = members(&json!({ "a": "1", "b": "3", "c": "1" }));
        assert_eq!(changed(&read, &typed), members(&json!({ "a": "2" })));
        let shown = conflict("link", &FIELDS, &read, &typed, &now).into_string();
        assert!(shown.contains("First") && shown.contains("Second") && !shown.contains("Third"), "{shown}");
        assert!(shown.contains("You typed\">2<") && shown.contains("It is now\">3<"), "{shown}");
    }
}
