//! Every expression of every panel and rule, against a fleet that has something to tell of each.

use super::PATIENCE;
use super::fleet::{Fleet, under_load, watched};
use crate::support::{Connection, beside_others};
use dashboards::{ALERTS, DASHBOARDS, OBJECTIVES, Pace, selectors};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Selectors of alerts that have no series until it happens: a call that was refused for too much, by its method.
const ONLY_WHEN_IT_HAPPENS: [&str; 1] =
    ["linkr_control_requests_total{code=~\"OVERLOADED|DEADLINE_EXCEEDED\"}"];

/// Everything that is asked of Prometheus by a dashboard or a rule.
fn expressions() -> BTreeSet<String> {
    let panels = DASHBOARDS.iter().flat_map(|dashboard| dashboard.rows).flat_map(|row| row.panels);
    let panels =
        panels.flat_map(|panel| panel.queries).map(|query| query.expr.replace("$__rate_interval", "5s"));
    // What is compared with a limit gives nothing while all is well: its series have to be there.
    let alerts = ALERTS.iter().flat_map(|group| group.alerts).flat_map(|alert| selectors(alert.expr));
    let objectives =
        OBJECTIVES.iter().flat_map(|objective| [objective.bad, objective.all]).map(str::to_owned);
    let selectors = alerts.map(|selector| selector.expr()).chain(objectives);
    let known: BTreeSet<_> = ONLY_WHEN_IT_HAPPENS.into_iter().collect();
    panels.chain(selectors.filter(|selector| !known.contains(selector.as_str()))).collect()
}

#[test]
fn every_expression_gives_data_and_every_family_is_shown() {
    let _turn = beside_others();
    let Some(fleet) = Fleet::start() else { return };
    let Some(watch) = watched(&fleet, Pace::times(super::PACE)) else { return };
    under_load(&fleet, || {
        let (began, mut missing) = (Instant::now(), expressions());
        assert!(missing.len() > 100, "{}", missing.len());
        while !missing.is_empty() && began.elapsed() < PATIENCE {
            missing.retain(|expr| watch.prometheus.series(expr).is_empty());
            std::thread::sleep(Duration::from_millis(100));
        }
        assert!(missing.is_empty(), "no data: {missing:#?}");
        assert_eq!(watch.fired(), BTreeSet::new());
    });
    let asked: BTreeSet<String> = expressions().iter().flat_map(|expr| names(expr)).collect();
    for server in [&fleet.control, &fleet.edges[0], &fleet.edges[1]] {
        let text = Connection::to(server.admin()).ask("GET", "/metrics").body;
        for family in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()) {
            assert!(asked.contains(family), "{family} is in no panel and no alert");
        }
    }
}

/// The families of an expression: buckets are of their histogram.
fn names(expr: &str) -> Vec<String> {
    let family = |name: &str| name.strip_suffix("_bucket").unwrap_or(name).to_owned();
    selectors(expr).iter().map(|selector| family(selector.name)).collect()
}

/// With the rules as they are deployed; an hour of it with `LINKR_LONG=1`.
#[test]
#[ignore = "ten minutes of ordinary load: make test-long"]
fn ordinary_load_raises_nothing() {
    let minutes = if std::env::var_os("LINKR_LONG").is_some() { 60 } else { 10 };
    let _turn = beside_others();
    let Some(fleet) = Fleet::start() else { return };
    let Some(watch) = watched(&fleet, Pace::REAL) else { return };
    under_load(&fleet, || {
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(60 * minutes) {
            assert_eq!(watch.fired(), BTreeSet::new(), "after {:?}", began.elapsed());
            std::thread::sleep(Duration::from_secs(5)); // Prometheus keeps what has fired
        }
    });
}
