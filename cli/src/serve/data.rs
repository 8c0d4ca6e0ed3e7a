//! Where the store lies on disk, and the lock that keeps a second process away from its directory.

use crate::args::{CopiedStore, FIRST_KEY, StoreArgs};
use crate::fault::CommandFault;
use crate::secret;
use control::{StoreLocation, keys};
use proto::own;
use std::fs::{DirBuilder, File, TryLockError};
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use store::port::Repository;
use store::postgres::Options;

/// A data directory, made for this user alone.
pub fn directory(dir: &Path) -> Result<(), CommandFault> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|fault| {
        CommandFault::new(format_args!(
            "cannot make the data directory {}: {fault}: see --data-dir",
            dir.display()
        ))
    })
}

/// The key of clients on this machine, if it can be read.
pub fn own_key(dir: &Path) -> Option<String> {
    let text =
        own::read(&dir.join(FIRST_KEY)).and_then(proto::file::all_of).and_then(proto::file::SmallFile::text);
    text.ok().map(|text| text.trim().to_owned())
}

/// Where the first key is, if a client has to be told.
pub fn key_file(dir: &Path) -> Option<PathBuf> {
    let usual = ["linkr-data", "./linkr-data"].iter().any(|usual| dir == Path::new(usual));
    (!usual).then(|| dir.join(FIRST_KEY))
}

/// Closes a file to all but its owner, or tells why not.
fn narrow(path: &Path, file: &File) {
    if let Err(fault) = own::narrow(file) {
        crate::out::note(&format!("others can use {}: {fault}", path.display()));
    }
}

/// Nothing that lies in the place of a file of linkr's is used, nor what a link there leads to.
fn unusable(file: &Path, why: &std::io::Error) -> CommandFault {
    CommandFault::new(format_args!("cannot use {}: {why}: move it away, linkr makes another", file.display()))
}

/// The first start makes a key that allows everything but to be an edge, for clients on this machine. A later one makes
/// another if the file is gone, or is that of another store; not in the place of one that somebody revoked.
pub fn first_key(dir: &Path, store: &dyn Repository) -> Result<(), CommandFault> {
    let file = dir.join(FIRST_KEY);
    match own::read(&file) {
        Ok(open) => {
            narrow(&file, &open);
            let text = proto::file::all_of(open).and_then(proto::file::SmallFile::text);
            let text = text.map_err(|why| unusable(&file, &why))?;
            if let Some(secret) = keys::Secret::parse(text.trim()) {
                let known = store.key_rows().key(&secret.id()).map_err(CommandFault::new)?;
                if let Some(row) = known.filter(|row| row.hash == secret.hash()) {
                    if row.revoke_time.is_some() {
                        tracing::warn!(
                            name: "first_key_revoked", file = %file.display(),
                            "the key in this file was revoked and opens nothing: remove the file, and the next start makes another"
                        );
                    }
                    return Ok(());
                }
            }
        }
        Err(fault) if fault.kind() == ErrorKind::NotFound => {}
        Err(why) => return Err(unusable(&file, &why)),
    }
    match keys::mint(store, keys::KeyDraft::admin()) {
        Ok(secret) => crate::certs::write(&file, &format!("{}\n", secret.reveal()), 0o600),
        Err(fault) => {
            tracing::warn!(name: "no_first_key", file = %file.display(), %fault, "no new key was made for this machine");
            Ok(())
        }
    }
}

/// Where links are kept. The directory of an SQLite file is made.
pub fn store(kept: &StoreArgs) -> Result<StoreLocation, CommandFault> {
    let Some(path) = kept.store.strip_prefix("sqlite:") else {
        return Ok(StoreLocation::Postgres(Options {
            url: kept.store.clone(),
            direct: kept.store_direct.clone(),
            password: kept.store_password_file.as_deref().map(secret::password).transpose()?,
            direct_password: kept.store_direct_password_file.as_deref().map(secret::password).transpose()?,
            auto_fork: kept.auto_fork,
            fenced: kept.fenced,
        }));
    };
    let path = PathBuf::from(path);
    if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        directory(dir)?;
    }
    Ok(StoreLocation::Sqlite(path))
}

/// The store that is copied or replaced; nothing is made.
pub fn kept(at: &CopiedStore) -> Result<StoreLocation, CommandFault> {
    let Some(store) = &at.store else { return Ok(StoreLocation::Sqlite(at.data_dir.join("linkr.db"))) };
    if let Some(path) = store.strip_prefix("sqlite:") {
        return Ok(StoreLocation::Sqlite(path.into()));
    }
    Ok(StoreLocation::Postgres(Options {
        url: store.clone(),
        direct: at.store_direct.clone(),
        password: at.store_password_file.as_deref().map(secret::password).transpose()?,
        ..Options::default()
    }))
}

/// Held for as long as the process uses a data directory. The kernel gives it back, however the process ends; it belongs to the
/// open file, and so to each process that has that.
pub struct DirectoryLock {
    file: File,
}

impl DirectoryLock {
    /// Takes `lock` in it.
    ///
    /// # Errors
    /// Another process has it.
    pub fn new(dir: &Path) -> Result<Self, CommandFault> {
        let cannot = |fault: std::io::Error| {
            CommandFault::new(format_args!(
                "cannot use the data directory {}: {fault}: see --data-dir",
                dir.display()
            ))
        };
        let lock = dir.join("lock");
        let file = own::open(&lock).map_err(|why| match why.raw_os_error() {
            None => unusable(&lock, &why),
            Some(_) => cannot(why),
        })?;
        narrow(&lock, &file);
        match file.try_lock() {
            Ok(()) => Ok(Self { file }),
            Err(TryLockError::WouldBlock) => Err(CommandFault::new(format_args!(
                "another linkr uses {}: stop it, or give this one another directory",
                dir.display()
            ))),
            Err(TryLockError::Error(fault)) => Err(cannot(fault)),
        }
    }

    /// That of a process which passes it on.
    pub fn inherit(file: OwnedFd) -> Self {
        Self { file: file.into() }
    }

    /// For another process.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn handed(&self) -> std::io::Result<OwnedFd> {
        self.file.try_clone().map(OwnedFd::from)
    }
}
