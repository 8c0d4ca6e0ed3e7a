//! What a server that runs says of itself.

use super::{Check, Finding, size};
use crate::doctor::facts::{Facts, Running, label};

pub const CHECKS: &[Check] = &[
    silent,
    ready,
    versions,
    descriptors,
    clock,
    log,
    snapshot,
    blind,
    set,
    clicks_waiting,
    clicks_lost,
    clicks_refused,
    names,
    edges,
    store,
    copy,
    files,
];

/// From this share of its descriptors on a process soon has none.
const FULL: f64 = 0.8;
/// An edge that has known nothing new for so many seconds is blind.
const BLIND_S: f64 = 1.0;

/// One finding about what runs, if there is one.
fn of_running(facts: &Facts, find: impl FnOnce(&Running) -> Option<Finding>) -> Vec<Finding> {
    facts.running.as_ref().and_then(find).into_iter().collect()
}

fn silent(facts: &Facts) -> Vec<Finding> {
    let silent = facts.others.iter().filter_map(|(address, other)| Some((address, other.as_ref().err()?)));
    let found = silent.map(|(address, why)| {
        Finding::new(
            "other_silent",
            format!("nothing that is linkr answers at {address} of --also: {why}"),
            "start it; or give the address of its --admin, which has to be reached from here",
        )
    });
    found.collect()
}

fn ready(facts: &Facts) -> Vec<Finding> {
    let all = facts.running.iter().chain(facts.others.iter().filter_map(|(_, other)| other.as_ref().ok()));
    let found = all.filter_map(|running| {
        let why = running.not_ready.as_ref()?;
        Some(Finding::new(
            "not_ready",
            format!("{} is not ready: {why}", running.admin),
            "see docs/probes.md for what it waits for; a balancer sends nobody there meanwhile",
        ))
    });
    found.collect()
}

fn versions(facts: &Facts) -> Vec<Finding> {
    let all = facts.running.iter().chain(facts.others.iter().filter_map(|(_, other)| other.as_ref().ok()));
    let found = all.filter_map(|running| {
        let build = running.build().filter(|build| *build != facts.own)?;
        let (own, admin) = (&facts.own, &running.admin);
        Some(Finding::new(
            "version_differs",
            format!(
                "{admin} runs linkr {} ({}), and this program is {} ({}): it has not been upgraded, or this one is another",
                build.version, build.commit, own.version, own.commit
            ),
            "upgrade controls first and then edges, one after the other (docs/upgrading.md)",
        ))
    });
    found.collect()
}

fn descriptors(facts: &Facts) -> Vec<Finding> {
    of_running(facts, |running| {
        let (open, most) = (running.value("process_open_fds")?, running.value("process_max_fds")?);
        let crowded = running.value("linkr_edge_crowded") == Some(1.0);
        (crowded || open > most * FULL).then(|| {
            Finding::new(
                "files_used_up",
                format!("{open} of {most} descriptors are open: soon connections wait for others to end"),
                "raise the limit (LimitNOFILE= of the unit) and restart; or let balancers keep fewer connections",
            )
        })
    })
}

fn clock(facts: &Facts) -> Vec<Finding> {
    of_running(facts, |running| {
        let steps: f64 = running.family("linkr_clock_steps_total").map(|(_, steps)| steps).sum();
        (steps > 0.0).then(|| {
            Finding::new(
                "clock_stepped",
                format!(
                    "the clock of its machine was set {steps} times while it ran: links expired early or late"
                ),
                "keep it in step by small steps (NTP), and never set it by hand",
            )
        })
    })
}

fn log(facts: &Facts) -> Vec<Finding> {
    of_running(facts, |running| {
        let dropped = running.value("linkr_log_lines_dropped_total").filter(|lines| *lines > 0.0)?;
        Some(Finding::new(
            "log_dropped",
            format!("{dropped} lines of its log could not be written: what they told is known to nobody"),
            "give the log a reader that keeps up, and the disk that it goes to room",
        ))
    })
}

fn snapshot(facts: &Facts) -> Vec<Finding> {
    of_running(facts, |running| {
        let failures = |what: &str| running.value(&format!("linkr_edge_snapshot_{what}_failures_total"));
        let (written, loaded) = (failures("write").unwrap_or(0.0), failures("load").unwrap_or(0.0));
        (written + loaded > 0.0).then(|| {
            Finding::new(
                "snapshot_failing",
                format!("its snapshot could not be written {written} times and not be read {loaded} times: the next start has older links, or none"),
                "see its log for why (snapshot_not_written, snapshot_unusable): room, rights and the disk below --snapshot",
            )
        })
    })
}

fn blind(facts: &Facts) -> Vec<Finding> {
    of_running(facts, |running| {
        let stale = running.value("linkr_edge_staleness_seconds").filter(|stale| *stale >= BLIND_S)?;
        Some(Finding::new(
            "edge_blind",
            format!(
                "this edge has not known for {stale:.0} s whether it is current: changes do not arrive, and strict links are answered with 503"
            ),
            "see its log for why control cannot be followed: address, key, certificate, network",
        ))
    })
}

fn set(facts: &Facts) -> Vec<Finding> {
    let redis = facts.settings.front.as_ref().is_some_and(|front| front.redis);
    of_running(facts, |running| {
        let evicted = running.value("linkr_hot_set_evictions_total").filter(|gone| *gone > 0.0 && !redis)?;
        Some(Finding::new(
            "set_too_small",
            format!(
                "{evicted} links had to go from memory, and there is no Redis: each that is asked for then waits for control, and is 503 when that is away"
            ),
            "raise --hot-set-bytes (docs/sizing.md), or give control and edges a Redis",
        ))
    })
}

fn clicks_waiting(facts: &Facts) -> Vec<Finding> {
    of_running(facts, |running| {
        let pending = running.value("linkr_clicks_pending").filter(|pending| *pending > 0.0)?;
        let (owed, budget) = (
            running.value("linkr_clicks_spool_owed_bytes")?,
            running.value("linkr_clicks_spool_budget_bytes")?,
        );
        let away = running.value("linkr_feed_connected") == Some(0.0);
        (away || owed > budget / 2.0).then(|| {
            Finding::new(
                "clicks_waiting",
                format!(
                    "{pending} clicks are on this edge's disk and not at control, {} of {}: beyond that the oldest are lost",
                    size(owed as u64),
                    size(budget as u64)
                ),
                "let it reach control; keep its --clicks-dir until linkr_clicks_pending is 0, whatever becomes of the edge",
            )
        })
    })
}

fn clicks_lost(facts: &Facts) -> Vec<Finding> {
    of_running(facts, |running| {
        let mut lost = running.family("linkr_clicks_lost_total").filter(|(_, lost)| *lost > 0.0);
        let (labels, count) = lost.next()?;
        let reason = label(labels, "reason").unwrap_or_default();
        Some(Finding::new(
            "clicks_lost",
            format!("{count} clicks are in no count ({reason}); linkr clicks tells of them as missing"),
            "spool_full: a larger --clicks-spool-bytes; ring_full and damaged: a disk that keeps up (docs/clicks.md)",
        ))
    })
}

fn clicks_refused(facts: &Facts) -> Vec<Finding> {
    of_running(facts, |running| {
        let refused = running.value("linkr_clicks_refused_total").filter(|batches| *batches > 0.0)?;
        Some(Finding::new(
            "clicks_refused",
            format!(
                "control refused {refused} batches of clicks of this edge: they are offered again, and counted by nobody until then"
            ),
            "upgrade control to this edge's version; give each edge a --name and a --clicks-dir of its own",
        ))
    })
}

fn names(facts: &Facts) -> Vec<Finding> {
    of_running(facts, |running| {
        let doubled = running.value("linkr_control_click_edges_doubled").filter(|names| *names > 0.0)?;
        Some(Finding::new(
            "edges_of_one_name",
            format!(
                "{doubled} names are said by two edges that live: counts of clicks are late, and linkr feed status shows one of them"
            ),
            "give each edge a --name of its own",
        ))
    })
}

fn edges(facts: &Facts) -> Vec<Finding> {
    of_running(facts, |running| {
        let blind: Vec<&str> = running
            .family("linkr_control_edge_blind")
            .filter(|(_, blind)| *blind > 0.0)
            .filter_map(|(labels, _)| label(labels, "edge"))
            .collect();
        (!blind.is_empty()).then(|| {
            Finding::new(
                "edges_blind",
                format!("blind edges: {}. Writes with --ack propagated wait for them in vain, and they may answer as before", blind.join(", ")),
                "see their logs; one that is gone for good: linkr feed forget NAME",
            )
        })
    })
}

fn store(facts: &Facts) -> Vec<Finding> {
    of_running(facts, |running| {
        if running.value("linkr_control_store_replaced") == Some(1.0) {
            return Some(Finding::new(
                "store_replaced",
                "the database holds another history than this control has seen: it refuses it, and takes no writes",
                "if it was put back on purpose: linkr control bump-epoch (docs/backup.md); else find the right one",
            ));
        }
        (running.value("linkr_store_writable") == Some(0.0)).then(|| {
            Finding::new(
                "store_unwritable",
                "the last write of this control failed: nothing can be created or changed",
                "see its log (store_unwritable) for why: disk, rights, a primary that is away",
            )
        })
    })
}

fn copy(facts: &Facts) -> Vec<Finding> {
    of_running(facts, |running| {
        let (all, follow) =
            (running.value("linkr_redis_shards")?, running.value("linkr_redis_shards_connected")?);
        (follow < all).then(|| {
            Finding::new(
                "redis_not_followed",
                format!(
                    "{follow} of {all} shards of the copy in Redis follow the log: edges ask control instead"
                ),
                "see the log of control (copy_lost) for why: address, password, rights, memory of Redis",
            )
        })
    })
}

fn files(facts: &Facts) -> Vec<Finding> {
    let mut found = of_running(facts, |running| {
        let usable = running.family("linkr_tls_certificates_usable").find(|(_, usable)| *usable < 1.0);
        let listener = label(usable?.0, "listener").unwrap_or_default();
        Some(Finding::new(
            "certificates_unusable",
            format!(
                "the files of the certificates of {listener} cannot be used: it shows what they held before, until it is restarted"
            ),
            "see its log (certificates_unusable) for the file and why",
        ))
    });
    let geo = facts.settings.front.as_ref().is_some_and(|front| front.geo);
    found.extend(of_running(facts, |running| {
        (geo && running.value("linkr_clicks_geo_in_use") == Some(0.0)).then(|| {
            Finding::new(
                "geo_unused",
                "the database of --geo is not in use: clicks are counted without a country",
                "put a database (MMDB) that can be read there: it is taken up when the file changes",
            )
        })
    }));
    found
}

#[cfg(test)]
mod tests {
    use super::super::tests::{finds, shows};

    #[test]
    fn other_servers() {
        finds("other_silent", |facts| facts.others[0].1 = Err("connection refused".into()));
        finds("not_ready", |facts| {
            facts.running.as_mut().unwrap().not_ready = Some("control has not sent all links".into());
        });
        finds("version_differs", |facts| {
            facts.others[0].1.as_mut().unwrap().series[0].0 =
                "linkr_build_info{version=\"1.2.2\",commit=\"old\"}".into();
        });
    }

    #[test]
    fn a_process_and_its_machine() {
        finds("files_used_up", |facts| shows(facts, "process_open_fds", 1_000_000.0));
        finds("files_used_up", |facts| shows(facts, "linkr_edge_crowded", 1.0));
        finds("clock_stepped", |facts| shows(facts, "linkr_clock_steps_total{direction=\"back\"}", 1.0));
        finds("log_dropped", |facts| shows(facts, "linkr_log_lines_dropped_total", 4.0));
    }

    #[test]
    fn an_edge_and_its_links() {
        finds("snapshot_failing", |facts| shows(facts, "linkr_edge_snapshot_write_failures_total", 1.0));
        finds("edge_blind", |facts| shows(facts, "linkr_edge_staleness_seconds", f64::INFINITY));
        finds("set_too_small", |facts| shows(facts, "linkr_hot_set_evictions_total", 5.0));
    }

    #[test]
    fn clicks_under_way() {
        finds("clicks_waiting", |facts| shows(facts, "linkr_feed_connected", 0.0));
        finds("clicks_waiting", |facts| shows(facts, "linkr_clicks_spool_owed_bytes", 3e9));
        let lost = finds("clicks_lost", |facts| {
            shows(facts, "linkr_clicks_lost_total{reason=\"spool_full\"}", 7.0);
        });
        assert!(lost.cause.contains("7 clicks are in no count (spool_full)"), "{}", lost.cause);
        finds("clicks_refused", |facts| shows(facts, "linkr_clicks_refused_total", 1.0));
        finds("geo_unused", |facts| shows(facts, "linkr_clicks_geo_in_use", 0.0));
    }

    #[test]
    fn control_and_its_edges() {
        finds("edges_of_one_name", |facts| shows(facts, "linkr_control_click_edges_doubled", 1.0));
        let blind =
            finds("edges_blind", |facts| shows(facts, "linkr_control_edge_blind{edge=\"fra-1\"}", 1.0));
        assert!(blind.cause.contains("fra-1"), "{}", blind.cause);
        finds("store_replaced", |facts| shows(facts, "linkr_control_store_replaced", 1.0));
        finds("store_unwritable", |facts| shows(facts, "linkr_store_writable", 0.0));
        finds("redis_not_followed", |facts| shows(facts, "linkr_redis_shards_connected", 0.0));
        finds("certificates_unusable", |facts| {
            shows(facts, "linkr_tls_certificates_usable{listener=\"redirects\"}", 0.0);
        });
    }
}
