//! Files that the settings name: who may read them, and when certificates end.

use crate::doctor::facts::{Certificate, SecretFile};
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A file that a setting names.
pub struct Named<'a> {
    flag: &'static str,
    path: &'a Path,
    is_secret: bool,
}

impl<'a> Named<'a> {
    pub fn secret(flag: &'static str, path: &'a Path) -> Self {
        Self { flag, path, is_secret: true }
    }

    pub fn certificate(flag: &'static str, path: &'a Path) -> Self {
        Self { flag, path, is_secret: false }
    }
}

/// Secrets, and whether others may read them. Those that are not there, the start asks for; what is another user's is his
/// to guard, as mounted secrets of containers are.
pub fn secrets(named: &[Named<'_>]) -> Vec<SecretFile> {
    let own = rustix::process::getuid().as_raw();
    let there = named.iter().filter(|one| one.is_secret).filter_map(|one| {
        let meta = one.path.metadata().ok().filter(std::fs::Metadata::is_file)?;
        // Who reads it by its group was let in on purpose, as a service by its own.
        let is_open = meta.uid() == own && meta.mode() & 0o004 != 0;
        Some(SecretFile { flag: one.flag, path: one.path.to_owned(), is_open })
    });
    there.collect()
}

/// Certificates, and when they end. What cannot be read is the start's to refuse.
pub fn certificates(named: &[Named<'_>]) -> Vec<Certificate> {
    let there = named.iter().filter(|one| !one.is_secret).filter_map(|one| {
        let ends = exposition::certificates::end(&proto::file::read(one.path).ok()?.bytes)?;
        Some(Certificate { flag: one.flag, path: one.path.to_owned(), ends })
    });
    there.collect()
}

/// Why this user cannot read and write the clicks beside a store. Opening the file changes nothing of it.
pub fn clicks_unusable(store: &Path) -> Option<String> {
    let file = proto::own::beside(store, ".clicks");
    let fault = File::options().read(true).write(true).open(&file).err()?;
    (fault.kind() != ErrorKind::NotFound).then(|| format!("{}: {fault}", file.display()))
}

/// What a start kept of a snapshot that it could not read.
pub fn bad_beside(snapshot: &Path) -> Option<PathBuf> {
    let mut name = snapshot.as_os_str().to_owned();
    name.push(".bad");
    Some(PathBuf::from(name)).filter(|bad| bad.exists())
}
