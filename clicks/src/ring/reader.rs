//! The other end of a ring: what is settled, in order.

use super::texts::RingTexts;
use super::{Field, RecordKind, Ring};
use crate::Captured;
use std::sync::atomic::Ordering;

/// Reads a ring. It keeps the ring's numbers and texts, and no part of its memory.
pub struct RingReader {
    at: u64,
    /// Clicks before it are in the spool.
    taken: u64,
    texts: RingTexts,
    damaged: u64,
}

impl RingReader {
    /// Begins where the room that is kept begins.
    pub fn new(ring: Ring<'_>) -> Self {
        Self { at: ring.get(Field::Head), taken: ring.taken(), texts: RingTexts::new(), damaged: 0 }
    }

    /// Clicks before this position were taken, whatever the ring says: it may have been told late.
    pub fn seek(&mut self, position: u64) {
        self.taken = self.taken.max(position);
    }

    /// The next click that was not taken. One that is [`LOST`](crate::CapturedFlags::LOST) is a loss, and one that is only
    /// [`VOID`](crate::CapturedFlags::VOID) counts for nothing. `None`: nothing more is settled.
    pub fn next(&mut self, ring: Ring<'_>) -> Option<Captured> {
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
                    return Some(Captured::from_words(&std::array::from_fn(word)));
                }
                RecordKind::Text => {
                    let bytes = words[2..].iter().flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes());
                    let text = || bytes.take(header.number as usize).collect::<Vec<u8>>().trim_ascii().into();
                    self.texts.put(words[1].load(Ordering::Relaxed), text);
                }
                RecordKind::Click | RecordKind::Padding => {}
            }
        }
        None
    }

    /// The text with this number, without white space around it, which may have been cut at
    /// [`MAX_TEXT_BYTES`](super::MAX_TEXT_BYTES). Those of the click that was read last are there, if they found room in the ring.
    pub fn text(&self, number: u64) -> Option<&[u8]> {
        self.texts.get(number)
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
