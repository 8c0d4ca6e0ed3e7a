//! What is known of an opening outside of the database file: it stands in the file of its lock. A copy of the database that is
//! put back into the place of the store does not bring it, or brings an older one whose time gives it away. Nothing of
//! the database is read here.

use super::identity::Identity;
use super::index::{self, IndexMatch};
use super::mark::{FileMark, WalState};
use link::Seq;
use proto::own::beside;
use std::fs::{File, Metadata};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// One write of less than a sector: it is there or not.
const BYTES: usize = 160;
const KIND: &str = "linkr-opening-2";
/// The kind before: its times are in seconds.
const KIND_1: &str = "linkr-opening-1";
const SECOND: i64 = 1_000_000_000;
/// By how much the time of the file may differ from the one that stands in it: a kill comes between both, and a file system
/// that keeps whole seconds rounds them, two at a time.
const APART: i64 = SECOND / 10;
const APART_ROUNDED: i64 = 2 * SECOND;
/// Written so long after its last note, a file of the store was written by another program than linkr.
const TOUCHED: i64 = 2 * SECOND;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum WitnessState {
    Open,
    /// Its linkr stopped and could not close it. Nothing was acknowledged behind `seq`, and whoever kept it from that may
    /// bring the log into the file.
    Left,
    #[default]
    Closed,
}

/// What was noted last about a store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Witness {
    /// Of the opening, as its mark has it.
    pub nonce: u32,
    pub state: WitnessState,
    /// The store got at least here.
    pub seq: Seq,
    /// The file of its log: inode and birth. It is one file from the start to the stop.
    pub log: Option<(u64, i64)>,
    /// When the database file itself was last seen to be written, in nanoseconds since 1970.
    pub written: i64,
    /// The time that was given to the file this stands in, in nanoseconds since 1970; 0: none could be.
    at: i64,
}

/// The note beside a store, and the log as it was then.
#[derive(Debug)]
pub(super) struct WitnessNote {
    pub witness: Witness,
    /// The file it stands in.
    file: Metadata,
    /// Whether the log holds all that was committed, as it was before SQLite looked at it now.
    log: IndexMatch,
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
    file.mtime().saturating_mul(SECOND).saturating_add(file.mtime_nsec())
}

impl Witness {
    fn parsed(text: &str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        let unit = match words.next()? {
            KIND => 1,
            KIND_1 => SECOND,
            _ => return None,
        };
        let state = match words.next()? {
            "open" => WitnessState::Open,
            "left" => WitnessState::Left,
            "closed" => WitnessState::Closed,
            _ => return None,
        };
        let (nonce, seq) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let (inode, born): (u64, i64) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let (written, at): (i64, i64) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let at = at.checked_mul(unit)?;
        let log = (inode != 0).then_some((inode, born));
        (words.next() == Some(".")).then_some(Self { nonce, state, seq, log, written, at })
    }

    fn text(&self) -> String {
        let state = match self.state {
            WitnessState::Open => "open",
            WitnessState::Left => "left",
            WitnessState::Closed => "closed",
        };
        let (inode, born) = self.log.unwrap_or_default();
        let Self { nonce, seq, written, at, .. } = self;
        let line = format!("{KIND} {state} {nonce} {seq} {inode} {born} {written} {at} .");
        format!("{line:<width$}\n", width = BYTES - 1)
    }

    /// Notes it, and gives the file the time that stands in it: whoever copies another one over it gives it another.
    pub fn note(&self, file: &File) -> std::io::Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let noted = Self { at: i64::try_from(now.as_nanos()).unwrap_or(0), ..self.clone() };
        file.write_all_at(noted.text().as_bytes(), 0)?;
        match file.set_modified(UNIX_EPOCH + now) {
            Ok(()) => Ok(()),
            Err(_) => file.write_all_at(Self { at: 0, ..noted }.text().as_bytes(), 0),
        }
    }
}

impl WitnessNote {
    /// To be called before SQLite looks at the log.
    pub fn of(path: &Path) -> Option<Self> {
        let file = proto::own::read(&beside(path, ".lock")).ok()?;
        let mut bytes = [0; BYTES];
        file.read_exact_at(&mut bytes, 0).ok()?;
        let witness = Witness::parsed(std::str::from_utf8(&bytes).ok()?)?;
        Some(Self { witness, file: file.metadata().ok()?, log: index::held(path), path: path.to_owned() })
    }

    /// Why a store that says it is open is not the one that was open last.
    pub fn denies(&self, mark: &FileMark, now: &Identity) -> Option<String> {
        let (shown, witness) = (self.path.display(), &self.witness);
        if witness.state == WitnessState::Closed {
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
        if !mark.is_of_boot(now) {
            return None;
        }
        let most = if self.file.mtime_nsec() == 0 { APART_ROUNDED } else { APART };
        (witness.at != 0 && written(&self.file).abs_diff(witness.at) > most.unsigned_abs()).then(|| {
            format!("{shown}.lock was written by another program than linkr: the files of {shown} were copied there")
        })
    }

    /// Why the log is not the one that was written last. To be asked before SQLite looks at it, which makes its index anew.
    pub fn is_cut_short(&self, log: WalState) -> Option<String> {
        let cut = self.witness.state != WitnessState::Closed
            && log == WalState::Holds
            && self.log == IndexMatch::Less;
        let shown = self.path.display();
        cut.then(|| {
            format!("{shown}-wal ends before what was written last: it is a copy of one that was open, or an older one")
        })
    }

    /// Whether the log beside a store that was closed is what its stop or its start left, which was killed.
    pub fn left(&self) -> bool {
        let log = self.witness.log;
        self.witness.state != WitnessState::Closed && (log.is_none() || log == log_file(&self.path))
    }

    /// Whether file and log may be of two moments, as far as can be told without reading them through. A crash in the
    /// middle of a checkpoint looks like that, too.
    pub fn doubts(&self, mark: &FileMark, now: &Identity, log: WalState) -> bool {
        let time = |path: &Path| std::fs::metadata(path).map_or(0, |file| written(&file));
        let (file, behind) = (time(&self.path), time(&beside(&self.path, "-wal")));
        match log {
            WalState::Missing => self.witness.log.is_some(),
            WalState::Empty => mark.is_of_boot(now) && self.log == IndexMatch::Less,
            WalState::Holds => {
                let all = mark.is_of_boot(now) && self.log == IndexMatch::All;
                // A linkr that writes notes that each second.
                let touched =
                    self.witness.at != 0 && file.max(behind) > self.witness.at.saturating_add(TOUCHED);
                !all || touched || file >= behind || file < self.witness.written
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_as_it_was_written_and_nothing_else_is() {
        let most = Witness {
            nonce: u32::MAX,
            state: WitnessState::Closed,
            seq: u64::MAX,
            log: Some((u64::MAX, i64::MIN)),
            written: i64::MIN,
            at: i64::MAX,
        };
        assert_eq!(most.text().len(), BYTES);
        assert_eq!(Witness::parsed(&most.text()), Some(most.clone()));
        let none = Witness::default();
        assert_eq!(Witness::parsed(&none.text()), Some(none));
        assert_eq!(Witness::parsed(&most.text().replace(" .", "")), None);
        let before = "linkr-opening-1 open 7 10 0 0 5 1800000000 .\n";
        let at = 1_800_000_000 * SECOND;
        let noted = Witness { nonce: 7, state: WitnessState::Open, seq: 10, log: None, written: 5, at };
        assert_eq!(Witness::parsed(before), Some(noted));
        assert_eq!(Witness::parsed(""), None);
        assert_eq!(Witness::parsed("\0\0"), None);
    }
}
