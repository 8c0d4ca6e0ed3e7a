//! Spools that processes before have left: what their last files say at once, and all of their files read beside the counting,
//! by a thread of their own. Nothing is recorded in them any more.

use super::disk::{FilePart, SpoolDisk, name, parse_name, read_file};
use super::repair::repair;
use crate::sys;
use clicks::spool::{FilePlace, Frame, RingPlace, Spool, read};
use std::collections::BTreeMap;
use std::fs::read_dir;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The files of a spool, by their numbers.
#[derive(Clone, Debug)]
pub struct FoundSpool {
    id: u64,
    files: Vec<u32>,
    /// The number that its next file gets, and how long its files become.
    next_file: u32,
    file_bytes: u64,
}

/// What is known of a spool without reading all of it.
pub struct LastLook {
    /// Without the clicks in earlier files: what it has come to is right.
    pub spool: Spool,
    /// The boot of the machine in which its last file was begun.
    pub boot: [u8; 16],
}

/// What all files of a spool say.
struct Replay {
    spool: Spool,
    boot: [u8; 16],
    /// A file does not end with a whole frame, does not begin with one, or cannot be read to its end.
    torn: bool,
}

impl FoundSpool {
    /// All that are in a folder, in the order in which they were begun, and the number that no file has yet.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn all(dir: &Path, file_bytes: u64) -> io::Result<(Vec<Self>, u32)> {
        let mut spools = BTreeMap::<u64, Vec<u32>>::new();
        for entry in read_dir(dir)? {
            if let Some((spool, number)) = entry?.file_name().to_str().and_then(parse_name) {
                spools.entry(spool).or_default().push(number);
            }
        }
        let next_file = spools.values().flatten().max().map_or(1, |last| last + 1);
        let mut found: Vec<Self> =
            spools.into_iter().map(|(id, files)| Self { id, files, next_file, file_bytes }).collect();
        found.iter_mut().for_each(|found| found.files.sort_unstable());
        found.sort_by_key(|found| found.files.first().copied());
        Ok((found, next_file))
    }

    /// What its last file says; `None`: no file of it has a beginning.
    ///
    /// # Errors
    /// A file cannot be opened.
    pub fn last_look(&self, dir: &Path) -> io::Result<Option<LastLook>> {
        for file in self.files.iter().rev() {
            if let Some(Replay { spool, boot, .. }) = self.replay(dir, &[*file], false)? {
                return Ok(Some(LastLook { spool, boot }));
            }
        }
        Ok(None)
    }

    /// Reads all of it. What is missing in it becomes a loss. `None`: no file of it has a beginning; they are left for
    /// whoever wants to know.
    fn read(&self, dir: &Path, boot: [u8; 16]) -> io::Result<Option<SpoolDisk>> {
        let Some(Replay { spool, boot: of, torn }) = self.replay(dir, &self.files, true)? else {
            tracing::warn!(
                name: "spool_unusable", spool = self.id,
                "no file of a spool has a beginning: they are left as they are, and may be deleted"
            );
            return Ok(None);
        };
        let pending = spool.pending();
        if torn || of != boot {
            tracing::warn!(
                name: "spool_found", spool = self.id, torn, rebooted = of != boot, pending,
                "clicks of before a crash are sent as far as they are on disk"
            );
        }
        let mut disk = SpoolDisk::new(spool, self.next_file, self.file_bytes);
        repair(&mut disk, dir, boot)?;
        Ok(Some(disk))
    }

    /// `tells`: what cannot be read is in the log.
    fn replay(&self, dir: &Path, files: &[u32], tells: bool) -> io::Result<Option<Replay>> {
        let mut replay = None;
        let mut torn = false;
        for &file in files {
            let path = dir.join(name(self.id, file));
            let FilePart { bytes, fault } = read_file(&path, 0, Some(&file) == self.files.last())?;
            torn |= fault.is_some();
            if let Some(fault) = fault.filter(|_| tells) {
                let (file, whole) = (path.display(), bytes.len());
                tracing::error!(
                    name: "spool_file_unreadable", %file, whole, %fault,
                    "the disk does not give the whole file: what is in the rest is told as lost as far as later files say how \
                     much it was, and everything else is counted"
                );
            }
            torn |= !self.replay_file(file, &bytes, &mut replay);
        }
        Ok(replay.map(|mut replay: Replay| {
            replay.spool.replayed();
            Replay { torn, ..replay }
        }))
    }

    /// Whether all of it are frames, the beginning of a file the first of them.
    fn replay_file(&self, file: u32, bytes: &[u8], replay: &mut Option<Replay>) -> bool {
        let mut offset = 0;
        loop {
            let frame = match read(&bytes[offset..]) {
                Ok(Some(frame)) => frame,
                Ok(None) => return offset > 0,
                Err(_) => return false,
            };
            let begins = matches!(&frame.frame, Frame::Begin(begin) if begin.spool == self.id);
            if begins != (offset == 0) {
                return false;
            }
            if let Frame::Begin(begin) = &frame.frame {
                let first = || Replay { spool: Spool::restored(begin), boot: begin.boot, torn: false };
                replay.get_or_insert_with(first).boot = begin.boot;
            }
            let from = FilePlace { file, offset: offset as u64 };
            offset += frame.bytes;
            if let Some(replay) = replay {
                replay.spool.replay(frame.frame, from, frame.bytes as u64);
            }
        }
    }
}

/// One spool, read or not.
struct SpoolRead {
    found: FoundSpool,
    read: io::Result<Option<SpoolDisk>>,
}

/// The thread that reads, and what it has read. It ends with this.
pub struct Reading {
    thread: Option<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    from: Receiver<SpoolRead>,
    /// Those that could not be read: tried again then.
    unread: Vec<FoundSpool>,
    again_at: Option<Instant>,
    dir: PathBuf,
    boot: [u8; 16],
}

/// Before what could not be read is tried again.
const AGAIN: Duration = Duration::from_secs(5);

/// News of a [`Reading`].
pub enum ReadingNews {
    /// All of this spool was read; `disk`: what it has come to, if it is one.
    Read { id: u64, disk: Option<Box<SpoolDisk>> },
    /// One could not be read.
    Failed(io::Error),
    /// There is none now; `ended`: nor will there be.
    None { ended: bool },
}

impl Reading {
    /// Begins.
    ///
    /// # Errors
    /// There is no thread for it.
    pub fn start(dir: &Path, boot: [u8; 16], found: Vec<FoundSpool>) -> io::Result<Self> {
        let (to, from) = channel();
        let stop = Arc::<AtomicBool>::default();
        let thread = spawn(dir, boot, found, &stop, to)?;
        let (unread, again_at) = (Vec::new(), None);
        Ok(Self { thread: Some(thread), stop, from, unread, again_at, dir: dir.to_path_buf(), boot })
    }

    /// What it has read since, waiting for it for so long.
    pub fn next(&mut self, wait: Duration) -> ReadingNews {
        match self.from.recv_timeout(wait) {
            Ok(SpoolRead { found, read: Ok(disk) }) => {
                ReadingNews::Read { id: found.id, disk: disk.map(Box::new) }
            }
            Ok(SpoolRead { found, read: Err(fault) }) => {
                self.unread.push(found);
                self.again_at = Some(Instant::now() + AGAIN);
                ReadingNews::Failed(fault)
            }
            Err(RecvTimeoutError::Timeout) => ReadingNews::None { ended: false },
            Err(RecvTimeoutError::Disconnected) => self.again(wait),
        }
    }

    /// The thread has ended: what it could not read is given to another one.
    fn again(&mut self, wait: Duration) -> ReadingNews {
        if self.unread.is_empty() {
            return ReadingNews::None { ended: true };
        }
        let early = self.again_at.map_or(Duration::ZERO, |at| at.saturating_duration_since(Instant::now()));
        if !early.is_zero() {
            std::thread::sleep(wait.min(early));
            return ReadingNews::None { ended: false };
        }
        self.again_at = Some(Instant::now() + AGAIN);
        let (to, from) = channel();
        match spawn(&self.dir, self.boot, self.unread.clone(), &self.stop, to) {
            Err(fault) => ReadingNews::Failed(fault),
            Ok(thread) => {
                self.unread.clear();
                (self.thread, self.from) = (Some(thread), from);
                ReadingNews::None { ended: false }
            }
        }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // a panic of it is on stderr
        }
    }
}

/// A thread that reads these one behind the other, until it is told to stop.
fn spawn(
    dir: &Path,
    boot: [u8; 16],
    found: Vec<FoundSpool>,
    stop: &Arc<AtomicBool>,
    to: Sender<SpoolRead>,
) -> io::Result<JoinHandle<()>> {
    let (dir, stop) = (dir.to_path_buf(), Arc::clone(stop));
    std::thread::Builder::new().name("clicks-spools".into()).spawn(move || {
        sys::go_behind_others();
        for found in found {
            if stop.load(Ordering::Acquire) {
                return;
            }
            let read = found.read(&dir, boot);
            if to.send(SpoolRead { found, read }).is_err() {
                return;
            }
        }
    })
}

/// Up to where the rings are on disk, by all spools of this boot of the machine: those of another one are gone.
pub fn join_places(looks: &[LastLook], boot: [u8; 16]) -> Vec<RingPlace> {
    let mut places = Vec::new();
    for look in looks.iter().filter(|look| look.boot == boot) {
        RingPlace::join(&mut places, &look.spool.standing().places);
    }
    places
}
