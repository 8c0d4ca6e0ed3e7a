//! Texts by their numbers, at both ends of a ring: which ones a writer takes to be known, and the same ones at its reader.

/// Sets of texts, a line of the cache each in the writer.
pub(super) const TEXT_SETS: usize = 1024;
/// Texts of one set. Of a full set the one goes that was written first.
pub(super) const TEXT_WAYS: usize = 4;

/// The set of a number.
#[inline(always)]
pub(super) fn text_set(number: u64) -> usize {
    number as usize % TEXT_SETS
}

/// What a reader has of the texts that it has read: of each set the last four. A writer takes no others to be known, since it
/// has the same sets, and writes what fell out of them anew in front of the next click that has it. So no click lacks its text,
/// and however many texts are sent, 4,096 are kept, in at most 2 MiB.
pub(super) struct RingTexts(Vec<[Option<KnownText>; TEXT_WAYS]>);

struct KnownText {
    number: u64,
    text: Box<[u8]>,
}

impl RingTexts {
    pub fn new() -> Self {
        Self(std::iter::repeat_with(Default::default).take(TEXT_SETS).collect())
    }

    /// A text was read.
    pub fn put(&mut self, number: u64, text: impl FnOnce() -> Box<[u8]>) {
        let set = &mut self.0[text_set(number)];
        if let Some(way) = set.iter().position(|known| known.as_ref().is_some_and(|own| own.number == number))
        {
            set[..=way].rotate_right(1); // written again: it is the last one now
        } else {
            set.rotate_right(1);
            set[0] = Some(KnownText { number, text: text() });
        }
    }

    /// The text with this number.
    pub fn get(&self, number: u64) -> Option<&[u8]> {
        let known = self.0[text_set(number)].iter().flatten().find(|known| known.number == number);
        known.map(|known| &known.text[..])
    }
}
