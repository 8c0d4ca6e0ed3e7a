//! Texts of agents and referrers by their hash, as the workers' rings bring them: bounded, whoever sends how many.

use clicks::Texts;
use std::collections::HashMap;

/// Texts of one generation. A worker writes a text anew behind each release of its ring, so that one which is forgotten here
/// comes again before the next click that has it.
const MAX_TEXTS: usize = 16_384;

/// The newer half, and the older one, which goes when the newer is full.
#[derive(Default)]
pub struct KnownTexts {
    young: HashMap<u64, Box<[u8]>>,
    old: HashMap<u64, Box<[u8]>>,
}

impl KnownTexts {
    /// This text has this hash.
    pub fn put(&mut self, hash: u64, text: &[u8]) {
        if self.young.contains_key(&hash) {
            return;
        }
        if self.young.len() >= MAX_TEXTS {
            self.old = std::mem::take(&mut self.young);
        }
        let kept = self.old.remove(&hash);
        self.young.insert(hash, kept.unwrap_or_else(|| text.into()));
    }

    /// The text with this hash.
    pub fn get(&self, hash: u64) -> Option<&[u8]> {
        self.young.get(&hash).or_else(|| self.old.get(&hash)).map(|text| &text[..])
    }
}

impl Texts for KnownTexts {
    fn text(&self, hash: u64) -> Option<&[u8]> {
        self.get(hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_again_stays_and_a_flood_is_bounded() {
        let mut texts = KnownTexts::default();
        for hash in 1..=5 * MAX_TEXTS as u64 {
            texts.put(hash, &hash.to_le_bytes());
            texts.put(7, b"seven");
        }
        assert_eq!(texts.get(7), Some(&b"seven"[..]), "the first text stays");
        assert_eq!(texts.get(1), None);
        assert!(texts.get(5 * MAX_TEXTS as u64).is_some());
        assert!(texts.young.len() + texts.old.len() <= 2 * MAX_TEXTS);
    }
}
