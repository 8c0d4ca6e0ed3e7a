//! Moments as people give them: a time with its offset, or how long it is until then.

use prost_types::Timestamp;
use std::time::{Duration, SystemTime};

/// A moment that a flag names.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FlagTime {
    /// The moment, the length from now counted in.
    pub time: Timestamp,
    /// The flag gave a length from now, so that each run means another moment.
    pub is_relative: bool,
}

const UNITS: [(char, u64); 5] = [('s', 1), ('m', 60), ('h', 3_600), ('d', 86_400), ('w', 604_800)];

/// A time, or so long from now: `30d`, `+1d12h`.
pub fn moment(text: &str) -> Result<FlagTime, String> {
    at(text, SystemTime::now())
}

/// A time, or so long before now: `-2h`.
pub fn past_moment(text: &str) -> Result<FlagTime, String> {
    let now = SystemTime::now();
    if let Some(length) = text.strip_prefix('-').and_then(length) {
        let time = now.checked_sub(length).ok_or("is too long ago")?;
        return Ok(FlagTime { time: whole(time), is_relative: true });
    }
    match at(text, now) {
        Ok(FlagTime { is_relative: true, .. }) => {
            Err(format!("is to come: write -{} for so long ago", text.trim_start_matches('+')))
        }
        Err(why) => Err(why.replace("so long from now such as 30d", "so long ago such as -30d")),
        time => time,
    }
}

/// So long until now, as `7d`: when that began.
pub fn since(text: &str) -> Result<FlagTime, String> {
    let length = length(text).filter(|length| !length.is_zero());
    let length = length.ok_or("is no length of time such as 7d or 12h (units: s, m for minutes, h, d, w)")?;
    let time = SystemTime::now().checked_sub(length).filter(|_| length < LONGEST);
    let time = time.ok_or("is more than 1000 years")?;
    Ok(FlagTime { time: whole(time), is_relative: true })
}

impl FlagTime {
    /// Whether the moment is past.
    pub fn is_past(&self) -> bool {
        SystemTime::try_from(self.time).is_ok_and(|time| time <= SystemTime::now())
    }
}

fn at(text: &str, now: SystemTime) -> Result<FlagTime, String> {
    if let Some(length) = length(text.strip_prefix('+').unwrap_or(text)) {
        let time =
            now.checked_add(length).filter(|_| length < LONGEST).ok_or("is more than 1000 years ahead")?;
        return Ok(FlagTime { time: whole(time), is_relative: true });
    }
    match proto::time::read(text) {
        Ok(time) => Ok(FlagTime { time, is_relative: false }),
        Err(why) if why.starts_with("is not a time") => {
            Err(format!("{why}, nor so long from now such as 30d (units: s, m for minutes, h, d, w)"))
        }
        Err(why) => Err(why.to_owned()),
    }
}

/// In seconds: nobody who says days means less.
fn whole(time: SystemTime) -> Timestamp {
    Timestamp { nanos: 0, ..time.into() }
}

const LONGEST: Duration = Duration::from_secs(1_000 * 366 * 86_400);

/// Numbers with a unit behind each: `1d12h`. A number alone is none, since nobody could tell its unit.
fn length(text: &str) -> Option<Duration> {
    let (mut left, mut seconds) = (text, 0_u64);
    while !left.is_empty() {
        let digits = left.find(|c: char| !c.is_ascii_digit())?;
        let unit = left[digits..].chars().next()?;
        let (_, length) = UNITS.iter().find(|(own, _)| *own == unit)?;
        let number: u64 = left[..digits].parse().ok()?;
        seconds = number.checked_mul(*length)?.checked_add(seconds)?;
        left = &left[digits + 1..];
    }
    (!text.is_empty()).then(|| Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_time_or_so_long_from_now() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let seconds =
            |text| at(text, now).map(|moment| (moment.time.seconds - 1_000_000, moment.is_relative));
        for (text, want) in [
            ("30d", 30 * 86_400),
            ("+30d", 30 * 86_400),
            ("2w", 14 * 86_400),
            ("12h", 12 * 3_600),
            ("90m", 5_400),
            ("45s", 45),
            ("1d12h", 36 * 3_600),
            ("0s", 0),
        ] {
            assert_eq!(seconds(text), Ok((want, true)), "{text}");
        }
        assert_eq!(seconds("1970-01-12T13:46:41Z"), Ok((1, false)));
        for (text, said) in [
            ("30", "30d (units"),
            ("1y", "30d (units"),
            ("3mo", "30d (units"),
            ("+", "30d (units"),
            ("-30d", "30d (units"),
            ("d", "30d (units"),
            ("1.5h", "30d (units"),
            ("99999999999999999999d", "30d (units"),
            ("999999w", "1000 years"),
            ("2030-01-31T12:00", "has no offset"),
            ("2030-01-31", "time of the day"),
        ] {
            let why = seconds(text).unwrap_err();
            assert!(why.contains(said), "{text}: {why}");
        }
    }

    #[test]
    fn what_was_is_so_long_ago() {
        let ago = past_moment("-2h").unwrap();
        assert!(ago.is_relative && ago.is_past());
        assert!(past_moment("2h").unwrap_err().contains("write -2h"));
        assert!(past_moment("yesterday").unwrap_err().contains("so long ago such as -30d"));
        assert!(since("1d12h").unwrap().is_past());
        assert!(
            ["", "7", "-7d", "0d", "999999w", "2030-01-31T12:00Z"].iter().all(|text| since(text).is_err())
        );
        assert!(!moment("1h").unwrap().is_past() && moment("2020-01-01T00:00Z").unwrap().is_past());
    }
}
