//! Token buckets: how much a key and all keys of a domain may ask for, and how often an address may be refused. Their memory has a bound.

mod bodies;
mod shares;

pub use bodies::{Bodies, FEW};
pub use shares::{CallPlace, Holder};

use crate::Fault;
use crate::bound::Bound;
use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use shares::CallPlaces;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

/// Weight that a key may ask for in a second, and at once after a pause.
pub const KEY: (u32, u32) = (2_000, 10_000);
/// The same of all keys that are counted as one: what two have.
const DOMAIN: (u32, u32) = (2 * KEY.0, 2 * KEY.1);
/// Refusals of one address that are answered in a second with why, and at once after a pause.
const REFUSALS: (u32, u32) = (10, 100);
/// Streams of one address that ask what services there are, in a second and at once after a pause: a tool begins one or two.
const STRANGERS: (u32, u32) = (5, 100);
/// Buckets for addresses. Two that share one are rare, and all they share is how often they are told why.
const ADDRESSES: u64 = 16_384;
/// Rows of a batch or an import that weigh as much as one call.
const ROWS: usize = 50;
/// The longest that rows wait for their turn.
const PATIENCE: Duration = Duration::from_secs(20);

/// They say what is left in them.
type Buckets = RateLimiter<u64, DefaultKeyedStateStore<u64>, DefaultClock, StateInformationMiddleware>;

/// The buckets of one control.
#[derive(Debug)]
pub struct Limits {
    /// Places for calls that last.
    pub places: Arc<CallPlaces>,
    /// Bodies that have not ended.
    pub bodies: Arc<Bodies>,
    keys: Buckets,
    domains: Buckets,
    addresses: Buckets,
    strangers: Buckets,
    hasher: RandomState,
    clock: DefaultClock,
}

impl Default for Limits {
    fn default() -> Self {
        let some = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        let of = |(rate, burst)| {
            let quota = Quota::per_second(some(rate)).allow_burst(some(burst));
            DefaultKeyedRateLimiter::keyed(quota).with_middleware::<StateInformationMiddleware>()
        };
        Self {
            places: Arc::default(),
            bodies: Arc::default(),
            keys: of(KEY),
            domains: of(DOMAIN),
            addresses: of(REFUSALS),
            strangers: of(STRANGERS),
            hasher: RandomState::new(),
            clock: DefaultClock::default(),
        }
    }
}

impl Limits {
    /// What is left behind it.
    fn take(&self, buckets: &Buckets, of: u64, weight: NonZeroU32) -> Result<u32, Fault> {
        match buckets.check_key_n(&of, weight) {
            Ok(Ok(state)) => Ok(state.remaining_burst_capacity()),
            Ok(Err(not)) => Err(Fault::RateLimited(not.wait_time_from(self.clock.now()))),
            Err(_) => Ok(0), // no weight is above the burst
        }
    }

    /// Notes that this address was refused. A right key is let in from anywhere, whatever others there have tried: what is
    /// kept small is the work for wrong ones.
    ///
    /// # Errors
    /// [`Fault::RateLimited`] when it is too often to say why.
    pub fn refused(&self, address: IpAddr) -> Result<(), Fault> {
        self.take(&self.addresses, self.slot(address), NonZeroU32::MIN).map(drop)
    }

    /// Counts a call that nobody needs a key for, and that costs something.
    ///
    /// # Errors
    /// [`Fault::RateLimited`] when its address makes too many.
    pub fn stranger(&self, address: IpAddr) -> Result<(), Fault> {
        self.take(&self.strangers, self.slot(address), NonZeroU32::MIN).map(drop)
    }

    fn slot(&self, address: IpAddr) -> u64 {
        self.hasher.hash_one(network(address)) % ADDRESSES
    }

    /// Forgets whose bucket is full again.
    pub fn tidy(&self) {
        self.keys.retain_recent();
        self.domains.retain_recent();
    }
}

/// Whoever has an IPv6 address has all of its network.
pub fn network(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(address) => u64::from(address.to_bits()),
        IpAddr::V6(address) => (address.to_bits() >> 64) as u64,
    }
}

/// The buckets of one caller.
#[derive(Clone, Debug)]
pub struct CallerBuckets {
    limits: Arc<Limits>,
    key: u64,
    domain: Option<u64>,
}

impl CallerBuckets {
    /// Those of a key: its own, and one that it shares if it is for some domains.
    pub(crate) fn of(limits: &Arc<Limits>, principal: &str, bound: &Bound) -> Self {
        let number = |name: &str| limits.hasher.hash_one(name);
        let (key, domain) = (number(principal), bound.counted_as().map(|name| number(name)));
        Self { limits: limits.clone(), key, domain }
    }

    /// Takes `weight` from them, and says what is left, if it takes any. What the shared one has not costs the key, and not
    /// the others.
    ///
    /// # Errors
    /// [`Fault::RateLimited`] with how long it takes until there is as much.
    pub(crate) fn take(&self, weight: u32) -> Result<Option<u32>, Fault> {
        let Some(weight) = NonZeroU32::new(weight.min(KEY.1)) else { return Ok(None) };
        let own = self.limits.take(&self.limits.keys, self.key, weight)?;
        let Some(domain) = self.domain else { return Ok(Some(own)) };
        Ok(Some(own.min(self.limits.take(&self.limits.domains, domain, weight)?)))
    }

    /// See [`crate::Caller::rows`].
    pub(crate) async fn rows(&self, count: usize) -> Result<(), Fault> {
        let weight = u32::try_from(count.div_ceil(ROWS)).unwrap_or(u32::MAX);
        let end = tokio::time::Instant::now() + PATIENCE;
        loop {
            match self.take(weight) {
                Err(Fault::RateLimited(wait)) if tokio::time::Instant::now() + wait <= end => {
                    tokio::time::sleep(wait.max(Duration::from_millis(1))).await;
                }
                taken => return taken.map(drop),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::model::Scopes;

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
            limits.take(&limits.keys, key, NonZeroU32::MIN).unwrap();
        }
        std::thread::sleep(Duration::from_millis(2)); // a weight of 1 is back after half a millisecond
        limits.tidy();
        assert!(limits.keys.len() < 100, "{}", limits.keys.len());
    }

    #[test]
    fn a_bucket_empties_and_says_when_it_is_worth_another_try() {
        let limits = Arc::<Limits>::default();
        let of = |key: &str| CallerBuckets::of(&limits, key, &Bound::default());
        let taken = (0..).take_while(|_| of("1").take(1_000).is_ok()).take(100).count();
        assert!((10..20).contains(&taken), "{taken}");
        let Err(Fault::RateLimited(wait)) = of("1").take(10_000) else { panic!("it is empty") };
        assert!(wait > Duration::from_secs(2) && wait <= Duration::from_secs(5), "{wait:?}");
        of("2").take(10_000).unwrap();
        let one = IpAddr::from([10, 0, 0, 1]);
        assert!((0..200).any(|_| limits.refused(one).is_err()));
        limits.refused(IpAddr::from([10, 0, 0, 2])).unwrap();
    }

    /// Found by attack: whoever had keys:admin for one domain made a thousand keys, each with an allowance.
    #[test]
    fn many_keys_for_one_domain_ask_for_no_more_than_two() {
        let limits = Arc::<Limits>::default();
        let of = |key: usize, domains: &[&str]| {
            let domains: Vec<_> = domains.iter().map(|&domain| domain.to_owned()).collect();
            CallerBuckets::of(&limits, &key.to_string(), &Bound::new(&domains, Scopes::admin(), None))
        };
        let mine = |key| of(key, if key % 2 == 0 { &["a"] } else { &["a", "b"] });
        let taken = (0..100).filter(|&key| mine(key).take(10_000).is_ok()).count();
        assert_eq!(taken, 2);
        of(1_000, &["b"]).take(10_000).unwrap();
        of(1_001, &[]).take(10_000).unwrap();
        of(1_002, &[]).take(10_000).unwrap();
    }

    #[tokio::test]
    async fn rows_wait_for_their_turn() {
        let pace = CallerBuckets::of(&Arc::default(), "1", &Bound::default());
        pace.rows(500_000).await.unwrap(); // the whole burst
        let began = std::time::Instant::now();
        pace.rows(5_000).await.unwrap(); // 100 of 2,000 a second
        assert!(began.elapsed() >= Duration::from_millis(30), "{:?}", began.elapsed());
    }
}
