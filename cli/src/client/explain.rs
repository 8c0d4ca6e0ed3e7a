//! `linkr link explain`: what one edge would answer, and why, asked of its admin listener.

use crate::args::{Explain, Output};
use crate::fault::Fault;
use crate::{admin, out};
use serde_json::Value;
use std::fmt::Write as _;

/// What is shown to people, in this order.
const SHOWN: [&str; 9] =
    ["outcome", "tier", "fresh", "blind", "staleness_ms", "class", "version", "as_of", "revision"];

/// Runs it.
pub fn explain(args: &Explain) -> Result<(), Fault> {
    let edge = &args.edge;
    let path = escaped(&format!("/{}", args.code.trim_start_matches('/')));
    let host = args.domain.as_deref().filter(|domain| *domain != "-");
    let host = host.map_or_else(String::new, |host| format!("&host={}", escaped(host)));
    let target = format!("/debug/explain?path={path}{host}");
    let (status, body) = admin::get(edge, &target).map_err(|fault| {
        Fault::new(format_args!(
            "{edge} cannot be asked ({fault}): --edge names the admin listener of an edge"
        ))
    })?;
    match status {
        200 => show(&body, args.output),
        404 => Err(Fault::new(format_args!(
            "{edge} explains nothing: is it the admin listener of an edge, and of no older linkr?"
        ))),
        _ => Err(Fault::new(body.trim())),
    }
}

fn show(body: &str, output: Output) -> Result<(), Fault> {
    if output == Output::Json {
        return out::line(body.trim_end());
    }
    let answer: Value = serde_json::from_str(body)
        .map_err(|fault| Fault::new(format_args!("the edge's answer cannot be read: {fault}")))?;
    let mut text = String::new();
    for field in SHOWN {
        let value = match &answer[field] {
            Value::Null => continue,
            Value::String(text) => text.clone(),
            value => value.to_string(),
        };
        let _ = writeln!(text, "{field:<12} {}", out::plain(&value));
    }
    let response = answer["response"].as_str().unwrap_or_default();
    let _ = writeln!(text, "\n{}", response.replace("\r\n", "\n").trim_end());
    out::text(&text)
}

/// As it stands in the query of a URL.
fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    text.bytes().fold(String::new(), |mut out, byte| {
        let _ = match plain(byte) {
            true => write!(out, "{}", char::from(byte)),
            false => write!(out, "%{byte:02X}"),
        };
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_code_is_taken_for_the_url() {
        assert_eq!(escaped("/a-b/c_d.~"), "/a-b/c_d.~");
        assert_eq!(escaped("/a?b=c&d#e f+%\u{e9}"), "/a%3Fb%3Dc%26d%23e%20f%2B%25%C3%A9");
    }
}
