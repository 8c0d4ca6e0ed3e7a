//! The state of a spool: which clicks are on an edge's disk, which of them are made up into batches, what control has of
//! those and what is sent next. The files themselves, and when they are synced, are the edge's.
//!
//! Clicks go to disk in **chunks**, a few times a second. Chunks that follow each other in one file are a **group**; a group
//! is made up into a **batch** (sealed, and that is on disk, too) when control has everything before it. So one batch at
//! most is on its way, the same seq always means the same numbers, and while control is away batches grow instead of
//! becoming many. What is not sealed yet may be dropped: the numbers of what was dropped are a chunk of losses, and no seq is
//! ever missing.

mod frame;
mod plans;
#[cfg(test)]
mod tests;

use link::rule::{Rule, off};
use std::collections::VecDeque;

pub use plans::DropPlan;

pub use frame::{
    Acked, Begin, ChunkHead, ChunkSize, Frame, LossCounts, ReadFrame, RingPlace, Seal, Standing, TornFrame,
    read,
};

/// Bounds of a group, well below those of a batch: it becomes one.
const GROUP_CLICKS: u64 = 32_768;
const GROUP_SIZE: ChunkSize = ChunkSize { bytes: 3 * 1024 * 1024, notes: 12_288 };

/// An end that is not known.
const ANYWHERE: u64 = u64::MAX;

/// Where a frame begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct FilePlace {
    /// The number of the file.
    pub file: u32,
    /// Bytes into it.
    pub offset: u64,
}

/// Numbers whose chunks are in one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NumberRange {
    /// The first.
    pub first_no: u64,
    /// The last; one below the first: there are none.
    pub last_no: u64,
    /// Where the first of their chunks is, or something before it in the same file.
    pub from: FilePlace,
    /// Where the last of them ends in that file, as far as is known: a chunk without a number is told by nothing else from the
    /// ones beside it.
    pub end: u64,
}

/// A batch to send now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offering {
    /// Which.
    pub seal: Seal,
    /// Where its chunks are.
    pub range: NumberRange,
    /// Those that control lacks before it are not on this disk any more.
    pub first: bool,
}

/// What an answer of control means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerEffect {
    /// It has the batch.
    Acknowledged,
    /// It lacks earlier ones, which are sent next.
    Back,
    /// It still wants what was just offered.
    Again,
    /// It has batches of this spool that this disk knows nothing of: the disk was put back to an earlier state. See
    /// [`Spool::catch_up`].
    Beyond,
}

/// A file of the spool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpoolFile {
    /// Its number; they rise.
    pub number: u32,
    /// Its length.
    pub bytes: u64,
    /// The latest [`ChunkHead::until`] in it.
    pub until: i64,
}

/// Chunks of one file that become one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Group {
    range: NumberRange,
    lost: LossCounts,
    size: ChunkSize,
    until: i64,
    /// It takes no more.
    full: bool,
}

/// A batch that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct SealedBatch {
    seal: Seal,
    from: FilePlace,
    /// See [`NumberRange::end`].
    end: u64,
    /// All its chunks are in that file.
    whole: bool,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Spool {
    id: u64,
    standing: Standing,
    files: VecDeque<SpoolFile>,
    /// Not made up into batches yet, in the order of their numbers.
    groups: VecDeque<Group>,
    /// Made up, and still on disk, in the order of their seqs.
    sealed: VecDeque<SealedBatch>,
    /// The last batch that is known to be on disk.
    synced_seq: u64,
    /// The next batch to send.
    next: u64,
    /// Control said so itself, and no reason is known why it should say something else by now.
    is_told: bool,
}

impl Spool {
    /// An empty one. `places`: up to where the rings are in the spool before it.
    pub fn new(id: u64, places: Vec<RingPlace>) -> Self {
        let standing = Standing { places, ..Standing::default() };
        Self { id, standing, next: 1, ..Self::default() }
    }

    /// One whose oldest file begins like this; its frames, this one too, are then given to [`Spool::replay`].
    pub fn restored(begin: &Begin) -> Self {
        let standing = begin.standing.clone();
        let (synced_seq, next) = (standing.last_seq, standing.acked.seq + 1);
        Self { id: begin.spool, standing, synced_seq, next, ..Self::default() }
    }

    /// Which spool: never that of another edge or of another life of this disk.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// What it has come to.
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// The number that the next click gets.
    pub fn next_no(&self) -> u64 {
        self.standing.last_no + 1
    }

    /// Its files, the oldest first; the last one is written.
    pub fn files(&self) -> impl DoubleEndedIterator<Item = &SpoolFile> + ExactSizeIterator {
        self.files.iter()
    }

    /// Bytes in all its files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// Bytes in files from the first on that has something control lacks: what cannot go without a loss.
    pub fn owed_bytes(&self) -> u64 {
        let acked = self.standing.acked.seq;
        let on_their_way = self.sealed.iter().rev().take_while(|batch| batch.seal.seq > acked);
        let needed = self.groups.iter().map(|group| group.range.from.file);
        let Some(first) = needed.chain(on_their_way.map(|batch| batch.from.file)).min() else { return 0 };
        self.files.iter().filter(|file| file.number >= first).map(|file| file.bytes).sum()
    }

    /// Clicks that control has in a batch.
    pub fn acknowledged(&self) -> u64 {
        let acked = &self.standing.acked;
        acked.no.saturating_sub(acked.lost.total())
    }

    /// Clicks that are neither acknowledged nor lost. With those two they are all that were recorded.
    pub fn pending(&self) -> u64 {
        let recorded = self.standing.last_no;
        recorded.saturating_sub(self.acknowledged()).saturating_sub(self.standing.lost.total())
    }

    /// Whether control lacks any of it, a loss that it was not told too.
    pub fn owes(&self) -> bool {
        let all = self.standing.acked.no == self.standing.last_no && self.groups.is_empty();
        !all || self.waiting().is_some()
    }

    /// Every click answered before (Unix milliseconds) is with control. `None`: it owes nothing.
    pub fn complete_until(&self) -> Option<i64> {
        self.owes().then_some(self.standing.acked.until)
    }

    /// A new file begins. It begins with [`Begin`] and [`Spool::unacked`]; they are so many bytes.
    pub fn begin_file(&mut self, number: u32, bytes: u64) {
        self.groups.iter_mut().for_each(|group| group.full = true);
        self.files.push_back(SpoolFile { number, bytes, until: self.standing.acked.until });
    }

    /// The batch that was made and is not acknowledged: a file that begins repeats it.
    pub fn unacked(&self) -> Option<Seal> {
        self.sealed.back().map(|batch| batch.seal).filter(|seal| seal.seq > self.standing.acked.seq)
    }

    /// A chunk was written at `from`, in so many bytes. It goes on behind the last number, or stands for chunks that it
    /// covers.
    pub fn chunk(&mut self, head: &ChunkHead, from: FilePlace, bytes: u64) {
        self.grow(bytes, head.until);
        let standing = &mut self.standing;
        standing.lost.remove(head.replaced);
        standing.lost.add(head.lost);
        if !head.places.is_empty() {
            standing.places.clone_from(&head.places);
        }
        let (first_no, last_no) = (head.first_no, head.last_no);
        let goes_on = first_no > standing.last_no;
        standing.last_no = standing.last_no.max(last_no);
        let end = from.offset + bytes;
        let range = NumberRange { first_no, last_no, from, end };
        let group = Group { range, lost: head.lost, size: head.size, until: head.until, full: !goes_on };
        if goes_on {
            match self.groups.back_mut().filter(|last| last.takes(&group)) {
                Some(last) => last.take(&group),
                None => self.groups.push_back(group),
            }
        } else if let Some(batch) = self.sealed.iter_mut().find(|batch| batch.is_of(first_no, last_no)) {
            (batch.from, batch.end, batch.whole) = (from, end, true);
            batch.seal.lost.remove(head.replaced);
            batch.seal.lost.add(head.lost);
        } else {
            self.groups.retain(|own| own.range.last_no < first_no || last_no < own.range.first_no);
            let at = self.groups.partition_point(|own| own.range.first_no < first_no);
            self.groups.insert(at, group);
        }
    }

    /// The batch that can be made now: control has all before it.
    pub fn plan_seal(&self) -> Option<Seal> {
        let standing = &self.standing;
        let idle = standing.last_seq == standing.acked.seq && self.waiting().is_none();
        let group = self.groups.front().filter(|_| idle)?;
        let NumberRange { first_no, last_no, .. } = group.range;
        let (seq, lost, until) = (standing.last_seq + 1, group.lost, group.until);
        (first_no == standing.acked.no + 1).then_some(Seal { seq, first_no, last_no, lost, until })
    }

    /// The same once this chunk is there: both can go to disk together.
    pub fn plan_seal_with(&self, head: &ChunkHead) -> Option<Seal> {
        let standing = &self.standing;
        let idle = standing.last_seq == standing.acked.seq && self.waiting().is_none();
        let next = idle && self.groups.is_empty() && head.first_no == standing.acked.no + 1;
        let &ChunkHead { first_no, last_no, lost, until, .. } = head;
        next.then_some(Seal { seq: standing.last_seq + 1, first_no, last_no, lost, until })
    }

    /// A batch was made, which was written in so many bytes.
    pub fn seal(&mut self, seal: Seal, bytes: u64) {
        self.grow(bytes, i64::MIN);
        let acked = self.standing.acked.seq;
        if let Some(last) = self.sealed.back_mut().filter(|last| last.seal.seq >= seal.seq) {
            if last.seal.seq == seal.seq {
                last.seal.lost = seal.lost; // a file that begins repeats it, and knows of repairs
            }
            return;
        }
        if seal.seq <= acked {
            return;
        }
        let mut batch = SealedBatch { seal, from: FilePlace::default(), end: ANYWHERE, whole: false };
        while let Some(group) = self.groups.front_mut() {
            let range = group.range;
            if range.first_no > seal.last_no && !batch.is_of(range.first_no, range.last_no) {
                break;
            }
            batch.from = range.from;
            batch.whole = batch.is_of(range.first_no, range.last_no);
            batch.end = if batch.whole { range.end } else { ANYWHERE };
            if range.last_no > seal.last_no {
                group.range.first_no = seal.last_no + 1;
                break;
            }
            self.groups.pop_front();
            if batch.whole {
                break; // one without a number may follow, which is no part of it
            }
        }
        self.sealed.push_back(batch);
        self.standing.last_seq = self.standing.last_seq.max(seal.seq);
    }

    /// Everything that was written is on disk: it may be sent, and the rings may forget it.
    pub fn synced(&mut self) {
        self.synced_seq = self.standing.last_seq;
    }

    fn waiting(&self) -> Option<&SealedBatch> {
        let at = self.sealed.partition_point(|batch| batch.seal.seq < self.next);
        self.sealed.range(at..).find(|batch| batch.whole)
    }

    /// What to send now.
    pub fn offer(&self) -> Option<Offering> {
        let batch = self.waiting()?;
        let on_disk = batch.seal.seq <= self.synced_seq || off(Rule::ClickFsyncFirst);
        // What control lacks before `next` may be here, as long as it did not say what it has.
        let oldest =
            self.sealed.iter().find(|batch| batch.whole).is_none_or(|own| own.seal.seq == batch.seal.seq);
        let first = batch.seal.seq > self.next && (self.is_told || oldest);
        on_disk.then_some(Offering { seal: batch.seal, range: batch.range(), first })
    }

    /// What control says to the batch `seq`: it has all up to `acked`, or wants `want` (0: none).
    pub fn answered(&mut self, seq: u64, acked: u64, want: u64) -> AnswerEffect {
        if acked > self.standing.last_seq {
            return AnswerEffect::Beyond;
        }
        if acked >= seq {
            self.acknowledge(acked);
            (self.next, self.is_told) = (acked + 1, true);
            return AnswerEffect::Acknowledged;
        }
        if want == 0 || want >= seq || (want == self.next && self.is_told) {
            return AnswerEffect::Again;
        }
        (self.next, self.is_told) = (want, true);
        AnswerEffect::Back
    }

    /// Control has this spool up to the batch `seq` and the number `no`, which is more than this disk knows of. Only one process
    /// ever records into a spool, so the numbers that both have are the same clicks: those are not sent again, and what is
    /// behind them goes on. `false`: what control says does not fit to what it was sent before, and nothing has changed.
    pub fn catch_up(&mut self, seq: u64, no: u64) -> bool {
        let sent = self.sealed.back().map_or(0, |batch| batch.seal.last_no).max(self.standing.acked.no);
        if seq <= self.standing.last_seq || no < sent {
            return false;
        }
        self.acknowledge(seq);
        let mut acked = Acked { seq, no, ..self.standing.acked };
        for group in self.groups.iter().take_while(|group| group.range.last_no <= no) {
            acked.lost.add(group.lost);
            acked.until = group.until;
        }
        self.take_acked(&acked);
        (self.synced_seq, self.is_told) = (self.standing.last_seq, true);
        true
    }

    /// What control has was written as a [`Frame::Acked`], in so many bytes.
    pub fn note_acked(&mut self, bytes: u64) {
        self.grow(bytes, i64::MIN);
    }

    /// Control may have been put back to an earlier state: it is asked by the last batch that is still here.
    pub fn ask_again(&mut self) {
        self.is_told = false;
        if let Some(last) = self.sealed.iter().rfind(|batch| batch.whole) {
            self.next = self.next.min(last.seal.seq);
        }
    }

    /// Control refuses a batch. One that it had acknowledged is not offered to it again until [`ask_again`](Self::ask_again):
    /// nothing of it is owed.
    pub fn refused(&mut self, seq: u64) {
        let acked = self.standing.acked.seq;
        if seq <= acked {
            self.next = acked + 1;
        }
    }

    fn acknowledge(&mut self, seq: u64) {
        let acked = &mut self.standing.acked;
        let news = self.sealed.partition_point(|batch| batch.seal.seq <= acked.seq);
        for SealedBatch { seal, .. } in self.sealed.range(news..).take_while(|batch| batch.seal.seq <= seq) {
            acked.lost.add(seal.lost);
            (acked.seq, acked.no, acked.until) = (seal.seq, seal.last_no, seal.until);
        }
    }

    /// The oldest file, if nothing unacknowledged is in it and it is not the one that is written.
    pub fn done_file(&self) -> Option<SpoolFile> {
        let oldest = self.files.front().filter(|_| self.files.len() > 1)?;
        (!self.is_needed(oldest.number)).then_some(*oldest)
    }

    fn is_needed(&self, file: u32) -> bool {
        self.groups.iter().any(|group| group.range.from.file == file) || self.is_on_its_way(file)
    }

    fn is_on_its_way(&self, file: u32) -> bool {
        let acked = self.standing.acked.seq;
        let mut newest = self.sealed.iter().rev().take_while(|batch| batch.seal.seq > acked);
        newest.any(|batch| batch.from.file == file)
    }

    /// A file is gone.
    pub fn forget(&mut self, file: u32) {
        self.files.retain(|own| own.number != file);
        let acked = self.standing.acked.seq;
        self.sealed.retain(|batch| batch.from.file != file || batch.seal.seq > acked);
    }

    /// A frame of its files, in the order in which they were written; `from` is where it begins.
    pub fn replay(&mut self, frame: Frame<'_>, from: FilePlace, bytes: u64) {
        match frame {
            Frame::Begin(begin) => {
                self.go_back_to(&begin.standing);
                self.begin_file(from.file, bytes);
            }
            Frame::Chunk(head, _) => self.chunk(&head, from, bytes),
            Frame::Seal(seal) => self.seal(seal, bytes),
            Frame::Closed => self.grow(bytes, i64::MIN),
            Frame::Acked(acked) => {
                self.grow(bytes, i64::MIN);
                self.take_acked(&acked);
            }
        }
        self.synced();
    }

    /// All its frames were replayed.
    pub fn replayed(&mut self) {
        let acked = self.standing.acked.seq;
        // Those could not be sent again.
        self.sealed.retain(|batch| batch.whole || batch.seal.seq > acked);
    }

    /// The beginning of a file says what was true: what stands in the file before beyond that was never relied on.
    fn go_back_to(&mut self, standing: &Standing) {
        let (last_no, mut cut) = (standing.last_no, false);
        while let Some(group) = self.groups.back_mut().filter(|group| group.range.last_no > last_no) {
            if group.range.first_no <= last_no {
                group.range.last_no = last_no;
                cut = true;
            } else {
                self.groups.pop_back();
            }
        }
        while self.sealed.back().is_some_and(|batch| batch.seal.seq > standing.last_seq) {
            self.sealed.pop_back();
        }
        self.standing = Standing { acked: self.standing.acked, ..standing.clone() };
        self.take_acked(&standing.acked);
        // What was lost behind the cut is not lost of what is left: that is what nothing else tells of all that was lost.
        let own = self.groups.back_mut().filter(|group| cut && group.range.last_no == last_no);
        if let Some(mut lost) = own.map(|group| std::mem::take(&mut group.lost)) {
            let mut behind = lost;
            behind.remove(self.untold());
            lost.remove(behind);
            self.groups.back_mut().into_iter().for_each(|group| group.lost = lost);
        }
    }

    fn take_acked(&mut self, acked: &Acked) {
        let standing = &mut self.standing;
        if acked.seq < standing.acked.seq {
            return;
        }
        standing.acked = *acked;
        // Control may have more than this disk: see `catch_up`.
        standing.last_seq = standing.last_seq.max(acked.seq);
        standing.last_no = standing.last_no.max(acked.no);
        self.next = acked.seq + 1;
        while let Some(group) = self.groups.front_mut().filter(|group| group.range.first_no <= acked.no) {
            if group.range.last_no > acked.no {
                group.range.first_no = acked.no + 1;
                break;
            }
            self.groups.pop_front();
        }
    }

    fn grow(&mut self, bytes: u64, until: i64) {
        if let Some(file) = self.files.back_mut() {
            file.bytes += bytes;
            file.until = file.until.max(until);
        }
    }
}

impl Group {
    /// Whether that which follows becomes part of the same batch.
    fn takes(&self, next: &Self) -> bool {
        let NumberRange { first_no, last_no, from, end: _ } = self.range;
        let clicks =
            (next.range.last_no + 1).saturating_sub(first_no + self.lost.total() + next.lost.total());
        !self.full
            && last_no + 1 == next.range.first_no
            && from.file == next.range.from.file
            && clicks <= GROUP_CLICKS
            && self.size.bytes.saturating_add(next.size.bytes) <= GROUP_SIZE.bytes
            && self.size.notes.saturating_add(next.size.notes) <= GROUP_SIZE.notes
    }

    fn take(&mut self, next: &Self) {
        (self.range.last_no, self.range.end) = (next.range.last_no, next.range.end);
        self.lost.add(next.lost);
        self.size.bytes += next.size.bytes;
        self.size.notes += next.size.notes;
        self.until = next.until;
    }

    /// Nothing of it is a click any more.
    fn is_lost(&self) -> bool {
        self.full && self.range.last_no + 1 - self.range.first_no == self.lost.total()
    }
}

impl SealedBatch {
    fn range(&self) -> NumberRange {
        let Seal { first_no, last_no, .. } = self.seal;
        NumberRange { first_no, last_no, from: self.from, end: self.end }
    }

    fn is_of(&self, first_no: u64, last_no: u64) -> bool {
        self.seal.first_no == first_no && self.seal.last_no == last_no
    }
}
