//! Which of many is asked for: the first most often, the others less and less.

use crate::Random;

/// Numbers from 0 on, the lower the more often.
#[derive(Clone, Debug)]
pub struct Zipf(Vec<f64>);

impl Zipf {
    /// Of `count` numbers the one at `rank` (from 1 on) comes as often as `rank` to the power of minus `exponent` says.
    #[must_use]
    pub fn new(count: usize, exponent: f64) -> Self {
        let mut sum = 0.0;
        let cumulated = (1..=count).map(|rank| {
            sum += (rank as f64).powf(-exponent);
            sum
        });
        Self(cumulated.collect())
    }

    /// The next one; 0 where there is none.
    pub fn draw(&self, random: &mut Random) -> usize {
        let point = random.unit() * self.0.last().copied().unwrap_or(0.0);
        self.0.partition_point(|&sum| sum < point).min(self.0.len().saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_comes_as_often_as_it_should() {
        let (zipf, mut random) = (Zipf::new(3, 1.0), Random::new(1));
        let mut counts = [0; 3];
        (0..11_000).for_each(|_| counts[zipf.draw(&mut random)] += 1);
        // 6, 3 and 2 elevenths.
        assert!((5_800..6_200).contains(&counts[0]) && (2_800..3_200).contains(&counts[1]), "{counts:?}");
        assert_eq!(Zipf::new(0, 1.0).draw(&mut random), 0);
    }
}
