//! What shares the process with an edge and is handed over with it: the control of `linkr up`. What that is is not known here.

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

/// Everything here blocks, and is called from the thread that hands over.
pub trait Companion: Send + Sync {
    /// What the next process begins with.
    ///
    /// # Errors
    /// No descriptor is left.
    fn offer(&self) -> io::Result<CompanionOffer>;

    /// Ends, so that the next process can begin: whoever asks meanwhile waits.
    ///
    /// # Errors
    /// Why not, in words: it goes on as it was.
    fn close(&self) -> Result<(), String>;

    /// The next process has not begun, or has ended: begins again if it has ended, however often that has to be tried, on
    /// another thread.
    fn reopen(self: Arc<Self>);
}

/// What one companion says to the next, and descriptors.
#[derive(Debug, Default)]
pub struct CompanionOffer {
    pub words: String,
    pub files: Vec<OwnedFd>,
}

/// An edge that has a companion keeps no snapshot: its links are always at hand.
#[derive(Clone)]
pub struct SharedProcess {
    /// The file by which links go to the next process. It is there for that moment alone.
    pub links: PathBuf,
    pub companion: Arc<dyn Companion>,
}
