//! The first word of an edge, and which way control lets it in (R4).

use crate::Proof;
use link::rule::{Rule, off};
use link::{Epoch, Position, Seq};

/// Version of the protocol.
pub const PROTOCOL: u32 = 1;

/// Who asks, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The edge's name.
    pub edge: String,
    /// Random for each process start.
    pub incarnation: u64,
    /// The last change applied, with the proof of its history; `None` on an edge that has none.
    pub position: Option<Position>,
    /// The highest seq relied on in any way.
    pub seen: Seq,
    /// Whether a walk is wanted even if the log reaches back.
    pub want_walk: bool,
    /// Where a walk that was cut goes on; empty: from the start.
    pub walk_after: Vec<u8>,
    /// Counts this process's hellos; the answer repeats it. One to an earlier hello would have the edge go on from where
    /// it no longer stands.
    pub number: u64,
    /// The latest proof it was given.
    pub proof: Option<Proof>,
}

impl Hello {
    /// The position that may tell of another history: one that a control of this store has sealed, which `is_sealed`
    /// judges. Whatever else an edge says of itself changes nothing for others.
    pub fn proven(&self, is_sealed: impl FnOnce(&Proof) -> bool) -> Option<Position> {
        if off(Rule::SealedProof) {
            return self.position.map(|own| Position { seq: own.seq.max(self.seen), ..own });
        }
        self.proof.filter(is_sealed).map(|proof| proof.position)
    }

    /// Whether the edge says that it has seen what this log does not hold.
    pub fn is_ahead(&self, head: Position) -> bool {
        self.position.is_some_and(|own| {
            let beyond = own.epoch == head.epoch && own.seq.max(self.seen) > head.seq;
            own.epoch.counter > head.epoch.counter || beyond
        })
    }
}

/// What control's log looks like when the hello arrives: read in one statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogView {
    /// The current history and its last change.
    pub head: Position,
    /// The hello's history, and the last seq that both share, if the current one came from it.
    pub ancestor: Option<(Epoch, Seq)>,
    /// The first seq that the log still holds; head + 1 when it holds none.
    pub oldest: Seq,
    /// The tag stored for the seq that is asked about, as a rule that of the hello's position; `None` when no such row is held. 0 for seq 0.
    pub tag_at_applied: Option<u64>,
}

/// Which way an edge is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Changes behind its position follow. `fork_seq` is given when its epoch was an earlier one.
    Resume {
        /// The last seq that both histories share.
        fork_seq: Option<Seq>,
        /// Whether a walk follows, too.
        walk: bool,
    },
    /// It begins again here, with a walk.
    Reset {
        /// The position to begin at.
        start: Position,
    },
    /// The edge has met a later history than this log holds: look again, and serve no older one.
    Behind,
}

/// Whether a position that was once the end of the log, or on the way to it, proves that the log is not what it was (R2):
/// it is of a later history, or of this one and the log does not hold it. Then a new history has to begin. `log` is the
/// view for its seq.
pub fn proves_another_history(own: Position, log: &LogView) -> bool {
    let later = own.epoch.counter > log.head.epoch.counter && !off(Rule::LowerEpoch);
    let other_tag = log.tag_at_applied.is_some_and(|tag| tag != own.tag) && !off(Rule::HolderTag);
    let beyond = own.seq > log.head.seq;
    later || (own.epoch == log.head.epoch && (other_tag || beyond))
}

/// Control's answer to a hello.
pub fn admit(hello: &Hello, log: &LogView) -> Admission {
    let reset = Admission::Reset { start: log.head };
    let Some(position) = hello.position else { return reset };
    if position.epoch.counter > log.head.epoch.counter && !off(Rule::LowerEpoch) {
        return Admission::Behind;
    }
    let shared = |fork_seq| hello.seen <= fork_seq || off(Rule::ForkSeen);
    let fork_seq = match log.ancestor {
        _ if position.epoch == log.head.epoch => None,
        Some((ancestor, fork_seq)) if ancestor == position.epoch && shared(fork_seq) => Some(fork_seq),
        _ => return reset,
    };
    let same_tag = log.tag_at_applied == Some(position.tag) || off(Rule::HolderTag);
    let proved = position.seq <= log.head.seq && same_tag;
    let reaches_back = log.oldest <= position.seq.saturating_add(1);
    // Within one history an edge never goes back: either this log has not read so far yet, or history was replaced.
    if fork_seq.is_none() && hello.seen > log.head.seq && !off(Rule::StartAtSeen) {
        return Admission::Behind;
    }
    if proved && reaches_back { Admission::Resume { fork_seq, walk: hello.want_walk } } else { reset }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: Epoch = Epoch { counter: 1, random: 7 };
    const NEW: Epoch = Epoch { counter: 2, random: 8 };

    fn at(epoch: Epoch, seq: Seq, tag: u64) -> Position {
        Position { epoch, seq, tag }
    }

    fn hello(position: Option<Position>, seen: Seq) -> Hello {
        let (edge, walk_after) = ("e".into(), Vec::new());
        Hello { edge, incarnation: 1, position, seen, want_walk: false, walk_after, number: 1, proof: None }
    }

    fn check(
        position: Option<Position>,
        seen: Seq,
        tag_at_applied: Option<u64>,
        oldest: Seq,
        want: Admission,
    ) {
        let log = LogView { head: at(NEW, 100, 1), ancestor: Some((OLD, 50)), oldest, tag_at_applied };
        assert_eq!(admit(&hello(position, seen), &log), want, "{position:?} seen {seen}");
    }

    #[test]
    fn what_proves_another_history() {
        let log = LogView { head: at(NEW, 100, 1), ancestor: None, oldest: 1, tag_at_applied: Some(5) };
        let proves = |position| proves_another_history(position, &log);
        assert!(!proves(at(NEW, 70, 5)));
        assert!(proves(at(NEW, 70, 6)), "another tag");
        assert!(proves(at(NEW, 101, 5)), "behind the head");
        assert!(proves(at(Epoch { counter: 3, random: 1 }, 5, 5)), "a later history");
        assert!(!proves(at(OLD, 170, 9)), "an earlier one is only reset");
    }

    #[test]
    fn what_an_edge_only_says_proves_nothing() {
        let said = hello(Some(at(NEW, 170, 6)), 200);
        assert!(said.is_ahead(at(NEW, 100, 1)));
        assert_eq!(said.proven(|_| true), None);
        let sealed = Proof { position: at(NEW, 90, 5), seal: [7; 16] };
        let said = Hello { proof: Some(sealed), ..said };
        assert_eq!(said.proven(|proof| proof.seal == [8; 16]), None);
        assert_eq!(said.proven(|proof| proof.seal == [7; 16]), Some(at(NEW, 90, 5)));
    }

    #[test]
    fn which_way_in() {
        let reset = Admission::Reset { start: at(NEW, 100, 1) };
        let resume = |fork_seq| Admission::Resume { fork_seq, walk: false };
        check(None, 0, None, 1, reset);
        check(Some(at(NEW, 70, 5)), 70, Some(5), 1, resume(None));
        check(Some(at(NEW, 70, 5)), 70, Some(6), 1, reset);
        check(Some(at(NEW, 0, 0)), 0, Some(0), 1, resume(None));
        // The log no longer reaches back.
        check(Some(at(NEW, 70, 5)), 70, Some(5), 71, resume(None));
        check(Some(at(NEW, 70, 5)), 70, Some(5), 72, reset);
        check(Some(at(NEW, 70, 5)), 70, None, 90, reset);
        // Across the fork: only what both share.
        check(Some(at(OLD, 50, 5)), 50, Some(5), 1, resume(Some(50)));
        check(Some(at(OLD, 50, 5)), 51, Some(5), 1, reset);
        check(Some(at(Epoch { counter: 1, random: 9 }, 50, 5)), 50, Some(5), 1, reset);
        // Later than we are.
        check(Some(at(Epoch { counter: 3, random: 1 }, 5, 5)), 5, Some(5), 1, Admission::Behind);
        check(Some(at(NEW, 170, 5)), 170, None, 1, Admission::Behind);
    }
}
