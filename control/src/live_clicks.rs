//! Clicks as they are counted, read once for all who watch any. Nothing is read while nobody watches.

use std::sync::Arc;
use std::time::Duration;
use store::clock::unix_ms;
use store::model::StoreFault;
use store::port::clicks::{RawClick, RawPage, RawQuestion};
use store::port::{Repository, blocking};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::{Notify, watch};

/// Clicks that are read at once.
const PAGE: usize = 2_000;
/// Pages that a watcher may be behind.
const BEHIND: usize = 32;
/// Between two looks for what another control of the store has taken.
const PERIOD: Duration = Duration::from_millis(500);
/// How far ahead of ours the clocks of edges may be.
const AHEAD: i64 = 3_600_000;

/// What all watchers share.
pub struct LiveClicks {
    store: Arc<dyn Repository>,
    pages: broadcast::Sender<Arc<[RawClick]>>,
    watched: Notify,
}

/// What one watcher is told.
pub struct LivePages(broadcast::Receiver<Arc<[RawClick]>>);

/// Clicks of every domain.
pub struct LivePage {
    /// In the order in which they were counted.
    pub clicks: Arc<[RawClick]>,
    /// Whether there were others before them that are not told any more.
    pub gap: bool,
}

impl LivePages {
    /// The next ones, once there are some; `None` when control stops.
    pub async fn next(&mut self) -> Option<LivePage> {
        let mut gap = false;
        loop {
            match self.0.recv().await {
                Ok(clicks) => return Some(LivePage { clicks, gap }),
                Err(RecvError::Lagged(_)) => gap = true,
                Err(RecvError::Closed) => return None,
            }
        }
    }
}

impl LiveClicks {
    /// Of this store.
    pub fn new(store: Arc<dyn Repository>) -> Self {
        let pages = broadcast::Sender::new(BEHIND);
        Self { store, pages, watched: Notify::new() }
    }

    /// Those that are counted from soon on.
    pub fn pages(&self) -> LivePages {
        let pages = LivePages(self.pages.subscribe());
        self.watched.notify_one();
        pages
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
        if !clicks.is_empty() {
            let _ = self.pages.send(clicks.into()); // whoever watched may have gone
        }
        Ok(more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{FakeClicks, FakeStore, raw};

    /// Pages of one click each, from place 5 on, and no end of them.
    fn live() -> LiveClicks {
        let page = |question: &RawQuestion| RawPage {
            clicks: vec![raw(question.place)],
            next: question.place + 1,
            more: false,
        };
        let clicks = FakeClicks { raw_end: Box::new(|| 5), raw: Box::new(page), ..FakeClicks::default() };
        LiveClicks::new(Arc::new(FakeStore { clicks, ..FakeStore::default() }))
    }

    #[tokio::test]
    async fn a_watcher_is_told_what_comes_and_what_it_missed() {
        let (live, mut place) = (live(), None);
        let mut pages = live.pages();
        assert!(!live.read_on(&mut place).await.unwrap());
        let first = pages.next().await.unwrap();
        assert_eq!((first.clicks[0].place, first.gap, place), (5, false, Some(6)));
        for _ in 0..=BEHIND {
            live.read_on(&mut place).await.unwrap();
        }
        let behind = pages.next().await.unwrap();
        assert_eq!((behind.clicks[0].place, behind.gap), (7, true));
        assert!(!pages.next().await.unwrap().gap);
        drop(live);
        while pages.next().await.is_some() {}
    }
}
