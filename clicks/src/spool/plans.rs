//! What is to be written when a spool has no room, and in the place of what of it cannot be read.

use super::{ANYWHERE, FilePlace, Group, LossCounts, NumberRange, Seal, Spool};

/// What to write so that older clicks can go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DropPlan {
    /// The file that they are in.
    pub file: u32,
    /// It can go then. Otherwise other clicks are in it, apart from these: they are planned next.
    pub goes: bool,
    /// The chunks that go, by where they are; together they have no hole.
    pub ranges: Vec<NumberRange>,
    /// Of their numbers, those that are lost already.
    pub lost: LossCounts,
}

impl Spool {
    /// What to write so that the oldest clicks that control lacks can go with their file. `None`: there is no such file beside
    /// that with the batch which is on its way, and that which is written.
    pub fn plan_drop(&self) -> Option<DropPlan> {
        let written = self.files.len().saturating_sub(1);
        let has_groups = |file: u32| self.groups.iter().any(|group| group.range.from.file == file);
        let mut files = self.files.iter().take(written).map(|file| file.number);
        let file = files.find(|file| has_groups(*file) && !self.is_on_its_way(*file))?;
        let mut first = self.groups.iter().position(|group| group.range.from.file == file)?;
        // Losses before it become one with its own.
        while let Some(before) = first.checked_sub(1).and_then(|at| self.groups.get(at)) {
            if !before.is_lost() || before.range.last_no + 1 != self.groups[first].range.first_no {
                break;
            }
            first -= 1;
        }
        let mut plan = DropPlan { file, goes: false, ranges: Vec::new(), lost: LossCounts::default() };
        for group in self.groups.iter().skip(first) {
            let follows = plan.ranges.last().is_none_or(|last| last.last_no + 1 == group.range.first_no);
            if !follows || !(group.is_lost() || group.range.from.file == file) {
                break;
            }
            plan.lost.add(group.lost);
            plan.ranges.push(group.range);
        }
        let stays = |range: &NumberRange| range.from.file == file && range.last_no >= range.first_no;
        let behind = first + plan.ranges.len();
        plan.goes = !self.groups.iter().skip(behind).any(|group| stays(&group.range));
        Some(plan)
    }

    /// Whether clicks could be dropped from the file that is written, if another one were begun.
    pub fn has_clicks_in_last_file(&self) -> bool {
        let Some(last) = self.files.back().map(|file| file.number) else { return false };
        let has_clicks = |group: &Group| {
            group.range.from.file == last
                && group.range.last_no + 1 - group.range.first_no > group.lost.total()
        };
        self.groups.iter().any(has_clicks) && !self.is_on_its_way(last)
    }

    /// Numbers that were given out and whose chunks are not all there: what is left of them and a loss have to be written as
    /// one chunk of exactly these numbers. Looked for behind a replay.
    pub fn plan_repair(&self) -> Option<NumberRange> {
        let acked = &self.standing.acked;
        let mut expected = acked.no + 1;
        let unacked = self.sealed.partition_point(|batch| batch.seal.seq <= acked.seq);
        for batch in self.sealed.range(unacked..) {
            if !batch.whole {
                let Seal { first_no, last_no, .. } = batch.seal;
                return Some(NumberRange { first_no, last_no, from: FilePlace::default(), end: ANYWHERE });
            }
            expected = batch.seal.last_no + 1;
        }
        let end = self.next_no();
        let starts = self.groups.iter().map(|group| (group.range.first_no, group.range.last_no));
        for (first_no, last_no) in starts.chain([(end, end)]) {
            if first_no > expected {
                let from = FilePlace::default();
                return Some(NumberRange { first_no: expected, last_no: first_no - 1, from, end: ANYWHERE });
            }
            expected = last_no + 1;
        }
        None
    }

    /// Of the numbers of a [repair](Self::plan_repair), those that were lost before: a file told of them which is not there, or of
    /// which a part is not.
    pub fn lost_before_repair(&self, range: &NumberRange) -> LossCounts {
        if let Some(batch) = self.sealed.iter().rev().find(|batch| batch.is_of(range.first_no, range.last_no))
        {
            return batch.seal.lost;
        }
        self.untold()
    }

    /// What is lost of the numbers that control lacks, beside what batches and chunks tell.
    pub(super) fn untold(&self) -> LossCounts {
        let mut lost = self.standing.lost;
        lost.remove(self.standing.acked.lost);
        let unacked = self.sealed.partition_point(|batch| batch.seal.seq <= self.standing.acked.seq);
        self.sealed.range(unacked..).for_each(|batch| lost.remove(batch.seal.lost));
        self.groups.iter().for_each(|group| lost.remove(group.lost));
        lost
    }

    /// Chunks without a click in such a file: nobody is told that they are gone.
    pub fn drop_empty(&mut self, file: u32) {
        let is_empty = |range: &NumberRange| range.last_no < range.first_no;
        self.groups.retain(|group| group.range.from.file != file || !is_empty(&group.range));
    }
}
