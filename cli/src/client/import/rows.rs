//! The rows of a file, whatever its form: each becomes a link or the reason why it is none.

use super::hosts::{Hosts, SourceDomain};
use super::json_lines::{JSON_COLUMN, JsonLines};
use super::lines::LONGEST;
use super::maps::{Haproxy, Nginx, behind_scheme, code_of, is_host, no_path};
use super::redirects::{self, RedirectsFile};
use super::row::{MAP_COLUMN, Reason, Record, Row, SourceLink};
use super::tables::{Table, rejected, statements};
use crate::args::{Format, ReadArgs};
use crate::fault::CommandFault;
use proto::file::{MARK, is_utf_16};
use proto::v1::Link;
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Cursor, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of a first line, which tells what a file is.
const MAX_FIRST: u64 = 64 << 10;
/// What the links of a map do, which says no more than where they lead, for people.
const MAP: &str = "status 302, and a visitor's query is dropped: a map says neither";

/// The rows of a file, in its order.
pub struct Rows {
    name: String,
    domain: String,
    format: Format,
    /// Whether columns were named: it is somebody else's table.
    named: bool,
    /// Where a relative target leads.
    base: Option<String>,
    read: Arc<AtomicU64>,
    source: RowSource,
    hosts: Hosts,
    /// The rest of a record that means several links.
    waiting: VecDeque<Row>,
    deleted: bool,
    decided: Option<String>,
}

enum RowSource {
    Table(Table),
    Jsonl(JsonLines),
    Nginx(Nginx),
    Haproxy(Haproxy),
    Site(RedirectsFile),
    Vercel(VecDeque<Row>),
}

impl Rows {
    /// Looks at the first bytes: compressed files are refused, and a header must name known fields.
    pub fn open(
        source: Box<dyn Read + Send>,
        name: &str,
        domain: &str,
        reading: &ReadArgs,
        format: Result<Format, CommandFault>,
    ) -> Result<Self, CommandFault> {
        let read = Arc::new(AtomicU64::new(0));
        let file = name;
        let unreadable =
            |fault: &dyn std::fmt::Display| CommandFault::new(format_args!("cannot read {file}: {fault}"));
        let counted = CountingReader { source, read: Arc::clone(&read) };
        let (first, mut source) = begin(counted).map_err(|fault| unreadable(&fault))?;
        // What is packed is named by what it is packed in: the name within says the form.
        let within = || Path::new(name).file_stem().and_then(|name| Format::of(Path::new(name)));
        let form = format.as_ref().ok().copied().or_else(within);
        packed(&first, name, &form.map_or_else(|| "FORM".to_owned(), Format::name))?;
        let format = format?;
        if format != Format::Csv && !reading.columns.is_empty() {
            return Err(CommandFault::new(format_args!(
                "--columns is for --format csv: {} has columns of its own",
                format.name()
            )));
        }
        let first = first.strip_prefix(MARK).unwrap_or(&first);
        if let Some(separator) = rejected(first).filter(|_| format.is_of_statements()) {
            source = mended(source, separator, format).map_err(|fault| unreadable(&fault))?;
        }
        let opened = RowSource::open(source, first, format, &reading.columns);
        let (source, said) = opened.map_err(|why| unreadable(&why))?;
        let decided =
            (!said.is_empty()).then(|| format!("{name} is read as {}: {}", format.name(), said.join("; ")));
        Ok(Self {
            name: name.to_owned(),
            domain: domain.to_owned(),
            format,
            named: !reading.columns.is_empty(),
            base: reading.base.clone(),
            read,
            source,
            hosts: Hosts::new(domain),
            waiting: VecDeque::new(),
            deleted: false,
            decided,
        })
    }

    /// Deleted links too: they are not to be imported.
    pub fn with_deleted(self) -> Self {
        Self { deleted: true, ..self }
    }

    /// What was decided of the file as a whole, for people; nothing where it is as linkr writes it.
    pub fn decided(&self) -> Option<&str> {
        self.decided.as_deref()
    }

    /// Times without an offset so far, which were read as UTC.
    pub fn assumed(&self) -> u64 {
        match &self.source {
            RowSource::Table(table) => table.assumed(),
            _ => 0,
        }
    }

    /// Its form.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The columns of the file.
    pub fn header(&self) -> Vec<String> {
        match &self.source {
            RowSource::Table(table) => table.header().to_vec(),
            RowSource::Jsonl(_) => vec![JSON_COLUMN.to_owned()],
            RowSource::Nginx(_) | RowSource::Haproxy(_) | RowSource::Site(_) | RowSource::Vercel(_) => {
                vec![MAP_COLUMN.to_owned()]
            }
        }
    }

    /// Bytes so far.
    pub fn bytes_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// The next row.
    ///
    /// # Errors
    /// The file cannot be read on.
    pub fn next(&mut self) -> Result<Option<Row>, CommandFault> {
        if self.waiting.is_empty() {
            let broken = |fault| CommandFault::new(format_args!("cannot read {} on: {fault}", self.name));
            let next: std::io::Result<Option<Record>> = self.source.next();
            let Some(Record { line, cells, found }) = next.map_err(broken)? else { return Ok(None) };
            let (mut cells, mut found) = (cells, found.into_iter());
            while let Some(one) = found.next() {
                let link = one.and_then(|found| self.admitted(found));
                let cells = if found.len() == 0 { std::mem::take(&mut cells) } else { cells.clone() };
                self.waiting.push_back(Row { line, cells, link });
            }
        }
        Ok(self.waiting.pop_front())
    }

    /// What an import cannot do, whatever the server says.
    fn admitted(&mut self, SourceLink { mut link, place }: SourceLink) -> Result<Link, Reason> {
        if !self.deleted && link.delete_time.take().is_some() {
            return Err(("DELETED", "delete_time is set: a deleted link cannot be imported".to_owned()));
        }
        self.lead(&mut link)?;
        let whole = self.named && link.code.contains("://");
        let place = if whole { of_url(&mut link.code)? } else { place };
        if self.is_own() && !whole {
            alone(&mut link.code)?;
            let domain = std::mem::take(&mut link.domain);
            let same = |own: link::Domain| own.as_str() == self.domain;
            let is_this = domain == self.domain || link::Domain::given(&domain).is_ok_and(same);
            if !domain.is_empty() && !is_this {
                return Err(("DOMAIN", format!("its domain is not {}: see --domain", self.domain)));
            }
        } else {
            self.hosts.admit(&place)?;
            place.name().clone_into(&mut link.domain);
        }
        // As the paths of visitors are read: a file has letters as it likes, the server has one form of them.
        if let Some(code) = link::asked(link.code.as_bytes()) {
            link.code = code;
        }
        Ok(link)
    }

    /// linkr's own forms name a domain as linkr does.
    fn is_own(&self) -> bool {
        matches!(self.format, Format::Csv | Format::Jsonl)
    }

    /// A target that begins with `/` is on the host that the file was for.
    fn lead(&self, link: &mut Link) -> Result<(), Reason> {
        if !link.target.starts_with('/') {
            return Ok(());
        }
        let Some(base) = &self.base else {
            let why = "target is relative: --base URL says on which host it is".to_owned();
            return Err(("INVALID", why));
        };
        let scheme = base.split_once("://").map_or("https", |(scheme, _)| scheme);
        let front = if link.target.starts_with("//") { format!("{scheme}:") } else { base.clone() };
        link.target.insert_str(0, &front);
        Ok(())
    }
}

impl RowSource {
    /// With what was decided, for people.
    fn open(
        source: Box<dyn BufRead + Send>,
        first: &[u8],
        format: Format,
        columns: &[(String, String)],
    ) -> Result<(Self, Vec<String>), String> {
        let says = |what: &str| vec![what.to_owned()];
        Ok(match format {
            Format::NginxMap => (Self::Nginx(Nginx::new(source)), says(MAP)),
            Format::HaproxyMap => (Self::Haproxy(Haproxy::new(source)), says(MAP)),
            Format::Redirects => (Self::Site(RedirectsFile::new(source)), says(redirects::SITE)),
            Format::Jsonl => (Self::Jsonl(JsonLines::new(source)), Vec::new()),
            Format::VercelJson => {
                let mut text = Vec::new();
                let length = source.take(LONGEST + 1).read_to_end(&mut text);
                if length.map_err(|fault| fault.to_string())? as u64 > LONGEST {
                    return Err(format!("it is longer than {LONGEST} bytes"));
                }
                let (rows, others) = redirects::vercel(&text)?;
                let mut said = says(redirects::VERCEL);
                if !others.is_empty() {
                    said.push(format!("passed over: {}", others.join(", ")));
                }
                (Self::Vercel(rows), said)
            }
            format => {
                let table = Table::open(source, first, format, columns)?;
                let said = table.decided().into_iter().collect();
                (Self::Table(table), said)
            }
        })
    }

    fn next(&mut self) -> std::io::Result<Option<Record>> {
        let row = match self {
            Self::Table(table) => return Ok(table.next()?),
            Self::Jsonl(lines) => lines.next()?,
            Self::Nginx(map) => map.next()?,
            Self::Haproxy(map) => map.next()?,
            Self::Site(site) => site.next()?,
            Self::Vercel(rows) => rows.pop_front(),
        };
        Ok(row.map(Record::from))
    }
}

/// The first line as it stands there, or its beginning, and all that is meant: from behind a mark that says UTF-8.
fn begin(source: impl Read + Send + 'static) -> std::io::Result<(Vec<u8>, Box<dyn BufRead + Send>)> {
    let mut source = BufReader::with_capacity(64 << 10, source);
    let mut first = Vec::new();
    source.by_ref().take(MAX_FIRST).read_until(b'\n', &mut first)?;
    let text = first.strip_prefix(MARK).unwrap_or(&first).to_vec();
    Ok((first, Box::new(Cursor::new(text).chain(source))))
}

/// The host of a code that is a whole URL, as tables of old and new addresses have it; its path stays.
fn of_url(code: &mut String) -> Result<SourceDomain, Reason> {
    let bare = behind_scheme(code).unwrap_or(code);
    let (host, path) = bare.split_at(bare.find('/').unwrap_or(bare.len()));
    if !is_host(host) || path.len() < 2 {
        return Err(no_path(bare.as_bytes()));
    }
    let place = SourceDomain::host(host);
    *code = code_of(path)?.to_owned();
    Ok(place)
}

/// A code without the slash that stands before it in a path.
fn alone(code: &mut String) -> Result<(), Reason> {
    if code.contains("://") {
        return Err(("INVALID", "code is a whole URL: give the code alone".to_owned()));
    }
    if code.len() > 1 && code.starts_with('/') {
        code.remove(0);
    }
    Ok(())
}

/// What stood in the file that these rows were rejected of.
fn mended(
    source: Box<dyn BufRead + Send>,
    separator: u8,
    format: Format,
) -> std::io::Result<Box<dyn BufRead + Send>> {
    let all = statements(Box::new(source.take(LONGEST)), separator)?;
    let text = match format {
        Format::VercelJson => format!("{{\"redirects\":[{}]}}", all.join(",\n")),
        _ => all.join("\n"),
    };
    Ok(Box::new(Cursor::new(text.into_bytes())))
}

/// Whether somebody has to unpack the file first.
fn packed(first: &[u8], name: &str, format: &str) -> Result<(), CommandFault> {
    for (magic, tool) in [
        (&b"\x28\xb5\x2f\xfd"[..], "zstdcat"),
        (b"\x1f\x8b", "zcat"),
        (b"\xfd7zXZ", "xzcat"),
        (b"BZh91AY", "bzcat"),
    ] {
        if first.starts_with(magic) {
            return Err(CommandFault::new(format_args!(
                "{name} is compressed: {tool} {name} | linkr import - --format {format}"
            )));
        }
    }
    if is_utf_16(first) {
        return Err(CommandFault::new(format_args!(
            "{name} is UTF-16: iconv -f UTF-16 -t UTF-8 {name} | linkr import - --format {format}"
        )));
    }
    if first.starts_with(b"PK\x03\x04") {
        return Err(CommandFault::new(format_args!(
            "{name} is a zip archive or a spreadsheet in its own form: unpack it, or save it as CSV"
        )));
    }
    // Of what never ends, such as a device, a line is too long: that is told elsewhere.
    if first.contains(&0) && (first.len() as u64) < MAX_FIRST {
        return Err(CommandFault::new(format_args!(
            "{name} is no text that is read here: it holds zero bytes. Is it UTF-16 without a mark (iconv -f UTF-16LE)?"
        )));
    }
    Ok(())
}

/// Counts what is read, for the progress bar.
struct CountingReader {
    source: Box<dyn Read + Send>,
    read: Arc<AtomicU64>,
}

impl Read for CountingReader {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.source.read(buffer)?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &'static [u8], format: Format) -> Result<Vec<Row>, CommandFault> {
        rows_with(text, "-", format, &ReadArgs::default())
    }

    fn rows_with(
        text: &'static [u8],
        domain: &str,
        format: Format,
        reading: &ReadArgs,
    ) -> Result<Vec<Row>, CommandFault> {
        let mut rows = Rows::open(Box::new(text), "FILE", domain, reading, Ok(format))?;
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
            (8, "max_age is not a whole number of seconds"),
        ];
        assert_eq!(seen, want);
        assert_eq!(rows[0].link.as_ref().unwrap().max_age, Some(1));
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
    fn letters_are_one_code_in_every_form() {
        for (text, format) in [
            ("code,target\nb\u{fc}cher(1),https://x\n", Format::Csv),
            ("code,target\n/b%C3%BCcher(1),https://x\n", Format::Csv),
            ("code,target\nbu\u{308}cher(1),https://x\n", Format::Csv),
            ("/b\u{fc}cher(1) https://x;\n", Format::NginxMap),
            ("/b%c3%bccher(1) https://x\n", Format::HaproxyMap),
            ("keyword,url\nb\u{fc}cher(1),https://x\n", Format::YourlsCsv),
            ("go.example/b%C3%BCcher(1),https://x\n", Format::CloudflareCsv),
        ] {
            let rows = rows(text.as_bytes(), format).unwrap();
            assert_eq!(rows[0].link.as_ref().unwrap().code, "b\u{fc}cher(1)", "{text}");
        }
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
        assert_eq!(good[0].link.as_ref().unwrap().target, "https://x");
        assert_eq!((good[1].cells.len(), reason(&good[1])), (1, "has 4 columns, the first line has 5"));
        let text = b"line,reason,message,row\n4,INVALID,no,\"{\"\"code\"\":\"\"a\"\",\"\"target\"\":\"\"https://x\"\"}\"\n";
        let good = rows(text, Format::Csv).unwrap();
        assert_eq!(good[0].link.as_ref().unwrap().code, "a");
    }

    #[test]
    fn a_mark_in_front_of_any_format_is_no_part_of_it() {
        for (text, format) in [
            ("code,target\na,https://x\n", Format::Csv),
            ("{\"code\":\"a\",\"target\":\"https://x\"}\n", Format::Jsonl),
            ("/a https://x;\n", Format::NginxMap),
            ("/a https://x\n", Format::HaproxyMap),
            ("keyword,url\na,https://x\n", Format::YourlsCsv),
            ("code;target\na;https://x\n", Format::Csv),
            ("go.example/a,https://x\n", Format::CloudflareCsv),
            ("/a https://x\n", Format::Redirects),
            ("{\"redirects\":[{\"source\":\"/a\",\"destination\":\"https://x\"}]}", Format::VercelJson),
        ] {
            for start in ["", "\u{feff}"] {
                let rows = rows(format!("{start}{text}").leak().as_bytes(), format).unwrap();
                let link = rows[0].link.as_ref().unwrap();
                assert_eq!((&*link.code, rows.len()), ("a", 1), "{start:?}{text}");
            }
        }
        let said = rows(b"\xff\xfec\0o\0", Format::HaproxyMap).err().unwrap().message().to_owned();
        assert!(said.contains("UTF-16: iconv") && said.ends_with("--format haproxy-map"), "{said}");
        for (text, want) in [
            (&b"c\0o\0d\0e\0,\0"[..], "it holds zero bytes"),
            (b"PK\x03\x04\n\0\0\0links.csv", "save it as CSV"),
            (b"BZh91AY&SY", "bzcat FILE | "),
        ] {
            let said = rows(text, Format::Csv).err().unwrap().message().to_owned();
            assert!(said.contains(want), "{said}");
        }
    }

    /// Found by users: more than half of a museum's map led to paths of its own.
    #[test]
    fn a_relative_target_leads_to_the_base() {
        let target = |target: &str, base: Option<&str>| {
            let reading = ReadArgs { base: base.map(str::to_owned), ..ReadArgs::default() };
            let text = format!("code,target\na,{target}\n").leak().as_bytes();
            let row = rows_with(text, "-", Format::Csv, &reading).unwrap().remove(0);
            row.link.map(|link| link.target).map_err(|(reason, _)| reason)
        };
        let base = Some("https://www.example");
        for (given, want) in [
            ("/x/y?a=1#f", "https://www.example/x/y?a=1#f"),
            ("/", "https://www.example/"),
            ("//b.example/x", "https://b.example/x"),
            ("/%7Ea/../b", "https://www.example/%7Ea/../b"),
            ("http://b.example/", "http://b.example/"),
            ("x/y", "x/y"),
            ("?a=1", "?a=1"),
        ] {
            assert_eq!(target(given, base).as_deref(), Ok(want));
        }
        assert_eq!(target("/x", None), Err("INVALID"));
        assert_eq!(target("https://b.example/", None).as_deref(), Ok("https://b.example/"));
    }

    #[test]
    fn what_spreadsheets_and_people_leave_behind() {
        let codes = |text: &'static [u8]| {
            let rows = rows(text, Format::Csv).unwrap();
            let code = |row: &Row| row.link.as_ref().map_or_else(|(why, _)| *why, |_| "").to_owned();
            rows.iter().map(|row| (row.line, code(row))).collect::<Vec<_>>()
        };
        let want = |lines: &[(u64, &str)]| {
            lines.iter().map(|(line, why)| (*line, (*why).to_owned())).collect::<Vec<_>>()
        };
        let text = b"sep=;\r\ncode;target\r\na;https://x\r\nb;https://x;\r\n";
        assert_eq!(codes(text), want(&[(3, ""), (4, "")]));
        let text = b"code,target\na,https://x,, \nb,https://x,y\nc\n";
        assert_eq!(codes(text), want(&[(2, ""), (3, "COLUMNS"), (4, "COLUMNS")]));
        let text = b",code,target\n0,a,https://x\n,b,https://x\n";
        assert_eq!(codes(text), want(&[(2, "COLUMNS"), (3, "")]));
        let text = b"code,target\n/a,https://x\nhttps://go.example/b,https://x\n/,https://x\n";
        assert_eq!(codes(text), want(&[(2, ""), (3, "INVALID"), (4, "")]));
        let taken = rows(b"code,target\n/a/b,https://x\n", Format::Csv).unwrap();
        assert_eq!(taken[0].link.as_ref().unwrap().code, "a/b");
    }

    #[test]
    fn a_line_that_means_several_links_is_as_many_rows() {
        let text = b"id,custom_bitlinks,long_url\nbit.ly/1,\"[\"\"bit.ly/a\"\",\"\"b.test/b\"\"]\",https://x\nbit.ly/2,,https://x\n";
        let rows = rows(text, Format::BitlyCsv).unwrap();
        let seen: Vec<(u64, &str)> = rows
            .iter()
            .map(|row| (row.line, row.link.as_ref().map_or_else(|(why, _)| *why, |link| link.code.as_str())))
            .collect();
        assert_eq!(seen, [(2, "1"), (2, "a"), (2, "DOMAIN"), (3, "2")]);
        assert!(rows.iter().all(|row| row.cells.len() == 3));
        assert_eq!(rows[0].link.as_ref().unwrap().domain, "bit.ly", "where conform asks for it");
    }

    #[test]
    fn names_of_columns_are_for_tables_without_a_form_of_their_own() {
        let reading = ReadArgs { columns: vec![("code".into(), "slug".into())], ..ReadArgs::default() };
        let taken = rows_with(b"slug,target\na,https://x\n", "-", Format::Csv, &reading).unwrap();
        assert_eq!(taken[0].link.as_ref().unwrap().code, "a");
        for format in [Format::Jsonl, Format::NginxMap, Format::ShlinkCsv, Format::CloudflareCsv] {
            let said = rows_with(b"x", "-", format, &reading).err().unwrap().message().to_owned();
            assert!(said.starts_with("--columns is for --format csv"), "{said}");
        }
    }

    /// Found with published tables of old and new addresses: every row was refused.
    #[test]
    fn a_code_may_be_a_whole_url_where_columns_are_named() {
        let reading = ReadArgs {
            columns: vec![("code".into(), "Old URL".into()), ("target".into(), "New URL".into())],
            ..ReadArgs::default()
        };
        let text = b"Old URL,New URL\nhttps://go.example/a/b.html, https://x\nhttp://b.example/c,https://x\n\
            https://go.example/a#b,https://x\nhttps://go.example/,https://x\n/d,https://x\nhttps://go.example/e?f,https://x\n# https://go.example/g,https://x\n";
        let rows = |domain| rows_with(text, domain, Format::Csv, &reading).unwrap();
        let taken = |domain| {
            let code = |row: &Row| {
                row.link.as_ref().map_or_else(|(why, _)| *why, |link| link.code.as_str()).to_owned()
            };
            rows(domain).iter().map(code).collect::<Vec<_>>()
        };
        assert_eq!(taken("-"), ["a/b.html", "DOMAIN", "KEY", "KEY", "d", "QUERY", "KEY"]);
        assert_eq!(taken("b.example"), ["DOMAIN", "c", "KEY", "KEY", "d", "QUERY", "KEY"]);
        assert_eq!(rows("-")[0].link.as_ref().unwrap().domain, "go.example", "where conform asks for it");
    }

    #[test]
    fn a_list_without_a_header_and_its_rejected_rows() {
        let reason = |row: &Row| row.link.as_ref().err().map(|(reason, _)| *reason);
        let list = rows(b"go.example/a,https://x\ngo.example/b,https://x,302,,TRUE\n", Format::CloudflareCsv)
            .unwrap();
        assert_eq!(
            (list[0].line, reason(&list[0]), list[1].line, reason(&list[1])),
            (1, None, 2, Some("LACKING"))
        );
        let text = b"line,reason,message,source_url,target_url,status_code\n2,LACKING,no,go.example/b,https://x,302\n";
        let saved = rows(b"go.example/a;https://x;302\n", Format::CloudflareCsv).unwrap();
        assert_eq!(saved[0].link.as_ref().unwrap().status, 302, "as spreadsheets of some countries save it");
        let mended = rows(text, Format::CloudflareCsv).unwrap();
        assert_eq!((mended.len(), mended[0].link.as_ref().unwrap().status), (1, 302));
    }

    #[test]
    fn rejected_statements_can_be_mended() {
        for (format, cells) in [
            (Format::NginxMap, "2,INVALID,no,/a https://x;\n3,INVALID,no,\"/b \"\"https://y\"\";\"\n"),
            (Format::HaproxyMap, "2,INVALID,no,/a https://x\n3,KEY,no,/b https://y\n"),
            (Format::Redirects, "2,INVALID,no,/a https://x 301\n3,PATTERN,no,/b https://y\n"),
            (
                Format::VercelJson,
                "2,INVALID,no,\"{\"\"source\"\":\"\"/a\"\",\"\"destination\"\":\"\"https://x\"\"}\"\n\
                 3,INVALID,no,\"{\"\"source\"\":\"\"/b\"\",\"\"destination\"\":\"\"https://y\"\"}\"\n",
            ),
        ] {
            let text = format!("line,reason,message,statement\n{cells}").leak().as_bytes();
            let mut saved = csv::WriterBuilder::new().delimiter(b';').from_writer(Vec::new());
            for row in csv::ReaderBuilder::new().has_headers(false).from_reader(text).into_records() {
                saved.write_record(&row.unwrap()).unwrap();
            }
            let saved = saved.into_inner().unwrap();
            assert_eq!(
                rows(saved.leak(), format).unwrap().len(),
                2,
                "as some spreadsheets save it: {format:?}"
            );
            let rows = rows(text, format).unwrap();
            let links: Vec<_> = rows.iter().map(|row| row.link.as_ref().unwrap()).collect();
            let links: Vec<_> = links.iter().map(|link| (link.code.as_str(), link.target.as_str())).collect();
            assert_eq!(links, [("a", "https://x"), ("b", "https://y")], "{format:?}");
        }
    }

    #[test]
    fn a_row_without_end_is_not_kept_in_memory() {
        for (head, format) in [
            ("", Format::Csv),
            ("code,target\na,\"", Format::Csv),
            ("", Format::Jsonl),
            ("", Format::NginxMap),
            ("", Format::HaproxyMap),
            ("", Format::Redirects),
            ("{", Format::VercelJson),
            ("", Format::CloudflareCsv),
        ] {
            let source = Box::new(head.as_bytes().chain(std::io::repeat(b'x')));
            let rows = Rows::open(source, "FILE", "-", &ReadArgs::default(), Ok(format))
                .and_then(|mut rows| rows.next());
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
            (
                b"code,url\n",
                "cannot read FILE: its first line does not name the column 'target': --columns target=NAME",
            ),
            (b"", "cannot read FILE: its first line does not name the column 'code': --columns code=NAME"),
            (b"code,target,code\n", "cannot read FILE: its column 'code' is there twice"),
        ] {
            let fault = rows(text, Format::Csv).err().unwrap();
            assert!(fault.message().starts_with(want), "{}", fault.message());
        }
        let fault = rows(b"code,target,x\n", Format::Csv).err().unwrap();
        assert!(fault.message().contains("its column 'x' is unknown"));
    }
}
