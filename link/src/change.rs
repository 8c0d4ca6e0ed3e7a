//! One entry of the change log, and the value it carries.

use crate::{Link, Seq};
use bytes::Bytes;

/// What kind of thing a change is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChangeKind(pub u8);

impl ChangeKind {
    /// A link was written or deleted: `record` is its new state.
    pub const LINK: Self = Self(1);
    /// A domain was written: `record` is its new state.
    pub const DOMAIN: Self = Self(2);
    /// A key was purged: from here on its code is unknown and free.
    pub const PURGE: Self = Self(3);
    /// A domain was deleted: from here on its host belongs to nobody. An edge that passed this over would go on answering
    /// for it.
    pub const DOMAIN_GONE: Self = Self(0x84);

    /// Whether this program knows the kind.
    pub fn is_known(self) -> bool {
        [Self::LINK, Self::DOMAIN, Self::PURGE, Self::DOMAIN_GONE].contains(&self)
    }

    /// Whether an edge that does not know this kind must stop instead of passing it over.
    pub fn must_understand(self) -> bool {
        self.0 & 0x80 != 0
    }
}

/// One entry of the change log, its value still in the bytes that every copy shares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its number.
    pub seq: Seq,
    /// Drawn at random by its commit.
    pub tag: u64,
    /// What it is about.
    pub kind: ChangeKind,
    /// Of a link: see [`crate::Key`]. Of a domain: the four bytes of its number.
    pub key: Bytes,
    /// Record v1 of a link or of a domain (see `proto`); empty for a purge and for a domain that was deleted.
    pub record: Bytes,
}

/// A code's link, or the tombstone of one, at some version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// There is a link.
    Live(Link),
    /// There was one, and its tombstone still stands.
    Deleted,
}

/// Which link, and which state of it. A code may belong to one link after the other; a uid belongs to one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct LinkIdentity {
    /// The seq of the change that created the link.
    pub uid: Seq,
    /// The seq of the change that made this state.
    pub version: Seq,
}

impl LinkIdentity {
    /// Of a state that the change which created the link made.
    pub const fn created(version: Seq) -> Self {
        Self { uid: version, version }
    }
}

/// A state and the seq of the change that made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionedState {
    /// The seq.
    pub version: Seq,
    /// The seq of the change that created the link; of a tombstone, whose record does not say it, the version.
    pub uid: Seq,
    /// The state.
    pub state: LinkState,
}

impl VersionedState {
    /// Which link, and which state of it.
    pub fn identity(&self) -> LinkIdentity {
        LinkIdentity { uid: self.uid, version: self.version }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_top_bit_says_must_understand() {
        assert!(!ChangeKind::LINK.must_understand());
        assert!(!ChangeKind(0x7f).must_understand());
        assert!(ChangeKind::DOMAIN_GONE.must_understand() && ChangeKind::DOMAIN_GONE.is_known());
        assert!(ChangeKind(0xff).must_understand() && !ChangeKind(0xff).is_known());
    }
}
