//! The whole hot path on one screen: request bytes in, response bytes out.

use crate::head::{Head, Method, Parsed, parse};
use crate::limits::{MAX_REQUESTS_PER_CONNECTION, MAX_REQUESTS_PER_TURN};
use crate::response::{self, Extra, Stamp};
use crate::{Absence, Counts, Found, Outcome, Set};
use link::{Answer, Ask, DomainId, Key, is_code, is_reserved, redirect};

/// What the answers of one turn have in common.
pub struct Turn<'a> {
    /// Where links are.
    pub set: &'a Set,
    /// Unix milliseconds.
    pub now: i64,
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
    reply: Reply,
}

/// How to answer a request once its link is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    query: Option<Vec<u8>>,
    request_id: Option<Vec<u8>>,
    head_only: bool,
    close: bool,
}

/// Answers every whole request at the start of `input`, in order, up to a turn's worth. Returns the bytes taken.
pub fn answer(
    conversation: &mut Conversation,
    input: &[u8],
    out: &mut Vec<u8>,
    turn: &mut Turn<'_>,
) -> (usize, Step) {
    let mut taken = 0;
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
        if let Some(miss) = answer_one(&head, close, out, turn) {
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
fn answer_one(head: &Head<'_>, close: bool, out: &mut Vec<u8>, turn: &mut Turn<'_>) -> Option<Box<Miss>> {
    let extra = Extra { head_only: head.method == Method::Head, close, request_id: head.request_id };
    if !matches!(head.method, Method::Get | Method::Head) || !is_code(head.path) || is_reserved(head.path) {
        answer_without_link(head, out, turn, &extra);
        return None;
    }
    let mut buffer = [0; Key::MAX_LEN];
    let key = write_key(&mut buffer, DomainId::DEFAULT, head.path);
    let (now, stamp) = (turn.now, turn.stamp);
    let outcome = turn.set.look_up(key, |found| write_found(found, head.query, out, now, stamp, &extra));
    match outcome {
        Some(outcome) => turn.counts.add(outcome),
        None => {
            return Key::from_bytes(key)
                .ok()
                .map(|key| Box::new(Miss { key, reply: Reply::to(head, close) }));
        }
    }
    None
}

/// The key's bytes on the stack: domain id, then the code.
fn write_key<'a>(buffer: &'a mut [u8; Key::MAX_LEN], domain: DomainId, code: &[u8]) -> &'a [u8] {
    let length = 4 + code.len(); // a code is at most 128 bytes
    buffer[..4].copy_from_slice(&domain.0.to_be_bytes());
    buffer[4..length].copy_from_slice(code);
    &buffer[..length]
}

/// Writes what was found; `None` when somebody else has to be asked.
#[inline]
fn write_found(
    found: Found<'_>,
    query: Option<&[u8]>,
    out: &mut Vec<u8>,
    now: i64,
    stamp: &Stamp,
    extra: &Extra<'_>,
) -> Option<Outcome> {
    let answer = match found {
        Found::Live(link) => redirect(&link, Ask { query }, now),
        Found::Deleted => Answer::Gone,
        Found::Absent(Absence::Certain) => Answer::NotYet,
        Found::Absent(Absence::Unknown) => return None,
        Found::Quarantined => {
            response::write_unavailable(out, stamp, extra);
            return Some(Outcome::Unavailable);
        }
    };
    Some(match answer {
        Answer::To(to) => {
            response::write_redirect(out, &to, stamp, extra);
            Outcome::Redirect
        }
        Answer::Gone => {
            response::write_gone(out, stamp, extra);
            Outcome::Gone
        }
        Answer::NotYet => {
            response::write_not_found(out, stamp, extra);
            Outcome::NotFound
        }
    })
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
            response::write_not_found(out, turn.stamp, extra);
            Outcome::NotFound
        }
    };
    turn.counts.add(outcome);
}

/// Answers a miss with what a tier said; `None` when nobody could say. Then what is still in memory from before a
/// reset is better than nothing (class `normal`).
pub fn finish(miss: &Miss, found: Option<Found<'_>>, out: &mut Vec<u8>, turn: &mut Turn<'_>) -> Step {
    let reply = &miss.reply;
    let extra =
        Extra { head_only: reply.head_only, close: reply.close, request_id: reply.request_id.as_deref() };
    let (now, stamp, query) = (turn.now, turn.stamp, reply.query.as_deref());
    let written = match found {
        Some(found) => write_found(found, query, out, now, stamp, &extra),
        None => turn.set.look_up_unconfirmed(miss.key.as_bytes(), |found| {
            write_found(found, query, out, now, stamp, &extra)
        }),
    };
    turn.counts.add(written.unwrap_or_else(|| {
        response::write_unavailable(out, stamp, &extra);
        Outcome::Unavailable
    }));
    if reply.close { Step::Close { linger: true } } else { Step::Wait }
}

/// The answer to a head that did not arrive in time.
pub fn time_out(out: &mut Vec<u8>, turn: &mut Turn<'_>) {
    turn.counts.add(Outcome::TimedOut);
    response::write_timeout(out, turn.stamp);
}

impl Reply {
    fn to(head: &Head<'_>, close: bool) -> Self {
        Self {
            query: head.query.map(<[u8]>::to_vec),
            request_id: head.request_id.map(<[u8]>::to_vec),
            head_only: head.method == Method::Head,
            close,
        }
    }
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
