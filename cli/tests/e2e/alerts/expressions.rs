//! Every expression of every panel and rule, against a fleet that has something to tell of each.

use super::{PATIENCE, Visitors, Watch, control, edge, url};
use crate::signals::certificates::Pair;
use crate::support::{Connection, Dir, Linkr, beside_others, skip, until};
use dashboards::{ALERTS, DASHBOARDS, OBJECTIVES, Pace, selectors};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const LINKS: usize = 4_000;

/// Selectors of alerts that have no series until it happens: a call that was refused for too much, by its method.
const ONLY_WHEN_IT_HAPPENS: [&str; 1] =
    ["linkr_control_requests_total{code=~\"OVERLOADED|DEADLINE_EXCEEDED\"}"];

/// A control with a copy in Redis; an edge with room for everything, a file, TLS and clicks, and one with little room.
struct Fleet {
    control: Linkr,
    edges: [Linkr; 2],
    _dirs: [Dir; 3],
    _redis: services::Redis,
}

impl Fleet {
    fn start() -> Option<Self> {
        let redis = match services::Redis::start(&["maxmemory-policy volatile-lru"]) {
            Err(fault @ services::ServerFault::Missing(_)) => {
                skip("alerts", &fault.to_string());
                return None;
            }
            redis => redis.unwrap(),
        };
        let dirs = [Dir::new(), Dir::new(), Dir::new()];
        let control = control(&dirs[0], &["--redis", redis.url(), "--store", "sqlite:linkr.db"]);
        let rows: String =
            (0..LINKS).map(|n| format!("c{n},https://example.com/some/target/{n}\n")).collect();
        let file = dirs[0].write("links.csv", format!("code,target\n{rows}"));
        control.ok(&dirs[0], &["import", &file]);
        Pair::that_expires_in(90 * 86_400).write(&dirs[1]);
        let tls = ["--listen-tls", "127.0.0.1:0", "--tls-cert", "tls.pem", "--tls-key", "tls.key"];
        let whole = ["--name", "whole", "--snapshot", "snapshot", "--redis", redis.url()];
        let part =
            ["--name", "part", "--clicks-dir", "clicks", "--hot-set-bytes", "128KiB", "--redis", redis.url()];
        let edges = [
            edge(&dirs[1], &url(&control), &[&whole[..], &tls[..]].concat()),
            edge(&dirs[2], &url(&control), &part),
        ];
        for edge in &edges {
            until("it to be ready", || {
                (Connection::to(edge.admin()).ask("GET", "/readyz").status == 200).then_some(())
            });
            until("Redis to be asked", || edge.metric("linkr_redis_up").filter(|up| *up == 1.0));
        }
        Some(Self { control, edges, _dirs: dirs, _redis: redis })
    }

    fn visited(&self) -> Vec<Visitors> {
        let path = |n: usize| if n % 20 == 0 { format!("/none{n}") } else { format!("/c{}", n * 7 % LINKS) };
        self.edges.iter().map(|edge| Visitors::of(edge, path)).collect()
    }

    /// What people do with links all day: writes, reads, and looks for what is not there.
    fn edited(&self, done: &AtomicBool) {
        let mut api = Connection::to(self.control.api());
        for number in 0.. {
            if done.load(Ordering::Relaxed) {
                return;
            }
            let body = format!(r#"{{"code":"new{number}","target":"https://example.com/{number}"}}"#);
            assert_eq!(api.call("POST", "/v1/links", &body).unwrap().unwrap().status, 201);
            for (path, status) in
                [(format!("/v1/links/new{number}"), 200), ("/v1/links/nothing".to_owned(), 404)]
            {
                assert_eq!(api.call("GET", &path, "").unwrap().unwrap().status, status);
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

/// Runs what is judged beside ordinary load.
fn under_load(fleet: &Fleet, judge: impl FnOnce()) {
    let done = AtomicBool::new(false);
    let _visitors = fleet.visited();
    std::thread::scope(|scope| {
        scope.spawn(|| fleet.edited(&done));
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(judge));
        done.store(true, Ordering::Relaxed);
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
    });
}

fn watched(fleet: &Fleet, pace: Pace) -> Option<Watch> {
    let watch = Watch::at("alerts", pace)?;
    watch.scrape("linkr-control", fleet.control.admin());
    fleet.edges.iter().for_each(|edge| watch.scrape("linkr-edge", edge.admin()));
    Some(watch)
}

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

/// With the rules as they are deployed.
#[test]
#[ignore = "ten minutes of ordinary load: make test-long"]
fn ten_minutes_of_ordinary_load_raise_nothing() {
    let _turn = beside_others();
    let Some(fleet) = Fleet::start() else { return };
    let Some(watch) = watched(&fleet, Pace::REAL) else { return };
    under_load(&fleet, || {
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(600) {
            assert_eq!(watch.fired(), BTreeSet::new(), "after {:?}", began.elapsed());
            std::thread::sleep(Duration::from_secs(1));
        }
    });
}
