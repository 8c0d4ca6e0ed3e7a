//! Alerts of control: its store, its copies in Redis, its callers.

use crate::model::{Alert, AlertGroup, Severity};

pub const ALERTS: AlertGroup = AlertGroup {
    name: "linkr-control",
    about: "While control or its store is away nothing can be written, and edges go blind one second later. Redirects go on.",
    alerts: &[
        Alert {
            name: "LinkrStoreUnreadable",
            expr: "linkr_store_readable == 0",
            lasts: "30s",
            severity: Severity::Critical,
            summary: "{{ $labels.instance }} cannot read its store",
            means: "Control answers no call and proves nothing to edges: they are blind. With PostgreSQL, a database that was made \
                    read-only or is a standby counts as one that cannot be read.",
            steps: &[
                "`curl http://CONTROL:8083/readyz` says why, and so does `store_unreadable` in its log.",
                "Look whether PostgreSQL runs, and whether one of the hosts of `--store` takes writes.",
                "`linkr_store_waiting` above 0 with all connections in use: something holds the database up (locks, a slow disk).",
                "After a failover that lost commits control refuses the database: see LinkrStoreReplaced.",
            ],
            bad: &[("linkr_store_readable{instance=\"c\"}", "1x5 0x30")],
            good: &[("linkr_store_readable{instance=\"c\"}", "1x30")],
        },
        Alert {
            name: "LinkrStoreUnwritable",
            expr: "linkr_store_writable == 0",
            lasts: "30s",
            severity: Severity::Critical,
            summary: "{{ $labels.instance }} cannot write to its store",
            means: "No write is accepted, and no click is acknowledged: those wait in the edges' spools. Reads, edges and redirects go on.",
            steps: &[
                "`curl 'http://CONTROL:8083/readyz?write'` says why: a full disk, a file system that turned read-only, a lock that \
                 somebody else holds (SQLite: a copy that is being made, a second process).",
                "A disk that is full: see LinkrStoreFull. A file system turns read-only after an error of the disk: look at the \
                 kernel's log, and restore from a backup on another disk.",
                "Nothing has to be restarted: control tries again by itself.",
            ],
            bad: &[("linkr_store_writable{instance=\"c\"}", "1x5 0x30")],
            good: &[("linkr_store_writable{instance=\"c\"}", "1x30")],
        },
        Alert {
            name: "LinkrStoreFull",
            expr: "increase(linkr_store_failures_total{reason=\"full\"}[5m]) > 0",
            lasts: "0s",
            severity: Severity::Critical,
            summary: "the disk of the store of {{ $labels.instance }} is full",
            means: "Writes are refused with 507 (`DISK_FULL`) until there is room.",
            steps: &[
                "Make room on the disk of the database: old backups, logs, another tenant. Control goes on within a second.",
                "Clicks are what grows, and there is no switch for single clicks: `linkr clicks --delete=domain --domain D` deletes those \
                 of a domain, and their room is used again; `linkr domain update D --stats off` keeps none of it from then on; or a \
                 larger disk. docs/sizing.md says what a click takes.",
                "Never remove `linkr.db-wal`: it holds acknowledged writes.",
            ],
            bad: &[("linkr_store_failures_total{instance=\"c\",reason=\"full\"}", "0x5 0+1x30")],
            good: &[
                ("linkr_store_failures_total{instance=\"c\",reason=\"full\"}", "3x30"),
                ("linkr_store_failures_total{instance=\"c\",reason=\"unavailable\"}", "0+1x30"),
            ],
        },
        Alert {
            name: "LinkrStoreCorrupt",
            expr: "increase(linkr_store_failures_total{reason=\"corrupt\"}[15m]) > 0",
            lasts: "0s",
            severity: Severity::Critical,
            summary: "the store of {{ $labels.instance }} holds what linkr did not write",
            means: "A row cannot be understood: a damaged disk, a change by hand, or tables of a newer version.",
            steps: &[
                "The log of control names the row and what is wrong with it.",
                "SQLite: `sqlite3 linkr.db 'PRAGMA integrity_check'` on a copy (`linkr backup`).",
                "Restore from a backup as docs/backup.md says; edges notice what is missing.",
            ],
            bad: &[("linkr_store_failures_total{instance=\"c\",reason=\"corrupt\"}", "0x5 1x30")],
            good: &[("linkr_store_failures_total{instance=\"c\",reason=\"corrupt\"}", "0x30")],
        },
        Alert {
            name: "LinkrStoreReplaced",
            expr: "linkr_control_store_replaced == 1",
            lasts: "0s",
            severity: Severity::Critical,
            summary: "the store of {{ $labels.instance }} lacks writes that were acknowledged",
            means: "The database was restored to an older state, or a standby took over without the last commits. Control refuses it \
                    until somebody says that this was meant.",
            steps: &[
                "Find out whether the old primary still runs and has the missing writes. If so, go back to it.",
                "If not: `linkr control --store \"$STORE\" bump-epoch --above N`, with the N of the refusal in control's log, begins a new history. \
                 `linkr feed status` then names the last write that survived.",
                "What was written after it has to be written again; edges drop it.",
            ],
            bad: &[("linkr_control_store_replaced{instance=\"c\"}", "0x5 1x30")],
            good: &[("linkr_control_store_replaced{instance=\"c\"}", "0x30")],
        },
        Alert {
            name: "LinkrHistoryBegun",
            expr: "increase(linkr_control_histories_total[15m]) > 0",
            lasts: "0s",
            severity: Severity::Warning,
            summary: "{{ $labels.instance }} began a new history of the log while it ran",
            means: "With `--auto-fork`, or after `bump-epoch`: the store was replaced, and writes that were acknowledged may be missing.",
            steps: &[
                "`linkr feed status` names the last write that survived.",
                "Find out why the database went back, before it does so again: a failover without a synchronous standby, a restore.",
            ],
            bad: &[("linkr_control_histories_total{instance=\"c\"}", "1x5 2x30")],
            good: &[("linkr_control_histories_total{instance=\"c\"}", "1x30")],
        },
        Alert {
            name: "LinkrEdgeLost",
            expr: "max by (edge) (linkr_control_edge_blind) == 1",
            lasts: "5m",
            severity: Severity::Warning,
            summary: "control has not heard of the edge {{ $labels.edge }} for five minutes",
            means: "The edge is gone, cannot reach control, or is refused. Writes with `ack=propagated` name it, and counts of clicks are not complete \
                    until it comes again, since its spool may hold some.",
            steps: &[
                "If it runs, see LinkrEdgeBlind. `edge_refused` in control's log names edges whose key is no good.",
                "If it was shut down for good: `linkr feed forget NAME`.",
            ],
            bad: &[("linkr_control_edge_blind{instance=\"c\",edge=\"a\"}", "0x5 1x30")],
            good: &[("linkr_control_edge_blind{instance=\"c\",edge=\"a\"}", "0x5 1x2 0x30")],
        },
        Alert {
            name: "LinkrRedisCopyBehind",
            expr: "linkr_redis_shards_connected < linkr_redis_shards\nor\nlinkr_redis_lag_changes > 10000",
            lasts: "1m",
            severity: Severity::Warning,
            summary: "the copy in Redis does not follow the log of {{ $labels.instance }}",
            means: "Edges with room for only some links ask control instead: the copy says itself how far it is, so nothing old is \
                    answered from it.",
            steps: &[
                "`copy_lost` in control's log names the reason: away, `no_rights` (compare `deploy/redis-acl.conf`), another node.",
                "`linkr_redis_lag_changes` that falls: the copy is being made, or made again, and is there soon.",
                "Give control and every edge the same `--redis-shards`.",
            ],
            bad: &[
                ("linkr_redis_shards_connected{instance=\"c\"}", "2x5 1x30"),
                ("linkr_redis_shards{instance=\"c\"}", "2x35"),
            ],
            good: &[
                ("linkr_redis_shards_connected{instance=\"c\"}", "2x35"),
                ("linkr_redis_shards{instance=\"c\"}", "2x35"),
                ("linkr_redis_lag_changes{instance=\"c\"}", "100x35"),
            ],
        },
        Alert {
            name: "LinkrRedisPolicy",
            expr: "linkr_redis_policy_volatile == 0",
            lasts: "5m",
            severity: Severity::Warning,
            summary: "Redis cannot keep the copy when it is full",
            means: "`maxmemory-policy` is not `volatile-*`. When Redis is full, an `allkeys-*` policy evicts positions, and the copy is begun anew, again and again; `noeviction` (what Redis does unless it is told) refuses writes, and the copy stands still until there is room.",
            steps: &["`redis-cli CONFIG SET maxmemory-policy volatile-lru`, and in its configuration file."],
            bad: &[("linkr_redis_policy_volatile{instance=\"c\"}", "0x30")],
            good: &[("linkr_redis_policy_volatile{instance=\"c\"}", "1x30")],
        },
        Alert {
            name: "LinkrKeysRefused",
            expr: "sum by (instance) (rate(linkr_control_refusals_total{reason=\"UNAUTHENTICATED\"}[5m])) > 1",
            lasts: "2m",
            severity: Severity::Warning,
            summary: "{{ $labels.instance }} refuses {{ $value | humanize }} keys a second",
            means: "Somebody tries keys, or a client goes on with one that was revoked or has expired. Guessing is hopeless, and slowed \
                    down by address.",
            steps: &[
                "With `RUST_LOG=info,calls=debug` each refusal is in control's log (`refused`), with why: revoked, expired, unknown.",
                "One that was revoked: find its client by the address in front of control.",
                "Many addresses and unknown keys: let only those reach the API who need it.",
            ],
            bad: &[("linkr_control_refusals_total{instance=\"c\",reason=\"UNAUTHENTICATED\"}", "0+120x30")],
            good: &[("linkr_control_refusals_total{instance=\"c\",reason=\"UNAUTHENTICATED\"}", "0+20x30")],
        },
        Alert {
            name: "LinkrCallersLimited",
            expr: "sum by (instance) (rate(linkr_control_refusals_total{reason=~\"RATE_LIMITED|SHARE_USED_UP\"}[5m])) > 1",
            lasts: "5m",
            severity: Severity::Warning,
            summary: "{{ $labels.instance }} answers 429 to {{ $value | humanize }} calls a second",
            means: "Callers ask for more than their key may (README, Keys). Others are not harmed: that is what the limits are for.",
            steps: &[
                "Find the call: *Calls* of the dashboard `linkr-control`, codes `RATE_LIMITED` and `SHARE_USED_UP`.",
                "Let the client wait as `Retry-After` says, and send up to 1,000 links in one call (`:batchCreate`).",
            ],
            bad: &[("linkr_control_refusals_total{instance=\"c\",reason=\"RATE_LIMITED\"}", "0+120x30")],
            good: &[("linkr_control_refusals_total{instance=\"c\",reason=\"RATE_LIMITED\"}", "0+20x30")],
        },
        Alert {
            name: "LinkrControlOverloaded",
            expr: "sum by (instance) (rate(linkr_control_refusals_total{reason=\"OVERLOADED\"}[5m])) > 0.2\nor\n\
                   sum by (instance) (rate(linkr_control_requests_total{code=~\"OVERLOADED|DEADLINE_EXCEEDED\"}[5m])) > 0.2\nor\n\
                   histogram_quantile(0.99, sum by (instance, le) (rate(linkr_store_request_duration_seconds_bucket{operation=\"commit\"}[5m]))) > 1",
            lasts: "2m",
            severity: Severity::Warning,
            summary: "{{ $labels.instance }} has more to do than it can",
            means: "Calls are refused since too much waits already, do not end in time, or a write takes longer than a second.",
            steps: &[
                "Look at *Store* of the dashboard `linkr-control`: a slow disk shows in every operation, locks in `commit` alone.",
                "An import or a purge that is under way ends by itself.",
                "With PostgreSQL more controls share reads and edges; writes queue for one row, so a faster disk helps those.",
            ],
            bad: &[("linkr_control_refusals_total{instance=\"c\",reason=\"OVERLOADED\"}", "0+60x30")],
            good: &[("linkr_control_refusals_total{instance=\"c\",reason=\"OVERLOADED\"}", "0x30")],
        },
    ],
};
