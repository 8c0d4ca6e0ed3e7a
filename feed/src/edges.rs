//! The rule of R10: which edges there are, what each has applied, when each was last answered, and when a write has
//! arrived everywhere.

use link::rule::{Rule, off};
use link::{Epoch, Seq};
use std::collections::{BTreeMap, BTreeSet};

/// Milliseconds after its last pong from which on an edge is blind: B, and what two clocks may differ in going.
pub const PATIENCE_MS: u64 = crate::BOUND_MS * 101 / 100;
/// Milliseconds after which a blind edge leaves by itself: no link is served that long without control.
const MAX_STALE_MS: u64 = 24 * 60 * 60 * 1000;
/// Processes of edges that may be known at once: whoever can say hello cannot fill the memory.
const MOST: usize = 10_000;
/// The same of one edge: one that starts again and again takes no other's place.
const MOST_OF_ONE: usize = 64;

/// One process of an edge. Times are milliseconds of one clock that never goes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EdgeProcess {
    /// The edge's name.
    pub edge: String,
    /// Random for each process start.
    pub incarnation: u64,
    /// The history that `applied` belongs to.
    pub epoch: Epoch,
    /// What it said to have applied on the stream of `id`.
    pub applied: Option<Seq>,
    /// When it was last answered, or may have been.
    pub last_pong: u64,
    /// Since when its stream is up.
    pub since: Option<u64>,
    /// Since when it is known.
    known: u64,
    /// Its latest stream; what an older one says of it counts no more.
    id: u64,
}

impl EdgeProcess {
    /// Whether it has lost the right to call an answer fresh.
    pub fn blind(&self, now: u64) -> bool {
        now.saturating_sub(self.last_pong) > PATIENCE_MS
    }
}

/// What the controls of a store tell each other of one process of an edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedEdge {
    /// The edge's name.
    pub edge: String,
    /// Random for each process start.
    pub incarnation: u64,
    /// The history that `applied` belongs to.
    pub epoch: Epoch,
    /// The last change that it has applied.
    pub applied: Option<Seq>,
    /// When it was last answered, or may have been, by the clock of the table that is told.
    pub last_pong: u64,
}

/// Which edges a write has reached.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Who has applied it, by number.
    pub applied: Vec<u64>,
    /// Who has not and may still take itself for fresh.
    pub waiting: Vec<u64>,
    /// Who has not and is blind.
    pub blind: Vec<u64>,
    /// When the first of those waiting becomes blind if it hears nothing.
    pub wake: Option<u64>,
}

/// The reason why an edge is not forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForgetRefusal {
    /// No edge of that name is known.
    Unknown,
    /// A stream of it is up.
    Connected,
    /// It may still call an answer fresh.
    Fresh,
}

/// Whether a write can be answered that waits for all edges.
#[derive(Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Ask again when an edge has applied something, and at this time at the latest.
    Wait(Coverage, u64),
    /// Whoever has not applied it by now is blind.
    Done(Coverage),
}

/// All edges of a control, by a number that rises as they join.
#[derive(Debug, Default)]
pub struct EdgeTable {
    rows: BTreeMap<u64, EdgeProcess>,
    last: u64,
    begun: u64,
}

impl EdgeTable {
    /// An empty one, at `now`: there may be edges that it does not know and that are fresh for a while yet.
    pub fn new(now: u64) -> Self {
        Self { begun: now, ..Self::default() }
    }

    /// A process says hello on the stream `id`. Its number, and whether it was unknown; `None` when there are too many.
    pub fn join(
        &mut self,
        (edge, incarnation): (&str, u64),
        id: u64,
        (epoch, applied): (Epoch, Option<Seq>),
        now: u64,
    ) -> Option<(u64, bool)> {
        let known = |row: &EdgeProcess| row.incarnation == incarnation && row.edge == edge;
        if let Some((number, row)) = self.rows.iter_mut().find(|(_, row)| known(row)) {
            (row.id, row.epoch, row.applied, row.since) = (id, epoch, applied, Some(now));
            return Some((*number, false));
        }
        let of_one = self.rows.values().filter(|row| row.edge == edge).count();
        if self.rows.len() >= MOST || of_one >= MOST_OF_ONE {
            return None;
        }
        self.last += 1;
        let (edge, since) = (edge.to_owned(), Some(now));
        let row = EdgeProcess { edge, incarnation, epoch, applied, last_pong: now, since, known: now, id };
        self.rows.insert(self.last, row);
        Some((self.last, true))
    }

    /// A process that an earlier control knew: it may have been answered until this one began, at `now`.
    pub fn remember(&mut self, edge: String, incarnation: u64, now: u64) {
        self.last += 1;
        let epoch = Epoch::default();
        let (applied, since) = (None, None);
        let row = EdgeProcess { edge, incarnation, epoch, applied, last_pong: now, since, known: now, id: 0 };
        self.rows.insert(self.last, row);
    }

    /// What all controls of a store have written of their edges, at most, read at `now`. Of an edge whose stream is here nobody knows
    /// more than this; whoever else is not among them was given up for lost.
    pub fn shared(&mut self, rows: impl IntoIterator<Item = SharedEdge>, now: u64) {
        let mut there = std::collections::HashSet::new();
        for SharedEdge { edge, incarnation, epoch, applied, last_pong } in rows {
            let known = |row: &EdgeProcess| row.incarnation == incarnation && row.edge == edge;
            if let Some((number, row)) = self.rows.iter_mut().find(|(_, row)| known(row)) {
                row.last_pong = row.last_pong.max(last_pong);
                if row.since.is_none() {
                    (row.epoch, row.applied) = (epoch, applied);
                }
                there.insert(*number);
            } else {
                self.last += 1;
                let (since, known) = (None, now);
                let row = EdgeProcess { edge, incarnation, epoch, applied, last_pong, since, known, id: 0 };
                self.rows.insert(self.last, row);
                there.insert(self.last);
            }
        }
        self.rows.retain(|number, row| row.since.is_some() || there.contains(number));
    }

    /// The names that two live processes say, at whichever controls. One that comes in the place of another is alone, since that
    /// one is soon answered no more: it counts once it was answered for longer than [`PATIENCE_MS`] beside a later one.
    pub fn doubled(&self, now: u64) -> BTreeSet<&str> {
        let (mut doubled, mut later) = (BTreeSet::new(), BTreeMap::new());
        for row in self.rows.values().rev().filter(|row| !row.blind(now)) {
            let known = later.entry(&*row.edge).or_insert(u64::MAX);
            if row.last_pong > known.saturating_add(PATIENCE_MS) {
                doubled.insert(&*row.edge);
            }
            *known = row.known.min(*known);
        }
        doubled
    }

    /// It is about to be answered; `false` when it is not known any more and must not be.
    pub fn pong(&mut self, number: u64, now: u64) -> bool {
        self.rows.get_mut(&number).map(|row| row.last_pong = now).is_some()
    }

    /// It has applied everything up to `seq`, it says on the stream `id`. Whether that is more than it has said before.
    pub fn applied(&mut self, number: u64, id: u64, seq: Seq) -> bool {
        let row = self.rows.get_mut(&number).filter(|row| row.id == id && row.applied < Some(seq));
        row.map(|row| row.applied = Some(seq)).is_some()
    }

    /// The stream `id` has ended. The process may live on, so it stays.
    pub fn left(&mut self, number: u64, id: u64) {
        if let Some(row) = self.rows.get_mut(&number).filter(|row| row.id == id) {
            row.since = None;
        }
    }

    /// The process says on the stream `id` that it has given its last answer. What a stream says counts for its own
    /// process alone, and only while that has no later one.
    pub fn goodbye(&mut self, number: u64, id: u64) -> Option<EdgeProcess> {
        let own = self.rows.get(&number).is_some_and(|row| row.id == id);
        own.then(|| self.rows.remove(&number)).flatten()
    }

    /// A person says that the edge `name` is gone for good: who it was, by number.
    ///
    /// # Errors
    /// Why it stays.
    pub fn forget(&mut self, name: &str, now: u64) -> Result<Vec<(u64, EdgeProcess)>, ForgetRefusal> {
        let rows = || self.rows.iter().filter(|(_, row)| row.edge == name);
        let numbers: Vec<u64> = rows().map(|(number, _)| *number).collect();
        if numbers.is_empty() {
            return Err(ForgetRefusal::Unknown);
        }
        if rows().any(|(_, row)| row.since.is_some()) {
            return Err(ForgetRefusal::Connected);
        }
        if rows().any(|(_, row)| !row.blind(now)) {
            return Err(ForgetRefusal::Fresh);
        }
        Ok(numbers.into_iter().filter_map(|number| Some((number, self.rows.remove(&number)?))).collect())
    }

    /// One that was forgotten, but not on disk. Who has said hello since is known already.
    pub fn put_back(&mut self, number: u64, row: EdgeProcess) {
        if !self.rows.values().any(|own| (&own.edge, own.incarnation) == (&row.edge, row.incarnation)) {
            self.rows.insert(number, row);
        }
    }

    /// Drops who is blind and was replaced by a later process of its name, or is blind for too long. Whether any was.
    pub fn clean(&mut self, now: u64) -> bool {
        let before = self.rows.len();
        let gone: Vec<u64> = self.rows.keys().copied().filter(|number| self.gone(*number, now)).collect();
        self.rows.retain(|number, _| !gone.contains(number));
        self.rows.len() < before
    }

    /// An old process may go on serving while a new one starts, and two edges may share a name by mistake: only one
    /// that is blind and whose stream has ended is replaced.
    fn gone(&self, number: u64, now: u64) -> bool {
        let row = &self.rows[&number];
        let later = || self.rows.range(number + 1..).any(|(_, later)| later.edge == row.edge);
        let replaced = || row.since.is_none() && later();
        row.blind(now) && (now - row.last_pong > MAX_STALE_MS || replaced())
    }

    /// Where the write `seq` of the history `epoch` has arrived, at a time after its commit.
    ///
    /// An edge is fresh for B after it *sent* a ping that was answered, so for less than [`PATIENCE_MS`] after
    /// `last_pong`; and a ping answered after the commit makes it fresh only once it has applied `seq`. So whoever
    /// is in `blind`, or is still in `waiting` at [`PATIENCE_MS`] after the commit, calls nothing older fresh.
    pub fn judge(&self, epoch: Epoch, seq: Seq, now: u64) -> Coverage {
        let mut judged = Coverage::default();
        for (number, row) in &self.rows {
            if row.epoch == epoch && row.applied >= Some(seq) {
                judged.applied.push(*number);
            } else if !row.blind(now) {
                judged.waiting.push(*number);
                let wake = row.last_pong + PATIENCE_MS + 1;
                judged.wake = Some(judged.wake.map_or(wake, |first| first.min(wake)));
            } else if !self.gone(*number, now) {
                judged.blind.push(*number);
            }
        }
        judged
    }

    /// Whether the write `seq` of `epoch`, committed at `committed`, can be answered at `now`.
    pub fn arrival(&self, epoch: Epoch, seq: Seq, committed: u64, now: u64) -> Arrival {
        let judged = self.judge(epoch, seq, now);
        let (end, all_known) = (committed + PATIENCE_MS, self.begun + PATIENCE_MS);
        let wake = judged.wake.or(Some(all_known).filter(|at| now < *at));
        match wake.filter(|_| now < end && !off(Rule::AckWait)) {
            Some(wake) => Arrival::Wait(judged, wake.min(end)),
            None => Arrival::Done(judged),
        }
    }

    /// One of them.
    pub fn get(&self, number: u64) -> Option<&EdgeProcess> {
        self.rows.get(&number)
    }

    /// All of them by number, in the order in which they joined.
    pub fn numbered(&self) -> impl Iterator<Item = (u64, &EdgeProcess)> {
        self.rows.iter().map(|(number, row)| (*number, row))
    }

    /// All of them, in the order in which they joined.
    pub fn all(&self) -> impl Iterator<Item = &EdgeProcess> {
        self.rows.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const EPOCH: Epoch = Epoch { counter: 1, random: 7 };

    fn join(table: &mut EdgeTable, who: (&str, u64), id: u64, applied: Option<Seq>, now: u64) -> u64 {
        table.join(who, id, (EPOCH, applied), now).unwrap().0
    }

    #[test]
    fn applied_waiting_blind() {
        let mut table = EdgeTable::default();
        let (a, b) = (join(&mut table, ("a", 1), 1, Some(9), 0), join(&mut table, ("b", 1), 2, None, 500));
        let judged = table.judge(EPOCH, 9, 600);
        assert_eq!((judged.applied, judged.waiting, judged.wake), (vec![a], vec![b], Some(1_511)));
        assert_eq!(table.judge(EPOCH, 9, 1_510).waiting, [b]);
        assert_eq!(table.judge(EPOCH, 9, 1_511).blind, [b]);
        assert!(table.pong(b, 1_600));
        assert_eq!(table.judge(EPOCH, 9, 1_700).waiting, [b], "it sees again");
        assert!(!table.applied(b, 1, 9));
        assert_eq!(table.judge(EPOCH, 9, 1_700).waiting, [b], "another stream's word");
        assert!(table.applied(b, 2, 9) && !table.applied(b, 2, 9) && !table.applied(b, 2, 8));
        assert_eq!(table.judge(EPOCH, 9, 1_700).applied, [a, b]);
        let other = Epoch { counter: 2, random: 7 };
        assert!(table.judge(other, 9, 1_700).applied.is_empty(), "of another history");
    }

    #[test]
    fn one_edge_takes_no_other_ones_place() {
        let mut table = EdgeTable::default();
        let one = |table: &mut EdgeTable, edge: &str, n| table.join((edge, n), n, (EPOCH, None), 0).is_some();
        let joined = (1..1_000).filter(|n| one(&mut table, "a", *n)).count();
        assert_eq!(joined, MOST_OF_ONE);
        assert!(one(&mut table, "a", 1), "a process that is known comes again");
        assert!(one(&mut table, "b", 2_000));
        (1..1_000).for_each(|n| table.left(n, n));
        assert!(table.clean(PATIENCE_MS + 1) && one(&mut table, "a", 3_000));
    }

    #[test]
    fn two_edges_of_one_name_are_told_and_one_that_follows_another_is_not() {
        let mut table = EdgeTable::default();
        let old = join(&mut table, ("a", 1), 1, None, 0);
        let other = join(&mut table, ("b", 9), 2, None, 0);
        let new = join(&mut table, ("a", 2), 3, None, 5_000);
        // The old one is answered until it is gone.
        for at in (5_000..=5_000 + PATIENCE_MS).step_by(10) {
            assert!(table.pong(old, at) && table.pong(new, at) && table.pong(other, at));
            assert!(table.doubled(at).is_empty(), "{at}");
        }
        let at = 5_000 + PATIENCE_MS + 1;
        assert!(table.pong(old, at));
        assert_eq!(table.doubled(at), BTreeSet::from(["a"]));
        // One that follows another control.
        let row = |incarnation, last_pong| SharedEdge {
            edge: "b".into(),
            incarnation,
            epoch: EPOCH,
            applied: None,
            last_pong,
        };
        table.shared([row(10, at)], at);
        let later = at + PATIENCE_MS + 1;
        assert!(table.pong(other, later) && table.pong(new, later));
        table.shared([row(10, later)], later);
        assert_eq!(table.doubled(later), BTreeSet::from(["b"]), "the other name's older process is blind");
    }

    #[test]
    fn a_new_process_replaces_the_old_one_once_that_is_blind() {
        let mut table = EdgeTable::default();
        let old = join(&mut table, ("a", 1), 1, None, 0);
        let new = join(&mut table, ("a", 2), 2, Some(5), 300);
        assert!(!table.clean(PATIENCE_MS + 1), "its stream is up: it may be another edge of that name");
        assert_eq!(table.judge(EPOCH, 5, PATIENCE_MS + 1).blind, [old]);
        table.left(old, 1);
        assert!(!table.clean(PATIENCE_MS));
        assert_eq!(table.judge(EPOCH, 5, PATIENCE_MS).waiting, [old]);
        assert_eq!(
            table.judge(EPOCH, 5, PATIENCE_MS + 1),
            Coverage { applied: vec![new], ..Coverage::default() }
        );
        assert!(table.clean(PATIENCE_MS + 1) && !table.pong(old, PATIENCE_MS + 1));
        assert!(table.pong(new, PATIENCE_MS + 1));
        // One without a successor stays for a day.
        let end = PATIENCE_MS + 1 + MAX_STALE_MS;
        assert!(!table.clean(end));
        assert_eq!(table.judge(EPOCH, 6, end).blind, [new]);
        assert!(table.clean(end + 1) && table.all().next().is_none());
    }

    #[test]
    fn what_other_controls_know_of_their_edges_counts() {
        let mut table = EdgeTable::default();
        let here = join(&mut table, ("here", 1), 1, Some(5), 0);
        let moved = join(&mut table, ("moved", 1), 2, Some(5), 0);
        table.left(moved, 2);
        let row = |edge: &str, applied, last_pong| SharedEdge {
            edge: edge.to_owned(),
            incarnation: 1,
            epoch: EPOCH,
            applied,
            last_pong,
        };
        table.shared([row("here", Some(3), 0), row("moved", Some(9), 700), row("there", None, 700)], 0);
        let judged = table.judge(EPOCH, 9, 800);
        assert_eq!((judged.applied, judged.waiting), (vec![moved], vec![here, moved + 1]));
        assert_eq!(table.get(here).unwrap().applied, Some(5), "its own word is newer than the row");
        assert_eq!(table.judge(EPOCH, 9, 700 + PATIENCE_MS + 1).blind, [here, moved + 1]);
        table.shared([], 0);
        assert_eq!(table.all().map(|row| row.edge.as_str()).collect::<Vec<_>>(), ["here"]);
    }

    #[test]
    fn a_goodbye_ends_its_own_process_alone() {
        let mut table = EdgeTable::default();
        let (a, b) = (join(&mut table, ("a", 1), 1, Some(9), 0), join(&mut table, ("a", 2), 2, None, 0));
        assert_eq!(table.judge(EPOCH, 9, 10).waiting, [b]);
        assert!(table.goodbye(b, 1).is_none(), "that stream is another's");
        assert!(table.goodbye(b, 2).is_some_and(|gone| gone.incarnation == 2));
        assert_eq!(table.judge(EPOCH, 9, 10), Coverage { applied: vec![a], ..Coverage::default() });
        assert!(!table.pong(b, 10), "and it is told nothing any more");
        join(&mut table, ("a", 1), 3, None, 20);
        assert!(table.goodbye(a, 1).is_none(), "of an older stream");
    }

    #[test]
    fn only_who_is_gone_is_forgotten() {
        let mut table = EdgeTable::default();
        let a = join(&mut table, ("a", 1), 1, None, 0);
        join(&mut table, ("b", 1), 2, None, 0);
        assert_eq!(table.forget("c", 9_000), Err(ForgetRefusal::Unknown));
        assert_eq!(table.forget("a", 9_000), Err(ForgetRefusal::Connected));
        table.left(a, 1);
        assert_eq!(table.forget("a", PATIENCE_MS), Err(ForgetRefusal::Fresh));
        let gone = table.forget("a", PATIENCE_MS + 1).unwrap();
        let names = |table: &EdgeTable| table.all().map(|row| row.edge.clone()).collect::<Vec<_>>();
        assert_eq!((gone.len(), names(&table)), (1, vec!["b".to_owned()]));
        // It could not be written down.
        table.put_back(a, gone[0].1.clone());
        assert_eq!(names(&table), ["a", "b"]);
        assert!(table.judge(EPOCH, 9, PATIENCE_MS + 1).blind.contains(&a), "it is as blind as before");
        // One that came back meanwhile is there once.
        let gone = table.forget("a", PATIENCE_MS + 1).unwrap();
        let again = join(&mut table, ("a", 1), 3, None, PATIENCE_MS + 1);
        table.put_back(a, gone[0].1.clone());
        assert_eq!((names(&table), again > a), (vec!["b".to_owned(), "a".to_owned()], true));
    }

    #[test]
    fn the_table_has_an_end() {
        let mut table = EdgeTable::default();
        for incarnation in 0..MOST as u64 {
            join(&mut table, (&format!("a{}", incarnation % 500), incarnation), 1, None, 0);
        }
        assert_eq!(table.join(("a0", 0), 2, (EPOCH, None), 0), Some((1, false)));
        assert_eq!(table.join(("b", 0), 2, (EPOCH, None), 0), None);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Tick(u64),
        Hello { edge: usize, reset: bool },
        Restart(usize),
        Ping(usize),
        Apply(usize),
        Write,
        Control,
    }

    fn step() -> impl Strategy<Value = Step> {
        let edge = 0..3_usize;
        prop_oneof![
            4 => (1..700_u64).prop_map(Step::Tick),
            2 => (edge.clone(), any::<bool>()).prop_map(|(edge, reset)| Step::Hello { edge, reset }),
            1 => edge.clone().prop_map(Step::Restart),
            6 => edge.clone().prop_map(Step::Ping),
            4 => edge.prop_map(Step::Apply),
            3 => Just(Step::Write),
            1 => Just(Step::Control),
        ]
    }

    /// An edge that is as fresh as the protocol lets it be: each pong arrives at once and counts from the ping's sending.
    #[derive(Clone, Default)]
    struct Edge {
        incarnation: u64,
        number: Option<u64>,
        id: u64,
        applied: Seq,
        fresh_until: Option<u64>,
        waiting: Option<(Seq, u64)>,
    }

    impl Edge {
        fn settle(&mut self) {
            if let Some((_, until)) = self.waiting.filter(|(head, _)| self.applied >= *head) {
                self.fresh_until = self.fresh_until.max(Some(until));
                self.waiting = None;
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1_000) })]

        /// What was called propagated, no fresh edge misses, ever; what was called partial, none but the blind ones.
        #[test]
        fn nobody_but_the_blind_calls_an_older_state_fresh(steps in prop::collection::vec(step(), 1..80)) {
            let (mut table, mut now, mut head, mut id) = (EdgeTable::default(), 0, 0, 0);
            let mut edges = vec![Edge::default(); 3];
            let mut old: Vec<(usize, Edge)> = Vec::new();
            // Writes that wait, by seq and time of commit; writes that were answered, with the incarnations called blind.
            let mut open: Vec<(Seq, u64)> = Vec::new();
            let mut said: Vec<(Seq, Vec<u64>)> = Vec::new();
            let names = ["a", "b", "a"]; // two of them share a name by mistake
            for step in steps {
                match step {
                    Step::Tick(ms) => now += ms,
                    Step::Write => { head += 1; open.push((head, now)); }
                    Step::Hello { edge: at, reset } => {
                        id += 1;
                        let edge = &mut edges[at];
                        let applied = (!reset).then_some(edge.applied); // a reset arrives when it likes
                        let who = (names[at], edge.incarnation * 10 + at as u64);
                        (edge.number, edge.id) = (table.join(who, id, (EPOCH, applied), now).map(|(n, _)| n), id);
                    }
                    Step::Restart(at) => {
                        old.push((at, edges[at].clone())); // it may go on answering until it is blind
                        if let Some(number) = edges[at].number { table.left(number, edges[at].id); }
                        edges[at] = Edge { incarnation: edges[at].incarnation + 1, ..Edge::default() };
                    }
                    Step::Ping(at) => {
                        let edge = &mut edges[at];
                        if edge.number.is_some_and(|number| table.pong(number, now)) {
                            edge.waiting = edge.waiting.or(Some((head, now + crate::BOUND_MS)));
                            edge.settle();
                        }
                    }
                    Step::Apply(at) => {
                        let edge = &mut edges[at];
                        edge.applied = head;
                        edge.settle();
                        if let Some(number) = edge.number { table.applied(number, edge.id, edge.applied); }
                    }
                    Step::Control => {
                        let known: Vec<_> = table.all().map(|row| (row.edge.clone(), row.incarnation)).collect();
                        table = EdgeTable::new(now);
                        for (edge, incarnation) in known { table.remember(edge, incarnation, now); }
                        for edge in &mut edges { (edge.number, edge.waiting) = (None, None); }
                    }
                }
                table.clean(now);
                open.retain(|&(seq, committed)| {
                    let Arrival::Done(judged) = table.arrival(EPOCH, seq, committed, now) else { return true };
                    let late = judged.blind.iter().chain(&judged.waiting);
                    said.push((seq, late.map(|number| table.get(*number).unwrap().incarnation).collect()));
                    false
                });
                let all = edges.iter().enumerate().chain(old.iter().map(|(at, edge)| (*at, edge)));
                for (at, edge) in all.filter(|(_, edge)| edge.fresh_until.is_some_and(|until| until >= now)) {
                    for (seq, blind) in &said {
                        let excused = blind.contains(&(edge.incarnation * 10 + at as u64));
                        prop_assert!(edge.applied >= *seq || excused, "edge {at} misses {seq} at {now}");
                    }
                }
            }
        }
    }
}
