//! The certificates that this process shows: when they end, read out of their DER, which the TLS libraries here do not do for
//! anybody else; and whether their files can be used.

use crate::Families;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// By listener and file: seconds of the Unix epoch.
static SHOWN: Mutex<BTreeMap<(&'static str, String), i64>> = Mutex::new(BTreeMap::new());

/// By listener: whether what its files hold can be used.
static USABLE: Mutex<BTreeMap<&'static str, bool>> = Mutex::new(BTreeMap::new());

/// From when to when a certificate is valid, in seconds of the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Validity {
    begin: i64,
    end: i64,
}

/// This listener shows the first certificate in a file, in PEM, from now on.
pub fn shows(listener: &'static str, file: &Path, pem: &[u8]) {
    files_are(listener, true);
    let Some(Validity { end, .. }) = first(pem) else { return };
    let mut shown = SHOWN.lock().unwrap_or_else(PoisonError::into_inner);
    shown.insert((listener, file.display().to_string()), end);
}

/// Whether the files of a listener can be used. If not, it shows what they held before.
pub fn files_are(listener: &'static str, usable: bool) {
    USABLE.lock().unwrap_or_else(PoisonError::into_inner).insert(listener, usable);
}

/// Whether the first certificate in a file, in PEM, is valid now. What cannot be read is for others to judge.
///
/// # Errors
/// Why not, in one line.
pub fn valid_now(file: &Path, pem: &[u8]) -> Result<(), String> {
    let Some(Validity { begin, end }) = first(pem) else { return Ok(()) };
    let (now, file) = (now(), file.display());
    if now >= end {
        return Err(format!("cannot use {file}: its certificate expired {} ago", about(now - end)));
    }
    if now < begin {
        let why = format!(
            "its certificate is valid only in {}: is the clock of this machine behind?",
            about(begin - now)
        );
        return Err(format!("cannot use {file}: {why}"));
    }
    Ok(())
}

/// When the first certificate of a text in PEM ends, in seconds of the Unix epoch; `None`: it cannot be read.
pub fn end(pem: &[u8]) -> Option<i64> {
    first(pem).map(|validity| validity.end)
}

/// A certificate that this listener shows and that has expired: its file, and since when.
pub fn expired(listener: &str) -> Option<String> {
    let (now, shown) = (now(), SHOWN.lock().unwrap_or_else(PoisonError::into_inner));
    let mut own = shown.iter().filter(|((of, _), _)| *of == listener);
    own.find(|(_, end)| now >= **end)
        .map(|((_, file), end)| format!("the certificate of {file} expired {} ago", about(now - end)))
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_secs().cast_signed()
}

/// Seconds, for people.
fn about(seconds: i64) -> String {
    const UNITS: [(i64, &str); 3] = [(86_400, "days"), (3_600, "hours"), (60, "minutes")];
    let unit = UNITS.into_iter().find(|(length, _)| seconds >= 2 * length);
    unit.map_or_else(|| format!("{seconds} s"), |(length, name)| format!("{} {name}", seconds / length))
}

/// Writes the families.
///
/// # Errors
/// The encoder failed.
pub fn encode(families: &mut Families<'_>) -> fmt::Result {
    let shown = SHOWN.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let help = "When a certificate that is shown to clients expires, in seconds of the Unix epoch.";
    families.gauges("linkr_tls_certificate_expiry_timestamp_seconds", help, |series| {
        shown.iter().try_for_each(|((listener, file), end)| {
            series(&[("listener", listener), ("file", file)], *end as f64)
        })
    })?;
    let usable = USABLE.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let help = "1: the files of a listener's certificates can be used; 0: they cannot, and it shows what they held before.";
    families.gauges("linkr_tls_certificates_usable", help, |series| {
        usable.iter().try_for_each(|(listener, usable)| {
            series(&[("listener", listener)], f64::from(u8::from(*usable)))
        })
    })
}

fn first(pem: &[u8]) -> Option<Validity> {
    let first = CertificateDer::pem_slice_iter(pem).next().and_then(Result::ok);
    first.and_then(|der| validity_of(&der))
}

/// `notBefore` and `notAfter` (RFC 5280, section 4.1).
fn validity_of(der: &[u8]) -> Option<Validity> {
    let (_, certificate, _) = part(der)?;
    let (_, mut signed, _) = part(certificate)?;
    if part(signed)?.0 == 0xa0 {
        signed = part(signed)?.2; // the version
    }
    for _ in ["serial number", "signature", "issuer"] {
        signed = part(signed)?.2;
    }
    let (_, validity, _) = part(signed)?;
    let (begin_kind, begin, rest) = part(validity)?;
    let (end_kind, end, _) = part(rest)?;
    Some(Validity { begin: time_of(begin_kind, begin)?, end: time_of(end_kind, end)? })
}

/// `UTCTime` or `GeneralizedTime`, in seconds of the Unix epoch.
fn time_of(kind: u8, text: &[u8]) -> Option<i64> {
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
    fn times_for_people() {
        for (seconds, want) in
            [(0, "0 s"), (119, "119 s"), (120, "2 minutes"), (7_200, "2 hours"), (864_000, "10 days")]
        {
            assert_eq!(about(seconds), want);
        }
    }

    #[test]
    fn what_is_no_certificate_has_no_end() {
        for der in [&b""[..], b"\x30", b"\x30\x84\xff\xff\xff\xff", b"\x30\x03\x30\x01\xa0", &[0x30; 99]] {
            assert_eq!(validity_of(der), None);
        }
    }
}
