//! A spool, its disk and a control, put through whatever can happen to them, in any order.

use super::*;
use crate::LossReason;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// What a number came to, as control was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Counted,
    Lost,
}

/// Files as bytes, and how much of each is synced.
#[derive(Clone, Default)]
struct Disk {
    files: BTreeMap<u32, Vec<u8>>,
}

/// A control that keeps to the ledger's rules.
#[derive(Clone, Default)]
struct Control {
    seq: u64,
    last_no: u64,
    told: BTreeMap<u64, Told>,
    holes: u64,
}

struct World {
    spool: Spool,
    disk: Disk,
    control: Control,
    backup: Control,
    /// The highest number that was ever given out.
    given: u64,
}

const BOOT: [u8; 16] = [1; 16];

/// The batch of a chunk, as a test has it: a byte a number.
fn content(clicks: u64, lost: u64) -> Vec<u8> {
    [vec![b'c'; clicks as usize], vec![b'l'; lost as usize]].concat()
}

impl World {
    fn new() -> Self {
        let (control, backup) = (Control::default(), Control::default());
        Self { spool: Spool::new(7, Vec::new()), disk: Disk::default(), control, backup, given: 0 }
    }

    fn begin_file(&mut self) {
        let mut bytes = Vec::new();
        let standing = self.spool.standing().clone();
        Frame::Begin(Begin { spool: 7, boot: BOOT, standing }).write(&mut bytes);
        if let Some(seal) = self.spool.unacked() {
            Frame::Seal(seal).write(&mut bytes);
        }
        let number = self.disk.files.last_key_value().map_or(1, |(last, _)| last + 1);
        self.spool.begin_file(number, bytes.len() as u64);
        self.disk.files.insert(number, bytes);
    }

    fn append(&mut self, frame: &Frame<'_>) {
        if self.spool.files().len() == 0 {
            self.begin_file();
        }
        let (file, bytes) = self.disk.files.iter_mut().next_back().unwrap();
        let from = FilePlace { file: *file, offset: bytes.len() as u64 };
        frame.write(bytes);
        let length = bytes.len() as u64 - from.offset;
        match frame {
            Frame::Chunk(head, _) => self.spool.chunk(head, from, length),
            Frame::Seal(seal) => self.spool.seal(*seal, length),
            Frame::Acked(_) => self.spool.note_acked(length),
            Frame::Closed | Frame::Begin(_) => unreachable!("written by nobody, and by begin_file"),
        }
        self.spool.synced();
    }

    fn record(&mut self, clicks: u64, lost: u64) {
        let mut head = ChunkHead { first_no: self.spool.next_no(), ..ChunkHead::default() };
        head.last_no = head.first_no + clicks + lost - 1;
        head.lost.note(LossReason::RingFull, lost);
        self.given = self.given.max(head.last_no);
        let batch = content(clicks, lost);
        let seal = self.spool.plan_seal_with(&head);
        self.append(&Frame::Chunk(head, &batch));
        if let Some(seal) = seal {
            assert_eq!(self.spool.plan_seal(), Some(seal), "both plans are one");
            self.append(&Frame::Seal(seal));
        }
    }

    /// Chunks of these numbers, one behind the other.
    fn read(&self, range: NumberRange) -> Vec<u8> {
        let bytes = &self.disk.files[&range.from.file];
        let (mut rest, mut all) = (&bytes[range.from.offset as usize..], Vec::new());
        while let Ok(Some(frame)) = super::read(rest) {
            rest = &rest[frame.bytes..];
            if let Frame::Chunk(head, batch) = frame.frame
                && head.first_no >= range.first_no
                && head.last_no <= range.last_no
            {
                all.extend_from_slice(batch);
            }
        }
        all
    }

    /// Sends what is next. `heard`: the answer comes back.
    fn send(&mut self, heard: bool) {
        if let Some(seal) = self.spool.plan_seal() {
            self.append(&Frame::Seal(seal));
        }
        let Some(Offering { seal, range, first }) = self.spool.offer() else { return };
        let content = self.read(range);
        assert_eq!(content.len() as u64, seal.last_no + 1 - seal.first_no, "{seal:?}");
        let control = &mut self.control;
        let mut want = 0;
        if seal.seq == control.seq + 1 || (first && seal.seq > control.seq) {
            assert!(first || seal.first_no == control.last_no + 1, "numbers are left out: {seal:?}");
            assert!(seal.first_no > control.last_no, "numbers go back: {seal:?}");
            control.holes += seal.first_no - 1 - control.last_no;
            for (no, what) in (seal.first_no..).zip(content) {
                let what = if what == b'c' { Told::Counted } else { Told::Lost };
                assert_eq!(control.told.insert(no, what), None, "{no} twice");
            }
            (control.seq, control.last_no) = (seal.seq, seal.last_no);
        } else if seal.seq > control.seq {
            want = control.seq + 1;
        }
        if heard {
            let (acked, before) = (control.seq, self.spool.standing().acked.seq);
            let effect = self.spool.answered(seal.seq, acked, want);
            assert_ne!(effect, AnswerEffect::Beyond);
            let now = self.spool.standing().acked;
            if now.seq > before {
                self.append(&Frame::Acked(now));
            }
        }
    }

    /// The oldest clicks go.
    fn drop_oldest(&mut self) {
        let Some(plan) = self.spool.plan_drop() else { return };
        let (first, last) = (plan.ranges[0], plan.ranges[plan.ranges.len() - 1]);
        let mut head = ChunkHead { first_no: first.first_no, last_no: last.last_no, ..ChunkHead::default() };
        head.replaced = plan.lost;
        head.lost = plan.lost;
        let all = head.last_no + 1 - head.first_no;
        head.lost.note(LossReason::SpoolFull, all - plan.lost.total());
        let batch = content(0, all);
        self.append(&Frame::Chunk(head, &batch));
        if plan.goes {
            self.forget(plan.file);
        }
    }

    fn forget(&mut self, file: u32) {
        self.disk.files.remove(&file);
        self.spool.forget(file);
    }

    /// The process is killed, with a frame half written, and another one reads the files.
    fn crash(&mut self) {
        if self.disk.files.is_empty() {
            return;
        }
        let before = self.spool.clone();
        let mut back: Option<Spool> = None;
        for (&file, bytes) in &self.disk.files {
            let mut offset = 0;
            while let Ok(Some(frame)) = super::read(&bytes[offset..]) {
                let from = FilePlace { file, offset: offset as u64 };
                if let Frame::Begin(begin) = &frame.frame {
                    back.get_or_insert_with(|| Spool::restored(begin));
                }
                offset += frame.bytes;
                back.as_mut().unwrap().replay(frame.frame, from, frame.bytes as u64);
            }
        }
        let mut back = back.unwrap();
        back.replayed();
        assert_eq!(back.plan_repair(), None);
        assert_eq!(back.standing(), before.standing());
        assert_eq!((back.pending(), back.acknowledged()), (before.pending(), before.acknowledged()));
        self.spool = back;
        self.begin_file();
    }

    fn check(&self) {
        let spool = &self.spool;
        let lost = spool.standing().lost.total();
        assert_eq!(spool.acknowledged() + lost + spool.pending(), spool.standing().last_no, "the law");
    }
}

#[derive(Clone, Debug)]
enum Step {
    Record(u64, u64),
    Send(bool),
    BeginFile,
    Crash,
    Drop,
    ForgetDone,
    Backup,
    Restore,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1_u64..40, 0_u64..4).prop_map(|(clicks, lost)| Step::Record(clicks, lost)),
        6 => any::<bool>().prop_map(Step::Send),
        2 => Just(Step::BeginFile),
        1 => Just(Step::Crash),
        1 => Just(Step::Drop),
        1 => Just(Step::ForgetDone),
        1 => Just(Step::Backup),
        1 => Just(Step::Restore),
    ]
}

proptest! {
    #[test]
    fn every_number_is_counted_once_or_told(steps in prop::collection::vec(step(), 1..120)) {
        let mut world = World::new();
        for step in steps {
            match step {
                Step::Record(clicks, lost) => world.record(clicks, lost),
                Step::Send(heard) => world.send(heard),
                Step::BeginFile => world.begin_file(),
                Step::Crash => world.crash(),
                Step::Drop => world.drop_oldest(),
                Step::ForgetDone => {
                    if let Some(file) = world.spool.done_file() {
                        world.forget(file.number);
                    }
                }
                Step::Backup => world.backup = world.control.clone(),
                Step::Restore => {
                    world.control = world.backup.clone();
                    world.spool.ask_again();
                }
            }
            world.check();
        }
        // Then control is there, and hears all that is left.
        for _ in 0..1_000 {
            if !world.spool.owes() {
                break;
            }
            world.send(true);
        }
        prop_assert!(!world.spool.owes());
        let told = world.control.told.len() as u64;
        // A control that was put back to before a spool that owes it nothing finds out with the next click.
        prop_assert!(world.control.last_no <= world.given);
        prop_assert_eq!(told + world.control.holes, world.control.last_no);
        world.record(1, 0);
        for _ in 0..1_000 {
            world.send(true);
        }
        let told = world.control.told.len() as u64;
        prop_assert_eq!(world.control.last_no, world.given);
        prop_assert_eq!(told + world.control.holes, world.given);
        let lost = world.control.told.values().filter(|told| **told == Told::Lost).count() as u64;
        prop_assert!(lost <= world.spool.standing().lost.total());
    }
}

#[test]
fn batches_grow_while_control_is_away() {
    let mut world = World::new();
    for _ in 0..100 {
        world.record(10, 0);
    }
    world.send(true);
    world.send(true);
    assert_eq!((world.control.seq, world.control.last_no), (2, 1_000), "the first chunk, then all others");
}

#[test]
fn what_is_damaged_has_to_be_told_under_its_numbers() {
    let mut world = World::new();
    world.record(10, 0);
    world.begin_file();
    world.record(8, 2);
    world.begin_file();
    world.record(10, 0);
    // The file in the middle cannot be read.
    world.disk.files.remove(&2);
    let mut back = replayed(&world.disk, None);
    let range = back.plan_repair().unwrap();
    assert_eq!((range.first_no, range.last_no), (11, 20));
    let mut head = ChunkHead { first_no: 11, last_no: 20, ..ChunkHead::default() };
    head.lost.note(LossReason::Damaged, 10);
    head.replaced = back.lost_before_repair(&range);
    assert_eq!(head.replaced.of(LossReason::RingFull), 2, "the file behind it says so");
    back.chunk(&head, FilePlace { file: 4, offset: 0 }, 9);
    assert_eq!(back.plan_repair(), None);
    assert_eq!((back.standing().lost.of(LossReason::Damaged), back.pending()), (10, 20));
}

#[test]
fn a_spool_that_owes_nothing_owes_nothing_though_its_last_batch_is_refused() {
    let mut world = World::new();
    world.record(10, 0);
    world.send(true);
    world.spool.ask_again();
    assert!(world.spool.owes());
    world.spool.refused(1);
    assert!(!world.spool.owes() && world.spool.offer().is_none());
    // One that control lacks is offered as before.
    world.record(5, 0);
    let offered = world.spool.offer().unwrap();
    world.spool.refused(offered.seal.seq);
    assert_eq!((world.spool.offer(), world.spool.pending()), (Some(offered), 5));
}

/// The folder was put back by two batches, and to when more was waiting than one of them had.
#[test]
fn a_disk_that_was_put_back_catches_up_and_sends_what_control_lacks() {
    let mut world = World::new();
    world.record(10, 0);
    world.send(true);
    world.record(9, 1);
    world.begin_file();
    world.record(10, 0);
    world.record(10, 0);
    world.begin_file();
    world.record(4, 1);
    let (disk, spool) = (world.disk.clone(), world.spool.clone());
    world.send(true);
    world.send(true);
    let (control, given) = (world.control.clone(), world.given);
    assert_eq!((control.seq, control.last_no), (3, 40));
    (world.disk, world.spool) = (disk, spool);
    world.crash();
    world.spool.ask_again();
    assert_eq!(world.spool.plan_seal(), None, "first it asks");
    assert_eq!(world.spool.offer().map(|offered| offered.seal.seq), Some(2));
    assert_eq!(world.spool.answered(2, control.seq, 0), AnswerEffect::Beyond);
    assert!(!world.spool.catch_up(3, 9) && !world.spool.catch_up(1, 40), "that cannot be");
    assert!(world.spool.catch_up(control.seq, control.last_no));
    let acked = world.spool.standing().acked;
    assert_eq!((acked.lost.total(), world.spool.pending()), (1, 4));
    world.append(&Frame::Acked(acked));
    world.check();
    world.crash(); // which compares what the next process reads
    world.send(true);
    assert_eq!((world.control.last_no, world.control.holes), (given, 0));
    assert!(!world.spool.owes());
}

/// Control has what this disk never had, and a part of what would have become one batch here.
#[test]
fn what_control_has_beyond_the_disk_counts_as_recorded() {
    let mut world = World::new();
    world.record(10, 0);
    world.send(true);
    world.record(10, 0);
    world.record(10, 0);
    for (seq, no, pending) in [(4, 25, 5), (9, 55, 0)] {
        assert!(world.spool.catch_up(seq, no));
        assert_eq!((world.spool.pending(), world.spool.owes()), (pending, pending > 0));
        world.append(&Frame::Acked(world.spool.standing().acked));
        world.check();
        world.crash();
        assert_eq!(world.spool.pending(), pending);
    }
    assert_eq!((world.spool.next_no(), world.spool.acknowledged()), (56, 55));
}

#[test]
fn a_control_that_knows_more_than_the_disk_is_beyond_it() {
    let mut spool = Spool::new(1, Vec::new());
    let head = ChunkHead { first_no: 1, last_no: 5, ..ChunkHead::default() };
    let seal = spool.plan_seal_with(&head).unwrap();
    spool.begin_file(1, 10);
    spool.chunk(&head, FilePlace { file: 1, offset: 10 }, 10);
    spool.seal(seal, 10);
    assert_eq!(spool.offer(), None, "it is not on disk yet");
    spool.synced();
    assert_eq!(spool.offer().map(|offer| (offer.seal.seq, offer.first)), Some((1, false)));
    assert_eq!(spool.answered(1, 0, 1), AnswerEffect::Again);
    assert_eq!(spool.answered(1, 9, 0), AnswerEffect::Beyond);
    assert_eq!((spool.bytes(), spool.owed_bytes()), (30, 30));
    assert_eq!(spool.answered(1, 1, 0), AnswerEffect::Acknowledged);
    assert_eq!((spool.acknowledged(), spool.owes()), (5, false));
    assert_eq!((spool.bytes(), spool.owed_bytes()), (30, 0));
}

/// What a process finds in these files, one of which may have lost its end.
fn replayed(disk: &Disk, cut: Option<(u32, usize)>) -> Spool {
    let mut back: Option<Spool> = None;
    for (&file, bytes) in &disk.files {
        let end = cut.filter(|(cut, _)| *cut == file).map_or(bytes.len(), |(_, end)| end);
        let mut offset = 0;
        while let Ok(Some(frame)) = read(&bytes[offset..end]) {
            if let Frame::Begin(begin) = &frame.frame {
                back.get_or_insert_with(|| Spool::restored(begin));
            }
            let from = FilePlace { file, offset: offset as u64 };
            offset += frame.bytes;
            back.as_mut().unwrap().replay(frame.frame, from, frame.bytes as u64);
        }
    }
    let mut back = back.unwrap();
    back.replayed();
    back
}

#[test]
fn a_control_that_went_back_again_is_not_told_that_what_is_here_is_gone() {
    let mut world = World::new();
    for _ in 0..6 {
        world.begin_file();
        world.record(10, 0);
        world.send(true);
    }
    world.begin_file();
    // Control has the first four, and the fifth is gone.
    assert_eq!(world.spool.standing().acked.seq, 6);
    world.forget(5);
    let four = Control { seq: 4, last_no: 40, ..world.control.clone() };
    world.spool.ask_again();
    assert_eq!(world.spool.answered(6, four.seq, 5), AnswerEffect::Back);
    assert_eq!(world.spool.offer().map(|offer| (offer.seal.seq, offer.first)), Some((6, true)));
    // It is put back once more: whether it lacks what is here, too, is not known until it says so.
    world.spool.ask_again();
    assert_eq!(world.spool.offer().map(|offer| (offer.seal.seq, offer.first)), Some((6, false)));
    assert_eq!(world.spool.answered(6, 2, 3), AnswerEffect::Back);
    assert_eq!(world.spool.offer().map(|offer| (offer.seal.seq, offer.first)), Some((3, false)));
    // It says that it wants what is gone, which it did not say since.
    assert_eq!(world.spool.answered(4, 4, 0), AnswerEffect::Acknowledged);
    world.spool.ask_again();
    assert_eq!(world.spool.answered(6, 4, 5), AnswerEffect::Back);
    assert_eq!(world.spool.offer().map(|offer| (offer.seal.seq, offer.first)), Some((6, true)));
    assert_eq!(world.spool.answered(6, 4, 5), AnswerEffect::Again, "it said so before");
}

#[test]
fn a_file_goes_only_when_all_its_clicks_that_control_lacks_are_told() {
    let mut world = World::new();
    world.record(10, 0); // on its way
    for _ in 0..3 {
        world.begin_file();
        world.record(10, 0);
    }
    world.drop_oldest(); // 11 to 20 are told in the fourth file
    world.send(true);
    world.send(false); // and that is on its way
    world.begin_file();
    world.record(10, 0);
    world.drop_oldest(); // 21 to 30 are told in the fifth file, where 41 to 50 are, and 31 to 40 are in the fourth
    assert_eq!(world.disk.files.keys().copied().collect::<Vec<_>>(), [1, 4, 5]);
    world.begin_file();
    let plan = world.spool.plan_drop().unwrap();
    assert_eq!((plan.file, plan.goes, plan.ranges[0].first_no, plan.ranges.len()), (5, false, 21, 1));
    world.drop_oldest();
    let plan = world.spool.plan_drop().unwrap();
    assert_eq!((plan.file, plan.goes, plan.ranges[0].first_no), (5, true, 41));
    world.drop_oldest();
    assert_eq!(world.disk.files.keys().copied().collect::<Vec<_>>(), [1, 4, 6]);
    (0..9).for_each(|_| world.send(true));
    let lost = world.control.told.values().filter(|told| **told == Told::Lost).count();
    assert_eq!((world.control.told.len(), lost), (50, 30));
}

#[test]
fn a_batch_that_is_damaged_twice_is_lost_once() {
    let mut world = World::new();
    world.record(8, 2);
    world.begin_file();
    let repair = |world: &mut World| {
        let range = world.spool.plan_repair().unwrap();
        assert_eq!((range.first_no, range.last_no), (1, 10));
        let mut head = ChunkHead { first_no: 1, last_no: 10, ..ChunkHead::default() };
        head.lost.note(LossReason::Damaged, 10);
        head.replaced = world.spool.lost_before_repair(&range);
        world.append(&Frame::Chunk(head, &content(0, 10)));
        world.begin_file();
        assert_eq!(world.spool.standing().lost.total(), 10);
        world.check();
    };
    let end_of = |world: &World, file, frames| {
        let bytes = &world.disk.files[&file];
        (0..frames).fold(0, |end, _| end + read(&bytes[end..]).unwrap().unwrap().bytes)
    };
    // The clicks of the first file cannot be read, and then the loss that stands for them.
    let begun = end_of(&world, 1, 1);
    world.disk.files.get_mut(&1).unwrap().truncate(begun);
    world.spool = replayed(&world.disk, None);
    repair(&mut world);
    let sealed = end_of(&world, 2, 2);
    world.spool = replayed(&world.disk, Some((2, sealed)));
    repair(&mut world);
}

/// Found by review: a group that was cut kept what was lost behind the cut, and its batch told those as lost.
#[test]
fn what_was_lost_behind_a_cut_is_not_lost_before_it() {
    let mut world = World::new();
    world.record(10, 0);
    world.record(8, 2);
    let standing = world.spool.standing().clone();
    let seal = world.spool.unacked().unwrap();
    world.record(4, 3);
    // The next file begins with what was true before that.
    let mut bytes = Vec::new();
    Frame::Begin(Begin { spool: 7, boot: BOOT, standing }).write(&mut bytes);
    Frame::Seal(seal).write(&mut bytes);
    world.disk.files.insert(2, bytes);
    let mut back = replayed(&world.disk, None);
    assert_eq!(back.answered(1, 1, 0), AnswerEffect::Acknowledged);
    let next = back.plan_seal().unwrap();
    assert_eq!((next.first_no, next.last_no, next.lost.total()), (11, 20, 2));
    back.seal(next, 1);
    back.synced();
    assert_eq!(back.answered(2, 2, 0), AnswerEffect::Acknowledged);
    assert_eq!((back.acknowledged(), back.pending()), (18, 0));
}
