//! The sweeps of blocks: the links that lead to a blocked host are disabled, and those that a block disabled are enabled when
//! it ends. What becomes of each link is decided by `journal` when it is written; here they are only looked for.
//!
//! A sweep keeps no place on disk. Whoever begins it anew passes over what is done, so a control that died is followed by
//! its next start, or by another one of the same store.

use crate::Fault;
use crate::call::blocking;
use crate::writer::Writer;
use journal::blocks::{BlockIntent, BlockItem, BlockRow, BlockState};
use journal::{Intent, Item, Request, RequestKind};
use std::sync::Arc;
use std::time::Duration;
use store::model::Row;
use store::port::Repository;
use store::port::blocks::BlockRows;
use tokio::sync::watch;

/// Links of one commit: others wait for no more than some tens of milliseconds, and their writes go between any two.
const PART: usize = 500;
/// Links that are read at once where each has to be looked into.
const READ: usize = 2_000;
/// Between two looks for a sweep that another control has left.
const LOOK: Duration = Duration::from_secs(5);
/// After a failure.
const AGAIN: Duration = Duration::from_secs(1);

/// What sweeps are made on.
pub struct Sweeps {
    store: Arc<dyn Repository>,
    writer: Arc<Writer>,
}

impl Sweeps {
    /// Of the blocks of a store, through its writer.
    pub fn new(store: Arc<dyn Repository>, writer: Arc<Writer>) -> Self {
        Self { store, writer }
    }

    /// Until control stops. What is with the writer then is still written.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        tokio::select! {
            () = self.all() => {}
            _ = stop.wait_for(|&stop| stop) => {}
        }
    }

    /// The blocks that are written here are swept at once, and at the start all that are not finished; those of another
    /// control when they have stood still from one look to the next.
    async fn all(&self) {
        let (mut due, mut seen) = (true, Vec::new());
        loop {
            let wait = match self.look(due, &mut seen).await {
                Ok(()) => LOOK,
                Err(fault) => {
                    tracing::debug!(name: "sweep_failed", %fault, "the sweep of a block cannot go on now");
                    AGAIN
                }
            };
            let failed = wait == AGAIN;
            due = tokio::select! {
                () = self.writer.block_written() => true,
                () = tokio::time::sleep(wait) => failed && due,
            };
        }
    }

    async fn look(&self, due: bool, seen: &mut Vec<BlockRow>) -> Result<(), Fault> {
        let found = blocking(&self.store, BlockRows::unfinished_blocks).await?;
        let before = std::mem::replace(seen, found.clone());
        for block in found.into_iter().filter(|block| due || before.contains(block)) {
            self.sweep(&block).await?;
        }
        Ok(())
    }

    async fn sweep(&self, block: &BlockRow) -> Result<(), Fault> {
        let whole = match block.state {
            BlockState::Lifting => self.lift(block).await?,
            // First what is in no index yet: what comes into it meanwhile is found behind that.
            BlockState::Sweeping | BlockState::Done => {
                self.search(block).await? && self.disable(block).await?
            }
        };
        if whole {
            let intent = BlockIntent::Swept { round: block.round };
            let swept = BlockItem { host: block.host.clone(), intent, retry: None };
            self.writer.block(swept).await?;
            let (host, lifts) = (block.host.to_string(), block.state == BlockState::Lifting);
            tracing::info!(name: "block_swept", host, lifts, "every link that a block is about was looked at");
        }
        Ok(())
    }

    /// Disables the links that the index names; whether it came to the end.
    async fn disable(&self, block: &BlockRow) -> Result<bool, Fault> {
        let mut after = None;
        while self.goes_on(block).await? {
            let (host, place) = (block.host.clone(), after.clone());
            let part = blocking(&self.store, move |store| store.led_to(&host, place.as_ref(), PART)).await?;
            if part.last.is_none() {
                return Ok(true);
            }
            after = part.last;
            self.write(block, part.rows).await?;
        }
        Ok(false)
    }

    /// Disables those of the links that no index names yet; whether it came to the end.
    async fn search(&self, block: &BlockRow) -> Result<bool, Fault> {
        let mut after = Vec::new();
        while self.goes_on(block).await? {
            let behind = after.clone();
            let mut rows = blocking(&self.store, move |store| store.not_indexed(&behind, READ)).await?;
            let Some(last) = rows.last() else { return Ok(true) };
            after = last.key.as_bytes().to_vec();
            rows.retain(|row| row.link.parts().target.host().is_some_and(|host| block.host.covers(&host)));
            self.write(block, rows).await?;
        }
        Ok(false)
    }

    /// Enables the links that the block keeps disabled; whether it came to the end.
    async fn lift(&self, block: &BlockRow) -> Result<bool, Fault> {
        let mut after = Vec::new();
        while self.goes_on(block).await? {
            let (host, behind) = (block.host.clone(), after.clone());
            let rows = blocking(&self.store, move |store| store.kept_by(&host, &behind, PART)).await?;
            let Some(last) = rows.last() else { return Ok(true) };
            after = last.key.as_bytes().to_vec();
            self.write(block, rows).await?;
        }
        Ok(false)
    }

    /// Whether the block is still as it was when its sweep began.
    async fn goes_on(&self, block: &BlockRow) -> Result<bool, Fault> {
        let host = block.host.clone();
        let now = blocking(&self.store, move |store| store.block(&host)).await?;
        Ok(now.is_some_and(|now| now.round == block.round))
    }

    /// Writes as for the caller who asked for the block.
    async fn write(&self, block: &BlockRow, rows: Vec<Row>) -> Result<(), Fault> {
        let lifts = block.state == BlockState::Lifting;
        let due = |row: &Row| row.delete_time.is_none() && (lifts || !row.link.parts().terms.disabled);
        let item = |row: Row| {
            let host = block.host.clone();
            let intent = if lifts { Intent::Lift { host } } else { Intent::Block { host } };
            Item { key: row.key, intent }
        };
        let items: Vec<Item> = rows.into_iter().filter(due).map(item).collect();
        for part in items.chunks(PART) {
            // As a chunk: a small write never waits behind more than one of them.
            let by = Some(block.by());
            let request = Request { items: part.to_vec(), kind: RequestKind::Chunk, by, retry: None };
            self.writer.submit(request, ())?.answer().await?;
        }
        Ok(())
    }
}
