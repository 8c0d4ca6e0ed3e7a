//! How often which links of a domain were clicked in an hour, a day, a week or four weeks: by uid, so that lists are added up in one pass.
//!
//! ```text
//! number   0; if the rest is compressed with zstd: its bytes before that
//! entries  of each link: twice how far its uid is beyond the one before, and 1 more if it was clicked several times; and
//!          then how many times more than two
//! ```
//! or, where many links that follow each other were clicked:
//! ```text
//! number   1; if the rest is compressed with zstd: 2, and then its bytes before that
//! blocks   and entries between them, as blocks.rs says
//! ```

mod blocks;
mod sums;

pub(crate) use sums::UidCounts;

use super::rows::{CellKey, ClickRows, Table};
use super::times::{DAY, FOUR_WEEKS, HOUR, WEEK_DAYS};
use super::varint::{self, Reader};
use crate::model::StoreFault;
use blocks::{BLOCK, Counts, block_of, first_uid};
use clicks::Kind;
use std::cmp::Ordering;
use zstd::bulk::Decompressor;

/// A list shorter than that is not compressed.
const WORTH_IT: usize = 128;
/// What a higher level wins is not worth its time: a list has few matches.
const LEVEL: i32 = 1;
/// Bytes of a list before it is compressed, at most: some 100 million links.
const LONGEST: usize = 1 << 29;

/// The part of time that a list is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ListPart {
    Hour = 0,
    Day = 1,
    Week = 2,
    FourWeeks = 3,
}

impl ListPart {
    const ALL: [Self; 4] = [Self::Hour, Self::Day, Self::Week, Self::FourWeeks];

    /// Its length in milliseconds.
    pub fn length(self) -> i64 {
        match self {
            Self::Hour => HOUR,
            Self::Day => DAY,
            Self::Week => WEEK_DAYS * DAY,
            Self::FourWeeks => FOUR_WEEKS * WEEK_DAYS * DAY,
        }
    }

    /// That of the list with this key.
    pub fn of(key: &CellKey) -> Self {
        let part = usize::try_from(key[0] / KINDS).ok().and_then(|part| Self::ALL.get(part));
        part.copied().unwrap_or(Self::Week)
    }
}

/// Numbers for the kinds of one part of time.
const KINDS: i64 = 16;

/// When the list with this key begins, in Unix milliseconds.
pub(crate) fn began(key: &CellKey) -> i64 {
    key[1] * ListPart::of(key).length()
}

/// Where the lists of a part of time are that begin at one moment or later and before another one: of each kind their first key and
/// the key behind them.
pub(crate) fn between(part: ListPart, from: i64, before: i64) -> impl Iterator<Item = (CellKey, CellKey)> {
    let up = |at: i64| at.div_euclid(part.length()) + i64::from(at.rem_euclid(part.length()) != 0);
    let (first, end) = (up(from), up(before));
    let of_kind = move |kind| ([list(part, kind), first, i64::MIN], [list(part, kind), end, i64::MIN]);
    Kind::ALL.into_iter().filter(|kind| !kind.is_total()).map(of_kind)
}

/// The number of the lists of a kind and a part of time, as it stands in the table. It is never given another meaning.
pub(crate) fn list(part: ListPart, kind: Kind) -> i64 {
    part as i64 * KINDS + kind as i64
}

/// The number of the marks of lists of four weeks, as it stands in the table and in its triggers.
pub(crate) fn mark(kind: Kind) -> i64 {
    list(ListPart::FourWeeks, kind) + MOST_KINDS
}

/// Kinds that there can be: their numbers are below it.
const MOST_KINDS: i64 = KINDS / 2;
const _: () = assert!(Kind::ALL.len() <= MOST_KINDS as usize, "a mark has the number of a list");

/// The first period of such a part of time that has a list.
pub(crate) async fn first<R: ClickRows>(rows: &R, part: ListPart) -> Result<Option<i64>, R::Fault> {
    let (mut from, before) =
        ([list(part, Kind::Human), i64::MIN, i64::MIN], list(part, Kind::Human) + MOST_KINDS);
    let mut first: Option<i64> = None;
    while let Some(&[number, period, _]) =
        rows.keys(Table::Lists, from, [before, i64::MIN, i64::MIN], 1).await?.first()
    {
        first = Some(first.map_or(period, |first| first.min(period)));
        from = [number + 1, i64::MIN, i64::MIN];
    }
    Ok(first)
}

/// One link of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ListEntry {
    pub uid: u64,
    pub count: u64,
}

/// Both together. Each is in the order of its uids.
pub(crate) fn merge(one: &[ListEntry], other: &[ListEntry]) -> Vec<ListEntry> {
    let mut both = Vec::with_capacity(one.len() + other.len());
    let (mut one, mut other) = (one.iter().copied().peekable(), other.iter().copied().peekable());
    loop {
        let order = match (one.peek(), other.peek()) {
            (Some(a), Some(b)) => a.uid.cmp(&b.uid),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return both,
        };
        match order {
            Ordering::Less => both.extend(one.next()),
            Ordering::Greater => both.extend(other.next()),
            Ordering::Equal => {
                let more = other.next().map_or(0, |entry| entry.count);
                both.extend(one.next().map(|entry| ListEntry { count: entry.count + more, ..entry }));
            }
        }
    }
}

/// How the rest of a list is to be read: a number in front of it that no length of a compressed list is.
const ENTRIES: u64 = 0;
const BLOCKS: u64 = 1;
const COMPRESSED_BLOCKS: u64 = 2;

/// The bytes of a list without a link that was not clicked.
pub(crate) fn encode(entries: &[ListEntry]) -> Vec<u8> {
    let mut list = ListWriter::default();
    for block in entries.chunk_by(|one, next| block_of(one.uid) == block_of(next.uid)) {
        list.put(block);
    }
    list.finish()
}

/// A list that is being written.
#[derive(Default)]
struct ListWriter {
    /// What ends with the last block.
    blocks: Vec<u8>,
    /// The entries behind it.
    entries: Vec<u8>,
    /// The last uid.
    uid: u64,
}

impl ListWriter {
    /// The links of one block, as a block or as they are.
    fn put(&mut self, links: &[ListEntry]) {
        let (begin, before) = (self.entries.len(), self.uid);
        for entry in links {
            varint::put(&mut self.entries, (entry.uid - self.uid) << 1 | u64::from(entry.count > 1));
            if entry.count > 1 {
                varint::put(&mut self.entries, entry.count - 2);
            }
            self.uid = entry.uid;
        }
        let Some(width) = blocks::width(links, self.entries.len() - begin) else { return };
        self.entries.truncate(begin);
        self.end_entries();
        let block = block_of(self.uid);
        varint::put(&mut self.blocks, (block - block_of(before)) << 1 | 1);
        blocks::put(&mut self.blocks, width, links);
        self.uid = block * BLOCK as u64 + (BLOCK as u64 - 1);
    }

    fn end_entries(&mut self) {
        if !self.entries.is_empty() {
            varint::put(&mut self.blocks, (self.entries.len() as u64) << 1);
            self.blocks.append(&mut self.entries);
        }
    }

    fn finish(mut self) -> Vec<u8> {
        let (list, number) = match self.blocks.is_empty() {
            true => (self.entries, ENTRIES),
            false => {
                self.end_entries();
                (self.blocks, BLOCKS)
            }
        };
        let mut bytes = Vec::with_capacity(1 + list.len());
        varint::put(&mut bytes, number);
        bytes.extend_from_slice(&list);
        compressed(&list, number == BLOCKS)
            .filter(|compressed| compressed.len() < bytes.len())
            .unwrap_or(bytes)
    }
}

/// `None`: it is not worth it, or there is no memory for it.
fn compressed(list: &[u8], has_blocks: bool) -> Option<Vec<u8>> {
    if list.len() < WORTH_IT {
        return None;
    }
    let mut bytes = Vec::new();
    if has_blocks {
        varint::put(&mut bytes, COMPRESSED_BLOCKS);
    }
    varint::put(&mut bytes, list.len() as u64);
    bytes.extend_from_slice(&zstd::bulk::compress(list, LEVEL).ok()?);
    Some(bytes)
}

pub(crate) fn decode(bytes: &[u8]) -> Result<Vec<ListEntry>, StoreFault> {
    let mut entries = Vec::with_capacity(bytes.len() / 2);
    scan(bytes, |entry| entries.push(entry))?;
    Ok(entries)
}

/// Each entry in its order, without a list in memory.
pub(crate) fn scan(bytes: &[u8], each: impl FnMut(ListEntry)) -> Result<(), StoreFault> {
    ListReader::default().scan(bytes, each)
}

/// What the counts of lists are added to.
trait Sink {
    fn entry(&mut self, entry: ListEntry);
    /// The counts of a block, to which those of a list are added.
    fn block(&mut self, block: u64) -> &mut Counts;
    /// Now they are.
    fn added(&mut self, block: u64);
}

/// Reads one list after the other. What it takes for one serves the next.
#[derive(Default)]
pub(crate) struct ListReader {
    zstd: Decompressor<'static>,
    list: Vec<u8>,
}

impl ListReader {
    /// Each entry of a list in its order.
    pub fn scan(&mut self, bytes: &[u8], each: impl FnMut(ListEntry)) -> Result<(), StoreFault> {
        self.read(bytes, &mut EachEntry { each, block: [0; BLOCK] })
    }

    /// Adds all entries of a list.
    pub fn add_up(&mut self, bytes: &[u8], sums: &mut UidCounts) -> Result<(), StoreFault> {
        self.read(bytes, sums)
    }

    fn read(&mut self, bytes: &[u8], sink: &mut impl Sink) -> Result<(), StoreFault> {
        let mut reader = Reader(bytes);
        match reader.number()? {
            ENTRIES => read_entries(reader, 0, sink).map(drop),
            BLOCKS => read_blocks(reader, sink),
            COMPRESSED_BLOCKS => {
                let length = reader.number()?;
                read_blocks(self.decompress(length, reader.0)?, sink)
            }
            length => read_entries(self.decompress(length, reader.0)?, 0, sink).map(drop),
        }
    }

    fn decompress(&mut self, length: u64, bytes: &[u8]) -> Result<Reader<'_>, StoreFault> {
        let length = usize::try_from(length).ok().filter(|length| *length <= LONGEST).ok_or_else(wrong)?;
        self.list.clear();
        self.list.reserve(length);
        let read = self.zstd.decompress_to_buffer(bytes, &mut self.list).map_err(|_| wrong())?;
        if read == length { Ok(Reader(&self.list)) } else { Err(wrong()) }
    }
}

/// Hands out the entries of blocks, too.
struct EachEntry<F> {
    each: F,
    block: Counts,
}

impl<F: FnMut(ListEntry)> Sink for EachEntry<F> {
    #[inline]
    fn entry(&mut self, entry: ListEntry) {
        (self.each)(entry);
    }

    fn block(&mut self, _: u64) -> &mut Counts {
        self.block.fill(0);
        &mut self.block
    }

    fn added(&mut self, block: u64) {
        let uids = block * BLOCK as u64..;
        let clicked = uids.zip(&self.block).filter(|(_, count)| **count > 0);
        clicked.for_each(|(uid, &count)| (self.each)(ListEntry { uid, count }));
    }
}

fn read_blocks(mut reader: Reader<'_>, sink: &mut impl Sink) -> Result<(), StoreFault> {
    let mut uid = 0;
    while !reader.is_empty() {
        let number = reader.number()?;
        if number & 1 == 0 {
            let length = usize::try_from(number >> 1).map_err(|_| wrong())?;
            uid = read_entries(Reader(reader.take(length)?), uid, sink)?;
            continue;
        }
        let block = block_of(uid).checked_add(number >> 1).ok_or_else(wrong)?;
        let first = first_uid(block).filter(|first| *first > uid || uid == 0).ok_or_else(wrong)?;
        blocks::add(&mut reader, sink.block(block))?;
        sink.added(block);
        uid = first + (BLOCK as u64 - 1);
    }
    Ok(())
}

/// Reads entries behind a uid to their end; the last uid.
fn read_entries(mut reader: Reader<'_>, before: u64, sink: &mut impl Sink) -> Result<u64, StoreFault> {
    let mut uid = before;
    while !reader.is_empty() {
        if let Some(bytes) = reader.0.first_chunk() {
            // Of most entries the first number has a byte or two, and the second one a byte. Which of them are there cannot be
            // foretold, so that is no branch.
            let bytes = u32::from_le_bytes(*bytes);
            let two = bytes >> 7 & 1;
            let number = bytes & 0x7f | bytes >> 1 & (two << 14).wrapping_sub(two << 7);
            let several = number & 1;
            let beyond = bytes >> (8 + 8 * two) & 0xff & several.wrapping_neg();
            if (bytes >> 15 & two | beyond >> 7) == 0 {
                uid = uid.checked_add(u64::from(number >> 1)).ok_or_else(wrong)?;
                sink.entry(ListEntry { uid, count: u64::from(1 + several + beyond) });
                reader = Reader(&reader.0[(1 + two + several) as usize..]);
                continue;
            }
        }
        let (entry, rest) = long_entry(reader, uid)?;
        (uid, reader) = (entry.uid, rest);
        sink.entry(entry);
    }
    Ok(uid)
}

/// The entry behind a uid, of whatever length; and what is behind it. The reader is no reference, so that the loop has its own in
/// registers.
#[cold]
fn long_entry(mut reader: Reader<'_>, before: u64) -> Result<(ListEntry, Reader<'_>), StoreFault> {
    let number = reader.number()?;
    let uid = before.checked_add(number >> 1).ok_or_else(wrong)?;
    let more = if number & 1 == 0 { 0 } else { reader.number()?.checked_add(1).ok_or_else(wrong)? };
    Ok((ListEntry { uid, count: more.checked_add(1).ok_or_else(wrong)? }, reader))
}

fn wrong() -> StoreFault {
    StoreFault::Corrupt("a list of links has a number that is none".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(of: &[(u64, u64)]) -> Vec<ListEntry> {
        of.iter().map(|&(uid, count)| ListEntry { uid, count }).collect()
    }

    #[test]
    fn lists_come_back_and_are_added_up() {
        let (one, other) = (entries(&[(1, 2), (5, 1), (900, 7)]), entries(&[(2, 1), (5, 3)]));
        let both = entries(&[(1, 2), (2, 1), (5, 4), (900, 7)]);
        assert_eq!(merge(&one, &other), both);
        assert_eq!(merge(&other, &one), both);
        assert_eq!(decode(&encode(&both)).unwrap(), both);
        assert_eq!(encode(&one), [0, 3, 0, 8, 0xff, 0x0d, 5]);
        assert!(decode(&encode(&both)[..2]).is_err() && decode(&[]).is_err());
        assert!(decode(&encode(&[])).unwrap().is_empty());
    }

    #[test]
    fn a_list_begins_with_its_part_of_time_and_lies_between_others() {
        for part in ListPart::ALL {
            let key = [list(part, Kind::Head), 3, 0];
            assert_eq!((ListPart::of(&key), began(&key)), (part, 3 * part.length()));
            let (first, end) = between(part, began(&key), began(&key) + 1).last().unwrap();
            assert!(first <= key && key < end && end[1] == 4 && first[1] == 3);
            assert_eq!(
                between(part, 1, part.length()).next().map(|(first, end)| (first[1], end[1])),
                Some((1, 1))
            );
        }
    }

    /// Numbers of a byte are read in another way than longer ones, and the last entry has nothing behind it.
    #[test]
    fn entries_of_every_length_come_back_beside_each_other() {
        let gaps = [1, 63, 64, 8_191, 8_192];
        let counts = [1, 2, 129, 130, 16_385, 16_386];
        for first in 0..gaps.len() * counts.len() {
            let mut uid = 0;
            let entries: Vec<_> = (first..first + 40)
                .map(|at| {
                    uid += gaps[at % gaps.len()];
                    ListEntry { uid, count: counts[at * 7 / 3 % counts.len()] }
                })
                .collect();
            for length in 0..entries.len() {
                let bytes = encode(&entries[..length]);
                assert_eq!(decode(&bytes).unwrap(), entries[..length], "{first} {length}");
            }
        }
    }

    #[test]
    fn a_long_list_is_compressed_and_comes_back() {
        let long: Vec<_> =
            (1..5_000).map(|at| ListEntry { uid: at * 3, count: 1 + at % 7 / 6 * at }).collect();
        let bytes = encode(&long);
        assert!(bytes.len() < 4_999, "{}", bytes.len());
        assert_eq!(decode(&bytes).unwrap(), long);
        assert!(decode(&bytes[..bytes.len() - 1]).is_err());
        let most = [ListEntry { uid: i64::MAX as u64, count: u64::MAX }];
        assert_eq!(decode(&encode(&most)).unwrap(), most);
    }
}
