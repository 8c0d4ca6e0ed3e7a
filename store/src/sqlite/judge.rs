//! Whether a file may be opened as a store, by its own mark, by its log and by what was noted beside it.

use super::identity::Identity;
use super::mark::{FileMark, WalState};
use super::witness::{WitnessNote, WitnessState};
use link::{Position, Seq};
use proto::own::{beside, folder_of};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Behind the name of a store, in front of a time: what a restore gives to the file that was there.
pub(super) const KEPT: &str = ".before-";

/// The judgement on a file that is to be opened.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FileJudgement {
    Good,
    /// It was closed as another file: moved or copied. It is looked through once, and has to end here.
    Moved(Position),
    /// It was closed, and its log is still there, as where a stop is killed. It is looked through, and has to end here.
    Cut(Position),
    /// Why it is not opened.
    Refused(String),
}

/// Whether the file `now` may be opened by what its mark says, and what was noted beside it.
pub(super) fn judge(
    path: &Path,
    mark: &FileMark,
    now: &Identity,
    log: WalState,
    noted: Option<&WitnessNote>,
) -> FileJudgement {
    let same = mark.is_of(now);
    match mark.closed_at() {
        Some(at) if log == WalState::Holds => closed_with_log(path, at, noted),
        Some(at) => closed(path, mark, at, &ClosedFile { same, log, noted }),
        None => opened(path, mark, now, log, noted),
    }
}

/// Out of what is refused after a crash.
pub(super) fn way_out(path: &Path) -> String {
    let shown = path.display();
    let other = match std::fs::metadata(path).is_ok_and(|file| file.nlink() > 1) {
        true => format!("{shown} has another name, and its log may lie beside that: start linkr there; "),
        false => String::new(),
    };
    format!(
        "{other}put back what belongs together, or restore a backup; linkr restore --accept {shown} takes this one for what it is, \
         after a check"
    )
}

fn closed_with_log(path: &Path, at: Position, noted: Option<&WitnessNote>) -> FileJudgement {
    let shown = path.display();
    if noted.is_some_and(WitnessNote::left) {
        return FileJudgement::Cut(at);
    }
    // A log that is none of a file that is closed alone is known before.
    FileJudgement::Refused(format!(
        "{shown} says that it was closed only with its write-ahead log {shown}-wal, which may hold writes that nothing else \
         has: leave both where they are; linkr restore --accept {shown} takes them together, after a check"
    ))
}

/// What is known of a file that is closed.
struct ClosedFile<'a> {
    same: bool,
    log: WalState,
    noted: Option<&'a WitnessNote>,
}

fn closed(path: &Path, mark: &FileMark, at: Position, beside: &ClosedFile<'_>) -> FileJudgement {
    let left =
        beside.noted.map(|noted| &noted.witness).filter(|witness| witness.state != WitnessState::Closed);
    let least = left.map_or(0, |witness| witness.seq);
    // A stop that is killed leaves its log, be it empty; one that got further than was noted is no older file.
    let is_gone = beside.log == WalState::Missing
        && at.seq == least
        && left.is_some_and(|witness| witness.state == WitnessState::Open && witness.log.is_some());
    match beside.same {
        // After a clean stop an older one may be put back; after a crash nobody has said that it is meant.
        true if at.seq < least => {
            FileJudgement::Refused(format!("{}; {}", older(path, at.seq, least), way_out(path)))
        }
        true if is_gone => FileJudgement::Refused(lacks(
            path,
            &format!(
                "{shown} was closed before its last linkr ran, and the write-ahead log of that one, {shown}-wal, is gone",
                shown = path.display()
            ),
        )),
        true => FileJudgement::Good,
        false if mark.is_released() => FileJudgement::Good,
        false => FileJudgement::Moved(at),
    }
}

/// A store that may lack writes, and the way out.
pub(super) fn lacks(path: &Path, why: &str) -> String {
    format!("{why}: writes that were acknowledged may be missing; {}", way_out(path))
}

/// What is wrong with a store that ends before it did.
pub(super) fn older(path: &Path, seq: Seq, least: Seq) -> String {
    let shown = path.display();
    format!(
        "the store {shown} ends with change {seq}, and got to {least} before: it is an older copy, or its log {shown}-wal is, \
         and writes that were acknowledged are missing"
    )
}

fn opened(
    path: &Path,
    mark: &FileMark,
    now: &Identity,
    log: WalState,
    noted: Option<&WitnessNote>,
) -> FileJudgement {
    let shown = path.display();
    if !mark.is_open_as(now) {
        return FileJudgement::Refused(format!(
            "the store {shown} is a copy of one that was open in a running linkr: writes that were acknowledged may be \
             missing, and parts of it may be of different moments; take copies with linkr backup; linkr restore --accept \
             {shown} takes this one for what it is, after a check"
        ));
    }
    let refused = |why: &str| FileJudgement::Refused(lacks(path, why));
    let Some(noted) = noted else {
        return refused(&format!(
            "the store {shown} was open when its linkr ended, and {shown}.lock does not say any more how far it got"
        ));
    };
    if !mark.is_of_one_moment() {
        return refused(&format!("parts of {shown} and of its log {shown}-wal are of different moments"));
    }
    if let Some(why) = noted.denies(mark, now) {
        return refused(&why);
    }
    match log {
        // Before the log of an opening is noted, nothing was acknowledged.
        WalState::Missing if noted.witness.log.is_some() && noted.witness.state != WitnessState::Left => {
            log_is_gone(path, now)
        }
        _ => FileJudgement::Good,
    }
}

fn log_is_gone(path: &Path, now: &Identity) -> FileJudgement {
    let shown = path.display();
    FileJudgement::Refused(match moved_log(path, now) {
        Some([there, back]) => format!(
            "the store {shown} was open when its linkr ended, and a linkr restore that did not come to its end has moved its \
             write-ahead log to {there}, with writes that were acknowledged: mv {there} {back} and start, or run that restore \
             again",
            there = there.display(),
            back = back.display()
        ),
        None => lacks(
            path,
            &format!(
                "the store {shown} was open when its linkr ended, and its write-ahead log {shown}-wal is gone"
            ),
        ),
    })
}

/// Whether a file without a mark may be opened.
pub(super) fn unmarked(path: &Path, log: WalState, noted: Option<&WitnessNote>) -> FileJudgement {
    let shown = path.display();
    let known = noted.map(|noted| &noted.witness).filter(|witness| witness.seq > 0 || witness.log.is_some());
    match std::fs::metadata(path).map_or(0, |file| file.len()) {
        0 if log == WalState::Holds => FileJudgement::Refused(format!(
            "{shown} holds nothing, and its write-ahead log {shown}-wal does: put {shown} back, or restore a backup, or move \
             {shown}-wal away to begin anew"
        )),
        0 if let Some(known) = known => FileJudgement::Refused(format!(
            "{shown} is gone or holds nothing, and the store got to change {}: put {shown} back, or restore a backup with \
             linkr restore; to begin anew remove {shown}.lock",
            known.seq
        )),
        _ => FileJudgement::Good,
    }
}

/// Where a restore that was killed left the log, beside the other name that it gave this very file; and its place.
fn moved_log(path: &Path, now: &Identity) -> Option<[PathBuf; 2]> {
    let path = path.canonicalize().ok()?;
    let mut front = path.file_name()?.to_owned();
    front.push(KEPT);
    let kept = std::fs::read_dir(folder_of(&path)).ok()?.flatten().find(|entry| {
        entry.file_name().as_encoded_bytes().starts_with(front.as_encoded_bytes())
            && entry.metadata().is_ok_and(|file| file.ino() == now.inode)
            && beside(&entry.path(), "-wal").exists()
    });
    kept.map(|kept| [beside(&kept.path(), "-wal"), beside(&path, "-wal")])
}
