//! The whole hot path on one screen: request bytes in, response bytes out.

use crate::head::{Head, Method, Parsed, parse};
use crate::limits::{MAX_REQUESTS_PER_CONNECTION, MAX_REQUESTS_PER_TURN};
use crate::miss::{Judgement, Policy, Source, judge, last_resort};
use crate::response::{self, Debug, Extra, Stamp};
use crate::{Absence, Counts, Found, Freshness, Held, Outcome, Set, Tier, Told};
use link::rule::{Rule, off};
use link::{Answer, Ask, DomainId, Key, Position, Seq, is_code, is_reserved, redirect};

/// What the answers of one turn have in common.
pub struct Turn<'a> {
    /// Where links are.
    pub set: &'a Set,
    /// Unix milliseconds.
    pub now: i64,
    /// Milliseconds of the clock that freshness is told by, read after the bytes of this turn were here.
    pub boot_ms: u64,
    /// What a cut-off edge may do.
    pub policy: Policy,
    /// Whether the client may ask where an answer came from.
    pub debug: bool,
    /// The parts of a response that change with the second.
    pub stamp: &'a Stamp,
    /// Counts what the requests came to.
    pub counts: &'a mut Counts,
}

/// One connection, between its turns.
#[derive(Debug, Default)]
pub struct Conversation {
    served: u32,
    /// Set to end the connection with the next answer.
    pub draining: bool,
}

/// What a connection does next. Whatever was written goes out first.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Wait for more bytes.
    Wait,
    /// There is more to answer, but others come first.
    Yield,
    /// This key has to be asked for elsewhere; then [`finish`].
    Miss(Box<Miss>),
    /// Close. `linger`: the client may still be sending, and a plain close would reset the connection and lose the
    /// answer (RFC 9112, section 9.6); shut down the write side first and read what comes.
    Close {
        /// See above.
        linger: bool,
    },
}

/// A request whose answer is not known here.
#[derive(Debug, PartialEq, Eq)]
pub struct Miss {
    /// What to ask for.
    pub key: Key,
    token: Token,
    reply: Reply,
}

impl Miss {
    /// The answer must be current at this seq or later (`X-Linkr-Min-Revision`); 0: at any.
    pub fn token(&self) -> Seq {
        if let Token::Own(seq) = self.token { seq } else { 0 }
    }

    /// Whether only control can answer: the client has met a history that this edge does not follow, and a copy may
    /// be as old as the edge.
    pub fn needs_origin(&self) -> bool {
        matches!(self.token, Token::Foreign)
    }
}

/// How to answer a request once its link is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    query: Option<Vec<u8>>,
    request_id: Option<Vec<u8>>,
    head_only: bool,
    close: bool,
    debug: bool,
}

/// Answers every whole request at the start of `input`, in order, up to a turn's worth. Returns the bytes taken.
pub fn answer(
    conversation: &mut Conversation,
    input: &[u8],
    out: &mut Vec<u8>,
    turn: &mut Turn<'_>,
) -> (usize, Step) {
    let mut taken = 0;
    // Before any look-up of this turn: see `Set::freshness`.
    let freshness = turn.set.freshness(turn.boot_ms);
    turn.counts.tier = if freshness.is_blind() { Tier::Stale } else { Tier::Hot };
    for _ in 0..MAX_REQUESTS_PER_TURN {
        let (head, length) = match parse(&input[taken..]) {
            Parsed::Incomplete => return (taken, Step::Wait),
            Parsed::Refused(refusal) => {
                turn.counts.add(Outcome::Refused);
                response::write_refusal(out, refusal, turn.stamp);
                return (input.len(), Step::Close { linger: true });
            }
            Parsed::Head(head, length) => (head, length),
        };
        taken += length;
        conversation.served += 1;
        let close = head.close || conversation.draining || conversation.served >= MAX_REQUESTS_PER_CONNECTION;
        if let Some(miss) = answer_one(&head, close, freshness, out, turn) {
            return (taken, Step::Miss(miss));
        }
        if close {
            // A client that said so itself sends nothing more.
            return (taken, Step::Close { linger: !head.close || taken < input.len() });
        }
    }
    (taken, Step::Yield)
}

/// Answers one request, or says what has to be asked for.
#[inline]
fn answer_one(
    head: &Head<'_>,
    close: bool,
    freshness: Freshness,
    out: &mut Vec<u8>,
    turn: &mut Turn<'_>,
) -> Option<Box<Miss>> {
    let (head_only, debug) = (head.method == Method::Head, head.debug && turn.debug);
    let mut extra = Extra { head_only, close, request_id: head.request_id, debug: None };
    if !matches!(head.method, Method::Get | Method::Head) || !is_code(head.path) || is_reserved(head.path) {
        answer_without_link(head, out, turn, &extra);
        return None;
    }
    let mut buffer = [0; Key::MAX_LEN];
    let key = write_key(&mut buffer, DomainId::DEFAULT, head.path);
    let token = head.min_revision.map_or(Token::None, |text| Token::read(text, turn.set));
    let (set, now, stamp, policy) = (turn.set, turn.now, turn.stamp, turn.policy);
    let outcome = set.look_up(key, |held| {
        let judgement =
            if token.allows(&held, set) { judge(&held, freshness, policy) } else { Judgement::Ask };
        if debug {
            extra.debug = Some(described(judgement, &held, freshness, set));
        }
        let page = Page { query: head.query, now, stamp, extra: &extra };
        (judgement != Judgement::Ask).then(|| page.write(held.found, judgement == Judgement::Stale, out))
    });
    match outcome {
        Some(outcome) => turn.counts.add(outcome),
        None => {
            let reply = Reply::to(head, close, debug);
            return Key::from_bytes(key).ok().map(|key| Box::new(Miss { key, token, reply }));
        }
    }
    None
}

/// R11: what the client has seen already, and no answer may be older than.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    None,
    /// A seq of the history that this edge follows.
    Own(Seq),
    /// Of another one: only who knows the newest history can say.
    Foreign,
    /// Nothing that we gave out. It is asked about, and memory is the last resort.
    Unreadable,
}

impl Token {
    #[cold]
    fn read(text: &[u8], set: &Set) -> Self {
        if off(Rule::Token) {
            return Self::None;
        }
        match std::str::from_utf8(text).ok().and_then(Position::parse_revision) {
            Some((epoch, seq)) if set.epoch() == Some(epoch) => Self::Own(seq),
            Some(_) => Self::Foreign,
            None => Self::Unreadable,
        }
    }

    fn allows(self, held: &Held<'_>, set: &Set) -> bool {
        match self {
            Self::None => true,
            // What is unconfirmed may be of another history, and the stream need not have kept it up.
            Self::Own(seq) => held.confirmed && (held.as_of >= seq || set.applied() >= seq),
            Self::Foreign | Self::Unreadable => false,
        }
    }
}

#[cold]
fn described(judgement: Judgement, held: &Held<'_>, freshness: Freshness, set: &Set) -> Debug {
    let tier = if judgement == Judgement::Fresh { Tier::Hot } else { Tier::Stale };
    let revision = set.epoch().filter(|_| held.version > 0).map(|epoch| (epoch, held.version));
    Debug { tier, revision, staleness_ms: freshness.stale_ms() }
}

/// The key's bytes on the stack: domain id, then the code.
fn write_key<'a>(buffer: &'a mut [u8; Key::MAX_LEN], domain: DomainId, code: &[u8]) -> &'a [u8] {
    let length = 4 + code.len(); // a code is at most 128 bytes
    buffer[..4].copy_from_slice(&domain.0.to_be_bytes());
    buffer[4..length].copy_from_slice(code);
    &buffer[..length]
}

/// What an answer from a link is written with.
struct Page<'a> {
    query: Option<&'a [u8]>,
    now: i64,
    stamp: &'a Stamp,
    extra: &'a Extra<'a>,
}

impl Page<'_> {
    #[inline]
    fn write(&self, found: Found<'_>, stale: bool, out: &mut Vec<u8>) -> Outcome {
        let answer = match found {
            Found::Live(link) => redirect(&link, Ask { query: self.query }, self.now),
            Found::Deleted => Answer::Gone,
            Found::Absent(Absence::Certain) => Answer::NotYet,
            Found::Quarantined | Found::Absent(Absence::Unknown) => return self.write_unavailable(out),
        };
        match answer {
            Answer::To(to) => {
                response::write_redirect(out, &to, self.stamp, self.extra);
                Outcome::Redirect
            }
            Answer::Gone => {
                response::write_gone(out, self.stamp, self.extra);
                Outcome::Gone
            }
            Answer::NotYet => {
                response::write_not_found(out, stale, self.stamp, self.extra);
                Outcome::NotFound
            }
        }
    }

    #[cold]
    fn write_unavailable(&self, out: &mut Vec<u8>) -> Outcome {
        response::write_unavailable(out, self.stamp, self.extra);
        Outcome::Unavailable
    }
}

/// Other methods, paths that the edge answers itself, and paths that cannot be codes.
#[cold]
fn answer_without_link(head: &Head<'_>, out: &mut Vec<u8>, turn: &mut Turn<'_>, extra: &Extra<'_>) {
    let outcome = match head.method {
        Method::Options => {
            response::write_options(out, turn.stamp, extra);
            Outcome::Method
        }
        Method::Other => {
            response::write_method_not_allowed(out, turn.stamp, extra);
            Outcome::Method
        }
        Method::Get | Method::Head if is_reserved(head.path) => {
            response::write_reserved(out, head.path, turn.stamp, extra);
            Outcome::Reserved
        }
        Method::Get | Method::Head => {
            response::write_not_found(out, false, turn.stamp, extra);
            Outcome::NotFound
        }
    };
    turn.counts.add(outcome);
}

/// What a miss came to, as far as others were asked.
#[derive(Clone, Copy, Debug)]
pub enum Asked<'a> {
    /// This source answered, and the set took it or knows the same: it was current when it was asked for.
    Told(Source, &'a Told<'a>),
    /// Nobody answered in time. What memory holds may still be better than nothing.
    Nobody,
}

/// Answers a miss.
pub fn finish(miss: &Miss, asked: Asked<'_>, out: &mut Vec<u8>, turn: &mut Turn<'_>) -> Step {
    let reply = &miss.reply;
    let freshness = turn.set.freshness(turn.boot_ms);
    let mut extra = Extra {
        head_only: reply.head_only,
        close: reply.close,
        request_id: reply.request_id.as_deref(),
        debug: None,
    };
    let (now, stamp, query) = (turn.now, turn.stamp, reply.query.as_deref());
    let outcome = match asked {
        Asked::Told(source, told) => {
            turn.counts.tier = source.tier();
            let found = told.value.map_or(Found::Absent(Absence::Certain), |value| value.found());
            let revision = told.value.map(|_| (told.epoch, told.version));
            extra.debug =
                reply.debug.then_some(Debug { tier: source.tier(), revision, staleness_ms: Some(0) });
            Page { query, now, stamp, extra: &extra }.write(found, false, out)
        }
        // The set may know by now what it did not when it was asked.
        Asked::Nobody => {
            let (set, policy) = (turn.set, turn.policy);
            let (outcome, tier) = set.look_up(miss.key.as_bytes(), |held| {
                let known = miss.token == Token::Unreadable || miss.token.allows(&held, set);
                let judgement = if known { last_resort(&held, freshness, policy) } else { Judgement::Ask };
                let tier = match judgement {
                    Judgement::Fresh => Tier::Hot,
                    Judgement::Stale => Tier::Stale,
                    Judgement::Ask => Tier::Origin,
                };
                extra.debug =
                    reply.debug.then(|| Debug { tier, ..described(judgement, &held, freshness, set) });
                let page = Page { query, now, stamp, extra: &extra };
                let outcome = match judgement {
                    Judgement::Ask => page.write_unavailable(out),
                    _ => page.write(held.found, judgement == Judgement::Stale, out),
                };
                (outcome, tier)
            });
            turn.counts.tier = tier;
            outcome
        }
    };
    turn.counts.add(outcome);
    if reply.close { Step::Close { linger: true } } else { Step::Wait }
}

/// The answer to a head that did not arrive in time.
pub fn time_out(out: &mut Vec<u8>, turn: &mut Turn<'_>) {
    turn.counts.add(Outcome::TimedOut);
    response::write_timeout(out, turn.stamp);
}

impl Reply {
    fn to(head: &Head<'_>, close: bool, debug: bool) -> Self {
        Self {
            query: head.query.map(<[u8]>::to_vec),
            request_id: head.request_id.map(<[u8]>::to_vec),
            head_only: head.method == Method::Head,
            close,
            debug,
        }
    }
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
