//! The edge's own file (R8b): where it is, the note beside it, and what happened to them. It is written and read in `keep`.

mod note;

use crate::sys;
use exposition::StartFault;
use link::Position;
use proto::own;
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub use note::{Group, GroupGuard};

/// The file, the note beside it, and what happened to them.
#[derive(Debug)]
pub struct Snapshot {
    /// Where it is.
    pub path: PathBuf,
    /// What is under way.
    pub note: note::Note,
    /// Counted for `/metrics`.
    pub counts: SnapshotCounts,
    /// Whether this process writes the file: there may be another one that is going to, or that has taken it over. Held while it
    /// is written.
    pub keeps: Mutex<bool>,
}

/// The numbers of the snapshot file (docs/metrics.md).
#[derive(Debug, Default)]
pub struct SnapshotCounts {
    /// Boot-clock milliseconds when the file was written; 0: there is none.
    at_ms: AtomicU64,
    /// Its bytes.
    pub bytes: AtomicU64,
    /// Nanoseconds that writing it took, or reading it at the start.
    pub took_ns: AtomicU64,
    /// Files that could not be written.
    pub write_failures: AtomicU64,
    /// Files that could not be read.
    pub load_failures: AtomicU64,
}

impl Snapshot {
    /// Takes the file for this process. It may not be there yet.
    ///
    /// # Errors
    /// [`StartFault`] when another process has it, or nothing can be written there.
    pub fn open(path: &Path) -> Result<Self, StartFault> {
        for file in [path.to_path_buf(), beside(path, "note")] {
            own_file(&file)?;
        }
        let note = note::Note::open(&beside(path, "note")).map_err(StartFault::new)?;
        Ok(Self::with(path, note, true))
    }

    /// The file of a process that still runs and has it: it is only read until that one passes it on.
    pub fn inherit(path: &Path, note: File) -> Self {
        Self::with(path, note::Note::inherit(note), false)
    }

    /// A file that is there while links go to another process, and at no other time.
    pub fn for_heirs(path: &Path) -> Self {
        Self::with(path, note::Note::default(), false)
    }

    /// It is not needed any more.
    pub fn remove(&self) {
        let _ = std::fs::remove_file(&self.path); // the next hand-over writes another in its place
    }

    fn with(path: &Path, note: note::Note, keeps: bool) -> Self {
        Self { path: path.to_path_buf(), note, counts: SnapshotCounts::default(), keeps: Mutex::new(keeps) }
    }

    /// From now on this process writes the file, or does not.
    pub fn keep(&self, keeps: bool) {
        *self.keeps.lock().unwrap_or_else(PoisonError::into_inner) = keeps;
    }
}

impl SnapshotCounts {
    /// Since the file was written; infinite when there is none.
    pub fn age_seconds(&self) -> f64 {
        match self.at_ms.load(Ordering::Relaxed) {
            0 => f64::INFINITY,
            at => sys::boottime_ms().saturating_sub(at) as f64 / 1000.0,
        }
    }

    /// A file of this age was written or read.
    pub fn done(&self, age: Duration, bytes: u64, took: Duration) {
        let at = sys::boottime_ms().saturating_sub(age.as_millis() as u64).max(1);
        self.at_ms.store(at, Ordering::Relaxed);
        self.bytes.store(bytes, Ordering::Relaxed);
        self.took_ns.store(took.as_nanos() as u64, Ordering::Relaxed); // 584 years
    }
}

/// The position in the log up to which the set has applied everything, as the thread that follows it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppliedPosition {
    /// The set's, when this was so.
    pub generation: u64,
    /// Every change up to here is applied.
    pub position: Position,
}

/// A pipe or a device would block the start or be written over, and a link lead to what is not this edge's. What others may
/// use is closed to them.
fn own_file(path: &Path) -> Result<(), StartFault> {
    let shown = path.display();
    let file = match own::read(path) {
        Ok(file) => file,
        Err(fault) if fault.kind() == ErrorKind::NotFound => return Ok(()),
        Err(fault) => {
            return Err(StartFault::with(format!("cannot use {shown}: {fault}: see --snapshot"), fault));
        }
    };
    if let Err(fault) = own::narrow(&file) {
        tracing::warn!(name: "snapshot_open_to_others", file = %shown, %fault, "others can use a file of this edge: chmod 600");
    }
    Ok(())
}

/// `FILE.ending`.
pub fn beside(path: &Path, ending: &str) -> PathBuf {
    proto::own::beside(path, &format!(".{ending}"))
}

/// Now, by the wall clock, in Unix milliseconds.
pub fn unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
