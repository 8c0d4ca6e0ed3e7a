//! `deploy/alerts.yml`: the rules as Prometheus reads them, and unit tests of them as promtool does.

use crate::alerts::ALERTS;
use crate::model::{Alert, Series, UNIT_TEST_MINUTES};
use crate::objectives::{BURN_ALERTS, BurnAlert, OBJECTIVES, WINDOWS};
use crate::promql::Pace;
use crate::runbook::anchor;
use std::fmt::Write;

/// All rules, at this pace.
pub fn write(pace: Pace) -> String {
    let mut out = String::from(
        "# Written by `cargo run -p xtask -- dashboards` from the list in dashboards/src: change it there.\n\
         # Jobs of Prometheus that scrape linkr have names that begin with `linkr`. docs/runbook.md says what to do.\n\
         groups:\n",
    );
    begin_group(&mut out, "linkr-promises");
    for objective in &OBJECTIVES {
        for window in WINDOWS {
            let _ = writeln!(out, "      - record: {}", objective.series(window));
            write_expr(&mut out, &objective.share(window, pace));
        }
    }
    for objective in &OBJECTIVES {
        for burn in &BURN_ALERTS {
            write_alert(
                &mut out,
                &RuleText {
                    name: &format!("{}{}", objective.name, burn.suffix),
                    expr: burn.expr(objective),
                    lasts: pace.duration("2m"),
                    severity: burn.severity.label(),
                    summary: &format!("too many {}: {}", objective.recorded.replace('_', " "), burn.after),
                    means: objective.means,
                },
            );
        }
    }
    for group in &ALERTS {
        begin_group(&mut out, group.name);
        for alert in group.alerts {
            write_alert(
                &mut out,
                &RuleText {
                    name: alert.name,
                    expr: pace.expr(alert.expr),
                    lasts: pace.duration(alert.lasts),
                    severity: alert.severity.label(),
                    summary: alert.summary,
                    means: alert.means,
                },
            );
        }
    }
    out
}

/// A rule as it is written.
struct RuleText<'a> {
    name: &'a str,
    expr: String,
    lasts: String,
    severity: &'a str,
    summary: &'a str,
    means: &'a str,
}

fn begin_group(out: &mut String, name: &str) {
    let _ = writeln!(out, "  - name: {name}\n    rules:");
}

fn write_expr(out: &mut String, expr: &str) {
    let _ = writeln!(out, "        expr: |");
    for line in expr.lines() {
        let _ = writeln!(out, "          {}", line.trim());
    }
}

fn write_alert(out: &mut String, rule: &RuleText<'_>) {
    let _ = writeln!(out, "      - alert: {}", rule.name);
    write_expr(out, &rule.expr);
    let RuleText { lasts, severity, .. } = rule;
    let _ = writeln!(
        out,
        "        for: {lasts}\n        labels:\n          severity: {severity}\n        annotations:"
    );
    let runbook = format!("docs/runbook.md#{}", anchor(rule.name));
    for (name, text) in [("summary", rule.summary), ("description", rule.means), ("runbook", &runbook)] {
        let _ = writeln!(out, "          {name}: {}", quoted(text));
    }
}

/// A text of YAML: those of JSON are.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Counters of look-ups of which so many a minute are bad, and all others good.
fn burning(objective: &str, bad: u32) -> Vec<(String, String)> {
    let (outcome, tier) =
        if objective == "LinkrFreshness" { ("redirect", "stale") } else { ("unavailable", "origin") };
    let series = |outcome: &str, tier: &str, count: u32| {
        let name =
            format!("linkr_edge_requests_total{{instance=\"a\",outcome=\"{outcome}\",tier=\"{tier}\"}}");
        (name, format!("0+{count}x{UNIT_TEST_MINUTES}"))
    };
    vec![series(outcome, tier, bad), series("redirect", "hot", 100_000 - bad)]
}

/// What `promtool test rules` reads beside the rules in `rules`: each alert fires with its bad series, and with its good ones
/// it does not.
pub fn unit_tests(rules: &str) -> String {
    let mut out = format!("rule_files: [{}]\nevaluation_interval: 1m\ntests:\n", quoted(rules));
    for objective in &OBJECTIVES {
        for BurnAlert { suffix, .. } in &BURN_ALERTS {
            let name = format!("{}{suffix}", objective.name);
            write_unit_test(&mut out, &name, &burning(objective.name, 5_000), true);
            write_unit_test(&mut out, &name, &burning(objective.name, 50), false);
        }
    }
    for Alert { name, bad, good, .. } in ALERTS.iter().flat_map(|group| group.alerts) {
        let owned = |all: &[Series]| {
            all.iter()
                .map(|(series, values)| ((*series).to_owned(), (*values).to_owned()))
                .collect::<Vec<_>>()
        };
        write_unit_test(&mut out, name, &owned(bad), true);
        write_unit_test(&mut out, name, &owned(good), false);
    }
    out
}

fn write_unit_test(out: &mut String, alert: &str, series: &[(String, String)], fires: bool) {
    let _ = writeln!(out, "  - interval: 1m\n    input_series:");
    for (name, values) in series {
        let _ = writeln!(out, "      - series: {}\n        values: {}", quoted(name), quoted(values));
    }
    let expr = format!(
        "count(count_over_time(ALERTS{{alertname=\"{alert}\",alertstate=\"firing\"}}[{UNIT_TEST_MINUTES}m])) > bool 0"
    );
    let samples = if fires { "[{labels: \"{}\", value: 1}]" } else { "[]" };
    let _ = writeln!(
        out,
        "    promql_expr_test:\n      - expr: {}\n        eval_time: {UNIT_TEST_MINUTES}m\n        exp_samples: {samples}",
        quoted(&expr)
    );
}
