//! A copy on its way: under another name until it is whole and on disk. What it holds is not known here.

use std::fs::{self, File};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A file under another name until it is whole; gone if it does not get there.
pub(super) struct Unfinished {
    path: PathBuf,
}

impl Unfinished {
    /// Made for its owner alone.
    pub fn new(to: &Path) -> std::io::Result<Self> {
        let new = Self { path: named(to, ".new") };
        new.remove(); // left by one that was killed
        File::options().write(true).create_new(true).mode(0o600).open(&new.path)?;
        Ok(new)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// On disk under its own name, or an error, and then there is nothing.
    pub fn becomes(self, to: &Path) -> std::io::Result<()> {
        File::open(&self.path)?.sync_all()?;
        fs::rename(&self.path, to)?;
        let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    }

    fn remove(&self) {
        for ending in ["", "-wal", "-shm", "-journal"] {
            let _ = fs::remove_file(named(&self.path, ending)); // most are not there
        }
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        self.remove();
    }
}

fn named(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}
