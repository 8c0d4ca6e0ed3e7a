//! Token buckets: how much a key may ask for, and how often an address may be refused. Their memory has a bound.

use super::places::Places;
use crate::Fault;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota};
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

/// Weight that a key may ask for in a second, and at once after a pause.
const KEY: (u32, u32) = (2_000, 10_000);
/// Refusals of one address that are answered in a second with why, and at once after a pause.
const REFUSALS: (u32, u32) = (10, 100);
/// Buckets for addresses. Two that share one are rare, and all they share is how often they are told why.
const ADDRESSES: u64 = 16_384;
/// Rows of a batch or an import that weigh as much as one call.
const ROWS: usize = 50;
/// The longest that rows wait for their turn.
const PATIENCE: Duration = Duration::from_secs(20);

/// The buckets of one control.
#[derive(Debug)]
pub struct Limits {
    /// Places for calls that last.
    pub(super) places: Arc<Places>,
    keys: DefaultKeyedRateLimiter<u64>,
    addresses: DefaultKeyedRateLimiter<u64>,
    hasher: RandomState,
    clock: DefaultClock,
}

impl Default for Limits {
    fn default() -> Self {
        let some = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        let of = |(rate, burst)| Quota::per_second(some(rate)).allow_burst(some(burst));
        Self {
            places: Arc::default(),
            keys: DefaultKeyedRateLimiter::keyed(of(KEY)),
            addresses: DefaultKeyedRateLimiter::keyed(of(REFUSALS)),
            hasher: RandomState::new(),
            clock: DefaultClock::default(),
        }
    }
}

impl Limits {
    /// Takes `weight` from the bucket of a key.
    ///
    /// # Errors
    /// [`Fault::RateLimited`] with how long it takes until there is as much.
    pub fn take(&self, key: u64, weight: u32) -> Result<(), Fault> {
        let Some(weight) = NonZeroU32::new(weight.min(KEY.1)) else { return Ok(()) };
        match self.keys.check_key_n(&key, weight) {
            Ok(Err(not)) => Err(Fault::RateLimited(not.wait_time_from(self.clock.now()))),
            Ok(Ok(())) | Err(_) => Ok(()), // no weight is above the burst
        }
    }

    /// Notes that this address was refused. A right key is let in from anywhere, whatever others there have tried: what is
    /// kept small is the work for wrong ones.
    ///
    /// # Errors
    /// [`Fault::RateLimited`] when it is too often to say why.
    pub fn refused(&self, address: IpAddr) -> Result<(), Fault> {
        let slot = self.hasher.hash_one(network(address)) % ADDRESSES;
        let checked = self.addresses.check_key(&slot);
        checked.map_err(|not| Fault::RateLimited(not.wait_time_from(self.clock.now())))
    }

    /// Forgets keys whose bucket is full again.
    pub fn tidy(&self) {
        self.keys.retain_recent();
    }
}

/// Whoever has an IPv6 address has all of its network.
pub(super) fn network(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(address) => u64::from(address.to_bits()),
        IpAddr::V6(address) => (address.to_bits() >> 64) as u64,
    }
}

/// The bucket of one caller.
#[derive(Clone, Debug)]
pub struct Pace {
    pub(super) limits: Arc<Limits>,
    pub(super) key: u64,
}

impl Pace {
    /// See [`crate::Caller::rows`].
    pub(crate) async fn rows(&self, count: usize) -> Result<(), Fault> {
        let weight = u32::try_from(count.div_ceil(ROWS)).unwrap_or(u32::MAX);
        let end = tokio::time::Instant::now() + PATIENCE;
        loop {
            match self.limits.take(self.key, weight) {
                Err(Fault::RateLimited(wait)) if tokio::time::Instant::now() + wait <= end => {
                    tokio::time::sleep(wait.max(Duration::from_millis(1))).await;
                }
                taken => return taken,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_thousand_callers_take_bounded_memory() {
        let limits = Limits::default();
        for n in 0..100_000u32 {
            let _ = limits.refused(IpAddr::V4(n.into()));
            let _ = limits.refused(IpAddr::V6((u128::from(n) << 64).into()));
        }
        let (len, most) = (limits.addresses.len(), usize::try_from(ADDRESSES).unwrap());
        assert!(len <= most && len > most / 2, "{len}");
        for key in 0..100_000 {
            limits.take(key, 1).unwrap();
        }
        std::thread::sleep(Duration::from_millis(2)); // a weight of 1 is back after half a millisecond
        limits.tidy();
        assert!(limits.keys.len() < 100, "{}", limits.keys.len());
    }

    #[test]
    fn a_bucket_empties_and_says_when_it_is_worth_another_try() {
        let limits = Limits::default();
        let taken = (0..).take_while(|_| limits.take(1, 1_000).is_ok()).take(100).count();
        assert!((10..20).contains(&taken), "{taken}");
        let Err(Fault::RateLimited(wait)) = limits.take(1, 10_000) else { panic!("it is empty") };
        assert!(wait > Duration::from_secs(2) && wait <= Duration::from_secs(5), "{wait:?}");
        limits.take(2, 10_000).unwrap();
        let one = IpAddr::from([10, 0, 0, 1]);
        assert!((0..200).any(|_| limits.refused(one).is_err()));
        limits.refused(IpAddr::from([10, 0, 0, 2])).unwrap();
    }

    #[tokio::test]
    async fn rows_wait_for_their_turn() {
        let pace = Pace { limits: Arc::default(), key: 1 };
        pace.rows(500_000).await.unwrap(); // the whole burst
        let began = std::time::Instant::now();
        pace.rows(5_000).await.unwrap(); // 100 of 2,000 a second
        assert!(began.elapsed() >= Duration::from_millis(30), "{:?}", began.elapsed());
    }
}
