//! A worker's ring: where clicks lie from the answer until they are on disk in the spool. Its words are somebody else's
//! memory, a mapped file, so that what was noted outlives the process. One thread writes, one reads, neither waits.
//!
//! ```text
//! header   word 0 layout · 1 id · 2, 3 boot id · 4 capacity
//!          16 tail · 17 settled · 18 lost · 19 head · 20, 21, 22 a move: begin, end, tail before: written by the worker
//!          32 taken: written by the reader
//! record   kind u8 · tag u8 · length in words u16 · a number u32, then its words:
//!          click    the number is where its answer ends in its turn · ten words of `Captured`
//!          text     the number is its bytes · the number of the text · the text, zeros up to a whole word
//!          padding  up to the end of the memory: no record wraps
//! ```
//!
//! Positions are bytes, and only grow; the place of one is its remainder by the capacity. What lies between `head` and
//! `tail` is kept. The reader takes what is before `settled`: the kernel has taken those answers, or their clicks are void.
//! What is before `taken` is in the spool, and kept only for its texts: no click behind `taken` needs a text before `head`.

mod reader;
mod texts;
mod turns;
mod writer;

use crate::{Captured, CapturedFlags};
use std::sync::atomic::{AtomicU64, Ordering};

pub use reader::RingReader;
pub use turns::RingTurn;
pub use writer::RingWriter;

/// A longer agent or host is cut, and counts as its beginning.
pub const MAX_TEXT_BYTES: usize = 512;

/// Words in front of the records: a page.
const HEADER: usize = 512;
/// `linkrng1`
const LAYOUT: u64 = u64::from_le_bytes(*b"linkrng1");
const CLICK_WORDS: usize = 1 + Captured::WORDS;
const MAX_TEXT_WORDS: usize = 2 + MAX_TEXT_BYTES / 8;
/// Records must find room in half of it.
const LEAST_WORDS: usize = 1024;

/// Fields of the header. Those of two writers are lines apart: processors fetch pairs of them.
#[derive(Clone, Copy)]
enum Field {
    Layout = 0,
    Id = 1,
    Boot = 2,
    BootToo = 3,
    Capacity = 4,
    Tail = 16,
    Settled = 17,
    Lost = 18,
    Head = 19,
    MovedFrom = 20,
    MovedTo = 21,
    MovedBehind = 22,
    Taken = 32,
}

/// What a record is. 0 is none: memory that nobody wrote to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RecordKind {
    Click = 1,
    Text = 2,
    Padding = 3,
}

/// The first word of a record.
#[derive(Clone, Copy)]
struct RecordHeader {
    kind: RecordKind,
    /// The whole record, this one included.
    words: usize,
    number: u32,
}

impl RecordHeader {
    /// `at`: where the record begins.
    #[inline(always)]
    fn to_word(self, at: u64) -> u64 {
        self.kind as u64 | tag(at) << 8 | (self.words as u64) << 16 | u64::from(self.number) << 32
    }

    /// `None`: there is no record.
    fn from_word(word: u64, at: u64) -> Option<Self> {
        let (kind, words, number) = (word & 0xff, (word >> 16 & 0xffff) as usize, (word >> 32) as u32);
        let text = 2 + (number as usize).div_ceil(8);
        let kind = match kind {
            1 if words == CLICK_WORDS => RecordKind::Click,
            2 if words == text && number as usize <= MAX_TEXT_BYTES => RecordKind::Text,
            3 if words > 0 => RecordKind::Padding,
            _ => return None,
        };
        (word >> 8 & 0xff == tag(at)).then_some(Self { kind, words, number })
    }
}

/// Tells a record from one that lay in its place before: a part of its position above the capacity of a usual ring.
#[inline(always)]
fn tag(at: u64) -> u64 {
    at >> 20 & 0xff
}

/// A ring over its words: a header of 4 KiB, and a power of two of bytes for records.
#[derive(Clone, Copy, Debug)]
pub struct Ring<'m> {
    header: &'m [AtomicU64; HEADER],
    records: &'m [AtomicU64],
}

/// How a process finds a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RingBeginning {
    /// It was empty, of another size, of another boot of the machine, or no ring: it begins anew. After a machine went
    /// down nobody knows which of its pages were written.
    Anew,
    /// As a process left it, stopped or killed.
    Continued,
}

impl<'m> Ring<'m> {
    /// Bytes of the memory of a ring for so many bytes of records.
    pub const fn memory_bytes(capacity: usize) -> usize {
        8 * HEADER + capacity
    }

    /// `None`: the memory is of no ring's size.
    #[inline]
    pub fn over(words: &'m [AtomicU64]) -> Option<Self> {
        let (header, records) = words.split_first_chunk()?;
        let fits = records.len().is_power_of_two() && records.len() >= LEAST_WORDS;
        fits.then_some(Self { header, records })
    }

    /// Whether it can be read while the process that writes to it lives: it is a ring of this layout and size, of this boot of
    /// the machine.
    pub fn is_of(self, boot: [u64; 2]) -> bool {
        let known =
            [Field::Layout, Field::Boot, Field::BootToo, Field::Capacity].map(|field| self.get(field));
        known == [LAYOUT, boot[0], boot[1], self.capacity()]
    }

    /// Begins with it, as the only process that has it. `boot`: of this boot of the machine; `id`: a random number for a ring
    /// that begins anew.
    pub fn begin(self, boot: [u64; 2], id: u64) -> RingBeginning {
        let [head, taken, settled, tail] =
            [Field::Head, Field::Taken, Field::Settled, Field::Tail].map(|field| self.get(field));
        let in_order =
            head <= taken && taken <= tail && settled <= tail && (head | taken | settled | tail) % 8 == 0;
        if self.is_of(boot) && in_order && tail - head <= self.capacity() {
            self.end_move(tail);
            // Whether the kernel took the answers of the last turns is not known: they count.
            self.set(Field::Settled, tail);
            return RingBeginning::Continued;
        }
        self.set(Field::Layout, 0);
        self.header[1..].iter().for_each(|word| word.store(0, Ordering::Relaxed));
        self.set(Field::Id, id);
        self.set(Field::Boot, boot[0]);
        self.set(Field::BootToo, boot[1]);
        self.set(Field::Capacity, self.capacity());
        self.set(Field::Layout, LAYOUT);
        RingBeginning::Anew
    }

    /// Bytes for records.
    pub fn capacity(self) -> u64 {
        self.records.len() as u64 * 8
    }

    /// Its own number, new whenever it begins anew.
    pub fn id(self) -> u64 {
        self.get(Field::Id)
    }

    /// Where the next record will begin.
    pub fn tail(self) -> u64 {
        self.get(Field::Tail)
    }

    /// Up to where a reader may take.
    pub fn settled(self) -> u64 {
        self.get(Field::Settled)
    }

    /// Up to where the reader has everything on disk.
    pub fn taken(self) -> u64 {
        self.get(Field::Taken)
    }

    /// Clicks that found no room, since it began anew.
    pub fn lost(self) -> u64 {
        self.get(Field::Lost)
    }

    #[inline(always)]
    fn get(self, field: Field) -> u64 {
        self.header[field as usize].load(Ordering::Acquire)
    }

    #[inline(always)]
    fn set(self, field: Field, value: u64) {
        self.header[field as usize].store(value, Ordering::Release);
    }

    /// The word in which the record of this position begins.
    #[inline(always)]
    fn index(self, at: u64) -> usize {
        (at / 8) as usize & (self.records.len() - 1)
    }

    /// The record that begins there and ends before `end`: its first word, and all of its words. `None`: there is none.
    fn record(self, at: u64, end: u64) -> Option<(RecordHeader, &'m [AtomicU64])> {
        let behind = &self.records[self.index(at)..];
        let header = RecordHeader::from_word(behind.first()?.load(Ordering::Relaxed), at)?;
        let words = behind.get(..header.words)?;
        (at + 8 * header.words as u64 <= end).then_some((header, words))
    }

    /// Makes clicks between two positions void, those whose answers end behind so many bytes of their turn.
    fn make_void(self, begin: u64, end: u64, behind: u32) {
        let mut at = begin;
        while at < end
            && let Some((header, words)) = self.record(at, end)
        {
            if header.kind == RecordKind::Click && header.number > behind {
                add_flags(words, CapturedFlags::VOID);
            }
            at += 8 * header.words as u64;
        }
    }

    /// A process that was killed while it moved clicks to the tail has left them twice, if they were published.
    fn end_move(self, tail: u64) {
        let [begin, end, behind] =
            [Field::MovedFrom, Field::MovedTo, Field::MovedBehind].map(|field| self.get(field));
        if begin < end && behind < tail {
            self.make_void(begin, end, 0);
        }
        self.set(Field::MovedTo, 0);
    }
}

/// Adds flags to a click in its place, in one word.
fn add_flags(words: &[AtomicU64], flags: CapturedFlags) {
    let both = words[2].load(Ordering::Relaxed) | u64::from(flags.0) << 32;
    words[2].store(both, Ordering::Relaxed);
}

#[cfg(test)]
#[path = "ring_tests.rs"]
mod tests;
