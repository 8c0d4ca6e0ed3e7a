//! Single clicks: as they happen on standard output, and those that are kept into a file.

use super::super::export::{Sink, csv_line};
use super::super::fields::guarded;
use super::super::{channel, refused};
use super::{ClickScope, Client};
use crate::args::{Api, ClickOutput, Format};
use crate::fault::CommandFault;
use crate::out::{self, plain};
use proto::v1::clicks_client::ClicksClient;
use proto::v1::{ClickEvent, ExportClicksRequest, WatchClicksRequest};
use std::path::Path;
use tonic::Code;

/// Bytes of one answer: exports come in large parts.
const MAX_ANSWER: usize = 64 << 20;

async fn connect(api: &Api) -> Result<Client, CommandFault> {
    Ok(ClicksClient::new(channel(api).await?).max_decoding_message_size(MAX_ANSWER))
}

/// Shows clicks until the server or the reader goes away.
///
/// # Errors
/// Always in the end.
pub async fn watch(
    api: &Api,
    scope: &ClickScope,
    kinds: Vec<String>,
    output: ClickOutput,
) -> Result<(), CommandFault> {
    let request = WatchClicksRequest { parent: scope.parent(), code: scope.code(), kinds };
    let mut client = connect(api).await?;
    let asked = client.watch_clicks(request).await.map_err(|status| refused(&status, api))?;
    let mut messages = asked.into_inner();
    if output == ClickOutput::Csv {
        out::write(&header())?;
    }
    loop {
        let message = messages.message().await.map_err(|status| refused(&status, api))?;
        let Some(message) = message else { return Err(CommandFault::new("the server stops: watch again")) };
        if message.gap {
            let missed = message.missed;
            out::note(&format!(
                "more clicks came than could be shown: {missed} of the domain before the next one are left out"
            ));
        }
        for click in &message.clicks {
            match output {
                ClickOutput::Json => out::json(&proto::json::value(click))?,
                ClickOutput::Csv => out::write(&row(click))?,
                ClickOutput::Text => out::text(&(line(click) + "\n"))?,
            }
        }
    }
}

/// Writes clicks to a file, which appears only when it is whole. What is cut off goes on behind the last click that came.
///
/// # Errors
/// The server refuses, it was cut off twice in one place, or the file cannot be written.
pub async fn export(
    api: &Api,
    mut request: ExportClicksRequest,
    file: &Path,
    output: ClickOutput,
) -> Result<(), CommandFault> {
    let is_json = output == ClickOutput::Json || Format::of(file) == Some(Format::Jsonl);
    let file = Some(file).filter(|file| *file != Path::new("-"));
    let mut client = connect(api).await?;
    let mut parts =
        client.export_clicks(request.clone()).await.map_err(|status| refused(&status, api))?.into_inner();
    let mut sink = Sink::open(file)?;
    let place = file.map_or("standard output".to_owned(), |file| file.display().to_string());
    let to_sink = |fault: std::io::Error| out::from_io(&place, &fault);
    if !is_json {
        sink.write_all(&header()).map_err(to_sink)?;
    }
    let mut began = String::new();
    loop {
        let part = match parts.message().await {
            Ok(Some(part)) => part,
            Ok(None) => break,
            Err(status) if is_cut(&status) && request.after != began => {
                began.clone_from(&request.after);
                let again = client.export_clicks(request.clone()).await;
                parts = again.map_err(|status| refused(&status, api))?.into_inner();
                continue;
            }
            Err(status) => return Err(refused(&status, api)),
        };
        for click in &part.clicks {
            let bytes =
                if is_json { format!("{}\n", proto::json::value(click)).into_bytes() } else { row(click) };
            sink.write_all(&bytes).map_err(to_sink)?;
        }
        if let Some(last) = part.clicks.last() {
            request.after.clone_from(&last.id);
        }
    }
    sink.finish().map_err(to_sink)
}

/// The connection ended, or the server.
fn is_cut(status: &tonic::Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Cancelled)
}

const FIELDS: [&str; 11] =
    ["id", "time", "code", "version", "kind", "country", "browser", "os", "device", "referrer", "language"];

fn header() -> Vec<u8> {
    csv_line(FIELDS.map(str::to_owned).into_iter())
}

fn row(click: &ClickEvent) -> Vec<u8> {
    let time = click.time.map_or_else(String::new, |time| time.to_string());
    let ClickEvent { id, code, version, kind, country, browser, os, device, referrer, language, .. } = click;
    let version = version.to_string();
    let cells = [id, &time, code, &version, kind, country, browser, os, device, referrer, language]
        .map(String::clone);
    csv_line(cells.into_iter().map(guarded))
}

fn line(click: &ClickEvent) -> String {
    let time = click.time.map_or_else(String::new, |time| time.to_string());
    let known = |text: &str| if text.is_empty() { "-".to_owned() } else { plain(text) };
    let on = [&click.browser, &click.os].map(|text| known(text)).join("/");
    format!(
        "{time:<24}  {:<8}  {:<20}  {:<2}  {on:<24}  {}",
        plain(&click.kind),
        plain(&click.code),
        known(&click.country),
        known(&click.referrer)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost_types::Timestamp;

    #[test]
    fn a_click_as_a_line_and_as_a_row() {
        let click = ClickEvent {
            id: "0a".into(),
            time: Some(Timestamp { seconds: 1, nanos: 0 }),
            code: "-promo".into(),
            version: 7,
            kind: "human".into(),
            browser: "Firefox".into(),
            os: "Windows 10".into(),
            referrer: "news.example".into(),
            ..ClickEvent::default()
        };
        let words: Vec<String> = line(&click).split("  ").map(str::trim).map(str::to_owned).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).filter(|word| !word.is_empty()).collect();
        assert_eq!(
            words,
            ["1970-01-01T00:00:01Z", "human", "-promo", "-", "Firefox/Windows 10", "news.example"]
        );
        let whole = [header(), row(&click)].concat();
        let mut reader = csv::Reader::from_reader(&whole[..]);
        let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
        let cells: Vec<&str> = rows[0].iter().collect();
        let want = [
            "0a",
            "1970-01-01T00:00:01Z",
            "'-promo",
            "7",
            "human",
            "",
            "Firefox",
            "Windows 10",
            "",
            "news.example",
            "",
        ];
        assert_eq!(cells, want);
    }
}
