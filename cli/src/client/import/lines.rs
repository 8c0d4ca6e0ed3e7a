//! In which line of a file a record begins, and whether a quote is open at its end. The CSV reader itself is off by
//! some lines with CRLF and with empty ones, and says nothing of quotes.

use std::collections::VecDeque;
use std::io::{Error, ErrorKind, Read};
use std::sync::{Arc, Mutex, PoisonError};

/// What stands behind the last byte: the first ends a last record without a line end. Only an open quote takes both.
pub const BEHIND: &[u8] = b"\n\n";

/// Bytes of a row, all of which are in memory.
pub const LONGEST: u64 = 16 << 20;

/// Hands bytes through and remembers where their lines end. Behind them come [`BEHIND`].
pub struct LineEnds {
    source: Box<dyn Read + Send>,
    at: u64,
    behind: &'static [u8],
    known: Arc<Mutex<KnownEnds>>,
}

/// Asks for lines while somebody else reads.
pub struct LineCounter {
    known: Arc<Mutex<KnownEnds>>,
    passed: u64,
}

#[derive(Default)]
struct KnownEnds {
    ends: VecDeque<u64>,
    /// Where the row that is read begins: in bytes, and lines before it.
    row: (u64, u64),
    /// The bytes of the file, once all are read.
    length: Option<u64>,
}

impl LineCounter {
    /// The bytes of `source`, and the lines of these bytes.
    pub fn of(source: Box<dyn Read + Send>) -> (LineEnds, Self) {
        let known = Arc::default();
        (LineEnds { source, at: 0, behind: BEHIND, known: Arc::clone(&known) }, Self { known, passed: 0 })
    }

    /// The first line of a record that ended just before byte `end` (with the first byte of its line end, or with the
    /// file) and holds `inside` line ends itself. To be asked in the order of the records.
    pub fn first(&mut self, end: u64, inside: u64) -> u64 {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        while known.ends.front().is_some_and(|&at| at + 1 < end) {
            known.ends.pop_front();
            self.passed += 1;
        }
        known.row = (end, self.passed + 1);
        (self.passed + 1).saturating_sub(inside)
    }

    /// Whether a quote is still open where a record ended at byte `end`, which then is the end of the file.
    pub fn open(&self, end: u64) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.length.is_some_and(|length| end == length + BEHIND.len() as u64)
    }
}

/// A row that no file means to have.
pub fn too_long(row: &str) -> Error {
    let why = format!("{row} is longer than {LONGEST} bytes: is a quote never closed, or is this a device?");
    Error::new(ErrorKind::InvalidData, why)
}

impl Read for LineEnds {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.source.read(buffer)?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if count == 0 && !buffer.is_empty() {
            known.length = Some(self.at);
            return self.behind.read(buffer);
        }
        let ends = (self.at..).zip(&buffer[..count]).filter(|&(_, &byte)| byte == b'\n').map(|(at, _)| at);
        known.ends.extend(ends);
        self.at += count as u64;
        match known.row {
            (from, _) if self.at - from.min(self.at) <= LONGEST => Ok(count),
            (_, 0) => Err(too_long("its first row")),
            (_, line) => Err(too_long(&format!("a row after line {line}"))),
        }
    }
}
