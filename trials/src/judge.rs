//! The checker: which of the promises a history breaks. It knows nothing of processes or sockets.
//!
//! Every judgement leans to the side of the product: a write counts from the moment its acknowledgement had arrived,
//! a read from the moment just before it was sent. What is found here is wrong, however busy the machine was.

mod commits;
mod tally;

pub use tally::{Ages, Verdict, Violation, WindowSightings};

use crate::history::{
    Answer, BOUND, Birth, History, Mark, Micros, Op, Outcome, Promise, Read, Window, strict,
};
use commits::{Commit, KnownCommits, Rank};
use std::collections::HashMap;
use std::fmt::Write as _;

/// Violations of one kind that are printed in full; the others are only counted.
const MOST_PRINTED: u64 = 5;

/// A link this old is on every edge that is not cut off.
const SURELY: Micros = 5 * BOUND;

/// Judges a whole history.
pub fn judge(history: &History) -> Verdict {
    let mut judge = Judge { history, known: KnownCommits::new(history), verdict: Verdict::new(history) };
    judge.writes();
    judge.restores();
    let mut last: HashMap<u32, Rank> = HashMap::new();
    let mut connection = None;
    for read in &history.reads {
        if connection.replace(read.connection) != Some(read.connection) {
            last.clear();
        }
        judge.read(read, &mut last);
    }
    for (at, window) in history.windows.iter().enumerate() {
        if let Some(why) = &window.unrecovered {
            judge.verdict.add(Violation::NotRecovered, Some(at), || format!("after {}: {why}", window.fault));
        }
    }
    judge.verdict
}

struct Judge<'a> {
    history: &'a History,
    known: KnownCommits<'a>,
    verdict: Verdict,
}

impl Judge<'_> {
    fn writes(&mut self) {
        let seen = &mut self.verdict.seen;
        for write in &self.history.writes {
            match write.outcome {
                Outcome::Acked { .. } => seen.writes_acknowledged += 1,
                Outcome::Unknown => seen.writes_unknown += 1,
                Outcome::Refused => seen.writes_refused += 1,
            }
            match write.told {
                Promise::Everywhere { but: 0 } => seen.propagated += 1,
                Promise::Everywhere { .. } => seen.partial += 1,
                Promise::Durable => continue,
            }
            let cut = |window: &&Window| ["cut", "silent"].contains(&window.fault.as_str());
            let mut cuts = self.history.windows.iter().filter(cut);
            seen.waited_in_cuts +=
                u64::from(cuts.any(|window| (window.from..window.to).contains(&write.begun)));
        }
    }

    /// What a restore took away must lie behind the seq at which the new history leaves the old one.
    fn restores(&mut self) {
        for (life, restore) in self.history.restores.iter().enumerate() {
            for write in &self.history.writes {
                let Outcome::Acked { epoch, seq } = write.outcome else { continue };
                if write.life as usize != life || write.begun < restore.copied {
                    continue;
                }
                self.verdict.seen.lost_to_restores += 1;
                // The new history names those it came from, and up to where. All of any other is gone: the file that
                // was put back is from before that one began.
                let shared = restore.forks.iter().find(|(old, _)| epoch == *old);
                let named = !restore.forks.is_empty() && shared.is_none_or(|(_, fork_seq)| seq > *fork_seq);
                if !named {
                    self.verdict.add(Violation::LostUnnamed, self.history.begun_by(write.begun), || {
                        format!("{write:?} was taken away, the bump says {:?}", restore.forks)
                    });
                }
            }
        }
    }

    fn read(&mut self, read: &Read, last: &mut HashMap<u32, Rank>) {
        let begun = self.history.begun_by(read.sent);
        let window = begun.filter(|&window| read.sent < self.history.windows[window].to);
        self.count(read, window);
        if let Answer::Failed(_) | Answer::Unavailable | Answer::NotFound | Answer::Other(_) = read.answer {
            let window = window.map(|window| &self.history.windows[window]);
            // What it does not hold it asks for, and Redis need not have everything.
            let asks = self.history.small & (1 << read.edge) != 0;
            if !asks || window.is_some_and(|window| window.fault.starts_with("redis")) {
                self.failed(read, window.map(|window| window.from));
            }
        }
        let Some(shown) = self.shown(read) else { return };
        self.connection(read, shown, last);
        self.propagated(read, shown);
        self.bound(read, shown);
    }

    fn count(&mut self, read: &Read, window: Option<usize>) {
        let failed = matches!(read.answer, Answer::Failed(_));
        let told = matches!(read.answer, Answer::To(_) | Answer::NotFound | Answer::Gone);
        let (fresh, stale) = (told && read.mark == Mark::Fresh, told && read.mark == Mark::Stale);
        let down = self.down(read);
        let seen = &mut self.verdict.seen;
        seen.reads += u64::from(!failed);
        seen.unmarked += u64::from(!failed && read.mark == Mark::None);
        seen.fresh += u64::from(fresh);
        seen.stale += u64::from(stale);
        seen.failed_on_downed_edges += u64::from(failed && down);
        let refused = strict(read.key) && read.answer == Answer::Unavailable;
        seen.strict_refused += u64::from(refused);
        if let Some(window) = window.map(|window| &mut self.verdict.windows[window]) {
            window.reads += u64::from(!failed);
            window.fresh += u64::from(fresh);
            window.stale += u64::from(stale);
            window.strict_refused += u64::from(refused);
        }
    }

    fn down(&self, read: &Read) -> bool {
        let over = |down: &&crate::history::Downtime| {
            down.edge == read.edge && down.from <= read.answered && read.sent <= down.to
        };
        self.history.downs.iter().any(|down| over(&down))
    }

    /// A normal link that an edge must have, and no answer from it. A link made after a fault began is none that a
    /// cut-off edge must have.
    fn failed(&mut self, read: &Read, window: Option<Micros>) {
        if strict(read.key) || self.down(read) {
            return;
        }
        let by = window.unwrap_or(read.sent).min(read.sent.saturating_sub(SURELY));
        if matches!(read.answer, Answer::Other(_)) || self.known.lives(read.key, by, read.answered) {
            let since = self.known.since(read.key);
            let at = self.history.begun_by(read.sent);
            self.verdict.add(Violation::Failed, at, || format!("{read:?} of a link made at {since:?}"));
        }
    }

    /// Which commit an answer shows. `None`: it shows none that could be judged.
    fn shown(&mut self, read: &Read) -> Option<Option<Commit>> {
        let commit = match &read.answer {
            Answer::To(n) => self.known.find(read.key, Op::To(*n), read.answered),
            Answer::Gone => self.known.find(read.key, Op::Delete, read.answered),
            Answer::NotFound => return Some(None),
            Answer::Foreign(_) => None,
            Answer::Unavailable | Answer::Other(_) | Answer::Failed(_) => return None,
        };
        if commit.is_none() {
            self.violated(Violation::NeverCommitted, read, None);
        }
        commit.map(Some)
    }

    fn connection(&mut self, read: &Read, shown: Option<Commit>, last: &mut HashMap<u32, Rank>) {
        let rank = shown.map_or(Rank::NOTHING, |commit| commit.rank);
        let before = last.insert(read.key, rank).unwrap_or(Rank::NOTHING);
        let taken_away = self.known.lost_by(before, read.answered);
        if rank < before && !taken_away {
            let at = self.history.begun_by(read.sent);
            let text = || format!("{} after {before:?} was shown", describe(read, shown));
            self.verdict.add(Violation::WentBack, at, text);
        }
    }

    /// After `PROPAGATED` nobody shows anything older, and after `PARTIAL` nobody outside `blind[]` does: marked or not,
    /// but for processes that started later.
    fn propagated(&mut self, read: &Read, shown: Option<Commit>) {
        let rank = shown.map_or(Rank::NOTHING, |commit| commit.rank);
        let newer = self.known.newer_than(read.key, rank);
        let broken = newer.into_iter().rev().find(|commit| {
            let Promise::Everywhere { but } = commit.told else { return false };
            let born = self.born(read);
            but & (1 << read.edge) == 0
                && commit.ended < read.sent
                && born.is_some_and(|born| born.ready < commit.ended)
                && !self.known.lost_by(commit.rank, read.answered)
        });
        if let Some(commit) = broken {
            self.violated(Violation::PropagatedMissed, read, Some((shown, commit)));
        }
    }

    /// The process that answered: the last one started before the answer.
    fn born(&self, read: &Read) -> Option<&Birth> {
        let own = |birth: &&Birth| birth.edge == read.edge && birth.spawned <= read.answered;
        self.history.births.iter().filter(own).max_by_key(|birth| birth.spawned)
    }

    fn bound(&mut self, read: &Read, shown: Option<Commit>) {
        let rank = shown.map_or(Rank::NOTHING, |commit| commit.rank);
        let missed = self.known.newer_than(read.key, rank).into_iter().find(|commit| {
            commit.acked
                && commit.ended + BOUND < read.sent
                && !self.known.lost_by(commit.rank, read.answered)
        });
        // Shown although its history ended more than B ago.
        let outlived = self.known.lost(rank).is_some_and(|dead| dead + BOUND < read.sent);
        let redirect = matches!(read.answer, Answer::To(_));
        let fresh = read.mark == Mark::Fresh;
        let strict = strict(read.key) && redirect;
        match missed {
            Some(commit) if fresh => self.violated(Violation::FreshMissed, read, Some((shown, commit))),
            Some(commit) if strict => self.violated(Violation::StrictMissed, read, Some((shown, commit))),
            Some(commit) if read.mark == Mark::Stale => self.verdict.ages.add(read.sent - commit.ended),
            Some(_) => self.verdict.seen.older_unmarked += 1,
            None if outlived && (fresh || strict) => self.violated(Violation::Outlived, read, None),
            None => {}
        }
    }

    fn violated(&mut self, violation: Violation, read: &Read, missed: Option<(Option<Commit>, Commit)>) {
        self.verdict.add(violation, self.history.begun_by(read.sent), || match missed {
            Some((shown, commit)) => {
                let mut text = describe(read, shown);
                let since = read.sent.saturating_sub(commit.ended) / 1000;
                let _ = write!(text, "; misses {commit:?}, acknowledged {since} ms before");
                text
            }
            None => format!("{read:?}"),
        });
    }
}

fn describe(read: &Read, shown: Option<Commit>) -> String {
    let staleness = read.staleness_ms.map_or_else(String::new, |ms| format!(" ({ms} ms by its own word)"));
    format!("{read:?}{staleness} shows {:?}", shown.map(|commit| commit.rank))
}

#[cfg(test)]
mod tests;
