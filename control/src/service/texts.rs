//! Codes and domains as people write and paste them: taken where what is meant is clear, and named where it is not.

use crate::Fault;
use link::{Code, Domain, misleads};

/// A code without the slash that stands before it in a path.
pub fn bare(text: &str) -> &str {
    text.strip_prefix('/').filter(|rest| !rest.is_empty()).unwrap_or(text)
}

/// A code that stands in `field`.
pub fn code(text: &str, field: &'static str) -> Result<Code, Fault> {
    let given = bare(text);
    Code::new(given).map_err(|fault| match (unseen(given), given.split_once("://")) {
        (Some(why), _) => Fault::invalid(field, why),
        (None, Some((_, rest))) => Fault::invalid(field, in_url(rest)),
        (None, None) => Fault::invalid(field, fault),
    })
}

/// A domain that stands in `field`.
pub fn domain(text: &str, field: &'static str) -> Result<Domain, Fault> {
    Domain::given(text).map_err(|fault| match (unseen(text), text.split_once("://")) {
        (Some(why), _) => Fault::invalid(field, why),
        (None, Some((_, rest))) => {
            let host = rest.split(['/', '?', '#', ':']).next().unwrap_or_default();
            Fault::invalid(field, format!("is a URL: give the host alone, here {host}"))
        }
        (None, None) if has_port(text) => {
            Fault::invalid(field, "has a port, which no domain has: give the host alone")
        }
        (None, None) => Fault::invalid(field, fault),
    })
}

/// What is wrong with a text that holds something which nobody sees.
fn unseen(text: &str) -> Option<String> {
    let unseen = |c: &char| misleads(*c) || (c.is_whitespace() && !c.is_ascii());
    let found = text.chars().find(unseen)?;
    let code = u32::from(found);
    Some(format!("holds a character that nobody sees, U+{code:04X}: leave it out"))
}

/// What is wrong with a code that is the rest of a URL.
fn in_url(rest: &str) -> String {
    let path = rest.split_once('/').map_or("", |(_, path)| path);
    match path.split(['?', '#']).next().unwrap_or_default() {
        "" => "is a whole URL without a code in it: give the code alone".to_owned(),
        code => format!("is a whole URL: give the code alone, here {code}"),
    }
}

fn has_port(text: &str) -> bool {
    let port = text.rsplit_once(':').map_or("", |(_, port)| port);
    !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Found by users: what a browser or an editor shows of a link was refused for a byte that they did not see.
    #[test]
    fn what_people_paste_is_taken_or_named() {
        assert_eq!(code("/promo/a", "code").unwrap().as_str(), "promo/a");
        for (text, said) in [
            ("/", "empty"),
            ("//a", "empty"),
            ("\u{200b}promo", "U+200B"),
            ("promo\u{a0}", "U+00A0"),
            ("https://go.example/promo?x", "here promo"),
            ("https://go.example", "without a code"),
        ] {
            let why = code(text, "code").unwrap_err().to_string();
            assert!(why.starts_with("code ") && why.contains(said), "{text}: {why}");
        }
        for (text, said) in [
            ("https://go.example/x", "here go.example"),
            ("go.example:8080", "port"),
            ("a b", "host name"),
            ("go.example\u{a0}", "U+00A0"),
        ] {
            let why = domain(text, "domain").unwrap_err().to_string();
            assert!(why.contains(said), "{text}: {why}");
        }
    }
}
