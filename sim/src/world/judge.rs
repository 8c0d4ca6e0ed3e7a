//! The invariants, by name. An answer is judged by the moment its request was sent.

use super::World;
use super::reader::{MAX_STALE_MS, OpenRequest, ReaderAnswer};
use crate::database::{KEYS, KeyChange, KeyValue, Store};
use crate::mark::named;
use crate::messages::Fetch;
use feed::BOUND_MS;
use hot::{Absence, EntryState, Tier};
use link::{Class, Epoch, LinkIdentity, Position, Seq};

/// An invariant that does not hold.
#[derive(Clone, Debug)]
pub struct Failure {
    /// `I1` to `I10`, with what it says.
    pub invariant: &'static str,
    /// What was seen.
    pub seen: String,
    /// In which step.
    pub step: u64,
}

const I3: &str = "I3 each entry equals the log at max(applied, as_of)";
const I4: &str = "I4 a fresh answer reflects every write acked before now - B";
const I5: &str = "I5 only committed targets are served";
const I6: &str = "I6 versions never go back on a connection, histories never on an edge";
const I7: &str = "I7 with a token, never older than the token";
const I8: &str = "I8 hot normal keys never fail";
const I9: &str = "I9 an absence is certain only when there is one";
const I11: &str = "I11 what an edge has seen it can prove";
const I12: &str = "I12 a history begins only because writes were lost";
const POSITION: &str = "I3 every answer equals the log at some position";
const R7: &str = "R7 origin is not refused twice";
const STALE: &str = "max_stale ends what a blind edge says";

impl World {
    /// Notes the first failure.
    pub fn fail(&mut self, invariant: &'static str, seen: String) {
        let step = self.step;
        self.failure.get_or_insert(Failure { invariant, seen, step });
    }

    /// I3 and I9 for everything an edge holds.
    pub fn judge_edge(&mut self, e: usize) {
        let edge = &self.edges[e];
        let set = &edge.set;
        let Some(epoch) = set.epoch() else { return };
        let proves = |own: Position| match own.epoch == epoch {
            true => own.seq >= set.seen(),
            false => own.epoch.counter > epoch.counter,
        };
        if !edge.proof.is_some_and(|proof| proves(proof.position)) {
            let seen = format!("edge {e} in {epoch:?} has seen {} and shows {:?}", set.seen(), edge.proof);
            return self.fail(I11, seen);
        }
        let (branch, applied) = (&self.store.branches[edge.branch], set.applied());
        let mut wrong = None;
        if branch.epoch != epoch {
            return; // between two histories: it will be reset
        }
        let mut held = [false; KEYS];
        for shard in 0..set.shards() {
            set.dump(shard, |key, LinkIdentity { uid, version }, as_of, found| {
                let key = Store::number(key);
                held[key] = true;
                let at = applied.max(as_of);
                let line = branch.at(key, at);
                let identity = version == line.seq && uid == branch.uid(key, at);
                let right = as_of <= branch.head().seq && match found {
                    EntryState::Live(link) => line.value == KeyValue::Live && named(link.target) == line.mark && identity,
                    EntryState::Deleted => line.value == KeyValue::Deleted && version == line.seq,
                    EntryState::Quarantined => line.value == KeyValue::Bad,
                    EntryState::Absent(_) => false,
                };
                if !right {
                    wrong = Some(format!("edge {e} key {key}: {found:?} uid {uid} version {version} as of {as_of}, applied {applied}, but {line:?}"));
                }
            });
        }
        if let Some(wrong) = wrong {
            return self.fail(I3, wrong);
        }
        let complete = set.is_complete() && applied >= edge.restored_seen;
        for key in (0..KEYS).filter(|&key| !held[key] && complete) {
            let lines = &branch.keys[key];
            let ever = |from: Seq, to: Seq| {
                branch.at(key, from).value == KeyValue::None
                    || lines
                        .iter()
                        .any(|line| line.seq > from && line.seq <= to && line.value == KeyValue::None)
            };
            let absence =
                set.look_up(self.store.name(key), |held| held.found == EntryState::Absent(Absence::Certain));
            if absence && !ever(applied, set.seen()) {
                let line = branch.at(key, applied);
                return self
                    .fail(I9, format!("edge {e} is complete at {applied} without key {key}: {line:?}"));
            }
        }
    }

    /// I12, whoever shows it.
    pub fn judge_proof(&mut self, own: Position) {
        if !self.store.is_lost(own) {
            let now = self.store.now().head();
            self.fail(I12, format!("{own:?} makes a history begin in the place of {now:?}"));
        }
    }

    /// I6 for histories.
    pub fn judge_history(&mut self, e: usize, branch: usize) {
        let old = self.store.branches[self.edges[e].branch].epoch;
        let new = self.store.branches[branch].epoch;
        if self.edges[e].set.epoch().is_some() && new.counter < old.counter {
            self.fail(I6, format!("edge {e} goes from {old:?} back to {new:?}"));
        }
    }

    /// I6 for positions: within one history they only rise.
    pub fn judge_progress(&mut self, e: usize, before: Option<(Epoch, Seq)>) {
        let set = &self.edges[e].set;
        if let Some((epoch, applied)) = before
            && set.epoch() == Some(epoch)
            && set.applied() < applied
        {
            self.fail(I6, format!("edge {e} goes back from {applied} to {} within {epoch:?}", set.applied()));
        }
    }

    /// What origin said is taken, unless the edge has moved on since it asked.
    pub fn judge_refusal(&mut self, e: usize, fetch: &Fetch, epoch: Epoch, as_of: Seq) {
        let set = &self.edges[e].set;
        let same = set.generation() == fetch.generation && set.epoch() == Some(epoch);
        if same
            && fetch.then == (set.applied(), self.edges[e].taken)
            && fetch.incarnation == self.edges[e].incarnation
        {
            self.fail(
                R7,
                format!("edge {e} refused {:?} as of {as_of}, nothing has changed since", fetch.keys),
            );
        }
    }

    /// I4 to I9 for one answer.
    pub fn judge_answer(
        &mut self,
        e: usize,
        r: usize,
        request: OpenRequest,
        answer: ReaderAnswer,
        tier: Tier,
    ) {
        let OpenRequest { key, sent, token } = request;
        if answer == ReaderAnswer::Unavailable {
            return self.judge_failure(e, request);
        }
        if let ReaderAnswer::Live(mark) = answer {
            let written = mark.and_then(|mark| *self.store.marks.get(mark as usize)?);
            if written != Some(key) {
                return self.fail(I5, format!("edge {e} key {key}: {answer:?}"));
            }
        }
        let edge = &self.edges[e];
        let (set, own) = (&edge.set, edge.branch);
        let seen = |least: String| {
            format!(
                "edge {e} reader {r} {request:?} heard {answer:?} from {tier:?} at {}, not {least}",
                self.now
            )
        };
        // An answer from before a reset may be of an older history; one that is marked fresh may not. Where several share
        // what it says it is of the oldest: nothing tells that more was seen.
        let found = self.earliest(own, key, 0, answer).map(|at| (own, at)).or_else(|| {
            let others = (0..self.store.branches.len()).filter(|_| tier == Tier::Stale);
            others.filter_map(|branch| self.earliest(branch, key, 0, answer).map(|at| (branch, at))).next()
        });
        let Some((branch, first)) = found else {
            let why = seen("what the log ever said".into());
            return self.fail(POSITION, why);
        };
        let strict_redirect = matches!(answer, ReaderAnswer::Live(_)) && Store::is_strict(key);
        if tier != Tier::Stale || strict_redirect {
            let due = sent.saturating_sub(BOUND_MS);
            if let Some(&commit) = self.store.required(key, due, sent, (e, edge.incarnation)) {
                let number = self.store.by_key[key].iter().copied().find(|&n| {
                    let other = &self.store.commits[n as usize];
                    other.seq == commit.seq && other.branch == commit.branch
                });
                let contains = number.is_some_and(|n| self.store.branches[branch].contains(n, commit.seq));
                if !contains || self.earliest(branch, key, commit.seq, answer).is_none() {
                    let why = seen(format!("{commit:?}"));
                    return self.fail(if answer == ReaderAnswer::Absent { I9 } else { I4 }, why);
                }
            }
        }
        let age = set.freshness(sent + edge.boot).stale_ms();
        if tier == Tier::Stale
            && age.is_none_or(|age| age > MAX_STALE_MS)
            && !matches!(answer, ReaderAnswer::Absent)
        {
            // Its own clock had not reached that far when it looked, at the latest.
            let why = seen(format!("younger than {age:?}"));
            return self.fail(STALE, why);
        }
        if let Some((before, least)) = self.edges[e].readers[r].low[key] {
            let from = |other: usize| {
                let (old, new) = (&self.store.branches[before], &self.store.branches[other]);
                if before == other {
                    Some(least)
                } else {
                    (new.epoch.counter >= old.epoch.counter).then(|| least.min(old.shared(new)))
                }
            };
            let fits = |other: usize| {
                from(other).and_then(|least| self.earliest(other, key, least, answer)).map(|at| (other, at))
            };
            // What was not confirmed since a reset may be of any history before.
            let older = (0..self.store.branches.len()).filter(|_| tier == Tier::Stale);
            let Some(low) = std::iter::once(branch).chain(older).find_map(fits) else {
                let why =
                    seen(format!("at {least} of history {:?} or later", self.store.branches[before].epoch));
                return self.fail(I6, why);
            };
            self.edges[e].readers[r].low[key] = Some(low);
        } else {
            self.edges[e].readers[r].low[key] = Some((branch, first));
        }
        if let Some(token) = token {
            let commit = self.store.commits[token as usize];
            // A history that was replaced and goes on under its name has no tokens of its own until somebody notices.
            let (one, two) = (&self.store.branches[branch], &self.store.branches[commit.branch]);
            let twins = one.epoch == two.epoch && branch != commit.branch;
            let contains = self.store.branches[branch].contains(token, commit.seq);
            let right = contains && self.earliest(branch, key, commit.seq, answer).is_some();
            if !right && !commit.lost && !twins {
                let why = seen(format!("as new as its token {commit:?}"));
                self.fail(I7, why);
            }
        }
    }

    /// The first position at `least` or later at which this history says so.
    fn earliest(&self, branch: usize, key: usize, least: Seq, answer: ReaderAnswer) -> Option<Seq> {
        let branch = &self.store.branches[branch];
        let says = |line: &KeyChange| match answer {
            ReaderAnswer::Live(named) => line.value == KeyValue::Live && named == line.mark,
            ReaderAnswer::Gone => line.value == KeyValue::Deleted,
            ReaderAnswer::Absent => line.value == KeyValue::None,
            ReaderAnswer::Unavailable => true,
        };
        let line = branch.at(key, least);
        if says(&line) {
            return Some(least);
        }
        branch.keys[key].iter().find(|line| line.seq > least && says(line)).map(|line| line.seq)
    }

    /// I8: a failure of a normal link that the edge holds.
    fn judge_failure(&mut self, e: usize, request: OpenRequest) {
        let edge = &self.edges[e];
        let fresh = edge.set.freshness(self.now + edge.boot);
        let young = fresh.stale_ms().is_some_and(|age| age <= MAX_STALE_MS);
        let normal = edge.set.look_up(self.store.name(request.key), |held| match held.found {
            EntryState::Live(link) => link.terms.class != Class::Strict,
            _ => false,
        });
        if normal && young && request.token.is_none() {
            self.fail(I8, format!("edge {e} {request:?} failed, stale for {:?}", fresh.stale_ms()));
        }
    }
}
