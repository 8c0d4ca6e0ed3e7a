//! A roll-up in its bytes, read without being built anew.

use super::packed::{self, Packed};
use super::{Entry, RollupFault, rows};

/// A roll-up as it lies in a database.
pub struct View<'a>(pub(crate) Layout<'a>);

/// One of the two layouts.
pub(crate) enum Layout<'a> {
    /// Few tuples: what is behind the layout.
    Rows(&'a [u8]),
    /// Many.
    Packed(Packed<'a>),
}

impl<'a> View<'a> {
    /// Reads how it is laid out.
    ///
    /// # Errors
    /// [`RollupFault`] if that cannot be read; what lies behind may still turn out to be damaged.
    pub fn new(bytes: &'a [u8]) -> Result<Self, RollupFault> {
        match bytes.split_first() {
            Some((&rows::LAYOUT, rest)) => Ok(Self(Layout::Rows(rest))),
            Some((&packed::LAYOUT, rest)) => Ok(Self(Layout::Packed(Packed::new(rest)?))),
            Some((newer, _)) if *newer > packed::LAYOUT => Err(RollupFault::TooNew),
            _ => Err(RollupFault::Malformed("layout")),
        }
    }

    /// At least so many tuples are likely to be there.
    pub(crate) fn len(&self) -> usize {
        match &self.0 {
            Layout::Rows(bytes) => bytes.len() / 8,
            Layout::Packed(packed) => packed.len(),
        }
    }

    /// Calls for each tuple, in rising order.
    ///
    /// # Errors
    /// [`RollupFault`] if it is damaged; what was called for before must not be used then.
    pub fn each(&self, found: impl FnMut(Entry)) -> Result<(), RollupFault> {
        match &self.0 {
            Layout::Rows(bytes) => rows::each(bytes, found),
            Layout::Packed(packed) => packed.each(found),
        }
    }
}
