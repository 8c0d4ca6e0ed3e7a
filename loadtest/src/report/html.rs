//! One page with everything in it: opens in a browser from a file, loads nothing.

use super::{Latency, Phase, Report, print};
use plotters::coord::ranged1d::Ranged;
use plotters::prelude::*;
use std::collections::BTreeSet;
use std::fmt::Write;

type Point = (f64, f64);
type PlotLine<'a> = (&'a str, RGBColor, Vec<Point>);

const BLUE_LINE: RGBColor = RGBColor(31, 92, 190);
const ORANGE_LINE: RGBColor = RGBColor(214, 106, 18);
const GREY_LINE: RGBColor = RGBColor(120, 120, 120);
const GREEN_LINE: RGBColor = RGBColor(34, 139, 82);

/// The page.
///
/// # Errors
/// When a plot cannot be drawn.
pub fn page(report: &Report) -> Result<String, String> {
    let mut html = String::from(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>linkr-loadtest</title><style>\
         body{font:15px/1.5 system-ui,sans-serif;max-width:960px;margin:2em auto;padding:0 1em;color:#222}\
         pre{background:#f5f5f5;padding:1em;overflow-x:auto}svg{width:100%;height:auto}h2{margin-top:2em}\
         .void{background:#fff0e0;border-left:4px solid #d66a12;padding:.6em 1em}</style></head><body>",
    );
    let _ = write!(html, "<h1>{}</h1>", escape(&report.target));
    if let Some(void) = &report.void {
        let _ = write!(html, "<p class=\"void\"><b>Void.</b> {}</p>", escape(void));
    }
    let _ = write!(html, "<pre>{}</pre>", escape(&print(report)));
    for (id, title, svg) in plots(report).map_err(|fault| format!("cannot draw: {fault}"))? {
        let _ = write!(html, "<h2>{title}</h2><figure id=\"{id}\">{svg}</figure>");
    }
    html.push_str("</body></html>\n");
    Ok(html)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

type Plots = Vec<(&'static str, &'static str, String)>;

fn plots(report: &Report) -> Result<Plots, Box<dyn std::error::Error>> {
    let warm = &report.warm;
    // The usual axis of latency plots: 1 ÷ (1 − quantile), so that each nine takes the same room.
    let curve = |curve: &[Point]| curve.iter().map(|&(q, us)| (1.0 / (1.0 - q), us.max(1.0))).collect();
    let mut plots = vec![(
        "percentiles",
        "Latency by percentile",
        percentile_plot(&[
            ("corrected", BLUE_LINE, curve(&warm.corrected.curve)),
            ("uncorrected", ORANGE_LINE, curve(&warm.uncorrected.curve)),
            ("own lateness", GREY_LINE, curve(&warm.lateness.curve)),
        ])?,
    )];
    // Level over each second. What came behind the end has no second of its own, and the last one may be a short one.
    let seconds = |of: fn(&(u64, u64, f64), f64) -> f64| {
        let all = warm.each_second.iter().enumerate().map(|(at, second)| (at as f64, second));
        let levels = all.filter(|(from, _)| *from < warm.seconds).flat_map(|(from, second)| {
            let until = warm.seconds.min(from + 1.0);
            let level = of(second, until - from);
            [(from, level), (until, level)]
        });
        levels.collect::<Vec<Point>>()
    };
    let rates = [
        ("right answers a second", GREEN_LINE, seconds(|second, length| second.0 as f64 / length)),
        ("others a second", ORANGE_LINE, seconds(|second, length| second.1 as f64 / length)),
    ];
    plots.push(("timeline", "Answers over time", time_plot(&rates, "requests a second")?));
    let longest = [("longest latency, µs", BLUE_LINE, seconds(|second, _| second.2))];
    plots.push(("longest", "Longest latency of each second", time_plot(&longest, "µs")?));
    if warm.hit_rate().is_some() {
        plots.push(("hit-rate", "Answers by tier", tier_plot(report)?));
        plots.push(("hit-rate-over-time", "Answers by tier over time", tiers_over_time(report)?));
    }
    Ok(plots)
}

fn percentile_plot(lines: &[PlotLine<'_>]) -> Result<String, Box<dyn std::error::Error>> {
    let points = || lines.iter().flat_map(|(_, _, points)| points);
    let right = points().map(|p| p.0).fold(10.0, f64::max);
    let top = points().map(|p| p.1).fold(10.0, f64::max) * 1.2;
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (900, 380)).into_drawing_area();
        let mut chart = ChartBuilder::on(&root)
            .margin(12)
            .x_label_area_size(40)
            .y_label_area_size(80)
            .build_cartesian_2d((1.0..right).log_scale(), (1.0..top).log_scale())?;
        let percent = |x: &f64| format!("{}%", ((1.0 - 1.0 / x) * 1e6).round() / 1e4);
        chart.configure_mesh().x_label_formatter(&percent).y_desc("µs").x_desc("percentile").draw()?;
        draw_lines(&mut chart, lines, SeriesLabelPosition::UpperLeft)?;
        root.present()?;
    }
    Ok(svg)
}

fn time_plot(lines: &[PlotLine<'_>], unit: &str) -> Result<String, Box<dyn std::error::Error>> {
    let points = || lines.iter().flat_map(|(_, _, points)| points);
    let right = points().map(|p| p.0).fold(1.0, f64::max);
    let top = points().map(|p| p.1).fold(1.0, f64::max) * 1.1;
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (900, 300)).into_drawing_area();
        let mut chart = ChartBuilder::on(&root)
            .margin(12)
            .x_label_area_size(40)
            .y_label_area_size(80)
            .build_cartesian_2d(0.0..right, 0.0..top)?;
        chart.configure_mesh().max_light_lines(2).x_desc("seconds").y_desc(unit).draw()?;
        draw_lines(&mut chart, lines, SeriesLabelPosition::LowerLeft)?;
        root.present()?;
    }
    Ok(svg)
}

/// Latency from the intended send by what was answered each second, of a sweep.
///
/// # Errors
/// When it cannot be drawn.
pub fn sweep_plot(steps: &[&Report]) -> Result<String, String> {
    let line = |of: fn(&Latency) -> f64| {
        steps.iter().map(|step| (step.warm.rate, of(&step.warm.corrected).max(1.0))).collect()
    };
    let lines = [
        ("p50", GREEN_LINE, line(|latency| latency.p50)),
        ("p99", BLUE_LINE, line(|latency| latency.p99)),
        ("p99.9", ORANGE_LINE, line(|latency| latency.p999)),
    ];
    rate_plot(&lines).map_err(|fault| format!("cannot draw: {fault}"))
}

fn rate_plot(lines: &[PlotLine<'_>]) -> Result<String, Box<dyn std::error::Error>> {
    let points = || lines.iter().flat_map(|(_, _, points)| points);
    let right = points().map(|p| p.0).fold(1.0, f64::max) * 1.05;
    let top = points().map(|p| p.1).fold(10.0, f64::max) * 1.5;
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (900, 380)).into_drawing_area();
        root.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&root)
            .margin(12)
            .x_label_area_size(40)
            .y_label_area_size(80)
            .build_cartesian_2d(0.0..right, (10.0..top).log_scale())?;
        chart.configure_mesh().max_light_lines(2).x_desc("right answers a second").y_desc("µs").draw()?;
        draw_lines(&mut chart, lines, SeriesLabelPosition::UpperLeft)?;
        root.present()?;
    }
    Ok(svg)
}

/// The lines of a plot, and the names that belong to them.
fn draw_lines<'a, X, Y>(
    chart: &mut ChartContext<'a, SVGBackend<'a>, Cartesian2d<X, Y>>,
    lines: &[PlotLine<'_>],
    labels: SeriesLabelPosition,
) -> Result<(), Box<dyn std::error::Error>>
where
    X: Ranged<ValueType = f64>,
    Y: Ranged<ValueType = f64>,
{
    for (name, color, points) in lines {
        let color = *color;
        chart
            .draw_series(LineSeries::new(points.iter().copied(), color.stroke_width(2)))?
            .label(*name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2)));
    }
    chart.configure_series_labels().position(labels).border_style(BLACK).draw()?;
    Ok(())
}

/// One bar for each phase, cut into tiers.
fn tier_plot(report: &Report) -> Result<String, Box<dyn std::error::Error>> {
    let phases: Vec<_> =
        report.cold.iter().map(|p| ("warm-up", p)).chain([("measured", &report.warm)]).collect();
    let mut svg = String::new();
    {
        let height = 90 + 60 * phases.len() as u32;
        let root = SVGBackend::with_string(&mut svg, (900, height)).into_drawing_area();
        let mut chart = ChartBuilder::on(&root)
            .margin(12)
            .x_label_area_size(40)
            .y_label_area_size(80)
            .build_cartesian_2d(0.0..100.0, 0.0..phases.len() as f64)?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .max_light_lines(2)
            .y_labels(0)
            .x_desc("% of the answers about links")
            .draw()?;
        for (at, (name, phase)) in phases.iter().enumerate() {
            let all = phase.tiers.values().sum::<u64>().max(1) as f64;
            let (mut from, bottom) = (0.0, at as f64);
            for (tier, count) in &phase.tiers {
                let color = color_of_tier(tier);
                let to = from + *count as f64 / all * 100.0;
                chart.draw_series([Rectangle::new(
                    [(from, bottom + 0.2), (to, bottom + 0.8)],
                    color.filled(),
                )])?;
                let label = format!("{name}: {tier} {:.2}%", to - from);
                let style = ("sans-serif", 14).into_font().color(&BLACK);
                chart.draw_series([Text::new(label, (from + 1.0, bottom + 0.98), style)])?;
                from = to;
            }
        }
        root.present()?;
    }
    Ok(svg)
}

fn color_of_tier(tier: &str) -> RGBColor {
    match tier {
        "hot" => GREEN_LINE,
        "redis" => BLUE_LINE,
        "origin" => ORANGE_LINE,
        _ => GREY_LINE,
    }
}

/// Each tier's part of the answers of each interval, the warm-up shaded and apart from the rest.
fn tiers_over_time(report: &Report) -> Result<String, Box<dyn std::error::Error>> {
    let cold_seconds = report.cold.as_ref().map_or(0.0, |cold| cold.seconds);
    let phases: Vec<(f64, &Phase)> =
        report.cold.iter().map(|cold| (0.0, cold)).chain([(cold_seconds, &report.warm)]).collect();
    let end = |phase: &Phase| phase.tiers_over_time.last().map_or(0.0, |(until, _)| *until);
    let right = phases.iter().map(|(start, phase)| start + end(phase)).fold(0.1, f64::max);
    let tiers: BTreeSet<&String> = phases.iter().flat_map(|(_, phase)| phase.tiers.keys()).collect();
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (900, 300)).into_drawing_area();
        let mut chart = ChartBuilder::on(&root)
            .margin(12)
            .x_label_area_size(40)
            .y_label_area_size(80)
            .build_cartesian_2d(0.0..right, 0.0..105.0)?;
        let shade = Rectangle::new([(0.0, 0.0), (cold_seconds, 105.0)], GREY_LINE.mix(0.15).filled());
        chart.draw_series([shade])?;
        let mut mesh = chart.configure_mesh();
        mesh.max_light_lines(2).x_desc("seconds, the warm-up shaded").y_desc("% of the answers").draw()?;
        for tier in tiers {
            let color = color_of_tier(tier);
            for (at, (start, phase)) in phases.iter().enumerate() {
                let line = LineSeries::new(steps(*start, phase, tier), color.stroke_width(2));
                let drawn = chart.draw_series(line)?;
                if at == 0 {
                    drawn
                        .label(tier)
                        .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2)));
                }
            }
        }
        let mut labels = chart.configure_series_labels();
        labels.position(SeriesLabelPosition::MiddleRight).background_style(WHITE.mix(0.8));
        labels.border_style(BLACK).draw()?;
        root.present()?;
    }
    Ok(svg)
}

/// A tier's part of each interval, in percent, level over the interval. Intervals without an answer have no part.
fn steps(start: f64, phase: &Phase, tier: &str) -> Vec<Point> {
    let (mut from, mut points) = (start, Vec::new());
    for (until, counts) in &phase.tiers_over_time {
        let all: u64 = counts.values().sum();
        let part = counts.get(tier).copied().unwrap_or(0) as f64 / all as f64 * 100.0;
        if all > 0 {
            points.extend([(from, part), (start + until, part)]);
        }
        from = start + until;
    }
    points
}
