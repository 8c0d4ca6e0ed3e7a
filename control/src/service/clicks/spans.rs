//! Spans of time in a zone: where each quarter of an hour, hour, day, week and month begins. Clicks are kept by quarters of an
//! hour in UTC, which every zone of today begins its hours and days with.

use crate::Fault;
use jiff::civil::Date;
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, ToSpan};

/// Milliseconds of the least span that clicks are kept by.
pub const QUARTER: i64 = 900_000;
const HOUR: i64 = 4 * QUARTER;
/// Spans of one answer.
const MOST: usize = 5_000;

/// How long the spans of an answer are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Of an hour.
    Quarter,
    /// By the clocks of the zone.
    Hour,
    /// From midnight, or the first moment behind it that there is.
    Day,
    /// From Monday.
    Week,
    /// From its first day.
    Month,
}

impl Step {
    /// In the order of their names' lengths of time.
    const NAMES: [(&'static str, Self); 5] = [
        ("quarter", Self::Quarter),
        ("hour", Self::Hour),
        ("day", Self::Day),
        ("week", Self::Week),
        ("month", Self::Month),
    ];

    /// That of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(own, _)| *own == name).map(|(_, step)| *step)
    }
}

/// A time zone, from the table that is compiled in: the same answer on every machine.
#[derive(Clone, Debug)]
pub struct Zone(TimeZone);

impl Zone {
    /// That of this name; empty is UTC.
    ///
    /// # Errors
    /// [`Fault::Invalid`]
    pub fn named(name: &str) -> Result<Self, Fault> {
        if name.is_empty() {
            return Ok(Self(TimeZone::UTC));
        }
        let none = |_| Fault::invalid("zone", "is no time zone: give one such as Europe/Berlin or UTC");
        TimeZone::get(name).map(Self).map_err(none)
    }

    /// A moment as people of the zone write it (RFC 3339).
    pub fn shown(&self, ms: i64) -> String {
        let Ok(at) = Timestamp::from_millisecond(ms) else { return String::new() };
        let offset = self.0.to_offset(at);
        if offset == Offset::UTC { at.to_string() } else { at.display_with_offset(offset).to_string() }
    }

    /// The beginnings of the spans that the time from `from` to before `to` is in, in their order.
    ///
    /// # Errors
    /// [`Fault::Invalid`] where there are too many, or no such time.
    pub fn spans(&self, step: Step, from: i64, to: i64) -> Result<Vec<i64>, Fault> {
        let mut starts = vec![self.start(step, from)?];
        while let Some(last) = starts.last().copied() {
            let next = self.next(step, last)?;
            if next >= to {
                break;
            }
            if starts.len() == MOST {
                let why =
                    format!("makes more than {MOST} spans of this time: take longer ones, or less time");
                return Err(Fault::invalid("group_by", why));
            }
            starts.push(next);
        }
        Ok(starts)
    }

    /// The beginning of the span that a moment is in.
    fn start(&self, step: Step, at: i64) -> Result<i64, Fault> {
        let date = || moment(at).map(|at| self.0.to_datetime(at).date());
        match step {
            Step::Quarter => Ok(at - at.rem_euclid(QUARTER)),
            Step::Hour => {
                let local = at + 1_000 * i64::from(self.0.to_offset(moment(at)?).seconds());
                Ok(at - local.rem_euclid(HOUR))
            }
            Step::Day => self.midnight(date()?),
            Step::Week => self.midnight(monday(date()?)?),
            Step::Month => self.midnight(date()?.first_of_month()),
        }
    }

    /// The beginning of the span behind the one that begins at `start`.
    fn next(&self, step: Step, start: i64) -> Result<i64, Fault> {
        let date = |span: jiff::Span| {
            let date = self.0.to_datetime(moment(start)?).date();
            date.checked_add(span).map_err(|_| beyond())
        };
        match step {
            Step::Quarter => Ok(start + QUARTER),
            // Where clocks are put forward or back by half an hour, the next one begins with that.
            Step::Hour => {
                let aligned = self.start(Step::Hour, start + HOUR)?;
                Ok(if aligned > start { aligned } else { start + HOUR })
            }
            Step::Day => self.midnight(date(1.day())?),
            Step::Week => self.midnight(date(7.days())?),
            Step::Month => self.midnight(date(1.month())?.first_of_month()),
        }
    }

    /// The first moment of a date.
    fn midnight(&self, date: Date) -> Result<i64, Fault> {
        let begins = date.to_zoned_datetime(self.0.clone()).map_err(|_| beyond())?;
        Ok(begins.timestamp().as_millisecond())
    }
}

fn monday(date: Date) -> Result<Date, Fault> {
    let behind = i64::from(date.weekday().to_monday_zero_offset());
    date.checked_sub(behind.days()).map_err(|_| beyond())
}

fn moment(ms: i64) -> Result<Timestamp, Fault> {
    Timestamp::from_millisecond(ms).map_err(|_| beyond())
}

fn beyond() -> Fault {
    Fault::invalid("start_time", "is of a year that there are no days of: from 1970 on there may be clicks")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    fn check(zone: &str, step: Step, from: &str, to: &str, want: &[&str]) {
        let zone = Zone::named(zone).unwrap();
        let spans = zone.spans(step, ms(from), ms(to)).unwrap();
        let shown: Vec<_> = spans.into_iter().map(|start| zone.shown(start)).collect();
        assert_eq!(shown, want);
    }

    #[test]
    fn days_are_those_of_the_zone() {
        let zone = "Europe/Berlin";
        let days = ["2026-03-28T00:00:00+01:00", "2026-03-29T00:00:00+01:00", "2026-03-30T00:00:00+02:00"];
        check(zone, Step::Day, "2026-03-28T12:00:00Z", "2026-03-30T12:00:00Z", &days);
        let months = ["2025-12-01T00:00:00+01:00", "2026-01-01T00:00:00+01:00"];
        check(zone, Step::Month, "2025-12-31T22:59:00Z", "2026-01-31T22:59:00Z", &months);
        let weeks = ["2025-12-29T00:00:00+01:00", "2026-01-05T00:00:00+01:00"];
        check(zone, Step::Week, "2026-01-01T00:00:00Z", "2026-01-06T00:00:00Z", &weeks);
        let utc = ["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"];
        check("", Step::Day, "2026-01-01T00:00:00Z", "2026-01-02T00:00:01Z", &utc);
    }

    #[test]
    fn the_end_begins_no_span() {
        check("UTC", Step::Day, "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", &["2026-01-01T00:00:00Z"]);
        let quarters = ["2026-01-01T00:00:00Z", "2026-01-01T00:15:00Z"];
        check("UTC", Step::Quarter, "2026-01-01T00:01:00Z", "2026-01-01T00:16:00Z", &quarters);
    }

    #[test]
    fn hours_are_those_of_the_clocks() {
        let hours = ["2026-01-01T00:00:00+05:30", "2026-01-01T01:00:00+05:30"];
        check("Asia/Kolkata", Step::Hour, "2025-12-31T18:40:00Z", "2025-12-31T19:40:00Z", &hours);
        // The hour from 2 to 3 is there twice.
        let twice = [
            "2026-10-25T01:00:00+02:00",
            "2026-10-25T02:00:00+02:00",
            "2026-10-25T02:00:00+01:00",
            "2026-10-25T03:00:00+01:00",
        ];
        check("Europe/Berlin", Step::Hour, "2026-10-24T23:00:00Z", "2026-10-25T02:30:00Z", &twice);
    }

    #[test]
    fn every_span_begins_with_a_quarter_of_an_hour() {
        for zone in
            ["Asia/Kathmandu", "Australia/Lord_Howe", "America/St_Johns", "Africa/Cairo", "Pacific/Apia"]
        {
            let zone = Zone::named(zone).unwrap();
            for step in [Step::Quarter, Step::Hour, Step::Day, Step::Week, Step::Month] {
                let (from, to) = (ms("2026-03-20T00:00:00Z"), ms("2026-04-20T00:00:00Z"));
                let spans = zone.spans(step, from, to).unwrap();
                assert!(spans.iter().all(|start| start % QUARTER == 0), "{zone:?} {step:?}");
                assert!(spans.windows(2).all(|pair| pair[0] < pair[1]), "{zone:?} {step:?}");
                assert!(spans[0] <= from, "{zone:?} {step:?}");
            }
        }
    }

    #[test]
    fn what_is_no_zone_or_too_much_is_refused() {
        assert_eq!(Zone::named("Europe/Bonn").unwrap_err().field(), Some("zone"));
        let too_many = Zone::named("").unwrap().spans(Step::Quarter, 0, ms("2026-01-01T00:00:00Z"));
        assert_eq!(too_many.unwrap_err().field(), Some("group_by"));
        assert!(Zone::named("").unwrap().spans(Step::Day, i64::MIN, 0).is_err());
        assert_eq!((Step::named("week"), Step::named("country")), (Some(Step::Week), None));
    }
}
