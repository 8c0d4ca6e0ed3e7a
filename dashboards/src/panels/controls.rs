//! Control and its store.

use super::{durations, line, panel};
use crate::model::{Dashboard, Row, Unit};

pub const DASHBOARD: Dashboard = Dashboard {
    uid: "linkr-control",
    title: "linkr: control",
    rows: &[
        Row {
            title: "Calls",
            panels: &[
                panel(
                    "Calls",
                    Unit::PerSecond,
                    "Calls answered, by what they are and come to.",
                    &[line(
                        "{{method}} {{code}}",
                        "sum by (method, code) (rate(linkr_control_requests_total[$__rate_interval])) > 0",
                    )],
                ),
                durations(
                    "Duration of calls, 99 of 100",
                    "By method; of one that streams, to the beginning of its stream. A dot is a trace that was kept.",
                    &[line(
                        "{{method}}",
                        "histogram_quantile(0.99, sum by (method, le) (rate(linkr_control_request_duration_seconds_bucket[$__rate_interval])))",
                    )],
                ),
                panel(
                    "Refused at the door",
                    Unit::PerSecond,
                    "No good key, no right, too much.",
                    &[line(
                        "{{reason}}",
                        "sum by (reason) (rate(linkr_control_refusals_total[$__rate_interval]))",
                    )],
                ),
            ],
        },
        Row {
            title: "The store",
            panels: &[
                durations(
                    "Duration of operations, 99 of 100",
                    "With their retries. A slow disk shows in `commit`.",
                    &[line(
                        "{{operation}}",
                        "histogram_quantile(0.99, sum by (operation, le) (rate(linkr_store_request_duration_seconds_bucket[$__rate_interval])))",
                    )],
                ),
                panel(
                    "Operations that failed",
                    Unit::PerSecond,
                    "By reason.",
                    &[line("{{instance}} {{reason}}", "rate(linkr_store_failures_total[$__rate_interval])")],
                ),
                panel(
                    "Connections to the store",
                    Unit::Short,
                    "In use, idle, as many as there may be, and calls that wait for one.",
                    &[
                        line("{{instance}} {{state}}", "linkr_store_connections"),
                        line("{{instance}} most", "linkr_store_connections_most"),
                        line("{{instance}} waiting", "linkr_store_waiting"),
                    ],
                ),
                panel(
                    "Standing",
                    Unit::Short,
                    "Whether it is readable and writable, was replaced, and whether fresh answers hold over a failover.",
                    &[
                        line("{{instance}} readable", "linkr_store_readable"),
                        line("{{instance}} writable", "linkr_store_writable"),
                        line("{{instance}} replaced", "linkr_control_store_replaced"),
                        line("{{instance}} certified", "linkr_control_freshness_certified"),
                    ],
                ),
            ],
        },
        Row {
            title: "The log and the edges",
            panels: &[
                panel(
                    "Changes",
                    Unit::PerSecond,
                    "Changes written into the log.",
                    &[line("written", "max(rate(linkr_control_log_head[$__rate_interval]))")],
                ),
                panel(
                    "Edges",
                    Unit::Short,
                    "Edges that follow each control, and histories that began since its start.",
                    &[
                        line("{{instance}}", "linkr_control_feed_sessions"),
                        line("{{instance}} histories", "linkr_control_histories_total"),
                    ],
                ),
                panel(
                    "Where edges are",
                    Unit::Short,
                    "The last change that each edge has applied, and those that it has not.",
                    &[
                        line("{{edge}}", "max by (edge) (linkr_control_edge_position)"),
                        line("{{edge}} behind", "max by (edge) (linkr_control_edge_lag_changes)"),
                        line("{{edge}} blind", "max by (edge) (linkr_control_edge_blind)"),
                    ],
                ),
            ],
        },
        Row {
            title: "The copy in Redis",
            panels: &[
                panel(
                    "Shards",
                    Unit::Short,
                    "Shards, those that follow the log, and 1 if Redis evicts only what has a lifetime (`maxmemory-policy volatile-*`).",
                    &[
                        line("{{instance}} shards", "linkr_redis_shards"),
                        line("{{instance}} following", "linkr_redis_shards_connected"),
                        line("{{instance}} policy", "linkr_redis_policy_volatile"),
                    ],
                ),
                panel(
                    "Changes behind",
                    Unit::Short,
                    "Of the shard that is most behind.",
                    &[line("{{instance}}", "linkr_redis_lag_changes")],
                ),
                panel(
                    "Written",
                    Unit::PerSecond,
                    "Positions moved, found elsewhere, begun anew; values offered for edges.",
                    &[
                        line("moved", "sum(rate(linkr_redis_scripts_total[$__rate_interval]))"),
                        line("elsewhere", "sum(rate(linkr_redis_refused_total[$__rate_interval]))"),
                        line("anew", "sum(rate(linkr_redis_starts_total[$__rate_interval]))"),
                        line(
                            "offered: {{outcome}}",
                            "sum by (outcome) (rate(linkr_redis_offers_total[$__rate_interval]))",
                        ),
                    ],
                ),
            ],
        },
        Row {
            title: "Clicks",
            panels: &[
                panel(
                    "Clicks written",
                    Unit::PerSecond,
                    "Each once, by kind.",
                    &[line(
                        "{{kind}}",
                        "sum by (kind) (rate(linkr_control_clicks_total[$__rate_interval])) > 0",
                    )],
                ),
                panel(
                    "Batches",
                    Unit::PerSecond,
                    "By what became of them, commits of them, and batches that were folded into counts.",
                    &[
                        line(
                            "{{outcome}}",
                            "sum by (outcome) (rate(linkr_control_click_batches_total[$__rate_interval]))",
                        ),
                        line("commits", "sum(rate(linkr_control_click_commits_total[$__rate_interval]))"),
                        line(
                            "folded",
                            "sum(rate(linkr_control_click_batches_folded_total[$__rate_interval]))",
                        ),
                    ],
                ),
                panel(
                    "Complete up to",
                    Unit::Time,
                    "The moment up to which every click of every edge is counted.",
                    &[line("{{instance}}", "linkr_control_clicks_complete_until_seconds * 1000")],
                ),
                panel(
                    "Clicks that are missing or were moved",
                    Unit::Short,
                    "Told by edges as lost; with times that cannot be; put into another kind by linkr clicks --reclassify.",
                    &[
                        line("{{reason}}", "sum by (reason) (linkr_control_clicks_lost_total)"),
                        line("clamped", "sum(linkr_control_clicks_clamped_total)"),
                        line("made up", "sum(linkr_control_clicks_unbelieved_total)"),
                        line("classed anew", "sum(linkr_control_clicks_reclassified_total)"),
                        line("names said twice", "max(linkr_control_click_edges_doubled)"),
                    ],
                ),
                panel(
                    "The store of clicks",
                    Unit::Short,
                    "1: the last read, or write, went well; calls that failed since the start. Links do not depend on it.",
                    &[
                        line("{{instance}} readable", "linkr_store_clicks_readable"),
                        line("{{instance}} writable", "linkr_store_clicks_writable"),
                        line("{{instance}} {{reason}}", "linkr_store_clicks_failures_total"),
                    ],
                ),
            ],
        },
        Row {
            title: "Traces",
            panels: &[
                panel(
                    "Calls kept",
                    Unit::PerSecond,
                    "Calls kept as traces, by why; those not kept since too many had been.",
                    &[
                        line(
                            "{{reason}}",
                            "sum by (reason) (rate(linkr_control_traces_kept_total[$__rate_interval]))",
                        ),
                        line(
                            "passed over: {{reason}}",
                            "sum by (reason) (rate(linkr_control_traces_passed_over_total[$__rate_interval]))",
                        ),
                    ],
                ),
                panel(
                    "Spans sent",
                    Unit::PerSecond,
                    "Spans by what became of them, and calls of the receiver that came to nothing.",
                    &[
                        line(
                            "spans {{outcome}}",
                            "sum by (outcome) (rate(linkr_control_otlp_spans_total[$__rate_interval]))",
                        ),
                        line(
                            "calls {{outcome}}",
                            "sum by (outcome) (rate(linkr_control_otlp_failures_total[$__rate_interval]))",
                        ),
                    ],
                ),
            ],
        },
        Row {
            title: "The process",
            panels: &[
                panel(
                    "Clock and log",
                    Unit::Short,
                    "Since the start: times that the clock was set, lines of the log that could not be written.",
                    &[
                        line("{{instance}} {{direction}}", "linkr_clock_steps_total"),
                        line("{{instance}} lines dropped", "linkr_log_lines_dropped_total"),
                    ],
                ),
                panel(
                    "Certificates",
                    Unit::Short,
                    "1: the files of a listener's certificates can be used.",
                    &[line("{{instance}} {{listener}}", "linkr_tls_certificates_usable")],
                ),
                panel(
                    "Started",
                    Unit::Seconds,
                    "How long each process has run.",
                    &[line("{{instance}}", "time() - process_start_time_seconds{job=~\"linkr.*\"}")],
                ),
            ],
        },
    ],
};
