//! Fields of a head that decide nothing about its answer, and say what kind of click it is.

use super::{is, trim};
use clicks::CapturedFlags;

/// What is kept of fields that decide nothing.
pub trait Notes<'a> {
    /// Whether the line of a field whose name is so long and begins so has to be looked at, for what it decides as well. No
    /// name at all is a fault.
    fn wants(length: u32, first: u8) -> bool;

    /// Takes a line whose name ends at `colon`, if it is wanted here; otherwise it may decide something.
    fn take(&mut self, line: &'a [u8], colon: usize) -> bool;
}

/// Nothing is.
pub struct NoNotes;

impl<'a> Notes<'a> for NoNotes {
    /// Lengths and first letters of the names that decide something, one bit each: most others differ in one of them.
    #[inline(always)]
    fn wants(length: u32, first: u8) -> bool {
        const LENGTHS: u32 =
            1 | 1 << 4 | 1 << 6 | 1 << 10 | 1 << 11 | 1 << 12 | 1 << 13 | 1 << 14 | 1 << 17 | 1 << 20;
        const LETTERS: u32 =
            letter(b':') | letter(b'c') | letter(b'e') | letter(b'h') | letter(b't') | letter(b'x');
        const fn letter(byte: u8) -> u32 {
            1 << (byte % 32)
        }
        LENGTHS >> (length % 32) & 1 != 0 && letter(first) & LETTERS != 0
    }

    #[inline(always)]
    fn take(&mut self, _: &'a [u8], _: usize) -> bool {
        false
    }
}

/// What a click is classified by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeadNotes<'a> {
    /// `User-Agent`.
    pub agent: Option<&'a [u8]>,
    /// `Referer`.
    pub referrer: Option<&'a [u8]>,
    /// `Accept-Language`.
    pub language: Option<&'a [u8]>,
    /// The last line of `X-Forwarded-For`: whom the nearest proxy names.
    pub forwarded: Option<&'a [u8]>,
    /// Whether the answer is fetched ahead, and whether the visitor wants not to be followed.
    pub flags: CapturedFlags,
}

impl HeadNotes<'_> {
    /// Of a head that has none of them.
    pub const NONE: HeadNotes<'static> =
        HeadNotes { agent: None, referrer: None, language: None, forwarded: None, flags: CapturedFlags(0) };
}

/// For each first letter, the lengths of names that begin with it, one bit each: five instructions a line, and of a browser's
/// lines only one is looked at in vain (`Accept-Encoding`).
const WANTED: [u32; 32] = {
    let names: [&[u8]; 19] = [
        b"host",
        b"expect",
        b"connection",
        b"x-request-id",
        b"x-linkr-debug",
        b"content-length",
        b"transfer-encoding",
        b"traceparent",
        b"x-linkr-min-revision",
        b"user-agent",
        b"referer",
        b"accept-language",
        b"sec-purpose",
        b"purpose",
        b"x-purpose",
        b"x-moz",
        b"sec-gpc",
        b"dnt",
        b"x-forwarded-for",
    ];
    let (mut table, mut at) = ([0; 32], 0);
    while at < names.len() {
        table[names[at][0] as usize % 32] |= 1 << names[at].len();
        at += 1;
    }
    table[b':' as usize % 32] |= 1; // no name
    table
};

impl<'a> Notes<'a> for &mut HeadNotes<'a> {
    #[inline(always)]
    fn wants(length: u32, first: u8) -> bool {
        WANTED[usize::from(first % 32)] >> (length % 32) & 1 != 0
    }

    #[inline(always)]
    fn take(&mut self, line: &'a [u8], colon: usize) -> bool {
        self.note(line, colon)
    }
}

impl<'a> HeadNotes<'a> {
    #[inline(never)]
    fn note(&mut self, line: &'a [u8], colon: usize) -> bool {
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        match name.len() {
            10 if is(name, b"user-agent") => self.agent = Some(trim(value)),
            15 if is(name, b"accept-language") => self.language = Some(trim(value)),
            7 if is(name, b"referer") => self.referrer = Some(trim(value)),
            15 if is(name, b"x-forwarded-for") => self.forwarded = Some(trim(value)),
            7 if is(name, b"sec-gpc") => self.flag(trim(value) == b"1", CapturedFlags::PRIVATE),
            3 if is(name, b"dnt") => self.flag(trim(value) == b"1", CapturedFlags::PRIVATE),
            11 if is(name, b"sec-purpose") => {
                // A list with parameters: `prefetch;prerender`.
                let ahead = trim(value).get(..8).is_some_and(|word| word.eq_ignore_ascii_case(b"prefetch"));
                self.flag(ahead, CapturedFlags::PREFETCH);
            }
            7 if is(name, b"purpose") => self.flag(is_ahead(value), CapturedFlags::PREFETCH),
            9 if is(name, b"x-purpose") => self.flag(is_ahead(value), CapturedFlags::PREFETCH),
            5 if is(name, b"x-moz") => self.flag(is_ahead(value), CapturedFlags::PREFETCH),
            _ => return false,
        }
        true
    }

    #[cold]
    fn flag(&mut self, set: bool, flag: CapturedFlags) {
        if set {
            self.flags |= flag;
        }
    }
}

/// What browsers say, or said, when they fetch what nobody may look at.
#[cold]
fn is_ahead(value: &[u8]) -> bool {
    let value = trim(value);
    value.eq_ignore_ascii_case(b"prefetch") || value.eq_ignore_ascii_case(b"preview")
}

#[cfg(test)]
mod tests {
    use super::super::{HeadParse, by_words, parse, parse_noting};
    use super::*;

    /// By every way to look at bytes that this machine has; the head itself is read as it is without notes.
    fn noted(head: &[u8]) -> HeadNotes<'_> {
        let (mut notes, mut again) = (HeadNotes::default(), HeadNotes::default());
        let parsed = parse_noting(head, &mut notes);
        assert_eq!((parsed, by_words(head, &mut again)), (parse(head), parse(head)));
        assert!(matches!(parse(head), HeadParse::Head(..)));
        assert_eq!(notes, again);
        notes
    }

    fn with(fields: &str) -> Vec<u8> {
        format!("GET /a HTTP/1.1\r\nHost: a\r\n{fields}\r\n").into()
    }

    #[test]
    fn a_browsers_head() {
        let head = include_bytes!("../../testdata/browser-head.http");
        let notes = noted(head);
        assert!(
            notes
                .agent
                .is_some_and(|agent| agent.starts_with(b"Mozilla/5.0 (X11") && agent.ends_with(b"/537.36"))
        );
        assert_eq!(notes.referrer, Some(&b"https://news.example.org/"[..]));
        assert_eq!(notes.language, Some(&b"en-GB,en;q=0.9,de;q=0.8"[..]));
        assert_eq!((notes.forwarded, notes.flags), (None, CapturedFlags::default()));
        assert_eq!(noted(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"), HeadNotes::NONE);
        assert_eq!(noted(b"\r\nPOST /a HTTP/1.0\r\nuser-agent:\tx \r\n\r\n").agent, Some(&b"x"[..]));
    }

    #[test]
    fn names_in_any_case_and_the_last_of_several() {
        let head = with(
            "USER-AGENT: a\r\nuser-agent:b\r\nx-Forwarded-For: 192.0.2.1\r\nX-FORWARDED-FOR: ::1 , ::2\r\n",
        );
        let notes = noted(&head);
        assert_eq!((notes.agent, notes.forwarded), (Some(&b"b"[..]), Some(&b"::1 , ::2"[..])));
        let head = with(
            "User_Agent: a\r\nReferrer: b\r\nAccept-Encoding: c\r\nXser-Agent: d\r\nX-Forwarded-Foo: e\r\n",
        );
        assert_eq!(noted(&head), HeadNotes::NONE);
    }

    #[test]
    fn every_header_by_which_something_is_fetched_ahead_and_no_other() {
        for (field, flags) in [
            ("Sec-Purpose: prefetch", CapturedFlags::PREFETCH),
            ("sec-purpose:Prefetch;prerender", CapturedFlags::PREFETCH),
            ("Sec-Purpose: prefetch;anonymous-client-ip", CapturedFlags::PREFETCH),
            ("Sec-Purpose: prefetc", CapturedFlags::default()),
            ("Purpose: prefetch", CapturedFlags::PREFETCH),
            ("Purpose: prefetched", CapturedFlags::default()),
            ("X-Purpose: preview", CapturedFlags::PREFETCH),
            ("X-Moz: prefetch ", CapturedFlags::PREFETCH),
            ("Sec-GPC: 1", CapturedFlags::PRIVATE),
            ("Sec-GPC: 0", CapturedFlags::default()),
            ("DNT: 1", CapturedFlags::PRIVATE),
            ("DNT: 0", CapturedFlags::default()),
            ("DNT: 1\r\nX-Moz: prefetch", CapturedFlags::PRIVATE | CapturedFlags::PREFETCH),
            ("Sec-Fetch-Dest: document\r\nSec-CH-UA: prefetch", CapturedFlags::default()),
        ] {
            assert_eq!(noted(&with(&format!("{field}\r\n"))).flags, flags, "{field}");
        }
    }

    #[test]
    fn whatever_decides_something_is_wanted_with_notes_as_without() {
        for first in 0..=u8::MAX {
            for length in 0..32 {
                let name = [b':', b'c', b'e', b'h', b't', b'x'].contains(&(first | 0x20));
                let decides = match (first | 0x20, length) {
                    (b'c', 10 | 14) | (b'e', 6) | (b'h', 4) | (b't', 11 | 17) | (b'x', 12 | 13 | 20) => name,
                    _ => first == b':' && length == 0,
                };
                assert!(!decides || NoNotes::wants(length, first), "{first} {length}");
                assert!(!decides || <&mut HeadNotes<'_>>::wants(length, first), "{first} {length}");
            }
        }
    }
}
