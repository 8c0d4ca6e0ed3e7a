//! The upkeep of clicks: raw batches are folded into counts, what is old becomes coarser and is forgotten. Of the controls of
//! one store one does it at a time, which the store sees to.

use crate::call::blocking;
use crate::clock;
use crate::metrics::ClickNumbers;
use feed::Trouble;
use std::sync::Arc;
use std::time::Duration;
use store::clock::unix_ms;
use store::model::StoreFault;
use store::port::Repository;
use tokio::sync::watch;

/// Between two looks for batches that are not folded yet: what is not is read with every question.
const PERIOD: Duration = Duration::from_secs(10);
/// Between two steps while there is more: others want the disk, too.
const STEP: Duration = Duration::from_millis(20);

/// What it is made on.
pub struct Upkeep {
    store: Arc<dyn Repository>,
    numbers: Arc<ClickNumbers>,
    trouble: Trouble,
}

impl Upkeep {
    /// Of the clicks of a store.
    pub fn new(store: Arc<dyn Repository>, numbers: Arc<ClickNumbers>) -> Self {
        Self { store, numbers, trouble: Trouble::default() }
    }

    /// Until `stop`, behind a step that is under way.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        loop {
            let wait = match self.step().await {
                Ok(true) => STEP,
                Ok(false) => {
                    if let Some(over) = self.trouble.over(clock::ms()) {
                        let lasted_ms = over.lasted_ms;
                        tracing::info!(name: "clicks_folded", lasted_ms, "clicks can be folded again");
                    }
                    PERIOD
                }
                Err(fault) => {
                    if let Some(tell) = self.trouble.met(clock::ms(), "store") {
                        let lasts_ms = tell.lasts_ms;
                        tracing::warn!(
                            name: "clicks_unfolded", %fault, lasts_ms,
                            "clicks cannot be folded into counts: none is lost, and questions take longer until they can"
                        );
                    }
                    PERIOD
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = stop.wait_for(|&stop| stop) => return,
            }
        }
    }

    /// One step of folding, and behind the last one a step of tidying; whether there is more to do.
    async fn step(&self) -> Result<bool, StoreFault> {
        let step = |store: &dyn Repository| {
            let now = unix_ms();
            let folded = store.clicks().fold(now)?;
            let more = folded.more || store.clicks().tidy(now)?;
            Ok((folded.batches, more))
        };
        let (batches, more) = blocking(&self.store, step).await?;
        self.numbers.folded(batches as u64);
        Ok(more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{FakeClicks, FakeStore};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use store::port::clicks::FoldReport;

    #[tokio::test]
    async fn it_folds_until_nothing_is_left() {
        let left = AtomicUsize::new(3);
        let fold = move || {
            let left = left.fetch_sub(1, Ordering::Relaxed);
            Ok(FoldReport { batches: 5, more: left > 1, ..FoldReport::default() })
        };
        let clicks = FakeClicks { fold: Box::new(fold), ..FakeClicks::default() };
        let store = Arc::new(FakeStore { clicks, ..FakeStore::default() });
        let upkeep = Upkeep::new(store, Arc::default());
        for more in [true, true, false] {
            assert_eq!(upkeep.step().await, Ok(more));
        }
    }
}
