//! An edge: the same calls in the same order as `edge/src/background`, with every wait made visible.

use super::World;
use super::reader::Reader;
use crate::database::Store;
use crate::messages::{AcceptedReading, DownMessage, Fetch, UpMessage};
use crate::plan::Fault;
use bytes::Bytes;
use feed::{Effect, Entry, Follower, Proof};
use hot::{
    Absence, Dump, DumpEnd, EntryState, FillOutcome, Fork, LoadProgress, Set, StoredValue, TierReading,
};
use link::rule::{Rule, off};
use link::{Change, ChangeKind, Epoch, Key, Position, Seq};
use record::snapshot::{Section, SnapshotHeader, SnapshotReader as FileReader, SnapshotWriter, verify};
use std::collections::VecDeque;

/// Connections of clients to one edge.
pub const READERS: usize = 3;
/// Keys that one question of the ask list names.
const ASK_KEYS: usize = 4;

/// The connection between an edge and a control.
#[derive(Debug, Default)]
pub struct Uplink {
    /// Which control.
    pub control: usize,
    /// Counts the streams.
    pub connection: u64,
    /// Under way to control, each with its stream.
    pub up: VecDeque<(u64, UpMessage)>,
    /// Under way to the edge; some may be of an older stream.
    pub down: VecDeque<DownMessage>,
    /// Left over from older streams, to arrive whenever it likes.
    pub late: Vec<DownMessage>,
}

/// So many are left over at most.
const MOST_LATE: usize = 24;

impl Uplink {
    /// What is under way to the edge is gone, the left-overs too.
    pub fn clear_down(&mut self) {
        self.down.clear();
        self.late.clear();
    }
}

/// A snapshot file (R8b).
#[derive(Clone, Debug)]
pub struct File {
    bytes: Vec<u8>,
    branch: usize,
    /// Where the dump ended, for a run without the rule that its start counts.
    end: Option<Position>,
}

/// A dump under way.
#[derive(Debug)]
pub struct OpenDump {
    ends: Dump,
    shard: usize,
    all: bool,
    writer: SnapshotWriter<Vec<u8>>,
}

#[derive(Debug)]
pub struct Edge {
    /// Its links.
    pub set: Set,
    /// Where it stands.
    pub follower: Follower,
    /// What it can show of its history.
    pub proof: Option<Proof>,
    /// Its way to control.
    pub link: Uplink,
    /// Counts its processes.
    pub incarnation: u64,
    /// It needs another stream.
    pub wants_hello: bool,
    /// Nothing is handled until then.
    pub paused_until: u64,
    /// Added to the world's time: this machine's boot clock.
    pub boot: u64,
    /// When it pings next.
    pub next_ping: u64,
    /// A question of the ask list is under way: the stream waits for it.
    pub asking: bool,
    /// The history it follows.
    pub branch: usize,
    /// What the file it started from had seen: below it absences are not judged.
    pub restored_seen: Seq,
    /// Stopped by a change that it must understand.
    pub stuck: bool,
    /// The copy of Redis it believes in.
    pub copy: u64,
    /// Its snapshot.
    pub file: Option<File>,
    /// The one being written.
    pub dump: Option<OpenDump>,
    /// It holds what a history that was replaced has lost, and nobody knows yet.
    pub unproved: bool,
    /// Answers that its set has taken.
    pub taken: u64,
    /// Its clients.
    pub readers: Vec<Reader>,
    loading: LoadProgress,
    budget: usize,
    fences: usize,
}

impl Edge {
    /// A first start.
    pub fn new(number: usize, budget: usize, fences: usize, boot: u64) -> Self {
        Self {
            set: Set::with_fences(budget, fences),
            follower: Follower::new(format!("e{number}"), 1),
            proof: None,
            link: Uplink::default(),
            incarnation: 1,
            wants_hello: true,
            paused_until: 0,
            boot,
            next_ping: 0,
            asking: false,
            branch: 0,
            restored_seen: 0,
            stuck: false,
            copy: 0,
            file: None,
            dump: None,
            unproved: false,
            taken: 0,
            readers: (0..READERS).map(|_| Reader::default()).collect(),
            loading: LoadProgress::default(),
            budget,
            fences,
        }
    }

    /// Control's end of the stream went away.
    pub fn close(&mut self, control: usize) {
        if self.link.control == control {
            self.wants_hello = true;
        }
    }
}

impl World {
    /// Another process of the same edge, from its file or from nothing.
    pub fn restart(&mut self, e: usize, from_file: bool) {
        if self.rng.percent(50) {
            self.goodbye(e);
        }
        let wall_error = self.rng.between(0, 3_000);
        let now = self.now;
        self.fetches.retain(|fetch| fetch.edge != e);
        self.lookups.retain(|lookup| lookup.edge != e);
        let edge = &mut self.edges[e];
        edge.incarnation += 1;
        (edge.asking, edge.dump, edge.stuck, edge.wants_hello, edge.copy) = (false, None, false, true, 0);
        (edge.restored_seen, edge.proof) = (0, None);
        edge.link.clear_down();
        edge.link.up.clear();
        edge.loading = LoadProgress::default();
        edge.readers.iter_mut().for_each(Reader::disconnect);
        edge.set = Set::with_fences(edge.budget, edge.fences);
        let name = format!("e{e}");
        self.counters.restarts += 1;
        let Some(file) = edge.file.clone().filter(|_| from_file) else {
            edge.follower = Follower::new(name, edge.incarnation);
            self.note(|_| format!("edge {e} restarts with nothing"));
            return;
        };
        let (header, footer) = verify(&file.bytes[..]).expect("a file that was written whole");
        let position = file.end.unwrap_or(header.position);
        edge.set.restore(position, footer.seen);
        edge.proof = footer.proof;
        let mut links = edge.set.restoration();
        let mut reader = FileReader::new(&file.bytes[..]).expect("verified");
        while let Ok(Section::Entries(entries)) = reader.part() {
            for entry in entries.flatten() {
                if let Some((stored, version)) = StoredValue::of(record::decode(entry.record), entry.as_of) {
                    links.put_back(entry.key, version, entry.as_of, &stored);
                }
            }
        }
        drop(links);
        let complete = footer.complete && edge.set.evictions() == 0;
        if complete {
            edge.set.set_complete();
        }
        if let Some(proof) = header.fresh_at {
            // By the wall clock, which may have stepped since.
            let age = (now - proof.unsigned_abs() + wall_error).saturating_sub(1_500);
            edge.set.stale_since(now + edge.boot, age);
        }
        edge.follower = Follower::restored(name, edge.incarnation, position, complete);
        edge.loading.begin(&edge.set);
        (edge.branch, edge.restored_seen) = (file.branch, footer.seen);
        self.counters.restored += 1;
        self.note(|_| format!("edge {e} restarts at {position:?}, seen {}", footer.seen));
        self.judge_edge(e);
    }

    /// One step of a dump: its start, a shard, or its end.
    pub fn snapshot(&mut self, e: usize) {
        let now = self.now;
        let edge = &mut self.edges[e];
        let set = &edge.set;
        let Some(mut dump) = edge.dump.take() else {
            let Some(position) = edge.follower.position() else { return };
            let Some(ends) = Dump::begin(set, (set.generation(), position)) else { return };
            let proof = set.freshness(now + edge.boot).stale_ms().map(|age| now.saturating_sub(age));
            let header = SnapshotHeader { position, fresh_at: proof.map(u64::cast_signed) };
            let writer = SnapshotWriter::new(Vec::new(), &header).expect("memory takes everything");
            edge.dump = Some(OpenDump { ends, shard: 0, all: true, writer });
            return;
        };
        if dump.shard < set.shards() {
            set.dump(dump.shard, |key, identity, as_of, found| match found {
                EntryState::Live(link) => dump.writer.entry(key, as_of, identity, Some(&link)),
                EntryState::Deleted => dump.writer.entry(key, as_of, identity, None),
                EntryState::Quarantined | EntryState::Absent(_) => dump.all = false,
            });
            dump.shard += 1;
            edge.dump = Some(dump);
            return;
        }
        let Some(DumpEnd { seen, complete }) = dump.ends.end(set, dump.all) else { return };
        let end = edge.follower.position().filter(|_| off(Rule::SnapshotAppliedAtStart));
        let written = dump.writer.flush().and_then(|()| dump.writer.finish(seen, complete, edge.proof));
        let (bytes, _) = written.expect("memory takes everything");
        edge.file = Some(File { bytes, branch: edge.branch, end });
        self.counters.snapshots += 1;
    }

    /// A new stream, to one of the controls.
    pub fn hello(&mut self, e: usize) {
        let behind = self.faults.has(Fault::Lag) && self.rng.percent(50);
        let control = if behind { 1 } else { self.rng.below(self.controls.len()) };
        let keep_late = self.faults.has(Fault::Late) && self.rng.percent(85);
        let edge = &mut self.edges[e];
        edge.wants_hello = false;
        let old = edge.link.control;
        if let Some(stream) = self.controls[old].streams.get_mut(e) {
            *stream = None;
        }
        edge.link.control = control;
        edge.link.connection += 1;
        if keep_late {
            edge.link.late.extend(edge.link.down.drain(..));
            let more = edge.link.late.len().saturating_sub(MOST_LATE);
            edge.link.late.drain(..more);
        } else {
            edge.link.clear_down();
            edge.link.up.clear();
        }
        let hello = edge.follower.hello(edge.set.seen(), edge.proof);
        edge.link.up.push_back((edge.link.connection, UpMessage::Hello(hello)));
    }

    /// R9: a ping, when it is time.
    pub fn ping(&mut self, e: usize) {
        let edge = &mut self.edges[e];
        let now = self.now + edge.boot;
        if now >= edge.next_ping
            && let Some(id) = edge.follower.ping(now)
        {
            edge.next_ping = now + 100;
            edge.link.up.push_back((edge.link.connection, UpMessage::Ping(id)));
        }
    }

    /// Carries out what one message means.
    pub fn take(&mut self, e: usize, at: usize, again: bool) {
        let edge = &mut self.edges[e];
        let Some(DownMessage { event, branch, proof }) = edge.link.down.remove(at) else { return };
        if again {
            edge.link.down.push_back(DownMessage { event: event.clone(), branch, proof });
        }
        let before = edge.set.epoch().map(|epoch| (epoch, edge.set.applied()));
        let effect = edge.follower.handle(event);
        effect.keep_proof(&mut edge.proof, proof);
        let answer = match effect {
            Effect::Nothing => None,
            Effect::Hello => {
                self.counters.gaps += 1;
                edge.wants_hello = true;
                None
            }
            Effect::Reset(start) => {
                self.reset(e, start, branch);
                None
            }
            Effect::Resume { epoch, fork_seq } => {
                self.resume(e, epoch, fork_seq, branch);
                None
            }
            Effect::Apply(changes) => {
                for change in &changes {
                    if self.apply(e, change) == FillOutcome::Refused
                        && let Ok(key) = Key::from_bytes(&change.key)
                    {
                        self.counters.refused_changes += 1;
                        self.edges[e].loading.refused(key);
                    }
                }
                Some(0)
            }
            Effect::Load { as_of, entries, number } => {
                self.load(e, as_of, &entries);
                Some(number)
            }
            Effect::Stuck(_) => {
                self.counters.stuck += u64::from(!edge.stuck);
                (edge.stuck, edge.wants_hello) = (true, true);
                None
            }
        };
        self.judge_progress(e, before);
        self.complete(e);
        let edge = &mut self.edges[e];
        if let Some(page) = answer {
            let seq = edge.follower.applied();
            edge.link.up.push_back((edge.link.connection, UpMessage::Applied { seq, page }));
        }
        if let Some(at) = edge.follower.fresh_as_of() {
            edge.set.freshen(at);
        }
        self.judge_edge(e);
    }

    fn reset(&mut self, e: usize, start: Position, branch: usize) {
        self.counters.resets += 1;
        self.judge_history(e, branch);
        let edge = &mut self.edges[e];
        edge.unproved = false;
        edge.set.reset(start);
        edge.loading.begin(&edge.set);
        (edge.branch, edge.restored_seen) = (branch, 0);
        self.note(|w| format!("edge {e} is reset to {start:?}, seen {}", w.edges[e].set.seen()));
    }

    fn resume(&mut self, e: usize, epoch: Epoch, fork_seq: Option<Seq>, branch: usize) {
        let edge = &mut self.edges[e];
        if let Some(fork_seq) = fork_seq {
            if edge.set.fork(epoch, fork_seq) == Fork::Beyond {
                edge.follower.beyond_fork();
                edge.wants_hello = true;
                self.counters.beyond_fork += 1;
                return;
            }
            self.counters.fork_resumes += 1;
        } else {
            self.counters.resumes += 1;
        }
        self.judge_history(e, branch);
        self.edges[e].branch = branch;
        self.note(|w| {
            format!("edge {e} resumes in {epoch:?} at {}, fork {fork_seq:?}", w.edges[e].set.applied())
        });
    }

    fn apply(&mut self, e: usize, change: &Change) -> FillOutcome {
        self.counters.changes += 1;
        let set = &self.edges[e].set;
        let filled = match change.kind {
            ChangeKind::LINK => match StoredValue::of(record::decode(&change.record), change.seq) {
                Some((stored, _)) => {
                    self.counters.quarantines += u64::from(stored == StoredValue::Quarantined);
                    set.apply(&change.key, change.seq, Some(&stored))
                }
                None => {
                    set.pass(change.seq);
                    FillOutcome::Accepted
                }
            },
            ChangeKind::PURGE => set.apply(&change.key, change.seq, None),
            _ => {
                set.pass(change.seq);
                FillOutcome::Accepted
            }
        };
        self.note(|_| {
            format!("edge {e} applies {}: {filled:?} of {}", change.seq, change.key.escape_ascii())
        });
        filled
    }

    fn load(&mut self, e: usize, as_of: Seq, entries: &[Entry]) {
        let edge = &mut self.edges[e];
        let Some(epoch) = edge.set.epoch() else { return };
        for entry in entries {
            self.counters.walked += 1;
            edge.taken += 1;
            let Ok(key) = Key::from_bytes(&entry.key) else { continue };
            let Some((stored, version)) = StoredValue::of(record::decode(&entry.record), as_of) else {
                continue;
            };
            let told = TierReading { epoch, as_of, version, value: Some(&stored) };
            let refused = edge.set.load(&entry.key, &told) == FillOutcome::Refused;
            if refused && edge.set.version(&entry.key).is_none() {
                edge.loading.refused(key);
            }
        }
        self.note(|_| format!("edge {e} loads {} entries as of {as_of}", entries.len()));
    }

    /// R6c. While a question of the ask list is under way, the stream waits.
    fn complete(&mut self, e: usize) {
        let edge = &mut self.edges[e];
        if edge.asking || !edge.follower.walked() {
            return;
        }
        let keys: Vec<_> = edge
            .loading
            .questions(&edge.set, ASK_KEYS)
            .iter()
            .map(|key| Store::number(key.as_bytes()))
            .collect();
        if !keys.is_empty() {
            edge.asking = true;
            self.ask(e, None, keys, 0, false);
        } else if edge.loading.finish(&edge.set, true) {
            self.counters.completions += 1;
            self.note(|_| format!("edge {e} is complete"));
        }
    }

    /// A set with room that came to no completeness begins a new walk.
    pub fn walk_again(&mut self, e: usize) {
        let edge = &mut self.edges[e];
        let has_room = edge.set.bytes() < edge.set.budget() / 10 * 9;
        if edge.follower.walked() && !edge.set.is_complete() && has_room && !edge.asking {
            edge.loading.begin(&edge.set);
            edge.follower.want_walk();
            edge.wants_hello = true;
        }
    }

    /// A question to origin.
    pub fn ask(&mut self, e: usize, reader: Option<usize>, keys: Vec<usize>, token: Seq, primary: bool) {
        let edge = &self.edges[e];
        let set = &edge.set;
        let min_seq = keys.iter().map(|&key| set.min_seq(self.store.name(key))).fold(token, Seq::max);
        let (generation, then) = (set.generation(), (set.applied(), edge.taken));
        let (incarnation, answer) = (edge.incarnation, None);
        self.fetches.push(Fetch {
            edge: e,
            incarnation,
            reader,
            keys,
            min_seq,
            primary,
            generation,
            then,
            answer,
        });
    }

    /// Origin's answer arrives, or the time is over.
    pub fn answered(&mut self, fetch: &Fetch) {
        let e = fetch.edge;
        let mut told = Vec::with_capacity(fetch.keys.len());
        if let Some((proof, records)) = &fetch.answer {
            let Position { epoch, seq: as_of, .. } = proof.position;
            let edge = &mut self.edges[e];
            if edge.set.epoch() == Some(epoch) {
                Proof::keep(&mut edge.proof, Some(*proof));
            }
            for (&key, record) in fetch.keys.iter().zip(records) {
                told.push(self.fill(e, key, epoch, as_of, record));
            }
            if told[0].is_none() {
                self.judge_refusal(e, fetch, epoch, as_of);
            }
        } else {
            told.resize(fetch.keys.len(), None);
        }
        if let Some(reader) = fetch.reader {
            self.judge_edge(e);
            self.told(e, reader, told.pop().flatten().as_ref());
            return;
        }
        let edge = &mut self.edges[e];
        edge.asking = false;
        if told.iter().all(Option::is_some) {
            edge.loading.answered(told.len());
            self.complete(e);
        }
        self.judge_edge(e);
    }

    /// R7, and what may be given out of an answer that was refused.
    pub fn fill(
        &mut self,
        e: usize,
        key: usize,
        epoch: Epoch,
        as_of: Seq,
        record: &Bytes,
    ) -> Option<AcceptedReading> {
        let (value, version) = match record.is_empty() {
            true => (None, 0),
            false => StoredValue::of(record::decode(record), as_of)
                .map(|(stored, version)| (Some(stored), version))?,
        };
        let answer = AcceptedReading { epoch, as_of, version, value };
        let (set, name) = (&self.edges[e].set, self.store.name(key));
        let agrees = || {
            set.look_up(name, |held| match held.found {
                EntryState::Absent(absence) => answer.value.is_none() && absence == Absence::Certain,
                _ => held.confirmed && answer.value.is_some() && held.version == answer.version,
            })
        };
        let ahead = version > set.applied();
        let evictions = set.evictions();
        let filled = set.fill(name, &answer.told());
        let known = filled == FillOutcome::Accepted || (set.epoch() == Some(epoch) && agrees());
        self.counters.evictions += set.evictions() - evictions;
        self.edges[e].taken += u64::from(filled == FillOutcome::Accepted);
        self.counters.fills += u64::from(filled == FillOutcome::Accepted);
        self.counters.refused_fills += u64::from(filled == FillOutcome::Refused);
        self.counters.fills_ahead += u64::from(ahead && filled == FillOutcome::Accepted);
        self.note(|_| format!("edge {e} fills key {key} version {version} as of {as_of}: {filled:?}"));
        known.then_some(answer)
    }
}
