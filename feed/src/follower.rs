//! The edge's end of the stream: what an arriving message means, given what was applied before.

use crate::{Entry, Hello, Proof};
use link::rule::{Rule, off};
use link::{Change, Epoch, Position, Seq};

/// A message from control.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the fields are those of linkr.v1.FollowResponse, documented there
pub enum Event {
    Resume { session: u64, hello: u64, epoch: Epoch, fork_seq: Seq, walk: bool },
    Reset { session: u64, hello: u64, start: Position },
    Batch { session: u64, epoch: Epoch, prev_seq: Seq, changes: Vec<Change> },
    Page { session: u64, epoch: Epoch, number: u64, as_of: Seq, entries: Vec<Entry>, last: bool },
    Pong { session: u64, id: u64, head: Seq },
}

/// What the edge has to do, before it hands in the next event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    Nothing,
    /// Say hello again on a new stream: this one is no use.
    Hello,
    /// Everything held is unconfirmed; begin at this position.
    Reset(Position),
    /// Everything held stays; the history is this one.
    Resume {
        /// The history.
        epoch: Epoch,
        /// It is another one than before, and this the last seq that both share: the set has to check that it relied
        /// on nothing behind it. If it did, [`Follower::beyond_fork`].
        fork_seq: Option<Seq>,
    },
    /// Apply these in order. They are contiguous, and behind everything applied before.
    Apply(Vec<Change>),
    /// Load these entries, true at `as_of`, and acknowledge page `number`.
    Load {
        /// The seq they were true at.
        as_of: Seq,
        /// The entries.
        entries: Vec<Entry>,
        /// The page's number.
        number: u64,
    },
    /// A change that must be understood is not: stay here, say so, and be blind.
    Stuck(Seq),
}

impl Effect {
    /// Keeps the proof that came with the message that had this effect, before it is carried out. Two histories may have
    /// one counter: the one that the edge enters counts. What came earlier with an answer of origin may be later.
    pub fn keep_proof(&self, kept: &mut Option<Proof>, new: Option<Proof>) {
        let history = |proof: Option<Proof>| proof.map(|proof| proof.position.epoch);
        match self {
            Self::Reset(_) | Self::Resume { fork_seq: Some(_), .. } if history(*kept) != history(new) => {
                *kept = new;
            }
            Self::Reset(_) | Self::Resume { .. } | Self::Apply(_) | Self::Load { .. } => {
                Proof::keep(kept, new);
            }
            Self::Nothing | Self::Hello | Self::Stuck(_) => {}
        }
    }
}

/// Where one edge stands in the stream.
#[derive(Clone, Debug)]
pub struct Follower {
    edge: String,
    incarnation: u64,
    position: Option<Position>,
    hellos: u64,
    session: Option<u64>,
    walk: WalkState,
    head: Seq,
    pings: Vec<(u64, u64)>,
    next_ping: u64,
    fresh_as_of: Option<u64>,
    waiting: Option<(Seq, u64)>,
    before_fork: Option<(Position, Option<u64>)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum WalkState {
    /// None was begun, or the last one was given up.
    Wanted,
    Under {
        page: u64,
        after: Vec<u8>,
    },
    /// The last page is in; complete once `applied` reaches its seq.
    Done {
        as_of: Seq,
    },
}

/// Pings under way at once; older ones are forgotten.
const MAX_PINGS: usize = 64;

impl Follower {
    /// An edge that has nothing yet.
    pub fn new(edge: String, incarnation: u64) -> Self {
        Self {
            edge,
            incarnation,
            position: None,
            hellos: 0,
            session: None,
            walk: WalkState::Wanted,
            head: 0,
            pings: Vec::new(),
            next_ping: 1,
            fresh_as_of: None,
            waiting: None,
            before_fork: None,
        }
    }

    /// An edge that starts from its own file (R8b), which stands at `position` and holds every link, or not.
    pub fn restored(edge: String, incarnation: u64, position: Position, complete: bool) -> Self {
        let walk = if complete { WalkState::Done { as_of: position.seq } } else { WalkState::Wanted };
        Self { position: Some(position), head: position.seq, walk, ..Self::new(edge, incarnation) }
    }

    /// The hello for a new stream; whatever still arrives on the old one is ignored. `seen` is the set's, and `proof` the
    /// latest one, taken behind it.
    pub fn hello(&mut self, seen: Seq, proof: Option<Proof>) -> Hello {
        self.hellos += 1;
        self.session = None;
        self.pings.clear();
        // The head that a pong named may have been lost since: whoever waited for it would be blind for ever.
        (self.waiting, self.head) = (None, self.applied());
        let (want_walk, walk_after) = match &self.walk {
            WalkState::Wanted => (true, Vec::new()),
            WalkState::Under { after, .. } => (true, after.clone()),
            WalkState::Done { .. } => (false, Vec::new()),
        };
        Hello {
            edge: self.edge.clone(),
            incarnation: self.incarnation,
            position: self.position,
            seen,
            want_walk,
            walk_after,
            number: self.hellos,
            proof,
        }
    }

    /// What `event` means. The effect must be carried out before the next call.
    pub fn handle(&mut self, event: Event) -> Effect {
        match event {
            Event::Resume { session, hello, epoch, fork_seq, walk } if self.is_answered(hello) => {
                self.resume(session, epoch, fork_seq, walk)
            }
            Event::Reset { session, hello, start } if self.is_answered(hello) => self.reset(session, start),
            Event::Batch { session, epoch, prev_seq, changes } if self.is_own(session) => {
                self.batch(epoch, prev_seq, changes)
            }
            Event::Page { session, epoch, number, as_of, entries, last } if self.is_own(session) => {
                self.page(epoch, number, as_of, entries, last)
            }
            Event::Pong { session, id, head } if self.is_own(session) => self.pong(id, head),
            _ => Effect::Nothing, // another session
        }
    }

    /// Whether the answer is to the last hello.
    fn is_answered(&self, hello: u64) -> bool {
        hello == self.hellos || off(Rule::SessionCheck)
    }

    fn is_own(&self, session: u64) -> bool {
        self.session == Some(session) || (self.session.is_some() && off(Rule::SessionCheck))
    }

    fn resume(&mut self, session: u64, epoch: Epoch, fork_seq: Seq, walk: bool) -> Effect {
        let Some(position) = &mut self.position else { return Effect::Hello };
        let backwards = epoch.counter < position.epoch.counter && !off(Rule::LowerEpoch);
        if self.session.is_some() || backwards {
            return Effect::Hello;
        }
        let mut forked = None;
        if epoch != position.epoch {
            if position.seq > fork_seq && !off(Rule::ForkRecheck) {
                return Effect::Hello;
            }
            self.before_fork = Some((*position, self.fresh_as_of));
            position.epoch = epoch;
            forked = Some(fork_seq);
            // What a pong said of the old history's head means nothing in this one.
            (self.waiting, self.head) = (None, position.seq);
        }
        self.session = Some(session);
        if walk && !matches!(self.walk, WalkState::Under { .. }) {
            self.walk = WalkState::Under { page: 0, after: Vec::new() };
        }
        if let WalkState::Under { page, .. } = &mut self.walk {
            *page = 0; // numbered anew on each stream
        }
        Effect::Resume { epoch, fork_seq: forked }
    }

    /// The set relied on something behind the fork, for example on an answer that arrived after the hello: back to the
    /// old history, and a hello with a wish for a walk, which will be answered with a reset.
    pub fn beyond_fork(&mut self) -> Effect {
        if let Some((position, fresh_as_of)) = self.before_fork.take() {
            (self.position, self.fresh_as_of) = (Some(position), fresh_as_of);
        }
        self.walk = WalkState::Wanted;
        Effect::Hello
    }

    fn reset(&mut self, session: u64, start: Position) -> Effect {
        let backwards = self.position.is_some_and(|own| start.epoch.counter < own.epoch.counter);
        let backwards = backwards && !off(Rule::LowerEpoch);
        let same = self.position.filter(|own| own.epoch == start.epoch);
        let backwards = backwards || same.is_some_and(|own| start.seq < own.seq && !off(Rule::StartAtSeen));
        if self.session.is_some() || backwards {
            return Effect::Hello;
        }
        self.session = Some(session);
        self.position = Some(start);
        self.walk = WalkState::Under { page: 0, after: Vec::new() };
        (self.waiting, self.head) = (None, start.seq);
        Effect::Reset(start)
    }

    fn batch(&mut self, epoch: Epoch, prev_seq: Seq, mut changes: Vec<Change>) -> Effect {
        let Some(position) = &mut self.position else { return Effect::Hello };
        let dense = changes.iter().zip(prev_seq + 1..).all(|(change, seq)| change.seq == seq);
        let contiguous = dense && prev_seq <= position.seq || off(Rule::Contiguous);
        if (epoch != position.epoch && !off(Rule::EpochCheck)) || !contiguous {
            return Effect::Hello;
        }
        changes.retain(|change| change.seq > position.seq || off(Rule::SkipApplied));
        let strange = |change: &&Change| change.kind.must_understand() && !change.kind.is_known();
        if let Some(strange) = changes.iter().find(strange).filter(|_| !off(Rule::MustUnderstand)) {
            return Effect::Stuck(strange.seq - 1);
        }
        let Some(last) = changes.last() else { return Effect::Nothing };
        (position.seq, position.tag) = (last.seq, last.tag);
        self.head = self.head.max(last.seq);
        self.settle();
        Effect::Apply(changes)
    }

    fn page(&mut self, epoch: Epoch, number: u64, as_of: Seq, entries: Vec<Entry>, last: bool) -> Effect {
        let Some(position) = self.position else { return Effect::Hello };
        let WalkState::Under { page, after } = &mut self.walk else { return Effect::Nothing };
        if epoch != position.epoch || number != *page + 1 {
            return Effect::Hello;
        }
        *page = number;
        if let Some(entry) = entries.last() {
            *after = entry.key.to_vec();
        }
        if last {
            self.walk = WalkState::Done { as_of };
        }
        Effect::Load { as_of, entries, number }
    }

    fn pong(&mut self, id: u64, head: Seq) -> Effect {
        self.head = self.head.max(head);
        if let Some(at) = self.pings.iter().position(|&(own, _)| own == id) {
            let newest = self.pings.len() - 1;
            let sent = self.pings[if off(Rule::FreshPingTime) { newest } else { at }].1;
            self.pings.drain(..=at);
            // One that waits for its head is kept until it is reached: under steady writes a newer one would
            // always replace it and freshness never come.
            if self.waiting.is_none() {
                self.waiting = Some((head, sent));
            }
            self.settle();
        }
        Effect::Nothing
    }

    /// R9: a ping's own send time becomes the freshness once everything of its pong was applied.
    fn settle(&mut self) {
        if let Some((head, sent)) = self.waiting
            && (self.applied() >= head || off(Rule::FreshHead))
        {
            self.fresh_as_of = self.fresh_as_of.max(Some(sent));
            self.waiting = None;
        }
    }

    /// A ping to send at `now` (milliseconds of a clock that does not stand still while a machine is suspended).
    pub fn ping(&mut self, now: u64) -> Option<u64> {
        self.session?;
        let id = self.next_ping;
        self.next_ping += 1;
        if self.pings.len() == MAX_PINGS {
            self.pings.remove(0);
        }
        self.pings.push((id, now));
        Some(id)
    }

    /// The walk came to nothing, for example because an entry was evicted: ask for a new one with the next hello.
    pub fn want_walk(&mut self) {
        self.walk = WalkState::Wanted;
    }

    /// Whether every page is in, and everything that changed meanwhile too: R6c, but for the ask list.
    pub fn walked(&self) -> bool {
        let caught_up = |as_of| self.applied() >= as_of || off(Rule::WalkAppliedBeforeComplete);
        matches!(self.walk, WalkState::Done { as_of } if caught_up(as_of))
    }

    /// The last change applied; 0 before any.
    pub fn applied(&self) -> Seq {
        self.position.map_or(0, |position| position.seq)
    }

    /// Where this edge stands.
    pub fn position(&self) -> Option<Position> {
        self.position
    }

    /// Changes known to exist and not applied yet.
    pub fn lag(&self) -> u64 {
        self.head.saturating_sub(self.applied())
    }

    /// The `now` of the youngest ping whose head was applied.
    pub fn fresh_as_of(&self) -> Option<u64> {
        self.fresh_as_of
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use link::ChangeKind;

    const EPOCH: Epoch = Epoch { counter: 1, random: 5 };

    fn start(seq: Seq) -> Position {
        Position { epoch: EPOCH, seq, tag: seq * 10 }
    }

    fn changes(range: std::ops::RangeInclusive<Seq>) -> Vec<Change> {
        let change =
            |seq| Change { seq, tag: seq * 10, kind: ChangeKind::LINK, key: "k".into(), record: "r".into() };
        range.map(change).collect()
    }

    fn batch(prev_seq: Seq, last: Seq) -> Event {
        Event::Batch { session: 1, epoch: EPOCH, prev_seq, changes: changes(prev_seq + 1..=last) }
    }

    fn page(number: u64, as_of: Seq, last: bool) -> Event {
        page_of(1, number, as_of, last)
    }

    fn page_of(session: u64, number: u64, as_of: Seq, last: bool) -> Event {
        let entry = Entry { key: format!("key{number}").into(), record: "r".into() };
        Event::Page { session, epoch: EPOCH, number, as_of, entries: vec![entry], last }
    }

    fn followed_from(seq: Seq) -> Follower {
        let mut follower = Follower::new("e".into(), 1);
        follower.hello(0, None);
        assert_eq!(
            follower.handle(Event::Reset { session: 1, hello: 1, start: start(seq) }),
            Effect::Reset(start(seq))
        );
        follower
    }

    #[test]
    fn the_proof_of_what_is_relied_on_is_kept() {
        let of = |counter, random, seq| {
            let position = Position { epoch: Epoch { counter, random }, seq, tag: 1 };
            Some(Proof { position, seal: [0; 16] })
        };
        let mut kept = of(3, 1, 9);
        let mut check = |effect: Effect, new: Option<Proof>, stays: Option<Proof>| {
            effect.keep_proof(&mut kept, new);
            assert_eq!(kept, stays, "{effect:?}");
        };
        check(Effect::Apply(Vec::new()), of(3, 2, 20), of(3, 1, 9));
        check(Effect::Reset(start(0)), of(3, 2, 5), of(3, 2, 5));
        check(Effect::Nothing, of(3, 2, 7), of(3, 2, 5));
        check(Effect::Apply(Vec::new()), of(3, 2, 8), of(3, 2, 8));
        check(Effect::Reset(start(0)), of(3, 2, 6), of(3, 2, 8));
        let resume = Effect::Resume { epoch: EPOCH, fork_seq: Some(6) };
        check(resume, of(4, 1, 6), of(4, 1, 6));
    }

    #[test]
    fn batches_are_applied_once_and_in_order() {
        let mut follower = followed_from(10);
        assert_eq!(follower.handle(batch(10, 12)), Effect::Apply(changes(11..=12)));
        assert_eq!(follower.handle(batch(10, 12)), Effect::Nothing, "a duplicate");
        assert_eq!(
            follower.handle(batch(11, 13)),
            Effect::Apply(changes(13..=13)),
            "the part not yet applied"
        );
        assert_eq!(follower.handle(batch(14, 15)), Effect::Hello, "a gap");
        assert_eq!(follower.position(), Some(start(13)));
        let mut holes = changes(14..=16);
        holes.remove(1);
        let event = Event::Batch { session: 1, epoch: EPOCH, prev_seq: 13, changes: holes };
        assert_eq!(follower.handle(event), Effect::Hello, "a hole");
    }

    #[test]
    fn another_session_is_ignored_and_another_epoch_is_not() {
        let mut follower = followed_from(10);
        let other = Event::Batch { session: 2, epoch: EPOCH, prev_seq: 10, changes: changes(11..=11) };
        assert_eq!(follower.handle(other), Effect::Nothing);
        let epoch = Epoch { counter: 1, random: 6 };
        let other = Event::Batch { session: 1, epoch, prev_seq: 10, changes: changes(11..=11) };
        assert_eq!(follower.handle(other), Effect::Hello);
    }

    #[test]
    fn a_kind_that_must_be_understood_stops_the_edge_and_another_does_not() {
        let mut follower = followed_from(10);
        let mut strange = changes(11..=13);
        strange[1].kind = ChangeKind(9);
        let event = |changes: &[Change]| Event::Batch {
            session: 1,
            epoch: EPOCH,
            prev_seq: 10,
            changes: changes.to_vec(),
        };
        strange[2].kind = ChangeKind(0x89);
        assert_eq!(follower.handle(event(&strange)), Effect::Stuck(12));
        assert_eq!(follower.applied(), 10);
        strange.pop();
        assert_eq!(follower.handle(event(&strange)), Effect::Apply(strange.clone()));
    }

    #[test]
    fn a_walk_is_done_when_the_last_page_and_its_changes_are_in() {
        let mut follower = followed_from(10);
        assert!(matches!(follower.handle(page(1, 10, false)), Effect::Load { number: 1, .. }));
        assert_eq!(follower.handle(page(3, 11, false)), Effect::Hello, "a page is missing");
        assert!(matches!(follower.handle(page(2, 12, true)), Effect::Load { as_of: 12, .. }));
        assert!(!follower.walked());
        follower.handle(batch(10, 12));
        assert!(follower.walked());
        assert!(!follower.hello(12, None).want_walk);
    }

    #[test]
    fn a_cut_walk_goes_on_behind_its_last_key() {
        let mut follower = followed_from(10);
        follower.handle(page(1, 10, false));
        let hello = follower.hello(10, None);
        assert_eq!((hello.want_walk, hello.walk_after), (true, b"key1".to_vec()));
        let resume = Event::Resume { session: 2, hello: 2, epoch: EPOCH, fork_seq: 0, walk: true };
        assert_eq!(follower.handle(resume), Effect::Resume { epoch: EPOCH, fork_seq: None });
        assert!(matches!(follower.handle(page_of(2, 1, 10, true)), Effect::Load { .. }));
        assert!(follower.walked());
    }

    /// Found by the simulation: a walk that goes on behind a page which a reset has made worthless leaves keys out.
    #[test]
    fn an_answer_to_an_earlier_hello_is_not_taken() {
        let mut follower = followed_from(10);
        follower.handle(page(1, 10, false));
        follower.hello(10, None);
        follower.hello(10, None);
        let event = Event::Reset { session: 3, hello: 3, start: start(12) };
        assert_eq!(follower.handle(event), Effect::Reset(start(12)));
        assert_eq!(follower.hello(12, None).number, 4);
        let late = Event::Resume { session: 2, hello: 2, epoch: EPOCH, fork_seq: 0, walk: true };
        assert_eq!(follower.handle(late), Effect::Nothing);
        let late = Event::Reset { session: 2, hello: 2, start: start(13) };
        assert_eq!(follower.handle(late), Effect::Nothing);
    }

    #[test]
    fn an_edge_never_goes_back_to_an_older_history() {
        let mut follower = followed_from(10);
        follower.hello(10, None);
        let old = Epoch { counter: 0, random: 9 };
        let start = Position { epoch: old, seq: 90, tag: 0 };
        assert_eq!(follower.handle(Event::Reset { session: 2, hello: 2, start }), Effect::Hello);
        assert_eq!(
            follower.handle(Event::Resume { session: 2, hello: 2, epoch: old, fork_seq: 90, walk: false }),
            Effect::Hello
        );
    }

    #[test]
    fn a_resume_across_a_fork_needs_what_both_histories_share() {
        let new = Epoch { counter: 2, random: 1 };
        let resume = |fork_seq| Event::Resume { session: 2, hello: 2, epoch: new, fork_seq, walk: false };
        let mut follower = followed_from(10);
        follower.hello(10, None);
        assert_eq!(follower.handle(resume(9)), Effect::Hello);
        assert_eq!(follower.handle(resume(10)), Effect::Resume { epoch: new, fork_seq: Some(10) });
        assert_eq!(follower.position().unwrap().epoch, new);
    }

    #[test]
    fn freshness_is_the_send_time_of_a_ping_whose_head_was_applied() {
        let mut follower = followed_from(10);
        let pong = |id, head| Event::Pong { session: 1, id, head };
        let first = follower.ping(1000).unwrap();
        let second = follower.ping(1100).unwrap();
        follower.handle(pong(first, 12));
        assert_eq!((follower.fresh_as_of(), follower.lag()), (None, 2));
        follower.handle(batch(10, 12));
        assert_eq!((follower.fresh_as_of(), follower.lag()), (Some(1000), 0));
        follower.handle(pong(second, 12));
        assert_eq!(follower.fresh_as_of(), Some(1100));
        follower.handle(pong(second, 99));
        assert_eq!(follower.fresh_as_of(), Some(1100), "a pong nobody waits for");
    }

    /// Found by the simulation: the database was put back, and nobody noticed.
    #[test]
    fn a_head_that_was_lost_is_not_waited_for() {
        let mut follower = followed_from(10);
        let ping = follower.ping(1000).unwrap();
        follower.handle(Event::Pong { session: 1, id: ping, head: 12 });
        follower.hello(10, None);
        follower.handle(Event::Resume { session: 2, hello: 2, epoch: EPOCH, fork_seq: 0, walk: false });
        let ping = follower.ping(2000).unwrap();
        follower.handle(Event::Pong { session: 2, id: ping, head: 10 });
        assert_eq!((follower.fresh_as_of(), follower.lag()), (Some(2000), 0));
    }

    #[test]
    fn steady_writes_do_not_keep_freshness_away() {
        let mut follower = followed_from(10);
        for step in 0..5 {
            let id = follower.ping(step * 100).unwrap();
            follower.handle(Event::Pong { session: 1, id, head: 12 + step });
            if step > 0 {
                follower.handle(batch(9 + step, 11 + step)); // always one behind the newest pong
            }
        }
        assert!(follower.fresh_as_of().is_some());
    }
}
