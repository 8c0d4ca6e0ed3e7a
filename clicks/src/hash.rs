//! The number that stands for an agent or a host in a click's record.

/// Mixes 16 bytes a step: each step is one multiplication, folded.
const FIRST: u64 = 0x9e37_79b9_7f4a_7c15;
const SECOND: u64 = 0xd1b5_4a32_d192_ed03;

/// A hash of these bytes, the same for ever and on every machine, and never 0. It keeps different texts apart by chance, not
/// against somebody who looks for one with the number of a known text: that takes him seconds, and whichever of the two an
/// edge meets first says what both are.
#[inline]
pub fn hash(bytes: &[u8]) -> u64 {
    let mut state = FIRST;
    let mut rest = bytes;
    while let Some((block, behind)) = rest.split_first_chunk::<16>() {
        if behind.is_empty() {
            break; // the last block is taken below
        }
        state = step(state, low(block), high(block));
        rest = behind;
    }
    let (a, b) = match bytes.last_chunk::<16>() {
        // Its last sixteen bytes, some of them a second time.
        Some(last) => (low(last), high(last)),
        None => short(bytes),
    };
    // The length comes last: together with the first bytes, one of them would make up for another length.
    match fold(step(state, a, b) ^ SECOND, FIRST ^ bytes.len() as u64) {
        0 => 1,
        hash => hash,
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

#[inline(always)]
fn step(state: u64, a: u64, b: u64) -> u64 {
    fold(a ^ SECOND, b ^ state)
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
    use std::collections::HashSet;

    const AGENT: &[u8] = b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36";

    /// The same rules, written down once more, byte by byte.
    fn by_hand(bytes: &[u8]) -> u64 {
        let word = |bytes: &[u8]| bytes.iter().rev().fold(0u64, |word, &b| word << 8 | u64::from(b));
        let mul = |a: u64, b: u64| {
            let product = u128::from(a) * u128::from(b);
            (product >> 64) as u64 ^ product as u64
        };
        let (mut state, length) = (0x9e37_79b9_7f4a_7c15, bytes.len());
        for block in bytes.chunks(16).take(length.saturating_sub(1) / 16) {
            state = mul(word(&block[..8]) ^ 0xd1b5_4a32_d192_ed03, word(&block[8..16]) ^ state);
        }
        let (a, b) = match length {
            16.. => (word(&bytes[length - 16..length - 8]), word(&bytes[length - 8..])),
            8..16 => (word(&bytes[..8]), word(&bytes[length - 8..])),
            4..8 => (word(&bytes[..4]), word(&bytes[length - 4..])),
            _ => (bytes.iter().fold(0, |all, &b| all << 8 | u64::from(b)), 0),
        };
        let state = mul(a ^ 0xd1b5_4a32_d192_ed03, b ^ state);
        mul(state ^ 0xd1b5_4a32_d192_ed03, 0x9e37_79b9_7f4a_7c15 ^ length as u64).max(1)
    }

    #[test]
    fn it_is_what_its_rules_say_at_every_length() {
        for length in 0..=AGENT.len() {
            assert_eq!(hash(&AGENT[..length]), by_hand(&AGENT[..length]), "{length}");
        }
    }

    /// A hash that changes would part the clicks of one agent: these are kept in stores.
    #[test]
    fn it_stays_the_same_for_ever() {
        let golden = [
            0x7e96_4e33_8113_59f2,
            0x8bb2_0c1f_9207_af14,
            0x6d0f_b895_f90c_230e,
            0x187b_7b45_1e4c_67bb,
            0x6524_8d4c_606f_3f3b,
        ];
        let found = [&b""[..], b"a", b"curl/8.5.0", b"go.example.com", AGENT].map(hash);
        assert_eq!(found, golden, "{found:#x?}");
    }

    #[test]
    fn every_byte_and_the_length_count() {
        let mut seen = HashSet::new();
        for length in 0..=AGENT.len() {
            assert!(seen.insert(hash(&AGENT[..length])));
            assert!(
                length == 0 || seen.insert(hash(&vec![0; length])),
                "zeros are told apart by how many they are"
            );
            for at in 0..length {
                let mut other = AGENT[..length].to_vec();
                other[at] ^= 0x80;
                assert!(seen.insert(hash(&other)), "{length} at {at}");
            }
        }
        assert!(!seen.contains(&0));
    }

    /// Found by attack: of a browser's text with one byte changed and some repeated.
    #[test]
    fn no_byte_makes_up_for_another_length() {
        let (begin, end) = (AGENT.len() / 16 * 16, AGENT.last_chunk::<16>().unwrap());
        let mut other = AGENT[..begin].to_vec();
        other[8] ^= (AGENT.len() ^ (begin + 16)) as u8;
        other.extend(end);
        assert_ne!(hash(&other), hash(AGENT));
    }

    #[test]
    fn bits_are_even() {
        let mut ones = [0u32; 64];
        for number in 0..4096 {
            let hash = hash(format!("agent {number}").as_bytes());
            ones.iter_mut().enumerate().for_each(|(bit, ones)| *ones += (hash >> bit & 1) as u32);
        }
        // Four standard deviations.
        assert!(ones.iter().all(|ones| (2048 - 128..=2048 + 128).contains(ones)), "{ones:?}");
    }
}
