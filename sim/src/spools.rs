//! The world of clicks of one seed: edges that record them into spools, controls that take them into one store, and what
//! goes wrong between a click and its count. `clicks::spool` and `clicks::ledger` decide; everything here only executes.

mod disk;
mod messages;
mod sender;
mod table;

use crate::Failure;
use crate::counters::Counters;
use messages::{Answer, SentBatch};
use sender::SpoolEdge;
use services::Random;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use table::{ClickTable, Outcome};

const EDGES: usize = 2;
/// Rounds without faults after which everything must be counted or told.
const CALM_ROUNDS: usize = 600;

/// What can go wrong. Each seed draws its own mixture.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// A process of an edge is killed.
    Kill,
    /// The machine of an edge loses power, or its kernel.
    Power,
    /// Bytes of a file are others.
    Damage,
    /// The store is put back to a copy of it.
    Restore,
    /// No control is there for a while.
    Away,
    /// The spool may take little.
    Bound,
    /// A message is lost.
    Drop,
    /// A message arrives twice.
    Repeat,
    /// A message is overtaken by later ones.
    Late,
    /// What control has is kept for a short time only.
    Age,
}

/// A message under way.
#[derive(Clone, Debug)]
enum Message {
    Append(SentBatch),
    Answer { to: SentBatch, answer: Answer },
}

#[derive(Debug)]
pub struct SpoolWorld {
    rng: Random,
    now: u64,
    step: u64,
    faults: u64,
    edges: Vec<SpoolEdge>,
    store: ClickTable,
    /// What a restore puts back.
    copy: Option<ClickTable>,
    /// No control takes anything until then.
    away_until: u64,
    wire: VecDeque<Message>,
    /// Clicks so far; each has its number in the world.
    answered: u64,
    /// Clicks of which nobody needs to know: in a ring or a file when power or bytes of it went.
    untold: HashSet<u64>,
    /// By click, the edge and spool that it was counted of.
    homes: HashMap<u64, (usize, u64)>,
    /// By edge and spool, clicks that were told as lost, before any restore too.
    told: BTreeMap<(usize, u64), u64>,
    /// What happened.
    pub counters: Counters,
    /// The first thing that was wrong.
    pub failure: Option<Failure>,
    events: VecDeque<String>,
    shown: usize,
}

impl SpoolWorld {
    /// The world of a seed. It remembers so many of its last events.
    pub fn new(seed: u64, shown: usize) -> Self {
        let mut rng = Random::of(seed, 18);
        let mut faults = rng.next() & rng.next().rotate_left(9) | rng.next() & rng.next();
        if rng.percent(10) {
            faults = 1 << rng.below(10);
        }
        // A ring of its own size each, so that some are full.
        let edges = (0..EDGES).map(|number| {
            let (room, bound) = (rng.between(4, 60) as usize, rng.between(1_500, 12_000));
            SpoolEdge::new(number, room, bound, &mut rng)
        });
        Self {
            edges: edges.collect(),
            now: 1_000,
            step: 0,
            faults,
            store: ClickTable::default(),
            copy: None,
            away_until: 0,
            wire: VecDeque::new(),
            answered: 0,
            untold: HashSet::new(),
            homes: HashMap::new(),
            told: BTreeMap::new(),
            counters: Counters::default(),
            failure: None,
            events: VecDeque::new(),
            shown,
            rng,
        }
    }

    /// Runs so many steps, then the calm; stops at the first failure.
    pub fn run(&mut self, steps: u64) {
        while self.step < steps && self.failure.is_none() {
            self.step();
        }
        if self.failure.is_none() {
            self.calm();
        }
    }

    /// The last events, oldest first.
    pub fn events(&self) -> Vec<String> {
        self.events.iter().cloned().collect()
    }

    /// Notes the first failure.
    pub fn fail(&mut self, invariant: &'static str, seen: String) {
        let step = self.step;
        self.failure.get_or_insert(Failure { invariant, seen, step });
    }

    fn note(&mut self, event: impl FnOnce() -> String) {
        if self.shown > 0 {
            self.events.push_back(format!("{:>5} {:>6} ms  clicks: {}", self.step, self.now, event()));
            if self.events.len() > self.shown {
                self.events.pop_front();
            }
        }
    }

    fn has(&self, fault: Fault) -> bool {
        self.faults & 1 << fault as u64 != 0
    }

    fn step(&mut self) {
        self.step += 1;
        self.now += self.rng.below(40u64);
        let e = self.rng.below(EDGES);
        match self.rng.below(100) {
            0..25 => self.visit(e),
            25..45 => {
                let most = self.rng.between(1, 8) as usize;
                self.edges[e].take_chunk(most, self.now);
            }
            45..55 => self.edges[e].sync(),
            55..72 => self.send(e),
            72..92 => self.deliver(),
            92..94 => {
                // Nothing came back in time: it is sent again.
                self.edges[e].give_up();
            }
            _ => self.trouble(e),
        }
        self.judge(e);
    }

    /// Visitors follow a link.
    fn visit(&mut self, e: usize) {
        for _ in 0..self.rng.between(1, 6) {
            let id = self.answered;
            self.answered += 1;
            self.counters.clicks += 1;
            if !self.edges[e].record(id) {
                self.counters.clicks_without_room += 1;
            }
        }
    }

    fn send(&mut self, e: usize) {
        let batch = match self.edges[e].send() {
            Ok(None) => return,
            Ok(Some(batch)) => batch,
            Err(why) => return self.fail("C5 what is sent is on disk, and can be read", why),
        };
        self.note(|| format!("edge {e} sends {batch}"));
        self.wire.push_back(Message::Append(batch));
    }

    fn deliver(&mut self) {
        if self.wire.is_empty() {
            return;
        }
        let at =
            if self.has(Fault::Late) && self.rng.percent(40) { self.rng.below(self.wire.len()) } else { 0 };
        if self.has(Fault::Repeat) && self.rng.percent(10) {
            self.wire.extend(self.wire.get(at).cloned());
        }
        let Some(message) = self.wire.remove(at) else { return };
        if self.has(Fault::Drop) && self.rng.percent(8) {
            return;
        }
        match message {
            Message::Append(batch) if self.now >= self.away_until => self.append(batch),
            Message::Append(_) => {}
            Message::Answer { to, answer } => self.hear(&to, answer),
        }
    }

    /// One transaction of a control.
    fn append(&mut self, batch: SentBatch) {
        let held = |edge: &SpoolEdge, first, last| edge.holds(batch.spool, first, last);
        let told = self.store.append(&batch, |first, last| held(&self.edges[batch.edge], first, last));
        let (answer, outcome) = match told {
            Ok(told) => told,
            Err(wrong) => return self.fail(wrong.invariant, format!("{}: {batch}", wrong.seen)),
        };
        match outcome {
            Outcome::Taken { hole } => {
                self.counters.click_batches += 1;
                self.homes.extend(batch.clicks.iter().map(|id| (*id, (batch.edge, batch.spool))));
                self.counters.click_holes += u64::from(hole > 0);
                let told = self.told.entry((batch.edge, batch.spool)).or_default();
                *told = self.store.told_of(batch.edge, batch.spool).max(*told);
            }
            Outcome::Known => self.counters.click_repeats += 1,
            Outcome::Wanted => self.counters.click_wants += 1,
        }
        self.note(|| format!("control says {answer:?} to {batch}"));
        // It may end between its commit and its answer.
        if !(self.has(Fault::Away) && self.rng.percent(5)) {
            self.wire.push_back(Message::Answer { to: batch, answer });
        }
    }

    fn hear(&mut self, to: &SentBatch, answer: Answer) {
        if let Err(why) = self.edges[to.edge].hear(to, answer) {
            self.fail("C6 control knows nothing of a spool that its edge does not", why);
        }
    }

    /// Something goes wrong.
    fn trouble(&mut self, e: usize) {
        match self.rng.below(20) {
            0..3 if self.has(Fault::Kill) => self.restart(e, false),
            3 | 4 if self.has(Fault::Power) => self.restart(e, true),
            5 if self.has(Fault::Damage) => {
                self.untold.extend(self.edges[e].damage(&mut self.rng));
                self.restart(e, false);
            }
            6 | 7 if self.has(Fault::Restore) => {
                self.copy = Some(self.store.clone());
            }
            8 if self.has(Fault::Restore) && self.rng.percent(40) => self.put_back(),
            9 if self.has(Fault::Away) => self.away_until = self.now + self.rng.between(100, 4_000),
            10..14 if self.has(Fault::Bound) => {
                let dropped = self.edges[e].keep_bound(self.now);
                self.counters.click_drops += dropped;
            }
            14 if self.has(Fault::Age) => self.edges[e].forget_old(&mut self.rng),
            _ => {}
        }
    }

    fn restart(&mut self, e: usize, power: bool) {
        self.note(|| format!("edge {e} {}", if power { "loses power" } else { "is killed" }));
        if power {
            self.counters.click_power_cuts += 1;
            self.untold.extend(self.edges[e].cut_power(&mut self.rng));
        } else {
            self.counters.click_kills += 1;
            if self.rng.percent(30) {
                self.edges[e].tear(&mut self.rng);
            }
        }
        let owing = self.edges[e].start(self.now, &mut self.rng);
        self.counters.click_spools_owing += owing;
    }

    /// Every connection breaks, and each edge asks about what it still has.
    fn put_back(&mut self) {
        let Some(copy) = self.copy.clone() else { return };
        self.note(|| "the store is put back".to_owned());
        self.counters.click_restores += 1;
        self.store = copy;
        self.wire.clear();
        self.edges.iter_mut().for_each(SpoolEdge::ask_again);
    }

    /// The law of each spool, as its edge tells it.
    fn judge(&mut self, e: usize) {
        if let Some(why) = self.edges[e].unlawful() {
            self.fail("C2 recorded = acknowledged + lost + pending", why);
        }
    }

    /// Faults stop, and everything is counted or told.
    fn calm(&mut self) {
        (self.faults, self.away_until) = (0, 0);
        self.wire.clear();
        self.edges.iter_mut().for_each(SpoolEdge::ask_again);
        // A hole is told with the next batch of its spool.
        (0..EDGES).for_each(|e| self.visit(e));
        for _ in 0..CALM_ROUNDS {
            self.step += 1;
            self.now += 40;
            for e in 0..EDGES {
                self.edges[e].give_up();
                self.edges[e].take_chunk(64, self.now);
                self.edges[e].sync();
                self.send(e);
            }
            while !self.wire.is_empty() && self.failure.is_none() {
                self.deliver();
            }
            if self.failure.is_some() || self.edges.iter().all(SpoolEdge::is_done) {
                break;
            }
        }
        if self.failure.is_none() {
            self.judge_end();
        }
    }

    fn judge_end(&mut self) {
        if let Some(edge) = self.edges.iter().find(|edge| !edge.is_done()) {
            let seen = edge.standing();
            return self.fail("C7 when faults stop, control has everything", seen);
        }
        for edge in &self.edges {
            let (spool, last_no) = edge.active();
            let has = self.store.cursor(edge.number(), spool).map_or(0, |cursor| cursor.last_no);
            if has != last_no {
                let seen = format!(
                    "edge {}: spool {spool:x} has recorded {last_no}, the store has {has}",
                    edge.number()
                );
                return self.fail("C7 when faults stop, control has everything", seen);
            }
        }
        let missing = (0..self.answered).filter(|id| !self.store.has(*id));
        let (excused, missed): (Vec<u64>, Vec<u64>) = missing.partition(|id| self.is_excused(*id));
        let (missed, excused, told) = (missed.len() as u64, excused.len() as u64, self.store.told());
        // Of spools that nobody can ask about any more.
        let gone = self.told.iter().filter(|(home, _)| self.is_out_of_reach(home));
        let gone: u64 = gone.map(|((e, spool), told)| told - self.store.told_of(*e, *spool)).sum();
        if told + gone < missed || told > missed + excused {
            let seen = format!(
                "{} clicks: {missed} are in no count, and {excused} that power or a disk took; told as lost are {told}, \
                 and {gone} were before a restore",
                self.answered
            );
            self.fail("C3 every click is counted or told as lost", seen);
        }
    }

    /// A click that may be in no count, and not be told: power or a disk took it, or it was of a spool that is out of reach.
    fn is_excused(&self, id: u64) -> bool {
        self.untold.contains(&id) || self.homes.get(&id).is_some_and(|home| self.is_out_of_reach(home))
    }

    /// The store was put back to before a spool that is closed, and of which the edge has nothing left to ask about.
    fn is_out_of_reach(&self, (edge, spool): &(usize, u64)) -> bool {
        let has = self.store.cursor(*edge, *spool).map_or(0, |cursor| cursor.last_no);
        self.edges[*edge].recorded(*spool) != Some(has)
    }
}
