//! Numbers of a few bytes, as protocol buffers have them (base 128, the lowest first).

use crate::model::StoreFault;

/// Bytes of the longest.
const MOST: u32 = 10;

pub(crate) fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// How many bytes a number takes.
pub(crate) fn length(number: u64) -> usize {
    (u64::BITS - (number | 1).leading_zeros()).div_ceil(7) as usize
}

/// Takes bytes with their length in front.
pub(crate) fn put_bytes(bytes: &mut Vec<u8>, part: &[u8]) {
    put(bytes, part.len() as u64);
    bytes.extend_from_slice(part);
}

/// Reads values from their front.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn byte(&mut self) -> Result<u8, StoreFault> {
        let (byte, rest) = self.0.split_first().ok_or_else(short)?;
        self.0 = rest;
        Ok(*byte)
    }

    #[inline]
    pub fn number(&mut self) -> Result<u64, StoreFault> {
        // Most are small.
        if let Some((&byte, rest)) = self.0.split_first()
            && byte < 0x80
        {
            self.0 = rest;
            return Ok(byte.into());
        }
        self.long_number()
    }

    #[cold]
    fn long_number(&mut self) -> Result<u64, StoreFault> {
        let mut number = 0;
        for at in 0..MOST {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << (7 * at);
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(StoreFault::Corrupt("a number of the clicks is too long".into()))
    }

    pub fn bytes(&mut self) -> Result<&'a [u8], StoreFault> {
        let length = usize::try_from(self.number()?).map_err(|_| short())?;
        self.take(length)
    }

    pub fn take(&mut self, length: usize) -> Result<&'a [u8], StoreFault> {
        let (bytes, rest) = self.0.split_at_checked(length).ok_or_else(short)?;
        self.0 = rest;
        Ok(bytes)
    }
}

fn short() -> StoreFault {
    StoreFault::Corrupt("a row of the clicks ends too early".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_bytes_come_back_and_what_is_cut_is_told() {
        let numbers = [0, 1, 127, 128, 16_383, 16_384, u64::MAX];
        let mut bytes = Vec::new();
        numbers.iter().for_each(|&number| put(&mut bytes, number));
        assert_eq!(bytes.len(), numbers.iter().map(|&number| length(number)).sum::<usize>());
        put_bytes(&mut bytes, b"abc");
        let mut reader = Reader(&bytes);
        assert_eq!(numbers.map(|_| reader.number().unwrap()), numbers);
        assert_eq!((reader.bytes().unwrap(), reader.is_empty()), (&b"abc"[..], true));
        assert!(Reader(&bytes[bytes.len() - 4..][..3]).bytes().is_err());
        assert!(Reader(&[0x80]).number().is_err());
        assert!(Reader(&[0xff; 11]).number().is_err());
    }
}
