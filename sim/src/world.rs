//! The world of one seed: who does what next, what goes wrong, and the end, when nothing does any more.

mod control;
mod edge;
mod judge;
mod liar;
mod reader;
mod writer;

pub use judge::Failure;

use self::control::{Control, PendingWrite};
use self::edge::{Edge, READERS};
use crate::counters::Counters;
use crate::database::Store;
use crate::messages::Fetch;
use crate::plan::{CONTROLS, EDGES, Fault, Faults};
use crate::redis::FakeRedis;
use feed::edges::EdgeTable;
use hot::{Domains, Stamp, View};
use liar::Liar;
use link::Seq;
use link::rule::{Rule, off};
use reader::{Reader, RedisLookup};
use services::Random;
use std::collections::VecDeque;

/// Rounds without faults after which everybody must have caught up.
const CALM_ROUNDS: usize = 400;

#[derive(Debug)]
pub struct World {
    /// The only chance there is.
    pub rng: Random,
    /// Milliseconds.
    pub now: u64,
    /// Steps so far.
    pub step: u64,
    /// What goes wrong.
    pub faults: Faults,
    /// The database.
    pub store: Store,
    /// An old state was put back and nobody has noticed.
    pub suspect: bool,
    /// The positioned copy.
    pub redis: FakeRedis,
    /// The writing half.
    pub controls: Vec<Control>,
    /// The reading half.
    pub edges: Vec<Edge>,
    /// Questions to origin on their way.
    pub fetches: Vec<Fetch>,
    /// Questions to Redis on their way.
    pub lookups: Vec<RedisLookup>,
    /// No relay reaches Redis until then; edges do.
    pub relays_stalled_until: u64,
    /// R10: the edges that are known to the controls.
    pub known: EdgeTable,
    /// It has the credential of an edge.
    pub liar: Liar,
    /// Requests for writes that came with an id, the latest last.
    pub asked: VecDeque<journal::Request>,
    /// R10: writes that wait.
    pub waiting: Vec<PendingWrite>,
    /// What happened.
    pub counters: Counters,
    /// The first thing that was wrong.
    pub failure: Option<Failure>,
    /// Bytes of a request, and of its answer.
    pub input: Vec<u8>,
    /// See above.
    pub out: Vec<u8>,
    /// The parts of an answer that no test depends on.
    pub stamp: Stamp,
    /// Every edge knows that there is no domain but the default one.
    pub domains: View,
    events: VecDeque<String>,
    shown: usize,
}

impl World {
    /// The world of a seed. It remembers so many of its last events, which takes time.
    #[must_use]
    pub fn new(seed: u64, shown: usize) -> Self {
        let mut rng = crate::random(seed);
        // Half of the faults, on average; a tenth of the runs has one only.
        let mut faults = rng.next() & rng.next().rotate_left(7) | rng.next() & rng.next();
        if rng.percent(10) {
            faults = 1 << rng.below(19);
        }
        // Rare, since it ends the run for an edge.
        if !rng.percent(20) {
            faults &= !(1 << Fault::Strange as u64);
        }
        let mut edges = Vec::with_capacity(EDGES);
        for number in 0..EDGES {
            let budget = match number {
                0 => rng.between(100, 500) as usize,
                1 => 64 * 1024,
                _ => rng.between(400, 1_600) as usize,
            };
            let fences = 4 << rng.below(4);
            edges.push(Edge::new(number, budget, fences, rng.between(0, 1 << 20)));
        }
        let domains = Domains::default();
        domains.told(Seq::MAX, 0);
        Self {
            now: 10_000,
            step: 0,
            faults: Faults(faults),
            store: Store::new(&mut rng),
            suspect: false,
            redis: FakeRedis::new(),
            controls: (0..CONTROLS).map(|_| Control::new()).collect(),
            edges,
            fetches: Vec::new(),
            lookups: Vec::new(),
            relays_stalled_until: 0,
            known: EdgeTable::new(0),
            liar: Liar::default(),
            asked: VecDeque::new(),
            waiting: Vec::new(),
            counters: Counters::default(),
            failure: None,
            input: Vec::with_capacity(128),
            out: Vec::with_capacity(512),
            stamp: Stamp::new("Thu, 01 Jan 1970 00:00:00 GMT"),
            domains: View::new(domains.into()),
            events: VecDeque::new(),
            shown,
            rng,
        }
    }

    /// Runs so many steps, then the calm; stops at the first failure.
    pub fn run(&mut self, steps: u64) {
        let faults = std::mem::replace(&mut self.faults, Faults(0));
        let calm = if self.rng.percent(70) { self.rng.below(20) } else { 0 };
        for _ in 0..calm {
            self.calm_round();
            self.write();
        }
        (self.faults, self.step) = (faults, 0);
        while self.step < steps && self.failure.is_none() {
            self.step();
        }
        if self.failure.is_none() {
            self.calm();
        }
        if self.failure.is_none() {
            self.edges.iter().for_each(|edge| edge.set.validate());
        }
        self.counters.lost_writes = self.store.lost;
    }

    /// The last events, oldest first.
    #[must_use]
    pub fn events(&self) -> Vec<String> {
        self.events.iter().cloned().collect()
    }

    /// Remembers an event, if anybody wants to know.
    pub fn note(&mut self, event: impl FnOnce(&Self) -> String) {
        if self.shown > 0 {
            let event = format!("{:>5} {:>6} ms  {}", self.step, self.now, event(self));
            self.events.push_back(event);
            if self.events.len() > self.shown {
                self.events.pop_front();
            }
        }
    }

    fn step(&mut self) {
        self.step += 1;
        self.now += self.rng.below(12) as u64;
        if self.faults.has(Fault::Liar) && self.rng.percent(10) {
            self.lie();
        }
        let e = self.rng.below(EDGES);
        match self.rng.below(100) {
            0..9 => self.write(),
            9..24 => {
                let c = self.rng.below(CONTROLS);
                self.tail_and_send(c, e);
            }
            24..42 => while self.deliver_down(e) && self.rng.percent(60) {},
            42..50 => while self.deliver_up(e) && self.rng.percent(60) {},
            50..60 => self.edge_turn(e),
            60..70 => {
                let r = self.rng.below(READERS);
                self.read(e, r);
            }
            70..76 => self.deliver_fetch(),
            76..82 => self.deliver_lookup(),
            82..89 => {
                let c = self.rng.below(CONTROLS);
                self.relay(c);
            }
            89..92 => {
                if self.faults.has(Fault::Snapshot) {
                    let steps = if self.rng.percent(10) { self.edges[e].set.shards() + 2 } else { 3 };
                    (0..steps).for_each(|_| self.snapshot(e));
                }
            }
            92..94 => {
                let c = self.rng.below(CONTROLS);
                if self.controls[c].up && !self.controls[c].attached {
                    self.attach(c);
                }
            }
            94 => {
                self.acknowledge();
                let c = self.rng.below(CONTROLS);
                self.read_head(c);
            }
            _ => self.trouble(e),
        }
        if self.step.is_multiple_of(512) {
            self.edges.iter().for_each(|edge| edge.set.validate());
        }
    }

    fn tail_and_send(&mut self, c: usize, e: usize) {
        let lags = self.faults.has(Fault::Lag) && c == 1;
        if !lags || self.rng.percent(15) {
            self.tail(c);
        }
        self.send(c, e);
    }

    /// `true`: something was there.
    fn deliver_down(&mut self, e: usize) -> bool {
        let left = self.edges[e].link.late.len();
        let often = if self.faults.has(Fault::Retention) { 75 } else { 30 };
        if left > 0 && self.rng.percent(often) {
            let which = self.rng.below(left);
            let late = self.edges[e].link.late.swap_remove(which);
            self.edges[e].link.down.push_front(late);
        }
        let edge = &self.edges[e];
        let waiting = edge.link.down.len();
        if waiting == 0 || self.now < edge.paused_until || edge.asking {
            return false;
        }
        let at =
            if self.faults.has(Fault::Shuffle) && self.rng.percent(20) { self.rng.below(waiting) } else { 0 };
        if self.faults.has(Fault::Drop) && self.rng.percent(4) {
            self.edges[e].link.down.remove(at);
            return true;
        }
        let again = self.faults.has(Fault::Repeat) && self.rng.percent(5);
        self.take(e, at, again);
        true
    }

    /// As above.
    fn deliver_up(&mut self, e: usize) -> bool {
        let waiting = self.edges[e].link.up.len();
        if waiting == 0 {
            return false;
        }
        let at =
            if self.faults.has(Fault::Shuffle) && self.rng.percent(20) { self.rng.below(waiting) } else { 0 };
        if self.faults.has(Fault::Drop) && self.rng.percent(4) {
            self.edges[e].link.up.remove(at);
            return true;
        }
        if self.faults.has(Fault::Repeat) && self.rng.percent(5) {
            let again = self.edges[e].link.up[at].clone();
            self.edges[e].link.up.push_back(again);
        }
        self.hear(e, at);
        true
    }

    fn edge_turn(&mut self, e: usize) {
        if self.now < self.edges[e].paused_until {
            return;
        }
        if off(Rule::LeaveLast) && self.rng.percent(5) {
            self.goodbye(e); // and goes on answering
        }
        // A stream on which nothing comes is given up in the end.
        let impatience = match (self.faults.has(Fault::Late), self.faults.has(Fault::Retention)) {
            (true, true) => 20,
            (true, false) => 18,
            _ => 2,
        };
        if self.edges[e].wants_hello || self.rng.percent(impatience) {
            self.hello(e);
        } else {
            self.ping(e);
        }
        if self.rng.percent(8) {
            self.walk_again(e);
        }
    }

    fn read(&mut self, e: usize, r: usize) {
        let edge = &self.edges[e];
        if edge.readers[r].is_idle() {
            self.request(e, r);
            if self.rng.percent(30) {
                return;
            }
        }
        let edge = &self.edges[e];
        if self.now >= edge.paused_until && edge.readers[r].is_waiting() {
            self.wake(e, r);
        }
    }

    fn deliver_fetch(&mut self) {
        if self.fetches.is_empty() {
            return;
        }
        let number = self.rng.below(self.fetches.len());
        let fetch = &self.fetches[number];
        if self.now < self.edges[fetch.edge].paused_until {
            return;
        }
        let lost = self.faults.has(Fault::Drop) && self.rng.percent(5);
        if fetch.answer.is_none() && !lost && self.answer(number) {
            return; // on its way back
        }
        let mut fetch = self.fetches.swap_remove(number);
        if lost {
            fetch.answer = None;
        }
        self.answered(&fetch);
    }

    fn deliver_lookup(&mut self) {
        if self.lookups.is_empty() {
            return;
        }
        let number = self.rng.below(self.lookups.len());
        if self.now >= self.edges[self.lookups[number].edge].paused_until {
            self.look(number);
        }
    }

    /// Something goes wrong.
    fn trouble(&mut self, e: usize) {
        let c = self.rng.below(CONTROLS);
        let fault = self.rng.below(24);
        let has = |fault| self.faults.has(fault);
        match fault {
            0 | 1 if has(Fault::Cut) => self.edges[e].wants_hello = true,
            2 if has(Fault::Restart) && self.rng.percent(50) => self.restart(e, false),
            3 | 4 if has(Fault::Restart) && self.edges[e].file.is_some() => self.restart(e, true),
            5 if has(Fault::Control) => {
                let up = !self.controls[c].up;
                self.controls[c] = Control::new();
                self.controls[c].up = up;
                self.note(|_| format!("control {c} is {}", if up { "up" } else { "down" }));
            }
            6 | 7 if !self.controls[c].up => self.controls[c] = Control::new(),
            8 if has(Fault::Restore) && self.rng.percent(40) => self.put_back(),
            9 if has(Fault::Bump) && self.rng.percent(50) => self.bump(c),
            10..15 if has(Fault::Redis) => {
                let other = self.redis.suffer(&mut self.rng);
                // One MGET never sees both sides of a rollback.
                self.lookups.iter_mut().filter(|_| other).for_each(RedisLookup::again);
            }
            15 if has(Fault::Pause) => self.edges[e].paused_until = self.now + self.rng.between(50, 3_000),
            16 if has(Fault::Jump) => self.now += self.rng.between(100, 2_500),
            17 if has(Fault::Retention) => {
                let head = self.store.now().head().seq;
                let keep = if has(Fault::Late) { self.rng.between(0, 4) } else { self.rng.between(2, 30) };
                self.store.retain_from(head.saturating_sub(keep));
            }
            18 if has(Fault::Control) => self.controls[c].attached = false,
            // Back from a file that is only just written.
            19..22 if has(Fault::Snapshot) && self.edges[e].file.is_some() => self.come_back(e),
            22 | 23 if has(Fault::Lag) => self.relays_stalled_until = self.now + self.rng.between(500, 6_000),
            _ => {}
        }
    }

    /// A restart from the file, and right afterwards control is there and clients are back.
    fn come_back(&mut self, e: usize) {
        self.restart(e, true);
        for _ in 0..self.rng.between(0, 6) {
            self.edge_turn(e);
            while self.deliver_up(e) {}
            for c in 0..CONTROLS {
                self.tail_and_send(c, e);
            }
            while self.deliver_down(e) {}
            (0..READERS).for_each(|r| self.read(e, r));
            (0..2 * self.lookups.len()).for_each(|_| self.deliver_lookup());
        }
    }

    /// An older state of the database: a failover that loses writes, or a backup. Every connection to it breaks.
    ///
    /// Warm: a control that knew the last write is the first to connect again, and notices. Begun: every control has
    /// forgotten, and the first to start begins a new history at the head, as on SQLite. Cold: none does, and only an
    /// edge or Redis can tell them. That is survived only within limits (docs/propagation.md): no edge is ahead of its
    /// stream then, since `seen` carries no tag; and who holds what was lost (an edge before its hello was answered,
    /// Redis before a control has compared) asks and tells nothing, since questions carry none.
    fn put_back(&mut self) {
        let head = self.store.now().head().seq;
        let back =
            if self.rng.percent(70) { self.rng.between(1, 6) } else { self.rng.between(1, head.max(1)) };
        let knows = |control: &Control| control.up && control.memory == Some((self.store.current, head));
        let Some(knowing) = self.controls.iter().position(knows).filter(|_| head >= back) else { return };
        let ahead =
            |edge: &Edge| edge.set.seen() != edge.set.applied() || edge.file.is_some() || edge.dump.is_some();
        let forgotten = self.faults.has(Fault::Cold) && self.rng.percent(70);
        let begun = forgotten && (self.edges.iter().any(ahead) || self.rng.percent(50));
        let cold = forgotten && !begun;
        let before = self.store.current;
        let back_to = self.store.now().boundary(head - back);
        self.store.restore(back_to);
        self.counters.restores += 1;
        for control in &mut self.controls {
            if forgotten {
                *control = Control::new();
            }
            control.attached = false;
        }
        self.note(|w| format!("the database is put back to {:?}, cold {cold}", w.store.now().head()));
        if cold {
            self.suspect = true;
            self.fetches.clear();
            self.lookups.clear();
            self.known = EdgeTable::new(self.now);
            let (old, new) = (&self.store.branches[before], self.store.current);
            let shared = old.shared(self.store.now());
            for edge in &mut self.edges {
                edge.readers.iter_mut().for_each(Reader::disconnect);
                edge.wants_hello = true;
                edge.asking = false;
                edge.link.clear_down();
                if edge.branch == before && edge.set.seen() <= shared {
                    edge.branch = new;
                } else {
                    edge.unproved = true;
                }
            }
            if self.redis.up {
                self.redis.unproved = true;
            } else {
                self.redis = FakeRedis::new();
            }
        } else if begun {
            self.store.fork(&mut self.rng, back_to, 0);
            self.counters.forks += 1;
            self.known = EdgeTable::new(self.now);
        } else {
            self.attach(knowing);
        }
    }

    /// I10: faults stop, and every edge reaches the head.
    fn calm(&mut self) {
        self.faults = Faults(0);
        self.redis.up = true;
        self.relays_stalled_until = 0;
        for c in 0..CONTROLS {
            if !self.controls[c].up {
                self.controls[c] = Control::new();
            }
            self.attach(c);
        }
        for e in 0..EDGES {
            self.edges[e].paused_until = 0;
            self.edges[e].link.clear_down();
            self.edges[e].link.up.clear();
            self.edges[e].wants_hello = true;
        }
        for _ in 0..CALM_ROUNDS {
            self.calm_round();
            if self.failure.is_some() || (0..EDGES).all(|e| self.has_caught_up(e)) {
                break;
            }
        }
        for e in 0..EDGES {
            if self.failure.is_none() && !self.has_caught_up(e) {
                let (edge, head) = (&self.edges[e], self.store.now().head());
                let seen = format!(
                    "edge {e} is at {:?}, blind {}, complete {}, walked {}; the head is {head:?}",
                    edge.follower.position(),
                    edge.set.freshness(self.now + edge.boot).is_blind(),
                    edge.set.is_complete(),
                    edge.follower.walked(),
                );
                self.fail("I10 when faults stop, every edge reaches head", seen);
            }
        }
    }

    fn calm_round(&mut self) {
        self.step += 1;
        self.now += 20;
        for c in 0..CONTROLS {
            if !self.controls[c].attached {
                self.attach(c);
            }
            (0..2).for_each(|_| self.read_head(c));
            self.tail(c);
            self.relay(c);
        }
        for e in 0..EDGES {
            if self.edges[e].wants_hello {
                self.edges[e].link.clear_down();
                self.hello(e);
            }
            self.ping(e);
            while !self.edges[e].link.up.is_empty() {
                self.hear(e, 0);
            }
            for c in 0..CONTROLS {
                self.send(c, e);
            }
            while !self.edges[e].link.down.is_empty() && !self.edges[e].asking {
                self.take(e, 0, false);
            }
            if self.step.is_multiple_of(8) {
                self.walk_again(e);
            }
        }
        for _ in 0..self.fetches.len() {
            self.deliver_fetch();
        }
        for _ in 0..self.lookups.len() {
            self.deliver_lookup();
        }
        self.acknowledge();
    }

    fn has_caught_up(&self, e: usize) -> bool {
        let edge = &self.edges[e];
        let stopped = self.store.now().rows.iter().any(|row| Store::stops(&row.change));
        let at_head = edge.follower.position() == Some(self.store.now().head())
            && edge.set.applied() == edge.follower.applied()
            && !edge.set.freshness(self.now + edge.boot).is_blind();
        stopped || (at_head && (e != 1 || edge.set.is_complete()))
    }
}
