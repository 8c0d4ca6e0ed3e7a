//! Values that were read for edges, offered to the copy in Redis.

use crate::metrics::Metrics;
use feed::Entry;
use feed::relay::shard_of;
use link::{Epoch, Position, Seq};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use tokio::sync::mpsc;

/// Offers of one shard that may wait; more are dropped.
const WAITING_OFFERS: usize = 1_024;

/// A value as origin read it.
pub struct OriginValue {
    /// The history that it was read in.
    pub epoch: Epoch,
    /// The end of the log when it was read.
    pub as_of: Seq,
    /// Its key.
    pub key: bytes::Bytes,
    /// What travels.
    pub record: bytes::Bytes,
}

/// Where values that were read for edges are offered to Redis.
#[derive(Default)]
pub struct Offers {
    lines: Vec<mpsc::Sender<OriginValue>>,
    metrics: Arc<Metrics>,
}

/// A line for each shard, and where what is offered comes out.
pub fn offers(shards: u16, metrics: Arc<Metrics>) -> (Offers, Vec<mpsc::Receiver<OriginValue>>) {
    let (lines, receivers) = (0..shards).map(|_| mpsc::channel(WAITING_OFFERS)).unzip();
    (Offers { lines, metrics }, receivers)
}

impl Offers {
    /// Offers what exists of these, read at `head`. Waits for nobody: what finds no room is dropped.
    pub fn make(&self, head: Position, entries: &[Entry]) {
        if self.lines.is_empty() {
            return;
        }
        for Entry { key, record } in entries.iter().filter(|entry| !entry.record.is_empty()) {
            let line = &self.lines[usize::from(shard_of(key, self.lines.len() as u16).number)];
            // Copied: what came in or goes out in one buffer must not be held by one key of it.
            let (key, record) = (key.to_vec().into(), record.clone());
            if line.try_send(OriginValue { epoch: head.epoch, as_of: head.seq, key, record }).is_err() {
                self.metrics.relay.offers_dropped.fetch_add(1, Relaxed);
            }
        }
    }
}
