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
mod tests;
