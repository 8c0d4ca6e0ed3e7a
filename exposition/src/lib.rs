//! What both halves say of themselves: the formats of `/metrics`, the admin listener that serves them, the places that
//! connections of a listener take, and how a listener ends. Nothing is counted here.
//!
//! Both halves describe their numbers as a [`Collector`]; `prometheus-client` writes OpenMetrics and protobuf. The
//! classic text is written here, from the protobuf model: it is what every tool reads, and the crate has none.

mod accept;
mod admin;
pub mod certificates;
mod classic;
pub mod clock;
mod escapes;
mod files;
mod handshakes;
mod host;
mod listen;
mod networks;
mod places;
mod start_fault;

use prometheus_client::encoding::prometheus_protobuf as protobuf;
use prometheus_client::encoding::{MetricEncoder, NativeHistogram, NativeHistogramBuckets, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use std::fmt;

pub use admin::{Admin, Health, HealthFuture, PLACES as ADMIN_PLACES};
pub use escapes::{escaped, in_utf8, unescaped};
pub use files::file_limit;
pub use handshakes::begin_no_handshake;
pub use host::{is_local, one_host};
pub use listen::cannot_listen;
pub use networks::Network;
pub use places::{Place, Places, network};
pub use prometheus_client::collector::Collector;
pub use prometheus_client::encoding::DescriptorEncoder as Encoder;
pub use prometheus_client::registry::Registry;
pub use start_fault::StartFault;

/// A representation of `/metrics`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text 0.0.4.
    Classic,
    /// OpenMetrics 1.0 text.
    OpenMetrics,
    /// Delimited `io.prometheus.client.MetricFamily` messages: the only one with native histograms.
    Protobuf,
}

impl Format {
    /// The format for these values of `Accept` (RFC 9110, section 12.5.1): the one with the highest quality, of several
    /// the first. Classic when nothing is asked for or nothing asked for is known, as all exporters do.
    pub fn accepted<'a>(fields: impl IntoIterator<Item = &'a str>) -> Self {
        accept::best(fields).unwrap_or(Self::Classic)
    }

    /// The value of `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Classic => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
        }
    }

    /// Everything that is registered, in this format. Takes some hundred microseconds: not for a thread that others
    /// wait for.
    ///
    /// # Errors
    /// A collector failed: ours do not.
    pub fn encode(self, registry: &Registry) -> Result<Vec<u8>, fmt::Error> {
        match self {
            Self::Classic => Ok(classic::write(&protobuf::encode(registry)?).into_bytes()),
            Self::OpenMetrics => {
                let mut out = String::with_capacity(16 * 1024);
                text::encode(&mut out, registry)?;
                // The crate writes "inf", which Go reads; the specification wants "+Inf".
                Ok(out.replace(" inf\n", " +Inf\n").into_bytes())
            }
            Self::Protobuf => protobuf::encode_to_vec(registry).map_err(|_| fmt::Error),
        }
    }
}

/// The labels of one series. Values come from the program, never from a user.
pub type Labels<'a> = &'a [(&'static str, &'a str)];

/// Describes families to an [`Encoder`], by the names that Prometheus shows.
#[derive(Debug)]
pub struct Families<'a>(Encoder<'a>);

impl<'a> Families<'a> {
    /// Writes to what a [`Collector`] is given.
    pub fn new(encoder: Encoder<'a>) -> Self {
        Self(encoder)
    }

    /// A counter; its name ends in `_total`.
    ///
    /// # Errors
    /// The encoder failed.
    pub fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.counters(name, help, |series| series(&[], value))
    }

    /// A counter of something that can be divided, such as seconds.
    ///
    /// # Errors
    /// The encoder failed.
    pub fn counter_of(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        let name = name.strip_suffix("_total").unwrap_or(name);
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        family.encode_counter::<NoLabelSet, _, f64>(&value, None)
    }

    /// A counter with labels: `each` is given what takes a series.
    ///
    /// # Errors
    /// The encoder failed.
    pub fn counters(
        &mut self,
        name: &str,
        help: &str,
        each: impl FnOnce(&mut dyn FnMut(Labels<'_>, u64) -> fmt::Result) -> fmt::Result,
    ) -> fmt::Result {
        let name = name.strip_suffix("_total").unwrap_or(name); // the encoders put it back
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        each(&mut |labels, value| {
            with(&mut family, labels, |one| one.encode_counter::<NoLabelSet, _, f64>(&value, None))
        })
    }

    /// A gauge.
    ///
    /// # Errors
    /// The encoder failed.
    pub fn gauge(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        self.gauges(name, help, |series| series(&[], value))
    }

    /// A gauge with labels: `each` is given what takes a series.
    ///
    /// # Errors
    /// The encoder failed.
    pub fn gauges(
        &mut self,
        name: &str,
        help: &str,
        each: impl FnOnce(&mut dyn FnMut(Labels<'_>, f64) -> fmt::Result) -> fmt::Result,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        each(&mut |labels, value| with(&mut family, labels, |one| one.encode_gauge(&value)))
    }

    /// Facts as labels; its name ends in `_info`.
    ///
    /// # Errors
    /// The encoder failed.
    pub fn info(&mut self, name: &str, help: &str, facts: Labels<'_>) -> fmt::Result {
        let name = name.strip_suffix("_info").unwrap_or(name); // the encoders put it back
        self.0.encode_descriptor(name, help, None, MetricType::Info)?.encode_info(&facts)
    }

    /// A histogram, classic and native.
    ///
    /// # Errors
    /// The encoder failed.
    pub fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) -> fmt::Result {
        self.histograms(name, help, |series| series(&[], histogram))
    }

    /// A histogram with labels: `each` is given what takes a series.
    ///
    /// # Errors
    /// The encoder failed.
    pub fn histograms(
        &mut self,
        name: &str,
        help: &str,
        each: impl FnOnce(&mut dyn FnMut(Labels<'_>, &Histogram) -> fmt::Result) -> fmt::Result,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Histogram)?;
        each(&mut |labels, histogram| with(&mut family, labels, |one| histogram.encode(one)))
    }
}

/// One series of a family.
fn with(
    family: &mut MetricEncoder<'_>,
    labels: Labels<'_>,
    encode: impl FnOnce(&mut MetricEncoder<'_>) -> fmt::Result,
) -> fmt::Result {
    match labels {
        [] => encode(family), // an empty set would be written as {}
        labels => encode(&mut family.encode_family(&labels)?),
    }
}

/// Eight buckets for each power of two: 9 % wide, as client_golang's factor of 1.1 gives.
const NATIVE_SCHEMA: i32 = 3;
const NATIVE_BUCKETS_PER_OCTAVE: f64 = 8.0;
/// 2⁻¹²⁸, as client_golang has it. Not 0: without observations only this says that the histogram is native.
const NATIVE_ZERO_THRESHOLD: f64 = 2.938_735_877_055_719e-39;

/// A histogram as both of its kinds are encoded.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    sum: f64,
    count: u64,
    classic: Vec<(f64, u64)>,
    spans: Vec<(i32, u32)>,
    deltas: Vec<i64>,
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

    fn encode(&self, one: &mut MetricEncoder<'_>) -> fmt::Result {
        let none = NativeHistogramBuckets { spans: &[], deltas: &[] };
        let native = NativeHistogram {
            schema: NATIVE_SCHEMA,
            zero_threshold: NATIVE_ZERO_THRESHOLD,
            zero_count: 0,
            negative: none,
            positive: NativeHistogramBuckets { spans: &self.spans, deltas: &self.deltas },
            created: None,
        };
        one.encode_histogram_with_native::<NoLabelSet>(self.sum, self.count, &self.classic, None, native)
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

/// `linkr_build_info`, once for each process.
#[derive(Debug)]
pub struct Build {
    /// The version of the program.
    pub version: &'static str,
    /// The commit that it was built from.
    pub commit: &'static str,
}

impl Collector for Build {
    fn encode(&self, encoder: Encoder<'_>) -> fmt::Result {
        Families::new(encoder).info(
            "linkr_build_info",
            "The version of this program, and the commit that it was built from.",
            &[("version", self.version), ("commit", self.commit)],
        )
    }
}

#[cfg(test)]
mod tests;
