//! The files of a store as they lie on disk: claimed by what they are, not by what they are called, and looked for again
//! before a write is acknowledged. Nothing in them is read here.

use super::identity::Identity;
use super::witness::{self, Witness};
use crate::model::StoreFault;
use proto::own::{self, beside, folder_of};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// In front of every file of SQLite.
const KIND: &[u8; 16] = b"SQLite format 3\0";
/// Behind the name of a store, that of its clicks.
pub(super) const CLICKS: &str = ".clicks";
/// The same of the keys of days.
pub(super) const DAY_KEYS: &str = ".clicks-keys";
/// Endings of the files beside a store.
const BESIDE: [&str; 10] = [
    ".lock",
    CLICKS,
    ".clicks-wal",
    ".clicks-shm",
    ".clicks-journal",
    DAY_KEYS,
    "-wal",
    "-shm",
    "-journal",
    ".room",
];
/// Where the first page of a file of SQLite has `PRAGMA user_version`, which holds the number of an opening.
const NONCE_AT: u64 = 60;

/// Why the file cannot be used, and how to mend it.
#[derive(Debug)]
pub struct OpenFault(String);

impl std::fmt::Display for OpenFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for OpenFault {}

impl OpenFault {
    pub(super) fn new(words: impl Into<String>) -> Self {
        Self(words.into())
    }
}

/// A file that this process alone has, until it is released or this is dropped.
#[derive(Debug)]
pub(super) struct ClaimedFile {
    /// As it was given: this has to lead to the file for as long as writes are acknowledged.
    given: PathBuf,
    /// Without symbolic links, as SQLite names the log.
    pub path: PathBuf,
    pub identity: Identity,
    log: OnceLock<(u64, u64)>,
    /// Of its name and of itself.
    locks: Mutex<Option<[Claim; 2]>>,
    /// What the first page names while writes are acknowledged; 0: nothing yet.
    nonce: AtomicU32,
    noted: Mutex<Witness>,
}

impl ClaimedFile {
    /// Makes the file if there is none, and claims it: under its name, so that two starts do not make it twice, and
    /// itself, which has other names where there are links.
    pub fn new(given: &Path) -> Result<Self, OpenFault> {
        let failed = |e: &dyn std::fmt::Display| {
            OpenFault::new(format!("cannot use the store {}: {e}", given.display()))
        };
        regular(given).map_err(|why| failed(&why))?;
        if !given.exists() {
            make(given).map_err(|e| failed(&e))?;
        }
        let path = given.canonicalize().map_err(|e| failed(&e))?;
        companions(&path).map_err(|why| failed(&why))?;
        let lock = beside(&path, ".lock");
        let named = claim(&lock, given)?;
        own::theirs(&named.metadata().map_err(|e| failed(&e))?, &lock).map_err(|e| failed(&e))?;
        // Not before the name is claimed: to close a file takes away the locks that SQLite has on it in this process.
        let itself = claim(&path, given)?;
        narrow(&lock, &named);
        if is_database(&itself).map_err(|e| failed(&e))? {
            narrow(&path, &itself); // what is none may be anybody's, and is refused
        }
        for ending in ["-wal", "-shm", CLICKS, ".clicks-wal", ".clicks-shm", DAY_KEYS] {
            let file = beside(&path, ending);
            // Not without need: a file that is closed takes away the locks that SQLite has on it in this process.
            let wide = std::fs::symlink_metadata(&file).is_ok_and(|there| there.mode() & 0o077 != 0);
            if let Some(Ok(open)) = wide.then(|| own::shared(&file, File::options().read(true))) {
                narrow(&file, &open);
            }
        }
        let identity = Identity::of(&itself.metadata().map_err(|e| failed(&e))?);
        let log = OnceLock::new();
        let locks = Mutex::new(Some([named, itself]));
        let (nonce, noted) = (AtomicU32::new(0), Mutex::default());
        Ok(Self { given: given.to_owned(), path, identity, log, locks, nonce, noted })
    }

    /// The log beside it is the one that is open: from now on it is looked for, too.
    pub fn log_is_open(&self) -> std::io::Result<()> {
        let log = std::fs::metadata(beside(&self.path, "-wal"))?;
        let _ = self.log.set((log.dev(), log.ino())); // it is set once, by whoever opened it
        Ok(())
    }

    /// Notes beside the store what is known of this opening, so that an older file in its place is known as one.
    pub fn note(&self, change: impl FnOnce(&mut Witness)) -> std::io::Result<()> {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut noted);
        match self.held().as_ref() {
            Some([named, itself]) => {
                noted.written = witness::written(&itself.metadata()?);
                noted.note(named)
            }
            None => Ok(()),
        }
    }

    /// What was noted outlives a power cut. Between a start and a stop it need not: an older note says less, and all of it
    /// is true.
    pub fn note_is_kept(&self) -> std::io::Result<()> {
        self.held().as_ref().map_or(Ok(()), |[named, _]| named.sync_all())
    }

    /// From now on the file has to name this opening. `false`: it does not.
    pub fn names(&self, nonce: u32) -> bool {
        self.nonce.store(nonce, Ordering::Relaxed);
        self.is_named()
    }

    fn is_named(&self) -> bool {
        let nonce = self.nonce.load(Ordering::Relaxed);
        let mut there = [0; 4];
        let read = self.held().as_ref().map(|[_, itself]| itself.read_exact_at(&mut there, NONCE_AT));
        match read {
            Some(read) => nonce == 0 || read.is_ok() && u32::from_be_bytes(there) == nonce,
            None => true, // it is released
        }
    }

    fn held(&self) -> MutexGuard<'_, Option<[Claim; 2]>> {
        self.locks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another process may have it. Everything that was open in it is closed before.
    pub fn release(&self) {
        self.held().take();
    }

    /// Whether the names still lead to the files that are open. What is written into others is gone with this process.
    pub fn check(&self) -> Result<(), StoreFault> {
        let itself = (self.identity.device, self.identity.inode);
        look(&self.given, itself)?;
        self.log.get().map_or(Ok(()), |&log| look(&beside(&self.path, "-wal"), log))?;
        if self.is_named() {
            return Ok(());
        }
        Err(StoreFault::Unavailable(format!(
            "{} was overwritten by another program while it is open, and what is written would be lost: stop linkr, and \
             put a backup in its place with linkr restore",
            self.given.display()
        )))
    }
}

/// Whether a name still leads to the file that is open: its device and inode.
pub(super) fn look(path: &Path, open: (u64, u64)) -> Result<(), StoreFault> {
    let there = match std::fs::metadata(path) {
        Ok(file) if (file.dev(), file.ino()) == open => return Ok(()),
        Ok(_) => "is another file now than the one that is open".to_owned(),
        Err(e) if e.kind() == ErrorKind::NotFound => "is gone from its place".to_owned(),
        Err(e) => format!("cannot be looked at: {e}"),
    };
    Err(StoreFault::Unavailable(format!(
        "{} {there}, and what is written would be lost with this process: stop linkr, and put the file back or restore a \
         backup",
        path.display()
    )))
}

/// Keeps every linkr away from a store that is to be replaced, which need not be there.
pub(super) fn held(given: &Path) -> Result<[Option<Claim>; 2], OpenFault> {
    let failed =
        |e: &dyn std::fmt::Display| OpenFault::new(format!("cannot use the store {}: {e}", given.display()));
    regular(given).map_err(|why| failed(&why))?;
    if !given.exists() {
        companions(given).map_err(|why| failed(&why))?;
        return Ok([Some(claim(&beside(given, ".lock"), given)?), None]);
    }
    let path = given.canonicalize().map_err(|e| failed(&e))?;
    companions(&path).map_err(|why| failed(&why))?;
    Ok([Some(claim(&beside(&path, ".lock"), given)?), Some(claim(&path, given)?)])
}

/// A file that this process has locked, or may lock.
#[derive(Debug)]
pub(super) struct Claim(File);

impl Claim {
    /// On a file that is not locked yet.
    pub(super) fn free(file: File) -> Self {
        Self(file)
    }
}

impl std::ops::Deref for Claim {
    type Target = File;

    fn deref(&self) -> &File {
        &self.0
    }
}

impl Drop for Claim {
    /// Not left to the close: a child that another thread is just starting holds the file open until it runs its program.
    fn drop(&mut self) {
        let _ = self.0.unlock(); // then the close does it
    }
}

/// Makes the file if there is none, and locks it.
fn claim(file: &Path, store: &Path) -> Result<Claim, OpenFault> {
    let failed = |e: &dyn std::fmt::Display| {
        OpenFault::new(format!("cannot lock the store {} with {}: {e}", store.display(), file.display()))
    };
    let open = private(file).map_err(|e| failed(&e))?;
    match open.try_lock() {
        Ok(()) => Ok(Claim(open)),
        Err(TryLockError::WouldBlock) => Err(in_use(store)),
        Err(TryLockError::Error(e)) => Err(failed(&e)),
    }
}

fn in_use(path: &Path) -> OpenFault {
    OpenFault::new(format!(
        "the store {} is in use by another linkr, perhaps under another name: stop that one, or give this one another \
         store; where it is a linkr backup that reads it, wait for its end",
        path.display()
    ))
}

/// A pipe would block who opens it, and a device is no place for links. Nothing there is good, too. An operator may keep the
/// store elsewhere, behind a link; one that somebody else made is none of his.
pub(super) fn regular(path: &Path) -> Result<(), String> {
    let there = match std::fs::symlink_metadata(path) {
        Ok(there) if there.is_symlink() => {
            own::theirs(&there, path).map_err(|why| format!("{why}, and is a symbolic link"))?;
            std::fs::metadata(path)
        }
        there => there,
    };
    match there {
        Ok(file) => own::regular(file.file_type()).map_err(|why| why.to_string()),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e.to_string()),
    }
}

/// What lies beside a store is SQLite's or linkr's own: no link is followed there.
pub(super) fn companions(path: &Path) -> Result<(), String> {
    for file in BESIDE.map(|ending| beside(path, ending)) {
        own::look(&file).map_err(|why| format!("{}: {why}: remove it", file.display()))?;
    }
    Ok(())
}

/// Why a file may not get this name: SQLite or linkr would take it for their own beside a store, and write over it.
pub(super) fn companion_of(to: &Path) -> Option<String> {
    let name = to.as_os_str().to_str()?;
    let store = BESIDE.iter().find_map(|ending| name.strip_suffix(ending))?;
    Path::new(store).exists().then(|| {
        format!("{name} would lie beside the store {store} under a name that is the store's own: give another name")
    })
}

fn options() -> OpenOptions {
    let mut how = File::options();
    how.create(true).read(true).write(true).truncate(false).mode(own::MODE);
    how
}

/// Makes the store for its owner alone; where it is a link, there.
fn make(given: &Path) -> std::io::Result<()> {
    owned_as(&options().open(given)?, folder_of(given))
}

/// Opens a file of its own to be written, made for its owner alone.
pub(super) fn private(path: &Path) -> std::io::Result<File> {
    let is_new = !path.exists();
    let file = own::shared(path, &mut options())?;
    if is_new {
        owned_as(&file, folder_of(path))?;
    }
    Ok(file)
}

/// What root makes belongs to whoever runs linkr there: to the owner of what is given.
pub(super) fn owned_as(file: &File, there: &Path) -> std::io::Result<()> {
    let (made, there) = (file.metadata()?, std::fs::metadata(there)?);
    if made.uid() != 0 || there.uid() == 0 {
        return Ok(());
    }
    std::os::unix::fs::fchown(file, Some(there.uid()), Some(there.gid()))
}

fn is_database(file: &File) -> std::io::Result<bool> {
    let mut front = [0; KIND.len()];
    match file.read_exact_at(&mut front, 0) {
        Ok(()) => Ok(&front == KIND),
        Err(e) if e.kind() == ErrorKind::UnexpectedEof => Ok(file.metadata()?.len() == 0),
        Err(e) => Err(e),
    }
}

/// Files that others could read or write are closed to them: the store holds hashes of keys and targets nobody has
/// published.
fn narrow(path: &Path, open: &File) {
    let file = path.display();
    match own::narrow(open) {
        Ok(None) => {}
        Ok(Some(was)) => {
            let was = format!("{was:o}");
            tracing::warn!(
                name: "store_narrowed", %file, was,
                "others could use this file of the store: it is its owner's alone now"
            );
        }
        Err(fault) => {
            tracing::warn!(name: "store_open_to_others", %file, %fault, "others can use this file of the store: chmod 600");
        }
    }
}
