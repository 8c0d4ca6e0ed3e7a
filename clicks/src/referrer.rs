//! Where a click came from: the host of its `Referer`, or a name for a group of hosts.

mod groups;

use crate::bounded::{Allowance, Bounded};
use groups::{COUNTRIES, DOMAINS};
use std::collections::HashMap;
use std::sync::Arc;

/// Hosts of no group that are remembered: 8,192.
const SETS: usize = 1 << 10;
/// Hosts of no group that are let in at once; then one a second, 86,400 a day. The rest are [`OTHER`].
const NEW_HOSTS: u32 = 4_096;
/// The longest name of a host (RFC 1035, section 2.3.4).
const MOST_HOST: usize = 253;

/// What a host is called that is new when too many are, and what is no host.
const OTHER: &str = "other";
/// What the hosts of somebody's own network are called: outside of it, their names say nothing.
const LOCAL: &str = "local";
/// What a host is called that is an address: those of people are kept nowhere.
const ADDRESS: &str = "address";

/// Names of referrers, bounded under a flood of new ones. Names of groups have a capital and the three words above no dot, so
/// that none is a host.
pub(crate) struct Referrers {
    /// The name of each group, by a domain whose hosts belong to it.
    domains: HashMap<&'static str, Arc<str>>,
    /// The same by a label, of those that have a domain in each country.
    countries: HashMap<&'static str, Arc<str>>,
    none: Arc<str>,
    other: Arc<str>,
    local: Arc<str>,
    address: Arc<str>,
    seen: Bounded<Arc<str>>,
    new: Allowance,
}

impl Referrers {
    pub(crate) fn new() -> Self {
        Self {
            domains: DOMAINS.iter().map(|group| (group.domain, group.name.into())).collect(),
            countries: COUNTRIES.iter().map(|group| (group.domain, group.name.into())).collect(),
            none: "".into(),
            other: OTHER.into(),
            local: LOCAL.into(),
            address: ADDRESS.into(),
            seen: Bounded::new(SETS),
            new: Allowance::new(NEW_HOSTS),
        }
    }

    /// The name for the referrer with this number (0: there is none), whose host, as it was sent, is what `text` gives.
    pub(crate) fn name<'a>(
        &mut self,
        number: u64,
        text: impl FnOnce() -> Option<&'a [u8]>,
        now: i64,
    ) -> Arc<str> {
        if number == 0 {
            return self.none.clone();
        }
        if let Some(name) = self.seen.get(number) {
            return name.clone();
        }
        let Some(text) = text() else { return self.other.clone() };
        let name = match read(text) {
            Referrer::None => self.none.clone(),
            Referrer::Other => self.other.clone(),
            Referrer::Local => self.local.clone(),
            Referrer::Address => self.address.clone(),
            Referrer::Host(host) => match self.group(&host) {
                Some(name) => name,
                None if self.new.take(now) => host.into(),
                None => return self.other.clone(),
            },
        };
        self.seen.put(number, name.clone());
        name
    }

    fn group(&self, host: &str) -> Option<Arc<str>> {
        let mut rest = host;
        loop {
            if let Some(name) = self.domains.get(rest) {
                return Some(name.clone());
            }
            let (label, ending) = rest.split_once('.')?;
            if is_of_a_country(ending)
                && let Some(name) = self.countries.get(label)
            {
                return Some(name.clone());
            }
            rest = ending;
        }
    }
}

/// Whether a domain is one under which a country's names are given out, or the general one: `de`, `co.uk`, `com.br`, `com`.
fn is_of_a_country(ending: &str) -> bool {
    match ending.split_once('.') {
        None => ending.len() == 2 || ending == "com",
        Some((kind, country)) => matches!(kind, "co" | "com") && country.len() == 2,
    }
}

enum Referrer {
    None,
    Other,
    Local,
    Address,
    /// In lower case, without `www.`, port and final dot.
    Host(String),
}

/// Reads the host of a `Referer` as it was sent.
fn read(text: &[u8]) -> Referrer {
    let text = text.trim_ascii();
    let text = text.rsplit(|byte| *byte == b'@').next().unwrap_or_default();
    if text.is_empty() {
        return Referrer::None;
    }
    if text[0] == b'[' {
        return Referrer::Address;
    }
    let host = text.split(|byte| *byte == b':').next().unwrap_or_default().to_ascii_lowercase();
    let Ok(host) = String::from_utf8(host) else { return Referrer::Other };
    let host = host.strip_suffix('.').unwrap_or(&host);
    let host = host.strip_prefix("www.").unwrap_or(host);
    let is_name = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    if host.len() > MOST_HOST || !host.split('.').all(is_name) {
        return Referrer::Other;
    }
    // The host parser of the URL Standard takes each for an IPv4 address whose last label is a number.
    let last = host.rsplit('.').next().unwrap_or_default();
    if last.starts_with(|letter: char| letter.is_ascii_digit()) {
        Referrer::Address
    } else if last == host
        || matches!(last, "local" | "localdomain" | "internal" | "intranet" | "lan" | "home")
    {
        Referrer::Local
    } else {
        Referrer::Host(host.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> String {
        Referrers::new().name(1, || Some(text.as_bytes()), 0).as_ref().to_owned()
    }

    #[test]
    fn hosts_of_a_group_have_its_name() {
        for (host, name) in [
            ("t.co", "X"),
            ("m.facebook.com", "Facebook"),
            ("WWW.Facebook.com:443", "Facebook"),
            ("l.instagram.com", "Instagram"),
            ("www.google.com", "Google"),
            ("google.co.uk", "Google"),
            ("mail.google.com", "Gmail"),
            ("plus.url.google.com", "Google"),
            ("com.google.android.gm", "Gmail"),
            ("us-mg5.mail.yahoo.com", "Yahoo Mail"),
            ("yandex.ru", "Yandex"),
            ("news.ycombinator.com", "Hacker News"),
        ] {
            assert_eq!(of(host), name, "{host}");
        }
    }

    #[test]
    fn other_hosts_are_themselves() {
        for (host, name) in [
            ("www.nasa.gov", "nasa.gov"),
            ("forecast.weather.gov.", "forecast.weather.gov"),
            ("user:pass@Example.org:8080", "example.org"),
            ("notfacebook.com", "notfacebook.com"),
            ("google.evil.example", "google.evil.example"),
            ("google.com.evil.example", "google.com.evil.example"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ] {
            assert_eq!(of(host), name, "{host}");
        }
    }

    #[test]
    fn addresses_and_names_of_own_networks_are_not_told_apart() {
        for (host, name) in [
            ("192.0.2.1", ADDRESS),
            ("192.0.2.1:8080", ADDRESS),
            ("[2001:db8::1]:80", ADDRESS),
            ("0x7f.1", ADDRESS),
            ("3221225985", ADDRESS),
            ("host.0x7f", ADDRESS),
            ("intranet2", LOCAL),
            ("localhost:3000", LOCAL),
            ("wiki.corp.internal", LOCAL),
            ("", ""),
            ("..", OTHER),
            ("a b.example", OTHER),
            ("b\u{fc}cher.example", OTHER),
        ] {
            assert_eq!(of(host), name, "{host}");
        }
        assert_eq!(of(&"a.".repeat(200)), OTHER);
        assert_eq!(&*Referrers::new().name(0, || None, 0), "");
        assert_eq!(&*Referrers::new().name(1, || None, 0), OTHER);
    }

    #[test]
    fn a_flood_of_hosts_is_one_name_after_a_while() {
        let mut referrers = Referrers::new();
        let mut names = std::collections::HashSet::new();
        let known = referrers.name(u64::MAX, || Some(b"nasa.gov"), 0);
        for number in 1..200_000_u64 {
            let host = format!("{number}.example");
            let hash = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            names.insert(referrers.name(hash, || Some(host.as_bytes()), 0));
            if number % 1_000 == 0 {
                assert_eq!(referrers.name(u64::MAX, || None, 0), known);
            }
        }
        assert_eq!(names.len(), NEW_HOSTS as usize - 1 + 1);
        assert!(names.contains(OTHER));
        assert_eq!(&*referrers.name(3, || Some(b"facebook.com"), 0), "Facebook");
        assert_eq!(&*referrers.name(5, || Some(b"late.example"), 2_000), "late.example");
    }

    #[test]
    fn groups_are_named_unlike_hosts() {
        for group in DOMAINS.iter().chain(COUNTRIES) {
            assert!(group.name.contains(|letter: char| letter.is_ascii_uppercase()), "{}", group.name);
            assert_eq!(group.domain, group.domain.to_ascii_lowercase());
        }
        assert_eq!(Referrers::new().domains.len(), DOMAINS.len());
    }
}
