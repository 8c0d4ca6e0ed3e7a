//! A histogram as both of its kinds are encoded, and the traces that its slow and quick observations belong to.

use prometheus_client::encoding::prometheus_protobuf::prometheus_data_model as model;
use std::time::SystemTime;

/// Eight buckets for each power of two: 9 % wide, as client_golang's factor of 1.1 gives.
const NATIVE_SCHEMA: i32 = 3;
const NATIVE_BUCKETS_PER_OCTAVE: f64 = 8.0;
/// 2⁻¹²⁸, as client_golang has it. Not 0: without observations only this says that the histogram is native.
const NATIVE_ZERO_THRESHOLD: f64 = 2.938_735_877_055_719e-39;

/// An observation whose trace was kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Exemplar {
    /// The trace, as `traceparent` has it.
    pub trace_id: u128,
    /// What was observed, in the unit of its histogram.
    pub value: f64,
    /// When.
    pub at: SystemTime,
}

/// A histogram as both of its kinds are encoded.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    sum: f64,
    count: u64,
    pub(crate) classic: Vec<(f64, u64)>,
    pub(crate) spans: Vec<(i32, u32)>,
    pub(crate) deltas: Vec<i64>,
    exemplars: Vec<Exemplar>,
}

impl Histogram {
    /// Counts `values` (each greater than 0, in rising order, with how often it came up) into the classic buckets
    /// with these upper bounds, which rise too, and into native ones.
    pub fn new(bounds: &[f64], sum: f64, values: impl IntoIterator<Item = (f64, u64)>) -> Self {
        let bounds = bounds.iter().copied().chain([f64::INFINITY]);
        let mut own = Self { sum, classic: bounds.map(|bound| (bound, 0)).collect(), ..Self::default() };
        let (mut place, mut native): (usize, Vec<(i32, i64)>) = (0, Vec::new());
        for (value, count) in values {
            own.count += count;
            while own.classic[place].0 < value {
                place += 1; // ends: the last bound is infinite
            }
            own.classic[place].1 += count;
            // Bucket n holds what is above 2^((n-1)/8) and at most 2^(n/8).
            let number = (value.log2() * NATIVE_BUCKETS_PER_OCTAVE).ceil() as i32;
            match native.last_mut() {
                Some((last, total)) if *last == number => *total += count as i64,
                _ => native.push((number, count as i64)),
            }
        }
        own.pack(&native);
        own
    }

    /// With these; of two in one classic bucket the later in the list is shown.
    #[must_use]
    pub fn with_exemplars(self, exemplars: Vec<Exemplar>) -> Self {
        Self { exemplars, ..self }
    }

    pub(crate) fn to_model(&self) -> model::Histogram {
        let mut lower = f64::NEG_INFINITY;
        let mut cumulative_count = 0;
        let bucket = self.classic.iter().map(|(upper_bound, count)| {
            cumulative_count += count;
            let inside = |exemplar: &&Exemplar| exemplar.value > lower && exemplar.value <= *upper_bound;
            let exemplar = self.exemplars.iter().rfind(inside).map(to_model);
            lower = *upper_bound;
            model::Bucket { cumulative_count, upper_bound: *upper_bound, exemplar, ..Default::default() }
        });
        let bucket = bucket.collect();
        let spans = self.spans.iter();
        model::Histogram {
            sample_count: self.count,
            sample_sum: self.sum,
            bucket,
            schema: NATIVE_SCHEMA,
            zero_threshold: NATIVE_ZERO_THRESHOLD,
            positive_span: spans
                .map(|(offset, length)| model::BucketSpan { offset: *offset, length: *length })
                .collect(),
            positive_delta: self.deltas.clone(),
            ..Default::default()
        }
    }

    /// Runs of buckets, each as the gap before it and its length; counts as differences from the one before.
    fn pack(&mut self, buckets: &[(i32, i64)]) {
        let (mut next, mut before) = (0, 0);
        for (number, count) in buckets {
            match self.spans.last_mut() {
                Some((_, length)) if next == *number => *length += 1,
                _ => self.spans.push((number - next, 1)),
            }
            self.deltas.push(count - before);
            (next, before) = (number + 1, *count);
        }
    }
}

/// `trace_id` is the name that Grafana and the specification of OpenMetrics know.
fn to_model(exemplar: &Exemplar) -> model::Exemplar {
    let label =
        model::LabelPair { name: "trace_id".to_owned(), value: format!("{:032x}", exemplar.trace_id) };
    model::Exemplar { label: vec![label], value: exemplar.value, timestamp: Some(exemplar.at.into()) }
}
