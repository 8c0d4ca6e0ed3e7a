//! Writes the file: beside the old one, synced, and put in its place in one step.

use crate::shared::Shared;
use crate::snapshot::{Snapshot, beside, unix_ms};
use crate::sys;
use hot::{Dump, EntryState};
use link::{Epoch, Seq};
use record::snapshot::{SnapshotHeader, SnapshotWriter};
use std::fs::{File, OpenOptions, remove_file, rename};
use std::io::{BufWriter, IntoInnerError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// How often it is looked whether there is something to write.
const LOOK: Duration = Duration::from_secs(1);
/// A set that changed is written so often; one that cannot be written is tried again so often.
const EVERY: Duration = Duration::from_secs(60);
/// A set that did not change is written so often: the file also says when it was last known to be current, and a start
/// without control goes by that.
const AT_LEAST_EVERY: Duration = Duration::from_secs(3600);
/// Files that are begun for an heir: of one that was overtaken, another one is.
const TRIES: usize = 3;
/// Bytes of one write.
const BUFFER: usize = 256 * 1024;

/// Whatever of a set makes two files of it differ.
#[derive(Debug, PartialEq, Eq)]
struct SnapshotContent {
    generation: u64,
    epoch: Option<Epoch>,
    applied: Seq,
    seen: Seq,
    completeness: u64,
    entries: usize,
    evictions: u64,
}

impl SnapshotContent {
    fn of(shared: &Shared) -> Self {
        let set = &shared.set;
        Self {
            generation: set.generation(),
            epoch: set.epoch(),
            applied: set.applied(),
            seen: set.seen(),
            completeness: set.completeness(),
            entries: set.entries(),
            evictions: set.evictions(),
        }
    }
}

/// When to write.
#[derive(Debug, Default)]
pub(super) struct WriteSchedule {
    /// The last attempt, and what the file holds since; `None`: not what it should.
    last: Option<(Instant, Option<SnapshotContent>)>,
    warned: bool,
}

impl WriteSchedule {
    /// The file holds what the set does.
    pub fn restored(shared: &Shared) -> Self {
        Self { last: Some((Instant::now(), Some(SnapshotContent::of(shared)))), warned: false }
    }

    /// Writes now and then, until the other end of `stopped` is gone.
    pub fn keep(&mut self, shared: &Shared, stopped: &Receiver<()>) {
        while stopped.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
            self.look(shared, false);
        }
    }

    /// Writes if it is time to; with `last` also what changed a moment ago.
    pub fn look(&mut self, shared: &Shared, last: bool) {
        let content = Some(SnapshotContent::of(shared));
        let due = self.last.as_ref().is_none_or(|(at, written)| match *written != content {
            true => last || at.elapsed() >= EVERY,
            false => at.elapsed() >= if last { EVERY } else { AT_LEAST_EVERY },
        });
        let Some(snapshot) = shared.snapshot.as_ref().filter(|_| due) else { return };
        let keeps = snapshot.keeps.lock().unwrap_or_else(PoisonError::into_inner);
        if !*keeps || !shared.feed.loaded.load(Ordering::Acquire) {
            return;
        }
        match write(snapshot, shared) {
            Ok(SnapshotOutcome::Whole) => (self.last, self.warned) = (Some((Instant::now(), content)), false),
            Ok(SnapshotOutcome::Overtaken) => {} // at the next look
            Err(fault) => {
                self.last = Some((Instant::now(), None));
                snapshot.counts.write_failures.fetch_add(1, Ordering::Relaxed);
                if !std::mem::replace(&mut self.warned, true) {
                    let file = snapshot.path.display();
                    tracing::warn!(name: "snapshot_not_written", %file, %fault, "the snapshot cannot be written; the one before it stays");
                }
            }
        }
    }
}

/// What became of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum SnapshotOutcome {
    Whole,
    /// The set began anew meanwhile, or goes on in another history: what was dumped belongs to neither.
    Overtaken,
}

/// Writes the file for the process that is going to take it over, now and on this thread. From here on this process writes
/// it no more, unless it is told to keep it.
///
/// # Errors
/// It cannot be written, or the set is being loaded anew.
pub fn write_for_heir(snapshot: &Snapshot, shared: &Shared) -> std::io::Result<()> {
    let mut keeps = snapshot.keeps.lock().unwrap_or_else(PoisonError::into_inner);
    for _ in 0..TRIES {
        if matches!(write(snapshot, shared)?, SnapshotOutcome::Whole) {
            *keeps = false;
            return Ok(());
        }
    }
    Err(std::io::Error::other("all links are being loaded anew"))
}

pub(super) fn write(snapshot: &Snapshot, shared: &Shared) -> std::io::Result<SnapshotOutcome> {
    let new = beside(&snapshot.path, "new");
    let written = write_to(&new, snapshot, shared);
    if !matches!(written, Ok(SnapshotOutcome::Whole)) {
        let _ = remove_file(&new); // a full disk gets its room back
    }
    written
}

fn write_to(new: &Path, snapshot: &Snapshot, shared: &Shared) -> std::io::Result<SnapshotOutcome> {
    let (began, set) = (Instant::now(), &shared.set);
    let standing = shared.feed.standing().map(|at| (at.generation, at.position));
    let Some(dump) = standing.and_then(|standing| Dump::begin(set, standing)) else {
        return Ok(SnapshotOutcome::Overtaken);
    };
    let stale_ms = set.freshness(sys::boottime_ms()).stale_ms();
    let fresh_at = stale_ms.map(|ms| unix_ms().saturating_sub_unsigned(ms));
    // Made anew: what another left there may be a link, a pipe that blocks, or open to others.
    let _ = remove_file(new);
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(new)?;
    let header = SnapshotHeader { position: dump.position, fresh_at };
    let mut writer = SnapshotWriter::new(BufWriter::with_capacity(BUFFER, file), &header)?;
    for domain in shared.domains.dump() {
        writer.domain(domain.id, domain.as_of, &domain.record);
    }
    let mut all = true;
    for shard in 0..set.shards() {
        set.dump(shard, |key, identity, as_of, found| match found {
            EntryState::Live(link) => writer.entry(key, as_of, identity, Some(&link)),
            EntryState::Deleted => writer.entry(key, as_of, identity, None),
            // Control is asked for it again: a newer program may understand it.
            EntryState::Quarantined | EntryState::Absent(_) => all = false,
        });
        writer.flush()?;
    }
    let Some(dumped) = dump.end(set, all) else { return Ok(SnapshotOutcome::Overtaken) };
    let (out, bytes) = writer.finish(dumped.seen, dumped.complete, shared.feed.proof())?;
    out.into_inner().map_err(IntoInnerError::into_error)?.sync_all()?;
    rename(new, &snapshot.path)?;
    File::open(proto::own::folder_of(&snapshot.path))?.sync_all()?;
    snapshot.counts.done(Duration::ZERO, bytes, began.elapsed());
    Ok(SnapshotOutcome::Whole)
}
