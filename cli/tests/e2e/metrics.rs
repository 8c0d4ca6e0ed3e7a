//! What `/metrics` says: exact counts, in every format, as promtool and a real Prometheus read it.

use crate::prometheus::{Prometheus, Target};
use crate::support::{
    Connection, Dir, FREE_PORTS, LINKR, Linkr, beside_others, command, has, skip, text, until,
};
use crate::traces::receiver::Receiver;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::SystemTime;

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0";
const PROTOBUF: &str =
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
/// What the requests of [`drive`] come to.
const DRIVEN: [(&str, &str, u64); 7] = [
    ("redirect", "hot", 7),
    ("not_found", "hot", 3),
    ("gone", "hot", 2),
    ("method", "none", 2),
    ("reserved", "none", 1),
    ("refused", "none", 1),
    ("timed_out", "none", 0),
];

/// `/metrics` for this `Accept`: the content type and the body.
fn scrape(admin: SocketAddr, accept: &str) -> (String, Vec<u8>) {
    let answer = raw(
        admin,
        &format!("GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"),
    );
    let end = answer.windows(4).position(|at| at == b"\r\n\r\n").expect("a whole head");
    let head = text(&answer[..end]).to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 200 "), "{head}");
    let kind = head.lines().find_map(|line| line.strip_prefix("content-type: ")).unwrap_or_default();
    (kind.to_owned(), answer[end + 4..].to_vec())
}

/// Sends bytes and reads until the other side closes.
fn raw(address: SocketAddr, request: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    answer
}

/// The value of a series in the text of either text format.
fn value(text: &str, series: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?.parse().ok()
}

fn classic(linkr: &Linkr) -> String {
    text(&scrape(linkr.admin(), "*/*").1)
}

/// A link `x`, a deleted one `gone`, and nothing asked of the edge yet.
fn start(dir: &Dir) -> Linkr {
    let linkr = Linkr::up(dir);
    linkr.ok(dir, &["link", "create", "https://example.com/x", "--code", "x"]);
    linkr.ok(dir, &["link", "create", "https://example.com/gone", "--code", "gone"]);
    linkr.ok(dir, &["link", "delete", "gone"]);
    linkr.catch_up();
    until("the whole set", || linkr.metric("linkr_hot_set_complete").filter(|complete| *complete == 1.0));
    linkr
}

/// [`DRIVEN`], over one connection with pipelining, and others.
fn drive(linkr: &Linkr) {
    let mut kept = Connection::to(linkr.edge());
    for (method, path, status) in [
        ("GET", "/x", 302),
        ("HEAD", "/x", 302),
        ("GET", "/x?q=1", 302),
        ("GET", "/none", 404),
        ("GET", "/not//a/code", 404),
        ("GET", "/gone", 410),
        ("OPTIONS", "/x", 204),
        ("POST", "/x", 405),
        ("GET", "/robots.txt", 200),
    ] {
        let status = (status, path);
        assert_eq!((kept.ask(method, path).status, path), status);
    }
    let one = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: go.test\r\n\r\n");
    let last = "GET /x HTTP/1.1\r\nHost: go.test\r\nConnection: close\r\n\r\n";
    let batch = [&one("/x"), &one("/none"), &one("/x"), &one("/gone"), &one("/x"), last].map(String::from);
    assert_eq!(text(&raw(linkr.edge(), &batch.concat())).matches("HTTP/1.1 ").count(), 6);
    assert!(text(&raw(linkr.edge(), "GET /x HTTP/1.1\r\n\r\n")).starts_with("HTTP/1.1 400 "));
}

fn series(outcome: &str, tier: &str) -> String {
    format!("linkr_edge_requests_total{{outcome=\"{outcome}\",tier=\"{tier}\"}}")
}

/// Waits until the durations, which come a tick later than the counts, are there.
fn durations(linkr: &Linkr, count: u64) -> String {
    until("all durations", || {
        let text = classic(linkr);
        let counted = value(&text, "linkr_edge_request_duration_seconds_count")?;
        assert!(counted <= count as f64, "{text}");
        (counted == count as f64).then_some(text)
    })
}

#[test]
fn counts_are_exact_in_every_format() {
    let _turn = beside_others();
    let dir = Dir::new();
    let linkr = start(&dir);
    drive(&linkr);
    let all = DRIVEN.iter().map(|(.., count)| count).sum();
    let classic = durations(&linkr, all);
    let openmetrics = scrape(linkr.admin(), OPENMETRICS);
    assert!(openmetrics.0.starts_with("application/openmetrics-text; version=1.0.0"), "{}", openmetrics.0);
    let openmetrics = text(&openmetrics.1);
    assert!(openmetrics.ends_with("\n# EOF\n"));
    for text in [&classic, &openmetrics] {
        for (outcome, tier, count) in DRIVEN {
            assert_eq!(value(text, &series(outcome, tier)), Some(count as f64), "{outcome} {tier}\n{text}");
        }
        let total: f64 = text
            .lines()
            .filter_map(|line| line.strip_prefix("linkr_edge_requests_total{")?.rsplit_once(' '))
            .map(|(_, count)| count.parse::<f64>().unwrap())
            .sum();
        assert_eq!(total, all as f64, "and nothing else");
        let infinite = "linkr_edge_request_duration_seconds_bucket{le=\"+Inf\"}";
        assert_eq!(value(text, infinite), Some(all as f64));
        assert!(value(text, "linkr_edge_request_duration_seconds_sum").unwrap() > 0.0);
        assert_eq!(value(text, "linkr_feed_lag_seconds"), Some(0.0));
        // Of the other half, by way of the same listener.
        assert_eq!(value(text, "linkr_control_log_head"), Some(3.0));
        assert!(text.contains("linkr_control_requests_total{method=\""), "{text}");
    }
    let (kind, body) = scrape(linkr.admin(), PROTOBUF);
    assert!(kind.starts_with("application/vnd.google.protobuf"), "{kind}");
    for name in ["linkr_edge_request_duration_seconds", "linkr_control_log_head", "linkr_build_info"] {
        assert!(body.windows(name.len()).any(|at| at == name.as_bytes()), "{name}");
    }
}

#[test]
fn what_control_had_to_be_asked_for_counts_as_origin() {
    const LINKS: usize = 2_000;
    let _turn = beside_others();
    let dir = Dir::new();
    let mut control = command(LINKR, dir.path());
    control.args(["control", "--api", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--store", "sqlite:links.db"]);
    let control = Linkr::start(control, &dir, &["store", "api", "admin"]);
    let mut csv = String::from("code,target\n");
    for number in 0..LINKS {
        let _ = writeln!(csv, "c{number},https://example.com/a/target/of/some/length/{number}");
    }
    let file = dir.write("links.csv", csv);
    control.ok(&dir, &["import", &file]);
    assert!(classic(&control).contains("linkr_build_info{version="), "also without an edge");
    let kind = scrape(control.admin(), PROTOBUF).0;
    assert!(kind.starts_with("application/vnd.google.protobuf"), "{kind}");

    let other = Dir::new();
    let mut edge = command(LINKR, other.path());
    edge.args(["edge", "--control", &format!("http://{}", control.api()), "--workers", "2"]);
    edge.args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--hot-set-bytes", "80KiB"]);
    let edge = Linkr::start(edge, &other, &["edge", "admin"]);
    until("it to have seen all links", || {
        let seen = Connection::to(edge.admin()).ask("GET", "/readyz").status == 200;
        (seen && edge.metric("linkr_feed_applied_seq")? == LINKS as f64).then_some(())
    });
    assert_eq!(edge.metric("linkr_hot_set_complete"), Some(0.0));
    let mut kept = Connection::to(edge.edge());
    for number in 0..LINKS {
        assert_eq!(kept.ask("GET", &format!("/c{number}")).status, 302, "{number}");
    }
    for _ in 0..2 {
        assert_eq!(kept.ask("GET", "/none").status, 404); // asked for once, then known
    }
    drop(control);
    let mut number = 0;
    until("an answer without control", || {
        number += 1;
        (kept.ask("GET", &format!("/none{number}")).status == 503).then_some(())
    });
    let text = classic(&edge);
    let get = |outcome: &str, tier: &str| value(&text, &series(outcome, tier)).unwrap();
    let (hot, origin) = (get("redirect", "hot"), get("redirect", "origin"));
    assert_eq!(hot + origin, LINKS as f64);
    assert!(origin > LINKS as f64 / 2.0, "{origin} of them do not fit");
    assert!(get("not_found", "origin") >= 1.0);
    assert_eq!(get("not_found", "hot"), 1.0, "what was asked for before");
    assert_eq!((get("unavailable", "origin"), get("unavailable", "hot")), (1.0, 0.0));
    let asked = get("redirect", "origin") + get("not_found", "origin") + get("unavailable", "origin");
    assert_eq!(value(&text, "linkr_edge_misses_total"), Some(asked));
}

#[test]
fn promtool_has_nothing_to_say() {
    if !has("promtool") {
        return skip("promtool_has_nothing_to_say", "promtool is not installed");
    }
    let _turn = beside_others();
    let dir = Dir::new();
    let linkr = start(&dir);
    drive(&linkr);
    let file = dir.write("metrics", scrape(linkr.admin(), "text/plain;version=0.0.4").1);
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(std::fs::File::open(file).unwrap());
    let done = promtool.output().unwrap();
    let said = [text(&done.stdout), text(&done.stderr)].concat();
    assert!(done.status.success() && said.is_empty(), "{said}");
}

#[test]
fn a_real_prometheus_reads_every_format() {
    if !has("prometheus") {
        return skip("a_real_prometheus_reads_every_format", "prometheus is not installed");
    }
    let _turn = beside_others();
    let dir = Dir::new();
    let linkr = start(&dir);
    drive(&linkr);
    let all: u64 = DRIVEN.iter().map(|(.., count)| count).sum();
    durations(&linkr, all);
    const DURATION: &str = "linkr_edge_request_duration_seconds";
    {
        // It asks for OpenMetrics first.
        let prometheus = Prometheus::start(&dir, &[]);
        prometheus.scrapes(&[Target { job: "linkr", at: linkr.admin() }]);
        prometheus.gives("up", 1.0);
        prometheus.gives("sum(linkr_edge_requests_total)", all as f64);
        prometheus.gives(&series("redirect", "hot"), 7.0);
        prometheus.gives(&format!("{DURATION}_bucket{{le=\"+Inf\"}}"), all as f64);
        prometheus.gives("linkr_control_log_head", 3.0);
    }
    let other = Dir::new();
    // And now for protobuf.
    let native = Prometheus::start(&other, &["--enable-feature=native-histograms"]);
    native.scrapes(&[Target { job: "linkr", at: linkr.admin() }]);
    native.gives("up", 1.0);
    native.gives("sum(linkr_edge_requests_total)", all as f64);
    native.gives(&format!("histogram_count({DURATION})"), all as f64);
    let (sum, median) = (
        native.query(&format!("histogram_sum({DURATION})")),
        native.query(&format!("histogram_quantile(0.5, {DURATION})")),
    );
    let (sum, median) = (sum.unwrap(), median.unwrap());
    assert!(sum > 0.0 && median > 0.000_000_5 && median < sum, "{median} of {sum}");
    // What is driven now is seen too.
    drive(&linkr);
    native.gives("sum(linkr_edge_requests_total{tier=\"hot\"})", 24.0);
    native.gives(&format!("histogram_count({DURATION})"), 2.0 * all as f64);
}

#[test]
fn the_exemplar_of_the_slowest_bucket_names_a_trace_that_the_receiver_has() {
    if !has("prometheus") {
        return skip("the_exemplar_of_the_slowest_bucket", "prometheus is not installed");
    }
    let _turn = beside_others();
    let dir = Dir::new();
    let receiver = Receiver::start();
    let mut up = command(LINKR, dir.path());
    up.args(["up", "--data-dir", "data", "--listen", "127.0.0.1:0", "--workers", "1"]);
    up.args(FREE_PORTS).args(["--otlp", receiver.url(), "--trusted-peers", "127.0.0.1"]);
    let linkr = Linkr::start(up, &dir, &["edge", "api", "admin", "then"]);
    let traced = |trace: &str| [("traceparent", format!("00-{trace}-b7ad6b7169203331-01"))];
    let ids = ["0af7651916cd43dd8448eb211c80319c", "1bf7651916cd43dd8448eb211c80319c"];
    let ask = |at: SocketAddr, method: &str, path: &str, id: &str, body: &str| {
        let fields = traced(id);
        let fields = fields.each_ref().map(|(name, value)| (*name, value.as_str()));
        Connection::to(at).call_with(method, path, &fields, body).unwrap().unwrap().status
    };
    let body = r#"{"code":"x","target":"https://example.com/"}"#;
    assert_eq!(ask(linkr.api(), "POST", "/v1/links", ids[0], body), 201);
    linkr.catch_up();
    assert_eq!(ask(linkr.edge(), "GET", "/x", ids[1], ""), 302);
    let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    for more in ["", ",native-histograms"] {
        let dir = Dir::new();
        let features = format!("--enable-feature=exemplar-storage{more}");
        let prometheus = Prometheus::start(&dir, &[&features]);
        prometheus.scrapes(&[Target { job: "linkr", at: linkr.admin() }]);
        let halves = ["linkr_control_request_duration_seconds", "linkr_edge_request_duration_seconds"];
        for name in halves {
            let named = until("its exemplar", || {
                let query = format!("{{__name__=~\"{name}(_bucket)?\"}}");
                let (from, to) = ((now() - 60).to_string(), (now() + 60).to_string());
                let words = [("query", &*query), ("start", &*from), ("end", &*to)];
                let found = prometheus.ask("query_exemplars", &words);
                let all = found.as_array()?.iter().flat_map(|one| one["exemplars"].as_array().unwrap());
                let slowest = all.max_by(|one, other| {
                    let value =
                        |exemplar: &serde_json::Value| exemplar["value"].as_str()?.parse::<f64>().ok();
                    value(one).partial_cmp(&value(other)).unwrap()
                })?;
                Some(slowest["labels"]["trace_id"].as_str().unwrap().to_owned())
            });
            until("its spans", || (!receiver.of_trace(&named).is_empty()).then_some(()));
        }
    }
}
