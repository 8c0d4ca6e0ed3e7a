//! A fleet that has something to tell of everything, and what people and visitors do with it all day.

use super::{Visitors, Watch, beside, control, edge, url};
use crate::signals::certificates::Pair;
use crate::support::{Connection, Dir, Linkr, skip, until};
use crate::traces::receiver::Receiver;
use dashboards::Pace;
use std::time::Duration;

const LINKS: usize = 4_000;

/// A control with a copy in Redis; an edge with room for everything, a file, TLS and clicks, and one with little room.
pub struct Fleet {
    pub control: Linkr,
    pub edges: [Linkr; 2],
    _dirs: [Dir; 3],
    _redis: services::Redis,
    _receiver: Receiver,
}

impl Fleet {
    pub fn start() -> Option<Self> {
        let redis = match services::Redis::start(&["maxmemory-policy volatile-lru"]) {
            Err(fault @ services::ServerFault::Missing(_)) => {
                skip("alerts", &fault.to_string());
                return None;
            }
            redis => redis.unwrap(),
        };
        let dirs = [Dir::new(), Dir::new(), Dir::new()];
        let receiver = Receiver::start();
        let otlp = ["--otlp", receiver.url()];
        let store = ["--redis", redis.url(), "--store", "sqlite:linkr.db"];
        let control = control(&dirs[0], &[&store[..], &otlp].concat());
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
            edge(&dirs[1], &url(&control), &[&whole[..], &tls, &otlp].concat()),
            edge(&dirs[2], &url(&control), &part),
        ];
        for edge in &edges {
            until("it to be ready", || {
                (Connection::to(edge.admin()).ask("GET", "/readyz").status == 200).then_some(())
            });
            until("Redis to be asked", || edge.metric("linkr_redis_up").filter(|up| *up == 1.0));
        }
        Some(Self { control, edges, _dirs: dirs, _redis: redis, _receiver: receiver })
    }

    fn visited(&self) -> Vec<Visitors> {
        let path = |n: usize| {
            if n.is_multiple_of(20) { format!("/none{n}") } else { format!("/c{}", n * 7 % LINKS) }
        };
        self.edges.iter().map(|edge| Visitors::of(edge, path)).collect()
    }
}

/// Runs what is judged beside what people do with links all day: writes, reads, and looks for what is not there.
pub fn under_load(fleet: &Fleet, judge: impl FnOnce()) {
    let _visitors = fleet.visited();
    let (mut api, mut number) = (Connection::to(fleet.control.api()), 0);
    let edits = || {
        let body = format!(r#"{{"code":"new{number}","target":"https://example.com/{number}"}}"#);
        assert_eq!(api.call("POST", "/v1/links", &body).unwrap().unwrap().status, 201);
        for (path, status) in [(format!("/v1/links/new{number}"), 200), ("/v1/links/nothing".to_owned(), 404)]
        {
            assert_eq!(api.call("GET", &path, "").unwrap().unwrap().status, status);
        }
        number += 1;
        std::thread::sleep(Duration::from_millis(200));
    };
    beside(edits, judge);
}

pub fn watched(fleet: &Fleet, pace: Pace) -> Option<Watch> {
    let watch = Watch::at("alerts", pace)?;
    watch.scrape("linkr-control", fleet.control.admin());
    fleet.edges.iter().for_each(|edge| watch.scrape("linkr-edge", edge.admin()));
    Some(watch)
}
