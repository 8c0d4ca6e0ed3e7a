//! Callers who write: one item or many, all or none, again under the same id, with etags that fit or do not. What comes of
//! it is decided by `journal`, executed by the store, and judged here before anybody sees it.

use super::World;
use super::control::PendingWrite;
use crate::database::{KEYS, NewerWrite, Store};
use crate::expectation::{Expectation, ExpectedState, ExpectedVerdict, PriorState, expect};
use crate::mark;
use crate::plan::{CONTROLS, Fault};
use journal::domains::{DomainField, DomainIntent, DomainItem, DomainVerdict};
use journal::{Decision, Draft, Field, Info, Intent, Item, Rejection, Request, RequestKind, Retry, Verdict};
use link::{Change, ChangeKind, Code, Domain, DomainId, Key, Seq, VersionedState};
use record::decode;

const R1: &str = "R1 a group is written as it was asked for, under numbers without holes";
const R1_DOMAINS: &str = "R1 a domain is written as it was asked for";
/// What a key may be behind a write that is not decided yet.
const LIVE: ExpectedState = ExpectedState::Live { version: 0, mark: 0, id: 0 };
const DELETED: ExpectedState = ExpectedState::Deleted { version: 0, mark: 0, id: 0, at: 0 };
/// So many requests with an id are remembered to be sent again.
const MOST: usize = 12;

impl World {
    /// Somebody writes.
    pub fn write(&mut self) {
        let c = self.rng.below(CONTROLS);
        let control = &self.controls[c];
        let current = control.memory.is_some_and(|(branch, _)| branch == self.store.current);
        if !control.up || !control.attached || !current {
            return;
        }
        let tag = self.rng.next() | 1;
        match self.rng.below(100) {
            0..3 => self.write_domain(tag),
            3 => self.store.write_other(tag),
            4..8 if self.faults.has(Fault::Bad) => self.write_newer(tag, NewerWrite::Record),
            8 if self.faults.has(Fault::Strange) => self.write_newer(tag, NewerWrite::Kind),
            _ => {
                let group = self.group();
                self.write_group(&group, tag, None);
            }
        }
        let head = self.store.now().head().seq;
        self.controls[c].memory = Some((self.store.current, head));
    }

    fn write_newer(&mut self, tag: u64, newer: NewerWrite) {
        let key = self.rng.below(KEYS);
        let draft = self.draft(key);
        let intent = match self.states()[key] {
            ExpectedState::None => Intent::Create(draft),
            _ => Intent::Restore { draft, etag: None },
        };
        let item = Item { key: self.store.key(key), intent };
        self.write_group(&[item.into()], tag, Some(newer));
    }

    fn write_group(&mut self, group: &[Request], tag: u64, newer: Option<NewerWrite>) {
        let branch = self.store.now();
        let before = PriorState {
            states: self.states(),
            answered: branch.answered().collect(),
            head: branch.head().seq,
            epoch: branch.epoch,
            now: self.now as i64,
            blocks: Store::blocks(self.now),
        };
        let number = |item: &Item| {
            if item.key.domain() == DomainId::DEFAULT { Store::number(item.key.as_bytes()) } else { 0 }
        };
        let expected = expect(group, before, number);
        let decided = self.store.decide(group, tag, self.now);
        if let Err(seen) = self.judge_group(&expected, &decided, tag) {
            self.note(|_| format!("{group:?}"));
            return self.fail(R1, seen);
        }
        self.count(group, &expected);
        let taken =
            |verdict: &&Verdict| matches!(verdict, Verdict::Refused(Rejection::ExternalIdTaken { .. }));
        self.counters.external_ids_refused += decided.verdicts.iter().filter(taken).count() as u64;
        let blocked =
            |verdict: &&Verdict| matches!(verdict, Verdict::Refused(Rejection::TargetBlocked { .. }));
        self.counters.blocked_targets_refused += decided.verdicts.iter().filter(blocked).count() as u64;
        let Some(commit) = self.store.write(self.now, tag, decided.writes, &expected.answered, newer) else {
            return;
        };
        if self.rng.percent(30) {
            self.waiting.push(PendingWrite { commit, since: self.now });
        }
        self.note(|w| {
            format!("{} writes up to {:?}, commit {commit}", expected.writes.len(), w.store.now().head())
        });
    }

    /// Whether what was decided is what must be.
    fn judge_group(&self, expected: &Expectation, decided: &Decision, tag: u64) -> Result<(), String> {
        let told: Vec<ExpectedVerdict> = decided.verdicts.iter().map(ExpectedVerdict::from).collect();
        if told != expected.told {
            return Err(format!("the items were told {told:?}, not {:?}", expected.told));
        }
        let head = self.store.now().head().seq;
        if decided.writes.len() != expected.writes.len()
            || decided.head.seq != head + expected.writes.len() as Seq
        {
            return Err(format!("{:?} behind {head}, not {:?}", decided.head, expected.writes));
        }
        for ((write, (key, state)), seq) in decided.writes.iter().zip(&expected.writes).zip(head + 1..) {
            let change = write.change(tag);
            let id = mark::number_of(&write.row.info.external_id);
            let same = is_of(&change, state) && has(state, id);
            if change.seq != seq || change.key != *self.store.name(*key) || !same {
                return Err(format!("{change:?} at {seq} of key {key}, not {state:?}"));
            }
        }
        Ok(())
    }

    fn states(&self) -> Vec<ExpectedState> {
        self.store.now().seen(&self.store.commits)
    }

    fn draft(&mut self, key: usize) -> Draft {
        let id = if self.rng.percent(15) { self.rng.between(1, mark::IDS as u64) as usize } else { 0 };
        let info = Info { external_id: mark::external_id(id), ..Info::default() };
        Draft { link: self.store.draft(key), info }
    }

    /// One request, or a few that come at once.
    fn group(&mut self) -> Vec<Request> {
        let more = if self.rng.percent(15) { self.rng.below(3) } else { 0 };
        let mut states = self.states();
        let mut group = Vec::new();
        for _ in 0..=more {
            let again = !self.asked.is_empty() && self.rng.percent(8);
            let request = if again { self.again() } else { self.request_of_writes(&mut states) };
            if request.retry.is_some() && !again {
                self.asked.push_back(request.clone());
                if self.asked.len() > MOST {
                    self.asked.pop_front();
                }
            }
            group.push(request);
        }
        group
    }

    /// A request that came before; at times another one under its id.
    fn again(&mut self) -> Request {
        let at = self.rng.below(self.asked.len());
        let mut request = self.asked[at].clone();
        if let Some(retry) = request.retry.as_mut().filter(|_| self.rng.percent(20)) {
            retry.hash[0] ^= 1;
        }
        request
    }

    fn request_of_writes(&mut self, states: &mut [ExpectedState]) -> Request {
        let (kind, items) = match self.rng.below(100) {
            0..80 => (RequestKind::One, 1),
            80..92 => (RequestKind::Batch, self.rng.between(1, 4)),
            _ => (RequestKind::Chunk, self.rng.between(1, 4)),
        };
        let items = (0..items).map(|_| self.item(states)).collect();
        let retry = (kind != RequestKind::Chunk && self.rng.percent(30)).then(|| {
            let hash = (u128::from(self.rng.next()) << 64 | u128::from(self.rng.next())).to_be_bytes();
            Retry { principal: "p".into(), method: "M", id: format!("{:x}", self.rng.next()), hash }
        });
        Request { items, kind, by: None, retry }
    }

    /// What fits the state of a key, as far as whoever asks can know it; or anything.
    fn item(&mut self, states: &mut [ExpectedState]) -> Item {
        if self.rng.percent(1) {
            return self.elsewhere();
        }
        let key = self.rng.below(KEYS);
        let version = match states[key] {
            ExpectedState::Live { version, .. } | ExpectedState::Deleted { version, .. } => version,
            ExpectedState::None => 0,
        };
        let etag = match self.rng.below(10) {
            0 | 1 => Some(version),
            2 => Some(version + 1),
            _ => None,
        };
        let fits = if self.rng.percent(85) {
            states[key]
        } else {
            [ExpectedState::None, LIVE, DELETED][self.rng.below(3)]
        };
        let (intent, then) = match fits {
            ExpectedState::None => (self.intent_for_none(key), LIVE),
            ExpectedState::Live { .. } => self.intent_for_live(key, etag),
            ExpectedState::Deleted { .. } => self.intent_for_deleted(key, etag),
        };
        states[key] = then;
        Item { key: self.store.key(key), intent }
    }

    /// A write to a domain that there is not, and maybe was.
    fn elsewhere(&mut self) -> Item {
        let given = self.store.domain_numbers();
        let there = self.store.now().tables().numbers();
        let gone: Vec<DomainId> = given.into_iter().filter(|id| !there.contains(id)).collect();
        let id = if gone.is_empty() { DomainId(u32::MAX) } else { gone[self.rng.below(gone.len())] };
        let code = Code::new("k").expect("a code");
        let purge = self.rng.percent(50);
        let intent = if purge { Intent::Purge { before: 0 } } else { Intent::Create(self.draft(0)) };
        Item { key: Key::new(id, &code), intent }
    }

    fn intent_for_none(&mut self, key: usize) -> Intent {
        if self.rng.percent(70) { Intent::Create(self.draft(key)) } else { self.import(key, false) }
    }

    fn intent_for_live(&mut self, key: usize, etag: Option<Seq>) -> (Intent, ExpectedState) {
        match self.rng.below(100) {
            0..10 => {
                let id = mark::external_id(self.rng.below(mark::IDS + 1));
                (Intent::Update { fields: vec![Field::ExternalId(id)], etag }, LIVE)
            }
            10..40 => {
                let target = self.draft(key).link.parts().target.clone();
                (Intent::Update { fields: vec![Field::Target(target)], etag }, LIVE)
            }
            40..60 => (Intent::Restore { draft: self.draft(key), etag }, LIVE),
            60..70 => (self.import(key, true), LIVE),
            _ => (Intent::Delete { etag }, DELETED),
        }
    }

    fn intent_for_deleted(&mut self, key: usize, etag: Option<Seq>) -> (Intent, ExpectedState) {
        match self.rng.below(100) {
            0..20 => (Intent::Undelete { etag }, LIVE),
            20..35 => (Intent::Restore { draft: self.draft(key), etag }, LIVE),
            _ => (
                Intent::Purge { before: self.now as i64 - i64::from(self.rng.percent(10)) },
                ExpectedState::None,
            ),
        }
    }

    fn import(&mut self, key: usize, update: bool) -> Intent {
        Intent::Import { draft: self.draft(key), create_time: None, update }
    }

    fn count(&mut self, group: &[Request], expected: &Expectation) {
        let counters = &mut self.counters;
        counters.writes += expected.writes.len() as u64;
        let mut told = expected.told.iter();
        for request in group {
            let own: Vec<&ExpectedVerdict> = told.by_ref().take(request.items.len()).collect();
            let held = own.iter().any(|told| **told == ExpectedVerdict::Held);
            let before = own.iter().any(|told| matches!(told, ExpectedVerdict::Before(_)));
            counters.batches += u64::from(request.kind == RequestKind::Batch && !held);
            counters.batches_taken_back += u64::from(held);
            counters.answered_before += u64::from(before);
            counters.refused_writes +=
                own.iter().filter(|told| ***told == ExpectedVerdict::Refused).count() as u64;
        }
    }

    /// A domain is made, changed or deleted. Edges pass over it here: which links there are does not depend on it.
    fn write_domain(&mut self, tag: u64) {
        let name = Domain::new(&format!("d{}.example", self.rng.below(3))).expect("a host");
        let there = self.store.now().tables().version(&name);
        let etag = self.rng.percent(40).then(|| there.unwrap_or(0) + u64::from(self.rng.percent(30)));
        let fields = vec![DomainField::FoldCase(self.rng.percent(50))];
        let given = self.store.domain_numbers();
        let intent = match self.rng.below(10) {
            0..5 => {
                // A number is drawn at random: that of one that went comes up seldom enough to be forgotten about.
                let again = !given.is_empty() && self.rng.percent(30);
                let id = if again {
                    given[self.rng.below(given.len())].0
                } else {
                    self.rng.between(1, 1 << 20) as u32
                };
                DomainIntent::Create { id: DomainId(id), fields }
            }
            5..8 => DomainIntent::Update { fields, etag },
            _ => DomainIntent::Delete { etag },
        };
        let right = match &intent {
            DomainIntent::Create { id, .. } => there.is_none() && !given.contains(id),
            DomainIntent::Update { .. } | DomainIntent::Delete { .. } => {
                there.is_some() && etag.is_none_or(|etag| Some(etag) == there)
            }
        };
        let deletes = matches!(intent, DomainIntent::Delete { .. });
        let head = self.store.now().head().seq;
        let item = DomainItem { name, intent, by: None, retry: None };
        let verdict = self.store.write_domain(&item, tag, self.now);
        self.counters.domain_writes += u64::from(right && !deletes);
        self.counters.domains_deleted += u64::from(right && deletes);
        let as_it_must = match &verdict {
            DomainVerdict::Written(row) | DomainVerdict::Gone(row) => {
                let of = matches!(verdict, DomainVerdict::Gone(_)) == deletes;
                let left = self.store.now().tables().version(&item.name).is_none() == deletes;
                right && of && left && row.version == head + 1 && row.rules.name == item.name
            }
            DomainVerdict::Refused(_) => !right,
            DomainVerdict::Before(_) => false,
        };
        if !as_it_must {
            self.fail(R1_DOMAINS, format!("{item:?} came to {verdict:?} where it is at {there:?}"));
        }
    }
}

/// Whether a link has the external id of this number, where there is one.
fn has(state: &ExpectedState, number: usize) -> bool {
    match state {
        ExpectedState::None => true,
        ExpectedState::Live { id, .. } | ExpectedState::Deleted { id, .. } => *id == number,
    }
}

/// Whether a change says of its key what the model does.
fn is_of(change: &Change, state: &ExpectedState) -> bool {
    match (state, decode(&change.record)) {
        (ExpectedState::None, _) => change.kind == ChangeKind::PURGE && change.record.is_empty(),
        (
            ExpectedState::Live { mark, .. },
            Ok(VersionedState { version, state: link::LinkState::Live(link), .. }),
        ) => version == change.seq && mark::of(&link) == Some(*mark),
        (
            ExpectedState::Deleted { .. },
            Ok(VersionedState { version, state: link::LinkState::Deleted, .. }),
        ) => version == change.seq,
        _ => false,
    }
}
