//! What people look at: lists, links, clicks and the rest of the pages, and the calls of REST that say the same. Nothing is
//! asked here.

use crate::redis::row;
use clap::Args;
use prost_types::Timestamp;
use services::Random;
use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds that a page of a list of links may take, and its call of REST.
const LIST: f64 = 50.0;
/// The same of the clicks of one link.
const CLICKS: f64 = 100.0;
const DAY: i64 = 86_400;
/// Of the links with a rare tag.
const RARE: usize = 1_000;

/// What there is to look at.
#[derive(Clone, Copy, Debug, Args)]
pub struct Stock {
    /// How many links there are
    #[arg(long, default_value_t = 1_000_000, value_name = "N")]
    pub links: usize,
    /// For how many days there are clicks; the links were made in this time, too
    #[arg(long, default_value_t = 90, value_name = "N")]
    pub days: i64,
}

impl Stock {
    /// The columns of a link in an import: code, target, tags, when it was made.
    pub fn row(&self, link: usize) -> [String; 4] {
        let (code, target) = row(link);
        let half = if link.is_multiple_of(2) { "even" } else { "odd" };
        let tags = format!("{half},{}", self.rare_tag(link));
        // In no order of the codes.
        let age = (link as i64).wrapping_mul(7_919_777).rem_euclid(self.days * DAY);
        [code, target, tags, time(now() - age)]
    }

    /// The tag of some thousand links, among them this one.
    fn rare_tag(&self, link: usize) -> String {
        format!("campaign-{}", link % (self.links / RARE).max(1))
    }

    fn code(&self, random: &mut Random) -> String {
        row(random.below(self.links)).0
    }
}

/// One kind of view.
pub struct View {
    /// As it is told.
    pub name: &'static str,
    /// Milliseconds that it may take; `None`: nothing is promised.
    pub most: Option<f64>,
    /// The address of one.
    pub address: fn(&Stock, &mut Random) -> Asked,
    /// How often people look at it, beside the others.
    share: usize,
}

/// The addresses of a view: as a page, and as the call of REST that says the same, if one does.
pub struct Asked {
    /// The page.
    pub page: String,
    /// The call.
    pub call: Option<String>,
}

const fn list(name: &'static str, share: usize, address: fn(&Stock, &mut Random) -> Asked) -> View {
    View { name, most: Some(LIST), address, share }
}

const fn clicks(name: &'static str, share: usize, address: fn(&Stock, &mut Random) -> Asked) -> View {
    View { name, most: Some(CLICKS), address, share }
}

const fn other(name: &'static str, share: usize, address: fn(&Stock, &mut Random) -> Asked) -> View {
    View { name, most: None, address, share }
}

/// All of them.
pub static VIEWS: [View; 23] = [
    list("links by code", 10, |_, _| Listed::default().asked()),
    list("codes that begin with …", 5, |stock, random| {
        let mut begins = stock.code(random);
        begins.truncate(5);
        Listed { begins, ..Listed::default() }.asked()
    }),
    list("newest", 5, |_, _| Listed { order: "create_time desc", ..Listed::default() }.asked()),
    list("latest change", 2, |_, _| Listed { order: "update_time desc", ..Listed::default() }.asked()),
    list("a tag of half of them", 2, |_, _| Listed { tag: "even".into(), ..Listed::default() }.asked()),
    list("a tag of a thousand", 5, |stock, random| {
        Listed { tag: stock.rare_tag(random.below(stock.links)), ..Listed::default() }.asked()
    }),
    list("a tag of half, newest", 2, |_, _| {
        Listed { tag: "odd".into(), order: "create_time desc", ..Listed::default() }.asked()
    }),
    list("a tag of a thousand, latest change", 2, |stock, random| {
        let tag = stock.rare_tag(random.below(stock.links));
        Listed { tag, order: "update_time desc", ..Listed::default() }.asked()
    }),
    list("made on a day, newest", 2, |stock, random| {
        Listed { filter: day(stock, random), order: "create_time desc", ..Listed::default() }.asked()
    }),
    list("made on a day, by code", 0, |stock, random| {
        Listed { filter: day(stock, random), ..Listed::default() }.asked()
    }),
    clicks("clicks of the link, 24 hours", 2, |_, _| Counted::new("24h", 1, "hour").asked()),
    clicks("clicks of the link, 7 days", 10, |_, _| Counted::new("", 7, "hour").asked()),
    clicks("clicks of the link, 30 days", 5, |_, _| Counted::new("30d", 30, "day").asked()),
    clicks("clicks of the link, 90 days", 2, |_, _| Counted::new("90d", 90, "day").asked()),
    clicks("clicks of the link, a year", 2, |_, _| Counted::new("12m", 365, "month").asked()),
    clicks("the same of one country, 30 days", 2, |_, _| {
        Counted { country: "AB", ..Counted::new("30d", 30, "browser") }.asked()
    }),
    clicks("clicks of another link, 30 days", 5, |stock, random| {
        Counted { code: stock.code(random), ..Counted::new("30d", 30, "referrer") }.asked()
    }),
    other("clicks of the domain, 7 days", 8, |_, _| page("/ui/clicks")),
    other("clicks of the domain, 90 days", 2, |_, _| page("/ui/clicks?last=90d")),
    other("a link", 15, |stock, random| page(&format!("/ui/link?code={}", stock.code(random)))),
    other("the form of a link", 5, |stock, random| {
        page(&format!("/ui/link/edit?code={}", stock.code(random)))
    }),
    other("the history of a link", 2, |stock, random| {
        page(&format!("/ui/link/history?code={}", stock.code(random)))
    }),
    other("the fleet", 5, |_, _| page("/ui/fleet")),
];

/// The address of a page, as people choose them.
pub fn draw(stock: &Stock, random: &mut Random) -> String {
    let mut at = random.below(VIEWS.iter().map(|view| view.share).sum::<usize>());
    let drawn = VIEWS.iter().find(|view| {
        let is_it = at < view.share;
        at = at.saturating_sub(view.share);
        is_it
    });
    (drawn.unwrap_or(&VIEWS[0]).address)(stock, random).page
}

/// The links that were made on one day, as a filter.
fn day(stock: &Stock, random: &mut Random) -> String {
    let from = now() - DAY * random.between(2, stock.days.unsigned_abs().max(2)).cast_signed();
    format!("create_time >= \"{}\" AND create_time < \"{}\"", time(from), time(from + DAY))
}

fn page(path: &str) -> Asked {
    Asked { page: path.to_owned(), call: None }
}

/// A list of links.
#[derive(Default)]
struct Listed {
    begins: String,
    tag: String,
    order: &'static str,
    filter: String,
}

impl Listed {
    fn asked(self) -> Asked {
        let Self { begins, tag, order, filter } = self;
        let fields = [("begins", &*begins), ("tag", &*tag), ("order", order), ("filter", &*filter)];
        let mut all = Vec::new();
        if !begins.is_empty() {
            all.push(format!("code = \"{begins}*\""));
        }
        if !tag.is_empty() {
            all.push(format!("tags:\"{tag}\""));
        }
        if !filter.is_empty() {
            all.push(filter.clone());
        }
        let filter = all.join(" AND ");
        let call = address("/v1/links", &[("page_size", "50"), ("order_by", order), ("filter", &filter)]);
        Asked { page: address("/ui/links", &fields), call: Some(call) }
    }
}

/// Clicks of one link: of that which has most, unless another one is named.
struct Counted {
    code: String,
    last: &'static str,
    days: i64,
    by: &'static str,
    country: &'static str,
}

impl Counted {
    fn new(last: &'static str, days: i64, by: &'static str) -> Self {
        // The first of an import into an empty store has the first uid.
        Self { code: row(0).0, last, days, by, country: "" }
    }

    fn asked(self) -> Asked {
        let Self { code, last, days, by, country } = self;
        let (until, from) = (time(now()), time(now() - days * DAY));
        let page = address("/ui/clicks", &[("code", &*code), ("last", last), ("country", country)]);
        let parameters =
            [("start_time", &*from), ("end_time", &*until), ("group_by", by), ("countries", country)];
        Asked { page, call: Some(address(&format!("/v1/links/{code}:clicks"), &parameters)) }
    }
}

/// A path with its parameters but for those that are empty.
fn address(path: &str, parameters: &[(&str, &str)]) -> String {
    let given = parameters.iter().filter(|(_, value)| !value.is_empty());
    let all: Vec<String> = given.map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    if all.is_empty() { path.to_owned() } else { format!("{path}?{}", all.join("&")) }
}

/// Letters, digits and the like as they are, everything else percent-encoded.
pub fn encoded(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
    text.bytes()
        .map(|byte| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// Unix seconds.
fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs().cast_signed()
}

/// As the API writes a time.
fn time(seconds: i64) -> String {
    Timestamp { seconds, nanos: 0 }.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_asked_for_alike_as_a_page_and_by_rest() {
        let listed = Listed {
            begins: "c0".into(),
            tag: "a b".into(),
            order: "create_time desc",
            filter: "disabled = true".into(),
        };
        let Asked { page, call } = listed.asked();
        assert_eq!(
            page,
            "/ui/links?begins=c0&tag=a%20b&order=create_time%20desc&filter=disabled%20%3D%20true"
        );
        let filter = "code%20%3D%20%22c0%2A%22%20AND%20tags%3A%22a%20b%22%20AND%20disabled%20%3D%20true";
        let want = format!("/v1/links?page_size=50&order_by=create_time%20desc&filter={filter}");
        assert_eq!(call.unwrap(), want);
        assert_eq!(Listed::default().asked().page, "/ui/links");
    }

    #[test]
    fn people_look_at_every_page_that_has_a_share() {
        let (stock, mut random) = (Stock { links: 5_000, days: 90 }, Random::new(1));
        let drawn: Vec<String> = (0..2_000).map(|_| draw(&stock, &mut random)).collect();
        for part in
            ["/ui/links", "begins=c0", "tag=campaign-", "create_time", "/ui/link?", "last=12m", "fleet"]
        {
            assert!(drawn.iter().any(|address| address.contains(part)), "{part}");
        }
        let [code, _, tags, _] = stock.row(7);
        assert_eq!((code, tags), ("c0000007".to_owned(), "odd,campaign-2".to_owned()));
    }
}
