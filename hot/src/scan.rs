//! Finds the bytes in a request head that matter to its structure: controls. Sixteen at a time where the machine can.

/// Bytes in a block.
pub const BLOCK: usize = 16;

/// One bit for each byte of the block that is a control character (0x00–0x1F or 0x7F), lowest bit first.
#[cfg(target_arch = "x86_64")]
#[inline]
#[allow(unsafe_code)]
pub fn controls(block: &[u8; BLOCK]) -> u32 {
    // SAFETY: every x86-64 processor has SSE2, and the target's baseline includes it. Tested against the plain way
    // for every byte at every place.
    unsafe { controls_sse2(block) }
}

#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "sse2")]
fn controls_sse2(block: &[u8; BLOCK]) -> u32 {
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

/// One bit for each byte of the block that is a control character (0x00–0x1F or 0x7F), lowest bit first.
#[cfg(not(target_arch = "x86_64"))]
#[inline]
pub fn controls(block: &[u8; BLOCK]) -> u32 {
    controls_one_by_one(block)
}

/// The same for a shorter rest, or where there is no vector unit.
#[inline]
pub fn controls_one_by_one(bytes: &[u8]) -> u32 {
    bytes.iter().enumerate().fold(0, |mask, (at, byte)| mask | u32::from(byte.is_ascii_control()) << at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_agree_on_every_byte_at_every_place() {
        for byte in 0..=255 {
            for at in 0..BLOCK {
                let mut block = [b'a'; BLOCK];
                block[at] = byte;
                assert_eq!(controls(&block), controls_one_by_one(&block), "{byte:#x} at {at}");
                let want = if byte < 0x20 || byte == 0x7f { 1 << at } else { 0 };
                assert_eq!(controls(&block), want);
            }
        }
    }
}
