//! Placeholders in the targets of a domain: `{path}` and `{query}` stand for what the visitor asked for.
//!
//! They count behind the host alone, so no visitor chooses where he is led to: only what is asked for there.

use crate::{MAX_TARGET, Target};
use std::fmt;

const PATH: &[u8] = b"{path}";
const QUERY: &[u8] = b"{query}";

/// What a visitor asked for, as it stood in his request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Visit<'a> {
    /// The path without its leading slash.
    pub path: &'a [u8],
    /// The query without its `?`.
    pub query: Option<&'a [u8]>,
}

/// Why a target with placeholders is none. Always the fault of whoever gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlaceholderFault {
    /// A placeholder stands in front of the end of the host.
    InHost,
    /// `{query}` stands in no query.
    QueryOutside,
}

/// Where in a URL a placeholder stands: that says what has to be escaped there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum UrlPart {
    Path,
    Query,
    Fragment,
}

/// Whether the target has placeholders, all of them where they may be.
///
/// # Errors
/// The first that is elsewhere.
pub fn placeholders(target: &Target) -> Result<bool, PlaceholderFault> {
    let (front, mut rest) = split(target.as_bytes());
    if has(front, PATH) || has(front, QUERY) {
        return Err(PlaceholderFault::InHost);
    }
    let (mut part, mut found) = (UrlPart::Path, false);
    while let Some((&byte, behind)) = rest.split_first() {
        if rest.starts_with(QUERY) && part != UrlPart::Query {
            return Err(PlaceholderFault::QueryOutside);
        }
        found |= rest.starts_with(PATH) || rest.starts_with(QUERY);
        (part, rest) = (part.behind(byte), behind);
    }
    Ok(found)
}

/// Appends the target with what the visitor asked for in the place of its placeholders. If that is longer than a target
/// may be, they stand for nothing: a visitor is led to a shorter address rather than to none.
pub fn fill(target: &[u8], visit: Visit<'_>, out: &mut Vec<u8>) {
    let start = out.len();
    if !write(target, visit, out) {
        out.truncate(start);
        write(target, Visit::default(), out);
    }
}

/// Whether it fits.
fn write(target: &[u8], visit: Visit<'_>, out: &mut Vec<u8>) -> bool {
    let start = out.len();
    let (front, mut rest) = split(target);
    out.extend_from_slice(front);
    let mut part = UrlPart::Path;
    while let Some((&byte, behind)) = rest.split_first() {
        if let Some(behind) = rest.strip_prefix(PATH) {
            visit.path.iter().for_each(|&byte| put(byte, part.keeps(byte), out));
            rest = behind;
        } else if part == UrlPart::Query
            && let Some(behind) = rest.strip_prefix(QUERY)
        {
            let query = visit.query.unwrap_or_default();
            query.iter().for_each(|&byte| put(byte, byte.is_ascii_graphic(), out));
            // Without a query there is nothing for a separator to stand in front of.
            if query.is_empty()
                && matches!(behind, [] | [b'#', ..])
                && matches!(out.last(), Some(b'?' | b'&'))
            {
                out.pop();
            }
            rest = behind;
        } else {
            out.push(byte);
            (part, rest) = (part.behind(byte), behind);
        }
        if out.len() - start > MAX_TARGET {
            return false;
        }
    }
    true
}

impl UrlPart {
    /// Where what comes behind this byte stands.
    fn behind(self, byte: u8) -> Self {
        match (self, byte) {
            (_, b'#') | (Self::Fragment, _) => Self::Fragment,
            (_, b'?') | (Self::Query, _) => Self::Query,
            (Self::Path, _) => Self::Path,
        }
    }

    /// Whether this byte of a path means the same here as it did there (RFC 3986, section 3.3). In a query it must not
    /// end the value that it is a part of. `%` begins what is escaped already: no other is in a request.
    fn keeps(self, byte: u8) -> bool {
        byte.is_ascii_alphanumeric()
            || b"-._~%/:@!$'()*,".contains(&byte)
            || self == Self::Path && b"&+;=".contains(&byte)
    }
}

fn put(byte: u8, as_it_is: bool, out: &mut Vec<u8>) {
    if as_it_is {
        out.push(byte);
    } else {
        out.extend_from_slice(format!("%{byte:02X}").as_bytes());
    }
}

/// Splits behind the host. A target without one is in front as a whole.
fn split(target: &[u8]) -> (&[u8], &[u8]) {
    let Some(scheme) = target.windows(3).position(|bytes| bytes == b"://") else { return (target, b"") };
    let host = scheme + 3;
    let end = target[host..].iter().position(|byte| b"/?#".contains(byte));
    target.split_at(end.map_or(target.len(), |end| host + end))
}

fn has(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

impl fmt::Display for PlaceholderFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InHost => {
                write!(
                    f,
                    "has a placeholder in front of the end of its host: a visitor would choose where to lead"
                )
            }
            Self::QueryOutside => write!(f, "has {{query}} elsewhere than behind its '?'"),
        }
    }
}

impl std::error::Error for PlaceholderFault {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn filled(target: &str, path: &[u8], query: Option<&str>) -> String {
        let mut out = b"Location: ".to_vec();
        fill(target.as_bytes(), Visit { path, query: query.map(str::as_bytes) }, &mut out);
        String::from_utf8(out.split_off(10)).unwrap()
    }

    #[test]
    fn placeholders_stand_for_what_was_asked_for() {
        for (target, path, query, want) in [
            ("https://a.example/", "x", Some("q=1"), "https://a.example/"),
            ("https://a.example/{path}", "x/y", None, "https://a.example/x/y"),
            ("https://a.example/{path}?{query}", "x", Some("q=1&r"), "https://a.example/x?q=1&r"),
            ("https://a.example/{path}?{query}", "x", None, "https://a.example/x"),
            ("https://a.example/?a=1&{query}#f", "x", None, "https://a.example/?a=1#f"),
            ("https://a.example/?{query}&a=1", "x", Some("b=2"), "https://a.example/?b=2&a=1"),
            (
                "https://a.example/?from={path}",
                "a&b=c+d;e",
                None,
                "https://a.example/?from=a%26b%3Dc%2Bd%3Be",
            ),
            ("https://a.example/{path}", "a&b=c+d;e", None, "https://a.example/a&b=c+d;e"),
            ("https://a.example/?from={path}", "a%26b", None, "https://a.example/?from=a%26b"),
            (
                "https://a.example/{path}",
                "\u{e9}\"<>{}|\\^`",
                None,
                "https://a.example/%C3%A9%22%3C%3E%7B%7D%7C%5C%5E%60",
            ),
            ("https://a.example/#{path}", "x", None, "https://a.example/#x"),
            ("https://a.example/{path}", "/evil.example", None, "https://a.example//evil.example"),
            ("https://a.example?{query}", "x", Some("\u{e9}"), "https://a.example?%C3%A9"),
            ("https://a.example/?a={b}", "x", None, "https://a.example/?a={b}"),
        ] {
            assert_eq!(filled(target, path.as_bytes(), query), want, "{target} {path}");
        }
    }

    /// Only a store of before can hold such targets: they lead where they led.
    #[test]
    fn nothing_in_front_of_the_end_of_the_host_is_replaced() {
        for target in ["https://{path}.example/", "https://a.example{path}", "app:{path}", "https://{query}/"]
        {
            assert_eq!(filled(target, b"evil.example/", Some("x")), target);
            if let Ok(target) = Target::stored(target.as_bytes()) {
                assert_eq!(placeholders(&target), Err(PlaceholderFault::InHost));
            }
        }
        let of = |target: &str| placeholders(&Target::stored(target.as_bytes()).unwrap());
        assert_eq!(of("https://a.example/{query}?x"), Err(PlaceholderFault::QueryOutside));
        assert_eq!(of("https://a.example/?x#{query}"), Err(PlaceholderFault::QueryOutside));
        assert_eq!(of("https://a.example/?x={query}"), Ok(true));
        assert_eq!(of("https://a.example/{path}"), Ok(true));
        assert_eq!(of("https://a.example/{pathx}?{quer}"), Ok(false));
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        let target = "https://a.example/{path}?{query}";
        let most = MAX_TARGET - "https://a.example/?q".len();
        let path = vec![b'x'; most];
        assert_eq!(filled(target, &path, Some("q")).len(), MAX_TARGET);
        assert_eq!(filled(target, &path, Some("qq")), "https://a.example/");
        let many = format!("https://a.example/{}", "{path}".repeat(170));
        assert_eq!(filled(&many, &[0xff; 8_000], None), "https://a.example/");
    }

    proptest! {
        #[test]
        fn the_host_stays_and_what_is_written_can_be_a_location(
            path in prop::collection::vec(0x21u8..=0xff, 0..40), query in prop::collection::vec(0x21u8..=0xff, 0..40),
            target in "https://a\\.example(/[a-z{}?#&=]{0,4}(\\{path\\}|\\{query\\}|[a-z/?#&]){0,6})?",
        ) {
            let mut out = Vec::new();
            fill(target.as_bytes(), Visit { path: &path, query: Some(&query) }, &mut out);
            prop_assert!(out.starts_with(b"https://a.example"));
            prop_assert!(out[17..].first().is_none_or(|byte| b"/?#".contains(byte)));
            prop_assert!(out.iter().all(u8::is_ascii_graphic) && out.len() <= MAX_TARGET);
        }
    }
}
