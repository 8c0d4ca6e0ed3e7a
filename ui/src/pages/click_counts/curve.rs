//! Clicks over time as a picture (SVG) and as the table beside it. Which clicks they are is not known here.

use super::period::{Period, Step};
use crate::show::{self, list};
use maud::{Markup, html};
use serde_json::Value;
use std::fmt::Write as _;

/// The picture's own measures; the style sheet stretches it.
const WIDTH: f64 = 1_000.0;
const HEIGHT: f64 = 200.0;
/// Bars up to this number have a gap between them.
const GAPS: usize = 120;
/// Rows of a table that stands open.
const OPEN: usize = 14;

/// One span of time.
#[derive(Debug, PartialEq, Eq)]
struct Bar {
    label: String,
    count: u64,
    before: Option<u64>,
    visitors: Option<u64>,
}

/// The picture and its table. `before`: the answer of the range before, if there is one.
pub fn shown(period: &Period, now: &Value, before: Option<&Value>) -> Markup {
    let bars = bars(period.step, now, before);
    let most = bars.iter().map(|bar| bar.count.max(bar.before.unwrap_or(0))).max().unwrap_or(0);
    let (first, last) = (bars.first(), bars.last());
    let label = |bar: Option<&Bar>| bar.map_or("", |bar| bar.label.as_str()).to_owned();
    let highest = bars.iter().max_by_key(|bar| bar.count).filter(|bar| bar.count > 0);
    let said = match highest {
        Some(bar) => format!(
            "Clicks by {}, from {} to {}: at most {}, at {}. The table has every number.",
            period.step.word,
            label(first),
            label(last),
            show::number(bar.count),
            bar.label
        ),
        None => format!("Clicks by {}, from {} to {}: none.", period.step.word, label(first), label(last)),
    };
    html! {
        figure class="chart" {
            p class="hint" {
                span class="key-now" { "this time" }
                @if before.is_some() { " " span class="key-before" { "the time before it" } }
                " – the top is " (show::number(most))
            }
            svg class="curve" viewBox="0 0 1000 200" preserveAspectRatio="none" role="img" aria-label=(said) {
                path class="grid" d="M0 1H1000M0 50H1000M0 100H1000M0 150H1000M0 199H1000" {}
                path class="bars" d=(bar_path(&bars, most)) {}
                @if before.is_some() { path class="before" d=(line_path(&bars, most)) {} }
            }
            figcaption class="ends" {
                span { (label(first)) }
                @if bars.len() > 2 { span { (label(bars.get(bars.len() / 2))) } }
                span { (label(last)) }
            }
        }
        (table(period, &bars, before.is_some()))
    }
}

fn bars(step: &Step, now: &Value, before: Option<&Value>) -> Vec<Bar> {
    let earlier = before.map_or(&[][..], |before| list(before, "rows"));
    let bar = |(at, row): (usize, &Value)| Bar {
        label: label(step, row["keys"][0].as_str().unwrap_or_default()),
        count: row["count"].as_u64().unwrap_or(0),
        // A month or a day of clocks that are put back has more spans than the one before it.
        before: earlier.get(at).map(|row| row["count"].as_u64().unwrap_or(0)),
        visitors: row["visitors"].as_u64(),
    };
    list(now, "rows").iter().enumerate().map(bar).collect()
}

/// A time of the answer, of which its span leaves the rest out.
fn label(step: &Step, time: &str) -> String {
    let has_date = time.is_ascii() && time.len() >= 19;
    let offset = || time[19..].trim_start_matches('Z');
    match step.name {
        "day" | "week" if has_date => time[..10].to_owned(),
        "month" if has_date => time[..7].to_owned(),
        // The hour that clocks go through twice is told apart by its offset.
        "hour" | "quarter" if has_date => format!("{} {}{}", &time[..10], &time[11..16], offset()),
        _ => time.to_owned(),
    }
}

fn height(count: u64, most: u64) -> f64 {
    if count == 0 || most == 0 {
        return 0.0;
    }
    // One that is there shows, however small.
    (count as f64 / most as f64 * HEIGHT).max(2.0)
}

/// All bars as one path.
fn bar_path(bars: &[Bar], most: u64) -> String {
    let each = WIDTH / bars.len().max(1) as f64;
    let width = if bars.len() <= GAPS { each * 0.8 } else { each };
    let mut path = String::new();
    for (at, bar) in bars.iter().enumerate().filter(|(_, bar)| bar.count > 0) {
        let (left, height) = (each * at as f64 + (each - width) / 2.0, height(bar.count, most));
        let _ = write!(path, "M{left:.1} 200v-{height:.1}h{width:.1}v{height:.1}z");
    }
    path
}

/// The range before as a line of steps.
fn line_path(bars: &[Bar], most: u64) -> String {
    let each = WIDTH / bars.len().max(1) as f64;
    let mut path = String::new();
    for (at, count) in bars.iter().enumerate().filter_map(|(at, bar)| Some((at, bar.before?))) {
        let top = HEIGHT - height(count, most);
        let begins = if at == 0 { format!("M0 {top:.1}") } else { format!("V{top:.1}") };
        let _ = write!(path, "{begins}H{:.1}", each * (at + 1) as f64);
    }
    path
}

fn table(period: &Period, bars: &[Bar], before: bool) -> Markup {
    let visitors = bars.iter().any(|bar| bar.visitors.is_some());
    let number = |count: Option<u64>| count.map_or_else(|| "–".to_owned(), show::number);
    html! {
        details open[bars.len() <= OPEN] {
            summary { "The numbers by " (period.step.word) }
            table class="numbers" data-sort="" {
                caption class="hidden" { "Clicks by " (period.step.word) }
                thead {
                    tr {
                        th scope="col" { "From" }
                        th scope="col" class="number" { "Clicks" }
                        @if before { th scope="col" class="number" { "The time before" } }
                        @if visitors { th scope="col" class="number" { "Visitors" } }
                    }
                }
                tbody {
                    @for bar in bars {
                        tr {
                            th scope="row" { (bar.label) }
                            td class="number" data-label="Clicks" { (show::number(bar.count)) }
                            @if before { td class="number" data-label="The time before" { (number(bar.before)) } }
                            @if visitors { td class="number" data-label="Visitors" { (number(bar.visitors)) } }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::period::STEPS;
    use super::*;
    use serde_json::json;

    fn answer(counts: &[u64]) -> Value {
        let row = |(at, count): (usize, &u64)| json!({ "keys": [format!("2026-10-{:02}T00:00:00+02:00", at + 1)], "count": count });
        json!({ "rows": counts.iter().enumerate().map(row).collect::<Vec<_>>() })
    }

    #[test]
    fn bars_stand_beside_the_time_before() {
        let bars = bars(&STEPS[2], &answer(&[0, 4, 2]), Some(&answer(&[8, 0])));
        let told: Vec<_> = bars.iter().map(|bar| (bar.label.as_str(), bar.count, bar.before)).collect();
        assert_eq!(told, [("2026-10-01", 0, Some(8)), ("2026-10-02", 4, Some(0)), ("2026-10-03", 2, None)]);
        assert_eq!(bar_path(&bars, 8), "M366.7 200v-100.0h266.7v100.0zM700.0 200v-50.0h266.7v50.0z");
        assert_eq!(line_path(&bars, 8), "M0 0.0H333.3V200.0H666.7");
        assert_eq!(bar_path(&[], 0), "");
    }

    #[test]
    fn a_time_says_what_its_span_leaves_open() {
        let time = "2026-10-25T02:15:00+01:00";
        let told = STEPS.each_ref().map(|step| label(step, time));
        assert_eq!(
            told,
            ["2026-10-25 02:15+01:00", "2026-10-25 02:15+01:00", "2026-10-25", "2026-10-25", "2026-10"]
        );
        assert_eq!(label(&STEPS[1], "2026-10-25T02:00:00Z"), "2026-10-25 02:00");
        assert_eq!(label(&STEPS[1], "日本"), "日本");
    }
}
