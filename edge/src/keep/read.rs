//! Reads the file at the start. What cannot be believed is put aside, and the edge begins with nothing.

use crate::records;
use crate::shared::Shared;
use crate::snapshot::{AppliedPosition, Snapshot, beside, unix_ms};
use crate::sys;
use hot::{Restoration, StoredValue};
use link::{DomainId, Key, Position};
use record::snapshot::{Section, SnapshotEntry, SnapshotFault, SnapshotReader, verify};
use std::fs::{File, Metadata, rename};
use std::io::{BufReader, ErrorKind, Seek};
use std::sync::atomic::Ordering;
use std::time::Instant;

/// Ends of a process while the file was being loaded, after which it is not loaded any more.
const MAX_ENDS: u32 = 2;
/// Bytes of one read.
const BUFFER: usize = 256 * 1024;

/// Where an edge stands that was read from its file.
#[derive(Clone, Copy, Debug)]
pub struct LoadedSnapshot {
    /// The last change that is applied.
    pub position: Position,
    /// Whether every link is in the set.
    pub complete: bool,
}

/// Reads the file into the set, before any other thread uses that. `None`: there is none that can be used, and this edge
/// begins with nothing.
pub fn restore(snapshot: &Snapshot, shared: &Shared) -> Option<LoadedSnapshot> {
    let (path, began) = (&snapshot.path, Instant::now());
    let file = match proto::own::read(path) {
        Err(fault) if fault.kind() == ErrorKind::NotFound => {
            snapshot.note.loaded();
            return None;
        }
        file => file,
    };
    let ends = snapshot.note.loading();
    let restored = match file {
        Ok(_) if ends >= MAX_ENDS => Err(format!("{ends} processes ended while they loaded it")),
        Ok(file) => load(&file, shared).map_err(|fault| fault.to_string()),
        Err(fault) => Err(fault.to_string()),
    };
    snapshot.note.loaded();
    match restored {
        Ok((restored, file)) => {
            let age = file.modified().ok().and_then(|at| at.elapsed().ok()).unwrap_or_default();
            snapshot.counts.done(age, file.len(), began.elapsed());
            let took_ms = began.elapsed().as_millis() as u64;
            let (entries, seq, complete) = (shared.set.entries(), restored.position.seq, restored.complete);
            tracing::info!(
                name: "snapshot_restored", entries, seq, complete, took_ms, "the edge begins with its snapshot"
            );
            Some(restored)
        }
        Err(why) => {
            snapshot.counts.load_failures.fetch_add(1, Ordering::Relaxed);
            let kept = beside(path, "bad");
            let kept = if rename(path, &kept).is_ok() { kept } else { path.clone() };
            let kept = kept.display();
            tracing::warn!(
                name: "snapshot_unusable", %why, %kept,
                "the snapshot is not used: all links come from control, and until then this edge is not ready; \
                 the file is kept for whoever wants to know, and may be deleted"
            );
            None
        }
    }
}

/// First the whole file is checked, then its entries are taken.
fn load(mut file: &File, shared: &Shared) -> Result<(LoadedSnapshot, Metadata), SnapshotFault> {
    let (header, footer) = verify(BufReader::with_capacity(BUFFER, file))?;
    file.rewind()?;
    let (set, position) = (&shared.set, header.position);
    set.restore(position, footer.seen);
    let mut complete = footer.complete;
    let mut reader = SnapshotReader::new(BufReader::with_capacity(BUFFER, file))?;
    let (mut domains, mut links) = (Vec::new(), set.restoration());
    loop {
        match reader.part()? {
            Section::End(_) => break,
            Section::Entries(entries) => {
                for entry in entries {
                    let entry = entry?;
                    if DomainId::of_entry(entry.key).is_some() {
                        domains.extend(records::domain(shared, entry.key, entry.record, entry.as_of));
                    } else {
                        complete &= put_back(&entry, &mut links);
                    }
                }
            }
        }
    }
    drop(links);
    shared.domains.replace(position.seq, domains);
    complete &= set.evictions() == 0; // the budget was larger when it was written
    if let Some(fresh_at) = header.fresh_at {
        let age_ms = unix_ms().saturating_sub(fresh_at).max(0).unsigned_abs();
        set.stale_since(sys::boottime_ms(), age_ms);
    }
    if complete {
        set.set_complete();
    }
    shared.feed.keep_proof(footer.proof);
    shared.feed.stands_at(AppliedPosition { generation: set.generation(), position });
    shared.feed.loaded.store(true, Ordering::Release);
    Ok((LoadedSnapshot { position, complete }, file.metadata()?))
}

/// `false`: this version does not understand it, and has to ask for it.
fn put_back(entry: &SnapshotEntry<'_>, links: &mut Restoration<'_>) -> bool {
    let stored = StoredValue::of(records::decode(entry.record), entry.as_of);
    match stored {
        Some((stored @ (StoredValue::Live { .. } | StoredValue::Deleted), version))
            if Key::from_bytes(entry.key).is_ok() =>
        {
            links.put_back(entry.key, version, entry.as_of, &stored);
            true
        }
        _ => false,
    }
}
