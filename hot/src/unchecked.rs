//! What the compiler cannot check: vector instructions, and the entries of one shard. The only `unsafe` of this crate.
#![allow(unsafe_code)]

use dashmap::DashMap;
use std::hash::{BuildHasher, Hash};

/// One bit for each byte of the block that is a control character (0x00–0x1F or 0x7F), lowest bit first.
#[cfg(target_arch = "x86_64")]
#[inline]
pub fn controls(block: &[u8; crate::scan::BLOCK]) -> u32 {
    // SAFETY: every x86-64 processor has SSE2, and the target's baseline includes it. Tested in `scan` against the
    // plain way for every byte at every place.
    unsafe { controls_sse2(block) }
}

#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "sse2")]
fn controls_sse2(block: &[u8; crate::scan::BLOCK]) -> u32 {
    use std::arch::x86_64::{
        _mm_cmpeq_epi8, _mm_max_epu8, _mm_movemask_epi8, _mm_or_si128, _mm_set_epi64x, _mm_set1_epi8,
    };
    let (low, high) = block.split_at(8);
    let word = |half: &[u8]| i64::from_le_bytes(half.try_into().unwrap_or_default());
    let bytes = _mm_set_epi64x(word(high), word(low));
    // Unsigned comparison: a byte is at most 0x1F when 0x1F is their maximum.
    let last = _mm_set1_epi8(0x1f);
    let low = _mm_cmpeq_epi8(_mm_max_epu8(bytes, last), last);
    let del = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x7f));
    _mm_movemask_epi8(_mm_or_si128(low, del)) as u32
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
