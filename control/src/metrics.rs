//! What control counts, as classic Prometheus text 0.0.4. Nothing is served here.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// The numbers of one control.
#[derive(Debug, Default)]
pub struct Metrics {
    requests: Mutex<BTreeMap<(&'static str, &'static str), u64>>,
    head: AtomicU64,
    sessions: AtomicI64,
}

impl Metrics {
    /// A call was answered. Both labels come from the program, never from a caller.
    pub(crate) fn count(&self, method: &'static str, code: &'static str) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        *requests.entry((method, code)).or_default() += 1;
    }

    pub(crate) fn set_head(&self, seq: u64) {
        self.head.store(seq, Relaxed);
    }

    /// One more session, until the guard is dropped.
    pub(crate) fn session(self: &std::sync::Arc<Self>) -> SessionGuard {
        self.sessions.fetch_add(1, Relaxed);
        SessionGuard(self.clone())
    }

    /// Everything, as text.
    pub fn encode(&self) -> String {
        let mut out = String::from(
            "# HELP linkr_control_requests_total Calls answered, over gRPC and REST.\n\
             # TYPE linkr_control_requests_total counter\n",
        );
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for ((method, code), count) in requests {
            let labels = format!("method=\"{method}\",code=\"{code}\"");
            let _ = writeln!(out, "linkr_control_requests_total{{{labels}}} {count}"); // a String takes all
        }
        let _ = write!(
            out,
            "# HELP linkr_control_log_head The number of the last change in the log.\n\
             # TYPE linkr_control_log_head gauge\nlinkr_control_log_head {}\n\
             # HELP linkr_control_feed_sessions Edges that follow the log here.\n\
             # TYPE linkr_control_feed_sessions gauge\nlinkr_control_feed_sessions {}\n",
            self.head.load(Relaxed),
            self.sessions.load(Relaxed),
        );
        out
    }
}

/// A session that is under way.
#[derive(Debug)]
pub(crate) struct SessionGuard(std::sync::Arc<Metrics>);

impl Drop for SessionGuard {
    fn drop(&mut self) {
        self.0.sessions.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text() {
        let metrics = std::sync::Arc::new(Metrics::default());
        metrics.count("GetLink", "OK");
        metrics.count("GetLink", "OK");
        metrics.set_head(7);
        let guard = metrics.session();
        let text = metrics.encode();
        for line in [
            "linkr_control_requests_total{method=\"GetLink\",code=\"OK\"} 2\n",
            "linkr_control_log_head 7\n",
            "linkr_control_feed_sessions 1\n",
        ] {
            assert!(text.contains(line), "{text}");
        }
        drop(guard);
        assert!(metrics.encode().contains("feed_sessions 0"));
    }
}
