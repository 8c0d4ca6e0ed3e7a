//! The three formats of one registry, and which one a scraper gets.

use super::*;
use prometheus_client::encoding::prometheus_protobuf::prometheus_data_model::{
    MetricFamily, MetricType as Kind,
};
use prost::Message;
use std::time::{Duration, SystemTime};

#[derive(Debug)]
struct Some3;

impl Collector for Some3 {
    fn encode(&self, encoder: Encoder<'_>) -> fmt::Result {
        let mut families = Families::new(encoder);
        families.counters("t_requests_total", "Requests.", |series| {
            series(&[("outcome", "a"), ("tier", "b")], 1 << 53)?;
            series(&[("outcome", "c \"\\\n"), ("tier", "b")], 0)
        })?;
        families.gauge("t_age_seconds", "How \\ old.", f64::INFINITY)?;
        families.histogram("t_seconds", "How long.", &histogram())?;
        families.histogram("t_traced_seconds", "Traced.", &traced())?;
        families.info("t_some_info", "Facts.", &[("fact", "x")])
    }
}

fn histogram() -> Histogram {
    // On a bound, between two, above the last one.
    Histogram::new(&[0.000_025, 0.5, 1.0], 5.25, [(0.000_025, 2), (0.5, 3), (0.75, 4), (4.0, 1)])
}

/// Two in one bucket, of which the later is shown, and one beyond all bounds.
fn traced() -> Histogram {
    let at = |ms| SystemTime::UNIX_EPOCH + Duration::from_millis(ms);
    let kept = [(1, 0.3, 1_000), (0xab, 0.4, 1_700_000_000_250), (u128::MAX, 9.0, 2_000)];
    let exemplars = kept.map(|(trace_id, value, ms)| Exemplar { trace_id, value, at: at(ms) });
    Histogram::new(&[0.25, 0.5], 9.7, [(0.3, 1), (0.4, 1), (9.0, 1)]).with_exemplars(exemplars.to_vec())
}

fn registry() -> Registry {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Some3));
    registry.register_collector(Box::new(Build { version: "1.2.3", commit: "abc" }));
    registry
}

fn text(format: Format) -> String {
    String::from_utf8(format.encode(&registry()).unwrap()).unwrap()
}

#[test]
fn classic_text_byte_for_byte() {
    let expected = r#"# HELP t_requests_total Requests.
# TYPE t_requests_total counter
t_requests_total{outcome="a",tier="b"} 9007199254740992
t_requests_total{outcome="c \"\\\n",tier="b"} 0
# HELP t_age_seconds How \\ old.
# TYPE t_age_seconds gauge
t_age_seconds +Inf
# HELP t_seconds How long.
# TYPE t_seconds histogram
t_seconds_sum 5.25
t_seconds_count 10
t_seconds_bucket{le="0.000025"} 2
t_seconds_bucket{le="0.5"} 5
t_seconds_bucket{le="1.0"} 9
t_seconds_bucket{le="+Inf"} 10
# HELP t_traced_seconds Traced.
# TYPE t_traced_seconds histogram
t_traced_seconds_sum 9.7
t_traced_seconds_count 3
t_traced_seconds_bucket{le="0.25"} 0
t_traced_seconds_bucket{le="0.5"} 2
t_traced_seconds_bucket{le="+Inf"} 3
# HELP t_some_info Facts.
# TYPE t_some_info gauge
t_some_info{fact="x"} 1
# HELP linkr_build_info The version of this program, and the commit that it was built from.
# TYPE linkr_build_info gauge
linkr_build_info{version="1.2.3",commit="abc"} 1
"#;
    assert_eq!(text(Format::Classic), expected);
}

#[test]
fn openmetrics_text() {
    let text = text(Format::OpenMetrics);
    for part in [
        "# TYPE t_requests counter\nt_requests_total{outcome=\"a\",tier=\"b\"} 9007199254740992\n",
        "# TYPE t_age_seconds gauge\nt_age_seconds +Inf\n",
        "# TYPE t_seconds histogram\nt_seconds_sum 5.25\nt_seconds_count 10\n",
        "t_seconds_bucket{le=\"0.000025\"} 2\n",
        "t_seconds_bucket{le=\"1.0\"} 9\n",
        "t_seconds_bucket{le=\"+Inf\"} 10\n",
        "t_traced_seconds_bucket{le=\"0.25\"} 0\n",
        "t_traced_seconds_bucket{le=\"0.5\"} 2 # {trace_id=\"000000000000000000000000000000ab\"} 0.4 1700000000.250\n",
        "t_traced_seconds_bucket{le=\"+Inf\"} 3 # {trace_id=\"ffffffffffffffffffffffffffffffff\"} 9 2.000\n",
        "# HELP t_age_seconds How \\\\ old.\n",
        "# TYPE t_some info\nt_some_info{fact=\"x\"} 1\n",
        "# TYPE linkr_build info\n",
    ] {
        assert!(text.contains(part), "{part}\nis not in\n{text}");
    }
    assert!(text.ends_with("\n# EOF\n"), "{text}");
}

#[test]
fn protobuf_with_a_native_histogram() {
    let bytes = Format::Protobuf.encode(&registry()).unwrap();
    let (mut rest, mut families) = (&bytes[..], Vec::new());
    while !rest.is_empty() {
        families.push(MetricFamily::decode_length_delimited(&mut rest).unwrap());
    }
    let names: Vec<_> = families.iter().map(|family| (family.name.as_str(), family.r#type())).collect();
    assert_eq!(
        names,
        [
            ("t_requests_total", Kind::Counter),
            ("t_age_seconds", Kind::Gauge),
            ("t_seconds", Kind::Histogram),
            ("t_traced_seconds", Kind::Histogram),
            ("t_some_info", Kind::Gauge),
            ("linkr_build_info", Kind::Gauge),
        ]
    );
    assert_eq!(families[0].metric[0].label[1].value, "b");
    let histogram = families[2].metric[0].histogram.as_ref().unwrap();
    assert_eq!((histogram.sample_count, histogram.sample_sum), (10, 5.25));
    assert_eq!(histogram.schema, 3);
    // 25 µs lies in (2^-15.375, 2^-15.25]; 0.5 ends bucket -8; 0.75 lies in (2^-0.5, 2^-0.375]; 4 ends bucket 16.
    let spans: Vec<_> = histogram.positive_span.iter().map(|span| (span.offset, span.length)).collect();
    assert_eq!(spans, [(-122, 1), (113, 1), (4, 1), (18, 1)]);
    assert_eq!(histogram.positive_delta, [2, 1, 1, -3]);
    let traced = families[3].metric[0].histogram.as_ref().unwrap();
    let exemplars: Vec<_> = traced.bucket.iter().map(|bucket| bucket.exemplar.as_ref()).collect();
    assert!(exemplars[0].is_none());
    let second = exemplars[1].unwrap();
    assert_eq!((second.label[0].name.as_str(), second.value), ("trace_id", 0.4));
    assert_eq!(second.timestamp.unwrap().nanos, 250_000_000);
}

#[test]
fn values_of_one_native_bucket_are_added_and_neighbours_are_one_span() {
    let own = Histogram::new(&[1.0], 0.0, [(1.01, 1), (1.02, 2), (1.1, 5)]);
    assert_eq!((own.spans, own.deltas), (vec![(1, 2)], vec![3, 2]));
    assert_eq!(own.classic, [(1.0, 0), (f64::INFINITY, 8)]);
    assert_eq!(Histogram::new(&[1.0], 0.0, []).classic, [(1.0, 0), (f64::INFINITY, 0)]);
}

#[test]
fn what_scrapers_ask_for() {
    const PROTOBUF: &str =
        "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
    let prometheus = "application/openmetrics-text;version=1.0.0;q=0.8,\
        application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    for (accept, format) in [
        ("", Format::Classic),
        ("*/*", Format::Classic),
        ("text/html,application/xhtml+xml,*/*;q=0.8", Format::Classic),
        ("image/png", Format::Classic),
        ("text/plain;version=1.0.0, application/openmetrics-text;q=0.1", Format::OpenMetrics),
        ("application/openmetrics-text", Format::OpenMetrics),
        ("Application/OpenMetrics-Text; Version=\"1.0.0\"; charset=utf-8", Format::OpenMetrics),
        ("application/openmetrics-text;version=0.0.1", Format::Classic),
        ("application/openmetrics-text;q=0", Format::Classic),
        ("application/openmetrics-text;q=x,text/plain;q=0.001", Format::Classic),
        (prometheus, Format::OpenMetrics),
        (&format!("{PROTOBUF},{prometheus}"), Format::Protobuf),
        (&format!("{prometheus},{PROTOBUF};q=0.7"), Format::OpenMetrics),
        ("application/vnd.google.protobuf;encoding=text", Format::Classic),
        ("text/plain,application/openmetrics-text", Format::Classic),
    ] {
        assert_eq!(Format::accepted([accept]), format, "{accept}");
    }
    assert_eq!(Format::accepted(["*/*;q=0.5", "application/openmetrics-text"]), Format::OpenMetrics);
    assert_eq!(Format::accepted([]), Format::Classic);
}
