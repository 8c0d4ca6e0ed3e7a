//! The headers by which a browser says that it fetches ahead, and may never show what it gets.

/// A header that may say so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrefetchHeader {
    /// `Sec-Purpose` (Fetch Standard, section 3.7; Chromium adds what it is fetched for behind a semicolon).
    SecPurpose,
    /// `Purpose`, of Chromium before version 145 and of WebKit.
    Purpose,
    /// `X-Purpose`, of Safari's Top Sites.
    XPurpose,
    /// `X-Moz`, of Firefox before version 115.
    XMoz,
}

impl PrefetchHeader {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::SecPurpose, Self::Purpose, Self::XPurpose, Self::XMoz];

    /// Its name, in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::SecPurpose => "sec-purpose",
            Self::Purpose => "purpose",
            Self::XPurpose => "x-purpose",
            Self::XMoz => "x-moz",
        }
    }
}

/// Whether a header with this value says that the answer is fetched ahead.
#[inline]
pub fn is_prefetch(header: PrefetchHeader, value: &[u8]) -> bool {
    let value = value.trim_ascii();
    let begins = |word: &[u8]| {
        value.len() >= word.len() && value[..word.len()].eq_ignore_ascii_case(word) && {
            let rest = value[word.len()..].trim_ascii_start();
            rest.is_empty() || rest[0] == b';' || rest[0] == b','
        }
    };
    begins(b"prefetch") || (header != PrefetchHeader::SecPurpose && begins(b"preview"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use PrefetchHeader::{Purpose, SecPurpose, XMoz, XPurpose};

    #[test]
    fn every_header_of_a_browser_that_fetches_ahead() {
        for (header, value) in [
            (SecPurpose, "prefetch"),
            (SecPurpose, "prefetch;prerender"),
            (SecPurpose, "prefetch;anonymous-client-ip"),
            (SecPurpose, "prefetch; prerender"),
            (SecPurpose, " Prefetch "),
            (Purpose, "prefetch"),
            (Purpose, "preview"),
            (XPurpose, "preview"),
            (XPurpose, "prefetch"),
            (XMoz, "prefetch"),
        ] {
            assert!(is_prefetch(header, value.as_bytes()), "{}: {value}", header.name());
        }
    }

    #[test]
    fn anything_else_is_asked_for_by_a_person() {
        for header in PrefetchHeader::ALL {
            for value in ["", " ", ";prefetch", "prefetched", "prefetc", "navigate", "p", "microsummary"] {
                assert!(!is_prefetch(header, value.as_bytes()), "{}: {value}", header.name());
            }
        }
        assert!(!is_prefetch(SecPurpose, b"preview"));
    }
}
