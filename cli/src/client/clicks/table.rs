//! Counts of clicks as a table: with a bar for people, as JSON and CSV for programs. Up to when a count is complete and what is
//! missing is said with every form of it.

use super::super::export::csv_line;
use super::super::fields::guarded;
use crate::args::ClickOutput;
use crate::fault::CommandFault;
use crate::out::{self, plain};
use proto::v1::{ClickLoss, ClickRow, ListUnknownCodesResponse, QueryClicksResponse};
use std::collections::BTreeMap;

/// Seconds by which clicks are kept at first.
const QUARTER: u32 = 900;
/// Characters of the longest bar.
const BAR: usize = 30;
/// A bar grows by eighths of a character.
const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

/// An answer to a question whose groups are `columns`; and for people the same time by kind.
///
/// # Errors
/// Standard output is gone.
pub fn counts(
    columns: &[String],
    answer: &QueryClicksResponse,
    kinds: Option<&QueryClicksResponse>,
    output: ClickOutput,
) -> Result<(), CommandFault> {
    match output {
        ClickOutput::Json => out::json(&proto::json::value(answer)),
        ClickOutput::Csv => {
            out::write(&csv(columns, &answer.rows))?;
            out::note(&completeness(answer));
            Ok(())
        }
        ClickOutput::Text => {
            out::text(&people(columns, answer, kinds))?;
            if answer.other > 0 {
                let more = so_many(answer.other, "click");
                out::note(&format!("{more} in lines that are not shown: see --top"));
            }
            Ok(())
        }
    }
}

fn csv(columns: &[String], rows: &[ClickRow]) -> Vec<u8> {
    let header = columns.iter().cloned().chain(["clicks".to_owned(), "visitors".to_owned()]);
    let mut bytes = csv_line(header);
    for row in rows {
        let visitors = row.visitors.map_or_else(String::new, |visitors| visitors.to_string());
        // Codes and referrers are what somebody else wrote.
        let keys = row.keys.iter().cloned().map(guarded);
        bytes.extend(csv_line(keys.chain([row.count.to_string(), visitors])));
    }
    bytes
}

fn people(columns: &[String], answer: &QueryClicksResponse, kinds: Option<&QueryClicksResponse>) -> String {
    let with_visitors = answer.rows.iter().any(|row| row.visitors.is_some());
    let header = columns.iter().map(|name| name.to_uppercase());
    let mut lines = vec![Line { keys: header.collect(), count: "CLICKS".into(), ..Line::default() }];
    if with_visitors {
        lines[0].visitors = "VISITORS".into();
    }
    let most = answer.rows.iter().map(|row| row.count).max().unwrap_or(0);
    lines.extend(answer.rows.iter().map(|row| Line {
        keys: columns.iter().zip(&row.keys).map(|(column, key)| shown(column, key)).collect(),
        count: row.count.to_string(),
        visitors: row.visitors.map_or_else(String::new, |visitors| visitors.to_string()),
        bar: bar(row.count, most),
    }));
    let mut text = aligned(&lines);
    let visitors = answer
        .visitors
        .map(|sum| format!(", {} (the sum of the visitors of each day)", so_many(sum, "visitor")))
        .unwrap_or_default();
    text.push_str(&format!("\ntotal     {}{visitors}\n", so_many(answer.total, "click")));
    if let Some(kinds) = kinds {
        let besides = kinds.rows.iter().filter(|row| row.keys.first().is_some_and(|kind| kind != "human"));
        let besides: Vec<String> =
            besides.map(|row| format!("{} {}", plain(&row.keys.join(" ")), row.count)).collect();
        if !besides.is_empty() {
            text.push_str(&format!("besides   {}\n", besides.join(", ")));
        }
    }
    if answer.kept_seconds > QUARTER {
        let span = if answer.kept_seconds >= 86_400 { "day" } else { "hour" };
        text.push_str(&format!(
            "counted by the {span} (UTC): at the ends of the time, and in shorter lines, a click counts where its {span} begins\n"
        ));
    }
    text.push_str(&format!("{}\n", completeness(answer)));
    text
}

fn so_many(count: u64, one: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") }
}

/// A line of a table.
#[derive(Default)]
struct Line {
    keys: Vec<String>,
    count: String,
    visitors: String,
    bar: String,
}

fn aligned(lines: &[Line]) -> String {
    let width = |of: &dyn Fn(&Line) -> usize| lines.iter().map(of).max().unwrap_or(0);
    let length = |text: &str| text.chars().count();
    let columns = lines.first().map_or(0, |line| line.keys.len());
    let keys: Vec<usize> = (0..columns)
        .map(|at| width(&|line| line.keys.get(at).map_or(0, |key| length(key))).min(40))
        .collect();
    let (count, visitors) = (width(&|line| length(&line.count)), width(&|line| length(&line.visitors)));
    let mut text = String::new();
    for line in lines {
        let mut own = String::new();
        for (key, width) in line.keys.iter().zip(&keys) {
            own.push_str(&format!("{key:<width$}  "));
        }
        own.push_str(&format!("{:>count$}", line.count));
        if visitors > 0 {
            own.push_str(&format!("  {:>visitors$}", line.visitors));
        }
        own.push_str(&format!("  {}", line.bar));
        text.push_str(own.trim_end());
        text.push('\n');
    }
    text
}

fn bar(count: u64, most: u64) -> String {
    if count == 0 {
        return String::new();
    }
    // One that is there shows, however short.
    let eighths = (u128::from(count) * (BAR as u128 * 8) / u128::from(most.max(1))).max(1) as usize;
    "█".repeat(eighths / 8) + EIGHTHS[eighths % 8]
}

/// A key for people: of a time what its step leaves of it.
fn shown(column: &str, key: &str) -> String {
    let has_date = key.is_ascii() && key.len() >= 19 && key.as_bytes()[10] == b'T';
    let offset = || match &key[19..] {
        "Z" | "" => "",
        offset => offset,
    };
    match column {
        "day" | "week" if has_date => plain(&key[..10]),
        "month" if has_date => plain(&key[..7]),
        // The hour that a clock goes through twice is told apart by its offset.
        "hour" | "quarter" if has_date => plain(&format!("{} {}{}", &key[..10], &key[11..16], offset())),
        _ => plain(key),
    }
}

/// Up to when an answer is complete, and what is missing in it.
fn completeness(answer: &QueryClicksResponse) -> String {
    let until = answer.complete_until.map_or_else(
        || "no edge has said yet up to when this is complete".to_owned(),
        |until| format!("complete until {until}"),
    );
    let mut reasons = BTreeMap::<&str, u64>::new();
    for ClickLoss { reason, count, .. } in &answer.losses {
        *reasons.entry(reason).or_default() += count;
    }
    let reasons: Vec<String> =
        reasons.iter().map(|(reason, count)| format!("{} {count}", plain(reason))).collect();
    match (answer.lost, reasons.is_empty()) {
        (0, _) => format!("{until}; none known to be lost"),
        (lost, true) => format!("{until}; lost: {lost}"),
        (lost, false) => format!("{until}; lost: {lost} ({})", reasons.join(", ")),
    }
}

/// Codes that no link has.
///
/// # Errors
/// Standard output is gone.
pub fn unknown(answer: &ListUnknownCodesResponse, output: ClickOutput) -> Result<(), CommandFault> {
    match output {
        ClickOutput::Json => out::json(&proto::json::value(answer)),
        ClickOutput::Csv => {
            let mut bytes = csv_line(["code", "requests"].map(str::to_owned).into_iter());
            for code in &answer.codes {
                bytes.extend(csv_line([guarded(code.code.clone()), code.count.to_string()].into_iter()));
            }
            out::write(&bytes)
        }
        ClickOutput::Text => {
            let most = answer.codes.iter().map(|code| code.count).max().unwrap_or(0);
            let header = Line { keys: vec!["CODE".into()], count: "REQUESTS".into(), ..Line::default() };
            let lines = answer.codes.iter().map(|code| Line {
                keys: vec![plain(&code.code)],
                count: code.count.to_string(),
                bar: bar(code.count, most),
                ..Line::default()
            });
            let lines: Vec<Line> = std::iter::once(header).chain(lines).collect();
            out::text(&format!("{}\ntotal     {}\n", aligned(&lines), so_many(answer.total, "request")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost_types::Timestamp;

    fn row(keys: &[&str], count: u64, visitors: Option<u64>) -> ClickRow {
        ClickRow { keys: keys.iter().map(|key| (*key).to_owned()).collect(), count, visitors }
    }

    fn columns(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_table_for_people() {
        let answer = QueryClicksResponse {
            rows: vec![
                row(&["2026-11-29T00:00:00+01:00", "DE"], 240, Some(100)),
                row(&["2026-11-29T00:00:00+01:00", "-"], 12, Some(7)),
                row(&["2026-11-30T00:00:00+01:00", "FR\u{202e}"], 1, Some(1)),
            ],
            total: 260,
            other: 7,
            visitors: Some(108),
            complete_until: Some(Timestamp { seconds: 0, nanos: 0 }),
            lost: 5,
            losses: vec![
                ClickLoss { reason: "spool_full".into(), count: 3, ..ClickLoss::default() },
                ClickLoss { reason: "ring_full".into(), count: 2, ..ClickLoss::default() },
            ],
            ..QueryClicksResponse::default()
        };
        let kinds = QueryClicksResponse {
            rows: vec![row(&["human"], 260, None), row(&["bot"], 9, None), row(&["head"], 2, None)],
            ..QueryClicksResponse::default()
        };
        let text = people(&columns(&["day", "country"]), &answer, Some(&kinds));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "DAY         COUNTRY     CLICKS  VISITORS");
        assert_eq!(lines[1], format!("2026-11-29  DE             240       100  {}", "█".repeat(30)));
        assert_eq!(lines[2], "2026-11-29  -               12         7  █▌");
        assert_eq!(lines[3], "2026-11-30  FR\\u{202e}       1         1  ▏");
        assert_eq!(
            lines[5..],
            [
                "total     260 clicks, 108 visitors (the sum of the visitors of each day)",
                "besides   bot 9, head 2",
                "complete until 1970-01-01T00:00:00Z; lost: 5 (ring_full 2, spool_full 3)",
            ]
        );
    }

    #[test]
    fn times_are_as_short_as_their_step() {
        for (column, key, want) in [
            ("day", "2026-10-25T00:00:00+02:00", "2026-10-25"),
            ("week", "2026-10-26T00:00:00Z", "2026-10-26"),
            ("month", "2026-10-01T00:00:00Z", "2026-10"),
            ("hour", "2026-10-25T02:00:00+01:00", "2026-10-25 02:00+01:00"),
            ("quarter", "2026-10-25T02:15:00Z", "2026-10-25 02:15"),
            ("link", "2026-10-25T02:15:00Z", "2026-10-25T02:15:00Z"),
            ("day", "日本", "日本"),
            ("day", "2026\u{1b}[31m-T00:00:00Z", "2026\\u{1b}[31m-"),
        ] {
            assert_eq!(shown(column, key), want);
        }
    }

    #[test]
    fn a_table_for_a_spreadsheet_runs_nothing() {
        let rows = [row(&["=cmd()"], 3, None), row(&["a,b"], 1, Some(1))];
        let text = String::from_utf8(csv(&columns(&["referrer"]), &rows)).unwrap();
        assert_eq!(text, "referrer,clicks,visitors\n'=cmd(),3,\n\"a,b\",1,1\n");
    }

    #[test]
    fn a_count_by_hours_says_so() {
        let answer = QueryClicksResponse { total: 1, kept_seconds: 3_600, ..QueryClicksResponse::default() };
        let text = people(&columns(&["link"]), &answer, None);
        assert!(text.contains("total     1 click\ncounted by the hour (UTC)"), "{text}");
    }

    #[test]
    fn a_count_says_what_it_lacks() {
        let said = completeness(&QueryClicksResponse::default());
        assert_eq!(said, "no edge has said yet up to when this is complete; none known to be lost");
        let lost = QueryClicksResponse { lost: 2, ..QueryClicksResponse::default() };
        assert!(completeness(&lost).ends_with("lost: 2"));
    }
}
