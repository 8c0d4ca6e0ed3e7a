//! R9 on a store that others write to as well: readings of its head for the pings that wait, one for all of them.

use crate::call::blocking;
use feed::HeadReads;
use link::Position;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use store::model::StoreFault;
use store::port::Repository;
use tokio::sync::watch;

/// Between two readings: many edges ping at any time.
const PAUSE: Duration = Duration::from_millis(10);
/// The same where a reading is a commit, or has failed.
const LONG_PAUSE: Duration = Duration::from_millis(250);

/// The readings.
pub struct Heads {
    store: Arc<dyn Repository>,
    reads: Mutex<HeadReads>,
    wanted: watch::Sender<u64>,
    read: watch::Sender<(u64, Position)>,
}

impl Heads {
    /// None yet.
    pub fn new(store: Arc<dyn Repository>) -> Self {
        Self {
            store,
            reads: Mutex::default(),
            wanted: watch::Sender::new(0),
            read: watch::Sender::new((0, Position::default())),
        }
    }

    /// A ping waits: the number of the first reading that may answer it.
    pub fn ask(&self) -> u64 {
        let number = self.reads.lock().unwrap_or_else(PoisonError::into_inner).wanted();
        self.wanted.send_if_modified(|wanted| std::mem::replace(wanted, number) != number);
        number
    }

    /// The last reading that went well, by number.
    pub fn read(&self) -> watch::Receiver<(u64, Position)> {
        self.read.subscribe()
    }

    /// Reads while somebody waits, until `stop`.
    pub async fn run(&self, mut stop: watch::Receiver<bool>) {
        let mut wanted = self.wanted.subscribe();
        loop {
            tokio::select! {
                _ = wanted.wait_for(|wanted| *wanted > self.read.borrow().0) => {}
                _ = stop.wait_for(|&stop| stop) => return,
            }
            let pause = match self.one().await {
                Ok(()) if self.store.standing().is_some_and(|standing| standing.heartbeat) => LONG_PAUSE,
                Ok(()) => PAUSE,
                Err(fault) => {
                    tracing::debug!(name: "head_unread", %fault, "no edge is told that it is current");
                    LONG_PAUSE
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = stop.wait_for(|&stop| stop) => return,
            }
        }
    }

    async fn one(&self) -> Result<(), StoreFault> {
        let lock = || self.reads.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(number) = lock().begin() else { return Ok(()) };
        let head = blocking(&self.store, Repository::proved_head).await;
        lock().end();
        self.read.send_replace((number, head?));
        Ok(())
    }
}
