//! Alerts of clicks: whether all are counted, and up to when.

use crate::model::{Alert, AlertGroup, Severity};

pub const ALERTS: AlertGroup = AlertGroup {
    name: "linkr-clicks",
    about: "Redirects never wait for clicks. What cannot be counted is told as a number, with its reason and the hour.",
    alerts: &[
        Alert {
            name: "LinkrClicksLost",
            expr: "increase(linkr_clicks_lost_total[15m]) > 0\nor\nincrease(linkr_control_clicks_lost_total[15m]) > 0",
            lasts: "0s",
            severity: Severity::Warning,
            summary: "{{ $labels.instance }} lost {{ $value | humanize }} clicks ({{ $labels.reason }})",
            means: "These clicks are in no count. Every answer of `linkr clicks` for that time says how many are missing.",
            steps: &[
                "`spool_full`: control was away for longer than `--clicks-spool-bytes` holds. Find out why, and give it more.",
                "`ring_full`: the disk of `--clicks-dir` did not keep up, or the machine had no processor for the thread `clicks`.",
                "`damaged`: a file of the spool could not be read: look at that disk.",
                "`restored`: the store of control was restored to before it had them.",
            ],
            bad: &[("linkr_clicks_lost_total{instance=\"a\",reason=\"spool_full\"}", "0x5 7x30")],
            good: &[("linkr_clicks_lost_total{instance=\"a\",reason=\"spool_full\"}", "7x30")],
        },
        Alert {
            name: "LinkrClicksSpoolFilling",
            expr: "linkr_clicks_spool_owed_bytes > 0.5 * linkr_clicks_spool_budget_bytes",
            lasts: "2m",
            severity: Severity::Critical,
            summary: "half of the spool of {{ $labels.instance }} is full of clicks that control lacks",
            means: "When it is full the oldest clicks go, and are counted as lost.",
            steps: &[
                "If control is away or cannot write: LinkrControlAway, LinkrStoreUnwritable.",
                "`linkr_clicks_refused_total` that rises: see LinkrClicksRefused.",
                "If control is there, it takes clicks more slowly than they come: look at *Clicks* of the dashboard `linkr-control`.",
                "To win time: restart the edge with a larger `--clicks-spool-bytes`. What is in the spool stays.",
            ],
            bad: &[
                ("linkr_clicks_spool_owed_bytes{instance=\"a\"}", "0+200x30"),
                ("linkr_clicks_spool_budget_bytes{instance=\"a\"}", "1000x30"),
            ],
            good: &[
                ("linkr_clicks_spool_owed_bytes{instance=\"a\"}", "400x30"),
                ("linkr_clicks_spool_budget_bytes{instance=\"a\"}", "1000x30"),
            ],
        },
        Alert {
            name: "LinkrClicksSpoolFails",
            expr: "increase(linkr_clicks_spool_failures_total[15m]) > 0",
            lasts: "0s",
            severity: Severity::Critical,
            summary: "{{ $labels.instance }} cannot write or read its spool of clicks",
            means: "Clicks wait in the ring of each worker, which holds 190,000 of them (10 s at 20,000 a second); then they are \
                    lost. Redirects go on.",
            steps: &[
                "`spool_failed` in the edge's log says why: a disk that is full or read-only, rights.",
                "Make room on the disk of `--clicks-dir`; the edge tries again by itself. Restart nothing before: a start that needs \
                 new rings (the first, one with more workers, a hand-over) is refused while there is no room.",
            ],
            bad: &[("linkr_clicks_spool_failures_total{instance=\"a\"}", "0x5 1x30")],
            good: &[("linkr_clicks_spool_failures_total{instance=\"a\"}", "1x30")],
        },
        Alert {
            name: "LinkrClicksNotComplete",
            expr: "time() - max(linkr_control_clicks_complete_until_seconds > 0) > 60",
            lasts: "1m",
            severity: Severity::Warning,
            summary: "counts of clicks are complete only up to {{ $value | humanizeDuration }} ago",
            means: "An edge has not said for a minute that it handed on all that it had. Counts of the time since go on rising, and \
                    every answer of `linkr clicks` says up to when it is complete.",
            steps: &[
                "`linkr feed status` names the edges and when each was heard of; see LinkrEdgeLost.",
                "An edge that is gone for good holds it back until `linkr feed forget NAME`.",
                "If all edges are there, see LinkrClicksSpoolFilling and LinkrStoreUnwritable.",
            ],
            bad: &[("linkr_control_clicks_complete_until_seconds{instance=\"c\"}", "30x30")],
            good: &[("linkr_control_clicks_complete_until_seconds{instance=\"c\"}", "1+60x35")],
        },
        Alert {
            name: "LinkrClicksRefused",
            expr: "increase(linkr_control_click_batches_total{outcome=\"refused\"}[15m]) > 0\nor\nincrease(linkr_clicks_refused_total[15m]) > 0",
            lasts: "0s",
            severity: Severity::Warning,
            summary: "batches of clicks are refused at {{ $labels.instance }}",
            means: "Control takes these clicks from nobody: they wait in the edge's spool and are offered again every minute.",
            steps: &[
                "`clicks_not_taken` in the edge's log gives the reason.",
                "A layout that is newer than control: upgrade controls first.",
                "Another edge's name: a spool was copied to another machine, or two edges have one `--name`.",
            ],
            bad: &[("linkr_clicks_refused_total{instance=\"a\"}", "0x5 1x30")],
            good: &[("linkr_control_click_batches_total{instance=\"c\",outcome=\"taken\"}", "0+1x30")],
        },
        Alert {
            name: "LinkrClicksUnbelieved",
            expr: "increase(linkr_control_clicks_unbelieved_total[15m]) > 0",
            lasts: "0s",
            severity: Severity::Warning,
            summary: "an edge leaves out {{ $value | humanize }} clicks that no edge can have had",
            means: "Numbers are missing that nobody can have recorded in the time: they are not told as lost. Whoever has that \
                    edge's key makes up numbers, or the disk of its spool does.",
            steps: &[
                "`clicks_missing` in control's log names the edge; `unbelieved` is the number.",
                "Look at the disk of its `--clicks-dir`, and at whether a copy of that folder is in use elsewhere.",
                "If nobody can say why: `linkr keys revoke` its key, make another (`linkr keys create --scopes feed --edge NAME`), and \
                 start the edge with an empty `--clicks-dir`.",
            ],
            bad: &[("linkr_control_clicks_unbelieved_total{instance=\"c\"}", "0x5 9000000x30")],
            good: &[("linkr_control_clicks_unbelieved_total{instance=\"c\"}", "7x30")],
        },
        Alert {
            name: "LinkrClicksStoreFails",
            expr: "linkr_store_clicks_writable == 0\nor\nlinkr_store_clicks_readable == 0",
            lasts: "1m",
            severity: Severity::Warning,
            summary: "{{ $labels.instance }} cannot read or write its store of clicks",
            means: "Clicks wait in the spools of edges, and `linkr clicks` may answer nothing. Links do not depend on this store.",
            steps: &[
                "Control's log says why: a full disk, a lock that somebody else holds, a damaged file.",
                "Edges hold their clicks for as long as their spools have room: LinkrClicksSpoolFilling tells when that ends.",
            ],
            bad: &[("linkr_store_clicks_writable{instance=\"c\"}", "1x5 0x30")],
            good: &[
                ("linkr_store_clicks_writable{instance=\"c\"}", "1x30"),
                ("linkr_store_clicks_readable{instance=\"c\"}", "1x30"),
            ],
        },
        Alert {
            name: "LinkrEdgeNameDoubled",
            expr: "linkr_control_click_edges_doubled > 0",
            lasts: "1m",
            severity: Severity::Warning,
            summary: "{{ $value }} names are said by two live edges each",
            means: "Clicks are said to be complete by the word of one of the two, and acknowledgements name one edge where there are two.",
            steps: &[
                "`linkr feed status` names them: find the two machines, and give each a `--name` of its own.",
                "A machine that was cloned has the name of the one that it was made from.",
            ],
            bad: &[("linkr_control_click_edges_doubled{instance=\"c\"}", "0x5 1x30")],
            good: &[("linkr_control_click_edges_doubled{instance=\"c\"}", "0x5 1 0x30")],
        },
        Alert {
            name: "LinkrGeoUnusable",
            expr: "increase(linkr_clicks_geo_failures_total[1h]) > 0\nor\n\
                   linkr_clicks_geo_failures_total > 0 and on (instance) linkr_clicks_geo_in_use == 0",
            lasts: "0s",
            severity: Severity::Warning,
            summary: "{{ $labels.instance }} cannot use its database of countries",
            means: "A database that was in use stays so. Without one, clicks are counted with no country.",
            steps: &[
                "`geo_unusable` in the edge's log says what is wrong with the file of `--geo`.",
                "Write a new file beside it and rename it into its place: the edge reads it again when it changes.",
            ],
            bad: &[
                ("linkr_clicks_geo_failures_total{instance=\"a\"}", "1x30"),
                ("linkr_clicks_geo_in_use{instance=\"a\"}", "0x30"),
            ],
            good: &[
                ("linkr_clicks_geo_failures_total{instance=\"a\"}", "0x30"),
                ("linkr_clicks_geo_in_use{instance=\"a\"}", "0x30"),
            ],
        },
    ],
};
