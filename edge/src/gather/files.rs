//! The spool's files: written, synced, read back and removed. What they mean is in `clicks::spool`.
//!
//! A folder may hold several spools: that which this process records into, and those of processes before, which are sent to
//! their end and kept as long.

use super::disk::{SpoolDisk, WrittenFrame};
use super::drain::Chunk;
use super::found::{FoundSpool, LastLook, Reading, ReadingNews, join_places};
use super::repair::{chunk_of, repaired};
use clicks::batch::{self, Batch, Loss};
use clicks::spool::{AnswerEffect, ChunkHead, Frame, LossCounts, Offering, RingPlace, Spool};
use clicks::{CLASSIFIER, LossReason};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

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
    /// Of processes before, as far as their last files tell, until all of each is read.
    awaited: Vec<Spool>,
    /// `None`: all are read.
    reading: Option<Reading>,
    /// Which are only sent, the oldest first.
    closed: Vec<SpoolDisk>,
    active: SpoolDisk,
    /// Of spools that are gone.
    bygone: SpoolSums,
    /// The active spool is one that was begun in the place of a refused one.
    replaced: bool,
    /// Every click answered before is in a spool of a process before.
    last_until: Option<i64>,
    /// Control is there, as far as is known.
    pub connected: bool,
}

/// What control says to a batch.
#[derive(Clone, Copy, Debug)]
pub struct HeardAnswer {
    /// Of which spool the batch is.
    pub spool: u64,
    /// Which it is.
    pub seq: u64,
    /// Control has everything up to this batch.
    pub acked: u64,
    /// It wants this one next; 0: what follows.
    pub want: u64,
    /// The number of the last click that it has; 0: it does not say.
    pub last_no: u64,
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

/// Spools of before that were read.
#[derive(Clone, Copy, Debug, Default)]
pub struct FoundNews {
    /// There are some.
    pub any: bool,
    /// Others are not read yet.
    pub more: bool,
}

impl SpoolFiles {
    /// Looks at what is in the folder, and begins a spool of this process: `id` is random. The others are read meanwhile.
    ///
    /// # Errors
    /// The folder or the last file of a spool cannot be opened.
    pub fn open(dir: &Path, boot: [u8; 16], bound: u64, id: u64) -> io::Result<Self> {
        let (found, next_file) = FoundSpool::all(dir, file_bytes(bound))?;
        let looks: io::Result<Vec<Option<LastLook>>> =
            found.iter().map(|found| found.last_look(dir)).collect();
        let looks: Vec<LastLook> = looks?.into_iter().flatten().collect();
        let active = SpoolDisk::new(Spool::new(id, join_places(&looks, boot)), next_file, file_bytes(bound));
        let own = looks.iter().filter(|look| look.boot == boot);
        let last_until = own.filter_map(|look| Some(look.spool.files().next_back()?.until)).max();
        let reading = if found.is_empty() { None } else { Some(Reading::start(dir, boot, found)?) };
        Ok(Self {
            dir: dir.to_path_buf(),
            boot,
            bound,
            awaited: looks.into_iter().map(|look| look.spool).collect(),
            reading,
            closed: Vec::new(),
            active,
            bygone: SpoolSums::default(),
            replaced: false,
            last_until: last_until.filter(|until| *until > 0),
            connected: false,
        })
    }

    /// Takes over the spools of before that were read since, waiting for one for so long. The store, or this disk, may have been
    /// put back since: whoever calls has them [asked about](Self::ask_again).
    ///
    /// # Errors
    /// One cannot be read now: it is tried again.
    pub fn take_found(&mut self, mut wait: Duration) -> io::Result<FoundNews> {
        let mut news = FoundNews::default();
        while let Some(reading) = &mut self.reading {
            match reading.next(std::mem::take(&mut wait)) {
                ReadingNews::Read { id, disk } => {
                    self.awaited.retain(|spool| spool.id() != id);
                    self.closed.extend(disk.map(|disk| *disk));
                    news.any = true;
                }
                ReadingNews::Failed(fault) => return Err(fault),
                ReadingNews::None { ended: true } => self.reading = None,
                ReadingNews::None { ended: false } => {
                    news.more = true;
                    break;
                }
            }
        }
        Ok(news)
    }

    /// Up to where the rings are on disk.
    pub fn places(&self) -> &[RingPlace] {
        &self.active.spool.standing().places
    }

    /// The number of the next click.
    pub fn next_no(&self) -> u64 {
        self.active.spool.next_no()
    }

    /// Every click answered before is in a spool of a process before; `None`: there is none of this boot.
    pub fn last_until(&self) -> Option<i64> {
        self.last_until
    }

    /// All spools added up.
    pub fn sums(&self) -> SpoolSums {
        let mut sums = self.bygone;
        for spool in self.spools() {
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
        self.spools().filter_map(Spool::complete_until).min()
    }

    /// Those that are not read yet, too.
    fn spools(&self) -> impl Iterator<Item = &Spool> {
        self.awaited.iter().chain(self.all().map(|disk| &disk.spool))
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
        let is_next = self.may_seal(self.closed.len()) && !self.closed.iter().any(|disk| disk.spool.owes());
        for (at, chunk) in chunks.iter().enumerate() {
            frames.push(Frame::Chunk(chunk.head.clone(), &chunk.batch));
            // What control waits for goes to disk in the same write.
            let first = (at == 0 && is_next).then(|| self.active.spool.plan_seal_with(&chunk.head)).flatten();
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
            let may_seal = self.may_seal(at);
            let disk = self.at(at);
            if disk.refused_until.is_some_and(|until| now < until) {
                continue;
            }
            if may_seal
                && let Some(seal) = disk.spool.plan_seal()
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

    /// What is made up into a batch may have been counted, and stays whatever room it takes. So while control is away one spool
    /// has a batch, and not each of those that processes begin meanwhile.
    fn may_seal(&self, at: usize) -> bool {
        at < self.closed.len() || self.connected || self.awaited.is_empty()
    }

    /// Control refuses a batch of this spool: others go on, and this one is tried again then. New clicks do not wait behind what
    /// control may never take, such as a spool that another edge began: they go on in another one, with this random `id`. Once in
    /// a process, since control may refuse any.
    pub fn refused(&mut self, spool: u64, seq: u64, again: Instant, id: u64) {
        let Some(disk) = self.all_mut().find(|disk| disk.spool.id() == spool) else { return };
        disk.refused_until = Some(again);
        disk.spool.refused(seq);
        if self.replaced || self.active.spool.id() != spool {
            return;
        }
        tracing::warn!(
            name: "spool_refused", spool, pending = self.active.spool.pending(),
            "control refuses this spool: what it holds is offered again now and then, and new clicks go on in another one"
        );
        self.replace(id);
        self.replaced = true;
    }

    /// Another spool goes on where this one was.
    fn replace(&mut self, id: u64) {
        let next_file = self.all().map(SpoolDisk::next_file).max().unwrap_or(1);
        let spool = Spool::new(id, self.places().to_vec());
        let fresh = SpoolDisk::new(spool, next_file, file_bytes(self.bound));
        let old = std::mem::replace(&mut self.active, fresh);
        self.closed.push(old);
    }

    /// What control says to a batch. `false`: it wants the same one again. `again` and `id`: see [`refused`](Self::refused).
    ///
    /// # Errors
    /// The disk cannot be written: the next start will ask control again.
    pub fn answered(&mut self, heard: HeardAnswer, again: Instant, id: u64) -> io::Result<bool> {
        let HeardAnswer { spool, seq, acked, want, last_no } = heard;
        let (dir, boot) = (self.dir.clone(), self.boot);
        let Some(disk) = self.all_mut().find(|disk| disk.spool.id() == spool) else { return Ok(true) };
        let before = disk.spool.standing().acked.seq;
        let effect = disk.spool.answered(seq, acked, want);
        let behind = effect == AnswerEffect::Beyond;
        match effect {
            AnswerEffect::Acknowledged => {}
            AnswerEffect::Again => return Ok(false),
            AnswerEffect::Back => {
                tracing::warn!(
                    name: "clicks_wanted_again", spool, seq, want,
                    "control lacks batches that it had, as after a restore: they are sent again as far as they are here"
                );
                self.ask_again(Some(spool));
                return Ok(true);
            }
            AnswerEffect::Beyond => {
                let caught_up = disk.spool.catch_up(acked, last_no);
                tracing::error!(
                    name: "spool_behind", spool, acked, last_no, seq, caught_up,
                    "control has batches of this spool that this disk knows nothing of, as after a restore of the disk: what it \
                     has is not sent again, and what it lacks is sent as soon as control says up to where that is"
                );
                if !caught_up {
                    self.refused(spool, seq, again, id);
                    return Ok(true);
                }
            }
        }
        let acked = disk.spool.standing().acked;
        if acked.seq > before {
            disk.append(&dir, boot, &[Frame::Acked(acked)], false)?;
        }
        if behind && self.active.spool.id() == spool {
            // The memory of this process was put back, too: others have used its numbers.
            self.replace(id);
        }
        Ok(true)
    }

    /// Control may have been put back: each spool but this one is asked about by its last batch.
    pub fn ask_again(&mut self, but: Option<u64>) {
        let others = self.all_mut().filter(|disk| Some(disk.spool.id()) != but);
        others.for_each(|disk| disk.spool.ask_again());
    }

    /// Removes a closed spool, which owes nothing.
    fn leave(&mut self, at: usize) -> io::Result<()> {
        // Up to where the rings are may be told by its files alone.
        self.active.begin_first(&self.dir, self.boot)?;
        let mut disk = self.closed.remove(at);
        let (spool, bygone) = (&disk.spool, &mut self.bygone);
        bygone.recorded += spool.standing().last_no;
        bygone.acknowledged += spool.acknowledged();
        bygone.lost.add(spool.standing().lost);
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

    /// Removes the oldest file that control has all of, or a spool that owes nothing. `false`: there is neither.
    fn forget_oldest(&mut self) -> io::Result<bool> {
        if let Some(at) = self.position(|disk| disk.spool.done_file().is_some()) {
            return self.forget_done(at).map(|()| true);
        }
        let done = self.closed.iter().position(|disk| !disk.spool.owes());
        done.map_or(Ok(false), |at| self.leave(at).map(|()| true))
    }

    /// Removes the oldest file with clicks that control lacks, and tells them as lost. `false`: there is none that could go.
    fn drop_oldest(&mut self) -> io::Result<bool> {
        let (dir, boot) = (self.dir.clone(), self.boot);
        let active = self.closed.len();
        let has_some = |(at, disk): (usize, &SpoolDisk)| {
            disk.spool.plan_drop().is_some() || (at < active && disk.spool.has_clicks_in_last_file())
        };
        let Some(at) = self.all().enumerate().position(has_some) else { return Ok(false) };
        let disk = self.at(at);
        if disk.spool.plan_drop().is_none() {
            // Of a spool of before the last file goes, too: what is told of its clicks gets another one.
            disk.begin_next(&dir, boot)?;
        }
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
    let range = offering.range;
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
    let chunk = repaired(&range, batches, seal.lost, seal.until);
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
