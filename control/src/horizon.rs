//! Up to when clicks are complete: what each edge says of itself with its pings, and of edges that follow another control what
//! that has written down. What is counted is not known here.

use crate::call::blocking;
use crate::metrics::ClickNumbers;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use store::clock::unix_ms;
use store::model::StoreFault;
use store::port::Repository;
use store::port::clicks::EdgeUntil;
use tokio::sync::watch;

/// Between two exchanges with the store, of which answers are late by as much at most.
const PERIOD: Duration = Duration::from_secs(2);
/// Edges that are known here: more are not looked at.
const MOST: usize = 4_096;
/// Processes of one name that are known here.
const MOST_PROCESSES: usize = 8;
/// A process that says nothing for so long is none any more: an edge says how it stands several times a second.
const SILENT: Duration = Duration::from_secs(5);

/// What edges say.
pub struct Horizon {
    store: Arc<dyn Repository>,
    numbers: Arc<ClickNumbers>,
    state: Mutex<HorizonState>,
}

#[derive(Default)]
struct HorizonState {
    /// The processes that speak for an edge, in the order in which they came: as a rule one.
    speaking: BTreeMap<String, Vec<EdgeVoice>>,
    /// What edges said here since the last exchange; `None`: it has nothing under way and said goodbye.
    heard: BTreeMap<String, Option<i64>>,
    /// What the store had then, of all edges.
    all: BTreeMap<String, i64>,
}

/// What a process of an edge says.
struct EdgeVoice {
    process: u64,
    until: i64,
    at: Instant,
}

impl Horizon {
    /// Of the edges of this store.
    pub fn new(store: Arc<dyn Repository>, numbers: Arc<ClickNumbers>) -> Self {
        Self { store, numbers, state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, HorizonState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An edge says that every click that it answered before `until` is acknowledged; 0: it counts none. Where two live processes
    /// speak for one edge, neither knows of the other's clicks: the earlier time holds.
    pub fn heard(&self, edge: &str, process: u64, until: i64, now: Instant) {
        let mut state = self.lock();
        let is_known = state.heard.contains_key(edge) || state.all.contains_key(edge);
        if until <= 0 || !(is_known || state.all.len().max(state.heard.len()) < MOST) {
            return;
        }
        let least = state.speak(edge, process, until, now);
        state.heard.insert(edge.to_owned(), Some(least));
    }

    /// A process of an edge stops, and holds no click that is not acknowledged.
    pub fn left(&self, edge: &str, process: u64) {
        let mut state = self.lock();
        let others = state.speaking.get_mut(edge).and_then(|voices| {
            voices.retain(|voice| voice.process != process);
            voices.iter().map(|voice| voice.until).min()
        });
        if others.is_none() {
            state.speaking.remove(edge);
        }
        state.heard.insert(edge.to_owned(), others);
    }

    /// Every click answered before this time, in Unix milliseconds, is in the store; `None`: no edge has said anything.
    pub fn until(&self, now: i64) -> Option<i64> {
        let state = self.lock();
        let others =
            state.all.iter().filter(|(edge, _)| !state.heard.contains_key(*edge)).map(|(_, until)| *until);
        let here = state.heard.values().flatten().copied();
        here.chain(others).min().map(|until| until.min(now))
    }

    /// An edge is gone for good, and what it still holds with it.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn forget(&self, edge: &str) -> Result<(), StoreFault> {
        let name = edge.to_owned();
        blocking(&self.store, move |store| store.clicks().forget_edge(&name)).await?;
        let mut state = self.lock();
        state.speaking.remove(edge);
        state.heard.remove(edge);
        state.all.remove(edge);
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
        let gone: Vec<String> =
            heard.iter().filter(|(_, until)| until.is_none()).map(|(edge, _)| edge.clone()).collect();
        let rows =
            heard.iter().filter_map(|(edge, until)| Some(EdgeUntil { edge: edge.clone(), until: (*until)? }));
        let rows: Vec<EdgeUntil> = rows.collect();
        let exchange = move |store: &dyn Repository| {
            gone.iter().try_for_each(|edge| store.clicks().forget_edge(edge))?;
            if !rows.is_empty() {
                store.clicks().note_until(&rows, unix_ms())?;
            }
            store.clicks().until()
        };
        let all = blocking(&self.store, exchange).await?;
        let mut state = self.lock();
        // What was said meanwhile is written with the next exchange.
        state.heard.retain(|edge, until| heard.get(edge) != Some(until));
        state.all = all.into_iter().map(|row| (row.edge, row.until)).collect();
        Ok(())
    }
}

impl HorizonState {
    /// Takes what a process says; the earliest of the times of its edge's processes.
    fn speak(&mut self, edge: &str, process: u64, until: i64, now: Instant) -> i64 {
        let voices = self.speaking.entry(edge.to_owned()).or_default();
        voices.retain(|voice| voice.process == process || now.saturating_duration_since(voice.at) < SILENT);
        match voices.iter_mut().find(|voice| voice.process == process) {
            Some(voice) => (voice.until, voice.at) = (until, now),
            None => {
                voices.truncate(MOST_PROCESSES - 1);
                voices.push(EdgeVoice { process, until, at: now });
            }
        }
        voices.iter().map(|voice| voice.until).min().unwrap_or(until)
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
    }
}
