//! For people, on a terminal.

use super::{Latency, Phase, Report};
use crate::law::ClickLaw;
use std::fmt::Write;

/// The report as text.
pub fn print(report: &Report) -> String {
    let mut text = String::new();
    let load: Vec<String> = report.load.iter().map(|(name, value)| format!("{name} {value}")).collect();
    let _ = writeln!(text, "{}: {}", report.target, load.join(", "));
    if let Some(cold) = &report.cold {
        let _ = writeln!(text, "\nwarm-up");
        phase(&mut text, cold);
        let _ = writeln!(text, "\nmeasured");
    }
    phase(&mut text, &report.warm);
    if let Some(offered) = report.offered {
        let _ = writeln!(text, "offered        {offered:.0} /s, answered right {:.0} /s", report.warm.rate);
    }
    if let Some(law) = &report.clicks {
        let ClickLaw { redirects, recorded, acknowledged, lost, pending, broken } = law;
        let _ = writeln!(
            text,
            "clicks         {recorded} recorded of {redirects} redirects; of all so far {acknowledged} acknowledged, {lost} \
             lost, {pending} pending"
        );
        if let Some(why) = broken {
            let _ = writeln!(text, "  LAW BROKEN: {why}");
        }
    }
    if let Some(void) = &report.void {
        let _ = writeln!(text, "\nVOID: {void}");
    }
    text
}

fn phase(text: &mut String, phase: &Phase) {
    let _ = writeln!(
        text,
        "requests       {} in {:.2} s, {} right ({:.0} /s)",
        phase.requests, phase.seconds, phase.right, phase.rate
    );
    for (name, count) in phase.fates.iter().filter(|(name, _)| *name != "right") {
        let _ = writeln!(text, "  wrong: {name:<24} {count}");
    }
    let resumed = match phase.resumed {
        0 => String::new(),
        some => format!(", {some} with a resumed TLS session"),
    };
    if phase.connections > 0 {
        let _ = writeln!(text, "connections    {}{resumed}", phase.connections);
    }
    let _ = writeln!(
        text,
        "µs             {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "p50", "p90", "p99", "p99.9", "p99.99", "max"
    );
    let mut row = |name: &str, l: &Latency| {
        let _ = writeln!(
            text,
            "{name:<14} {:>9.0} {:>9.0} {:>9.0} {:>9.0} {:>9.0} {:>9.0}",
            l.p50, l.p90, l.p99, l.p999, l.p9999, l.max
        );
    };
    row("corrected", &phase.corrected);
    row("uncorrected", &phase.uncorrected);
    row("own lateness", &phase.lateness);
    row("less that", &phase.served);
    if let Some(cpu) = phase.cpu_us {
        let workers =
            phase.worker_cpu_us.map_or_else(String::new, |own| format!(", {own:.3} µs its workers"));
        let _ = writeln!(text, "server CPU     {cpu:.2} µs a request{workers}");
    }
    if let Some(syscalls) = phase.syscalls {
        let _ = writeln!(text, "system calls   {syscalls:.2} a request");
    }
    if let Some(rate) = phase.hit_rate() {
        let tiers: Vec<String> = phase.tiers.iter().map(|(tier, count)| format!("{tier} {count}")).collect();
        let _ = writeln!(text, "hit rate       {:.2} % from memory ({})", rate * 100.0, tiers.join(", "));
    }
    for (worker, counts) in &phase.workers {
        let counts: Vec<String> = counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
        let _ = writeln!(text, "worker {worker:<7} {}", counts.join(", "));
    }
}
