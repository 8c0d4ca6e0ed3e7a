//! `linkr link explain`: what one edge would answer, and why, asked of its admin listener, or through control.

use super::call;
use super::place::place;
use crate::args::{Explain, Output, Server, named};
use crate::fault::CommandFault;
use crate::{admin, out};
use exposition::escaped;
use proto::client::KeyedChannel;
use proto::v1::{ExplainLinkRequest, edges_client::EdgesClient};
use serde_json::Value;
use std::fmt::Write as _;

/// What is shown to people, in this order.
const SHOWN: [&str; 13] = [
    "edge",
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
pub async fn explain(args: Explain) -> Result<(), CommandFault> {
    let Some(edge) = args.at.clone() else { return of_listener(&args) };
    let code = named(&args.code).map_err(|why| CommandFault::new(format_args!("{} {why}", args.code)))?;
    let server = Server { api: args.api, domain: args.domain.unwrap_or_else(|| "-".to_owned()) };
    let request = ExplainLinkRequest { name: place(code, &server).await?.name(), edge };
    let ask = async |edges: &mut EdgesClient<KeyedChannel>| edges.explain_link(request).await;
    let told = proto::json::value(&call(&server.api, EdgesClient::new, ask).await?);
    match server.api.output {
        Output::Json => out::json(&told),
        Output::Text | Output::Url => show(&told),
    }
}

fn of_listener(args: &Explain) -> Result<(), CommandFault> {
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
        200 if args.api.output == Output::Json => out::line(body.trim_end()),
        200 => {
            show(&serde_json::from_str(&body).map_err(|fault| {
                CommandFault::new(format_args!("the edge's answer cannot be read: {fault}"))
            })?)
        }
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

fn show(answer: &Value) -> Result<(), CommandFault> {
    let mut text = String::new();
    for field in SHOWN {
        let value = match &answer[field] {
            Value::Null => continue,
            Value::String(text) if text.is_empty() => continue,
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
