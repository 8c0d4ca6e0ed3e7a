//! The file in which an edge keeps its set over a restart (R8b): a stream of bytes that is checked before it is believed.
//!
//! ```text
//! header   magic 8 · layout u16 · epoch u32 u32 · applied u64 · tag u64 · fresh_at i64 · sum
//! blocks   length u32 (1 to 128 KiB) · so many bytes of whole entries · sum
//!          entry: key length u8 · key · as_of u64 · record length u16 · record v1
//!          of links, and in front of them of domains, whose keys are four bytes
//! footer   0 u32 · seen u64 · complete u8 · count u64 · proof · sum; nothing behind it
//!          proof: epoch u32 u32 · seq u64 · tag u64 · seal 16, all 0 for none
//! ```
//!
//! Numbers are big-endian. Each sum is the CRC-32 of everything in front of it but other sums: the file can be read as
//! a stream, a block that is missing or out of place is found at the next sum, and the last one is that of the whole.

use crc32fast::Hasher;
use feed::Proof;
use link::{DomainId, Epoch, Key, LinkIdentity, LinkRef, Position, Seq};
use std::io::{ErrorKind, Read, Write};

const MAGIC: [u8; 8] = *b"\x89linkr\r\n";
/// Raised with every change of the layout, and when this program learns a field of record v1 that the one before
/// passed over: what that one wrote lacks it.
const LAYOUT: u16 = 4;
/// The one before, which is still read: its links lack their uids. Such a file is never complete, so that the edge answers
/// from it and walks all links again, which brings the uids.
const BEFORE: u16 = 3;
/// Bytes. A block is closed by the entry that reaches this.
const BLOCK: usize = 64 * 1024;
/// Bytes. No block is longer: [`BLOCK`] and an entry that began below it.
const MAX_BLOCK: usize = 128 * 1024;

/// The beginning of a snapshot file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotHeader {
    /// The last change that every entry knows: as of the start of the dump.
    pub position: Position,
    /// Unix milliseconds of the youngest proof that everything acknowledged was applied; `None`: there never was one.
    pub fresh_at: Option<i64>,
}

/// The end of a snapshot file: what was so at the end of the dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotFooter {
    /// The highest seq relied on in any way.
    pub seen: Seq,
    /// Whether every key of the history is among the entries.
    pub complete: bool,
    /// Entries.
    pub count: u64,
    /// What the edge could show of its history: `seen` or later.
    pub proof: Option<Proof>,
}

/// One key of a snapshot file, and its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotEntry<'a> {
    /// See [`Key`]; of a domain, its number.
    pub key: &'a [u8],
    /// The position up to which it was known to be unchanged.
    pub as_of: Seq,
    /// Record v1: not decoded yet.
    pub record: &'a [u8],
}

/// The next part of a snapshot file.
#[derive(Debug)]
pub enum Section<'a> {
    /// Entries, their sum checked.
    Entries(Entries<'a>),
    /// The end, and nothing is behind it.
    End(SnapshotFooter),
}

/// The reason why a snapshot file is not believed.
#[derive(Debug)]
pub enum SnapshotFault {
    /// It cannot be read.
    Io(std::io::Error),
    /// It was never the file of an edge.
    Magic,
    /// Another version of this program wrote it.
    Layout(u16),
    /// It ends too early: its writer, or the machine, stopped.
    Torn,
    /// Bytes have changed since it was written.
    Sum,
    /// The sums are right and the bytes are not: its writer is to blame.
    Malformed(&'static str),
}

impl std::fmt::Display for SnapshotFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(fault) => write!(f, "it cannot be read: {fault}"),
            Self::Magic => write!(f, "it is no file of an edge"),
            Self::Layout(other) => write!(f, "it has layout {other}, and this version reads {LAYOUT}"),
            Self::Torn => write!(f, "its end is missing"),
            Self::Sum => write!(f, "a checksum is wrong"),
            Self::Malformed(what) => write!(f, "it is malformed: {what}"),
        }
    }
}

impl std::error::Error for SnapshotFault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(fault) => Some(fault),
            _ => None,
        }
    }
}

impl From<std::io::Error> for SnapshotFault {
    fn from(fault: std::io::Error) -> Self {
        if fault.kind() == ErrorKind::UnexpectedEof { Self::Torn } else { Self::Io(fault) }
    }
}

/// Writes a snapshot file, entry by entry.
#[derive(Debug)]
pub struct SnapshotWriter<W> {
    out: W,
    sum: Hasher,
    /// Entries that are not written yet, and where each block of them ends.
    pending: Vec<u8>,
    ends: Vec<usize>,
    count: u64,
    bytes: u64,
}

impl<W: Write> SnapshotWriter<W> {
    /// Begins a file.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn new(out: W, header: &SnapshotHeader) -> std::io::Result<Self> {
        let mut writer =
            Self { out, sum: Hasher::new(), pending: Vec::new(), ends: Vec::new(), count: 0, bytes: 0 };
        let SnapshotHeader { position: Position { epoch, seq, tag }, fresh_at } = header;
        let mut bytes = Vec::with_capacity(HEADER);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&LAYOUT.to_be_bytes());
        bytes.extend_from_slice(&epoch.counter.to_be_bytes());
        bytes.extend_from_slice(&epoch.random.to_be_bytes());
        bytes.extend_from_slice(&seq.to_be_bytes());
        bytes.extend_from_slice(&tag.to_be_bytes());
        bytes.extend_from_slice(&fresh_at.unwrap_or(NEVER).to_be_bytes());
        writer.put(&bytes)?;
        writer.put_sum()?;
        Ok(writer)
    }

    /// Takes one entry: a link, or with `None` the tombstone of one. Only memory is touched, so that it may be called
    /// while a lock is held; [`SnapshotWriter::flush`] writes.
    pub fn entry(&mut self, key: &[u8], as_of: Seq, identity: LinkIdentity, link: Option<&LinkRef<'_>>) {
        debug_assert!(key.len() <= Key::MAX_LEN);
        self.write(key, as_of, |pending| crate::encode_ref(pending, identity, link));
    }

    /// Takes the entry of a domain.
    pub fn domain(&mut self, domain: DomainId, as_of: Seq, record: &[u8]) {
        self.write(&domain.prefix(), as_of, |pending| pending.extend_from_slice(record));
    }

    fn write(&mut self, key: &[u8], as_of: Seq, record: impl FnOnce(&mut Vec<u8>)) {
        let pending = &mut self.pending;
        pending.push(key.len() as u8);
        pending.extend_from_slice(key);
        pending.extend_from_slice(&as_of.to_be_bytes());
        let at = pending.len();
        pending.extend_from_slice(&[0, 0]);
        record(pending);
        let length = (pending.len() - at - 2) as u16; // a record is at most 16 KiB
        pending[at..at + 2].copy_from_slice(&length.to_be_bytes());
        self.count += 1;
        if pending.len() - self.ends.last().copied().unwrap_or(0) >= BLOCK {
            self.ends.push(pending.len());
        }
    }

    /// Writes every entry taken so far.
    ///
    /// # Errors
    /// Those of the writer that it was made with.
    pub fn flush(&mut self) -> std::io::Result<()> {
        let pending = std::mem::take(&mut self.pending);
        let mut ends = std::mem::take(&mut self.ends);
        ends.push(pending.len());
        let mut start = 0;
        for end in ends.drain(..) {
            if end > start {
                self.put(&((end - start) as u32).to_be_bytes())?;
                self.put(&pending[start..end])?;
                self.put_sum()?;
            }
            start = end;
        }
        self.pending = pending;
        self.pending.clear();
        self.ends = ends;
        Ok(())
    }

    /// Ends the file; returns what it was written to, and its length in bytes.
    ///
    /// # Errors
    /// Those of the writer that it was made with.
    pub fn finish(mut self, seen: Seq, complete: bool, proof: Option<Proof>) -> std::io::Result<(W, u64)> {
        self.flush()?;
        let mut bytes = Vec::with_capacity(4 + FOOTER);
        bytes.extend_from_slice(&0u32.to_be_bytes());
        bytes.extend_from_slice(&seen.to_be_bytes());
        bytes.push(u8::from(complete));
        bytes.extend_from_slice(&self.count.to_be_bytes());
        bytes.extend_from_slice(&proof_bytes(proof));
        self.put(&bytes)?;
        self.put_sum()?;
        self.out.flush()?;
        Ok((self.out, self.bytes))
    }

    fn put(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.sum.update(bytes);
        self.bytes += bytes.len() as u64;
        self.out.write_all(bytes)
    }

    fn put_sum(&mut self) -> std::io::Result<()> {
        self.bytes += 4;
        self.out.write_all(&self.sum.clone().finalize().to_be_bytes())
    }
}

const HEADER: usize = 8 + 2 + 4 + 4 + 8 + 8 + 8;
const FOOTER: usize = 8 + 1 + 8 + PROOF;
const PROOF: usize = 4 + 4 + 8 + 8 + 16;
/// No proof of freshness has this time.
const NEVER: i64 = i64::MIN;

/// Reads a snapshot file, part by part: never more than a block is in memory.
#[derive(Debug)]
pub struct SnapshotReader<R> {
    input: R,
    sum: Hasher,
    layout: u16,
    header: SnapshotHeader,
    block: Vec<u8>,
}

impl<R: Read> SnapshotReader<R> {
    /// Reads how it begins.
    ///
    /// # Errors
    /// [`SnapshotFault`]
    pub fn new(mut input: R) -> Result<Self, SnapshotFault> {
        let mut magic = [0; MAGIC.len()];
        match input.read_exact(&mut magic) {
            Err(fault) if fault.kind() != ErrorKind::UnexpectedEof => return Err(fault.into()),
            Ok(()) if magic == MAGIC => {}
            _ => return Err(SnapshotFault::Magic),
        }
        let mut layout = [0; 2];
        input.read_exact(&mut layout)?;
        let number = u16::from_be_bytes(layout);
        if ![LAYOUT, BEFORE].contains(&number) {
            return Err(SnapshotFault::Layout(number));
        }
        let mut rest = [0; HEADER - MAGIC.len() - 2];
        input.read_exact(&mut rest)?;
        let mut sum = Hasher::new();
        [&magic[..], &layout, &rest].into_iter().for_each(|bytes| sum.update(bytes));
        check(&mut input, &sum)?;
        let mut at = Cursor(&rest);
        let epoch = Epoch { counter: at.u32()?, random: at.u32()? };
        let position = Position { epoch, seq: at.u64()?, tag: at.u64()? };
        let fresh_at = Some(at.u64()? as i64).filter(|&at| at != NEVER);
        Ok(Self {
            input,
            sum,
            layout: number,
            header: SnapshotHeader { position, fresh_at },
            block: Vec::new(),
        })
    }

    /// How the file begins.
    pub fn header(&self) -> SnapshotHeader {
        self.header
    }

    /// What comes next.
    ///
    /// # Errors
    /// [`SnapshotFault`]; then nothing that was read before may be believed either.
    pub fn part(&mut self) -> Result<Section<'_>, SnapshotFault> {
        let mut length = [0; 4];
        self.input.read_exact(&mut length)?;
        self.sum.update(&length);
        match u32::from_be_bytes(length) as usize {
            0 => Ok(Section::End(self.end()?)),
            length if length > MAX_BLOCK => Err(SnapshotFault::Malformed("length of a block")),
            length => {
                self.block.resize(length, 0);
                self.input.read_exact(&mut self.block)?;
                self.sum.update(&self.block);
                check(&mut self.input, &self.sum)?;
                Ok(Section::Entries(Entries(Cursor(&self.block))))
            }
        }
    }

    fn end(&mut self) -> Result<SnapshotFooter, SnapshotFault> {
        let mut bytes = [0; FOOTER];
        self.input.read_exact(&mut bytes)?;
        self.sum.update(&bytes);
        check(&mut self.input, &self.sum)?;
        match self.input.read_exact(&mut [0]) {
            Err(fault) if fault.kind() == ErrorKind::UnexpectedEof => {}
            Err(fault) => return Err(fault.into()),
            Ok(()) => return Err(SnapshotFault::Malformed("something is behind the end")),
        }
        let mut at = Cursor(&bytes);
        let (seen, complete, count) = (at.u64()?, at.u8()?, at.u64()?);
        if complete > 1 || seen < self.header.position.seq {
            return Err(SnapshotFault::Malformed("footer"));
        }
        let proof = read_proof(&mut at)?;
        Ok(SnapshotFooter { seen, complete: complete == 1 && self.layout == LAYOUT, count, proof })
    }
}

fn proof_bytes(proof: Option<Proof>) -> [u8; PROOF] {
    let mut bytes = [0; PROOF];
    if let Some(Proof { position: Position { epoch, seq, tag }, seal }) = proof {
        bytes[..4].copy_from_slice(&epoch.counter.to_be_bytes());
        bytes[4..8].copy_from_slice(&epoch.random.to_be_bytes());
        bytes[8..16].copy_from_slice(&seq.to_be_bytes());
        bytes[16..24].copy_from_slice(&tag.to_be_bytes());
        bytes[24..].copy_from_slice(&seal);
    }
    bytes
}

/// No history has the number 0.
fn read_proof(at: &mut Cursor<'_>) -> Result<Option<Proof>, SnapshotFault> {
    let epoch = Epoch { counter: at.u32()?, random: at.u32()? };
    let position = Position { epoch, seq: at.u64()?, tag: at.u64()? };
    let proof = Proof { position, seal: at.array()? };
    Ok((epoch.counter > 0).then_some(proof))
}

/// Reads a whole file and believes nothing of it until its last byte is checked.
///
/// # Errors
/// [`SnapshotFault`]
pub fn verify(input: impl Read) -> Result<(SnapshotHeader, SnapshotFooter), SnapshotFault> {
    let mut reader = SnapshotReader::new(input)?;
    let mut count = 0;
    loop {
        match reader.part()? {
            Section::Entries(entries) => {
                for entry in entries {
                    entry?;
                    count += 1;
                }
            }
            Section::End(footer) if footer.count == count => return Ok((reader.header, footer)),
            Section::End(_) => return Err(SnapshotFault::Malformed("number of entries")),
        }
    }
}

/// The entries of a block.
#[derive(Debug)]
pub struct Entries<'a>(Cursor<'a>);

impl<'a> Iterator for Entries<'a> {
    type Item = Result<SnapshotEntry<'a>, SnapshotFault>;

    fn next(&mut self) -> Option<Self::Item> {
        (!self.0.0.is_empty()).then(|| {
            let entry = self.entry();
            if entry.is_err() {
                self.0 = Cursor(&[]);
            }
            entry
        })
    }
}

impl<'a> Entries<'a> {
    fn entry(&mut self) -> Result<SnapshotEntry<'a>, SnapshotFault> {
        let at = &mut self.0;
        let length = at.u8()?;
        let key = at.take(length.into())?;
        let as_of = at.u64()?;
        let length = at.u16()?;
        Ok(SnapshotEntry { key, as_of, record: at.take(length.into())? })
    }
}

fn check(input: &mut impl Read, sum: &Hasher) -> Result<(), SnapshotFault> {
    let mut bytes = [0; 4];
    input.read_exact(&mut bytes)?;
    if u32::from_be_bytes(bytes) == sum.clone().finalize() { Ok(()) } else { Err(SnapshotFault::Sum) }
}

/// Bytes whose sum was right, from the front.
#[derive(Debug)]
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], SnapshotFault> {
        let (front, rest) =
            self.0.split_at_checked(length).ok_or(SnapshotFault::Malformed("an entry is cut"))?;
        self.0 = rest;
        Ok(front)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], SnapshotFault> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn u8(&mut self) -> Result<u8, SnapshotFault> {
        self.array().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Result<u16, SnapshotFault> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, SnapshotFault> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, SnapshotFault> {
        self.array().map(u64::from_be_bytes)
    }
}

#[cfg(test)]
#[path = "snapshot_tests.rs"]
mod tests;
