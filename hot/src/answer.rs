//! The whole hot path on one screen: request bytes in, response bytes out.

mod page;
mod pending;
mod token;

use crate::capture::{Capture, Redirected};
use crate::head::{Head, HeadNotes, HeadParse, Method, parse, parse_noting};
use crate::limits::{MAX_REQUESTS_PER_CONNECTION, MAX_REQUESTS_PER_TURN};
use crate::miss::{Judgement, Policy, Source, judge, last_resort};
use crate::response::{self, DebugFields, ResponseOptions, Stamp};
use crate::set::SlotView;
use crate::{
    Absence, Counts, EntryState, Freshness, HostMatch, Lookup, Outcome, Set, Site, Tier, TierReading, View,
};
use link::{Code, Key, LinkIdentity, Seq, Visit, is_reserved};
use page::RedirectContext;
use pending::PendingClick;
use token::Token;

pub use pending::PendingReply;

/// What every answer of one turn of a connection needs: the set, the clocks, the domains and the counts.
pub struct AnswerContext<'a> {
    /// Where links are.
    pub set: &'a Set,
    /// Unix milliseconds.
    pub now: i64,
    /// Milliseconds of the clock that freshness is told by, read after the bytes of this turn were here.
    pub boot_ms: u64,
    /// Whose they are.
    pub domains: &'a mut View,
    /// What a cut-off edge may do, in a domain that does not say it itself.
    pub policy: Policy,
    /// Whether the client may ask where an answer came from.
    pub debug: bool,
    /// The parts of a response that change with the second.
    pub stamp: &'a Stamp,
    /// Counts what the requests came to.
    pub counts: &'a mut Counts,
    /// Where clicks go; `None`: they are not noted.
    pub clicks: Option<Capture<'a>>,
}

/// One connection, between its turns.
#[derive(Debug, Default)]
pub struct Conversation {
    served: u32,
    /// Set to end the connection with the answer to the last request that is here whole.
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
    /// The table in which the request's host was looked for, if it names one: a later one may say another domain of it.
    placed_in: Option<u64>,
    origin_only: bool,
    reply: PendingReply,
}

impl Miss {
    /// The answer must be current at this seq or later (`X-Linkr-Min-Revision`); 0: at any.
    pub fn token(&self) -> Seq {
        if let Token::Own(seq) = self.token { seq } else { 0 }
    }

    /// Whether only control can answer: the client has met a history that this edge does not follow, and a copy may
    /// be as old as the edge; or a seq that this edge may not know all domains at.
    pub fn needs_origin(&self) -> bool {
        self.origin_only
    }
}

/// Answers every whole request at the start of `input`, in order, up to a turn's worth. Returns the bytes taken.
#[inline(never)]
pub fn answer(
    conversation: &mut Conversation,
    input: &[u8],
    out: &mut Vec<u8>,
    turn: &mut AnswerContext<'_>,
) -> (usize, Step) {
    // Compiled twice: without clicks nothing is paid for them.
    if turn.clicks.is_some() {
        answer_turn::<true>(conversation, input, out, turn)
    } else {
        answer_turn::<false>(conversation, input, out, turn)
    }
}

#[inline(always)]
fn answer_turn<const NOTING: bool>(
    conversation: &mut Conversation,
    input: &[u8],
    out: &mut Vec<u8>,
    turn: &mut AnswerContext<'_>,
) -> (usize, Step) {
    let mut taken = 0;
    // Before any look-up of this turn: see `Set::freshness`.
    let freshness = turn.set.freshness(turn.boot_ms);
    turn.domains.refresh();
    turn.counts.tier = if freshness.is_blind() { Tier::Stale } else { Tier::Hot };
    for _ in 0..MAX_REQUESTS_PER_TURN {
        let mut noted = HeadNotes::default();
        let parsed = if NOTING { parse_noting(&input[taken..], &mut noted) } else { parse(&input[taken..]) };
        let notes = if NOTING { &noted } else { &HeadNotes::NONE };
        let HeadParse::Head(head, length) = &parsed else {
            let HeadParse::Refused(refusal) = parsed else { return (taken, Step::Wait) };
            turn.counts.add(Outcome::Refused);
            response::write_refusal(out, refusal, turn.stamp);
            return (input.len(), Step::Close { linger: true });
        };
        taken += length;
        conversation.served += 1;
        let last = conversation.served >= MAX_REQUESTS_PER_CONNECTION
            || conversation.draining && is_last(&input[taken..]);
        if let Some(miss) = answer_one::<NOTING>(head, notes, last, freshness, out, turn) {
            return (taken, Step::Miss(miss));
        }
        if last || head.close {
            // A client that said so itself sends nothing more, but for content.
            let linger = !head.close || taken < input.len() || head.method.may_have_content();
            return (taken, Step::Close { linger });
        }
        if taken == input.len() {
            return (taken, Step::Wait);
        }
    }
    (taken, Step::Yield)
}

/// Whether a connection that drains ends with the request in front of `rest`. What is here whole is still answered: its
/// client sent it before it could know.
#[cold]
#[inline(never)]
fn is_last(rest: &[u8]) -> bool {
    matches!(parse(rest), HeadParse::Incomplete)
}

/// A request, and whose it is.
#[derive(Clone, Copy)]
struct Request<'a> {
    head: &'a Head<'a>,
    notes: &'a HeadNotes<'a>,
    /// The connection ends with it, whether the client said so or not.
    last: bool,
    site: &'a Site,
    /// Whose it is was told by its host.
    by_host: bool,
}

/// An answer that was written, and the link that it was made from, where clicks are noted.
struct Answered {
    outcome: Outcome,
    identity: LinkIdentity,
}

/// Answers one request, or says what has to be asked for.
#[inline(always)]
fn answer_one<const NOTING: bool>(
    head: &Head<'_>,
    notes: &HeadNotes<'_>,
    last: bool,
    freshness: Freshness,
    out: &mut Vec<u8>,
    turn: &mut AnswerContext<'_>,
) -> Option<Box<Miss>> {
    let (set, stamp, domains) = (turn.set, turn.stamp, &*turn.domains);
    let (site, by_host) = match domains.place(head.host) {
        HostMatch::Claimed(site) | HostMatch::Unclaimed(site) => (site, true),
        HostMatch::Hostless(site) => (site, false),
        HostMatch::Misdirected => {
            response::write_misdirected(out, stamp, &extra(head, last));
            turn.counts.add(Outcome::Refused);
            return None;
        }
    };
    let request = Request { head, notes, last, site, by_host };
    if site.unreadable || !head.code {
        return match request.answer_aside(freshness, out, turn) {
            Ok(Answered { outcome, identity }) => {
                turn.counts.add(outcome);
                if let Some(clicks) = &mut turn.clicks {
                    request.note(outcome, head.path, identity, turn.now, out.len(), clicks);
                }
                None
            }
            Err(miss) => miss,
        };
    }
    let (mut buffer, mut code) = (None, head.path);
    if site.rewrites {
        code = rewritten(site, buffer.insert([0; Code::MAX_LEN]), code);
    }
    let plain = head.plain && !last && !freshness.is_blind();
    let answered = set.look_up_code(
        site.id,
        code,
        #[inline(always)]
        |seen| {
            let identity = if NOTING { seen.identity() } else { LinkIdentity::default() };
            // Nearly every request for nearly every link: this is what the general way comes to.
            if plain && let Some(target) = seen.usual(set, head.query.is_some()) {
                response::write_usual_redirect(out, target, stamp);
                return Some(Answered { outcome: Outcome::Redirect, identity });
            }
            let outcome = request.answer(seen, freshness, out, turn)?;
            Some(Answered { outcome, identity })
        },
    );
    let Some(Answered { outcome, identity }) = answered else { return request.miss(code, turn) };
    turn.counts.add(outcome);
    if NOTING && let Some(clicks) = &mut turn.clicks {
        request.note(outcome, code, identity, turn.now, out.len(), clicks);
    }
    None
}

/// What any answer to it carries. `last`: the connection ends with it, whether the client said so or not.
fn extra<'a>(head: &Head<'a>, last: bool) -> ResponseOptions<'a> {
    let (head_only, close) = (head.method == Method::Head, last || head.close);
    let sends = head.method == Method::Send;
    ResponseOptions { head_only, close, sends, request_id: head.request_id, debug: None }
}

/// The key of a code in this domain.
fn key(site: &Site, code: &[u8]) -> Option<Key> {
    Key::from_bytes(&[&site.id.prefix(), code].concat()).ok()
}

impl Request<'_> {
    fn visit(&self) -> Visit<'_> {
        Visit { path: self.head.path, query: self.head.query }
    }

    /// Notes what it came to: a click, or a code that is none.
    #[inline(always)]
    fn note(
        &self,
        outcome: Outcome,
        code: &[u8],
        identity: LinkIdentity,
        at: i64,
        answer_end: usize,
        clicks: &mut Capture<'_>,
    ) {
        let (domain, head_only, notes) = (self.site.id, self.head.method == Method::Head, self.notes);
        let seen = Redirected { at, domain, identity, head_only, notes, answer_end };
        clicks.answered(outcome, code, seen);
    }

    fn token(&self, set: &Set) -> Token {
        self.head.min_revision.map_or(Token::None, |text| Token::read(text, set))
    }

    /// Whether the domain of this request is known at a seq.
    fn sure(&self, turn: &AnswerContext<'_>, seq: Seq) -> bool {
        !self.by_host || is_sure(turn.domains, turn.set, seq)
    }

    /// Answers from what is held; `None`: it may not be told.
    #[inline(never)]
    fn answer(
        self,
        seen: SlotView<'_>,
        freshness: Freshness,
        out: &mut Vec<u8>,
        turn: &AnswerContext<'_>,
    ) -> Option<Outcome> {
        turn.counts.meet(self.head);
        let (set, held, mut extra) = (turn.set, &seen.held(turn.set), extra(self.head, self.last));
        let token = self.token(set);
        let allowed = token == Token::None || token.allows(held, set, |seq| self.sure(turn, seq));
        let judgement =
            if allowed { judge(held, freshness, self.site.policy(turn.policy)) } else { Judgement::Ask };
        if self.head.debug && turn.debug {
            extra.debug = Some(described(judgement, held, freshness, set));
        }
        let page = RedirectContext {
            site: self.site,
            visit: self.visit(),
            now: turn.now,
            stamp: turn.stamp,
            extra: &extra,
        };
        (judgement != Judgement::Ask).then(|| page.write(held.found, judgement == Judgement::Stale, out))
    }

    #[cold]
    fn miss(self, code: &[u8], turn: &AnswerContext<'_>) -> Option<Box<Miss>> {
        turn.counts.meet(self.head);
        let token = self.token(turn.set);
        let origin_only = match token {
            Token::Own(seq) => !self.sure(turn, seq),
            Token::Foreign => true,
            Token::None | Token::Unreadable => false,
        };
        let placed_in = self.by_host.then(|| turn.domains.changes());
        let reply = PendingReply {
            path: (code != self.head.path).then(|| self.head.path.to_vec()),
            click: PendingClick::of(self.notes),
            ..PendingReply::to(self.head, self.last || self.head.close, self.head.debug && turn.debug)
        };
        let key = key(self.site, code)?;
        Some(Box::new(Miss { key, token, placed_in, origin_only, reply }))
    }

    /// What is no code as it stands: one with letters beyond ASCII or with an ending that its domain passes over, or no link
    /// at all. `Err`: as
    /// [`answer_one`] tells a miss.
    #[cold]
    #[inline(never)]
    fn answer_aside(
        self,
        freshness: Freshness,
        out: &mut Vec<u8>,
        turn: &AnswerContext<'_>,
    ) -> Result<Answered, Option<Box<Miss>>> {
        let mut buffer = [0; Code::MAX_LEN];
        let Some(code) = code_of(self.head, self.site, &mut buffer).filter(|_| !self.site.unreadable) else {
            let outcome = self.answer_without_link(out, turn);
            return Ok(Answered { outcome, identity: LinkIdentity::default() });
        };
        let answered = turn.set.look_up_code(self.site.id, code, |seen| {
            let outcome = self.answer(seen, freshness, out, turn)?;
            Some(Answered { outcome, identity: seen.identity() })
        });
        answered.ok_or_else(|| self.miss(code, turn))
    }

    /// Domains that cannot be read, other methods, `/`, paths that the edge answers itself, and paths that cannot be
    /// codes.
    fn answer_without_link(self, out: &mut Vec<u8>, turn: &AnswerContext<'_>) -> Outcome {
        turn.counts.meet(self.head);
        let (head, extra, stamp) = (self.head, &extra(self.head, self.last), turn.stamp);
        let page = RedirectContext { site: self.site, visit: self.visit(), now: turn.now, stamp, extra };
        match head.method {
            _ if self.site.unreadable => page.write_unavailable(out),
            Method::Options => {
                response::write_options(out, stamp, extra);
                Outcome::Method
            }
            Method::Send | Method::Other => {
                response::write_method_not_allowed(out, stamp, extra);
                Outcome::Method
            }
            Method::Get | Method::Head if self.is_behind(turn) => page.write_unavailable(out),
            Method::Get | Method::Head if is_reserved(head.path) => match self.site.files.at(head.path) {
                Some(file) => {
                    response::write_file(out, file, stamp, extra);
                    Outcome::File
                }
                None => {
                    response::write_reserved(out, head.path, self.site.robots.as_deref(), stamp, extra);
                    Outcome::Reserved
                }
            },
            Method::Get | Method::Head => match self.site.root.as_ref().filter(|_| head.path.is_empty()) {
                Some(root) => {
                    page.write_lead(root, false, out);
                    Outcome::Root
                }
                None => page.write_not_found(false, out),
            },
        }
    }

    /// R11 for what the domain alone decides: whether the client may have seen a later state of it than is known here.
    fn is_behind(self, turn: &AnswerContext<'_>) -> bool {
        match self.token(turn.set) {
            Token::None | Token::Unreadable => false,
            Token::Own(seq) => !is_sure(turn.domains, turn.set, seq),
            Token::Foreign => true,
        }
    }
}

/// The key that a request is looked up by; `None` for one that is not looked up.
pub fn key_of(head: &Head<'_>, domains: &View) -> Option<Key> {
    let (HostMatch::Claimed(site) | HostMatch::Hostless(site) | HostMatch::Unclaimed(site)) =
        domains.place(head.host)
    else {
        return None;
    };
    key(site, code_of(head, site, &mut [0; Code::MAX_LEN])?)
}

/// The code that a request is looked up by; `None` for one that is not looked up.
#[cold]
fn code_of<'a>(head: &Head<'a>, site: &Site, buffer: &'a mut [u8; Code::MAX_LEN]) -> Option<&'a [u8]> {
    match head.method {
        _ if head.code && !site.rewrites => Some(head.path),
        Method::Get | Method::Head | Method::Send => site.code(head.path, buffer),
        _ => None,
    }
}

/// Whether every domain that there was at `seq` is known: what nobody claims belongs to the default one there, and what one
/// claims has not been given up.
#[cold]
fn is_sure(domains: &View, set: &Set, seq: Seq) -> bool {
    // A change of a domain is in the table before the set passes it.
    set.applied().max(domains.sure()) >= seq && domains.is_current()
}

#[cold]
fn described(judgement: Judgement, held: &Lookup<'_>, freshness: Freshness, set: &Set) -> DebugFields {
    let tier = if judgement == Judgement::Fresh { Tier::Hot } else { Tier::Stale };
    let revision = set.epoch().filter(|_| held.version > 0).map(|epoch| (epoch, held.version));
    DebugFields { tier, revision, staleness_ms: freshness.stale_ms() }
}

/// The code that this one stands for in a domain that rewrites them.
#[cold]
fn rewritten<'a>(site: &Site, buffer: &'a mut [u8; Code::MAX_LEN], code: &'a [u8]) -> &'a [u8] {
    site.code(code, buffer).unwrap_or(code)
}

/// The answer of the sources that were asked for a missing key.
#[derive(Clone, Copy, Debug)]
pub enum MissAnswer<'a> {
    /// This source answered, and the set took it or knows the same: it was current when it was asked for.
    Told(Source, &'a TierReading<'a>),
    /// Nobody answered in time. What memory holds may still be better than nothing.
    Nobody,
}

/// Answers a miss.
pub fn finish(miss: &Miss, asked: MissAnswer<'_>, out: &mut Vec<u8>, turn: &mut AnswerContext<'_>) -> Step {
    let reply = &miss.reply;
    let freshness = turn.set.freshness(turn.boot_ms);
    let mut extra = ResponseOptions {
        head_only: reply.head_only,
        close: reply.close,
        sends: reply.sends,
        request_id: reply.request_id.as_deref(),
        debug: None,
    };
    let path = reply.path.as_deref().unwrap_or(miss.key.code());
    let visit = Visit { path, query: reply.query.as_deref() };
    let (now, stamp, set) = (turn.now, turn.stamp, turn.set);
    let sure = |seq| is_still(miss, turn.domains, || is_sure(turn.domains, set, seq));
    let known = match asked {
        MissAnswer::Told(_, told) => match miss.token {
            Token::Own(seq) => sure(seq),
            Token::Foreign => sure(told.as_of),
            // What a blind edge does not know of links it asks for; of domains it cannot.
            Token::None | Token::Unreadable => !freshness.is_blind() || sure(told.as_of),
        },
        MissAnswer::Nobody => true,
    };
    turn.domains.refresh();
    let site = turn.domains.site(miss.key.domain());
    // Whether the host still belongs to this domain is not known now: no better than if nobody had been asked, and what
    // memory holds is shown as what may be old.
    let (asked, freshness) =
        if known { (asked, freshness) } else { (MissAnswer::Nobody, freshness.at_best_blind()) };
    let mut identity = LinkIdentity::default();
    let outcome = match asked {
        MissAnswer::Told(source, _) if site.unreadable => {
            turn.counts.tier = source.tier();
            RedirectContext { site, visit, now, stamp, extra: &extra }.write_unavailable(out)
        }
        MissAnswer::Told(source, told) => {
            turn.counts.tier = source.tier();
            let found = told.value.map_or(EntryState::Absent(Absence::Certain), |value| value.found());
            let revision = told.value.map(|_| (told.epoch, told.version));
            identity = told.value.map_or(identity, |value| value.identity(told.version));
            extra.debug =
                reply.debug.then_some(DebugFields { tier: source.tier(), revision, staleness_ms: Some(0) });
            RedirectContext { site, visit, now, stamp, extra: &extra }.write(found, false, out)
        }
        // The set may know by now what it did not when it was asked.
        MissAnswer::Nobody => {
            let policy = site.policy(turn.policy);
            let sure = |seq| is_still(miss, turn.domains, || is_sure(turn.domains, set, seq));
            let (outcome, tier) = set.look_up(miss.key.as_bytes(), |held| {
                let known = miss.token == Token::Unreadable || miss.token.allows(&held, set, sure);
                let judgement = if known { last_resort(&held, freshness, policy) } else { Judgement::Ask };
                let tier = match judgement {
                    Judgement::Fresh => Tier::Hot,
                    Judgement::Stale => Tier::Stale,
                    Judgement::Ask => Tier::Origin,
                };
                extra.debug =
                    reply.debug.then(|| DebugFields { tier, ..described(judgement, &held, freshness, set) });
                identity = held.identity();
                let page = RedirectContext { site, visit, now, stamp, extra: &extra };
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
    if let Some(clicks) = &mut turn.clicks {
        let (domain, head_only, notes) = (miss.key.domain(), reply.head_only, &reply.click.notes());
        let seen = Redirected { at: now, domain, identity, head_only, notes, answer_end: out.len() };
        clicks.answered(outcome, miss.key.code(), seen);
    }
    if reply.close { Step::Close { linger: true } } else { Step::Wait }
}

/// Whether the request's host still belongs where it was looked up: no table has come since in which another domain
/// claims it, or none does any more, and this one is `sure`.
fn is_still(miss: &Miss, domains: &View, sure: impl FnOnce() -> bool) -> bool {
    let Some(table) = miss.placed_in else { return true };
    table == domains.changes() && sure()
}

/// The answer to a head that did not arrive in time.
pub fn time_out(out: &mut Vec<u8>, turn: &mut AnswerContext<'_>) {
    turn.counts.add(Outcome::TimedOut);
    response::write_timeout(out, turn.stamp);
}

/// The answer to a request without TLS, where there is nothing else.
pub fn refuse_plain(out: &mut Vec<u8>, turn: &mut AnswerContext<'_>) {
    turn.counts.add(Outcome::Refused);
    response::write_tls_only(out, turn.stamp);
}

#[cfg(test)]
#[path = "answer_click_tests.rs"]
mod click_tests;
#[cfg(test)]
#[path = "answer_domain_tests.rs"]
mod domain_tests;
#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
