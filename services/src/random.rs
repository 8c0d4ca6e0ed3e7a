//! Numbers that a seed decides. A seed means the same for ever: a run of the simulation or a trial can be made again.

/// SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, OOPSLA 2014): one addition and a mix for
/// each number. For tests and load, not for secrets.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The sequence of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut random = Self(seed);
        random.next();
        random
    }

    /// A sequence of its own for each seed and purpose.
    #[must_use]
    pub fn of(seed: u64, purpose: u64) -> Self {
        Self::new(seed ^ purpose.wrapping_mul(0xd134_2543_de82_ef95))
    }

    /// 64 bits.
    #[allow(clippy::should_implement_trait)] // it never ends, and nobody iterates
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// One of `0..most`; 0 when there is none.
    pub fn below<N: WholeNumber>(&mut self, most: N) -> N {
        most.scaled(self.next())
    }

    /// From `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// True in `per_mille` of a thousand cases.
    pub fn chance(&mut self, per_mille: u32) -> bool {
        self.below(1000u32) < per_mille
    }

    /// True in `in_100` of a hundred cases.
    pub fn percent(&mut self, in_100: usize) -> bool {
        self.below(100usize) < in_100
    }

    /// From 0 to 1, without 1.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// A whole number that can be drawn.
pub trait WholeNumber: Copy {
    /// `self` × `random` ÷ 2⁶⁴.
    #[must_use]
    fn scaled(self, random: u64) -> Self;
}

macro_rules! whole {
    ($($number:ty)*) => {$(
        impl WholeNumber for $number {
            fn scaled(self, random: u64) -> Self {
                ((u128::from(random) * self as u128) >> 64) as Self
            }
        }
    )*};
}

whole!(i32 u32 u64 usize);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_means_the_same_for_ever() {
        let numbers = |seed| {
            let mut random = Random::new(seed);
            [random.next(), random.next(), random.below(1000)]
        };
        assert_eq!(numbers(1), [0xbeeb_8da1_658e_ec67, 0xf893_a2ee_fb32_555e, 444]);
        assert_ne!(numbers(1), numbers(2));
        let mut random = Random::of(1, 2);
        assert!((0..1000).all(|_| (5..=9).contains(&random.between(5, 9)) && random.below(3u32) < 3));
        assert!((0..1000).all(|_| (0.0..1.0).contains(&random.unit())));
        assert_eq!((random.below(0u32), random.chance(0), random.percent(100)), (0, false, true));
    }
}
