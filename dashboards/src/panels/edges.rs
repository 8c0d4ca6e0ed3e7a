//! The edges, one by one.

use super::{durations, line, panel};
use crate::model::{Dashboard, Row, Unit};

pub const DASHBOARD: Dashboard = Dashboard {
    uid: "linkr-edges",
    title: "linkr: edges",
    rows: &[
        Row {
            title: "Requests",
            panels: &[
                panel(
                    "Requests",
                    Unit::PerSecond,
                    "What each edge answers.",
                    &[line(
                        "{{instance}}",
                        "sum by (instance) (rate(linkr_edge_requests_total[$__rate_interval]))",
                    )],
                ),
                panel(
                    "Tiers",
                    Unit::Share,
                    "Where answers come from: this edge alone, Redis, control, or the memory of a blind edge.",
                    &[line(
                        "{{tier}}",
                        "sum by (tier) (rate(linkr_edge_requests_total{outcome=~\"redirect|gone|expired|not_found\",tier!=\"none\"}[$__rate_interval])) \
                         / ignoring (tier) group_left \
                         sum(rate(linkr_edge_requests_total{outcome=~\"redirect|gone|expired|not_found\",tier!=\"none\"}[$__rate_interval]))",
                    )],
                ),
                panel(
                    "Answers that are 503",
                    Unit::PerSecond,
                    "Nobody who knows could be asked, or the record cannot be read.",
                    &[line(
                        "{{instance}} {{tier}}",
                        "sum by (instance, tier) (rate(linkr_edge_requests_total{outcome=\"unavailable\"}[$__rate_interval]))",
                    )],
                ),
                durations(
                    "Duration of answers, 99 of 100",
                    "By edge. A dot is a trace that was kept.",
                    &[line(
                        "{{instance}}",
                        "histogram_quantile(0.99, sum by (instance, le) (rate(linkr_edge_request_duration_seconds_bucket[$__rate_interval])))",
                    )],
                ),
                panel(
                    "Asked for elsewhere",
                    Unit::PerSecond,
                    "Requests whose link was not in memory: Redis or control was asked.",
                    &[line("{{instance}}", "rate(linkr_edge_misses_total[$__rate_interval])")],
                ),
                panel(
                    "Pipelining",
                    Unit::Short,
                    "Requests for each time that bytes of a connection were answered.",
                    &[line(
                        "{{instance}}",
                        "sum by (instance) (rate(linkr_edge_answered_total[$__rate_interval])) / sum by (instance) (rate(linkr_edge_turns_total[$__rate_interval]))",
                    )],
                ),
            ],
        },
        Row {
            title: "Connections and processors",
            panels: &[
                panel(
                    "Connections",
                    Unit::Short,
                    "Open now, by worker.",
                    &[line("{{instance}} {{worker}}", "linkr_edge_connections")],
                ),
                panel(
                    "Accepted",
                    Unit::PerSecond,
                    "Connections, and TLS handshakes by what came of them.",
                    &[
                        line(
                            "{{instance}}",
                            "sum by (instance) (rate(linkr_edge_accepted_total[$__rate_interval]))",
                        ),
                        line(
                            "{{instance}} TLS {{outcome}}",
                            "rate(linkr_edge_tls_handshakes_total[$__rate_interval])",
                        ),
                    ],
                ),
                panel(
                    "Crowded",
                    Unit::Short,
                    "1: as many connections are open as descriptors allow. Workers, and the driver that they run on.",
                    &[
                        line("{{instance}}", "linkr_edge_crowded"),
                        line("{{instance}} {{driver}}", "linkr_runtime_info"),
                    ],
                ),
                panel(
                    "Processor",
                    Unit::Short,
                    "Cores that each process uses.",
                    &[line(
                        "{{instance}}",
                        "rate(process_cpu_seconds_total{job=~\"linkr.*\"}[$__rate_interval])",
                    )],
                ),
                panel(
                    "Memory",
                    Unit::Bytes,
                    "Resident, and address space.",
                    &[
                        line("{{instance}}", "process_resident_memory_bytes{job=~\"linkr.*\"}"),
                        line("{{instance}} address space", "process_virtual_memory_bytes{job=~\"linkr.*\"}"),
                    ],
                ),
                panel(
                    "Descriptors and threads",
                    Unit::Short,
                    "Descriptors open, as many as there may be, and threads.",
                    &[
                        line("{{instance}} open", "process_open_fds{job=~\"linkr.*\"}"),
                        line("{{instance}} most", "process_max_fds{job=~\"linkr.*\"}"),
                        line("{{instance}} threads", "process_threads{job=~\"linkr.*\"}"),
                    ],
                ),
            ],
        },
        Row {
            title: "Links in memory",
            panels: &[
                panel(
                    "Links",
                    Unit::Short,
                    "Links in memory. *complete* is 1: every link is there.",
                    &[
                        line("{{instance}}", "linkr_hot_set_entries"),
                        line("{{instance}} complete", "linkr_hot_set_complete"),
                    ],
                ),
                panel(
                    "Room",
                    Unit::Bytes,
                    "What links take, and may take.",
                    &[
                        line("{{instance}}", "linkr_hot_set_bytes"),
                        line("{{instance}} most", "linkr_hot_set_budget_bytes"),
                    ],
                ),
                panel(
                    "Evicted",
                    Unit::PerSecond,
                    "Links that had to go since others came.",
                    &[line("{{instance}}", "rate(linkr_hot_set_evictions_total[$__rate_interval])")],
                ),
                panel(
                    "Snapshot",
                    Unit::Seconds,
                    "How old the file is, and how long it took to write or read.",
                    &[
                        line("{{instance}} age", "linkr_edge_snapshot_age_seconds"),
                        line("{{instance}} took", "linkr_edge_snapshot_duration_seconds"),
                    ],
                ),
                panel(
                    "Snapshot on disk",
                    Unit::Bytes,
                    "What the file takes.",
                    &[line("{{instance}}", "linkr_edge_snapshot_bytes")],
                ),
                panel(
                    "Snapshots that failed",
                    Unit::Short,
                    "Files that could not be written, or read, since the start.",
                    &[
                        line("{{instance}} written", "linkr_edge_snapshot_write_failures_total"),
                        line("{{instance}} read", "linkr_edge_snapshot_load_failures_total"),
                    ],
                ),
            ],
        },
        Row {
            title: "The log of changes",
            panels: &[
                panel(
                    "Staleness",
                    Unit::Seconds,
                    "Above 1 s the edge is blind.",
                    &[line("{{instance}}", "linkr_edge_staleness_seconds")],
                ),
                panel(
                    "Behind",
                    Unit::Seconds,
                    "Seconds since no known change was missing.",
                    &[line("{{instance}}", "linkr_feed_lag_seconds")],
                ),
                panel(
                    "Changes behind",
                    Unit::Short,
                    "Changes that are known and not applied.",
                    &[line("{{instance}}", "linkr_feed_lag_changes")],
                ),
                panel(
                    "Applied",
                    Unit::PerSecond,
                    "Changes applied.",
                    &[line("{{instance}}", "rate(linkr_feed_applied_seq[$__rate_interval])")],
                ),
                panel(
                    "Stream",
                    Unit::Short,
                    "1: a stream from control is up.",
                    &[line("{{instance}}", "linkr_feed_connected")],
                ),
                panel(
                    "Streams begun again",
                    Unit::Short,
                    "Since the start: for a gap, anew, and records that could not be read.",
                    &[
                        line("{{instance}} gaps", "linkr_feed_gaps_total"),
                        line("{{instance}} anew", "linkr_feed_resets_total"),
                        line("{{instance}} unreadable", "linkr_feed_quarantined_total"),
                    ],
                ),
            ],
        },
        Row {
            title: "Redis",
            panels: &[
                panel(
                    "Questions",
                    Unit::PerSecond,
                    "By what they came to.",
                    &[line(
                        "{{outcome}}",
                        "sum by (outcome) (rate(linkr_redis_requests_total[$__rate_interval]))",
                    )],
                ),
                panel(
                    "Duration of questions, 99 of 100",
                    Unit::Seconds,
                    "After 5 ms control is asked instead.",
                    &[line(
                        "{{instance}}",
                        "histogram_quantile(0.99, sum by (instance, le) (rate(linkr_redis_request_duration_seconds_bucket[$__rate_interval])))",
                    )],
                ),
                panel(
                    "Asked",
                    Unit::Short,
                    "1: a worker at least asks Redis; workers that do not; questions that wait.",
                    &[
                        line("{{instance}} up", "linkr_redis_up"),
                        line("{{instance}} workers that do not", "linkr_redis_breaker_open"),
                        line("{{instance}} waiting", "linkr_redis_in_flight"),
                    ],
                ),
            ],
        },
        Row {
            title: "Clicks",
            panels: &[
                panel(
                    "Clicks",
                    Unit::PerSecond,
                    "Recorded, by what they are.",
                    &[
                        line("{{kind}}", "sum by (kind) (rate(linkr_clicks_total[$__rate_interval])) > 0"),
                        line("recorded", "sum(rate(linkr_clicks_recorded_total[$__rate_interval]))"),
                        line("acknowledged", "sum(rate(linkr_clicks_acknowledged_total[$__rate_interval]))"),
                    ],
                ),
                panel(
                    "Pending",
                    Unit::Short,
                    "Recorded, and neither acknowledged nor lost.",
                    &[line("{{instance}}", "linkr_clicks_pending")],
                ),
                panel(
                    "Spool",
                    Unit::Bytes,
                    "What it takes, of that what control lacks, and what it may take.",
                    &[
                        line("{{instance}}", "linkr_clicks_spool_bytes"),
                        line("{{instance}} owed", "linkr_clicks_spool_owed_bytes"),
                        line("{{instance}} most", "linkr_clicks_spool_budget_bytes"),
                    ],
                ),
                panel(
                    "Troubles of the spool",
                    Unit::Short,
                    "Since the start: times that it failed, batches that control refused.",
                    &[
                        line("{{instance}} failed", "linkr_clicks_spool_failures_total"),
                        line("{{instance}} refused", "linkr_clicks_refused_total"),
                    ],
                ),
                panel(
                    "Countries",
                    Unit::Short,
                    "1: a database of countries is in use; times that its file could not be used.",
                    &[
                        line("{{instance}} in use", "linkr_clicks_geo_in_use"),
                        line("{{instance}} failures", "linkr_clicks_geo_failures_total"),
                    ],
                ),
            ],
        },
        Row {
            title: "Traces",
            panels: &[
                panel(
                    "Kept",
                    Unit::PerSecond,
                    "Turns kept as traces, by why.",
                    &[line(
                        "{{reason}}",
                        "sum by (reason) (rate(linkr_edge_traces_kept_total[$__rate_interval]))",
                    )],
                ),
                panel(
                    "Slow from",
                    Unit::Seconds,
                    "From here on a turn is slow: all but a thousandth of the last minute were quicker.",
                    &[line("{{instance}}", "linkr_edge_slow_threshold_seconds")],
                ),
                panel(
                    "Left out",
                    Unit::PerSecond,
                    "Turns not kept since too many had been, kept traces not sent, and what became of spans and of traceparents.",
                    &[
                        line(
                            "passed over: {{reason}}",
                            "sum by (reason) (rate(linkr_edge_traces_passed_over_total[$__rate_interval]))",
                        ),
                        line(
                            "crowded out",
                            "sum(rate(linkr_edge_traces_crowded_out_total[$__rate_interval]))",
                        ),
                        line(
                            "spans {{outcome}}",
                            "sum by (outcome) (rate(linkr_edge_otlp_spans_total[$__rate_interval]))",
                        ),
                        line(
                            "calls {{outcome}}",
                            "sum by (outcome) (rate(linkr_edge_otlp_failures_total[$__rate_interval]))",
                        ),
                        line(
                            "traceparents {{outcome}}",
                            "sum by (outcome) (rate(linkr_edge_traceparents_total[$__rate_interval]))",
                        ),
                    ],
                ),
            ],
        },
    ],
};
