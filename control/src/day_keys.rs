//! The keys of the days, by which edges tell visitors apart: kept by the store, told on the feed, and never written down by
//! anybody else. How long one is kept, the store knows.

use crate::call::blocking;
use crate::clock;
use feed::Trouble;
use std::sync::Arc;
use std::time::Duration;
use store::clock::unix_ms;
use store::model::StoreFault;
use store::port::Repository;
use tokio::sync::watch;

/// Milliseconds of a day.
const DAY: i64 = 86_400_000;
/// So long before a day begins its key is made: the clock of an edge may be ahead.
const AHEAD: i64 = 600_000;
/// Between two looks at the clock.
const LOOK: Duration = Duration::from_secs(30);
/// After a failure.
const AGAIN: Duration = Duration::from_secs(2);

/// The key of one day.
#[derive(Clone, PartialEq, Eq)]
pub struct DayKey {
    /// Days since 1970, in UTC.
    pub day: u32,
    /// The key.
    pub key: [u8; 32],
}

/// Those that edges need now.
pub struct DayKeys {
    store: Arc<dyn Repository>,
    known: watch::Sender<Arc<[DayKey]>>,
    trouble: Trouble,
}

impl DayKeys {
    /// Of this store; none is known yet.
    pub fn new(store: Arc<dyn Repository>) -> Self {
        Self { store, known: watch::Sender::new(Arc::default()), trouble: Trouble::default() }
    }

    /// Those that are known, now and whenever there are others.
    pub fn known(&self) -> watch::Receiver<Arc<[DayKey]>> {
        self.known.subscribe()
    }

    /// Keeps them current until `stop`. While the store does not answer there are none for a new day, and clicks are counted
    /// without visitors.
    pub async fn run(&self, mut stop: watch::Receiver<bool>) {
        loop {
            let wait = match self.read(unix_ms()).await {
                Ok(()) => {
                    self.trouble.over(clock::ms());
                    LOOK
                }
                Err(fault) => {
                    if let Some(tell) = self.trouble.met(clock::ms(), "store") {
                        let lasts_ms = tell.lasts_ms;
                        tracing::warn!(
                            name: "day_key_unread", %fault, lasts_ms,
                            "the key of the day cannot be read: edges that have none count clicks without visitors"
                        );
                    }
                    AGAIN
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = stop.wait_for(|&stop| stop) => return,
            }
        }
    }

    async fn read(&self, now: i64) -> Result<(), StoreFault> {
        let wanted = days(now);
        let known = self.known.borrow().clone();
        if known.iter().map(|key| key.day).eq(wanted.clone()) {
            return Ok(());
        }
        let read = move |store: &dyn Repository| {
            let key =
                |day| Ok(DayKey { day, key: store.clicks().day_key(day, store::random::bytes(), now)? });
            wanted.map(key).collect::<Result<Vec<_>, StoreFault>>()
        };
        let keys = blocking(&self.store, read).await?;
        self.known.send_replace(keys.into());
        Ok(())
    }
}

/// The days whose keys are needed at this time.
fn days(now: i64) -> std::ops::RangeInclusive<u32> {
    let day = |at: i64| u32::try_from(at.div_euclid(DAY)).unwrap_or(0);
    day(now)..=day(now + AHEAD)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{FakeClicks, FakeStore};

    #[test]
    fn the_next_day_has_a_key_before_it_begins() {
        assert_eq!(days(0), 0..=0);
        assert_eq!(days(20_000 * DAY + DAY - AHEAD), 20_000..=20_001);
        assert_eq!(days(20_000 * DAY + DAY - AHEAD - 1), 20_000..=20_000);
        assert_eq!(days(20_001 * DAY), 20_001..=20_001);
    }

    #[tokio::test]
    async fn a_key_is_that_of_the_store() {
        // Another control has made it already.
        let clicks = FakeClicks { day_key: Box::new(|day| [day as u8; 32]), ..FakeClicks::default() };
        let keys = DayKeys::new(Arc::new(FakeStore { clicks, ..FakeStore::default() }));
        let mut known = keys.known();
        keys.read(7 * DAY - 1).await.unwrap();
        assert!(known.has_changed().unwrap());
        let days: Vec<_> = known.borrow_and_update().iter().map(|key| (key.day, key.key[0])).collect();
        assert_eq!(days, [(6, 6), (7, 7)]);
        keys.read(7 * DAY).await.unwrap();
        assert_eq!(known.borrow_and_update().len(), 1);
        keys.read(7 * DAY + 1).await.unwrap();
        assert!(!known.has_changed().unwrap(), "nothing is told twice");
    }
}
