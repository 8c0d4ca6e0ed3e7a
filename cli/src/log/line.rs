//! One line of the log: what an event holds, bounded, and nothing in it that could pass for another line.

use super::LogForm;
use link::misleads;
use std::fmt::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};
use tracing::field::{Field, Visit};
use tracing::{Level, Metadata};

/// Bytes of one value; what is longer is cut, and ends with `…`.
const VALUE_BYTES: usize = 2_048;
/// Fields of one line.
const FIELDS: usize = 32;

/// The fields of an event or a span, in their order.
#[derive(Default)]
pub struct EventFields {
    message: String,
    fields: Vec<(&'static str, FieldValue)>,
}

enum FieldValue {
    Text(String),
    /// A number or a truth value, as JSON has it.
    Bare(String),
}

impl EventFields {
    /// Takes what a span around the event says, unless the event says it itself.
    pub fn inherit(&mut self, span: &Self) {
        for (name, value) in &span.fields {
            let (FieldValue::Text(text) | FieldValue::Bare(text)) = value;
            if !text.is_empty() && !self.fields.iter().any(|(own, _)| own == name) {
                self.put(name, value.copy());
            }
        }
    }

    fn put(&mut self, name: &'static str, value: FieldValue) {
        let known = self.fields.iter().position(|(own, _)| *own == name);
        match known {
            Some(at) => self.fields[at].1 = value,
            None if self.fields.len() < FIELDS => self.fields.push((name, value)),
            None => {}
        }
    }
}

impl FieldValue {
    fn copy(&self) -> Self {
        match self {
            Self::Text(text) => Self::Text(text.clone()),
            Self::Bare(text) => Self::Bare(text.clone()),
        }
    }
}

impl Visit for EventFields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = BoundedText(String::new());
        let _ = write!(text, "{value:?}"); // what is longer is cut
        self.record_str(field, &text.0);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let text = cut(value);
        match field.name() {
            "message" => self.message = text,
            name => self.put(name, FieldValue::Text(text)),
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field.name(), FieldValue::Bare(value.to_string()));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field.name(), FieldValue::Bare(value.to_string()));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field.name(), FieldValue::Bare(value.to_string()));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        let text = value.to_string();
        self.put(
            field.name(),
            if value.is_finite() { FieldValue::Bare(text) } else { FieldValue::Text(text) },
        );
    }
}

/// Text that takes no more than a value may have.
struct BoundedText(String);

impl Write for BoundedText {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.push_str(text);
        if self.0.len() > VALUE_BYTES { Err(fmt::Error) } else { Ok(()) }
    }
}

fn cut(text: &str) -> String {
    if text.len() <= VALUE_BYTES {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(VALUE_BYTES)])
}

/// An event on its way to the log.
pub struct LogLine<'a> {
    pub metadata: &'a Metadata<'static>,
    pub fields: &'a EventFields,
    pub colours: bool,
}

impl LogLine<'_> {
    /// With its end.
    pub fn written(&self, form: LogForm) -> String {
        let metadata = self.metadata;
        // What has no name of its own comes from a library.
        let event = if metadata.name().starts_with("event ") { metadata.target() } else { metadata.name() };
        write_line(form, self.colours, *metadata.level(), event, self.fields)
    }
}

/// The line about lines that could not be written.
pub fn lost(form: LogForm, colours: bool, count: u64) -> String {
    let message = "lines of the log could not be written".to_owned();
    let fields = EventFields { message, fields: vec![("lines", FieldValue::Bare(count.to_string()))] };
    write_line(form, colours, Level::WARN, "log_lines_dropped", &fields)
}

fn write_line(form: LogForm, colours: bool, level: Level, event: &str, fields: &EventFields) -> String {
    let mut line = String::with_capacity(256);
    match form {
        LogForm::Text => text(&mut line, colours, level, event, fields),
        LogForm::Json => json(&mut line, level, event, fields),
    }
    line.push('\n');
    line
}

fn text(line: &mut String, colours: bool, level: Level, event: &str, fields: &EventFields) {
    let (begin, end) = match level {
        _ if !colours => ("", ""),
        Level::ERROR => ("\x1b[31m", "\x1b[0m"),
        Level::WARN => ("\x1b[33m", "\x1b[0m"),
        _ => ("\x1b[2m", "\x1b[0m"),
    };
    let _ = write!(line, "{} {begin}{:>5}{end} {event}: ", now(), level.as_str());
    escaped(line, &fields.message, false);
    for (name, value) in &fields.fields {
        let _ = write!(line, " {name}=");
        match value {
            FieldValue::Text(text) if is_word(text) => line.push_str(text),
            FieldValue::Text(text) => quoted(line, text),
            FieldValue::Bare(text) => line.push_str(text),
        }
    }
}

fn json(line: &mut String, level: Level, event: &str, fields: &EventFields) {
    let _ =
        write!(line, "{{\"time\":\"{}\",\"level\":\"{}\",\"event\":", now(), level.as_str().to_lowercase());
    quoted(line, event);
    line.push_str(",\"message\":");
    quoted(line, &fields.message);
    for (name, value) in &fields.fields {
        line.push(',');
        quoted(line, name);
        line.push(':');
        match value {
            FieldValue::Text(text) => quoted(line, text),
            FieldValue::Bare(text) => line.push_str(text),
        }
    }
    line.push('}');
}

fn now() -> prost_types::Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let nanos = i32::try_from(since.subsec_micros() * 1_000).unwrap_or_default();
    prost_types::Timestamp { seconds: i64::try_from(since.as_secs()).unwrap_or_default(), nanos }
}

fn is_word(text: &str) -> bool {
    let good = |b: u8| b.is_ascii_alphanumeric() || b"-._:/%@+,;*?&#~[]()".contains(&b);
    !text.is_empty() && text.bytes().all(good)
}

fn quoted(line: &mut String, text: &str) {
    line.push('"');
    escaped(line, text, true);
    line.push('"');
}

/// As in a string of JSON. What would end a line, or show it in another order than it has, is spelled out.
fn escaped(line: &mut String, text: &str, inside: bool) {
    for c in text.chars() {
        match c {
            '"' | '\\' if inside => line.extend(['\\', c]),
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\t' => line.push_str("\\t"),
            _ if c.is_control() || misleads(c) => {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    let _ = write!(line, "\\u{unit:04x}");
                }
            }
            _ => line.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(value: &str) -> (String, serde_json::Value) {
        let fields = || EventFields {
            message: "it happened".into(),
            fields: vec![("why", FieldValue::Text(cut(value))), ("ms", FieldValue::Bare("7".into()))],
        };
        let line = |form| write_line(form, false, Level::WARN, "happened", &fields());
        (line(LogForm::Text), serde_json::from_str(&line(LogForm::Json)).unwrap())
    }

    #[test]
    fn text_and_json_say_the_same() {
        let (text, json) = both("a/b");
        let (time, rest) = text.split_once(' ').unwrap();
        assert_eq!(rest, " WARN happened: it happened why=a/b ms=7\n");
        assert!(time.len() >= 20 && time.ends_with('Z'), "{time}");
        assert_eq!(json["level"], "warn");
        assert_eq!(json["event"], "happened");
        assert_eq!(json["message"], "it happened");
        assert_eq!(json["why"], "a/b");
        assert_eq!(json["ms"], 7);
    }

    #[test]
    fn no_value_passes_for_another_line() {
        for value in [
            "a\nb",
            "a\r\nb ERROR x: y",
            "\u{1b}[2J",
            "\u{202e}txt",
            "\u{2028}",
            "\"quoted\" \\",
            "\u{85}",
            "x=y z=1",
            "",
        ] {
            let (text, json) = both(value);
            assert_eq!(text.matches('\n').count(), 1, "{text}");
            assert!(text.trim_end().chars().all(|c| !c.is_control() && !misleads(c)), "{text}");
            assert_eq!(json["why"], *value, "and nothing is lost");
        }
    }

    #[test]
    fn a_value_has_a_bound() {
        let (text, json) = both(&"€".repeat(100_000));
        assert!(text.len() < VALUE_BYTES + 200, "{}", text.len());
        assert!(json["why"].as_str().unwrap().ends_with("€…"));
        let mut bounded = BoundedText(String::new());
        assert!(write!(bounded, "{}{}", "x".repeat(VALUE_BYTES), "y".repeat(9)).is_err());
    }
}
