//! What can have been true when: the writes of each link in the order of the log.

use crate::history::{BOUND, History, Micros, Op, Outcome, Promise, Write};
use link::Seq;
use std::collections::HashMap;

/// The place of a commit in the order of everything that was ever true: which life of the database, which seq in it.
/// One whose seq nobody told comes right behind the one it built on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    life: u32,
    seq: Seq,
    untold: bool,
    begun: Micros,
}

impl Rank {
    /// Before the first.
    pub const NOTHING: Self = Self { life: 0, seq: 0, untold: false, begun: 0 };
}

/// A write that is, or may be, in the store.
#[derive(Clone, Copy, Debug)]
pub struct Commit {
    /// Its place.
    pub rank: Rank,
    /// What it made of the link.
    pub op: Op,
    /// Just before the call.
    pub begun: Micros,
    /// When the answer had arrived.
    pub ended: Micros,
    /// Whether it was acknowledged.
    pub acked: bool,
    /// What the acknowledgement promised.
    pub told: Promise,
}

/// All that is known of the links.
pub struct KnownCommits<'a> {
    links: HashMap<u32, Vec<Commit>>,
    history: &'a History,
}

impl<'a> KnownCommits<'a> {
    /// Sorts the writes.
    pub fn new(history: &'a History) -> Self {
        let mut by_key: HashMap<u32, Vec<&Write>> = HashMap::new();
        for write in &history.writes {
            by_key.entry(write.key).or_default().push(write);
        }
        let links = by_key.into_iter().map(|(key, writes)| (key, commits(&writes))).collect();
        Self { links, history }
    }

    fn of(&self, key: u32) -> &[Commit] {
        self.links.get(&key).map_or(&[], Vec::as_slice)
    }

    /// The last commit that an answer at this moment can show in this way.
    pub fn find(&self, key: u32, op: Op, answered: Micros) -> Option<Commit> {
        self.of(key).iter().rev().find(|commit| commit.op == op && commit.begun <= answered).copied()
    }

    /// In order.
    pub fn newer_than(&self, key: u32, rank: Rank) -> Vec<Commit> {
        let all = self.of(key);
        all[all.partition_point(|commit| commit.rank <= rank)..].to_vec()
    }

    /// When the history that holds this commit, and no later one does, had ended.
    pub fn lost(&self, rank: Rank) -> Option<Micros> {
        let restore = self.history.restores.get(rank.life as usize)?;
        (rank.begun >= restore.copied && rank != Rank::NOTHING).then_some(restore.dead)
    }

    /// Whether this commit had been taken away by then.
    pub fn lost_by(&self, rank: Rank, at: Micros) -> bool {
        let restore = self.history.restores.get(rank.life as usize);
        self.lost(rank).is_some() && restore.is_some_and(|restore| restore.started <= at)
    }

    /// When the link was first known to be there.
    pub fn since(&self, key: u32) -> Option<Micros> {
        self.of(key).iter().filter(|commit| commit.acked).map(|commit| commit.ended).min()
    }

    /// Whether the link was there more than B before `by`, and nobody had begun to delete it at `until`.
    pub fn lives(&self, key: u32, by: Micros, until: Micros) -> bool {
        let all = self.of(key);
        let mut made = all.iter().filter(|commit| matches!(commit.op, Op::To(_)) && commit.acked);
        let there = made.any(|commit| commit.ended + BOUND < by && self.lost(commit.rank).is_none());
        there && !all.iter().any(|commit| commit.op == Op::Delete && commit.begun <= until)
    }
}

/// Those of one link's writes that are or may be in the store, in the order of the log.
fn commits(writes: &[&Write]) -> Vec<Commit> {
    let mut found: Vec<Commit> = Vec::new();
    for (at, write) in writes.iter().enumerate() {
        let (life, begun) = (write.life, write.begun);
        let (rank, acked) = match write.outcome {
            Outcome::Acked { seq, .. } => (Rank { life, seq, untold: false, begun }, true),
            Outcome::Refused => continue,
            Outcome::Unknown => {
                let acked =
                    |later: &&&Write| later.life == life && matches!(later.outcome, Outcome::Acked { .. });
                if writes[at + 1..].iter().any(|later| acked(&later)) {
                    continue; // it built on the same version as the later one, and so it is not there
                }
                let base =
                    found.last().map_or(0, |base| if base.rank.life == life { base.rank.seq } else { 0 });
                (Rank { life, seq: base, untold: true, begun }, false)
            }
        };
        let (op, ended, told) = (write.op, write.ended, write.told);
        found.push(Commit { rank, op, begun, ended, acked, told });
    }
    found.sort_by_key(|commit| commit.rank);
    found
}
