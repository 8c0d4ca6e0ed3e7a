//! One spool's files: frames appended and synced, read back, and all of them read at the start.

use clicks::spool::{Begin, ChunkHead, FilePlace, Frame, NumberRange, Spool, read};
use proto::own;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, read_dir, remove_file};
use std::io::{self, ErrorKind, Read};
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

/// A spool that was found at the start.
pub struct FoundSpool {
    pub disk: SpoolDisk,
    /// The boot of the machine in which its last file was begun.
    pub boot: [u8; 16],
    /// A file of it does not end with a whole frame, or does not begin with one.
    pub torn: bool,
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

    /// All that are in a folder, in the order in which they were begun, and the number that no file has yet.
    pub fn all(dir: &Path, file_bytes: u64) -> io::Result<(Vec<FoundSpool>, u32)> {
        let mut spools = BTreeMap::<u64, Vec<u32>>::new();
        for entry in read_dir(dir)? {
            if let Some((spool, number)) = entry?.file_name().to_str().and_then(parse_name) {
                spools.entry(spool).or_default().push(number);
            }
        }
        let next_file = spools.values().flatten().max().map_or(1, |last| last + 1);
        let mut spools: Vec<(u64, Vec<u32>)> = spools.into_iter().collect();
        spools.iter_mut().for_each(|(_, files)| files.sort_unstable());
        spools.sort_by_key(|(_, files)| files.first().copied());
        let mut found = Vec::new();
        for (id, files) in spools {
            found.extend(Self::replay(dir, id, &files, next_file, file_bytes)?);
        }
        Ok((found, next_file))
    }

    /// `None`: no file of it has a beginning; they are left for whoever wants to know.
    fn replay(
        dir: &Path,
        id: u64,
        files: &[u32],
        next_file: u32,
        file_bytes: u64,
    ) -> io::Result<Option<FoundSpool>> {
        let (mut spool, mut boot, mut torn) = (None::<Spool>, [0; 16], false);
        for &file in files {
            let bytes = read_all(&dir.join(name(id, file)), Some(&file) == files.last())?;
            let mut offset = 0;
            loop {
                let frame = match read(&bytes[offset..]) {
                    Ok(Some(frame)) => frame,
                    Ok(None) if offset > 0 => break,
                    Ok(None) | Err(_) => {
                        torn = true;
                        break;
                    }
                };
                let begins = matches!(&frame.frame, Frame::Begin(begin) if begin.spool == id);
                if begins != (offset == 0) {
                    torn = true;
                    break;
                }
                let (from, length) = (FilePlace { file, offset: offset as u64 }, frame.bytes);
                if let Frame::Begin(begin) = &frame.frame {
                    boot = begin.boot;
                    spool.get_or_insert_with(|| Spool::restored(begin));
                }
                if let Some(spool) = &mut spool {
                    spool.replay(frame.frame, from, length as u64);
                }
                offset += length;
            }
        }
        let Some(mut spool) = spool else {
            tracing::warn!(
                name: "spool_unusable", spool = id,
                "no file of a spool has a beginning: they are left as they are, and may be deleted"
            );
            return Ok(None);
        };
        spool.replayed();
        Ok(Some(FoundSpool { disk: Self::new(spool, next_file, file_bytes), boot, torn }))
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
                Frame::Closed => self.spool.close(length),
                Frame::Begin(_) => {} // written by `begin` alone
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
        if self.spool.files().len() == 0 {
            self.writing = Some(self.begin(dir, boot)?);
        }
        Ok(())
    }

    fn begin(&mut self, dir: &Path, boot: [u8; 16]) -> io::Result<WrittenFile> {
        let spool = &self.spool;
        let mut bytes = Vec::new();
        Frame::Begin(Begin { spool: spool.id(), boot, standing: spool.standing().clone() }).write(&mut bytes);
        if let Some(seal) = spool.unacked() {
            Frame::Seal(seal).write(&mut bytes);
        }
        if spool.is_closed() {
            Frame::Closed.write(&mut bytes);
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

    /// The chunks of these numbers in their file, in order.
    pub fn chunks(&self, dir: &Path, range: &NumberRange) -> io::Result<Vec<WrittenFrame>> {
        let file = match own::read(&dir.join(name(self.spool.id(), range.from.file))) {
            Err(fault) if fault.kind() == ErrorKind::NotFound => return Ok(Vec::new()), // somebody removed it
            file => file?,
        };
        let length = file.metadata()?.len().saturating_sub(range.from.offset);
        let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        file.read_exact_at(&mut bytes, range.from.offset)?;
        let (mut rest, mut chunks) = (&bytes[..], Vec::new());
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

/// `last`: a process that was killed may have written to it and not synced it, and what is read counts as on disk.
fn read_all(path: &Path, last: bool) -> io::Result<Vec<u8>> {
    let (mut file, mut bytes) = (own::read(path)?, Vec::new());
    if last {
        file.sync_all()?;
    }
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn name(spool: u64, number: u32) -> PathBuf {
    format!("spool-{spool:016x}-{number:08}").into()
}

fn parse_name(name: &str) -> Option<(u64, u32)> {
    let (spool, number) = name.strip_prefix("spool-")?.split_once('-')?;
    let parsed = (u64::from_str_radix(spool, 16).ok()?, number.parse().ok()?);
    (self::name(parsed.0, parsed.1).to_str() == Some(name)).then_some(parsed)
}
