//! Whether a control is there for whoever comes: it reads and feeds, and it takes writes. The words say why not.

use super::connection::ShutdownPhase;
use crate::metrics::Metrics;
use crate::tail::Tail;
use crate::writer::Writer;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// For a write of a probe.
const PATIENCE: Duration = Duration::from_secs(3);

#[derive(Clone)]
pub struct Readiness {
    pub(super) metrics: Arc<Metrics>,
    pub(super) tail: Arc<Tail>,
    pub(super) writer: Arc<Writer>,
    pub(super) ending: watch::Receiver<ShutdownPhase>,
}

impl Readiness {
    /// Whether what only a new process would mend is whole. No store counts.
    ///
    /// # Errors
    /// Why not, in one line.
    pub fn lives(&self) -> Result<(), String> {
        match self.writer.is_dead() {
            true => Err("hangs: the thread that writes has died: start control again".into()),
            false => Ok(()),
        }
    }

    /// Whether it serves reads and the feed.
    ///
    /// # Errors
    /// Why not, in one line.
    pub fn serves(&self) -> Result<(), String> {
        if *self.ending.borrow() != ShutdownPhase::NotYet {
            return Err("draining: a signal asked this control to stop".into());
        }
        if self.tail.is_broken() {
            return Err(
                "the log has a hole: no edge is sent more; restore the store, and start control again".into(),
            );
        }
        self.metrics.store.good(false)
    }

    /// What does not work though it serves, in one line each: nobody is sent elsewhere for it.
    pub fn notes(&self) -> Vec<String> {
        let clicks = self.metrics.store.clicks.good();
        clicks.err().map(|why| format!("clicks are not counted now: {why}")).into_iter().collect()
    }

    /// Whether it takes writes as well: tried by one that changes nothing.
    ///
    /// # Errors
    /// Why not, in one line.
    pub async fn writes(&self) -> Result<(), String> {
        self.serves()?;
        let probed = tokio::time::timeout(PATIENCE, self.writer.probe()).await;
        probed.map_err(|_| "a write does not end".to_owned())?.map_err(|fault| fault.to_string())?;
        self.metrics.store.good(true)
    }
}
