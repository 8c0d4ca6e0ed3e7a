//! One process of an edge goes on in the place of another, which runs: with its sockets, its links, its clicks and the keys of its
//! tickets, so that no visitor notices.
//!
//! ```text
//! heir   asks                                          by a socket file beside the snapshot
//! old    writes its snapshot, offers what it has       descriptors by SCM_RIGHTS
//! heir   loads the snapshot, follows the log, is ready
//! old    closes its companion                          if it has one: the control of `linkr up`
//! heir   opens its own
//! old    puts on disk the clicks it has gathered, says go
//! heir   is serving
//! old    has left: accepts no more, drains, says goodbye to control, ends
//! heir   accepts, gathers clicks, those that the old one still notes, too
//! ```
//!
//! Until the last word of the old process the heir has touched nothing that the old one needs, but for the companion, which the
//! old one opens again: whatever goes wrong before, the old one serves on.

mod companion;
mod give;
mod message;
mod take;

pub use companion::{Companion, CompanionOffer, SharedProcess};
pub use give::{Estate, EstateListeners, Giver};
pub use take::{Answer, Heir, Inheritance, ask};

use crate::snapshot::beside;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What both sides speak. Fields may be added to it; whatever else changes needs another number.
const PROTOCOL: u32 = 1;
/// From the question to the last word; with a companion, from the question until the heir is ready, and from there on.
const MOST: Duration = Duration::from_secs(60);

/// Where the process that runs is asked.
pub fn path(snapshot: &Path) -> PathBuf {
    beside(snapshot, "handover")
}

/// The user that this process runs as.
fn own_uid() -> std::io::Result<u32> {
    Ok(fs::metadata("/proc/self")?.uid())
}

/// The network that sockets of this process belong to.
fn own_network() -> Option<String> {
    Some(fs::read_link("/proc/self/ns/net").ok()?.to_string_lossy().into_owned())
}

/// For tests of what happens when a process is killed at a step: this thread goes no further than the one that is named. No
/// released program does.
fn step(name: &'static str) {
    if cfg!(debug_assertions) && std::env::var_os("HANDOVER_STOPS_AT").is_some_and(|at| at == name) {
        tracing::info!(name: "handover_stands", step = name, "the hand-over goes no further");
        loop {
            std::thread::park();
        }
    }
}
