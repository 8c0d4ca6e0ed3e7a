//! `docs/runbook.md`: each alert, what it means, and what to do.

use crate::alerts::ALERTS;
use crate::faults::{FAULTS, Told};
use crate::model::{Alert, Objective};
use crate::objectives::{BURN_ALERTS, OBJECTIVES};
use std::fmt::Write;

/// Where the part of an alert is, in the page.
pub fn anchor(alert: &str) -> String {
    alert.to_ascii_lowercase()
}

/// The page.
pub fn write() -> String {
    let mut out = String::from(
        "# Runbook\n\n\
         One part for each alert of `deploy/alerts.yml`: what it means, and what to do, in this order. `cargo run -p xtask -- dashboards` \
         writes both from one list (`dashboards/src`); change them there. [observability.md](observability.md) says how Prometheus \
         gets the rules, and what to look at without an alert.\n\n\
         *critical*: somebody is woken, since visitors are hurt, or soon will be, or data is lost. *warning*: somebody looks at it on \
         the same day.\n\n",
    );
    write_contents(&mut out);
    let _ = writeln!(
        out,
        "## Promises\n\nTwo alerts for each promise compare the share of bad answers with its budget, over a long and a short window: so \
         neither a short trouble nor one that is over wakes anybody.\n"
    );
    for objective in &OBJECTIVES {
        write_objective(&mut out, objective);
    }
    for group in &ALERTS {
        let _ = writeln!(out, "## {}\n\n{}\n", title(group.name), group.about);
        for alert in group.alerts {
            write_alert(&mut out, alert);
        }
    }
    write_faults(&mut out);
    out
}

fn title(group: &str) -> String {
    let name = group.trim_start_matches("linkr-");
    name[..1].to_uppercase() + &name[1..]
}

fn write_contents(out: &mut String) {
    out.push_str("| alert | severity | when it holds for |\n|---|---|---|\n");
    let mut row = |name: &str, severity: &str, lasts: &str| {
        let lasts = if lasts == "0s" { "at once" } else { lasts };
        let _ = writeln!(out, "| [{name}](#{}) | {severity} | {lasts} |", anchor(name));
    };
    for objective in &OBJECTIVES {
        BURN_ALERTS.iter().for_each(|burn| {
            row(&format!("{}{}", objective.name, burn.suffix), burn.severity.label(), "2m");
        });
    }
    for alert in ALERTS.iter().flat_map(|group| group.alerts) {
        row(alert.name, alert.severity.label(), alert.lasts);
    }
    out.push('\n');
}

fn write_objective(out: &mut String, objective: &Objective) {
    for burn in &BURN_ALERTS {
        let _ = writeln!(out, "### {}{}\n", objective.name, burn.suffix);
        let _ = writeln!(out, "{} Here {}.\n", objective.means, burn.after);
        write_expr(out, &burn.expr(objective));
        write_steps(out, objective.steps);
    }
}

fn write_alert(out: &mut String, alert: &Alert) {
    let _ = writeln!(out, "### {}\n\n{}\n", alert.name, alert.means);
    write_expr(out, alert.expr);
    write_steps(out, alert.steps);
}

fn write_expr(out: &mut String, expr: &str) {
    out.push_str("```\n");
    expr.lines().for_each(|line| {
        let _ = writeln!(out, "{}", line.trim());
    });
    out.push_str("```\n\n");
}

fn write_steps(out: &mut String, steps: &[&str]) {
    for (at, step) in steps.iter().enumerate() {
        let _ = writeln!(out, "{}. {step}", at + 1);
    }
    out.push('\n');
}

fn write_faults(out: &mut String) {
    out.push_str(
        "## Faults and their alerts\n\nThe faults that tests make ([reliability.md](reliability.md), *Every fault tells of itself*).\n\n\
         | fault | alert |\n|---|---|\n",
    );
    for (fault, told) in FAULTS {
        let _ = match told {
            Told::By(alert) => writeln!(out, "| {fault} | [{alert}](#{}) |", anchor(alert)),
            Told::ByNone(why) => writeln!(out, "| {fault} | none: {why} |"),
        };
    }
}
