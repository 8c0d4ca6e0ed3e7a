//! The other end of a ring: what is settled, in order.

use super::{Field, MAX_TEXT_BYTES, RecordKind, Ring};
use crate::Captured;
use std::sync::atomic::Ordering;

/// A record of a ring.
#[derive(Debug, PartialEq, Eq)]
pub enum RingRecord<'a> {
    /// A click; one that is [`LOST`](crate::CapturedFlags::LOST) is a loss, and one that is only
    /// [`VOID`](crate::CapturedFlags::VOID) counts for nothing.
    Click(Captured),
    /// The text of a hash, in front of each click that has it.
    Text {
        /// Its hash.
        hash: u64,
        /// The text, cut at [`MAX_TEXT_BYTES`].
        text: &'a [u8],
    },
}

/// Reads a ring. It keeps the ring's numbers and no part of its memory.
#[derive(Debug)]
pub struct RingReader {
    at: u64,
    /// Clicks before it are in the spool.
    taken: u64,
    text: Vec<u8>,
    damaged: u64,
}

impl RingReader {
    /// Begins where the room that is kept begins.
    pub fn new(ring: Ring<'_>) -> Self {
        let text = Vec::with_capacity(MAX_TEXT_BYTES);
        Self { at: ring.get(Field::Head), taken: ring.taken(), text, damaged: 0 }
    }

    /// Clicks before this position were taken, whatever the ring says: it may have been told late.
    pub fn seek(&mut self, position: u64) {
        self.taken = self.taken.max(position);
    }

    /// The next click that was not taken, or text. `None`: nothing more is settled.
    pub fn next(&mut self, ring: Ring<'_>) -> Option<RingRecord<'_>> {
        let end = ring.settled();
        while self.at < end {
            let here = self.at;
            let Some((header, words)) = ring.record(here, end) else {
                self.damaged += end - here;
                self.at = end;
                return None;
            };
            self.at += 8 * header.words as u64;
            match header.kind {
                RecordKind::Click if here >= self.taken => {
                    let word = |at: usize| words[1 + at].load(Ordering::Relaxed);
                    return Some(RingRecord::Click(Captured::from_words(&std::array::from_fn(word))));
                }
                RecordKind::Text => {
                    self.text.clear();
                    let bytes = words[2..].iter().flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes());
                    self.text.extend(bytes.take(header.number as usize));
                    return Some(RingRecord::Text {
                        hash: words[1].load(Ordering::Relaxed),
                        text: &self.text,
                    });
                }
                RecordKind::Click | RecordKind::Padding => {}
            }
        }
        None
    }

    /// Behind the last record that was read.
    pub fn position(&self) -> u64 {
        self.at.max(self.taken)
    }

    /// Everything before this position is on disk in another place: the worker may have its room.
    pub fn release(&self, ring: Ring<'_>, position: u64) {
        ring.set(Field::Taken, position);
    }

    /// Bytes that were passed over, because what lies there is no record. A click takes 88.
    pub fn damaged(&self) -> u64 {
        self.damaged
    }
}
