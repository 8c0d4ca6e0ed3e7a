//! Links on stdout: aligned lines for people, the REST API's JSON for machines.

use super::fields::{FIELDS, OUTPUT_ONLY, cell};
use crate::args::Output;
use crate::fault::CommandFault;
use crate::out::{self, plain};
use proto::v1::{CheckCodeResponse, Link, LinkVersion, ListLinkHistoryResponse, Propagation, QrCode};
use serde_json::{Value, json};
use std::path::Path;

/// One link.
pub fn link(link: &Link, output: Output) -> Result<(), CommandFault> {
    match output {
        Output::Json => out::json(&proto::json::value(link)),
        Output::Url if link.short_url.is_empty() => Err(CommandFault::new(format_args!(
            "{} is there, and this linkr does not know under which address people find links of the default domain: start \
             the server with --base-url, such as --base-url https://go.example",
            link.name
        ))),
        Output::Url => out::line(&plain(&link.short_url)),
        Output::Text => {
            let shown =
                FIELDS.iter().chain(&OUTPUT_ONLY).filter(|field| !matches!(**field, "name" | "revision"));
            let lines = shown.map(|field| (field, cell(link, field))).filter(|(_, value)| !value.is_empty());
            let lines = lines.map(|(field, value)| format!("{field:<12} {}\n", plain(&value)));
            out::text(&lines.collect::<String>())
        }
    }
}

/// A link as a write made it. Who has the write already, if that was asked for, stands below it.
///
/// # Errors
/// Exit status 3 when an edge may still answer as before.
pub fn written(written: &Link, output: Output) -> Result<(), CommandFault> {
    link(written, output)?;
    propagation(written.propagation.as_ref(), output)
}

/// Who has a write already, if that was asked for.
///
/// # Errors
/// Exit status 3 when an edge may still answer as before.
pub fn propagation(told: Option<&Propagation>, output: Output) -> Result<(), CommandFault> {
    let Some(told) = told else { return Ok(()) };
    if output == Output::Text {
        let by = told
            .applied_by
            .iter()
            .map(|by| format!("{:<12} {}, after {} ms\n", "applied_by", plain(&by.edge), by.after_ms));
        let blind = told.blind.iter().map(|blind| {
            let seen = blind.last_seen.map_or_else(String::new, |at| format!(", last seen {at}"));
            format!("{:<12} {}{seen}\n", "blind", plain(&blind.edge))
        });
        out::text(&by.chain(blind).collect::<String>())?;
    }
    match told.blind.len() {
        0 => Ok(()),
        1 => Err(CommandFault::partial(
            "it is written, but an edge is blind and may answer as before until it is back",
        )),
        n => Err(CommandFault::partial(format_args!(
            "it is written, but {n} edges are blind and may answer as before until they are back"
        ))),
    }
}

/// What a code is, and which others are free if it is not.
pub fn code(told: &CheckCodeResponse, output: Output) -> Result<(), CommandFault> {
    let value = proto::json::value(told);
    match output {
        Output::Json => out::json(&value),
        Output::Text | Output::Url => {
            let state = value["state"].as_str().unwrap_or("?");
            let others = told.suggestions.iter().map(|code| format!("  {code}\n"));
            let others = others.collect::<String>();
            let free = if others.is_empty() { "" } else { "these are free:\n" };
            out::text(&format!("{} is {state}\n{free}{others}", told.code))
        }
    }
}

/// A page of links, or all of them.
pub fn links(links: &[Link], next: &str, output: Output) -> Result<(), CommandFault> {
    match output {
        Output::Json => {
            let links: Vec<Value> = links.iter().map(proto::json::value).collect();
            out::json(&json!({ "links": links, "next_page_token": next }))
        }
        Output::Text | Output::Url => {
            let width = links.iter().map(|link| link.code.chars().count()).max().unwrap_or(0).min(40);
            let lines = links.iter().map(|link| {
                let state = match link {
                    Link { delete_time: Some(_), .. } => "  (deleted)",
                    Link { disabled: true, .. } => "  (disabled)",
                    _ => "",
                };
                format!("{:<width$}  {}{state}\n", link.code, plain(&link.target))
            });
            out::text(&lines.collect::<String>())?;
            if !next.is_empty() {
                out::note(&format!("there are more: add --all, or --page-token {next}"));
            }
            Ok(())
        }
    }
}

/// A page of what a link was.
pub fn history(page: &ListLinkHistoryResponse, output: Output) -> Result<(), CommandFault> {
    let next = &page.next_page_token;
    let text = |time: Option<prost_types::Timestamp>| time.map(|time| time.to_string()).unwrap_or_default();
    if output == Output::Json {
        return out::json(&proto::json::value(page));
    }
    let line = |version: &LinkVersion| {
        let link = version.link.clone().unwrap_or_default();
        let state = if link.delete_time.is_some() { "  (deleted)" } else { "" };
        let unknown = |text: &str| if text.is_empty() { "-".to_owned() } else { plain(text) };
        format!(
            "{:<24}  {:<16}  {:<12}  {}  {}{state}\n",
            text(version.time),
            unknown(&version.method),
            unknown(&version.principal),
            link.revision,
            plain(&link.target)
        )
    };
    out::text(&page.versions.iter().map(line).collect::<String>())?;
    if !next.is_empty() {
        out::note(&format!("there are more: add --page-token {next}"));
    }
    Ok(())
}

/// A QR code: two lines of modules in one of text, light ones drawn. A terminal that is light shows it the other way round,
/// which cameras read, too.
pub fn qr(code: &QrCode, svg: Option<&Path>, output: Output) -> Result<(), CommandFault> {
    if let Some(file) = svg {
        return std::fs::write(file, &code.svg)
            .map_err(|fault| CommandFault::new(format_args!("cannot write {}: {fault}", file.display())));
    }
    match output {
        Output::Json => out::json(&proto::json::value(code)),
        Output::Url => out::line(&code.text),
        Output::Text => out::text(&format!("{}{}\n", blocks(&code.rows), code.text)),
    }
}

/// Light modules around it, so that a camera finds it.
const MARGIN: usize = 2;

fn blocks(rows: &[String]) -> String {
    let width = rows.len();
    let light = |x: usize, y: usize| {
        let at = |place: usize| place.checked_sub(MARGIN).filter(|place| *place < width);
        let dark = at(y).zip(at(x)).is_some_and(|(y, x)| rows[y].as_bytes().get(x) == Some(&b'1'));
        !dark && y < width + 2 * MARGIN
    };
    let mut text = String::new();
    for y in (0..width + 2 * MARGIN).step_by(2) {
        for x in 0..width + 2 * MARGIN {
            text.push(match (light(x, y), light(x, y + 1)) {
                (true, true) => '\u{2588}',
                (true, false) => '\u{2580}',
                (false, true) => '\u{2584}',
                (false, false) => ' ',
            });
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_show_what_is_light() {
        let shown = blocks(&["10".to_owned(), "01".to_owned()]);
        assert_eq!(shown, "██████\n██▄▀██\n██████\n");
    }
}
