//! The layout of a roll-up of many tuples: the values of each dimension once, and then each tuple in as many bits as it takes
//! to say which of them it has. All tuples are of one width, so that a question reads only the fields that it asks for.
//!
//! ```text
//! u8       layout 7
//! number   tuples
//! for each dimension, in order: number of values; the first; of each further one, how far it is beyond the next possible
//! u8       bits of a count
//!          the tuples, the lowest bits first: the index of each dimension's value, then the count less 1; all ones if the
//!          count does not fit
//! numbers  of each count that does not fit: how far it is beyond what fits
//! ```

use super::{Dimension, Entry, RollupFault, Tuple};
use crate::varint::{Reader, length, put};
use RollupFault::Malformed;

/// What it begins with: see [`KIND`](super::parts::KIND).
pub const LAYOUT: u8 = 7;
/// More tuples no roll-up has: what [`MAX_WHOLE`](super::MAX_WHOLE) leaves of any.
const MAX_TUPLES: u64 = 1 << 17;
/// More bits than that are never worth it for a count.
const MAX_COUNT_BITS: u32 = 24;

/// The bytes of these, each tuple once and in rising order.
pub fn encode(entries: &[Entry]) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + 5 * entries.len());
    out.push(LAYOUT);
    put(&mut out, entries.len() as u64);
    let values = Values::of(entries);
    values.iter().for_each(|values| values.write(&mut out));
    let count_bits = count_bits(entries);
    out.push(count_bits as u8);
    // What all tuples have in common takes no bits.
    let varied = Dimension::ALL.into_iter().zip(&values).filter(|(_, values)| values.sorted.len() > 1);
    let varied: Vec<_> =
        varied.map(|(dimension, values)| (dimension, values, width(values.sorted.len()))).collect();
    let escape = (1u64 << count_bits) - 1;
    let (mut bits, mut beyond) = (BitWriter { out, bits: 0, filled: 0 }, Vec::new());
    for Entry { tuple, count } in entries {
        for (dimension, values, width) in &varied {
            bits.put(values.index(tuple.get(*dimension)), *width);
        }
        let field = (count - 1).min(escape);
        if field == escape {
            put(&mut beyond, count - 1 - escape);
        }
        bits.put(field as u32, count_bits);
    }
    let mut out = bits.finish();
    out.extend_from_slice(&beyond);
    out
}

/// Fields of at most 32 bits, one behind the other.
struct BitWriter {
    out: Vec<u8>,
    bits: u64,
    /// Fewer than 32.
    filled: u32,
}

impl BitWriter {
    #[inline]
    fn put(&mut self, field: u32, width: u32) {
        self.bits |= u64::from(field) << self.filled;
        self.filled += width;
        if self.filled >= 32 {
            self.out.extend_from_slice(&(self.bits as u32).to_le_bytes());
            self.bits >>= 32;
            self.filled -= 32;
        }
    }

    fn finish(mut self) -> Vec<u8> {
        self.out.extend_from_slice(&self.bits.to_le_bytes()[..self.filled.div_ceil(8) as usize]);
        self.out
    }
}

/// Bits of an index below `size`.
fn width(size: usize) -> u32 {
    usize::BITS - size.saturating_sub(1).leading_zeros()
}

/// Bits of a count with which all of them take the least room.
fn count_bits(entries: &[Entry]) -> u32 {
    let mut of_length = [0usize; 65];
    entries.iter().for_each(|entry| of_length[64 - entry.count.leading_zeros() as usize] += 1);
    let room = |bits: u32| {
        let beyond = of_length.iter().enumerate().skip(bits as usize + 1);
        let beyond: usize = beyond.map(|(bits, some)| some * 8 * length(1 << (bits - 1))).sum();
        bits as usize * entries.len() + beyond
    };
    (0..=MAX_COUNT_BITS).min_by_key(|bits| room(*bits)).unwrap_or(0)
}

/// The values of one dimension.
#[derive(Default)]
struct Values {
    sorted: Vec<u32>,
    /// The index of each value up to the largest; empty where that would be too long.
    indexes: Vec<u32>,
}

/// Of so many tuples the values are found one by one.
const FEW: usize = 128;

impl Values {
    /// Those of each dimension, in their order.
    fn of(entries: &[Entry]) -> [Self; Dimension::COUNT] {
        if entries.len() <= FEW {
            return Dimension::ALL.map(|dimension| Self::few(entries, dimension));
        }
        let mut largest = [0; Dimension::COUNT];
        for entry in entries {
            largest.iter_mut().zip(entry.tuple.0).for_each(|(largest, value)| *largest = value.max(*largest));
        }
        let length = |largest: u32| {
            let length = largest as usize + 1;
            if length <= 4 * entries.len() + 256 { length } else { 0 }
        };
        let mut all =
            largest.map(|largest| Self { sorted: Vec::new(), indexes: vec![u32::MAX; length(largest)] });
        for entry in entries {
            for (values, value) in all.iter_mut().zip(entry.tuple.0) {
                if let Some(met) = values.indexes.get_mut(value as usize) {
                    *met = 0;
                }
            }
        }
        for (values, dimension) in all.iter_mut().zip(Dimension::ALL) {
            values.sort(entries, dimension);
        }
        all
    }

    fn few(entries: &[Entry], dimension: Dimension) -> Self {
        let mut sorted = Vec::new();
        for entry in entries {
            let value = entry.tuple.get(dimension);
            if let Err(place) = sorted.binary_search(&value) {
                sorted.insert(place, value);
            }
        }
        Self { sorted, indexes: Vec::new() }
    }

    /// Numbers the values that were met, in rising order.
    fn sort(&mut self, entries: &[Entry], dimension: Dimension) {
        if self.indexes.is_empty() {
            self.sorted = entries.iter().map(|entry| entry.tuple.get(dimension)).collect();
            self.sorted.sort_unstable();
            self.sorted.dedup();
            return;
        }
        for (value, index) in self.indexes.iter_mut().enumerate().filter(|(_, index)| **index == 0) {
            *index = self.sorted.len() as u32;
            self.sorted.push(value as u32);
        }
    }

    #[inline]
    fn index(&self, value: u32) -> u32 {
        match self.indexes.get(value as usize) {
            Some(index) => *index,
            None => self.sorted.binary_search(&value).unwrap_or(0) as u32,
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        put(out, self.sorted.len() as u64);
        let mut next = 0;
        for value in &self.sorted {
            put(out, u64::from(*value) - next);
            next = u64::from(*value) + 1;
        }
    }
}

/// Such a roll-up as it is read.
pub struct Packed<'a> {
    len: usize,
    /// The values of all dimensions, one behind the other.
    values: Vec<u32>,
    /// Where the values of each dimension end.
    ends: [usize; Dimension::COUNT],
    fields: [Field; Dimension::COUNT],
    count: Field,
    /// Bits of a tuple.
    stride: usize,
    tuples: &'a [u8],
    beyond: Reader<'a>,
}

/// Where in the bits of a tuple something is.
#[derive(Clone, Copy, Default)]
pub struct Field {
    shift: u32,
    mask: u32,
}

impl Field {
    /// How many bits it has.
    pub fn bits(self) -> u32 {
        self.mask.count_ones()
    }

    /// One more than the largest index that it can hold.
    pub fn size(self) -> usize {
        self.mask as usize + 1
    }
}

/// Bits of a tuple in a register: the small one, or one for tuples that are wider.
pub trait Word: Copy {
    /// Those from this bit on. Beyond the end there are zeros.
    fn at(bytes: &[u8], bit: usize) -> Self;
    /// What is in a field.
    fn get(self, field: Field) -> u32;
}

impl Word for u64 {
    #[inline]
    fn at(bytes: &[u8], bit: usize) -> Self {
        Self::from_le_bytes(load(bytes, bit / 8)) >> (bit % 8)
    }
    #[inline]
    fn get(self, field: Field) -> u32 {
        (self >> field.shift) as u32 & field.mask
    }
}

impl Word for u128 {
    #[inline]
    fn at(bytes: &[u8], bit: usize) -> Self {
        Self::from_le_bytes(load(bytes, bit / 8)) >> (bit % 8)
    }
    #[inline]
    fn get(self, field: Field) -> u32 {
        (self >> field.shift) as u32 & field.mask
    }
}

#[inline]
fn load<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    if let Some(whole) = bytes.get(at..at + N) {
        return whole.try_into().unwrap_or([0; N]);
    }
    let rest = bytes.get(at..).unwrap_or_default();
    let mut padded = [0; N];
    padded[..rest.len()].copy_from_slice(rest);
    padded
}

/// So many bits are in a `u64` wherever in a byte they begin.
const SMALL: usize = 57;

impl<'a> Packed<'a> {
    /// Reads what is behind the layout, up to the tuples.
    pub fn new(bytes: &'a [u8]) -> Result<Self, RollupFault> {
        let mut reader = Reader(bytes);
        let len = reader.number().filter(|len| *len <= MAX_TUPLES).ok_or(Malformed("number of tuples"))?;
        let len = len as usize;
        let (mut values, mut ends) = (Vec::new(), [0; Dimension::COUNT]);
        let (mut fields, mut shift) = ([Field::default(); Dimension::COUNT], 0);
        for dimension in Dimension::ALL {
            let before = values.len();
            read_values(&mut reader, &mut values).ok_or(Malformed("values of a dimension"))?;
            ends[dimension as usize] = values.len();
            let width = width(values.len() - before);
            fields[dimension as usize] = Field { shift, mask: ((1u64 << width) - 1) as u32 };
            shift += width;
        }
        let bits =
            reader.byte().filter(|bits| u32::from(*bits) <= MAX_COUNT_BITS).ok_or(Malformed("bits"))?;
        let count = Field { shift, mask: (1 << bits) - 1 };
        let stride = shift as usize + usize::from(bits);
        if stride > 120 || (stride == 0 && len > 1) {
            return Err(Malformed("width of a tuple"));
        }
        let tuples = reader.bytes((len * stride).div_ceil(8)).ok_or(Malformed("end of its tuples"))?;
        Ok(Self { len, values, ends, fields, count, stride, tuples, beyond: reader })
    }

    /// How many tuples there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// The values that tuples have in this dimension. Whether there are such values is not checked: see [`Dimension::has`].
    pub fn values(&self, dimension: Dimension) -> &[u32] {
        let end = self.ends[dimension as usize];
        let start = (dimension as usize).checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.values[start..end]
    }

    /// Where a tuple has the index of its value in this dimension.
    pub fn field(&self, dimension: Dimension) -> Field {
        self.fields[dimension as usize]
    }

    /// Whether tuples are read as `u64`.
    pub fn is_small(&self) -> bool {
        self.stride <= SMALL
    }

    /// Calls for each tuple with its bits and its count. `W` is `u64` if the tuples [are small](Self::is_small), else `u128`.
    #[inline]
    pub fn scan<W: Word>(&self, mut found: impl FnMut(W, u64)) -> Result<(), RollupFault> {
        let mut beyond = self.beyond;
        for tuple in 0..self.len {
            let word = W::at(self.tuples, tuple * self.stride);
            let mut count = u64::from(word.get(self.count)) + 1;
            if count > u64::from(self.count.mask) {
                let more = beyond.number().ok_or(Malformed("a count"))?;
                count = count.checked_add(more).ok_or(Malformed("a count"))?;
            }
            found(word, count);
        }
        if beyond.is_empty() { Ok(()) } else { Err(Malformed("something is behind its end")) }
    }

    /// Calls for each tuple, in rising order.
    pub fn each(&self, found: impl FnMut(Entry)) -> Result<(), RollupFault> {
        if self.is_small() { self.entries::<u64>(found) } else { self.entries::<u128>(found) }
    }

    fn entries<W: Word>(&self, mut found: impl FnMut(Entry)) -> Result<(), RollupFault> {
        let (mut tuple, mut varied) = (Tuple::default(), Vec::new());
        for (place, dimension) in Dimension::ALL.into_iter().enumerate() {
            let values = self.values(dimension);
            if !values.iter().all(|value| dimension.has(*value)) {
                return Err(Malformed("a value"));
            }
            match values {
                [] if self.len == 0 => return self.scan(|_: W, _| ()),
                [] => return Err(Malformed("an index")),
                [value] => tuple.0[place] = *value,
                _ => varied.push((place, values, self.field(dimension))),
            }
        }
        let mut whole = true;
        self.scan(|word: W, count| {
            for (place, values, field) in &varied {
                match values.get(word.get(*field) as usize) {
                    Some(value) => tuple.0[*place] = *value,
                    None => whole = false,
                }
            }
            found(Entry { tuple, count });
        })?;
        if whole { Ok(()) } else { Err(Malformed("an index")) }
    }
}

fn read_values(reader: &mut Reader<'_>, values: &mut Vec<u32>) -> Option<()> {
    let size = reader.number().filter(|size| *size <= MAX_TUPLES)?;
    let mut next = 0u64;
    values.reserve(reader.0.len().min(size as usize)); // each takes a byte at least
    for _ in 0..size {
        let value = next.checked_add(reader.number()?)?;
        next = value + 1;
        values.push(u32::try_from(value).ok()?);
    }
    Some(())
}
