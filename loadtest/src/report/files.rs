//! The files of a run: `report.json`, `report.html`, `*.hgrm`, `latency.hlog`.

use super::{Report, html};
use crate::engine::RunResult;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2Serializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Writes all of them into `dir`, which is made.
///
/// # Errors
/// One line that names the file.
pub fn write_all(dir: &Path, report: &Report, done: &RunResult) -> Result<(), String> {
    std::fs::create_dir_all(dir).map_err(|fault| format!("cannot make {}: {fault}", dir.display()))?;
    let write = |name: &str, bytes: &[u8]| {
        let path = dir.join(name);
        std::fs::write(&path, bytes).map_err(|fault| format!("cannot write {}: {fault}", path.display()))
    };
    let json = serde_json::to_string_pretty(report).map_err(|fault| fault.to_string())?;
    write("report.json", json.as_bytes())?;
    write("report.html", html::page(report)?.as_bytes())?;
    write("corrected.hgrm", percentiles(&done.warm.corrected).as_bytes())?;
    write("uncorrected.hgrm", percentiles(&done.warm.uncorrected).as_bytes())?;
    write("latency.hlog", &interval_log(report, done)?)
}

/// The percentile table that HdrHistogram's own tools plot; values in milliseconds.
fn percentiles(histogram: &Histogram<u64>) -> String {
    let mut text = String::from("       Value     Percentile TotalCount 1/(1-Percentile)\n\n");
    let mut count = 0;
    for step in histogram.iter_quantiles(5) {
        let (value, quantile) = (step.value_iterated_to() as f64 / 1e6, step.quantile_iterated_to());
        count += step.count_since_last_iteration();
        let _ = match 1.0 - quantile {
            left if left > 0.0 => {
                writeln!(text, "{value:12.3} {quantile:14.12} {count:10} {:14.2}", 1.0 / left)
            }
            _ => writeln!(text, "{value:12.3} {quantile:14.12} {count:10}            inf"),
        };
    }
    let (mean, deviation) = (histogram.mean() / 1e6, histogram.stdev() / 1e6);
    let _ = writeln!(text, "#[Mean    = {mean:12.3}, StdDeviation   = {deviation:12.3}]");
    let _ = writeln!(
        text,
        "#[Max     = {:12.3}, Total count    = {:12}]",
        histogram.max() as f64 / 1e6,
        histogram.len()
    );
    let buckets = histogram.buckets();
    let _ = writeln!(
        text,
        "#[Buckets = {buckets:12}, SubBuckets     = {:12}]",
        histogram.distinct_values() / usize::from(buckets).max(1)
    );
    text
}

/// The log format of HdrHistogram's own tools: one interval for each phase, tagged.
fn interval_log(report: &Report, done: &RunResult) -> Result<Vec<u8>, String> {
    let (mut bytes, mut serializer) = (Vec::new(), V2Serializer::new());
    let mut log = IntervalLogWriterBuilder::new()
        .with_start_time(SystemTime::now())
        .with_max_value_divisor(1e6)
        .begin_log_with(&mut bytes, &mut serializer)
        .map_err(|fault| format!("cannot begin latency.hlog: {fault}"))?;
    let cold = Duration::from_secs_f64(report.cold.as_ref().map_or(0.0, |cold| cold.seconds));
    let warm = Duration::from_secs_f64(report.warm.seconds);
    let intervals = [
        ("cold", Duration::ZERO, cold, &done.cold.corrected),
        ("corrected", cold, warm, &done.warm.corrected),
        ("uncorrected", cold, warm, &done.warm.uncorrected),
    ];
    for (tag, start, length, histogram) in intervals.iter().filter(|interval| !interval.3.is_empty()) {
        log.write_histogram(histogram, *start, *length, Tag::new(tag))
            .map_err(|fault| format!("cannot write latency.hlog: {fault:?}"))?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_percentile_table_ends_with_the_maximum() {
        let mut histogram = Histogram::new_with_bounds(1, 1_000_000_000, 3).unwrap();
        (1..=1000u64).for_each(|n| histogram.record(n * 1_000_000).unwrap());
        let text = percentiles(&histogram);
        let last = text.lines().rfind(|line| !line.starts_with('#')).unwrap();
        assert!(last.ends_with("inf") && last.contains("1.000000000000") && last.contains("1000"), "{last}");
        assert!(text.contains("#[Max     =     1000"), "{text}");
    }
}
