//! What the service and the sweep need of a store for blocked hosts. Blocks are in no log: no edge knows of them.

use crate::model::{Row, StoreFault};
use journal::blocks::{BlockItem, BlockRow, BlockVerdict};
use link::TargetHost;
use std::collections::BTreeSet;

/// The blocks of a store, and the links that they are about. Links are read in parts of at most so many.
pub trait BlockRows {
    /// Those of these hosts to which no link may lead.
    fn blocked(&self, asked: &BTreeSet<TargetHost>) -> Result<BTreeSet<TargetHost>, StoreFault>;
    /// At most `most` blocks in the order of their turned hosts: those behind `after`, or with "" the first.
    fn blocks(&self, after: &str, most: usize) -> Result<Vec<BlockRow>, StoreFault>;
    /// The block of this very host.
    fn block(&self, host: &TargetHost) -> Result<Option<BlockRow>, StoreFault>;
    /// A few of those whose sweep has not come to its end.
    fn unfinished_blocks(&self) -> Result<Vec<BlockRow>, StoreFault>;
    /// One transaction, in turn with the writes of links: whoever is decided behind it is judged by it, and whoever was
    /// decided before is found by its sweep. `now` is in Unix milliseconds.
    fn write_block(&self, item: &BlockItem, now: i64) -> Result<BlockVerdict, StoreFault>;
    /// How many links that are not deleted lead to a host or below it, as far as their hosts are in the index.
    fn count_led_to(&self, host: &TargetHost) -> Result<u64, StoreFault>;
    /// The next links that are not deleted and lead to a host or below it, by the index.
    fn led_to(
        &self,
        host: &TargetHost,
        after: Option<&HostIndexPlace>,
        most: usize,
    ) -> Result<HostLinks, StoreFault>;
    /// The next links behind a key whose hosts are not in the index yet, deleted ones too, in the order of their keys. A
    /// link that is not among them at the end is in the index.
    fn not_indexed(&self, after: &[u8], most: usize) -> Result<Vec<Row>, StoreFault>;
    /// The next links behind a key that are not deleted and that a block keeps disabled, in the order of their keys.
    fn kept_by(&self, host: &TargetHost, after: &[u8], most: usize) -> Result<Vec<Row>, StoreFault>;
}

/// The place of a link in the index of hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostIndexPlace {
    /// Turned round.
    pub host: String,
    /// Of the link.
    pub key: Vec<u8>,
}

/// A part of the links of a host.
#[derive(Debug, Default)]
pub struct HostLinks {
    /// In the order of their places.
    pub rows: Vec<Row>,
    /// Of the last one.
    pub last: Option<HostIndexPlace>,
}
