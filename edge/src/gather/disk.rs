//! One spool's files: frames appended and synced, and read back.

use clicks::spool::{Begin, ChunkHead, FilePlace, Frame, NumberRange, Spool, read};
use proto::own;
use std::fs::{File, OpenOptions, remove_file};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// A spool, and the file of it that is written.
pub struct SpoolDisk {
    /// What it has come to.
    pub spool: Spool,
    /// Control refuses it: until then it is not offered.
    pub refused_until: Option<Instant>,
    writing: Option<WrittenFile>,
    next_file: u32,
    file_bytes: u64,
}

struct WrittenFile {
    file: File,
    number: u32,
    length: u64,
}

/// A chunk as it was read back.
pub struct WrittenFrame {
    pub head: ChunkHead,
    pub batch: Vec<u8>,
}

impl SpoolDisk {
    /// One without a file yet.
    pub fn new(spool: Spool, next_file: u32, file_bytes: u64) -> Self {
        Self { spool, refused_until: None, writing: None, next_file, file_bytes }
    }

    /// The number that its next file gets.
    pub fn next_file(&self) -> u32 {
        self.next_file
    }

    /// Writes frames behind each other; `sync`: they are on disk when this returns.
    ///
    /// # Errors
    /// None of them is there.
    pub fn append(&mut self, dir: &Path, boot: [u8; 16], frames: &[Frame<'_>], sync: bool) -> io::Result<()> {
        let (mut bytes, mut ends) = (Vec::new(), Vec::with_capacity(frames.len()));
        for frame in frames {
            frame.write(&mut bytes);
            ends.push(bytes.len() as u64);
        }
        let mut writing = self.take_file(dir, boot)?;
        let begin = writing.length;
        if let Err(fault) = write(&writing.file, &bytes, begin, sync) {
            // What is half there is taken back. If that cannot be done, the next frames go into another file, which says
            // where this one had come to.
            if writing.file.set_len(begin).is_ok() && !is_broken(&fault) {
                self.writing = Some(writing);
            }
            return Err(fault);
        }
        let number = writing.number;
        writing.length += bytes.len() as u64;
        self.writing = Some(writing);
        let mut offset = 0;
        for (frame, end) in frames.iter().zip(ends) {
            let (from, length) = (FilePlace { file: number, offset: begin + offset }, end - offset);
            match frame {
                Frame::Chunk(head, _) => self.spool.chunk(head, from, length),
                Frame::Seal(seal) => self.spool.seal(*seal, length),
                Frame::Acked(_) => self.spool.note_acked(length),
                Frame::Closed | Frame::Begin(_) => {} // written by nobody, and by `begin` alone
            }
            offset = end;
        }
        if sync {
            self.spool.synced();
        }
        Ok(())
    }

    /// The file to write to: a new one when that before is full.
    fn take_file(&mut self, dir: &Path, boot: [u8; 16]) -> io::Result<WrittenFile> {
        match self.writing.take().filter(|writing| writing.length < self.file_bytes) {
            Some(writing) => Ok(writing),
            None => self.begin(dir, boot),
        }
    }

    /// Begins a file if there is none yet: what the spool has come to is on disk then.
    ///
    /// # Errors
    /// There is none.
    pub fn begin_first(&mut self, dir: &Path, boot: [u8; 16]) -> io::Result<()> {
        if self.spool.files().len() == 0 { self.begin_next(dir, boot) } else { Ok(()) }
    }

    /// Begins another file, so that the one before can go.
    ///
    /// # Errors
    /// There is none.
    pub fn begin_next(&mut self, dir: &Path, boot: [u8; 16]) -> io::Result<()> {
        self.writing = Some(self.begin(dir, boot)?);
        Ok(())
    }

    fn begin(&mut self, dir: &Path, boot: [u8; 16]) -> io::Result<WrittenFile> {
        let spool = &self.spool;
        let mut bytes = Vec::new();
        Frame::Begin(Begin { spool: spool.id(), boot, standing: spool.standing().clone() }).write(&mut bytes);
        if let Some(seal) = spool.unacked() {
            Frame::Seal(seal).write(&mut bytes);
        }
        let (number, length) = (self.next_file, bytes.len() as u64);
        let path = dir.join(name(spool.id(), number));
        self.next_file += 1; // what is left behind under this number is not written again
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(own::MODE).open(&path)?;
        let synced = write(&file, &bytes, 0, true).and_then(|()| File::open(dir)?.sync_all());
        if let Err(fault) = synced {
            let _ = remove_file(&path); // a full disk gets its room back
            return Err(fault);
        }
        self.spool.begin_file(number, length);
        Ok(WrittenFile { file, number, length })
    }

    /// The chunks of these numbers in their file, in order, as far as they can be read.
    pub fn chunks(&self, dir: &Path, range: &NumberRange) -> io::Result<Vec<WrittenFrame>> {
        let part =
            match read_file(&dir.join(name(self.spool.id(), range.from.file)), range.from.offset, false) {
                Err(fault) if fault.kind() == ErrorKind::NotFound => return Ok(Vec::new()), // somebody removed it
                part => part?,
            };
        let end = usize::try_from(range.end.saturating_sub(range.from.offset)).unwrap_or(usize::MAX);
        let (mut rest, mut chunks) = (&part.bytes[..end.min(part.bytes.len())], Vec::new());
        while let Ok(Some(frame)) = read(rest) {
            rest = &rest[frame.bytes..];
            let Frame::Chunk(head, batch) = frame.frame else { continue };
            if head.first_no >= range.first_no && head.last_no <= range.last_no {
                chunks.push(WrittenFrame { head, batch: batch.to_vec() });
            }
        }
        Ok(chunks)
    }

    /// Removes one file.
    pub fn remove(&mut self, dir: &Path, number: u32) -> io::Result<()> {
        self.writing = self.writing.take().filter(|writing| writing.number != number);
        match remove_file(dir.join(name(self.spool.id(), number))) {
            Err(fault) if fault.kind() != ErrorKind::NotFound => return Err(fault),
            _ => {}
        }
        self.spool.forget(number);
        Ok(())
    }

    /// Removes all of them.
    pub fn remove_all(&mut self, dir: &Path) -> io::Result<()> {
        let files: Vec<u32> = self.spool.files().map(|file| file.number).collect();
        files.into_iter().try_for_each(|file| self.remove(dir, file))
    }
}

/// After such a fault nobody knows what of the file is on disk: it is not written any more.
fn is_broken(fault: &io::Error) -> bool {
    !matches!(fault.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge)
}

fn write(file: &File, bytes: &[u8], at: u64, sync: bool) -> io::Result<()> {
    file.write_all_at(bytes, at)?;
    if sync { file.sync_data() } else { Ok(()) }
}

/// What is read of a file.
pub struct FilePart {
    pub bytes: Vec<u8>,
    /// Why there is no more of it: the disk does not give what is behind.
    pub fault: Option<io::Error>,
}

/// Reads a file from an offset on, as far as the disk gives it: one bad sector must not stop the counting. `last`: a process
/// that was killed may have written to it and not synced it, and what is read counts as on disk.
///
/// # Errors
/// It cannot be opened, or there is no memory for it: another try may read it.
pub fn read_file(path: &Path, offset: u64, last: bool) -> io::Result<FilePart> {
    let (mut file, mut bytes) = (own::read(path)?, Vec::new());
    if last {
        file.sync_all()?;
    }
    let read = file.seek(SeekFrom::Start(offset)).and_then(|_| file.read_to_end(&mut bytes));
    #[cfg(test)]
    let read = bad_sectors::meet(path, offset, &mut bytes, read);
    match read {
        Err(fault) if fault.kind() == ErrorKind::OutOfMemory => Err(fault),
        read => Ok(FilePart { bytes, fault: read.err() }),
    }
}

/// The name of a spool's file.
pub fn name(spool: u64, number: u32) -> PathBuf {
    format!("spool-{spool:016x}-{number:08}").into()
}

/// The spool and the number of the file of this name; `None`: it is none of a spool.
pub fn parse_name(name: &str) -> Option<(u64, u32)> {
    let (spool, number) = name.strip_prefix("spool-")?.split_once('-')?;
    let parsed = (u64::from_str_radix(spool, 16).ok()?, number.parse().ok()?);
    (self::name(parsed.0, parsed.1).to_str() == Some(name)).then_some(parsed)
}

/// A disk that does not give all of a file, for tests.
#[cfg(test)]
pub mod bad_sectors {
    use std::io;
    use std::path::{Path, PathBuf};
    use std::sync::Mutex;

    static BAD: Mutex<Vec<(PathBuf, u64)>> = Mutex::new(Vec::new());

    /// From this byte on the file cannot be read.
    pub fn put(path: &Path, from: u64) {
        BAD.lock().unwrap().push((path.to_path_buf(), from));
    }

    pub fn meet(path: &Path, offset: u64, bytes: &mut Vec<u8>, read: io::Result<usize>) -> io::Result<usize> {
        let bad = BAD.lock().unwrap().iter().find(|(bad, _)| bad == path).map(|(_, from)| *from);
        let Some(from) = bad else { return read };
        bytes.truncate(from.saturating_sub(offset) as usize);
        Err(io::Error::from_raw_os_error(libc::EIO))
    }
}
