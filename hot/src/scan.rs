//! Finds the bytes in a request head that matter to its structure: controls. Sixteen at a time where the machine can.

/// Bytes in a block.
pub const BLOCK: usize = 16;

#[cfg(target_arch = "x86_64")]
pub use crate::unchecked::controls;

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
