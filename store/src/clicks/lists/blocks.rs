//! Lists in which most links of a part of the uids are: their counts side by side, one for each uid, each of the same few bits.
//! They are added up without a branch that cannot be foretold, several at once.
//!
//! ```text
//! number   twice the bytes of the entries that follow
//! entries  as in a list without blocks, from the last uid before them on
//! ```
//! or
//! ```text
//! number   1, and twice how many blocks it is beyond that of the last uid before it
//! byte     the bits of a count: 1, 2, 4 or 8
//! counts   of each uid of the block, the lowest bits first: as much of it as these bits can say
//! number   how many were clicked more often than that
//! numbers  of each of these: how many uids it is beyond the one before, and how many times more
//! ```

use super::super::varint::{self, Reader};
use super::{ListEntry, wrong};
use crate::model::StoreFault;

/// Uids of a block.
pub(super) const BLOCK: usize = 1_024;

/// The counts of a block, by uid.
pub(super) type Counts = [u64; BLOCK];

/// Bits that a count of a block may have.
const WIDTHS: [u8; 4] = [1, 2, 4, 8];

/// The number of the block that a uid is in.
pub(super) fn block_of(uid: u64) -> u64 {
    uid / BLOCK as u64
}

/// The first uid of a block; `None`: no uid is so high.
pub(super) fn first_uid(block: u64) -> Option<u64> {
    let first = block.checked_mul(BLOCK as u64)?;
    first.checked_add(BLOCK as u64 - 1).map(|_| first)
}

/// How many bits the counts of a block are to have, if it is shorter so than as entries, which take so many bytes.
pub(super) fn width(entries: &[ListEntry], as_entries: usize) -> Option<u8> {
    let length = |width: &u8| {
        let more = entries.iter().filter_map(|entry| entry.count.checked_sub(highest(*width) + 1));
        // Most of them follow each other within 128 uids, and then the distance is a byte.
        2 + BLOCK * usize::from(*width) / 8 + more.map(|more| 1 + varint::length(more + 1)).sum::<usize>()
    };
    if as_entries <= BLOCK / 8 {
        return None; // not longer than counts of one bit
    }
    WIDTHS.into_iter().min_by_key(length).filter(|width| length(width) < as_entries)
}

/// The highest number of so many bits.
fn highest(width: u8) -> u64 {
    (1 << width) - 1
}

/// Writes the counts of links of one block, behind its number.
pub(super) fn put(bytes: &mut Vec<u8>, width: u8, entries: &[ListEntry]) {
    bytes.push(width);
    let (counts, per_byte) = (bytes.len(), 8 / usize::from(width));
    bytes.resize(counts + BLOCK / per_byte, 0);
    let (mut more, mut several, mut before) = (Vec::new(), 0, 0);
    for entry in entries {
        let at = entry.uid as usize % BLOCK;
        let kept = entry.count.min(highest(width));
        bytes[counts + at / per_byte] |= (kept as u8) << (at % per_byte * usize::from(width));
        if kept < entry.count {
            varint::put(&mut more, (at - before) as u64);
            varint::put(&mut more, entry.count - kept);
            (several, before) = (several + 1, at);
        }
    }
    varint::put(bytes, several);
    bytes.extend_from_slice(&more);
}

/// Adds what is behind the number of a block.
pub(super) fn add(reader: &mut Reader<'_>, counts: &mut Counts) -> Result<(), StoreFault> {
    match reader.byte()? {
        1 => add_packed::<8>(reader.take(BLOCK / 8)?, counts),
        2 => add_packed::<4>(reader.take(BLOCK / 4)?, counts),
        4 => add_packed::<2>(reader.take(BLOCK / 2)?, counts),
        8 => add_packed::<1>(reader.take(BLOCK)?, counts),
        _ => return Err(wrong()),
    }
    let mut at = 0_u64;
    for _ in 0..reader.number()? {
        at = at.saturating_add(reader.number()?);
        let count = usize::try_from(at).ok().and_then(|at| counts.get_mut(at)).ok_or_else(wrong)?;
        *count = count.checked_add(reader.number()?).ok_or_else(wrong)?;
    }
    Ok(())
}

/// Adds counts of which so many are in a byte.
fn add_packed<const PER_BYTE: usize>(packed: &[u8], counts: &mut Counts) {
    let (width, (counts, _)) = (8 / PER_BYTE, counts.as_chunks_mut::<PER_BYTE>());
    for (counts, byte) in counts.iter_mut().zip(packed) {
        for (at, count) in counts.iter_mut().enumerate() {
            *count = count.wrapping_add(u64::from(*byte) >> (at * width) & ((1 << width) - 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts of every size and each width, alone and on top of others.
    #[test]
    fn counts_of_a_block_come_back_in_each_width() {
        let entries: Vec<ListEntry> = (0..BLOCK as u64)
            .filter(|at| at % 5 > 0)
            .map(|at| ListEntry {
                uid: 7 * BLOCK as u64 + at,
                count: [1, 2, 3, 4, 15, 16, 255, 300, 1 << 40][at as usize % 9],
            })
            .collect();
        for width in WIDTHS {
            let mut bytes = Vec::new();
            put(&mut bytes, width, &entries);
            let mut counts = [1; BLOCK];
            let mut reader = Reader(&bytes);
            add(&mut reader, &mut counts).unwrap();
            assert!(reader.is_empty());
            let whole = |at: &usize| {
                let of = entries.iter().find(|entry| entry.uid as usize % BLOCK == *at);
                1 + of.map_or(0, |entry| entry.count)
            };
            assert_eq!(counts.to_vec(), (0..BLOCK).map(|at| whole(&at)).collect::<Vec<_>>(), "{width}");
            for cut in [0, 1, 100, bytes.len() - 1] {
                assert!(add(&mut Reader(&bytes[..cut]), &mut [0; BLOCK]).is_err(), "{width} {cut}");
            }
        }
        assert!(add(&mut Reader(&[3; 2 * BLOCK]), &mut [0; BLOCK]).is_err());
    }

    #[test]
    fn a_block_is_written_where_it_is_shorter_than_its_entries() {
        let block = |count: usize, clicks: u64| -> Vec<ListEntry> {
            (0..count as u64).map(|uid| ListEntry { uid, count: clicks }).collect()
        };
        assert_eq!(width(&block(100, 1), 100), None);
        assert_eq!(width(&block(BLOCK, 1), BLOCK), Some(1));
        assert_eq!(width(&block(600, 2), 1_200), Some(2));
        assert_eq!(width(&block(600, 9), 1_200), Some(4));
        assert_eq!(width(&block(BLOCK, 99), 2 * BLOCK), Some(8));
        assert_eq!(width(&block(600, 1 << 40), 600 * 7), None);
    }
}
