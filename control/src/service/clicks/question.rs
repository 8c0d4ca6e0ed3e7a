//! What a request about counts of clicks asks for, read once. No store is asked here.

use super::spans::{QUARTER, Step, Zone};
use crate::Fault;
use crate::service::draft;
use clicks::ask::{ClickFilter, ClickGroup};
use clicks::{Country, Device, Kind, Language};
use prost_types::Timestamp;
use proto::v1;
use std::sync::Arc;
use store::port::clicks::SplitQuestion;

/// Milliseconds of a day.
pub const DAY: i64 = 86_400_000;
/// What is counted where nobody says from when on.
const USUAL: i64 = 7 * DAY;
/// Groups of one answer, and those where nobody says how many.
const ROWS: i32 = 1_000;
const USUAL_ROWS: i32 = 100;
/// Times of the years 1970 to 9999.
const TIMES: std::ops::RangeInclusive<i64> = 0..=253_402_300_799_999;

/// A question, as far as it does not depend on which links it is about.
#[derive(Clone, Debug)]
pub struct Inquiry {
    /// From when on, in Unix milliseconds: the beginning of a quarter of an hour.
    pub from: i64,
    /// Before when: the end of one.
    pub until: i64,
    /// Of the days, and of the times in the answer.
    pub zone: Zone,
    /// What the counts are split by.
    pub groups: Vec<ClickGroup>,
    /// Where the spans begin; none where it is not split by time.
    pub times: Vec<i64>,
    /// Which clicks are counted.
    pub filter: ClickFilter,
    /// Which kinds of them.
    pub kinds: Vec<Kind>,
    /// Rows of the answer.
    pub limit: usize,
    /// What the same clicks are split by besides.
    pub splits: Vec<Split>,
}

/// A split that is counted beside another.
#[derive(Clone, Debug)]
pub struct Split {
    /// As it was asked for.
    pub name: String,
    /// What it is split by.
    pub group: ClickGroup,
    /// Which clicks are counted: of other kinds, where it is split by them and none were named.
    pub filter: ClickFilter,
}

impl Split {
    /// As the store is asked.
    pub fn question(&self, most: usize) -> SplitQuestion {
        SplitQuestion { filter: self.filter.clone(), groups: vec![self.group], most }
    }
}

/// A time that is asked about, in Unix milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// Its beginning.
    pub from: i64,
    /// Before when.
    pub until: i64,
}

/// The question about one link as one about a domain, but for its splits.
fn of_link(request: &v1::QueryLinkClicksRequest) -> v1::QueryClicksRequest {
    let request = request.clone();
    v1::QueryClicksRequest {
        parent: String::new(),
        tag: String::new(),
        start_time: request.start_time,
        end_time: request.end_time,
        zone: request.zone,
        group_by: request.group_by,
        kinds: request.kinds,
        countries: request.countries,
        browsers: request.browsers,
        oses: request.oses,
        devices: request.devices,
        referrers: request.referrers,
        languages: request.languages,
        limit: request.limit,
        uids: Vec::new(),
    }
}

impl Inquiry {
    /// What a request says; `now` is in Unix milliseconds.
    ///
    /// # Errors
    /// The first field that says what cannot be.
    pub fn parse(request: &v1::QueryClicksRequest, now: i64) -> Result<Self, Fault> {
        let Range { from, until } = range(request.start_time.as_ref(), request.end_time.as_ref(), now)?;
        let zone = Zone::named(&request.zone)?;
        let (groups, step) = groups(&request.group_by)?;
        let times = step.map_or_else(|| Ok(Vec::new()), |step| zone.spans(step, from, until))?;
        let by_kind = groups.contains(&ClickGroup::Kind);
        let kinds = match known_kinds(&request.kinds)? {
            kinds if !kinds.is_empty() => kinds,
            _ if by_kind => Kind::ALL.to_vec(),
            _ => vec![Kind::Human],
        };
        let filter = ClickFilter {
            kinds: kinds.clone(),
            countries: each(&request.countries, "countries", country)?,
            browsers: each(&request.browsers, "browsers", text)?,
            oses: each(&request.oses, "oses", text)?,
            devices: each(&request.devices, "devices", device)?,
            referrers: each(&request.referrers, "referrers", text)?,
            languages: each(&request.languages, "languages", language)?,
        };
        let limit = limit(request.limit, USUAL_ROWS, ROWS)?;
        Ok(Self { from, until, zone, groups, times, filter, kinds, limit, splits: Vec::new() })
    }

    /// What a request about one link says.
    ///
    /// # Errors
    /// As [`Inquiry::parse`].
    pub fn of_link(request: &v1::QueryLinkClicksRequest, now: i64) -> Result<Self, Fault> {
        let mut inquiry = Self::parse(&of_link(request), now)?;
        let all_kinds = ClickFilter { kinds: Kind::ALL.to_vec(), ..inquiry.filter.clone() };
        for name in &request.splits {
            let group = Self::split_by(name)?;
            let is_of_all = group == ClickGroup::Kind && request.kinds.is_empty();
            let filter = if is_of_all { &all_kinds } else { &inquiry.filter };
            inquiry.splits.push(Split { name: name.clone(), group, filter: filter.clone() });
        }
        Ok(inquiry)
    }

    /// What a split is by.
    fn split_by(name: &str) -> Result<ClickGroup, Fault> {
        let found = groups(std::slice::from_ref(&name.to_owned()))
            .ok()
            .and_then(|(groups, _)| groups.first().copied());
        found.filter(|group| !matches!(group, ClickGroup::Time | ClickGroup::Link)).ok_or_else(|| {
            let why = format!(
                "holds {name:?}, which is none: there are country, device, browser, os, referrer, language, kind"
            );
            Fault::invalid("splits", why)
        })
    }

    /// Where its spans begin, and the end of the last one; none where it is not split by time.
    pub fn boundaries(&self) -> Vec<i64> {
        let end = (!self.times.is_empty()).then_some(self.until);
        self.times.iter().copied().chain(end).collect()
    }

    /// Whether it asks for more than kinds.
    pub fn is_narrow(&self) -> bool {
        let ClickFilter { kinds: _, countries, browsers, oses, devices, referrers, languages } = &self.filter;
        let texts = [browsers, oses, referrers];
        !(countries.is_empty() && devices.is_empty() && languages.is_empty())
            || texts.iter().any(|texts| !texts.is_empty())
    }
}

/// How many are asked for.
pub fn limit(asked: i32, usual: i32, most: i32) -> Result<usize, Fault> {
    let limit = if asked == 0 { usual } else { asked.min(most) };
    usize::try_from(limit).map_err(|_| Fault::invalid("limit", "is negative"))
}

/// The time that is asked about, in whole quarters of an hour.
pub fn range(start: Option<&Timestamp>, end: Option<&Timestamp>, now: i64) -> Result<Range, Fault> {
    let until = draft::time("end_time", end)?.unwrap_or(now);
    let from = draft::time("start_time", start)?.unwrap_or_else(|| until.saturating_sub(USUAL).max(0));
    for (field, at) in [("end_time", until), ("start_time", from)] {
        if !TIMES.contains(&at) {
            return Err(Fault::invalid(field, "is of no year from 1970 to 9999"));
        }
    }
    if from >= until {
        return Err(Fault::invalid("start_time", "is not before end_time"));
    }
    let up = |at: i64| at + (-at).rem_euclid(QUARTER);
    Ok(Range { from: from - from.rem_euclid(QUARTER), until: up(until) })
}

/// Those that are named.
///
/// # Errors
/// The first name that is none.
pub fn known_kinds(names: &[String]) -> Result<Vec<Kind>, Fault> {
    each(names, "kinds", |name| {
        Kind::from_label(name).ok_or_else(|| {
            format!("hold {name:?}, which is none: there are {}", Kind::ALL.map(Kind::label).join(", "))
        })
    })
}

/// The same of links and of single clicks, of which there are no totals.
///
/// # Errors
/// The first name that is none, or that of a total.
pub fn single_kinds(names: &[String]) -> Result<Vec<Kind>, Fault> {
    let kinds = known_kinds(names)?;
    match kinds.iter().find(|kind| kind.is_total()) {
        None => Ok(kinds),
        Some(kind) => {
            let why = format!(
                "hold \"{}\", of which a domain has a total and nothing else: ask about the domain, or leave it out",
                kind.label()
            );
            Err(Fault::invalid("kinds", why))
        }
    }
}

/// What the counts are split by, and the length of the spans, where one of both is time.
fn groups(names: &[String]) -> Result<(Vec<ClickGroup>, Option<Step>), Fault> {
    let (mut groups, mut spans) = (Vec::new(), None);
    for name in names {
        let step = Step::named(name);
        let group = match (step, name.as_str()) {
            (Some(_), _) => ClickGroup::Time,
            (None, "country") => ClickGroup::Country,
            (None, "device") => ClickGroup::Device,
            (None, "browser") => ClickGroup::Browser,
            (None, "os") => ClickGroup::Os,
            (None, "referrer") => ClickGroup::Referrer,
            (None, "language") => ClickGroup::Language,
            (None, "kind") => ClickGroup::Kind,
            (None, "link") => ClickGroup::Link,
            (None, _) => {
                let why = format!(
                    "holds {name:?}, which is none: there are quarter, hour, day, week, month, country, device, browser, os, \
                     referrer, language, kind, link"
                );
                return Err(Fault::invalid("group_by", why));
            }
        };
        if groups.contains(&group) {
            return Err(Fault::invalid("group_by", "holds the same twice, or two lengths of time"));
        }
        groups.push(group);
        spans = spans.or(step);
    }
    match groups.len() {
        0..=2 => Ok((groups, spans)),
        _ => Err(Fault::invalid("group_by", "holds more than two")),
    }
}

fn each<T>(
    given: &[String],
    field: &'static str,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, Fault> {
    given.iter().map(|one| read(one).map_err(|why| Fault::invalid(field, why))).collect()
}

/// A text as it is kept; `-` is the empty one.
fn text(given: &str) -> Result<Arc<str>, String> {
    match given {
        "" => Err("hold an empty text: what is not known is -".to_owned()),
        "-" => Ok("".into()),
        text => Ok(text.into()),
    }
}

fn country(given: &str) -> Result<Country, String> {
    letters(given, u8::to_ascii_uppercase).map(Country)
}

fn language(given: &str) -> Result<Language, String> {
    letters(given, u8::to_ascii_lowercase).map(Language)
}

fn letters(given: &str, case: impl Fn(&u8) -> u8) -> Result<[u8; 2], String> {
    match given.as_bytes() {
        b"-" => Ok([0; 2]),
        [a, b] if a.is_ascii_alphabetic() && b.is_ascii_alphabetic() => Ok([case(a), case(b)]),
        _ => Err(format!("hold {given:?}, which is neither two letters nor -")),
    }
}

fn device(given: &str) -> Result<Device, String> {
    let label = if given == "-" { "" } else { given };
    let found = Device::ALL.into_iter().find(|device| device.label() == label && !given.is_empty());
    found.ok_or_else(|| format!("hold {given:?}, which is none: there are desktop, mobile, other and -"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&text| text.to_owned()).collect()
    }

    const NOW: i64 = 1_767_225_601_000; // 2026-01-01T00:00:01Z

    #[test]
    fn nothing_said_is_people_of_the_last_seven_days() {
        let asked = Inquiry::parse(&v1::QueryClicksRequest::default(), NOW).unwrap();
        assert_eq!((asked.until - NOW, asked.until - asked.from), (QUARTER - 1_000, USUAL + QUARTER));
        assert_eq!((&asked.kinds[..], asked.limit), (&[Kind::Human][..], 100));
        assert!(asked.groups.is_empty() && asked.times.is_empty() && !asked.is_narrow());
    }

    #[test]
    fn what_is_said_is_what_is_asked() {
        let request = v1::QueryClicksRequest {
            group_by: list(&["day", "kind"]),
            zone: "Europe/Berlin".into(),
            countries: list(&["de", "-"]),
            languages: list(&["EN"]),
            devices: list(&["mobile", "-"]),
            referrers: list(&["-", "a.example"]),
            limit: 5_000,
            ..v1::QueryClicksRequest::default()
        };
        let asked = Inquiry::parse(&request, NOW).unwrap();
        assert_eq!(asked.groups, [ClickGroup::Time, ClickGroup::Kind]);
        assert_eq!((asked.times.len(), asked.limit, asked.kinds.len()), (8, 1_000, 8));
        assert_eq!((asked.boundaries().len(), asked.boundaries()[8]), (9, asked.until));
        assert_eq!(asked.filter.countries, [Country(*b"DE"), Country::default()]);
        assert_eq!(asked.filter.languages, [Language(*b"en")]);
        assert_eq!(asked.filter.devices, [Device::Mobile, Device::Unknown]);
        assert!(asked.filter.referrers.iter().map(|own| &**own).eq(["", "a.example"]) && asked.is_narrow());
    }

    #[test]
    fn a_split_is_asked_for_as_if_it_were_alone() {
        let asked = |splits: &[&str], kinds: &[&str]| {
            let request = v1::QueryLinkClicksRequest {
                group_by: list(&["day"]),
                splits: list(splits),
                kinds: list(kinds),
                ..v1::QueryLinkClicksRequest::default()
            };
            Inquiry::of_link(&request, NOW)
        };
        let inquiry = asked(&["os", "kind"], &[]).unwrap();
        let [os, kind] = &inquiry.splits[..] else { panic!("there are two") };
        assert_eq!(
            (os.group, os.name.as_str(), &os.filter.kinds[..]),
            (ClickGroup::Os, "os", &[Kind::Human][..])
        );
        assert_eq!((kind.group, kind.filter.kinds.len()), (ClickGroup::Kind, 8));
        assert_eq!(asked(&["kind"], &["bot"]).unwrap().splits[0].filter.kinds, [Kind::Bot]);
        for wrong in ["day", "link", "class", ""] {
            assert_eq!(asked(&[wrong], &[]).unwrap_err().field(), Some("splits"), "{wrong}");
        }
    }

    #[test]
    fn a_total_is_no_kind_of_a_link_or_of_a_single_click() {
        assert_eq!(single_kinds(&list(&["bot", "head"])), Ok(vec![Kind::Bot, Kind::Head]));
        for wrong in [&["bot", "ignored"][..], &["off"], &["people"]] {
            assert_eq!(single_kinds(&list(wrong)).unwrap_err().field(), Some("kinds"), "{wrong:?}");
        }
        assert_eq!(known_kinds(&list(&["off"])), Ok(vec![Kind::Off]));
    }

    #[test]
    fn what_cannot_be_is_refused_by_its_field() {
        let of = |change: fn(&mut v1::QueryClicksRequest)| {
            let mut request = v1::QueryClicksRequest::default();
            change(&mut request);
            Inquiry::parse(&request, NOW).unwrap_err().field().map(str::to_owned).unwrap_or_default()
        };
        assert_eq!(of(|r| r.group_by = list(&["class"])), "group_by");
        assert_eq!(of(|r| r.group_by = list(&["day", "hour"])), "group_by");
        assert_eq!(of(|r| r.group_by = list(&["day", "kind", "os"])), "group_by");
        assert_eq!(of(|r| r.kinds = list(&["people"])), "kinds");
        assert_eq!(of(|r| r.countries = list(&["DEU"])), "countries");
        assert_eq!(of(|r| r.devices = list(&[""])), "devices");
        assert_eq!(of(|r| r.browsers = list(&[""])), "browsers");
        assert_eq!(of(|r| r.zone = "Berlin".into()), "zone");
        assert_eq!(of(|r| r.limit = -1), "limit");
        assert_eq!(
            of(|r| r.start_time = Some(Timestamp { seconds: NOW / 1_000 + 1_000, nanos: 0 })),
            "start_time"
        );
        assert_eq!(of(|r| r.start_time = Some(Timestamp { seconds: -5, nanos: 0 })), "start_time");
    }
}
