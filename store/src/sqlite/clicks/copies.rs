//! The clicks in a backup and a restore: a file of their own beside the copy. They are copied before the links are, so that no
//! click in a copy is on a link that the copy lacks: its uid would be given to another link.

use super::super::connect;
use super::super::fault;
use super::super::file::CLICKS;
use crate::model::StoreFault;
use crate::unfinished_file::UnfinishedFile;
use proto::own::beside;
use rusqlite::Connection;
use std::fs;
use std::path::{Path, PathBuf};

/// Faults of a damaged copy that are named.
const NAMED: u32 = 3;
/// The files of SQLite beside one.
const LOGS: [&str; 3] = ["-journal", "-wal", "-shm"];

/// Clicks that are copied, and have not their name yet.
pub(in super::super) struct ClicksCopy {
    pub new: UnfinishedFile,
    to: PathBuf,
}

impl ClicksCopy {
    /// They get their name; where that is.
    pub fn becomes(self) -> std::io::Result<PathBuf> {
        self.new.becomes(&self.to)?;
        Ok(self.to)
    }
}

/// Copies the clicks of a store, if it has any, to lie beside a copy of it. `alone`: no linkr has the store, and it was closed.
pub(in super::super) fn copy(store: &Path, to: &Path, alone: bool) -> Result<Option<ClicksCopy>, String> {
    let (path, to) = (beside(store, CLICKS), beside(to, CLICKS));
    if !path.exists() {
        return Ok(None);
    }
    let (shown, shown_to) = (path.display(), to.display());
    if to.symlink_metadata().is_ok() {
        return Err(format!("{shown_to} is there already, and a backup replaces nothing: give another name"));
    }
    let cannot = |e: &rusqlite::Error| match fault(e) {
        StoreFault::Full => format!("cannot write {shown_to}: {}", StoreFault::Full),
        fault => format!("cannot copy {shown} to {shown_to}: {fault}"),
    };
    let new = UnfinishedFile::new(&to).map_err(|e| format!("cannot write {shown_to}: {e}"))?;
    let name =
        new.path().to_str().ok_or_else(|| format!("cannot write {shown_to}: its name is not UTF-8"))?;
    let source = match alone && !beside(&path, "-wal").exists() {
        true => connect::without_log(&path), // also where nothing can be written beside it
        false => connect::reader(&path),
    };
    let source = source.map_err(|e| cannot(&e))?;
    source.execute("VACUUM INTO ?1", [name]).map_err(|e| cannot(&e))?;
    check(new.path()).map_err(|why| format!("{shown} is damaged: {why}"))?;
    Ok(Some(ClicksCopy { new, to }))
}

/// Copies the clicks that lie beside a copy, to be put into the place of those beside the store.
pub(in super::super) fn put_back(from: &Path, store: &Path) -> Result<Option<ClicksCopy>, String> {
    let (from, to) = (beside(from, CLICKS), beside(store, CLICKS));
    if !from.exists() {
        return Ok(None);
    }
    let (shown, shown_to) = (from.display(), to.display());
    let writing = |e: &std::io::Error| format!("cannot write {shown_to}: {e}");
    let new = UnfinishedFile::new(&to).map_err(|e| writing(&e))?;
    fs::copy(&from, new.path()).map_err(|e| writing(&e))?;
    for ending in ["-journal", "-wal"] {
        if beside(&from, ending).exists() {
            fs::copy(beside(&from, ending), beside(new.path(), ending)).map_err(|e| writing(&e))?;
        }
    }
    check(new.path()).map_err(|why| format!("{shown} cannot be put back: {why}"))?;
    Ok(Some(ClicksCopy { new, to }))
}

/// Gives the clicks of a store that is kept under another name that name, with all that belongs to them.
pub(in super::super) fn keep(store: &Path, kept: &Path) -> std::io::Result<()> {
    let (store, kept) = (beside(store, CLICKS), beside(kept, CLICKS));
    for ending in LOGS.into_iter().chain([""]) {
        match fs::rename(beside(&store, ending), beside(&kept, ending)) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
    }
    Ok(())
}

/// Looks a copy through, and brings what is in a log into it.
fn check(copy: &Path) -> Result<(), String> {
    let look = || {
        let db = Connection::open(copy)?;
        db.pragma_update(None, "journal_mode", "delete")?;
        db.query_row("SELECT next_click FROM clicks_of", [], |row| row.get::<_, i64>(0))?;
        let found = db
            .prepare(&format!("PRAGMA quick_check({NAMED})"))?
            .query_map([], |row| row.get(0))?
            .collect::<rusqlite::Result<Vec<String>>>();
        db.close().map_err(|(_, e)| e)?;
        found
    };
    let found = look().map_err(|e: rusqlite::Error| e.to_string())?;
    if found == ["ok"] { Ok(()) } else { Err(found.join("; ").replace('\n', " ")) }
}
