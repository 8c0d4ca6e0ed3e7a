//! Both texts, from the protobuf model: Prometheus 0.0.4, which every tool reads, and OpenMetrics 1.0, which has exemplars.

use crate::families::Family;
use prometheus_client::encoding::prometheus_protobuf::prometheus_data_model as model;
use std::fmt::Write;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    Classic,
    OpenMetrics,
}

/// All of it. (Writing to a `String` does not fail.)
pub fn write(families: &[Family], dialect: Dialect) -> String {
    let mut out = String::with_capacity(16 * 1024);
    for family in families {
        write_head(&mut out, family, dialect);
        for metric in &family.model.metric {
            write_metric(&mut out, &family.model.name, metric, dialect);
        }
    }
    if dialect == Dialect::OpenMetrics {
        out.push_str("# EOF\n");
    }
    out
}

fn write_head(out: &mut String, family: &Family, dialect: Dialect) {
    let (mut name, mut kind) =
        (family.model.name.as_str(), family.model.r#type().as_str_name().to_ascii_lowercase());
    let mut help = escaped(&family.model.help);
    if dialect == Dialect::OpenMetrics {
        // A family has the name that its series have without the ending of their kind.
        let ending = if family.is_info { "_info" } else { "_total" };
        name = name.strip_suffix(ending).unwrap_or(name);
        help = help.replace('"', "\\\"");
        if family.is_info {
            "info".clone_into(&mut kind);
        }
    }
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn write_metric(out: &mut String, name: &str, metric: &model::Metric, dialect: Dialect) {
    let series = Series { name, suffix: "", labels: &metric.label, le: None };
    if let Some(counter) = &metric.counter {
        series.write(out, counter.value, None);
    }
    if let Some(gauge) = &metric.gauge {
        series.write(out, gauge.value, None);
    }
    if let Some(histogram) = &metric.histogram {
        Series { suffix: "_sum", ..series }.write(out, histogram.sample_sum, None);
        Series { suffix: "_count", ..series }.write(out, histogram.sample_count as f64, None);
        for bucket in &histogram.bucket {
            let exemplar = bucket.exemplar.as_ref().filter(|_| dialect == Dialect::OpenMetrics);
            let series = Series { suffix: "_bucket", le: Some(bucket.upper_bound), ..series };
            series.write(out, bucket.cumulative_count as f64, exemplar);
        }
    }
}

/// What stands before a value.
#[derive(Clone, Copy)]
struct Series<'a> {
    name: &'a str,
    suffix: &'static str,
    labels: &'a [model::LabelPair],
    /// The upper bound of a bucket.
    le: Option<f64>,
}

impl Series<'_> {
    fn write(self, out: &mut String, value: f64, exemplar: Option<&model::Exemplar>) {
        let _ = write!(out, "{}{}", self.name, self.suffix);
        let le = self.le.map(|le| model::LabelPair { name: "le".to_owned(), value: bound(le) });
        write_labels(out, self.labels.iter().chain(&le));
        let _ = write!(out, " {}", number(value));
        if let Some(exemplar) = exemplar {
            out.push_str(" # ");
            write_labels(out, &exemplar.label);
            let _ = write!(out, " {}", number(exemplar.value));
            if let Some(at) = &exemplar.timestamp {
                let _ = write!(out, " {}.{:03}", at.seconds, at.nanos / 1_000_000);
            }
        }
        out.push('\n');
    }
}

fn write_labels<'a>(out: &mut String, labels: impl IntoIterator<Item = &'a model::LabelPair>) {
    let mut before = '{';
    for label in labels {
        let value = escaped(&label.value).replace('"', "\\\"");
        let _ = write!(out, "{before}{}=\"{value}\"", label.name);
        before = ',';
    }
    if before == ',' {
        out.push('}');
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n")
}

/// Alike in both: the same series.
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
