//! CSV: rows and columns, of linkr's own form and of others.

use super::cloudflare;
use super::columns::Columns;
use super::dialects::Dialect;
use super::json_lines::{JSON_COLUMN, json_link};
use super::lines::{BEHIND, LineCounter, LineEnds};
use super::row::{MAP_COLUMN, REJECT_COLUMNS, Reason, Record, SourceLink};
use crate::args::Format;
use crate::client::fields::unguarded;
use proto::file::MARK;
use std::io::Read;

/// The forms of others that have a header.
const OTHERS: [Format; 6] = [
    Format::ShlinkCsv,
    Format::YourlsCsv,
    Format::BitlyCsv,
    Format::KuttCsv,
    Format::RebrandlyCsv,
    Format::ShortIoCsv,
];

/// The rows of such a file.
pub struct Table {
    reader: Box<csv::Reader<LineEnds>>,
    lines: LineCounter,
    separator: u8,
    header: Vec<String>,
    /// Whether a column means something.
    meant: Vec<bool>,
    form: TableForm,
}

enum TableForm {
    Own(Columns),
    /// Rejected lines of JSON.
    Json,
    Other(Dialect),
    Cloudflare,
}

impl Table {
    /// Looks at the header; `first` is the first line, and `given` names columns of fields.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub fn open(
        source: Box<dyn Read + Send>,
        first: &[u8],
        format: Format,
        given: &[(String, String)],
    ) -> Result<Self, String> {
        let (source, lines) = LineCounter::of(source);
        // Cloudflare takes none; a file of rejected rows has one.
        let headless = format == Format::CloudflareCsv && rejected(first).is_none();
        // What spreadsheets tell each other in a line before the header.
        let told = first.trim_ascii().strip_prefix(b"sep=").filter(|told| told.len() == 1);
        let separator = match told {
            // A URL may hold any of the others.
            _ if format == Format::CloudflareCsv && first.contains(&b',') => b',',
            Some(told) => told[0],
            None => separator(first),
        };
        let mut builder = csv::ReaderBuilder::new();
        let mut reader =
            builder.flexible(true).delimiter(separator).has_headers(!headless).from_reader(source);
        let mut names = match headless {
            true => csv::StringRecord::from(&cloudflare::COLUMNS[..]),
            false => reader.headers().map_err(|fault| fault.to_string())?.clone(),
        };
        if told.is_some() {
            reader.read_record(&mut names).map_err(|fault| fault.to_string())?;
        }
        let meant = |column: &str| !REJECT_COLUMNS.contains(&column);
        let names = names.iter().map(str::trim);
        let all: Vec<bool> = names.clone().map(meant).collect();
        let header: Vec<String> = names.filter(|column| meant(column)).map(str::to_owned).collect();
        let form = match Dialect::of(format, &header) {
            Some(dialect) => TableForm::Other(dialect?),
            None if format == Format::CloudflareCsv => TableForm::Cloudflare,
            None if header == [JSON_COLUMN] => TableForm::Json,
            None => TableForm::Own(own(&header, given)?),
        };
        Ok(Self { reader: Box::new(reader), lines, separator, header, meant: all, form })
    }

    /// The columns of the file.
    pub fn header(&self) -> &[String] {
        &self.header
    }

    /// What was decided, for people.
    pub fn decided(&self) -> Option<String> {
        let form = match &self.form {
            TableForm::Own(columns) => columns.decided(&self.header),
            TableForm::Other(dialect) => Some(dialect.decided(&self.header)),
            TableForm::Cloudflare => Some(cloudflare::SAYS.to_owned()),
            TableForm::Json => None,
        };
        let separated = match self.separator {
            b',' => None,
            b'\t' => Some("its columns are separated by tabs".to_owned()),
            other => Some(format!("its columns are separated by '{}'", char::from(other))),
        };
        let said: Vec<String> = separated.into_iter().chain(form).collect();
        (!said.is_empty()).then(|| said.join("; "))
    }

    /// Times without an offset so far, which were read as UTC.
    pub fn assumed(&self) -> u64 {
        match &self.form {
            TableForm::Other(dialect) => dialect.assumed(),
            _ => 0,
        }
    }

    /// The next record; `None` at the end of the file.
    pub fn next(&mut self) -> csv::Result<Option<Record>> {
        let mut record = csv::ByteRecord::new();
        if !self.reader.read_byte_record(&mut record)? {
            return Ok(None);
        }
        let (end, inside) = (self.reader.position().byte(), record.as_slice());
        let open = self.lines.open(end);
        let inside = inside.iter().filter(|&&byte| byte == b'\n').count();
        let inside = if open { inside - BEHIND.len() } else { inside };
        let line = self.lines.first(end, inside as u64);
        let mut cells = cells(&record, &self.meant);
        let found = match (open, self.fault(&record)) {
            (true, _) => {
                if let Some(last) = cells.last_mut() {
                    last.truncate(last.len() - BEHIND.len());
                }
                vec![Err(unclosed())]
            }
            (false, Some(reason)) => vec![Err(reason)],
            (false, None) => self.found(&cells),
        };
        Ok(Some(Record { line, cells, found }))
    }

    fn found(&mut self, cells: &[String]) -> Vec<Result<SourceLink, Reason>> {
        let link = match &mut self.form {
            TableForm::Other(dialect) => return dialect.links(cells),
            TableForm::Own(columns) => columns.link(cells),
            TableForm::Json => json_link(cells[0].as_bytes()).map_err(|why| ("INVALID", why)),
            TableForm::Cloudflare => cloudflare::link(cells),
        };
        vec![link.map(SourceLink::of)]
    }

    /// What is wrong with a record before anything is made of it.
    fn fault(&self, record: &csv::ByteRecord) -> Option<Reason> {
        if record.iter().any(|cell| std::str::from_utf8(cell).is_err()) {
            return Some(("NOT_UTF8", "is not UTF-8".to_owned()));
        }
        let (count, wanted) = (record.len(), self.meant.len());
        // Spreadsheets leave separators at the end of lines.
        let blank = record.iter().skip(wanted).all(|cell| cell.trim_ascii().is_empty());
        let short = count < wanted && !matches!(self.form, TableForm::Cloudflare);
        if short || !blank {
            let plural = if count == 1 { "" } else { "s" };
            return Some(("COLUMNS", format!("has {count} column{plural}, the first line has {wanted}")));
        }
        None
    }
}

/// What stands between the columns of a file of rejected rows, if this is its first line: a spreadsheet may have saved it.
pub fn rejected(first: &[u8]) -> Option<u8> {
    let separator = separator(first);
    let mut reader = csv::ReaderBuilder::new().delimiter(separator).has_headers(false).from_reader(first);
    let mut header = csv::StringRecord::new();
    let found = reader.read_record(&mut header).unwrap_or_default();
    (found && header.len() > 3 && header.iter().zip(REJECT_COLUMNS).all(|(one, other)| one == other))
        .then_some(separator)
}

/// The statements of a file of rejected rows of a map, as they stood there.
///
/// # Errors
/// It cannot be read.
pub fn statements(source: Box<dyn Read + Send>, separator: u8) -> csv::Result<Vec<String>> {
    let mut reader = csv::ReaderBuilder::new().flexible(true).delimiter(separator).from_reader(source);
    let meant: Vec<bool> = reader.headers()?.iter().map(|column| !REJECT_COLUMNS.contains(&column)).collect();
    reader.byte_records().map(|record| Ok(cells(&record?, &meant).concat())).collect()
}

/// A column that every link needs, and that a header does not name.
pub struct MissingColumn {
    /// The field.
    pub field: &'static str,
    /// Another form whose columns these are.
    pub other: Option<Format>,
    /// The line holds rows of a redirect map.
    pub is_map: bool,
}

impl MissingColumn {
    /// Looks at the first line of a table for its columns. `given` says, field by field, how its column is called.
    pub fn of_line(first: &[u8], given: &[(String, String)]) -> Option<Self> {
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(separator(first))
            .has_headers(false)
            .from_reader(first.strip_prefix(MARK).unwrap_or(first));
        let mut names = csv::StringRecord::new();
        reader.read_record(&mut names).ok()?;
        let header: Vec<String> = names
            .iter()
            .map(str::trim)
            .filter(|column| !REJECT_COLUMNS.contains(column))
            .map(str::to_owned)
            .collect();
        if header == [JSON_COLUMN] { None } else { Self::of(&header, given) }
    }

    fn of(header: &[String], given: &[(String, String)]) -> Option<Self> {
        let field = Columns::missing(header, given)?;
        let is_map = header == [MAP_COLUMN];
        let other = OTHERS.into_iter().find(|format| matches!(Dialect::of(*format, header), Some(Ok(_))));
        Some(Self { field, other, is_map })
    }

    /// For who gave a command.
    fn words(&self) -> String {
        let field = self.field;
        let hint = match self.other {
            _ if self.is_map => ": these are rows of a map: name its --format".to_owned(),
            Some(other) => {
                format!(
                    ": is it --format {}? If not, --columns {field}=NAME says which one it is",
                    other.name()
                )
            }
            None => format!(": --columns {field}=NAME says which one it is"),
        };
        format!("its first line does not name the column '{field}'{hint}")
    }
}

fn own(header: &[String], given: &[(String, String)]) -> Result<Columns, String> {
    match MissingColumn::of(header, given) {
        Some(missing) if given.is_empty() => Err(missing.words()),
        missing => {
            let columns = Columns::of(header, given)?;
            missing.map_or(Ok(columns), |missing| Err(missing.words()))
        }
    }
}

/// What stands between the columns of a header: there is more of it than of the others.
pub fn separator(first: &[u8]) -> u8 {
    let (mut quoted, mut counts) = (false, [(b',', 0), (b';', 0), (b'\t', 0), (b'|', 0)]);
    for &byte in first {
        quoted ^= byte == b'"';
        counts.iter_mut().filter(|(known, _)| *known == byte && !quoted).for_each(|(_, count)| *count += 1);
    }
    let [comma, others @ ..] = counts;
    others.into_iter().fold(comma, |most, other| if other.1 > most.1 { other } else { most }).0
}

/// The end of a file that was cut, or everything behind a quote too many: never a link.
fn unclosed() -> Reason {
    let why = "has a quote that is still open at the end of the file: is the file whole?".to_owned();
    ("UNCLOSED_QUOTE", why)
}

/// The cells that mean something, as texts; of a file of rejected rows, as they stood in the first file.
fn cells(record: &csv::ByteRecord, meant: &[bool]) -> Vec<String> {
    let known = meant.iter().copied().chain(std::iter::repeat(true));
    let cells = record.iter().zip(known).filter(|(_, meant)| *meant);
    let cells = cells.map(|(cell, _)| String::from_utf8_lossy(cell));
    match meant.contains(&false) {
        true => cells.map(|cell| unguarded(&cell).to_owned()).collect(),
        false => cells.map(std::borrow::Cow::into_owned).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_separates_columns_is_seen_in_the_header() {
        for (header, want) in [
            ("code,target", b','),
            ("code;target;title\r\n", b';'),
            ("code\ttarget\n", b'\t'),
            ("\"a;b;c\",target", b','),
            ("\"a,b,c\";target;title", b';'),
            ("code", b','),
            ("a,b;c", b','),
            ("code|target\n", b'|'),
        ] {
            assert_eq!(separator(header.as_bytes()), want, "{header}");
        }
    }

    #[test]
    fn a_header_of_others_is_recognised() {
        let said = |header: &str| {
            let header: Vec<String> = header.split(',').map(str::to_owned).collect();
            own(&header, &[]).err().unwrap()
        };
        for (header, want) in [
            ("Long URL,Tags,Domain,Short code,Title", "is it --format shlink-csv?"),
            ("keyword,url,title", "is it --format yourls-csv?"),
            ("created_at,id,link,long_url", "is it --format bitly-csv?"),
            ("id,address,target,password", "is it --format kutt-csv?"),
            ("Id,Title,SlashTag,Destination", "is it --format rebrandly-csv?"),
            ("Original URL,Short URL,Path", "is it --format short-io-csv?"),
            ("slug,url", "--columns code=NAME says which one it is"),
            ("statement", "name its --format"),
        ] {
            assert!(said(header).contains(want), "{header}: {}", said(header));
        }
    }
}
