//! Files of links for the pages: the forms of `linkr import` and `linkr export`. What is made of the rows is not known here.

use super::export::{csv_head, csv_line, csv_row, fields, json_row};
use super::fields::{FIELDS, guarded, object};
use super::import::{MissingColumn, REJECT_COLUMNS, Row, Rows, json_link, separator};
use crate::args::{Format, ReadArgs, base, column};
use crate::fault::CommandFault;
use clap::ValueEnum;
use proto::v1::{Link, QueryPolicy};
use serde_json::Value;
use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;
use ui::{ExportForm, LinkFile, LinkFileForms, LinkFiles, LinkRow, LinkRows, RejectedRow, RowFault};

/// The reader and writer of files of links for the pages in a browser.
pub fn link_files() -> LinkFiles {
    LinkFiles(Arc::new(CommandForms))
}

struct CommandForms;

impl LinkFileForms for CommandForms {
    fn forms(&self) -> Vec<(String, String)> {
        let values = Format::value_variants().iter().filter_map(ValueEnum::to_possible_value);
        let word = |value: clap::builder::PossibleValue| {
            let help = value.get_help().map(ToString::to_string).unwrap_or_default();
            (value.get_name().to_owned(), format!("{}: {help}", value.get_name()))
        };
        values.map(word).collect()
    }

    fn read(&self, file: &LinkFile) -> Result<LinkRows, String> {
        let said = |fault: CommandFault| fault.message().to_owned();
        let format = match &*file.form {
            "" => Format::of(Path::new(&file.name))
                .or_else(|| looks_like(file))
                .ok_or("Choose the form of the rows: neither the name of a file nor their look says it"),
            name => Format::from_str(name, true).map_err(|_| "There is no such form"),
        }?;
        let columns = file.columns.split(',').map(str::trim).filter(|column| !column.is_empty());
        let columns: Result<Vec<(String, String)>, String> = columns.map(column).collect();
        let base = Some(file.base.as_str()).filter(|base| !base.is_empty()).map(base);
        let reading = ReadArgs {
            format: Some(format),
            columns: columns.map_err(|why| format!("the columns: {why}"))?,
            base: base.transpose().map_err(|why| format!("the host of targets: {why}"))?,
        };
        let name = if file.name.is_empty() { "what was given" } else { &file.name };
        let first = file.text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
        let (text, above) = match file.headless {
            true => (format!("code{}target\n{}", char::from(separator(first.as_bytes())), file.text), 1),
            false => (file.text.clone(), 0),
        };
        let missing = MissingColumn::of_line(first.as_bytes(), &reading.columns);
        if let Some(missing) =
            missing.filter(|_| format == Format::Csv && !file.headless && !first.starts_with("sep="))
        {
            return Err(no_header(&missing));
        }
        let source = Box::new(Cursor::new(text.into_bytes()));
        let mut rows = Rows::open(source, name, &file.domain, &reading, Ok(format)).map_err(said)?;
        let mut read = LinkRows {
            decided: rows.decided().unwrap_or_default().to_owned(),
            header: rows.header(),
            // Rejected lines of JSON are a table with one column.
            form_again: if format == Format::Jsonl { Format::Csv } else { format }.name(),
            rows: Vec::new(),
        };
        while let Some(Row { line, cells, link }) = rows.next().map_err(said)? {
            let fault = |(reason, message): (&str, String)| RowFault { reason: reason.to_owned(), message };
            read.rows.push(LinkRow {
                line: line.saturating_sub(above),
                cells,
                link: link.as_ref().map(created).map_err(|why| fault(why.clone())),
            });
        }
        Ok(read)
    }

    fn rejected(&self, rows: &LinkRows, rejected: &[RejectedRow]) -> String {
        let head = REJECT_COLUMNS.into_iter().map(str::to_owned).chain(rows.header.iter().cloned());
        let mut text = csv_line(head.map(guarded));
        for RejectedRow { at, fault } in rejected {
            let Some(row) = rows.rows.get(*at) else { continue };
            let front = [row.line.to_string(), fault.reason.clone(), fault.message.clone()];
            text.extend(csv_line(front.into_iter().chain(row.cells.iter().cloned()).map(guarded)));
        }
        String::from_utf8_lossy(&text).into_owned()
    }

    fn head(&self, form: ExportForm, with_deleted: bool) -> Vec<u8> {
        match form {
            ExportForm::Csv => csv_head(&fields(with_deleted)),
            ExportForm::JsonLines => Vec::new(),
        }
    }

    fn line(&self, form: ExportForm, with_deleted: bool, link: &Value) -> Result<Vec<u8>, String> {
        let link = json_link(link.to_string().as_bytes())?;
        let fields = fields(with_deleted);
        Ok(match form {
            ExportForm::Csv => csv_row(&link, &fields),
            ExportForm::JsonLines => json_row(&link, &fields),
        })
    }
}

/// The form of rows that nobody named, by their first line.
fn looks_like(file: &LinkFile) -> Option<Format> {
    let first = file.text.trim_start().lines().next().unwrap_or_default().trim();
    let is_table = first.contains([',', ';', '\t']) && !first.ends_with([';', '{']);
    if !file.name.is_empty() {
        None
    } else if first.starts_with('{') && first.ends_with('}') {
        Some(Format::Jsonl)
    } else {
        (file.headless || is_table).then_some(Format::Csv)
    }
}

/// The message of a page that was given rows whose first line is no header.
fn no_header(missing: &MissingColumn) -> String {
    match missing.other {
        _ if missing.is_map => "These are rows of a map: choose its form".to_owned(),
        Some(other) => format!("This looks like the form {}: choose it", other.name()),
        None => format!(
            "The first line names no column {}. Put a line such as code,target in front that names the columns; or say below \
             which column it is; or say that the rows have no header",
            missing.field
        ),
    }
}

/// The body of a create. A file says what becomes of a query, and one that says nothing means that it is dropped: the domain
/// is not asked. When a link was made is in no create.
fn created(link: &Link) -> Value {
    let mut body = object(link, FIELDS.iter().copied().filter(|field| *field != "create_time"));
    let query = match link.query() {
        QueryPolicy::Append => "append",
        QueryPolicy::Override => "override",
        QueryPolicy::Drop | QueryPolicy::Unspecified => "drop",
    };
    body.insert("query".to_owned(), Value::from(query));
    Value::Object(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(form: &str, text: &str) -> LinkRows {
        let file =
            LinkFile { form: form.into(), text: text.into(), domain: "-".into(), ..LinkFile::default() };
        CommandForms.read(&file).unwrap_or_else(|why| panic!("{why}"))
    }

    #[test]
    fn rows_are_read_as_an_import_reads_them_and_rejected_ones_can_be_read_again() {
        for (form, text) in [
            ("csv", "code,target\na,https://a.example/\nb,https://b.example/,more\n"),
            ("jsonl", "{\"code\":\"a\",\"target\":\"https://a.example/\"}\n{\"code\":7}\n"),
            ("nginx-map", "/a https://a.example/;\n/b $scheme://b.example/;\n"),
        ] {
            let rows = read(form, text);
            let link = rows.rows[0].link.as_ref().unwrap();
            assert_eq!(
                (&link["code"], &link["target"], &link["query"]),
                (&"a".into(), &"https://a.example/".into(), &"drop".into())
            );
            let fault = rows.rows[1].link.clone().unwrap_err();
            let again = CommandForms.rejected(&rows, &[RejectedRow { at: 1, fault: fault.clone() }]);
            let rows = read(&rows.form_again, &again);
            assert_eq!(rows.rows.len(), 1, "{form}: {again}");
            assert_eq!(rows.rows[0].link.as_ref().unwrap_err().reason, fault.reason, "{form}: {again}");
        }
    }

    #[test]
    fn the_form_is_said_or_told_by_the_name() {
        let of = |name: &str, form: &str| {
            let file = LinkFile {
                name: name.into(),
                form: form.into(),
                text: "code,target\n".into(),
                ..LinkFile::default()
            };
            CommandForms.read(&file).map(|rows| rows.header.join(" "))
        };
        assert_eq!(of("links.csv", ""), Ok("code target".to_owned()));
        assert!(of("links", "").unwrap_err().contains("Choose the form"));
        assert_eq!(of("", ""), Ok("code target".to_owned()), "what is pasted is told by its look");
        assert!(of("links.csv", "none").unwrap_err().contains("no such form"));
        let forms = CommandForms.forms();
        assert!(
            forms.iter().any(|(name, word)| name == "shlink-csv" && word.contains("Shlink")),
            "{forms:?}"
        );
    }

    /// Somebody pasted rows of two columns, and was told of a flag of the command line.
    #[test]
    fn pasted_rows_need_no_header_and_what_is_missing_is_said_in_words_of_a_page() {
        let of = |text: &str, headless: bool| {
            CommandForms.read(&LinkFile {
                text: text.into(),
                domain: "-".into(),
                headless,
                ..LinkFile::default()
            })
        };
        for rows in ["a,https://a.example/\nb,nowhere,x\n", "a;https://a.example/\nb;nowhere;x\n"] {
            let read = of(rows, true).unwrap();
            assert_eq!(read.rows[0].link.as_ref().unwrap()["target"], "https://a.example/", "{rows}");
            assert_eq!((read.rows.len(), read.rows[1].line), (2, 2), "{rows}");
            let why = of(rows, false).unwrap_err();
            assert!(why.contains("names no column code") && !why.contains("--"), "{why}");
        }
        let why = of("longUrl,shortUrl,title\n", false).unwrap_err();
        assert!(!why.contains("--"), "{why}");
        assert!(of("/a https://a.example/;\n", false).unwrap_err().contains("Choose the form"));
        assert_eq!(of("{\"code\":\"a\",\"target\":\"https://a.example/\"}\n", false).unwrap().rows.len(), 1);
    }

    #[test]
    fn a_link_of_rest_is_the_line_of_an_export() {
        let link = serde_json::json!({ "code": "=a", "target": "https://a.example/", "status": 301, "query": "drop", "uid": 7,
            "tags": ["x", "y"], "title": "", "name": "domains/-/links/=a", "create_time": "2026-01-02T03:04:05Z" });
        let head = String::from_utf8(CommandForms.head(ExportForm::Csv, false)).unwrap();
        let line = String::from_utf8(CommandForms.line(ExportForm::Csv, false, &link).unwrap()).unwrap();
        assert!(
            head.starts_with("code,target,status,") && line.starts_with("'=a,https://a.example/,301,"),
            "{head}{line}"
        );
        let line = CommandForms.line(ExportForm::JsonLines, false, &link).unwrap();
        assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        assert!(CommandForms.line(ExportForm::Csv, false, &serde_json::json!({ "unknown": 1 })).is_err());
    }
}
