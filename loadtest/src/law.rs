//! The conservation law of clicks, as an edge's own metrics tell it: what it redirected it recorded, and what it recorded
//! is acknowledged, lost or pending.

use crate::server::Reading;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// How long a control that is there takes at most to acknowledge what a run left.
const SETTLES: Duration = Duration::from_secs(5);
/// An edge takes what its workers noted every 100 ms.
const TICK: Duration = Duration::from_millis(150);

/// What an edge says of clicks at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ClickCounts {
    redirects: u64,
    recorded: u64,
    acknowledged: u64,
    lost: u64,
    pending: u64,
}

impl ClickCounts {
    /// `None`: it counts no clicks.
    fn of(reading: &Reading) -> Option<Self> {
        let sum = |family: &str, label: &str| -> u64 {
            let own = |series: &str| {
                series.split('{').next() == Some(family) && (label.is_empty() || series.contains(label))
            };
            reading.metrics.iter().filter(|(series, _)| own(series)).map(|(_, value)| *value as u64).sum()
        };
        reading.metrics.contains_key("linkr_clicks_recorded_total").then(|| Self {
            redirects: sum("linkr_edge_requests_total", "outcome=\"redirect\""),
            recorded: sum("linkr_clicks_recorded_total", ""),
            acknowledged: sum("linkr_clicks_acknowledged_total", ""),
            lost: sum("linkr_clicks_lost_total", ""),
            pending: sum("linkr_clicks_pending", ""),
        })
    }
}

/// What became of the clicks of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClickLaw {
    /// Redirects that the edge decided in the run.
    pub redirects: u64,
    /// Clicks that it recorded in the run; fewer by the answers that its kernel did not take.
    pub recorded: u64,
    /// Of every click of its spool, those that control has.
    pub acknowledged: u64,
    /// Those that are told as lost.
    pub lost: u64,
    /// Those that are neither yet.
    pub pending: u64,
    /// How the law is broken; absent where it holds.
    pub broken: Option<String>,
}

impl ClickLaw {
    /// Of the readings before and after a run in which so many requests got no whole answer. `None`: the edge counts no
    /// clicks.
    pub fn of(before: &Reading, after: &Reading, unanswered: u64) -> Option<Self> {
        let (before, after) = (ClickCounts::of(before)?, ClickCounts::of(after)?);
        let ClickCounts { acknowledged, lost, pending, .. } = after;
        let redirects = after.redirects.saturating_sub(before.redirects);
        let recorded = after.recorded.saturating_sub(before.recorded);
        let parts = acknowledged + lost + pending;
        let broken = if after.recorded != parts {
            Some(format!("{} were recorded, and {parts} are acknowledged, lost or pending", after.recorded))
        } else if recorded > redirects {
            Some(format!("{recorded} were recorded of {redirects} redirects"))
        } else if redirects - recorded > unanswered {
            let missing = redirects - recorded;
            Some(format!("{missing} redirects were not recorded, and {unanswered} requests had no answer"))
        } else {
            None
        };
        Some(Self { redirects, recorded, acknowledged, lost, pending, broken })
    }
}

/// A reading to begin with: what was answered before is recorded.
pub fn before(read: impl Fn() -> Reading) -> Reading {
    let mut reading = read();
    let end = Instant::now() + SETTLES;
    while let Some(counts) = ClickCounts::of(&reading).filter(|_| Instant::now() < end) {
        std::thread::sleep(TICK);
        reading = read();
        if ClickCounts::of(&reading).is_some_and(|now| now.recorded == counts.recorded) {
            break;
        }
    }
    reading
}

/// A reading behind a run: when all of it is recorded and acknowledged, or after so long that it will not be.
pub fn after(before: &Reading, read: impl Fn() -> Reading) -> Option<Reading> {
    let began = ClickCounts::of(before)?;
    let end = Instant::now() + SETTLES;
    loop {
        let reading = read();
        let now = ClickCounts::of(&reading)?;
        let recorded = now.recorded.saturating_sub(began.recorded);
        let is_whole = recorded == now.redirects.saturating_sub(began.redirects) && now.pending == 0;
        if is_whole || Instant::now() > end {
            return Some(reading);
        }
        std::thread::sleep(TICK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Redirects, recorded, acknowledged, lost for two reasons, pending.
    fn reading(numbers: [u64; 6]) -> Reading {
        let series = [
            "linkr_edge_requests_total{outcome=\"redirect\",tier=\"hot\"}",
            "linkr_clicks_recorded_total",
            "linkr_clicks_acknowledged_total",
            "linkr_clicks_lost_total{reason=\"ring_full\"}",
            "linkr_clicks_lost_total{reason=\"spool_full\"}",
            "linkr_clicks_pending",
        ];
        let mut metrics: std::collections::BTreeMap<String, f64> =
            series.into_iter().map(str::to_owned).zip(numbers.map(|number| number as f64)).collect();
        metrics.insert("linkr_edge_requests_total{outcome=\"root\",tier=\"none\"}".into(), 7.0);
        Reading { metrics, ..Reading::default() }
    }

    #[test]
    fn what_was_redirected_is_recorded_and_what_was_recorded_is_somewhere() {
        let start = reading([100, 90, 90, 0, 0, 0]);
        for (end, unanswered, broken) in [
            ([200, 190, 190, 0, 0, 0], 0, None),
            ([200, 190, 150, 10, 20, 10], 0, None),
            ([200, 188, 188, 0, 0, 0], 2, None),
            ([200, 187, 187, 0, 0, 0], 2, Some("3 redirects were not recorded")),
            ([200, 190, 150, 10, 20, 9], 0, Some("190 were recorded, and 189")),
            ([200, 191, 191, 0, 0, 0], 0, Some("101 were recorded of 100")),
        ] {
            let law = ClickLaw::of(&start, &reading(end), unanswered).unwrap();
            assert_eq!((law.redirects, law.lost), (100, end[3] + end[4]));
            let said = law.broken.as_deref();
            assert_eq!(said.is_some(), broken.is_some(), "{end:?}: {said:?}");
            assert!(said.unwrap_or_default().contains(broken.unwrap_or_default()), "{said:?}");
        }
        assert_eq!(ClickLaw::of(&Reading::default(), &start, 0), None);
    }
}
