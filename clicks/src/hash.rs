//! The numbers that stand for an agent or a host: one that only this process can make, by which its clicks and caches name a
//! text, and one that is the same everywhere, which leaves it.

use sha2::{Digest, Sha256};

/// The hash of a text, the same for ever and on every machine, and never 0: the first eight bytes of its SHA-256, big-endian.
/// A second text with the hash of a known one is out of reach; it takes some 0.3 µs, so it is made once for each new text.
pub fn hash(text: &[u8]) -> u64 {
    let digest: [u8; 32] = Sha256::digest(text).into();
    digest.first_chunk().map_or(1, |first| u64::from_be_bytes(*first).max(1))
}

/// What the numbers of texts are made with: random, of one process, and never written down. Whoever knew it could make a text
/// with the number of a known browser's, and whichever of the two an edge met first would say what both are.
#[derive(Clone, Copy)]
pub struct TextSeed {
    first: u64,
    second: u64,
}

impl TextSeed {
    /// Of 128 random bits.
    pub const fn new(first: u64, second: u64) -> Self {
        Self { first, second }
    }

    /// The number of a text; never 0. Sixteen bytes a step, each step one multiplication, folded. Every factor has a part of the
    /// seed in it: of a factor that is known, somebody makes 0, and everything before it is forgotten.
    #[inline(always)]
    pub fn number(self, text: &[u8]) -> u64 {
        let (mut state, mut rest) = (self.first, text);
        // Two steps at a time; the last block is taken below.
        while rest.len() > 32
            && let Some((two, behind)) = rest.split_first_chunk::<32>()
        {
            let ([one, two], []) = two.as_chunks() else { unreachable!("it is two blocks") };
            state = self.step(self.step(state, low(one), high(one)), low(two), high(two));
            rest = behind;
        }
        if rest.len() > 16
            && let Some(block) = rest.first_chunk()
        {
            state = self.step(state, low(block), high(block));
        }
        let (a, b) = match text.last_chunk::<16>() {
            // Its last sixteen bytes, some of them a second time.
            Some(last) => (low(last), high(last)),
            None => short(text),
        };
        // The length comes last: together with the first bytes, one of them would make up for another length.
        (self.step(state, a, b) ^ text.len() as u64).max(1)
    }

    #[inline(always)]
    fn step(self, state: u64, a: u64, b: u64) -> u64 {
        fold(a ^ self.second, b ^ state)
    }
}

/// Of less than sixteen bytes: the first and the last of them, which meet or overlap.
#[inline]
fn short(bytes: &[u8]) -> (u64, u64) {
    if let (Some(first), Some(last)) = (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        (u64::from_le_bytes(*first), u64::from_le_bytes(*last))
    } else if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        (u32::from_le_bytes(*first).into(), u32::from_le_bytes(*last).into())
    } else {
        (bytes.iter().fold(0, |word, &byte| word << 8 | u64::from(byte)), 0)
    }
}

#[inline(always)]
fn low(block: &[u8; 16]) -> u64 {
    block.first_chunk().map_or(0, |half| u64::from_le_bytes(*half))
}

#[inline(always)]
fn high(block: &[u8; 16]) -> u64 {
    block.last_chunk().map_or(0, |half| u64::from_le_bytes(*half))
}

/// Both halves of the product.
#[inline(always)]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product >> 64) as u64 ^ product as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    const AGENT: &[u8] = b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36";
    const SEED: TextSeed = TextSeed::new(0x0123_4567_89ab_cdef, 0x0f1e_2d3c_4b5a_6978);

    /// The same rules, written down once more, byte by byte.
    fn by_hand(TextSeed { first, second }: TextSeed, bytes: &[u8]) -> u64 {
        let word = |bytes: &[u8]| bytes.iter().rev().fold(0u64, |word, &b| word << 8 | u64::from(b));
        let mul = |a: u64, b: u64| {
            let product = u128::from(a) * u128::from(b);
            (product >> 64) as u64 ^ product as u64
        };
        let (mut state, length) = (first, bytes.len());
        for block in bytes.chunks(16).take(length.saturating_sub(1) / 16) {
            state = mul(word(&block[..8]) ^ second, word(&block[8..16]) ^ state);
        }
        let (a, b) = match length {
            16.. => (word(&bytes[length - 16..length - 8]), word(&bytes[length - 8..])),
            8..16 => (word(&bytes[..8]), word(&bytes[length - 8..])),
            4..8 => (word(&bytes[..4]), word(&bytes[length - 4..])),
            _ => (bytes.iter().fold(0, |all, &b| all << 8 | u64::from(b)), 0),
        };
        (mul(a ^ second, b ^ state) ^ length as u64).max(1)
    }

    #[test]
    fn it_is_what_its_rules_say_at_every_length() {
        for length in 0..=AGENT.len() {
            assert_eq!(SEED.number(&AGENT[..length]), by_hand(SEED, &AGENT[..length]), "{length}");
        }
    }

    /// A hash that changes would part the clicks of one agent: these are kept in stores.
    #[test]
    fn the_hash_stays_the_same_for_ever() {
        // FIPS 180-4, with the texts "" and "abc" of its examples.
        assert_eq!([b"", &b"abc"[..]].map(hash), [0xe3b0_c442_98fc_1c14, 0xba78_16bf_8f01_cfea]);
    }

    #[test]
    fn every_byte_and_the_length_count() {
        let mut seen = HashSet::new();
        for length in 0..=AGENT.len() {
            assert!(seen.insert(SEED.number(&AGENT[..length])));
            assert!(
                length == 0 || seen.insert(SEED.number(&vec![0; length])),
                "zeros are told apart by how many they are"
            );
            for at in 0..length {
                let mut other = AGENT[..length].to_vec();
                other[at] ^= 0x80;
                assert!(seen.insert(SEED.number(&other)), "{length} at {at}");
            }
        }
        assert!(!seen.contains(&0));
    }

    /// Two texts of one number, by whoever has the seed: their first block makes one factor 0, so that nothing of its other half
    /// is left.
    fn made_with(seed: TextSeed) -> [Vec<u8>; 2] {
        [b"curl/8.5", b"Mozilla/"].map(|half| {
            let mut text = seed.second.to_le_bytes().to_vec();
            text.extend(half);
            text.extend(b" (X11; Linux x86_64)");
            text
        })
    }

    proptest! {
        #[test]
        fn texts_that_collide_under_one_seed_do_not_under_another(words: [u64; 4]) {
            let [seed, other] = [TextSeed::new(words[0], words[1]), TextSeed::new(words[2], words[3])];
            prop_assume!(seed.second != other.second);
            let [one, two] = made_with(seed);
            prop_assert_eq!(seed.number(&one), seed.number(&two));
            prop_assert_ne!(other.number(&one), other.number(&two));
        }

        #[test]
        fn a_number_is_never_0(first: u64, second: u64, text: Vec<u8>) {
            for seed in [TextSeed::new(first, second), TextSeed::new(0, 0), TextSeed::new(0, second)] {
                prop_assert_ne!(seed.number(&text), 0);
            }
        }
    }

    /// A stranger's text once had the number of a browser's, and people became bots: the numbers were made with constants that
    /// everybody could read. Of these constants and of any other guess, no text is made.
    #[test]
    fn a_collision_cannot_be_made_without_the_seed() {
        // The constants of before, which are as good a guess as any.
        let guess = TextSeed::new(0x9e37_79b9_7f4a_7c15, 0xd1b5_4a32_d192_ed03);
        let [one, two] = made_with(guess);
        assert_eq!(guess.number(&one), guess.number(&two));
        let mut random = 1_u64;
        let mut next = || {
            random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            random ^ random >> 29
        };
        let numbers: HashSet<u64> = (0..10_000)
            .flat_map(|_| {
                let seed = TextSeed::new(next(), next());
                let [one, two] = [&one, &two].map(|text| seed.number(text));
                assert_ne!(one, two);
                [one, two, seed.number(AGENT)]
            })
            .collect();
        assert_eq!(numbers.len(), 30_000, "each seed makes other numbers");
    }

    /// Found by attack: of a browser's text with one byte changed and some repeated.
    #[test]
    fn no_byte_makes_up_for_another_length() {
        let (begin, end) = (AGENT.len() / 16 * 16, AGENT.last_chunk::<16>().unwrap());
        let mut other = AGENT[..begin].to_vec();
        other[8] ^= (AGENT.len() ^ (begin + 16)) as u8;
        other.extend(end);
        assert_ne!(SEED.number(&other), SEED.number(AGENT));
    }

    #[test]
    fn bits_are_even() {
        let mut ones = [0u32; 64];
        for number in 0..4096 {
            let number = SEED.number(format!("agent {number}").as_bytes());
            ones.iter_mut().enumerate().for_each(|(bit, ones)| *ones += (number >> bit & 1) as u32);
        }
        // Four standard deviations.
        assert!(ones.iter().all(|ones| (2048 - 128..=2048 + 128).contains(ones)), "{ones:?}");
    }
}
