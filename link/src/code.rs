//! The code of a link: the path behind the host, one to eight segments.

use crate::letters;
use std::borrow::Cow;
use std::fmt;

/// A valid code that nobody else claims: see [`Code::new`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(Box<str>);

/// Why a text is no code. Always the fault of whoever gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeFault {
    /// Nothing there.
    Empty,
    /// More than [`Code::MAX_LEN`] bytes, as it is or without case.
    TooLong,
    /// More than [`Code::MAX_SEGMENTS`] segments.
    TooManySegments,
    /// A segment is empty, `.` or `..`.
    BadSegment,
    /// A byte of ASCII outside `0-9A-Za-z._~+,:@!'()*-`, at this offset.
    BadByte(usize),
    /// A character beyond ASCII that no code has, at this offset: a control, a space, one that nobody sees, one for private
    /// use, or none at all.
    Unfit(char, usize),
    /// The edge answers this path itself.
    Reserved,
}

impl Code {
    /// Bytes.
    pub const MAX_LEN: usize = 128;
    /// Segments between slashes.
    pub const MAX_SEGMENTS: usize = 8;

    /// The one way to make a code: of a text in any spelling, it is that in [Form C](crate::normal).
    ///
    /// # Errors
    /// A rule that `text` breaks; [`CodeFault::Reserved`] if it breaks no other.
    pub fn new(text: &str) -> Result<Self, CodeFault> {
        let text = if text.is_ascii() { Cow::Borrowed(text) } else { of_letters(text)? };
        check(text.as_bytes())?;
        if is_reserved(text.as_bytes()) {
            return Err(CodeFault::Reserved);
        }
        Ok(Self(text.into()))
    }

    /// The same [without case](crate::folded), for a domain that does not tell case apart.
    #[must_use]
    pub fn folded(&self) -> Self {
        Self(letters::folded(&self.0).into())
    }

    /// The code as it stands in a path, without the leading slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether these bytes have the form of a code. Of bytes beyond ASCII only that they are UTF-8: who wrote them may know more
/// characters than are known here. Such a code is asked for by other paths, too: see [`asked`].
#[inline]
pub fn is_code(bytes: &[u8]) -> bool {
    // Nearly every code is one segment without a dot.
    let simple = bytes.iter().all(|&byte| is_code_byte(byte) && byte != b'.');
    (simple && (1..=Code::MAX_LEN).contains(&bytes.len())) || check(bytes).is_ok()
}

/// Paths that an edge answers before it looks for a code: robots.txt, favicon.ico and /.well-known/ (RFC 8615).
#[inline]
pub fn is_reserved(bytes: &[u8]) -> bool {
    matches!(bytes, b"robots.txt" | b"favicon.ico" | b".well-known") || bytes.starts_with(b".well-known/")
}

/// The code that a path (without its leading slash) asks for with letters beyond ASCII, however they are spelled:
/// percent-encoded (RFC 3986, section 2.1) or as they are, in Form C or another. Only bytes beyond ASCII are decoded: the
/// path `%28` is another one than `(` (RFC 3986, section 6.2.2.2). `None` for a path of ASCII alone, and for what is no code.
#[cold]
pub fn asked(path: &[u8]) -> Option<String> {
    let may = |byte: &u8| *byte == b'%' || !byte.is_ascii();
    if path.len() > 3 * LONGEST_SPELLING || !path.iter().any(may) {
        return None;
    }
    let decoded = decoded(path);
    if decoded.is_ascii() {
        return None;
    }
    let text = String::from_utf8(decoded).ok()?;
    let code = match letters::normal(&text) {
        Cow::Borrowed(_) => text,
        Cow::Owned(normal) => normal,
    };
    is_code(code.as_bytes()).then_some(code)
}

/// A code as it stands in the path of a URL: what is beyond ASCII is percent-encoded, as browsers do it.
pub fn in_path(code: &str) -> Cow<'_, str> {
    if code.is_ascii() {
        return code.into();
    }
    let mut path = String::with_capacity(3 * code.len());
    for c in code.chars() {
        if c.is_ascii() {
            path.push(c);
        } else {
            let mut bytes = [0; 4];
            path.extend(c.encode_utf8(&mut bytes).bytes().map(|byte| format!("%{byte:02X}")));
        }
    }
    path.into()
}

/// Bytes of a code in the longest of its spellings: the parts of U+0390 take six bytes, and it takes two.
const LONGEST_SPELLING: usize = 3 * Code::MAX_LEN;

/// A path with what is percent-encoded beyond ASCII decoded.
fn decoded(path: &[u8]) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::with_capacity(path.len()), path);
    while let [first, behind @ ..] = rest {
        match escape(*first, behind).filter(|byte| !byte.is_ascii()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &behind[2..];
            }
            None => {
                bytes.push(*first);
                rest = behind;
            }
        }
    }
    bytes
}

/// The byte that is percent-encoded here, if one is.
pub(crate) fn escape(first: u8, behind: &[u8]) -> Option<u8> {
    match behind {
        [high, low, ..] if first == b'%' => hex(*high).zip(hex(*low)).map(|(high, low)| high << 4 | low),
        _ => None,
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| value.try_into().ok())
}

/// The one spelling of a text with letters beyond ASCII, if a code may have all of them.
#[cold]
fn of_letters(text: &str) -> Result<Cow<'_, str>, CodeFault> {
    if text.len() > LONGEST_SPELLING {
        return Err(CodeFault::TooLong);
    }
    let unfit = |&(_, c): &(usize, char)| !c.is_ascii() && letters::unfit(c).is_some();
    if let Some((at, c)) = text.char_indices().find(unfit) {
        return Err(CodeFault::Unfit(c, at));
    }
    let normal = letters::normal(text);
    // So that it has a form without case in every domain.
    if letters::folded(&normal).len() > Code::MAX_LEN {
        return Err(CodeFault::TooLong);
    }
    Ok(normal)
}

fn check(bytes: &[u8]) -> Result<(), CodeFault> {
    if bytes.is_empty() {
        return Err(CodeFault::Empty);
    }
    if bytes.len() > Code::MAX_LEN {
        return Err(CodeFault::TooLong);
    }
    let (mut segments, mut start) = (1, 0);
    for (at, &byte) in bytes.iter().enumerate() {
        if byte == b'/' {
            check_segment(&bytes[start..at])?;
            (segments, start) = (segments + 1, at + 1);
        } else if byte.is_ascii() && !is_code_byte(byte) {
            return Err(CodeFault::BadByte(at));
        }
    }
    check_segment(&bytes[start..])?;
    if let Err(fault) = std::str::from_utf8(bytes) {
        return Err(CodeFault::BadByte(fault.valid_up_to()));
    }
    if segments > Code::MAX_SEGMENTS { Err(CodeFault::TooManySegments) } else { Ok(()) }
}

fn check_segment(segment: &[u8]) -> Result<(), CodeFault> {
    if matches!(segment, b"" | b"." | b"..") { Err(CodeFault::BadSegment) } else { Ok(()) }
}

const fn is_code_byte(byte: u8) -> bool {
    const TABLE: [bool; 256] = {
        let mut table = [false; 256];
        let mut byte = 0;
        while byte < 256 {
            let b = byte as u8;
            // What RFC 3986, section 3.3, allows in a path as it is, but for `$ & ; =`, which shells and programs take for
            // their own.
            table[byte] = b.is_ascii_alphanumeric()
                || matches!(b, b'.' | b'_' | b'~' | b'-' | b'+' | b',' | b':' | b'@')
                || matches!(b, b'!' | b'\'' | b'(' | b')' | b'*');
            byte += 1;
        }
        table
    };
    TABLE[byte as usize]
}

/// Characters that codes are drawn from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alphabet {
    /// Digits and letters.
    Base62,
    /// Those of them that nobody takes for another: without `0 O o 1 l I`.
    Unambiguous,
}

impl Alphabet {
    /// The characters.
    pub fn bytes(self) -> Vec<u8> {
        const ALL: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        let all = ALL.iter().copied();
        match self {
            Self::Base62 => all.collect(),
            Self::Unambiguous => all.filter(|byte| !b"0Oo1lI".contains(byte)).collect(),
        }
    }
}

/// So many characters of an alphabet (of at most 256) from random bytes that the caller draws: 7 of base62 are 41.7
/// bits.
///
/// Returns `None` when the bytes hold too few usable ones (the highest values are skipped, so that every character is
/// equally likely): draw again.
pub fn generated(random: &[u8], alphabet: &[u8], length: usize) -> Option<String> {
    let usable = 256 - 256 % alphabet.len();
    let text: String = random
        .iter()
        .map(|&byte| usize::from(byte))
        .filter(|&byte| byte < usable)
        .take(length)
        .map(|byte| char::from(alphabet[byte % alphabet.len()]))
        .collect();
    (text.len() == length).then_some(text)
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for CodeFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "is empty"),
            Self::TooLong => write!(f, "is longer than {} bytes of UTF-8", Code::MAX_LEN),
            Self::TooManySegments => write!(f, "has more than {} segments", Code::MAX_SEGMENTS),
            Self::BadSegment => write!(f, "has a segment that is empty, '.' or '..'"),
            Self::BadByte(at) => write!(
                f,
                "has a character at byte {at} that no code has: of ASCII there are 0-9 A-Z a-z . _ ~ - + , : @ ! ' ( ) * \
                 and '/' between segments"
            ),
            Self::Unfit(c, at) => {
                let why = letters::unfit(*c).unwrap_or("which no code has");
                write!(f, "has U+{:04X} at byte {at}, {why}: leave it out", *c as u32)
            }
            Self::Reserved => write!(f, "is a path that the edge answers itself"),
        }
    }
}

impl std::error::Error for CodeFault {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rules() {
        let long = "a".repeat(129);
        let table: &[(&str, Result<(), CodeFault>)] = &[
            ("abc", Ok(())),
            ("old-page.html", Ok(())),
            ("media/1000452", Ok(())),
            ("a/b/c/d/e/f/g/h", Ok(())),
            (&long[..128], Ok(())),
            ("...", Ok(())),
            ("~_-", Ok(())),
            ("", Err(CodeFault::Empty)),
            (&long, Err(CodeFault::TooLong)),
            ("a/b/c/d/e/f/g/h/i", Err(CodeFault::TooManySegments)),
            ("/a", Err(CodeFault::BadSegment)),
            ("a/", Err(CodeFault::BadSegment)),
            ("a//b", Err(CodeFault::BadSegment)),
            ("a/../b", Err(CodeFault::BadSegment)),
            (".", Err(CodeFault::BadSegment)),
            ("a%61", Err(CodeFault::BadByte(1))),
            ("a;b", Err(CodeFault::BadByte(1))),
            ("a b", Err(CodeFault::BadByte(1))),
            ("a=b", Err(CodeFault::BadByte(1))),
            ("a$b", Err(CodeFault::BadByte(1))),
            ("a&b", Err(CodeFault::BadByte(1))),
            ("\u{e9}", Ok(())),
            ("links:batch", Ok(())),
            ("+,:@!'()*", Ok(())),
            ("\u{43f}\u{440}\u{438}\u{432}\u{435}\u{442}/\u{4e16}\u{754c}", Ok(())),
            ("a\u{200b}b", Err(CodeFault::Unfit('\u{200b}', 1))),
            ("\u{fc} b", Err(CodeFault::BadByte(2))),
            ("\u{37e}", Err(CodeFault::BadByte(0))), // a semicolon in Form C
            (&"\u{fc}".repeat(64), Ok(())),
            (&"\u{fc}".repeat(65), Err(CodeFault::TooLong)),
            (&"u\u{308}".repeat(64), Ok(())), // 192 bytes until its letters are put together
            (&"\u{149}".repeat(64), Err(CodeFault::TooLong)), // 192 bytes without case
            ("robots.txt", Err(CodeFault::Reserved)),
            ("favicon.ico", Err(CodeFault::Reserved)),
            (".well-known", Err(CodeFault::Reserved)),
            (".well-known/acme", Err(CodeFault::Reserved)),
            (".well-knownx", Ok(())),
        ];
        for (text, want) in table {
            assert_eq!(Code::new(text).map(|_| ()), *want, "{text}");
        }
    }

    #[test]
    fn generated_codes_are_even_and_skip_what_would_bias_them() {
        let all = Alphabet::Base62.bytes();
        let drawn = |random: &[u8]| generated(random, &all, 7);
        assert_eq!(drawn(&[0, 61, 62, 255, 10, 36, 247, 248, 1]).as_deref(), Some("0z0Aaz1"));
        assert_eq!((drawn(&[0; 6]), drawn(&[250; 64])), (None, None));
        assert_eq!(Alphabet::Unambiguous.bytes().len(), 56);
        assert_eq!(generated(&[223, 224, 0], &Alphabet::Unambiguous.bytes(), 2).as_deref(), Some("z2"));
    }

    /// On macOS names of files are in another form than elsewhere, and so are the codes that are made of them.
    #[test]
    fn a_code_has_one_spelling() {
        let code = |text: &str| Code::new(text).unwrap();
        assert_eq!(code("bu\u{308}cher"), code("b\u{fc}cher"));
        assert_eq!(code("B\u{dc}CHER").folded(), code("b\u{fc}cher").folded());
        assert_eq!(code("\u{212a}"), code("K"));
        assert_eq!(code("A+b").folded().as_str(), "a+b");
        // Letters that are those of a reserved path without case are told by the form that is stored.
        assert!(is_reserved(code("robot\u{17f}.txt").folded().as_str().as_bytes()));
    }

    #[test]
    fn what_is_wrong_is_said_by_its_name() {
        let said = |text: &str| Code::new(text).unwrap_err().to_string();
        assert_eq!(said("a\u{202e}b"), "has U+202E at byte 1, which nobody sees: leave it out");
        assert_eq!(
            said("\u{e000}"),
            "has U+E000 at byte 0, which means something else to every program: leave it out"
        );
        assert!(said("a b").starts_with("has a character at byte 1 that no code has"), "{}", said("a b"));
    }

    #[test]
    fn paths_that_ask_for_letters() {
        let umlaut = Some("b\u{fc}cher");
        for (path, want) in [
            (&b"b%C3%BCcher"[..], umlaut),
            (b"b%c3%bccher", umlaut),
            (b"b%C3%bccher", umlaut),
            (b"b\xc3\xbccher", umlaut),
            (b"b%c3\xbccher", umlaut),
            (b"bu%CC%88cher", umlaut),
            (b"%F0%9F%98%80/%E4%B8%96(1)", Some("\u{1f600}/\u{4e16}(1)")),
            (b"%E2%84%AA", Some("K")),
            (b"buecher", None),
            (b"%62echer", None),
            (b"b%C3%BCcher%28", None), // only what is beyond ASCII is decoded
            (b"%C3%BC%2Fa", None),
            (b"b%C3cher", None),
            (b"b%C3%28", None),
            (b"%C0%AF", None), // a slash, too long
            (b"%ED%A0%80", None),
            (b"%F4%90%80%80", None),
            (b"%FF", None),
            (b"\xff", None),
            (b"%C3%BC/", None),
            (b"%C3%BC//a", None),
            (b"%CD%BE", None), // a semicolon in Form C
            (b"%C3%BC%", None),
            (b"%C3%BC%C", None),
        ] {
            assert_eq!(asked(path).as_deref(), want, "{}", path.escape_ascii());
        }
        let longest = "%CE%B9%CC%88%CC%81".repeat(64);
        assert_eq!(asked(longest.as_bytes()).map(|code| code.len()), Some(128));
        assert_eq!(asked("%C3%BC".repeat(65).as_bytes()), None);
        assert_eq!(asked("%C3%BC".repeat(100_000).as_bytes()), None);
        assert_eq!(in_path("b\u{fc}cher/(1):\u{1f600}"), "b%C3%BCcher/(1):%F0%9F%98%80");
    }

    proptest! {
        #[test]
        fn a_code_is_what_the_edge_recognises(text in "[0-9A-Za-z._~+,:@!'()*/%;-]{0,140}") {
            prop_assert_eq!(
                Code::new(&text).is_ok(),
                is_code(text.as_bytes()) && !is_reserved(text.as_bytes())
            );
        }

        #[test]
        fn whatever_is_kept_is_found(text in "\\PC{1,12}|[a-zA-Z\u{300}-\u{345}\u{370}-\u{400}\u{1e00}-\u{2000}]{1,20}") {
            if let Ok(code) = Code::new(&text) {
                let folded = code.folded();
                for kept in [&code, &folded] {
                    prop_assert_eq!(&Code::new(kept.as_str()), &Ok(kept.clone()));
                    prop_assert!(is_code(kept.as_str().as_bytes()));
                    let path = in_path(kept.as_str()).into_owned();
                    let found = asked(path.as_bytes()).or_else(|| is_code(path.as_bytes()).then_some(path));
                    prop_assert_eq!(found.as_deref(), Some(kept.as_str()));
                }
                prop_assert_eq!(&folded.folded(), &folded);
            }
        }

        #[test]
        fn no_path_panics(path in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Some(code) = asked(&path) {
                prop_assert!(is_code(code.as_bytes()) && asked(code.as_bytes()).is_none_or(|again| again == code));
            }
        }
    }
}
