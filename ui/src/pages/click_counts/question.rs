//! What an address of the clicks pages asks for, as calls of REST and as addresses that ask for a little more or less. No call
//! is made here.

use super::period::{Period, Range};
use crate::api::{Call, domain_path, link_path};
use crate::form::{Pairs, href};
use crate::visit::Visit;

/// Where clicks are counted.
pub const PAGE: &str = "/ui/clicks";

/// What clicks are split by, and what only some of them may be asked for.
pub struct Dimension {
    /// In `group_by`, and in the address of a page.
    pub name: &'static str,
    /// The parameter of the API that narrows by it.
    pub parameter: &'static str,
    /// The heading of its table.
    pub title: &'static str,
    /// One of it.
    pub word: &'static str,
}

/// All of them, in the order of their tables.
pub static DIMENSIONS: [Dimension; 6] = [
    Dimension { name: "country", parameter: "countries", title: "Countries", word: "Country" },
    Dimension { name: "referrer", parameter: "referrers", title: "Referrers", word: "Referrer" },
    Dimension { name: "device", parameter: "devices", title: "Devices", word: "Device" },
    Dimension { name: "browser", parameter: "browsers", title: "Browsers", word: "Browser" },
    Dimension { name: "os", parameter: "oses", title: "Operating systems", word: "Operating system" },
    Dimension { name: "language", parameter: "languages", title: "Languages", word: "Language" },
];

/// The kinds that links have clicks of: as the API calls them, and what they are.
pub const KINDS: [(&str, &str); 6] = [
    ("human", "people"),
    ("repeat", "the same visitor again within 10 s"),
    ("bot", "bots"),
    ("preview", "previews of messengers"),
    ("prefetch", "fetched ahead by a browser"),
    ("head", "looks by HEAD"),
];
/// Kinds that only a domain has a total of.
const TOTALS: [(&str, &str); 2] =
    [("ignored", "of ignored addresses"), ("off", "not kept, since its stats are off")];
/// As the API calls a split by them.
pub const BY_KIND: &str = "kind";
/// Stands for every kind in an address.
pub const EVERY_KIND: &str = "all";

/// What a kind is.
pub fn kind_word(kind: &str) -> &str {
    let found = KINDS.iter().chain(&TOTALS).find(|(name, _)| *name == kind);
    found.map_or(kind, |(_, word)| word)
}

/// A question about clicks.
pub struct Question<'a> {
    visit: &'a Visit,
    /// The domain; `*`: each.
    pub domain: &'a str,
    /// Of this link alone; empty: of every one.
    pub code: &'a str,
    /// Of the links with this tag; empty: of every one.
    pub tag: &'a str,
    /// Of this time.
    pub period: Period,
}

impl<'a> Question<'a> {
    /// What the address of a visit says.
    pub fn of(visit: &'a Visit, period: Period) -> Self {
        let query = &visit.query;
        let code = query.get("code");
        let code = if code.len() > 1 { code.strip_prefix('/').unwrap_or(code) } else { code };
        let tag = if code.is_empty() { query.get("tag") } else { "" };
        Self { visit, domain: visit.domain(), code, tag, period }
    }

    fn query(&self) -> &'a Pairs {
        &self.visit.query
    }

    /// The kinds that are counted, as the API takes them: people alone where nobody says which.
    pub fn kinds(&self) -> String {
        match self.query().get("kind") {
            EVERY_KIND => KINDS.map(|(name, _)| name).join(","),
            kind => kind.to_owned(),
        }
    }

    /// Whose clicks they are, behind a number of them.
    pub fn of_whom(&self) -> String {
        match self.query().get("kind") {
            "" | "human" => "clicks of people".to_owned(),
            EVERY_KIND => "clicks of every kind".to_owned(),
            kind => format!("clicks: {}", kind_word(kind)),
        }
    }

    /// Whether the counts are of this kind alone.
    pub fn counts_only(&self, kind: &str) -> bool {
        let own = self.query().get("kind");
        kind == if own.is_empty() { "human" } else { own }
    }

    /// Whether only people are counted, and all of them: then visitors may be known.
    pub fn is_of_people(&self) -> bool {
        matches!(self.query().get("kind"), "" | "human") && self.narrowed().next().is_none()
    }

    /// What it is narrowed by, and to which value.
    pub fn narrowed(&self) -> impl Iterator<Item = (&'static Dimension, &'a str)> {
        let query = self.query();
        DIMENSIONS.iter().map(|own| (own, query.get(own.name))).filter(|(_, value)| !value.is_empty())
    }

    /// What the curve of one link is asked for with, so that all of it is counted in one read; empty: its tables are asked for
    /// one by one.
    pub fn splits(&self) -> String {
        if self.code.is_empty() {
            return String::new();
        }
        let dimensions = DIMENSIONS.iter().map(|own| own.name);
        // A table of kinds has all of them: where some were chosen it is a question of its own.
        let kind = self.kinds().is_empty().then_some(BY_KIND);
        dimensions.chain(kind).collect::<Vec<_>>().join(",")
    }

    /// The counts of a range, split by something, in a domain.
    pub fn counts(&self, domain: &str, range: &Range, by: &str, limit: &str) -> Call {
        self.counts_with(domain, range, (by, ""), limit)
    }

    /// The same with what they are split by besides, of a link.
    pub fn counts_with(&self, domain: &str, range: &Range, (by, splits): (&str, &str), limit: &str) -> Call {
        let kinds = if by == BY_KIND { String::new() } else { self.kinds() };
        let mut parameters = vec![
            ("start_time", range.from.as_str()),
            ("end_time", range.until.as_str()),
            ("zone", self.period.zone.as_str()),
            ("group_by", by),
            ("kinds", kinds.as_str()),
            ("limit", limit),
        ];
        parameters.extend(self.narrowed().map(|(own, value)| (own.parameter, value)));
        if !self.code.is_empty() {
            parameters.push(("splits", splits));
            return Call::get(&link_path(domain, self.code, ":clicks"), &parameters);
        }
        parameters.push(("tag", self.tag));
        Call::get(&domain_path(domain, "/clicks"), &parameters)
    }

    /// The codes that no link has.
    pub fn unknown(&self, limit: &str) -> Call {
        let Range { from, until } = &self.period.now;
        let parameters = [("start_time", from.as_str()), ("end_time", until.as_str()), ("limit", limit)];
        Call::get(&domain_path(self.domain, "/clicks:unknown"), &parameters)
    }

    /// Single clicks, in a form.
    pub fn single(&self, form: &'static str) -> Call {
        let (Range { from, until }, kinds) = (&self.period.now, self.kinds());
        // Up to the second in which it is asked some are left out: without an end it is the moment itself.
        let until = if self.period.ends_now { "" } else { until.as_str() };
        let kinds = if kinds.is_empty() { "human" } else { &kinds };
        let parameters =
            [("code", self.code), ("start_time", from.as_str()), ("end_time", until), ("kinds", kinds)];
        Call::get(&domain_path(self.domain, "/clicks:export"), &parameters).accepting(form)
    }

    /// Clicks as they come.
    pub fn live(&self) -> Call {
        let kinds = self.kinds();
        let kinds = if kinds.is_empty() { "human" } else { &kinds };
        let parameters = [("code", self.code), ("kinds", kinds)];
        Call::get(&domain_path(self.domain, "/clicks:watch"), &parameters)
    }

    /// The same page with another value for a name; empty: without it.
    pub fn way(&self, name: &str, value: &str) -> String {
        self.way_to(PAGE, name, value)
    }

    /// Another page about the same.
    pub fn way_to(&self, page: &str, name: &str, value: &str) -> String {
        let all = self.query().with("domain", self.domain).with(name, value);
        let all: Vec<(&str, &str)> = all.iter().collect();
        href(page, &all)
    }

    /// The same page of one link; `#7` is one that is gone.
    pub fn way_to_link(&self, code: &str) -> Option<String> {
        let known = !code.starts_with('#');
        known.then(|| {
            let all = self.query().with("domain", self.domain).with("tag", "").with("code", code);
            format!("{PAGE}?{}", all.encode())
        })
    }

    /// The same page narrowed to a value. The API takes several with commas between them: of one with a comma nobody can ask.
    pub fn way_to_value(&self, dimension: &Dimension, value: &str) -> Option<String> {
        let open = self.query().get(dimension.name).is_empty() && !value.contains(',');
        open.then(|| self.way(dimension.name, value))
    }
}
