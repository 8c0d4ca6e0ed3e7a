//! Alerts of every process: its certificates, clock and log.

use crate::model::{Alert, AlertGroup, Severity};

pub const ALERTS: AlertGroup = AlertGroup {
    name: "linkr-processes",
    about: "What both halves have in common.",
    alerts: &[
        Alert {
            name: "LinkrCertificateExpires",
            expr: "linkr_tls_certificate_expiry_timestamp_seconds - time() < 14 * 86400",
            lasts: "0s",
            severity: Severity::Warning,
            summary: "a certificate of {{ $labels.instance }} ({{ $labels.listener }}) expires in {{ $value | humanizeDuration }}",
            means: "Whoever renews it has not yet done so.",
            steps: &[
                "Renew it, and replace the files that the label `file` names: they are read again when they change, without a restart.",
                "If the files are new and this stays, see LinkrCertificateUnusable.",
            ],
            bad: &[(
                "linkr_tls_certificate_expiry_timestamp_seconds{instance=\"a\",listener=\"api\",file=\"x\"}",
                "1000000x30",
            )],
            good: &[(
                "linkr_tls_certificate_expiry_timestamp_seconds{instance=\"a\",listener=\"api\",file=\"x\"}",
                "2000000x30",
            )],
        },
        Alert {
            name: "LinkrCertificateExpired",
            expr: "linkr_tls_certificate_expiry_timestamp_seconds - time() < 86400",
            lasts: "0s",
            severity: Severity::Critical,
            summary: "a certificate of {{ $labels.instance }} ({{ $labels.listener }}) expires within a day, or has",
            means: "Once it has expired, clients refuse the listener: visitors of `redirects`, callers and edges of `api`.",
            steps: &["As for LinkrCertificateExpires, now."],
            bad: &[(
                "linkr_tls_certificate_expiry_timestamp_seconds{instance=\"a\",listener=\"api\",file=\"x\"}",
                "600x30",
            )],
            good: &[(
                "linkr_tls_certificate_expiry_timestamp_seconds{instance=\"a\",listener=\"api\",file=\"x\"}",
                "1000000x30",
            )],
        },
        Alert {
            name: "LinkrCertificateUnusable",
            expr: "linkr_tls_certificates_usable == 0",
            lasts: "1m",
            severity: Severity::Warning,
            summary: "the certificate files of {{ $labels.instance }} ({{ $labels.listener }}) cannot be used",
            means: "The listener shows what the files held before, until that expires. After a restart it would not start.",
            steps: &[
                "`certificates_unusable` in its log says what is wrong: half written, the key of another certificate, expired.",
                "Write both files beside the old ones and rename them into place.",
            ],
            bad: &[("linkr_tls_certificates_usable{instance=\"a\",listener=\"api\"}", "1x5 0x30")],
            good: &[("linkr_tls_certificates_usable{instance=\"a\",listener=\"api\"}", "1x5 0 1x30")],
        },
        Alert {
            name: "LinkrClockOff",
            expr: "increase(linkr_clock_steps_total[15m]) > 0\nor\nincrease(linkr_control_clicks_clamped_total[15m]) > 0",
            lasts: "0s",
            severity: Severity::Warning,
            summary: "a clock was set by two seconds or more, or is minutes off ({{ $labels.instance }})",
            means: "Links expire by the clock of their edge, and clicks are counted at its time. Freshness goes by no wall clock.",
            steps: &[
                "`clock_stepped` in the log says in which direction and by how much. A machine that slept looks the same.",
                "Compare the clocks (`chronyc tracking`, `timedatectl`), and keep all machines in step by NTP.",
                "Clicks that were clamped had times more than 40 days before or 5 minutes after control's clock: an edge's clock is wrong.",
            ],
            bad: &[("linkr_clock_steps_total{instance=\"a\",direction=\"back\"}", "0x5 1x30")],
            good: &[("linkr_clock_steps_total{instance=\"a\",direction=\"back\"}", "1x30")],
        },
        Alert {
            name: "LinkrLogLinesDropped",
            expr: "increase(linkr_log_lines_dropped_total[15m]) > 0",
            lasts: "0s",
            severity: Severity::Warning,
            summary: "{{ $labels.instance }} could not write lines of its log",
            means: "Whoever reads the log or keeps it does not take it. Service goes on; what was not written is gone.",
            steps: &[
                "Look at what stderr leads to: a full disk, a journal that was stopped, a pipe whose reader hangs.",
                "`log_lines_dropped` says how many were lost, once lines can be written again.",
            ],
            bad: &[("linkr_log_lines_dropped_total{instance=\"a\"}", "0x5 9x30")],
            good: &[("linkr_log_lines_dropped_total{instance=\"a\"}", "9x30")],
        },
        Alert {
            name: "LinkrTracesNotSent",
            expr: "sum by (instance) (increase(linkr_edge_otlp_failures_total[15m])) > 0\nor\n\
                   sum by (instance) (increase(linkr_control_otlp_failures_total[15m])) > 0",
            lasts: "5m",
            severity: Severity::Warning,
            summary: "{{ $labels.instance }} cannot send its traces",
            means: "The receiver of `--otlp` is away, slow, or refuses. Nothing else waits for it; what finds no room is dropped and counted.",
            steps: &[
                "Look whether the collector runs, and whether `--otlp` names its address and protocol.",
                "`linkr tail --slow` shows the last slow answers of an edge without any collector.",
            ],
            bad: &[("linkr_edge_otlp_failures_total{instance=\"a\",outcome=\"failed\"}", "0x5 1+1x30")],
            good: &[("linkr_edge_otlp_failures_total{instance=\"a\",outcome=\"failed\"}", "7x30")],
        },
        Alert {
            name: "LinkrRestarting",
            expr: "changes(process_start_time_seconds{job=~\"linkr.*\"}[15m]) > 2",
            lasts: "0s",
            severity: Severity::Critical,
            summary: "{{ $labels.instance }} was started {{ $value }} times in a quarter of an hour",
            means: "It ends again and again: killed for its memory, or it stops with an error.",
            steps: &[
                "The end of its log before each start says why it ended; the kernel's log tells of processes killed for memory.",
                "An edge takes `--hot-set-bytes` and some tens of MiB more, and the set twice during a hand-over (`--upgrade`).",
            ],
            bad: &[("process_start_time_seconds{job=\"linkr\",instance=\"a\"}", "1x5 300 360 420 480x30")],
            good: &[("process_start_time_seconds{job=\"linkr\",instance=\"a\"}", "1x10 600x30")],
        },
    ],
};
