//! Clicks as they are counted, read once for all who watch any. Nothing is read while nobody watches.

use crate::call::blocking;
use link::DomainId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use store::clock::unix_ms;
use store::model::StoreFault;
use store::port::Repository;
use store::port::clicks::{RawClick, RawPage, RawQuestion};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::{Notify, watch};

/// Clicks that are read at once, about, and that one page has at most.
const PAGE: usize = 2_000;
/// Pages that a watcher may be behind: some 15 MB, which all watchers share. Beyond them the oldest go.
const BEHIND: usize = 32;
/// Between two looks for what another control of the store has taken.
const PERIOD: Duration = Duration::from_millis(500);
/// Between two pages of clicks that were read at once, so that whoever reads can keep up.
const PACE: Duration = Duration::from_millis(5);
/// How far ahead of ours the clocks of edges may be.
const AHEAD: i64 = 3_600_000;

/// What all watchers share.
pub struct LiveClicks {
    store: Arc<dyn Repository>,
    pages: broadcast::Sender<Arc<SharedPage>>,
    /// Clicks of each domain in all pages so far.
    told: Mutex<HashMap<DomainId, u64>>,
    watched: Notify,
}

/// Clicks of every domain, in the order in which they were counted.
struct SharedPage {
    clicks: Vec<RawClick>,
    /// Of each domain that has some here, how many there were in the pages before.
    before: HashMap<DomainId, u64>,
}

/// What one watcher is told: of one domain.
pub struct LivePages {
    pages: broadcast::Receiver<Arc<SharedPage>>,
    domain: DomainId,
    /// Clicks of the domain that it was told or has missed.
    seen: u64,
}

/// Clicks of a domain.
#[derive(Debug, PartialEq)]
pub struct LivePage {
    /// In the order in which they were counted.
    pub clicks: Vec<RawClick>,
    /// How many there were before them that are not told any more: the watcher was too far behind.
    pub missed: u64,
}

impl LivePages {
    /// The next ones, once there are some; `None` when control stops.
    pub async fn next(&mut self) -> Option<LivePage> {
        loop {
            let page = match self.pages.recv().await {
                Ok(page) => page,
                Err(RecvError::Lagged(_)) => continue, // how many that were, the next page says
                Err(RecvError::Closed) => return None,
            };
            let Some(before) = page.before.get(&self.domain) else { continue };
            let own = page.clicks.iter().filter(|raw| raw.click.domain == self.domain);
            let clicks: Vec<RawClick> = own.cloned().collect();
            let missed = before.saturating_sub(self.seen);
            self.seen = before + clicks.len() as u64;
            return Some(LivePage { clicks, missed });
        }
    }
}

impl LiveClicks {
    /// Of this store.
    pub fn new(store: Arc<dyn Repository>) -> Self {
        let pages = broadcast::Sender::new(BEHIND);
        Self { store, pages, told: Mutex::default(), watched: Notify::new() }
    }

    /// Those of a domain that are counted from soon on.
    pub fn pages(&self, domain: DomainId) -> LivePages {
        let told = self.told();
        let seen = told.get(&domain).copied().unwrap_or_default();
        let pages = LivePages { pages: self.pages.subscribe(), domain, seen };
        drop(told);
        self.watched.notify_one();
        pages
    }

    fn told(&self) -> MutexGuard<'_, HashMap<DomainId, u64>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells everybody who watches.
    fn tell(&self, clicks: Vec<RawClick>) {
        let (mut told, mut before) = (self.told(), HashMap::new());
        for raw in &clicks {
            let sum = told.entry(raw.click.domain).or_default();
            before.entry(raw.click.domain).or_insert(*sum);
            *sum += 1;
        }
        let _ = self.pages.send(Arc::new(SharedPage { clicks, before })); // whoever watched may have gone
    }

    /// Reads them until `stop`, at every hint of `taken` and every half second.
    pub async fn run(&self, mut taken: watch::Receiver<u64>, mut stop: watch::Receiver<bool>) {
        let mut place = None;
        loop {
            if self.pages.receiver_count() == 0 {
                place = None;
                tokio::select! {
                    () = self.watched.notified() => {}
                    _ = stop.wait_for(|&stop| stop) => return,
                }
                continue;
            }
            taken.mark_unchanged();
            match self.read_on(&mut place).await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(fault) => {
                    tracing::debug!(name: "clicks_unwatched", %fault, "whoever watches clicks is told none now");
                }
            }
            tokio::select! {
                _ = taken.changed() => {} // its other end lives as long as this control
                () = tokio::time::sleep(PERIOD) => {}
                _ = stop.wait_for(|&stop| stop) => return,
            }
        }
    }

    /// Tells what is behind `place`; whether there is more.
    async fn read_on(&self, place: &mut Option<u64>) -> Result<bool, StoreFault> {
        let from = match *place {
            Some(place) => place,
            None => blocking(&self.store, |store| store.clicks().raw_end()).await?,
        };
        *place = Some(from);
        let until = unix_ms() + AHEAD;
        let question = RawQuestion { until, place: from, most: PAGE, ..RawQuestion::default() };
        let RawPage { clicks, next, more } =
            blocking(&self.store, move |store| store.clicks().raw(&question)).await?;
        *place = Some(next);
        // One row of the store may have many more than were asked for.
        let mut clicks = clicks.into_iter();
        loop {
            let part: Vec<RawClick> = clicks.by_ref().take(PAGE).collect();
            if part.is_empty() {
                return Ok(more);
            }
            self.tell(part);
            if clicks.len() > 0 {
                tokio::time::sleep(PACE).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{FakeClicks, FakeStore, raw};

    /// Pages of so many clicks each, from place 5 on, and no end of them; every tenth is of another domain.
    fn live(count: u64) -> LiveClicks {
        let page = move |question: &RawQuestion| {
            let click = |place| {
                let mut own = raw(place);
                own.click.domain = DomainId(u32::from(place % 10 == 0));
                own
            };
            let next = question.place + count;
            RawPage { clicks: (question.place..next).map(click).collect(), next, more: false }
        };
        let clicks = FakeClicks { raw_end: Box::new(|| 5), raw: Box::new(page), ..FakeClicks::default() };
        LiveClicks::new(Arc::new(FakeStore { clicks, ..FakeStore::default() }))
    }

    #[tokio::test]
    async fn a_watcher_is_told_what_comes_and_how_many_it_missed() {
        let (live, mut place) = (live(10), None);
        let mut pages = live.pages(DomainId(0));
        assert!(!live.read_on(&mut place).await.unwrap());
        let first = pages.next().await.unwrap();
        assert_eq!((first.clicks[0].place, first.clicks.len(), first.missed, place), (5, 9, 0, Some(15)));
        for _ in 0..BEHIND + 3 {
            live.read_on(&mut place).await.unwrap();
        }
        let behind = pages.next().await.unwrap();
        assert_eq!((behind.clicks[0].place, behind.missed), (45, 3 * 9));
        assert_eq!(pages.next().await.unwrap().missed, 0);
        // Who comes later has missed nothing.
        let mut later = live.pages(DomainId(1));
        live.read_on(&mut place).await.unwrap();
        let one = later.next().await.unwrap();
        assert_eq!((one.clicks.len(), one.missed), (1, 0));
        drop(live);
        while pages.next().await.is_some() {}
    }

    /// One row of the store has up to 65,536 clicks, and 32 of them for each who does not read were 300 MB.
    #[tokio::test(start_paused = true)]
    async fn what_waits_for_a_watcher_who_does_not_read_is_bounded() {
        let (live, mut place) = (live(65_536), None);
        let mut pages = live.pages(DomainId(0));
        for _ in 0..4 {
            live.read_on(&mut place).await.unwrap();
        }
        assert_eq!(live.pages.len(), BEHIND);
        let (mut told, mut missed) = (0, 0);
        let all = live.told()[&DomainId(0)];
        drop(live);
        while let Some(page) = pages.next().await {
            (told, missed) = (told + page.clicks.len() as u64, missed + page.missed);
            assert!(page.clicks.len() <= PAGE);
        }
        assert_eq!(told + missed, all);
        assert!(told <= (BEHIND * PAGE) as u64, "{told}");
    }
}
