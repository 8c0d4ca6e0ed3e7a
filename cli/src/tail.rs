//! `linkr tail`: what an edge answers, and its last slow answers, asked of its admin listener.

use crate::args::{Output, Tail};
use crate::fault::CommandFault;
use crate::out::took;
use crate::{admin, out};
use exposition::escaped;
use serde_json::Value;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// Between two questions.
const AGAIN: Duration = Duration::from_millis(200);
/// Turns that are shown of those in front of a slow one: the longest.
const SHOWN: usize = 12;

/// Runs it.
pub fn tail(args: &Tail) -> Result<(), CommandFault> {
    if args.slow { slow(args) } else { live(args) }
}

fn ask(args: &Tail, target: &str) -> Result<Value, CommandFault> {
    let edge = &args.edge;
    let (status, body) = admin::get(edge, target).map_err(|fault| {
        CommandFault::new(format_args!(
            "{edge} cannot be asked ({fault}): --edge names the admin listener of an edge"
        ))
    })?;
    match status {
        200 => serde_json::from_str(&body)
            .map_err(|fault| CommandFault::new(format_args!("the edge's answer cannot be read: {fault}"))),
        404 => Err(CommandFault::new(format_args!(
            "{edge} shows no answers: is it the admin listener of an edge, and of no older linkr?"
        ))),
        _ => Err(CommandFault::new(body.trim())),
    }
}

/// Asks again and again, until `--lasting` is over or somebody stops it.
fn live(args: &Tail) -> Result<(), CommandFault> {
    let until = args.lasting.map(|lasting| Instant::now() + lasting);
    let id = u64::from(std::process::id()) << 32
        | u64::from(std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.subsec_nanos()));
    let mut target = format!("/debug/tail?id={id}");
    let words = [("code", &args.code), ("domain", &args.domain), ("outcome", &args.outcome)];
    for (name, word) in words {
        if let Some(word) = word {
            let _ = write!(target, "&{name}={}", escaped(word.trim_start_matches('/')));
        }
    }
    if let Some(slower) = args.slower_than {
        let _ = write!(target, "&slower_us={}", slower.as_micros());
    }
    loop {
        let told = ask(args, &target)?;
        for line in told["lines"].as_array().into_iter().flatten() {
            match args.output {
                Output::Json => out::json(line)?,
                _ => out::text(&(answer_line(line) + "\n"))?,
            }
        }
        if let Some(dropped) = told["dropped"].as_u64().filter(|dropped| *dropped > 0) {
            out::note(&format!(
                "{dropped} answers are not shown: there are too many of them; --code, --domain, --outcome and --slower-than choose"
            ));
        }
        if until.is_some_and(|until| Instant::now() >= until) {
            return Ok(());
        }
        std::thread::sleep(AGAIN);
    }
}

fn answer_line(line: &Value) -> String {
    let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
    let (status, us) = (&line["status"], line["us"].as_u64().unwrap_or(0));
    let time = clock(line["unix_us"].as_u64().unwrap_or(0));
    format!(
        "{time} {status} {:<11} {:>9} {:<6} {}{}",
        text("outcome"),
        took(us),
        text("method"),
        text("host"),
        text("path")
    )
}

fn slow(args: &Tail) -> Result<(), CommandFault> {
    let told = ask(args, if args.all { "/debug/slow?all=1" } else { "/debug/slow" })?;
    let traces = told["traces"].as_array().map(Vec::as_slice).unwrap_or_default();
    let wanted: Vec<&Value> = traces.iter().filter(|trace| wants(args, trace)).collect();
    match args.output {
        Output::Json => wanted.into_iter().try_for_each(out::json),
        _ if wanted.is_empty() => {
            let threshold = took(told["slow_us"].as_u64().unwrap_or(0));
            out::text(&format!("no answer was slow: none took {threshold} or longer\n"))
        }
        _ => wanted.into_iter().try_for_each(|trace| out::text(&described(trace))),
    }
}

fn wants(args: &Tail, trace: &Value) -> bool {
    let path = trace["path"].as_str().unwrap_or_default().trim_start_matches('/');
    let code = args.code.as_deref().map(|code| code.trim_start_matches('/'));
    let code = code.is_none_or(|code| match code.strip_suffix('*') {
        Some(begin) => path.starts_with(begin),
        None => path == code,
    });
    let host = trace["host"].as_str().unwrap_or_default();
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
    let domain = args.domain.as_deref().is_none_or(|domain| host.eq_ignore_ascii_case(domain));
    let slower = args
        .slower_than
        .is_none_or(|least| u128::from(trace["us"].as_u64().unwrap_or(0)) >= least.as_micros());
    code && domain && slower
}

/// One slow answer, for people.
fn described(trace: &Value) -> String {
    let text = |name: &str| trace[name].as_str().unwrap_or_default().to_owned();
    let number = |value: &Value| value.as_u64().unwrap_or(0);
    let mut shown = String::new();
    let _ = writeln!(
        shown,
        "{} {} {} {} {}{}",
        clock(number(&trace["began_unix_us"])),
        took(number(&trace["us"])),
        trace["status"],
        text("method"),
        text("host"),
        text("path"),
    );
    let weight = match number(&trace["weight"]) {
        1 => String::new(),
        weight => format!(", stands for {weight}"),
    };
    let _ = writeln!(
        shown,
        "    {} by {}, worker {}{weight}, trace {}",
        text("reason"),
        text("cause"),
        trace["worker"],
        text("trace_id")
    );
    let list = |name: &str| trace[name].as_array().cloned().unwrap_or_default();
    for hop in list("hops") {
        let tier = hop["tier"].as_str().unwrap_or_default();
        let (outcome, us) = (hop["outcome"].as_str().unwrap_or_default(), number(&hop["us"]));
        let _ = writeln!(shown, "    {:>10}  asked {tier}: {outcome} after {}", after(&hop), took(us));
    }
    let mut before = list("before");
    before.sort_by_key(|event| std::cmp::Reverse(number(&event["us"])));
    let left_out = number(&trace["left_out"]) + before.len().saturating_sub(SHOWN) as u64;
    before.truncate(SHOWN);
    before.sort_by_key(|event| event["after_us"].as_i64());
    for event in before {
        let what = match event["what"].as_str() {
            Some("worker_late") => "the worker did not run",
            _ => "another turn",
        };
        let outcomes = event["outcomes"].as_str().filter(|outcomes| !outcomes.is_empty());
        let outcomes = outcomes.map(|outcomes| format!(" ({outcomes})")).unwrap_or_default();
        let _ =
            writeln!(shown, "    {:>10}  {what} for {}{outcomes}", after(&event), took(number(&event["us"])));
    }
    if left_out > 0 {
        let _ = writeln!(shown, "                and {left_out} shorter ones");
    }
    shown
}

/// So long after the slow answer began.
fn after(event: &Value) -> String {
    let us = event["after_us"].as_i64().unwrap_or(0);
    format!("{}{}", if us < 0 { "-" } else { "+" }, took(us.unsigned_abs()))
}

/// The time of day in UTC.
fn clock(unix_us: u64) -> String {
    let (seconds, ms) = (unix_us / 1_000_000 % 86_400, unix_us / 1_000 % 1_000);
    format!("{:02}:{:02}:{:02}.{ms:03}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn times_as_people_read_them() {
        assert_eq!(clock(86_400_000_000 + 3_723_004_000), "01:02:03.004");
        assert_eq!(after(&json!({ "after_us": -1_500 })), "-1.5 ms");
    }

    #[test]
    fn a_slow_answer_is_shown_with_what_came_before() {
        let before: Vec<Value> = (0..20)
            .map(|at| json!({ "what": "turn", "after_us": at - 100, "us": if at == 3 { 90_000 } else { at }, "outcomes": "refused" }))
            .collect();
        let trace = json!({
            "trace_id": "ab", "reason": "slow", "weight": 3, "cause": "redis", "worker": 1, "began_unix_us": 1_000, "us": 5_000,
            "status": 302, "method": "GET", "host": "go.test", "path": "/a", "left_out": 4, "before": before,
            "hops": [{ "tier": "redis", "after_us": 10, "us": 4_900, "outcome": "silent", "joined": null }],
        });
        let shown = described(&trace);
        assert!(shown.starts_with("00:00:00.001 5.0 ms 302 GET go.test/a\n"), "{shown}");
        for part in [
            "slow by redis, worker 1, stands for 3, trace ab\n",
            "+10 us  asked redis: silent after 4.9 ms\n",
            "-97 us  another turn for 90.0 ms (refused)\n",
            "and 12 shorter ones\n",
        ] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
    }
}
