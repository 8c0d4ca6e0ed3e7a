//! What is counted of clicks on their way from edges into the store.

use clicks::batch::Batch;
use clicks::{Kind, LossReason};
use exposition::Families;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use store::port::clicks::AppendOutcome;

/// What may become of a batch.
const OUTCOMES: [&str; 4] = ["taken", "known", "wanted", "refused"];

/// The kinds that an agent has a say in. None becomes a repeat when it is classed anew.
const AGENT_KINDS: [Kind; 4] = [Kind::Human, Kind::Repeat, Kind::Bot, Kind::Preview];

/// The numbers of one control.
#[derive(Debug, Default)]
pub struct ClickNumbers {
    kinds: [AtomicU64; Kind::ALL.len()],
    lost: [AtomicU64; LossReason::ALL.len()],
    outcomes: [AtomicU64; OUTCOMES.len()],
    clamped: AtomicU64,
    unbelieved: AtomicU64,
    commits: AtomicU64,
    folded: AtomicU64,
    /// Unix milliseconds; 0: no edge has said anything.
    complete_until: AtomicI64,
    /// By the kind of before and the kind now.
    reclassified: [[AtomicU64; Kind::ALL.len()]; Kind::ALL.len()],
}

impl ClickNumbers {
    /// The store has judged a batch, `clamped` of whose clicks had times that cannot be.
    pub fn judged(&self, outcome: &AppendOutcome, batch: &Batch, clamped: u64) {
        let at = match outcome {
            AppendOutcome::Taken(_) | AppendOutcome::TakenBehindHole(_) => 0,
            AppendOutcome::Known(_) => 1,
            AppendOutcome::Want(_) => 2,
            AppendOutcome::Refused(_) => 3,
        };
        self.outcomes[at].fetch_add(1, Relaxed);
        if at > 0 {
            return;
        }
        for click in &batch.clicks {
            self.kinds[click.kind as usize].fetch_add(1, Relaxed);
        }
        for total in &batch.totals {
            self.kinds[total.kind as usize].fetch_add(total.count, Relaxed);
        }
        for loss in &batch.losses {
            self.lost[loss.reason as usize].fetch_add(loss.count, Relaxed);
        }
        self.clamped.fetch_add(clamped, Relaxed);
        if let AppendOutcome::TakenBehindHole(hole) = outcome {
            self.lost[LossReason::Restored as usize].fetch_add(hole.told, Relaxed);
            self.unbelieved.fetch_add(hole.unbelieved, Relaxed);
        }
    }

    /// A batch was refused before the store was asked.
    pub fn refused(&self) {
        self.outcomes[3].fetch_add(1, Relaxed);
    }

    /// One commit of many batches.
    pub fn committed(&self) {
        self.commits.fetch_add(1, Relaxed);
    }

    /// So many batches were folded into roll-ups here.
    pub fn folded(&self, batches: u64) {
        self.folded.fetch_add(batches, Relaxed);
    }

    /// So many clicks got another kind here, by the one of before and the one now.
    pub fn reclassified(&self, changes: &BTreeMap<(Kind, Kind), u64>) {
        for (&(from, to), count) in changes {
            self.reclassified[from as usize][to as usize].fetch_add(*count, Relaxed);
        }
    }

    /// Every click answered before this time is counted.
    pub fn set_complete_until(&self, ms: i64) {
        self.complete_until.store(ms, Relaxed);
    }

    pub(super) fn encode(&self, families: &mut Families<'_>) -> fmt::Result {
        families.counters(
            "linkr_control_clicks_total",
            "Clicks that were written here, each once, by kind.",
            |series| {
                let mut counts = Kind::ALL.iter().zip(&self.kinds);
                counts.try_for_each(|(kind, count)| series(&[("kind", kind.label())], count.load(Relaxed)))
            },
        )?;
        families.counters(
            "linkr_control_clicks_lost_total",
            "Clicks that edges told here as lost, or that they do not hold any more (restored), by reason.",
            |series| {
                let mut counts = LossReason::ALL.iter().zip(&self.lost);
                counts.try_for_each(|(reason, count)| {
                    series(&[("reason", reason.label())], count.load(Relaxed))
                })
            },
        )?;
        families.counters(
            "linkr_control_click_batches_total",
            "Batches of clicks that edges sent, by what became of them: taken, known (sent before), wanted (an earlier one is \
             missing), refused.",
            |series| {
                let mut counts = OUTCOMES.iter().zip(&self.outcomes);
                counts.try_for_each(|(outcome, count)| series(&[("outcome", *outcome)], count.load(Relaxed)))
            },
        )?;
        families.counter(
            "linkr_control_clicks_clamped_total",
            "Clicks with a time more than 40 days behind or 5 minutes ahead of control's clock: they count at that bound.",
            self.clamped.load(Relaxed),
        )?;
        families.counter(
            "linkr_control_clicks_unbelieved_total",
            "Numbers of clicks that edges left out beyond what an edge can have recorded in the time: they are not told as lost.",
            self.unbelieved.load(Relaxed),
        )?;
        families.counter(
            "linkr_control_click_commits_total",
            "Commits of clicks, each of the batches of many edges.",
            self.commits.load(Relaxed),
        )?;
        families.counter(
            "linkr_control_click_batches_folded_total",
            "Batches of clicks that were folded into counts here.",
            self.folded.load(Relaxed),
        )?;
        families.counters(
            "linkr_control_clicks_reclassified_total",
            "Clicks that got another kind here when they were classed anew, by the kind of before (from) and the kind now (to).",
            |series| {
                AGENT_KINDS.into_iter().try_for_each(|from| {
                    let others = AGENT_KINDS.into_iter().filter(|to| *to != from && *to != Kind::Repeat);
                    others.into_iter().try_for_each(|to| {
                        let count = self.reclassified[from as usize][to as usize].load(Relaxed);
                        series(&[("from", from.label()), ("to", to.label())], count)
                    })
                })
            },
        )?;
        families.gauge(
            "linkr_control_clicks_complete_until_seconds",
            "Unix time up to which every click is counted, of all edges; 0: no edge has said anything.",
            self.complete_until.load(Relaxed) as f64 / 1e3,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clicks::batch::{Loss, Total};
    use clicks::ledger::Cursor;
    use link::DomainId;
    use store::port::clicks::TakenBehindHole;

    #[test]
    fn only_what_is_taken_is_counted() {
        let numbers = ClickNumbers::default();
        let mut batch = Batch::new(1, 1);
        batch.totals.push(Total { domain: DomainId::DEFAULT, kind: Kind::Off, minute: 1, count: 5 });
        batch.losses.push(Loss { reason: LossReason::SpoolFull, minute: 1, count: 7 });
        numbers.judged(&AppendOutcome::Taken(1), &batch, 2);
        numbers.judged(&AppendOutcome::Known(Cursor { seq: 1, last_no: 12 }), &batch, 2);
        numbers.judged(&AppendOutcome::Want(2), &batch, 2);
        numbers.refused();
        let behind = TakenBehindHole { acked: 3, told: 4, unbelieved: 9 };
        numbers.judged(&AppendOutcome::TakenBehindHole(behind), &Batch::new(1, 1), 0);
        assert_eq!(numbers.unbelieved.load(Relaxed), 9);
        let of = |counts: &[AtomicU64]| counts.iter().map(|count| count.load(Relaxed)).collect::<Vec<_>>();
        assert_eq!(of(&numbers.kinds), [0, 0, 0, 0, 0, 0, 0, 5]);
        assert_eq!(of(&numbers.lost), [0, 7, 0, 4]);
        assert_eq!(of(&numbers.outcomes), [2, 1, 1, 1]);
        assert_eq!(numbers.clamped.load(Relaxed), 2);
    }
}
