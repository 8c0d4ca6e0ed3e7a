//! Where a link leads. A [`Target`] is the proof that its bytes may be copied into a `Location` field unchecked.

#[cfg(feature = "given")]
use crate::code::escape;
use std::fmt;

/// Bytes.
pub const MAX_TARGET: usize = 8 * 1024;

/// Bytes of a host as somebody may write it, and of what stands beside it: 253 characters of at most four bytes, each of
/// them percent-encoded.
#[cfg(feature = "given")]
const MAX_AUTHORITY: usize = 3 * 1024 + 64;

/// Characters of the same: 253, a dot behind them, and a colon with a port.
#[cfg(feature = "given")]
const MAX_CHARACTERS: usize = 253 + 1 + 6;

/// Never a target, whatever the configuration says: they run or open something in the visitor's own context.
const NEVER: [&str; 5] = ["javascript", "data", "vbscript", "file", "blob"];

/// Bytes that may stand in a `Location` field: 0x21–0x7E, at most [`MAX_TARGET`], an allowed scheme in front.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target(Box<[u8]>);

/// Why a text is no target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetFault {
    /// Nothing there.
    Empty,
    /// More than [`MAX_TARGET`] bytes in the form that would be stored.
    TooLong,
    /// A control character (CR, LF, NUL, TAB …), at this byte: refused, never stripped.
    ControlCharacter(usize),
    /// A character that nobody sees, where it can only have come along, and the byte where it begins.
    Hidden(char, usize),
    /// No absolute URL by the URL Standard, and why.
    NotAUrl(&'static str),
    /// A scheme that is not allowed.
    Scheme(String),
    /// A user name or password in front of the host.
    Userinfo,
    /// Stored bytes that no write can have made.
    Stored,
}

impl Target {
    /// A target that comes from the log, a copy or a file: a byte check, not a parse.
    ///
    /// # Errors
    /// [`TargetFault::Stored`], and nothing of it may be served.
    pub fn stored(bytes: &[u8]) -> Result<Self, TargetFault> {
        let printable = bytes.iter().all(|b| (0x21..=0x7e).contains(b));
        let scheme = bytes.iter().position(|&b| b == b':').map(|end| &bytes[..end]);
        let allowed = scheme.is_some_and(|scheme| {
            let web = [&b"http"[..], b"https"].iter().any(|web| scheme.eq_ignore_ascii_case(web));
            let never = NEVER.iter().any(|never| scheme.eq_ignore_ascii_case(never.as_bytes()));
            let rest = &bytes[scheme.len()..];
            scheme.first().is_some_and(u8::is_ascii_alphabetic)
                && scheme.iter().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(b))
                && if web { rest.starts_with(b"://") && rest.len() > 3 } else { !never }
        });
        if printable && allowed && bytes.len() <= MAX_TARGET {
            Ok(Self(bytes.into()))
        } else {
            Err(TargetFault::Stored)
        }
    }

    /// A target as an admin gives it, by the URL Standard. It is kept byte for byte when it is plain printable ASCII
    /// and every client reads its authority alike (re-serialising breaks signed URLs); otherwise its serialisation
    /// is stored. `more_schemes` are allowed besides http and https.
    ///
    /// # Errors
    /// The first rule that `text` breaks.
    #[cfg(feature = "given")]
    pub fn given(text: &str, more_schemes: &[String]) -> Result<Self, TargetFault> {
        if let Some(at) = text.bytes().position(|b| b < 0x20 || b == 0x7f) {
            return Err(TargetFault::ControlCharacter(at));
        }
        let bare = text.trim_matches(' ');
        // At the end it is escaped, as clients do: links that are clicked have such.
        if let Some(first) = bare.chars().next().filter(|&c| is_unseen(c)) {
            return Err(hidden(text, |c| c == first));
        }
        if bare.is_empty() {
            return Err(TargetFault::Empty);
        }
        if text.len() > 3 * MAX_TARGET {
            return Err(TargetFault::TooLong);
        }
        if !has_short_authority(text) {
            return Err(TargetFault::NotAUrl("its host is too long"));
        }
        let url = url::Url::parse(text).map_err(|fault| match text.chars().any(is_unseen) {
            true => hidden(text, is_unseen),
            false => TargetFault::NotAUrl(reason(fault)),
        })?;
        let web = matches!(url.scheme(), "http" | "https");
        if NEVER.contains(&url.scheme()) || !(web || more_schemes.iter().any(|more| more == url.scheme())) {
            return Err(TargetFault::Scheme(url.scheme().to_owned()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(TargetFault::Userinfo);
        }
        let kept = if reads_alike(text, url.host_str()) { text } else { url.as_str() };
        if kept.len() > MAX_TARGET {
            return Err(TargetFault::TooLong);
        }
        Self::stored(kept.as_bytes())
    }

    /// The bytes of the `Location` field.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The same as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default() // printable ASCII by construction
    }

    /// Where it leads by the URL Standard, which is how clients read it; `None` for what no web client follows.
    #[cfg(feature = "given")]
    pub fn place(&self) -> Option<Destination> {
        let url = url::Url::parse(self.as_str()).ok()?;
        let host = url.host_str().filter(|_| matches!(url.scheme(), "http" | "https"))?;
        Some(Destination {
            host: without_dot(host).to_owned(),
            port: url.port_or_known_default(),
            path: url.path().trim_start_matches('/').to_owned(),
        })
    }
}

/// A scheme that targets may have besides http and https, in the form that it is compared in: lower case (RFC 3986,
/// section 3.1).
///
/// # Errors
/// Why no target will ever have it.
#[cfg(feature = "given")]
pub fn more_scheme(text: &str) -> Result<String, &'static str> {
    let scheme = text.to_ascii_lowercase();
    let inside = |b: u8| b.is_ascii_alphanumeric() || b"+-.".contains(&b);
    if !scheme.starts_with(|c: char| c.is_ascii_alphabetic()) || !scheme.bytes().all(inside) {
        return Err("is no scheme: a letter, then letters, digits, + - or . (without ://)");
    }
    if NEVER.contains(&scheme.as_str()) {
        return Err("is never a target: it would run or open something in the visitor's own context");
    }
    if ["http", "https"].contains(&scheme.as_str()) {
        return Err("is allowed anyhow: leave it out");
    }
    Ok(scheme)
}

/// The host, port and path that a target leads to.
#[cfg(feature = "given")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// In the compared form of [`crate::Domain`], or an IP address.
    pub host: String,
    /// That of the scheme, if no other is named.
    pub port: Option<u16>,
    /// Without the slash in front.
    pub path: String,
}

/// A host name or address as the URL Standard reads it, in the compared form of [`crate::Domain`]: percent-encoding is
/// taken away, letters beyond ASCII become Punycode, `127.1` is `127.0.0.1`. `None` when it is no host.
#[cfg(feature = "given")]
pub fn read_host(text: &str) -> Option<String> {
    let short = Some(text).filter(|text| is_short(text));
    let host = url::Host::parse(short?).ok()?.to_string();
    Some(without_dot(&host).to_owned())
}

#[cfg(feature = "given")]
fn without_dot(host: &str) -> &str {
    host.strip_suffix('.').unwrap_or(host)
}

/// Whether the host and what stands beside it are no longer than any can be.
#[cfg(feature = "given")]
fn has_short_authority(text: &str) -> bool {
    let behind = text.split_once(':').map_or("", |(_, rest)| rest).trim_start_matches(['/', '\\']);
    is_short(&behind[..behind.find(['/', '\\', '?', '#']).unwrap_or(behind.len())])
}

/// Whether this may be as long as a host: asked before it is read, since Punycode takes time by the square of a label.
#[cfg(feature = "given")]
fn is_short(authority: &str) -> bool {
    let characters = || {
        let (mut rest, mut count) = (authority.as_bytes(), 0);
        while let [first, behind @ ..] = rest {
            let decoded = escape(*first, behind);
            rest = if decoded.is_some() { &behind[2..] } else { behind };
            let goes_on = (0x80..0xc0).contains(&decoded.unwrap_or(*first));
            count += usize::from(!goes_on);
        }
        count
    };
    authority.len() <= MAX_AUTHORITY && characters() <= MAX_CHARACTERS
}

/// Whether a text that the URL Standard accepts may be kept as it is: printable ASCII, `scheme://`, and an authority
/// that the URL Standard and RFC 3986 delimit alike (no `\`, no empty user name, no third slash) and whose host it spells
/// as every client reads it, but for case.
#[cfg(feature = "given")]
fn reads_alike(text: &str, host: Option<&str>) -> bool {
    let Some((_, rest)) = text.split_once("://") else { return false };
    let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
    let (authority, behind) = rest.split_at(end);
    let spelled = match authority.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => authority,
    };
    text.bytes().all(|b| (0x21..=0x7e).contains(&b))
        && !authority.is_empty()
        && !authority.contains('@')
        && !behind.starts_with('\\')
        && host.is_some_and(|host| host.eq_ignore_ascii_case(spelled))
}

/// Marks of direction, ends of lines and paragraphs, and what cannot be seen.
pub fn misleads(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// What is pasted along with a URL and looks like nothing. Behind the host it may be meant: emoji and some scripts join
/// letters by it.
#[cfg(feature = "given")]
fn is_unseen(c: char) -> bool {
    misleads(c) || (c.is_whitespace() && !c.is_ascii())
}

#[cfg(feature = "given")]
fn hidden(text: &str, is_it: impl Fn(char) -> bool) -> TargetFault {
    let found = text.char_indices().find(|&(_, c)| is_it(c));
    found.map_or(TargetFault::Empty, |(at, c)| TargetFault::Hidden(c, at))
}

#[cfg(feature = "given")]
fn reason(fault: url::ParseError) -> &'static str {
    match fault {
        url::ParseError::EmptyHost => "it has no host",
        url::ParseError::IdnaError | url::ParseError::InvalidDomainCharacter => "its host name is not valid",
        url::ParseError::InvalidPort => "its port is not a number up to 65535",
        url::ParseError::InvalidIpv4Address => "its host is not a valid IPv4 address",
        url::ParseError::InvalidIpv6Address => "its host is not a valid IPv6 address",
        url::ParseError::RelativeUrlWithoutBase => "it has no scheme such as https://",
        _ => "it does not parse",
    }
}

impl fmt::Display for TargetFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "is empty"),
            Self::TooLong => write!(f, "is longer than {MAX_TARGET} bytes"),
            Self::ControlCharacter(at) => write!(f, "has a control character at byte {at}"),
            Self::Hidden(c, at) => {
                write!(f, "has a character that nobody sees, U+{:04X}, at byte {at}: leave it out", *c as u32)
            }
            Self::NotAUrl(why) => write!(f, "is not an absolute URL: {why}"),
            Self::Scheme(scheme) => write!(f, "has the scheme '{scheme}'; http and https are allowed"),
            Self::Userinfo => write!(f, "has a user name or password in front of its host"),
            Self::Stored => write!(f, "has bytes that may not be served"),
        }
    }
}

impl std::error::Error for TargetFault {}

#[cfg(all(test, feature = "given"))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn given(text: &str) -> Result<String, TargetFault> {
        Target::given(text, &[]).map(|target| target.as_str().to_owned())
    }

    #[test]
    fn kept_byte_for_byte() {
        for text in [
            "https://example.com",
            "HTTPS://Example.COM/%7Efoo/../bar?sig=a%2fb+c==#x",
            "http://example.com:80/",
            "https://example.com/a\\b",
            "https://example.com/?q=a|b{c}^`\"<>",
            "http://[::1]:8080/x",
        ] {
            assert_eq!(given(text).as_deref(), Ok(text));
        }
    }

    #[test]
    fn stored_in_the_form_of_the_url_standard() {
        for (text, want) in [
            ("https://example.com/a b", "https://example.com/a%20b"),
            (" https://example.com/x ", "https://example.com/x"),
            ("https://bücher.example/ü", "https://xn--bcher-kva.example/%C3%BC"),
            ("http:example.com/x", "http://example.com/x"),
            ("http:///example.com/x", "http://example.com/x"),
            ("https://good.example\\@evil.example/", "https://good.example/@evil.example/"),
            ("https://@example.com/", "https://example.com/"),
            (
                "https://example.com/\u{1f468}\u{200d}\u{1f469}",
                "https://example.com/%F0%9F%91%A8%E2%80%8D%F0%9F%91%A9",
            ),
            ("https:\\\\example.com\\x", "https://example.com/x"),
        ] {
            assert_eq!(given(text).as_deref(), Ok(want), "{text}");
        }
    }

    #[test]
    fn refused() {
        let table = [
            ("", TargetFault::Empty),
            ("  ", TargetFault::Empty),
            ("https://a/\r\nSet-Cookie: x", TargetFault::ControlCharacter(10)),
            ("https://a/\tb", TargetFault::ControlCharacter(10)),
            ("\0https://a/", TargetFault::ControlCharacter(0)),
            ("ftp://example.com/", TargetFault::Scheme("ftp".into())),
            ("javascript:alert(1)", TargetFault::Scheme("javascript".into())),
            ("JaVaScRiPt://example.com/%0aalert(1)", TargetFault::Scheme("javascript".into())),
            ("data:text/html,x", TargetFault::Scheme("data".into())),
            ("https://user@example.com/", TargetFault::Userinfo),
            ("https://:pass@example.com/", TargetFault::Userinfo),
            ("/relative", TargetFault::NotAUrl("it has no scheme such as https://")),
            ("example.com", TargetFault::NotAUrl("it has no scheme such as https://")),
            ("\u{feff}https://a.example/", TargetFault::Hidden('\u{feff}', 0)),
            (" \u{200b}https://a.example/", TargetFault::Hidden('\u{200b}', 1)),
            ("ht\u{ad}tps://a.example/", TargetFault::Hidden('\u{ad}', 2)),
            ("\u{202e}", TargetFault::Hidden('\u{202e}', 0)),
            ("https://", TargetFault::NotAUrl("it has no host")),
            ("https://a:99999/", TargetFault::NotAUrl("its port is not a number up to 65535")),
        ];
        for (text, want) in table {
            assert_eq!(given(text), Err(want), "{text:?}");
        }
        let long = format!("https://example.com/{}", "a".repeat(MAX_TARGET));
        assert_eq!(given(&long), Err(TargetFault::TooLong));
        assert_eq!(given(&long[..MAX_TARGET]).as_deref(), Ok(&long[..MAX_TARGET]));
    }

    /// Of 20,863 links that people had made and clicked, one ends so.
    #[test]
    fn what_nobody_sees_at_the_end_is_escaped() {
        assert_eq!(given("http://a.example/x/. \u{a0}").as_deref(), Ok("http://a.example/x/.%20%C2%A0"));
        assert_eq!(given("https://a.example/x\u{2060} ").as_deref(), Ok("https://a.example/x%E2%81%A0"));
    }

    #[test]
    fn more_schemes_by_configuration_but_never_the_dangerous_ones() {
        let more = ["ftp".to_owned(), "javascript".to_owned(), "mailto".to_owned()];
        assert!(Target::given("ftp://example.com/x", &more).is_ok());
        assert!(Target::given("mailto:a%40b", &more).is_ok());
        assert!(Target::given("javascript:alert(1)", &more).is_err());
    }

    #[test]
    fn stored_bytes_that_no_write_made() {
        for bytes in [
            &b"https://a b"[..],
            b"https://a\r\n",
            b"https:",
            b"https:/a",
            b"http://",
            b"//a",
            b"",
            b"\xff://a",
        ] {
            assert_eq!(Target::stored(bytes), Err(TargetFault::Stored));
        }
        assert_eq!(Target::stored(b"javascript:alert(1)"), Err(TargetFault::Stored));
        assert_eq!(Target::stored(b"DATA:x"), Err(TargetFault::Stored));
    }

    /// Found by attack: a host that clients read and we did not led into a loop.
    #[test]
    fn a_host_is_what_every_client_reads() {
        for (text, want) in [
            ("https://Go.Example.COM.:8080/x", "go.example.com"),
            ("http://[::1]:80", "[::1]"),
            ("http://[0:0::0:1]/", "[::1]"),
            ("http://a?x:1", "a"),
            ("http://b%2eexample/loop", "b.example"),
            ("http://b%2Eexamp%6ce/loop", "b.example"),
            ("http://127.1/x", "127.0.0.1"),
            ("http://0x7f.1/x", "127.0.0.1"),
            ("http://2130706433/x", "127.0.0.1"),
            ("http://0177.0.0.1./x", "127.0.0.1"),
            ("http://\u{ff42}.example/x", "b.example"),
            ("http://b\u{3002}example/x", "b.example"),
            ("http://b\u{ad}.example/x", "b.example"),
            ("https://B\u{fc}cher.example", "xn--bcher-kva.example"),
            ("http:\\\\b.example\\x", "b.example"),
            ("http:b.example/x", "b.example"),
        ] {
            let target = Target::given(text, &[]).unwrap();
            assert_eq!(target.place().unwrap().host, want, "{text}");
            // It is stored so that clients which know only RFC 3986 read the same.
            let stored = target.as_str().split_once("://").unwrap().1.split(['/', '?']).next().unwrap();
            assert!(stored.to_ascii_lowercase().starts_with(want), "{text} is stored as {stored}");
        }
        assert_eq!(Target::given("http://a/x/../b?c", &[]).unwrap().place().unwrap().path, "b");
        assert_eq!(Target::given("app://b.example/x", &["app".into()]).unwrap().place(), None);
    }

    #[test]
    fn names_of_hosts() {
        for (text, want) in [
            ("Go.Example.", Some("go.example")),
            ("127.1", Some("127.0.0.1")),
            ("b%2eexample", Some("b.example")),
            ("b\u{fc}cher.example", Some("xn--bcher-kva.example")),
            ("a b", None),
            ("", None),
            ("a:80", None),
            ("1.2.3.4.5", None),
            ("xn--a", None),
        ] {
            assert_eq!(read_host(text).as_deref(), want, "{text}");
        }
        assert_eq!(read_host(&"\u{fc}".repeat(4_000)), None);
    }

    /// Found by attack: the name of a domain was bounded only after it had been read; 1 MiB took 0.3 s.
    #[test]
    fn a_host_too_long_is_not_read_to_find_that_out() {
        let distinct: String = ('\u{4e00}'..'\u{5200}').collect();
        let labels = |label: &str| format!("{label}.").repeat(1024 * 1024 / label.len());
        let texts = [
            labels(&distinct),
            labels(&format!("xn--{}", "abz9".repeat(500))),
            "%e4%b8%80".repeat(100_000),
            "a.".repeat(131),
            "%61.".repeat(131),
            "\u{fc}".repeat(261),
        ];
        for text in &texts {
            assert!(!is_short(text), "{} bytes", text.len());
            assert!(read_host(text).is_none() && given(&format!("http://{text}/")).is_err());
        }
        let before = std::time::Instant::now();
        for text in &texts {
            (0..100).for_each(|_| assert_eq!(read_host(text), None));
        }
        assert!(before.elapsed() < std::time::Duration::from_secs(2), "{:?}", before.elapsed());
        let longest = format!("{}.{}", "a".repeat(63), "%62.".repeat(94));
        assert_eq!(read_host(&longest).map(|host| host.len()), Some(251));
        assert!(given(&format!("http://{}:65535/", "a.".repeat(126))).is_ok());
    }

    #[test]
    fn a_host_longer_than_any_is_not_read() {
        let hosts = ["\u{fc}".repeat(4_000), "%c3%bc".repeat(1_000), format!("{}@b", "u".repeat(8_000))];
        for host in hosts {
            let why = TargetFault::NotAUrl("its host is too long");
            assert_eq!(given(&format!("https://{host}/")), Err(why.clone()));
            assert_eq!(given(&format!("https:\\\\/{host}?x")), Err(why));
        }
        assert!(given(&format!("https://a.example/{}", "x".repeat(7_000))).is_ok());
    }

    proptest! {
        #[test]
        fn what_is_accepted_can_be_served(text in "\\PC{0,40}|https?:[/\\\\]{0,3}[ -~]{0,40}") {
            if let Ok(target) = Target::given(&text, &[]) {
                prop_assert_eq!(Target::stored(target.as_bytes()), Ok(target.clone()));
                // What is stored leads where the URL Standard says the given text leads.
                let same = url::Url::parse(target.as_str()).unwrap() == url::Url::parse(&text).unwrap();
                prop_assert!(same || text.contains('@'));
            }
        }
    }
}
