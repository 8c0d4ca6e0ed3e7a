//! The table of checks. Each goes from facts to findings, and asks nobody anything.

mod machine;
mod running;
mod settings;
mod stores;

use super::facts::Facts;

/// Something that hurts, or will.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Its name, for scripts.
    pub name: &'static str,
    /// The trouble in words, and its consequence.
    pub cause: String,
    /// The change that ends the trouble.
    pub way_out: String,
}

impl Finding {
    fn new(name: &'static str, cause: impl Into<String>, way_out: impl Into<String>) -> Self {
        Self { name, cause: cause.into(), way_out: way_out.into() }
    }
}

/// One check: reads the facts and returns its findings of one kind of trouble.
type Check = fn(&Facts) -> Vec<Finding>;

/// All checks, in the order in which their findings are shown: what keeps a server from starting first.
const CHECKS: [&[Check]; 4] = [settings::CHECKS, stores::CHECKS, machine::CHECKS, running::CHECKS];

/// Everything that hurts, or will.
pub fn all(facts: &Facts) -> Vec<Finding> {
    CHECKS.iter().copied().flatten().flat_map(|check| check(facts)).collect()
}

/// Bytes for people.
fn size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match UNITS.into_iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => format!("{:.1} {name}", bytes as f64 / unit as f64),
        None => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::facts::*;
    use super::*;

    /// `linkr up` on a good machine, and the stores of `linkr control` besides, with nothing that hurts.
    pub fn sound() -> Facts {
        let survey = store::postgres::Survey {
            ahead_s: 0.01,
            synchronous_commit: "on".into(),
            unsafe_settings: Vec::new(),
            standby_names: "standby".into(),
            standbys: 1,
            synchronous_standbys: Some(1),
            superuser: false,
            connections_free: 80,
            connections_wanted: 12,
            tables: store::TableSurvey::default(),
        };
        let redis = control::RedisSurvey {
            forbidden: Vec::new(),
            max_memory: Some(1 << 30),
            policy: Some("volatile-lru".into()),
        };
        let place = |what, path: &str| Place {
            what,
            path: path.into(),
            kind: FileSystem::Disk,
            bytes: 100 << 30,
            free: 50 << 30,
            files_free: 1_000_000,
            files: 2_000_000,
        };
        let own = Build { version: "1.2.3".into(), commit: "abc".into() };
        Facts {
            now: 1_800_000_000,
            own,
            settings: Settings {
                refused: None,
                api: Some(([127, 0, 0, 1], 8081).into()),
                insecure: false,
                control: vec!["https://control:8081".into(), "http://localhost:8081".into()],
                front: Some(Front {
                    hot_set_bytes: 1 << 30,
                    workers: 0,
                    snapshot: true,
                    with_control: false,
                    spool_bytes: Some(4 << 30),
                    redis: false,
                    geo: true,
                }),
                store_hosts: 2,
                fenced: false,
                redis_open: Vec::new(),
            },
            machine: Machine {
                clock_is_kept: Some(true),
                kernel: "6.1.0-18-amd64".into(),
                driver: edge::Driver::IoUring,
                driver_because: String::new(),
                files: 1_048_576,
                locked_bytes: 8 << 20,
                memory: 16 << 30,
                memory_free: 8 << 30,
                cores: 4,
                queue: 4096,
            },
            places: vec![
                place(PlaceUse::Store, "/var/lib/linkr"),
                place(PlaceUse::Clicks, "/var/lib/linkr/clicks"),
            ],
            secrets: vec![SecretFile { flag: "--tls-key", path: "tls.key".into(), is_open: false }],
            certificates: vec![Certificate {
                flag: "--tls-cert",
                path: "tls.pem".into(),
                ends: 1_800_000_000 + 60 * 86_400,
            }],
            left: Vec::new(),
            running: Some(serving("127.0.0.1:8082")),
            others: vec![("10.0.0.2:8083".into(), Ok(serving("10.0.0.2:8083")))],
            sqlite: Some(Ok(store::TableSurvey::default())),
            clicks_unusable: None,
            postgres: Some(Ok(survey)),
            redis: Some(Ok(redis)),
        }
    }

    fn serving(admin: &str) -> Running {
        let series = [
            ("linkr_build_info{version=\"1.2.3\",commit=\"abc\"}", 1.0),
            ("linkr_runtime_info{driver=\"io_uring\"}", 1.0),
            ("process_open_fds", 100.0),
            ("process_max_fds", 1_048_576.0),
            ("linkr_edge_crowded", 0.0),
            ("linkr_clock_steps_total{direction=\"back\"}", 0.0),
            ("linkr_log_lines_dropped_total", 0.0),
            ("linkr_edge_snapshot_write_failures_total", 0.0),
            ("linkr_edge_snapshot_load_failures_total", 0.0),
            ("linkr_edge_staleness_seconds", 0.1),
            ("linkr_feed_connected", 1.0),
            ("linkr_hot_set_bytes", 200e6),
            ("linkr_hot_set_complete", 1.0),
            ("linkr_hot_set_evictions_total", 0.0),
            ("linkr_clicks_pending", 12.0),
            ("linkr_clicks_spool_bytes", 1e6),
            ("linkr_clicks_spool_owed_bytes", 1e6),
            ("linkr_clicks_spool_budget_bytes", 4e9),
            ("linkr_clicks_lost_total{reason=\"ring_full\"}", 0.0),
            ("linkr_clicks_lost_total{reason=\"spool_full\"}", 0.0),
            ("linkr_clicks_refused_total", 0.0),
            ("linkr_clicks_geo_in_use", 1.0),
            ("linkr_control_click_edges_doubled", 0.0),
            ("linkr_control_edge_blind{edge=\"fra-1\"}", 0.0),
            ("linkr_control_store_replaced", 0.0),
            ("linkr_store_writable", 1.0),
            ("linkr_redis_shards", 1.0),
            ("linkr_redis_shards_connected", 1.0),
            ("linkr_tls_certificates_usable{listener=\"redirects\"}", 1.0),
        ];
        let series = series.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        Running { admin: admin.into(), ahead_s: 0.4, not_ready: None, series }
    }

    /// Plants one trouble in a sound deployment, and finds it and nothing else.
    #[track_caller]
    pub fn finds(name: &str, plant: impl FnOnce(&mut Facts)) -> Finding {
        let mut facts = sound();
        plant(&mut facts);
        let found = all(&facts);
        let [one] = found.as_slice() else { panic!("{name}: {found:#?}") };
        assert_eq!(one.name, name, "{found:#?}");
        assert!(!one.cause.is_empty() && !one.way_out.is_empty());
        one.clone()
    }

    /// One of the series of what runs.
    pub fn shows(facts: &mut Facts, series: &str, value: f64) {
        let running = facts.running.as_mut().unwrap();
        let known = running.series.iter_mut().find(|(name, _)| name == series);
        known.unwrap_or_else(|| panic!("{series}")).1 = value;
    }

    #[test]
    fn a_sound_deployment_has_no_findings() {
        assert_eq!(all(&sound()), []);
    }

    #[test]
    fn what_is_only_to_run_is_looked_at_without_it() {
        let nothing = Facts { running: None, others: Vec::new(), sqlite: None, ..sound() };
        let facts = Facts { postgres: None, redis: None, ..nothing };
        assert_eq!(all(&facts), []);
    }

    /// docs/doctor.md has a row for each name that a check gives a finding, and for no other.
    #[test]
    fn every_finding_is_explained() {
        let page = include_str!("../../../docs/doctor.md");
        let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
        let sources = [
            include_str!("checks/machine.rs"),
            include_str!("checks/running.rs"),
            include_str!("checks/settings.rs"),
            include_str!("checks/stores.rs"),
        ];
        let (mut explained, mut given): (Vec<_>, Vec<_>) = (rows.collect(), Vec::new());
        for source in sources {
            let (checks, tests) = source.split_once("#[cfg(test)]").unwrap();
            for found in checks.split("Finding::new(").skip(1) {
                let name = found.split('"').nth(1).unwrap();
                assert!(tests.contains(&format!("finds(\"{name}\"")), "{name} is never planted");
                given.push(name);
            }
        }
        explained.sort_unstable();
        given.sort_unstable();
        given.dedup();
        assert_eq!(explained, given);
    }

    #[test]
    fn sizes_for_people() {
        assert_eq!([size(12), size(1 << 20), size(3 << 29)], ["12 bytes", "1.0 MiB", "1.5 GiB"]);
    }
}
