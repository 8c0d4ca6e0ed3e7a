//! For each slot of keys, the highest seq of a change that this edge has noticed: what a slow fill must not be older
//! than. One array for all keys; a collision only refuses a fill that would have been right.

use crate::sync::AtomicU64;
use link::Seq;
use std::sync::atomic::Ordering;

const SEQ_BITS: u32 = 48;
const SEQ_MASK: u64 = (1 << SEQ_BITS) - 1;
/// Local epochs that a word can tell apart.
const EPOCHS: u64 = 1 << 16;

/// See the module. Each word: 16 bits of local epoch number, 48 bits of seq; only ever raised.
#[derive(Debug)]
pub(super) struct Fences {
    words: Box<[AtomicU64]>,
    epoch: AtomicU64,
    /// What a word of an older epoch reads as: the seq where the current one began here.
    base: AtomicU64,
}

impl Fences {
    /// So many words, a power of two.
    pub fn new(slots: usize) -> Self {
        let words = (0..slots).map(|_| AtomicU64::new(0)).collect();
        Self { words, epoch: AtomicU64::new(0), base: AtomicU64::new(0) }
    }

    /// The fence of the keys with this hash.
    pub fn get(&self, hash: u64) -> Seq {
        let word = self.word(hash).load(Ordering::Acquire);
        if word >> SEQ_BITS == self.epoch.load(Ordering::Acquire) {
            word & SEQ_MASK
        } else {
            self.base.load(Ordering::Acquire)
        }
    }

    /// Raises it to at least `seq`: never below what it reads as now, were it of an older epoch.
    pub fn raise(&self, hash: u64, seq: Seq) {
        let seq = seq.max(self.base.load(Ordering::Acquire));
        let word = (self.epoch.load(Ordering::Acquire) << SEQ_BITS) + (seq & SEQ_MASK);
        self.word(hash).fetch_max(word, Ordering::AcqRel);
    }

    /// Another history begins here at `base`.
    pub fn new_epoch(&self, base: Seq) {
        self.base.store(base, Ordering::Release);
        let next = self.epoch.load(Ordering::Acquire) + 1;
        if next == EPOCHS {
            // 65,536 resets of one process: every word is older than the next round's first.
            for word in &self.words {
                word.store(0, Ordering::Release);
            }
            self.epoch.store(1, Ordering::Release);
        } else {
            self.epoch.store(next, Ordering::Release);
        }
    }

    fn word(&self, hash: u64) -> &AtomicU64 {
        // Not the bits that choose the shard or the bucket.
        &self.words[(hash >> 24) as usize & (self.words.len() - 1)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fence_only_rises_and_an_older_epoch_reads_as_the_base() {
        let fences = Fences::new(1 << 16);
        fences.raise(1 << 24, 7);
        fences.raise(1 << 24, 5);
        assert_eq!((fences.get(1 << 24), fences.get(2 << 24)), (7, 0));
        fences.new_epoch(3);
        assert_eq!((fences.get(1 << 24), fences.get(2 << 24)), (3, 3));
        fences.raise(1 << 24, 2);
        assert_eq!(fences.get(1 << 24), 3, "a raise never lowers");
        fences.raise(1 << 24, 4);
        assert_eq!((fences.get(1 << 24), fences.get(2 << 24)), (4, 3));
    }

    #[test]
    fn the_round_of_local_epochs_closes() {
        let fences = Fences::new(1 << 16);
        for base in 0..70_000 {
            fences.new_epoch(base);
            assert_eq!(fences.get(9), base);
            fences.raise(9, base + 1);
            assert_eq!(fences.get(9), base + 1);
        }
    }
}
