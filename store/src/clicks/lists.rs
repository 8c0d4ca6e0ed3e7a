//! How often which links of a domain were clicked in an hour, a day or a week: by uid, so that lists are added up in one pass.

use super::varint::{self, Reader};
use crate::model::StoreFault;
use clicks::Kind;
use std::cmp::Ordering;

/// The part of time that a list is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ListPart {
    Hour = 0,
    Day = 1,
    Week = 2,
}

/// The number of the lists of a kind and a part of time, as it stands in the table. It is never given another meaning.
pub(crate) fn list(part: ListPart, kind: Kind) -> i64 {
    part as i64 * 16 + kind as i64
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

pub(crate) fn encode(entries: &[ListEntry]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(entries.len() * 3);
    let mut before = 0;
    for entry in entries {
        varint::put(&mut bytes, entry.uid - before);
        varint::put(&mut bytes, entry.count);
        before = entry.uid;
    }
    bytes
}

pub(crate) fn decode(bytes: &[u8]) -> Result<Vec<ListEntry>, StoreFault> {
    let mut entries = Vec::with_capacity(bytes.len() / 2);
    scan(bytes, |entry| entries.push(entry))?;
    Ok(entries)
}

/// Each entry in its order, without a list in memory.
pub(crate) fn scan(bytes: &[u8], mut each: impl FnMut(ListEntry)) -> Result<(), StoreFault> {
    let (mut reader, mut uid) = (Reader(bytes), 0_u64);
    while !reader.is_empty() {
        uid = uid.checked_add(reader.number()?).ok_or_else(wrong)?;
        each(ListEntry { uid, count: reader.number()? });
    }
    Ok(())
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
        assert_eq!(encode(&one).len(), 7);
        assert!(decode(&encode(&both)[..5]).is_err());
    }
}
