//! `linkr export`: every link in the order of their codes. The same links give the same bytes, and an import takes them.

use super::fields::{FIELDS, cell, object};
use super::{connect, parent, refused};
use crate::args::{Export, Format};
use crate::fault::Fault;
use crate::out;
use proto::v1::{ExportLinksRequest, Link};
use std::ffi::OsString;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// Runs it. A file appears only when it is whole.
pub async fn export(args: Export) -> Result<(), Fault> {
    let format = args.format.or_else(|| args.file.as_deref().and_then(Format::of)).unwrap_or(Format::Csv);
    let request = ExportLinksRequest { parent: parent(&args.server.domain), show_deleted: args.show_deleted };
    let mut client = connect(&args.server).await?;
    let mut parts = client.export_links(request).await.map_err(|s| refused(&s))?.into_inner();
    let (mut sink, place) = open(args.file.as_deref())?;
    let to_sink = |fault: std::io::Error| out::from_io(&place, &fault);
    let fields: Vec<&str> = FIELDS.into_iter().chain(args.show_deleted.then_some("delete_time")).collect();
    if format == Format::Csv {
        sink.write_all(&csv_line(fields.iter().map(|&field| field.to_owned()))).map_err(to_sink)?;
    }
    while let Some(part) = parts.message().await.map_err(|s| refused(&s))? {
        for link in part.links {
            sink.write_all(&bytes(&link, format, &fields)).map_err(to_sink)?;
        }
    }
    sink.flush().map_err(to_sink)?;
    match args.file {
        Some(file) => std::fs::rename(partial(&file), file).map_err(to_sink),
        None => Ok(()),
    }
}

fn open(file: Option<&Path>) -> Result<(Box<dyn Write>, String), Fault> {
    let Some(file) = file else {
        return Ok((Box::new(BufWriter::new(std::io::stdout())), "standard output".to_owned()));
    };
    let place = file.display().to_string();
    let sink = File::create(partial(file)).map_err(|fault| out::from_io(&place, &fault))?;
    Ok((Box::new(BufWriter::new(sink)), place))
}

fn partial(file: &Path) -> PathBuf {
    let mut name = OsString::from(file);
    name.push(".partial");
    name.into()
}

fn bytes(link: &Link, format: Format, fields: &[&str]) -> Vec<u8> {
    match format {
        Format::Csv => csv_line(fields.iter().map(|field| cell(link, field))),
        Format::Jsonl => {
            let object = object(link, fields.iter().copied());
            format!("{}\n", serde_json::Value::Object(object)).into_bytes()
        }
    }
}

/// One record by RFC 4180, but for the line end, which is LF.
pub fn csv_line(cells: impl Iterator<Item = String>) -> Vec<u8> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let written = writer.write_record(cells.map(String::into_bytes));
    debug_assert!(written.is_ok(), "memory takes every record");
    writer.into_inner().unwrap_or_default()
}

impl Format {
    /// By the ending of a file's name.
    pub fn of(file: &Path) -> Option<Self> {
        match file.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "csv" => Some(Self::Csv),
            "jsonl" | "ndjson" => Some(Self::Jsonl),
            _ => None,
        }
    }
}
