//! In which line of a file a record begins: the CSV reader itself is off by some with CRLF and with empty lines.

use std::collections::VecDeque;
use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};

/// Hands bytes through and remembers where their lines end.
pub struct Ends {
    source: Box<dyn Read + Send>,
    at: u64,
    ends: Arc<Mutex<VecDeque<u64>>>,
}

/// Asks for lines while somebody else reads.
pub struct Lines {
    ends: Arc<Mutex<VecDeque<u64>>>,
    passed: u64,
}

impl Lines {
    /// The bytes of `source`, and the lines of these bytes.
    pub fn of(source: Box<dyn Read + Send>) -> (Ends, Self) {
        let ends = Arc::default();
        (Ends { source, at: 0, ends: Arc::clone(&ends) }, Self { ends, passed: 0 })
    }

    /// The first line of a record that ended just before byte `end` (with the first byte of its line end, or with the
    /// file) and holds `inside` line ends itself. To be asked in the order of the records.
    pub fn first(&mut self, end: u64, inside: u64) -> u64 {
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        while ends.front().is_some_and(|&at| at + 1 < end) {
            ends.pop_front();
            self.passed += 1;
        }
        (self.passed + 1).saturating_sub(inside)
    }
}

impl Read for Ends {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.source.read(buffer)?;
        let ends = (self.at..).zip(&buffer[..count]).filter(|&(_, &byte)| byte == b'\n').map(|(at, _)| at);
        self.ends.lock().unwrap_or_else(PoisonError::into_inner).extend(ends);
        self.at += count as u64;
        Ok(count)
    }
}
