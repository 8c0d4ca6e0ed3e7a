//! The name space that a code lives in.

use crate::{Class, Endings, Files, QueryPolicy, Target};
use std::fmt;

/// Number of a domain: the first four bytes of every key. 0 is the default domain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DomainId(pub u32);

impl DomainId {
    /// The domain that answers for every host that no other claims.
    pub const DEFAULT: Self = Self(0);

    /// What every key of the domain begins with, and the whole key of its own entry in the log.
    pub fn prefix(self) -> [u8; 4] {
        self.0.to_be_bytes()
    }

    /// The domain whose entry in the log has this key; `None` for the key of anything else.
    pub fn of_entry(key: &[u8]) -> Option<Self> {
        key.try_into().map(u32::from_be_bytes).map(Self).ok()
    }
}

/// A domain as a resource name says it: `-` for the default one, or a host name in its compared form (lower case,
/// no trailing dot, no port).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Domain(Box<str>);

impl Default for Domain {
    fn default() -> Self {
        Self("-".into())
    }
}

/// What is kept of the clicks on a domain's links.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Stats {
    /// What each click was and where it came from; nothing by which two of one visitor are known.
    #[default]
    Counts = 0,
    /// How many there were in the whole domain.
    Off = 1,
    /// As `Counts`, and for a day which clicks are of one visitor.
    Full = 2,
}

impl Stats {
    /// In the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Counts, Self::Off, Self::Full];
}

/// A domain and how it answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DomainRules {
    /// Its host, or `-`.
    pub name: Domain,
    /// Codes are compared without regard to case: stored and looked up [without it](crate::folded).
    pub fold_case: bool,
    /// Of the default domain: hosts that no domain claims are refused (421).
    pub strict_hosts: bool,
    /// Of its links that do not say it themselves; `Inherit` is normal.
    pub class: Class,
    /// Where a visitor of `/` is led.
    pub root_target: Option<Target>,
    /// Where a visitor is led instead of a 404.
    pub not_found: Option<Target>,
    /// Where a visitor of a link is led that has expired and does not say it itself.
    pub expired_target: Option<Target>,
    /// What of a path is passed over before its code is looked up.
    pub endings: Endings,
    /// The policy that a link gets which is made without one. No edge asks for it.
    pub query: QueryPolicy,
    /// What is answered to `/robots.txt`: see [`DomainRules::MAX_ROBOTS`].
    pub robots: Option<Box<str>>,
    /// What it answers a few paths of its own with.
    pub files: Files,
    /// What is kept of the clicks on its links.
    pub stats: Stats,
    /// Fields of a newer record that this program does not know, kept byte for byte.
    pub unknown: Box<[u8]>,
}

impl DomainRules {
    /// Bytes of `robots`.
    pub const MAX_ROBOTS: usize = 2_048;

    /// Its targets, each under the name of its field.
    pub fn targets(&self) -> impl Iterator<Item = (&'static str, &Target)> {
        let fields = [
            ("root_target", &self.root_target),
            ("not_found", &self.not_found),
            ("expired_target", &self.expired_target),
        ];
        fields.into_iter().filter_map(|(field, target)| Some((field, target.as_ref()?)))
    }
}

/// The host of a `Host` field in the compared form of [`Domain`], in `buffer`: lower case, without a trailing dot and
/// without a port, which no domain has. `None` when it is too long for one.
pub fn compared<'a>(host: &[u8], buffer: &'a mut [u8; Domain::MAX_LEN]) -> Option<&'a [u8]> {
    let colon = host.iter().rposition(|&b| !b.is_ascii_digit()).filter(|&at| host[at] == b':');
    let host = &host[..colon.unwrap_or(host.len())];
    let host = host.strip_suffix(b".").unwrap_or(host);
    let own = buffer.get_mut(..host.len())?;
    own.copy_from_slice(host);
    own.make_ascii_lowercase();
    Some(own)
}

/// Why a text is no domain. Always the fault of whoever gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DomainFault;

impl Domain {
    /// Bytes (RFC 1035, section 2.3.4).
    pub const MAX_LEN: usize = 253;

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
        if host.len() <= Self::MAX_LEN && host.split('.').all(good_label) {
            Ok(Self(host.into()))
        } else {
            Err(DomainFault)
        }
    }

    /// The same of a name as people write it, which is read as the URL Standard reads a host.
    ///
    /// # Errors
    /// [`DomainFault`] when it is neither.
    #[cfg(feature = "given")]
    pub fn given(text: &str) -> Result<Self, DomainFault> {
        match text {
            "-" => Self::new(text),
            text => Self::new(&crate::read_host(text).ok_or(DomainFault)?),
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
    #[test]
    fn hosts_are_compared_without_case_dot_and_port() {
        let mut buffer = [0; Domain::MAX_LEN];
        let long = "a".repeat(254);
        for (host, want) in [
            ("Go.Example.", Some("go.example")),
            ("go.example:8080", Some("go.example")),
            ("go.example.:", Some("go.example")),
            ("80", Some("80")),
            ("[::1]:80", Some("[::1]")),
            ("[::1]", Some("[::1]")),
            (&long, None),
        ] {
            assert_eq!(compared(host.as_bytes(), &mut buffer), want.map(str::as_bytes), "{host}");
        }
    }

    #[test]
    fn the_key_of_its_entry_is_what_its_links_begin_with() {
        assert_eq!(DomainId::of_entry(&DomainId(258).prefix()), Some(DomainId(258)));
        assert_eq!((DomainId::of_entry(b"\0\0\0"), DomainId::of_entry(b"\0\0\0\0a")), (None, None));
    }
}
