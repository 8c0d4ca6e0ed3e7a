//! Names of fields that are looked at: found by length and first letter, then compared at once.

use crate::scan::{PaddedName, RUN};
use Field::{
    Agent, AsksDebug, Connection, ContentLength, DoNotTrack, Expect, Forwarded, Gpc, Host, Language,
    MinRevision, Nameless, Purpose, Referrer, RequestId, SecPurpose, Traceparent, TransferEncoding, XMoz,
    XPurpose,
};

/// A field that is looked at. The first four are kept as they are for a click, the next six are flags of it, and the others
/// decide something about the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Field {
    Agent,
    Referrer,
    Language,
    Forwarded,
    SecPurpose,
    Purpose,
    XPurpose,
    XMoz,
    Gpc,
    DoNotTrack,
    Host,
    Expect,
    Connection,
    RequestId,
    AsksDebug,
    ContentLength,
    TransferEncoding,
    MinRevision,
    Traceparent,
    /// No name at all: a fault.
    Nameless,
}

/// How many there are.
const COUNT: usize = Nameless as usize + 1;

/// In their order.
const NAMES: [(Field, &str); COUNT] = [
    (Agent, "user-agent"),
    (Referrer, "referer"),
    (Language, "accept-language"),
    (Forwarded, "x-forwarded-for"),
    (SecPurpose, "sec-purpose"),
    (Purpose, "purpose"),
    (XPurpose, "x-purpose"),
    (XMoz, "x-moz"),
    (Gpc, "sec-gpc"),
    (DoNotTrack, "dnt"),
    (Host, "host"),
    (Expect, "expect"),
    (Connection, "connection"),
    (RequestId, "x-request-id"),
    (AsksDebug, "x-linkr-debug"),
    (ContentLength, "content-length"),
    (TransferEncoding, "transfer-encoding"),
    (MinRevision, "x-linkr-min-revision"),
    (Traceparent, "traceparent"),
    (Nameless, ""),
];

static PADDED: [PaddedName; COUNT] = {
    let (mut all, mut at) = ([const { PaddedName::new("") }; COUNT], 0);
    while at < COUNT {
        assert!(NAMES[at].0 as usize == at, "they stand in their order");
        all[at] = PaddedName::new(NAMES[at].1);
        at += 1;
    }
    all
};

impl Field {
    /// Whether it decides nothing about the answer.
    #[inline(always)]
    pub fn is_noted(self) -> bool {
        (self as u8) < Host as u8
    }

    /// Whether it says how long the message is.
    #[inline(always)]
    pub fn is_framing(self) -> bool {
        matches!(self, ContentLength | TransferEncoding)
    }

    /// Whether a name is this field's with `_` for `-`: some programs in front fold the two, and then the end of a message would
    /// depend on who reads it. So both announce content.
    pub fn is_folded(self, name: &[u8]) -> bool {
        let folds =
            |(have, want): (&u8, u8)| have.to_ascii_lowercase() == want || (*have, want) == (b'_', b'-');
        name.len() == self.name().len() && name.iter().zip(self.name().bytes()).all(folds)
    }

    /// Its name, in lower case.
    pub fn name(self) -> &'static str {
        NAMES[self as usize].1
    }

    /// The same.
    #[inline(always)]
    pub fn padded(self) -> &'static PaddedName {
        &PADDED[self as usize]
    }
}

/// Which field a name can be that is so long and begins so: at most one.
pub struct FieldTable([[Option<Field>; RUN]; 32]);

impl FieldTable {
    /// Of fields that decide something.
    pub const DECIDING: Self = Self::from(Host);
    /// Of all.
    pub const ALL: Self = Self::from(Agent);

    const fn from(first: Field) -> Self {
        let mut table = [[None; RUN]; 32];
        let mut at = first as usize;
        while at < COUNT {
            let (field, name) = (NAMES[at].0, NAMES[at].1.as_bytes());
            // A line without a name begins with its colon.
            let first = if name.is_empty() { b':' } else { name[0] };
            let place = &mut table[first as usize % 32][name.len()];
            assert!(place.is_none(), "no two begin with one letter and are of one length");
            *place = Some(field);
            at += 1;
        }
        Self(table)
    }

    /// The one that a name of `length` bytes, less than [`RUN`], can be.
    #[inline(always)]
    pub fn at(&self, first: u8, length: usize) -> Option<Field> {
        self.0[usize::from(first % 32)][length % RUN]
    }

    /// The one that this name, of any length, can be.
    pub fn of(&self, name: &[u8]) -> Option<Field> {
        let first = *name.first().unwrap_or(&b':');
        if name.len() < RUN { self.at(first, name.len()) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_field_is_found_by_its_name_in_any_case() {
        for (field, name) in NAMES {
            for name in [name.to_owned(), name.to_uppercase()] {
                assert_eq!(FieldTable::ALL.of(name.as_bytes()), Some(field), "{name}");
                let deciding = Some(field).filter(|field| !field.is_noted());
                assert_eq!(FieldTable::DECIDING.of(name.as_bytes()), deciding, "{name}");
            }
            assert_eq!((field.name(), &field.padded().bytes[..name.len()]), (name, name.as_bytes()));
        }
        let long = [b'h'; 36];
        assert_eq!(FieldTable::ALL.of(&long), None, "not that of four letters");
        assert_eq!(Field::MinRevision.padded().mask.iter().filter(|byte| **byte != 0).count(), 20);
    }
}
