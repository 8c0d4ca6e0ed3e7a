//! Prometheus text 0.0.4, from the protobuf model.

use prometheus_client::encoding::prometheus_protobuf::prometheus_data_model as model;
use std::fmt::Write;

/// All of it. (Writing to a `String` does not fail.)
pub fn write(families: &[model::MetricFamily]) -> String {
    let mut out = String::with_capacity(16 * 1024);
    for family in families {
        let name = &family.name;
        let kind = family.r#type().as_str_name().to_ascii_lowercase();
        let help = family.help.replace('\\', "\\\\").replace('\n', "\\n");
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for metric in &family.metric {
            write_metric(&mut out, name, metric);
        }
    }
    out
}

fn write_metric(out: &mut String, name: &str, metric: &model::Metric) {
    let mut plain = |suffix: &str, value: f64| sample(out, name, suffix, &metric.label, None, value);
    if let Some(counter) = &metric.counter {
        plain("", counter.value);
    }
    if let Some(gauge) = &metric.gauge {
        plain("", gauge.value);
    }
    if let Some(histogram) = &metric.histogram {
        plain("_sum", histogram.sample_sum);
        plain("_count", histogram.sample_count as f64);
        for bucket in &histogram.bucket {
            let count = bucket.cumulative_count as f64;
            sample(out, name, "_bucket", &metric.label, Some(bucket.upper_bound), count);
        }
    }
}

fn sample(
    out: &mut String,
    name: &str,
    suffix: &str,
    labels: &[model::LabelPair],
    le: Option<f64>,
    value: f64,
) {
    let _ = write!(out, "{name}{suffix}");
    let mut before = '{';
    let mut label = |name: &str, value: &str| {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let _ = write!(out, "{before}{name}=\"{value}\"");
        before = ',';
    };
    for pair in labels {
        label(&pair.name, &pair.value);
    }
    if let Some(le) = le {
        label("le", &bound(le));
    }
    let close = if before == ',' { "}" } else { "" };
    let _ = writeln!(out, "{close} {}", number(value));
}

/// As OpenMetrics text has it: the same series in both.
fn bound(le: f64) -> String {
    if le.is_finite() && le.fract() == 0.0 { format!("{le:.1}") } else { number(le) }
}

fn number(value: f64) -> String {
    match value {
        f64::INFINITY => "+Inf".to_owned(),
        f64::NEG_INFINITY => "-Inf".to_owned(),
        value => value.to_string(),
    }
}
