//! How values of the API look on a page: times, links and what became of a write. No call is made here.

use crate::form::href;
use jiff::Timestamp;
use maud::{Markup, html};
use serde_json::Value;

/// The text of a member; empty where it is not there.
pub fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

/// The elements of a member.
pub fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().map_or(&[], Vec::as_slice)
}

/// Words of REST as a sentence: they have no full stop where no other follows.
pub fn sentence(text: &str) -> String {
    if text.ends_with(['.', '!', '?']) { text.to_owned() } else { format!("{text}.") }
}

/// A moment, in UTC; the script shows it in the visitor's zone.
pub fn time(text: &str) -> Markup {
    html! { @if text.is_empty() { "–" } @else { time datetime=(text) { (in_utc(text)) } } }
}

/// The same with the zone beside it, where it matters whose clock is meant.
pub fn moment(text: &str) -> Markup {
    html! { @if text.is_empty() { "–" } @else { time datetime=(text) data-zoned="" { (in_utc(text)) } } }
}

/// The same as plain text.
pub fn in_utc(text: &str) -> String {
    match text.parse::<Timestamp>() {
        Ok(time) => time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
        Err(_) => text.to_owned(),
    }
}

/// Whether a moment is past.
pub fn is_past(text: &str) -> bool {
    text.parse::<Timestamp>().is_ok_and(|time| time <= Timestamp::now())
}

/// Where the page of a link is.
pub fn link_href(page: &str, link: &Value) -> String {
    href(page, &[("domain", text(link, "domain")), ("code", text(link, "code"))])
}

/// The address that people ask for, or what stands behind the host if nobody has said what that is.
pub fn short_url(link: &Value) -> String {
    match text(link, "short_url") {
        "" => format!("/{}", text(link, "code")),
        url => url.to_owned(),
    }
}

/// A state in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkState {
    /// The word.
    pub word: &'static str,
    /// Whether visitors are redirected.
    pub good: bool,
}

/// What a link is to visitors now.
pub fn state(link: &Value) -> LinkState {
    let (word, good) = if !text(link, "delete_time").is_empty() {
        ("deleted", false)
    } else if !text(link, "blocked_by").is_empty() {
        ("blocked", false)
    } else if link["disabled"] == true {
        ("disabled", false)
    } else if !text(link, "not_before").is_empty() && !is_past(text(link, "not_before")) {
        ("not yet", false)
    } else if is_past(text(link, "expire_time")) {
        ("expired", false)
    } else {
        ("live", true)
    };
    LinkState { word, good }
}

/// The state as a mark.
pub fn state_mark(link: &Value) -> Markup {
    let LinkState { word, good } = state(link);
    html! { span class=(if good { "mark good" } else { "mark bad" }) { (word) } }
}

/// A button that copies a text; without script there is none.
pub fn copy(text: &str, what: &str) -> Markup {
    html! { button type="button" class="quiet copy" hidden data-copy=(text) aria-label={ "Copy " (what) } { "Copy" } }
}

/// Edges that are named in the receipt of a write: of more it only says how many.
const NAMED: usize = 6;

/// Who has a write already, in a sentence; empty where that was not asked.
pub fn propagation(answer: &Value) -> String {
    let propagation = &answer["propagation"];
    if propagation.is_null() {
        return String::new();
    }
    let (has, blind) = (list(propagation, "applied_by"), list(propagation, "blind"));
    let slowest = has.iter().filter_map(|edge| edge["after_ms"].as_u64()).max().unwrap_or(0);
    let mut said = match (has.len(), blind.len()) {
        (0, 0) => return " No edge follows this control now.".to_owned(),
        (0, _) => String::new(),
        (1, 0) => format!(" The only edge has it, after {slowest} ms."),
        (all, 0) => {
            let names: Vec<&str> = has.iter().map(|edge| text(edge, "edge")).collect();
            let named = if all <= NAMED { format!(" ({})", names.join(", ")) } else { String::new() };
            format!(" All {all} edges{named} have it, the last after {slowest} ms.")
        }
        (some, _) => format!(" {some} of {} edges have it.", some + blind.len()),
    };
    for edge in blind {
        let seen = in_utc(text(edge, "last_seen"));
        said.push_str(&format!(" Edge {} may not have it: it was last heard at {seen}.", text(edge, "edge")));
    }
    said
}

/// So many links.
pub fn links(count: u64) -> String {
    format!("{} {}", number(count), if count == 1 { "link" } else { "links" })
}

/// A number with its thousands apart.
pub fn number(value: u64) -> String {
    let digits = value.to_string();
    let parts: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|part| std::str::from_utf8(part).ok()).collect();
    parts.join(",")
}

/// A time as people read it, of nanoseconds.
pub fn took(ns: u64) -> String {
    match ns {
        0..1_000 => format!("{ns} ns"),
        1_000..1_000_000 => format!("{} µs", ns / 1_000),
        1_000_000..1_000_000_000 => format!("{}.{} ms", ns / 1_000_000, ns % 1_000_000 / 100_000),
        _ => format!("{}.{} s", ns / 1_000_000_000, ns % 1_000_000_000 / 100_000_000),
    }
}

/// How long something has been there.
pub fn lasted(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", number(seconds / 86_400)),
    }
}

/// So much memory.
pub fn bytes(bytes: u64) -> String {
    let units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let at = (bytes.max(1).ilog2() / 10).min(4);
    let one = 1_u64 << (10 * at);
    match at {
        0 => format!("{bytes} bytes"),
        at => format!("{}.{} {}", number(bytes / one), (bytes % one) * 10 / one, units[at as usize]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_link_is_in_one_state() {
        for (link, word) in [
            (json!({}), "live"),
            (json!({ "disabled": true, "delete_time": "2020-01-01T00:00:00Z" }), "deleted"),
            (json!({ "disabled": true, "blocked_by": "evil.example" }), "blocked"),
            (json!({ "disabled": true }), "disabled"),
            (json!({ "not_before": "9999-01-01T00:00:00Z" }), "not yet"),
            (json!({ "not_before": "2020-01-01T00:00:00Z" }), "live"),
            (json!({ "expire_time": "2020-01-01T00:00:00Z" }), "expired"),
            (json!({ "expire_time": "9999-01-01T00:00:00Z" }), "live"),
        ] {
            assert_eq!(state(&link).word, word, "{link}");
        }
    }

    #[test]
    fn who_has_a_write_is_said_in_words() {
        let of = |has: Value, blind: Value| {
            propagation(&json!({ "propagation": { "applied_by": has, "blind": blind } }))
        };
        assert_eq!(propagation(&json!({})), "");
        assert_eq!(
            of(json!([{ "edge": "a", "after_ms": 7 }]), json!([])),
            " The only edge has it, after 7 ms."
        );
        let partial = of(
            json!([{ "edge": "a", "after_ms": 7 }]),
            json!([{ "edge": "b", "last_seen": "2026-01-02T03:04:05Z" }]),
        );
        assert_eq!(
            partial,
            " 1 of 2 edges have it. Edge b may not have it: it was last heard at 2026-01-02 03:04:05 UTC."
        );
    }

    #[test]
    fn numbers_and_times_are_shown_for_people() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(number), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(in_utc("2026-01-02T03:04:05.678Z"), "2026-01-02 03:04:05 UTC");
        assert_eq!(in_utc("x"), "x");
        assert_eq!(
            [999, 21_000, 1_250_000, 12_345_678_901].map(took),
            ["999 ns", "21 µs", "1.2 ms", "12.3 s"]
        );
        assert_eq!([59, 3_599, 7_200, 172_800].map(lasted), ["59 s", "59 min", "2 h", "2 days"]);
        assert_eq!([0, 1_023, 1_536, 5 << 30].map(bytes), ["0 bytes", "1023 bytes", "1.5 KiB", "5.0 GiB"]);
        assert_eq!(bytes(u64::MAX), "16,777,215.9 TiB");
    }
}
