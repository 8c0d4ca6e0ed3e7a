//! The database: it executes effects (what `journal` decided, restores, new histories) and remembers every history there
//! ever was, so that answers can be judged. No rule of an edge is here, and none of a write.

use crate::expectation::{self, AnsweredRequest, ExpectedState};
use crate::mark;
use crate::plan::EDGES;
use crate::tables::{SideRecord, Tables};
use bytes::Bytes;
use feed::{Entry, LogView, Proof};
use journal::domains::{DomainItem, DomainVerdict};
use journal::{CommitPoint, Decision, Request, Write};
use link::{Change, ChangeKind, DomainId, Epoch, Key, Link, Position, Seq};
use services::Random;

/// Few, so that things collide.
pub const KEYS: usize = 12;
/// Milliseconds for which a host is blocked, and half of those for which it is not.
const BLOCK: u64 = 2_000;
/// A kind of change that edges pass over.
const STRANGE: u8 = 9;
/// A kind that stops them.
const MUST_UNDERSTAND: u8 = 0x89;

/// The value of a key from some seq on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyValue {
    /// A link.
    Live,
    /// A tombstone.
    Deleted,
    /// A record that nobody can read.
    Bad,
    /// Nothing.
    None,
}

/// One change of one key in one history.
#[derive(Clone, Copy, Debug)]
pub struct KeyChange {
    /// From here on …
    pub seq: Seq,
    /// … it is this …
    pub value: KeyValue,
    /// … by this commit …
    pub commit: u32,
    /// … leads here, or did when it was deleted …
    pub mark: Option<u32>,
    /// … and has, or had, the external id of this number.
    pub id: usize,
}

/// A write that was committed.
#[derive(Clone, Copy, Debug)]
pub struct Commit {
    /// Which key.
    pub key: usize,
    /// In which history.
    pub branch: usize,
    /// Its number there.
    pub seq: Seq,
    /// When its writer was told.
    pub acked: u64,
    /// A restore or a failover took it away.
    pub lost: bool,
    /// Set when its writer was told `PROPAGATED` or `PARTIAL`.
    pub propagated: Option<u64>,
    /// By edge, the process that its writer was told to be blind; 0: none.
    pub blind: [u64; EDGES],
}

/// A row of the log, with what was written in the same transaction.
#[derive(Clone, Debug)]
pub struct LogRow {
    /// As the stream carries it.
    pub change: Change,
    /// Whose it is; `u32::MAX` for one that is no write of a key.
    pub commit: u32,
    /// The state that it made.
    kept: SideRecord,
    /// The request that ended with it, by the model.
    answered: Option<AnsweredRequest>,
}

/// What a newer linkr writes that this one does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewerWrite {
    /// A record that nobody can read.
    Record,
    /// A kind of change that stops edges.
    Kind,
}

/// One page of a walk.
pub struct WalkPage {
    /// The end of the log in the same snapshot.
    pub head: Position,
    /// In the order of their keys.
    pub entries: Vec<Entry>,
    /// Whether there are more.
    pub more: bool,
}

/// One history: everything from its first change, those shared with its parent included.
#[derive(Clone, Debug)]
pub struct Branch {
    /// Its name; a replaced history has the same until somebody notices.
    pub epoch: Epoch,
    /// What `log_head` says of its parent.
    pub told_parent: Option<(Epoch, Seq)>,
    /// All changes; number 1 first.
    pub rows: Vec<LogRow>,
    /// The same by key.
    pub keys: Vec<Vec<KeyChange>>,
    /// The first seq that retention has left.
    pub oldest: Seq,
    /// The head when it began: no reader of this history knows less.
    pub began: Seq,
    /// Which one it began from.
    pub parent: usize,
    tables: Tables,
}

impl Branch {
    /// The last change.
    pub fn head(&self) -> Position {
        let (seq, tag) = self.rows.last().map_or((0, 0), |row| (row.change.seq, row.change.tag));
        Position { epoch: self.epoch, seq, tag }
    }

    /// The tag of a seq, whether or not retention has left it; 0 for 0.
    pub fn tag(&self, seq: Seq) -> Option<u64> {
        if seq == 0 { Some(0) } else { self.rows.get(seq as usize - 1).map(|row| row.change.tag) }
    }

    /// What a key is at a seq.
    pub fn at(&self, key: usize, seq: Seq) -> KeyChange {
        let line = self.keys[key].iter().rev().find(|line| line.seq <= seq);
        line.copied().unwrap_or(KeyChange {
            seq: 0,
            value: KeyValue::None,
            commit: u32::MAX,
            mark: None,
            id: 0,
        })
    }

    /// The uid of the link that a key has at `seq`: its first change behind the purge before it.
    pub fn uid(&self, key: usize, seq: Seq) -> Seq {
        let mut uid = 0;
        for line in self.keys[key].iter().take_while(|line| line.seq <= seq) {
            uid = match line.value {
                KeyValue::None => 0,
                _ if uid == 0 => line.seq,
                _ => uid,
            };
        }
        uid
    }

    /// The last change of the transaction that one at `seq` or before belongs to, so that none is split.
    pub fn boundary(&self, seq: Seq) -> Seq {
        let splits = |seq: &Seq| {
            *seq > 0
                && self.rows.get(*seq as usize).is_some_and(|next| Some(next.change.tag) == self.tag(*seq))
        };
        (0..=seq).rev().find(|seq| !splits(seq)).unwrap_or(0)
    }

    /// Every key as the log and what was written with it tell it, and when its tombstone was made.
    pub fn seen(&self, commits: &[Commit]) -> Vec<ExpectedState> {
        let of = |lines: &Vec<KeyChange>| {
            let Some(line) = lines.last() else { return ExpectedState::None };
            let (version, mark, id) = (line.seq, line.mark.unwrap_or(u32::MAX), line.id);
            match line.value {
                KeyValue::None => ExpectedState::None,
                KeyValue::Live | KeyValue::Bad => ExpectedState::Live { version, mark, id },
                KeyValue::Deleted => ExpectedState::Deleted {
                    version,
                    mark,
                    id,
                    at: commits[line.commit as usize].acked as i64,
                },
            }
        };
        self.keys.iter().map(of).collect()
    }

    /// What was answered to the request of this name, by the model.
    pub fn answered(&self) -> impl Iterator<Item = &AnsweredRequest> {
        self.rows.iter().filter_map(|row| row.answered.as_ref())
    }

    /// The domains there are, by their numbers.
    pub fn tables(&self) -> &Tables {
        &self.tables
    }

    /// Up to which seq two histories are the same.
    pub fn shared(&self, other: &Self) -> Seq {
        let same = |(one, two): &(&LogRow, &LogRow)| one.change.tag == two.change.tag;
        self.rows.iter().zip(&other.rows).take_while(same).count() as Seq
    }

    /// Whether a commit is part of it.
    pub fn contains(&self, commit: u32, seq: Seq) -> bool {
        self.rows.get((seq as usize).wrapping_sub(1)).is_some_and(|row| row.commit == commit)
    }
}

#[derive(Debug)]
pub struct Store {
    /// Every history there ever was.
    pub branches: Vec<Branch>,
    /// The one that is there now.
    pub current: usize,
    /// Every write that was committed.
    pub commits: Vec<Commit>,
    /// By key, in the order of their commits.
    pub by_key: Vec<Vec<u32>>,
    /// Acked writes that a new history named as lost.
    pub lost: u64,
    /// By the number in a target, the key that it was written to; `None`: it was not.
    pub marks: Vec<Option<usize>>,
    secret: u64,
    names: Vec<Bytes>,
}

impl Store {
    /// An empty database.
    pub fn new(rng: &mut Random) -> Self {
        let first = Branch {
            epoch: Epoch { counter: 1, random: rng.next() as u32 },
            told_parent: None,
            rows: Vec::new(),
            keys: vec![Vec::new(); KEYS],
            oldest: 1,
            began: 0,
            parent: 0,
            tables: Tables::default(),
        };
        let names =
            (0..KEYS).map(|no| Bytes::from(format!("\0\0\0\0k{}", (b'a' + no as u8) as char))).collect();
        let by_key = vec![Vec::new(); KEYS];
        Self {
            branches: vec![first],
            current: 0,
            commits: Vec::new(),
            by_key,
            lost: 0,
            marks: Vec::new(),
            secret: rng.next(),
            names,
        }
    }

    /// What an edge can show of a position. Whoever does not know the secret cannot make it; that is all that is asked of
    /// it here.
    pub fn prove(&self, position: Position) -> Proof {
        let Position { epoch, seq, tag } = position;
        let words = [u64::from(epoch.counter) << 32 | u64::from(epoch.random), seq, tag];
        let half = |with: u64| {
            words
                .iter()
                .fold(self.secret ^ with, |sum, word| crate::random(sum ^ word.rotate_left(17)).next())
        };
        let mut seal = [0; 16];
        seal[..8].copy_from_slice(&half(0).to_be_bytes());
        seal[8..].copy_from_slice(&half(1).to_be_bytes());
        Proof { position, seal }
    }

    /// Whether a position was once that of a history and is not in the one that is there now.
    pub fn is_lost(&self, at: Position) -> bool {
        let once = |branch: &Branch| branch.epoch == at.epoch && branch.tag(at.seq) == Some(at.tag);
        let now = self.now();
        let later = at.epoch.counter > now.epoch.counter;
        self.branches.iter().any(once) && (later || at.epoch == now.epoch && now.tag(at.seq) != Some(at.tag))
    }

    /// The bytes of a key.
    pub fn name(&self, key: usize) -> &Bytes {
        &self.names[key]
    }

    /// The number of a key, by its bytes.
    pub fn number(key: &[u8]) -> usize {
        usize::from(key[5] - b'a')
    }

    /// The history that is there now.
    pub fn now(&self) -> &Branch {
        &self.branches[self.current]
    }

    /// Whether links of this key may be served by an edge that is cut off.
    pub fn is_strict(key: usize) -> bool {
        key % 3 == 1
    }

    /// The key of this number.
    pub fn key(&self, key: usize) -> Key {
        Key::from_bytes(&self.names[key]).expect("a key")
    }

    /// A link of this key that nobody has asked for before, with its number.
    pub fn draft(&mut self, key: usize) -> Link {
        self.marks.push(None);
        mark::link(key, self.marks.len() as u32 - 1)
    }

    /// Whether no link may be led to [`mark::blocked`] now: for a while, again and again.
    pub fn blocks(now: u64) -> bool {
        now / BLOCK % 3 == 1
    }

    /// Decides a group as control does (R1), under the tag of its transaction. Nothing is written.
    pub fn decide(&self, group: &[Request], tag: u64, now: u64) -> Decision {
        let branch = self.now();
        let at = CommitPoint { head: branch.head(), tag, now: now as i64 };
        let mut found = branch.tables.found();
        found.blocked.extend(Self::blocks(now).then(mark::blocked));
        journal::decide(group, found, at, |answered| {
            let seqs: Vec<Seq> = answered.links.iter().map(|link| link.row.version).collect();
            expectation::answer(answered.epoch, &seqs)
        })
    }

    /// Writes what was decided of links, and with each write the answer that the model keeps; gives the last commit.
    pub fn write(
        &mut self,
        now: u64,
        tag: u64,
        writes: Vec<Write>,
        answered: &[AnsweredRequest],
        newer: Option<NewerWrite>,
    ) -> Option<u32> {
        let mut last = None;
        for write in writes {
            let mut change = write.change(tag);
            match newer {
                Some(NewerWrite::Record) => change.record = Bytes::from_static(b"\x01bad"),
                Some(NewerWrite::Kind) => change.kind = ChangeKind(MUST_UNDERSTAND),
                None => {}
            }
            let key = Self::number(&change.key);
            let mark = if write.purge { None } else { mark::of(&write.row.link) };
            let id = mark::number_of(&write.row.info.external_id);
            let value = match (newer, write.purge, write.row.delete_time) {
                (Some(NewerWrite::Record), ..) => KeyValue::Bad,
                (_, true, _) => KeyValue::None,
                (_, _, Some(_)) => KeyValue::Deleted,
                _ => KeyValue::Live,
            };
            let (seq, commit) = (change.seq, self.commits.len() as u32);
            let answered = answered.iter().find(|answered| answered.seqs.last() == Some(&seq)).cloned();
            if let (KeyValue::Live, Some(mark)) = (value, mark) {
                self.marks[mark as usize] = Some(key);
            }
            self.append(LogRow { change, commit, kept: SideRecord::of(write), answered });
            let acked = now;
            let (branch, lost, propagated, blind) = (self.current, false, None, [0; EDGES]);
            self.branches[branch].keys[key].push(KeyChange { seq, value, commit, mark, id });
            self.commits.push(Commit { key, branch, seq, acked, lost, propagated, blind });
            self.by_key[key].push(commit);
            last = Some(commit);
        }
        last
    }

    /// The number of every domain that there is or was in this history, as its log tells it.
    pub fn domain_numbers(&self) -> Vec<DomainId> {
        let number = |row: &LogRow| match &row.kept {
            SideRecord::Domain(row) => Some(row.id),
            _ => None,
        };
        self.now().rows.iter().filter_map(number).collect()
    }

    /// Decides and writes a domain.
    pub fn write_domain(&mut self, item: &DomainItem, tag: u64, now: u64) -> DomainVerdict {
        let branch = self.now();
        let verdict = journal::domains::decide(item, &branch.tables.domain(item), branch.head(), now as i64);
        let written = match &verdict {
            DomainVerdict::Written(row) => Some((row.change(tag), SideRecord::Domain(row.clone()))),
            DomainVerdict::Gone(row) => Some((row.gone(tag), SideRecord::Gone(row.clone()))),
            DomainVerdict::Before(_) | DomainVerdict::Refused(_) => None,
        };
        if let Some((change, kept)) = written {
            let change = Change { key: Bytes::new(), ..change };
            self.append(LogRow { change, commit: u32::MAX, kept, answered: None });
        }
        verdict
    }

    /// A change of a kind that edges pass over.
    pub fn write_other(&mut self, tag: u64) {
        let seq = self.now().head().seq + 1;
        let change = Change { seq, tag, kind: ChangeKind(STRANGE), key: Bytes::new(), record: Bytes::new() };
        self.append(LogRow { change, commit: u32::MAX, kept: SideRecord::Nothing, answered: None });
    }

    fn append(&mut self, row: LogRow) {
        let branch = &mut self.branches[self.current];
        branch.tables.take(&row.kept);
        branch.rows.push(row);
    }

    /// Whether a kind stops an edge.
    pub fn stops(change: &Change) -> bool {
        change.kind.0 == MUST_UNDERSTAND
    }

    /// What control reads for a hello, or for a shard of Redis.
    pub fn view(&self, seq: Seq) -> LogView {
        let now = self.now();
        // Every 8th (seq, tag) outlives retention.
        let kept = seq == 0 || seq >= now.oldest || seq.is_multiple_of(8);
        let tag_at_applied = now.tag(seq).filter(|_| kept);
        LogView { head: now.head(), ancestor: now.told_parent, oldest: now.oldest, tag_at_applied }
    }

    /// One statement: the head, and what a key is there.
    pub fn record(&self, key: usize) -> (Position, Bytes) {
        let (now, head) = (self.now(), self.now().head());
        let line = now.at(key, head.seq);
        let record = match line.value {
            KeyValue::None => Bytes::new(),
            _ => now.rows[line.seq as usize - 1].change.record.clone(),
        };
        (head, record)
    }

    /// One page of a walk: the keys behind `after`, in order.
    pub fn walk(&self, after: &[u8], limit: usize) -> WalkPage {
        let head = self.now().head();
        let mut entries = Vec::with_capacity(limit);
        for key in 0..KEYS {
            let (_, record) = self.record(key);
            if self.names[key] <= after || record.is_empty() {
                continue;
            }
            if entries.len() == limit {
                return WalkPage { head, entries, more: true };
            }
            entries.push(Entry { key: self.names[key].clone(), record });
        }
        WalkPage { head, entries, more: false }
    }

    /// R2: another history begins; it shares everything up to `fork_seq` with the last, as far as anybody knows.
    pub fn fork(&mut self, rng: &mut Random, fork_seq: Seq, counter: u32) {
        let old = self.now();
        let epoch = Epoch { counter: old.epoch.counter.max(counter) + 1, random: rng.next() as u32 };
        let told_parent = Some((old.epoch, fork_seq));
        let (began, parent) = (old.head().seq, self.current);
        let branch = Branch { epoch, told_parent, began, parent, ..old.clone() };
        self.branches.push(branch);
        self.current = self.branches.len() - 1;
    }

    /// An older state is put back, under the name that it had then. What was acked behind it is lost.
    pub fn restore(&mut self, seq: Seq) {
        let mut from = self.current;
        while seq < self.branches[from].began {
            from = self.branches[from].parent;
        }
        let mut branch = self.branches[from].clone();
        branch.rows.truncate(seq as usize);
        branch.tables = Tables::of(branch.rows.iter().map(|row| &row.kept));
        for lines in &mut branch.keys {
            lines.retain(|line| line.seq <= seq);
        }
        branch.oldest = branch.oldest.min(seq + 1);
        for (number, commit) in self.commits.iter_mut().enumerate() {
            if !commit.lost && !branch.contains(number as u32, commit.seq) {
                commit.lost = true;
                self.lost += 1;
            }
        }
        self.branches.push(branch);
        self.current = self.branches.len() - 1;
    }

    /// Retention takes what is older.
    pub fn retain_from(&mut self, seq: Seq) {
        let now = &mut self.branches[self.current];
        now.oldest = now.oldest.max(seq);
    }

    /// The last write of a key that an answer of this process of an edge must reflect, given that those before `acked`
    /// must be.
    pub fn required(
        &self,
        key: usize,
        acked: u64,
        sent: u64,
        (edge, incarnation): (usize, u64),
    ) -> Option<&Commit> {
        let due = |commit: &&Commit| {
            !commit.lost
                && (commit.acked < acked
                    || commit.propagated.is_some_and(|at| at < sent && commit.blind[edge] != incarnation))
        };
        self.by_key[key].iter().rev().map(|&number| &self.commits[number as usize]).find(due)
    }
}
