//! What is counted, described by the names that Prometheus shows, and kept in the model of its protobuf format: the three
//! formats are written from that.

use crate::histogram::Histogram;
use prometheus_client::encoding::prometheus_protobuf::prometheus_data_model as model;
use std::fmt;
use std::sync::Arc;

/// Something that counts, and describes what it counted whenever it is asked.
pub trait Collector: fmt::Debug + Send + Sync + 'static {
    /// Describes all of it, with [`Families`].
    ///
    /// # Errors
    /// It cannot be described: ours always can.
    fn encode(&self, encoder: Encoder<'_>) -> fmt::Result;
}

impl<T: Collector + ?Sized> Collector for Arc<T> {
    fn encode(&self, encoder: Encoder<'_>) -> fmt::Result {
        self.as_ref().encode(encoder)
    }
}

/// Everything that a process counts.
#[derive(Debug, Default)]
pub struct Registry(Vec<Box<dyn Collector>>);

impl Registry {
    /// Behind those that are there.
    pub fn register_collector(&mut self, collector: Box<dyn Collector>) {
        self.0.push(collector);
    }

    /// What all of them counted.
    pub(crate) fn families(&self) -> Result<Vec<Family>, fmt::Error> {
        let mut all = Vec::new();
        self.0.iter().try_for_each(|collector| collector.encode(Encoder(&mut all)))?;
        Ok(all)
    }
}

/// A family of series.
#[derive(Debug)]
pub(crate) struct Family {
    /// By the name and the kind that the classic text gives it.
    pub model: model::MetricFamily,
    /// A gauge that is always 1: only OpenMetrics has a kind for it.
    pub is_info: bool,
}

/// Where a [`Collector`] puts its families.
#[derive(Debug)]
pub struct Encoder<'a>(&'a mut Vec<Family>);

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
    /// None.
    pub fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.counters(name, help, |series| series(&[], value))
    }

    /// A counter of something that can be divided, such as seconds.
    ///
    /// # Errors
    /// None.
    pub fn counter_of(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        self.begin(name, help, model::MetricType::Counter).metric.push(counter(&[], value));
        Ok(())
    }

    /// A counter with labels: `each` is given what takes a series.
    ///
    /// # Errors
    /// Those of `each`.
    pub fn counters(
        &mut self,
        name: &str,
        help: &str,
        each: impl FnOnce(&mut dyn FnMut(Labels<'_>, u64) -> fmt::Result) -> fmt::Result,
    ) -> fmt::Result {
        let family = self.begin(name, help, model::MetricType::Counter);
        each(&mut |labels, value| {
            family.metric.push(counter(labels, value as f64));
            Ok(())
        })
    }

    /// A gauge.
    ///
    /// # Errors
    /// None.
    pub fn gauge(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        self.gauges(name, help, |series| series(&[], value))
    }

    /// A gauge with labels: `each` is given what takes a series.
    ///
    /// # Errors
    /// Those of `each`.
    pub fn gauges(
        &mut self,
        name: &str,
        help: &str,
        each: impl FnOnce(&mut dyn FnMut(Labels<'_>, f64) -> fmt::Result) -> fmt::Result,
    ) -> fmt::Result {
        let family = self.begin(name, help, model::MetricType::Gauge);
        each(&mut |labels, value| {
            family.metric.push(gauge(labels, value));
            Ok(())
        })
    }

    /// Facts as labels; its name ends in `_info`.
    ///
    /// # Errors
    /// None.
    pub fn info(&mut self, name: &str, help: &str, facts: Labels<'_>) -> fmt::Result {
        self.begin(name, help, model::MetricType::Gauge).metric.push(gauge(facts, 1.0));
        if let Some(family) = self.0.0.last_mut() {
            family.is_info = true;
        }
        Ok(())
    }

    /// A histogram, classic and native.
    ///
    /// # Errors
    /// None.
    pub fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) -> fmt::Result {
        self.histograms(name, help, |series| series(&[], histogram))
    }

    /// A histogram with labels: `each` is given what takes a series.
    ///
    /// # Errors
    /// Those of `each`.
    pub fn histograms(
        &mut self,
        name: &str,
        help: &str,
        each: impl FnOnce(&mut dyn FnMut(Labels<'_>, &Histogram) -> fmt::Result) -> fmt::Result,
    ) -> fmt::Result {
        let family = self.begin(name, help, model::MetricType::Histogram);
        each(&mut |labels, histogram| {
            let histogram = Some(histogram.to_model());
            family.metric.push(model::Metric { histogram, ..series(labels) });
            Ok(())
        })
    }

    fn begin(&mut self, name: &str, help: &str, kind: model::MetricType) -> &mut model::MetricFamily {
        let (name, help) = (name.to_owned(), help.to_owned());
        let model = model::MetricFamily { name, help, r#type: kind.into(), ..Default::default() };
        self.0.0.push(Family { model, is_info: false });
        &mut self.0.0.last_mut().expect("it was pushed just now").model
    }
}

fn series(labels: Labels<'_>) -> model::Metric {
    let pair = |(name, value): &(&str, &str)| model::LabelPair {
        name: (*name).to_owned(),
        value: (*value).to_owned(),
    };
    model::Metric { label: labels.iter().map(pair).collect(), ..Default::default() }
}

fn counter(labels: Labels<'_>, value: f64) -> model::Metric {
    let counter = model::Counter { value, ..Default::default() };
    model::Metric { counter: Some(counter), ..series(labels) }
}

fn gauge(labels: Labels<'_>, value: f64) -> model::Metric {
    model::Metric { gauge: Some(model::Gauge { value }), ..series(labels) }
}
