//! Which link an answer was made from, and which state of it.

use super::{Lookup, SlotView, StoredValue};
use link::Seq;

/// A link, and a state of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkIdentity {
    /// The seq of the change that created the link.
    pub uid: Seq,
    /// The seq of its last change.
    pub version: Seq,
}

impl LinkIdentity {
    /// Of a link that has not changed since.
    #[inline(always)]
    pub fn created(version: Seq) -> Self {
        Self { uid: version, version }
    }
}

impl SlotView<'_> {
    /// Of the link that is there; nothing without one.
    #[inline(always)]
    pub fn identity(self) -> LinkIdentity {
        self.slot.map_or(LinkIdentity::default(), |slot| LinkIdentity::created(slot.version()))
    }
}

impl Lookup<'_> {
    /// Of the link that was found.
    pub fn identity(&self) -> LinkIdentity {
        LinkIdentity::created(self.version)
    }
}

impl StoredValue {
    /// Of this link, which came with its version.
    pub fn identity(&self, version: Seq) -> LinkIdentity {
        LinkIdentity::created(version)
    }
}
