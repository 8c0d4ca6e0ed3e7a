//! The layout of a roll-up of few tuples: one behind the other, and nothing in front, since most roll-ups have one tuple. The
//! other layouts begin with a kind that no tuple has.
//!
//! ```text
//! each tuple:
//! u8       bits 0–2 kind, 3–4 device, 5 there is a referrer, 6 there are several clicks, 7 browser and system are unknown
//! number   country, language; unless they are unknown: browser, system; referrer, if there is one; count, if several
//! ```

use super::{Dimension, EMPTY, Entry, RollupFault, Tuple};
use crate::varint::{Reader, put};

/// Of so many tuples this layout is the shorter one.
pub const FEW: usize = 4;
/// Of more tuples the other layout is.
pub const MOST: usize = 16;

const REFERRED: u8 = 1 << 5;
const SEVERAL: u8 = 1 << 6;
const NO_CLIENT: u8 = 1 << 7;

/// The bytes of these.
pub fn encode(entries: &[Entry]) -> Vec<u8> {
    let mut out = Vec::with_capacity(8 * entries.len());
    for Entry { tuple, count } in entries {
        let Tuple([kind, country, browser, os, device, referrer, language]) = *tuple;
        let mut flags = kind as u8 | (device as u8) << 3;
        let has_client = browser != EMPTY || os != EMPTY;
        flags |= if has_client { 0 } else { NO_CLIENT };
        flags |= if referrer == EMPTY { 0 } else { REFERRED };
        flags |= if *count == 1 { 0 } else { SEVERAL };
        out.push(flags);
        let mut number = |number: u32| put(&mut out, u64::from(number));
        number(country);
        number(language);
        if has_client {
            number(browser);
            number(os);
        }
        if referrer != EMPTY {
            number(referrer);
        }
        if *count != 1 {
            put(&mut out, *count);
        }
    }
    out
}

/// How long the first tuple is.
pub fn first(bytes: &[u8]) -> Option<usize> {
    let mut reader = Reader(bytes);
    let flags = reader.byte()?;
    entry(flags, &mut reader)?;
    Some(bytes.len() - reader.0.len())
}

/// Calls for each tuple.
pub fn each(bytes: &[u8], mut found: impl FnMut(Entry)) -> Result<(), RollupFault> {
    let mut reader = Reader(bytes);
    while let Some(flags) = reader.byte() {
        let entry = entry(flags, &mut reader).ok_or(RollupFault::Malformed("a tuple"))?;
        found(entry);
    }
    Ok(())
}

#[inline]
fn entry(flags: u8, reader: &mut Reader<'_>) -> Option<Entry> {
    let number = |reader: &mut Reader<'_>| reader.number().and_then(|number| u32::try_from(number).ok());
    let [country, language] = [number(reader)?, number(reader)?];
    let ([mut browser, mut os, mut referrer], mut count) = ([EMPTY; 3], 1);
    if flags & NO_CLIENT == 0 {
        [browser, os] = [number(reader)?, number(reader)?];
    }
    if flags & REFERRED != 0 {
        referrer = number(reader)?;
    }
    if flags & SEVERAL != 0 {
        count = reader.number()?;
    }
    let (kind, device) = (u32::from(flags & 7), u32::from(flags >> 3 & 3));
    let tuple = Tuple([kind, country, browser, os, device, referrer, language]);
    let fits = Dimension::ALL.into_iter().all(|dimension| dimension.has(tuple.get(dimension)));
    (fits && count > 0).then_some(Entry { tuple, count })
}
