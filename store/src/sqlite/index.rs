//! What SQLite's index of the write-ahead log says about it. It lies beside the store, is shared memory for as long as the
//! kernel runs, and follows each commit: after a kill it tells what the log has to hold. Nothing is written here.

use proto::own::beside;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Twice at its front: whoever was killed while writing it left two that differ.
const HEAD: usize = 48;
/// The only layout there is; its numbers are as the processor has them, but for those that are copied from the log.
const VERSION: u32 = 3_007_000;
const LOG_HEAD: u64 = 32;
const FRAME_HEAD: usize = 24;

/// Whether a log holds what its index names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IndexMatch {
    All,
    /// It is an earlier one, or ends earlier.
    Less,
    /// The index says nothing, or is of an earlier log: a device that is lost takes it along.
    Unknown,
}

/// What a commit left in the index.
struct Index {
    page: u64,
    frames: u64,
    /// Of its last frame, as that has it: count, random number, sum over all frames.
    count: u32,
    random: u32,
    sum: [u32; 2],
}

impl Index {
    fn read(path: &Path) -> Option<Self> {
        let mut both = [0; 2 * HEAD];
        proto::own::read(&beside(path, "-shm")).ok()?.read_exact_at(&mut both, 0).ok()?;
        let (one, other) = both.split_at(HEAD);
        let bytes = |at: usize| one[at..at + 4].try_into().expect("four bytes");
        let number = |at| u32::from_ne_bytes(bytes(at));
        let is_made = one[12] == 1;
        // Commits since it was made: one that was made from the log says no more than that.
        let commits = number(8);
        if one != other || number(0) != VERSION || !is_made || commits == 0 {
            return None;
        }
        let page = u64::from(u16::from_ne_bytes([one[14], one[15]]));
        Some(Self {
            page: if page == 1 { 1 << 16 } else { page },
            frames: number(16).into(),
            count: u32::from_be_bytes(bytes(32)),
            random: u32::from_be_bytes(bytes(36)),
            sum: [number(24), number(28)],
        })
    }
}

pub(super) fn held(path: &Path) -> IndexMatch {
    let Some(index) = Index::read(path) else { return IndexMatch::Unknown };
    let Ok(log) = proto::own::read(&beside(path, "-wal")) else { return IndexMatch::Unknown };
    let Ok(length) = log.metadata().map(|log| log.len()) else { return IndexMatch::Unknown };
    if index.frames == 0 {
        return if length == 0 { IndexMatch::All } else { IndexMatch::Unknown }; // all was in the file
    }
    let number = |at| {
        let mut bytes = [0; 4];
        log.read_exact_at(&mut bytes, at).ok().map(|()| u32::from_be_bytes(bytes))
    };
    let Some(count) = number(16) else { return IndexMatch::Less };
    match count.wrapping_sub(index.count).cast_signed() {
        1.. => return IndexMatch::Unknown,
        ..0 => return IndexMatch::Less,
        0 if number(20) != Some(index.random) => return IndexMatch::Unknown,
        0 => {}
    }
    let last = LOG_HEAD + (index.frames - 1) * (FRAME_HEAD as u64 + index.page);
    let there = [8, 12, 16, 20].map(|at| number(last + at));
    let due = [index.count, index.random, index.sum[0], index.sum[1]].map(Some);
    if there == due { IndexMatch::All } else { IndexMatch::Less }
}
