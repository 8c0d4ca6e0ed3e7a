//! What edges say of themselves, as their last words came: kept in memory, and given to the other controls of the store. The
//! bytes are not looked at here, so that a stream spends no time on them.

use crate::call::blocking;
use crate::sessions::Sessions;
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use store::port::{ReportRow, Repository};
use tokio::sync::watch;
use tokio::time::Instant;

/// Bytes of one report.
pub const REPORT_BYTES: usize = 4_096;
/// Bytes of all that are kept, with what each takes besides. Those of ten thousand edges of ours fit in; whoever has the key of
/// an edge can say hello under many names, and fills no more than this.
const ALL_BYTES: usize = 16 << 20;
/// What one takes besides its bytes and its name.
const ENTRY_BYTES: usize = 128;
/// How often the controls of a store tell each other, and those who are gone are forgotten.
const PERIOD: Duration = Duration::from_secs(5);

/// An edge's name, and its process.
pub type Process = (String, u64);

/// The last report of a process.
#[derive(Clone, Debug)]
pub struct KeptReport {
    /// As it came.
    pub report: Bytes,
    /// When.
    pub at: Instant,
}

#[derive(Default)]
struct ReportsState {
    /// Those that came here.
    heard: HashMap<Process, KeptReport>,
    /// What they take.
    bytes: usize,
    /// Those that came to other controls.
    others: HashMap<Process, KeptReport>,
}

/// All reports that this control knows.
#[derive(Default)]
pub struct Reports(Mutex<ReportsState>);

impl ReportsState {
    fn keep(&mut self, process: Process, kept: KeptReport) {
        let before = self.heard.get(&process).map_or(0, |before| size(&process, before));
        let bytes = self.bytes - before + size(&process, &kept);
        if bytes <= ALL_BYTES {
            self.bytes = bytes;
            self.heard.insert(process, kept);
        }
    }

    fn forget(&mut self, gone: impl Fn(&Process) -> bool) {
        self.heard.retain(|process, _| !gone(process));
        self.bytes = self.heard.iter().map(|(process, kept)| size(process, kept)).sum();
        self.others.retain(|process, _| !gone(process));
    }
}

/// Bytes that one takes.
fn size(process: &Process, kept: &KeptReport) -> usize {
    ENTRY_BYTES + process.0.len() + kept.report.len()
}

impl Reports {
    fn lock(&self) -> MutexGuard<'_, ReportsState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A report of this process came on its stream. One that is empty or longer than any of ours, or has no room, is passed
    /// over.
    pub fn heard(&self, edge: &str, incarnation: u64, report: &Bytes) {
        if (1..=REPORT_BYTES).contains(&report.len()) {
            // Of its own: what it is a part of is the message that it came in.
            let kept = KeptReport { report: Bytes::copy_from_slice(report), at: Instant::now() };
            self.lock().keep((edge.to_owned(), incarnation), kept);
        }
    }

    /// The last report of a process, to whichever control.
    pub fn of(&self, edge: &str, incarnation: u64) -> Option<KeptReport> {
        let (state, process) = (self.lock(), (edge.to_owned(), incarnation));
        let both = [state.heard.get(&process), state.others.get(&process)];
        both.into_iter().flatten().max_by_key(|kept| kept.at).cloned()
    }

    /// Forgets those of edges that are gone, and exchanges them with the other controls of the store, until `stop`.
    pub async fn run(
        &self,
        store: Arc<dyn Repository>,
        sessions: Arc<Sessions>,
        mut stop: watch::Receiver<bool>,
    ) {
        let (shared, mut told) = (store.standing().is_some(), Instant::now());
        loop {
            tokio::select! {
                () = tokio::time::sleep(PERIOD) => {}
                _ = stop.wait_for(|&stop| stop) => return,
            }
            let known = sessions.processes();
            self.lock().forget(|process| !known.contains(process));
            if !shared {
                continue;
            }
            let (heard, now) = self.since(told);
            match blocking(&store, move |store| store.exchange_reports(&heard)).await {
                Ok(rows) => {
                    told = now;
                    self.lock().others = rows.into_iter().filter_map(|row| kept(row, now)).collect();
                }
                // Those of before stay, and their age is shown.
                Err(fault) => {
                    tracing::debug!(name: "reports_not_exchanged", %fault, "what edges say of themselves is not exchanged with other controls");
                }
            }
        }
    }

    /// What came since then, and until when that is.
    fn since(&self, told: Instant) -> (Vec<ReportRow>, Instant) {
        let (state, now) = (self.lock(), Instant::now());
        let new = state.heard.iter().filter(|(_, kept)| kept.at >= told);
        let row = |((edge, incarnation), kept): (&Process, &KeptReport)| ReportRow {
            edge: edge.clone(),
            incarnation: *incarnation,
            report: kept.report.clone(),
            age: now.saturating_duration_since(kept.at).as_millis() as u64,
        };
        (new.map(row).collect(), now)
    }
}

/// A report that another control has heard, unless that was before this machine began.
fn kept(row: ReportRow, now: Instant) -> Option<(Process, KeptReport)> {
    let at = now.checked_sub(Duration::from_millis(row.age))?;
    let good = row.report.len() <= REPORT_BYTES;
    good.then_some(((row.edge, row.incarnation), KeptReport { report: row.report, at }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_or_has_no_room_is_passed_over() {
        let reports = Reports::default();
        reports.heard("a", 1, &Bytes::from(vec![1; REPORT_BYTES + 1]));
        reports.heard("a", 1, &Bytes::new());
        assert!(reports.of("a", 1).is_none());
        let whole = Bytes::from(vec![1; REPORT_BYTES]);
        for at in 0..5_000 {
            reports.heard(&format!("edge-{at}"), at, &whole);
        }
        assert!(reports.lock().bytes <= ALL_BYTES);
        assert!(reports.of("edge-0", 0).is_some() && reports.of("edge-4999", 4_999).is_none());
        // Who has a place keeps it, and what is forgotten makes room.
        reports.heard("edge-0", 0, &Bytes::from_static(b"new"));
        assert_eq!(reports.of("edge-0", 0).unwrap().report, "new");
        reports.lock().forget(|(_, incarnation)| *incarnation > 0);
        assert_eq!(reports.lock().bytes, ENTRY_BYTES + "edge-0".len() + 3);
        reports.heard("edge-4999", 4_999, &whole);
        assert!(reports.of("edge-4999", 4_999).is_some());
    }

    #[test]
    fn the_later_of_two_reports_counts_whoever_heard_it() {
        let (reports, now) = (Reports::default(), Instant::now());
        let row = |report: &'static [u8], age| ReportRow {
            edge: "a".into(),
            incarnation: 1,
            report: Bytes::from_static(report),
            age,
        };
        reports.heard("a", 1, &Bytes::from_static(b"here"));
        reports.lock().others.extend(kept(row(b"there", 60_000), now));
        assert_eq!(reports.of("a", 1).unwrap().report, "here");
        let later = Instant::now() + Duration::from_secs(1);
        reports.lock().others.extend(kept(row(b"there", 0), later));
        assert_eq!(reports.of("a", 1).unwrap().report, "there");
        assert!(
            kept(ReportRow { report: Bytes::from(vec![0; REPORT_BYTES + 1]), ..row(b"", 0) }, now).is_none()
        );
        let (new, upto) = reports.since(now);
        assert_eq!((new.len(), &new[0].report[..]), (1, &b"here"[..]));
        assert!(reports.since(upto + Duration::from_millis(1)).0.is_empty());
    }
}
