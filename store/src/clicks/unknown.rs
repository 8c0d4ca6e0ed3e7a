//! Codes that were asked for in an hour and are none: how many requests in all, and by name those that were asked for most.
//! However many codes somebody makes up, a row stays small.

use super::varint::{self, Reader};
use crate::model::StoreFault;
use std::collections::BTreeMap;

/// Codes of an hour and domain that are known by name.
const NAMED: usize = 100;
/// Bytes of a code that are kept. A longer one is counted without its name.
const LONGEST: usize = 100;

/// Unknown codes of an hour.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct UnknownList {
    pub total: u64,
    pub named: BTreeMap<Box<[u8]>, u64>,
}

impl UnknownList {
    /// Requests for a code, or for some that have no name.
    pub fn add(&mut self, code: Option<&[u8]>, count: u64) {
        self.total = self.total.saturating_add(count);
        if let Some(code) = code.filter(|code| code.len() <= LONGEST) {
            match self.named.get_mut(code) {
                Some(there) => *there = there.saturating_add(count),
                None => drop(self.named.insert(code.into(), count)),
            }
        }
    }

    pub fn merge(&mut self, other: &Self) {
        self.total = self.total.saturating_add(other.total);
        for (code, count) in &other.named {
            let there = self.named.entry(code.clone()).or_default();
            *there = there.saturating_add(*count);
        }
    }

    /// The codes that were asked for most, the highest count first.
    pub fn top(&self, most: usize) -> Vec<(&[u8], u64)> {
        let mut all: Vec<_> = self.named.iter().map(|(code, count)| (&**code, *count)).collect();
        all.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        all.truncate(most);
        all
    }

    /// With so many names as a row may have.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        varint::put(&mut bytes, self.total);
        for (code, count) in self.top(NAMED) {
            varint::put(&mut bytes, count);
            varint::put_bytes(&mut bytes, code);
        }
        bytes
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, StoreFault> {
        let mut reader = Reader(bytes);
        let mut list = Self { total: reader.number()?, named: BTreeMap::new() };
        while !reader.is_empty() {
            let count = reader.number()?;
            list.named.insert(reader.bytes()?.into(), count);
        }
        Ok(list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A printed link that is broken is asked for all the time; codes that are made up are each asked for once.
    #[test]
    fn a_flood_of_codes_leaves_a_small_row_that_has_the_one_that_matters() {
        let mut kept = UnknownList::default();
        for fold in 0..360_u64 {
            let mut list = UnknownList::default();
            list.add(Some(b"printed"), 10);
            list.add(None, 9_000);
            (0..1_000_u64).for_each(|code| list.add(Some(format!("x{fold}-{code}").as_bytes()), 1));
            list.add(Some(&[b'y'; LONGEST + 1]), 1);
            kept.merge(&list);
            kept = UnknownList::decode(&kept.encode()).unwrap();
        }
        assert_eq!(kept.total, 360 * 10_011);
        assert_eq!(kept.top(1), [(&b"printed"[..], 3_600)]);
        assert!(kept.encode().len() < 2_000 && kept.named.len() == NAMED);
        assert!(UnknownList::decode(&kept.encode()[..9]).is_err());
    }
}
