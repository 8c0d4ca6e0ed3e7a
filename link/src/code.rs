//! The code of a link: the path behind the host, one to eight segments.

use std::fmt;

/// A valid code that nobody else claims: see [`Code::new`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(Box<str>);

/// Why a text is no code. Always the fault of whoever gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeFault {
    /// Nothing there.
    Empty,
    /// More than [`Code::MAX_LEN`] bytes.
    TooLong,
    /// More than [`Code::MAX_SEGMENTS`] segments.
    TooManySegments,
    /// A segment is empty, `.` or `..`.
    BadSegment,
    /// A byte outside `0-9A-Za-z._~-`, at this offset.
    BadByte(usize),
    /// The edge answers this path itself.
    Reserved,
}

impl Code {
    /// Bytes.
    pub const MAX_LEN: usize = 128;
    /// Segments between slashes.
    pub const MAX_SEGMENTS: usize = 8;

    /// The one way to make a code.
    ///
    /// # Errors
    /// The first rule that `text` breaks, from left to right; [`CodeFault::Reserved`] last.
    pub fn new(text: &str) -> Result<Self, CodeFault> {
        check(text.as_bytes())?;
        if is_reserved(text.as_bytes()) {
            return Err(CodeFault::Reserved);
        }
        Ok(Self(text.into()))
    }

    /// The same in lower case, for a domain that does not tell case apart.
    #[must_use]
    pub fn folded(&self) -> Self {
        Self(self.0.to_ascii_lowercase().into())
    }

    /// The code as it stands in a path, without the leading slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether these path bytes (without the leading slash) have the form of a code. What the edge asks of every request.
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
        } else if !is_code_byte(byte) {
            return Err(CodeFault::BadByte(at));
        }
    }
    check_segment(&bytes[start..])?;
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
            table[byte] = b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'~' | b'-');
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
            Self::TooLong => write!(f, "is longer than {} bytes", Code::MAX_LEN),
            Self::TooManySegments => write!(f, "has more than {} segments", Code::MAX_SEGMENTS),
            Self::BadSegment => write!(f, "has a segment that is empty, '.' or '..'"),
            Self::BadByte(at) => {
                write!(
                    f,
                    "has a character at byte {at} that is none of 0-9 A-Z a-z . _ ~ - and '/' between segments"
                )
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
            ("é", Err(CodeFault::BadByte(0))),
            ("links:batch", Err(CodeFault::BadByte(5))),
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

    proptest! {
        #[test]
        fn a_code_is_what_the_edge_recognises(text in "[0-9A-Za-z._~/%-]{0,140}") {
            prop_assert_eq!(
                Code::new(&text).is_ok(),
                is_code(text.as_bytes()) && !is_reserved(text.as_bytes())
            );
        }
    }
}
