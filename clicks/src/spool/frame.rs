//! The frames of a spool's files: their layout and their check sums, over bytes alone.
//!
//! A frame is `u32 length, u32 CRC-32, payload`, little-endian; the length and the sum are of the payload, whose first byte
//! is its kind. A frame that is not whole, and everything behind it in its file, is not read.

use crate::LossReason;

/// Bytes in front of a payload.
const HEAD: usize = 8;
/// A longer payload is none of ours: a batch is encoded in at most 4 MiB.
const MAX_PAYLOAD: usize = 6 * 1024 * 1024;
/// Rings that one frame names; there is one for each worker that ever was.
const MAX_PLACES: usize = 4_096;

const BEGIN: u8 = 1;
const CHUNK: u8 = 2;
const SEAL: u8 = 3;
const ACKED: u8 = 4;
const CLOSED: u8 = 5;
/// The layout of [`Begin`]: a file of another one is not read.
const LAYOUT: u8 = 1;

/// How many clicks were lost, by [`LossReason`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LossCounts([u64; LossReason::ALL.len()]);

impl LossCounts {
    /// Those lost for this reason.
    pub fn of(self, reason: LossReason) -> u64 {
        self.0[reason as usize]
    }

    /// All of them.
    pub fn total(self) -> u64 {
        self.0.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// More are lost for this reason.
    pub fn note(&mut self, reason: LossReason, count: u64) {
        let own = &mut self.0[reason as usize];
        *own = own.saturating_add(count);
    }

    /// Adds others.
    pub fn add(&mut self, other: Self) {
        LossReason::ALL.into_iter().for_each(|reason| self.note(reason, other.of(reason)));
    }

    /// Takes others away.
    pub fn remove(&mut self, other: Self) {
        for (own, less) in self.0.iter_mut().zip(other.0) {
            *own = own.saturating_sub(less);
        }
    }
}

/// Up to where a worker's ring is in the spool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RingPlace {
    /// Which ring: the number that its file was given when it was made.
    pub ring: u64,
    /// Every record below this position.
    pub position: u64,
    /// Of the clicks that the ring had no room for, so many.
    pub lost: u64,
}

impl RingPlace {
    /// Puts in what another spool says of the rings: of each ring the later place holds. Positions only grow, and no two rings
    /// have one number.
    pub fn join(own: &mut Vec<Self>, others: &[Self]) {
        for other in others {
            match own.iter_mut().find(|place| place.ring == other.ring) {
                Some(place) => {
                    place.position = place.position.max(other.position);
                    place.lost = place.lost.max(other.lost);
                }
                None => own.push(*other),
            }
        }
    }
}

/// The first frame of each file: what is true where the file begins, so that the files before it may be gone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Begin {
    /// Which spool.
    pub spool: u64,
    /// The boot of the machine in which the file was begun.
    pub boot: [u8; 16],
    /// The standing of the spool there.
    pub standing: Standing,
}

/// What a spool has come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The last number given out.
    pub last_no: u64,
    /// The last batch made.
    pub last_seq: u64,
    /// Of all numbers, those that are lost.
    pub lost: LossCounts,
    /// What control has.
    pub acked: Acked,
    /// Up to where the rings are in it.
    pub places: Vec<RingPlace>,
}

/// The head of a chunk: clicks that went to disk together. The batch itself is behind it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChunkHead {
    /// The number of its first click.
    pub first_no: u64,
    /// That of its last; `first_no - 1`: no click is in it.
    pub last_no: u64,
    /// Of its numbers, those that are lost.
    pub lost: LossCounts,
    /// It stands for chunks of the same numbers that are gone, of which so many were lost already.
    pub replaced: LossCounts,
    /// Every click answered before (Unix milliseconds) is in this chunk or in one of lower numbers.
    pub until: i64,
    /// Bytes of its batch once that is decoded, and what is in it beside clicks: bounds of what it is made up into.
    pub size: ChunkSize,
    /// Up to where the rings are in the spool with it; empty: as before.
    pub places: Vec<RingPlace>,
}

/// What counts towards the bounds of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChunkSize {
    /// Bytes once decoded, at most.
    pub bytes: u32,
    /// Totals, losses, unknown codes and texts.
    pub notes: u32,
}

/// From now on these numbers are sent as this batch, and as no other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seal {
    /// The number of the batch.
    pub seq: u64,
    /// That of its first click.
    pub first_no: u64,
    /// That of its last.
    pub last_no: u64,
    /// Of its numbers, those that are lost.
    pub lost: LossCounts,
    /// As in [`ChunkHead::until`].
    pub until: i64,
}

/// What control has acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Acked {
    /// The last batch.
    pub seq: u64,
    /// The last number in it.
    pub no: u64,
    /// Of all numbers up to there, those that are lost.
    pub lost: LossCounts,
    /// As in [`ChunkHead::until`].
    pub until: i64,
}

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A file begins.
    Begin(Begin),
    /// Clicks, and their encoded batch.
    Chunk(ChunkHead, &'a [u8]),
    /// A batch is made of chunks.
    Seal(Seal),
    /// Control has a batch.
    Acked(Acked),
    /// Nothing more is recorded in this spool. Earlier versions wrote it, when a process could go on with the spool of one
    /// before.
    Closed,
}

/// A frame that was read, and the bytes that it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadFrame<'a> {
    /// What it says.
    pub frame: Frame<'a>,
    /// With its head.
    pub bytes: usize,
}

/// The bytes are no whole frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TornFrame;

/// The frame at the start of these bytes; `None`: there are none.
///
/// # Errors
/// [`TornFrame`]
pub fn read(bytes: &[u8]) -> Result<Option<ReadFrame<'_>>, TornFrame> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let mut fields = Fields(bytes);
    let (length, sum) = fields.half().zip(fields.half()).ok_or(TornFrame)?;
    let length = length as usize;
    let payload = fields.0.get(..length).filter(|_| length <= MAX_PAYLOAD).ok_or(TornFrame)?;
    if crc32fast::hash(payload) != sum {
        return Err(TornFrame);
    }
    let frame = payload_of(&mut Fields(payload)).ok_or(TornFrame)?;
    Ok(Some(ReadFrame { frame, bytes: HEAD + length }))
}

fn payload_of<'a>(fields: &mut Fields<'a>) -> Option<Frame<'a>> {
    let frame = match fields.byte()? {
        BEGIN if fields.byte()? == LAYOUT => Frame::Begin(Begin {
            spool: fields.number()?,
            boot: fields.take(16)?.try_into().ok()?,
            standing: Standing {
                last_no: fields.number()?,
                last_seq: fields.number()?,
                lost: fields.losses()?,
                acked: fields.acked()?,
                places: fields.places()?,
            },
        }),
        CHUNK => {
            let head = ChunkHead {
                first_no: fields.number()?,
                last_no: fields.number()?,
                lost: fields.losses()?,
                replaced: fields.losses()?,
                until: fields.number()?.cast_signed(),
                size: ChunkSize { bytes: fields.half()?, notes: fields.half()? },
                places: fields.places()?,
            };
            let batch = std::mem::take(&mut fields.0);
            are_numbers(head.first_no, head.last_no).then_some(Frame::Chunk(head, batch))?
        }
        SEAL => {
            let seal = Seal {
                seq: fields.number()?,
                first_no: fields.number()?,
                last_no: fields.number()?,
                lost: fields.losses()?,
                until: fields.number()?.cast_signed(),
            };
            are_numbers(seal.first_no, seal.last_no).then_some(Frame::Seal(seal))?
        }
        ACKED => Frame::Acked(fields.acked()?),
        CLOSED => Frame::Closed,
        _ => return None,
    };
    fields.0.is_empty().then_some(frame)
}

/// The last is one below the first where there are none.
fn are_numbers(first_no: u64, last_no: u64) -> bool {
    first_no >= 1 && last_no < u64::MAX && first_no <= last_no + 1
}

impl Frame<'_> {
    /// Writes it behind what is in `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0; HEAD]);
        match self {
            Self::Begin(begin) => {
                out.extend_from_slice(&[BEGIN, LAYOUT]);
                put(out, begin.spool);
                out.extend_from_slice(&begin.boot);
                let standing = &begin.standing;
                put(out, standing.last_no);
                put(out, standing.last_seq);
                put_losses(out, standing.lost);
                put_acked(out, &standing.acked);
                put_places(out, &standing.places);
            }
            Self::Chunk(head, batch) => {
                out.push(CHUNK);
                put(out, head.first_no);
                put(out, head.last_no);
                put_losses(out, head.lost);
                put_losses(out, head.replaced);
                put(out, head.until.cast_unsigned());
                out.extend_from_slice(&head.size.bytes.to_le_bytes());
                out.extend_from_slice(&head.size.notes.to_le_bytes());
                put_places(out, &head.places);
                out.extend_from_slice(batch);
            }
            Self::Seal(seal) => {
                out.push(SEAL);
                put(out, seal.seq);
                put(out, seal.first_no);
                put(out, seal.last_no);
                put_losses(out, seal.lost);
                put(out, seal.until.cast_unsigned());
            }
            Self::Acked(acked) => {
                out.push(ACKED);
                put_acked(out, acked);
            }
            Self::Closed => out.push(CLOSED),
        }
        let payload = &out[start + HEAD..];
        let (length, sum) = (payload.len() as u32, crc32fast::hash(payload));
        out[start..start + 4].copy_from_slice(&length.to_le_bytes());
        out[start + 4..start + HEAD].copy_from_slice(&sum.to_le_bytes());
    }
}

fn put(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(&number.to_le_bytes());
}

/// Which counts are not 0, and those.
fn put_losses(out: &mut Vec<u8>, lost: LossCounts) {
    let set = lost.0.iter().enumerate().fold(0, |set, (at, count)| set | u8::from(*count > 0) << at);
    out.push(set);
    lost.0.iter().filter(|count| **count > 0).for_each(|count| put(out, *count));
}

fn put_acked(out: &mut Vec<u8>, acked: &Acked) {
    put(out, acked.seq);
    put(out, acked.no);
    put_losses(out, acked.lost);
    put(out, acked.until.cast_unsigned());
}

fn put_places(out: &mut Vec<u8>, places: &[RingPlace]) {
    let places = &places[..places.len().min(MAX_PLACES)];
    out.extend_from_slice(&(places.len() as u16).to_le_bytes());
    for place in places {
        [place.ring, place.position, place.lost].into_iter().for_each(|number| put(out, number));
    }
}

/// What is left to read of a payload.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|byte| byte[0])
    }

    fn half(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn number(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    fn losses(&mut self) -> Option<LossCounts> {
        let (set, mut lost) = (self.byte()?, LossCounts::default());
        if u32::from(set) >> LossReason::ALL.len() != 0 {
            return None; // a reason that this program does not know
        }
        for reason in LossReason::ALL {
            if set >> reason as u8 & 1 == 1 {
                lost.note(reason, self.number()?);
            }
        }
        Some(lost)
    }

    fn acked(&mut self) -> Option<Acked> {
        Some(Acked {
            seq: self.number()?,
            no: self.number()?,
            lost: self.losses()?,
            until: self.number()?.cast_signed(),
        })
    }

    fn places(&mut self) -> Option<Vec<RingPlace>> {
        let count = usize::from(u16::from_le_bytes(self.take(2)?.try_into().ok()?));
        if count > MAX_PLACES || count * 24 > self.0.len() {
            return None;
        }
        let place =
            |_| Some(RingPlace { ring: self.number()?, position: self.number()?, lost: self.number()? });
        (0..count).map(place).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lost(ring: u64, spool: u64) -> LossCounts {
        let mut lost = LossCounts::default();
        lost.note(LossReason::RingFull, ring);
        lost.note(LossReason::SpoolFull, spool);
        lost
    }

    fn frames() -> Vec<Frame<'static>> {
        let acked = Acked { seq: 3, no: 40, lost: lost(1, 2), until: -5 };
        let places = vec![RingPlace { ring: 9, position: 1 << 40, lost: 7 }; 2];
        let standing = Standing { last_no: 50, last_seq: 4, lost: lost(3, 2), acked, places: places.clone() };
        let head = ChunkHead {
            first_no: 51,
            last_no: 53,
            lost: lost(1, 0),
            replaced: lost(0, 1),
            until: i64::MAX,
            size: ChunkSize { bytes: 9, notes: 2 },
            places,
        };
        vec![
            Frame::Begin(Begin { spool: u64::MAX, boot: [7; 16], standing }),
            Frame::Chunk(head, b"batch"),
            Frame::Seal(Seal { seq: 5, first_no: 51, last_no: 53, lost: lost(1, 0), until: 6 }),
            Frame::Acked(acked),
            Frame::Closed,
        ]
    }

    #[test]
    fn frames_come_back_one_behind_the_other() {
        let mut bytes = Vec::new();
        frames().iter().for_each(|frame| frame.write(&mut bytes));
        let (mut rest, mut back) = (&bytes[..], Vec::new());
        while let Some(read) = read(rest).unwrap() {
            back.push(read.frame);
            rest = &rest[read.bytes..];
        }
        assert_eq!(back, frames());
    }

    #[test]
    fn of_each_ring_the_later_place_holds() {
        let place = |ring, position, lost| RingPlace { ring, position, lost };
        let mut places = vec![place(1, 80, 2), place(2, 16, 0)];
        RingPlace::join(&mut places, &[place(3, 8, 1), place(2, 24, 4), place(1, 72, 1)]);
        assert_eq!(places, [place(1, 80, 2), place(2, 24, 4), place(3, 8, 1)]);
    }

    #[test]
    fn a_frame_that_is_cut_or_changed_is_torn() {
        for frame in frames() {
            let mut bytes = Vec::new();
            frame.write(&mut bytes);
            for end in 1..bytes.len() {
                assert_eq!(read(&bytes[..end]), Err(TornFrame));
            }
            for at in 0..bytes.len() {
                bytes[at] ^= 0x10;
                assert_eq!(read(&bytes), Err(TornFrame), "byte {at}");
                bytes[at] ^= 0x10;
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
            let _ = read(&bytes);
            // With a sum that is right, too.
            let mut framed = (bytes.len() as u32).to_le_bytes().to_vec();
            framed.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
            framed.extend_from_slice(&bytes);
            if let Ok(Some(read)) = read(&framed) {
                let mut again = Vec::new();
                read.frame.write(&mut again);
                prop_assert_eq!(super::read(&again).unwrap().unwrap().frame, read.frame);
            }
        }
    }
}
