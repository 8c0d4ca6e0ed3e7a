//! A click as a worker notes it at the answer: what of the request is needed to classify it, in 80 bytes.

use link::{DomainId, Seq};

/// What the worker saw. Nothing here is in the clear that names a visitor: see [`Captured::address`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Captured {
    /// When it was answered, in Unix milliseconds by the edge's clock.
    pub at: i64,
    /// The domain of the link.
    pub domain: DomainId,
    /// Which link: the seq that created it.
    pub uid: Seq,
    /// The version of the link that was answered with: the seq of its last change.
    pub version: Seq,
    /// The [number](crate::TextSeed::number) of the agent, whose text stands in a record of its own where it is new; 0: there is
    /// none.
    pub agent: u64,
    /// The same of the referrer's host.
    pub referrer: u64,
    /// The client's address as IPv6 (IPv4 mapped), encrypted under a key that only this process has; see
    /// [`CapturedFlags::ADDRESS`].
    pub address: [u8; 16],
    /// The first bytes of `Accept-Language`, as they are; zeros behind its end.
    pub language: [u8; 8],
    /// What else was seen.
    pub flags: CapturedFlags,
}

/// What a worker saw, as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CapturedFlags(pub u32);

impl CapturedFlags {
    /// The method was HEAD.
    pub const HEAD: Self = Self(1);
    /// A header says that the answer is fetched ahead.
    pub const PREFETCH: Self = Self(1 << 1);
    /// `Sec-GPC: 1` or `DNT: 1`: counted without visitor and country.
    pub const PRIVATE: Self = Self(1 << 2);
    /// There is an address.
    pub const ADDRESS: Self = Self(1 << 3);
    /// It counts for nothing: the kernel did not take its answer.
    pub const VOID: Self = Self(1 << 4);
    /// The address is one that the operator ignores.
    pub const IGNORED: Self = Self(1 << 5);
    /// Lost for want of room in the ring, whether it is void or not: its client did not read, and it could not be moved.
    pub const LOST: Self = Self(1 << 6);

    /// Whether these bits are all set.
    pub fn has(self, bits: Self) -> bool {
        self.0 & bits.0 == bits.0
    }
}

impl std::ops::BitOr for CapturedFlags {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl std::ops::BitOrAssign for CapturedFlags {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl Captured {
    /// Bytes of it in a ring.
    pub const BYTES: usize = 80;

    /// Words of it in a ring.
    pub const WORDS: usize = Self::BYTES / 8;

    /// Its words, in the order of the fields; domain and flags share one, and the last is 0.
    #[inline(always)]
    pub fn to_words(&self) -> [u64; Self::WORDS] {
        let address = u128::from_le_bytes(self.address);
        [
            self.at.cast_unsigned(),
            u64::from(self.domain.0) | u64::from(self.flags.0) << 32,
            self.uid,
            self.version,
            self.agent,
            self.referrer,
            address as u64,
            (address >> 64) as u64,
            u64::from_le_bytes(self.language),
            0,
        ]
    }

    /// The click in these words.
    pub fn from_words(words: &[u64; Self::WORDS]) -> Self {
        let &[at, pair, uid, version, agent, referrer, low, high, language, _] = words;
        Self {
            at: at.cast_signed(),
            domain: DomainId(pair as u32),
            flags: CapturedFlags((pair >> 32) as u32),
            uid,
            version,
            agent,
            referrer,
            address: (u128::from(low) | u128::from(high) << 64).to_le_bytes(),
            language: language.to_le_bytes(),
        }
    }

    /// Its bytes: its words, little-endian.
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        for (place, word) in bytes.chunks_exact_mut(8).zip(self.to_words()) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// The click in these bytes.
    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Self {
        let word = |at: usize| bytes[8 * at..].first_chunk().map_or(0, |word| u64::from_le_bytes(*word));
        Self::from_words(&std::array::from_fn(word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bytes_come_back(bytes: [u8; 32], more: [u8; 32], language: [u8; 8]) {
            let mut all = [0; Captured::BYTES];
            all[..32].copy_from_slice(&bytes);
            all[32..64].copy_from_slice(&more);
            all[64..72].copy_from_slice(&language);
            prop_assert_eq!(Captured::from_bytes(&all).to_bytes(), all);
        }
    }
}
