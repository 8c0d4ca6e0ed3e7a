//! Which time a page of clicks is about: a range that ends now or two typed moments, the range before it, and how long the
//! spans of its curve are. No call is made here.

use crate::api::Refusal;
use crate::fields::{self, Field, Kind, Typed};
use crate::form::Pairs;
use jiff::tz::TimeZone;
use jiff::{Error, Span, Timestamp, ToSpan, Unit, ZonedDateTime};
use maud::Markup;

/// Spans of one curve, and so rows of the table beside it.
const MOST_SPANS: i64 = 750;
const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

/// The ranges that end now: name in the address, and word.
pub const RANGES: [(&str, &str); 6] = [
    ("today", "today"),
    ("24h", "the last 24 hours"),
    ("7d", "the last 7 days"),
    ("30d", "the last 30 days"),
    ("90d", "the last 90 days"),
    ("12m", "the last 12 months"),
];
/// That of somebody who says none.
const USUAL: &str = "7d";

/// The moments that may be typed instead.
pub const FROM: Field = Field {
    name: "from",
    label: "From",
    hint: "Counts instead of the choice above, in the zone of this form.",
    kind: Kind::Time,
};
pub const TO: Field = Field { name: "to", label: "Until", hint: "Empty: until now.", kind: Kind::Time };

/// How long the spans of a curve are: its name in the API, word, and seconds, of months about.
#[derive(Debug, PartialEq, Eq)]
pub struct Step {
    /// As the API calls it.
    pub name: &'static str,
    /// Behind "by".
    pub word: &'static str,
    seconds: i64,
}

/// From the shortest on.
pub static STEPS: [Step; 5] = [
    Step { name: "quarter", word: "quarter of an hour", seconds: 900 },
    Step { name: "hour", word: "hour", seconds: HOUR },
    Step { name: "day", word: "day", seconds: DAY },
    Step { name: "week", word: "week", seconds: 7 * DAY },
    Step { name: "month", word: "month", seconds: 30 * DAY },
];

/// From when on, and before when: as the API writes moments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// Its beginning.
    pub from: String,
    /// Its end.
    pub until: String,
}

/// The time of a page.
#[derive(Clone, Debug)]
pub struct Period {
    /// Which of [`RANGES`] it is; empty: it was typed.
    pub name: &'static str,
    /// The name of the zone, as the API takes it.
    pub zone: String,
    /// The time that is counted.
    pub now: Range,
    /// Whether it ends now, and not at a time that was typed.
    pub ends_now: bool,
    /// As much time before it.
    pub before: Range,
    /// How long the spans of the curve are.
    pub step: &'static Step,
    /// Spans of the length that was asked for would be too many.
    pub coarser: bool,
}

impl Period {
    /// What an address says.
    ///
    /// # Errors
    /// The first field that says what cannot be.
    pub fn read(query: &Pairs, now: Timestamp) -> Result<Self, Refusal> {
        let zone = fields::zone(query)?;
        let name = RANGES.iter().map(|(name, _)| *name).find(|name| *name == query.get("last"));
        let name = name.unwrap_or(USUAL);
        let typed = |field: &Field| -> Result<Option<Timestamp>, Refusal> {
            let value = field.value(query.get(field.name), &zone)?;
            Ok(value.as_str().and_then(|text| text.parse().ok()))
        };
        let bounds = match (typed(&FROM)?, typed(&TO)?) {
            (None, None) => Bounds::ending_now(name, now.to_zoned_datetime(zone.clone())),
            (from, to) => Bounds::typed(from, to.unwrap_or(now), name, &zone),
        };
        let beyond = |_: Error| Refusal::of_field("from", "from is of a year that no clicks can be of");
        let bounds = bounds.map_err(beyond)?;
        let seconds = bounds.until.timestamp().as_second() - bounds.from.timestamp().as_second();
        if seconds <= 0 {
            return Err(Refusal::of_field("from", "from is not before until"));
        }
        let asked = STEPS.iter().find(|step| step.name == query.get("by"));
        let wanted = asked.unwrap_or_else(|| usual(bounds.name, seconds));
        let fits = |step: &&Step| step.seconds >= wanted.seconds && seconds / step.seconds < MOST_SPANS;
        let step = STEPS.iter().find(fits).unwrap_or(&STEPS[4]);
        let earlier = |end: &ZonedDateTime| end.checked_sub(bounds.length).map(|end| shown(&end));
        Ok(Self {
            name: bounds.name,
            ends_now: query.get(TO.name).is_empty(),
            zone: zone.iana_name().unwrap_or("UTC").to_owned(),
            now: Range { from: shown(&bounds.from), until: shown(&bounds.until) },
            before: Range {
                from: earlier(&bounds.from).map_err(beyond)?,
                until: earlier(&bounds.until).map_err(beyond)?,
            },
            step,
            coarser: asked.is_some_and(|asked| asked != step),
        })
    }

    /// What time it is, behind a number of clicks.
    pub fn words(&self) -> String {
        match RANGES.iter().find(|(name, _)| *name == self.name) {
            Some(("today", word)) => (*word).to_owned(),
            Some((_, word)) => format!("in {word}"),
            None => {
                let zone = TimeZone::get(&self.zone).unwrap_or(TimeZone::UTC);
                let Range { from, until } = &self.now;
                format!("from {} until {}", fields::in_zone(from, &zone), fields::in_zone(until, &zone))
            }
        }
    }
}

/// The fields for moments that are typed.
pub fn fields(query: &Pairs, wrong: Option<&Refusal>) -> Markup {
    let typed: Typed = fields::typed(&[FROM, TO], query);
    maud::html! { (FROM.show(&typed, wrong)) (TO.show(&typed, wrong)) }
}

struct Bounds {
    name: &'static str,
    from: ZonedDateTime,
    until: ZonedDateTime,
    /// So much earlier the range before it is.
    length: Span,
}

impl Bounds {
    /// Whole hours, days or months, the last of which has begun: so the range before it is cut at the same place.
    fn ending_now(name: &'static str, until: ZonedDateTime) -> Result<Self, Error> {
        let today = until.start_of_day();
        let (from, length) = match name {
            "today" => (today?, 1.days()),
            "24h" => (hour(&until)?.checked_sub(23.hours())?, 24.hours()),
            "30d" => (today?.checked_sub(29.days())?, 30.days()),
            "90d" => (today?.checked_sub(89.days())?, 90.days()),
            "12m" => (today?.first_of_month()?.checked_sub(11.months())?, 12.months()),
            _ => (today?.checked_sub(6.days())?, 7.days()),
        };
        Ok(Self { name, from, until, length })
    }

    /// Without a beginning it is as long as a range that ends now would be.
    fn typed(
        from: Option<Timestamp>,
        to: Timestamp,
        name: &'static str,
        zone: &TimeZone,
    ) -> Result<Self, Error> {
        let until = to.to_zoned_datetime(zone.clone());
        let from = match from {
            Some(from) => from.to_zoned_datetime(zone.clone()),
            None => Self::ending_now(name, until.clone())?.from,
        };
        // In days of the zone: clocks are put forward and back.
        let length = from.until((Unit::Day, &until))?;
        Ok(Self { name: "", from, until, length })
    }
}

/// The beginning of the hour of its clocks.
fn hour(at: &ZonedDateTime) -> Result<ZonedDateTime, Error> {
    let seconds = at.timestamp().as_second();
    let local = seconds + i64::from(at.offset().seconds());
    let begins = Timestamp::from_second(seconds - local.rem_euclid(HOUR))?;
    Ok(begins.to_zoned_datetime(at.time_zone().clone()))
}

fn usual(name: &str, seconds: i64) -> &'static Step {
    let at = match (name, seconds) {
        ("today" | "24h", _) => 1,
        ("12m", _) => 4,
        ("", ..=10_800) => 0,
        ("", ..=172_800) => 1,
        ("", seconds) if seconds > 800 * DAY => 4,
        ("", seconds) if seconds > 100 * DAY => 3,
        _ => 2,
    };
    &STEPS[at]
}

fn shown(at: &ZonedDateTime) -> String {
    at.timestamp().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sunday, 14:30:10 in Berlin, where the clocks were put back in the night before.
    const NOW: &str = "2026-10-25T13:30:10Z";

    fn read(query: &str) -> Result<Period, Refusal> {
        Period::read(&Pairs::parse(query.as_bytes()), NOW.parse().unwrap())
    }

    fn check(query: &str, step: &str, now: [&str; 2], before: [&str; 2]) {
        let period = read(query).unwrap();
        let range = |[from, until]: [&str; 2]| Range { from: from.to_owned(), until: until.to_owned() };
        assert_eq!(
            (period.step.name, period.now, period.before),
            (step, range(now), range(before)),
            "{query}"
        );
    }

    #[test]
    fn a_range_that_ends_now_begins_with_whole_days_of_the_zone() {
        let berlin = "zone=Europe/Berlin";
        check(
            berlin,
            "day",
            ["2026-10-18T22:00:00Z", "2026-10-25T13:30:10Z"],
            ["2026-10-11T22:00:00Z", "2026-10-18T12:30:10Z"],
        );
        check(
            &format!("{berlin}&last=24h"),
            "hour",
            ["2026-10-24T14:00:00Z", "2026-10-25T13:30:10Z"],
            ["2026-10-23T14:00:00Z", "2026-10-24T13:30:10Z"],
        );
        check(
            &format!("{berlin}&last=12m&by=week"),
            "week",
            ["2025-10-31T23:00:00Z", "2026-10-25T13:30:10Z"],
            ["2024-10-31T23:00:00Z", "2025-10-25T12:30:10Z"],
        );
        check(
            &format!("{berlin}&last=today"),
            "hour",
            ["2026-10-24T22:00:00Z", "2026-10-25T13:30:10Z"],
            ["2026-10-23T22:00:00Z", "2026-10-24T12:30:10Z"],
        );
        check(
            "last=none",
            "day",
            ["2026-10-19T00:00:00Z", "2026-10-25T13:30:10Z"],
            ["2026-10-12T00:00:00Z", "2026-10-18T13:30:10Z"],
        );
        check(
            "zone=Asia/Kolkata&last=24h",
            "hour",
            ["2026-10-24T14:30:00Z", "2026-10-25T13:30:10Z"],
            ["2026-10-23T14:30:00Z", "2026-10-24T13:30:10Z"],
        );
    }

    #[test]
    fn typed_moments_are_of_the_zone_and_as_much_time_is_before_them() {
        check(
            "zone=Europe/Berlin&from=2026-10-25T00:00&to=2026-10-26T00:00",
            "hour",
            ["2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"],
            ["2026-10-23T22:00:00Z", "2026-10-24T22:00:00Z"],
        );
        check(
            "from=2026-10-25T12:00",
            "quarter",
            ["2026-10-25T12:00:00Z", "2026-10-25T13:30:10Z"],
            ["2026-10-25T10:29:50Z", "2026-10-25T12:00:00Z"],
        );
        check(
            "to=2026-10-20T00:00",
            "day",
            ["2026-10-14T00:00:00Z", "2026-10-20T00:00:00Z"],
            ["2026-10-08T00:00:00Z", "2026-10-14T00:00:00Z"],
        );
    }

    #[test]
    fn spans_that_would_be_too_many_are_longer() {
        let long = read("last=90d&by=quarter").unwrap();
        assert_eq!((long.step.name, long.coarser), ("day", true));
        let short = read("last=7d&by=quarter").unwrap();
        assert_eq!((short.step.name, short.coarser), ("quarter", false));
        assert_eq!(short.words(), "in the last 7 days");
        assert_eq!(read("last=today").unwrap().words(), "today");
        let typed = read("zone=Europe/Berlin&from=2026-10-20T12:00&to=2026-10-21T00:00").unwrap();
        assert_eq!(
            typed.words(),
            "from 2026-10-20 12:00:00 Europe/Berlin until 2026-10-21 00:00:00 Europe/Berlin"
        );
        assert_eq!(read("from=1971-01-01T00:00&by=hour").unwrap().step.name, "month");
    }

    #[test]
    fn what_is_no_time_is_refused_beside_its_field() {
        for (query, field) in [
            ("from=Friday", "from"),
            ("to=Friday", "to"),
            ("from=2026-10-25T12:00&to=2026-10-25T12:00", "from"),
            ("zone=Europe/Bonn", "zone"),
        ] {
            assert_eq!(read(query).unwrap_err().field.as_deref(), Some(field), "{query}");
        }
    }
}
