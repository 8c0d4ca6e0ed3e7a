//! The nouns of the list: objectives, alerts, panels.

/// Who is told of an alert, and how soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Somebody is woken: visitors are hurt, or soon will be, or data is lost.
    Critical,
    /// Somebody looks at it on the same day.
    Warning,
}

impl Severity {
    /// The value of the label `severity`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Warning => "warning",
        }
    }
}

/// A series of a unit test: its name with labels, and its values, one a minute, as promtool writes them.
pub type Series = (&'static str, &'static str);

/// A rule that tells of a fault, and what to do then.
#[derive(Clone, Copy, Debug)]
pub struct Alert {
    /// Its name, and the anchor of its part of the runbook.
    pub name: &'static str,
    /// PromQL: gives a series for each thing that is wrong.
    pub expr: &'static str,
    /// For how long it has to hold, as Prometheus writes a duration.
    pub lasts: &'static str,
    pub severity: Severity,
    /// One line; templates of Prometheus are filled in.
    pub summary: &'static str,
    /// What it means for visitors, callers or counts.
    pub means: &'static str,
    /// What to do, in this order.
    pub steps: &'static [&'static str],
    /// Series with which it fires within [`UNIT_TEST_MINUTES`].
    pub bad: &'static [Series],
    /// Series with which it does not.
    pub good: &'static [Series],
}

/// How long a unit test of an alert runs.
pub const UNIT_TEST_MINUTES: u32 = 30;

/// A part of the alerts: a group of rules, and a heading of the runbook.
#[derive(Clone, Copy, Debug)]
pub struct AlertGroup {
    pub name: &'static str,
    /// What is said of it in the runbook.
    pub about: &'static str,
    pub alerts: &'static [Alert],
}

/// What visitors are promised, as a share of answers. Two alerts follow from each.
#[derive(Clone, Copy, Debug)]
pub struct Objective {
    /// Begins the names of its alerts.
    pub name: &'static str,
    /// The middle of the names of its recorded series: `linkr:NAME:ratio_rate5m`.
    pub recorded: &'static str,
    /// A counter of the answers that miss it.
    pub bad: &'static str,
    /// A counter of all answers that it is about.
    pub all: &'static str,
    /// The share of bad answers that may be.
    pub budget: f64,
    /// What a bad answer is.
    pub means: &'static str,
    /// What to do when too many are bad.
    pub steps: &'static [&'static str],
}

/// How a value of a panel is shown, by Grafana's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A number.
    Short,
    PerSecond,
    Seconds,
    Bytes,
    /// From 0 to 1.
    Share,
    /// Seconds of the Unix epoch.
    Time,
}

impl Unit {
    /// What Grafana calls it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Short => "short",
            Self::PerSecond => "ops",
            Self::Seconds => "s",
            Self::Bytes => "bytes",
            Self::Share => "percentunit",
            Self::Time => "dateTimeAsIso",
        }
    }
}

/// A line of a panel.
#[derive(Clone, Copy, Debug)]
pub struct Query {
    /// PromQL without the choice of instances, which is added.
    pub expr: &'static str,
    /// What the legend says; `{{label}}` is filled in.
    pub legend: &'static str,
}

/// A graph, or one number.
#[derive(Clone, Copy, Debug)]
pub struct Panel {
    pub title: &'static str,
    /// What is to be seen in it.
    pub about: &'static str,
    pub unit: Unit,
    pub queries: &'static [Query],
    /// Show the exemplars of the histogram behind it.
    pub exemplars: bool,
}

/// A row of panels.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub title: &'static str,
    pub panels: &'static [Panel],
}

/// A page of panels.
#[derive(Clone, Copy, Debug)]
pub struct Dashboard {
    /// The name of its file, and of itself in Grafana.
    pub uid: &'static str,
    pub title: &'static str,
    pub rows: &'static [Row],
}
