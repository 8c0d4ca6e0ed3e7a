//! The rows of a file, CSV or JSON lines: each becomes a link or the reason why it is none.

use super::dialects::Dialect;
use super::lines::{BEHIND, Ends, LONGEST, Lines, too_long};
use super::maps::{self, Nginx};
use super::row::Row;
use crate::args::Format;
use crate::client::fields::{FIELDS, OUTPUT_ONLY, set_csv_cell, set_json, unguarded};
use crate::fault::Fault;
use proto::file::{MARK, is_utf_16};
use proto::v1::Link;
use serde_json::Value;
use std::io::{BufRead, BufReader, Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of a JSON line: as much as the longest fields need, with every byte escaped.
const MAX_LINE: u64 = 256 << 10;
/// Bytes that tell what a file is.
const MAGIC: u64 = 6;
/// What a file of rejected rows has besides the columns of the file they came from: it can be imported once it is mended.
pub const REJECT_COLUMNS: [&str; 3] = ["line", "reason", "message"];
/// The column of such a file for the lines of a JSON lines file.
const JSON_COLUMN: &str = "row";

/// The column of such a file for the statements of a map.
const MAP_COLUMN: &str = "statement";

/// The rows of a file, in its order.
pub struct Rows {
    name: String,
    domain: String,
    read: Arc<AtomicU64>,
    header: Vec<String>,
    /// Whether a column of a CSV file means something.
    meant: Vec<bool>,
    source: Source,
    deleted: bool,
}

enum Source {
    Csv { reader: Box<csv::Reader<Ends>>, lines: Lines, dialect: Option<Dialect> },
    Jsonl { lines: Box<dyn BufRead + Send>, line: u64 },
    Nginx(Nginx),
    Haproxy { lines: Box<dyn BufRead + Send>, line: u64 },
}

impl Rows {
    /// Looks at the first bytes: compressed files are refused, and a header must name known fields.
    pub fn open(
        source: Box<dyn Read + Send>,
        name: &str,
        domain: &str,
        format: Result<Format, Fault>,
    ) -> Result<Self, Fault> {
        let read = Arc::new(AtomicU64::new(0));
        let file = name;
        let unreadable =
            |fault: &dyn std::fmt::Display| Fault::new(format_args!("cannot read {file}: {fault}"));
        let counted = Counted { source, read: Arc::clone(&read) };
        let (start, source) = begin(counted).map_err(|fault| unreadable(&fault))?;
        for (magic, tool) in
            [(&b"\x28\xb5\x2f\xfd"[..], "zstdcat"), (b"\x1f\x8b", "zcat"), (b"\xfd7zXZ", "xzcat")]
        {
            if start.starts_with(magic) {
                return Err(Fault::new(format_args!(
                    "{name} is compressed: {tool} {name} | linkr import - --format csv"
                )));
            }
        }
        if is_utf_16(&start) {
            return Err(Fault::new(format_args!(
                "{name} is UTF-16: iconv -f UTF-16 -t UTF-8 {name} | linkr import - --format FORM"
            )));
        }
        let format = format?;
        let source = match format {
            Format::NginxMap => Source::Nginx(Nginx::new(source)),
            Format::HaproxyMap => Source::Haproxy { lines: source, line: 0 },
            Format::Jsonl => Source::Jsonl { lines: source, line: 0 },
            Format::Csv | Format::ShlinkCsv | Format::YourlsCsv | Format::BitlyCsv | Format::KuttCsv => {
                let (source, lines) = Lines::of(source);
                let reader = csv::ReaderBuilder::new().flexible(true).from_reader(source);
                Source::Csv { reader: Box::new(reader), lines, dialect: None }
            }
        };
        let (name, domain) = (name.to_owned(), domain.to_owned());
        let mut rows =
            Self { name, domain, read, header: Vec::new(), meant: Vec::new(), source, deleted: false };
        rows.header = match &mut rows.source {
            Source::Jsonl { .. } => vec![JSON_COLUMN.to_owned()],
            Source::Nginx(_) | Source::Haproxy { .. } => vec![MAP_COLUMN.to_owned()],
            Source::Csv { reader, dialect, .. } => {
                let header = reader.headers().map_err(|fault| unreadable(&fault))?;
                let meant = |column: &str| !REJECT_COLUMNS.contains(&column);
                let header = header.iter().map(str::trim);
                rows.meant = header.clone().map(meant).collect();
                let header: Vec<String> = header.filter(|column| meant(column)).map(str::to_owned).collect();
                *dialect = Dialect::of(format, &header).transpose().map_err(|why| unreadable(&why))?;
                if dialect.is_none() {
                    check_header(&header).map_err(|why| unreadable(&why))?;
                }
                header
            }
        };
        Ok(rows)
    }

    /// Deleted links too: they are not to be imported.
    pub fn with_deleted(self) -> Self {
        Self { deleted: true, ..self }
    }

    /// The columns of the file.
    pub fn header(&self) -> &[String] {
        &self.header
    }

    /// Bytes so far.
    pub fn bytes_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// The next row.
    ///
    /// # Errors
    /// The file cannot be read on.
    pub fn next(&mut self) -> Result<Option<Row>, Fault> {
        let broken =
            |fault: &dyn std::fmt::Display| Fault::new(format_args!("cannot read {} on: {fault}", self.name));
        let row = match &mut self.source {
            Source::Nginx(map) => match map.next().map_err(|fault| broken(&fault))? {
                Some(row) => row,
                None => return Ok(None),
            },
            Source::Haproxy { lines, line } => {
                match maps::haproxy(lines, line).map_err(|fault| broken(&fault))? {
                    Some(row) => row,
                    None => return Ok(None),
                }
            }
            Source::Csv { reader, lines, dialect } => {
                let mut record = csv::ByteRecord::new();
                if !reader.read_byte_record(&mut record).map_err(|fault| broken(&fault))? {
                    return Ok(None);
                }
                let (end, inside) = (reader.position().byte(), record.as_slice());
                let open = lines.open(end);
                let inside = inside.iter().filter(|&&byte| byte == b'\n').count();
                let inside = if open { inside - BEHIND.len() } else { inside };
                let line = lines.first(end, inside as u64);
                if open {
                    open_row(line, &record, &self.meant)
                } else {
                    csv_row(line, &record, (&self.header, &self.meant), dialect.as_mut(), &self.domain)
                }
            }
            Source::Jsonl { lines, line } => {
                let mut text = Vec::new();
                while text.trim_ascii().is_empty() {
                    text.clear();
                    *line += 1;
                    if lines.take(MAX_LINE).read_until(b'\n', &mut text).map_err(|fault| broken(&fault))? == 0
                    {
                        return Ok(None);
                    }
                }
                let whole = text.ends_with(b"\n") || (text.len() as u64) < MAX_LINE;
                if !whole {
                    let rest = lines.take(LONGEST).skip_until(b'\n').map_err(|fault| broken(&fault))?;
                    if rest as u64 == LONGEST {
                        return Err(broken(&too_long(&format!("line {line}"))));
                    }
                }
                json_row(*line, &text, whole)
            }
        };
        Ok(Some(self.check(row)))
    }

    /// What an import cannot do, whatever the server says.
    fn check(&self, mut row: Row) -> Row {
        let Ok(Some(link)) = &mut row.link else { return row };
        let domain = std::mem::take(&mut link.domain);
        if !self.deleted && link.delete_time.take().is_some() {
            row.link = Err(("DELETED", "delete_time is set: a deleted link cannot be imported".to_owned()));
        } else if !domain.is_empty() && domain != self.domain {
            row.link = Err(("DOMAIN", format!("its domain is not {}: see --domain", self.domain)));
        }
        row
    }
}

/// The first bytes as they stand there, and all that is meant: from behind a mark that says UTF-8.
fn begin(mut source: impl Read + Send + 'static) -> std::io::Result<(Vec<u8>, Box<dyn BufRead + Send>)> {
    let mut start = Vec::new();
    source.by_ref().take(MAGIC).read_to_end(&mut start)?;
    let text = start.strip_prefix(MARK).unwrap_or(&start).to_vec();
    let whole = BufReader::with_capacity(64 << 10, Cursor::new(text).chain(source));
    Ok((start, Box::new(whole)))
}

fn check_header(header: &[String]) -> Result<(), String> {
    if is_json(header) {
        return Ok(());
    }
    for needed in ["code", "target"] {
        if !header.iter().any(|column| column == needed) {
            return Err(format!("its first line does not name the column '{needed}'"));
        }
    }
    for (at, column) in header.iter().enumerate() {
        if !known(column) {
            return Err(format!("its column '{column}' is unknown; there are {}", FIELDS.join(", ")));
        }
        if header[..at].contains(column) {
            return Err(format!("its column '{column}' is there twice"));
        }
    }
    Ok(())
}

fn known(field: &str) -> bool {
    FIELDS.contains(&field) || OUTPUT_ONLY.contains(&field)
}

fn is_json(header: &[String]) -> bool {
    header == [JSON_COLUMN]
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

fn csv_row(
    line: u64,
    record: &csv::ByteRecord,
    (header, meant): (&[String], &[bool]),
    dialect: Option<&mut Dialect>,
    domain: &str,
) -> Row {
    let cells = cells(record, meant);
    let link = if record.iter().any(|cell| std::str::from_utf8(cell).is_err()) {
        Err(("NOT_UTF8", "is not UTF-8".to_owned()))
    } else if record.len() != meant.len() {
        let (count, plural) = (record.len(), if record.len() == 1 { "" } else { "s" });
        Err(("COLUMNS", format!("has {count} column{plural}, the first line has {}", meant.len())))
    } else if let Some(dialect) = dialect {
        dialect.link(&cells, domain).map(Some)
    } else if is_json(header) {
        json_link(cells[0].as_bytes()).map(Some).map_err(|why| ("INVALID", why))
    } else {
        let mut link = Link::default();
        let set = header.iter().zip(&cells).try_for_each(|(field, cell)| {
            set_csv_cell(&mut link, field, cell).map_err(|why| ("INVALID", format!("{field} {why}")))
        });
        set.map(|()| Some(link))
    };
    Row { line, cells, link }
}

/// The end of a file that was cut, or everything behind a quote too many: never a link.
fn open_row(line: u64, record: &csv::ByteRecord, meant: &[bool]) -> Row {
    let mut cells = cells(record, meant);
    if let Some(last) = cells.last_mut() {
        last.truncate(last.len() - BEHIND.len());
    }
    let why = "has a quote that is still open at the end of the file: is the file whole?".to_owned();
    Row { line, cells, link: Err(("UNCLOSED_QUOTE", why)) }
}

fn json_row(line: u64, text: &[u8], whole: bool) -> Row {
    let link = if whole { json_link(text) } else { Err(format!("is longer than {MAX_LINE} bytes")) };
    let cells = vec![String::from_utf8_lossy(text).trim_end().to_owned()];
    Row { line, cells, link: link.map(Some).map_err(|why| ("INVALID", why)) }
}

fn json_link(text: &[u8]) -> Result<Link, String> {
    let value: Value = serde_json::from_slice(text).map_err(|fault| {
        let fault = fault.to_string();
        // Where it is in this one line would be read as a line of the file.
        format!("is not JSON: {}", fault.rsplit_once(" at line ").map_or(&*fault, |(what, _)| what))
    })?;
    let object = value.as_object().ok_or("is not a JSON object")?;
    let mut link = Link::default();
    for (field, value) in object {
        if !known(field) {
            return Err(format!("its field '{field}' is unknown"));
        }
        set_json(&mut link, field, value).map_err(|why| format!("{field} {why}"))?;
    }
    Ok(link)
}

/// Counts what is read, for the progress bar.
struct Counted {
    source: Box<dyn Read + Send>,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.source.read(buffer)?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &'static [u8], format: Format) -> Result<Vec<Row>, Fault> {
        let mut rows = Rows::open(Box::new(text), "FILE", "-", Ok(format))?;
        std::iter::from_fn(|| rows.next().transpose()).collect()
    }

    fn reason(row: &Row) -> &str {
        row.link.as_ref().map_or_else(|(_, why)| why.as_str(), |_| "")
    }

    #[test]
    fn good_and_bad_rows_of_csv() {
        let text = b"\xef\xbb\xbfcode,target,max_age\na,https://x,1\nb,\"https://y\nz\",\nc,https://x\nd,\xff,\n\ne,https://x,-1\n";
        let rows = rows(text, Format::Csv).unwrap();
        let seen: Vec<(u64, &str)> = rows.iter().map(|row| (row.line, reason(row))).collect();
        let want = [
            (2, ""),
            (3, ""),
            (5, "has 2 columns, the first line has 3"),
            (6, "is not UTF-8"),
            (8, "max_age is not a whole number"),
        ];
        assert_eq!(seen, want);
        assert_eq!(rows[0].link.as_ref().unwrap().as_ref().unwrap().max_age, Some(1));
    }

    #[test]
    fn lines_of_a_file_from_windows() {
        let text = b"code,target\r\na,b\r\nc\r\n\r\n\r\nd\r\n";
        let rows = rows(text, Format::Csv).unwrap();
        assert_eq!(rows.iter().map(|row| row.line).collect::<Vec<_>>(), [2, 3, 6]);
    }

    #[test]
    fn good_and_bad_rows_of_json_lines() {
        let text = b"{\"code\":\"a\",\"target\":\"https://x\",\"tags\":[\"t\"]}\nno\n{\"kode\":1}\n[]\n\
            {\"code\":\"a\",\"domain\":\"go.example.com\"}\n{\"code\":\"a\",\"domain\":\"-\"}\n\
            {\"code\":\"a\",\"delete_time\":\"2020-01-01T00:00:00Z\"}";
        let rows = rows(text, Format::Jsonl).unwrap();
        let good: Vec<bool> = rows.iter().map(|row| row.link.is_ok()).collect();
        assert_eq!(good, [true, false, false, false, false, true, false]);
        assert_eq!((rows[1].line, rows[1].cells[0].as_str()), (2, "no"));
        assert_eq!(reason(&rows[2]), "its field 'kode' is unknown");
    }

    #[test]
    fn a_quote_that_is_open_at_the_end_of_the_file_makes_no_link() {
        for (end, line, cell) in [
            ("b,\"https://y", 3, "https://y"),
            ("b,\"https://y\r\nc,d\n", 3, "https://y\r\nc,d\n"),
            ("\"b,c\"\"", 3, "b,c\""),
            ("\"", 3, ""),
        ] {
            for start in ["", "\u{feff}"] {
                let text = format!("{start}code,target\na,https://x\n{end}");
                let rows = rows(text.leak().as_bytes(), Format::Csv).unwrap();
                assert_eq!((rows.len(), rows[0].link.is_ok()), (2, true), "{end:?}");
                let reason = rows[1].link.as_ref().err().map(|(reason, _)| *reason);
                assert_eq!((rows[1].line, reason), (line, Some("UNCLOSED_QUOTE")), "{end:?}");
                assert_eq!(rows[1].cells.last().unwrap(), cell);
            }
        }
        for end in [
            "b,\"https://y\"",
            "b,\"https://y\"\n",
            "b,\"https://y\"\r\n\r\n",
            "b,https\"://y",
            "b,\"https://y\"\"\"\r",
        ] {
            let text = format!("code,target\na,https://x\n{end}");
            let rows = rows(text.leak().as_bytes(), Format::Csv).unwrap();
            assert!(rows.len() == 2 && rows[1].link.is_ok() && rows[1].line == 3, "{end:?}");
        }
    }

    #[test]
    fn a_file_of_rejected_rows_can_be_imported() {
        let text = b"line,reason,message,code,target\n4,INVALID,no,a,https://x\n5,COLUMNS,no,b\n";
        let good = rows(text, Format::Csv).unwrap();
        assert_eq!(good[0].cells, ["a", "https://x"]);
        assert_eq!(good[0].link.as_ref().unwrap().as_ref().unwrap().target, "https://x");
        assert_eq!((good[1].cells.len(), reason(&good[1])), (1, "has 4 columns, the first line has 5"));
        let text = b"line,reason,message,row\n4,INVALID,no,\"{\"\"code\"\":\"\"a\"\",\"\"target\"\":\"\"https://x\"\"}\"\n";
        let good = rows(text, Format::Csv).unwrap();
        assert_eq!(good[0].link.as_ref().unwrap().as_ref().unwrap().code, "a");
    }

    #[test]
    fn a_mark_in_front_of_any_format_is_no_part_of_it() {
        for (text, format) in [
            ("code,target\na,https://x\n", Format::Csv),
            ("{\"code\":\"a\",\"target\":\"https://x\"}\n", Format::Jsonl),
            ("/a https://x;\n", Format::NginxMap),
            ("/a https://x\n", Format::HaproxyMap),
            ("keyword,url\na,https://x\n", Format::YourlsCsv),
        ] {
            for start in ["", "\u{feff}"] {
                let rows = rows(format!("{start}{text}").leak().as_bytes(), format).unwrap();
                let link = rows[0].link.as_ref().unwrap().as_ref().unwrap();
                assert_eq!((&*link.code, rows.len()), ("a", 1), "{start:?}{text}");
            }
        }
        let said = rows(b"\xff\xfec\0o\0", Format::Csv).err().unwrap().message().to_owned();
        assert!(said.contains("UTF-16: iconv"), "{said}");
    }

    #[test]
    fn a_row_without_end_is_not_kept_in_memory() {
        for (head, format) in [
            ("", Format::Csv),
            ("code,target\na,\"", Format::Csv),
            ("", Format::Jsonl),
            ("", Format::NginxMap),
            ("", Format::HaproxyMap),
        ] {
            let source = Box::new(head.as_bytes().chain(std::io::repeat(b'x')));
            let rows = Rows::open(source, "FILE", "-", Ok(format)).and_then(|mut rows| rows.next());
            let said = rows.err().unwrap().message().to_owned();
            assert!(said.contains("FILE") && said.contains("is longer than"), "{head:?}: {said}");
        }
    }

    #[test]
    fn a_reason_is_worded_well() {
        let rows = rows(b"code,target\na\n", Format::Csv).unwrap();
        assert_eq!(reason(&rows[0]), "has 1 column, the first line has 2");
        let rows = self::rows(b"{\"code\":\n", Format::Jsonl).unwrap();
        assert_eq!(reason(&rows[0]), "is not JSON: EOF while parsing a value");
    }

    #[test]
    fn a_file_that_cannot_be_imported_at_all() {
        for (text, want) in [
            (&b"\x28\xb5\x2f\xfdrest"[..], "FILE is compressed: zstdcat FILE | linkr import - --format csv"),
            (b"code,url\n", "cannot read FILE: its first line does not name the column 'target'"),
            (b"", "cannot read FILE: its first line does not name the column 'code'"),
            (b"code,target,code\n", "cannot read FILE: its column 'code' is there twice"),
        ] {
            let fault = rows(text, Format::Csv).err().unwrap();
            assert_eq!(fault.message(), want);
        }
        let fault = rows(b"code,target,x\n", Format::Csv).err().unwrap();
        assert!(fault.message().contains("its column 'x' is unknown"));
    }
}
