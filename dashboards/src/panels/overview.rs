//! Whether promises are kept, at one look.

use super::{durations, line, panel};
use crate::model::{Dashboard, Row, Unit};

pub const DASHBOARD: Dashboard = Dashboard {
    uid: "linkr-overview",
    title: "linkr: promises",
    rows: &[
        Row {
            title: "Visitors",
            panels: &[
                panel(
                    "Requests",
                    Unit::PerSecond,
                    "What visitors ask for, by what it comes to.",
                    &[line(
                        "{{outcome}}",
                        "sum by (outcome) (rate(linkr_edge_requests_total[$__rate_interval])) > 0",
                    )],
                ),
                durations(
                    "Duration of answers",
                    "From the first look at a request to the kernel's taking of the answer. A dot is a trace that was kept.",
                    &[
                        line(
                            "half",
                            "histogram_quantile(0.5, sum by (le) (rate(linkr_edge_request_duration_seconds_bucket[$__rate_interval])))",
                        ),
                        line(
                            "99 of 100",
                            "histogram_quantile(0.99, sum by (le) (rate(linkr_edge_request_duration_seconds_bucket[$__rate_interval])))",
                        ),
                        line(
                            "999 of 1,000",
                            "histogram_quantile(0.999, sum by (le) (rate(linkr_edge_request_duration_seconds_bucket[$__rate_interval])))",
                        ),
                    ],
                ),
                panel(
                    "Promises that were not kept",
                    Unit::Share,
                    "Of all look-ups, the share that came to 503, and that a blind edge answered. Each may be 0.1 % in 30 days.",
                    &[
                        line("503, 5 minutes", "linkr:unavailable_answers:ratio_rate5m"),
                        line("503, 6 hours", "linkr:unavailable_answers:ratio_rate6h"),
                        line("stale, 5 minutes", "linkr:stale_answers:ratio_rate5m"),
                        line("stale, 6 hours", "linkr:stale_answers:ratio_rate6h"),
                    ],
                ),
            ],
        },
        Row {
            title: "Changes",
            panels: &[
                panel(
                    "Staleness",
                    Unit::Seconds,
                    "Since everything that was acknowledged is known to be applied. Above 1 s the edge is blind.",
                    &[line("{{instance}}", "linkr_edge_staleness_seconds")],
                ),
                panel(
                    "Changes behind",
                    Unit::Short,
                    "Changes that edges and the copy in Redis have not applied.",
                    &[
                        line("{{edge}}", "max by (edge) (linkr_control_edge_lag_changes)"),
                        line("Redis", "max(linkr_redis_lag_changes)"),
                    ],
                ),
                panel(
                    "Calls that failed",
                    Unit::PerSecond,
                    "Calls of the API that came to something else than an answer, by reason.",
                    &[
                        line(
                            "{{code}}",
                            "sum by (code) (rate(linkr_control_requests_total{code!=\"OK\"}[$__rate_interval]))",
                        ),
                        line(
                            "refused: {{reason}}",
                            "sum by (reason) (rate(linkr_control_refusals_total[$__rate_interval]))",
                        ),
                    ],
                ),
            ],
        },
        Row {
            title: "What is missing",
            panels: &[
                panel(
                    "Up",
                    Unit::Short,
                    "1: Prometheus reaches the process.",
                    &[line("{{instance}}", "up{job=~\"linkr.*\"}")],
                ),
                panel(
                    "Store",
                    Unit::Short,
                    "1: the last read, or write, went well.",
                    &[
                        line("{{instance}} reads", "linkr_store_readable"),
                        line("{{instance}} writes", "linkr_store_writable"),
                    ],
                ),
                panel(
                    "Clicks complete up to",
                    Unit::Seconds,
                    "How long ago the moment is up to which every click is counted.",
                    &[line("ago", "time() - max(linkr_control_clicks_complete_until_seconds > 0)")],
                ),
                panel(
                    "Clicks lost",
                    Unit::PerSecond,
                    "Clicks that are in no count.",
                    &[
                        line("{{instance}} {{reason}}", "rate(linkr_clicks_lost_total[$__rate_interval])"),
                        line(
                            "told to control: {{reason}}",
                            "sum by (reason) (rate(linkr_control_clicks_lost_total[$__rate_interval]))",
                        ),
                    ],
                ),
                panel(
                    "Certificates end in",
                    Unit::Seconds,
                    "Each certificate that is shown.",
                    &[line(
                        "{{instance}} {{listener}}",
                        "linkr_tls_certificate_expiry_timestamp_seconds - time()",
                    )],
                ),
                panel(
                    "Versions",
                    Unit::Short,
                    "How many processes run each version.",
                    &[line("{{version}} {{commit}}", "count by (version, commit) (linkr_build_info)")],
                ),
            ],
        },
    ],
};
