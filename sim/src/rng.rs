//! The one source of chance in a run: SplitMix64, our own, so that a seed means the same for ever.

/// A stream of numbers that its seed decides.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// The stream of this seed. Neighbouring seeds have nothing in common.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut rng = Self(seed ^ 0x6c69_6e6b_7200_0000);
        rng.next();
        rng
    }

    /// 64 bits.
    pub fn next(&mut self) -> u64 {
        // Steele, Lea, Flood: Fast splittable pseudorandom number generators (OOPSLA 2014).
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `bound`, which is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }

    /// True `in_100` times out of 100.
    pub fn percent(&mut self, in_100: usize) -> bool {
        self.below(100) < in_100
    }

    /// From `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below((high - low + 1) as usize) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_means_the_same_for_ever() {
        let mut rng = Rng::new(1);
        let numbers: Vec<_> = (0..3).map(|_| rng.below(1000)).collect();
        let again: Vec<_> = {
            let mut rng = Rng::new(1);
            (0..3).map(|_| rng.below(1000)).collect()
        };
        assert_eq!(numbers, again);
        assert!((0..1000).all(|_| (5..=9).contains(&rng.between(5, 9))));
        assert_ne!(Rng::new(1).next(), Rng::new(2).next());
    }
}
