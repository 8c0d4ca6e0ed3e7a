//! Every panel, on three dashboards: whether promises are kept, the edges, control.

mod controls;
mod edges;
mod overview;

use crate::model::{Dashboard, Panel, Query, Unit};

/// All of them.
pub const DASHBOARDS: [Dashboard; 3] = [overview::DASHBOARD, edges::DASHBOARD, controls::DASHBOARD];

/// One without exemplars.
const fn panel(title: &'static str, unit: Unit, about: &'static str, queries: &'static [Query]) -> Panel {
    Panel { title, about, unit, queries, exemplars: false }
}

/// One of durations, whose exemplars lead to traces.
const fn durations(title: &'static str, about: &'static str, queries: &'static [Query]) -> Panel {
    Panel { title, about, unit: Unit::Seconds, queries, exemplars: true }
}

const fn line(legend: &'static str, expr: &'static str) -> Query {
    Query { expr, legend }
}
