//! What the compiler cannot check: vector instructions, and the entries of one shard. The only `unsafe` of this crate.
#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
use crate::{
    Parsed, head,
    scan::{BLOCK, RUN, Scan, is_simple},
};
use dashmap::DashMap;
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{
    _mm_loadu_si128, _mm256_add_epi8, _mm256_and_si256, _mm256_andnot_si256, _mm256_broadcastsi128_si256,
    _mm256_cmpeq_epi8, _mm256_cmpgt_epi8, _mm256_loadu_si256, _mm256_movemask_epi8, _mm256_set1_epi8,
    _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_srli_epi16,
};
use std::hash::{BuildHasher, Hash};

/// The vector unit of an x86-64 machine that has AVX2 and BMI1: whoever holds a value has asked the machine.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub struct Vectors(());

#[cfg(target_arch = "x86_64")]
impl Vectors {
    /// `None`: this machine has none.
    #[inline]
    pub fn of_this_machine() -> Option<Self> {
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("bmi1")).then_some(Self(()))
    }

    /// See [`crate::parse`].
    #[inline]
    pub fn parse(self, buffer: &[u8]) -> Parsed<'_> {
        #[target_feature(enable = "avx2,bmi1")]
        fn parse(buffer: &[u8], vectors: Vectors) -> Parsed<'_> {
            head::parse_with(buffer, vectors)
        }
        // SAFETY: the machine has what the function is compiled for; `self` says so. Tested in `head` against the plain
        // way.
        unsafe { parse(buffer, self) }
    }
}

#[cfg(target_arch = "x86_64")]
impl Scan for Vectors {
    #[inline(always)]
    fn controls(self, block: &[u8; BLOCK]) -> u64 {
        /// Thirty-two of them.
        #[target_feature(enable = "avx2")]
        #[inline]
        fn half(block: &[u8; BLOCK], at: usize) -> u32 {
            // SAFETY: the caller gives 0 or 32, and the load asks for no alignment.
            let bytes = unsafe { _mm256_loadu_si256(block.as_ptr().add(at).cast()) };
            // One more, and the controls are the least of all from 1 on; DEL and bytes beyond ASCII are 0 or negative.
            let next = _mm256_add_epi8(bytes, _mm256_set1_epi8(1));
            let low = _mm256_cmpgt_epi8(_mm256_set1_epi8(0x21), next);
            _mm256_movemask_epi8(_mm256_andnot_si256(bytes, low)).cast_unsigned() // but the latter go by their sign
        }
        // SAFETY: the machine has AVX2; `self` says so. Tested in `scan` for every byte at every place.
        unsafe { u64::from(half(block, 0)) | u64::from(half(block, 32)) << 32 }
    }

    #[inline(always)]
    fn stops(self, run: &[u8; RUN]) -> u32 {
        /// Of each half of a byte, one bit for each other half that makes a simple byte with it: 2 to 7 are the first
        /// halves of some.
        const HALVES: ([u8; 16], [u8; 16]) = {
            let (mut first, mut second, mut byte) = ([0; 16], [0; 16], 0x20);
            while byte < 0x80 {
                let bit = 1 << ((byte >> 4) - 2);
                first[byte >> 4] = bit;
                second[byte & 15] |= if is_simple(byte as u8) { bit } else { 0 };
                byte += 1;
            }
            (first, second)
        };
        #[target_feature(enable = "avx2")]
        #[inline]
        fn stops(run: &[u8; RUN]) -> u32 {
            let table = |bytes: &[u8; 16]| {
                // SAFETY: it is sixteen bytes, and the load asks for no alignment.
                _mm256_broadcastsi128_si256(unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) })
            };
            // SAFETY: it is thirty-two bytes, and the load asks for no alignment.
            let bytes = unsafe { _mm256_loadu_si256(run.as_ptr().cast()) };
            let first = _mm256_and_si256(_mm256_srli_epi16::<4>(bytes), _mm256_set1_epi8(15));
            // A byte beyond ASCII finds 0 in both.
            let (first, second) =
                (_mm256_shuffle_epi8(table(&HALVES.0), first), _mm256_shuffle_epi8(table(&HALVES.1), bytes));
            let none = _mm256_cmpeq_epi8(_mm256_and_si256(first, second), _mm256_setzero_si256());
            _mm256_movemask_epi8(none).cast_unsigned()
        }
        // SAFETY: as above.
        unsafe { stops(run) }
    }
}

/// Hands over each key of this shard, under its read lock. The map itself only walks over all of its shards.
pub fn each_key<K: Eq + Hash, V, S: BuildHasher + Clone>(
    map: &DashMap<K, V, S>,
    shard: usize,
    mut then: impl FnMut(&K),
) {
    let table = map.shards()[shard].read();
    // SAFETY: the buckets of a table live as long as it, and the guard, which outlives this loop, keeps everybody from
    // writing to it.
    for bucket in unsafe { table.iter() } {
        // SAFETY: as above; `then` gets a reference that ends with its call.
        then(unsafe { &bucket.as_ref().0 });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_in_one_shard() {
        let map = DashMap::with_shard_amount(4);
        (0..100).for_each(|number| assert_eq!(map.insert(number, number), None));
        let mut seen = Vec::new();
        (0..4).for_each(|shard| each_key(&map, shard, |key| seen.push(*key)));
        seen.sort_unstable();
        assert_eq!(seen, (0..100).collect::<Vec<_>>());
    }
}
