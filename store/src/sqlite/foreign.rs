//! What lies beside a file and belongs to another moment of it: told by the file read alone, before SQLite brings anything
//! into it.

use super::mark::{self, WalState};
use super::witness::{WitnessNote, WitnessState};
use super::{check, connect};
use proto::own::beside;
use std::path::Path;

/// Why the log is none of a file that is closed without it. A file that is not closed alone needs its log.
pub(super) fn log(path: &Path, log: WalState, noted: Option<&WitnessNote>) -> Option<String> {
    if log != WalState::Holds || noted.is_some_and(WitnessNote::left) {
        return None;
    }
    let shown = path.display();
    mark::alone(path).ok()??.is_closed().then(|| {
        format!(
            "{shown}-wal is a write-ahead log of another moment than {shown}, which was closed with all of its own: it would \
             be written over {shown}, and destroy it; move {shown}-wal away, and keep it until nothing is missed"
        )
    })
}

/// Why the journal is none of this file: a start that is killed leaves one, and its note has no log yet. Where the file may
/// be in the middle of a write, it is rolled back.
pub(super) fn journal(path: &Path, noted: Option<&WitnessNote>) -> Option<String> {
    if std::fs::metadata(beside(path, "-journal")).map_or(0, |journal| journal.len()) == 0 {
        return None;
    }
    let witness = &noted?.witness;
    let open = witness.state != WitnessState::Closed;
    if open && witness.log.is_none() {
        return None;
    }
    let mark = mark::alone(path).ok()??;
    let is_whole = match mark.closed_at() {
        Some(at) => {
            let db = connect::without_log(path).ok()?;
            check::whole(&db).is_ok_and(|head| head == Ok(at))
        }
        None => open && mark.is_of_one_moment() && mark.nonce() == witness.nonce,
    };
    let shown = path.display();
    is_whole.then(|| {
        format!(
            "{shown}-journal is of an earlier start than the last one on {shown}: it would be rolled back into {shown}, and \
             destroy it; move {shown}-journal away"
        )
    })
}

/// Why a file is not to be opened with what lies beside it.
pub(super) fn beside_it(path: &Path, there: WalState, noted: Option<&WitnessNote>) -> Option<String> {
    log(path, there, noted).or_else(|| journal(path, noted))
}
