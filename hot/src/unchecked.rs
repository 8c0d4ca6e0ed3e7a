//! What the compiler cannot check: vector instructions, bytes behind a thin pointer, and the entries of one shard. The
//! only `unsafe` of this crate.
#![allow(unsafe_code)]

use crate::scan::RUN;
#[cfg(target_arch = "x86_64")]
use crate::scan::{BLOCK, PaddedName, Scan, is_simple};
use dashmap::DashMap;
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{
    _MM_HINT_T0, _mm_loadu_si128, _mm_prefetch, _mm256_add_epi8, _mm256_and_si256, _mm256_andnot_si256,
    _mm256_broadcastsi128_si256, _mm256_cmpeq_epi8, _mm256_loadu_si256, _mm256_movemask_epi8,
    _mm256_or_si256, _mm256_set1_epi8, _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_srli_epi16,
    _mm256_subs_epi8, _mm256_testz_si256, _mm256_xor_si256,
};
use std::hash::{BuildHasher, Hash};
use std::ptr::NonNull;
#[cfg(target_arch = "x86_64")]
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, Ordering};

/// The vector unit of an x86-64 machine that has AVX2 and BMI1: whoever holds a value has asked the machine.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub struct Vectors(());

#[cfg(target_arch = "x86_64")]
impl Vectors {
    /// `None`: this machine has none.
    #[inline]
    pub fn of_this_machine() -> Option<Self> {
        static THERE: LazyLock<bool> =
            LazyLock::new(|| is_x86_feature_detected!("avx2") && is_x86_feature_detected!("bmi1"));
        THERE.then_some(Self(()))
    }

    /// Runs a function that was inlined into one compiled for this unit. That one stands apart, so that its caller keeps few
    /// things in mind, and what the work needs is handed over in registers where it fits.
    #[inline(always)]
    pub fn run<A, B, R>(self, a: A, b: B, work: impl FnOnce(Self, A, B) -> R) -> R {
        #[target_feature(enable = "avx2,bmi1")]
        #[inline(never)]
        fn compiled<A, B, R>(a: A, b: B, vectors: Vectors, work: impl FnOnce(Vectors, A, B) -> R) -> R {
            work(vectors, a, b)
        }
        // SAFETY: the machine has what the function is compiled for; `self` says so. Tested in `head` against the plain
        // way.
        unsafe { compiled(a, b, self, work) }
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
            // One more, and the controls are the least of all: of ASCII they alone, DEL among them, are below 0 then. It is a
            // difference and no comparison, of which compilers make two.
            let next = _mm256_add_epi8(bytes, _mm256_set1_epi8(1));
            let low = _mm256_subs_epi8(next, _mm256_set1_epi8(0x21));
            _mm256_movemask_epi8(_mm256_andnot_si256(bytes, low)).cast_unsigned() // bytes beyond ASCII go by their sign
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

    #[inline(always)]
    fn dots(self, run: &[u8; RUN]) -> u32 {
        #[target_feature(enable = "avx2")]
        #[inline]
        fn dots(run: &[u8; RUN]) -> u32 {
            // SAFETY: it is thirty-two bytes, and the load asks for no alignment.
            let bytes = unsafe { _mm256_loadu_si256(run.as_ptr().cast()) };
            _mm256_movemask_epi8(_mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(b'.'.cast_signed())))
                .cast_unsigned()
        }
        // SAFETY: as above.
        unsafe { dots(run) }
    }

    #[inline(always)]
    fn is_name(self, run: &[u8; RUN], name: &PaddedName) -> bool {
        #[target_feature(enable = "avx2")]
        #[inline]
        fn is_name(run: &[u8; RUN], name: &PaddedName) -> bool {
            let load = |bytes: &[u8; RUN]| {
                // SAFETY: it is thirty-two bytes, and the load asks for no alignment.
                unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
            };
            let lower = _mm256_or_si256(load(run), _mm256_set1_epi8(0x20));
            _mm256_testz_si256(_mm256_xor_si256(lower, load(&name.bytes)), load(&name.mask)) == 1
        }
        // SAFETY: as above.
        unsafe { is_name(run, name) }
    }
}

/// A head of fixed size and more bytes behind it, in one allocation of exactly their length: one word where a boxed slice
/// is two. Beside them it keeps a number of two bits, which whoever sees it may set.
#[derive(Debug)]
pub struct ThinBox<const HEAD: usize>(NonNull<u8>);

/// A word in front of the head: the length in its lowest fourteen bits, the number in the others.
const LENGTH: usize = size_of::<u16>();
const NUMBER: u32 = 14;
const ONE: u16 = 1 << NUMBER;

impl<const HEAD: usize> ThinBox<HEAD> {
    /// Bytes behind the head, at most.
    pub const MAX: usize = ONE as usize - 1;

    /// With these behind the head, one after the other, and the number 0.
    ///
    /// # Panics
    /// When they are longer than [`ThinBox::MAX`].
    pub fn new(head: &[u8; HEAD], rest: &[&[u8]]) -> Self {
        let length: usize = rest.iter().map(|part| part.len()).sum();
        assert!(length <= Self::MAX, "{length} bytes");
        let layout = Self::layout(length);
        // SAFETY: the layout is not of size 0.
        let Some(start) = NonNull::new(unsafe { alloc(layout) }) else { handle_alloc_error(layout) };
        let mut at = start;
        for part in [&(length as u16).to_ne_bytes()[..], head].into_iter().chain(rest.iter().copied()) {
            // SAFETY: all parts together are as long as the allocation, which is new, so none of them is in it.
            unsafe {
                at.copy_from_nonoverlapping(NonNull::from(part).cast(), part.len());
                at = at.add(part.len());
            }
        }
        Self(start)
    }

    /// The head.
    #[inline]
    pub fn head(&self) -> &[u8; HEAD] {
        // SAFETY: so many bytes were written there by `new`, and nobody writes to them as long as `self` lives.
        unsafe { self.0.add(LENGTH).cast().as_ref() }
    }

    /// What is behind it.
    #[inline]
    pub fn rest(&self) -> &[u8] {
        // SAFETY: as in `head`; the length is that which `new` wrote.
        unsafe { std::slice::from_raw_parts(self.0.add(LENGTH + HEAD).as_ptr(), self.length()) }
    }

    /// Bytes of the allocation.
    pub fn bytes(&self) -> usize {
        LENGTH + HEAD + self.length()
    }

    /// The number.
    #[inline]
    pub fn number(&self) -> u8 {
        (self.word().load(Ordering::Relaxed) >> NUMBER) as u8
    }

    /// Sets it, at most 3. Of two who do this at once one is lost.
    #[inline]
    pub fn set_number(&self, number: u8) {
        let length = self.word().load(Ordering::Relaxed) % ONE;
        self.word().store(length | u16::from(number) << NUMBER, Ordering::Relaxed);
    }

    /// Has the processor fetch what most of them have, up to two lines of its cache, while the caller goes on.
    pub fn fetch(&self) {
        #[cfg(target_arch = "x86_64")]
        for line in [0, 64] {
            // SAFETY: nothing is read: the processor passes over an address that is none. Tested in `set`, by what a dump hands over.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(self.0.as_ptr().wrapping_add(line).cast()) };
        }
    }

    /// Counts it up, unless it is 3.
    #[inline]
    pub fn raise_number(&self) {
        let word = self.word().load(Ordering::Relaxed);
        if word < 3 << NUMBER {
            self.word().store(word + ONE, Ordering::Relaxed);
        }
    }

    #[inline]
    fn length(&self) -> usize {
        usize::from(self.word().load(Ordering::Relaxed) % ONE)
    }

    #[inline]
    fn word(&self) -> &AtomicU16 {
        // SAFETY: written by `new` at the start of the allocation, which is aligned for it; it lives as long as `self`
        // and is touched in no other way than this.
        unsafe { AtomicU16::from_ptr(self.0.as_ptr().cast()) }
    }

    const fn layout(length: usize) -> Layout {
        match Layout::from_size_align(LENGTH + HEAD + length, align_of::<u16>()) {
            Ok(layout) => layout,
            Err(_) => panic!("16 KiB at most"),
        }
    }
}

impl<const HEAD: usize> Drop for ThinBox<HEAD> {
    fn drop(&mut self) {
        // SAFETY: allocated by `new` with the same layout; whoever drops it has it alone.
        unsafe { dealloc(self.0.as_ptr(), Self::layout(self.length())) }
    }
}

// SAFETY: it owns its bytes as a box would, and all that changes in them is atomic.
unsafe impl<const HEAD: usize> Send for ThinBox<HEAD> {}
// SAFETY: as above.
unsafe impl<const HEAD: usize> Sync for ThinBox<HEAD> {}

/// The bytes that begin there; `None` so near the end that there are less.
#[inline(always)]
pub fn chunk_at<const N: usize>(text: &[u8], at: usize) -> Option<&[u8; N]> {
    let last = text.len().checked_sub(N)?;
    // SAFETY: from the last such place, and so from any before it, there are as many bytes to the end.
    (at <= last).then(|| unsafe { &*text.as_ptr().add(at).cast() })
}

/// Appends `first`, `middle`, and so many bytes of `last`, with one look at how much room there is. What is of a length
/// that the compiler knows takes a few moves: `last` is copied whole.
///
/// # Panics
/// When `last` has less.
#[inline(always)]
pub fn append<const N: usize, const M: usize>(
    out: &mut Vec<u8>,
    first: &[u8; N],
    middle: &[u8],
    (last, length): (&[u8; M], usize),
) {
    assert!(length <= M);
    out.reserve(middle.len().saturating_add(N + M));
    // SAFETY: there is room for all, none of it is in `out`, which nobody else sees, and what the length takes in was
    // written to.
    unsafe {
        let at = out.as_mut_ptr().add(out.len());
        at.copy_from_nonoverlapping(first.as_ptr(), N);
        at.add(N).copy_from_nonoverlapping(middle.as_ptr(), middle.len());
        at.add(N + middle.len()).copy_from_nonoverlapping(last.as_ptr(), M);
        out.set_len(out.len() + N + middle.len() + length);
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
    fn what_is_thin_is_read_back_at_every_length() {
        let (text, last) = (vec![7; ThinBox::<3>::MAX], ThinBox::<3>::MAX);
        for length in (0..700).chain([last - 1, last]) {
            for number in 0..4 {
                let cut = length / 3;
                let thin = ThinBox::new(b"abc", &[&text[..cut], &[], &text[cut..length]]);
                thin.set_number(number);
                assert_eq!((thin.head(), thin.rest(), thin.number()), (b"abc", &text[..length], number));
                thin.raise_number();
                assert_eq!((thin.rest(), thin.number()), (&text[..length], 3.min(number + 1)));
                thin.set_number(0);
                assert_eq!((thin.bytes(), thin.number()), (length + 5, 0));
            }
        }
        assert!(std::panic::catch_unwind(|| ThinBox::new(b"abc", &[&[0; 16_384], &[], &[]])).is_err());
        assert_eq!(size_of::<Option<ThinBox<3>>>(), 8);
    }

    #[test]
    fn the_number_may_be_set_by_all_who_read() {
        let thin = ThinBox::new(b"abc", &[b"de", b"", b"f"]);
        std::thread::scope(|scope| {
            for number in 1..4 {
                let thin = &thin;
                scope.spawn(move || {
                    for _ in 0..10_000 {
                        thin.set_number(number);
                        assert_eq!((thin.head(), thin.rest()), (b"abc", &b"def"[..]));
                    }
                });
            }
        });
        assert!(thin.number() > 0);
    }

    #[test]
    fn a_chunk_is_there_as_far_as_its_bytes_are() {
        let text: [u8; 100] = std::array::from_fn(|at| at as u8);
        for (length, at) in (0..=100).flat_map(|length| (0..=101).map(move |at| (length, at))) {
            let text = &text[..length];
            assert_eq!(
                chunk_at::<32>(text, at),
                text.get(at..).and_then(<[u8]>::first_chunk),
                "{at} of {length}"
            );
            assert_eq!(
                chunk_at::<2>(text, at),
                text.get(at..).and_then(<[u8]>::first_chunk),
                "{at} of {length}"
            );
        }
        assert_eq!(chunk_at::<1>(&text, usize::MAX), None);
    }

    #[test]
    fn what_is_appended_is_there_with_room_and_without() {
        let text: Vec<u8> = (0..=255).cycle().take(600).collect();
        let (first, last) = (text.first_chunk::<30>().unwrap(), text.last_chunk::<128>().unwrap());
        for length in 0..200 {
            for room in [0, length, 1000] {
                let mut out = Vec::with_capacity(room);
                out.extend_from_slice(b"before");
                append(&mut out, first, &text[..length], (last, length.min(128)));
                assert_eq!(out, [b"before", &first[..], &text[..length], &last[..length.min(128)]].concat());
            }
        }
        let too_long = || append(&mut Vec::new(), first, b"", (last, 129));
        assert!(std::panic::catch_unwind(too_long).is_err());
    }

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
