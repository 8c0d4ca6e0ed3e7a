//! Single clicks as CSV (RFC 4180), with the columns of their message in its order.

use link::misleads;
use proto::v1::ClickEvent;
use std::borrow::Cow;

/// The names of the columns.
pub const HEAD: &str = "id,time,code,version,kind,country,browser,os,device,referrer,language\r\n";

/// A click.
pub fn row(click: &ClickEvent) -> String {
    let ClickEvent { id, time, code, version, kind, country, browser, os, device, referrer, language } =
        click;
    let (time, version) = (time.map(|time| time.to_string()).unwrap_or_default(), version.to_string());
    let cells = [id, &time, code, &version, kind, country, browser, os, device, referrer, language];
    cells.map(|cell| escaped(cell)).join(",") + "\r\n"
}

/// In quotes where it would be taken apart otherwise; and with a ' in front where a spreadsheet would calculate.
fn escaped(cell: &str) -> Cow<'_, str> {
    let calculates = calculates(cell);
    if !calculates && !cell.contains([',', '"', '\r', '\n']) {
        return cell.into();
    }
    let quote = if calculates { "'" } else { "" };
    format!("\"{quote}{}\"", cell.replace('"', "\"\"")).into()
}

/// As `linkr clicks --export` has it: also behind what a spreadsheet leaves out or does not show, and in full width.
fn calculates(cell: &str) -> bool {
    let unseen = |c: char| c == '\'' || c.is_whitespace() || c.is_control() || misleads(c);
    cell.trim_start_matches(unseen).starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠'])
        || cell.trim_start_matches('\'').starts_with(['\t', '\r'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_spreadsheet_would_calculate_is_a_text() {
        for cell in
            ["=1", "+1", "-1", "@SUM(1)", "＝1", "－1", " =1", "\u{200b}=1", "\u{a0}+1", "\t1", "\r1", "'=1"]
        {
            assert_eq!(escaped(cell), format!("\"'{cell}\""));
        }
        for cell in ["", "a=1", "1-1", "promo", "\u{441}\u{43b}\u{43e}\u{43d}", "'a"] {
            assert_eq!(escaped(cell), cell);
        }
    }

    #[test]
    fn a_row_has_every_column() {
        let click = ClickEvent {
            id: "7".into(),
            time: Some(prost_types::Timestamp { seconds: 1_767_225_600, nanos: 5_000_000 }),
            code: "a,b".into(),
            version: 9,
            kind: "human".into(),
            country: "DE".into(),
            browser: "=1+\"1\"".into(),
            ..ClickEvent::default()
        };
        assert_eq!(row(&click), "7,2026-01-01T00:00:00.005Z,\"a,b\",9,human,DE,\"'=1+\"\"1\"\"\",,,,\r\n");
        assert_eq!(HEAD.matches(',').count(), row(&ClickEvent::default()).matches(',').count());
    }
}
