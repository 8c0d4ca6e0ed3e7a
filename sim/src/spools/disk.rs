//! The disk of an edge: files of spools as bytes. After a power cut it has what was synced, and some of the rest.

use clicks::spool::{ChunkHead, Frame, read};
use services::Random;

/// A file of a spool.
#[derive(Debug)]
pub struct DiskFile {
    /// Of which spool.
    pub spool: u64,
    /// Which of its files.
    pub number: u32,
    /// What was written.
    pub bytes: Vec<u8>,
    /// Up to here it is on disk.
    pub synced: usize,
}

/// A whole frame of a file.
#[derive(Debug)]
pub struct PlacedFrame<'a> {
    /// What it says.
    pub frame: Frame<'a>,
    /// Where it begins.
    pub at: usize,
    /// Behind its last byte.
    pub end: usize,
}

/// A chunk that was read, and where it ends.
#[derive(Debug)]
pub struct ReadChunk {
    /// Its head.
    pub head: ChunkHead,
    /// Its clicks.
    pub clicks: Vec<u64>,
    /// Behind its last byte.
    pub end: usize,
}

/// All files, the oldest first.
#[derive(Debug, Default)]
pub struct Disk {
    /// See above.
    pub files: Vec<DiskFile>,
}

impl DiskFile {
    /// Every whole frame.
    pub fn frames(&self) -> Vec<PlacedFrame<'_>> {
        let (mut frames, mut at) = (Vec::new(), 0);
        while let Ok(Some(found)) = read(&self.bytes[at..]) {
            let end = at + found.bytes;
            frames.push(PlacedFrame { frame: found.frame, at, end });
            at = end;
        }
        frames
    }

    /// The chunks from this offset on.
    pub fn chunks(&self, offset: usize) -> Vec<ReadChunk> {
        let chunks = self.frames().into_iter().filter_map(|PlacedFrame { frame, at, end }| match frame {
            Frame::Chunk(head, payload) if at >= offset => {
                Some(ReadChunk { head, clicks: clicks_in(payload), end })
            }
            _ => None,
        });
        chunks.collect()
    }
}

impl Disk {
    /// A file by its spool and number.
    pub fn file(&self, spool: u64, number: u32) -> Option<&DiskFile> {
        self.files.iter().find(|file| file.spool == spool && file.number == number)
    }

    /// Writes behind what is in a file, which is made if it is not there: where the bytes begin.
    pub fn append(&mut self, spool: u64, number: u32, bytes: &[u8]) -> usize {
        let at = self.files.iter().position(|file| file.spool == spool && file.number == number);
        let at = at.unwrap_or_else(|| {
            self.files.push(DiskFile { spool, number, bytes: Vec::new(), synced: 0 });
            self.files.len() - 1
        });
        let file = &mut self.files[at];
        let begin = file.bytes.len();
        file.bytes.extend_from_slice(bytes);
        begin
    }

    /// Everything that was written is on disk.
    pub fn sync(&mut self) {
        self.files.iter_mut().for_each(|file| file.synced = file.bytes.len());
    }

    /// Everything that was written of one spool is.
    pub fn sync_spool(&mut self, spool: u64) {
        let own = self.files.iter_mut().filter(|file| file.spool == spool);
        own.for_each(|file| file.synced = file.bytes.len());
    }

    /// Power goes: of what was not synced some is there, to any byte. Gives the clicks that may be gone.
    pub fn cut_power(&mut self, rng: &mut Random) -> Vec<u64> {
        let mut lost = Vec::new();
        for file in &mut self.files {
            let unsynced = file.chunks(0).into_iter().filter(|chunk| chunk.end > file.synced);
            lost.extend(unsynced.flat_map(|chunk| chunk.clicks));
            let left = rng.between(file.synced as u64, file.bytes.len() as u64) as usize;
            file.bytes.truncate(left);
            file.synced = left;
        }
        self.files.retain(|file| !file.bytes.is_empty());
        lost
    }

    /// The process ends inside its last write, which is not synced.
    pub fn tear(&mut self, rng: &mut Random) {
        let Some(file) = self.files.last_mut() else { return };
        let last = file.frames().last().map_or(0, |last| last.at).max(file.synced);
        // A file's beginning is there before anything else of it.
        if file.frames().len() > 1 {
            let left = rng.between(last as u64, file.bytes.len() as u64) as usize;
            file.bytes.truncate(left);
        }
    }

    /// One file that is not written any more has another byte behind its beginning. Gives its clicks.
    pub fn damage(&mut self, rng: &mut Random) -> Vec<u64> {
        let numbers: Vec<(u64, u32)> = self.files.iter().map(|file| (file.spool, file.number)).collect();
        let is_older = |file: &DiskFile| {
            numbers.iter().any(|(spool, number)| *spool == file.spool && *number > file.number)
        };
        let mut older: Vec<&mut DiskFile> = self.files.iter_mut().filter(|file| is_older(file)).collect();
        if older.is_empty() {
            return Vec::new();
        }
        let at = rng.below(older.len());
        let file = &mut older[at];
        let clicks = file.chunks(0).into_iter().flat_map(|chunk| chunk.clicks).collect();
        let begin = file.frames().first().map_or(0, |begin| begin.end);
        if begin < file.bytes.len() {
            let at = begin + rng.below(file.bytes.len() - begin);
            file.bytes[at] ^= 1 << rng.below(8);
        }
        clicks
    }

    /// A file goes.
    pub fn remove(&mut self, spool: u64, number: u32) {
        self.files.retain(|file| file.spool != spool || file.number != number);
    }
}

/// The payload of a chunk with these clicks.
pub fn payload(clicks: &[u64]) -> Vec<u8> {
    clicks.iter().flat_map(|id| id.to_le_bytes()).collect()
}

fn clicks_in(payload: &[u8]) -> Vec<u64> {
    payload.as_chunks::<8>().0.iter().map(|id| u64::from_le_bytes(*id)).collect()
}
