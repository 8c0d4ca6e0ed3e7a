//! A click once it is classified: what is sent to control, kept and counted.

use crate::Kind;
use link::{DomainId, Seq};
use std::ops::RangeInclusive;
use std::sync::Arc;

/// Uids that a link may have. Stores keep what is of a domain itself beside its links, under numbers below 0.
pub const UIDS: RangeInclusive<Seq> = 1..=i64::MAX.cast_unsigned();

/// One click.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Click {
    /// When it was answered, in Unix milliseconds by the edge's clock.
    pub at: i64,
    /// The domain of the link.
    pub domain: DomainId,
    /// Which link: the seq that created it.
    pub uid: Seq,
    /// The version of the link that was answered with.
    pub version: Seq,
    /// What it is; never one that is kept as a [total](Kind::is_total).
    pub kind: Kind,
    /// From where.
    pub country: Country,
    /// The agent's family, such as `Firefox`; empty: unknown.
    pub browser: Arc<str>,
    /// Such as `Windows 10`; empty: unknown.
    pub os: Arc<str>,
    /// What it runs on.
    pub device: Device,
    /// The host that led there, or a name for a group of hosts; empty: none was given.
    pub referrer: Arc<str>,
    /// Which language is asked for first.
    pub language: Language,
    /// Who, for one day and one domain; 0: not known, or not wanted.
    pub visitor: u64,
    /// The [hash](crate::hash) under which the dictionary of agents has the whole text; 0: none was given. Of one whose text an
    /// edge had lost it is a number that no text has.
    pub agent: u64,
}

/// Two upper-case letters (ISO 3166-1); zeros: unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Country(pub [u8; 2]);

/// Two lower-case letters (ISO 639-1); zeros: unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Language(pub [u8; 2]);

/// What an agent runs on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Device {
    /// Nothing says it.
    #[default]
    Unknown = 0,
    /// A computer.
    Desktop = 1,
    /// A phone or a tablet.
    Mobile = 2,
    /// A television, a console, a watch.
    Other = 3,
}

impl Device {
    /// In the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Unknown, Self::Desktop, Self::Mobile, Self::Other];

    /// The label; empty: unknown.
    pub fn label(self) -> &'static str {
        ["", "desktop", "mobile", "other"][self as usize]
    }
}

impl Country {
    /// As text; empty: unknown.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default().trim_matches('\0')
    }
}

impl Language {
    /// As text; empty: unknown.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default().trim_matches('\0')
    }
}
