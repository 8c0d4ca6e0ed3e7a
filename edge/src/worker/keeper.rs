//! Which turns of a worker are kept as traces, and what is noted of each. A fast hit never comes here.

use super::{TICK, Worker};
use crate::traces::{Cause, Hop, KeepReason, KeptTrace, TraceIds, TraceparentUse, Traces, TurnEvent};
use exposition::TraceContext;
use hot::{Outcome, Source, TurnMarks, Turns};
use quanta::Instant;
use std::cmp::Reverse;
use std::time::Duration;

pub mod requests;

/// Traces that a worker keeps at once, and in each second.
const AT_ONCE: u32 = 20;
const TICKS_A_SECOND: u32 = 10;
const EACH_TICK: u32 = AT_ONCE / TICKS_A_SECOND;
/// Of these, so many are for turns with a trouble alone.
const RESERVED: u32 = 10;
/// A tick that comes so much too late says that the worker did not run.
const LATE: Duration = Duration::from_millis(20);
/// Turns that go along with a trace: those that ended in the last tenth of a second before it began, or later.
const BEFORE: Duration = Duration::from_millis(100);
const EVENTS: usize = 128;

/// See the module.
pub struct TraceKeeper {
    tokens: u32,
    /// Since the last one that was kept for this reason.
    passed_over: [u64; KeepReason::ALL.len()],
    random: u64,
    /// Ticks until a turn is picked, whatever it is.
    pick_in: u32,
    /// The next turn is kept for this reason, unless it has one of its own.
    armed: Option<KeepReason>,
    turns_at_pick: u64,
    turns: u64,
    last_tick: Option<Instant>,
    /// Somebody watches every turn.
    watched: bool,
    slow_ns: u64,
    /// For the next tick to hand over.
    kept: Vec<KeptTrace>,
}

/// A turn that has to be looked at.
pub struct EndedTurn<'a> {
    pub began: Instant,
    pub ns: u64,
    pub answers: u64,
    pub marks: TurnMarks,
    /// The requests that were answered.
    pub input: &'a [u8],
    /// The answers.
    pub out: &'a [u8],
    /// Whom a miss asked; it is the last of the requests then, and the only answer.
    pub trail: Option<&'a Trail>,
    /// What its peer says of traces counts.
    pub trusted: bool,
}

/// The trace of a miss, while it asks.
pub struct Trail {
    pub ids: TraceIds,
    pub parent: Option<Parent>,
    pub hops: Vec<Hop>,
}

/// What a trusted peer says of the trace.
pub struct Parent {
    pub context: TraceContext,
    pub state: Option<String>,
}

/// Slower than this, a tier below memory is worth a look however slow others are.
const SLOW_HOP: Duration = Duration::from_millis(100);

impl Trail {
    /// What the hops say of the turn.
    pub fn marks(&self) -> TurnMarks {
        let slow = |hop: &Hop| hop.ns >= SLOW_HOP.as_nanos() as u64 || hop.outcome == Hop::SILENT;
        let slow = if self.hops.iter().any(slow) { TurnMarks::SLOW_TIER } else { TurnMarks::default() };
        TurnMarks::ASKED.and(slow)
    }
}

impl TraceKeeper {
    pub fn new() -> Self {
        let seed = getrandom::u64().unwrap_or_else(|_| crate::sys::boottime_ms());
        let slow_ns = crate::traces::LEAST_SLOW_NS;
        Self {
            tokens: AT_ONCE,
            passed_over: [0; KeepReason::ALL.len()],
            random: seed,
            pick_in: TICKS_A_SECOND,
            armed: None,
            turns_at_pick: 0,
            turns: 0,
            last_tick: None,
            watched: false,
            slow_ns,
            kept: Vec::new(),
        }
    }

    /// Ids for a span, in this trace or a new one. None is zero, and nobody has to be unable to guess them.
    pub fn ids(&mut self, of: Option<[u8; 16]>) -> TraceIds {
        let trace = of.unwrap_or_else(|| {
            let (high, low) = (self.draw(), self.draw());
            (u128::from(high) << 64 | u128::from(low)).to_be_bytes()
        });
        TraceIds { trace, span: self.span() }
    }

    /// An id for a span.
    pub fn span(&mut self) -> [u8; 8] {
        self.draw().to_be_bytes()
    }

    /// SplitMix64 (Steele, Lea, Flood 2014), without its zero.
    fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ self.random >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31).max(1)
    }

    /// `watched`: somebody wants to see every turn.
    pub fn tick(&mut self, now: Instant, turns: &mut Turns<Instant>, traces: &Traces, watched: bool) {
        let late = self.last_tick.map_or(Duration::ZERO, |last| now.saturating_duration_since(last));
        let late = late.saturating_sub(TICK);
        if late >= LATE {
            turns.end(now - late, late.as_nanos() as u64, TurnMarks::LATE);
            self.armed = Some(KeepReason::Late);
        }
        self.last_tick = Some(now);
        self.tokens = (self.tokens + EACH_TICK).min(AT_ONCE);
        self.pick_in -= 1;
        if self.pick_in == 0 {
            // Once in each second, at a tick that nobody can know.
            self.pick_in = TICKS_A_SECOND / 2 + (self.draw() % u64::from(TICKS_A_SECOND + 1)) as u32;
            self.armed.get_or_insert(KeepReason::Random);
        }
        self.slow_ns = traces.slow_ns();
        self.turns = turns.ended();
        self.watched = watched;
        turns.look_at(self.look_ns());
        traces.take(&mut self.kept);
    }

    /// There is no other tick.
    pub fn hand_over_last(&mut self, traces: &Traces) {
        traces.take_last(&mut self.kept);
    }

    /// From how many nanoseconds on turns have to be looked at.
    fn look_ns(&self) -> u64 {
        if self.watched || self.armed.is_some() { 0 } else { self.slow_ns }
    }

    /// For so long the worker's tick is overdue.
    fn overdue(&self, now: Instant) -> Option<Duration> {
        let late = now.saturating_duration_since(self.last_tick?).saturating_sub(TICK);
        (late >= LATE).then_some(late)
    }

    /// Whether this turn is kept, why, and for how many it stands.
    fn judge(
        &mut self,
        ns: u64,
        marks: TurnMarks,
        asked: bool,
        traces: &Traces,
    ) -> Option<(KeepReason, u64)> {
        let reason = if marks.has(TurnMarks::of(Outcome::Unavailable)) {
            KeepReason::Unavailable
        } else if marks.has(TurnMarks::SLOW_TIER) {
            KeepReason::SlowTier
        } else if ns >= self.slow_ns {
            KeepReason::Slow
        } else if asked {
            KeepReason::Asked
        } else if marks.has(TurnMarks::of(Outcome::Refused)) {
            KeepReason::Refused
        } else {
            self.armed.take()?
        };
        let least = if reason.is_trouble() { 1 } else { RESERVED + 1 };
        let passed_over = &mut self.passed_over[reason as usize];
        if self.tokens < least {
            *passed_over += 1;
            traces.counts.passed_over(reason);
            return None;
        }
        self.tokens -= 1;
        traces.counts.kept(reason);
        let weight = match reason {
            KeepReason::Random => self.turns - std::mem::replace(&mut self.turns_at_pick, self.turns),
            _ => 1 + std::mem::take(passed_over),
        };
        Some((reason, weight.max(1)))
    }
}

impl Worker {
    /// Keeps a turn, or does not.
    #[cold]
    #[inline(never)]
    pub(super) fn look_at(&self, turn: &EndedTurn<'_>) {
        if self.tailing.borrow().is_on() {
            self.show(turn);
        }
        let traces = &self.shared.traces;
        let found = match turn.trail {
            Some(_) => None,
            None => self.parent(turn.marks, turn.input, turn.trusted),
        };
        let parent = turn.trail.map_or(found.as_ref(), |trail| trail.parent.as_ref());
        let asked = parent.is_some_and(|parent| parent.context.sampled);
        let mut keeper = self.timing.keeper.borrow_mut();
        let kept = keeper.judge(turn.ns, turn.marks, asked, traces);
        self.timing.look_at(keeper.look_ns());
        let Some((reason, weight)) = kept else { return };
        let overdue = keeper.overdue(self.timing.now()).is_some();
        let ids = match turn.trail {
            Some(trail) => trail.ids,
            None => keeper.ids(parent.map(|parent| parent.context.trace)),
        };
        let Surroundings { before, left_out, served_others, stopped } = self.around(turn);
        let hops = turn.trail.map_or_else(Vec::new, |trail| trail.hops.clone());
        // What just did not answer is not waited for again: the shortest hop is then the one that matters.
        let at_fault =
            hops.iter().find(|hop| reason == KeepReason::Unavailable && hop.tier == Source::Origin);
        let cause = match at_fault.or_else(|| hops.iter().max_by_key(|hop| hop.ns)) {
            Some(hop) => hop.cause(),
            None if stopped || overdue => Cause::Stopped,
            None if served_others => Cause::Client,
            None => Cause::Worker,
        };
        keeper.kept.push(KeptTrace {
            ids,
            parent: parent.map(|parent| parent.context.span),
            state: parent.and_then(|parent| parent.state.clone()),
            reason,
            weight,
            worker: self.index,
            began_unix_ns: self.timing.clock.borrow().unix_ns(turn.began),
            ns: turn.ns,
            answers: turn.answers,
            marks: turn.marks,
            request: requests::told_by(turn.input, turn.out, turn.trail.is_some()),
            cause,
            hops,
            before,
            left_out,
        });
    }

    /// What else the worker did: of more than go along, the longest.
    fn around(&self, turn: &EndedTurn<'_>) -> Surroundings {
        let clock = self.timing.clock.borrow();
        let began = clock.unix_ns(turn.began);
        let event = |other: &hot::Turn<Instant>| TurnEvent {
            began_unix_ns: clock.unix_ns(other.began),
            ns: other.ns(),
            marks: other.marks(),
        };
        let from = began.saturating_sub(BEFORE.as_nanos() as u64);
        let mut before: Vec<TurnEvent> = self.timing.with_turns(|turns| {
            // The newest is the turn itself. They stand in the order of their ends.
            let others = turns.newest().skip(1).map(event);
            others.take_while(|other| other.began_unix_ns + other.ns >= from).collect()
        });
        let within = |other: &&TurnEvent| other.began_unix_ns > began;
        let stopped = before.iter().filter(within).any(TurnEvent::is_late);
        let served_others = before.iter().filter(within).any(|other| !other.is_late());
        let left_out = before.len().saturating_sub(EVENTS);
        if left_out > 0 {
            before.sort_by_key(|other| Reverse(other.ns));
            before.truncate(EVENTS);
        }
        before.sort_by_key(|other| other.began_unix_ns);
        Surroundings { before, left_out, served_others, stopped }
    }

    /// Whose trace these requests say that they belong to, if what they say counts: the first that wants it kept, or else the
    /// first.
    pub(super) fn parent(&self, marks: TurnMarks, input: &[u8], trusted: bool) -> Option<Parent> {
        if !marks.has(TurnMarks::TRACED) {
            return None;
        }
        let counts = &self.shared.traces.counts;
        if !trusted {
            counts.met_parent(TraceparentUse::Untrusted);
            return None;
        }
        let mut first = None;
        for said in requests::parents(input) {
            match said {
                None => counts.met_parent(TraceparentUse::Illegal),
                Some(parent) => {
                    counts.met_parent(TraceparentUse::Taken);
                    if first
                        .as_ref()
                        .is_none_or(|first: &Parent| parent.context.sampled && !first.context.sampled)
                    {
                        first = Some(parent);
                    }
                }
            }
        }
        first
    }

    /// Begins the trace of a miss.
    pub(super) fn trail(&self, marks: TurnMarks, input: &[u8], trusted: bool) -> Box<Trail> {
        let parent = self.parent(marks, input, trusted);
        let ids = self.timing.keeper.borrow_mut().ids(parent.as_ref().map(|parent| parent.context.trace));
        Box::new(Trail { ids, parent, hops: Vec::new() })
    }
}

/// A question to a tier, under way.
#[derive(Clone, Copy)]
pub struct OpenHop {
    /// Its span.
    pub ids: TraceIds,
    began: Instant,
}

impl Worker {
    /// Begins a question to a tier.
    pub(super) fn hop(&self, trail: &Trail) -> OpenHop {
        let span = self.timing.keeper.borrow_mut().span();
        OpenHop { ids: TraceIds { trace: trail.ids.trace, span }, began: self.timing.now() }
    }

    /// Ends it. `asked_in`: the span under which control was asked.
    pub(super) fn hopped(
        &self,
        trail: &mut Trail,
        hop: OpenHop,
        tier: Source,
        outcome: &'static str,
        asked_in: Option<TraceIds>,
    ) {
        let ns = self.timing.now().saturating_duration_since(hop.began).as_nanos() as u64; // 584 years
        let began_unix_ns = self.timing.clock.borrow().unix_ns(hop.began);
        let joined = asked_in.filter(|asked_in| *asked_in != hop.ids);
        trail.hops.push(Hop { tier, span: hop.ids.span, began_unix_ns, ns, outcome, joined });
    }
}

struct Surroundings {
    before: Vec<TurnEvent>,
    left_out: usize,
    /// A turn of another connection began meanwhile.
    served_others: bool,
    /// The worker did not run for a part of the time.
    stopped: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOW: u64 = crate::traces::LEAST_SLOW_NS;

    fn redirect() -> TurnMarks {
        TurnMarks::of(Outcome::Redirect)
    }

    #[test]
    fn a_bucket_bounds_what_is_kept_and_the_next_one_stands_for_what_was_passed_over() {
        let (mut keeper, traces) = (TraceKeeper::new(), Traces::default());
        let mut turns = Turns::new(Instant::now());
        let judge = |keeper: &mut TraceKeeper| keeper.judge(SLOW, redirect(), false, &traces);
        for _ in 0..AT_ONCE {
            assert_eq!(judge(&mut keeper), Some((KeepReason::Slow, 1)));
        }
        for _ in 0..7 {
            assert_eq!(judge(&mut keeper), None);
        }
        keeper.tick(Instant::now(), &mut turns, &traces, false);
        assert_eq!(judge(&mut keeper), Some((KeepReason::Slow, 8)));
        assert_eq!(traces.counts.of(KeepReason::Slow), (u64::from(AT_ONCE) + 1, 7));
    }

    #[test]
    fn hostile_requests_leave_room_for_slow_ones() {
        let (mut keeper, traces) = (TraceKeeper::new(), Traces::default());
        let refused = TurnMarks::of(Outcome::Refused);
        let kept = (0..1_000).filter(|_| keeper.judge(1, refused, false, &traces).is_some()).count();
        assert_eq!(kept as u32, AT_ONCE - RESERVED);
        assert_eq!(keeper.judge(1, redirect(), true, &traces), None, "asked for by a peer");
        assert_eq!(keeper.judge(SLOW, refused, false, &traces), Some((KeepReason::Slow, 1)));
    }

    #[test]
    fn the_worst_reason_counts_and_a_fast_turn_has_none() {
        let (mut keeper, traces) = (TraceKeeper::new(), Traces::default());
        let unavailable = TurnMarks::of(Outcome::Unavailable).and(TurnMarks::SLOW_TIER);
        for (ns, marks, asked, reason) in [
            (1, unavailable, true, Some(KeepReason::Unavailable)),
            (SLOW, TurnMarks::SLOW_TIER.and(redirect()), true, Some(KeepReason::SlowTier)),
            (SLOW, redirect(), true, Some(KeepReason::Slow)),
            (SLOW - 1, redirect(), true, Some(KeepReason::Asked)),
            (SLOW - 1, redirect().and(TurnMarks::TRACED), false, None),
            (1, redirect(), false, None),
        ] {
            assert_eq!(keeper.judge(ns, marks, asked, &traces).map(|kept| kept.0), reason);
        }
    }

    #[test]
    fn one_a_second_is_kept_whatever_it_is_and_stands_for_all_of_its_second() {
        let (mut keeper, traces) = (TraceKeeper::new(), Traces::default());
        let (mut turns, mut now) = (Turns::new(Instant::now()), Instant::now());
        let (mut kept, mut stands_for) = (0, 0);
        for _ in 0..1_000 {
            now += TICK;
            for _ in 0..50 {
                if turns.end(now, 10, redirect())
                    && let Some((reason, weight)) = keeper.judge(10, redirect(), false, &traces)
                {
                    assert_eq!(reason, KeepReason::Random);
                    (kept, stands_for) = (kept + 1, stands_for + weight);
                    turns.look_at(keeper.look_ns());
                }
            }
            keeper.tick(now, &mut turns, &traces, false);
        }
        assert!((80..=125).contains(&kept), "{kept} in 100 s");
        assert!((48_000..=50_000).contains(&stands_for), "{stands_for} of 50,000 turns");
    }

    #[test]
    fn a_worker_that_did_not_run_is_noted_and_its_next_turn_is_kept() {
        let (mut keeper, traces) = (TraceKeeper::new(), Traces::default());
        let (mut turns, now) = (Turns::new(Instant::now()), Instant::now());
        keeper.tick(now, &mut turns, &traces, false);
        keeper.tick(now + TICK, &mut turns, &traces, false);
        assert_eq!(keeper.overdue(now + 2 * TICK + LATE / 2), None);
        assert_eq!(keeper.overdue(now + 2 * TICK + LATE), Some(LATE));
        keeper.tick(now + 5 * TICK, &mut turns, &traces, false);
        let late = *turns.newest().next().unwrap();
        assert_eq!((late.began, late.ns()), (now + 2 * TICK, 3 * TICK.as_nanos() as u64));
        assert!(late.marks().has(TurnMarks::LATE));
        assert!(turns.end(now, 1, redirect()), "whatever it is");
        assert_eq!(keeper.judge(1, redirect(), false, &traces), Some((KeepReason::Late, 1)));
    }

    #[test]
    fn ids_are_never_zero_and_belong_to_the_trace_that_is_asked_for() {
        let mut keeper = TraceKeeper::new();
        let (one, other) = (keeper.ids(None), keeper.ids(Some([7; 16])));
        assert!(one.trace != [0; 16] && one.span != [0; 8] && one.span != other.span);
        assert_eq!(other.trace, [7; 16]);
    }
}
