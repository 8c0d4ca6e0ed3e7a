//! Single clicks as CSV (RFC 4180), with the columns of their message in its order.

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
    let calculates = cell.starts_with(['=', '+', '-', '@', '\t']);
    if !calculates && !cell.contains([',', '"', '\r', '\n']) {
        return cell.into();
    }
    let quote = if calculates { "'" } else { "" };
    format!("\"{quote}{}\"", cell.replace('"', "\"\"")).into()
}

#[cfg(test)]
mod tests {
    use super::*;

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
