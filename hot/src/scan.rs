//! Looks at many bytes of a request head at once: where its controls are, and where a run of the simplest bytes ends.

/// Bytes of a head that are looked at in one step.
pub const BLOCK: usize = 64;
/// Bytes in which the end of a name is looked for: of a field, a host or a code.
pub const RUN: usize = 32;

/// A way to look at bytes. [`Words`] is there on every machine; another way is there where a value of it can be had.
pub trait Scan: Copy {
    /// One bit for each byte that is a control character (0x00–0x1F, 0x7F), lowest first.
    fn controls(self, block: &[u8; BLOCK]) -> u64;

    /// One bit for each byte, lowest first. A byte without one is [simple](is_simple).
    fn stops(self, run: &[u8; RUN]) -> u32;

    /// The same for those of them that are a dot, as far as they are told from others.
    fn dots(self, run: &[u8; RUN]) -> u32;

    /// Whether a run of which the first bytes are [simple](is_simple), as many as the name has, begins with this name in any
    /// case. Then only a letter becomes another's by the bit that tells cases apart.
    fn is_name(self, run: &[u8; RUN], name: &PaddedName) -> bool;
}

/// A name of less than [`RUN`] bytes, as a run is compared with it.
#[derive(Clone, Copy)]
pub struct PaddedName {
    /// In lower case, zeros behind it.
    pub bytes: [u8; RUN],
    /// Ones where the name has bytes.
    pub mask: [u8; RUN],
}

impl PaddedName {
    /// Of letters in lower case and hyphens.
    pub const fn new(name: &str) -> Self {
        let (name, mut at) = (name.as_bytes(), 0);
        let (mut bytes, mut mask) = ([0; RUN], [0; RUN]);
        while at < name.len() {
            (bytes[at], mask[at]) = (name[at], u8::MAX);
            at += 1;
        }
        Self { bytes, mask }
    }
}

/// Whether a byte may stand anywhere in a field's name, in a label of a host, and in a code.
pub const fn is_simple(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~')
}

/// Eight bytes at a time, in plain arithmetic; names byte by byte.
#[derive(Clone, Copy)]
pub struct Words;

impl Scan for Words {
    #[inline(always)]
    fn controls(self, block: &[u8; BLOCK]) -> u64 {
        const EACH: u64 = 0x0101_0101_0101_0101;
        const TOP: u64 = 0x80 * EACH;
        const DEL: u64 = 0x7f * EACH;
        block.chunks_exact(8).enumerate().fold(0, |bits, (at, word)| {
            let word = u64::from_le_bytes(word.try_into().unwrap_or_default());
            // In both, no byte borrows from the next or carries over to it.
            let not_low = (word | TOP) - 0x20 * EACH;
            let not_del = ((word ^ DEL) & !TOP) + DEL;
            let marks = !(not_low & not_del | word) & TOP;
            // Each mark moves to a bit of its own at the top.
            bits | ((marks >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56) << (8 * at)
        })
    }

    #[inline(always)]
    fn stops(self, _: &[u8; RUN]) -> u32 {
        u32::MAX
    }

    #[inline(always)]
    fn dots(self, _: &[u8; RUN]) -> u32 {
        0
    }

    #[inline(always)]
    fn is_name(self, run: &[u8; RUN], name: &PaddedName) -> bool {
        (0..RUN).all(|at| ((run[at] | 0x20) ^ name.bytes[at]) & name.mask[at] == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(scan: impl Scan) {
        for byte in 0..=u8::MAX {
            for at in 0..BLOCK {
                let mut block = [b'a'; BLOCK];
                block[at] = byte;
                assert_eq!(
                    scan.controls(&block),
                    u64::from(byte.is_ascii_control()) << at,
                    "{byte:#x} at {at}"
                );
            }
            for at in 0..RUN {
                let mut run = [b'-'; RUN];
                run[at] = byte;
                assert!(is_simple(byte) || scan.stops(&run) & 1 << at != 0, "{byte:#x} at {at}");
                assert!(byte == b'.' || scan.dots(&run) == 0, "{byte:#x} at {at}");
            }
        }
        let name = PaddedName::new("x-linkr-debug");
        for byte in (0..=u8::MAX).filter(|byte| is_simple(*byte)) {
            for at in 0..RUN {
                let mut run = *b"x-LINKR-debug: 1\r\n              ";
                let same = at >= 13 || run[at].eq_ignore_ascii_case(&byte);
                run[at] = byte;
                assert_eq!(scan.is_name(&run, &name), same, "{byte:#x} at {at}");
            }
        }
        let all: [u8; BLOCK] = std::array::from_fn(|at| if at % 3 == 0 { 0x7f } else { at as u8 % 0x20 });
        assert_eq!(scan.controls(&all), u64::MAX, "neighbours do not disturb each other");
        let none: [u8; BLOCK] = std::array::from_fn(|at| if at % 2 == 0 { 0x7e } else { 0x20 });
        assert_eq!(scan.controls(&none), 0);
    }

    #[test]
    fn every_byte_at_every_place() {
        check(Words);
        #[cfg(target_arch = "x86_64")]
        match crate::unchecked::Vectors::of_this_machine() {
            Some(vectors) => {
                check(vectors);
                let run: [u8; RUN] = *b"Sec-CH_ua-8-~azAZ09: \"L.n/\"\x80@[`{";
                let stops = (0..RUN).fold(0, |bits, at| bits | u32::from(!is_simple(run[at])) << at);
                assert_eq!(vectors.stops(&run), stops, "every other byte is told from the simple ones");
                assert_eq!(vectors.dots(b"a.b..-:.aaaaaaaaaaaaaaaaaaaaaaa."), 1 << 31 | 0b1001_1010);
            }
            None => println!("SKIPPED: this machine has no AVX2"),
        }
    }
}
