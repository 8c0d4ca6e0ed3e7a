//! When the certificates that this process shows end, for `/metrics`: read out of their DER, which the TLS libraries here do
//! not do for anybody else.

use crate::Families;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

/// By listener and file: seconds of the Unix epoch.
static SHOWN: Mutex<BTreeMap<(&'static str, String), i64>> = Mutex::new(BTreeMap::new());

/// This listener shows the first certificate in a file, in PEM, from now on.
pub fn shows(listener: &'static str, file: &std::path::Path, pem: &[u8]) {
    let first = CertificateDer::pem_slice_iter(pem).next().and_then(Result::ok);
    let Some(end) = first.and_then(|der| end_of(&der)) else { return };
    let mut shown = SHOWN.lock().unwrap_or_else(PoisonError::into_inner);
    shown.insert((listener, file.display().to_string()), end);
}

/// Writes the family.
///
/// # Errors
/// The encoder failed.
pub fn encode(families: &mut Families<'_>) -> fmt::Result {
    let shown = SHOWN.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let help = "When a certificate ends that is shown to clients.";
    families.gauges("linkr_tls_certificate_expiry_timestamp_seconds", help, |series| {
        shown.iter().try_for_each(|((listener, file), end)| {
            series(&[("listener", listener), ("file", file)], *end as f64)
        })
    })
}

/// `notAfter` (RFC 5280, section 4.1).
fn end_of(der: &[u8]) -> Option<i64> {
    let (_, certificate, _) = part(der)?;
    let (_, mut signed, _) = part(certificate)?;
    if part(signed)?.0 == 0xa0 {
        signed = part(signed)?.2; // the version
    }
    for _ in ["serial number", "signature", "issuer"] {
        signed = part(signed)?.2;
    }
    let (_, validity, _) = part(signed)?;
    let (kind, text, _) = part(part(validity)?.2)?;
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let number = |at: usize, length: usize| text.get(at..at + length)?.parse::<i64>().ok();
    let (year, at) = match kind {
        0x17 => (number(0, 2).map(|year| if year < 50 { 2000 + year } else { 1900 + year })?, 2),
        0x18 => (number(0, 4)?, 4),
        _ => return None,
    };
    let [month, day, hour, minute, second] = [0, 2, 4, 6, 8].map(|behind| number(at + behind, 2));
    Some(((days(year, month?, day?) * 24 + hour?) * 60 + minute?) * 60 + second?)
}

/// Days since 1970-01-01, in the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year }; // a year that begins in March ends with its leap day
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year * 365 + year / 4 - year / 100 + year / 400 + of_year - 719_468
}

/// The tag and the content of the first value, and what is behind it.
fn part(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = der.split_first()?;
    let (first, mut rest) = rest.split_first()?;
    let mut length = usize::from(*first);
    if length >= 0x80 {
        let (bytes, behind) = rest.split_at_checked(length - 0x80).filter(|(bytes, _)| bytes.len() <= 4)?;
        (length, rest) = (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), behind);
    }
    let (content, behind) = rest.split_at_checked(length)?;
    Some((*tag, content, behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_of_the_calendar() {
        for (date, want) in
            [((1970, 1, 1), 0), ((2000, 2, 29), 11_016), ((2026, 11, 29), 20_786), ((2049, 12, 31), 29_219)]
        {
            assert_eq!(days(date.0, date.1, date.2), want, "{date:?}");
        }
    }

    #[test]
    fn what_is_no_certificate_has_no_end() {
        for der in [&b""[..], b"\x30", b"\x30\x84\xff\xff\xff\xff", b"\x30\x03\x30\x01\xa0", &[0x30; 99]] {
            assert_eq!(end_of(der), None);
        }
    }
}
