//! Medians and their intervals: what may be said of noisy numbers.

/// A median and the interval that holds the true one in 95 of 100 cases.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Interval {
    /// The median.
    pub median: f64,
    /// The interval's lower end.
    pub low: f64,
    /// The interval's upper end.
    pub high: f64,
}

/// The median of some numbers; NaN of none.
pub fn median(numbers: &[f64]) -> f64 {
    let sorted = sorted(numbers);
    match sorted.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => sorted[odd / 2],
        even => f64::midpoint(sorted[even / 2 - 1], sorted[even / 2]),
    }
}

/// The median and its 95 % interval by order statistics: no assumption about how the noise is distributed. The interval
/// runs from the k-th smallest to the k-th largest number, k being the largest for which Binomial(n, ½) leaves at most
/// 2.5 % on each side; with fewer than six numbers it is all of them.
pub fn interval(numbers: &[f64]) -> Interval {
    let sorted = sorted(numbers);
    if sorted.is_empty() {
        return Interval { median: f64::NAN, low: f64::NAN, high: f64::NAN };
    }
    let n = sorted.len();
    let (mut term, mut tail, mut k) = (0.5f64.powi(n as i32), 0.0, 0);
    while k < n / 2 && tail + term <= 0.025 {
        tail += term;
        k += 1;
        term *= (n - k + 1) as f64 / k as f64;
    }
    let k = k.saturating_sub(1);
    Interval { median: median(numbers), low: sorted[k], high: sorted[n - 1 - k] }
}

fn sorted(numbers: &[f64]) -> Vec<f64> {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn intervals_are_those_of_the_sign_test() {
        let numbers = |n: usize| (1..=n).map(|n| n as f64).collect::<Vec<_>>();
        for (n, low) in [(5, 1.0), (6, 1.0), (9, 2.0), (15, 4.0), (20, 6.0)] {
            let interval = interval(&numbers(n));
            assert_eq!((interval.low, interval.high), (low, n as f64 + 1.0 - low), "{n}");
        }
    }

    #[test]
    fn an_interval_holds_the_true_median_as_often_as_it_says() {
        let mut dice = crate::Random::new(9);
        let held = (0..2000)
            .filter(|_| {
                let numbers: Vec<f64> = (0..15).map(|_| dice.unit()).collect();
                let interval = interval(&numbers);
                interval.low <= 0.5 && 0.5 <= interval.high
            })
            .count();
        assert!(held >= 1880, "{held} of 2000");
    }
}
