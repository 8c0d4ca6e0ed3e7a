//! Small files that a person names: settings, keys, passwords, certificates. A pipe (`<(…)`, FIFO) or a device may stand
//! there, which need not end, nor ever begin.

use std::collections::HashMap;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{Error, ErrorKind, Read, Result};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Bytes of such a file.
pub const MOST: usize = 1 << 20;
/// How long one waits for what shall be written into a pipe.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// In front of a text: it is UTF-8 (RFC 3629, section 6).
pub const MARK: &[u8] = b"\xef\xbb\xbf";
/// What to do about a text with the mark of another encoding.
pub const UTF_16: &str = "it is UTF-16: save it as UTF-8 (iconv -f UTF-16 -t UTF-8)";

/// Pipes by their names, and what they held: that comes out of one once, and files are read again.
static PIPES: LazyLock<Mutex<HashMap<Pipe, Vec<u8>>>> = LazyLock::new(Mutex::default);

/// The content of a file that was read whole, and its metadata.
#[derive(Debug)]
pub struct SmallFile {
    /// All of it, without [`MARK`].
    pub bytes: Vec<u8>,
    /// Of the file that was read.
    pub meta: Metadata,
}

#[derive(PartialEq, Eq, Hash)]
struct Pipe {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SmallFile {
    /// All of it, as text.
    ///
    /// # Errors
    /// It is no UTF-8.
    pub fn text(self) -> Result<String> {
        String::from_utf8(self.bytes).map_err(|_| Error::new(ErrorKind::InvalidData, "it is no text (UTF-8)"))
    }
}

/// All of a file.
///
/// # Errors
/// It cannot be read, holds more than [`MOST`], is UTF-16, or is a pipe that does not end in [`PATIENCE`].
pub fn read(file: &Path) -> Result<SmallFile> {
    read_until(file, Instant::now() + PATIENCE)
}

/// The file that `SSL_CERT_FILE` names if it is a pipe or a device. What reads this machine's authorities would wait for its
/// end, each time, and it comes once or never: read it here instead.
pub fn unusual_authorities() -> Option<PathBuf> {
    let file = PathBuf::from(std::env::var_os("SSL_CERT_FILE")?);
    file.metadata().is_ok_and(|meta| !meta.is_file() && !meta.is_dir()).then_some(file)
}

/// Whether a text is marked as UTF-16, in whichever order of bytes.
pub fn is_utf_16(text: &[u8]) -> bool {
    text.starts_with(b"\xff\xfe") || text.starts_with(b"\xfe\xff")
}

/// All of a file that is open, and no pipe.
///
/// # Errors
/// As [`read`].
pub fn all_of(mut open: File) -> Result<SmallFile> {
    let (meta, mut bytes) = (open.metadata()?, Vec::new());
    all(&mut open, &meta, &mut bytes, Instant::now() + PATIENCE)?;
    small(bytes, meta)
}

fn read_until(file: &Path, deadline: Instant) -> Result<SmallFile> {
    // Otherwise a FIFO that nobody writes into holds up the opening itself.
    let mut open = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(file).map_err(named)?;
    let meta = open.metadata()?;
    let pipe = meta.file_type().is_fifo().then(|| Pipe {
        path: file.to_path_buf(),
        device: meta.dev(),
        inode: meta.ino(),
    });
    let mut bytes = Vec::new();
    let held = pipe.as_ref().and_then(|pipe| pipes().get(pipe).cloned());
    match (held, pipe) {
        (Some(held), _) => bytes = held,
        (None, None) => all(&mut open, &meta, &mut bytes, deadline)?,
        (None, Some(pipe)) => {
            all(&mut open, &meta, &mut bytes, deadline)?;
            pipes().insert(pipe, bytes.clone());
        }
    }
    small(bytes, meta)
}

fn small(mut bytes: Vec<u8>, meta: Metadata) -> Result<SmallFile> {
    if is_utf_16(&bytes) {
        return Err(Error::new(ErrorKind::InvalidData, UTF_16));
    }
    if bytes.starts_with(MARK) {
        bytes.drain(..MARK.len());
    }
    Ok(SmallFile { bytes, meta })
}

fn pipes() -> MutexGuard<'static, HashMap<Pipe, Vec<u8>>> {
    PIPES.lock().unwrap_or_else(PoisonError::into_inner)
}

fn named(fault: Error) -> Error {
    if fault.raw_os_error() == Some(libc::ENXIO) {
        return Error::new(ErrorKind::InvalidInput, "it is a socket, or a device that is not there");
    }
    fault
}

fn all(open: &mut File, meta: &Metadata, bytes: &mut Vec<u8>, deadline: Instant) -> Result<()> {
    while more(open, meta, bytes)? {
        if Instant::now() >= deadline {
            return Err(late(bytes.len()));
        }
        sleep(Duration::from_millis(2)); // without unsafe code, nothing tells when there is more
    }
    if bytes.len() > MOST {
        return Err(Error::new(ErrorKind::FileTooLarge, format!("it holds more than {MOST} bytes")));
    }
    Ok(())
}

/// Reads what is there; whether one has to wait for more.
fn more(open: &mut File, meta: &Metadata, bytes: &mut Vec<u8>) -> Result<bool> {
    let left = (MOST + 1 - bytes.len()) as u64;
    match open.take(left).read_to_end(bytes) {
        // A pipe that nobody has opened yet to write reads as one that has ended.
        Ok(_) => Ok(meta.file_type().is_fifo() && bytes.is_empty()),
        Err(fault) if fault.kind() == ErrorKind::WouldBlock => Ok(true),
        Err(fault) => Err(fault),
    }
}

fn late(bytes: usize) -> Error {
    let (waited, what) = (PATIENCE.as_secs(), if bytes == 0 { "nothing was" } else { "not all was" });
    let why = format!(
        "it is no file but a pipe or a device, and {what} written into it within {waited} s: start what writes there, \
         and let it close its end"
    );
    Error::new(ErrorKind::TimedOut, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_never_ends_is_refused_and_one_that_is_empty_is_empty() {
        let endless = read(Path::new("/dev/zero")).unwrap_err();
        assert_eq!(endless.kind(), ErrorKind::FileTooLarge, "{endless}");
        assert!(read(Path::new("/dev/null")).unwrap().bytes.is_empty());
        assert_eq!(read(Path::new("/none")).unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn a_pipe_is_waited_for_until_it_ends_and_no_longer_than_the_deadline() {
        use std::io::Write;
        use std::os::fd::AsRawFd;
        let (reader, mut writer) = std::io::pipe().unwrap();
        let name = format!("/proc/self/fd/{}", reader.as_raw_fd());
        writer.write_all(b"lk_").unwrap();
        let late = read_until(Path::new(&name), Instant::now()).unwrap_err().to_string();
        assert!(late.contains("not all was written"), "{late}");
        let late = read_until(Path::new(&name), Instant::now()).unwrap_err().to_string();
        assert!(late.contains("nothing was written"), "{late}");
        let writes = std::thread::spawn(move || writer.write_all(b"\xef\xbb\xbfkey"));
        for time in ["the first", "another"] {
            assert_eq!(read(Path::new(&name)).unwrap().text().unwrap(), "key", "{time}");
        }
        writes.join().unwrap().unwrap();
    }

    #[test]
    fn a_mark_in_front_is_left_out_and_that_of_another_encoding_is_named() {
        let file = std::env::temp_dir().join(format!("linkr-marks-{}", std::process::id()));
        for (bytes, text) in [
            (&b"\xef\xbb\xbfa"[..], Ok("a")),
            (b"a\xef\xbb\xbf", Ok("a\u{feff}")),
            (b"\xff\xfea\0", Err(UTF_16)),
            (b"\xfe\xff\0a", Err(UTF_16)),
            (b"\xffa", Err("it is no text (UTF-8)")),
        ] {
            std::fs::write(&file, bytes).unwrap();
            let found = read(&file).and_then(SmallFile::text).map_err(|fault| fault.to_string());
            assert_eq!(found.as_deref().map_err(String::as_str), text, "{bytes:?}");
        }
        std::fs::remove_file(&file).unwrap();
    }
}
