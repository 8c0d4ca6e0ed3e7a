//! A request head (RFC 9112), strictly: what can be read in two ways is refused.
//!
//! [`parse`] looks only at the bytes from the start of the buffer and decides at the first byte that decides, so its
//! answer does not depend on how the bytes arrived.

mod fields;
mod line;
mod notes;
mod text;

use crate::host::{is_host, is_port};
use crate::limits::{MAX_FIELDS, MAX_HEAD_BYTES};
use crate::scan::{BLOCK, RUN, Scan, Words};
#[cfg(target_arch = "x86_64")]
use crate::unchecked::Vectors;
use crate::unchecked::chunk_at;
use fields::Field;
use line::{RequestLine, check_other, split_target};
use link::{is_code, is_reserved};
use notes::{NoNotes, Notes};
use std::ops::Range;
use text::{is_request_id, is_token_byte, trim};

pub use line::{Method, Refusal};
pub use notes::HeadNotes;

/// The result of parsing the bytes that have come so far.
#[derive(Debug, PartialEq, Eq)]
#[repr(u8)] // told apart by a byte of its own, not by what a flag of the head cannot be
pub enum HeadParse<'a> {
    /// Not decided: more bytes are needed.
    Incomplete,
    /// Never a request that is served: answer and close.
    Refused(Refusal),
    /// A head, and how many bytes it took.
    Head(Head<'a>, usize),
}

/// A request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head<'a> {
    /// What is asked for.
    pub method: Method,
    /// The host that it names, raw; `None` in HTTP/1.0.
    pub host: Option<&'a [u8]>,
    /// The path without its leading slash, raw.
    pub path: &'a [u8],
    /// Whether a link is asked for by its code as it stands: by GET, HEAD, POST or PUT, and a path of ASCII that has the form
    /// of a code and is none that the edge answers itself. Codes with letters beyond ASCII are looked for in other paths.
    pub code: bool,
    /// The query without its `?`, raw.
    pub query: Option<&'a [u8]>,
    /// Whether the connection ends with this request.
    pub close: bool,
    /// The client's own request id, if it is legal.
    pub request_id: Option<&'a [u8]>,
    /// `X-Linkr-Min-Revision`: the answer must be at least this new. Opaque here.
    pub min_revision: Option<&'a [u8]>,
    /// `X-Linkr-Debug: 1`.
    pub debug: bool,
    /// `traceparent` is there: whoever sent the request may want its trace. What it says is not read here.
    pub traced: bool,
    /// None of the last five, and nothing is sent: an answer carries nothing, and is held to nothing, beyond its meaning.
    pub plain: bool,
}

/// What the bytes at the start of `buffer` come to.
#[inline]
pub fn parse(buffer: &[u8]) -> HeadParse<'_> {
    parse_into(buffer, NoNotes)
}

/// The same, and what a click is classified by.
#[inline]
pub fn parse_noting<'a>(buffer: &'a [u8], notes: &mut HeadNotes<'a>) -> HeadParse<'a> {
    parse_into(buffer, notes)
}

#[inline(always)]
fn parse_into<'a>(buffer: &'a [u8], notes: impl Notes<'a>) -> HeadParse<'a> {
    #[cfg(target_arch = "x86_64")]
    if let Some(vectors) = Vectors::of_this_machine() {
        return by_vectors(buffer, vectors, notes);
    }
    by_words(buffer, notes)
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn by_vectors<'a>(buffer: &'a [u8], vectors: Vectors, notes: impl Notes<'a>) -> HeadParse<'a> {
    vectors.run(buffer, notes, |vectors, buffer, notes| {
        parse_with(buffer, vectors, |bytes, begin| match begin {
            Some(begin) => vectors
                .run(bytes, begin, |vectors, bytes, begin| parse_rest(bytes, Some(begin), vectors, notes)),
            None => vectors.run(bytes, (), |vectors, bytes, ()| parse_rest(bytes, None, vectors, notes)),
        })
    })
}

#[cold]
fn by_words<'a>(buffer: &'a [u8], notes: impl Notes<'a>) -> HeadParse<'a> {
    parse_with(buffer, Words, |bytes, begin| parse_rest(bytes, begin, Words, notes))
}

/// The same by one way to look at bytes; inlined into what is compiled for it. The head may be over behind the first two
/// lines; if not, `rest` goes on.
#[inline(always)]
pub fn parse_with<'a>(
    bytes: &'a [u8],
    scan: impl Scan,
    rest: impl FnOnce(&'a [u8], Option<FirstLines>) -> HeadParse<'a>,
) -> HeadParse<'a> {
    let window = window(bytes);
    with_text(
        window,
        #[inline(always)]
        |text| {
            let begin = plain_begin(text, scan);
            if let Some(begin) = &begin
                && chunk_at(text, begin.length()) == Some(b"\r\n")
            {
                let fields = Fields { host: Some(&window[begin.host()]), ..Fields::default() };
                return HeadParse::Head(fields.plain_head(&window[begin.path()]), begin.length() + 2);
            }
            rest(bytes, begin)
        },
    )
}

/// The rest of [`parse_with`]: in a function of its own, so that the short way keeps few things in mind.
#[inline(always)]
pub fn parse_rest<'a>(
    mut bytes: &'a [u8],
    begin: Option<FirstLines>,
    scan: impl Scan,
    notes: impl Notes<'a>,
) -> HeadParse<'a> {
    let mut passed = 0;
    // One empty line in front of a request line is passed over (RFC 9112, section 2.2).
    if let (None, [b'\r', b'\n', behind @ ..]) = (&begin, bytes) {
        (bytes, passed) = (behind, 2);
    }
    let window = window(bytes);
    with_text(
        window,
        #[inline(always)]
        |text| parse_lines(window, text, passed, begin, scan, notes),
    )
}

/// All lines of a head, and the rules between them. `text`: see [`with_text`]; `passed`: bytes in front.
#[inline(always)]
fn parse_lines<'a>(
    window: &'a [u8],
    text: &[u8],
    passed: usize,
    begin: Option<FirstLines>,
    scan: impl Scan,
    mut notes: impl Notes<'a>,
) -> HeadParse<'a> {
    let mut fields = Fields::default();
    let lines = match &begin {
        Some(begin) => {
            fields.host = Some(&window[begin.host()]);
            find_lines::<false>(window, text, (begin.length(), MAX_FIELDS - 1), &mut fields, &mut notes, scan)
        }
        None => find_lines::<true>(window, text, (0, MAX_FIELDS + 1), &mut fields, &mut notes, scan),
    };
    let (first, length) = match lines {
        LineScan::Incomplete => return HeadParse::Incomplete,
        LineScan::Refused(refusal) => return HeadParse::Refused(refusal),
        LineScan::Found(first, length) => (first, length + passed),
    };
    let first = match begin {
        // Nearly every head: there is nothing in it that it could be refused for.
        Some(begin) if !fields.unusual => {
            return HeadParse::Head(fields.plain_head(&window[begin.path()]), length);
        }
        Some(begin) => begin.path + PLAIN_END.len() - 2,
        None => first,
    };
    let plain_host = fields.host.is_some_and(|host| {
        let at = host.as_ptr().addr() - window.as_ptr().addr();
        chunk_at(text, at).and_then(|run| plain_host(run, scan)) == Some(host.len())
    });
    match RequestLine::read(&window[..first]).and_then(|line| fields.finish(&line, plain_host)) {
        Ok(head) => HeadParse::Head(head, length),
        Err(refusal) => HeadParse::Refused(refusal),
    }
}

/// No head is longer.
#[inline(always)]
fn window(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len().min(MAX_HEAD_BYTES)]
}

/// The first two lines of nearly every request: `GET` for the simplest of codes, and a plain host. Where both end.
pub struct FirstLines {
    path: usize,
    host: usize,
}

impl FirstLines {
    #[inline(always)]
    fn path(&self) -> Range<usize> {
        PLAIN_START.len()..self.path
    }

    #[inline(always)]
    fn host(&self) -> Range<usize> {
        self.path + PLAIN_END.len() + HOST..self.host
    }

    /// Of both lines.
    #[inline(always)]
    fn length(&self) -> usize {
        self.host + 2
    }
}

const PLAIN_START: &[u8; 5] = b"GET /";
const PLAIN_END: &[u8; 11] = b" HTTP/1.1\r\n";
/// `Host: `
const HOST: usize = 6;

#[inline(always)]
fn plain_begin(text: &[u8], scan: impl Scan) -> Option<FirstLines> {
    let start = PLAIN_START.len();
    let path = start + scan.stops(chunk_at(text, start)?).trailing_zeros() as usize;
    if !text.starts_with(PLAIN_START) || chunk_at(text, path) != Some(PLAIN_END) || path == start {
        return None;
    }
    let line = path + PLAIN_END.len();
    let [name @ .., b':', b' '] = chunk_at::<HOST>(text, line)? else { return None };
    let host = line + HOST + plain_host(chunk_at(text, line + HOST)?, scan)?;
    let good = is(name, b"host") && chunk_at(text, host) == Some(b"\r\n");
    good.then_some(FirstLines { path, host })
}

/// Hands over what is read of a window: itself, or, of one that is shorter than a block, bytes that begin so and end in spaces.
/// Nearly every request is half a block at least. `read` is compiled for each of them, so that of a longer one there are not
/// two texts to keep in mind.
#[inline(always)]
fn with_text<R>(window: &[u8], read: impl FnOnce(&[u8]) -> R) -> R {
    if window.len() >= BLOCK {
        return read(window);
    }
    let mut padded = [b' '; BLOCK + RUN];
    if let (Some(first), Some(last)) = (window.first_chunk::<RUN>(), window.last_chunk::<RUN>()) {
        padded[..RUN].copy_from_slice(first);
        padded[window.len() - RUN..][..RUN].copy_from_slice(last);
    } else {
        padded[..window.len()].copy_from_slice(window);
    }
    read(&padded)
}

enum LineScan {
    Incomplete,
    Refused(Refusal),
    /// Where the first line ends, and the head.
    Found(usize, usize),
}

/// Finds the ends of the lines up to the empty one, and takes what they say from all but the first. Any other CR or
/// LF, and any control but HTAB, ends the search. It begins with a line at `start`; there may be so many at `most`. `FIRST`:
/// this is the request line.
#[inline(always)]
fn find_lines<'a, const FIRST: bool>(
    window: &'a [u8],
    text: &[u8],
    (mut start, most): (usize, usize),
    fields: &mut Fields<'a>,
    notes: &mut impl Notes<'a>,
    scan: impl Scan,
) -> LineScan {
    // Told once, so that it is not asked at each block.
    assert!(text.len() >= BLOCK);
    let (mut first, mut at) = (0, start);
    let found = 'search: {
        while at < window.len() {
            let mut mask = match chunk_at(text, at) {
                Some(block) => scan.controls(block),
                // The last block begins where it is whole.
                None => {
                    text.last_chunk().map_or(0, |block| scan.controls(block) >> (at + BLOCK - text.len()))
                }
            };
            while mask != 0 {
                let here = at + mask.trailing_zeros() as usize;
                mask &= mask - 1;
                if chunk_at(window, here) != Some(b"\r\n") {
                    // A head full of tabs must not cost much more than another.
                    if window[here] != b'\t' && is_fault(window, here, start) {
                        break 'search LineScan::Refused(Refusal::BadRequest);
                    }
                    continue;
                }
                if here == start {
                    break 'search if FIRST && start == 0 {
                        LineScan::Refused(Refusal::BadRequest)
                    } else {
                        LineScan::Found(first, here + 2)
                    };
                }
                if FIRST && start == 0 {
                    first = here;
                } else {
                    fields.take_line(window, start..here, chunk_at(text, start), notes, scan);
                }
                fields.lines += 1;
                start = here + 2;
                mask &= mask.wrapping_sub(1); // the LF's, unless that is in the next block
            }
            at += BLOCK;
        }
        match (window.len() == MAX_HEAD_BYTES, start) {
            (false, _) => LineScan::Incomplete,
            (true, 0) => LineScan::Refused(Refusal::UriTooLong),
            (true, _) => LineScan::Refused(Refusal::HeadTooLarge),
        }
    };
    // Whatever it came to behind the last line that was allowed.
    if fields.lines > most { LineScan::Refused(Refusal::HeadTooLarge) } else { found }
}

/// Whether this control, which is no tab and begins no CRLF, may not stand in a head. `start`: of its line.
#[cold]
fn is_fault(window: &[u8], here: usize, start: usize) -> bool {
    match window[here] {
        b'\r' => here + 1 < window.len(), // the last one may still become a CRLF
        b'\n' => here + 1 != start,       // the second half of a line end that was just taken
        _ => true,
    }
}

#[derive(Default)]
struct Fields<'a> {
    /// Lines so far, those of [`FirstLines`] not counted.
    lines: usize,
    host: Option<&'a [u8]>,
    close: bool,
    request_id: Option<&'a [u8]>,
    has_request_id: bool,
    min_revision: Option<&'a [u8]>,
    debug: bool,
    traced: bool,
    /// Something below is set.
    unusual: bool,
    content_length: Option<&'a [u8]>,
    /// A line is none of a field, or a field is there twice: 400.
    bad: bool,
    /// `Transfer-Encoding` is there.
    coded: bool,
    /// A field announces content in a form that others may read in another way.
    odd: bool,
    expect: bool,
}

impl<'a> Fields<'a> {
    /// One field line: a token, a colon, a value. No folding, no space before the colon (RFC 9112, section 5). `run`:
    /// what it begins with.
    #[inline(always)]
    fn take_line<N: Notes<'a>>(
        &mut self,
        window: &'a [u8],
        line: Range<usize>,
        run: Option<&[u8; RUN]>,
        notes: &mut N,
        scan: impl Scan,
    ) {
        // At the latest the line's end stops the run. One that nothing stops begins with a byte that is no colon.
        let (colon, run) = match run.map(|run| (scan.stops(run).trailing_zeros() as usize % RUN, run)) {
            Some((colon, run)) if run[colon] == b':' => (colon, run),
            _ => return self.take_any(&window[line], notes),
        };
        let Some(field) = N::FIELDS.at(run[0], colon) else { return };
        if scan.is_name(run, field.padded()) {
            let value = &window[line.start + colon + 1..line.end];
            if field.is_noted() {
                notes.note(field, value);
            } else if field != Field::Connection || value != b" keep-alive" {
                self.take(field, value);
            }
        } else if field.is_framing() {
            self.take_any(&window[line], notes);
        }
    }

    /// A line whose name is not of the simplest bytes, or long, or is nearly one of those that say how long the message is.
    #[cold]
    fn take_any<N: Notes<'a>>(&mut self, line: &'a [u8], notes: &mut N) {
        let colon = line.iter().position(|&b| !is_token_byte(b));
        let Some(colon) = colon.filter(|colon| line[*colon] == b':') else { return self.refuse() };
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        let Some(field) = N::FIELDS.of(name) else { return };
        if name.eq_ignore_ascii_case(field.name().as_bytes()) {
            if field.is_noted() { notes.note(field, value) } else { self.take(field, value) }
        } else if field.is_framing() && field.is_folded(name) {
            (self.unusual, self.odd) = (true, true);
            self.coded |= field == Field::TransferEncoding;
        }
    }

    #[cold]
    fn refuse(&mut self) {
        (self.unusual, self.bad) = (true, true);
    }

    /// The value of a field that decides something.
    #[inline(never)]
    fn take(&mut self, field: Field, value: &'a [u8]) {
        match field {
            Field::Host => {
                let again = self.host.replace(trim(value)).is_some();
                (self.unusual, self.bad) = (self.unusual | again, self.bad | again);
            }
            Field::Expect => (self.unusual, self.expect) = (true, true),
            Field::Connection => {
                let value = trim(value);
                self.close |= !value.eq_ignore_ascii_case(b"keep-alive")
                    && value.split(|&b| b == b',').any(|t| trim(t).eq_ignore_ascii_case(b"close"));
            }
            Field::Traceparent => self.traced = true,
            Field::RequestId => {
                // Of two neither is echoed: which one is meant would be a guess.
                self.request_id = Some(trim(value)).filter(|id| is_request_id(id) && !self.has_request_id);
                self.has_request_id = true;
            }
            Field::AsksDebug => self.debug = trim(value) == b"1",
            Field::ContentLength => {
                self.unusual = true;
                self.bad |= self.content_length.replace(trim(value)).is_some();
            }
            Field::TransferEncoding => {
                self.unusual = true;
                self.odd |= self.coded || !trim(value).eq_ignore_ascii_case(b"chunked");
                self.coded = true;
            }
            Field::MinRevision => {
                let again = self.min_revision.replace(trim(value)).is_some();
                (self.unusual, self.bad) = (self.unusual | again, self.bad | again);
            }
            Field::Nameless => self.refuse(),
            Field::Agent
            | Field::Referrer
            | Field::Language
            | Field::Forwarded
            | Field::SecPurpose
            | Field::Purpose
            | Field::XPurpose
            | Field::XMoz
            | Field::Gpc
            | Field::DoNotTrack => {}
        }
    }

    #[inline(always)]
    fn head(&self, line: &RequestLine<'a>, path: &'a [u8], code: bool, query: Option<&'a [u8]>) -> Head<'a> {
        let close = self.close || line.minor == 0;
        Head {
            method: line.method,
            host: self.host,
            path,
            code,
            query,
            close,
            request_id: self.request_id,
            min_revision: self.min_revision,
            debug: self.debug,
            traced: self.traced,
            plain: !close
                && self.request_id.is_none()
                && self.min_revision.is_none()
                && !self.debug
                && !self.traced,
        }
    }

    /// Of a request that begins as [`plain_begin`] finds.
    #[inline(always)]
    fn plain_head(&self, path: &'a [u8]) -> Head<'a> {
        let line = RequestLine { method: Method::Get, connect: false, target: path, minor: 1 };
        self.head(&line, path, true, None)
    }

    /// The rules between the fields and the request line. Framing first: it decides what may follow.
    #[inline(never)]
    fn finish(&self, line: &RequestLine<'a>, plain_host: bool) -> Result<Head<'a>, Refusal> {
        if self.bad {
            return Err(Refusal::BadRequest);
        }
        let content = match self.content_length {
            // RFC 9112, section 6.3: several, or none that is a number, are never repaired here.
            Some(digits)
                if digits.is_empty() || digits.len() > 18 || !digits.iter().all(u8::is_ascii_digit) =>
            {
                return Err(Refusal::BadRequest);
            }
            Some(digits) => digits.iter().any(|&b| b != b'0'),
            None => false,
        };
        let content = content || self.coded || self.odd;
        match self.host {
            Some(host) if !plain_host && !is_host(host) => return Err(Refusal::BadRequest),
            None if line.minor == 1 => return Err(Refusal::BadRequest),
            _ => {}
        }
        let (path, query) = match line.method {
            Method::Other => check_other(line).map(|()| (&b""[..], None))?,
            Method::Options if line.target == b"*" => (&b""[..], None),
            _ => split_target(line.target, self.host)?,
        };
        let linked = matches!(line.method, Method::Get | Method::Head | Method::Send);
        let code = linked && path.is_ascii() && is_code(path) && !is_reserved(path);
        if line.method.may_have_content() {
            // Of two framings, or one that is not known here, whoever is in front may have gone by another (RFC 9112,
            // sections 6.1 and 6.3).
            if self.odd || self.coded && (self.content_length.is_some() || line.minor == 0) {
                return Err(Refusal::BadRequest);
            }
            // What follows is not read, and never taken for a request.
            let head = self.head(line, path, code, query);
            return Ok(Head { close: head.close || content || self.expect, plain: false, ..head });
        }
        if content {
            return Err(Refusal::ContentTooLarge);
        }
        if self.expect {
            return Err(Refusal::ExpectationFailed);
        }
        Ok(self.head(line, path, code, query))
    }
}

/// The length of a host of labels in the simplest bytes, perhaps with a port, that this begins with and that ends in it.
/// What is not so is looked at by [`is_host`].
#[inline(always)]
fn plain_host(run: &[u8; RUN], scan: impl Scan) -> Option<usize> {
    let (stops, dots) = (scan.stops(run), scan.dots(run));
    let others = stops & !dots;
    let end = others.trailing_zeros();
    if end as usize == RUN {
        return None;
    }
    // Of labels: one begins at the start and behind each dot, and none is over there already.
    let ends = dots & ((1 << end) - 1) | 1 << end;
    if (ends << 1 | 1) & ends != 0 {
        return None;
    }
    if run[end as usize] != b':' {
        return Some(end as usize);
    }
    let port_end = (others & (others - 1)).trailing_zeros() as usize;
    (port_end < RUN && is_port(&run[end as usize..port_end])).then_some(port_end)
}

/// Whether `text`, in which no control is, is `want` in any case. `want`: lower-case letters and hyphens. Then only
/// they themselves become equal by the bit that tells cases apart: a hyphen's other byte is CR.
#[inline(always)]
fn is<const N: usize>(text: &[u8], want: &[u8; N]) -> bool {
    let Ok(text) = <&[u8; N]>::try_from(text) else { return false };
    text.iter().zip(want).fold(0, |differs, (&have, &want)| differs | (have | 0x20) ^ want) == 0
}

#[cfg(test)]
#[path = "head_tests.rs"]
mod tests;
