//! `linkr backup` and `linkr restore` of a file. Every copy is looked through before anybody may rely on it, and gets its
//! name when it is whole and on disk.

use super::file::{Claim, companion_of, companions, held, owned_as, regular};
use super::identity::Identity;
use super::judge::{self, FileJudgement, KEPT};
use super::mark::{self, WalState};
use super::witness::WitnessNote;
use super::{check, clicks, connect, fault, foreign};
use crate::model::StoreFault;
use crate::unfinished_file::UnfinishedFile;
use link::{Position, Seq};
use proto::own::{beside, folder_of};
use rusqlite::{Connection, OptionalExtension};
use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The result of a restore.
#[derive(Debug)]
pub struct RestoreReport {
    /// Where the log ends.
    pub head: Position,
    /// The store that was there before.
    pub kept: Option<PathBuf>,
}

/// Copies the store, while a linkr runs on it or not, into a file that is not there yet, and its clicks into one beside that.
/// Says where its log ends.
///
/// # Errors
/// What to do about it, in one line.
pub fn backup(store: &Path, to: &Path) -> Result<Position, String> {
    let (shown, shown_to) = (store.display(), to.display());
    if store.metadata().is_err_and(|e| e.kind() == ErrorKind::NotFound) {
        return Err(format!("there is no store {shown}: see --data-dir and --store"));
    }
    let cannot = |e: &dyn std::fmt::Display| format!("cannot read the store {shown}: {e}");
    regular(store).map_err(|why| cannot(&why))?;
    if to.symlink_metadata().is_ok() {
        return Err(format!("{shown_to} is there already, and a backup replaces nothing: give another name"));
    }
    companion_of(to).map_or(Ok(()), Err)?;
    let path = store.canonicalize().map_err(|e| cannot(&e))?;
    companions(&path).map_err(|why| cannot(&why))?;
    let file = Claim::free(File::open(&path).map_err(|e| cannot(&e))?); // dropped behind every connection: see `fcntl_locking(2)`
    let there = may_be_read(store, &path, &file)?;
    let writing = |e: &dyn std::fmt::Display| format!("cannot write {shown_to}: {e}");
    let clicks = clicks::copy(&path, to, there.alone)?; // before the links
    let new = UnfinishedFile::new(to).map_err(|e| writing(&e))?;
    let name = new.path().to_str().ok_or_else(|| writing(&"its name is not UTF-8"))?;
    let source = match there.alone {
        true => connect::without_log(&path), // also where nothing can be written beside it
        false => connect::reader(&path),
    };
    let source = source.map_err(|e| unread(store, &e))?;
    source.execute("VACUUM INTO ?1", [name]).map_err(|e| match fault(&e) {
        StoreFault::Full => format!("cannot write {shown_to}: {}", StoreFault::Full),
        _ => unread(store, &e),
    })?;
    let head = finish(new.path(), &path)?;
    if head.seq < there.least {
        return Err(format!("{}; {}", judge::older(store, head.seq, there.least), judge::way_out(store)));
    }
    let clicks = clicks.map(clicks::ClicksCopy::becomes).transpose().map_err(|e| writing(&e))?;
    if let Err(e) = new.becomes(to) {
        let _ = clicks.map(fs::remove_file); // a copy of clicks alone is of no use
        return Err(writing(&e));
    }
    Ok(head)
}

/// The terms on which a store may be read.
#[derive(Default)]
struct ReadTerms {
    /// The change that the store has to end with at least.
    least: Seq,
    /// The store was closed, and its log is in the file.
    alone: bool,
}

/// The way in which a store may be copied, whether a linkr has it open or left it behind; or why it may not.
fn may_be_read(store: &Path, path: &Path, file: &File) -> Result<ReadTerms, String> {
    let shown = store.display();
    let cannot = |e: &dyn std::fmt::Display| format!("cannot read the store {shown}: {e}");
    let now = Identity::of(&file.metadata().map_err(|e| cannot(&e))?);
    let in_use = match file.try_lock_shared() {
        Ok(()) => false,
        Err(TryLockError::WouldBlock) => true,
        Err(TryLockError::Error(e)) => return Err(cannot(&e)),
    };
    if in_use {
        return match mark::of(path) {
            Ok(mark) if mark.as_ref().is_none_or(|mark| mark.is_open_as(&now)) => Ok(ReadTerms::default()),
            _ => Err(format!("{shown} is being opened or closed by a linkr: try again in a moment")),
        };
    }
    let noted = WitnessNote::of(path); // before SQLite looks at the log
    let log = mark::log_of(path).map_err(|e| cannot(&e))?;
    if let Some(why) = noted.as_ref().and_then(|noted| noted.is_cut_short(log)) {
        return Err(judge::lacks(store, &why));
    }
    if let Some(why) = foreign::beside_it(path, log, noted.as_ref()) {
        return Err(why);
    }
    connect::roll_back(path).map_err(|e| unread(store, &e))?;
    let Some(mark) = mark::of(path).map_err(|e| unread(store, &e))? else { return Ok(ReadTerms::default()) };
    let least = match (mark.is_closed(), noted.as_ref()) {
        (false, Some(noted)) => noted.witness.seq,
        _ => 0, // closed: somebody may have put it back
    };
    // The copy is looked through anyway.
    match judge::judge(store, &mark, &now, log, noted.as_ref()) {
        FileJudgement::Good | FileJudgement::Moved(_) | FileJudgement::Cut(_) => {
            Ok(ReadTerms { least, alone: mark.is_closed() && log == WalState::Missing })
        }
        FileJudgement::Refused(why) => Err(why),
    }
}

/// Puts a file in the place of a store that no linkr runs on, and keeps the one that was there. `accept`: the file need
/// not be a backup; it is taken for what it holds, with the write-ahead log beside it.
///
/// # Errors
/// What to do about it, in one line. The store is as it was.
pub fn restore(from: &Path, store: &Path, accept: bool) -> Result<RestoreReport, String> {
    let (shown, target) = (from.display(), store.display());
    let cannot = |e: &dyn std::fmt::Display| format!("cannot read {shown}: {e}");
    if !from.exists() {
        return Err(format!("there is no {shown}"));
    }
    regular(from).map_err(|why| cannot(&why))?;
    companion_of(store).map_or(Ok(()), Err)?;
    if let (Ok(to), false) = (store.read_link(), store.exists()) {
        return Err(format!(
            "{target} is a link to {}, which is not there: mount what that lies on, or remove the link",
            to.display()
        ));
    }
    let _held = held(store).map_err(|fault| fault.to_string())?;
    let from = from.canonicalize().map_err(|e| cannot(&e))?;
    companions(&from).map_err(|why| cannot(&why))?;
    let store = if store.exists() { store.canonicalize().map_err(|e| cannot(&e))? } else { store.to_owned() };
    let file = Claim::free(File::open(&from).map_err(|e| cannot(&e))?);
    if from != store && matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)) {
        return Err(format!("{shown} is open in a running linkr: take a copy of it with linkr backup"));
    }
    let log = mark::log_of(&from).map_err(|e| cannot(&e))?;
    if let Some(why) = foreign::beside_it(&from, log, WitnessNote::of(&from).as_ref())
        .or_else(|| foreign::journal(&store, WitnessNote::of(&store).as_ref()))
    {
        return Err(why);
    }
    let writing = |e: &dyn std::fmt::Display| format!("cannot write {target}: {e}");
    let new = UnfinishedFile::new(&store).map_err(|e| writing(&e))?;
    fs::copy(&from, new.path()).map_err(|e| writing(&e))?;
    if beside(&from, "-journal").exists() {
        fs::copy(beside(&from, "-journal"), beside(new.path(), "-journal")).map_err(|e| writing(&e))?;
    }
    let logged = log == WalState::Holds;
    if logged {
        fs::copy(beside(&from, "-wal"), beside(new.path(), "-wal")).map_err(|e| writing(&e))?;
    }
    // What is taken for what it holds is looked through, whatever it says of itself.
    if !accept && (logged || !is_closed(new.path()).map_err(|e| unread(&from, &e))?) {
        return Err(format!(
            "{shown} is no backup but a copy of a store that was open, which may lack writes that were acknowledged: \
             linkr restore --accept {shown} takes it for what it holds, after a check"
        ));
    }
    if log == WalState::Missing
        && file.metadata().is_ok_and(|file| file.nlink() > 1)
        && !is_closed(new.path()).map_err(|e| unread(&from, &e))?
    {
        return Err(format!(
            "{shown} was open when its linkr ended, and has another name: its log may lie beside that, and would be missed; \
             take that name, or a copy of this file"
        ));
    }
    let head = finish(new.path(), &from).map_err(|why| match logged {
        true => format!(
            "{why}; without {shown}-wal it may be whole, at an earlier moment: move that away and try again"
        ),
        false => why,
    })?;
    let owner = if store.exists() { store.as_path() } else { folder_of(&store) };
    let clicks = clicks::put_back(&from, &store)?;
    for file in [Some(&new), clicks.as_ref().map(|clicks| &clicks.new)].into_iter().flatten() {
        File::open(file.path()).and_then(|file| owned_as(&file, owner)).map_err(|e| writing(&e))?;
        file.settle().map_err(|e| writing(&e))?;
    }
    let aside = aside(&store);
    let kept = keep(&store, &aside).map_err(|e| writing(&e))?;
    clicks::keep(&store, &aside).map_err(|e| writing(&e))?; // also where there is no store that they belong to
    // Clicks that are older than their links are refilled by the edges; the other way round uids would be given twice.
    clicks.map(clicks::ClicksCopy::becomes).transpose().map_err(|e| writing(&e))?;
    new.becomes(&store).map_err(|e| writing(&e))?;
    Ok(RestoreReport { head, kept })
}

fn is_closed(path: &Path) -> rusqlite::Result<bool> {
    connect::roll_back(path)?;
    Ok(mark::of(path)?.is_none_or(|mark| mark.is_closed()))
}

/// Looks a copy through, and marks it as one that may be opened wherever it is put.
fn finish(copy: &Path, of: &Path) -> Result<Position, String> {
    let damaged =
        |why: &dyn std::fmt::Display| format!("{} is damaged or of different moments: {why}", of.display());
    // The disk, and whatever else keeps a copy from being written, says nothing about what is copied.
    let wrong = |fault: StoreFault| match fault {
        StoreFault::Corrupt(why) => damaged(&why),
        fault => format!("cannot write a copy of {} as {}: {fault}", of.display(), copy.display()),
    };
    let failed = |e: rusqlite::Error| match e.sqlite_error_code() {
        Some(rusqlite::ErrorCode::NotADatabase) => no_store(of),
        _ => wrong(fault(&e)),
    };
    let db = Connection::open(copy).map_err(failed)?;
    db.pragma_update(None, "journal_mode", "delete").map_err(failed)?; // what is in a log goes into the file
    let has = |table: &str| {
        db.query_row("SELECT 1 FROM sqlite_schema WHERE name = ?1", [table], |_| Ok(())).optional()
    };
    if has("log_head").map_err(failed)?.is_none() {
        return Err(no_store(of));
    }
    let head = check::whole(&db).map_err(wrong)?.map_err(|why| damaged(&why))?;
    if has("opened").map_err(failed)?.is_some() {
        mark::release(&db).map_err(wrong)?;
    }
    db.close().map_err(|(_, e)| failed(e))?;
    Ok(head)
}

fn no_store(file: &Path) -> String {
    format!("{} is no store of linkr, and no backup of one", file.display())
}

/// Why a file cannot be read: what is no database at all is not a damaged one.
fn unread(file: &Path, e: &rusqlite::Error) -> String {
    match e.sqlite_error_code() {
        Some(rusqlite::ErrorCode::NotADatabase) => no_store(file),
        Some(rusqlite::ErrorCode::CannotOpen | rusqlite::ErrorCode::ReadOnly) => format!(
            "cannot read {}: {e}; SQLite writes beside what it reads: the folder has to be writable",
            file.display()
        ),
        _ => format!("cannot read {}: {e}", file.display()),
    }
}

/// What is there gets another name, with all that belongs to it: a journal that stayed would be rolled back into the new
/// one. The store has its name until the new one takes it: nobody who starts in between finds nothing, and begins anew
/// without a word.
fn keep(store: &Path, kept: &Path) -> std::io::Result<Option<PathBuf>> {
    if !store.exists() {
        return Ok(None);
    }
    let _ = connect::roll_back(store); // one that is too damaged for that keeps its journal
    fs::hard_link(store, kept)?;
    for ending in ["-journal", "-wal", "-shm"] {
        match fs::rename(beside(store, ending), beside(kept, ending)) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
    }
    Ok(Some(kept.to_owned()))
}

/// The name that a store gets which is kept.
fn aside(store: &Path) -> PathBuf {
    let now = crate::wire::timestamp(crate::clock::unix_ms()).to_string().replace([':', '.'], "-");
    beside(store, &format!("{KEPT}{now}"))
}
