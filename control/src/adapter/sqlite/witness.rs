//! What is known of an opening outside of the database file: it stands in the file of its lock. A copy of the database that is
//! put back into the place of the store does not bring it, or brings an older one whose time gives it away. Nothing of
//! the database is read here.

use super::file::{Identity, beside};
use super::mark::{Log, Mark};
use link::Seq;
use std::fs::{File, Metadata};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// One write of less than a sector: it is there or not.
const BYTES: usize = 160;
const KIND: &str = "linkr-opening-1";
/// Seconds by which a file system may round its times.
const ROUNDED: u64 = 2;

/// What was noted last about a store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Witness {
    /// Of the opening, as its mark has it.
    pub nonce: u32,
    pub is_open: bool,
    /// The store got at least here.
    pub seq: Seq,
    /// The file of its log: inode and birth. It is one file from the start to the stop.
    pub log: Option<(u64, i64)>,
    /// When the database file itself was last seen to be written, in nanoseconds since 1970.
    pub written: i64,
    /// The time that was given to the file this stands in, in seconds since 1970; 0: none could be.
    at: u64,
}

/// What lies beside a store.
#[derive(Debug)]
pub(super) struct Noted {
    pub witness: Witness,
    /// The file it stands in.
    file: Metadata,
    /// The store, without symbolic links.
    path: PathBuf,
}

/// Inode and birth of the log beside a store.
pub(super) fn log_file(path: &Path) -> Option<(u64, i64)> {
    let file = std::fs::metadata(beside(path, "-wal")).ok()?;
    Some((file.ino(), Identity::of(&file).born.unwrap_or(0)))
}

/// When a file was written last, in nanoseconds since 1970.
pub(super) fn written(file: &Metadata) -> i64 {
    file.mtime().saturating_mul(1_000_000_000).saturating_add(file.mtime_nsec())
}

impl Witness {
    fn parsed(text: &str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        if words.next() != Some(KIND) {
            return None;
        }
        let is_open = match words.next()? {
            "open" => true,
            "closed" => false,
            _ => return None,
        };
        let (nonce, seq) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let (inode, born): (u64, i64) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let (written, at) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let log = (inode != 0).then_some((inode, born));
        (words.next() == Some(".")).then_some(Self { nonce, is_open, seq, log, written, at })
    }

    fn text(&self) -> String {
        let state = if self.is_open { "open" } else { "closed" };
        let (inode, born) = self.log.unwrap_or_default();
        let Self { nonce, seq, written, at, .. } = self;
        let line = format!("{KIND} {state} {nonce} {seq} {inode} {born} {written} {at} .");
        format!("{line:<width$}\n", width = BYTES - 1)
    }

    /// Notes it, and gives the file the time that stands in it: whoever copies another one over it gives it another.
    pub fn note(&self, file: &File) -> std::io::Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
        let noted = Self { at: now, ..self.clone() };
        file.write_all_at(noted.text().as_bytes(), 0)?;
        match file.set_modified(UNIX_EPOCH + Duration::from_secs(now)) {
            Ok(()) => Ok(()),
            Err(_) => file.write_all_at(Self { at: 0, ..noted }.text().as_bytes(), 0),
        }
    }
}

impl Noted {
    /// A file without a note is from before there were any.
    pub fn of(path: &Path) -> Option<Self> {
        let file = proto::own::read(&beside(path, ".lock")).ok()?;
        let mut bytes = [0; BYTES];
        file.read_exact_at(&mut bytes, 0).ok()?;
        let witness = Witness::parsed(std::str::from_utf8(&bytes).ok()?)?;
        Some(Self { witness, file: file.metadata().ok()?, path: path.to_owned() })
    }

    /// Why a store that says it is open is not the one that was open last.
    pub fn denies(&self, mark: &Mark, now: &Identity) -> Option<String> {
        let (shown, witness) = (self.path.display(), &self.witness);
        if !witness.is_open {
            return Some(format!(
                "{shown} was closed by its linkr, and what lies there now is a copy from when it was open"
            ));
        }
        if witness.nonce != mark.nonce() {
            return Some(format!("{shown} is a copy from an earlier run than the last one on it"));
        }
        if log_file(&self.path).is_some_and(|log| witness.log.is_some_and(|noted| noted != log)) {
            return Some(format!(
                "{shown}-wal is another file than the write-ahead log that was open with {shown}"
            ));
        }
        // The page cache outlives a process, not the kernel: after that, text and time may be of two moments.
        let apart = self.file.mtime().cast_unsigned().abs_diff(witness.at) > ROUNDED;
        (witness.at != 0 && mark.is_of_boot(now) && apart).then(|| {
            format!("{shown}.lock was written by another program than linkr: the files of {shown} were copied there")
        })
    }

    /// Whether the log beside a store that was closed is what its stop left, which was killed before it could empty it.
    pub fn left(&self) -> bool {
        let log = self.witness.log;
        self.witness.is_open && log.is_some() && log == log_file(&self.path)
    }

    /// Whether the database file may be an older one than its log goes with: it was written behind the log, or before it
    /// was seen last. A crash in the middle of a checkpoint looks like that, too.
    pub fn doubts(&self, log: Log) -> bool {
        let time = |path: &Path| std::fs::metadata(path).map_or(0, |file| written(&file));
        let (file, behind) = (time(&self.path), time(&beside(&self.path, "-wal")));
        matches!(log, Log::Holds(_)) && (file >= behind || file < self.witness.written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_as_it_was_written_and_nothing_else_is() {
        let most = Witness {
            nonce: u32::MAX,
            is_open: true,
            seq: u64::MAX,
            log: Some((u64::MAX, i64::MIN)),
            written: i64::MIN,
            at: u64::MAX,
        };
        assert_eq!(most.text().len(), BYTES);
        assert_eq!(Witness::parsed(&most.text()), Some(most.clone()));
        let none = Witness::default();
        assert_eq!(Witness::parsed(&none.text()), Some(none));
        assert_eq!(Witness::parsed(&most.text().replace(" .", "")), None);
        assert_eq!(Witness::parsed(""), None);
        assert_eq!(Witness::parsed("\0\0"), None);
    }
}
