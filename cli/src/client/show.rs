//! Links on stdout: aligned lines for people, the REST API's JSON for machines.

use super::fields::{FIELDS, OUTPUT_ONLY, cell, object};
use crate::args::Output;
use crate::fault::Fault;
use crate::out;
use proto::v1::Link;
use serde_json::{Map, Value, json};

/// One link.
pub fn link(link: &Link, output: Output) -> Result<(), Fault> {
    match output {
        Output::Json => out::line(&Value::Object(everything(link)).to_string()),
        Output::Text => {
            let shown =
                FIELDS.iter().chain(&OUTPUT_ONLY).filter(|field| !matches!(**field, "name" | "revision"));
            let lines = shown.map(|field| (field, cell(link, field))).filter(|(_, value)| !value.is_empty());
            let lines = lines.map(|(field, value)| format!("{field:<12} {}\n", one_line(&value)));
            out::write(lines.collect::<String>().as_bytes())
        }
    }
}

/// A page of links, or all of them.
pub fn links(links: &[Link], next: &str, output: Output) -> Result<(), Fault> {
    match output {
        Output::Json => {
            let links: Vec<Value> = links.iter().map(|link| Value::Object(everything(link))).collect();
            out::line(&json!({ "links": links, "next_page_token": next }).to_string())
        }
        Output::Text => {
            let width = links.iter().map(|link| link.code.len()).max().unwrap_or(0).min(40);
            let lines = links.iter().map(|link| {
                let state = match link {
                    Link { delete_time: Some(_), .. } => "  (deleted)",
                    Link { disabled: true, .. } => "  (disabled)",
                    _ => "",
                };
                format!("{:<width$}  {}{state}\n", link.code, one_line(&link.target))
            });
            out::write(lines.collect::<String>().as_bytes())?;
            if !next.is_empty() {
                out::note(&format!("there are more: add --all, or --page-token {next}"));
            }
            Ok(())
        }
    }
}

/// As the REST API answers: texts and flags stand there even when they are empty.
fn everything(link: &Link) -> Map<String, Value> {
    let mut fields = object(link, FIELDS.into_iter().chain(OUTPUT_ONLY));
    for (field, empty) in [
        ("query", json!("drop")),
        ("disabled", json!(false)),
        ("title", json!("")),
        ("tags", json!([])),
        ("note", json!("")),
    ] {
        fields.entry(field).or_insert(empty);
    }
    fields
}

/// A terminal is told no more than text: what people typed into a field may hold anything.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
