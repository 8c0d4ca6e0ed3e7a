//! Fields of a head that decide nothing about its answer, and say what kind of click it is.

use super::fields::{Field, FieldTable};
use super::text::trim;
use clicks::CapturedFlags;

/// What is kept of fields that decide nothing.
pub trait Notes<'a> {
    /// Which fields are looked at, for what they decide as well.
    const FIELDS: &'static FieldTable;

    /// Takes the value of a field that decides nothing.
    fn note(&mut self, field: Field, value: &'a [u8]);
}

/// Nothing is.
pub struct NoNotes;

static DECIDING: FieldTable = FieldTable::DECIDING;
static ALL: FieldTable = FieldTable::ALL;

impl<'a> Notes<'a> for NoNotes {
    const FIELDS: &'static FieldTable = &DECIDING;

    #[inline(always)]
    fn note(&mut self, _: Field, _: &'a [u8]) {}
}

/// What a click is classified by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeadNotes<'a> {
    /// Of the first four fields, as they stand behind the colon.
    values: [Option<&'a [u8]>; 4],
    /// Whether the answer is fetched ahead, and whether the visitor wants not to be followed.
    pub flags: CapturedFlags,
}

impl<'a> HeadNotes<'a> {
    /// Of a head that has none of them.
    pub const NONE: HeadNotes<'static> = HeadNotes { values: [None; 4], flags: CapturedFlags(0) };

    /// The values of a head that was kept, in the order of [`HeadNotes::values`].
    pub fn of(values: [Option<&'a [u8]>; 4], flags: CapturedFlags) -> Self {
        Self { values, flags }
    }

    /// `User-Agent`, `Referer`, `Accept-Language`, and the last line of `X-Forwarded-For`, each as it stands behind the colon,
    /// with any white space around it.
    #[inline(always)]
    pub fn values(&self) -> [Option<&'a [u8]>; 4] {
        self.values
    }

    #[cold]
    #[inline(never)]
    fn note_flag(&mut self, field: Field, value: &[u8]) {
        let value = trim(value);
        let flag = match field {
            Field::Gpc | Field::DoNotTrack if value == b"1" => CapturedFlags::PRIVATE,
            // A list with parameters: `prefetch;prerender`.
            Field::SecPurpose
                if value.get(..8).is_some_and(|word| word.eq_ignore_ascii_case(b"prefetch")) =>
            {
                CapturedFlags::PREFETCH
            }
            Field::Purpose | Field::XPurpose | Field::XMoz if is_ahead(value) => CapturedFlags::PREFETCH,
            _ => return,
        };
        self.flags |= flag;
    }
}

impl<'a> Notes<'a> for &mut HeadNotes<'a> {
    const FIELDS: &'static FieldTable = &ALL;

    #[inline(always)]
    fn note(&mut self, field: Field, value: &'a [u8]) {
        match self.values.get_mut(field as usize) {
            Some(place) => *place = Some(value),
            None => self.note_flag(field, value),
        }
    }
}

/// What browsers say, or said, when they fetch what nobody may look at.
fn is_ahead(value: &[u8]) -> bool {
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
        let [agent, referrer, language, forwarded] = notes.values();
        assert!(
            agent.is_some_and(|agent| agent.starts_with(b" Mozilla/5.0 (X11") && agent.ends_with(b"/537.36"))
        );
        assert_eq!(referrer, Some(&b" https://news.example.org/"[..]));
        assert_eq!(language, Some(&b" en-GB,en;q=0.9,de;q=0.8"[..]));
        assert_eq!((forwarded, notes.flags), (None, CapturedFlags::default()));
        assert_eq!(noted(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"), HeadNotes::NONE);
        assert_eq!(noted(b"\r\nPOST /a HTTP/1.0\r\nuser-agent:\tx \r\n\r\n").values()[0], Some(&b"\tx "[..]));
    }

    #[test]
    fn names_in_any_case_and_the_last_of_several() {
        let head = with(
            "USER-AGENT: a\r\nuser-agent:b\r\nx-Forwarded-For: 192.0.2.1\r\nX-FORWARDED-FOR: ::1 , ::2\r\n",
        );
        let notes = noted(&head);
        assert_eq!(notes.values(), [Some(&b"b"[..]), None, None, Some(&b" ::1 , ::2"[..])]);
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
}
