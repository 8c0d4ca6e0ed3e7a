//! What a worker hands over of its answers to those who watch: nothing, as a rule.

use super::Worker;
use super::keeper::{EndedTurn, requests};
use crate::tails::{TailLine, Tails, Watcher};
use crate::traces::SeenRequest;
use hot::{HostMatch, Outcome, View};
use link::DomainId;
use std::sync::Arc;

/// Lines for one who watches between two ticks; more are dropped.
const LINES: usize = 200;

/// See the module.
#[derive(Default)]
pub struct Tailing(Vec<WatcherEnd>);

/// A worker's end of one who watches.
struct WatcherEnd {
    watcher: Arc<Watcher>,
    lines: Vec<TailLine>,
}

impl Tailing {
    /// Whether somebody watches.
    pub fn is_on(&self) -> bool {
        !self.0.is_empty()
    }

    /// Ten times a second: hands over, and looks who watches.
    pub fn tick(&mut self, tails: &Tails, now_ms: u64) {
        for end in &mut self.0 {
            end.watcher.take(&mut end.lines);
        }
        let Some(watchers) = tails.now(now_ms) else { return };
        self.0.retain(|end| watchers.iter().any(|watcher| Arc::ptr_eq(watcher, &end.watcher)));
        for watcher in watchers {
            if !self.0.iter().any(|end| Arc::ptr_eq(&watcher, &end.watcher)) {
                self.0.push(WatcherEnd { watcher, lines: Vec::new() });
            }
        }
    }

    fn see(&mut self, line: &TailLine) {
        for end in self.0.iter_mut().filter(|end| end.watcher.filter.wants(line)) {
            if end.lines.len() < LINES {
                end.lines.push(line.clone());
            } else {
                end.watcher.drop_lines(1);
            }
        }
    }
}

impl Worker {
    /// Shows the answers of a turn to those who watch.
    #[cold]
    #[inline(never)]
    pub(super) fn show(&self, turn: &EndedTurn<'_>) {
        let began_unix_ns = self.timing.clock.borrow().unix_ns(turn.began);
        let (domains, mut tailing) = (self.domains.borrow(), self.tailing.borrow_mut());
        for request in requests::all(turn.input, turn.out, turn.trail.is_some()) {
            let outcome = outcome(&request, turn);
            let domain = domain(&request, &domains);
            tailing.see(&TailLine { began_unix_ns, ns: turn.ns, request, outcome, domain });
        }
    }
}

/// What one request of a turn came to: of all that the turn came to, the first that its status can be.
fn outcome(request: &SeenRequest, turn: &EndedTurn<'_>) -> Outcome {
    let can_be = |outcome: &Outcome| match outcome {
        Outcome::Root => request.path == "/" && (300..400).contains(&request.status),
        Outcome::Redirect | Outcome::Expired => (300..400).contains(&request.status),
        Outcome::NotFound => matches!(request.status, 404 | 300..400),
        Outcome::Gone => request.status == 410,
        Outcome::Method => matches!(request.status, 204 | 405),
        Outcome::Reserved => matches!(request.status, 200 | 404),
        Outcome::File => matches!(request.status, 200 | 304),
        Outcome::Refused => matches!(request.status, 400 | 413 | 414 | 417 | 421 | 431 | 505),
        Outcome::TimedOut => request.status == 408,
        Outcome::Unavailable => request.status == 503,
    };
    turn.marks.outcomes().find(can_be).unwrap_or(Outcome::Refused)
}

fn domain(request: &SeenRequest, domains: &View) -> DomainId {
    let host = Some(request.host.as_bytes()).filter(|host| !host.is_empty());
    match domains.place(host) {
        HostMatch::Claimed(site) | HostMatch::Unclaimed(site) | HostMatch::Hostless(site) => site.id,
        HostMatch::Misdirected => DomainId::DEFAULT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tails::TailFilter;

    fn line() -> TailLine {
        let request = SeenRequest { path: "/a".into(), ..SeenRequest::default() };
        TailLine { began_unix_ns: 0, ns: 1, request, outcome: Outcome::Redirect, domain: DomainId::DEFAULT }
    }

    #[test]
    fn nothing_is_on_until_somebody_watches_and_what_is_too_much_is_counted() {
        let (tails, mut tailing) = (Tails::default(), Tailing::default());
        tailing.tick(&tails, 0);
        assert!(!tailing.is_on());
        tails.poll(1, TailFilter::default(), 0).unwrap();
        let other = TailFilter { outcome: Some(Outcome::Gone), ..TailFilter::default() };
        tails.poll(2, other, 0).unwrap();
        tailing.tick(&tails, 0);
        assert!(tailing.is_on());
        (0..LINES + 3).for_each(|_| tailing.see(&line()));
        tailing.tick(&tails, 0);
        let told = tails.poll(1, TailFilter::default(), 0).unwrap();
        assert_eq!((told.lines.len(), told.dropped), (LINES, 3));
        let told = tails.poll(2, TailFilter::default(), 0).unwrap();
        assert_eq!((told.lines.len(), told.dropped), (0, 0), "it wants others");
        tailing.tick(&tails, 60_000);
        assert!(!tailing.is_on(), "they have gone");
    }
}
