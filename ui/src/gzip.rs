//! Compression of what is sent: whether it is wanted, and how it is done.

use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, header};
use std::io::Write;

/// Whether the browser takes gzip.
pub fn takes_gzip(headers: &HeaderMap) -> bool {
    let all = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    all.flat_map(|line| line.split(',')).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        name.trim() == "gzip" && !["q=0", "q=0.0", "q=0.00", "q=0.000"].contains(&weight.trim())
    })
}

/// Bytes as gzip has them.
pub fn compressed(bytes: &[u8]) -> Vec<u8> {
    let mut to = GzEncoder::new(Vec::new(), Compression::default());
    let written = to.write_all(bytes); // into memory: it does not fail
    debug_assert!(written.is_ok());
    to.finish().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn who_takes_gzip_is_sent_it() {
        let of = |text: &'static str| {
            takes_gzip(&HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static(text))]))
        };
        assert!(of("gzip, deflate, br") && of("br;q=1.0, gzip;q=0.5"));
        assert!(!of("br") && !of("gzip;q=0") && !of(""));
        assert!(compressed(&[b'x'; 4_096]).len() < 100);
    }
}
