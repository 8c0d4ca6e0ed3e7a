//! A copy on its way: under another name until it is whole and on disk. What it holds is not known here.

use std::fs::{self, File};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A file under another name until it is whole; gone if it does not get there.
pub(super) struct Unfinished {
    path: PathBuf,
}

impl Unfinished {
    /// Made for its owner alone, under a name that nobody else has.
    pub fn new(to: &Path) -> std::io::Result<Self> {
        let path = named(to, &format!(".new-{:08x}", crate::random::u32()));
        File::options().write(true).create_new(true).mode(0o600).open(&path)?;
        Ok(Self { path })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All of it is on disk: what follows takes no time.
    pub fn settle(&self) -> std::io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    /// On disk under its own name, or an error, and then there is nothing.
    pub fn becomes(self, to: &Path) -> std::io::Result<()> {
        self.settle()?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_goes_but_what_this_one_made() {
        let folder = std::env::temp_dir().join(format!("linkr-unfinished-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let to = folder.join("a");
        for ending in [".new", ".new-wal", ".new-journal"] {
            fs::write(named(&to, ending), "mine").unwrap();
        }
        drop(Unfinished::new(&to).unwrap());
        let (one, other) = (Unfinished::new(&to).unwrap(), Unfinished::new(&to).unwrap());
        one.becomes(&to).unwrap();
        assert!(other.path().exists(), "two at once");
        drop(other);
        for ending in [".new", ".new-wal", ".new-journal"] {
            assert_eq!(fs::read(named(&to, ending)).unwrap(), b"mine");
        }
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 4);
        fs::remove_dir_all(&folder).unwrap();
    }
}
