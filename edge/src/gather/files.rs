//! The spool's files: written, synced, read back and removed. What they mean is in `clicks::spool`.
//!
//! A folder may hold several spools: that which is written, and closed ones of an earlier boot of the machine or of before
//! some damage, which are sent to their end and kept as long. Every start begins a new file.

use super::disk::{SpoolDisk, WrittenFrame};
use super::drain::Chunk;
use clicks::batch::{self, Batch, Loss};
use clicks::spool::{
    AnswerEffect, ChunkHead, ChunkSize, Frame, LossCounts, NumberRange, Offering, RingPlace, Spool,
};
use clicks::{CLASSIFIER, LossReason};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// What control has is kept for so long, in case it is put back to an earlier state.
const KEPT_MS: i64 = 24 * 3_600_000;
/// Rows of losses beyond which hours are told instead of minutes.
const MAX_LOSSES: usize = 4_096;
const MINUTE_MS: i64 = 60_000;

/// All spools of this edge.
pub struct SpoolFiles {
    dir: PathBuf,
    boot: [u8; 16],
    bound: u64,
    /// Which are only sent, the oldest first.
    closed: Vec<SpoolDisk>,
    active: SpoolDisk,
    /// Of spools that are gone.
    bygone: SpoolSums,
    /// The active spool is one that was begun in the place of a refused one.
    replaced: bool,
}

/// A batch, ready to be sent.
pub struct ReadyBatch {
    /// Of which spool.
    pub spool: u64,
    /// Which batch.
    pub offering: Offering,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// What all spools together have come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpoolSums {
    pub recorded: u64,
    pub acknowledged: u64,
    pub lost: LossCounts,
    pub pending: u64,
    pub bytes: u64,
    /// Of those, what cannot go without a loss.
    pub owed_bytes: u64,
    /// Control lacks some of it.
    pub owes: bool,
}

impl SpoolFiles {
    /// Reads what is in the folder. `id`: random, for a spool that has to be begun.
    ///
    /// # Errors
    /// The folder or a file in it cannot be read, or what was damaged cannot be told.
    pub fn open(dir: &Path, boot: [u8; 16], bound: u64, id: u64) -> io::Result<Self> {
        let (mut closed, mut active, mut places) = (Vec::new(), None, Vec::new());
        let (found, next_file) = SpoolDisk::all(dir, file_bytes(bound))?;
        for found in found {
            let mut disk = found.disk;
            let (was_closed, whole) = (disk.spool.is_closed(), disk.spool.plan_repair().is_none());
            if found.boot == boot && !found.torn && whole && !was_closed && active.is_none() {
                active = Some(disk);
                continue;
            }
            if found.boot == boot {
                // Of a closed one, too: that which went on in its place may have no file yet.
                RingPlace::join(&mut places, &disk.spool.standing().places);
            }
            if !was_closed {
                tracing::warn!(
                    name: "spool_closed", spool = disk.spool.id(), torn = found.torn, rebooted = found.boot != boot,
                    pending = disk.spool.pending(),
                    "clicks of before are sent as they are, and new ones go on in another spool"
                );
            }
            // A closed one, too, may have been damaged since.
            repair(&mut disk, dir, boot)?;
            if !was_closed {
                disk.append(dir, boot, &[Frame::Closed], true)?;
            }
            closed.push(disk);
        }
        let fresh = || SpoolDisk::new(Spool::new(id, places), next_file, file_bytes(bound));
        let active = active.unwrap_or_else(fresh);
        let bygone = SpoolSums::default();
        Ok(Self { dir: dir.to_path_buf(), boot, bound, closed, active, bygone, replaced: false })
    }

    /// Up to where the rings are on disk.
    pub fn places(&self) -> &[RingPlace] {
        &self.active.spool.standing().places
    }

    /// The number of the next click.
    pub fn next_no(&self) -> u64 {
        self.active.spool.next_no()
    }

    /// Every click answered before is in the spool, or in one before it; `None`: it is a new one.
    pub fn last_until(&self) -> Option<i64> {
        self.active.spool.files().next_back().map(|file| file.until).filter(|until| *until > 0)
    }

    /// All spools added up.
    pub fn sums(&self) -> SpoolSums {
        let mut sums = self.bygone;
        for SpoolDisk { spool, .. } in self.all() {
            let standing = spool.standing();
            sums.recorded += standing.last_no;
            sums.acknowledged += spool.acknowledged();
            sums.lost.add(standing.lost);
            sums.pending += spool.pending();
            sums.bytes += spool.bytes();
            sums.owed_bytes += spool.owed_bytes();
            sums.owes |= spool.owes();
        }
        sums
    }

    /// Every click answered before is with control, of spools that owe some.
    pub fn complete_until(&self) -> Option<i64> {
        self.all().filter_map(|disk| disk.spool.complete_until()).min()
    }

    fn all(&self) -> impl Iterator<Item = &SpoolDisk> {
        self.closed.iter().chain([&self.active])
    }

    fn all_mut(&mut self) -> impl Iterator<Item = &mut SpoolDisk> {
        self.closed.iter_mut().chain([&mut self.active])
    }

    /// Writes chunks and syncs them. A full disk gets room from what control has already.
    ///
    /// # Errors
    /// They are not on disk, and may be given again.
    pub fn write(&mut self, chunks: &[Chunk]) -> io::Result<()> {
        let mut frames = Vec::with_capacity(chunks.len() + 1);
        for (at, chunk) in chunks.iter().enumerate() {
            frames.push(Frame::Chunk(chunk.head.clone(), &chunk.batch));
            // What control waits for goes to disk in the same write.
            let first = (at == 0).then(|| self.active.spool.plan_seal_with(&chunk.head)).flatten();
            frames.extend(first.map(Frame::Seal));
        }
        loop {
            match self.active.append(&self.dir, self.boot, &frames, true) {
                Err(fault) if fault.kind() == io::ErrorKind::StorageFull && self.forget_oldest()? => {}
                written => return written,
            }
        }
    }

    /// What to send now: of the oldest spool that owes something and is not refused.
    ///
    /// # Errors
    /// The disk cannot be written or read.
    pub fn next_batch(&mut self) -> io::Result<Option<ReadyBatch>> {
        let (dir, boot) = (self.dir.clone(), self.boot);
        let now = Instant::now();
        for at in 0..=self.closed.len() {
            let disk = self.at(at);
            if disk.refused_until.is_some_and(|until| now < until) {
                continue;
            }
            if let Some(seal) = disk.spool.plan_seal()
                && let Err(fault) = disk.append(&dir, boot, &[Frame::Seal(seal)], true)
            {
                if fault.kind() == io::ErrorKind::StorageFull {
                    self.forget_oldest()?; // for the next try
                }
                return Err(fault);
            }
            if let Some(offering) = disk.spool.offer() {
                let bytes = read_batch(disk, &dir, boot, &offering)?;
                return Ok(Some(ReadyBatch { spool: disk.spool.id(), offering, bytes }));
            }
        }
        Ok(None)
    }

    /// Control refuses a batch of this spool: others go on, and this one is tried again then. New clicks do not wait behind what
    /// control may never take, such as a spool that another edge began: they go on in another one. Once in a process, since
    /// control may refuse any.
    ///
    /// # Errors
    /// The disk cannot be written: the next refusal does it.
    pub fn refused(&mut self, spool: u64, seq: u64, again: Instant, id: u64) -> io::Result<()> {
        let Some(disk) = self.all_mut().find(|disk| disk.spool.id() == spool) else { return Ok(()) };
        disk.refused_until = Some(again);
        disk.spool.refused(seq);
        if self.replaced || self.active.spool.id() != spool {
            return Ok(());
        }
        self.active.append(&self.dir, self.boot, &[Frame::Closed], true)?;
        tracing::warn!(
            name: "spool_refused", spool, pending = self.active.spool.pending(),
            "control refuses this spool: what it holds is offered again now and then, and new clicks go on in another one"
        );
        self.replace(id);
        self.replaced = true;
        Ok(())
    }

    /// Another spool goes on where this one was.
    fn replace(&mut self, id: u64) {
        let next_file = self.all().map(SpoolDisk::next_file).max().unwrap_or(1);
        let spool = Spool::new(id, self.places().to_vec());
        let fresh = SpoolDisk::new(spool, next_file, file_bytes(self.bound));
        let old = std::mem::replace(&mut self.active, fresh);
        self.closed.push(old);
    }

    /// What control says to a batch. `false`: it wants the same one again.
    ///
    /// # Errors
    /// The disk cannot be written: the next start will ask control again.
    pub fn answered(&mut self, spool: u64, seq: u64, acked: u64, want: u64, id: u64) -> io::Result<bool> {
        let (dir, boot) = (self.dir.clone(), self.boot);
        let Some(disk) = self.all_mut().find(|disk| disk.spool.id() == spool) else { return Ok(true) };
        let before = disk.spool.standing().acked.seq;
        match disk.spool.answered(seq, acked, want) {
            AnswerEffect::Acknowledged => {
                let acked = disk.spool.standing().acked;
                if acked.seq > before {
                    disk.append(&dir, boot, &[Frame::Acked(acked)], false)?;
                }
                Ok(true)
            }
            AnswerEffect::Again => Ok(false),
            AnswerEffect::Back => {
                tracing::warn!(
                    name: "clicks_wanted_again", spool, seq, want,
                    "control lacks batches that it had, as after a restore: they are sent again as far as they are here"
                );
                self.ask_again(Some(spool));
                Ok(true)
            }
            AnswerEffect::Beyond => {
                tracing::error!(
                    name: "spool_behind", spool, acked, seq,
                    "control has batches of this spool that this disk knows nothing of, as after a restore of the disk: \
                     new clicks go on in another spool, and what this one still holds is not sent"
                );
                self.abandon(spool, id)?;
                Ok(true)
            }
        }
    }

    /// Control may have been put back: each spool but this one is asked about by its last batch.
    pub fn ask_again(&mut self, but: Option<u64>) {
        let others = self.all_mut().filter(|disk| Some(disk.spool.id()) != but);
        others.for_each(|disk| disk.spool.ask_again());
    }

    /// Numbers of this spool are used by somebody else.
    fn abandon(&mut self, spool: u64, id: u64) -> io::Result<()> {
        if self.active.spool.id() == spool {
            self.replace(id);
        }
        let Some(at) = self.closed.iter().position(|disk| disk.spool.id() == spool) else { return Ok(()) };
        self.leave(at)
    }

    /// Removes a closed spool. What it still owes is lost.
    fn leave(&mut self, at: usize) -> io::Result<()> {
        // Up to where the rings are may be told by its files alone.
        self.active.begin_first(&self.dir, self.boot)?;
        let mut disk = self.closed.remove(at);
        let (spool, bygone) = (&disk.spool, &mut self.bygone);
        bygone.recorded += spool.standing().last_no;
        bygone.acknowledged += spool.acknowledged();
        bygone.lost.add(spool.standing().lost);
        bygone.lost.note(LossReason::Damaged, spool.pending());
        disk.remove_all(&self.dir)
    }

    /// Removes what is old enough, and what is beyond the bound: first what control has, then the oldest clicks, which are
    /// told as lost.
    ///
    /// # Errors
    /// The disk cannot be written or read.
    pub fn keep_bounds(&mut self, now: i64) -> io::Result<()> {
        let old = |until: i64| until < now - KEPT_MS;
        while let Some(at) = self.position(|disk| disk.spool.done_file().is_some_and(|file| old(file.until)))
        {
            self.forget_done(at)?;
        }
        let bygone = |disk: &SpoolDisk| {
            !disk.spool.owes() && disk.spool.files().next_back().is_none_or(|file| old(file.until))
        };
        while let Some(at) = self.closed.iter().position(bygone) {
            self.leave(at)?;
        }
        while self.all().map(|disk| disk.spool.bytes()).sum::<u64>() > self.bound {
            if !self.forget_oldest()? && !self.drop_oldest()? {
                break;
            }
        }
        Ok(())
    }

    fn position(&self, which: impl Fn(&SpoolDisk) -> bool) -> Option<usize> {
        self.all().position(which)
    }

    fn at(&mut self, at: usize) -> &mut SpoolDisk {
        if at < self.closed.len() { &mut self.closed[at] } else { &mut self.active }
    }

    fn forget_done(&mut self, at: usize) -> io::Result<()> {
        let dir = self.dir.clone();
        let disk = self.at(at);
        disk.spool.done_file().map_or(Ok(()), |file| disk.remove(&dir, file.number))
    }

    /// Removes the oldest file that control has all of. `false`: there is none.
    fn forget_oldest(&mut self) -> io::Result<bool> {
        let Some(at) = self.position(|disk| disk.spool.done_file().is_some()) else { return Ok(false) };
        self.forget_done(at).map(|()| true)
    }

    /// Removes the oldest file with clicks that control lacks, and tells them as lost. `false`: there is none that could go.
    fn drop_oldest(&mut self) -> io::Result<bool> {
        let (dir, boot) = (self.dir.clone(), self.boot);
        let Some(at) = self.position(|disk| disk.spool.plan_drop().is_some()) else { return Ok(false) };
        let disk = self.at(at);
        let Some(plan) = disk.spool.plan_drop() else { return Ok(false) };
        let Some((first, last)) = plan.ranges.first().zip(plan.ranges.last()).map(|(a, b)| (*a, *b)) else {
            return Ok(false);
        };
        if last.last_no >= first.first_no {
            let mut losses = BTreeMap::new();
            let mut until = 0;
            for range in &plan.ranges {
                for chunk in disk.chunks(&dir, range)? {
                    until = until.max(chunk.head.until);
                    tell_lost(&mut losses, &chunk.head, &chunk.batch);
                }
            }
            let chunk = lost_chunk(first.first_no, last.last_no, losses, plan.lost, until);
            let lost = chunk.head.lost.total().saturating_sub(plan.lost.total());
            disk.append(&dir, boot, &[Frame::Chunk(chunk.head, &chunk.batch)], true)?;
            tracing::debug!(name: "clicks_dropped", lost, "the spool is full: its oldest clicks went, and are told as lost");
        }
        disk.spool.drop_empty(plan.file);
        if plan.goes {
            disk.remove(&dir, plan.file)?;
        }
        Ok(true)
    }
}

/// Bytes of one file: what goes at once when the spool is full.
fn file_bytes(bound: u64) -> u64 {
    (bound / 16).clamp(64 * 1024, 8 * 1024 * 1024)
}

/// Whatever numbers of a spool are not there any more become losses.
fn repair(disk: &mut SpoolDisk, dir: &Path, boot: [u8; 16]) -> io::Result<()> {
    while let Some(range) = disk.spool.plan_repair() {
        let mut batches = Vec::new();
        for file in disk.spool.files().map(|file| file.number).collect::<Vec<_>>() {
            let from = clicks::spool::FilePlace { file, offset: 0 };
            for chunk in disk.chunks(dir, &NumberRange { from, ..range })? {
                batches.extend(batch::decode(&chunk.batch));
            }
        }
        let chunk = repaired(&range, batches, disk.spool.lost_before_repair(&range));
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
/// that were lost.
fn repaired(range: &NumberRange, mut batches: Vec<Batch>, before: LossCounts) -> Chunk {
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
    if left > 0 {
        let minute = until.div_euclid(MINUTE_MS);
        whole.losses.push(Loss { reason: LossReason::Damaged, minute, count: left });
    }
    if !whole.fits() {
        let count = range.last_no + 1 - range.first_no;
        whole = Batch::new(range.first_no, CLASSIFIER);
        whole.losses.push(Loss { reason: LossReason::Damaged, minute: until.div_euclid(MINUTE_MS), count });
    }
    chunk_of(&whole, before, until)
}

/// A chunk of losses alone, in the place of others of which so many were lost before.
fn lost_chunk(
    first_no: u64,
    last_no: u64,
    mut losses: BTreeMap<(LossReason, i64), u64>,
    replaced: LossCounts,
    until: i64,
) -> Chunk {
    // What could not be found any more has to be told, too.
    let told: u64 = losses.values().sum();
    let missing = (last_no + 1 - first_no).saturating_sub(told);
    if missing > 0 {
        *losses.entry((LossReason::Damaged, until.div_euclid(MINUTE_MS))).or_default() += missing;
    }
    if losses.len() > MAX_LOSSES {
        let by_minute = std::mem::take(&mut losses);
        for ((reason, minute), count) in by_minute {
            *losses.entry((reason, minute - minute.rem_euclid(60))).or_default() += count;
        }
    }
    let mut whole = Batch::new(first_no, CLASSIFIER);
    let rows = losses.into_iter().map(|((reason, minute), count)| Loss { reason, minute, count });
    whole.losses = rows.collect();
    chunk_of(&whole, replaced, until)
}

fn chunk_of(batch: &Batch, replaced: LossCounts, until: i64) -> Chunk {
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

/// What becomes of a chunk that goes: its clicks are lost in its minute, and what was lost stays what it was.
fn tell_lost(losses: &mut BTreeMap<(LossReason, i64), u64>, head: &ChunkHead, bytes: &[u8]) {
    let minute = head.until.div_euclid(MINUTE_MS);
    let (count, mut before) = (head.last_no + 1 - head.first_no, head.lost);
    let clicks = count.saturating_sub(before.total());
    if before.total() > 0
        && let Ok(batch) = batch::decode(bytes)
    {
        for loss in batch.losses {
            *losses.entry((loss.reason, loss.minute)).or_default() += loss.count;
        }
        before = LossCounts::default();
    }
    for reason in LossReason::ALL.into_iter().filter(|reason| before.of(*reason) > 0) {
        *losses.entry((reason, minute)).or_default() += before.of(reason);
    }
    if clicks > 0 {
        *losses.entry((LossReason::SpoolFull, minute)).or_default() += clicks;
    }
}

/// The chunks of a batch, as one. What cannot be read any more becomes a loss under the same numbers.
fn read_batch(disk: &mut SpoolDisk, dir: &Path, boot: [u8; 16], offering: &Offering) -> io::Result<Vec<u8>> {
    let seal = &offering.seal;
    let range = NumberRange { first_no: seal.first_no, last_no: seal.last_no, from: offering.from };
    let mut chunks: Vec<WrittenFrame> = disk.chunks(dir, &range)?;
    let is_whole =
        |chunk: &WrittenFrame| chunk.head.first_no == range.first_no && chunk.head.last_no == range.last_no;
    if chunks.len() == 1 && is_whole(&chunks[0]) {
        return Ok(std::mem::take(&mut chunks[0].batch));
    }
    let batches: Result<Vec<Batch>, _> = chunks.iter().map(|chunk| batch::decode(&chunk.batch)).collect();
    let joined = batches.and_then(|batches| batch::join(&batches));
    if let Ok(joined) = joined
        && (joined.first_no, joined.last_no()) == (range.first_no, range.last_no)
    {
        return Ok(batch::encode(&joined));
    }
    let batches = chunks.iter().filter_map(|chunk| batch::decode(&chunk.batch).ok()).collect();
    let chunk = repaired(&range, batches, seal.lost);
    let missing = chunk.head.lost.of(LossReason::Damaged);
    tracing::error!(
        name: "spool_damaged", spool = disk.spool.id(), first = range.first_no, last = range.last_no, missing,
        "a part of the spool cannot be read: its clicks are told as lost"
    );
    disk.append(dir, boot, &[Frame::Chunk(chunk.head, &chunk.batch)], true)?;
    Ok(chunk.batch)
}

#[cfg(test)]
#[path = "files_tests.rs"]
mod tests;
