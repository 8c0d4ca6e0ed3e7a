//! Files that linkr makes for itself: locks, notes, keys, snapshots, and what lies beside a store. Who can write into their
//! directory could put something else under such a name: a link that leads out of it, a pipe that blocks, a device.

use std::fs::{self, File, FileType, Metadata, OpenOptions, Permissions};
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// For the owner alone.
pub const MODE: u32 = 0o600;

/// Opens one to be read and written, and makes it if there is none.
///
/// # Errors
/// In words: what lies there is no file of this user's, or cannot be opened. No link is followed.
pub fn open(path: &Path) -> Result<File> {
    let file = shared(path, OpenOptions::new().create(true).truncate(false).read(true).write(true))?;
    theirs(&file.metadata()?, path)?;
    Ok(file)
}

/// Opens one that has to be there, to be read.
///
/// # Errors
/// As [`open`]; [`ErrorKind::NotFound`] where there is none.
pub fn read(path: &Path) -> Result<File> {
    let file = shared(path, OpenOptions::new().read(true))?;
    theirs(&file.metadata()?, path)?;
    Ok(file)
}

/// Opens one that others may have been given, as a store may: whoever's it is.
///
/// # Errors
/// As [`open`].
pub fn shared(path: &Path, how: &mut OpenOptions) -> Result<File> {
    look(path)?;
    opened(path, how)
}

/// Whether one may be under this name: there is none, or it is a file. Nothing is opened, which would do something to a
/// device.
///
/// # Errors
/// In words: what is there instead.
pub fn look(path: &Path) -> Result<()> {
    match fs::symlink_metadata(path) {
        Ok(there) => regular(there.file_type()),
        Err(fault) if fault.kind() == ErrorKind::NotFound => Ok(()),
        Err(fault) => Err(fault),
    }
}

/// Closes an open file to all but its owner. The mode that it had, if others could use it.
///
/// # Errors
/// It is not this user's.
pub fn narrow(file: &File) -> Result<Option<u32>> {
    let mode = file.metadata()?.mode() & 0o7777;
    if mode & 0o077 == 0 {
        return Ok(None);
    }
    file.set_permissions(Permissions::from_mode(MODE)).map(|()| Some(mode))
}

/// A file, by its kind.
///
/// # Errors
/// In words: what it is instead.
pub fn regular(kind: FileType) -> Result<()> {
    let what = match kind {
        kind if kind.is_file() => return Ok(()),
        kind if kind.is_symlink() => return Err(link()),
        kind if kind.is_dir() => "a directory",
        kind if kind.is_fifo() => "a pipe",
        kind if kind.is_socket() => "a socket",
        _ => "a device",
    };
    Err(Error::new(ErrorKind::InvalidInput, format!("it is {what} and no file")))
}

/// The name of a file and an ending: `PATH-wal`, `PATH.lock`.
#[must_use]
pub fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// The folder that a file is in.
#[must_use]
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Of this user, of root, or of whom the folder is of. Root may use all.
///
/// # Errors
/// In words: it is somebody else's.
pub fn theirs(there: &Metadata, path: &Path) -> Result<()> {
    let owners = [fs::metadata("/proc/self"), fs::metadata(folder_of(path))]
        .map(|owner| owner.map(|owner| owner.uid()));
    let [Ok(this), folder] = owners else { return Ok(()) };
    if [this, 0].contains(&there.uid()) || this == 0 || folder.is_ok_and(|folder| folder == there.uid()) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::PermissionDenied, format!("it belongs to another user ({})", there.uid())))
}

/// It may have become something else since it was looked at: then nothing waits and no link is followed.
fn opened(path: &Path, how: &mut OpenOptions) -> Result<File> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = how.mode(MODE).custom_flags(flags).open(path).map_err(|fault| match fault.raw_os_error() {
        Some(libc::ELOOP) => link(),
        _ => fault,
    })?;
    regular(file.metadata()?.file_type())?;
    Ok(file)
}

fn link() -> Error {
    Error::new(ErrorKind::InvalidInput, "it is a symbolic link, which is not followed")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    /// Found by attack: what a link led to was closed to others, or written over.
    #[test]
    fn nothing_but_a_file_is_opened_and_no_link_is_followed() {
        let dir = std::env::temp_dir().join(format!("linkr-own-{}", std::process::id()));
        fs::create_dir_all(dir.join("directory")).unwrap();
        let (victim, name) = (dir.join("victim"), dir.join("own"));
        fs::write(&victim, "its own").unwrap();
        fs::set_permissions(&victim, Permissions::from_mode(0o644)).unwrap();
        for target in [&victim, &dir.join("none"), &dir.join("directory")] {
            symlink(target, &name).unwrap();
            for fault in [open(&name).err(), read(&name).err(), look(&name).err()] {
                assert_eq!(fault.unwrap().to_string(), "it is a symbolic link, which is not followed");
            }
            let raced = opened(&name, OpenOptions::new().create(true).write(true)).unwrap_err();
            assert_eq!(raced.to_string(), "it is a symbolic link, which is not followed");
            fs::remove_file(&name).unwrap();
        }
        assert!(!dir.join("none").exists());
        assert_eq!(fs::metadata(&victim).unwrap().mode() & 0o777, 0o644);
        assert_eq!(open(&dir.join("directory")).unwrap_err().to_string(), "it is a directory and no file");
        assert_eq!(read(Path::new("/dev/null")).unwrap_err().to_string(), "it is a device and no file");
        let raced = opened(Path::new("/dev/null"), OpenOptions::new().read(true)).unwrap_err();
        assert_eq!(raced.to_string(), "it is a device and no file");
        let socket = UnixListener::bind(&name).unwrap();
        assert_eq!(open(&name).unwrap_err().to_string(), "it is a socket and no file");
        drop(socket);
        fs::remove_file(&name).unwrap();
        assert_eq!(read(&name).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(narrow(&open(&name).unwrap()).unwrap(), None);
        fs::set_permissions(&name, Permissions::from_mode(0o640)).unwrap();
        assert_eq!(narrow(&read(&name).unwrap()).unwrap(), Some(0o640));
        assert_eq!(fs::metadata(&name).unwrap().mode() & 0o7777, MODE);
        fs::remove_dir_all(&dir).unwrap();
    }
}
