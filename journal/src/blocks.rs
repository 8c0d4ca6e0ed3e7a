//! What becomes of a block of a host (the deciding half). No I/O, no clock here.
//!
//! A block is on disk before any link is touched: from then on every write is judged by it. The links that are there are
//! disabled by a sweep, which may be interrupted and goes on; an undo is a sweep as well, and the block is gone when that
//! has ended.

use crate::Rejection;
use crate::model::Author;
use crate::request::{Retry, StoredAnswer};
use bytes::Bytes;
use link::{Target, TargetHost};
use std::sync::Arc;

/// How far a block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum BlockState {
    /// Links that lead there are being disabled.
    Sweeping = 1,
    /// None that leads there is enabled.
    Done = 2,
    /// Links may lead there again, and those that it disabled are being enabled.
    Lifting = 3,
}

impl BlockState {
    /// In the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Sweeping, Self::Done, Self::Lifting];

    /// By its number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|state| *state as u8 == number)
    }
}

/// A stored block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockRow {
    /// The host; its subdomains are blocked with it.
    pub host: TargetHost,
    /// How far it is.
    pub state: BlockState,
    /// Raised with each sweep that begins.
    pub round: u64,
    /// For people: at most 512 bytes.
    pub note: String,
    /// Links that it keeps disabled now.
    pub disabled: u64,
    /// When it was made, in Unix milliseconds.
    pub create_time: i64,
    /// Who began the last sweep, as the caller is known.
    pub principal: Arc<str>,
    /// The request that began it.
    pub request_id: Arc<str>,
}

impl BlockRow {
    /// Whether no write may lead a link there.
    pub fn refuses(&self) -> bool {
        self.state != BlockState::Lifting
    }

    /// Who is to be named for what its sweep writes.
    pub fn by(&self) -> Author {
        let method = if self.state == BlockState::Lifting { "UnblockTarget" } else { "BlockTarget" };
        Author { principal: self.principal.clone(), method, request_id: self.request_id.clone() }
    }
}

/// A write of a block.
#[derive(Clone, Debug)]
pub struct BlockItem {
    /// Of which host.
    pub host: TargetHost,
    /// What to do.
    pub intent: BlockIntent,
    /// How a retry is recognised.
    pub retry: Option<Retry>,
}

/// What to do with a block.
#[derive(Clone, Debug)]
pub enum BlockIntent {
    /// Make it, or sweep once more where it is there.
    Block {
        /// For people; empty: as it was.
        note: String,
        /// Who asks.
        by: Author,
    },
    /// Undo it.
    Unblock {
        /// Who asks.
        by: Author,
    },
    /// Its sweep has come to its end.
    Swept {
        /// The one that it was.
        round: u64,
    },
}

impl BlockIntent {
    /// Who asks for it, if it is not linkr itself.
    pub fn by(&self) -> Option<&Author> {
        match self {
            Self::Block { by, .. } | Self::Unblock { by } => Some(by),
            Self::Swept { .. } => None,
        }
    }
}

/// What the store holds.
#[derive(Clone, Debug, Default)]
pub struct BlockHoldings {
    /// The block of this host.
    pub row: Option<BlockRow>,
    /// Whether it keeps a link disabled.
    pub keeps: bool,
    /// The answer to the same request.
    pub answer: Option<StoredAnswer>,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlockVerdict {
    /// Written: this is the new state.
    Written(BlockRow),
    /// It was that already: nothing was written.
    Same(BlockRow),
    /// Ended: there is no block any more.
    Ended,
    /// Done before: this was the answer.
    Before(Bytes),
    /// Refused: nothing was written.
    Refused(Rejection),
}

/// Decides.
pub fn decide(item: &BlockItem, found: &BlockHoldings, now: i64) -> BlockVerdict {
    if let (Some(retry), Some(answer)) = (&item.retry, &found.answer) {
        return match answer.hash == retry.hash {
            true => BlockVerdict::Before(answer.response.clone()),
            false => BlockVerdict::Refused(Rejection::IdempotencyMismatch),
        };
    }
    match (&item.intent, &found.row) {
        (BlockIntent::Block { note, by }, row) => {
            BlockVerdict::Written(block(item, row.as_ref(), note, by, now))
        }
        (BlockIntent::Unblock { .. }, None) => {
            BlockVerdict::Refused(Rejection::TargetNotBlocked(item.host.clone()))
        }
        (BlockIntent::Unblock { .. }, Some(row)) if !row.refuses() => BlockVerdict::Same(row.clone()),
        (BlockIntent::Unblock { by }, Some(row)) => {
            BlockVerdict::Written(swept_by(BlockRow { state: BlockState::Lifting, ..row.clone() }, by))
        }
        // It was undone meanwhile.
        (BlockIntent::Swept { .. }, None) => BlockVerdict::Ended,
        (BlockIntent::Swept { round }, Some(row)) if *round != row.round => BlockVerdict::Same(row.clone()),
        (BlockIntent::Swept { .. }, Some(row)) => match row.state {
            BlockState::Sweeping => {
                BlockVerdict::Written(BlockRow { state: BlockState::Done, ..row.clone() })
            }
            BlockState::Lifting if !found.keeps => BlockVerdict::Ended,
            BlockState::Done | BlockState::Lifting => BlockVerdict::Same(row.clone()),
        },
    }
}

fn block(item: &BlockItem, row: Option<&BlockRow>, note: &str, by: &Author, now: i64) -> BlockRow {
    let fresh = || BlockRow {
        host: item.host.clone(),
        state: BlockState::Sweeping,
        round: 0,
        note: String::new(),
        disabled: 0,
        create_time: now,
        principal: "".into(),
        request_id: "".into(),
    };
    let row = row.cloned().unwrap_or_else(fresh);
    let note = if note.is_empty() { row.note.clone() } else { note.to_owned() };
    swept_by(BlockRow { state: BlockState::Sweeping, note, ..row }, by)
}

/// The same with a sweep that begins now.
fn swept_by(row: BlockRow, by: &Author) -> BlockRow {
    let (principal, request_id) = (by.principal.clone(), by.request_id.clone());
    BlockRow { round: row.round + 1, principal, request_id, ..row }
}

/// Refuses what would lead a domain to a blocked host.
pub(crate) fn refused(
    field: &'static str,
    target: &Target,
    blocked: &crate::BlockedHosts,
) -> Result<(), Rejection> {
    blocked.of(target).map_or(Ok(()), |host| Err(Rejection::TargetBlocked { field, host }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by(principal: &str) -> Author {
        Author { principal: principal.into(), method: "M", request_id: "r".into() }
    }

    fn item(intent: BlockIntent) -> BlockItem {
        BlockItem { host: TargetHost::given("evil.example").unwrap(), intent, retry: None }
    }

    fn done(row: Option<&BlockRow>, keeps: bool, intent: BlockIntent) -> BlockVerdict {
        decide(&item(intent), &BlockHoldings { row: row.cloned(), keeps, answer: None }, 7)
    }

    fn written(verdict: BlockVerdict) -> BlockRow {
        match verdict {
            BlockVerdict::Written(row) => row,
            other => panic!("{other:?}"),
        }
    }

    fn blocked(note: &str) -> BlockIntent {
        BlockIntent::Block { note: note.into(), by: by("a") }
    }

    #[test]
    fn a_block_is_swept_undone_and_gone() {
        let row = written(done(None, false, blocked("n")));
        assert_eq!((row.state, row.round, &*row.note, row.create_time), (BlockState::Sweeping, 1, "n", 7));
        let row = written(done(Some(&row), true, BlockIntent::Swept { round: 1 }));
        assert!(row.state == BlockState::Done && row.refuses());
        let row = written(done(Some(&row), true, BlockIntent::Unblock { by: by("b") }));
        assert_eq!((row.state, row.round, &*row.principal), (BlockState::Lifting, 2, "b"));
        assert!(!row.refuses() && row.by().method == "UnblockTarget");
        let still = done(Some(&row), true, BlockIntent::Swept { round: 2 });
        assert_eq!(still, BlockVerdict::Same(row.clone()), "it keeps links disabled");
        assert_eq!(done(Some(&row), false, BlockIntent::Swept { round: 2 }), BlockVerdict::Ended);
    }

    #[test]
    fn a_sweep_that_was_overtaken_ends_nothing() {
        let first = written(done(None, false, blocked("n")));
        let lifting = written(done(Some(&first), true, BlockIntent::Unblock { by: by("b") }));
        let again = written(done(Some(&lifting), true, blocked("")));
        assert_eq!((again.state, again.round, &*again.note), (BlockState::Sweeping, 3, "n"));
        for round in [1, 2] {
            assert_eq!(
                done(Some(&again), true, BlockIntent::Swept { round }),
                BlockVerdict::Same(again.clone())
            );
        }
        assert_eq!(done(None, false, BlockIntent::Swept { round: 3 }), BlockVerdict::Ended);
    }

    #[test]
    fn what_is_not_blocked_is_not_unblocked_and_what_is_lifted_is_not_lifted_again() {
        let host = TargetHost::given("evil.example").unwrap();
        let none = done(None, false, BlockIntent::Unblock { by: by("b") });
        assert_eq!(none, BlockVerdict::Refused(Rejection::TargetNotBlocked(host)));
        let row = written(done(None, false, blocked("n")));
        let lifting = written(done(Some(&row), true, BlockIntent::Unblock { by: by("b") }));
        let again = done(Some(&lifting), true, BlockIntent::Unblock { by: by("c") });
        assert_eq!(again, BlockVerdict::Same(lifting));
    }

    #[test]
    fn a_retry_is_answered_as_the_first_time() {
        let retry =
            |hash| Retry { principal: "p".into(), method: "BlockTarget", id: "x".into(), hash: [hash; 16] };
        let answer = Some(StoredAnswer { hash: [1; 16], response: Bytes::from_static(b"first") });
        let found = BlockHoldings { answer, ..BlockHoldings::default() };
        let ask = |hash| decide(&BlockItem { retry: Some(retry(hash)), ..item(blocked("")) }, &found, 7);
        assert_eq!(ask(1), BlockVerdict::Before(Bytes::from_static(b"first")));
        assert_eq!(ask(2), BlockVerdict::Refused(Rejection::IdempotencyMismatch));
    }
}
