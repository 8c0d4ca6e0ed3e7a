//! What visitors are promised, and the two alerts that follow from each promise: many windows, since a short one alone
//! is noise and a long one alone is late (Google, The Site Reliability Workbook, chapter 5).

use crate::model::{Objective, Severity};
use crate::promql::Pace;

/// The promises.
pub const OBJECTIVES: [Objective; 2] = [
    Objective {
        name: "LinkrAvailability",
        recorded: "unavailable_answers",
        bad: "linkr_edge_requests_total{outcome=\"unavailable\"}",
        all: "linkr_edge_requests_total{tier!=\"none\"}",
        budget: 0.001,
        means: "Visitors get 503: nobody who knows their link could be asked in time, or its record cannot be read. Of all \
                look-ups 99.9 % shall be answered.",
        steps: &[
            "Look which edges answer 503: panel *Answers that are 503* of the dashboard `linkr-edges`.",
            "If all do at once, control or its store is away: LinkrControlAway, LinkrStoreUnreadable.",
            "If one does, look at its log: `control_lost` and `redis_lost` name the reason.",
            "An edge that holds every link (`linkr_hot_set_complete` is 1) answers `normal` links without control. If many \
             links are `strict`, or edges have no room for all, 503 lasts as long as control is away.",
            "`linkr_feed_quarantined_total` above 0: see LinkrRecordUnreadable.",
        ],
    },
    Objective {
        name: "LinkrFreshness",
        recorded: "stale_answers",
        bad: "linkr_edge_requests_total{tier=\"stale\"}",
        all: "linkr_edge_requests_total{tier!=\"none\"}",
        budget: 0.001,
        means: "Visitors are answered from the memory of edges that cannot prove that they are current: a link that was \
                changed or deleted may still lead where it led. Of all look-ups 99.9 % shall be fresh to the second.",
        steps: &[
            "Look which edges are blind: panel *Staleness* of the dashboard `linkr-edges`.",
            "See LinkrEdgeBlind for each of them.",
            "A link that must not lead anywhere any more is not safe until the last edge sees: take a blind edge out of the \
             balancer if that matters more than its capacity.",
        ],
    },
];

/// Of one alert: when its budget is used up so many times as fast as it may be, over both windows.
struct Burn {
    factor: &'static str,
    long: &'static str,
    short: &'static str,
}

/// An alert of an objective.
pub struct BurnAlert {
    pub suffix: &'static str,
    pub severity: Severity,
    burns: [Burn; 2],
    /// What is used up by when it fires.
    pub after: &'static str,
}

/// For each objective.
pub const BURN_ALERTS: [BurnAlert; 2] = [
    BurnAlert {
        suffix: "BurnsFast",
        severity: Severity::Critical,
        burns: [
            Burn { factor: "14.4", long: "1h", short: "5m" },
            Burn { factor: "6", long: "6h", short: "30m" },
        ],
        after: "2 % of the bad answers that 30 days allow came within an hour, or 5 % within six hours, and it goes on",
    },
    BurnAlert {
        suffix: "BurnsSlowly",
        severity: Severity::Warning,
        burns: [Burn { factor: "3", long: "1d", short: "2h" }, Burn { factor: "1", long: "3d", short: "6h" }],
        after: "10 % of the bad answers that 30 days allow came within a day, or within three days, and it goes on",
    },
];

/// Every window of a recorded share.
pub const WINDOWS: [&str; 7] = ["5m", "30m", "1h", "2h", "6h", "1d", "3d"];

impl Objective {
    /// The name of the share of bad answers over a window.
    pub fn series(&self, window: &str) -> String {
        format!("linkr:{}:ratio_rate{window}", self.recorded)
    }

    /// How it is recorded.
    pub fn share(&self, window: &str, pace: Pace) -> String {
        pace.expr(&format!(
            "sum(rate({bad}[{window}])) / sum(rate({all}[{window}]))",
            bad = self.bad,
            all = self.all
        ))
    }
}

impl BurnAlert {
    /// The expression for an objective.
    pub fn expr(&self, of: &Objective) -> String {
        let burns = self.burns.iter().map(|burn| {
            let limit = format!("{} * {}", burn.factor, of.budget);
            format!("({} > {limit} and {} > {limit})", of.series(burn.long), of.series(burn.short))
        });
        burns.collect::<Vec<_>>().join("\nor\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_window_of_an_alert_is_recorded() {
        for burn in BURN_ALERTS.iter().flat_map(|alert| &alert.burns) {
            assert!(WINDOWS.contains(&burn.long) && WINDOWS.contains(&burn.short));
        }
    }
}
