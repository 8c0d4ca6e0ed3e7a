//! Keeps the links over a restart: they go to the edge's own file now and then and at a clean stop, and a start reads them
//! back, so that an edge whose control is away comes back with its links. On a plain thread; no request ever waits for it.

mod read;
#[cfg(test)]
mod tests;
mod write;

pub use read::{LoadedSnapshot, restore};
pub use write::write_for_heir;

use crate::shared::Shared;
use crate::sys;
use exposition::StartFault;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use write::WriteSchedule;

/// The thread that writes the file.
pub struct Keeper {
    shared: Arc<Shared>,
    stop: mpsc::Sender<()>,
    thread: JoinHandle<WriteSchedule>,
}

impl Keeper {
    /// Starts it, before anything else touches the set. `restored`: the file holds what the set does.
    ///
    /// # Errors
    /// [`StartFault`]
    pub fn start(shared: Arc<Shared>, restored: bool) -> Result<Self, StartFault> {
        let (stop, stopped) = mpsc::channel();
        let mut pace = if restored { WriteSchedule::restored(&shared) } else { WriteSchedule::default() };
        let own = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("snapshot".into())
            .spawn(move || {
                sys::let_others_go_first();
                pace.keep(&own, &stopped);
                pace
            })
            .map_err(|fault| StartFault::because("cannot start the snapshot thread", fault))?;
        Ok(Self { shared, stop, thread })
    }

    /// Ends the thread, and writes a last time: here, because now nobody has to go first. What fills the set has ended
    /// before.
    pub fn stop(self) {
        drop(self.stop);
        if let Ok(mut pace) = self.thread.join() {
            pace.look(&self.shared, true);
        }
    }
}
