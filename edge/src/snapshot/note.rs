//! What is being done right now with bytes from outside, written beside the snapshot file: the next process reads there
//! what this one died of, and sets aside what did it twice.
//!
//! A few lines of text in one block, written over in place and never synced: they have to outlive this process, not the
//! machine. A group of records is noted as a whole, two writes of a microsecond or so; only records of the group in
//! which a process ended are noted one by one the next time.

use exposition::{Hex, unhex};
use link::Seq;
use std::fmt::Write as _;
use std::fs::{File, TryLockError};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

const FIRST_LINE: &str = "linkr note 1\n";
/// Records set aside; of more the oldest is tried again.
const MAX_ASIDE: usize = 8;
/// Bytes. Longer than any note.
const MAX_NOTE: u64 = 8 * 1024;

/// See the module. Without a file it remembers nothing.
#[derive(Debug, Default)]
pub struct Note(Mutex<NoteState>);

#[derive(Debug, Default)]
struct NoteState {
    file: Option<File>,
    /// That of the process before this one, which still writes to it.
    inherited: Option<File>,
    lines: NoteContent,
    /// Bytes in the file.
    width: usize,
}

/// What the note says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct NoteContent {
    /// How often the snapshot file is being loaded without having been loaded since.
    loading: u32,
    now: Option<Group>,
    record: Option<NotedRecord>,
    /// An earlier process ended in it.
    suspect: Option<Group>,
    aside: Vec<NotedRecord>,
}

/// Records that come together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Group {
    /// Changes of the log, from one seq to another.
    Changes(Seq, Seq),
    /// Whatever has a key between these two.
    Keys(Box<[u8]>, Box<[u8]>),
}

/// One record: its key, a sum of its bytes, and the seq with which it came.
#[derive(Clone, Debug, PartialEq, Eq)]
struct NotedRecord {
    seq: Seq,
    key: Box<[u8]>,
    sum: u32,
}

impl Group {
    /// A group of records by the keys that they have.
    pub fn of_keys<'a>(keys: impl Iterator<Item = &'a [u8]> + Clone) -> Self {
        Self::Keys(keys.clone().min().unwrap_or_default().into(), keys.max().unwrap_or_default().into())
    }

    fn covers(&self, record: &NotedRecord) -> bool {
        match self {
            Self::Changes(first, last) => (*first..=*last).contains(&record.seq),
            Self::Keys(first, last) => (first..=last).contains(&&record.key),
        }
    }
}

/// While it lives, a group is under way.
#[must_use]
pub struct GroupGuard<'a>(&'a Note);

impl Drop for GroupGuard<'_> {
    fn drop(&mut self) {
        let mut inner = self.0.inner();
        (inner.lines.now, inner.lines.record) = (None, None);
        inner.write();
    }
}

impl Note {
    /// Reads the note of the process before, and draws its conclusions. Locked until this process ends, so that no
    /// other one uses the same files.
    ///
    /// # Errors
    /// In words: it cannot be opened, or another process has it.
    pub fn open(path: &Path) -> Result<Self, String> {
        let cannot =
            |fault: std::io::Error| format!("cannot use {}: {fault}: see --snapshot", path.display());
        let file = proto::own::open(path).map_err(cannot)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(format!("another edge uses {}: give this one another file", path.display()));
            }
            Err(TryLockError::Error(fault)) => return Err(cannot(fault)),
        }
        let mut bytes = Vec::new();
        (&file).take(MAX_NOTE).read_to_end(&mut bytes).map_err(cannot)?;
        let mut lines = std::str::from_utf8(&bytes).ok().and_then(NoteContent::parse).unwrap_or_default();
        lines.conclude();
        let mut inner = NoteState { file: Some(file), inherited: None, lines, width: bytes.len() };
        inner.write();
        Ok(Self(Mutex::new(inner)))
    }

    /// That of a process that still runs. It is not written before [`Note::take_over`]; what is under way in it is that
    /// process's.
    pub fn inherit(file: File) -> Self {
        let mut bytes = vec![0; MAX_NOTE as usize];
        let length = file.read_at(&mut bytes, 0).unwrap_or(0);
        let known = std::str::from_utf8(&bytes[..length]).ok().and_then(NoteContent::parse);
        let aside = known.map(|known| known.aside).unwrap_or_default();
        let lines = NoteContent { aside, ..NoteContent::default() };
        Self(Mutex::new(NoteState { file: None, inherited: Some(file), lines, width: length }))
    }

    /// The process before this one writes to it no more.
    pub fn take_over(&self) {
        let mut inner = self.inner();
        if let Some(file) = inner.inherited.take() {
            inner.file = Some(file);
            inner.write();
        }
    }

    /// Its file, for the process that goes on in the place of this one. `None`: it cannot be written, or no descriptor is left.
    pub fn handed(&self) -> Option<File> {
        self.inner().file.as_ref().and_then(|file| file.try_clone().ok())
    }

    /// Another process writes to it from now on.
    pub fn pass_on(&self) {
        self.inner().file = None;
    }

    /// The snapshot file is going to be loaded. Returns how many processes ended while they did that, since it was
    /// last loaded or given up.
    pub fn loading(&self) -> u32 {
        let mut inner = self.inner();
        inner.lines.loading += 1;
        inner.write();
        inner.lines.loading - 1
    }

    /// It was loaded, or given up.
    pub fn loaded(&self) {
        let mut inner = self.inner();
        inner.lines.loading = 0;
        inner.write();
    }

    /// These records are going to be read.
    pub fn begin(&self, group: Group) -> GroupGuard<'_> {
        let mut inner = self.inner();
        inner.lines.now = Some(group);
        inner.write();
        drop(inner);
        GroupGuard(self)
    }

    /// This record is going to be read, as it came with `seq`. `false`: it is set aside, so keep away from it.
    pub fn enter(&self, key: &[u8], bytes: &[u8], seq: Seq) -> bool {
        let mut inner = self.inner();
        if inner.lines.suspect.is_none() && inner.lines.aside.is_empty() {
            return true;
        }
        let record = NotedRecord { seq, key: key.into(), sum: crc32fast::hash(bytes) };
        if inner.lines.aside.iter().any(|aside| aside.key == record.key && aside.sum == record.sum) {
            return false;
        }
        if inner.lines.suspect.as_ref().is_some_and(|suspect| suspect.covers(&record)) {
            inner.lines.record = Some(record);
            inner.write();
        }
        true
    }

    fn inner(&self) -> MutexGuard<'_, NoteState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl NoteState {
    fn write(&mut self) {
        let Some(file) = &self.file else { return };
        let mut text = self.lines.text();
        let length = text.len();
        while text.len() < self.width {
            text.push('\n'); // what was longer is gone
        }
        self.width = length;
        if let Err(fault) = file.write_all_at(text.as_bytes(), 0) {
            tracing::warn!(name: "note_not_written", %fault, "the .note beside the snapshot cannot be written: what ends this edge is not remembered, until it is started again");
            self.file = None;
        }
    }
}

impl NoteContent {
    /// What the last process left under way is what it ended in. The second time, the record is known.
    fn conclude(&mut self) {
        let record = self.record.take();
        let before = self.suspect.take();
        self.suspect = self.now.take();
        let Some(record) = record else { return };
        if before.is_some_and(|before| before.covers(&record)) {
            tracing::error!(
                name: "record_set_aside",
                key = %record.key.escape_ascii(),
                "a record ended this process twice and is set aside: its code answers 503 until it is written again"
            );
            self.suspect = None;
            if self.aside.len() == MAX_ASIDE {
                self.aside.remove(0);
            }
            self.aside.push(record);
        }
    }

    fn text(&self) -> String {
        let mut text = FIRST_LINE.to_owned();
        if self.loading > 0 {
            let _ = writeln!(text, "loading {}", self.loading);
        }
        for (word, group) in [("now", &self.now), ("suspect", &self.suspect)] {
            match group {
                Some(Group::Changes(first, last)) => {
                    let _ = writeln!(text, "{word} changes {first} {last}");
                }
                Some(Group::Keys(first, last)) => {
                    let _ = writeln!(text, "{word} keys {} {}", Hex(first), Hex(last));
                }
                None => {}
            }
        }
        let records = self.record.iter().map(|record| ("record", record));
        for (word, record) in records.chain(self.aside.iter().map(|record| ("aside", record))) {
            let _ = writeln!(text, "{word} {} {} {:08x}", record.seq, Hex(&record.key), record.sum);
        }
        text
    }

    /// `None`: it is no note.
    fn parse(text: &str) -> Option<Self> {
        let mut lines = Self::default();
        for line in text.strip_prefix(FIRST_LINE)?.lines().filter(|line| !line.is_empty()) {
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                ["loading", times] => lines.loading = times.parse().ok()?,
                [word @ ("now" | "suspect"), kind, first, last] => {
                    let group = match kind {
                        "changes" => Group::Changes(first.parse().ok()?, last.parse().ok()?),
                        "keys" => Group::Keys(unhex(first)?.into(), unhex(last)?.into()),
                        _ => return None,
                    };
                    *if word == "now" { &mut lines.now } else { &mut lines.suspect } = Some(group);
                }
                [word @ ("record" | "aside"), seq, key, sum] => {
                    let sum = u32::from_str_radix(sum, 16).ok()?;
                    let record = NotedRecord { seq: seq.parse().ok()?, key: unhex(key)?.into(), sum };
                    if word == "record" { lines.record = Some(record) } else { lines.aside.push(record) }
                }
                _ => return None,
            }
        }
        Some(lines)
    }
}

#[cfg(test)]
#[path = "note_tests.rs"]
mod tests;
