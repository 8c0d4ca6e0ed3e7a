//! Times as people and programs write them: RFC 3339, section 5.6.

use prost_types::Timestamp;

/// Such a time; its seconds may be left out. Without an offset nobody knows which moment is meant.
///
/// # Errors
/// In words that go behind the name of a field.
pub fn read(text: &str) -> Result<Timestamp, &'static str> {
    const NONE: &str = "is not a time such as 2030-01-31T12:00:00Z";
    const NO_OFFSET: &str = "has no offset: add Z for UTC, or one such as +02:00";
    let (date, clock) = text.split_at_checked(10).ok_or(NONE)?;
    let clock = match clock.strip_prefix(['T', 't', ' ']) {
        Some(clock) if has_form(date, "0000-00-00") => clock,
        None if has_form(date, "0000-00-00") && clock.is_empty() => {
            return Err("has no time of the day: add one such as T12:00Z");
        }
        _ => return Err(NONE),
    };
    let at = clock.find(['Z', 'z', '+', '-']).unwrap_or(clock.len());
    let (clock, offset) = clock.split_at(at);
    let (whole, fraction) = clock.split_at(clock.find('.').unwrap_or(clock.len()));
    let seconds = match whole {
        _ if has_form(whole, "00:00:00") => whole.to_owned(),
        _ if has_form(whole, "00:00") && fraction.is_empty() => format!("{whole}:00"),
        _ => return Err(NONE),
    };
    if offset.is_empty() {
        return Err(NO_OFFSET);
    }
    if !(offset.eq_ignore_ascii_case("Z") || has_form(&offset[1..], "00:00")) {
        return Err("has an offset that is none: Z for UTC, or one such as +02:00");
    }
    format!("{date}T{seconds}{fraction}{offset}").parse().map_err(|_| NONE)
}

/// Whether digits stand where the form has them, and its other characters where they are.
fn has_form(text: &str, form: &str) -> bool {
    text.len() == form.len()
        && text.bytes().zip(form.bytes()).all(|(byte, wanted)| match wanted {
            b'0' => byte.is_ascii_digit(),
            other => byte == other,
        })
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn a_time_is_one_moment_or_none() {
        let offset = "has no offset: add Z for UTC, or one such as +02:00";
        let none = "is not a time such as 2030-01-31T12:00:00Z";
        let day = "has no time of the day: add one such as T12:00Z";
        let odd = "has an offset that is none: Z for UTC, or one such as +02:00";
        for (text, moment) in [
            ("2030-01-31T12:00:00Z", Ok("2030-01-31T12:00:00Z")),
            ("2030-01-31T12:00Z", Ok("2030-01-31T12:00:00Z")),
            ("2030-01-31t12:00z", Ok("2030-01-31T12:00:00Z")),
            ("2030-01-31 12:00+02:00", Ok("2030-01-31T10:00:00Z")),
            ("2030-01-31T12:00:00.25-01:30", Ok("2030-01-31T13:30:00.250Z")),
            ("2024-02-29T00:00Z", Ok("2024-02-29T00:00:00Z")),
            ("2030-01-31T12:00:00", Err(offset)),
            ("2030-01-31T12:00", Err(offset)),
            ("2030-01-31 12:00:00.5", Err(offset)),
            ("2030-01-31", Err(day)),
            ("2030-01-31T12:00:00+02", Err(odd)),
            ("2030-01-31T12:00:00+2:00", Err(odd)),
            ("2030-01-31T12:00:00Zulu", Err(odd)),
            ("2030-01-31T12:00:00.Z", Err(none)),
            ("2030-01-31T12:00.5Z", Err(none)),
            ("2030-02-30T12:00:00Z", Err(none)),
            ("2030-13-01T12:00:00Z", Err(none)),
            ("2030-01-31T25:00:00Z", Err(none)),
            ("2030-01-31T12Z", Err(none)),
            ("+12030-01-31T12:00:00Z", Err(none)),
            ("30-01-31T12:00:00Z", Err(none)),
            ("2030-01-31T1２:00:00Z", Err(none)),
            ("1924905600", Err(none)),
            ("tomorrow", Err(none)),
            ("", Err(none)),
        ] {
            assert_eq!(
                read(text).map(|time| time.to_string()).as_deref().map_err(|why| *why),
                moment,
                "{text}"
            );
        }
    }
}
