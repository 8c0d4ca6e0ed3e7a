//! What is left of a part of a spool that cannot be read, as a chunk of the same numbers: what is missing in it is told as
//! lost.

use super::disk::SpoolDisk;
use super::drain::Chunk;
use clicks::batch::{self, Batch, Loss};
use clicks::spool::{ChunkHead, ChunkSize, FilePlace, Frame, LossCounts, NumberRange};
use clicks::{CLASSIFIER, LossReason};
use std::io;
use std::path::Path;

const MINUTE_MS: i64 = 60_000;

/// Whatever numbers of a spool are not there any more become losses.
///
/// # Errors
/// The disk cannot be written or read.
pub fn repair(disk: &mut SpoolDisk, dir: &Path, boot: [u8; 16]) -> io::Result<()> {
    while let Some(range) = disk.spool.plan_repair() {
        let mut batches = Vec::new();
        for file in disk.spool.files().map(|file| file.number).collect::<Vec<_>>() {
            let from = FilePlace { file, offset: 0 };
            for chunk in disk.chunks(dir, &NumberRange { from, ..range })? {
                batches.extend(batch::decode(&chunk.batch));
            }
        }
        let latest = disk.spool.files().map(|file| file.until).max().unwrap_or_default();
        let chunk = repaired(&range, batches, disk.spool.lost_before_repair(&range), latest);
        let missing = chunk.head.lost.of(LossReason::Damaged);
        tracing::error!(
            name: "spool_damaged", spool = disk.spool.id(), first = range.first_no, last = range.last_no, missing,
            "a part of the spool cannot be read: its clicks are told as lost"
        );
        disk.append(dir, boot, &[Frame::Chunk(chunk.head, &chunk.batch)], true)?;
    }
    Ok(())
}

/// A chunk of exactly these numbers: what is left of its clicks, and for the rest a loss. `before`: of the numbers, those
/// that were lost. `latest`: when they were recorded at the latest, if nothing is left that says it (Unix milliseconds).
pub fn repaired(range: &NumberRange, mut batches: Vec<Batch>, before: LossCounts, latest: i64) -> Chunk {
    batches.retain(|batch| range.first_no <= batch.first_no && batch.last_no() <= range.last_no);
    batches.sort_by_key(|batch| batch.first_no);
    // That of whoever wrote them: this may be the first process of another version.
    let classifier = batches.first().map_or(CLASSIFIER, |batch| batch.classifier);
    let mut whole = Batch::new(range.first_no, classifier);
    let mut left = range.last_no + 1 - range.first_no;
    let mut next = range.first_no;
    for batch in batches {
        if batch.first_no < next || batch.classifier != whole.classifier {
            continue; // it was replaced, or cannot be joined
        }
        next = batch.last_no() + 1;
        left -= batch.recorded();
        whole.clicks.extend(batch.clicks);
        whole.totals.extend(batch.totals);
        whole.losses.extend(batch.losses);
        whole.agents.extend(batch.agents);
    }
    let until = whole.clicks.last().map_or(0, |click| click.at);
    let minute = whole.clicks.last().map_or(latest, |click| click.at).div_euclid(MINUTE_MS);
    if left > 0 {
        whole.losses.push(Loss { reason: LossReason::Damaged, minute, count: left });
    }
    if !whole.fits() {
        let count = range.last_no + 1 - range.first_no;
        whole = Batch::new(range.first_no, CLASSIFIER);
        whole.losses.push(Loss { reason: LossReason::Damaged, minute, count });
    }
    chunk_of(&whole, before, until)
}

/// A batch as a chunk; `replaced`: see [`ChunkHead::replaced`].
pub fn chunk_of(batch: &Batch, replaced: LossCounts, until: i64) -> Chunk {
    let notes = batch.totals.len() + batch.losses.len() + batch.unknown.len() + batch.agents.len();
    let size = ChunkSize {
        bytes: u32::try_from(batch.size()).unwrap_or(u32::MAX),
        notes: u32::try_from(notes).unwrap_or(u32::MAX),
    };
    let head = ChunkHead {
        first_no: batch.first_no,
        last_no: batch.last_no(),
        lost: losses_of(&batch.losses),
        replaced,
        until,
        size,
        places: Vec::new(),
    };
    Chunk { head, batch: batch::encode(batch) }
}

fn losses_of(losses: &[Loss]) -> LossCounts {
    let mut lost = LossCounts::default();
    losses.iter().for_each(|loss| lost.note(loss.reason, loss.count));
    lost
}
