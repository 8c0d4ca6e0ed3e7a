//! The hash of the map: foldhash, with the shards unevenly filled.
//!
//! A table doubles at seven eighths. If all shards held as many they would all double at once, and a set just behind
//! that would have twice the table that one just before it has. Here the fullest shard holds twice what the emptiest one
//! does, and the others lie between: at any size some have just doubled and some are about to.

use std::hash::{BuildHasher, Hasher};

#[cfg(not(feature = "rules"))]
type Inner = foldhash::fast::RandomState;
/// A simulation must do the same again from the same seed.
#[cfg(feature = "rules")]
type Inner = foldhash::fast::FixedState;

/// Makes hashes that fill the shards unevenly.
#[derive(Clone, Debug, Default)]
pub(super) struct UnevenHashing(Inner);

/// A hash under way.
pub(super) struct UnevenHasher(<Inner as BuildHasher>::Hasher);

impl BuildHasher for UnevenHashing {
    type Hasher = UnevenHasher;

    #[inline]
    fn build_hasher(&self) -> UnevenHasher {
        UnevenHasher(self.0.build_hasher())
    }
}

impl Hasher for UnevenHasher {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    #[inline]
    fn write_u32(&mut self, number: u32) {
        self.0.write_u32(number);
    }

    #[inline]
    fn finish(&self) -> u64 {
        uneven(self.0.finish())
    }
}

/// Bits below the seven that the tables compare: the map takes a shard from the highest of them.
const BITS: u32 = 20;
const ABOVE: u32 = 64 - 7 - BITS;
const ONE: u64 = 1 << BITS;

/// Moves the number u in those bits, 0 ≤ u < 1, to u + 0.34 u (1 − u): close to the logarithm of 1 + u to the base 2.
#[inline]
fn uneven(hash: u64) -> u64 {
    let u = hash << 7 >> (64 - BITS);
    let more = u * (ONE - u) * 87 / (256 * ONE);
    hash.wrapping_add(more << ABOVE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fullest_shard_holds_twice_the_emptiest() {
        let mut shards = [0u32; 16];
        for number in 0..1_600_000u64 {
            let hash = uneven(number << 44 | number); // spread evenly over the bits in question
            shards[(hash << 7 >> 60) as usize] += 1;
        }
        assert!(shards.is_sorted(), "{shards:?}");
        let ratio = f64::from(shards[15]) / f64::from(shards[0]);
        assert!((1.85..2.1).contains(&ratio), "{ratio}: {shards:?}");
    }

    #[test]
    fn no_other_bit_changes() {
        for hash in [0, 1, u64::MAX, 0x0123_4567_89ab_cdef, ONE << ABOVE, (ONE - 1) << ABOVE] {
            assert_eq!((hash ^ uneven(hash)) & !((ONE - 1) << ABOVE), 0, "{hash:x}");
        }
    }
}
