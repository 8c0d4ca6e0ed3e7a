//! `linkr link explain`: what one edge would answer, and why, asked of its admin listener.

use crate::args::{Explain, Output, named};
use crate::fault::CommandFault;
use crate::{admin, out};
use exposition::escaped;
use serde_json::Value;
use std::fmt::Write as _;

/// What is shown to people, in this order.
const SHOWN: [&str; 12] = [
    "outcome",
    "by",
    "domain",
    "code",
    "tier",
    "fresh",
    "blind",
    "staleness_ms",
    "class",
    "version",
    "as_of",
    "revision",
];

/// Runs it.
pub fn explain(args: &Explain) -> Result<(), CommandFault> {
    let edge = &args.edge;
    let (own, path) = parts(&args.code)?;
    let path = escaped(&format!("/{path}"));
    let host = args.domain.as_deref().or(own.as_deref()).filter(|domain| *domain != "-");
    let host = host.map_or_else(String::new, |host| format!("&host={}", escaped(host)));
    let target = format!("/debug/explain?path={path}{host}");
    let (status, body) = admin::get(edge, &target).map_err(|fault| {
        CommandFault::new(format_args!(
            "{edge} cannot be asked ({fault}): --edge names the admin listener of an edge"
        ))
    })?;
    match status {
        200 => show(&body, args.output),
        404 => Err(CommandFault::new(format_args!(
            "{edge} explains nothing: is it the admin listener of an edge, and of no older linkr?"
        ))),
        _ => Err(CommandFault::new(body.trim())),
    }
}

/// The host of an address, and what stands behind that, with its query.
fn parts(given: &str) -> Result<(Option<String>, &str), CommandFault> {
    let Some((_, rest)) = given.split_once("://") else {
        return Ok((None, given.trim_start_matches('/')));
    };
    let link = named(given).map_err(|why| CommandFault::new(format_args!("{given} {why}")))?;
    let path = rest.split_once('/').map_or("", |(_, path)| path);
    Ok((link.host, path.split('#').next().unwrap_or_default()))
}

fn show(body: &str, output: Output) -> Result<(), CommandFault> {
    if output == Output::Json {
        return out::line(body.trim_end());
    }
    let answer: Value = serde_json::from_str(body)
        .map_err(|fault| CommandFault::new(format_args!("the edge's answer cannot be read: {fault}")))?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_the_host() {
        let told = |given| parts(given).unwrap();
        assert_eq!(told("/a/b?x"), (None, "a/b?x"));
        assert_eq!(told("https://Go.example:1/a?x#y"), (Some("go.example".to_owned()), "a?x"));
        assert!(parts("https://go.example/").is_err());
    }
}
