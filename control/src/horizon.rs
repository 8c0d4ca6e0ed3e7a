//! Up to when clicks are complete: what each process of an edge says of itself with its pings, and of those that follow another
//! control what that has written down. What is counted is not known here.

use crate::call::blocking;
use crate::metrics::ClickNumbers;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use store::clock::unix_ms;
use store::model::StoreFault;
use store::port::Repository;
use store::port::clicks::{EDGE_SILENT, EdgeUntil};
use tokio::sync::watch;

/// Between two exchanges with the store, of which answers are late by as much at most.
const PERIOD: Duration = Duration::from_secs(2);
/// Processes of edges that are known here: more are not looked at.
const MOST: usize = 4_096;
/// Of one name so many.
const MOST_PROCESSES: usize = 8;
/// A process that says nothing for so long is none any more, if another one speaks for its edge.
const SILENT: Duration = Duration::from_millis(EDGE_SILENT.unsigned_abs());

/// What edges say.
pub struct Horizon {
    store: Arc<dyn Repository>,
    numbers: Arc<ClickNumbers>,
    state: Mutex<HorizonState>,
}

#[derive(Default)]
struct HorizonState {
    /// When each process that speaks here spoke last.
    speaking: BTreeMap<Speaker, Instant>,
    /// What processes said here since the last exchange; `None`: it is no more, and nothing of it is under way.
    heard: BTreeMap<Speaker, Option<i64>>,
    /// What the store had then, of all processes at all controls.
    all: BTreeMap<Speaker, i64>,
}

/// A process that speaks for an edge: as a rule the only one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Speaker {
    edge: String,
    process: u64,
}

impl Horizon {
    /// Of the edges of this store.
    pub fn new(store: Arc<dyn Repository>, numbers: Arc<ClickNumbers>) -> Self {
        Self { store, numbers, state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, HorizonState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A process of an edge says that every click that it answered before `until` is acknowledged; 0: it counts none. Where two live
    /// processes speak for one edge, at whichever controls, neither knows of the other's clicks: the earlier time holds.
    pub fn heard(&self, edge: &str, process: u64, until: i64, now: Instant) {
        let mut state = self.lock();
        let speaker = Speaker { edge: edge.to_owned(), process };
        let is_known = state.heard.contains_key(&speaker) || state.all.contains_key(&speaker);
        if until <= 0 || !(is_known || state.all.len().max(state.heard.len()) < MOST) {
            return;
        }
        state.succeed(&speaker, now);
        state.speaking.insert(speaker.clone(), now);
        state.heard.insert(speaker, Some(until));
    }

    /// A process of an edge stops, and holds no click that is not acknowledged.
    pub fn left(&self, edge: &str, process: u64) {
        self.lock().end(&Speaker { edge: edge.to_owned(), process });
    }

    /// Every click answered before this time, in Unix milliseconds, is in the store; `None`: no edge has said anything.
    pub fn until(&self, now: i64) -> Option<i64> {
        let state = self.lock();
        let others =
            state.all.iter().filter(|(who, _)| !state.heard.contains_key(*who)).map(|(_, until)| *until);
        let here = state.heard.values().flatten().copied();
        here.chain(others).min().map(|until| until.min(now))
    }

    /// An edge is gone for good, and what it still holds with it.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn forget(&self, edge: &str) -> Result<(), StoreFault> {
        let name = edge.to_owned();
        blocking(&self.store, move |store| store.clicks().forget_edge(&name, None)).await?;
        let mut state = self.lock();
        state.speaking.retain(|who, _| who.edge != edge);
        state.heard.retain(|who, _| who.edge != edge);
        state.all.retain(|who, _| who.edge != edge);
        Ok(())
    }

    /// Exchanges it with the other controls of the store until `stop`.
    pub async fn run(&self, mut stop: watch::Receiver<bool>) {
        loop {
            if let Err(fault) = self.exchange().await {
                tracing::debug!(
                    name: "clicks_until_unshared", %fault,
                    "up to when clicks are complete cannot be written down now: answers may say an earlier time than is so"
                );
            }
            self.numbers.set_complete_until(self.until(unix_ms()).unwrap_or(0));
            tokio::select! {
                () = tokio::time::sleep(PERIOD) => {}
                _ = stop.wait_for(|&stop| stop) => return,
            }
        }
    }

    async fn exchange(&self) -> Result<(), StoreFault> {
        let heard = self.lock().heard.clone();
        let gone = heard.iter().filter(|(_, until)| until.is_none()).map(|(who, _)| who.clone());
        let gone: Vec<Speaker> = gone.collect();
        let row = |(who, until): (&Speaker, &Option<i64>)| {
            Some(EdgeUntil { edge: who.edge.clone(), process: who.process, until: (*until)? })
        };
        let rows: Vec<EdgeUntil> = heard.iter().filter_map(row).collect();
        let exchange = move |store: &dyn Repository| {
            let forget = |who: &Speaker| store.clicks().forget_edge(&who.edge, Some(who.process));
            gone.iter().try_for_each(forget)?;
            if !rows.is_empty() {
                store.clicks().note_until(&rows, unix_ms())?;
            }
            store.clicks().until()
        };
        let all = blocking(&self.store, exchange).await?;
        let mut state = self.lock();
        // What was said meanwhile is written with the next exchange.
        state.heard.retain(|who, until| heard.get(who) != Some(until));
        let speaker = |row: EdgeUntil| (Speaker { edge: row.edge, process: row.process }, row.until);
        state.all = all.into_iter().map(speaker).collect();
        Ok(())
    }
}

impl HorizonState {
    /// Ends the processes of the same edge that have spoken here and are silent now: this one is in their place. And of too many the one
    /// that has been silent for longest.
    fn succeed(&mut self, speaker: &Speaker, now: Instant) {
        let first = Speaker { edge: speaker.edge.clone(), process: 0 };
        let same = self.speaking.range(first..).take_while(|(who, _)| who.edge == speaker.edge);
        let mut others: Vec<(Instant, Speaker)> =
            same.filter(|(who, _)| *who != speaker).map(|(who, at)| (*at, who.clone())).collect();
        others.sort_unstable();
        let beyond = (others.len() + 1).saturating_sub(MOST_PROCESSES);
        for (number, (at, who)) in others.iter().enumerate() {
            if number < beyond || now.saturating_duration_since(*at) >= SILENT {
                self.end(who);
            }
        }
    }

    /// Nobody waits for this process any more.
    fn end(&mut self, speaker: &Speaker) {
        self.speaking.remove(speaker);
        self.heard.insert(speaker.clone(), None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::FakeStore;

    fn horizon() -> Horizon {
        Horizon::new(Arc::new(FakeStore::default()), Arc::default())
    }

    #[tokio::test]
    async fn the_slowest_edge_says_up_to_when_it_is_complete() {
        let (horizon, now) = (horizon(), Instant::now());
        assert_eq!(horizon.until(100), None);
        horizon.heard("a", 1, 40, now);
        horizon.heard("b", 2, 30, now);
        horizon.heard("counts-none", 3, 0, now);
        assert_eq!(horizon.until(100), Some(30));
        horizon.exchange().await.unwrap();
        assert_eq!(horizon.until(100), Some(30), "as another control wrote it, too");
        horizon.heard("b", 2, 50, now);
        assert_eq!((horizon.until(100), horizon.until(35)), (Some(40), Some(35)));
        horizon.left("a", 1);
        assert_eq!(horizon.until(100), Some(50));
        horizon.exchange().await.unwrap();
        assert_eq!(horizon.until(100), Some(50));
        horizon.forget("b").await.unwrap();
        assert_eq!(horizon.until(100), None);
    }

    /// Its spool is still there, and with it clicks that nobody has counted.
    #[tokio::test]
    async fn an_edge_that_died_holds_it_back() {
        let (horizon, now) = (horizon(), Instant::now());
        horizon.heard("dead", 1, 10, now);
        horizon.exchange().await.unwrap();
        horizon.heard("a", 2, 90, now);
        horizon.exchange().await.unwrap();
        assert_eq!(horizon.until(100), Some(10));
    }

    /// Each would write over what the other says.
    #[tokio::test]
    async fn of_two_live_edges_with_one_name_the_earlier_time_holds() {
        let (horizon, now) = (horizon(), Instant::now());
        horizon.heard("a", 1, 40, now);
        horizon.heard("a", 2, 90, now);
        assert_eq!(horizon.until(100), Some(40));
        horizon.heard("a", 1, 45, now);
        horizon.heard("a", 2, 95, now);
        assert_eq!(horizon.until(100), Some(45));
        horizon.exchange().await.unwrap();
        horizon.heard("a", 2, 96, now);
        assert_eq!(horizon.until(100), Some(45));
        horizon.left("a", 1);
        assert_eq!(horizon.until(100), Some(96));
        // One that was killed, and another process in its place.
        horizon.heard("b", 1, 50, now);
        horizon.heard("b", 2, 97, now + SILENT);
        assert_eq!(horizon.until(100), Some(96));
        horizon.exchange().await.unwrap();
        assert_eq!(horizon.until(100), Some(96));
    }

    /// Found by reading: the control that noted its own last wrote over what the other's had said.
    #[tokio::test]
    async fn of_two_live_edges_with_one_name_at_two_controls_the_earlier_time_holds() {
        let store = Arc::new(FakeStore::default());
        let control = || Horizon::new(store.clone(), Arc::default());
        let ((one, other), now) = ((control(), control()), Instant::now());
        one.heard("a", 1, 40, now);
        other.heard("a", 2, 90, now);
        for control in [&one, &other, &one] {
            control.exchange().await.unwrap();
        }
        assert_eq!([&one, &other].map(|control| control.until(100)), [Some(40); 2]);
        other.heard("a", 2, 95, now);
        other.exchange().await.unwrap();
        assert_eq!([&one, &other].map(|control| control.until(100)), [Some(40); 2]);
        one.left("a", 1);
        for control in [&one, &other] {
            control.exchange().await.unwrap();
        }
        assert_eq!([&one, &other].map(|control| control.until(100)), [Some(95); 2]);
    }
}
