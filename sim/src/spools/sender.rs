//! One edge: a ring that outlives its process, spools on a disk that outlives the machine, and the one batch that is under
//! way. It does what `clicks::spool` says, in the order in which an edge does it.

use super::disk::{Disk, DiskFile, PlacedFrame, ReadChunk, payload};
use super::messages::{Answer, SentBatch};
use clicks::LossReason;
use clicks::ledger::Offer;
use clicks::spool::{
    AnswerEffect, Begin, ChunkHead, ChunkSize, FilePlace, Frame, LossCounts, NumberRange, RingPlace, Spool,
};
use services::Random;
use std::collections::{BTreeMap, HashMap, VecDeque};

/// A file that is longer takes no more.
const FILE_BYTES: usize = 900;

/// The clicks that a worker noted: they are there until their numbers are on disk.
#[derive(Debug)]
struct Ring {
    id: u64,
    room: usize,
    /// Where the first of them stands.
    head: u64,
    clicks: VecDeque<u64>,
    /// Up to here they are in chunks.
    read: u64,
    /// Clicks that there was no room for.
    lost: u64,
    /// Of those, so many are in chunks.
    told: u64,
    /// The last of those: chunks that are on disk tell none of them.
    homeless: VecDeque<u64>,
}

impl Ring {
    fn new(id: u64, room: usize) -> Self {
        let (clicks, homeless) = (VecDeque::new(), VecDeque::new());
        Self { id, room, head: 0, clicks, read: 0, lost: 0, told: 0, homeless }
    }

    /// Everything before this place may go.
    fn release(&mut self, place: &RingPlace) {
        while self.head < place.position && self.clicks.pop_front().is_some() {
            self.head += 1;
        }
        let untold = self.lost.saturating_sub(place.lost) as usize;
        self.homeless.drain(..self.homeless.len().saturating_sub(untold));
    }
}

#[derive(Debug)]
pub struct SpoolEdge {
    number: usize,
    process: u64,
    boot: [u8; 16],
    bound: u64,
    ring: Ring,
    disk: Disk,
    /// The last one is written, those before it are only sent.
    spools: Vec<Spool>,
    /// By spool, the file that it writes.
    writing: HashMap<u64, u32>,
    next_file: u32,
    /// The batch that is under way.
    sent: Option<(u64, u64)>,
}

impl SpoolEdge {
    /// One that begins, with room for so many clicks in its ring and so many bytes in its spools.
    pub fn new(number: usize, room: usize, bound: u64, rng: &mut Random) -> Self {
        Self {
            number,
            process: 0,
            boot: boot(rng),
            bound,
            ring: Ring::new(rng.next(), room),
            disk: Disk::default(),
            spools: vec![Spool::new(rng.next(), Vec::new())],
            writing: HashMap::new(),
            next_file: 1,
            sent: None,
        }
    }

    /// Which edge.
    pub fn number(&self) -> usize {
        self.number
    }

    /// A worker notes a click; `false`: the ring is full.
    pub fn record(&mut self, id: u64) -> bool {
        let ring = &mut self.ring;
        if ring.clicks.len() >= ring.room {
            ring.lost += 1;
            ring.homeless.push_back(id);
            return false;
        }
        ring.clicks.push_back(id);
        true
    }

    /// Puts what the ring has into a chunk of the spool, and makes a batch where it is time for one. Nothing is synced.
    pub fn take_chunk(&mut self, most: usize, now: u64) {
        let (ring, at) = (&mut self.ring, self.spools.len() - 1);
        let from = (ring.read - ring.head) as usize;
        let clicks: Vec<u64> = ring.clicks.iter().skip(from).take(most).copied().collect();
        let mut lost = LossCounts::default();
        lost.note(LossReason::RingFull, ring.lost - ring.told);
        let numbers = clicks.len() as u64 + lost.total();
        if numbers > 0 {
            ring.read += clicks.len() as u64;
            ring.told = ring.lost;
            let places = vec![RingPlace { ring: ring.id, position: ring.read, lost: ring.told }];
            let first_no = self.spools[at].next_no();
            let last_no = first_no + numbers - 1;
            let head = ChunkHead { first_no, last_no, lost, places, ..chunk_at(now) };
            self.write_chunk(at, &head, &clicks);
        }
        for at in 0..self.spools.len() {
            if let Some(seal) = self.spools[at].plan_seal() {
                let (_, bytes) = self.write(at, &Frame::Seal(seal));
                self.spools[at].seal(seal, bytes);
            }
        }
    }

    fn write_chunk(&mut self, at: usize, head: &ChunkHead, clicks: &[u64]) {
        let (from, bytes) = self.write(at, &Frame::Chunk(head.clone(), &payload(clicks)));
        self.spools[at].chunk(head, from, bytes);
    }

    /// Writes a frame behind the spool's last one, in a new file where it is time for one.
    fn write(&mut self, at: usize, frame: &Frame<'_>) -> (FilePlace, u64) {
        let id = self.spools[at].id();
        let length = |disk: &Disk, file| disk.file(id, file).map_or(0, |file| file.bytes.len());
        let current = self.writing.get(&id).copied().filter(|file| length(&self.disk, *file) < FILE_BYTES);
        let file = current.unwrap_or_else(|| self.begin_file(at));
        let mut bytes = Vec::new();
        frame.write(&mut bytes);
        let offset = self.disk.append(id, file, &bytes) as u64;
        (FilePlace { file, offset }, bytes.len() as u64)
    }

    fn begin_file(&mut self, at: usize) -> u32 {
        let (spool, file) = (&mut self.spools[at], self.next_file);
        let id = spool.id();
        self.next_file += 1;
        let mut bytes = Vec::new();
        Frame::Begin(Begin { spool: id, boot: self.boot, standing: spool.standing().clone() })
            .write(&mut bytes);
        spool.unacked().map(Frame::Seal).iter().for_each(|seal| seal.write(&mut bytes));
        self.disk.append(id, file, &bytes);
        // An edge syncs every chunk and seal as it writes it, and a beginning too, which says what is in the files before.
        self.disk.sync_spool(id);
        spool.begin_file(file, bytes.len() as u64);
        self.writing.insert(id, file);
        file
    }

    /// What was written is on disk: the ring may have the room.
    pub fn sync(&mut self) {
        self.disk.sync();
        self.spools.iter_mut().for_each(Spool::synced);
        let id = self.ring.id;
        let place = self
            .spools
            .last()
            .and_then(|spool| spool.standing().places.iter().find(|place| place.ring == id));
        if let Some(place) = place {
            self.ring.release(place);
        }
    }

    /// The next batch, of the oldest spool that has one, unless one is under way.
    ///
    /// # Errors
    /// It is not on disk, or cannot be read.
    pub fn send(&mut self) -> Result<Option<SentBatch>, String> {
        if self.sent.is_some() {
            return Ok(None);
        }
        let offered = self.spools.iter().find_map(|spool| Some((spool, spool.offer()?)));
        let Some((spool, offering)) = offered else { return Ok(None) };
        // The file with the seal of one that was acknowledged may be gone before its clicks.
        let was_acked = offering.seal.seq <= spool.standing().acked.seq;
        let spool = spool.id();
        let seal = offering.seal;
        let range = offering.range;
        let chunks = self.chunks(spool, &range);
        let numbers: u64 = chunks.iter().map(|chunk| chunk.head.last_no + 1 - chunk.head.first_no).sum();
        if numbers != seal.last_no + 1 - seal.first_no {
            return Err(format!(
                "of {} to {} there are {numbers} numbers on disk",
                seal.first_no, seal.last_no
            ));
        }
        let synced = self.disk.file(spool, range.from.file).map_or(0, |file| file.synced);
        let is_sealed = self.disk.files.iter().any(|file| {
            let own = |placed: &PlacedFrame<'_>| {
                matches!(placed.frame, Frame::Seal(own) if own.seq == seal.seq) && placed.end <= file.synced
            };
            file.spool == spool && file.frames().iter().any(own)
        });
        if !(is_sealed || was_acked) || chunks.iter().any(|chunk| chunk.end > synced) {
            return Err(format!("batch {} of {spool:04x} is sent before it is on disk", seal.seq));
        }
        self.sent = Some((spool, seal.seq));
        let offer =
            Offer { seq: seal.seq, first_no: seal.first_no, last_no: seal.last_no, first: offering.first };
        Ok(Some(SentBatch {
            edge: self.number,
            process: self.process,
            spool,
            offer,
            lost: chunks.iter().map(|chunk| chunk.head.lost.total()).sum(),
            clicks: chunks.into_iter().flat_map(|chunk| chunk.clicks).collect(),
        }))
    }

    /// The chunks of these numbers, which are in one file.
    fn chunks(&self, spool: u64, range: &NumberRange) -> Vec<ReadChunk> {
        let Some(file) = self.disk.file(spool, range.from.file) else { return Vec::new() };
        let mut chunks = file.chunks(range.from.offset as usize);
        chunks.retain(|chunk| range.first_no <= chunk.head.first_no && chunk.head.last_no <= range.last_no);
        chunks
    }

    /// Whether these numbers could still be sent: batches of nothing else are whole.
    pub fn holds(&self, spool: u64, first_no: u64, last_no: u64) -> bool {
        let files = self.disk.files.iter().filter(|file| file.spool == spool);
        let seals = files.flat_map(|file| {
            file.frames().into_iter().filter_map(|placed| match placed.frame {
                Frame::Seal(seal) => Some((seal.first_no, seal.last_no)),
                _ => None,
            })
        });
        let inside: BTreeMap<u64, u64> =
            seals.filter(|(first, last)| first_no <= *first && *last <= last_no).collect();
        inside.into_iter().any(|(first, last)| {
            let one_file = |file: &DiskFile| {
                let chunks = file.chunks(0).into_iter().map(|chunk| chunk.head);
                let own = chunks.filter(|head| first <= head.first_no && head.last_no <= last);
                own.map(|head| head.last_no + 1 - head.first_no).sum::<u64>() == last + 1 - first
            };
            self.disk.files.iter().any(|file| file.spool == spool && one_file(file))
        })
    }

    /// Nothing came back in time.
    pub fn give_up(&mut self) {
        self.sent = None;
    }

    /// Control may have been put back.
    pub fn ask_again(&mut self) {
        self.sent = None;
        self.spools.iter_mut().for_each(Spool::ask_again);
    }

    /// An answer of control, to this process or to none.
    ///
    /// # Errors
    /// Control has what this edge never made.
    pub fn hear(&mut self, to: &SentBatch, answer: Answer) -> Result<(), String> {
        // A connection ends with its process, and a batch that was given up is one of an earlier call.
        if to.process != self.process || self.sent != Some((to.spool, to.offer.seq)) {
            return Ok(());
        }
        self.sent = None;
        let Some(at) = self.spools.iter().position(|spool| spool.id() == to.spool) else { return Ok(()) };
        let before = self.spools[at].standing().acked.seq;
        match self.spools[at].answered(to.offer.seq, answer.acked, answer.want) {
            AnswerEffect::Acknowledged => {
                let acked = self.spools[at].standing().acked;
                if acked.seq > before {
                    let (_, bytes) = self.write(at, &Frame::Acked(acked));
                    self.spools[at].note_acked(bytes);
                }
            }
            AnswerEffect::Again => {}
            AnswerEffect::Back => {
                let others = self.spools.iter_mut().filter(|spool| spool.id() != to.spool);
                others.for_each(Spool::ask_again);
            }
            AnswerEffect::Beyond => {
                return Err(format!("control has up to {} and was sent {to}", answer.acked));
            }
        }
        Ok(())
    }

    /// Power goes. Gives the clicks that may be gone.
    pub fn cut_power(&mut self, rng: &mut Random) -> Vec<u64> {
        let mut lost = self.disk.cut_power(rng);
        lost.extend(self.ring.clicks.iter().chain(&self.ring.homeless));
        self.boot = boot(rng);
        self.ring = Ring::new(rng.next(), self.ring.room);
        lost
    }

    /// The process ends inside a write.
    pub fn tear(&mut self, rng: &mut Random) {
        self.disk.tear(rng);
    }

    /// Bytes of a file that is not written any more change. Gives the clicks that may be gone.
    pub fn damage(&mut self, rng: &mut Random) -> Vec<u64> {
        self.disk.damage(rng)
    }

    /// Another process begins with what is there, and a spool of its own: how many others owe something.
    pub fn start(&mut self, now: u64, rng: &mut Random) -> u64 {
        self.process += 1;
        (self.sent, self.writing) = (None, HashMap::new());
        // What a killed process wrote may not be on disk yet.
        self.disk.sync();
        let (mut spools, mut places, mut owing) = (Vec::new(), Vec::new(), 0);
        for found in self.found() {
            // Each may have been damaged, and what a process before began may have no file yet.
            if found.boot == self.boot {
                RingPlace::join(&mut places, &found.spool.standing().places);
            }
            owing += u64::from(found.spool.owes());
            self.spools = vec![found.spool];
            self.repair(now);
            spools.append(&mut self.spools);
        }
        spools.push(Spool::new(rng.next(), places));
        self.spools = spools;
        self.sync();
        let (id, at) = (self.ring.id, self.spools.len() - 1);
        let place = self.spools[at].standing().places.iter().find(|place| place.ring == id);
        let (position, told) = place.map_or((self.ring.head, 0), |place| (place.position, place.lost));
        (self.ring.read, self.ring.told) = (position.max(self.ring.head), told);
        owing
    }

    /// The spools on disk, as their files tell them.
    fn found(&mut self) -> Vec<FoundSpool> {
        let begins = |file: &DiskFile| {
            matches!(file.frames().first(), Some(PlacedFrame { frame: Frame::Begin(_), .. }))
        };
        self.disk.files.retain(begins);
        let mut found = Vec::<FoundSpool>::new();
        for file in &self.disk.files {
            for PlacedFrame { frame, at, end } in file.frames() {
                if let Frame::Begin(begin) = &frame
                    && !found.iter().any(|found| found.spool.id() == file.spool)
                {
                    found.push(FoundSpool { spool: Spool::restored(begin), boot: begin.boot });
                }
                let Some(own) = found.iter_mut().find(|found| found.spool.id() == file.spool) else {
                    continue;
                };
                if let Frame::Begin(begin) = &frame {
                    own.boot = begin.boot;
                }
                let from = FilePlace { file: file.number, offset: at as u64 };
                own.spool.replay(frame, from, (end - at) as u64);
            }
        }
        found.iter_mut().for_each(|found| found.spool.replayed());
        found
    }

    /// Whatever numbers of the first spool are not there any more become losses.
    fn repair(&mut self, now: u64) {
        while let Some(range) = self.spools[0].plan_repair() {
            let id = self.spools[0].id();
            let files = self.disk.files.iter().filter(|file| file.spool == id);
            let mut chunks: Vec<ReadChunk> = files.flat_map(|file| file.chunks(0)).collect();
            chunks
                .retain(|chunk| range.first_no <= chunk.head.first_no && chunk.head.last_no <= range.last_no);
            chunks.sort_by_key(|chunk| chunk.head.first_no);
            let (mut next, mut clicks, mut lost) = (range.first_no, Vec::new(), LossCounts::default());
            let mut left = range.last_no + 1 - range.first_no;
            for chunk in chunks {
                if chunk.head.first_no >= next {
                    next = chunk.head.last_no + 1;
                    left -= next - chunk.head.first_no;
                    lost.add(chunk.head.lost);
                    clicks.extend(chunk.clicks);
                }
            }
            lost.note(LossReason::Damaged, left);
            let replaced = self.spools[0].lost_before_repair(&range);
            let NumberRange { first_no, last_no, .. } = range;
            let head = ChunkHead { first_no, last_no, lost, replaced, ..chunk_at(now) };
            self.write_chunk(0, &head, &clicks);
        }
    }

    /// Makes room: files that control has all of go first, then the oldest clicks, told as lost. Gives how often those went.
    pub fn keep_bound(&mut self, now: u64) -> u64 {
        let mut dropped = 0;
        while self.spools.iter().map(Spool::bytes).sum::<u64>() > self.bound {
            if !self.forget_one() {
                if !self.drop_one(now) {
                    break;
                }
                dropped += 1;
            }
        }
        dropped
    }

    /// What control has is kept no longer.
    pub fn forget_old(&mut self, rng: &mut Random) {
        while self.forget_one() && rng.percent(60) {}
        let last = self.spools.len() - 1;
        let done = (0..last).find(|at| !self.spools[*at].owes());
        if let Some(at) = done {
            // Up to where the ring is may be told by its files alone.
            if self.spools[last].files().len() == 0 {
                self.begin_file(last);
            }
            let id = self.spools.remove(at).id();
            self.disk.files.retain(|file| file.spool != id);
            self.writing.remove(&id);
        }
    }

    fn forget_one(&mut self) -> bool {
        let Some((at, file)) =
            (0..self.spools.len()).find_map(|at| Some((at, self.spools[at].done_file()?.number)))
        else {
            return false;
        };
        self.remove(at, file);
        true
    }

    fn drop_one(&mut self, now: u64) -> bool {
        let Some((at, plan)) = (0..self.spools.len()).find_map(|at| Some((at, self.spools[at].plan_drop()?)))
        else {
            return false;
        };
        let Some((first, last)) = plan.ranges.first().zip(plan.ranges.last()) else { return false };
        let (first_no, last_no) = (first.first_no, last.last_no);
        if last_no >= first_no {
            let mut lost = plan.lost;
            lost.note(LossReason::SpoolFull, last_no + 1 - first_no - plan.lost.total());
            let head = ChunkHead { first_no, last_no, lost, replaced: plan.lost, ..chunk_at(now) };
            self.write_chunk(at, &head, &[]);
            self.sync();
        }
        self.spools[at].drop_empty(plan.file);
        if plan.goes {
            self.remove(at, plan.file);
        }
        true
    }

    fn remove(&mut self, at: usize, file: u32) {
        self.disk.remove(self.spools[at].id(), file);
        self.spools[at].forget(file);
    }

    /// Whether control has everything that this edge recorded.
    pub fn is_done(&self) -> bool {
        let ring = &self.ring;
        ring.clicks.is_empty() && ring.lost == ring.told && !self.spools.iter().any(Spool::owes)
    }

    /// How it stands, for people.
    pub fn standing(&self) -> String {
        let spools: Vec<String> =
            self.spools.iter().map(|spool| format!("{:04x} {:?}", spool.id(), spool.standing())).collect();
        format!("edge {}: {} clicks in the ring, {}", self.number, self.ring.clicks.len(), spools.join(", "))
    }

    /// The spool that goes on, and its last number.
    pub fn active(&self) -> (u64, u64) {
        self.spools.last().map_or((0, 0), |spool| (spool.id(), spool.standing().last_no))
    }

    /// The last number of a spool that is still here.
    pub fn recorded(&self, spool: u64) -> Option<u64> {
        self.spools.iter().find(|own| own.id() == spool).map(|own| own.standing().last_no)
    }

    /// The spool whose numbers do not add up.
    pub fn unlawful(&self) -> Option<String> {
        let sums = |spool: &Spool| spool.acknowledged() + spool.standing().lost.total() + spool.pending();
        let wrong = self.spools.iter().find(|spool| sums(spool) != spool.standing().last_no)?;
        Some(format!("{:04x} {:?}", wrong.id(), wrong.standing()))
    }
}

/// The head of a chunk without numbers.
fn chunk_at(now: u64) -> ChunkHead {
    ChunkHead { until: now as i64, size: ChunkSize::default(), ..ChunkHead::default() }
}

/// A spool that was read from disk.
struct FoundSpool {
    spool: Spool,
    boot: [u8; 16],
}

fn boot(rng: &mut Random) -> [u8; 16] {
    let mut boot = [0; 16];
    boot[..8].copy_from_slice(&rng.next().to_le_bytes());
    boot
}
