//! The layout of a roll-up of many tuples: the values of each dimension once, and then each tuple in as many bits as it takes
//! to say which of them it has. All tuples are of one width, so that a question reads only the fields that it asks for.
//!
//! ```text
//! u8       layout 2
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

/// What it begins with.
pub const LAYOUT: u8 = 2;
/// More tuples no roll-up has: what [`MAX_WHOLE`](super::MAX_WHOLE) leaves of any.
const MAX_TUPLES: u64 = 1 << 17;
/// More bits than that are never worth it for a count.
const MAX_COUNT_BITS: u32 = 24;

/// The bytes of these, each tuple once and in rising order.
pub fn encode(entries: &[Entry]) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + 5 * entries.len());
    out.push(LAYOUT);
    put(&mut out, entries.len() as u64);
    let values = Dimension::ALL.map(|dimension| Values::of(entries, dimension));
    values.iter().for_each(|values| values.write(&mut out));
    let count_bits = count_bits(entries);
    out.push(count_bits as u8);
    let widths = values.each_ref().map(|values| width(values.sorted.len()));
    let escape = (1u64 << count_bits) - 1;
    let (mut bits, mut filled, mut beyond) = (0u128, 0, Vec::new());
    for Entry { tuple, count } in entries {
        for ((value, values), width) in tuple.0.iter().zip(&values).zip(widths) {
            bits |= u128::from(values.index(*value)) << filled;
            filled += width;
        }
        let field = (count - 1).min(escape);
        if field == escape {
            put(&mut beyond, count - 1 - escape);
        }
        bits |= u128::from(field) << filled;
        filled += count_bits;
        let whole = (filled / 8) as usize;
        out.extend_from_slice(&bits.to_le_bytes()[..whole]);
        bits = if whole == 16 { 0 } else { bits >> (8 * whole) };
        filled %= 8;
    }
    if filled > 0 {
        out.push(bits as u8);
    }
    out.extend_from_slice(&beyond);
    out
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
struct Values {
    sorted: Vec<u32>,
    /// The index of each value up to the largest; empty where that would be too long.
    indexes: Vec<u32>,
}

/// Of so many tuples the values are found one by one.
const FEW: usize = 128;

impl Values {
    fn of(entries: &[Entry], dimension: Dimension) -> Self {
        let all = entries.iter().map(|entry| entry.tuple.get(dimension));
        if entries.len() <= FEW {
            let mut sorted = Vec::new();
            for value in all {
                if let Err(place) = sorted.binary_search(&value) {
                    sorted.insert(place, value);
                }
            }
            return Self { sorted, indexes: Vec::new() };
        }
        let largest = all.clone().max().unwrap_or(0) as usize;
        if largest > 4 * entries.len() + 256 {
            let mut sorted: Vec<u32> = all.collect();
            sorted.sort_unstable();
            sorted.dedup();
            return Self { sorted, indexes: Vec::new() };
        }
        let mut indexes = vec![u32::MAX; largest + 1];
        all.for_each(|value| indexes[value as usize] = 0);
        let mut sorted = Vec::new();
        for (value, index) in indexes.iter_mut().enumerate().filter(|(_, index)| **index == 0) {
            *index = sorted.len() as u32;
            sorted.push(value as u32);
        }
        Self { sorted, indexes }
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
    let rest = bytes.get(at..).unwrap_or_default();
    if let Some(whole) = rest.first_chunk() {
        return *whole;
    }
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
            read_values(&mut reader, dimension, &mut values).ok_or(Malformed("values of a dimension"))?;
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

    /// The values that tuples have in this dimension.
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

    /// Calls for each tuple.
    pub fn each(&self, found: impl FnMut(Entry)) -> Result<(), RollupFault> {
        if self.is_small() { self.entries::<u64>(found) } else { self.entries::<u128>(found) }
    }

    fn entries<W: Word>(&self, mut found: impl FnMut(Entry)) -> Result<(), RollupFault> {
        let values = Dimension::ALL.map(|dimension| self.values(dimension));
        let mut whole = true;
        self.scan(|word: W, count| {
            let mut tuple = Tuple::default();
            for ((value, values), field) in tuple.0.iter_mut().zip(values).zip(self.fields) {
                match values.get(word.get(field) as usize) {
                    Some(found) => *value = *found,
                    None => whole = false,
                }
            }
            found(Entry { tuple, count });
        })?;
        if whole { Ok(()) } else { Err(Malformed("an index")) }
    }
}

fn read_values(reader: &mut Reader<'_>, dimension: Dimension, values: &mut Vec<u32>) -> Option<()> {
    let size = reader.number()?;
    let mut next = 0u64;
    for _ in 0..size {
        let value = next.checked_add(reader.number()?)?;
        next = value + 1;
        values.push(u32::try_from(value).ok().filter(|value| dimension.has(*value))?);
    }
    (size <= MAX_TUPLES).then_some(())
}
