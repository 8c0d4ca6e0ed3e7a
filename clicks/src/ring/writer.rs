//! The worker's end of its ring.

use super::texts::{TEXT_SETS, TEXT_WAYS, text_set};
use super::turns::{RingTurn, Turns};
use super::{CLICK_WORDS, Field, MAX_TEXT_BYTES, MAX_TEXT_WORDS, RecordHeader, RecordKind, Ring, add_flags};
use crate::{Captured, CapturedFlags, TextSeed};
use std::sync::atomic::{AtomicU64, Ordering};

/// Slow turns moved in one tick.
const MOVES: usize = 1024;

/// A text that was written.
#[derive(Clone, Copy, Default)]
struct WrittenText {
    number: u64,
    /// Where; before the mark it does not count.
    at: u64,
}

/// What a worker writes clicks with: its own numbers, so that the memory that it shares is read once a turn. A turn is
/// [`begin`](Self::begin), clicks, [`publish`](Self::publish), the write of the answers, [`settle`](Self::settle).
pub struct RingWriter {
    /// Where the next record begins.
    tail: u64,
    /// Up to where readers are told of.
    published: u64,
    /// No record may end behind it.
    limit: u64,
    /// No text may.
    text_limit: u64,
    /// Behind it each text was written anew, so that what is before it can go once it is taken.
    mark: u64,
    lost: u64,
    seed: TextSeed,
    texts: Box<[[WrittenText; TEXT_WAYS]; TEXT_SETS]>,
    turns: Turns,
}

impl RingWriter {
    /// Goes on where the ring ends. `seed`: the process's own.
    pub fn new(ring: Ring<'_>, seed: TextSeed) -> Self {
        let tail = ring.tail();
        let texts = Box::new([[WrittenText::default(); TEXT_WAYS]; TEXT_SETS]);
        let (published, mark, lost) = (tail, tail, ring.lost());
        Self { tail, published, limit: 0, text_limit: 0, mark, lost, seed, texts, turns: Turns::new() }
    }

    /// Begins a turn. What an earlier one wrote and did not publish, because it broke off, is forgotten.
    #[inline]
    pub fn begin(&mut self, ring: Ring<'_>) {
        if self.tail != self.published {
            self.forget();
        }
        // Acquire: what the reader has read may be written over from here on.
        let taken = ring.get(Field::Taken);
        if taken >= self.mark {
            self.let_go(ring, taken);
        }
        let head = ring.get(Field::Head);
        self.limit = head + ring.capacity();
        // A flood of new agents must not take the room of clicks.
        self.text_limit = head + ring.capacity() / 2;
    }

    /// The reader has passed the mark. What is before it goes, and there is a new one here.
    #[cold]
    fn let_go(&mut self, ring: Ring<'_>, taken: u64) {
        let all = taken >= self.tail;
        ring.set(Field::Head, if all { self.tail } else { self.mark });
        self.mark = self.tail;
    }

    #[cold]
    fn forget(&mut self) {
        self.tail = self.published;
        self.texts.fill([WrittenText::default(); TEXT_WAYS]);
    }

    /// The number by which a click names this text; 0: there is none. It is in the ring in front of the click, if there is room.
    #[inline(always)]
    pub fn text(&mut self, ring: &Ring<'_>, text: &[u8]) -> u64 {
        if text.is_empty() {
            return 0;
        }
        let number = self.seed.number(text);
        if !self.knows(number) {
            self.put_text(ring, number, text);
        }
        number
    }

    /// Notes a click, whose answer ends behind so many bytes of those of its turn. Its agent and referrer are what
    /// [`text`](Self::text) gave in this turn. Without room it is counted as lost.
    #[inline(always)]
    pub fn click(&mut self, ring: &Ring<'_>, click: &Captured, answer_end: u32) {
        let header = RecordHeader { kind: RecordKind::Click, words: CLICK_WORDS, number: answer_end };
        let Some(place) = self.place::<CLICK_WORDS>(ring) else {
            self.lost += 1;
            return;
        };
        place[0].store(header.to_word(self.tail), Ordering::Relaxed);
        for (place, word) in place[1..].iter().zip(click.to_words()) {
            place.store(word, Ordering::Relaxed);
        }
        self.tail += 8 * CLICK_WORDS as u64;
    }

    #[inline(always)]
    fn knows(&self, number: u64) -> bool {
        let set = &self.texts[text_set(number)];
        set.iter().any(|known| known.number == number && known.at >= self.mark)
    }

    /// Room at the tail.
    #[inline(always)]
    fn place<'m, const N: usize>(&mut self, ring: &Ring<'m>) -> Option<&'m [AtomicU64; N]> {
        let place = match ring.records[ring.index(self.tail)..].first_chunk() {
            Some(place) => place,
            None if self.wrap(ring, N) => ring.records.first_chunk()?,
            None => return None,
        };
        (self.tail + 8 * N as u64 <= self.limit).then_some(place)
    }

    /// Fills up the end of the memory, if a record of so many words has room behind it.
    #[cold]
    #[inline(never)]
    fn wrap(&mut self, ring: &Ring<'_>, words: usize) -> bool {
        let left = ring.records.len() - ring.index(self.tail);
        let fits = self.tail + 8 * (left + words) as u64 <= self.limit;
        if fits {
            self.put(ring, RecordHeader { kind: RecordKind::Padding, words: left, number: 0 }, &[]);
        }
        fits
    }

    /// Writes a record where it has room.
    fn put(&mut self, ring: &Ring<'_>, header: RecordHeader, words: &[u64]) {
        let place = &ring.records[ring.index(self.tail)..];
        place[0].store(header.to_word(self.tail), Ordering::Relaxed);
        for (place, word) in place[1..].iter().zip(words) {
            place.store(*word, Ordering::Relaxed);
        }
        self.tail += 8 * header.words as u64;
    }

    /// Whether a record of so many words has room before `limit`; if so, it has it at the tail.
    fn make_room(&mut self, ring: &Ring<'_>, words: usize, limit: u64) -> bool {
        let left = ring.records.len() - ring.index(self.tail);
        let needed = if left < words { left + words } else { words };
        self.tail + 8 * needed as u64 <= limit && (left >= words || self.wrap(ring, words))
    }

    #[cold]
    #[inline(never)]
    fn put_text(&mut self, ring: &Ring<'_>, number: u64, text: &[u8]) {
        let text = &text[..text.len().min(MAX_TEXT_BYTES)];
        let words = 2 + text.len().div_ceil(8);
        if !self.make_room(ring, words, self.text_limit) {
            return;
        }
        let mut content = [0; MAX_TEXT_WORDS];
        content[0] = number;
        for (word, part) in content[1..].iter_mut().zip(text.chunks(8)) {
            let mut bytes = [0; 8];
            bytes[..part.len()].copy_from_slice(part);
            *word = u64::from_le_bytes(bytes);
        }
        let at = self.tail;
        self.put(
            ring,
            RecordHeader { kind: RecordKind::Text, words, number: text.len() as u32 },
            &content[..words - 1],
        );
        let set = &mut self.texts[text_set(number)];
        set.rotate_right(1);
        set[0] = WrittenText { number, at };
    }

    /// Ends the answers of a turn: from here on its clicks outlive the process. To be called before the first of the answers
    /// is handed to the kernel. `None`: there was no click.
    #[inline]
    pub fn publish(&mut self, ring: Ring<'_>) -> Option<RingTurn> {
        if self.lost != ring.header[Field::Lost as usize].load(Ordering::Relaxed) {
            ring.set(Field::Lost, self.lost);
        }
        if self.tail == self.published {
            return None;
        }
        let turn = self.turns.open(self.published, self.tail);
        self.show(ring);
        Some(turn)
    }

    #[inline(always)]
    pub(super) fn show(&mut self, ring: Ring<'_>) {
        self.published = self.tail;
        ring.set(Field::Tail, self.tail);
    }

    /// The kernel has taken all answers of the turn.
    #[inline]
    pub fn settle(&mut self, ring: Ring<'_>, turn: RingTurn) {
        self.turns.settle(turn);
        self.show_settled(ring);
    }

    /// It has taken so many bytes of them and takes no more: clicks whose answers end behind count for nothing.
    #[cold]
    pub fn settle_part(&mut self, ring: Ring<'_>, turn: RingTurn, bytes: usize) {
        let open = self.turns.get(&turn);
        ring.make_void(open.begin, open.end, u32::try_from(bytes).unwrap_or(u32::MAX));
        self.settle(ring, turn);
    }

    /// The worker ends. Clicks of answers that are still on their way count.
    pub fn end(&mut self, ring: Ring<'_>) {
        self.turns.settle_all();
        self.show_settled(ring);
    }

    #[inline(always)]
    fn show_settled(&self, ring: Ring<'_>) {
        ring.set(Field::Settled, self.turns.first().unwrap_or(self.published));
    }

    /// Ten times a second. Turns whose clients do not read hold nobody up: their clicks are moved behind all others.
    pub fn tick(&mut self, ring: Ring<'_>) {
        self.turns.tick();
        for _ in 0..MOVES {
            let Some(slow) = self.turns.slow() else { break };
            self.begin(ring);
            self.copy(ring, slow.begin, slow.end);
            let behind = self.published;
            // A process that finds these three, and a tail behind the last, makes the old ones void. In this order: until the
            // second is there, there is no move.
            ring.set(Field::MovedFrom, slow.begin);
            ring.set(Field::MovedBehind, behind);
            ring.set(Field::MovedTo, slow.end);
            self.show(ring);
            ring.make_void(slow.begin, slow.end, 0);
            ring.set(Field::MovedTo, 0);
            self.turns.moved(behind, self.published);
        }
        if self.lost != ring.lost() {
            ring.set(Field::Lost, self.lost);
        }
        self.show_settled(ring);
    }

    /// Writes the clicks between two positions once more, and texts of theirs that lie before the mark. Those that find no room
    /// are lost where they lie.
    pub(super) fn copy(&mut self, ring: Ring<'_>, mut at: u64, end: u64) {
        while at < end
            && let Some((header, words)) = ring.record(at, end)
        {
            at += 8 * header.words as u64;
            if header.kind != RecordKind::Click {
                continue;
            }
            let word = |at: usize| words[1 + at].load(Ordering::Relaxed);
            let content: [u64; Captured::WORDS] = std::array::from_fn(word);
            let click = Captured::from_words(&content);
            if click.flags.has(CapturedFlags::VOID) || click.flags.has(CapturedFlags::LOST) {
                continue;
            }
            for number in [click.agent, click.referrer] {
                if number != 0 && !self.knows(number) {
                    self.carry_text(&ring, number);
                }
            }
            if self.make_room(&ring, CLICK_WORDS, self.limit) {
                self.put(&ring, header, &content);
            } else {
                // In one word with what makes it void: whoever is killed around it has left a click or a loss, and not both.
                add_flags(words, CapturedFlags::LOST);
            }
        }
    }

    /// Writes a text once more, if it is still there.
    fn carry_text(&mut self, ring: &Ring<'_>, number: u64) {
        let set = &self.texts[text_set(number)];
        let kept = set.iter().find(|known| known.number == number && known.at >= ring.get(Field::Head));
        let Some((header, words)) = kept.and_then(|known| ring.record(known.at, self.published)) else {
            return;
        };
        let bytes = words[2..].iter().flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes());
        let text: Vec<u8> = bytes.take(header.number as usize).collect();
        self.put_text(ring, number, &text);
    }
}
