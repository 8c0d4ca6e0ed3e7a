//! Which links a list is asked for: a part of AIP-160, parsed once and held against rows. No store is asked here.

use super::texts::bare;
use crate::Fault;
use store::model::Row;
use store::port::TimeOrder;

/// Bytes of a filter.
const LONGEST: usize = 1_024;

/// Conditions of which all must hold; none for an empty text.
#[derive(Debug, Default)]
pub struct Filter(Vec<Term>);

#[derive(Debug)]
struct Term {
    not: bool,
    test: Test,
}

#[derive(Debug, PartialEq, Eq)]
enum Test {
    Code(String),
    CodeBegins(String),
    Tag(String),
    Target(String),
    Disabled(bool),
    ExternalId(String),
    /// Milliseconds are compared as nanoseconds: a caller may be more exact than the store.
    Time(TimeField, Comparison, i128),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TimeField {
    Create,
    Update,
    Expire,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Less,
    LessOrEqual,
    Equal,
    GreaterOrEqual,
    Greater,
}

const NANOS: i128 = 1_000_000;

impl Filter {
    /// `code = "a*" AND NOT tags:"x"` and the like.
    ///
    /// # Errors
    /// What is wrong, and at which character.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        if text.len() > LONGEST {
            return Err(Fault::invalid("filter", format!("is longer than {LONGEST} bytes")));
        }
        let mut rest = FilterInput { text, at: 0 };
        let mut terms = Vec::new();
        rest.pass_space();
        while !rest.left().is_empty() {
            // Two conditions side by side are both meant, as in AIP-160.
            if !terms.is_empty() && rest.pass_word("AND") && rest.left().is_empty() {
                return Err(rest.wrong("ends where a condition should stand"));
            }
            let not = rest.pass_word("NOT");
            terms.push(Term { not, test: rest.test()? });
            rest.pass_space();
        }
        Ok(Self(terms))
    }

    /// Whether it holds for a link.
    pub fn holds(&self, row: &Row) -> bool {
        self.0.iter().all(|term| term.test.holds(row) != term.not)
    }

    /// How many conditions it has.
    pub fn terms(&self) -> usize {
        self.0.len()
    }

    /// What the code of every link begins with for which it holds.
    pub fn prefix(&self) -> &str {
        let begins = self.meant().filter_map(|test| match test {
            Test::Code(text) | Test::CodeBegins(text) => Some(text.as_str()),
            _ => None,
        });
        begins.max_by_key(|text| text.len()).unwrap_or_default()
    }

    /// The external id of every link for which it holds, if it says one.
    pub fn external_id(&self) -> Option<&str> {
        self.meant().find_map(|test| match test {
            Test::ExternalId(id) => Some(id.as_str()),
            _ => None,
        })
    }

    /// The tags that every link has for which it holds, each once.
    pub fn tags(&self) -> Vec<&str> {
        let mut tags: Vec<&str> = Vec::new();
        for test in self.meant() {
            if let Test::Tag(tag) = test
                && !tags.contains(&tag.as_str())
            {
                tags.push(tag);
            }
        }
        tags
    }

    /// The tag, if it says nothing but one.
    pub fn only_tag(&self) -> Option<&str> {
        match &self.0[..] {
            [Term { not: false, test: Test::Tag(tag) }] => Some(tag),
            _ => None,
        }
    }

    /// The earliest and the latest time, in Unix milliseconds, of every link for which it holds.
    pub fn between(&self, time: TimeOrder) -> (i64, i64) {
        let of = match time {
            TimeOrder::Create => TimeField::Create,
            TimeOrder::Update => TimeField::Update,
        };
        let whole = (i64::MIN, i64::MAX - 1);
        self.meant().fold(whole, |(from, to), test| match test {
            Test::Time(own, compare, nanos) if *own == of => {
                let ms = nanos.div_euclid(NANOS) as i64; // of the years 1 to 9999
                match compare {
                    Comparison::Less | Comparison::LessOrEqual => (from, to.min(ms)),
                    Comparison::Equal => (from.max(ms), to.min(ms)),
                    Comparison::GreaterOrEqual | Comparison::Greater => (from.max(ms), to),
                }
            }
            _ => (from, to),
        })
    }

    fn meant(&self) -> impl Iterator<Item = &Test> {
        self.0.iter().filter(|term| !term.not).map(|term| &term.test)
    }
}

impl Test {
    fn holds(&self, row: &Row) -> bool {
        let parts = row.link.parts();
        match self {
            Self::Code(text) => row.key.code() == text.as_bytes(),
            Self::CodeBegins(text) => row.key.code().starts_with(text.as_bytes()),
            Self::Tag(tag) => row.info.tags.contains(tag),
            Self::Target(text) => parts.target.as_str().contains(text.as_str()),
            Self::Disabled(disabled) => parts.terms.disabled == *disabled,
            Self::ExternalId(id) => row.info.external_id == *id,
            Self::Time(of, compare, than) => {
                let ms = match of {
                    TimeField::Create => Some(row.create_time),
                    TimeField::Update => Some(row.update_time),
                    TimeField::Expire => parts.terms.expire,
                };
                ms.is_some_and(|ms| compare.holds(i128::from(ms) * NANOS, *than))
            }
        }
    }
}

impl Comparison {
    fn holds(self, left: i128, right: i128) -> bool {
        match self {
            Self::Less => left < right,
            Self::LessOrEqual => left <= right,
            Self::Equal => left == right,
            Self::GreaterOrEqual => left >= right,
            Self::Greater => left > right,
        }
    }
}

/// A value, and where in it the stars stand that are not its own.
#[derive(Default)]
struct StarredText {
    text: String,
    stars: Vec<usize>,
}

/// The text of a filter, and how far it was read.
struct FilterInput<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> FilterInput<'a> {
    fn left(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn wrong(&self, why: impl std::fmt::Display) -> Fault {
        let character = self.text[..self.at].chars().count() + 1;
        Fault::invalid("filter", format!("at character {character}: {why}"))
    }

    fn pass_space(&mut self) {
        self.at = self.text.len() - self.left().trim_start().len();
    }

    fn pass_word(&mut self, word: &str) -> bool {
        let behind = self.left().strip_prefix(word);
        let passed =
            behind.is_some_and(|behind| behind.is_empty() || behind.starts_with(char::is_whitespace));
        if passed {
            self.at += word.len();
            self.pass_space();
        }
        passed
    }

    fn test(&mut self) -> Result<Test, Fault> {
        const FIELDS: &str =
            "code, tags, target, disabled, external_id, create_time, update_time, expire_time";
        let begins = self.at;
        let length = self.left().find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let field = &self.left()[..length.unwrap_or(self.left().len())];
        if !FIELDS.split(", ").any(|known| known == field) {
            return Err(self.wrong(format_args!("there is none of the fields {FIELDS}")));
        }
        self.at += field.len();
        self.pass_space();
        let operator_at = self.at;
        if self.left().starts_with("==") {
            return Err(self.wrong("one = compares, and two do not"));
        }
        let operator =
            ["<=", ">=", "!=", "<", ">", "=", ":"].into_iter().find(|o| self.left().starts_with(o));
        let operator = operator.ok_or_else(|| self.wrong("there is no = or : or comparison"))?;
        self.at += operator.len();
        self.pass_space();
        let value_at = self.at;
        let StarredText { text: value, stars } = self.value()?;
        let behind = std::mem::replace(&mut self.at, value_at);
        let test = match (field, operator) {
            (_, _) if value.is_empty() => return Err(self.wrong(format_args!("{field} of what?"))),
            ("code", "=" | ":") => {
                let code = bare(&value);
                let cut = value.len() - code.len();
                match (&stars[..], code.strip_suffix('*')) {
                    ([], _) => Test::Code(link::normal(code).into_owned()),
                    ([at], Some(begin)) if *at == begin.len() + cut => {
                        Test::CodeBegins(link::normal(begin).into_owned())
                    }
                    _ => {
                        let why =
                            r#"a * may only stand at the end; one that is part of a code is written "\*""#;
                        return Err(self.wrong(why));
                    }
                }
            }
            ("tags", ":") => Test::Tag(value),
            ("target", ":") => Test::Target(value),
            ("disabled", "=" | ":") => {
                Test::Disabled(value.parse().map_err(|_| self.wrong("is neither true nor false"))?)
            }
            ("external_id", "=" | ":") => Test::ExternalId(value),
            ("create_time", _) => {
                Test::Time(TimeField::Create, self.compare(operator, operator_at)?, self.time(&value)?)
            }
            ("update_time", _) => {
                Test::Time(TimeField::Update, self.compare(operator, operator_at)?, self.time(&value)?)
            }
            ("expire_time", _) => {
                Test::Time(TimeField::Expire, self.compare(operator, operator_at)?, self.time(&value)?)
            }
            _ => {
                self.at = begins;
                let known = if matches!(field, "tags" | "target") { ":" } else { "= or :" };
                return Err(self.wrong(format_args!("{field} is compared with {known}")));
            }
        };
        self.at = behind;
        Ok(test)
    }

    fn compare(&self, operator: &str, at: usize) -> Result<Comparison, Fault> {
        Ok(match operator {
            "<" => Comparison::Less,
            "<=" => Comparison::LessOrEqual,
            "=" => Comparison::Equal,
            ">=" => Comparison::GreaterOrEqual,
            ">" => Comparison::Greater,
            _ => return Err(FilterInput { text: self.text, at }.wrong("times are compared with < <= = >= >")),
        })
    }

    fn time(&self, value: &str) -> Result<i128, Fault> {
        let time = proto::time::read(value).map_err(|why| self.wrong(why))?;
        Ok(i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos))
    }

    /// A text in quotes, where a backslash stands before a quote, a star or itself, or everything up to a space.
    fn value(&mut self) -> Result<StarredText, Fault> {
        let left = self.left();
        let Some(inside) = left.strip_prefix('"') else {
            let word = left.split(char::is_whitespace).next().unwrap_or_default();
            self.at += word.len();
            let stars = word.match_indices('*').map(|(at, _)| at).collect();
            return Ok(StarredText { text: word.to_owned(), stars });
        };
        let (mut said, mut escaped) = (StarredText::default(), false);
        for (at, c) in inside.char_indices() {
            match c {
                '"' if !escaped => {
                    self.at += 1 + at + 1;
                    return Ok(said);
                }
                '\\' if !escaped => escaped = true,
                c => {
                    said.stars.extend((c == '*' && !escaped).then_some(said.text.len()));
                    said.text.push(c);
                    escaped = false;
                }
            }
        }
        Err(self.wrong("this quote is never closed"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use link::{Code, DomainId, Key, Link, LinkParts, LinkTerms, Target};
    use store::model::Info;

    fn row() -> Row {
        let target = Target::given("https://a.example/Path?q=\"1\"", &[]).unwrap();
        let parts =
            LinkParts::on(LinkTerms { expire: Some(2_000_000_000_000), ..LinkTerms::default() }, target);
        Row {
            key: Key::new(DomainId::DEFAULT, &Code::new("ab/cd").unwrap()),
            version: 1,
            uid: 1,
            link: Link::new(parts).unwrap(),
            info: Info {
                tags: vec!["x y".into(), "z".into()],
                external_id: "CRM *".into(),
                ..Info::default()
            },
            create_time: 1_767_225_600_000, // 2026-01-01
            update_time: 1_767_225_600_001,
            delete_time: None,
        }
    }

    #[test]
    fn what_holds() {
        for (text, want) in [
            ("", true),
            ("  ", true),
            ("code = \"ab*\"", true),
            ("code:\"ab/cd\"", true),
            ("code=ab/c", false),
            ("code = /ab/cd", true),
            ("code = \"/ab*\"", true),
            ("code = *", true),
            ("code = \"ab/c\\*\"", false),
            ("NOT code:ac*", true),
            ("tags:\"x y\"", true),
            ("tags:x", false),
            ("tags:z AND NOT tags:w", true),
            ("tags:z tags:w", false),
            ("target:\"example/P\"", true),
            ("target:\"q=\\\"1\\\"\"", true),
            ("target:\"example/p\"", false),
            ("external_id = \"CRM *\"", true),
            ("external_id:CRM", false),
            ("external_id = *", false),
            ("NOT external_id = x", true),
            ("disabled = false", true),
            ("disabled:true", false),
            ("create_time >= \"2026-01-01T00:00:00Z\"", true),
            ("create_time > 2026-01-01T00:00:00Z", false),
            ("update_time>2026-01-01T00:00:00Z AND update_time<=2026-01-01T00:00:00.001Z", true),
            ("update_time >= 2026-01-01T00:00:00.0010001Z", false),
            ("create_time = 2026-01-01T01:00:00+01:00", true),
            ("expire_time < 2033-05-18T03:33:20Z", false),
            ("NOT expire_time < 2030-01-01T00:00:00Z", true),
        ] {
            assert_eq!(Filter::parse(text).unwrap().holds(&row()), want, "{text}");
        }
        let odd = Row { key: Key::new(DomainId::DEFAULT, &Code::new("b\u{fc}*(1)*").unwrap()), ..row() };
        for (text, want) in [
            ("code = \"b\u{fc}*\"", true),
            ("code = bu\u{308}*", true),
            ("code = \"b\u{fc}\\*(1)\\*\"", true),
            ("code = \"b\u{fc}\\*(1)*\"", true),
            ("code = \"b\u{fc}\\*\"", false),
            ("code = bu*", false),
        ] {
            assert_eq!(Filter::parse(text).unwrap().holds(&odd), want, "{text}");
        }
        let forever =
            Row { link: Link::new(LinkParts::to(row().link.parts().target.clone())).unwrap(), ..row() };
        assert!(!Filter::parse("expire_time > 2000-01-01T00:00:00Z").unwrap().holds(&forever));
    }

    #[test]
    fn a_fault_says_where() {
        for (text, want) in [
            ("code == a", "at character 6: one = compares"),
            ("cod = a", "at character 1: there is none of the fields code, "),
            ("code", "at character 5: there is no = or"),
            ("code = ", "at character 8: code of what?"),
            ("code > a", "at character 1: code is compared with = or :"),
            ("tags:x AND target=y", "at character 12: target is compared with :"),
            ("external_id = \"\"", "at character 15: external_id of what?"),
            ("external_id > a", "at character 1: external_id is compared with = or :"),
            ("code:a*b*", "at character 6: a * may only"),
            ("code:\"a*\\*\"", "at character 6: a * may only"),
            ("tags:\"ü\" AND tags:\"y", "at character 19: this quote is never closed"),
            ("create_time >= soon", "at character 16: is not a time"),
            ("create_time : 2026-01-01T00:00:00Z", "at character 13: times are compared with <"),
            ("disabled = yes", "at character 12: is neither"),
            ("code:a AND", "at character 11: ends where"),
            ("code:a OR code:b", "at character 8: there is none of the fields"),
            ("(code:a)", "at character 1: there is none of the fields"),
        ] {
            let why = Filter::parse(text).unwrap_err().to_string();
            assert!(why.starts_with(&format!("filter {want}")), "{text}: {why}");
        }
        assert!(Filter::parse(&"x".repeat(1_025)).is_err());
    }

    #[test]
    fn what_narrows_a_search() {
        let filter = Filter::parse("code:ab* AND NOT code:abc* AND code=abd tags:x").unwrap();
        assert_eq!((filter.prefix(), filter.external_id()), ("abd", None));
        let filter = Filter::parse("NOT external_id:a external_id:b").unwrap();
        assert_eq!(filter.external_id(), Some("b"));
        let filter = Filter::parse("tags:a NOT tags:b AND tags:c tags:a").unwrap();
        assert_eq!((filter.tags(), filter.only_tag()), (vec!["a", "c"], None));
        let only = |text| Filter::parse(text).unwrap().only_tag().map(str::to_owned);
        assert_eq!((only("tags:\"x y\""), only("NOT tags:x"), only("")), (Some("x y".into()), None, None));
        let filter = Filter::parse(
            "create_time >= 1970-01-01T00:00:01Z AND create_time < 1970-01-01T00:00:02.5Z \
             NOT create_time < 1970-01-01T00:00:05Z",
        );
        let filter = filter.unwrap();
        assert_eq!(filter.between(TimeOrder::Create), (1_000, 2_500));
        assert_eq!(filter.between(TimeOrder::Update), (i64::MIN, i64::MAX - 1));
    }
}
