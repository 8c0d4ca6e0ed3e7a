//! The pictures of docs/observability.md: panels of the dashboards, drawn from what a real Prometheus recorded while control
//! hung for a while.

use super::fleet::{Fleet, under_load, watched};
use crate::support::{beside_others, skip, workspace};
use dashboards::{DASHBOARDS, Pace, Panel};
use plotters::prelude::*;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// So long is everything well, then control hangs, and then it is well again.
const PHASES: [Duration; 3] = [Duration::from_secs(30), Duration::from_secs(20), Duration::from_secs(40)];
/// Of each dashboard: titles of panels.
const SHOWN: [(&str, &[&str]); 3] = [
    ("linkr-overview", &["Requests", "Promises that were not kept"]),
    ("linkr-edges", &["Tiers", "Staleness", "Duration of answers, 99 of 100", "Pending"]),
    ("linkr-control", &["Calls", "Clicks written"]),
];
const PANEL: (u32, u32) = (450, 240);

/// A line: what the legend says, and seconds with values.
type Line = (String, Vec<(f64, f64)>);

fn seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

#[test]
#[ignore = "draws docs/plots/seen-*.svg, with LINKR_WRITE_PICTURES=1"]
fn pictures() {
    if std::env::var_os("LINKR_WRITE_PICTURES").is_none() {
        return skip("pictures", "LINKR_WRITE_PICTURES is not set");
    }
    let _turn = beside_others();
    let Some(fleet) = Fleet::start() else { return };
    let Some(watch) = watched(&fleet, Pace::times(super::PACE)) else { return };
    let mut began = 0.0;
    under_load(&fleet, || {
        std::thread::sleep(super::CALM);
        began = seconds();
        std::thread::sleep(PHASES[0]);
        fleet.control.signal("STOP");
        std::thread::sleep(PHASES[1]);
        fleet.control.signal("CONT");
        std::thread::sleep(PHASES[2]);
    });
    let servers = [&fleet.control, &fleet.edges[0], &fleet.edges[1]].map(|server| server.admin().to_string());
    let names: Vec<_> = servers.into_iter().zip(["control", "roomy edge", "small edge"]).collect();
    let lines = |expr: &str, legend: &str| -> Vec<Line> {
        let (from, to) = (began.to_string(), seconds().to_string());
        let words = [("query", expr), ("start", &*from), ("end", &*to), ("step", "500ms")];
        let answer = watch.prometheus.ask("query_range", &words);
        let series = answer["result"].as_array().cloned().unwrap_or_default();
        let line = |one: &serde_json::Value| {
            let points = one["values"].as_array().unwrap().iter().filter_map(|point| {
                let value: f64 = point[1].as_str()?.parse().ok()?;
                value.is_finite().then_some((point[0].as_f64()? - began, value))
            });
            (filled(legend, &one["metric"], &names), points.collect())
        };
        series.iter().map(line).collect()
    };
    for (uid, titles) in SHOWN {
        let dashboard = DASHBOARDS.iter().find(|dashboard| dashboard.uid == uid).unwrap();
        let panels = dashboard.rows.iter().flat_map(|row| row.panels);
        let panels: Vec<_> = panels.filter(|panel| titles.contains(&panel.title)).collect();
        assert_eq!(panels.len(), titles.len(), "{uid}");
        let drawn = panels.iter().map(|panel| {
            let queries = panel.queries.iter();
            (
                *panel,
                queries
                    .flat_map(|query| lines(&query.expr.replace("$__rate_interval", "5s"), query.legend))
                    .collect(),
            )
        });
        let svg = draw(&drawn.collect::<Vec<_>>()).unwrap();
        std::fs::write(workspace().join(format!("docs/plots/seen-{uid}.svg")), svg).unwrap();
    }
}

/// A legend with its labels. Ports say nothing to anybody: instances are named by what they are.
fn filled(legend: &str, labels: &serde_json::Value, names: &[(String, &str)]) -> String {
    let mut text = legend.to_owned();
    for (label, value) in labels.as_object().unwrap() {
        let value = value.as_str().unwrap_or_default();
        let name = names.iter().find(|(address, _)| address == value).map_or(value, |(_, name)| name);
        text = text.replace(&format!("{{{{{label}}}}}"), name);
    }
    text
}

/// Panels, two in a row; the time in which control hung is shaded.
fn draw(panels: &[(&Panel, Vec<Line>)]) -> Result<String, Box<dyn std::error::Error>> {
    let rows = panels.len().div_ceil(2);
    let mut svg = String::new();
    {
        let root =
            SVGBackend::with_string(&mut svg, (2 * PANEL.0, rows as u32 * PANEL.1)).into_drawing_area();
        root.fill(&WHITE)?;
        for (area, (panel, lines)) in root.split_evenly((rows, 2)).iter().zip(panels) {
            let points = || lines.iter().flat_map(|(_, points)| points);
            let right = points().map(|point| point.0).fold(1.0, f64::max);
            let top = points().map(|point| point.1).fold(1e-6, f64::max) * 1.15;
            let mut chart = ChartBuilder::on(area)
                .margin(8)
                .caption(panel.title, ("sans-serif", 15))
                .x_label_area_size(28)
                .y_label_area_size(60)
                .build_cartesian_2d(0.0..right, 0.0..top)?;
            chart.configure_mesh().max_light_lines(1).x_labels(8).y_labels(6).x_desc("s").draw()?;
            let away = [(PHASES[0].as_secs_f64(), 0.0), ((PHASES[0] + PHASES[1]).as_secs_f64(), top)];
            chart.draw_series([Rectangle::new(away, RED.mix(0.08).filled())])?;
            for (at, (name, points)) in lines.iter().enumerate() {
                let color = Palette99::pick(at).to_rgba();
                chart
                    .draw_series(LineSeries::new(points.iter().copied(), color.stroke_width(2)))?
                    .label(name)
                    .legend(move |(x, y)| PathElement::new([(x, y), (x + 14, y)], color.stroke_width(2)));
            }
            chart
                .configure_series_labels()
                .border_style(BLACK.mix(0.3))
                .background_style(WHITE.mix(0.8))
                .draw()?;
        }
        root.present()?;
    }
    Ok(svg)
}
