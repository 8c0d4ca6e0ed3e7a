//! Numbers in as few bytes as they need (LEB128), and a reader that gives nothing that is not there.

/// Appends a number: seven bits a byte, the lowest first; the top bit says that more follow.
pub fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Appends a signed number so that small ones are short, whatever their sign.
pub fn put_signed(out: &mut Vec<u8>, number: i64) {
    put(out, zigzag(number));
}

fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

/// How many bytes [`put`] takes for this number.
pub fn length(number: u64) -> usize {
    (64 - (number | 1).leading_zeros() as usize).div_ceil(7)
}

/// Bytes that are read from their beginning. What is not there is `None`, and then nothing is taken.
#[derive(Clone, Copy)]
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    /// A number as [`put`] writes it; `None` also if it is longer than it has to be, or than 64 bits.
    #[inline]
    pub fn number(&mut self) -> Option<u64> {
        let (&first, rest) = self.0.split_first()?;
        if first < 0x80 {
            self.0 = rest;
            return Some(u64::from(first));
        }
        self.long_number()
    }

    fn long_number(&mut self) -> Option<u64> {
        let mut number = 0;
        for (at, &byte) in self.0.iter().take(10).enumerate() {
            let bits = u64::from(byte & 0x7f);
            if at == 9 && bits > 1 {
                return None;
            }
            number |= bits << (7 * at);
            if byte < 0x80 {
                if byte == 0 && at > 0 {
                    return None;
                }
                self.0 = &self.0[at + 1..];
                return Some(number);
            }
        }
        None
    }

    /// A number as [`put_signed`] writes it.
    pub fn signed(&mut self) -> Option<i64> {
        let number = self.number()?;
        Some((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    /// So many bytes.
    pub fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    /// One byte.
    pub fn byte(&mut self) -> Option<u8> {
        self.bytes(1).map(|bytes| bytes[0])
    }

    /// Whether all is read.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_come_back(number: u64, signed: i64, shift in 0u32..64) {
            let (number, signed) = (number >> shift, signed >> shift);
            let mut out = Vec::new();
            put(&mut out, number);
            prop_assert_eq!(out.len(), length(number));
            put_signed(&mut out, signed);
            let mut reader = Reader(&out);
            prop_assert_eq!(reader.number(), Some(number));
            prop_assert_eq!(reader.signed(), Some(signed));
            prop_assert!(reader.is_empty());
        }

        #[test]
        fn each_number_has_one_spelling(bytes: [u8; 12]) {
            let mut reader = Reader(&bytes);
            if let Some(number) = reader.number() {
                let mut out = Vec::new();
                put(&mut out, number);
                prop_assert_eq!(&bytes[..bytes.len() - reader.0.len()], &out[..]);
            }
        }
    }
}
