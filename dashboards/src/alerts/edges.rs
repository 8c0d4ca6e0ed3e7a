//! Alerts of edges: whether they see control, and whether they have room.

use crate::model::{Alert, AlertGroup, Severity};

pub const ALERTS: AlertGroup = AlertGroup {
    name: "linkr-edges",
    about: "An edge goes on answering from memory, whatever happens to the others. These tell what it cannot promise meanwhile.",
    alerts: &[
        Alert {
            name: "LinkrTargetDown",
            expr: "up{job=~\"linkr.*\"} == 0",
            lasts: "2m",
            severity: Severity::Critical,
            summary: "{{ $labels.instance }} cannot be scraped",
            means: "The process is gone or hangs, or its admin listener cannot be reached from Prometheus. Nothing else here \
                    tells of this process meanwhile.",
            steps: &[
                "Ask it yourself: `curl http://HOST:8082/livez` (control: 8083).",
                "If it does not run, read the end of its log: it says in words why it ended or did not start.",
                "If it runs, somebody has moved the listener (`--admin`) or closed a firewall.",
                "Behind a balancer that asks `/readyz`, visitors are sent to the other edges by now.",
            ],
            bad: &[("up{job=\"linkr-edge\",instance=\"a\"}", "1x5 0x30")],
            good: &[("up{job=\"linkr-edge\",instance=\"a\"}", "1x5 0 1x30"), ("up{job=\"node\"}", "0x30")],
        },
        Alert {
            name: "LinkrEdgeBlind",
            expr: "linkr_edge_staleness_seconds > 1",
            lasts: "1m",
            severity: Severity::Critical,
            summary: "{{ $labels.instance }} has been blind for {{ $value | humanizeDuration }}",
            means: "The edge cannot prove that it is current. It answers `normal` links from memory for 24 hours, and asks control \
                    for each `strict` one. What was changed meanwhile is answered as it was before.",
            steps: &[
                "Read `control_lost` in the edge's log: its `reason` says what is wrong (refused, unresolved, unknown_authority, \
                 wrong_name, wants_tls, no_tls, key_refused).",
                "`key_refused`: the edge's key or certificate was revoked or has expired (`linkr keys list`). Make another \
                 (docs/keys.md); a revoked certificate needs another `--name`.",
                "`linkr_feed_connected` is 1: control answers, but late. Look at LinkrStoreUnreadable and at the load of control.",
                "Control is away: see LinkrControlAway.",
            ],
            bad: &[("linkr_edge_staleness_seconds{instance=\"a\"}", "0.1x5 10+60x30")],
            good: &[("linkr_edge_staleness_seconds{instance=\"a\"}", "0.9x30")],
        },
        Alert {
            name: "LinkrEdgeStaleTooLong",
            expr: "linkr_edge_staleness_seconds > 20 * 3600",
            lasts: "1m",
            severity: Severity::Critical,
            summary: "{{ $labels.instance }} stops redirecting soon: it has not seen control for {{ $value | humanizeDuration }}",
            means: "It was current 20 hours ago. Four hours from now it takes every link for `strict`: it answers 503 \
                    where control does not reply. An edge that has never been current (`+Inf`) answers nothing that it is not sure of.",
            steps: &[
                "Do what LinkrEdgeBlind says, now.",
                "If control stays away, restart nothing: an edge that is restarted without a snapshot knows no link.",
            ],
            bad: &[("linkr_edge_staleness_seconds{instance=\"a\"}", "71000+100x30")],
            good: &[("linkr_edge_staleness_seconds{instance=\"a\"}", "60+60x30")],
        },
        Alert {
            name: "LinkrControlAway",
            expr: "linkr_feed_connected == 0",
            lasts: "1m",
            severity: Severity::Warning,
            summary: "{{ $labels.instance }} has no stream from control",
            means: "The edge follows no control. LinkrEdgeBlind tells what that does to its answers.",
            steps: &[
                "Look whether control runs and is ready: `curl http://CONTROL:8083/readyz`; its body says what is missing.",
                "Read `control_lost` in the edge's log, as for LinkrEdgeBlind.",
                "If control refuses edges, its log says `edge_refused`, with the edge and the reason.",
                "Edges take several addresses (`--control https://a,https://b`): with PostgreSQL start a second control.",
            ],
            bad: &[("linkr_feed_connected{instance=\"a\"}", "1x5 0x30")],
            good: &[("linkr_feed_connected{instance=\"a\"}", "1x5 0 1x30")],
        },
        Alert {
            name: "LinkrFeedLagging",
            expr: "max by (edge) (linkr_control_edge_lag_changes) > 1000 and max by (edge) (rate(linkr_control_edge_position[5m])) > 0\nor\n\
                   linkr_feed_lag_seconds > 1 and linkr_feed_connected == 1",
            lasts: "1m",
            severity: Severity::Warning,
            summary: "the edge {{ $labels.edge }}{{ $labels.instance }} takes changes in, and stays behind",
            means: "The edge is connected, and changes come faster than it takes them in: its line to control is slow, or it has no \
                    processor. What was changed is answered as it was before until it has caught up.",
            steps: &[
                "Look at *Where edges are* of the dashboard `linkr-control`: if it falls, the edge catches up after an import or an \
                 absence.",
                "If it grows, look at *Processor* of the dashboard `linkr-edges`: the machine is short of cores, or workers take \
                 them all. If not, measure the line between edge and control.",
                "Changes that come too fast come from somewhere: `linkr_control_requests_total` by method, and `linkr keys audit`.",
            ],
            bad: &[
                ("linkr_control_edge_lag_changes{instance=\"c\",edge=\"a\"}", "0x3 5000x30"),
                ("linkr_control_edge_position{instance=\"c\",edge=\"a\"}", "0+100x35"),
            ],
            good: &[
                ("linkr_control_edge_lag_changes{instance=\"c\",edge=\"a\"}", "0x3 5000x30"),
                ("linkr_control_edge_position{instance=\"c\",edge=\"a\"}", "100x35"),
                ("linkr_feed_lag_seconds{instance=\"a\"}", "0x3 5x30"),
                ("linkr_feed_connected{instance=\"a\"}", "0x35"),
            ],
        },
        Alert {
            name: "LinkrRecordUnreadable",
            expr: "increase(linkr_feed_quarantined_total[1h]) > 0\nor\n\
                   linkr_feed_quarantined_total > 0 and on (instance) time() - process_start_time_seconds < 3600",
            lasts: "0s",
            severity: Severity::Critical,
            summary: "{{ $labels.instance }} got records that it cannot read",
            means: "The codes of these records are answered with 503, and everything else goes on (rule R12). The edge is older than \
                    control, or the record was damaged.",
            steps: &[
                "Compare `linkr_build_info` of edges and control: an edge that is older than control is upgraded now.",
                "The edge's log names what it cannot read. Write the link again (`linkr link update`): that makes a new record.",
            ],
            bad: &[("linkr_feed_quarantined_total{instance=\"a\"}", "0x5 1x30")],
            good: &[
                ("linkr_feed_quarantined_total{instance=\"a\"}", "0x30"),
                ("process_start_time_seconds{instance=\"a\"}", "0x30"),
            ],
        },
        Alert {
            name: "LinkrEdgeCrowded",
            expr: "max_over_time(linkr_edge_crowded[1m]) == 1",
            lasts: "1m",
            severity: Severity::Critical,
            summary: "{{ $labels.instance }} has as many connections as its descriptors allow",
            means: "New visitors wait, and connections that are idle for longest are closed. Either there are more visitors than the \
                    limit allows, or somebody opens connections and says nothing.",
            steps: &[
                "Look at *Connections* and *Requests* of the dashboard `linkr-edges`: many connections with few requests are an attack.",
                "Raise the limit (`LimitNOFILE=` of the unit, `ulimit -n`), and restart the edge.",
                "Against an attack: a limit of connections an address in the balancer or the firewall.",
            ],
            bad: &[("linkr_edge_crowded{instance=\"a\"}", "0x5 1x30")],
            good: &[("linkr_edge_crowded{instance=\"a\"}", "0x30")],
        },
        Alert {
            name: "LinkrEdgeSlow",
            expr: "histogram_quantile(0.99, sum by (instance, le) (rate(linkr_edge_request_duration_seconds_bucket[5m]))) > 0.25",
            lasts: "5m",
            severity: Severity::Warning,
            summary: "one in a hundred answers of {{ $labels.instance }} takes {{ $value | humanizeDuration }} or more",
            means: "An answer from memory takes microseconds. So slow ones wait for Redis or control, for a client that takes its \
                    answer slowly, or for a processor.",
            steps: &[
                "Look at *Tiers*, where answers come from: with many of `origin`, look how long control takes; of `redis`, how long Redis does.",
                "Look at *Processor*: at one core a worker the edge has too little.",
                "Otherwise clients are slow, which harms nobody else.",
            ],
            bad: &[
                ("linkr_edge_request_duration_seconds_bucket{instance=\"a\",le=\"0.1\"}", "0+60x30"),
                ("linkr_edge_request_duration_seconds_bucket{instance=\"a\",le=\"1.0\"}", "0+100x30"),
                ("linkr_edge_request_duration_seconds_bucket{instance=\"a\",le=\"+Inf\"}", "0+100x30"),
            ],
            good: &[
                ("linkr_edge_request_duration_seconds_bucket{instance=\"a\",le=\"0.1\"}", "0+100x30"),
                ("linkr_edge_request_duration_seconds_bucket{instance=\"a\",le=\"1.0\"}", "0+100x30"),
                ("linkr_edge_request_duration_seconds_bucket{instance=\"a\",le=\"+Inf\"}", "0+100x30"),
            ],
        },
        Alert {
            name: "LinkrRedisAway",
            expr: "linkr_redis_up == 0",
            lasts: "1m",
            severity: Severity::Warning,
            summary: "no worker of {{ $labels.instance }} asks Redis",
            means: "What this edge has no room for in memory it asks control for. That is right, but slower, and load for control.",
            steps: &[
                "Read `redis_lost` in the edge's log: it names the reason.",
                "Look whether Redis runs, and whether its rights are those of `deploy/redis-acl.conf`.",
                "Watch *Tiers* and the duration of `Fetch` at control until Redis is back; nothing has to be done then.",
            ],
            bad: &[("linkr_redis_up{instance=\"a\"}", "1x5 0x30")],
            good: &[("linkr_redis_up{instance=\"a\"}", "1x30")],
        },
        Alert {
            name: "LinkrSnapshotFails",
            expr: "increase(linkr_edge_snapshot_write_failures_total[1h]) > 0\nor\n\
                   linkr_edge_snapshot_load_failures_total > 0 and on (instance) time() - process_start_time_seconds < 3600",
            lasts: "0s",
            severity: Severity::Warning,
            summary: "{{ $labels.instance }} cannot write or read its snapshot",
            means: "Redirects go on. But if this edge is restarted while control is away, it begins with an old file or with none.",
            steps: &[
                "`snapshot_not_written` in its log: look whether the disk of `--snapshot` is full or read-only.",
                "`snapshot_unusable`: the edge began with nothing, an hour ago at most. The file lies beside it as `FILE.bad`: keep \
                 it for a report, else remove it.",
            ],
            bad: &[("linkr_edge_snapshot_write_failures_total{instance=\"a\"}", "0x5 1x30")],
            good: &[
                ("linkr_edge_snapshot_write_failures_total{instance=\"a\"}", "2x35"),
                ("linkr_edge_snapshot_load_failures_total{instance=\"a\"}", "0x35"),
                ("process_start_time_seconds{instance=\"a\"}", "0x35"),
            ],
        },
    ],
};
