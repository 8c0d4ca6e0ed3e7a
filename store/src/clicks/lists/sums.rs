//! Lists added up: the sum of each link, and the links with the most.

use super::blocks::{BLOCK, Counts, block_of};
use super::{ListEntry, Sink};
use crate::port::clicks::{LinkCount, TopAnswer};
use link::Seq;
use std::cmp::Reverse;
use std::collections::HashMap;

/// Counts of uids in blocks below this are in an array; of those above, which only a store of that many changes has, in a map.
const BLOCKS: u64 = (1 << 24) / BLOCK as u64;
/// Blocks that the array begins with.
const FIRST: usize = 64;

/// Sums by uid.
#[derive(Default)]
pub(crate) struct UidCounts {
    blocks: Vec<Counts>,
    others: HashMap<Seq, u64>,
    /// Counts of a block of others that are being added.
    block: Option<Box<Counts>>,
}

impl UidCounts {
    /// Adds clicks of one link.
    #[inline]
    pub fn add(&mut self, uid: Seq, count: u64) {
        let block = block_of(uid);
        match block < BLOCKS {
            true => self.counts(block as usize)[uid as usize % BLOCK] += count,
            false => *self.others.entry(uid).or_default() += count,
        }
    }

    #[inline]
    fn counts(&mut self, block: usize) -> &mut Counts {
        if block >= self.blocks.len() {
            self.blocks.resize((block + 1).next_power_of_two().max(FIRST), [0; BLOCK]);
        }
        &mut self.blocks[block]
    }

    /// Forgets all other links.
    pub fn keep(&mut self, links: &[Seq]) {
        let all = std::mem::take(self);
        for &uid in links {
            let block = all.blocks.get(uid as usize / BLOCK).map(|counts| counts[uid as usize % BLOCK]);
            let count = block.or_else(|| all.others.get(&uid).copied()).unwrap_or(0);
            self.others.insert(uid, count);
        }
    }

    /// The links with the most clicks.
    pub fn top(self, most: usize) -> TopAnswer {
        let dense = (0..).zip(self.blocks.as_flattened().iter().copied());
        let all = dense.chain(self.others).filter(|(_, count)| *count > 0);
        let mut answer = TopAnswer::default();
        let mut links: Vec<LinkCount> = Vec::with_capacity(most.saturating_mul(2).min(1 << 16));
        let order = |link: &LinkCount| (Reverse(link.count), link.uid);
        let mut least = 0; // with fewer clicks a link is not among the first any more
        for (uid, count) in all {
            answer.total += count;
            answer.clicked += 1;
            if count < least {
                continue;
            }
            links.push(LinkCount { uid, count });
            // Now and then, so that what is kept stays small.
            if links.len() >= most.saturating_mul(2).max(1_024) {
                let last = most.min(links.len() - 1);
                least = links.select_nth_unstable_by_key(last, order).1.count;
                links.truncate(most);
            }
        }
        links.sort_unstable_by_key(order);
        links.truncate(most);
        answer.links = links;
        answer
    }
}

impl Sink for UidCounts {
    #[inline]
    fn entry(&mut self, entry: ListEntry) {
        self.add(entry.uid, entry.count);
    }

    fn block(&mut self, block: u64) -> &mut Counts {
        match block < BLOCKS {
            true => self.counts(block as usize),
            false => self.block.insert(Box::new([0; BLOCK])),
        }
    }

    fn added(&mut self, block: u64) {
        let uids = block * BLOCK as u64..;
        for (uid, count) in self.block.take().into_iter().flat_map(|counts| uids.clone().zip(*counts)) {
            if count > 0 {
                self.add(uid, count);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ListReader, encode};
    use super::*;

    const BEYOND: u64 = BLOCKS * BLOCK as u64;

    #[test]
    fn the_highest_counts_come_first_and_of_the_same_the_older_link() {
        let mut counts = UidCounts::default();
        (1..5_000).for_each(|uid| counts.add(uid, 1 + uid % 7));
        counts.add(BEYOND + 5, 100);
        counts.add(9, 50);
        let top = counts.top(4);
        let links: Vec<_> = top.links.iter().map(|link| (link.uid, link.count)).collect();
        assert_eq!(links, [(BEYOND + 5, 100), (9, 53), (6, 7), (13, 7)]);
        assert_eq!(top.clicked, 5_000);
    }

    #[test]
    fn lists_are_added_up_below_the_bound_and_beyond_it() {
        for first in [0, 5 * BLOCK as u64 + 3, BEYOND - 700, BEYOND + 5] {
            let entries: Vec<_> =
                (0..2_000).map(|at| ListEntry { uid: first + at, count: 1 + at % 5 }).collect();
            let bytes = encode(&entries);
            assert_eq!(bytes[0], 2, "it has blocks and is compressed");
            let mut sums = UidCounts::default();
            (0..3).for_each(|_| ListReader::default().add_up(&bytes, &mut sums).unwrap());
            let top = sums.top(5_000);
            assert_eq!(top.total, 3 * entries.iter().map(|entry| entry.count).sum::<u64>());
            let mut links: Vec<_> = top.links.iter().map(|link| (link.uid, link.count)).collect();
            links.sort_unstable();
            let whole: Vec<_> = entries.iter().map(|entry| (entry.uid, 3 * entry.count)).collect();
            assert_eq!(links, whole, "{first}");
        }
    }
}
