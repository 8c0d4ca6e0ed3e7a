//! Answers as they are given, for whoever watches: what the workers hand over of them, bounded. Nothing is done while nobody
//! watches.

use crate::traces::SeenRequest;
use hot::Outcome;
use link::DomainId;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Who watches at once.
const WATCHERS: usize = 4;
/// Who has not asked for so long watches no more.
const GONE_MS: u64 = 3_000;
/// Lines that wait to be fetched; one more is dropped.
const LINES: usize = 2_000;

/// One answer.
#[derive(Clone, Debug)]
pub struct TailLine {
    /// When its request was looked at.
    pub began_unix_ns: u64,
    /// How long its turn took.
    pub ns: u64,
    /// What was asked for.
    pub request: SeenRequest,
    /// What it came to.
    pub outcome: Outcome,
    /// Its domain.
    pub domain: DomainId,
}

/// Which answers are wanted.
#[derive(Clone, Debug, Default)]
pub struct TailFilter {
    /// The path, without its slash; what begins so if it ends in `*`.
    pub code: Option<String>,
    /// The domain.
    pub domain: Option<DomainId>,
    /// What it came to.
    pub outcome: Option<Outcome>,
    /// It took longer.
    pub slower_ns: u64,
}

impl TailFilter {
    /// Whether an answer is wanted.
    pub fn wants(&self, line: &TailLine) -> bool {
        let path = line.request.path.strip_prefix('/').unwrap_or_default();
        let code = self.code.as_deref().is_none_or(|code| match code.strip_suffix('*') {
            Some(begin) => path.starts_with(begin),
            None => path == code,
        });
        code && self.domain.is_none_or(|domain| domain == line.domain)
            && self.outcome.is_none_or(|outcome| outcome == line.outcome)
            && line.ns >= self.slower_ns
    }
}

/// One who watches.
#[derive(Debug)]
pub struct Watcher {
    id: u64,
    /// What it wants.
    pub filter: TailFilter,
    asked_ms: AtomicU64,
    dropped: AtomicU64,
    lines: Mutex<VecDeque<TailLine>>,
}

impl Watcher {
    /// Takes over what a worker has for it. A worker does not wait: `false` if somebody reads just now.
    pub fn take(&self, lines: &mut Vec<TailLine>) -> bool {
        let Ok(mut waiting) = self.lines.try_lock() else { return false };
        let room = LINES.saturating_sub(waiting.len()).min(lines.len());
        self.drop_lines((lines.len() - room) as u64);
        waiting.extend(lines.drain(..).take(room));
        true
    }

    /// So many were left out.
    pub fn drop_lines(&self, count: u64) {
        self.dropped.fetch_add(count, Ordering::Relaxed);
    }
}

/// What a watcher is told.
#[derive(Debug, Default)]
pub struct Tailed {
    /// In no order: the workers hand over each their own.
    pub lines: Vec<TailLine>,
    /// Left out since it was last told.
    pub dropped: u64,
}

/// Everyone who watches.
#[derive(Debug, Default)]
pub struct Tails {
    /// Looked at ten times a second by each worker.
    watched: AtomicBool,
    watchers: Mutex<Vec<Arc<Watcher>>>,
}

impl Tails {
    /// What there is for the watcher with this id, who begins to watch with that. `None`: there are too many.
    pub fn poll(&self, id: u64, filter: TailFilter, now_ms: u64) -> Option<Tailed> {
        let mut watchers = self.watchers.lock().unwrap_or_else(PoisonError::into_inner);
        watchers.retain(|one| !one.is_gone(now_ms));
        let Some(watcher) = watchers.iter().find(|one| one.id == id) else {
            if watchers.len() >= WATCHERS {
                return None;
            }
            let (asked_ms, dropped, lines) = (now_ms.into(), AtomicU64::default(), Mutex::default());
            watchers.push(Arc::new(Watcher { id, filter, asked_ms, dropped, lines }));
            self.watched.store(true, Ordering::Release);
            return Some(Tailed::default());
        };
        watcher.asked_ms.store(now_ms, Ordering::Relaxed);
        let lines = std::mem::take(&mut *watcher.lines.lock().unwrap_or_else(PoisonError::into_inner));
        Some(Tailed { lines: lines.into(), dropped: watcher.dropped.swap(0, Ordering::Relaxed) })
    }

    /// Who watches now. A worker does not wait: `None` if that cannot be looked at just now.
    pub fn now(&self, now_ms: u64) -> Option<Vec<Arc<Watcher>>> {
        if !self.watched.load(Ordering::Acquire) {
            return Some(Vec::new());
        }
        let mut watchers = self.watchers.try_lock().ok()?;
        watchers.retain(|one| !one.is_gone(now_ms));
        self.watched.store(!watchers.is_empty(), Ordering::Release);
        Some(watchers.clone())
    }
}

impl Watcher {
    fn is_gone(&self, now_ms: u64) -> bool {
        now_ms > self.asked_ms.load(Ordering::Relaxed) + GONE_MS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(path: &str, ns: u64, outcome: Outcome) -> TailLine {
        let request = SeenRequest { path: path.into(), ..SeenRequest::default() };
        TailLine { began_unix_ns: 0, ns, request, outcome, domain: DomainId::DEFAULT }
    }

    #[test]
    fn a_filter_wants_what_meets_all_of_it() {
        let hello = line("/hello", 5, Outcome::Redirect);
        let filter = |code: &str, outcome, slower_ns| TailFilter {
            code: Some(code.into()),
            domain: Some(DomainId::DEFAULT),
            outcome,
            slower_ns,
        };
        assert!(TailFilter::default().wants(&hello));
        for (code, outcome, slower_ns, wanted) in [
            ("hello", None, 0, true),
            ("he*", Some(Outcome::Redirect), 5, true),
            ("*", None, 0, true),
            ("hell", None, 0, false),
            ("hello", Some(Outcome::Gone), 0, false),
            ("hello", None, 6, false),
        ] {
            assert_eq!(filter(code, outcome, slower_ns).wants(&hello), wanted, "{code} {slower_ns}");
        }
    }

    #[test]
    fn lines_are_bounded_and_those_left_out_are_counted() {
        let tails = Tails::default();
        assert!(tails.now(0).unwrap().is_empty());
        assert!(tails.poll(1, TailFilter::default(), 0).unwrap().lines.is_empty(), "it begins");
        let watchers = tails.now(100).unwrap();
        let mut lines: Vec<_> = (0..LINES + 7).map(|_| line("/a", 1, Outcome::Redirect)).collect();
        assert!(watchers[0].take(&mut lines) && lines.is_empty());
        let told = tails.poll(1, TailFilter::default(), 100).unwrap();
        assert_eq!((told.lines.len(), told.dropped), (LINES, 7));
        let told = tails.poll(1, TailFilter::default(), 100).unwrap();
        assert_eq!((told.lines.len(), told.dropped), (0, 0));
    }

    #[test]
    fn who_asks_no_more_is_forgotten_and_few_watch_at_once() {
        let tails = Tails::default();
        for id in 0..WATCHERS as u64 {
            assert!(tails.poll(id, TailFilter::default(), 0).is_some());
        }
        assert!(tails.poll(99, TailFilter::default(), GONE_MS).is_none());
        assert!(tails.poll(0, TailFilter::default(), GONE_MS).is_some());
        assert_eq!(tails.now(GONE_MS + 1).unwrap().len(), 1);
        assert!(tails.poll(99, TailFilter::default(), GONE_MS + 1).is_some());
        assert!(tails.now(3 * GONE_MS).unwrap().is_empty());
        assert!(!tails.watched.load(Ordering::Relaxed));
    }
}
