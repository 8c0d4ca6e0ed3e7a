//! A roll-up that grows: parts of the two other layouts, the largest first, so that what is added to many tuples does not
//! write all of them anew.
//!
//! ```text
//! u8       layout 15
//! then each part:
//! number   length
//!          the part
//! ```
//!
//! A tuple may be in several parts. Each part has more than [`RATIO`] times the tuples of the one behind it, so that all of
//! them have at most a third more than they would have together.

use super::packed::{self, Packed};
use super::{Entry, Rollup, RollupFault, rows};
use crate::varint::{Reader, put};

/// What it begins with.
pub const LAYOUT: u8 = 15;
/// Where a tuple has its kind, layouts that have something in front have all these bits.
pub const KIND: u8 = 7;
/// See the module.
const RATIO: usize = 4;
/// A part of so many tuples is written anew whatever is added: that costs less than the part's head.
const FEW: usize = 64;

/// A part as it lies in a database.
pub enum Part<'a> {
    /// Few tuples.
    Rows(&'a [u8]),
    /// Many.
    Packed(Packed<'a>),
}

impl<'a> Part<'a> {
    fn new(bytes: &'a [u8]) -> Result<Self, RollupFault> {
        match bytes.split_first() {
            Some((&packed::LAYOUT, rest)) => Ok(Self::Packed(Packed::new(rest)?)),
            Some((&LAYOUT, _)) => Err(RollupFault::Malformed("parts of a part")),
            Some((newer, _)) if newer & KIND == KIND => Err(RollupFault::TooNew),
            _ => Ok(Self::Rows(bytes)),
        }
    }

    /// About how many tuples there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Rows(bytes) => bytes.len() / 6 + 1,
            Self::Packed(packed) => packed.len(),
        }
    }

    /// Calls for each tuple, in rising order.
    pub fn each(&self, found: impl FnMut(Entry)) -> Result<(), RollupFault> {
        match self {
            Self::Rows(bytes) => rows::each(bytes, found),
            Self::Packed(packed) => packed.each(found),
        }
    }
}

/// The parts of a roll-up; one, if it has another layout.
pub fn parts(bytes: &[u8]) -> impl Iterator<Item = Result<Part<'_>, RollupFault>> {
    slices(bytes).map(|part| Part::new(part?))
}

fn slices(bytes: &[u8]) -> impl Iterator<Item = Result<&[u8], RollupFault>> {
    let (mut whole, mut rest) = match bytes.split_first() {
        Some((&LAYOUT, rest)) => (None, Reader(rest)),
        _ => (Some(bytes), Reader(&[])),
    };
    std::iter::from_fn(move || {
        if let Some(whole) = whole.take() {
            return Some(Ok(whole));
        }
        if rest.is_empty() {
            return None;
        }
        let part = rest.number().and_then(|length| rest.bytes(usize::try_from(length).ok()?));
        if part.is_none() {
            rest = Reader(&[]);
        }
        Some(part.ok_or(RollupFault::Malformed("end of a part")))
    })
}

/// The bytes of what `old` counts and `more` besides. Where `old` is long only its last parts are written anew.
pub fn append(old: &[u8], mut more: Rollup) -> Result<Vec<u8>, RollupFault> {
    if old.is_empty() {
        return Ok(more.encode());
    }
    let mut kept = slices(old).collect::<Result<Vec<_>, _>>()?;
    while let Some(&last) = kept.last() {
        let last = Part::new(last)?;
        if last.len() > FEW.max(RATIO * more.entries().len()) {
            break;
        }
        let mut together = Rollup::of_part(&last)?;
        together.merge(&more);
        more = together;
        kept.pop();
    }
    let new = more.encode();
    if kept.is_empty() {
        return Ok(new);
    }
    let mut out = Vec::with_capacity(old.len() + new.len() + 8);
    out.push(LAYOUT);
    for part in kept.into_iter().chain([&new[..]]) {
        put(&mut out, part.len() as u64);
        out.extend_from_slice(part);
    }
    Ok(out)
}
