//! Traces: what is kept and why, edge and control in one of them, a receiver that takes them or does not, and `linkr tail`.

#[path = "traces/receiver.rs"]
pub mod receiver;
#[path = "traces/slow.rs"]
mod slow;

use crate::support::{
    Answer, Connection, Dir, FREE_PORTS, LINKR, Linkr, beside_others, command, text, until,
};
use receiver::{Receiver, attribute};
use serde_json::Value;
use std::net::TcpListener;
use std::time::{Duration, Instant};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

fn control(dir: &Dir, otlp: &str) -> Linkr {
    let mut control = command(LINKR, dir.path());
    control.args(["control", "--otlp", otlp]).args(FREE_PORTS);
    Linkr::start(control, dir, &["api", "admin"])
}

/// An edge with room for few links, behind a proxy on this machine.
fn edge(dir: &Dir, control: &Linkr, more: &[&str]) -> Linkr {
    let mut edge = command(LINKR, dir.path());
    let url = format!("http://{}", control.api());
    edge.args(["edge", "--control", &url, "--workers", "1", "--unpinned", "--hot-set-bytes", "16KiB"]);
    edge.args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--trusted-peers", "127.0.0.1"]);
    edge.args(more);
    let edge = Linkr::start(edge, dir, &["edge", "admin"]);
    until("it to be ready", || {
        (Connection::to(edge.admin()).ask("GET", "/readyz").status == 200).then_some(())
    });
    edge
}

/// More links than such an edge has room for.
fn fill(control: &Linkr, dir: &Dir) {
    let rows = (0..500).map(|number| format!("c{number},https://example.com/some/target/{number}\n"));
    let file = dir.write("links.csv", format!("code,target\n{}", rows.collect::<String>()));
    control.ok(dir, &["import", &file]);
}

fn traced(edge: &Linkr, path: &str, traceparent: &str) -> Answer {
    let fields = [("traceparent", traceparent), ("tracestate", "lb=1")];
    Connection::to(edge.edge()).call_with("GET", path, &fields, "").unwrap().unwrap()
}

fn kept(edge: &Linkr, reason: &str) -> f64 {
    edge.metric(&format!("linkr_edge_traces_kept_total{{reason=\"{reason}\"}}")).unwrap()
}

fn slow(edge: &Linkr, dir: &Dir, more: &[&str]) -> Vec<Value> {
    let admin = edge.admin().to_string();
    let mut tail = command(LINKR, dir.path());
    let done = tail.args(["tail", "--slow", "-o", "json", "--edge", &admin]).args(more).output().unwrap();
    assert!(done.status.success(), "{}", text(&done.stderr));
    text(&done.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_miss_shows_edge_and_control_in_one_trace() {
    let _turn = beside_others();
    let (dir, own) = (Dir::new(), Dir::new());
    let receiver = Receiver::start();
    let control = control(&dir, receiver.url());
    fill(&control, &dir);
    let edge = edge(&own, &control, &["--otlp", receiver.url()]);
    let traceparent = format!("00-{TRACE}-b7ad6b7169203331-01");
    // There is no room for all, so that some are not in memory.
    let mut number = 0;
    let asked = until("a miss", || {
        number += 1;
        let before = edge.metric("linkr_edge_misses_total")?;
        assert_eq!(traced(&edge, &format!("/c{number}"), &traceparent).status, 302);
        (edge.metric("linkr_edge_misses_total")? > before).then_some(number)
    });
    let spans = until("all spans of the miss", || {
        let spans = receiver.of_trace(TRACE);
        let redirect = spans.iter().find(|span| {
            attribute(&span.span, "url.path") == Some(format!("/c{asked}")) && span.service == "linkr-edge"
        })?;
        let hop = spans.iter().find(|span| span.span.parent_span_id == redirect.span.span_id)?.clone();
        let fetch = spans.iter().find(|span| span.span.parent_span_id == hop.span.span_id)?.clone();
        let statement = spans.iter().find(|span| span.span.parent_span_id == fetch.span.span_id)?.clone();
        Some([redirect.clone(), hop, fetch, statement])
    });
    let [redirect, hop, fetch, statement] = spans;
    // On a slow machine a miss is also kept for being slow, which is said first.
    let reason = attribute(&redirect.span, "linkr.reason");
    assert!(["asked", "slow", "slow_tier"].contains(&reason.as_deref().unwrap_or_default()), "{reason:?}");
    assert_eq!(redirect.span.trace_state, "lb=1");
    assert_eq!(redirect.span.parent_span_id, [0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31]);
    assert_eq!((&*hop.span.name, &*hop.service), ("linkr.v1.Feed/Fetch", "linkr-edge"));
    assert_eq!((&*fetch.span.name, &*fetch.service), ("Fetch", "linkr-control"));
    assert_eq!((&*statement.span.name, &*statement.service), ("records", "linkr-control"));
    assert_eq!(attribute(&statement.span, "linkr.rows").as_deref(), Some("1"));
}

#[test]
fn a_write_shows_its_wait_for_the_writer_and_its_commit() {
    let _turn = beside_others();
    let dir = Dir::new();
    let receiver = Receiver::start();
    let control = control(&dir, receiver.url());
    let traceparent = format!("00-{TRACE}-b7ad6b7169203331-01");
    let body = r#"{"code":"x","target":"https://example.com/"}"#;
    let made = Connection::to(control.api())
        .call_with("POST", "/v1/links", &[("traceparent", &traceparent)], body)
        .unwrap()
        .unwrap();
    assert_eq!(made.status, 201, "{}", made.body);
    until("its spans", || {
        let spans = receiver.of_trace(TRACE);
        let call = spans.iter().find(|span| span.span.name == "CreateLink")?;
        assert_eq!(attribute(&call.span, "rpc.code").as_deref(), Some("OK"));
        let has = |name: &str| {
            spans.iter().any(|span| span.span.name == name && span.span.parent_span_id == call.span.span_id)
        };
        (has("wait for the writer") && has("commit")).then_some(())
    });
    // On a slow machine the write is also kept for being slow, which is said first.
    let kept = |reason| control.metric(&format!("linkr_control_traces_kept_total{{reason=\"{reason}\"}}"));
    until("the count", || (kept("asked")? + kept("slow")? >= 1.0).then_some(()));
}

pub fn what_a_stalled_control_makes_slow_is_kept_with_its_cause() {
    let (dir, own) = (Dir::new(), Dir::new());
    let receiver = Receiver::start();
    let control = control(&dir, receiver.url());
    fill(&control, &dir);
    let edge = edge(&own, &control, &["--otlp", receiver.url()]);
    control.signal("STOP");
    let status = edge.get("/unheard-of").status;
    control.signal("CONT");
    assert_eq!(status, 503);
    let slow = until("the slow one", || {
        slow(&edge, &own, &[]).into_iter().find(|trace| trace["path"] == "/unheard-of")
    });
    assert_eq!((&slow["reason"], &slow["cause"]), (&"unavailable".into(), &"control".into()), "{slow}");
    assert_eq!(
        (&slow["hops"][0]["tier"], &slow["hops"][0]["outcome"]),
        (&"control".into(), &"silent".into())
    );
    assert!(slow["us"].as_u64() >= Some(800_000) && slow["weight"] == 1, "{slow}");
    let id = slow["trace_id"].as_str().unwrap();
    let sent = until("it to be sent", || {
        receiver.of_trace(id).into_iter().find(|span| attribute(&span.span, "linkr.cause").is_some())
    });
    assert_eq!(attribute(&sent.span, "linkr.cause").as_deref(), Some("control"));
    assert_eq!(attribute(&sent.span, "linkr.weight").as_deref(), Some("1"));
    let mut tail = command(LINKR, own.path());
    let shown = tail.args(["tail", "--slow", "--edge", &edge.admin().to_string()]).output().unwrap();
    let shown = text(&shown.stdout);
    assert!(shown.contains("/unheard-of") && shown.contains("asked control: silent after"), "{shown}");
}

pub fn a_worker_that_was_stopped_says_so() {
    let (dir, own) = (Dir::new(), Dir::new());
    let receiver = Receiver::start();
    let control = control(&dir, receiver.url());
    let edge = edge(&own, &control, &["--otlp", receiver.url()]);
    let mut client = Connection::to(edge.edge());
    assert_eq!(client.ask("GET", "/none").status, 404);
    until("a first tick", || {
        edge.metric("linkr_edge_request_duration_seconds_count").filter(|count| *count > 0.0)
    });
    edge.signal("STOP");
    let began = Instant::now();
    client.send("GET", "/behind-it", "").unwrap();
    until("a while", || (began.elapsed() > Duration::from_millis(300)).then_some(()));
    edge.signal("CONT");
    assert_eq!(client.answer(false).unwrap().unwrap().status, 404);
    let late = until("a late turn", || {
        assert_eq!(edge.get("/next").status, 404);
        slow(&edge, &own, &[]).into_iter().find(|trace| {
            let before = trace["before"].as_array().unwrap();
            before.iter().any(|event| event["what"] == "worker_late" && event["us"].as_u64() >= Some(100_000))
        })
    });
    let id = late["trace_id"].as_str().unwrap();
    until("it to be sent with what came before", || {
        let spans = receiver.of_trace(id);
        spans.iter().flat_map(|span| &span.span.events).find(|event| event.name == "worker_late").map(drop)
    });
}

#[test]
fn the_last_spans_are_with_the_receiver_when_a_process_has_ended() {
    let _turn = beside_others();
    let (dir, own) = (Dir::new(), Dir::new());
    let receiver = Receiver::start();
    let mut control = control(&dir, receiver.url());
    let mut edge = edge(&own, &control, &["--otlp", receiver.url()]);
    let traceparent = format!("00-{TRACE}-b7ad6b7169203331-01");
    assert_eq!(traced(&edge, "/none", &traceparent).status, 404);
    edge.ask_to_stop();
    assert!(edge.exited().success());
    let has = |service: &str, name: &str| {
        let spans = receiver.of_trace(TRACE);
        assert!(spans.iter().any(|one| one.service == service && one.span.name == name), "{spans:?}");
    };
    has("linkr-edge", "GET");
    let body = r#"{"code":"x","target":"https://example.com/"}"#;
    let fields = [("traceparent", &*traceparent)];
    let made = Connection::to(control.api()).call_with("POST", "/v1/links", &fields, body).unwrap().unwrap();
    assert_eq!(made.status, 201, "{}", made.body);
    control.ask_to_stop();
    assert!(control.exited().success());
    has("linkr-control", "CreateLink");
    has("linkr-control", "commit");
}

#[test]
fn what_strangers_say_of_traces_is_counted_and_nothing_else() {
    let _turn = beside_others();
    let dir = Dir::new();
    let server = Linkr::up(&dir);
    let count = |outcome: &str| {
        let name = format!("linkr_edge_traceparents_total{{outcome=\"{outcome}\"}}");
        server.metric(&name).unwrap()
    };
    let traceparent = format!("00-{TRACE}-b7ad6b7169203331-01");
    assert_eq!(traced(&server, "/none", &traceparent).status, 404, "loopback is no trusted peer by itself");
    // A worker counts a turn when its answer is already with the kernel.
    until("it to be counted", || (count("untrusted") == 1.0).then_some(()));
    assert_eq!((count("taken"), kept(&server, "asked")), (0.0, 0.0));

    let (dir, own) = (Dir::new(), Dir::new());
    let receiver = Receiver::start();
    let control = control(&dir, receiver.url());
    let edge = edge(&own, &control, &[]);
    let plain = edge.get("/none");
    for hostile in ["00-x", "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", &"0".repeat(4_000)] {
        let answer = traced(&edge, "/none", hostile);
        assert_eq!((answer.status, &answer.body), (plain.status, &plain.body), "{hostile}");
    }
    until("the illegal ones to be counted", || {
        let illegal = edge.metric("linkr_edge_traceparents_total{outcome=\"illegal\"}");
        (illegal == Some(3.0)).then_some(())
    });
    assert_eq!(traced(&edge, "/none", &traceparent).status, 404);
    // On a slow machine a miss is also kept for being slow, which is said first.
    until("it to be kept", || {
        let reasons = ["asked", "slow", "slow_tier"];
        (reasons.map(|reason| kept(&edge, reason)).iter().sum::<f64>() >= 1.0).then_some(())
    });
}

#[test]
fn a_receiver_that_is_away_or_hangs_costs_counters_alone() {
    let _turn = beside_others();
    let hangs = TcpListener::bind("127.0.0.1:0").unwrap(); // nobody accepts
    let hanging = format!("http://{}", hangs.local_addr().unwrap());
    let away = {
        let gone = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", gone.local_addr().unwrap())
    };
    for receiver in [away, hanging] {
        let dir = Dir::new();
        let server = Linkr::up_with(&dir, &[("LINKR_OTLP", &receiver)]);
        server.ok(&dir, &["link", "create", "https://example.com/", "--code", "x"]);
        server.catch_up();
        let failures = until("a failure", || {
            assert_eq!(server.get("/x").status, 302);
            let of = |half: &str, outcome: &str| {
                let name = format!("linkr_{half}_otlp_failures_total{{outcome=\"{outcome}\"}}");
                server.metric(&name).unwrap()
            };
            let all: f64 = ["edge", "control"].iter().map(|half| of(half, "slow") + of(half, "failed")).sum();
            (all > 0.0).then_some(all)
        });
        assert!(failures >= 1.0);
        assert_eq!(server.metric("linkr_edge_otlp_spans_total{outcome=\"sent\"}"), Some(0.0));
        server.ok(&dir, &["link", "create", "https://example.com/", "--code", "y"]);
    }
}

#[test]
fn tail_shows_what_is_answered_while_it_is() {
    let _turn = beside_others();
    let dir = Dir::new();
    let server = Linkr::up(&dir);
    server.ok(&dir, &["link", "create", "https://example.com/", "--code", "hello"]);
    server.catch_up();
    let tail = |more: &[&str]| {
        let mut tail = command(LINKR, dir.path());
        tail.args(["tail", "--lasting", "2s", "-o", "json", "--edge", &server.admin().to_string()])
            .args(more);
        std::thread::spawn(move || tail.output().unwrap())
    };
    let (all, some) = (tail(&[]), tail(&["--code", "hel*", "--outcome", "redirect", "--domain", "-"]));
    let both =
        ["/hello", "/nothing?secret=1"].map(|path| format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    let many = both.concat().repeat(20);
    while !all.is_finished() || !some.is_finished() {
        let mut client = Connection::to(server.edge());
        for _ in 0..100 {
            client.write_all(many.as_bytes()).unwrap();
            for _ in 0..20 {
                assert_eq!(client.answer(false).unwrap().unwrap().status, 302);
                assert_eq!(client.answer(false).unwrap().unwrap().status, 404);
            }
        }
    }
    let lines = |done: std::process::Output| -> Vec<Value> {
        assert!(done.status.success(), "{}", text(&done.stderr));
        text(&done.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let (all, some) = (all.join().unwrap(), some.join().unwrap());
    assert!(text(&all.stderr).contains("answers are not shown"), "it asks in a loop: {}", text(&all.stderr));
    let (all, some) = (lines(all), lines(some));
    let is = |line: &Value, path: &str, outcome: &str| line["path"] == path && line["outcome"] == outcome;
    assert!(all.iter().any(|line| is(line, "/nothing", "not_found") && line["status"] == 404));
    assert!(all.iter().any(|line| is(line, "/hello", "redirect")));
    assert!(!some.is_empty() && some.iter().all(|line| is(line, "/hello", "redirect")));
    let refused = command(LINKR, dir.path())
        .args(["tail", "--outcome", "none", "--edge", &server.admin().to_string()])
        .output()
        .unwrap();
    assert!(text(&refused.stderr).contains("there is no outcome none"), "{}", text(&refused.stderr));
}
