//! Escapes in paths and queries. What is not UTF-8 would be read as another text than was meant.

use axum::http::Uri;
use std::borrow::Cow;

const MALFORMED: &str = "holds a % that no two hexadecimal digits follow: a % itself is written %25";
const NOT_UTF8: &str =
    "holds an escape that is not UTF-8: give the bytes of its UTF-8 form, such as %C3%A9 for é";

/// Whether path and query are UTF-8, escaped byte by byte (RFC 3986, section 2.5).
///
/// # Errors
/// The parameter at fault (`None`: it is the path), and what is wrong, worded so that it follows its name.
pub fn in_utf8(uri: &Uri) -> Result<(), (Option<&str>, &'static str)> {
    unescaped(uri.path()).map_err(|why| (None, why))?;
    let pairs = uri.query().unwrap_or_default().split('&');
    pairs.into_iter().try_for_each(|pair| {
        let name = pair.split_once('=').map_or(pair, |(name, _)| name);
        unescaped(pair).map(drop).map_err(|why| (Some(name), why))
    })
}

/// A piece of a path or query without its escapes (RFC 3986, section 2.1).
///
/// # Errors
/// It is malformed, or not UTF-8, worded so that it follows the name of the piece.
pub fn unescaped(text: &str) -> Result<Cow<'_, str>, &'static str> {
    if !text.contains('%') {
        return Ok(text.into());
    }
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let digits = part.get(..2).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        bytes.push(digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()).ok_or(MALFORMED)?);
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).map(Cow::Owned).map_err(|_| NOT_UTF8)
}

/// A text as it stands in the path or in the query of a URL, whatever is in it: all but letters and digits of ASCII,
/// `- . _ ~` and `/` is percent-encoded. [`unescaped`] undoes it.
pub fn escaped(text: &str) -> String {
    let mut url = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            url.push(char::from(byte));
        } else {
            url.push_str(&format!("%{byte:02X}"));
        }
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_code_is_taken_for_the_url() {
        assert_eq!(escaped("/a-b/c_d.~"), "/a-b/c_d.~");
        assert_eq!(escaped("/a?b=c&d#e f+%\u{e9}:"), "/a%3Fb%3Dc%26d%23e%20f%2B%25%C3%A9%3A");
        assert_eq!(unescaped(&escaped("a?b=c&d#e f+%\u{e9}:")).unwrap(), "a?b=c&d#e f+%\u{e9}:");
    }

    #[test]
    fn what_is_not_utf8_is_refused_and_named() {
        let wrong = |target: &str| {
            in_utf8(&target.parse().unwrap()).map_err(|(name, why)| (name.map(str::to_owned), why)).err()
        };
        let at = |name: &str| Some(name.to_owned());
        for (target, expected) in [
            ("/a%C3%A9/%25?x=%e2%82%ac&y&=&&z=%2C", None),
            ("/é?é=é", None),
            ("/%ff", Some((None, NOT_UTF8))),
            ("/%C3/%A9", Some((None, NOT_UTF8))),
            ("/%C3x%A9", Some((None, NOT_UTF8))),
            ("/a?filter=%ff", Some((at("filter"), NOT_UTF8))),
            ("/a?b=c&filter=%C3&d=%A9", Some((at("filter"), NOT_UTF8))),
            ("/a?%ff=1", Some((at("%ff"), NOT_UTF8))),
            ("/a?%ed%a0%80", Some((at("%ed%a0%80"), NOT_UTF8))),
            ("/100%", Some((None, MALFORMED))),
            ("/a?b=%+1", Some((at("b"), MALFORMED))),
            ("/a?b=%1", Some((at("b"), MALFORMED))),
            ("/a?b=%1é", Some((at("b"), MALFORMED))),
            ("/a?b=%%41", Some((at("b"), MALFORMED))),
        ] {
            assert_eq!(wrong(target), expected, "{target}");
        }
    }
}
