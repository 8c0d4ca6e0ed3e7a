//! A copy on its way: under another name until it is whole and on disk. What it holds is not known here.

use proto::own::{beside, folder_of};
use std::fs::{self, File};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Between the name that a copy is to have and a number of eight digits.
const NEW: &str = ".new-";

/// A file under another name until it is whole; gone if it does not get there.
pub(super) struct UnfinishedFile {
    path: PathBuf,
    /// Locked for as long as somebody works on it.
    file: File,
}

/// Copies on their way to `to` that nobody works on any more: whoever did was killed.
pub fn left(to: &Path) -> Vec<PathBuf> {
    let Some(front) = to.file_name().map(|name| beside(Path::new(name), NEW)) else { return Vec::new() };
    let is_left = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        let number = name.strip_prefix(front.as_os_str().as_encoded_bytes());
        number.is_some_and(|number| number.len() == 8 && number.iter().all(u8::is_ascii_hexdigit))
            && proto::own::read(path).is_ok_and(|file| file.try_lock().is_ok() && file.unlock().is_ok())
    };
    let there = fs::read_dir(folder_of(to)).into_iter().flatten().flatten();
    there.map(|entry| entry.path()).filter(is_left).collect()
}

impl UnfinishedFile {
    /// Made for its owner alone, under a name that nobody else has.
    pub fn new(to: &Path) -> std::io::Result<Self> {
        let path = beside(to, &format!("{NEW}{:08x}", crate::random::u32()));
        let file = File::options().write(true).create_new(true).mode(0o600).open(&path)?;
        let _ = file.try_lock(); // where there are no locks, nobody is told of what is left
        Ok(Self { path, file })
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
        File::open(folder_of(to))?.sync_all()
    }

    fn remove(&self) {
        for ending in ["", "-wal", "-shm", "-journal"] {
            let _ = fs::remove_file(beside(&self.path, ending)); // most are not there
        }
    }
}

impl Drop for UnfinishedFile {
    /// The lock is not left to the close: a child that another thread is just starting holds the file open until it runs its
    /// program, and who opens the finished file meanwhile would find it in use.
    fn drop(&mut self) {
        self.remove();
        let _ = self.file.unlock(); // then the close does it
    }
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
            fs::write(beside(&to, ending), "mine").unwrap();
        }
        drop(UnfinishedFile::new(&to).unwrap());
        let (one, other) = (UnfinishedFile::new(&to).unwrap(), UnfinishedFile::new(&to).unwrap());
        one.becomes(&to).unwrap();
        assert!(other.path().exists(), "two at once");
        assert!(left(&to).is_empty(), "it is worked on");
        fs::write(beside(&to, ".new-0badcafe"), "of one that was killed").unwrap();
        assert_eq!(left(&to), [beside(&to, ".new-0badcafe")]);
        fs::remove_file(beside(&to, ".new-0badcafe")).unwrap();
        drop(other);
        for ending in [".new", ".new-wal", ".new-journal"] {
            assert_eq!(fs::read(beside(&to, ending)).unwrap(), b"mine");
        }
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 4);
        fs::remove_dir_all(&folder).unwrap();
    }

    /// A test of copies failed for it: its neighbour started a shell while the copy was given its name.
    #[test]
    fn a_finished_file_is_in_use_by_nobody_though_a_child_still_has_it_open() {
        let to = std::env::temp_dir().join(format!("linkr-finished-{}", std::process::id()));
        let new = UnfinishedFile::new(&to).unwrap();
        let _of_a_child = new.file.try_clone().unwrap(); // as a fork has it
        new.becomes(&to).unwrap();
        assert!(File::open(&to).unwrap().try_lock().is_ok());
        fs::remove_file(&to).unwrap();
    }
}
