//! `linkr backup` and `linkr restore`: copies of a store, each at one position that is said.

use crate::args::{Backup, StoreRestore};
use crate::fault::CommandFault;
use crate::{out, serve};
use control::StoreLocation;
use std::path::Path;
use store::{postgres, sqlite};

/// `linkr backup FILE`.
pub fn backup(args: &Backup) -> Result<(), CommandFault> {
    let file = args.file.display();
    tell_of_left(&args.file);
    let head = match serve::kept(&args.at)? {
        StoreLocation::Sqlite(store) => sqlite::backup(&store, &args.file).map_err(CommandFault::new)?,
        StoreLocation::Postgres(options) => {
            let dumped = postgres::dump(&options, &args.file).map_err(CommandFault::new)?;
            out::note(&format!("made by {}", dumped.command));
            dumped.head
        }
    };
    out::line(&format!("{file} holds everything up to revision {}", revision(head)))
}

/// `linkr restore FILE`.
pub fn restore(args: &StoreRestore) -> Result<(), CommandFault> {
    let store = match serve::kept(&args.at)? {
        StoreLocation::Sqlite(store) => store,
        StoreLocation::Postgres(options) => {
            return Err(CommandFault::new(postgres::how_to_restore(&options, &args.file)));
        }
    };
    if let Some(dir) = store.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        serve::directory(dir)?;
    }
    tell_of_left(&store.canonicalize().unwrap_or(store.clone()));
    let done = sqlite::restore(&args.file, &store, args.accept).map_err(CommandFault::new)?;
    let shown = store.display();
    out::line(&format!("{shown} holds everything up to revision {}", revision(done.head)))?;
    if let Some(kept) = done.kept {
        let (kept, log) = (kept.display(), format!("{}-wal", kept.display()));
        let log = if Path::new(&log).exists() { format!(", and its log {log}") } else { String::new() };
        out::line(&format!("what was there before is {kept}{log}"))?;
        if !log.is_empty() {
            out::line(&format!("to undo this: linkr restore --accept {kept}, which takes its log along"))?;
        }
    }
    out::line("its next start begins a new history there, and every edge that has seen more begins anew")
}

fn tell_of_left(to: &Path) {
    for left in store::left(to) {
        let left = left.display();
        out::note(&format!(
            "{left} was left by a linkr backup or restore that was killed: nothing needs it, remove it"
        ));
    }
}

/// As a write answers it, with the history beside it.
fn revision(head: link::Position) -> String {
    let history = format!("{}-{:08x}", head.epoch.counter, head.epoch.random);
    format!("{} (history {history}, change {})", link::Position::revision(head.epoch, head.seq), head.seq)
}
