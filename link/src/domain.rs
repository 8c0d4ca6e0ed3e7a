//! The name space that a code lives in.

use std::fmt;

/// Number of a domain: the first four bytes of every key. 0 is the default domain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DomainId(pub u32);

impl DomainId {
    /// The domain that answers for every host that no other claims.
    pub const DEFAULT: Self = Self(0);
}

/// A domain as a resource name says it: `-` for the default one, or a host name in its compared form (lower case,
/// no trailing dot, no port).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Domain(Box<str>);

/// Why a text is no domain. Always the fault of whoever gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DomainFault;

impl Domain {
    /// The one way to make a domain: `-`, or at most 253 bytes of letters, digits and `-` in labels of 1 to 63
    /// (RFC 1123, section 2.1). Case is folded and one trailing dot taken away.
    ///
    /// # Errors
    /// [`DomainFault`] when it is neither.
    pub fn new(text: &str) -> Result<Self, DomainFault> {
        if text == "-" {
            return Ok(Self("-".into()));
        }
        let host = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let good_label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if host.len() <= 253 && host.split('.').all(good_label) {
            Ok(Self(host.into()))
        } else {
            Err(DomainFault)
        }
    }

    /// `-` or the host name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the default domain.
    pub fn is_default(&self) -> bool {
        &*self.0 == "-"
    }
}

impl fmt::Display for DomainFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "is neither '-' nor a host name")
    }
}

impl std::error::Error for DomainFault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules() {
        for (text, want) in [("-", "-"), ("Go.Example.COM.", "go.example.com"), ("localhost", "localhost")] {
            assert_eq!(Domain::new(text).unwrap().as_str(), want);
        }
        for text in ["", ".", "a..b", "-a.b", "a-.b", "a_b", "a:80", "é.com", "a/b", &"a".repeat(64)] {
            assert_eq!(Domain::new(text), Err(DomainFault), "{text}");
        }
    }
}
