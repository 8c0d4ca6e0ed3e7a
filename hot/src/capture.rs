//! What a redirect leaves in its worker's ring, and what an unknown code leaves in its worker's notes.

use crate::Outcome;
use crate::head::HeadNotes;
use crate::unchecked::chunk_at;
use crate::unknown::UnknownCodes;
use clicks::{Captured, CapturedFlags, MAX_TEXT_BYTES, Ring, RingWriter};
use link::{DomainId, LinkIdentity};

/// Where the clicks of one turn go, and what is known of who asks. The turn was begun at the writer.
pub struct Capture<'a> {
    /// The worker's ring.
    pub ring: Ring<'a>,
    /// Its end of it.
    pub writer: &'a mut RingWriter,
    /// Its notes of codes that are none.
    pub unknown: &'a mut UnknownCodes,
    /// Who asks on this connection.
    pub client: ClickClient<'a>,
}

/// Who asks on a connection.
#[derive(Clone, Copy, Default)]
pub struct ClickClient<'a> {
    /// Its address, encrypted; `None`: not known.
    pub address: Option<[u8; 16]>,
    /// A proxy asks for others, and is believed whom it names.
    pub forwarded: Option<&'a dyn ForwardedFor>,
}

/// Who knows which proxies are believed.
pub trait ForwardedFor {
    /// The encrypted address of the client that this value of `X-Forwarded-For` names. `None`: it names none.
    fn client(&self, value: &[u8]) -> Option<[u8; 16]>;
}

/// A redirect, as far as a click is made of it.
#[derive(Clone, Copy)]
pub(crate) struct Redirected<'a> {
    /// When, in Unix milliseconds.
    pub at: i64,
    /// Of which domain the link is.
    pub domain: DomainId,
    /// Which link.
    pub identity: LinkIdentity,
    /// Whether the method was HEAD.
    pub head_only: bool,
    /// What the request says of its client.
    pub notes: &'a HeadNotes<'a>,
    /// Bytes of the answers of this turn, up to the end of this one.
    pub answer_end: usize,
}

impl Capture<'_> {
    /// Notes what a request came to: a click, or that its code is none. `seen` is of a redirect, whatever it came to.
    #[inline(always)]
    pub(crate) fn answered(&mut self, outcome: Outcome, code: &[u8], seen: Redirected<'_>) {
        match outcome {
            Outcome::Redirect => self.redirected(seen),
            Outcome::NotFound => self.not_found(seen.domain, code),
            _ => {}
        }
    }

    /// Notes a click.
    #[inline(always)]
    fn redirected(&mut self, seen: Redirected<'_>) {
        let Redirected { notes, identity, .. } = seen;
        let [agent, referrer, language, forwarded] = notes.values();
        let agent = agent.map_or(0, |value| self.writer.text(&self.ring, cut(behind_space(value))));
        let referrer = referrer.map_or(0, |value| self.writer.text(&self.ring, host(behind_space(value))));
        let mut flags = notes.flags;
        if seen.head_only {
            flags |= CapturedFlags::HEAD;
        }
        let mut client = self.client.address;
        if let (Some(proxy), Some(value)) = (self.client.forwarded, forwarded) {
            client = proxy.client(value.trim_ascii()).or(client);
        }
        if client.is_some() {
            flags |= CapturedFlags::ADDRESS;
        }
        let click = Captured {
            at: seen.at,
            domain: seen.domain,
            uid: identity.uid,
            version: identity.version,
            agent,
            referrer,
            address: client.unwrap_or_default(),
            language: language.map_or([0; 8], |value| first_bytes(behind_space(value))),
            flags,
        };
        self.writer.click(&self.ring, &click, seen.answer_end as u32); // a turn's answers are of some KiB
    }

    /// Notes that somebody asked for a link that is none.
    #[cold]
    fn not_found(&mut self, domain: DomainId, code: &[u8]) {
        if !code.is_empty() {
            self.unknown.note(domain, code);
        }
    }
}

/// Without the one space that nearly every value has in front. What other white space there is, is left to whoever reads the
/// click.
#[inline(always)]
fn behind_space(value: &[u8]) -> &[u8] {
    match value {
        [b' ', behind @ ..] => behind,
        _ => value,
    }
}

#[inline(always)]
fn cut(text: &[u8]) -> &[u8] {
    if text.len() <= MAX_TEXT_BYTES { text } else { &text[..MAX_TEXT_BYTES] }
}

/// What is between the scheme of a URL and its path. Whether it is a host is asked where there is time for it.
#[inline(always)]
fn host(url: &[u8]) -> &[u8] {
    const HTTPS: u64 = u64::from_le_bytes(*b"https://");
    let behind = match url.split_first_chunk() {
        Some((scheme, behind)) if u64::from_le_bytes(*scheme) == HTTPS => behind,
        _ => behind_scheme(url),
    };
    until_slash(cut(behind))
}

#[cold]
fn behind_scheme(url: &[u8]) -> &[u8] {
    let scheme = url.windows(3).take(32).position(|part| part == b"://");
    scheme.map_or(&[], |length| &url[length + 3..])
}

/// Eight bytes at a time.
#[inline(always)]
fn until_slash(text: &[u8]) -> &[u8] {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let mut at = 0;
    while let Some(word) = chunk_at(text, at) {
        let slashes = u64::from_le_bytes(*word) ^ (EACH * u64::from(b'/'));
        // The lowest mark is that of a slash; one above it may not be.
        let marks = slashes.wrapping_sub(EACH) & !slashes & EACH << 7;
        if marks != 0 {
            return &text[..at + marks.trailing_zeros() as usize / 8];
        }
        at += 8;
    }
    let left = text[at..].iter().position(|&byte| byte == b'/');
    left.map_or(text, |left| &text[..at + left])
}

#[inline(always)]
fn first_bytes(text: &[u8]) -> [u8; 8] {
    if let Some(first) = text.first_chunk() {
        return *first;
    }
    let mut bytes = [0; 8];
    bytes.iter_mut().zip(text).for_each(|(place, byte)| *place = *byte);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_referrer_only_the_host() {
        for (url, want) in [
            ("https://news.example.org/", "news.example.org"),
            ("https://a.example/b/c?d", "a.example"),
            ("https://a", "a"),
            ("https:///a", ""),
            ("http://abcdefgh/", "abcdefgh"),
            ("http://abcdefg/h/", "abcdefg"),
            ("android-app://com.google.android.gm/", "com.google.android.gm"),
            ("about:blank", ""),
            ("", ""),
            ("/a/b", ""),
            ("https://user@host.example:8080/x", "user@host.example:8080"),
        ] {
            assert_eq!(host(url.as_bytes()), want.as_bytes(), "{url}");
        }
        let long = format!("https://{}/", "a".repeat(2_000));
        assert_eq!(host(long.as_bytes()), [b'a'; MAX_TEXT_BYTES]);
        for length in 0..40 {
            for byte in [b'.', b'/' + 1, b'/' - 1, b'/' | 0x80, 0] {
                let text = vec![byte; length];
                assert_eq!(until_slash(&text), text);
                assert_eq!(until_slash(&[&text[..], b"/", &text].concat()), text);
            }
        }
    }

    #[test]
    fn of_a_language_eight_bytes() {
        for (text, want) in
            [("", *b"\0\0\0\0\0\0\0\0"), ("de", *b"de\0\0\0\0\0\0"), ("en-GB,en;q=0.9", *b"en-GB,en")]
        {
            assert_eq!(first_bytes(text.as_bytes()), want, "{text}");
        }
    }
}
