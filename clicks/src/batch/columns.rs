//! The columns of a batch as bytes: each is compressed by itself where that pays, and none is read beyond its bound.
//!
//! ```text
//! number  length × 2, and 1 more if it is compressed
//! number  if it is compressed: bytes in this batch
//!         the bytes
//! ```

use super::{BatchFault, MAX_DECODED};
use crate::varint::{Reader, put};
use std::borrow::Cow;
use zstd::bulk::{Compressor, Decompressor};

/// A column shorter than that is not compressed: little can be won, and a compressor takes half a megabyte.
const WORTH_IT: usize = 64;
/// Higher levels look for longer matches, and most columns have none: what is won there is what each byte's frequency tells.
const LEVEL: i32 = 1;

/// Columns that are written.
#[derive(Default)]
pub struct ColumnWriter {
    /// What is written.
    pub out: Vec<u8>,
    /// Bytes of the columns before they were compressed.
    pub decoded: usize,
    compressor: Option<Compressor<'static>>,
}

impl ColumnWriter {
    /// Appends a number outside of any column.
    pub fn number(&mut self, number: u64) {
        put(&mut self.out, number);
    }

    /// Appends a column.
    pub fn column(&mut self, bytes: &[u8]) {
        self.decoded += bytes.len();
        let length = bytes.len() as u64 * 2;
        match self.compressed(bytes) {
            Some(compressed) => {
                self.number(length + 1);
                self.number(compressed.len() as u64);
                self.out.extend_from_slice(&compressed);
            }
            None => {
                self.number(length);
                self.out.extend_from_slice(bytes);
            }
        }
    }

    /// Appends a column that holds nothing but chance, so that no time is lost with it.
    pub fn column_of_chance(&mut self, bytes: &[u8]) {
        self.decoded += bytes.len();
        self.number(bytes.len() as u64 * 2);
        self.out.extend_from_slice(bytes);
    }

    /// Numbers below `distinct`, each in as few bytes as the largest needs: first the lowest byte of each, then the next,
    /// a column for each. One value needs none.
    pub fn indexes(&mut self, indexes: &[u32], distinct: usize) {
        for plane in 0..planes(distinct) {
            let bytes: Vec<u8> = indexes.iter().map(|index| (index >> (8 * plane)) as u8).collect();
            self.column(&bytes);
        }
    }

    /// `None`: it is not worth it, or there is no memory for it.
    fn compressed(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        if bytes.len() < WORTH_IT {
            return None;
        }
        if self.compressor.is_none() {
            self.compressor = Compressor::new(LEVEL).ok();
        }
        let compressed = self.compressor.as_mut()?.compress(bytes).ok()?;
        (compressed.len() + 2 < bytes.len()).then_some(compressed)
    }
}

/// How many bytes an index below `distinct` takes.
fn planes(distinct: usize) -> u32 {
    (usize::BITS - distinct.saturating_sub(1).leading_zeros()).div_ceil(8)
}

/// Columns that are read.
pub struct ColumnReader<'a> {
    bytes: Reader<'a>,
    /// Bytes that may still be decoded.
    left: usize,
    decompressor: Option<Decompressor<'static>>,
}

impl<'a> ColumnReader<'a> {
    /// Reads these from their beginning.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes: Reader(bytes), left: MAX_DECODED, decompressor: None }
    }

    /// Whether all is read.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// One byte outside of any column.
    pub fn byte(&mut self) -> Result<u8, BatchFault> {
        self.bytes.byte().ok_or(BatchFault::Malformed("its end is missing"))
    }

    /// A number outside of any column.
    pub fn number(&mut self) -> Result<u64, BatchFault> {
        self.bytes.number().ok_or(BatchFault::Malformed("a number"))
    }

    /// A number of things, at most so many.
    pub fn count(&mut self, most: usize) -> Result<usize, BatchFault> {
        let count = self.number()?;
        if count > most as u64 { Err(BatchFault::TooLarge) } else { Ok(count as usize) }
    }

    /// The next column.
    pub fn column(&mut self) -> Result<Cow<'a, [u8]>, BatchFault> {
        let head = self.number()?;
        let length = usize::try_from(head / 2).unwrap_or(usize::MAX);
        self.left = self.left.checked_sub(length).ok_or(BatchFault::TooLarge)?;
        let short = BatchFault::Malformed("a column's end is missing");
        if head % 2 == 0 {
            return Ok(Cow::Borrowed(self.bytes.bytes(length).ok_or(short)?));
        }
        let compressed = usize::try_from(self.number()?).unwrap_or(usize::MAX);
        let compressed = self.bytes.bytes(compressed).ok_or(short)?;
        Ok(Cow::Owned(self.decompressed(compressed, length)?))
    }

    fn decompressed(&mut self, compressed: &[u8], length: usize) -> Result<Vec<u8>, BatchFault> {
        let fault = BatchFault::Malformed("a compressed column");
        let decompressor = match &mut self.decompressor {
            Some(decompressor) => decompressor,
            empty => empty.insert(Decompressor::new().map_err(|_| fault)?),
        };
        let mut bytes = vec![0; length];
        match decompressor.decompress_to_buffer(compressed, &mut bytes[..]) {
            Ok(written) if written == length => Ok(bytes),
            _ => Err(fault),
        }
    }

    /// A column of so many bytes.
    pub fn column_of(&mut self, length: usize) -> Result<Cow<'a, [u8]>, BatchFault> {
        let column = self.column()?;
        if column.len() == length { Ok(column) } else { Err(BatchFault::Malformed("the length of a column")) }
    }

    /// So many indexes as [`ColumnWriter::indexes`] writes them, each below `distinct`.
    pub fn indexes(&mut self, count: usize, distinct: usize) -> Result<Vec<u32>, BatchFault> {
        if distinct == 0 && count > 0 {
            return Err(BatchFault::Malformed("an index into nothing"));
        }
        let mut indexes = vec![0; count];
        for plane in 0..planes(distinct) {
            let bytes = self.column_of(count)?;
            for (index, byte) in indexes.iter_mut().zip(bytes.iter()) {
                *index |= u32::from(*byte) << (8 * plane);
            }
        }
        if indexes.iter().all(|index| (*index as usize) < distinct) {
            Ok(indexes)
        } else {
            Err(BatchFault::Malformed("an index beyond its dictionary"))
        }
    }
}
