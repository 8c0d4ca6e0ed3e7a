//! The QR code of a link (ISO/IEC 18004), drawn from the address that people ask for.

use super::Service;
use crate::{Caller, Fault};
use proto::v1;
use qrcode::{Color, EcLevel, QrCode};
use std::fmt::Write;

/// Light modules around it, without which a camera may not find it (ISO/IEC 18004, section 5.3.8).
const MARGIN: usize = 4;

impl Service {
    /// See `GetLinkQrCode`.
    pub async fn qr_code(
        &self,
        caller: &Caller,
        request: &v1::GetLinkQrCodeRequest,
    ) -> Result<v1::QrCode, Fault> {
        let link = self.get(caller, &v1::GetLinkRequest { name: request.name.clone() }).await?;
        if link.short_url.is_empty() {
            return Err(Fault::invalid(
                "name",
                "is of the default domain, and nobody has said at which address that is found: start control with \
                 --base-url, such as --base-url https://go.example",
            ));
        }
        drawn(link.short_url)
    }
}

fn drawn(text: String) -> Result<v1::QrCode, Fault> {
    // A quarter of it may be hidden by wear or a logo and it is still read, at the cost of a size or two.
    let code = QrCode::with_error_correction_level(text.as_bytes(), EcLevel::Q)
        .or_else(|_| QrCode::with_error_correction_level(text.as_bytes(), EcLevel::L))
        .map_err(|_| Fault::invalid("name", "has an address that is too long for a QR code"))?;
    let (width, colors) = (code.width(), code.to_colors());
    let row = |row: &[Color]| {
        row.iter().map(|color| if *color == Color::Dark { '1' } else { '0' }).collect::<String>()
    };
    let rows: Vec<String> = colors.chunks(width).map(row).collect();
    let svg = svg(&text, &rows);
    Ok(v1::QrCode { text, rows, svg })
}

/// One path of rectangles, each as long as modules side by side are dark.
fn svg(text: &str, rows: &[String]) -> String {
    let mut path = String::new();
    for (y, row) in rows.iter().enumerate() {
        let mut x = 0;
        for run in row.as_bytes().chunk_by(|one, next| one == next) {
            if run.first() == Some(&b'1') {
                let _ = write!(path, "M{},{}h{}v1h-{}z", x + MARGIN, y + MARGIN, run.len(), run.len());
            }
            x += run.len();
        }
    }
    let size = rows.len() + 2 * MARGIN;
    let title = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {size} {size}\" shape-rendering=\"crispEdges\" \
         role=\"img\"><title>QR code of {title}</title><path fill=\"#fff\" d=\"M0,0h{size}v{size}H0z\"/>\
         <path d=\"{path}\"/></svg>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_has_its_three_eyes_and_says_the_same_as_rows_and_as_a_picture() {
        let drawn = drawn("https://go.example/<a>&b".to_owned()).unwrap();
        let width = drawn.rows.len();
        assert!(drawn.rows.iter().all(|row| row.len() == width));
        for (x, y) in [(0, 0), (width - 7, 0), (0, width - 7)] {
            let eye: Vec<&str> = drawn.rows[y..y + 7].iter().map(|row| &row[x..x + 7]).collect();
            assert_eq!(eye, ["1111111", "1000001", "1011101", "1011101", "1011101", "1000001", "1111111"]);
        }
        assert!(drawn.svg.contains("go.example/&lt;a&gt;&amp;b</title>"), "{}", drawn.svg);
        assert!(drawn.svg.contains("M4,4h7v1h-7z"), "{}", drawn.svg);
        let dark: usize = drawn.rows.iter().map(|row| row.matches('1').count()).sum();
        let runs = drawn.svg.split('h').filter_map(|rest| rest.split_once('v')?.0.parse::<usize>().ok());
        assert_eq!(runs.sum::<usize>(), dark + width + 2 * MARGIN, "the ground is one run more");
    }

    #[test]
    fn the_longest_code_still_fits() {
        assert!(drawn(format!("https://go.example/{}", "%C3%BC".repeat(64))).is_ok());
        assert!(drawn("x".repeat(3_000)).is_err());
    }
}
